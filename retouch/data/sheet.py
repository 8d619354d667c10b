"""A contact sheet: some pictures of a set with their names and labels, to be looked at."""
from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from retouch.data.check import parts_of
from retouch.data.images import read_image, to_rgb
from retouch.data.layouts import existing_folder, recognise
from retouch.data.mask_check import CLASSES_AT_MOST, spread
from retouch.data.sources import AttributeFolder, DomainFolder, PairFolder, read_folder


def contact_sheet(root: str | Path, out: Path, n: int = 24, tile: int = 128) -> None:
    """Writes a PNG of n pictures, evenly spaced, each with its name and labels (and its mask, or its pair, beside it).

    Args:
        root: the folder.
        out: the PNG file; its folder is made.
        n: number of pictures.
        tile: side of a picture on the sheet in pixels.

    Raises:
        ValueError: like the reader of the folder's layout, or n < 1.
    """
    if n < 1:
        raise ValueError(f'contact sheet of {n} pictures: expected at least 1')
    root = existing_folder(root)
    entries = spread(_captioned(read_folder(root, recognise(root))), n)
    wide = max(len(files) for files, _, _ in entries) * tile
    columns = max(1, min(len(entries), 1024 // wide))
    rows, text = -(-len(entries) // columns), 36
    sheet = Image.new('RGB', (columns * (wide + 8), rows * (tile + text)), 'white')
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for i, (files, name, labels) in enumerate(entries):
        x, y = i % columns * (wide + 8) + 4, i // columns * (tile + text)
        for k, (path, half) in enumerate(files):
            sheet.paste(_tile(path, half, tile), (x + k * tile, y))
        for row, line in enumerate((name, labels)):
            while line and draw.textlength(line, font) > wide:
                line = line[:-2] + '…' if len(line) > 2 else ''
            draw.text((x, y + tile + 1 + 13 * row), line, 'black', font)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out, 'PNG')


Entry = tuple[list[tuple[Path, str]], str, str]      # files (each whole, left, right or mask), name, labels


def _captioned(source: AttributeFolder | DomainFolder | PairFolder) -> list[Entry]:
    if isinstance(source, DomainFolder):
        both = [(path, name) for name, paths in parts_of(source).items() for path in paths]
        return [([(path, 'whole')], f'{name}/{path.name}', '') for path, name in both]
    if isinstance(source, PairFolder):
        items = source.train + (() if source.test is source.val else source.test) + source.val
        return [([(item.a, 'whole'), (item.b, 'whole')] if item.b else [(item.a, 'left'), (item.a, 'right')], item.a.name, 'A | B')
                for item in items]
    entries: list[Entry] = []
    for i, path in enumerate(source.paths):
        labels = ' '.join(name for name, value in zip(source.names, source.labels[i], strict=True) if value)
        entries.append(([(path, 'whole')] + _mask_of(source, i), path.name, labels))
    return entries


def _mask_of(source: AttributeFolder, i: int) -> list[tuple[Path, str]]:
    mask = source.masks[i] if source.masks else None
    return [(mask, 'mask')] if isinstance(mask, Path) else []    # of the parts of a face no single one shows it


def _tile(path: Path, half: str, side: int) -> Image.Image:
    """One picture fitted into a square; a crossed grey one where it cannot be read."""
    try:
        picture = read_image(path)
    except ValueError:
        empty = Image.new('RGB', (side, side), (200, 200, 200))
        ImageDraw.Draw(empty).line((0, 0, side, side), (160, 0, 0), 2)
        return empty
    if half == 'mask' and picture.mode == 'L' and 1 < np.asarray(picture).max() < CLASSES_AT_MOST:
        picture = picture.point(lambda value: value * (255 // CLASSES_AT_MOST))        # class ids are too dark to tell apart
    elif half == 'mask' and picture.mode in ('L', 'P') and np.asarray(picture).max() <= 1:
        picture = Image.fromarray(np.asarray(picture) * np.uint8(255))
    picture = to_rgb(picture)
    if half in ('left', 'right'):
        middle = picture.width // 2
        picture = picture.crop((0, 0, middle, picture.height) if half == 'left' else (middle, 0, picture.width, picture.height))
    return ImageOps.pad(picture, (side, side), color=(255, 255, 255))
