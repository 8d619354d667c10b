"""What the golden values are values of: networks whose weights no random generator touches, and a few steps of training."""
from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from retouch.engine.trainer import Trainer
from retouch.methods import METHODS
from tests.batches import random_batch

ITERATIONS = 2


def ramp(*shape: int) -> Tensor:
    """A smooth function of the flat index in [-1,1]; its pitch rises, so that the rows of a weight matrix are independent."""
    i = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return torch.sin(0.37 * i + 0.0007 * i * i).float().reshape(shape)


def fill(net: nn.Module) -> nn.Module:
    """Gives every parameter a value that follows from its flat index, its shape and whether it is a weight. Returns the network.

    Matrices and kernels keep the variance of their input, scales stay near 1, offsets near 0. Networks that define equal layers in one
    order, whatever they call them, get equal weights.
    """
    with torch.no_grad():
        for name, p in net.named_parameters():
            if p.ndim > 1:
                p.copy_(2 * ramp(*p.shape) * (p.shape[0] / p.numel()) ** 0.5)
            else:
                p.copy_(name.endswith('weight') + 0.1 * ramp(*p.shape))
    return net


def trained(method: Any, iterations: int = ITERATIONS, ramped: bool = True) -> tuple[Trainer, dict[str, float]]:
    """Trains for a few iterations; '<iteration>.<update>.<term>' -> value, and how far each network's kernels moved, in learning rates."""
    if ramped:
        for net in method.nets.values():
            fill(net)
    trainer = Trainer(method, Fabric(accelerator='cpu', devices=1), iterations=10)
    before = {n: kernels(net) for n, net in method.nets.items()}
    values: dict[str, float] = {}
    for i in range(iterations):
        for update, step in trainer.train_iteration(random_batch(method.kind, method.data, iteration=i)).items():
            values |= {f'{i}.{update}.{term}': float(v) for term, v in {'loss': step.loss, **step.logs}.items()}
    values |= {f'moved.{n}': float((kernels(net) - before[n]).abs().mean()) / method.config.lr for n, net in method.nets.items()}
    return trainer, values


def kernels(net: nn.Module) -> Tensor:
    """All weight matrices and kernels as one vector; offsets before a norm have no gradient but rounding error and are left out."""
    return torch.cat([p.detach().flatten() for p in net.parameters() if p.ndim > 1])


def tiny(name: str) -> dict[str, float]:
    """The golden values of one method."""
    return trained(METHODS[name].tiny())[1]
