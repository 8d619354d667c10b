"""SeCGAN's recipes: both backbones with their baselines and the sweep of lambda_sc, and the same rows on drawn faces."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retouch.methods.secgan import Config
from retouch.recipes import attgan, stargan
from retouch.run import Run


def stargan_paper() -> Run:
    """StarGAN's published setting with SeCGAN's split: the first 182,000 pictures are learned from."""
    run = stargan.paper()
    return run.model_copy(update={'data': run.data.model_copy(update=attgan.SPLIT)})


# what the paper changes in the backbones, also in its baselines; AttGAN's published rate does not fall as the paper's
STARGAN = {'condition': 'difference', 'reconstruct': 'self'}
ATTGAN = {'condition': 'difference'}
BACKBONES: dict[str, tuple[Callable[[], Run], dict[str, Any]]] = {
    'stargan_paper': (stargan_paper, STARGAN),
    'attgan_paper': (attgan.paper, {**ATTGAN, 'schedule': 'exponential_second_half'}),
    'stargan_toyfaces': (stargan.toyfaces, STARGAN),
    'attgan_toyfaces': (attgan.toyfaces, ATTGAN),
    'attgan_folder64': (attgan.folder64, ATTGAN),
}
TABLE: dict[str, tuple[str, dict[str, Any]]] = {                 # ending -> what it says of itself, what it changes
    '': ('both branches, consistency at 0.01', {}),
    '_concat': ('no semantic branch, the generator sees the parse (Baseline + Concat)', {'form': 'concat'}),
    '_sc0': ('consistency at 0, the baseline', {'lambda_sc': 0.0}),
    '_sc1e-3': ('consistency at 0.001', {'lambda_sc': 0.001}),
    '_sc1e-1': ('consistency at 0.1', {'lambda_sc': 0.1}),
}


def on(backbone: Callable[[], Run], told: dict[str, Any], **changes: Any) -> Run:
    """A backbone's recipe with a semantic branch beside it; data and length stay the backbone's."""
    run = backbone()
    return run.model_copy(update={'method': Config.model_validate({'backbone': run.method.model_copy(update=told), **changes})})


def _row(name: str, what: str, changes: dict[str, Any]) -> Callable[[], Run]:
    backbone, told = BACKBONES[name]

    def recipe() -> Run:
        return on(backbone, told, **changes)
    base, tier = name.split('_')
    recipe.__doc__ = {'paper': f"The paper's setting on {base} at 128 px: {what}.",
                      'toyfaces': f'Small: drawn faces, on `{base}.toyfaces`: {what}.',
                      'folder64': f'Small: pictures of your own at 64 px, on `{base}.folder64`: {what}.'}[tier]
    return recipe


ROWS: dict[str, Callable[[], Run]] = {f'{name}{end}': _row(name, *row) for name in BACKBONES for end, row in TABLE.items()
                                      if name != 'attgan_folder64' or end in ('', '_sc0')}
