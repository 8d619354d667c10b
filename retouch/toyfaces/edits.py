"""True results of edits on held-out drawn faces: drawn in parallel, kept in the cache and read from there."""
from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from retouch.files import Writer, cache_root, read_rows
from retouch.toyfaces.faces import REGION_THRESHOLD, drawing_hash, drawing_pool, face, render
from retouch.toyfaces.identity import HAIR_COLOURS
from retouch.toyfaces.night import night, night_hash
from retouch.toyfaces.stored import HELD_OUT

FEW = 128       # pictures; below this, starting processes costs more than drawing
CHUNK = 8       # faces a piece of work
NEEDS_HAIR = (*HAIR_COLOURS, 'Bangs')     # edits that a bald head cannot show by itself


@dataclass(frozen=True)
class Truth:
    """The edits of one attribute: M of the n faces, those where something was to change."""

    rows: np.ndarray         # int64 [M] which faces
    targets: np.ndarray      # uint8 [M,15] labels after the edit
    images: np.ndarray       # uint8 [M,S,S,3] the true results; like the regions a memory map
    regions: np.ndarray      # bool [M,S,S] where the true result differs from the input by more than 0.1 in [-1,1] units


def draw_truths(targets: Mapping[str, tuple[np.ndarray, np.ndarray]], images: np.ndarray, seed: int = 0,
                progress: Callable[[int, int], None] | None = None) -> dict[str, Truth]:
    """The true results of edits of the first n held-out faces. Drawn once, then read from the cache (see `files.cache_root`).

    Args:
        targets: edit -> labels after it uint8 [n,15], and bool [n]: which of the n faces are edited.
        images: uint8 [n,S,S,3] from `stored.held_out_faces`.
        seed: which drawn set.
        progress: called with (pictures drawn, pictures to draw).
    """
    n, size = images.shape[:2]
    found: dict[str, Truth] = {}
    for name, (target, applies) in targets.items():
        stored = read_drawn(_key(target, applies, size, seed))
        if stored is not None:
            found[name] = Truth(np.flatnonzero(applies), target[applies], *_parts(stored))
    missing = [name for name in targets if name not in found]
    if missing:
        wanted = [[targets[name][0][i] for name in missing if targets[name][1][i]] for i in range(n)]
        tables = [np.array(rows_of_face, np.uint8).reshape(-1, targets[missing[0]][0].shape[1]) for rows_of_face in wanted]
        total = sum(map(len, tables))
        faces = draw_targets(list(range(HELD_OUT, HELD_OUT + n)), tables, size, seed,
                             progress=(lambda done: progress(done, total)) if progress else None)
        with ExitStack() as stack:
            written = {name: stack.enter_context(drawn_writer(_key(*targets[name], size, seed),
                                                              (int(targets[name][1].sum()), size, size, 4))) for name in missing}
            for i, (pictures, _) in enumerate(faces):
                drawn_now = iter(pictures)
                for name in missing:
                    if targets[name][1][i]:
                        written[name].add(_joined(images[i:i + 1], next(drawn_now)[None]))
            for name in missing:
                target, applies = targets[name]
                found[name] = Truth(np.flatnonzero(applies), target[applies], *_parts(written[name].array()))
    return {name: found[name] for name in targets}


def nights(faces: np.ndarray, seed: int = 0) -> tuple[np.ndarray, dict[int, Truth]]:
    """Held-out faces of which every other one is shown at night, and the way there and back.

    Args:
        faces: uint8 [n,S,S,3] from `held_out_faces`.
        seed: which drawn set they are of.

    Returns:
        inputs uint8 [n,S,S,3], and 1 -> what night makes of the faces by day, 0 -> what day makes of the others. The labels stay, so that
        no Truth has targets. All of it is read from the cache, once it was made.
    """
    n, size = faces.shape[:2]
    key = hashlib.sha256(f'{night_hash()}/{n}/{size}/{seed}'.encode()).hexdigest()[:16]
    stored = read_drawn(key)                                     # [n,S,S,7]: the input, its true result, where they differ
    if stored is None:
        with drawn_writer(key, (n, size, size, 7)) as writer:
            for start in range(0, n, 64):
                day = np.asarray(faces[start:start + 64])
                dark = night(day)
                is_day = (np.arange(start, start + len(day)) % 2 == 0)[:, None, None, None]
                shown, wanted = np.where(is_day, day, dark), np.where(is_day, dark, day)
                writer.add(np.concatenate([shown, _joined(shown, wanted)], 3))
            stored = writer.array()
    images, regions = _parts(stored[..., 3:])
    way = {value: slice(1 - value, None, 2) for value in (1, 0)}
    return stored[..., :3], {value: Truth(np.arange(n)[some], np.empty((len(regions[some]), 0), np.uint8), images[some], regions[some])
                             for value, some in way.items()}


def _joined(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """True results y of inputs x, uint8 [N,S,S,3] each, with where they differ as a fourth channel."""
    return np.concatenate([y, pictures_to_regions(x, y)[..., None].astype(np.uint8)], 3)


def _parts(stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `_joined` joined: true results [N,S,S,3] and bool [N,S,S], no copies."""
    return stored[..., :3], stored[..., 3].view(bool)


def pictures_to_regions(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where two sets uint8 [N,S,S,3] differ: bool [N,S,S], `faces.counterfactual`'s definition without drawing x again."""
    regions = np.empty(x.shape[:3], bool)
    for start in range(0, len(x), 64):                           # a whole set at once would be held several times over
        part = slice(start, start + 64)
        regions[part] = (np.maximum(x[part], y[part]) - np.minimum(x[part], y[part])).max(axis=3) > REGION_THRESHOLD
    return regions


def _key(target: np.ndarray, applies: np.ndarray, size: int, seed: int) -> str:
    digest = hashlib.sha256(f'{drawing_hash()}/{target.shape}/{size}/{seed}'.encode())
    digest.update(target.tobytes() + applies.tobytes())
    return digest.hexdigest()[:16]


def read_drawn(key: str) -> np.ndarray | None:
    """A memory map of what a `drawn_writer` kept; None if there is nothing readable."""
    return read_rows(cache_root() / f'truth-{key}.npy')


def drawn_writer(key: str, shape: tuple[int, ...]) -> Writer:
    """Keeps drawn pictures uint8 of a shape in the cache, if there is room."""
    return Writer(cache_root() / f'truth-{key}.npy', shape)


# ---- drawing in parallel

Job = tuple[list[int], list[np.ndarray], int, int]
Drawn = tuple[np.ndarray, np.ndarray]


def draw_chunk(job: Job) -> list[Drawn]:
    """(indices, one [m,15] table of labels a face, size, seed) -> one uint8 [m,S,S,3] and its parses [m,S,S] a face."""
    indices, tables, size, seed = job
    drawn = []
    for index, table in zip(indices, tables, strict=True):
        identity, _ = face(index, seed)
        pictures, parses = np.empty((len(table), size, size, 3), np.uint8), np.empty((len(table), size, size), np.uint8)
        for k, row in enumerate(table):
            pictures[k], parses[k] = render(identity, row, size)
        drawn.append((pictures, parses))
    return drawn


def draw_targets(indices: list[int], tables: list[np.ndarray], size: int, seed: int, workers: int | None = None,
                 progress: Callable[[int], None] | None = None) -> Iterator[Drawn]:
    """Draws every face with every row of its own table of labels.

    Args:
        indices: which faces of the set.
        tables: uint8 [m_i,15] for face i.
        size: side in pixels.
        seed: which set.
        workers: processes; None: one a core. Few pictures are drawn in this process.
        progress: called with the number of pictures drawn so far.

    Yields:
        pictures uint8 [m_i,S,S,3] and parses uint8 [m_i,S,S] for face i. The bytes do not depend on the number of workers.
    """
    jobs: list[Job] = [(indices[i:i + CHUNK], tables[i:i + CHUNK], size, seed) for i in range(0, len(indices), CHUNK)]
    workers = min(workers or os.cpu_count() or 1, max(len(jobs), 1))
    done = 0
    with ExitStack() as stack:
        several = workers > 1 and sum(map(len, tables)) >= FEW
        results = stack.enter_context(drawing_pool(workers)).map(draw_chunk, jobs) if several else map(draw_chunk, jobs)
        for chunk in results:
            yield from chunk
            done += sum(len(pictures) for pictures, _ in chunk)
            if progress is not None:
                progress(done)
