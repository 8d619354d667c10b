"""Where a discriminator's class head sees an edit: Grad-CAM of a difference of labels, differentiable or as a constant.

Grad-CAM: Selvaraju et al., ICCV 2017, eqs. 1-2. With signed relative attributes, normalised instead of rectified: Kim, Khan, Choo,
Not just Compete, but Collaborate: Local Image-to-Image Translation via Cooperative Mask Prediction, ICCV 2021 (the "CAM paper" below).
The discriminators this works on have `features(x, depth)` and `heads(a, depth)` (see `networks.stargan`, `networks.attgan`).
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Normalise = Literal['zscore', 'std', 'rms', 'meanabs', 'max', 'minmax', 'none']
Order = Literal['before', 'after']
Combine = Literal['clip', 'raw', 'max', 'mean']
Score = Literal['logits', 'sigmoid']
EPS, FLAT = 1e-5, 1e-12                      # added to every divisor; a map with a smaller variance is flat and its mask 0


def depth_of(layer: str, sides: Sequence[int]) -> int:
    """How many convolutions lie before the named map.

    Args:
        layer: 'conv3' (the map after the third convolution), 'last', '-2' (the last but one) …, or '4x4' (the deepest map at least that
            large; the first map if none is).
        sides: side of the map after every convolution, in pixels, largest first.

    Raises:
        ValueError: no such layer; names those there are.
    """
    names = [f'conv{i}' for i in range(1, len(sides) + 1)]
    if layer in names:
        return names.index(layer) + 1
    if layer == 'last':
        return len(sides)
    if layer.startswith('-') and layer[1:].isdecimal() and 1 <= int(layer[1:]) <= len(sides):
        return len(sides) + 1 - int(layer[1:])
    height, _, width = layer.partition('x')
    if height == width and height.isdecimal() and int(height) > 0:
        return max([i for i, side in enumerate(sides, 1) if side >= int(height)], default=1)
    shown = ', '.join(f'{name} ({side}x{side})' for name, side in zip(names, sides, strict=True))
    raise ValueError(f"unknown layer {layer!r}: expected one of {shown}, or 'last', '-2' … counted from the end, or a least size as '4x4'")


def relative_gradcam(a: Tensor, logits: Tensor, difference: Tensor, *, create_graph: bool, score: Score = 'logits') -> Tensor:
    """Signed Grad-CAM of the labels that differ, neither rectified nor normalised.

    Args:
        a: [N,C,h,w] a feature map that `logits` were computed from, with a gradient.
        logits: [N,K] class logits.
        difference: [N,K] in {-1,0,1}: the attributes to look for, 1 added and -1 removed.
        create_graph: keep the result differentiable in the discriminator's weights. Without it the class head of a
            discriminator step would silently receive no gradient.
        score: what is differentiated: the logits, or their sigmoids.

    Returns:
        [N,1,h,w] at least float32. A row whose difference is 0 is exactly 0.
    """
    c = logits if score == 'logits' else logits.sigmoid()
    g, = torch.autograd.grad(c, a, difference.to(c.dtype), create_graph=create_graph)               # one backward: samples do not mix
    dtype = torch.promote_types(a.dtype, torch.float32)
    weight = g.to(dtype).mean((2, 3), keepdim=True)                                              # [N,C,1,1]
    return (weight * a.to(dtype)).sum(1, keepdim=True)


def normalise(cam: Tensor, how: Normalise = 'zscore') -> Tensor:
    """Brings every map [N,1,h,w] to a common scale, by its own values alone; a constant map becomes 0 or, with 'rms', 'meanabs' and
    'max', constant.

    'zscore' (cam - mean) / std; 'std' cam / std; 'rms' cam / sqrt(mean cam^2); 'meanabs' cam / mean |cam|; 'max' cam / max |cam|;
    'minmax' (cam - min) / (max - min); 'none' cam. Population deviations; EPS is added to every divisor, and no gradient is NaN.
    """
    if how == 'none':
        return cam
    over = (2, 3)
    mean = cam.mean(over, keepdim=True)
    if how in ('zscore', 'std'):
        variance = ((cam - mean) ** 2).mean(over, keepdim=True)
        scaled = (cam - mean if how == 'zscore' else cam) / (variance.clamp_min(FLAT).sqrt() + EPS)
        return torch.where(variance > FLAT, scaled, torch.zeros_like(scaled))
    if how == 'rms':
        return cam / ((cam ** 2).mean(over, keepdim=True).clamp_min(FLAT).sqrt() + EPS)
    if how == 'meanabs':
        return cam / (cam.abs().mean(over, keepdim=True) + EPS)
    if how == 'max':
        return cam / (cam.abs().amax(over, keepdim=True) + EPS)
    low = cam.amin(over, keepdim=True)
    return (cam - low) / (cam.amax(over, keepdim=True) - low + EPS)


def cam_to_mask(cam: Tensor, size: int, how: Normalise = 'zscore', order: Order = 'before') -> Tensor:
    """[N,1,h,w] -> Mask [N,1,size,size]: normalised, clipped to [0,1] and enlarged (bilinear), in this order, or enlarged first."""
    if order == 'after':
        return normalise(F.interpolate(cam, size=(size, size), mode='bilinear', align_corners=False), how).clamp(0, 1)
    return F.interpolate(normalise(cam, how).clamp(0, 1), size=(size, size), mode='bilinear', align_corners=False)


def combine(a: Tensor, b: Tensor, how: Combine = 'clip') -> Tensor:
    """Two masks [N,1,H,W] as one: their sum clipped to 1, the raw sum (up to 2, so no Mask), their maximum or mean."""
    if how == 'max':
        return torch.maximum(a, b)
    total = a + b
    return total.clamp(max=1) if how == 'clip' else total if how == 'raw' else total / 2


def constant_masks(D: Any, a: Tensor, difference: Tensor, size: int, depth: int, *, normalise: Normalise = 'zscore',
                   order: Order = 'before', score: Score = 'logits') -> Tensor:
    """Masks of maps that are at hand, as constants: only what lies behind the map is run again. D may be frozen.

    Args:
        D: a discriminator.
        a: [N,C,h,w] its map after `depth` convolutions.
        difference: [N,K] in {-1,0,1}.
        size: side of the masks in pixels.
        depth: see `depth_of`.
        normalise: see `normalise`.
        order: see `cam_to_mask`.
        score: see `relative_gradcam`.

    Returns:
        [N,1,size,size] float32 in [0,1] without a graph.

    Raises:
        RuntimeError: under torch.inference_mode(), in which no gradient exists.
    """
    if torch.is_inference_mode_enabled():
        raise RuntimeError('a Grad-CAM needs gradients, which torch.inference_mode() rules out: use torch.no_grad() around it')
    with torch.enable_grad(), torch.autocast(a.device.type, enabled=False):
        a = a.detach().to(torch.promote_types(a.dtype, torch.float32)).requires_grad_()
        cam = relative_gradcam(a, D.heads(a, depth)[1], difference, create_graph=False, score=score)
    return cam_to_mask(cam.detach(), size, normalise, order)


def explain(D: Any, x: Tensor, y: Tensor, difference: Tensor, *, layer: str = '4x4', combination: Combine = 'clip',
            normalise: Normalise = 'zscore', order: Order = 'before', score: Score = 'logits') -> Tensor:
    """Where the discriminator sees the edit of x into y: M(y, difference) and M(x, -difference) together (the CAM paper's M_CAM).

    Args:
        D: a discriminator with `convs`.
        x: [N,3,H,W] input in [-1,1].
        y: [N,3,H,W] edit.
        difference: [N,K] target - source.
        layer: see `depth_of`.
        combination: see `combine`; 'raw' is cut to 1 here.
        normalise: see `normalise`.
        order: see `cam_to_mask`.
        score: see `relative_gradcam`.

    Returns:
        Mask [N,1,H,W]: an explanation, never composited.
    """
    size = x.shape[-1]
    depth = depth_of(layer, [size // 2 ** i for i in range(1, len(D.convs) + 1)])
    with torch.no_grad():
        a = D.features(torch.cat([x, y]), depth)[-1]
    both = torch.cat([-difference, difference])
    m_x, m_y = constant_masks(D, a, both, size, depth, normalise=normalise, order=order, score=score).chunk(2)
    return combine(m_y, m_x, combination).clamp(max=1)


def explain_edit(method: Any, request: Any, edited: Tensor) -> Tensor | None:
    """`explain` for what a method answered to an AttributeRequest, by its own discriminator and, if it has them, its own options.

    Args:
        method: a Method; its `gradcam_options()`, where it has one, are the arguments of `explain`.
        request: what it was asked.
        edited: [N,3,H,W] its answer.

    Returns:
        Mask [N,1,H,W], or None where no class head judges labels, or no label was to change.
    """
    D = method.nets['D'] if 'D' in method.nets else None
    if not (hasattr(request, 'target') and hasattr(type(D), 'heads') and hasattr(type(D), 'features')):     # methods, not networks
        return None
    difference = request.target - request.source
    if not bool(difference.any()):
        return None
    options = method.gradcam_options() if hasattr(method, 'gradcam_options') else {}
    return explain(D, request.image, edited, difference, **options)
