"""Which part of a picture a network sees, and how that part comes to the network's size: one rule for training, scoring and editing."""
from __future__ import annotations

from typing import Literal, Self

import numpy as np
from PIL import Image
from pydantic import Field, model_validator

from retouch.config import Config

RESAMPLE = {'bilinear': Image.Resampling.BILINEAR, 'bicubic': Image.Resampling.BICUBIC, 'nearest': Image.Resampling.NEAREST}
Window = tuple[int, int, int, int]          # left, top, width, height in pixels
Ground = Literal['white', 'black']


class Frame(Config):
    """The rule; stored with every model. As it stands here: the largest central square."""

    stretch: bool = False
    """The whole picture, whatever its aspect, squashed to the network's square."""
    crop: int | None = Field(default=None, gt=0)
    """A central square of so many pixels; None: the largest."""
    crop_of: tuple[int, int] | None = None
    """Width and height in pixels of the pictures that `crop` was cut from: what makes it fit a picture of another size."""
    share: float = Field(default=1.0, gt=0, le=1)
    """With stretch: of either side, about the centre, so much is seen; 216/256 where a set was squashed to 256 px and 216 were cut."""
    resample: Literal['bilinear', 'bicubic', 'nearest'] = 'bilinear'
    """Filter of the resize: Pillow's, antialiased, on 8 bits; 'nearest' of label maps, whose colours are names."""
    ground: Ground = 'white'
    """What transparent pictures are laid over."""

    @model_validator(mode='after')
    def _one_rule(self) -> Self:
        if self.stretch and self.crop is not None:
            raise ValueError(f'stretch with crop={self.crop}: expected one of the two')
        if self.share != 1 and not self.stretch:
            raise ValueError(f'share={self.share} without stretch: expected crop, which is measured in pixels')
        return self

    def window(self, width: int, height: int, shape: tuple[int, int] = (1, 1)) -> Window:
        """What training cuts from a picture of width x height px.

        Args:
            width: of the picture, pixels.
            height: of the picture, pixels.
            shape: height and width of what the network sees; only their ratio counts.

        Raises:
            ValueError: a picture smaller than `crop`.
        """
        if self.stretch:
            return centred(width, height, max(1, round(width * self.share)), max(1, round(height * self.share)))
        if self.crop is not None:
            if self.crop > min(width, height):
                raise ValueError(f'{width} x {height} px: expected at least the crop of {self.crop} x {self.crop} px; lower --data.crop')
            return centred(width, height, self.crop, self.crop)
        # The largest window of the aspect, at least a pixel each way.
        h, w = shape
        if width * h >= height * w:
            return centred(width, height, max(1, round(height * w / h)), height)
        return centred(width, height, width, max(1, round(width * h / w)))

    def nearest(self, width: int, height: int) -> tuple[Window, bool]:
        """What an edit cuts from a picture that training never saw, and whether it is what training would have cut.

        A crop is measured in the training set's pictures: another size of their aspect has it larger or smaller, another aspect has none
        and the largest central square takes its place.
        """
        if self.crop is None:
            return self.window(width, height), True
        if self.crop_of is None or not same_aspect((width, height), self.crop_of):
            return centred(width, height, *[min(width, height)] * 2), False
        side = min(max(1, round(self.crop * width / self.crop_of[0])), width, height)
        return centred(width, height, side, side), True

    def fitted(self, width: int, height: int) -> Self:
        """The same rule for a set of pictures of width x height px: a crop is larger or smaller there, or the largest square."""
        if self.crop is None:
            return self
        (_, _, side, _), fits = self.nearest(width, height)
        return self.model_copy(update={'crop': side, 'crop_of': (width, height)} if fits else {'crop': None, 'crop_of': None})

    def show(self, pixels: np.ndarray, window: Window, height: int, width: int) -> np.ndarray:
        """The window of a picture uint8 [H,W,3] at the network's size: uint8 [height,width,3]."""
        left, top, w, h = window
        part = pixels[top:top + h, left:left + w]                # not Pillow's crop, which has a limit of its own, below ours
        if (h, w) == (height, width):
            return part
        return np.asarray(Image.fromarray(part).resize((width, height), RESAMPLE[self.resample]))


def centred(width: int, height: int, w: int, h: int) -> Window:
    """A window of w x h px in the centre, rounded as torchvision's CenterCrop does it: half to even."""
    return round((width - w) / 2), round((height - h) / 2), w, h


def same_aspect(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Equal shapes up to a pixel of rounding at the smaller size."""
    return abs(a[0] * b[1] - a[1] * b[0]) <= max(*a, *b)
