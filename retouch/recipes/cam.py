"""CAM-consistency recipes: the paper's three backbones, each with the rows of its ablation, and the same rows on drawn faces."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retouch.methods.cam import Config
from retouch.recipes import attgan, stargan, stgan
from retouch.run import Run

BACKBONES: dict[str, Callable[[], Run]] = {'stargan': stargan.code, 'attgan': attgan.paper, 'stgan': stgan.paper}
SMALL: dict[str, Callable[[], Run]] = {'stargan': stargan.toyfaces, 'attgan': attgan.toyfaces, 'stgan': stgan.toyfaces}
ABLATION: dict[str, tuple[str, dict[str, Any]]] = {              # ending -> what it says of itself, what it changes
    '': ('the loss in both steps', {}),
    '_baseline': ('the backbone alone, bit for bit', {'apply_to': 'none'}),
    '_generator': ("the loss in the generator's step alone", {'apply_to': 'generator'}),
    '_discriminator': ("the loss in the discriminator's step alone", {'apply_to': 'discriminator'}),
    '_mean': ('the mean of both masks in place of their clipped sum', {'combine': 'mean'}),
    '_literal': ('the text to the letter: last map, raw sum of the masks', {'layer': 'last', 'combine': 'raw'}),
}


def on(backbone: Callable[[], Run], **changes: Any) -> Run:
    """A backbone's recipe with the loss added; data, schedule and length stay the backbone's."""
    run = backbone()
    return run.model_copy(update={'method': Config.model_validate({'backbone': run.method, **changes})})


def _row(backbone: Callable[[], Run], doc: str, **changes: Any) -> Callable[[], Run]:
    def recipe() -> Run:
        return on(backbone, **changes)
    recipe.__doc__ = doc
    return recipe


ROWS: dict[str, Callable[[], Run]] = {}
for _name in BACKBONES:
    for _end, (_what, _changes) in ABLATION.items():
        ROWS[f'{_name}_paper{_end}'] = _row(BACKBONES[_name], f"The paper's setting on {_name} at 128 px: {_what}.", **_changes)
        ROWS[f'{_name}_toyfaces{_end}'] = _row(SMALL[_name], f'Small: drawn faces, on `{_name}.toyfaces`: {_what}.', **_changes)
ROWS['attgan_folder64'] = _row(attgan.folder64, 'Small: pictures of your own at 64 px; its baseline is `attgan.folder64`.')
