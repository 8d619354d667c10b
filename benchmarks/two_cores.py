"""What to do with several cores: one training with a thread each, two processes of one training, or two trainings side by side.

    python benchmarks/two_cores.py [--recipes stargan.toyfaces cyclegan.toyfaces] [--seconds 12] [--rounds 5] [--json FILE]

`threads`: one process with two threads. `processes`: two processes with one thread and half the batch each, which average their gradients
(gloo). `rows`: two processes with one thread that know nothing of each other. They are started once and take turns, round by round, so that
other work on the machine meets all; each works for so many seconds, and pictures a second of both together are counted. Ratios to
`threads` are medians of the ratio within a round, with least and largest; CPU seconds a thousand pictures are of all its processes.
"""
from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shlex
import socket
import statistics
import sys
import time
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from retouch.data.sets import open_set
from retouch.hardware import hardware
from retouch.recipes.registry import load_run, override
from retouch.training import make_fabric, make_trainer

WAYS = ('threads', 'processes', 'rows')
FACES = '256'


def worker(pipe: Connection, recipe: str, way: str, rank: int, port: int) -> None:
    """Answers each number of seconds with the pictures it trained on, and the CPU seconds that these took."""
    together = way == 'processes'
    if together:
        os.environ |= {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(port), 'WORLD_SIZE': '2', 'RANK': str(rank), 'LOCAL_RANK': str(rank),
                       'LOCAL_WORLD_SIZE': '2', 'TORCHELASTIC_RUN_ID': 'two'}
    torch.set_num_threads(2 if way == 'threads' else 1)
    run = override(load_run(recipe), {'data.n': FACES, 'train.iterations': '1000000'})
    if together:
        run = override(run, {'train.batch_size': str(run.train.batch_size // 2)})
    trainer, loader, _ = make_trainer(run, make_fabric(run), False)
    cycle = max(u.every for u in trainer.updates)

    def rhythm() -> int:
        for _ in range(cycle):
            trainer.train_iteration(loader.batch(trainer.iteration, 1_000_000))
        return cycle * run.train.batch_size

    rhythm()
    pipe.send(None)
    while (seconds := pipe.recv()) is not None:
        began, cpu, pictures, going = time.monotonic(), time.process_time(), 0, True
        while going:
            pictures += rhythm()
            going = time.monotonic() - began < seconds
            if together:                                         # both stop after the same rhythm
                going = bool(trainer.fabric.all_reduce(torch.tensor(float(going)), reduce_op='mean') > 0.75)
        pipe.send((pictures / (time.monotonic() - began), pictures, time.process_time() - cpu))


def measure(recipe: str, o: argparse.Namespace) -> dict[str, Any]:
    """One recipe, all ways."""
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        port = found.getsockname()[1]
    context, pipes, started = multiprocessing.get_context('spawn'), dict[str, list[Connection]](), []
    for way in WAYS:
        ends = [context.Pipe() for _ in range(1 if way == 'threads' else 2)]
        started += [context.Process(target=worker, args=(there, recipe, way, rank, port))
                    for rank, (_, there) in enumerate(ends)]
        pipes[way] = [here for here, _ in ends]
    open_set(override(load_run(recipe), {'data.n': FACES}).data)          # drawn before anybody asks for it
    for process in started:
        process.start()
    for here in (pipe for ends in pipes.values() for pipe in ends):
        here.recv()
    speeds, costs = {way: list[float]() for way in WAYS}, {way: list[float]() for way in WAYS}
    for _ in range(o.rounds):
        for way, ends in pipes.items():
            for pipe in ends:
                pipe.send(o.seconds)
            answers = [pipe.recv() for pipe in ends]
            speeds[way].append(sum(speed for speed, _, _ in answers))
            costs[way].append(1000 * sum(cpu for *_, cpu in answers) / sum(pictures for _, pictures, _ in answers))
    for ends in pipes.values():
        for pipe in ends:
            pipe.send(None)
    row: dict[str, Any] = {'recipe': recipe}
    for way in WAYS:
        ratios = [a / b for a, b in zip(speeds[way], speeds['threads'], strict=True)]
        row[way] = {'images_per_s': round(statistics.median(speeds[way]), 1), 'cpu_s_a_thousand': round(statistics.median(costs[way]), 1),
                    'ratio': round(statistics.median(ratios), 2), 'least': round(min(ratios), 2), 'largest': round(max(ratios), 2)}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--recipes', nargs='+', default=['stargan.toyfaces', 'cyclegan.toyfaces'])
    parser.add_argument('--seconds', type=float, default=12)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--json', type=Path, help='also writes a record here')
    o = parser.parse_args()
    rows = []
    for recipe in o.recipes:
        rows.append(measure(recipe, o))
        print(json.dumps(rows[-1]), flush=True)
    if o.json:
        record = {'command': shlex.join(['python', *sys.argv]), 'date': date.today().isoformat(), 'hardware': hardware(),
                  'seconds': o.seconds, 'rounds': o.rounds, 'rows': rows}
        o.json.write_text(json.dumps(record, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
