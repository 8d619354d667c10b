"""Fabric, without what its import brings along for nothing.

To compare one version number lightning_fabric.utilities.imports imports all of torchmetrics, and with it torchvision's models and SciPy's
signals: nearly half of the seconds until a training begins. Only its SpikeDetection, which nothing here uses, asks for the answer; where
torchmetrics is not installed it is told the same.
"""
from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(name: str) -> Iterator[None]:
    """Within, a module that is not imported yet cannot be imported; afterwards it can."""
    here = name not in sys.modules
    if here:
        sys.modules[name] = None                                 # type: ignore[assignment]    # what Python's import takes for absent
    try:
        yield
    finally:
        if here:
            del sys.modules[name]


with hidden('torchmetrics'):
    from lightning_fabric import Fabric

__all__ = ['Fabric']
