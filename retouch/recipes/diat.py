"""DIAT's recipes, readings all."""
from __future__ import annotations

from retouch.data.configs import DomainData
from retouch.engine.config import TrainConfig
from retouch.methods.diat import Config
from retouch.recipes import cyclegan
from retouch.run import Run


def celeba() -> Run:
    """CelebA without and with Smiling, 128 px, batch 16, 100,000 iterations: our choice, for nothing of the paper's is known."""
    return Run(method=Config(), data=DomainData(source='celeba', attribute='Smiling', size=128, load_size=None, crop=178),
               train=TrainConfig(iterations=100_000, batch_size=16, log_every=100, sample_every=5000, save_every=5000))


def toyfaces() -> Run:
    """Small: drawn faces at 32 px without and with Eyeglasses, data and length of `cyclegan.toyfaces`."""
    told = Config(width_g=16, blocks=1, width_m=16, width_d=32, area=0.07, n_critic=1, lr=1e-3, schedule='linear_last_40')
    return cyclegan.toyfaces().model_copy(update={'method': told})


ROWS = {'celeba': celeba, 'toyfaces': toyfaces}
