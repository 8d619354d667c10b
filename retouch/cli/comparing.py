"""`retouch compare`."""
from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from pathlib import Path

from rich.table import Column, Table

from retouch.cli.evaluating import log_of
from retouch.cli.options import CompareOptions
from retouch.data.cache import cores
from retouch.errors import one_line
from retouch.evaluation import suite
from retouch.evaluation.asked import asked_in
from retouch.evaluation.card import Card
from retouch.evaluation.comparison import Comparison, cards_to_comparison, find_card, is_card
from retouch.evaluation.evaluate import Request, evaluate
from retouch.evaluation.held_out import pictures_of
from retouch.evaluation.jobs import at_once, commands_to_text, row_to_command, run_side_by_side
from retouch.evaluation.ledger import Ledger
from retouch.files import check_out, write_atomically
from retouch.hardware import find_device, free_memory
from retouch.metrics.bootstrap import Tally
from retouch.metrics.measure import notes_of
from retouch.model import load_model
from retouch.report.comparison import write_comparison
from retouch.report.gallery import GalleryRow, gallery_of
from retouch.terminal import console, progress_bar


def compare(options: CompareOptions) -> int:
    """`retouch compare`."""
    check_out(options.out)
    if options.suite is not None:
        return _compare_suite(options, options.suite)
    for flag in ('only', 'seeds', 'n', 'threads', 'jobs', 'parser', 'print', 'print_commands'):
        if getattr(options, flag) not in (None, (), False):
            raise ValueError(f'--{flag.replace("_", "-")} needs --suite: models are compared by the cards they have')
    if not options.models:
        raise ValueError('missing MODEL: name at least one model, or --suite toyfaces')
    found = {name: _card_of(name) for name in options.models}
    cards, tallies = {name: card for name, (card, _) in found.items()}, {name: sums for name, (_, sums) in found.items()}
    comparison = cards_to_comparison(cards, tallies)
    files = _write_comparison(options.out, cards, tallies, comparison) if options.out is not None else []
    if options.json:
        print(json.dumps(comparison.model_dump(mode='json'), indent=2))
        return 0
    tables = {'as in the paper': comparison.paper_cells(), 'measure': comparison.cells(),
              f'less {options.models[0]}': comparison.difference_cells()}
    for title, (header, rows) in tables.items():
        if rows:
            names, *columns = zip(header, *rows, strict=True)    # models across: measures are many, models few
            table = Table(title, *names[1:], box=None, pad_edge=False)
            for column in columns:
                table.add_row(*column)
            console().print(table, '', markup=False)
    for line in dict.fromkeys(line for card in cards.values() for line in notes_of(card.measures)):
        console().print(f'note: {line}', markup=False)
    if comparison.differences:
        print('[…]: 95 % interval; of a difference on the same pictures, drawn in pairs; * where it leaves out 0')
    if files:
        print('written:', *files)
    return 0


def _card_of(name: str) -> tuple[Card, dict[str, Tally]]:
    """The card of a model and its tallies; a model that has none is evaluated with the defaults."""
    found = find_card(name)
    if found is None:
        print(f'{name} has no card.json: evaluating it', file=sys.stderr)
        ledger = Ledger()
        with progress_bar() as progress:
            found = evaluate(Request(name), ledger, progress).card, ledger.tallies
    return found


def _write_comparison(out: Path, cards: dict[str, Card], tallies: dict[str, dict[str, Tally]], comparison: Comparison) -> list[Path]:
    """report.html, with the same edits of all models, and comparison.json."""
    galleries, note = _galleries(cards)
    if note:
        print(f'note: {note}', file=sys.stderr)
    files = [out / 'comparison.json', out / 'report.html']
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(files[0], (comparison.model_dump_json(indent=2) + '\n').encode())
    logs = {name: log_of(name) for name in cards if not is_card(name)}
    write_comparison(files[1], cards, comparison, galleries, logs, note, tallies)
    return files


def _galleries(cards: dict[str, Card]) -> tuple[dict[str, list[GalleryRow]], str]:
    """The same edits of all models, and ''; or none, and why not."""
    alone = next((name for name in cards if is_card(name)), None)
    if alone is not None:
        return {}, f'{alone} is a card without its model: no edits are shown'
    device, pictures = find_device('auto'), None
    galleries: dict[str, list[GalleryRow]] = {}
    with progress_bar() as progress:
        for i, (name, card) in enumerate(cards.items()):
            model = load_model(name, device)
            try:
                pictures = pictures or pictures_of(model, card, progress)
            except (ValueError, OSError) as error:
                return {}, f'The pictures that were scored cannot be shown: {one_line(error)}'
            galleries[name] = gallery_of(model, card.protocol, card.n, card.seed, pictures, *asked_in(card))
            progress(i + 1, len(cards), 'editing pictures')
    return galleries, ''


def _compare_suite(options: CompareOptions, name: str) -> int:
    """`retouch compare --suite`."""
    if options.models:
        raise ValueError(f'{" ".join(options.models)} with --suite: a suite has its own rows; leave out one of the two')
    n = 500 if options.n is None else options.n
    for flag, value, fewest in (('n', n, 2), ('threads', options.threads or 1, 1), ('jobs', options.jobs, 1)):
        if value is not None and value < fewest:
            raise ValueError(f'--{flag} {value}: expected at least {fewest}')
    rows, folder = suite.choose(name, options.only, options.seeds), options.out or suite.runs_folder() / 'leaderboard'
    failed: dict[str, str] = {}
    if options.print_commands:
        print(commands_to_text(_commands(options, name, rows, options.threads)))
        return 0
    if not options.print:
        try:
            failed = _run_suite(options, name, rows, folder, n)
        except KeyboardInterrupt:
            given = {'--only': options.only, '--seeds': options.seeds, **{f'--{flag}': () if value is None else (value,) for flag, value in
                     (('out', options.out), ('n', options.n), ('threads', options.threads), ('jobs', options.jobs),
                      ('parser', options.parser))}}
            words = [str(word) for flag, values in given.items() if values for word in (flag, *values)]
            print(f'interrupted, nothing is lost: {folder}\n  {shlex.join(["retouch", "compare", "--suite", name, *words])}')
            return 130
    table = suite.records_to_table(suite.SUITES[name], suite.COLUMNS, folder)
    if options.json:
        print(json.dumps({'suite': name, 'rows': [dataclasses.asdict(row) for row in table.rows]}, indent=2))
        return _told(failed)
    header, *lines = table.cells()
    shown = Table(Column(header[0], no_wrap=True), *header[1:], box=None, pad_edge=False)
    for first, *others in lines:
        shown.add_row(first.strip('`'), *others)
    console().print(shown, suite.notes(table), sep='\n', markup=False)
    return _told(failed)


def _run_suite(options: CompareOptions, name: str, rows: list[tuple[str, int]], folder: Path, n: int) -> dict[str, str]:
    """Trains and scores what has no record yet. What went wrong, by row; KeyboardInterrupt where somebody stopped it."""
    if options.jobs is None:
        def card_of(run: Path) -> Card:
            with progress_bar() as progress:
                return evaluate(Request(run, protocol=suite.PROTOCOL, n=n), progress=progress).card
        suite.run_suite(rows, folder, card_of, n, options.threads, options.parser)
        return {}
    todo = suite.still_to_run(rows, folder, n, options.parser)
    jobs, line = at_once(options.jobs, len(todo), free_memory())
    if line:
        print(line, file=sys.stderr)
    threads = options.threads or max(cores() // jobs, 1)
    failed, interrupted = run_side_by_side(_commands(options, name, todo, threads), jobs, threads)
    if interrupted:
        raise KeyboardInterrupt
    return failed


def _commands(options: CompareOptions, name: str, rows: list[tuple[str, int]], threads: int | None) -> dict[str, list[str]]:
    return {f'{recipe}-s{seed}': row_to_command(name, recipe, seed, options.out, options.n, threads, options.parser)
            for recipe, seed in rows}


def _told(failed: dict[str, str]) -> int:
    """Names the rows that failed. The exit status."""
    for row, line in failed.items():
        print(f'retouch: error: {row}: {line}', file=sys.stderr)
    return 2 if failed else 0
