"""Executes Updates: everything a method file must not have to repeat."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from retouch.engine.ema import EMA
from retouch.engine.lightning import Fabric
from retouch.engine.state import rng_state, set_rng_state
from retouch.engine.update import Keep, Step, Trainable

NEVER = 2 ** 62                  # as an iteration: has not happened


class Ledger:
    """Sums of logged scalars, kept on the device; the first non-finite iteration of each is remembered without a host sync."""

    def __init__(self) -> None:
        self.terms: dict[str, tuple[str, ...]] = {}
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.first_bad: dict[str, Tensor] = {}

    def add(self, update: str, step: Step, iteration: int) -> None:
        """Notes the loss and logs of one Update."""
        values = torch.stack([step.loss.detach().float(), *(v.float() for v in step.logs.values())])
        if update not in self.sums:
            self.terms[update] = ('loss', *step.logs)
            self.sums[update] = torch.zeros_like(values)
            self.counts[update] = 0
            self.first_bad[update] = torch.full_like(values, NEVER, dtype=torch.int64)
        self.sums[update] += values
        self.counts[update] += 1
        bad, first = ~torch.isfinite(values), self.first_bad[update]
        self.first_bad[update] = torch.where(bad, first.clamp(max=iteration), first)

    def check_finite(self) -> None:
        """Raises FloatingPointError naming update, term and iteration of the first value that was not finite (one host sync)."""
        found = [(first, name, term) for name, firsts in self.first_bad.items()
                 for first, term in zip(firsts.tolist(), self.terms[name], strict=True) if first < NEVER]
        if found:
            # a term explains more than the total that contains it
            iteration, name, term = min(found, key=lambda f: (f[0], f[2] == 'loss'))
            raise FloatingPointError(f'{name}.{term} is not finite at iteration {iteration}: training stopped before it '
                                     'could spoil the saved state; lower the learning rate or check the pictures, then continue '
                                     'with --resume auto')

    def share(self, fabric: Fabric) -> None:
        """Makes every process's first non-finite iteration the earliest of all, so that all of them stop for it together."""
        for name, first in self.first_bad.items() if fabric.world_size > 1 else ():
            self.first_bad[name] = torch.stack(list(fabric.all_gather(first))).amin(0)

    def state_dict(self) -> dict[str, Any]:
        """Everything, so that a resumed run logs the same rows."""
        return {'terms': {k: list(v) for k, v in self.terms.items()}, 'sums': self.sums, 'counts': self.counts, 'first_bad': self.first_bad}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Restores what `state_dict` returned."""
        self.terms, self.counts = {k: tuple(v) for k, v in state['terms'].items()}, dict(state['counts'])
        self.sums, self.first_bad = ({k: v.to(device) for k, v in state[part].items()} for part in ('sums', 'first_bad'))

    def means(self) -> dict[str, float]:
        """'<update>.<term>' -> mean since the last call; resets the sums."""
        out: dict[str, float] = {}
        for name, total in self.sums.items():
            if self.counts[name]:
                out |= {f'{name}.{term}': value / self.counts[name] for term, value in zip(self.terms[name], total.tolist(), strict=True)}
                total.zero_()
                self.counts[name] = 0
        return out


def in_order_of(p: Tensor, v: Tensor) -> Tensor:
    """`v`, or a copy in the order in which `p` lies in memory if they are of one shape: a fused optimiser walks both as they lie."""
    return v if v.shape != p.shape or v.stride() == p.stride() else torch.empty_like(p).copy_(v)


def restore(optimiser: Optimizer, state: dict[str, Any]) -> None:
    """`load_state_dict`, with moments in the order of their weights; of an optimiser that keeps numbers these stay as they are."""
    optimiser.load_state_dict(state)
    for p, kept in optimiser.state.items():
        optimiser.state[p] = {k: in_order_of(p, v) if isinstance(v, Tensor) else v for k, v in kept.items()}


class Trainer:
    """Owns optimisers, gradient switches, EMA and state. The trainable owns the mathematics."""

    def __init__(self, trainable: Trainable, fabric: Fabric, iterations: int, ema: float | None = None) -> None:
        self.trainable, self.fabric, self.iterations, self.iteration = trainable, fabric, iterations, 0
        self.module: nn.Module = trainable                                   # type: ignore[assignment]
        self.module.to(fabric.device).train()
        self.updates = trainable.updates()
        self.optimisers: dict[str, Optimizer] = {}
        for u in self.updates:
            parameters = [p for n in u.nets for p in trainable.nets[n].parameters()]
            try:
                self.optimisers[u.name] = self.optimisers[u.shares] if u.shares else u.optimiser(parameters)
            except ValueError as error:
                raise ValueError(f'{error} (of {u.name}): expected a rate of at least 0 and betas from 0 to below 1; set --method.lr, '
                                 '--method.beta1 or --method.beta2') from error
        self.base_lr = {name: [g['lr'] for g in o.param_groups] for name, o in self.optimisers.items()}
        self.ema = EMA(trainable.nets, trainable.inference_nets, ema) if ema else None
        self.ledger = Ledger()
        trainable.nets.requires_grad_(False)

    def train_iteration(self, batch: Any) -> dict[str, Step]:
        """Runs every Update that is due, in order. Returns their Steps by name."""
        done: dict[str, Step] = {}
        kept: Keep = {}
        due = [update for update in self.updates if update.runs_at(self.iteration, self.iterations)]
        for i, update in enumerate(due):
            learning = update.among(batch) if update.among else update.nets
            later = {net for u in due[i + 1:] for net in u.nets}
            awake = (*learning, *later.intersection(update.ahead))
            optimiser = self.optimisers[update.name]
            for group, base in zip(optimiser.param_groups, self.base_lr[update.name], strict=True):
                group['lr'] = base * update.schedule(self.iteration, self.iterations)
            for net in awake:
                self.trainable.nets[net].requires_grad_(True)
            optimiser.zero_grad(set_to_none=True)
            with self.fabric.autocast():
                step = update.step(batch, kept)
            step.loss.backward()
            parameters = [p for n in learning for p in self.trainable.nets[n].parameters()]
            self.average_gradients(parameters)
            if update.clip is not None:
                nn.utils.clip_grad_norm_(parameters, update.clip)
            optimiser.step()                                     # a parameter without a gradient keeps its moments, too
            if update.clamp is not None:
                for p in parameters:
                    p.data.clamp_(-update.clamp, update.clamp)
            for net in awake:
                self.trainable.nets[net].requires_grad_(False)
            self.ledger.add(update.name, step, self.iteration)
            kept |= step.keep
            done[update.name] = Step(step.loss.detach(), step.logs, step.images)
            del step                                             # its graph and parts must not outlive it into the next Update
        self.iteration += 1
        if self.ema:
            self.ema.update(self.iteration)
        return done

    def average_gradients(self, parameters: list[nn.Parameter]) -> None:
        """One flat all-reduce over the parameters that learn; one without a gradient counts as zero."""
        if self.fabric.world_size == 1:
            return
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
        flat = self.fabric.all_reduce(flat, reduce_op='mean')                # type: ignore[assignment]
        for p, g in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            p.grad = in_order_of(p, g.view_as(p))

    def inference_weights(self) -> dict[str, Tensor]:
        """What a model directory holds: EMA weights if there are any, else the live ones. '<net>.<key>' -> tensor."""
        if self.ema:
            return self.ema.weights
        return {f'{n}.{k}': v for n in self.trainable.inference_nets for k, v in self.trainable.nets[n].state_dict().items()}

    def is_finite(self) -> bool:
        """Whether every weight and buffer is finite (one host sync)."""
        return bool(torch.stack([torch.isfinite(v).all() for v in self.module.state_dict().values() if v.is_floating_point()]).all())

    def keeps_its_own(self) -> bool:
        """Whether a process keeps something of its own pictures: pools, maps, or statistics of batch norm."""
        return any('nets.' not in key or key.endswith('.running_mean') for key in self.module.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """ALL of the state. A resumed run equals an uninterrupted one, bit for bit on CPU."""
        return {'iteration': self.iteration, 'world_size': self.fabric.world_size, 'trainable': self.module.state_dict(),
                'ema': self.ema.state_dict() if self.ema else None, 'ledger': self.ledger.state_dict(),
                'optimisers': {k: o.state_dict() for k, o in self.optimisers.items()}, 'rng': rng_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` returned, on any number of processes; what one `keeps_its_own` of is the first's."""
        self.iteration = state['iteration']
        self.ledger.load_state_dict(state['ledger'], self.fabric.device)
        self.module.load_state_dict(state['trainable'])
        for name, optimiser in self.optimisers.items():
            restore(optimiser, state['optimisers'][name])
        if self.ema:
            self.ema.load_state_dict(state['ema'])
        set_rng_state(state['rng'])
