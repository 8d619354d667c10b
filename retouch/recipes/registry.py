"""All recipes by name, `<id>.<row>`, and from a name and changes to a Run."""
from __future__ import annotations

import functools
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from retouch.errors import unknown
from retouch.files import read_json
from retouch.recipes import (
    aggan,
    aggan_multi,
    asgit,
    attentiongan,
    attgan,
    bicyclegan,
    cam,
    classifier,
    combogan,
    contrastgan,
    cut,
    cyclegan,
    diat,
    discogan,
    distancegan,
    drit,
    dualgan,
    fal,
    ganimation,
    icgan,
    local,
    lomit,
    mejjati_attn,
    munit,
    parser,
    pix2pix,
    secgan,
    stargan,
    stgan,
    suite,
    unit,
)
from retouch.run import HAPPENED, Run, leaves, record_to_run

MODULES = (stargan, attgan, stgan, aggan, aggan_multi, cyclegan, discogan, distancegan, dualgan, attentiongan, pix2pix, bicyclegan, fal,
           asgit, unit, munit, drit, icgan, lomit, cam, secgan, local, combogan, cut, mejjati_attn, classifier, parser, ganimation,
           contrastgan, diat)
TABLES = {**{module.__name__.rpartition('.')[2]: module.ROWS for module in MODULES}, 'asgit_pairs': asgit.PAIRS}
RECIPES: dict[str, Callable[[], Run]] = {f'{method}.{row}': recipe for method, rows in TABLES.items() for row, recipe in rows.items()}
RECIPES |= suite.ROWS


def load_run(name: str | Path) -> Run:
    """A recipe by name, or a run.json by path. Raises ValueError naming the nearest recipe."""
    if not isinstance(name, str | Path):
        raise ValueError(f'{name!r} names no run: expected a recipe, a run.json or a run directory')
    if str(name) in RECIPES:
        return RECIPES[str(name)]().model_copy(update={'recipe': str(name)})
    path = Path(name)
    if path.is_dir() and (path / 'run.json').is_file():
        path = path / 'run.json'
    if path.suffix == '.json':
        if not path.is_file():
            raise ValueError(f'{path} does not exist: expected a run.json or the name of a recipe (`retouch list` shows them)')
        record = read_json(path, 'the run.json that a training wrote')
        if not isinstance(record.get('run'), dict):
            raise ValueError(f"{path} has no field 'run': expected the run.json that a training wrote")
        return record_to_run(record['run'])
    raise unknown('recipe', str(name), RECIPES)


def override(run: Run, changes: Mapping[str, Any]) -> Run:
    """The run with fields replaced: {'train.iterations': 100, 'data.source': 'faces/'}.

    Text is parsed by the field's type: lists are written a,b,c, None as 'none'. Raises ValueError naming the nearest field, as `--help`
    writes it. Of a run that was resumed with changes, a field that is replaced holds from the start. Iterations that are named take the
    place of a recipe's epochs.
    """
    record = run.model_dump(mode='json')
    named = {dotted.replace('-', '_') for dotted in changes}
    if {'train.iterations', 'train.epochs'} <= named:
        raise ValueError('--train.iterations with --train.epochs: expected one of them, for each says how long')
    if 'train.iterations' in named:
        record['train']['epochs'] = None
    for dotted, value in changes.items():
        *sections, leaf = dotted.replace('-', '_').split('.')
        node: Any = record
        for section in sections:
            if not isinstance(node, dict) or section not in node:
                raise _unknown_option(run, dotted)
            node = node[section]
        if dotted.removesuffix('.id') == 'method.backbone' and 'backbone' in record['method']:
            raise _chosen_by_recipe(run, dotted, str(value))
        if (not isinstance(node, dict) or leaf not in node or isinstance(node[leaf], dict) or leaf in ('id', 'kind')
                or dotted.split('.')[0] in HAPPENED):
            raise _unknown_option(run, dotted)
        node[leaf] = _parse(value, node[leaf], _annotation(run, sections, leaf)) if isinstance(value, str) else value
        record['history'] = [change for change in record['history'] if change['field'] != '.'.join([*sections, leaf])]
        if leaf == 'batch_size':
            record['processes'] = None                           # whoever says how large a batch is means it for the processes there are
    return record_to_run(record)


def _unknown_option(run: Run, dotted: str) -> ValueError:
    names = [f'--{name.replace("_", "-")}' for name in field_names(run)]
    return unknown('option', f'--{dotted.replace("_", "-")}', names)


def _chosen_by_recipe(run: Run, dotted: str, text: str) -> ValueError:
    """The backbone comes with its data and its length: another one is another recipe."""
    prefixes = {f'{name.partition("_")[0]}_…': None for name in RECIPES if name.startswith(f'{run.method_id}.')}        # in their order
    wanted = f'{run.method_id}.{text.lower()}_…'
    names = wanted if wanted in prefixes else ' or '.join(prefixes)
    return ValueError(f'--{dotted} {text}: the recipe chooses the backbone: expected a recipe {names}, which `retouch list` shows')


def field_names(run: Run) -> list[str]:
    """Every field that can be overridden, dotted: 'train.iterations', …"""
    return [name for name in leaves(run.model_dump(mode='json'))
            if name.split('.')[0] not in HAPPENED and name.rsplit('.', 1)[-1] not in ('id', 'kind')]


def list_fields() -> set[str]:
    """Every field of any recipe's run that is a list, dotted."""
    records = (leaves(recipe().model_dump(mode='json')) for recipe in RECIPES.values())
    return {name for record in records for name, value in record.items() if isinstance(value, list) and name not in HAPPENED}


def _annotation(run: Run, sections: Sequence[str], leaf: str) -> Any:
    owner = functools.reduce(getattr, sections, run)
    return type(owner).model_fields[leaf].annotation


def _parse(text: str, before: Any, annotation: Any) -> Any:
    """The value of a text: 'none' is None where a field may be None, and nothing in a list or a name that may be empty."""
    if text.lower() == 'none' and type(None) in typing.get_args(annotation):
        return None
    if isinstance(before, list):
        return [] if text.lower() == 'none' else [part for part in re.split(r'[,\s]+', text) if part]
    if text.lower() == 'none' and annotation is str:
        return ''
    return text
