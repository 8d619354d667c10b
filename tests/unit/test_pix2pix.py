"""pix2pix: the U-Net's levels, skips and dropout, what the discriminator sees, and the losses by hand."""
from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from retouch.data.batches import DataSpec, Moment, PairBatch
from retouch.engine.update import DomainRequest
from retouch.methods.pix2pix import Config, Pix2Pix
from retouch.networks import unet
from retouch.networks.cyclegan import PatchDiscriminator
from retouch.networks.unet import UNet, levels_of
from retouch.recipes.registry import RECIPES, TABLES
from tests.batches import random_batch

SPEC = DataSpec(size=64, domains=('parse', 'picture'))


def small(**fields: object) -> Pix2Pix:
    torch.manual_seed(0)
    return Pix2Pix(Config.model_validate({'width_g': 2, 'width_d': 4, 'layers_d': 1, **fields}), SPEC)


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(('size', 'norm', 'skips', 'parameters'), [
    (256, 'instance', True, 54_409_603), (256, 'batch', True, 54_413_955), (256, 'batch', False, 39_075_459),
    (128, 'instance', True, 41_825_667), (128, 'batch', True, 41_828_995), (128, 'batch', False, 30_684_803)])
def test_generator_parameters_are_the_published(size: int, norm: str, skips: bool, parameters: int) -> None:
    with torch.device('meta'):
        assert count(UNet(size=size, norm=norm, skips=skips)) == parameters


@pytest.mark.parametrize(('seen', 'norm', 'parameters'), [
    (3, 'instance', 2_764_737), (3, 'batch', 2_765_633), (6, 'instance', 2_767_809), (6, 'batch', 2_768_705)])
def test_discriminator_parameters_are_the_published(seen: int, norm: str, parameters: int) -> None:
    with torch.device('meta'):
        assert count(PatchDiscriminator(seen, norm=norm)) == parameters


def test_both_networks_together() -> None:
    with torch.device('meta'):
        assert count(Pix2Pix(Config(), DataSpec(size=256, domains=('A', 'B'))).nets) == 57_182_660
        assert count(Pix2Pix(Config(skips=False), DataSpec(size=256, domains=('A', 'B'))).nets) == 41_844_164


def test_depth_follows_the_size() -> None:
    assert {size: levels_of(size) for size in (16, 32, 48, 64, 96, 128, 256, 512)} == {
        16: 4, 32: 5, 48: 4, 64: 6, 96: 5, 128: 7, 256: 8, 512: 8}
    for size, fits in ((8, 16), (100, 96), (129, 128)):
        with pytest.raises(ValueError, match=f'^size={size}: .* set --data.size {fits}$'):
            UNet(size=size)
    net = UNet(width=2, size=48)
    assert net(torch.zeros(2, 3, 48, 48)).shape == (2, 3, 48, 48)
    assert net(torch.zeros(2, 3, 96, 32)).shape == (2, 3, 96, 32)


@pytest.mark.parametrize('norm', ['batch', 'instance'])
def test_a_change_confined_to_one_skip(norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With skips every level's map matters beside what is made of it; without, only the deepest does."""
    x, real = torch.rand(2, 3, 64, 64), unet.maps_of
    changed = 0
    for skips in (True, False):
        net = UNet(width=2, size=64, norm=norm, skips=skips)
        before = net(x)
        for level in range(6):
            def altered(layers: nn.ModuleList, x: Tensor, level: int = level) -> list[Tensor]:
                maps = real(layers, x)
                return [m + torch.linspace(0, 1, m[0].numel()).reshape(m[0].shape) if i == level else m for i, m in enumerate(maps)]
            monkeypatch.setattr(unet, 'maps_of', altered)
            assert torch.equal(net(x), before) == (not skips and level < 5)
            changed += 1
            monkeypatch.setattr(unet, 'maps_of', real)
    assert changed == 12


def asked(net: UNet, size: int) -> dict[str, tuple[int, ...]]:
    """Which draws a network asks for, and of what shape."""
    shapes: dict[str, tuple[int, ...]] = {}

    def draws(name: str, *shape: int, device: torch.device) -> Tensor:
        shapes[name] = shape
        return torch.zeros(1, *shape)

    net(torch.zeros(1, 3, size, size), draws)
    return shapes


def test_dropout_is_in_the_widest_levels_but_the_deepest() -> None:
    assert asked(UNet(width=1, size=256), 256) == {'dropout_1': (8, 4, 4), 'dropout_2': (8, 8, 8), 'dropout_3': (8, 16, 16)}
    assert asked(UNet(width=1, size=128), 128) == {'dropout_1': (8, 4, 4), 'dropout_2': (8, 8, 8)}
    assert asked(UNet(width=1, size=64), 64) == {'dropout_1': (8, 4, 4)}
    assert not asked(UNet(width=1, size=32), 32) and not asked(UNet(width=1, size=64, dropout=False), 64)


def test_dropout_drops_what_is_drawn_above_a_half_and_doubles_the_rest() -> None:
    net, x = UNet(width=2, size=64), torch.rand(1, 3, 64, 64)
    seen: list[Tensor] = []
    net.ups[1].register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    net.ups[2].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].detach()))
    drawn = torch.linspace(0, 1, 16 * 4 * 4).reshape(1, 16, 4, 4)
    net(x, lambda name, *shape, device: drawn)
    level, handed_on = seen
    torch.testing.assert_close(handed_on[:, 16:], torch.where(drawn < 0.5, 2 * level, torch.zeros(())), rtol=0, atol=0)


def test_both_steps_see_the_same_fake() -> None:
    method, batch, fakes = small(), random_batch('pairs', SPEC), []
    method.nets['G'].register_forward_hook(lambda module, inputs, output: fakes.append(output.detach()))
    method.discriminator_step(batch, {})
    method.generator_step(batch, {})
    assert len(fakes) == 2 and torch.equal(*fakes)
    method.generator_step(random_batch('pairs', SPEC, iteration=0), {})
    assert torch.equal(fakes[2], fakes[0])
    later = PairBatch(batch.image_a, batch.image_b, batch.index, batch.view, Moment(iteration=1, iterations=10, count=2, total=2))
    method.generator_step(later, {})
    assert not torch.equal(fakes[3], fakes[0]), 'another iteration, another draw'


@pytest.mark.parametrize('conditional', [True, False])
def test_what_the_discriminator_sees(conditional: bool) -> None:
    method, batch, seen = small(conditional=conditional), random_batch('pairs', SPEC), []
    method.nets['D'].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].detach()))
    method.discriminator_step(batch, {})
    method.generator_step(batch, {})
    real, fake, again = seen
    assert torch.equal(fake, again)
    x, y = batch.image_a, batch.image_b
    assert torch.equal(real, torch.cat([x, y], 1) if conditional else y)
    assert fake.shape[1] == (6 if conditional else 3) and not torch.equal(fake[:, -3:], y)
    assert torch.equal(fake[:, :3], x) == conditional


class Stub(nn.Module):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: object) -> Tensor:
        return self.function(*args)


def test_losses_by_hand() -> None:
    method = small(lambda_l1=7.0)
    method.nets['G'] = Stub(lambda x, draws: x - 0.5)                                       # 0.2 -> -0.3
    method.nets['D'] = Stub(lambda pair: 2 * pair[:, 3:].mean((1, 2, 3)) - pair[:, :3].mean((1, 2, 3)))
    x, y = torch.full((2, 3, 8, 8), 0.2), torch.full((2, 3, 8, 8), 0.6)
    batch = PairBatch(x, y, torch.arange(2), torch.zeros(2, 4), Moment(count=2, total=2))
    step = method.discriminator_step(batch, {})                                             # logits: 1.0 of the pair, -0.8 of the fake
    assert step.logs['real'].item() == pytest.approx(softplus(-1.0)) and step.logs['fake'].item() == pytest.approx(softplus(-0.8))
    assert step.loss.item() == pytest.approx((softplus(-1.0) + softplus(-0.8)) / 2)
    step = method.generator_step(batch, {})
    assert step.logs['gan'].item() == pytest.approx(softplus(0.8)) and step.logs['l1'].item() == pytest.approx(0.9)
    assert step.loss.item() == pytest.approx(softplus(0.8) + 7 * 0.9)
    assert set(step.images) == {'input', 'edit', 'truth'} and torch.equal(step.images['truth'], y)


def test_least_squares_by_hand() -> None:
    method = small(gan_mode='lsgan')
    method.nets['G'] = Stub(lambda x, draws: x - 0.5)
    method.nets['D'] = Stub(lambda pair: 2 * pair[:, 3:].mean((1, 2, 3)) - pair[:, :3].mean((1, 2, 3)))
    x, y = torch.full((2, 3, 8, 8), 0.2), torch.full((2, 3, 8, 8), 0.65)
    batch = PairBatch(x, y, torch.arange(2), torch.zeros(2, 4), Moment(count=2, total=2))
    logs = method.discriminator_step(batch, {}).logs                                        # scores: 1.1 of the pair, -0.8 of the fake
    assert logs['real'].item() == pytest.approx(0.1 ** 2, rel=1e-4) and logs['fake'].item() == pytest.approx(0.8 ** 2)
    assert method.generator_step(batch, {}).logs['gan'].item() == pytest.approx(1.8 ** 2)


def test_translate_goes_one_way_and_is_deterministic() -> None:
    method, x = small().eval(), torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        made = method.translate(DomainRequest(x, 'picture'))
        assert made.mask is None and torch.equal(made.image, method.translate(DomainRequest(x, 'picture')).image)
        net = method.nets['G']
        assert torch.equal(made.image[1:2], net(x[1:2], Moment().uniform)) and not torch.equal(made.image[1:2], net(x[1:2]))
        plain = small(test_dropout=False).eval()
        assert torch.equal(plain.translate(DomainRequest(x, 'picture')).image[1:2], plain.nets['G'](x[1:2]))
    with pytest.raises(ValueError, match='this model makes picture of parse, not parse of picture'):
        method.translate(DomainRequest(x, 'parse'))
    with pytest.raises(ValueError, match="unknown domain 'pictures': did you mean 'picture'"):
        method.translate(DomainRequest(x, 'pictures'))


def test_training_and_eval_mode_normalise_alike() -> None:
    net, x = small().nets['G'], torch.rand(2, 3, 64, 64)
    assert not any(True for _ in net.buffers())
    alone = torch.cat([net.train()(x[:1]), net(x[1:])])
    torch.testing.assert_close(net.eval()(x), alone, rtol=0, atol=1e-6)            # statistics of a batch of 1, whatever the batch


def test_initialisation_of_batch_norm() -> None:
    norms = [m for m in small(width_g=64).nets['G'].modules() if isinstance(m, nn.BatchNorm2d)]
    scales = torch.cat([m.weight for m in norms])
    assert len(norms) == 4 + 5 and 0.015 < scales.std() < 0.025 and abs(scales.mean() - 1) < 0.005
    assert not any(m.bias.any() for m in norms)


def test_rows_change_what_they_say() -> None:
    ablation = {'cgan': {'lambda_l1': 0.0}, 'gan': {'lambda_l1': 0.0, 'conditional': False}, 'encoder_decoder': {'skips': False}}
    seen = {'paper', 'asgit', 'toyfaces', 'toyfaces_back', 'folder64'}
    for base, prefix in (('paper', ''), ('asgit', 'asgit_'), ('toyfaces', 'toyfaces_'), ('toyfaces_back', 'toyfaces_back_')):
        alone = RECIPES[f'pix2pix.{base}']()
        for row, changes in ablation.items():
            if (base, row) == ('asgit', 'encoder_decoder'):
                continue
            run = RECIPES[f'pix2pix.{prefix}{row}']()
            assert (run.data, run.train) == (alone.data, alone.train)
            assert run.method == alone.method.model_copy(update=changes) != alone.method
            seen.add(f'{prefix}{row}')
    assert seen == set(TABLES['pix2pix']) and len(seen) == 16
    there, back = RECIPES['pix2pix.toyfaces'](), RECIPES['pix2pix.toyfaces_back']()
    assert (there.data.direction, back.data.direction) == ('a_to_b', 'b_to_a') and there.method == back.method


def test_paper_hyper_parameters() -> None:
    run = RECIPES['pix2pix.paper']()
    m = run.method
    assert (m.lr, m.beta1, m.beta2, m.lambda_l1, m.norm, m.dropout, m.conditional) == (2e-4, 0.5, 0.999, 100, 'batch', True, True)
    assert (run.train.batch_size, run.train.iterations, run.train.ema) == (1, 200 * 400, None)
    assert (run.data.load_size, run.data.size, run.data.flip) == (286, 256, True)


def test_a_share_of_the_batch_drops_what_the_whole_batch_drops() -> None:
    net, x = UNet(width=2, size=64, norm='instance'), torch.rand(4, 3, 64, 64)
    whole = net(x, Moment(count=4, total=4).uniform)
    shares = [net(x[i:i + 2], Moment(start=i, count=2, total=4).uniform) for i in (0, 2)]
    torch.testing.assert_close(torch.cat(shares), whole, rtol=0, atol=1e-5)
    assert not torch.allclose(net(x[2:], Moment(count=2, total=2).uniform), whole[2:], atol=1e-3), 'every sample has its own draw'
