"""Two domains and pairs from the command line: train, evaluate, and one line for every set that does not fit."""
from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from retouch import toyfaces
from retouch.cli.main import main
from retouch.data.batches import DataSpec
from retouch.methods.registry import METHODS
from retouch.model import save_model
from retouch.toyfaces.night import night

CYCLEGAN = ['train', 'cyclegan.toyfaces', '--data.size', '16', '--method.width-g', '4', '--method.width-d', '4', '--method.blocks', '1',
            '--train.batch-size', '2', '--stop-after', '1']


def saved(folder: Path, trainable: object, data: dict | None = None) -> Path:
    weights = {f'{n}.{k}': v for n in trainable.inference_nets for k, v in trainable.nets[n].state_dict().items()}     # type: ignore[attr-defined]
    save_model(folder, trainable, weights, {'data': data or {}})
    return folder


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Runs a command that must fail; returns its one line."""
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith('retouch: error: ') and captured.err.count('\n') == 1, captured.err
    return captured.err


@pytest.fixture(scope='module')
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Day and night as a folder of two domains, 40 px, 8 and 5 pictures to train on, 4 and 3 to test."""
    folder = tmp_path_factory.mktemp('scenes')
    images, _, _ = toyfaces.draw_set(range(20), 40, workers=1)
    for name, part in {'trainA': images[:8], 'trainB': night(images[8:13]), 'testA': images[13:17], 'testB': night(images[17:])}.items():
        (folder / name).mkdir()
        for i, image in enumerate(part):
            Image.fromarray(image).save(folder / name / f'{i}.png')
    return folder


@pytest.fixture(scope='module')
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pairs A/ and B/, 24 px, of which the last two are held out."""
    folder = tmp_path_factory.mktemp('maps')
    pictures, parses, _ = toyfaces.draw_set(range(10), 24, workers=1)
    for name, part in {'A': np.array(toyfaces.PALETTE, np.uint8)[parses], 'B': pictures}.items():
        (folder / name).mkdir()
        for i, image in enumerate(part):
            Image.fromarray(image).save(folder / name / f'{i}.png')
    return folder


def test_night_is_trained_and_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / 'run'
    assert main([*CYCLEGAN, '--data.attribute', 'Night', '--data.n', '6', '--out', str(run)]) == 0
    assert main(['evaluate', str(run), '--n', '6', '--figures']) == 0
    card = json.loads((run / 'card.json').read_text())
    assert card['protocol'] == 'domains' and card['data']['attributes'] == ['Night=1', 'Night=0'] and card['leakage_matrix'] is None
    assert 'arrived' in card['measures'] and 'edit_accuracy' not in card['measures']
    assert {'copy', 'truth', 'untrained'} == set(card['references'])
    shown = (run / 'report.html').read_text()
    assert 'Night=1' in shown and 'By attribute or class' in shown and list((run / 'figures').glob('*Night=0*'))
    assert 'a part of the set holds no picture' in refused(capsys, *CYCLEGAN, '--data.attribute', 'Night', '--data.n', '1', '--out',
                                                           tmp_path / 'other')
    assert not (tmp_path / 'other').exists()


def test_two_domains_of_a_folder_and_their_judge(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, reader = tmp_path / 'run', tmp_path / 'reader'
    assert main([*CYCLEGAN, '--data', str(scenes), '--out', str(run)]) == 0
    assert 'protocol domains_folder has no judge of its own' in refused(capsys, 'evaluate', run)
    train = ['train', 'classifier.folder64', '--data', str(scenes), '--data.size', '32', '--method.width', '2', '--train.batch-size', '4',
             '--stop-after', '1', '--out', str(reader)]
    assert '--method.labels single' in refused(capsys, *train) and not reader.exists()
    assert main([*train, '--method.labels', 'single']) == 0
    assert 'has no card.json with its accuracy' in refused(capsys, 'evaluate', run, '--judge', reader)
    assert main(['evaluate', str(reader)]) == 0
    of_reader = json.loads((reader / 'card.json').read_text())
    assert of_reader['n'] == 7 and of_reader['data']['attributes'] == ['A', 'B']
    assert main(['evaluate', str(run), '--judge', str(reader), '--figures']) == 0
    card = json.loads((run / 'card.json').read_text())
    assert card['protocol'] == 'domains_folder' and card['n'] == 7 and card['data']['count'] == {'to=B': 4, 'to=A': 3}
    assert set(card['measures']) == {'edit_accuracy', 'psnr_whole', 'untouched', 'untouched_outside_mask', 'mask_area', 'fid[classifier]',
                                     'kid[classifier]', 'kid_fused[classifier]', 'kid_pooled[classifier]'}
    assert card['extractors'] == {'classifier': of_reader['checkpoint']['sha256']} and list(card['references']) == ['copy']
    assert sorted(p.name for p in (run / 'figures').iterdir()) == [f'picture-{i + 1}-to={to}.png' for i, to in enumerate('BABA')]
    assert f'evaluate {run} --protocol domains_folder --judge {reader}' in card['command']
    assert main(['compare', str(run), '--out', str(tmp_path / 'compared')]) == 0 and 'note' not in capsys.readouterr().err
    assert [f'picture {i + 1}: to={to}' for i, to in enumerate('BABA')] == re.findall(
        '<figcaption>(.*?)</figcaption>', (tmp_path / 'compared' / 'report.html').read_text())
    assert main(['evaluate', str(run), '--judge', str(reader), '--n', '4', '--json', '--out', str(tmp_path / 'few')]) == 0
    assert json.loads((tmp_path / 'few' / 'card.json').read_text())['data']['count'] == {'to=B': 2, 'to=A': 2}
    assert 'does not fit a cyclegan' in refused(capsys, 'evaluate', run, '--protocol', 'domains')


@pytest.mark.parametrize(('direction', 'wanted'), [('a_to_b', 'B'), ('b_to_a', 'A')])
def test_pairs_of_toyfaces_and_of_a_folder(direction: str, wanted: str, maps: Path, tmp_path: Path,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / 'run'
    domains = ('A', 'B') if wanted == 'B' else ('B', 'A')
    tiny = METHODS['pix2pix'].tiny()
    size = 32 if tiny.data.size < 32 else tiny.data.size
    saved(run / 'model', METHODS['pix2pix'](tiny.config, DataSpec(size=size, domains=domains)), {'source': 'toyfaces'})
    Parser = METHODS['parser']
    parser = saved(tmp_path / 'parser', Parser(Parser.tiny().config, DataSpec(size=size, attributes=toyfaces.CLASSES)))
    assert main(['evaluate', str(run), '--n', '5', '--figures']) == 0
    card = json.loads((run / 'card.json').read_text())
    assert card['protocol'] == 'pairs' and card['data']['attributes'] == [f'to={wanted}'] and card['n'] == 5
    assert {'copy', 'truth', 'untrained'} == set(card['references'])
    assert ('fcn_iou' in card['measures']) == (wanted == 'A') and {'psnr_truth', 'mse_truth', 'ssim_truth'} <= set(card['measures'])
    assert len(list((run / 'figures').iterdir())) == 4
    if wanted == 'A':
        assert '--judge does not apply' in refused(capsys, 'evaluate', run, '--judge', parser)
    else:
        assert main(['evaluate', str(run), '--n', '5', '--judge', str(parser)]) == 0
        card = json.loads((run / 'card.json').read_text())
        assert card['judge']['sha256'] and set(card['measures']['fcn_iou']['per_attribute']) == set(toyfaces.CLASSES)
        assert 'expected a parser' in refused(capsys, 'evaluate', run, '--judge', run)
    assert '--features judge does not apply to pairs' in refused(capsys, 'evaluate', run, '--features', 'judge')
    assert main(['evaluate', str(run), '--data', str(maps), '--json', '--out', str(tmp_path / 'other')]) == 0
    card = json.loads((tmp_path / 'other' / 'card.json').read_text())
    assert card['n'] == 10 and card['data']['source'] == str(maps) and 'fcn_iou' not in card['measures']      # all: none was trained on
    assert card['data']['split'] == 'whole' and '--n' not in card['command']
    assert card['references']['truth']['mse_truth']['value'] == 0
    assert 'expected at least 2 pictures' in refused(capsys, 'evaluate', run, '--n', '1')


def one_wide(folder: Path) -> None:
    Image.new('RGB', (40, 24)).save(folder / 'B' / '3.png')


def side_by_side(folder: Path) -> None:
    for name in ('train', 'test'):
        (folder / name).mkdir()
        for i in range(6):
            Image.new('RGB', (48, 24)).save(folder / name / f'{i}.png')
    Image.new('RGB', (24, 24)).save(folder / 'train' / '5.png')
    shutil.rmtree(folder / 'A')
    shutil.rmtree(folder / 'B')


BAD_PAIRS: dict[str, Callable[[Path], object]] = {
    r'11 pictures in .*A, 10 in .*B, extra is only in': lambda folder: Image.new('RGB', (24, 24)).save(folder / 'A' / 'extra.png'),
    r'3 is only in .*A: expected equal names': lambda folder: (folder / 'B' / '3.png').rename(folder / 'B' / 'three.png'),
    r'A/3.png is 24 x 24 px, its partner .*B/3.png 40 x 24 px: expected the same scene in the same frame': one_wide,
    r'B/3.png: .*(not a picture|damaged)': lambda folder: (folder / 'B' / '3.png').write_bytes(b'not a picture'),
    r'no pictures in B/': lambda folder: shutil.rmtree(folder / 'B'),
    r'train/5.png: 24 x 24 px: expected width = 2 x height': side_by_side,
}


@pytest.mark.parametrize('words', BAD_PAIRS)
def test_pairs_that_do_not_fit(words: str, maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / 'set', tmp_path / 'run'
    shutil.copytree(maps, folder)
    train = ['train', 'pix2pix.toyfaces', '--data', str(folder), '--data.size', '16', '--data.load-size', 'none', '--stop-after', '1',
             '--train.batch-size', '2', '--out', str(out)]
    BAD_PAIRS[words](folder)
    before = sorted(p.stat().st_mtime_ns for p in folder.rglob('*'))
    assert re.search(words, line := refused(capsys, *train)), line
    assert not out.exists() and sorted(p.stat().st_mtime_ns for p in folder.rglob('*')) == before


def test_one_held_out_pair_is_too_few(maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / 'set'
    for side in 'AB':
        (folder / side).mkdir(parents=True)
        for i in range(5):
            shutil.copy(maps / side / f'{i}.png', folder / side)
    model = saved(tmp_path / 'model', METHODS['pix2pix'].tiny(), {'source': str(folder)})
    assert f'{folder} has 1 held-out pair: expected at least 2' in refused(capsys, 'evaluate', model)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_stored_attention_is_resumed_exactly_and_on_its_own_set_only(scenes: Path, tmp_path: Path,
                                                                      capsys: pytest.CaptureFixture[str]) -> None:
    """Crops and flips move the maps; the set moves to another place between the halves of a run."""
    folder, moved = tmp_path / 'set', tmp_path / 'moved'
    shutil.copytree(scenes, folder)
    small = ['--data.size', '16', '--data.load-size', '20', '--method.width-g', '4', '--method.width-d', '4', '--method.width-t', '4',
             '--method.blocks', '1', '--train.batch-size', '2', '--train.iterations', '40']
    for name, stops in {'straight': '6', 'halves': '3'}.items():
        assert main(['train', 'asgit.toyfaces', '--data', str(folder), *small, '--stop-after', stops, '--out', str(tmp_path / name)]) == 0
    before = contents(tmp_path / 'halves')
    folder.rename(moved)
    resume = ['train', str(tmp_path / 'halves'), '--resume', 'auto', '--stop-after', '6']
    assert f"no folder '{folder}'" in refused(capsys, *resume)
    picture = (moved / 'trainB' / '2.png').read_bytes()
    Image.new('RGB', (40, 40)).save(moved / 'trainB' / '2.png')
    assert f'{moved} is not the set that' in refused(capsys, *resume, '--data', moved)
    assert contents(tmp_path / 'halves') == before                                     # nothing is lost
    (moved / 'trainB' / '2.png').write_bytes(picture)
    assert main([*resume, '--data', str(moved)]) == 0
    straight, halves = (torch.load(tmp_path / name / 'state' / 'last.pt', weights_only=True) for name in ('straight', 'halves'))
    assert all(torch.equal(value, halves['trainable'][key]) for key, value in straight['trainable'].items())
    maps = {key: value for key, value in straight['trainable'].items() if key.endswith('.maps')}
    assert len(maps) == 2 and all(0 < float((m != 1).float().mean()) for m in maps.values())


@pytest.mark.parametrize('emptied', ['trainA', 'trainB', 'testA'])
def test_an_empty_domain(emptied: str, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / 'set', tmp_path / 'run'
    shutil.copytree(scenes, folder)
    for path in (folder / emptied).iterdir():
        path.unlink()
    line = f'{emptied} holds no pictures: expected the pictures of domain {emptied[-1]}'
    assert line in refused(capsys, *CYCLEGAN, '--data', folder, '--out', out)
    line = f'{emptied} holds no pictures: expected the pictures of domain A'
    assert line in refused(capsys, *CYCLEGAN, '--data', f'{folder / emptied},{folder / "testB"}', '--out', out)
    assert not out.exists()


def test_a_set_without_a_test_part_is_trained_on_and_not_scored(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, run = tmp_path / 'set', tmp_path / 'run'
    for name in ('trainA', 'trainB'):
        shutil.copytree(scenes / name, folder / name)
    assert main([*CYCLEGAN, '--data', str(folder), '--out', str(run)]) == 0
    torch.manual_seed(0)
    Classifier = METHODS['classifier']
    judge = saved(tmp_path / 'judge', Classifier(Classifier.tiny().config, DataSpec(size=32, attributes=('A', 'B'))))
    assert 'has no card.json' in refused(capsys, 'evaluate', run, '--judge', judge)
    sha256 = json.loads((judge / 'config.json').read_text())['sha256']
    (judge / 'card.json').write_text(json.dumps({
        'protocol': 'classifier', 'n': 4, 'seed': 0, 'hardware': 'a machine', 'versions': {},
        'checkpoint': {'rule': 'last', 'sha256': sha256},
        'data': {'source': 'set', 'hash': 'ab', 'size': 32, 'attributes': ['A', 'B']}, 'measures': {'accuracy': {'value': 0.5}}}))
    assert 'no test pictures of domain A: expected testA/' in refused(capsys, 'evaluate', run, '--judge', judge)
