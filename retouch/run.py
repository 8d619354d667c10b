"""A Run: everything that decides a training, as data. Recipes return it, run.json records it, `retouch train run.json` replays it."""
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import SerializeAsAny, field_validator

from retouch.config import Config
from retouch.data.sets import DataConfig
from retouch.engine.fit import TrainConfig
from retouch.errors import unknown
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
        return Run.model_validate(record['run'])
    raise unknown('recipe', str(name), RECIPES)


def override(run: Run, changes: dict[str, str]) -> Run:
    """The run with fields replaced: {'train.iterations': '100', 'data.source': 'faces/'}; values are parsed by the field's type.

    Lists are written a,b,c; None as 'none'. Raises ValueError naming the nearest field.
    """
    record = run.model_dump(mode='json')
    for dotted, text in changes.items():
        *sections, leaf = dotted.replace('-', '_').split('.')
        node: Any = record
        for section in sections:
            if not isinstance(node, dict) or section not in node:
                raise unknown('option', f'--{dotted}', [f'--{name}' for name in field_names(run)])
            node = node[section]
        if not isinstance(node, dict) or leaf not in node or isinstance(node[leaf], dict) or leaf in ('id', 'kind'):
            raise unknown('option', f'--{dotted}', [f'--{name}' for name in field_names(run)])
        node[leaf] = _parse(text, node[leaf])
    return Run.model_validate(record)


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
