"""What a table or figure of a paper is, as data: rows, what they are trained and scored on, columns, printed cells, what differs."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Kind = Literal['scores', 'counts', 'study', 'pictures']
Better = Literal['higher', 'lower', 'neither']
JUDGE = '{judge}'                # the name under which a card's classifier stands in its measures
ASKED = 'asked of people'        # the measure of a column that no card has


class Cell(NamedTuple):
    """A printed number, and what follows ±."""

    value: float
    std: float | None = None


def cells(text: str) -> tuple[Cell | None, ...]:
    """'8.48±.53 5.94 -' -> printed cells; '-' where the paper prints none, or where none could be read."""
    found: list[Cell | None] = []
    for word in text.split():
        value, _, std = word.partition('±')
        found.append(None if word == '-' else Cell(float(value), float(std) if std else None))
    return tuple(found)


@dataclass(frozen=True)
class Column:
    """A number of a row: where a metric card has it, and how the paper prints it."""

    name: str
    measure: str = ''            # of a card, ASKED, or 'parameters' of a table of counts
    better: Better = 'higher'
    unit: str = ''
    row: str = ''                # an edit or a direction of the measure; empty: its value
    way: str = ''                # the direction that stands in the measure's name where a card has both
    mean_of: tuple[str, ...] = ()        # the mean of these rows
    std: str = ''                # the measure that follows ±
    factor: float = 1.0
    digits: int = 2
    proxy: str = ''              # the measure that stands in where published weights are missing
    proxy_std: str = ''
    asks: str = 'other'          # of people: words after `retouch evaluate --study`; 'other' is the training of the second row
    notes: tuple[int, ...] = ()  # numbers of the table's footnotes


@dataclass(frozen=True)
class Part:
    """The columns of one set: what its rows are trained on there, and what is scored."""

    id: str
    title: str
    columns: tuple[Column, ...]
    set: str                     # a key of `sets.SETS`
    split: str                   # the rule, in words
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)       # kind of data ('': all) -> fields of a run, dotted
    train: int | None = None     # pictures in the paper; None: it does not say
    test: int | None = None
    n: int | None = None         # pictures that are scored; None: the whole test part
    direction: str = ''          # from what to what, in words
    judge: str = ''              # the recipe of the classifier that scores it
    reader: bool = False         # photographs made from labels: a parser reads them, --judge or one that is trained first
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Row:
    """A system of a table."""

    id: str                      # for --rows
    name: str                    # in the paper
    recipe: str = ''             # empty: a system that is not here
    changes: Mapping[str, Any] = field(default_factory=dict)
    small: str = ''              # the recipe of the small tier
    small_changes: Mapping[str, Any] = field(default_factory=dict)
    printed: Mapping[str, str] = field(default_factory=dict)                     # part -> cells, as `cells` reads them
    also: tuple[str, ...] = ()   # parts without printed cells that are run all the same
    not_on: tuple[str, ...] = ()         # parts with printed cells that it cannot be run on; a note says why
    lacks: str = ''              # why it is not run
    on: Mapping[str, str] = field(default_factory=dict)          # part -> the recipe in place of `recipe` there
    one_of: int = 1              # of counts: how many domains its networks are for, of which the row counts one
    notes: tuple[int, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that it is run on."""
        return (*(part for part, text in self.printed.items() if any(cells(text)) and part not in self.not_on), *self.also)


@dataclass(frozen=True)
class Table:
    """A table or figure of a paper."""

    id: str                      # cam.table1
    title: str
    what: str                    # Table 1
    rows: tuple[Row, ...]
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()  # footnote 1, 2 …: every known difference from the paper
    kind: Kind = 'scores'
    parser: bool = False         # scores need a face parser
    seed: int = 0

    @property
    def paper(self) -> str:
        """Its protocol's name too."""
        return self.id.partition('.')[0]

    def part(self, name: str) -> Part:
        """A part by its id."""
        return next(part for part in self.parts if part.id == name)

    def row(self, name: str) -> Row:
        """A row by its id."""
        return next(row for row in self.rows if row.id == name)

    def printed(self, row: Row, part: Part) -> tuple[Cell | None, ...]:
        """The printed cells of a row, one for every column of a part."""
        return cells(row.printed[part.id]) if part.id in row.printed else (None,) * len(part.columns)


def published_to_markdown(table: Table) -> str:
    """The paper's own table as GitHub's Markdown: rows as printed, one column a number, ± where there is one."""
    titles = [f'{part.title}: {column.name}' if len(table.parts) > 1 else column.name for part in table.parts for column in part.columns]
    lines = [f'| {table.what} | {" | ".join(titles)} |', '|---' * (1 + len(titles)) + '|']
    for row in table.rows:
        shown = [cell_to_text(cell, column) for part in table.parts
                 for cell, column in zip(table.printed(row, part), part.columns, strict=True)]
        lines.append(f'| {row.name}{"" if row.recipe else " (not here)"} | {" | ".join(shown)} |')
    return '\n'.join(lines)


def cell_to_text(cell: Cell | None, column: Column) -> str:
    """'8.48 ± 0.53', or nothing."""
    if cell is None:
        return ''
    return _number(cell.value, column) + ('' if cell.std is None else f' ± {_number(cell.std, column)}')


def _number(value: float, column: Column) -> str:
    return f'{value:.{column.digits}f}' if abs(value) < 1e5 else f'{value:.3g}'       # distances of a proxy have a scale of their own
