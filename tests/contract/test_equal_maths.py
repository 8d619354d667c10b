"""What only makes training faster leaves the weights where they were: to 1e-6 after 20 iterations in float64."""
from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from lightning_fabric import Fabric

from retouch.engine.trainer import Trainer
from retouch.networks import layers
from retouch.networks import local as networks_of_local
from retouch.networks import stargan as networks_of_stargan
from tests.batches import TINY, random_batch

ITERATIONS = 20
SHARING = [name for name, make in TINY.items() if any(u.ahead for u in make().updates())]


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def trainer_of(name: str) -> Trainer:
    torch.manual_seed(0)
    return Trainer(TINY[name](), Fabric(accelerator='cpu', devices=1, precision='64-true'), iterations=1000)


def learn(trainer: Trainer) -> None:
    for i in range(ITERATIONS):
        trainer.train_iteration(random_batch(trainer.trainable.kind, trainer.trainable.data, iteration=i))


def assert_same_weights(a: Trainer, b: Trainer) -> None:
    state, other = a.module.state_dict(), b.module.state_dict()
    assert state.keys() == other.keys() and any(v.dtype == torch.float64 for v in state.values())
    for key, value in state.items():
        torch.testing.assert_close(other[key], value, rtol=1e-6, atol=1e-6, msg=lambda m, key=key: f'{key}: {m}')


# secgan's sharing step is StarGAN's own, and icgan's G keeps running averages, which a second pass moves again
@pytest.mark.parametrize('name', [name for name in SHARING if name not in ('secgan', 'icgan')])
def test_a_fake_that_both_steps_share_is_the_fake_that_each_would_make(name: str) -> None:
    sharing, alone = trainer_of(name), trainer_of(name)
    before = {k: v.clone() for k, v in alone.module.state_dict().items()}
    alone.updates = tuple(dataclasses.replace(u, ahead=()) for u in alone.updates)
    used: list[str] = []
    last = sharing.updates[-1] if name != 'drit' else sharing.updates[2]
    sharing.updates = tuple(dataclasses.replace(u, step=lambda batch, kept, step=u.step, name=u.name: (
        used.extend(k for k, v in kept.items() if isinstance(v, torch.Tensor) and v.requires_grad) if name == last.name else None,
        step(batch, kept))[1]) for u in sharing.updates)
    learn(sharing)
    learn(alone)
    assert used, f'{last.name} was never given a tensor with its graph'
    assert any(not torch.equal(v, before[k]) for k, v in alone.module.state_dict().items())
    assert_same_weights(sharing, alone)


def test_which_systems_share() -> None:
    assert set(SHARING) == {'stargan', 'aggan_multi', 'cam', 'secgan', 'pix2pix', 'asgit_pairs', 'ganimation', 'diat', 'unit', 'unit.nips',
                            'munit', 'drit', 'local', 'local.shipped', 'icgan',
                            'dualgan', 'dualgan.gp', 'cut'}


@pytest.mark.parametrize('name', ['stargan', 'aggan_multi'])
def test_a_penalty_in_closed_form_is_the_one_by_double_backward(name: str) -> None:
    closed, double = trainer_of(name), trainer_of(name)
    assert closed.trainable.config.penalty == 'closed_form'
    double.trainable.config = closed.trainable.config.model_copy(update={'penalty': 'autograd'})
    learn(closed)
    learn(double)
    assert_same_weights(closed, double)


def test_lomits_penalty_in_closed_form_is_the_one_by_double_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    closed, double = trainer_of('lomit'), trainer_of('lomit')
    learn(closed)
    critic = double.trainable.nets['D']
    seen: list[int] = []

    def by_autograd(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        x = x.detach().requires_grad_()
        return torch.autograd.grad(critic(x)[0].sum(), x, create_graph=True)[0]
    monkeypatch.setattr(critic, 'input_gradient', by_autograd)
    learn(double)
    assert len(seen) == ITERATIONS
    assert_same_weights(closed, double)


@pytest.mark.parametrize('name', ['stargan', 'local', 'cyclegan', 'aggan', 'munit', 'lomit'])
def test_convolutions_done_another_way_and_one_pass_optimisers_are_torchs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quick, plain = trainer_of(name), trainer_of(name)
    learn(quick)
    assert all(g['fused'] for o in quick.optimisers.values() for g in o.param_groups)
    for optimiser in plain.optimisers.values():
        for group in optimiser.param_groups:
            group['fused'] = False
    monkeypatch.setattr(layers.NarrowConv2d, 'forward', torch.nn.Conv2d.forward)

    def tiled(conv: torch.nn.Conv2d, x: torch.Tensor, condition: torch.Tensor, before: int) -> torch.Tensor:
        x = x.repeat(len(condition) // len(x), 1, 1, 1)
        return conv(torch.cat([layers.with_condition(x[:, :before], condition), x[:, before:]], 1))
    for module in (networks_of_stargan, networks_of_local):
        monkeypatch.setattr(module, 'conv_with_condition', tiled)
    learn(plain)
    assert_same_weights(quick, plain)
