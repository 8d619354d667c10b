"""Recipes of Mejjati et al."""
from __future__ import annotations

from retouch.data.configs import DomainData
from retouch.engine.config import TrainConfig
from retouch.methods.mejjati_attn import Config
from retouch.run import Run


def paper() -> Run:
    """The authors' setting: 286 -> 256 px, batch 1, 100 epochs of 1,334 pictures (horse2zebra), the switch after 30."""
    return Run(method=Config(), data=DomainData(source='horse2zebra'),
               train=TrainConfig(epochs=100, iterations=133_400, batch_size=1, log_every=100, sample_every=5000, save_every=5000))


def paper_summer2winter() -> Run:
    """As published for summer2winter: twice the rate, 200 epochs of 1,231 pictures, the switch after 30 of them."""
    run = paper()
    return run.model_copy(update={'method': Config(lr=2e-4, switch=30 / 200), 'data': DomainData(source='summer2winter_yosemite'),
                                  'train': run.train.model_copy(update={'epochs': 200, 'iterations': 246_200})})


def toyfaces() -> Run:
    """Small: drawn faces at 32 px without and with Eyeglasses, masks as fine as the pictures."""
    return Run(method=Config(width_g=16, blocks=1, width_m=16, attention_kernel=3, width_d=32, lr=4e-4, schedule='linear_last_40'),
               data=DomainData(attribute='Eyeglasses', size=32, load_size=None, n=4000),
               train=TrainConfig(iterations=2000, batch_size=8, ema=0.999, log_every=50, sample_every=500, save_every=500))


def folder64() -> Run:
    """Small: two folders of your own at 64 px, masks as fine as the pictures."""
    return Run(method=Config(width_g=16, blocks=3, width_m=16, attention_kernel=3, width_d=32, lr=4e-4, schedule='linear_last_40'),
               data=DomainData(source='domains', size=64, load_size=72),
               train=TrainConfig(iterations=6000, batch_size=4, ema=0.999, log_every=50, sample_every=500, save_every=500))


ROWS = {'paper': paper, 'paper_summer2winter': paper_summer2winter, 'toyfaces': toyfaces, 'folder64': folder64}
