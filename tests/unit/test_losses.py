"""Hand-computed values of losses and of the pieces that methods are made of."""
from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from retouch import losses
from retouch.data.batches import DataSpec, Moment
from retouch.data.labels import apply_edits, single_edits
from retouch.engine.pool import ImagePool
from retouch.guidance.mask import check_mask, composite
from retouch.methods.stargan import Config, StarGAN
from retouch.networks.layers import depth_for, instance_norm
from retouch.networks.stargan import Discriminator


def test_reductions() -> None:
    logits, labels = torch.zeros(4, 13), torch.ones(4, 13)
    assert losses.bce_sum_over_attributes(logits, labels).item() == pytest.approx(13 * math.log(2))
    assert losses.bce_mean(logits, labels).item() == pytest.approx(math.log(2))
    assert losses.cross_entropy_of_one_hot(torch.zeros(2, 8), torch.eye(8)[:2]).item() == pytest.approx(math.log(8))
    assert losses.mse_to_constant(torch.zeros(2, 1, 3, 3), 1.0).item() == 1
    assert losses.l1_mean(torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.5)).item() == 0.5


def test_gradient_penalty_is_of_the_sum_over_patches_and_safe_at_zero() -> None:
    real, fake, alpha = torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4), torch.rand(2, 1, 1, 1)
    one = losses.gradient_penalty(lambda x: 2 * x[:, :, :1, :1], real, fake, alpha)
    assert one.item() == pytest.approx(1.0)                                          # (2 - 1)^2
    patches = losses.gradient_penalty(lambda x: x[:, :, :1, :1].expand(-1, 1, 2, 2), real, fake, alpha)
    assert patches.item() == pytest.approx(9.0)                                      # gradient of the sum of 4 patches: (4 - 1)^2
    w = torch.zeros(1, requires_grad=True)
    losses.gradient_penalty(lambda x: (w * x).sum((1, 2, 3)), real, fake, alpha).backward()
    assert torch.isfinite(w.grad).all()


def test_closed_form_penalty_equals_double_backward() -> None:
    torch.manual_seed(0)
    D = Discriminator(3, 32, width=8).double()
    x = torch.rand(3, 3, 32, 32, dtype=torch.float64) * 2 - 1
    a = x.clone().requires_grad_()
    g, = torch.autograd.grad(D(a)[0].sum(), a, create_graph=True)
    torch.testing.assert_close(D.input_gradient(x), g, rtol=1e-10, atol=1e-12)
    weights = [*(c.weight for c in D.convs), D.src.weight]
    by_autograd = torch.autograd.grad((g.flatten(1).norm(dim=1) - 1).square().mean(), weights)
    closed = torch.autograd.grad((D.input_gradient(x).flatten(1).norm(dim=1) - 1).square().mean(), weights)
    for p, q in zip(by_autograd, closed, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-8, atol=1e-10)


def test_both_penalties_give_one_step() -> None:
    spec = DataSpec(size=16, attributes=('A', 'B'))
    torch.manual_seed(1)
    one = StarGAN(Config(width_g=4, width_d=4, blocks=1, penalty='autograd'), spec)
    two = StarGAN(Config(width_g=4, width_d=4, blocks=1), spec)
    two.load_state_dict(one.state_dict())
    x, y, alpha = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16), torch.rand(2, 1, 1, 1)
    torch.testing.assert_close(one.penalty(x, y, alpha), two.penalty(x, y, alpha), rtol=1e-5, atol=1e-6)


def test_instance_norm_is_instance_norm() -> None:
    x = torch.randn(2, 5, 7, 6, dtype=torch.float64)
    torch.testing.assert_close(instance_norm(5, True).double()(x), torch.nn.functional.instance_norm(x), rtol=1e-9, atol=1e-9)


def test_depth_follows_the_size() -> None:
    assert {s: depth_for(s) for s in (16, 32, 48, 64, 96, 128, 192, 256)} == {16: 3, 32: 4, 48: 4, 64: 5, 96: 5, 128: 6, 192: 6, 256: 6}
    for size in (18, 100, 160, 178):
        with pytest.raises(ValueError, match=f'size={size}: .* set --data.size'):
            depth_for(size)


def test_mask_contract() -> None:
    image = torch.zeros(2, 3, 4, 4)
    mask = torch.zeros(2, 1, 4, 4)
    assert check_mask(mask, image) is mask
    assert torch.equal(composite(torch.ones_like(image), image, mask), image)        # 0 = untouched
    with pytest.raises(ValueError, match=r'mask has shape \(2, 3, 4, 4\): expected \(2, 1, 4, 4\)'):
        check_mask(image, image)
    with pytest.raises(ValueError, match='float16'):
        check_mask(mask.half(), image)


def test_image_pool_rule(tmp_path: Path) -> None:
    pool = ImagePool(2, (1,))
    first = pool.exchange(torch.tensor([[1.], [2.]]), Moment(0, 0, 1, 0, 2, 2), 'A')
    assert first.flatten().tolist() == [1, 2] and pool.images.flatten().tolist() == [1, 2]   # filling: returned as they are
    seen = set()
    for i in range(30):
        new = 10.0 + i
        before = pool.images.flatten().tolist()
        out = pool.exchange(torch.tensor([[new]]), Moment(0, i + 1, 50, 0, 1, 1), 'A').item()
        after = pool.images.flatten().tolist()
        if out == new:
            assert after == before
            seen.add('new')
        else:
            assert out in before and new in after and out not in after                # swapped with a stored one
            seen.add('stored')
    assert seen == {'new', 'stored'}
    copy = ImagePool(2, (1,))
    copy.load_state_dict(pool.state_dict())
    assert copy.stored == 2
    assert torch.equal(ImagePool(0, (1,)).exchange(torch.ones(1, 1), Moment(), 'A'), torch.ones(1, 1))


NAMES = ('Bald', 'Bangs', 'Black_Hair', 'Blond_Hair', 'Mustache', 'No_Beard')


@pytest.mark.parametrize(('rule', 'edits', 'expected'), [
    ('stargan', {'Blond_Hair': 1}, [0, 1, 0, 1, 0, 1]),
    ('stargan', {'Bald': 1}, [1, 1, 1, 0, 0, 1]),                # no rule for bald and bangs
    ('attgan_tf', {'Bald': 1}, [1, 0, 1, 0, 0, 1]),
    ('attgan_tf', {'Mustache': 1}, [0, 1, 1, 0, 1, 1]),
    ('attgan_pytorch', {'Mustache': 1}, [0, 1, 1, 0, 1, 0]),
    ('attgan_pytorch', {'Black_Hair': 0}, [0, 1, 0, 0, 0, 1]),   # a colour switched off leaves the others alone
])
def test_label_rules(rule: str, edits: dict[str, int], expected: list[int]) -> None:
    labels = torch.tensor([[0., 1, 1, 0, 0, 1]])
    target, notes = apply_edits(labels, edits, NAMES, rule)
    assert target[0].tolist() == expected and labels[0].tolist() == [0, 1, 1, 0, 0, 1]
    changed = {n for n, a, b in zip(NAMES, expected, labels[0].tolist(), strict=True) if a != b}
    assert len(notes) == len(changed - edits.keys())


def test_edits_that_cannot_be() -> None:
    labels = torch.zeros(1, len(NAMES))
    with pytest.raises(ValueError, match="unknown attribute 'Blond': did you mean 'Blond_Hair'?"):
        apply_edits(labels, {'Blond': 1}, NAMES)
    with pytest.raises(ValueError, match='Blond_Hair=2: expected 0 or 1'):
        apply_edits(labels, {'Blond_Hair': 2}, NAMES)
    for blond, black in ((1, 1), (0.6, 0.5), (1, 0.01)):
        with pytest.raises(ValueError, match='exclude each other'):
            apply_edits(labels, {'Blond_Hair': blond, 'Black_Hair': black}, NAMES)


def test_a_part_of_an_attribute_leaves_so_much_less_of_what_it_excludes() -> None:
    labels = torch.tensor([[0., 1, 1, 0, 0, 1]])
    target, notes = apply_edits(labels, {'Blond_Hair': 0.25, 'Bald': 0.5}, NAMES)
    assert target[0].tolist() == [0.5, 0.5, 0.75, 0.25, 0, 1]
    assert notes == ['Black_Hair=0.75 because Blond_Hair=0.25 (rule attgan_tf)', 'Bangs=0.5 because Bald=0.5 (rule attgan_tf)']
    assert apply_edits(labels, {'Blond_Hair': 0.5, 'Black_Hair': 0.5}, NAMES)[0][0].tolist() == [0, 1, 0.5, 0.5, 0, 1]


def test_single_edits_change_every_row() -> None:
    labels = torch.tensor([[0., 0, 1, 0, 0, 1]]).expand(200, -1)
    target = single_edits(labels, NAMES, torch.linspace(0, 0.999, 200))
    assert ((target != labels).any(1)).all()
    assert (target[:, 2:4].sum(1) == 1).all()                    # one hair colour, always
    some = single_edits(labels, NAMES, torch.linspace(0, 0.999, 200), asked=('Bangs', 'Bangs', 'Bangs', NAMES[5]))
    assert ((some != labels).sum(0)[[NAMES.index('Bangs'), 5]]).tolist() == [150, 50], 'three of four edits'
