"""What each command does once its arguments are understood. Every function prints its result and returns the exit status.

Imports stand inside the functions: torch takes seconds, and `retouch --help` needs none of it.
"""
from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retouch.errors import unknown
from retouch.terminal import console, progress_bar

if TYPE_CHECKING:
    from retouch.cli import CheckOptions, EditOptions, ListOptions, TrainOptions
    from retouch.editor import Editor
    from retouch.run import Run


# ---- train

def train(options: TrainOptions, changes: dict[str, str]) -> int:
    from retouch.run import load_run, override

    given = {'data.source': options.data, 'seed': options.seed}
    run = override(load_run(options.recipe), {**changes, **{k: str(v) for k, v in given.items() if v is not None}})
    out = options.out
    if out is None and options.resume:                           # `train RUN --resume auto` continues that very run
        recipe = Path(options.recipe)
        folder = recipe if recipe.is_dir() else recipe.parent
        out = folder if (folder / 'run.json').is_file() and folder != Path() else None

    from retouch.train import dry_run, train

    first = os.environ.get('RANK', '0') == '0'                   # torchrun starts one process per device; one of them speaks
    if options.dry_run:
        measured = dry_run(run)
        if first:
            print('\n'.join(f'{k:<26}{v:,.1f}' for k, v in measured.items()))
        return 0
    folder, outcome = train(run, out, options.resume, options.stop_after)
    if first:
        print(f'{outcome}: {folder}')
        again = f'retouch train {folder / "run.json"} --out {folder} --resume auto'
        print('\n'.join(f'  {line}' for line in ([] if outcome == 'finished' else [again]) + _next_commands(run, folder)))
    return 130 if outcome == 'interrupted' else 0


def _next_commands(run: Run, folder: Path) -> list[str]:
    if run.data.kind == 'exemplars':
        return [f'retouch evaluate {folder}', f'retouch edit {folder} PICTURE.png --exemplar OTHER.png --out edits']
    lines = [f'retouch evaluate {folder}']
    if run.data.kind == 'attributes' and run.method_id != 'classifier':
        from retouch.data.toyfaces import ATTRIBUTES

        names = run.data.attributes or (ATTRIBUTES if run.data.source == 'toyfaces' else ('ATTRIBUTE',))
        lines.append(f'retouch edit {folder} PICTURE.png --set {names[0]}=1 --out edits')
    elif run.data.kind in ('domains', 'pairs'):
        to = 'A' if getattr(run.data, 'direction', 'a_to_b') == 'b_to_a' else 'B'
        lines.append(f'retouch edit {folder} PICTURE.png --to {to} --out edits')
    return lines


# ---- edit

def edit(options: EditOptions) -> int:
    if not options.images:
        raise ValueError('missing IMAGE: name at least one picture, before --set')
    edits, source = _pairs('--set', options.set), _pairs('--source', options.source)
    if edits and options.to:
        raise ValueError('--set and --to exclude each other: --set is for models of attributes, --to for models of domains')
    pictures = [Path(p) for p in options.images]
    given = [p for p in (options.exemplar, options.mask, options.exemplar_mask) if p is not None]
    for picture in (*pictures, *given):
        if not picture.is_file():
            raise ValueError(f'{picture} is {"a folder" if picture.is_dir() else "not there"}: expected a picture')
    if options.exemplar_mask and not options.exemplar:
        raise ValueError('--exemplar-mask is the mask of an exemplar: add --exemplar')

    from retouch.editor import Editor, output_paths

    inputs, written = {p.resolve() for p in (*pictures, *given)}, dict[str, Path]()
    for picture in pictures:
        for path in output_paths(options.out, picture.stem):
            if path.resolve() in inputs:
                raise ValueError(f'{path} is an input picture and is never overwritten: choose another --out folder')
            key = str(path).casefold()                           # many file systems do not tell A.png from a.png
            if key in written:
                raise ValueError(f'{written[key]} and {picture} would both be written to {path}: edit them into different --out folders')
            written[key] = picture
    editor = Editor.load(options.model, options.device)
    _check_exemplar(options, editor, '--set' if edits else '--source' if source else '--to' if options.to else None)
    if (edits or source) and editor.method.kind != 'attributes':
        raise ValueError(f'{"--set" if edits else "--source"} does not apply to {options.model}: {editor.method.id} has no attributes, it '
                         f'translates between {" and ".join(editor.data.domains)}; use --to {editor.data.domains[-1]}')
    for name in (*edits, *source):
        if name not in editor.data.attributes:
            raise unknown('attribute', name, editor.data.attributes)
    shared: dict[str, Any] = {'box': _box(options.box), 'mask': options.mask, 'strength': options.strength}
    for picture in pictures:
        if editor.method.kind == 'exemplars':
            edit = editor.edit(picture, exemplar=options.exemplar, exemplar_mask=options.exemplar_mask, **shared)
            did = f'in the style of {options.exemplar}'
        elif options.to is not None or (editor.method.kind != 'attributes' and not edits):
            edit = editor.translate(picture, options.to, exemplar=options.exemplar, **shared)
            did = f'to {edit.record["to"]}' + (f' in the style of {options.exemplar}' if options.exemplar else '')
        else:
            wanted: dict[str, Any] = dict(edits)
            edit = editor.edit(picture, source=source, **shared, **wanted)
            present = [name for name, p in edit.source.items() if p > 0.5] or ['nothing']
            asked = ' '.join(f'{name}={value} (was {edit.source[name]:.2f})' for name, value in edits.items())
            did = f'read {" ".join(present)}; set {asked}'
        paths = edit.save(options.out, picture.stem, note=not options.no_note)
        print(f'{picture}: {did}; untouched {edit.untouched:.1%}; {" ".join(map(str, paths))}', flush=True)
        for note in edit.notes:
            print(f'  note: {note}', file=sys.stderr)
    return 0


def _check_exemplar(options: EditOptions, editor: Editor, flag: str | None) -> None:
    """ValueError where a model gets an exemplar that it does not take, or lacks the one it takes; `flag` asks for another kind of edit."""
    method, what = editor.method, f'does not apply to {options.model}'
    if options.exemplar and not getattr(method, 'takes_exemplar', False):
        instead = f'--set {method.data.attributes[0]}=1' if method.kind == 'attributes' else f'--to {method.data.domains[-1]}'
        raise ValueError(f'--exemplar {what}: {method.id} takes none; use {instead}')
    if options.exemplar_mask and method.kind != 'exemplars':
        raise ValueError(f'--exemplar-mask {what}: {method.id} has no masks and reads the whole exemplar')
    if method.kind == 'exemplars' and flag:
        raise ValueError(f'{flag} {what}: {method.id} takes the look of an exemplar; use --exemplar')
    if method.kind == 'exemplars' and not options.exemplar:
        raise ValueError(f'{options.model} takes the look of an exemplar ({method.id}): add --exemplar IMAGE')


def _box(text: str | None) -> tuple[int, int, int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r'(\d+),(\d+),(\d+),(\d+)', text.replace(' ', ''))
    if not match:
        raise ValueError(f'--box {text}: expected X,Y,WIDTH,HEIGHT in pixels, e.g. 10,20,128,128')
    x, y, w, h = map(int, match.groups())
    return x, y, w, h


def _pairs(flag: str, tokens: Sequence[str]) -> dict[str, int]:
    """('A=1', 'B=0') -> {'A': 1, 'B': 0}."""
    pairs: dict[str, int] = {}
    for token in tokens:
        name, equals, value = token.partition('=')
        if not equals or not name:
            raise ValueError(f'{flag} {token}: expected NAME=0 or NAME=1 (pictures come before {flag})')
        if value not in ('0', '1'):
            raise ValueError(f'{flag} {token}: expected {name}=0 or {name}=1')
        if pairs.setdefault(name, int(value)) != int(value):
            raise ValueError(f'{flag} sets {name} to both 0 and 1: keep one of them')
    return pairs


# ---- data check

def check(options: CheckOptions) -> int:
    from retouch.data.check import check_folder, contact_sheet, render

    with progress_bar() as progress:
        report = check_folder(options.folder, progress=lambda done, total: progress(done, total, 'reading pictures'))
    if options.sheet:
        contact_sheet(options.folder, options.sheet)
    print(report.model_dump_json(indent=2) if options.json else render(report))
    return 0 if report.ok else 1                                 # so that `retouch data check DIR && retouch train …` stops here


# ---- list

def show(options: ListOptions) -> int:
    from retouch.methods import METHODS
    from retouch.recipes import RECIPES

    listing: dict[str, Any] = {
        'methods': {name: {'kind': cls.kind, 'summary': _first_line(cls), 'paper': _paper(cls)} for name, cls in METHODS.items()},
        'recipes': {name: {'method': make().method_id, 'parameters': _parameters(make()), 'summary': _first_line(make)}
                    for name, make in RECIPES.items()},
        'data': _layouts(),
    }
    if options.json:
        print(json.dumps(listing, indent=2))
        return 0
    from rich.table import Table

    for title, columns in (('methods', ('kind', 'summary')), ('recipes', ('parameters', 'summary'))):
        table = Table(title, *columns, box=None, pad_edge=False)
        for name, row in listing[title].items():
            counts = ' '.join(f'{net} {count / 1e6:.2f}M' for net, count in (row.get('parameters') or {}).items())
            table.add_row(name, *(counts or 'set by the data' if c == 'parameters' else row[c] for c in columns))
        console().print(table, '')
    print('data layouts:', ', '.join(listing['data']))
    return 0


def _first_line(thing: Any) -> str:
    return (thing.__doc__ or '').strip().partition('\n')[0]


def _paper(method: Any) -> str:
    """The `Paper:` entry of a method file's header, on one line."""
    header = sys.modules[method.__module__].__doc__ or ''
    found = re.search(r'^Paper:\s*(.*?)(?=^\S|^\s*$)', header, re.MULTILINE | re.DOTALL)
    return ' '.join(found.group(1).split()) if found else ''


def _parameters(run: Run) -> dict[str, int] | None:
    """Parameters per network, counted without allocating them; None where the data decide how many classes there are."""
    import torch

    from retouch.data.batches import DataSpec
    from retouch.data.toyfaces import ATTRIBUTES
    from retouch.methods import find_method

    if run.data.kind in ('attributes', 'exemplars'):
        names = run.data.attributes or (ATTRIBUTES if run.data.source == 'toyfaces' else ())
        if not names:
            return None
        spec = DataSpec(size=run.data.size, attributes=tuple(names))
    elif run.data.kind == 'parsing':
        spec = DataSpec(size=run.data.size, attributes=run.data.names)
    else:
        spec = DataSpec(size=run.data.size, domains=('A', 'B'))
    with torch.device('meta'):
        nets = find_method(run.method_id)(run.method, spec).nets
    return {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}


def _layouts() -> list[str]:
    from retouch.data import sources

    return ['toyfaces', *sources.LAYOUTS]
