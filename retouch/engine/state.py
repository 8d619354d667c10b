"""State is whole or it is a bug: one file, written atomically, that continues a run bit for bit."""
from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from retouch.files import whole_file

STATE = 'last.pt'


def rng_state() -> dict[str, Any]:
    """Every global random stream, as tensors and plain values (loads with weights_only=True)."""
    kind, keys, pos, has_gauss, gauss = np.random.get_state(legacy=True)
    version, words, extra = random.getstate()
    state: dict[str, Any] = {'torch': torch.get_rng_state(),
                             'numpy': [str(kind), torch.from_numpy(np.asarray(keys, np.int64)), pos, has_gauss, gauss],
                             'python': [version, list(words), extra]}
    if torch.cuda.is_available():
        state['cuda'] = torch.cuda.get_rng_state_all()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Restores what `rng_state` returned."""
    torch.set_rng_state(state['torch'])
    kind, keys, pos, has_gauss, gauss = state['numpy']
    np.random.set_state((kind, keys.numpy().astype(np.uint32), pos, has_gauss, gauss))
    version, words, extra = state['python']
    random.setstate((version, tuple(words), extra))
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state['cuda'][:torch.cuda.device_count()])


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Writes state/last.pt, a `whole_file`: a crash or power cut at any point leaves the previous state whole.

    Raises:
        OSError: one line; the previous state survives.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with whole_file(folder / STATE, alone=True) as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:                     # torch reports a full disk as RuntimeError
        kept = f'the previous state in {folder / STATE} is untouched' if (folder / STATE).exists() else 'no earlier state exists'
        reason = getattr(error, 'strerror', None) or str(error).split('\n')[0]
        raise OSError(f'could not save {folder / STATE} ({reason}): free some space, then continue with --resume auto; {kept}') from error


def load_state(folder: Path) -> dict[str, Any] | None:
    """The saved state, or None if there is none.

    Raises:
        ValueError: the file is truncated or not a state.
    """
    path = folder / STATE
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
        if not isinstance(state['iteration'], int) or state['iteration'] < 0:
            raise ValueError(state['iteration'])
        return state
    except Exception as error:
        raise ValueError(f'{path} cannot be read ({type(error).__name__}): expected a whole saved state; restore the file from a copy, '
                         'or start again with another --out') from error
