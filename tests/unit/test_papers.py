"""The papers' protocols: the table itself, a card under a paper's names, what is refused, and each paper from the command line."""
from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from retouch import toyfaces
from retouch.cli.main import main
from retouch.data.batches import DataSpec
from retouch.engine.update import Translation
from retouch.evaluation.card import Card, CardData, Checkpoint, JudgeFacts
from retouch.evaluation.pairs import CITYSCAPES, evaluate_pairs
from retouch.evaluation.papers import EACH, PAPERS, as_paper, column_to_text, family_of, protocol_of
from retouch.methods.aggan_multi import AGGANMulti
from retouch.methods.asgit import ASGITPairs
from retouch.methods.classifier import AttributeClassifier
from retouch.methods.cyclegan import CycleGAN
from retouch.methods.lomit import LOMIT
from retouch.methods.munit import MUNIT
from retouch.metrics import features, fidelity
from retouch.metrics.features import Extractor
from retouch.metrics.measure import MEASURES, Measure
from retouch.model import save_model
from retouch.recipes import stargan
from retouch.report.run import write_report
from retouch.toyfaces.identity import THIRTEEN
from tests.unit.test_pairs import Paired

# ---- the table

def test_the_table_points_at_measures_that_there_are() -> None:
    assert set(PAPERS) == {'cam', 'asgit', 'aggan', 'lomit', 'secgan'} and THIRTEEN == stargan.THIRTEEN
    seen = 0
    for name, paper in PAPERS.items():
        assert set(paper.columns) == set(paper.differs) >= set(paper.features), name
        for family, columns in paper.columns.items():
            needed = paper.features.get(family, ())
            for column in columns:
                assert column.measure or column.note, f'{name}: a number that is not measured says why'
                for measure in filter(None, (column.measure, column.std, column.proxy, column.proxy_std)):
                    base, _, by = measure.partition('[')
                    assert base in MEASURES or measure in MEASURES, measure
                    assert by in ('', '{judge}]', 'parser]', *(f'{e}]' for e in needed)) or 'with --features' in column.note
                    seen += 1
            assert all(any(f'[{e}]' in column.measure for column in columns) for e in needed), f'{name} asks for what it does not print'
    assert seen > 40


def card_of(**changes: Any) -> Card:
    """A card of two edits by hand."""
    measures = {
        'edit_accuracy': Measure(value=0.5), 'psnr_outside_per_image': Measure(value=99, per_attribute={'Black_Hair': 20, 'Young': 50}),
        'psnr_outside_per_image[parser]': Measure(value=30, per_attribute={'Black_Hair': 24.0, 'Brown_Hair': 26.5, 'Young': None}),
        'fid_per_task[inception-v3-compat]': Measure(value=20.0), 'fid_per_task_std[inception-v3-compat]': Measure(value=4.0),
        'fid_per_task[classifier]': Measure(value=7.0),
        'kid[inception-v3-compat]': Measure(value=1, per_attribute={'to=B': 0.05, 'to=A': None}),
        'kid_subset_std[inception-v3-compat]': Measure(value=1, per_attribute={'to=B': 0.004, 'to=A': None})}
    data = CardData(source='mine', hash='ab', size=128, attributes=('Black_Hair', 'Brown_Hair', 'Young'))
    whole: dict[str, Any] = {'protocol': 'folder', 'data': data, 'n': 2000, 'seed': 0, 'checkpoint': Checkpoint(rule='last'),
                             'hardware': '', 'versions': {}, 'measures': measures, 'extractors': {'classifier': 'cd'},
                             'judge': JudgeFacts(sha256='cd' * 32, mean_accuracy=0.9)}
    return Card(**{**whole, **changes})


def text_of(card: Card) -> dict[str, str]:
    return {column.name: column_to_text(column, card.measures) for column in card.paper_columns}


def test_a_card_under_a_papers_names_in_the_papers_order() -> None:
    card = as_paper(card_of(), 'cam', 'attributes')
    assert card.paper == 'cam' and card.measures == card_of().measures, 'no number is copied'
    assert text_of(card) == {'FID': '20.00 ± 4.00', 'PSNR Black_Hair': '24.00', 'PSNR Blond_Hair': '–', 'PSNR Brown_Hair': '26.50',
                             'PSNR Pale_Skin': '–', 'PSNR, their mean': '25.25', 'editing accuracy (not in the paper)': '0.5',
                             'preferred by raters': '–'}
    assert Card.model_validate_json(card.model_dump_json()) == card
    assert text_of(as_paper(card_of(), 'secgan', 'attributes'))['editing accuracy %'] == '50.00'
    directions = text_of(as_paper(card_of(), 'asgit', 'domains'))
    assert list(directions)[:2] == ['KID x100 to=B', 'KID x100 to=A'] and directions['KID x100 to=B'] == '5.00 ± 0.4'
    assert directions['KID x100 to=A'] == '–' == directions['fused KID x100, mean of both'] and 'KID x100, their mean' not in directions


def test_a_proxy_stands_in_only_if_asked_and_says_so() -> None:
    bare = card_of(measures={k: v for k, v in card_of().measures.items() if 'inception' not in k and 'parser' not in k})
    silent, asked = (as_paper(bare, 'cam', 'attributes', proxy) for proxy in (False, True))
    assert text_of(silent)['FID'] == '–' and not any('proxy' in name for name in text_of(silent))
    assert text_of(asked)['FID (proxy)'] == '7.00' and text_of(asked)['PSNR (proxy) Black_Hair'] == '20.00' and 'FID' not in text_of(asked)
    assert text_of(asked)['PSNR (proxy), their mean'] == '20.00', 'the mean of the four that the paper has, not of all edits'
    assert asked.paper_columns[0].measure == 'fid_per_task[classifier]' and any(line.startswith('proxies') for line in asked.differs)
    said = next(line for line in asked.differs if line.startswith('proxies'))
    parsed = as_paper(card_of(extractors={'classifier': 'cd', 'parser': 'ef'}), 'cam', 'attributes', True)
    assert 'and true regions' in said and 'and a parser' in said
    assert not any('true regions' in line or 'and a parser' in line for line in parsed.differs), 'a parser was given'
    both = text_of(as_paper(card_of(), 'cam', 'attributes', True))
    assert both['FID'] == '20.00 ± 4.00' and both['PSNR Black_Hair'] == '24.00', 'what was measured needs no proxy'


def test_what_differs_is_said_and_only_that() -> None:
    lines = as_paper(card_of(), 'cam', 'attributes').differs
    said = {line.partition(':')[0] for line in lines}
    assert {'pictures', 'edits', 'classifier', 'FID', 'PSNR'} <= said and not {'n', 'size', 'proxies'} & said
    assert any('without Bald, Bangs' in line for line in lines) and any('0.9000 of labels' in line for line in lines)
    small = card_of(n=8, data=CardData(source='toyfaces', hash='ab', size=48, attributes=THIRTEEN))
    lines = as_paper(small, 'cam', 'attributes').differs
    assert 'n: 8; the paper has 2000' in lines and 'size: 48 px; the paper has 128 px' in lines
    assert 'pictures: drawn faces; the paper has 2,000 photographs of CelebA' in lines and not any('without Bald' in line for line in lines)
    assert any('n: 8; the paper does not say' in line for line in as_paper(small, 'asgit', 'domains').differs)


def test_which_protocol_a_paper_takes(tmp_path: Path) -> None:
    for folder in ('trainA', 'trainB', 'testA', 'testB', 'pairs/A', 'pairs/B'):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(5):
            Image.new('RGB', (8, 8), (i, 0, 0)).save(tmp_path / folder / f'{i}.png')
    cyclegan, munit, lomit, stargan, pairs = (kind.tiny() for kind in (CycleGAN, MUNIT, LOMIT, AGGANMulti, ASGITPairs))
    assert (family_of('lomit', munit), protocol_of('lomit', munit, 'toyfaces')) == ('exemplars', 'exemplars')
    assert protocol_of('lomit', munit, 'somewhere') == 'exemplars_folder'
    assert protocol_of('lomit', lomit, 'toyfaces') is None is protocol_of('cam', stargan, 'somewhere')
    assert protocol_of('asgit', cyclegan, 'toyfaces') is None is protocol_of('asgit', cyclegan, str(tmp_path))
    partners = str(tmp_path / 'pairs')
    assert protocol_of('asgit', cyclegan, partners) == 'pairs' == protocol_of('aggan', cyclegan, 'one,other')
    assert protocol_of('aggan', pairs, 'toyfaces') is None and protocol_of('asgit', cyclegan, 'one,other') is None
    with pytest.raises(ValueError, match='--protocol aggan compares with true partners'):
        protocol_of('aggan', cyclegan, str(tmp_path))
    with pytest.raises(ValueError, match='has labels and no partners'):
        protocol_of('aggan', stargan, str(tmp_path))
    for name, method in (('cam', cyclegan), ('lomit', stargan), ('secgan', lomit), ('asgit', stargan), ('cam', AttributeClassifier.tiny())):
        with pytest.raises(ValueError, match=f'--protocol {name} does not fit a {method.id}') as caught:
            family_of(name, method)
        assert '\n' not in str(caught.value)


# ---- streets, by their colours

def test_streets_are_read_by_their_colours_and_unlabelled_pixels_do_not_count() -> None:
    assert len(CITYSCAPES.classes) == 19 and len(set(CITYSCAPES.colours)) == len(CITYSCAPES.colours) == 29
    road, car, nothing = CITYSCAPES.colours[0], CITYSCAPES.colours[13], (0, 0, 0)
    image = np.array([[road, (130, 60, 125), car, nothing]], np.uint8)[None]
    assert CITYSCAPES.read(image).tolist() == [[[0, 0, 13, 255]]]
    photographs = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    assert CITYSCAPES.paints(np.repeat(image, 2, 0)) and not CITYSCAPES.paints(photographs)


def streets(n: int = 3, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Photographs of noise; labels: upper half sky, lower half road, a strip without a label."""
    labels = np.zeros((n, size, size, 3), np.uint8)
    labels[:, :16], labels[:, 16:28] = CITYSCAPES.colours[10], CITYSCAPES.colours[0]
    return np.random.default_rng(0).integers(0, 256, labels.shape, dtype=np.uint8), labels


def test_both_directions_of_a_two_domain_system_against_their_partners() -> None:
    photographs, labels = streets()
    sky = torch.tensor(CITYSCAPES.colours[10])[:, None, None] / 127.5 - 1
    system = Paired(None, DataSpec(size=32, domains=('A', 'B')), kind='domains', id='cyclegan')
    asked: list[str] = []

    def translate(request: Any) -> Translation:
        asked.append(request.to)
        return Translation(sky.expand_as(request.image) if request.to == 'B' else request.image)

    system.translate = translate                                                        # type: ignore[method-assign]
    card = evaluate_pairs(system, photographs, labels, source='streets', palette=CITYSCAPES)
    assert set(asked) == {'A', 'B'} and card.data.attributes == ('to=B', 'to=A') == tuple(card.measures['mse_truth'].per_attribute or {})
    # sixteen rows of sky are right, twelve of road are read as sky; the other four do not count
    assert card.measures['fcn_pixel_accuracy'].value == pytest.approx(16 / 28)
    assert card.measures['fcn_class_accuracy'].value == pytest.approx((1 + 0) / 2)
    assert card.measures['fcn_iou'].value == pytest.approx((16 / 28 + 0) / 2)
    assert card.references['truth']['fcn_iou'].value == 1 and card.references['truth']['mse_truth'].value == 0
    back = (photographs.astype(float) - labels) ** 2
    assert (card.measures['mse_truth'].per_attribute or {})['to=A'] == pytest.approx(back.mean())
    paired = Paired(lambda x: x, DataSpec(size=32, domains=('B', 'A')))
    with pytest.raises(ValueError, match='is read by the FCN-8s of pix2pix, which Retouch does not have') as caught:
        evaluate_pairs(paired, labels, photographs, source='streets', palette=CITYSCAPES)
    assert '\n' not in str(caught.value)
    assert 'fcn_iou' not in evaluate_pairs(paired, labels, photographs, source='streets').measures


# ---- from the command line

@pytest.fixture(scope='module')
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained models of each kind, and pairs of pictures that differ in brightness."""
    folder = tmp_path_factory.mktemp('papers')
    for name, kind in {'ATTRIBUTES': AGGANMulti, 'DOMAINS': CycleGAN, 'EXEMPLARS': LOMIT, 'PAIRS': ASGITPairs, 'EDITS': ASGITPairs}.items():
        torch.manual_seed(0)
        method = kind.tiny()
        weights = {f'{n}.{k}': v for n in method.inference_nets for k, v in method.nets[n].state_dict().items()}
        save_model(folder / name, method, weights, {'data': {'source': 'toyfaces', 'edit': 'Smiling'}} if name == 'EDITS' else {})
    pictures, _, _ = toyfaces.draw_set(range(10), 24, workers=1)
    for name, part in {'A': pictures, 'B': pictures // 2}.items():
        (folder / 'pairs' / name).mkdir(parents=True)
        for i, image in enumerate(part):
            Image.fromarray(image).save(folder / 'pairs' / name / f'{i}.png')
    return folder


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Coarse colours in place of every published network; which of them were opened."""
    opened: list[str] = []

    def look(image: Tensor) -> Tensor:
        colours = nn.functional.adaptive_avg_pool2d(image.float() / 255, (2, 2)).flatten(1)
        return torch.cat([colours, colours[:, :3]], 1)

    def load(name: str, *options: Any) -> Extractor:
        opened.append(name)
        return Extractor(name, 'ab', look, (*fidelity.SETS, *fidelity.INCEPTION_SCORES), logits=3)

    monkeypatch.setattr(features, 'find_weights', lambda *options: Path(__file__))
    monkeypatch.setattr(features, 'load_extractor', load)
    return opened


def evaluated(capsys: pytest.CaptureFixture[str], *words: object, n: int = 6) -> dict[str, Any]:
    assert main(['evaluate', *map(str, words), '--n', str(n), '--json']) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(('model', 'paper', 'protocol', 'opens', 'first'), [
    ('ATTRIBUTES', 'secgan', 'toyfaces', ['swav-resnet50', 'inception-v3-torchvision'], 'editing accuracy %'),
    ('DOMAINS', 'asgit', 'domains', ['inception-v3-compat'], 'KID x100 Eyeglasses=1'),
    ('DOMAINS', 'aggan', 'domains', [], 'AMT %'),
    ('EXEMPLARS', 'lomit', 'exemplars', [], 'IS mean'),
])
def test_every_number_of_a_paper_from_one_command(model: str, paper: str, protocol: str, opens: list[str], first: str, place: Path,
                                                  weights: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    card = evaluated(capsys, place / model, '--protocol', paper, n=16)       # four pictures at least of either domain
    assert (card['protocol'], card['paper'], weights) == (protocol, paper, opens) and card['paper_columns'][0]['name'] == first
    for column in card['paper_columns']:
        measured = column['measure'] in card['measures'] and (column['std'] is None or column['std'] in card['measures'])
        assert measured or 'asked of people' in column['note'] or 'with --features' in column['note'], column
    assert f'--protocol {paper} --n 16' in card['command'] and any(line.startswith('n: 16') for line in card['differs'])


def test_partners_of_ones_own(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = evaluated(capsys, place / 'DOMAINS', '--protocol', 'aggan', '--data', place / 'pairs')
    assert card['protocol'] == 'pairs' and set(card['measures']['psnr_truth_per_image']['per_attribute']) == {'to=A', 'to=B'}
    measures = [name for name in ('psnr_truth_per_image', 'mse_truth', 'psnr_truth') for _ in range(3)]      # each direction, both
    assert [column['measure'] for column in card['paper_columns']] == [None, *measures]


def test_proxies_are_printed_as_such_and_first(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['evaluate', str(place / 'ATTRIBUTES'), '--protocol', 'cam', '--proxy', '--n', '6', '--out', str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert shown.index('FID (proxy)') < shown.index('differs from the paper:') < shown.index('edit_accuracy (share)')
    card = Card.read(tmp_path / 'card.json')
    assert card.paper == 'cam' and card.command.endswith('--proxy') and not any('inception-v3' in name for name in card.measures)
    report = (tmp_path / 'report.html').read_text()
    assert 'The numbers of cam' in report and 'FID (proxy)' in report and 'What differs' in report
    write_report(tmp_path / 'plain.html', card.model_copy(update={'paper': None}))
    assert 'The numbers of' not in (tmp_path / 'plain.html').read_text()


@pytest.mark.parametrize(('words', 'says'), [
    ('ATTRIBUTES --protocol cam', '--protocol cam needs --parser MODEL, which finds the parts of a face that its PSNR leaves out; on'),
    ('ATTRIBUTES --protocol cam --proxy --data pairs', '--protocol cam needs --parser MODEL'),
    ('ATTRIBUTES --protocol secgan --weights nowhere', 'nowhere/swav_800ep_pretrain.pth.tar is missing: swav-resnet50 needs'),
    ('DOMAINS --protocol asgit --weights nowhere', 'nowhere/weights-inception-2015-12-05-6726825d.pth is missing'),
    ('DOMAINS --protocol cam', '--protocol cam does not fit a cyclegan: that paper measures systems trained on attributes'),
    ('DOMAINS --protocol aggan --proxy', '--proxy does not apply to --protocol aggan of a cyclegan: its numbers need no published weights'),
    ('PAIRS --protocol asgit', 'needs --judge MODEL, the parser that reads them'),
    ('EDITS --protocol asgit', 'pairs of a face and its edit, Smiling, have none; expected --protocol pairs'),
    ('ATTRIBUTES --protocol cam --proxy --features swav', "did you mean 'swav-resnet50'"),
    ('DOMAINS --proxy', '--proxy needs the protocol of a paper'),
    ('DOMAINS --protocol secgn', "did you mean 'secgan'"),
    ('PAIRS --features judge', '--features judge does not apply to pairs'),
])
def test_what_cannot_be_done_is_one_line(words: str, says: str, place: Path, capsys: pytest.CaptureFixture[str],
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert main(['evaluate', *words.split()]) == 2
    captured = capsys.readouterr()
    assert says in captured.err and captured.err.count('\n') == 1 and captured.out == ''


# ---- features of pairs and of exemplars

def test_features_of_pairs(weights: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, 'load_lpips', lambda *options: lambda image, other: (image - other).abs().mean((1, 2, 3), keepdim=True))
    photographs, labels = streets(6)
    system = Paired(lambda x: x * 0.5, DataSpec(size=32, domains=('A', 'B')))
    plain = evaluate_pairs(system, photographs, labels, source='streets')
    card = evaluate_pairs(system, photographs, labels, source='streets', features=('inception-v3-compat', 'lpips-alexnet'), batch_size=4,
                          any_n=True)
    added = {name: value for name, value in card.measures.items() if name not in plain.measures}
    assert {name: card.measures[name] for name in plain.measures} == plain.measures and len(added) == 5 + 4 + 1
    look = features.load_extractor('inception-v3-compat', Path()).look
    made = ((photographs / 127.5 - 1) * 0.5 * 127.5 + 127.5).round().astype(np.uint8)
    real, fake = (look(torch.from_numpy(some).permute(0, 3, 1, 2))[:, :-3] for some in (labels, made))
    assert added['fid[inception-v3-compat]'].value == pytest.approx(fidelity.features_to_fidelity(real, fake)['fid'], rel=1e-4)
    assert added['lpips_truth[lpips-alexnet]'].value == pytest.approx(np.abs(made / 127.5 - labels / 127.5).mean(), rel=1e-5)
    assert card.references['truth']['lpips_truth[lpips-alexnet]'].value == 0
    assert set(card.extractors) == {'inception-v3-compat', 'lpips-alexnet'}
    assert abs(card.references['truth']['fid[inception-v3-compat]'].value or 0) < 1e-3


def test_features_of_exemplars(weights: list[str], place: Path, capsys: pytest.CaptureFixture[str],
                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, 'load_lpips', lambda *options: lambda image, other: (image - other).abs().mean((1, 2, 3), keepdim=True))
    monkeypatch.setattr(features, 'LPIPS_MIN_PX', 16)
    plain = evaluated(capsys, place / 'EXEMPLARS')['measures']
    card = evaluated(capsys, place / 'EXEMPLARS', '--features', 'judge', 'swav-resnet50', 'lpips-alexnet')
    added = set(card['measures']) - set(plain)
    assert {name: card['measures'][name] for name in plain} == plain
    assert added == {*(f'{m}[swav-resnet50]' for m in (*fidelity.SETS, *fidelity.INCEPTION_SCORES)), 'lpips_truth[lpips-alexnet]',
                     *(f'{m}[toyfaces_classifier]' for m in fidelity.SETS)}
    copy, truth = card['references']['copy'], card['references']['truth']
    assert truth['lpips_truth[lpips-alexnet]']['value'] == 0 < copy['lpips_truth[lpips-alexnet]']['value']
    assert copy['fid[toyfaces_classifier]']['value'] is None and copy['fid[toyfaces_classifier]']['note'] == 'needs n >= 64'
    assert copy['precision[toyfaces_classifier]']['value'] == 1 and copy['fid[swav-resnet50]']['note'] == 'needs n >= 12'


def test_one_table_serves_any_method() -> None:
    assert EACH not in MEASURES and family_of('aggan', SimpleNamespace(id='x', kind='pairs')) == 'pairs'
