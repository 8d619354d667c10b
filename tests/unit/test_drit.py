"""DRIT: published counts, losses by hand, who learns from what and when, and the attributes of an exemplar or of a fixed draw."""
from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from retouch.data.batches import DataSpec, DomainBatch, Moment
from retouch.engine.trainer import Trainer
from retouch.engine.update import DomainRequest, Step
from retouch.losses import kl_sum_over_dimensions
from retouch.methods.drit import DRIT, Config
from retouch.networks.drit import AttributeEncoder, ContentDiscriminator, ContentEncoder, Generator, strided_at
from retouch.recipes.registry import RECIPES
from tests.batches import random_batch

SPEC = DataSpec(size=16, domains=('A', 'B'))
SMALL: dict[str, Any] = {'width_g': 4, 'blocks': 1, 'width_a': 4, 'style_dim': 3, 'width_d': 4}
NETS = ('E_c', 'E_a', 'G', 'D_c', 'D_A', 'D_B', 'D_A2', 'D_B2')


def make(**changes: Any) -> DRIT:
    torch.manual_seed(0)
    method = DRIT(Config(**{**SMALL, **changes}), SPEC)
    with torch.no_grad():                                        # weights of 0.02 make scores and logits of 0
        for p in method.nets.parameters():
            p.mul_(5)
    return method


def batch(n: int = 4, iteration: int = 0) -> DomainBatch:
    return random_batch('domains', SPEC, n=n, iteration=iteration)


def step_of(method: DRIT, update: str, b: DomainBatch) -> Step:
    """One step with its gradients, every network willing to learn: what the step detaches is seen."""
    method.zero_grad(set_to_none=True)
    step = next(u for u in method.updates() if u.name == update).step(b, {})
    step.loss.backward()
    return step


def gradients(net: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


def reached(method: DRIT) -> set[str]:
    return {name for name, net in method.nets.items() if any(bool(g.any()) for g in gradients(net).values())}


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def inputs_of(net: nn.Module) -> list[Tensor]:
    """What a network is given from now on."""
    seen: list[Tensor] = []
    net.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].detach().clone()))
    return seen


# networks

def test_the_published_counts() -> None:
    with torch.device('meta'):
        assert [count(net) for net in (ContentEncoder(), AttributeEncoder(), Generator(), ContentDiscriminator(54))] == [
            9_018_112, 2_688_160, 9_564_710, 10_683_649]
        method = DRIT(Config(), DataSpec(size=216, domains=('A', 'B')))
        assert [count(method.nets[name]) for name in NETS[4:]] == [8_271_171] * 4


def test_the_content_discriminator_follows_the_size() -> None:
    assert {n: min(s for s in range(4, 99) if strided_at(s) == n) for n in (0, 1, 2, 3)} == {0: 4, 1: 11, 2: 25, 3: 53}
    maps = {54: 1, 64: 2, 53: 1, 32: 2, 25: 1, 16: 3, 12: 1, 11: 1, 8: 5, 4: 1}
    for side, scores in maps.items():
        assert ContentDiscriminator(side, 2)(torch.zeros(1, 2, side, side)).shape == (1, 1, scores, scores), side
    for size, mended in ((50, 48), (14, 16)):
        with pytest.raises(ValueError, match=f'--data.size {mended}'):
            DRIT(Config(**SMALL), DataSpec(size=size, domains=('A', 'B')))


@pytest.mark.parametrize('size', [32, 48, 64])
def test_it_translates_at_small_sizes(size: int) -> None:
    method, x = DRIT(Config(**SMALL), DataSpec(size=size, domains=('A', 'B'))).eval(), torch.zeros(1, 3, size, size)
    with torch.no_grad():
        assert method.translate(DomainRequest(x, 'A', x)).image.shape == x.shape


def test_what_serves_both_domains_and_what_one() -> None:
    method, b = make(), batch()
    x = b.image_a
    n = method.nets
    torch.testing.assert_close(n['E_c'](x, 'A'), n['E_c'].shared(n['E_c'].own['A'](x)))
    torch.testing.assert_close(n['E_c'](x, 'B'), n['E_c'].shared(n['E_c'].own['B'](x)))
    assert not torch.allclose(n['E_c'](x, 'A'), n['E_c'](x, 'B'))
    c, s = n['E_c'](x, 'A'), torch.randn(4, 3)
    assert not torch.allclose(n['G'](c, s, 'A'), n['G'](c, s, 'B')) and not torch.allclose(n['G'](c, s, 'A'), n['G'](c, s.flip(0), 'A'))


def test_initialisation() -> None:
    torch.manual_seed(0)
    method = DRIT(Config(width_g=8, width_a=8, width_d=8), DataSpec(size=32, domains=('A', 'B')))
    for name, net in method.nets.items():
        kernels = torch.cat([m.weight.flatten() for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)])
        assert kernels.std().item() == pytest.approx(0.02, rel=0.05), name
    assert method.nets['E_c'].own['A'][0].bias.any(), "biases stay torch's"


# losses

def h(logits: Tensor | list[Tensor], target: float) -> Tensor:
    """Mean cross-entropy with a constant, summed over scales."""
    total = torch.zeros(())
    for u in logits if isinstance(logits, list) else [logits]:
        p = u.sigmoid()
        total = total - (target * p.log() + (1 - target) * (1 - p).log()).mean()
    return total


def mean_abs(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean()


def by_hand(method: DRIT, b: DomainBatch) -> dict[str, Tensor]:
    """Everything (1) to (3) name, one call a picture set."""
    n = method.nets
    x, y = b.image_a[::2], b.image_b[::2]

    def draw(name: str, *shape: int) -> Tensor:
        return b.moment.normal(name, *shape)[::2]

    def content(image: Tensor, domain: str, name: str) -> Tensor:
        return n['E_c'](image, domain) + draw(name, 16, 4, 4)

    def style(image: Tensor, domain: str, name: str) -> Tensor:
        mean, logvar = n['E_a'](image, domain)
        return mean + draw(name, 3) * logvar.mul(0.5).exp()

    c_x, c_y = content(x, 'A', 'content A'), content(y, 'B', 'content B')
    s_x, s_y, s = style(x, 'A', 'style A'), style(y, 'B', 'style B'), draw('random style', 3)
    fake_a, fake_b = n['G'](c_y, s_x, 'A'), n['G'](c_x, s_y, 'B')
    return {'x': x, 'y': y, 'x~': b.image_a[1::2], 'y~': b.image_b[1::2], 'c_x': c_x, 'c_y': c_y, 's': s,
            'fake_a': fake_a, 'fake_b': fake_b, 'rec_a': n['G'](c_x, s_x, 'A'), 'rec_b': n['G'](c_y, s_y, 'B'),
            'random_a': n['G'](c_y, s, 'A'), 'random_b': n['G'](c_x, s, 'B'),
            'back_a': n['G'](content(fake_b, 'B', 'content B again'), style(fake_a, 'A', 'style A again'), 'A'),
            'back_b': n['G'](content(fake_a, 'A', 'content A again'), style(fake_b, 'B', 'style B again'), 'B')}


def test_kl_by_hand() -> None:
    mean, logvar = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, math.log(4)], [0.0, 0.0]])
    # of the first picture (1 + 1 - 1 - 0) / 2 and (0 + 4 - 1 - log 4) / 2, of the second 0
    assert kl_sum_over_dimensions(mean, logvar).item() == pytest.approx((0.5 + (3 - math.log(4)) / 2) / 2)
    gaussian = torch.distributions.Normal(mean, (logvar / 2).exp())
    divergence = torch.distributions.kl_divergence(gaussian, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(kl_sum_over_dimensions(mean, logvar), divergence)


def test_the_discriminators_losses_by_hand() -> None:
    method, b = make(), batch()
    step, content = step_of(method, 'D', b), step_of(method, 'D_c', b)
    n = method.nets
    with torch.no_grad():
        t = by_hand(method, b)
        encoded = h(n['D_A'](t['x']), 1) + h(n['D_A'](t['fake_a']), 0) + h(n['D_B'](t['y']), 1) + h(n['D_B'](t['fake_b']), 0)
        random = h(n['D_A2'](t['x~']), 1) + h(n['D_A2'](t['random_a']), 0) + h(n['D_B2'](t['y~']), 1) + h(n['D_B2'](t['random_b']), 0)
        contents = h(n['D_c'](t['c_y']), 1) + h(n['D_c'](t['c_x']), 0)
    torch.testing.assert_close(step.logs, {'encoded': encoded, 'random': random}, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(step.loss.detach(), step.logs['encoded'] + step.logs['random'])
    torch.testing.assert_close(content.loss.detach(), contents, rtol=1e-4, atol=1e-5)


@pytest.fixture
def double() -> Iterator[None]:
    """All in float64, in which two ways to compute a gradient agree."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_the_generators_losses_and_gradients_by_hand(double: None) -> None:
    """One call a picture set; nothing is detached, so every parameter has the gradient that autograd finds."""
    method, b = make(lambda_con=2.0, lambda_cc=3.0, lambda_rec=5.0, lambda_kl=7.0, lambda_reg=11.0, lambda_lat=13.0), batch()
    n, weights = method.nets, {'gan': 1, 'con': 2, 'cc': 3, 'rec': 5, 'kl': 7, 'reg': 11, 'lat': 13}
    for update in ('G', 'R'):
        step = step_of(method, update, b)
        found = gradients(method)
        t = by_hand(method, b)
        if update == 'G':
            expected = {'gan': h(n['D_A'](t['fake_a']), 1) + h(n['D_B'](t['fake_b']), 1),
                        'con': h(n['D_c'](t['c_x']), 0.5) + h(n['D_c'](t['c_y']), 0.5),
                        'cc': mean_abs(t['back_a'], t['x']) + mean_abs(t['back_b'], t['y']),
                        'rec': mean_abs(t['rec_a'], t['x']) + mean_abs(t['rec_b'], t['y']),
                        'kl': sum(kl_sum_over_dimensions(*n['E_a'](t[u], d)) for u, d in (('x', 'A'), ('y', 'B'))),
                        'reg': (t['c_x'] ** 2).mean() + (t['c_y'] ** 2).mean()}
        else:
            expected = {'gan': h(n['D_A2'](t['random_a']), 1) + h(n['D_B2'](t['random_b']), 1),
                        'lat': mean_abs(n['E_a'](t['random_a'], 'A')[0], t['s']) + mean_abs(n['E_a'](t['random_b'], 'B')[0], t['s'])}
        torch.testing.assert_close(step.logs, {k: v.detach() for k, v in expected.items()})
        total = sum(weights[k] * v for k, v in expected.items())
        torch.testing.assert_close(step.loss, total)
        method.zero_grad(set_to_none=True)
        total.backward()
        torch.testing.assert_close(found, gradients(method), rtol=1e-6, atol=1e-9)
    c = Config()
    assert (c.lambda_con, c.lambda_cc, c.lambda_rec, c.lambda_lat, c.lambda_kl, c.lambda_reg) == (1, 10, 10, 10, 0.01, 0.01)


def test_the_encoder_gains_nothing_from_contents_that_are_undecided() -> None:
    """With a target of 1/2 the least is log 2, where every logit is 0."""
    method, b = make(), batch()
    with torch.no_grad():
        for p in method.nets['D_c'].main[-1].parameters():
            p.zero_()
    assert step_of(method, 'G', b).logs['con'].item() == pytest.approx(2 * math.log(2))


# who learns from what, and when

def test_each_step_reaches_what_it_should() -> None:
    """Every network is willing here: the two discriminator steps pass nothing back, and the frozen ones of the others are the engine's."""
    method, b = make(), batch()
    step_of(method, 'D', b)
    assert reached(method) == set(NETS[4:])
    step_of(method, 'D_c', b)
    assert reached(method) == {'D_c'}
    step_of(method, 'G', b)
    assert reached(method) == set(NETS) - {'D_A2', 'D_B2'}
    step_of(method, 'R', b)
    assert reached(method) == {'E_c', 'E_a', 'G', 'D_A2', 'D_B2'}
    assert {u.name: u.nets for u in method.updates()} == {'D': NETS[4:], 'D_c': ('D_c',), 'G': ('E_c', 'E_a', 'G'), 'R': ('E_c', 'G')}


def test_the_latent_regression_teaches_the_generator_and_the_contents_but_not_the_attribute_encoder() -> None:
    method = make(d_iter=1)
    trainer = Trainer(method, Fabric(accelerator='cpu', devices=1), iterations=10)
    after_g: dict[str, Tensor] = {}
    step = method.random_style_step
    updates = {u.name: u for u in trainer.updates}

    def noting(b: DomainBatch, kept: dict[str, Any]) -> Step:
        after_g.update({f'{name}.{k}': v.clone() for name, net in method.nets.items() for k, v in net.state_dict().items()})
        return step(b, kept)

    object.__setattr__(updates['R'], 'step', noting)
    trainer.train_iteration(batch())
    moved = {name for name, net in method.nets.items()
             if any(not torch.equal(v, after_g[f'{name}.{k}']) for k, v in net.state_dict().items())}
    assert moved == {'E_c', 'G'} and all(p.grad is None for p in method.nets['E_a'].parameters())
    steps = {name: {int(trainer.optimisers['G'].state[p]['step']) for p in method.nets[name].parameters()} for name in ('E_c', 'E_a', 'G')}
    assert steps == {'E_c': {2}, 'E_a': {1}, 'G': {2}}, "one Adam makes both steps, as the authors' do"


def test_the_content_discriminator_learns_in_every_iteration() -> None:
    method = make()
    due = [[u.name for u in method.updates() if u.runs_at(i, 10)] for i in range(6)]
    assert due == [['D_c'], ['D_c'], ['D', 'D_c', 'G', 'R']] * 2
    clipped = {u.name: u.clip for u in method.updates()}
    assert clipped == {'D': None, 'D_c': 5.0, 'G': None, 'R': None}
    groups = {name: o.param_groups[0] for name, o in Trainer(method, Fabric(accelerator='cpu', devices=1), 9).optimisers.items()}
    assert {name: g['lr'] for name, g in groups.items()} == {'D': 1e-4, 'D_c': 1e-4 / 2.5, 'G': 1e-4, 'R': 1e-4}
    assert all((g['betas'], g['weight_decay']) == ((0.5, 0.999), 1e-4) for g in groups.values())
    assert all([u.schedule(i, 1200) for i in (0, 600, 900)] == [1, 1, 0.5] for u in method.updates())


def test_one_iteration_judges_and_teaches_the_same_pictures() -> None:
    method, b, kept = make(), batch(), {}
    seen = {name: inputs_of(method.nets[name]) for name in ('D_A', 'D_A2', 'D_c', 'E_c')}
    for u in method.updates():
        kept |= u.step(b, kept).keep
    for name, half in (('D_A', b.image_a[::2]), ('D_A2', b.image_a[1::2])):
        first, later = seen[name]
        assert torch.equal(first[:2], half)
        torch.testing.assert_close(first[2:], later, rtol=1e-4, atol=1e-5)
    first, later = seen['D_c']
    torch.testing.assert_close(first, later, rtol=1e-4, atol=1e-5)
    assert len(seen['E_c']) == 2 + 2 + 2, 'D_c and G read the contents that D has made'
    assert not kept['contents'][0].requires_grad


def test_a_batch_of_one_says_so() -> None:
    with pytest.raises(ValueError, match='--train.batch-size 2'):
        step_of(make(), 'D_c', batch(1))


# styles

def test_an_exemplar_gives_the_mean_of_its_style_and_no_noise() -> None:
    method, b = make(), batch(2)                                 # in training mode too
    n = method.nets
    with torch.no_grad():
        for to, x, exemplar, source in (('B', b.image_a, b.image_b, 'A'), ('A', b.image_b, b.image_a, 'B')):
            made = method.translate(DomainRequest(x, to, exemplar)).image
            torch.testing.assert_close(made, n['G'](n['E_c'](x, source), n['E_a'](exemplar, to)[0], to))
            assert not torch.allclose(made, method.translate(DomainRequest(x, to, exemplar.flip(0))).image, atol=1e-6)
            torch.testing.assert_close(method.translate(DomainRequest(x[1:], to, exemplar[1:])).image, made[1:])


def test_without_an_exemplar_every_picture_gets_the_same_drawn_style() -> None:
    method, x = make(), batch(2).image_a[[0, 1, 0]]
    n = method.nets
    with torch.no_grad():
        made = method.translate(DomainRequest(x, 'B')).image
        torch.testing.assert_close(made, n['G'](n['E_c'](x, 'A'), Moment().normal('style', 3).expand(3, -1), 'B'))
    torch.testing.assert_close(made[0], made[2])
    with pytest.raises(ValueError, match="unknown domain 'C'"):
        method.translate(DomainRequest(x, 'C'))


def test_recipes() -> None:
    run = RECIPES['drit.paper']()
    m = run.method
    assert (m.lr, m.lr_content, m.beta1, m.beta2, m.weight_decay, m.d_iter, m.clip) == (1e-4, 4e-5, 0.5, 0.999, 1e-4, 3, 5)
    assert (run.data.load_size, run.data.size, run.train.batch_size, run.train.ema) == (256, 216, 2, None)
    for row in ('toyfaces', 'folder64'):
        small, base = RECIPES[f'drit.{row}'](), RECIPES[f'cyclegan.{row}']()
        assert small.data == base.data and small.method.lr / small.method.lr_content == pytest.approx(2.5)
        assert small.train == base.train.model_copy(update={'iterations': 3 * base.train.iterations})
