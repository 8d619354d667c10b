"""DRIT: contents that a discriminator cannot tell apart by domain, attributes from a Gaussian, and a cross-cycle that swaps them twice.

Paper:      Lee, Tseng, Huang, Singh, Yang. Diverse Image-to-Image Translation via Disentangled Representations. ECCV 2018,
            arXiv:1808.00948.
Reference:  HsinYingLee/DRIT @ f19f50a (no licence stated), its `--no_ms`, which is the system of 2018, with attributes joined to the
            features (`--concat 1`): read for layers, losses, order and schedule; no code taken.
Differs:    [D1] calls of one network on several inputs are batched where the inputs exist (norms are per sample, so equal);
            [D2] draws are keyed by (seed, iteration, sample), the same in every step of an iteration, as the code's one pass for all is;
            [D3] samples 0, 2, 4 … of a batch are encoded, 1, 3, 5 … stand beside random translations; the code encodes one of its two;
            [D4] the step with a random style makes its pictures again with the weights that the step before it left; the code reuses the
            pass from before, which torch now refuses (weights changed in place);
            [D5] (11) is a mean over N, the code sums over its one encoded picture;
            [D6] rates decay every iteration, the code's every epoch; it also makes the last two iterations of an epoch whole ones;
            [D7] discriminators have fewer strided convolutions below 128 px (pictures) and 212 px (contents);
            [D8] with an exemplar `translate` uses the mean of its style, without one a fixed draw for every picture; the code draws both.
Shapes:     N batch, H W image. x of domain A, y of domain B in [-1,1], encoded half; x~, y~ the other half; c content [N,256,H/4,W/4];
            mu, v mean and logarithm of the variance of a style [N,8]; G_A(c, s), G_B(c, s); D_A, D_B, D_A2, D_B2 patch scores at three
            scales; D_c of contents; H(u, t): mean binary cross-entropy of logits u with t, for pictures summed over scales.

  (1) c_x = E_c(x) + noise, c_y alike; s_x = mu(x) + noise exp(v(x) / 2), s_y alike; noise and s ~ N(0, I), one s for both domains
  (2) x' = G_A(c_y, s_x), y' = G_B(c_x, s_y);  x'' = G_A(c_x, s_x), y'' = G_B(c_y, s_y);  x* = G_A(c_y, s), y* = G_B(c_x, s)
  (3) x^ = G_A(c(y'), s(x')), y^ = G_B(c(x'), s(y')), with (1)

Discriminator step, in the last of d_iter iterations             Generator step, in the last of d_iter iterations (E_c, E_a, G)
  (4) L_1 = H(D_A(x), 1) + H(D_A(x'), 0), D_B alike                (7) L_gan = H(D_A(x'), 1) + H(D_B(y'), 1)
  (5) L_2 = H(D_A2(x~), 1) + H(D_A2(x*), 0), D_B2 alike            (8) L_con = H(D_c(c_x), 1/2) + H(D_c(c_y), 1/2)
  L_D = (4) + (5)                                                  (9) L_cc = mean |x^ - x| + mean |y^ - y|
Content discriminator step, in every iteration, after it           (10) L_rec = mean |x'' - x| + mean |y'' - y|
  (6) L_Dc = H(D_c(c_y), 1) + H(D_c(c_x), 0)                       (11) L_kl = sum_k (mu^2 + exp v - 1 - v) / 2, mean over N, x and y
  its gradient is clipped at a norm of 5                           (12) L_reg = mean c_x^2 + mean c_y^2
Random style step, after the generator's (E_c, G)                  L_G = (7) + lambda_con (8) + lambda_cc (9) + lambda_rec (10)
  (13) L_gan2 = H(D_A2(x*), 1) + H(D_B2(y*), 1)                           + lambda_kl (11) + lambda_reg (12)
  (14) L_lat = mean |mu(x*) - s| + mean |mu(y*) - s|
  L_R = (13) + lambda_lat (14)
"""
from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import DataSpec, DomainBatch, Moment
from retouch.engine import schedules
from retouch.engine.update import Adam, DomainRequest, Keep, Step, Translation, Update, with_graph
from retouch.errors import check_halved_twice, unknown
from retouch.losses import bce_to_constant, full, kl_sum_over_dimensions, l1_mean
from retouch.networks.drit import AttributeEncoder, ContentDiscriminator, ContentEncoder, Domain, Generator, init_gaussian
from retouch.networks.munit import MultiScaleDiscriminator

SCHEDULES = {'linear': schedules.linear_second_half, 'linear_last_40': schedules.linear_last_40}


class Config(BaseConfig):
    """Defaults are the authors' (216 px)."""

    id: Literal['drit'] = 'drit'
    width_g: int = Field(default=64, gt=0)
    """Channels of the content encoder's first convolution, a quarter of a content's."""
    blocks: int = Field(default=3, ge=0)
    """Residual blocks of a domain's own, in the content encoder and in the generator; each has one more for both domains."""
    width_a: int = Field(default=64, gt=0)
    """Channels of the attribute encoder's first convolution."""
    style_dim: int = Field(default=8, gt=0)
    width_d: int = Field(default=64, gt=0)
    d_iter: int = Field(default=3, gt=0)
    """Length of a cycle in iterations; in all but its last only the content discriminator learns."""
    clip: float = Field(default=5.0, gt=0)
    """Largest norm of the content discriminator's gradient."""
    lambda_con: float = 1.0
    lambda_cc: float = 10.0
    lambda_rec: float = 10.0
    lambda_lat: float = 10.0
    lambda_kl: float = 0.01
    lambda_reg: float = 0.01
    lr: float = 1e-4
    lr_content: float = 4e-5
    """Of the content discriminator."""
    beta1: float = 0.5
    beta2: float = 0.999
    weight_decay: float = 1e-4
    schedule: Literal['linear', 'linear_last_40'] = 'linear'


class DRIT(nn.Module):
    """Unpaired translation of whole pictures, with the attributes of an exemplar or with drawn ones; no mask."""

    id: ClassVar[str] = 'drit'
    kind: ClassVar[str] = 'domains'
    takes_exemplar: ClassVar[bool] = True
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = ('E_c', 'E_a', 'G')

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        check_halved_twice(data.size, 'encoder', 16)
        self.config, self.data, c = config, data, config
        nets = {'E_c': ContentEncoder(c.width_g, c.blocks), 'E_a': AttributeEncoder(c.width_a, c.style_dim),
                'G': Generator(c.width_g, c.blocks, c.style_dim), 'D_c': ContentDiscriminator(data.size // 4, 4 * c.width_g),
                **{name: MultiScaleDiscriminator(data.size, c.width_d, slope=0.01) for name in ('D_A', 'D_B', 'D_A2', 'D_B2')}}
        self.nets = nn.ModuleDict({name: init_gaussian(net) for name, net in nets.items()})

    @classmethod
    def tiny(cls) -> DRIT:
        """The smallest legal form."""
        return cls(Config(width_g=4, blocks=1, width_a=4, style_dim=3, width_d=4, d_iter=2), DataSpec(size=16, domains=('A', 'B')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam, schedule = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2), weight_decay=c.weight_decay), SCHEDULES[c.schedule]
        return (Update('D', ('D_A', 'D_B', 'D_A2', 'D_B2'), self.discriminator_step, adam, schedule, every=c.d_iter,
                       ahead=('E_c', 'E_a', 'G')),
                Update('D_c', ('D_c',), self.content_discriminator_step, partial(adam, lr=c.lr_content), schedule, clip=c.clip),
                Update('G', ('E_c', 'E_a', 'G'), self.generator_step, adam, schedule, every=c.d_iter),
                Update('R', ('E_c', 'G'), self.random_style_step, adam, schedule, every=c.d_iter, shares='G'))

    def draw(self, batch: DomainBatch, name: str, *shape: int) -> Tensor:
        """N(0,1) of the encoded half of a batch, [N,*shape]; the same whenever an iteration asks for `name`."""
        return batch.moment.normal(name, *shape, device=batch.image_a.device)[::2]

    def halves(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The encoded and the other half of a batch of one domain."""
        if len(image) < 2:
            raise ValueError(f'a batch of {len(image)}: one half is encoded, the other stands beside random translations; '
                             'set --train.batch-size 2 or more, and even')
        return image[::2], image[1::2]

    def content(self, batch: DomainBatch, image: Tensor, domain: Domain, name: str) -> Tensor:
        """Content [N,C,h,w] of encoded pictures of a domain, with the noise of training."""
        c = self.nets['E_c'](image, domain)
        return c + self.draw(batch, name, *c.shape[1:])                                                 # (1)

    def style(self, batch: DomainBatch, image: Tensor, domain: Domain, name: str) -> tuple[Tensor, Tensor, Tensor]:
        """Drawn style, mean and logarithm of the variance, each [N,K], of encoded pictures of a domain."""
        mean, logvar = (full(t) for t in self.nets['E_a'](image, domain))
        return mean + self.draw(batch, name, mean.shape[1]) * (logvar / 2).exp(), mean, logvar

    def random_style(self, batch: DomainBatch) -> Tensor:
        return self.draw(batch, 'random style', self.config.style_dim)

    def contents(self, batch: DomainBatch) -> tuple[Tensor, Tensor]:
        """c_x and c_y."""
        return (self.content(batch, self.halves(batch.image_a)[0], 'A', 'content A'),
                self.content(batch, self.halves(batch.image_b)[0], 'B', 'content B'))

    def first_pass(self, batch: DomainBatch) -> dict[str, Tensor]:
        """What the encoded half becomes with the styles it has: contents, styles, their moments, fakes and reconstructions."""
        G, (x, _), (y, _) = self.nets['G'], self.halves(batch.image_a), self.halves(batch.image_b)
        c_x, c_y = self.contents(batch)
        (s_x, mean_x, logvar_x), (s_y, mean_y, logvar_y) = self.style(batch, x, 'A', 'style A'), self.style(batch, y, 'B', 'style B')
        fake_a, rec_a = G(torch.cat([c_y, c_x]), torch.cat([s_x, s_x]), 'A').chunk(2)                   # (2)
        fake_b, rec_b = G(torch.cat([c_x, c_y]), torch.cat([s_y, s_y]), 'B').chunk(2)
        return {'c_x': c_x, 'c_y': c_y, 'mean_x': mean_x, 'logvar_x': logvar_x, 'mean_y': mean_y, 'logvar_y': logvar_y,
                'fake_a': fake_a, 'rec_a': rec_a, 'fake_b': fake_b, 'rec_b': rec_b}

    def discriminator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        G, (x, x_other), (y, y_other), s = self.nets['G'], self.halves(batch.image_a), self.halves(batch.image_b), self.random_style(batch)
        first = self.first_pass(batch)                                                                  # its graph is for (7) to (12)
        with torch.no_grad():
            random_a, random_b = G(first['c_y'], s, 'A'), G(first['c_x'], s, 'B')                       # (2)
        loss_1 = self.told_apart('D_A', x, first['fake_a'].detach()) + self.told_apart('D_B', y, first['fake_b'].detach())     # (4)
        loss_2 = self.told_apart('D_A2', x_other, random_a) + self.told_apart('D_B2', y_other, random_b)       # (5)
        return Step(loss_1 + loss_2, {'encoded': loss_1.detach(), 'random': loss_2.detach()},
                    keep={'contents': (first['c_x'].detach(), first['c_y'].detach()), **with_graph(**first)})

    def told_apart(self, net: str, real: Tensor, fake: Tensor) -> Tensor:
        """Cross-entropies of real pictures with 1 and of fakes with 0: means, summed over scales and both."""
        pairs = [scores.split([len(real), len(fake)]) for scores in self.nets[net](torch.cat([real, fake]))]
        return torch.stack([bce_to_constant(r, 1.0) + bce_to_constant(f, 0.0) for r, f in pairs]).sum()

    def taken_for_real(self, net: str, fake: Tensor) -> Tensor:
        """Cross-entropies of fakes with 1: means, summed over scales."""
        return torch.stack([bce_to_constant(scores, 1.0) for scores in self.nets[net](fake)]).sum()

    def content_discriminator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        with torch.no_grad():
            c_x, c_y = kept.get('contents') or self.contents(batch)                                     # the encoders rest before it
        score_x, score_y = self.nets['D_c'](torch.cat([c_x, c_y])).chunk(2)
        loss = bce_to_constant(score_y, 1.0) + bce_to_constant(score_x, 0.0)                            # (6)
        return Step(loss)

    def generator_step(self, batch: DomainBatch, kept: Keep) -> Step:
        c, G, (x, _), (y, _) = self.config, self.nets['G'], self.halves(batch.image_a), self.halves(batch.image_b)
        first = kept if 'fake_a' in kept else self.first_pass(batch)
        c_x, c_y, fake_a, fake_b, rec_a, rec_b = (first[k] for k in ('c_x', 'c_y', 'fake_a', 'fake_b', 'rec_a', 'rec_b'))
        c_x_again, c_y_again = self.content(batch, fake_b, 'B', 'content B again'), self.content(batch, fake_a, 'A', 'content A again')
        s_x_again, s_y_again = self.style(batch, fake_a, 'A', 'style A again')[0], self.style(batch, fake_b, 'B', 'style B again')[0]
        back_a, back_b = G(c_x_again, s_x_again, 'A'), G(c_y_again, s_y_again, 'B')                     # (3)
        loss_gan = self.taken_for_real('D_A', fake_a) + self.taken_for_real('D_B', fake_b)              # (7)
        loss_con = 2 * bce_to_constant(self.nets['D_c'](torch.cat([c_x, c_y])), 0.5)                     # (8)
        loss_cc = l1_mean(back_a, x) + l1_mean(back_b, y)                                               # (9)
        loss_rec = l1_mean(rec_a, x) + l1_mean(rec_b, y)                                                # (10)
        loss_kl = sum(kl_sum_over_dimensions(first[f'mean_{d}'], first[f'logvar_{d}']) for d in ('x', 'y'))     # (11)
        loss_reg = full(c_x).square().mean() + full(c_y).square().mean()                                # (12)
        loss = (loss_gan + c.lambda_con * loss_con + c.lambda_cc * loss_cc + c.lambda_rec * loss_rec
                + c.lambda_kl * loss_kl + c.lambda_reg * loss_reg)
        return Step(loss, {'gan': loss_gan.detach(), 'con': loss_con.detach(), 'cc': loss_cc.detach(), 'rec': loss_rec.detach(),
                           'kl': loss_kl.detach(), 'reg': loss_reg.detach()},
                    {'input': x, 'edit': fake_b.detach(), 'back': back_a.detach(),
                     'input_b': y, 'edit_b': fake_a.detach(), 'back_b': back_b.detach()})

    def random_style_step(self, batch: DomainBatch, kept: Keep) -> Step:
        (c_x, c_y), s = self.contents(batch), self.random_style(batch)
        random_a, random_b = self.nets['G'](c_y, s, 'A'), self.nets['G'](c_x, s, 'B')
        loss_gan = self.taken_for_real('D_A2', random_a) + self.taken_for_real('D_B2', random_b)        # (13)
        loss_lat = l1_mean(self.nets['E_a'](random_a, 'A')[0], s) + l1_mean(self.nets['E_a'](random_b, 'B')[0], s)      # (14)
        return Step(loss_gan + self.config.lambda_lat * loss_lat, {'gan': loss_gan.detach(), 'lat': loss_lat.detach()},
                    {'random': random_b.detach(), 'random_b': random_a.detach()})

    def translate(self, request: DomainRequest) -> Translation:
        """Brings [N,3,H,W] to domain `request.to`, with its exemplar's mean style or with the fixed drawn one; no edit mask."""
        if request.to not in self.data.domains:
            raise unknown('domain', request.to, self.data.domains)
        x = request.image
        source: Domain = 'A' if request.to == self.data.domains[1] else 'B'
        target: Domain = 'B' if source == 'A' else 'A'
        if request.exemplar is None:
            style = (self.fixed_noise() if request.noise is None else request.noise)['style'].to(x.device).expand(x.shape[0], -1)
        else:
            style = self.style_of(request.exemplar, request.to)
        return Translation(self.nets['G'](self.nets['E_c'](x, source), style, target).float())

    def fixed_noise(self) -> dict[str, Tensor]:
        """The style [1,S] of every picture without an exemplar, N(0,1)."""
        return {'style': Moment().normal('style', self.config.style_dim)}

    def style_of(self, exemplar: Tensor, to: str) -> Tensor:
        """Pictures [N,3,H,W] of domain `to` -> the means of their styles [N,S]."""
        return self.nets['E_a'](exemplar, 'B' if to == self.data.domains[1] else 'A')[0]
