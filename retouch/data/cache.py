"""Each picture is decoded once, into a uint8 memory map at the working size, keyed by its source and the transform."""
from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Literal

import numpy as np

from retouch.data.frame import Frame
from retouch.data.images import read_image, to_seen
from retouch.files import cache_root, in_turn, whole_file

Side = Literal['whole', 'left', 'right']
VERSION = 3                  # raised when the same files and arguments would give other pixels
CHUNK = 32
SQUARE = Frame()
_WRITING = threading.Lock()


def cached_images(paths: Sequence[Path], size: int | tuple[int, int], frame: Frame = SQUARE, *, side: Side = 'whole',
                  root: Path | None = None, progress: Callable[[int, int], None] | None = None, workers: int | None = None) -> np.ndarray:
    """Pictures at the working size: a read-only memory map uint8 [N,H,W,3], decoded at the first call and kept.

    As `images.to_seen` reads them and `frame` shows them, which is how an edit sees a picture too.

    Args:
        paths: the files.
        size: side in pixels, or (height, width).
        frame: the part of each that is shown, of the aspect of `size`, how it is resized, and what is behind transparent pixels.
        side: 'left' or 'right' half of files twice as wide as high; 'whole' otherwise.
        root: folder of the cache; None: see `files.cache_root`.
        progress: called with (done, total) while pictures are decoded, never on a hit.
        workers: threads; None: one per core. Pillow releases the interpreter lock while it decodes.

    Raises:
        ValueError: no pictures, an unknown option, or files that cannot be read (the first is named, all are counted).
        OSError: the cache cannot be written (no room); nothing is left behind.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if not len(paths):
        raise ValueError('no pictures: expected at least one; does the set have this part? see `retouch data check`')
    if height < 1 or width < 1 or (frame.crop is not None and height != width):
        raise ValueError(f'size {height} x {width} px, crop {frame.crop}: expected positive numbers, and a square size where crop is given')
    if side not in ('whole', 'left', 'right'):
        raise ValueError(f'unknown side {side!r}: expected whole, left or right')
    root = cache_root() if root is None else Path(root)
    shown = frame.model_dump(mode='json', exclude={'crop_of', *(['share'] if frame.share == 1 else [])})
    transform = {'height': height, 'width': width, **shown, 'side': side, 'version': VERSION}
    target = root / f'images-{_key(paths, transform)}.npy'
    if (stored := _stored(target, (len(paths), height, width, 3))) is not None:
        return stored
    needed = len(paths) * height * width * 3
    try:
        root.mkdir(parents=True, exist_ok=True)
        with in_turn(target.with_suffix('.lock')) as alone:   # another process may have written it while this one waited
            if (stored := _stored(target, (len(paths), height, width, 3))) is None:
                _check_room(root, needed)
                _write(target, paths, (height, width), frame, side, transform, progress, workers, alone)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        free = shutil.disk_usage(_existing(root)).free
        reason = f'no room for {needed / 1e6:.0f} MB ({free / 1e6:.0f} MB free)' if full else error.strerror or error
        message = f'cannot write the cache {root}: {reason}; make room or set RETOUCH_CACHE to another folder'
        raise OSError(error.errno or errno.EIO, message) from None
    stored = _stored(target, (len(paths), height, width, 3))
    if stored is None:
        raise OSError(errno.EIO, f'the cache file {target} was damaged as soon as it was written; check the disk or set RETOUCH_CACHE')
    return stored


def decode(path: Path, height: int, width: int, frame: Frame = SQUARE, side: Side = 'whole') -> np.ndarray:
    """One picture at the working size, uint8 [height,width,3]; the arguments are those of `cached_images`. ValueError of one line."""
    try:
        pixels = to_seen(read_image(path), frame.ground)
        h, w = pixels.shape[:2]
        if side != 'whole':
            if w != 2 * h:
                raise ValueError(f'{w} x {h} px: expected width = 2 x height, A left and B right')
            pixels = pixels[:, :h] if side == 'left' else pixels[:, h:]
        return frame.show(pixels, frame.window(*pixels.shape[1::-1], (height, width)), height, width)
    except ValueError as error:
        raise error if str(error).startswith(str(path)) else ValueError(f'{path}: {error}') from None


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _key(paths: Sequence[Path], transform: dict[str, Any]) -> str:
    """A digest of the files' places, sizes and times of change, and of the transform."""
    digest = hashlib.sha256(json.dumps(transform, sort_keys=True).encode())
    folders: dict[str, str] = {}
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        try:
            status = os.stat(path)
        except OSError:
            raise ValueError(f'{path}: no such file; expected a picture; was it moved? run `retouch data check {folder}`') from None
        digest.update(f'\n{folders[folder]}/{name}\0{status.st_size}\0{status.st_mtime_ns}'.encode('utf-8', 'surrogateescape'))
    return digest.hexdigest()[:32]


def _stored(target: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The memory map, or None where there is none of this shape."""
    try:
        images = np.load(target, mmap_mode='r')
    except (OSError, ValueError, EOFError):
        return None
    return images if images.shape == shape and images.dtype == np.uint8 else None


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _check_room(root: Path, needed: int) -> None:
    if shutil.disk_usage(root).free < needed + (1 << 20):
        raise OSError(errno.ENOSPC, 'no space left')


def _write(target: Path, paths: Sequence[Path], size: tuple[int, int], frame: Frame, side: Side, transform: dict[str, Any],
           progress: Callable[[int, int], None] | None, workers: int | None, alone: bool) -> None:
    """Decodes into a temporary file and renames it when it is whole."""
    height, width = size
    n, stride = len(paths), height * width * 3
    bad: list[tuple[int, str]] = []
    with whole_file(target, alone) as file:
        np.lib.format.write_array_header_1_0(file, {'descr': '|u1', 'fortran_order': False, 'shape': (n, height, width, 3)})
        file.flush()
        start = file.tell()

        def part(first: int) -> int:
            """Decodes one chunk; a write past the end of the disk is an OSError here, where a memory map would kill the process."""
            stop = min(first + CHUNK, n)
            for i in range(first, stop):
                try:
                    image = decode(paths[i], height, width, frame, side)
                except ValueError as error:
                    bad.append((i, str(error)))
                    continue
                _write_at(file.fileno(), image.tobytes(), start + i * stride)
            return stop - first

        pool = ThreadPoolExecutor(workers or cores())
        try:
            done = 0
            for future in as_completed([pool.submit(part, first) for first in range(0, n, CHUNK)]):
                done += future.result()
                if progress:
                    progress(done, n)
        finally:
            pool.shutdown(cancel_futures=True)       # Ctrl-C and errors do not wait for what has not begun
        if bad:
            more = f' (one of {len(bad)} files of {n} that cannot be used)' if len(bad) > 1 else ''
            raise ValueError(f'{min(bad)[1]}{more}; `retouch data check` lists all of them')
    described = {**transform, 'n': n, 'first': str(paths[0]), 'last': str(paths[-1])}
    target.with_suffix('.json').write_text(json.dumps(described, indent=2) + '\n', encoding='utf-8')


def _write_at(file: int, data: bytes, offset: int) -> None:
    """Writes all of it at a place in the file."""
    view = memoryview(data)
    if not hasattr(os, 'pwrite'):                        # Windows: one file, one place, so one thread at a time
        with _WRITING:
            os.lseek(file, offset, os.SEEK_SET)
            while view:
                view = view[os.write(file, view):]
        return
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
