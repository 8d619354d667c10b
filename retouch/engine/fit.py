"""The loop: batches in, iterations, logs, samples, whole states, and a way out that loses nothing."""
from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from retouch.engine.config import TrainConfig
from retouch.engine.logs import CollapseMonitor, Meter, append_jsonl, cut_jsonl, save_grid
from retouch.engine.state import save_state
from retouch.engine.trainer import Trainer
from retouch.hardware import resident_peak


class BatchSource(Protocol):
    """Anything that makes the batch of an iteration: a pure function of (iteration, iterations)."""

    def batch(self, iteration: int, iterations: int) -> Any: ...


class Interrupt:
    """Turns SIGINT and SIGTERM into a request to save and stop; a second Ctrl-C stops at once, a second SIGTERM says nothing new."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self.before[number] = signal.signal(number, self.note)
            except ValueError:                                   # not the main thread: signals stay as they are
                break
        return self

    def note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


def fit(trainer: Trainer, source: BatchSource, config: TrainConfig, out: Path, export: Callable[[Path, dict[str, Tensor], int], None],
        stop_after: int | None = None, show: bool = True,
        on_log: Callable[[int, dict[str, float]], None] | None = None) -> Literal['finished', 'stopped', 'interrupted']:
    """Trains to config.iterations (or stop_after), saving the whole state on the way and on every regular exit.

    Args:
        trainer: fresh or restored.
        source: batches.
        config: the run's `train` section.
        out: run directory; log.jsonl, samples/, state/ and model/ go there.
        export: (folder, weights, iteration) -> writes a model directory.
        stop_after: save and stop after this iteration, as Ctrl-C would.
        show: progress on stderr (first process only).
        on_log: called with the iteration and the row of every log line (first process only); what it raises ends the training of all
            processes, with the state saved.

    Raises:
        FloatingPointError: a loss or weight is not finite; the last good state is kept.
        OSError: the disk is full; the last good state is kept.
    """
    main = trainer.fabric.global_rank == 0
    end = min(config.iterations, stop_after if stop_after is not None else config.iterations)
    if main:
        out.mkdir(parents=True, exist_ok=True)
        cut_jsonl(out / 'log.jsonl', trainer.iteration)
    meter = Meter(config.iterations, trainer.iteration, config.batch_size * trainer.fabric.world_size, show and main)
    monitor, saved_at = CollapseMonitor(), -1
    columns: dict[str, Tensor] = {}

    def keeps(iteration: int) -> bool:
        return config.keep_every is not None and iteration > 0 and iteration % config.keep_every == 0

    def log() -> None:
        trainer.ledger.share(trainer.fabric)
        trainer.ledger.check_finite()
        row = trainer.ledger.means()
        if main and row:
            with _advice(out / 'log.jsonl'):
                append_jsonl(out / 'log.jsonl', {'iteration': trainer.iteration, 'time': round(time.time(), 1), **row})
            for warning in monitor.look(row):
                meter.say(warning)
                with _advice(out / 'warnings.txt'), open(out / 'warnings.txt', 'a') as file:
                    file.write(f'iteration {trainer.iteration}: {warning}\n')
            meter.advance(trainer.iteration, '  '.join(f'{k} {v:.3g}' for k, v in row.items() if k.endswith('.loss')))

        tell(row)

    def tell(row: dict[str, float]) -> None:
        failed: BaseException | None = None
        try:
            if on_log is not None and main and row:
                on_log(trainer.iteration, row)
        except BaseException as error:                           # KeyboardInterrupt too: whatever it is, nothing trained is lost
            failed = error
        if _any_process(failed is not None, trainer):
            save()
            raise failed or RuntimeError('the first process was stopped by its on_log, whose message says why')

    def save() -> None:
        nonlocal saved_at
        if saved_at == trainer.iteration:
            return
        trainer.ledger.share(trainer.fabric)
        trainer.ledger.check_finite()
        if _any_process(not trainer.is_finite(), trainer):
            raise FloatingPointError(f'a weight is not finite after iteration {trainer.iteration - 1}: the last good state is kept; '
                                     'lower the learning rate, then continue with --resume auto')
        failed: OSError | None = None
        if main:
            try:
                save_state(out / 'state', trainer.state_dict())
                export(out / 'model', trainer.inference_weights(), trainer.iteration)
                if keeps(trainer.iteration):
                    export(out / 'kept' / f'{trainer.iteration:07d}', trainer.inference_weights(), trainer.iteration)
            except OSError as error:
                failed = error
        if _any_process(failed is not None, trainer):             # nobody waits for a process that gave up
            raise failed or OSError('the first process could not save; its message says why')
        saved_at = trainer.iteration

    with Interrupt() as interrupt:
        try:
            while trainer.iteration < end and not _asked_to_stop(interrupt, trainer):
                steps = trainer.train_iteration(source.batch(trainer.iteration, config.iterations))
                i = trainer.iteration
                meter.advance(i)
                if i % config.log_every == 0 or i == config.iterations:
                    log()
                columns = {k: v for s in steps.values() for k, v in s.images.items()} or columns      # the latest there were
                if main and columns and i % config.sample_every == 0:
                    with _advice(out / 'samples'):
                        save_grid(out / 'samples' / f'{i:07d}.png', columns)
                if i % config.save_every == 0 or keeps(i):
                    save()
            save()
        finally:
            meter.close()
    if trainer.iteration >= config.iterations:
        return 'finished'
    return 'interrupted' if interrupt.signal is not None else 'stopped'


def _asked_to_stop(interrupt: Interrupt, trainer: Trainer) -> bool:
    """Whether any process was asked to stop; several processes agree every tenth iteration, so that none waits alone."""
    if trainer.fabric.world_size > 1 and trainer.iteration % 10:
        return False
    return _any_process(interrupt.signal is not None, trainer)


def _any_process(flag: bool, trainer: Trainer) -> bool:
    if trainer.fabric.world_size == 1:
        return flag
    raised = trainer.fabric.all_reduce(torch.tensor(float(flag), device=trainer.fabric.device), reduce_op='sum')
    return bool(raised > 0)                                      # type: ignore[operator]


@contextlib.contextmanager
def _advice(path: Path) -> Iterator[None]:
    """A full disk in the middle of a log line says what to do, as a full disk in a save does."""
    try:
        yield
    except OSError as error:
        raise OSError(f'could not write {path} ({error.strerror or error}): free some space, then continue with --resume auto') from error


def measure(trainer: Trainer, source: BatchSource, config: TrainConfig) -> dict[str, float]:
    """Dry run: a warm-up iteration of every Update, then two timed rounds. Nothing is written.

    Returns:
        peak_memory_mib (device memory on CUDA, resident memory of the process elsewhere, left out where a system does not count it),
        images_per_s, seconds_per_1000_images, eta_s.
    """
    cuda = trainer.fabric.device.type == 'cuda'
    period = max(u.every for u in trainer.updates)

    def rounds(n: int) -> float:
        began = time.perf_counter()
        for _ in range(n * period):
            trainer.train_iteration(source.batch(trainer.iteration, config.iterations))
        trainer.ledger.check_finite()                            # reads from the device: all work is done when the clock stops
        return time.perf_counter() - began

    if cuda:
        torch.cuda.reset_peak_memory_stats()
    rounds(1)
    seconds = rounds(2)
    images = 2 * period * config.batch_size * trainer.fabric.world_size
    peak = torch.cuda.max_memory_allocated() if cuda else resident_peak()
    measured = {'images_per_s': images / seconds, 'seconds_per_1000_images': 1000 * seconds / images,
                'eta_s': seconds / (2 * period) * config.iterations}
    return measured if peak is None else {'peak_memory_mib': peak / 2 ** 20, **measured}
