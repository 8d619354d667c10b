"""SeCGAN's recipes: both backbones with their baselines and the sweep of lambda_sc, and the same rows on drawn faces."""
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from retouch.methods.secgan import TOLD, Config
from retouch.recipes import attgan, stargan, stgan
from retouch.run import Run


def stargan_paper() -> Run:
    """StarGAN's published setting with SeCGAN's split: the first 182,000 pictures are learned from."""
    run = stargan.paper()
    return run.model_copy(update={'data': run.data.model_copy(update=attgan.SPLIT)})


def stgan_paper() -> Run:
    """STGAN's published setting with SeCGAN's split."""
    run = stgan.paper()
    return run.model_copy(update={'data': run.data.model_copy(update=attgan.SPLIT)})


def on_hq(size: int) -> Run:
    """StarGAN on CelebA-HQ: 28,000 pictures to learn from, the last 1,500 of 30,000 to score; each is shown whole."""
    run = stargan.paper()
    changes = {'source': 'celeba_hq', 'size': size, 'crop': None, 'holdout': 1500, 'validation': 500}
    return run.model_copy(update={'data': run.data.model_copy(update=changes)})


def on_rafd() -> Run:
    """StarGAN on RaFD: eight expressions, 60 people to learn from, 7 to score, the middle 600 px of 681 x 1024."""
    run = stargan.rafd()
    return run.model_copy(update={'data': run.data.model_copy(update={'crop': 600})})


# what the paper changes in the backbones, also in its baselines; AttGAN's published rate does not fall as the paper's
STARGAN, ATTGAN = TOLD['stargan'], TOLD['attgan']
BACKBONES: dict[str, tuple[Callable[[], Run], dict[str, Any]]] = {
    'stargan_paper': (stargan_paper, STARGAN),
    'attgan_paper': (attgan.paper, {**ATTGAN, 'schedule': 'exponential_second_half'}),
    'stgan_paper': (stgan_paper, {}),
    'stargan_hq128': (partial(on_hq, 128), STARGAN),
    'stargan_hq256': (partial(on_hq, 256), STARGAN),
    'stargan_rafd': (on_rafd, STARGAN),
    'stargan_toyfaces': (stargan.toyfaces, STARGAN),
    'attgan_toyfaces': (attgan.toyfaces, ATTGAN),
    'attgan_folder64': (attgan.folder64, ATTGAN),
}
FULL = ('stargan_paper', 'attgan_paper', 'stargan_toyfaces', 'attgan_toyfaces')       # with every row; the others with two
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
                      'hq128': f"The paper's CelebA-HQ at 128 px on {base}: {what}.",
                      'hq256': f"The paper's CelebA-HQ at 256 px on {base}, whose batch and length it does not state: {what}.",
                      'rafd': f"The paper's RaFD at 128 px on {base}: {what}.",
                      'toyfaces': f'Small: drawn faces, on `{base}.toyfaces`: {what}.',
                      'folder64': f'Small: pictures of your own at 64 px, on `{base}.folder64`: {what}.'}[tier]
    return recipe


ROWS: dict[str, Callable[[], Run]] = {f'{name}{end}': _row(name, *row) for name in BACKBONES for end, row in TABLE.items()
                                      if end in ('', '_sc0') or name in FULL}
