"""Recipes of AGGAN's multi-domain model."""
from __future__ import annotations

from retouch.data.configs import AttributeData
from retouch.engine.config import TrainConfig
from retouch.methods.aggan_multi import Config
from retouch.recipes.stargan import SIX
from retouch.run import Run


def paper() -> Run:
    """The paper's RaFD setting: eight exclusive expressions at 256 px, batch 1, 200 epochs of 4,320 pictures of 60 people; each picture is
    asked for another expression."""
    return Run(method=Config(labels='single'), data=AttributeData(source='rafd', size=256, people=7, targets='other'),
               train=TrainConfig(epochs=200, iterations=864_000, batch_size=1, log_every=100, sample_every=5000, save_every=5000))


def code() -> Run:
    """The released `AttentionGAN-v1-multi`: 128 px, batch 16, 200,000 iterations, targets are other rows of the batch."""
    return Run(method=Config(labels='single'), data=AttributeData(source='rafd', size=128, people=7),
               train=TrainConfig(iterations=200_000, batch_size=16, log_every=100, sample_every=5000, save_every=5000))


def demo() -> Run:
    """Small: the drawn faces at 48 px, six attributes, minutes on two CPU cores."""
    return Run(method=Config(width_g=16, blocks=3, width_d=32, condition='difference', content_activation='tanh',
                             lambda_adv=8.0, lambda_cls=2.0, lambda_rec=2.5, lambda_area=0.0, n_critic=2, lr=8e-4, beta2=0.99,
                             schedule='linear_last_40'),
               data=AttributeData(attributes=SIX, size=48, targets='single', n=4000),
               train=TrainConfig(iterations=5000, batch_size=8, ema=0.999, log_every=50, sample_every=500, save_every=1000))


def toyfaces() -> Run:
    """Small: as `demo`, with larger batches, a heavier reconstruction and longer, 35 minutes on two CPU cores."""
    run = demo()
    method = run.method.model_copy(update={'lambda_adv': 6.0, 'lambda_rec': 5.0, 'lambda_area': 0.003, 'lr': 6e-4})
    return run.model_copy(update={'method': method,
                                  'data': run.data.model_copy(update={'n': 6000}),
                                  'train': run.train.model_copy(update={'iterations': 16_000, 'batch_size': 16, 'sample_every': 1000})})


def folder64() -> Run:
    """Small: pictures of your own at 64 px, all their attributes, one edited at a time; tens of minutes on two CPU cores."""
    run = toyfaces()
    return run.model_copy(update={'data': AttributeData(source='pictures', size=64, targets='single')})


ROWS = {'paper': paper, 'code': code, 'demo': demo, 'toyfaces': toyfaces, 'folder64': folder64}
