"""The base of every configuration: frozen, and an unknown field is an error that names the nearest field."""
from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from retouch.errors import unknown


class Config(BaseModel):
    """A frozen, strictly named set of choices."""

    model_config = ConfigDict(frozen=True, extra='forbid', use_attribute_docstrings=True)

    @model_validator(mode='before')
    @classmethod
    def _name_unknown_fields(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    raise unknown(f'field of {cls.__name__}', str(key), cls.model_fields)
        return values
