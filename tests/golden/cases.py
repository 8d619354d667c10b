"""What the golden values are values of: networks whose weights no random generator touches, and a few steps of training."""
from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from retouch.engine.trainer import Trainer
from tests.batches import TINY, random_batch


def iterations_of(method: Any) -> int:
    """How many iterations the golden values of a method span: 2, or all 10 of a run whose Updates stand in stages."""
    return 10 if any(u.within != (0.0, 1.0) for u in method.updates()) else 2


def ramp(*shape: int, phase: float = 0.0) -> Tensor:
    """A smooth function of the flat index in [-1,1]; its pitch rises, so that the rows of a weight matrix are independent."""
    i = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return torch.sin(phase + 0.37 * i + 0.0007 * i * i).float().reshape(shape)


def fill(net: nn.Module, phase: float = 0.0) -> nn.Module:
    """Gives every parameter a value that follows from its flat index, its shape and whether it is a weight. Returns the network.

    Matrices and kernels about keep the variance of their input, scales stay near 1, offsets near 0. Networks that define equal layers
    in one order, whatever they call them, get equal weights; another `phase` gives other weights.
    """
    with torch.no_grad():
        for name, p in net.named_parameters():
            if p.ndim > 1:
                p.copy_(2.5 * ramp(*p.shape, phase=phase) * (p.shape[0] / p.numel()) ** 0.5)
            else:
                p.copy_(name.endswith('weight') + 0.1 * ramp(*p.shape, phase=phase))
    return net


def fill_all(method: Any) -> Any:
    """`fill` with phase 0, 1, 2 … for the networks of a method in their order. Returns the method."""
    for phase, net in enumerate(method.nets.values()):
        fill(net, phase)
    return method


def kernels(net: nn.Module) -> list[Tensor]:
    """Weight matrices and kernels; an offset before a norm has no gradient but rounding error, and Adam would make steps of that."""
    return [p for p in net.parameters() if p.ndim > 1]


def norm(tensors: list[Tensor]) -> float:
    """Euclidean norm of all elements together."""
    return float(torch.linalg.vector_norm(torch.cat([t.detach().flatten().double() for t in tensors])))


def mean_abs(tensors: list[Tensor]) -> float:
    """Mean absolute value of all elements together."""
    return float(torch.cat([t.detach().flatten().double() for t in tensors]).abs().mean())


def train(method: Any, iterations: int, n: int = 2) -> dict[str, float]:
    """Trains on random batches of n.

    Returns:
        '<iteration>.<update>.<term>' -> the loss, every logged term and the norm of the kernels' gradient; 'moved.<net>' -> mean
        distance that the kernels moved in all, in learning rates.
    """
    trainer = Trainer(method, Fabric(accelerator='cpu', devices=1), iterations=10)
    before = {name: [k.detach().clone() for k in kernels(net)] for name, net in method.nets.items()}
    values: dict[str, float] = {}
    for i in range(iterations):
        done = trainer.train_iteration(random_batch(method.kind, method.data, n=n, iteration=i))
        for update in (u for u in trainer.updates if u.name in done):
            step = done[update.name]
            gradient = [k.grad for name in update.nets for k in kernels(method.nets[name]) if k.grad is not None]
            terms = {'loss': step.loss, **step.logs, 'gradient': torch.tensor(norm(gradient))}
            values |= {f'{i}.{update.name}.{term}': value.item() for term, value in terms.items()}
    for name, net in method.nets.items():
        values[f'moved.{name}'] = mean_abs([k - b for k, b in zip(kernels(net), before[name], strict=True)]) / method.config.lr
    return values


def tiny(name: str) -> dict[str, float]:
    """The golden values of one method of TINY: so many iterations of its tiny() form that every Update runs."""
    method = fill_all(TINY[name]())
    return train(method, iterations_of(method))


def summary(image: Tensor) -> dict[str, Any]:
    """Mean, standard deviation and eight pixels spread over a picture tensor [N,C,H,W]."""
    flat = image.detach().flatten()
    return {'shape': list(image.shape), 'mean': flat.mean().item(), 'std': flat.std().item(),
            'pixels': flat[torch.arange(8) * (len(flat) - 1) // 7].tolist()}
