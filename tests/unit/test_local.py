"""Local: its losses by hand, what its critic sees, where its mask may be, and how its batches are drawn."""
from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from retouch.data.batches import AttributeBatch, DataSpec, Moment
from retouch.data.configs import AttributeData
from retouch.data.labels import other_classes
from retouch.data.loader import AttributeLoader, equally_often
from retouch.data.sets import AttributeSet, make_loader
from retouch.editor import Editor
from retouch.engine.config import TrainConfig
from retouch.engine.update import AttributeRequest
from retouch.methods.local import BLACK, SHARP, SPOT, Config, Local, relative, seen_changes, turned
from retouch.model import Model
from retouch.networks.local import Critic, Generator
from retouch.recipes.registry import load_run
from retouch.run import Run
from retouch.training import build
from tests.batches import random_batch

SPEC = DataSpec(size=16, attributes=('A', 'B', 'C'))


def make(**changes: object) -> Local:
    torch.manual_seed(0)
    return Local(Config(**{'width_g': 4, 'width_d': 4, 'blocks': 1, **changes}), SPEC)      # type: ignore[arg-type]


def batch_at(iteration: int) -> AttributeBatch:
    return random_batch('attributes', SPEC, n=2, iteration=iteration)


def constant_scores(method: Local, biases: list[list[float]]) -> None:
    """Heads that give every patch of scale j the scores h_jk = biases[j][k], whatever the picture."""
    with torch.no_grad():
        for head, values in zip(method.nets['D'].heads, biases, strict=True):
            head.weight.zero_()
            head.bias.copy_(torch.tensor(values))


def test_adversarial_terms_by_hand() -> None:
    method = make()
    constant_scores(method, [[0.5, 1.0, -2.0, 0.25], [-1.0, 0.0, 0.5, 3.0]])
    whole = batch_at(1)
    batch = dataclasses.replace(whole, labels=torch.tensor([[1., 0, 0], [1, 1, 0]]), target=torch.tensor([[0., 0, 0], [1, 1, 0]]))
    # by hand: h_0 + sum_k (2 b_k - 1) h_k
    of_a = [[0.5 + 1 + 2 - 0.25, -1 + 0 - 0.5 - 3], [0.5 + 1 - 2 - 0.25, -1 + 0 + 0.5 - 3]]         # [row][scale]
    of_b = [[0.5 - 1 + 2 - 0.25, -1 - 0 - 0.5 - 3], of_a[1]]

    def phi(t: float) -> float:
        return math.log1p(math.exp(t))

    d = method.critic_step(batch, {})
    real = sum(phi(-s) for row in of_a for s in row) / 2
    fake = sum(phi(s) for row in of_b for s in row) / 2
    wrong = sum(phi(s) for s in of_b[0]) / 2                     # the second row's target is what it shows
    assert d.logs['real'].item() == pytest.approx(real, rel=1e-6)
    assert d.logs['fake'].item() == pytest.approx(fake, rel=1e-6)
    assert d.logs['wrong'].item() == pytest.approx(wrong, rel=1e-6)
    assert d.logs['pen'].item() == 0
    assert d.loss.item() == pytest.approx(real + fake + 0.5 * wrong + d.logs['cls'].item(), rel=1e-6)
    adv = sum(phi(-s) for row in of_b for s in row) / 2
    assert method.generator_step(batch, {}).logs['adv'].item() == pytest.approx(adv, rel=1e-6)


def test_without_projection_and_as_wasserstein_by_hand() -> None:
    method = make(projection=False, lambda_wrong=0, penalty='wgan', scales='last', gamma=0)
    constant_scores(method, [[0.75]])
    d = method.critic_step(batch_at(0), {})
    assert (d.logs['real'].item(), d.logs['fake'].item()) == (-0.75, 0.75)
    assert d.loss.item() == pytest.approx(d.logs['cls'].item())
    with pytest.raises(ValueError, match='lambda-wrong 0'):
        Config(projection=False)


def linear_critic(method: Local) -> None:
    """A critic whose every slope is known: one channel that passes the mean of a 4x4 block's red."""
    D = method.nets['D']
    with torch.no_grad():
        for p in D.parameters():
            p.zero_()
        for conv in D.convs:
            conv.weight[0, 0] = 1 / 16
        D.heads[0].weight[0, 0, 1, 1] = 2.0                     # h_0 at the local scale
        D.heads[0].weight[1, 0, 1, 1] = 1.0                     # h_1


def test_r1_by_hand_and_on_every_fourth_iteration() -> None:
    method = make(gamma=3.0)
    linear_critic(method)
    x = torch.rand(2, 3, 16, 16) * 0.5 + 0.25                   # positive: every LeakyReLU passes
    a = torch.tensor([[1., 0, 0], [0, 0, 0]])
    # size 16: three convolutions, a map of 2x2, so the local scale is the last as well; d mean s / dx = slope * (chain of 1/16) / 4
    delta = torch.zeros(1, 1, 2, 2, dtype=torch.float64) + 1
    chain = delta
    for _ in range(3):
        chain = F.conv_transpose2d(chain, torch.full((1, 1, 4, 4), 1 / 16, dtype=torch.float64), stride=2, padding=1)
    squares = float((chain / 4).square().sum())
    by_hand = ((2 + 1) ** 2 + (2 - 1) ** 2) / 2 * squares
    assert method.penalty(x, x, a, Moment(count=2, total=2)).item() == pytest.approx(by_hand, rel=1e-5)
    terms = {i: method.critic_step(dataclasses.replace(batch_at(i), image=x, labels=a, target=1 - a), {}) for i in range(5)}
    assert [round(terms[i].logs['pen'].item() / by_hand, 4) for i in range(5)] == [4, 0, 0, 0, 4]
    logs = terms[4].logs
    total = logs['real'] + logs['fake'] + 0.5 * logs['wrong'] + logs['cls'] + 3 / 2 * logs['pen']
    assert terms[4].loss.item() == pytest.approx(total.item(), rel=1e-6)


def test_wasserstein_penalty_by_hand() -> None:
    method = make(penalty='wgan', lambda_wrong=0)
    linear_critic(method)
    x = torch.rand(2, 3, 16, 16) * 0.5 + 0.25
    chain = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    for _ in range(3):
        chain = F.conv_transpose2d(chain, torch.full((1, 1, 4, 4), 1 / 16, dtype=torch.float64), stride=2, padding=1)
    norm = float((chain / 4).norm())
    by_hand = ((3 * norm - 1) ** 2 + (norm - 1) ** 2) / 2
    got = method.penalty(x, x.flip(0), torch.tensor([[1., 0, 0], [0, 0, 0]]), Moment(count=2, total=2))
    assert got.item() == pytest.approx(by_hand, rel=1e-5)


def test_the_generator_waits_for_the_critic() -> None:
    critic, generator = make(head_start=5, n_critic=2).updates()
    assert [i for i in range(10) if generator.runs_at(i, 10)] == [5, 7, 9] and all(critic.runs_at(i, 10) for i in range(10))


def test_weights_of_the_generator_step() -> None:
    batch = batch_at(1)
    logs = make().generator_step(batch, {}).logs
    terms = {'lambda_adv': 'adv', 'lambda_cls': 'cls', 'lambda_rec': 'rec', 'lambda_area': 'mask_area'}
    assert logs['mask_spread'] > 0
    for weight, term in terms.items():
        off = {**dict.fromkeys(terms, 0.0), weight: 3.0}
        assert make(**off).generator_step(batch, {}).loss.item() == pytest.approx(3 * logs[term].item(), rel=1e-5), weight
    off, step = dict.fromkeys(terms, 0.0), {}
    mask = make().generator_step(batch, step).images['mask']
    binary = make(**off, lambda_binary=3.0).generator_step(batch, {}).loss.item()
    assert binary == pytest.approx(3 * (mask * (1 - mask)).mean().item(), rel=1e-5)


def test_the_price_of_light_is_of_what_may_change() -> None:
    off = {name: 0.0 for name in ('lambda_adv', 'lambda_cls', 'lambda_rec')}
    priced, batch = make(**off, bound='black', lambda_light=3.0), batch_at(1)
    batch.image[0, :, :5] = -1                                   # a black ground, over which no mean is taken
    step = priced.generator_step(batch, {})
    changes = [(y - x)[:, x.amax(0) > 2 * BLACK - 1] for x, y in zip(batch.image, step.images['edit'], strict=True)]     # [3,pixels]
    assert all((c.abs() > SPOT).any() and (c.abs() < SPOT).any() for c in changes), 'a spot counts as much as it may, and no more'
    expected = sum(c.clamp(-SPOT, SPOT).mean(1).abs().mean().item() for c in changes) / len(changes)
    assert expected > 1e-3 and step.logs['light'].item() == pytest.approx(expected, rel=1e-5)
    assert step.loss.item() == pytest.approx(3 * expected, rel=1e-5)
    assert step.loss.grad_fn is not None and make(**off).generator_step(batch, {}).logs['light'].item() == 0


def test_sharp_masks_by_hand() -> None:
    """(10) with a logit of 0.5 everywhere and grey content: k 1 or 6, drawn a row, the same rows in both steps and in (8)."""
    x, batch = torch.full((8, 3, 16, 16), 0.5), random_batch('attributes', SPEC, n=8, iteration=1)
    batch = dataclasses.replace(batch, image=x)
    soft, hard = (1 / (1 + math.exp(-k * 0.5)) for k in (1, SHARP))
    drawn = (batch.moment.uniform('sharp', 1).flatten() < 0.5).tolist()
    assert (round(soft, 4), round(hard, 4)) == (0.6225, 0.9526) and set(drawn) == {True, False}
    for share, wanted in ((0.0, [soft] * 8), (0.5, [hard if d else soft for d in drawn]), (1.0, [hard] * 8)):
        method = make(sharp=share, mask_bias=0.5, lambda_adv=0, lambda_cls=0, lambda_rec=1)
        with torch.no_grad():
            method.nets['G'].main[-1].weight.zero_()             # content tanh(0) = 0, logit 0 + mask_bias
        m = torch.tensor(wanted).reshape(8, 1, 1, 1).expand(-1, 1, 16, 16)
        made = method.critic_step(batch, {}).keep
        alone, sharing = method.generator_step(batch, {}), method.generator_step(batch, made)
        for images in (made, alone.images, sharing.images):
            torch.testing.assert_close(images['mask'].detach(), m)
            torch.testing.assert_close(images['edit'].detach(), (0.5 * (1 - m)).expand(-1, 3, -1, -1))
        rec = sum(0.5 - 0.5 * (1 - v) ** 2 for v in wanted) / 8  # back = y (1 - m) with the same m
        assert alone.loss.item() == pytest.approx(rec, rel=1e-5) and torch.equal(alone.loss, sharing.loss)
        edit = method.translate(AttributeRequest(x, batch.labels, batch.target))
        assert edit.mask is not None and edit.mask.mean().item() == pytest.approx(soft, abs=1e-6), 'an edit is never sharpened'


def test_scores_that_attend_to_the_mask_by_hand() -> None:
    """(12): half of the mean over four patches, half over those of the mask, as much as they hold; a small mask is worth a large one."""
    scores = torch.tensor([[[1., 2], [3, 4]], [[5, 6], [7, 8]]])
    mask = torch.zeros(2, 1, 8, 8)
    mask[0, :, :4, 4:] = 1.0                                     # row 0: the whole second patch
    mask[1, :, 0, 0] = 0.5                                       # row 1: one pixel of the first, and as much of the last
    mask[1, :, 7, 7] = 0.5
    by_hand = (0.5 * 2.5 + 0.5 * 2 + 0.5 * 6.5 + 0.5 * (5 + 8) / 2) / 2
    assert make(attended=0.5).over_patches(scores, mask).item() == pytest.approx(by_hand, rel=1e-4)
    assert make().over_patches(scores, mask).item() == 4.5
    nothing = make(attended=1.0).over_patches(scores, torch.zeros(2, 1, 8, 8, requires_grad=True))
    assert nothing.item() == pytest.approx(4.5), 'without a mask, everywhere'
    assert not nothing.requires_grad, 'a mask does not move to where it is judged kindly'
    moment = batch_at(0).moment
    draws = moment.uniform('seen_x', 9)
    draws[:, 6] = 0                                              # a picture as sharp as it is
    as_seen = turned(torch.where(mask > 0, 1.0, -1.0).expand(-1, 3, -1, -1), draws)[:, :1] > -1
    assert torch.equal(turned(mask, draws) > 0, as_seen), 'a mask turns with its picture'
    method = make(attended=0.5, augment='turned')
    assert torch.equal(method.seen_mask(mask, moment, 'seen_x'), turned(mask, moment.uniform('seen_x', 9)))


def test_what_cannot_be_seen_does_not_change() -> None:
    """(15) by hand: a quarter of v, v, 1.5 v and 3 v; the mean over 3x3 px of what one pixel changes alone is a ninth."""
    x, mask = torch.full((4, 3, 8, 8), 0.1), torch.full((4, 1, 8, 8), 0.6)
    y = x.clone()
    y[:, 1] += torch.tensor([0.05, -0.2, 0.3, -0.6]).reshape(4, 1, 1)                  # the largest of three colours, up or down
    got, kept = seen_changes(x, y, mask, 0.2)
    share = torch.tensor([0, 0, 0.5, 1]).reshape(4, 1, 1, 1)
    torch.testing.assert_close(got, x + share * (y - x))
    torch.testing.assert_close(kept, share * mask)
    assert torch.equal(got[0], x[0]) and not kept[0].any(), 'the same bytes, and the mask says so'
    dot = x[:1].clone()
    dot[0, :, 4, 4] += 0.9
    assert torch.equal(seen_changes(x[:1], dot, mask[:1], 0.2)[0], x[:1]), 'a pixel by itself'
    method, batch = make(visible=0.2), batch_at(1)
    image, m = method.generate(batch.image, batch.labels, batch.target, None, 1.0)
    expected = seen_changes(batch.image, *make().generate(batch.image, batch.labels, batch.target, None, 1.0), 0.2)
    torch.testing.assert_close(image, expected[0])
    torch.testing.assert_close(m, expected[1])
    assert image.requires_grad and m.requires_grad


def test_an_edit_is_kept_as_far_as_the_mirror_image_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """(14) by hand, with masks that are given: the picture's has a speck in a corner that its mirror image's has not."""
    method, x = make(mirrored=True), torch.zeros(1, 3, 20, 20)
    both = torch.zeros(2, 1, 20, 20)
    both[0, :, 8:12, 2:6] = both[1, :, 8:12, 14:18] = 1          # the same place, seen in a mirror
    both[0, :, 0, 19] = 0.5
    seen = list[torch.Tensor]()

    def generate(views: torch.Tensor, *labels: object) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(views)
        return views + both * torch.tensor([0.2, 0.4]).reshape(2, 1, 1, 1), both

    monkeypatch.setattr(method, 'generate', generate)
    x[:, 0, :, :10] = 0.3
    made = method.translate(AttributeRequest(x, torch.zeros(1, 3), torch.ones(1, 3)))
    assert torch.equal(seen[0], torch.cat([x, x.flip(3)]))
    expected = torch.zeros(1, 1, 20, 20)
    expected[0, :, 8:12, 2:6] = 1
    assert made.mask is not None and torch.equal(made.mask, expected), 'a speck that one view has alone is gone'
    torch.testing.assert_close(made.image, x + 0.2 * expected)   # the picture's own, not what the mirror image made of it
    both[0, :, 8:10, 2:6] = 0                                    # one view with half of the place: means over 5x5 px
    half = method.translate(AttributeRequest(x, torch.zeros(1, 3), torch.ones(1, 3))).mask
    near = [F.avg_pool2d(m, 5, 1, 2, count_include_pad=False) for m in (both[:1], both[1:].flip(3))]
    torch.testing.assert_close(half, near[0] / near[1].clamp(min=1e-6) * both[:1] * expected)


def test_reconstruction_of_a_picture_told_what_it_is() -> None:
    """With a mask that nobody opens y is x, so both forms reconstruct without loss; opened, they differ."""
    batch = batch_at(1)
    for form in ('cycle', 'self'):
        assert make(reconstruct=form, mask_bias=-100.0).generator_step(batch, {}).logs['rec'].item() == 0
    cycle, alone = (make(reconstruct=form).generator_step(batch, {}).logs['rec'].item() for form in ('cycle', 'self'))
    method = make(reconstruct='self')
    zero = torch.zeros(2, 0, 2, 2)
    by_hand = (batch.image - method.generate(batch.image, batch.labels, batch.labels, zero, 1.0)[0]).abs().mean().item()
    assert alone == pytest.approx(by_hand, rel=1e-6) and alone != pytest.approx(cycle, rel=1e-3)


def test_black_ground_bounds_the_mask() -> None:
    method = make(bound='black', noise=1)
    x = torch.full((1, 3, 16, 16), -1.0)
    x[:, 1, 4:12, 4:12] = 0.5                                    # one colour is enough
    x[:, :, 0, 0] = 2 * (BLACK - 0.001) - 1                      # nearly black is black
    a, b = torch.tensor([[1., 0, 0]]), torch.tensor([[0., 1, 0]])
    made = method.translate(AttributeRequest(x, a, b))
    leaf = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    leaf[:, :, 4:12, 4:12] = True
    assert made.mask is not None and bool((made.mask[leaf] > 0).all()) and bool((made.mask[~leaf] == 0).all())
    assert torch.equal(made.image[~leaf.expand(1, 3, -1, -1)], x[~leaf.expand(1, 3, -1, -1)])
    free = make(bound='none', noise=1).translate(AttributeRequest(x, a, b))
    assert free.mask is not None and bool((free.mask > 0).all())


def test_turned_is_one_of_eight_symmetries_and_keeps_black() -> None:
    x = torch.arange(48.0).reshape(1, 3, 4, 4) / 48
    still = torch.tensor([0.9, 0.9, 0.9, 0.5, 0.5, 0.5, 0.0, 0.5, 0.5])      # no turn, every colour factor 1, not softened, not shifted
    torch.testing.assert_close(turned(x, still[None]), x)
    seen = set()
    for bits in range(8):
        draws = still.clone()
        draws[:3] = torch.tensor([0.1 if bits >> i & 1 else 0.9 for i in range(3)])
        seen.add(tuple(turned(x, draws[None])[0, 0].flatten().mul(48).round().int().tolist()))
    turns = {tuple(torch.rot90(v, q, (0, 1)).flatten().mul(48).round().int().tolist())
             for v in (x[0, 0], x[0, 0].flip(1)) for q in range(4)}
    assert len(seen) == 8 and seen == turns
    # light 1.25, red 1.1 and green 0.9 of it, blue 1 of it, saturation 0.75
    grey = torch.full((1, 3, 2, 2), -0.2)                        # 0.8 above black
    v = [0.8 * 1.25 * f for f in (1.1, 0.9, 1.0)]
    mean = sum(v) / 3
    got = turned(grey, torch.tensor([[0.9, 0.9, 0.9, 1.0, 1.0, 0.0, 0.0, 0.5, 0.5]]))
    assert got[0, :, 0, 0].tolist() == pytest.approx([mean + 0.75 * (c - mean) - 1 for c in v], rel=1e-5)
    assert torch.equal(turned(torch.full((4, 3, 4, 4), -1.0), torch.rand(4, 9)), torch.full((4, 3, 4, 4), -1.0))
    dot = torch.full((1, 3, 16, 16), -1.0)
    dot[:, :, 8, 8] = 0.8
    soft = turned(dot, torch.tensor([[0.9, 0.9, 0.9, 0.5, 0.5, 0.5, 0.5, 0.0, 0.999]])) + 1      # half softened, 2 px down, 2 px left
    assert soft[0, 0, 10, 6].item() == pytest.approx(1.8 * (0.5 + 0.5 / 9)) and soft[0, 0, 9, 5].item() == pytest.approx(1.8 * 0.5 / 9)
    assert soft[0, 0].sum().item() == pytest.approx(1.8, rel=1e-5)


def test_relative_colours_by_hand() -> None:
    x = torch.full((1, 3, 4, 4), -1.0)
    x[0, 0, :2], x[0, 1, :2], x[0, 1, 0], x[0, 2, :2] = -0.6, 0.0, 0.4, -0.5       # above black: red 0.4, green 1.4 and 1.0, blue 0.5
    bound = torch.zeros(1, 1, 4, 4)
    bound[:, :, :2] = 1
    got = relative(x, bound)
    torch.testing.assert_close(got[:, :, :2].mean((2, 3)), torch.full((1, 3), -0.3))
    for row, green in ((0, 1.4 / 1.2), (1, 1.0 / 1.2)):          # red and blue are at their means, 1
        grey = (1 + green + 1) / 3
        by_hand = [0.7 * (1 + 0.5 * (grey - 1) + 2.5 * (v - grey)) - 1 for v in (1, green, 1)]
        assert got[0, :, row, 0].tolist() == pytest.approx(by_hand)
    assert bool((got[:, :, 2:] == -1).all()), 'black stays black'
    brighter = (x + 1) * torch.tensor([1.3, 0.7, 1.0]).reshape(1, 3, 1, 1) - 1
    torch.testing.assert_close(relative(brighter, bound), got)
    assert not torch.allclose(relative(x, 1.0)[:, :, :2], got[:, :, :2])                # without a bound, the whole frame's mean
    assert torch.equal(relative(torch.full((1, 3, 4, 4), -1.0), torch.zeros(1, 1, 4, 4)), torch.full((1, 3, 4, 4), -1.0))


def test_critic_of_larger_pictures_averages_logits() -> None:
    torch.manual_seed(0)
    critic = Critic(3, 16, width=4)
    x = torch.rand(1, 3, 16, 16)
    assert critic.logits(critic.features(x)).shape == (1, 3) and critic.logits(critic.features(x.repeat(1, 1, 3, 3))).shape == (1, 3)
    maps = critic.features(torch.rand(2, 3, 32, 48))
    by_hand = F.conv2d(maps[-1], critic.cls.weight).mean((2, 3))
    torch.testing.assert_close(critic.logits(maps), by_hand)
    assert [tuple(s.shape) for s in critic.scores(maps, torch.zeros(2, 3))] == [(2, 4, 6)] * 2


def test_the_fine_scale_is_one_more_and_sees_little() -> None:
    coarse, fine = Critic(3, 32, width=4), Critic(3, 32, width=4, scales='fine')
    shapes = {key: value.shape for key, value in coarse.state_dict().items()}
    assert shapes.items() < {key: value.shape for key, value in fine.state_dict().items()}.items(), 'it begins with what another learned'
    x = torch.rand(1, 3, 32, 32, requires_grad=True)
    seen = fine.scores(fine.features(x), torch.zeros(1, 3))
    assert [tuple(s.shape) for s in seen][:-1] == [tuple(s.shape) for s in coarse.scores(coarse.features(x), torch.zeros(1, 3))]
    assert seen[-1].shape == (1, 8, 8)
    gradient, = torch.autograd.grad(seen[-1][0, 4, 4], x)
    assert gradient.abs().sum((0, 1, 2)).count_nonzero() == 18           # columns that one score depends on


def test_depth_leaves_two_or_three_pixels() -> None:
    assert [len(Critic(3, s, 1).convs) for s in (16, 32, 48, 64, 96, 128, 256)] == [3, 4, 4, 5, 5, 6, 6]
    for wrong in (8, 12, 20, 100):
        with pytest.raises(ValueError, match='set --data.size or --data.window'):
            Critic(3, wrong, 1)


def test_noise_and_resize_convolutions() -> None:
    torch.manual_seed(0)
    generator = Generator(2, width=4, blocks=1, upsample='resize', noise=3)
    assert not any(isinstance(m, torch.nn.ConvTranspose2d) for m in generator.modules())
    x, c = torch.rand(1, 3, 16, 16), torch.ones(1, 2)
    a, b = (generator(x, c, torch.randn(1, 3, 2, 2)) for _ in range(2))
    assert a.shape == (1, 4, 16, 16) and not torch.allclose(a, b)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r'window=64 is above size=48'):
        AttributeData(size=48, window=64)
    with pytest.raises(ValueError, match=r'set --data.targets single, or leave out --data.asked'):
        AttributeData(asked=('A',))
    faces = AttributeSet(np.zeros((1, 16, 16, 3), np.uint8), np.ones((1, 3), np.float32), SPEC)
    with pytest.raises(ValueError, match="unknown attribute in asked 'b': did you mean 'B'"):
        make_loader(faces, AttributeData(targets='single', asked=('A', 'b')), 1, 0, torch.device('cpu'))
    for fields in ({'targets': 'other'}, {'balance': True}):
        run = Run(method=Config(), data=AttributeData(n=4, size=16, **fields), train=TrainConfig(iterations=1))      # type: ignore[arg-type]
        with pytest.raises(ValueError, match='set --method.labels single'):
            build(run, AttributeSet(np.zeros((1, 16, 16, 3), np.uint8), np.ones((1, 3), np.float32), SPEC))


def test_every_class_as_often_and_never_its_own_target() -> None:
    classes = np.array([0] * 7 + [1] * 2 + [2] * 1)
    labels = np.eye(3, dtype=np.float32)[classes]
    rows = equally_often(torch.from_numpy(labels))
    assert torch.bincount(torch.from_numpy(classes)[rows]).tolist() == [7, 7, 7] and set(rows.tolist()) == set(range(10))
    images = np.zeros((10, 8, 8, 3), np.uint8)
    loader = AttributeLoader(images, labels, ('A', 'B', 'C'), 'other', 'attgan_tf', True, batch_size=21, seed=0, size=4, flip=False,
                             device=torch.device('cpu'))
    batches = [loader.batch(i, 100) for i in range(30)]
    source, target = (torch.cat([getattr(b, part) for b in batches]).argmax(1) for part in ('labels', 'target'))
    assert torch.bincount(source).tolist() == [210, 210, 210] and not bool((source == target).any())
    counts = torch.bincount(3 * source + target, minlength=9).reshape(3, 3)
    assert bool((counts[~torch.eye(3, dtype=torch.bool)] > 75).all())                  # 105 expected of each
    assert batches[0].image.shape == (21, 3, 4, 4)                                     # a window
    assert other_classes(torch.eye(3), torch.tensor([0.0, 0.49, 0.999])).argmax(1).tolist() == [1, 2, 1]


def test_the_editor_leaves_a_black_ground_alone() -> None:
    """However far a mask of 16 px reaches when it is enlarged: the bound is that of the picture's own pixels."""
    method = Local(Local.tiny().config.model_copy(update={'mask_bias': 20.0}), Local.tiny().data)
    editor = Editor(Model(method, Path('local'), 'ab', {}))
    pixels = np.zeros((120, 120, 3), np.uint8)
    y, x = np.mgrid[:120, :120]
    leaf = (y - 60) ** 2 + (x - 60) ** 2 < 45 ** 2
    pixels[leaf] = (90, 140, 60)
    pixels[~leaf] = np.arange((~leaf).sum())[:, None] % 17                             # near black, as a camera's is
    edit = editor.edit(pixels, Eyeglasses=1, source={'Eyeglasses': 0})
    assert np.array_equal(np.asarray(edit.image)[~leaf], pixels[~leaf]) and not edit.mask[~leaf].any() and edit.mask[leaf].all()


@pytest.mark.parametrize(('recipe', 'generator', 'critic', 'scales'), [
    ('local.demo', 314_384, 2_840_430, (2, 4)), ('local.toyfaces64', 296_464, 2_840_430, (2, 4)),
    ('local.toyfaces', 659_364, 1_193_739, (2, 3, 5))])
def test_counts_and_scales_of_the_recipes(recipe: str, generator: int, critic: int, scales: tuple[int, ...]) -> None:
    """Local scales go from H/8 down to a map of 8 px, and no convolution of the critic has more channels than it may."""
    run = load_run(recipe)
    method = Local(run.method, DataSpec(size=run.data.size, attributes=run.data.attributes))
    counts = [sum(p.numel() for p in method.nets[name].parameters()) for name in 'GD']
    assert counts == [generator, critic] and method.nets['D'].at == scales
    maps = method.nets['D'].features(torch.zeros(1, 3, run.data.size, run.data.size))
    assert max(m.shape[1] for m in maps) <= run.method.most_d and maps[scales[-2]].shape[-1] == 8


def test_blocks_on_the_way_up_change_nothing_before_they_learn() -> None:
    torch.manual_seed(0)
    plain, more = (Generator(3, 4, 1, 'resize', levels=3, skips=True, detail=n) for n in (0, 2))
    missing = more.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing and all(key.startswith('detail.') for key in missing)
    assert [m.main[0].in_channels for level in more.detail for m in level] == [16, 16, 8, 8], 'not at the size of the picture'
    x, b = torch.rand(2, 3, 16, 16), torch.eye(3)[:2]
    torch.testing.assert_close(more(x, b), plain(x, b))
    with torch.no_grad():
        more.detail[1][0].main[-1].weight.fill_(1)
    assert not torch.allclose(more(x, b), plain(x, b))


@pytest.mark.parametrize('upsample', ['deconv', 'resize'])
def test_skips_add_the_map_of_the_same_size_on_the_way_down(upsample: str) -> None:
    """By hand, level by level: where the way up gives nothing, what is added is the way down's own map."""
    torch.manual_seed(0)
    net = Generator(2, 4, 0, upsample, levels=3, skips=True)
    x, condition = torch.randn(1, 3, 32, 32), torch.zeros(1, 2)
    h, down = torch.cat([x, torch.zeros(1, 2, 32, 32)], 1), []
    layers = list(net.main)
    for level in range(4):
        for layer in layers[3 * level:3 * level + 3]:
            h = layer(h)
        down.append(h)
    step, at = 3 if upsample == 'deconv' else 4, 12
    for level in (2, 1, 0):
        for layer in layers[at:at + step]:
            h = layer(h)
        h, at = h + down[level], at + step
    torch.testing.assert_close(net(x, condition), layers[-1](h))
    assert at == len(layers) - 1 and not torch.allclose(net(x, condition), Generator(2, 4, 0, upsample, levels=3)(x, condition))
