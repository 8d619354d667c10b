"""Many pictures: one thread runs the network on batches, others decode what comes next and finish what came before."""
from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from retouch.data.images import shown_size

BATCH = 8                # pictures; while the network answers so many, others are opened and finished
BATCH_PX = 24_000_000    # a batch ends here, however few its pictures: three of them are in memory at once
OF_ONE = (ValueError, OSError, FloatingPointError)               # what is wrong with one picture keeps no other from being edited
P, C, A, R = TypeVar('P'), TypeVar('C'), TypeVar('A'), TypeVar('R')     # picture, what is opened (a Canvas), answer, result


def in_step(pictures: Iterable[P], open_one: Callable[[P], C], answer: Callable[[Sequence[C]], Sequence[A]],
            finish: Callable[[P, C, A], R], batch_size: int, threads: int | None = None) -> Generator[tuple[P, R | Exception], None, None]:
    """Every picture with what `finish` makes of it, or with the error that it met, in their order.

    Not more than three batches are in memory: one that is being opened, one that is being answered, one that is being finished.

    Args:
        pictures: taken as they are needed.
        open_one: on another thread.
        answer: on the thread of whoever iterates: what was opened, a batch -> an answer to each. Where a batch fails, its pictures are
            asked about one by one.
        finish: on another thread.
        batch_size: pictures at once; fewer of large ones, see BATCH_PX.
        threads: how many others; None: one a processor, at least 2 and at most 8.
    """
    pool = ThreadPoolExecutor(threads or min(max(os.cpu_count() or 2, 2), 8), 'retouch-edit')
    batches = _batched(pictures, batch_size)
    finishing: list[tuple[P, Future[R] | Exception]] = []
    try:
        opening = _open(next(batches, []), open_one, pool)
        while opening:
            following = _open(next(batches, []), open_one, pool)
            opened, failed = list[tuple[int, C]](), dict[int, Exception]()
            for i, (_, future) in enumerate(opening):
                try:
                    opened.append((i, future.result()))
                except OF_ONE as error:
                    failed[i] = error
            answers = dict(zip([i for i, _ in opened], _answer_each([some for _, some in opened], answer), strict=True))
            yield from _results(finishing)
            finishing = []
            for i, (picture, _) in enumerate(opening):
                found = failed.get(i) or answers[i]
                finishing.append((picture, found if isinstance(found, Exception) else
                                  pool.submit(finish, picture, opening[i][1].result(), found)))
            opening = following
        yield from _results(finishing)
    finally:
        pool.shutdown(cancel_futures=True)


def _open(batch: Sequence[P], open_one: Callable[[P], C], pool: ThreadPoolExecutor) -> list[tuple[P, Future[C]]]:
    return [(picture, pool.submit(open_one, picture)) for picture in batch]


def _answer_each(opened: Sequence[C], answer: Callable[[Sequence[C]], Sequence[A]]) -> list[A | Exception]:
    """The answers to a batch; where one fails, nobody knows whose fault it is before each was asked about alone."""
    with suppress(*OF_ONE):
        return list(answer(opened)) if opened else []
    alone: list[A | Exception] = []
    for some in opened:
        try:
            alone += answer([some])
        except OF_ONE as error:
            alone.append(error)
    return alone


def _results(finishing: list[tuple[P, Future[R] | Exception]]) -> Iterator[tuple[P, R | Exception]]:
    """What was submitted, in order; each is let go of as soon as it was handed on."""
    while finishing:
        picture, future = finishing.pop(0)
        try:
            result = future if isinstance(future, Exception) else future.result()
        except OF_ONE as error:
            result = error
        yield picture, result


def _batched(pictures: Iterable[P], batch_size: int) -> Iterator[list[P]]:
    """At most `batch_size` pictures and, but for the last of them, BATCH_PX pixels at a time."""
    batch, pixels = list[P](), 0
    for picture in pictures:
        size = pixels_of(picture)
        if batch and (len(batch) == batch_size or pixels + size > BATCH_PX):
            yield batch
            batch, pixels = [], 0
        batch.append(picture)
        pixels += size
    if batch:
        yield batch


def pixels_of(picture: object) -> int:
    """How many pixels a picture has, from its header; 0 where that cannot be told: whoever opens it says why."""
    if isinstance(picture, np.ndarray):
        return int(np.prod(picture.shape[:2]))
    if isinstance(picture, Image.Image):
        return picture.width * picture.height
    with suppress(ValueError, OSError):
        if isinstance(picture, str | Path):
            width, height = shown_size(picture)
            return width * height
    return 0
