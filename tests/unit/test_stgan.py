"""STGAN: published parameter counts, the draw that conditions both steps, and the order of the official code's batches."""
from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from retouch.data.batches import DataSpec
from retouch.engine.schedules import step_at_80, step_at_half
from retouch.methods.stgan import STGAN, Config
from retouch.networks.stgan import Generator
from tests.batches import random_batch, random_request

SPEC = DataSpec(size=16, attributes=('Black_Hair', 'Blond_Hair', 'Eyeglasses'))


def small(**changes: Any) -> STGAN:
    torch.manual_seed(0)
    return STGAN(Config(width_g=4, width_d=4, layers=3, **changes), SPEC)


def told(method: STGAN) -> list[torch.Tensor]:
    """Every condition that the generator's decoder gets from now on."""
    seen: list[torch.Tensor] = []
    decode = method.nets['G'].decode

    def record(maps: list[torch.Tensor], condition: torch.Tensor) -> torch.Tensor:
        seen.append(condition)
        return decode(maps, condition)

    method.nets['G'].decode = record
    return seen


@pytest.mark.parametrize(('form', 'count'), [
    ({}, 74_471_760), ({'shortcut': 2}, 72_773_200), ({'shortcut': 4}, 74_854_096), ({'stu': False}, 44_690_512),
    ({'extra': False}, 74_444_672), ({'shortcut': 4, 'inject': 4, 'stu_norm': False, 'extra': False, 'bias': True}, 74_998_771)])
def test_generators_have_the_published_counts(form: dict[str, Any], count: int) -> None:
    with torch.device('meta'):
        assert sum(p.numel() for p in Generator(13, **form).parameters()) == count


def test_variants_build_their_networks() -> None:
    spec = DataSpec(size=128, attributes=tuple(map(str, range(13))))
    with torch.device('meta'):
        counts = {v: [sum(p.numel() for p in net.parameters()) for net in STGAN(Config(variant=v), spec).nets.values()]
                  for v in ('pytorch', 'official')}
    assert counts == {'pytorch': [74_471_760, 44_720_974], 'official': [74_998_771, 44_718_990]}


def test_both_steps_are_told_the_same_draw() -> None:
    method = small()
    batch, seen = random_batch('attributes', SPEC, n=4), told(method)
    difference = batch.target - batch.labels
    method.discriminator_step(batch, {})
    kept = method.generator_step(batch, {}).parts
    d_step, g_step, reconstruction = seen
    assert torch.equal(d_step, g_step) and torch.equal(g_step, difference * kept['intensity'])
    assert not reconstruction.any()
    magnitude = (d_step / difference).flatten()                                        # every label of this batch changes
    assert 0 <= magnitude.min() and magnitude.max() < 1 and len(magnitude.unique()) == 12
    other = random_batch('attributes', SPEC, n=4, iteration=1)
    assert not torch.equal(method.intensity(batch), method.intensity(other))
    torch.testing.assert_close(small(thres_int=1.0).intensity(batch), 2 * kept['intensity'])


def test_official_is_told_the_whole_difference() -> None:
    method = small(variant='official')
    batch, seen = random_batch('attributes', SPEC), told(method)
    method.discriminator_step(batch, {})
    method.generator_step(batch, {})
    assert torch.equal(seen[0], batch.target - batch.labels) and torch.equal(seen[1], seen[0]) and not seen[2].any()


def test_strength_at_test_time() -> None:
    request = random_request('attributes', SPEC)
    for strength in (1.0, 1.5):
        method = small(test_int=strength).eval()
        seen = told(method)
        method.translate(request)
        assert torch.equal(seen[0], (request.target - request.source) * strength)


def test_classification_is_summed_or_averaged() -> None:
    batch = random_batch('attributes', SPEC, n=4)
    summed, averaged = small(), small(variant='official')
    averaged.nets['D'] = summed.nets['D']
    a, b = (m.discriminator_step(batch, {}).logs['cls'] for m in (summed, averaged))
    torch.testing.assert_close(a, 3 * b)


def test_generator_meets_the_discriminators_batch_or_one_of_its_own() -> None:
    ran = {v: [''.join(u.name for u in small(variant=v, n_critic=2).updates() if u.runs_at(i, 10)) for i in range(6)]
           for v in ('pytorch', 'official')}
    assert ran == {'pytorch': ['D', 'DG', 'D', 'DG', 'D', 'DG'], 'official': ['D', 'D', 'G', 'D', 'D', 'G']}


def test_encoding_once_equals_encoding_twice() -> None:
    G, x = small().nets['G'], random_request('attributes', SPEC).image
    d, zero = torch.ones(3, 3), torch.zeros(3, 3)
    maps = G.encode(x)
    assert torch.equal(G.decode(maps, d), G(x, d)) and torch.equal(G.decode(maps, zero), G(x, zero))


def test_official_generator_runs_and_normalises_no_stu() -> None:
    G = small(variant='official').nets['G']
    assert G.stus is not None and len(G.stus) == 2 and not any(isinstance(m, nn.BatchNorm2d) for m in G.stus.modules())
    assert G(torch.zeros(2, 3, 16, 16), torch.zeros(2, 3)).shape == (2, 3, 16, 16)


def test_learning_rate_falls_to_a_tenth() -> None:
    assert [step_at_80(i, 1_000_000) for i in (0, 799_999, 800_000, 999_999)] == [1, 1, 0.1, 0.1]
    assert [step_at_half(i, 1_136_400) for i in (0, 568_199, 568_200)] == [1, 1, 0.1]
