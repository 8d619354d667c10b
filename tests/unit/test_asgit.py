"""ASGIT: published counts, maps that follow their pictures, what learns from what, and every switch."""
from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor

from retouch.data.batches import DataSpec, Moment
from retouch.data.loader import Loader
from retouch.engine.trainer import Trainer
from retouch.engine.update import DomainRequest
from retouch.guidance.attention_store import AttentionStore
from retouch.methods.asgit import ASGIT, ASGITPairs, Config, PairsConfig
from retouch.model import load_model, save_model
from retouch.networks.asgit import AttentionDiscriminator, TransferBlock
from retouch.networks.cyclegan import PatchDiscriminator, ResNetGenerator
from retouch.recipes.registry import RECIPES
from tests.batches import random_batch

SPEC = DataSpec(size=16, domains=('A', 'B'), samples=(8, 8))
WHOLE = torch.tensor([[0.0, 0.0, 1.0, 0.0]])
COMBINATIONS = list(itertools.product((ASGIT, ASGITPairs), ('pha', 'tam'), ('rhp', 'alpha')))


def small(cls: Any = ASGIT, spec: DataSpec = SPEC, **changes: Any) -> Any:
    """The tiny form with some fields changed."""
    torch.manual_seed(0)
    config = cls.tiny().config
    torch.manual_seed(0)
    return cls(type(config).model_validate({**config.model_dump(), **changes}), spec)


def batch(method: Any, n: int = 2, iteration: int = 0) -> Any:
    return random_batch(method.kind, method.data, n=n, iteration=iteration)


def trained(method: Any, iterations: int = 2) -> Trainer:
    trainer = Trainer(method, Fabric(accelerator='cpu', devices=1), iterations=10)
    for i in range(iterations):
        for step in trainer.train_iteration(batch(method, iteration=i)).values():
            assert torch.isfinite(step.loss) and all(torch.isfinite(v).all() for v in step.logs.values())
    return trainer


def seen_by(net: torch.nn.Module) -> list[Tensor]:
    """Every first argument that a network gets from now on."""
    seen: list[Tensor] = []
    net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    return seen


def parameters(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


# counts and sizes

def test_published_counts() -> None:
    with torch.device('meta'):
        assert [parameters(AttentionDiscriminator(c, mask_norm=norm)) for c in (3, 6) for norm in ('instance', 'batch')] == \
            [3_228_609, 3_228_609, 3_231_681, 3_231_681]
        assert 3_818_433 - 3_228_609 == 256 * 256 * 9            # what the published module declares and never calls
        assert [parameters(TransferBlock(last_norm=norm)) for norm in (True, False)] == [75_649, 75_649]
        assert [parameters(ResNetGenerator(c, blocks=9)) for c in (3, 4)] == [11_378_179, 11_381_315]
        alpha = ASGIT(Config(fusion='alpha', attention='tam', transfer='identity'), DataSpec(size=256, domains=('A', 'B')))
        counts = {n: parameters(net) for n, net in alpha.nets.items()}
        assert counts == {'G': 11_381_315, 'F': 11_381_315, 'D_A': 3_228_609, 'D_B': 3_228_609}


@pytest.mark.parametrize('changes', [{'attention': 'tam'}, *({'pha_layer': k} for k in (None, 1, 2, 3, 4))], ids=str)
def test_a_map_costs_at_most_4096_bytes_at_256_px(changes: dict[str, Any]) -> None:
    with torch.device('meta'):
        for size, most in ((128, 4096), (256, 4096), (512, 16384)):
            method = ASGIT(Config(**changes), DataSpec(size=size, domains=('A', 'B'), samples=(5, 7)))
            maps = [method.stores[name].maps for name in ('A', 'B')]
            assert [len(m) for m in maps] == [5, 7] and all(m.dtype == torch.float32 for m in maps)
            assert maps[0][0].numel() * maps[0].element_size() <= most
            native = {None: size // 8 - 1, 1: size // 2, 2: size // 4, 3: size // 8, 4: size // 8 - 1}[changes.get('pha_layer', 3)]
            assert maps[0].shape[1:] == (min(native, max(32, size // 8)),) * 2


@pytest.mark.parametrize('size', [16, 48, 64, 100, 128])
@pytest.mark.parametrize('attention', ['pha', 'tam'])
def test_sizes_follow_the_picture(attention: str, size: int) -> None:
    method = small(spec=DataSpec(size=size, domains=('A', 'B'), samples=(2, 2)), attention=attention, layers_d=None)
    score, m = method.judge('D_A', torch.rand(1, 3, size, size))
    layers = 3 if size >= 64 else 2
    assert m.shape[-1] == size // 2 ** layers - (attention == 'pha') and score.shape[-1] == size // 2 ** layers - 2
    assert method.map_px >= m.shape[-1] and method.carry(m).shape == (1, 1, size, size)
    assert method.stores['A'].side == m.shape[-1]


def test_scales_of_the_branch_start_as_the_codes() -> None:
    """Around 1, with instance norm as with batch norm."""
    for norm in ('instance', 'batch'):
        branch = small(attention='tam', mask_norm=norm, width_d=256).nets['D_A'].mask
        assert torch.stack([branch[1].weight, branch[4].weight]).std().item() == pytest.approx(0.02, rel=0.2)


def test_a_layer_that_is_not_there() -> None:
    with pytest.raises(ValueError, match='pha_layer=4: a discriminator of 48 px has 3 convolutions before its scores; expected 1 to 3'):
        ASGIT(Config(pha_layer=4, width_g=4, blocks=0), DataSpec(size=48, domains=('A', 'B')))
    with pytest.raises(ValueError, match='multiple of 4'):
        ASGIT(Config(), DataSpec(size=50, domains=('A', 'B')))


# the store

def windows(n: int = 6, side: int = 36, size: int = 32) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures [n,3,side,side] of noise, and windows of them as a training batch shows them, with their views."""
    pictures = torch.rand(n, 3, side, side)
    loader = Loader(batch_size=n, seed=3, size=size, flip=True, device=torch.device('cpu'))
    shown, view = loader.augment(pictures, loader.moment(0, 1), 'A')
    assert 0 < view[:, 3].sum() < n and view[:, :2].max() > 0 and len(view.unique(dim=0)) == n, 'windows differ, some are mirrored'
    return pictures, shown, view


def test_a_store_starts_with_ones() -> None:
    store = AttentionStore(4, 8)
    assert torch.equal(store.maps, torch.ones(4, 8, 8)) and store.maps.dtype == torch.float32
    view = torch.tensor([[0.1, 0.05, 0.8, 1.0]])
    torch.testing.assert_close(store.read(torch.tensor([3]), view, 32), torch.ones(1, 1, 32, 32))
    assert AttentionStore(4, 8, noise=True).maps.std() > 0.2


def test_a_store_reads_the_window_that_the_batch_shows() -> None:
    """A map with one cell a pixel is cut exactly as its picture."""
    pictures, shown, view = windows()
    store = AttentionStore(6, 36)
    store.maps.copy_(pictures[:, 0])
    torch.testing.assert_close(store.read(torch.arange(6), view, 32), shown[:, :1], rtol=0, atol=1e-4)


def test_a_store_writes_the_window_and_nothing_else() -> None:
    pictures, shown, view = windows()
    store = AttentionStore(8, 36)
    index = torch.tensor([5, 0, 7, 3, 2, 6])
    store.write(index, view, shown[:, :1])
    untouched = torch.ones(36, 36)
    assert torch.equal(store.maps[1], untouched) and torch.equal(store.maps[4], untouched)
    for row, i in enumerate(index):
        top, left = (view[row, :2] * 36).round().long().tolist()
        inside = torch.zeros(36, 36, dtype=torch.bool)
        inside[top:top + 32, left:left + 32] = True
        torch.testing.assert_close(store.maps[i][inside], pictures[row, 0][inside], rtol=0, atol=1e-4)
        assert (store.maps[i][~inside] == 1).all()


def test_coordinates_come_back_through_another_window() -> None:
    """A coarse map that holds the coordinates of its cells: what another window reads are the coordinates of its own pixels."""
    centres = (torch.arange(16) + 0.5) / 16
    columns, rows = centres.expand(16, 16)[None, None], centres[:, None].expand(16, 16)[None, None]
    store, index = AttentionStore(2, 16), torch.tensor([0, 1])
    whole_mirrored = torch.tensor([0.0, 0.0, 1.0, 1.0])
    store.write(index, torch.stack([whole_mirrored, WHOLE[0]]), torch.cat([columns.flip(3), rows]))
    view = torch.tensor([[0.125, 0.25, 0.5, 1.0], [0.125, 0.25, 0.5, 0.0]])
    u = (torch.arange(64) + 0.5) / 64
    read = store.read(index, view, 64)
    torch.testing.assert_close(read[0, 0], (0.25 + 0.5 * (1 - u)).expand(64, 64))
    torch.testing.assert_close(read[1, 0], (0.125 + 0.5 * u)[:, None].expand(64, 64))


def test_reading_the_whole_is_plain_interpolation() -> None:
    store, new = AttentionStore(2, 8), torch.rand(2, 1, 8, 8)
    store.write(torch.arange(2), WHOLE.expand(2, 4), new)
    torch.testing.assert_close(store.maps[:, None], new)
    torch.testing.assert_close(store.read(torch.arange(2), WHOLE.expand(2, 4), 32), F.interpolate(new, 32, mode='bilinear'))


def test_finer_maps_are_averaged() -> None:
    store, new = AttentionStore(1, 4), torch.rand(1, 1, 16, 16)
    store.write(torch.tensor([0]), WHOLE, new)
    torch.testing.assert_close(store.maps[:, None], F.avg_pool2d(new, 4))


def test_a_sample_twice_in_a_batch_is_two_writes_in_a_row() -> None:
    _, shown, view = windows()
    index = torch.tensor([2, 0, 2, 1, 0, 2])
    together, apart = AttentionStore(3, 36), AttentionStore(3, 36)
    together.write(index, view, shown[:, :1])
    for row in range(6):
        apart.write(index[row:row + 1], view[row:row + 1], shown[row:row + 1, :1])
    assert torch.equal(together.maps, apart.maps)


def test_not_aligned_is_the_map_as_it_is() -> None:
    _, shown, view = windows()
    store = AttentionStore(6, 32, align=False)
    store.write(torch.arange(6), view, shown[:, :1])
    torch.testing.assert_close(store.maps[:, None], shown[:, :1])
    torch.testing.assert_close(store.read(torch.arange(6), view.flip(0), 32), shown[:, :1])


def test_a_store_has_no_graph_and_a_model_no_rows() -> None:
    store = AttentionStore(1, 4)
    new = torch.rand(1, 1, 4, 4, requires_grad=True)
    store.write(torch.tensor([0]), WHOLE, new * 0.5)
    assert not store.read(torch.tensor([0]), WHOLE, 8).requires_grad and not list(store.parameters())
    with pytest.raises(ValueError, match='holds no picture'):
        AttentionStore(0, 4).read(torch.tensor([0]), WHOLE, 8)


# maps

def test_activations_come_from_the_pass_of_the_scores() -> None:
    D, x = PatchDiscriminator(width=4, layers=3), torch.rand(2, 3, 64, 64)
    for conv, shape in enumerate([(4, 32), (8, 16), (16, 8), (32, 7)], 1):
        score, after = D.with_activation(x, conv)
        again, before = D.with_activation(x, conv, rectified=False)
        assert torch.equal(score, D(x)) and torch.equal(again, score)
        assert after.shape == (2, shape[0], shape[1], shape[1]) and before.min() < 0
        torch.testing.assert_close(F.leaky_relu(before, 0.2), after)


@pytest.mark.parametrize('changes', [{}, {'pha_layer': 1}, {'pha_post_activation': False}, {'attention': 'tam', 'normalise_tam': True},
                                     {'attention': 'tam', 'normalise_tam': True, 'mask_norm': 'batch'}], ids=str)
def test_maps_are_in_the_unit_interval_each_by_itself(changes: dict[str, Any]) -> None:
    method = small(**changes)
    x = torch.rand(3, 3, 16, 16) * torch.tensor([0.1, 1, 10]).view(3, 1, 1, 1)
    score, m = method.judge('D_A', x.requires_grad_())
    assert torch.equal(score, method.nets['D_A'](x)) and not m.requires_grad and m.dtype == torch.float32
    assert torch.equal(m.amin((1, 2, 3)), torch.zeros(3)) and 0.999 < m.amax((1, 2, 3)).min() and m.max() <= 1
    if changes.get('mask_norm') != 'batch':
        torch.testing.assert_close(method.judge('D_A', x[:1])[1], m[:1], rtol=0, atol=1e-4)


def test_the_papers_tam_is_a_mean_of_sigmoids() -> None:
    method, x = small(attention='tam'), torch.rand(2, 3, 16, 16)
    m = method.judge('D_A', x)[1]
    torch.testing.assert_close(m, method.nets['D_A'].with_attention(x)[1].mean(1, keepdim=True))
    assert 0 < m.min() and m.max() < 1 and m.amax((1, 2, 3)).max() < 0.999, 'no picture has a 0 and a 1 of its own'
    for p in method.nets['D_A'].parameters():
        torch.nn.init.zeros_(p)
    assert torch.equal(method.judge('D_A', x)[1], torch.full((2, 1, 8, 8), 0.5))


def test_a_map_is_of_the_absolute_activation() -> None:
    method, x = small(pha_post_activation=False), torch.rand(1, 3, 16, 16)
    a = method.nets['D_A'].with_activation(x, 2, rectified=False)[1].abs().mean(1, keepdim=True)
    torch.testing.assert_close(method.judge('D_A', x)[1], (a - a.min()) / (a.max() - a.min()))


@pytest.mark.parametrize('attention', ['pha', 'tam'])
def test_a_constant_map_is_no_nan(attention: str) -> None:
    method = small(attention=attention, normalise_tam=True)
    for p in method.nets['D_A'].parameters():
        torch.nn.init.zeros_(p)
    m = method.judge('D_A', torch.rand(2, 3, 16, 16))[1]
    assert torch.equal(m, torch.zeros_like(m))
    assert torch.isfinite(method.carry(m)).all()


def test_instance_norm_of_the_branch_is_batch_norm_of_one_picture() -> None:
    a, b = AttentionDiscriminator(3, 4, mask_norm='instance'), AttentionDiscriminator(3, 4, mask_norm='batch')
    b.load_state_dict(a.state_dict())
    x = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(a(x[:1]), b(x[:1]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(a(x), b(x), rtol=1e-4, atol=1e-5)


# training

@pytest.mark.parametrize(('cls', 'attention', 'fusion'), COMBINATIONS, ids=lambda v: getattr(v, 'id', v))
def test_eight_combinations_train(cls: Any, attention: str, fusion: str) -> None:
    method = small(cls, attention=attention, fusion=fusion)
    trained(method)
    stores = list(method.stores.values()) if cls is ASGIT else [method.maps]
    for store in stores:
        assert (store.maps[:2].flatten(1).std(1) > 0).all() and torch.equal(store.maps[2:], torch.ones_like(store.maps[2:]))
        assert 0 <= store.maps.min() and store.maps.max() <= 1 + 1e-6
    made = method.eval().translate(DomainRequest(torch.rand(2, 3, 16, 16) * 2 - 1, 'B'))
    assert made.mask is None and made.extras['attention'].shape == (2, 1, 16, 16)


def test_all_eight_were_seen() -> None:
    assert len(COMBINATIONS) == len(set(COMBINATIONS)) == 8


@pytest.mark.parametrize('cls', [ASGIT, ASGITPairs], ids=lambda c: c.id)
def test_resume_keeps_the_maps(cls: Any) -> None:
    straight, first = trained(small(cls), 4), trained(small(cls), 2)
    second = Trainer(small(cls), Fabric(accelerator='cpu', devices=1), iterations=10)
    second.load_state_dict(first.state_dict())
    names = [k for k in second.module.state_dict() if k.endswith('maps')]
    assert len(names) == (2 if cls is ASGIT else 1)
    for i in (2, 3):
        second.train_iteration(batch(second.module, iteration=i))
    for k in names:
        assert torch.equal(straight.module.state_dict()[k], second.module.state_dict()[k]) and (straight.module.state_dict()[k] != 1).any()


def test_maps_are_kept_by_domain_and_sample() -> None:
    """D_B's map of G(x') under x's number in A's store, D_A's map of F(y') under y's in B's."""
    method = small(transfer='identity')
    b = batch(method)
    b = type(b)(**{**{k: getattr(b, k) for k in b.__slots__}, 'index_a': torch.tensor([5, 1]), 'index_b': torch.tensor([0, 6])})
    kept = method.generator_step(b, {}).keep
    assert torch.equal(method.stores['A'].maps, torch.ones(8, 7, 7)), 'not before the discriminator step'
    with torch.no_grad():
        torch.testing.assert_close(kept['m_x'], method.judge('D_B', method.nets['G'](2 * b.image_a))[1])
        torch.testing.assert_close(kept['m_y'], method.judge('D_A', method.nets['F'](2 * b.image_b))[1])
    method.discriminator_step(b, kept)
    torch.testing.assert_close(method.stores['A'].maps[[5, 1]], kept['m_x'][:, 0])
    torch.testing.assert_close(method.stores['B'].maps[[0, 6]], kept['m_y'][:, 0])
    seen = seen_by(method.nets['F'])
    method.generator_step(b, {})
    factor = 1 + F.interpolate(kept['m_y'], 16, mode='bilinear')
    torch.testing.assert_close(seen[0], b.image_b * factor)


def test_one_pass_of_a_discriminator_serves_loss_and_map() -> None:
    for changes, passes in (({}, 1), ({'attention': 'tam'}, 1), ({'attention_source': 'current_input'}, 2),
                            ({'attention_source': 'two_pass'}, 2)):
        method = small(**changes)
        heads = [method.nets[n].head if 'attention' in changes else method.nets[n].main[-1] for n in ('D_A', 'D_B')]
        seen = [seen_by(head) for head in heads]
        method.generator_step(batch(method), {})
        assert [len(s) for s in seen] == [passes, passes], changes


@pytest.mark.parametrize('cls', [ASGIT, ASGITPairs], ids=lambda c: c.id)
def test_the_transfer_block_learns_from_the_generators_loss_alone(cls: Any) -> None:
    method = small(cls)
    generator, discriminator = sorted(method.updates(), key=lambda u: u.name, reverse=True)
    assert 'T' in generator.nets and 'T' not in discriminator.nets
    method.requires_grad_(True)
    step = generator.step(batch(method), {})
    step.loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for n, p in method.nets['T'].named_parameters() if n.endswith('weight'))
    method.zero_grad(set_to_none=True)
    discriminator.step(batch(method), step.keep).loss.backward()
    assert all(p.grad is None for p in method.nets['T'].parameters())


def test_no_gradient_passes_a_map() -> None:
    """The way back gets D's map of the fake; were it attached, F's gradient would change with D's later layers held constant."""
    method = small(cycle_attention='discriminator', transfer='identity')
    b = batch(method)
    method.requires_grad_(True)
    a_x, a_y = method.guidance(b)
    out = method.go(b.image_a, b.image_b, a_x, a_y)
    assert not a_x.requires_grad and not out['m_x'].requires_grad and not out['m_y'].requires_grad
    out['cyc'].backward()                                        # reaches the discriminators through a map alone
    assert all(p.grad is None for n in ('D_A', 'D_B') for p in method.nets[n].parameters())
    assert all(p.grad is not None for n in ('G', 'F') for p in method.nets[n].parameters())


def test_order_of_updates() -> None:
    assert [u.name for u in small().updates()] == ['G', 'D'] and [u.name for u in small(ASGITPairs).updates()] == ['D', 'G']


# switches

def test_fusions() -> None:
    x, a = torch.full((1, 3, 2, 2), -0.5), torch.tensor([[[[0.0, 1.0], [0.5, 0.25]]]])
    fused = {f: small(fusion=f).fusion(x, a) for f in ('rhp', 'mult', 'alpha')}
    torch.testing.assert_close(fused['rhp'][0, 1], torch.tensor([[-0.5, -1.0], [-0.75, -0.625]]))
    torch.testing.assert_close(fused['mult'][0, 1], torch.tensor([[0.0, -0.5], [-0.25, -0.125]]))
    assert torch.equal(fused['alpha'], torch.cat([x, a], 1))
    plain = {f: method.fusion(x, method.nothing(x)) for f, method in ((f, small(fusion=f)) for f in ('rhp', 'mult', 'alpha'))}
    assert torch.equal(plain['rhp'], x) and torch.equal(plain['mult'], x)
    assert torch.equal(plain['alpha'], torch.cat([x, torch.ones_like(a)], 1))


def test_alpha_cannot_tell_constants_apart() -> None:
    """Reflection keeps a constant channel constant, and the instance norm after the first convolution takes it away."""
    G, x = ResNetGenerator(4, width=8, blocks=1), torch.rand(1, 3, 16, 16)
    ones, half, zeros = (G(torch.cat([x, torch.full((1, 1, 16, 16), v)], 1)) for v in (1.0, 0.5, 0.0))
    torch.testing.assert_close(ones, half, rtol=0, atol=1e-4)
    torch.testing.assert_close(ones, zeros, rtol=0, atol=1e-4)
    ramp = G(torch.cat([x, torch.linspace(0, 1, 16).expand(1, 1, 16, 16)], 1))
    assert (ramp - ones).abs().max() > 1e-2


def test_attention_source() -> None:
    b = batch(small())
    now = small(attention_source='current_input', transfer='identity')
    a_x, a_y = now.guidance(b)
    torch.testing.assert_close(a_x, now.carry(now.judge('D_A', b.image_a)[1]))
    torch.testing.assert_close(a_y, now.carry(now.judge('D_B', b.image_b)[1]))
    assert not a_x.requires_grad and not len(now.stores['A'].maps)
    twice = small(attention_source='two_pass', transfer='identity')
    seen = seen_by(twice.nets['F'])
    step = twice.generator_step(b, {})
    first = twice.go(b.image_a, b.image_b, torch.zeros(2, 1, 16, 16), torch.zeros(2, 1, 16, 16))
    second = twice.go(b.image_a, b.image_b, twice.carry(first['m_x']), twice.carry(first['m_y']))
    assert torch.equal(seen[0], b.image_b), 'no attention in the first pass'
    torch.testing.assert_close(step.logs['gan'], (first['gan'] + second['gan']).detach())
    torch.testing.assert_close(step.logs['cyc'], (first['cyc'] + second['cyc']).detach())
    assert torch.equal(step.keep['fake_b'], first['fake_b']), 'the discriminators judge the first pass'
    assert torch.equal(step.images['edit'], second['fake_b'])
    for method in (now, twice):
        trained(method, 1)


def test_two_passes_of_pairs() -> None:
    method = small(ASGITPairs, attention_source='two_pass')
    b = batch(method)
    step = method.generator_step(b, {})
    gan, l1, _, m = method.go(b, torch.zeros(2, 1, 16, 16))
    gan_again, l1_again, made, _ = method.go(b, method.carry(m))
    torch.testing.assert_close(step.loss, gan + gan_again + 100 * (l1 + l1_again))
    assert torch.equal(step.images['edit'], made) and not len(method.maps.maps)
    with pytest.raises(ValueError, match='attention_source'):
        PairsConfig(attention_source='current_input')


@pytest.mark.parametrize('told', ['none', 'ones', 'discriminator'])
def test_cycle_attention(told: str) -> None:
    method = small(cycle_attention=told, transfer='identity')
    seen, b = seen_by(method.nets['F']), batch(method)
    kept = method.generator_step(b, {}).keep
    back = {'none': 1, 'ones': 2, 'discriminator': 1 + method.carry(kept['m_x'])}[told]
    torch.testing.assert_close(seen[1], kept['fake_b'] * back)


def test_identity_loss() -> None:
    method = small(lambda_idt=0.5)
    b, n = batch(method), method.nets
    step = method.generator_step(b, {})
    with torch.no_grad():
        idt = (n['G'](b.image_b) - b.image_b).abs().mean() + (n['F'](b.image_a) - b.image_a).abs().mean()
    torch.testing.assert_close(step.logs['idt'], idt)
    torch.testing.assert_close(step.loss.detach(), step.logs['gan'] + 10 * step.logs['cyc'] + 5 * idt)


def test_ones_bypass_the_transfer_block() -> None:
    ones, other = torch.ones(1, 1, 7, 7), torch.rand(1, 1, 7, 7)
    past, through = small(bypass_ones=True), small(bypass_ones=False)
    assert torch.equal(past.carry(ones), torch.ones(1, 1, 16, 16)) and through.carry(ones).std() > 0.01
    both = past.carry(torch.cat([ones, other]))
    torch.testing.assert_close(both, torch.cat([past.carry(ones), through.carry(other)]), msg='decided for every picture')
    nearly = torch.ones(1, 1, 7, 7)
    nearly[..., 3, 3] = 0.9
    torch.testing.assert_close(past.carry(nearly), through.carry(nearly), msg='a single lower value is enough')
    read = past.stores['A'].read(torch.tensor([0]), torch.tensor([[0.03, 0.07, 0.9, 1.0]]), past.map_px)
    assert torch.equal(past.carry(read), torch.ones(1, 1, 16, 16)), 'also of a window'


def test_transfer_block_ends_in_a_norm_or_not() -> None:
    m = torch.rand(2, 1, 4, 4)
    normed, plain = TransferBlock(8, 2)(m), TransferBlock(8, 2, last_norm=False)(m)
    assert normed.shape == plain.shape == (2, 1, 16, 16)
    torch.testing.assert_close(normed.logit().mean((1, 2, 3)), torch.zeros(2), rtol=0, atol=1e-3)
    assert plain.logit().mean((1, 2, 3)).abs().min() > 1e-3
    assert [TransferBlock(4, d)(m).shape[-1] for d in range(4)] == [4, 8, 16, 32]
    assert [len(small(transfer_norm=v).nets['T'].main) for v in (True, False)] == [9, 8] and 'T' not in small(transfer='identity').nets


def test_pha_layer_chooses_the_map() -> None:
    spec = DataSpec(size=64, domains=('A', 'B'), samples=(8, 8))
    x, sides = torch.rand(1, 3, 64, 64), []
    for layer in (1, 2, 3, 4, None):
        sides.append(small(spec=spec, layers_d=3, pha_layer=layer).judge('D_A', x)[1].shape[-1])
    assert sides == [32, 16, 8, 7, 7]
    after, before = (small(spec=spec, layers_d=3, pha_post_activation=v).judge('D_A', x)[1] for v in (True, False))
    assert not torch.allclose(after, before, atol=1e-2)


def test_alignment_and_first_maps_reach_the_store() -> None:
    assert small().stores['A'].align and not small(align_attention=False).stores['A'].align
    assert not small(ASGITPairs, align_attention=False).maps.align
    assert small(first_maps='noise').stores['B'].maps.std() > 0.2
    method = small(align_attention=True, transfer='identity')
    method.stores['A'].maps[0, :, :3] = 0.0                      # the left part of picture 0
    b = batch(method, n=1)
    mirrored = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    b = type(b)(**{**{k: getattr(b, k) for k in b.__slots__}, 'view_a': mirrored})
    a_x, _ = method.guidance(b)
    assert a_x[0, 0, :, -2:].max() == 0 and a_x[0, 0, :, :2].min() > 0.99, 'mirrored with its picture'


def test_batch_norm_gets_every_batch_by_itself() -> None:
    for changes, calls in (({'mask_norm': 'batch', 'attention': 'tam'}, 2), ({'attention': 'tam'}, 1), ({}, 1)):
        method = small(**changes)
        kept, seen = method.generator_step(batch(method), {}).keep, seen_by(method.nets['D_A'])
        method.discriminator_step(batch(method), kept)
        assert len(seen) == calls
        pairs = small(ASGITPairs, **changes)
        seen = seen_by(pairs.nets['D'])
        pairs.discriminator_step(batch(pairs), {})
        assert len(seen) == calls
    with pytest.raises(ValueError, match='batch mates'):
        Config(attention='tam', mask_norm='batch', inference_attention='discriminator')
    assert Config(mask_norm='batch', inference_attention='discriminator').attention == 'pha', 'which has no such branch'


def test_inference_attention() -> None:
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    for inference, factor in (('ones', 2.0), ('constant', 1.5)):
        method = small(inference_attention=inference, bypass_ones=True).eval()
        made = method.translate(DomainRequest(x, 'B'))
        torch.testing.assert_close(made.image, method.nets['G'](factor * x))
        assert torch.equal(made.extras['attention'], torch.full((2, 1, 16, 16), factor - 1)) and method.inference_nets == ('T', 'G', 'F')
        torch.testing.assert_close(method.translate(DomainRequest(x, 'A')).image, method.nets['F'](factor * x))
    quarter = small(inference_attention='constant', inference_constant=0.25).translate(DomainRequest(x, 'B'))
    assert quarter.extras['attention'].unique() == 0.25
    for source, first, judge in (('previous_output', 2.0, 'D_B'), ('two_pass', 1.0, 'D_B'), ('current_input', None, 'D_A')):
        method = small(inference_attention='discriminator', attention_source=source, transfer='identity').eval()
        looked = x if first is None else method.nets['G'](first * x)
        a = method.carry(method.judge(judge, looked)[1])
        made = method.translate(DomainRequest(x, 'B'))
        torch.testing.assert_close(made.extras['attention'], a)
        torch.testing.assert_close(made.image, method.nets['G'](x * (1 + a)))
        looked = x if first is None else method.nets['F'](first * x)
        a = method.carry(method.judge({'D_A': 'D_B', 'D_B': 'D_A'}[judge], looked)[1])
        torch.testing.assert_close(method.translate(DomainRequest(x, 'A')).image, method.nets['F'](x * (1 + a)), msg='the other way')
        assert method.inference_nets == ('G', 'F', 'D_A', 'D_B')
    pairs = small(ASGITPairs, inference_attention='discriminator', transfer='identity').eval()
    a = pairs.carry(pairs.judge('D', torch.cat([x, pairs.nets['G'](2 * x)], 1))[1])
    torch.testing.assert_close(pairs.translate(DomainRequest(x, 'B')).image, pairs.nets['G'](x * (1 + a)))
    assert set(pairs.inference_nets) == {'G', 'D'}


@pytest.mark.parametrize('cls', [ASGIT, ASGITPairs], ids=lambda c: c.id)
@pytest.mark.parametrize('inference', ['ones', 'discriminator'])
def test_a_saved_model_needs_no_maps(cls: Any, inference: str, tmp_path: Any) -> None:
    method = small(cls, inference_attention=inference).eval()
    weights = {f'{n}.{k}': v for n in method.inference_nets for k, v in method.nets[n].state_dict().items()}
    save_model(tmp_path, method, weights, {})
    loaded = load_model(tmp_path).method
    stores = list(loaded.stores.values()) if cls is ASGIT else [loaded.maps]
    assert loaded.data.samples == () and all(len(s.maps) == 0 for s in stores)
    request = DomainRequest(torch.rand(2, 3, 16, 16) * 2 - 1, 'B')
    with torch.no_grad():
        assert torch.equal(loaded.translate(request).image, method.translate(request).image)


def test_gan_mode_of_pairs() -> None:
    b = batch(small(ASGITPairs))
    lsgan, bce = (small(ASGITPairs, gan_mode=mode) for mode in ('lsgan', 'bce'))
    xy = torch.cat([b.image_a, b.image_b], 1)
    with torch.no_grad():
        real = lsgan.nets['D'](xy)
        torch.testing.assert_close(lsgan.discriminator_step(b, {}).logs['real'], ((real - 1) ** 2).mean())
        torch.testing.assert_close(bce.discriminator_step(b, {}).logs['real'], F.softplus(-real).mean())


def test_both_steps_of_a_pair_see_the_same_picture() -> None:
    spec = DataSpec(size=64, domains=('A', 'B'), samples=(8, 8))
    method = small(ASGITPairs, spec, dropout=True)
    seen, b = seen_by(method.nets['D']), batch(method)
    method.discriminator_step(b, {})
    made = method.generator_step(b, {}).images['edit']
    torch.testing.assert_close(seen[0][2:, 3:], made)
    x = b.image_a
    kept, dropped = (small(ASGITPairs, spec, test_dropout=v).translate(DomainRequest(x, 'B')).image for v in (False, True))
    assert not torch.equal(kept, dropped)
    without = small(ASGITPairs, spec, dropout=False)
    assert torch.equal(without.nets['G'](2 * x, Moment().uniform), without.nets['G'](2 * x))


def test_pairs_go_one_way() -> None:
    method = small(ASGITPairs)
    x = torch.rand(1, 3, 16, 16)
    with pytest.raises(ValueError, match='this model makes B of A, not A of B'):
        method.translate(DomainRequest(x, 'A'))
    for cls in (ASGIT, ASGITPairs):
        with pytest.raises(ValueError, match="unknown domain 'C'"):
            small(cls).translate(DomainRequest(x, 'C'))


def test_presets() -> None:
    paper, code, pairs, pairs_code = (RECIPES[f'{name}.{row}']().method for name in ('asgit', 'asgit_pairs') for row in ('paper', 'code'))
    assert paper == Config() and pairs == PairsConfig()
    assert (paper.transfer, paper.attention_source, paper.cycle_attention) == ('conv3', 'previous_output', 'none')
    assert (paper.inference_attention, paper.align_attention, paper.pha_layer) == ('ones', True, None)
    assert (code.transfer, code.pha_layer, code.align_attention, code.mask_norm) == ('identity', 3, False, 'batch')
    assert (code.inference_attention, code.inference_constant) == ('constant', 0.5)
    assert (pairs.gan_mode, pairs_code.gan_mode, pairs_code.transfer, pairs_code.bypass_ones) == ('lsgan', 'bce', 'conv3', False)
    assert (paper.lr, paper.beta1, paper.beta2, paper.lambda_cyc, pairs.lambda_l1, paper.pool) == (2e-4, 0.5, 0.999, 10, 100, 50)
    for name, size, load_size, flip in (('asgit.paper', 256, 286, False), ('asgit.code', 256, 286, False),
                                        ('asgit_pairs.paper', 128, 143, False), ('asgit_pairs.code', 256, 286, False)):
        run = RECIPES[name]()
        assert (run.data.size, run.data.load_size, run.data.flip, run.train.batch_size) == (size, load_size, flip, 1)


def test_small_rows_are_alike() -> None:
    base, alike = RECIPES['asgit.toyfaces'](), RECIPES['cyclegan.toyfaces']()
    assert (base.data, base.train) == (alike.data, alike.train)
    shared = ('width_g', 'blocks', 'width_d', 'lr', 'schedule', 'lambda_cyc', 'pool')
    assert all(getattr(base.method, f) == getattr(alike.method, f) for f in shared)
    for row, changed in (('pha_alpha', ('pha', 'alpha')), ('tam_rhp', ('tam', 'rhp')), ('tam_alpha', ('tam', 'alpha'))):
        run = RECIPES[f'asgit.toyfaces_{row}']()
        told = {'attention': changed[0], 'fusion': changed[1], 'normalise_tam': changed[0] == 'tam'}
        assert run.method == base.method.model_copy(update=told)
        assert (run.data, run.train) == (base.data, base.train)
    for end in ('', '_tam', '_back', '_back_tam'):
        run, alike = RECIPES[f'asgit_pairs.toyfaces{end}'](), RECIPES[f'pix2pix.toyfaces{"_back" if "back" in end else ""}']()
        assert (run.data, run.train) == (alike.data, alike.train) and run.method.attention == ('tam' if 'tam' in end else 'pha')
        shared = ('width_g', 'width_d', 'lr', 'schedule', 'lambda_l1', 'dropout', 'test_dropout')
        assert all(getattr(run.method, f) == getattr(alike.method, f) for f in shared)
