"""ASGIT: the discriminator's attention of the last translation of a picture guides the generator when it meets the picture again.

Paper:      Lin, Wang, Li, Gao, Wang, Khan. Attention-Based Spatial Guidance for Image-to-Image Translation. WACV 2021.
Reference:  voidstrike/ASGIT @ 235f922 (MIT): read for layers, losses and the order of things; no code taken. `asgit` is its
            `attn_cycle_gan`, `asgit_pairs` its `pix2pix_attn`.
Differs:    [D1] maps follow their picture through crop and flip (`align_attention`); they are kept at the discriminator's own size, 4 KB a
            picture, by domain and sample, as part of the state: the code's start anew when a run is resumed;
            [D2] (2) is taken of every picture and has an epsilon; the code's is of the whole batch (of 1), and 0/0 for a constant map;
            [D3] a map of ones, the placeholder, bypasses T (`bypass_ones`): the norm at T's end makes much the same of any constant;
            [D4] T enlarges by picture / map, TAM's branch follows its trunk: the code's sizes are constants. TAM lacks two layers that the
            code declares and never calls; its branch has instance norm: batch norm at the published batch of 1 (`mask_norm`);
            [D5] PHA reads the last convolution before the scores, the paper's 4th (`pha_layer`; the code reads the 3rd);
            [D6] samples are shuffled; the code's trainer takes them in their order and pairs A with B by number;
            [D7] calls of one network on several inputs are batched, but for batch norm and (6); the pool's draws are keyed, the schedule
            counts in 1/200ths of the run, D has fewer layers below 64 px (CycleGAN's [D1] to [D4]).
Shapes:     N batch, H W image. x of domain A, y of domain B in [-1,1]; G: A -> B, F: B -> A; D_A, D_B (paired: D of [input, picture]) patch
            scores [N,1,h,w] and an activation [N,C,h',w']; m maps [N,1,h',w'] in [0,1] that no gradient passes; T: map -> [N,1,H,W].

  (1) a = mean_c |activation of D| (PHA), mean_c of D's own mask branch (TAM), in the pass that also gives the scores
  (2) m = (a - min a) / (max a - min a + 1e-8), for every picture (PHA); TAM's m = a, which is in [0,1] (`normalise_tam`)
  (3) x' = x (1 + T(m)) (RHP) or [x, T(m)] (Alpha); m of x is D_B's of the last G(x'), ones before there was one; so y' from D_A
Generator step                                                   Discriminator step (unpaired: fakes through a pool of 50)
  (4) L_gan = E[(D_B(G(x')) - 1)^2] + E[(D_A(F(y')) - 1)^2]        (7) L_B = (E[(D_B(y) - 1)^2] + E[D_B(G(x'))^2]) / 2
  (5) L_cyc = mean |F(G(x')) - x| + mean |G(F(y')) - y|            (8) L_A = (E[(D_A(x) - 1)^2] + E[D_A(F(y'))^2]) / 2
  (6) L_idt = mean |G(y) - y| + mean |F(x) - x|
  L_G = (4) + lambda_cyc (5) + lambda_cyc lambda_idt (6)           L_D = (7) + (8)
Paired, the discriminator first
  (9) L_gan = E[(D([x, G(x')]) - 1)^2]                             (11) L_D = (E[(D([x, y]) - 1)^2] + E[D([x, G(x')])^2]) / 2
  (10) L_1 = mean |G(x') - y|
  L_G = (9) + lambda_l1 (10)
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
from retouch.data.batches import DataSpec, DomainBatch, Moment, PairBatch
from retouch.engine.pool import ImagePool
from retouch.engine.update import Adam, DomainRequest, Keep, Step, Translation, Update, generator_to, with_graph
from retouch.errors import check_halved_twice, check_second
from retouch.guidance.attention_store import AttentionStore
from retouch.losses import bce_to_constant, full, l1_mean, mse_to_constant
from retouch.methods.cyclegan import SCHEDULES
from retouch.networks.asgit import AttentionDiscriminator, TransferBlock
from retouch.networks.cyclegan import PatchDiscriminator, ResNetGenerator, init_normal, layers_at
from retouch.networks.unet import UNet, noise_to_draws

FUSIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    'rhp': lambda x, a: x * (1 + a),
    'alpha': lambda x, a: torch.cat([x, a.to(x.dtype)], 1),
    'mult': lambda x, a: x * a,
}
NO_ATTENTION = {'rhp': 0.0, 'alpha': 1.0, 'mult': 1.0}           # the map that stands for none
LARGEST = 32                                                     # side of a stored map up to 256 px: 4 KB in float32
GAN_TERMS = {'lsgan': mse_to_constant, 'bce': bce_to_constant}


class GuidedConfig(BaseConfig):
    """What both systems have; defaults are the paper's."""

    attention: Literal['pha', 'tam'] = 'pha'
    """Whose attention: of an activation that D has anyway, or of a branch that D learns."""
    fusion: Literal['rhp', 'alpha', 'mult'] = 'rhp'
    """How the map meets the picture: residual product, a fourth channel, or (the code's extra) the plain product."""
    transfer: Literal['conv3', 'identity'] = 'conv3'
    """T: three convolutions that learn with the generators, one T for both directions; or nothing."""
    transfer_norm: bool = True
    """Whether T ends in instance norm before its sigmoid, as in the code."""
    bypass_ones: bool = True
    """Whether a map of ones goes past T."""
    width_t: int = Field(default=64, gt=0)
    pha_layer: int | None = None
    """Which convolution of D, the first is 1; None: the last before the scores, the 4th from 64 px on."""
    pha_post_activation: bool = True
    """After its LeakyReLU, or after its norm."""
    mask_norm: Literal['instance', 'batch'] = 'instance'
    """TAM's branch."""
    normalise_tam: bool = False
    """Whether (2) is taken of TAM's map too, as in the code; the paper's is the mean of sigmoids as it is."""
    align_attention: bool = True
    """Whether a stored map follows its picture through crop and flip; the code's does not."""
    first_maps: Literal['ones', 'noise'] = 'ones'
    inference_attention: Literal['ones', 'constant', 'discriminator'] = 'ones'
    """What stands for the map of a picture that training never saw; 'discriminator' keeps the discriminators in the model."""
    inference_constant: float = Field(default=0.5, ge=0, le=1)
    """For 'constant', past T: under RHP 0.5 is a factor of 1.5."""
    width_g: int = Field(default=64, gt=0)
    width_d: int = Field(default=64, gt=0)
    layers_d: int | None = None
    """Strided layers of D; None: 3 from 64 px, 2 below."""
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Literal['cyclegan_linear', 'linear_last_40'] = 'cyclegan_linear'

    @model_validator(mode='after')
    def _answers_alone(self) -> Self:
        if self.attention == 'tam' and self.mask_norm == 'batch' and self.inference_attention == 'discriminator':
            raise ValueError("inference_attention='discriminator' with mask_norm='batch': a translation would depend on its batch mates; "
                             'set --method.mask-norm instance')
        return self


class Config(GuidedConfig):
    """Defaults are the paper's (256 px, PHA and RHP)."""

    id: Literal['asgit'] = 'asgit'
    attention_source: Literal['previous_output', 'current_input', 'two_pass'] = 'previous_output'
    """Map of x: D_B's of the last translation of x; D_A's of x itself, now; or D_B's of a first translation without guidance."""
    cycle_attention: Literal['none', 'ones', 'discriminator'] = 'none'
    """What the way back is told: nothing, ones, or the map of the fake it starts from."""
    blocks: int | None = Field(default=None, ge=0)
    """Residual blocks; None: 9 above 128 px, 6 up to 128 px."""
    lambda_cyc: float = 10.0
    lambda_idt: float = 0.0
    """Weight of (6) relative to lambda_cyc."""
    pool: int = Field(default=50, ge=0)


class PairsConfig(GuidedConfig):
    """Defaults are the paper's (128 px, PHA and RHP)."""

    id: Literal['asgit_pairs'] = 'asgit_pairs'
    attention_source: Literal['previous_output', 'two_pass'] = 'previous_output'
    """Map of x: D's of the last translation of x, or of a first one without guidance."""
    gan_mode: Literal['lsgan', 'bce'] = 'lsgan'
    """Of (9) and (11): least squares as printed, or the code's binary cross-entropy."""
    dropout: bool = True
    test_dropout: bool = True
    """Whether values are dropped at test time too, as in pix2pix; by a fixed draw, the same for every picture."""
    lambda_l1: float = 100.0


class Guided(nn.Module):
    """What both systems do with a map: read it off a discriminator, keep it, carry it over, fuse it with a picture."""

    def __init__(self, config: Any, data: DataSpec, judged: int) -> None:
        """Sizes of the maps, and the network that both forms have. `judged`: channels a discriminator sees."""
        super().__init__()
        c, size = config, data.size
        self.config, self.data, self.judged = config, data, judged
        self.fusion, self.no_attention = FUSIONS[c.fusion], NO_ATTENTION[c.fusion]
        self.layers = layers_at(size, c.layers_d)
        self.conv = self.layers + 1 if c.pha_layer is None else c.pha_layer
        if not 1 <= self.conv <= self.layers + 1:
            raise ValueError(f'pha_layer={c.pha_layer}: a discriminator of {size} px has {self.layers + 1} convolutions before its scores; '
                             f'expected 1 to {self.layers + 1}, or none for the last')
        sides = [size // 2 ** i for i in range(1, self.layers + 1)]
        side = sides[-1] if c.attention == 'tam' else [*sides, sides[-1] - 1][self.conv - 1]
        doublings = max(k for k in range(4) if size % 2 ** k == 0 and size // 2 ** k >= side)
        self.map_px = size // 2 ** doublings if c.transfer == 'conv3' else size         # what a map is resized to before T
        self.store_px = min(side, max(LARGEST, size // 8))
        self.nets = nn.ModuleDict({'T': init_normal(TransferBlock(c.width_t, doublings, c.transfer_norm))} if c.transfer == 'conv3' else {})

    def discriminator(self) -> nn.Module:
        """A new one."""
        c = self.config
        return init_normal(PatchDiscriminator(self.judged, c.width_d, self.layers) if c.attention == 'pha' else
                           AttentionDiscriminator(self.judged, c.width_d, self.layers, c.mask_norm))

    def store(self, samples: int) -> AttentionStore:
        """A new one; without rows where no map outlives its iteration."""
        c = self.config
        return AttentionStore(samples if c.attention_source == 'previous_output' else 0, self.store_px, c.align_attention,
                              c.first_maps == 'noise')

    def scores(self, name: str, *pictures: Tensor) -> tuple[Tensor, ...]:
        """A discriminator's scores of several batches: in one call unless it would mix their statistics."""
        if self.config.attention == 'tam' and self.config.mask_norm == 'batch':
            return tuple(self.nets[name](p) for p in pictures)
        return self.nets[name](torch.cat(pictures)).chunk(len(pictures))

    def judge(self, name: str, picture: Tensor) -> tuple[Tensor, Tensor]:
        """[N,C,H,W] -> a discriminator's scores [N,1,h,w] and its map [N,1,h',w'] in [0,1], a constant, from one pass."""
        c, D = self.config, self.nets[name]
        score, a = D.with_attention(picture) if c.attention == 'tam' else D.with_activation(picture, self.conv, c.pha_post_activation)
        a = full(a.detach()).abs().mean(1, keepdim=True)                                                # (1)
        if c.attention == 'tam' and not c.normalise_tam:
            return score, a
        low, high = a.amin((2, 3), keepdim=True), a.amax((2, 3), keepdim=True)
        return score, (a - low) / (high - low + 1e-8)                                                   # (2)

    def carry(self, m: Tensor) -> Tensor:
        """T: a map [N,1,h,w] of any size -> [N,1,H,W] in [0,1]."""
        if m.shape[-1] != self.map_px:
            m = F.interpolate(m, size=(self.map_px, self.map_px), mode='bilinear', align_corners=False)
        if 'T' not in self.nets:
            return m
        carried = full(self.nets['T'](m))
        if self.config.bypass_ones:                              # bilinear weights add up to 1 but for rounding
            carried = torch.where(m.amin((2, 3), keepdim=True) > 0.999, 1.0, carried)
        return carried

    def everywhere(self, x: Tensor, value: float) -> Tensor:
        """A map [N,1,H,W] of one value."""
        return full(x.new_full((x.shape[0], 1, *x.shape[2:]), value))

    def nothing(self, x: Tensor) -> Tensor:
        """The map [N,1,H,W] of a picture that is shown without attention."""
        return self.everywhere(x, self.no_attention)

    def translate_with(self, x: Tensor, make: Callable[[Tensor], Tensor], look: Callable[[Tensor], Tensor]) -> Translation:
        """What both kinds answer. make: fused picture -> image; look: a first translation, or x itself -> its map."""
        c = self.config
        a = self.everywhere(x, c.inference_constant) if c.inference_attention == 'constant' else self.carry(self.everywhere(x, 1.0))
        extras: dict[str, Tensor] = {}
        if c.inference_attention == 'discriminator':
            before = self.nothing(x) if c.attention_source == 'two_pass' else a
            m = look(x if c.attention_source == 'current_input' else make(self.fusion(x, before)))
            a, extras = self.carry(m), {'attention_raw': F.interpolate(m, size=x.shape[2:], mode='bilinear', align_corners=False).float()}
        return Translation(make(self.fusion(x, a)).float(), None, {'attention': a.float(), **extras})

    @property
    def optimiser(self) -> Any:
        """Adam of all updates."""
        return partial(Adam, lr=self.config.lr, betas=(self.config.beta1, self.config.beta2))

    @property
    def inference_nets(self) -> tuple[str, ...]:
        """Generators and T; with `inference_attention='discriminator'` all there are."""
        everything = self.config.inference_attention == 'discriminator'
        return tuple(n for n in self.nets if everything or not n.startswith('D'))


class ASGIT(Guided):
    """Unpaired translation of whole pictures, guided by attention; no edit mask."""

    id: ClassVar[str] = 'asgit'
    kind: ClassVar[str] = 'domains'
    Config: ClassVar[type[Config]] = Config

    def __init__(self, config: Config, data: DataSpec) -> None:
        check_halved_twice(data.size)
        super().__init__(config, data, judged=3)
        blocks = config.blocks if config.blocks is not None else (9 if data.size > 128 else 6)
        channels = 4 if config.fusion == 'alpha' else 3
        for name in ('G', 'F'):
            self.nets[name] = init_normal(ResNetGenerator(channels, width=config.width_g, blocks=blocks))
        for name in ('D_A', 'D_B'):
            self.nets[name] = self.discriminator()
        shape, samples = (3, data.size, data.size), data.samples or (0, 0)
        self.pools = nn.ModuleDict({name: ImagePool(config.pool, shape) for name in ('A', 'B')})
        self.stores = nn.ModuleDict({name: self.store(n) for name, n in zip(('A', 'B'), samples, strict=True)})

    @classmethod
    def tiny(cls) -> ASGIT:
        """The smallest legal form; T meets the first maps too, so that it learns from the first iteration on."""
        return cls(Config(width_g=4, blocks=1, width_d=4, layers_d=1, width_t=4, pool=3, bypass_ones=False),
                   DataSpec(size=16, domains=('A', 'B'), samples=(8, 8)))

    def updates(self) -> tuple[Update, ...]:
        schedule = SCHEDULES[self.config.schedule]
        learn_together = tuple(n for n in self.nets if not n.startswith('D'))
        return (Update('G', learn_together, self.generator_step, self.optimiser, schedule),
                Update('D', ('D_A', 'D_B'), self.discriminator_step, self.optimiser, schedule))

    def guidance(self, batch: DomainBatch) -> tuple[Tensor, Tensor]:
        """The maps [N,1,H,W] of x and y; without attention in the first of two passes."""
        source = self.config.attention_source
        if source == 'two_pass':
            return self.nothing(batch.image_a), self.nothing(batch.image_b)
        if source == 'current_input':
            with torch.no_grad():
                m_x, m_y = self.judge('D_A', batch.image_a)[1], self.judge('D_B', batch.image_b)[1]
        else:
            m_x = self.stores['A'].read(batch.index_a, batch.view_a, self.map_px)
            m_y = self.stores['B'].read(batch.index_b, batch.view_b, self.map_px)
        return self.carry(m_x), self.carry(m_y)

    def way_back(self, fake: Tensor, m: Tensor) -> Tensor:
        """A fake as the other generator sees it; m is its map."""
        told = self.config.cycle_attention
        return self.fusion(fake, self.carry(m) if told == 'discriminator' else
                           self.everywhere(fake, 1.0) if told == 'ones' else self.nothing(fake))

    def go(self, x: Tensor, y: Tensor, a_x: Tensor, a_y: Tensor) -> dict[str, Tensor]:
        """There and back, both ways, once: losses, fakes, and D's maps of the fakes under the names of the pictures they are of."""
        n = self.nets
        fake_a = n['F'](self.fusion(y, a_y))                                                            # (3)
        score_a, m_y = self.judge('D_A', fake_a)
        fake_b, rec_b = n['G'](torch.cat([self.fusion(x, a_x), self.way_back(fake_a, m_y)])).chunk(2)
        score_b, m_x = self.judge('D_B', fake_b)
        rec_a = n['F'](self.way_back(fake_b, m_x))
        return {'gan': mse_to_constant(score_b, 1.0) + mse_to_constant(score_a, 1.0),                  # (4)
                'cyc': l1_mean(rec_a, x) + l1_mean(rec_b, y),                                           # (5)
                'fake_a': fake_a.detach(), 'fake_b': fake_b.detach(), 'm_x': m_x, 'm_y': m_y}

    def generator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        c, n, x, y = self.config, self.nets, batch.image_a, batch.image_b
        a_x, a_y = self.guidance(batch)
        out = shown = self.go(x, y, a_x, a_y)
        loss_gan, loss_cyc = out['gan'], out['cyc']
        if c.attention_source == 'two_pass':
            a_x, a_y = self.carry(out['m_x']), self.carry(out['m_y'])
            shown = self.go(x, y, a_x, a_y)
            loss_gan, loss_cyc = loss_gan + shown['gan'], loss_cyc + shown['cyc']
        loss_idt = torch.zeros_like(loss_cyc)
        if c.lambda_idt:
            plain_x, plain_y = self.fusion(x, self.nothing(x)), self.fusion(y, self.nothing(y))
            loss_idt = l1_mean(n['G'](plain_y), y) + l1_mean(n['F'](plain_x), x)                        # (6)
        return Step(loss_gan + c.lambda_cyc * loss_cyc + c.lambda_cyc * c.lambda_idt * loss_idt,
                    {'gan': loss_gan.detach(), 'cyc': loss_cyc.detach(), 'idt': loss_idt.detach(),
                     'attention': (a_x.mean() + a_y.mean()).detach() / 2},
                    {'input': x, 'attention': a_x.detach(), 'edit': shown['fake_b'],
                     'input_b': y, 'attention_b': a_y.detach(), 'edit_b': shown['fake_a']},
                    {k: out[k] for k in ('fake_a', 'fake_b', 'm_x', 'm_y')})

    def discriminator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        x, y, m = batch.image_a, batch.image_b, batch.moment
        real_b, fake_b = self.scores('D_B', y, self.pools['B'].exchange(kept['fake_b'], m, 'B'))
        real_a, fake_a = self.scores('D_A', x, self.pools['A'].exchange(kept['fake_a'], m, 'A'))
        loss_b = 0.5 * (mse_to_constant(real_b, 1.0) + mse_to_constant(fake_b, 0.0))                    # (7)
        loss_a = 0.5 * (mse_to_constant(real_a, 1.0) + mse_to_constant(fake_a, 0.0))                    # (8)
        if self.config.attention_source == 'previous_output':
            self.stores['A'].write(batch.index_a, batch.view_a, kept['m_x'])
            self.stores['B'].write(batch.index_b, batch.view_b, kept['m_y'])
        return Step(loss_b + loss_a, {'B': loss_b.detach(), 'A': loss_a.detach()})

    def translate(self, request: DomainRequest) -> Translation:
        """Brings [N,3,H,W] to domain `request.to`; no edit mask. extras: the attention [N,1,H,W] it was given."""
        name = generator_to(request.to, self.data)
        to_b = name == 'G'
        of_input = self.config.attention_source == 'current_input'
        return self.translate_with(request.image, self.nets[name],
                                   lambda picture: self.judge('D_A' if to_b == of_input else 'D_B', picture)[1])


class ASGITPairs(Guided):
    """Translation learnt from aligned pairs, guided by attention; no edit mask."""

    id: ClassVar[str] = 'asgit_pairs'
    kind: ClassVar[str] = 'pairs'
    Config: ClassVar[type[PairsConfig]] = PairsConfig

    def __init__(self, config: PairsConfig, data: DataSpec) -> None:
        super().__init__(config, data, judged=6)
        channels = 4 if config.fusion == 'alpha' else 3
        self.nets['G'] = init_normal(UNet(channels, width=config.width_g, size=data.size, norm='instance', dropout=config.dropout))
        self.nets['D'] = self.discriminator()
        self.maps = self.store(data.samples[0] if data.samples else 0)
        self.to_constant = GAN_TERMS[config.gan_mode]

    @classmethod
    def tiny(cls) -> ASGITPairs:
        """The smallest legal form; T meets the first maps too, so that it learns from the first iteration on."""
        return cls(PairsConfig(width_g=4, width_d=4, layers_d=1, width_t=4, bypass_ones=False),
                   DataSpec(size=16, domains=('A', 'B'), samples=(8, 8)))

    def updates(self) -> tuple[Update, ...]:
        schedule = SCHEDULES[self.config.schedule]
        learn_together = tuple(n for n in self.nets if n != 'D')
        return (Update('D', ('D',), self.discriminator_step, self.optimiser, schedule, ahead=learn_together),
                Update('G', learn_together, self.generator_step, self.optimiser, schedule))

    def guidance(self, batch: PairBatch) -> Tensor:
        """The map [N,1,H,W] of x; without attention in the first of two passes."""
        if self.config.attention_source == 'two_pass':
            return self.nothing(batch.image_a)
        return self.carry(self.maps.read(batch.index, batch.view, self.map_px))

    def discriminator_step(self, batch: PairBatch, kept: Keep) -> Step:
        x, y = batch.image_a, batch.image_b
        a = self.guidance(batch)
        made = self.nets['G'](self.fusion(x, a), batch.moment.uniform)                                  # its graph is for (9) and (10)
        real, fake = self.scores('D', torch.cat([x, y], 1), torch.cat([x, made.detach()], 1))
        loss_real, loss_fake = self.to_constant(real, 1.0), self.to_constant(fake, 0.0)
        return Step(0.5 * (loss_real + loss_fake), {'real': loss_real.detach(), 'fake': loss_fake.detach()},     # (11)
                    keep={'attention': a, **with_graph(made=made)} if made.requires_grad else {})

    def go(self, batch: PairBatch, a: Tensor, made: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """There, once, unless it was `made` before: both losses, the picture, and D's map of it."""
        x = batch.image_a
        if made is None:
            made = self.nets['G'](self.fusion(x, a), batch.moment.uniform)                              # (3)
        score, m = self.judge('D', torch.cat([x, made], 1))
        return self.to_constant(score, 1.0), l1_mean(made, batch.image_b), made.detach(), m            # (9) (10)

    def generator_step(self, batch: PairBatch, kept: Keep) -> Step:
        c, a = self.config, kept['attention'] if 'attention' in kept else self.guidance(batch)
        loss_gan, loss_l1, made, m = self.go(batch, a, kept.get('made'))
        if c.attention_source == 'two_pass':
            a = self.carry(m)
            gan_again, l1_again, made, _ = self.go(batch, a)
            loss_gan, loss_l1 = loss_gan + gan_again, loss_l1 + l1_again
        else:
            self.maps.write(batch.index, batch.view, m)
        return Step(loss_gan + c.lambda_l1 * loss_l1,
                    {'gan': loss_gan.detach(), 'l1': loss_l1.detach(), 'attention': a.mean().detach()},
                    {'input': batch.image_a, 'attention': a.detach(), 'edit': made, 'truth': batch.image_b})

    def translate(self, request: DomainRequest) -> Translation:
        """Makes the other picture of [N,3,H,W], `to` the second domain; no edit mask. extras: the attention [N,1,H,W] it was given."""
        check_second(request.to, self.data.domains)
        x, draws = request.image, noise_to_draws(self.fixed_noise() if request.noise is None else request.noise)
        return self.translate_with(x, lambda fused: self.nets['G'](fused, draws), lambda made: self.judge('D', torch.cat([x, made], 1))[1])

    # deliberate copy of pix2pix, held equal by a test
    def fixed_noise(self) -> dict[str, Tensor]:
        """What drops values at test time, U(0,1) [1,C,h,w] each: of one sample, so the same for every picture. Nothing without dropout."""
        dropped = self.nets['G'].dropped if self.config.test_dropout else {}
        return {f'dropout_{j}': Moment().uniform(f'dropout_{j}', *shape) for j, shape in dropped.items()}
