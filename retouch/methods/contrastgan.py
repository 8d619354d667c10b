"""A reading, not a reproduction. ContrastGAN: a given mask cuts the object out, and features must leave where they were.

Paper:      Liang, Zhang, Lin, Xing. Generative Semantic Manipulation with Mask-Contrasting GAN. ECCV 2018, arXiv:1708.00315.
Reference:  none; the networks are those of StarGAN (generator) and CycleGAN (discriminators), as `stargan` and `cyclegan` have them.
Differs:    [D1] known: one conditional generator, one discriminator a category, least squares, the contrasting distance that G lowers
            and D raises, a cycle, a given mask outside which the input stays; everything below is a decision;
            [D2] two categories, the domains; the mask hides the rest of the picture (no crop of its box, no resizing, no refinement);
            [D3] the mask is the union of parts of a face (`parts`) by a frozen parser (`uses_parser`), as AGGAN gave it OpenFace's;
            [D4] features are of D's last map of four times its width, averaged over it, of length 1: without, D would inflate them;
            [D5] the target's feature is the mean over this batch and the 50 real pictures before it; D learns from this batch's;
            [D6] weights: 1 for (6), 10 for (7), 0.1 for the distance in D's step, where 1 would let D attend to nothing else;
            [D7] no pool of earlier fakes; D has fewer layers below 64 px, as in `cyclegan`.
Shapes:     N batch, H W image. x of domain A, y of domain B in [-1,1]; P the frozen parser; m, n masks [N,1,H,W] in {0,1} of x and y;
            c_A, c_B categories [N,2], one of two; D_A, D_B patch scores [N,1,h,w]; f_A, f_B features [N,C] of length 1, by D_A and D_B.

  (1) m = 1 where argmax P(x) is one of `parts`; n of y in the same way
  (2) y' = m G(m x, c_B) + (1 - m) x, x'' = m G(m y', c_A) + (1 - m) y'; x' and y'' of y in the same way
  (3) r_B = mean of f_B(n y) over this batch and the `queue` real pictures before it; r_A of domain A
  (4) Q_B = -log(e^-|f_B(m y') - r_B| / (e^-|f_B(m y') - r_B| + e^-|f_B(m y') - f_B(m x)|)); Q_A of x' in the same way; means over N

Generator step                                                   Discriminator step
  (5) L_gan = E[(D_B(m y') - 1)^2] + E[(D_A(n x') - 1)^2]          (8) L_B = (E[(D_B(n y) - 1)^2] + E[D_B(m y')^2]) / 2
  (6) L_q = Q_B + Q_A                                              (9) L_A = (E[(D_A(m x) - 1)^2] + E[D_A(n x')^2]) / 2
  (7) L_cyc = mean m |x'' - x| + mean n |y'' - y|
  L_G = (5) + lambda_q (6) + lambda_cyc (7)                        L_D = (8) + (9) - lambda_q_d (Q_B + Q_A)
"""
from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import DataSpec, DomainBatch
from retouch.data.parsing import IDS, TWELVE, Ids, logits_to_twelve
from retouch.engine import schedules
from retouch.engine.update import Adam, DomainRequest, Keep, Step, Translation, Update
from retouch.errors import unknown
from retouch.guidance.mask import composite, mask_logs
from retouch.losses import contrasting_distance, full, l1_mean, mse_to_constant
from retouch.networks.cyclegan import PatchDiscriminator, init_normal, layers_at
from retouch.networks.parser import FrozenParser
from retouch.networks.stargan import Generator

SCHEDULES = {'cyclegan_linear': schedules.cyclegan_linear, 'linear_last_40': schedules.linear_last_40}
OTHER = {'A': 'B', 'B': 'A'}


class Config(BaseConfig):
    """Defaults are our decisions, for 256 px."""

    id: Literal['contrastgan'] = 'contrastgan'
    parser: str = ''
    """Run or model directory of the frozen face parser, trained at the pictures' size."""
    parser_width: int = Field(default=16, gt=0)
    parser_classes: Ids = 'twelve'
    parts: Annotated[tuple[str, ...], Field(min_length=1)] = ('skin', 'eyebrows', 'eyes', 'eyeglasses', 'nose', 'mouth', 'lips')
    """Classes whose union is the mask."""
    width_g: int = Field(default=64, gt=0)
    blocks: int = Field(default=6, ge=0)
    width_d: int = Field(default=64, gt=0)
    layers_d: int | None = None
    lambda_q: float = 1.0
    lambda_cyc: float = 10.0
    lambda_q_d: float = 0.1
    queue: int = Field(default=50, gt=0)
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Literal['cyclegan_linear', 'linear_last_40'] = 'cyclegan_linear'

    uses_parser: ClassVar[bool] = True

    @model_validator(mode='after')
    def _parts_exist(self) -> Self:
        for part in self.parts:
            if part not in TWELVE:
                raise unknown('part', part, TWELVE)
        return self


class Features(nn.Module):
    """The features of the last pictures of a domain, [size,C], the oldest replaced first."""

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.register_buffer('stored', torch.zeros(size, channels))
        self.register_buffer('seen', torch.zeros((), dtype=torch.long))
        self.count = 0           # mirror of `seen` on the host

    def mean(self, new: Tensor) -> Tensor:
        """[C], over these new features [N,C] and the stored ones."""
        return torch.cat([new, self.stored[:min(self.count, len(self.stored))].to(new)]).mean(0)                # (3)

    def add(self, new: Tensor) -> None:
        for feature in new.detach():
            self.stored[self.count % len(self.stored)] = feature
            self.count += 1
            self.seen += 1

    def _load_from_state_dict(self, *args: object, **kwargs: object) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.count = int(self.seen)


class ContrastGAN(nn.Module):
    """Unpaired translation inside a mask that a frozen parser gives."""

    id: ClassVar[str] = 'contrastgan'
    kind: ClassVar[str] = 'domains'
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = ('G', 'P')

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        if data.size % 16 or data.size < 32:
            raise ValueError(f'size={data.size}: expected a multiple of 16 from 32 on, for the parser; set --data.size '
                             f'{max(32, data.size // 16 * 16)}')
        self.config, self.data, c = config, data, config
        layers = layers_at(data.size, c.layers_d)
        self.nets = nn.ModuleDict({'G': Generator(2, c.width_g, c.blocks),
                                   **{name: init_normal(PatchDiscriminator(width=c.width_d, layers=layers)) for name in ('D_A', 'D_B')},
                                   'P': FrozenParser(len(IDS[c.parser_classes]), c.parser_width)})
        self.cut = min(8, 3 * layers + 2)                        # layers of D up to its last map of four times the width
        self.real = nn.ModuleDict({d: Features(c.queue, c.width_d * min(4, 2 ** layers)) for d in ('A', 'B')})
        self.register_buffer('categories', torch.tensor([[1.0, 0.0], [0.0, 1.0]]), persistent=False)
        self.register_buffer('class_ids', torch.tensor([TWELVE.index(part) for part in c.parts])[:, None, None], persistent=False)

    @classmethod
    def tiny(cls) -> ContrastGAN:
        """The smallest legal form, with a parser that has learned nothing and says nothing: all of the picture may change."""
        small = Config(parts=TWELVE, parser_width=2, width_g=4, blocks=1, width_d=4, layers_d=1, queue=3)
        return cls(small, DataSpec(size=32, domains=('A', 'B')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam, schedule = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2)), SCHEDULES[c.schedule]
        return (Update('G', ('G',), self.generator_step, adam, schedule),
                Update('D', ('D_A', 'D_B'), self.discriminator_step, adam, schedule))

    def mask_of(self, x: Tensor) -> Tensor:
        """Pictures [N,3,H,W] -> masks [N,1,H,W] in {0,1}, float32."""
        with torch.autocast(x.device.type, enabled=False):
            parse = logits_to_twelve(self.nets['P'](full(x)), IDS[self.config.parser_classes]).argmax(1, keepdim=True)
        return parse.eq(self.class_ids).to(torch.float32).amax(1, keepdim=True)                                 # (1)

    def generate(self, x: Tensor, mask: Tensor, to: str) -> Tensor:
        """What is inside the mask of [N,3,H,W] in the category of domain 'A' or 'B', the rest of x around it."""
        category = self.categories['AB'.index(to)].expand(x.shape[0], -1)
        return composite(full(self.nets['G'](x * mask, category)).tanh(), x, mask)                              # (2)

    def judge(self, x: Tensor, domain: str) -> tuple[Tensor, Tensor]:
        """Masked pictures [N,3,H,W] -> scores [N,1,h,w] and features [N,C] by D of a domain."""
        h = (D := self.nets[f'D_{domain}'].main)[:self.cut](x)
        return D[self.cut:](h), F.normalize(full(h).mean((2, 3)))

    def generator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        c, pictures = self.config, {'A': batch.image_a, 'B': batch.image_b}
        masks = {d: self.mask_of(z) for d, z in pictures.items()}
        fakes, gan, q, cyc = {}, [], [], []
        for d, z in pictures.items():
            to, m = OTHER[d], masks[d]
            fakes[d] = self.generate(z, m, to)
            with torch.no_grad():
                _, left = self.judge(z * m, to)
                _, reals = self.judge(pictures[to] * masks[to], to)
            score, feature = self.judge(fakes[d] * m, to)
            gan.append(mse_to_constant(score, 1.0))                                                             # (5)
            q.append(contrasting_distance(feature, self.real[to].mean(reals), left))                                        # (6)
            cyc.append(l1_mean(m * self.generate(fakes[d], m, d), m * z))                                       # (7)
        loss_gan, loss_q, loss_cyc = sum(gan), sum(q), sum(cyc)
        return Step(loss_gan + c.lambda_q * loss_q + c.lambda_cyc * loss_cyc,
                    {'gan': loss_gan.detach(), 'q': loss_q.detach(), 'cyc': loss_cyc.detach(), **mask_logs(masks['A'])},
                    {'input': pictures['A'], 'mask': masks['A'], 'edit': fakes['A'].detach(), 'input_b': pictures['B'],
                     'edit_b': fakes['B'].detach()},
                    {'cut': {d: z * masks[d] for d, z in pictures.items()}, 'made': {d: (fakes[d] * masks[d]).detach() for d in fakes}})

    def discriminator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        c, losses, q = self.config, {}, []
        for d, to in OTHER.items():
            scores, features = self.judge(torch.cat([kept['cut'][to], kept['made'][d], kept['cut'][d]]), to)
            real, fake, _ = scores.chunk(3)
            f_real, f_made, f_left = features.chunk(3)
            losses[to] = 0.5 * (mse_to_constant(real, 1.0) + mse_to_constant(fake, 0.0))                        # (8) (9)
            q.append(contrasting_distance(f_made, self.real[to].mean(f_real), f_left))                          # (4)
            self.real[to].add(f_real)
        return Step(losses['A'] + losses['B'] - c.lambda_q_d * (q[0] + q[1]),
                    {**{d: loss.detach() for d, loss in losses.items()}, 'q': (q[0] + q[1]).detach()})

    def translate(self, request: DomainRequest) -> Translation:
        """Brings what the parser's mask shows of [N,3,H,W] to domain `request.to`."""
        if request.to not in self.data.domains:
            raise unknown('domain', request.to, self.data.domains)
        mask = self.mask_of(request.image)
        return Translation(self.generate(request.image, mask, 'AB'[self.data.domains.index(request.to)]), mask)
