"""What is in a folder of pictures, and what is wrong with it, before anything is trained on it."""
from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from retouch.data.cache import cores
from retouch.data.frame import same_aspect
from retouch.data.images import frames_of, opened, to_pixels, upright
from retouch.data.layouts import (
    CELEBA_PLACES,
    LAYOUTS,
    celeba_places,
    check_side_by_side,
    existing_folder,
    images_under,
    recognise,
    tables_in,
)
from retouch.data.mask_check import Masks, look_at_masks, parse_errors, spread, times
from retouch.data.sources import (
    AttributeFolder,
    DomainFolder,
    PairFolder,
    read_folder,
)
from retouch.data.unused import Unused, find_unused
from retouch.errors import one_line
from retouch.toyfaces import THIRTEEN

RARE = 0.01                  # a label this rare, or this common, teaches little
SIZES_LISTED = 12
FEWEST_SCORED = 2            # held-out pictures without which nothing can be scored


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
    unused: list[Unused]                    # what else is in the folder, by reason
    convention: str                         # how labels are written: '-1/1', '0/1', 'folders', 'none'
    balance: dict[str, float]               # label -> fraction of pictures with 1
    masks: Masks | None
    errors: list[str]                       # training would refuse the set for these
    warnings: list[str]
    ok: bool                                # no errors and nothing unreadable; what is left out is in `unlabelled` and `unused`
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
        source = read_folder(root, layout)
    except ValueError as error:
        errors.append(one_line(error))
    parts: dict[str, Sequence[Path]] = {_name(root, folder): pictures for folder, pictures in images_under(root).items()}
    if source:
        parts = parts_of(source)
    paths = [path for pictures in parts.values() for path in pictures]
    chosen = spread(paths, limit)
    sizes, unreadable, decided = _look(chosen, decode, progress)
    unused = find_unused(root, layout, _used(root, source, paths))
    warnings: list[str] = list(source.notes) if isinstance(source, AttributeFolder) else []
    warnings += [f'{n} of {len(sizes)} pictures: {what}' for what, n in decided.most_common()]
    if isinstance(source, PairFolder):
        errors += _pair_errors(source, sizes)
    balance, masks = {}, None
    if isinstance(source, AttributeFolder):
        balance = {name: round(float(value), 4) for name, value in zip(source.names, source.labels.mean(0), strict=True)}
        warnings += _label_warnings(source)
        if source.masks:
            masks, found = look_at_masks(source, unreadable)
            warnings += found
            errors += [line for line in parse_errors(source) if line not in unreadable] if layout == 'parsing' else []
    if isinstance(source, DomainFolder | PairFolder):
        test = (source.test_a and source.test_b) if isinstance(source, DomainFolder) else source.test
        if not test:
            warnings.append('no test part: nothing to score a model on; add ' + ('testA/ and testB/' if layout == 'domains' else 'test/'))
    by_side = sorted(sizes.values(), key=lambda size: (min(size), max(size)))
    counted = Counter(f'{w} x {h}' for w, h in sizes.values())
    if len(counted) > 1:
        span = f'from {times(by_side[0])} to {times(by_side[-1])} px'
        how = 'is cut to its centre, then resized' if isinstance(source, AttributeFolder) else 'is resized whole, whatever its aspect'
        warnings.append(f'{len(counted)} sizes, {span}: each picture {how}')
    warnings += _few(source)
    listed = dict(counted.most_common(SIZES_LISTED))
    if rest := len(sizes) - sum(listed.values()):
        listed['other'] = rest
    return Report(
        folder=str(root), layout=layout, description=LAYOUTS[layout], counts=_counts(source, parts), sizes=listed,
        smallest=by_side[0] if by_side else None, largest=by_side[-1] if by_side else None, decoded=len(chosen), unreadable=unreadable,
        unused=unused, unlabelled=[str(p) for p in source.unlabelled] if isinstance(source, AttributeFolder) else [],
        convention=source.convention if isinstance(source, AttributeFolder) else 'none', balance=balance, masks=masks,
        errors=errors, warnings=warnings, ok=not errors and not unreadable,
        next=_next(root, source, by_side, balance) if source and not errors and not unreadable else _repair(root, unreadable))


# ---- reading

def _used(root: Path, source: AttributeFolder | DomainFolder | PairFolder | None, pictures: Sequence[Path]) -> list[Path]:
    """The files that training or scoring takes, or that are named as pictures without a label."""
    if source is None:                                           # nothing is known but what is a picture and what holds labels
        return [*pictures, *tables_in(root), *(celeba_places(root, name)[1] for name in CELEBA_PLACES)]
    if isinstance(source, PairFolder) and source.test is not source.val:
        return [path for item in source.train + source.test for path in (item.a, item.b) if path]
    if not isinstance(source, AttributeFolder):
        return list(pictures)
    masks = [path for mask in source.masks or () for path in (mask if isinstance(mask, tuple) else (mask,))]
    return [*source.paths, *source.unlabelled, *masks, *([source.table] if source.table else [])]


def _name(root: Path, folder: Path) -> str:
    return str(folder.relative_to(root)) if folder != root else root.name


def parts_of(source: AttributeFolder | DomainFolder | PairFolder) -> dict[str, Sequence[Path]]:
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


def _look(paths: Sequence[Path], decode: bool, progress: Callable[[int, int], None] | None,
          ) -> tuple[dict[Path, tuple[int, int]], list[str], Counter[str]]:
    """Size (width, height) px, orientation applied, of every picture that can be read, a line for each that cannot, and what had to be
    decided for how many of them: frames that are left out, depth, colour profiles."""

    def look(path: Path) -> tuple[tuple[int, int], list[str]] | str:
        try:
            with opened(path) as picture:
                decided = ['have several frames or pages: the first alone is used'] if frames_of(picture) > 1 else []
                if not decode:
                    return picture.size, decided
                picture.load()
                turned = upright(picture) if picture.getexif().get(0x0112, 1) != 1 else picture
            notes = to_pixels(turned).notes                      # what it refuses is not damaged
            return turned.size, decided + [note for note in notes if not note.startswith(f'the {turned.mode} picture')]
        except ValueError as error:
            return one_line(error if str(error).startswith(str(path)) else ValueError(f'{path}: {error}'))

    sizes, unreadable, decided = {}, [], Counter[str]()
    with ThreadPoolExecutor(cores()) as pool:
        for done, (path, found) in enumerate(zip(paths, pool.map(look, paths), strict=True), 1):
            if isinstance(found, str):
                unreadable.append(found)
            else:
                sizes[path] = found[0]
                decided.update(found[1])
            if progress and (done % 50 == 0 or done == len(paths)):
                progress(done, len(paths))
    return sizes, unreadable, decided


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
    odd = [f'{item.a.stem}: {times(sizes[item.a])} px and {times(sizes[item.b])} px' for item in source.train + source.test
           if item.b and item.a in sizes and item.b in sizes and not same_aspect(sizes[item.a], sizes[item.b])]
    return [f'{len(odd)} pairs of different aspect, first {odd[0]}: expected the same scene in the same frame'] if odd else []


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


def _few(source: AttributeFolder | DomainFolder | PairFolder | None) -> list[str]:
    """A warning where a set can be trained on and not scored."""
    if isinstance(source, AttributeFolder) and source.layout != 'parsing':
        held_out, n = source.n_test or len(source.paths) // 5, len(source.paths) - source.n_test
    elif isinstance(source, PairFolder):
        held_out, n = len(source.test), len(source.train) + len(source.test)
    else:                                                        # of domains, a test part or none at all
        return []
    if held_out >= FEWEST_SCORED or (isinstance(source, PairFolder) and not held_out):
        return []
    whole = f'{held_out} in the test part' if getattr(source, 'n_test', 0) or getattr(source, 'layout', '') == 'pairs' else (
        f'a fifth is held out, which of {n} is {held_out or "none"}')
    return [f'{whole}: `retouch evaluate` needs at least {FEWEST_SCORED} held-out pictures; expected {5 * FEWEST_SCORED} pictures or '
            'more, or a test part']


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
