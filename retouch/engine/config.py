"""The `train` section of a run."""
from __future__ import annotations

from typing import Literal

from pydantic import Field

from retouch.config import Config


class TrainConfig(Config):
    """How long, how much at once, how often to look."""

    iterations: int = Field(gt=0)
    """Length of the run; schedules are fractions of it."""
    epochs: int | None = Field(default=None, gt=0)
    """Length in passes over the set, of two domains the larger one, in whole batches: takes the place of `iterations` when a run starts
    and is recorded as those. None: `iterations` holds."""
    batch_size: int = Field(default=16, gt=0)
    """Pictures per process and iteration."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Decay of the weight average that is saved as the model; None saves the live weights, as the papers do."""
    precision: Literal['32-true', 'bf16-mixed'] = '32-true'
    channels_last: bool = False
    """Keep convolution weights, and with them the maps, in channels-last order: faster for some networks, as --dry-run tells."""
    compile: bool = False
    """Compile the generators (torch.compile): minutes before the first iteration, less time for each; --dry-run tells when that pays."""
    threads: int | None = Field(default=None, gt=0)
    """CPU threads; None leaves torch's choice."""
    log_every: int = Field(default=50, gt=0)
    sample_every: int = Field(default=500, gt=0)
    save_every: int = Field(default=1000, gt=0)
    keep_every: int | None = Field(default=None, gt=0)
    """Keep a model directory in kept/ after every so many iterations, for figures of masks against training time; None: the last alone."""
