"""A reading, not a reproduction. FAL: a generator that answers again and again, told what its discriminator made of the last answer.

Paper:      Huh, Sun, Zhang. Feedback Adversarial Learning: Spatial Feedback for Improving Generative Adversarial Networks. CVPR 2019,
            arXiv:1901.08181. Of it only the abstract and what others say were read.
Reference:  no code of the authors; voidstrike/ASGIT @ 235f922 (MIT), `models/fal_model.py`, another reading: read for layers, losses and
            order; no code taken.
Differs:    [D1] the modulation is spatial, as the paper's title says, and of this project's design; ASGIT's is one scale and offset a
            channel (`modulation='global'`, 256 px alone);
            [D2] three steps, as in the paper's examples; ASGIT gives no number;
            [D3] the losses are the mean over all steps (`loss_steps`); ASGIT's are of the last step alone;
            [D4] no gradient crosses the discriminator's response (`detach_response`); in ASGIT it does;
            [D5] lambda_l1 is 10, which ASGIT says FAL's authors had; ASGIT's own code has 100;
            [D6] the generator learns first and the discriminator then, from the answer that is kept: in ASGIT's order current torch refuses
            the second step's gradient; its optimiser has the decoder's parameters twice, here every one is there once;
            [D7] instance norm without scale and offset in every network; ASGIT's default is batch norm at a batch of 1;
            [D8] no dropout; the generator is cut behind half of its blocks, the fourth of nine as in ASGIT;
            [D9] the rate's epochs are counted in 1/200ths of the run.
Shapes:     N batch, H W image. x the picture given, y the one wanted, in [-1,1]; Enc and Dec the halves of a residual generator, M the
            modulation; D(x, y) patch scores [N,1,h,w], logits, of the six channels; h [N,256,H/4,W/4], r [N,1,H,W]; h_0 = Enc(x),
            y_0 = r_0 = 0, t from 1 to K.

  (1) gamma, beta = M(h_{t-1}, y_{t-1}, r_{t-1}), h_t = gamma h_{t-1} + beta
  (2) y_t = Dec(h_t)
  (3) r_t = D(x, y_t), bilinear to [H,W]

Generator step (first)                                           Discriminator step (the last answer as it was before it)
  (4) L_gan = mean_t BCE(D(x, y_t), 1)                             (6) L_real = BCE(D(x, y), 1)
  (5) L_l1  = mean_t mean |y_t - y|                                (7) L_fake = BCE(D(x, y_K), 0)
  L_G = (4) + lambda_l1 (5)                                        L_D = ((6) + (7)) / 2
"""
from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import DataSpec, PairBatch
from retouch.engine import schedules
from retouch.engine.update import Adam, DomainRequest, Keep, Step, Translation, Update
from retouch.errors import check_halved_twice, check_second
from retouch.losses import bce_to_constant, full, l1_mean
from retouch.networks.cyclegan import PatchDiscriminator, ResNetGenerator, init_normal, layers_at
from retouch.networks.fal import GlobalModulation, SpatialModulation

SCHEDULES = {'cyclegan_linear': schedules.cyclegan_linear, 'linear_last_40': schedules.linear_last_40}
BEFORE_BLOCKS = 9                # layers of ResNetGenerator.main before its residual blocks


class Config(BaseConfig):
    """Defaults are this project's reading (256 px)."""

    id: Literal['fal'] = 'fal'
    modulation: Literal['spatial', 'global'] = 'spatial'
    steps: int = Field(default=3, gt=0)
    """K, in training and at test time."""
    loss_steps: Literal['all', 'last'] = 'all'
    """Which answers the generator is judged by."""
    detach_response: bool = True
    width_g: int = Field(default=64, gt=0)
    blocks: int | None = Field(default=None, ge=1)
    """Residual blocks; None: 9 above 128 px, 6 up to 128 px."""
    width_d: int = Field(default=64, gt=0)
    layers_d: int | None = None
    """Strided layers of D; None: 3 from 64 px, 2 below."""
    lambda_l1: float = 10.0
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Literal['cyclegan_linear', 'linear_last_40'] = 'cyclegan_linear'


class FAL(nn.Module):
    """Paired translation of whole pictures, one way, in several steps; no mask."""

    id: ClassVar[str] = 'fal'
    kind: ClassVar[str] = 'pairs'
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = ('G', 'M', 'D')

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        self.config, self.data, c = config, data, config
        check_halved_twice(data.size)
        if c.modulation == 'global' and data.size != 256:
            raise ValueError(f'size={data.size}: the global modulation is made for 256 px; set --data.size 256, or '
                             '--method.modulation spatial')
        blocks = c.blocks if c.blocks is not None else (9 if data.size > 128 else 6)
        self.cut = BEFORE_BLOCKS + blocks // 2
        self.nets = nn.ModuleDict({
            'G': init_normal(ResNetGenerator(width=c.width_g, blocks=blocks)),
            'M': init_normal((SpatialModulation if c.modulation == 'spatial' else GlobalModulation)(c.width_g)),
            'D': init_normal(PatchDiscriminator(6, c.width_d, layers_at(data.size, c.layers_d)))})
        if isinstance(self.nets['M'], SpatialModulation):
            self.nets['M'].start_as_identity()

    @classmethod
    def tiny(cls) -> FAL:
        """The smallest legal form with feedback."""
        return cls(Config(steps=2, width_g=2, blocks=1, width_d=4, layers_d=1), DataSpec(size=16, domains=('A', 'B')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam, schedule = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2)), SCHEDULES[c.schedule]
        return (Update('G', ('G', 'M'), self.generator_step, adam, schedule), Update('D', ('D',), self.discriminator_step, adam, schedule))

    def answers(self, x: Tensor, judge_last: bool = True) -> tuple[list[Tensor], list[Tensor]]:
        """Every step's answer [N,3,H,W] and D's scores [N,1,h,w] of it, beside x [N,3,H,W]; the last answer's only where they are read."""
        n, main = self.nets, self.nets['G'].main
        h, y, r = main[:self.cut](x), torch.zeros_like(x), torch.zeros_like(x[:, :1])
        answers, scores = [], []
        for step in range(1, self.config.steps + 1):
            gamma, beta = n['M'](h, y, r)                                 # (1)
            h = gamma * h + beta
            y = main[self.cut:](h)                                        # (2)
            answers.append(y)
            if step == self.config.steps and not judge_last:
                break
            s = n['D'](torch.cat([x, y], 1))
            r = F.interpolate(full(s.detach() if self.config.detach_response else s), x.shape[2:], mode='bilinear')    # (3)
            scores.append(s)
        return answers, scores

    def generator_step(self, batch: PairBatch, kept: Keep) -> Step:
        x, y = batch.image_a, batch.image_b
        answers, scores = self.answers(x)
        judged = slice(None) if self.config.loss_steps == 'all' else slice(-1, None)
        loss_gan = torch.stack([bce_to_constant(s, 1.0) for s in scores[judged]]).mean()     # (4)
        distances = [l1_mean(answer, y) for answer in answers]
        loss_l1 = torch.stack(distances[judged]).mean()                   # (5)
        logs = {'gan': loss_gan.detach(), 'l1': loss_l1.detach(), **{f'l1_{t}': d.detach() for t, d in enumerate(distances, 1)}}
        return Step(loss_gan + self.config.lambda_l1 * loss_l1, logs,
                    {'input': x, **{f'step_{t}': answer.detach() for t, answer in enumerate(answers[:-1], 1)},
                     'edit': answers[-1].detach(), 'truth': y}, {'fake': answers[-1].detach()})

    def discriminator_step(self, batch: PairBatch, kept: Keep) -> Step:
        x, y = batch.image_a, batch.image_b
        loss_real = bce_to_constant(self.nets['D'](torch.cat([x, y], 1)), 1.0)               # (6)
        loss_fake = bce_to_constant(self.nets['D'](torch.cat([x, kept['fake']], 1)), 0.0)    # (7)
        return Step(0.5 * (loss_real + loss_fake), {'real': loss_real.detach(), 'fake': loss_fake.detach()})

    def translate(self, request: DomainRequest) -> Translation:
        """Makes the other picture of [N,3,H,W]; only `to` the second of the model's domains. No edit mask.

        The answer is the last step's; `extras` has those of all, `step_1`, `step_2` … [N,3,H,W].
        """
        check_second(request.to, self.data.domains)
        answers, _ = self.answers(request.image, judge_last=False)
        return Translation(answers[-1].float(), None, {f'step_{t}': answer.float() for t, answer in enumerate(answers, 1)})
