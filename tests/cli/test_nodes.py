"""Several machines: two nodes on loopback train what one process trains, and one that dies and comes back loses nothing."""
from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from retouch import training
from retouch.cli.training import _command_to_resume
from retouch.engine.state import load_state
from retouch.recipes.registry import load_run
from tests.nodes import METHODS, one_process, weights_after

QUIET = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}
SMALL = ['--data.n', '60', '--data.size', '16', '--method.width-g', '4', '--method.width-d', '4', '--method.blocks', '1']


def free_port() -> int:
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        return int(found.getsockname()[1])


def as_on_node(node: int, port: int) -> dict[str, str]:
    """The environment that `torchrun --nnodes 2 --nproc-per-node 1` gives its one process on a node."""
    return {**QUIET, 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(port), 'WORLD_SIZE': '2', 'RANK': str(node), 'GROUP_WORLD_SIZE': '2',
            'GROUP_RANK': str(node), 'LOCAL_WORLD_SIZE': '1', 'LOCAL_RANK': '0', 'TORCHELASTIC_RUN_ID': 'test'}


def test_two_nodes_train_the_weights_of_one_process(tmp_path: Path, repository: Path) -> None:
    """A method of every kind that has one without batch norm: two nodes with two pictures each against one process with four."""
    alone = {kind: weights_after(kind, one_process()) for kind in METHODS}
    port, out = free_port(), tmp_path / 'two.pt'
    nodes = [subprocess.Popen([sys.executable, '-m', 'tests.nodes', str(out)], env=as_on_node(node, port), cwd=repository,
                              stderr=subprocess.PIPE, text=True) for node in (0, 1)]
    for node in nodes:
        said = node.communicate(timeout=240)[1]
        assert node.returncode == 0, said[-3000:]
    together = torch.load(out)
    assert set(alone) == set(together) == {'attributes', 'domains', 'pairs'}
    for kind, weights in alone.items():
        assert weights.keys() == together[kind].keys() and len(weights) > 20
        for k, v in weights.items():
            torch.testing.assert_close(together[kind][k], v, rtol=1e-6, atol=1e-8, msg=lambda m, k=k, kind=kind: f'{kind} {k}: {m}')


@pytest.mark.parametrize(('seen', 'words'), [([40, -1], 'process 0 iteration 40, process 1 no state'),
                                             ([40, 20], 'process 0 iteration 40, process 1 iteration 20')])
def test_machines_that_do_not_share_the_run_directory_are_told(seen: list[int], words: str, tmp_path: Path) -> None:
    fabric = SimpleNamespace(world_size=2, device='cpu', all_gather=lambda mine: torch.tensor(seen))
    with pytest.raises(ValueError, match=f'is not one folder for all processes .*{words}.*expected --out on a disk'):
        training._check_same_folder(tmp_path, {'iteration': 40}, fabric)       # type: ignore[arg-type]
    training._check_same_folder(tmp_path, None, SimpleNamespace(world_size=2, device='cpu',      # type: ignore[arg-type]
                                                                all_gather=lambda mine: mine.repeat(2)))


def test_the_command_that_goes_on_names_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = load_run('stargan.toyfaces').model_copy(update={'processes': 16})
    (tmp_path / 'run.json').write_text(json.dumps({'run': run.model_dump(mode='json')}))
    monkeypatch.setenv('GROUP_WORLD_SIZE', '2')
    assert _command_to_resume(tmp_path).startswith('torchrun --nnodes 2 --nproc-per-node 8 -m retouch train ')
    monkeypatch.delenv('GROUP_WORLD_SIZE')
    assert _command_to_resume(tmp_path).startswith('torchrun --nproc-per-node 16 -m retouch train ')


@pytest.mark.slow
def test_a_node_that_dies_and_comes_back_loses_nothing(tmp_path: Path, repository: Path) -> None:
    """Two agents of torchrun; the second and its worker are killed, then started again: the weights of a training that nobody killed.

    With a shared store, torch 2.15 hands no address to an agent that joins later: the first keeps the one of its first round.
    """
    port = free_port()
    words = ['-m', 'retouch', 'train', 'stargan.toyfaces', *SMALL, '--train.batch-size', '1', '--train.iterations', '200',
             '--train.save-every', '20', '--train.log-every', '5', '--resume', 'auto', '--out']

    def agent(node: int, out: Path) -> subprocess.Popen:
        launch = [sys.executable, '-m', 'torch.distributed.run', '--nnodes', '2', '--nproc-per-node', '1', '--max-restarts', '3',
                  '--rdzv-backend', 'c10d', '--rdzv-id', out.name, '--rdzv-endpoint', f'127.0.0.1:{port}',
                  '--rdzv-conf', f'is_host={"true" if node == 0 else "false"}', '--local-addr', '127.0.0.1']
        with open(tmp_path / f'{out.name}-{node}.txt', 'a') as said:
            return subprocess.Popen([*launch, *words, str(out)], env={**QUIET, 'TORCH_DISABLE_SHARE_RDZV_TCP_STORE': '1'}, cwd=repository,
                                    start_new_session=True, stdout=subprocess.DEVNULL, stderr=said)

    straight, broken = tmp_path / 'straight', tmp_path / 'broken'
    for out in (straight, broken):
        agents = [agent(node, out) for node in (0, 1)]
        try:
            if out == broken:
                deadline = time.monotonic() + 300
                while not (out / 'state' / 'last.pt').exists() and time.monotonic() < deadline:
                    time.sleep(0.1)
                os.killpg(agents[1].pid, signal.SIGKILL)
                agents[1].wait()
                assert load_state(out / 'state')['iteration'] < 200
                time.sleep(20)                                   # a machine takes longer; 15 s without a sign are death to torchrun
                agents[1] = agent(1, out)
            for one in agents:
                assert one.wait(timeout=900) == 0, (tmp_path / f'{out.name}-0.txt').read_text()[-3000:]
        finally:
            for one in agents:
                if one.poll() is None:
                    os.killpg(one.pid, signal.SIGKILL)
                    one.wait()
    a, b = (load_state(out / 'state') for out in (straight, broken))
    assert a['iteration'] == b['iteration'] == 200
    assert all(torch.equal(v, b['trainable'][k]) for k, v in a['trainable'].items())
    assert 'resumed at iteration' in (tmp_path / 'broken-0.txt').read_text()
