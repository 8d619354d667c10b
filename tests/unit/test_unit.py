"""UNIT: published counts of both architectures, shared tensors, losses and gradients by hand, presets and bad input."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from retouch.data.batches import DataSpec, DomainBatch
from retouch.engine.trainer import Trainer
from retouch.engine.update import DomainRequest, Step
from retouch.methods.unit import UNIT, Config
from retouch.networks.munit import LatentAutoEncoder, SharedBlocks
from retouch.networks.unit import CoupledAutoEncoder, CoupledDiscriminator, SharedDiscriminator, depth_at
from retouch.recipes.registry import RECIPES
from tests.batches import random_batch

SPEC = DataSpec(size=16, domains=('A', 'B'))
WEIGHTS = {'lambda_gan': 2.0, 'lambda_kl': 3.0, 'lambda_x': 5.0, 'lambda_cyc': 7.0}


def make(**changes: Any) -> UNIT:
    torch.manual_seed(0)
    method = UNIT.tiny(**changes)
    with torch.no_grad():                                        # weights of 0.02 make scores of 0
        for name in (n for n in method.nets if n[0] == 'D'):
            for p in method.nets[name].parameters():
                p.mul_(8)
    return method


def batch(n: int = 2) -> DomainBatch:
    return random_batch('domains', SPEC, n=n)


def step_of(method: UNIT, update: str, b: DomainBatch) -> Step:
    """One step with its gradients, every network willing to learn: what the step detaches is seen."""
    method.zero_grad(set_to_none=True)
    step = next(u for u in method.updates() if u.name == update).step(b, {})
    step.loss.backward()
    return step


def count(*nets: nn.Module) -> int:
    return sum(p.numel() for net in nets for p in net.parameters())


def gradients(net: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_the_published_counts() -> None:
    with torch.device('meta'):
        new, old, shared = LatentAutoEncoder(), CoupledAutoEncoder(), SharedBlocks(256, 1, reflect=False)
        assert (count(new), count(new.encode), count(new.decode)) == (11_140_483, 5_385_856, 5_754_627)
        assert (count(old.encode), count(old.decode), count(shared)) == (3_918_976, 3_909_507, 2_360_320)
        assert 2 * count(old) + count(shared) == 18_017_286
        assert count(CoupledDiscriminator(), CoupledDiscriminator(), SharedDiscriminator(128)) == 25_240_065
        for name, all_of_it in (('paper', 38_823_308), ('nips', 43_257_351)):
            run = RECIPES[f'unit.{name}']()
            assert count(UNIT(run.method, DataSpec(size=run.data.size, domains=('A', 'B')))) == all_of_it


def test_depths_follow_the_size() -> None:
    assert {n: min(s for s in range(4, 300) if depth_at(s) == n) for n in (3, 4, 5, 6)} == {3: 16, 4: 32, 5: 64, 6: 128}
    for size, side in ((16, 2), (24, 3), (32, 2), (64, 2), (128, 2), (256, 4)):
        assert SharedDiscriminator(size, 2)(CoupledDiscriminator(2)(torch.zeros(1, 3, size, size))).shape == (1, 1, side, side)


@pytest.mark.parametrize('architecture', ['munit_style', 'nips'])
def test_shared_blocks_are_the_same_tensors_in_both_directions(architecture: str) -> None:
    """What one direction teaches them, the other has learned; an own block teaches nobody else."""
    method, b = make(architecture=architecture), batch()
    n = method.nets
    assert list(n) == ['G_A', 'G_B', 'G_AB', 'D_A', 'D_B', *(['D_AB'] if architecture == 'nips' else [])]
    for x, source, target in ((b.image_a, 'A', 'B'), (b.image_b, 'B', 'A')):
        method.zero_grad(set_to_none=True)
        method.decode(method.encode(x, source), target).square().sum().backward()       # type: ignore[arg-type]
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in n['G_AB'].parameters() if p.ndim > 1)
        assert gradients(n[f'G_{source}'].encode) and not gradients(n[f'G_{source}'].decode)
        assert gradients(n[f'G_{target}'].decode) and not gradients(n[f'G_{target}'].encode)
    before = [method.translate(DomainRequest(b.image_a, to)).image for to in ('A', 'B')]
    with torch.no_grad():
        n['G_AB'].encode[0].main[0].weight.mul_(-1)
    after = [method.translate(DomainRequest(b.image_a, to)).image for to in ('A', 'B')]
    assert all(not torch.allclose(x, y) for x, y in zip(before, after, strict=True))
    assert list(make(architecture=architecture, shared_blocks=0).nets)[:3] == ['G_A', 'G_B', 'D_A']


@pytest.mark.parametrize(('architecture', 'after'), [('munit_style', False), ('munit_style', True), ('nips', True)])
def test_losses_and_gradients_by_hand(architecture: str, after: bool, double: None) -> None:
    """One call a picture set, nothing detached."""
    method, b = make(architecture=architecture, kl_after_noise=after, **WEIGHTS), batch()
    n, x, y = method.nets, b.image_a.double(), b.image_b.double()
    b = DomainBatch(x, y, b.index_a, b.index_b, b.view_a, b.view_b, b.moment)
    noise = {k: b.moment.normal(f'noise_{k}', 16, 4, 4) for k in ('x_D', 'y_D', 'x_G', 'y_G', 'x_again', 'y_again')}
    assert len({round(float(v.flatten()[0]), 6) for v in noise.values()}) == 6

    def distance(s: Tensor, to: float) -> Tensor:
        if architecture == 'munit_style':
            return ((s - to) ** 2).mean()
        return (F.softplus(-s) if to else F.softplus(s)).mean()

    def scores(z: Tensor, d: str) -> list[Tensor]:
        return n[f'D_{d}'](z) if architecture == 'munit_style' else [n['D_AB'](n[f'D_{d}'](z))]

    def E(z: Tensor, d: str) -> Tensor:
        return n['G_AB'].encode(n[f'G_{d}'].encode(z))

    def G(h: Tensor, d: str) -> Tensor:
        return n[f'G_{d}'].decode(n['G_AB'].decode(h))

    step = step_of(method, 'D', b)
    with torch.no_grad():
        fakes = {'A': G(E(y, 'B') + noise['y_D'], 'A'), 'B': G(E(x, 'A') + noise['x_D'], 'B')}
        expected = {d: sum(distance(r, 1) + distance(f, 0) for r, f in zip(scores(real, d), scores(fakes[d], d), strict=True))
                    for d, real in (('A', x), ('B', y))}
    torch.testing.assert_close(step.logs, expected)
    torch.testing.assert_close(step.loss.detach(), 2 * (expected['A'] + expected['B']))
    assert all(name[0] == 'D' for name, net in n.items() if gradients(net))

    step, found = step_of(method, 'G', b), None
    found = gradients(method)
    h_x, h_y = E(x, 'A'), E(y, 'B')
    z_x, z_y = h_x + noise['x_G'], h_y + noise['y_G']
    fake_a, fake_b = G(z_y, 'A'), G(z_x, 'B')
    again_y, again_x = E(fake_a, 'A'), E(fake_b, 'B')
    w_x, w_y = again_x + noise['x_again'], again_y + noise['y_again']
    terms = {'gan': sum(distance(s, 1) for d, f in (('A', fake_a), ('B', fake_b)) for s in scores(f, d)),
             'kl': ((z_x if after else h_x) ** 2).mean() + ((z_y if after else h_y) ** 2).mean(),
             'x': (G(z_x, 'A') - x).abs().mean() + (G(z_y, 'B') - y).abs().mean(),
             'cyc': (G(w_x, 'A') - x).abs().mean() + (G(w_y, 'B') - y).abs().mean(),
             'klc': ((w_x if after else again_x) ** 2).mean() + ((w_y if after else again_y) ** 2).mean()}
    torch.testing.assert_close(step.logs, {k: v.detach() for k, v in terms.items()})
    total = 2 * terms['gan'] + 3 * (terms['kl'] + terms['klc']) + 5 * terms['x'] + 7 * terms['cyc']
    torch.testing.assert_close(step.loss, total)
    method.zero_grad(set_to_none=True)
    total.backward()
    torch.testing.assert_close(found, gradients(method), rtol=1e-6, atol=1e-9)


def test_translate_has_no_noise() -> None:
    method, x = make().eval(), batch().image_a
    with torch.no_grad():
        made = method.translate(DomainRequest(x, 'B')).image
        torch.testing.assert_close(made, method.decode(method.encode(x, 'A'), 'B'))
        assert torch.equal(made, method.translate(DomainRequest(x, 'B')).image)
    with pytest.raises(ValueError, match="unknown domain 'C'"):
        method.translate(DomainRequest(x, 'C'))


def test_the_updates_and_their_rates() -> None:
    method = make(architecture='nips')
    trainer = Trainer(method, Fabric(accelerator='cpu', devices=1), iterations=10)
    assert [(u.name, u.nets) for u in trainer.updates] == [('D', ('D_A', 'D_B', 'D_AB')), ('G', ('G_A', 'G_B', 'G_AB'))]
    assert method.inference_nets == ('G_A', 'G_B', 'G_AB')
    for u in trainer.updates:
        group = trainer.optimisers[u.name].param_groups[0]
        assert (group['lr'], group['betas'], group['weight_decay']) == (1e-4, (0.5, 0.999), 1e-4)
        assert [u.schedule(i, 1_000_000) for i in (99_999, 100_000, 250_000)] == [1, 0.5, 0.25]


def test_initialisation() -> None:
    torch.manual_seed(0)
    new, old = (UNIT(Config(width_g=16, blocks=2, width_d=16, architecture=a), DataSpec(size=32, domains=('A', 'B')))
                for a in ('munit_style', 'nips'))
    assert new.nets['G_A'].decode[0].main[0].weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert not any(m.bias.any() for m in new.modules() if isinstance(m, nn.Conv2d))
    for net in ('G_A', 'D_AB'):
        kernels = [m for m in old.nets[net].modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        assert torch.cat([m.weight.flatten() for m in kernels]).std().item() == pytest.approx(0.02, rel=0.02)
        assert all(m.bias.any() for m in kernels)


def test_recipes() -> None:
    run = RECIPES['unit.paper']()
    m = run.method
    assert (m.architecture, m.shared_blocks, m.lambda_gan, m.lambda_x, m.lambda_cyc, m.lambda_kl, m.kl_after_noise) == (
        'munit_style', 0, 1, 10, 10, 0.01, False)
    assert (m.width_g, m.blocks, m.width_d, m.lr, m.beta1, m.beta2, m.weight_decay, m.schedule) == (
        64, 4, 64, 1e-4, 0.5, 0.999, 1e-4, 'halved_each_tenth')
    assert (run.train.iterations, run.train.batch_size, run.data.size, run.data.load_size) == (1_000_000, 1, 256, None)
    run = RECIPES['unit.nips']()
    m = run.method
    assert (m.architecture, m.blocks, m.shared_blocks, m.kl_after_noise, m.schedule) == ('nips', 4, 1, True, 'constant')
    assert (m.lambda_gan, m.lambda_x, m.lambda_cyc, m.lambda_kl) == (10, 100, 100, 0.1)
    assert (run.train.iterations, run.train.batch_size, run.data.size, run.data.load_size, run.data.crop) == (2_000_000, 1, 128, 132, 178)
    for row in ('toyfaces', 'toyfaces_shared'):
        small, base = RECIPES[f'unit.{row}'](), RECIPES['cyclegan.toyfaces']()
        assert (small.data, small.train) == (base.data, base.train)
    assert RECIPES['unit.toyfaces_shared']().method.shared_blocks == 1


def test_bad_input() -> None:
    for architecture in ('munit_style', 'nips'):
        with pytest.raises(ValueError, match='size=50: .* expected a multiple of 4; set --data.size 48'):
            UNIT(Config(width_g=4, width_d=4, architecture=architecture), DataSpec(size=50, domains=('A', 'B')))
        with pytest.raises(ValueError, match='size=12: the discriminator needs at least 16 px'):
            UNIT(Config(width_g=4, width_d=4, architecture=architecture), DataSpec(size=12, domains=('A', 'B')))
    with pytest.raises(ValueError, match='shared_blocks=3: expected at most the 2 blocks there are; set --method.shared-blocks 2'):
        Config(blocks=2, shared_blocks=3)
