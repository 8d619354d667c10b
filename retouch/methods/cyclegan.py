"""CycleGAN: two generators between two unpaired domains, held together by cycle consistency.

Paper:      Zhu, Park, Isola, Efros. Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks. ICCV 2017,
            arXiv:1703.10593.
Reference:  junyanz/pytorch-CycleGAN-and-pix2pix (BSD): read for layers, reductions, pool and schedule; no code taken.
Differs:    [D1] calls of one network on several inputs are batched where the inputs exist (3 generator calls for 4, 4 discriminator calls
            for 6; instance norm is per sample, so equal);
            [D2] the image pool's draws are keyed by (seed, iteration, sample), its contents are part of the state;
            [D3] the epoch schedule counts in 1/200ths of the run;
            [D4] 6 blocks at 128 px and below, 9 above (the authors' rule); D has fewer layers below 64 px;
            [D5] lambda_idt is 0 as in the paper's main setting; the released code's default is 0.5.
Shapes:     N batch, H W image. x of domain A, y of domain B in [-1,1]; G: A -> B, F: B -> A; D_A, D_B patch scores [N,1,h,w].

Generator step                                                   Discriminator step (fakes from the generator step, through a pool of 50)
  (1) L_gan = E[(D_B(G(x)) - 1)^2] + E[(D_A(F(y)) - 1)^2]          (4) L_B = (E[(D_B(y) - 1)^2] + E[D_B(pool(G(x)))^2]) / 2
  (2) L_cyc = mean |F(G(x)) - x| + mean |G(F(y)) - y|              (5) L_A = (E[(D_A(x) - 1)^2] + E[D_A(pool(F(y)))^2]) / 2
  (3) L_idt = mean |G(y) - y| + mean |F(x) - x|
  L_G = (1) + lambda_cyc (2) + lambda_cyc lambda_idt (3)           L_D = (4) + (5)
"""
from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import DataSpec, DomainBatch
from retouch.engine import schedules
from retouch.engine.pool import ImagePool
from retouch.engine.update import Adam, DomainRequest, Keep, Step, Translation, Update, generator_to
from retouch.errors import check_halved_twice
from retouch.losses import l1_mean, lsgan_halved, mse_to_constant
from retouch.networks.cyclegan import PatchDiscriminator, ResNetGenerator, init_normal, layers_at

SCHEDULES = {'cyclegan_linear': schedules.cyclegan_linear, 'linear_last_40': schedules.linear_last_40}


class Config(BaseConfig):
    """Defaults are the authors' (256 px)."""

    id: Literal['cyclegan'] = 'cyclegan'
    width_g: int = Field(default=64, gt=0)
    blocks: int | None = Field(default=None, ge=0)
    """Residual blocks; None: 9 above 128 px, 6 up to 128 px."""
    width_d: int = Field(default=64, gt=0)
    layers_d: int | None = None
    """Strided layers of D; None: 3 from 64 px, 2 below."""
    lambda_cyc: float = 10.0
    lambda_idt: float = 0.0
    """Weight of (3) relative to lambda_cyc; the authors use 0.5 for photo enhancement and paintings, 0 elsewhere in the paper."""
    pool: int = Field(default=50, ge=0)
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Literal['cyclegan_linear', 'linear_last_40'] = 'cyclegan_linear'


class CycleGAN(nn.Module):
    """Unpaired translation of whole pictures; no mask."""

    id: ClassVar[str] = 'cyclegan'
    kind: ClassVar[str] = 'domains'
    Config: ClassVar[type[Config]] = Config
    compiles: ClassVar[tuple[str, ...]] = ('G', 'F')
    inference_nets: ClassVar[tuple[str, ...]] = ('G', 'F')

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        check_halved_twice(data.size)
        self.config, self.data = config, data
        blocks = config.blocks if config.blocks is not None else (9 if data.size > 128 else 6)
        layers = layers_at(data.size, config.layers_d)
        self.nets = nn.ModuleDict({
            **{name: init_normal(ResNetGenerator(width=config.width_g, blocks=blocks)) for name in ('G', 'F')},
            **{name: init_normal(PatchDiscriminator(width=config.width_d, layers=layers)) for name in ('D_A', 'D_B')}})
        shape = (3, data.size, data.size)
        self.pools = nn.ModuleDict({'A': ImagePool(config.pool, shape), 'B': ImagePool(config.pool, shape)})

    @classmethod
    def tiny(cls) -> CycleGAN:
        """The smallest legal form."""
        return cls(Config(width_g=4, blocks=1, width_d=4, layers_d=1, pool=3), DataSpec(size=16, domains=('A', 'B')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam, schedule = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2)), SCHEDULES[c.schedule]
        return (Update('G', ('G', 'F'), self.generator_step, adam, schedule),
                Update('D', ('D_A', 'D_B'), self.discriminator_step, adam, schedule))

    def generator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        c, n, x, y = self.config, self.nets, batch.image_a, batch.image_b
        idt, N = c.lambda_cyc * c.lambda_idt, len(x)
        f_out = n['F'](torch.cat([y, x]) if idt else y)
        fake_a = f_out[:N]
        g_out = n['G'](torch.cat([x, fake_a, y] if idt else [x, fake_a]))
        fake_b, rec_b = g_out[:N], g_out[N:2 * N]
        loss_gan = mse_to_constant(n['D_B'](fake_b), 1.0) + mse_to_constant(n['D_A'](fake_a), 1.0)      # (1)
        loss_cyc = l1_mean(n['F'](fake_b), x) + l1_mean(rec_b, y)                                       # (2)
        loss_idt = l1_mean(g_out[2 * N:], y) + l1_mean(f_out[N:], x) if idt else torch.zeros_like(loss_cyc)  # (3)
        return Step(loss_gan + c.lambda_cyc * loss_cyc + idt * loss_idt,
                    {'gan': loss_gan.detach(), 'cyc': loss_cyc.detach(), 'idt': loss_idt.detach()},
                    {'input': x, 'edit': fake_b.detach(), 'input_b': y, 'edit_b': fake_a.detach()},
                    {'fake_a': fake_a.detach(), 'fake_b': fake_b.detach()})

    def discriminator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        n, x, y, m = self.nets, batch.image_a, batch.image_b, batch.moment
        loss_b = lsgan_halved(n['D_B'], y, self.pools['B'].exchange(kept['fake_b'], m, 'B'))            # (4)
        loss_a = lsgan_halved(n['D_A'], x, self.pools['A'].exchange(kept['fake_a'], m, 'A'))            # (5)
        return Step(loss_b + loss_a, {'B': loss_b.detach(), 'A': loss_a.detach()})

    def translate(self, request: DomainRequest) -> Translation:
        """Brings [N,3,H,W] to domain `request.to`; no edit mask."""
        return Translation(self.nets[generator_to(request.to, self.data)](request.image).float())
