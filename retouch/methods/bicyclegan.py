"""BicycleGAN: many answers to one picture, told apart by a z that a picture of the set can be read back into.

Paper:      Zhu, Zhang, Pathak, Darrell, Efros, Wang, Shechtman. Toward Multimodal Image-to-Image Translation. NeurIPS 2017,
            arXiv:1711.11586.
Reference:  junyanz/BicycleGAN @ 40b9d52 (BSD): read for layers, reductions and order; no code taken.
Differs:    [D1] the first, third … pair of a batch is encoded and the second, fourth … only shows D_2 what is real, where the code takes
            the first and second half: the same at its batch of 2, and two processes equal one with the doubled batch;
            [D2] (6) is the mean over samples; the code adds them up, so that its weight grows with the batch (the same at its batch of 2);
            [D3] one Adam for G and E, and one for both discriminators: no parameter is in two of the code's four, and all have one rate;
            [D4] draws are keyed by (seed, iteration, sample); `translate` uses one z of a fixed draw for every picture unless it is given;
            [D5] the networks follow the size: the U-Net halves as often as it comes out even, E stops at a map of 8 px, and below 256 px a
            discriminator has 2 strided layers, as the code's networks of 128 px;
            [D6] the rate's epochs are counted in 1/200ths of the run.
Shapes:     N batch, H W image. x the picture given, y the one wanted, in [-1,1]; x1 y1 the first pair, x2 y2 the second;
            z [N/2,8]; E(y): mean and log of the variance of z; D_1, D_2 patch scores at two scales, of (x, y) with conditional=True.

  (1) z1 = mu + eps exp(logvar / 2), mu, logvar = E(y1);  eps, z ~ N(0, I);   (2) y' = G(x1, z1), y" = G(x1, z)

Generator and encoder step (first)                               Discriminator step (fakes as they were before it)
  (3) L_1   = sum_scales E[(D_1(y') - 1)^2]                        (8) L_D1 = sum_scales E[(D_1(y1) - 1)^2] + E[D_1(y')^2]
  (4) L_2   = sum_scales E[(D_2(y") - 1)^2]                        (9) L_D2 = sum_scales E[(D_2(y2) - 1)^2] + E[D_2(y")^2]
  (5) L_l1  = mean |y' - y1|
  (6) L_kl  = -1/2 mean_n sum_z (1 + logvar - mu^2 - exp(logvar))
  (7) L_z   = mean |mu(E(y")) - z|, which teaches G alone
  L_GE = (3) + (4) + lambda_l1 (5) + lambda_kl (6) + lambda_z (7)  L_D = (8) + (9)
"""
from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from retouch.config import Config as BaseConfig
from retouch.data.batches import DataSpec, Moment, PairBatch
from retouch.engine import schedules
from retouch.engine.update import Adam, DomainRequest, Keep, Step, Translation, Update
from retouch.errors import check_second
from retouch.losses import full, kl_sum_over_dimensions, l1_mean, mse_to_constant
from retouch.networks.bicyclegan import GaussianEncoder, TwoScales
from retouch.networks.cyclegan import PatchDiscriminator, init_xavier, layers_at
from retouch.networks.unet import UNet

SCHEDULES = {'cyclegan_linear': schedules.cyclegan_linear, 'linear_last_40': schedules.linear_last_40}


class Config(BaseConfig):
    """Defaults are the authors' (256 px)."""

    id: Literal['bicyclegan'] = 'bicyclegan'
    z_dim: int = Field(default=8, gt=0)
    width_g: int = Field(default=64, gt=0)
    dropout: bool = False
    """Whether the decoder's widest levels drop half their values in training, as the authors' scripts have it; never at test time."""
    width_e: int = Field(default=64, gt=0)
    width_d: int = Field(default=64, gt=1)
    """Of the discriminators' first scale; the second has half."""
    layers_d: int | None = None
    """Strided layers of the discriminators; None: 3 from 256 px, 2 below."""
    conditional_d: bool = False
    """Whether the discriminators see the picture given beside the other one."""
    lambda_l1: float = 10.0
    lambda_kl: float = 0.01
    lambda_z: float = 0.5
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Literal['cyclegan_linear', 'linear_last_40'] = 'cyclegan_linear'


class BicycleGAN(nn.Module):
    """Paired translation of whole pictures, one way, in as many ways as there are z; no mask."""

    id: ClassVar[str] = 'bicyclegan'
    kind: ClassVar[str] = 'pairs'
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = ('G',)

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        self.config, self.data, c = config, data, config
        layers = layers_at(data.size // 2, (3 if data.size >= 256 else 2) if c.layers_d is None else c.layers_d)
        seen = 6 if c.conditional_d else 3
        self.nets = nn.ModuleDict({
            'G': init_xavier(UNet(width=c.width_g, size=data.size, norm='instance', dropout=c.dropout, told=c.z_dim)),
            'E': init_xavier(GaussianEncoder(data.size, c.width_e, c.z_dim)),
            **{name: init_xavier(TwoScales(*(PatchDiscriminator(seen, width, layers) for width in (c.width_d, c.width_d // 2))))
               for name in ('D_1', 'D_2')}})

    @classmethod
    def tiny(cls) -> BicycleGAN:
        """The smallest legal form."""
        return cls(Config(z_dim=3, width_g=2, width_e=4, width_d=4, layers_d=1), DataSpec(size=16, domains=('A', 'B')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam, schedule = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2)), SCHEDULES[c.schedule]
        return (Update('G', ('G', 'E'), self.generator_step, adam, schedule),
                Update('D', ('D_1', 'D_2'), self.discriminator_step, adam, schedule))

    def scores(self, net: str, x: Tensor, y: Tensor) -> list[Tensor]:
        """A discriminator's scores [N,1,h,w] at two scales of y, beside x if it is conditional. x, y [N,3,H,W]."""
        return self.nets[net](torch.cat([x, y], 1) if self.config.conditional_d else y)

    def generator_step(self, batch: PairBatch, kept: Keep) -> Step:
        c, G, E, m = self.config, self.nets['G'], self.nets['E'], batch.moment
        if len(batch.image_a) % 2:
            raise ValueError(f'batch_size={len(batch.image_a)}: of every two pairs the second shows a discriminator what is real, expected '
                             f'an even number; set --train.batch-size {len(batch.image_a) + 1}')
        x, y = batch.image_a[::2], batch.image_b[::2]
        mu, logvar = (full(v) for v in E(y))
        eps, z = (m.normal(name, c.z_dim, device=x.device)[::2] for name in ('eps', 'z'))
        z1 = mu + eps * (0.5 * logvar).exp()                                                            # (1)
        fakes = G(x.repeat(2, 1, 1, 1), self.draws(m), torch.cat([z1, z]))                              # (2)
        encoded, drawn = fakes.chunk(2)
        loss_1 = torch.stack([mse_to_constant(s, 1.0) for s in self.scores('D_1', x, encoded)]).sum()   # (3)
        loss_2 = torch.stack([mse_to_constant(s, 1.0) for s in self.scores('D_2', x, drawn)]).sum()     # (4)
        loss_l1 = l1_mean(encoded, y)                                                                   # (5)
        loss_kl = kl_sum_over_dimensions(mu, logvar)                                                     # (6)
        resting = {name: p.detach() for name, p in E.named_parameters()}
        loss_z = l1_mean(functional_call(E, resting, (drawn,))[0], z)                                   # (7)
        logs = {'gan_1': loss_1.detach(), 'gan_2': loss_2.detach(), 'l1': loss_l1.detach(), 'kl': loss_kl.detach(), 'z': loss_z.detach()}
        return Step(loss_1 + loss_2 + c.lambda_l1 * loss_l1 + c.lambda_kl * loss_kl + c.lambda_z * loss_z, logs,
                    {'input': x, 'edit': drawn.detach(), 'encoded': encoded.detach(), 'truth': y},
                    {'encoded': encoded.detach(), 'drawn': drawn.detach()})

    def discriminator_step(self, batch: PairBatch, kept: Keep) -> Step:
        x, y, x2, y2 = batch.image_a[::2], batch.image_b[::2], batch.image_a[1::2], batch.image_b[1::2]
        loss_1 = self.told_apart('D_1', (x, y), (x, kept['encoded']))                                   # (8)
        loss_2 = self.told_apart('D_2', (x2, y2), (x, kept['drawn']))                                   # (9)
        return Step(loss_1 + loss_2, {'1': loss_1.detach(), '2': loss_2.detach()})

    def told_apart(self, net: str, real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor]) -> Tensor:
        """Squared distances of scores to 1 for real and 0 for fake pairs: means, summed over scales and both."""
        both = self.scores(net, *(torch.cat(part) for part in zip(real, fake, strict=True)))
        pairs = [s.chunk(2) for s in both]
        return torch.stack([mse_to_constant(r, 1.0) + mse_to_constant(f, 0.0) for r, f in pairs]).sum()

    def draws(self, moment: Moment) -> partial[Tensor] | None:
        """What drops values in training: draws [2 N/2,C,h,w], of the first pairs for the encoded fakes, of the second for the others."""
        return partial(rows_by_turns, moment) if self.config.dropout else None

    def translate(self, request: DomainRequest) -> Translation:
        """Makes the other picture of [N,3,H,W]; only `to` the second of the domains. No edit mask. Other `noise`, other pictures."""
        check_second(request.to, self.data.domains)
        x = request.image
        z = (self.fixed_noise() if request.noise is None else request.noise)['z'].to(x.device).expand(x.shape[0], -1)
        return Translation(self.nets['G'](x, told=z).float())

    def fixed_noise(self) -> dict[str, Tensor]:
        """The z [1,Z] of every picture that is not given one, N(0,1)."""
        return {'z': Moment().normal('z', self.config.z_dim)}


def rows_by_turns(moment: Moment, name: str, *shape: int, device: torch.device | str = 'cpu') -> Tensor:
    """`moment.uniform`, the rows of even samples before those of odd ones."""
    drawn = moment.uniform(name, *shape, device=device)
    return torch.cat([drawn[::2], drawn[1::2]])
