"""AttentionGAN: how the generator shares a pixel out, the mask that follows, and the losses by hand."""
from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from retouch.data.batches import DataSpec, DomainBatch, Moment
from retouch.engine.update import DomainRequest
from retouch.methods.attentiongan import SCHEDULES, AttentionGAN, Config
from retouch.methods.cyclegan import CycleGAN
from retouch.networks.attentiongan import Generator
from retouch.recipes.registry import RECIPES
from tests.batches import random_batch

SPEC = DataSpec(size=16, domains=('A', 'B'))


def small(**fields: object) -> AttentionGAN:
    torch.manual_seed(0)
    return AttentionGAN(Config.model_validate({'contents': 2, 'width_g': 4, 'blocks': 1, 'width_d': 4, 'layers_d': 1, **fields}), SPEC)


class Stub(nn.Module):
    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(x)


def test_parameters_are_the_published() -> None:
    with torch.device('meta'):
        assert sum(p.numel() for p in Generator().parameters()) == 11_822_949
        nets = AttentionGAN(Config(), DataSpec(size=256, domains=('A', 'B'))).nets
    counts = {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}
    assert counts == {'G': 11_822_949, 'F': 11_822_949, 'D_A': 2_764_737, 'D_B': 2_764_737} and sum(counts.values()) == 29_175_372


def test_nine_contents_and_ten_maps() -> None:
    contents, logits = Generator(width=2, blocks=1)(torch.rand(2, 3, 16, 16))
    assert contents.shape == (2, 9, 3, 16, 16) and logits.shape == (2, 10, 16, 16)
    assert contents.abs().max() <= 1


@pytest.mark.parametrize('contents', [1, 2, 9])
def test_attention_sums_to_one_in_every_pixel(contents: int) -> None:
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    image, attention, made = small(contents=contents).generate('G', x)
    assert attention.shape == (2, contents + 1, 16, 16) and attention.min() >= 0
    torch.testing.assert_close(attention.sum(1), torch.ones(2, 16, 16))
    whole = sum(attention[:, i:i + 1] * made[:, i] for i in range(contents)) + attention[:, -1:] * x
    torch.testing.assert_close(image, whole)
    assert image.min() >= -1 - 1e-6 and image.max() <= 1 + 1e-6


def test_where_the_background_has_all_attention_the_input_stays_exactly() -> None:
    method, x = small().eval(), torch.rand(2, 3, 16, 16) * 2 - 1
    left = torch.zeros(1, 3, 16, 16)
    left[:, 2, :, :8] = 200.0                                                        # the last of three maps, on the left half
    method.nets['G'] = Stub(lambda x: (torch.full((len(x), 2, 3, 16, 16), 0.5), left.expand(len(x), -1, -1, -1)))
    made = method.translate(DomainRequest(x, 'B'))
    assert torch.equal(made.image[..., :8], x[..., :8]) and made.mask[..., :8].max() == 0
    torch.testing.assert_close(made.mask[..., 8:], torch.full((2, 1, 16, 8), 2 / 3))
    torch.testing.assert_close(made.image[..., 8:], (2 * 0.5 + x[..., 8:]) / 3)


def test_translate_has_a_mask_and_says_how_it_came() -> None:
    method, x = small().eval(), torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        for to, name in (('B', 'G'), ('A', 'F')):
            made = method.translate(DomainRequest(x, to))
            image, attention, contents = method.generate(name, x)
            assert torch.equal(made.image, image.clamp(-1, 1)) and torch.equal(made.mask, 1 - attention[:, 2:])
            assert torch.equal(made.extras['attention'], attention) and torch.equal(made.extras['contents'], contents)
            assert torch.equal(made.image, method.translate(DomainRequest(x, to)).image)
    with pytest.raises(ValueError, match="unknown domain 'C'"):
        method.translate(DomainRequest(x, 'C'))


def test_losses_by_hand() -> None:
    method = small(lambda_cyc=3.0, lambda_idt=0.25, pool=0)
    even = lambda content: Stub(lambda x: (torch.full((len(x), 2, 3, 8, 8), content), torch.zeros(len(x), 3, 8, 8)))     # noqa: E731
    method.nets['G'], method.nets['F'] = even(0.6), even(-0.3)                       # G(x) = (2 * 0.6 + x) / 3, F(y) = (-2 * 0.3 + y) / 3
    for name in ('D_A', 'D_B'):
        method.nets[name] = Stub(lambda x: x.mean((1, 2, 3)))
    x, y = torch.full((2, 3, 8, 8), 0.3), torch.full((2, 3, 8, 8), -0.6)
    whole = torch.zeros(2, 4)
    batch = DomainBatch(x, y, torch.arange(2), torch.arange(2), whole, whole, Moment(count=2, total=2))
    step = method.generator_step(batch, {})                                          # fakes: 0.5 of B, -0.4 of A
    assert step.logs['gan'].item() == pytest.approx(0.5 ** 2 + 1.4 ** 2)
    assert step.logs['cyc'].item() == pytest.approx(abs(-0.1 / 3 - 0.3) + abs(0.8 / 3 + 0.6))
    assert step.logs['idt'].item() == pytest.approx(abs(0.2 + 0.6) + abs(-0.1 - 0.3))
    terms = {k: v.item() for k, v in step.logs.items()}
    assert step.loss.item() == pytest.approx(terms['gan'] + 3 * terms['cyc'] + 0.75 * terms['idt'])
    assert terms['mask_area'] == pytest.approx(2 / 3) and terms['mask_spread'] == pytest.approx(0, abs=1e-6)
    step = method.discriminator_step(batch, step.keep)
    assert step.logs['B'].item() == pytest.approx((1.6 ** 2 + 0.5 ** 2) / 2)
    assert step.logs['A'].item() == pytest.approx((0.7 ** 2 + 0.4 ** 2) / 2)
    assert step.loss.item() == pytest.approx(step.logs['A'].item() + step.logs['B'].item())


def test_without_identity_the_other_terms_stay() -> None:
    batch = random_batch('domains', SPEC)
    with_idt, without = (small(lambda_idt=weight).generator_step(batch, {}) for weight in (0.5, 0.0))
    for term in ('gan', 'cyc', 'mask_area'):
        assert without.logs[term].item() == pytest.approx(with_idt.logs[term].item(), rel=1e-5)
    assert without.logs['idt'] == 0 < with_idt.logs['idt']


def test_both_masks_are_of_the_fakes() -> None:
    method, batch = small(), random_batch('domains', SPEC)
    step = method.generator_step(batch, {})
    for picture, mask, name in (('input', 'mask', 'G'), ('input_b', 'mask_b', 'F')):
        torch.testing.assert_close(step.images[mask], 1 - method.generate(name, step.images[picture])[1][:, -1:].detach())


def test_deliberate_copies_have_not_drifted() -> None:
    """What attentiongan.py copies from cyclegan.py stays equal, but for the numbers of the equations."""
    ours = inspect.getsource(AttentionGAN.discriminator_step)
    assert ours.replace('# (5)', '# (4)').replace('# (6)', '# (5)') == inspect.getsource(CycleGAN.discriminator_step)
    assert inspect.getsource(AttentionGAN.updates) == inspect.getsource(CycleGAN.updates)


def test_recipes_are_the_script_and_the_small_tier_of_cyclegan() -> None:
    run = RECIPES['attentiongan.paper']()
    m = run.method
    assert (m.lr, m.beta1, m.beta2, m.lambda_cyc, m.lambda_idt) == (2e-4, 0.5, 0.999, 10, 0.5)
    assert (m.pool, m.contents, m.schedule) == (50, 9, 'constant')
    assert {SCHEDULES['constant'](i, 10) for i in range(10)} == {1.0}
    assert (run.train.batch_size, run.train.iterations, run.data.load_size, run.data.size) == (4, 60 * 333, 286, 256)
    small_run, cyclegan = RECIPES['attentiongan.toyfaces'](), RECIPES['cyclegan.toyfaces']()
    assert (small_run.data, small_run.train) == (cyclegan.data, cyclegan.train)
    for field in ('width_g', 'blocks', 'width_d', 'lr', 'schedule'):
        assert getattr(small_run.method, field) == getattr(cyclegan.method, field)
