"""`retouch reproduce`."""
from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table as Shown

from retouch.cli.options import ReproduceOptions
from retouch.files import check_out, write_atomically
from retouch.hardware import find_device, hardware
from retouch.papers.plan import Piece, Plan, files_of_piece, key_of, make_plan, measured, published_runs, weights_of
from retouch.papers.registry import TABLES, find_table
from retouch.papers.reproduce import Given, cost_key, read_seconds, run_dir, run_plan, seconds_file, state_of
from retouch.papers.sets import SETS
from retouch.papers.table import ASKED, Table
from retouch.report.reproduced import write_reproduced
from retouch.run import Run
from retouch.terminal import console, progress_bar
from retouch.training import in_iterations, runs_folder


def reproduce(options: ReproduceOptions) -> int:
    """`retouch reproduce`."""
    out = options.out or runs_folder() / 'reproduce'
    check_out(out)
    if options.table is None:
        for flag in ('data', 'rows', 'judge', 'parser', 'masks', 'weights'):
            if getattr(options, flag):
                raise ValueError(f'--{flag} needs a table: expected `retouch reproduce TABLE`; `retouch reproduce` lists them')
        return _list(options, out)
    table = find_table(options.table)
    sets = '; '.join(dict.fromkeys(f'{SETS[part.set].title} ({SETS[part.set].holds})' for part in table.parts))
    if table.kind != 'counts' and options.data is None:
        raise ValueError(f'{table.id} needs --data DIR with {sets}; with --scale small also --data toyfaces')
    if table.kind != 'counts' and options.data == 'toyfaces' and options.scale == 'full':
        raise ValueError(f'--data toyfaces at full scale: the published settings are for photographs; expected --scale small, or --data '
                         f'DIR with {sets}')
    plan = make_plan(table, options.data or 'toyfaces', options.scale, options.rows, out, options.judge, options.parser, options.masks,
                     options.weights, dry=options.dry_run)
    if options.dry_run:
        return _show_plan(plan, out, options.json)
    given = Given(options.judge, options.parser, str(options.weights) if options.weights else None, options.device)
    try:
        with progress_bar() as progress:
            result = run_plan(plan, out, given, lambda line: print(line, file=sys.stderr), progress)
    except KeyboardInterrupt:
        print(f'interrupted, nothing is lost: {out}; the same command goes on', file=sys.stderr)
        raise
    folder, (header, rows) = out / table.id / plan.scale, result.cells()
    said = f'{table.what}; scale {plan.scale}, data {plan.data}.'
    write_reproduced(folder / 'report.html', f'{table.id}: {table.title}', said, header, rows, result.notes)
    if options.json:
        print(result.encode().decode(), end='')
    else:
        shown = Shown(*header, box=None, pad_edge=False)
        for row in rows:
            shown.add_row(*row)
        console().print(shown, '', *(f'[{number}] {note}' for number, note in enumerate(result.notes, 1)), sep='\n', markup=False)
        print('\n'.join([*_next_commands(plan, out), f'written: {folder / "table.json"} {folder / "table.md"} {folder / "report.html"}']))
    return 1 if any(line.state == 'not scored' for line in result.lines) else 0


def _list(options: ReproduceOptions, out: Path) -> int:
    """Every table: what it needs, its state, and its hours at full scale as far as steps were measured here."""
    device, seconds = hardware(find_device('auto')), read_seconds(out)
    found: list[dict[str, Any]] = []
    for table in TABLES.values():
        runs = published_runs(table)
        if options.dry_run:
            seconds = _measure(runs, seconds, device, out)
        costs = [(seconds.get(cost_key(run, device)), run.train.iterations) for run in runs]
        hours = None if any(cost is None for cost, _ in costs) else sum(cost['seconds'] * length for cost, length in costs if cost) / 3600
        found.append({'table': table.id, 'title': table.title, 'kind': table.kind, 'need': _needs(table), 'state': state_of(table, out),
                      'rows': len(table.rows), 'trainings': len(runs), 'hours': hours})
    if options.json:
        print(json.dumps({'hardware': device, 'tables': found}, indent=2))
        return 0
    shown = Shown('table', 'what', 'needs', 'state', 'trainings', 'hours', box=None, pad_edge=False)
    for entry in found:
        shown_hours = 'not measured' if entry['hours'] is None else f'{entry["hours"]:,.0f}'
        shown.add_row(*(entry[name] for name in ('table', 'title', 'need', 'state')), str(entry['trainings']), shown_hours)
    console().print(shown, markup=False)
    print(f'hours: of all trainings of a table at full scale on {device}, from two measured rounds of steps; `retouch reproduce --dry-run` '
          'measures those that are missing, with a table and --data its own')
    return 0


def _needs(table: Table) -> str:
    """In words: sets, weights, parser, people."""
    sets = ', '.join(dict.fromkeys(SETS[part.set].title for part in table.parts))
    if table.kind == 'counts':
        return 'nothing: networks are counted'
    weights = ', '.join(weights_of(table))
    return '; '.join(filter(None, (sets, weights, 'a face parser' if table.parser else '', 'raters' if table.kind == 'study' else '')))


def _measure(runs: Sequence[Run], seconds: dict[str, dict[str, float]], device: str, out: Path) -> dict[str, dict[str, float]]:
    """Seconds of the steps that were not measured yet, kept at once: a list of all tables takes minutes."""
    todo = [run for run in runs if cost_key(run, device) not in seconds]
    for run in todo:
        key = cost_key(run, device)
        if key in seconds:
            continue
        print(f'measuring {run.recipe} at {run.data.size} px, batch {run.train.batch_size}', file=sys.stderr)
        seconds = {**seconds, key: {name: round(value, 4) for name, value in measured(run).items()}}
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(seconds_file(out), (json.dumps(seconds, indent=1) + '\n').encode())
    return seconds


def _show_plan(plan: Plan, out: Path, as_json: bool) -> int:
    """`--dry-run`: who is trained on what, for how long, and what is missing."""
    device, trains = hardware(find_device('auto')), plan.table.kind != 'counts'
    runs = [in_iterations(run) for run in plan.runs] if trains else []
    seconds = _measure(runs, read_seconds(out), device, out)
    trainings: list[dict[str, Any]] = []
    for run in runs:
        cost = seconds[cost_key(run, device)]
        trainings.append({'training': key_of(run), 'iterations': run.train.iterations, 'batch': run.train.batch_size, 'px': run.data.size,
                          'hours': cost['seconds'] * run.train.iterations / 3600, 'memory_mib': cost['memory_mib'],
                          'measured_batch': cost['batch']})
    pieces: list[dict[str, Any]] = []
    for piece in plan.pieces if trains else ():
        part = piece.part
        pieces.append({'row': piece.row.id, 'part': part.id, 'split': part.split, 'n': part.n, 'direction': part.direction,
                       'recipe': piece.run.recipe, 'files': files_of_piece(piece)})
    hours = sum(entry['hours'] for entry in trainings)
    if as_json:
        print(json.dumps({'table': plan.table.id, 'scale': plan.scale, 'data': plan.data, 'hardware': device, 'hours': hours,
                          'trainings': trainings, 'pieces': pieces, 'missing': plan.missing, 'left_out': plan.left_out}, indent=2))
        return 0
    print(f'{plan.table.id}: {plan.table.title}; scale {plan.scale}, data {plan.data}')
    for part in plan.table.parts:
        shown = dict[str, list[str]]()                           # files -> the rows that have them
        for entry in pieces:
            if entry['part'] == part.id:
                shown.setdefault('\n'.join(f'  {name}: {value}' for name, value in entry['files'].items()), []).append(entry['row'])
        if shown:
            theirs = f'; the paper has {part.train:,} and {part.test:,}' if part.train and part.test else ''
            print(f'\n{part.title}: {part.split}{theirs}')
            print('\n'.join(f'{names}\n    of {", ".join(rows)}' for names, rows in shown.items()))
            print('\n'.join(filter(None, [f'  scored: {"all of test" if part.n is None else f"of test the last {part.n:,}, or all"}',
                                          f'  edits: {part.direction}' if part.direction else ''])))
    if trainings:
        costs = Shown('training', 'iterations', 'batch', 'px', 'hours', 'memory, MiB', box=None, pad_edge=False)
        for cost_of in trainings:
            costs.add_row(cost_of['training'], f'{cost_of["iterations"]:,}', str(cost_of['batch']), str(cost_of['px']),
                          f'{cost_of["hours"]:,.1f}', f'{cost_of["memory_mib"]:,.0f} at batch {cost_of["measured_batch"]:.0f}')
        console().print('', costs, markup=False)
        print(f'in all {hours:,.1f} hours on {device}, from two measured rounds of steps each')
    for line in plan.missing:
        print(f'missing: {line}')
    for what, why in plan.left_out:
        print(f'not run: {what}: {why}')
    return 0


def _next_commands(plan: Plan, out: Path) -> list[str]:
    """The command that asks people, of a table of votes, or those that draw a figure."""
    place = out / plan.table.id / plan.scale

    def folder_of(run: Run) -> str:
        return str(run_dir(in_iterations(run), out, plan.scale))

    if plan.table.kind == 'pictures':
        lines = ['pictures are drawn by:']
        for piece in plan.pieces:
            judge = plan.judges.get(piece.part.id)
            words = ['retouch', 'evaluate', folder_of(piece.run), '--data', piece.scored, *(['--judge', folder_of(judge)] if judge else [])]
            lines.append(f'  {shlex.join([*words, "--figures", "--out", str(place)])}')
        return lines
    asked = _studies(plan.pieces, folder_of, place / 'study')
    return ['people are asked by:', *asked] if asked else []


def _studies(pieces: Sequence[Piece], folder_of: Callable[[Run], str], place: Path) -> list[str]:
    """The commands that write the raters' pages of a table's columns; raters are shown no edits of systems of pairs."""
    found = dict[str, list[str]]()                               # command -> edits
    for piece in pieces:
        for column in piece.part.columns:
            if column.measure != ASKED or piece.run.data.kind == 'pairs':
                continue
            beside, *options = column.asks.split()
            if beside == 'other':
                if len(pieces) < 2 or piece is not pieces[0]:
                    continue
                beside = folder_of(pieces[1].run)
            out = place / '-'.join((piece.row.id, piece.part.id, column.asks.split()[-1]))
            words = ['retouch', 'evaluate', folder_of(piece.run), '--study', beside, *options, '--data', piece.scored, '--out', str(out)]
            found.setdefault(shlex.join(words), []).extend([column.row] if column.row else [])
    return [f'  {command}{" --edits " + shlex.join(edits) if edits else ""}' for command, edits in found.items()]
