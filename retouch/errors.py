"""Errors a user can act on: one line with the value, what was expected and the fix."""
from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

LONGEST = 800      # characters of a message


class UnknownName(ValueError):
    """A name that is none of those expected."""


def unknown(kind: str, value: str, names: Iterable[str]) -> UnknownName:
    """An unknown name, with the nearest valid one first. Returns (does not raise) the error."""
    names = list(names)
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(value.lower(), list(lower), n=1, cutoff=0.4)
    hint = f'did you mean {lower[near[0]]!r}? ' if near else ''
    shown = ', '.join(names[:20]) + (', …' if len(names) > 20 else '')
    return UnknownName(f'unknown {kind} {value!r}: {hint}expected one of: {shown}')


def check_second(to: str, domains: tuple[str, ...]) -> None:
    """ValueError unless `to` is the second of two domains, the only one that a model of aligned pairs makes."""
    source, target = domains
    if to not in domains:
        raise unknown('domain', to, domains)
    if to == source:
        raise ValueError(f'this model makes {target} of {source}, not {source} of {target}: '
                         'train another one with the other --data.direction')


def check_halved_twice(size: int, net: str = 'generator', least: int = 0) -> None:
    """ValueError unless a network can halve pictures of `size` pixels twice; `least` is the smallest size to advise."""
    if size % 4:
        raise ValueError(f'size={size}: the {net} halves the picture twice, expected a multiple of 4; '
                         f'set --data.size {max(least, size // 4 * 4)}')


def one_line(error: BaseException, record: Any = None) -> str:
    """The message of an error on one line; pydantic's many-line report becomes `field: problem` clauses, a field of `record` if given."""
    if isinstance(error, ValidationError):
        parts = []
        for e in error.errors():
            where = '.'.join(_path(e['loc'], record))
            message = e['msg'].removeprefix('Value error, ')
            if e['type'] == 'union_tag_not_found':
                message = f'expected a field {e["ctx"]["discriminator"]}'
            # what a rule between fields refused is a whole record: its message names the values
            whole = e['type'] == 'value_error' and isinstance(e.get('input'), dict) or 'input' not in e
            shown = '' if whole or e['type'] in ('extra_forbidden', 'missing') else f' (got {e["input"]!r:.60})'
            parts.append(f'{where}: {message}{shown}' if where else message)
        return _shortened('; '.join(parts))
    return _shortened(' '.join(str(error).split())) or type(error).__name__


def _shortened(line: str) -> str:
    """A value in a message may be of any length: the middle of a long line is left out."""
    return line if len(line) <= LONGEST else f'{line[:LONGEST // 2]} … {line[-LONGEST // 4:]}'


def _path(parts: Iterable[Any], record: Any) -> list[str]:
    """Where pydantic found a problem, without the tags of unions: data.n for data.attributes.n, if record['data']['kind'] is that tag."""
    path, entered = [], False
    for part in parts:
        if entered and isinstance(record, dict) and part in (record.get('id'), record.get('kind')):
            entered = False                                      # once: a field may be called like the tag
            continue
        path.append(str(part))
        record, entered = record.get(part) if isinstance(record, dict) else None, True
    return path


EXTRAS = {'onnxruntime': 'onnx', 'onnx': 'export', 'onnxscript': 'export',
          'lightning_fabric': 'train', 'torchmetrics': 'evaluate', 'torch_fidelity': 'evaluate', 'torchvision': 'evaluate',
          'sklearn': 'figures', 'huggingface_hub': 'hub', 'fastapi': 'app', 'starlette': 'app', 'uvicorn': 'app'}


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """What to install where a package of an extra is missing, on one line; None for any other module."""
    package = (error.name or '').partition('.')[0]
    if package == 'torch':
        return ('torch is not installed: pip install torch, or edit with an ONNX file of `retouch export`, which needs onnxruntime alone: '
                'retouch edit m.onnx …')
    extra = EXTRAS.get(package)
    return extra and f"{package.replace('_', '-')} is not installed: pip install 'retouch[{extra}]'"
