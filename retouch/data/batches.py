"""What the engine feeds a method: frozen batches, and the key of every random draw made on them."""
from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from retouch.data.spec import DRAWN as DRAWN
from retouch.data.spec import DataSpec as DataSpec

IGNORED = 255     # as a class of a parse: nobody knows


def keyed_generator(*key: object) -> torch.Generator:
    """A CPU generator whose stream depends on nothing but the key."""
    digest = hashlib.blake2b('/'.join(map(str, key)).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, 'little') >> 1)


def to_device(x: Tensor, device: torch.device | str) -> Tensor:
    """A CPU tensor on the device without a host wait: a copy to a GPU goes through pinned memory."""
    return (x.pin_memory() if torch.device(device).type == 'cuda' else x).to(device, non_blocking=True)


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a batch stands in its run. Draws are keyed by (seed, iteration, sample), so P processes with batch N equal one with P*N."""

    seed: int = 0
    iteration: int = 0
    iterations: int = 1
    start: int = 0              # position of this process's first sample in the global batch
    count: int = 1              # samples in this process's batch
    total: int = 1              # samples in the global batch

    def uniform(self, name: str, *shape: int, device: torch.device | str = 'cpu') -> Tensor:
        """U(0,1) of shape [count, *shape]: this process's rows of the global draw called `name`."""
        return self._rows(torch.rand(self.total, *shape, generator=keyed_generator(self.seed, self.iteration, name)), device)

    def normal(self, name: str, *shape: int, device: torch.device | str = 'cpu') -> Tensor:
        """N(0,1) of shape [count, *shape]: this process's rows of the global draw called `name`."""
        return self._rows(torch.randn(self.total, *shape, generator=keyed_generator(self.seed, self.iteration, name)), device)

    def _rows(self, draw: Tensor, device: torch.device | str) -> Tensor:
        return to_device(draw[self.start:self.start + self.count], device)


@dataclass(frozen=True, slots=True)
class AttributeBatch:
    """Pictures with binary attributes and the attributes to give them."""

    image: Tensor               # [N,3,H,W] float32 in [-1,1]
    labels: Tensor              # [N,K] float32 in {0,1}, what the picture shows
    target: Tensor              # [N,K] float32 in {0,1}, what the generator must show
    index: Tensor               # [N] int64 position of the sample in the set
    moment: Moment
    pair: tuple[int, int] | None = None      # where all rows are by turns of one class and of another, each to be made the other's: which


@dataclass(frozen=True, slots=True)
class DomainBatch:
    """Unpaired pictures of two domains."""

    image_a: Tensor             # [N,3,H,W] float32 in [-1,1]
    image_b: Tensor             # [N,3,H,W]
    index_a: Tensor             # [N] int64
    index_b: Tensor             # [N] int64
    view_a: Tensor              # [N,4] float32: top, left and side of the window in fractions of the stored picture, 1 where mirrored
    view_b: Tensor              # [N,4]
    moment: Moment


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Aligned pictures: the same scene in domain A and domain B."""

    image_a: Tensor             # [N,3,H,W] float32 in [-1,1]
    image_b: Tensor             # [N,3,H,W]
    index: Tensor               # [N] int64
    view: Tensor                # [N,4] float32: top, left and side of the window in fractions of the stored picture, 1 where mirrored
    moment: Moment


@dataclass(frozen=True, slots=True)
class ParsingBatch:
    """Pictures and the class of every pixel."""

    image: Tensor               # [N,3,H,W] float32 in [-1,1]
    classes: Tensor             # [N,H,W] int64, positions in DataSpec.attributes; IGNORED where unknown
    index: Tensor               # [N] int64 position of the sample in the set
    moment: Moment


@dataclass(frozen=True, slots=True)
class ExemplarBatch:
    """Pictures and, drawn from the same set without regard to them, exemplars."""

    image: Tensor               # [N,3,H,W] float32 in [-1,1]
    labels: Tensor              # [N,K] float32 in {0,1}, what the picture shows
    exemplar: Tensor            # [N,3,H,W] float32 in [-1,1]
    exemplar_labels: Tensor     # [N,K] float32 in {0,1}, what the exemplar shows
    index: Tensor               # [N] int64 position of the sample in the set
    exemplar_index: Tensor      # [N] int64
    moment: Moment
