"""A Run: everything that decides a training, as data. Recipes return it, run.json records it, `retouch train run.json` replays it."""
from __future__ import annotations

from typing import Any

from pydantic import SerializeAsAny, ValidationError, field_validator

from retouch.config import Config
from retouch.data.configs import DataConfig
from retouch.engine.config import TrainConfig
from retouch.errors import one_line
from retouch.methods.registry import find_method


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


def record_to_run(record: dict[str, Any]) -> Run:
    """The Run of a record. Raises ValueError naming its fields as the options do."""
    try:
        return Run.model_validate(record)
    except ValidationError as error:
        raise ValueError(one_line(error, record)) from error


def with_defaults(record: dict[str, Any]) -> dict[str, Any]:
    """A recorded run with the defaults of the fields that came after it was written; as it is where it is no Run of today."""
    try:
        return Run.model_validate(record).model_dump(mode='json')
    except ValidationError:
        return record


def leaves(record: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """Nested sections as one table: {'train': {'iterations': 1}} -> {'train.iterations': 1}."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        flat |= leaves(value, f'{prefix}{name}.') if isinstance(value, dict) else {f'{prefix}{name}': value}
    return flat
