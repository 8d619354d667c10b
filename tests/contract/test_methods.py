"""What every method promises, checked on its tiny() form."""
from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from retouch.engine.state import load_state, save_state
from retouch.engine.trainer import Trainer
from retouch.engine.update import Method, Trainable
from retouch.guidance.mask import check_mask
from retouch.methods.registry import METHODS
from tests.batches import TINY, random_batch, random_request

# systems whose Translation carries an edit mask
MASKED = {'ganimation', 'contrastgan', 'diat', 'aggan', 'aggan_multi', 'attentiongan', 'lomit', 'local',
          'local.shipped', 'mejjati_attn'}
BATCH_COUPLED = {'classifier', 'parser', 'attgan', 'stgan', 'aggan', 'pix2pix', 'cam.attgan', 'cam.stgan', 'secgan.attgan', 'secgan.stgan',
                 'secgan.concat', 'lomit', 'contrastgan', 'discogan', 'distancegan', 'distancegan.discogan', 'icgan'}  # batch norm; sets


def make(name: str, ema: float | None = 0.9) -> Trainer:
    torch.manual_seed(0)
    return Trainer(TINY[name](), Fabric(accelerator='cpu', devices=1), iterations=10, ema=ema)


def batch_for(trainer: Trainer) -> Any:
    return random_batch(trainer.trainable.kind, trainer.trainable.data, iteration=trainer.iteration)


def snapshot(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.detach().clone() for k, v in module.state_dict().items()}


def learned(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters without buffers: running statistics follow every training pass, also one that another net learns from."""
    return {k: v.detach().clone() for k, v in module.named_parameters()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_registry_is_whole() -> None:
    assert set(METHODS) == {'stargan', 'attgan', 'stgan', 'aggan', 'aggan_multi', 'cyclegan', 'asgit', 'asgit_pairs', 'cam', 'secgan',
                            'classifier', 'parser', 'pix2pix', 'bicyclegan', 'dualgan', 'fal', 'attentiongan',
                            'discogan', 'distancegan', 'icgan', 'combogan', 'cut', 'mejjati_attn', 'munit', 'drit', 'lomit', 'local',
                            'unit', 'ganimation', 'contrastgan', 'diat'}
    assert set(TINY) == {*METHODS, 'local.shipped', 'dualgan.ce', 'dualgan.gp', 'unit.nips', 'cam.attgan', 'cam.stgan', 'secgan.attgan',
                         'secgan.stgan', 'secgan.concat', 'distancegan.self', 'distancegan.discogan'}
    for name, cls in METHODS.items():
        assert cls.id == name and cls.Config.model_fields['id'].default == name
        assert isinstance(cls.tiny(), Trainable)
    assert {name for name, cls in METHODS.items() if isinstance(cls.tiny(), Method)} == set(METHODS) - {'classifier', 'parser'}


@pytest.mark.parametrize('name', TINY)
def test_the_order_of_memory_changes_no_loss(name: str) -> None:
    plain, other = make(name), make(name)
    other.trainable.to(memory_format=torch.channels_last)
    assert any(p.ndim == 4 and not p.is_contiguous() for p in other.trainable.nets.parameters())
    batch = batch_for(plain)
    ours, theirs = plain.train_iteration(batch), other.train_iteration(batch)
    assert ours.keys() == theirs.keys()
    for update, step in ours.items():
        torch.testing.assert_close(theirs[update].loss, step.loss, rtol=1e-3, atol=1e-4)
    last = [u for u in plain.updates if u.name in ours][-1]       # whose gradients are still there
    for net in last.among(batch) if last.among else last.nets:
        a, b = (torch.cat([p.grad.flatten() for p in one.trainable.nets[net].parameters()]) for one in (plain, other))
        assert a.norm() > 0 and float((a - b).norm()) <= 0.01 * float(a.norm()), f'{last.name} {net}'


@pytest.mark.parametrize('name', TINY)
def test_each_update_moves_its_own_nets_only_and_reaches_every_parameter(name: str) -> None:
    trainer, seen = make(name), set()
    nets = trainer.trainable.nets
    staged = any(u.within != (0.0, 1.0) for u in trainer.updates)
    for _ in range(trainer.iterations if staged else max(u.every for u in trainer.updates)):
        due = [u for u in trainer.updates if u.runs_at(trainer.iteration, trainer.iterations)]
        kept: dict[str, Any] = {}
        for update in due:
            state = learned if name in BATCH_COUPLED else snapshot
            before = {n: state(net) for n, net in nets.items()}
            batch = batch_for(trainer)
            learning = update.among(batch) if update.among else update.nets
            assert set(learning) <= set(update.nets)
            for n, net in nets.items():
                net.requires_grad_(n in learning)
            optimiser = trainer.optimisers[update.name]
            optimiser.zero_grad(set_to_none=True)
            step = update.step(batch, kept)
            step.loss.backward()
            kept |= step.keep
            missing = [f'{n}.{k}' for n in learning for k, p in nets[n].named_parameters() if p.grad is None]
            assert not missing, f'{update.name} gives no gradient to {missing}'
            assert all(torch.isfinite(p.grad).all() for n in learning for p in nets[n].parameters())
            optimiser.step()
            moved = {n for n, net in nets.items() if not same(before[n], state(net))}
            assert moved == set(learning)
            assert torch.isfinite(step.loss) and all(torch.isfinite(v) for v in step.logs.values())
            assert not any(v.requires_grad for v in (*step.logs.values(), *step.images.values()))
            seen.add(update.name)
        trainer.iteration += 1
    assert seen == {u.name for u in trainer.updates}


@pytest.mark.parametrize('name', TINY)
def test_networks_rest_frozen(name: str) -> None:
    trainer = make(name)
    trainer.train_iteration(batch_for(trainer))
    assert not any(p.requires_grad for p in trainer.trainable.nets.parameters())


@pytest.mark.parametrize('name', TINY)
def test_resume_is_exact(name: str, tmp_path) -> None:
    straight = make(name)
    for _ in range(7):
        straight.train_iteration(batch_for(straight))
    first = make(name)
    for _ in range(3):
        first.train_iteration(batch_for(first))
    torch.rand(3), np.random.rand(3), random.random()            # the streams have moved
    save_state(tmp_path, first.state_dict())
    expected = torch.rand(2).tolist(), np.random.rand(), random.random()
    second = make(name)
    torch.manual_seed(99)                                        # whatever the new process did before
    np.random.seed(99)
    random.seed(99)
    second.load_state_dict(load_state(tmp_path))
    assert (torch.rand(2).tolist(), np.random.rand(), random.random()) == expected
    for _ in range(4):
        second.train_iteration(batch_for(second))
    assert second.iteration == straight.iteration == 7
    assert same(snapshot(straight.module), snapshot(second.module))
    assert same(straight.ema.weights, second.ema.weights)


@pytest.mark.parametrize('name', [n for n in TINY if n not in ('classifier', 'parser')])
def test_translate(name: str) -> None:
    torch.manual_seed(0)
    method = TINY[name]().eval()
    request = random_request(method.kind, method.data)
    with torch.no_grad():
        first, again = method.translate(request), method.translate(request)
        fields = {f.name: getattr(request, f.name) for f in dataclasses.fields(request)}
        alone = method.translate(dataclasses.replace(request, **{k: v[:1] for k, v in fields.items() if isinstance(v, torch.Tensor)}))
    assert first.image.shape == request.image.shape and first.image.dtype == torch.float32
    assert first.image.min() >= -1 and first.image.max() <= 1
    assert torch.equal(first.image, again.image), 'translate is deterministic'
    torch.testing.assert_close(first.image[:1], alone.image, rtol=0, atol=1e-5, msg='independent of batch mates')
    assert (first.mask is not None) == (name in MASKED)
    if first.mask is not None:
        check_mask(first.mask, request.image)
        assert 0 <= first.mask.min() and first.mask.max() <= 1


@pytest.mark.parametrize('name', [n for n in TINY if METHODS[n.partition('.')[0]].kind == 'attributes'])
def test_read(name: str) -> None:
    method = TINY[name]()
    method.eval()
    p = method.read(random_request('attributes', method.data).image)
    assert p.shape == (3, len(method.data.attributes)) and 0 <= p.min() and p.max() <= 1


@pytest.mark.parametrize('name', TINY)
def test_two_shares_average_to_the_whole_batch(name: str) -> None:
    """The gradient of a doubled batch is the mean of its halves' gradients, for systems that do not couple batch mates."""
    if name in BATCH_COUPLED:
        pytest.skip('batch norm couples the samples of a batch')
    method = TINY[name]()
    whole = random_batch(method.kind, method.data, n=4)
    update = method.updates()[0]

    def gradient(rows: slice) -> torch.Tensor:
        m = dataclasses.replace(whole.moment, start=rows.start, count=rows.stop - rows.start)
        part = dataclasses.replace(whole, moment=m, **{f.name: getattr(whole, f.name)[rows]
                                                       for f in dataclasses.fields(whole)
                                                       if isinstance(getattr(whole, f.name), torch.Tensor)})
        method.zero_grad(set_to_none=True)
        update.step(part, {}).loss.backward()
        learning = update.among(part) if update.among else update.nets
        return torch.cat([p.grad.flatten() for n in learning for p in method.nets[n].parameters()])

    torch.testing.assert_close(gradient(slice(0, 4)), (gradient(slice(0, 2)) + gradient(slice(2, 4))) / 2, rtol=1e-3, atol=1e-5)
