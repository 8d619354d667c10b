"""An attribute system of two classes, or of one attribute, asked as two-domain systems are: which of both a picture shall come to."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from retouch.engine.update import AttributeRequest, DomainRequest, Translation
from retouch.errors import unknown
from retouch.model import Model


class TwoClasses:
    """The same system with the face of a two-domain one; of one attribute, domain A lacks it and B has it."""

    kind = 'domains'
    takes_exemplar = False

    def __init__(self, method: Any) -> None:
        names = method.data.attributes
        self.inner, self.id, self.nets, self.config = method, method.id, method.nets, method.config
        self.data = method.data.model_copy(update={'domains': names if len(names) == 2 else ('A', 'B'), 'attributes': ()})

    def translate(self, request: DomainRequest) -> Translation:
        """Brings [N,3,H,W] to domain `request.to`."""
        if request.to not in self.data.domains:
            raise unknown('domain', request.to, self.data.domains)
        to = self.data.domains.index(request.to)
        target = torch.eye(2)[to] if len(self.inner.data.attributes) == 2 else torch.tensor([float(to)])
        target = target.to(request.image.device).expand(len(request.image), -1)
        return self.inner.translate(AttributeRequest(request.image, 1 - target, target))


def as_domains(model: Model) -> Model:
    """A model of two classes that exclude each other, or of one attribute, as one of two domains; any other as it is."""
    method, names = model.method, model.data.attributes
    exclusive = getattr(getattr(method, 'config', None), 'labels', 'multi') == 'single'
    if method.kind != 'attributes' or method.id in ('classifier', 'parser') or not (len(names) == 1 or (len(names) == 2 and exclusive)):
        return model
    trained = {**model.info.get('data', {}), **({'attribute': names[0]} if len(names) == 1 else {})}
    return replace(model, method=TwoClasses(method), info={**model.info, 'data': trained})      # type: ignore[arg-type]
