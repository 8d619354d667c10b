"""A node for ComfyUI that edits attributes with a Retouch model: copy this file into custom_nodes/ of a ComfyUI whose Python has retouch.

The node works in ComfyUI's process and needs no server. Where its mask output is 0, the picture is the input's, byte by byte.
"""
from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from retouch import Editor


@lru_cache(maxsize=2)
def load(model: str) -> Editor:
    return Editor.load(model)


class RetouchEdit:
    """IMAGE is [N,H,W,3] and MASK [N,H,W], both float in [0,1], as everywhere in ComfyUI."""

    CATEGORY = 'image/retouch'
    RETURN_TYPES = ('IMAGE', 'MASK')
    FUNCTION = 'edit'

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        return {'required': {'image': ('IMAGE',), 'model': ('STRING', {'default': 'toyfaces'}),
                             'attributes': ('STRING', {'default': 'Blond_Hair=1'}),
                             'strength': ('FLOAT', {'default': 1.0, 'min': 0.0, 'max': 2.0, 'step': 0.05})},
                'optional': {'mask': ('MASK',)}}

    def edit(self, image: torch.Tensor, model: str, attributes: str, strength: float,
             mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = {name: float(value) for name, _, value in (pair.partition('=') for pair in attributes.split())}
        edits = []
        for i, pixels in enumerate(image):
            painted = None if mask is None else mask[min(i, len(mask) - 1)].cpu().numpy()
            edits.append(load(model).edit((pixels.cpu() * 255).round().byte().numpy(), mask=painted, strength=strength, **wanted))
        images = torch.stack([torch.from_numpy(np.array(edit.image)) for edit in edits]).float() / 255
        return images, torch.stack([torch.from_numpy(edit.mask) for edit in edits]).float() / 255


NODE_CLASS_MAPPINGS = {'RetouchEdit': RetouchEdit}
NODE_DISPLAY_NAME_MAPPINGS = {'RetouchEdit': 'Retouch: edit attributes'}
