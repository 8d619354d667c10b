"""SeCGAN on its two backbones: where its gradients go, what its losses are, what stays the backbone's, and its frozen parser."""
from __future__ import annotations

import contextlib
import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from retouch.cli import main as cli
from retouch.data.batches import DataSpec
from retouch.data.parsing import IDS, TWELVE, groups_of
from retouch.engine import schedules
from retouch.engine.trainer import Trainer
from retouch.engine.update import AttributeRequest
from retouch.evaluation import evaluate as evaluation
from retouch.losses import gradient_penalty
from retouch.methods import cam, parser
from retouch.methods.secgan import BACKBONES, Config, SeCGAN
from retouch.model import load_model, save_model
from retouch.recipes.registry import RECIPES, TABLES, override
from retouch.training import build, train_run
from tests.batches import random_batch

NAMES = ('stargan', 'attgan')


def make(name: str = 'stargan', *, told: dict[str, Any] | None = None, **changes: Any) -> SeCGAN:
    """The tiny form; `told` are changes of the backbone. Its parser has learned nothing but names many classes."""
    torch.manual_seed(0)
    small = SeCGAN.tiny(name)
    config = small.config.model_copy(update={'backbone': small.config.backbone.model_copy(update=told or {}), **changes})
    torch.manual_seed(0)
    method = SeCGAN(config, small.data)
    if 'P' in method.nets:
        norms = [m for m in method.nets['P'].modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
            norm.train()
        with torch.no_grad():
            method.nets['P'].head.bias.zero_()
            method.nets['P'](random_batch('attributes', small.data, n=8).image)
        for norm in norms:
            norm.eval()
    return method


def batch(method: SeCGAN, n: int = 2, iteration: int = 0) -> Any:
    return random_batch('attributes', method.data, n=n, iteration=iteration)


def trainer_of(method: Any) -> Trainer:
    return Trainer(method, Fabric(accelerator='cpu', devices=1), iterations=10)


def as_in_update(method: SeCGAN, name: str) -> Any:
    """The Update of that name, with the networks switched as the engine does."""
    update = next(u for u in method.updates() if u.name == name)
    method.nets.requires_grad_(False)
    for net in update.nets:
        method.nets[net].requires_grad_(True)
    return update


def reached(method: SeCGAN, loss: Tensor) -> set[str]:
    """Networks that a loss gives a gradient other than 0."""
    method.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)
    return {n for n, net in method.nets.items() if any(p.grad is not None and bool(p.grad.ne(0).any()) for p in net.parameters())}


# ---- gradients and values

NOTHING = {'stargan': {'lambda_adv': 0.0, 'lambda_cls': 0.0, 'lambda_rec': 0.0},
           'attgan': {'lambda_adv': 0.0, 'lambda_cls_d': 0.0, 'lambda_cls_g': 0.0, 'lambda_rec': 0.0}}
TERMS = {'stargan': ('lambda_adv', 'lambda_cls', 'lambda_rec'), 'attgan': ('lambda_adv', 'lambda_cls_g', 'lambda_rec')}


def both_branches(method: SeCGAN, b: Any) -> tuple[Any, Any, Tensor]:
    s, d = method.parse(b.image), b.target - b.labels
    z, z_rec = method.edit_parse(s, d)
    rgb = method.rgb_loss(b, {}, z.detach().argmax(1))
    return rgb, method.semantic_loss(b, s, z, z_rec, rgb.parts['classes']), z


@pytest.mark.parametrize('name', NAMES)
def test_consistency_reaches_its_own_generator_and_nothing_else(name: str) -> None:
    """(11) alone, (12) alone, and both in the joint step; P is asked with a gradient and gets none."""
    method = make(name, told=NOTHING[name], lambda_sc=1.0)
    as_in_update(method, 'G')
    rgb, seg, _ = both_branches(method, batch(method))
    assert torch.equal(rgb.loss, rgb.logs['sc']) and torch.equal(seg.loss, seg.logs['sc'])
    assert reached(method, rgb.loss) == {'G'} and all(p.grad is None for p in method.nets['G_seg'].parameters())
    assert reached(method, seg.loss) == {'G_seg'} and all(p.grad is None for p in method.nets['G'].parameters())
    assert all(p.grad is None and not p.requires_grad for p in method.nets['P'].parameters())
    with_everything_on = make(name, told=NOTHING[name], lambda_sc=1.0)     # also where nothing but the losses themselves could stop it
    with_everything_on.nets.requires_grad_(True)
    rgb, seg, _ = both_branches(with_everything_on, batch(method))
    assert reached(with_everything_on, seg.loss) == {'G_seg'} and reached(with_everything_on, rgb.loss) == {'G', 'P'}


@pytest.mark.parametrize('name', NAMES)
def test_every_other_term_stays_in_its_branch(name: str) -> None:
    for term in TERMS[name]:
        method = make(name, told={**NOTHING[name], term: 1.0}, lambda_sc=1e-30)
        as_in_update(method, 'G')
        rgb, seg, _ = both_branches(method, batch(method))
        assert reached(method, rgb.loss) == {'G'} and reached(method, seg.loss) == {'G_seg'}, term
    method = make(name)
    for update, net in (('D', 'D'), ('D_seg', 'D_seg')):
        step = as_in_update(method, update).step(batch(method), {})
        assert reached(method, step.loss) == {net}


@pytest.mark.parametrize('name', NAMES)
def test_joint_loss_is_the_sum_of_both(name: str) -> None:
    method = make(name)
    b, step = batch(method), as_in_update(method, 'G').step
    made = step(b, {})
    rgb, seg, _ = both_branches(make(name), b)
    torch.testing.assert_close(made.loss, rgb.loss + seg.loss)
    assert {k: v.item() for k, v in made.logs.items()} == pytest.approx(
        {**{k: v.item() for k, v in rgb.logs.items()}, **{f'{k}_seg': v.item() for k, v in seg.logs.items()}})
    assert set(made.images) == {'input', 'edit', 'parse of edit', 'parse', 'edited parse'}
    assert all(v.shape == (2, 3, 32, 32) and not v.requires_grad for v in made.images.values())


@pytest.mark.parametrize('name', NAMES)
def test_consistency_by_hand(name: str) -> None:
    method = make(name)
    b = batch(method)
    rgb, seg, z = both_branches(method, b)
    p = method.nets['P'](rgb_edit(method, b)).softmax(1)         # [N,12,H,W], twelve classes: nothing to sum
    t = z.softmax(1)
    assert min(len(p.argmax(1).unique()), len(t.argmax(1).unique())) >= 3
    follows = [-p[n, t[n, :, i, j].argmax(), i, j].log() for n in range(2) for i in range(32) for j in range(32)]
    leads = [-t[n, p[n, :, i, j].argmax(), i, j].log() for n in range(2) for i in range(32) for j in range(32)]
    torch.testing.assert_close(rgb.logs['sc'], torch.stack(follows).mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(seg.logs['sc'], torch.stack(leads).mean(), rtol=1e-4, atol=1e-5)


def rgb_edit(method: SeCGAN, b: Any) -> Tensor:
    """y of a training pass."""
    d = b.target - b.labels
    return method.nets['G'](b.image, d).tanh().detach()


@pytest.mark.parametrize('name', NAMES)
def test_semantic_terms_by_hand(name: str) -> None:
    """Sum over attributes for StarGAN, mean for AttGAN; the ordinary BCE, that rewards a 0 where the label is 0."""
    method = make(name)
    b, D = batch(method), method.nets['D_seg']
    s, d = method.parse(b.image), b.target - b.labels
    step = as_in_update(method, 'D_seg').step(b, {})
    t = method.nets['G_seg'](s, d).softmax(1).detach()
    probability = D(s)[1].sigmoid()
    bce = -(b.labels * probability.log() + (1 - b.labels) * (1 - probability).log())
    torch.testing.assert_close(step.logs['cls'], bce.sum(1).mean() if name == 'stargan' else bce.mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(step.logs['adv'], D(t)[0].mean() - D(s)[0].mean(), rtol=1e-4, atol=1e-5)
    gp = gradient_penalty(lambda u: D(u)[0], s, t, b.moment.uniform('alpha_seg', 1, 1, 1))
    torch.testing.assert_close(step.logs['gp'], gp, rtol=1e-4, atol=1e-5)
    c = method.config.backbone
    weight = c.lambda_cls if name == 'stargan' else c.lambda_cls_d
    torch.testing.assert_close(step.loss, step.logs['adv'] + weight * step.logs['cls'] + c.lambda_gp * step.logs['gp'])
    assert torch.equal(step.keep['parse'], s)
    seg = as_in_update(method, 'G').step(b, {}).logs
    again = method.nets['G_seg'](s, torch.zeros_like(d)).log_softmax(1)
    torch.testing.assert_close(seg['rec_seg'], -(again * s).sum(1).mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(seg['adv_seg'], -D(t)[0].mean(), rtol=1e-4, atol=1e-5)


def test_closed_form_penalty_of_parses() -> None:
    method = make(told={'penalty': 'closed_form'}).double()
    torch.manual_seed(1)
    s, t = torch.rand(2, 2, 12, 32, 32, dtype=torch.float64)
    alpha = torch.rand(2, 1, 1, 1)
    found = method.penalty(s, t, alpha)
    torch.testing.assert_close(found, gradient_penalty(lambda u: method.nets['D_seg'](u)[0], s, t, alpha), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('name', NAMES)
def test_finite_with_saturated_logits(name: str) -> None:
    method = make(name, lambda_sc=1.0)
    with torch.no_grad():
        last = [m for m in method.nets['G_seg'].modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)][-1]
        last.weight *= 1e6
        method.nets['P'].head.weight *= 1e6
    b = batch(method)
    for update in ('D_seg', 'G'):
        loss = as_in_update(method, update).step(b, {}).loss
        loss.backward()
        assert torch.isfinite(loss)
        assert all(torch.isfinite(p.grad).all() for p in method.nets.parameters() if p.grad is not None)


# ---- order and rhythm

@pytest.mark.parametrize('name', NAMES)
def test_order(name: str) -> None:
    """'joint': both losses from the networks before the step. 'sequential': G_seg meets what the new G makes."""
    told = {'lr': 0.05, 'n_critic': 1}
    joint, sequential = make(name, told=told), make(name, told=told, order='sequential')
    b = batch(joint)
    assert [u.name for u in joint.updates()] == ['D', 'D_seg', 'G'] and joint.updates()[2].nets == ('G', 'G_seg')
    assert [u.name for u in sequential.updates()] == ['D', 'D_seg', 'G', 'G_seg']
    ours, theirs = trainer_of(joint), trainer_of(sequential)
    found, other = ours.train_iteration(b), theirs.train_iteration(b)
    for term in ('adv', 'cls', 'rec', 'sc'):
        torch.testing.assert_close(found['G'].logs[term], other['G'].logs[term])
    torch.testing.assert_close(found['G'].logs['rec_seg'], other['G_seg'].logs['rec'])
    assert (found['G'].logs['sc_seg'] - other['G_seg'].logs['sc']).abs() > 1e-5
    # by hand, from the networks before and after
    before, after = make(name, told=told), sequential
    s, d = before.parse(b.image), b.target - b.labels
    z = before.nets['G_seg'](s, d)
    for method, value in ((before, found['G'].logs['sc_seg']), (after, other['G_seg'].logs['sc'])):
        classes = method.log_parse(rgb_edit(method, b)).argmax(1)
        torch.testing.assert_close(F.cross_entropy(z, classes), value, rtol=1e-4, atol=1e-5)
    for net in ('G', 'D', 'D_seg'):                              # the same first steps
        for p, q in zip(joint.nets[net].parameters(), sequential.nets[net].parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


def test_rhythm() -> None:
    def rhythm(**changes: Any) -> dict[str, list[int]]:
        return {u.name: [i for i in range(6) if u.runs_at(i, 10)] for u in make('attgan', told={'n_critic': 2}, **changes).updates()}

    assert rhythm() == {'D': list(range(6)), 'D_seg': list(range(6)), 'G': [1, 3, 5]}
    assert rhythm(loop='backbone') == {'D': [0, 1, 3, 4], 'D_seg': [0, 1, 3, 4], 'G': [2, 5]}
    method = make('attgan', told={'n_critic': 1}, loop='backbone')
    trainer = trainer_of(method)
    for i in range(2):                                           # G's own batch: nothing of D's step is reused
        done = trainer.train_iteration(batch(method, iteration=i))
    assert set(done) == {'G'} and torch.isfinite(done['G'].loss)


@pytest.mark.parametrize('name', NAMES)
def test_passes(name: str) -> None:
    """A whole iteration: every network is asked once where once is enough; batches of 2."""
    def passes(**changes: Any) -> dict[str, list[int]]:
        method = make(name, told={'n_critic': 1}, **changes)
        seen: dict[str, list[int]] = {}
        for n, net in method.nets.items():
            first = net.head if n == 'P' else net.convs[0] if n.startswith('D') else [
                m for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)][-1]
            first.register_forward_hook(lambda m, i, o, n=n: seen.setdefault(n, []).append(len(o)))
        trainer_of(method).train_iteration(batch(method))
        return seen

    edit_and_own = [4] if name == 'stargan' else [2, 2]          # instance norm: both in one call; batch norm: one after the other
    own = [2] if name == 'stargan' else [2, 2]                   # StarGAN's steps share the edit, AttGAN's have batches of their own
    rgb = {'G': [2, *own], 'D': [4, 2, 2]}                       # D: real and fake, penalty; edit
    assert passes(lambda_sc=0.0) == rgb
    assert passes() == {**rgb, 'G_seg': [2, *edit_and_own], 'D_seg': [4, 2, 2], 'P': [2, 2]}     # P: x, and y for both losses
    assert passes(form='concat') == {**rgb, 'P': [2]}            # once an iteration


# ---- what stays the backbone's

@pytest.mark.parametrize('name', NAMES)
def test_the_picture_branch_is_the_backbone(name: str) -> None:
    """Without the consistency loss, and with one that rounds to nothing beside a semantic branch that learns: equal bit for bit."""
    def rgb(method: Any, iterations: int = 4) -> dict[str, Tensor]:
        trainer = trainer_of(method)
        for i in range(iterations):
            trainer.train_iteration(random_batch('attributes', method.data, iteration=i))
        return {f'{n}.{k}': v for n in ('G', 'D') for k, v in method.nets[n].state_dict().items()}

    baseline = make(name, lambda_sc=0.0, loop='backbone')
    assert set(baseline.nets) == {'G', 'D'} and not baseline.config.uses_parser
    torch.manual_seed(0)
    alone = rgb(BACKBONES[name](baseline.config.backbone, baseline.data))
    for method in (baseline, make(name, lambda_sc=1e-30, loop='backbone')):
        found = rgb(method)
        assert found.keys() == alone.keys() and all(torch.equal(found[k], alone[k]) for k in alone)
    there, beside = rgb(make(name, lambda_sc=0.0)), rgb(make(name, lambda_sc=1e-30))       # in Algorithm 1's rhythm
    assert all(torch.equal(there[k], beside[k]) for k in there)
    moved = rgb(make(name, lambda_sc=1.0))
    assert any(not torch.equal(moved[k], there[k]) for k in there if k.startswith('G'))


@pytest.mark.parametrize('name', NAMES)
def test_inference_is_the_backbones(name: str, tmp_path: Path) -> None:
    method = make(name).eval()
    weights = {f'{n}.{k}': v for n in method.inference_nets for k, v in method.nets[n].state_dict().items()}
    backbone = BACKBONES[name](method.config.backbone, method.data).eval()
    assert method.inference_nets == backbone.inference_nets == ('G', 'D')
    assert weights.keys() == {f'{n}.{k}' for n in ('G', 'D') for k in backbone.nets[n].state_dict()}
    for n in ('G', 'D'):
        backbone.nets[n].load_state_dict(method.nets[n].state_dict())
    save_model(tmp_path, method, weights, {})
    model = load_model(tmp_path)                                 # no parser anywhere
    assert set(model.method.nets) == {'G', 'D'}
    request = AttributeRequest(*(getattr(batch(method), f) for f in ('image', 'labels', 'target')))
    with torch.no_grad():
        expected = backbone.translate(request)
        for m in (method, model.method):
            made = m.translate(request)
            assert torch.equal(made.image, expected.image) and made.mask is None and not made.extras
            assert torch.equal(m.read(request.image), backbone.read(request.image))


@pytest.mark.parametrize('name', NAMES)
def test_kept_semantic_branch(name: str, tmp_path: Path) -> None:
    method = make(name, keep_semantic=True).eval()
    weights = {f'{n}.{k}': v for n in method.inference_nets for k, v in method.nets[n].state_dict().items()}
    save_model(tmp_path, method, weights, {})
    loaded = load_model(tmp_path).method
    assert set(loaded.nets) == {'G', 'D', 'G_seg', 'P'}
    request = AttributeRequest(*(getattr(batch(method), f) for f in ('image', 'labels', 'target')))
    with torch.no_grad():
        made, again = loaded.translate(request), make(name).eval().translate(request)
        expected = method.nets['G_seg'](method.parse(request.image), request.target - request.source).softmax(1)
    assert torch.equal(made.image, again.image)
    torch.testing.assert_close(made.extras['semantic'], expected)
    torch.testing.assert_close(made.extras['semantic'].sum(1), torch.ones(2, 32, 32))


@pytest.mark.parametrize('name', NAMES)
def test_concat(name: str, tmp_path: Path) -> None:
    """G sees picture and parse; its model holds the parser; the parse is a constant."""
    method = make(name, form='concat')
    assert set(method.nets) == {'G', 'D', 'P'} and method.inference_nets == ('G', 'D', 'P')
    b = batch(method)
    x, seen = b.image.clone().requires_grad_(), list[Tensor]()
    net = method.nets['G'].net                                   # StarGAN's first convolution is done in two parts, not called
    first = net if name == 'stargan' else next(m for m in net.modules() if isinstance(m, nn.Conv2d))
    hook = first.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0][:, :15]))
    method.nets['G'](x, b.target - b.labels)
    hook.remove()
    assert method.nets['G'].known is None
    assert torch.equal(seen[0][:, :3], x) and torch.equal(seen[0][:, 3:], method.parse(b.image))
    seen[0][:, 3:].sum().backward()
    assert x.grad.abs().sum() == 0
    trainer = trainer_of(method)
    for i in range(2):
        trainer.train_iteration(batch(method, iteration=i))
    weights = trainer.inference_weights()
    save_model(tmp_path, method, weights, {})
    request = AttributeRequest(b.image, b.labels, b.target)
    method.eval()
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path).method.translate(request).image, method.translate(request).image)
        flipped = dataclasses.replace(request, image=-request.image)
        assert not torch.equal(method.translate(flipped).image, method.translate(request).image)


# ---- the parser

@pytest.mark.parametrize('changes', [{}, {'form': 'concat'}])
def test_the_parser_rests(changes: dict[str, Any]) -> None:
    method = make(**changes)
    trainer = trainer_of(method)
    before = {k: v.clone() for k, v in method.nets['P'].state_dict().items()}
    for i in range(2):
        trainer.train_iteration(batch(method, iteration=i))
    method.train()
    assert method.training and not any(m.training for m in method.nets['P'].modules())
    assert all(torch.equal(v, before[k]) for k, v in method.nets['P'].state_dict().items()), 'also its running statistics'
    mine = {id(p) for p in method.nets['P'].parameters()}
    assert not any(id(p) in mine for o in trainer.optimisers.values() for g in o.param_groups for p in g['params'])


def test_a_state_knows_its_parser() -> None:
    method = make()
    state = {k: v.clone() for k, v in method.state_dict().items()}
    with torch.no_grad():
        for net in ('G', 'D', 'G_seg', 'D_seg'):
            next(method.nets[net].parameters()).zero_()
    method.load_state_dict(state)
    assert all(torch.equal(v, state[k]) for k, v in method.state_dict().items())
    with torch.no_grad():
        next(method.nets['P'].parameters())[0, 0, 0, 0] += 1e-3
    with pytest.raises(ValueError, match='the parser is another one: set --method.parser to the one it was trained with'):
        method.load_state_dict(state)
    baseline = make(lambda_sc=0.0)
    assert not any('.P.' in k for k in baseline.state_dict())
    baseline.load_state_dict(baseline.state_dict())


@pytest.mark.parametrize('name', NAMES)
def test_a_step_asks_nothing_of_the_host(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device there is no value to ask for."""
    monkeypatch.setattr(torch, 'autocast', lambda *_, **__: contextlib.nullcontext())          # it does not know that device
    for changes in ({}, {'order': 'sequential'}, {'form': 'concat'}, {'parser_classes': 'celebamask'}):
        with torch.device('meta'):
            method = SeCGAN(Config(backbone=SeCGAN.tiny(name).config.backbone, parser_width=2, **changes), SeCGAN.tiny().data)
        b = batch(method)
        there = dataclasses.replace(b, **{k: getattr(b, k).to('meta') for k in ('image', 'labels', 'target')})
        for update in method.updates():
            assert as_in_update(method, update.name).step(there, {}).loss.shape == ()


def test_nineteen_classes_are_summed_before_the_argmax() -> None:
    method = make(parser_classes='celebamask')
    x = batch(method).image.requires_grad_()
    logs = method.log_parse(x)
    assert method.nets['P'].head.out_channels == 19 and logs.shape == (2, 12, 32, 32)
    torch.testing.assert_close(logs.exp().sum(1), torch.ones(2, 32, 32))
    fine = method.nets['P'](x).softmax(1)
    summed = torch.zeros(2, 12, 32, 32).index_add(1, torch.tensor(groups_of(IDS['celebamask'])), fine)
    torch.testing.assert_close(logs.exp(), summed, rtol=1e-4, atol=1e-6)
    logs[:, 0].sum().backward()
    assert x.grad.abs().sum() > 0, 'the gradient reaches the picture'
    s = method.parse(x)
    assert not s.requires_grad and torch.equal(s.sum(1), torch.ones(2, 32, 32)) and torch.equal(s.argmax(1), logs.argmax(1))
    assert s.is_contiguous()


def test_parses_are_made_in_full_precision() -> None:
    method = make()
    x = batch(method).image
    with torch.autocast('cpu', torch.bfloat16):
        found, rounded = method.log_parse(x), method.log_parse(x.bfloat16())
    assert torch.equal(found, method.log_parse(x)) and rounded.dtype == torch.float32


def saved_parser(folder: Path, seed: int = 3, **spec: Any) -> Path:
    torch.manual_seed(seed)
    width = spec.pop('width', 2)
    made = parser.Parser(parser.Config(width=width), DataSpec(**{'size': 32, 'attributes': TWELVE, **spec}))
    save_model(folder / 'model', made, {f'parser.{k}': v for k, v in made.nets['parser'].state_dict().items()}, {})
    return folder


def small_run(name: str = 'secgan.stargan_toyfaces', **changes: str) -> Any:
    small = {'method.parser_width': '2', 'method.backbone.width_g': '4', 'method.backbone.width_d': '4', 'data.n': '8',
             'train.batch_size': '2', 'train.iterations': '4', 'train.log_every': '1'}
    return override(RECIPES[name](), {**small, **changes})


def test_the_parser_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = SimpleNamespace(spec=DataSpec(size=32, attributes=RECIPES['secgan.stargan_toyfaces']().data.attributes))
    right = saved_parser(tmp_path / 'right')

    def built(**changes: str) -> Any:
        return build(small_run(**{'method.parser': str(right), **changes}), opened)

    method, expected = built(), load_model(right).method.nets['parser'].state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in method.nets['P'].state_dict().items())
    assert set(built(**{'method.lambda_sc': '0', 'method.parser': ''}).nets) == {'G', 'D'}, 'the baseline needs none'
    mistakes = {
        '': 'method.parser is not set: expected a face parser of 32 px; train one with `retouch train parser.toyfaces48 --data.size 32',
        str(tmp_path / 'nowhere'): 'unknown model',
        'judge': 'is a classifier: expected a parser',
        str(saved_parser(tmp_path / 'size', size=48)): 'parses 48 px, the pictures are 32 px',
        str(saved_parser(tmp_path / 'classes', attributes=IDS['celebamask'])):
            'names 19 classes, background, skin, nose, …: expected those of parser_classes=twelve; set --method.parser-classes celebamask',
        str(saved_parser(tmp_path / 'width', width=4)): 'has width 4: expected parser_width=2; set --method.parser-width 4',
    }
    for path, message in mistakes.items():
        with pytest.raises(ValueError) as caught:
            built(**{'method.parser': path})
        assert message in str(caught.value)
        capsys.readouterr()
        small = ['--method.parser', path, '--method.parser-width', '2', '--out', str(tmp_path / 'run')]
        assert cli.main(['train', 'secgan.stargan_toyfaces', *small]) == 2
        err = capsys.readouterr().err
        assert message in err and len(err.strip().splitlines()) == 1 and not (tmp_path / 'run').exists()
    assert built(**{'method.parser': str(tmp_path / 'classes'), 'method.parser_classes': 'celebamask'}).nets['P'].head.out_channels == 19


def test_training_resumes_with_its_parser(tmp_path: Path) -> None:
    """A run goes on with the same parser wherever that lies, and with no other."""
    first, other = saved_parser(tmp_path / 'first'), saved_parser(tmp_path / 'other', seed=4)
    run, out = small_run(**{'method.parser': str(first)}), tmp_path / 'run'
    assert train_run(run, out, stop_after=2, show=False)[1] == 'stopped'
    with pytest.raises(ValueError, match='the parser is another one') as caught:
        train_run(small_run(**{'method.parser': str(other)}), out, resume='auto', show=False)
    assert '\n' not in str(caught.value)
    shutil.move(first, tmp_path / 'moved')
    assert train_run(small_run(**{'method.parser': str(tmp_path / 'moved')}), out, resume='auto', show=False)[1] == 'finished'
    assert set(load_model(out).method.nets) == {'G', 'D'}


def test_a_model_before_training_has_its_parser(tmp_path: Path) -> None:
    """The row `untrained` of a card: what never learns was there before."""
    method = make('attgan', form='concat')
    weights = {f'{n}.{k}': v for n in method.inference_nets for k, v in method.nets[n].state_dict().items()}
    save_model(tmp_path, method, weights, {'seed': 7})
    before = evaluation._untrained(load_model(tmp_path))
    assert all(torch.equal(v, method.nets['P'].state_dict()[k]) for k, v in before.nets['P'].state_dict().items())
    assert not torch.equal(next(before.nets['G'].parameters()), next(method.nets['G'].parameters()))


# ---- recipes, and what the backbones learned for it

def test_recipes_are_their_backbones_with_a_branch_beside() -> None:
    told = {'stargan': {'condition': 'difference', 'reconstruct': 'self'}, 'attgan': {'condition': 'difference'}}
    rows = {'': {}, '_concat': {'form': 'concat'}, '_sc0': {'lambda_sc': 0.0}, '_sc1e-3': {'lambda_sc': 0.001},
            '_sc1e-1': {'lambda_sc': 0.1}}
    seen = set()
    for backbone in NAMES:
        for tier in ('paper', 'toyfaces'):
            alone = RECIPES[f'{backbone}.{tier}']()
            for row, changes in rows.items():
                run = RECIPES[f'secgan.{backbone}_{tier}{row}']()
                data = alone.data.model_copy(update={'holdout': 19_962, 'validation': 637} if tier == 'paper' else {})
                assert (run.data, run.train, run.seed) == (data, alone.train, alone.seed)
                rate = {'schedule': 'exponential_second_half'} if (backbone, tier) == ('attgan', 'paper') else {}
                assert run.method == Config(backbone=alone.method.model_copy(update={**told[backbone], **rate}), **changes)
                seen.add(f'secgan.{backbone}_{tier}{row}')
    folder, alone = RECIPES['secgan.attgan_folder64'](), RECIPES['attgan.folder64']()
    assert (folder.data, folder.train) == (alone.data, alone.train) and folder.method.backbone.layers == alone.method.layers
    seen |= {'secgan.attgan_folder64', 'secgan.attgan_folder64_sc0'}
    seen |= {f'secgan.{row}{end}' for row in ('stgan_paper', 'stargan_hq128', 'stargan_hq256', 'stargan_rafd') for end in ('', '_sc0')}
    assert seen == {f'secgan.{row}' for row in TABLES['secgan']} and len(seen) == 30
    assert Config().backbone == RECIPES['secgan.stargan_paper']().method.backbone and Config().lambda_sc == 0.01


def test_backbones_as_the_paper_tells_them() -> None:
    star, att = make('stargan').backbone, make('attgan').backbone
    b = random_batch('attributes', star.data)
    a, t = b.labels, b.target
    y, x_rec = star.generate(b.image, torch.cat([a, a]), torch.cat([t, a])).chunk(2)
    torch.testing.assert_close(y, star.nets['G'](b.image, t - a).tanh(), rtol=0, atol=1e-5)
    torch.testing.assert_close(x_rec, star.nets['G'](b.image, 0 * a).tanh(), rtol=0, atol=1e-5)
    step = star.generator_step(b, {})
    torch.testing.assert_close(step.logs['rec'], (b.image - x_rec).abs().mean(), rtol=1e-5, atol=1e-6)
    assert 'reconstruction' in step.parts and 'cycle' not in step.parts
    assert torch.equal(att.label(a, t, 7.0), t - a) and torch.equal(att.label(a, a), 0 * a)
    rate = [schedules.exponential_second_half(i, 200) for i in (0, 100, 150, 200)]
    assert rate == pytest.approx([1, 1, 0.1, 0.01])
    brought = cam.CAM(cam.Config(backbone=star.config), star.data)
    brought.backbone = star                                      # the loss of CAM-consistency needs y brought back: one pass more
    torch.testing.assert_close(brought.bring_back(b, step.parts), star.generate(step.parts['edit'], t, a), rtol=0, atol=0)
    itself = cam.CAM(cam.Config(backbone=star.config, backward='reconstruction'), star.data)
    assert itself.bring_back(b, step.parts) is step.parts['reconstruction']


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match='there is no semantic branch to keep'):
        make(keep_semantic=True, form='concat')
    with pytest.raises(ValueError, match='size=16: the parser halves the picture four times'):
        SeCGAN(make().config, DataSpec(size=16, attributes=('Eyeglasses',)))
    with pytest.raises(ValueError, match='backbone'):
        Config(backbone={'id': 'cyclegan'})
    with pytest.raises(ValueError, match='lambda_sc'):
        Config(lambda_cs=0.1)


def test_on_stgan() -> None:
    """The paper's section 3.1: any editing GAN. The picture branch scales d by its own draw, the semantic one does not."""
    method = make('stgan')
    b = batch(method)
    s, d = method.parse(b.image), b.target - b.labels
    z, z_rec = method.edit_parse(s, d)
    torch.testing.assert_close(z, method.nets['G_seg'].train()(s, d), rtol=0, atol=1e-5)
    torch.testing.assert_close(z_rec, method.nets['G_seg'](s, 0 * d), rtol=0, atol=1e-5)
    found = method.semantic_loss(b, s, z, z_rec, z.argmax(1))
    logits = method.nets['D_seg'](z.softmax(1))[1]
    torch.testing.assert_close(found.logs['cls'], F.binary_cross_entropy_with_logits(logits, b.target, reduction='none').sum(1).mean())
    assert [(u.name, u.every) for u in method.updates()] == [('D', 1), ('D_seg', 1), ('G', 2)]


def test_class_loss_of_classes_that_exclude_each_other() -> None:
    """[D3]: softmax cross-entropy in both branches, of one-hot labels."""
    method = make(told={'labels': 'single'})
    b = batch(method)
    one_hot = torch.eye(3)[[0, 2]]
    b = dataclasses.replace(b, labels=one_hot, target=torch.eye(3)[[1, 0]])
    s = method.parse(b.image)
    z, z_rec = method.edit_parse(s, b.target - b.labels)
    logits = method.nets['D_seg'](z.softmax(1))[1].detach()
    expected = -sum(logits[i].log_softmax(0)[k] for i, k in enumerate((1, 0))) / 2
    torch.testing.assert_close(method.semantic_loss(b, s, z, z_rec, z.argmax(1)).logs['cls'], expected)
    real = method.nets['D_seg'](s)[1].detach()
    expected = -sum(real[i].log_softmax(0)[k] for i, k in enumerate((0, 2))) / 2
    torch.testing.assert_close(method.semantic_discriminator_step(b, {}).logs['cls'], expected)
    made = method.nets['D'](method.backbone.generate(b.image, b.labels, b.target))[1].detach()
    expected = -sum(made[i].log_softmax(0)[k] for i, k in enumerate((1, 0))) / 2
    torch.testing.assert_close(method.rgb_loss(b, {}, z.argmax(1)).logs['cls'], expected)
