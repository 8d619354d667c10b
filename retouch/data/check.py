"""What is in a folder of pictures, and what is wrong with it, before anything is trained on it."""
from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from retouch.data.cache import cores
from retouch.data.images import opened, read_image, shown_size, upright
from retouch.data.layouts import LAYOUTS, check_side_by_side, existing_folder, images_under, recognise
from retouch.data.sources import (
    AttributeFolder,
    DomainFolder,
    PairFolder,
    read_attribute_folder,
    read_domain_folder,
    read_pair_folder,
    read_parsing_folder,
    same_aspect,
)
from retouch.errors import one_line
from retouch.toyfaces import THIRTEEN

RARE = 0.01                  # a label this rare, or this common, teaches little
MASKS_READ = 200             # so many masks, evenly spaced, are read for their values
SIZES_LISTED = 12
CLASSES_AT_MOST = 64         # a mask with more values than this is no map of class ids


class Masks(BaseModel):
    """What the masks of a set hold."""

    model_config = ConfigDict(extra='forbid')

    kind: str                               # 'binary', 'class ids', 'soft' or 'colour'
    n: int                                  # masks in the set
    read: int                               # masks whose values were read
    ids: list[int]                          # values found, empty for soft and colour masks
    white: float | None                     # fraction of pixels that are 1 (255), binary masks only; 1 = may change


class Report(BaseModel):
    """The result of `check_folder`."""

    model_config = ConfigDict(extra='forbid')

    folder: str
    layout: str                             # a key of LAYOUTS
    description: str                        # the layout in words
    counts: dict[str, int]                  # pictures per part or class
    sizes: dict[str, int]                   # 'width x height' -> pictures, the most frequent first
    smallest: tuple[int, int] | None        # (width, height) px of the picture with the shortest side
    largest: tuple[int, int] | None
    decoded: int                            # pictures that were read; wholly, or the header alone where decode is off
    unreadable: list[str]                   # one line per file
    unlabelled: list[str]                   # pictures on disk without a label
    convention: str                         # how labels are written: '-1/1', '0/1', 'folders', 'none'
    balance: dict[str, float]               # label -> fraction of pictures with 1
    masks: Masks | None
    errors: list[str]                       # training would refuse the set for these
    warnings: list[str]
    ok: bool                                # no errors and nothing unreadable
    next: str                               # a command to go on with


def check_folder(root: str | Path, *, decode: bool = True, limit: int | None = None,
                 progress: Callable[[int, int], None] | None = None) -> Report:
    """Looks through a folder of pictures.

    Args:
        root: the folder.
        decode: read every picture to its end, which finds truncated files; False: the headers alone.
        limit: at most so many pictures, evenly spaced; None: all.
        progress: called with (done, total).

    Raises:
        ValueError: there is no such folder, or its layout is not known or ambiguous. All else is in the report.
    """
    root = existing_folder(root)
    layout = recognise(root)
    errors: list[str] = []
    source: AttributeFolder | DomainFolder | PairFolder | None = None
    try:
        source = _read(root, layout)
    except ValueError as error:
        errors.append(one_line(error))
    parts: dict[str, Sequence[Path]] = {_name(root, folder): pictures for folder, pictures in images_under(root).items()}
    if source:
        parts = _parts(source)
    paths = [path for pictures in parts.values() for path in pictures]
    chosen = _spread(paths, limit)
    sizes, unreadable = _look(chosen, decode, progress)
    warnings: list[str] = list(source.notes) if isinstance(source, AttributeFolder) else []
    if isinstance(source, PairFolder):
        errors += _pair_errors(source, sizes)
    balance, masks = {}, None
    if isinstance(source, AttributeFolder):
        balance = {name: round(float(value), 4) for name, value in zip(source.names, source.labels.mean(0), strict=True)}
        warnings += _label_warnings(source)
        if source.masks:
            masks, found = _look_at_masks(source, unreadable)
            warnings += found
            errors += [line for line in _parse_errors(source) if line not in unreadable] if layout == 'parsing' else []
    if isinstance(source, DomainFolder | PairFolder):
        test = (source.test_a and source.test_b) if isinstance(source, DomainFolder) else source.test
        if not test:
            warnings.append('no test part: nothing to score a model on; add ' + ('testA/ and testB/' if layout == 'domains' else 'test/'))
    by_side = sorted(sizes.values(), key=lambda size: (min(size), max(size)))
    counted = Counter(f'{w} x {h}' for w, h in sizes.values())
    if len(counted) > 1:
        span = f'from {_times(by_side[0])} to {_times(by_side[-1])} px'
        how = 'is cut to its centre, then resized' if isinstance(source, AttributeFolder) else 'is resized whole, whatever its aspect'
        warnings.append(f'{len(counted)} sizes, {span}: each picture {how}')
    listed = dict(counted.most_common(SIZES_LISTED))
    if rest := len(sizes) - sum(listed.values()):
        listed['other'] = rest
    return Report(
        folder=str(root), layout=layout, description=LAYOUTS[layout], counts=_counts(source, parts), sizes=listed,
        smallest=by_side[0] if by_side else None, largest=by_side[-1] if by_side else None, decoded=len(chosen), unreadable=unreadable,
        unlabelled=[str(p) for p in source.unlabelled] if isinstance(source, AttributeFolder) else [],
        convention=source.convention if isinstance(source, AttributeFolder) else 'none', balance=balance, masks=masks,
        errors=errors, warnings=warnings, ok=not errors and not unreadable,
        next=_next(root, source, by_side, balance) if source and not errors and not unreadable else _repair(root, unreadable))


def render(report: Report) -> str:
    """The report as plain text for a terminal, at most 20 lines of any kind of finding."""
    lines = [f'{report.folder}: {report.layout} ({report.description})']
    counts = ', '.join(f'{name} {n:,}' for name, n in list(report.counts.items())[:20])
    lines.append(f'pictures    {counts}' + (', …' if len(report.counts) > 20 else ''))
    sizes = ', '.join(f'{size}{"" if size == "other" else " px"}: {n:,}' for size, n in report.sizes.items())
    lines.append(f'sizes       {sizes or "none read"}')
    lines.append(f'read        {report.decoded:,}, of which {len(report.unreadable):,} cannot be used')
    if report.convention != 'none':
        lines.append(f'labels      {report.convention}' + (' (one class per folder)' if report.convention == 'folders' else ' throughout'))
        width = max((len(name) for name in report.balance), default=0)
        lines += [f'  {name:<{width}}  {share:7.2%}' for name, share in report.balance.items()]
        lines.append(f'unlabelled  {len(report.unlabelled):,} pictures without a label row' + (', not used' if report.unlabelled else ''))
    if report.masks:
        masks = report.masks
        what = f': {", ".join(map(str, masks.ids))}' if masks.ids else ''
        if masks.white is not None:
            what = f': {masks.white:.1%} white; white = may change'
        lines.append(f'masks       {masks.n:,}, {masks.kind}{what} ({masks.read:,} read)')
    findings = {'unreadable': report.unreadable, 'unlabelled': report.unlabelled, 'error': report.errors, 'warning': report.warnings}
    for title, found in findings.items():
        lines += [f'{title}: {line}' for line in found[:20]]
        if len(found) > 20:
            lines.append(f'{title}: … and {len(found) - 20:,} more; --json lists all of them')
    lines += ['ok' if report.ok else 'not ok', f'next: {report.next}']
    return '\n'.join(lines)


# ---- reading

def _read(root: Path, layout: str) -> AttributeFolder | DomainFolder | PairFolder:
    if layout == 'domains':
        return read_domain_folder(root)
    if layout in ('pairs', 'pairs_ab'):
        return read_pair_folder(root)
    return read_parsing_folder(root) if layout == 'parsing' else read_attribute_folder(root)


def _name(root: Path, folder: Path) -> str:
    return str(folder.relative_to(root)) if folder != root else root.name


def _parts(source: AttributeFolder | DomainFolder | PairFolder) -> dict[str, Sequence[Path]]:
    """The files of each part; a set without parts is one part."""
    if isinstance(source, DomainFolder):
        parts = {'trainA': source.train_a, 'trainB': source.train_b, 'testA': source.test_a, 'testB': source.test_b}
        return {name: paths for name, paths in parts.items() if paths}
    if isinstance(source, AttributeFolder):
        return {'pictures': source.paths}
    sets = {'train': source.train, 'val': source.val, 'test': () if source.test is source.val else source.test}
    return {name: [p for item in items for p in (item.a, item.b) if p] for name, items in sets.items() if items}


def _counts(source: AttributeFolder | DomainFolder | PairFolder | None, parts: dict[str, Sequence[Path]]) -> dict[str, int]:
    if isinstance(source, AttributeFolder) and source.exclusive:
        counts = {name: int(n) for name, n in zip(source.names, source.labels.sum(0), strict=True)}
        return counts | ({'of these in test/': source.n_test} if source.n_test else {})
    if isinstance(source, PairFolder):
        return {f'{name} pairs': len(paths) // (2 if source.layout == 'pairs_ab' else 1) for name, paths in parts.items()}
    return {name: len(paths) for name, paths in parts.items()}


def _spread(items: Sequence, n: int | None) -> list:
    """At most n items, evenly spaced."""
    if n is None or n >= len(items):
        return list(items)
    return [items[i * len(items) // n] for i in range(n)]


def _look(paths: Sequence[Path], decode: bool,
          progress: Callable[[int, int], None] | None) -> tuple[dict[Path, tuple[int, int]], list[str]]:
    """Size (width, height) px, orientation applied, of every picture that can be read, and a line for each that cannot."""

    def look(path: Path) -> tuple[int, int] | str:
        try:
            with opened(path) as picture:
                if not decode:
                    return picture.size
                picture.load()
                return upright(picture).size if picture.getexif().get(0x0112, 1) != 1 else picture.size
        except ValueError as error:
            return one_line(error)

    sizes, unreadable = {}, []
    with ThreadPoolExecutor(cores()) as pool:
        for done, (path, found) in enumerate(zip(paths, pool.map(look, paths), strict=True), 1):
            if isinstance(found, str):
                unreadable.append(found)
            else:
                sizes[path] = found
            if progress and (done % 50 == 0 or done == len(paths)):
                progress(done, len(paths))
    return sizes, unreadable


# ---- judging

def _pair_errors(source: PairFolder, sizes: dict[Path, tuple[int, int]]) -> list[str]:
    if source.layout == 'pairs':
        wrong = []
        for path, size in sizes.items():
            try:
                check_side_by_side(path, size)
            except ValueError as error:
                wrong.append(str(error))
        return wrong
    odd = [f'{item.a.stem}: {_times(sizes[item.a])} px and {_times(sizes[item.b])} px' for item in source.train + source.test
           if item.b and item.a in sizes and item.b in sizes and not same_aspect(sizes[item.a], sizes[item.b])]
    return [f'{len(odd)} pairs of different aspect, first {odd[0]}: expected the same scene in the same frame'] if odd else []


def _times(size: tuple[int, int]) -> str:
    return f'{size[0]} x {size[1]}'


def _label_warnings(source: AttributeFolder) -> list[str]:
    warnings = []
    n = len(source.paths)
    held_out = source.labels[n - (source.n_test or n // 5):]
    for k, name in enumerate(source.names):
        share = source.labels[:, k].mean()
        if share < RARE or share > 1 - RARE:
            warnings.append(f'{name} is 1 for {share:.2%} of the pictures: expected {RARE:.0%} to {1 - RARE:.0%}; leave it out')
        elif len(held_out) >= 20 and held_out[:, k].min() == held_out[:, k].max():
            warnings.append(f'{name} is {held_out[0, k]} in all of the last {len(held_out)} pictures, which are held out: shuffle the rows')
    if source.unlabelled:
        warnings.append(f'{len(source.unlabelled)} pictures have no label row and are not used')
    return warnings


def _look_at_masks(source: AttributeFolder, unreadable: list[str]) -> tuple[Masks, list[str]]:
    """Reads masks for their values; those that cannot be read join `unreadable`."""
    assert source.masks
    pairs = _spread(list(zip(source.paths, source.masks, strict=True)), MASKS_READ)
    values = np.zeros(256, np.int64)
    warnings, read, colour, odd = [], 0, 0, []
    for path, mask_path in pairs:
        try:
            mask, size = read_image(mask_path), shown_size(path)
        except ValueError as error:
            if one_line(error) not in unreadable:
                unreadable.append(one_line(error))
            continue
        read += 1
        if not same_aspect(size, mask.size):
            odd.append(f'{mask_path.name} is {_times(mask.size)} px, its picture {_times(size)} px')
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


def _parse_errors(source: AttributeFolder) -> list[str]:
    """A line for every mask (of those that are looked at) from which no parser could learn: its size, its mode, its ids."""
    # Imported here: other layouts need no torch.
    from retouch.data.parsing import IDS, read_mask

    assert source.masks
    errors = []
    for path, mask_path in _spread(list(zip(source.paths, source.masks, strict=True)), MASKS_READ):
        try:
            read_mask(mask_path, path, 1, len(IDS['celebamask']))
        except ValueError as error:
            errors.append(one_line(error))
    return errors


# ---- going on

def _repair(root: Path, unreadable: list[str]) -> str:
    what = 'replace or remove the unreadable files (and their label rows)' if unreadable else 'repair the errors above'
    return f'{what}, then: retouch data check {shlex.quote(str(root))}'


def _next(root: Path, source: AttributeFolder | DomainFolder | PairFolder, by_side: list[tuple[int, int]],
          balance: dict[str, float]) -> str:
    """A training command that fits the set: its size, its labels."""
    side = min(by_side[0]) if by_side else 256
    words = ['retouch', 'train']
    if isinstance(source, AttributeFolder) and source.exclusive:
        words += ['stargan.rafd', '--data', str(root), *_size(side, 128)]
    elif isinstance(source, AttributeFolder) and source.names:
        words += ['stargan.paper', '--data', str(root), *_size(side, 128)]
        if by_side and {by_side[0], by_side[-1]} != {(178, 218)}:
            words += ['--data.crop', 'None']                 # the recipe's crop is that of CelebA's aligned pictures
        if not set(THIRTEEN) <= set(source.names):
            useful = [name for name, share in balance.items() if RARE <= share <= 1 - RARE] or list(source.names)
            words += ['--data.attributes', ','.join(useful)]
    elif isinstance(source, DomainFolder):
        words += ['cyclegan.paper', '--data', str(root), *_size(side, 256, load=True)]
    else:
        recipe = 'pix2pix.paper' if isinstance(source, PairFolder) else 'parser.celebamask'
        if isinstance(source, PairFolder) and source.layout == 'pairs':
            side = min(h for _, h in by_side) if by_side else 256
        words += [recipe, '--data', str(root), *(_size(side, 256, load=True) if isinstance(source, PairFolder) else _size(side, 128))]
    return shlex.join(words)


def _size(side: int, usual: int, load: bool = False) -> list[str]:
    """Options for pictures smaller than a recipe's usual size."""
    if side >= usual:
        return []
    size = next((s for s in (128, 64) if s <= side), 32)
    return ['--data.size', str(size)] + (['--data.load-size', str(round(size * 286 / 256))] if load else [])
