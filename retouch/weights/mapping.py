"""From the names that authors gave their tensors to ours: put in the order of definition, compared one by one."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import torch
from torch import Tensor

RUNNING = ('running_mean', 'running_var')
COUNTER = 'num_batches_tracked'
LAST = ('weight', 'gamma', 'bias', 'beta', *RUNNING)             # within a layer


@dataclass(frozen=True)
class Part:
    """The tensors of one network as a file has them, and how to read their names."""

    path: Path
    tensors: dict[str, Tensor]
    names: tuple[str, ...]                  # what the authors call their modules, in the order in which they (and we) define them
    running: bool = False                   # whether running averages are read (batch norm) or left over (instance norm)

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of a kernel or matrix. ValueError where there is none of that name."""
        if key not in self.tensors:
            raise ValueError(f'{self.path} has no tensor {key}, but {", ".join(list(self.tensors)[:3])}, …: expected the network of this '
                             'source; is it a file of another program, or its discriminator?')
        shape = tuple(self.tensors[key].shape)
        if len(shape) < 2:
            raise ValueError(f'{self.path}: {key} is {shape}: expected a kernel; is it a file of another program?')
        return shape

    def count(self, prefix: str) -> int:
        """How many numbered modules follow a prefix: 'enc_layers.' -> 5."""
        rest = {key.removeprefix(prefix).partition('.')[0] for key in self.tensors if key.startswith(prefix)}
        return sum(name.isdecimal() for name in rest)


def arrange(part: Part, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file under our names.

    Order is that of definition, numbers by value, so that a file whose entries were sorted otherwise is read alike; every pair is compared.

    Args:
        part: of the file.
        expected: our network's state_dict, in its order; its shapes alone are looked at, so that it may be on the meta device.

    Returns:
        our name -> tensor, float32; counters of batches start anew.

    Raises:
        ValueError: a name that the authors' network has not, another number of tensors, another shape; says which, and the likely reason.
    """
    ours = [key for key in expected if key.rpartition('.')[2] != COUNTER]
    left_out = (COUNTER,) if part.running else (COUNTER, *RUNNING)
    theirs = sorted((key for key in part.tensors if key.rpartition('.')[2] not in left_out), key=lambda key: _place(key, part))
    result = {key: torch.zeros(value.shape, dtype=value.dtype) for key, value in expected.items() if key.rpartition('.')[2] == COUNTER}
    for theirs_key, ours_key in zip_longest(theirs, ours):
        if theirs_key is None or ours_key is None:
            one = f'{theirs_key} is left over' if theirs_key else f'there is none for {ours_key}'
            raise ValueError(f'{part.path} has {len(theirs)} tensors, expected {len(ours)}: {one}; likely another number of blocks or '
                             'layers, or another norm')
        tensor, wanted = part.tensors[theirs_key], expected[ours_key]
        found, shape = tuple(tensor.shape), tuple(wanted.shape)
        if found != shape and not (len(shape) == 1 and found == (*shape, *[1] * (len(found) - 1))):
            many = '' if len(theirs) == len(ours) else f' has {len(theirs)} tensors, expected {len(ours)}'
            raise ValueError(f'{part.path}{many}: {theirs_key} is {found}, expected {shape} ({ours_key}); likely '
                             f'{"another number of blocks" if many else _likely(found, shape)}')
        result[ours_key] = tensor.detach().reshape(shape).float()
        if not bool(result[ours_key].isfinite().all()):
            raise ValueError(f'{part.path}: {theirs_key} is not finite: the file is damaged, or the training diverged')
    return result


def _place(key: str, part: Part) -> tuple[tuple[int, int], ...]:
    """Where a name stands: numbers by value, names in the order of the table."""
    place = []
    for name in key.split('.'):
        table: Sequence[str] = (*part.names, *LAST)
        if not name.isdecimal() and name not in table:
            raise ValueError(f'{part.path}: nothing is called {key!r} in the network of this source: is it the file of another program, or '
                             'of another version of it?')
        place.append((1, int(name)) if name.isdecimal() else (0, table.index(name)))
    return tuple(place)


def _likely(found: tuple[int, ...], shape: tuple[int, ...]) -> str:
    if len(found) != len(shape):
        return 'another architecture'
    if found[2:] != shape[2:]:
        return 'another size of the pictures (--size), or another kernel'
    return 'another number of attributes (--attributes), of blocks, or another width'
