"""Folders into lists of files and labels; nothing is decoded here.

A layout is recognised by what a folder holds, never by its name. What does not fit exactly one layout is refused: the message names the
nearest layouts and what they miss.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retouch.data.frame import same_aspect
from retouch.data.images import KINDS, shown_size
from retouch.data.label_files import (
    Row,
    base_of,
    choose_columns,
    is_by_address,
    present_paths,
    read_celeba,
    read_table,
    rows_to_labels,
)
from retouch.data.layouts import (
    LAYOUTS,
    PARTS,
    RAFD_NAME,
    celeba_places,
    class_folders,
    existing_folder,
    images_in,
    images_under,
    recognise,
    tables_in,
)
from retouch.errors import UnknownName

Mask = Path | tuple[Path, ...]             # one file, or one for each part of a face
DERIVED: dict[str, dict[str, int]] = {'Facial_Hair': {'No_Beard': 0, 'Goatee': 1, 'Mustache': 1}}
"""Attributes that a file may lack and that follow from its own: 1 where any of these has this value."""
PROFILES = ('000', '180')    # RaFD's angles at which half a face is seen: StarGAN's and AGGAN's 4,824 pictures are of the other three
HELD_OUT_OF_TWO = 200        # at most so many pictures (and a fifth) are held out where a set has no test part on disk


@dataclass(frozen=True, slots=True)
class AttributeFolder:
    """Labelled pictures."""

    layout: str                             # a key of LAYOUTS
    root: Path
    paths: tuple[Path, ...]
    labels: np.ndarray                      # [N,K] uint8 in {0,1}
    names: tuple[str, ...]                  # K column names
    masks: tuple[Mask, ...] | None          # one per picture
    exclusive: bool                         # exactly one 1 in each row (class folders)
    n_test: int = 0                         # so many last pictures are a test part on disk; 0: the set has none
    unlabelled: tuple[Path, ...] = ()       # pictures on disk without a label row
    convention: str = '0/1'                 # how the file writes labels: '-1/1', '0/1', 'folders' or 'none'
    notes: tuple[str, ...] = ()             # what is odd but no error
    table: Path | None = None               # the file the labels come from


@dataclass(frozen=True, slots=True)
class DomainFolder:
    """Two unpaired sets; the test parts are empty where the set has none."""

    layout: str
    root: Path
    train_a: tuple[Path, ...]
    train_b: tuple[Path, ...]
    test_a: tuple[Path, ...]
    test_b: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class PairItem:
    """One aligned pair: two files, or one side-by-side file with A left and B right (then b is None)."""

    a: Path
    b: Path | None


@dataclass(frozen=True, slots=True)
class PairFolder:
    """Aligned pairs. `test` is val/ where there is no test/, and empty where there is neither."""

    layout: str
    root: Path
    train: tuple[PairItem, ...]
    test: tuple[PairItem, ...]
    val: tuple[PairItem, ...] = ()


def check_same_frame(items: Sequence[PairItem]) -> None:
    """ValueError where the two files of a pair are of different shape, and so not of one scene in one frame."""
    for item in items:
        if item.b is None:
            continue
        a, b = shown_size(item.a), shown_size(item.b)
        if not same_aspect(a, b):
            raise ValueError(f'{item.a} is {a[0]} x {a[1]} px, its partner {item.b} {b[0]} x {b[1]} px: expected the same scene in the '
                             'same frame; crop one of them, `retouch data check` lists all')


# ---- attributes

def read_attribute_folder(root: str | os.PathLike[str], attributes: Sequence[str] | None = None,
                          masks: str | os.PathLike[str] | None = None) -> AttributeFolder:
    """Pictures and labels of a CelebA-like folder, a table, class folders, or the folders of two domains as classes A and B.

    Args:
        root: the folder.
        attributes: columns to read, in this order; None: all. Of class folders only the pictures of these classes are kept. `Facial_Hair`
            may be read where there is none: beard, goatee or moustache.
        masks: folder with one mask per picture, equal stem; None: `masks/` in the folder where there is one.

    Raises:
        ValueError: one line with file, line and fix for anything that does not fit.
    """
    root = existing_folder(root)
    layout = recognise(root)
    if layout == 'parsing':
        raise ValueError(f'{root} holds pictures and masks but no labels: expected a label file, e.g. labels.csv with file,Smiling,…; '
                         'add one beside images/')
    if layout == 'domains':
        return domains_to_classes(read_domain_folder(root), attributes)
    if layout not in ('celeba', 'celeba_hq', 'table', 'classes', 'rafd'):
        raise ValueError(f'{root} is laid out as {layout} ({LAYOUTS[layout]}): expected pictures with attributes (celeba, celeba_hq, '
                         'table, classes or domains); choose a recipe for its kind, see `retouch list`')
    if attributes is not None and len(set(attributes)) < len(attributes):
        raise ValueError(f'attributes {", ".join(attributes)}: expected each name once')
    if layout == 'classes':
        return _read_classes(root, attributes, masks)
    if layout == 'rafd':
        return _read_rafd(root, attributes)
    notes: list[str] = []
    if layout == 'table':
        table = tables_in(root)[0]
        names, rows = _with_derived(lambda columns: read_table(table, columns), attributes)
        groups = {folder: p for folder, p in images_under(root).items() if folder != root / 'masks'}
        base, present = base_of(root, table, rows, groups), {str(p) for pictures in groups.values() for p in pictures}
    else:
        base, table = celeba_places(root, layout)
        names, rows = _with_derived(lambda columns: read_celeba(table, columns, notes), attributes)
        present = {str(p) for p in images_in(base)}
    if rows and layout == 'table' and is_by_address(table):
        there = [row for row in rows if str(Path(os.path.normpath(base / row[1]))) in present]
        if len(there) < len(rows):
            notes.append(f'{len(rows) - len(there)} of {len(rows)} addresses in {table.name} have no picture here and are not used')
        rows = there
    labels, convention = rows_to_labels(table, names, rows)
    paths = present_paths(base, table, rows, present)
    names, labels = _derive(names, labels, attributes)
    unlabelled = tuple(Path(p) for p in sorted(present - {str(p) for p in paths}))
    return AttributeFolder(layout, root, paths, labels, names, find_masks(root, paths, masks), exclusive=False, unlabelled=unlabelled,
                           convention=convention, notes=tuple(notes), table=table)


def _with_derived(read: Callable[[Sequence[str] | None], tuple[tuple[str, ...], list[Row]]],
                  attributes: Sequence[str] | None) -> tuple[tuple[str, ...], list[Row]]:
    """What a label file says of some attributes, or of those that they follow from where it does not have them."""
    try:
        return read(attributes)
    except UnknownName:
        if not set(attributes or ()) & set(DERIVED):
            raise
        return read(tuple(dict.fromkeys(part for name in attributes or () for part in DERIVED.get(name, {name: 1}))))


def _derive(names: tuple[str, ...], labels: np.ndarray, attributes: Sequence[str] | None) -> tuple[tuple[str, ...], np.ndarray]:
    """The wanted columns of labels uint8 [N,K], of which some may follow from others."""
    if attributes is None or tuple(attributes) == names:
        return names, labels
    columns = [labels[:, names.index(name)] if name in names else
               np.any([labels[:, names.index(part)] == value for part, value in DERIVED[name].items()], 0) for name in attributes]
    return tuple(attributes), np.stack(columns, 1).astype(np.uint8)


def _read_rafd(root: Path, attributes: Sequence[str] | None) -> AttributeFolder:
    every = [(path, match) for path in images_in(root) if (match := RAFD_NAME.fullmatch(path.stem))]
    seen = [(path, match['expression'].lower()) for path, match in every if match['angle'] not in PROFILES]
    names, _ = choose_columns(root, sorted({expression for _, expression in seen}), attributes)
    if len(names) < 2:
        raise ValueError(f'{root} shows {len(names)} expressions: expected at least 2 to choose from')
    kept = [(path, expression) for path, expression in seen if expression in names]
    labels = np.array([[int(expression == name) for name in names] for _, expression in kept], np.uint8)
    notes = (f'{len(every) - len(seen)} of {len(every)} pictures are in profile and are not used',) if len(seen) < len(every) else ()
    return AttributeFolder('rafd', root, tuple(path for path, _ in kept), labels, names, None, True, convention='folders', notes=notes)


def read_parsing_folder(root: str | os.PathLike[str]) -> AttributeFolder:
    """Pictures in images/ and one mask each in masks/, or CelebAMask-HQ as it is handed out, a mask for each part; labels are [N,0].

    Raises:
        ValueError: no pictures, or pictures without a mask.
    """
    root = existing_folder(root)
    folder = root / 'images' if images_in(root / 'images') or not (root / PARTS).is_dir() else celeba_places(root, 'celeba_hq')[0]
    paths = images_in(folder)
    if not paths:
        raise ValueError(f'{folder} holds no pictures: expected images/ and masks/ with equal names, or CelebA-HQ-img/ and {PARTS}/')
    masks = find_masks(root, paths, root / 'masks' if folder.name == 'images' else None)
    return AttributeFolder('parsing', root, paths, np.zeros((len(paths), 0), np.uint8), (), masks, False, convention='none')


def find_masks(root: Path, paths: Sequence[Path], masks: str | os.PathLike[str] | None = None) -> tuple[Mask, ...] | None:
    """The mask of each picture by its stem, or those of its parts as in CelebAMask-HQ; None where no folder is given and there is none.

    Raises:
        ValueError: a picture without a mask.
    """
    folder = existing_folder(masks) if masks is not None else root / 'masks'
    by_stem: dict[str, Mask] = {p.stem: p for p in images_in(folder)}
    stems = [p.stem for p in paths]
    if masks is None and not by_stem and (root / PARTS).is_dir():
        folder = root / PARTS
        by_stem, stems = _part_masks(folder), [stem.lstrip('0') or '0' for stem in stems]
    elif masks is None and not by_stem:
        return None
    without = [p for p, stem in zip(paths, stems, strict=True) if stem not in by_stem]
    if without:
        wanted = f'{without[0].stem}.png' if folder.name != PARTS else f'{without[0].stem:0>5}_skin.png and so on'
        raise ValueError(f'{len(without)} of {len(paths)} pictures have no mask in {folder}, first {without[0].name}: expected '
                         f'{wanted}; add the masks or move that folder elsewhere')
    return tuple(by_stem[stem] for stem in stems)


def _part_masks(folder: Path) -> dict[str, Mask]:
    """NNNNN_part.png at or under a folder: the number without leading zeros -> its parts, by name."""
    found: dict[str, tuple[Path, ...]] = {}
    for pictures in images_under(folder).values():
        for path in pictures:
            number, _, part = path.stem.partition('_')
            if part:
                key = number.lstrip('0') or '0'
                found[key] = (*found.get(key, ()), path)
    return {key: tuple(sorted(parts)) for key, parts in found.items()}


def _read_classes(root: Path, attributes: Sequence[str] | None, masks: str | os.PathLike[str] | None) -> AttributeFolder:
    train = class_folders(root / 'train')
    folders = train or class_folders(root)
    names, at = choose_columns(root, [p.name for p in folders], attributes)
    if len(names) < 2:
        raise ValueError(f'class {names[0]!r} alone: expected at least 2 of {", ".join(p.name for p in folders)}')
    test = {p.name: images_in(p) for p in class_folders(root / 'test')} if train else {}
    for name in test:
        if attributes is None and name not in names:
            raise ValueError(f'{root / "test" / name}: train/ has no such class: expected {", ".join(names)}; remove or rename it')
    paths, labels, n_test = _one_hot([images_in(folders[i]) for i in at], [test.get(name, ()) for name in names])
    return AttributeFolder('classes', root, paths, labels, names, find_masks(root, paths, masks), True, n_test, convention='folders')


def domains_to_classes(folder: DomainFolder, attributes: Sequence[str] | None = None) -> AttributeFolder:
    """Two domains as the exclusive classes A and B, for a classifier that is to tell them apart."""
    names, at = choose_columns(folder.root, ('A', 'B'), attributes)
    if len(names) < 2:
        raise ValueError(f'domain {names[0]} alone: expected A,B')
    train, test = (folder.train_a, folder.train_b), (folder.test_a, folder.test_b)
    paths, labels, n_test = _one_hot([train[i] for i in at], [test[i] for i in at])
    return AttributeFolder('domains', folder.root, paths, labels, names, None, True, n_test, convention='folders')


def _one_hot(train: list[tuple[Path, ...]], test: list[tuple[Path, ...]]) -> tuple[tuple[Path, ...], np.ndarray, int]:
    """Paths, labels uint8 [N,K] and how many of the last are the test part, from the pictures of each of K classes."""
    last = _interleaved(test)
    both = _interleaved(train) + last
    labels = np.zeros((len(both), len(train)), np.uint8)
    labels[np.arange(len(both)), [k for k, _ in both]] = 1
    return tuple(path for _, path in both), labels, len(last)


def _interleaved(groups: Sequence[tuple[Path, ...]]) -> list[tuple[int, Path]]:
    """(class, path) in an order in which every stretch holds the classes in proportion, so that a held-out tail is no single class."""
    placed = [((i + 0.5) / len(paths), k, path) for k, paths in enumerate(groups) for i, path in enumerate(paths)]
    return [(k, path) for _, k, path in sorted(placed)]


# ---- domains and pairs

def _check_two(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> None:
    if os.path.realpath(Path(a).expanduser()) == os.path.realpath(Path(b).expanduser()):
        raise ValueError(f'{a} and {b} are one folder: expected one of domain A and another of domain B; correct --data A,B')


def _some_images(folder: str | os.PathLike[str], what: str) -> tuple[Path, ...]:
    folder = existing_folder(folder)
    images = images_in(folder)
    if not images:
        raise ValueError(f'{folder} holds no pictures: expected {what} ({KINDS} files directly in it)')
    return images


def _tail(n: int) -> int:
    """How many last pictures of n are held out where a set has no test part."""
    return min(HELD_OUT_OF_TWO, n // 5)


def _split(items: tuple, n_test: int) -> tuple[tuple, tuple]:
    return items[:len(items) - n_test], items[len(items) - n_test:]


def read_domain_folder(root_or_a: str | os.PathLike[str], b: str | os.PathLike[str] | None = None, whole: bool = False) -> DomainFolder:
    """Two unpaired domains: a folder with trainA, trainB and perhaps testA, testB, or two folders of pictures.

    Of two folders the last fifth of each (at most 200 pictures) is the test part; all of them where they are to be scored `whole`. Raises
    ValueError for anything that does not fit.
    """
    if b is not None:
        images_a, images_b = _some_images(root_or_a, 'the pictures of domain A'), _some_images(b, 'the pictures of domain B')
        _check_two(root_or_a, b)
        (train_a, test_a), (train_b, test_b) = (_split(images, len(images) if whole else _tail(len(images)))
                                                for images in (images_a, images_b))
        return DomainFolder('domains', Path(root_or_a), train_a, train_b, test_a, test_b)
    root = existing_folder(root_or_a)
    if (layout := recognise(root)) != 'domains':
        raise ValueError(f'{root} is laid out as {layout} ({LAYOUTS[layout]}): expected {LAYOUTS["domains"]}, or two folders as A,B')
    parts = [_some_images(root / name, f'the pictures of domain {name[-1]}') if (root / name).is_dir() or name.startswith('train') else ()
             for name in ('trainA', 'trainB', 'testA', 'testB')]
    return DomainFolder('domains', root, *parts)


def read_pair_folder(root_or_a: str | os.PathLike[str], b: str | os.PathLike[str] | None = None, whole: bool = False) -> PairFolder:
    """Aligned pairs: train/ [val/] test/ of side-by-side files, A/ and B/ with equal names, or two such folders.

    Of two folders the last fifth (at most 200 pairs) is the test part; all of them where they are to be scored `whole`, for which
    side-by-side files in test/ alone will do. That side-by-side files are twice as wide as high is looked up for
    the first few here, and insisted on for each when they are decoded. Raises ValueError for anything that does not fit.
    """
    if b is not None:
        return _two_folders(Path(root_or_a), Path(root_or_a), Path(b), whole)
    root = existing_folder(root_or_a)
    if whole and not images_in(root / 'train') and (alone := images_in(root / 'test')):
        return PairFolder('pairs', root, (), tuple(PairItem(path, None) for path in alone))
    layout = recognise(root)
    if layout == 'pairs_ab':
        return _two_folders(root, root / 'A', root / 'B', whole)
    if layout != 'pairs':
        raise ValueError(f'{root} is laid out as {layout} ({LAYOUTS[layout]}): expected {LAYOUTS["pairs"]}, or A/ and B/ with equal names')
    train, val, test = (tuple(PairItem(path, None) for path in images_in(root / name)) for name in ('train', 'val', 'test'))
    return PairFolder('pairs', root, train, test or val, val)


def _two_folders(root: Path, a: Path, b: Path, whole: bool = False) -> PairFolder:
    images_a, images_b = _some_images(a, 'the pictures of A'), _some_images(b, 'the pictures of B')
    _check_two(a, b)
    stems_a, stems_b = ({p.stem: p for p in images} for images in (images_a, images_b))
    only_a, only_b = stems_a.keys() - stems_b.keys(), stems_b.keys() - stems_a.keys()
    if only_a or only_b or len(images_a) != len(stems_a) or len(images_b) != len(stems_b):
        twice = [p.name for images, stems in ((images_a, stems_a), (images_b, stems_b)) for p in images if stems[p.stem] != p]
        odd = f'{min(only_a)} is only in {a}' if only_a else f'{min(only_b)} is only in {b}' if only_b else f'{twice[0]} has a namesake'
        raise ValueError(f'{len(images_a)} pictures in {a}, {len(images_b)} in {b}, {odd}: expected equal names in both; '
                         'remove what has no partner, or train on them as two domains')
    train, test = _split(tuple(PairItem(stems_a[s], stems_b[s]) for s in sorted(stems_a)), len(images_a) if whole else _tail(len(images_a)))
    return PairFolder('pairs_ab', root, train, test)


def read_folder(root: Path, layout: str) -> AttributeFolder | DomainFolder | PairFolder:
    """What a folder of a layout holds; see the readers above."""
    if layout == 'domains':
        return read_domain_folder(root)
    if layout in ('pairs', 'pairs_ab'):
        return read_pair_folder(root)
    return read_parsing_folder(root) if layout == 'parsing' else read_attribute_folder(root)
