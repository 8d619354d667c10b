"""What the suite asks of an accelerator: every system computes there what it computes on the CPU. Skipped where there is none.

RETOUCH_TEST_DEVICE=cpu compares the CPU with itself, which shows that the tests run.
"""
from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from retouch.data.batches import to_device
from retouch.data.loader import DomainLoader
from retouch.engine.trainer import Trainer
from tests.batches import TINY, random_batch, random_request

DEVICE = os.environ.get('RETOUCH_TEST_DEVICE', 'cuda')
pytestmark = pytest.mark.skipif(DEVICE == 'cuda' and not torch.cuda.is_available(), reason='no CUDA device')


@pytest.fixture(autouse=True)
def _float32() -> Iterator[None]:
    """No TF32; some gradients have no deterministic kernel on a GPU."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    torch.use_deterministic_algorithms(False)
    yield
    torch.backends.cudnn.allow_tf32 = before
    torch.use_deterministic_algorithms(True)


def moved(batch: Any, device: str) -> Any:
    """The batch with its tensors on the device; positions in the set stay on the CPU, as a loader leaves them."""
    there = {f.name: to_device(value, device) for f in dataclasses.fields(batch)
             if isinstance(value := getattr(batch, f.name), Tensor) and 'index' not in f.name}
    return dataclasses.replace(batch, **there)


@pytest.mark.parametrize('name', TINY)
def test_losses_and_answers_are_those_of_the_cpu(name: str) -> None:
    losses, answers = dict[str, list[float]](), dict[str, Tensor]()
    for device in ('cpu', DEVICE):
        torch.manual_seed(0)
        method = TINY[name]()
        trainer = Trainer(method, Fabric(accelerator=device, devices=1), iterations=10, ema=0.9)
        for i in range(max(u.every for u in trainer.updates)):
            steps = trainer.train_iteration(moved(random_batch(method.kind, method.data, iteration=i), device))
            if i == 0:                                           # later ones start from weights that Adam moved by the sign of a last bit
                losses[device] = [float(step.loss) for step in steps.values()]
        assert trainer.is_finite()
        torch.manual_seed(0)
        fresh = TINY[name]()
        fresh.nets.to(device).eval()
        if hasattr(fresh, 'translate'):
            with torch.no_grad():
                answers[device] = fresh.translate(moved(random_request(method.kind, method.data), device)).image.cpu()
    first, *_ = losses['cpu']
    assert losses[DEVICE][0] == pytest.approx(first, rel=1e-3, abs=1e-4)
    if answers:
        torch.testing.assert_close(answers[DEVICE], answers['cpu'], rtol=1e-3, atol=1e-4)


def test_nothing_waits_for_the_device() -> None:
    """Batches and iterations are queued without a copy to the host; torch raises where one is."""
    method = TINY['cyclegan']()
    trainer = Trainer(method, Fabric(accelerator=DEVICE, devices=1), iterations=10, ema=0.9)
    rng, size = np.random.default_rng(0), method.data.size
    a, b = (rng.integers(0, 256, (10, size, size, 3), np.uint8) for _ in range(2))
    loader = DomainLoader(a, b, batch_size=2, seed=0, size=size, flip=True, device=torch.device(DEVICE))
    trainer.train_iteration(loader.batch(0, 10))                 # its first has kernels to choose
    if DEVICE == 'cuda':
        torch.cuda.set_sync_debug_mode('error')
    try:
        for i in range(1, 3):
            trainer.train_iteration(loader.batch(i, 10))
    finally:
        if DEVICE == 'cuda':
            torch.cuda.set_sync_debug_mode('default')
    trainer.ledger.check_finite()
