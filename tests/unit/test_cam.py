"""The CAM-consistency loss on its three backbones: what it reaches, what it leaves alone, and what each choice changes."""
from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from retouch.data.batches import DataSpec
from retouch.guidance.gradcam import cam_to_mask, explain, relative_gradcam
from retouch.methods.cam import BACKBONES, CAM, Config
from tests.batches import random_batch

NAMES = tuple(BACKBONES)
SPEC = DataSpec(size=32, attributes=('Black_Hair', 'Blond_Hair', 'Eyeglasses'))
THRES_INT = 0.4                                                  # not the default: the way back depends on it
SMALL = {'stargan': {'width_g': 4, 'width_d': 4, 'blocks': 1}, 'attgan': {'width_g': 4, 'width_d': 4, 'layers': 3, 'thres_int': THRES_INT},
         'stgan': {'width_g': 4, 'width_d': 4, 'layers': 3, 'shortcut': 2, 'thres_int': THRES_INT}}


def make(name: str, **changes: Any) -> CAM:
    torch.manual_seed(0)
    return CAM(Config(backbone={'id': name, **SMALL[name]}, **changes), SPEC)


def batch(n: int = 3, iteration: int = 0) -> Any:
    """A batch in which row 0 asks for nothing and the others change some labels."""
    b = random_batch('attributes', SPEC, n=n, iteration=iteration)
    target = b.labels.clone()
    target[1, 0] = 1 - target[1, 0]
    target[2, 1:] = 1 - target[2, 1:]
    return dataclasses.replace(b, target=target)


def step_of(method: CAM, update: str, b: Any) -> Any:
    """One step as the engine runs it: only the update's own networks learn."""
    method.nets.requires_grad_(False)
    method.nets[update].requires_grad_(True)
    return (method.discriminator_step if update == 'D' else method.generator_step)(b, {})


def gradients(method: CAM, update: str, loss: Tensor) -> dict[str, Tensor]:
    named = dict(method.nets[update].named_parameters())
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {name: g for name, g in zip(named, found, strict=True) if g is not None}


@pytest.mark.parametrize('name', NAMES)
def test_discriminator_step_reaches_the_class_head_through_the_mask(name: str) -> None:
    with_cam, without = make(name), make(name, apply_to='none')
    steps = [step_of(m, 'D', batch()) for m in (with_cam, without)]
    assert set(steps[0].logs) - set(steps[1].logs) == {'cam'} and steps[0].logs['cam'] > 0
    torch.testing.assert_close(steps[0].loss - steps[1].loss, 5 * steps[0].logs['cam'])
    ours, theirs = (gradients(m, 'D', s.loss) for m, s in zip((with_cam, without), steps, strict=True))
    differ = {k for k in ours if not torch.allclose(ours[k], theirs[k], rtol=1e-4, atol=1e-7)}
    assert any(k.startswith('cls') for k in differ), 'the class head learns from the mask'
    assert any(k.startswith('convs') for k in differ)
    assert not any(k.startswith('src') for k in differ), 'the realness head has no part in it'


@pytest.mark.parametrize('name', NAMES)
def test_generator_step_leaves_the_discriminator_and_the_mask_alone(name: str) -> None:
    method = make(name)
    step = step_of(method, 'G', batch())
    step.loss.backward()
    assert all(p.grad is None and not p.requires_grad for p in method.nets['D'].parameters())
    assert not step.images['gradcam'].requires_grad
    # the gradient of the loss equals that of the same loss with the mask as a number
    method = make(name)
    b = batch()
    grads = gradients(method, 'G', step_of(method, 'G', b).loss)
    again = make(name)
    step = step_of(again, 'G', b)
    plain = make(name, apply_to='none')
    inner = step_of(plain, 'G', b)
    y, d = inner.parts['edit'], b.target - b.labels
    back = plain.bring_back(b, inner.parts)
    there, home = step.images['gradcam'], backward_mask(plain, y, back, d)
    loss = inner.loss + 2.5 * (plain.outside(b.image, y, there, d) + plain.outside(y, back, home, d))
    expected = gradients(plain, 'G', loss)
    assert grads.keys() == expected.keys()
    for k in grads:
        torch.testing.assert_close(grads[k], expected[k], rtol=1e-4, atol=1e-6)


def backward_mask(method: CAM, y: Tensor, back: Tensor, d: Tensor) -> Tensor:
    return explain(method.nets['D'], y.detach(), back.detach(), -d, **method.gradcam_options())


def mask_of(D: Any, picture: Tensor, difference: Tensor) -> Tensor:
    """M(picture, difference) of one picture alone, from its 4x4 map: the third of all three discriminators at 32 px."""
    maps = D.features(picture)
    assert maps[2].shape[-1] == 4
    return cam_to_mask(relative_gradcam(maps[2], D.heads(maps[-1])[1], difference, create_graph=False), SPEC.size).detach()


def outside(u: Tensor, v: Tensor, *masks: Tensor) -> Tensor:
    """(4) by hand, with the two masks of (3) clipped to 1."""
    return ((1 - sum(masks).clamp(max=1)) * (u - v).abs()).mean()


def brought_back(name: str, method: CAM, y: Tensor, b: Any) -> Tensor:
    """y with the labels exchanged, as every backbone's paper would write it."""
    G, a = method.nets['G'], b.labels
    if name == 'stargan':
        return G(y, a).tanh()
    if name == 'attgan':
        return G(y, (2 * a - 1) * THRES_INT).tanh()
    return G(y, (a - b.target) * 2 * THRES_INT * b.moment.uniform('intensity', a.shape[1])).tanh()


@pytest.mark.parametrize('name', NAMES)
def test_the_way_back(name: str) -> None:
    method, b = make(name), batch()
    parts = method.backbone.generator_step(b, {}).parts
    y, x = parts['edit'], b.image
    with torch.no_grad():
        torch.testing.assert_close(method.bring_back(b, parts), brought_back(name, method, y, b), rtol=0, atol=1e-6)
    if name == 'stgan':
        unit = make(name, backward_intensity='unit').bring_back(b, parts)
        torch.testing.assert_close(unit, method.nets['G'](y, b.labels - b.target).tanh(), rtol=0, atol=1e-6)
    if name != 'stargan':
        own = (2 * b.labels - 1) * THRES_INT if name == 'attgan' else torch.zeros_like(b.labels)
        found = make(name, backward='reconstruction').bring_back(b, parts)
        torch.testing.assert_close(found, method.nets['G'](x, own).tanh(), rtol=0, atol=1e-6)


@pytest.mark.parametrize('name', NAMES)
def test_both_steps_and_explain_follow_equation_3(name: str) -> None:
    """M(y, d) + M(x, -d): what was added is looked for in the edit, what was there before in the input."""
    method, b = make(name), batch()
    x, d, D = b.image, b.target - b.labels, method.nets['D']
    y = method.backbone.discriminator_step(b, {}).parts['edit']
    m_x, m_y = mask_of(D, x, -d), mask_of(D, y, d)
    there = (m_x + m_y).clamp(max=1)
    for wrong in ((x, d, y, -d), (x, d, y, d), (x, -d, y, -d)):                                      # the signs can be told apart
        other = (mask_of(D, *wrong[:2]) + mask_of(D, *wrong[2:])).clamp(max=1)
        assert (other - there).abs().max() > 0.1 and (outside(x, y, other) - outside(x, y, there)).abs() > 1e-4
    torch.testing.assert_close(explain(D, x, y, d, **method.gradcam_options()), there, rtol=0, atol=1e-5)
    torch.testing.assert_close(step_of(method, 'D', b).logs['cam'], outside(x, y, m_x, m_y), rtol=1e-5, atol=1e-6)
    step = step_of(method, 'G', b)
    D.requires_grad_(True)                                       # Grad-CAM by hand needs a graph
    torch.testing.assert_close(step.images['gradcam'], there, rtol=0, atol=1e-5)
    back = brought_back(name, method, y, b).detach()
    expected = outside(x, y, m_y, m_x) + outside(y, back, m_y, mask_of(D, back, -d))
    torch.testing.assert_close(step.logs['cam'], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', NAMES)
def test_the_mask_of_half_precision_maps_is_float32(name: str) -> None:
    """Under bf16 the D step takes the map as it is and runs what lies behind it in float32."""
    method, b, seen = make(name), batch(), []
    inner = method.outside

    def outside_seen(u: Tensor, v: Tensor, m: Tensor, d: Tensor) -> Tensor:
        seen.append(m)
        return inner(u, v, m, d)

    method.outside = outside_seen                                # type: ignore[method-assign]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        step, parts = step_of(method, 'D', b), method.backbone.discriminator_step(b, {}).parts
    assert parts['maps'][2].dtype == parts['logits'].dtype == torch.bfloat16 and step.logs['cam'].dtype == torch.float32
    a, d = parts['maps'][2].detach().float().requires_grad_(), b.target - b.labels
    cam = relative_gradcam(a, method.nets['D'].heads(a, 3)[1], torch.cat([-d, d]), create_graph=False)
    m_x, m_y = cam_to_mask(cam, SPEC.size).detach().chunk(2)
    mask, = seen
    assert mask.dtype == torch.float32
    torch.testing.assert_close(mask.detach(), (m_x + m_y).clamp(max=1), rtol=0, atol=1e-5)
    torch.testing.assert_close(step.logs['cam'], outside(b.image, parts['edit'].float(), m_x, m_y), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', NAMES)
def test_passes(name: str) -> None:
    """The D step adds no convolution pass; the G step one of x and x' together, to the layer, and for AttGAN and STGAN one of G."""
    rows: dict[str, list[int]] = {}
    for key, changes in (('with', {}), ('without', {'apply_to': 'none'})):
        for update in 'DG':
            method = make(name, **changes)
            seen: list[tuple[str, int]] = []
            first = method.nets['D'].convs[0]
            first.register_forward_hook(lambda m, i, o, seen=seen: seen.append(('D', len(o))))
            g = [m for m in method.nets['G'].modules() if isinstance(m, torch.nn.ConvTranspose2d)][-1]
            g.register_forward_hook(lambda m, i, o, seen=seen: seen.append(('G', len(o))))
            step_of(method, update, batch())
            rows[f'{update} {key}'] = sorted(seen)
    assert rows['D with'] == rows['D without'] == [('D', 3), ('D', 6), ('G', 3)]                       # penalty; real and fake; fake
    extra = [] if name == 'stargan' else [('G', 3)]
    assert rows['G without'] == [('D', 3), ('G', 3), ('G', 3)]
    assert rows['G with'] == sorted([*rows['G without'], ('D', 6), *extra])


@pytest.mark.parametrize('name', NAMES)
def test_baseline_row_is_the_backbone(name: str) -> None:
    method, b = make(name, apply_to='none'), batch()
    backbone = BACKBONES[name](method.config.backbone, SPEC)
    backbone.load_state_dict({k.removeprefix('backbone.'): v for k, v in method.state_dict().items()})
    for update in ('discriminator_step', 'generator_step'):
        ours, theirs = getattr(method, update)(b, {}), getattr(backbone, update)(b, {})
        assert torch.equal(ours.loss, theirs.loss) and ours.logs.keys() == theirs.logs.keys()
    for ours, theirs in zip(method.updates(), backbone.updates(), strict=True):
        for field in ('name', 'nets', 'every', 'at', 'schedule'):
            assert getattr(ours, field) == getattr(theirs, field)


@pytest.mark.parametrize('apply_to,reached', [('both', {'D', 'G'}), ('generator', {'G'}), ('discriminator', {'D'}), ('none', set())])
def test_apply_to(apply_to: str, reached: set[str]) -> None:
    method = make('stargan', apply_to=apply_to)
    assert {u for u in 'DG' if 'cam' in step_of(method, u, batch()).logs} == reached


CHOICES = [('layer', 'last'), ('layer', '-3'), ('layer', 'conv1'), *(('normalise', how) for how in ('std', 'rms', 'meanabs', 'max')),
           ('normalise', 'minmax'), ('normalise', 'none'), *(('combine', how) for how in ('raw', 'max', 'mean')), ('order', 'after'),
           ('reduction', 'channel_sum'), ('score', 'sigmoid'), ('unchanged', 'skip')]
OF_G = [('backward', 'reconstruction'), ('backward', 'none'), ('backward_mask', 'reuse')]


@pytest.mark.parametrize('field,value', CHOICES)
def test_every_choice_changes_both_losses(field: str, value: str) -> None:
    for update in 'DG':
        base, changed = (step_of(make('stargan', **c), update, batch()) for c in ({}, {field: value}))
        assert torch.isfinite(changed.loss)
        assert base.logs['cam'] != changed.logs['cam'], update
    if field == 'reduction':
        torch.testing.assert_close(changed.logs['cam'], 3 * base.logs['cam'])


@pytest.mark.parametrize('field,value', OF_G)
def test_every_choice_of_the_way_back_changes_the_generator_loss(field: str, value: str) -> None:
    base, changed = (step_of(make('stgan', **c), 'G', batch()) for c in ({}, {field: value}))
    assert torch.isfinite(changed.loss) and base.logs['cam'] != changed.logs['cam']


def test_intensity_and_gradient_of_the_way_back() -> None:
    same, unit = (step_of(make('stgan', backward_intensity=v), 'G', batch()) for v in ('same', 'unit'))
    assert same.logs['cam'] != unit.logs['cam']
    methods = [make('stargan', backward_gradient=v) for v in ('both', 'back')]
    steps = [step_of(m, 'G', batch()) for m in methods]
    assert torch.equal(steps[0].loss, steps[1].loss)
    both, back = (gradients(m, 'G', s.loss) for m, s in zip(methods, steps, strict=True))
    assert any(not torch.allclose(both[k], back[k], rtol=1e-4, atol=1e-7) for k in both)


def test_rows_without_a_change() -> None:
    """d = 0: the mask is 0 and the row costs its whole distance, or with 'skip' nothing."""
    b = batch()
    still = dataclasses.replace(b, target=b.labels)
    for update in 'DG':
        kept = step_of(make('stargan'), update, still).logs['cam']
        method = make('stargan')
        y = method.backbone.generate(b.image, b.labels, b.labels)
        distance = (b.image - y).abs().mean()
        if update == 'D':
            torch.testing.assert_close(kept, distance)
        else:
            assert kept > distance
        assert step_of(make('stargan', unchanged='skip'), update, still).logs['cam'] == 0
        loss = step_of(method, update, still).loss
        assert all(torch.isfinite(g).all() for g in gradients(method, update, loss).values())


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"unknown layer 'conv9': expected one of conv1 \(16x16\), conv2 \(8x8\)"):
        make('stargan', layer='conv9')
    with pytest.raises(ValueError, match="backward='reconstruction' with backbone stargan"):
        make('stargan', backward='reconstruction')
    with pytest.raises(ValueError, match='backbone'):
        Config(backbone={'id': 'cyclegan'})
    with pytest.raises(ValueError, match='lambda_rec'):
        Config(backbone={'id': 'stargan', 'lambda_reg': 1})


@pytest.mark.parametrize('name', NAMES)
def test_same_networks_and_same_answers_as_the_backbone(name: str) -> None:
    from retouch.engine.update import AttributeRequest

    method, b = make(name).eval(), batch()
    request = AttributeRequest(b.image, b.labels, b.target)
    with torch.no_grad():
        assert torch.equal(method.translate(request).image, method.backbone.translate(request).image)
        assert method.translate(request).mask is None and torch.equal(method.read(b.image), method.backbone.read(b.image))
    assert {k for k in method.state_dict()} == {f'backbone.{k}' for k in method.backbone.state_dict()}


# ---- the values that choices must have, by hand

def test_rows_left_out_do_not_count() -> None:
    """unchanged='skip': the mean over rows that change, not over all; none of them is 0 and not 0/0."""
    u = torch.zeros(3, 3, 2, 2)
    v, m = torch.tensor([1.0, 2.0, 4.0]).reshape(3, 1, 1, 1).expand_as(u), torch.full((3, 1, 2, 2), 0.5)
    d = torch.tensor([[0.0, 1.0], [0.0, 0.0], [-1.0, 1.0]])
    for name in NAMES:
        assert make(name).outside(u, v, m, d).item() == pytest.approx((0.5 + 1 + 2) / 3)
        assert make(name, unchanged='skip').outside(u, v, m, d).item() == pytest.approx((0.5 + 2) / 2)
        assert make(name, unchanged='skip', reduction='channel_sum').outside(u, v, m, d).item() == pytest.approx(3 * (0.5 + 2) / 2)
        assert make(name, unchanged='skip').outside(u, v, m, 0 * d).item() == 0


@pytest.mark.parametrize('name', NAMES)
def test_the_mask_of_the_way_back_reused(name: str) -> None:
    method, b = make(name, backward_mask='reuse'), batch()
    step = step_of(method, 'G', b)
    parts = method.backbone.generator_step(b, {}).parts
    D, x, y, d = method.nets['D'], b.image, parts['edit'].detach(), b.target - b.labels
    D.requires_grad_(True)
    m_y, m_x = mask_of(D, y, d), mask_of(D, x, -d)
    back = brought_back(name, method, y, b).detach()
    expected = outside(x, y, m_y, m_x) + outside(y, back, m_y, m_x)                          # not M(x', -d)
    torch.testing.assert_close(step.logs['cam'], expected, rtol=1e-5, atol=1e-6)
    assert abs(expected - (outside(x, y, m_y, m_x) + outside(y, back, m_y, mask_of(D, back, -d)))) > 1e-4


def test_every_option_of_a_mask_reaches_the_steps_and_the_explanation() -> None:
    """Each against the mask by hand: layer, normalisation, order, score and combination, in both steps and where the mask explains."""
    b = batch()
    x, d = b.image, b.target - b.labels
    for field, value in (('layer', 'conv2'), ('normalise', 'rms'), ('combine', 'mean'), ('order', 'after'), ('score', 'sigmoid')):
        method = make('attgan', **{field: value})
        D, y = method.nets['D'], method.backbone.discriminator_step(b, {}).parts['edit']

        def mask(picture: Tensor, difference: Tensor, field: str = field, value: str = value, D: Any = D) -> Tensor:
            maps = D.features(picture)
            a, logits = maps[1 if field == 'layer' else 2], D.heads(maps[-1])[1]
            if field == 'score':
                logits = logits.sigmoid()
            cam = relative_gradcam(a, logits, difference, create_graph=False).detach()
            if field == 'order':
                cam = torch.nn.functional.interpolate(cam, size=(32, 32), mode='bilinear', align_corners=False)
            mean, spread = cam.mean((2, 3), keepdim=True), cam.std((2, 3), keepdim=True, unbiased=False)
            rms = cam.square().mean((2, 3), keepdim=True).sqrt()
            scaled = cam / (rms + 1e-5) if field == 'normalise' else (cam - mean) / (spread + 1e-5)
            scaled = torch.where(difference.any(1)[:, None, None, None], scaled, 0.0).clamp(0, 1)
            return torch.nn.functional.interpolate(scaled, size=(32, 32), mode='bilinear', align_corners=False)

        m_x, m_y = mask(x, -d), mask(y, d)
        both = (m_x + m_y) / 2 if field == 'combine' else (m_x + m_y).clamp(max=1)
        plain = make('attgan')
        assert method.gradcam_options() == {**plain.gradcam_options(), {'combine': 'combination'}.get(field, field): value}
        torch.testing.assert_close(explain(D, x, y, d, **method.gradcam_options()), both, rtol=0, atol=1e-4)
        torch.testing.assert_close(step_of(method, 'D', b).logs['cam'], ((1 - both) * (x - y).abs()).mean(), rtol=1e-5, atol=1e-6)
        step = step_of(method, 'G', b)
        torch.testing.assert_close(step.images['gradcam'], both, rtol=0, atol=1e-4)
        assert (explain(D, x, y, d, **plain.gradcam_options()) - both).abs().max() > 0.004, f'{field} is told apart'


@pytest.mark.parametrize('name', NAMES)
def test_masks_of_the_generator_step_are_float32_under_half_precision(name: str) -> None:
    method, b = make(name), batch()
    seen: list[Tensor] = []
    inner = method.outside
    method.outside = lambda u, v, m, d: seen.append(m) or inner(u, v, m, d)                  # type: ignore[method-assign,func-returns-value]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        step, parts = step_of(method, 'G', b), method.backbone.generator_step(b, {}).parts
        with torch.no_grad():
            a_x = method.nets['D'].features(b.image, 3)[-1]
    assert parts['maps'][2].dtype == a_x.dtype == torch.bfloat16 and {m.dtype for m in seen} == {torch.float32} and len(seen) == 2
    assert step.logs['cam'].dtype == torch.float32
    d, found = b.target - b.labels, []
    for a, difference in ((parts['maps'][2], d), (a_x, -d)):
        a = a.detach().float().requires_grad_()
        logits = method.nets['D'].requires_grad_(True).heads(a, 3)[1]
        found.append(cam_to_mask(relative_gradcam(a, logits, difference, create_graph=False), SPEC.size))
    torch.testing.assert_close(seen[0], sum(found).clamp(max=1).detach(), rtol=0, atol=1e-5)
