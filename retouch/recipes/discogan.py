"""DiscoGAN's recipes."""
from __future__ import annotations

from retouch.data.configs import DomainData
from retouch.engine.config import TrainConfig
from retouch.methods.discogan import Config
from retouch.run import Run


def paper() -> Run:
    """The released code on CelebA, without and with Blond_Hair: 64 px in [0,1], batch 64; 100,000 iterations of its 5,000 epochs."""
    return Run(method=Config(output_range='unit'),
               data=DomainData(source='celeba', attribute='Blond_Hair', size=64, load_size=None, flip=False, holdout=200),
               train=TrainConfig(iterations=100_000, batch_size=64, log_every=50, sample_every=1000, save_every=10_000))


def aggan_table() -> Run:
    """For Tables I and III of AGGAN: 256 px, 200 epochs, counted for 1,000 pictures a domain, batch 1: features meet one picture's."""
    return Run(method=Config(), data=DomainData(source='ar_face', load_size=None),
               train=TrainConfig(epochs=200, iterations=200_000, batch_size=1, log_every=100, sample_every=5000, save_every=5000))


def toyfaces() -> Run:
    """Small: drawn faces at 32 px without and with Eyeglasses, for two CPU cores."""
    return Run(method=Config(width_g=32, width_d=32, curriculum=0, lr=1e-3, schedule='linear_last_40'),
               data=DomainData(attribute='Eyeglasses', size=32, load_size=None, n=4000),
               train=TrainConfig(iterations=1000, batch_size=16, ema=0.99, log_every=50, sample_every=500, save_every=500))


ROWS = {'paper': paper, 'aggan_table': aggan_table, 'toyfaces': toyfaces}
