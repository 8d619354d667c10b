"""Curves and outlines, and the painter that fills them in the picture and its parse at once."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from retouch.toyfaces.palette import OTHERS, Colour

SOFT = 64  # side of the soft-light layers, px
OVER_HALF = [0] * 128 + [255] * 128


def smooth(points: np.ndarray | Sequence[tuple[float, float]], closed: bool = False, steps: int = 6) -> np.ndarray:
    """A Catmull-Rom curve [M,2] through the points."""
    anchors = np.asarray(points, float)
    padded = np.concatenate((anchors[-1:], anchors, anchors[:2]) if closed else (anchors[:1], anchors, anchors[-1:]))
    before, start, stop, after = padded[:-3, None], padded[1:-2, None], padded[2:-1, None], padded[3:, None]
    t = (np.arange(steps) / steps)[None, :, None]
    linear, square, cube = stop - before, 2 * before - 5 * start + 4 * stop - after, 3 * start - before - 3 * stop + after
    curve = (start + 0.5 * (linear * t + square * t**2 + cube * t**3)).reshape(-1, 2)
    return curve if closed else np.concatenate((curve, anchors[-1:]))


def ellipse(x: float, y: float, radius_x: float, radius_y: float, power: float = 2.0, count: int = 28) -> np.ndarray:
    """A superellipse [count,2]; power 2 is an ellipse, larger is squarer."""
    angle = np.arange(count) * (2 * np.pi / count)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack(
        (
            x + radius_x * np.sign(cosine) * np.abs(cosine) ** (2 / power),
            y + radius_y * np.sign(sine) * np.abs(sine) ** (2 / power),
        ),
        axis=1,
    )


def strokes(curves: np.ndarray, width: float, taper: float = 1.0) -> np.ndarray:
    """The outlines [K,2M,2] of K lines [K,M,2] of one width; taper 1 narrows a line to a point at both ends, 0 not at all."""
    tangent = np.empty_like(curves)
    tangent[:, 1:-1] = curves[:, 2:] - curves[:, :-2]
    tangent[:, 0], tangent[:, -1] = curves[:, 1] - curves[:, 0], curves[:, -1] - curves[:, -2]
    length = np.sqrt((tangent**2).sum(-1, keepdims=True))
    profile = 0.5 * width * (1 - taper * np.abs(np.arange(curves.shape[1]) * (2 / (curves.shape[1] - 1)) - 1) ** 3)
    offset = tangent[..., ::-1] * (-1, 1) / np.maximum(length, 1e-9) * profile[:, None]
    return np.concatenate((curves + offset, (curves - offset)[:, ::-1]), axis=1)


def stroke(points: np.ndarray, width: float, taper: float = 1.0) -> np.ndarray:
    """The outline [2M,2] of one line [M,2], as `strokes`."""
    return strokes(points[None], width, taper)[0]


def arc(x0: float, y0: float, x1: float, y1: float, bend: float, count: int = 9) -> np.ndarray:
    """A parabola [count,2] between two points; bend is how far its middle sinks below (y down) their mean."""
    t = np.arange(count) * (2 / (count - 1)) - 1
    return np.stack(((x0 + x1) / 2 + (x1 - x0) / 2 * t, (y0 + y1) / 2 + (y1 - y0) / 2 * t + bend * (1 - t**2)), axis=1)


def mirrored(points: np.ndarray) -> np.ndarray:
    """The same shape on the other side of the face."""
    return points * (-1, 1)


class Painter:
    """A picture and its parse, painted together at `side` px."""

    def __init__(self, background: Image.Image, size: int) -> None:
        self.size = size
        self.multiple = 4 if size < 40 else 3 if size < 64 else 2
        self.side = size * self.multiple
        self.image = background.resize((self.side, self.side), Image.Resampling.BICUBIC)
        self.parse = Image.new('L', (self.side, self.side), OTHERS)
        self.image_draw, self.parse_draw = ImageDraw.Draw(self.image), ImageDraw.Draw(self.parse)

    def pixels(self, frame: np.ndarray) -> list[float]:
        return np.rint(frame * self.side - 0.5).ravel().tolist()

    def fill(self, frame: np.ndarray, colour: Colour, label: int | None = None) -> None:
        """Fill a polygon (fractions of the frame) with a colour, and in the parse with a class."""
        corners = self.pixels(frame)
        self.image_draw.polygon(corners, fill=colour)
        if label is not None:
            self.parse_draw.polygon(corners, fill=label)

    def mask(self, shapes: Sequence[np.ndarray] | np.ndarray, levels: Sequence[int] | None = None) -> Image.Image:
        """A hard mask of several polygons, 255 inside, or painted one over another at the levels given."""
        layer = Image.new('L', (self.side, self.side), 0)
        draw = ImageDraw.Draw(layer)
        for number, frame in enumerate(shapes):
            draw.polygon(self.pixels(frame), fill=levels[number] if levels else 255)
        return layer

    def soft(self, shapes: Sequence[tuple[np.ndarray, float]], blur: float) -> Image.Image:
        """A mask of blurred polygons, each (points, opacity 0..1); blur is a fraction of the frame."""
        layer = Image.new('L', (SOFT, SOFT), 0)
        draw = ImageDraw.Draw(layer)
        for frame, opacity in shapes:
            draw.polygon(np.rint(frame * SOFT - 0.5).ravel().tolist(), fill=round(255 * opacity))
        blurred = layer.filter(ImageFilter.GaussianBlur(blur * SOFT))
        return blurred.resize((self.side, self.side), Image.Resampling.BILINEAR)

    def blend(self, colour: Colour, mask: Image.Image, clip: Image.Image | None = None, label: int | None = None) -> None:
        """Paint a colour through a mask, confined to clip; a class is written wherever the mask exceeds one half."""
        mask = mask if clip is None else ImageChops.multiply(mask, clip)
        self.image.paste(colour, mask=mask)
        if label is not None:
            self.parse.paste(label, mask=mask.point(OVER_HALF))

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Picture uint8 [size,size,3] and parse uint8 [size,size]."""
        centre = self.multiple // 2
        return np.asarray(self.image.reduce(self.multiple)), np.asarray(self.parse)[centre :: self.multiple, centre :: self.multiple].copy()
