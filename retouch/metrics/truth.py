"""True results of edits on held-out drawn faces, kept in the cache and read from there."""
from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch

from retouch.data import toyfaces
from retouch.data.labels import HAIR_COLOURS, LabelRule, flip_targets
from retouch.data.night import night, night_hash
from retouch.data.rows import Writer, read_rows
from retouch.data.sets import HELD_OUT, cache_root, drawn
from retouch.errors import unknown
from retouch.metrics.drawing import draw_targets

NEEDS_HAIR = (*HAIR_COLOURS, 'Bangs')     # edits that a bald head cannot show by itself


@dataclass(frozen=True)
class Truth:
    """The edits of one attribute: M of the n faces, those where something was to change."""

    rows: np.ndarray         # int64 [M] which faces
    targets: np.ndarray      # uint8 [M,15] labels after the edit
    images: np.ndarray       # uint8 [M,S,S,3] the true results; like the regions a memory map
    regions: np.ndarray      # bool [M,S,S] where the true result differs from the input by more than 0.1 in [-1,1] units


def held_out_faces(n: int, size: int, seed: int = 0, progress: Callable[[int, int], None] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The first n held-out faces: images uint8 [n,S,S,3], a memory map, and labels uint8 [n,15]."""
    images, _, labels = drawn(range(HELD_OUT, HELD_OUT + n), size, seed, progress)
    return images, labels


def true_edits(names: tuple[str, ...], images: np.ndarray, labels: np.ndarray, seed: int = 0, rule: LabelRule = 'attgan_tf',
               progress: Callable[[int, int], None] | None = None) -> dict[str, Truth]:
    """Edits every held-out face in every named attribute, each by itself: hair colours are switched on, others flip.

    Bald faces are left out of hair colours and Bangs: nothing would show, or the rule would have to grow hair.

    Args:
        names: attributes to edit.
        images: uint8 [n,S,S,3] from `held_out_faces`.
        labels: uint8 [n,15] likewise; the rule works on all 15.
        seed: which drawn set.
        rule: label rule.
        progress: called with (pictures drawn, pictures to draw).

    Returns:
        name -> Truth. Drawn once, then read from the cache (RETOUCH_CACHE or ~/.cache/retouch).

    Raises:
        ValueError: an attribute that toyfaces does not draw.
    """
    n, size = images.shape[:2]
    found: dict[str, Truth] = {}
    targets: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name in names:
        if name not in toyfaces.ATTRIBUTES:
            raise unknown('attribute', name, toyfaces.ATTRIBUTES)
        target, applies = flip_targets(torch.from_numpy(labels).float(), name, toyfaces.ATTRIBUTES, rule)
        if name in NEEDS_HAIR:
            applies &= torch.from_numpy(labels[:, toyfaces.ATTRIBUTES.index('Bald')] == 0)
        targets[name] = (target.numpy().astype(np.uint8), applies.numpy())
        stored = read_drawn(_key(*targets[name], size, seed))
        if stored is not None:
            found[name] = Truth(np.flatnonzero(applies), targets[name][0][applies], *_parts(stored))
    missing = [name for name in names if name not in found]
    if missing:
        wanted = [[targets[name][0][i] for name in missing if targets[name][1][i]] for i in range(n)]
        tables = [np.array(rows_of_face, np.uint8).reshape(-1, labels.shape[1]) for rows_of_face in wanted]
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
    return {name: found[name] for name in names}


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
    """Where two sets uint8 [N,S,S,3] differ: bool [N,S,S], `toyfaces.counterfactual`'s definition without drawing x again."""
    regions = np.empty(x.shape[:3], bool)
    for start in range(0, len(x), 64):                           # a whole set at once would be held several times over
        part = slice(start, start + 64)
        regions[part] = (np.maximum(x[part], y[part]) - np.minimum(x[part], y[part])).max(axis=3) > toyfaces.REGION_THRESHOLD
    return regions


def _key(target: np.ndarray, applies: np.ndarray, size: int, seed: int) -> str:
    digest = hashlib.sha256(f'{toyfaces.drawing_hash()}/{target.shape}/{size}/{seed}'.encode())
    digest.update(target.tobytes() + applies.tobytes())
    return digest.hexdigest()[:16]


def read_drawn(key: str) -> np.ndarray | None:
    """A memory map of what a `drawn_writer` kept; None if there is nothing readable."""
    return read_rows(cache_root() / f'truth-{key}.npy')


def drawn_writer(key: str, shape: tuple[int, ...]) -> Writer:
    """Keeps drawn pictures uint8 of a shape in the cache, if there is room."""
    return Writer(cache_root() / f'truth-{key}.npy', shape)
