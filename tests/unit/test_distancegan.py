"""DistanceGAN: distances and statistics against loops, every term by hand, a resumed training that measures nothing, what does not fit."""
from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from retouch.data.batches import DataSpec, DomainBatch, Moment
from retouch.engine.state import load_state
from retouch.engine.update import DomainRequest
from retouch.losses import half_distances, pair_distances
from retouch.methods.distancegan import Config, DistanceGAN
from retouch.recipes.registry import RECIPES, load_run, override
from retouch.training import train_run
from tests.batches import random_batch

SPEC = DataSpec(size=16, domains=('night', 'day'))


def small(**fields: object) -> DistanceGAN:
    torch.manual_seed(0)
    return DistanceGAN(Config.model_validate({'width_g': 2, 'width_d': 2, 'blocks': 1, **fields}), SPEC)


def pictures(n: int, seed: int, spread: float = 1.0) -> Tensor:
    return spread * (2 * torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) - 1)


class Stub(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def levels(*values: float) -> Tensor:
    """Grey pictures [N,3,8,8] of one level each."""
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)


def batch_of(x: Tensor, y: Tensor, iteration: int = 0) -> DomainBatch:
    n, whole = len(x), torch.zeros(len(x), 4)
    return DomainBatch(x, y, torch.arange(n), torch.arange(n), whole, whole, Moment(iteration=iteration, count=n, total=n))


def linear(method: DistanceGAN) -> DistanceGAN:
    """G(x) = x / 2 + 0.3, F(y) = -y / 4, D_A(x) = x, D_B(y) = 2 y; mu 0.1 and 0.2, sigma 0.5 and 0.25."""
    for name, function in {'G': lambda x: x / 2 + 0.3, 'F': lambda y: -y / 4, 'D_A': lambda x: x, 'D_B': lambda y: 2 * y}.items():
        if name in method.nets:
            method.nets[name] = Stub(function)
    method.mean.copy_(torch.tensor([0.1, 0.2]))
    method.std.copy_(torch.tensor([0.5, 0.25]))
    return method


def test_distances_of_pairs_and_of_halves() -> None:
    x = pictures(4, 0)
    brute = [float((x[i] - x[j]).abs().mean()) for i in range(4) for j in range(i + 1, 4)]
    assert pair_distances(x).tolist() == pytest.approx(brute)
    assert half_distances(x, 2).tolist() == pytest.approx([float((p[:, :8] - p[:, 8:]).abs().mean()) for p in x])
    assert half_distances(x, 3).tolist() == pytest.approx([float((p[..., :8] - p[..., 8:]).abs().mean()) for p in x])


@pytest.mark.parametrize(('fields', 'distances'), [
    ({}, lambda x: [(x[i] - x[j]).abs().mean() for i in range(6) for j in range(i + 1, 6)]),
    ({'statistics_of': 2}, lambda x: [(x[2 * i:2 * i + 2] - x[2 * j:2 * j + 2]).abs().mean() for i in range(3) for j in range(i + 1, 3)]),
    ({'distance': 'self'}, lambda x: [(p[:, :8] - p[:, 8:]).abs().mean() for p in x]),
    ({'distance': 'self', 'self_split': 'width'}, lambda x: [(p[:, :, :8] - p[:, :, 8:]).abs().mean() for p in x])],
    ids=['single', 'batches of two', 'height', 'width'])
def test_statistics_are_those_of_a_loop(fields: dict[str, Any], distances: Callable[[Tensor], list[Tensor]]) -> None:
    method, (a, b), asked = small(**fields), (pictures(6, 0), pictures(6, 1, 0.5)), []
    method.look_at(lambda n: (asked.append(n), (a, b))[1])
    assert asked == [900 * fields.get('statistics_of', 1)]
    for k, of in enumerate((a, b)):
        d = torch.stack(distances(of)).double()
        assert float(method.mean[k]) == pytest.approx(float(d.mean()), rel=1e-5)
        assert float(method.std[k]) == pytest.approx(float(((d - d.mean()) ** 2).mean().sqrt()), rel=1e-4)


def test_statistics_of_batches_spread_less_by_the_root_of_two() -> None:
    x = pictures(120, 3) * torch.rand(120, 1, 1, 1, generator=torch.Generator().manual_seed(4))      # pictures of different contrast
    single, double = small(), small(statistics_of=2)
    for method in (single, double):
        method.look_at(lambda n: (x, x))
    assert float(double.std[0] / single.std[0]) == pytest.approx(1 / math.sqrt(2), abs=0.1)


def test_losses_by_hand() -> None:
    """x 0.2, 0.6 are 0.4 apart, G(x) 0.2; y -0.8, 0 are 0.8 apart, F(y) 0.2."""
    method = linear(small(lambda_cyc=3.0, lambda_dist=2.0, pool=0))
    batch = batch_of(levels(0.2, 0.6), levels(-0.8, 0.0))
    step = method.generator_step(batch, {})
    terms = {k: v.item() for k, v in step.logs.items()}
    assert terms['dist'] == pytest.approx(abs((0.4 - 0.1) / 0.5 - (0.2 - 0.2) / 0.25) + abs((0.8 - 0.2) / 0.25 - (0.2 - 0.1) / 0.5))
    gan_b, gan_a = ((0.8 - 1) ** 2 + (1.2 - 1) ** 2) / 2, ((0.2 - 1) ** 2 + (0 - 1) ** 2) / 2
    assert terms['gan'] == pytest.approx(gan_b + gan_a)
    assert terms['cyc'] == pytest.approx((0.3 + 0.75) / 2 + (1.2 + 0.3) / 2)             # F(G(x)) -0.1, -0.15; G(F(y)) 0.4, 0.3
    assert step.loss.item() == pytest.approx(terms['gan'] + 2 * terms['dist'] + 3 * terms['cyc'])
    step = method.discriminator_step(batch, step.keep)
    assert step.logs['B'].item() == pytest.approx(((2.6 ** 2 + 1) / 2 + (0.8 ** 2 + 1.2 ** 2) / 2) / 2)
    assert step.logs['A'].item() == pytest.approx(((0.8 ** 2 + 0.4 ** 2) / 2 + 0.2 ** 2 / 2) / 2)
    assert step.loss.item() == pytest.approx(step.logs['A'].item() + step.logs['B'].item())


def test_the_distance_of_a_pair_is_no_distance_of_means() -> None:
    """Three pictures have three pairs, each with bars of its own."""
    method = linear(small(direction='a_to_b'))
    x = levels(0.0, 0.2, 0.8)
    method.nets['G'] = Stub(lambda x: x.flip(0))
    d, made = (0.2, 0.8, 0.6), (0.6, 0.8, 0.2)
    expected = sum(abs((a - 0.1) / 0.5 - (b - 0.2) / 0.25) for a, b in zip(d, made, strict=True)) / 3
    assert method.generator_step(batch_of(x, x), {}).logs['dist'].item() == pytest.approx(expected)


@pytest.mark.parametrize('distance', ['pairs', 'self'])
def test_the_identity_map_keeps_every_distance(distance: str) -> None:
    method = linear(small(distance=distance))
    method.nets['G'], method.nets['F'] = Stub(lambda x: x), Stub(lambda x: x)
    batch = random_batch('domains', SPEC, n=3)
    assert method.generator_step(batch, {}).logs['dist'].item() > 0                     # sigma and mu differ
    method.mean.fill_(0.3), method.std.fill_(0.2)
    assert method.generator_step(batch, {}).logs['dist'].item() == 0


def test_the_form_self_compares_halves_of_every_picture() -> None:
    method = linear(small(distance='self', direction='a_to_b'))
    x = torch.cat([levels(0.1, 0.5), levels(0.2, 0.9)], 2)                             # [2,3,16,8]: halves 0.1 and 0.4 apart
    method.nets['G'] = Stub(lambda x: 2 * x)
    expected = (abs((0.1 - 0.1) / 0.5 - (0.2 - 0.2) / 0.25) + abs((0.4 - 0.1) / 0.5 - (0.8 - 0.2) / 0.25)) / 2
    assert method.generator_step(batch_of(x, x), {}).logs['dist'].item() == pytest.approx(expected)


@pytest.mark.parametrize(('iteration', 'r'), [(1, 0.01), (4, 0.5)])
def test_on_discogan_nets_the_rest_has_the_share_r(iteration: int, r: float) -> None:
    method = small(nets='discogan', lambda_cyc=1.0, curriculum=3)
    step = method.generator_step(random_batch('domains', SPEC, iteration=iteration), {})
    gan, dist, cyc = (step.logs[k].item() for k in ('gan', 'dist', 'cyc'))
    assert step.loss.item() == pytest.approx((1 - r) * gan + r * (dist + cyc), rel=1e-5) and dist > 0 and cyc > 0
    d, g = method.updates()
    assert [[u.name for u in (d, g) if u.runs_at(i, 9)] for i in range(4)] == [['D'], ['G'], ['G'], ['D']]
    assert [u.name for u in small().updates()] == ['G', 'D']


def test_one_way_has_one_generator_and_one_discriminator() -> None:
    method = small(direction='a_to_b').eval()
    assert [*method.nets] == ['G', 'D_B'] and method.inference_nets == ('G',) and method.data.one_way
    x = pictures(2, 5)
    with torch.no_grad():
        assert torch.equal(method.translate(DomainRequest(x, 'day')).image, method.nets['G'](x))
    with pytest.raises(ValueError, match='this model makes day of night alone'):
        method.translate(DomainRequest(x, 'night'))
    step = method.generator_step(random_batch('domains', SPEC), {})
    assert set(step.keep) == {'fake_B'} and set(method.discriminator_step(random_batch('domains', SPEC), step.keep).logs) == {'B'}


def test_what_does_not_fit() -> None:
    one = random_batch('domains', SPEC, n=1)
    with pytest.raises(ValueError, match='^batch_size=1: .*expected 2 or more; set --train.batch-size 2, or --method.distance self$'):
        small().generator_step(one, {})
    assert torch.isfinite(small(distance='self').generator_step(one, {}).loss)
    with pytest.raises(ValueError, match='^lambda_cyc=10 with direction=a_to_b: .*set --method.lambda-cyc 0, or --method.direction both$'):
        small(lambda_cyc=10.0, direction='a_to_b')
    grey = torch.zeros(6, 3, 16, 16)
    with pytest.raises(ValueError, match='^all distances in domain day are 0: .*; add pictures, or set --method.normalise false$'):
        small().look_at(lambda n: (pictures(6, 0), grey))
    with pytest.raises(ValueError, match='^domain night has 1 pictures: expected 2 or more, .*--method.normalise false$'):
        small().look_at(lambda n: (grey[:1], grey))
    with pytest.raises(ValueError, match='^size=18: .*set --data.size 16$'):
        DistanceGAN(Config(), SPEC.model_copy(update={'size': 18}))
    method = small(normalise=False)
    method.look_at(lambda n: pytest.fail('nothing is measured'))
    assert method.mean.tolist() == [0, 0] and method.std.tolist() == [1, 1]


def test_a_resumed_training_measures_nothing_and_has_the_same_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = override(load_run('distancegan.toyfaces'), {'data.n': 24, 'train.iterations': 4, 'train.batch_size': 2, 'method.width_g': 2,
                                                      'method.width_d': 2, 'method.pool': 2})
    looked, look = [], DistanceGAN.look_at
    monkeypatch.setattr(DistanceGAN, 'look_at', lambda self, first: (looked.append(self), look(self, first))[1])
    for out, stops in ((tmp_path / 'whole', (None,)), (tmp_path / 'cut', (2, None))):
        for stop in stops:
            train_run(run, out, resume='auto', stop_after=stop, show=False)
    whole, cut = (load_state(tmp_path / name / 'state')['trainable'] for name in ('whole', 'cut'))
    assert len(looked) == 2                                                            # once for either training
    assert (whole['mean'] > 0.05).all() and (whole['std'] > 0.005).all() and (whole['std'] != 1).all()
    assert whole.keys() == cut.keys() and all(torch.equal(whole[k], cut[k]) for k in whole)


def test_presets() -> None:
    """sagiebenaim/DistanceGAN @ f827205: defaults of its options; on CycleGAN nets, and on DiscoGAN nets, which are as DiscoGAN's."""
    def of(name: str) -> tuple[Any, ...]:
        run = RECIPES[f'distancegan.{name}']()
        m, t = run.method, run.train
        return m.nets, m.distance, m.lambda_dist, m.lambda_cyc, run.data.size, run.data.load_size, t.batch_size, t.epochs

    assert of('paper') == ('cyclegan', 'pairs', 1, 0, 256, 286, 2, 200) and of('paper_cycle')[3] == 10 and of('paper_self')[1] == 'self'
    assert of('paper_disco') == ('discogan', 'pairs', 1, 0, 64, None, 64, None) and of('paper_disco_cycle')[3] == 1
    assert of('aggan_table')[4:] == (256, None, 2, 200) and of('aggan_table_self')[4:] == (256, None, 1, 200)
    m, disco = RECIPES['distancegan.paper']().method, RECIPES['distancegan.paper_disco_self']().method
    assert (m.lr, m.beta1, m.beta2, m.pool, m.statistics_pictures) == (2e-4, 0.5, 0.999, 50, 900)
    assert (m.schedule, m.weight_decay) == ('cyclegan_linear', 0)
    assert (disco.distance, disco.schedule, disco.weight_decay, disco.curriculum, disco.interval) == ('self', 'constant', 1e-5, 10_000, 3)
