"""True results of edits on held-out drawn faces, kept in the cache."""
from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from retouch.data import toyfaces
from retouch.data.labels import HAIR_COLOURS, LabelRule, flip_targets
from retouch.data.night import night
from retouch.data.sets import HELD_OUT, cache_root, drawn
from retouch.errors import unknown
from retouch.metrics.drawing import draw_targets

NEEDS_HAIR = (*HAIR_COLOURS, 'Bangs')     # edits that a bald head cannot show by itself


@dataclass(frozen=True)
class Truth:
    """The edits of one attribute: M of the n faces, those where something was to change."""

    rows: np.ndarray         # int64 [M] which faces
    targets: np.ndarray      # uint8 [M,15] labels after the edit
    images: np.ndarray       # uint8 [M,S,S,3] the true results
    regions: np.ndarray      # bool [M,S,S] where the true result differs from the input by more than 0.1 in [-1,1] units


def held_out_faces(n: int, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The first n held-out faces: images uint8 [n,S,S,3] and labels uint8 [n,15]."""
    images, _, labels = drawn(range(HELD_OUT, HELD_OUT + n), size, seed)
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
            rows = np.flatnonzero(applies)
            found[name] = Truth(rows, targets[name][0][rows], stored, pictures_to_regions(images[rows], stored))
    missing = [name for name in names if name not in found]
    if missing:
        wanted = [[targets[name][0][i] for name in missing if targets[name][1][i]] for i in range(n)]
        tables = [np.array(rows_of_face, np.uint8).reshape(-1, labels.shape[1]) for rows_of_face in wanted]
        total = sum(map(len, tables))
        pictures = draw_targets(list(range(HELD_OUT, HELD_OUT + n)), tables, size, seed,
                                progress=(lambda done: progress(done, total)) if progress else None)
        taken = np.zeros(n, np.int64)
        for name in missing:
            rows = np.flatnonzero(targets[name][1])
            result = np.stack([pictures[i][0][taken[i]] for i in rows]) if len(rows) else np.empty((0, size, size, 3), np.uint8)
            taken[rows] += 1
            write_drawn(_key(*targets[name], size, seed), result)
            found[name] = Truth(rows, targets[name][0][rows], result, pictures_to_regions(images[rows], result))
    return {name: found[name] for name in names}


def nights(faces: np.ndarray) -> tuple[np.ndarray, dict[int, Truth]]:
    """Held-out faces of which every other one is shown at night, and the way there and back.

    Args:
        faces: uint8 [n,S,S,3] from `held_out_faces`.

    Returns:
        inputs uint8 [n,S,S,3], and 1 -> what night makes of the faces by day, 0 -> what day makes of the others. The labels stay, so that
        no Truth has targets.
    """
    inputs, dark = faces.copy(), night(faces)
    inputs[1::2] = dark[1::2]
    truths = {}
    for value, pictures in ((1, dark), (0, faces)):
        rows = np.arange(1 - value, len(faces), 2)
        truths[value] = Truth(rows, np.empty((len(rows), 0), np.uint8), pictures[rows], pictures_to_regions(inputs[rows], pictures[rows]))
    return inputs, truths


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
    """What `write_drawn` kept; None if there is nothing readable."""
    path = cache_root() / f'truth-{key}.npz'
    try:
        with np.load(path) as stored:
            return stored['images']
    except FileNotFoundError:
        return None
    except Exception:                                            # a damaged cache file is only a cache file
        path.unlink(missing_ok=True)
        return None


def write_drawn(key: str, images: np.ndarray) -> None:
    """Keeps drawn pictures in the cache, if there is room."""
    temporary = cache_root() / f'.truth-{key}.{os.getpid()}.npz'
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        np.savez(temporary, images=images)
        os.replace(temporary, cache_root() / f'truth-{key}.npz')
    except OSError:
        temporary.unlink(missing_ok=True)                        # no room for a cache: draw again next time
