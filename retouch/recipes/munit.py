"""MUNIT's recipes."""
from __future__ import annotations

from retouch.data.configs import DomainData
from retouch.engine.config import TrainConfig
from retouch.methods.munit import Config
from retouch.recipes import cyclegan
from retouch.run import Run


def paper() -> Run:
    """The authors' setting for edges and handbags: 256 px, batch 1, 1,000,000 iterations."""
    return Run(method=Config(), data=DomainData(source='edges2handbags', load_size=None),
               train=TrainConfig(iterations=1_000_000, batch_size=1, log_every=100, sample_every=5000, save_every=10_000))


def celeba() -> Run:
    """As LOMIT's paper compares it: CelebA as `lomit.paper` cuts it, 128 px, faces without and with an attribute, `--data.attribute`."""
    run = paper()
    return run.model_copy(update={'data': DomainData(source='celeba', attribute='Facial_Hair', size=128, load_size=None, crop=178)})


def small(base: Run) -> Run:
    """The small model on data, batch and length of one of CycleGAN's recipes."""
    return base.model_copy(update={'method': Config(width_g=16, blocks=2, width_mlp=64, width_d=32, lr=4e-4, schedule='linear_last_40')})


def toyfaces() -> Run:
    """Small: drawn faces at 32 px without and with Eyeglasses, data and length of `cyclegan.toyfaces`."""
    return small(cyclegan.toyfaces())


def toyfaces_hair() -> Run:
    """Small: the same with black and with blond hair; reconstructions weigh three times the published, as in `lomit.toyfaces_hair`."""
    run = toyfaces()
    told = {'lambda_x': 30.0, 'lr': 8e-4}
    return run.model_copy(update={'method': run.method.model_copy(update=told),
                                  'data': run.data.model_copy(update={'attribute': 'Black_Hair/Blond_Hair'})})


def folder64() -> Run:
    """Small: two folders of your own at 64 px, data and length of `cyclegan.folder64`."""
    return small(cyclegan.folder64())


ROWS = {'paper': paper, 'celeba': celeba, 'toyfaces': toyfaces, 'toyfaces_hair': toyfaces_hair, 'folder64': folder64}
