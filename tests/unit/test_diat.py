"""DIAT: counts, the smoothed mask, losses by hand, who learns from what, one direction, bad input."""
from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from retouch.data.batches import DataSpec, DomainBatch
from retouch.engine.update import DomainRequest
from retouch.methods.diat import DIAT, Config
from retouch.networks.cyclegan import ResNetGenerator
from retouch.networks.diat import MaskNet
from retouch.recipes.registry import RECIPES
from tests.batches import random_batch

SPEC = DataSpec(size=16, domains=('A', 'B'))


def make(**changes: Any) -> DIAT:
    torch.manual_seed(0)
    method = DIAT(Config(**{'width_g': 4, 'blocks': 1, 'width_m': 4, 'width_d': 4, 'layers_d': 1, 'n_critic': 2, **changes}), SPEC)
    with torch.no_grad():
        for name in ('D', 'M'):
            for p in method.nets[name].parameters():
                p.mul_(8)
    return method


def batch() -> DomainBatch:
    return random_batch('domains', SPEC, n=2)


def test_counts() -> None:
    with torch.device('meta'):
        assert sum(p.numel() for p in ResNetGenerator(blocks=5).parameters()) == 6_657_539
        assert sum(p.numel() for p in MaskNet().parameters()) == 245_825


def test_the_mask_is_small_and_smooth() -> None:
    net, x = MaskNet(4), torch.rand(1, 3, 128, 128)
    assert net.main(x).shape == (1, 1, 32, 32) and net(x).shape == (1, 1, 128, 128) and net.kernel.sum().item() == pytest.approx(1)
    line = torch.tensor([torch.e ** -2, torch.e ** -0.5, 1, torch.e ** -0.5, torch.e ** -2])
    torch.testing.assert_close(net.kernel[0, 0, 2] / net.kernel[0, 0, 2, 2], line)
    point = torch.full((1, 1, 8, 8), -1e4)
    point[0, 0, 4, 4] = 1e4
    net.main = torch.nn.Identity()                               # type: ignore[assignment]
    smooth = F.avg_pool2d(net(point)[..., 8:28, 8:28], 4)        # bilinear, so that means of 4 x 4 are near the small mask
    assert smooth.argmax() == 12 and 0 < smooth.max() < 0.2
    for logit, value in ((1e4, 1.0), (-1e4, 0.0)):
        torch.testing.assert_close(net(torch.full((1, 1, 8, 8), logit)), torch.full((1, 1, 32, 32), value))


def test_losses_by_hand() -> None:
    method, b = make(lambda_adv=2.0, lambda_id=3.0, lambda_ratio=5.0, lambda_gp=7.0, area=0.9), batch()
    n, x, z = method.nets, b.image_a, b.image_b
    with torch.no_grad():
        m = n['M'](x)
        y = m * n['T'](x) + (1 - m) * x
    step = method.discriminator_step(b, {})
    alpha = b.moment.uniform('alpha', 1, 1, 1)
    x_hat = (alpha * z + (1 - alpha) * y).requires_grad_()
    g, = torch.autograd.grad(n['D'](x_hat).sum(), x_hat)
    expected = {'adv': (n['D'](y).mean() - n['D'](z).mean()).detach(), 'gp': ((g.flatten(1).norm(dim=1) - 1) ** 2).mean()}
    torch.testing.assert_close(step.logs, expected)
    torch.testing.assert_close(step.loss.detach(), expected['adv'] + 7 * expected['gp'])
    step.loss.backward()
    assert {name for name, net in n.items() if any(p.grad is not None for p in net.parameters())} == {'D'}
    method.zero_grad(set_to_none=True)
    step = method.generator_step(b, {})

    def phi(u: Tensor) -> Tensor:
        return n['D'].main[:5](u)

    terms = {'att': -n['D'](y).mean(), 'id': ((phi(y) - phi(x)) ** 2).mean(), 'ratio': sum(abs(one.mean() - 0.9) for one in m) / 2}
    for name, value in terms.items():
        torch.testing.assert_close(step.logs[name], value.detach())
    torch.testing.assert_close(step.loss, 2 * terms['att'] + 3 * terms['id'] + 5 * terms['ratio'], rtol=1e-5, atol=1e-6)
    step.loss.backward()
    assert all(p.grad is not None for net in ('T', 'M') for p in n[net].parameters())
    assert [(u.name, u.nets, u.every) for u in method.updates()] == [('D', ('D',), 1), ('G', ('T', 'M'), 2)]


def test_one_direction() -> None:
    method, x = make().eval(), batch().image_a
    assert method.data.one_way
    with torch.no_grad():
        made = method.translate(DomainRequest(x, 'B'))
        torch.testing.assert_close(made.image, made.mask * method.nets['T'](x) + (1 - made.mask) * x)
    with pytest.raises(ValueError, match='this model makes B of A alone, not A of B'):
        method.translate(DomainRequest(x, 'A'))
    with pytest.raises(ValueError, match="unknown domain 'C'"):
        method.translate(DomainRequest(x, 'C'))


def test_recipes_and_bad_input() -> None:
    m = RECIPES['diat.celeba']().method
    assert (m.blocks, m.lambda_adv, m.lambda_id, m.lambda_ratio, m.lambda_gp, m.n_critic, m.lr, m.area) == (5, 1, 1, 0.1, 10, 5, 1e-4, 0.1)
    small, base = RECIPES['diat.toyfaces'](), RECIPES['cyclegan.toyfaces']()
    assert (small.data, small.train) == (base.data, base.train)
    with pytest.raises(ValueError, match='size=18: .* set --data.size 16'):
        DIAT(Config(), DataSpec(size=18, domains=('A', 'B')))
