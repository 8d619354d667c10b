"""From the words of a command line to its options; every mistake is a ValueError of one line."""
from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from typing import Any

import tyro

from retouch.errors import unknown


def parse(command: str, options: type, args: list[str]) -> Any:
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


def split_dotted(args: list[str]) -> tuple[list[str], dict[str, str]]:
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
