"""The editor: any picture in, the same size out, and nothing moves where the mask is zero.

The network works at its own size. What comes back to the original is its mask and its CHANGE (output minus its own input), never its
pixels, so that detail the network cannot see survives and a pixel it left alone keeps its byte. Only what a paired system makes is
another picture, and comes back as it is.
"""
from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, PngImagePlugin
from torch import Tensor

import retouch
from retouch.data.images import MAX_PIXELS, read_image
from retouch.data.labels import apply_edits
from retouch.engine.update import AttributeRequest, DomainRequest, ExemplarRequest, Translation
from retouch.errors import unknown
from retouch.guidance.gradcam import explain_edit
from retouch.metrics.difference import difference_map
from retouch.model import Model, load_model, write_atomically

Picture = Image.Image | np.ndarray | str | Path
Box = tuple[int, int, int, int]              # x, y, width, height
Painted = Picture | tuple[int, int, int, int]    # a mask: array in [0,1] or 0..255, picture, or rectangle (left, top, right, bottom) of 1


@dataclass(frozen=True)
class Edit:
    """An edited picture, where it was allowed to change and where it did."""

    image: Image.Image                      # size of the input; RGB, or RGBA if the input has alpha
    mask: np.ndarray                        # uint8 [H,W], 0 = untouched to the byte
    difference: np.ndarray                  # uint8 [H,W,3] heat map of the change
    gradcam: np.ndarray | None              # uint8 [H,W] where a system without an edit mask sees its edit; explains, confines nothing
    untouched: float                        # share of pixels identical to the input's in every byte, in [0,1]
    source: dict[str, float]                # attribute -> probability read from the picture, or the value the user stated
    target: dict[str, int]                  # attribute -> value asked of the model
    notes: list[str]                        # one sentence each: what was decided for the user
    record: dict[str, Any] = field(default_factory=dict)  # what the note inside a saved picture says
    inputs: tuple[Path, ...] = ()           # the files the pictures came from; never overwritten
    exemplar_mask: np.ndarray | None = None     # uint8 [H',W'], of the exemplar's size: where its style was read; None: the system has none

    def save(self, folder: str | Path, name: str, note: bool = True) -> tuple[Path, ...]:
        """Writes NAME.png, NAME.mask.png, NAME.diff.png and, where there are such, NAME.gradcam.png and NAME.exemplar-mask.png, lossless.

        Args:
            folder: made if missing.
            name: file name without suffix.
            note: whether the picture says that it was edited with AI, by which model and how (PNG text `Software`, `Comment`, `retouch`).

        Returns:
            The paths that were written, in this order.

        Raises:
            ValueError: `name` is a path, or an input file would be overwritten.
            OSError: the folder cannot be written.
        """
        paths = output_paths(folder, name)
        for path in paths:
            if any(_same_file(path, known) for known in self.inputs):
                raise ValueError(f'{path} is an input picture and is never overwritten: choose another --out folder')
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        text = PngImagePlugin.PngInfo()
        if note:
            edits = ' '.join([*(f'{k}={v}' for k, v in self.record.get('set', {}).items()),
                              *(f'{words} {self.record[key]}' for key, words in (('to', 'to'), ('exemplar', 'in the style of'))
                                if key in self.record)])
            text.add_text('Software', f'Retouch {retouch.__version__}')
            text.add_text('Comment', f"Edited with AI: model {self.record.get('model')}, {edits}")
            text.add_text('retouch', json.dumps(self.record))
        write_atomically(paths[0], _png(self.image, pnginfo=text, icc_profile=self.image.info.get('icc_profile')))
        write_atomically(paths[1], _png(Image.fromarray(self.mask)))
        write_atomically(paths[2], _png(Image.fromarray(self.difference)))
        more = [(path, pixels) for path, pixels in zip(paths[3:], (self.gradcam, self.exemplar_mask), strict=True) if pixels is not None]
        for path, pixels in more:
            write_atomically(path, _png(Image.fromarray(pixels)))
        return (*paths[:3], *(path for path, _ in more))


class Editor:
    """A loaded model, ready for pictures of any size."""

    def __init__(self, model: Model) -> None:
        if not hasattr(model.method, 'translate'):
            raise ValueError(f'{model.path} is a {model.method.id}, which reads pictures and cannot edit them: choose another model')
        self.model, self.data = model, model.data
        self.method: Any = model.method                          # attribute methods also have `read`

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = 'auto') -> Editor:
        """Loads a run directory, a model directory or a shipped model by name.

        Args:
            path: what to load; no other setting is needed.
            device: 'auto' takes CUDA, then MPS, then the CPU; or any torch device.

        Raises:
            ValueError: no such model, a damaged one, or a device this machine lacks.
        """
        return cls(load_model(path, find_device(device)))

    def edit(self, image: Picture, *, exemplar: Picture | None = None, box: Box | None = None, mask: Painted | None = None,
             exemplar_mask: Painted | None = None, source: Mapping[str, int] | None = None, strength: float = 1.0, mask_floor: float = 0.02,
             **attributes: int) -> Edit:
        """Sets attributes of a picture and leaves the others as they are read, or gives it the look of an exemplar.

        Args:
            image: PIL image, uint8 array [H,W], [H,W,3] or [H,W,4], or a file. Its EXIF orientation is applied.
            exemplar: a picture to take the look from, at least as large as the model's frame, whose largest centred square is used; for
                models trained on exemplars, and only for those.
            box: (x, y, width, height) in pixels around which the model's square frame is laid; None: the largest centred square.
            mask: where changes are allowed: an array [H,W] in [0,1] or 0..255, a picture, always 0..255, or a rectangle (left, top,
                right, bottom) in pixels; confines whatever the model does. With an exemplar it also takes the place of the model's own
                mask, and the styles are read again.
            exemplar_mask: the same of the exemplar: where its style is read; None: where the model says.
            source: attribute -> 0 or 1 where the reading of the picture should be overruled.
            strength: factor on the change, 0 to 2; 1 is what the model was trained for.
            mask_floor: mask values under it become 0.
            **attributes: attribute -> 0 or 1.

        Raises:
            ValueError: an unknown attribute, a mask, box or exemplar that does not fit, or a picture that cannot be used.
            OSError: a file that cannot be read.
            FloatingPointError: the model's output is not finite.
        """
        names = self.data.attributes
        if self.method.kind == 'exemplars':
            if attributes or source:
                raise ValueError(f'{self.method.id} takes the look of an exemplar and no attributes: leave out '
                                 f'{" ".join((*attributes, *(source or {})))}')
            if exemplar is None:
                raise ValueError(f'{self.method.id} takes the look of an exemplar: name one, edit(image, exemplar=...) or --exemplar')
            return self._transfer(image, exemplar, box, mask, exemplar_mask, strength, mask_floor)
        if self.method.kind != 'attributes':
            raise ValueError(f'{self.method.id} has no attributes, it translates between {" and ".join(self.data.domains)}: '
                             f'use translate(image, to={self.data.domains[-1]!r}) or --to {self.data.domains[-1]}')
        if exemplar is not None or exemplar_mask is not None:
            raise ValueError(f'{self.method.id} takes no exemplar: name attributes instead, e.g. {names[0]}=1')
        for name in (*attributes, *(source or {})):
            if name not in names:
                raise unknown('attribute', name, names)
        if not attributes:
            raise ValueError(f'nothing to change: name at least one attribute, e.g. {names[0]}=1')

        canvas = _Canvas.open(image, box, mask)
        x = canvas.model_input(self.data.size).to(self.model.device)                   # [1,3,S,S]
        with torch.inference_mode():
            read = self.method.read(x)                                                 # [1,K]
        if not bool(read.isfinite().all()):
            raise FloatingPointError(f'{self.model.path}: what it reads is not finite; the model is damaged or its training diverged')
        labels, shown = self._labels(read, source or {})
        target, notes = self._target(labels, attributes)
        for name, value in attributes.items():
            if labels[0, names.index(name)] == value:
                notes.append(f'{name} reads as {value} already ({shown[name]:.2f}): state --source {name}={1 - value} if that is wrong')
        with torch.no_grad():                                    # not inference_mode: a Grad-CAM of what comes out is still to be taken
            translation = self._in_turn(x, labels, attributes)
        values = {name: int(v) for name, v in zip(names, target[0].tolist(), strict=True)}
        record = {'set': {name: int(v) for name, v in attributes.items()}}
        return self._finish(canvas, x, translation, strength, mask_floor, shown, values, notes, record)

    def translate(self, image: Picture, to: str | None = None, *, exemplar: Picture | None = None, box: Box | None = None,
                  mask: Painted | None = None, strength: float = 1.0, mask_floor: float = 0.02) -> Edit:
        """Brings a picture to another domain, for models trained on domains or pairs.

        Args:
            image: as in `edit`.
            to: a domain's name; None: the last one.
            exemplar: a picture of that domain whose style is wanted, for the systems that read one; otherwise as in `edit`.
            box: as in `edit`.
            mask: as in `edit`.
            strength: as in `edit`.
            mask_floor: as in `edit`.

        Raises:
            ValueError: an unknown domain, a model without domains, a mask, box or exemplar that does not fit, or a picture that cannot be
                used.
        """
        domains = self.data.domains
        if self.method.kind == 'attributes':
            raise ValueError(f'{self.method.id} edits attributes, it has no domains: use edit(image, {self.data.attributes[0]}=1) or --set')
        if self.method.kind == 'exemplars':
            raise ValueError(f'{self.method.id} takes the look of an exemplar, it has no domains: use edit(image, exemplar=...) or '
                             '--exemplar')
        if exemplar is not None and not getattr(self.method, 'takes_exemplar', False):
            raise ValueError(f'{self.method.id} takes no exemplar: leave it out')
        to = domains[-1] if to is None else to
        if to not in domains:
            raise unknown('domain', to, domains)
        canvas = _Canvas.open(image, box, mask)
        x = canvas.model_input(self.data.size).to(self.model.device)
        if exemplar is None:
            with torch.inference_mode():
                translation = self.method.translate(DomainRequest(x, to))
            return self._finish(canvas, x, translation, strength, mask_floor, {}, {}, [], {'to': to})
        other, notes = self._open_exemplar(exemplar, None)
        with torch.inference_mode():
            translation = self.method.translate(DomainRequest(x, to, other.model_input(self.data.size).to(self.model.device)))
        edit = self._finish(canvas, x, translation, strength, mask_floor, {}, {}, notes, {'to': to, 'exemplar': _name_of(exemplar)})
        return replace(edit, inputs=(*edit.inputs, *other.inputs))

    def _transfer(self, image: Picture, exemplar: Picture, box: Box | None, mask: Painted | None, exemplar_mask: Painted | None,
                  strength: float, mask_floor: float) -> Edit:
        """`edit` of a model trained on exemplars."""
        canvas, (other, notes) = _Canvas.open(image, box, mask), self._open_exemplar(exemplar, exemplar_mask)
        size, device = self.data.size, self.model.device
        x, e = (c.model_input(size).to(device) for c in (canvas, other))
        painted, other_painted = (None if c.painted is None else c.model_mask(size).to(device) for c in (canvas, other))
        with torch.inference_mode():
            translation = self.method.translate(ExemplarRequest(x, e, painted, other_painted))
        read = translation.extras['exemplar_mask']
        if not bool(read.isfinite().all()):
            raise FloatingPointError(f'{self.model.path}: the output is not finite; the model is damaged or its training diverged')
        if painted is not None and translation.mask is not None:                       # what was painted holds at its own resolution
            translation = replace(translation, mask=torch.ones_like(translation.mask))
        edit = self._finish(canvas, x, translation, strength, mask_floor, {}, {}, notes, {'exemplar': _name_of(exemplar)})
        return replace(edit, inputs=(*edit.inputs, *other.inputs), exemplar_mask=other.enlarge(read) if other.painted is None else
                       other.enlarge(torch.from_numpy(other.painted[other.place])[None, None]))

    def _open_exemplar(self, exemplar: Picture, mask: Painted | None) -> tuple[_Canvas, list[str]]:
        """An exemplar, its painted mask, and notes on both. ValueError where it is smaller than what the model looks at."""
        try:
            other, size = _Canvas.open(exemplar, None, mask), self.data.size
        except ValueError as error:
            raise ValueError(f'exemplar: {error}') from error
        (height, width), (left, top, side) = other.rgb.shape[:2], other.frame
        if side < size:
            raise ValueError(f'the exemplar is {width} x {height} px: expected at least {size} x {size} px, the size the model works at')
        notes = [note for note in other.notes if not note.startswith('the model saw')]
        if side < max(width, height):
            notes.insert(0, f'the {side} x {side} px square at x={left}, y={top} is used')
        return other, [f'exemplar: {note}' for note in notes]

    def _labels(self, read: Tensor, source: Mapping[str, int]) -> tuple[Tensor, dict[str, float]]:
        """Probabilities [1,K] and what the user knows better -> source labels [1,K] in {0,1} and the numbers to show."""
        names = self.data.attributes
        single = self._one_hot()
        labels = F.one_hot(read.argmax(1), len(names)).to(read.dtype) if single else (read > 0.5).to(read.dtype)
        shown = {name: round(p, 4) for name, p in zip(names, read[0].tolist(), strict=True)}
        for name, value in source.items():
            if value not in (0, 1):
                raise ValueError(f'source {name}={value}: expected 0 or 1')
            if single and value == 1:
                labels.zero_()
                shown.update(dict.fromkeys(names, 0.0))
            labels[0, names.index(name)] = shown[name] = float(value)
        return labels, shown

    def _target(self, labels: Tensor, edits: Mapping[str, int]) -> tuple[Tensor, list[str]]:
        names = self.data.attributes
        if not self._one_hot():
            return apply_edits(labels, edits, names, getattr(self.method.config, 'label_rule', 'attgan_tf'))
        if list(edits.values()) != [1]:
            asked = ' '.join(f'{k}={v}' for k, v in edits.items())
            raise ValueError(f'{asked}: the classes of this model exclude each other, set exactly one of them to 1')
        target = torch.zeros_like(labels)
        target[0, names.index(next(iter(edits)))] = 1
        return target, []

    def _one_hot(self) -> bool:
        return getattr(self.method.config, 'labels', 'multi') == 'single'

    def _in_turn(self, x: Tensor, labels: Tensor, edits: Mapping[str, int]) -> Translation:
        """All edits at once; for a model that was trained on one edit at a time, one after another, their masks united.

        A system without an edit mask is asked where its class head sees the edit (`extras['gradcam']`).
        """
        alone = self.model.info.get('data', {}).get('targets') == 'single'
        image, mask, before = x, None, labels
        gradcam: Tensor | None = None
        for part in ([{name: value} for name, value in edits.items()] if alone else [dict(edits)]):
            target, _ = self._target(before, part)
            request = AttributeRequest(image, before, target)
            step = self.method.translate(request)
            shown = explain_edit(self.method, request, step.image) if step.mask is None else None
            if shown is not None:
                gradcam = shown if gradcam is None else torch.maximum(gradcam, shown)
            united = step.mask if mask is None or step.mask is None else 1 - (1 - mask) * (1 - step.mask)
            image, mask, before = step.image, united, target
        return Translation(image, mask, {} if gradcam is None else {'gradcam': gradcam})

    def _finish(self, canvas: _Canvas, x: Tensor, translation: Translation, strength: float, mask_floor: float, source: dict[str, float],
                target: dict[str, int], notes: list[str], record: dict[str, Any]) -> Edit:
        if not (math.isfinite(strength) and 0 <= strength <= 2):
            raise ValueError(f'strength={strength}: expected a number from 0 to 2; 1 is the model as trained')
        if not 0 <= mask_floor < 1:
            raise ValueError(f'mask_floor={mask_floor}: expected a number from 0 to below 1; 0.02 is the default')
        for part in (translation.image, translation.mask):
            if part is not None and not bool(part.isfinite().all()):
                raise FloatingPointError(f'{self.model.path}: the output is not finite; the model is damaged or its training diverged')
        pixels, mask8 = canvas.compose(x, translation, strength, mask_floor, another=self.method.kind == 'pairs')
        notes = [*canvas.notes, *notes]
        if translation.mask is None:
            where = 'inside the painted mask' if canvas.painted is not None else 'of the whole frame; a painted mask (--mask) confines it'
            notes.append(f'{self.method.id} has no edit mask: it may change every pixel {where}')
        if not mask8.any():
            notes.append('the mask is 0 everywhere: nothing was changed')
        path = self.model.path
        record = {'software': f'Retouch {retouch.__version__}', 'edited_with_ai': True,
                  'model': path.parent.name if path.name == 'model' else path.name, 'method': self.method.id,
                  'weights_sha256': self.model.weights_sha256, **record, 'strength': strength, 'frame': list(canvas.frame)}
        shown = translation.extras.get('gradcam')
        if shown is not None:
            notes.append("the Grad-CAM shows where the model's class head sees the edit; it explains and confines nothing")
        return Edit(canvas.image_of(pixels), mask8, difference_map(canvas.rgb, pixels),
                    None if shown is None else canvas.enlarge(shown), float((pixels == canvas.rgb).all(2).mean()),
                    source, target, notes, record, canvas.inputs)


@dataclass(frozen=True)
class _Canvas:
    """The original picture and the square of it that the model sees."""

    rgb: np.ndarray                         # uint8 [H,W,3]
    alpha: np.ndarray | None                # uint8 [H,W]
    icc: bytes | None
    frame: tuple[int, int, int]             # left, top, side in pixels
    painted: np.ndarray | None              # float32 [H,W] in [0,1]
    notes: list[str]
    inputs: tuple[Path, ...]                # files that were read

    @classmethod
    def open(cls, image: Picture, box: Box | None, mask: Painted | None) -> _Canvas:
        picture = _open(image)
        rgb, alpha, icc, notes = _eight_bits(picture)
        height, width = rgb.shape[:2]
        left, top, side = frame_of(width, height, box)
        if side < max(width, height):
            notes.append(f'the model saw the {side} x {side} px square at x={left}, y={top}; the rest is untouched')
        if box is not None and (box[2] > side or box[3] > side):
            notes.append(f'the box of {box[2]} x {box[3]} px is larger than the largest square in the picture and is not covered whole')
        painted = None if mask is None else _painted(mask, width, height, notes)
        inputs = tuple(Path(given) for given in (image, mask) if isinstance(given, str | Path))
        return cls(rgb, alpha, icc, (left, top, side), painted, notes, inputs)

    @property
    def place(self) -> tuple[slice, slice]:
        """The frame as rows and columns."""
        left, top, side = self.frame
        return slice(top, top + side), slice(left, left + side)

    def model_input(self, size: int) -> Tensor:
        """The frame at the model's size: [1,3,size,size] in [-1,1]."""
        crop = self.rgb[self.place]
        channels = [_resize(torch.from_numpy(crop[..., c].astype(np.float32))[None, None], size, 'bicubic') for c in range(3)]
        return torch.cat(channels, 1).clamp(0, 255) / 127.5 - 1                        # one at a time, for the memory of large pictures

    def model_mask(self, size: int) -> Tensor:
        """What was painted in the frame, at the model's size: a Mask [1,1,size,size]."""
        assert self.painted is not None
        return _resize(torch.from_numpy(self.painted[self.place])[None, None], size, 'bilinear').clamp(0, 1)

    def compose(self, x: Tensor, translation: Translation, strength: float, mask_floor: float,
                another: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Brings mask and change back to the original: pixels uint8 [H,W,3] and mask uint8 [H,W].

        A system with a mask has composited already, so its change is zero where its mask is: here the mask only decides which pixels
        are out of bounds and is not multiplied in again. A painted mask is. Where the answer is `another` picture, as of a pair, its
        pixels take the place of the original's, whose fine detail says nothing of it.
        """
        place, side = self.place, self.frame[2]
        inside = torch.ones(side, side)
        if translation.mask is not None:
            inside = _resize(translation.mask.float().cpu(), side, 'bilinear')[0, 0].clamp(0, 1)
        allowed = torch.ones(()) if self.painted is None else torch.from_numpy(self.painted[place])
        inside = inside * allowed
        inside[inside < mask_floor] = 0
        mask8 = (inside * 255).round().to(torch.uint8)
        gain = allowed * (mask8 > 0) * (127.5 * strength)

        pixels, mask = self.rgb.copy(), np.zeros(self.rgb.shape[:2], np.uint8)
        mask[place] = mask8.numpy()
        delta = (translation.image.float() - (0 if another else x)).cpu()
        for channel in range(3):                                                       # one at a time, for the memory of large pictures
            old = torch.from_numpy(self.rgb[place][..., channel].astype(np.float32))
            change = _resize(delta[:, channel:channel + 1], side, 'bicubic')[0, 0]
            new = old + (change - (old / 127.5 - 1) if another else change) * gain
            pixels[place][..., channel] = new.round().clamp(0, 255).to(torch.uint8).numpy()
        return pixels, mask

    def enlarge(self, mask: Tensor) -> np.ndarray:
        """A Mask [1,1,S,S] at the original's size: uint8 [H,W], 0 outside the frame."""
        out = np.zeros(self.rgb.shape[:2], np.uint8)
        out[self.place] = (_resize(mask.float().cpu(), self.frame[2], 'bilinear')[0, 0].clamp(0, 1) * 255).round().numpy()
        return out

    def image_of(self, pixels: np.ndarray) -> Image.Image:
        image = Image.fromarray(pixels if self.alpha is None else np.dstack([pixels, self.alpha]))
        if self.icc:
            image.info['icc_profile'] = self.icc
        return image


def frame_of(width: int, height: int, box: Box | None = None) -> tuple[int, int, int]:
    """The square a model sees.

    Args:
        width: of the picture, pixels.
        height: of the picture, pixels.
        box: (x, y, width, height) that the square is laid around; None: the whole picture.

    Returns:
        left, top, side: as large as the box's longer side, inside the picture, its centre as near to the box's as that allows.

    Raises:
        ValueError: a box that is empty or leaves the picture.
    """
    x, y, w, h = box or (0, 0, width, height)
    if w < 1 or h < 1 or x < 0 or y < 0 or x + w > width or y + h > height:
        raise ValueError(f'box {x},{y},{w},{h} does not fit: expected x,y,width,height inside the picture of {width} x {height} px')
    if box is None:
        side = min(width, height)
    else:
        side = min(max(w, h), width, height)
    left = min(max(x + (w - side) // 2, 0), width - side)
    top = min(max(y + (h - side) // 2, 0), height - side)
    return left, top, side


def find_device(device: str | torch.device) -> torch.device:
    """'auto' -> CUDA, MPS or CPU; a device this machine lacks is a ValueError."""
    available: dict[str, Callable[[], bool]] = {
        'cuda': torch.cuda.is_available, 'mps': torch.backends.mps.is_available, 'cpu': lambda: True}
    if device == 'auto':
        return torch.device(next(kind for kind, there in available.items() if there()))
    kind, _, number = str(device).partition(':')
    if kind not in available:
        raise unknown('device', str(device), ['auto', *available])
    if not available[kind]():
        raise ValueError(f'device {str(device)!r} is not available here: expected auto or cpu')
    count = torch.cuda.device_count() if kind == 'cuda' else 1
    if ':' in str(device) and not (number.isdecimal() and int(number) < count):
        raise ValueError(f'device {str(device)!r} is not available here: expected {kind} or {kind}:0 to {kind}:{count - 1}' if count > 1
                         else f'device {str(device)!r} is not available here: expected {kind} or {kind}:0')
    return torch.device(device)


def output_paths(folder: str | Path, name: str) -> tuple[Path, ...]:
    """Where `Edit.save(folder, name)` writes: picture, mask, difference, Grad-CAM, the exemplar's mask."""
    if Path(name).name != name:
        raise ValueError(f'name {name!r}: expected a file name without folders')
    return tuple(Path(folder) / f'{name}.{suffix}' for suffix in ('png', 'mask.png', 'diff.png', 'gradcam.png', 'exemplar-mask.png'))


def _name_of(image: Picture) -> str:
    """Of the file, for a note inside another picture."""
    return Path(image).name if isinstance(image, str | Path) else 'a picture'


def _same_file(a: Path, b: Path) -> bool:
    return a.exists() and b.exists() and a.samefile(b)


def _png(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, 'PNG', **options)
    return buffer.getvalue()


def _resize(x: Tensor, side: int, mode: str) -> Tensor:
    """[N,C,h,w] -> [N,C,side,side], antialiased; x itself if it has that size."""
    return x if x.shape[-2:] == (side, side) else F.interpolate(x, size=(side, side), mode=mode, align_corners=False, antialias=True)


def _open(image: Picture) -> Image.Image:
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


def _eight_bits(picture: Image.Image) -> tuple[np.ndarray, np.ndarray | None, bytes | None, list[str]]:
    """Any PIL mode -> rgb uint8 [H,W,3], alpha uint8 [H,W] or None, the ICC profile where it still holds, and notes."""
    notes, icc = [], picture.info.get('icc_profile')
    mode = picture.mode
    if mode.startswith('I') or mode == 'F':
        picture = Image.fromarray(_sixteen_to_eight(np.asarray(picture), mode))
        notes.append('the 16-bit picture was brought to 8 bits')
    has_alpha = picture.mode in ('RGBA', 'LA', 'PA', 'La', 'RGBa') or 'transparency' in picture.info
    if mode not in ('RGB', 'RGBA', 'RGBX'):
        notes.append(f'the {mode} picture was brought to {"RGBA" if has_alpha else "RGB"}')
        if icc and mode not in ('P', 'PA', 'RGBa'):                                    # a grey or CMYK profile is wrong for RGB
            icc = None
            notes.append(f'the ICC profile of the {mode} picture was left out: it does not fit RGB')
    pixels = np.asarray(picture.convert('RGBA' if has_alpha else 'RGB'))
    return np.ascontiguousarray(pixels[..., :3]), pixels[..., 3].copy() if has_alpha else None, icc, notes


def _sixteen_to_eight(values: np.ndarray, mode: str) -> np.ndarray:
    """Grey values 0..65535 [H,W] -> uint8."""
    if mode == 'F' or values.min() < 0 or values.max() > 65535:
        found = f'{values.min():.4g} to {values.max():.4g}'
        raise ValueError(f'picture mode {mode} with values {found}: expected 8 or 16 bits a channel; save it as such')
    return np.round(values.astype(np.float32) / 257).astype(np.uint8)


def _painted(mask: Painted, width: int, height: int, notes: list[str]) -> np.ndarray:
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
        picture, painted = _open(mask), True
        if picture.mode.startswith('I'):
            values = _sixteen_to_eight(np.asarray(picture), picture.mode)
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
