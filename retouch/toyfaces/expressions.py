"""Faces whose expressions are shown by degrees: the amounts that labels choose between, as numbers, with the truth of every number.

An expression is a number in [0,1] that sets one of an identity's latents, in place of the two amounts of a label. The faces of the set have
neither Bangs nor Eyeglasses, which would hide brows and eyes, and are otherwise those of `faces.face` with their labels.
"""
from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from retouch.files import Writer, cache_root, read_rows
from retouch.toyfaces.faces import drawing_hash, drawing_pool, face, render
from retouch.toyfaces.identity import ATTRIBUTES, Identity

# expression -> latents it sets, what 0 is and what 1 is
RANGES: dict[str, tuple[tuple[str, ...], float, float]] = {
    'Smile': (('smile_off', 'smile_on'), -0.25, 1.0),
    'Mouth_Opening': (('mouth_open_off', 'mouth_open_on'), 0.0, 1.0),
    'Brow_Height': (('brow_y',), -0.100, -0.136),
    'Eye_Opening': (('eye_height',), 0.012, 0.040),
}
EXPRESSIONS: tuple[str, ...] = tuple(RANGES)
HIDDEN = ('Bangs', 'Eyeglasses')
CHUNK = 64       # faces a piece of work


def with_expressions(identity: Identity, amounts: Mapping[str, float]) -> Identity:
    """The identity with these expressions, each 0 to 1. ValueError for an unknown name or another number."""
    latents = {}
    for name, amount in amounts.items():
        if name not in RANGES:
            raise ValueError(f'unknown expression {name!r}; expected one of {", ".join(EXPRESSIONS)}')
        if not 0 <= amount <= 1:
            raise ValueError(f'expression {name} is {amount!r}; it must lie in 0..1')
        fields, low, high = RANGES[name]
        latents |= dict.fromkeys(fields, low + (high - low) * float(amount))
    return replace(identity, **latents)


def expressive_face(index: int, seed: int = 0) -> tuple[Identity, np.ndarray, np.ndarray]:
    """The index-th face of the set: its identity, its labels uint8 [15], and its expressions float32 [4], uniform in [0,1]."""
    identity, labels = face(index, seed)
    labels[[ATTRIBUTES.index(name) for name in HIDDEN]] = 0
    return identity, labels, np.random.default_rng((seed, index, 4)).random(len(EXPRESSIONS)).astype(np.float32)


def render_expressions(identity: Identity, labels: np.ndarray, amounts: np.ndarray, size: int) -> np.ndarray:
    """A face with expressions float [4] in the order of `EXPRESSIONS`: uint8 [size,size,3]."""
    return render(with_expressions(identity, dict(zip(EXPRESSIONS, amounts.tolist(), strict=True))), labels, size)[0]


def drawn_expressions(indices: Sequence[int], size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [N,S,S,3], a memory map, and their expressions float32 [N,4]; drawn once, then read from the cache."""
    amounts = np.stack([expressive_face(i, seed)[2] for i in indices])
    digest = hashlib.sha256(f'{drawing_hash()}/{RANGES}/{HIDDEN}/{list(indices)}/{size}/{seed}'.encode()).hexdigest()[:16]
    path = cache_root() / f'expressions-{digest}.npy'
    if (found := read_rows(path)) is None:
        chunks = [list(indices[i:i + CHUNK]) for i in range(0, len(indices), CHUNK)]
        with ExitStack() as stack:
            draw = functools.partial(_draw, size=size, seed=seed)
            pictures = stack.enter_context(drawing_pool(os.cpu_count() or 1)).map(draw, chunks) if len(chunks) > 1 else map(draw, chunks)
            writer = stack.enter_context(Writer(path, (len(indices), size, size, 3)))
            for part in pictures:
                writer.add(part)
            found = writer.array()
    return found, amounts


def _draw(indices: list[int], size: int, seed: int) -> np.ndarray:
    return np.stack([render_expressions(*expressive_face(i, seed), size) for i in indices])
