"""What the engine costs over a bare loop: iterations of `engine.fit.fit` against the same steps with backward and optimiser alone.

    python benchmarks/overhead.py [--recipes …] [--sizes 32 64] [--width 16] [--batch 8] [--iterations 50] [--rounds 7] [--json FILE]

The bare loop takes one batch again and again and calls the method's steps, `zero_grad`, `backward` and the optimiser, with the networks of
the step enabled, and those whose graph a later step takes over; it makes no batch, logs nothing, watches nothing and keeps no average.
The engine does all of it, and writes its log every 50 iterations and no state. Both start from the same weights, take turns by rounds of so
many iterations, and are timed in seconds of the process, which other work on the machine lengthens little; ratios are medians of the ratio
within a round, with the middle half. Parts are medians of calls by themselves, of one thread, in microseconds an iteration. Drawn faces,
their number does not matter to the time.
"""
from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch

from retouch.engine import fit as fit_module
from retouch.engine.trainer import Ledger, Trainer
from retouch.hardware import hardware
from retouch.recipes.registry import load_run, override
from retouch.run import Run
from retouch.training import make_fabric, make_trainer

RECIPES = ('stargan.toyfaces', 'aggan_multi.toyfaces', 'cyclegan.toyfaces', 'pix2pix.toyfaces', 'local.toyfaces')


def run_of(recipe: str, size: int, o: argparse.Namespace) -> Run:
    """A recipe at this size and width, with a weight average, whether it keeps one or not."""
    run = load_run(recipe)
    widths = {name: str(o.width) for name in ('method.width', 'method.width_g', 'method.width_d')
              if hasattr(run.method, name.partition('.')[2])}
    fields = {'data.size': str(size), 'data.n': '128', 'train.batch_size': str(o.batch), 'train.iterations': '1000000',
              'train.ema': '0.999',
              'train.log_every': '50', 'train.sample_every': '1000000', 'train.save_every': '1000000', 'train.threads': '1', **widths}
    fields |= {f'data.{name}': 'none' for name in ('load_size', 'window') if getattr(run.data, name, None)}
    return override(run, fields)


def bare_loop(trainer: Trainer, batch: Any, iterations: int) -> None:
    """What a script would do."""
    for _ in range(iterations):
        kept: dict[str, Any] = {}
        due = [update for update in trainer.updates if update.runs_at(trainer.iteration, trainer.iterations)]
        for i, update in enumerate(due):
            nets = [trainer.trainable.nets[name] for name in update.nets]
            ahead = {name for later in due[i + 1:] for name in later.nets}.intersection(update.ahead)
            awake = [*nets, *(trainer.trainable.nets[name] for name in ahead)]
            for net in awake:
                net.requires_grad_(True)
            trainer.optimisers[update.name].zero_grad()
            step = update.step(batch, kept)
            step.loss.backward()
            if update.clip is not None:
                torch.nn.utils.clip_grad_norm_([p for net in nets for p in net.parameters()], update.clip)
            trainer.optimisers[update.name].step()
            for net in awake:
                net.requires_grad_(False)
            kept |= step.keep
        trainer.iteration += 1


def engine_loop(trainer: Trainer, loader: Any, run: Run, folder: Path, iterations: int) -> None:
    """`fit` as it is, but for the state at its end, which a training of thousands of iterations writes now and then."""
    def nothing(*given: Any) -> None:
        pass
    whole, fit_module.save_state = fit_module.save_state, nothing
    try:
        fit_module.fit(trainer, loader, run.train, folder, nothing, trainer.iteration + iterations, show=False)
    finally:
        fit_module.save_state = whole


def seconds(work: Callable[[], None]) -> float:
    """Of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def median_us(work: Callable[[], Any], calls: int = 60) -> float:
    """Of one call, in microseconds."""
    return statistics.median(seconds(work) for _ in range(calls)) * 1e6


def parts_of(trainer: Trainer, loader: Any) -> dict[str, float]:
    """Pieces of an iteration of the engine: a batch, the sums of the log and their check, the average, the switches."""
    cycle = max(u.every for u in trainer.updates)
    batch, kept = loader.batch(0, 10), dict[str, Any]()
    trainer.iteration = cycle * 1000 - 1                         # the last of a cycle, where all Updates run
    steps = {}
    for update in (u for u in trainer.updates if u.runs_at(trainer.iteration, trainer.iterations)):
        steps[update.name] = update.step(batch, kept)
        kept |= steps[update.name].keep
    ledger = Ledger()

    def switch() -> None:
        for update in trainer.updates:
            for wanted in (True, False):
                for name in update.nets:
                    trainer.trainable.nets[name].requires_grad_(wanted)
    found = {'batch': median_us(lambda: loader.batch(7, 1000)),
             'ledger': median_us(lambda: [ledger.add(name, step, 3) for name, step in steps.items()]),
             'log row': median_us(lambda: (ledger.check_finite(), ledger.means())) / 50, 'switches': median_us(switch)}
    if trainer.ema is not None:
        found['average'] = median_us(lambda: trainer.ema.update(10))           # type: ignore[union-attr]
    return {name: round(value) for name, value in found.items()}


def measure(recipe: str, size: int, o: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One row."""
    run = run_of(recipe, size, o)
    fabric = make_fabric(run)
    (engine, loader, _), (bare, other, _) = (make_trainer(run, fabric, False) for _ in range(2))
    batch, pairs = other.batch(0, 10), []
    for _ in range(o.rounds + 1):
        pairs.append((seconds(lambda: engine_loop(engine, loader, run, folder, o.iterations)),
                      seconds(lambda: bare_loop(bare, batch, o.iterations))))
    ratios = sorted(a / b for a, b in pairs[1:])
    low, high = (ratios[round(q * (len(ratios) - 1))] for q in (0.25, 0.75))
    row = {'recipe': recipe, 'size': size, 'bare_ms': round(statistics.median(b for _, b in pairs[1:]) / o.iterations * 1e3, 2),
           'ratio': round(statistics.median(ratios), 3), 'quarter': round(low, 3), 'three_quarters': round(high, 3)}
    return {**row, 'parts_us': parts_of(engine, loader)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--recipes', nargs='*', default=RECIPES)
    parser.add_argument('--sizes', nargs='*', type=int, default=(32, 64))
    for name, default in {'width': 16, 'batch': 8, 'iterations': 50, 'rounds': 7}.items():
        parser.add_argument(f'--{name}', type=int, default=default)
    parser.add_argument('--json', type=Path, help='also writes a record here')
    o = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for recipe in o.recipes:
            for size in o.sizes:
                rows.append(measure(recipe, size, o, Path(name)))
                print(*(f'{key} {value}' for key, value in rows[-1].items()), sep='  ', flush=True)
    if o.json:
        record = {'command': shlex.join(['python', *sys.argv]), 'date': date.today().isoformat(), 'hardware': hardware(),
                  **{k: getattr(o, k) for k in ('width', 'batch', 'iterations', 'rounds')}, 'threads': 1, 'rows': rows}
        o.json.write_text(json.dumps(record, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
