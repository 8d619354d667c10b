"""`retouch train`. What needs torch is imported where it is used: help and most mistakes are answered without."""
from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import arg

from retouch.cli.arguments import parse, split_dotted
from retouch.cli.options import TrainOptions
from retouch.config import Config
from retouch.toyfaces import ATTRIBUTES

if TYPE_CHECKING:
    from retouch.run import Run


def train(args: list[str]) -> int:
    """`retouch train`: dotted options are fields of the run, all others are TrainOptions."""
    plain, changes = split_dotted(args, _lists)
    names = _positionals(plain)
    if names and any(a in ('-h', '--help') for a in plain):
        return _train_help(names[0], changes)
    _check_dotted(plain, names)
    options: TrainOptions = parse('train', TrainOptions, plain)
    return _carry_out(options, changes)


def _lists() -> set[str]:
    from retouch.recipes.registry import list_fields

    return list_fields()


def _train_help(recipe: str, changes: dict[str, str]) -> int:
    """Help of `retouch train RECIPE`: the command's own options, then every field of the run with its value."""
    from retouch.recipes.registry import load_run, override

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


def _carry_out(options: TrainOptions, changes: dict[str, str]) -> int:
    from retouch.api import resolve
    from retouch.training import dry_run, train_run

    given = {'data.source': options.data, 'seed': options.seed}
    changes = {**changes, **{k: str(v) for k, v in given.items() if v is not None}}
    run, out = resolve(options.recipe, changes, options.out, options.resume, options.init, options.init_optimiser)
    first = os.environ.get('RANK', '0') == '0'                   # torchrun starts one process per device; one of them speaks
    if options.dry_run:
        measured = dry_run(run)
        if first:
            print('\n'.join(f'{k:<26}{v:,.1f}' for k, v in measured.items()))
        return 0
    folder, outcome = train_run(run, out, options.resume, options.stop_after)
    if first:
        print(f'{outcome}: {folder}')
        again = [] if outcome == 'finished' else [_command_to_resume(folder)]
        print('\n'.join(f'  {line}' for line in again + _next_commands(run, folder)))
    return 130 if outcome == 'interrupted' else 0


def _command_to_resume(folder: Path) -> str:
    """The command that goes on; run.json has what was changed on the way, and whoever reads the command sees it, too."""
    from retouch.recipes.registry import load_run

    run = load_run(folder)
    last = {change.field: change.now for change in run.history if change.field != 'processes'}
    changes = [word for field, value in last.items() for word in (f'--{field.replace("_", "-")}', 'none' if value is None else str(value))]
    nodes = int(os.environ.get('GROUP_WORLD_SIZE', '1'))
    machines = ['--nnodes', str(nodes)] if nodes > 1 else []
    processes = run.processes or 1
    launch = ['torchrun', *machines, '--nproc-per-node', str(processes // nodes), '-m'] if processes > 1 else []
    return shlex.join([*launch, 'retouch', 'train', str(folder / 'run.json'), '--out', str(folder), '--resume', 'auto', *changes])


def _next_commands(run: Run, folder: Path) -> list[str]:
    if run.data.kind == 'exemplars':
        return [f'retouch evaluate {folder}', f'retouch edit {folder} PICTURE.png --exemplar OTHER.png --out edits']
    lines = [f'retouch evaluate {folder}']
    if run.data.kind == 'attributes' and run.method_id != 'classifier':
        names = run.data.attributes or (ATTRIBUTES if run.data.source == 'toyfaces' else ('ATTRIBUTE',))
        lines.append(f'retouch edit {folder} PICTURE.png --set {names[0]}=1 --out edits')
    elif run.data.kind in ('domains', 'pairs'):
        to = 'A' if getattr(run.data, 'direction', 'a_to_b') == 'b_to_a' else 'B'
        lines.append(f'retouch edit {folder} PICTURE.png --to {to} --out edits')
    return lines


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
        from retouch.recipes.registry import field_names, load_run

        for name in names:                                       # among them may be the value of that very option
            try:
                fields = field_names(load_run(name))
            except (ValueError, OSError):
                continue
            for field in fields:
                if '.' in field and field.rpartition('.')[2] == option[2:].replace('-', '_'):
                    raise ValueError(f"unknown option {option!r}: did you mean '--{field.replace('_', '-')}'? "
                                     f'`retouch train {name} --help` lists every field')
