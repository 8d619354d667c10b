"""ComboGAN's recipes."""
from __future__ import annotations

from retouch.data.configs import AttributeData
from retouch.engine.config import TrainConfig
from retouch.methods.combogan import Config
from retouch.run import Run

HAIR = ('Black_Hair', 'Blond_Hair', 'Brown_Hair')


def paper() -> Run:
    """The authors' setting for four class folders (the Alps by season): 256 px, one picture of each of two classes a batch."""
    # 200 times all pictures are the authors' 50 n + 50 n epochs of the largest of n classes of one size; iterations are of 6,000 pictures
    return Run(method=Config(), data=AttributeData(source='alps', size=256, targets='pair'),
               train=TrainConfig(epochs=200, iterations=600_000, batch_size=2, log_every=100, sample_every=5000, save_every=5000))


def aggan_table() -> Run:
    """As AGGAN's Table I compares: 256 px, 200 epochs, one picture of each of two classes a batch; iterations of 1,000 a class."""
    return Run(method=Config(), data=AttributeData(source='ar_face', size=256, targets='pair'),
               train=TrainConfig(epochs=200, iterations=200_000, batch_size=2, log_every=100, sample_every=5000, save_every=5000))


def toyfaces() -> Run:
    """Small: drawn faces at 32 px with black, blond and brown hair as three classes, for two CPU cores."""
    return Run(method=Config(width_g=16, blocks=2, width_d=32, lambda_cyc=30.0, lr=1e-3, schedule='linear_last_40'),
               data=AttributeData(attributes=HAIR, one_of=True, size=32, targets='pair', n=8000),
               train=TrainConfig(iterations=2000, batch_size=16, ema=0.999, log_every=50, sample_every=500, save_every=500))


def folder64() -> Run:
    """Small: class folders of your own at 64 px."""
    return Run(method=Config(width_g=16, blocks=4, width_d=32, lr=4e-4, schedule='linear_last_40'),
               data=AttributeData(source='classes', size=64, targets='pair'),
               train=TrainConfig(iterations=6000, batch_size=8, ema=0.999, log_every=50, sample_every=500, save_every=500))


ROWS = {'paper': paper, 'aggan_table': aggan_table, 'toyfaces': toyfaces, 'folder64': folder64}
