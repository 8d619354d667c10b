"""Files as authors save them, rebuilt from lists of names and shapes: what the import of published weights is tested with."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FIXTURE = Path(__file__).parent / 'fixtures' / 'published_weights.json'


def fill(names: list[str], shapes: list[tuple[int, ...]], start: int = 0) -> dict[str, Tensor]:
    """A state_dict of waves that no generator of random numbers touches: kernels of unit gain, scales near 1, variances above 0."""
    state = {}
    for i, (name, shape) in enumerate(zip(names, shapes, strict=True), start):
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


SETTING = {'attrs': ['Bald', 'Bangs', 'Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Bushy_Eyebrows', 'Eyeglasses', 'Male',
                     'Mouth_Slightly_Open', 'Mustache', 'No_Beard', 'Pale_Skin', 'Young'],
           'img_size': 128, 'thres_int': 0.5, 'test_int': 1.0, 'data': 'CelebA', 'enc_norm': 'batchnorm'}


def holds_of(source: str, states: dict[str, dict[str, Tensor]]) -> list[Any]:
    """What the files of a source hold, one of `published(source)['files']` each, as the authors' code saves it."""
    if source == 'attgan':
        return [states]
    if source == 'stgan':
        optimizer = {'state': {}, 'param_groups': [{'lr': 2e-4, 'params': [0]}]}
        return [{'state_dict': state, 'optimizer': optimizer} for state in states.values()]
    if source == 'munit':
        return [states]
    if source == 'drit':
        return [{**states, 'ep': 1199, 'total_it': 1, 'gen_opt': {'state': {}, 'param_groups': []}}]
    return list(states.values())


def write_files(source: str, folder: Path, legacy: bool = False, **changed: dict[str, Tensor]) -> list[Path]:
    """The small form of a source's files; `changed` takes the place of a network."""
    known = published(source)
    states = {net: fill(*state_of(entry, 2), 100 * i) for i, (net, entry) in enumerate(known['networks'].items())}
    folder.mkdir(parents=True, exist_ok=True)
    if source == 'attgan':
        (folder / 'setting.txt').write_text(json.dumps(SETTING, indent=4, separators=(',', ':')))
    paths = [folder / name for name in known['files']]
    for path, holds in zip(paths, holds_of(source, {**states, **changed}), strict=True):
        torch.save(holds, path, _use_new_zipfile_serialization=not legacy)
    return paths
