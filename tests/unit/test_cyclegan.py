"""CycleGAN: the losses by hand, which fake goes to which pool, and the depth of the patch discriminator."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from retouch.data.batches import DataSpec, DomainBatch, Moment
from retouch.engine.pool import ImagePool
from retouch.engine.update import DomainRequest
from retouch.methods.asgit import ASGIT, ASGITPairs
from retouch.methods.attentiongan import AttentionGAN
from retouch.methods.cyclegan import Config, CycleGAN
from retouch.methods.pix2pix import Pix2Pix
from retouch.networks.cyclegan import PatchDiscriminator, layers_at
from tests.batches import random_batch

SPEC = DataSpec(size=16, domains=('night', 'day'))


def small(**fields: object) -> CycleGAN:
    torch.manual_seed(0)
    return CycleGAN(Config.model_validate({'width_g': 4, 'blocks': 1, 'width_d': 4, 'layers_d': 1, **fields}), SPEC)


class Stub(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def by_hand(**fields: object) -> tuple[CycleGAN, DomainBatch]:
    """G(x) = x / 2 + 0.3, F(y) = -y / 4, D_A(x) = x, D_B(y) = 2 y; x = 0.2, so G(x) = 0.4; y = -0.8, so F(y) = 0.2."""
    method = small(pool=0, **fields)
    for name, function in {'G': lambda x: x / 2 + 0.3, 'F': lambda y: -y / 4, 'D_A': lambda x: x, 'D_B': lambda y: 2 * y}.items():
        method.nets[name] = Stub(function)
    x, y, whole = torch.full((2, 3, 8, 8), 0.2), torch.full((2, 3, 8, 8), -0.8), torch.zeros(2, 4)
    return method, DomainBatch(x, y, torch.arange(2), torch.arange(2), whole, whole, Moment(count=2, total=2))


@pytest.mark.parametrize(('fields', 'idt', 'weight'), [({'lambda_cyc': 3.0, 'lambda_idt': 0.25}, 0.95, 0.75), ({'lambda_cyc': 3.0}, 0, 0)],
                         ids=['identity', 'no identity'])
def test_losses_by_hand(fields: dict[str, Any], idt: float, weight: float) -> None:
    method, batch = by_hand(**fields)
    step = method.generator_step(batch, {})
    terms = {k: v.item() for k, v in step.logs.items()}
    assert terms['gan'] == pytest.approx((0.8 - 1) ** 2 + (0.2 - 1) ** 2)
    assert terms['cyc'] == pytest.approx(abs(-0.1 - 0.2) + abs(0.4 + 0.8))
    assert terms['idt'] == pytest.approx(idt)                    # |-0.1 + 0.8| + |-0.05 - 0.2|
    assert step.loss.item() == pytest.approx(terms['gan'] + 3 * terms['cyc'] + weight * terms['idt'])
    step = method.discriminator_step(batch, step.keep)
    assert step.logs['B'].item() == pytest.approx(((-1.6 - 1) ** 2 + 0.8 ** 2) / 2)
    assert step.logs['A'].item() == pytest.approx(((0.2 - 1) ** 2 + 0.2 ** 2) / 2)
    assert step.loss.item() == pytest.approx(step.logs['A'].item() + step.logs['B'].item())


def test_each_domain_has_its_own_pool() -> None:
    method = small(pool=3)
    kept = method.generator_step(random_batch('domains', SPEC), {}).keep
    method.discriminator_step(random_batch('domains', SPEC), kept)
    for name, fake in (('A', kept['fake_a']), ('B', kept['fake_b'])):
        assert torch.equal(method.pools[name].images[:2], fake) and not method.pools[name].images[2:].any()


def test_half_the_draws_of_a_full_pool_are_stored_pictures() -> None:
    pool, stored = ImagePool(1, (1,)), 0
    pool.exchange(torch.zeros(1, 1), Moment(), 'A')
    for i in range(1, 401):
        new = torch.full((1, 1), float(i))
        stored += not torch.equal(pool.exchange(new, Moment(iteration=i), 'A'), new)
    assert 160 < stored < 240


def test_translate_goes_to_the_domain_asked_for() -> None:
    method, x = small().eval(), torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        for to, net in (('day', 'G'), ('night', 'F')):
            made = method.translate(DomainRequest(x, to))
            assert torch.equal(made.image, method.nets[net](x)) and made.mask is None
    with pytest.raises(ValueError, match="unknown domain 'dusk'"):
        method.translate(DomainRequest(x, 'dusk'))


def test_depth_of_the_discriminator() -> None:
    assert {size: layers_at(size) for size in (12, 48, 63, 64, 256)} == {12: 2, 48: 2, 63: 2, 64: 3, 256: 3}
    for size in (12, 16, 23, 24, 64, 100):
        most = max(n for n in range(1, 9) if size // 2 ** n >= 3)
        assert layers_at(size, 1) == 1 and layers_at(size, most) == most
        assert PatchDiscriminator(width=1, layers=most)(torch.zeros(1, 3, size, size)).shape[-1] >= 1
        for wrong in (0, most + 1):
            with pytest.raises(ValueError, match=f'^layers_d={wrong}: .* {size} px has 1 to {most} strided .*--method.layers-d {most}$'):
                layers_at(size, wrong)


@pytest.mark.parametrize('cls', [CycleGAN, AttentionGAN, Pix2Pix, ASGIT, ASGITPairs], ids=lambda c: c.id)
def test_every_user_of_the_patch_discriminator_checks_its_depth(cls: Any) -> None:
    method = cls.tiny()
    with pytest.raises(ValueError, match='layers_d=6'):
        cls(method.config.model_copy(update={'layers_d': 6}), method.data)
