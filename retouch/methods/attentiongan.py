"""AttentionGAN, version 2: CycleGAN whose generators share every pixel out between several contents and the input itself.

Paper:      Tang, Liu, Xu, Torr, Sebe. AttentionGAN: Unpaired Image-to-Image Translation using Attention-Guided Generative Adversarial
            Networks. TNNLS 2021, arXiv:1911.11897.
Reference:  Ha0Tang/AttentionGAN @ 45da496, `models` (CC BY-NC-SA 4.0): read for layers, losses and options; no code taken.
Differs:    [D1] calls of one network on several inputs are batched where the inputs exist (instance norm is per sample, so equal);
            [D2] the image pool's draws are keyed by (seed, iteration, sample), its contents are part of the state;
            [D3] the mask is 1 - A_{C+1}, where the picture may change; the code shows A_{C+1}, what stays;
            [D4] D has fewer layers below 64 px;
            [D5] without decay as in the authors' script (`schedule`); the code's own default is CycleGAN's 100 and 100 epochs.
Shapes:     N batch, C contents, H W image. x of domain A, y of domain B in [-1,1]; G: A -> B, F: B -> A; R contents [N,C,3,H,W];
            A attention [N,C+1,H,W], summing to 1 in every pixel, the input's map last; M mask [N,1,H,W]; D_A, D_B patch scores [N,1,h,w].

  (1) G(x) = sum_i A_i R_i + A_{C+1} x,  M = 1 - A_{C+1};  F(y) in the same way
Generator step                                                   Discriminator step (fakes from the generator step, through a pool of 50)
  (2) L_gan = E[(D_B(G(x)) - 1)^2] + E[(D_A(F(y)) - 1)^2]          (5) L_B = (E[(D_B(y) - 1)^2] + E[D_B(pool(G(x)))^2]) / 2
  (3) L_cyc = mean |F(G(x)) - x| + mean |G(F(y)) - y|              (6) L_A = (E[(D_A(x) - 1)^2] + E[D_A(pool(F(y)))^2]) / 2
  (4) L_idt = mean |G(y) - y| + mean |F(x) - x|
  L_G = (2) + lambda_cyc (3) + lambda_cyc lambda_idt (4)           L_D = (5) + (6)
"""
from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import DataSpec, DomainBatch
from retouch.engine import schedules
from retouch.engine.pool import ImagePool
from retouch.engine.update import Adam, DomainRequest, Keep, Step, Translation, Update, generator_to
from retouch.errors import check_halved_twice
from retouch.guidance.mask import mask_logs
from retouch.losses import full, l1_mean, lsgan_halved, mse_to_constant
from retouch.networks.attentiongan import Generator
from retouch.networks.cyclegan import PatchDiscriminator, init_normal, layers_at

SCHEDULES = {'constant': schedules.constant, 'cyclegan_linear': schedules.cyclegan_linear, 'linear_last_40': schedules.linear_last_40}


class Config(BaseConfig):
    """Defaults are those of the authors' script (256 px)."""

    id: Literal['attentiongan'] = 'attentiongan'
    contents: int = Field(default=9, gt=0)
    """Pictures that a generator paints; the attention maps are one more."""
    width_g: int = Field(default=64, gt=0)
    blocks: int = Field(default=9, ge=0)
    """Residual blocks, the same at every size."""
    width_d: int = Field(default=64, gt=0)
    layers_d: int | None = None
    """Strided layers of D; None: 3 from 64 px, 2 below."""
    lambda_cyc: float = 10.0
    lambda_idt: float = 0.5
    """Weight of (4) relative to lambda_cyc."""
    pool: int = Field(default=50, ge=0)
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Literal['constant', 'cyclegan_linear', 'linear_last_40'] = 'constant'


class AttentionGAN(nn.Module):
    """Unpaired translation; what the generators' attention leaves to the input stays as it is."""

    id: ClassVar[str] = 'attentiongan'
    kind: ClassVar[str] = 'domains'
    Config: ClassVar[type[Config]] = Config
    compiles: ClassVar[tuple[str, ...]] = ('G', 'F')
    inference_nets: ClassVar[tuple[str, ...]] = ('G', 'F')

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        check_halved_twice(data.size)
        self.config, self.data = config, data
        layers = layers_at(data.size, config.layers_d)
        self.nets = nn.ModuleDict({
            **{name: init_normal(Generator(config.width_g, config.blocks, config.contents)) for name in ('G', 'F')},
            **{name: init_normal(PatchDiscriminator(width=config.width_d, layers=layers)) for name in ('D_A', 'D_B')}})
        shape = (3, data.size, data.size)
        self.pools = nn.ModuleDict({'A': ImagePool(config.pool, shape), 'B': ImagePool(config.pool, shape)})

    @classmethod
    def tiny(cls) -> AttentionGAN:
        """The smallest legal form."""
        return cls(Config(contents=2, width_g=4, blocks=1, width_d=4, layers_d=1, pool=3), DataSpec(size=16, domains=('A', 'B')))

    def generate(self, name: str, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What 'G' or 'F' makes of [N,3,H,W]: picture [N,3,H,W], attention [N,C+1,H,W] and contents [N,C,3,H,W]; float32, not autocast."""
        contents, logits = self.nets[name](x)
        with torch.autocast(x.device.type, enabled=False):
            contents, attention = full(contents), full(logits).softmax(1)
            return (contents * attention[:, :-1, None]).sum(1) + attention[:, -1:] * x, attention, contents            # (1)

    def generator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        c, n, x, y = self.config, self.nets, batch.image_a, batch.image_b
        idt, N = c.lambda_cyc * c.lambda_idt, len(x)
        f_out, f_attention, _ = self.generate('F', torch.cat([y, x]) if idt else y)
        fake_a = f_out[:N]
        g_out, g_attention, _ = self.generate('G', torch.cat([x, fake_a, y] if idt else [x, fake_a]))
        fake_b, rec_b = g_out[:N], g_out[N:2 * N]
        loss_gan = mse_to_constant(n['D_B'](fake_b), 1.0) + mse_to_constant(n['D_A'](fake_a), 1.0)      # (2)
        loss_cyc = l1_mean(self.generate('F', fake_b)[0], x) + l1_mean(rec_b, y)                        # (3)
        loss_idt = l1_mean(g_out[2 * N:], y) + l1_mean(f_out[N:], x) if idt else torch.zeros_like(loss_cyc)  # (4)
        mask_b, mask_a = (1 - attention[:N, -1:].detach() for attention in (g_attention, f_attention))
        return Step(loss_gan + c.lambda_cyc * loss_cyc + idt * loss_idt,
                    {'gan': loss_gan.detach(), 'cyc': loss_cyc.detach(), 'idt': loss_idt.detach(),
                     **mask_logs(torch.cat([mask_b, mask_a]))},
                    {'input': x, 'mask': mask_b, 'edit': fake_b.detach(), 'input_b': y, 'mask_b': mask_a, 'edit_b': fake_a.detach()},
                    {'fake_a': fake_a.detach(), 'fake_b': fake_b.detach()})

    # deliberate copies of CycleGAN, held equal by a test: updates, discriminator_step
    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam, schedule = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2)), SCHEDULES[c.schedule]
        return (Update('G', ('G', 'F'), self.generator_step, adam, schedule),
                Update('D', ('D_A', 'D_B'), self.discriminator_step, adam, schedule))

    def discriminator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        n, x, y, m = self.nets, batch.image_a, batch.image_b, batch.moment
        loss_b = lsgan_halved(n['D_B'], y, self.pools['B'].exchange(kept['fake_b'], m, 'B'))            # (5)
        loss_a = lsgan_halved(n['D_A'], x, self.pools['A'].exchange(kept['fake_a'], m, 'A'))            # (6)
        return Step(loss_b + loss_a, {'B': loss_b.detach(), 'A': loss_a.detach()})

    def translate(self, request: DomainRequest) -> Translation:
        """Brings [N,3,H,W] to domain `request.to`; `extras`: attention [N,C+1,H,W] and contents [N,C,3,H,W]."""
        image, attention, contents = self.generate(generator_to(request.to, self.data), request.image)
        return Translation(image.clamp(-1, 1), 1 - attention[:, -1:], {'attention': attention, 'contents': contents})
