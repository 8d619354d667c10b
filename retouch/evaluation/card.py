"""The metric card: what was measured, on what, by whom, and how surely. `card.json`; `retouch evaluate --json` prints it."""
from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from retouch.config import Config
from retouch.errors import one_line
from retouch.files import write_atomically
from retouch.metrics.measure import Measure


class CardData(Config):
    """What was scored on."""

    source: str
    """'toyfaces' or a folder."""
    split: str = 'held-out'
    """Pictures that training never saw: the held-out part of a set, or the whole of one that neither model nor judge was trained on; 'as
    given' where nobody knows."""
    hash: str
    """Of the drawing code, or of a folder's pictures and labels."""
    size: int | None
    """Side in pixels at which pictures were compared; null: each at its own size."""
    attributes: tuple[str, ...]
    """Edited attributes, or read ones for a classifier."""
    rule: str | None = None
    """Label rule that turned an edit into a target."""
    first_index: int | None = None
    """Index of the first drawn face."""
    region_area: dict[str, float] | None = None
    """Mean share of the frame that the true edit changes, by attribute."""
    count: dict[str, int] | None = None
    """Pictures edited, by attribute."""


class Checkpoint(Config):
    """Which weights were scored: always the last ones, never the best on the test."""

    rule: str
    name: str | None = None
    sha256: str | None = None
    iteration: int | None = None


class LeakageMatrix(Config):
    """How often an attribute's reading differs from that of the true result; the edited one's own entry is its error."""

    edited: tuple[str, ...]
    judged: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    """[edited, judged]"""


class JudgeFacts(Config):
    """The classifier whose readings stand in the card."""

    sha256: str
    mean_accuracy: float | None = None
    per_attribute: dict[str, float | None] | None = None
    n: int | None = None


class PaperColumn(Config):
    """A number as a paper prints it: where it stands among a card's measures."""

    name: str
    measure: str | None = None
    """Null: not measured."""
    rows: tuple[str, ...] = ()
    """The rows of the measure that it is the mean of; none: its value."""
    std: str | None = None
    """The measure that follows ±."""
    factor: float = 1.0
    note: str = ''


class Card(Config):
    """One evaluation."""

    protocol: str
    data: CardData
    n: int
    """Identities (drawn faces) or pictures."""
    seed: int
    checkpoint: Checkpoint
    hardware: str
    versions: dict[str, str]
    command: str = ''
    measures: dict[str, Measure]
    references: dict[str, dict[str, Measure]] = {}
    """The same measures of 'copy' (output = input), 'truth' (output = true result) and, if given, 'untrained'."""
    leakage_matrix: LeakageMatrix | None = None
    judge: JudgeFacts | None = None
    extractors: dict[str, str] = {}
    """Feature extractor -> sha256 of its weights."""
    paper: str | None = None
    """Whose numbers were asked for."""
    paper_columns: tuple[PaperColumn, ...] = ()
    """Those numbers, in the paper's order."""
    differs: tuple[str, ...] = ()
    """What keeps them from being comparable with the paper's."""

    def write(self, path: str | Path) -> None:
        """Writes card.json atomically."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Path(path), self.encode())

    def encode(self) -> bytes:
        """The bytes of card.json."""
        return (json.dumps(self.model_dump(mode='json'), indent=2, allow_nan=False) + '\n').encode()

    @classmethod
    def read(cls, path: str | Path) -> Card:
        """Reads card.json. Raises ValueError if it is missing or not a card."""
        try:
            return cls.model_validate_json(Path(path).read_bytes())
        except OSError as error:
            raise ValueError(f'{path} cannot be read ({error.strerror}): expected a metric card; `retouch evaluate` writes one') from error
        except ValidationError as error:
            raise ValueError(f'{path} is no metric card ({one_line(error)}); write it again with `retouch evaluate`') from error
