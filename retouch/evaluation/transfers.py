"""Pairs of pictures for systems that take an exemplar: drawn ones with true results, and of one's own."""
from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from retouch import toyfaces
from retouch.data.labels import HAIR_COLOURS, apply_edits
from retouch.data.sets import two_hair_colours
from retouch.errors import unknown
from retouch.evaluation.tasks import RULE, Progress
from retouch.files import Pictures, Rows
from retouch.toyfaces.edits import NEEDS_HAIR, draw_targets, drawn_writer, pictures_to_regions, read_drawn
from retouch.toyfaces.stored import HELD_OUT

ROW = 'transfer'                                    # of measures that are not taken attribute by attribute
HAIR = toyfaces.CLASSES.index('hair')


@dataclass(frozen=True)
class Pairs:
    """n pairs of held-out pictures that differ in at least one of K attributes: one to translate, and its exemplar."""

    names: tuple[str, ...]           # the K attributes
    faces: np.ndarray                # int64 [n,2]: index of the picture, and of its exemplar, in the set
    inputs: Pictures                 # uint8 [n,S,S,3]
    exemplars: Pictures              # uint8 [n,S,S,3]
    shown: np.ndarray                # bool [n,K], labels of the inputs
    wanted: np.ndarray               # bool [n,K], labels of the exemplars


@dataclass(frozen=True)
class Transfers(Pairs):
    """Pairs of drawn faces, with their true results."""

    truths: Pictures                 # uint8 [n,S,S,3]
    regions: Pictures                # bool [n,S,S]
    exemplar_regions: Pictures       # bool [n,S,S]
    hair: Pictures                   # bool [n,S,S], on the head of the true result; nowhere if no hair colour is transferred
    exemplar_hair: Pictures          # bool [n,S,S]


def transferred(model: Any) -> tuple[str, ...]:
    """The attributes that a system takes from an exemplar: its own, or what tells its two domains apart.

    Raises:
        ValueError: a system that takes no exemplar, or an attribute that toyfaces does not draw.
    """
    method = getattr(model, 'method', model)
    if not getattr(method, 'takes_exemplar', False):
        raise ValueError(f'{method.id} takes no exemplar: expected a system that does for protocol exemplars')
    names = tuple(method.data.attributes)
    if method.kind == 'domains':
        names = tuple(getattr(model, 'info', {}).get('data', {}).get('attribute', 'Eyeglasses').split('/')[::-1])      # of B comes first
    for name in names:
        if name not in toyfaces.ATTRIBUTES:
            raise unknown('attribute', name, toyfaces.ATTRIBUTES)
    return names


def transfers_of(model: Any, n: int, seed: int = 0, progress: Progress | None = None) -> Transfers:
    """The pairs that a system is scored on: `held_out_transfers` of its attributes, its size and the faces it was trained on."""
    names, trained = transferred(model), getattr(model, 'info', {}).get('data', {})
    any_of = tuple(trained.get('any_of', names if two_hair_colours(trained.get('attribute', '')) else ()))
    return held_out_transfers(names, n, getattr(model, 'method', model).data.size, seed, any_of, progress)


def transfer_labels(labels: np.ndarray, other: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The row of labels uint8 [15] that shows `other`'s values of the named attributes; the label rule completes what differs."""
    columns = {name: toyfaces.ATTRIBUTES.index(name) for name in names}
    edits = {name: int(other[c]) for name, c in columns.items() if labels[c] != other[c]}
    target, _ = apply_edits(torch.from_numpy(labels).float()[None], edits, toyfaces.ATTRIBUTES, RULE)
    return target[0].numpy().astype(np.uint8)


def held_out_transfers(names: tuple[str, ...], n: int, size: int, seed: int = 0, any_of: tuple[str, ...] = (),
                       progress: Progress | None = None) -> Transfers:
    """The first n held-out faces that qualify, each with a random other one of them that differs in a named attribute.

    Where hair shall change, bald faces are left out: it would not show.

    Args:
        names: the attributes that are transferred.
        n: pairs.
        size: side in pixels.
        seed: which drawn set, and of the choice of exemplars.
        any_of: only faces that show at least one of these, as the system was trained on.
        progress: called with (pictures drawn, pictures to draw, what is done).

    Returns:
        the pairs. Drawn once, then read from the cache (RETOUCH_CACHE or ~/.cache/retouch).

    Raises:
        ValueError: fewer than two faces asked for, or a face from which all others do not differ.
    """
    if n < 2:
        raise ValueError(f'n={n}: expected at least 2 held-out pairs')
    columns, needed = ([toyfaces.ATTRIBUTES.index(name) for name in some] for some in (names, any_of))
    bald = toyfaces.ATTRIBUTES.index('Bald')
    no_bald = 'Bald' not in names and any(name in NEEDS_HAIR for name in names)
    index, rows, at = list[int](), list[np.ndarray](), HELD_OUT
    while len(index) < n:
        row = toyfaces.face(at, seed)[1]
        if not (no_bald and row[bald]) and (not needed or row[needed].any()):
            index.append(at)
            rows.append(row)
        at += 1
    labels = np.stack(rows)
    chosen = labels[:, columns].astype(bool)                     # [n,K]
    other = _choose_exemplars(chosen, names, seed)

    # a picture with hair to look at, the same picture under other labels, and the first without a beard, which is hair too
    tables = []
    for i, j in enumerate(other):
        truth = transfer_labels(labels[i], labels[j], names)
        tables.append(np.stack([truth, labels[i], _shaven(truth)]))
    for i, j in enumerate(other):
        tables.append(np.stack([labels[j], transfer_labels(labels[j], labels[i], names), _shaven(labels[j])]))
    faces = np.stack([np.array(index), np.array(index)[other]], 1)
    digest = hashlib.sha256(f'{toyfaces.drawing_hash()}/transfers/{size}/{seed}'.encode())
    digest.update(faces.tobytes() + np.stack(tables).tobytes())
    drawn = read_drawn(digest.hexdigest()[:16])                  # [2n,2,S,S,4]: truths and inputs, then exemplars and what they become
    if drawn is None:
        total = sum(map(len, tables))
        parts = draw_targets(faces.T.flatten().tolist(), tables, size, seed,
                             progress=(lambda done: progress(done, total, 'drawing true results')) if progress else None)
        with drawn_writer(digest.hexdigest()[:16], (2 * n, 2, size, size, 4)) as writer:
            for pictures, parses in parts:                       # the fourth channel: hair of the one, where both differ in the other
                fourth = np.stack([(parses[[0, 2]] == HAIR).all(0), pictures_to_regions(pictures[:1], pictures[1:2])[0]])
                writer.add(np.concatenate([pictures[:2], fourth[..., None].astype(np.uint8)], 3)[None])
            drawn = writer.array()
    truths, inputs, exemplars = (Rows(some[..., :3]) for some in (drawn[:n, 0], drawn[:n, 1], drawn[n:, 0]))
    marks = (drawn[:n, 0], drawn[:n, 1], drawn[n:, 0], drawn[n:, 1])
    hair, regions, exemplar_hair, exemplar_regions = (some[..., 3].view(bool) for some in marks)
    if not any(name in HAIR_COLOURS for name in names):
        hair = exemplar_hair = np.broadcast_to(np.False_, hair.shape)
    return Transfers(names, faces, inputs, exemplars, chosen, chosen[other], truths, Rows(regions), Rows(exemplar_regions), Rows(hair),
                     Rows(exemplar_hair))


def folder_pairs(names: tuple[str, ...], images: np.ndarray, labels: np.ndarray, seed: int = 0) -> Pairs:
    """Pictures of one's own, each with a random other one of them that differs in a named attribute.

    Args:
        names: the K attributes.
        images: uint8 [n,S,S,3], held-out.
        labels: [n,K] in {0,1}.
        seed: of the choice of exemplars.

    Raises:
        ValueError: a picture from which all others do not differ.
    """
    chosen = np.asarray(labels) > 0.5
    other = _choose_exemplars(chosen, names, seed)
    return Pairs(names, np.stack([np.arange(len(other)), other], 1), Rows(images), Rows(images, other), chosen, chosen[other])


def _choose_exemplars(labels: np.ndarray, names: Sequence[str], seed: int) -> np.ndarray:
    """int64 [n]: for each row of labels bool [n,K] a random one that is another."""
    rng, other = np.random.default_rng(seed), np.empty(len(labels), np.int64)
    for i, row in enumerate(labels):
        differ = np.flatnonzero((labels != row).any(1))
        if not len(differ):
            raise ValueError(f'{len(labels)} held-out pictures are alike in {", ".join(names)}: raise --n or use a larger set')
        other[i] = rng.choice(differ)
    return other


def _shaven(labels: np.ndarray) -> np.ndarray:
    """The same labels [15] without beard and moustache."""
    without = labels.copy()
    without[toyfaces.ATTRIBUTES.index('Mustache')], without[toyfaces.ATTRIBUTES.index('No_Beard')] = 0, 1
    return without
