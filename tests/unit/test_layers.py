"""Layers that compute the same as torch's in another way."""
from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from retouch.engine.initial import take_optimisers
from retouch.engine.trainer import Trainer, in_order_of, restore
from retouch.methods.stargan import StarGAN
from retouch.networks.layers import NarrowConv2d, conv_with_condition, with_condition
from retouch.networks.lomit import Discriminator
from tests.batches import random_batch


def assert_same(a: Tensor, b: Tensor, parameters: list[Tensor]) -> None:
    """Two float64 tensors and their gradients, of the sum of their squares."""
    torch.testing.assert_close(a, b)
    for p, q in zip(*(torch.autograd.grad(y.square().sum(), parameters) for y in (a, b)), strict=True):
        torch.testing.assert_close(p, q)


@pytest.mark.parametrize(('pad', 'mode', 'bias'), [(3, 'reflect', True), (3, 'zeros', False), (0, 'zeros', True)])
@pytest.mark.parametrize('order', [torch.contiguous_format, torch.channels_last])
def test_a_narrow_convolution_is_torchs(pad: int, mode: str, bias: bool, order: torch.memory_format) -> None:
    torch.manual_seed(0)
    narrow = NarrowConv2d(5, 3, 7, 1, pad, bias=bias, padding_mode=mode).double()
    plain = nn.Conv2d(5, 3, 7, 1, pad, bias=bias, padding_mode=mode).double()
    plain.load_state_dict(narrow.state_dict())
    x = torch.randn(2, 5, 9, 12, dtype=torch.float64).contiguous(memory_format=order).requires_grad_()
    assert_same(narrow(x), narrow._conv_forward(x, narrow.weight, narrow.bias), [x, *narrow.parameters()])
    torch.testing.assert_close(narrow(x), plain(x))


def test_a_narrow_convolution_by_hand() -> None:
    conv = NarrowConv2d(1, 1, 2, 1, 0)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([[[[1.0, 10.0], [100.0, 1000.0]]]]))
        conv.bias.fill_(0.5)
    assert conv(torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]])).tolist() == [[[[5421.5, 6532.5]]]]


@pytest.mark.parametrize(('size', 'times', 'after'), [((16, 20), 1, 0), ((7, 6), 2, 0), ((12, 12), 1, 2)])
def test_a_condition_that_is_not_tiled_is_the_tiled_one(size: tuple[int, int], times: int, after: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3 + 4 + after, 6, 7, 1, 3, bias=after > 0).double()
    x = torch.randn(2, 3 + after, *size, dtype=torch.float64, requires_grad=True)
    condition = torch.randn(2 * times, 4, dtype=torch.float64, requires_grad=True)
    repeated = x.repeat(times, 1, 1, 1)
    tiled = torch.cat([with_condition(repeated[:, :3], condition), repeated[:, 3:]], 1)
    assert_same(conv_with_condition(conv, x, condition, 3), conv(tiled), [x, condition, *conv.parameters()])


@pytest.mark.parametrize('size', [16, 20])
def test_lomits_critic_in_closed_form(size: int) -> None:
    torch.manual_seed(0)
    D = Discriminator(3, size, 4).double()
    x = torch.randn(2, 3, size, size, dtype=torch.float64)
    seen = x.clone().requires_grad_()
    by_autograd, = torch.autograd.grad(D(seen)[0].sum(), seen, create_graph=True)
    weights = [p for name, p in D.named_parameters() if name.endswith('weight') and not name.startswith('cls')]
    assert len(weights) == 4
    assert_same(D.input_gradient(x), by_autograd, weights)


def test_an_optimiser_meets_moments_in_the_order_of_their_weights() -> None:
    """A run may go on in another order of memory; the fused optimiser would mix up the weights of a kernel."""
    def trainer(order: torch.memory_format) -> Trainer:
        torch.manual_seed(0)
        return Trainer(StarGAN.tiny().double().to(memory_format=order), Fabric(accelerator='cpu', devices=1), iterations=10)

    def learn(trainer: Trainer) -> Trainer:
        for i in (0, 1):
            b = random_batch('attributes', trainer.trainable.data, iteration=i)
            trainer.train_iteration(replace(b, **{k: getattr(b, k).double() for k in ('image', 'labels', 'target')}))
        return trainer

    first, other = learn(trainer(torch.contiguous_format)), trainer(torch.channels_last)
    other.load_state_dict(copy.deepcopy(first.state_dict()))
    moments = [(p, s['exp_avg']) for p, s in other.optimisers['D'].state.items() if p.ndim == 4 and not p.is_contiguous()]
    assert moments and all(m.stride() == p.stride() for p, m in moments)
    for p, q in zip(learn(first).module.parameters(), learn(other).module.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-8)
    begun = trainer(torch.channels_last)                         # a new run that takes over the moments of another
    assert take_optimisers(begun, copy.deepcopy(first.state_dict()['optimisers'])) == 'optimisers taken: D, G'
    taken = [(p, s['exp_avg']) for p, s in begun.optimisers['D'].state.items() if p.ndim == 4 and not p.is_contiguous()]
    assert taken and all(m.stride() == p.stride() for p, m in taken)
    p = torch.empty(2, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    v = torch.arange(24.0).view(2, 3, 2, 2)
    assert torch.equal(in_order_of(p, v), v) and in_order_of(p, v).stride() == p.stride()
    assert in_order_of(p, torch.zeros(())).shape == ()


def test_an_optimiser_may_keep_what_is_no_tensor() -> None:
    """As one of another package that counts its steps in a number."""
    p = torch.nn.Parameter(torch.ones(2))
    own = torch.optim.SGD([p], lr=0.1)
    own.state[p] = {'step': 3, 'buffer': None, 'average': torch.tensor([1.0, 2.0])}
    other = torch.optim.SGD([p], lr=0.2)
    restore(other, copy.deepcopy(own.state_dict()))
    kept = other.state[p]
    assert kept['step'] == 3 and kept['buffer'] is None and torch.equal(kept['average'], torch.tensor([1.0, 2.0]))
