"""What comes back of an edit: the picture, its mask, where it changed, and how all of it is saved."""
from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from retouch.files import NAME_BYTES, write_atomically
from retouch.version import __version__


@dataclass(frozen=True)
class Edit:
    """An edited picture, where it was allowed to change and where it did."""

    image: Image.Image                      # size of the input; RGB, or RGBA if the input has alpha
    mask: np.ndarray                        # uint8 [H,W], 0 = untouched to the byte
    difference: np.ndarray                  # uint8 [H,W,3] heat map of the change
    gradcam: np.ndarray | None              # uint8 [H,W] where a system without an edit mask sees its edit; explains, confines nothing
    untouched: float                        # share of pixels identical to the input's in every byte, in [0,1]
    source: dict[str, float]                # attribute -> probability read from the picture, or the value the user stated
    target: dict[str, float]                # attribute -> value asked of the model
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
            ValueError: `name` is a path or too long for a file, or an input file would be overwritten.
            OSError: the folder cannot be written.
        """
        paths = output_paths(folder, name)
        more = [(path, pixels) for path, pixels in zip(paths[3:], (self.gradcam, self.exemplar_mask), strict=True) if pixels is not None]
        written = (*paths[:3], *(path for path, _ in more))
        for path in written:
            if (length := len(os.fsencode(path.name))) > NAME_BYTES:
                raise ValueError(f'{path.name[:24]}…: a file name of {length} bytes: expected at most {NAME_BYTES}; give the picture a '
                                 'shorter name')
            if any(_same_file(path, known) for known in self.inputs):
                raise ValueError(f'{path} is an input picture and is never overwritten: choose another --out folder')
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        write_atomically(paths[0], self.encode(note=note))
        write_atomically(paths[1], _png(Image.fromarray(self.mask)))
        write_atomically(paths[2], _png(Image.fromarray(self.difference)))
        for path, pixels in more:
            write_atomically(path, _png(Image.fromarray(pixels)))
        return written

    def encode(self, *, note: bool = True) -> bytes:
        """The bytes of the picture's PNG file, as `save` writes it."""
        text = PngImagePlugin.PngInfo()
        if note:
            edits = ' '.join([*(f'{k}={v}' for k, v in self.record.get('set', {}).items()),
                              *(f'{words} {self.record[key]}' for key, words in (('to', 'to'), ('exemplar', 'in the style of'))
                                if key in self.record)])
            text.add_text('Software', f'Retouch {__version__}')
            text.add_text('Comment', f"Edited with AI: model {self.record.get('model')}, {edits}")
            text.add_text('retouch', json.dumps(self.record))
        return _png(self.image, pnginfo=text, icc_profile=self.image.info.get('icc_profile'))


def output_paths(folder: str | Path, name: str) -> tuple[Path, ...]:
    """Where `Edit.save(folder, name)` writes: picture, mask, difference, Grad-CAM, the exemplar's mask."""
    if Path(name).name != name:
        raise ValueError(f'name {name!r}: expected a file name without folders')
    return tuple(Path(folder) / f'{name}.{suffix}' for suffix in ('png', 'mask.png', 'diff.png', 'gradcam.png', 'exemplar-mask.png'))


def _same_file(a: Path, b: Path) -> bool:
    return a.exists() and b.exists() and a.samefile(b)


def _png(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, 'PNG', **options)
    return buffer.getvalue()
