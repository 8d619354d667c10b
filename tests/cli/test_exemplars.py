"""Systems that take an exemplar on the command line: trained, edited with, scored, and refused in one line."""
from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from retouch import toyfaces
from retouch.cli.main import main
from retouch.evaluation.card import Card
from retouch.methods.aggan_multi import AGGANMulti
from retouch.methods.classifier import AttributeClassifier
from retouch.methods.lomit import LOMIT
from retouch.methods.munit import MUNIT
from retouch.model import save_model
from tests.folders import write_labelled_faces


def model_dir(folder: Path, method: type, info: dict | None = None) -> Path:
    torch.manual_seed(0)
    trainable = method.tiny()
    weights = {f'{n}.{k}': v for n in trainable.inference_nets for k, v in trainable.nets[n].state_dict().items()}
    save_model(folder, trainable, weights, info or {})
    return folder


def pixels_of(path: str | Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.fixture(scope='module')
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two drawn faces, masks, and untrained models of each kind."""
    folder = tmp_path_factory.mktemp('exemplars')
    for name, index, size in (('face', 1_000_003, 60), ('other', 1_000_007, 48), ('small', 1_000_007, 16)):
        picture = Image.fromarray(toyfaces.render(*toyfaces.face(index), size)[0])
        (picture if size > 16 else picture.crop((0, 0, 15, 15))).save(folder / f'{name}.png')
    for name, size in (('mask', (60, 60)), ('other-mask', (48, 48)), ('narrow', (30, 60))):
        painted = np.zeros(size[::-1], np.uint8)
        painted[:, :size[0] // 2] = 255
        Image.fromarray(painted).save(folder / f'{name}.png')
    model_dir(folder / 'LOMIT', LOMIT, {'data': {'source': 'toyfaces', 'any_of': ['Black_Hair', 'Blond_Hair', 'Brown_Hair']}})
    model_dir(folder / 'MUNIT', MUNIT, {'data': {'source': 'toyfaces', 'attribute': 'Smiling'}})
    model_dir(folder / 'AGGAN', AGGANMulti)
    model_dir(folder / 'PHOTOS', LOMIT, {'data': {'source': 'my/faces'}})
    return folder


def test_edit_writes_both_masks(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    words = ['edit', 'LOMIT', 'face.png', '--exemplar', 'other.png', '--out', str(tmp_path)]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert 'in the style of other.png' in captured.out and 'face.exemplar-mask.png' in captured.out and captured.err == ''
    assert sorted(p.name for p in tmp_path.iterdir()) == ['face.diff.png', 'face.exemplar-mask.png', 'face.mask.png', 'face.png']
    plain = pixels_of(tmp_path / 'face.png')
    assert pixels_of(tmp_path / 'face.exemplar-mask.png').shape == (48, 48)
    assert main([*words, '--mask', 'mask.png', '--exemplar-mask', 'other-mask.png']) == 0
    for written, painted in (('face.mask.png', 'mask.png'), ('face.exemplar-mask.png', 'other-mask.png')):
        assert np.array_equal(pixels_of(tmp_path / written), pixels_of(painted))
    edited, before = pixels_of(tmp_path / 'face.png'), pixels_of('face.png')
    assert np.array_equal(edited[:, 30:], before[:, 30:]) and not np.array_equal(edited[:, :30], plain[:, :30])


def test_edit_of_two_domains_takes_an_exemplar(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    for out, more in (('drawn', []), ('after', ['--exemplar', 'other.png'])):
        assert main(['edit', 'MUNIT', 'face.png', '--to', 'A', *more, '--out', str(tmp_path / out)]) == 0
    assert 'to A in the style of other.png' in capsys.readouterr().out and not (tmp_path / 'after' / 'face.exemplar-mask.png').exists()
    assert not np.array_equal(*(pixels_of(tmp_path / out / 'face.png') for out in ('drawn', 'after')))


@pytest.mark.parametrize(('words', 'says'), [
    ('edit LOMIT face.png', 'LOMIT takes the look of an exemplar (lomit): add --exemplar'),
    ('edit LOMIT face.png --exemplar other.png --set Eyeglasses=1', '--set does not apply to LOMIT: lomit takes the look of an exemplar'),
    ('edit LOMIT face.png --exemplar other.png --source Eyeglasses=1', '--source does not apply to LOMIT'),
    ('edit LOMIT face.png --exemplar other.png --to B', '--to does not apply to LOMIT'),
    ('edit LOMIT face.png --exemplar-mask other-mask.png', '--exemplar-mask is the mask of an exemplar: add --exemplar'),
    ('edit LOMIT face.png --exemplar nowhere.png', 'nowhere.png is not there'),
    ('edit LOMIT face.png --exemplar small.png', 'the exemplar is 15 x 15 px: expected at least 16 x 16 px'),
    ('edit LOMIT face.png --exemplar other.png --mask narrow.png', 'mask is 30 x 60 px, the picture 60 x 60 px'),
    ('edit LOMIT face.png --exemplar other.png --exemplar-mask narrow.png', 'mask is 30 x 60 px, the picture 48 x 48 px'),
    ('edit AGGAN face.png --exemplar other.png', '--exemplar does not apply to AGGAN: aggan_multi takes none; use --set'),
    ('edit MUNIT face.png --exemplar other.png --exemplar-mask other-mask.png', 'munit has no masks and reads the whole exemplar'),
    ('edit MUNIT face.png --exemplar small.png', 'expected at least 16 x 16 px'),
    ('evaluate LOMIT --protocol domains', 'does not fit a lomit on toyfaces: expected exemplars'),
    ('evaluate AGGAN --protocol exemplars', 'does not fit a aggan_multi on toyfaces: expected toyfaces'),
    ('evaluate PHOTOS', 'my/faces'),
    ('evaluate LOMIT --download', '--download needs --features'),
    ('evaluate LOMIT --n 1', 'at least 2'),
])
def test_a_mistake_is_one_line(words: str, says: str, place: Path, capsys: pytest.CaptureFixture[str],
                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert main([*words.split(), *(('--out', 'out') if words.startswith('edit') else ())]) == 2
    captured = capsys.readouterr()
    assert says in captured.err and len(captured.err.splitlines()) == 1 and captured.out == '' and not (place / 'out').exists()


def test_nothing_that_is_read_is_overwritten(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('face', 'other', 'mask'):
        (tmp_path / f'{name}.png').write_bytes((place / f'{name}.png').read_bytes())
    (tmp_path / 'face.mask.png').write_bytes((place / 'mask.png').read_bytes())
    monkeypatch.chdir(tmp_path)
    picture = Path('in.png')
    picture.write_bytes((place / 'face.png').read_bytes())
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'sub' / 'other.png').write_bytes((place / 'face.png').read_bytes())
    for words in ((f'edit {place}/LOMIT sub/other.png --exemplar other.png --out .'),
                  (f'edit {place}/LOMIT in.png --exemplar other.png --mask in.mask.png --out .')):
        (tmp_path / 'in.mask.png').write_bytes((place / 'mask.png').read_bytes())
        before = {p.name: p.read_bytes() for p in tmp_path.glob('*.png')}
        assert main(words.split()) == 2 and 'never overwritten' in capsys.readouterr().err
        assert {p.name: p.read_bytes() for p in tmp_path.glob('*.png')} == before


def test_evaluate_writes_card_report_and_figures(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setitem(sys.modules, 'sklearn.manifold', None)
    assert main(['evaluate', 'LOMIT', '--n', '8', '--out', str(tmp_path), '--figures']) == 0
    captured = capsys.readouterr()
    for words in ('protocol exemplars, n=8', 'mask_iou_exemplar', 'style_distance (8-bit levels)'):
        assert words in captured.out
    assert captured.err.splitlines() == ["note: no t-SNE of codes, which needs scikit-learn: pip install 'retouch[figures]'"]
    card = Card.read(tmp_path / 'card.json')
    assert card.protocol == 'exemplars' and set(card.references) == {'copy', 'truth', 'untrained'}
    figures = sorted(p.name for p in (tmp_path / 'figures').iterdir())
    assert [name for name in figures if 'all' not in name] == [f'pair-{i}.png' for i in (1, 2, 3, 4)]
    assert any('all-then-one-by-one' in name for name in figures)
    assert 'exemplar mask' in (tmp_path / 'report.html').read_text()
    assert main([*card.command.split()[1:], '--json']) == 0
    again = Card.model_validate_json(capsys.readouterr().out)
    assert again.measures == card.measures and again.data == card.data


def test_two_domains_are_scored_by_either_protocol(place: Path, capsys: pytest.CaptureFixture[str],
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    for protocol, attributes in ((None, ['Smiling=1', 'Smiling=0']), ('exemplars', ['Smiling'])):
        assert main(['evaluate', 'MUNIT', '--n', '8', '--json', *(('--protocol', protocol) if protocol else ())]) == 0
        card = json.loads(capsys.readouterr().out)
        assert card['protocol'] == (protocol or 'domains') and card['data']['attributes'] == attributes


def test_training_says_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ['--data.n', '12', '--data.size', '16', '--train.batch-size', '2', '--method.width-g', '4', '--method.width-d', '4',
             '--method.blocks', '1']
    run = tmp_path / 'run'
    assert main(['train', 'lomit.toyfaces', *small, '--stop-after', '2', '--out', str(run)]) == 0
    assert f'retouch edit {run} PICTURE.png --exemplar OTHER.png' in capsys.readouterr().out
    for name, index in (('face', 1_000_003), ('other', 1_000_007)):
        Image.fromarray(toyfaces.render(*toyfaces.face(index), 40)[0]).save(tmp_path / f'{name}.png')
    face, other, out = (str(tmp_path / name) for name in ('face.png', 'other.png', 'out'))
    assert main(['edit', str(run), face, '--exemplar', other, '--out', out]) == 0
    assert (tmp_path / 'out' / 'face.exemplar-mask.png').is_file()


def test_photographs_are_scored_by_a_judge_of_their_own(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    write_labelled_faces(tmp_path / 'faces', 60, ('Black_Hair', 'Blond_Hair', 'Eyeglasses'))
    judge = model_dir(tmp_path / 'judge' / 'model', AttributeClassifier)
    monkeypatch.chdir(tmp_path)
    words = ['evaluate', str(place / 'PHOTOS'), '--data', 'faces', '--out', 'out', '--figures', '--n', '8']
    assert main(words) == 2
    assert 'exemplars_folder has no judge of its own' in capsys.readouterr().err and not Path('out').exists()
    assert main(['evaluate', str(judge.parent), '--data', 'faces']) == 0
    capsys.readouterr()
    assert main([*words, '--judge', 'judge']) == 0
    assert 'protocol exemplars_folder, n=8' in capsys.readouterr().out
    card = Card.read('out/card.json')
    assert (card.protocol, card.n, card.data.source, set(card.references)) == ('exemplars_folder', 8, 'faces', {'copy'})
    assert card.references['copy']['untouched'].value == 1 and 'psnr_whole' in card.measures and 'psnr_outside' not in card.measures
    assert 'inception_kl[classifier]' in card.measures and list(card.extractors) == ['classifier']
    assert {f'pair-{i}.png' for i in (1, 2, 3, 4)} < {p.name for p in Path('out/figures').iterdir()}
