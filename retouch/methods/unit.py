"""UNIT: two domains' variational auto-encoders of one latent space; to translate is to decode with the other domain's decoder.

Paper:      Liu, Breuel, Kautz. Unsupervised Image-to-Image Translation Networks. NIPS 2017, arXiv:1703.00848.
Reference:  mingyuliutw/UNIT @ 28d5982, and @ 96def6b of its branch `version_02`, the networks of 2017 (CC BY-NC-SA 4.0): read for layers,
            losses and schedule; no code taken.
Differs:    [D1] two systems have this name: `architecture` 'munit_style', what it has meant since 2018, with MUNIT's networks and least
            squares, whose domains share a latent space and no weight unless `shared_blocks` says so; and 'nips', with its own networks,
            shared blocks, a discriminator shared from its third layer on, and cross-entropy. What is common is one loss;
            [D2] calls of one network on several inputs are batched where the inputs exist (norms are per sample, so equal);
            [D3] noise is drawn by (seed, iteration, sample), other draws for first and second code and in each step;
            [D4] 'nips' takes (6) of the code with its noise (`kl_after_noise`), which adds 1 and a gradient of mean 0; so does the preset;
            [D5] the rate halves after every tenth of the run: the code's 100,000 of 1,000,000 iterations, where it does so one earlier;
            [D6] discriminators have fewer strided convolutions below 128 px;
            [D7] the perceptual loss on VGG features, of weight 1 in one released configuration and 0 in the others, is left out;
            [D8] pictures that are not square are stretched, bicubic; the code brings the shorter side to 256 px, bilinear, and crops.
Shapes:     N batch, H W image. x of domain A, y of domain B in [-1,1]; E_A, E_B encoders and G_A, G_B decoders with what they share;
            h latent [N,256,H/4,W/4]; D_A, D_B patch scores at three scales ('nips': one). l(s, 1) is (s - 1)^2, or BCE in 'nips'.

  (1) h_x = E_A(x), h_y = E_B(y); x' = G_A(h_y + n), y' = G_B(h_x + n);  n ~ N(0, I), in training alone
  (2) h'_y = E_A(x'), h'_x = E_B(y')

Discriminator step                                               Generator step (encoders and decoders, same pictures)
  (3) L_A = sum_scales E[l(D_A(x), 1)] + E[l(D_A(x'), 0)]          (5) L_gan = sum_scales E[l(D_A(x'), 1)] + E[l(D_B(y'), 1)]
  (4) L_B = sum_scales E[l(D_B(y), 1)] + E[l(D_B(y'), 0)]          (6) L_kl = mean h_x^2 + mean h_y^2
                                                                   (7) L_x = mean |G_A(h_x + n) - x| + mean |G_B(h_y + n) - y|
                                                                   (8) L_cyc = mean |G_A(h'_x + n') - x| + mean |G_B(h'_y + n') - y|
                                                                   (9) L_klc = mean h'_x^2 + mean h'_y^2
  L_D = lambda_gan ((3) + (4))                                     L_G = lambda_gan (5) + lambda_kl ((6) + (9)) + lambda_x (7)
                                                                         + lambda_cyc (8), no side of any term detached
"""
from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import DataSpec, DomainBatch
from retouch.engine import schedules
from retouch.engine.update import Adam, DomainRequest, Keep, Step, Translation, Update, with_graph
from retouch.errors import check_halved_twice, unknown
from retouch.losses import bce_to_constant, full, l1_mean, mse_to_constant
from retouch.networks.cyclegan import init_normal
from retouch.networks.munit import LatentAutoEncoder, MultiScaleDiscriminator, SharedBlocks, init_kaiming
from retouch.networks.unit import CoupledAutoEncoder, CoupledDiscriminator, SharedDiscriminator, init_kernels

SCHEDULES = {'halved_each_tenth': schedules.halved_each_tenth, 'constant': schedules.constant, 'linear_last_40': schedules.linear_last_40}


class Config(BaseConfig):
    """Defaults are the authors' since 2018 (256 px)."""

    id: Literal['unit'] = 'unit'
    architecture: Literal['munit_style', 'nips'] = 'munit_style'
    """Networks and adversarial loss: MUNIT's and least squares, or those of 2017 and cross-entropy."""
    width_g: int = Field(default=64, gt=0)
    blocks: int = Field(default=4, gt=0)
    """Residual blocks of an encoder, and of a decoder, shared ones among them."""
    shared_blocks: int = Field(default=0, ge=0)
    """How many of them, an encoder's last and a decoder's first, are the same for both domains; 1 in 2017."""
    width_d: int = Field(default=64, gt=0)
    lambda_gan: float = 1.0
    lambda_kl: float = 0.01
    lambda_x: float = 10.0
    lambda_cyc: float = 10.0
    kl_after_noise: bool = False
    """Whether (6) and (9) are of the codes with their noise, as the code of 2017 has it."""
    lr: float = 1e-4
    beta1: float = 0.5
    beta2: float = 0.999
    weight_decay: float = 1e-4
    schedule: Literal['halved_each_tenth', 'constant', 'linear_last_40'] = 'halved_each_tenth'

    @model_validator(mode='after')
    def _blocks_suffice(self) -> Self:
        if self.shared_blocks > self.blocks:
            raise ValueError(f'shared_blocks={self.shared_blocks}: expected at most the {self.blocks} blocks there are; '
                             f'set --method.shared-blocks {self.blocks} or --method.blocks {self.shared_blocks}')
        return self


class UNIT(nn.Module):
    """Unpaired translation of whole pictures through one latent space; no mask."""

    id: ClassVar[str] = 'unit'
    kind: ClassVar[str] = 'domains'
    Config: ClassVar[type[Config]] = Config

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        check_halved_twice(data.size, 'encoder', 16)
        self.config, self.data, c, own = config, data, config, config.blocks - config.shared_blocks
        new = c.architecture == 'munit_style'
        made, coder = (init_kaiming, LatentAutoEncoder) if new else (init_kernels, CoupledAutoEncoder)
        nets: dict[str, nn.Module] = {name: made(coder(c.width_g, own)) for name in ('G_A', 'G_B')}
        if c.shared_blocks:
            nets['G_AB'] = made(SharedBlocks(4 * c.width_g, c.shared_blocks, reflect=new))
        if new:
            nets |= {name: init_normal(MultiScaleDiscriminator(data.size, c.width_d)) for name in ('D_A', 'D_B')}
        else:
            nets |= {name: made(CoupledDiscriminator(c.width_d)) for name in ('D_A', 'D_B')}
            nets['D_AB'] = made(SharedDiscriminator(data.size, c.width_d))
        self.nets = nn.ModuleDict(nets)
        self.distance = mse_to_constant if new else bce_to_constant

    @property
    def inference_nets(self) -> tuple[str, ...]:
        """Both auto-encoders and, where there is any, what they share."""
        return tuple(name for name in self.nets if name[0] == 'G')

    @classmethod
    def tiny(cls, **changes: object) -> UNIT:
        """The smallest legal form, with shared blocks."""
        return cls(Config.model_validate({'width_g': 4, 'blocks': 2, 'shared_blocks': 1, 'width_d': 4, **changes}),
                   DataSpec(size=16, domains=('A', 'B')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam, schedule = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2), weight_decay=c.weight_decay), SCHEDULES[c.schedule]
        judges = tuple(name for name in self.nets if name[0] == 'D')
        generators = self.inference_nets
        return (Update('D', judges, self.discriminator_step, adam, schedule, ahead=generators),
                Update('G', generators, self.generator_step, adam, schedule))

    def encode(self, x: Tensor, domain: Literal['A', 'B']) -> Tensor:
        """Pictures [N,3,H,W] of a domain -> codes [N,4 width,H/4,W/4], without noise."""
        h = self.nets[f'G_{domain}'].encode(x)
        return self.nets['G_AB'].encode(h) if 'G_AB' in self.nets else h

    def decode(self, h: Tensor, domain: Literal['A', 'B']) -> Tensor:
        """Codes -> pictures of a domain in [-1,1]."""
        return self.nets[f'G_{domain}'].decode(self.nets['G_AB'].decode(h) if 'G_AB' in self.nets else h)

    def scores(self, x: Tensor, domain: Literal['A', 'B']) -> list[Tensor]:
        """[N,3,H,W] -> scores or logits [N,1,h,w] of every scale."""
        made = self.nets[f'D_{domain}'](x)
        return [self.nets['D_AB'](made)] if 'D_AB' in self.nets else made

    def noisy(self, h: Tensor, batch: DomainBatch, name: str) -> Tensor:
        return h + batch.moment.normal(f'noise_{name}', *h.shape[1:], device=h.device)

    def discriminator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        x, y = batch.image_a, batch.image_b
        h_x, h_y = self.encode(x, 'A'), self.encode(y, 'B')                                             # their graph is for (5) to (9)
        with torch.no_grad():
            fake_a = self.decode(self.noisy(h_y, batch, 'y_D'), 'A')                                    # (1)
            fake_b = self.decode(self.noisy(h_x, batch, 'x_D'), 'B')
        loss_a = self.told_apart('A', x, fake_a)                                                        # (3)
        loss_b = self.told_apart('B', y, fake_b)                                                        # (4)
        return Step(self.config.lambda_gan * (loss_a + loss_b), {'A': loss_a.detach(), 'B': loss_b.detach()},
                    keep=with_graph(h_x=h_x, h_y=h_y))

    def told_apart(self, domain: Literal['A', 'B'], real: Tensor, fake: Tensor) -> Tensor:
        """Distances of scores to 1 for real and 0 for fake pictures [N,3,H,W]: means, summed over scales and both."""
        pairs = [scores.chunk(2) for scores in self.scores(torch.cat([real, fake]), domain)]
        return torch.stack([self.distance(r, 1.0) + self.distance(f, 0.0) for r, f in pairs]).sum()

    def taken_for_real(self, domain: Literal['A', 'B'], fake: Tensor) -> Tensor:
        """Distances of scores of fakes [N,3,H,W] to 1: means, summed over scales."""
        return torch.stack([self.distance(scores, 1.0) for scores in self.scores(fake, domain)]).sum()

    def generator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        c, x, y = self.config, batch.image_a, batch.image_b
        h_x, h_y = (kept['h_x'], kept['h_y']) if 'h_x' in kept else (self.encode(x, 'A'), self.encode(y, 'B'))
        z_x, z_y = self.noisy(h_x, batch, 'x_G'), self.noisy(h_y, batch, 'y_G')
        rec_a, fake_a = self.decode(torch.cat([z_x, z_y]), 'A').chunk(2)
        fake_b, rec_b = self.decode(torch.cat([z_x, z_y]), 'B').chunk(2)
        h_y_again, h_x_again = self.encode(fake_a, 'A'), self.encode(fake_b, 'B')                       # (2)
        z_x_again, z_y_again = self.noisy(h_x_again, batch, 'x_again'), self.noisy(h_y_again, batch, 'y_again')
        loss_gan = self.taken_for_real('A', fake_a) + self.taken_for_real('B', fake_b)                  # (5)
        first, second = ((z_x, z_y), (z_x_again, z_y_again)) if c.kl_after_noise else ((h_x, h_y), (h_x_again, h_y_again))
        loss_kl = torch.stack([(full(h) ** 2).mean() for h in first]).sum()                             # (6)
        loss_x = l1_mean(rec_a, x) + l1_mean(rec_b, y)                                                  # (7)
        loss_cyc = l1_mean(self.decode(z_x_again, 'A'), x) + l1_mean(self.decode(z_y_again, 'B'), y)    # (8)
        loss_klc = torch.stack([(full(h) ** 2).mean() for h in second]).sum()                           # (9)
        return Step(c.lambda_gan * loss_gan + c.lambda_kl * (loss_kl + loss_klc) + c.lambda_x * loss_x + c.lambda_cyc * loss_cyc,
                    {'gan': loss_gan.detach(), 'kl': loss_kl.detach(), 'x': loss_x.detach(), 'cyc': loss_cyc.detach(),
                     'klc': loss_klc.detach()},
                    {'input': x, 'edit': fake_b.detach(), 'input_b': y, 'edit_b': fake_a.detach()})

    def translate(self, request: DomainRequest) -> Translation:
        """Brings [N,3,H,W] to domain `request.to`, without noise; no edit mask."""
        if request.to not in self.data.domains:
            raise unknown('domain', request.to, self.data.domains)
        source, target = ('A', 'B') if request.to == self.data.domains[1] else ('B', 'A')
        return Translation(self.decode(self.encode(request.image, source), target).float())             # type: ignore[arg-type]
