"""AGGAN, multi-domain: StarGAN training of a generator that says where it changes the picture.

Paper:      Tang, Xu, Sebe, Yan. Attention-Guided Generative Adversarial Networks for Unsupervised Image-to-Image Translation.
            IJCNN 2019, arXiv:1903.12296 (the RaFD model).
Reference:  Ha0Tang/AttentionGAN @ 45da496, `AttentionGAN-v1-multi` (non-commercial): read for layers and losses; no code taken.
Differs:    [D1] instance norm keeps no running statistics (as StarGAN's [D1]);
            [D2] the gradient norm of (3) is safe at zero;
            [D3] D has fewer strided convolutions below 128 px;
            [D4] real and fake share one D call; where both steps fall on one iteration they share one fake;
            [D5] `lambda_area` (7) and `lambda_binary` (9) are 0 as in the code; small recipes use them and `mask_bias`, the mask's start;
            [D6] `condition` 'difference', `penalty` 'autograd' and `lambda_adv` (1 in paper and code) are options beside the code's;
            [D7] the authors' code rates decay every 1000 iterations, ours every iteration;
            [D8] content has no final tanh as in the code (`content_activation`), pictures are clamped when they are saved or scored;
            [D9] training labels are multi-label BCE by default, softmax CE with labels='single' (RaFD).
Shapes:     N batch, K attributes, H W image. x, y images in [-1,1]; a, b labels [N,K] in {0,1}; m mask [N,1,H,W]; r content [N,3,H,W].

  (8) y = m r + (1 - m) x,  m = sigmoid(G(x, b)_0),  r = G(x, b)_{1:3};  G(y, a) in (6) is composed in the same way
Discriminator step (every iteration)                             Generator step (every n_critic-th, same batch)
  (1) L_adv^D = -E[src(x)] + E[src(y)]                             (4) L_adv^G = -E[src(y)]
  (2) L_cls^D = sum_k BCE(cls(x), a), mean over N; or CE           (5) L_cls^G = sum_k BCE(cls(y), b), mean over N; or CE
  (3) L_gp    = E[(|d sum src(x^) / d x^|_2 - 1)^2]                (6) L_rec   = mean |x - G(y, a)|
                                                                   (7) L_area  = mean m;  (9) L_bin = mean m (1 - m)
  L_D = (1) + lambda_cls (2) + lambda_gp (3)                       L_G = lambda_adv (4) + lambda_cls (5) + lambda_rec (6)
                                                                         + lambda_area (7) + lambda_binary (9)
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
from retouch.guidance.mask import composite, mask_logs
from retouch.losses import bce_sum_over_attributes, cross_entropy_of_one_hot, full, gradient_penalty, gradient_penalty_of, l1_mean
from retouch.networks.stargan import Discriminator, Generator

SCHEDULES = {'linear': schedules.linear_second_half, 'linear_last_40': schedules.linear_last_40}


class Config(BaseConfig):
    """Defaults are the paper's and the code's (RaFD settings, 128 px)."""

    id: Literal['aggan_multi'] = 'aggan_multi'
    labels: Literal['multi', 'single'] = 'multi'
    """'multi': binary attributes, BCE; 'single': one-hot classes (RaFD), softmax CE."""
    condition: Literal['target', 'difference'] = 'target'
    """What the generator is told: the target labels, or target - source in {-1,0,1}."""
    content_activation: Literal['none', 'tanh'] = 'none'
    mask_bias: float = 0.0
    """Added to the mask's logit: 0 starts at half area, negative values start smaller."""
    width_g: int = Field(default=64, gt=0)
    blocks: int = Field(default=6, ge=0)
    width_d: int = Field(default=64, gt=0)
    lambda_adv: float = 1.0
    """Weight of (4). The gradient of a mean over h x w patches is 1/(h w) of the one (3) bounds: small pictures need more."""
    lambda_cls: float = 1.0
    lambda_rec: float = 10.0
    lambda_gp: float = 10.0
    lambda_area: float = 0.0
    lambda_binary: float = 0.0
    n_critic: int = Field(default=5, gt=0)
    lr: float = 1e-4
    beta1: float = 0.5
    beta2: float = 0.999
    schedule: Literal['linear', 'linear_last_40'] = 'linear'
    penalty: Literal['autograd', 'closed_form'] = 'closed_form'
    """How (3) is differentiated: the closed form of a piecewise-linear critic, or double backward (equal in float64, slower)."""
    label_rule: LabelRule = 'attgan_tf'
    """Which conflicts an edit resolves: at test time, and in training with data.targets='single'."""


class AGGANMulti(nn.Module):
    """Attribute editing inside a mask that the generator draws itself."""

    id: ClassVar[str] = 'aggan_multi'
    kind: ClassVar[str] = 'attributes'
    Config: ClassVar[type[Config]] = Config
    compiles: ClassVar[tuple[str, ...]] = ('G',)
    inference_nets: ClassVar[tuple[str, ...]] = ('G', 'D')     # D reads the attributes of a picture that has no labels

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        self.config, self.data = config, data
        k = len(data.attributes)
        self.nets = nn.ModuleDict({'G': Generator(k, config.width_g, config.blocks, out_channels=4),
                                   'D': Discriminator(k, data.size, config.width_d)})
        self.classification = {'multi': bce_sum_over_attributes, 'single': cross_entropy_of_one_hot}[config.labels]
        self.content_activation = {'none': nn.Identity(), 'tanh': nn.Tanh()}[config.content_activation]

    @classmethod
    def tiny(cls) -> AGGANMulti:
        """The smallest legal form."""
        return cls(Config(width_g=4, width_d=4, blocks=1, n_critic=2, lambda_area=0.05, lambda_binary=0.05),
                   DataSpec(size=16, attributes=('Black_Hair', 'Blond_Hair', 'Eyeglasses')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        adam = partial(Adam, lr=c.lr, betas=(c.beta1, c.beta2))
        return (Update('D', ('D',), self.discriminator_step, adam, SCHEDULES[c.schedule], ahead=('G',)),
                Update('G', ('G',), self.generator_step, adam, SCHEDULES[c.schedule], every=c.n_critic))

    def generate(self, x: Tensor, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """[N,3,H,W], labels [N,K] -> edit [N,3,H,W] and mask [N,1,H,W] in float32."""
        out = full(self.nets['G'](x, target if self.config.condition == 'target' else target - source))
        mask = (out[:, :1] + self.config.mask_bias).sigmoid()
        return composite(self.content_activation(out[:, 1:]), x, mask), mask           # (8)

    # deliberate copies of StarGAN, held equal by a test: updates, discriminator_step (fed by a composed fake), penalty, read
    def discriminator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        c, D, x, a, b = self.config, self.nets['D'], batch.image, batch.labels, batch.target
        made, mask = self.generate(x, a, b)                                                  # its graph is for the other step
        y = made.detach()
        maps = D.features(torch.cat([x, y]))
        src, logits = D.heads(maps[-1])                                                # [2N,1,h,w], [2N,K]
        src_real, src_fake = full(src).chunk(2)
        loss_adv = -src_real.mean() + src_fake.mean()                                  # (1)
        loss_cls = self.classification(logits[:len(x)], a)                             # (2)
        loss_gp = self.penalty(x, y, batch.moment.uniform('alpha', 1, 1, 1, device=x.device))         # (3)
        return Step(loss_adv + c.lambda_cls * loss_cls + c.lambda_gp * loss_gp,
                    {'adv': loss_adv.detach(), 'cls': loss_cls.detach(), 'gp': loss_gp.detach()},
                    keep=with_graph(edit=made, mask=mask), parts={'edit': y, 'maps': maps, 'logits': logits})

    def penalty(self, x: Tensor, y: Tensor, alpha: Tensor) -> Tensor:
        """Equation (3) on x^ = alpha x + (1 - alpha) y; x, y [N,3,H,W], alpha [N,1,1,1]."""
        D = self.nets['D']
        if self.config.penalty == 'closed_form':
            with torch.autocast(x.device.type, enabled=False):
                return gradient_penalty_of(D.input_gradient(torch.lerp(full(y), x, alpha.to(x))))
        return gradient_penalty(lambda x_hat: D(x_hat)[0], x, y, alpha)

    def generator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        c, D, x, a, b = self.config, self.nets['D'], batch.image, batch.labels, batch.target
        y, mask = (kept['edit'], kept['mask']) if 'edit' in kept else self.generate(x, a, b)
        src, logits = D(y)
        loss_adv = -full(src).mean()                                                 # (4)
        loss_cls = self.classification(logits, b)                                      # (5)
        loss_rec = l1_mean(x, self.generate(y, b, a)[0])                               # (6)
        loss_area = mask.mean()                                                        # (7)
        loss_bin = (mask * (1 - mask)).mean()                                          # (9)
        loss = c.lambda_adv * loss_adv + c.lambda_cls * loss_cls + c.lambda_rec * loss_rec
        loss = loss + c.lambda_area * loss_area + c.lambda_binary * loss_bin
        return Step(loss,
                    {'adv': loss_adv.detach(), 'cls': loss_cls.detach(), 'rec': loss_rec.detach(), **mask_logs(mask)},
                    {'input': x, 'mask': mask.detach(), 'edit': y.detach()})

    def translate(self, request: AttributeRequest) -> Translation:
        """Edits [N,3,H,W] from source to target labels inside the generator's mask."""
        image, mask = self.generate(request.image, request.source, request.target)
        return Translation(image.clamp(-1, 1), mask)

    def read(self, image: Tensor) -> Tensor:
        """Attribute probabilities [N,K] of pictures [N,3,H,W], by D's class head."""
        logits = self.nets['D'](image)[1].float()
        return logits.sigmoid() if self.config.labels == 'multi' else logits.softmax(1)
