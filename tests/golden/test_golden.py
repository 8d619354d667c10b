"""Numbers that must not change unnoticed: our own of a few iterations, and the authors' of outputs and one whole iteration."""
from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from retouch.data.batches import DataSpec
from retouch.engine.update import DomainRequest
from retouch.methods.registry import METHODS
from tests.batches import TINY, random_batch
from tests.golden.cases import fill_all, iterations_of, summary, tiny, train
from tests.golden.regenerate import COMMAND

FOLDER = Path(__file__).parent
REFERENCE: dict[str, Any] = json.loads((FOLDER / 'reference.json').read_text(encoding='utf-8'))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As the values were made; threads only wait for each other on networks this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def assert_same(values: dict[str, float], golden: dict[str, float], hint: str) -> None:
    """Losses and terms to 1e-4. Gradients and weights to 1e-2: a ReLU or Adam's sign that flips on rounding moves them by 1e-3."""
    assert values.keys() == golden.keys()
    wrong = {}
    for name, value in values.items():
        rough = name.endswith('.gradient') or name.startswith('moved.')
        if value != pytest.approx(golden[name], rel=1e-2 if rough else 1e-4, abs=1e-4):
            wrong[name] = f'{value} instead of {golden[name]}'
    assert not wrong, f'{wrong}: {hint}'


def test_every_method_has_golden_values() -> None:
    assert {p.stem for p in FOLDER.glob('*.json')} == {*TINY, 'reference'}


@pytest.mark.parametrize('name', TINY)
def test_two_iterations(name: str) -> None:
    golden = json.loads((FOLDER / f'{name}.json').read_text(encoding='utf-8'))
    assert set(golden['origin']) == {'command', 'date', 'torch', 'what'}
    method = TINY[name]()
    due = {f'{i}.{u.name}.loss' for u in method.updates() for i in range(iterations_of(method)) if u.runs_at(i, 10)}
    assert due <= set(golden['values']) and {key.split('.')[1] for key in due} == {u.name for u in method.updates()}, 'every Update ran'
    assert_same(tiny(name), golden['values'], f'if that is meant, run `{COMMAND} {name}` and give the reason in CHANGELOG.md')


def reference_case(name: str) -> tuple[Any, Any]:
    """The method of one row of reference.json with its weights, and the batch that the authors' code was given."""
    row, cls = REFERENCE[name], METHODS[name.partition('.')[0]]
    method = fill_all(cls(cls.Config.model_validate(row['config']), DataSpec.model_validate(row['data'])))
    return method, random_batch(method.kind, method.data, n=row['n'])


def outputs(method: Any, batch: Any) -> dict[str, torch.Tensor]:
    """What the generator and the discriminator make of the first iteration's batch, before any step."""
    nets = method.nets
    if method.id == 'attentiongan':
        image, attention, _ = method.generate('G', batch.image_a)
        return {'image': image, 'mask': 1 - attention[:, -1:], 'src': nets['D_B'](batch.image_b)}
    if method.id == 'pix2pix':
        fake = nets['G'](batch.image_a, batch.moment.uniform)
        return {'image': fake, 'src': method.judge(batch.image_a, fake)}
    if method.id == 'bicyclegan':
        mean, logvar = nets['E'](batch.image_b)
        return {'image': nets['G'](batch.image_a, told=batch.moment.normal('z', method.config.z_dim)), 'mean': mean, 'logvar': logvar,
                'src': nets['D_1'](batch.image_b)[1]}
    if method.id == 'asgit':
        src, m = method.judge('D_B', batch.image_b)
        return {'image': nets['G'](batch.image_a), 'src': src, 'map': method.carry(m)}
    if method.id == 'ganimation':
        (image, mask), (src, cls) = method.generate(batch.image, batch.target), nets['D'](batch.image)
        return {'src': src, 'cls': cls, 'image': image, 'mask': mask}
    if method.id == 'unit':
        latent = method.encode(batch.image_a, 'A')
        return {'image': method.decode(latent, 'B'), 'latent': latent, 'src': method.scores(batch.image_b, 'B')[-1]}
    if method.id == 'munit':
        G = nets['G_A']
        return {'image': G.decode(G.content(batch.image_a), G.style(batch.image_a.flip(0))), 'style': G.style(batch.image_a),
                'src': nets['D_B'](batch.image_b)[-1]}
    if method.id == 'drit':
        content, (mean, logvar) = nets['E_c'](batch.image_a, 'A'), nets['E_a'](batch.image_b, 'B')
        return {'image': nets['G'](content, mean, 'B'), 'mean': mean, 'logvar': logvar, 'con': nets['D_c'](content),
                'src': nets['D_B'](batch.image_b)[-1]}
    if method.id == 'asgit_pairs':
        src, m = method.judge('D', torch.cat([batch.image_a, batch.image_b], 1))
        return {'image': nets['G'](batch.image_a), 'src': src, 'map': m, 'transferred': method.carry(m)}
    if method.id == 'lomit':
        a, b = method.take_apart(batch.image, batch.exemplar)
        src, cls = nets['D'](batch.image)
        return {'content': a.content, 'mask': a.mask, 'foreground': b.foreground, 'background': a.background,
                'image': method.exchange(a, b)[0], 'src': src, 'cls': cls}
    if method.id == 'discogan':
        return {'image': method.translate(DomainRequest(batch.image_a, 'B')).image, 'src': nets['D_B'](method.seen(batch.image_b))[0]}
    if method.id == 'combogan':
        return {'image': nets['G_1'](nets['E_0'](batch.image)), 'src': nets['D_1'](batch.image)}
    if method.id == 'cut':
        return {'image': nets['G'](batch.image_a), 'src': nets['D'](batch.image_b)}
    if method.kind == 'domains':
        return {'image': nets['G'](batch.image_a), 'src': nets['D_B'](batch.image_b)}
    src, cls = nets['D'](batch.image)
    made = method.generate(batch.image, batch.labels, batch.target)
    return {'src': src, 'cls': cls, **(dict(zip(('image', 'mask'), made, strict=True)) if isinstance(made, tuple) else {'image': made})}


def test_the_reference_covers_every_translator() -> None:
    rows = {name: row for name, row in REFERENCE.items() if name != 'what'}
    assert set(rows) == {'stargan', 'attgan', 'stgan', 'aggan', 'aggan_multi', 'cyclegan', 'attentiongan', 'pix2pix', 'bicyclegan', 'asgit',
                         'asgit.tam', 'asgit_pairs', 'cut', 'combogan', 'lomit', 'munit', 'unit', 'unit.nips', 'ganimation', 'drit',
                         'discogan', 'distancegan'}
    for row in rows.values():
        assert {'repository', 'commit', 'licence', 'torch', 'date'} <= set(row['origin'])


@pytest.mark.parametrize('name', [n for n in REFERENCE if n != 'what'])
def test_networks_give_the_authors_outputs(name: str) -> None:
    method, batch = reference_case(name)
    golden = REFERENCE[name]['outputs']
    with torch.no_grad():
        made = outputs(method, batch)
    assert made.keys() == golden.keys()
    for key, tensor in made.items():
        found = summary(tensor)
        assert found['shape'] == golden[key]['shape']
        for statistic in ('mean', 'std', 'pixels'):
            assert found[statistic] == pytest.approx(golden[key][statistic], rel=1e-5, abs=1e-5), f'{key}: {statistic}'


@pytest.mark.parametrize('name', [n for n in REFERENCE if n != 'what'])
def test_iterations_give_the_authors_losses(name: str) -> None:
    method, _ = reference_case(name)
    golden = REFERENCE[name]['values']
    iterations = REFERENCE[name].get('iterations', max(u.every for u in method.updates()))      # until every Update has run once
    values = train(method, iterations, n=REFERENCE[name]['n'])
    missing = set(golden) - set(values)
    assert len(golden) >= 9 and not missing
    assert_same({k: values[k] for k in golden}, golden, 'these values come from the published code: the method changed, or was wrong')


@pytest.mark.parametrize('name', [n for n in REFERENCE if n != 'what'])
def test_parameters_are_as_many_as_the_authors(name: str) -> None:
    method, _ = reference_case(name)
    assert {n: sum(p.numel() for p in net.parameters()) for n, net in method.nets.items()} == REFERENCE[name]['parameters']
