"""The ceiling of `local`'s generator: the same network taught by true pairs, which nobody has of photographs. No row of any leaderboard.

    python benchmarks/taught.py OUT [--recipe local.toyfaces] [--faces 1500] [--iterations 6000] [--threads 1] [--reader toyfaces]
    retouch evaluate OUT --protocol native

Every face of the set is drawn once more for each attribute, flipped by itself; the edit learns the true result by L1, weighed ten times
inside its region, and the mask learns the region by cross-entropy. The Editor asks a model what a picture shows: that part, which is not
taught here, is that of `--reader`, a model of the same data. Writes a model directory.
"""
from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from ship import with_reader
from torch import Tensor

from retouch import toyfaces
from retouch.data.batches import DataSpec, Moment
from retouch.data.sets import open_set
from retouch.data.transforms import to_float
from retouch.engine.ema import EMA
from retouch.engine.schedules import linear_last_40
from retouch.evaluation.asked import read_edit, targets_of
from retouch.evaluation.tasks import RULE
from retouch.methods.local import Local
from retouch.model import load_model, save_model
from retouch.recipes.registry import load_run
from retouch.toyfaces.edits import NEEDS_HAIR, draw_targets


def draw_pairs(run: Any, count: int) -> tuple[DataSpec, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What a model must know, faces [N,S,S,3]; then for M edits: which face [M], labels after it [M,15], true result [M,S,S,3]."""
    opened = open_set(run.data.model_copy(update={'n': count}))
    labels = np.stack([toyfaces.face(i, run.data.seed)[1] for i in range(count)])
    flips = [targets_of(read_edit(name, toyfaces.ATTRIBUTES), torch.from_numpy(labels).float(), toyfaces.ATTRIBUTES, RULE)
             for name in run.data.attributes]
    bald = labels[:, toyfaces.ATTRIBUTES.index('Bald')] == 1
    chosen = [[target[i].numpy() for (target, applies), name in zip(flips, run.data.attributes, strict=True)
               if applies[i] and not (bald[i] and name in NEEDS_HAIR)] for i in range(count)]
    tables = [np.array(rows, np.uint8).reshape(-1, labels.shape[1]) for rows in chosen]
    drawn = [pictures for pictures, _ in draw_targets(list(range(count)), tables, run.data.size, run.data.seed)]
    which = np.repeat(np.arange(count), [len(table) for table in tables])
    return opened.spec, opened.images, which, np.concatenate(tables), np.concatenate([np.asarray(d) for d in drawn if len(d)])


def main() -> None:
    """Draws, teaches, saves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path)
    parser.add_argument('--recipe', default='local.toyfaces')
    parser.add_argument('--faces', type=int, default=1500)
    parser.add_argument('--iterations', type=int, default=6000)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--reader', default='toyfaces')
    options = parser.parse_args()
    torch.manual_seed(0)
    run = load_run(options.recipe)
    spec, faces, which, targets, truths = draw_pairs(run, options.faces)
    torch.set_num_threads(options.threads)
    columns = [toyfaces.ATTRIBUTES.index(name) for name in run.data.attributes]
    labels = np.stack([toyfaces.face(i, run.data.seed)[1] for i in range(options.faces)])[:, columns]
    fresh = Local(run.method, spec)
    weights = {f'{name}.{key}': value for name, net in fresh.nets.items() for key, value in net.state_dict().items()}
    method, _ = with_reader(fresh, weights, load_model(options.reader).method)
    network, began = method.nets['G'], time.monotonic()
    adam = torch.optim.Adam(network.parameters(), lr=run.method.lr, betas=(0.9, 0.99))
    average = EMA(method.nets, ('G', 'D'), 0.999)

    def rows_of(array: np.ndarray, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(np.stack([array[i] for i in rows]))

    for iteration in range(options.iterations):
        for group in adam.param_groups:
            group['lr'] = run.method.lr * linear_last_40(iteration, options.iterations)
        rows = np.random.default_rng((0, iteration)).integers(0, len(which), run.train.batch_size)
        x, y = to_float(rows_of(faces, which[rows])), to_float(rows_of(truths, rows))
        mirrored = np.random.default_rng((1, iteration)).random() < 0.5
        x, y = (v.flip(-1) if mirrored else v for v in (x, y))
        a, b = rows_of(labels, which[rows]).float(), rows_of(targets[:, columns], rows).float()
        region = ((x - y).abs().amax(1, keepdim=True) > 0.1).float()
        z = method.noise(x, Moment(0, iteration, count=len(x), total=len(x)), 'noise')
        with torch.autocast('cpu', torch.bfloat16):
            edit, mask = method.generate(x, a, b, z, 1.0)
        loss = ((1 + 9 * region) * (edit - y).abs()).mean() + 0.5 * F.binary_cross_entropy(mask.clamp(1e-6, 1 - 1e-6), region)
        adam.zero_grad()
        loss.backward()
        adam.step()
        average.update(iteration)
        if iteration % 200 == 0:
            print(iteration, round(loss.item(), 4), f'{time.monotonic() - began:.0f} s', flush=True)
    info = {'recipe': f'{options.recipe}, taught by pairs', 'iteration': options.iterations, 'iterations': options.iterations, 'seed': 0,
            'ema': 0.999, 'data': run.data.model_dump(mode='json'), 'seconds': round(time.monotonic() - began, 1)}
    save_model(options.out, method, average.weights, info)
    print(json.dumps(info))


if __name__ == '__main__':
    main()
