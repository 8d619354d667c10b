"""Recipes of the local critic."""
from __future__ import annotations

from retouch.data.configs import AttributeData
from retouch.engine.config import TrainConfig
from retouch.methods.local import Config
from retouch.recipes.stargan import SIX
from retouch.run import Run

EIGHT = (*SIX, 'Smiling', 'Wearing_Lipstick')


def toyfaces() -> Run:
    """Small: the drawn faces at 64 px, eight attributes, an hour on one CPU core."""
    return Run(method=Config(width_g=16, blocks=3, width_d=32, upsample='resize', lambda_rec=5.0),
               data=AttributeData(attributes=EIGHT, size=64, targets='single', n=6000),
               train=TrainConfig(iterations=10_000, batch_size=16, ema=0.999, precision='bf16-mixed', log_every=50, sample_every=500,
                                 save_every=1000))


def folder64() -> Run:
    """Small: pictures of your own at 64 px, all their attributes, one edited at a time; an hour on one CPU core."""
    run = toyfaces()
    return run.model_copy(update={'data': AttributeData(source='pictures', size=64, targets='single')})


def leaves() -> Run:
    """Small: leaves on a black ground in class folders, 160 px, learned on windows of 64; an hour on one CPU core."""
    run = toyfaces()
    method = run.method.model_copy(update={
        'labels': 'single', 'reconstruct': 'self', 'bound': 'black', 'augment': 'turned', 'colours': 'relative', 'noise': 2,
        'mask_bias': -1.0, 'gamma': 0.5, 'lambda_cls': 0.2, 'lambda_area': 0.5, 'lambda_binary': 0.3, 'head_start': 800, 'rate_g': 0.5})
    return run.model_copy(update={'method': method,
                                  'data': AttributeData(source='leaves', size=160, window=64, targets='other', balance=True),
                                  'train': run.train.model_copy(update={'iterations': 12_000})})


ROWS = {'toyfaces': toyfaces, 'folder64': folder64, 'leaves': leaves}
