"""A reading, not a reproduction. DIAT: one net a target attribute, held to the input by features and by a mask of a given size.

Paper:      Li, Zuo, Zhang. Deep Identity-aware Transfer of Facial Attributes. arXiv:1610.05586, its later version.
Reference:  none; the transform net and the discriminator are CycleGAN's.
Differs:    [D1] known are a transform net, a mask net of 32 px whose mask a Gaussian smooths, their blend, a Wasserstein loss for the
            attribute, an identity loss of features, a term on the mask's share; layers, weights and lengths are decisions;
            [D2] no VGG-Face: features are D's, after its last map of four times its width, of real and edited picture, D's own learning
            untouched by it ("adaptive"); there is no denoising net and no net that enhances afterwards;
            [D3] the mask's mean is drawn to `area`, the mean of the attribute's true regions;
            [D4] the critic is held by a gradient penalty, by double backward: its instance norm is not piecewise linear;
            [D5] one direction, the second domain; no cycle;
            [D6] D has fewer layers below 64 px, as in `cyclegan`.
Shapes:     N batch, H W image. x of domain A, which lacks the attribute, z of domain B, which has it, in [-1,1]; m mask [N,1,H,W];
            src patch scores [N,1,h,w], summed in (3); phi maps of D [N,C,h,w].

  (1) y = m T(x) + (1 - m) x,  m = M(x)
Discriminator step (every iteration)                             Generator step (every n_critic-th, same batch)
  (2) L_adv^D = -E[src(z)] + E[src(y)]                             (4) L_att = -E[src(y)]
  (3) L_gp = E[(|d sum src(x^) / d x^|_2 - 1)^2]                   (5) L_id = mean (phi(y) - phi(x))^2, of x no gradient
                                                                   (6) L_ratio = |mean m - area|, mean over N
  L_D = (2) + lambda_gp (3)                                        L_G = lambda_adv (4) + lambda_id (5) + lambda_ratio (6)
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
from retouch.engine.update import Adam, DomainRequest, Keep, Step, Translation, Update, generator_to, with_graph
from retouch.errors import check_halved_twice
from retouch.guidance.mask import composite, mask_logs
from retouch.losses import full, gradient_penalty, mse_mean
from retouch.networks.cyclegan import PatchDiscriminator, ResNetGenerator, init_normal, layers_at
from retouch.networks.diat import MaskNet

SCHEDULES = {'constant': schedules.constant, 'linear_last_40': schedules.linear_last_40}


class Config(BaseConfig):
    """Defaults are our decisions, for 128 px."""

    id: Literal['diat'] = 'diat'
    width_g: int = Field(default=64, gt=0)
    blocks: int = Field(default=5, ge=0)
    width_m: int = Field(default=32, gt=0)
    width_d: int = Field(default=64, gt=0)
    layers_d: int | None = None
    """Strided layers of D; None: 3 from 64 px, 2 below."""
    area: float = Field(default=0.1, ge=0, le=1)
    """What share of a picture the edit needs, on average."""
    lambda_adv: float = 1.0
    lambda_id: float = 1.0
    lambda_ratio: float = 0.1
    lambda_gp: float = 10.0
    n_critic: int = Field(default=5, gt=0)
    lr: float = 1e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Literal['constant', 'linear_last_40'] = 'constant'


class DIAT(nn.Module):
    """One attribute given to pictures that lack it, inside a mask that a net of its own draws."""

    id: ClassVar[str] = 'diat'
    kind: ClassVar[str] = 'domains'
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = ('T', 'M')

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        check_halved_twice(data.size)
        self.config, self.data, c = config, data.model_copy(update={'one_way': True}), config
        layers = layers_at(data.size, c.layers_d)
        self.nets = nn.ModuleDict({'T': init_normal(ResNetGenerator(width=c.width_g, blocks=c.blocks)),
                                   'M': init_normal(MaskNet(c.width_m)),
                                   'D': init_normal(PatchDiscriminator(width=c.width_d, layers=layers))})
        self.cut = min(8, 3 * layers + 2)                        # layers of D up to its last map of four times the width

    @classmethod
    def tiny(cls) -> DIAT:
        """The smallest legal form."""
        return cls(Config(width_g=4, blocks=1, width_m=4, width_d=4, layers_d=1, n_critic=2), DataSpec(size=16, domains=('A', 'B')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam, schedule = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2)), SCHEDULES[c.schedule]
        return (Update('D', ('D',), self.discriminator_step, adam, schedule, ahead=('T', 'M')),
                Update('G', ('T', 'M'), self.generator_step, adam, schedule, every=c.n_critic))

    def generate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[N,3,H,W] -> edit [N,3,H,W] and mask [N,1,H,W], float32."""
        mask = self.nets['M'](x)
        return composite(self.nets['T'](x), x, mask), mask                             # (1)

    def discriminator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        c, D, x, z = self.config, self.nets['D'], batch.image_a, batch.image_b
        made, mask = self.generate(x)                                                  # its graph is for the other step
        y = made.detach()
        src_real, src_fake = full(D(torch.cat([z, y]))).chunk(2)
        loss_adv = -src_real.mean() + src_fake.mean()                                  # (2)
        loss_gp = gradient_penalty(D, z, y, batch.moment.uniform('alpha', 1, 1, 1, device=x.device))        # (3)
        return Step(loss_adv + c.lambda_gp * loss_gp, {'adv': loss_adv.detach(), 'gp': loss_gp.detach()},
                    keep=with_graph(edit=made, mask=mask))

    def generator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        c, x, D = self.config, batch.image_a, self.nets['D'].main
        y, mask = (kept['edit'], kept['mask']) if 'edit' in kept else self.generate(x)
        with torch.no_grad():
            phi_x = D[:self.cut](x)
        phi_y = D[:self.cut](y)
        loss_att = -full(D[self.cut:](phi_y)).mean()                                   # (4)
        loss_id = mse_mean(phi_y, phi_x)                                               # (5)
        loss_ratio = (mask.mean((1, 2, 3)) - c.area).abs().mean()                      # (6)
        return Step(c.lambda_adv * loss_att + c.lambda_id * loss_id + c.lambda_ratio * loss_ratio,
                    {'att': loss_att.detach(), 'id': loss_id.detach(), 'ratio': loss_ratio.detach(), **mask_logs(mask)},
                    {'input': x, 'mask': mask.detach(), 'edit': y.detach()})

    def translate(self, request: DomainRequest) -> Translation:
        """Brings [N,3,H,W] to the second domain inside the mask. ValueError where another one is asked for."""
        generator_to(request.to, self.data)
        return Translation(*self.generate(request.image))
