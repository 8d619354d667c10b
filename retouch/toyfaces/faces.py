"""Toyfaces: faces drawn by our own code, so that every edit has a truth.

A face is a pure function `render(identity, attributes)`. The identity holds every latent which the 15 labels do not decide (pose, tones,
styles, the *amounts* of a smile or of an opened mouth, the background ...); the labels choose among those latents. Drawing the same
identity with another label vector therefore gives the exact counterfactual of an edit, the exact region it may touch, and, drawn from the
same polygons, the exact parse of the picture. Nothing is downloaded, and no random number is drawn while a face is painted: textures come
from generators seeded by the identity, whose number of draws never depends on a label.

The set with a seed is an endless list: `face(index, seed)` is its index-th entry, independent of all others. Shapes live in fractions of
the frame (see `draw`), so every size shows the same face.

Conventions: facial hair is class `hair`, a lens is `eyeglasses` except where the eye is seen through it, and `mouth` is the inner mouth
with the teeth. Bald hides fringe and hair colour on top, so the sampler sets neither there. Two hair colours set at once are averaged.
"""
from __future__ import annotations

import contextlib
import difflib
import functools
import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from retouch.toyfaces.draw import paint
from retouch.toyfaces.identity import ATTRIBUTES, HAIR_COLOURS, Identity, sample_attributes, sample_identity

VERSION: str = '1'
PALETTE: tuple[tuple[int, int, int], ...] = (
    (244, 190, 150),
    (120, 72, 24),
    (40, 110, 255),
    (30, 30, 40),
    (255, 128, 64),
    (255, 225, 0),
    (0, 170, 120),
    (110, 0, 40),
    (230, 20, 60),
    (170, 140, 220),
    (90, 40, 150),
    (190, 205, 210),
)

REGION_THRESHOLD = 12.75  # 0.1 in [-1,1] units, on the 8-bit scale
_FEW = 64  # below this many faces, starting processes costs more than drawing


def face(index: int, seed: int = 0) -> tuple[Identity, np.ndarray]:
    """The index-th face of the set with that seed: its identity and its labels (uint8 [15])."""
    identity_seed, attributes_seed = np.random.default_rng((seed, index)).integers(2**62, size=2)
    return sample_identity(int(identity_seed)), sample_attributes(int(attributes_seed))


def render(identity: Identity, attributes: np.ndarray | Mapping[str, int], size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Draw one face.

    Args:
        identity: the latents, from `sample_identity` or `face`.
        attributes: 15 values of 0/1 in the order of `ATTRIBUTES`, or a mapping from all or some of the names to 0/1; names left out are 0,
            except No_Beard and Young, which are 1.
        size: side of the square picture in pixels, 16 to 1024.

    Returns:
        The picture, uint8 [size,size,3], and its parse, uint8 [size,size] of indices into `CLASSES`.

    Raises:
        ValueError: for an unknown attribute name, a vector of another length, a value that is not 0/1, or a size out of range.
    """
    if not 16 <= size <= 1024:
        raise ValueError(f'size is {size}; it must lie in 16..1024')
    return paint(identity, _named(attributes), int(size))


def counterfactual(
    identity: Identity, attributes: np.ndarray | Mapping[str, int], target: np.ndarray | Mapping[str, int], size: int = 128
) -> tuple[np.ndarray, np.ndarray]:
    """The true result of an edit, and where it differs from the input.

    Args:
        identity: the latents of the face.
        attributes: labels of the input picture, as for `render`.
        target: labels of the edited picture: all 15 as an array, or as a mapping only those that change (a hair colour set to 1 clears
            the other two, unless they are named too).
        size: side in pixels, 16 to 1024.

    Returns:
        `y_true`, uint8 [size,size,3], and the region, bool [size,size]: where max over RGB of |x - y_true| exceeds 0.1 in [-1,1] units,
        which is 12.75 on the 8-bit scale.

    Raises:
        ValueError: as `render`.
    """
    source = _named(attributes)
    if isinstance(target, Mapping):
        changes = _checked(target)
        rivals = HAIR_COLOURS if any(changes.get(name) for name in HAIR_COLOURS) else ()
        target = source | dict.fromkeys(rivals, 0) | changes
    x, _ = render(identity, source, size)
    y_true, _ = render(identity, target, size)
    difference = np.abs(x.astype(np.int16) - y_true.astype(np.int16)).max(axis=2)
    return y_true, difference > REGION_THRESHOLD


def draw_set(
    indices: Sequence[int],
    size: int,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    edit: Mapping[str, int] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw many faces of one set; the bytes do not depend on the number of workers.

    Args:
        indices: which faces of the set.
        size: side in pixels, 16 to 1024.
        seed: which set.
        workers: number of processes; None takes one per core. Fewer than 64 faces are drawn in this process.
        progress: called with the number of faces done so far, after each piece of work.
        edit: labels that every face gets in place of its own, as names and 0/1; None: each face as it is.

    Returns:
        images uint8 [N,size,size,3], segmentations uint8 [N,size,size], labels uint8 [N,15], edited.

    Raises:
        ValueError: as `render`.
    """
    if not 16 <= size <= 1024:
        raise ValueError(f'size is {size}; it must lie in 16..1024')
    indices = [int(index) for index in indices]
    images = np.empty((len(indices), size, size, 3), np.uint8)
    segmentations = np.empty((len(indices), size, size), np.uint8)
    labels = np.empty((len(indices), len(ATTRIBUTES)), np.uint8)
    starts = range(0, len(indices), 32)
    jobs = [(indices[start : start + 32], size, seed, _checked(edit or {})) for start in starts]
    workers = min(workers or os.cpu_count() or 1, max(len(jobs), 1))

    def store(chunks: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
        for start, (chunk_images, chunk_segmentations, chunk_labels) in zip(starts, chunks, strict=True):
            stop = start + len(chunk_labels)
            images[start:stop], segmentations[start:stop], labels[start:stop] = chunk_images, chunk_segmentations, chunk_labels
            if progress is not None:
                progress(stop)

    if workers == 1 or len(indices) < _FEW:
        store(map(_draw_chunk, jobs))
    else:
        with drawing_pool(workers) as pool:
            store(pool.map(_draw_chunk, jobs))
    return images, segmentations, labels


@contextlib.contextmanager
def drawing_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes to draw in. They do not import the caller's script, so one without `if __name__ == '__main__'` may draw too."""
    main = sys.modules['__main__']
    script = main.__dict__.pop('__file__', None) if getattr(main, '__spec__', None) is None else None
    try:
        # spawn, not fork: the caller may hold torch threads or a CUDA context
        with ProcessPoolExecutor(workers, mp_context=get_context('spawn')) as pool:
            yield pool
    finally:
        if script is not None:
            main.__file__ = script


@functools.cache
def drawing_hash() -> str:
    """The drawings' fingerprint: 12 hex digits over VERSION and eight probe faces. A comment does not change it, a pixel does."""
    digest = hashlib.sha256(VERSION.encode())
    for index in range(8):
        for picture in render(*face(index), 48):
            digest.update(picture.tobytes())
    return digest.hexdigest()[:12]


def _draw_chunk(job: tuple[list[int], int, int, dict[str, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    indices, size, seed, edit = job
    faces = [face(index, seed) for index in indices]
    for name, value in edit.items():
        for _, attributes in faces:
            attributes[ATTRIBUTES.index(name)] = value
    drawn = [render(identity, attributes, size) for identity, attributes in faces]
    return (
        np.stack([image for image, _ in drawn]),
        np.stack([segmentation for _, segmentation in drawn]),
        np.stack([attributes for _, attributes in faces]),
    )


def _checked(attributes: Mapping[str, int]) -> dict[str, int]:
    for name, value in attributes.items():
        if name not in ATTRIBUTES:
            nearest = difflib.get_close_matches(str(name), ATTRIBUTES, n=1, cutoff=0)[0]
            raise ValueError(f'unknown attribute {name!r}; did you mean {nearest!r}?')
        if value not in (0, 1):
            raise ValueError(f'attribute {name} is {value!r}; it must be 0 or 1')
    return {name: int(value) for name, value in attributes.items()}


def _named(attributes: np.ndarray | Mapping[str, int]) -> dict[str, int]:
    """Labels as a full mapping from all 15 names to 0/1."""
    if isinstance(attributes, Mapping):
        return {name: int(name in ('No_Beard', 'Young')) for name in ATTRIBUTES} | _checked(attributes)
    values = np.asarray(attributes)
    if values.shape != (len(ATTRIBUTES),):
        raise ValueError(f'attributes have shape {values.shape}; expected ({len(ATTRIBUTES)},), in the order of ATTRIBUTES')
    return _checked(dict(zip(ATTRIBUTES, values.tolist(), strict=True)))
