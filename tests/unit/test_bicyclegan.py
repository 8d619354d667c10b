"""BicycleGAN: which pairs do what, the terms by hand, who learns from reading z back, and z at test time."""
from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from retouch.data.batches import DataSpec, Moment, PairBatch
from retouch.engine.update import DomainRequest
from retouch.methods.bicyclegan import BicycleGAN, Config
from retouch.networks.bicyclegan import GaussianEncoder, TwoScales, blocks_at
from retouch.networks.cyclegan import PatchDiscriminator
from retouch.networks.unet import UNet
from retouch.recipes.registry import RECIPES
from tests.batches import random_batch

SPEC = DataSpec(size=16, domains=('parse', 'picture'))


def small(**fields: object) -> BicycleGAN:
    torch.manual_seed(0)
    return BicycleGAN(Config.model_validate({'z_dim': 3, 'width_g': 2, 'width_e': 4, 'width_d': 4, 'layers_d': 1, **fields}), SPEC)


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(('size', 'layers', 'g', 'e', 'd'), [
    (256, 3, 54_794_627, 2_590_032, 3_458_978), (128, 2, 42_145_155, 1_344_080, 830_626)])
def test_parameters_are_the_published(size: int, layers: int, g: int, e: int, d: int) -> None:
    with torch.device('meta'):
        nets = BicycleGAN(Config(), DataSpec(size=size, domains=('A', 'B'))).nets
        assert {name: count(net) for name, net in nets.items()} == {'G': g, 'E': e, 'D_1': d, 'D_2': d}
        assert count(PatchDiscriminator(3, 64, layers)) + count(PatchDiscriminator(3, 32, layers)) == d
    if size == 256:
        assert count(nets) == 64_302_615


def test_table_three_of_aggan_counts_all_four_nets() -> None:
    with torch.device('meta'):
        assert round(count(BicycleGAN(Config(), DataSpec(size=256, domains=('A', 'B'))).nets) / 1e6, 1) == 64.3


def test_the_encoder_stops_at_8_px() -> None:
    assert {size: blocks_at(size) for size in (16, 32, 48, 64, 128, 256)} == {16: 0, 32: 1, 48: 1, 64: 2, 128: 3, 256: 4}
    for size in (16, 32, 48):
        mean, logvar = GaussianEncoder(size, 2, 5)(torch.zeros(2, 3, size, size))
        assert mean.shape == logvar.shape == (2, 5)


def test_the_second_scale_sees_half_the_side() -> None:
    seen: list[Tensor] = []
    net = TwoScales(nn.Identity(), nn.Identity())
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    whole, half = net(x)
    seen += [whole, half]
    assert torch.equal(whole, x) and half.shape == (1, 1, 2, 2)
    assert half[0, 0, 0, 0] == pytest.approx((0 + 1 + 4 + 5) / 4), 'what lies outside does not count'


def test_z_reaches_every_convolution_on_the_way_down() -> None:
    net, z = UNet(width=2, size=16, norm='instance', told=3), torch.randn(2, 3)
    inputs: list[Tensor] = []
    for down in net.downs:
        down.register_forward_hook(lambda module, given, output: inputs.append(given[0]))
    net(torch.zeros(2, 3, 16, 16), told=z)
    assert [i.shape[1] for i in inputs] == [3 + 3, 2 + 3, 4 + 3, 8 + 3]
    for given in inputs:
        assert torch.equal(given[:, -3:], z[:, :, None, None].expand(-1, -1, *given.shape[2:]))


class Stub(nn.Module):
    """Answers what it is told to, and can be called as a network with parameters."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: object, **named: object) -> object:
        return self.function(*args, **named)                     # type: ignore[operator]


def flat(*values: float) -> Tensor:
    return torch.stack([torch.full((3, 16, 16), v) for v in values])


def test_terms_by_hand() -> None:
    method = small(lambda_l1=7.0, lambda_kl=0.5, lambda_z=3.0)
    mu, logvar = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, math.log(4), 0.0]])
    method.nets['G'] = Stub(lambda x, draws, told: x + torch.tensor([0.1, -0.2])[:, None, None, None])        # encoded, then drawn
    method.nets['E'] = Stub(lambda y: (mu.expand(len(y), -1), logvar.expand(len(y), -1)))
    for name, offset in (('D_1', 0.0), ('D_2', 1.0)):
        method.nets[name] = Stub(lambda y, offset=offset: [y.mean((1, 2, 3)) + offset, 2 * y.mean((1, 2, 3))])
    batch = PairBatch(flat(0.2, -1.0), flat(0.6, 0.8), torch.arange(2), torch.zeros(2, 4), Moment(count=2, total=2))
    step = method.generator_step(batch, {})                       # encoded 0.3 of truth 0.6, drawn 0.0
    z = Moment(count=2, total=2).normal('z', 3)[:1]
    terms = {'gan_1': 0.7 ** 2 + 0.4 ** 2, 'gan_2': 0.0 + 1.0, 'l1': 0.3, 'kl': 0.5 * (1 + (4 - 1 - math.log(4))),
             'z': float((mu - z).abs().mean())}
    assert {name: value.item() for name, value in step.logs.items()} == {name: pytest.approx(v, abs=1e-6) for name, v in terms.items()}
    total = terms['gan_1'] + terms['gan_2'] + 7 * 0.3 + 0.5 * terms['kl'] + 3 * terms['z']
    assert step.loss.item() == pytest.approx(total, rel=1e-5)
    step = method.discriminator_step(batch, step.keep)            # D_1: real 0.6, fake 0.3; D_2: real 0.8 of the second pair, fake 0.0
    told = {'1': 0.4 ** 2 + 0.2 ** 2 + 0.3 ** 2 + 0.6 ** 2, '2': 0.8 ** 2 + 0.6 ** 2 + 1.0 + 0.0}
    assert {name: value.item() for name, value in step.logs.items()} == {name: pytest.approx(v, abs=1e-6) for name, v in told.items()}
    assert step.loss.item() == pytest.approx(sum(told.values()), rel=1e-5)


def test_the_code_z_is_mean_and_spread() -> None:
    method, given = small(), []
    method.nets['E'].logvar.bias.data.fill_(2 * math.log(3))
    method.nets['E'].logvar.weight.data.zero_()
    method.nets['G'].register_forward_hook(lambda module, inputs, output: given.append(inputs[2].detach()))
    batch = random_batch('pairs', SPEC, n=4)
    method.generator_step(batch, {})
    mean, _ = method.nets['E'](batch.image_b[::2])
    eps, z = (batch.moment.normal(name, 3)[::2] for name in ('eps', 'z'))
    torch.testing.assert_close(given[0], torch.cat([mean + 3 * eps, z]).detach(), rtol=1e-5, atol=1e-5)


def test_reading_z_back_teaches_the_generator_alone() -> None:
    method, batch = small(lambda_z=1.0), random_batch('pairs', SPEC)
    grads = {}
    for weight in (0.0, 1.0):
        method.config = method.config.model_copy(update={'lambda_z': weight})
        method.zero_grad(set_to_none=True)
        method.generator_step(batch, {}).loss.backward()
        grads[weight] = {name: torch.cat([p.grad.flatten() for p in method.nets[name].parameters()]) for name in ('G', 'E')}
    assert torch.equal(grads[0.0]['E'], grads[1.0]['E']) and grads[0.0]['E'].abs().max() > 0
    assert not torch.allclose(grads[0.0]['G'], grads[1.0]['G'])


@pytest.mark.parametrize('conditional', [True, False])
def test_what_the_discriminators_see(conditional: bool) -> None:
    method, batch, seen = small(conditional_d=conditional), random_batch('pairs', SPEC, n=4), {}
    for name in ('D_1', 'D_2'):
        method.nets[name].register_forward_hook(lambda module, inputs, output, name=name: seen.update({name: inputs[0].detach()}))
    kept = method.generator_step(batch, {}).keep
    method.discriminator_step(batch, kept)
    x, y, x2, y2 = batch.image_a[::2], batch.image_b[::2], batch.image_a[1::2], batch.image_b[1::2]
    for name, given, real, fake in (('D_1', x, y, kept['encoded']), ('D_2', x2, y2, kept['drawn'])):
        expected = torch.cat([torch.cat([given, real], 1), torch.cat([x, fake], 1)])
        assert torch.equal(seen[name], expected if conditional else expected[:, 3:])


def test_a_batch_is_even() -> None:
    for n, fits in ((1, 2), (3, 4)):
        with pytest.raises(ValueError, match=f'^batch_size={n}: .* set --train.batch-size {fits}$'):
            small().generator_step(random_batch('pairs', SPEC, n=n), {})


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r'^layers_d=2: a patch discriminator of 8 px has 1 to 1 strided layers'):
        BicycleGAN(Config(), DataSpec(size=16, domains=('A', 'B')))
    with pytest.raises(ValueError, match=r'^size=100: .* set --data.size 96$'):
        BicycleGAN(Config(), DataSpec(size=100, domains=('A', 'B')))


def test_dropout_draws_apart_for_both_fakes_and_only_in_training() -> None:
    torch.manual_seed(0)
    spec = DataSpec(size=64, domains=('A', 'B'))
    method = BicycleGAN(Config(z_dim=3, width_g=2, width_e=4, width_d=4, layers_d=1, dropout=True), spec)
    moment = Moment(count=4, total=4)
    draws = method.draws(moment)
    assert draws is not None and torch.equal(draws('dropout_1', 2, 3), moment.uniform('dropout_1', 2, 3)[[0, 2, 1, 3]])
    batch = random_batch('pairs', spec)
    assert method.generator_step(batch, {}).loss.isfinite()
    x = torch.rand(1, 3, 64, 64)
    method.eval()
    with torch.no_grad():
        made = method.translate(DomainRequest(x, 'B')).image
        assert torch.equal(made, method.nets['G'](x, told=method.fixed_noise()['z']))
    assert small().draws(moment) is None


def test_translate_is_one_answer_unless_z_is_given() -> None:
    method, x = small().eval(), torch.rand(3, 3, 16, 16)
    with torch.no_grad():
        made = method.translate(DomainRequest(x, 'picture'))
        assert made.mask is None and torch.equal(made.image, method.translate(DomainRequest(x, 'picture')).image)
        fixed = method.fixed_noise()['z']
        torch.nn.init.normal_(method.nets['G'].downs[0][0].weight)
        other = method.translate(DomainRequest(x, 'picture', noise={'z': torch.cat([fixed, -fixed, fixed])})).image
        made = method.translate(DomainRequest(x, 'picture')).image
    torch.testing.assert_close(other[0], made[0], rtol=0, atol=1e-6)
    assert not torch.allclose(other[1], made[1], atol=1e-4)
    with pytest.raises(ValueError, match='this model makes picture of parse, not parse of picture'):
        method.translate(DomainRequest(x, 'parse'))


def test_paper_hyper_parameters() -> None:
    run, table = RECIPES['bicyclegan.paper'](), RECIPES['bicyclegan.aggan_table']()
    m = run.method
    assert (m.lr, m.beta1, m.beta2, m.lambda_l1, m.lambda_kl, m.lambda_z, m.z_dim) == (2e-4, 0.5, 0.999, 10, 0.01, 0.5, 8)
    assert (m.width_g, m.width_e, m.width_d, m.conditional_d, m.dropout) == (64, 64, 64, False, True)
    assert (run.train.batch_size, run.train.epochs, run.train.iterations, run.train.ema) == (2, 400, 400 * 400 // 2, None)
    assert (run.data.load_size, run.data.size, run.data.flip, run.data.direction) == (None, 256, True, 'b_to_a')
    assert (table.train.batch_size, table.train.epochs, table.data.size, table.method.dropout) == (2, 200, 256, False)
