"""DistanceGAN: what lies far apart in one domain shall lie far apart in the other; with or without a cycle, or within one picture.

Paper:      Benaim, Wolf. One-Sided Unsupervised Domain Mapping. NIPS 2017, arXiv:1706.00826.
Reference:  sagiebenaim/DistanceGAN @ f827205 (MIT): read for layers, reductions, order and statistics; no code taken.
Differs:    [D1] statistics are of single pictures, as the loss is; `statistics_of` 2 is the code's on CycleGAN nets, distances between
            batches of two, whose sigma is about 1 / sqrt(2) of it;
            [D2] halves are top and bottom in statistics and loss; the code on DiscoGAN nets takes left and right for the statistics;
            `self_split` 'width' is left and right in both;
            [D3] of two halves the distance is each picture's own, and the mean is of what (2) has in bars; the code averages over the batch
            first (equal at batch 1);
            [D4] statistics are of the set's first pictures, cut in the middle, none mirrored; the code's are of shuffled, augmented ones;
            [D5] one Adam for both discriminators where the code has one each (equal); calls are batched where the nets have no batch norm;
            [D6] DiscoGAN nets work in [-1,1] with tanh, and as in its [D3] to [D5];
            [D7] with `direction` 'a_to_b' F, D_A and their terms do not exist, so there is no cycle; the code keeps a cycle of both.
            [D8] CycleGAN nets as today: the code has those of the first release, zeros beyond borders, norms with scale and offset.
Shapes:     N batch, H W image. x_i of domain A, y_i of B; G: A -> B, F: B -> A; d(u, v) mean of |u - v| over C, H, W.
            mu, sigma: mean and standard deviation of d over all pairs of the first `statistics_pictures` of a domain, or of their halves.

  (1) z_A(u, v) = (d(u, v) - mu_A) / sigma_A, z_B likewise; 0 and 1 for mu and sigma with normalise=False

Generator step                                                   Discriminator step
  (2) L_dist = mean_{i<j} |z_A(x_i, x_j) - z_B(G(x_i), G(x_j))|    (5) on CycleGAN nets, after G's step, through a pool of 50:
             + mean_{i<j} |z_B(y_i, y_j) - z_A(F(y_i), F(y_j))|        sum over A and B of (E[(D(real) - 1)^2] + E[D(pool(fake))^2]) / 2
      distance='self': of the two halves of x_i, of y_i            (6) on DiscoGAN nets, in the first of every `interval` iterations:
  (3) L_gan  = E[(D_B(G(x)) - 1)^2] + E[(D_A(F(y)) - 1)^2];            sum over A and B of (BCE(D(real), 1) + BCE(D(fake), 0)) / 2
      on DiscoGAN nets 0.1 BCE + 0.9 features, as discogan.py
  (4) L_cyc  = mean |F(G(x)) - x| + mean |G(F(y)) - y|; on DiscoGAN nets of squares
  L_G = w (3) + v (lambda_dist (2) + lambda_cyc (4)); w = v = 1, on DiscoGAN nets w = 1 - r, v = r of discogan.py
"""
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import DataSpec, DomainBatch
from retouch.engine import schedules
from retouch.engine.update import Adam, DomainRequest, Keep, Step, Translation, Update, generator_to
from retouch.losses import half_distances, l1_mean, lsgan_halved, mse_mean, mse_to_constant, pair_distances
from retouch.methods import cyclegan, discogan
from retouch.methods.cyclegan import CycleGAN
from retouch.methods.discogan import WEIGHT_FM, WEIGHT_GAN, DiscoGAN, adversarial, rate_at

SCHEDULES = {'cyclegan_linear': schedules.cyclegan_linear, 'constant': schedules.constant, 'linear_last_40': schedules.linear_last_40}
MAKES, OTHER = {'B': 'G', 'A': 'F'}, {'A': 'B', 'B': 'A'}


class Config(BaseConfig):
    """Defaults are the authors' on CycleGAN nets (256 px)."""

    id: Literal['distancegan'] = 'distancegan'
    nets: Literal['cyclegan', 'discogan'] = 'cyclegan'
    """Whose networks, adversarial loss and order of steps."""
    distance: Literal['pairs', 'self'] = 'pairs'
    """Between every two pictures of a batch, or between the halves of every picture."""
    direction: Literal['both', 'a_to_b'] = 'both'
    """Both ways, or one generator and one discriminator."""
    lambda_dist: float = 1.0
    lambda_cyc: float = 0.0
    """The form "+ cycle" has 10 on CycleGAN nets and 1 on DiscoGAN nets."""
    normalise: bool = True
    self_split: Literal['height', 'width'] = 'height'
    """Halves: top and bottom, or left and right."""
    statistics_pictures: int = Field(default=900, gt=1)
    statistics_of: int = Field(default=1, gt=0)
    """Pictures side by side in one distance that is measured; the code's batches of 2 on CycleGAN nets."""
    width_g: int = Field(default=64, gt=0)
    blocks: int | None = Field(default=None, ge=0)
    """CycleGAN nets: residual blocks; None: 9 above 128 px, 6 up to 128 px."""
    layers_g: int | None = Field(default=None, gt=0)
    """DiscoGAN nets: strided convolutions of G; None: 4, fewer below 64 px."""
    bottleneck: int | None = Field(default=None, gt=0)
    """DiscoGAN nets: channels of one more convolution, 4x4 without padding; the code's five layers have 100."""
    width_d: int = Field(default=64, gt=0)
    layers_d: int | None = None
    """CycleGAN nets: strided layers of D; None: 3 from 64 px, 2 below."""
    pool: int = Field(default=50, ge=0)
    """CycleGAN nets only."""
    interval: int = Field(default=3, ge=2)
    curriculum: int = Field(default=10_000, ge=0)
    """DiscoGAN nets: iterations with `starting_rate`; `interval`, `curriculum` and both rates are discogan's."""
    starting_rate: float = Field(default=0.01, ge=0, le=1)
    rate: float = Field(default=0.5, ge=0, le=1)
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    weight_decay: float = Field(default=0.0, ge=0)
    """1e-5 on DiscoGAN nets."""
    schedule: Literal['cyclegan_linear', 'constant', 'linear_last_40'] = 'cyclegan_linear'


class DistanceGAN(nn.Module):
    """Unpaired translation of whole pictures; no mask."""

    id: ClassVar[str] = 'distancegan'
    kind: ClassVar[str] = 'domains'
    Config: ClassVar[type[Config]] = Config
    inference_nets: tuple[str, ...] = ('G', 'F')

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        c = self.config = config
        self.targets = ('B', 'A') if c.direction == 'both' else ('B',)
        self.inference_nets, self.judges = tuple(MAKES[to] for to in self.targets), tuple(f'D_{to}' for to in self.targets)
        self.data = data if c.direction == 'both' else data.model_copy(update={'one_way': True})
        if c.lambda_cyc and c.direction == 'a_to_b':
            raise ValueError(f'lambda_cyc={c.lambda_cyc:g} with direction=a_to_b: a cycle needs both generators; '
                             'set --method.lambda-cyc 0, or --method.direction both')
        if c.nets == 'cyclegan':
            of = CycleGAN(cyclegan.Config(width_g=c.width_g, blocks=c.blocks, width_d=c.width_d, layers_d=c.layers_d, pool=c.pool), data)
            self.pools = nn.ModuleDict({to: of.pools[to] for to in self.targets})
        else:
            of = DiscoGAN(discogan.Config(width_g=c.width_g, layers_g=c.layers_g, bottleneck=c.bottleneck, width_d=c.width_d), data)
        self.nets = nn.ModuleDict({name: of.nets[name] for name in (*self.inference_nets, *self.judges)})
        self.register_buffer('mean', torch.zeros(2))                                   # of A, of B
        self.register_buffer('std', torch.ones(2))

    @classmethod
    def tiny(cls, nets: Literal['cyclegan', 'discogan'] = 'cyclegan', distance: Literal['pairs', 'self'] = 'pairs') -> DistanceGAN:
        """The smallest legal form."""
        return cls(Config(nets=nets, distance=distance, lambda_cyc=1.0 if nets == 'discogan' else 0.0, width_g=4, blocks=1, width_d=4,
                          layers_d=1, pool=3, interval=2, curriculum=2), DataSpec(size=16, domains=('A', 'B')))

    def look_at(self, first: Callable[[int], tuple[Tensor, Tensor]]) -> None:
        """Measures mu and sigma of (1) on the first pictures of either domain. ValueError where there are too few, or all are alike."""
        c = self.config
        if not c.normalise:
            return
        for k, (name, pictures) in enumerate(zip(self.data.domains, first(c.statistics_pictures * c.statistics_of), strict=True)):
            n = len(pictures) // c.statistics_of
            if n < 2:
                raise ValueError(f'domain {name} has {len(pictures)} pictures: expected {2 * c.statistics_of} or more, '
                                 'to measure distances between them; add pictures, or set --method.normalise false')
            d = self.distances(pictures[:n * c.statistics_of].unflatten(0, (n, c.statistics_of)).flatten(1, 2))
            self.mean[k], self.std[k] = d.mean(), d.std(correction=0)
            if not self.std[k] > 1e-6:
                raise ValueError(f'all distances in domain {name} are {self.mean[k]:.3g}: expected some that differ, to divide by their '
                                 'spread; add pictures, or set --method.normalise false')

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam, schedule = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2), weight_decay=c.weight_decay), SCHEDULES[c.schedule]
        g = partial(Update, 'G', self.inference_nets, self.generator_step, adam, schedule)
        d = partial(Update, 'D', self.judges, self.discriminator_step, adam, schedule)
        if c.nets == 'cyclegan':
            return g(), d()
        return d(every=c.interval, at=(0,)), g(every=c.interval, at=(*range(1, c.interval),))

    def generate(self, to: str, x: Tensor) -> Tensor:
        """Brings [N,3,H,W] to domain 'A' or 'B', in [-1,1]."""
        made = self.nets[MAKES[to]](x)
        return made if self.config.nets == 'cyclegan' else made.tanh()

    def distances(self, x: Tensor) -> Tensor:
        """d of every two of [N,C,H,W], or of the halves of each -> [pairs] or [N]."""
        if self.config.distance == 'self':
            return half_distances(x, 2 if self.config.self_split == 'height' else 3)
        if x.shape[0] < 2:
            raise ValueError(f'batch_size={x.shape[0]}: distances are between the pictures of a batch, expected 2 or more; '
                             'set --train.batch-size 2, or --method.distance self')
        return pair_distances(x)

    def kept_apart(self, x: Tensor, made: Tensor, to: str) -> Tensor:
        """One direction's (2): x [N,3,H,W] and what was made of it in domain `to` -> scalar."""
        k = 'AB'.index(to)
        z, z_made = ((self.distances(p) - self.mean[i]) / self.std[i] for p, i in ((x, 1 - k), (made, k)))      # (1)
        return (z - z_made).abs().mean()

    def fooled(self, real: Tensor, made: Tensor, to: str) -> Tensor:
        """One direction's (3): [N,3,H,W] of domain `to` each -> scalar."""
        D = self.nets[f'D_{to}']
        if self.config.nets == 'cyclegan':
            return mse_to_constant(D(made), 1.0)
        gan, fm = adversarial(D, real, made)
        return WEIGHT_GAN * gan + WEIGHT_FM * fm

    def generator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        c, of = self.config, {'A': batch.image_a, 'B': batch.image_b}
        r = rate_at(batch.moment, c)
        w, v = (1.0, 1.0) if c.nets == 'cyclegan' else (1 - r, r)
        apart = l1_mean if c.nets == 'cyclegan' else mse_mean
        made = {to: self.generate(to, of[OTHER[to]]) for to in self.targets}
        loss_dist = torch.stack([self.kept_apart(of[OTHER[to]], made[to], to) for to in self.targets]).sum()      # (2)
        loss_gan = torch.stack([self.fooled(of[to], made[to], to) for to in self.targets]).sum()                    # (3)
        loss_cyc = torch.zeros_like(loss_dist)
        if c.lambda_cyc:
            loss_cyc = torch.stack([apart(self.generate(OTHER[to], made[to]), of[OTHER[to]]) for to in self.targets]).sum()     # (4)
        shown = {'input': of['A'], 'edit': made['B'].detach()}
        if 'A' in made:
            shown |= {'input_b': of['B'], 'edit_b': made['A'].detach()}
        return Step(w * loss_gan + v * (c.lambda_dist * loss_dist + c.lambda_cyc * loss_cyc),
                    {'gan': loss_gan.detach(), 'dist': loss_dist.detach(), 'cyc': loss_cyc.detach()}, shown,
                    {f'fake_{to}': fake.detach() for to, fake in made.items()})

    def discriminator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        of, losses = {'A': batch.image_a, 'B': batch.image_b}, {}
        for to in self.targets:
            D = self.nets[f'D_{to}']
            if self.config.nets == 'cyclegan':
                made = self.pools[to].exchange(kept[f'fake_{to}'], batch.moment, to)
                losses[to] = lsgan_halved(D, of[to], made)                                                       # (5)
            else:
                with torch.no_grad():
                    made = self.generate(to, of[OTHER[to]])
                losses[to] = discogan.told_apart(D, of[to], made)                                                         # (6)
        return Step(torch.stack([*losses.values()]).sum(), {to: loss.detach() for to, loss in losses.items()})

    def translate(self, request: DomainRequest) -> Translation:
        """Brings [N,3,H,W] to domain `request.to`; no edit mask."""
        to = 'B' if generator_to(request.to, self.data) == 'G' else 'A'
        return Translation(self.generate(to, request.image).float())
