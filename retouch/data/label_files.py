"""Label files: CelebA's format, tables of comma- or tab-separated values and JSON lines, into labels of 0 and 1 and the files they name."""
from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from retouch.data.images import IMAGE_SUFFIXES
from retouch.errors import unknown

FILE_COLUMNS = ('file', 'image', 'filename', 'image_id', 'path', 'file_name', 'url')
UNKNOWN = '999'                             # an action unit that nobody labelled (EmotioNet)
INDEX_COLUMNS = ('', 'unnamed: 0', 'index')
Row = tuple[int, str, list[str]]            # line number, file name, values as written


def _text_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding='utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: byte {error.start} is not UTF-8: expected a text file in UTF-8; save it as such') from None


def choose_columns(path: Path, names: Sequence[str], attributes: Sequence[str] | None) -> tuple[tuple[str, ...], list[int]]:
    """The wanted columns among `names`, and where they stand."""
    known = set(names)
    if len(known) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f'{path}: column {twice!r} appears twice: expected each name once; rename one')
    for name in attributes or ():
        if name not in known:
            raise unknown('attribute', name, names)
    wanted = tuple(names if attributes is None else attributes)
    if not wanted:
        raise ValueError(f'{path}: no label columns: expected a file column and at least one of 0/1 or -1/1')
    places = {name: i for i, name in enumerate(names)}
    return wanted, [places[name] for name in wanted]


def _wrong_count(path: Path, line: int, found: int, expected: int) -> ValueError:
    return ValueError(f'{path}, line {line}: {found} labels: expected {expected}, one per name in the header; correct the line')


def read_celeba(path: Path, attributes: Sequence[str] | None, notes: list[str]) -> tuple[tuple[str, ...], list[Row]]:
    """CelebA's format: a count, the names, then `file v1 … vK` with -1/1."""
    lines = _text_lines(path)
    if len(lines) < 3 or not lines[0].strip().isdigit():
        shown = lines[0][:40] if lines else ''
        raise ValueError(f"{path}, line 1: {shown!r}: expected CelebA's format: the number of rows, a line of names, then `file -1 1 …`")
    names = lines[1].split()
    wanted, at = choose_columns(path, names, attributes)
    everything = len(wanted) == len(names) and list(wanted) == names
    rows: list[Row] = []
    for number, line in enumerate(lines[2:], 3):
        if not line.strip():
            continue
        parts = line.rsplit(maxsplit=len(names))                # file names may hold spaces
        if len(parts) != len(names) + 1 or (not parts[0].lower().endswith(IMAGE_SUFFIXES) and ' ' in parts[0].strip()):
            raise _wrong_count(path, number, len(line.split()) - 1, len(names))
        rows.append((number, parts[0].strip(), parts[1:] if everything else [parts[1 + i] for i in at]))
    if int(lines[0]) != len(rows):
        notes.append(f'{path.name}, line 1 says {int(lines[0])} rows; there are {len(rows)}')
    return wanted, rows


def read_table(path: Path, attributes: Sequence[str] | None) -> tuple[tuple[str, ...], list[Row]]:
    """A table with a file column; columns that are not wanted may hold anything.

    Of a list of addresses (a column URL), as EmotioNet has it, a picture is known by the last part of its address, `AU 12` is called
    AU12, and rows with an action unit that was not labelled are left out.
    """
    header, records = (_jsonl if path.suffix.lower() == '.jsonl' else _csv)(path)
    lowered = [name.lower() for name in header]
    file_at = next((lowered.index(name) for name in FILE_COLUMNS if name in lowered), 0)
    by_address = lowered[file_at] == 'url'               # the last of those names: any other one comes first
    if by_address:
        header = [re.sub(r'^AU\s+(?=\d)', 'AU', name) for name in header]
    if lowered[0] in INDEX_COLUMNS and (file_at == 0 or attributes is None) and _counts(cells[0] for _, cells in records):
        raise ValueError(f'{path}: the first column, {header[0]!r}, counts the rows, as pandas writes an index: expected file names and '
                         'labels alone; save it with index=False, or remove that column')
    wanted, at = choose_columns(path, header[:file_at] + header[file_at + 1:], attributes)
    at = [i + (i >= file_at) for i in at]
    rows: list[Row] = []
    for number, cells in records:
        if len(cells) != len(header):
            raise _wrong_count(path, number, len(cells) - 1, len(header) - 1)
        values = [cells[i] for i in at]
        if by_address and UNKNOWN in values:
            continue
        rows.append((number, PurePosixPath(cells[file_at]).name if by_address else cells[file_at], values))
    return wanted, rows


def is_by_address(path: Path) -> bool:
    """Whether a table names its pictures by their addresses."""
    header, _ = (_jsonl if path.suffix.lower() == '.jsonl' else _csv)(path)
    return 'url' in (name.lower() for name in header) and not {*FILE_COLUMNS[:-1]} & {name.lower() for name in header}


def _counts(cells: Iterable[str]) -> bool:
    """Whether cells are 0, 1, 2 … or 1, 2, 3 …"""
    first, *rest = cells
    return first in ('0', '1') and all(cell == str(int(first) + i) for i, cell in enumerate(rest, 1))


def _csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    lines = _text_lines(path)
    first = lines[0] if lines else ''
    delimiter = '\t' if path.suffix.lower() == '.tsv' else ';' if ';' in first and ',' not in first else ','
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    try:
        records = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise ValueError(f'{path}, line {reader.line_num}: {error}: expected cells of a few characters; is a quote left open?') from None
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
        except (ValueError, RecursionError) as error:
            raise ValueError(f'{path}, line {number}: {getattr(error, "msg", error)}: expected one JSON object per line') from None
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


def rows_to_labels(path: Path, names: tuple[str, ...], rows: Sequence[Row]) -> tuple[np.ndarray, str]:
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


def base_of(root: Path, table: Path, rows: Sequence[Row], groups: dict[Path, tuple[Path, ...]]) -> Path:
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


def present_paths(base: Path, table: Path, rows: Sequence[Row], present: set[str]) -> tuple[Path, ...]:
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
        number, name = missing[0]
        near = near_name(name, base, present)
        raise ValueError(f'{table}, line {number}: no picture {name} in {base} ({len(missing)} of {len(rows)} rows name a '
                         'missing picture): ' + (f'{table.name} says {name}, the folder has {near}; write the names as the files have them'
                                                 if near else 'expected a file for every row; add the pictures or remove the rows'))
    return tuple(paths)


def near_name(name: str, base: Path, present: Iterable[str]) -> str | None:
    """The file that a label list nearly names: another suffix, case, number of zeros, kind of slash or folder. None where there is none."""
    def key(text: str) -> str:
        stem = PurePosixPath(text.replace('\\', '/')).stem.lower()
        return stem.lstrip('0') or '0'

    wanted = key(name)
    near = [path for path in present if key(path) == wanted]
    same = [path for path in near if path.lower().endswith(name.replace('\\', '/').lower())]
    return os.path.relpath(min(same or near), base) if near else None
