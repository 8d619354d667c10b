"""What comes back of an edit: the picture, its mask, where it changed, and how all of it is saved."""
from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from retouch.editor.marks import JPEG_KEPT, PNG_KEY, marked
from retouch.files import NAME_BYTES, write_atomically
from retouch.version import __version__

Format = Literal['png', 'jpg', 'webp']
FORMATS: dict[Format, tuple[str, int]] = {'png': ('PNG', 2 ** 31 - 1), 'jpg': ('JPEG', 65535), 'webp': ('WEBP', 16383)}   # most px a side
RE_ENCODED = 'identical in the decoded input, re-encoded'


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
    xmp: bytes | None = None                # the input's packet

    def save(self, folder: str | Path, name: str, note: bool = True, *, format: Format = 'png', quality: int = 95,
             alone: bool = False) -> tuple[Path, ...]:
        """Writes NAME.png, NAME.mask.png, NAME.diff.png and, where there are such, NAME.gradcam.png and NAME.exemplar-mask.png, lossless.

        The picture comes last: where it is, all of them are whole.

        Args:
            folder: made if missing.
            name: file name without suffix.
            note: whether the picture says that it was edited with AI, by which model and how: PNG text `Software`, `Comment`, `retouch`, or
                the same in the EXIF of a JPEG or WebP, and IPTC's digital source type in XMP, beside the XMP that the input had. Without
                it none of these is written, the input's XMP neither.
            format: 'png', lossless, or 'jpg' or 'webp' for the picture, which are encoded anew: what the mask left alone is then identical
                in the decoded input and no longer to the byte.
            quality: of a JPEG (4:4:4) or WebP, 1 to 100.
            alone: write the picture and nothing beside it.

        Returns:
            The paths that were written, the picture's first.

        Raises:
            ValueError: `name` is a path or too long for a file, an input file would be overwritten, or the format cannot hold the picture.
            OSError: the folder cannot be written.
        """
        paths = output_paths(folder, name, format)
        beside = (self.mask, self.difference, self.gradcam, self.exemplar_mask)
        more = [(path, pixels) for path, pixels in zip(paths[1:], beside, strict=True) if pixels is not None and not alone]
        written = (paths[0], *(path for path, _ in more))
        for path in written:
            if (length := len(os.fsencode(path.name))) > NAME_BYTES:
                raise ValueError(f'{path.name[:24]}…: a file name of {length} bytes: expected at most {NAME_BYTES}; give the picture a '
                                 'shorter name')
            if any(_same_file(path, known) for known in self.inputs):
                raise ValueError(f'{path} is an input picture and is never overwritten: choose another --out folder')
        payload = self.encode(format, quality, note)
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        for path, pixels in more:
            write_atomically(path, _encoded(Image.fromarray(pixels), 'PNG'))
        write_atomically(paths[0], payload)
        return written

    def encode(self, format: Format = 'png', quality: int = 95, note: bool = True) -> bytes:
        """The bytes of the picture's file, as `save` writes it. ValueError where the format cannot hold the picture."""
        kind, most = FORMATS[format]
        if format != 'png' and not 1 <= quality <= 100:
            raise ValueError(f'quality={quality}: expected a whole number from 1 to 100; 95 is the default')
        if max(self.image.size) > most:
            raise ValueError(f'{self.image.width} x {self.image.height} px: a {kind} has at most {most} px a side; use --format png')
        if format == 'jpg' and self.image.mode == 'RGBA':
            raise ValueError('the picture has transparency, which a JPEG cannot hold: use --format png or webp')
        options: dict[str, Any] = {'icc_profile': self.image.info.get('icc_profile')}
        if format == 'jpg':
            options |= {'quality': quality, 'subsampling': 0}
        elif format == 'webp':
            options |= {'quality': quality, 'exact': True}       # colours stay where nothing of them is seen
        if note:
            options |= self._note(format)
        return _encoded(self.image, kind, **options)

    def _note(self, format: Format) -> dict[str, Any]:
        """What tells that the picture was edited, as options of Pillow's writers."""
        edits = ' '.join([*(f'{k}={v}' for k, v in self.record.get('set', {}).items()),
                          *(f'{words} {self.record[key]}' for key, words in (('to', 'to'), ('exemplar', 'in the style of'))
                            if key in self.record)])
        software, comment = f'Retouch {__version__}', f"Edited with AI: model {self.record.get('model')}, {edits}"
        xmp = marked(self.xmp)
        if format == 'png':
            text = PngImagePlugin.PngInfo()
            for key, value in (('Software', software), ('Comment', comment), ('retouch', json.dumps(self.record))):
                text.add_text(key, value)
            text.add_itxt(PNG_KEY, xmp.decode())
            return {'pnginfo': text}
        if format == 'jpg' and len(xmp) > JPEG_KEPT:
            raise ValueError(f'the XMP of the picture has {len(xmp)} bytes with the mark, a JPEG holds {JPEG_KEPT}: use --format png or '
                             'webp, or leave it out with --no-note')
        exif = Image.Exif()
        exif[ExifTags.Base.Software], exif[ExifTags.Base.ImageDescription] = software, comment
        record = json.dumps({**self.record, 'outside_the_mask': RE_ENCODED})
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b'ASCII\0\0\0' + record.encode()
        return {'exif': exif, 'xmp': xmp}


def output_paths(folder: str | Path, name: str, format: Format = 'png') -> tuple[Path, ...]:
    """Where `Edit.save(folder, name)` writes: picture, mask, difference, Grad-CAM, the exemplar's mask."""
    if Path(name).name != name:
        raise ValueError(f'name {name!r}: expected a file name without folders')
    return tuple(Path(folder) / f'{name}.{suffix}' for suffix in (format, 'mask.png', 'diff.png', 'gradcam.png', 'exemplar-mask.png'))


def _same_file(a: Path, b: Path) -> bool:
    return a.exists() and b.exists() and a.samefile(b)


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
