"""Recipes of the local critic."""
from __future__ import annotations

from retouch.data.configs import AttributeData
from retouch.engine.config import TrainConfig
from retouch.methods.local import Config
from retouch.recipes.stargan import SIX
from retouch.run import Run

EIGHT = (*SIX, 'Smiling', 'Wearing_Lipstick')
LONG = {'ema': 0.999, 'sample_every': 500, 'save_every': 1000}


def toyfaces64() -> Run:
    """Small: the drawn faces at 64 px, six attributes, minutes on two CPU cores; what the longer recipes start from."""
    return Run(method=Config(width_g=16, blocks=3, width_d=32, upsample='resize', skips=True, lambda_rec=5.0, lambda_binary=0.15),
               data=AttributeData(attributes=SIX, size=64, targets='single', n=4000),
               train=TrainConfig(iterations=1200, batch_size=16, ema=0.99, precision='bf16-mixed', log_every=50, sample_every=200,
                                 save_every=400))


def demo() -> Run:
    """Small: as `local.toyfaces64`, with the generator that learns most in so few minutes. `make demo` runs it."""
    run = toyfaces64()
    method = run.method.model_copy(update={'skips': False, 'upsample': 'deconv', 'lambda_binary': 0.0, 'lambda_area': 0.02})
    return run.model_copy(update={'method': method, 'train': run.train.model_copy(update={'iterations': 1700})})


def toyfaces() -> Run:
    """Small: the drawn faces at 128 px, eight attributes, two hours on one CPU core; how the shipped editor began."""
    run = toyfaces64()
    method = run.method.model_copy(update={'levels': 3, 'width_g': 12, 'width_d': 16, 'most_d': 192})
    return run.model_copy(update={'method': method,
                                  'data': run.data.model_copy(update={'attributes': EIGHT, 'size': 128, 'n': 6000}),
                                  'train': run.train.model_copy(update={'iterations': 11_000, **LONG})})


def folder64() -> Run:
    """Small: pictures of your own at 64 px, all their attributes, one edited at a time; an hour on one CPU core."""
    run = toyfaces64()
    return run.model_copy(update={'data': AttributeData(source='pictures', size=64, targets='single'),
                                  'train': run.train.model_copy(update={'iterations': 10_000, **LONG})})


def leaves() -> Run:
    """Small: leaves on a black ground in class folders, 128 px, learned on windows of 96; forty to ninety minutes on one CPU core."""
    run = toyfaces()
    method = run.method.model_copy(update={
        'labels': 'single', 'reconstruct': 'self', 'bound': 'black', 'augment': 'turned', 'colours': 'relative', 'noise': 2,
        'mask_bias': -1.0, 'gamma': 0.5, 'lambda_cls': 0.5, 'lambda_area': 0.3, 'lambda_binary': 0.2, 'head_start': 800, 'rate_g': 0.5})
    return run.model_copy(update={'method': method,
                                  'data': AttributeData(source='leaves', size=128, window=96, targets='other', balance=True),
                                  'train': run.train.model_copy(update={'iterations': 7000})})


ROWS = {'demo': demo, 'toyfaces64': toyfaces64, 'toyfaces': toyfaces, 'folder64': folder64, 'leaves': leaves}
