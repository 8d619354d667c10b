"""AttGAN's recipes."""
from __future__ import annotations

from typing import Any

from retouch.data.configs import AttributeData
from retouch.engine.config import TrainConfig
from retouch.methods.attgan import Config
from retouch.recipes.stargan import SIX
from retouch.run import Run
from retouch.toyfaces.identity import THIRTEEN

# the first 182,000 of CelebA's 202,599 pictures are learned from, the last 19,962 scored
SPLIT: dict[str, Any] = {'holdout': 19_962, 'validation': 637}


def paper() -> Run:
    """The PyTorch code's CelebA setting at 128 px, on which later papers build: 200 epochs of 5,687 batches of 32, never flipped."""
    return Run(method=Config(), data=AttributeData(source='celeba', attributes=THIRTEEN, size=128, crop=178, flip=False, **SPLIT),
               train=TrainConfig(epochs=200, iterations=1_137_400, batch_size=32, log_every=100, sample_every=5000, save_every=20_000))


def paper256() -> Run:
    """As `paper` at 256 px, as the CAM paper's first figure shows it; batch and length are not stated for this size."""
    run = paper()
    return run.model_copy(update={'data': run.data.model_copy(update={'size': 256})})


def tf() -> Run:
    """As `paper`, with the slopes, norm constants and initialisation of the authors' TensorFlow code."""
    run = paper()
    return run.model_copy(update={'method': Config(variant='tf', init='xavier_zero_bias')})


def toyfaces() -> Run:
    """Small: drawn faces at 32 px, six attributes, for two CPU cores; the last map is 4x4, as in the paper."""
    return Run(method=Config(width_g=24, width_d=24, layers=3, n_critic=2, lr=4e-4, schedule='linear_last_40'),
               data=AttributeData(attributes=SIX, size=32, targets='single', n=4000),
               train=TrainConfig(iterations=8000, batch_size=16, ema=0.999, log_every=50, sample_every=1000, save_every=1000))


def folder64() -> Run:
    """Small: pictures of your own at 64 px, all their attributes, one edited at a time; tens of minutes on two CPU cores."""
    run = toyfaces()
    return run.model_copy(update={'method': run.method.model_copy(update={'layers': 4}),
                                  'data': AttributeData(source='pictures', size=64, targets='single')})


ROWS = {'paper': paper, 'paper256': paper256, 'tf': tf, 'toyfaces': toyfaces, 'folder64': folder64}
