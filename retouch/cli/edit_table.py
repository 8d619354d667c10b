"""edits.csv: what was done to each of many pictures, and which of them need not be edited again."""
from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from retouch.files import write_atomically

FILE = 'edits.csv'


class Row(NamedTuple):
    """What was done to a picture, as text."""

    picture: str
    result: str = ''                        # relative to the folder; empty: there is none
    asked: str = ''
    read: str = ''
    untouched: str = ''
    notes: str = ''
    error: str = ''


class Table:
    """The rows of a folder, written as they come: a command that is stopped keeps those it had."""

    def __init__(self, folder: Path, before: dict[str, Row] | None) -> None:
        """folder: of the results. before: the rows that are there, by result, and shall stay; None: none shall. Raises OSError."""
        self.path, self.resume, self.before = folder / FILE, before is not None, before or {}
        folder.mkdir(parents=True, exist_ok=True)
        going_on = self.resume and self.path.is_file() and self.path.stat().st_size > 0
        self.file: TextIO = self.path.open('a' if going_on else 'w', encoding='utf-8', errors='surrogateescape', newline='')
        self.added = list[Row]()
        self.file.write('\n' if going_on else _lines([Row(*Row._fields)]))               # after half a line of a command that was killed
        self.file.flush()

    def add(self, row: Row) -> None:
        """Writes a row."""
        self.file.write(_lines([row]))
        self.file.flush()
        if self.resume:
            self.added.append(row)

    def close(self, order: Sequence[str]) -> None:
        """Brings the rows of a command that was resumed into the order of `order`, the results; those of others come first."""
        self.file.close()
        if self.resume:
            rows = {**self.before, **{row.result: row for row in self.added if row.result}}
            kept = [rows.pop(result) for result in order if result in rows]
            failed = [row for row in self.added if not row.result]
            text = _lines([Row(*Row._fields), *rows.values(), *kept, *failed])
            write_atomically(self.path, text.encode('utf-8', 'surrogateescape'))


def read_rows(path: Path) -> dict[str, Row]:
    """The rows of an edits.csv by result, of pictures that have one; what cannot be read is left out."""
    try:
        lines = list(csv.reader(io.StringIO(path.read_text(encoding='utf-8', errors='surrogateescape'))))
    except (OSError, csv.Error):
        return {}
    rows = [Row(*line) for line in lines if len(line) == len(Row._fields) and tuple(line) != Row._fields]
    return {row.result: row for row in rows if row.result}


def _lines(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(rows)
    return text.getvalue()
