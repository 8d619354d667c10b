"""`retouch list`."""
from __future__ import annotations

import json
import re
import sys
from typing import Any

from rich.table import Table

from retouch.cli.options import ListOptions
from retouch.data import sources
from retouch.data.batches import DataSpec
from retouch.methods.registry import METHODS, count_parameters
from retouch.recipes.registry import RECIPES
from retouch.run import Run
from retouch.terminal import console
from retouch.toyfaces.identity import ATTRIBUTES


def show(options: ListOptions) -> int:
    listing: dict[str, Any] = {
        'methods': {name: {'kind': cls.kind, 'summary': _first_line(cls), 'paper': _paper(cls)} for name, cls in METHODS.items()},
        'recipes': {name: {'method': make().method_id, 'parameters': _parameters(make()), 'summary': _first_line(make)}
                    for name, make in RECIPES.items()},
        'data': _layouts(),
    }
    if options.json:
        print(json.dumps(listing, indent=2))
        return 0

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
    """Parameters per network; None where the data decide how many classes there are."""
    if run.data.kind in ('attributes', 'exemplars'):
        names = run.data.attributes or (ATTRIBUTES if run.data.source == 'toyfaces' else ())
        if not names:
            return None
        spec = DataSpec(size=run.data.size, window=getattr(run.data, 'window', None), attributes=tuple(names))
    elif run.data.kind == 'parsing':
        spec = DataSpec(size=run.data.size, attributes=run.data.names)
    else:
        spec = DataSpec(size=run.data.size, domains=('A', 'B'))
    return count_parameters(run.method_id, run.method, spec)


def _layouts() -> list[str]:
    return ['toyfaces', *sources.LAYOUTS]
