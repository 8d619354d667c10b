"""What a model needs to know of its data. Knows no torch, so that an exported model edits without it."""
from __future__ import annotations

from pydantic import Field

from retouch.config import Config
from retouch.data.frame import Frame

# Drawn faces come from no file, and models older than the field say nothing: an edit shows them pictures so.
DRAWN = Frame(resample='bicubic')


class DataSpec(Config):
    """What a model needs to know of its data; stored with every model."""

    size: int
    """Side of the square pictures in pixels."""
    window: int | None = None
    """Side of the windows of them that training sees; None: all of the picture."""
    frame: Frame = DRAWN
    """How a file becomes such a picture."""
    attributes: tuple[str, ...] = ()
    """Label columns in order (attribute and exemplar data), or the classes of a parse (parsing data)."""
    amounts: bool = False
    """Attribute data: labels are amounts in [0,1] (drawn expressions), not 0 or 1."""
    domains: tuple[str, ...] = ()
    """Names of the domains (domain and pair data), the source first, e.g. ('A', 'B')."""
    one_way: bool = False
    """Domain data: pictures of the second domain alone can be made, by the system's nature or because the way back is another file."""
    samples: tuple[int, ...] = Field(default=(), exclude=True)
    """Pictures in the training set of each domain, for systems that keep something per picture; not stored with a model."""
