"""A Run: everything that decides a training, as data. Recipes return it, run.json records it, `retouch train run.json` replays it."""
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import SerializeAsAny, ValidationError, field_validator

from retouch.config import Config
from retouch.data.sets import DataConfig
from retouch.engine.fit import TrainConfig
from retouch.errors import one_line, unknown
from retouch.methods import find_method


class Run(Config):
    """Method, data, training and seed."""

    method: SerializeAsAny[Config]
    """The method's own configuration; its `id` names the method."""
    data: DataConfig
    train: TrainConfig
    seed: int = 0
    recipe: str = ''
    """The recipe this run started from; for the record."""

    @field_validator('method', mode='before')
    @classmethod
    def _typed_method(cls, value: Any) -> Any:
        if isinstance(value, dict):
            if 'id' not in value:
                raise ValueError("method has no 'id': expected the id of a method, e.g. 'stargan'")
            return find_method(value['id']).Config.model_validate(value)
        return value

    @property
    def method_id(self) -> str:
        return self.method.id                                    # type: ignore[attr-defined]


def load_run(name: str | Path) -> Run:
    """A recipe by name, or a run.json by path. Raises ValueError naming the nearest recipe."""
    from retouch.recipes import RECIPES

    if str(name) in RECIPES:
        return RECIPES[str(name)]().model_copy(update={'recipe': str(name)})
    path = Path(name)
    if path.is_dir() and (path / 'run.json').is_file():
        path = path / 'run.json'
    if path.suffix == '.json':
        if not path.is_file():
            raise ValueError(f'{path} does not exist: expected a run.json or the name of a recipe (`retouch list` shows them)')
        try:
            record = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f'{path} is not JSON ({error}): expected the run.json that a training wrote') from error
        if 'run' not in record:
            raise ValueError(f"{path} has no field 'run': expected the run.json that a training wrote")
        return _run_of(record['run'])
    raise unknown('recipe', str(name), RECIPES)


def override(run: Run, changes: dict[str, str]) -> Run:
    """The run with fields replaced: {'train.iterations': '100', 'data.source': 'faces/'}; values are parsed by the field's type.

    Lists are written a,b,c; None as 'none'. Raises ValueError naming the nearest field, as `--help` writes it.
    """
    record = run.model_dump(mode='json')
    for dotted, text in changes.items():
        *sections, leaf = dotted.replace('-', '_').split('.')
        node: Any = record
        for section in sections:
            if not isinstance(node, dict) or section not in node:
                raise _unknown_option(run, dotted)
            node = node[section]
        if dotted.removesuffix('.id') == 'method.backbone' and 'backbone' in record['method']:
            raise _chosen_by_recipe(run, dotted, text)
        if not isinstance(node, dict) or leaf not in node or isinstance(node[leaf], dict) or leaf in ('id', 'kind'):
            raise _unknown_option(run, dotted)
        node[leaf] = _parse(text, node[leaf])
    return _run_of(record)


def _run_of(record: dict[str, Any]) -> Run:
    """The Run of a record. Raises ValueError naming its fields as the options do."""
    try:
        return Run.model_validate(record)
    except ValidationError as error:
        raise ValueError(one_line(error, record)) from error


def _unknown_option(run: Run, dotted: str) -> ValueError:
    names = [f'--{name.replace("_", "-")}' for name in field_names(run)]
    return unknown('option', f'--{dotted.replace("_", "-")}', names)


def _chosen_by_recipe(run: Run, dotted: str, text: str) -> ValueError:
    """The backbone comes with its data and its length: another one is another recipe."""
    from retouch.recipes import RECIPES

    prefixes = {f'{name.partition("_")[0]}_…': None for name in RECIPES if name.startswith(f'{run.method_id}.')}        # in their order
    wanted = f'{run.method_id}.{text.lower()}_…'
    names = wanted if wanted in prefixes else ' or '.join(prefixes)
    return ValueError(f'--{dotted} {text}: the recipe chooses the backbone: expected a recipe {names}, which `retouch list` shows')


def field_names(run: Run) -> list[str]:
    """Every field that can be overridden, dotted: 'train.iterations', …"""
    return [name for name in leaves(run.model_dump(mode='json')) if name != 'recipe' and name.rsplit('.', 1)[-1] not in ('id', 'kind')]


def leaves(record: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """Nested sections as one table: {'train': {'iterations': 1}} -> {'train.iterations': 1}."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        flat |= leaves(value, f'{prefix}{name}.') if isinstance(value, dict) else {f'{prefix}{name}': value}
    return flat


def _parse(text: str, before: Any) -> Any:
    if text.lower() == 'none':
        return None
    if isinstance(before, list):
        return [part for part in re.split(r'[,\s]+', text) if part]
    return text
