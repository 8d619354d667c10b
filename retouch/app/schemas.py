"""The words of the API: what a request may say, and what an answer says."""
from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Id = Annotated[str, StringConstraints(pattern=r'^[A-Za-z0-9_-]{22}$')]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Pixel = Annotated[int, Field(ge=0, le=1_000_000)]


class EditRequest(BaseModel):
    """One edit. What a model does not take is refused."""

    model_config = ConfigDict(extra='forbid', frozen=True)

    model: Name
    """A name of GET /info."""
    image: Id
    """Of POST /images."""
    set: dict[Name, Share] = Field(default_factory=dict, max_length=100)
    """Attribute -> 0 to 1; those left out stay as they are read."""
    source: dict[Name, Literal[0, 1]] = Field(default_factory=dict, max_length=100)
    """Attribute -> what the picture shows, where it is misread."""
    to: Name | None = None
    """A domain, for models of domains and pairs."""
    exemplar: Id | None = None
    """A picture whose look is wanted, of POST /images."""
    mask: Id | None = None
    """Where changes are allowed, of POST /images/{id}/masks; without one, wherever the model says."""
    exemplar_mask: Id | None = None
    """Where the exemplar's style is read."""
    box: tuple[Pixel, Pixel, Pixel, Pixel] | None = None
    """x, y, width, height around which the model's frame is laid."""
    strength: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 1.0
    """Factor on the change."""


class ImageAnswer(BaseModel):
    """A picture that is kept."""

    id: str
    width: int
    height: int
    alpha: bool
    notes: list[str]


class MaskAnswer(BaseModel):
    """A painted mask that is kept."""

    id: str
    share: float
    """Of the picture's pixels, where the mask is not 0."""
    notes: list[str]


class Reading(BaseModel):
    """What a model reads of a picture, and which part of it the model sees."""

    attributes: dict[str, float]
    frame: tuple[int, int, int, int]


State = Literal['queued', 'running', 'done', 'failed', 'cancelled']


class EditAnswer(BaseModel):
    """How an edit stands, and once it is done, what came of it."""

    id: str
    state: State
    step: str
    """What is being done: waiting, loading, editing, checking."""
    ahead: int
    """Edits before this one."""
    model: str
    error: str | None = None
    width: int | None = None
    height: int | None = None
    mask_share: float | None = None
    """Of the pixels, where the mask is not 0."""
    untouched: float | None = None
    """Of the pixels, those equal in every byte."""
    outside_unchanged: bool | None = None
    """Whether all pixels where the mask is 0 were compared and found equal in every byte."""
    notes: list[str] = []
    source: dict[str, float] = {}
    target: dict[str, float] = {}
    seconds: dict[str, float] = {}
    """Of waiting, loading, editing, checking."""
    exemplar_mask: bool = False
    """Whether there is an exemplar-mask.png."""


class Problem(BaseModel):
    """Why a request was refused, on one line."""

    error: str


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals that a route may answer with, for OpenAPI."""
    return {status: {'model': Problem} for status in (400, 401, 403, 422, *statuses)}
