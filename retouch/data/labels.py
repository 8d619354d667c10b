"""Which labels go together: the three published rules for turning an edit into a target row.

Sources: yunjey/stargan @ 94dd002 (MIT), elvisyjlin/AttGAN-PyTorch @ be2d6c6 (MIT), LynnHo/AttGAN-Tensorflow v1 @ c385855 (MIT).
Rules decide at test time, and in training where one attribute a row is edited; the papers' training targets are other rows of the
batch and therefore plausible by themselves.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from retouch.errors import unknown

if TYPE_CHECKING:                                                # an exported model edits without torch
    from torch import Tensor

LabelRule = Literal['stargan', 'attgan_tf', 'attgan_pytorch']
HAIR_COLOURS = ('Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Gray_Hair')

# setting the key to 1 sets these to 0
_CONFLICTS_TF = {
    'Bald': ('Bangs',), 'Receding_Hairline': ('Bangs',), 'Bangs': ('Bald', 'Receding_Hairline'),
    'Straight_Hair': ('Wavy_Hair',), 'Wavy_Hair': ('Straight_Hair',),
}
_CONFLICTS: dict[str, dict[str, tuple[str, ...]]] = {
    'stargan': {},
    'attgan_tf': _CONFLICTS_TF,
    'attgan_pytorch': {**_CONFLICTS_TF, 'Mustache': ('No_Beard',), 'No_Beard': ('Mustache',)},
}


def apply_edits(labels: Any, edits: Mapping[str, float], names: Sequence[str], rule: LabelRule = 'attgan_tf') -> tuple[Any, list[str]]:
    """Sets attributes and whatever the rule says follows from them.

    A value between 0 and 1 asks for that much of an attribute and leaves so much less of what it excludes; networks are trained on 0 and 1.

    Args:
        labels: [N,K] in {0,1}, a tensor or an array.
        edits: attribute name -> 0 to 1.
        names: the K names of the columns.
        rule: which published conflict table to use.

    Returns:
        target [N,K] and a list of sentences about what the rule changed besides what was asked.

    Raises:
        ValueError: an unknown attribute, a value outside 0 to 1, or two edits that the rule excludes.
    """
    columns = {name: k for k, name in enumerate(names)}
    target, notes = labels + 0, []
    for name, value in edits.items():
        if name not in columns:
            raise unknown('attribute', name, names)
        if not 0 <= value <= 1:
            raise ValueError(f'{name}={value}: expected 0 or 1, or a number between them')
        target[:, columns[name]] = float(value)
    for name, value in edits.items():
        if value == 0:
            continue
        others = [c for c in HAIR_COLOURS if c != name] if name in HAIR_COLOURS else []
        for other in (*others, *_CONFLICTS[rule].get(name, ())):
            if other not in columns:
                continue
            if value + edits.get(other, 0) > 1:
                raise ValueError(f'{name}={value:g} and {other}={edits[other]:g} exclude each other (rule {rule}): set only one of them')
            left = 1 - float(value)
            if bool((target[:, columns[other]] > left).any()):
                target[:, columns[other]] = target[:, columns[other]].clip(max=left)
                notes.append(f'{other}={left:.4g} because {name}={value:g} (rule {rule})')
    return target, notes


def edit_of(name: str, labels: Tensor, names: Sequence[str]) -> int:
    """The value an evaluation asks of attribute `name` for one row [K]: hair colours are always switched on, all others flip."""
    return 1 if name in HAIR_COLOURS else 1 - int(labels[list(names).index(name)])


def single_edits(labels: Tensor, names: Sequence[str], choice: Tensor, rule: LabelRule = 'attgan_tf',
                 asked: Sequence[str] = ()) -> Tensor:
    """One edited attribute a row: a hair colour is switched on, any other attribute flips, the rule applied.

    Args:
        labels: [N,K] in {0,1}.
        names: the K names.
        choice: [N] uniform draws in [0,1) that choose the attribute.
        rule: conflict table.
        asked: the names to choose from, one given twice twice as often; empty: `names`.

    Returns:
        target [N,K]. A hair colour that is already on moves to another colour, so that every row changes.
    """
    target, asked = labels.clone(), asked or names
    colours = [k for k, n in enumerate(names) if n in HAIR_COLOURS]
    for row, u in enumerate(choice.tolist()):
        k = names.index(asked[int(u * len(asked))])
        if k in colours and labels[row, k] == 1 and len(colours) > 1:
            others = [c for c in colours if c != k]
            k = others[int(u * len(names) * 7919) % len(others)]
        value = edit_of(names[k], labels[row], names)
        target[row] = apply_edits(labels[row:row + 1], {names[k]: value}, names, rule)[0][0]
    return target


def other_classes(labels: Tensor, choice: Tensor) -> Tensor:
    """Another class for every row of one-hot labels [N,K], each as likely, by uniform draws choice [N] in [0,1) -> one-hot [N,K]."""
    k = labels.shape[1]
    at = (labels.argmax(1) + 1 + (choice * (k - 1)).long()) % k
    return labels.new_zeros(len(labels), k).scatter_(1, at[:, None], 1.0)
