"""The editor: any picture in, the same size out, and nothing moves where the mask is zero.

The network works at its own size. What comes back to the original is its mask and its CHANGE (output minus its own input), never its
pixels, so that detail the network cannot see survives and a pixel it left alone keeps its byte. Only what a paired system makes is
another picture, and comes back as it is.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from retouch.data.labels import apply_edits
from retouch.editor.canvas import BOX_HINT, Box, Canvas, frame_of
from retouch.editor.difference import difference_map
from retouch.editor.edit import Edit
from retouch.editor.many import BATCH, in_step
from retouch.editor.pictures import Painted, Picture
from retouch.engine.update import AttributeRequest, DomainRequest, ExemplarRequest, Translation
from retouch.errors import unknown
from retouch.version import __version__

if TYPE_CHECKING:                                                # one of the two is loaded, and with it torch or onnxruntime
    import torch

    from retouch.exported import Exported
    from retouch.model import Model


class Answer(NamedTuple):
    """What a network answered to one picture."""

    x: np.ndarray                                    # [1,3,S,S], what it saw
    translation: Translation                         # of one picture
    source: dict[str, float]
    target: dict[str, float]
    notes: list[str]
    record: dict[str, Any]
    inputs: tuple[Path, ...] = ()                    # files that were read beside the picture's
    exemplar_mask: np.ndarray | None = None          # as of an Edit


Answers = Callable[[Sequence[Canvas]], list[Answer]]


class Editor:
    """A loaded model, ready for pictures of any size."""

    def __init__(self, model: Model | Exported, reader: Model | None = None) -> None:
        if not model.translates:
            raise ValueError(f'{model.path} is a {model.method.id}, which reads pictures and cannot edit them: choose another model')
        self.model, self.data = model, model.data
        self.method: Any = model.method
        if reader is not None and not (reader.reads and reader.method.kind == 'attributes'):
            raise ValueError(f'{reader.path} is a {reader.method.id}, which reads no attributes: expected a classifier, or a model of '
                             'attributes with its discriminator')
        if reader is not None and self.method.kind != 'attributes':
            raise ValueError(f'{model.path} is a {self.method.id}, which needs no attributes read: leave --reader out')
        self.reader = reader

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = 'auto', reader: str | Path | None = None) -> Editor:
        """Loads a run directory, a model directory, a shipped model by name, hf://USER/MODEL[@REVISION] from the Hugging Face Hub, or an
        ONNX file of `retouch export`, which needs no torch.

        Args:
            path: what to load; no other setting is needed. The Hub alone is another machine, and needs `retouch[hub]`.
            device: 'auto' takes CUDA, then MPS, then the CPU; or any torch device. Of an ONNX file: 'auto' is the CPU, or 'cuda'.
            reader: another model that says which attributes a picture shows, for one that cannot (or that is to be overruled): a
                classifier, or a model of attributes.

        Raises:
            ValueError: no such model, a damaged one, a reader that reads nothing, or a device this machine lacks.
        """
        if Path(path).suffix == '.pt2':
            raise ValueError(f'{path} is for torch.export.load in a program of yours: expected a model directory, or an ONNX file of '
                             '`retouch export`')
        read_by = None if reader is None else _load_model(reader, device)
        if Path(path).suffix != '.onnx':
            return cls(_load_model(path, device), read_by)
        from retouch.exported import load_exported

        return cls(load_exported(path, str(device)), read_by)

    def edit(self, image: Picture, *, exemplar: Picture | None = None, box: Box | None = None, mask: Painted | None = None,
             exemplar_mask: Painted | None = None, source: Mapping[str, float] | None = None, strength: float = 1.0,
             mask_floor: float = 0.02, **attributes: float) -> Edit:
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
        answers = self._edits(exemplar, exemplar_mask, source, box, attributes)
        return self._alone(image, box, mask, answers, strength, mask_floor)

    def edit_many(self, images: Iterable[Any], *, then: Callable[[Any, Edit], Any] | None = None, batch_size: int | None = None,
                  to: str | None = None, exemplar: Picture | None = None, box: Box | None = None, mask: Painted | None = None,
                  exemplar_mask: Painted | None = None, source: Mapping[str, float] | None = None, strength: float = 1.0,
                  mask_floor: float = 0.02, **attributes: float) -> Generator[tuple[Any, Any], None, None]:
        """The same edit of many pictures, or with a model of domains or pairs the same translation, in their order.

        While the network works, other threads decode what comes next, bring back and, with `then`, save what came before. Memory does not
        grow with the number of pictures. What comes back is what `edit` or `translate` gives of each picture alone, to the byte where the
        network sees one at a time; in batches its last bits move, and with them single levels.

        Args:
            images: pictures as of `edit`, or tuples that begin with one; taken as they are needed.
            then: called with (image, edit) on another thread, at once; what it returns takes the edit's place, so that the edit itself need
                not be kept.
            batch_size: pictures that the network sees at once, fewer of large ones (see `many.BATCH_PX`); None: BATCH on an accelerator,
                and one on a CPU, where batches are no faster.
            to: a domain, as of `translate`.
            exemplar: one for all, as of `edit`.
            box: one for all, as of `edit`.
            mask: one for all, as of `edit`.
            exemplar_mask: as of `edit`.
            source: as of `edit`.
            strength: as of `edit`.
            mask_floor: as of `edit`.
            **attributes: as of `edit`.

        Returns:
            an iterator of (image, its Edit or what `then` returned, or the ValueError, OSError or FloatingPointError that it met); who
            stops early closes it.

        Raises:
            ValueError: at once, for what is wrong with all of them: an unknown attribute or domain, an exemplar that does not fit.
        """
        at_once = batch_size if batch_size is not None else 1 if self.model.on_cpu else BATCH
        if at_once < 1:
            raise ValueError(f'batch_size={batch_size}: expected at least 1')
        if to is None and (self.method.kind in ('attributes', 'exemplars') or attributes or source):
            answers = self._edits(exemplar, exemplar_mask, source, box, attributes)
        elif self.method.kind in ('domains', 'pairs') and (attributes or source or exemplar_mask is not None):
            raise ValueError(f'to={to!r}: a translation takes no attributes, source or exemplar_mask: leave out '
                             f'{" ".join((*attributes, *(source or {}))) or "exemplar_mask"}')
        else:
            answers = self._translations(to, exemplar)

        def open_one(item: Any) -> Canvas:
            return Canvas.open(item[0] if isinstance(item, tuple) else item, box, mask, self.data.frame)

        def finish(item: Any, canvas: Canvas, answer: Answer) -> Any:
            edit = self._finish(canvas, answer, strength, mask_floor)
            return edit if then is None else then(item, edit)

        def answer(canvases: Sequence[Canvas]) -> list[Answer]:
            return [one for i in range(0, len(canvases), at_once) for one in answers(canvases[i:i + at_once])]

        return in_step(images, open_one, answer, finish, max(at_once, BATCH))

    def _alone(self, image: Picture, box: Box | None, mask: Painted | None, answers: Answers, strength: float, mask_floor: float) -> Edit:
        canvas = Canvas.open(image, box, mask, self.data.frame)
        return self._finish(canvas, answers([canvas])[0], strength, mask_floor)

    def _edits(self, exemplar: Picture | None, exemplar_mask: Painted | None, source: Mapping[str, float] | None, box: Box | None,
               attributes: Mapping[str, float]) -> Answers:
        """What answers an edit; ValueError for what no picture can be asked."""
        names = self.data.attributes
        if self.method.kind == 'exemplars':
            if attributes or source:
                raise ValueError(f'{self.method.id} takes the look of an exemplar and no attributes: leave out '
                                 f'{" ".join((*attributes, *(source or {})))}')
            if exemplar is None:
                raise ValueError(f'{self.method.id} takes the look of an exemplar: name one, edit(image, exemplar=...) or --exemplar')
            return self._transfers(exemplar, exemplar_mask)
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
        for name, value in (source or {}).items():
            if value not in (0, 1) and not (self.data.amounts and 0 <= value <= 1):
                raise ValueError(f'source {name}={value}: expected 0 or 1')
        if self._one_hot() and list(attributes.values()) != [1]:
            asked = ' '.join(f'{k}={v}' for k, v in attributes.items())
            raise ValueError(f'{asked}: the classes of this model exclude each other, set exactly one of them to 1')
        self._check_reading(source or {})

        def answers(canvases: Sequence[Canvas]) -> list[Answer]:
            x = self._seen(canvases)
            read = np.concatenate([self._read(canvas, one, box, source or {})             # one by one: a batch moves the last bits
                                   for canvas, one in zip(canvases, _rows_of(x), strict=True)])        # [N,K]
            if not np.isfinite(read).all():
                raise FloatingPointError(f'{(self.reader or self.model).path}: what it reads is not finite; the model is damaged or its '
                                         'training diverged')
            each = [self._labels(row, source or {}) for row in _rows_of(read)]
            parts = self._in_turn(x, np.concatenate([found for found, _ in each]), attributes)
            found = []
            for (before, shown), part, seen in zip(each, parts, _rows_of(x), strict=True):
                target, notes = self._target(before, attributes)
                for name, value in attributes.items():
                    if before[0, names.index(name)] == value:
                        notes.append(f'{name} reads as {value:g} already ({shown[name]:.2f}): state --source {name}={1 - value:g} if that '
                                     'is wrong')
                values = {name: _number(v) for name, v in zip(names, target[0].tolist(), strict=True)}
                found.append(Answer(seen, part, shown, values, notes, {'set': {name: _number(v) for name, v in attributes.items()}}))
            return found
        return answers

    def _seen(self, canvases: Sequence[Canvas]) -> np.ndarray:
        """What the network sees of them, [N,3,S,S]."""
        return np.concatenate([canvas.model_input(self.data.size) for canvas in canvases])

    def read(self, image: Picture, box: Box | None = None) -> dict[str, float]:
        """What the model reads of a picture's attributes: name -> probability in [0,1]; empty for a model that reads none.

        Args:
            image: as in `edit`.
            box: as in `edit`.

        Raises:
            ValueError: a picture that cannot be used, or a box that does not fit.
        """
        canvas = Canvas.open(image, box, None, self.data.frame)
        if self.method.kind != 'attributes' or not (self.model.reads or self.reader):
            return {}
        return self._labels(self._read(canvas, canvas.model_input(self.data.size), box, {}), {})[1]

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
        return self._alone(image, box, mask, self._translations(to, exemplar), strength, mask_floor)

    def _translations(self, to: str | None, exemplar: Picture | None) -> Answers:
        """What answers a translation; ValueError for what no picture can be asked."""
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
        size, record = self.data.size, {'to': to} if exemplar is None else {'to': to, 'exemplar': _name_of(exemplar)}
        other, notes = (None, []) if exemplar is None else self._open_exemplar(exemplar, None)
        style = None if other is None else other.model_input(size)

        def answers(canvases: Sequence[Canvas]) -> list[Answer]:
            x = self._seen(canvases)
            asked = DomainRequest(x, to) if style is None else DomainRequest(x, to, style.repeat(len(x), 0))
            return [Answer(seen, part, {}, {}, notes, record, () if other is None else other.inputs)
                    for seen, part in zip(_rows_of(x), _parts_of(self.model.translate(asked)), strict=True)]
        return answers

    def _transfers(self, exemplar: Picture, exemplar_mask: Painted | None) -> Answers:
        """`_edits` of a model trained on exemplars."""
        other, notes = self._open_exemplar(exemplar, exemplar_mask)
        size, other_painted = self.data.size, None if other.painted is None else other.model_mask(self.data.size)
        e = other.model_input(size)

        def answers(canvases: Sequence[Canvas]) -> list[Answer]:
            x, painted = self._seen(canvases), canvases[0].painted is not None         # all of them or none
            n = len(x)
            mask = np.concatenate([canvas.model_mask(size) for canvas in canvases]) if painted else None
            out = self.model.translate(ExemplarRequest(x, e.repeat(n, 0), mask,
                                                       None if other_painted is None else other_painted.repeat(n, 0)))
            if not np.isfinite(out.extras['exemplar_mask']).all():
                raise FloatingPointError(f'{self.model.path}: the output is not finite; the model is damaged or its training diverged')
            found = []
            for seen, part in zip(_rows_of(x), _parts_of(out), strict=True):
                where = part.extras['exemplar_mask'] if other.painted is None else other.painted[other.place][None, None]
                if painted and part.mask is not None:            # what was painted holds at its own resolution
                    part = replace(part, mask=np.ones_like(part.mask))
                found.append(Answer(seen, part, {}, {}, notes, {'exemplar': _name_of(exemplar)}, other.inputs, other.enlarge(where)))
            return found
        return answers

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

    def _check_reading(self, source: Mapping[str, float]) -> None:
        """ValueError where neither the model nor its reader nor `source` says what a picture shows."""
        if self.reader is None and self.model.reads:
            return
        known = () if self.reader is None else self.reader.data.attributes
        missing = [name for name in self.data.attributes if name not in known and name not in source]
        if missing:
            who, lacks = (self.model, 'cannot read what a picture shows') if self.reader is None else (self.reader, 'reads other things')
            raise ValueError(f'{who.path} {lacks}: name a classifier that knows {", ".join(missing)} with --reader MODEL, or state them '
                             f'all, each 0 or 1: --source {" ".join(f"{name}=0" for name in missing)}')

    def _read(self, canvas: Canvas, x: np.ndarray, box: Box | None, source: Mapping[str, float]) -> np.ndarray:
        """Probabilities [1,K] of the model's attributes: by its own discriminator, by the reader, or as they are stated."""
        names = self.data.attributes
        if self.reader is None and self.model.reads:
            return self.model.read(x)
        read = np.array([[source.get(name, 0) for name in names]], np.float32)
        if self.reader is not None:
            known, (height, width), rule = self.reader.data.attributes, canvas.rgb.shape[:2], self.reader.data.frame
            seen = replace(canvas, rule=rule, frame=frame_of(width, height, box, rule)).model_input(self.reader.data.size)
            found = self.reader.read(seen)
            for k, name in enumerate(names):
                if name in known:
                    read[0, k] = found[0, known.index(name)]
        return read

    def _labels(self, read: np.ndarray, source: Mapping[str, float]) -> tuple[np.ndarray, dict[str, float]]:
        """Probabilities [1,K] and what the user knows better -> source labels [1,K], 0 or 1 or amounts, and the numbers to show."""
        names = self.data.attributes
        single = self._one_hot()
        labels = np.eye(len(names), dtype=np.float32)[read.argmax(1)] if single else (read > 0.5).astype(np.float32)
        if self.data.amounts:                                    # what is not asked for stays as strong as it is
            labels = read.clip(0, 1)
        shown = {name: round(p, 4) for name, p in zip(names, read[0].tolist(), strict=True)}
        for name, value in source.items():
            if single and value == 1:
                labels[:] = 0
                shown.update(dict.fromkeys(names, 0.0))
            labels[0, names.index(name)] = shown[name] = float(value)
        return labels, shown

    def _target(self, labels: np.ndarray, edits: Mapping[str, float]) -> tuple[np.ndarray, list[str]]:
        names = self.data.attributes
        if not self._one_hot():
            return apply_edits(labels, edits, names, getattr(self.method.config, 'label_rule', 'attgan_tf'))
        target = np.zeros_like(labels)
        target[:, names.index(next(iter(edits)))] = 1
        return target, []

    def _one_hot(self) -> bool:
        return getattr(self.method.config, 'labels', 'multi') == 'single'

    def _in_turn(self, x: np.ndarray, labels: np.ndarray, edits: Mapping[str, float]) -> list[Translation]:
        """All edits at once; for a model that was trained on one edit at a time, one after another, their masks united.

        A system without an edit mask is asked where its class head sees the edit (`extras['gradcam']`), of every picture by itself: one
        without any change of labels has no such map.
        """
        alone = self.model.info.get('data', {}).get('targets') == 'single'
        image, mask, before = x, None, labels
        gradcams: list[np.ndarray | None] = [None] * len(x)
        for part in ([{name: value} for name, value in edits.items()] if alone else [dict(edits)]):
            target, _ = self._target(before, part)
            step = self.model.translate(AttributeRequest(image, before, target))
            rows = zip(_rows_of(image), _rows_of(before), _rows_of(target), _rows_of(step.image), strict=True)
            for i, (seen, old, new, edited) in enumerate(rows if step.mask is None else ()):
                shown, known = self.model.explain(AttributeRequest(seen, old, new), edited), gradcams[i]
                if shown is not None:
                    gradcams[i] = shown if known is None else np.maximum(known, shown)
            united = step.mask if mask is None or step.mask is None else 1 - (1 - mask) * (1 - step.mask)
            image, mask, before = step.image, united, target
        return [replace(part, extras={} if gradcam is None else {'gradcam': gradcam})
                for part, gradcam in zip(_parts_of(Translation(image, mask)), gradcams, strict=True)]

    def _finish(self, canvas: Canvas, answer: Answer, strength: float, mask_floor: float) -> Edit:
        x, translation, record = answer.x, answer.translation, answer.record
        if not (math.isfinite(strength) and 0 <= strength <= 2):
            raise ValueError(f'strength={strength}: expected a number from 0 to 2; 1 is the model as trained')
        if not 0 <= mask_floor < 1:
            raise ValueError(f'mask_floor={mask_floor}: expected a number from 0 to below 1; 0.02 is the default')
        for part in (translation.image, translation.mask):
            if part is not None and not np.isfinite(part).all():
                raise FloatingPointError(f'{self.model.path}: the output is not finite; the model is damaged or its training diverged')
        level = getattr(self.method, 'bound_level', None)
        bound = None if level is None else canvas.shown.max(2) > level
        pixels, mask8 = canvas.compose(x, translation, strength, mask_floor, another=self.method.kind == 'pairs', bound=bound)
        notes = [*canvas.notes, *answer.notes]
        if translation.mask is None:
            where = 'inside the painted mask' if canvas.painted is not None else 'of the whole frame; a painted mask (--mask) confines it'
            notes.append(f'{self.method.id} has no edit mask: it may change every pixel {where}')
        if not mask8.any():
            notes.append('the mask is 0 everywhere: nothing was changed')
        told = {'reader_sha256': self.reader.weights_sha256} if self.reader is not None else {}
        told |= {'terms': self.model.terms} if self.model.terms else {}
        record = {'software': f'Retouch {__version__}', 'edited_with_ai': True, 'model': self.model.name, 'method': self.method.id,
                  'weights_sha256': self.model.weights_sha256, **told, **record, 'strength': strength, 'frame': list(canvas.frame)}
        shown = translation.extras.get('gradcam')
        if shown is not None:
            notes.append("the Grad-CAM shows where the model's class head sees the edit; it explains and confines nothing")
        return Edit(canvas.image_of(pixels), mask8, difference_map(canvas.rgb, pixels),
                    None if shown is None else canvas.enlarge(shown), float((pixels == canvas.rgb).all(2).mean()),
                    answer.source, answer.target, notes, record, (*canvas.inputs, *answer.inputs), answer.exemplar_mask, canvas.xmp)


def _load_model(path: str | Path, device: str | torch.device) -> Model:
    from retouch.hardware import find_device
    from retouch.model import load_model

    return load_model(path, find_device(device))


def _rows_of(batch: np.ndarray) -> list[np.ndarray]:
    """[N,...] -> N times [1,...]."""
    return [batch[i:i + 1] for i in range(len(batch))]


def _parts_of(translation: Translation) -> list[Translation]:
    """A batch's answer -> that of every picture, batches of one."""
    return [Translation(image, None if translation.mask is None else translation.mask[i:i + 1],
                        {name: value[i:i + 1] for name, value in translation.extras.items() if isinstance(value, np.ndarray)})
            for i, image in enumerate(_rows_of(translation.image))]


def _number(value: float) -> float:
    """A label as a record has it: 0 and 1 without a point."""
    return int(value) if float(value).is_integer() else round(float(value), 4)


def _name_of(image: Picture) -> str:
    """Of the file, for a note inside another picture."""
    return Path(image).name if isinstance(image, str | Path) else 'a picture'
