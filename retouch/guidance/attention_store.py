"""A map per training picture that outlives its iteration and follows the picture through random crops and flips.

A map is kept in coordinates of the whole stored picture. A batch shows windows of it: `read` cuts the window out and mirrors it with the
picture, `write` changes only what the window covers. One float32 map of 32 x 32 costs 4,096 bytes a picture.

    store = AttentionStore(samples=1000, side=32)
    seen = store.read(batch.index_a, batch.view_a, size=256)     # [N,1,256,256], all ones before the first write
    store.write(batch.index_a, batch.view_a, new)                # [N,1,h,w] of the pictures as the batch shows them

Source: the idea of Lin et al., WACV 2021; the coordinates are ours.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AttentionStore(nn.Module):
    """Maps in [0,1] by sample number, in the state of whoever holds it. Deterministic, also for a sample that a batch holds twice."""

    maps: Tensor                                                 # [samples,side,side]

    def __init__(self, samples: int, side: int, align: bool = True, noise: bool = False) -> None:
        """Makes room.

        Args:
            samples: pictures; 0 for a model that is only used.
            side: of the stored maps, in cells.
            align: False takes every map as one of the whole picture, whatever the window.
            noise: start from U(0,1) instead of ones.
        """
        super().__init__()
        shape = (samples, side, side)
        self.side, self.align = side, align
        self.register_buffer('maps', torch.rand(shape) if noise else torch.ones(shape))

    @torch.no_grad()
    def read(self, index: Tensor, view: Tensor, size: int) -> Tensor:
        """What is stored of the windows a batch shows, bilinearly.

        Args:
            index: [N] int64, on any device.
            view: [N,4] top, left and side of the window in fractions of the stored picture, 1 where it is mirrored.
            size: side of the answer.

        Returns:
            [N,1,size,size] in [0,1], without a graph.

        Raises:
            ValueError: the store was made without pictures.
        """
        maps, view = self._of(index), self._seen(view)
        top, left, side, mirrored = view[:, :, None].unbind(1)   # [N,1] each
        u = _centres(size, view)
        return _sample(maps[:, None], top + side * u, left + side * torch.where(mirrored > 0, 1 - u, u))

    @torch.no_grad()
    def write(self, index: Tensor, view: Tensor, new: Tensor) -> None:
        """Replaces the cells whose centre a window covers; of a sample that occurs twice, the later row has the last word.

        Args:
            index: [N] int64, on any device.
            view: [N,4] as for `read`.
            new: [N,1,h,w] in [0,1], of the windows as the batch shows them; averaged first where it is finer than the store.
        """
        maps, view = self._of(index), self._seen(view)
        top, left, side, mirrored = view[:, :, None].unbind(1)
        cells = _centres(self.side, view)
        v, u = (cells - top) / side, (cells - left) / side       # [N,side] where in the window a cell lies
        inside = ((v >= 0) & (v <= 1))[:, :, None] & ((u >= 0) & (u <= 1))[:, None, :]
        new = new.to(maps.dtype)
        if new.shape[-1] > self.side:
            new = F.adaptive_avg_pool2d(new, self.side)
        values = _sample(new, v, torch.where(mirrored > 0, 1 - u, u))[:, 0]
        # rows of one sample get one result, so that the order in which the device stores them does not matter
        index = index.to(maps.device, non_blocking=True)
        order = torch.arange(1, len(index) + 1, device=maps.device)
        last = ((index[:, None] == index)[:, :, None, None] * inside * order[:, None, None]).amax(1)      # [N,side,side], 0: not covered
        self.maps.index_copy_(0, index, torch.where(last > 0, values.gather(0, (last - 1).clamp(min=0)), maps))

    def _of(self, index: Tensor) -> Tensor:
        """The maps [N,side,side] of some samples."""
        if not len(self.maps):
            raise ValueError('the store holds no picture: expected the number of training pictures; set DataSpec.samples')
        return self.maps.index_select(0, index.to(self.maps.device, non_blocking=True))

    def _seen(self, view: Tensor) -> Tensor:
        """The windows [N,4], or whole pictures where nothing is aligned."""
        view = view.to(self.maps)
        return view if self.align else (torch.arange(4, device=view.device) == 2).to(view).expand_as(view)


def _centres(n: int, like: Tensor) -> Tensor:
    """Centres of n cells in fractions of the whole, [1,n]."""
    return ((torch.arange(n, device=like.device, dtype=like.dtype) + 0.5) / n)[None]


def _sample(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Bilinear values of maps [N,1,h,w] at rows [N|1,H] x columns [N,W], fractions of the map; -> [N,1,H,W], borders extended."""
    N, H, W = len(columns), rows.shape[1], columns.shape[1]
    grid = torch.stack([columns[:, None].expand(N, H, W), rows[:, :, None].expand(N, H, W)], -1) * 2 - 1
    return F.grid_sample(maps, grid, mode='bilinear', padding_mode='border', align_corners=False)
