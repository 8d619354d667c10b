"""Runs that go on otherwise than they began: changes are recorded and replayed, runs grow, take other weights, change processes."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from retouch import training
from retouch.api import train
from retouch.cli.main import main
from retouch.engine.logs import read_jsonl
from retouch.engine.state import load_state
from retouch.files import alone_in
from retouch.model import load_model
from retouch.recipes.registry import load_run, override
from tests.cli.test_training import SMALL, TORCHRUN, state_of

DEMO = ['train', 'aggan_multi.demo', *SMALL, '--train.log-every', '1', '--train.threads', '1']
RATE = 8e-4                      # of the recipe


def rates(out: Path) -> set[float]:
    """The learning rates of the last iteration."""
    return {group['lr'] for optimiser in load_state(out / 'state')['optimisers'].values() for group in optimiser['param_groups']}


def history(out: Path) -> list[tuple]:
    return [tuple(change.values()) for change in json.loads((out / 'run.json').read_text())['run']['history']]


def rows(out: Path) -> list[dict]:
    return [{k: v for k, v in json.loads(line).items() if k != 'time'} for line in (out / 'log.jsonl').read_text().splitlines()]


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(list(words)) == 2
    said = capsys.readouterr().err
    assert said.startswith('retouch: error: ') and said.count('\n') == 1, said
    return said


def test_what_changes_on_the_way_is_recorded_printed_and_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, c = tmp_path / 'a', tmp_path / 'b', tmp_path / 'c'
    assert main([*DEMO, '--out', str(a), '--train.iterations', '6', '--stop-after', '2']) == 0
    assert '--method.lr' not in capsys.readouterr().out and history(a) == []
    assert main(['train', str(a), '--resume', 'auto', '--method.lr', '1e-5', '--stop-after', '4']) == 0
    said = capsys.readouterr()
    assert 'from iteration 2 on: method.lr 1e-05 (before: 0.0008)' in said.err.splitlines()
    assert f'  retouch train {a}/run.json --out {a} --resume auto --method.lr 1e-05' in said.out.splitlines()
    assert rates(a) == {1e-5} and history(a) == [(2, 'method.lr', RATE, 1e-5)]

    assert main(['train', str(a), '--resume', 'auto', '--train.iterations', '8']) == 0              # longer, at the changed rate
    line = 'from iteration 4 on: train.iterations 8 (before: 6); the schedule is now that of 8 iterations'
    assert line in capsys.readouterr().err.splitlines()
    assert history(a) == [(2, 'method.lr', RATE, 1e-5), (4, 'train.iterations', 6, 8)]
    assert list(rates(a)) == pytest.approx([1e-5 * (8 - 7) / (8 * 0.4)])                            # linear over the last 40 % of 8
    assert [row['iteration'] for row in rows(a)] == [*range(1, 9)]
    assert load_run(a).train.iterations == 8 and load_run(a).at(3).train.iterations == 6 and load_run(a).at(1).method.lr == RATE

    assert main(['train', str(a / 'run.json'), '--out', str(b)]) == 0
    assert line in capsys.readouterr().err.splitlines() and history(b) == history(a) and rows(b) == rows(a)
    assert (b / 'model' / 'model.safetensors').read_bytes() == (a / 'model' / 'model.safetensors').read_bytes()
    for stop in ('1', '2', '5', '8'):                            # a replay that is stopped before, at and after what changes
        assert main(['train', str(a / 'run.json' if stop == '1' else c), '--out', str(c), '--resume', 'auto', '--stop-after', stop]) == 0
    assert history(c) == history(a) and rows(c) == rows(a)
    assert all(torch.equal(v, state_of(c)[k]) for k, v in state_of(a).items())

    assert 'may grow, not shrink; resume with 8 or more' in refused(capsys, 'train', str(a), '--resume', 'auto', '--train.iterations', '7')
    line = refused(capsys, 'train', str(a), '--resume', 'auto', '--method.lambda-cls', '3')
    assert f'lambda_cls=2.0, this run says 3.0: resume with the same value, as `retouch train {a} --resume auto` does' in line
    assert 'unknown option' in refused(capsys, 'train', str(a), '--init.path', 'x')


def test_a_replay_may_be_changed(tmp_path: Path) -> None:
    """A field that is given holds from the start, and during a resumed replay from there on, whatever the repeated run did later."""
    small = {'data.n': 60, 'data.size': 16, 'method.width_g': 4, 'method.width_d': 4, 'method.blocks': 1, 'train.batch_size': 2}
    a = train('aggan_multi.demo', out=tmp_path / 'a', **small, **{'train.iterations': 40}, stop_after=1)
    train(a, resume='auto', stop_after=2, **{'method.lr': 1e-5, 'train.log_every': 1})
    run = override(load_run(a), {'method.lr': 3e-5})
    assert [change.field for change in run.history] == ['train.log_every'] and run.at(0).train.log_every == 50
    assert run.at(0).method.lr == run.at(9).method.lr == 3e-5
    b = train(a, out=tmp_path / 'b', stop_after=0)
    assert history(b) == history(a) and rates(b) == {RATE}
    train(b, resume='auto', stop_after=2, **{'method.lr': 2e-5})
    assert history(b) == [(1, 'train.log_every', 50, 1), (0, 'method.lr', RATE, 2e-5)] and rates(b) == {2e-5}


def test_a_run_from_before_there_was_a_history_goes_on(tmp_path: Path) -> None:
    a, b = tmp_path / 'a', tmp_path / 'b'
    assert main([*DEMO, '--out', str(a), '--train.iterations', '4', '--stop-after', '2']) == 0
    shutil.copytree(a, b)
    record = json.loads((b / 'run.json').read_text())
    for name in ('processes', 'history', 'init'):
        del record['run'][name]
    (b / 'run.json').write_text(json.dumps(record))
    for out in (a, b):
        assert main(['train', str(out / 'run.json'), '--out', str(out), '--resume', 'auto']) == 0
    assert all(torch.equal(v, state_of(b)[k]) for k, v in state_of(a).items())
    assert json.loads((b / 'run.json').read_text()) == record                                       # nothing changed, nothing to record
    assert main(['train', str(b), '--resume', 'auto', '--train.iterations', '5', '--method.lr', '1e-4']) == 0
    assert history(b) == [(4, 'method.lr', RATE, 1e-4), (4, 'train.iterations', 4, 5)]


def test_a_run_begins_with_the_weights_of_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, same, fewer, again = (tmp_path / name for name in ('source', 'same', 'fewer', 'again'))
    assert main([*DEMO, '--out', str(source), '--train.iterations', '3']) == 0
    begin = [*DEMO, '--init', str(source), '--train.iterations', '4', '--seed', '7']
    assert main([*begin, '--init-optimiser', '--out', str(same), '--stop-after', '0']) == 0
    there, here = load_state(source / 'state'), load_state(same / 'state')
    assert here['iteration'] == 0 and all(torch.equal(v, here['trainable'][k]) for k, v in there['trainable'].items())
    assert all(torch.equal(v, here['trainable'][f'nets.{k}']) for k, v in here['ema'].items())        # the average begins with them
    for name, optimiser in there['optimisers'].items():
        for i, moments in optimiser['state'].items():
            assert all(torch.equal(v, here['optimisers'][name]['state'][i][k]) for k, v in moments.items())
    said = capsys.readouterr().err.splitlines()
    assert f'from {source}: optimisers taken: D, G' in said
    assert any(line.startswith(f'from {source}: tensors taken: G ') and 'not taken' not in line for line in said)
    init = json.loads((same / 'run.json').read_text())['run']['init']
    sha = subprocess.run(['sha256sum', source / 'state' / 'last.pt'], capture_output=True, text=True).stdout.split()[0]
    assert init == {'path': str(source), 'optimiser': True, 'sha256': sha}

    assert main([*begin, '--data.attributes', 'Bangs,Eyeglasses', '--out', str(fewer), '--stop-after', '0']) == 0
    line = next(line for line in capsys.readouterr().err.splitlines() if 'tensors taken' in line)
    assert line == (f'from {source}: tensors taken: G 21 of 22, D 7 of 8; not taken: D.cls.weight (6x16x2x2 there, 2x16x2x2 here), '
                    'G.main.0.weight (4x9x7x7 there, 4x5x7x7 here)')
    there, here = there['trainable'], load_state(fewer / 'state')['trainable']
    fits = [k for k, v in here.items() if v.shape == there[k].shape]
    assert len(here) - len(fits) == 2 and all(torch.equal(here[k], there[k]) for k in fits)
    assert load_state(fewer / 'state')['optimisers']['G']['state'] == {}

    shutil.move(source, tmp_path / 'moved')                      # who goes on does not need the source; who begins does
    assert main([*begin, '--init-optimiser', '--out', str(same), '--resume', 'auto', '--stop-after', '1']) == 0
    assert main(['train', str(same), '--resume', 'auto']) == 0
    assert 'unknown model' in refused(capsys, 'train', str(same / 'run.json'), '--out', str(again))
    assert main(['train', str(tmp_path / 'moved'), '--resume', 'auto', '--train.iterations', '5']) == 0
    shutil.move(tmp_path / 'moved', source)
    assert 'this run began with' in refused(capsys, 'train', str(same / 'run.json'), '--out', str(again)) and not again.exists()
    other = ['--init', str(fewer)]
    assert f'init.path={source}, this run says {fewer}' in refused(capsys, *DEMO, '--seed', '7', '--train.iterations', '4', *other, '--out',
                                                                  str(same), '--resume', 'auto', '--init-optimiser')
    assert 'leave out --init' in refused(capsys, 'train', str(source), '--resume', 'auto', *other)


def test_a_run_begins_with_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / 'source', tmp_path / 'out'
    assert main([*DEMO, '--out', str(source), '--train.iterations', '2']) == 0
    shutil.rmtree(source / 'state')
    begin = [*DEMO, '--init', str(source), '--out', str(out), '--stop-after', '0']
    assert 'holds no optimisers' in refused(capsys, *begin, '--init-optimiser') and not out.exists()
    assert 'expected --init beside it' in refused(capsys, *DEMO, '--init-optimiser')
    assert main(begin) == 0
    assert f'from {source}: tensors taken: G 22 of 22, D 8 of 8' in capsys.readouterr().err.splitlines()
    model, here = load_model(source), load_state(out / 'state')['trainable']
    assert all(torch.equal(v, here[f'nets.{net}.{k}']) for net in 'GD' for k, v in model.method.nets[net].state_dict().items())
    assert json.loads((out / 'run.json').read_text())['run']['init']['sha256'] == model.weights_sha256
    assert "unknown model 'nowhere'" in refused(capsys, *DEMO, '--init', 'nowhere')
    cyclegan = ['train', 'cyclegan.toyfaces', *SMALL, '--stop-after', '0', '--out']
    assert '--init judge cannot be begun with (no tensor of its networks C has the name and shape of one of G, F, D_A, D_B)' in refused(
        capsys, *cyclegan, str(tmp_path / 'c'), '--init', 'judge')
    assert main([*cyclegan, str(tmp_path / 'a')]) == 0
    shutil.rmtree(tmp_path / 'a' / 'state')
    assert main([*cyclegan, str(tmp_path / 'b'), '--init', str(tmp_path / 'a')]) == 0
    assert ', D_A 0 of 8, D_B 0 of 8; not taken: all of D_A (nothing there), all of D_B (nothing there)' in capsys.readouterr().err


def test_terms_of_imported_weights_hold_for_what_began_with_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third = (tmp_path / name for name in ('first', 'second', 'third'))
    assert main([*DEMO, '--out', str(first), '--train.iterations', '1']) == 0 and load_model(first).terms is None
    config = json.loads((first / 'model' / 'config.json').read_text())
    origin = {'source': 'some/where', 'licence': 'MIT', 'trained_on': 'CelebA', 'data_terms': 'research only', 'non_commercial': True}
    config['info']['origin'] = origin
    (first / 'model' / 'config.json').write_text(json.dumps(config))
    for source, out in ((first / 'model', second), (second, third)):
        assert main([*DEMO, '--init', str(source), '--out', str(out), '--train.iterations', '1']) == 0
        model = load_model(out)
        assert model.info['begun_with'] == origin and 'origin' not in model.info
        assert model.terms == 'not for commercial use: weights of some/where, MIT; trained on CelebA: research only'
    capsys.readouterr()
    assert main(['push', str(third), 'me/model', '--licence', 'mit', '--dry-run']) == 0
    readme = capsys.readouterr().out
    assert 'terms: not for commercial use: weights of some/where' in readme and 'began with weights of some/where, licence MIT' in readme


def test_two_do_not_train_in_one_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    out, words = tmp_path / 'run', [*DEMO, '--train.iterations', '4', '--out', str(tmp_path / 'run'), '--resume', 'auto']
    assert main([*words, '--stop-after', '1']) == 0
    before = {path: path.read_bytes() for path in out.rglob('*') if path.is_file()}
    with alone_in(out):
        assert f'another process is training in {out}: expected one at a time; wait' in refused(capsys, *words)
    assert {path: path.read_bytes() for path in out.rglob('*') if path.is_file()} == before
    assert main(words) == 0

    new, build = tmp_path / 'new', training.make_trainer         # while this one prepares its pictures, another trains to the end
    words = [*DEMO, '--train.iterations', '2', '--out', str(new)]

    def meanwhile(*given: Any) -> Any:
        monkeypatch.setattr(training, 'make_trainer', build)
        assert main(words) == 0
        capsys.readouterr()
        return build(*given)

    monkeypatch.setattr(training, 'make_trainer', meanwhile)
    assert f'{new} already holds a run: continue it with --resume auto' in refused(capsys, *words)
    assert load_state(new / 'state')['iteration'] == 2


def test_a_finished_model_has_the_time_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill after the last save leaves a run that a suite takes as it is, and reads its seconds."""
    out, seen = tmp_path / 'run', list[list[int]]()
    monkeypatch.setattr(training, 'save_model',
                        lambda *given: seen.append([leg['until_iteration'] for leg in read_jsonl(out / 'time.jsonl')]))
    words = [*DEMO, '--train.iterations', '4', '--train.save-every', '2', '--out', str(out), '--resume', 'auto']
    assert main([*words, '--stop-after', '1']) == 0 and main(words) == 0
    assert seen == [[1], [1, 2], [1, 4]]


GOES_ON = """
import dataclasses, os, sys, numpy as np, torch
from pathlib import Path
from lightning_fabric import Fabric
from retouch.data.loader import AttributeLoader
from retouch.engine.state import load_state, save_state
from retouch.engine.trainer import Trainer
from retouch.methods.registry import METHODS

torch.set_num_threads(1)
world, folder, begin, end = int(os.environ.get('WORLD_SIZE', '1')), Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
fabric = Fabric(accelerator='cpu', devices=world, strategy='ddp' if world > 1 else 'auto')
fabric.launch()
torch.manual_seed(0)
trainer = Trainer(METHODS['aggan_multi'].tiny().double(), fabric, iterations=10, ema=0.9)
if begin:
    trainer.load_state_dict(load_state(folder))
rng = np.random.default_rng(0)
images, labels = rng.integers(0, 256, (10, 16, 16, 3), np.uint8), rng.integers(0, 2, (10, 3))
loader = AttributeLoader(images, labels, trainer.trainable.data.attributes, 'permute', 'attgan_tf', batch_size=4 // world, seed=0,
                         size=16, flip=True, device=fabric.device, rank=fabric.global_rank, world=world)
for i in range(begin, end):
    batch = loader.batch(i, 10)
    trainer.train_iteration(dataclasses.replace(batch, **{name: getattr(batch, name).double() for name in ('image', 'labels', 'target')}))
if fabric.global_rank == 0:
    save_state(folder, trainer.state_dict())
"""


@pytest.mark.slow
def test_another_number_of_processes_goes_on_where_one_was(tmp_path: Path) -> None:
    """Two iterations on one process with batch 4, two on two with batch 2, two on one, against six on one; float64, as in test_training."""
    script = tmp_path / 'goes_on.py'
    script.write_text(GOES_ON)
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}
    legs = (('straight', 1, 0, 6), ('moved', 1, 0, 2), ('moved', 2, 2, 4), ('moved', 1, 4, 6))
    for name, processes, begin, end in legs:
        command = [*([sys.executable] if processes == 1 else TORCHRUN), str(script), str(tmp_path / name), str(begin), str(end)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
    straight, moved = (load_state(tmp_path / name) for name in ('straight', 'moved'))
    assert straight['iteration'] == moved['iteration'] == 6
    for part in ('trainable', 'ema'):
        for k, v in straight[part].items():
            torch.testing.assert_close(v, moved[part][k], rtol=1e-6, atol=1e-8, msg=lambda m, k=k: f'{k}: {m}')


def test_torchrun_trains_and_one_process_goes_on_where_told_what_to_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'run'
    two = [*TORCHRUN, '-m', 'retouch', *DEMO, '--train.batch-size', '1', '--train.iterations', '6', '--out', str(out), '--stop-after', '1']
    done = subprocess.run(two, capture_output=True, text=True, timeout=240,
                          env={**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''})
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count('stopped:') == 1, 'one process speaks'
    assert f'  torchrun --nproc-per-node 2 -m retouch train {out}/run.json --out {out} --resume auto' in done.stdout.splitlines()
    assert load_state(out / 'state')['iteration'] == 1
    # a replay on one process: the batch of both, or another run if that is what is asked for
    again = ['train', str(out / 'run.json'), '--out', str(tmp_path / 'again'), '--stop-after', '0']
    assert 'trained with 2 pictures an iteration, 2 processes with 1 each; here is 1 process: set --train.batch-size 2' in refused(
        capsys, *again)
    assert main([*again, '--train.batch-size', '2']) == 0 and history(tmp_path / 'again') == []
    # and the same of the run itself
    on = ['train', str(out / 'run.json'), '--out', str(out), '--resume', 'auto', '--stop-after', '2']
    assert ('trains on 2 pictures an iteration, 2 processes with 1 each, and not on 1 process with 1: set --train.batch-size 2'
            in refused(capsys, *on)) and load_state(out / 'state')['iteration'] == 1
    assert main([*on, '--train.batch-size', '2']) == 0 and load_state(out / 'state')['iteration'] == 2
    assert history(out) == [(1, 'train.batch_size', 1, 2), (1, 'processes', 2, 1)]
    assert f'  retouch train {out}/run.json --out {out} --resume auto --train.batch-size 2' in capsys.readouterr().out.splitlines()
