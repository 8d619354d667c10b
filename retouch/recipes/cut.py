"""CUT's recipes, and FastCUT's."""
from __future__ import annotations

from typing import Any

from retouch.data.configs import DomainData
from retouch.engine.config import TrainConfig
from retouch.methods.cut import Config
from retouch.run import Run

FAST: dict[str, Any] = {'lambda_nce': 10.0, 'identity': False, 'flip': True}


def paper() -> Run:
    """The authors' CUT: 286 -> 256 px, batch 1, 400 epochs of 1,334 pictures (horse2zebra)."""
    return Run(method=Config(), data=DomainData(source='horse2zebra'),
               train=TrainConfig(epochs=400, iterations=533_600, batch_size=1, log_every=100, sample_every=5000, save_every=5000))


def paper_fastcut() -> Run:
    """The authors' FastCUT: no identity term, mirrored by halves, lambda_nce 10, 200 epochs."""
    run = paper()
    return run.model_copy(update={'method': Config(**FAST, schedule='fastcut_linear'),
                                  'train': run.train.model_copy(update={'epochs': 200, 'iterations': 266_800})})


def toyfaces() -> Run:
    """Small: drawn faces at 32 px, Eyeglasses put on, for two CPU cores."""
    return Run(method=Config(width_g=16, blocks=1, width_d=16, width_f=64, taps=(0, 4, 8, 12), patches=64, lr=1e-3,
                             schedule='linear_last_40'),
               data=DomainData(attribute='Eyeglasses', size=32, load_size=None, n=4000),
               train=TrainConfig(iterations=2000, batch_size=8, ema=0.999, log_every=50, sample_every=500, save_every=500))


def fastcut_toyfaces() -> Run:
    """Small: as `cut.toyfaces`, FastCUT."""
    run = toyfaces()
    return run.model_copy(update={'method': run.method.model_copy(update=FAST)})


def folder64() -> Run:
    """Small: two folders of your own at 64 px."""
    return Run(method=Config(width_g=16, blocks=3, width_d=32, width_f=64, taps=(0, 4, 8, 12, 14), lr=4e-4, schedule='linear_last_40'),
               data=DomainData(source='domains', size=64, load_size=72),
               train=TrainConfig(iterations=6000, batch_size=4, ema=0.999, log_every=50, sample_every=500, save_every=500))


ROWS = {'paper': paper, 'paper_fastcut': paper_fastcut, 'toyfaces': toyfaces, 'fastcut_toyfaces': fastcut_toyfaces, 'folder64': folder64}
