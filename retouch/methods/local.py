"""Local: edits inside a mask, learned from a critic that judges patches together with labels.

Paper:      none, a system of this package. Mask and composition: Tang et al., AGGAN, IJCNN 2019, arXiv:1903.12296. Scores by labels:
            Miyato and Koyama, cGANs with Projection Discriminator, ICLR 2018, arXiv:1802.05637. Wrong pairs: Reed et al., Generative
            Adversarial Text to Image Synthesis, ICML 2016, arXiv:1605.05396. Penalty: Mescheder, Geiger, Nowozin, Which Training
            Methods for GANs do actually Converge?, ICML 2018, arXiv:1801.04406. What the critic sees turned and recoloured: Zhao et al.,
            Differentiable Augmentation, NeurIPS 2020, arXiv:2006.10738. No code taken.
Differs:    [D1] projection: every patch has a score for every attribute, s = h_0 + sum_k (2 b_k - 1) h_k, in the place of one inner product
            with an embedding of the class;
            [D2] wrong pairs weigh `lambda_wrong`, and rows whose target is what they show have none;
            [D3] R1 is of the sum over scales of mean scores, on every `r1_every`-th iteration with so many times the weight;
            [D4] the mask has no attention loss but (9) and (11), and can be bounded by the picture's own black ground (`bound`);
                 (13) keeps light and hue there, which a critic with `colours` 'relative' cannot judge;
            [D5] each ingredient has a setting that leaves it out: `projection` False, `lambda_wrong` 0, `scales` 'last' or 'local',
            `penalty` 'wgan', (5'), whose weight is gamma / 2, on every `r1_every`-th iteration as (5); `lambda_cls` 0; and, these by
            default, `lambda_area`, `lambda_binary`, `lambda_light`, `visible`, `sharp`, `attended`, `detail`, `noise`, `head_start` 0,
            `skips`, `mirrored` False, `bound`, `augment` 'none', `colours` 'absolute', `upsample` 'deconv';
            [D6] (12) lets a share `attended` of every score lie where the mask is, of real pictures, too, at the place where the edit of
            the same row is, so that a place tells nothing; 0: E is the plain mean;
            [D7] with `mirrored` an edit is made of the picture's mirror image, too, as in the self-ensemble of Lim et al., EDSR, CVPRW
            2017, arXiv:1707.02921, and kept as far as both masks agree on a place, (14). Not in training;
            [D8] with `visible` what changes too little to be seen does not change, (15), so that a picture is not tinted as a whole. A
            setting of edits; given in training it holds there, too.
Shapes:     N batch, K attributes, H W image, j scale, p patch. x, y, r images [N,3,H,W]; a labels, b targets [N,K] in {0,1}; z noise
            [N,Z,H/8,W/8]; m mask [N,1,H,W]; c the bound [N,1,H,W] in {0,1}; s_j [N,h,w]. E: (12), with `attended` 0 the mean over N and p.
            k = 1; in training SHARP in a share `sharp` of rows, the same ones in both steps and in (8).
            phi(t) = log(1 + e^t); t with penalty 'wgan'. T: random turns and colours, or nothing. '^' is a mix of x and y, one a row.
            clip t: t, but no more than SPOT either way, so that a spot may be of any colour and need not be made up for elsewhere.
            R: mirrored left to right; P: the mean over a window of a fifth of the width.

  (10) y = m r + (1 - m) x,  m = c sigmoid(k (G(x, b, z)_0 + mask_bias)),  r = G(x, b, z)_{1:3}
  (15) y := x + g (y - x),  m := g m,  g = min(1, max(0, u / v - 1)),  u = mean over 3x3 px of max_rgb |y - x|,  v = visible > 0
  (12) E t = mean_n sum_p (w m_p / sum_p m_p + (1 - w) / |p|) t_p,  m_p mean of m over patch p, no gradient,  w = attended
  (14) y = x + q (y_1 - x),  m = q m_1,  q = min(P m_1, P R m_2) / max(P m_1, P R m_2)
       with y_1, m_1 of x, z and m_2 of R x, R z by (10) and (15)

Critic step (every iteration)                                    Generator step (every n_critic-th, same batch)
  (1) L_real  = sum_j E phi(-s_j(T x, a))                          (6) L_adv = sum_j E phi(-s_j(T y, b))
  (2) L_fake  = sum_j E phi(s_j(T y, b))                           (7) L_cls^G = as (4), of T y and b
  (3) L_wrong = sum_j E [a != b] phi(s_j(T x, b))                  (8) L_rec = mean |x - G(y, a)|; or |x - G(x, a)|
  (4) L_cls   = sum_k BCE(cls(T x), a), mean over N; or CE         (9) L_area = mean m;  (11) L_bin = mean m (1 - m)
  (5) L_pen   = mean_n |d sum_j mean_p s_j(T x, a) / d T x|_2^2    (13) L_light = mean_{n,rgb} |sum_hw c clip(y - x) / sum_hw c|
  (5') L_pen  = mean_n (|d sum_j mean_p s_j(^, a) / d ^|_2 - 1)^2
  L_D = (1) + (2) + lambda_wrong (3) + lambda_cls (4)              L_G = lambda_adv (6) + lambda_cls (7) + lambda_rec (8)
        + gamma / 2 (5)                                                  + lambda_area (9) + lambda_binary (11) + lambda_light (13)
"""
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import AttributeBatch, DataSpec, Moment, keyed_generator
from retouch.data.labels import LabelRule
from retouch.engine import schedules
from retouch.engine.update import Adam, AttributeRequest, Keep, Step, Translation, Update, with_graph
from retouch.guidance.mask import composite, mask_logs
from retouch.losses import bce_sum_over_attributes, cross_entropy_of_one_hot, full, gradient_penalty, l1_mean, r1_penalty
from retouch.networks.local import Critic, Generator, Scales, Upsample

SHARP = 6.0                                                      # a logit of 0.5 becomes a mask of 0.95
SPOT = 0.12                                                      # 15 of 255 levels
BLACK = 16 / 255                                                 # what is darker in all three colours is ground


class Config(BaseConfig):
    """Defaults are StarGAN's networks at their published width with this file's losses alone; what was found to help more is in recipes."""

    id: Literal['local'] = 'local'
    labels: Literal['multi', 'single'] = 'multi'
    """'multi': binary attributes, BCE; 'single': one-hot classes, softmax CE."""
    condition: Literal['target', 'difference'] = 'difference'
    """What the generator is told: the target labels, or target - source in {-1,0,1}."""
    reconstruct: Literal['cycle', 'self'] = 'cycle'
    """What (8) compares x with: y brought back, or x told the attributes it has."""
    bound: Literal['none', 'black'] = 'none'
    """Where the mask may be: anywhere, or where the picture is not black, for pictures cut out on a plain black ground."""
    augment: Literal['none', 'turned'] = 'none'
    """How the critic sees pictures: as they are, or turned, mirrored and recoloured by chance; for things without an upright."""
    colours: Literal['absolute', 'relative'] = 'absolute'
    """'relative': the critic sees every picture divided by its own mean colour, where `bound` lets it change, so that light and camera,
    which differ from class to class, are no reason to repaint all of it."""
    upsample: Upsample = 'deconv'
    noise: int = Field(default=0, ge=0)
    """Channels of noise the generator is given; an edit at test time is always given the same."""
    mask_bias: float = 0.0
    """Added to the mask's logit: 0 starts at half area, negative values start smaller."""
    width_g: int = Field(default=64, gt=0)
    blocks: int = Field(default=6, ge=0)
    levels: int = Field(default=2, ge=1, le=5)
    """Strided convolutions of the generator: 2 at 64 px, 3 at 128 px see the same share of a picture."""
    skips: bool = False
    """Whether maps on the generator's way up have those of the way down added."""
    detail: int = Field(default=0, ge=0)
    """Residual blocks at every size on the generator's way up but the picture's own."""
    width_d: int = Field(default=64, gt=0)
    most_d: int = Field(default=2048, gt=0)
    """No convolution of the critic has more channels."""
    scales: Scales = 'both'
    attended: float = Field(default=0.0, ge=0, le=1)
    """Share w of a picture's score that is averaged over the patches of its mask, every picture alike, however small its mask: (12)."""
    projection: bool = True
    penalty: Literal['r1', 'wgan'] = 'r1'
    """'r1': softplus losses, gradient on real pictures towards 0; 'wgan': linear losses, gradient between real and fake towards 1."""
    gamma: float = Field(default=2.0, ge=0)
    r1_every: int = Field(default=4, gt=0)
    lambda_wrong: float = Field(default=0.5, ge=0)
    lambda_adv: float = 1.0
    lambda_cls: float = 1.0
    lambda_rec: float = 10.0
    lambda_area: float = 0.0
    lambda_binary: float = 0.0
    lambda_light: float = Field(default=0.0, ge=0)
    """Price of a picture of another light or hue where the mask may be, for `colours` 'relative', where the critic cannot tell."""
    mirrored: bool = False
    """Whether an edit is kept as far as the mask of the mirror image agrees: (14). Twice the work of an edit, none in training."""
    visible: float = Field(default=0.0, ge=0, lt=1)
    """Mean change over 3x3 px, in [-1,1], up to which a pixel stays as it is; from twice that on it changes whole: (15). 0.08 are 10 of
    255 levels; 0: every change is kept."""
    sharp: float = Field(default=0.0, ge=0, le=1)
    """Share of rows composed by a mask close to 0 or 1 in training: what they show inside must do without the picture behind it."""
    n_critic: int = Field(default=2, gt=0)
    head_start: int = Field(default=0, ge=0)
    """Iterations in which the critic learns alone, labels from wrong labels, before the generator starts."""
    lr: float = 4e-4
    rate_g: float = Field(default=1.0, gt=0)
    """The generator's learning rate as a share of `lr`."""
    beta1: float = 0.5
    beta2: float = 0.99
    label_rule: LabelRule = 'attgan_tf'
    """Which conflicts an edit resolves: at test time, and in training with data.targets='single'."""

    @model_validator(mode='after')
    def _pairs_need_labels(self) -> Self:
        if self.lambda_wrong and not self.projection:
            raise ValueError(f'lambda_wrong={self.lambda_wrong:g} with projection=False: a critic that sees no labels knows no wrong ones; '
                             'set --method.lambda-wrong 0')
        return self


def turned(x: Tensor, draws: Tensor) -> Tensor:
    """Square pictures [N,3,S,S] on a black ground, turned, mirrored, recoloured, softened, shifted by draws [N,9] in [0,1); black stays.

    Masks [N,1,S,S] in [0,1] are turned, mirrored and shifted alike, and keep their values.

    One of the eight symmetries of the square; light times 0.75 to 1.25, red times 0.9 to 1.1 of it and green as far the other way,
    saturation 0.75 to 1.25; from as it is to a mean over 3x3 px; up to an eighth of the side up or down and left or right, black behind.
    """
    symmetric, light = draws[:, :3, None, None, None].to(x.device) < 0.5, draws[:, 3:7, None, None, None].to(x.device)
    x = torch.where(symmetric[:, 0], x.transpose(2, 3), x)
    x = torch.where(symmetric[:, 1], x.flip(2), x)
    x = torch.where(symmetric[:, 2], x.flip(3), x)
    if x.shape[1] == 1:
        return shifted(x, draws)
    x = x + 1
    tint = torch.cat([light[:, 1], 1 - light[:, 1], torch.full_like(light[:, 1], 0.5)], 1)       # [N,3,1,1]: red against green
    x = x * (0.75 + 0.5 * light[:, 0]) * (0.9 + 0.2 * tint)
    x = torch.lerp(x.mean(1, keepdim=True), x, 0.75 + 0.5 * light[:, 2])
    x = torch.lerp(x, F.avg_pool2d(x, 3, 1, 1), light[:, 3])
    return shifted(x, draws) - 1


def shifted(x: Tensor, draws: Tensor) -> Tensor:
    """[N,C,S,S], shifted by the last two of draws [N,9], 0 behind."""
    reach = x.shape[-1] // 8
    top, left = (draws[:, 7:] * (2 * reach + 1)).long().T.tolist()
    padded = F.pad(x, [reach] * 4)
    return torch.stack([v[:, i:i + x.shape[-1], j:j + x.shape[-1]] for v, i, j in zip(padded, top, left, strict=True)])


def relative(x: Tensor, bound: Tensor | float) -> Tensor:
    """What is unlike the rest of its picture: [N,3,H,W] in [-1,1] -> [N,3,H,W], the picture's mean colour -0.3, ground black.

    Each colour is divided by its mean where `bound` [N,1,H,W] is 1; then differences of light are halved, those of colour times 2.5.
    """
    light = x + 1
    inside = torch.ones_like(x[:, :1]) * bound
    mean = (light * inside).sum((2, 3), keepdim=True) / inside.sum((2, 3), keepdim=True).clamp(min=1)
    balanced = light / mean.clamp(min=0.1)
    grey = balanced.mean(1, keepdim=True)
    return 0.7 * inside * (1 + 0.5 * (grey - 1) + 2.5 * (balanced - grey)) - 1


def seen_changes(x: Tensor, y: Tensor, mask: Tensor, visible: float) -> tuple[Tensor, Tensor]:
    """Equation (15): pictures and edits [N,3,H,W], masks [N,1,H,W] -> edits and masks without what changes by `visible` or less."""
    red, green, blue = (y - x).abs().split(1, 1)                 # on a CPU the gradient of amax is slow
    u = F.avg_pool2d(torch.maximum(red, torch.maximum(green, blue)), 3, 1, 1, count_include_pad=False)
    g = (u / visible - 1).clamp(0, 1)
    return x + g * (y - x), g * mask                                                   # (15)


class Local(nn.Module):
    """Attribute editing inside a mask, against a critic of labelled patches."""

    id: ClassVar[str] = 'local'
    kind: ClassVar[str] = 'attributes'
    Config: ClassVar[type[Config]] = Config
    compiles: ClassVar[tuple[str, ...]] = ('G',)
    inference_nets: ClassVar[tuple[str, ...]] = ('G', 'D')     # D reads the attributes of a picture that has no labels

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        self.config, self.data = config, data
        c, k = config, len(data.attributes)
        self.nets = nn.ModuleDict({'G': Generator(k, c.width_g, c.blocks, c.upsample, c.noise, c.levels, c.skips, c.detail),
                                   'D': Critic(k, data.window or data.size, c.width_d, c.scales, c.projection, c.most_d)})
        self.classification = {'multi': bce_sum_over_attributes, 'single': cross_entropy_of_one_hot}[c.labels]
        self.phi: Callable[[Tensor], Tensor] = {'r1': F.softplus, 'wgan': nn.Identity()}[c.penalty]

    @classmethod
    def tiny(cls, **changes: Any) -> Local:
        """The smallest legal form, with settings changed."""
        small = {'width_g': 4, 'width_d': 4, 'blocks': 1, 'upsample': 'resize', 'noise': 1, 'bound': 'black', 'augment': 'turned',
                 'colours': 'relative', 'lambda_area': 0.05, 'lambda_binary': 0.05}
        return cls(Config(**{**small, **changes}),
                   DataSpec(size=16, attributes=('Black_Hair', 'Blond_Hair', 'Eyeglasses')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam = partial(Adam, betas=(c.beta1, c.beta2))
        return (Update('D', ('D',), self.critic_step, partial(adam, lr=c.lr), schedules.linear_last_40, ahead=('G',)),
                Update('G', ('G',), self.generator_step, partial(adam, lr=c.rate_g * c.lr), schedules.linear_last_40, every=c.n_critic,
                       first=c.head_start))

    def bound(self, x: Tensor) -> Tensor | float:
        """[N,3,H,W] -> where the mask may be, [N,1,H,W] in {0,1}, or 1."""
        return (x.amax(1, keepdim=True) > 2 * BLACK - 1).float() if self.config.bound == 'black' else 1.0

    @property
    def bound_level(self) -> float | None:
        """The same of a picture at its own size, for the editor: where the largest of three 8-bit levels is above this; None: anywhere."""
        return 255 * BLACK if self.config.bound == 'black' else None

    def generate(self, x: Tensor, source: Tensor, target: Tensor, noise: Tensor | None, bound: Tensor | float,
                 slope: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
        """[N,3,H,W], labels [N,K], noise [N,Z,H/8,W/8], slope [N,1,1,1] -> edit [N,3,H,W] and mask [N,1,H,W] in float32."""
        out = full(self.nets['G'](x, target if self.config.condition == 'target' else target - source, noise))
        mask = bound * (slope * (out[:, :1] + self.config.mask_bias)).sigmoid()
        edit = composite(out[:, 1:].tanh(), x, mask)                                   # (10)
        return seen_changes(x, edit, mask, self.config.visible) if self.config.visible else (edit, mask)

    def generate_mirrored(self, x: Tensor, source: Tensor, target: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """Equation (14): as `generate`, of both views in one batch."""
        views = torch.cat([x, x.flip(3)])
        edits, masks = self.generate(views, source.repeat(2, 1), target.repeat(2, 1),
                                     None if noise is None else torch.cat([noise, noise.flip(3)]), self.bound(views))
        (y, _), (m, mirrored) = (v.unflatten(0, (2, x.shape[0])) for v in (edits, masks))
        reach = x.shape[3] // 10
        here, there = (F.avg_pool2d(v, 2 * reach + 1, 1, reach, count_include_pad=False) for v in (m, mirrored.flip(3)))
        agreed = torch.minimum(here, there) / torch.maximum(here, there).clamp(min=1e-6)
        return x + agreed * (y - x), agreed * m                                        # (14)

    def noise(self, x: Tensor, moment: Moment, name: str) -> Tensor:
        """Noise [N,Z,H/8,W/8] for pictures in training."""
        return moment.normal(name, self.config.noise, x.shape[2] // 8, x.shape[3] // 8, device=x.device)

    def slope(self, x: Tensor, moment: Moment) -> Tensor | float:
        """k of (10) in training, [N,1,1,1]: SHARP in a share of the rows, the same ones in both steps."""
        share = self.config.sharp
        return 1 + (SHARP - 1) * (moment.uniform('sharp', 1, 1, 1, device=x.device) < share).float() if share else 1.0

    def seen(self, x: Tensor, bound: Tensor | float, moment: Moment, name: str) -> Tensor:
        """Pictures as the critic sees them in training, T."""
        x = relative(x, bound) if self.config.colours == 'relative' else x
        return turned(x, moment.uniform(name, 9)) if self.config.augment == 'turned' else x

    def seen_mask(self, mask: Tensor, moment: Moment, name: str) -> Tensor:
        """Masks [N,1,H,W] where the critic sees them in training, for (12)."""
        return turned(mask, moment.uniform(name, 9)) if self.config.attended and self.config.augment == 'turned' else mask

    def over_patches(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Equation (12): scores [N,h,w] and masks as seen [N,1,H,W] -> mean [], a share of it where the mask is."""
        if not self.config.attended:
            return scores.mean()
        there = F.adaptive_avg_pool2d(mask.detach(), scores.shape[1:])[:, 0].to(scores) + 1e-6
        there = there / there.mean((1, 2), keepdim=True)
        return torch.lerp(scores, there * scores, self.config.attended).mean()         # (12)

    def critic_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        c, D, x, a, b, moment = self.config, self.nets['D'], batch.image, batch.labels, batch.target, batch.moment
        bound = self.bound(x)
        y, mask = self.generate(x, a, b, self.noise(x, moment, 'noise'), bound, self.slope(x, moment))     # their graph is for (6) to (11)
        x_seen, y_seen = self.seen(x, bound, moment, 'seen_x'), self.seen(y.detach(), bound, moment, 'seen_y')
        maps = D.features(torch.cat([x_seen, y_seen]))
        real, fake = [m[:len(x)] for m in maps], [m[len(x):] for m in maps]
        wrong = (a != b).any(1).float()[:, None, None]                                 # [N,1,1]
        over_x, over_y = (partial(self.over_patches, mask=self.seen_mask(mask, moment, name)) for name in ('seen_x', 'seen_y'))
        loss_real = sum(over_x(self.phi(-s)) for s in D.scores(real, a))               # (1)
        loss_fake = sum(over_y(self.phi(s)) for s in D.scores(fake, b))                # (2)
        loss_wrong = sum(over_x(wrong * self.phi(s)) for s in D.scores(real, b))       # (3)
        loss_cls = self.classification(D.logits(real), a)                              # (4)
        due = moment.iteration % c.r1_every == 0 and c.gamma > 0
        loss_pen = c.r1_every * self.penalty(x_seen, y_seen, a, moment) if due else torch.zeros_like(loss_cls)     # (5)
        loss = loss_real + loss_fake + c.lambda_wrong * loss_wrong + c.lambda_cls * loss_cls + c.gamma / 2 * loss_pen
        return Step(loss, {'real': loss_real.detach(), 'fake': loss_fake.detach(), 'wrong': loss_wrong.detach(),
                           'cls': loss_cls.detach(), 'pen': loss_pen.detach()}, keep=with_graph(edit=y, mask=mask))

    def penalty(self, x: Tensor, y: Tensor, a: Tensor, moment: Moment) -> Tensor:
        """Equation (5) in float32 on pictures x [N,3,H,W] with labels a [N,K], or (5') between x and y."""
        score = partial(self.nets['D'].mean_score, labels=a)                           # [N]
        if self.config.penalty == 'wgan':
            return gradient_penalty(score, x, y, moment.uniform('alpha', 1, 1, 1, device=x.device))
        return r1_penalty(score, x)

    def generator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        c, D, x, a, b, moment = self.config, self.nets['D'], batch.image, batch.labels, batch.target, batch.moment
        bound, k = self.bound(x), self.slope(x, moment)
        y, mask = ((kept['edit'], kept['mask']) if 'edit' in kept else
                   self.generate(x, a, b, self.noise(x, moment, 'noise'), bound, k))
        maps = D.features(self.seen(y, bound, moment, 'seen_g'))
        over_y = partial(self.over_patches, mask=self.seen_mask(mask, moment, 'seen_g'))
        loss_adv = sum(over_y(self.phi(-s)) for s in D.scores(maps, b))                # (6)
        loss_cls = self.classification(D.logits(maps), b)                              # (7)
        loss_rec = torch.zeros_like(loss_cls)
        if c.lambda_rec:
            back = (y, b, a) if c.reconstruct == 'cycle' else (x, a, a)
            loss_rec = l1_mean(x, self.generate(*back, self.noise(x, moment, 'noise_back'), bound, k)[0])   # (8)
        loss_area = mask.mean()                                                        # (9)
        loss_bin = (mask * (1 - mask)).mean()                                          # (11)
        loss_light = torch.zeros_like(loss_cls)
        if c.lambda_light:
            inside = torch.ones_like(mask) * bound
            shift = (inside * (y - x).clamp(-SPOT, SPOT)).sum((2, 3)) / inside.sum((2, 3)).clamp(min=1)
            loss_light = shift.abs().mean()                                            # (13)
        loss = c.lambda_adv * loss_adv + c.lambda_cls * loss_cls + c.lambda_rec * loss_rec
        loss = loss + c.lambda_area * loss_area + c.lambda_binary * loss_bin + c.lambda_light * loss_light
        return Step(loss, {'adv': loss_adv.detach(), 'cls': loss_cls.detach(), 'rec': loss_rec.detach(), 'light': loss_light.detach(),
                           **mask_logs(mask)},
                    {'input': x, 'mask': mask.detach(), 'edit': y.detach()})

    def translate(self, request: AttributeRequest) -> Translation:
        """Edits [N,3,H,W] from source to target labels inside the generator's mask."""
        x = request.image
        noise = None
        if self.config.noise:
            noise = self.draw(x.shape[2] // 8, x.shape[3] // 8) if request.noise is None else request.noise['noise']
            noise = noise.to(x).expand(x.shape[0], -1, -1, -1)
        image, mask = (self.generate_mirrored(x, request.source, request.target, noise) if self.config.mirrored else
                       self.generate(x, request.source, request.target, noise, self.bound(x)))
        return Translation(image.clamp(-1, 1), mask)

    def draw(self, height: int, width: int) -> Tensor:
        """The noise [1,Z,height,width] of every edit, N(0,1)."""
        return torch.randn(1, self.config.noise, height, width, generator=keyed_generator('local', 'noise'))

    def fixed_noise(self) -> dict[str, Tensor]:
        """The same at the model's size, by name; nothing where the generator is given none."""
        return {'noise': self.draw(self.data.size // 8, self.data.size // 8)} if self.config.noise else {}

    def read(self, image: Tensor) -> Tensor:
        """Attribute probabilities [N,K] of pictures [N,3,H,W], by D's class head."""
        seen = relative(image, self.bound(image)) if self.config.colours == 'relative' else image
        logits = self.nets['D'].logits(self.nets['D'].features(seen)).float()
        return logits.sigmoid() if self.config.labels == 'multi' else logits.softmax(1)
