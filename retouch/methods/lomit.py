"""LOMIT: gives a picture's foreground the style of an exemplar's; co-segmentation of the two says what is foreground in either.

Paper:      Anonymous. Local Image-to-Image Translation via Pixel-wise Highway Adaptive Instance Normalization. Submitted to ICLR 2019; a
            later text is arXiv:1906.03598 (What and Where to Translate), whose settings are not these.
Reference:  AnonymousIclrAuthor/Highway-Adaptive-Instance-Normalization @ 82bb58c (no licence file): read for layers, losses and schedule;
            no code taken.
Differs:    [D1] heads of foreground and background have weights of their own, as the paper says: the code builds both of the same layers
            (`share_style_branches`);
            [D2] the deviation in (3) is over all cells: the code's, over rows of that over columns, is several times smaller (`adain_std`);
            [D3] (14) reaches the mask network alone, as the paper wants: in the code it reaches the encoders too
            (`r1_detach_mask_input`, which costs a second pass of the mask network);
            [D4] (14) is a mean and (16) too, as in the code: their sums, as printed, are a million and a thousand times larger;
            [D5] instance norm keeps no running statistics: eval mode is training mode. Batch norm of the mask network keeps them, and
            translate uses them: the code never calls eval(), so that there a mask depends on its batch mates;
            [D6] no generator graph is built in the D step, and each picture is encoded once in a step, where the code encodes it twice;
            [D7] a batch is two draws from two independent orders of the set: the code's are consecutive batches of one;
            [D8] D has fewer strided convolutions below 128 px: the code cannot be built for less;
            [D9] the code's total variation of masks, of weight 0, is not here.
Shapes:     N batch, K attributes, H W image, h w = H/4 W/4. x_a input, x_b exemplar [N,3,H,W] in [-1,1]; l_a, l_b labels [N,K] in {0,1};
            c content [N,C,h,w]; m mask [N,1,h,w] in [0,1], 1 = foreground; f, b style codes of foreground and background [N,S]; up: to
            H W, bilinear. D: src a map of scores, cls logits [N,K]. Every line stands for its twin with a and b exchanged too.

  (1) c_a = E_c(x_a),  m_a = A(c_a, c_b)                     (2) f_a = E_f(up(m_a) x_a),  b_a = E_b((1 - up(m_a)) x_a)
  (3) x_ab = G(H(c_a, m_a, f_b, b_a)),  H: guidance.highway_adain
  (4) x_aba: (1) to (3) of the pair x_ab, x_ba               (5) x_aa = G(H(c_a, A(c_a, c_a), f_a, b_a))

Discriminator step (every iteration)                         Generator step (the first of n_critic iterations)
  (6) L_adv^D = -E[src(x_a)] + E[src(x_ab)]                    (9) L_adv^G = -E[src(x_ab)]
  (7) L_cls^D = sum over K of BCE(cls(x_a), l_a)               (10) L_cls^G = sum over K of BCE(cls(x_ab), l_b)
  (8) L_gp    = E[(|d src(x^) / d x^|_2 - 1)^2]                (11) L_x = mean |x_aba - x_a|    (12) L_aa = mean |x_aa - x_a|
                                                               (13) L_code = mean |f_ab - f_b|, |b_ab - b_a|, |c_ab - c_a|
                                                               (14) R_1 = mean over i, j of cos(c_i, c_j) |m_i - m_j|, of m_a, m_ab, m_aa
                                                               (15) R_2 = -mean |f_a - f_b|     (16) R_3 = mean m_a + m_ab + m_aa
  L_D = (6) + lambda_cls (7) + lambda_gp (8)                   L_G = (9) + lambda_cls (10) + lambda_x ((11) + (12)) + lambda_code (13)
                                                                     + lambda_r1 (14) + lambda_r2 (15) + lambda_r3 (16)
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import DataSpec, ExemplarBatch
from retouch.engine import schedules
from retouch.engine.update import Adam, ExemplarRequest, Keep, Step, Translation, Update
from retouch.guidance.cosegmentation import CoSegmentation, similarity_penalty_mean
from retouch.guidance.highway_adain import HighwayAdaIN, Param, Std
from retouch.guidance.mask import check_mask, mask_logs
from retouch.losses import bce_sum_over_attributes, full, gradient_penalty_of, l1_mean
from retouch.networks.lomit import ContentEncoder, Decoder, Discriminator, StyleEncoder, init_discriminator, init_generator

SCHEDULES = {'halved_in_second_half': schedules.halved_in_second_half, 'linear_last_40': schedules.linear_last_40}
GENERATOR = ('E_c', 'E_s', 'A', 'H', 'G')


class Config(BaseConfig):
    """Defaults are the paper's (CelebA, 128 px)."""

    id: Literal['lomit'] = 'lomit'
    share_style_branches: bool = False
    """One head of the style encoder for foreground and background, as in the code."""
    mask_resolution: Literal['feature', 'image'] = 'feature'
    """Where a mask is made: at the content's size and then enlarged, or at the picture's (logits enlarged) and then averaged for (3)."""
    adain_param: Param = 'exp'
    """The style networks give log-variances, as in the code, or the scales themselves."""
    adain_std: Std = 'spatial'
    """'nested' is the code's; weights trained with it need it."""
    r1_detach_mask_input: bool = True
    """Whether (14) stops at the mask network; otherwise it reaches, through the mask, all that made its input, as in the code."""
    r1_rows: int | None = Field(default=512, gt=0)
    """So many rows of the matrices of (14) at once, 4 MiB an image at 32x32 cells; None: all."""
    clamp_similarity: bool = False
    """Whether a negative similarity counts as 0 in (14); it rewards a difference of masks."""
    r3_reduction: Literal['mean', 'sum'] = 'mean'
    """(16) over the cells of a mask; always a mean over N."""
    width_g: int = Field(default=64, gt=0)
    blocks: int = Field(default=4, ge=0)
    """Residual blocks of the content encoder, and of the decoder."""
    style_dim: int = Field(default=8, gt=0)
    hidden: int = Field(default=256, gt=0)
    """Width of the networks that turn style codes into scales and offsets."""
    width_d: int = Field(default=64, gt=0)
    lambda_cls: float = 1.0
    lambda_gp: float = 10.0
    lambda_x: float = 10.0
    """Weight of both reconstructions of pictures."""
    lambda_code: float = 1.0
    """Weight of the reconstructions of content and both styles."""
    lambda_r1: float = 0.1
    lambda_r2: float = 0.01
    """(15) has no lower bound: watch `r2` in the log; the code's released setting is 0."""
    lambda_r3: float = 1e-4
    n_critic: int = Field(default=5, gt=0)
    """D learns in every iteration, the generator in the first of so many."""
    lr: float = 1e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Literal['halved_in_second_half', 'linear_last_40'] = 'halved_in_second_half'


@dataclass(frozen=True, slots=True)
class Codes:
    """A picture taken apart."""

    content: Tensor              # [N,C,h,w]
    mask: Tensor                 # [N,1,h,w] at the content's size
    whole: Tensor                # [N,1,H,W] the mask at the picture's
    foreground: Tensor           # [N,S]
    background: Tensor           # [N,S]


class LOMIT(nn.Module):
    """Translation by exemplar inside a mask that the pair of pictures decides on."""

    id: ClassVar[str] = 'lomit'
    kind: ClassVar[str] = 'exemplars'
    takes_exemplar: ClassVar[bool] = True
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = GENERATOR

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        if data.size % 4 or data.size < 16:
            raise ValueError(f'size={data.size}: the content is a quarter of it and the style encoder halves it four times, expected a '
                             f'multiple of 4 from 16 on; set --data.size {max(16, data.size // 4 * 4)}')
        self.config, self.data = config, data
        c = config
        channels = 4 * c.width_g
        nets = {'E_c': ContentEncoder(c.width_g, c.blocks), 'E_s': StyleEncoder(c.width_g, c.style_dim, c.share_style_branches),
                'A': CoSegmentation(channels), 'H': HighwayAdaIN(channels, c.style_dim, c.hidden, c.adain_std, c.adain_param),
                'G': Decoder(channels, c.blocks)}
        D = Discriminator(len(data.attributes), data.size, c.width_d)
        self.nets = nn.ModuleDict({**{name: init_generator(net) for name, net in nets.items()}, 'D': init_discriminator(D)})

    @classmethod
    def tiny(cls) -> LOMIT:
        """The smallest legal form."""
        spec = DataSpec(size=16, attributes=('Black_Hair', 'Blond_Hair', 'Eyeglasses'))
        return cls(Config(width_g=4, blocks=1, style_dim=2, hidden=8, width_d=4, n_critic=2), spec)

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam, schedule = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2)), SCHEDULES[c.schedule]
        return (Update('D', ('D',), self.discriminator_step, adam, schedule),
                Update('G', GENERATOR, self.generator_step, adam, schedule, every=c.n_critic, at=(0,)))

    def encode(self, x_a: Tensor, x_b: Tensor) -> tuple[Tensor, Tensor]:
        """Contents [N,C,h,w] of two batches [N,3,H,W], in one call: no norm of the encoder crosses samples."""
        n, c = x_a.shape[0], full(self.nets['E_c'](torch.cat([x_a, x_b])))                 # slices: an exported graph takes any N
        return c[:n], c[n:]

    def segment(self, content: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """The mask of a content for which another one asks, at the content's size and at the picture's; a call of its own: batch norm."""
        if self.config.mask_resolution == 'image':
            whole = self.nets['A'](content, other, self.data.size)
            return F.avg_pool2d(whole, 4), whole
        mask = self.nets['A'](content, other)
        return mask, F.interpolate(mask, scale_factor=4, mode='bilinear', align_corners=False)

    def mask_of(self, content: Tensor, other: Tensor, painted: Tensor | None) -> tuple[Tensor, Tensor]:
        """The painted mask [N,1,H,W] at the content's size and at the picture's; without one, and for rows of -1, the network's own.

        An exported graph has the painted mask among its inputs, whether something was painted or not.
        """
        m, whole = self.segment(content, other)
        if painted is None:
            return m, whole
        given = painted.amin((2, 3), keepdim=True) >= 0
        return torch.where(given, F.avg_pool2d(painted, 4), m), torch.where(given, painted, whole)

    def take_apart(self, x_a: Tensor, x_b: Tensor, painted_a: Tensor | None = None, painted_b: Tensor | None = None) -> tuple[Codes, Codes]:
        """Codes of two batches [N,3,H,W] that segment each other; a painted mask [N,1,H,W] takes the place of the network's."""
        c_a, c_b = self.encode(x_a, x_b)
        (m_a, whole_a), (m_b, whole_b) = self.mask_of(c_a, c_b, painted_a), self.mask_of(c_b, c_a, painted_b)          # (1)
        whole, x = torch.cat([whole_a, whole_b]), torch.cat([x_a, x_b])
        foreground, background = (full(s) for s in self.nets['E_s'](whole * x, (1 - whole) * x))                       # (2)
        n = x_a.shape[0]
        return Codes(c_a, m_a, whole_a, foreground[:n], background[:n]), Codes(c_b, m_b, whole_b, foreground[n:], background[n:])

    def put_together(self, *parts: tuple[Tensor, Tensor, Tensor, Tensor]) -> list[Tensor]:
        """(content, mask, foreground style, background style) of several batches of N -> their pictures [N,3,H,W], in one call."""
        content, mask, foreground, background = (torch.cat(column) for column in zip(*parts, strict=True))
        made, n = full(self.nets['G'](self.nets['H'](content, mask, foreground, background))), parts[0][0].shape[0]
        return [made[i * n:(i + 1) * n] for i in range(len(parts))]

    def exchange(self, a: Codes, b: Codes) -> list[Tensor]:
        """Both pictures [N,3,H,W], each with the other's foreground style."""
        return self.put_together((a.content, a.mask, b.foreground, a.background),                       # (3)
                                 (b.content, b.mask, a.foreground, b.background))

    def discriminator_step(self, batch: ExemplarBatch, kept: Keep) -> Step:
        c, D, n, x = self.config, self.nets['D'], len(batch.image), torch.cat([batch.image, batch.exemplar])
        with torch.no_grad():
            y = torch.cat(self.exchange(*self.take_apart(batch.image, batch.exemplar)))                 # [2N,3,H,W]
        src, logits = D(torch.cat([x, y]))
        src_a, src_b, src_ab, src_ba = full(src).split(n)
        loss_adv = src_ab.mean() - src_a.mean() + src_ba.mean() - src_b.mean()                          # (6)
        cls_a, cls_b, _, _ = logits.split(n)
        loss_cls = bce_sum_over_attributes(cls_a, batch.labels) + bce_sum_over_attributes(cls_b, batch.exemplar_labels)       # (7)
        alpha = torch.cat([batch.moment.uniform(name, 1, 1, 1, device=x.device) for name in ('alpha', 'alpha_back')])
        with torch.autocast(x.device.type, enabled=False):
            x_hat = torch.lerp(full(y), x, alpha.to(x))
            loss_gp = 2 * gradient_penalty_of(D.input_gradient(x_hat))                                  # 2: of means over N, two, (8)
        return Step(loss_adv + c.lambda_cls * loss_cls + c.lambda_gp * loss_gp,
                    {'adv': loss_adv.detach(), 'cls': loss_cls.detach(), 'gp': loss_gp.detach()})

    def generator_step(self, batch: ExemplarBatch, kept: Keep) -> Step:
        c, x_a, x_b = self.config, batch.image, batch.exemplar
        a, b = self.take_apart(x_a, x_b)
        x_ab, x_ba = self.exchange(a, b)
        ab, ba = self.take_apart(x_ab, x_ba)
        x_aba, x_bab = self.exchange(ab, ba)                                                            # (4)
        m_aa, m_bb = self.segment(a.content, a.content)[0], self.segment(b.content, b.content)[0]
        x_aa, x_bb = self.put_together((a.content, m_aa, a.foreground, a.background),                   # (5)
                                       (b.content, m_bb, b.foreground, b.background))
        src, logits = self.nets['D'](torch.cat([x_ab, x_ba]))
        (src_ab, src_ba), (cls_ab, cls_ba) = full(src).chunk(2), logits.chunk(2)
        loss_adv = -src_ab.mean() - src_ba.mean()                                                       # (9)
        loss_cls = bce_sum_over_attributes(cls_ab, batch.exemplar_labels) + bce_sum_over_attributes(cls_ba, batch.labels)     # (10)
        loss_cyc = l1_mean(x_aba, x_a) + l1_mean(x_bab, x_b)                                            # (11)
        loss_aa = l1_mean(x_aa, x_a) + l1_mean(x_bb, x_b)                                               # (12)
        loss_f = l1_mean(ab.foreground, b.foreground) + l1_mean(ba.foreground, a.foreground)
        loss_b = l1_mean(ab.background, a.background) + l1_mean(ba.background, b.background)
        loss_c = l1_mean(ab.content, a.content) + l1_mean(ba.content, b.content)                        # with the two above, (13)
        masks_a, masks_b = [a.mask, ab.mask, m_aa], [b.mask, ba.mask, m_bb]
        r1 = self.similarity_penalty(a.content, b.content, ab.content, ba.content, masks_a, masks_b)
        r2 = -l1_mean(a.foreground, b.foreground)                                                       # (15)
        r3 = torch.stack([m.mean() for m in (*masks_a, *masks_b)]).sum()                                # (16)
        if c.r3_reduction == 'sum':
            r3 = r3 * a.mask[0].numel()
        loss = loss_adv + c.lambda_cls * loss_cls + c.lambda_x * (loss_cyc + loss_aa) + c.lambda_code * (loss_f + loss_b + loss_c)
        loss = loss + c.lambda_r1 * r1 + c.lambda_r2 * r2 + c.lambda_r3 * r3
        logs = {'adv': loss_adv, 'cls': loss_cls, 'cyc': loss_cyc, 'aa': loss_aa, 's_f': loss_f, 's_b': loss_b, 'c': loss_c,
                'r1': r1, 'r2': r2, 'r3': r3}
        return Step(loss, {**{name: value.detach() for name, value in logs.items()}, 'code_spread': -r2.detach(), **mask_logs(a.mask),
                           **{f'{name}_exemplar': value for name, value in mask_logs(b.mask).items()}},
                    {'input': x_a, 'mask': a.whole.detach(), 'exemplar': x_b, 'exemplar_mask': b.whole.detach(), 'edit': x_ab.detach()})

    def similarity_penalty(self, c_a: Tensor, c_b: Tensor, c_ab: Tensor, c_ba: Tensor, masks_a: list[Tensor],
                           masks_b: list[Tensor]) -> Tensor:
        """R_1 of both pictures. Contents [N,C,h,w] of the four; masks [N,1,h,w] of x_a, x_ab, x_aa and of x_b, x_ba, x_bb."""
        c = self.config
        if not c.lambda_r1:
            return c_a.new_zeros(())
        if c.r1_detach_mask_input:
            d_a, d_b, d_ab, d_ba = c_a.detach(), c_b.detach(), c_ab.detach(), c_ba.detach()
            masks_a = [self.segment(d_a, d_b)[0], self.segment(d_ab, d_ba)[0], self.segment(d_a, d_a)[0]]
            masks_b = [self.segment(d_b, d_a)[0], self.segment(d_ba, d_ab)[0], self.segment(d_b, d_b)[0]]
        penalty = partial(similarity_penalty_mean, rows=c.r1_rows, clamp=c.clamp_similarity)
        return penalty(c_a, masks_a) + penalty(c_b, masks_b)                                            # (14)

    def translate(self, request: ExemplarRequest) -> Translation:
        """Gives [N,3,H,W] the foreground style of an exemplar [N,3,H,W].

        A painted mask takes the place of the network's, and the styles are read again: of the picture it decides where the exemplar's
        style goes and what its background is, of the exemplar what the style is taken from. The mask says which style a pixel gets;
        pixels outside are drawn again in their own and are not copied.

        extras: the exemplar's mask [N,1,H,W], and the codes [N,S] the picture was made with, its own background's and the exemplar's
        foreground's.

        Raises:
            ValueError: an exemplar or a mask that does not fit its picture, or a mask outside [0,1].
        """
        x_a, x_b = request.image, request.exemplar
        if x_b.shape != x_a.shape:
            raise ValueError(f'exemplar has shape {tuple(x_b.shape)}: expected {tuple(x_a.shape)}, one for every picture at its size')
        for painted, picture in ((request.mask, x_a), (request.exemplar_mask, x_b)):
            if painted is not None and not 0 <= check_mask(painted, picture).min() <= painted.max() <= 1:
                raise ValueError(f'a mask has values from {painted.min():.3g} to {painted.max():.3g}: expected [0,1], 1 = foreground')
        return self.transfer(x_a, x_b, request.mask, request.exemplar_mask)

    def transfer(self, x_a: Tensor, x_b: Tensor, painted_a: Tensor | None, painted_b: Tensor | None) -> Translation:
        """The same of masks that were checked, or of rows of -1 (see `mask_of`)."""
        a, b = self.take_apart(x_a, x_b, painted_a, painted_b)
        image, = self.put_together((a.content, a.mask, b.foreground, a.background))
        return Translation(image, a.whole, {'exemplar_mask': b.whole, 'foreground': b.foreground, 'background': a.background})
