"""Folders into lists of files and labels; nothing is decoded here.

A layout is recognised by what a folder holds, never by its name. What does not fit exactly one layout is refused: the message names the
nearest layouts and what they miss.
"""
from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retouch.data.images import IMAGE_SUFFIXES, shown_size
from retouch.errors import unknown

LAYOUTS = {
    'celeba': 'img_align_celeba/ + list_attr_celeba.txt',
    'celeba_hq': 'CelebA-HQ-img/ + CelebAMask-HQ-attribute-anno.txt',
    'table': 'pictures + one .csv, .tsv or .jsonl of file names and 0/1 or -1/1 columns',
    'classes': 'two or more folders of pictures, one per class (or train/<class>/ and test/<class>/)',
    'parsing': 'images/ + masks/ with equal names, no labels',
    'domains': 'trainA/ trainB/ [testA/ testB/]',
    'pairs': 'train/ [val/] test/ of side-by-side files, width = 2 x height, A left and B right',
    'pairs_ab': 'A/ and B/ with equal names',
}
CELEBA_FILES = {'celeba': ('img_align_celeba', 'list_attr_celeba.txt'), 'celeba_hq': ('CelebA-HQ-img', 'CelebAMask-HQ-attribute-anno.txt')}
TABLE_SUFFIXES = ('.csv', '.tsv', '.jsonl')
FILE_COLUMNS = ('file', 'image', 'filename', 'image_id', 'path', 'file_name')
# CelebA is also handed round as four tables; only list_attr_celeba.csv holds labels.
NOT_LABELS = {'list_bbox_celeba', 'list_eval_partition', 'list_landmarks_align_celeba', 'list_landmarks_celeba'}
# Names with a meaning of their own are no classes.
RESERVED = {'img_align_celeba', 'celeba-hq-img', 'images', 'masks', 'a', 'b', 'train', 'val', 'valid', 'test',
            'traina', 'trainb', 'testa', 'testb', 'vala', 'valb', '__macosx'}
HELD_OUT_OF_TWO = 200        # at most so many pictures (and a fifth) are held out where a set has no test part on disk


@dataclass(frozen=True, slots=True)
class AttributeFolder:
    """Labelled pictures."""

    layout: str                             # a key of LAYOUTS
    root: Path
    paths: tuple[Path, ...]
    labels: np.ndarray                      # [N,K] uint8 in {0,1}
    names: tuple[str, ...]                  # K column names
    masks: tuple[Path, ...] | None          # one per picture
    exclusive: bool                         # exactly one 1 in each row (class folders)
    n_test: int = 0                         # so many last pictures are a test part on disk; 0: the set has none
    unlabelled: tuple[Path, ...] = ()       # pictures on disk without a label row
    convention: str = '0/1'                 # how the file writes labels: '-1/1', '0/1', 'folders' or 'none'
    notes: tuple[str, ...] = ()             # what is odd but no error


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


# ---- what a folder holds

def images_in(folder: Path) -> tuple[Path, ...]:
    """The pictures directly in a folder, by name; none where there is no such folder. Hidden files are no pictures."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.name.lower().endswith(IMAGE_SUFFIXES) and not e.name.startswith('.') and e.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(folder / name for name in sorted(names))


def folders_in(folder: Path) -> list[Path]:
    """The folders directly in a folder, by name, without hidden ones."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if not p.name.startswith('.') and p.name != '__MACOSX' and p.is_dir())


def images_under(folder: Path) -> dict[Path, tuple[Path, ...]]:
    """Every folder at or under `folder` with pictures of its own -> those pictures."""
    found = {}
    for here, folders, _ in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith('.') and name != '__MACOSX')
        if pictures := images_in(Path(here)):
            found[Path(here)] = pictures
    return found


def existing_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder as a Path; ValueError where it does not exist or is a file."""
    folder = Path(folder).expanduser()
    if not folder.exists():
        raise ValueError(f'no folder {str(folder)!r}: expected an existing folder of pictures; check the path')
    if not folder.is_dir():
        raise ValueError(f'{folder} is a file: expected a folder of pictures; give the folder it lies in')
    return folder


def tables_in(root: Path) -> list[Path]:
    """Label tables directly in a folder."""
    return sorted(p for p in root.iterdir()
                  if p.suffix.lower() in TABLE_SUFFIXES and not p.name.startswith('.') and p.stem not in NOT_LABELS and p.is_file())


def class_folders(root: Path) -> list[Path]:
    """The folders directly in `root` that can be classes: with pictures, and with a name that means nothing else."""
    return [p for p in folders_in(root) if p.name.lower() not in RESERVED and images_in(p)]


# ---- recognising a layout

def recognise(root: str | os.PathLike[str]) -> str:
    """The layout of a folder, a key of LAYOUTS.

    Raises:
        ValueError: no such folder, no known layout (the nearest ones are named with what they miss), or more than one.
    """
    root = existing_folder(root)
    found: list[str] = []                   # layouts that are whole
    missing: dict[str, str] = {}            # layouts that are begun, and what they miss
    _look_for_label_files(root, found, missing)
    has_labels = bool(found or missing)
    _look_for_domains(root, found, missing)
    _look_for_pairs(root, found, missing)
    if not has_labels:                      # with a label file, folders of pictures are only folders of pictures
        images, masks = images_in(root / 'images'), images_in(root / 'masks')
        if images and masks:
            found.append('parsing')
        elif images or masks:
            missing['parsing'] = f'no pictures in {"masks" if images else "images"}/'
        _look_for_classes(root, found, missing)
    if len(found) > 1:
        raise ValueError(f'{root} is ambiguous: it fits {" and ".join(f"{name} ({LAYOUTS[name]})" for name in found)}; '
                         'keep one of them in this folder')
    if not found:
        raise ValueError(_no_layout(root, missing))
    return found[0]


def _look_for_label_files(root: Path, found: list[str], missing: dict[str, str]) -> None:
    files = []
    for name, (folder, labels) in CELEBA_FILES.items():
        has_images, has_labels = bool(images_in(root / folder)), (root / labels).is_file()
        if has_labels:
            files.append(root / labels)
        if has_images and has_labels:
            found.append(name)
        elif has_labels:
            missing[name] = f'no pictures in {folder}/'
        elif has_images and not tables_in(root):
            missing[name] = f'no {labels}'
    tables = tables_in(root)
    files += tables
    if len(files) > 1:
        raise ValueError(f'{root} is ambiguous: label files {", ".join(p.name for p in files)}; expected one; move the others elsewhere')
    if tables:
        if images_under(root):
            found.append('table')
        else:
            missing['table'] = f'no pictures beside {tables[0].name}'


def _look_for_domains(root: Path, found: list[str], missing: dict[str, str]) -> None:
    folders = [name for name in ('trainA', 'trainB', 'testA', 'testB') if (root / name).is_dir()]
    if 'trainA' in folders and 'trainB' in folders:
        found.append('domains')
    elif folders:
        absent = [name for name in ('trainA', 'trainB') if name not in folders]
        missing['domains'] = f'no {" and no ".join(f"{name}/" for name in absent)}'


def _look_for_pairs(root: Path, found: list[str], missing: dict[str, str]) -> None:
    if side_by_side := images_in(root / 'train'):
        try:
            for path in side_by_side[:4]:
                check_side_by_side(path, shown_size(path))
            found.append('pairs')
        except ValueError as error:
            missing['pairs'] = str(error)
    elif not folders_in(root / 'train') and (images_in(root / 'test') or images_in(root / 'val')):
        missing['pairs'] = 'no pictures in train/'
    has_a, has_b = bool(images_in(root / 'A')), bool(images_in(root / 'B'))
    if has_a and has_b:
        found.append('pairs_ab')
    elif has_a or has_b:
        missing['pairs_ab'] = f'no pictures in {"B" if has_a else "A"}/'


def _look_for_classes(root: Path, found: list[str], missing: dict[str, str]) -> None:
    split = class_folders(root / 'train')
    classes = split or class_folders(root)
    if len(classes) > 1:
        found.append('classes')
    elif classes:
        missing['classes'] = f'only one folder with pictures, {classes[0].relative_to(root)}/: expected at least 2'
    if split and class_folders(root):
        names = ', '.join(f'{p.name}/' for p in class_folders(root)[:3])
        raise ValueError(f'{root} is ambiguous: class folders in train/ and beside it ({names}); keep one of them')


def check_side_by_side(path: Path, size: tuple[int, int]) -> None:
    """ValueError where a picture of size (width, height) px cannot be two square halves."""
    if size[0] != 2 * size[1]:
        raise ValueError(f'{path}: {size[0]} x {size[1]} px: expected width = 2 x height, A left and B right')


def same_aspect(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Equal shapes up to a pixel of rounding at the smaller size."""
    return abs(a[0] * b[1] - a[1] * b[0]) <= max(*a, *b)


def check_same_frame(items: Sequence[PairItem]) -> None:
    """ValueError where the two files of a pair are of different shape, and so not of one scene in one frame."""
    for item in items:
        if item.b is None:
            continue
        a, b = shown_size(item.a), shown_size(item.b)
        if not same_aspect(a, b):
            raise ValueError(f'{item.a} is {a[0]} x {a[1]} px, its partner {item.b} {b[0]} x {b[1]} px: expected the same scene in the '
                             'same frame; crop one of them, `retouch data check` lists all')


def _no_layout(root: Path, missing: dict[str, str]) -> str:
    if missing:
        begun = '; '.join(f'nearest is {name} ({LAYOUTS[name]}): {what}' for name, what in missing.items())
        return f'{root} is no known layout: {begun}'
    known = '; '.join(f'{name}: {what}' for name, what in LAYOUTS.items())
    if n := len(images_in(root)):
        return f'{root} holds {n} pictures and no labels: expected a table beside them (labels.csv), a folder per class, or one of: {known}'
    inner = [p.name for p in folders_in(root) if (p / 'trainA').is_dir() or any((p / f).is_file() for _, f in CELEBA_FILES.values())]
    hint = f'; did you mean {str(root / inner[0])!r}?' if inner else ''
    return f'{root} is no known layout and holds no pictures where one would have them{hint}: expected one of: {known}'


# ---- attributes

def read_attribute_folder(root: str | os.PathLike[str], attributes: Sequence[str] | None = None,
                          masks: str | os.PathLike[str] | None = None) -> AttributeFolder:
    """Pictures and labels of a CelebA-like folder, a table, class folders, or the folders of two domains as classes A and B.

    Args:
        root: the folder.
        attributes: columns to read, in this order; None: all. Of class folders only the pictures of these classes are kept.
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
    if layout not in ('celeba', 'celeba_hq', 'table', 'classes'):
        raise ValueError(f'{root} is laid out as {layout} ({LAYOUTS[layout]}): expected pictures with attributes (celeba, celeba_hq, '
                         'table, classes or domains); choose a recipe for its kind, see `retouch list`')
    if attributes is not None and len(set(attributes)) < len(attributes):
        raise ValueError(f'attributes {", ".join(attributes)}: expected each name once')
    if layout == 'classes':
        return _read_classes(root, attributes, masks)
    notes: list[str] = []
    if layout == 'table':
        table = tables_in(root)[0]
        names, rows = _table_rows(table, attributes)
        groups = {folder: p for folder, p in images_under(root).items() if folder != root / 'masks'}
        base, present = _base_of(root, table, rows, groups), {str(p) for pictures in groups.values() for p in pictures}
    else:
        base, table = (root / name for name in CELEBA_FILES[layout])
        names, rows = _celeba_rows(table, attributes, notes)
        present = {str(p) for p in images_in(base)}
    labels, convention = _binary(table, names, rows)
    paths = _present_paths(base, table, rows, present)
    unlabelled = tuple(Path(p) for p in sorted(present - {str(p) for p in paths}))
    return AttributeFolder(layout, root, paths, labels, names, find_masks(root, paths, masks), exclusive=False, unlabelled=unlabelled,
                           convention=convention, notes=tuple(notes))


def read_parsing_folder(root: str | os.PathLike[str]) -> AttributeFolder:
    """Pictures in images/ and one mask each in masks/; labels are [N,0]."""
    root = existing_folder(root)
    paths = images_in(root / 'images')
    if not paths:
        raise ValueError(f'{root / "images"} holds no pictures: expected images/ and masks/ with equal names')
    return AttributeFolder('parsing', root, paths, np.zeros((len(paths), 0), np.uint8), (), find_masks(root, paths, root / 'masks'), False,
                           convention='none')


def find_masks(root: Path, paths: Sequence[Path], masks: str | os.PathLike[str] | None = None) -> tuple[Path, ...] | None:
    """The mask of each picture by its stem; None where no folder is given and the set has no masks/. ValueError where one is missing."""
    folder = existing_folder(masks) if masks is not None else root / 'masks'
    by_stem = {p.stem: p for p in images_in(folder)}
    if masks is None and not by_stem:
        return None
    without = [p for p in paths if p.stem not in by_stem]
    if without:
        raise ValueError(f'{len(without)} of {len(paths)} pictures have no mask in {folder}, first {without[0].name}: expected '
                         f'{without[0].stem}.png; add the masks or move that folder elsewhere')
    return tuple(by_stem[p.stem] for p in paths)


Row = tuple[int, str, list[str]]            # line number, file name, values as written


def _text_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding='utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: byte {error.start} is not UTF-8: expected a text file in UTF-8; save it as such') from None


def _columns(path: Path, names: Sequence[str], attributes: Sequence[str] | None) -> tuple[tuple[str, ...], list[int]]:
    """The wanted columns among `names`, and where they stand."""
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f'{path}: column {twice!r} appears twice: expected each name once; rename one')
    for name in attributes or ():
        if name not in names:
            raise unknown('attribute', name, names)
    wanted = tuple(names if attributes is None else attributes)
    if not wanted:
        raise ValueError(f'{path}: no label columns: expected a file column and at least one of 0/1 or -1/1')
    return wanted, [list(names).index(name) for name in wanted]


def _wrong_count(path: Path, line: int, found: int, expected: int) -> ValueError:
    return ValueError(f'{path}, line {line}: {found} labels: expected {expected}, one per name in the header; correct the line')


def _celeba_rows(path: Path, attributes: Sequence[str] | None, notes: list[str]) -> tuple[tuple[str, ...], list[Row]]:
    """CelebA's format: a count, the names, then `file v1 … vK` with -1/1."""
    lines = _text_lines(path)
    if len(lines) < 3 or not lines[0].strip().isdigit():
        shown = lines[0][:40] if lines else ''
        raise ValueError(f"{path}, line 1: {shown!r}: expected CelebA's format: the number of rows, a line of names, then `file -1 1 …`")
    names = lines[1].split()
    wanted, at = _columns(path, names, attributes)
    everything = len(wanted) == len(names) and list(wanted) == names
    rows: list[Row] = []
    for number, line in enumerate(lines[2:], 3):
        if not line.strip():
            continue
        parts = line.rsplit(maxsplit=len(names))                # file names may hold spaces
        if len(parts) != len(names) + 1 or not parts[0].lower().endswith(IMAGE_SUFFIXES):
            raise _wrong_count(path, number, len(line.split()) - 1, len(names))
        rows.append((number, parts[0].strip(), parts[1:] if everything else [parts[1 + i] for i in at]))
    if int(lines[0]) != len(rows):
        notes.append(f'{path.name}, line 1 says {int(lines[0])} rows; there are {len(rows)}')
    return wanted, rows


def _table_rows(path: Path, attributes: Sequence[str] | None) -> tuple[tuple[str, ...], list[Row]]:
    """A table with a file column; columns that are not wanted may hold anything."""
    header, records = (_jsonl if path.suffix.lower() == '.jsonl' else _csv)(path)
    lowered = [name.lower() for name in header]
    file_at = next((lowered.index(name) for name in FILE_COLUMNS if name in lowered), 0)
    wanted, at = _columns(path, header[:file_at] + header[file_at + 1:], attributes)
    at = [i + (i >= file_at) for i in at]
    rows: list[Row] = []
    for number, cells in records:
        if len(cells) != len(header):
            raise _wrong_count(path, number, len(cells) - 1, len(header) - 1)
        rows.append((number, cells[file_at], [cells[i] for i in at]))
    return wanted, rows


def _csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    lines = _text_lines(path)
    first = lines[0] if lines else ''
    delimiter = '\t' if path.suffix.lower() == '.tsv' else ';' if ';' in first and ',' not in first else ','
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    records = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cell.strip() for cell in cells)]
    if len(records) < 2:
        raise ValueError(f'{path}: {len(records)} lines: expected a header (file,Smiling,…) and a row per picture')
    return records[0][1], records[1:]


def _jsonl(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    header: list[str] = []
    records = []
    for number, line in enumerate(_text_lines(path), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f'{path}, line {number}: {error.msg}: expected one JSON object per line') from None
        if not isinstance(record, dict):
            raise ValueError(f'{path}, line {number}: {type(record).__name__}: expected an object, {{"file": "a.jpg", "Smiling": 1}}')
        header = header or list(record)
        if set(record) != set(header):
            raise _wrong_count(path, number, len(record) - 1, len(header) - 1) if len(record) != len(header) else ValueError(
                f'{path}, line {number}: fields {", ".join(record)}: expected those of the first line, {", ".join(header)}')
        records.append((number, [str(int(v) if isinstance(v, bool) else v) for v in (record[name] for name in header)]))
    if not records:
        raise ValueError(f'{path}: no lines: expected a JSON object per picture')
    return header, records


_VALUES = {'1': 1, '0': 0, '-1': -1, '1.0': 1, '0.0': 0, '-1.0': -1, '+1': 1}


def _binary(path: Path, names: tuple[str, ...], rows: Sequence[Row]) -> tuple[np.ndarray, str]:
    """Rows of text -> labels uint8 [N,K] in {0,1} and the convention they were written in."""
    if not rows:
        raise ValueError(f'{path}: no rows: expected one per picture')
    zero = minus = None                     # where each convention was first seen: (line, column)
    out = np.empty((len(rows), len(names)), np.int8)
    for i, (number, _, cells) in enumerate(rows):
        try:
            values = [_VALUES[cell] for cell in cells]
        except KeyError:
            column, cell = next((n, c) for n, c in zip(names, cells, strict=True) if c not in _VALUES)
            raise ValueError(f'{path}, line {number}, column {column}: {cell!r}: expected 0 or 1 (or -1 or 1 throughout); '
                             'correct it, or choose other columns with --data.attributes') from None
        if zero is None and 0 in values:
            zero = number, names[values.index(0)]
        if minus is None and -1 in values:
            minus = number, names[values.index(-1)]
        if zero and minus:
            raise ValueError(f'{path} mixes 0 (line {zero[0]}, column {zero[1]}) and -1 (line {minus[0]}, column {minus[1]}): '
                             'expected 0/1 or -1/1 throughout; rewrite one of them')
        out[i] = values
    return (out == 1).astype(np.uint8), '-1/1' if minus else '0/1'


def _base_of(root: Path, table: Path, rows: Sequence[Row], groups: dict[Path, tuple[Path, ...]]) -> Path:
    """The folder that a table's file names are relative to: the table's own, or the only one that holds the first file named."""
    if not rows:
        return root
    present = {str(p) for pictures in groups.values() for p in pictures}
    for _, name, _ in rows[:100]:           # the first may be one of a few that are missing
        if str(root / name) in present:
            return root
        bases = [folder for folder in groups if str(folder / name) in present]
        if len(bases) > 1:
            raise ValueError(f'{table}: {name} is in {" and in ".join(f"{b.relative_to(root)}/" for b in bases[:3])}: expected one; '
                             f'write names relative to {root}')
        if bases:
            return bases[0]
    return root


def _present_paths(base: Path, table: Path, rows: Sequence[Row], present: set[str]) -> tuple[Path, ...]:
    """The file of every row. ValueError where one is missing or named twice."""
    lines: dict[str, int] = {}
    missing = []
    paths = []
    for number, name, _ in rows:
        path = Path(os.path.normpath(base / name))
        key = str(path)
        if lines.setdefault(key, number) != number:
            raise ValueError(f'{table}, line {number}: {name} has a row already, line {lines[key]}: expected one per picture; remove one')
        if key not in present and not path.is_file():          # a name may lead out of the folder
            missing.append((number, name))
        paths.append(path)
    if missing:
        raise ValueError(f'{table}, line {missing[0][0]}: no picture {missing[0][1]} in {base} ({len(missing)} of {len(rows)} rows name a '
                         'missing picture): expected a file for every row; add the pictures or remove the rows')
    return tuple(paths)


def _read_classes(root: Path, attributes: Sequence[str] | None, masks: str | os.PathLike[str] | None) -> AttributeFolder:
    train = class_folders(root / 'train')
    folders = train or class_folders(root)
    names, at = _columns(root, [p.name for p in folders], attributes)
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
    names, at = _columns(folder.root, ('A', 'B'), attributes)
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
        raise ValueError(f'{folder} holds no pictures: expected {what} ({", ".join(s[1:] for s in IMAGE_SUFFIXES)} files directly in it)')
    return images


def _tail(n: int) -> int:
    """How many last pictures of n are held out where a set has no test part."""
    return min(HELD_OUT_OF_TWO, n // 5)


def _split(items: tuple, n_test: int) -> tuple[tuple, tuple]:
    return items[:len(items) - n_test], items[len(items) - n_test:]


def read_domain_folder(root_or_a: str | os.PathLike[str], b: str | os.PathLike[str] | None = None) -> DomainFolder:
    """Two unpaired domains: a folder with trainA, trainB and perhaps testA, testB, or two folders of pictures.

    Of two folders the last fifth of each (at most 200 pictures) is the test part. Raises ValueError for anything that does not fit.
    """
    if b is not None:
        images_a, images_b = _some_images(root_or_a, 'the pictures of domain A'), _some_images(b, 'the pictures of domain B')
        _check_two(root_or_a, b)
        (train_a, test_a), (train_b, test_b) = (_split(images, _tail(len(images))) for images in (images_a, images_b))
        return DomainFolder('domains', Path(root_or_a), train_a, train_b, test_a, test_b)
    root = existing_folder(root_or_a)
    if (layout := recognise(root)) != 'domains':
        raise ValueError(f'{root} is laid out as {layout} ({LAYOUTS[layout]}): expected {LAYOUTS["domains"]}, or two folders as A,B')
    parts = [_some_images(root / name, f'the pictures of domain {name[-1]}') if (root / name).is_dir() or name.startswith('train') else ()
             for name in ('trainA', 'trainB', 'testA', 'testB')]
    return DomainFolder('domains', root, *parts)


def read_pair_folder(root_or_a: str | os.PathLike[str], b: str | os.PathLike[str] | None = None) -> PairFolder:
    """Aligned pairs: train/ [val/] test/ of side-by-side files, A/ and B/ with equal names, or two such folders.

    Of two folders the last fifth (at most 200 pairs) is the test part. That side-by-side files are twice as wide as high is looked up for
    the first few here, and insisted on for each when they are decoded. Raises ValueError for anything that does not fit.
    """
    if b is not None:
        return _two_folders(Path(root_or_a), Path(root_or_a), Path(b))
    root = existing_folder(root_or_a)
    layout = recognise(root)
    if layout == 'pairs_ab':
        return _two_folders(root, root / 'A', root / 'B')
    if layout != 'pairs':
        raise ValueError(f'{root} is laid out as {layout} ({LAYOUTS[layout]}): expected {LAYOUTS["pairs"]}, or A/ and B/ with equal names')
    train, val, test = (tuple(PairItem(path, None) for path in images_in(root / name)) for name in ('train', 'val', 'test'))
    return PairFolder('pairs', root, train, test or val, val)


def _two_folders(root: Path, a: Path, b: Path) -> PairFolder:
    images_a, images_b = _some_images(a, 'the pictures of A'), _some_images(b, 'the pictures of B')
    _check_two(a, b)
    stems_a, stems_b = ({p.stem: p for p in images} for images in (images_a, images_b))
    only_a, only_b = stems_a.keys() - stems_b.keys(), stems_b.keys() - stems_a.keys()
    if only_a or only_b or len(images_a) != len(stems_a) or len(images_b) != len(stems_b):
        odd = f'{min(only_a)} is only in {a}' if only_a else f'{min(only_b)} is only in {b}' if only_b else 'a name appears twice'
        raise ValueError(f'{len(images_a)} pictures in {a}, {len(images_b)} in {b}, {odd}: expected equal names in both; '
                         'remove what has no partner, or train on them as two domains')
    train, test = _split(tuple(PairItem(stems_a[s], stems_b[s]) for s in sorted(stems_a)), _tail(len(images_a)))
    return PairFolder('pairs_ab', root, train, test)
