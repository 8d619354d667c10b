"""The drawn set: faces with labels, parses and true edits. Knows no torch, so that a process which only draws starts at once."""
from retouch.toyfaces.faces import (
    PALETTE,
    REGION_THRESHOLD,
    VERSION,
    counterfactual,
    draw_set,
    drawing_hash,
    drawing_pool,
    face,
    render,
)
from retouch.toyfaces.identity import ATTRIBUTES, HAIR_COLOURS, THIRTEEN, Identity, sample_attributes, sample_identity
from retouch.toyfaces.palette import CLASSES

__all__ = [
    'ATTRIBUTES', 'CLASSES', 'HAIR_COLOURS', 'PALETTE', 'REGION_THRESHOLD', 'THIRTEEN', 'VERSION', 'Identity', 'counterfactual', 'draw_set',
    'drawing_hash', 'drawing_pool', 'face', 'render', 'sample_attributes', 'sample_identity',
]
