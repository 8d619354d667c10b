"""MUNIT: a picture is a content that both domains share and a style of its own domain's; to translate is to change the style.

Paper:      Huang, Liu, Belongie, Kautz. Multimodal Unsupervised Image-to-Image Translation. ECCV 2018, arXiv:1804.04732.
Reference:  NVlabs/MUNIT @ a82e222 (CC BY-NC-SA 4.0): read for layers, losses and schedule; no code taken.
Differs:    [D1] calls of one network on several inputs are batched where the inputs exist (norms are per sample, so equal);
            [D2] styles are drawn by (seed, iteration, sample);
            [D3] the rate halves after every tenth of the run: the code's 100,000 of 1,000,000 iterations, where it does so one earlier;
            [D4] discriminators and style encoders have fewer strided convolutions below 128 px;
            [D5] without an exemplar `translate` uses one style of a fixed draw for every picture; the code's test draws ten for each;
            [D6] the perceptual loss on VGG features, of weight 0 in all but one of the released configurations, is left out;
            [D7] pictures that are not square are stretched, bicubic; the code brings the shorter side to 256 px, bilinear, and crops.
Shapes:     N batch, H W image. x of domain A, y of domain B in [-1,1]; c content [N,256,H/4,W/4], s style [N,8], of a picture by its
            domain's encoders; G_A(c, s), G_B(c, s) decoders; x', y' fakes of domain A and B; D_A, D_B patch scores at three scales.

  (1) x' = G_A(c(y), s_A), y' = G_B(c(x), s_B);  s_A, s_B ~ N(0, I), other draws in each step

Discriminator step                                               Generator step (encoders, MLPs and decoders)
  (2) L_A = sum_scales E[(D_A(x) - 1)^2] + E[D_A(x')^2]            (4) L_gan = sum_scales E[(D_A(x') - 1)^2] + E[(D_B(y') - 1)^2]
  (3) L_B = sum_scales E[(D_B(y) - 1)^2] + E[D_B(y')^2]            (5) L_x = mean |G_A(c(x), s(x)) - x| + mean |G_B(c(y), s(y)) - y|
                                                                   (6) L_s = mean |s(x') - s_A| + mean |s(y') - s_B|
                                                                   (7) L_c = mean |c(x') - c(y)| + mean |c(y') - c(x)|, no side detached
                                                                   (8) L_cyc = mean |G_A(c(y'), s(x)) - x| + mean |G_B(c(x'), s(y)) - y|
  L_D = lambda_gan ((2) + (3))                                     L_G = lambda_gan (4) + lambda_x (5) + lambda_s (6) + lambda_c (7)
                                                                         + lambda_cyc (8)
"""
from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import DataSpec, DomainBatch, Moment
from retouch.engine import schedules
from retouch.engine.update import Adam, DomainRequest, Keep, Step, Translation, Update, with_graph
from retouch.errors import check_halved_twice, unknown
from retouch.losses import l1_mean, mse_to_constant
from retouch.networks.cyclegan import init_normal
from retouch.networks.munit import AutoEncoder, MultiScaleDiscriminator, init_kaiming

SCHEDULES = {'halved_each_tenth': schedules.halved_each_tenth, 'linear_last_40': schedules.linear_last_40}


class Config(BaseConfig):
    """Defaults are the authors' (256 px)."""

    id: Literal['munit'] = 'munit'
    width_g: int = Field(default=64, gt=0)
    blocks: int = Field(default=4, gt=0)
    """Residual blocks of the content encoder, and of the decoder."""
    style_dim: int = Field(default=8, gt=0)
    width_mlp: int = Field(default=256, gt=0)
    width_d: int = Field(default=64, gt=0)
    lambda_gan: float = 1.0
    lambda_x: float = 10.0
    lambda_s: float = 1.0
    lambda_c: float = 1.0
    lambda_cyc: float = 0.0
    """Weight of (8); 0: no pass is made for it. The authors use 10 for scenery."""
    lr: float = 1e-4
    beta1: float = 0.5
    beta2: float = 0.999
    weight_decay: float = 1e-4
    schedule: Literal['halved_each_tenth', 'linear_last_40'] = 'halved_each_tenth'


class MUNIT(nn.Module):
    """Unpaired translation of whole pictures, in the style of an exemplar or in a drawn one; no mask."""

    id: ClassVar[str] = 'munit'
    kind: ClassVar[str] = 'domains'
    takes_exemplar: ClassVar[bool] = True
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = ('G_A', 'G_B')

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        check_halved_twice(data.size, 'encoder', 16)
        self.config, self.data, c = config, data, config
        self.nets = nn.ModuleDict({
            **{name: init_kaiming(AutoEncoder(data.size, c.width_g, c.blocks, c.style_dim, c.width_mlp)) for name in ('G_A', 'G_B')},
            **{name: init_normal(MultiScaleDiscriminator(data.size, c.width_d)) for name in ('D_A', 'D_B')}})

    @classmethod
    def tiny(cls) -> MUNIT:
        """The smallest legal form."""
        return cls(Config(width_g=4, blocks=1, style_dim=3, width_mlp=4, width_d=4, lambda_cyc=1.0), DataSpec(size=16, domains=('A', 'B')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam, schedule = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2), weight_decay=c.weight_decay), SCHEDULES[c.schedule]
        return (Update('D', ('D_A', 'D_B'), self.discriminator_step, adam, schedule, ahead=('G_A', 'G_B')),
                Update('G', ('G_A', 'G_B'), self.generator_step, adam, schedule))

    def draw_styles(self, batch: DomainBatch, step: str) -> list[Tensor]:
        """s_A and s_B [N,style_dim] of one step."""
        return [batch.moment.normal(f'style_{d}_{step}', self.config.style_dim, device=batch.image_a.device) for d in ('A', 'B')]

    def discriminator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        n, x, y = self.nets, batch.image_a, batch.image_b
        s_a, s_b = self.draw_styles(batch, 'D')
        c_x, c_y = n['G_A'].content(x), n['G_B'].content(y)                                             # their graph is for (4) to (8)
        with torch.no_grad():
            fake_a, fake_b = n['G_A'].decode(c_y, s_a), n['G_B'].decode(c_x, s_b)                       # (1)
        loss_a = self.told_apart('D_A', x, fake_a)                                                      # (2)
        loss_b = self.told_apart('D_B', y, fake_b)                                                      # (3)
        return Step(self.config.lambda_gan * (loss_a + loss_b), {'A': loss_a.detach(), 'B': loss_b.detach()},
                    keep=with_graph(c_x=c_x, c_y=c_y))

    def told_apart(self, net: str, real: Tensor, fake: Tensor) -> Tensor:
        """Squared distances of scores to 1 for real and 0 for fake pictures [N,3,H,W]: means, summed over scales and both."""
        pairs = [scores.chunk(2) for scores in self.nets[net](torch.cat([real, fake]))]
        return torch.stack([mse_to_constant(r, 1.0) + mse_to_constant(f, 0.0) for r, f in pairs]).sum()

    def taken_for_real(self, net: str, fake: Tensor) -> Tensor:
        """Squared distances of scores of fakes [N,3,H,W] to 1: means, summed over scales."""
        return torch.stack([mse_to_constant(scores, 1.0) for scores in self.nets[net](fake)]).sum()

    def generator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        c, x, y, A, B = self.config, batch.image_a, batch.image_b, self.nets['G_A'], self.nets['G_B']
        s_a, s_b = self.draw_styles(batch, 'G')
        c_x, c_y = (kept['c_x'], kept['c_y']) if 'c_x' in kept else (A.content(x), B.content(y))
        s_x, s_y = A.style(x), B.style(y)
        rec_a, fake_a = A.decode(torch.cat([c_x, c_y]), torch.cat([s_x, s_a])).chunk(2)
        rec_b, fake_b = B.decode(torch.cat([c_y, c_x]), torch.cat([s_y, s_b])).chunk(2)
        c_y_again, c_x_again = A.content(fake_a), B.content(fake_b)
        loss_gan = self.taken_for_real('D_A', fake_a) + self.taken_for_real('D_B', fake_b)              # (4)
        loss_x = l1_mean(rec_a, x) + l1_mean(rec_b, y)                                                  # (5)
        loss_s = l1_mean(A.style(fake_a), s_a) + l1_mean(B.style(fake_b), s_b)                          # (6)
        loss_c = l1_mean(c_y_again, c_y) + l1_mean(c_x_again, c_x)                                      # (7)
        loss = c.lambda_gan * loss_gan + c.lambda_x * loss_x + c.lambda_s * loss_s + c.lambda_c * loss_c
        logs = {'gan': loss_gan.detach(), 'x': loss_x.detach(), 's': loss_s.detach(), 'c': loss_c.detach()}
        if c.lambda_cyc:
            loss_cyc = l1_mean(A.decode(c_x_again, s_x), x) + l1_mean(B.decode(c_y_again, s_y), y)      # (8)
            loss = loss + c.lambda_cyc * loss_cyc
            logs['cyc'] = loss_cyc.detach()
        return Step(loss, logs, {'input': x, 'edit': fake_b.detach(), 'input_b': y, 'edit_b': fake_a.detach()})

    def translate(self, request: DomainRequest) -> Translation:
        """Brings [N,3,H,W] to domain `request.to`, in the style of its exemplar or in the fixed drawn one; no edit mask."""
        if request.to not in self.data.domains:
            raise unknown('domain', request.to, self.data.domains)
        x = request.image
        source, target = (self.nets[name] for name in (('G_A', 'G_B') if request.to == self.data.domains[1] else ('G_B', 'G_A')))
        if request.exemplar is None:
            style = (self.fixed_noise() if request.noise is None else request.noise)['style'].to(x.device).expand(x.shape[0], -1)
        else:
            style = self.style_of(request.exemplar, request.to)
        return Translation(target.decode(source.content(x), style).float())

    def fixed_noise(self) -> dict[str, Tensor]:
        """The style [1,S] of every picture without an exemplar, N(0,1)."""
        return {'style': Moment().normal('style', self.config.style_dim)}

    def style_of(self, exemplar: Tensor, to: str) -> Tensor:
        """Pictures [N,3,H,W] of domain `to` -> their styles [N,S]."""
        return self.nets['G_B' if to == self.data.domains[1] else 'G_A'].style(exemplar)
