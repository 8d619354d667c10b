"""UNIT's recipes."""
from __future__ import annotations

from retouch.data.configs import DomainData
from retouch.engine.config import TrainConfig
from retouch.methods.unit import Config
from retouch.recipes import cyclegan
from retouch.run import Run


def paper() -> Run:
    """The authors' setting for summer and winter, of ASGIT's tables, too: 256 px, batch 1, 1,000,000 iterations, networks of 2018."""
    return Run(method=Config(), data=DomainData(source='summer2winter_yosemite', load_size=None),
               train=TrainConfig(iterations=1_000_000, batch_size=1, log_every=100, sample_every=5000, save_every=10_000))


def nips() -> Run:
    """The authors' setting for faces of 2017: CelebA without and with Blond_Hair, 128 px, batch 1, 2,000,000 iterations, its networks."""
    told = Config(architecture='nips', shared_blocks=1, lambda_gan=10.0, lambda_kl=0.1, lambda_x=100.0, lambda_cyc=100.0,
                  kl_after_noise=True, schedule='constant')
    return Run(method=told, data=DomainData(source='celeba', attribute='Blond_Hair', size=128, load_size=132, crop=178),
               train=TrainConfig(iterations=2_000_000, batch_size=1, log_every=100, sample_every=5000, save_every=10_000))


def toyfaces() -> Run:
    """Small: drawn faces at 32 px without and with Eyeglasses, data and length of `cyclegan.toyfaces`."""
    return cyclegan.toyfaces().model_copy(update={'method': Config(width_g=16, blocks=2, width_d=32, lr=4e-4, schedule='linear_last_40')})


def toyfaces_shared() -> Run:
    """Small: the same with one of the two blocks of encoders and of decoders shared."""
    run = toyfaces()
    return run.model_copy(update={'method': run.method.model_copy(update={'shared_blocks': 1})})


ROWS = {'paper': paper, 'nips': nips, 'toyfaces': toyfaces, 'toyfaces_shared': toyfaces_shared}
