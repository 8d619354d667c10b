"""LOMIT: published counts, the two pieces others may use, every loss by hand, where gradients end, painted masks, and the data kind."""
from __future__ import annotations

import dataclasses
import inspect
import math
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from retouch import toyfaces
from retouch.data.batches import DataSpec, ExemplarBatch, Moment
from retouch.data.configs import AttributeData, ExemplarData
from retouch.data.loader import ExemplarLoader
from retouch.data.sets import make_loader, open_attributes, open_set, set_to_hash
from retouch.engine import schedules
from retouch.engine.update import ExemplarRequest, Step
from retouch.guidance.cosegmentation import CoSegmentation, similarity_penalty_mean
from retouch.guidance.highway_adain import HighwayAdaIN, highway_adain
from retouch.methods.lomit import GENERATOR, LOMIT, Config
from retouch.networks.lomit import ContentEncoder, Decoder, Discriminator, StyleEncoder, depth_at, init_discriminator, init_generator
from retouch.recipes.registry import RECIPES
from tests.batches import random_batch

CPU = torch.device('cpu')
SPEC = DataSpec(size=16, attributes=('Black_Hair', 'Blond_Hair', 'Eyeglasses'))
SMALL: dict[str, Any] = {'width_g': 4, 'blocks': 1, 'style_dim': 2, 'hidden': 8, 'width_d': 4}
CODE: dict[str, Any] = {'share_style_branches': True, 'adain_std': 'nested', 'r1_detach_mask_input': False, 'lambda_r2': 0.0}
# every switch in its other position, and in which of them a smaller form exists
SWITCHES: tuple[dict[str, Any], ...] = ({}, CODE, {'mask_resolution': 'image'}, {'adain_param': 'direct'}, {'r1_rows': 3},
                                        {'clamp_similarity': True}, {'r3_reduction': 'sum'}, {'lambda_r1': 0.0}, {'n_critic': 1})


def make(**changes: Any) -> LOMIT:
    torch.manual_seed(0)
    return LOMIT(Config(**{**SMALL, **changes}), SPEC)


def batch(n: int = 2, iteration: int = 0) -> ExemplarBatch:
    return random_batch('exemplars', SPEC, n=n, iteration=iteration)


def step_of(method: LOMIT, update: str, b: ExemplarBatch) -> Step:
    """One step as the engine runs it, with its gradients: only the update's own networks learn."""
    u = next(u for u in method.updates() if u.name == update)
    method.zero_grad(set_to_none=True)
    for name, net in method.nets.items():
        net.requires_grad_(name in u.nets)
    step = u.step(b, {})
    step.loss.backward()
    return step


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def calls_of(method: LOMIT, net: str) -> list[tuple[Tensor, ...]]:
    """What a network is given from now on."""
    seen: list[tuple[Tensor, ...]] = []
    method.nets[net].register_forward_pre_hook(lambda _, arguments: seen.append(arguments))
    return seen


def reached(method: LOMIT, loss: Tensor) -> set[str]:
    """The networks in which a loss leaves a gradient other than 0."""
    names = [name for name in method.nets for _ in method.nets[name].parameters()]
    gradients = torch.autograd.grad(loss, list(method.nets.parameters()), allow_unused=True, retain_graph=True)
    return {name for name, g in zip(names, gradients, strict=True) if g is not None and bool(g.any())}


# ---- networks

def test_networks_have_the_published_counts() -> None:
    with torch.device('meta'):
        assert count(ContentEncoder()) == 5_390_848
        assert (count(StyleEncoder()), count(StyleEncoder(share=True))) == (665_216 + 2 * 2_099_720, 665_216 + 2_099_720)
        coseg = CoSegmentation(256)
        assert (count(coseg.gate), count(coseg.main), count(coseg)) == (262_912, 3_543_809, 3_806_721)
        assert count(HighwayAdaIN()) == 2 * 199_680
        assert count(Decoder()) == 5_758_723
        assert [count(Discriminator(k, 128)) for k in (2, 4, 10, 12)] == [44_737_475, 44_753_861, 44_803_019, 44_819_405]
        for row, total in (('paper', 20_220_308), ('code', 18_120_588)):
            run = RECIPES[f'lomit.{row}']()
            nets = LOMIT(run.method, DataSpec(size=128, attributes=run.data.attributes)).nets
            assert sum(count(nets[name]) for name in GENERATOR) == total and set(nets) == {*GENERATOR, 'D'}
    for text, number in ((StyleEncoder.__doc__, 4_864_656), (StyleEncoder.__doc__, 2_764_936), (CoSegmentation.__doc__, 3_806_721)):
        assert f'{number:,}' in str(text)


def test_the_discriminator_follows_the_size() -> None:
    assert {s: depth_at(s) for s in (16, 32, 48, 64, 96, 124, 128, 256, 512)} == {
        16: 3, 32: 4, 48: 4, 64: 5, 96: 5, 124: 5, 128: 6, 256: 6, 512: 6}
    for size, side in ((16, 2), (32, 2), (48, 3), (64, 2), (100, 3), (128, 2)):
        src, cls = Discriminator(5, size, width=2)(torch.zeros(2, 3, size, size))
        assert src.shape == (2, 1, side, side) and cls.shape == (2, 5)
    assert Discriminator(5, 256, width=2).cls.kernel_size == (4, 4)
    with pytest.raises(ValueError, match='layers=6 .* leave 1 px of 64: .*use at most 5'):
        Discriminator(5, 64, layers=6)


@pytest.mark.parametrize('size', [16, 20, 32, 64])
def test_it_trains_at_small_sizes_alone_in_a_batch(size: int) -> None:
    spec = DataSpec(size=size, attributes=('Bangs',))
    method, b = LOMIT(Config(**SMALL), spec), random_batch('exemplars', spec, n=1)
    assert all(step_of(method, name, b).loss.isfinite() for name in ('D', 'G'))
    answer = method.eval().translate(ExemplarRequest(b.image, b.exemplar))
    assert answer.image.shape == b.image.shape and answer.mask is not None and answer.mask.shape == (1, 1, size, size)


@pytest.mark.parametrize('size', [12, 30])
def test_sizes_that_do_not_fit_say_so(size: int) -> None:
    with pytest.raises(ValueError, match=f'size={size}: .*expected a multiple of 4 from 16 on; set --data.size {max(16, size // 4 * 4)}'):
        LOMIT(Config(**SMALL), DataSpec(size=size, attributes=('Bangs',)))


def test_initialisation() -> None:
    torch.manual_seed(0)
    coseg = init_generator(CoSegmentation(64))
    kernels = [m for m in coseg.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(kernels) == 9 and not any(m.bias.any() for m in kernels)
    for m in kernels[:6]:
        assert m.weight.std().item() == pytest.approx(math.sqrt(2 / m.weight[0].numel()), rel=0.03)
    assert all(bool((m.weight == 1).all()) for m in coseg.modules() if isinstance(m, nn.BatchNorm2d))
    D = init_discriminator(Discriminator(3, 16, width=32))
    assert torch.cat([m.weight.flatten() for m in D.modules() if isinstance(m, nn.Conv2d)]).std().item() == pytest.approx(0.02, rel=0.02)
    assert not any(m.bias.any() for m in D.modules() if isinstance(m, nn.Conv2d))


def test_instance_norm_keeps_no_statistics_and_batch_norm_of_the_mask_network_does() -> None:
    method = make()
    running = {name for name in method.nets for key in method.nets[name].state_dict() if 'running' in key}
    assert running == {'A'}
    b = batch(n=3)
    in_training = method.encode(b.image, b.exemplar)
    for _ in range(20):
        method.discriminator_step(b, {})                         # the running averages come near to this batch's statistics
    method.eval()
    assert all(torch.equal(x, y) for x, y in zip(in_training, method.encode(b.image, b.exemplar), strict=True))
    whole, = (method.segment(*in_training)[0],)
    alone, = (method.segment(*(c[:1] for c in in_training))[0],)
    torch.testing.assert_close(whole[:1], alone, rtol=0, atol=1e-6)


# ---- highway AdaIN

def test_highway_adain_by_hand() -> None:
    c = torch.tensor([[1.0, 3.0], [5.0, 7.0]])[None, None]       # mean 4; deviations -3, -1, 1, 3; variance 20 / 3
    mask = torch.tensor([[1.0, 0.0], [0.25, 1.0]])[None, None]
    f, b = torch.tensor([[10.0, math.log(4.0)]]), torch.tensor([[-1.0, 0.0]])        # offset 10, scale 2; offset -1, scale 1
    n = (c - 4) / (math.sqrt(20 / 3) + 1e-5)
    expected = torch.tensor([[2 * n[0, 0, 0, 0] + 10, n[0, 0, 0, 1] - 1],
                             [0.25 * (2 * n[0, 0, 1, 0] + 10) + 0.75 * (n[0, 0, 1, 0] - 1), 2 * n[0, 0, 1, 1] + 10]])[None, None]
    torch.testing.assert_close(highway_adain(c, mask, f, b), expected)
    direct = highway_adain(c, mask, torch.tensor([[10.0, 2.0]]), torch.tensor([[-1.0, 1.0]]), param='direct')
    torch.testing.assert_close(direct, expected)
    # over the columns: sqrt 2 in either row; over these two rows: 0, so that epsilon alone divides
    nested = highway_adain(c, torch.ones_like(mask), f, b, std='nested', eps=0.5)
    torch.testing.assert_close(nested, 2 * (c - 4) / 0.5 + 10)
    rows = torch.tensor([[0.0, 2.0], [0.0, 6.0]])[None, None]    # over the columns sqrt 2 and 3 sqrt 2; over the rows 2; mean 2
    nested = highway_adain(rows, torch.ones_like(mask), f, b, std='nested', eps=0.0)
    torch.testing.assert_close(nested, 2 * (rows - 2) / 2 + 10)


def test_highway_adain_keeps_samples_and_channels_apart() -> None:
    c, mask, f, b = torch.randn(3, 5, 4, 6), torch.rand(3, 1, 4, 6), torch.randn(3, 10), torch.randn(3, 10)
    out = highway_adain(c, mask, f, b)
    torch.testing.assert_close(highway_adain(c[1:2], mask[1:2], f[1:2], b[1:2]), out[1:2])
    assert torch.equal(highway_adain(c, torch.zeros_like(mask), f, b), highway_adain(c, torch.zeros_like(mask), f + 1, b))
    assert torch.equal(highway_adain(c, torch.ones_like(mask), f, b), highway_adain(c, torch.ones_like(mask), f, b + 1))
    ones = highway_adain(c, torch.ones_like(mask), f, b)
    torch.testing.assert_close(ones.mean((2, 3)), f[:, :5])
    torch.testing.assert_close(ones.std((2, 3)), (0.5 * f[:, 5:]).exp(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('std', ['spatial', 'nested'])
def test_highway_adain_of_a_constant_map_is_its_offset_with_a_finite_gradient(std: Any) -> None:
    c, f = torch.ones(1, 2, 3, 3, requires_grad=True), torch.tensor([[1.0, 2.0, 0.0, 0.0]])
    out = highway_adain(c, torch.ones(1, 1, 3, 3), f, torch.zeros(1, 4), std=std)
    assert torch.equal(out, torch.tensor([1.0, 2.0])[None, :, None, None].expand(1, 2, 3, 3))
    assert torch.autograd.grad(out.sum(), c)[0].isfinite().all()


def test_highway_adain_is_float32_at_least_and_names_what_does_not_fit() -> None:
    c, mask, style = torch.randn(1, 2, 3, 3), torch.rand(1, 1, 3, 3), torch.randn(1, 4)
    assert highway_adain(c.bfloat16(), mask, style, style).dtype == torch.float32
    assert highway_adain(*(x.double() for x in (c, mask, style, style))).dtype == torch.float64
    for arguments, what in (((c, mask[..., :2], style, style), 'mask has shape'), ((c, mask, style[:, :2], style), 'foreground has shape'),
                            ((c, mask, style, style[:, :2]), 'background has shape'),
                            ((c[..., :1, :1], mask[..., :1, :1], style, style), '1x1 cells')):
        with pytest.raises(ValueError, match=what):
            highway_adain(*arguments)
    with pytest.raises(ValueError, match='at least 2x2'):
        highway_adain(c[:, :, :1], mask[:, :, :1], style, style, std='nested')
    out = HighwayAdaIN(channels=2, style_dim=3, hidden=4)(c, mask, torch.randn(1, 3), torch.randn(1, 3))
    assert out.shape == c.shape


# ---- co-segmentation

def test_cosegmentation_shapes_ranges_and_the_gate() -> None:
    coseg, c, other = init_generator(CoSegmentation(8)), torch.randn(2, 8, 6, 6) * 20, torch.randn(2, 8, 5, 7)
    mask = coseg(c, other)
    assert mask.shape == (2, 1, 6, 6) and mask.dtype == torch.float32 and 0 <= mask.min() < mask.max() <= 1
    assert coseg.double()(c.double(), other.double()).dtype == torch.float64
    coseg.float()
    gate = coseg.gate(other.mean((2, 3)))
    torch.testing.assert_close(mask, coseg.main(gate[:, :, None, None] * c).sigmoid())
    assert coseg(c, other, size=24).shape == (2, 1, 24, 24)
    shuffled = other.flatten(2)[..., torch.randperm(35)].view_as(other)              # of the other picture only its channel means count
    torch.testing.assert_close(coseg(c, shuffled), mask, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(coseg(c, other + 5), mask, atol=1e-3)
    with pytest.raises(ValueError, match='other has 7 channels: expected 8'):
        coseg(c, other[:, :7])


def plain_penalty(content: Tensor, masks: list[Tensor], clamp: bool = False) -> Tensor:
    """The definition, all of it in one graph."""
    unit = F.normalize(content.flatten(2), dim=1)
    similarity = unit.mT @ unit
    similarity = similarity.clamp(min=0) if clamp else similarity
    return sum((similarity * (m.flatten(2).mT - m.flatten(2)).abs()).mean() for m in masks)             # type: ignore[return-value]


def test_similarity_penalty_by_hand() -> None:
    content = torch.tensor([[3.0, 0.0, -1.0], [0.0, 2.0, 0.0]])[None, :, None]       # cosines: 1-2 0, 1-3 -1, 2-3 0
    mask = torch.tensor([0.2, 0.9, 0.5])[None, None, None]
    assert similarity_penalty_mean(content, [mask]).item() == pytest.approx(2 * -0.3 / 9)
    assert similarity_penalty_mean(content, [mask], clamp=True).item() == pytest.approx(0, abs=1e-7)
    same = content.abs()                                         # 1-3 becomes 1
    assert similarity_penalty_mean(same, [mask, mask]).item() == pytest.approx(2 * 2 * 0.3 / 9), 'a sum over masks'
    assert similarity_penalty_mean(torch.cat([same, same]), [torch.cat([mask, 0 * mask])]).item() == pytest.approx(0.3 / 9), 'a mean over N'
    with pytest.raises(ValueError, match='mask has shape'):
        similarity_penalty_mean(content, [mask[..., :2]])


@pytest.mark.parametrize('clamp', [False, True])
def test_similarity_penalty_and_its_gradient_are_the_definitions_in_any_number_of_rows(clamp: bool) -> None:
    content = torch.randn(2, 5, 4, 6, dtype=torch.float64, requires_grad=True)
    masks = [torch.rand(2, 1, 4, 6, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    whole = plain_penalty(content.detach(), masks, clamp)
    expected = torch.autograd.grad(whole, masks)
    for rows in (None, 1, 7, 24, 100):
        value = similarity_penalty_mean(content, masks, rows=rows, clamp=clamp)
        torch.testing.assert_close(value, whole)
        *found, of_content = torch.autograd.grad(value, [*masks, content], allow_unused=True)
        torch.testing.assert_close(tuple(found), expected)
        assert of_content is None, 'similarities are constants'
    flat = [0.5 + 1e-4 * m.detach().float() for m in masks]
    torch.testing.assert_close(similarity_penalty_mean(content.float(), flat).double(),
                               plain_penalty(content.float().double(), [m.double() for m in flat]), rtol=1e-4, atol=1e-9)


class Memory(TorchDispatchMode):
    """Bytes of the largest tensor that any operation makes, and the most that tensors made here hold together at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = self.peak = 0
        self.made: list[tuple[weakref.ref[Tensor], int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for t in tree_leaves(out):
            if isinstance(t, Tensor):
                self.largest = max(self.largest, t.numel() * t.element_size())
                self.made.append((weakref.ref(t), t.untyped_storage().data_ptr(), t.untyped_storage().nbytes()))
        self.made = [known for known in self.made if known[0]() is not None]
        self.peak = max(self.peak, sum({pointer: size for _, pointer, size in self.made}.values()))
        return out


@pytest.mark.parametrize(('rows', 'mib'), [(512, 5.1), (128, 2.1), (None, 9.1)])
def test_similarity_penalty_holds_two_blocks_of_its_matrix_and_nothing_after(rows: int | None, mib: float) -> None:
    content, masks = torch.randn(2, 256, 32, 32), [torch.rand(2, 1, 32, 32, requires_grad=True) for _ in range(3)]
    with Memory() as seen:
        loss = similarity_penalty_mean(content, masks, rows=rows)
        del content
        kept = sum({pointer: size for known, pointer, size in seen.made if known() is not None}.values())
        loss.backward()
    assert seen.peak / 2 < mib * 2 ** 20, 'two blocks of an image, its normalised features and vectors'
    assert kept / 2 < 2 ** 17, 'for the backward pass: vectors of cells alone'


def test_similarity_penalty_of_an_image_of_32x32_cells_takes_at_most_8_mib() -> None:
    assert Config().r1_rows == inspect.signature(similarity_penalty_mean).parameters['rows'].default == 512
    content, masks = torch.randn(1, 256, 32, 32), [torch.rand(1, 1, 32, 32, requires_grad=True) for _ in range(3)]
    with Memory() as seen:
        similarity_penalty_mean(content, masks).backward()
    assert 4 * 2 ** 20 < seen.peak < 8 * 2 ** 20


@pytest.mark.parametrize('resolution', ['feature', 'image'])
def test_a_step_never_builds_a_matrix_at_the_pictures_size(resolution: Any) -> None:
    spec = DataSpec(size=64, attributes=('Bangs',))
    method, b = LOMIT(Config(**SMALL, mask_resolution=resolution), spec), random_batch('exemplars', spec, n=1)
    with Memory() as seen:
        step_of(method, 'G', b)
    assert seen.largest < 4 * (64 * 64) ** 2 / 16, 'a matrix of 64x64 cells has 64 MiB, of 16x16 a quarter'


# ---- equations

def test_the_translation_by_hand() -> None:
    method, b = make(), batch()
    n, x, e = method.nets, b.image, b.exemplar
    c, o = n['E_c'](x), n['E_c'](e)
    m, k = n['A'](c, o), n['A'](o, c)
    up = nn.Upsample(scale_factor=4, mode='bilinear')
    trunk, head_f, head_b = n['E_s'].trunk, n['E_s'].foreground, n['E_s'].background
    s_f, s_b = head_f(trunk(up(k) * e)), head_b(trunk((1 - up(m)) * x))
    styled = highway_adain(c, m, n['H'].foreground(s_f), n['H'].background(s_b))
    expected = n['G'](styled)
    one, two = method.take_apart(x, e)
    made, _ = method.exchange(one, two)
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.whole, up(m))
    torch.testing.assert_close(1 - one.whole, up(1 - m))


def test_masks_at_the_pictures_size_are_enlarged_before_the_sigmoid_and_averaged_for_the_content() -> None:
    method, b = make(mask_resolution='image'), batch()
    a, _ = method.take_apart(b.image, b.exemplar)
    A, (c, o) = method.nets['A'], method.encode(b.image, b.exemplar)
    logits = A.main(c * A.gate(o.mean((2, 3)))[:, :, None, None])
    torch.testing.assert_close(a.whole, F.interpolate(logits, scale_factor=4, mode='bilinear', align_corners=False).sigmoid())
    torch.testing.assert_close(a.mask, a.whole.unflatten(2, (4, 4)).unflatten(4, (4, 4)).mean((3, 5)))


@pytest.mark.parametrize('changes', SWITCHES, ids=str)
def test_every_loss_by_hand(changes: dict[str, Any]) -> None:
    """From the parts the networks make, with plain sums and means."""
    method, b = make(**changes), batch()
    c, D = method.config, method.nets['D']
    s = step_of(method, 'G', b).logs
    x, y, l_x, l_y = b.image, b.exemplar, b.labels, b.exemplar_labels
    with torch.no_grad():
        p, q = method.take_apart(x, y)
        xy, yx = method.exchange(p, q)
        r, t = method.take_apart(xy, yx)
        xyx, yxy = method.exchange(r, t)
        m_xx, m_yy = method.segment(p.content, p.content)[0], method.segment(q.content, q.content)[0]
        xx, yy = (method.put_together((u.content, m, u.foreground, u.background))[0] for u, m in ((p, m_xx), (q, m_yy)))
        src, cls = zip(D(xy), D(yx), strict=True)
        masks = [p.mask, r.mask, m_xx], [q.mask, t.mask, m_yy]

    def l1(u: Tensor, v: Tensor) -> Tensor:
        return (u - v).abs().sum() / u.numel()

    def bce(logits: Tensor, labels: Tensor) -> Tensor:
        prob = logits.sigmoid()
        return -(labels * prob.log() + (1 - labels) * (1 - prob).log()).sum() / len(logits)

    cells = p.mask[0].numel()
    expected = {
        'adv': -src[0].mean() - src[1].mean(), 'cls': bce(cls[0], l_y) + bce(cls[1], l_x), 'cyc': l1(xyx, x) + l1(yxy, y),
        'aa': l1(xx, x) + l1(yy, y), 's_f': l1(r.foreground, q.foreground) + l1(t.foreground, p.foreground),
        's_b': l1(r.background, p.background) + l1(t.background, q.background), 'c': l1(r.content, p.content) + l1(t.content, q.content),
        'r1': plain_penalty(p.content, masks[0], c.clamp_similarity) + plain_penalty(q.content, masks[1], c.clamp_similarity),
        'r2': -l1(p.foreground, q.foreground),
        'r3': sum(m.mean() for m in (*masks[0], *masks[1])) * (cells if c.r3_reduction == 'sum' else 1)}
    if not c.lambda_r1:
        expected['r1'] = torch.zeros(())
    for name, value in expected.items():
        torch.testing.assert_close(s[name], value, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f'{name}: {text}')
    total = (s['adv'] + s['cls'] + 10 * (s['cyc'] + s['aa']) + s['s_f'] + s['s_b'] + s['c'] + c.lambda_r1 * s['r1'] + c.lambda_r2 * s['r2']
             + 1e-4 * s['r3'])
    torch.testing.assert_close(step_of(method, 'G', b).loss.detach(), total, rtol=1e-4, atol=1e-4)
    assert s['mask_area'] == p.mask.mean() and s['mask_area_exemplar'] == q.mask.mean()


def test_the_critics_losses_by_hand() -> None:
    method, b = make(), batch()
    D = method.nets['D']
    step = step_of(method, 'D', b)
    with torch.no_grad():
        xy, yx = method.exchange(*method.take_apart(b.image, b.exemplar))
    adv = cls = gp = torch.zeros(())
    for real, fake, labels, name in ((b.image, xy, b.labels, 'alpha'), (b.exemplar, yx, b.exemplar_labels, 'alpha_back')):
        src, logits = D(real)
        adv = adv - src.mean() + D(fake)[0].mean()
        cls = cls + F.binary_cross_entropy_with_logits(logits, labels, reduction='sum') / len(real)
        alpha = b.moment.uniform(name, 1, 1, 1)
        hat = (alpha * real + (1 - alpha) * fake).requires_grad_()
        g, = torch.autograd.grad(D(hat)[0].sum(), hat)
        gp = gp + ((g.flatten(1).norm(dim=1) - 1) ** 2).mean()
    for name, value in {'adv': adv, 'cls': cls, 'gp': gp}.items():
        torch.testing.assert_close(step.logs[name], value.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(step.loss.detach(), step.logs['adv'] + step.logs['cls'] + 10 * step.logs['gp'])


def test_the_schedule_is_the_codes() -> None:
    rate = {i: schedules.halved_in_second_half(i, 200_000) for i in (0, 99_999, 100_000, 110_000, 110_001, 120_001, 199_999)}
    assert rate == {0: 1, 99_999: 1, 100_000: 1, 110_000: 1, 110_001: 0.5, 120_001: 0.25, 199_999: 0.5 ** 9}
    optimiser = torch.optim.Adam([nn.Parameter(torch.zeros(1))], 1.0)
    code = torch.optim.lr_scheduler.StepLR(optimiser, 100, 0.5)
    optimiser.step()
    for i in range(2000):                                        # the code's loop, a hundred times shorter
        assert schedules.halved_in_second_half(i, 2000) == code.get_last_lr()[0]
        if i > 1000:
            code.step()
    assert all(schedules.halved_in_second_half(i, 10) <= 1 for i in range(10)), 'short runs too'


# ---- gradients and calls

def test_each_step_reaches_its_own_networks_and_all_of_them() -> None:
    method, b = make(), batch()
    step_of(method, 'G', b)
    assert {name for name, net in method.nets.items() if any(p.grad is not None for p in net.parameters())} == set(GENERATOR)
    step_of(method, 'D', b)
    assert {name for name, net in method.nets.items() if any(p.grad is not None for p in net.parameters())} == {'D'}


def test_the_critics_step_builds_no_generator_graph() -> None:
    method, b = make(), batch()
    method.nets.requires_grad_(True)                             # even if somebody let them learn
    made: list[bool] = []
    method.nets['G'].register_forward_hook(lambda _, arguments, out: made.append(out.requires_grad))
    step = method.discriminator_step(b, {})
    assert made == [False] and reached(method, step.loss) == {'D'}


def test_gradients_of_the_terms_end_where_they_should() -> None:
    """Targets of the code reconstructions are attached, as in the code."""
    method, b = make(), batch()
    method.nets.requires_grad_(True)
    a, o = method.take_apart(b.image, b.exemplar)
    assert reached(method, a.content.sum()) == {'E_c'}
    assert reached(method, a.mask.sum()) == {'E_c', 'A'}
    assert reached(method, (a.foreground + a.background).sum()) == {'E_c', 'A', 'E_s'}
    made, _ = method.exchange(a, o)
    assert reached(method, (made ** 2).sum()) == set(GENERATOR)


@pytest.mark.parametrize(('detach', 'names'), [(True, {'A'}), (False, set(GENERATOR))])
def test_r1_reaches_exactly_what_the_switch_says(detach: bool, names: set[str]) -> None:
    method, b = make(r1_detach_mask_input=detach), batch()
    method.nets.requires_grad_(True)
    a, o = method.take_apart(b.image, b.exemplar)
    ab, ba = method.take_apart(*method.exchange(a, o))
    m_aa, m_bb = method.segment(a.content, a.content)[0], method.segment(o.content, o.content)[0]
    contents = a.content, o.content, ab.content, ba.content
    assert reached(method, method.similarity_penalty(*contents, [a.mask, ab.mask, m_aa], [o.mask, ba.mask, m_bb])) == names
    own = method.similarity_penalty(*contents, [a.mask] * 3, [o.mask] * 3)
    assert reached(method, own) == ({'A'} if detach else {'E_c', 'A'}), "of the pictures' own masks"


def test_both_positions_of_that_switch_have_one_value() -> None:
    b = batch()
    one, other = (step_of(make(r1_detach_mask_input=detach), 'G', b).logs['r1'] for detach in (True, False))
    torch.testing.assert_close(one, other)


def test_every_picture_is_encoded_once() -> None:
    method, b = make(), batch(n=3)
    seen = {name: calls_of(method, name) for name in ('E_c', 'E_s', 'A', 'G', 'D')}

    def sizes(name: str) -> list[int]:
        found = [len(arguments[0]) for arguments in seen[name]]
        seen[name].clear()
        return found

    method.discriminator_step(b, {})
    assert (sizes('E_c'), sizes('E_s'), sizes('A'), sizes('G')) == ([6], [6], [3, 3], [6])
    assert sizes('D') == [12], 'real and fake together; the penalty between them is a closed form'
    method.generator_step(b, {})
    assert sizes('E_c') == [6, 6] and sizes('E_s') == [6, 6], 'the two pictures, then their translations'
    assert sizes('G') == [6, 6, 6] and sizes('D') == [6] and sizes('A') == [3] * 12, 'six masks, and six for (14) alone'
    for changes in ({'r1_detach_mask_input': False}, {'lambda_r1': 0.0}):
        other = make(**changes)
        masks = calls_of(other, 'A')
        other.generator_step(b, {})
        assert len(masks) == 6


def test_shared_heads_are_one_head() -> None:
    shared, apart = make(share_style_branches=True).nets['E_s'], make().nets['E_s']
    assert shared.background is None and apart.background is not None
    x = batch().image
    f, b = shared(x, x)
    assert torch.equal(f, b) and not torch.equal(*apart(x, x))


def test_updates_come_in_the_codes_order() -> None:
    d, g = LOMIT(Config(**SMALL), SPEC).updates()
    assert (d.name, g.name, g.nets) == ('D', 'G', GENERATOR)
    assert [i for i in range(12) if g.runs_at(i, 12)] == [0, 5, 10] and all(d.runs_at(i, 12) for i in range(12))


# ---- translate, painted masks

def test_translate_gives_the_mask_of_the_picture_and_what_it_was_made_of() -> None:
    method, b = make().eval(), batch(n=3)
    with torch.no_grad():
        answer = method.translate(ExemplarRequest(b.image, b.exemplar))
        a, e = method.take_apart(b.image, b.exemplar)
        expected, _ = method.exchange(a, e)
    torch.testing.assert_close(answer.image, expected)
    assert torch.equal(answer.mask, a.whole) and set(answer.extras) == {'exemplar_mask', 'foreground', 'background'}
    for name, tensor in {'exemplar_mask': e.whole, 'foreground': e.foreground, 'background': a.background}.items():
        assert torch.equal(answer.extras[name], tensor)


@pytest.mark.parametrize('resolution', ['feature', 'image'])
def test_painted_masks_change_only_what_they_should(resolution: Any) -> None:
    method, b = make(mask_resolution=resolution).eval(), batch()
    with torch.no_grad():
        plain = method.translate(ExemplarRequest(b.image, b.exemplar))
        cut = plain.extras['exemplar_mask'].clone()
        cut[:, :, 4:10, 4:10] = 0
        other = method.translate(ExemplarRequest(b.image, b.exemplar, exemplar_mask=cut))
        assert torch.equal(other.mask, plain.mask) and torch.equal(other.extras['background'], plain.extras['background'])
        assert torch.equal(other.extras['exemplar_mask'], cut)
        assert not torch.equal(other.extras['foreground'], plain.extras['foreground']), 'the style is read again'
        assert not torch.equal(other.image, plain.image)

        mine = method.translate(ExemplarRequest(b.image, b.exemplar, mask=1 - plain.mask))
        assert torch.equal(mine.mask, 1 - plain.mask) and torch.equal(mine.extras['foreground'], plain.extras['foreground'])
        assert torch.equal(mine.extras['exemplar_mask'], plain.extras['exemplar_mask'])
        assert not torch.equal(mine.extras['background'], plain.extras['background']), 'the background is another part of the picture'


def test_where_nothing_is_foreground_the_exemplar_has_no_say() -> None:
    method, b = make().eval(), batch()
    nothing = torch.zeros(2, 1, 16, 16)
    with torch.no_grad():
        one, other = (method.translate(ExemplarRequest(b.image, e, mask=nothing)) for e in (b.exemplar, b.exemplar.flip(0)))
        everything = [method.translate(ExemplarRequest(b.image, e, mask=1 - nothing)) for e in (b.exemplar, b.exemplar.flip(0))]
    torch.testing.assert_close(one.image, other.image, rtol=0, atol=1e-6)
    assert not torch.allclose(everything[0].image, everything[1].image, atol=1e-4)


def test_a_mask_sent_back_as_it_came_changes_nothing() -> None:
    method, b = make(mask_resolution='image').eval(), batch()
    with torch.no_grad():
        plain = method.translate(ExemplarRequest(b.image, b.exemplar))
        again = method.translate(ExemplarRequest(b.image, b.exemplar, plain.mask, plain.extras['exemplar_mask']))
    assert torch.equal(plain.image, again.image)


def test_requests_that_do_not_fit_are_one_line() -> None:
    method, b = make().eval(), batch()
    good = torch.full((2, 1, 16, 16), 0.5)
    for request, message in ((ExemplarRequest(b.image, b.exemplar[:1]), 'exemplar has shape'),
                             (ExemplarRequest(b.image, b.exemplar, good[..., :8]), 'mask has shape'),
                             (ExemplarRequest(b.image, b.exemplar, exemplar_mask=good.double()), 'expected torch.float32'),
                             (ExemplarRequest(b.image, b.exemplar, good * 3), r'from 1.5 to 1.5: expected \[0,1\]'),
                             (ExemplarRequest(b.image, b.exemplar, good * math.nan), r'expected \[0,1\]')):
        with pytest.raises(ValueError, match=message) as error:
            method.translate(request)
        assert '\n' not in str(error.value)


# ---- data

def written(root: Path, n: int = 20) -> Path:
    """Drawn faces in CelebA's layout."""
    images, _, labels = toyfaces.draw_set(range(n), 24, workers=1)
    (root / 'img_align_celeba').mkdir(parents=True)
    rows = [str(n), ' '.join(toyfaces.ATTRIBUTES)]
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        Image.fromarray(image).save(root / 'img_align_celeba' / f'{i:06d}.png')
        rows.append(f'{i:06d}.png ' + ' '.join('1' if value else '-1' for value in label))
    (root / 'list_attr_celeba.txt').write_text('\n'.join(rows) + '\n')
    return root


def numbered(n: int = 11) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [n,8,8,3] whose red is the picture's number and whose blue counts columns, and labels [n,2] that follow from the number."""
    images = np.zeros((n, 8, 8, 3), np.uint8)
    images[..., 0], images[..., 2] = np.arange(n)[:, None, None], np.arange(8)
    return images, np.stack([np.arange(n) % 2, np.arange(n) % 3 == 0], 1).astype(np.float32)


def test_pictures_and_exemplars_are_two_independent_orders_of_one_set() -> None:
    images, labels = numbered()
    loader = ExemplarLoader(images, labels, batch_size=11, seed=0, size=8, flip=True, device=CPU)
    together, mirrored = 0, list[list[bool]]()
    for iteration in range(4):
        b = loader.batch(iteration, 4)
        for x, shown, index in ((b.image, b.labels, b.index), (b.exemplar, b.exemplar_labels, b.exemplar_index)):
            assert sorted(index.tolist()) == list(range(11)), 'an epoch shows every picture once'
            assert torch.equal(((x[:, 0, 0, 0] + 1) * 127.5).round().long(), index) and torch.equal(shown, torch.from_numpy(labels)[index])
        together += int((b.index == b.exemplar_index).sum())
        mirrored += [(x[:, 2, 0, 0] > x[:, 2, 0, -1]).tolist() for x in (b.image, b.exemplar)]
    assert together < 11 and len({tuple(flips) for flips in mirrored}) == 8, 'flips are drawn apart'


def test_draws_do_not_depend_on_the_number_of_processes() -> None:
    images, labels = numbered()
    shared: dict[str, Any] = {'seed': 5, 'size': 8, 'flip': True, 'device': CPU}
    whole = ExemplarLoader(images, labels, batch_size=6, **shared)
    halves = [ExemplarLoader(images, labels, batch_size=3, rank=r, world=2, **shared) for r in (0, 1)]
    for iteration in range(5):
        one, parts = whole.batch(iteration, 5), [half.batch(iteration, 5) for half in halves]
        for field in dataclasses.fields(one):
            if field.name != 'moment':
                assert torch.equal(getattr(one, field.name), torch.cat([getattr(p, field.name) for p in parts])), field.name
        draws = torch.cat([p.moment.uniform('alpha', 1, 1, 1) for p in parts])
        assert torch.equal(one.moment.uniform('alpha', 1, 1, 1), draws)
    assert isinstance(whole.batch(0, 5).moment, Moment)


@pytest.mark.parametrize('source', ['drawn', 'folder'])
@pytest.mark.parametrize('split', ['train', 'test'])
def test_any_of_keeps_pictures_that_show_one_of_them(source: str, split: Any, tmp_path: Path) -> None:
    where: dict[str, Any] = {'source': str(written(tmp_path))} if source == 'folder' else {'n': 20, 'holdout': 20}
    every = open_attributes(AttributeData(size=24, **where), split)
    hair, wanted = ('Black_Hair', 'Brown_Hair'), ('Smiling', 'Black_Hair')
    keep = every.labels[:, [toyfaces.ATTRIBUTES.index(name) for name in hair]].max(1) == 1
    opened = open_set(ExemplarData(attributes=wanted, any_of=hair, size=24, **where), split)
    assert 0 < keep.sum() < len(keep) or split == 'test'
    assert np.array_equal(opened.images, every.images[keep]) and opened.spec.attributes == wanted
    assert np.array_equal(opened.labels, every.labels[keep][:, [toyfaces.ATTRIBUTES.index(name) for name in wanted]])
    everything = open_set(ExemplarData(size=24, **where), split)
    assert np.array_equal(everything.images, every.images) and set_to_hash(everything) == set_to_hash(every) != set_to_hash(opened)
    for config in (ExemplarData(any_of=('Blond',), size=24, **where), ExemplarData(attributes=wanted, any_of=('Blond',), size=24, **where)):
        with pytest.raises(ValueError, match="unknown attribute 'Blond': did you mean 'Blond_Hair'"):
            open_set(config, split)


def test_a_loader_is_made_for_the_set_and_an_empty_one_is_refused() -> None:
    config = ExemplarData(size=16, n=6, attributes=('Smiling',))
    loader = make_loader(open_set(config), config, 3, 0, CPU)
    b, same = loader.batch(1, 2), loader.batch(1, 2)
    assert isinstance(loader, ExemplarLoader) and torch.equal(b.exemplar, same.exemplar) and b.labels.shape == (3, 1)
    first = open_set(ExemplarData(size=16, n=1))
    nobody = ExemplarData(size=16, n=1, any_of=(toyfaces.ATTRIBUTES[int(first.labels[0].argmin())],))
    with pytest.raises(ValueError, match='--data.any-of'):
        make_loader(open_set(nobody), nobody, 3, 0, CPU)


# ---- recipes and commands

def test_recipes_say_what_the_paper_and_the_code_do() -> None:
    paper, code = RECIPES['lomit.paper'](), RECIPES['lomit.code']()
    m = paper.method
    assert m == Config() and (m.lr, m.beta1, m.beta2, m.n_critic) == (1e-4, 0.5, 0.999, 5)
    assert (m.lambda_cls, m.lambda_gp, m.lambda_x, m.lambda_code, m.lambda_r1, m.lambda_r2, m.lambda_r3) == (1, 10, 10, 1, 0.1, 0.01, 1e-4)
    assert (paper.train.iterations, paper.train.batch_size, paper.train.ema) == (200_000, 8, None)
    assert (paper.data.size, paper.data.crop, paper.data.flip, paper.data.holdout) == (128, 178, True, 2000)
    assert paper.data.attributes == ('Facial_Hair',)
    assert code.method == Config(**CODE) and code.train == paper.train
    assert code.data.attributes == (*code.data.any_of, 'Smiling') == ('Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Smiling')
    assert set(RECIPES['lomit.toyfaces']().data.attributes) <= set(toyfaces.ATTRIBUTES)


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from retouch.cli.main import main

    small = ['--data.n', '12', '--data.size', '16', '--train.batch-size', '2', '--method.width-g', '4', '--method.width-d', '4',
             '--method.blocks', '1']
    assert main(['train', 'lomit.toyfaces', *small, '--dry-run']) == 0
    assert main(['train', 'lomit.toyfaces', *small, '--stop-after', '2', '--out', str(tmp_path / 'run')]) == 0
    shown = capsys.readouterr().out
    run = tmp_path / 'run'
    assert 'stopped' in shown and f'retouch evaluate {run}' in shown and f'retouch edit {run} PICTURE.png --exemplar OTHER.png' in shown


def test_every_weight_of_both_losses() -> None:
    """All of them distinct and none 1, so that none may be lost, doubled or exchanged."""
    weights = {'lambda_cls': 2.0, 'lambda_x': 3.0, 'lambda_code': 5.0, 'lambda_r1': 0.7, 'lambda_r2': 0.11, 'lambda_r3': 0.013,
               'lambda_gp': 7.0}
    method, b = make(**weights), batch()
    step = step_of(method, 'G', b)
    s = step.logs
    expected = (s['adv'] + 2 * s['cls'] + 3 * (s['cyc'] + s['aa']) + 5 * (s['s_f'] + s['s_b'] + s['c']) + 0.7 * s['r1'] + 0.11 * s['r2']
                + 0.013 * s['r3'])
    torch.testing.assert_close(step.loss.detach(), expected, rtol=1e-5, atol=1e-5)
    terms = ('adv', 'cls', 'cyc', 'aa', 's_f', 's_b', 'c', 'r1', 'r2', 'r3')
    assert all(s[name].abs() > 1e-4 for name in terms), 'each term weighs something here'
    d = step_of(method, 'D', b)
    torch.testing.assert_close(d.loss.detach(), d.logs['adv'] + 2 * d.logs['cls'] + 7 * d.logs['gp'], rtol=1e-5, atol=1e-5)
