"""Drawn sets in the cache: drawn once, then read from there."""
from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from retouch.files import Writer, cache_root, in_turn, read_rows
from retouch.toyfaces.faces import draw_set, drawing_hash
from retouch.toyfaces.identity import ATTRIBUTES

HELD_OUT = 1_000_000     # index of the first drawn face that no training set contains
DRAWN_AT_ONCE = 2048     # faces in memory while a set is drawn
Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]        # images, segmentations, labels


def drawn(indices: Sequence[int], size: int, seed: int, progress: Callable[[int, int], None] | None = None,
          edit: dict[str, int] | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Toyfaces images uint8 [N,S,S,3], segmentations [N,S,S] and labels [N,15], drawn once, kept in the cache and memory-mapped.

    Of which faces, and with which `edit`: see `draw_set`. `progress` is called with (done, total).
    """
    what = f'{drawing_hash()}/{indices}/{size}/{seed}' + (f'/{edit}' if edit else '')
    key = hashlib.sha256(what.encode()).hexdigest()[:16]
    paths = {name: cache_root() / f'toyfaces-{key}-{name}.npy' for name in ('images', 'segmentations', 'labels')}
    if (found := _stored(paths)) is not None:
        return found
    with contextlib.suppress(OSError):
        cache_root().mkdir(parents=True, exist_ok=True)
    with in_turn(paths['images'].with_suffix('.lock')):          # processes that begin together draw a set once
        return _stored(paths) or _draw(indices, size, seed, progress, edit, paths)


def _stored(paths: dict[str, Path]) -> Drawn | None:
    found = [part for path in paths.values() if (part := read_rows(path)) is not None]
    return (found[0], found[1], np.array(found[2])) if len(found) == len(paths) else None


def _draw(indices: Sequence[int], size: int, seed: int, progress: Callable[[int, int], None] | None, edit: dict[str, int] | None,
          paths: dict[str, Path]) -> Drawn:
    n, shapes = len(indices), ((size, size, 3), (size, size), (len(ATTRIBUTES),))
    with ExitStack() as stack:
        writers = [stack.enter_context(Writer(path, (n, *shape))) for path, shape in zip(paths.values(), shapes, strict=True)]
        for start in range(0, n, DRAWN_AT_ONCE):
            def told(done: int, start: int = start) -> None:
                if progress is not None:
                    progress(start + done, n)

            parts = draw_set(indices[start:start + DRAWN_AT_ONCE], size, seed, edit=edit, progress=told)
            for writer, part in zip(writers, parts, strict=True):
                writer.add(part)
        images, segmentations, labels = (writer.array() for writer in writers)
    return images, segmentations, np.array(labels)


def held_out_faces(n: int, size: int, seed: int = 0, progress: Callable[[int, int], None] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The first n held-out faces: images uint8 [n,S,S,3], a memory map, and labels uint8 [n,15]."""
    images, _, labels = drawn(range(HELD_OUT, HELD_OUT + n), size, seed, progress)
    return images, labels
