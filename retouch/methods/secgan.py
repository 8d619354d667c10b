"""SeCGAN: a second GAN edits the face's parse, and the edited picture must parse as the edited parse.

Paper:      Sun et al. SeCGAN: Parallel Conditional Generative Adversarial Networks for Face Editing via Semantic Consistency.
Reference:  none: the authors published no code. The equations are the paper's; where it is silent the choice is said here.
Differs:    [D1] the RGB branch is a backbone, to the letter its own file; recipes tell it d (`condition`) and let it reconstruct x in place
            of the cycle (`reconstruct`), as the paper has it;
            [D2] the paper prints (1 - y)(1 - log D) in its BCE, which rewards D for a 1 where y is 0; here the ordinary BCE with logits;
            [D3] (5) and (9) reduce and weigh as the backbone's own: StarGAN's sum over attributes is the paper's dot product, AttGAN's is
            a mean; classes that exclude each other have a softmax cross-entropy, where the paper shows the BCE alone;
            [D4] residual blocks have two convolutions, where the table prints one: only so they have the 8M parameters of the text;
            [D5] AttGAN's D_seg has D's instance norm: the table shows none, the text says that channels alone differ;
            [D6] both losses of a generator step come from the networks before it, as in Algorithm 1, and what one branch learns is a
            constant in the other; the prose has them take turns: `order` 'sequential';
            [D7] D learns in every iteration and G in every n_critic-th, from one batch, as in Algorithm 1; `loop` 'backbone' is AttGAN's
            code, with batches of their own;
            [D8] learning rates of the recipes: StarGAN's text (linear to 0), AttGAN's text (exponential to 2e-6; its code: one step);
            [D9] the L1 inside (7) is a mean over N, 3, H and W, where the paper prints a norm; (10), (11) and (12) are means over N, H and
            W, the paper's 1/HW;
            [D10] P is our compact U-Net, of the pictures' size and fed with [-1,1], where the paper has a BiSeNet with ImageNet's mean;
            probabilities of nineteen classes are summed to twelve before any argmax;
            [D11] STGAN, on which the paper says it can stand, keeps its own scaling of d in the RGB branch; G_seg is told d itself.
Shapes:     N batch, K attributes, H W image. x, y images [N,3,H,W] in [-1,1]; a, b labels [N,K] in {0,1}; d = b - a; P the frozen parser,
            probabilities [N,12,H,W]; s, t parses [N,12,H,W], hard and soft; y = G(x, d); src [N,1,h,w] or [N,1], summed in (6).

  (1) s = one-hot argmax P(x), a constant                          (2) t = softmax G_seg(s, d)

Discriminator steps (every iteration)                            Generator step (every n_critic-th, same batch)
  (3) L_D  = the backbone's, on x and y                            (7) L_G      = the backbone's, on x and y
  (4) L_adv^Dseg = -E[src(s)] + E[src(t)]                          (8) L_adv^Gseg = -E[src(t)]
  (5) L_cls^Dseg = BCE(cls(s), a)                                  (9) L_cls^Gseg = BCE(cls(t), b)
  (6) L_gp = E[(|d sum src(s^) / d s^|_2 - 1)^2]                   (10) L_rec = E[-log softmax G_seg(s, 0) at s]
  L_Dseg = (4) + lambda_cls (5) + lambda_gp (6)                    (11) L_sc = E[-log P(y) at argmax t], learned by G alone
                                                                   (12) L_sc^seg = E[-log t at argmax P(y)], learned by G_seg alone
                                                                   L = (7) + lambda_sc (11)
                                                                   L_Gseg = lambda_adv (8) + lambda_cls (9) + lambda_rec (10)
                                                                            + lambda_sc (12)
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import AttributeBatch, DataSpec
from retouch.data.parsing import IDS, TWELVE, Ids, colours_of, logits_to_twelve
from retouch.engine.update import AttributeRequest, Keep, Step, Translation, Update
from retouch.losses import bce_mean, full, gradient_penalty, gradient_penalty_of
from retouch.methods import attgan, stargan, stgan
from retouch.networks.parser import BesideParse, FrozenParser

BACKBONES: dict[str, Any] = {'stargan': stargan.StarGAN, 'attgan': attgan.AttGAN, 'stgan': stgan.STGAN}
TOLD = {'stargan': {'condition': 'difference', 'reconstruct': 'self'}, 'attgan': {'condition': 'difference'}, 'stgan': {}}


class Config(BaseConfig):
    """Defaults are the paper's, and where it is silent the documented reading; `paper` recipes set the backbone's published numbers."""

    id: Literal['secgan'] = 'secgan'
    backbone: Annotated[stargan.Config | attgan.Config | stgan.Config, Field(discriminator='id')] = stargan.Config(condition='difference',
                                                                                                     reconstruct='self')
    """The RGB branch, whose widths, weights and learning rate the semantic branch shares."""
    parser: str = ''
    """Run or model directory of the frozen face parser, trained at the pictures' size (`retouch train parser.toyfaces32`)."""
    parser_width: int = Field(default=16, gt=0)
    """The parser's `width`."""
    parser_classes: Ids = 'twelve'
    """The parser's list: the twelve, or the nineteen in one of their orders."""
    form: Literal['parallel', 'concat'] = 'parallel'
    """'concat': no semantic branch, the generator is given the parse beside the picture, also at test time (Baseline + Concat)."""
    lambda_sc: float = Field(default=0.01, ge=0)
    """Weight of (11) and (12); 0 is the baseline, without a semantic branch."""
    order: Literal['joint', 'sequential'] = 'joint'
    """Both generators learn from what they were, or G first and G_seg from the picture that the new G makes."""
    loop: Literal['algorithm', 'backbone'] = 'algorithm'
    """When networks learn: Algorithm 1, or the backbone's own rhythm (the same but for AttGAN)."""
    keep_semantic: bool = False
    """Whether the model holds P and G_seg too, and shows the edited parse (`extras['semantic']`, [N,12,H,W], sums to 1)."""

    @property
    def uses_parser(self) -> bool:
        return self.form == 'concat' or self.lambda_sc > 0

    @property
    def labels(self) -> str | None:
        return getattr(self.backbone, 'labels', None)

    @property
    def label_rule(self) -> str:
        return self.backbone.label_rule

    @property
    def lr(self) -> float:
        return self.backbone.lr


class SeCGAN(nn.Module):
    """A backbone that learns beside its semantic twin. Same inference as the backbone's: the twin and the parser are of training alone."""

    id: ClassVar[str] = 'secgan'
    kind: ClassVar[str] = 'attributes'
    Config: ClassVar[type[Config]] = Config

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        c, concat = config.backbone, config.form == 'concat'
        self.config, self.data, self.parallel = config, data, config.uses_parser and not concat
        if config.keep_semantic and not self.parallel:
            raise ValueError(f'keep_semantic=True with form={config.form} and lambda_sc={config.lambda_sc:g}: there is no semantic branch '
                             'to keep; expected form=parallel and lambda_sc above 0')
        if config.uses_parser and (data.size % 16 or data.size < 32):
            raise ValueError(f'size={data.size}: the parser halves the picture four times, expected a multiple of 16 from 32 on; set '
                             f'--data.size {max(32, data.size // 16 * 16)}')
        make = BACKBONES[c.id]
        self.backbone = make(c, data, 3 + len(TWELVE) if concat else 3)                # first: the weights it would have alone
        if concat:
            self.nets['G'] = BesideParse(self.nets['G'], self.parse)
        if self.parallel:
            twin = make(c, data, len(TWELVE), len(TWELVE)).nets
            self.nets.update({'G_seg': twin['G'], 'D_seg': twin['D']})
        if config.uses_parser:
            self.nets['P'] = FrozenParser(len(IDS[config.parser_classes]), config.parser_width)
        self.classification = bce_mean if c.id == 'attgan' else self.backbone.classification
        self.lambda_cls_d, self.lambda_cls_g = (c.lambda_cls, c.lambda_cls) if c.id == 'stargan' else (c.lambda_cls_d, c.lambda_cls_g)
        self.register_buffer('class_ids', torch.arange(len(TWELVE)).reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer('colours', colours_of(TWELVE), persistent=False)          # [12,3] for sample grids

    @property
    def nets(self) -> nn.ModuleDict:
        return self.backbone.nets

    @property
    def inference_nets(self) -> tuple[str, ...]:
        """The backbone's, and those that the form or `keep_semantic` need."""
        more = ('P',) if self.config.form == 'concat' else ('G_seg', 'P') if self.config.keep_semantic else ()
        return (*self.backbone.inference_nets, *more)

    @classmethod
    def tiny(cls, backbone: str = 'stargan', **changes: Any) -> SeCGAN:
        """The smallest legal form on a backbone, with a parser that has learned nothing; `changes` of its Config."""
        small = BACKBONES[backbone].tiny().config
        return cls(Config(backbone=small.model_copy(update=TOLD[backbone]), parser_width=2, **changes),
                   DataSpec(size=32, attributes=('Black_Hair', 'Blond_Hair', 'Eyeglasses')))

    def updates(self) -> tuple[Update, ...]:
        c = self.config
        d, g = self.backbone.updates()                                                 # (3) (7)
        if c.loop == 'algorithm':
            d, g = replace(d, every=1, at=(-1,)), replace(g, every=c.backbone.n_critic, at=(-1,))
        if c.form == 'concat':
            d, g = (replace(u, step=partial(self.step_beside_parse, u.step)) for u in (d, g))
        if not self.parallel:
            return d, g
        d_seg = replace(d, name='D_seg', nets=('D_seg',), step=self.semantic_discriminator_step)
        if c.order == 'sequential':
            return d, d_seg, replace(g, step=self.rgb_step), replace(g, name='G_seg', nets=('G_seg',), step=self.semantic_step)
        return d, d_seg, replace(g, nets=('G', 'G_seg'), step=self.generator_step)

    # ---- what the steps are made of

    def log_parse(self, x: Tensor) -> Tensor:
        """log P, [N,12,H,W], of pictures [N,3,H,W]; the gradient reaches them."""
        with torch.autocast(x.device.type, enabled=False):       # what others must agree with is not rounded
            return logits_to_twelve(self.nets['P'](full(x)), IDS[self.config.parser_classes])

    @torch.no_grad()
    def parse(self, x: Tensor) -> Tensor:
        """Pictures [N,3,H,W] -> hard parses [N,12,H,W], constants."""
        return self.log_parse(x).argmax(1, keepdim=True).eq(self.class_ids).to(x.dtype)                               # (1)

    def parse_of(self, batch: AttributeBatch, kept: Keep) -> Tensor:
        """s, which a discriminator's step of the same iteration has made already, unless the rhythm gives the generators another batch."""
        return kept['parse'] if 'parse' in kept else self.parse(batch.image)

    def edit_parse(self, s: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of G_seg(s, d) and of G_seg(s, 0), [N,12,H,W] each; s [N,12,H,W], d [N,K]."""
        G, still = self.nets['G_seg'], torch.zeros_like(d)
        if self.config.backbone.id == 'stargan':                                       # no norm couples the rows of a batch: one call
            z, z_rec = G(s, torch.cat([d, still])).chunk(2)
            return z, z_rec
        maps = G.encode(s)
        return G.decode(maps, d), G.decode(maps, still)

    def penalty(self, s: Tensor, t: Tensor, alpha: Tensor) -> Tensor:
        """Equation (6) on s^ = alpha s + (1 - alpha) t; s, t [N,12,H,W], alpha [N,1,1,1]."""
        D = self.nets['D_seg']
        if getattr(self.config.backbone, 'penalty', 'autograd') == 'closed_form':
            with torch.autocast(s.device.type, enabled=False):
                return gradient_penalty_of(D.input_gradient(torch.lerp(full(t), s, alpha.to(s))))
        return gradient_penalty(lambda s_hat: D(s_hat)[0], s, t, alpha)

    def show(self, classes: Tensor) -> Tensor:
        """Classes [N,H,W] as a picture [N,3,H,W] in [-1,1]."""
        return self.colours[classes].permute(0, 3, 1, 2)

    # ---- steps

    def semantic_discriminator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        c, D, a, b = self.config.backbone, self.nets['D_seg'], batch.labels, batch.target
        s = self.parse(batch.image)
        with torch.no_grad():
            t = full(self.nets['G_seg'](s, b - a)).softmax(1)                                                          # (2)
        src, logits = D(torch.cat([s, t]))
        src_real, src_fake = full(src).chunk(2)
        loss_adv = -src_real.mean() + src_fake.mean()                                                                  # (4)
        loss_cls = self.classification(logits[:len(s)], a)                                                             # (5)
        loss_gp = self.penalty(s, t, batch.moment.uniform('alpha_seg', 1, 1, 1, device=s.device))                      # (6)
        return Step(loss_adv + self.lambda_cls_d * loss_cls + c.lambda_gp * loss_gp,
                    {'adv': loss_adv.detach(), 'cls': loss_cls.detach(), 'gp': loss_gp.detach()}, keep={'parse': s})

    def generator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        """Both generators, each from what both were: the sum of two losses that share no gradient."""
        s = self.parse_of(batch, kept)
        z, z_rec = self.edit_parse(s, batch.target - batch.labels)
        rgb = self.rgb_loss(batch, kept, z.detach().argmax(1))
        seg = self.semantic_loss(batch, s, z, z_rec, rgb.parts['classes'])
        return Step(rgb.loss + seg.loss, {**rgb.logs, **{f'{k}_seg': v for k, v in seg.logs.items()}}, {**rgb.images, **seg.images})

    def rgb_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        """'sequential', first: G learns from G_seg as it is."""
        with torch.no_grad():
            z = self.nets['G_seg'](self.parse_of(batch, kept), batch.target - batch.labels)
        return self.rgb_loss(batch, kept, z.argmax(1))

    def semantic_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        """'sequential', second: G_seg learns from the picture that the new G makes."""
        s = self.parse_of(batch, kept)
        with torch.no_grad():
            y = self.backbone.generate(batch.image, batch.labels, batch.target)
            classes = self.log_parse(y).argmax(1)
        return self.semantic_loss(batch, s, *self.edit_parse(s, batch.target - batch.labels), classes)

    def step_beside_parse(self, step: Callable[[AttributeBatch, Keep], Step], batch: AttributeBatch, kept: Keep) -> Step:
        """'concat': the backbone's; s is made once an iteration."""
        G, s = self.nets['G'], self.parse_of(batch, kept)
        G.known = batch.image, s
        made = step(batch, kept)
        G.known = None
        return replace(made, keep={**made.keep, 'parse': s})

    def rgb_loss(self, batch: AttributeBatch, kept: Keep, wanted: Tensor) -> Step:
        """G's: the backbone's, and that y parses as the classes `wanted` [N,H,W]. Hands on what it does parse as."""
        step = self.backbone.generator_step(batch, kept)
        log_p = self.log_parse(step.parts['edit'])
        loss_sc = F.nll_loss(log_p, wanted)                                                                            # (11)
        classes = log_p.detach().argmax(1)
        return Step(step.loss + self.config.lambda_sc * loss_sc, {**step.logs, 'sc': loss_sc.detach()},
                    {**step.images, 'parse of edit': self.show(classes)}, parts={'classes': classes})

    def semantic_loss(self, batch: AttributeBatch, s: Tensor, z: Tensor, z_rec: Tensor, classes: Tensor) -> Step:
        """G_seg's: s [N,12,H,W], its edit and its reconstruction as logits, what y parses as [N,H,W]."""
        c, z, z_rec = self.config.backbone, full(z), full(z_rec)
        src, logits = self.nets['D_seg'](z.softmax(1))                                                                 # (2)
        loss_adv = -full(src).mean()                                                                                   # (8)
        loss_cls = self.classification(logits, batch.target)                                                           # (9)
        loss_rec = F.cross_entropy(z_rec, s.argmax(1))                                                                 # (10)
        loss_sc = F.cross_entropy(z, classes)                                                                          # (12)
        return Step(c.lambda_adv * loss_adv + self.lambda_cls_g * loss_cls + c.lambda_rec * loss_rec + self.config.lambda_sc * loss_sc,
                    {'adv': loss_adv.detach(), 'cls': loss_cls.detach(), 'rec': loss_rec.detach(), 'sc': loss_sc.detach()},
                    {'parse': self.show(s.argmax(1)), 'edited parse': self.show(z.detach().argmax(1))})

    # ---- in use

    def translate(self, request: AttributeRequest) -> Translation:
        """The backbone's edit; no edit mask. With `keep_semantic` the semantic branch's parse of it is beside it."""
        made = self.backbone.translate(request)
        if not self.config.keep_semantic:
            return made
        z = self.nets['G_seg'](self.parse(request.image), request.target - request.source)
        return replace(made, extras={'semantic': full(z).softmax(1)})

    def read(self, image: Tensor) -> Tensor:
        """The backbone's reading of attributes [N,K]."""
        return self.backbone.read(image)

    def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        """Restores what `state_dict` returned. Raises ValueError if another parser was at work then."""
        mine = self.state_dict()
        if any('.P.' in k and not torch.equal(v.cpu(), mine[k].cpu()) for k, v in state_dict.items()):
            raise ValueError('the parser is another one: set --method.parser to the one it was trained with')
        return super().load_state_dict(state_dict, *args, **kwargs)
