"""IcGAN: counts, every term by hand, three stages that leave each other's nets alone, wrong attributes, edits and what does not fit."""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from retouch.data.batches import AttributeBatch, DataSpec
from retouch.engine.trainer import Trainer
from retouch.engine.update import AttributeRequest
from retouch.methods.icgan import Config, IcGAN
from retouch.recipes.registry import RECIPES
from tests.batches import random_batch

SPEC = DataSpec(size=16, attributes=('Black_Hair', 'Blond_Hair', 'Eyeglasses'))


def small(**fields: object) -> IcGAN:
    torch.manual_seed(0)
    return IcGAN(Config.model_validate({'latent': 4, 'width_g': 2, 'width_d': 2, 'width_e': 2, 'hidden_y': 4, **fields}), SPEC)


class Stub(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *x: Tensor) -> Any:
        return self.function(*x)


def labelled(*rows: tuple[int, int, int]) -> AttributeBatch:
    """Pictures of 0.5 with these labels; the first row's are what is drawn."""
    labels = torch.tensor(rows).float()
    batch = random_batch('attributes', SPEC, n=len(rows))
    return replace(batch, image=torch.full_like(batch.image, 0.5), labels=labels, target=labels[:1].expand_as(labels).clone())


def softplus(x: float) -> float:
    """BCE of a logit with 0; of -x with 1."""
    return math.log1p(math.exp(x))


def test_counts() -> None:
    """27,993,722 in all with eighteen attributes at 64 px; at 128 px a square matrix would have 268 million weights."""
    def counts(size: int) -> dict[str, int]:
        with torch.device('meta'):
            method = IcGAN(Config(), DataSpec(size=size, attributes=tuple(map(str, range(18)))))
        return {name: sum(p.numel() for p in net.parameters()) for name, net in method.nets.items()}

    assert counts(64) == {'G': 3_725_123, 'D': 2_803_393, 'E_z': 18_278_244, 'E_y': 3_186_962} and sum(counts(64).values()) == 27_993_722
    assert counts(128)['E_z'] == 1_079_040 + 16_384 * 512 + 512 + 2 * 512 + 512 * 100 + 100


@pytest.mark.parametrize('label_error', [True, False])
def test_gan_losses_by_hand(label_error: bool) -> None:
    """D is the picture's mean plus the sum of y; G draws 0.2: labels (1,0,0) are -1, (1,1,0) are 1."""
    method, batch = small(label_error=label_error), labelled((1, 0, 0), (1, 1, 0))
    method.nets['D'] = Stub(lambda x, y: ((x.mean((1, 2, 3)) + y.sum(1))[:, None, None, None], []))
    method.nets['G'] = Stub(lambda z, y: torch.full((len(z), 3, 16, 16), math.atanh(0.2)))
    step = method.discriminator_step(batch, {})
    real, fake = (softplus(0.5) + softplus(-1.5)) / 2, softplus(-0.8)                   # logits -0.5 and 1.5; -0.8 of either
    wrong = (softplus(1.5) + softplus(-0.5)) / 2                                       # the other row's
    terms = {'real': real, 'wrong': wrong, 'fake': fake} if label_error else {'real': real, 'fake': fake}
    assert {k: v.item() for k, v in step.logs.items()} == pytest.approx(terms, rel=1e-5)
    assert step.loss.item() == pytest.approx(real + (wrong + fake) / 2 if label_error else real + fake, rel=1e-5)
    assert method.generator_step(batch, step.keep).loss.item() == pytest.approx(softplus(0.8), rel=1e-5)


def test_both_steps_share_one_drawing() -> None:
    method, batch = small(), random_batch('attributes', SPEC, n=4)
    kept = method.discriminator_step(batch, {}).keep
    shared, alone = (method.generator_step(batch, k).loss for k in (kept, {}))
    assert set(kept) == {'fake'} and torch.allclose(shared, alone, atol=1e-6)
    of_shared, of_alone = (torch.autograd.grad(loss, [*method.nets['G'].parameters()]) for loss in (shared, alone))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(of_shared, of_alone, strict=True))


def test_encoders_losses_by_hand() -> None:
    method, batch = small(), labelled((1, 0, 0), (1, 1, 0))
    z, y = method.draw(batch)
    assert y.tolist() == [[1, -1, -1]] * 2 and z.shape == (2, 4) and torch.equal(z, method.draw(batch)[0])
    seen = []
    method.nets['E_z'] = Stub(lambda x: (seen.append(x), z + torch.tensor([1.0, 0, 0, 2]))[1])
    method.nets['E_y'] = Stub(lambda x: torch.tensor([[1.0, -1, 0], [0.5, -1, -1]]))
    assert method.latent_step(batch, {}).loss.item() == pytest.approx(5 / 4)
    drawn = method.nets['G'].eval()(z, y).tanh()
    assert torch.equal(seen[0], drawn)                                                 # by running averages, as an edit draws
    step = method.attribute_step(batch, {})
    assert step.loss.item() == pytest.approx((1 + 0.25 + 4) / 6) and step.logs['error'].item() == pytest.approx(1 / 6)


def test_three_stages_leave_each_others_nets_alone() -> None:
    trainer = Trainer(small(stages=(4.0, 3.0, 3.0)), Fabric(accelerator='cpu', devices=1), iterations=10)
    nets, ran = trainer.trainable.nets, []
    for i in range(10):
        before = {name: {k: v.clone() for k, v in net.state_dict().items()} for name, net in nets.items()}
        ran.append(tuple(trainer.train_iteration(random_batch('attributes', SPEC, iteration=i))))
        moved = {name for name, net in nets.items() if any(not torch.equal(before[name][k], v) for k, v in net.state_dict().items())}
        assert moved == set(ran[-1]), i                                                # buffers of G too: its statistics stay
        assert nets['G'].training
    assert ran == [('D', 'G')] * 4 + [('E_z',)] * 3 + [('E_y',)] * 3
    shares = [u.within for u in IcGAN(Config(width_g=2, width_d=2), SPEC).updates()]
    assert [at for share in shares for at in share] == pytest.approx([0, 25 / 55, 0, 25 / 55, 25 / 55, 40 / 55, 40 / 55, 1])


def test_wrong_attributes_are_another_rows_that_differ() -> None:
    method, rows = small(), ((1, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    found = set()
    for iteration in range(40):
        batch = labelled(*rows)
        batch = replace(batch, moment=replace(batch.moment, iteration=iteration))
        wrong = [tuple(map(int, row)) for row in method.wrong(batch).tolist()]
        assert all(w != r and w in rows for w, r in zip(wrong, rows, strict=True))
        found |= {(i, w) for i, w in enumerate(wrong)}
    assert len(found) == 8                                                             # each row meets both others
    assert method.wrong(labelled((1, 0, 0), (1, 0, 0))).tolist() == [[0, 1, 1]] * 2


@pytest.mark.parametrize(('threshold', 'kept'), [(True, (1, 1, -1)), (False, (0.4, 0.2, -0.9))])
def test_an_edit_sets_what_changes_and_keeps_what_is_seen(threshold: bool, kept: tuple[float, ...]) -> None:
    method, asked = small(threshold=threshold).eval(), []
    method.nets['E_y'] = Stub(lambda x: torch.tensor([[0.4, 0.2, -0.9]]).expand(len(x), 3))
    method.nets['E_z'] = Stub(lambda x: torch.full((len(x), 4), 7.0))
    method.nets['G'] = Stub(lambda z, y: (asked.append((z, y)), torch.zeros(len(z), 3, 16, 16))[1])
    source = torch.tensor([[0.0, 1, 0], [0, 1, 0]])
    method.translate(AttributeRequest(torch.zeros(2, 3, 16, 16), source, torch.tensor([[1.0, 0, 0], [0, 1, 0.75]])))
    z, y = asked[0]
    assert (z == 7).all() and torch.allclose(y, torch.tensor([[1.0, -1, kept[2]], [kept[0], kept[1], 0.5]]))


def test_read_is_a_probability() -> None:
    method = small()
    method.nets['E_y'] = Stub(lambda x: torch.tensor([[-1.5, 0.0, 0.5]]))
    assert method.read(torch.zeros(1, 3, 16, 16)).tolist() == [[0, 0.5, 0.75]]


def test_what_does_not_fit() -> None:
    one = random_batch('attributes', SPEC, n=1)
    with pytest.raises(ValueError, match='^batch_size=1: .*expected 2 or more; set --train.batch-size 2$'):
        small().discriminator_step(one, {})
    for size, fits in ((8, 16), (48, 32), (100, 64)):
        with pytest.raises(ValueError, match=f'^size={size}: .*expected a power of two from 16 on; set --data.size {fits}$'):
            IcGAN(Config(), SPEC.model_copy(update={'size': size}))
    with pytest.raises(ValueError, match='^stages=1,0,1: expected three lengths above 0; set --method.stages 25,15,15$'):
        small(stages=(1, 0, 1))


def test_presets() -> None:
    """Guim3/IcGAN @ 0c73cf8, `cfg/mainConfig.lua` and `data/donkey_celebA.lua`."""
    run = RECIPES['icgan.paper']()
    m, d = run.method, run.data
    assert (m.lr, m.beta1, m.lr_e, m.beta1_e, m.latent, m.stages) == (2e-4, 0.5, 1e-4, 0.1, 100, (25, 15, 15))
    assert (d.size, d.crop, d.flip, d.holdout, len(d.attributes)) == (64, 138, True, 19_961, 18)
    assert (run.train.batch_size, run.train.epochs) == (64, 55)
    assert run.train.iterations == 55 * ((202_599 - 19_961) // 64)
