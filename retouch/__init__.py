"""Retouch: image-to-image translation that changes what was asked and leaves every other pixel alone.

`from retouch import Editor, train, evaluate, compare, load_run`
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from retouch.version import __version__

if TYPE_CHECKING:
    from retouch.api import compare, evaluate, load_run, train
    from retouch.editor import Editor

__all__ = ['Editor', '__version__', 'compare', 'evaluate', 'load_run', 'train']


def __getattr__(name: str) -> object:
    # Importing torch takes seconds; `import retouch` and `retouch --help` should not pay for it.
    if name == 'Editor':
        from retouch.editor import Editor

        return Editor
    if name in __all__:
        from retouch import api

        return getattr(api, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
