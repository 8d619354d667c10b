"""The command line: train, edit, app, evaluate, score, compare, export, reproduce, study, data check, import, push, list.

Every mistake of the user is one line on stderr and exit status 2; `--debug` adds the traceback.
"""
from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from retouch.cli.arguments import parse
from retouch.cli.options import (
    AppOptions,
    CheckOptions,
    CompareOptions,
    EditOptions,
    EvaluateOptions,
    ExportOptions,
    ImportOptions,
    ListOptions,
    PushOptions,
    ReproduceOptions,
    ScoreOptions,
    StudyOptions,
    TrainOptions,
)
from retouch.errors import missing_extra, one_line, unknown
from retouch.files import cache_note
from retouch.version import __version__

COMMANDS: dict[str, type] = {'train': TrainOptions, 'edit': EditOptions, 'app': AppOptions, 'evaluate': EvaluateOptions,
                             'score': ScoreOptions, 'compare': CompareOptions, 'reproduce': ReproduceOptions, 'export': ExportOptions,
                             'study': StudyOptions, 'data check': CheckOptions, 'import': ImportOptions, 'push': PushOptions,
                             'list': ListOptions}


def handler_of(command: str) -> Callable[[Any], int]:
    """What carries out a command. Imported when it is known which: torch takes seconds, and `retouch --help` needs none of it."""
    if command == 'edit':
        from retouch.cli.editing import edit

        return edit
    if command == 'app':
        from retouch.cli.serving import serve_app

        return serve_app
    if command == 'evaluate':
        from retouch.cli.evaluating import evaluate

        return evaluate
    if command == 'score':
        from retouch.cli.scoring import score

        return score
    if command == 'compare':
        from retouch.cli.comparing import compare

        return compare
    if command == 'export':
        from retouch.cli.exporting import export

        return export
    if command == 'reproduce':
        from retouch.cli.reproducing import reproduce

        return reproduce
    if command == 'study':
        from retouch.cli.studying import study

        return study
    if command == 'data check':
        from retouch.cli.data import check

        return check
    if command in ('import', 'push'):
        from retouch.cli.importing import import_published, push

        return import_published if command == 'import' else push
    from retouch.cli.listing import show

    return show


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
        explained = [_explain(one) for one in (error.exceptions if isinstance(error, ExceptionGroup) else (error,))]
        for line in dict.fromkeys(line for _, line in explained):
            print(f'retouch: error: {line}', file=sys.stderr)
        return max(status for status, _ in explained)


def _dispatch(args: list[str]) -> int:
    if not args or args[0] in ('-h', '--help', 'help'):
        print(_overview())
        return 0 if args else 2
    if args[0] == '--version':
        print(f'retouch {__version__}')
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
    if command in ('train', 'evaluate', 'compare', 'reproduce') and not {'-h', '--help'} & {*args}:
        _say_where_the_cache_lies()
    if command == 'train':                                       # its options depend on the recipe
        from retouch.cli.training import train

        return train(args)
    options = parse(command, COMMANDS[command], args)
    return handler_of(command)(options)


def _say_where_the_cache_lies() -> None:
    note = cache_note()
    if note is not None and os.environ.get('RANK', '0') == '0':
        print(f'note: {note}', file=sys.stderr)


def _explain(error: Exception) -> tuple[int, str]:
    """Exit status and the one line for an error."""
    torch = sys.modules.get('torch')
    on_device = torch is not None and isinstance(error, torch.OutOfMemoryError)
    if on_device or isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return 2, ('out of memory: lower --train.batch-size, --batch-size, --data.size or --n, or set --train.precision bf16-mixed; '
                   '`retouch train RECIPE --dry-run` measures what a setting needs')
    if isinstance(error, OSError) and error.strerror and error.filename:
        return 2, f'{error.filename}: {error.strerror}: expected a path that is there and may be read or, for results, written'
    if isinstance(error, ValueError | OSError | FloatingPointError):
        return 2, one_line(error)
    if isinstance(error, ModuleNotFoundError) and (line := missing_extra(error)):
        return 2, line
    return 1, f'{type(error).__name__}: {one_line(error)} (a fault of retouch; --debug shows where)'


def _overview() -> str:
    rows = '\n'.join(f'  {name:<12}{(cls.__doc__ or "").splitlines()[0]}' for name, cls in COMMANDS.items())
    return (f'usage: retouch COMMAND …\n\nChanges what was asked in a picture and leaves every other pixel alone.\n\n{rows}\n\n'
            '`retouch COMMAND --help` explains one. Also: --version; --debug (the traceback of an error).\n'
            'MODEL is a run directory, a model directory, a shipped model (toyfaces), or hf://USER/MODEL from the Hugging Face Hub.')
