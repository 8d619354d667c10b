"""CUT: blur and taps of the networks, the contrast by hand, where gradients go, mirrored iterations, and one way in every command."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retouch.data.batches import DataSpec, DomainBatch, Moment
from retouch.engine import schedules
from retouch.engine.update import DomainRequest
from retouch.export.questions import condition_of
from retouch.methods.cut import CUT, SCHEDULES, Config, patch_nce
from retouch.model import load_model, save_model
from retouch.networks.cut import PatchProjection
from retouch.networks.cyclegan import Halved, PatchDiscriminator, ResNetGenerator, init_xavier
from retouch.recipes.registry import RECIPES
from tests.batches import random_batch

SPEC = DataSpec(size=16, domains=('plain', 'glasses'))
TINY = {'width_g': 4, 'blocks': 1, 'width_d': 4, 'layers_d': 1, 'width_f': 8, 'taps': (0, 4, 8, 12), 'patches': 8}


def small(**fields: Any) -> CUT:
    torch.manual_seed(0)
    return CUT(Config.model_validate({**TINY, **fields}), SPEC)


class Stub(nn.Module):
    """A function in the place of a network; its features are the picture itself."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)

    def features(self, x: Tensor, taps: tuple[int, ...]) -> list[Tensor]:
        return [x for _ in taps]


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_parameters_are_the_published() -> None:
    with torch.device('meta'):
        nets = CUT(Config(), DataSpec(size=256, domains=('A', 'B'))).nets
        assert {name: count(net) for name, net in nets.items()} == {'G': 11_378_179, 'F': 560_384, 'D': 2_764_737}
        assert count(nets) == 14_703_300
        assert count(ResNetGenerator(blocks=6, antialias=True)) == 7_837_699
        assert [m[0].in_features for m in nets['F'].maps] == [3, 128, 256, 256, 256]


@pytest.mark.parametrize('size', [(2, 3), (7, 10), (8, 8), (31, 32)])
def test_halving_is_the_kernel_121_at_every_other_pixel(size: tuple[int, int]) -> None:
    x, line = torch.randn(2, 3, *size, dtype=torch.float64), torch.tensor([1.0, 2, 1], dtype=torch.float64) / 4
    kernel = (line[:, None] * line).expand(3, 1, 3, 3)
    expected = F.conv2d(F.pad(x, [1] * 4, 'reflect'), kernel, stride=2, groups=3)
    torch.testing.assert_close(Halved()(x), expected, rtol=0, atol=1e-14)


def test_doubling_is_the_kernel_1331() -> None:
    doubled = next(m for m in ResNetGenerator(width=1, blocks=0, antialias=True).main if isinstance(m, nn.Upsample))
    x, line = torch.randn(1, 1, 5, 6, dtype=torch.float64), torch.tensor([1.0, 3, 3, 1], dtype=torch.float64) / 4
    spread = F.conv_transpose2d(F.pad(x, [1] * 4, 'replicate'), (line[:, None] * line)[None, None], stride=2, padding=2)
    torch.testing.assert_close(doubled(x), spread[:, :, 1:-1, 1:-1], rtol=0, atol=1e-14)


def test_maps_of_scores_are_as_large_as_without_blur() -> None:
    for size in (12, 48, 64, 70):
        x = torch.zeros(1, 3, size, size)
        plain, blurred = (PatchDiscriminator(width=1, layers=2, antialias=blur)(x) for blur in (False, True))
        assert plain.shape == blurred.shape


def test_taps_are_what_layers_make_before_their_norms() -> None:
    torch.manual_seed(0)
    net, x = ResNetGenerator(width=2, blocks=3, antialias=True), torch.rand(2, 3, 16, 16)
    picture, first, second, block = net.features(x, (0, 4, 8, 12))
    assert [tuple(m.shape) for m in (picture, first, second, block)] == [(2, 3, 22, 22), (2, 4, 16, 16), (2, 8, 8, 8), (2, 8, 4, 4)]
    assert torch.equal(picture, F.pad(x, [3] * 4, 'reflect'))
    stem = net.main[2](net.main[1](net.main[0](x)))
    assert torch.equal(first, net.main[3](stem))
    assert torch.equal(second, net.main[7](net.main[:7](x)))
    assert torch.equal(block, net.main[:12](x)) and type(net.main[11]).__name__ == 'ResidualBlock'


def test_projection_by_hand() -> None:
    net = PatchProjection([1], 2)
    with torch.no_grad():
        for p, value in zip(net.parameters(), ([[1.0], [2.0]], [0.0, 0.0], [[3.0, 0.0], [0.0, 2.0]], [0.0, 0.0]), strict=True):
            p.copy_(torch.tensor(value))
    found = torch.tensor([[[[9.0, 1.0], [-5.0, 2.0]]]])
    out, = net([found], [torch.tensor([1, 3, 2])])               # 1 -> (1, 2) -> (3, 4), 2 -> (6, 8), -5 -> 0
    torch.testing.assert_close(out, torch.tensor([[[0.6, 0.8], [0.6, 0.8], [0.0, 0.0]]]))


def test_contrast_by_hand() -> None:
    """Two positions: q = e1, e2; k = e1 and (e1 + e2) / sqrt 2."""
    s = math.sqrt(0.5)
    q, k, t = torch.eye(2)[None], torch.tensor([[[1.0, 0.0], [s, s]]]), 0.5
    rest = math.exp(-10 / t)
    first = math.log(math.exp(1 / t) + math.exp(s / t) + rest) - 1 / t
    second = math.log(math.exp(s / t) + 1 + rest) - s / t
    assert patch_nce(q, k, t).item() == pytest.approx((first + second) / 2, rel=1e-6)
    both = torch.cat([q, k])
    assert patch_nce(both, both, t).item() == pytest.approx((patch_nce(q, q, t) + patch_nce(k, k, t)).item() / 2)


def test_equal_queries_and_keys_cost_at_most_the_logarithm_of_their_number() -> None:
    v = F.normalize(torch.randn(2, 256, 16, generator=torch.Generator().manual_seed(0)), dim=2)
    assert 0 < patch_nce(v, v, 0.07).item() < math.log(256)
    alike = torch.ones(1, 256, 1)
    assert patch_nce(alike, alike, 0.07).item() == pytest.approx(math.log(256), rel=1e-5)


def test_losses_by_hand() -> None:
    """G(x) = x + 0.5, D(x) = 2 x; x = -0.25, y = 0.5; F gives +1 to whatever is positive and -1 to the rest, at 2 positions."""
    for fields, total in (({'lambda_nce': 3.0}, lambda gan, a, b: gan + 3 * (a + b) / 2),
                          ({'lambda_nce': 3.0, 'identity': False}, lambda gan, a, b: gan + 3 * a)):
        method = small(patches=2, **fields)
        method.nets['G'], method.nets['D'] = Stub(lambda x: x + 0.5), Stub(lambda x: 2 * x)
        method.nets['F'] = Stub(lambda x: x)
        method.nets['F'].forward = lambda maps, at: [m.flatten(2)[:, :1, p].transpose(1, 2).sign() for m, p in zip(maps, at, strict=True)]
        x, y, whole = torch.full((2, 3, 8, 8), -0.25), torch.full((2, 3, 8, 8), 0.5), torch.zeros(2, 4)
        batch = DomainBatch(x, y, torch.arange(2), torch.arange(2), whole, whole, Moment(count=2, total=2))
        step = method.discriminator_step(batch, {})
        assert step.logs['real'].item() == 0 and step.logs['fake'].item() == pytest.approx(0.25)
        assert step.loss.item() == pytest.approx(0.125)
        step = method.generator_step(batch, {})
        gan, other, own = (2 * 0.25 - 1) ** 2, math.log(2), math.log(2)        # q.k of x is -1 everywhere, of y +1: log 2 either way
        assert step.logs['gan'].item() == pytest.approx(gan)
        assert step.logs['nce'].item() == pytest.approx(other, rel=1e-5)
        assert step.logs['idt'].item() == pytest.approx(own if 'identity' not in fields else 0, rel=1e-5)
        assert step.loss.item() == pytest.approx(total(gan, other, own), rel=1e-5)


def test_no_gradient_goes_through_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def watched(query: Tensor, key: Tensor, temperature: float) -> Tensor:
        seen.extend([query, key])
        return patch_nce(query, key, temperature)

    monkeypatch.setattr('retouch.methods.cut.patch_nce', watched)
    small().generator_step(random_batch('domains', SPEC), {})
    assert len(seen) == 16 and all(q.requires_grad and not k.requires_grad for q, k in zip(seen[::2], seen[1::2], strict=True))


def test_the_generator_meets_the_discriminator_that_has_just_learned_with_the_same_fake() -> None:
    method, batch = small(), random_batch('domains', SPEC)
    method.nets.requires_grad_(False)
    assert not method.discriminator_step(batch, {}).keep         # no graph was asked for
    method.nets['G'].requires_grad_(True)
    kept = method.discriminator_step(batch, {}).keep
    assert torch.equal(method.generator_step(batch, kept).loss, method.generator_step(batch, {}).loss)
    assert [u.name for u in method.updates()] == ['D', 'G'] and method.updates()[1].nets == ('G', 'F')


def test_mirrored_iterations_equal_unmirrored_ones_where_the_generator_does_not_care(monkeypatch: pytest.MonkeyPatch) -> None:
    """A G of one pixel's view is flip-equivariant, and so are D's scores here: both terms are equal, mirrored or not."""
    method, batch = small(flip=True, identity=False), random_batch('domains', SPEC)
    method.nets['G'], method.nets['D'] = Stub(lambda x: (2 * x).tanh()), Stub(lambda x: x.mean(1, keepdim=True))
    method.nets['F'] = PatchProjection([3] * 4, 8)
    values = []
    for mirrored in (False, True):
        monkeypatch.setattr(CUT, 'is_mirrored', lambda self, moment, mirrored=mirrored: mirrored)
        made = method.generate(batch)
        assert torch.equal(made, (2 * batch.image_a).tanh().flip(3) if mirrored else (2 * batch.image_a).tanh())
        step = method.generator_step(batch, {})
        values.append((step.logs['gan'], step.logs['nce'], step.images['edit']))
    torch.testing.assert_close(values[0], values[1], rtol=1e-6, atol=1e-6)


def test_half_of_the_iterations_are_mirrored() -> None:
    fast, plain = small(flip=True), small()
    mirrored = [fast.is_mirrored(Moment(iteration=i)) for i in range(400)]
    assert 160 < sum(mirrored) < 240 and not any(plain.is_mirrored(Moment(iteration=i)) for i in range(50))


def test_positions_are_drawn_without_return_and_are_all_where_there_are_fewer() -> None:
    method, seen = small(patches=20), []
    method.nets['F'].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
    method.generator_step(random_batch('domains', SPEC), {})
    keys, queries = seen[0], seen[1]
    assert [len(p) for p in keys] == [20, 20, 20, 16]            # 22 x 22, 16 x 16, 8 x 8 and 4 x 4 positions
    assert all(len(set(p.tolist())) == len(p) and torch.equal(p, q) for p, q in zip(keys, queries, strict=True))
    assert not torch.equal(seen[2][0], keys[0]), 'x and y are looked at in places of their own'


def test_it_goes_one_way_and_says_so(tmp_path: Any) -> None:
    method, x = small().eval(), torch.rand(2, 3, 16, 16) * 2 - 1
    assert method.data.one_way and not SPEC.one_way and condition_of(method) == 'none'
    with torch.no_grad():
        assert torch.equal(method.translate(DomainRequest(x, 'glasses')).image, method.nets['G'](x))
    with pytest.raises(ValueError, match='makes glasses of plain alone, not plain of glasses: .*train or import that for --to plain$'):
        method.translate(DomainRequest(x, 'plain'))
    save_model(tmp_path / 'model', method, {f'G.{k}': v for k, v in method.nets['G'].state_dict().items()}, {})
    model = load_model(tmp_path / 'model')
    assert model.method.data.one_way and np.isfinite(model.method.translate(DomainRequest(x, 'glasses')).image.detach().numpy()).all()


@pytest.mark.parametrize(('size', 'fields', 'message'), [
    (18, {}, r'^size=18: .*--data.size 16$'),
    (16, {'taps': (0, 4, 16)}, r'^taps=0,4,16 of a generator with 1 blocks: expected some of 0,1,4,8,12; set --method.taps 0,4$'),
    (16, {'taps': (3,)}, r'--method.taps 0,4,8$'),
    (16, {'layers_d': 6}, r'^layers_d=6')])
def test_what_does_not_fit_is_said(size: int, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CUT(Config.model_validate({**TINY, **fields}), SPEC.model_copy(update={'size': size}))


def test_presets_are_the_papers() -> None:
    cut, fast = RECIPES['cut.paper'](), RECIPES['cut.paper_fastcut']()
    m = cut.method
    assert (m.lr, m.beta1, m.beta2, m.lambda_nce, m.identity, m.flip) == (2e-4, 0.5, 0.999, 1, True, False)
    assert (m.temperature, m.patches, m.taps, m.width_f, m.blocks) == (0.07, 256, (0, 4, 8, 12, 16), 256, 9)
    assert (cut.train.batch_size, cut.train.epochs) == (1, 400)
    assert (cut.data.size, cut.data.load_size, cut.data.flip) == (256, 286, True)
    m = fast.method
    assert (m.lambda_nce, m.identity, m.flip, m.schedule, fast.train.epochs) == (10, False, True, 'fastcut_linear', 200)
    assert [SCHEDULES['cut_linear'](e, 400) for e in (0, 199, 200, 399)] == [1, 1, 1 - 1 / 201, 1 - 200 / 201]
    assert [SCHEDULES['fastcut_linear'](e, 200) for e in (0, 149, 150, 199)] == [1, 1, 1 - 1 / 51, 1 - 50 / 51]
    assert schedules.cyclegan_linear(150, 200) == 1 - 51 / 101, 'as before'


def test_weights_begin_by_xaviers_rule() -> None:
    torch.manual_seed(0)
    net = init_xavier(nn.Sequential(nn.Conv2d(64, 64, 3), nn.Linear(400, 200)))
    for layer, fans in ((net[0], 2 * 64 * 9), (net[1], 600)):
        assert layer.weight.std().item() == pytest.approx(0.02 * math.sqrt(2 / fans), rel=0.05) and not layer.bias.any()
