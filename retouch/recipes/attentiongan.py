"""AttentionGAN's recipes."""
from __future__ import annotations

from retouch.data.configs import DomainData
from retouch.engine.config import TrainConfig
from retouch.methods.attentiongan import Config
from retouch.recipes import cyclegan
from retouch.run import Run


def paper() -> Run:
    """The authors' script: 286 -> 256 px, batch 4, 60 epochs of 333 whole batches (horse2zebra), no decay."""
    return Run(method=Config(), data=DomainData(source='horse2zebra'),
               train=TrainConfig(epochs=60, iterations=19_980, batch_size=4, log_every=100, sample_every=1000, save_every=1000))


def small(base: Run) -> Run:
    """The small model on data, widths, weights and length of one of CycleGAN's recipes."""
    shared = base.method.model_dump(include={'width_g', 'blocks', 'width_d', 'lambda_cyc', 'lambda_idt', 'lr', 'schedule'})
    return base.model_copy(update={'method': Config(**shared)})


def toyfaces() -> Run:
    """Small: drawn faces at 32 px without and with Eyeglasses; data, widths, weights and length of `cyclegan.toyfaces`."""
    return small(cyclegan.toyfaces())


def folder64() -> Run:
    """Small: two folders of your own at 64 px; data, widths, weights and length of `cyclegan.folder64`."""
    return small(cyclegan.folder64())


ROWS = {'paper': paper, 'toyfaces': toyfaces, 'folder64': folder64}
