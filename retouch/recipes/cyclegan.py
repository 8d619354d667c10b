"""CycleGAN's recipes."""
from __future__ import annotations

from retouch.data.configs import DomainData
from retouch.engine.config import TrainConfig
from retouch.methods.cyclegan import Config
from retouch.run import Run


def paper() -> Run:
    """The authors' setting: 286 -> 256 px, batch 1, 200 epochs of 1,334 pictures (horse2zebra)."""
    return Run(method=Config(), data=DomainData(source='horse2zebra'),
               train=TrainConfig(epochs=200, iterations=266_800, batch_size=1, log_every=100, sample_every=5000, save_every=5000))


def toyfaces() -> Run:
    """Small: drawn faces at 32 px without and with Eyeglasses, for two CPU cores; a heavier cycle, or it hardly learns to copy."""
    return Run(method=Config(width_g=16, blocks=1, width_d=32, lambda_cyc=30.0, lr=1e-3, schedule='linear_last_40'),
               data=DomainData(attribute='Eyeglasses', size=32, load_size=None, n=4000),
               train=TrainConfig(iterations=2000, batch_size=8, ema=0.999, log_every=50, sample_every=500, save_every=500))


def folder64() -> Run:
    """Small: two folders of your own at 64 px."""
    return Run(method=Config(width_g=16, blocks=3, width_d=32, lr=4e-4, schedule='linear_last_40'),
               data=DomainData(source='domains', size=64, load_size=72),
               train=TrainConfig(iterations=6000, batch_size=4, ema=0.999, log_every=50, sample_every=500, save_every=500))


ROWS = {'paper': paper, 'toyfaces': toyfaces, 'folder64': folder64}
