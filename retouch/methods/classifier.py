"""Attribute classifier: the judge of edits, trained like any other system.

Paper:      Liu et al. STGAN, CVPR 2019, arXiv:1904.09709 (the network their tables, MatchGAN's and probably SeCGAN's are judged by).
Reference:  csmliu/STGAN @ 8a206ad (MIT): read for layers and settings; no code taken.
Differs:    [D1] L2 1e-4 on convolution and FC weights is Adam's weight decay, half the gradient of an added L2 term;
            [D2] `resample` shows some pictures at a lower resolution, so that one judge reads pictures of several sizes;
            [D3] the exponent schedule counts in 1/25ths of the run instead of epochs.
Shapes:     N batch, K attributes. x images in [-1,1]; a labels [N,K] in {0,1}.

  (1) L = BCE(C(x), a), mean over N and K; or CE
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import AttributeBatch, DataSpec
from retouch.engine.update import Adam, Keep, Step, Update
from retouch.losses import bce_mean, cross_entropy_of_one_hot
from retouch.networks.classifier import Classifier


class Config(BaseConfig):
    """Defaults are the original's (CelebA, 128 px)."""

    id: Literal['classifier'] = 'classifier'
    labels: Literal['multi', 'single'] = 'multi'
    width: int = 16
    hidden: int = 512
    lr: float = 2e-4
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 1e-4
    resample: tuple[int, ...] = ()
    """Sizes in pixels; each iteration the batch is shown at one of them or at full size, brought back by bilinear resampling."""


def polynomial_decay(iteration: int, iterations: int) -> float:
    """(1 - max(e - 8, 0) / 25) ** 0.75 with e = 25 * iteration / iterations: the original's 25 epochs at any length."""
    return (1 - max(25 * iteration / iterations - 8, 0) / 25) ** 0.75


class AttributeClassifier(nn.Module):
    """Reads attributes; scores other systems."""

    id: ClassVar[str] = 'classifier'
    kind: ClassVar[str] = 'attributes'
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = ('C',)

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        if data.size % 32:
            raise ValueError(f'size={data.size}: the classifier halves the picture five times, expected a multiple of 32; '
                             'set --data.size 64 or 128')
        self.config, self.data = config, data
        self.nets = nn.ModuleDict({'C': Classifier(len(data.attributes), data.size, config.width, config.hidden)})
        self.loss = {'multi': bce_mean, 'single': cross_entropy_of_one_hot}[config.labels]

    @classmethod
    def tiny(cls) -> AttributeClassifier:
        """The smallest legal form."""
        return cls(Config(width=2, hidden=4), DataSpec(size=32, attributes=('Black_Hair', 'Blond_Hair', 'Eyeglasses')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config

        def adam(parameters: Iterable[nn.Parameter]) -> Adam:
            weights, others = [], []
            for p in parameters:
                (weights if p.ndim > 1 else others).append(p)
            return Adam([{'params': weights, 'weight_decay': c.weight_decay}, {'params': others}], lr=c.lr, betas=(c.beta1, c.beta2))

        return (Update('C', ('C',), self.classifier_step, adam, polynomial_decay),)

    def classifier_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        x = batch.image
        sizes = (self.data.size, *self.config.resample)
        size = sizes[batch.moment.iteration % len(sizes)]
        if size != self.data.size:
            small = F.interpolate(x, size=size, mode='bilinear', antialias=True)
            x = F.interpolate(small, size=self.data.size, mode='bilinear', antialias=True)
        logits = self.nets['C'](x)
        loss = self.loss(logits, batch.labels)                                         # (1)
        wrong = ((logits.detach() > 0) != (batch.labels > 0.5)).float().mean()
        return Step(loss, {'bce': loss.detach(), 'error': wrong})

    def read(self, image: Tensor) -> Tensor:
        """Attribute probabilities [N,K] of pictures [N,3,H,W]."""
        logits = self.nets['C'](image).float()
        return logits.sigmoid() if self.config.labels == 'multi' else logits.softmax(1)
