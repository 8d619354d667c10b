"""AGGAN: published counts, the curriculum, masks and pictures that stay together, and what every switch and ablation row changes."""
from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from retouch.data.batches import DataSpec, DomainBatch, Moment
from retouch.engine.update import DomainRequest, Step
from retouch.errors import one_line
from retouch.losses import total_variation
from retouch.methods.aggan import AGGAN, Config
from retouch.networks.aggan import Discriminator, Generator, depth_at, init_weights
from retouch.recipes.registry import RECIPES
from tests.batches import random_batch

SPEC = DataSpec(size=24, domains=('A', 'B'))
SMALL: dict[str, Any] = {'width_g': 4, 'width_d': 4, 'blocks': 1}
ROWS = ('', '_no_ad', '_no_ad_ag', '_no_ad_pl', '_no_ad_al', '_no_ad_pl_al')
AFTER_WARM_UP = 5                                                # of the 10 iterations of random_batch's run


def make(**changes: Any) -> AGGAN:
    torch.manual_seed(0)
    return AGGAN(Config(**{**SMALL, **changes}), SPEC)


def batch(n: int = 2, iteration: int = AFTER_WARM_UP) -> DomainBatch:
    return random_batch('domains', SPEC, n=n, iteration=iteration)


def step_of(method: AGGAN, update: str, b: DomainBatch, kept: dict[str, Any]) -> Step:
    """One step as the engine runs it, with its gradients: only the update's own networks learn."""
    u = next(u for u in method.updates() if u.name == update)
    method.zero_grad(set_to_none=True)
    for name, net in method.nets.items():
        net.requires_grad_(name in u.nets)
    step = u.step(b, kept)
    step.loss.backward()
    return step


def both(method: AGGAN, b: DomainBatch) -> tuple[Step, Step]:
    g = step_of(method, 'G', b, {})
    return g, step_of(method, 'D', b, g.keep)


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def inputs_of(method: AGGAN, net: str) -> list[Tensor]:
    """What a network is given from now on."""
    seen: list[Tensor] = []
    method.nets[net].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].detach().clone()))
    return seen


# networks

@pytest.mark.parametrize(('form', 'parameters'), [
    ({'upsample': 'pixelshuffle'}, 7_931_332), ({}, 7_848_260), ({'blocks': 5}, 6_667_076), ({'blocks': 9}, 11_391_812),
    ({'norm': 'instance'}, 7_848_260), ({'out_channels': 3}, 7_848_260 - 7 * 7 * 64 - 1)])
def test_generators_have_the_published_counts(form: dict[str, Any], parameters: int) -> None:
    with torch.device('meta'):
        assert count(Generator(**form)) == parameters


def test_discriminators_have_the_published_counts_and_sizes() -> None:
    with torch.device('meta'):
        assert [count(Discriminator(c, 256)) for c in (3, 4)] == [6_953_793, 6_954_817]
        assert count(Discriminator(3, 94)) == 6_953_793
        method = AGGAN(Config(use_attention_discriminator=False, upsample='pixelshuffle'), DataSpec(size=256, domains=('A', 'B')))
        assert count(method.nets) == 29_770_250
        strided = [m for m in Discriminator(3, 256).main if isinstance(m, nn.Conv2d)][:5]
        x, sides = torch.empty(1, 3, 256, 256), []
        for conv in strided:
            x = torch.empty(1, conv.out_channels, *conv(x).shape[2:])
            sides.append(x.shape[-1])
    assert sides == [127, 62, 30, 14, 11]


def test_the_discriminator_follows_the_size() -> None:
    thresholds = {n: min(s for s in range(4, 300) if depth_at(s) == n) for n in (1, 2, 3, 4)}
    assert thresholds == {1: 10, 2: 22, 3: 46, 4: 94} and depth_at(1024) == 4
    for size in (10, 16, 22, 32, 45, 46, 48, 64, 93, 94, 128):
        for norm in ('batch', 'instance'):
            D = Discriminator(4, size, width=2, norm=norm)
            assert D(torch.zeros(1, 4, size, size)).shape == (1, 1), 'a picture has one score, also alone in its batch'
            last = [m for m in D.main if isinstance(m, nn.Conv2d)][-2]
            seen = []
            last.register_forward_pre_hook(lambda _, a, seen=seen: seen.append(a[0].shape[-1]))
            D(torch.zeros(1, 4, size, size))
            assert seen[0] >= 4 and (depth_at(size) == 4 or (seen[0] - 4) // 2 + 1 < 4), 'one more would not fit'
    with pytest.raises(ValueError, match='at least 10 px'):
        Discriminator(3, 8)


@pytest.mark.parametrize('size', [32, 48, 96])
@pytest.mark.parametrize('norm', ['batch', 'instance'])
def test_it_trains_from_32_px_alone_in_a_batch(size: int, norm: str) -> None:
    spec = DataSpec(size=size, domains=('A', 'B'))
    method = AGGAN(Config(**SMALL, norm=norm), spec)
    assert all(step.loss.isfinite() for step in both(method, random_batch('domains', spec, n=1)))


def test_sizes_that_do_not_fit_say_so() -> None:
    with pytest.raises(ValueError, match='--data.size 48'):
        AGGAN(Config(**SMALL), DataSpec(size=50, domains=('A', 'B')))


def test_initialisation() -> None:
    torch.manual_seed(0)
    D = Discriminator(3, 94, width=32)
    biases = [m.bias.clone() for m in D.main if isinstance(m, nn.Conv2d)]
    init_weights(D)
    assert all(torch.equal(m.bias, b) for m, b in zip([m for m in D.main if isinstance(m, nn.Conv2d)], biases, strict=True))
    kernels = torch.cat([m.weight.flatten() for m in D.main if isinstance(m, nn.Conv2d)])
    norms = [m for m in D.main if isinstance(m, nn.BatchNorm2d)]
    assert kernels.std().item() == pytest.approx(0.02, rel=0.01) and len(norms) == 4
    assert torch.cat([m.weight for m in norms]).std().item() == pytest.approx(0.02, rel=0.2) and not any(m.bias.any() for m in norms)


def test_instance_norm_is_what_batch_norm_computes_on_one_picture() -> None:
    alone, other = make(), make(norm='instance')
    other.nets.load_state_dict(alone.nets.state_dict(), strict=False)
    b = batch(n=1)
    for step, again in zip(both(alone, b), both(other, b), strict=True):
        assert step.logs.keys() == again.logs.keys()
        for name, value in step.logs.items():
            torch.testing.assert_close(value, again.logs[name], rtol=1e-4, atol=1e-6)


def test_running_averages_belong_to_the_generators_and_serve_eval_mode() -> None:
    method = make()
    assert all('running_mean' not in key for name in ('D_A', 'P_B') for key in method.nets[name].state_dict())
    before = {name: {k: v.clone() for k, v in net.state_dict().items()} for name, net in method.nets.items()}
    step = method.generator_step(batch(), {})
    assert all(torch.equal(v, before[n][k]) for n in ('D_A', 'D_B', 'P_A', 'P_B') for k, v in method.nets[n].state_dict().items())
    assert all(int(net.state_dict()['main.1.num_batches_tracked']) == 2 for net in (method.nets['G'], method.nets['F'])), '[D5]'
    method.discriminator_step(batch(), step.keep)
    assert int(method.nets['G'].state_dict()['main.1.num_batches_tracked']) == 2
    x = batch().image_a
    (trained, _, _), = method.generate('G', x)
    (used, _, _), = method.eval().generate('G', x)
    assert not torch.allclose(trained, used, atol=1e-3)


# equations

def test_the_composite_by_hand() -> None:
    method, x = make(norm='instance'), batch().image_a
    out = method.nets['G'](x)
    (image, mask, content), = method.generate('G', x)
    torch.testing.assert_close(mask, 1 / (1 + (-out[:, :1]).exp()))
    assert torch.equal(content, out[:, 1:])
    torch.testing.assert_close(image, out[:, 1:] * mask + x * (1 - mask))
    bounded = make(norm='instance', content_activation='tanh')
    (_, _, content), = bounded.generate('G', x)
    torch.testing.assert_close(content, out[:, 1:].tanh())


def test_translate_gives_mask_and_content() -> None:
    method, x = make().eval(), batch(n=3).image_a
    nn.init.constant_(method.nets['G'].main[-1].bias, 3.0)       # content and picture beyond [-1,1]
    with torch.no_grad():
        there, back = (method.translate(DomainRequest(x, to)) for to in ('B', 'A'))
        (image, mask, content), = method.generate('G', x)
    assert image.max() > 1 and torch.equal(there.image, image.clamp(-1, 1)) and torch.equal(there.extras['content'], content.clamp(-1, 1))
    assert there.mask is not None and torch.equal(there.mask, mask) and not torch.equal(there.image, back.image)
    with pytest.raises(ValueError, match="unknown domain 'C'"):
        method.translate(DomainRequest(x, 'C'))


def test_total_variation_by_hand() -> None:
    mask = torch.tensor([[0.0, 1.0, 1.0], [0.5, 0.5, 0.0]])[None, None]
    # to the right: 1 + 0 + 0 + .5; downwards: .5 + .5 + 1
    assert total_variation(mask) == pytest.approx(3.5)
    assert total_variation(torch.cat([mask, torch.zeros_like(mask)])) == pytest.approx(1.75), 'a sum over pixels, a mean over pictures'


def test_total_variation_counts_the_mask_once_or_for_every_colour() -> None:
    one, three = (step_of(make(tv_channels=c), 'G', batch(), {}).logs['tv'] for c in (1, 3))
    torch.testing.assert_close(three, 3 * one)


@pytest.mark.parametrize(('iterations', 'last'), [(200, 9), (140, 6), (60, 2), (6000, 299), (200_000, 9999), (30, 1), (20, 0)])
def test_the_curriculum_keeps_its_fraction(iterations: int, last: int) -> None:
    """10 epochs of 200: epoch index < 10."""
    method = make()
    assert [method.rate(Moment(iteration=i, iterations=iterations)) for i in (0, last, last + 1, iterations - 1)] == [0.01, 0.01, 0.5, 0.5]


def test_the_curriculum_weights_the_losses() -> None:
    c = Config(**SMALL, lambda_tv=1e-3)
    for iteration, r in ((0, 0.01), (AFTER_WARM_UP, 0.5)):
        step = step_of(make(lambda_tv=1e-3), 'G', batch(iteration=iteration), {})
        s = step.logs
        expected = (1 - r) * (0.5 * s['gan'] + 0.5 * s['agan'] + 1e-3 * s['tv']) + r * (10 * s['cyc'] + s['pix'])
        torch.testing.assert_close(step.loss.detach(), expected)
    assert (c.lambda_gan, c.lambda_agan, c.lambda_cyc, c.lambda_pix, c.warm_up, Config().lambda_tv) == (0.5, 0.5, 10, 1, 0.05, 1e-6)
    changed = step_of(make(warm_up=0.6, rate_warm_up=0.25), 'G', batch(), {})
    unchanged = step_of(make(warm_up=0.1, rate=0.25), 'G', batch(), {})
    torch.testing.assert_close(changed.loss, unchanged.loss)


def test_the_discriminators_pay_half_of_half() -> None:
    """0.25 on each of their terms: lambda_gan 0.5, and the halves of (8) to (11)."""
    method, b = make(norm='instance'), batch()
    g, d = both(method, b)
    n, fake, mask = method.nets, g.images['edit'], g.images['mask']
    plain = ((n['D_B'](b.image_b) - 1) ** 2).mean() + (n['D_B'](fake) ** 2).mean()
    paired = ((n['P_B'](torch.cat([mask, b.image_b], 1)) - 1) ** 2).mean() + (n['P_B'](torch.cat([mask, fake], 1)) ** 2).mean()
    torch.testing.assert_close(d.logs['B'], plain.detach() / 2)
    torch.testing.assert_close(d.logs['PB'], paired.detach() / 2)
    torch.testing.assert_close(d.loss.detach(), 0.5 * (d.logs['B'] + d.logs['A'] + d.logs['PB'] + d.logs['PA']))


def test_each_pair_has_its_own_weight() -> None:
    g, d = both(make(lambda_gan=0.0, lambda_agan=2.0, rate=0.0), batch())
    torch.testing.assert_close(g.loss.detach(), 2 * g.logs['agan'] + 1e-6 * g.logs['tv'])
    torch.testing.assert_close(d.loss.detach(), 2 * (d.logs['PB'] + d.logs['PA']))


# gradients

def test_each_step_reaches_its_own_networks_only() -> None:
    method, b = make(), batch()
    g = step_of(method, 'G', b, {})
    assert {name for name, net in method.nets.items() if any(p.grad is not None for p in net.parameters())} == {'G', 'F'}
    before = {k: v.clone() for name in ('G', 'F') for k, v in method.nets[name].state_dict(prefix=name).items()}
    step_of(method, 'D', b, g.keep)
    assert {name for name, net in method.nets.items() if any(p.grad is not None for p in net.parameters())} == {'D_A', 'D_B', 'P_A', 'P_B'}
    assert not any(v.requires_grad for v in (*g.keep.values(), *g.images.values()))
    after = {k: v for name in ('G', 'F') for k, v in method.nets[name].state_dict(prefix=name).items()}
    assert all(torch.equal(v, after[k]) for k, v in before.items()), 'running averages too'


@pytest.mark.parametrize('picture', ['detached', 'attached'])
def test_masks_learn_from_the_attention_guided_discriminators(picture: str) -> None:
    """Along both ways: the mask that is shown, and the picture composed with it."""
    method = make(lambda_gan=0.0, lambda_tv=0.0, lambda_cyc=0.0, lambda_pix=0.0)
    made = method.generate
    if picture == 'detached':                                    # the shown mask is the only way left
        method.generate = lambda net, *pictures: [(image.detach(), mask, content) for image, mask, content in made(net, *pictures)]
    step_of(method, 'G', batch(), {})
    reached = method.nets['G'].main[-1].weight.grad.flatten(1).abs().sum(1) > 0          # [mask, red, green, blue]
    assert reached.tolist() == [True, *[picture == 'attached'] * 3]


# the pool

def test_one_draw_serves_mask_and_picture() -> None:
    method, made, older = make(pool=2, norm='instance'), torch.zeros(0, 4, 24, 24), 0
    plain, paired = inputs_of(method, 'D_B'), inputs_of(method, 'P_B')
    for i in range(12):
        b = batch(n=3, iteration=i)
        with torch.no_grad():
            now = method.generator_step(b, {}).keep
            made = torch.cat([made, now['made_b']])
            method.discriminator_step(b, now)
        fakes, pairs = plain[-1][3:], paired[-1][3:]
        assert torch.equal(pairs[:, 1:], fakes), 'both discriminators see the same draw'
        known = (pairs[:, None] == made).flatten(2).all(2)       # [3, every pair there was]
        assert known.any(1).all(), 'a mask comes with the picture it was made with'
        older += int((~known[:, -3:].any(1)).sum())
        assert torch.equal(paired[-1][:3, :1], now['made_b'][:, :1]) and torch.equal(paired[-1][:3, 1:], b.image_b), 'not from the pool'
    assert older > 3


def test_real_masks() -> None:
    b = batch()
    for real_mask, of_b, of_a in (('generated', 'made_b', 'made_a'), ('own', 'made_a', 'made_b')):
        method = make(real_mask=real_mask, norm='instance')
        seen = {name: inputs_of(method, name) for name in ('P_B', 'P_A')}
        kept = method.generator_step(b, {}).keep
        method.discriminator_step(b, kept)
        assert torch.equal(seen['P_B'][-1][:2], torch.cat([kept[of_b][:, :1], b.image_b], 1))
        assert torch.equal(seen['P_A'][-1][:2], torch.cat([kept[of_a][:, :1], b.image_a], 1))


# calls

@pytest.mark.parametrize(('norm', 'calls'), [('batch', {'G': 2, 'F': 2, 'D_B': 3, 'P_B': 3}),
                                             ('instance', {'G': 2, 'F': 1, 'D_B': 2, 'P_B': 2})])
def test_calls(norm: str, calls: dict[str, int]) -> None:
    """Inputs that exist together share a call, unless batch norm would mix their statistics."""
    method = make(norm=norm)
    seen = {name: inputs_of(method, name) for name in calls}
    both(method, batch())
    assert {name: len(s) for name, s in seen.items()} == calls
    assert sum(len(u) for u in seen['F']) == 4 and sum(len(u) for u in seen['D_B']) == 6


def test_sharing_a_call_changes_nothing() -> None:
    method, b = make(norm='instance'), batch()
    together = method.generate('F', b.image_a, b.image_b)
    for (image, mask, _), picture in zip(together, (b.image_a, b.image_b), strict=True):
        (alone, alone_mask, _), = method.generate('F', picture)
        torch.testing.assert_close((image, mask), (alone, alone_mask))


def test_two_shares_average_to_the_whole_batch_with_instance_norm() -> None:
    method, whole = make(norm='instance', lambda_tv=1e-3), batch(n=4)

    def gradient(rows: slice) -> Tensor:
        part = {f.name: getattr(whole, f.name)[rows] for f in dataclasses.fields(whole) if f.name != 'moment'}
        step_of(method, 'G', dataclasses.replace(whole, **part), {})
        return torch.cat([p.grad.flatten() for name in ('G', 'F') for p in method.nets[name].parameters()])

    torch.testing.assert_close(gradient(slice(0, 4)), (gradient(slice(0, 2)) + gradient(slice(2, 4))) / 2, rtol=1e-3, atol=1e-5)


# rows

def test_ablation_rows_change_their_terms_only() -> None:
    full = RECIPES['aggan.toyfaces']()
    none: dict[str, Any] = {'use_attention_discriminator': False}
    changes: dict[str, dict[str, Any]] = {
        '': {}, '_no_ad': none, '_no_ad_ag': {**none, 'attention': False, 'lambda_tv': 0}, '_no_ad_pl': {**none, 'lambda_pix': 0},
        '_no_ad_al': {**none, 'lambda_tv': 0}, '_no_ad_pl_al': {**none, 'lambda_pix': 0, 'lambda_tv': 0}}
    assert tuple(changes) == ROWS and {f'aggan.toyfaces{row}' for row in ROWS} == {r for r in RECIPES if r.startswith('aggan.toy')}
    for row, changed in changes.items():
        run = RECIPES[f'aggan.toyfaces{row}']()
        assert run.method.model_dump() == {**full.method.model_dump(), **changed}, row
        assert (run.data, run.train, run.seed) == (full.data, full.train, full.seed)
    pair = RECIPES['cyclegan.toyfaces']()
    assert (pair.data, pair.train, pair.seed) == (full.data, full.train, full.seed), 'one budget'


@pytest.mark.parametrize('row', ROWS)
def test_ablation_rows_drop_their_terms_and_networks(row: str) -> None:
    config = RECIPES[f'aggan.toyfaces{row}']().method
    method = make(**{**config.model_dump(), **SMALL})
    g, d = both(method, batch())
    masked, paired = row != '_no_ad_ag', row == ''
    assert set(method.nets) == {'G', 'F', 'D_A', 'D_B'} | ({'P_A', 'P_B'} if paired else set())
    assert ('agan' in g.logs, 'PB' in d.logs, 'PA' in d.logs) == (paired,) * 3
    assert ('tv' in g.logs, 'mask_area' in g.logs, 'mask' in g.images, 'mask_b' in g.images) == (masked,) * 4
    assert method.nets['G'].main[-1].out_channels == (4 if masked else 3)
    s = g.logs
    expected = 0.5 * (0.5 * s['gan'] + 10 * s['cyc'])
    expected = expected + (0.25 * s['agan'] if paired else 0) + (0 if '_pl' in row else 0.5 * s['pix'])
    expected = expected + (0 if '_al' in row or not masked else 0.5e-6 * (256 / 32) ** 2 * s['tv'])
    torch.testing.assert_close(g.loss.detach(), expected)
    translation = method.eval().translate(DomainRequest(batch().image_a, 'B'))
    assert (translation.mask is not None) == masked
    if not masked:
        assert torch.equal(translation.image, translation.extras['content']), "the whole picture is the generator's"


def test_published_rows_differ_where_the_code_does() -> None:
    paper, code = RECIPES['aggan.paper'](), RECIPES['aggan.code']()
    assert paper.method == Config() and (paper.data, paper.train) == (code.data, code.train)
    assert code.method == Config(use_attention_discriminator=False, upsample='pixelshuffle', tv_channels=3)
    m = paper.method
    assert (m.lr, m.beta1, m.beta2, m.pool, m.norm, m.blocks, m.content_activation) == (1e-4, 0.5, 0.999, 50, 'batch', 6, 'none')
    assert (m.use_attention_discriminator, m.attention, m.upsample, m.tv_channels, m.real_mask) == (True, True, 'deconv', 1, 'generated')
    assert (paper.train.batch_size, paper.data.size, paper.data.load_size, paper.train.ema) == (1, 256, None, None)


@pytest.mark.parametrize('changes', [{'use_attention_discriminator': True, 'lambda_tv': 0.0}, {'use_attention_discriminator': False}])
def test_without_masks_nothing_may_need_them(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as caught:
        Config(attention=False, **changes)
    assert '--method.use-attention-discriminator false and --method.lambda-tv 0' in one_line(caught.value)
