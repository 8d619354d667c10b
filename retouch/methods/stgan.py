"""STGAN: told what shall change, not what shall be; the shortcuts select what they carry.

Paper:      Liu, Ding, Xia, Liu, Ding, Zuo, Wen. STGAN: A Unified Selective Transfer Network for Arbitrary Image Attribute Editing.
            CVPR 2019, arXiv:1904.09709.
Reference:  bluestyle97/STGAN-pytorch @ 1136a5d (no licence file) for variant 'pytorch', csmliu/STGAN @ 8a206ad (MIT, the authors',
            TensorFlow) for variant 'official': read for layers, reductions and schedule; no code taken.
Differs:    [D1] `variant` 'pytorch' (default) is the baseline of later papers: 3 shortcuts, batch norm in the STUs, one more
            convolution, the draw of (1), (3) and (6) summed over attributes; 'official' is the paper's authors': 4 shortcuts,
            STUs without norm, d at every decoder level, u constant, (3) and (6) averaged, G on a batch that D has not seen;
            [D2] D's instance norm keeps no running statistics (the PyTorch code tracks them and never leaves training mode);
            [D3] the gradient norm of (4) is safe at zero, where the PyTorch code's sqrt has a NaN gradient;
            [D4] x is encoded once for the edit and the reconstruction, the PyTorch code encodes it twice: equal outputs and
            gradients, but the encoder's running statistics move once in a generator step, not twice;
            [D5] real and fake share one D call (no norm across the batch, so equal) and no generator graph is built in the D step;
            [D6] 'official' keeps torch's initialisation and norm constants, not TensorFlow's;
            [D7] test time: every difference is scaled by `test_int` and conflicts follow `label_rule`; the authors scale the
            edited attribute alone.
Shapes:     N batch, K attributes, H W image. x, y images in [-1,1]; a, b labels [N,K] in {0,1}; u, d [N,K]; src [N,1].

  (1) d = (b - a) u, u ~ 2 thres_int U(0,1) an entry, one draw for both steps; official: u = 2 thres_int;  y = G(x, d)

Discriminator step (every iteration)                             Generator step (every n_critic-th, same batch)
  (2) L_adv^D = -E[src(x)] + E[src(y)]                             (5) L_adv^G = -E[src(y)]
  (3) L_cls^D = sum_k BCE(cls(x), a), mean over N; or mean         (6) L_cls^G = sum_k BCE(cls(y), b), mean over N; or mean
  (4) L_gp    = E[(|d src(x^) / d x^|_2 - 1)^2]                    (7) L_rec   = mean |x - G(x, 0)|
  L_D = (2) + lambda_cls_d (3) + lambda_gp (4)                     L_G = lambda_adv (5) + lambda_cls_g (6) + lambda_rec (7)
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
from retouch.engine.update import Adam, AttributeRequest, Keep, Step, Translation, Update
from retouch.losses import bce_mean, bce_sum_over_attributes, full, gradient_penalty, l1_mean
from retouch.networks.attgan import Discriminator
from retouch.networks.stgan import Generator

SCHEDULES = {'step_at_80': schedules.step_at_80, 'step_at_half': schedules.step_at_half, 'linear_last_40': schedules.linear_last_40}


class Config(BaseConfig):
    """Defaults are bluestyle97's (CelebA, 128 px)."""

    id: Literal['stgan'] = 'stgan'
    variant: Literal['pytorch', 'official'] = 'pytorch'
    """'pytorch': bluestyle97's, on which later papers build; 'official': the authors'."""
    width_g: int = Field(default=64, ge=4)
    width_d: int = Field(default=64, gt=0)
    layers: int = Field(default=5, ge=2)
    """Strided convolutions of both networks; small pictures need fewer."""
    shortcut: int | None = Field(default=None, ge=0)
    """Encoder maps that reach the decoder through an STU, at most layers - 1; None: the variant's, 3 or 4."""
    thres_int: float = 0.5
    """Half of the largest difference in training."""
    test_int: float = 1.0
    """Difference of a changed attribute at test time; the official paper's accuracies need 1.5."""
    lambda_adv: float = 1.0
    lambda_cls_d: float = 1.0
    lambda_cls_g: float = 10.0
    lambda_rec: float = 100.0
    lambda_gp: float = 10.0
    n_critic: int = Field(default=5, gt=0)
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Literal['step_at_80', 'step_at_half', 'linear_last_40'] = 'step_at_80'
    label_rule: LabelRule = 'attgan_tf'
    """Which conflicts an edit resolves: at test time, and in training with data.targets='single'."""


class STGAN(nn.Module):
    """Attribute editing without a mask: the whole frame is the generator's.

    G sees `inside` channels and makes `outside`, which D judges: of pictures 3, of other things for a system built on this one.
    """

    id: ClassVar[str] = 'stgan'
    kind: ClassVar[str] = 'attributes'
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = ('G', 'D')     # D reads the attributes of a picture that has no labels

    def __init__(self, config: Config, data: DataSpec, inside: int = 3, outside: int = 3) -> None:
        super().__init__()
        c, k = config, len(data.attributes)
        self.config, self.data, self.official = config, data, config.variant == 'official'
        shortcut = (4 if self.official else 3) if c.shortcut is None else c.shortcut
        form = partial(Generator, inject=c.layers - 1, stu_norm=False, extra=False, bias=True) if self.official else Generator
        self.nets = nn.ModuleDict({
            'G': form(k, c.width_g, c.layers, shortcut, in_channels=inside, out_channels=outside),
            'D': Discriminator(k, data.size, c.width_d, c.layers, bias=not self.official, slope=0.2, head_slope=0.2,
                               in_channels=outside)})
        self.classification = bce_mean if self.official else bce_sum_over_attributes

    @classmethod
    def tiny(cls) -> STGAN:
        """The smallest legal form."""
        spec = DataSpec(size=16, attributes=('Black_Hair', 'Blond_Hair', 'Eyeglasses'))
        return cls(Config(width_g=4, width_d=4, layers=3, shortcut=2, n_critic=2), spec)

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2))
        d, g = partial(Update, 'D', ('D',), self.discriminator_step), partial(Update, 'G', ('G',), self.generator_step)
        if self.official:                                      # n_critic batches for D, then one of its own for G
            cycle = c.n_critic + 1
            return d(adam, SCHEDULES[c.schedule], cycle, tuple(range(c.n_critic))), g(adam, SCHEDULES[c.schedule], cycle)
        return d(adam, SCHEDULES[c.schedule]), g(adam, SCHEDULES[c.schedule], c.n_critic)

    def intensity(self, batch: AttributeBatch) -> Tensor:
        """How much of every label difference the generator is told in training. [N,K] in [0, 2 thres_int], the same in both steps."""
        a = batch.labels
        u = torch.ones_like(a) if self.official else batch.moment.uniform('intensity', a.shape[1], device=a.device)
        return 2 * self.config.thres_int * u

    def generate(self, x: Tensor, source: Tensor, target: Tensor, intensity: Tensor | float = 1.0) -> Tensor:
        """[N,3,H,W], labels [N,K], intensity [N,K] or one for all -> [N,3,H,W] in [-1,1]."""
        return self.nets['G'](x, (target - source) * intensity).tanh()

    def discriminator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        c, D, x, a, b = self.config, self.nets['D'], batch.image, batch.labels, batch.target
        with torch.no_grad():
            y = self.generate(x, a, b, self.intensity(batch))                          # (1)
        maps = D.features(torch.cat([x, y]))
        src, logits = D.heads(maps[-1])                                                # [2N,1], [2N,K]
        src_real, src_fake = full(src).chunk(2)
        loss_adv = -src_real.mean() + src_fake.mean()                                  # (2)
        loss_cls = self.classification(logits[:len(x)], a)                             # (3)
        alpha = batch.moment.uniform('alpha', 1, 1, 1, device=x.device)
        loss_gp = gradient_penalty(lambda x_hat: D(x_hat)[0], x, y, alpha)             # (4)
        return Step(loss_adv + c.lambda_cls_d * loss_cls + c.lambda_gp * loss_gp,
                    {'adv': loss_adv.detach(), 'cls': loss_cls.detach(), 'gp': loss_gp.detach()},
                    parts={'edit': y, 'maps': maps, 'logits': logits})

    def generator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        c, G, D, x, a, b = self.config, self.nets['G'], self.nets['D'], batch.image, batch.labels, batch.target
        u, z = self.intensity(batch), G.encode(x)
        d = (b - a) * u                                                                # (1)
        y, x_rec = G.decode(z, d).tanh(), G.decode(z, torch.zeros_like(d)).tanh()
        maps = D.features(y)
        src, logits = D.heads(maps[-1])
        loss_adv = -full(src).mean()                                                   # (5)
        loss_cls = self.classification(logits, b)                                      # (6)
        loss_rec = l1_mean(x, x_rec)                                                   # (7)
        return Step(c.lambda_adv * loss_adv + c.lambda_cls_g * loss_cls + c.lambda_rec * loss_rec,
                    {'adv': loss_adv.detach(), 'cls': loss_cls.detach(), 'rec': loss_rec.detach()},
                    {'input': x, 'edit': y.detach()}, parts={'edit': y, 'reconstruction': x_rec, 'maps': maps, 'intensity': u})

    def translate(self, request: AttributeRequest) -> Translation:
        """Edits [N,3,H,W] from source to target labels at intensity `test_int`; no edit mask."""
        return Translation(self.generate(request.image, request.source, request.target, self.config.test_int).float())

    def read(self, image: Tensor) -> Tensor:
        """Attribute probabilities [N,K] of pictures [N,3,H,W], by D's class head."""
        return self.nets['D'](image)[1].float().sigmoid()
