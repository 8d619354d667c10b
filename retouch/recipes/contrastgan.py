"""ContrastGAN's recipes, readings all. Each needs a parser of its size: --method.parser."""
from __future__ import annotations

from retouch.data.configs import DomainData
from retouch.engine.config import TrainConfig
from retouch.methods.contrastgan import Config
from retouch.recipes import cyclegan
from retouch.run import Run

REGION = ('eyebrows', 'eyes', 'eyeglasses', 'nose')


def aggan_table() -> Run:
    """For Tables I and III of AGGAN: 256 px, 200 epochs, counted for 1,000 pictures a domain, batch 1; the mask is of the face."""
    return Run(method=Config(), data=DomainData(source='ar_face', load_size=None),
               train=TrainConfig(epochs=200, iterations=200_000, batch_size=1, log_every=100, sample_every=5000, save_every=5000))


def toyfaces() -> Run:
    """Small: drawn faces at 32 px without and with Eyeglasses, data and length of `cyclegan.toyfaces`; the mask is of face parts."""
    told = Config(width_g=16, blocks=1, width_d=32, lambda_cyc=30.0, lr=1e-3, schedule='linear_last_40')
    return cyclegan.toyfaces().model_copy(update={'method': told})


def toyfaces_region() -> Run:
    """Small: the same with a mask of the parts that Eyeglasses touch alone, close to the true region of the edit."""
    run = toyfaces()
    return run.model_copy(update={'method': run.method.model_copy(update={'parts': REGION})})


ROWS = {'aggan_table': aggan_table, 'toyfaces': toyfaces, 'toyfaces_region': toyfaces_region}
