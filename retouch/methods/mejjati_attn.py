"""Attention-guided translation of Mejjati et al.: a CycleGAN whose two further networks say where; ASGIT's tables call it AGGAN.

Paper:      Mejjati, Richardt, Tompkin, Cosker, Kim. Unsupervised Attention-guided Image-to-Image Translation. NeurIPS 2018,
            arXiv:1806.02311.
Reference:  AlamiMejjati/Unsupervised-Attention-guided-Image-to-Image-Translation @ a691e3a (MIT): read for layers, reductions, order and
            schedule; no code taken.
Differs:    [D1] calls of one network on several inputs are batched where the inputs exist (instance norm is per sample, so equal);
            [D2] the pools' draws are keyed by (seed, iteration, sample), their contents are part of the state;
            [D3] the switch, epoch 30 of 100 in the code, is at `switch` of the run, and the rate falls in every iteration, not every epoch;
            [D4] G pads strides and transposed convolutions on both sides, TensorFlow at the end only; the attention nets as there;
            [D5] weights begin by a normal rule; the code's is cut off at two standard deviations;
            [D6] each of the four Adams counts its own steps; the code's one optimiser counts four an iteration;
            [D7] flips and crops of the two domains are independent, and their order is random;
            [D8] D has fewer layers below 64 px.
Shapes:     N batch, H W image. x of domain A, y of domain B in [-1,1]; G: A -> B, F: B -> A; M_A, M_B masks [N,1,H,W] of pictures of A
            and of B; D_A, D_B patch scores [N,1,h,w].

  (1) x' = M_A(x) G(x) + (1 - M_A(x)) x;  y' = M_B(y) F(y) + (1 - M_B(y)) y;  x'' and y'': (1) of x' and y' the other way
  (2) h(m) = 1 before the switch, [m >= threshold] after it, when M_A and M_B rest and D_A and D_B have no norms
Step of G and M_A, then of F and M_B (each with passes of its own)   Steps of D_B and of D_A, after those of G and F, by pools of 50 (x', m)
  (3) L_cyc = mean |x'' - x| + mean |y'' - y|                          (6) L_B = (E[(D_B(h(M_B(y)) y) - 1)^2] + E[D_B(h(m) x')^2]) / 2
  (4) L_gan = E[(D_B(h(M_A(x)) x') - 1)^2], of F:                      (7) L_A = (E[(D_A(h(M_A(x)) x) - 1)^2] + E[D_A(h(m) y')^2]) / 2
  (5) L_gan = E[(D_A(h(M_B(y)) y') - 1)^2]
  L_G = (4) + lambda_cyc (3);  L_F = (5) + lambda_cyc (3)
"""
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import DataSpec, DomainBatch, Moment
from retouch.engine import schedules
from retouch.engine.pool import ImagePool
from retouch.engine.update import Adam, DomainRequest, Keep, Step, Translation, Update, generator_to
from retouch.errors import check_halved_twice
from retouch.guidance.mask import composite, mask_logs
from retouch.losses import full, l1_mean, mse_to_constant
from retouch.networks.cyclegan import ResNetGenerator, init_normal, layers_at
from retouch.networks.mejjati import Attention, ToggledDiscriminator

SCHEDULES = {'linear_second_half': schedules.linear_second_half, 'linear_last_40': schedules.linear_last_40}
MASK_OF = {'G': 'M_A', 'F': 'M_B'}


class Config(BaseConfig):
    """Defaults are the authors' (256 px)."""

    id: Literal['mejjati_attn'] = 'mejjati_attn'
    width_g: int = Field(default=32, gt=0)
    blocks: int = Field(default=9, ge=0)
    """Residual blocks."""
    width_m: int = Field(default=32, gt=0)
    attention_kernel: Literal[1, 3] = 1
    """1: the attention nets' last convolutions are 1x1, as the code runs, and masks constant on 4x4 pixels; 3: 3x3 and 7x7, as it names
    them."""
    width_d: int = Field(default=64, gt=0)
    layers_d: int | None = None
    """Strided layers of D; None: 3 from 64 px, 2 below."""
    lambda_cyc: float = 10.0
    switch: float = Field(default=0.3, ge=0, le=1)
    """Share of the run after which attention rests and D sees what it chose."""
    threshold: float = Field(default=0.1, ge=0, le=1)
    """What the mask must reach for D to see a pixel after the switch."""
    norm_after_switch: bool = False
    """Whether D keeps its norms after the switch."""
    pool: int = Field(default=50, ge=0)
    lr: float = 1e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Literal['linear_second_half', 'linear_last_40'] = 'linear_second_half'


class MejjatiAttention(nn.Module):
    """Unpaired translation inside masks that networks of their own draw."""

    id: ClassVar[str] = 'mejjati_attn'
    kind: ClassVar[str] = 'domains'
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = ('G', 'F', 'M_A', 'M_B')

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        check_halved_twice(data.size)
        self.config, self.data, c = config, data, config
        self.nets = nn.ModuleDict({
            **{name: ResNetGenerator(width=c.width_g, blocks=c.blocks, affine=True, pad='zeros', rectified=True) for name in 'GF'},
            **{name: Attention(c.width_m, c.attention_kernel) for name in ('M_A', 'M_B')},
            **{name: ToggledDiscriminator(c.width_d, layers_at(data.size, c.layers_d)) for name in ('D_A', 'D_B')}})
        init_normal(self.nets)
        self.pools = nn.ModuleDict({name: ImagePool(c.pool, (4, data.size, data.size)) for name in 'AB'})

    @classmethod
    def tiny(cls) -> MejjatiAttention:
        """The smallest legal form."""
        return cls(Config(width_g=4, blocks=1, width_m=4, width_d=4, layers_d=1, pool=3), DataSpec(size=16, domains=('A', 'B')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam, schedule = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2)), SCHEDULES[c.schedule]

        def awake(name: str) -> Callable[[DomainBatch], tuple[str, ...]]:
            return lambda batch: (name,) if self.has_switched(batch.moment) else (name, MASK_OF[name])

        return (Update('G', ('G', 'M_A'), self.step_to_b, adam, schedule, among=awake('G')),
                Update('D_B', ('D_B',), self.judge_b, adam, schedule),
                Update('F', ('F', 'M_B'), self.step_to_a, adam, schedule, among=awake('F')),
                Update('D_A', ('D_A',), self.judge_a, adam, schedule))

    def has_switched(self, moment: Moment) -> bool:
        """Whether attention rests and D sees foregrounds alone."""
        return moment.iteration >= self.config.switch * moment.iterations

    def generate(self, name: str, *inputs: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The fused picture [N,3,H,W] and the mask [N,1,H,W] of each of the inputs, in one call of 'G' or 'F' and of its attention."""
        x = torch.cat(inputs)
        with torch.autocast(x.device.type, enabled=False):
            mask = full(self.nets[MASK_OF[name]](full(x))).sigmoid()
        fused = composite(self.nets[name](x), x, mask)                                                  # (1)
        return list(zip(fused.split([len(i) for i in inputs]), mask.split([len(i) for i in inputs]), strict=True))

    def judge(self, name: str, image: Tensor, mask: Tensor, moment: Moment) -> Tensor:
        """D's scores [N,1,h,w] of pictures [N,3,H,W] of which it sees, after the switch, what their masks [N,1,H,W] choose."""
        if not self.has_switched(moment):
            return self.nets[name](image)
        return self.nets[name](image * (mask >= self.config.threshold), self.config.norm_after_switch)  # (2)

    def there_and_back(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """x' and its mask, y' and its mask, and (3)."""
        (fake_a, mask_b), = self.generate('F', y)
        (fake_b, mask_a), (rec_b, _) = self.generate('G', x, fake_a)
        (rec_a, _), = self.generate('F', fake_b)
        return fake_b, mask_a, fake_a, mask_b, l1_mean(rec_a, x) + l1_mean(rec_b, y)                    # (3)

    def step_to_b(self, batch: DomainBatch, kept: Keep) -> Step:
        x, y = batch.image_a, batch.image_b
        fake_b, mask_a, fake_a, mask_b, loss_cyc = self.there_and_back(x, y)
        loss_gan = mse_to_constant(self.judge('D_B', fake_b, mask_a, batch.moment), 1.0)                # (4)
        return Step(loss_gan + self.config.lambda_cyc * loss_cyc,
                    {'gan': loss_gan.detach(), 'cyc': loss_cyc.detach(), **mask_logs(mask_a)},
                    {'input': x, 'edit': fake_b.detach(), 'mask': mask_a.detach(),
                     'input_b': y, 'edit_b': fake_a.detach(), 'mask_b': mask_b.detach()},
                    {'made_b': torch.cat([fake_b, mask_a], 1).detach()})

    def step_to_a(self, batch: DomainBatch, kept: Keep) -> Step:
        _, _, fake_a, mask_b, loss_cyc = self.there_and_back(batch.image_a, batch.image_b)
        loss_gan = mse_to_constant(self.judge('D_A', fake_a, mask_b, batch.moment), 1.0)                # (5)
        return Step(loss_gan + self.config.lambda_cyc * loss_cyc,
                    {'gan': loss_gan.detach(), 'cyc': loss_cyc.detach(), **mask_logs(mask_b)},
                    keep={'made_a': torch.cat([fake_a, mask_b], 1).detach()})

    def judge_b(self, batch: DomainBatch, kept: Keep) -> Step:
        return self.told_apart('B', batch.image_b, kept['made_b'], batch.moment)                        # (6)

    def judge_a(self, batch: DomainBatch, kept: Keep) -> Step:
        return self.told_apart('A', batch.image_a, kept['made_a'], batch.moment)                        # (7)

    def told_apart(self, domain: str, real: Tensor, made: Tensor, moment: Moment) -> Step:
        """Half the squared distances of D's scores to 1 for real [N,3,H,W] and 0 for made pictures with their masks [N,4,H,W]."""
        made = self.pools[domain].exchange(made, moment, domain)
        with torch.no_grad():
            mask = self.nets[f'M_{domain}'](full(real)).sigmoid() if self.has_switched(moment) else made[:, 3:]
        score = self.judge(f'D_{domain}', torch.cat([real, made[:, :3]]), torch.cat([mask, made[:, 3:]]), moment)
        loss_real, loss_fake = mse_to_constant(score[:len(real)], 1.0), mse_to_constant(score[len(real):], 0.0)
        return Step(0.5 * (loss_real + loss_fake), {'real': loss_real.detach(), 'fake': loss_fake.detach()})

    def translate(self, request: DomainRequest) -> Translation:
        """Brings [N,3,H,W] to domain `request.to` inside the attention network's mask."""
        (image, mask), = self.generate(generator_to(request.to, self.data), request.image)
        return Translation(image.float(), mask.float())
