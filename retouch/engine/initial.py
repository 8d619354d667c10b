"""A new run that begins with the weights of another: what fits is taken, what does not is named."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from retouch.engine.trainer import Trainer, restore

SHOWN = 3                        # tensors that are named; the others are counted


def take_weights(trainer: Trainer, weights: dict[str, Tensor], leave: tuple[str, ...] = ()) -> str:
    """Puts every tensor of `weights` that fits into the trainer's networks; its weight average starts anew from them.

    Args:
        trainer: fresh.
        weights: '<net>.<key>' -> tensor.
        leave: networks that keep what they have.

    Returns:
        one line: how much of each network was taken, and which tensors were not.

    Raises:
        ValueError: nothing fits.
    """
    said, misfits, taken = list[str](), list[str](), 0
    for name, net in trainer.trainable.nets.items():
        if name in leave:
            continue
        own = net.state_dict()
        there = {key.removeprefix(f'{name}.'): value for key, value in weights.items() if key.startswith(f'{name}.')}
        fits = {key: there[key] for key in own if key in there and there[key].shape == own[key].shape}
        net.load_state_dict({**own, **fits})
        taken += len(fits)
        said.append(f'{name} {len(fits)} of {len(own)}')
        if there:
            misfits += [f'{name}.{key} ({_shape(there.get(key))} there, {_shape(own[key])} here)' for key in own.keys() - fits.keys()]
        else:
            misfits.append(f'all of {name} (nothing there)')
    if not taken:
        names = dict.fromkeys(key.partition('.')[0] for key in weights)
        raise ValueError(f'no tensor of its networks {", ".join(names)} has the name and shape of one of '
                         f'{", ".join(trainer.trainable.nets)}')
    if trainer.ema:
        trainer.ema.restart()
    more = f' and {len(misfits) - SHOWN} more' if len(misfits) > SHOWN else ''
    return f'tensors taken: {", ".join(said)}' + (f'; not taken: {", ".join(sorted(misfits)[:SHOWN])}{more}' if misfits else '')


def take_optimisers(trainer: Trainer, states: dict[str, Any]) -> str:
    """Puts the state (moments and steps, not rates) of every optimiser into the trainer's of the same name whose parameters all fit.

    Returns:
        one line: which were taken and which not.
    """
    taken = [name for name, own in trainer.optimisers.items() if name in states and _fits(own, states[name])]
    for name in taken:
        own = trainer.optimisers[name]
        restore(own, {'state': states[name]['state'], 'param_groups': own.state_dict()['param_groups']})
    missing = [name for name in trainer.optimisers if name not in taken]
    return f'optimisers taken: {", ".join(taken) or "none"}' + (f'; not taken: {", ".join(missing)}, which do not fit' if missing else '')


def _fits(own: Optimizer, state: dict[str, Any]) -> bool:
    """Whether the state of an optimiser is of as many parameters, and its moments of their shapes."""
    parameters = [p for group in own.param_groups for p in group['params']]
    return sum(len(group['params']) for group in state['param_groups']) == len(parameters) and all(
        v.shape == parameters[i].shape for i, of in state['state'].items() for v in of.values() if torch.is_tensor(v) and v.ndim)


def _shape(tensor: Tensor | None) -> str:
    return 'nothing' if tensor is None else 'x'.join(map(str, tensor.shape)) or 'a number'
