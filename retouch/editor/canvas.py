"""The original picture and the part of it that a model sees: there, and back at the original size."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from retouch.data.frame import Frame, Window
from retouch.data.images import frames_of, from_srgb, laid_over, to_pixels
from retouch.data.spec import DRAWN
from retouch.editor import marks
from retouch.editor.affine import apply_affine, fit_affine, keep_structure, tiles, widen
from retouch.editor.pictures import Painted, Picture, named, open_picture, painted_to_mask
from retouch.editor.resample import resize_to
from retouch.engine.update import Translation

Box = tuple[int, int, int, int]              # x, y, width, height
BOX_HINT = ': choose another with --box x,y,w,h'
FORGET = 64                                  # levels of change from which on nothing is left of a colour that sRGB lacked
NEAR = 8                                     # where the enlarged mask is an eighth or more, the affine map holds in full


@dataclass(frozen=True)
class Canvas:
    """The original picture and the part of it that the model sees."""

    rgb: np.ndarray                         # uint8 [H,W,3], in the picture's own colours
    seen: np.ndarray                        # uint8 [H,W,3], the same in sRGB, as the model was trained; `rgb` itself where they are equal
    alpha: np.ndarray | None                # uint8 [H,W]; where it is 0, nothing may change
    icc: bytes | None
    frame: Window                           # left, top, width, height in pixels
    rule: Frame                             # how the model was trained to see it
    painted: np.ndarray | None              # float32 [H,W] in [0,1]
    notes: list[str]
    inputs: tuple[Path, ...]                # files that were read
    xmp: bytes | None = None                # the picture's own packet, if it can be read

    @classmethod
    def open(cls, image: Picture, box: Box | None, mask: Painted | None, rule: Frame = DRAWN) -> Canvas:
        """Reads a picture and what was painted for it. ValueError for what cannot be read or does not fit; see `Editor.edit`."""
        with named(image):
            frames = frames_of(image) if isinstance(image, str | Path | Image.Image) else 1
            picture = open_picture(image)
            pixels = to_pixels(picture)
        notes, xmp = [*pixels.notes], marks.xmp_of(picture)
        try:
            stated = None if xmp is None else marks.source_type(xmp)
        except ValueError as error:
            stated, xmp = None, None
            notes.append(f'the XMP of the picture cannot be read ({error}): it is left out')
        if stated is not None and stated != marks.COMPOSITE:
            notes.append(f'the XMP of the picture says what it is: {stated.removeprefix(marks.SOURCE_TYPES)}; an edit says so no more')
        if frames > 1:
            notes.insert(0, f'the picture has {frames} frames or pages: the first alone was edited')
        if (seen := pixels.srgb) is not pixels.rgb:
            notes.append('colours were seen in sRGB; the ICC profile of the picture is kept')
        height, width = seen.shape[:2]
        frame = frame_of(width, height, box, rule)
        notes += frame_notes(frame, width, height, box, rule)
        painted = None if mask is None else painted_to_mask(mask, width, height, notes)
        inputs = tuple(Path(given) for given in (image, mask) if isinstance(given, str | Path))
        return cls(pixels.rgb, seen, pixels.alpha, pixels.icc, frame, rule, painted, notes, inputs, xmp)

    @property
    def shown(self) -> np.ndarray:
        """What the model sees, uint8 [H,W,3]: `seen`, and where it is transparent what training had behind it."""
        return laid_over(self.seen, self.alpha, self.rule.ground)

    @property
    def place(self) -> tuple[slice, slice]:
        """The frame as rows and columns."""
        left, top, w, h = self.frame
        return slice(top, top + h), slice(left, left + w)

    def model_input(self, size: int) -> np.ndarray:
        """The frame at the model's size: float32 [1,3,size,size] in [-1,1], the pixels that training would have had of it."""
        return planes(self.rule.show(self.shown, self.frame, size, size))[None] / 127.5 - 1

    def model_mask(self, size: int) -> np.ndarray:
        """What was painted in the frame, at the model's size: a Mask [1,1,size,size]."""
        assert self.painted is not None
        return resize_to(self.painted[self.place][None, None], (size, size), 'bilinear').clip(0, 1)

    def compose(self, x: np.ndarray, translation: Translation, strength: float, mask_floor: float, another: bool = False,
                bound: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Brings mask and change of arrays back to the original: pixels uint8 [H,W,3] and mask uint8 [H,W].

        A system with a mask has composited already, so its change is zero where its mask is: here the mask only decides which pixels
        are out of bounds and is not multiplied in again. A painted mask is, and so is a picture's own cut-out. Where the frame is larger
        than what the model saw, both come back as local affine maps of the picture's own colours (see `affine`). Where the answer is
        `another` picture, as of a pair, its pixels take the place of the original's, whose fine detail says nothing of it. Nothing changes
        beyond `bound`, bool [H,W], however far the enlarged mask reaches.
        """
        place, (w, h) = self.place, self.frame[2:]
        small, answer = np.asarray(x)[0], np.asarray(translation.image)[0]                         # [3,s,s]
        bounds = None if translation.mask is None else np.asarray(translation.mask)[0]             # [1,s,s]
        inside = np.ones((h, w), np.float32) if bounds is None else resize_to(bounds[0], (h, w), 'bilinear').clip(0, 1)
        allowed = np.ones((h, 1), np.float32) if self.painted is None else self.painted[place]
        if self.alpha is not None:                               # a cut-out bounds the mask: what cannot be seen keeps its bytes
            allowed = allowed * (self.alpha[place] > 0)
        if bound is not None:
            allowed = allowed * bound[place]
        pixels, mask = self.rgb.copy(), np.zeros(self.rgb.shape[:2], np.uint8)
        edited = pixels[place] if self.seen is self.rgb else self.seen[place].copy()   # [h,w,3], overwritten below

        def change_pixels(rows: slice, channels: slice, change: np.ndarray) -> None:
            """Adds a change [C,rows,w] of 8-bit levels where the mask, by now known for these rows, is not 0."""
            change *= allowed[rows] * (mask[place][rows] > 0) * strength
            change += edited[rows, :, channels].transpose(2, 0, 1)
            edited[rows, :, channels] = np.rint(change, out=change).clip(0, 255, out=change).transpose(1, 2, 0)

        def settle(rows: slice) -> None:
            """Writes the mask of some rows."""
            found = inside[rows] * allowed[rows]
            found[found < mask_floor] = 0
            mask[place][rows] = np.rint(found * 255)

        size = small.shape[-1]
        if (w > size or h > size) and not another:
            change = (answer - small) / 2
            seen, wanted = (small + 1) / 2, change if bounds is None else np.concatenate([change, bounds])
            maps = keep_structure(fit_affine(seen, wanted), seen, wanted)
            wide = widen(resize_to(maps, (min(h, size), min(w, size)), 'bilinear'), w)             # of a flat frame a side may be smaller
            for rows in tiles(h):                                                   # a few at a time, for the memory of large pictures
                found = apply_affine(wide, planes(edited[rows]) / 255, rows, h)        # [3,rows,w], and the mask if there is one
                found *= (NEAR * inside[rows]).clip(0, 1)                              # nothing far from the enlarged mask
                if bounds is not None:
                    inside[rows] = found[3].clip(0, 1)
                settle(rows)
                change_pixels(rows, slice(3), found[:3] * 255)
        else:
            settle(whole := slice(h))
            for channel in range(3):                                                   # one at a time, likewise
                change = resize_to((answer if another else answer - small)[channel:channel + 1], (h, w), 'bicubic') * 127.5
                if another:
                    change += 127.5
                    change -= edited[None, ..., channel]
                change_pixels(whole, slice(channel, channel + 1), change)
        if self.seen is not self.rgb:
            pixels[place] = self.in_own_colours(edited)
        return pixels, mask

    def in_own_colours(self, edited: np.ndarray) -> np.ndarray:
        """The frame of sRGB, edited, in the picture's own colours: uint8 [h,w,3]. Where nothing was edited, its bytes as they were.

        What sRGB lacked of a colour is added again, all of it where little changed and nothing of it where much did.
        """
        seen, own = self.seen[self.place], self.rgb[self.place]
        lacked = own - from_srgb(seen, self.icc).astype(np.int16)
        moved = np.abs(edited.astype(np.int16) - seen).max(2, keepdims=True)
        kept = np.rint(lacked * (1 - np.minimum(moved, FORGET) / np.float32(FORGET))).astype(np.int16)
        return (from_srgb(edited, self.icc) + kept).clip(0, 255).astype(np.uint8)

    def enlarge(self, mask: np.ndarray) -> np.ndarray:
        """A Mask [1,1,S,S] at the original's size: uint8 [H,W], 0 outside the frame."""
        out, (w, h) = np.zeros(self.rgb.shape[:2], np.uint8), self.frame[2:]
        out[self.place] = np.rint(resize_to(mask, (h, w), 'bilinear')[0, 0].clip(0, 1) * 255)
        return out

    def image_of(self, pixels: np.ndarray) -> Image.Image:
        image = Image.fromarray(pixels if self.alpha is None else np.dstack([pixels, self.alpha]))
        if self.icc:
            image.info['icc_profile'] = self.icc
        return image


def planes(pixels: np.ndarray) -> np.ndarray:
    """uint8 [h,w,C] -> float32 [C,h,w], 0 to 255."""
    return pixels.transpose(2, 0, 1).astype(np.float32, order='C')


def frame_of(width: int, height: int, box: Box | None = None, rule: Frame = DRAWN) -> Window:
    """The part of a picture that a model sees.

    Args:
        width: of the picture, pixels.
        height: of the picture, pixels.
        box: (x, y, width, height) of what shall be edited; None: what training would have cut from the picture.
        rule: how the model was trained to see pictures.

    Returns:
        left, top, width, height. Around a box lies a square as large as its longer side, inside the picture, its centre as near to the
        box's as that allows; where the model was trained on squashed pictures, it is the box itself.

    Raises:
        ValueError: a box that is empty or leaves the picture.
    """
    if box is None:
        return rule.nearest(width, height)[0]
    x, y, w, h = box
    if w < 1 or h < 1 or x < 0 or y < 0 or x + w > width or y + h > height:
        raise ValueError(f'box {x},{y},{w},{h} does not fit: expected x,y,width,height inside the picture of {width} x {height} px')
    if rule.stretch:
        return box
    side = min(max(w, h), width, height)
    left = min(max(x + (w - side) // 2, 0), width - side)
    top = min(max(y + (h - side) // 2, 0), height - side)
    return left, top, side, side


def frame_notes(frame: Window, width: int, height: int, box: Box | None, rule: Frame) -> list[str]:
    """What is to be said of a frame of a picture of width x height px: where it lies, and what of training it is not."""
    left, top, w, h = frame
    notes = []
    if (w, h) != (width, height):
        shape = 'part' if rule.stretch else 'square'
        notes.append(f'the model saw the {w} x {h} px {shape} at x={left}, y={top}; the rest is untouched')
    if w != h:
        notes.append(f'the model saw {w} x {h} px squashed to a square, as in training')
    if box is not None and (box[2] > w or box[3] > h):
        notes.append(f'the box of {box[2]} x {box[3]} px is larger than the largest square in the picture and is not covered whole')
    if box is None and not rule.nearest(width, height)[1]:
        of = f' of pictures of {rule.crop_of[0]} x {rule.crop_of[1]} px' if rule.crop_of else ''
        notes.append(f'the model was trained on the central {rule.crop} x {rule.crop} px{of}; this one of {width} x {height} px has '
                     f'another shape, and its largest square was used{BOX_HINT}')
    return notes
