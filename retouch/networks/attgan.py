"""AttGAN's generator and discriminator; STGAN shares the discriminator.

Layer facts: He, Zuo, Kan, Shan, Chen. AttGAN: Facial Attribute Editing by Only Changing What You Want. IEEE TIP 2019, and
elvisyjlin/AttGAN-PyTorch @ be2d6c6 (MIT); discriminator of STGAN: bluestyle97/STGAN-pytorch @ 1136a5d (MIT).
"""
from __future__ import annotations

from torch import Tensor, nn

from retouch.networks.layers import instance_norm


class Discriminator(nn.Module):
    """Critic with a class head: [N,3,H,W] -> src [N,1] and logits [N,K]. H a multiple of 2**layers.

    `layers` strided convolutions with instance norm and LeakyReLU, widths doubling from `width` to at most 16 times it, then two
    heads of two linear layers each. 44,718,990 parameters with 13 attributes at 128 px; 44,720,974 with convolution biases (STGAN).

    Args:
        attributes: K.
        size: H = W in pixels.
        width: channels of the first convolution; the heads' hidden layers have 16 times as many.
        layers: strided convolutions.
        bias: whether the convolutions have biases (STGAN) or not (AttGAN).
        slope: of the convolutions' LeakyReLU.
        head_slope: of the activation between a head's linear layers; 0 is a ReLU.
    """

    def __init__(self, attributes: int, size: int, width: int = 64, layers: int = 5, *, bias: bool = False, slope: float = 0.01,
                 head_slope: float = 0.0) -> None:
        super().__init__()
        if size % 2 ** layers:
            raise ValueError(f'size={size}: {layers} strided convolutions need a multiple of {2 ** layers}; set --data.size or --method.layers')
        channels = [3, *(width * 2 ** min(i, 4) for i in range(layers))]
        self.convs = nn.ModuleList(nn.Sequential(nn.Conv2d(a, b, 4, 2, 1, bias=bias), instance_norm(b, True), nn.LeakyReLU(slope))
                                   for a, b in zip(channels, channels[1:], strict=False))
        flat, hidden = channels[-1] * (size // 2 ** layers) ** 2, 16 * width
        self.src = nn.Sequential(nn.Linear(flat, hidden), nn.LeakyReLU(head_slope), nn.Linear(hidden, 1))
        self.cls = nn.Sequential(nn.Linear(flat, hidden), nn.LeakyReLU(head_slope), nn.Linear(hidden, attributes))

    def features(self, x: Tensor, depth: int | None = None) -> list[Tensor]:
        """The maps after the first `depth` (None: all) strided convolutions and their activations, [N,C_i,H/2**i,W/2**i] each."""
        maps = []
        for conv in self.convs[:depth]:
            x = conv(x)
            maps.append(x)
        return maps

    def heads(self, a: Tensor, depth: int | None = None) -> tuple[Tensor, Tensor]:
        """src [N,1] and class logits [N,K] from the map after `depth` convolutions (None: the last one)."""
        for conv in self.convs[len(self.convs) if depth is None else depth:]:
            a = conv(a)
        a = a.flatten(1)
        return self.src(a), self.cls(a)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.heads(self.features(x)[-1])
