"""CAM-consistency: generator and discriminator agree, through Grad-CAM, on where an edit may change the picture.

Paper:      Kim, Khan, Choo. Not just Compete, but Collaborate: Local Image-to-Image Translation via Cooperative Mask Prediction.
            ICCV 2021.
Reference:  none: the authors published no code. The equations are the paper's; where it is silent the choice is a field of Config.
Differs:    [D1] layer (not stated): the deepest map of at least 4x4, for all backbones alike; StarGAN's last map at 128 px is 2x2;
            [D2] Normalize (not stated): z-score over h,w, which is below 0 somewhere and may exceed 1: a mask may stay below 1 everywhere;
            [D3] the two masks of (3) are added and clipped to 1: with the raw sum (1 - M) is -1 where both agree, and the generator
            would be paid for changing those pixels;
            [D4] masks are normalised and clipped at the map's size, then enlarged (bilinear);
            [D5] the L1 of (4) is a mean over N,3,H,W;
            [D6] AttGAN and STGAN never translate back: x' is one more pass of G, used in (6) alone; like every pass of theirs in
            training it moves the running statistics of their batch norms;
            [D7] the masks of the way back are computed anew, M(y, d) being shared, and (6) reaches G through y and x';
            [D8] Grad-CAM starts from the logits; a row whose labels do not change (d = 0) has mask 0 and the full L1;
            [D9] STGAN goes back at the intensity it went forth with.
Shapes:     N batch, K attributes, H W image. x, y, x' input, edit, and y brought back [N,3,H,W] in [-1,1]; d = b - a [N,K] in
            {-1,0,1}; A a map of D [N,C,h,w], c its class logits [N,K]; M in [0,1], [N,1,H,W].

  (1) cam(u, d) = sum_k alpha_k A_k(u),  alpha_k = mean_hw d(sum_j d_j c_j(u)) / dA_k
  (2) M(u, d) = clip(Normalize(cam(u, d)), 0, 1), enlarged to H W
  (3) M_CAM(u, v, d) = M(v, d) + M(u, -d)
  (4) L_CAM(u, v, M) = mean |(1 - M) (u - v)|

Discriminator step (the backbone's, and)                         Generator step (the backbone's, and)
  (5) L_D = L_D^backbone + lambda_cam L_CAM(x, y, M_CAM(x, y, d))   (6) L_G = L_G^backbone + lambda_cam / 2 (L_CAM(x, y, M_CAM(x, y, d))
      y constant; the gradient flows through M alone                    + L_CAM(y, x', M_CAM(y, x', -d))); masks constant
"""
from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from retouch.config import Config as BaseConfig
from retouch.data.batches import AttributeBatch, DataSpec
from retouch.engine.update import AttributeRequest, Keep, Step, Translation, Update
from retouch.guidance.gradcam import Combine, Normalise, Order, Score, cam_to_mask, combine, constant_masks, depth_of, relative_gradcam
from retouch.losses import full
from retouch.methods import attgan, stargan, stgan

BACKBONES: dict[str, Any] = {'stargan': stargan.StarGAN, 'attgan': attgan.AttGAN, 'stgan': stgan.STGAN}


class Config(BaseConfig):
    """Defaults are the paper's, and where it is silent the documented reading; `paper` recipes set the backbone's published numbers."""

    id: Literal['cam'] = 'cam'
    backbone: Annotated[stargan.Config | attgan.Config | stgan.Config, Field(discriminator='id')] = stargan.Config(schedule='stargan_code')
    """The system that is trained; its networks and losses stay as they are."""
    lambda_cam: float = 5.0
    apply_to: Literal['both', 'generator', 'discriminator', 'none'] = 'both'
    """Whose loss has the term; 'none' is the backbone alone."""
    layer: str = '4x4'
    """Map of D: 'conv1' …, 'last', '-2' …, or the least size as '4x4'."""
    normalise: Normalise = 'zscore'
    combine: Combine = 'clip'
    """How the two masks of (3) become one; 'raw' is the paper's sum to the letter."""
    order: Order = 'before'
    """Whether (2) normalises and clips before or after it enlarges."""
    reduction: Literal['mean', 'channel_sum'] = 'mean'
    """Of (4): mean over N,3,H,W, or sum over channels and mean over N,H,W."""
    backward: Literal['cycle', 'reconstruction', 'none'] = 'cycle'
    """x' of (6): y brought back, the backbone's own reconstruction of x (AttGAN, STGAN), or no second term (the 1/2 stays)."""
    backward_mask: Literal['recompute', 'reuse'] = 'recompute'
    backward_gradient: Literal['both', 'back'] = 'both'
    """Arguments of the second L_CAM that it reaches: y and x', or x' alone."""
    backward_intensity: Literal['same', 'unit'] = 'same'
    """STGAN: whether y is brought back at the intensity of the forward draw, or at 1."""
    score: Score = 'logits'
    unchanged: Literal['keep', 'skip'] = 'keep'
    """Rows with d = 0 in (4): the full L1 to the input, or left out (of each process's own rows)."""

    @property
    def labels(self) -> str | None:
        return getattr(self.backbone, 'labels', None)

    @property
    def label_rule(self) -> str:
        return self.backbone.label_rule

    @property
    def lr(self) -> float:
        return self.backbone.lr


class CAM(nn.Module):
    """A backbone with the CAM-consistency loss. Same networks, same inference; the masks explain and never composite."""

    id: ClassVar[str] = 'cam'
    kind: ClassVar[str] = 'attributes'
    Config: ClassVar[type[Config]] = Config
    inference_nets: ClassVar[tuple[str, ...]] = ('G', 'D')

    def __init__(self, config: Config, data: DataSpec) -> None:
        super().__init__()
        self.config, self.data = config, data
        self.backbone = BACKBONES[config.backbone.id](config.backbone, data)
        self.depth = depth_of(config.layer, [data.size // 2 ** i for i in range(1, len(self.nets['D'].convs) + 1)])
        if config.backward == 'reconstruction' and config.backbone.id == 'stargan' and config.backbone.reconstruct == 'cycle':
            raise ValueError("backward='reconstruction' with backbone stargan: it does not reconstruct x, it brings y back; "
                             "expected 'cycle' or 'none', or --method.backbone.reconstruct self")

    @property
    def nets(self) -> nn.ModuleDict:
        return self.backbone.nets

    @classmethod
    def tiny(cls, backbone: str = 'stargan') -> CAM:
        """The smallest legal form on a backbone."""
        small = BACKBONES[backbone].tiny()
        return cls(Config(backbone=small.config), small.data)

    def updates(self) -> tuple[Update, ...]:
        d, g = self.backbone.updates()
        return replace(d, step=self.discriminator_step), replace(g, step=self.generator_step)

    def discriminator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        c, x, d, step = self.config, batch.image, batch.target - batch.labels, self.backbone.discriminator_step(batch, kept)
        if c.apply_to not in ('both', 'discriminator'):
            return Step(step.loss, step.logs, step.images, step.keep)
        y, a, logits = step.parts['edit'], step.parts['maps'][self.depth - 1], step.parts['logits']
        with torch.autocast(x.device.type, enabled=False):
            if a.dtype != full(a).dtype:                         # half precision: what lies behind the map again, in float32
                a = full(a)
                logits = self.nets['D'].heads(a, self.depth)[1]
            cam = relative_gradcam(a, logits, torch.cat([-d, d]), create_graph=True, score=c.score)                       # (1)
            m_x, m_y = cam_to_mask(cam, self.data.size, c.normalise, c.order).chunk(2)                                # (2)
            loss_cam = self.outside(x, y, combine(m_y, m_x, c.combine), d)                                            # (3)
        return Step(step.loss + c.lambda_cam * loss_cam, {**step.logs, 'cam': loss_cam.detach()}, step.images,
                    step.keep)                                                                                        # (5)

    def generator_step(self, batch: AttributeBatch, kept: Keep) -> Step:
        c, D, x, d, step = self.config, self.nets['D'], batch.image, batch.target - batch.labels, self.backbone.generator_step(batch, kept)
        if c.apply_to not in ('both', 'generator'):
            return step
        y, a_y = step.parts['edit'], step.parts['maps'][self.depth - 1].detach()
        inputs, back = [x], None
        if c.backward != 'none':
            back = self.bring_back(batch, step.parts)
            inputs += [back.detach()] if c.backward_mask == 'recompute' else []
        with torch.no_grad():
            a = torch.cat([a_y, D.features(torch.cat(inputs), self.depth)[-1]])
        m_y, m_x, *m_back = constant_masks(D, a, torch.cat([d, *[-d] * len(inputs)]), self.data.size, self.depth, normalise=c.normalise,
                                           order=c.order, score=c.score).split(len(x))
        m = combine(m_y, m_x, c.combine)
        loss_cam = self.outside(x, y, m, d)
        if back is not None:
            m_again = combine(m_back[0], m_y, c.combine) if m_back else m
            loss_cam = loss_cam + self.outside(y.detach() if c.backward_gradient == 'back' else y, back, m_again, d)
        return Step(step.loss + c.lambda_cam / 2 * loss_cam, {**step.logs, 'cam': loss_cam.detach()},                # (6)
                    {**step.images, 'gradcam': m.clamp(max=1)})

    def bring_back(self, batch: AttributeBatch, parts: Keep) -> Tensor:
        """x' [N,3,H,W]: what StarGAN has for its cycle loss, one more generator pass where a backbone reconstructs x itself."""
        if self.config.backward == 'reconstruction':
            return parts['reconstruction']
        if 'cycle' in parts:
            return parts['cycle']
        if 'intensity' not in parts:
            return self.backbone.generate(parts['edit'], batch.target, batch.labels)
        intensity = parts['intensity'] if self.config.backward_intensity == 'same' else 1.0
        return self.backbone.generate(parts['edit'], batch.target, batch.labels, intensity)

    def outside(self, u: Tensor, v: Tensor, m: Tensor, d: Tensor) -> Tensor:
        """L_CAM of pictures u, v [N,3,H,W] outside the mask m [N,1,H,W]; d [N,K]."""
        rows = ((1 - m) * (full(u) - full(v)).abs()).mean((1, 2, 3))                                                  # (4)
        if self.config.reduction == 'channel_sum':
            rows = 3 * rows
        if self.config.unchanged == 'keep':
            return rows.mean()
        changed = d.ne(0).any(1).to(rows.dtype)
        return (rows * changed).sum() / changed.sum().clamp(min=1)

    def gradcam_options(self) -> dict[str, Any]:
        """How this model's masks are made, as arguments of `guidance.gradcam.explain`."""
        c = self.config
        return {'layer': c.layer, 'combination': c.combine, 'normalise': c.normalise, 'order': c.order, 'score': c.score}

    def translate(self, request: AttributeRequest) -> Translation:
        """The backbone's edit; no edit mask."""
        return self.backbone.translate(request)

    def read(self, image: Tensor) -> Tensor:
        """The backbone's reading of attributes [N,K]."""
        return self.backbone.read(image)
