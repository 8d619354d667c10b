"""Exponential moving average of the inference nets, buffers included."""
from __future__ import annotations

import torch
from torch import Tensor, nn


class EMA:
    """Follows weights and floating buffers with decay `beta`; integer buffers are copied."""

    def __init__(self, nets: nn.ModuleDict, names: tuple[str, ...], beta: float) -> None:
        self.beta = beta
        self.live = {f'{n}.{k}': v for n in names for k, v in nets[n].state_dict(keep_vars=True).items()}
        self.weights = {k: v.detach().clone() for k, v in self.live.items()}
        self.floats = [k for k, v in self.weights.items() if v.is_floating_point()]
        self.averages, self.sources = ([part[k].detach() for k in self.floats] for part in (self.weights, self.live))   # views, made once

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        """One step; early steps average over what there is: beta_t = min(beta, (1 + t) / (10 + t))."""
        beta = min(self.beta, (1 + iteration) / (10 + iteration))
        torch._foreach_lerp_(self.averages, self.sources, 1 - beta)
        for k in self.weights.keys() - set(self.floats):
            self.weights[k].copy_(self.live[k])

    def restart(self) -> None:
        """The average of nothing but the weights as they are."""
        for k, v in self.weights.items():
            v.copy_(self.live[k].detach())

    def state_dict(self) -> dict[str, Tensor]:
        return self.weights

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for k, v in self.weights.items():
            v.copy_(state[k])
