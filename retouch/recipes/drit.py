"""DRIT's recipes."""
from __future__ import annotations

from retouch.data.configs import DomainData
from retouch.engine.config import TrainConfig
from retouch.methods.drit import Config
from retouch.recipes import cyclegan
from retouch.run import Run


def paper() -> Run:
    """The authors' setting: 256 -> 216 px, batch 2, 1200 epochs, counted for 1,000 pictures a domain."""
    return Run(method=Config(), data=DomainData(source='summer2winter_yosemite', size=216, load_size=256),
               train=TrainConfig(epochs=1200, iterations=600_000, batch_size=2, log_every=100, sample_every=6000, save_every=6000))


def celeba() -> Run:
    """As LOMIT's paper compares it: CelebA as `lomit.paper` cuts it, 128 px, faces without and with an attribute, `--data.attribute`."""
    run = paper()                            # its length in iterations: 1,200 epochs of CelebA would be a hundred times it
    return run.model_copy(update={'data': DomainData(source='celeba', attribute='Facial_Hair', size=128, load_size=None, crop=178),
                                  'train': run.train.model_copy(update={'epochs': None})})


def small(base: Run) -> Run:
    """The small model on data and batch of one of CycleGAN's recipes, with as many whole iterations as that has."""
    method = Config(width_g=16, blocks=2, width_a=16, width_d=32, lr=4e-4, lr_content=1.6e-4, schedule='linear_last_40')
    train = base.train.model_copy(update={'iterations': base.train.iterations * method.d_iter})
    return base.model_copy(update={'method': method, 'train': train})


def toyfaces() -> Run:
    """Small: drawn faces at 32 px without and with Eyeglasses, data of `cyclegan.toyfaces`, its length three times over."""
    return small(cyclegan.toyfaces())


def toyfaces_hair() -> Run:
    """Small: the same with black and with blond hair; reconstructions weigh three times the published, as in `lomit.toyfaces_hair`."""
    run = toyfaces()
    told = {'lambda_cc': 30.0, 'lambda_rec': 30.0, 'lr': 8e-4, 'lr_content': 3.2e-4}
    return run.model_copy(update={'method': run.method.model_copy(update=told),
                                  'data': run.data.model_copy(update={'attribute': 'Black_Hair/Blond_Hair'})})


def folder64() -> Run:
    """Small: two folders of your own at 64 px, data of `cyclegan.folder64`, its length three times over."""
    return small(cyclegan.folder64())


ROWS = {'paper': paper, 'celeba': celeba, 'toyfaces': toyfaces, 'toyfaces_hair': toyfaces_hair, 'folder64': folder64}
