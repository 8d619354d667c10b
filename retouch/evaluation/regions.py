"""PSNR outside the parts of a face that an edit names, as a face parser reads them: preservation on photographs, which have no true region.

Source: Kim, Khan, Choo. Not just Compete, but Collaborate. ICCV 2021: hair is left out of edits of its colour; skin, nose and neck of
Pale_Skin. Whose parse decides and what the error is divided by it does not say: the input's and the pixels that count; the other readings
are measured beside it.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from retouch.data.labels import HAIR_COLOURS
from retouch.data.parsing import TWELVE
from retouch.evaluation.scoring import Found, More, Task
from retouch.metrics import psnr
from retouch.model import Model, model_to_parser

PARTS: dict[str, tuple[str, ...]] = {**dict.fromkeys(HAIR_COLOURS, ('hair',)), 'Pale_Skin': ('skin', 'nose', 'neck')}
LEAST = 0.01     # a picture of which less than this share is left does not count


def parser_to_measures(parser: Model, size: int, tasks: Sequence[Task], device: torch.device | str = 'cpu') -> More:
    """What `score` asks of every answer beside its own measures: its PSNR against the input outside the parts that the edit names.

    Args:
        parser: a parser Model of the pictures' size.
        size: side of the pictures in pixels.
        tasks: the edits.
        device: where it works, and where answers are.

    Returns:
        for an answer 'psnr_outside[parser]' and its per-image readings; nothing for tasks that PARTS does not name.

    Raises:
        ValueError: no parser, one of another size, or no task whose parts are known.
    """
    method = model_to_parser(parser, size).method
    method.nets.to(device).eval()
    if not any(task.name in PARTS for task in tasks):
        raise ValueError(f'--parser does not apply to edits of {", ".join(task.name for task in tasks)}: expected at least one of '
                         f'{", ".join(PARTS)}, whose parts of a face are known')

    @torch.no_grad()
    def classes_of(images: Tensor) -> Tensor:
        """[b,3,S,S] -> positions in TWELVE, uint8 [b,1,S,S]."""
        log_p = method.read(images)
        if not bool(log_p.isfinite().all()):
            raise FloatingPointError(f'the parse of {parser.path} is not finite: the model is damaged or its training diverged')
        return log_p.argmax(1, keepdim=True).to(torch.uint8)

    def measures(task: Task, answer: Tensor, x: Tensor, part: slice) -> Found:
        if task.name not in PARTS:
            return {}
        members = torch.tensor([TWELVE.index(name) for name in PARTS[task.name]], dtype=torch.uint8, device=x.device)
        region = torch.isin(classes_of(x), members)              # again for every edit: kept, they would grow with the pictures
        error, count = _outside(answer, x, region)
        either, either_count = _outside(answer, x, region | torch.isin(classes_of(answer), members))
        per_image = psnr.squared_error_to_psnr_per_image
        return {'psnr_outside[parser]': (error, count),
                'psnr_outside_per_image[parser]': per_image(error, count),
                'psnr_outside_per_image[parser,union]': per_image(either, either_count),
                'psnr_outside_per_image[parser,zero_fill]': per_image(error, torch.full_like(count, x[0].numel()))}
    return measures


def _outside(answer: Tensor, x: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """Squared error outside a region and the number of values in it, float64 [b]; both 0 where less than LEAST of the frame is left."""
    found = psnr.squared_error_inside_outside(answer, x, region)
    enough = found.outside_count >= LEAST * x[0].numel()
    return found.outside * enough, found.outside_count * enough
