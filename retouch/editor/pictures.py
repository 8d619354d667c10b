"""Pictures and painted masks as users give them: files, arrays and rectangles, in any mode."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from retouch.data.images import MAX_PIXELS, WITH_ALPHA, alpha_of, read_image, to_eight_bits, to_pixels, upright
from retouch.editor.resample import resize_to

Picture = Image.Image | np.ndarray | str | Path
Painted = Picture | tuple[int, int, int, int]    # a mask: array in [0,1] or 0..255, picture, or rectangle (left, top, right, bottom) of 1


def open_picture(image: Picture) -> Image.Image:
    """A picture with its EXIF orientation applied, from memory or file, within the size limit."""
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)) or 0 in image.shape:
            raise ValueError(f'picture array is {image.dtype} {list(image.shape)}: expected uint8 [H,W], [H,W,3] or [H,W,4]')
        image = Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
    if not isinstance(image, Image.Image):
        raise ValueError(f'picture is a {type(image).__name__}: expected a PIL image, a uint8 array or a file name')
    if image.width * image.height > MAX_PIXELS:                                        # known from the header, before anything is decoded
        raise ValueError(f'picture of {image.width} x {image.height} px: expected at most {MAX_PIXELS // 10**6} megapixels')
    return upright(image)


@contextmanager
def named(image: object) -> Iterator[None]:
    """A ValueError of the block names the file, where there is one."""
    try:
        yield
    except ValueError as error:
        if not isinstance(image, str | Path) or str(error).startswith(str(image)):
            raise
        raise ValueError(f'{image}: {error}') from None


def painted_to_mask(mask: Painted, width: int, height: int, notes: list[str]) -> np.ndarray:
    """A user's mask, array, picture or rectangle, -> float32 [height,width] in [0,1]."""
    if isinstance(mask, tuple):
        if len(mask) != 4 or not (0 <= mask[0] < mask[2] <= width and 0 <= mask[1] < mask[3] <= height):
            raise ValueError(f'mask {mask}: expected a rectangle (left, top, right, bottom) inside the picture of {width} x {height} px')
        left, top, right, bottom = mask
        values = np.zeros((height, width), np.float32)
        values[top:bottom, left:right] = 1
        return values
    if isinstance(mask, np.ndarray):
        values, painted = mask[..., 0] if mask.shape[2:] == (1,) else mask, False
    else:
        with named(mask):
            values, painted = picture_to_values(open_picture(mask), notes), True
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f'mask has shape {list(values.shape)}: expected [{height},{width}]')
    values = values.astype(np.float32)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 255:
        raise ValueError(f'mask has values from {values.min():.4g} to {values.max():.4g}: expected 0 to 1, or 0 to 255')
    if painted or values.max() > 1:                                                    # a picture is 0..255, however dark
        values = values / 255
    h, w = values.shape
    if (h, w) != (height, width):
        if abs(w * height - h * width) > max(height, width):                           # more than a pixel of rounding
            raise ValueError(f'mask is {w} x {h} px, the picture {width} x {height} px: expected the same size, or the same aspect')
        values = resize_to(values, (height, width), 'bilinear').clip(0, 1)
        notes.append(f'the mask of {w} x {h} px was brought to {width} x {height} px')
    return values


COLOURFUL = 32           # levels between the channels of a pixel from which on it is no grey, however a JPEG has rounded it
FEW = 256                # distinct colours: more of them in what covers most of a picture, and it is a photograph
A_MASK = 'expected black and white, where white may change, or paint of any colour on a transparent layer'


def picture_to_values(picture: Image.Image, notes: list[str]) -> np.ndarray:
    """A mask as a paint program saves it -> uint8 [H,W], 255 = may change.

    Where something is transparent, the alpha counts, whatever the colours. Otherwise black, white and grey count as they are. Of a mask
    that holds nothing but 0 and 1, 1 is white.

    Raises:
        ValueError: colours without transparency, and a photograph, with a hole or without one.
    """
    alpha = alpha_of(picture) if picture.mode in WITH_ALPHA or 'transparency' in picture.info else None
    if picture.mode[0] in 'IF':
        eight, note = to_eight_bits(np.asarray(picture), picture.mode)
        picture = Image.fromarray(eight)
        notes.append(f'mask: {note}')
    rgb = to_pixels(picture).rgb
    colourful = bool((rgb.max(2) - rgb.min(2) > COLOURFUL).any())
    if alpha is not None and alpha.min() < 255:
        solid = alpha == 255
        if colourful and solid.mean() > 0.5 and colours_in(rgb[solid]) > FEW:
            raise ValueError(f'the mask is a photograph with a hole, {(alpha == 0).mean():.0%} of it transparent: {A_MASK}; paint what may '
                             'change white on black')
        values = alpha
    elif colourful:
        what = 'a photograph' if colours_in(rgb.reshape(-1, 3)) > FEW else 'colourful'
        raise ValueError(f'the mask is {what}: {A_MASK}; paint what may change white on black')
    else:
        values = np.asarray(Image.fromarray(rgb).convert('L'))
    if values.max() == 1:
        notes.append('the mask holds only 0 and 1: they were taken for 0 and 255')
        values = values * np.uint8(255)
    return values


def colours_in(pixels: np.ndarray) -> int:
    """How many different colours uint8 [N,3] there are."""
    return len(np.unique(pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)))
