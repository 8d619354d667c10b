"""BicycleGAN's recipes: the authors' settings, the AGGAN paper's, and the same on drawn faces."""
from __future__ import annotations

from retouch.data.configs import PairData
from retouch.engine.config import TrainConfig
from retouch.methods.bicyclegan import Config
from retouch.recipes import pix2pix
from retouch.run import Run


def paper() -> Run:
    """The authors' script for facades, label to photograph: 256 px without a crop, dropout, batch 2, 400 epochs of 400 pairs."""
    return Run(method=Config(dropout=True), data=PairData(source='facades', direction='b_to_a', load_size=None),
               train=TrainConfig(epochs=400, iterations=80_000, batch_size=2, log_every=100, sample_every=2000, save_every=2000))


def aggan_table() -> Run:
    """As the AGGAN paper compares it: neutral and smiling faces at 256 px, 200 epochs counted for 1,000 pairs; batch 2, its smallest."""
    return Run(method=Config(), data=PairData(source='ar_face', load_size=None),
               train=TrainConfig(epochs=200, iterations=100_000, batch_size=2, log_every=100, sample_every=2000, save_every=2000))


def toyfaces() -> Run:
    """Small: drawn faces from their parse at 64 px, data and batch of `pix2pix.toyfaces`."""
    run = pix2pix.toyfaces()
    return run.model_copy(update={'method': Config(width_g=32, width_e=32, width_d=32, lr=4e-4, schedule='linear_last_40')})


def folder64() -> Run:
    """Small: pairs of your own at 64 px, the right picture from the left one; `--data.direction b_to_a` for the other way."""
    run = toyfaces()
    return run.model_copy(update={'data': PairData(source='pairs', size=64, load_size=72)})


ROWS = {'paper': paper, 'aggan_table': aggan_table, 'toyfaces': toyfaces, 'folder64': folder64}
