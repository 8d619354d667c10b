"""FAL's recipes: this project's reading, ASGIT's, and the same on drawn faces."""
from __future__ import annotations

from retouch.data.configs import PairData
from retouch.methods.fal import Config
from retouch.recipes import pix2pix
from retouch.run import Run


def paper() -> Run:
    """This project's reading on the data and length of ASGIT's Table 5, 128 px."""
    return pix2pix.asgit().model_copy(update={'method': Config()})


def asgit() -> Run:
    """ASGIT's reading: one scale and offset a channel, 256 px, the last step's losses, L1 x 100; three steps, for it names no number."""
    run = pix2pix.asgit()
    return run.model_copy(update={
        'method': Config(modulation='global', loss_steps='last', detach_response=False, lambda_l1=100.0),
        'data': run.data.model_copy(update={'size': 256, 'load_size': 286})})


def toyfaces() -> Run:
    """Small: drawn faces from their parse at 64 px, data and batch of `pix2pix.toyfaces`."""
    run = pix2pix.toyfaces()
    return run.model_copy(update={'method': Config(width_g=16, blocks=2, width_d=16, lambda_l1=100.0, lr=4e-4, schedule='linear_last_40'),
                                  'train': run.train.model_copy(update={'ema': None})})


def toyfaces_one_step() -> Run:
    """Small: as `fal.toyfaces`, but one step: the generator without feedback."""
    run = toyfaces()
    return run.model_copy(update={'method': run.method.model_copy(update={'steps': 1})})


def folder64() -> Run:
    """Small: pairs of your own at 64 px, the right picture from the left one; `--data.direction b_to_a` for the other way."""
    run = toyfaces()
    return run.model_copy(update={'data': PairData(source='pairs', size=64, load_size=72)})


ROWS = {'paper': paper, 'asgit': asgit, 'toyfaces': toyfaces, 'toyfaces_one_step': toyfaces_one_step, 'folder64': folder64}
