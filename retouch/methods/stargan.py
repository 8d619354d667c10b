"""StarGAN: one generator for all attributes, conditioned on a label vector.

Paper:      Choi, Choi, Kim, Ha, Kim, Choo. StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image
            Translation. CVPR 2018, arXiv:1711.09020.
Reference:  yunjey/stargan @ 94dd002 (MIT): read for layers, reductions and schedule; no code taken.
Differs:    [D1] instance norm keeps no running statistics: identical to the authors' outputs, which never leave training mode;
            [D2] the gradient norm of (3) is safe at zero, where the authors' sqrt has a NaN gradient;
            [D3] learning rate: `schedule` 'linear' is the paper's, 'stargan_code' what the released code does (it hardly decays);
            [D4] D has fewer strided convolutions below 128 px (its map keeps a side of 2 or 3);
            [D5] real and fake share one D call (no norm in D, so equal); where both steps fall on one iteration they share one fake;
            [D6] `condition` 'difference' (target - source), `reconstruct` 'self' (G(x, a) in place of G(y, a) in (6)), `penalty`
            'autograd' and `lambda_adv` (1 in the paper) are options.
Shapes:     N batch, K attributes, H W image. x, y images in [-1,1]; a, b labels [N,K] in {0,1}; src [N,1,h,w]:
            summed in (3), averaged in (1) and (4).

Discriminator step (every iteration)                             Generator step (every n_critic-th, same batch)
  (1) L_adv^D = -E[src(x)] + E[src(y)]                             (4) L_adv^G = -E[src(y)]
  (2) L_cls^D = sum_k BCE(cls(x), a), mean over N; or CE           (5) L_cls^G = sum_k BCE(cls(y), b), mean over N; or CE
  (3) L_gp    = E[(|d sum src(x^) / d x^|_2 - 1)^2]                (6) L_rec   = mean |x - G(y, a)|
  L_D = (1) + lambda_cls (2) + lambda_gp (3)                       L_G = lambda_adv (4) + lambda_cls (5) + lambda_rec (6)
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
from retouch.losses import bce_sum_over_attributes, cross_entropy_of_one_hot, full, gradient_penalty, gradient_penalty_of, l1_mean
from retouch.networks.stargan import Discriminator, Generator

SCHEDULES = {'linear': schedules.linear_second_half, 'stargan_code': schedules.stargan_code, 'linear_last_40': schedules.linear_last_40}


class Config(BaseConfig):
    """Defaults are the paper's (CelebA, 128 px)."""

    id: Literal['stargan'] = 'stargan'
    labels: Literal['multi', 'single'] = 'multi'
    """'multi': binary attributes, BCE; 'single': one-hot classes (RaFD), softmax CE."""
    condition: Literal['target', 'difference'] = 'target'
    """What the generator is told: the target labels, or target - source in {-1,0,1}."""
    reconstruct: Literal['cycle', 'self'] = 'cycle'
    """What (6) compares x with: y brought back, or x told the attributes it has, as later papers have it."""
    width_g: int = Field(default=64, gt=0)
    blocks: int = Field(default=6, ge=0)
    width_d: int = Field(default=64, gt=0)
    lambda_adv: float = 1.0
    """Weight of (4). The gradient of a mean over h x w patches is 1/(h w) of the one (3) bounds: small pictures need more."""
    lambda_cls: float = 1.0
    lambda_rec: float = 10.0
    lambda_gp: float = 10.0
    n_critic: int = Field(default=5, gt=0)
    lr: float = 1e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Literal['linear', 'stargan_code', 'linear_last_40'] = 'linear'
    penalty: Literal['autograd', 'closed_form'] = 'closed_form'
    """How (3) is differentiated: the closed form of a piecewise-linear critic, or double backward (equal in float64, slower)."""
    label_rule: LabelRule = 'stargan'
    """Which conflicts an edit resolves: at test time, and in training with data.targets='single'."""


class StarGAN(nn.Module):
    """Attribute editing without a mask: the whole frame is the generator's.

    G sees `inside` channels and makes `outside`, which D judges: of pictures 3, of other things for a system built on this one.
    """

    id: ClassVar[str] = 'stargan'
    kind: ClassVar[str] = 'attributes'
    Config: ClassVar[type[Config]] = Config
    compiles: ClassVar[tuple[str, ...]] = ('G',)
    inference_nets: ClassVar[tuple[str, ...]] = ('G', 'D')     # D reads the attributes of a picture that has no labels

    def __init__(self, config: Config, data: DataSpec, inside: int = 3, outside: int = 3) -> None:
        super().__init__()
        self.config, self.data = config, data
        k = len(data.attributes)
        self.nets = nn.ModuleDict({'G': Generator(k, config.width_g, config.blocks, outside, inside),
                                   'D': Discriminator(k, data.size, config.width_d, in_channels=outside)})
        self.classification = {'multi': bce_sum_over_attributes, 'single': cross_entropy_of_one_hot}[config.labels]

    @classmethod
    def tiny(cls) -> StarGAN:
        """The smallest legal form."""
        spec = DataSpec(size=16, attributes=('Black_Hair', 'Blond_Hair', 'Eyeglasses'))
        return cls(Config(width_g=4, width_d=4, blocks=1, n_critic=2), spec)

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2))
        return (Update('D', ('D',), self.discriminator_step, adam, SCHEDULES[c.schedule], ahead=('G',)),
                Update('G', ('G',), self.generator_step, adam, SCHEDULES[c.schedule], every=c.n_critic))

    def generate(self, x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """[N,3,H,W], labels [N,K] or [R N,K], R for every picture -> [N,3,H,W] or [R N,3,H,W] in [-1,1]."""
        return self.nets['G'](x, target if self.config.condition == 'target' else target - source).tanh()

    def discriminator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        c, D, x, a, b = self.config, self.nets['D'], batch.image, batch.labels, batch.target
        made = self.generate(x, a, b)                                                  # its graph is for the other step
        y = made.detach()
        maps = D.features(torch.cat([x, y]))
        src, logits = D.heads(maps[-1])                                                # [2N,1,h,w], [2N,K]
        src_real, src_fake = full(src).chunk(2)
        loss_adv = -src_real.mean() + src_fake.mean()                                  # (1)
        loss_cls = self.classification(logits[:len(x)], a)                             # (2)
        loss_gp = self.penalty(x, y, batch.moment.uniform('alpha', 1, 1, 1, device=x.device))         # (3)
        return Step(loss_adv + c.lambda_cls * loss_cls + c.lambda_gp * loss_gp,
                    {'adv': loss_adv.detach(), 'cls': loss_cls.detach(), 'gp': loss_gp.detach()},
                    keep=with_graph(edit=made), parts={'edit': y, 'maps': maps, 'logits': logits})

    def penalty(self, x: Tensor, y: Tensor, alpha: Tensor) -> Tensor:
        """Equation (3) on x^ = alpha x + (1 - alpha) y; x, y [N,3,H,W], alpha [N,1,1,1]."""
        D = self.nets['D']
        if self.config.penalty == 'closed_form':
            with torch.autocast(x.device.type, enabled=False):
                return gradient_penalty_of(D.input_gradient(torch.lerp(full(y), x, alpha.to(x))))
        return gradient_penalty(lambda x_hat: D(x_hat)[0], x, y, alpha)

    def generator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        c, D, x, a, b = self.config, self.nets['D'], batch.image, batch.labels, batch.target
        if c.reconstruct == 'self':
            y, x_rec = ((kept['edit'], self.generate(x, a, a)) if 'edit' in kept else
                        self.generate(x, torch.cat([a, a]), torch.cat([b, a])).chunk(2))
        else:
            y = kept['edit'] if 'edit' in kept else self.generate(x, a, b)
            x_rec = self.generate(y, b, a)
        maps = D.features(y)
        src, logits = D.heads(maps[-1])
        loss_adv = -full(src).mean()                                                 # (4)
        loss_cls = self.classification(logits, b)                                      # (5)
        loss_rec = l1_mean(x, x_rec)                                                   # (6)
        return Step(c.lambda_adv * loss_adv + c.lambda_cls * loss_cls + c.lambda_rec * loss_rec,
                    {'adv': loss_adv.detach(), 'cls': loss_cls.detach(), 'rec': loss_rec.detach()},
                    {'input': x, 'edit': y.detach()},
                    parts={'edit': y, 'maps': maps, 'cycle' if c.reconstruct == 'cycle' else 'reconstruction': x_rec})

    def translate(self, request: AttributeRequest) -> Translation:
        """Edits [N,3,H,W] from source to target labels; no edit mask."""
        return Translation(self.generate(request.image, request.source, request.target).float())

    def read(self, image: Tensor) -> Tensor:
        """Attribute probabilities [N,K] of pictures [N,3,H,W], by D's class head."""
        logits = self.nets['D'](image)[1].float()
        return logits.sigmoid() if self.config.labels == 'multi' else logits.softmax(1)
