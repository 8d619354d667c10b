"""Whole files, the cache folder, and machines that lack what only Linux has."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from retouch.data import cache
from retouch.files import cache_root, whole_file, write_atomically


def test_a_file_is_the_old_one_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced = tmp_path / 'a.bin', list[str]()
    real = os.fsync
    monkeypatch.setattr('os.fsync', lambda number: (synced.append(os.readlink(f'/proc/self/fd/{number}')), real(number))[1])
    write_atomically(path, b'old')
    assert synced == [str(tmp_path / f'.a.bin.{os.getpid()}.tmp'), str(tmp_path)]      # the file, and after the rename its folder
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


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / 'a', b'old')

    def full(number: int) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(OSError, match='could not write .*No space left.*the previous file is untouched'):
        write_atomically(tmp_path / 'a', b'new')
    assert (tmp_path / 'a').read_bytes() == b'old' and os.listdir(tmp_path) == ['a']


@pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere caches lie in a place of their own')
def test_the_cache_lies_where_users_expect_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('RETOUCH_CACHE', str(tmp_path / 'own'))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    assert cache_root() == tmp_path / 'own'
    monkeypatch.delenv('RETOUCH_CACHE')
    assert cache_root() == tmp_path / 'xdg' / 'retouch'
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setenv('HOME', str(tmp_path))
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
