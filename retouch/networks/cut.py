"""CUT's projection of feature vectors.

Layer facts: Park et al., ECCV 2020, and taesungp/contrastive-unpaired-translation @ b3ac297 (BSD).
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PatchProjection(nn.Module):
    """Feature vectors at chosen positions of several maps, each map through two linear layers of its own, brought to length 1.

    560,384 parameters for maps of 3, 128, 256, 256 and 256 channels and width 256.
    """

    def __init__(self, channels: Sequence[int], width: int = 256) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Sequential(nn.Linear(c, width), nn.ReLU(inplace=True), nn.Linear(width, width)) for c in channels)

    def forward(self, maps: Sequence[Tensor], positions: Sequence[Tensor]) -> list[Tensor]:
        """maps [N,C,h,w] each and positions [P] each, row by row in 0 to h w - 1, the same for all N -> [N,P,width] each."""
        out = []
        for project, found, at in zip(self.maps, maps, positions, strict=True):
            v = project(found.flatten(2)[:, :, at].transpose(1, 2))
            out.append(v / (torch.linalg.vector_norm(v, dim=2, keepdim=True) + 1e-7))
        return out
