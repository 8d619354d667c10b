"""The systems, by id. Packages outside this one join through the entry-point group `retouch.methods`."""
from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from retouch.data.batches import DataSpec
from retouch.errors import unknown
from retouch.methods.aggan import AGGAN
from retouch.methods.aggan_multi import AGGANMulti
from retouch.methods.asgit import ASGIT, ASGITPairs
from retouch.methods.attentiongan import AttentionGAN
from retouch.methods.attgan import AttGAN
from retouch.methods.bicyclegan import BicycleGAN
from retouch.methods.cam import CAM
from retouch.methods.classifier import AttributeClassifier
from retouch.methods.combogan import ComboGAN
from retouch.methods.contrastgan import ContrastGAN
from retouch.methods.cut import CUT
from retouch.methods.cyclegan import CycleGAN
from retouch.methods.diat import DIAT
from retouch.methods.discogan import DiscoGAN
from retouch.methods.distancegan import DistanceGAN
from retouch.methods.drit import DRIT
from retouch.methods.dualgan import DualGAN
from retouch.methods.fal import FAL
from retouch.methods.ganimation import GANimation
from retouch.methods.icgan import IcGAN
from retouch.methods.local import Local
from retouch.methods.lomit import LOMIT
from retouch.methods.mejjati_attn import MejjatiAttention
from retouch.methods.munit import MUNIT
from retouch.methods.parser import Parser
from retouch.methods.pix2pix import Pix2Pix
from retouch.methods.secgan import SeCGAN
from retouch.methods.stargan import StarGAN
from retouch.methods.stgan import STGAN
from retouch.methods.unit import UNIT

METHODS: dict[str, Any] = {
    'stargan': StarGAN,
    'attgan': AttGAN,
    'stgan': STGAN,
    'aggan': AGGAN,
    'aggan_multi': AGGANMulti,
    'cyclegan': CycleGAN,
    'discogan': DiscoGAN,
    'distancegan': DistanceGAN,
    'dualgan': DualGAN,
    'attentiongan': AttentionGAN,
    'pix2pix': Pix2Pix,
    'bicyclegan': BicycleGAN,
    'fal': FAL,
    'asgit': ASGIT,
    'asgit_pairs': ASGITPairs,
    'unit': UNIT,
    'ganimation': GANimation,
    'icgan': IcGAN,
    'contrastgan': ContrastGAN,
    'diat': DIAT,
    'munit': MUNIT,
    'drit': DRIT,
    'lomit': LOMIT,
    'cam': CAM,
    'secgan': SeCGAN,
    'local': Local,
    'combogan': ComboGAN,
    'cut': CUT,
    'mejjati_attn': MejjatiAttention,
    'classifier': AttributeClassifier,
    'parser': Parser,
}


def find_method(name: str) -> Any:
    """The class of a method id, from this package or from an installed one. Raises ValueError naming the nearest id."""
    if name in METHODS:
        return METHODS[name]
    outside = {e.name: e for e in entry_points(group='retouch.methods')}
    if name in outside:
        return outside[name].load()
    raise unknown('method', name, [*METHODS, *outside])


class _Unfilled(TorchFunctionMode):
    """Tensors stay as they were allocated: of networks that are only counted, first weights are most of the time."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, '__name__', '') in ('normal_', 'uniform_', 'zero_', 'fill_'):
            return args[0] if args else kwargs['tensor']
        return func(*args, **(kwargs or {}))


def count_parameters(name: str, config: Any, spec: DataSpec) -> dict[str, int]:
    """Parameters of every network of a method, by its name, without allocating or drawing any."""
    with torch.device('meta'), _Unfilled():
        nets = find_method(name)(config, spec).nets
    return {net: sum(p.numel() for p in module.parameters()) for net, module in nets.items()}
