"""StarGAN's recipes."""
from __future__ import annotations

from retouch.data.configs import AttributeData
from retouch.engine.config import TrainConfig
from retouch.methods.stargan import Config
from retouch.run import Run
from retouch.toyfaces import THIRTEEN

SIX = ('Bangs', 'Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Eyeglasses', 'Mouth_Slightly_Open')      # the small tier


def paper() -> Run:
    """The paper's CelebA setting at 128 px with the thirteen attributes of the later papers: 200,000 iterations, batch 16."""
    return Run(method=Config(), data=AttributeData(source='celeba', attributes=THIRTEEN, size=128, crop=178),
               train=TrainConfig(iterations=200_000, batch_size=16, log_every=100, sample_every=5000, save_every=5000))


def code() -> Run:
    """As `paper`, with the learning rate the released code really uses (it hardly decays)."""
    run = paper()
    return run.model_copy(update={'method': run.method.model_copy(update={'schedule': 'stargan_code'})})


def rafd() -> Run:
    """The paper's RaFD setting: eight exclusive expressions from class folders, softmax cross-entropy."""
    run = paper()
    return run.model_copy(update={'method': run.method.model_copy(update={'labels': 'single'}),
                                  'data': AttributeData(source='rafd', size=128, people=7)})


def toyfaces() -> Run:
    """Small: drawn faces at 32 px, six attributes, for two CPU cores. What has no mask must learn to copy: G is asked for it directly."""
    return Run(method=Config(width_g=16, blocks=1, width_d=32, condition='difference', reconstruct='self', lambda_adv=2.0, lambda_cls=1.0,
                             lambda_rec=100.0, n_critic=1, lr=2e-3, beta2=0.99, schedule='linear_last_40'),
               data=AttributeData(attributes=SIX, size=32, targets='single', n=8000),
               train=TrainConfig(iterations=6000, batch_size=8, ema=0.999, log_every=50, sample_every=1000, save_every=1000))


def folder64() -> Run:
    """Small: pictures of your own at 64 px, all their attributes, one edited at a time; tens of minutes on two CPU cores."""
    run = toyfaces()
    return run.model_copy(update={'method': run.method.model_copy(update={'blocks': 3}),
                                  'data': AttributeData(source='pictures', size=64, targets='single')})


ROWS = {'paper': paper, 'code': code, 'rafd': rafd, 'toyfaces': toyfaces, 'folder64': folder64}
