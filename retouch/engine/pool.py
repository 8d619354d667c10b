"""The pictures that a generator made before, for its discriminator; with them goes their part of the state."""
from __future__ import annotations

import torch
from torch import Tensor, nn

from retouch.data.batches import Moment


class ImagePool(nn.Module):
    """The last pictures a generator made: [N,3,H,W] in, [N,3,H,W] out, each new one or, with probability 1/2, a stored one it replaces."""

    images: Tensor
    filled: Tensor

    def __init__(self, size: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.size = size
        self.register_buffer('images', torch.zeros(size, *shape))
        self.register_buffer('filled', torch.zeros((), dtype=torch.long))
        self.stored = 0          # mirror of `filled` on the host, so that the loop never waits for the device

    def exchange(self, new: Tensor, moment: Moment, name: str) -> Tensor:
        """new [N,3,H,W] detached; draws keyed by moment and name."""
        if not self.size:
            return new
        draws, out = moment.uniform(f'pool_{name}', 2).tolist(), []
        for image, (keep, where) in zip(new, draws, strict=True):
            if self.stored < self.size:
                self.images[self.stored] = image
                self.stored += 1
                self.filled += 1
                out.append(image)
            elif keep > 0.5:
                slot = int(where * self.size)
                out.append(self.images[slot].clone())
                self.images[slot] = image
            else:
                out.append(image)
        return torch.stack(out)

    def _load_from_state_dict(self, *args: object, **kwargs: object) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.stored = int(self.filled)
