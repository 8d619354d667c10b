"""Retouch: image-to-image translation that changes what was asked and leaves every other pixel alone."""
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retouch.editor import Editor

__version__ = '0.1.0'
__all__ = ['Editor', '__version__']


def __getattr__(name: str) -> object:
    # Importing torch takes seconds; `import retouch` and `retouch --help` should not pay for it.
    if name == 'Editor':
        from retouch.editor import Editor

        return Editor
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
