"""ComboGAN: networks as counted, the losses by hand, who learns from a pair, which class a picture goes to; drawn faces of one class."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from retouch.data.batches import AttributeBatch, DataSpec, Moment
from retouch.data.configs import AttributeData
from retouch.data.sets import open_attributes
from retouch.engine.trainer import Trainer
from retouch.engine.update import AttributeRequest
from retouch.evaluation.tasks import toyfaces_tasks
from retouch.methods.combogan import ComboGAN, Config
from retouch.networks.cyclegan import PatchDiscriminator
from retouch.recipes.registry import RECIPES
from retouch.toyfaces import ATTRIBUTES
from tests.batches import random_batch

SPEC = DataSpec(size=16, attributes=('a', 'b', 'c'))
TINY = {'width_g': 4, 'blocks': 2, 'width_d': 4, 'layers_d': 1, 'pool': 3}


class Stub(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def small(**fields: Any) -> ComboGAN:
    torch.manual_seed(0)
    return ComboGAN(Config.model_validate({**TINY, **fields}), SPEC)


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_parameters_are_those_of_table_three() -> None:
    with torch.device('meta'):
        nets = ComboGAN(Config(), DataSpec(size=256, attributes=('a', 'b'))).nets
        assert [count(nets[name]) for name in ('E_0', 'G_0', 'D_0')] == [5_099_136, 6_565_763, 2_764_737]
        assert count(nets) == 2 * 14_429_636
        assert PatchDiscriminator(padding=2)(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 35, 35)
        assert nets['G_0'](nets['E_1'](torch.zeros(1, 3, 256, 256))).shape == (1, 3, 256, 256)


def test_losses_by_hand() -> None:
    """Classes 2 and 0: E_2(x) = 2 x, E_0(x) = x + 1, G_2(z) = z / 4, G_0(z) = z - 0.5, D_2(x) = x, D_0(x) = 3 x; x_2 = 0.2, x_0 = -0.4."""
    method = small(pool=0, lambda_cyc=3.0)
    for name, function in {'E_2': lambda x: 2 * x, 'E_0': lambda x: x + 1, 'G_2': lambda z: z / 4, 'G_0': lambda z: z - 0.5,
                           'D_2': lambda x: x, 'D_0': lambda x: 3 * x}.items():
        method.nets[name] = Stub(function)
    image = torch.stack([torch.full((3, 8, 8), value) for value in (0.2, -0.4, 0.2, -0.4)])
    labels = torch.tensor([[0.0, 0, 1], [1, 0, 0]]).repeat(2, 1)
    batch = AttributeBatch(image, labels, labels.view(2, 2, 3).flip(1).flatten(0, 1), torch.arange(4), Moment(count=4, total=4), (2, 0))
    step = method.generator_step(batch, {})
    to_0, to_2 = 2 * 0.2 - 0.5, (-0.4 + 1) / 4                   # -0.1 and 0.15
    gan = (to_2 - 1) ** 2 + (3 * to_0 - 1) ** 2
    cyc = abs((to_0 + 1) / 4 - 0.2) + abs(2 * to_2 - 0.5 + 0.4)
    assert step.logs['gan'].item() == pytest.approx(gan, rel=1e-5) and step.logs['cyc'].item() == pytest.approx(cyc, rel=1e-5)
    assert step.loss.item() == pytest.approx(gan + 3 * cyc, rel=1e-5)
    assert step.keep['fake_i'][0, 0, 0, 0].item() == pytest.approx(to_2) and step.keep['fake_j'][0, 0, 0, 0].item() == pytest.approx(to_0)
    judged = method.discriminator_step(batch, step.keep)
    assert judged.logs['j'].item() == pytest.approx(((3 * -0.4 - 1) ** 2 + (3 * to_0) ** 2) / 2, rel=1e-5)
    assert judged.logs['i'].item() == pytest.approx(((0.2 - 1) ** 2 + to_2 ** 2) / 2, rel=1e-5)
    assert judged.loss.item() == pytest.approx((judged.logs['i'] + judged.logs['j']).item(), rel=1e-5)


def test_a_step_on_two_classes_leaves_the_third_and_its_moments_as_they_are() -> None:
    torch.manual_seed(0)
    trainer = Trainer(ComboGAN.tiny(), Fabric(accelerator='cpu', devices=1), iterations=10)
    nets, optimisers = trainer.trainable.nets, trainer.optimisers
    for i in range(3):                                           # every class has moments now
        trainer.train_iteration(random_batch('attributes', SPEC, iteration=i))

    def state(name: str) -> list[Tensor]:
        moments = [v for o in optimisers.values() for p in nets[name].parameters() if p in o.state for v in o.state[p].values()]
        return [t.clone() for t in (*nets[name].parameters(), *moments)]

    before = {name: state(name) for name in nets}
    batch = random_batch('attributes', SPEC, iteration=3)
    assert batch.pair == (0, 1)
    trainer.train_iteration(batch)
    moved = {name for name in nets if not all(map(torch.equal, before[name], state(name)))}
    assert moved == {'E_0', 'E_1', 'G_0', 'G_1', 'D_0', 'D_1'} and len(before['E_2']) == 4 * len(list(nets['E_2'].parameters()))


def test_each_class_has_its_own_pool() -> None:
    method, batch = small(), random_batch('attributes', SPEC, n=4, iteration=1)
    kept = method.generator_step(batch, {}).keep
    method.discriminator_step(batch, kept)
    assert batch.pair == (1, 2)
    assert torch.equal(method.pools[1].images[:2], kept['fake_i']) and torch.equal(method.pools[2].images[:2], kept['fake_j'])
    assert not method.pools[0].images.any()


def test_translate_goes_from_the_class_shown_to_the_class_asked_for() -> None:
    method, x = small().eval(), torch.rand(4, 3, 16, 16) * 2 - 1
    source, target = torch.eye(3)[[0, 2, 1, 1]], torch.eye(3)[[1, 0, 2, 1]]
    with torch.no_grad():
        made = method.translate(AttributeRequest(x, source, target)).image
        for row, (i, j) in enumerate(((0, 1), (2, 0), (1, 2))):
            alone = method.nets[f'G_{j}'](method.nets[f'E_{i}'](x[row:row + 1]))
            torch.testing.assert_close(made[row:row + 1], alone)
    assert torch.equal(made[3], x[3]), 'it has that class already'


def test_read_is_the_softmax_of_mean_scores() -> None:
    method = small()
    for k, score in enumerate((0.0, 1.0, 2.0)):
        method.nets[f'D_{k}'] = Stub(lambda x, score=score: torch.full((len(x), 1, 2, 2), score))
    torch.testing.assert_close(method.read(torch.zeros(2, 3, 16, 16)), torch.tensor([0.0, 1.0, 2.0]).softmax(0).expand(2, 3))


def test_drawn_faces_of_one_class() -> None:
    names = ('Black_Hair', 'Blond_Hair', 'Brown_Hair')
    config = AttributeData(attributes=names, one_of=True, size=16, n=60, holdout=40)
    for split in ('train', 'test'):
        opened = open_attributes(config, split)                  # type: ignore[arg-type]
        every = open_attributes(config.model_copy(update={'one_of': False}), split)      # type: ignore[arg-type]
        alone = every.labels.sum(1) == 1
        assert opened.exclusive and not every.exclusive and 0 < alone.sum() < len(alone)
        assert np.array_equal(opened.labels, every.labels[alone]) and np.array_equal(opened.images, every.images[alone])


def test_what_does_not_fit_is_said() -> None:
    batch = random_batch('attributes', SPEC)
    with pytest.raises(ValueError, match='^combogan learns from batches of two classes, by turns: set --data.targets pair$'):
        small().generator_step(AttributeBatch(batch.image, batch.labels, batch.target, batch.index, batch.moment), {})
    for spec, message in ((SPEC.model_copy(update={'attributes': ('a',)}), '^1 class: .* at least two'),
                          (SPEC.model_copy(update={'size': 18}), '^size=18: .*--data.size 16$')):
        with pytest.raises(ValueError, match=message):
            ComboGAN(Config.model_validate(TINY), spec)


def test_presets_are_the_authors() -> None:
    run, table = RECIPES['combogan.paper'](), RECIPES['combogan.aggan_table']()
    m = run.method
    assert (m.lr, m.beta1, m.beta2, m.lambda_cyc, m.pool, m.blocks, m.schedule) == (2e-4, 0.5, 0.999, 10, 50, 9, 'linear_second_half')
    for row in (run, table):
        assert (row.data.size, row.data.targets, row.train.batch_size, row.train.epochs) == (256, 'pair', 2, 200)


def test_faces_that_show_one_class_are_asked_for_another_one() -> None:
    names = ('Black_Hair', 'Blond_Hair', 'Brown_Hair')
    method = ComboGAN(Config.model_validate(TINY), SPEC.model_copy(update={'attributes': names}))
    inputs, tasks = toyfaces_tasks(method, ATTRIBUTES, 40, 0)
    assert [task.name for task in tasks] == list(names)
    for k, task in enumerate(tasks):
        request = task.request(torch.zeros(len(task.rows), 3, 16, 16), slice(None))
        assert 0 < len(task.rows) < len(inputs) and len(request.source) == len(task.rows)
        assert bool((request.source.sum(1) == 1).all()) and bool((request.target == torch.eye(3)[k]).all())
