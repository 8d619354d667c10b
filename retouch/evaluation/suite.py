"""Recipes trained and scored one after another: one JSON a recipe and seed, written once and reused, and the table of them.

Training is a function call and not a process of its own: how it ended is a value, a mistake is an exception with its line, and torch is
imported once for all rows. Rows do not touch each other: initialisation and all draws are keyed by the row's seed.
"""
from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retouch.data.sets import open_set, set_to_hash
from retouch.engine.logs import read_jsonl
from retouch.errors import one_line, unknown
from retouch.evaluation.card import Card
from retouch.evaluation.comparison import cards_to_comparison
from retouch.files import in_turn, read_json, write_atomically
from retouch.metrics.measure import Measure
from retouch.model import CONFIG, find_model_dir
from retouch.recipes.registry import load_run
from retouch.recipes.suite import READINGS, SUITES, images_seen
from retouch.run import FREE, Run, first_difference, with_defaults
from retouch.toyfaces.faces import drawing_hash
from retouch.training import runs_folder, train_run

PARSER = 'parser.toyfaces32'                     # guides the rows that need one, if no other is named
PROTOCOL = 'eyeglasses'                          # of all suites there are
SAME = {'train': FREE['train'], 'method': ('parser',)}           # in what two runs of one row may differ
RECORDED = ('parameters', 'images_seen', 'seconds')              # columns that are no measures: of these the mean alone is shown
# key -> title and digits, as of all tables made here
COLUMNS = {'edit_accuracy': ('edit accuracy', 3), 'psnr_outside': ('PSNR outside, dB', 2), 'psnr_truth': ('PSNR to the truth, dB', 2),
           'mask_iou': ('mask IoU', 3), 'mask_area': ('mask area', 3), 'leakage': ('leakage', 3),
           'kid[toyfaces_classifier]': ('kernel distance to the target, proxy', 0), 'parameters': ('parameters', 0),
           'images_seen': ('images seen', 0), 'seconds': ('seconds', 0)}
Recipes = Mapping[str, tuple[int, ...]]          # recipe -> seeds
Record = dict[str, Any]                          # what a JSON holds


# ---- rows

def choose(suite: str, only: Sequence[str] = (), seeds: Sequence[int] = ()) -> list[tuple[str, int]]:
    """Recipes and seeds of a suite, every recipe once before any a second time; `only` and `seeds` leave others out.

    Raises:
        ValueError: an unknown suite or row, with the nearest; seeds that no row has.
    """
    if suite not in SUITES:
        raise unknown('suite', suite, SUITES)
    recipes = SUITES[suite]
    for name in only:
        if name not in recipes:
            raise unknown(f'row of suite {suite}', name, recipes)
    chosen = [(name, seed) for name, planned in recipes.items() for seed in planned
              if (not only or name in only) and (not seeds or seed in seeds)]
    if not chosen:
        planned = sorted({seed for name in only or recipes for seed in recipes[name]})
        raise ValueError(f'--seeds {" ".join(map(str, seeds))}: no row of suite {suite} has such a seed; expected some of {planned}')
    return sorted(chosen, key=lambda row: row[1])


def load_row(recipe: str, seed: int, threads: int | None = None, parser: str | None = None) -> Run:
    """The run of a row. The number of threads changes no row's meaning; `parser` goes to the systems that a parser can guide."""
    run = load_run(recipe)
    guided = {'method': run.method.model_copy(update={'parser': parser})} if parser and hasattr(run.method, 'parser') else {}
    return run.model_copy(update={'seed': seed, 'train': run.train.model_copy(update={'threads': threads}), **guided})


def finish(run: Run, out: Path) -> None:
    """Trains a run to its end, from where it stopped; one that has ended is left as it is.

    Raises:
        ValueError: the folder holds another run.
        KeyboardInterrupt: somebody stopped the training, whose state is saved.
    """
    if (out / 'run.json').is_file():
        elsewhere = 'a suite takes up no other; move it away, or set RETOUCH_RUNS to another folder'
        before = read_json(out / 'run.json', 'the run.json that a training wrote')
        found = first_difference(with_defaults(before['run']), run.model_dump(mode='json'), SAME)
        if found is not None:
            raise ValueError(f'{out} was trained with {found[0]}={found[1]}, {run.recipe} has {found[2]}: {elsewhere}')
        if before.get('pictures') != set_to_hash(open_set(run.data)):
            raise ValueError(f'{out} was trained on other pictures than {run.recipe} has today: {elsewhere}')
        if (out / 'model' / CONFIG).is_file():
            info = json.loads((out / 'model' / CONFIG).read_text())['info']
            if info['iteration'] == run.train.iterations:
                return
    if train_run(run, out, 'auto')[1] == 'interrupted':
        raise KeyboardInterrupt


def seconds_of(run: Path) -> float:
    """Seconds of training of a run directory, all its legs together."""
    return round(sum(leg['seconds'] for leg in read_jsonl(run / 'time.jsonl')), 1)


def row_to_record(run: Run, out: Path, card: Card, commands: Sequence[str]) -> Record:
    """What is written of a finished row. The commands and the card name no folder of this machine."""
    made = json.loads((out / 'run.json').read_text())
    kept = json.loads((out / 'model' / CONFIG).read_text())['nets']
    hardware = read_jsonl(out / 'time.jsonl')[-1]['hardware']
    dumped = run.model_dump(mode='json')
    record = {'recipe': run.recipe, 'seed': run.seed, 'commands': list(commands), 'git': made['git'], 'hardware': hardware,
              'threads': made['run']['train'].get('threads'), 'seconds': seconds_of(out), 'images_seen': images_seen(run),
              'parameters': sum(made['parameters'][name] for name in kept), 'run': dumped}
    parser = made['run']['method'].get('parser')
    if parser:
        folder, dumped['method']['parser'] = find_model_dir(parser), 'PARSER'
        record['parser'] = {'recipe': None, 'sha256': json.loads((folder / CONFIG).read_text())['sha256']}
        if (folder.parent / 'time.jsonl').is_file():             # a run directory, not a model alone
            guide = load_run(folder.parent)
            record['parser'] |= {'recipe': guide.recipe, 'images_seen': images_seen(guide), 'seconds': seconds_of(folder.parent)}
    command = card.command.replace(str(out), 'RUN')
    return {**record, 'card': card.model_copy(update={'command': command}).model_dump(mode='json')}


def write_record(folder: Path, record: Record) -> None:
    """<recipe>-s<seed>.json, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(record_path(folder, record['recipe'], record['seed']), (json.dumps(record, indent=1) + '\n').encode())


def record_path(folder: Path, recipe: str, seed: int) -> Path:
    """Where the record of a row lies."""
    return folder / f'{recipe}-s{seed}.json'


def still_to_run(rows: Sequence[tuple[str, int]], folder: Path, n: int, parser: str | None = None) -> list[tuple[str, int]]:
    """The rows that have no record yet. ValueError where a record is of another run, or no parser is where one was named."""
    todo = []
    if parser:
        find_model_dir(parser)                                   # said now, and not hours later
    for recipe, seed in rows:
        path = record_path(folder, recipe, seed)
        if path.is_file():
            check_record(path, load_row(recipe, seed), n)
        else:
            todo.append((recipe, seed))
    return todo


def run_suite(rows: Sequence[tuple[str, int]], folder: Path, score: Callable[[Path], Card], n: int, threads: int | None = None,
              parser: str | None = None) -> None:
    """Trains and scores the rows that have no record yet.

    Args:
        rows: recipes and seeds.
        folder: of the records.
        score: run directory -> card.
        n: held-out faces, for the commands in the records.
        threads: of training; None leaves torch's choice.
        parser: run or model directory of the parser that guides SeCGAN and ContrastGAN; None: `PARSER`, trained when first needed.

    Raises:
        ValueError: a record of another recipe, n or drawing, a run directory of another run, or no parser where one was named.
        KeyboardInterrupt: somebody stopped it. All that was done is kept.
    """
    todo = still_to_run(rows, folder, n, parser)
    for i, (recipe, seed) in enumerate(todo, 1):
        run, out = load_row(recipe, seed, threads), runs_folder() / f'{recipe}-s{seed}'
        if getattr(run.method, 'uses_parser', False):
            parser = parser or _own_parser(threads)
            run = load_row(recipe, seed, threads, parser)
        _say(f'{i} of {len(todo)}: {recipe}, seed {seed}, in {out}')
        finish(run, out)
        _say(f'{i} of {len(todo)}: scoring {recipe}, seed {seed}')
        commands = [f'retouch train {recipe} --seed {seed}' + ' --method.parser PARSER' * ('parser' in run.model_dump()['method']),
                    f'retouch evaluate RUN --protocol {PROTOCOL} --n {n}']
        write_record(folder, row_to_record(run, out, score(out), commands))


def _own_parser(threads: int | None) -> str:
    out = runs_folder() / f'{PARSER}-s0'
    out.parent.mkdir(parents=True, exist_ok=True)
    with in_turn(out.with_name(f'.{out.name}.lock')):            # rows of other processes wait until it is trained
        _say(f'the parser that guides SeCGAN and ContrastGAN: {PARSER}, in {out}')
        finish(load_row(PARSER, 0, threads), out)
    return str(out)


def check_record(path: Path, run: Run, n: int) -> None:
    """ValueError unless a record is of this run, of n faces as they are drawn today."""
    record = read_record(path)
    found = first_difference(with_defaults(record.get('run', {})), run.model_dump(mode='json'), SAME)
    card = record['card']
    facts = [found or (None,) * 3, ('n', card['n'], n), ('drawing', card['data']['hash'], drawing_hash())]
    for what, was, now in facts:
        if was != now:
            raise ValueError(f'{path} has {what} {was}, this suite has {now}: name another folder with --out, or delete the file to '
                             'measure its row anew')


def read_record(path: Path) -> Record:
    """A record. Raises ValueError for another file."""
    try:
        record = json.loads(path.read_text())
        record['recipe'], record['seed'], record['card']['data']
        return record
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} cannot be read ({type(error).__name__}): expected the record of a row; delete it to measure it '
                         'anew') from error


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# ---- tables

@dataclass(frozen=True)
class Row:
    """A recipe's records, or a reference."""

    name: str
    planned: tuple[int, ...] = ()                # seeds; of a reference none
    seeds: tuple[int, ...] = ()                  # those that were run
    values: dict[str, list[float | None]] = field(default_factory=dict)        # column -> a value for every seed that was run


@dataclass(frozen=True)
class Table:
    """Rows in the order of their recipes, then the references `copy` and `truth`, if any row was run."""

    columns: Mapping[str, tuple[str, int]]
    rows: tuple[Row, ...]
    records: tuple[Record, ...]

    def cells(self) -> list[list[str]]:
        """Header and rows as text: of several seeds the mean and, of measures, the lowest and highest."""
        lines = [['recipe', 'seeds', *(title for title, _ in self.columns.values())]]
        for row in self.rows:
            run = f'{len(row.seeds)} of {len(row.planned)}' if row.seeds else 'not run' if row.planned else ''
            mark = ' †' if row.name.split('.')[0] in READINGS else ''
            lines.append([f'`{row.name}`{mark}' if row.planned else row.name, run,
                          *(_cell(row.values[key], key, digits) if key in row.values else '' for key, (_, digits) in self.columns.items())])
        return lines

    def markdown(self) -> str:
        """The table as GitHub's Markdown, without a last newline."""
        header, *lines = (f'| {" | ".join(line)} |' for line in self.cells())
        return '\n'.join([header, '|---' * (2 + len(self.columns)) + '|', *lines])


def records_to_table(recipes: Recipes, columns: Mapping[str, tuple[str, int]], folder: Path) -> Table:
    """The table of what there is; a recipe without a record stands in it as not run.

    Args:
        recipes: the rows.
        columns: key -> title and digits; a key names a measure of the card or a field of the record.
        folder: of the records.

    Raises:
        ValueError: records that cannot stand in one table: cards that do not compare, or another number of pictures seen.
    """
    records = {(recipe, seed): read_record(path) for recipe, seeds in recipes.items() for seed in seeds
               if (path := record_path(folder, recipe, seed)).is_file()}
    if not records:
        return Table(columns, tuple(Row(recipe, seeds) for recipe, seeds in recipes.items()), ())
    anew = '; delete the file that is out of date, and measure its row anew'
    try:
        comparison = cards_to_comparison({f'{recipe}-s{seed}': Card.model_validate(r['card']) for (recipe, seed), r in records.items()})
    except ValueError as error:
        raise ValueError(f'{one_line(error)}{anew}') from error
    first = next(iter(records.values()))
    for (recipe, seed), r in records.items():
        if 'images_seen' in columns and r.get('images_seen') != first.get('images_seen'):
            raise ValueError(f'{recipe}-s{seed} saw {r.get("images_seen")} pictures, {first["recipe"]}-s{first["seed"]} saw '
                             f'{first.get("images_seen")}: one table has one budget{anew}')

    def value(measures: Mapping[str, Measure], record: Record, key: str) -> float | None:
        return record[key] if key in record else measures[key].value if key in measures else None

    rows = []
    for recipe, planned in recipes.items():
        seeds = tuple(seed for seed in planned if (recipe, seed) in records)
        values = {key: [value(comparison.rows[f'{recipe}-s{seed}'], records[recipe, seed], key) for seed in seeds] for key in columns}
        rows.append(Row(recipe, planned, seeds, values if seeds else {}))
    for name in ('copy', 'truth'):
        if name in comparison.rows:
            measured = {key: [value(comparison.rows[name], {}, key)] for key in columns if key not in first}
            rows.append(Row(name, values=measured))
    return Table(columns, tuple(rows), tuple(records.values()))


def _cell(values: Sequence[float | None], key: str, digits: int) -> str:
    known = [v for v in values if v is not None]
    if not known:
        return '–'
    if key in RECORDED:
        return f'{statistics.mean(known):,.{digits}f}'
    mean = f'{statistics.mean(known):.{digits}f}'
    return mean if len(known) == 1 else f'{mean} ({min(known):.{digits}f} to {max(known):.{digits}f})'


def notes(table: Table) -> str:
    """What stands below a table: on what it was measured, and what a guided row had besides."""
    if not table.records:
        return ''
    n, faces = table.records[0]['card']['n'], sum(table.records[0]['card']['data']['count'].values())
    machines = sorted({f'{r["hardware"]}, threads: {r["threads"] or "all"}' for r in table.records})
    lines = [f'{faces} faces without Eyeglasses, of the first {n} held out. Trained on: {"; ".join(machines)}.']
    parsers = {r['parser']['sha256']: r['parser'] for r in table.records if 'parser' in r}
    for sha256, guide in parsers.items():
        cost = f'{guide["images_seen"]:,} pictures and {guide["seconds"]:,.0f} s of its own' if 'seconds' in guide else 'of unknown cost'
        guided = ' and '.join(name for name, method in (('SeCGAN', 'secgan'), ('ContrastGAN', 'contrastgan'))
                              if any(r.get('parser', {}).get('sha256') == sha256 and r['recipe'].startswith(f'{method}.')
                                     for r in table.records))
        lines.append(f'A frozen parser guides {guided}, {cost}, which are not counted.')
    if any(row.name.split('.')[0] in READINGS for row in table.rows):
        lines.append('† A reading, not a reproduction: what no public code settles is decided here.')
    return ' '.join(lines)
