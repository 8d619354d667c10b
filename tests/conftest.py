"""What every test shares: one thread, deterministic kernels, a cache folder of its own, small drawn pictures."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

REPOSITORY = Path(__file__).resolve().parents[1]

torch.set_num_threads(1)      # the tiny networks are slower on two, and sums differ
torch.use_deterministic_algorithms(True)


@pytest.fixture(autouse=True, scope='session')
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decoded pictures go to a temporary folder, so that no test sees what an earlier one or a user left behind."""
    os.environ['RETOUCH_CACHE'] = str(tmp_path_factory.mktemp('cache'))
    os.environ.pop('RETOUCH_RUNS', None)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """One seed for every test."""
    torch.manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marked tests without the pictures they need are skipped, with the reason."""
    if os.environ.get('RETOUCH_REAL_DATA'):
        return
    skip = pytest.mark.skip(reason='RETOUCH_REAL_DATA is unset: this test needs a folder of real pictures')
    for item in items:
        if 'real_data' in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope='session')
def repository() -> Path:
    """The root of the checkout, for tests that read documents or source files."""
    return REPOSITORY


@pytest.fixture(scope='session')
def real_data() -> Path:
    """The folder of real pictures; only for tests marked real_data."""
    return Path(os.environ['RETOUCH_REAL_DATA'])


@pytest.fixture
def ramp() -> Callable[..., Tensor]:
    """ramp(*shape) -> a smooth deterministic tensor in [-1,1] that no random generator touches; golden values start from it."""

    def make(*shape: int) -> Tensor:
        n = int(torch.tensor(shape).prod())
        return torch.sin(torch.arange(n, dtype=torch.float64) * 0.37).float().reshape(shape)

    return make
