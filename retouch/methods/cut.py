"""CUT: one generator from one unpaired domain to another, held to its input by contrast between patches; FastCUT is its light form.

Paper:      Park, Efros, Zhang, Zhu. Contrastive Learning for Unpaired Image-to-Image Translation. ECCV 2020, arXiv:2007.15651.
Reference:  taesungp/contrastive-unpaired-translation @ b3ac297 (BSD): read for layers, reductions, draws and schedule; no code taken.
Differs:    [D1] features of G(x) and G(y), and those of x and y, come from one call each (instance norm is per sample, so equal);
            [D2] keys are made without a graph: the code detaches them behind F, so that neither G nor F learns through them either;
            [D3] positions and flips are keyed by (seed, iteration), the same for all processes;
            [D4] F is made of the known widths of the maps, not at the first pass;
            [D5] the epoch schedule counts in 1/400ths (FastCUT: 1/200ths) of the run; D has fewer layers below 64 px;
            [D6] negatives are other positions of the same picture; the code's switch for single-image training is left out.
Shapes:     N batch, H W image. x of domain A, y of domain B in [-1,1]; G: A -> B; D patch scores [N,1,h,w]. E_l(x) [N,C,h,w] the map of G's
            layer l of `taps`; F_l of its vectors at P positions [N,P,256] of length 1: q_p of E_l(G(x)), k_p of E_l(x), T temperature.

Discriminator step                                    Step of generator and projection
  (1) L_real = E[(D(y) - 1)^2]                          (3) L_gan = E[(D(G(x)) - 1)^2]
  (2) L_fake = E[D(G(x))^2]                             (4) L_nce(x) = mean over l, N, p of
                                                            - log(e^(q_p.k_p / T) / (e^(q_p.k_p / T) + sum over r not p e^(q_p.k_r / T)))
                                                        (5) L_idt = L_nce(y), of E_l(G(y)) and E_l(y)
  L_D = ((1) + (2)) / 2                                 CUT: L_G = (3) + lambda_nce ((4) + (5)) / 2;   FastCUT: L_G = (3) + lambda_nce (4)
                                                        flip: with probability 1/2 G sees all pictures mirrored, E_l(G(x)) is mirrored back
"""
from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import DataSpec, DomainBatch, Moment, keyed_generator
from retouch.engine import schedules
from retouch.engine.update import Adam, DomainRequest, Keep, Step, Translation, Update, generator_to, with_graph
from retouch.errors import check_halved_twice
from retouch.losses import full, mse_to_constant
from retouch.networks.cut import PatchProjection
from retouch.networks.cyclegan import PatchDiscriminator, ResNetGenerator, init_xavier, layers_at

SCHEDULES = {'cut_linear': partial(schedules.cyclegan_linear, epochs=400),
             'fastcut_linear': partial(schedules.cyclegan_linear, epochs=200, steady=150), 'linear_last_40': schedules.linear_last_40}


class Config(BaseConfig):
    """Defaults are the authors' CUT (256 px); FastCUT changes `lambda_nce`, `identity`, `flip` and `schedule`."""

    id: Literal['cut'] = 'cut'
    width_g: int = Field(default=64, gt=0)
    blocks: int = Field(default=9, ge=0)
    """Residual blocks."""
    width_d: int = Field(default=64, gt=0)
    layers_d: int | None = None
    """Strided layers of D; None: 3 from 64 px, 2 below."""
    width_f: int = Field(default=256, gt=0)
    """Length of the vectors that are compared."""
    taps: tuple[int, ...] = (0, 4, 8, 12, 16)
    """Maps that are compared: 0 the picture, 1, 4 and 8 the convolutions before their norms, 12 the first block, 13 the second, …"""
    patches: int = Field(default=256, gt=1)
    """Positions of a map, or all where it has fewer."""
    temperature: float = Field(default=0.07, gt=0)
    lambda_nce: float = 1.0
    """FastCUT: 10."""
    identity: bool = True
    """(5); FastCUT: no."""
    flip: bool = False
    """Half of the iterations are mirrored; FastCUT: yes."""
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Literal['cut_linear', 'fastcut_linear', 'linear_last_40'] = 'cut_linear'


def patch_nce(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding the own key among all of the picture's, mean over N and P. query, key [N,P,C].

    As in the code the own key's place among the negatives holds -10, e^(-10 / temperature) in the sum: about 0.
    """
    similar = full(query) @ full(key).transpose(1, 2)                                                   # [N,P,P]
    positive = similar.diagonal(dim1=1, dim2=2)[..., None]
    negative = similar.masked_fill(torch.eye(similar.shape[1], dtype=torch.bool, device=similar.device), -10.0)
    logits = torch.cat([positive, negative], 2).flatten(0, 1) / temperature
    return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


class CUT(nn.Module):
    """Unpaired translation of whole pictures, one way; no mask."""

    id: ClassVar[str] = 'cut'
    kind: ClassVar[str] = 'domains'
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = ('G',)

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        check_halved_twice(data.size)
        self.config, self.data = config, data.model_copy(update={'one_way': True})
        self.taps, known = tuple(sorted(set(config.taps))), (0, 1, 4, 8, *range(12, 12 + config.blocks))
        if not self.taps or not set(self.taps) <= set(known):
            fit = [t for t in self.taps if t in known] or [0, 4, 8]
            raise ValueError(f'taps={",".join(map(str, config.taps))} of a generator with {config.blocks} blocks: expected some of '
                             f'{",".join(map(str, known))}; set --method.taps {",".join(map(str, fit))}')
        G = init_xavier(ResNetGenerator(width=config.width_g, blocks=config.blocks, antialias=True))
        w = config.width_g
        channels = [{0: 3, 1: w, 4: 2 * w}.get(tap, 4 * w) for tap in self.taps]
        D = PatchDiscriminator(width=config.width_d, layers=layers_at(data.size, config.layers_d), antialias=True)
        self.nets = nn.ModuleDict({'G': G, 'F': init_xavier(PatchProjection(channels, config.width_f)), 'D': init_xavier(D)})

    @classmethod
    def tiny(cls) -> CUT:
        """The smallest legal form."""
        return cls(Config(width_g=4, blocks=1, width_d=4, layers_d=1, width_f=8, taps=(0, 4, 8, 12), patches=8),
                   DataSpec(size=16, domains=('A', 'B')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam, schedule = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2)), SCHEDULES[c.schedule]
        return (Update('D', ('D',), self.discriminator_step, adam, schedule, ahead=('G',)),
                Update('G', ('G', 'F'), self.generator_step, adam, schedule))

    def is_mirrored(self, moment: Moment) -> bool:
        """Whether G sees this iteration's pictures mirrored."""
        return self.config.flip and bool(torch.rand((), generator=keyed_generator(moment.seed, moment.iteration, 'mirrored')) < 0.5)

    def generate(self, batch: DomainBatch) -> Tensor:
        """G(x) [N,3,H,W], followed by G(y) [N,3,H,W] where (5) is asked for."""
        seen = torch.cat([batch.image_a, batch.image_b]) if self.config.identity else batch.image_a
        return self.nets['G'](seen.flip(3) if self.is_mirrored(batch.moment) else seen)

    def discriminator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        made = self.generate(batch)                                      # its graph is for (3) to (5)
        fake = made[:len(batch.image_a)].detach()
        loss_real = mse_to_constant(self.nets['D'](batch.image_b), 1.0)  # (1)
        loss_fake = mse_to_constant(self.nets['D'](fake), 0.0)           # (2)
        return Step(0.5 * (loss_real + loss_fake), {'real': loss_real.detach(), 'fake': loss_fake.detach()}, keep=with_graph(made=made))

    def generator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        c, x, y, N = self.config, batch.image_a, batch.image_b, len(batch.image_a)
        made = kept['made'] if 'made' in kept else self.generate(batch)
        loss_gan = mse_to_constant(self.nets['D'](made[:N]), 1.0)        # (3)
        asked = self.nets['G'].features(made, self.taps)
        if self.is_mirrored(batch.moment):
            asked = [m.flip(3) for m in asked]
        with torch.no_grad():
            known = self.nets['G'].features(torch.cat([x, y]) if c.identity else x, self.taps)
        loss_nce = self.contrast([m[:N] for m in asked], [m[:N] for m in known], batch.moment, 'x')     # (4)
        if c.identity:
            loss_idt = self.contrast([m[N:] for m in asked], [m[N:] for m in known], batch.moment, 'y')  # (5)
            loss = loss_gan + c.lambda_nce * (loss_nce + loss_idt) / 2
        else:
            loss_idt, loss = torch.zeros_like(loss_nce), loss_gan + c.lambda_nce * loss_nce
        return Step(loss, {'gan': loss_gan.detach(), 'nce': loss_nce.detach(), 'idt': loss_idt.detach()},
                    {'input': x, 'edit': made[:N].detach().flip(3) if self.is_mirrored(batch.moment) else made[:N].detach(), 'input_b': y})

    def contrast(self, asked: list[Tensor], known: list[Tensor], moment: Moment, name: str) -> Tensor:
        """Mean over maps of `patch_nce` between those of a made picture and those of what it was made of, [N,C,h,w] each."""
        draws = keyed_generator(moment.seed, moment.iteration, f'patches_{name}')
        at = [torch.randperm(m.shape[2] * m.shape[3], generator=draws)[:self.config.patches].to(m.device) for m in known]
        with torch.no_grad():
            keys = self.nets['F'](known, at)
        terms = [patch_nce(q, k, self.config.temperature) for q, k in zip(self.nets['F'](asked, at), keys, strict=True)]
        return torch.stack(terms).mean()

    def translate(self, request: DomainRequest) -> Translation:
        """Brings [N,3,H,W] to the second of the model's domains, the only `to` there is; no edit mask."""
        return Translation(self.nets[generator_to(request.to, self.data)](request.image).float())
