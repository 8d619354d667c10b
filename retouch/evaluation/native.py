"""Protocol `native`: edits at the size people look at. Drawn faces of 512 px go through the Editor as a user's do, and come back whole.

The drawing is vector, so that the true result and its region are known at any size. Beside the model stands `through`: the true result as
it comes back from the model's own size, which no network of that size can pass.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from retouch.data.transforms import to_uint8
from retouch.editor.canvas import Canvas
from retouch.editor.editor import Editor
from retouch.engine.update import Translation
from retouch.evaluation.scoring import Answer, Found, Task, pictures_to_tensor
from retouch.metrics import psnr

NATIVE_PX, NATIVE_N = 512, 200
STEPS = (1, 2, 4, 1)     # any distance up to BAND_PX is a sum of some of them
BAND_PX = sum(STEPS)     # either side of the true region's edge, for `psnr_boundary`
LEFT_OVER = 0.25         # of the true change: a pixel that moved by less is left over


def editor_to_answer(editor: Editor) -> Answer:
    """What the Editor makes of pictures that it is given as files are: it reads their attributes itself."""
    names = editor.data.attributes

    def edit(task: Task, picture: Any, target: Tensor) -> tuple[Any, Any]:
        found = editor.edit(picture, **{task.name: int(target[names.index(task.name)])})
        return found.image, found.mask

    return _one_by_one(edit, lambda task, x, part: task.request(x, part).target)


def truth_to_answer(size: int) -> Answer:
    """The true result and region at `size` px, brought back by the Editor's own means."""
    def edit(task: Task, picture: Any, truth: Tensor) -> tuple[Any, Any]:
        canvas, true = (Canvas.open(some, None, None) for some in (picture, truth[..., :3].numpy()))
        region = F.interpolate(truth[None, None, ..., 3].float(), size=(size, size), mode='bilinear', antialias=True)
        answer = Translation(true.model_input(size), region.clamp(0, 1).numpy())      # type: ignore[arg-type]
        return canvas.compose(canvas.model_input(size), answer, 1.0, 0.02)

    def given(task: Task, x: Tensor, part: slice) -> Tensor:     # uint8 [b,S,S,4]
        assert task.truth is not None and task.region is not None
        return torch.cat([torch.from_numpy(task.truth[part]), torch.from_numpy(task.region[part]).to(torch.uint8)[..., None]], 3)

    return _one_by_one(edit, given)


def _one_by_one(edit: Callable[[Task, Any, Tensor], tuple[Any, Any]], given: Callable[[Task, Tensor, slice], Tensor]) -> Answer:
    """Pictures [b,3,S,S] are edited one at a time: (task, uint8 [S,S,3], what is given for it) -> picture and mask uint8 [S,S]."""
    def answer(task: Task, x: Tensor, part: slice) -> Translation:
        pictures, pixels, masks = to_uint8(x).cpu().numpy(), [], []
        for picture, more in zip(pictures, given(task, x, part), strict=True):
            image, mask = edit(task, picture, more)
            pixels.append(torch.from_numpy(np.array(image)))
            masks.append(torch.from_numpy(mask))
        mask = torch.stack(masks)[:, None].float() / 255
        everywhere = bool((mask == 1).all())                     # of a system without an edit mask
        return Translation(pictures_to_tensor(torch.stack(pixels).numpy(), x.device), None if everywhere else mask.to(x.device))
    return answer


def native_measures(task: Task, image: Tensor, x: Tensor, part: slice) -> Found:
    """What is measured at this size alone, of answers [b,3,S,S]: error beside the true region's edge, and what was left as it was in it.

    Returns:
        'psnr_boundary': squared error against the true result in a band of BAND_PX either side of the region's edge, and its values;
        'leftovers': pixels of the region that moved by less than LEFT_OVER of the true change (distance in RGB), and its pixels.
    """
    assert task.truth is not None and task.region is not None
    truth, region = pictures_to_tensor(task.truth[part], x.device), torch.from_numpy(task.region[part]).unsqueeze(1).to(x.device)
    error = psnr.squared_error_inside_outside(image, truth, _grown(region) & _grown(~region))
    moved, wanted = (torch.linalg.vector_norm(some - x, dim=1, keepdim=True) for some in (image, truth))       # [b,1,S,S]
    left = region & (moved < LEFT_OVER * wanted)
    return {'psnr_boundary': (error.inside, error.inside_count), 'leftovers': (left.flatten(1).sum(1), region.flatten(1).sum(1))}


def _grown(x: Tensor) -> Tensor:
    """What [b,1,S,S] bool has within BAND_PX of every pixel, in its column and in its row: x, and x moved either way by each of STEPS."""
    for dim in (2, 3):
        for step in STEPS:
            ahead, behind = x.narrow(dim, step, x.shape[dim] - step), x.narrow(dim, 0, x.shape[dim] - step)
            x = x.clone()
            x.narrow(dim, 0, x.shape[dim] - step).logical_or_(ahead)
            x.narrow(dim, step, x.shape[dim] - step).logical_or_(behind)
    return x
