"""Whole files, the cache folder, and machines that lack what only Linux has."""
from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from retouch.cli.main import main
from retouch.data import cache
from retouch.data.cache import cached_images
from retouch.engine.state import save_state
from retouch.files import Writer, cache_note, cache_root, check_out, whole_file, write_atomically
from retouch.methods.stargan import StarGAN
from retouch.model import load_model, save_model

TRANSFORM = {'height': 8, 'width': 8, 'stretch': False, 'crop': None, 'resample': 'bilinear', 'ground': 'white', 'side': 'whole'}


def test_a_file_is_the_old_one_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced = tmp_path / 'a.bin', list[str]()
    real = os.fsync
    monkeypatch.setattr('os.fsync', lambda number: (synced.append(os.readlink(f'/proc/self/fd/{number}')), real(number))[1])
    write_atomically(path, b'old')
    assert re.fullmatch(rf'{tmp_path}/\.a\.bin\.\w+\.tmp', synced[0]) and synced[1:] == [str(tmp_path)]      # then, renamed, its folder
    with pytest.raises(KeyboardInterrupt), whole_file(path) as file:
        file.write(b'new, but only ha')
        raise KeyboardInterrupt
    assert path.read_bytes() == b'old' and os.listdir(tmp_path) == ['a.bin']
    leftover = tmp_path / '.a.bin.1.tmp'                                               # of a process that was killed
    leftover.write_bytes(b'ha')
    with whole_file(path) as file:
        file.write(b'new')
    assert path.read_bytes() == b'new' and leftover.exists()                           # another process may be writing it
    with whole_file(path, alone=True) as file:
        file.write(b'newer')
    assert path.read_bytes() == b'newer' and os.listdir(tmp_path) == ['a.bin']


def test_what_killed_processes_left_is_removed_after_a_day(tmp_path: Path) -> None:
    """Nobody is sure to be alone with a card, a report or drawn faces: what may still be written stays."""
    for name in ('a.bin', 'b.npy'):
        for age in (0, 2):
            leftover = tmp_path / f'.{name}.{age}.tmp'
            leftover.write_bytes(b'half')
            os.utime(leftover, (time.time() - 86400 * age,) * 2)
    write_atomically(tmp_path / 'a.bin', b'new')
    # the other one may be of another container, with the same number
    with Writer(tmp_path / 'b.npy', (2, 3)) as writer, Writer(tmp_path / 'b.npy', (2, 3)) as other:
        for one in (writer, other):
            one.add(np.ones((1, 3), np.uint8))
        assert len([*tmp_path.glob('.b.npy.*')]) == 3 and not (tmp_path / 'b.npy').exists()
        for one in (writer, other):
            one.add(np.zeros((1, 3), np.uint8))
            assert np.array_equal(one.array(), [[1, 1, 1], [0, 0, 0]])
    assert sorted(os.listdir(tmp_path)) == ['.a.bin.0.tmp', '.b.npy.0.tmp', 'a.bin', 'b.npy']


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / 'a', b'old')

    def full(number: int) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(OSError, match='could not write .*No space left.*the previous file is untouched'):
        write_atomically(tmp_path / 'a', b'new')
    assert (tmp_path / 'a').read_bytes() == b'old' and os.listdir(tmp_path) == ['a']


def test_a_disk_that_cannot_sync_folders_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def refuse(number: int) -> None:
        if os.path.isdir(f'/proc/self/fd/{number}'):
            raise OSError(errno.EINVAL, 'Invalid argument')
        real(number)

    monkeypatch.setattr('os.fsync', refuse)
    write_atomically(tmp_path / 'a', b'new')
    assert (tmp_path / 'a').read_bytes() == b'new'


def test_what_a_killed_save_left_of_a_state_is_removed(tmp_path: Path) -> None:
    (leftover := tmp_path / '.last.pt.1.tmp').write_bytes(b'half')
    save_state(tmp_path, {'iteration': 1})
    assert os.listdir(tmp_path) == ['last.pt'] and not leftover.exists()


def test_weights_and_their_description_change_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cut at any of the renames of a save leaves a model that loads: the old one before the weights are new, then the new one."""
    def save(value: float) -> str:
        method = StarGAN.tiny()
        weights = {f'{n}.{k}': torch.full_like(v, value) for n in method.inference_nets for k, v in method.nets[n].state_dict().items()}
        save_model(tmp_path / 'model', method, weights, {'iteration': int(value)})
        return load_model(tmp_path / 'model').weights_sha256

    old, real, calls = save(1.0), os.replace, list[str]()
    for cut in (1, 2, 3):
        def replace(a: Path, b: Path, cut: int = cut) -> None:
            calls.append(Path(b).name)
            if len(calls) == cut:
                raise KeyboardInterrupt
            real(a, b)

        calls.clear()
        monkeypatch.setattr('os.replace', replace)
        with pytest.raises(KeyboardInterrupt):
            save(2.0)
        monkeypatch.setattr('os.replace', real)
        model = load_model(tmp_path)
        assert (model.weights_sha256 == old, model.info['iteration']) == ((True, 1) if cut < 3 else (False, 2)), calls
    assert calls == ['.config.next.json', 'model.safetensors', 'config.json']
    assert sorted(os.listdir(tmp_path / 'model')) == ['config.json', 'model.safetensors']


def test_results_go_to_folders(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    for out, words in ((tmp_path / 'file', 'is a file'), (tmp_path / 'file' / 'x' / 'y', f'lies in {tmp_path / "file"}, which is a file')):
        with pytest.raises(ValueError, match=words):
            check_out(out)
    check_out(tmp_path / 'new' / 'folder')
    check_out(None)


def test_a_process_waits_for_the_one_that_decodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two on one set: the second finds what the first made, and decodes nothing."""
    path, made = tmp_path / 'a.png', list[np.ndarray]()
    Image.new('RGB', (8, 8), 'red').save(path)
    whole = np.array(cached_images([path], 8, root=tmp_path / 'first'))
    target = next((tmp_path / 'first').glob('*.npy'))
    (tmp_path / 'second').mkdir()
    lock = FileLock(tmp_path / 'second' / f'{target.stem}.lock')
    lock.acquire()
    monkeypatch.setattr(cache, 'decode', lambda *given, **more: pytest.fail('decoded twice'))
    thread = threading.Thread(target=lambda: made.append(np.array(cached_images([path], 8, root=tmp_path / 'second'))))
    thread.start()
    thread.join(0.5)
    assert thread.is_alive() and not made
    shutil.copy(target, tmp_path / 'second')
    lock.release()
    thread.join(20)
    assert np.array_equal(made[0], whole) and not list((tmp_path / 'second').glob('*.lock'))


def test_without_locks_nobody_removes_what_another_is_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: FileLock) -> None:
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(FileLock, 'acquire', refuse)
    Image.new('RGB', (8, 8), 'red').save(path := tmp_path / 'a.png')
    target = tmp_path / f'images-{cache._key([path], {**TRANSFORM, "version": cache.VERSION})}.npy'
    (others := tmp_path / f'.{target.name}.other.tmp').write_bytes(b'half')
    assert cached_images([path], 8, root=tmp_path).shape == (1, 8, 8, 3) and target.is_file() and others.exists()


@pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere caches lie in a place of their own')
def test_the_cache_lies_where_users_expect_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('RETOUCH_CACHE', str(tmp_path / 'own'))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    assert cache_root() == tmp_path / 'own'
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('RETOUCH_CACHE', '~/mine')
    assert cache_root() == tmp_path / 'mine'
    monkeypatch.delenv('RETOUCH_CACHE')
    assert cache_root() == tmp_path / 'xdg' / 'retouch'
    monkeypatch.delenv('XDG_CACHE_HOME')
    assert cache_root() == tmp_path / '.cache' / 'retouch'


def test_pieces_land_at_their_places_without_pwrite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr('os.pwrite')
    with open(tmp_path / 'a', 'wb') as file:
        file.write(bytes(8))
        file.flush()
        for offset, data in ((6, b'cd'), (2, b'ab')):
            cache._write_at(file.fileno(), data, offset)
    assert (tmp_path / 'a').read_bytes() == b'\0\0ab\0\0cd'


HIDDEN = """
import sys
for name in ('fcntl', 'resource'):
    sys.modules[name] = None                                     # importing it raises ImportError, as on Windows
import os
del os.pwrite
import retouch.editor
from pathlib import Path
from PIL import Image
from retouch import Editor, toyfaces, train
from retouch.api import resolve
from retouch.training import dry_run

if __name__ == '__main__':
    face = Image.fromarray(toyfaces.render(*toyfaces.face(3), 64)[0])
    assert Editor.load('toyfaces', 'cpu').edit(face, Blond_Hair=1).image.size == (64, 64)
    small = {'data.n': 8, 'data.size': 16, 'method.width_g': 4, 'method.width_d': 4, 'method.blocks': 1, 'train.batch_size': 2,
             'train.iterations': 2, 'train.threads': 1}
    folder = Path('faces')
    for split in ('one', 'two'):
        (folder / split).mkdir(parents=True)
        for i in range(5):
            face.rotate(i).save(folder / split / f'{i}.png')
    train('aggan_multi.demo', out='drawn', **small)
    train('stargan.rafd', data=folder, out='pictures', **{k: v for k, v in small.items() if k != 'data.n'}, **{'data.crop': None})
    assert 'peak_memory_mib' not in dry_run(resolve('aggan_multi.demo', small)[0], show=False)
    assert not {'fcntl', 'resource'} & {name for name, module in sys.modules.items() if module is not None}
"""


def test_editing_and_training_need_neither_fcntl_nor_resource(tmp_path: Path) -> None:
    (tmp_path / 'hidden.py').write_text(HIDDEN)
    environment = {**os.environ, 'RETOUCH_CACHE': str(tmp_path / 'cache'), 'CUDA_VISIBLE_DEVICES': ''}
    done = subprocess.run([sys.executable, 'hidden.py'], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / 'drawn' / 'model' / 'model.safetensors').is_file() and list((tmp_path / 'cache').glob('images-*.npy'))


def test_without_a_home_the_cache_is_temporary_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    """A container under a user number of its own: no HOME, and nobody of that number in the list of users."""
    def nobody(number: int) -> None:
        raise KeyError(f'getpwuid(): uid not found: {number}')

    for name in ('HOME', 'RETOUCH_CACHE', 'XDG_CACHE_HOME'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr('pwd.getpwuid', nobody)
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    assert cache_root() == tmp_path / f'retouch-{os.getuid()}'
    assert main(['train', 'stargan.toyfaces', '--data.n', '4', '--data.size', '16', '--method.width-g', '4', '--method.width-d', '4',
                 '--method.blocks', '1', '--train.batch-size', '2', '--stop-after', '1', '--out', str(tmp_path / 'run')]) == 0
    note = f'there is no home folder to write to, so decoded pictures are kept in {cache_root()}: set RETOUCH_CACHE to a folder that stays'
    assert cache_note() == note and capsys.readouterr().err.splitlines()[0] == f'note: {note}'
    assert list(cache_root().glob('toyfaces-*-images.npy'))
    monkeypatch.setenv('HOME', '/')                              # what Docker gives such a user, who may not write there
    with monkeypatch.context() as patch:
        patch.setattr('os.access', lambda place, mode: str(place).startswith(str(tmp_path)))
        assert cache_root() == tmp_path / f'retouch-{os.getuid()}' and cache_note()
    monkeypatch.setenv('HOME', str(tmp_path))
    assert cache_root() == tmp_path / '.cache' / 'retouch' and cache_note() is None
    monkeypatch.setenv('RETOUCH_CACHE', str(tmp_path / 'own'))
    assert cache_root() == tmp_path / 'own' and cache_note() is None
