"""GANimation: counts, losses by hand, two steps of one optimiser, weights at any batch; expressions by degrees from drawing to edit."""
from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from benchmarks.expressions import SEEN, ramp_of, scores
from retouch import Editor
from retouch.data.batches import AttributeBatch, DataSpec, Moment
from retouch.data.configs import AttributeData
from retouch.data.sets import make_loader, open_attributes
from retouch.engine.trainer import Trainer
from retouch.engine.update import AttributeRequest
from retouch.errors import one_line
from retouch.evaluation.evaluate import Request, evaluate
from retouch.methods.ganimation import Config, GANimation
from retouch.model import save_model
from retouch.networks.stargan import Discriminator, Generator
from retouch.recipes.registry import RECIPES
from retouch.toyfaces.expressions import EXPRESSIONS, drawn_expressions, expressive_face, render_expressions, with_expressions
from retouch.toyfaces.faces import render
from tests.batches import random_batch

SPEC = DataSpec(size=16, attributes=('Black_Hair', 'Blond_Hair', 'Eyeglasses'))
WEIGHTS: dict[str, float] = {'lambda_adv': 2.0, 'lambda_cond': 3.0, 'lambda_cyc': 5.0, 'lambda_keep': 7.0, 'lambda_tv': 0.11,
                             'lambda_gp': 13.0}


def make(**changes: Any) -> GANimation:
    torch.manual_seed(0)
    method = GANimation(Config(**{'width_g': 4, 'width_d': 4, 'blocks': 1, 'n_critic': 2, **changes}), SPEC)
    with torch.no_grad():                                        # weights of 0.02 make scores of 0
        for p in method.nets['D'].parameters():
            p.mul_(8)
    return method


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_the_published_counts() -> None:
    with torch.device('meta'):
        for k, g, d in ((15, 8_465_024, 44_843_968), (17, 8_471_296, 44_860_352)):
            assert (count(Generator(k, out_channels=4)), count(Discriminator(k, 128))) == (g, d)


def by_hand(method: GANimation, b: AttributeBatch) -> dict[str, Tensor]:
    c, n, x, a = method.config, method.nets, b.image, b.labels
    wanted = b.target + c.target_noise * (2 * b.moment.uniform('target', 3) - 1)

    def G(z: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        out = n['G'](z, condition)
        keep = 1 / (1 + out[:, :1].exp())                        # the paper's A, 1 where the picture stays
        return keep * z + (1 - keep) * out[:, 1:].tanh(), keep

    def tv(keep: Tensor) -> Tensor:
        return ((keep[..., 1:] - keep[..., :-1]).abs().sum() + (keep[..., 1:, :] - keep[..., :-1, :]).abs().sum()) / len(keep)

    y, keep = G(x, wanted)
    back, keep_back = G(y, a)
    (src_x, cond_x), (src_y, cond_y) = n['D'](x), n['D'](y)
    alpha = b.moment.uniform('alpha', 1, 1, 1).to(x)
    x_hat = (alpha * x + (1 - alpha) * y).detach().requires_grad_()
    g, = torch.autograd.grad(n['D'](x_hat)[0].sum(), x_hat, create_graph=True)
    return {'D': -src_x.mean() + src_y.mean() + c.lambda_cond * ((cond_x - a) ** 2).mean(),
            'GP': c.lambda_gp * ((g.flatten(1).norm(dim=1) - 1) ** 2).mean(),
            'G': -c.lambda_adv * src_y.mean() + c.lambda_cond * ((cond_y - wanted) ** 2).mean() + c.lambda_cyc * (back - x).abs().mean()
            + c.lambda_keep * (keep.mean() + keep_back.mean()) + c.lambda_tv * (tv(keep) + tv(keep_back))}


def test_losses_and_gradients_by_hand(double: None) -> None:
    method, b = make(**WEIGHTS), random_batch('attributes', SPEC, n=3)
    b = dataclasses.replace(b, image=b.image.double(), labels=b.labels.double(), target=b.target.double())
    for name, net in (('D', 'D'), ('GP', 'D'), ('G', 'G')):
        update = next(u for u in method.updates() if u.name == name)
        method.zero_grad(set_to_none=True)
        step = update.step(b, {})
        step.loss.backward()
        found = {k: p.grad.clone() for k, p in method.nets[net].named_parameters() if p.grad is not None}
        if name == 'D':
            assert not any(p.grad is not None for p in method.nets['G'].parameters())
        assert len(found) == len(list(method.nets[net].parameters()))
        method.zero_grad(set_to_none=True)
        expected = by_hand(method, b)[name]
        torch.testing.assert_close(step.loss, expected)
        expected.backward()
        for k, p in method.nets[net].named_parameters():
            torch.testing.assert_close(found[k], torch.zeros_like(p) if p.grad is None else p.grad, rtol=1e-6, atol=1e-9)
    together = make(**WEIGHTS, gp_separate_step=False).double()
    step, terms = together.updates()[0].step(b, {}), by_hand(together, b)
    torch.testing.assert_close(step.loss, terms['D'] + terms['GP'])
    assert [u.name for u in together.updates()] == ['D', 'G']


def test_two_steps_of_one_optimiser() -> None:
    trainer = Trainer(make(), Fabric(accelerator='cpu', devices=1), iterations=10)
    assert [(u.name, u.nets, u.every) for u in trainer.updates] == [('D', ('D',), 1), ('GP', ('D',), 1), ('G', ('G',), 2)]
    assert trainer.optimisers['D'] is trainer.optimisers['GP']
    ran = []
    for i in range(4):
        ran.append(sorted(trainer.train_iteration(random_batch('attributes', SPEC, iteration=i))))
    assert ran == [['D', 'GP'], ['D', 'G', 'GP']] * 2
    state = trainer.optimisers['D'].state[trainer.trainable.nets['D'].cls.weight]
    assert float(state['step']) == 8, 'a gradient of 0, not none'
    assert [make().updates()[0].schedule(i, 90) for i in (0, 60, 75, 90)] == pytest.approx([1, 1, 0.5, 0])


def test_weights_do_not_depend_on_the_batch() -> None:
    """The same picture four times and twenty-five times."""
    one = random_batch('attributes', SPEC, n=1)
    method = make(**WEIGHTS, target_noise=0.0)
    losses = []
    for n in (4, 25):
        parts = {name: getattr(one, name) for name in ('image', 'labels', 'target', 'index')}
        many = {name: part.repeat(n, *([1] * (part.ndim - 1))) for name, part in parts.items()}
        b = AttributeBatch(**many, moment=Moment(0, 0, 10, 0, n, n))
        losses.append([method.discriminator_step(b, {}).loss, method.generator_step(b, {}).loss])
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-5)


def test_a_mask_of_nothing_returns_the_input() -> None:
    method, x = make().eval(), random_batch('attributes', SPEC).image
    method.nets['G'].main[-1].register_forward_hook(lambda *io: torch.cat([torch.full_like(io[2][:, :1], -1e4), io[2][:, 1:]], 1))
    with torch.no_grad():
        made = method.translate(AttributeRequest(x, torch.zeros(2, 3), torch.ones(2, 3)))
    assert made.mask is not None and torch.equal(made.image, x) and not made.mask.any()


def test_initialisation_and_reading() -> None:
    torch.manual_seed(0)
    method = GANimation(Config(width_g=16, blocks=2, width_d=16), SPEC)
    for net in method.nets.values():
        kernels = torch.cat([m.weight.flatten() for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)])
        assert kernels.std().item() == pytest.approx(0.02, rel=0.02)
        assert not any(m.bias.any() for m in net.modules() if isinstance(m, nn.Conv2d) and m.bias is not None)
        assert all((m.weight == 1).all() for m in net.modules() if isinstance(m, nn.GroupNorm))
    with torch.no_grad():
        method.nets['D'].cls.weight.mul_(1e4)
        read = method.read(random_batch('attributes', SPEC, n=8).image)
    assert read.shape == (8, 3) and read.min() >= 0 and read.max() <= 1


def test_recipes() -> None:
    run = RECIPES['ganimation.paper']()
    m = run.method
    assert (m.lambda_adv, m.lambda_cond, m.lambda_cyc, m.lambda_gp, m.lambda_keep, m.lambda_tv) == (1, 160, 10, 10, 0.1, 2.5e-4)
    assert (m.width_g, m.blocks, m.width_d, m.n_critic, m.lr, m.beta1, m.beta2) == (64, 6, 64, 5, 1e-4, 0.5, 0.999)
    assert (m.target_noise, m.gp_separate_step) == (0.1, True)
    assert (run.train.epochs, run.train.batch_size, run.data.size, len(run.data.attributes)) == (30, 25, 128, 17)
    assert RECIPES['ganimation.toyfaces']().data.attributes == RECIPES['stargan.toyfaces']().data.attributes
    assert RECIPES['ganimation.toyfaces_expressions']().data.attributes == EXPRESSIONS


# expressions

def test_expressions_move_what_they_name_and_nothing_far_from_it() -> None:
    identity, labels, amounts = expressive_face(7)
    assert amounts.shape == (4,) and amounts.dtype == np.float32 and (0 <= amounts).all() and (amounts < 1).all()
    rows = {'Smile': (30, 56), 'Mouth_Opening': (34, 60), 'Brow_Height': (14, 40), 'Eye_Opening': (18, 46)}
    for name, (top, bottom) in rows.items():
        low, high = (render(with_expressions(identity, {name: v}), labels, 64)[0].astype(int) for v in (0.0, 1.0))
        changed = np.abs(low - high).max(-1) > 12
        assert changed.sum() > 8 and not changed[:top].any() and not changed[bottom:].any(), name
    own = with_expressions(identity, {'Smile': 0.75})
    assert own.smile_off == own.smile_on == pytest.approx(-0.25 + 0.75 * 1.25) and own.brow_y == identity.brow_y
    with pytest.raises(ValueError, match="unknown expression 'Grin'; expected one of Smile"):
        with_expressions(identity, {'Grin': 1.0})
    with pytest.raises(ValueError, match='expression Smile is 1.5'):
        with_expressions(identity, {'Smile': 1.5})


def test_the_set_of_expressions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('RETOUCH_CACHE', str(tmp_path))
    config = AttributeData(attributes=('Brow_Height', 'Smile'), size=16, n=6)
    opened = open_attributes(config)
    assert opened.spec.amounts and opened.labels.shape == (6, 2)
    for i in range(6):
        identity, labels, amounts = expressive_face(i)
        assert (opened.images[i] == render_expressions(identity, labels, amounts, 16)).all()
        assert opened.labels[i].tolist() == [amounts[2], amounts[0]]
    again, _ = drawn_expressions(range(6), 16)
    assert isinstance(again, np.memmap) and (again == opened.images).all()
    assert not open_attributes(AttributeData(attributes=('Smiling',), size=16, n=2)).spec.amounts
    batch = make_loader(opened, config, 4, 0, torch.device('cpu')).batch(0, 10)
    assert {*batch.target.flatten().tolist()} <= {*opened.labels.flatten().tolist()}
    with pytest.raises(ValueError, match="unknown attribute 'Smile'"):
        open_attributes(AttributeData(attributes=('Smile', 'Eyeglasses'), size=16, n=2))


def test_an_edit_by_degrees_keeps_the_other_amounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    method = GANimation(make().config, DataSpec(size=16, attributes=EXPRESSIONS, amounts=True))
    weights = {f'{n}.{k}': v for n in method.inference_nets for k, v in method.nets[n].state_dict().items()}
    save_model(tmp_path / 'model', method, weights, {'data': {'kind': 'attributes', 'attributes': list(EXPRESSIONS)}})
    told: list[Tensor] = []
    monkeypatch.setattr(GANimation, 'read', lambda self, image: torch.tensor([[0.2, 0.7, 0.4, 1.3]]).expand(len(image), -1))
    translate = GANimation.translate
    monkeypatch.setattr(GANimation, 'translate', lambda self, r: (told.append(r.target), translate(self, r))[1])
    editor = Editor.load(tmp_path / 'model')
    editor.edit(np.zeros((16, 16, 3), np.uint8), Smile=0.5)
    assert told[-1][0].tolist() == pytest.approx([0.5, 0.7, 0.4, 1.0])
    with pytest.raises(ValueError, match='expressions by degrees, which no protocol of labels fits') as raised:
        evaluate(Request(tmp_path / 'model', n=4))
    assert '\n' not in one_line(raised.value)


def test_scores_of_a_ramp_by_hand() -> None:
    """The truth itself, and the input as it is."""
    ramps = np.stack([ramp_of(1_000_000 + i, 1, 32) for i in range(3)])
    truth = ramps[:, [0, 5, 10, 15, 20]]
    best = scores(truth, ramps)
    assert best['correlation'] > 0.98 and best['error'] < 0.03 and best['psnr_truth'] > 60 and best['faces'] == 3
    still = scores(np.repeat(ramps[:, 10:11], 5, 1), ramps)
    assert still['correlation'] == pytest.approx(0, abs=0.1) and still['error'] == pytest.approx(0.3, abs=0.02) and SEEN[10] == 0.5
    squared = ((ramps[:, 10:11].astype(float) - truth) ** 2).mean()
    assert still['psnr_truth'] == pytest.approx(10 * np.log10(255 ** 2 / squared), abs=1e-6)
