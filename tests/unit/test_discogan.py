"""DiscoGAN: counts, every term by hand, who learns when, the curriculum, both ranges, both heads and what does not fit."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from retouch.data.batches import DataSpec, DomainBatch, Moment
from retouch.engine.trainer import Trainer
from retouch.engine.update import DomainRequest
from retouch.losses import feature_matching
from retouch.methods.discogan import Config, DiscoGAN
from retouch.networks.dcgan import FeatureDiscriminator, Translator, halvings
from retouch.recipes.registry import RECIPES
from tests.batches import random_batch

SPEC = DataSpec(size=16, domains=('night', 'day'))


def small(size: int = 16, **fields: object) -> DiscoGAN:
    torch.manual_seed(0)
    return DiscoGAN(Config.model_validate({'width_g': 2, 'width_d': 2, **fields}), SPEC.model_copy(update={'size': size}))


class Stub(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def softplus(x: float) -> float:
    """BCE of a logit with 0; of -x with 1."""
    return math.log1p(math.exp(x))


def by_hand(iteration: int = 0, **fields: object) -> tuple[DiscoGAN, DomainBatch]:
    """G(x) = x + 0.5 and F(y) = y - 0.25 inside the tanh; D_A(x) = x and D_B(y) = 2 y, one feature each: 3 x and 4 y."""
    method = small(**fields)
    method.nets['G'], method.nets['F'] = Stub(lambda x: torch.atanh(x) + 0.5), Stub(lambda y: torch.atanh(y) - 0.25)
    method.nets['D_A'] = Stub(lambda x: (x[:, :1], [3 * x]))
    method.nets['D_B'] = Stub(lambda y: (2 * y[:, :1], [4 * y]))
    x, y, whole = torch.full((2, 3, 8, 8), math.tanh(0.1)), torch.full((2, 3, 8, 8), math.tanh(-0.3)), torch.zeros(2, 4)
    return method, DomainBatch(x, y, torch.arange(2), torch.arange(2), whole, whole, Moment(iteration=iteration, count=2, total=2))


def test_counts() -> None:
    def count(net: nn.Module) -> int:
        return sum(p.numel() for p in net.parameters())

    with torch.device('meta'):
        assert [count(Translator(layers=n)) for n in (3, 4)] == [1_318_016, 5_513_856] and count(Translator(bottleneck=100)) == 7_153_480
        assert count(FeatureDiscriminator()) == 2_765_568
        assert sum(count(net) for net in DiscoGAN(Config(), DataSpec(size=64, domains=('A', 'B'))).nets.values()) == 16_558_848


def test_discriminator_loss_by_hand() -> None:
    method, batch = by_hand()
    step = method.discriminator_step(batch, {})
    real_b, fake_b, real_a, fake_a = 2 * math.tanh(-0.3), 2 * math.tanh(0.6), math.tanh(0.1), math.tanh(-0.55)
    loss_b, loss_a = 0.5 * (softplus(-real_b) + softplus(fake_b)), 0.5 * (softplus(-real_a) + softplus(fake_a))
    assert step.logs['B'].item() == pytest.approx(loss_b) and step.logs['A'].item() == pytest.approx(loss_a)
    assert step.loss.item() == pytest.approx(loss_a + loss_b)


@pytest.mark.parametrize(('fields', 'iteration', 'weights'), [
    ({}, 9_999, (0.099, 0.891, 0.01)), ({}, 10_000, (0.05, 0.45, 0.5)), ({'curriculum': 0, 'rate': 0.2}, 0, (0.08, 0.72, 0.2)),
    ({'curriculum': 5, 'starting_rate': 0.4}, 4, (0.06, 0.54, 0.4)), ({'feature_matching': False, 'curriculum': 0}, 0, (0.5, 0, 0.5))])
def test_generator_loss_by_hand(fields: dict[str, Any], iteration: int, weights: tuple[float, float, float]) -> None:
    method, batch = by_hand(iteration, **fields)
    step = method.generator_step(batch, {})
    x, y, fake_b, fake_a = (math.tanh(v) for v in (0.1, -0.3, 0.6, -0.55))
    terms = {'gan': softplus(-2 * fake_b) + softplus(-fake_a), 'fm': (4 * (y - fake_b)) ** 2 + (3 * (x - fake_a)) ** 2,
             'rec': (math.tanh(0.35) - x) ** 2 + (math.tanh(-0.05) - y) ** 2}
    assert {k: v.item() for k, v in step.logs.items()} == pytest.approx(terms, rel=1e-4)
    assert step.loss.item() == pytest.approx(sum(w * v for w, v in zip(weights, terms.values(), strict=True)), rel=1e-4)


def test_features_are_compared_by_the_means_of_the_batch() -> None:
    real, fake = torch.tensor([1.0, 5.0]).view(2, 1, 1, 1), torch.tensor([2.0, 2.0]).view(2, 1, 1, 1)
    wide = torch.tensor([[0.0, 4.0], [0.0, 0.0]]).view(2, 2, 1, 1)                     # means 0 and 2
    assert feature_matching([real], [fake]).item() == 1 and feature_matching([real], [real.flip(0)]).item() == 0
    assert feature_matching([real, wide], [fake, torch.zeros(2, 2, 1, 1)]).item() == 1 + (0 + 4) / 2


def test_over_nine_iterations_d_learns_in_three_and_g_in_six() -> None:
    trainer = Trainer(small(), Fabric(accelerator='cpu', devices=1), iterations=9)
    learned = [tuple(trainer.train_iteration(random_batch('domains', SPEC, iteration=i))) for i in range(9)]
    assert learned == [('D',), ('G',), ('G',)] * 3


def test_real_features_teach_nobody_in_the_generators_step() -> None:
    method = small()
    method.nets.requires_grad_(False)
    for name in ('G', 'F'):
        method.nets[name].requires_grad_(True)
    method.generator_step(random_batch('domains', SPEC), {}).loss.backward()
    assert all((p.grad is not None) == (name in 'GF') for name, net in method.nets.items() for p in net.parameters())


def test_the_unit_range_is_half_the_symmetric_one() -> None:
    """sigmoid(z) in [0,1] is (1 + tanh(z / 2)) / 2 in [-1,1]; D sees pictures in [0,1], the grid and translate show [-1,1]."""
    method, batch = by_hand(output_range='unit', curriculum=0)
    method.nets['G'] = Stub(lambda x: torch.logit(x) + 2)
    method.nets['F'] = Stub(torch.logit)                                               # the identity
    seen = []
    method.nets['D_B'] = Stub(lambda y: (seen.append(y), (y[:, :1], [y]))[1])
    step = method.generator_step(batch, {})
    fake = 1 / (1 + math.exp(-(0.2 + 2)))                                              # of x = tanh(0.1), which is sigmoid(0.2)
    assert [float(s.mean()) for s in seen] == pytest.approx([fake, (math.tanh(-0.3) + 1) / 2], abs=1e-5)
    assert float(step.images['edit'].mean()) == pytest.approx(2 * fake - 1, abs=1e-5)
    assert torch.equal(method.translate(DomainRequest(batch.image_a, 'day')).image, step.images['edit'])


def test_translate_goes_to_the_domain_asked_for() -> None:
    method, x = small().eval(), torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        for to, net in (('day', 'G'), ('night', 'F')):
            made = method.translate(DomainRequest(x, to))
            assert torch.equal(made.image, method.nets[net](x).tanh()) and made.mask is None
    with pytest.raises(ValueError, match="unknown domain 'dusk'"):
        method.translate(DomainRequest(x, 'dusk'))


@pytest.mark.parametrize(('size', 'head', 'side', 'layers'), [(16, 'patch', 1, 2), (32, 'patch', 1, 3), (64, 'patch', 1, 4),
                                                              (128, 'patch', 5, 4), (256, 'patch', 13, 4), (128, 'single', 1, 5)])
def test_how_many_scores(size: int, head: str, side: int, layers: int) -> None:
    method = small(size, head=head)
    logits, features = method.nets['D_A'](torch.zeros(1, 3, size, size))
    assert logits.shape == (1, 1, side, side) and len(features) == layers - 1
    assert [f.shape[1:] for f in features] == [(2 * 2 ** i, size // 2 ** (i + 1), size // 2 ** (i + 1)) for i in range(1, layers)]
    assert torch.isfinite(method.generator_step(random_batch('domains', method.data), {}).loss)       # a target for every score


@pytest.mark.parametrize(('size', 'fields', 'said'), [
    (8, {}, 'size=8: .* 2 times, expected a multiple of 4 from 16 on; set --data.size 16'),
    (18, {}, 'size=18: .*; set --data.size 16'), (100, {}, 'size=100: .* 4 times, expected a multiple of 16 .*; set --data.size 96'),
    (16, {'layers_g': 5}, 'layers_g=5: 16 px are halved at most 4 times .*; set --method.layers-g 4'),
    (16, {'layers_g': 3, 'bottleneck': 4}, 'layers_g=3: .* at most 2 .* 4 px, which the bottleneck needs; set --method.layers-g 2')])
def test_what_does_not_fit(size: int, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f'^{said}$'):
        small(size, **fields)


def test_a_vector_needs_a_second_one() -> None:
    method = small(bottleneck=4)
    one, two = random_batch('domains', SPEC, n=1), random_batch('domains', SPEC, n=2)
    with pytest.raises(ValueError, match='^batch_size=1: .*expected 2 or more; set --train.batch-size 2, or --method.bottleneck none$'):
        method.discriminator_step(one, {})
    assert torch.isfinite(method.generator_step(two, {}).loss)
    assert method.eval().translate(DomainRequest(one.image_a, 'day')).image.shape == (1, 3, 16, 16)
    assert torch.isfinite(small().generator_step(one, {}).loss)


def test_halvings() -> None:
    assert {s: halvings(s) for s in (16, 32, 48, 64, 128, 256)} == {16: 2, 32: 3, 48: 3, 64: 4, 128: 4, 256: 4}
    assert halvings(256, 8) == 6


def test_presets() -> None:
    """SKTBrain/DiscoGAN @ f044178, `image_translation.py`: its arguments' defaults."""
    paper, table = RECIPES['discogan.paper'](), RECIPES['discogan.aggan_table']()
    m = paper.method
    assert (m.lr, m.beta1, m.beta2, m.weight_decay, m.interval) == (2e-4, 0.5, 0.999, 1e-5, 3)
    assert (m.curriculum, m.starting_rate, m.rate, m.output_range, m.feature_matching) == (10_000, 0.01, 0.5, 'unit', True)
    assert (paper.data.size, paper.data.load_size, paper.data.flip, paper.data.holdout) == (64, None, False, 200)
    assert paper.train.batch_size == 64
    assert (table.data.size, table.data.load_size, table.train.epochs, table.train.batch_size) == (256, None, 200, 1)
