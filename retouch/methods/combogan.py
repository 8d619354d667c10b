"""ComboGAN: CycleGAN for many domains, an encoder, a decoder and a discriminator for each; every step trains those of two.

Paper:      Anoosheh, Agustsson, Timofte, Van Gool. ComboGAN: Unrestrained Scalability for Image Domain Translation. CVPR Workshops 2018,
            arXiv:1712.06909.
Reference:  AAnoosheh/ComboGAN @ 295e61b, the release of December 2017 (BSD): read for layers, reductions, pools and schedule; no code
            taken.
Differs:    [D1] calls of one network on several inputs are batched where the inputs exist (instance norm is per sample, so equal);
            [D2] the pools' draws are keyed by (seed, iteration, sample), their contents are part of the state;
            [D3] one Adam holds the networks of all domains; those that rest have no gradient, so that their moments stay as they are, as
                 those of the code's one Adam a domain do;
            [D4] the rate falls in every iteration, in the code after every epoch; pictures are not resized to 286 px and cropped;
            [D5] a picture that is asked for the class it has comes back as it is; terms of weight 0 in the code (autoencoding, forward,
                 latent) are left out;
            [D6] what a picture shows is read by the discriminators, the softmax of their mean scores; the code reads nothing;
            [D7] D has fewer layers below 64 px;
            [D8] the later code's discriminators (a prediction a layer, grey and blurred colour, PReLU) are not here.
Shapes:     N batch, K classes, H W image. By turns x_i of class i and x_j of class j [N/2,3,H,W] in [-1,1]; E_k encoder [N,C,H/4,W/4], G_k
            decoder, D_k patch scores [N,1,h,w] of class k; pool_k: of 50 pictures that were made for class k.

  (1) x_ij = G_j(E_i(x_i)), x_ji = G_i(E_j(x_j));  x_iji = G_i(E_j(x_ij)), x_jij = G_j(E_i(x_ji))
Step of the encoders and decoders of i and j             Step of the discriminators of i and j
  (2) L_gan = E[(D_j(x_ij) - 1)^2] + E[(D_i(x_ji) - 1)^2]      (4) L_j = (E[(D_j(x_j) - 1)^2] + E[D_j(pool_j(x_ij))^2]) / 2
  (3) L_cyc = mean |x_iji - x_i| + mean |x_jij - x_j|          (5) L_i = (E[(D_i(x_i) - 1)^2] + E[D_i(pool_i(x_ji))^2]) / 2
  L_G = (2) + lambda_cyc (3)                                   L_D = (4) + (5)
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import AttributeBatch, DataSpec
from retouch.engine import schedules
from retouch.engine.pool import ImagePool
from retouch.engine.update import Adam, AttributeRequest, Keep, Step, Translation, Update
from retouch.errors import check_halved_twice
from retouch.losses import full, l1_mean, lsgan_halved, mse_to_constant
from retouch.networks.cyclegan import PatchDiscriminator, ResNetGenerator, init_normal, layers_at

SCHEDULES = {'linear_second_half': schedules.linear_second_half, 'linear_last_40': schedules.linear_last_40}


class Config(BaseConfig):
    """Defaults are the authors' (256 px)."""

    id: Literal['combogan'] = 'combogan'
    labels: Literal['single'] = 'single'
    """One class a picture."""
    width_g: int = Field(default=64, gt=0)
    blocks: int = Field(default=9, ge=0)
    """Residual blocks; half of them, rounded down, encode."""
    width_d: int = Field(default=64, gt=0)
    layers_d: int | None = None
    """Strided layers of D; None: 3 from 64 px, 2 below."""
    lambda_cyc: float = 10.0
    pool: int = Field(default=50, ge=0)
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Literal['linear_second_half', 'linear_last_40'] = 'linear_second_half'


class ComboGAN(nn.Module):
    """Unpaired translation of whole pictures between any number of classes; no mask."""

    id: ClassVar[str] = 'combogan'
    kind: ClassVar[str] = 'attributes'
    Config: ClassVar[type[Config]] = Config

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        side, c = data.window or data.size, config
        for wanted in (side, data.size):
            check_halved_twice(wanted, 'encoder')
        if len(data.attributes) < 2:
            raise ValueError(f'{len(data.attributes)} class: a picture becomes one of another class, expected at least two; use a '
                             'folder of class folders, or name more in --data.attributes')
        self.config, self.data = config, data
        layers, cut = layers_at(side, c.layers_d), 9 + c.blocks // 2
        generators = [init_normal(ResNetGenerator(width=c.width_g, blocks=c.blocks, kernel_up=4)).main for _ in data.attributes]
        self.nets = nn.ModuleDict({
            **{f'E_{k}': g[:cut] for k, g in enumerate(generators)}, **{f'G_{k}': g[cut:] for k, g in enumerate(generators)},
            **{f'D_{k}': init_normal(PatchDiscriminator(width=c.width_d, layers=layers, padding=2)) for k in range(len(generators))}})
        self.pools = nn.ModuleList(ImagePool(c.pool, (3, side, side)) for _ in data.attributes)
        self.inference_nets = tuple(self.nets)                           # the discriminators read what a picture shows

    @classmethod
    def tiny(cls) -> ComboGAN:
        """The smallest legal form with a class that rests."""
        return cls(Config(width_g=4, blocks=2, width_d=4, layers_d=1, pool=3), DataSpec(size=16, attributes=('a', 'b', 'c')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam, schedule = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2)), SCHEDULES[c.schedule]

        def of_pair(letters: str) -> Callable[[AttributeBatch], tuple[str, ...]]:
            return lambda batch: tuple(f'{letter}_{k}' for letter in letters for k in pair_of(batch))

        makers, judges = ([name for name in self.nets if name[0] in letters] for letters in ('EG', 'D'))
        return (Update('G', tuple(makers), self.generator_step, adam, schedule, among=of_pair('EG')),
                Update('D', tuple(judges), self.discriminator_step, adam, schedule, among=of_pair('D')))

    def generator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        n, (i, j), x, y = self.nets, pair_of(batch), batch.image[::2], batch.image[1::2]
        fake_i = n[f'G_{i}'](n[f'E_{j}'](y))                                                            # (1)
        made = n[f'G_{j}'](n[f'E_{i}'](torch.cat([x, fake_i])))
        fake_j, rec_j = made[:len(x)], made[len(x):]
        rec_i = n[f'G_{i}'](n[f'E_{j}'](fake_j))
        loss_gan = mse_to_constant(n[f'D_{j}'](fake_j), 1.0) + mse_to_constant(n[f'D_{i}'](fake_i), 1.0)      # (2)
        loss_cyc = l1_mean(rec_i, x) + l1_mean(rec_j, y)                                                # (3)
        return Step(loss_gan + self.config.lambda_cyc * loss_cyc, {'gan': loss_gan.detach(), 'cyc': loss_cyc.detach()},
                    {'input': x, 'edit': fake_j.detach(), 'input_b': y, 'edit_b': fake_i.detach()},
                    {'fake_i': fake_i.detach(), 'fake_j': fake_j.detach()})

    def discriminator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        (i, j), m = pair_of(batch), batch.moment
        half = replace(m, start=m.start // 2, count=m.count // 2, total=m.total // 2)                   # half of a batch is made for either
        fake_i, fake_j = (self.pools[k].exchange(kept[name], half, name) for k, name in ((i, 'fake_i'), (j, 'fake_j')))
        loss_j = lsgan_halved(self.nets[f'D_{j}'], batch.image[1::2], fake_j)                           # (4)
        loss_i = lsgan_halved(self.nets[f'D_{i}'], batch.image[::2], fake_i)                            # (5)
        return Step(loss_i + loss_j, {'i': loss_i.detach(), 'j': loss_j.detach()})

    def translate(self, request: AttributeRequest) -> Translation:
        """Brings [N,3,H,W] from the class of the largest source label to that of the largest target label; no edit mask."""
        K, x = len(self.data.attributes), request.image
        source, target = ((labels.argmax(1, keepdim=True) == torch.arange(K, device=x.device)).to(x.dtype)[:, :, None, None, None]
                          for labels in (request.source, request.target))
        # all encoders and decoders are asked, so that no choice depends on values: an exported graph has none
        code = sum(source[:, k] * self.nets[f'E_{k}'](x) for k in range(K))
        made = sum(target[:, k] * self.nets[f'G_{k}'](code) for k in range(K))
        stays = (source * target).sum(1)
        return Translation((stays * x + (1 - stays) * made).float())

    def read(self, image: Tensor) -> Tensor:
        """Which class a picture [N,3,H,W] looks most like to the discriminators: probabilities [N,K] that sum to 1."""
        scores = [full(self.nets[f'D_{k}'](image)).mean((1, 2, 3)) for k in range(len(self.data.attributes))]
        return torch.stack(scores, 1).softmax(1)


def pair_of(batch: AttributeBatch) -> tuple[int, int]:
    """The two classes of a batch. ValueError where it is of more."""
    if batch.pair is None:
        raise ValueError('combogan learns from batches of two classes, by turns: set --data.targets pair')
    return batch.pair
