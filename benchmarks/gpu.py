"""The steps of benchmarks/gpu.sh, each with a JSON of its own.

    python benchmarks/gpu.py machine|profile|systems|train --device cuda|cpu [--tiny] [--precision P] [--seconds S] --out PATH

machine   what computes, with the versions met, and whether TF32 may stand in for float32
profile   one cycle of every system under torch's profiler: copies from the device to the host in it, of which there should be none
systems   seconds per 1,000 pictures and peak memory of every system at its paper's size and batch, on random pictures without a loader;
          the first cycle is not counted
train     aggan_multi on drawn faces of 128 px, with a schedule of as many iterations as --seconds hold, into the run directory --out

`--tiny` takes every system in its smallest form.
"""
from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from retouch.data.batches import DataSpec, to_device
from retouch.engine.trainer import Trainer
from retouch.hardware import hardware, resident_peak
from retouch.methods.registry import find_method
from retouch.recipes.registry import load_run, override
from retouch.toyfaces import ATTRIBUTES
from retouch.training import dry_run, train_run
from tests.batches import random_batch

RECIPES = ('stargan.paper', 'aggan_multi.paper', 'cyclegan.paper', 'cam.stargan_paper', 'lomit.paper', 'aggan.paper', 'asgit.paper',
           'secgan.stargan_paper', 'attgan.paper', 'stgan.paper', 'attentiongan.paper', 'pix2pix.paper', 'asgit_pairs.paper', 'munit.paper',
           'drit.paper', 'classifier.paper', 'parser.celebamask')      # the first matter most, should time run out
SECONDS = 2.0            # of measuring a system


def systems(o: argparse.Namespace) -> Iterator[tuple[str, Trainer, Any, int]]:
    """Every system with a random batch on the device; what does not fit or cannot be built is told and left out."""
    for recipe in RECIPES:
        run = load_run(recipe)
        cls: Any = find_method(run.method_id)
        torch.manual_seed(0)
        if o.tiny:
            method, batch_size = cls.tiny(), 2
        else:
            names = getattr(run.data, 'attributes', ()) or getattr(run.data, 'names', ()) or ATTRIBUTES
            spec = DataSpec(size=run.data.size, window=getattr(run.data, 'window', None), attributes=tuple(names), domains=('A', 'B'),
                            samples=(100, 100))
            method, batch_size = cls(run.method, spec), run.train.batch_size
        trainer = Trainer(method, Fabric(accelerator=o.device, devices=1, precision=o.precision), 1_000_000)
        spec = method.data.model_copy(update={'size': method.data.window or method.data.size})
        made = random_batch(method.kind, spec, batch_size)
        there = {f.name: to_device(value, o.device) for f in dataclasses.fields(made)
                 if isinstance(value := getattr(made, f.name), Tensor) and 'index' not in f.name}
        yield recipe, trainer, dataclasses.replace(made, **there), batch_size
        del trainer, method
        if o.device == 'cuda':
            torch.cuda.empty_cache()


def clock(o: argparse.Namespace) -> float:
    """Now, with the device's work done."""
    if o.device == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter()


def cycle(trainer: Trainer, batch: Any) -> int:
    """One rhythm of all Updates. Its iterations."""
    length = max(u.every for u in trainer.updates)
    for _ in range(length):
        trainer.train_iteration(batch)
    return length


def measure_systems(o: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for recipe, trainer, batch, batch_size in systems(o):
        if o.device == 'cuda':
            torch.cuda.reset_peak_memory_stats()
        cycle(trainer, batch)
        began, iterations = clock(o), 0
        while iterations == 0 or clock(o) - began < (0 if o.tiny else SECONDS):
            iterations += cycle(trainer, batch)
        seconds = clock(o) - began
        peak = torch.cuda.max_memory_allocated() if o.device == 'cuda' else resident_peak() or 0      # of a CPU, of all so far
        yield {'recipe': recipe, 'batch': batch_size, 'iterations': iterations, 'peak_megabytes': round(peak / 1e6),
               's_per_1000_pictures': round(1000 * seconds / iterations / batch_size, 3)}


def measure_profiles(o: argparse.Namespace) -> Iterator[dict[str, Any]]:
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (o.device == 'cuda')
    for recipe, trainer, batch, _ in systems(o):
        cycle(trainer, batch)
        clock(o)
        with profile(activities=activities) as seen:
            iterations = cycle(trainer, batch)
            clock(o)
        names = {event.key: event.count for event in seen.key_averages()}
        copies = sum(count for name, count in names.items() if 'DtoH' in name or 'Device -> Pageable' in name or 'Device -> Pinned' in name)
        yield {'recipe': recipe, 'iterations': iterations, 'copies_to_host': copies if o.device == 'cuda' else None,
               'values_read_by_python': names.get('aten::_local_scalar_dense', 0), 'kernels_and_operators': sum(names.values())}


def train(o: argparse.Namespace) -> list[dict[str, Any]]:
    small = {'data.size': '32', 'data.n': '64', 'train.batch_size': '4'} if o.tiny else {'data.size': '128'}
    run = override(load_run('aggan_multi.toyfaces'), {**small, 'train.precision': o.precision})
    began = time.monotonic()
    speed = dry_run(run)['images_per_s']                         # draws the faces, too
    seconds = max(o.seconds - (time.monotonic() - began), 1)
    iterations = 8 if o.tiny else max(int(0.9 * seconds * speed / run.train.batch_size), 10)
    _, outcome = train_run(override(run, {'train.iterations': str(iterations)}), o.out)
    return [{'iterations': iterations, 'images_per_s_before': round(speed, 1), 'outcome': outcome}]


def facts(o: argparse.Namespace) -> dict[str, Any]:
    return {'hardware': hardware(o.device), 'torch': torch.__version__, 'cuda': torch.version.cuda, 'device': o.device, 'tiny': o.tiny,
            'precision': o.precision, 'tf32_in_convolutions': torch.backends.cudnn.allow_tf32,
            'tf32_in_products': torch.backends.cuda.matmul.allow_tf32}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=('machine', 'profile', 'systems', 'train'))
    parser.add_argument('--device', choices=('cuda', 'cpu'), default='cuda')
    parser.add_argument('--tiny', action='store_true')
    parser.add_argument('--precision', choices=('32-true', 'bf16-mixed'), default='32-true')
    parser.add_argument('--seconds', type=float, default=120)
    parser.add_argument('--out', type=Path, required=True)
    o = parser.parse_args()
    if o.device == 'cuda' and not torch.cuda.is_available():
        raise SystemExit(f'torch {torch.__version__} finds no CUDA device: expected one, or --device cpu --tiny for a rehearsal')
    if o.what == 'train':
        print(*train(o))
        return
    rows: list[dict[str, Any]] = []
    found = {'systems': measure_systems, 'profile': measure_profiles}
    for row in found[o.what](o) if o.what in found else ():
        rows.append(row)
        print(*(f'{key} {value}' for key, value in row.items()), sep='  ', flush=True)
        o.out.write_text(json.dumps({**facts(o), 'rows': rows}, indent=2) + '\n', encoding='utf-8')      # a step may be cut short
    if o.what == 'machine':
        print(*(f'{key}: {value}' for key, value in facts(o).items()), sep='\n')
        o.out.write_text(json.dumps(facts(o), indent=2) + '\n', encoding='utf-8')
    if o.what == 'profile' and o.device == 'cuda' and (late := [row['recipe'] for row in rows if row['copies_to_host']]):
        print('copied to the host within a step:', *late, file=sys.stderr)
        raise SystemExit(1)


if __name__ == '__main__':
    main()
