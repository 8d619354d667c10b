"""IcGAN: a conditional GAN that draws faces from a vector and attributes, and encoders that find both for a picture.

Paper:      Perarnau, van de Weijer, Raducanu, Alvarez. Invertible Conditional GANs for Image Editing. NIPS 2016 Workshop on Adversarial
            Training, arXiv:1611.06355.
Reference:  Guim3/IcGAN @ 0c73cf8 (BSD), Lua: read for layers, weights, order and rates; no code taken.
Differs:    [D1] E_z learns from pictures drawn as it goes, the code's from a stored set as large as the training set; stages follow each
            other in one run, `stages` are their lengths as the code's epochs;
            [D2] in stage 2 G normalises by running averages of stage 1, which the code estimates anew from 100 batches after it;
            [D3] a wrong y is another row of the batch that differs, or the opposite where none does; y of a drawn picture is a target row;
            [D4] above 64 px E_z has 512 entries between its matrices, for as many as its map has would be 268 million weights;
            [D5] below 64 px G and D have fewer layers;
            [D6] CelebA is cut in the middle, the code's 138 px begin 10 px further right; the code's encoders learn from 66% of their set.
Shapes:     N batch, K attributes, H W image. x images in [-1,1]; y, y' [N,K] in {-1,1} from labels; z [N,latent] ~ N(0,1);
            D(x, y) logits [N,1,1,1]; E_z [N,latent], E_y [N,K].

Stage 1, discriminator step                                      Stage 1, generator step (same z and y', the D that has just learned)
  (1) L_real  = BCE(D(x, y), 1)                                    (4) L_G = BCE(D(G(z, y'), y'), 1)
  (2) L_wrong = BCE(D(x, y of another), 0)                       Stage 2, E_z (G rests)
  (3) L_fake  = BCE(D(G(z, y'), y'), 0)                            (5) L_z = mean (E_z(G(z, y')) - z)^2
  L_D = (1) + (2) / 2 + (3) / 2; without label_error (1) + (3)   Stage 3, E_y, on real pictures
                                                                   (6) L_y = mean (E_y(x) - y)^2
  An edit is G(E_z(x), y''): y'' as asked where something changes, E_y(x), by its sign with `threshold`, elsewhere.
"""
from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import AttributeBatch, DataSpec
from retouch.data.labels import LabelRule
from retouch.engine import schedules
from retouch.engine.update import Adam, AttributeRequest, Keep, Step, Translation, Update, with_graph
from retouch.losses import bce_to_constant, mse_mean
from retouch.networks.dcgan import FeatureDiscriminator, LatentGenerator, VectorEncoder, halvings, init_dcgan


class Config(BaseConfig):
    """Defaults are the authors' (CelebA, 64 px)."""

    id: Literal['icgan'] = 'icgan'
    latent: int = Field(default=100, gt=0)
    width_g: int = Field(default=64, gt=0)
    width_d: int = Field(default=64, gt=0)
    width_e: int = Field(default=32, gt=0)
    hidden_z: int | None = Field(default=None, gt=0)
    """Entries between E_z's matrices; None: as many as its map has, 4,096 at 64 px, but 512 above 64 px."""
    hidden_y: int = Field(default=512, gt=0)
    label_error: bool = True
    """Whether D also sees real pictures with wrong attributes, (2)."""
    threshold: bool = True
    """Whether an edit rounds the attributes that it finds to -1 and 1, as the code does for CelebA."""
    stages: tuple[float, float, float] = (25.0, 15.0, 15.0)
    """Lengths of the stages, relative to each other."""
    lr: float = 2e-4
    beta1: float = 0.5
    lr_e: float = 1e-4
    beta1_e: float = 0.1
    beta2: float = 0.999
    label_rule: LabelRule = 'attgan_tf'
    """Which conflicts an edit resolves at test time; as the code has them: hair colours, Bald and Bangs, straight and wavy."""


def signs(labels: Tensor) -> Tensor:
    """Labels in {0,1} -> in {-1,1}."""
    return 2 * labels - 1


class IcGAN(nn.Module):
    """Attribute editing without a mask: the picture is drawn anew from a vector and its attributes."""

    id: ClassVar[str] = 'icgan'
    kind: ClassVar[str] = 'attributes'
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = ('G', 'E_z', 'E_y')

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        c, k, size = config, len(data.attributes), data.size
        if size < 16 or size & (size - 1):
            raise ValueError(f'size={size}: pictures are drawn by doubling 4 px, expected a power of two from 16 on; '
                             f'set --data.size {max(16, 2 ** (size.bit_length() - 1))}')
        if min(c.stages) <= 0:
            raise ValueError(f'stages={",".join(f"{s:g}" for s in c.stages)}: expected three lengths above 0; set --method.stages 25,15,15')
        self.config, self.data = config, data
        self.nets = nn.ModuleDict({
            'G': init_dcgan(LatentGenerator(k, size, c.latent, c.width_g)),
            'D': init_dcgan(FeatureDiscriminator(c.width_d, halvings(size, 99), bias=True, conditions=k)),
            'E_z': VectorEncoder(c.latent, size, c.width_e, c.hidden_z or (512 if size > 64 else None)),
            'E_y': VectorEncoder(k, size, c.width_e, c.hidden_y)})

    @classmethod
    def tiny(cls) -> IcGAN:
        """The smallest legal form."""
        spec = DataSpec(size=16, attributes=('Black_Hair', 'Blond_Hair', 'Eyeglasses'))
        return cls(Config(latent=4, width_g=4, width_d=4, width_e=2, hidden_y=4, stages=(2.0, 1.0, 1.0)), spec)

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        gan, encoder = (partial(Adam, lr=lr, betas=(beta, c.beta2)) for lr, beta in ((c.lr, c.beta1), (c.lr_e, c.beta1_e)))
        total, (first, second, _) = sum(c.stages), c.stages
        one, two, three = (0.0, first / total), (first / total, (first + second) / total), ((first + second) / total, 1.0)
        return (Update('D', ('D',), self.discriminator_step, gan, schedules.constant, within=one, ahead=('G',)),
                Update('G', ('G',), self.generator_step, gan, schedules.constant, within=one),
                Update('E_z', ('E_z',), self.latent_step, encoder, schedules.constant, within=two),
                Update('E_y', ('E_y',), self.attribute_step, encoder, schedules.constant, within=three))

    def draw(self, batch: AttributeBatch) -> tuple[Tensor, Tensor]:
        """z [N,latent] and y' [N,K] of the pictures that an iteration draws."""
        if batch.image.shape[0] < 2:
            raise ValueError('batch_size=1: batch norm and wrong attributes need other pictures, expected 2 or more; '
                             'set --train.batch-size 2')
        return batch.moment.normal('z', self.config.latent, device=batch.image.device), signs(batch.target)

    def generate(self, z: Tensor, y: Tensor) -> Tensor:
        """[N,latent] and [N,K] -> [N,3,H,W] in [-1,1]."""
        return self.nets['G'](z, y).tanh()

    def wrong(self, batch: AttributeBatch) -> Tensor:
        """Labels [N,K] in {0,1} of another row that differs, drawn at random; the opposite of its own where all are alike."""
        a = batch.labels
        differs = (a[:, None] != a[None]).any(2)                                       # [N,N]
        draws = batch.moment.uniform('wrong', a.shape[0], device=a.device) + 1e-6
        return torch.where(differs.any(1, keepdim=True), a[(draws * differs).argmax(1)], 1 - a)

    def discriminator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        D, x, (z, y_fake) = self.nets['D'], batch.image, self.draw(batch)
        fake = self.generate(z, y_fake)                                                # its graph is for (4)
        loss_real = bce_to_constant(D(x, signs(batch.labels))[0], 1.0)                 # (1)
        loss_fake = bce_to_constant(D(fake.detach(), y_fake)[0], 0.0)                  # (3)
        if not self.config.label_error:
            return Step(loss_real + loss_fake, {'real': loss_real.detach(), 'fake': loss_fake.detach()}, keep=with_graph(fake=fake))
        loss_wrong = bce_to_constant(D(x, signs(self.wrong(batch)))[0], 0.0)           # (2)
        return Step(loss_real + 0.5 * loss_wrong + 0.5 * loss_fake,
                    {'real': loss_real.detach(), 'wrong': loss_wrong.detach(), 'fake': loss_fake.detach()}, keep=with_graph(fake=fake))

    def generator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        z, y_fake = self.draw(batch)
        fake = kept['fake'] if 'fake' in kept else self.generate(z, y_fake)
        loss = bce_to_constant(self.nets['D'](fake, y_fake)[0], 1.0)                   # (4)
        return Step(loss, images={'input': batch.image, 'drawn': fake.detach()})

    def latent_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        G, (z, y_fake) = self.nets['G'], self.draw(batch)
        G.eval()
        with torch.no_grad():
            fake = self.generate(z, y_fake)
        G.train()
        found = self.nets['E_z'](fake)
        loss = mse_mean(found, z)                                                      # (5)
        return Step(loss, images={'drawn': fake})

    def attribute_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        found = self.nets['E_y'](batch.image)
        loss = mse_mean(found, signs(batch.labels))                                    # (6)
        wrong = ((found.detach() > 0) != (batch.labels > 0.5)).float().mean()
        return Step(loss, {'error': wrong}, {'input': batch.image})

    def translate(self, request: AttributeRequest) -> Translation:
        """Draws [N,3,H,W] anew with the target labels where they differ from the source, and with what E_y sees elsewhere; no edit mask."""
        x, seen = request.image, self.nets['E_y'](request.image)
        if self.config.threshold:
            seen = torch.where(seen > 0, 1.0, -1.0)
        y = torch.where(request.target != request.source, signs(request.target), seen)
        return Translation(self.generate(self.nets['E_z'](x), y).float())

    def read(self, image: Tensor) -> Tensor:
        """Attribute probabilities [N,K] of pictures [N,3,H,W]: what is regressed to -1 and 1 is twice a probability, less 1."""
        return ((self.nets['E_y'](image).float() + 1) / 2).clamp(0, 1)
