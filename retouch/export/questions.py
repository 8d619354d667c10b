"""What a method is asked in an exported graph: `translate`, and `read` or `style_of` where it has them."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from retouch.engine.update import AttributeRequest, DomainRequest, ExemplarRequest, Translation
from retouch.exported import UNPAINTED, Condition
from retouch.model import can_read


class Graph(nn.Module):
    """One question to a method as tensors in, tensors out."""

    def __init__(self, method: nn.Module, answer: Callable[..., tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.method, self.answer = method, answer

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self.answer(*inputs)


@dataclass(frozen=True)
class Question:
    """What becomes one file."""

    part: Literal['translator', 'reader', 'style']
    graph: Graph
    inputs: dict[str, Tensor]                                # an example of each, N = 2; `domain` has no batch
    outputs: tuple[str, ...]


def condition_of(method: Any) -> Condition:
    """What a translator must be told: of labels as little as gives the same answers."""
    if method.kind != 'attributes':
        if method.data.one_way:
            return 'none'
        return {'domains': 'domain', 'pairs': 'none', 'exemplars': 'exemplar'}[method.kind]       # type: ignore[return-value]
    g, spec = torch.Generator().manual_seed(0), method.data
    x, a = torch.rand(4, 3, spec.size, spec.size, generator=g) * 2 - 1, torch.eye(len(spec.attributes))[:4].repeat(4, 1)[:4]
    b = 1 - a

    def answer(source: Tensor, target: Tensor) -> Tensor:
        return method.translate(AttributeRequest(x, source, target)).image

    with torch.no_grad():
        # both ways: what a picture seems to show may happen to be what is asked for, and is never the opposite as well
        told = [(a, b, answer(a, b)), (b, a, answer(b, a))]
        if all(torch.equal(image, answer(torch.zeros_like(a), target - source)) for source, target, image in told):
            return 'difference'
        if all(torch.equal(image, answer(target, target)) for _, target, image in told):
            return 'target'
    return 'source and target'


def is_masked(method: Any) -> bool:
    """Whether the system draws an edit mask: asked of a grey picture."""
    spec = method.data
    x, labels = torch.zeros(1, 3, spec.size, spec.size), torch.zeros(1, len(spec.attributes))
    request = (AttributeRequest(x, labels, labels) if method.kind == 'attributes' else ExemplarRequest(x, x) if method.kind == 'exemplars'
               else DomainRequest(x, spec.domains[1]))
    with torch.no_grad():
        return method.translate(request).mask is not None


def questions_of(method: Any, condition: Condition, noise: dict[str, Tensor]) -> list[Question]:
    """The translator first; a reader of labels and a reader of styles where the method has them."""
    spec, n = method.data, 2
    x = torch.zeros(n, 3, spec.size, spec.size)
    labels, domain = torch.zeros(n, len(spec.attributes)), torch.tensor(1)
    drawn = {name: values.expand(n, *values.shape[1:]).contiguous() for name, values in noise.items()}

    def shown(image: Tensor, made: Translation) -> tuple[Tensor, ...]:
        mask = torch.ones_like(image[:, :1]) if made.mask is None else made.mask
        return made.image, mask, made.image - image

    def given(values: Sequence[Tensor]) -> dict[str, Tensor] | None:
        return dict(zip(drawn, values, strict=True)) or None

    def one_of(domain: Tensor, answer: Callable[..., tuple[Tensor, ...]], *operands: Tensor) -> tuple[Tensor, ...]:
        """`answer(to, ...)` for the domain that is asked for, 0 or 1: one branch is computed."""
        def branch(to: str) -> Callable[..., tuple[Tensor, ...]]:
            return lambda *values: tuple(y.clone() for y in answer(to, *values))
        return torch.cond(domain > 0, branch(spec.domains[1]), branch(spec.domains[0]), operands)

    def difference(image: Tensor, difference: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        return shown(image, method.translate(AttributeRequest(image, torch.zeros_like(difference), difference, given(values))))

    def target(image: Tensor, target: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        return shown(image, method.translate(AttributeRequest(image, target, target, given(values))))

    def both(image: Tensor, source: Tensor, target: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        return shown(image, method.translate(AttributeRequest(image, source, target, given(values))))

    def to_domain(image: Tensor, domain: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        return one_of(domain, lambda to, x, *v: shown(x, method.translate(DomainRequest(x, to, noise=given(v)))), image, *values)

    def pair(image: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        return shown(image, method.translate(DomainRequest(image, spec.domains[1], noise=given(values))))

    def transfer(image: Tensor, exemplar: Tensor, painted: Tensor, exemplar_painted: Tensor) -> tuple[Tensor, ...]:
        made = method.transfer(image, exemplar, painted, exemplar_painted)
        return *shown(image, made), made.extras['exemplar_mask']

    painted = torch.full_like(x[:, :1], UNPAINTED)
    answer, told = {
        'difference': (difference, {'difference': labels}), 'target': (target, {'target': labels}), 'none': (pair, {}),
        'source and target': (both, {'source': labels, 'target': labels.clone()}), 'domain': (to_domain, {'domain': domain}),
        'exemplar': (transfer, {'exemplar': x.clone(), 'painted': painted, 'exemplar_painted': painted.clone()})}[condition]
    outputs = ('output', 'mask', 'change', *(['exemplar_mask'] if condition == 'exemplar' else []))
    questions = [Question('translator', Graph(method, answer), {'image': x, **told, **drawn}, outputs)]
    if method.kind == 'attributes' and can_read(method):
        questions.append(Question('reader', Graph(method, lambda image: (method.read(image),)), {'image': x}, ('labels',)))
    if hasattr(method, 'style_of'):
        def style(exemplar: Tensor, domain: Tensor) -> tuple[Tensor, ...]:
            return one_of(domain, lambda to, e: (method.style_of(e, to),), exemplar)

        questions.append(Question('style', Graph(method, style), {'exemplar': x, 'domain': domain}, ('style',)))
    return questions
