"""Recipes of the attribute classifier."""
from __future__ import annotations

from retouch.data.configs import AttributeData
from retouch.engine.config import TrainConfig
from retouch.methods.classifier import Config
from retouch.recipes.attgan import SPLIT
from retouch.run import Run
from retouch.toyfaces.identity import THIRTEEN


def paper() -> Run:
    """The published judge: CelebA at 128 px, thirteen attributes, batch 64, 25 epochs of 182,000 pictures; it scores the last 19,962."""
    return Run(method=Config(), data=AttributeData(source='celeba', attributes=THIRTEEN, size=128, crop=178, flip=False, **SPLIT),
               train=TrainConfig(epochs=25, iterations=71_075, batch_size=64, log_every=100, save_every=2000))


def judge() -> Run:
    """Small: the judge of the drawn faces, all fifteen attributes at 64 px, also shown at 48 and 32 px. Ships with the package."""
    return Run(method=Config(width=8, hidden=64, lr=2e-3, resample=(48, 32)), data=AttributeData(size=64, n=8000),
               train=TrainConfig(iterations=3000, batch_size=64, ema=0.99, log_every=50, save_every=500))


def folder64() -> Run:
    """Small: reads the attributes of your own pictures at 64 px, to judge `aggan_multi.folder64`; minutes on two CPU cores."""
    return Run(method=Config(width=16, hidden=128, lr=1e-3), data=AttributeData(source='pictures', size=64),
               train=TrainConfig(iterations=1500, batch_size=64, ema=0.99, log_every=50, save_every=500))


ROWS = {'paper': paper, 'judge': judge, 'folder64': folder64}
