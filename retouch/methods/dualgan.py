"""DualGAN: two U-Nets between two unpaired domains, closed by a cycle, judged by Wasserstein critics or as other GANs are.

Paper:      Yi, Zhang, Tan, Gong. DualGAN: Unsupervised Dual Learning for Image-to-Image Translation. ICCV 2017, arXiv:1704.02510.
Reference:  duxingren14/DualGAN @ bd64bf9 (Apache-2.0) and its history, d71400c (April 2017) and d7ee5b8 (August 2017): TensorFlow, read for
            layers, losses, order and settings; no code taken.
Differs:    [D1] three objectives were released: WGAN with clipped weights (April 2017, the paper's, default), cross-entropy with two
            generator steps (August 2017, which others count), WGAN-GP (2020); `objective` and the recipes name them;
            [D2] the deepest map has no norm (`norm_bottleneck`): at 1x1 px the code's leaves its offset alone, so that it carries nothing;
            [D3] convolutions of stride 2 are padded alike on both sides, where TensorFlow pads the far side by one more;
            [D4] torch's RMSProp begins with a mean square of 0 and has its epsilon, 1e-8, outside the root; TensorFlow's with 1 and 1e-10
            inside; kernels are drawn from N(0, 0.02), which the code cuts at two deviations;
            [D5] between two generator steps the critics see fresh pictures, and the generators learn from the last of them, where the
            clipped code takes one of them at random;
            [D6] the penalty's norm is safe at 0 without the code's 1e-8 under the root;
            [D7] dropout's draws are keyed by (seed, iteration, sample); at test time values are dropped by a fixed draw, as in the code of
            2017 by a new one each time (`test_dropout`);
            [D8] the clipped code had a linear head in April 2017; the default is the convolution that came in August (`head`);
            [D9] the U-Net halves a picture as often as it comes out even, 8 times at most; critics have fewer layers below 128 px.
Shapes:     N batch, H W image. x of domain A, y of domain B in [-1,1]; G: A -> B, F: B -> A; D_A, D_B scores [N,1,h,w] of a picture.
            r(s) = -mean s and f(s) = mean s; with 'bce' r(s) = BCE(s, 1) and f(s) = BCE(s, 0). GP(D) = mean_n (||grad D||_2 - 1)^2 between
            real and fake, with 'wgan_gp' alone.

  (1) y' = G(x), x' = F(y)

Critic step (first)                                              Generator step (every critic_steps-th, generator_steps times)
  (2) L_B = r(D_B(y)) + f(D_B(y'))                                 (5) L_gan = r(D_B(y')) + r(D_A(x'))
  (3) L_A = r(D_A(x)) + f(D_A(x'))                                 (6) L_cyc = mean |F(y') - x| + mean |G(x') - y|
  (4) L_gp = GP(D_B) + GP(D_A)                                     L_G = (5) + lambda_cyc (6)
  L_D = (2) + (3) + lambda_gp (4); with 'wgan' every weight is then clipped to [-clip, clip]
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
from retouch.engine.update import DomainRequest, Keep, RMSProp, Step, Translation, Update, with_graph
from retouch.errors import unknown
from retouch.losses import bce_to_constant, full, gradient_penalty, l1_mean
from retouch.networks.cyclegan import init_normal
from retouch.networks.dualgan import Critic
from retouch.networks.unet import UNet, noise_to_draws

SCHEDULES = {'constant': schedules.constant, 'linear_last_40': schedules.linear_last_40}


class Config(BaseConfig):
    """Defaults are the paper's objective (256 px), as its first code has it."""

    id: Literal['dualgan'] = 'dualgan'
    objective: Literal['wgan', 'bce', 'wgan_gp'] = 'wgan'
    kernel: Literal[3, 5] = 5
    """5: all kernels, as in 2017. 3: all but the first of every network and the generators' last, as in 2020."""
    head: Literal['conv', 'linear'] = 'conv'
    """Of the critics: scores of patches, or one of the whole picture."""
    norm_bottleneck: bool = False
    """Whether the deepest map has a norm, too, as in the code."""
    width_g: int = Field(default=64, gt=0)
    dropout: bool = True
    """Whether half the values of the decoder's first three levels are dropped."""
    test_dropout: bool = True
    """Whether they are at test time, too, by a fixed draw."""
    width_d: int = Field(default=64, gt=0)
    critic_steps: int = Field(default=3, gt=0)
    generator_steps: int = Field(default=1, gt=0)
    clip: float = Field(default=0.01, gt=0)
    """Largest absolute weight of a critic, with 'wgan'."""
    lambda_cyc: float = 200.0
    lambda_gp: float = 10.0
    lr: float = 5e-5
    decay: float = Field(default=0.9, ge=0, lt=1)
    """Of RMSProp's mean square."""
    schedule: Literal['constant', 'linear_last_40'] = 'constant'


class DualGAN(nn.Module):
    """Unpaired translation of whole pictures; no mask."""

    id: ClassVar[str] = 'dualgan'
    kind: ClassVar[str] = 'domains'
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = ('G', 'F')

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        self.config, self.data, c = config, data, config
        dropped = (0, 1, 2) if c.dropout else ()
        self.nets = nn.ModuleDict({
            **{name: init_normal(UNet(width=c.width_g, size=data.size, norm='affine', dropout=dropped, kernel=c.kernel, kernel_ends=5,
                                      norm_deepest=c.norm_bottleneck)) for name in ('G', 'F')},
            **{name: init_normal(Critic(data.size, c.width_d, c.kernel, c.head)) for name in ('D_A', 'D_B')}})

    @classmethod
    def tiny(cls, objective: Literal['wgan', 'bce', 'wgan_gp'] = 'wgan') -> DualGAN:
        """The smallest legal form of an objective."""
        told = {'wgan': {'critic_steps': 2}, 'bce': {'critic_steps': 1, 'generator_steps': 2, 'norm_bottleneck': True},
                'wgan_gp': {'critic_steps': 1, 'kernel': 3, 'head': 'linear', 'dropout': False}}[objective]
        config = Config.model_validate({'objective': objective, 'width_g': 2, 'width_d': 4, **told})
        return cls(config, DataSpec(size=16, domains=('A', 'B')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        rms, schedule = partial(RMSProp, lr=c.lr, alpha=c.decay), SCHEDULES[c.schedule]
        shared = ('G', 'F') if c.generator_steps == 1 else ()
        return (Update('D', ('D_A', 'D_B'), self.critic_step, rms, schedule, clamp=c.clip if c.objective == 'wgan' else None, ahead=shared),
                Update('G', ('G', 'F'), self.generator_step, rms, schedule, every=c.critic_steps),
                *(Update(f'G{k}', ('G', 'F'), self.generator_step, rms, schedule, every=c.critic_steps, shares='G')
                  for k in range(2, c.generator_steps + 1)))

    def made(self, net: str, given: Tensor, moment: Moment, leg: str) -> Tensor:
        """What a generator makes of [N,3,H,W]; every leg has its own draws of dropout."""
        return self.nets[net](given, lambda name, *shape, device: moment.uniform(f'{leg}_{name}', *shape, device=device))

    def real(self, score: Tensor) -> Tensor:
        """r: mean over N and patches; the smaller, the more real scores [N,1,h,w] say."""
        return bce_to_constant(score, 1.0) if self.config.objective == 'bce' else -full(score).mean()

    def fake(self, score: Tensor) -> Tensor:
        """f: mean over N and patches; the smaller, the less real scores [N,1,h,w] say."""
        return bce_to_constant(score, 0.0) if self.config.objective == 'bce' else full(score).mean()

    def critic_step(self, batch: DomainBatch, kept: Keep) -> Step:
        n, x, y, m = self.nets, batch.image_a, batch.image_b, batch.moment
        fake_b, fake_a = self.made('G', x, m, 'x'), self.made('F', y, m, 'y')                           # (1)
        pairs = {'B': (y, fake_b.detach()), 'A': (x, fake_a.detach())}
        of_b, of_a = (n[f'D_{d}'](torch.cat(pair)).chunk(2) for d, pair in pairs.items())
        loss_b = self.real(of_b[0]) + self.fake(of_b[1])                                                # (2)
        loss_a = self.real(of_a[0]) + self.fake(of_a[1])                                                # (3)
        loss, logs = loss_b + loss_a, {'B': loss_b.detach(), 'A': loss_a.detach()}
        if self.config.objective == 'wgan_gp':
            alphas = {d: m.uniform(f'alpha_{d}', 1, 1, 1, device=x.device) for d in pairs}
            loss_gp = sum(gradient_penalty(n[f'D_{d}'], *pair, alphas[d]) for d, pair in pairs.items())  # (4)
            loss, logs = loss + self.config.lambda_gp * loss_gp, {**logs, 'gp': loss_gp.detach()}
        return Step(loss, logs, keep=with_graph(fake_a=fake_a, fake_b=fake_b))

    def generator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        n, x, y, m = self.nets, batch.image_a, batch.image_b, batch.moment
        fake_b, fake_a = (kept['fake_b'], kept['fake_a']) if 'fake_b' in kept else (self.made('G', x, m, 'x'), self.made('F', y, m, 'y'))
        loss_gan = self.real(n['D_B'](fake_b)) + self.real(n['D_A'](fake_a))                            # (5)
        loss_cyc = l1_mean(self.made('F', fake_b, m, 'x_back'), x) + l1_mean(self.made('G', fake_a, m, 'y_back'), y)      # (6)
        return Step(loss_gan + self.config.lambda_cyc * loss_cyc, {'gan': loss_gan.detach(), 'cyc': loss_cyc.detach()},
                    {'input': x, 'edit': fake_b.detach(), 'input_b': y, 'edit_b': fake_a.detach()})

    def translate(self, request: DomainRequest) -> Translation:
        """Brings [N,3,H,W] to domain `request.to`; no edit mask."""
        if request.to not in self.data.domains:
            raise unknown('domain', request.to, self.data.domains)
        noise = self.fixed_noise() if request.noise is None else request.noise
        net = self.nets['G' if request.to == self.data.domains[1] else 'F']
        return Translation(net(request.image, noise_to_draws(noise)).float())

    def fixed_noise(self) -> dict[str, Tensor]:
        """What drops values at test time, U(0,1) [1,C,h,w] each: of one sample, so the same for every picture. Nothing without dropout."""
        dropped = self.nets['G'].dropped if self.config.test_dropout else {}
        return {f'dropout_{j}': Moment().uniform(f'dropout_{j}', *shape) for j, shape in dropped.items()}
