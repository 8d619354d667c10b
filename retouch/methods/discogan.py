"""DiscoGAN: two small encoder-decoders between two unpaired domains, each the other's inverse.

Paper:      Kim, Cha, Kim, Lee, Kim. Learning to Discover Cross-Domain Relations with Generative Adversarial Networks. ICML 2017,
            arXiv:1703.05192.
Reference:  SKTBrain/DiscoGAN @ f044178 (no licence file): read for layers, reductions, order and rates; no code taken.
Differs:    [D1] features are matched (4) and the weights follow a curriculum, as in the code; the paper has neither (`feature_matching`
            False, `curriculum` 0);
            [D2] pictures in [-1,1] and tanh; `output_range` 'unit' is the code's [0,1] and sigmoid, where (5) is a quarter as large;
            [D3] translate normalises by running averages; the code's test by the statistics of the 200 pictures it shows at once;
            [D4] above 64 px D scores patches and every score has its target, where the code's targets of one a picture do not fit; `head`
            'single' halves further, down to one score; below 64 px G and D have fewer layers;
            [D5] what the other step alone needs is not computed (cycles where D learns, D's graph where G does).
Shapes:     N batch, H W image. x of domain A, y of domain B; G: A -> B, F: B -> A; D_A, D_B logits [N,1,h,w] and features f_l, every
            strided convolution's but the first; r = starting_rate in the first `curriculum` iterations, then `rate`.

Discriminator step (first of every `interval` iterations)        Generator step (the others)
  (1) L_B = (BCE(D_B(y), 1) + BCE(D_B(G(x)), 0)) / 2               (3) L_gan = BCE(D_B(G(x)), 1) + BCE(D_A(F(y)), 1)
  (2) L_A = (BCE(D_A(x), 1) + BCE(D_A(F(y)), 0)) / 2               (4) L_fm  = sum_l mean (mean_n f_l(real) - mean_n f_l(fake))^2, A and B
                                                                   (5) L_rec = mean (F(G(x)) - x)^2 + mean (G(F(y)) - y)^2
  L_D = (1) + (2)                                                  L_G = (1 - r) (0.1 (3) + 0.9 (4)) + r (5); r, or (1 - r) (3) + r (5)
"""
from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import DataSpec, DomainBatch, Moment
from retouch.engine import schedules
from retouch.engine.update import Adam, DomainRequest, Keep, Step, Translation, Update, generator_to
from retouch.losses import bce_to_constant, feature_matching, mse_mean
from retouch.networks.dcgan import FeatureDiscriminator, Translator, halvings

SCHEDULES = {'constant': schedules.constant, 'linear_last_40': schedules.linear_last_40}
WEIGHT_GAN, WEIGHT_FM = 0.1, 0.9


class Config(BaseConfig):
    """Defaults are the authors' code (64 px)."""

    id: Literal['discogan'] = 'discogan'
    width_g: int = Field(default=64, gt=0)
    layers_g: int | None = Field(default=None, gt=0)
    """Strided convolutions of G; None: 4, fewer below 64 px."""
    bottleneck: int | None = Field(default=None, gt=0)
    """Channels of one more convolution, 4x4 without padding; the code's form that no script turns on has 100. None: none."""
    width_d: int = Field(default=64, gt=0)
    head: Literal['patch', 'single'] = 'patch'
    """Above 64 px: D scores patches, or halves the picture further, down to one score."""
    output_range: Literal['symmetric', 'unit'] = 'symmetric'
    """What the nets see and make: [-1,1] by tanh, or the code's [0,1] by a sigmoid."""
    feature_matching: bool = True
    """Whether (4) stands beside (3); without it (3) has weight 1."""
    curriculum: int = Field(default=10_000, ge=0)
    """Iterations with `starting_rate`; 0: none."""
    starting_rate: float = Field(default=0.01, ge=0, le=1)
    rate: float = Field(default=0.5, ge=0, le=1)
    """Share of the reconstruction (5) in the generators' loss after the curriculum."""
    interval: int = Field(default=3, ge=2)
    """Length of a cycle in iterations: in the first D learns, in the others G."""
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    weight_decay: float = Field(default=1e-5, ge=0)
    schedule: Literal['constant', 'linear_last_40'] = 'constant'


def rate_at(moment: Moment, c: Any) -> float:
    """r, the share of what is no adversarial loss."""
    return c.starting_rate if moment.iteration < c.curriculum else c.rate


def adversarial(D: nn.Module, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """One direction's terms of (3) and (4): [N,3,H,W] each -> two scalars."""
    logits, made = D(fake)
    with torch.no_grad():
        features = D(real)[1]
    return bce_to_constant(logits, 1.0), feature_matching(features, made)


def told_apart(D: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """One domain's (1): [N,3,H,W] each -> scalar."""
    return 0.5 * (bce_to_constant(D(real)[0], 1.0) + bce_to_constant(D(fake)[0], 0.0))


class DiscoGAN(nn.Module):
    """Unpaired translation of whole pictures; no mask."""

    id: ClassVar[str] = 'discogan'
    kind: ClassVar[str] = 'domains'
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = ('G', 'F')

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        c = self.config = config
        self.data = data
        layers_g, layers_d = layers_at(data.size, c.layers_g, c.bottleneck), halvings(data.size, 8 if c.head == 'single' else 4)
        self.nets = nn.ModuleDict({**{name: Translator(c.width_g, layers_g, c.bottleneck) for name in ('G', 'F')},
                                   **{name: FeatureDiscriminator(c.width_d, layers_d) for name in ('D_A', 'D_B')}})
        self.least = 2 if c.bottleneck and data.size == 4 * 2 ** layers_g else 1         # batch norm of a vector needs two of them

    @classmethod
    def tiny(cls) -> DiscoGAN:
        """The smallest legal form."""
        return cls(Config(width_g=4, width_d=4, interval=2, curriculum=2), DataSpec(size=16, domains=('A', 'B')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2), weight_decay=c.weight_decay)
        return (Update('D', ('D_A', 'D_B'), self.discriminator_step, adam, SCHEDULES[c.schedule], every=c.interval, at=(0,)),
                Update('G', ('G', 'F'), self.generator_step, adam, SCHEDULES[c.schedule], every=c.interval, at=(*range(1, c.interval),)))

    def seen(self, x: Tensor) -> Tensor:
        """[N,3,H,W] in [-1,1] -> in the range that the nets work in."""
        return x if self.config.output_range == 'symmetric' else (x + 1) / 2

    def generate(self, net: str, x: Tensor) -> Tensor:
        """What 'G' or 'F' makes of [N,3,H,W], in the range that the nets work in."""
        if self.training and x.shape[0] < self.least:
            raise ValueError(f'batch_size={x.shape[0]}: at this size the bottleneck is a vector, and batch norm needs several, '
                             'expected 2 or more; set --train.batch-size 2, or --method.bottleneck none')
        made = self.nets[net](x)
        return made.tanh() if self.config.output_range == 'symmetric' else made.sigmoid()

    def discriminator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        n, x, y = self.nets, self.seen(batch.image_a), self.seen(batch.image_b)
        with torch.no_grad():
            fake_b, fake_a = self.generate('G', x), self.generate('F', y)
        loss_b = told_apart(n['D_B'], y, fake_b)                                                  # (1)
        loss_a = told_apart(n['D_A'], x, fake_a)                                                  # (2)
        return Step(loss_b + loss_a, {'B': loss_b.detach(), 'A': loss_a.detach()})

    def generator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        c, n, x, y = self.config, self.nets, self.seen(batch.image_a), self.seen(batch.image_b)
        r = rate_at(batch.moment, c)
        fake_b, fake_a = self.generate('G', x), self.generate('F', y)
        (gan_b, fm_b), (gan_a, fm_a) = adversarial(n['D_B'], y, fake_b), adversarial(n['D_A'], x, fake_a)
        loss_gan = gan_b + gan_a                                                                  # (3)
        loss_fm = fm_b + fm_a                                                                     # (4)
        loss_rec = mse_mean(self.generate('F', fake_b), x) + mse_mean(self.generate('G', fake_a), y)   # (5)
        fooling = WEIGHT_GAN * loss_gan + WEIGHT_FM * loss_fm if c.feature_matching else loss_gan
        return Step((1 - r) * fooling + r * loss_rec, {'gan': loss_gan.detach(), 'fm': loss_fm.detach(), 'rec': loss_rec.detach()},
                    {'input': batch.image_a, 'edit': self.shown(fake_b.detach()), 'input_b': batch.image_b,
                     'edit_b': self.shown(fake_a.detach())})

    def shown(self, made: Tensor) -> Tensor:
        """What a net made, [N,3,H,W], in [-1,1]."""
        return made if self.config.output_range == 'symmetric' else 2 * made - 1

    def translate(self, request: DomainRequest) -> Translation:
        """Brings [N,3,H,W] to domain `request.to`; no edit mask."""
        net = generator_to(request.to, self.data)
        return Translation(self.shown(self.generate(net, self.seen(request.image))).float())


def layers_at(size: int, layers: int | None, bottleneck: int | None) -> int:
    """Strided convolutions of G at `size` px: `layers`, or 4, fewer below 64 px. ValueError where the picture does not halve so often."""
    n, least = halvings(size) if layers is None else layers, 4 if bottleneck else 1
    if size % 2 ** n or size // 2 ** n < least:
        most = max(m for m in range(10) if size % 2 ** m == 0 and size // 2 ** m >= least)
        raise ValueError(f'layers_g={n}: {size} px are halved at most {most} times down to {least} px, which '
                         f'{"the bottleneck needs" if bottleneck else "is the least"}; set --method.layers-g {most}')
    return n
