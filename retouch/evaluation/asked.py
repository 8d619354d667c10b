"""What is asked of an attribute system, as one writes it: Eyeglasses, Male=1, Blond_Hair+Pale_Skin."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from retouch.data.labels import LabelRule, apply_edits, edit_of
from retouch.errors import unknown
from retouch.evaluation.card import Card

FLIPPING = ('cam', 'secgan')       # papers in whose evaluation a hair colour that is there is switched off, like any other attribute


class Edit(NamedTuple):
    """One kind of edit: attributes, and the value that each shall get; None: another one than it has."""

    name: str
    asks: tuple[tuple[str, int | None], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.asks)


def asked_in(card: Card) -> tuple[tuple[str, ...], bool]:
    """What the edits of a card of labelled pictures were, and whether hair colours flipped."""
    return (card.data.attributes, card.paper in FLIPPING) if card.protocol == 'folder' else ((), False)


def read_edit(text: str, known: Sequence[str]) -> Edit:
    """'A+B=0' -> A to another value, B to 0. Raises ValueError for an attribute that is not known, one named twice, another value."""
    asks: list[tuple[str, int | None]] = []
    for part in text.split('+'):
        name, told, value = part.partition('=')
        if name not in known:
            raise unknown('attribute of this model', name, known)
        if told and value not in ('0', '1'):
            raise ValueError(f'edit {text}: {name}={value}: expected 0 or 1, or {name} alone for the value that it does not have')
        asks.append((name, int(value) if told else None))
    if len({name for name, _ in asks}) < len(asks):
        raise ValueError(f'edit {text}: expected each attribute once')
    return Edit(text, tuple(asks))


def targets_of(edit: Edit, labels: Tensor, names: Sequence[str], rule: LabelRule, flips: bool = False) -> tuple[Tensor, Tensor]:
    """The target labels of an edit for a whole set.

    Args:
        edit: what is asked.
        labels: [N,K] in {0,1}.
        names: the K names.
        rule: conflict table, which completes the edit.
        flips: whether a hair colour that is there is switched off; else it is switched on, and where it is on nothing is asked.

    Returns:
        target [N,K] and applies [N] bool: False where nothing would change; of several, or a given value, where one has it.
    """
    columns = [list(names).index(name) for name in edit.names]
    target = labels.clone()
    for row in range(len(labels)):
        wanted = {name: value if value is not None else (1 - int(labels[row, k])) if flips else edit_of(name, labels[row], names)
                  for (name, value), k in zip(edit.asks, columns, strict=True)}
        target[row] = apply_edits(labels[row:row + 1], wanted, names, rule)[0][0]
    strict = columns if len(columns) > 1 or edit.asks[0][1] is not None else []
    return target, (target != labels).any(1) & (target[:, strict] != labels[:, strict]).all(1)
