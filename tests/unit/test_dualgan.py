"""DualGAN: parameters of three releases, the three objectives by hand, who steps when, clipped weights, and the deepest level."""
from __future__ import annotations

import math

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from retouch.data.batches import DataSpec, DomainBatch, Moment
from retouch.engine.trainer import Trainer
from retouch.engine.update import DomainRequest
from retouch.methods.dualgan import Config, DualGAN
from retouch.networks.dualgan import Critic
from retouch.networks.unet import AffineInstanceNorm, UNet
from retouch.recipes.registry import RECIPES
from tests.batches import random_batch

SPEC = DataSpec(size=16, domains=('A', 'B'))


def small(**fields: object) -> DualGAN:
    torch.manual_seed(0)
    return DualGAN(Config.model_validate({'width_g': 2, 'width_d': 4, **fields}), SPEC)


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(('recipe', 'g', 'd', 'pair'), [
    ('ce_2017', 85_022_787, 4_321_153, 178_687_880), ('gp_2020', 30_627_907, 3_949_441, 69_154_696),
    ('paper', 85_022_787 - 2 * 512, 4_321_153, 178_687_880 - 4 * 512)])
def test_parameters_are_the_published(recipe: str, g: int, d: int, pair: int) -> None:
    with torch.device('meta'):
        nets = DualGAN(RECIPES[f'dualgan.{recipe}']().method, DataSpec(size=256, domains=('A', 'B'))).nets
    assert {name: count(net) for name, net in nets.items()} == {'G': g, 'F': g, 'D_A': d, 'D_B': d} and count(nets) == pair


def test_critics_of_patches_and_of_whole_pictures() -> None:
    with torch.device('meta'):
        assert count(Critic(256, kernel=3)) == 3_921_281
        assert count(Critic(256, head='linear')) == 4_321_153 - (512 * 25 + 1) + (512 * 32 * 32 + 1)
        assert Critic(256)(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 32, 32)
        assert Critic(256, kernel=3)(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 4, 4)
    for size in (16, 32, 64):
        assert all(Critic(size, 2, kernel, 'linear')(torch.zeros(2, 3, size, size)).shape == (2, 1, 1, 1) for kernel in (3, 5))
    with pytest.raises(ValueError, match='^size=4: .* set --data.size 16 or more$'):
        Critic(4)


def test_the_deepest_level_says_nothing_under_a_norm_and_something_without() -> None:
    x = torch.rand(2, 3, 16, 16)
    for deepest, says in ((True, False), (False, True)):
        torch.manual_seed(0)
        net = UNet(width=2, size=16, norm='affine', kernel=5, norm_deepest=deepest, dropout=False)
        maps: list[Tensor] = []
        net.downs[-1].register_forward_hook(lambda module, given, output, maps=maps: maps.append(output))
        net(x)
        assert maps[0].shape[2:] == (1, 1) and torch.equal(maps[0][0], maps[0][1]) != says
    norm = AffineInstanceNorm(3)
    nn.init.normal_(norm.bias)
    assert torch.equal(norm(torch.rand(1, 3, 1, 1))[0, :, 0, 0], norm.bias)


def test_the_norm_by_hand() -> None:
    norm = AffineInstanceNorm(1)
    norm.weight.data.fill_(2.0)
    norm.bias.data.fill_(1.0)
    x = torch.tensor([0.0, 0.0, 4.0, 4.0]).reshape(1, 1, 2, 2)       # mean 2, variance 4
    torch.testing.assert_close(norm(x).flatten(), torch.tensor([-1.0, -1.0, 3.0, 3.0]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('size', [256, 128])
def test_dropout_is_in_the_first_three_levels(size: int) -> None:
    net = UNet(width=1, size=size, norm='affine', kernel=3, kernel_ends=5, dropout=(0, 1, 2))
    assert net.dropped == {0: (8, 2, 2), 1: (8, 4, 4), 2: (8, 8, 8)}
    seen: dict[str, tuple[int, ...]] = {}
    net(torch.zeros(1, 3, size, size), lambda name, *shape, device: (seen.update({name: shape}), torch.zeros(1, *shape))[1])
    assert seen == {'dropout_0': (8, 2, 2), 'dropout_1': (8, 4, 4), 'dropout_2': (8, 8, 8)}


def test_kernels_of_the_three_releases() -> None:
    def sides(net: nn.Module) -> list[int]:
        return [m.kernel_size[0] for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]

    assert sides(small().nets['G']) == [5] * 8 and sides(small(kernel=3).nets['G']) == [5, 3, 3, 3, 3, 3, 3, 5]
    with torch.device('meta'):
        assert sides(Critic(256)) == [5] * 5 and sides(Critic(256, kernel=3)) == [5, 3, 3, 3, 3, 3]


class Stub(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: object) -> Tensor:
        return self.function(*args)                               # type: ignore[operator]


def by_hand(**fields: object) -> tuple[DualGAN, DomainBatch]:
    """x 0.2, y 0.6; G adds 0.1, F takes off 0.3; D_B scores the mean, D_A twice the mean."""
    method = small(**fields)
    method.nets['G'], method.nets['F'] = Stub(lambda x, draws: x + 0.1), Stub(lambda y, draws: y - 0.3)
    method.nets['D_B'] = Stub(lambda image: image.mean((1, 2, 3)).reshape(-1, 1, 1, 1))
    method.nets['D_A'] = Stub(lambda image: 2 * image.mean((1, 2, 3)).reshape(-1, 1, 1, 1))
    x, y = torch.full((2, 3, 16, 16), 0.2), torch.full((2, 3, 16, 16), 0.6)
    index, view = torch.arange(2), torch.zeros(2, 4)
    return method, DomainBatch(x, y, index, index, view, view, Moment(count=2, total=2))


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_wasserstein_by_hand() -> None:
    method, batch = by_hand(lambda_cyc=7.0)
    step = method.critic_step(batch, {})                          # y' and x' 0.3
    assert step.logs['B'].item() == pytest.approx(-0.6 + 0.3) and step.logs['A'].item() == pytest.approx(-0.4 + 0.6)
    assert step.loss.item() == pytest.approx(-0.1) and not step.keep, 'nothing to learn through'
    step = method.generator_step(batch, {})
    assert step.logs['gan'].item() == pytest.approx(-0.3 - 0.6) and step.logs['cyc'].item() == pytest.approx(0.2 + 0.2)
    assert step.loss.item() == pytest.approx(-0.9 + 7 * 0.4)


def test_cross_entropy_by_hand() -> None:
    method, batch = by_hand(objective='bce', lambda_cyc=7.0)
    step = method.critic_step(batch, {})
    told = softplus(-0.6) + softplus(0.3), softplus(-0.4) + softplus(0.6)
    assert (step.logs['B'].item(), step.logs['A'].item()) == (pytest.approx(told[0]), pytest.approx(told[1]))
    assert step.loss.item() == pytest.approx(sum(told)), 'not halved'
    step = method.generator_step(batch, {})
    assert step.loss.item() == pytest.approx(softplus(-0.3) + softplus(-0.6) + 7 * 0.4)


def test_gradient_penalty_by_hand() -> None:
    method, batch = by_hand(objective='wgan_gp', lambda_gp=3.0)
    step = method.critic_step(batch, {})
    slope = 1 / math.sqrt(3 * 16 * 16)                            # of a mean over all pixels
    penalty = (slope - 1) ** 2 + (2 * slope - 1) ** 2
    assert step.logs['gp'].item() == pytest.approx(penalty, rel=1e-5) and step.loss.item() == pytest.approx(-0.1 + 3 * penalty, rel=1e-5)


def stepped(method: DualGAN, iterations: int) -> list[tuple[str, ...]]:
    trainer = Trainer(method, Fabric(accelerator='cpu', devices=1), iterations=10)
    done = [tuple(trainer.train_iteration(random_batch('domains', SPEC, iteration=i))) for i in range(iterations)]
    if method.config.objective == 'wgan':
        weights = torch.cat([p.flatten() for name in ('D_A', 'D_B') for p in method.nets[name].parameters()])
        assert weights.abs().max() == pytest.approx(method.config.clip), 'clipped after the step'
        assert max(p.abs().max() for p in method.nets['G'].parameters()) > method.config.clip
    return done


def test_who_steps_when() -> None:
    assert stepped(small(), 6) == [('D',), ('D',), ('D', 'G')] * 2
    assert stepped(small(objective='bce', critic_steps=1, generator_steps=2), 2) == [('D', 'G', 'G2')] * 2
    assert stepped(small(objective='wgan_gp', critic_steps=1), 2) == [('D', 'G')] * 2


def test_the_second_generator_step_sees_what_the_first_has_changed() -> None:
    method, fakes = small(objective='bce', critic_steps=1, generator_steps=2, lr=0.01), []
    method.nets['D_B'].register_forward_hook(lambda module, given, output: fakes.append(given[0].detach()))
    stepped(method, 1)
    assert len(fakes) == 3 and torch.equal(fakes[0][2:], fakes[1]) and not torch.allclose(fakes[1], fakes[2])


def test_every_leg_drops_other_values() -> None:
    method, asked, real = small(), [], Moment.uniform

    def noted(moment: Moment, name: str, *shape: int, device: torch.device) -> Tensor:
        asked.append(name)
        return real(moment, name, *shape, device=device)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Moment, 'uniform', noted)
        method.generator_step(random_batch('domains', SPEC), {})
    assert sorted(asked) == sorted(f'{leg}_dropout_{j}' for leg in ('x', 'y', 'x_back', 'y_back') for j in range(3))


def test_translate_goes_both_ways_and_is_deterministic() -> None:
    method, x = small().eval(), torch.rand(3, 3, 16, 16)
    with torch.no_grad():
        for to, net in (('B', 'G'), ('A', 'F')):
            made = method.translate(DomainRequest(x, to)).image
            assert torch.equal(made, method.translate(DomainRequest(x, to)).image)
            assert torch.equal(made[1:2], method.nets[net](x[1:2], Moment().uniform))
            assert not torch.equal(made[1:2], method.nets[net](x[1:2]))
        plain = small(test_dropout=False).eval()
        assert torch.equal(plain.translate(DomainRequest(x, 'B')).image, plain.nets['G'](x)) and plain.fixed_noise() == {}
    with pytest.raises(ValueError, match="unknown domain 'C'"):
        method.translate(DomainRequest(x, 'C'))
    with pytest.raises(ValueError, match='^size=100: .* set --data.size 96$'):
        DualGAN(Config(), DataSpec(size=100, domains=('A', 'B')))


def test_hyper_parameters_of_the_three_releases() -> None:
    clip, ce, gp, table = (RECIPES[f'dualgan.{row}']() for row in ('paper', 'ce_2017', 'gp_2020', 'aggan_table'))
    for run in (clip, ce, gp, table):
        m = run.method
        assert (m.lr, m.decay, m.schedule, run.train.batch_size, run.data.size, run.data.load_size, run.data.flip) == (
            5e-5, 0.9, 'constant', 1, 256, None, False)

    def facts(m: Config) -> tuple[object, ...]:
        return m.objective, m.critic_steps, m.generator_steps, m.lambda_cyc, m.kernel, m.head, m.dropout, m.norm_bottleneck

    assert facts(clip.method) == ('wgan', 3, 1, 200, 5, 'conv', True, False) and clip.method.clip == 0.01
    assert facts(ce.method) == facts(table.method) == ('bce', 1, 2, 20, 5, 'conv', True, True)
    assert facts(gp.method) == ('wgan_gp', 1, 1, 500, 3, 'linear', False, True) and gp.method.lambda_gp == 10
    assert (clip.train.epochs, ce.train.epochs, gp.train.epochs, table.train.epochs) == (50, 45, 100, 200)
