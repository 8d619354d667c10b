"""The command line: train, edit, evaluate, compare, data check, list.

Every mistake of the user is one line on stderr and exit status 2; `--debug` adds the traceback. Handlers import what they need, so that
`retouch --help` answers without importing torch.
"""
from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg

import retouch
from retouch.errors import one_line, unknown

if TYPE_CHECKING:
    from rich.console import Console

    from retouch.metrics.card import Card
    from retouch.model import Model
    from retouch.run import Run


@dataclass(frozen=True)
class TrainOptions:
    """Train a system from a recipe, or replay a run.json.

    Every field of the run is an option too: --train.iterations 100, --method.lambda-cls 3, --data.size 64;
    `retouch train RECIPE --help` lists them with their values, `retouch list` lists the recipes.
    """

    recipe: Annotated[Positional[str], arg(metavar='RECIPE')]
    """A recipe's name, a run.json or a run directory."""
    data: Annotated[str | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """Folder of pictures (see `retouch data check`), two folders as A,B, or toyfaces; short for --data.source."""
    out: Annotated[Path | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """Run directory; default: runs/RECIPE, below RETOUCH_RUNS if that is set."""
    resume: Annotated[Literal['auto'] | None, arg(metavar='auto', help_behavior_hint='')] = None
    """Continue from the run directory's saved state, if there is one."""
    seed: Annotated[int | None, arg(metavar='S', help_behavior_hint='')] = None
    """Seed of initialisation, sampling and noise."""
    dry_run: Annotated[bool, arg(help_behavior_hint='')] = False
    """Measure a few iterations (memory, images/s, ETA) and write nothing."""
    stop_after: Annotated[int | None, arg(metavar='N', help_behavior_hint='')] = None
    """Save and stop after iteration N, as Ctrl-C would."""


@dataclass(frozen=True)
class EditOptions:
    """Edit pictures of any size: writes NAME.png, NAME.mask.png and NAME.diff.png, all of the input's size."""

    model: Annotated[Positional[str], arg(metavar='MODEL')]
    """A run directory, a model directory or a shipped model (toyfaces)."""
    images: Annotated[Positional[tuple[str, ...]], arg(metavar='IMAGE…', help_behavior_hint='')]
    """Pictures."""
    out: Annotated[Path, arg(metavar='DIR')]
    """Folder for the results."""
    set: Annotated[tuple[str, ...], arg(metavar='A=1 B=0 …', help_behavior_hint='')] = ()
    """Attributes to change; the others stay as they are read."""
    source: Annotated[tuple[str, ...], arg(metavar='A=0 …', help_behavior_hint='')] = ()
    """What the picture shows, where it is misread."""
    to: Annotated[str | None, arg(metavar='DOMAIN', help_behavior_hint='')] = None
    """Domain to translate to, for models of domains and pairs."""
    box: Annotated[str | None, arg(metavar='X,Y,W,H', help_behavior_hint='')] = None
    """Pixels around which the model's square frame is laid; default: the largest centred square."""
    mask: Annotated[Path | None, arg(metavar='PNG', help_behavior_hint='')] = None
    """A painted picture, white where changes are allowed; confines any model."""
    strength: Annotated[float, arg(metavar='S')] = 1.0
    """Factor on the change, 0 to 2."""
    no_note: Annotated[bool, arg(help_behavior_hint='')] = False
    """Leave out the note inside NAME.png that it was edited with AI, by which model and how."""
    device: Annotated[str, arg(metavar='DEVICE')] = 'auto'
    """auto, cpu, cuda or mps."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Score a model: a metric card and, for a run directory or with --out, card.json and report.html."""

    model: Annotated[Positional[str], arg(metavar='MODEL')]
    """A run directory, a model directory or a shipped model (toyfaces)."""
    data: Annotated[str | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """Folder of labelled pictures instead of the model's own data."""
    protocol: Annotated[str | None, arg(metavar='P', help_behavior_hint='')] = None
    """What is measured and how; default: the one for the model's data."""
    n: Annotated[int | None, arg(metavar='N', help_behavior_hint='')] = None
    """Number of held-out pictures; default: the protocol's."""
    seed: Annotated[int, arg(metavar='S')] = 0
    """Which held-out pictures."""
    judge: Annotated[str | None, arg(metavar='MODEL', help_behavior_hint='')] = None
    """The classifier that decides whether an edit worked; default: the shipped one."""
    out: Annotated[Path | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """Folder for card.json and report.html; default: the run directory."""
    figures: Annotated[bool, arg(help_behavior_hint='')] = False
    """Also write a grid of edits."""
    json: Annotated[bool, arg(help_behavior_hint='')] = False
    """Print the card as JSON."""
    device: Annotated[str, arg(metavar='DEVICE')] = 'auto'
    """auto, cpu, cuda or mps."""


@dataclass(frozen=True)
class CompareOptions:
    """One table of several models' cards, beside the reference rows `copy` and `truth`. Cards of different protocols are refused."""

    models: Annotated[Positional[tuple[str, ...]], arg(metavar='MODEL…', help_behavior_hint='')]
    """Run directories, model directories or shipped models; one without a card.json is evaluated."""
    json: Annotated[bool, arg(help_behavior_hint='')] = False
    """Print JSON."""


@dataclass(frozen=True)
class CheckOptions:
    """Recognise a folder's layout; list counts, sizes, unreadable files, label balance and mask polarity."""

    folder: Annotated[Positional[Path], arg(metavar='DIR')]
    """The folder."""
    json: Annotated[bool, arg(help_behavior_hint='')] = False
    """Print JSON."""
    sheet: Annotated[Path | None, arg(metavar='PNG', help_behavior_hint='')] = None
    """Write a contact sheet of the pictures."""


@dataclass(frozen=True)
class ListOptions:
    """Methods, recipes with their parameter counts, and data layouts."""

    json: Annotated[bool, arg(help_behavior_hint='')] = False
    """Print JSON."""


# Options that the design names and this version does not have: better said than 'unknown option'.
LATER = {
    'edit': {'--exemplar': 'no exemplar system is in this version', '--exemplar-mask': 'no exemplar system is in this version'},
    'evaluate': {'--study': 'user studies are not in this version'},
    'compare': {'--suite': 'name the models to compare instead'},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Returns the exit status: 0, 1 for a fault of ours, 2 for the user's, 130 after Ctrl-C."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    debug = '--debug' in args
    args = [a for a in args if a != '--debug']
    try:
        return _dispatch(args)
    except SystemExit as stop:                                   # tyro's --help
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        print('retouch: interrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:                                      # `retouch list | head`
        sys.stdout = open(os.devnull, 'w')
        return 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        status, line = _explain(error)
        print(f'retouch: error: {line}', file=sys.stderr)
        return status


def _dispatch(args: list[str]) -> int:
    if not args or args[0] in ('-h', '--help', 'help'):
        print(_overview())
        return 0 if args else 2
    if args[0] == '--version':
        print(f'retouch {retouch.__version__}')
        return 0
    command = args.pop(0)
    if command == 'data':
        if not args or args[0] in ('-h', '--help'):
            args = ['--help']
        elif args.pop(0) != 'check':
            raise ValueError('expected: retouch data check DIR')
        command = 'data check'
    if command.startswith('-'):
        raise unknown('option', command, ['--help', '--version', '--debug'])
    if command not in COMMANDS:
        raise unknown('command', command, [name.split()[0] for name in COMMANDS])
    options, handler = COMMANDS[command]
    if command == 'train':
        return _train(args)
    return handler(_parse(command, options, args))


def _explain(error: Exception) -> tuple[int, str]:
    """Exit status and the one line for an error."""
    torch = sys.modules.get('torch')
    on_device = torch is not None and isinstance(error, torch.OutOfMemoryError)
    if on_device or isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return 2, ('out of memory: lower --train.batch-size, --data.size or --n, or set --train.precision bf16-mixed; '
                   '`retouch train RECIPE --dry-run` measures what a setting needs')
    if isinstance(error, OSError) and error.strerror and error.filename:
        return 2, f'{error.filename}: {error.strerror}'
    if isinstance(error, ValueError | OSError | FloatingPointError):
        return 2, one_line(error)
    return 1, f'{type(error).__name__}: {one_line(error)} (a fault of retouch; --debug shows where)'


# ---- arguments

def _parse(command: str, options: type, args: list[str]) -> Any:
    """Arguments -> an instance of `options`; every mistake is a ValueError of one line."""
    for token in args:
        reason = LATER.get(command, {}).get(token.partition('=')[0])
        if reason:
            raise ValueError(f'{token.partition("=")[0]} is not available in retouch {retouch.__version__}: {reason}')
    flags = ['--' + f.name.replace('_', '-') for f in dataclasses.fields(options) if 'Positional' not in str(f.type)]
    box, rest = io.StringIO(), list[str]()
    parsed: Any = None
    try:
        with contextlib.redirect_stderr(box):
            parsed, rest = tyro.cli(options, prog=f'retouch {command}', args=_merge_repeats(args, ('--set', '--source')),
                                    return_unknown_args=True, config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as stop:
        if not stop.code:
            raise
        for token in args:                                       # the nearest option says more than what is missing because of it
            name = token.partition('=')[0].replace('_', '-')
            if token.startswith('--') and name not in (*flags, '--help'):
                raise unknown('option', token.partition('=')[0], flags) from None
        raise ValueError(_unbox(box.getvalue(), command)) from None
    for token in rest:
        if token.startswith('-'):
            raise unknown('option', token.partition('=')[0], flags)
    if rest:
        raise ValueError(f'unexpected argument {rest[0]!r}: `retouch {command} --help` shows what is expected')
    return parsed


def _merge_repeats(args: list[str], names: tuple[str, ...]) -> list[str]:
    """`--set A=1 --set B=0` means `--set A=1 B=0`; tyro alone would keep the last."""
    kept: list[str] = []
    values: dict[str, list[str]] = {}
    current = None
    for token in args:
        name, equals, value = token.partition('=')
        if name in names:
            current = values.setdefault(name, [])
            current.extend([value] if equals else [])
        elif current is not None and not token.startswith('-'):
            current.append(token)
        else:
            current = None
            kept.append(token)
    return kept + [part for name, given in values.items() for part in (name, *given)]


def _unbox(text: str, command: str) -> str:
    """tyro's framed report -> its essential line."""
    lines = [line.strip('│ ') for line in text.splitlines() if not line.startswith(('╭', '╰'))]
    cut = next((i for i, line in enumerate(lines) if line.startswith('──') or line == 'Got errors:'), len(lines))
    body = ' '.join(' '.join(lines[:cut]).split())
    hint = f'`retouch {command} --help` shows what is expected'
    choice = re.search(r"invalid choice '([^']*)' for argument '([^']+)'\. Expected one of \((.*)\)", body)
    if choice:
        value, flag, names = choice.groups()
        names = ' or '.join(name.strip("' ") for name in names.split(',') if 'None' not in name)
        return f'{flag} {value}: expected {names}'
    number = re.search(r"Error parsing (--[\w-]+): .*?(?:base 10: |float: |from \[)'([^']*)'", body)
    if number:
        flag, value = number.groups()
        return f'{flag} {value}: expected a {"number" if "float" in body else "whole number"}'
    missing = re.search(r"Missing value for argument '([^']+)'", body)
    if missing:
        name = missing.group(1)
        return f'{name if name.startswith("-") else name.upper()} is missing{" its value" if name.startswith("-") else ""}: {hint}'
    if 'Missing from' in body:
        names = [line.split()[0] for line in lines[1:cut] if re.match(r'--|[A-Z]+$', line)]
        return f'missing {" and ".join(names)}: {hint}'
    return f'{body or "the arguments cannot be read"}; {hint}'


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


def _overview() -> str:
    rows = '\n'.join(f'  {name:<12}{(cls.__doc__ or "").splitlines()[0]}' for name, (cls, _) in COMMANDS.items())
    return (f'usage: retouch COMMAND …\n\nChanges what was asked in a picture and leaves every other pixel alone.\n\n{rows}\n\n'
            '`retouch COMMAND --help` explains one. Also: --version; --debug (the traceback of an error).\n'
            'MODEL is a run directory, a model directory or a shipped model (toyfaces).')


# ---- train

def _train(args: list[str]) -> int:
    """`retouch train`: dotted options are fields of the run, all others are TrainOptions."""
    plain, changes = _split_dotted(args)
    names = [a for a in plain if not a.startswith('-')]
    if names and any(a in ('-h', '--help') for a in plain):
        return _train_help(plain, names, changes)
    options: TrainOptions = _parse('train', TrainOptions, plain)
    return _start(options, changes)


def _split_dotted(args: list[str]) -> tuple[list[str], dict[str, str]]:
    """Takes `--section.field value` and `--section.field=value` out of the arguments."""
    plain: list[str] = []
    changes: dict[str, str] = {}
    tokens = iter(args)
    for token in tokens:
        name, equals, value = token.partition('=')
        if not (name.startswith('--') and '.' in name):
            plain.append(token)
            continue
        if not equals:
            value = next(tokens, '--')
            if value.startswith('--'):
                raise ValueError(f'{name} is missing its value: expected {name} VALUE')
        changes[name[2:].replace('-', '_')] = value
    return plain, changes


def _train_help(plain: list[str], names: list[str], changes: dict[str, str]) -> int:
    """Help of `retouch train RECIPE`: the command's own options, then every field of the run with its value."""
    from retouch.run import load_run, override

    with contextlib.suppress(SystemExit):
        tyro.cli(TrainOptions, prog='retouch train', args=['--help'], config=(tyro.conf.FlagCreatePairsOff,))
    run = override(load_run(names[0]), changes)
    fields = dataclasses.make_dataclass('Fields', [('method', type(run.method)), ('data', type(run.data)), ('train', type(run.train))])
    fields.__doc__ = f'Every field of {names[0]}, each with its value there.'
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        tyro.cli(fields, default=fields(run.method, run.data, run.train), prog=f'retouch train {names[0]}', args=['--help'],
                 config=(tyro.conf.FlagConversionOff,))
    print('\n' + shown.getvalue(), end='')
    return 0


def _start(options: TrainOptions, changes: dict[str, str]) -> int:
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
    lines = [f'retouch evaluate {folder}']
    if run.data.kind == 'attributes' and run.method_id != 'classifier':
        from retouch.data.toyfaces import ATTRIBUTES

        names = run.data.attributes or (ATTRIBUTES if run.data.source == 'toyfaces' else ('ATTRIBUTE',))
        lines.append(f'retouch edit {folder} PICTURE.png --set {names[0]}=1 --out edits')
    elif run.data.kind != 'attributes':
        lines.append(f'retouch edit {folder} PICTURE.png --to B --out edits')
    return lines


# ---- edit

def _edit(options: EditOptions) -> int:
    if not options.images:
        raise ValueError('missing IMAGE: name at least one picture, before --set')
    edits, source = _pairs('--set', options.set), _pairs('--source', options.source)
    if edits and options.to:
        raise ValueError('--set and --to exclude each other: --set is for models of attributes, --to for models of domains')
    pictures = [Path(p) for p in options.images]
    for picture in pictures:
        if not picture.is_file():
            raise ValueError(f'{picture} is {"a folder" if picture.is_dir() else "not there"}: expected a picture')

    from retouch.editor import Editor, output_paths

    inputs, written = {p.resolve() for p in pictures}, dict[Path, Path]()
    for picture in pictures:
        for path in output_paths(options.out, picture.stem):
            if path.resolve() in inputs:
                raise ValueError(f'{path} is an input picture and is never overwritten: choose another --out folder')
            if path in written:
                raise ValueError(f'{written[path]} and {picture} would both be written to {path}: edit them into different --out folders')
            written[path] = picture
    editor = Editor.load(options.model, options.device)
    for name in (*edits, *source):
        if editor.data.attributes and name not in editor.data.attributes:
            raise unknown('attribute', name, editor.data.attributes)
    shared: dict[str, Any] = {'box': _box(options.box), 'mask': options.mask, 'strength': options.strength}
    for picture in pictures:
        if options.to is not None or (editor.method.kind != 'attributes' and not edits):
            edit = editor.translate(picture, options.to, **shared)
            did = f'to {edit.record["to"]}'
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


def _box(text: str | None) -> tuple[int, int, int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r'(\d+),(\d+),(\d+),(\d+)', text.replace(' ', ''))
    if not match:
        raise ValueError(f'--box {text}: expected X,Y,WIDTH,HEIGHT in pixels, e.g. 10,20,128,128')
    x, y, w, h = map(int, match.groups())
    return x, y, w, h


# ---- list

def _list(options: ListOptions) -> int:
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
        _console().print(table, '')
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

    if run.data.kind == 'attributes':
        names = run.data.attributes or (ATTRIBUTES if run.data.source == 'toyfaces' else ())
        if not names:
            return None
        spec = DataSpec(size=run.data.size, attributes=tuple(names))
    else:
        spec = DataSpec(size=run.data.size, domains=('A', 'B'))
    with torch.device('meta'):
        nets = find_method(run.method_id)(run.method, spec).nets
    return {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}


def _layouts() -> list[str]:
    from retouch.data import sources

    return ['toyfaces', *sources.LAYOUTS]


# ---- data check

def _check(options: CheckOptions) -> int:
    from retouch.data.check import check_folder, contact_sheet, render

    report = check_folder(options.folder)
    print(json.dumps(dataclasses.asdict(report), indent=2, default=str) if options.json else render(report))
    if options.sheet:
        contact_sheet(options.folder, options.sheet)
    return 0


# ---- evaluate, compare

def _evaluate(options: EvaluateOptions) -> int:
    from retouch.model import CONFIG

    run = Path(options.model)
    out = options.out or (run if (run / 'model' / CONFIG).is_file() else None)
    if options.figures and out is None:
        raise ValueError(f'--figures needs a folder: {options.model} is no run directory, add --out DIR')
    card = _score(options)
    if out is not None:
        from retouch.report import write_report

        card.write(out / 'card.json')
        write_report(card, out / 'report.html')
    if options.json:
        print(json.dumps(card.model_dump(mode='json'), indent=2))
        return 0
    from rich.table import Table

    from retouch.metrics.card import about, measure_to_text

    columns = {options.model: card.measures, **card.references}
    table = Table('measure', *columns, 'meaning', box=None, pad_edge=False)

    for name in card.measures:
        unit = card.measures[name].unit
        table.add_row(f'{name} ({unit})' if unit else name, *(measure_to_text(row.get(name)) for row in columns.values()), about(name).text)
    _console().print(f'{card.protocol}, n={card.n}, seed={card.seed}', table, sep='\n')
    if out is not None:
        print(f'written: {out / "card.json"} {out / "report.html"}')
    return 0


def _score(options: EvaluateOptions) -> Card:
    """Scores a model by the protocol that fits its data, or by the one asked for."""
    from retouch.editor import find_device
    from retouch.metrics import protocols
    from retouch.model import load_model

    if options.n is not None and options.n < 2:
        raise ValueError(f'--n {options.n}: expected at least 2 pictures')
    names = [*protocols.PROTOCOLS, 'classifier']
    if options.protocol is not None and options.protocol not in names:
        raise unknown('protocol', options.protocol, names)
    device = find_device(options.device)
    model = load_model(options.model, device)
    trained = model.info.get('data', {})
    source = options.data or trained.get('source', 'toyfaces')
    kind: str = model.method.kind
    if model.method.id == 'classifier':
        fits = 'classifier'
    elif kind == 'attributes':
        fits = 'toyfaces' if source == 'toyfaces' else 'folder'
    elif kind == 'domains' and source == 'toyfaces':
        fits = 'domains'
    else:
        raise ValueError(f'no protocol of this version scores a model of {kind} on {source}: expected an attribute model, or domains of toyfaces')
    protocol = options.protocol or fits
    if protocol != fits:
        raise ValueError(f'--protocol {protocol} does not fit {options.model}, a {model.method.id} on {source}: expected {fits}')
    n = options.n or 500
    command = shlex.join(['retouch', 'evaluate', options.model, *(['--data', options.data] if options.data else []), '--protocol', protocol,
                          *(['--judge', options.judge] if options.judge else []), '--n', str(n), '--seed', str(options.seed)])
    shared: dict[str, Any] = {'seed': options.seed, 'device': device, 'command': command}
    judge = load_model(options.judge, device) if options.judge else None
    with _progress() as progress:
        if protocol == 'classifier' or protocol == 'folder':
            images, labels = _held_out(model, source, trained, n, options.seed, progress)
            if protocol == 'classifier':
                return protocols.classifier_card(model, images, labels, source=source, **shared)
            return protocols.evaluate(model, protocol=protocol, judge=judge, images=images, labels=labels, source=source, progress=progress, **shared)
        return protocols.evaluate(model, protocol=protocol, n=n, judge=judge, progress=progress, **shared)


def _held_out(model: Model, source: str, trained: dict[str, Any], n: int, seed: int, progress: Callable[[int, int, str], None]) -> tuple[Any, Any]:
    """Pictures uint8 [N,S,S,3] that training never saw, with the model's labels [N,K]."""
    from retouch.data import toyfaces
    from retouch.data.sets import AttributeData, open_attributes

    names = model.data.attributes
    if source == 'toyfaces':
        from retouch.metrics.truth import held_out_faces

        images, labels = held_out_faces(n, model.data.size, seed)
        return images, labels[:, [toyfaces.ATTRIBUTES.index(name) for name in names]]
    known = {k: v for k, v in trained.items() if k in ('crop', 'holdout')}
    config = AttributeData(source=source, attributes=names, size=model.data.size, **known)
    opened = open_attributes(config, 'test', lambda done, total: progress(done, total, 'reading pictures'))
    return opened.images[:n], opened.labels[:n]


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int, str], None]]:
    """(done, total, what) -> a bar on stderr with a rate and an ETA; silent where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn('ETA'), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        tasks: dict[str, Any] = {}

        def show(done: int, total: int, what: str) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        yield show


def _compare(options: CompareOptions) -> int:
    if not options.models:
        raise ValueError('missing MODEL: name at least one model')
    from retouch.metrics.card import compare

    cards: dict[str, Card] = {}
    for name in options.models:
        cards[name] = _card_of(name)
    comparison = compare(cards)
    if options.json:
        print(json.dumps(comparison.model_dump(mode='json'), indent=2))
        return 0
    from rich.table import Table

    header, rows = comparison.cells()
    table = Table(header[0], *(m for m in header[1:]), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    _console().print(table)
    return 0


def _card_of(name: str) -> Card:
    """The card beside a model; a model that has none is evaluated with the defaults."""
    from retouch.metrics.card import Card
    from retouch.model import find_model_dir

    folder = find_model_dir(name)
    for place in (Path(name), folder, folder.parent):
        if (place / 'card.json').is_file():
            return Card.read(place / 'card.json')
    print(f'{name} has no card.json: evaluating it', file=sys.stderr)
    return _score(EvaluateOptions(name))


def _console() -> Console:
    """Of the terminal's width; wide where the output goes to a file."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


COMMANDS: dict[str, tuple[type, Callable[[Any], int]]] = {
    'train': (TrainOptions, lambda options: _start(options, {})),
    'edit': (EditOptions, _edit),
    'evaluate': (EvaluateOptions, _evaluate),
    'compare': (CompareOptions, _compare),
    'data check': (CheckOptions, _check),
    'list': (ListOptions, _list),
}
