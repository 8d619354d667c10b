"""The engine's promises: schedules, keyed draws, whole states, and stops that lose nothing."""
from __future__ import annotations

import copy
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

from retouch import training
from retouch.data.batches import Moment
from retouch.engine import schedules
from retouch.engine.config import TrainConfig
from retouch.engine.fit import fit, measure
from retouch.engine.lightning import hidden
from retouch.engine.logs import CollapseMonitor, append_jsonl, cut_jsonl, read_jsonl
from retouch.engine.state import load_state, save_state
from retouch.engine.trainer import Trainer
from retouch.engine.update import Step, Update
from retouch.methods.registry import METHODS
from retouch.recipes.registry import load_run, override
from tests.batches import random_batch


class Batches:
    """Random batches for a trainer, as a loader would make them."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def batch(self, iteration: int, iterations: int) -> object:
        return random_batch(self.trainer.trainable.kind, self.trainer.trainable.data, iteration=iteration)


def make(name: str = 'aggan_multi', iterations: int = 6) -> Trainer:
    torch.manual_seed(0)
    return Trainer(METHODS[name].tiny(), Fabric(accelerator='cpu', devices=1), iterations, ema=0.9)


def no_export(folder: Path, weights: dict[str, torch.Tensor], iteration: int) -> None:
    pass


def test_schedules() -> None:
    total = 200_000
    assert schedules.linear_second_half(0, total) == schedules.linear_second_half(100_000, total) == 1
    assert schedules.linear_second_half(150_000, total) == pytest.approx(0.5)
    assert schedules.linear_second_half(total, total) == 0
    assert schedules.stargan_code(total, total) * 1e-4 == pytest.approx(9.99e-5)     # spec: the published decay never happened
    assert schedules.stargan_code(100_999, total) == 1
    assert schedules.cyclegan_linear(0, 200) == schedules.cyclegan_linear(99, 200) == 1
    assert schedules.cyclegan_linear(100, 200) == pytest.approx(1 - 1 / 101)
    assert schedules.cyclegan_linear(199, 200) == pytest.approx(1 / 101)             # never exactly 0
    assert schedules.linear_last_40(80, 100) == pytest.approx(0.5)
    halved = [schedules.halved_each_tenth(i, 1_000_000) for i in (0, 99_999, 100_000, 199_999, 200_000, 999_999)]
    assert halved == [1, 1, 0.5, 0.5, 0.25, 0.5 ** 9]


def test_keyed_draws_do_not_depend_on_the_number_of_processes() -> None:
    whole = Moment(3, 7, 10, 0, 4, 4).uniform('alpha', 1, 1)
    halves = [Moment(3, 7, 10, start, 2, 4).uniform('alpha', 1, 1) for start in (0, 2)]
    assert torch.equal(whole, torch.cat(halves))
    assert not torch.equal(whole, Moment(3, 8, 10, 0, 4, 4).uniform('alpha', 1, 1))
    assert not torch.equal(whole, Moment(3, 7, 10, 0, 4, 4).uniform('beta', 1, 1))
    whole = Moment(3, 7, 10, 0, 4, 4).normal('style', 500)
    assert torch.equal(whole, torch.cat([Moment(3, 7, 10, start, 2, 4).normal('style', 500) for start in (0, 2)]))
    assert abs(whole.mean()) < 0.1 and abs(whole.std() - 1) < 0.1


class Two:
    """Two networks of one weight, and Updates whose gradients are known."""

    def __init__(self, *updates: Update) -> None:
        self.nets = torch.nn.ModuleDict({name: torch.nn.Linear(2, 1, bias=False) for name in 'ab'})
        self.inference_nets, self.updates = ('a',), lambda: updates
        self.to, self.train, self.state_dict = self.nets.to, self.nets.train, self.nets.state_dict
        self.load_state_dict = self.nets.load_state_dict

    def pull(self, gradient: float, *names: str) -> Callable[[object, dict[str, Any]], Step]:
        return lambda batch, kept: Step(gradient * sum(self.nets[name].weight.sum() for name in names))

    def run(self) -> tuple[Trainer, dict[str, torch.Tensor]]:
        """A trainer after one iteration, and how far each weight went."""
        trainer = Trainer(self, Fabric(accelerator='cpu', devices=1), iterations=10)
        before = {name: net.weight.detach().clone() for name, net in self.nets.items()}
        trainer.train_iteration(None)
        return trainer, {name: (net.weight.detach() - before[name]).flatten() for name, net in self.nets.items()}


def test_a_gradient_is_clipped_by_the_norm_of_all_its_nets() -> None:
    sgd = partial(torch.optim.SGD, lr=1.0)
    for clip, moved in ((None, 3.0), (100.0, 3.0), (2.0, 1.0), (0.5, 0.25)):         # four weights, each with a gradient of 3: a norm of 6
        two = Two()
        two.updates = lambda two=two, clip=clip: (Update('U', ('a', 'b'), two.pull(3.0, 'a', 'b'), sgd, schedules.constant, clip=clip),)
        _, went = two.run()
        for w in went.values():
            torch.testing.assert_close(w, torch.full((2,), -moved), rtol=1e-4, atol=1e-4)


def test_updates_may_share_an_optimiser() -> None:
    two, adam = Two(), partial(torch.optim.Adam, lr=0.1, weight_decay=0.1)
    two.updates = lambda: (Update('U', ('a', 'b'), two.pull(1.0, 'a', 'b'), adam, schedules.constant),
                           Update('V', ('a',), two.pull(-3.0, 'a'), adam, schedules.constant, shares='U'))
    trainer, _ = two.run()
    assert trainer.optimisers['U'] is trainer.optimisers['V']
    steps = {name: int(trainer.optimisers['U'].state[net.weight]['step']) for name, net in two.nets.items()}
    assert steps == {'a': 2, 'b': 1} and two.nets['b'].weight.grad is None
    other = Two()
    other.updates = lambda: (Update('U', ('a', 'b'), other.pull(1.0, 'a', 'b'), adam, schedules.constant),
                             Update('V', ('a',), other.pull(-3.0, 'a'), adam, schedules.constant, shares='U'))
    resumed = Trainer(other, Fabric(accelerator='cpu', devices=1), iterations=10)
    resumed.load_state_dict(copy.deepcopy(trainer.state_dict()))
    for t in (trainer, resumed):
        t.train_iteration(None)
    assert all(torch.equal(two.nets[name].weight, other.nets[name].weight) for name in 'ab')


def test_an_update_runs_within_its_share_of_the_training() -> None:
    two = Two()
    pull = two.pull(1.0, 'a')
    first, then = (Update(name, ('a',), pull, torch.optim.SGD, schedules.constant, within=within, every=2, at=(0,))
                   for name, within in (('first', (0.0, 0.3)), ('then', (0.3, 1.0))))
    assert [i for i in range(20) if first.runs_at(i, 20)] == [0, 2, 4]
    assert [i for i in range(20) if then.runs_at(i, 20)] == [6, 8, 10, 12, 14, 16, 18]
    assert [sum(u.runs_at(i, 7) for u in (first, then)) for i in range(7)] == [1, 0, 1, 0, 1, 0, 1]        # no gap and no overlap


def test_weights_are_clamped_after_the_step() -> None:
    two, sgd = Two(), partial(torch.optim.SGD, lr=1.0)
    two.updates = lambda: (Update('U', ('a',), two.pull(3.0, 'a'), sgd, schedules.constant, clamp=0.01),)
    two.run()
    assert torch.equal(two.nets['a'].weight.abs(), torch.full_like(two.nets['a'].weight, 0.01))


def test_the_batch_chooses_which_nets_learn_and_the_others_keep_their_moments() -> None:
    two, adam = Two(), partial(torch.optim.Adam, lr=0.1, weight_decay=0.1)
    two.updates = lambda: (Update('U', ('a', 'b'), two.pull(1.0, 'a', 'b'), adam, schedules.constant, among=lambda batch: batch),)
    trainer = Trainer(two, Fabric(accelerator='cpu', devices=1), iterations=10)
    for batch in (('a', 'b'), ('a',), ('a',)):
        rested = two.nets['b'].weight.detach().clone()
        trainer.train_iteration(batch)
    state = trainer.optimisers['U'].state
    assert torch.equal(two.nets['b'].weight, rested) and two.nets['b'].weight.grad is None
    assert [int(state[two.nets[name].weight]['step']) for name in 'ab'] == [3, 1]


def test_an_optimiser_that_cannot_be_made_names_the_options() -> None:
    two = Two()
    for options, words in (({'lr': -1.0}, 'Invalid learning rate: -1.0'),
                           ({'betas': (0.5, 1.5)}, 'Invalid beta parameter at index 1: 1.5')):
        adam = partial(torch.optim.Adam, **options)
        two.updates = lambda adam=adam: (Update('U', ('a',), two.pull(1.0, 'a'), adam, schedules.constant),)
        with pytest.raises(ValueError, match=rf'^{words} \(of U\): expected a rate of at least 0 and betas .*; set --method\.lr'):
            Trainer(two, Fabric(accelerator='cpu', devices=1), iterations=10)


def test_ema_follows_buffers() -> None:
    trainer = make('classifier')
    key = next(k for k in trainer.ema.weights if k.endswith('running_mean'))
    before = trainer.ema.weights[key].clone()
    trainer.train_iteration(Batches(trainer).batch(0, 6))
    after = trainer.ema.weights[key]
    assert not torch.equal(before, after) and trainer.ema.weights[key.replace('running_mean', 'num_batches_tracked')] == 1


def test_fit_writes_everything_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    config = TrainConfig(iterations=6, batch_size=2, log_every=2, sample_every=2, save_every=2)
    straight, other = make(), make()
    assert fit(straight, Batches(straight), config, tmp_path / 'a', no_export, show=False) == 'finished'
    assert fit(other, Batches(other), config, tmp_path / 'b', no_export, stop_after=3, show=False) == 'stopped'
    append_jsonl(tmp_path / 'b' / 'log.jsonl', {'iteration': 5, 'rubbish': 1.0})     # a killed run logs past its last state
    again = make()
    again.load_state_dict(load_state(tmp_path / 'b' / 'state'))
    assert fit(again, Batches(again), config, tmp_path / 'b', no_export, show=False) == 'finished'
    a, b = straight.module.state_dict(), again.module.state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)
    rows = [[json.loads(line) for line in (tmp_path / run / 'log.jsonl').read_text().splitlines()] for run in 'ab']
    for row in (*rows[0], *rows[1]):
        row.pop('time')
    assert rows[0] == rows[1] and [r['iteration'] for r in rows[0]] == [2, 4, 6]
    assert {p.name for p in (tmp_path / 'a' / 'samples').iterdir()} == {'0000002.png', '0000004.png', '0000006.png'}


def test_non_finite_names_update_term_and_iteration_and_keeps_the_state(tmp_path: Path) -> None:
    trainer = make()

    class Poisoned(Batches):
        def batch(self, iteration: int, iterations: int) -> object:
            batch = super().batch(iteration, iterations)
            if iteration == 3:
                batch.image[0, 0, 0, 0] = float('nan')
            return batch

    config = TrainConfig(iterations=6, batch_size=2, log_every=1, save_every=2)
    with pytest.raises(FloatingPointError, match=r'^D\.(adv|cls|gp) is not finite at iteration 3: .*--resume auto$'):
        fit(trainer, Poisoned(trainer), config, tmp_path, no_export, show=False)
    state = load_state(tmp_path / 'state')
    assert state['iteration'] == 2
    assert all(torch.isfinite(v).all() for v in state['trainable'].values())


def test_interrupt_saves(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        trainer = make()

        class Interrupting(Batches):
            def batch(self, iteration: int, iterations: int, number: int = number) -> object:
                if iteration == 2:
                    os.kill(os.getpid(), number)
                return super().batch(iteration, iterations)

        out = tmp_path / str(number)
        before = signal.getsignal(number)
        assert fit(trainer, Interrupting(trainer), TrainConfig(iterations=6, batch_size=2), out, no_export, show=False) == 'interrupted'
        assert load_state(out / 'state')['iteration'] == 3
        assert signal.getsignal(number) is before


def test_full_disk_keeps_the_previous_state(tmp_path: Path) -> None:
    save_state(tmp_path, {'iteration': 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))                   # every write past 200 kB fails, as on a full disk
        with pytest.raises(OSError, match='could not save .*the previous state in .* is untouched'):
            save_state(tmp_path, {'iteration': 2, 'big': torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert load_state(tmp_path)['iteration'] == 1
    assert [p.name for p in tmp_path.iterdir()] == ['last.pt']


def test_truncated_state_is_refused_with_a_line(tmp_path: Path) -> None:
    save_state(tmp_path, {'iteration': 1, 'x': torch.zeros(1000)})
    path = tmp_path / 'last.pt'
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r'last\.pt cannot be read .*: expected a whole saved state'):
        load_state(tmp_path)
    for state in ([1, 2], {'iteration': -1}, {'iteration': 'x'}, {'iteration': None}, torch.zeros(3)):           # whole, and no state
        save_state(tmp_path, state)                              # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r'last\.pt cannot be read .*: expected a whole saved state'):
            load_state(tmp_path)


KILLED = """
import sys, torch
from pathlib import Path
torch.set_num_threads(1)
from tests.unit.test_engine import Batches, make, no_export
from retouch.engine.fit import TrainConfig, fit
trainer = make(iterations=100000)
fit(trainer, Batches(trainer), TrainConfig(iterations=100000, batch_size=2, save_every=1), Path(sys.argv[1]), no_export, show=False)
"""


def test_kill_9_while_saving_then_resume(tmp_path: Path) -> None:
    """The process saves after every iteration, so SIGKILL lands in or near a save; the state must be whole and continue exactly."""
    process = subprocess.Popen([sys.executable, '-c', KILLED, str(tmp_path)], cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 60
    while not (tmp_path / 'state' / 'last.pt').exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    state = load_state(tmp_path / 'state')
    n = state['iteration']
    assert n >= 1
    resumed, straight = make(iterations=100000), make(iterations=100000)
    resumed.load_state_dict(state)
    while straight.iteration < n + 2:
        straight.train_iteration(Batches(straight).batch(straight.iteration, 100000))
    while resumed.iteration < n + 2:
        resumed.train_iteration(Batches(resumed).batch(resumed.iteration, 100000))
    a, b = straight.module.state_dict(), resumed.module.state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_half_written_temporary_is_never_read(tmp_path: Path) -> None:
    save_state(tmp_path, {'iteration': 1})
    (tmp_path / '.last.pt.tmp').write_bytes(b'half')                                 # what kill -9 in the middle of a save leaves
    assert load_state(tmp_path)['iteration'] == 1
    save_state(tmp_path, {'iteration': 2})
    assert load_state(tmp_path)['iteration'] == 2


def test_collapse_monitor() -> None:
    monitor = CollapseMonitor()
    empty = {'G.mask_area': 0.0005, 'G.mask_spread': 0.001}
    assert [len(monitor.look(empty)) for _ in range(5)] == [0, 0, 1, 0, 0]           # once, after three in a row
    assert 'empty' in CollapseMonitor(1).look(empty)[0]
    assert 'full' in CollapseMonitor(1).look({'G.mask_area': 0.995, 'G.mask_spread': 0.01})[0]
    assert 'flat' in CollapseMonitor(1).look({'G.mask_area': 0.26, 'G.mask_spread': 0.001})[0]
    assert CollapseMonitor(1).look({'G.mask_area': 0.1, 'G.mask_spread': 0.2}) == CollapseMonitor(1).look({'G.loss': 1.0}) == []
    alike, monitor = {'G.mask_area': 0.1, 'G.mask_spread': 0.2, 'G.code_spread': 4e-4}, CollapseMonitor()
    assert [len(monitor.look({**alike, 'G.code_spread': codes})) for codes in (4e-4, 4e-4, 0.2, 4e-4, 4e-4, 4e-4, 4e-4)] == [0] * 5 + [1, 0]
    assert 'alike (mean difference 4.0e-04)' in CollapseMonitor(1).look(alike)[0]


def test_cut_jsonl_drops_later_and_broken_rows(tmp_path: Path) -> None:
    path = tmp_path / 'log.jsonl'
    path.write_text('{"iteration": 1}\n{"iteration": 2}\n{"itera')
    cut_jsonl(path, 1)
    assert path.read_text() == '{"iteration": 1}\n'


def test_rows_of_a_file_that_a_killed_process_left(tmp_path: Path) -> None:
    assert read_jsonl(tmp_path / 'time.jsonl') == []
    (tmp_path / 'time.jsonl').write_text('{"seconds": 1}\n{"seconds": 2}\n{"sec')
    assert read_jsonl(tmp_path / 'time.jsonl') == [{'seconds': 1}, {'seconds': 2}]


def test_dry_run_measures_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = make()
    result = measure(trainer, Batches(trainer), TrainConfig(iterations=100, batch_size=2))
    assert set(result) == {'peak_memory_mib', 'images_per_s', 'seconds_per_1000_images', 'eta_s'} and all(v > 0 for v in result.values())
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings('ignore:The .grad attribute of a Tensor that is not a leaf')       # torch's compiler looks there
@pytest.mark.parametrize('name', ['cyclegan'])
def test_compiled_generators_train_the_same_weights(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, 'COMPILER', 'eager')           # the graph as it is read, without a C++ compiler
    plain, compiled = make(name), make(name)
    training.compile_nets(compiled.trainable)
    calls = [net for net in compiled.trainable.compiles if compiled.trainable.nets[net]._compiled_call_impl is not None]
    assert calls == list(compiled.trainable.compiles)
    for i in range(2):
        for trainer in (plain, compiled):
            trainer.train_iteration(random_batch(trainer.trainable.kind, trainer.trainable.data, iteration=i))
    ours, theirs = plain.state_dict()['trainable'], compiled.state_dict()['trainable']
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        torch.testing.assert_close(theirs[key], value, rtol=1e-4, atol=1e-5, msg=key)


@pytest.mark.filterwarnings('ignore:The .grad attribute of a Tensor that is not a leaf')
def test_a_dry_run_that_compiles_says_when_that_pays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, 'COMPILER', 'eager')
    seen: list[bool] = []
    compile_nets = training.compile_nets
    monkeypatch.setattr(training, 'compile_nets', lambda trainable: (seen.append(True), compile_nets(trainable)))
    changes = {'data.n': 24, 'train.batch_size': 2, 'method.width_g': 4, 'method.width_d': 4, 'train.compile': True}
    found = training.dry_run(override(load_run('cyclegan.toyfaces'), changes), show=False)
    assert seen == [True] and {'plain_images_per_s', 'compiling_s', 'pays_after_iterations'} <= found.keys()
    pays = found['images_per_s'] > found['plain_images_per_s']
    assert (found['pays_after_iterations'] != 0) == pays, 'what is no faster never pays'
    plain = training.dry_run(override(load_run('cyclegan.toyfaces'), {**changes, 'train.compile': False}), show=False)
    assert len(seen) == 1 and set(plain) == {'peak_memory_mib', 'images_per_s', 'seconds_per_1000_images', 'eta_s'}


def test_what_may_be_compiled_is_there() -> None:
    named = {name: cls.compiles for name, cls in METHODS.items() if hasattr(cls, 'compiles')}
    assert {'stargan', 'aggan_multi', 'local', 'cyclegan', 'aggan', 'attentiongan'} <= named.keys()
    for name, nets in named.items():
        assert set(nets) <= METHODS[name].tiny().nets.keys()


def test_a_system_without_whole_generators_says_that_it_cannot_compile() -> None:
    with pytest.raises(ValueError, match='train.compile of munit: .* leave --train.compile false'):
        training.compile_nets(make('munit').trainable)


def test_a_hidden_module_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, 'colorsys', raising=False)
    with hidden('colorsys'), pytest.raises(ImportError):
        importlib.import_module('colorsys')
    assert importlib.import_module('colorsys') is sys.modules['colorsys']
    with hidden('colorsys'):
        assert importlib.import_module('colorsys'), 'what was imported before stays'
