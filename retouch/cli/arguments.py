"""From the words of a command line to its options; every mistake is a ValueError of one line."""
from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import re
from collections.abc import Callable, Container, Sequence
from typing import Any

import tyro

from retouch.errors import unknown


def parse(command: str, options: type, args: list[str]) -> Any:
    """Arguments -> an instance of `options`; every mistake is a ValueError of one line."""
    flags = ['--' + f.name.replace('_', '-') for f in dataclasses.fields(options) if 'Positional' not in str(f.type)]
    lists = ['--' + f.name.replace('_', '-') for f in dataclasses.fields(options)
             if 'tuple[' in str(f.type) and 'Positional' not in str(f.type)]
    box, rest = io.StringIO(), list[str]()
    parsed: Any = None
    try:
        with contextlib.redirect_stderr(box):
            parsed, rest = tyro.cli(options, prog=f'retouch {command}', args=_merge_lists(args, lists), return_unknown_args=True,
                                    config=(tyro.conf.FlagCreatePairsOff,))
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


def _merge_lists(args: list[str], names: Sequence[str]) -> list[str]:
    """`--set A=1 --set B=0` and `--set A=1,B=0` mean `--set A=1 B=0`; tyro alone would keep the last, and take a comma for a letter."""
    kept: list[str] = []
    values: dict[str, list[str]] = {}
    current = None
    for token in args:
        name, equals, value = token.partition('=')
        if name in names:
            current = values.setdefault(name, [])
            current.extend(_parts(value) if equals else [])
        elif current is not None and not token.startswith('-'):
            current.extend(_parts(token))
        else:
            current = None
            kept.append(token)
    return kept + [part for name, given in values.items() for part in (name, *given)]


def _parts(text: str) -> list[str]:
    return [part for part in text.split(',') if part] or [text]


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


def split_dotted(args: list[str], lists: Callable[[], Container[str]] = tuple) -> tuple[list[str], dict[str, str]]:
    """Takes `--section.field value` and `--section.field=value` out of the arguments; a list is written `a b`, `a,b` or both.

    Args:
        args: the arguments.
        lists: gives the fields that are lists, `section.field`; asked only where more than one value follows an option.

    Returns:
        the other arguments, and field -> text, the values of a list joined by commas.
    """
    plain: list[str] = []
    changes: dict[str, str] = {}
    at = 0
    while at < len(args):
        name, equals, value = args[at].partition('=')
        at += 1
        if not (name.startswith('--') and '.' in name):
            plain.append(args[at - 1])
            continue
        field = name[2:].replace('-', '_')
        if not equals:
            value = args[at] if at < len(args) else '--'
            at += 1
            if value.startswith('--'):
                raise ValueError(f'{name} is missing its value: expected {name} VALUE')
        more = [*itertools.takewhile(lambda token: not token.startswith('-'), args[at:])]
        if more and field in lists():
            at += len(more)
            if not any(not token.startswith('-') for token in (*plain, *args[at:])):
                plain.append(more.pop())                         # what is left for the recipe, which comes last here
            value = ','.join([value, *more])
        changes[field] = value
    return plain, changes
