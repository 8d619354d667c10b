"""Pictures and painted masks as users give them: files, arrays and rectangles, in any mode."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from retouch.data.images import MAX_PIXELS, PROFILED, is_unreadable, read_image, sixteen_to_eight

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
    return ImageOps.exif_transpose(image)


def picture_to_pixels(picture: Image.Image) -> tuple[np.ndarray, np.ndarray | None, bytes | None, list[str]]:
    """Any PIL mode -> rgb uint8 [H,W,3], alpha uint8 [H,W] or None, the ICC profile where it still holds, and notes."""
    notes, icc = [], picture.info.get('icc_profile')
    mode = picture.mode
    if mode.startswith('I') or mode == 'F':
        picture = Image.fromarray(sixteen_to_eight(np.asarray(picture), mode))
        notes.append('the 16-bit picture was brought to 8 bits')
    has_alpha = picture.mode in ('RGBA', 'LA', 'PA', 'La', 'RGBa') or 'transparency' in picture.info
    if mode not in ('RGB', 'RGBA', 'RGBX'):
        notes.append(f'the {mode} picture was brought to {"RGBA" if has_alpha else "RGB"}')
        if icc and mode not in PROFILED:                                    # a grey or CMYK profile is wrong for RGB
            icc = None
            notes.append(f'the ICC profile of the {mode} picture was left out: it does not fit RGB')
    if icc and is_unreadable(icc):
        notes.append('the ICC profile cannot be read, or is none of RGB: the colours were taken as sRGB')
    pixels = np.asarray(picture.convert('RGBA' if has_alpha else 'RGB'))
    return np.ascontiguousarray(pixels[..., :3]), pixels[..., 3].copy() if has_alpha else None, icc, notes


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
        picture, painted = open_picture(mask), True
        if picture.mode.startswith('I'):
            values = sixteen_to_eight(np.asarray(picture), picture.mode)
        elif picture.mode in ('RGBA', 'LA', 'PA', 'La', 'RGBa') or 'transparency' in picture.info:     # painted on a transparent layer
            layers = np.asarray((picture if picture.mode in ('LA', 'La') else picture.convert('RGBA')).convert('LA')).astype(np.float32)
            values = layers[..., 0] * layers[..., 1] / 255
        else:
            values = np.asarray(picture.convert('L'))
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
        tensor = torch.from_numpy(np.ascontiguousarray(values))[None, None]
        values = F.interpolate(tensor, size=(height, width), mode='bilinear', align_corners=False, antialias=True)[0, 0].numpy().clip(0, 1)
        notes.append(f'the mask of {w} x {h} px was brought to {width} x {height} px')
    return values
