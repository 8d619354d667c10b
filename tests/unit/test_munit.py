"""MUNIT: published counts, norms and losses by hand, who learns from what, and the style of an exemplar or of a fixed draw."""
from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from retouch.data.batches import DataSpec, DomainBatch, Moment
from retouch.engine.trainer import Trainer
from retouch.engine.update import DomainRequest, Step
from retouch.methods.munit import MUNIT, Config
from retouch.networks.munit import AdaINResidual, AutoEncoder, LayerNorm, MultiScaleDiscriminator, depth_at
from retouch.recipes.registry import RECIPES
from tests.batches import random_batch

SPEC = DataSpec(size=16, domains=('A', 'B'))
SMALL: dict[str, Any] = {'width_g': 4, 'blocks': 1, 'style_dim': 3, 'width_mlp': 4, 'width_d': 4}
NOTHING = dict.fromkeys(('lambda_gan', 'lambda_x', 'lambda_s', 'lambda_c', 'lambda_cyc'), 0.0)


def make(**changes: Any) -> MUNIT:
    torch.manual_seed(0)
    method = MUNIT(Config(**{**SMALL, **changes}), SPEC)
    with torch.no_grad():                                        # weights of 0.02 make scores of 0
        for p in (*method.nets['D_A'].parameters(), *method.nets['D_B'].parameters()):
            p.mul_(8)
    return method


def batch(n: int = 2) -> DomainBatch:
    return random_batch('domains', SPEC, n=n)


def step_of(method: MUNIT, update: str, b: DomainBatch) -> Step:
    """One step with its gradients, every network willing to learn: what the step detaches is seen."""
    method.zero_grad(set_to_none=True)
    step = next(u for u in method.updates() if u.name == update).step(b, {})
    step.loss.backward()
    return step


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def gradients(net: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


@pytest.fixture
def double() -> Iterator[None]:
    """All in float64, in which two ways to compute a gradient agree."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


# networks

def test_the_published_counts() -> None:
    with torch.device('meta'):
        net = AutoEncoder(256)
        assert [count(part) for part in (net, net.content, net.style, net.mlp)] == [15_026_187, 5_385_856, 2_764_936, 1_120_768]
        assert count(net.blocks) + count(net.up) == 5_754_627 and net.mlp[-1].out_features == 4096
        assert count(MultiScaleDiscriminator(256)) == 8_271_171


def test_depths_follow_the_size() -> None:
    assert {n: min(s for s in range(4, 300) if depth_at(s) == n) for n in (1, 2, 3, 4)} == {1: 16, 2: 32, 3: 64, 4: 128}
    assert depth_at(1024) == 4
    maps = {256: [16, 8, 4], 216: [13, 6, 3], 128: [8, 4, 2], 64: [8, 4, 2], 48: [12, 6, 3], 32: [8, 4, 2], 16: [8, 4, 2]}
    for size, sides in maps.items():
        assert [tuple(s.shape) for s in MultiScaleDiscriminator(size, 2)(torch.zeros(1, 3, size, size))] == [(1, 1, s, s) for s in sides]
    net = AutoEncoder(32, 2, 1, 5, 4)
    x = torch.zeros(2, 3, 32, 32)
    assert net(x).shape == x.shape and net.style(x).shape == (2, 5) and net.content(x).shape == (2, 8, 8, 8)
    for network in (AutoEncoder, MultiScaleDiscriminator):
        with pytest.raises(ValueError, match='at least 16 px'):
            network(12)
    for size, mended in ((50, 48), (14, 16)):
        with pytest.raises(ValueError, match=f'--data.size {mended}'):
            MUNIT(Config(**SMALL), DataSpec(size=size, domains=('A', 'B')))


def test_layer_norm_by_hand() -> None:
    norm, x = LayerNorm(2), 0.01 * torch.randn(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))      # small, so that eps is seen
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 2.0]))
        norm.bias.copy_(torch.tensor([0.1, -1.0]))
        made = norm(x)
    for picture, out in zip(x, made, strict=True):
        z = (picture - picture.sum() / 40) / ((((picture - picture.mean()) ** 2).sum() / 39).sqrt() + 1e-5)
        torch.testing.assert_close(out, torch.stack([0.5 * z[0] + 0.1, 2 * z[1] - 1]), rtol=1e-4, atol=1e-4)
    assert norm(x.bfloat16()).dtype == torch.float32


def test_adain_by_hand() -> None:
    """Offset before scale, first norm before second; statistics of every channel of every picture, biased."""
    block, g = AdaINResidual(2), torch.Generator().manual_seed(0)
    x, style = torch.randn(2, 2, 4, 4, generator=g), torch.randn(2, 8, generator=g)

    def adain(h: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
        h = (h - h.mean((2, 3), keepdim=True)) / (h.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
        return h * scale[:, :, None, None] + offset[:, :, None, None]

    with torch.no_grad():
        h = adain(block.first(x), style[:, :2], style[:, 2:4]).relu()
        torch.testing.assert_close(block(x, style), x + adain(block.second(h), style[:, 4:6], style[:, 6:]), rtol=1e-4, atol=1e-5)


def test_the_decoder_gives_every_block_its_part_of_the_style() -> None:
    torch.manual_seed(0)
    net = AutoEncoder(16, 2, 2, 3, 16)
    content, style = torch.randn(2, 8, 4, 4), torch.randn(2, 3)
    with torch.no_grad():
        parts = net.mlp(style).split(4 * 8, 1)
        expected = net.up(net.blocks[1](net.blocks[0](content, parts[0]), parts[1]))
        torch.testing.assert_close(net.decode(content, style), expected)
        assert len(parts) == 2 and not torch.allclose(net.decode(content, style.flip(0)), expected, atol=1e-2)


def test_initialisation() -> None:
    torch.manual_seed(0)
    method = MUNIT(Config(width_g=16, blocks=1, width_d=16), DataSpec(size=32, domains=('A', 'B')))
    G, D = method.nets['G_A'], method.nets['D_A']
    first = G.blocks[0].first
    assert first.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert G.mlp[-1].weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.02)
    assert torch.cat([m.weight.flatten() for m in D.modules() if isinstance(m, nn.Conv2d)]).std().item() == pytest.approx(0.02, rel=0.02)
    assert not any(m.bias.any() for m in method.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    scales = torch.cat([m.weight for m in G.modules() if isinstance(m, LayerNorm)])
    assert 0 <= scales.min() < 0.2 and 0.8 < scales.max() <= 1


# losses

def mean_abs(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean()


def test_the_discriminators_losses_by_hand() -> None:
    method, b, n = make(lambda_gan=2.0), batch(), make().nets
    step = step_of(method, 'D', b)
    s_a, s_b = (b.moment.normal(f'style_{d}_D', 3) for d in 'AB')
    expected = {}
    with torch.no_grad():
        for name, real, fake in (('A', b.image_a, n['G_A'].decode(n['G_B'].content(b.image_b), s_a)),
                                 ('B', b.image_b, n['G_B'].decode(n['G_A'].content(b.image_a), s_b))):
            D = n[f'D_{name}']
            expected[name] = sum(((r - 1) ** 2).mean() + (f ** 2).mean() for r, f in zip(D(real), D(fake), strict=True))
    torch.testing.assert_close(step.logs, expected)
    torch.testing.assert_close(step.loss.detach(), 2 * (step.logs['A'] + step.logs['B']))


def test_the_generators_losses_and_gradients_by_hand(double: None) -> None:
    """One call a picture set; no side of any difference is detached, so every parameter has the gradient that autograd finds."""
    b, method = batch(), make(lambda_gan=2.0, lambda_x=3.0, lambda_s=5.0, lambda_c=7.0, lambda_cyc=11.0)
    step, n = step_of(method, 'G', b), method.nets
    found = gradients(method)
    x, y, A, B = b.image_a, b.image_b, n['G_A'], n['G_B']
    s_a, s_b = (b.moment.normal(f'style_{d}_G', 3) for d in 'AB')
    fake_a, fake_b = A.decode(B.content(y), s_a), B.decode(A.content(x), s_b)
    expected = {
        'gan': sum(((s - 1) ** 2).mean() for D, fake in (('D_A', fake_a), ('D_B', fake_b)) for s in n[D](fake)),
        'x': mean_abs(A(x), x) + mean_abs(B(y), y),
        's': mean_abs(A.style(fake_a), s_a) + mean_abs(B.style(fake_b), s_b),
        'c': mean_abs(A.content(fake_a), B.content(y)) + mean_abs(B.content(fake_b), A.content(x)),
        'cyc': mean_abs(A.decode(B.content(fake_b), A.style(x)), x) + mean_abs(B.decode(A.content(fake_a), B.style(y)), y)}
    torch.testing.assert_close(step.logs, {k: v.detach() for k, v in expected.items()})
    total = sum(weight * expected[k] for k, weight in {'gan': 2, 'x': 3, 's': 5, 'c': 7, 'cyc': 11}.items())
    torch.testing.assert_close(step.loss, total)
    method.zero_grad(set_to_none=True)
    total.backward()
    torch.testing.assert_close(found, gradients(method), rtol=1e-6, atol=1e-9)
    assert [getattr(Config(), k) for k in NOTHING] == [1, 10, 1, 1, 0]


def test_a_cycle_of_no_weight_is_not_run() -> None:
    for weight, calls in ((0.0, 1), (1.0, 2)):
        method, seen = make(lambda_cyc=weight), []
        method.nets['G_A'].up.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        assert ('cyc' in step_of(method, 'G', batch()).logs) == (weight > 0) and len(seen) == calls


# gradients

def test_the_updates_and_their_rates() -> None:
    trainer = Trainer(make(), Fabric(accelerator='cpu', devices=1), iterations=10)
    assert [(u.name, u.nets, u.every, u.clip) for u in trainer.updates] == [('D', ('D_A', 'D_B'), 1, None), ('G', ('G_A', 'G_B'), 1, None)]
    for u in trainer.updates:
        group = trainer.optimisers[u.name].param_groups[0]
        assert (group['lr'], group['betas'], group['weight_decay']) == (1e-4, (0.5, 0.999), 1e-4)
        assert [u.schedule(i, 1_000_000) for i in (99_999, 100_000, 250_000)] == [1, 0.5, 0.25]


def test_the_discriminators_step_leaves_the_generators_alone() -> None:
    method = make()
    step_of(method, 'D', batch())
    assert {name for name, net in method.nets.items() if gradients(net)} == {'D_A', 'D_B'}


@pytest.mark.parametrize(('term', 'untouched'), [('lambda_x', ()), ('lambda_s', ()), ('lambda_c', ('style',)), ('lambda_gan', ('style',))])
def test_which_parts_a_term_teaches(term: str, untouched: tuple[str, ...]) -> None:
    """A drawn style bypasses the style encoder; (6) teaches it through the picture that was made."""
    method = make(**{**NOTHING, term: 1.0})
    step_of(method, 'G', batch())
    for part in ('content', 'style', 'mlp', 'blocks', 'up'):
        reached = any(bool(g.any()) for g in gradients(getattr(method.nets['G_A'], part)).values())
        assert reached == (part not in untouched), part


# styles

def test_styles_are_drawn_by_sample_and_step() -> None:
    method, b = make(), batch(4)
    s_d, s_g = (method.draw_styles(b, step) for step in ('D', 'G'))
    assert not any(torch.equal(p, q) for p, q in itertools.combinations((*s_d, *s_g), 2))
    part = dataclasses.replace(b, moment=dataclasses.replace(b.moment, start=2, count=2))
    assert torch.equal(method.draw_styles(part, 'G')[0], s_g[0][2:])


def test_an_exemplar_gives_its_style() -> None:
    method, b = make().eval(), batch()
    n = method.nets
    with torch.no_grad():
        for to, x, exemplar, source, target in (('B', b.image_a, b.image_b, 'G_A', 'G_B'), ('A', b.image_b, b.image_a, 'G_B', 'G_A')):
            made = method.translate(DomainRequest(x, to, exemplar)).image
            torch.testing.assert_close(made, n[target].decode(n[source].content(x), n[target].style(exemplar)))
            swapped = method.translate(DomainRequest(x, to, exemplar.flip(0))).image
            assert not torch.allclose(made, swapped, atol=1e-5)
            torch.testing.assert_close(method.translate(DomainRequest(x[1:], to, exemplar[1:])).image, made[1:])
    with pytest.raises(ValueError, match=r'exemplar \(1, 3, 16, 16\): expected one for every picture, \(2, 3, 16, 16\)'):
        DomainRequest(b.image_a, 'B', b.image_b[:1])


def test_without_an_exemplar_every_picture_gets_the_same_drawn_style() -> None:
    method, b = make().eval(), batch()
    x, n = b.image_a[[0, 1, 0]], method.nets
    torch.manual_seed(1)                                         # whatever happened before
    with torch.no_grad():
        made = method.translate(DomainRequest(x, 'B')).image
        style = Moment().normal('style', 3)
        torch.testing.assert_close(made, n['G_B'].decode(n['G_A'].content(x), style.expand(3, -1)))
    torch.testing.assert_close(made[0], made[2])
    with pytest.raises(ValueError, match="unknown domain 'C'"):
        method.translate(DomainRequest(x, 'C'))


def test_recipes() -> None:
    run = RECIPES['munit.paper']()
    m = run.method
    assert (m.lr, m.beta1, m.beta2, m.weight_decay, m.schedule) == (1e-4, 0.5, 0.999, 1e-4, 'halved_each_tenth')
    assert (run.train.iterations, run.train.batch_size, run.train.ema, run.data.size, run.data.load_size) == (1_000_000, 1, None, 256, None)
    for row in ('toyfaces', 'folder64'):
        small, base = RECIPES[f'munit.{row}'](), RECIPES[f'cyclegan.{row}']()
        assert (small.data, small.train) == (base.data, base.train)
