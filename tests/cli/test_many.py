"""`retouch edit` of folders and patterns, and `retouch score` of what comes of it."""
from __future__ import annotations

import csv
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retouch.cli.edit_table import Row, read_rows
from retouch.cli.main import main
from retouch.editor import Edit
from tests.cli.test_cli import model  # noqa: F401
from tests.unit.test_editor import noise


def run(*words: Any) -> int:
    return main([str(word) for word in words])


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / 'edits.csv').open(newline='') as file:
        return list(csv.DictReader(file))


def files_under(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Frames of a film and pictures in a sub-folder, one of them damaged, two of one name."""
    folder = tmp_path / 'shots'
    (folder / 'day two').mkdir(parents=True)
    for i in range(10):
        Image.fromarray(noise(20 + i, 24)).save(folder / f'frame_{i:03d}.png')
    for suffix in ('png', 'bmp'):
        Image.fromarray(noise(30, 30 + len(suffix))).save(folder / f'twin.{suffix}')
    Image.fromarray(noise(31, 20)).save(folder / 'day two' / 'late.png')
    (folder / 'day two' / 'bad.png').write_bytes(b'no picture')
    return folder


def test_a_folder_is_edited_as_each_picture_alone(capsys: pytest.CaptureFixture[str], model: Path, shots: Path, tmp_path: Path) -> None:   # noqa: F811
    out = shots / 'edited'                                       # inside: a second command must not edit its own results
    command = ['edit', model, shots, '--set', 'Eyeglasses=1', '--recursive', '--out', out]
    for _ in range(2):
        assert run(*command) == 2                                # for one of them
        said = capsys.readouterr()
        assert said.err.splitlines()[-1].startswith(f'retouch: error: {shots}/day two/bad.png: not a picture')
        assert said.out.startswith('13 pictures edited in ') and f'{out}/edits.csv' in said.out and len(said.out.splitlines()) == 1
        assert f'{shots}/twin.bmp shares its name with twin.png: it becomes twin_bmp' in said.err
    names = [*(f'frame_{i:03d}' for i in range(10)), 'twin_bmp', 'twin_png', 'day two/late']
    assert set(files_under(out)) == {'edits.csv', *(f'{name}.{kind}' for name in names for kind in ('png', 'mask.png', 'diff.png'))}
    for name, given in (('frame_003', 'frame_003.png'), ('twin_bmp', 'twin.bmp'), ('day two/late', 'day two/late.png')):
        assert run('edit', model, shots / given, '--set', 'Eyeglasses=1', '--out', tmp_path / 'alone') == 0
        for kind in ('png', 'mask.png', 'diff.png'):
            assert (out / f'{name}.{kind}').read_bytes() == (tmp_path / 'alone' / f'{Path(given).stem}.{kind}').read_bytes()
    rows = rows_of(out)
    assert [row['result'] for row in rows if row['result']] == [f'frame_{i:03d}.png' for i in range(10)] + [
        'twin_bmp.png', 'twin_png.png', 'day two/late.png']
    late = rows[-1]
    assert late['picture'] == f'{shots}/day two/late.png' and 'Eyeglasses=1' in late['asked'] and 'the 20 x 20 px square' in late['notes']
    assert 0 <= float(late['untouched']) <= 1 and dict(pair.split('=') for pair in late['read'].split()).keys() >= {'Eyeglasses'}
    bad = next(row for row in rows if not row['result'])
    assert bad['picture'].endswith('bad.png') and 'not a picture' in bad['error'] and bad['untouched'] == ''


def test_resume_edits_what_is_missing_or_older(capsys: pytest.CaptureFixture[str], model: Path, shots: Path, tmp_path: Path,   # noqa: F811
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    command = ['edit', model, shots, '--set', 'Eyeglasses=1', '--out', tmp_path / 'out']
    save, saved, one = Edit.save, list[str](), threading.Lock()

    def stop(self: Edit, folder: Any, name: str, *args: Any, **options: Any) -> Any:
        with one:
            if len(saved) == 7:
                raise OSError(28, 'No space left on device')
            saved.append(name)
        return save(self, folder, name, *args, **options)

    monkeypatch.setattr(Edit, 'save', stop)
    assert run(*command) == 2
    said = capsys.readouterr().err
    assert 'No space left' in said and 'pictures are edited' in said and '--resume goes on' in said
    before = files_under(tmp_path / 'out')
    with (tmp_path / 'out' / 'edits.csv').open('a') as file:     # half a line of a command that was killed
        file.write('shots/frame_')
    monkeypatch.setattr(Edit, 'save', save)
    (tmp_path / 'out' / 'frame_001.mask.png').unlink()
    os.utime(shots / 'frame_002.png')                            # changed since
    os.utime(tmp_path / 'out' / 'frame_002.png', (1, 1))
    assert run(*command, '--resume') == 0
    assert f'; {7 - 2} were there already; ' in capsys.readouterr().out
    after = files_under(tmp_path / 'out')
    assert len(after) == 1 + 12 * 3 and all(after[name] == before[name] for name in before if name != 'edits.csv')
    assert [row['result'] for row in rows_of(tmp_path / 'out')] == [*(f'frame_{i:03d}.png' for i in range(10)), 'twin_bmp.png',
                                                                    'twin_png.png']
    assert run(*command, '--resume') == 0 and '0 pictures edited' in capsys.readouterr().out
    assert run('edit', model, shots, '--set', 'Eyeglasses=0', '--out', tmp_path / 'out', '--resume') == 2
    assert 'was made with' in (said := capsys.readouterr().err) and 'choose another --out' in said and len(said.splitlines()) <= 3
    assert files_under(tmp_path / 'out') == after
    (tmp_path / 'out' / 'edits.csv').unlink()                    # nothing tells that these were made with Eyeglasses=1
    assert run('edit', model, shots, '--set', 'Eyeglasses=0', '--out', tmp_path / 'out', '--resume') == 0
    assert 'were there already' not in capsys.readouterr().out and 'Eyeglasses=0' in rows_of(tmp_path / 'out')[0]['asked']


def test_what_other_threads_saved_before_a_stop_has_its_row(model: Path, shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,   # noqa: F811
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    save, later, out = Edit.save, threading.Event(), tmp_path / 'out'

    def stop(self: Edit, folder: Any, name: str, *args: Any, **options: Any) -> Any:
        if name == 'frame_003':
            assert later.wait(60)
            raise OSError(28, 'No space left on device')
        paths = save(self, folder, name, *args, **options)
        if name == 'frame_005':
            later.set()
        return paths

    monkeypatch.setattr(Edit, 'save', stop)
    assert run('edit', model, shots, '--set', 'Eyeglasses=1', '--out', out) == 2
    there = {path.name for path in out.glob('*.png') if path.name.count('.') == 1}
    assert {row['result'] for row in rows_of(out)} == there >= {'frame_002.png', 'frame_004.png', 'frame_005.png'}
    assert f'stopped: {len(there)} pictures are edited, {12 - len(there)} are left' in capsys.readouterr().err


def test_a_picture_that_is_not_there_has_a_row(capsys: pytest.CaptureFixture[str], model: Path, shots: Path, tmp_path: Path) -> None:   # noqa: F811
    gone, out = shots / 'gone.png', tmp_path / 'out'
    assert run('edit', model, shots / 'day two', gone, '--set', 'Eyeglasses=1', '--out', out) == 2
    assert f'retouch: error: {gone} is not there: expected a picture' in capsys.readouterr().err.splitlines()
    rows = rows_of(out)
    assert sorted(Path(row['picture']).name for row in rows if row['error']) == ['bad.png', 'gone.png']
    assert [row['result'] for row in rows if row['result']] == ['late.png']


def test_patterns_formats_and_pictures_alone(capsys: pytest.CaptureFixture[str], model: Path, shots: Path, tmp_path: Path) -> None:   # noqa: F811
    assert run('edit', model, f'{shots}/*/l*.png', '--set', 'Eyeglasses=1', '--format', 'jpg', '--quality', '80', '--no-mask', '--out',
               tmp_path / 'out') == 0
    assert 'jpg: outside the mask identical in the decoded input, re-encoded' in capsys.readouterr().err
    assert set(files_under(tmp_path / 'out')) == {'edits.csv', 'day two/late.jpg'}
    assert 're-encoded' in rows_of(tmp_path / 'out')[0]['notes'] and 'quality=80' in rows_of(tmp_path / 'out')[0]['asked']
    picture = shots / 'frame_000.png'
    assert run('edit', model, picture, '--set', 'Eyeglasses=1', '--format', 'webp', '--out', tmp_path / 'one') == 0
    assert str(tmp_path / 'one' / 'frame_000.webp') in capsys.readouterr().out
    assert set(files_under(tmp_path / 'one')) == {'frame_000.webp', 'frame_000.mask.png', 'frame_000.diff.png'}
    assert run('edit', model, picture, '--set', 'Eyeglasses=1', '--format', 'webp', '--resume', '--out', tmp_path / 'one') == 0
    assert capsys.readouterr().out == '1 pictures were there already\n'
    Image.new('RGBA', (20, 20)).save(tmp_path / 'clear.png')
    assert run('edit', model, tmp_path / 'clear.png', '--set', 'Eyeglasses=1', '--format', 'jpg', '--out', tmp_path / 'one') == 2
    assert 'clear.png: the picture has transparency' in capsys.readouterr().err


def test_names_that_would_meet_are_refused(capsys: pytest.CaptureFixture[str], model: Path, shots: Path, tmp_path: Path) -> None:   # noqa: F811
    edit = ['edit', model, '--out', tmp_path / 'out', '--set', 'Eyeglasses=1']
    shutil.copytree(shots, tmp_path / 'more')
    assert run(edit[0], edit[1], shots, tmp_path / 'more', *edit[2:]) == 2
    assert 'would both be written to' in capsys.readouterr().err
    Image.fromarray(noise(20, 20)).save(shots / 'twin_bmp.png')
    assert run(edit[0], edit[1], shots, *edit[2:]) == 2
    assert 'twin_bmp.png would both be written to' in capsys.readouterr().err
    assert run(edit[0], edit[1], tmp_path, *edit[2:]) == 2
    assert f'{tmp_path} holds no pictures' in (said := capsys.readouterr().err) and '--recursive looks into its folders' in said
    assert not (tmp_path / 'out').exists()


def test_rows_survive_odd_names(tmp_path: Path) -> None:
    row = Row('a,"b"\nc.png', 'r.png', 'x', 'A=1', '0.5', 'one; two', '')
    (tmp_path / 'edits.csv').write_text(','.join(Row._fields) + '\n"a,""b""\nc.png",r.png,x,A=1,0.5,one; two,\nhalf,')
    assert read_rows(tmp_path / 'edits.csv') == {'r.png': row} and read_rows(tmp_path / 'none.csv') == {}


def test_score_from_folders_to_a_comparison(capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path) -> None:   # noqa: F811
    for i in range(6):
        (tmp_path / 'before').mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / 'before' / f'{i}.png')
    assert run('edit', model, tmp_path / 'before', '--set', 'Eyeglasses=1', '--out', tmp_path / 'ours') == 0
    assert run('edit', model, tmp_path / 'before', '--set', 'Eyeglasses=1', '--strength', '0.5', '--out', tmp_path / 'half') == 0
    capsys.readouterr()
    shared = ['--judge', 'judge', '--set', 'Eyeglasses=1', '--device', 'cpu']
    for name in ('ours', 'half'):
        assert run('score', '--before', tmp_path / 'before', '--after', tmp_path / name, '--masks', tmp_path / name, '--real',
                   tmp_path / 'before', *shared, '--out', tmp_path / f'{name}-card') == 0
        said = capsys.readouterr()
        assert 'edit_accuracy' in said.out and 'mask_area' in said.out and 'untouched_outside_mask' in said.out and 'written:' in said.out
        assert 'needs n >=' in said.out and 'note:' not in said.err
    card = json.loads((tmp_path / 'ours-card' / 'card.json').read_text())
    assert card['protocol'] == 'edits' and card['checkpoint']['name'] == str(tmp_path / 'ours') and card['data']['size'] == 32
    assert card['command'].startswith('retouch score --before ') and '--judge judge --set Eyeglasses=1' in card['command']
    assert card['measures']['untouched_outside_mask']['value'] <= 1 and card['judge']['mean_accuracy'] > 0.99
    page = (tmp_path / 'ours-card' / 'report.html').read_text()
    assert 'difference' in page and 'as given' in page
    assert run('compare', tmp_path / 'ours-card', tmp_path / 'half-card', '--out', tmp_path / 'both') == 0
    assert 'psnr_whole' in (said := capsys.readouterr().out) and 'less' in said and '*' in said
    assert run('score', '--before', tmp_path / 'before', '--after', tmp_path / 'ours', '--json') == 0
    assert json.loads(capsys.readouterr().out)['judge'] is None


@pytest.mark.parametrize(('words', 'expected'), [
    ('--after BEFORE --set Eyeglasses=1', 'give both or neither'),
    ('--after BEFORE --judge judge', 'give both or neither'),
    ('--after BEFORE --judge judge --set Eyeglasses=1 Smiling=1', 'expected one attribute'),
    ('--after BEFORE --judge judge --set Eyeglasses=2', 'expected one attribute'),
    ('--after BEFORE --judge judge --set Eyeglases=1', "did you mean 'Eyeglasses'"),
    ('--after BEFORE --judge toyfaces --set Eyeglasses=1', 'is no classifier'),
    ('--after BEFORE --real BEFORE', '--real needs --judge or --features'),
    ('--after BEFORE --download', '--download needs --features'),
    ('--after BEFORE --n 1', 'at least 2'),
    ('--after nowhere', 'nowhere'),
    ('--after EMPTY', 'holds no pictures'),
    ('--after BEFORE --masks OTHER', 'have none of their name'),
    ('', 'missing --after'),
])
def test_a_mistake_of_score_is_one_line(words: str, expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ('BEFORE', 'OTHER', 'EMPTY'):
        (tmp_path / name).mkdir()
    for i in range(3):
        Image.fromarray(noise(16, 16)).save(tmp_path / 'BEFORE' / f'face_{i}.png')
    Image.fromarray(noise(16, 16)).save(tmp_path / 'OTHER' / 'face_1.png')
    line = [str(tmp_path / word) if word.isupper() and word.isalpha() else word for word in ['--before', 'BEFORE', *words.split()]]
    assert main(['score', *line, '--out', str(tmp_path / 'card')]) == 2
    said = capsys.readouterr()
    errors = [text for text in said.err.splitlines() if not text.startswith('note: ')]
    assert len(errors) == 1 and errors[0].startswith('retouch: error: ') and expected in errors[0] and said.out == ''
    assert not (tmp_path / 'card').exists()
