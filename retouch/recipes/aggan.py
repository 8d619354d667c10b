"""AGGAN's recipes: the paper's model, the released code's, and the rows of the ablation (Table II) on drawn faces."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retouch.data.configs import DomainData
from retouch.engine.config import TrainConfig
from retouch.methods.aggan import Config
from retouch.recipes import cyclegan
from retouch.recipes.attgan import SPLIT
from retouch.run import Run

NO_AD: dict[str, Any] = {'use_attention_discriminator': False}
ABLATION: dict[str, tuple[str, dict[str, Any]]] = {              # ending -> what it says of itself, what it changes
    '_no_ad': ('no discriminator sees a mask', NO_AD),
    '_no_ad_ag': ('no masks at all', {**NO_AD, 'attention': False, 'lambda_tv': 0.0}),
    '_no_ad_pl': ('no discriminator sees a mask, no pixel loss', {**NO_AD, 'lambda_pix': 0.0}),
    '_no_ad_al': ('no discriminator sees a mask, no total variation', {**NO_AD, 'lambda_tv': 0.0}),
    '_no_ad_pl_al': ('no discriminator sees a mask, no pixel loss, no total variation', {**NO_AD, 'lambda_pix': 0.0, 'lambda_tv': 0.0}),
}


def paper() -> Run:
    """The paper's setting: 256 px, batch 1, 200 epochs, counted for 1,000 pictures a domain."""
    return Run(method=Config(), data=DomainData(source='ar_face', load_size=None),
               train=TrainConfig(epochs=200, iterations=200_000, batch_size=1, log_every=100, sample_every=5000, save_every=5000))


def code() -> Run:
    """The released code: no discriminator sees a mask, pixel shuffles, a three times larger total variation."""
    run = paper()
    return run.model_copy(update={'method': Config(use_attention_discriminator=False, upsample='pixelshuffle', tv_channels=3)})


def celeba() -> Run:
    """The paper's CelebA: 1,000 neutral and 1,000 smiling faces, drawn at random, as many to score; 80 epochs, batch 1, 256 px."""
    return Run(method=Config(warm_up=10 / 80), data=DomainData(source='celeba', attribute='Smiling', load_size=None, limit=1000, **SPLIT),
               train=TrainConfig(epochs=80, iterations=80_000, batch_size=1, log_every=100, sample_every=5000, save_every=5000))


def small(base: Run) -> Run:
    """The small model on data and length of one of CycleGAN's recipes."""
    m: Any = base.method
    return base.model_copy(update={'method': Config(width_g=m.width_g, blocks=m.blocks, width_d=m.width_d, norm='instance', lr=2e-4,
                                                    schedule='linear_last_40', lambda_tv=1e-6 * (256 / base.data.size) ** 2)})


def toyfaces() -> Run:
    """Small: drawn faces at 32 px without and with Eyeglasses, data and length of `cyclegan.toyfaces`."""
    return small(cyclegan.toyfaces())


def folder64() -> Run:
    """Small: two folders of your own at 64 px, data and length of `cyclegan.folder64`."""
    return small(cyclegan.folder64())


def _row(base: Callable[[], Run], doc: str, **changes: Any) -> Callable[[], Run]:
    def recipe() -> Run:
        run = base()
        return run.model_copy(update={'method': Config(**{**run.method.model_dump(), **changes})})
    recipe.__doc__ = doc
    return recipe


ROWS: dict[str, Callable[[], Run]] = {'paper': paper, 'code': code, 'celeba': celeba, 'toyfaces': toyfaces, 'folder64': folder64}
for _end, (_what, _changes) in ABLATION.items():
    ROWS[f'paper{_end}'] = _row(paper, f'As `aggan.paper`, but {_what}.', **_changes)
    ROWS[f'toyfaces{_end}'] = _row(toyfaces, f'Small: as `aggan.toyfaces`, but {_what}.', **_changes)
