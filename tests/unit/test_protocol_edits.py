"""Which edits the papers' protocols ask, of whom, by what: on constructed systems whose answers are known."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from retouch.data.batches import DataSpec
from retouch.data.parsing import STREETS, TWELVE
from retouch.engine.update import AttributeRequest, DomainRequest, Translation
from retouch.evaluation.asked import read_edit, targets_of
from retouch.evaluation.card import Card, CardData, Checkpoint
from retouch.evaluation.comparison import cards_to_comparison
from retouch.evaluation.directions import TwoClasses, as_domains
from retouch.evaluation.evaluate import Request, evaluate
from retouch.evaluation.held_out import exact_partners, held_out_transfers_of
from retouch.evaluation.pairs import CITYSCAPES, evaluate_pairs
from retouch.evaluation.papers import PAPERS, as_paper, column_to_text, measures_of
from retouch.evaluation.protocols import evaluate as score
from retouch.evaluation.tasks import asked_of, domain_folder_tasks, folder_tasks
from retouch.metrics import features, fidelity
from retouch.metrics.features import Extractor
from retouch.metrics.measure import Measure
from retouch.report.comparison import write_comparison
from tests.unit.test_pairs import Paired
from tests.unit.test_splits import celeba

NAMES = ('Black_Hair', 'Blond_Hair', 'Male')
LABELS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


class Copy:
    """Returns what it is given."""

    id, kind, nets = 'stargan', 'attributes', nn.ModuleDict()

    def __init__(self, **spec: Any) -> None:
        self.data = DataSpec(**{'size': 8, 'attributes': NAMES, **spec})
        self.config = SimpleNamespace(labels='multi')
        self.asked: list[Any] = []

    def translate(self, request: Any) -> Translation:
        self.asked.append(request)
        return Translation(request.image)


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean colours in place of every published network."""

    def look(image: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(image.float() / 255, (2, 2)).flatten(1)

    monkeypatch.setattr(features, 'find_weights', lambda *options: Path(__file__))
    monkeypatch.setattr(features, 'load_extractor', lambda name, *options: Extractor(name, 'ab', look, fidelity.SETS))


# ---- edits


def test_edits_as_they_are_written() -> None:
    assert read_edit('Male=1', NAMES).asks == (('Male', 1),) and read_edit('Blond_Hair+Male=0', NAMES).names == ('Blond_Hair', 'Male')
    for text, words in (
        ('Hat', "unknown attribute of this model 'Hat'"),
        ('Male=2', 'expected 0 or 1'),
        ('Male+Male=0', 'each attribute once'),
    ):
        with pytest.raises(ValueError, match=words):
            read_edit(text, NAMES)

    def asked(text: str, flips: bool = False) -> tuple[list[list[float]], list[bool]]:
        target, applies = targets_of(read_edit(text, NAMES), LABELS, NAMES, 'attgan_tf', flips)
        return target.tolist(), applies.tolist()

    assert asked('Black_Hair') == ([[1, 0, 1], [1, 0, 0], [1, 0, 1]], [False, True, True]), 'what is there already is not asked for'
    assert asked('Black_Hair', True) == ([[0, 0, 1], [1, 0, 0], [1, 0, 1]], [True] * 3), 'off leaves the others as they are'
    assert asked('Male=1') == ([[1, 0, 1], [0, 1, 1], [0, 0, 1]], [False, True, False])
    assert asked('Male=0')[1] == [True, False, True]
    two = torch.tensor([[1.0, 1.0, 0.0]])
    target, applies = targets_of(read_edit('Black_Hair', NAMES), two, NAMES, 'attgan_tf')
    assert target.tolist() == [[1, 0, 0]] and applies.tolist() == [True], 'of two colours the other one goes'
    assert asked('Blond_Hair+Male', True) == ([[0, 1, 0], [0, 0, 1], [0, 1, 0]], [True] * 3)


def test_two_edits_at_once_are_right_only_together() -> None:
    images = np.zeros((3, 8, 8, 3), np.uint8)
    judge = SimpleNamespace(names=NAMES, column=NAMES.index)
    _, (one, both) = folder_tasks(Copy(), images, LABELS.numpy(), judge, ('Male=1', 'Blond_Hair+Male'), flips=True)  # type: ignore[arg-type]
    assert (one.columns, one.rows.tolist(), both.columns, both.rows.tolist()) == ((2,), [1], (1, 2), [0, 1, 2])
    request = both.request(torch.zeros(3, 3, 8, 8), slice(0, 3))
    assert isinstance(request, AttributeRequest) and asked_of(both, request, 1, NAMES) == 'Blond_Hair=0, Male=1'
    from retouch.metrics.accuracy import changes_to_leakage, readings_to_edit_accuracy

    read = torch.tensor([[0, 1, 0], [0, 0, 0]]).bool()
    wanted = torch.tensor([[0, 1, 0], [0, 0, 1]]).bool()
    assert readings_to_edit_accuracy(read, wanted, (1, 2)).tolist() == [1, 0]
    assert changes_to_leakage(torch.tensor([[1.0, 1, 1], [0, 1, 1]]), (1, 2)).tolist() == [1, 0]


def test_a_copy_has_no_distance_in_any_edit_of_the_cam_paper(colours: None) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    labels = LABELS.repeat(2, 1).numpy()
    options: dict[str, Any] = {
        'protocol': 'folder',
        'images': images,
        'labels': labels,
        'features': ('inception-v3-compat',),
        'any_n': True,
    }
    card = score(Copy(), flips=True, **options)
    found = card.measures['fid_per_task[inception-v3-compat]'].per_attribute or {}
    assert list(found) == list(NAMES) and max(map(abs, map(float, found.values()))) < 1e-6  # type: ignore[arg-type]
    assert card.measures['fid_per_task_std[inception-v3-compat]'].value == pytest.approx(0, abs=1e-6)
    assert card.data.count == dict.fromkeys(NAMES, 6) and card.data.rule == 'attgan_tf, hair colours flip'
    old = score(Copy(), **options).measures['fid_per_task[inception-v3-compat]'].per_attribute or {}
    assert (old['Black_Hair'] or 0) > 1e-3, 'without the pictures that have it, a copy is away from all'


# ---- distances need no judge; only what a paper has is computed


def test_distances_without_a_judge(colours: None) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    method = TwoClasses(Copy(attributes=('A', 'B')))
    options: dict[str, Any] = {'protocol': 'domains_folder', 'images': images, 'labels': np.eye(2)[[0, 1] * 4]}
    card = score(method, features=('inception-v3-compat',), any_n=True, **options)
    assert card.judge is None and 'edit_accuracy' not in card.measures and not any('classifier' in name for name in card.measures)
    assert set(card.extractors) == {'inception-v3-compat'} and card.measures['psnr_whole'].value is None
    assert set(card.measures['kid[inception-v3-compat]'].per_attribute or {}) == {'to=A', 'to=B'}
    with pytest.raises(ValueError, match='or name --features, whose distances need none'):
        score(method, **options)
    few = score(method, features=('inception-v3-compat',), any_n=True, only={'inception-v3-compat': ('kid',)}, **options)
    assert {name for name in few.measures if 'inception' in name} == {
        f'{name}[inception-v3-compat]' for name in ('kid', 'kid_fused', 'kid_pooled', 'kid_fused_subset_std', 'kid_pooled_subset_std')
    }


def test_what_a_paper_computes_is_what_it_prints() -> None:
    assert measures_of('secgan', ()) == {
        'swav-resnet50': ('fid',),
        'inception-v3-torchvision': ('inception_score', 'inception_score_split_std'),
    }
    assert measures_of('cam', ()) == {'inception-v3-compat': ('fid',)}
    assert measures_of('asgit', ()) == {'inception-v3-compat': ('kid', 'kid_subset_std')}


def test_fused_distances_by_hand() -> None:
    """(KID to target + KID to source) / 2, and KID to as many of either; x100 in the column, with the spread of its own subsets."""
    from retouch.metrics.distances import directions_to_distances

    real = torch.tensor([[0.0], [2.0], [10.0], [14.0]])
    fake = torch.tensor([[6.0], [8.0]])

    def compare(a: Tensor, b: Tensor, names: tuple[str, ...]) -> dict[str, float]:
        return {name: abs(float(a.mean() - b.mean())) / 100 for name in names}

    def subsets(a: Tensor, b: Tensor) -> np.ndarray:
        return np.array([float(a.mean()), float(b.mean())]) / 100

    found = directions_to_distances(
        real, [fake], ['to=B'], [np.array([0, 1])], [np.array([2, 3])], compare, ('kid', 'kid_subset_std'), subsets
    )
    assert found['kid'].value == pytest.approx(0.05)  # 12 - 7
    assert found['kid_fused'].value == pytest.approx((0.05 + 0.06) / 2)  # 7 - 1 to the source
    assert found['kid_pooled'].value == pytest.approx(0.005)  # 6.5 - 7
    assert found['kid_fused_subset_std'].value == pytest.approx(0.0025)  # of (12 + 1) / 2 and 7
    measures = {f'{name}[inception-v3-compat]': measure for name, measure in found.items()}
    card = as_paper(card_of(measures, protocol='domains_folder'), 'asgit', 'domains')
    assert {c.name: column_to_text(c, measures) for c in card.paper_columns} == {
        'KID x100 to=B': '5.00 ± 5.00',
        'fused KID x100, mean of both to=B': '5.50 ± 0.25',
        'fused KID x100, both sets pooled to=B': '0.5 ± 0.5',
    }


def card_of(measures: dict[str, Measure], attributes: tuple[str, ...] = ('to=B',), **changes: Any) -> Card:
    data = CardData(source='mine', hash='ab', size=8, attributes=attributes, count=dict.fromkeys(attributes, 4))
    whole: dict[str, Any] = {
        'protocol': 'pairs',
        'data': data,
        'n': 4,
        'seed': 0,
        'checkpoint': Checkpoint(rule='last'),
        'hardware': '',
        'versions': {},
        'measures': measures,
        'extractors': {},
    }
    return Card(**{**whole, **changes})


def test_the_columns_of_every_paper() -> None:
    """The paper's name of a number -> the measure that stands for it."""
    found = {
        (name, family): {column.name: column.measure for column in columns if column.measure}
        for name, paper in PAPERS.items()
        for family, columns in paper.columns.items()
    }
    assert found['secgan', 'attributes'] == {
        'editing accuracy %': 'edit_accuracy',
        'ssFID': 'fid_per_task[swav-resnet50]',
        'IS': 'inception_score[inception-v3-torchvision]',
        "IS by TensorFlow's Inception (not in the paper)": 'inception_score[inception-v3-compat]',
    }
    assert found['cam', 'attributes'] == {
        'FID': 'fid_per_task[inception-v3-compat]',
        'PSNR': 'psnr_outside_per_image[parser]',
        'editing accuracy (not in the paper)': 'edit_accuracy',
    }
    assert found['asgit', 'domains'] == {
        'KID x100': 'kid[inception-v3-compat]',
        'fused KID x100, mean of both': 'kid_fused[inception-v3-compat]',
        'fused KID x100, both sets pooled': 'kid_pooled[inception-v3-compat]',
    }
    assert found['asgit', 'pairs'] == {
        'per-pixel accuracy': 'fcn_pixel_accuracy',
        'per-class accuracy': 'fcn_class_accuracy',
        'class IoU': 'fcn_iou',
    }
    assert found['lomit', 'exemplars'] == {
        'IS mean': 'inception_kl[{judge}]',
        'IS std': 'inception_kl_std[{judge}]',
        'IS std, other reading': 'inception_kl_split_std[{judge}]',
        'CA %': 'edit_accuracy',
        'CA %, all attributes right at once': 'joint_accuracy',
        'IS as usual (not in the paper)': 'inception_score[{judge}]',
    }
    assert found['aggan', 'attributes'] == {
        'PSNR': 'psnr_truth_per_image',
        'MSE': 'mse_truth',
        'PSNR of that MSE (not in the paper)': 'psnr_truth',
    }
    assert (
        found['aggan', 'domains']
        == found['aggan', 'pairs']
        == {
            'PSNR': 'psnr_truth_per_image',
            'PSNR, both directions': 'psnr_truth_per_image',
            'MSE': 'mse_truth',
            'MSE, both directions': 'mse_truth',
            'PSNR of that MSE (not in the paper)': 'psnr_truth',
            'PSNR of that MSE (not in the paper), both directions': 'psnr_truth',
        }
    )


# ---- directions


def test_each_direction_and_both_and_one_beside_them(tmp_path: Path) -> None:
    both = {
        'psnr_truth_per_image': Measure(value=15.0, per_attribute={'to=B': 14.0, 'to=A': 16.0}, low=1, high=20),
        'mse_truth': Measure(value=30.0, per_attribute={'to=B': 20.0, 'to=A': 40.0}),
    }
    one = {
        'psnr_truth_per_image': Measure(value=13.0, per_attribute={'to=B': 13.0}),
        'mse_truth': Measure(value=25.0, per_attribute={'to=B': 25.0}),
    }
    cyclegan = as_paper(card_of(both, ('to=B', 'to=A')), 'aggan', 'pairs')
    pix2pix = as_paper(card_of(one), 'aggan', 'pairs')
    shown = {c.name: column_to_text(c, cyclegan.measures) for c in cyclegan.paper_columns}
    assert (shown['PSNR to=B'], shown['PSNR to=A'], shown['PSNR, both directions']) == ('14.00', '16.00', '15.00')
    assert (shown['MSE to=B'], shown['MSE to=A'], shown['MSE, both directions']) == ('20.00', '40.00', '30.00')
    alone = {c.name: column_to_text(c, pix2pix.measures) for c in pix2pix.paper_columns}
    assert alone['PSNR to=B'] == '13.00' and 'PSNR, both directions' not in alone
    beside = cards_to_comparison({'pix2pix': pix2pix, 'cyclegan': cyclegan})
    assert [row['psnr_truth_per_image'].value for row in beside.rows.values()] == [13.0, 14.0]
    assert [row['mse_truth'].value for row in beside.rows.values()] == [25.0, 20.0] and beside.rows['cyclegan']['mse_truth'].low is None
    header, rows = beside.paper_cells()
    assert header[0] == 'as in the paper' and dict(zip(header, rows[1], strict=True))['PSNR to=B'] == '14.00'
    assert '| as in the paper |' in beside.to_markdown()
    write_comparison(tmp_path / 'report.html', {'pix2pix': pix2pix, 'cyclegan': cyclegan}, beside)
    page = (tmp_path / 'report.html').read_text()
    assert 'As in the paper' in page and '<td>14.00</td>' in page and '15.00' not in page, 'what both directions have is not beside one'
    assert cards_to_comparison({'a': cyclegan, 'b': cyclegan}).rows['a']['mse_truth'].value == 30.0, 'two directions beside two: both'


def test_an_attribute_system_of_two_classes_is_asked_by_direction() -> None:
    two, one, three = Copy(attributes=('A', 'B')), Copy(attributes=('Smiling',)), Copy()
    models = [SimpleNamespace(method=m, data=m.data, info={'data': {}}) for m in (two, one, three)]
    two.config = SimpleNamespace(labels='single')  # type: ignore[assignment]
    wrapped = [as_domains(model) if dataclasses.is_dataclass(model) else TwoClasses(model.method) for model in models[:2]]  # type: ignore[arg-type]
    assert [w.data.domains for w in wrapped] == [('A', 'B')] * 2  # type: ignore[union-attr]
    x = torch.zeros(2, 3, 8, 8)
    wrapped[0].translate(DomainRequest(x, 'B'))  # type: ignore[union-attr]
    wrapped[1].translate(DomainRequest(x, 'A'))  # type: ignore[union-attr]
    assert two.asked[0].source.tolist() == [[1, 0]] * 2 and two.asked[0].target.tolist() == [[0, 1]] * 2
    assert one.asked[0].source.tolist() == [[1]] * 2 and one.asked[0].target.tolist() == [[0]] * 2
    judge = SimpleNamespace(names=('Male', 'Smiling'), column=('Male', 'Smiling').index)
    _, tasks = domain_folder_tasks(wrapped[1], np.zeros((2, 8, 8, 3), np.uint8), np.eye(2), judge, 'Smiling')  # type: ignore[arg-type]
    assert [(task.name, task.columns) for task in tasks] == [('to=B', (1,)), ('to=A', (1,))]
    assert tasks[0].wanted is not None and tasks[1].wanted is not None
    assert tasks[0].wanted.tolist() == [[False, True]] and tasks[1].wanted.tolist() == [[False, False]]


def test_an_attribute_system_of_two_classes_on_pairs() -> None:
    given, wanted = (np.full((3, 8, 8, 3), level, np.uint8) for level in (10, 13))
    card = evaluate_pairs(TwoClasses(Copy(attributes=('A', 'B'))), given, wanted, source='faces')
    assert card.measures['mse_truth'].per_attribute == {'to=B': 9.0, 'to=A': 9.0} and card.measures['mse_truth'].value == 9.0


# ---- exemplars on photographs


def test_two_domains_with_exemplars_on_labelled_pictures(tmp_path: Path) -> None:
    """MUNIT and DRIT on the pictures, and in the pairs, that LOMIT has."""
    root = str(celeba(tmp_path, 40))
    trained = {'source': root, 'holdout': 8, 'attribute': 'Smiling', 'kind': 'domains'}
    munit = SimpleNamespace(method=SimpleNamespace(kind='domains'), data=DataSpec(size=8, domains=('A', 'B')), info={'data': trained})
    lomit = SimpleNamespace(
        method=SimpleNamespace(kind='exemplars'),
        data=DataSpec(size=8, attributes=('Smiling',)),
        info={'data': {'source': root, 'holdout': 8}},
    )
    pairs, theirs = (held_out_transfers_of(one, root, one.info['data'], None, 0, lambda *told: None) for one in (munit, lomit))  # type: ignore[arg-type]
    assert pairs.names == ('Smiling',) and pairs.inputs[:, 0, 0, 0].tolist() == list(range(32, 40))
    np.testing.assert_array_equal(pairs.faces, theirs.faces)
    np.testing.assert_array_equal(pairs.exemplars[:], theirs.exemplars[:])
    assert (pairs.shown != pairs.wanted).all(), 'every exemplar is of the other domain'
    both = held_out_transfers_of(munit, root, {**trained, 'attribute': 'Smiling+Male'}, None, 0, lambda *told: None)  # type: ignore[arg-type]
    assert both.inputs[:, 0, 0, 0].tolist() == [32, 35, 36, 39] and (both.shown[:, 0] == both.shown[:, 1]).all()


# ---- label maps


def streets(folder: Path, n: int = 5) -> Path:
    """Side-by-side files of 128 px: a photograph, and stripes of road, car and sky one pixel high."""
    (folder / 'test').mkdir(parents=True)
    (folder / 'train').mkdir()
    for i in range(n):
        whole = np.random.default_rng(i).integers(0, 256, (128, 256, 3), dtype=np.uint8)
        whole[:, 128:] = np.array([CITYSCAPES.colours[k] for k in (0, 13, 10, 13)], np.uint8)[np.arange(128) % 4][:, None]
        for part in ('train', 'test'):
            Image.fromarray(whole).save(folder / part / f'{i}.png')
    return folder


def test_label_maps_are_resized_by_nearest_neighbour(tmp_path: Path) -> None:
    root = streets(tmp_path)
    model: Any = SimpleNamespace(method=SimpleNamespace(kind='domains'), data=DataSpec(size=32, domains=('A', 'B')), info={})
    photographs, labels = exact_partners(model, str(root), None, lambda *told: None)
    assert set(map(tuple, labels.reshape(-1, 3).tolist())) <= set(CITYSCAPES.colours), 'no colour that no class has'
    smooth = np.stack(
        [
            np.asarray(Image.open(root / 'test' / f'{i}.png').crop((128, 0, 256, 128)).resize((32, 32), Image.Resampling.BICUBIC))
            for i in range(5)
        ]
    )
    assert not CITYSCAPES.paints(smooth), 'by which a right set was refused'
    method = Paired(lambda x: x, DataSpec(size=32, domains=('A', 'B')))
    card = evaluate_pairs(method, photographs, smooth, source='streets', palette=CITYSCAPES, exact=(photographs, labels))
    for name in ('fcn_pixel_accuracy', 'fcn_class_accuracy', 'fcn_iou'):
        assert card.references['truth'][name].value == 1, name


class PaintedStreets(nn.Module):
    """A parser that sees road everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(torch.zeros(len(x), *x.shape[2:], dtype=torch.long), 19).movedim(-1, 1).float()


def test_photographs_made_from_labels_are_read_by_a_parser_of_ones_own() -> None:
    labels = np.zeros((3, 32, 32, 3), np.uint8)
    labels[:, :8], labels[:, 8:24], labels[:, 24:] = CITYSCAPES.colours[0], CITYSCAPES.colours[10], CITYSCAPES.colours[19]
    photographs = np.random.default_rng(0).integers(0, 256, labels.shape, dtype=np.uint8)
    parser = SimpleNamespace(
        method=SimpleNamespace(id='parser', nets=nn.ModuleDict({'parser': PaintedStreets()})),
        path='READER',
        data=DataSpec(size=32, attributes=STREETS),
        weights_sha256='cd' * 32,
        device=torch.device('cpu'),
    )
    pairs = Paired(lambda x: x, DataSpec(size=32, domains=('B', 'A')))
    card = evaluate_pairs(pairs, labels, photographs, source='streets', palette=CITYSCAPES, reader=parser)  # type: ignore[arg-type]
    assert card.measures['fcn_pixel_accuracy'].value == pytest.approx(8 / 24), 'road is right, sky is not, the rest is of no class'
    assert card.measures['fcn_iou'].value == pytest.approx((8 / 24 + 0) / 2)
    both = Paired(None, DataSpec(size=32, domains=('A', 'B')), kind='domains', id='cyclegan')
    both.translate = lambda request: Translation(request.image)  # type: ignore[method-assign]
    card = evaluate_pairs(both, photographs, labels, source='streets', palette=CITYSCAPES, reader=parser)  # type: ignore[arg-type]
    assert card.measures['fcn_pixel_accuracy[to=A]'].value == pytest.approx(8 / 24) and 'fcn_pixel_accuracy[to=B]' in card.measures
    paper = as_paper(card, 'asgit', 'pairs')
    assert [c.name for c in paper.paper_columns][:2] == ['per-pixel accuracy to=B', 'per-pixel accuracy to=A']
    parser.data = DataSpec(size=32, attributes=TWELVE)
    with pytest.raises(ValueError, match='expected road, sidewalk'):
        evaluate_pairs(pairs, labels, photographs, source='streets', palette=CITYSCAPES, reader=parser)  # type: ignore[arg-type]


def test_a_parser_of_streets_learns_train_ids(tmp_path: Path) -> None:
    from retouch.data.configs import ParsingData
    from retouch.data.sets import open_parsing

    for folder in ('images', 'masks'):
        (tmp_path / folder).mkdir()
    for i in range(10):
        Image.new('RGB', (16, 16)).save(tmp_path / 'images' / f'{i}.png')
        ids = np.full((16, 16), 10, np.uint8)
        ids[:4], ids[4:8] = 255, 13
        Image.fromarray(ids).save(tmp_path / 'masks' / f'{i}.png')
    opened = open_parsing(ParsingData(source=str(tmp_path), ids='cityscapes', size=16))
    assert opened.spec.attributes == STREETS == CITYSCAPES.classes and len(opened.images) == 9
    assert [opened.segmentations[0][row, 0] for row in (0, 5, 12)] == [255, 13, 10]


def test_a_request_names_its_edits(tmp_path: Path) -> None:
    card = evaluate(Request('toyfaces', n=12, edits=('Eyeglasses=1', 'Blond_Hair+Mouth_Slightly_Open'))).card
    assert card.data.attributes == ('Eyeglasses=1', 'Blond_Hair+Mouth_Slightly_Open')
    assert '--edits Eyeglasses=1 Blond_Hair+Mouth_Slightly_Open' in card.command
    assert card.references['truth']['edit_accuracy'].value is not None and card.references['truth']['psnr_truth'].value is None


# ---- from a model to a card

def test_stargan_by_direction_on_domains_and_munit_on_photographs(tmp_path: Path, colours: None) -> None:
    from retouch.methods.classifier import AttributeClassifier
    from retouch.methods.munit import MUNIT
    from retouch.methods.stargan import Config, StarGAN
    from tests.unit.test_held_out import shades
    from tests.unit.test_splits import saved

    for name, n in {'trainA': 2, 'trainB': 2, 'testA': 5, 'testB': 4}.items():
        shades(tmp_path / 'set' / name, n, ord(name[-1]))
    tiny = StarGAN.tiny().config.model_dump()
    stargan = StarGAN(Config(**{**tiny, 'labels': 'single'}), DataSpec(size=16, attributes=('A', 'B')))
    where = saved(tmp_path / 'stargan', stargan, source=str(tmp_path / 'set'), attributes=['A', 'B'], size=16)
    card = evaluate(Request(where, protocol='asgit')).card
    assert (card.protocol, card.n, card.data.count, card.judge) == ('domains_folder', 9, {'to=B': 5, 'to=A': 4}, None)
    assert [column.name for column in card.paper_columns][:2] == ['KID x100 to=B', 'KID x100 to=A']
    assert 'precision[inception-v3-compat]' not in card.measures and 'kid_fused[inception-v3-compat]' in card.measures

    judge = AttributeClassifier.tiny()
    first = judge.data.attributes[0]
    root = str(celeba(tmp_path / 'faces', 40, ' '.join(judge.data.attributes)))
    told = {'source': root, 'holdout': 8, 'size': judge.data.size, 'attributes': list(judge.data.attributes)}
    reader = saved(tmp_path / 'judge', judge, **told)
    evaluate(Request(reader)).card.write(reader / 'card.json')
    munit = saved(tmp_path / 'munit', MUNIT.tiny(), kind='domains', source=root, holdout=8, attribute=first, size=MUNIT.tiny().data.size)
    card = evaluate(Request(munit, protocol='lomit', judge=reader)).card
    assert (card.protocol, card.paper, card.n, card.data.attributes) == ('exemplars_folder', 'lomit', 8, (first,))
    joint, alone = card.measures['joint_accuracy'], card.measures['edit_accuracy']
    assert joint.value == alone.value, 'of one attribute, in pairs that all differ in it, the same'
    assert {'IS mean', 'CA %', 'CA %, all attributes right at once'} <= {column.name for column in card.paper_columns}
