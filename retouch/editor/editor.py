"""The editor: any picture in, the same size out, and nothing moves where the mask is zero.

The network works at its own size. What comes back to the original is its mask and its CHANGE (output minus its own input), never its
pixels, so that detail the network cannot see survives and a pixel it left alone keeps its byte. Only what a paired system makes is
another picture, and comes back as it is.
"""
from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from retouch.data.labels import apply_edits
from retouch.editor.canvas import BOX_HINT, Box, Canvas
from retouch.editor.difference import difference_map
from retouch.editor.edit import Edit
from retouch.editor.pictures import Painted, Picture
from retouch.engine.update import AttributeRequest, DomainRequest, ExemplarRequest, Translation
from retouch.errors import unknown
from retouch.guidance.gradcam import explain_edit
from retouch.hardware import find_device
from retouch.model import Model, load_model
from retouch.version import __version__


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
             **attributes: float) -> Edit:
        """Sets attributes of a picture and leaves the others as they are read, or gives it the look of an exemplar.

        Args:
            image: PIL image, uint8 array [H,W], [H,W,3] or [H,W,4], or a file. Its EXIF orientation is applied.
            exemplar: a picture to take the look from, at least as large as the model's frame, of which the part is used that training would
                have; for models trained on exemplars, and only for those.
            box: (x, y, width, height) in pixels around which the model's square frame is laid, or, where the model was trained on whole
                pictures squashed to a square, the frame itself; None: what training would have cut from the picture.
            mask: where changes are allowed: an array [H,W] in [0,1] or 0..255, a picture, always 0..255, or a rectangle (left, top,
                right, bottom) in pixels; confines whatever the model does. With an exemplar it also takes the place of the model's own
                mask, and the styles are read again.
            exemplar_mask: the same of the exemplar: where its style is read; None: where the model says.
            source: attribute -> 0 or 1 where the reading of the picture should be overruled.
            strength: factor on the change, 0 to 2; 1 is what the model was trained for.
            mask_floor: mask values under it become 0.
            **attributes: attribute -> 0 or 1, or a number between them for a part of it.

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

        canvas = Canvas.open(image, box, mask, self.data.frame)
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
        values = {name: _number(v) for name, v in zip(names, target[0].tolist(), strict=True)}
        record = {'set': {name: _number(v) for name, v in attributes.items()}}
        return self._finish(canvas, x, translation, strength, mask_floor, shown, values, notes, record)

    def read(self, image: Picture, box: Box | None = None) -> dict[str, float]:
        """What the model reads of a picture's attributes: name -> probability in [0,1]; empty for a model without any.

        Args:
            image: as in `edit`.
            box: as in `edit`.

        Raises:
            ValueError: a picture that cannot be used, or a box that does not fit.
        """
        canvas = Canvas.open(image, box, None, self.data.frame)
        if self.method.kind != 'attributes':
            return {}
        with torch.inference_mode():
            read = self.method.read(canvas.model_input(self.data.size).to(self.model.device))
        return self._labels(read, {})[1]

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
        canvas = Canvas.open(image, box, mask, self.data.frame)
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
        canvas, (other, notes) = Canvas.open(image, box, mask, self.data.frame), self._open_exemplar(exemplar, exemplar_mask)
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

    def _open_exemplar(self, exemplar: Picture, mask: Painted | None) -> tuple[Canvas, list[str]]:
        """An exemplar, its painted mask, and notes on both. ValueError where it is smaller than what the model looks at."""
        try:
            other, size = Canvas.open(exemplar, None, mask, self.data.frame), self.data.size
        except ValueError as error:
            raise ValueError(f'exemplar: {error}') from error
        (height, width), (left, top, w, h) = other.rgb.shape[:2], other.frame
        if min(height, width) < size:
            raise ValueError(f'the exemplar is {width} x {height} px: expected at least {size} x {size} px, the size the model works at')
        notes = [note.removesuffix(BOX_HINT) for note in other.notes if not note.startswith('the model saw')]
        if (w, h) != (width, height):
            notes.insert(0, f'the {w} x {h} px square at x={left}, y={top} is used')
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

    def _target(self, labels: Tensor, edits: Mapping[str, float]) -> tuple[Tensor, list[str]]:
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

    def _in_turn(self, x: Tensor, labels: Tensor, edits: Mapping[str, float]) -> Translation:
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

    def _finish(self, canvas: Canvas, x: Tensor, translation: Translation, strength: float, mask_floor: float, source: dict[str, float],
                target: dict[str, float], notes: list[str], record: dict[str, Any]) -> Edit:
        if not (math.isfinite(strength) and 0 <= strength <= 2):
            raise ValueError(f'strength={strength}: expected a number from 0 to 2; 1 is the model as trained')
        if not 0 <= mask_floor < 1:
            raise ValueError(f'mask_floor={mask_floor}: expected a number from 0 to below 1; 0.02 is the default')
        for part in (translation.image, translation.mask):
            if part is not None and not bool(part.isfinite().all()):
                raise FloatingPointError(f'{self.model.path}: the output is not finite; the model is damaged or its training diverged')
        bound = self.method.bound_pixels(canvas.shown) if hasattr(self.method, 'bound_pixels') else None
        pixels, mask8 = canvas.compose(x, translation, strength, mask_floor, another=self.method.kind == 'pairs', bound=bound)
        notes = [*canvas.notes, *notes]
        if translation.mask is None:
            where = 'inside the painted mask' if canvas.painted is not None else 'of the whole frame; a painted mask (--mask) confines it'
            notes.append(f'{self.method.id} has no edit mask: it may change every pixel {where}')
        if not mask8.any():
            notes.append('the mask is 0 everywhere: nothing was changed')
        path = self.model.path
        record = {'software': f'Retouch {__version__}', 'edited_with_ai': True,
                  'model': path.parent.name if path.name == 'model' else path.name, 'method': self.method.id,
                  'weights_sha256': self.model.weights_sha256, **record, 'strength': strength, 'frame': list(canvas.frame)}
        shown = translation.extras.get('gradcam')
        if shown is not None:
            notes.append("the Grad-CAM shows where the model's class head sees the edit; it explains and confines nothing")
        return Edit(canvas.image_of(pixels), mask8, difference_map(canvas.rgb, pixels),
                    None if shown is None else canvas.enlarge(shown), float((pixels == canvas.rgb).all(2).mean()),
                    source, target, notes, record, canvas.inputs)


def _number(value: float) -> float:
    """A label as a record has it: 0 and 1 without a point."""
    return int(value) if float(value).is_integer() else round(float(value), 4)


def _name_of(image: Picture) -> str:
    """Of the file, for a note inside another picture."""
    return Path(image).name if isinstance(image, str | Path) else 'a picture'
