"""The command line: train, edit, evaluate, compare, study, data check, list.

Every mistake of the user is one line on stderr and exit status 2; `--debug` adds the traceback. Handlers import what they need, so that
`retouch --help` answers without importing torch.
"""
from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg

import retouch
from retouch import commands, evaluation_commands
from retouch.errors import one_line, unknown


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
    """Measure a few iterations (memory, images/s, ETA) without writing a run directory."""
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
    exemplar: Annotated[Path | None, arg(metavar='IMAGE', help_behavior_hint='')] = None
    """A picture to take the look from, for models that take one; also writes NAME.exemplar-mask.png, where the model has such a mask."""
    mask: Annotated[Path | None, arg(metavar='PNG', help_behavior_hint='')] = None
    """A painted picture, white where changes are allowed; confines any model."""
    exemplar_mask: Annotated[Path | None, arg(metavar='PNG', help_behavior_hint='')] = None
    """A painted picture, white where the exemplar's style is read."""
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
    """Folder of pictures in a layout that fits the model, or toyfaces, instead of its own data."""
    protocol: Annotated[str | None, arg(metavar='P', help_behavior_hint='')] = None
    """What is measured and how; default: the one for the model's data. A paper's numbers: cam, asgit, aggan, lomit or secgan."""
    proxy: Annotated[bool, arg(help_behavior_hint='')] = False
    """With the protocol of a paper: let features of the judge stand in for published weights; such numbers are named proxies."""
    n: Annotated[int | None, arg(metavar='N', help_behavior_hint='')] = None
    """Number of held-out pictures; default: the protocol's."""
    seed: Annotated[int, arg(metavar='S')] = 0
    """Which held-out pictures."""
    size: Annotated[int | None, arg(metavar='PX', help_behavior_hint='')] = None
    """Classifiers: side of the pictures before they are brought to the model's; default: the model's."""
    judge: Annotated[str | None, arg(metavar='MODEL', help_behavior_hint='')] = None
    """The classifier that decides whether an edit worked (default: the shipped one), or the parser that reads pictures made from parses."""
    parser: Annotated[str | None, arg(metavar='MODEL', help_behavior_hint='')] = None
    """Faces with attributes: add PSNR outside the parts of the face that an edit names, by this face parser."""
    out: Annotated[Path | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """Folder for card.json and report.html; default: the run directory."""
    figures: Annotated[bool, arg(help_behavior_hint='')] = False
    """Also write a grid of edits."""
    study: Annotated[str | None, arg(metavar='MODEL', help_behavior_hint='')] = None
    """Instead of scoring, write to --out a page that asks raters whose edits are better, this model's or MODEL's, of --n pictures or 40."""
    edits: Annotated[tuple[str, ...], arg(metavar='A B …', help_behavior_hint='')] = ()
    """With --study: attributes to edit; default: all."""
    features: Annotated[tuple[str, ...], arg(metavar='A B …', help_behavior_hint='')] = ()
    """Add measures by these networks: inception-v3-compat (FID, Inception score), inception-v3-torchvision, dinov2-vitb14, swav-resnet50,
    lpips-alexnet, judge."""
    weights: Annotated[Path | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """With --features: folder of their published weights; default: RETOUCH_WEIGHTS, else torch's cache."""
    download: Annotated[bool, arg(help_behavior_hint='')] = False
    """With --features: fetch weights that are missing there."""
    json: Annotated[bool, arg(help_behavior_hint='')] = False
    """Print the card as JSON."""
    device: Annotated[str, arg(metavar='DEVICE')] = 'auto'
    """auto, cpu, cuda or mps."""


@dataclass(frozen=True)
class CompareOptions:
    """One table of several models' cards, beside the reference rows `copy` and `truth`. Cards of different protocols are refused."""

    models: Annotated[Positional[tuple[str, ...]], arg(metavar='MODEL…', help_behavior_hint='')] = ()
    """Run directories, model directories, shipped models or folders of `evaluate --out`; a model without a card.json is evaluated."""
    out: Annotated[Path | None, arg(metavar='DIR', help_behavior_hint='')] = None
    """Folder for report.html, with the same edits of all models side by side, and comparison.json; with --suite: of the results, one JSON a
    row and seed, default: runs/leaderboard, below RETOUCH_RUNS if that is set."""
    suite: Annotated[str | None, arg(metavar='NAME', help_behavior_hint='')] = None
    """Instead of models: train and score every method on one task and budget (toyfaces), then print the table. Hours; stops and goes on."""
    only: Annotated[tuple[str, ...], arg(metavar='RECIPE …', help_behavior_hint='')] = ()
    """With --suite: rows to run; default: all."""
    seeds: Annotated[tuple[int, ...], arg(metavar='S …', help_behavior_hint='')] = ()
    """With --suite: seeds to run, of those that a row is planned with; default: all."""
    n: Annotated[int | None, arg(metavar='N', help_behavior_hint='')] = None
    """With --suite: number of held-out faces; default: 500."""
    threads: Annotated[int | None, arg(metavar='T', help_behavior_hint='')] = None
    """With --suite: CPU threads of training; default: torch's choice."""
    parser: Annotated[str | None, arg(metavar='MODEL', help_behavior_hint='')] = None
    """With --suite: the face parser that guides SeCGAN; default: one that is trained first."""
    print: Annotated[bool, arg(help_behavior_hint='')] = False
    """With --suite: run nothing, print the table of what there is."""
    json: Annotated[bool, arg(help_behavior_hint='')] = False
    """Print JSON."""


@dataclass(frozen=True)
class StudyOptions:
    """What raters answered on the page of `retouch evaluate --study`: the share of votes for each system, in all and by edit."""

    folder: Annotated[Positional[Path], arg(metavar='DIR')]
    """The folder of the study."""
    answers: Annotated[Positional[tuple[Path, ...]], arg(metavar='ANSWERS…', help_behavior_hint='')] = ()
    """The raters' files; default: answers*.json in the folder."""
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Returns the exit status: 0, 1 for a fault of ours, 2 for the user's, 130 after Ctrl-C."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    debug = '--debug' in args
    args = [a for a in args if a != '--debug']
    for stream in (sys.stdout, sys.stderr):                      # a terminal without UTF-8 shows ? for what it lacks
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='replace')
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
    if '╭' not in text and len(lines) > 2:                       # without UTF-8 there is no frame, but a title above a rule
        del lines[:2]
    cut = next((i for i, line in enumerate(lines) if re.fullmatch('[─-]{4,}|Got errors:', line)), len(lines))
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


def _overview() -> str:
    rows = '\n'.join(f'  {name:<12}{(cls.__doc__ or "").splitlines()[0]}' for name, (cls, _) in COMMANDS.items())
    return (f'usage: retouch COMMAND …\n\nChanges what was asked in a picture and leaves every other pixel alone.\n\n{rows}\n\n'
            '`retouch COMMAND --help` explains one. Also: --version; --debug (the traceback of an error).\n'
            'MODEL is a run directory, a model directory or a shipped model (toyfaces).')


# ---- train

def _train(args: list[str]) -> int:
    """`retouch train`: dotted options are fields of the run, all others are TrainOptions."""
    plain, changes = _split_dotted(args)
    names = _positionals(plain)
    if names and any(a in ('-h', '--help') for a in plain):
        return _train_help(names[0], changes)
    _check_dotted(plain, names)
    options: TrainOptions = _parse('train', TrainOptions, plain)
    return commands.train(options, changes)


def _positionals(plain: list[str]) -> list[str]:
    """The arguments of `retouch train` that are neither options nor their values."""
    takes_value = {'--' + f.name.replace('_', '-') for f in dataclasses.fields(TrainOptions) if 'bool' not in str(f.type)}
    return [token for before, token in zip(['', *plain], plain, strict=False)
            if not token.startswith('-') and before.replace('_', '-') not in takes_value]


def _check_dotted(plain: list[str], names: list[str]) -> None:
    """An option that is a field of the run without its section is refused with its full name."""
    flags = {'--help', *('--' + f.name.replace('_', '-') for f in dataclasses.fields(TrainOptions))}
    for token in plain if names else ():
        option = token.partition('=')[0]
        if not option.startswith('--') or option.replace('_', '-') in flags:
            continue
        from retouch.run import field_names, load_run

        for name in names:                                       # among them may be the value of that very option
            try:
                fields = field_names(load_run(name))
            except (ValueError, OSError):
                continue
            for field in fields:
                if '.' in field and field.rpartition('.')[2] == option[2:].replace('-', '_'):
                    raise ValueError(f"unknown option {option!r}: did you mean '--{field.replace('_', '-')}'? "
                                     f'`retouch train {name} --help` lists every field')


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


def _train_help(recipe: str, changes: dict[str, str]) -> int:
    """Help of `retouch train RECIPE`: the command's own options, then every field of the run with its value."""
    from retouch.run import load_run, override

    with contextlib.suppress(SystemExit):
        tyro.cli(TrainOptions, prog='retouch train', args=['--help'], config=(tyro.conf.FlagCreatePairsOff,))
    run = override(load_run(recipe), changes)
    fields = dataclasses.make_dataclass('Fields', [(name, _section(getattr(run, name))) for name in ('method', 'data', 'train')])
    fields.__doc__ = f'Every field of {recipe}, each with its value there.'
    print()
    with contextlib.suppress(SystemExit):
        tyro.cli(fields, prog=f'retouch train {recipe}', args=['--help'], config=(tyro.conf.FlagConversionOff,))
    return 0


def _section(config: Any) -> type:
    """A Config's settable fields as a dataclass for tyro, without the tags `id` and `kind`."""
    from retouch.config import Config

    fields: list[Any] = []
    for name, info in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Config):             # a section of its own: the backbone of a method
            inner = _section(value)
            fields.append((name, inner, dataclasses.field(default_factory=inner)))
        elif name not in ('id', 'kind'):
            fields.append((name, Annotated[info.annotation, arg(help=info.description)], dataclasses.field(default=value)))
    section = dataclasses.make_dataclass('Section', fields)
    section.__doc__ = type(config).__doc__
    return section


COMMANDS: dict[str, tuple[type, Callable[[Any], int]]] = {
    'train': (TrainOptions, lambda options: commands.train(options, {})),
    'edit': (EditOptions, commands.edit),
    'evaluate': (EvaluateOptions, evaluation_commands.evaluate),
    'compare': (CompareOptions, evaluation_commands.compare),
    'study': (StudyOptions, evaluation_commands.study),
    'data check': (CheckOptions, commands.check),
    'list': (ListOptions, commands.show),
}
