"""Training from the command line: stop and resume, several processes, and what a run directory holds."""
from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from retouch.cli import main as cli
from retouch.engine.state import load_state

SMALL = ['--data.n', '60', '--data.size', '16', '--method.width-g', '4', '--method.width-d', '4', '--method.blocks', '1',
         '--train.batch-size', '2']
TORCHRUN = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2']


def state_of(out: Path) -> dict:
    return load_state(out / 'state')['trainable']


def test_stop_resume_and_replay_give_one_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, c = tmp_path / 'a', tmp_path / 'b', tmp_path / 'c'
    common = [*SMALL, '--train.iterations', '6', '--seed', '3', '--train.channels-last', 'true']
    assert cli.main(['train', 'aggan_multi.demo', '--out', str(a), *common]) == 0
    assert cli.main(['train', 'aggan_multi.demo', '--out', str(b), '--stop-after', '4', *common]) == 0
    assert load_state(b / 'state')['iteration'] == 4
    older = json.loads((b / 'run.json').read_text())
    assert older['run']['data'].pop('balance') is False                                  # a field that came after the run was started
    (b / 'run.json').write_text(json.dumps(older))
    assert cli.main(['train', 'aggan_multi.demo', '--out', str(b), '--resume', 'auto', *common]) == 0
    assert cli.main(['train', str(a / 'run.json'), '--out', str(c)]) == 0
    for other in (b, c):
        assert all(torch.equal(v, state_of(other)[k]) for k, v in state_of(a).items())
    assert (a / 'model' / 'model.safetensors').read_bytes() == (b / 'model' / 'model.safetensors').read_bytes()
    order = load_state(a / 'state')['trainable']
    assert any(v.ndim == 4 and v.is_contiguous(memory_format=torch.channels_last) and not v.is_contiguous() for v in order.values())
    record = json.loads((a / 'run.json').read_text())
    assert record['run']['seed'] == 3 and record['run']['train']['iterations'] == 6
    assert record['versions']['torch'] and record['parameters']['G'] > 0
    rows = [json.loads(line) for line in (a / 'log.jsonl').read_text().splitlines()]
    assert rows[-1]['iteration'] == 6 and {'D.gp', 'G.mask_area', 'G.rec'} <= rows[-1].keys()
    capsys.readouterr()
    assert cli.main(['train', 'aggan_multi.demo', '--out', str(a), *common]) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and 'already holds a run at iteration 6: continue it with --resume auto, or choose another --out' in error
    assert cli.main(['train', 'aggan_multi.demo', '--out', str(b), '--resume', 'auto', *common[:-2], '--seed', '4']) == 2
    assert 'was started with seed=3, this run says 4' in capsys.readouterr().err


def test_a_training_leaves_the_number_of_threads_as_it_was(tmp_path: Path) -> None:
    arguments = ['train', 'aggan_multi.demo', *SMALL, '--train.iterations', '1', '--train.threads', '2']
    for more in (['--dry-run'], ['--out', str(tmp_path / 'run')]):
        assert cli.main([*arguments, *more]) == 0 and torch.get_num_threads() == 1
    assert json.loads((tmp_path / 'run' / 'run.json').read_text())['run']['train']['threads'] == 2


def test_resume_of_a_truncated_state_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'run'
    assert cli.main(['train', 'stargan.toyfaces', '--out', str(out), '--stop-after', '1', *SMALL]) == 0
    state = out / 'state' / 'last.pt'
    state.write_bytes(state.read_bytes()[:1000])
    capsys.readouterr()
    assert cli.main(['train', 'stargan.toyfaces', '--out', str(out), '--resume', 'auto', *SMALL]) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and 'last.pt cannot be read' in error


CAM = ['--data.n', '24', '--data.size', '16', '--train.batch-size', '2', '--method.backbone.width-g', '4', '--method.backbone.width-d', '4']
OF_BACKBONE = {'stargan': ['--method.backbone.blocks', '1'], 'attgan': ['--method.backbone.layers', '3'],
               'stgan': ['--method.backbone.layers', '3', '--method.backbone.shortcut', '2']}


@pytest.mark.parametrize('backbone', OF_BACKBONE)
def test_a_backbone_is_configured_and_resumed_through_cam(backbone: str, tmp_path: Path) -> None:
    out = tmp_path / 'run'
    words = ['train', f'cam.{backbone}_toyfaces', '--out', str(out), *CAM, *OF_BACKBONE[backbone], '--train.iterations', '4',
             '--method.backbone.lambda-rec', '3', '--train.log-every', '1']
    assert cli.main([*words, '--stop-after', '3']) == 0
    assert cli.main([*words, '--resume', 'auto']) == 0
    method = json.loads((out / 'run.json').read_text())['run']['method']
    assert method['id'] == 'cam' and method['backbone']['id'] == backbone and method['backbone']['lambda_rec'] == 3
    keys = {key for line in (out / 'log.jsonl').read_text().splitlines() for key in json.loads(line)}
    assert {'D.cam', 'G.cam', 'D.gp', 'G.rec'} <= keys
    assert load_state(out / 'state')['iteration'] == 4


def test_a_cam_run_is_resumed_only_as_it_was_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'run'

    def words(backbone: str, *more: str) -> list[str]:
        return ['train', f'cam.{backbone}_toyfaces', '--out', str(out), *CAM, *OF_BACKBONE[backbone], *more]

    assert cli.main([*words('stargan'), '--stop-after', '1']) == 0
    before = (out / 'state' / 'last.pt').read_bytes()
    capsys.readouterr()
    for other, expected in {
        ('attgan',): ('method.backbone.id=stargan', 'this run says attgan'),
        ('stargan', '--data.attributes', 'Bangs,Eyeglasses'): ("'Blond_Hair', ", "this run says ['Bangs', 'Eyeglasses']"),
        ('stargan', '--method.layer', 'last'): ('method.layer=4x4', 'this run says last'),
        ('stargan', '--method.backbone.lambda-rec', '3'): ('method.backbone.lambda_rec=100.0', 'this run says 3.0'),
    }.items():
        assert cli.main([*words(*other), '--resume', 'auto']) == 2
        error = capsys.readouterr().err
        assert error.count('\n') == 1 and all(part in error for part in expected), error
        assert (out / 'state' / 'last.pt').read_bytes() == before
    assert cli.main([*words('stargan', '--method.backbone.lr', '1e-5'), '--resume', 'auto', '--stop-after', '2']) == 0


TWO = """
import dataclasses, os, sys, numpy as np, torch
from lightning_fabric import Fabric
from retouch.data.loader import AttributeLoader
from retouch.engine.trainer import Trainer
from retouch.methods.registry import METHODS

torch.set_num_threads(1)
world, batch_size = int(os.environ.get('WORLD_SIZE', '1')), int(sys.argv[2])
fabric = Fabric(accelerator='cpu', devices=world, strategy='ddp' if world > 1 else 'auto')
fabric.launch()
torch.manual_seed(0)
trainer = Trainer(METHODS[sys.argv[3]].tiny().double(), fabric, iterations=10, ema=0.9)
rng = np.random.default_rng(0)
images, labels = rng.integers(0, 256, (10, 16, 16, 3), np.uint8), rng.integers(0, 2, (10, 3))
loader = AttributeLoader(images, labels, trainer.trainable.data.attributes, 'permute', 'attgan_tf', batch_size=batch_size, seed=0,
                         size=16, flip=True, device=fabric.device, rank=fabric.global_rank, world=world)
for i in range(4):
    batch = loader.batch(i, 10)
    double = {name: getattr(batch, name).double() for name in ('image', 'labels', 'target')}
    trainer.train_iteration(dataclasses.replace(batch, **double))
if fabric.global_rank == 0:
    torch.save({**trainer.module.state_dict(), **{f'ema.{k}': v for k, v in trainer.ema.weights.items()}}, sys.argv[1])
"""


@pytest.mark.parametrize('name', ['aggan_multi', *(pytest.param(name, marks=pytest.mark.slow) for name in ('stargan', 'cam'))])
def test_two_processes_equal_one_with_the_doubled_batch(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two gloo processes with batch 2 against one with batch 4; float64, for Adam turns the last bit of a tiny gradient into a step."""
    script = tmp_path / 'two.py'
    script.write_text(TWO)
    done = subprocess.run([*TORCHRUN, str(script), str(tmp_path / 'two.pt'), '2', name], capture_output=True, text=True, timeout=240,
                          env={**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''})
    assert done.returncode == 0, done.stderr[-3000:]
    monkeypatch.setattr(sys, 'argv', [str(script), str(tmp_path / 'one.pt'), '4', name])
    runpy.run_path(str(script))
    one, two = torch.load(tmp_path / 'one.pt'), torch.load(tmp_path / 'two.pt')
    assert one.keys() == two.keys() and len(one) > 20
    for k in one:
        torch.testing.assert_close(one[k], two[k], rtol=1e-6, atol=1e-8, msg=lambda m, k=k: f'{k}: {m}')


def test_sigterm_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    out = tmp_path / 'run'
    command = [sys.executable, '-m', 'retouch', 'train', 'aggan_multi.demo', '--out', str(out), *SMALL]
    command += ['--train.log-every', '1', '--train.save-every', '100000', '--train.iterations', '1000000']
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (out / 'log.jsonl').exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert 'interrupted' in said and '--resume auto' in said
    assert load_state(out / 'state')['iteration'] >= 1


def test_a_state_without_its_run_json_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'run'
    small = ['train', 'stargan.toyfaces', '--out', str(out), '--stop-after', '1', *SMALL]
    assert cli.main(small) == 0
    (out / 'run.json').unlink()
    before = (out / 'state' / 'last.pt').read_bytes()
    assert cli.main([*small, '--resume', 'auto']) == 2
    assert 'run.json is missing beside a saved state' in capsys.readouterr().err
    assert (out / 'state' / 'last.pt').read_bytes() == before


def test_a_run_is_resumed_only_on_the_set_it_was_started_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / 'data'
    for side in 'AB':
        (data / f'train{side}').mkdir(parents=True)
        for k in range(4):
            Image.new('RGB', (16, 16), (60 * k, 0, 90)).save(data / f'train{side}' / f'{k}.png')
    out = tmp_path / 'run'
    start = ['train', 'cyclegan.toyfaces', '--data', str(data), '--data.size', '16', '--method.width-g', '4', '--method.blocks', '1',
             '--method.width-d', '4', '--train.batch-size', '2', '--out', str(out)]
    assert cli.main([*start, '--stop-after', '1']) == 0
    state = (out / 'state' / 'last.pt').read_bytes()
    Image.new('RGB', (16, 16), (255, 255, 255)).save(data / 'trainB' / '2.png')
    capsys.readouterr()
    assert cli.main([*start, '--resume', 'auto', '--stop-after', '2']) == 2
    err = capsys.readouterr().err.strip()
    assert len(err.splitlines()) == 1 and str(data) in err and 'put the set back' in err
    assert (out / 'state' / 'last.pt').read_bytes() == state
