"""Files as authors save them, rebuilt from lists of names and shapes: what the import of published weights is tested with."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FIXTURE = Path(__file__).parent / 'fixtures' / 'published_weights.json'


def fill(names: list[str], shapes: list[tuple[int, ...]]) -> dict[str, Tensor]:
    """A state_dict of waves that no generator of random numbers touches: kernels of unit gain, scales near 1, variances above 0."""
    state = {}
    for i, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        n = 1
        for side in shape:
            n *= side
        wave = torch.sin(torch.arange(n, dtype=torch.float64) * (0.37 + 0.01 * (i % 17)) + i).reshape(shape)
        last = name.rpartition('.')[2]
        if last == 'num_batches_tracked':
            state[name] = torch.tensor(i)
        elif last == 'running_var':
            state[name] = (0.1 + 0.03 * wave).float()
        elif last in ('weight', 'gamma') and (len(shape) == 1 or shape[1:] == (1, 1)):
            state[name] = (1 + 0.3 * wave).float()
        elif last in ('running_mean', 'bias', 'beta'):
            state[name] = (0.1 * wave).float()
        else:
            state[name] = (wave * (2 / max(1, n // shape[0])) ** 0.5).float()
    return state


def picture(size: int, channels: int = 3) -> Tensor:
    """[1,3,S,S] in [-1,1], smooth."""
    at = torch.linspace(0, 6, size, dtype=torch.float64)
    rows = [torch.sin(at[:, None] * (c + 1)) * torch.cos(at[None] * (0.7 + c)) for c in range(channels)]
    return torch.stack(rows)[None].float()


def published(source: str) -> dict[str, Any]:
    """What the fixture says of a source: `networks` name -> keys and both shapes, `files`, `size`, `output`."""
    found: dict[str, Any] = json.loads(FIXTURE.read_text())[source]
    return found


def state_of(entry: list[str], which: int) -> tuple[list[str], list[tuple[int, ...]]]:
    """Names and shapes of a network's list: which=1 as published, which=2 the small form with the same names."""
    rows = [line.split() for line in entry]
    return [row[0] for row in rows], [tuple(int(s) for s in row[which].split('x') if s != '-') for row in rows]
