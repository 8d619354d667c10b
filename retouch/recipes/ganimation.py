"""GANimation's recipes."""
from __future__ import annotations

from retouch.data.configs import AttributeData
from retouch.engine.config import TrainConfig
from retouch.methods.ganimation import Config
from retouch.recipes import stargan
from retouch.run import Run
from retouch.toyfaces.expressions import EXPRESSIONS

# whose strength OpenFace reads
UNITS = tuple(f'AU{number}' for number in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45))


def paper() -> Run:
    """The code's EmotioNet setting: 128 px, batch 25, 30 epochs of 200,000 faces cut out beforehand, 17 action units, on or off."""
    return Run(method=Config(), data=AttributeData(source='emotionet', attributes=UNITS, size=128),
               train=TrainConfig(epochs=30, iterations=240_000, batch_size=25, log_every=100, sample_every=5000, save_every=5000))


def rafd() -> Run:
    """As AGGAN's paper compares it: RaFD's eight expressions, one of them 1; nets, batch and length of `paper`."""
    run = paper()
    return run.model_copy(update={'data': AttributeData(source='rafd', size=128, people=7)})


def toyfaces() -> Run:
    """Small: drawn faces at 32 px, six attributes as they are, data of `stargan.toyfaces`, targets other rows of the batch."""
    base = stargan.toyfaces()
    told = Config(width_g=16, blocks=1, width_d=32, lambda_adv=2.0, lambda_cond=40.0, lambda_cyc=5.0, lambda_keep=0.3, n_critic=1,
                  lr=1e-3, beta2=0.99, schedule='linear_last_40')
    return base.model_copy(update={'method': told})


def toyfaces_expressions() -> Run:
    """Small: drawn faces at 32 px whose smile, mouth, brows and eyes are shown by degrees, of which the truth of every degree is known."""
    run = toyfaces()
    return run.model_copy(update={'data': AttributeData(attributes=EXPRESSIONS, size=32, n=4000),
                                  'train': run.train.model_copy(update={'iterations': 4000})})


ROWS = {'paper': paper, 'rafd': rafd, 'toyfaces': toyfaces, 'toyfaces_expressions': toyfaces_expressions}
