"""FAL, a reading: the steps by hand, what a step is told, one step is the plain generator, and the order of the updates."""
from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from retouch.data.batches import DataSpec, Moment, PairBatch
from retouch.engine.trainer import Trainer
from retouch.engine.update import DomainRequest
from retouch.methods.fal import FAL, Config
from retouch.networks.fal import GlobalModulation, SpatialModulation
from retouch.networks.layers import ResidualBlock
from retouch.recipes.registry import RECIPES
from tests.batches import random_batch

SPEC = DataSpec(size=16, domains=('parse', 'picture'))


def small(**fields: object) -> FAL:
    torch.manual_seed(0)
    return FAL(Config.model_validate({'width_g': 2, 'blocks': 1, 'width_d': 4, 'layers_d': 1, **fields}), SPEC)


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_parameters() -> None:
    with torch.device('meta'):
        assert count(SpatialModulation()) == 2_626_624 and count(GlobalModulation()) == 5_310_784
        nets = FAL(Config(modulation='global'), DataSpec(size=256, domains=('A', 'B'))).nets
        assert count(nets['G']) + count(nets['M']) == 16_688_963 and count(nets['D']) == 2_767_809


def test_the_cut_is_behind_the_fourth_of_nine_blocks() -> None:
    with torch.device('meta'):
        method = FAL(Config(), DataSpec(size=256, domains=('A', 'B')))
    before, behind = method.nets['G'].main[:method.cut], method.nets['G'].main[method.cut:]
    assert [sum(isinstance(m, ResidualBlock) for m in half) for half in (before, behind)] == [4, 5]
    assert count(before) == 5_099_136 and count(behind) == 11_378_179 - 5_099_136


def test_global_modulation_gives_one_number_a_channel() -> None:
    scale, offset = GlobalModulation(1)(torch.rand(1, 4, 64, 64), torch.rand(1, 3, 256, 256), torch.rand(1, 1, 256, 256))
    assert scale.shape == offset.shape == (1, 4, 1, 1)
    with pytest.raises(ValueError, match=r'^size=128: .* set --data.size 256, or --method.modulation spatial$'):
        FAL(Config(modulation='global'), DataSpec(size=128, domains=('A', 'B')))


@pytest.mark.parametrize('steps', [1, 3])
def test_at_the_start_every_step_is_the_plain_generator(steps: int) -> None:
    method, x = small(steps=steps).eval(), torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        answers, scores = method.answers(x)
        assert len(answers) == len(scores) == steps
        for answer in answers:
            torch.testing.assert_close(answer, method.nets['G'](x), rtol=0, atol=1e-6)


class Stub(nn.Module):
    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: object) -> object:
        return self.function(*args)


class Halves(nn.Module):
    """Encodes a picture as it is, and decodes it so."""

    def __init__(self) -> None:
        super().__init__()
        self.main = [nn.Identity()]

    def __getitem__(self, part: slice) -> nn.Module:
        return nn.Identity()


def by_hand(**fields: object) -> tuple[FAL, PairBatch, list[tuple[float, float, float]]]:
    """h and y alike: the scale is 2, the offset y + r; D scores the mean of x less that of y. x 0.1, truth 0.5."""
    method, told = small(**fields), []
    method.nets['G'] = nn.Module()
    method.nets['G'].main = Halves()                              # type: ignore[assignment]

    def modulation(h: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        told.append(tuple(float(v.detach().mean()) for v in (h, y, r)))
        return torch.full_like(h, 2.0), y + r

    method.nets['M'] = Stub(modulation)
    method.nets['D'] = Stub(lambda pair: (pair[:, :3] - pair[:, 3:]).mean((1, 2, 3)).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2))
    x, y = torch.full((2, 3, 16, 16), 0.1), torch.full((2, 3, 16, 16), 0.5)
    return method, PairBatch(x, y, torch.arange(2), torch.zeros(2, 4), Moment(count=2, total=2)), told       # type: ignore[return-value]


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize('loss_steps', ['all', 'last'])
def test_steps_and_losses_by_hand(loss_steps: str) -> None:
    method, batch, told = by_hand(steps=3, lambda_l1=7.0, loss_steps=loss_steps)
    step = method.generator_step(batch, {})
    # h: 0.1; 2h = 0.2; 2h + y + r = 0.4 + 0.2 + (0.1 - 0.2) = 0.5; 1.0 + 0.5 + (0.1 - 0.5) = 1.1
    assert [tuple(round(v, 5) for v in step_told) for step_told in told] == [(0.1, 0, 0), (0.2, 0.2, -0.1), (0.5, 0.5, -0.4)]
    answers, distances = (0.2, 0.5, 1.1), (0.3, 0.0, 0.6)
    gans = [softplus(-(0.1 - a)) for a in answers]
    judged = slice(None) if loss_steps == 'all' else slice(-1, None)
    gan, l1 = (sum(values[judged]) / len(values[judged]) for values in (gans, distances))
    assert [step.logs[f'l1_{t}'].item() for t in (1, 2, 3)] == [pytest.approx(d, abs=1e-6) for d in distances]
    assert step.logs['gan'].item() == pytest.approx(gan, rel=1e-5) and step.loss.item() == pytest.approx(gan + 7 * l1, rel=1e-5)
    step = method.discriminator_step(batch, step.keep)            # of the last answer: 0.1 - 1.1; of the truth: 0.1 - 0.5
    assert step.logs['real'].item() == pytest.approx(softplus(0.4), rel=1e-5)
    assert step.logs['fake'].item() == pytest.approx(softplus(-1.0), rel=1e-5)
    assert step.loss.item() == pytest.approx((softplus(0.4) + softplus(-1.0)) / 2, rel=1e-5)


def test_the_response_is_stretched_to_the_picture() -> None:
    method, seen = small(steps=2), []
    method.nets['M'].register_forward_hook(lambda module, given, output: seen.append(given[2].detach()))
    x = torch.rand(2, 3, 16, 16)
    answers, scores = method.answers(x)
    assert torch.equal(seen[0], torch.zeros(2, 1, 16, 16))
    torch.testing.assert_close(seen[1], F.interpolate(scores[0].detach(), (16, 16), mode='bilinear', align_corners=False))


@pytest.mark.parametrize('detach', [True, False])
def test_whether_a_gradient_crosses_the_response(detach: bool) -> None:
    method, x = small(steps=2, detach_response=detach), torch.rand(1, 3, 16, 16)
    seen: list[Tensor] = []
    method.nets['M'].register_forward_hook(lambda module, given, output: seen.append(given[2]))
    method.answers(x)
    assert seen[1].requires_grad != detach


def test_three_steps_learn_in_the_order_generator_discriminator() -> None:
    method = small(steps=3, detach_response=False)
    trainer = Trainer(method, Fabric(accelerator='cpu', devices=1), iterations=10)
    for i in range(2):
        assert list(trainer.train_iteration(random_batch('pairs', SPEC, iteration=i))) == ['G', 'D']
    for optimiser in trainer.optimisers.values():
        listed = [id(p) for group in optimiser.param_groups for p in group['params']]
        assert len(listed) == len(set(listed))
    assert method.nets['M'].joint[-1].weight.abs().max() > 0, 'the modulation has left its start'
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        answers, _ = method.eval().answers(x)
    assert not torch.equal(answers[0], answers[2])


def test_translate_answers_with_every_step() -> None:
    method, x = small(steps=3).eval(), torch.rand(2, 3, 16, 16)
    nn.init.normal_(method.nets['M'].joint[-1].weight, 0, 0.1)
    with torch.no_grad():
        made = method.translate(DomainRequest(x, 'picture'))
    assert list(made.extras) == ['step_1', 'step_2', 'step_3'] and made.mask is None
    assert torch.equal(made.image, made.extras['step_3']) and not torch.equal(made.image, made.extras['step_1'])
    with pytest.raises(ValueError, match='this model makes picture of parse, not parse of picture'):
        method.translate(DomainRequest(x, 'parse'))
    with pytest.raises(ValueError, match='^size=18: .* set --data.size 16$'):
        FAL(Config(), DataSpec(size=18, domains=('A', 'B')))


def test_the_two_readings() -> None:
    ours, theirs, one = (RECIPES[f'fal.{row}']() for row in ('paper', 'asgit', 'toyfaces_one_step'))

    def facts(m: Config) -> tuple[object, ...]:
        return m.modulation, m.steps, m.loss_steps, m.detach_response, m.lambda_l1, m.lr

    assert facts(ours.method) == ('spatial', 3, 'all', True, 10, 2e-4) and ours.data.size == 128
    assert facts(theirs.method) == ('global', 3, 'last', False, 100, 2e-4) and (theirs.data.size, theirs.data.load_size) == (256, 286)
    assert one.method.steps == 1 and (ours.train.batch_size, ours.train.epochs) == (1, 200)
