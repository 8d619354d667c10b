"""The attribute classifier that judged AttGAN, STGAN and MatchGAN, with a width.

Layer facts: csmliu/STGAN @ 8a206ad (read for shapes only): pairs of 3x3 convolutions with batch norm, 2x2 max-pool after each pair.
"""
from __future__ import annotations

from torch import Tensor, nn


class Classifier(nn.Module):
    """[N,3,H,W] in [-1,1] -> logits [N,K]. H, W divisible by 32.

    3,284,093 parameters with 13 attributes, width 16 and hidden 512 at 128 px.
    """

    def __init__(self, attributes: int, size: int, width: int = 16, hidden: int = 512) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        c = 3
        for stage in range(5):
            for _ in range(2):
                layers += [nn.Conv2d(c, width * 2 ** stage, 3, 1, 1, bias=False), nn.BatchNorm2d(width * 2 ** stage), nn.ReLU(inplace=True)]
                c = width * 2 ** stage
            layers.append(nn.MaxPool2d(2))
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(c * (size // 32) ** 2, hidden), nn.ReLU(inplace=True))
        self.head = nn.Linear(hidden, attributes)

    def features(self, x: Tensor) -> Tensor:
        """Penultimate activations [N,hidden]."""
        return self.trunk(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))
