"""pix2pix: a U-Net learns one picture from another, from aligned pairs; the discriminator judges the pair.

Paper:      Isola, Zhu, Zhou, Efros. Image-to-Image Translation with Conditional Adversarial Networks. CVPR 2017, arXiv:1611.07004.
Reference:  junyanz/pytorch-CycleGAN-and-pix2pix (BSD): read for layers, reductions and schedule; no code taken.
Differs:    [D1] batch norm keeps no running averages: translate takes pictures one at a time, each with its own statistics, which is what
            the authors' test does (batch 1, training mode);
            [D2] dropout's draws are keyed by (seed, iteration, sample); both steps of an iteration see the same; at test time dropout stays
            on as in the original, but its draw is fixed, the same for every picture (`test_dropout`);
            [D3] the U-Net halves a picture as often as it comes out even, 8 times at most; D has fewer layers below 64 px;
            [D4] the rate decays as in the PyTorch code, counted in 1/200ths of the run; the authors' first code keeps it constant;
            [D5] `gan_mode` 'lsgan' has squared distances to 1 and 0 in place of (1), (2) and (3): ASGIT's, for a baseline alike.
Shapes:     N batch, H W image. x the picture given, y the picture wanted, in [-1,1]; D(x, y) patch scores [N,1,h,w], logits, of the six
            channels together; with conditional=False D sees the second picture alone, three channels.

Discriminator step (first)                                       Generator step (against the D that has just learned)
  (1) L_real = BCE(D(x, y), 1)                                     (3) L_gan = BCE(D(x, G(x)), 1)
  (2) L_fake = BCE(D(x, G(x)), 0)                                  (4) L_l1  = mean |G(x) - y|
  L_D = ((1) + (2)) / 2                                            L_G = (3) + lambda_l1 (4)
"""
from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import DataSpec, Moment, PairBatch
from retouch.engine import schedules
from retouch.engine.update import Adam, DomainRequest, Keep, Step, Translation, Update, with_graph
from retouch.errors import check_second
from retouch.losses import bce_to_constant, l1_mean, mse_to_constant
from retouch.networks.cyclegan import PatchDiscriminator, init_normal, layers_at
from retouch.networks.unet import UNet, noise_to_draws

SCHEDULES = {'cyclegan_linear': schedules.cyclegan_linear, 'linear_last_40': schedules.linear_last_40}


class Config(BaseConfig):
    """Defaults are the authors' (256 px)."""

    id: Literal['pix2pix'] = 'pix2pix'
    norm: Literal['batch', 'instance'] = 'batch'
    """'batch': the authors'; at their batch of 1 it is instance norm with a scale and an offset. Choose 'instance' for larger batches."""
    width_g: int = Field(default=64, gt=0)
    skips: bool = True
    """False: the encoder-decoder, nothing is handed across the bottleneck."""
    dropout: bool = True
    test_dropout: bool = True
    """Whether values are dropped at test time too, as the authors do; by a fixed draw."""
    width_d: int = Field(default=64, gt=0)
    layers_d: int | None = None
    """Strided layers of D; None: 3 from 64 px, 2 below."""
    conditional: bool = True
    """Whether D sees the picture given beside the other one."""
    gan_mode: Literal['bce', 'lsgan'] = 'bce'
    lambda_l1: float = 100.0
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Literal['cyclegan_linear', 'linear_last_40'] = 'cyclegan_linear'


class Pix2Pix(nn.Module):
    """Paired translation of whole pictures, one way; no mask."""

    id: ClassVar[str] = 'pix2pix'
    kind: ClassVar[str] = 'pairs'
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = ('G',)

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        self.config, self.data = config, data
        self.to_constant = {'bce': bce_to_constant, 'lsgan': mse_to_constant}[config.gan_mode]
        layers = layers_at(data.size, config.layers_d)
        seen = 6 if config.conditional else 3
        self.nets = nn.ModuleDict({
            'G': init_normal(UNet(width=config.width_g, size=data.size, norm=config.norm, dropout=config.dropout, skips=config.skips)),
            'D': init_normal(PatchDiscriminator(seen, config.width_d, layers, config.norm))})

    @classmethod
    def tiny(cls) -> Pix2Pix:
        """The smallest legal form with a level that drops values."""
        return cls(Config(width_g=2, width_d=4, layers_d=1), DataSpec(size=64, domains=('A', 'B')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam, schedule = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2)), SCHEDULES[c.schedule]
        return (Update('D', ('D',), self.discriminator_step, adam, schedule, ahead=('G',)),
                Update('G', ('G',), self.generator_step, adam, schedule))

    def judge(self, x: Tensor, y: Tensor) -> Tensor:
        """D's scores [N,1,h,w] of y, beside x if it is conditional. x, y [N,3,H,W]."""
        return self.nets['D'](torch.cat([x, y], 1) if self.config.conditional else y)

    def discriminator_step(self, batch: PairBatch, kept: Keep) -> Step:
        x, y = batch.image_a, batch.image_b
        fake = self.nets['G'](x, batch.moment.uniform)                   # its graph is for (3) and (4)
        loss_real = self.to_constant(self.judge(x, y), 1.0)               # (1)
        loss_fake = self.to_constant(self.judge(x, fake.detach()), 0.0)   # (2)
        return Step(0.5 * (loss_real + loss_fake), {'real': loss_real.detach(), 'fake': loss_fake.detach()}, keep=with_graph(fake=fake))

    def generator_step(self, batch: PairBatch, kept: Keep) -> Step:
        x, y = batch.image_a, batch.image_b
        fake = kept['fake'] if 'fake' in kept else self.nets['G'](x, batch.moment.uniform)
        loss_gan = self.to_constant(self.judge(x, fake), 1.0)             # (3)
        loss_l1 = l1_mean(fake, y)                                       # (4)
        return Step(loss_gan + self.config.lambda_l1 * loss_l1, {'gan': loss_gan.detach(), 'l1': loss_l1.detach()},
                    {'input': x, 'edit': fake.detach(), 'truth': y})

    def translate(self, request: DomainRequest) -> Translation:
        """Makes the other picture of [N,3,H,W], each for itself; only `to` the second of the model's domains. No edit mask."""
        check_second(request.to, self.data.domains)
        noise = self.fixed_noise() if request.noise is None else request.noise
        return Translation(self.nets['G'](request.image, noise_to_draws(noise)).float())

    def fixed_noise(self) -> dict[str, Tensor]:
        """What drops values at test time, U(0,1) [1,C,h,w] each: of one sample, so the same for every picture. Nothing without dropout."""
        dropped = self.nets['G'].dropped if self.config.test_dropout else {}
        return {f'dropout_{j}': Moment().uniform(f'dropout_{j}', *shape) for j, shape in dropped.items()}
