"""Three iterations of a method of every kind on as many processes as the environment names: `python -m tests.nodes FILE` is one of them.

In float64, for Adam turns the last bit of a tiny gradient into a step.
"""
from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from retouch.data.loader import AttributeLoader, DomainLoader, PairLoader
from retouch.engine.trainer import Trainer
from retouch.methods.munit import MUNIT
from retouch.methods.pix2pix import Pix2Pix
from retouch.methods.stargan import StarGAN

TOTAL = 4        # pictures an iteration, of all processes
# Of exemplars and parsing all systems have batch norm, whose statistics are of a process's own pictures.
METHODS: dict[str, tuple[Any, dict[str, Any]]] = {'attributes': (StarGAN, {}), 'domains': (MUNIT, {}),
                                                  'pairs': (Pix2Pix, {'norm': 'instance'})}


def weights_after(kind: str, fabric: Fabric) -> dict[str, Tensor]:
    """All weights and their average after three iterations from one seed."""
    torch.set_default_dtype(torch.float64)                       # of the noise that styles and dropout are drawn from
    try:
        return _weights_after(kind, fabric)
    finally:
        torch.set_default_dtype(torch.float32)


def _weights_after(kind: str, fabric: Fabric) -> dict[str, Tensor]:
    cls, changes = METHODS[kind]
    tiny = cls.tiny()
    torch.manual_seed(0)
    method = cls(tiny.config.model_copy(update=changes), tiny.data)
    trainer = Trainer(method, fabric, iterations=10, ema=0.9)
    rng, size, names = np.random.default_rng(0), method.data.size, method.data.attributes
    a, b = (rng.integers(0, 256, (10, size, size, 3), np.uint8) for _ in range(2))
    labels = rng.integers(0, 2, (10, len(names)))
    shared: dict[str, Any] = {'batch_size': TOTAL // fabric.world_size, 'seed': 0, 'size': size, 'flip': True, 'device': fabric.device,
                              'rank': fabric.global_rank, 'world': fabric.world_size}
    loader: Any = {'attributes': lambda: AttributeLoader(a, labels, names, 'permute', 'attgan_tf', **shared),
                   'domains': lambda: DomainLoader(a, b, **shared), 'pairs': lambda: PairLoader(a, b, **shared)}[kind]()
    for i in range(3):
        batch = loader.batch(i, 10)
        doubled = {f.name: value.double() for f in dataclasses.fields(batch)
                   if isinstance(value := getattr(batch, f.name), Tensor) and value.is_floating_point()}
        trainer.train_iteration(dataclasses.replace(batch, **doubled))
    assert trainer.ema is not None
    return {**trainer.module.state_dict(), **{f'ema.{k}': v for k, v in trainer.ema.weights.items()}}


def one_process() -> Fabric:
    """What a machine alone trains with."""
    return Fabric(accelerator='cpu', devices=1)


def main() -> None:
    """One process of several."""
    from retouch.recipes.registry import load_run
    from retouch.training import make_fabric

    torch.set_num_threads(1)
    fabric = make_fabric(load_run('stargan.toyfaces'))
    assert fabric.world_size == int(os.environ['WORLD_SIZE']) and fabric.global_rank == int(os.environ['RANK'])
    found = {kind: weights_after(kind, fabric) for kind in METHODS}
    if fabric.global_rank == 0:
        torch.save(found, sys.argv[1])


if __name__ == '__main__':
    main()
