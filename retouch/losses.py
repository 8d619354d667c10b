"""Pure functions of tensors. Every reduction is in the name or in the first line of the docstring."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def full(x: Tensor) -> Tensor:
    """At least float32: half precision is widened, float64 stays. Losses, masks and penalties are computed in it."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def bce_sum_over_attributes(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy with logits: sum over K attributes, mean over N. logits, labels [N,K]. Source: yunjey/stargan @ 94dd002."""
    return F.binary_cross_entropy_with_logits(full(logits), labels, reduction='sum') / logits.shape[0]


def bce_mean(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy with logits: mean over N and K. logits, labels [N,K]."""
    return F.binary_cross_entropy_with_logits(full(logits), labels)


def cross_entropy_of_one_hot(logits: Tensor, labels: Tensor) -> Tensor:
    """Softmax cross-entropy, mean over N. logits [N,K], labels [N,K] one-hot. Source: yunjey/stargan @ 94dd002 (RaFD)."""
    return F.cross_entropy(full(logits), labels.argmax(1))


def l1_mean(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference over all elements. a, b of one shape."""
    return F.l1_loss(full(a), full(b))


def total_variation(mask: Tensor) -> Tensor:
    """Absolute differences of neighbouring pixels: sum over H and W, mean over N. mask [N,1,H,W]."""
    return (mask.diff(dim=2).abs().sum() + mask.diff(dim=3).abs().sum()) / len(mask)


def mse_to_constant(score: Tensor, target: float) -> Tensor:
    """LSGAN term: mean squared distance of every score (batch and patches) to a constant."""
    return ((full(score) - target) ** 2).mean()


def lsgan_halved(score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """LSGAN of a discriminator, halved: mean squared distances of scores to 1 for real and 0 for made pictures [N,3,H,W], in one call."""
    score_real, score_fake = score(torch.cat([real, fake])).chunk(2)
    return 0.5 * (mse_to_constant(score_real, 1.0) + mse_to_constant(score_fake, 0.0))


def bce_to_constant(score: Tensor, target: float) -> Tensor:
    """Vanilla GAN term: binary cross-entropy of every score (batch and patches, logits) with a constant, mean over all."""
    return F.binary_cross_entropy_with_logits(full(score), torch.full_like(score, target, dtype=full(score).dtype))


def kl_sum_over_dimensions(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence of N(mean, exp logvar) from N(0, I): sum over K, mean over N. mean, logvar [N,K]."""
    mean, logvar = full(mean), full(logvar)
    return 0.5 * (mean ** 2 + logvar.exp() - 1 - logvar).sum() / len(mean)


def gradient_penalty_of(gradient: Tensor) -> Tensor:
    """WGAN-GP: mean over N of (||g||_2 - 1)^2, the norm over C,H,W. gradient [N,C,H,W].

    The norm is safe at exactly zero, where sqrt(sum of squares) has a NaN gradient.
    """
    return ((torch.linalg.vector_norm(full(gradient).flatten(1), dim=1) - 1) ** 2).mean()


def gradient_penalty(score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
    """WGAN-GP between real and fake by double backward, in float32.

    Args:
        score: critic, [N,3,H,W] -> [N,...]; the gradient is of the SUM of all its scores (yunjey/stargan @ 94dd002).
        real: [N,3,H,W].
        fake: [N,3,H,W], detached here.
        alpha: [N,1,1,1] uniform draws; x_hat = alpha * real + (1 - alpha) * fake.
    """
    with torch.autocast(real.device.type, enabled=False):
        x_hat = torch.lerp(full(fake.detach()), full(real), alpha.to(full(real))).requires_grad_()
        g, = torch.autograd.grad(score(x_hat).sum(), x_hat, create_graph=True)
        return gradient_penalty_of(g)


def r1_penalty(score: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """R1 by double backward, in float32: squared norm of the gradient over C,H,W, mean over N. Mescheder et al., ICML 2018.

    Args:
        score: critic, [N,3,H,W] -> [N]; the gradient is of the sum of its scores.
        real: [N,3,H,W], detached here.
    """
    with torch.autocast(real.device.type, enabled=False):
        x = full(real).detach().requires_grad_()
        g, = torch.autograd.grad(score(x).sum(), x, create_graph=True)
        return g.square().flatten(1).sum(1).mean()


def mse_mean(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference over all elements. a, b of one shape."""
    return F.mse_loss(full(a), full(b))


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Squared distance of batch means: mean over N of either, square, mean over C,H,W; sum over layers. [N,C,H,W] each.

    Source: SKTBrain/DiscoGAN @ f044178.
    """
    return torch.stack([mse_mean(full(r).mean(0), full(f).mean(0)) for r, f in zip(real, fake, strict=True)]).sum()


def pair_distances(x: Tensor) -> Tensor:
    """Mean absolute difference over all elements of every two of [N,...] -> [N (N - 1) / 2]: (0, 1), (0, 2), …, (1, 2), …"""
    flat = full(x).flatten(1)
    return torch.cat([(flat[i + 1:] - flat[i]).abs().mean(1) for i in range(flat.shape[0] - 1)])


def half_distances(x: Tensor, dim: int) -> Tensor:
    """Mean absolute difference over all elements of the halves of each of [N,C,H,W] -> [N]; dim 2: top and bottom, 3: left and right."""
    first, second = full(x).chunk(2, dim)
    return (first - second).abs().mean((1, 2, 3))


def contrasting_distance(made: Tensor, wanted: Tensor, left: Tensor) -> Tensor:
    """-log of the share that e^-|made - wanted| has in itself and e^-|made - left|: mean over N, Euclidean norms over C.

    made and left [N,C], wanted [C] or [N,C].
    """
    near, far = (torch.linalg.vector_norm(full(made - other), dim=1) for other in (wanted, left))
    return F.softplus(near - far).mean()
