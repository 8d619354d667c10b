"""AGGAN: two unpaired domains; each generator draws a mask beside its content, and discriminators see pictures with and without it.

Paper:      Tang, Xu, Sebe, Yan. Attention-Guided Generative Adversarial Networks for Unsupervised Image-to-Image Translation.
            IJCNN 2019, arXiv:1903.12296 (the two-domain model, Tables I and II).
Reference:  Ha0Tang/AttentionGAN @ 45da496, `AttentionGAN-v1` (CC BY-NC-SA 4.0): read for layers, losses and schedule; no code taken.
            The attention-guided discriminators are not in it: they are the paper's.
Differs:    [D1] in the paper's last equation lambda_gan multiplies the plain discriminators only; its closing bracket is taken for a slip,
            and lambda_agan, of the same value, weights the other pair;
            [D2] the real picture of a pair carries the mask of the current translation, as printed (`real_mask`), detached;
            [D3] mask and picture go through the pool of 50 together; its draws are keyed by (seed, iteration, sample), its contents are
            part of the state;
            [D4] (4) sums over pixels, averages over N: the code's sum over N too is equal at its batch of 1; `tv_channels` 3 is the code's;
            [D5] the code's identity passes, of weight 0, are not run: running averages of the generators follow two passes, not three;
            [D6] batch norm of the discriminators keeps no running averages (nothing reads them, the code's move in the G step too);
            [D7] with `norm='instance'` inputs of one network share a call; batch norm would mix their statistics, so each has its own;
            [D8] D has fewer strided convolutions below 94 px;
            [D9] rates decay every iteration, the code's every epoch; curriculum and decay are fractions of the run;
            [D10] pictures are clamped when they are saved or scored: the content is unbounded as in the code (`content_activation`).
Shapes:     N batch, H W image. x of domain A, y of domain B in [-1,1]; G: A -> B, F: B -> A; y', x' fakes; R content [N,3,H,W]; M mask
            [N,1,H,W], named by the domain it is made for; D_A, D_B scores [N,1] of pictures; P_A, P_B of [M, picture], 4 channels.

  (1) y' = M_B R_B + (1 - M_B) x,  M_B = sigmoid(G(x)_0), R_B = G(x)_{1:3};  x' = M_A R_A + (1 - M_A) y from F(y) in the same way
  (2) r = rate_warm_up in the first warm_up of the run, then rate

Generator step                                                   Discriminator step (fakes, with their masks, through the pool)
  (3) L_gan = E[(D_B(y') - 1)^2] + E[(D_A(x') - 1)^2]              (8) L_B = (E[(D_B(y) - 1)^2] + E[D_B(y')^2]) / 2
  (4) L_tv = sum_hw |d_h M| + |d_w M|, mean over N, M_B and M_A    (9) L_A = (E[(D_A(x) - 1)^2] + E[D_A(x')^2]) / 2
  (5) L_cyc = mean |F(y') - x| + mean |G(x') - y|                  (10) L_PB = (E[(P_B([M_B, y]) - 1)^2] + E[P_B([M_B, y'])^2]) / 2
  (6) L_pix = mean |y' - x| + mean |x' - y|                        (11) L_PA = (E[(P_A([M_A, x]) - 1)^2] + E[P_A([M_A, x'])^2]) / 2
  (7) L_agan = E[(P_B([M_B, y']) - 1)^2] + E[(P_A([M_A, x']) - 1)^2]
  L_G = (1 - r) (lambda_gan (3) + lambda_agan (7) + lambda_tv (4)) L_D = lambda_gan ((8) + (9)) + lambda_agan ((10) + (11))
        + r (lambda_cyc (5) + lambda_pix (6))
"""
from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import DataSpec, DomainBatch, Moment
from retouch.engine import schedules
from retouch.engine.pool import ImagePool
from retouch.engine.update import Adam, DomainRequest, Keep, Step, Translation, Update, generator_to
from retouch.errors import check_halved_twice
from retouch.guidance.mask import composite, mask_logs
from retouch.losses import full, l1_mean, mse_to_constant, total_variation
from retouch.networks.aggan import Discriminator, Generator, Norm, Upsample, init_weights

SCHEDULES = {'linear': schedules.linear_second_half, 'linear_last_40': schedules.linear_last_40}


class Config(BaseConfig):
    """Defaults are the paper's (256 px)."""

    id: Literal['aggan'] = 'aggan'
    use_attention_discriminator: bool = True
    """Whether P_A and P_B judge mask and picture together; the released code does not have them."""
    attention: bool = True
    """Whether the generators draw masks; without, their content is the whole picture."""
    norm: Norm = 'batch'
    """'instance' is what batch norm computes in training at the paper's batch of 1, and the same at test time."""
    upsample: Upsample = 'deconv'
    """'deconv': the paper's; 'pixelshuffle': the code's."""
    content_activation: Literal['none', 'tanh'] = 'none'
    real_mask: Literal['generated', 'own'] = 'generated'
    """Mask beside a real picture of B in (10): of this batch's G(x), as printed, or of F(y), its own; likewise in (11)."""
    width_g: int = Field(default=64, gt=0)
    blocks: int = Field(default=6, ge=0)
    width_d: int = Field(default=64, gt=0)
    lambda_gan: float = 0.5
    lambda_agan: float = 0.5
    lambda_tv: float = 1e-6
    """Weight of a sum over pixels: at another size multiply it by (256 / size)^2 to keep its weight a pixel."""
    tv_channels: int = Field(default=1, ge=1, le=3)
    """How often (4) counts the mask: 1 in the paper, 3 in the code, which repeats it for the colours."""
    lambda_cyc: float = 10.0
    lambda_pix: float = 1.0
    warm_up: float = Field(default=0.05, ge=0, le=1)
    """Fraction of the run with rate_warm_up: 10 of 200 epochs."""
    rate_warm_up: float = Field(default=0.01, ge=0, le=1)
    rate: float = Field(default=0.5, ge=0, le=1)
    """Share of cycle and pixel losses in (2); the adversarial losses and (4) have the rest."""
    pool: int = Field(default=50, ge=0)
    lr: float = 1e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Literal['linear', 'linear_last_40'] = 'linear'

    @model_validator(mode='after')
    def _masks_exist(self) -> Self:
        if not self.attention and (self.use_attention_discriminator or self.lambda_tv):
            raise ValueError('attention=false: there is no mask to judge or to smooth; '
                             'set --method.use-attention-discriminator false and --method.lambda-tv 0')
        return self


class AGGAN(nn.Module):
    """Unpaired translation inside masks that the generators draw themselves."""

    id: ClassVar[str] = 'aggan'
    kind: ClassVar[str] = 'domains'
    Config: ClassVar[type[Config]] = Config
    compiles: ClassVar[tuple[str, ...]] = ('G', 'F')
    inference_nets: ClassVar[tuple[str, ...]] = ('G', 'F')

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        check_halved_twice(data.size)
        self.config, self.data = config, data
        c, channels = config, 4 if config.attention else 3
        nets = {name: Generator(channels, c.width_g, c.blocks, c.norm, c.upsample) for name in ('G', 'F')}
        nets |= {name: Discriminator(3, data.size, c.width_d, c.norm) for name in ('D_A', 'D_B')}
        if c.use_attention_discriminator:
            nets |= {name: Discriminator(4, data.size, c.width_d, c.norm) for name in ('P_A', 'P_B')}
        self.nets = nn.ModuleDict({name: init_weights(net) for name, net in nets.items()})
        self.pools = nn.ModuleDict({name: ImagePool(c.pool, (channels, data.size, data.size)) for name in ('A', 'B')})
        self.content_activation = {'none': nn.Identity(), 'tanh': nn.Tanh()}[c.content_activation]

    @classmethod
    def tiny(cls) -> AGGAN:
        """The smallest legal form."""
        return cls(Config(width_g=4, blocks=1, width_d=4, pool=3, warm_up=0.1, lambda_tv=1e-3), DataSpec(size=16, domains=('A', 'B')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam, schedule = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2)), SCHEDULES[c.schedule]
        return (Update('G', ('G', 'F'), self.generator_step, adam, schedule),
                Update('D', tuple(name for name in self.nets if name not in ('G', 'F')), self.discriminator_step, adam, schedule))

    def each(self, net: str, *inputs: Tensor) -> list[Tensor]:
        """What a network makes of inputs [N,C,H,W], in float32: one call for all, or one each where batch norm would mix them."""
        if self.config.norm == 'batch':
            return [full(self.nets[net](u)) for u in inputs]
        made, n = full(self.nets[net](torch.cat(inputs))), inputs[0].shape[0]
        return [made[i * n:(i + 1) * n] for i in range(len(inputs))]

    def generate(self, net: str, *pictures: Tensor) -> list[tuple[Tensor, Tensor | None, Tensor]]:
        """Pictures [N,3,H,W] -> for each its translation [N,3,H,W], mask [N,1,H,W] (None without attention) and content [N,3,H,W]."""
        made: list[tuple[Tensor, Tensor | None, Tensor]] = []
        for x, out in zip(pictures, self.each(net, *pictures), strict=True):
            content = self.content_activation(out[:, -3:])
            mask = out[:, :1].sigmoid() if self.config.attention else None
            made.append((content if mask is None else composite(content, x, mask), mask, content))      # (1)
        return made

    def rate(self, moment: Moment) -> float:
        """The share of cycle and pixel losses at this point of the run."""
        c = self.config
        return c.rate_warm_up if moment.iteration / moment.iterations < c.warm_up else c.rate           # (2)

    def generator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        c, n, x, y, r = self.config, self.nets, batch.image_a, batch.image_b, self.rate(batch.moment)
        (fake_b, mask_b, _), = self.generate('G', x)
        (rec_a, _, _), (fake_a, mask_a, _) = self.generate('F', fake_b, y)
        (rec_b, _, _), = self.generate('G', fake_a)
        loss_gan = mse_to_constant(n['D_B'](fake_b), 1.0) + mse_to_constant(n['D_A'](fake_a), 1.0)      # (3)
        loss_cyc = l1_mean(rec_a, x) + l1_mean(rec_b, y)                                                # (5)
        loss_pix = l1_mean(fake_b, x) + l1_mean(fake_a, y)                                              # (6)
        loss = (1 - r) * c.lambda_gan * loss_gan + r * (c.lambda_cyc * loss_cyc + c.lambda_pix * loss_pix)
        logs = {'gan': loss_gan.detach(), 'cyc': loss_cyc.detach(), 'pix': loss_pix.detach()}
        images = {'input': x, 'edit': fake_b.detach(), 'input_b': y, 'edit_b': fake_a.detach()}
        made_b, made_a = fake_b, fake_a
        if mask_b is not None and mask_a is not None:
            loss_tv = c.tv_channels * (total_variation(mask_b) + total_variation(mask_a))               # (4)
            loss = loss + (1 - r) * c.lambda_tv * loss_tv
            logs |= {'tv': loss_tv.detach(), **mask_logs(mask_b), **{f'{k}_back': v for k, v in mask_logs(mask_a).items()}}
            images |= {'mask': mask_b.detach(), 'mask_b': mask_a.detach()}
            made_b, made_a = torch.cat([mask_b, fake_b], 1), torch.cat([mask_a, fake_a], 1)             # [N,4,H,W]
        if c.use_attention_discriminator:
            loss_agan = mse_to_constant(n['P_B'](made_b), 1.0) + mse_to_constant(n['P_A'](made_a), 1.0)      # (7)
            loss = loss + (1 - r) * c.lambda_agan * loss_agan
            logs['agan'] = loss_agan.detach()
        return Step(loss, logs, images, {'made_b': made_b.detach(), 'made_a': made_a.detach()})

    def discriminator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        c, x, y = self.config, batch.image_a, batch.image_b
        fake_b = self.pools['B'].exchange(kept['made_b'], batch.moment, 'B')                            # [N,4,H,W] mask and picture
        fake_a = self.pools['A'].exchange(kept['made_a'], batch.moment, 'A')
        loss_b = self.told_apart('D_B', y, fake_b[:, -3:])                                              # (8)
        loss_a = self.told_apart('D_A', x, fake_a[:, -3:])                                              # (9)
        loss, logs = c.lambda_gan * (loss_b + loss_a), {'B': loss_b.detach(), 'A': loss_a.detach()}
        if c.use_attention_discriminator:
            mask_b, mask_a = kept['made_b'][:, :1], kept['made_a'][:, :1]
            if c.real_mask == 'own':
                mask_b, mask_a = mask_a, mask_b
            loss_pb = self.told_apart('P_B', torch.cat([mask_b, y], 1), fake_b)                         # (10)
            loss_pa = self.told_apart('P_A', torch.cat([mask_a, x], 1), fake_a)                         # (11)
            loss = loss + c.lambda_agan * (loss_pb + loss_pa)
            logs |= {'PB': loss_pb.detach(), 'PA': loss_pa.detach()}
        return Step(loss, logs)

    def told_apart(self, net: str, real: Tensor, fake: Tensor) -> Tensor:
        """Half the squared distances of a discriminator's scores to 1 for real and 0 for fake inputs [N,C,H,W]."""
        score_real, score_fake = self.each(net, real, fake)
        return 0.5 * (mse_to_constant(score_real, 1.0) + mse_to_constant(score_fake, 0.0))

    def translate(self, request: DomainRequest) -> Translation:
        """Brings [N,3,H,W] to domain `request.to` inside the generator's mask; `extras` holds the content."""
        (image, mask, content), = self.generate(generator_to(request.to, self.data), request.image)
        return Translation(image.clamp(-1, 1), mask, {'content': content.clamp(-1, 1)})
