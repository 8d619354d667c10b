"""ContrastGAN: counts, masks of parts, the contrasting distance and all losses by hand, the queue, bad input."""
from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from retouch.data.batches import DataSpec, DomainBatch
from retouch.data.parsing import TWELVE
from retouch.engine.update import DomainRequest
from retouch.losses import contrasting_distance
from retouch.methods.contrastgan import Config, ContrastGAN, Features
from retouch.networks.stargan import Generator
from retouch.recipes.registry import RECIPES
from tests.batches import random_batch

SPEC = DataSpec(size=32, domains=('A', 'B'))


def make(**changes: Any) -> ContrastGAN:
    """With a mask of the left half for bright pictures and of the upper half for others, in place of the parser's."""
    torch.manual_seed(0)
    method = ContrastGAN(Config(**{'parser_width': 2, 'width_g': 4, 'blocks': 1, 'width_d': 4, 'layers_d': 2, 'queue': 3, **changes}), SPEC)
    with torch.no_grad():
        for name in ('D_A', 'D_B'):
            for p in method.nets[name].parameters():
                p.mul_(8)

    def mask_of(x: Tensor) -> Tensor:
        left, top = torch.zeros(2, 1, 32, 32)
        left[..., :16], top[:, :16] = 1, 1
        return torch.stack([left if float(z.mean()) > 0 else top for z in x])
    method.mask_of = mask_of                                     # type: ignore[method-assign]
    return method


def batch() -> DomainBatch:
    return random_batch('domains', SPEC, n=2)


def test_the_published_counts() -> None:
    with torch.device('meta'):
        assert sum(p.numel() for p in Generator(2).parameters()) == 8_421_120


def test_the_distance_by_hand() -> None:
    made, wanted, left = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([3.0, 4.0]), torch.tensor([[0.0, 1.0], [3.0, 4.0]])
    by_hand = [-math.log(math.exp(-near) / (math.exp(-near) + math.exp(-far))) for near, far in ((5, 1), (0, 0))]
    assert contrasting_distance(made, wanted, left).item() == pytest.approx(sum(by_hand) / 2)
    assert by_hand[1] == pytest.approx(math.log(2))


def test_the_mask_is_the_union_of_parts() -> None:
    torch.manual_seed(0)
    method = ContrastGAN(make(parts=('eyes', 'nose')).config, SPEC)
    logits = torch.full((1, 12, 32, 32), -1.0)
    places = {'skin': (slice(None), slice(None)), 'eyes': (slice(4, 8), slice(4, 9)), 'nose': (slice(10, 12), slice(3, 5)),
              'lips': (slice(20, 22), slice(3, 5))}
    for part, (rows, columns) in places.items():
        logits[:, :, rows, columns] = -1
        logits[:, TWELVE.index(part), rows, columns] = 1
    method.nets['P'].forward = lambda x: logits                  # type: ignore[method-assign]
    mask = method.mask_of(torch.zeros(1, 3, 32, 32))
    assert mask.dtype == torch.float32 and mask.sum() == 4 * 5 + 2 * 2
    assert mask[0, 0, 5, 5] == 1 == mask[0, 0, 11, 4] and mask[0, 0, 21, 4] == 0


def test_losses_by_hand() -> None:
    method, b = make(lambda_q=3.0, lambda_cyc=5.0, lambda_q_d=0.7), batch()
    n, pictures = method.nets, {'A': b.image_a, 'B': b.image_b}
    masks = {d: method.mask_of(z) for d, z in pictures.items()}
    stored = {d: torch.nn.functional.normalize(torch.randn(2, 16), dim=1) for d in 'AB'}
    for d in 'AB':
        method.real[d].add(stored[d])
    step = method.generator_step(b, {})
    step.loss.backward()
    assert all(p.grad is not None for p in n['G'].parameters()) and not any(p.grad is not None for p in n['P'].parameters())
    told = method.discriminator_step(b, step.keep)

    def made(x: Tensor, m: Tensor, category: list[float]) -> Tensor:
        return m * n['G'](m * x, torch.tensor([category] * 2)).tanh() + (1 - m) * x

    def feature(x: Tensor, d: str) -> Tensor:
        f = n[f'D_{d}'].main[:8](x).mean((2, 3))
        return f / f.norm(dim=1, keepdim=True)

    def q_of(fake: Tensor, d: str, left: Tensor, reals: Tensor) -> Tensor:
        r, f = torch.cat([feature(reals, d), stored[d]]).mean(0), feature(fake, d)
        return torch.stack([(1 + ((a - r).norm() - (a - o).norm()).exp()).log() for a, o in zip(f, feature(left, d), strict=True)]).mean()

    with torch.no_grad():
        expected: dict[str, Tensor] = {}
        for d, to, c_to, c_back in (('A', 'B', [0.0, 1.0], [1.0, 0.0]), ('B', 'A', [1.0, 0.0], [0.0, 1.0])):
            x, m, real = pictures[d], masks[d], masks[to] * pictures[to]
            fake = made(x, m, c_to)
            assert torch.equal(fake[m.expand_as(x) == 0], x[m.expand_as(x) == 0]), 'outside the mask the input stays'
            D = n[f'D_{to}']
            terms = {'gan': ((D(m * fake) - 1) ** 2).mean(), 'q': q_of(m * fake, to, m * x, real),
                     'cyc': (m * (made(fake, m, c_back) - x)).abs().mean(),
                     to: 0.5 * (((D(real) - 1) ** 2).mean() + (D(m * fake) ** 2).mean())}
            expected = {k: expected.get(k, 0) + v for k, v in terms.items()} | {k: v for k, v in expected.items() if k not in terms}
    torch.testing.assert_close({k: step.logs[k] for k in ('gan', 'q', 'cyc')}, {k: expected[k] for k in ('gan', 'q', 'cyc')})
    torch.testing.assert_close(step.loss.detach(), expected['gan'] + 3 * expected['q'] + 5 * expected['cyc'])
    torch.testing.assert_close(told.logs, {k: expected[k] for k in ('A', 'B', 'q')})
    torch.testing.assert_close(told.loss.detach(), expected['A'] + expected['B'] - 0.7 * expected['q'])


def test_the_queue_keeps_the_last_ones_and_comes_back() -> None:
    queue, new = Features(3, 1), torch.tensor([[10.0]])
    assert queue.mean(new).tolist() == [10]
    for value in (1.0, 2.0, 3.0, 4.0):
        queue.add(torch.tensor([[value]]))
    assert sorted(queue.stored.flatten().tolist()) == [2, 3, 4] and queue.mean(new).item() == pytest.approx((10 + 2 + 3 + 4) / 4)
    again = Features(3, 1)
    again.load_state_dict(queue.state_dict())
    again.add(torch.tensor([[5.0]]))
    assert again.count == 5 and sorted(again.stored.flatten().tolist()) == [3, 4, 5]


def test_translate() -> None:
    method, b = make().eval(), batch()
    with torch.no_grad():
        for to in 'AB':
            made = method.translate(DomainRequest(b.image_a, to))
            assert made.mask is not None and torch.equal(made.mask, method.mask_of(b.image_a))
            torch.testing.assert_close(made.image, method.generate(b.image_a, made.mask, to))
    with pytest.raises(ValueError, match="unknown domain 'C'"):
        method.translate(DomainRequest(b.image_a, 'C'))


def test_recipes_and_bad_input() -> None:
    m = RECIPES['contrastgan.aggan_table']().method
    assert (m.lambda_q, m.lambda_cyc, m.lambda_q_d, m.queue, m.lr, m.width_g, m.width_d) == (1, 10, 0.1, 50, 2e-4, 64, 64)
    assert RECIPES['contrastgan.toyfaces']().data == RECIPES['cyclegan.toyfaces']().data
    assert RECIPES['contrastgan.toyfaces_region']().method.parts == ('eyebrows', 'eyes', 'eyeglasses', 'nose')
    with pytest.raises(ValueError, match='size=40: expected a multiple of 16 from 32 on, for the parser; set --data.size 32'):
        ContrastGAN(Config(), DataSpec(size=40, domains=('A', 'B')))
    with pytest.raises(ValueError, match="unknown part 'noze'.*nose"):
        Config(parts=('noze',))
    with pytest.raises(ValidationError, match='parts'):
        Config(parts=())
