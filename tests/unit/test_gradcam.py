"""Grad-CAM of a difference of labels: equal to captum's, and safe in both steps of a GAN."""
from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from captum.attr import LayerGradCam
from torch import Tensor, nn

from retouch.guidance.gradcam import cam_to_mask, combine, constant_masks, depth_of, explain, normalise, relative_gradcam
from retouch.networks import attgan, stargan

K, SIZE = 5, 32


def critics() -> dict[str, Any]:
    torch.manual_seed(0)
    return {'stargan': stargan.Discriminator(K, SIZE, 4), 'attgan': attgan.Discriminator(K, SIZE, 4, layers=3),
            'stgan': attgan.Discriminator(K, SIZE, 4, layers=3, bias=True, slope=0.2, head_slope=0.2)}


def inputs(n: int = 3) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    x = torch.rand(n, 3, SIZE, SIZE, generator=g, dtype=torch.float64) * 2 - 1
    return x, torch.randint(-1, 2, (n, K), generator=g).double()


class Scored(nn.Module):
    """What captum differentiates: one number a picture."""

    def __init__(self, D: Any, difference: Tensor) -> None:
        super().__init__()
        self.D, self.difference = D, difference

    def forward(self, x: Tensor) -> Tensor:
        return (self.D(x)[1] * self.difference).sum(1)


def captum_cam(name: str, D: Any, x: Tensor, difference: Tensor, depth: int) -> Tensor:
    """LayerGradCam of the map after `depth` convolutions and their activations, with a graph."""
    if name == 'stargan':                                        # the activation is no module: the map is the next layer's input
        layer, into = (D.convs[depth] if depth < len(D.convs) else D.cls), True
    else:
        layer, into = D.convs[depth - 1], False
    return LayerGradCam(Scored(D, difference), layer).attribute(x, attribute_to_layer_input=into, grad_kwargs={'create_graph': True})


@pytest.mark.parametrize('name', ['stargan', 'attgan', 'stgan'])
def test_mask_and_parameter_gradients_equal_captums(name: str) -> None:
    D, (x, d), seen = critics()[name].double(), inputs(), 0
    for depth in range(1, len(D.convs) + 1):
        maps = D.features(x)
        ours = relative_gradcam(maps[depth - 1], D.heads(maps[-1])[1], d, create_graph=True)
        theirs = captum_cam(name, D, x, d, depth)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
        masks, gradients = [], []
        for cam in (ours, theirs):
            mask = cam_to_mask(cam, SIZE)
            masks.append(mask)
            gradients.append(torch.autograd.grad((mask * x.abs()).mean(), list(D.parameters()), allow_unused=True))
        torch.testing.assert_close(masks[0], masks[1], rtol=0, atol=1e-12)
        for a, b in zip(*gradients, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
                seen += bool(a.abs().max() > 0)
    assert seen > 4 * len(D.convs)


@pytest.mark.parametrize('name', ['stargan', 'attgan', 'stgan'])
def test_constant_masks_are_the_same_masks_without_a_graph(name: str) -> None:
    D, (x, d) = critics()[name].double(), inputs()
    for depth in range(1, len(D.convs) + 1):
        maps = D.features(x)
        expected = cam_to_mask(relative_gradcam(maps[depth - 1], D.heads(maps[-1])[1], d, create_graph=False), SIZE)
        D.requires_grad_(False)
        with torch.no_grad():
            found = constant_masks(D, D.features(x, depth)[-1], d, SIZE, depth)
        D.requires_grad_(True)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        assert not found.requires_grad and all(p.grad is None for p in D.parameters())
        assert found.shape == (3, 1, SIZE, SIZE) and found.min() >= 0 and found.max() <= 1


def test_a_hand_computed_mask() -> None:
    a = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0], [0.0, 0.0]]]]).requires_grad_()          # [1,2,2,2]
    logits = torch.stack([(a[:, 0] * 2).sum((1, 2)), (a[:, 1] * 8).sum((1, 2))], 1)                     # gradients 2 and 8 everywhere
    cam = relative_gradcam(a, logits, torch.tensor([[1.0, -1.0]]), create_graph=False)
    expected = torch.tensor([[[[2.0 - 8, 4.0], [6.0, 8.0]]]])
    torch.testing.assert_close(cam, expected)
    z = (expected - 3) / (29.0 ** 0.5 + 1e-5)                                                          # mean 3, population variance 29
    torch.testing.assert_close(normalise(cam), z)
    torch.testing.assert_close(cam_to_mask(cam, 2), z.clamp(0, 1))


@pytest.mark.parametrize('how', ['zscore', 'std', 'rms', 'meanabs', 'max', 'minmax', 'none'])
def test_no_difference_gives_mask_0_and_no_nan(how: str) -> None:
    D, (x, d) = critics()['attgan'].double(), inputs()
    d[1] = 0
    maps = D.features(x)
    for depth in range(1, len(maps) + 1):
        for order in ('before', 'after'):
            mask = cam_to_mask(relative_gradcam(maps[depth - 1], D.heads(maps[-1])[1], d, create_graph=True), SIZE, how, order)
            gradients = torch.autograd.grad((mask * x).sum(), list(D.parameters()), allow_unused=True, retain_graph=True)
            assert (mask[1] == 0).all() and torch.isfinite(mask).all() and mask[0].max() > 0
            assert all(torch.isfinite(g).all() for g in gradients if g is not None)


def test_normalisations_by_hand() -> None:
    cam = torch.tensor([[[[-1.0, 0.0], [1.0, 4.0]]]])
    expected = {'zscore': (cam - 1) / 3.5 ** 0.5, 'std': cam / 3.5 ** 0.5, 'rms': cam / 4.5 ** 0.5, 'meanabs': cam / 1.5, 'max': cam / 4,
                'minmax': (cam + 1) / 5, 'none': cam}
    for how, value in expected.items():
        torch.testing.assert_close(normalise(cam, how), value, rtol=0, atol=1e-4)
    constant = torch.ones(1, 1, 2, 2)
    assert {how: round(float(normalise(constant, how).mean()), 3) for how in expected} == {
        'zscore': 0, 'std': 0, 'rms': 1, 'meanabs': 1, 'max': 1, 'minmax': 0, 'none': 1}


def test_order_and_combination() -> None:
    cam = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    before = F.interpolate(normalise(cam).clamp(0, 1), size=(8, 8), mode='bilinear')
    after = normalise(F.interpolate(cam, size=(8, 8), mode='bilinear')).clamp(0, 1)
    assert torch.equal(cam_to_mask(cam, 8), before) and torch.equal(cam_to_mask(cam, 8, order='after'), after)
    assert not torch.allclose(before, after)
    a, b = torch.tensor([0.2, 0.8, 1.0]), torch.tensor([0.3, 0.6, 1.0])
    for how, value in {'clip': [0.5, 1, 1], 'raw': [0.5, 1.4, 2], 'max': [0.3, 0.8, 1], 'mean': [0.25, 0.7, 1]}.items():
        torch.testing.assert_close(combine(a, b, how), torch.tensor(value))


def test_sigmoid_scores_weigh_by_the_slope() -> None:
    D, (x, d) = critics()['stargan'].double(), inputs()
    maps = D.features(x)
    logits = D.heads(maps[-1])[1]
    slope = (logits.sigmoid() * (1 - logits.sigmoid())).detach()
    found = relative_gradcam(maps[-1], logits, d, create_graph=True, score='sigmoid')
    torch.testing.assert_close(found, relative_gradcam(maps[-1], logits, d * slope, create_graph=False), rtol=0, atol=1e-12)


def test_without_a_graph_the_class_head_would_learn_nothing() -> None:
    """Why relative_gradcam asks for create_graph by name: the wrong form still gives the trunk a gradient."""
    D, (x, d) = critics()['attgan'].double(), inputs()
    for create_graph, learns in ((True, True), (False, False)):
        maps = D.features(x)
        mask = cam_to_mask(relative_gradcam(maps[-1], D.heads(maps[-1])[1], d, create_graph=create_graph), SIZE)
        weights = [D.convs[0][0].weight, D.cls[0].weight, D.cls[2].weight]
        trunk, *head = torch.autograd.grad((mask * x.abs()).mean(), weights, allow_unused=True)
        assert trunk.abs().max() > 0
        assert all((g is not None and bool(g.abs().max() > 0)) == learns for g in head)


def test_layers_by_name() -> None:
    sides = [64, 32, 16, 8, 4, 2]
    names = {'conv1': 1, 'conv6': 6, 'last': 6, '-1': 6, '-2': 5, '4x4': 5, '8x8': 4, '3x3': 5, '2x2': 6, '128x128': 1}
    assert {name: depth_of(name, sides) for name in names} == names
    assert depth_of('4x4', [64, 32, 16, 8, 4]) == 5 and depth_of('4x4', [24, 12, 6, 3]) == 3
    for wrong in ('conv7', '-7', 'layer4', '4x5', '', '-0'):
        with pytest.raises(ValueError, match=r"unknown layer .*conv1 \(64x64\), .*conv6 \(2x2\).*'last'"):
            depth_of(wrong, sides)


def test_explain() -> None:
    D, (x, d) = critics()['stargan'], inputs()
    x, d = x.float(), d.float()
    y = -x
    D.requires_grad_(False)
    with torch.no_grad():
        mask = explain(D, x, y, d)
        alone = explain(D, x[:1], y[:1], d[:1])
        raw = explain(D, x, y, d, combination='raw', layer='conv2')
    assert mask.shape == (3, 1, SIZE, SIZE) and mask.dtype == torch.float32 and not mask.requires_grad
    torch.testing.assert_close(mask[:1], alone, rtol=0, atol=1e-6)
    assert 0 <= mask.min() and mask.max() <= 1 and raw.max() <= 1 and not torch.equal(mask, raw)
