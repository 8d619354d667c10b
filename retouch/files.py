"""Files that are whole or not there at all, arrays that stay on disk, and where the cache lies."""
from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import platformdirs
from filelock import FileLock, Timeout

NAME_BYTES = 255         # of a file's name, on all file systems in use
BATCH = 64      # rows read at once where nobody says how many
A_DAY = 24 * 3600       # seconds after which nobody is writing a file any more


@contextlib.contextmanager
def whole_file(path: Path, alone: bool = False) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends: a reader sees the old one or the new one, never half of either.

    It is written under a temporary name beside `path`, synced and renamed, and the folder is synced too: after a power cut, one of the two
    is there. Where the block fails, nothing is left behind and the old file stays.

    Args:
        path: the file; its folder must exist.
        alone: no other process writes this file, so that what a killed one left of it may be removed at once, and not after a day.
    """
    temporary = _temporary(path, alone)
    try:
        with open(temporary, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        put_in_place(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _temporary(path: Path, alone: bool = False) -> Path:
    """A name beside `path` that nobody else has; what killed processes left under such names is removed."""
    for leftover in path.parent.glob(f'.{path.name}.*.tmp'):
        with contextlib.suppress(OSError):                       # another process may be quicker
            if alone or leftover.stat().st_mtime < time.time() - A_DAY:
                leftover.unlink()
    temporary = path.with_name(f'.{path.name}.{secrets.token_hex(4)}.tmp')
    if len(os.fsencode(temporary.name)) > NAME_BYTES:            # the name itself may be as long as it can be
        temporary = path.with_name(f'.{secrets.token_hex(8)}.tmp')
    return temporary


def put_in_place(temporary: Path, path: Path) -> None:
    """Renames a file that is whole and synced, and syncs the folder: the rename itself must survive a power cut."""
    os.replace(temporary, path)
    if hasattr(os, 'O_DIRECTORY'):                               # elsewhere a folder cannot be opened
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        except OSError as error:                                 # some network disks cannot sync a folder; the file is there
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
                raise
        finally:
            os.close(directory)


def write_atomically(path: Path, payload: bytes, alone: bool = False) -> None:
    """Writes bytes to a `whole_file`. Raises OSError of one line."""
    try:
        with whole_file(path, alone) as file:
            file.write(payload)
    except OSError as error:
        raise OSError(f'could not write {path} ({error.strerror or error}): free some space or choose another --out; '
                      'the previous file is untouched') from error


def read_json(path: Path, expected: str) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        ValueError: no such file, no UTF-8, no JSON, nested too deep to be read, or no object; says that `expected` was expected.
    """
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise ValueError(f'{path} cannot be read ({error.strerror}): expected {expected}') from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} cannot be read ({type(error).__name__}: {error}): expected {expected}') from error
    if not isinstance(found, dict):
        raise ValueError(f'{path} cannot be read (it holds {str(found)[:40]!r} and no object): expected {expected}')
    return found


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """One process at a time trains in a folder; a killed one frees it. ValueError for the second."""
    lock = FileLock(folder / '.lock')
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise ValueError(f'another process is training in {folder}: expected one at a time; wait until it has ended, or choose another '
                         '--out') from None
    except (OSError, NotImplementedError):                       # not writable, which is said later, or a disk without locks
        yield
        return
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def in_turn(place: Path) -> Iterator[bool]:
    """One process at a time does what several would do twice; the others wait, and find it done. A killed one frees the lock.

    Args:
        place: of the lock, in a folder that is there; removed at the end.

    Gives whether this process is sure to be alone: on a disk without locks it is not.
    """
    lock = FileLock(place)
    try:
        lock.acquire()
    except (OSError, NotImplementedError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
    with contextlib.suppress(OSError):                           # whoever waits for it has it open
        place.unlink()


def cache_root() -> Path:
    """RETOUCH_CACHE, or retouch/ in the user's cache folder (XDG_CACHE_HOME or ~/.cache on Linux), or a temporary one (`cache_note`)."""
    if own := os.environ.get('RETOUCH_CACHE'):
        return Path(os.path.expanduser(own))
    usual = _users_cache()
    return _temporary_cache() if usual is None else usual


def cache_note() -> str | None:
    """What a user should know of where the cache lies; None where it lies where it should."""
    if os.environ.get('RETOUCH_CACHE') or _users_cache() is not None:
        return None
    return (f'there is no home folder to write to, so decoded pictures are kept in {_temporary_cache()}: set RETOUCH_CACHE to a folder '
            'that stays')


def _users_cache() -> Path | None:
    """None for a user without a home, as in a container that runs under any number: no HOME nor entry in the list of users, or HOME=/."""
    try:
        usual = Path(platformdirs.user_cache_dir('retouch', appauthor=False))
    except RuntimeError:                                         # newer platformdirs raise, older ones leave the ~
        return None
    there = next((place for place in (usual, *usual.parents) if place.exists()), usual)
    return usual if usual.is_absolute() and (there == usual or os.access(there, os.W_OK)) else None


def _temporary_cache() -> Path:
    """One for every user: what another one made could not be written to."""
    return Path(tempfile.gettempdir()) / (f'retouch-{os.getuid()}' if hasattr(os, 'getuid') else 'retouch')


def check_out(out: Path | None) -> None:
    """ValueError where a folder for results, or what it lies in, is a file: better said before the work than after it."""
    if '\0' in str(out):
        raise ValueError(f'--out {str(out)!r}: expected a path, in which no character is NUL')
    for place in (out, *out.absolute().parents) if out is not None else ():
        if place.exists():
            if not place.is_dir():
                raise ValueError(f'--out {out} is a file: expected a folder, which is made if it is missing' if place == out else
                                 f'--out {out} lies in {place}, which is a file: expected a folder, which is made if it is missing')
            return


# ---- arrays, written as they come and read a batch at a time, so that memory does not grow with the number of pictures

class Rows:
    """Rows of an array; a batch is copied when it is asked for.

    The pages of a memory map are let go of at once: they would count as this process's memory until something else needs the room.
    """

    def __init__(self, array: Pictures, rows: np.ndarray | None = None) -> None:
        """The rows `rows` (int64 [M]) of `array` [N,...], or all of them."""
        self.array, self.rows = array, rows
        self.shape: tuple[int, ...] = (len(array) if rows is None else len(rows), *array.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: Any) -> np.ndarray:
        """A copy of what `array[rows][which]` is, without its other rows ever being read."""
        found = np.array(self.array[which if self.rows is None else self.rows[which]], order='C')
        mapped = getattr(self.array, '_mmap', None)
        if mapped is not None and hasattr(mmap, 'MADV_DONTNEED'):       # Windows has none
            mapped.madvise(mmap.MADV_DONTNEED)
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def mean(self) -> float:
        """The mean over everything."""
        return sum(int(part.sum()) for part in self.batches()) / int(np.prod(self.shape))

    def any(self) -> bool:
        """Whether anything is not 0."""
        return any(bool(part.any()) for part in self.batches())

    def batches(self) -> Iterator[np.ndarray]:
        """Everything, BATCH rows at a time."""
        return (self[i:i + BATCH] for i in range(0, len(self), BATCH))


Pictures = np.ndarray | Rows


class Writer:
    """A uint8 array [N,...] that is written to a .npy file from its first row to its last; kept in memory where there is no room."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.shape, self.written = path, shape, 0
        self.kept: np.ndarray | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.temporary = _temporary(path)
            if shutil.disk_usage(path.parent).free < int(np.prod(shape)):
                raise OSError
            self.file = self.temporary.open('wb')
        except OSError:
            self.kept = np.empty(shape, np.uint8)
        else:
            np.lib.format.write_array_header_1_0(self.file, {'descr': '|u1', 'fortran_order': False, 'shape': shape})

    def add(self, rows: np.ndarray) -> None:
        """Writes the next rows, uint8 [n,...]."""
        if self.kept is not None:
            self.kept[self.written:self.written + len(rows)] = rows
        else:
            try:
                self.file.write(np.ascontiguousarray(rows, np.uint8).data)
            except OSError as error:
                message = f'cannot write the cache {self.path.parent}: {error.strerror}; make room or set RETOUCH_CACHE to another folder'
                raise OSError(error.errno, message) from None
        self.written += len(rows)

    def array(self) -> np.ndarray:
        """What was written: a read-only memory map, or the array itself. Call it last."""
        assert self.written == self.shape[0], (self.written, self.shape)
        if self.kept is None:
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
            put_in_place(self.temporary, self.path)
            return np.load(self.path, mmap_mode='r')
        return self.kept

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.kept is None:
            self.file.close()
            self.temporary.unlink(missing_ok=True)


def read_rows(path: Path) -> np.ndarray | None:
    """The memory map of a file that a Writer wrote; None, and the file is removed, if it is damaged."""
    try:
        return np.load(path, mmap_mode='r')
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError):                      # a damaged cache file is only a cache file
        path.unlink(missing_ok=True)
        return None
