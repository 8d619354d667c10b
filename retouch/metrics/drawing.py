"""Draws true edits in parallel. Imports no torch, so that a worker process starts in a fraction of a second."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np

from retouch.data import toyfaces

_FEW = 128      # pictures; below this, starting processes costs more than drawing
_CHUNK = 8      # faces a piece of work

Job = tuple[list[int], list[np.ndarray], int, int]
Drawn = tuple[np.ndarray, np.ndarray]


def draw_chunk(job: Job) -> list[Drawn]:
    """(indices, one [m,15] table of labels a face, size, seed) -> one uint8 [m,S,S,3] and its parses [m,S,S] a face."""
    indices, tables, size, seed = job
    drawn = []
    for index, table in zip(indices, tables, strict=True):
        identity, _ = toyfaces.face(index, seed)
        pictures, parses = np.empty((len(table), size, size, 3), np.uint8), np.empty((len(table), size, size), np.uint8)
        for k, row in enumerate(table):
            pictures[k], parses[k] = toyfaces.render(identity, row, size)
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
    jobs: list[Job] = [(indices[i:i + _CHUNK], tables[i:i + _CHUNK], size, seed) for i in range(0, len(indices), _CHUNK)]
    workers = min(workers or os.cpu_count() or 1, max(len(jobs), 1))
    done = 0
    with ExitStack() as stack:
        several = workers > 1 and sum(map(len, tables)) >= _FEW
        results = stack.enter_context(toyfaces.drawing_pool(workers)).map(draw_chunk, jobs) if several else map(draw_chunk, jobs)
        for chunk in results:
            yield from chunk
            done += sum(len(pictures) for pictures, _ in chunk)
            if progress is not None:
                progress(done)
