"""LOMIT's recipes."""
from __future__ import annotations

from retouch.data.configs import ExemplarData
from retouch.engine.config import TrainConfig
from retouch.methods.lomit import Config
from retouch.run import Run

BLOND_OR_BLACK = ('Blond_Hair', 'Black_Hair')
HAIR = ('Black_Hair', 'Blond_Hair', 'Brown_Hair')
TEN = (*HAIR, 'Smiling', 'Mustache', 'No_Beard', 'Male', 'Goatee', 'Heavy_Makeup', 'Wearing_Lipstick')


def paper() -> Run:
    """The paper's setting at 128 px with all ten attributes: 200,000 iterations, batch 8; a set of them is `--data.attributes`."""
    return Run(method=Config(), data=ExemplarData(source='celeba', attributes=TEN, size=128, crop=178),
               train=TrainConfig(iterations=200_000, batch_size=8, log_every=100, sample_every=5000, save_every=5000))


def code() -> Run:
    """The released code and its configuration: hair colours and Smiling, only pictures with a hair colour, one style head, no R_2."""
    run = paper()
    return run.model_copy(update={
        'method': Config(share_style_branches=True, adain_std='nested', r1_detach_mask_input=False, lambda_r2=0.0),
        'data': run.data.model_copy(update={'attributes': (*HAIR, 'Smiling'), 'any_of': HAIR})})


def toyfaces() -> Run:
    """Small: drawn faces at 32 px, hair colours, Eyeglasses and Smiling, for two CPU cores; lambda_code a tenth of the paper's."""
    return Run(method=Config(width_g=12, blocks=2, hidden=64, width_d=24, lambda_code=0.1, n_critic=1, lr=8e-4, schedule='linear_last_40'),
               data=ExemplarData(attributes=(*HAIR, 'Eyeglasses', 'Smiling'), any_of=HAIR, size=32, n=8000),
               train=TrainConfig(iterations=4000, batch_size=8, ema=0.999, log_every=50, sample_every=1000, save_every=1000))


def toyfaces_hair() -> Run:
    """Small: black and blond hair alone, as many pictures as `munit.toyfaces_hair` sees; lambda_x three times the paper's."""
    run = toyfaces()
    told = {'lambda_x': 30.0, 'lambda_code': 1.0}
    return run.model_copy(update={'method': run.method.model_copy(update=told), 'train': run.train.model_copy(update={'iterations': 2000}),
                                  'data': run.data.model_copy(update={'attributes': BLOND_OR_BLACK, 'any_of': BLOND_OR_BLACK})})


def folder64() -> Run:
    """Small: pictures of your own at 64 px with CelebA's hair colours and Smiling."""
    run = toyfaces()
    return run.model_copy(update={'data': ExemplarData(source='pictures', attributes=(*HAIR, 'Smiling'), any_of=HAIR, size=64)})


ROWS = {'paper': paper, 'code': code, 'toyfaces': toyfaces, 'toyfaces_hair': toyfaces_hair, 'folder64': folder64}
