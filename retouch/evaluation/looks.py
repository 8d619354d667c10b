"""What a judge and extractors of features see in pictures."""
from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from retouch.evaluation.judge import Judge
from retouch.evaluation.scoring import Found, More, Piece, Task, in_batches, pictures_to_tensor
from retouch.evaluation.tallies import Arrays
from retouch.files import Pictures
from retouch.metrics.features import LPIPS, Extractor, images_to_lpips


def pictures_to_features(extractor: Extractor, images: Pictures, batch_size: int = 64, piece: Piece | None = None) -> Tensor:
    """What an extractor sees in uint8 [N,S,S,3]: [N,F] on the CPU. piece: as of `scoring.score`."""
    def compute(part: slice) -> dict[str, np.ndarray]:
        pictures = np.array(images[part])                        # pictures of a folder lie in a cache that cannot be written to
        return {'features': extractor.look(torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()).numpy()}

    return torch.from_numpy(in_batches(len(images), batch_size, compute, piece)['features'])


def lpips_to_measures(net: nn.Module) -> More:
    """LPIPS of answer and input, for `scoring.score`: outside the true region (the input stands inside), or where none is known, whole."""
    def more(task: Task, image: Tensor, x: Tensor, part: slice) -> Found:
        if task.region is None:
            return {f'lpips_whole[{LPIPS}]': (images_to_lpips(net, image, x), None)}
        region = torch.from_numpy(task.region[part]).unsqueeze(1).to(x.device)
        return {f'lpips_outside[{LPIPS}]': (images_to_lpips(net, torch.where(region, x, image), x), None)}
    return more


def look_at_all(judge: Judge | None, images: Pictures, looks: Mapping[str, Callable[[Tensor], Tensor]], batch_size: int = 64,
                piece: Piece | None = None, advance: Callable[[int], None] | None = None) -> dict[str, Tensor]:
    """What the judge and extractors see in pictures.

    Args:
        judge: reads them; None: nobody does.
        images: uint8 [N,S,S,3].
        looks: extractor -> features [b,F'] of uint8 [b,3,S,S].
        batch_size: pictures at once.
        piece: as of `scoring.score`.
        advance: called with the number of pictures since the last call.

    Returns:
        the judge's readings 'read' bool [N,J] and 'features' [N,F]; features [N,F'] under each extractor's name.
    """
    def compute(part: slice) -> Arrays:
        pictures = np.array(images[part])                        # pictures of a folder lie in a cache that cannot be written to
        seen = () if judge is None else judge.look(pictures_to_tensor(pictures))
        known = {name: values.numpy() for name, values in zip(('read', 'features'), seen, strict=False)}
        channels = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()
        return {**known, **{name: look(channels).numpy() for name, look in looks.items()}}

    found = in_batches(len(images), batch_size, compute, piece, advance)
    return {name: torch.from_numpy(value) for name, value in found.items()}
