"""AttGAN: told which attributes the picture shall have, it encodes without them and decodes with them.

Paper:      He, Zuo, Kan, Shan, Chen. AttGAN: Facial Attribute Editing by Only Changing What You Want. IEEE Transactions on Image
            Processing 28 (11), 2019, arXiv:1711.10678.
Reference:  elvisyjlin/AttGAN-PyTorch @ be2d6c6 (MIT) for variant 'pytorch'; constants of 'tf': the authors'
            LynnHo/AttGAN-Tensorflow @ 4b00e6c (MIT, first version): read for layers, reductions and schedule; no code taken.
Differs:    [D1] `variant` 'pytorch' (default) is the baseline of later papers; 'tf' has the authors' slopes and norm constants;
            [D2] `init` 'torch' (default) is what the PyTorch code uses, 'xavier_zero_bias' what the TensorFlow code does;
            [D3] test time: every attribute that changes is at `test_int`; the code scales the edited attribute alone and leaves those
            that a conflict rule switches off with it at `thres_int`: a request says what changes, not why;
            [D4] alpha of (4) weights x where the code weights y: the same distribution;
            [D5] real and fake share one D call (no norm across the batch, so equal) and no generator graph is built in the D step;
            [D6] `condition` 'difference' (l = b - a, at any time) and `schedule` 'exponential_second_half' are options.
Shapes:     N batch, K attributes, H W image. x, y images in [-1,1]; a, b labels [N,K] in {0,1}; l [N,K]; src [N,1].

  (1) l(a, b) = (2b - 1) thres_int, times `intensity` where b is not a: 1 in training, test_int / thres_int after;  y = G(x, l(a, b))

Discriminator step (n_critic iterations of n_critic + 1)         Generator step (the last of them, a batch of its own)
  (2) L_adv^D = -E[src(x)] + E[src(y)]                             (5) L_adv^G = -E[src(y)]
  (3) L_cls^D = BCE(cls(x), a), mean over N and K                  (6) L_cls^G = BCE(cls(y), b), mean over N and K
  (4) L_gp    = E[(|d src(x^) / d x^|_2 - 1)^2]                    (7) L_rec   = mean |x - G(x, l(a, a))|
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
from retouch.losses import bce_mean, full, gradient_penalty, l1_mean
from retouch.networks.attgan import Discriminator, Generator

SCHEDULES = {'step_at_half': schedules.step_at_half, 'exponential_second_half': schedules.exponential_second_half,
             'linear_last_40': schedules.linear_last_40}

CONSTANTS = {                                                  # variant -> of G, of D
    'pytorch': ({'slope': 0.01, 'norm_eps': 1e-5, 'norm_momentum': 0.1}, {'slope': 0.01, 'norm_eps': 1e-5, 'head_slope': 0.0}),
    'tf': ({'slope': 0.2, 'norm_eps': 1e-3, 'norm_momentum': 0.001}, {'slope': 0.2, 'norm_eps': 1e-6, 'head_slope': 0.2}),
}


def xavier_zero_bias(module: nn.Module) -> None:
    """slim's initialisation: Xavier-uniform kernels and matrices, biases 0; norms stay at 1 and 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class Config(BaseConfig):
    """Defaults are elvisyjlin's published command (CelebA, 128 px)."""

    id: Literal['attgan'] = 'attgan'
    variant: Literal['pytorch', 'tf'] = 'pytorch'
    """Slopes and norm constants: of the PyTorch code on which later papers build, or of the authors' TensorFlow code."""
    init: Literal['torch', 'xavier_zero_bias'] = 'torch'
    condition: Literal['target', 'difference'] = 'target'
    """What the decoder is told: (1), or target - source in {-1,0,1}, which no intensity scales."""
    width_g: int = Field(default=64, gt=0)
    width_d: int = Field(default=64, gt=0)
    layers: int = Field(default=5, ge=2)
    """Strided convolutions of both networks; small pictures need fewer."""
    shortcut: int = Field(default=1, ge=0)
    """Encoder maps that reach the decoder, at most layers - 1."""
    inject: int = Field(default=1, ge=0)
    """Decoder levels after the first that get the labels again, at most layers - 1."""
    thres_int: float = Field(default=0.5, gt=0)
    """Size of a label in training: present is +thres_int, absent -thres_int."""
    test_int: float = 1.0
    """Size of the label of an attribute that changes at test time; the others stay at thres_int."""
    lambda_adv: float = 1.0
    lambda_cls_d: float = 1.0
    lambda_cls_g: float = 10.0
    lambda_rec: float = 100.0
    lambda_gp: float = 10.0
    n_critic: int = Field(default=5, gt=0)
    """D learns from this many batches, then G from one of its own."""
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Literal['step_at_half', 'exponential_second_half', 'linear_last_40'] = 'step_at_half'
    label_rule: LabelRule = 'attgan_pytorch'
    """Which conflicts an edit resolves: at test time, and in training with data.targets='single'."""


class AttGAN(nn.Module):
    """Attribute editing without a mask: the whole frame is the generator's.

    G sees `inside` channels and makes `outside`, which D judges: of pictures 3, of other things for a system built on this one.
    """

    id: ClassVar[str] = 'attgan'
    kind: ClassVar[str] = 'attributes'
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = ('G', 'D')     # D reads the attributes of a picture that has no labels

    def __init__(self, config: Config, data: DataSpec, inside: int = 3, outside: int = 3) -> None:
        super().__init__()
        c, k = config, len(data.attributes)
        self.config, self.data = config, data
        of_g, of_d = CONSTANTS[c.variant]
        self.nets = nn.ModuleDict({'G': Generator(k, c.width_g, c.layers, c.shortcut, c.inject, **of_g, in_channels=inside,
                                                  out_channels=outside),
                                   'D': Discriminator(k, data.size, c.width_d, c.layers, **of_d, in_channels=outside)})
        if c.init == 'xavier_zero_bias':
            self.nets.apply(xavier_zero_bias)

    @classmethod
    def tiny(cls) -> AttGAN:
        """The smallest legal form."""
        spec = DataSpec(size=16, attributes=('Black_Hair', 'Blond_Hair', 'Eyeglasses'))
        return cls(Config(width_g=4, width_d=4, layers=3, n_critic=1), spec)

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam, cycle = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2)), c.n_critic + 1
        return (Update('D', ('D',), self.discriminator_step, adam, SCHEDULES[c.schedule], every=cycle, at=tuple(range(c.n_critic))),
                Update('G', ('G',), self.generator_step, adam, SCHEDULES[c.schedule], every=cycle))

    def label(self, source: Tensor, target: Tensor, intensity: Tensor | float = 1.0) -> Tensor:
        """What the decoder is told. labels [N,K], intensity [N,K] or one for all -> [N,K]."""
        if self.config.condition == 'difference':
            return target - source
        return (2 * target - 1) * self.config.thres_int * torch.where(target != source, intensity, 1.0)                # (1)

    def generate(self, x: Tensor, source: Tensor, target: Tensor, intensity: Tensor | float = 1.0) -> Tensor:
        """[N,3,H,W], labels [N,K], intensity [N,K] or one for all -> [N,3,H,W] in [-1,1]."""
        return self.nets['G'](x, self.label(source, target, intensity)).tanh()

    def discriminator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        c, D, x, a, b = self.config, self.nets['D'], batch.image, batch.labels, batch.target
        with torch.no_grad():
            y = self.generate(x, a, b)
        maps = D.features(torch.cat([x, y]))
        src, logits = D.heads(maps[-1])                                                # [2N,1], [2N,K]
        src_real, src_fake = full(src).chunk(2)
        loss_adv = -src_real.mean() + src_fake.mean()                                  # (2)
        loss_cls = bce_mean(logits[:len(x)], a)                                        # (3)
        alpha = batch.moment.uniform('alpha', 1, 1, 1, device=x.device)
        loss_gp = gradient_penalty(lambda x_hat: D(x_hat)[0], x, y, alpha)             # (4)
        return Step(loss_adv + c.lambda_cls_d * loss_cls + c.lambda_gp * loss_gp,
                    {'adv': loss_adv.detach(), 'cls': loss_cls.detach(), 'gp': loss_gp.detach()},
                    parts={'edit': y, 'maps': maps, 'logits': logits})

    def generator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        c, G, D, x, a, b = self.config, self.nets['G'], self.nets['D'], batch.image, batch.labels, batch.target
        z = G.encode(x)
        y, x_rec = G.decode(z, self.label(a, b)).tanh(), G.decode(z, self.label(a, a)).tanh()
        maps = D.features(y)
        src, logits = D.heads(maps[-1])
        loss_adv = -full(src).mean()                                                   # (5)
        loss_cls = bce_mean(logits, b)                                                 # (6)
        loss_rec = l1_mean(x, x_rec)                                                   # (7)
        return Step(c.lambda_adv * loss_adv + c.lambda_cls_g * loss_cls + c.lambda_rec * loss_rec,
                    {'adv': loss_adv.detach(), 'cls': loss_cls.detach(), 'rec': loss_rec.detach()},
                    {'input': x, 'edit': y.detach()}, parts={'edit': y, 'reconstruction': x_rec, 'maps': maps, 'intensity': 1.0})

    def translate(self, request: AttributeRequest) -> Translation:
        """Edits [N,3,H,W] from source to target labels, what changes at `test_int`; no edit mask."""
        c = self.config
        return Translation(self.generate(request.image, request.source, request.target, c.test_int / c.thres_int).float())

    def read(self, image: Tensor) -> Tensor:
        """Attribute probabilities [N,K] of pictures [N,3,H,W], by D's class head."""
        return self.nets['D'](image)[1].float().sigmoid()
