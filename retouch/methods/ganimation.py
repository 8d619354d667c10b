"""GANimation: expressions by degrees; the generator is told how strong every one is to be, and says where it keeps the picture.

Paper:      Pumarola, Agudo, Martinez, Sanfeliu, Moreno-Noguer. GANimation: Anatomically-aware Facial Animation from a Single Image.
            ECCV 2018, arXiv:1807.09251.
Reference:  albertpumarola/GANimation @ 40da9ae (GPL-3.0): read for layers, reductions and schedule; no code taken.
Differs:    [D1] the mask m is 1 - A of the paper's attention A, so that 1 means may change here too; the paper's versions swap the roles;
            [D2] the code divides the mean of (2) and (5) by the batch again: `lambda_cond` 160 is its 4000 at a batch of 25, at any batch;
            [D3] (8) is a mean over N of sums over pixels: `lambda_tv` 2.5e-4 is the code's 1e-5 on the sum over the batch of 25, at 128 px;
            [D4] (7) is the code's mean of A, of weight 0.1; the paper's is a squared norm. It pushes A down: the mask grows;
            [D5] the penalty is an optimiser step of its own, as in the code (`gp_separate_step`), with its gradient in closed form and its
            norm safe at zero, where the code's sqrt has a NaN gradient; what it says nothing of (biases, the head of conditions) has a
            gradient of 0 in it, as there: Adam's moments, which both steps share, move it all the same;
            [D6] the rate falls linearly over the last third of the run, every iteration; the code's after each of ten epochs of thirty;
            [D7] D has fewer strided convolutions below 128 px; real and fake share one D call (no norm in D, so equal);
            [D8] `lambda_adv`, 1 in paper and code, is an option: small pictures need more;
            [D9] conditions of files are 0 or 1 here; those of drawn faces may be expressions by degrees. The code's are the strengths of 17
            action units, estimated by another program, divided by 5.
Shapes:     N batch, K conditions, H W image. x, y pictures in [-1,1]; a conditions [N,K] in [0,1] of x, b wanted; r content [N,3,H,W];
            m, m' masks [N,1,H,W]; src [N,1,h,w], summed in (3), averaged in (1) and (4); cond [N,K].

  (9) y = m r + (1 - m) x, m = sigmoid(G(x, b)_0), r = tanh(G(x, b)_{1:3});  y' and m' of G(y, a) in the same way
  (10) b = conditions of another picture of the batch + U(-noise, noise)
Discriminator steps (every iteration, two)                       Generator step (every n_critic-th, same batch)
  (1) L_adv^D = -E[src(x)] + E[src(y)]                             (4) L_adv^G = -E[src(y)]
  (2) L_cond^D = mean (cond(x) - a)^2                              (5) L_cond^G = mean (cond(y) - b)^2
  (3) L_gp = E[(|d sum src(x^) / d x^|_2 - 1)^2]                   (6) L_cyc = mean |y' - x|
                                                                   (7) L_keep = mean (1 - m) + mean (1 - m')
                                                                   (8) L_tv = sum_hw |d_h m| + |d_w m|, mean over N, of m and m'
  L_D = (1) + lambda_cond (2), then lambda_gp (3)                  L_G = lambda_adv (4) + lambda_cond (5) + lambda_cyc (6)
                                                                         + lambda_keep (7) + lambda_tv (8)
"""
from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import AttributeBatch, DataSpec
from retouch.data.labels import LabelRule
from retouch.engine import schedules
from retouch.engine.update import Adam, AttributeRequest, Keep, Step, Translation, Update, with_graph
from retouch.guidance.mask import composite, mask_logs
from retouch.losses import full, gradient_penalty_of, l1_mean, mse_mean, total_variation
from retouch.networks.cyclegan import init_normal
from retouch.networks.stargan import Discriminator, Generator
from retouch.networks.unit import init_kernels

SCHEDULES = {'linear_last_third': schedules.linear_last_third, 'linear_last_40': schedules.linear_last_40}


class Config(BaseConfig):
    """Defaults are the code's (EmotioNet, 17 action units, 128 px, batch 25)."""

    id: Literal['ganimation'] = 'ganimation'
    width_g: int = Field(default=64, gt=0)
    blocks: int = Field(default=6, ge=0)
    width_d: int = Field(default=64, gt=0)
    target_noise: float = Field(default=0.1, ge=0)
    """Half the width of what (10) adds, in units of a condition."""
    lambda_adv: float = 1.0
    lambda_cond: float = 160.0
    lambda_cyc: float = 10.0
    lambda_gp: float = 10.0
    lambda_keep: float = 0.1
    """Weight of (7). Too much of it and the mask is 1 everywhere, too little and 0: the author wants it near 0.5."""
    lambda_tv: float = 2.5e-4
    """Weight of a sum over pixels."""
    gp_separate_step: bool = True
    """Whether (3) has a step of D's optimiser of its own, or is part of D's loss."""
    n_critic: int = Field(default=5, gt=0)
    lr: float = 1e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Literal['linear_last_third', 'linear_last_40'] = 'linear_last_third'
    label_rule: LabelRule = 'stargan'
    """Which conflicts an edit resolves: at test time, and in training with data.targets='single'."""


class GANimation(nn.Module):
    """Editing by degrees inside a mask that the generator draws itself."""

    id: ClassVar[str] = 'ganimation'
    kind: ClassVar[str] = 'attributes'
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = ('G', 'D')     # D reads the conditions of a picture that has none

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        self.config, self.data = config, data
        k = len(data.attributes)
        self.nets = nn.ModuleDict({'G': init_kernels(Generator(k, config.width_g, config.blocks, out_channels=4)),
                                   'D': init_normal(Discriminator(k, data.size, config.width_d))})

    @classmethod
    def tiny(cls) -> GANimation:
        """The smallest legal form."""
        return cls(Config(width_g=4, width_d=4, blocks=1, n_critic=2, lambda_cond=4.0),
                   DataSpec(size=16, attributes=('Black_Hair', 'Blond_Hair', 'Eyeglasses')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam, schedule = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2)), SCHEDULES[c.schedule]
        steps = [Update('D', ('D',), self.discriminator_step, adam, schedule, ahead=('G',)),
                 Update('GP', ('D',), self.penalty_step, adam, schedule, shares='D'),
                 Update('G', ('G',), self.generator_step, adam, schedule, every=c.n_critic)]
        return tuple(u for u in steps if u.name != 'GP' or c.gp_separate_step)

    def generate(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """[N,3,H,W], conditions [N,K] -> edit [N,3,H,W] and mask [N,1,H,W] in float32."""
        out = full(self.nets['G'](x, target))
        mask = out[:, :1].sigmoid()
        return composite(out[:, 1:].tanh(), x, mask), mask                                              # (9)

    def wanted(self, batch: AttributeBatch) -> Tensor:
        """The conditions [N,K] that a batch asks for, the same in every step of its iteration."""
        b = batch.target
        return b + self.config.target_noise * (2 * batch.moment.uniform('target', b.shape[1], device=b.device) - 1)      # (10)

    def discriminator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        c, D, x = self.config, self.nets['D'], batch.image
        made, mask = self.generate(x, self.wanted(batch))                              # its graph is for the generator's step
        y = made.detach()
        src, cond = D(torch.cat([x, y]))                                               # [2N,1,h,w], [2N,K]
        src_real, src_fake = full(src).chunk(2)
        loss_adv = -src_real.mean() + src_fake.mean()                                                   # (1)
        loss_cond = mse_mean(cond[:len(x)], batch.labels)                                               # (2)
        loss, logs = loss_adv + c.lambda_cond * loss_cond, {'adv': loss_adv.detach(), 'cond': loss_cond.detach()}
        if not c.gp_separate_step:
            loss_gp = self.penalty(batch, y)
            loss, logs['gp'] = loss + c.lambda_gp * loss_gp, loss_gp.detach()
        return Step(loss, logs, keep={'fake': y, **with_graph(edit=made, mask=mask)})

    def penalty(self, batch: AttributeBatch, y: Tensor) -> Tensor:
        """Equation (3) on x^ = alpha x + (1 - alpha) y."""
        x, alpha = batch.image, batch.moment.uniform('alpha', 1, 1, 1, device=y.device)
        with torch.autocast(x.device.type, enabled=False):
            return gradient_penalty_of(self.nets['D'].input_gradient(torch.lerp(full(y), full(x), alpha.to(full(x)))))      # (3)

    def penalty_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        fake = kept['fake'] if 'fake' in kept else self.generate(batch.image, self.wanted(batch))[0].detach()
        loss_gp = self.penalty(batch, fake)
        nothing = sum(0 * p.sum() for p in self.nets['D'].parameters())                # [D5]: 0, not none, so that Adam moves them as well
        return Step(self.config.lambda_gp * loss_gp + nothing, {'gp': loss_gp.detach()})

    def generator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        c, x, b = self.config, batch.image, self.wanted(batch)
        y, mask = (kept['edit'], kept['mask']) if 'edit' in kept else self.generate(x, b)
        src, cond = self.nets['D'](y)
        back, mask_back = self.generate(y, batch.labels)
        loss_adv = -full(src).mean()                                                                    # (4)
        loss_cond = mse_mean(cond, b)                                                                   # (5)
        loss_cyc = l1_mean(back, x)                                                                     # (6)
        loss_keep = (1 - mask).mean() + (1 - mask_back).mean()                                          # (7)
        loss_tv = total_variation(mask) + total_variation(mask_back)                                    # (8)
        return Step(c.lambda_adv * loss_adv + c.lambda_cond * loss_cond + c.lambda_cyc * loss_cyc + c.lambda_keep * loss_keep
                    + c.lambda_tv * loss_tv,
                    {'adv': loss_adv.detach(), 'cond': loss_cond.detach(), 'cyc': loss_cyc.detach(), 'keep': loss_keep.detach(),
                     'tv': loss_tv.detach(), **mask_logs(mask)},
                    {'input': x, 'mask': mask.detach(), 'edit': y.detach()})

    def translate(self, request: AttributeRequest) -> Translation:
        """Edits [N,3,H,W] to the target conditions inside the generator's mask."""
        return Translation(*self.generate(request.image, request.target))

    def read(self, image: Tensor) -> Tensor:
        """Conditions [N,K] in [0,1] of pictures [N,3,H,W], by D's head."""
        return self.nets['D'](image)[1].float().clamp(0, 1)
