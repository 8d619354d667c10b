"""An edit mask against the true edit region."""
from __future__ import annotations

from torch import Tensor

THRESHOLD = 0.5


def mask_to_iou(mask: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union of mask > 0.5 with the region.

    Args:
        mask: [N,1,H,W] in [0,1].
        region: [N,1,H,W] bool.

    Returns:
        IoU [N], and which images have a non-empty region (bool [N]; the mean is over those).
    """
    chosen = mask > THRESHOLD
    both = (chosen & region).flatten(1).sum(1)
    either = (chosen | region).flatten(1).sum(1)
    return both / either.clamp(min=1), region.flatten(1).any(1)


def mask_to_area(mask: Tensor) -> Tensor:
    """Mean mask value of every image [N]: the share of the frame that may change, soft values counted softly. mask [N,1,H,W]."""
    return mask.float().flatten(1).mean(1)


def mask_to_pointing(mask: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """Pointing game: does the mask's maximum lie in the region?

    Args:
        mask: [N,1,H,W].
        region: [N,1,H,W] bool.

    Returns:
        hit [N] in [0,1] and which images have a non-empty region (bool [N]). Where several pixels share the maximum the hit is the share of
        them that lies inside, so that a saturated or constant mask gains nothing from the order of pixels.
    """
    flat = mask.flatten(1)
    peak = flat == flat.max(1, keepdim=True).values
    return (peak & region.flatten(1)).sum(1) / peak.sum(1), region.flatten(1).any(1)
