"""What the masks of a set hold: black and white, class ids or something else, and whether they fit their pictures."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from retouch.data.frame import same_aspect
from retouch.data.images import read_image, shown_size
from retouch.data.sources import AttributeFolder
from retouch.errors import one_line

MASKS_READ = 200             # so many masks, evenly spaced, are read for their values
CLASSES_AT_MOST = 64         # a mask with more values than this is no map of class ids


class Masks(BaseModel):
    """What the masks of a set hold."""

    model_config = ConfigDict(extra='forbid')

    kind: str                               # 'binary', 'class ids', 'soft' or 'colour'
    n: int                                  # masks in the set
    read: int                               # masks whose values were read
    ids: list[int]                          # values found, empty for soft and colour masks
    white: float | None                     # fraction of pixels that are 1 (255), binary masks only; 1 = may change


def spread(items: Sequence, n: int | None) -> list:
    """At most n items, evenly spaced."""
    if n is None or n >= len(items):
        return list(items)
    return [items[i * len(items) // n] for i in range(n)]


def times(size: tuple[int, int]) -> str:
    """(3, 2) -> '3 x 2'."""
    return f'{size[0]} x {size[1]}'


def look_at_masks(source: AttributeFolder, unreadable: list[str]) -> tuple[Masks, list[str]]:
    """Reads masks for their values; those that cannot be read join `unreadable`."""
    assert source.masks
    pairs = spread(list(zip(source.paths, source.masks, strict=True)), MASKS_READ)
    values = np.zeros(256, np.int64)
    warnings, read, colour, odd = [], 0, 0, []
    for path, mask_path in pairs:
        if isinstance(mask_path, tuple):                         # the parts of a face, merged as a parser sees them
            # Imported here: other layouts need no torch.
            from retouch.data.parsing import parts_to_ids

            try:
                values += np.bincount(parts_to_ids(mask_path, path, 128).ravel(), minlength=256)
                read += 1
            except ValueError as error:
                unreadable.append(one_line(error))
            continue
        try:
            mask, size = read_image(mask_path), shown_size(path)
        except ValueError as error:
            if one_line(error) not in unreadable:
                unreadable.append(one_line(error))
            continue
        read += 1
        if not same_aspect(size, mask.size):
            odd.append(f'{mask_path.name} is {times(mask.size)} px, its picture {times(size)} px')
        # A palette's index is the class; a bilevel file's pixel is 0 or 255.
        grey = mask if mask.mode in ('P', 'L') else mask.convert('L')
        if mask.mode in ('RGB', 'RGBA') and any(np.ptp(np.asarray(mask.convert('RGB')).astype(np.int16), axis=2).flat):
            colour += 1
        values += np.bincount(np.asarray(grey).ravel(), minlength=256)[:256]
    ids = np.flatnonzero(values).tolist()
    white = None
    if colour:
        kind, ids = 'colour', []
        warnings.append(f'{colour} masks are colour pictures: expected one channel of class ids, or black and white')
    elif set(ids) <= {0, 255} or set(ids) <= {0, 1}:
        kind, white = 'binary', float(values[1:].sum() / max(1, values.sum()))
        if white > 0.5:
            warnings.append(f'masks are {white:.0%} white: white must mean "may change"; invert them if it means "keep"')
        elif not white:
            warnings.append('masks are black throughout: nothing may change')
    elif len(ids) <= CLASSES_AT_MOST and ids[-1] < 255:
        kind = 'class ids'
    else:
        kind, ids = 'soft', []
        warnings.append('masks hold many grey levels: class ids saved as JPEG, or soft masks? expected PNG')
    if odd:
        warnings.append(f'{len(odd)} masks of another shape than their picture, first {odd[0]}')
    return Masks(kind=kind, n=len(source.masks), read=read, ids=ids, white=None if white is None else round(white, 4)), warnings


def parse_errors(source: AttributeFolder) -> list[str]:
    """A line for every mask (of those that are looked at) from which no parser could learn: its size, its mode, its ids."""
    # Imported here: other layouts need no torch.
    from retouch.data.parsing import IDS, read_mask

    assert source.masks
    errors = []
    for path, mask_path in spread(list(zip(source.paths, source.masks, strict=True)), MASKS_READ):
        if isinstance(mask_path, tuple):                         # merged and judged by `look_at_masks`
            continue
        try:
            read_mask(mask_path, path, 1, len(IDS['celebamask']))
        except ValueError as error:
            errors.append(one_line(error))
    return errors
