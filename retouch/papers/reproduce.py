"""Trains what a table needs and scores it, a row at a time, and writes the paper's numbers and ours beside each other."""
from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retouch.data.batches import DataSpec
from retouch.errors import one_line
from retouch.evaluation.card import Card
from retouch.evaluation.evaluate import Request, evaluate
from retouch.evaluation.ledger import Ledger
from retouch.evaluation.papers import PAPERS
from retouch.evaluation.suite import finish, read_record, row_to_record
from retouch.evaluation.tasks import Progress
from retouch.files import read_json, write_atomically
from retouch.methods.registry import count_parameters
from retouch.metrics.measure import Measure
from retouch.model import CONFIG, find_model_dir
from retouch.papers.plan import DRAWN_N, Piece, Plan, asked_of_people, features_of, key_of
from retouch.papers.table import ASKED, JUDGE, Cell, Column, Table, cell_to_text
from retouch.run import Run
from retouch.training import in_iterations

Say = Callable[[str], None]


@dataclass(frozen=True)
class Line:
    """One number of a table: the paper's, ours, and how ours was come by."""

    row: str
    part: str
    column: str
    published: Cell | None
    ours: Cell | None = None
    difference: float | None = None
    unit: str = ''
    better: str = 'neither'
    digits: int = 2
    n: int | None = None
    seed: int | None = None
    iterations: int | None = None
    hardware: str = ''
    extractor: str = ''
    direction: str = ''
    proxy: bool = False
    state: str = ''              # why there is none of ours
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Result:
    """A table with ours beside the paper's."""

    table: str
    title: str
    what: str
    scale: str
    data: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...]       # footnote 1, 2 …

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows as text."""
        rows = []
        for line in self.lines:
            column = Column(line.column, digits=line.digits)
            better = {'higher': ' ↑', 'lower': ' ↓', 'neither': ''}[line.better]
            how = [f'n={line.n}' if line.n else '', f'seed {line.seed}' if line.seed is not None else '',
                   f'{line.iterations:,} iterations' if line.iterations else '', line.hardware, line.extractor]
            notes = ' '.join(f'[{number}]' for number in line.notes)
            rows.append([line.row, line.part, f'{line.column}{f", {line.unit}" if line.unit else ""}{better} {notes}'.strip(),
                         cell_to_text(line.published, column) or '–',
                         (cell_to_text(line.ours, column) + (' (proxy)' if line.proxy else '')) if line.ours else line.state or '–',
                         f'{line.difference:+.{line.digits}f}' if line.difference is not None else '', ', '.join(filter(None, how))])
        return ['row', 'set', 'column', 'published', 'ours', 'difference', 'how'], rows

    def markdown(self) -> str:
        """GitHub's Markdown: a line a number, then the footnotes."""
        header, rows = self.cells()
        lines = [f'# {self.table}: {self.title}', '', f'{self.what}; scale {self.scale}, data {self.data}.', '',
                 f'| {" | ".join(header)} |', '|---' * len(header) + '|', *(f'| {" | ".join(row)} |' for row in rows), '',
                 *(f'{number}. {note}' for number, note in enumerate(self.notes, 1))]
        return '\n'.join(lines) + '\n'

    def encode(self) -> bytes:
        """The bytes of table.json."""
        return (json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False, allow_nan=False) + '\n').encode()


# ---- doing it

@dataclass(frozen=True)
class Given:
    """Models that a user has already, and where weights lie."""

    judge: str | None = None
    parser: str | None = None
    weights: str | None = None
    device: str = 'auto'


def run_plan(plan: Plan, out: Path, given: Given = Given(), say: Say = print, progress: Progress | None = None) -> Result:    # noqa: B008
    """Trains and scores everything that is not there yet, and writes table.json and table.md.

    Args:
        plan: what to do.
        out: of all tables: runs/, rows/ and a folder a table.
        given: see there.
        say: is told what is being done.
        progress: as of `evaluate`.

    Raises:
        ValueError: weights or a parser are missing at full scale, or a training or evaluation that cannot be done.
        KeyboardInterrupt: somebody stopped it. All that was done is kept: the same command goes on.
    """
    if plan.scale == 'full' and plan.missing:
        raise ValueError(f'{plan.table.id} lacks {len(plan.missing)} files: {"; ".join(plan.missing)}')
    if plan.table.kind == 'counts':
        return write_result(counted(plan), out)
    parsers = {size: given.parser or '' for size in {piece.run.data.size for piece in plan.pieces}}
    for size, run in plan.parsers.items():
        parsers[size] = _trained(run, out, plan, f'the face parser of {size} px', say)
    readers = {size: _trained(run, out, plan, f'the parser of streets of {size} px', say) for size, run in plan.readers.items()}
    judges = {part.id: given.judge for part in plan.table.parts}
    for part, run in plan.judges.items():
        judges[part] = _trained(run, out, plan, f'the classifier of {part}', say)
        _proved(Path(judges[part] or ''), given, progress)
    records, refused = dict[tuple[str, str], dict[str, Any]](), dict[tuple[str, str], str]()
    for i, piece in enumerate(plan.pieces, 1):
        what = f'{i} of {len(plan.pieces)}: {piece.row.name} on {piece.part.title}'
        parser, judge = parsers.get(piece.run.data.size) or None, judges.get(piece.part.id)
        run = piece.run
        if getattr(run.method, 'uses_parser', False):
            run = run.model_copy(update={'method': run.method.model_copy(update={'parser': parser})})
        folder = Path(_trained(run, out, plan, what, say))
        if plan.table.kind == 'study' or asked_of_people(piece.part):
            continue
        if piece.part.reader and (judge := judge or readers.get(piece.run.data.size)) is None:
            continue
        say(f'{what}: scoring')
        try:
            records[piece.row.id, piece.part.id] = _scored(plan, piece, in_iterations(run), folder, out, judge, parser, given, progress)
        except ValueError as error:                              # the other rows took days, and are not held up
            refused[piece.row.id, piece.part.id] = one_line(error)
            say(f'{what}: not scored: {one_line(error)}')
    return write_result(result_of(plan, records, refused), out)


def run_dir(run: Run, out: Path, scale: str) -> Path:
    """Where a training lies; tables share it."""
    return out / 'runs' / scale / key_of(run)


def _trained(run: Run, out: Path, plan: Plan, what: str, say: Say) -> str:
    folder, resolved = run_dir(run, out, plan.scale), in_iterations(run)
    if _iteration_of(folder) != resolved.train.iterations:
        say(f'{what}: training {run.recipe} for {resolved.train.iterations:,} iterations, in {folder}')
    finish(resolved, folder)
    return str(folder)


def _iteration_of(folder: Path) -> int | None:
    path = folder / 'model' / CONFIG
    return read_json(path, 'the file that training wrote')['info'].get('iteration') if path.is_file() else None


def _proved(folder: Path, given: Given, progress: Progress | None) -> None:
    """Gives a classifier the card with which it may judge."""
    if not (folder / 'card.json').is_file():
        ledger = Ledger(folder)
        ledger.close(evaluate(Request(folder, device=given.device), ledger, progress).card)


def _scored(plan: Plan, piece: Piece, run: Run, folder: Path, out: Path, judge: str | None, parser: str | None, given: Given,
            progress: Progress | None) -> dict[str, Any]:
    """The record of a scored row: that which is there, where it was asked for in the same way."""
    drawn = piece.run.data.source == 'toyfaces'
    n = DRAWN_N[plan.scale] if drawn else piece.part.n
    proxy = plan.scale != 'full' and bool(plan.missing) and bool(features_of(plan.table, run.data.kind))
    names = parser is not None and PAPERS[plan.table.paper].parser
    asked = {'protocol': plan.table.paper, 'n': n, 'proxy': proxy, 'scored': piece.scored, 'judge': _digest(judge),
             'parser': _digest(parser) if names else None, 'weights': _digest(str(folder))}
    path = out / 'rows' / plan.scale / f'{folder.name}-{plan.table.paper}-{piece.part.set}{"-read" * piece.part.reader}.json'
    if path.is_file():
        record = read_record(path)
        if record.get('asked') == asked:
            return record
    request = Request(folder, data=piece.scored, protocol=plan.table.paper, n=n, judge=judge, parser=parser if names else None, proxy=proxy,
                      weights=given.weights, device=given.device)
    ledger = Ledger(folder)
    card = evaluate(request, ledger, progress).card
    ledger.close(card)
    command = f'retouch reproduce {plan.table.id} --data {shlex.quote(plan.data)} --rows {piece.row.id} --scale {plan.scale}'
    record = {**row_to_record(run, folder, card, [command]), 'asked': asked}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(record, indent=1) + '\n').encode())
    return record


def _digest(model: str | None) -> str | None:
    return None if not model else read_json(find_model_dir(model) / CONFIG, 'the file that training wrote').get('sha256')


# ---- from cards to lines

def result_of(plan: Plan, records: Mapping[tuple[str, str], Mapping[str, Any]],
              refused: Mapping[tuple[str, str], str] | None = None) -> Result:
    """The table's lines: of every printed row, and of every row that was run; `refused` says why some could not be scored."""
    table, lines, notes = plan.table, list[Line](), list(plan.table.notes)
    run = {(piece.row.id, piece.part.id): piece for piece in plan.pieces}
    for row in table.rows:
        for part in table.parts:
            if part.id not in (*row.printed, *row.also):
                continue
            record, piece = records.get((row.id, part.id)), run.get((row.id, part.id))
            why = (refused or {}).get((row.id, part.id))
            trained = 'trained; needs --judge' if part.reader else 'trained'
            state = row.lacks or ('not run' if piece is None else f'not scored: {why}' if why else trained if record is None else '')
            for column, cell in zip(part.columns, table.printed(row, part), strict=True):
                plain = Line(row.name, part.title, column.name, cell, unit=column.unit, better=column.better, digits=column.digits,
                             direction=part.direction, notes=tuple(sorted({*row.notes, *part.notes, *column.notes})), state=state)
                lines.append(plain if record is None else _line(plain, column, record))
    if plan.scale != 'full':
        small = {'small': 'the CPU tier: smaller networks, pictures and lengths', 'tiny': 'two iterations, to see that everything runs'}
        notes.append(f'Scale {plan.scale}: {small[plan.scale]}. No published number compares with ours here, and no difference is taken.')
        lines = [dataclasses.replace(line, difference=None, notes=(*line.notes, len(notes))) for line in lines]
    if any(line.proxy for line in lines):
        notes.append('Proxy: features of the classifier that judges stand in for published weights that are missing, and on drawn faces '
                     'true regions for a parser.')
        lines = [dataclasses.replace(line, notes=(*line.notes, len(notes))) if line.proxy else line for line in lines]
    for why in dict.fromkeys((refused or {}).values()):
        notes.append(f'Not scored: {why}.')
        lines = [line if line.state != f'not scored: {why}' else
                 dataclasses.replace(line, state='not scored', notes=(*line.notes, len(notes))) for line in lines]
    for what, why in plan.left_out:
        notes.append(f'{what}: {why}.')
    for told in dict.fromkeys(text for record in records.values() for text in record['card'].get('differs', ())):
        notes.append(f'This run: {told}.')
    return Result(table.id, table.title, table.what, plan.scale, plan.data, tuple(lines), tuple(notes))


def _line(plain: Line, column: Column, record: Mapping[str, Any]) -> Line:
    """A line with our number in it, as a card has it."""
    card = Card.model_validate(record['card'])
    if column.measure == ASKED:
        return dataclasses.replace(plain, state=ASKED)
    judge = next((name for name in card.extractors if name.endswith('classifier')), 'classifier')
    told = dataclasses.replace(plain, n=_count(card, column), seed=record['seed'], iterations=record['run']['train']['iterations'],
                               hardware=record['hardware'])
    for measure, std, proxy in ((column.measure, column.std, False), (column.proxy, column.proxy_std, True)):
        name, spread = measure.replace(JUDGE, judge), std.replace(JUDGE, judge)
        way = f'{name}[{column.way}]'                            # of a card of both directions
        value = value_of(column, card.measures.get(way if column.way and way in card.measures else name))
        if value is not None:
            by = name.partition('[')[2].rstrip(']')
            read = {'edit_accuracy': 'classifier', 'joint_accuracy': 'classifier'}.get(name, 'parser' if column.way else '')
            who = f'{read} {card.judge.sha256[:8]}' if read and card.judge else f'{by} {card.extractors.get(by, "")[:8]}'.strip()
            cell = Cell(value * column.factor, None if (s := value_of(column, card.measures.get(spread))) is None else s * column.factor)
            difference = None if plain.published is None else cell.value - plain.published.value
            return dataclasses.replace(told, ours=cell, difference=difference, proxy=proxy, state='',
                                       extractor=who)
    note = next((m.note for m in (card.measures.get(column.measure.replace(JUDGE, judge)),) if m is not None and m.note), '')
    return dataclasses.replace(told, state=f'– ({note})' if note else '–')


def _count(card: Card, column: Column) -> int:
    """Pictures behind a number: those of one edit or direction, or all."""
    found = card.data.count or {}
    return found.get(_named(column.row, list(found)), card.n)


def value_of(column: Column, measure: Measure | None) -> float | None:
    """What a column shows of a measure: its value, a row of it, or the mean of some rows that are all there."""
    if measure is None:
        return None
    rows = measure.per_attribute or {}
    if column.mean_of:
        values = [rows.get(name) for name in column.mean_of]
        return None if None in values else sum(v for v in values if v is not None) / len(values)
    return rows.get(_named(column.row, list(rows))) if column.row else measure.value


def _named(row: str, rows: list[str]) -> str:
    """A direction by its name in a card: of drawn faces it is called by what is put on and taken away, in this order."""
    ways = {'to=B': 0, 'to=A': 1}
    return rows[ways[row]] if row in ways and row not in rows and len(rows) == 2 else row


def counted(plan: Plan) -> Result:
    """Parameters of the rows of a table of counts; nothing is trained."""
    table, lines = plan.table, list[Line]()
    for row in table.rows:
        for part in table.parts:
            for column, cell in zip(part.columns, table.printed(row, part), strict=True):
                line = Line(row.name, part.title, column.name, cell, unit=column.unit, digits=column.digits, state=row.lacks,
                            notes=tuple(sorted({*row.notes, *part.notes, *column.notes, 1})))
                piece = next((p for p in plan.pieces if (p.row.id, p.part.id) == (row.id, part.id)), None)
                if piece is not None:
                    ours = parameters_of(piece.run) * column.factor / row.one_of
                    line = dataclasses.replace(line, ours=Cell(ours), difference=None if cell is None else ours - cell.value, state='')
                lines.append(line)
    return Result(table.id, table.title, table.what, plan.scale, plan.data, tuple(lines),
                  (*table.notes, *(f'{what}: {why}.' for what, why in plan.left_out)))


def parameters_of(run: Run) -> int:
    """Parameters of all networks of a run."""
    spec = {'attributes': getattr(run.data, 'attributes', ())} if run.data.kind == 'attributes' else {'domains': ('A', 'B')}
    return sum(count_parameters(run.method_id, run.method, DataSpec(size=run.data.size, **spec)).values())      # type: ignore[arg-type]


def write_result(result: Result, out: Path) -> Result:
    """table.json and table.md, in a folder of the table's name."""
    folder = out / result.table / result.scale
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / 'table.json', result.encode())
    write_atomically(folder / 'table.md', result.markdown().encode())
    return result


# ---- what is there

def state_of(table: Table, out: Path) -> str:
    """What is here already of a table, at every scale: 'full 2 of 6 numbers, tiny done'."""
    found = []
    for scale in ('full', 'small', 'tiny'):
        path = out / table.id / scale / 'table.json'
        if path.is_file():
            lines = [line for line in read_json(path, 'a table that `retouch reproduce` wrote')['lines'] if 'not here' not in line['state']]
            ours = sum(line['ours'] is not None for line in lines)
            found.append(f'{scale} {ours} of {len(lines)}')
    return ', '.join(found) or 'not run'


def seconds_file(out: Path) -> Path:
    """Where measured seconds of steps are kept."""
    return out / 'seconds.json'


def read_seconds(out: Path) -> dict[str, dict[str, float]]:
    """Recipe and hardware -> seconds an iteration, as they were measured."""
    path = seconds_file(out)
    return read_json(path, 'what `retouch reproduce --dry-run` measured') if path.is_file() else {}


def cost_key(run: Run, device: str) -> str:
    """What a step's cost depends on."""
    method = run.method.model_dump(mode='json', exclude={'parser'})
    train = run.train.model_dump(include={'batch_size', 'precision', 'channels_last'})
    record = [method, run.data.size, getattr(run.data, 'load_size', None), train]
    return f'{run.recipe}-{hashlib.blake2b(json.dumps(record, sort_keys=True).encode(), digest_size=4).hexdigest()} on {device}'
