"""DualGAN's recipes: its three objectives as they were released, the AGGAN paper's setting, and the same on drawn faces."""
from __future__ import annotations

from typing import Any

from retouch.data.configs import DomainData
from retouch.engine.config import TrainConfig
from retouch.methods.dualgan import Config
from retouch.recipes import cyclegan
from retouch.run import Run

CE_2017: dict[str, Any] = {'objective': 'bce', 'critic_steps': 1, 'generator_steps': 2, 'lambda_cyc': 20.0}
GP_2020: dict[str, Any] = {'objective': 'wgan_gp', 'critic_steps': 1, 'lambda_cyc': 500.0, 'kernel': 3, 'head': 'linear', 'dropout': False}


def wgan_clip() -> Run:
    """The paper's objective: clipped critics, three steps of them for one of the generators; 256 px, batch 1, 50 epochs of 400."""
    return Run(method=Config(), data=DomainData(source='facades', load_size=None, flip=False),
               train=TrainConfig(epochs=50, iterations=20_000, batch_size=1, log_every=100, sample_every=2000, save_every=2000))


def ce_2017() -> Run:
    """The code of August 2017, the deepest norm too: cross-entropy, a critic step and two generator steps, lambda 20; 45 epochs."""
    run = wgan_clip()
    return run.model_copy(update={'method': Config(**CE_2017, norm_bottleneck=True),
                                  'train': run.train.model_copy(update={'epochs': 45, 'iterations': 18_000})})


def gp_2020() -> Run:
    """The code of 2020, the deepest norm too: gradient penalty, kernels of 3, one score a picture, lambda 500, no dropout; 100 epochs."""
    run = wgan_clip()
    return run.model_copy(update={'method': Config(**GP_2020, norm_bottleneck=True),
                                  'train': run.train.model_copy(update={'epochs': 100, 'iterations': 40_000})})


def aggan_table() -> Run:
    """As the AGGAN paper compares and counts it: `ce_2017` on faces, 200 epochs, counted for 1,000 pictures a domain."""
    return Run(method=Config(**CE_2017, norm_bottleneck=True), data=DomainData(source='ar_face', load_size=None, flip=False),
               train=TrainConfig(epochs=200, iterations=200_000, batch_size=1, log_every=100, sample_every=5000, save_every=5000))


def _small(**changes: Any) -> Run:
    return cyclegan.toyfaces().model_copy(update={'method': Config.model_validate({
        'width_g': 16, 'width_d': 32, 'lr': 4e-4, 'schedule': 'linear_last_40', **changes})})


def toyfaces() -> Run:
    """Small: clipped critics on drawn faces at 32 px without and with Eyeglasses, data and length of `cyclegan.toyfaces`."""
    return _small()


def toyfaces_ce() -> Run:
    """Small: as `dualgan.toyfaces`, with the cross-entropies of 2017."""
    return _small(**CE_2017)


def toyfaces_gp() -> Run:
    """Small: as `dualgan.toyfaces`, with the gradient penalty of 2020."""
    return _small(**GP_2020)


def folder64() -> Run:
    """Small: two folders of your own at 64 px, data and length of `cyclegan.folder64`."""
    return cyclegan.folder64().model_copy(update={'method': toyfaces().method})


ROWS = {'paper': wgan_clip, 'ce_2017': ce_2017, 'gp_2020': gp_2020, 'aggan_table': aggan_table, 'toyfaces': toyfaces,
        'toyfaces_ce': toyfaces_ce, 'toyfaces_gp': toyfaces_gp, 'folder64': folder64}
