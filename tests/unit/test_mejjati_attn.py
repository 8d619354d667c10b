"""Mejjati et al.: networks as counted, the losses by hand, what rests and what D sees after the switch, couples in the pools."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from retouch.data.batches import DataSpec, DomainBatch, Moment
from retouch.engine.trainer import Trainer
from retouch.engine.update import DomainRequest
from retouch.methods.mejjati_attn import Config, MejjatiAttention
from retouch.networks.cyclegan import ResNetGenerator
from retouch.networks.mejjati import Attention, ToggledDiscriminator
from retouch.recipes.registry import RECIPES
from tests.batches import random_batch

SPEC = DataSpec(size=16, domains=('A', 'B'))
TINY = {'width_g': 4, 'blocks': 1, 'width_m': 4, 'width_d': 4, 'layers_d': 1, 'pool': 3}


def small(**fields: Any) -> MejjatiAttention:
    torch.manual_seed(0)
    return MejjatiAttention(Config.model_validate({**TINY, **fields}), SPEC)


class Stub(nn.Module):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Any) -> Tensor:
        return self.function(*inputs)


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_parameters_are_the_published() -> None:
    with torch.device('meta'):
        nets = MejjatiAttention(Config(), DataSpec(size=256, domains=('A', 'B'))).nets
        assert {name: count(net) for name, net in nets.items()} == {
            'G': 2_855_811, 'F': 2_855_811, 'M_A': 104_001, 'M_B': 104_001, 'D_A': 2_766_657, 'D_B': 2_766_657}
        assert count(nets) == 11_452_938 and count(Attention(kernel=3)) == 154_689
        assert ToggledDiscriminator()(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 35, 35)


def test_masks_are_constant_on_blocks_of_four_unless_kernels_are_three() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 16, 16)
    coarse, fine = Attention(4)(x), Attention(4, 3)(x)
    assert coarse.shape == fine.shape == (1, 1, 16, 16)
    blocks = coarse.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4)
    assert torch.equal(blocks.amax(4), blocks.amin(4)) and blocks.amin(4).unique().numel() > 1
    assert fine[0, 0, :4, :4].unique().numel() > 1


def test_blocks_are_rectified_after_the_sum() -> None:
    net = ResNetGenerator(width=2, blocks=2, affine=True, pad='zeros', rectified=True)
    x = torch.randn(1, 8, 4, 4)
    block, relu = net.main[9]
    assert torch.equal(net.main[9](x), (x + block.main(x)).relu()) and isinstance(relu, nn.ReLU)
    assert all(m.padding_mode == 'zeros' for m in net.modules() if isinstance(m, nn.Conv2d))
    assert sum(isinstance(m, nn.GroupNorm) and m.affine for m in net.modules()) == 9


def test_norms_can_be_left_out_with_their_scales() -> None:
    torch.manual_seed(0)
    net, x = ToggledDiscriminator(2, 1), torch.rand(1, 3, 8, 8)
    bare = x
    for convolution in net.convolutions:
        bare = nn.functional.leaky_relu(convolution(bare), 0.2)
    assert torch.equal(net(x, False), net.scores(bare))
    with torch.no_grad():
        net.norms[0].weight.mul_(3)
    assert torch.equal(net(x, False), net.scores(bare)) and not torch.equal(net(x), net(x, False))


def by_hand(iteration: int, **fields: Any) -> tuple[MejjatiAttention, DomainBatch]:
    """G(x) = x + 0.5, F(y) = -y, masks 0.5 of A and 0.05 of B, D_B(x) = 2 x, D_A(x) = x + 1; x = 0.2, y = -0.8."""
    method = small(pool=0, lambda_cyc=3.0, **fields)
    logits = torch.tensor(0.05).logit()
    for name, function in {'G': lambda x: x + 0.5, 'F': lambda y: -y, 'M_A': lambda x: x[:, :1] * 0, 'M_B': lambda y: y[:, :1] * 0 + logits,
                           'D_B': lambda x, normed=True: 2 * x, 'D_A': lambda x, normed=True: x + 1}.items():
        method.nets[name] = Stub(function)
    x, y, whole = torch.full((2, 3, 8, 8), 0.2), torch.full((2, 3, 8, 8), -0.8), torch.zeros(2, 4)
    moment = Moment(iteration=iteration, iterations=10, count=2, total=2)
    return method, DomainBatch(x, y, torch.arange(2), torch.arange(2), whole, whole, moment)


def test_losses_by_hand_before_the_switch() -> None:
    method, batch = by_hand(2)
    fake_b, fake_a = 0.2 + 0.5 * 0.5, 0.05 * 0.8 - 0.95 * 0.8
    rec_a, rec_b = -0.05 * fake_b + 0.95 * fake_b, fake_a + 0.25
    cyc = abs(rec_a - 0.2) + abs(rec_b + 0.8)
    step = method.step_to_b(batch, {})
    assert step.logs['cyc'].item() == pytest.approx(cyc, rel=1e-5)
    assert step.logs['gan'].item() == pytest.approx((2 * fake_b - 1) ** 2, rel=1e-4)
    assert step.loss.item() == pytest.approx((2 * fake_b - 1) ** 2 + 3 * cyc, rel=1e-5)
    back = method.step_to_a(batch, {})
    assert back.loss.item() == pytest.approx(fake_a ** 2 + 3 * cyc, rel=1e-5)
    kept = {**step.keep, **back.keep}
    assert method.judge_b(batch, kept).loss.item() == pytest.approx(((-1.6 - 1) ** 2 + (2 * fake_b) ** 2) / 2, rel=1e-5)
    assert method.judge_a(batch, kept).loss.item() == pytest.approx(((1.2 - 1) ** 2 + (fake_a + 1) ** 2) / 2, rel=1e-5)


def test_after_the_switch_the_discriminator_sees_what_the_mask_reaches() -> None:
    """Masks of A are 0.5, over the threshold; those of B 0.05, below: of B and of what is made of it D sees zeros."""
    method, batch = by_hand(3)
    fake_b = 0.2 + 0.5 * 0.5
    step, back = method.step_to_b(batch, {}), method.step_to_a(batch, {})
    assert step.logs['gan'].item() == pytest.approx((2 * fake_b - 1) ** 2, rel=1e-4) and back.logs['gan'].item() == pytest.approx(0)
    kept = {**step.keep, **back.keep}
    assert method.judge_b(batch, kept).loss.item() == pytest.approx((1 + (2 * fake_b) ** 2) / 2, rel=1e-5)
    assert method.judge_a(batch, kept).loss.item() == pytest.approx(((1.2 - 1) ** 2 + 1) / 2, rel=1e-5)


def test_norms_go_with_the_switch() -> None:
    seen: list[bool] = []
    for fields in ({}, {'norm_after_switch': True}):
        for iteration in (2, 3):
            method, batch = by_hand(iteration, **fields)
            method.nets['D_B'] = Stub(lambda x, normed=True: (seen.append(normed), x)[1])
            method.step_to_b(batch, {})
    assert seen == [True, False, True, True]


def test_attention_rests_from_the_switch_on() -> None:
    torch.manual_seed(0)
    trainer = Trainer(MejjatiAttention.tiny(), Fabric(accelerator='cpu', devices=1), iterations=10)
    moved = []
    for i in range(5):
        before = {n: [p.clone() for p in trainer.trainable.nets[n].parameters()] for n in ('M_A', 'M_B', 'G', 'F')}
        trainer.train_iteration(random_batch('domains', SPEC, iteration=i))
        moved.append({n for n, ps in before.items() if not all(map(torch.equal, ps, trainer.trainable.nets[n].parameters()))})
    assert moved == [{'M_A', 'M_B', 'G', 'F'}] * 3 + [{'G', 'F'}] * 2


def test_pools_hold_a_picture_with_its_own_mask() -> None:
    method, batch = small(), random_batch('domains', SPEC)
    kept = {**method.step_to_b(batch, {}).keep, **method.step_to_a(batch, {}).keep}
    method.judge_b(batch, kept)
    method.judge_a(batch, kept)
    for domain, net, image in (('B', 'G', batch.image_a), ('A', 'F', batch.image_b)):
        (fused, mask), = method.generate(net, image)
        torch.testing.assert_close(method.pools[domain].images[:2], torch.cat([fused, mask], 1))


def test_pools_return_a_picture_with_its_own_mask() -> None:
    pool, made = small().pools['B'], []
    for i in range(30):
        new = torch.full((1, 4, 16, 16), float(i))
        new[:, 3] = i / 100
        out = pool.exchange(new, Moment(iteration=i, count=1, total=1), 'B')
        assert torch.equal(out[:, 3], out[:, 0] / 100)
        made.append(int(out[0, 0, 0, 0]))
    assert made != list(range(30)), 'earlier ones come back'


def test_no_gradient_passes_the_threshold() -> None:
    method = small()
    mask, late = torch.full((1, 1, 16, 16), 0.5, requires_grad=True), Moment(iteration=9, iterations=10)
    image = torch.zeros(1, 3, 16, 16, requires_grad=True)
    method.judge('D_B', image, mask, late).sum().backward()
    assert mask.grad is None and image.grad is not None


def test_translate_fuses_inside_the_mask_of_the_direction() -> None:
    method, x = small().eval(), torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        for to, net, attention in (('B', 'G', 'M_A'), ('A', 'F', 'M_B')):
            made, mask = method.translate(DomainRequest(x, to)), method.nets[attention](x).sigmoid()
            torch.testing.assert_close(made.mask, mask)
            torch.testing.assert_close(made.image, mask * method.nets[net](x) + (1 - mask) * x)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match=r'^size=18: .*--data.size 16$'):
        MejjatiAttention(Config.model_validate(TINY), SPEC.model_copy(update={'size': 18}))
    with pytest.raises(ValueError, match='layers_d=6'):
        small(layers_d=6)
    with pytest.raises(ValueError, match='less than or equal to 1'):
        small(switch=30)


def test_presets_are_the_authors() -> None:
    run, winter = RECIPES['mejjati_attn.paper'](), RECIPES['mejjati_attn.paper_summer2winter']()
    m = run.method
    assert (m.lr, m.beta1, m.lambda_cyc, m.pool, m.threshold, m.attention_kernel, m.norm_after_switch) == (1e-4, 0.5, 10, 50, 0.1, 1, False)
    assert (m.switch * run.train.epochs, run.train.epochs, run.train.batch_size) == (30, 100, 1)
    assert (run.data.load_size, run.data.size) == (286, 256)
    assert (winter.method.lr, winter.train.epochs, winter.method.switch * 200) == (2e-4, 200, 30)
    late = replace(random_batch('domains', SPEC).moment, iteration=3, iterations=10)
    assert small().has_switched(late) and not small().has_switched(replace(late, iteration=2))
