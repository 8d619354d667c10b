"""Face parser: the class of every pixel, for systems that are guided or scored by a parse; trained like any other system.

Paper:      Yu et al. BiSeNet. ECCV 2018, arXiv:1808.00897 (the parser SeCGAN is guided by); the network is that of Ronneberger et al.
            U-Net. MICCAI 2015, arXiv:1505.04597.
Reference:  zllrunning/face-parsing.PyTorch @ d2e684c (MIT): read for loss, schedule and classes; no code taken.
Differs:    [D1] a compact U-Net at full resolution: BiSeNet decides on a map of an eighth of the side, 6x6 at 48 px;
            [D2] from scratch, so the input is [-1,1] as everywhere, without ImageNet's mean and deviation;
            [D3] Adam without warm-up; one output, so (1) once and not for two auxiliary heads as well;
            [D4] (1) counts pixels whose class is known, the reference counts all of the crop;
            [D5] left and right classes change places in a mirrored picture; the reference mirrors pictures and leaves the ids;
            [D6] (2), which the reference does not have, for classes of few pixels; off by default.
Shapes:     N batch, C classes, H W image. x images in [-1,1]; s classes [N,H,W] in 0 … C-1, IGNORED where unknown.

  (1) L_ce = mean of -log softmax(P(x))_s over hard pixels: those above -log(hard), and at least the hardest 1/16 of the known ones
  (2) L_dice = mean over classes in the batch of 1 - 2 sum p_c [s = c] / (sum p_c + sum [s = c]), p = softmax(P(x)), sums over known pixels
  (3) L = L_ce + lambda_dice L_dice
"""
from __future__ import annotations

import math
from functools import partial
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import IGNORED, DataSpec, ParsingBatch
from retouch.data.parsing import TWELVE, colours_of, logits_to_twelve
from retouch.engine.update import Adam, Keep, Step, Update
from retouch.losses import full
from retouch.networks.parser import UNet

FEWEST = 16      # at least 1/16 of the known pixels count


class Config(BaseConfig):
    """Defaults are ours but for `hard` and `power`, which are the reference's."""

    id: Literal['parser'] = 'parser'
    width: int = Field(default=16, gt=0)
    hard: float = Field(default=0.7, gt=0, le=1)
    """Pixels whose class has less than this probability are hard; 1: every pixel counts."""
    lambda_dice: float = Field(default=0.0, ge=0)
    """Weight of (2), in which a class counts the same however few pixels it has; 0 leaves it out."""
    lr: float = 2e-3
    beta1: float = 0.9
    beta2: float = 0.999
    power: float = 0.9
    """Of the learning rate's decay, (1 - iteration / iterations) ** power."""


def polynomial_decay(iteration: int, iterations: int, power: float) -> float:
    """(1 - iteration / iterations) ** power."""
    return (1 - iteration / iterations) ** power


def hard_cross_entropy(logits: Tensor, classes: Tensor, hard: float) -> Tensor:
    """Cross-entropy, mean over hard pixels. logits [N,C,H,W]; classes int64 [N,H,W], IGNORED where unknown. Zero where nothing is known."""
    loss = F.cross_entropy(full(logits), classes, ignore_index=IGNORED, reduction='none')
    known = classes != IGNORED
    loss, count = loss.where(known, -1).flatten().sort(descending=True).values, known.sum()         # unknown ones last; no host sync
    above = (loss > -math.log(hard)).sum().maximum((count // FEWEST).clamp(min=1)).minimum(count)
    weight = (torch.arange(len(loss), device=loss.device) < above).to(loss)
    return (loss * weight).sum() / above.clamp(min=1)


def dice_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """1 - Dice of every class that the batch shows, their mean. logits [N,C,H,W]; classes int64 [N,H,W], IGNORED where unknown."""
    known = classes != IGNORED
    p = full(logits).softmax(1) * known[:, None]
    true = F.one_hot(classes.where(known, 0), p.shape[1]).permute(0, 3, 1, 2) * known[:, None]
    shown = true.sum((0, 2, 3))                                                        # [C]
    dice = 2 * (p * true).sum((0, 2, 3)) / (p.sum((0, 2, 3)) + shown).clamp(min=1e-6)
    return ((1 - dice) * (shown > 0)).sum() / (shown > 0).sum().clamp(min=1)


class Parser(nn.Module):
    """Names the class of every pixel."""

    id: ClassVar[str] = 'parser'
    kind: ClassVar[str] = 'parsing'
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = ('parser',)

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        if data.size % 16 or data.size < 32:
            raise ValueError(f'size={data.size}: the parser halves the picture four times, expected a multiple of 16 from 32 on; '
                             f'set --data.size {max(32, data.size // 16 * 16)}')
        self.config, self.data = config, data
        self.nets = nn.ModuleDict({'parser': UNet(len(data.attributes), config.width)})
        self.register_buffer('colours', colours_of(data.attributes), persistent=False)      # [C,3] for sample grids

    @classmethod
    def tiny(cls) -> Parser:
        """The smallest legal form."""
        return cls(Config(width=2), DataSpec(size=32, attributes=TWELVE))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        return (Update('P', ('parser',), self.parser_step, partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2)),
                       partial(polynomial_decay, power=c.power)),)

    def parser_step(self, batch: ParsingBatch, kept: Keep) -> Step:
        logits = self.nets['parser'](batch.image)                                      # [N,C,H,W]
        loss = loss_ce = hard_cross_entropy(logits, batch.classes, self.config.hard)   # (1)
        logs: dict[str, Tensor] = {}
        if self.config.lambda_dice:
            loss_dice = dice_loss(logits, batch.classes)                               # (2)
            loss = loss_ce + self.config.lambda_dice * loss_dice                       # (3)
            logs = {'ce': loss_ce.detach(), 'dice': loss_dice.detach()}
        found, known = logits.detach().argmax(1), batch.classes != IGNORED
        wrong = ((found != batch.classes) & known).sum() / known.sum().clamp(min=1)
        truth = self.show(batch.classes.where(known, 0)).where(known[:, None], 1.0)
        return Step(loss, {'error': wrong, **logs}, {'input': batch.image, 'parse': self.show(found), 'truth': truth})

    def show(self, classes: Tensor) -> Tensor:
        """Classes [N,H,W] as a picture [N,3,H,W] in [-1,1]."""
        return self.colours[classes].permute(0, 3, 1, 2)

    def read(self, image: Tensor) -> Tensor:
        """Log-probabilities [N,12,H,W] of SeCGAN's twelve classes, whichever list was learned; image [N,3,H,W] may carry a gradient."""
        return logits_to_twelve(full(self.nets['parser'](image)), self.data.attributes)
