"""Recipes of the face parser."""
from __future__ import annotations

from retouch.data.configs import ParsingData
from retouch.engine.config import TrainConfig
from retouch.methods.parser import Config
from retouch.run import Run


def toyfaces48() -> Run:
    """Small: drawn faces at 48 px, for scores of parse-to-picture systems and as a frozen parser; minutes on two CPU cores."""
    return Run(method=Config(), data=ParsingData(size=48),
               train=TrainConfig(iterations=6000, batch_size=4, ema=0.99, log_every=100, sample_every=1000, save_every=1000))


def toyfaces32() -> Run:
    """Small: the same at 32 px."""
    return toyfaces48().model_copy(update={'data': ParsingData(size=32)})


def celebamask() -> Run:
    """Small: photographs at 128 px, twelve classes of CelebAMask-HQ, scaled and shifted so that CelebA's wider frame is known too."""
    return Run(method=Config(lambda_dice=1.0), data=ParsingData(source='CelebAMask-HQ', size=128, scale=(0.75, 1.1), shift=0.06),
               train=TrainConfig(iterations=24_000, batch_size=4, ema=0.99, precision='bf16-mixed', channels_last=True, log_every=100,
                                 sample_every=1000, save_every=1000))


def streets() -> Run:
    """Small: Cityscapes' nineteen classes at 128 px, images/ and masks/ of train ids: it reads photographs made from labels."""
    return Run(method=Config(lambda_dice=1.0), data=ParsingData(source='streets', ids='cityscapes', size=128),
               train=TrainConfig(iterations=24_000, batch_size=4, ema=0.99, log_every=100, sample_every=1000, save_every=1000))


ROWS = {'streets': streets, 'toyfaces48': toyfaces48, 'toyfaces32': toyfaces32, 'celebamask': celebamask}
