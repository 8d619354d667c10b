"""AttGAN's networks, labels and cycle of updates."""
from __future__ import annotations

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from retouch.data.batches import DataSpec
from retouch.engine.trainer import Trainer
from retouch.engine.update import AttributeRequest
from retouch.methods.attgan import AttGAN, Config
from retouch.networks.attgan import Discriminator, Generator
from tests.batches import random_batch

SPEC = DataSpec(size=16, attributes=('Black_Hair', 'Blond_Hair', 'Eyeglasses'))
SOURCE = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
TARGET = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def small(**fields: object) -> AttGAN:
    torch.manual_seed(0)
    return AttGAN(Config(**{'width_g': 4, 'width_d': 4, 'layers': 3, **fields}), SPEC)


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_parameters_are_the_published() -> None:
    with torch.device('meta'):
        assert count(Generator(13)) == 43_459_203
        assert count(Generator(13, inject=0)) == 43_352_707
        assert count(Discriminator(13, 128)) == 44_718_990
        assert count(Discriminator(13, 256)) == 145_382_286


def test_generator_forward_is_encode_and_decode() -> None:
    net = small(shortcut=9, inject=9).nets['G'].eval()            # both are cut to layers - 1
    x = torch.rand(2, 3, 16, 16)
    maps = net.encode(x)
    assert [tuple(m.shape) for m in maps] == [(2, 4, 8, 8), (2, 8, 4, 4), (2, 16, 2, 2)]
    assert net(x, TARGET).shape == x.shape
    torch.testing.assert_close(net(x, TARGET), net.decode(maps, TARGET), rtol=0, atol=0)
    assert not torch.equal(net.decode(maps, TARGET), net.decode(maps, SOURCE))


def test_label_is_half_and_what_changes_is_scaled() -> None:
    method = small()
    assert method.label(SOURCE, TARGET).tolist() == [[-0.5, 0.5, -0.5], [-0.5, -0.5, 0.5]]
    assert method.label(SOURCE, TARGET, 2.0).tolist() == [[-1.0, 1.0, -0.5], [-0.5, -0.5, 0.5]]
    each = torch.tensor([[1.0, 3.0, 5.0], [3.0, 3.0, 3.0]])
    assert method.label(SOURCE, TARGET, each).tolist() == [[-0.5, 1.5, -0.5], [-0.5, -0.5, 0.5]]
    assert small(thres_int=1.0).label(SOURCE, TARGET).tolist() == [[-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]


def test_translate_is_at_test_intensity() -> None:
    method, x = small(thres_int=0.5, test_int=1.5).eval(), torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        made = method.translate(AttributeRequest(x, SOURCE, TARGET)).image
        told = torch.tensor([[-1.5, 1.5, -0.5], [-0.5, -0.5, 0.5]])
        torch.testing.assert_close(made, method.nets['G'](x, told).tanh(), rtol=0, atol=0)


def test_five_batches_for_d_then_one_for_g() -> None:
    trainer = Trainer(small(n_critic=5), Fabric(accelerator='cpu', devices=1), iterations=12)
    done = [tuple(trainer.train_iteration(random_batch('attributes', SPEC, iteration=i))) for i in range(12)]
    assert done == 2 * [*5 * [('D',)], ('G',)]


def test_one_encoder_pass_in_either_step() -> None:
    method, passes = small(), []
    method.nets['G'].encoder[0].register_forward_hook(lambda *_: passes.append(1))
    batch = random_batch('attributes', SPEC)
    method.discriminator_step(batch, {})
    assert len(passes) == 1
    kept = method.generator_step(batch, {}).parts
    assert len(passes) == 2
    assert kept['edit'].requires_grad and all(m.requires_grad for m in kept['maps']) and kept['intensity'] == 1.0


@pytest.mark.parametrize(('variant', 'slope', 'eps', 'momentum', 'd_eps', 'head'),
                         [('pytorch', 0.01, 1e-5, 0.1, 1e-5, 0.0), ('tf', 0.2, 1e-3, 0.001, 1e-6, 0.2)])
def test_variant_resolves_constants(variant: str, slope: float, eps: float, momentum: float, d_eps: float, head: float) -> None:
    method = small(variant=variant)

    def found(net: str, kind: type[nn.Module], field: str) -> set[float]:
        return {getattr(m, field) for m in method.nets[net].modules() if isinstance(m, kind)}

    assert found('G', nn.LeakyReLU, 'negative_slope') == {slope}
    assert (found('G', nn.BatchNorm2d, 'eps'), found('G', nn.BatchNorm2d, 'momentum')) == ({eps}, {momentum})
    assert found('D', nn.GroupNorm, 'eps') == {d_eps}
    assert method.nets['D'].convs[0][2].negative_slope == slope
    assert (method.nets['D'].src[1].negative_slope, method.nets['D'].cls[1].negative_slope) == (head, head)


def test_xavier_initialisation() -> None:
    nets = small(init='xavier_zero_bias').nets
    layers = [m for m in nets.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    assert len(layers) == 3 + 3 + 3 + 4
    for m in layers:
        w = m.weight
        bound = (6 / (w[0].numel() + w[:, 0].numel())) ** 0.5
        assert 0.8 * bound < w.abs().max() <= bound and (m.bias is None or not m.bias.any())
    assert any(m.bias.any() for m in small().nets['D'].src if isinstance(m, nn.Linear)), 'the default is not this one'
