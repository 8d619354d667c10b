"""The smallest systems and small random batches of every kind, shared by the contract and golden tests."""
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from retouch.data.batches import AttributeBatch, DataSpec, DomainBatch, ExemplarBatch, Moment, PairBatch, ParsingBatch
from retouch.engine.update import AttributeRequest, DomainRequest, ExemplarRequest
from retouch.methods.cam import BACKBONES, CAM
from retouch.methods.distancegan import DistanceGAN
from retouch.methods.dualgan import DualGAN
from retouch.methods.local import Local
from retouch.methods.registry import METHODS
from retouch.methods.secgan import SeCGAN
from retouch.methods.unit import UNIT

TINY: dict[str, Callable[[], Any]] = {name: cls.tiny for name, cls in METHODS.items()}      # what every promise is checked on
TINY |= {f'cam.{backbone}': partial(CAM.tiny, backbone) for backbone in BACKBONES if backbone != 'stargan'}
TINY |= {'secgan.attgan': partial(SeCGAN.tiny, 'attgan'), 'secgan.stgan': partial(SeCGAN.tiny, 'stgan'),
         'secgan.concat': partial(SeCGAN.tiny, 'attgan', form='concat')}
TINY |= {'local.shipped': partial(Local.tiny, skips=True, detail=1, scales='fine', sharp=0.5, attended=0.5, lambda_light=0.5,
                                  head_start=1, mirrored=True, visible=0.05)}
TINY |= {'unit.nips': partial(UNIT.tiny, architecture='nips')}
TINY |= {'dualgan.ce': partial(DualGAN.tiny, 'bce'), 'dualgan.gp': partial(DualGAN.tiny, 'wgan_gp')}
TINY |= {'distancegan.self': partial(DistanceGAN.tiny, distance='self'), 'distancegan.discogan': partial(DistanceGAN.tiny, 'discogan')}


def random_batch(kind: str, spec: DataSpec, n: int = 2, iteration: int = 0) -> Any:
    """A batch for a Trainable of `kind`, the same for the same arguments."""
    g = torch.Generator().manual_seed(1000 + iteration)
    moment = Moment(seed=0, iteration=iteration, iterations=10, start=0, count=n, total=n)

    def images() -> torch.Tensor:
        return torch.rand(n, 3, spec.size, spec.size, generator=g) * 2 - 1

    index, whole = torch.arange(n), torch.tensor([0.0, 0.0, 1.0, 0.0]).expand(n, 4)
    if kind == 'attributes':
        labels = (torch.rand(n, len(spec.attributes), generator=g) < 0.5).float()
        k = len(spec.attributes)
        return AttributeBatch(images(), labels, 1 - labels, index, moment, (iteration % k, (iteration + 1) % k))
    if kind == 'domains':
        return DomainBatch(images(), images(), index, index, whole, whole, moment)
    if kind == 'exemplars':
        labels, others = ((torch.rand(n, len(spec.attributes), generator=g) < 0.5).float() for _ in range(2))
        return ExemplarBatch(images(), labels, images(), others, index, index, moment)
    if kind == 'parsing':
        classes = torch.randint(len(spec.attributes), (n, spec.size, spec.size), generator=g)
        return ParsingBatch(images(), classes, index, moment)
    assert kind == 'pairs', kind
    return PairBatch(images(), images(), index, whole, moment)


def random_request(kind: str, spec: DataSpec, n: int = 3) -> Any:
    """A request that a method of `kind` answers."""
    batch = random_batch(kind, spec, n)
    if kind == 'attributes':
        return AttributeRequest(batch.image, batch.labels, batch.target)
    if kind == 'exemplars':
        return ExemplarRequest(batch.image, batch.exemplar)
    return DomainRequest(batch.image_a, spec.domains[1])
