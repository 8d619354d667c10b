"""What many processes exchange, and what a large set costs each of them, for docs/scaling.md.

    python benchmarks/scaling.py exchange [--json FILE]
    python benchmarks/scaling.py set [--pictures 100000] [--size 64] [--folder DIR] [--json FILE]

`exchange` computes: the engine averages the gradients of an Update's networks by one flat all-reduce of float32, so that an iteration
exchanges 4 bytes a parameter of every Update that is due, on the mean over a cycle. In a ring of P processes each sends and receives
2 (P - 1) / P of that. Networks of the recipes at the papers' sizes are built on the meta device.

`set` measures: JPEG pictures with CelebA's list of labels, of which `--distinct` are drawn (smooth noise) and the others are hard links to
these, are opened by `training.make_trainer` with the small networks, in a fresh process each time: the first decodes
them into the cache, the second finds them there, with the files in the page cache. Seconds are of the wall and of the process.
"""
from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import shlex
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from retouch.data.batches import DataSpec
from retouch.data.cache import _key, cores
from retouch.data.loader import Loader
from retouch.hardware import hardware, resident_peak
from retouch.methods.registry import find_method
from retouch.recipes.registry import load_run, override
from retouch.toyfaces import ATTRIBUTES

PAPERS = ('stargan.paper', 'attgan.paper', 'stgan.paper', 'cam.stargan_paper', 'secgan.stargan_paper', 'aggan_multi.paper',
          'cyclegan.paper', 'aggan.paper', 'attentiongan.paper', 'asgit.paper', 'pix2pix.paper', 'asgit_pairs.paper', 'munit.paper',
          'drit.paper', 'lomit.paper', 'classifier.paper', 'parser.celebamask')
PROCESSES = 64


def exchange(recipe: str) -> dict[str, Any]:
    """Bytes of gradients that a process hands in, an iteration on the mean and in its largest Update."""
    run = load_run(recipe)
    attributes = getattr(run.data, 'attributes', ()) or getattr(run.data, 'names', ()) or ATTRIBUTES
    spec = DataSpec(size=run.data.size, window=getattr(run.data, 'window', None), attributes=tuple(attributes), domains=('A', 'B'),
                    samples=(1, 1))
    with torch.device('meta'):
        method: Any = find_method(run.method_id)(run.method, spec)
    sizes = {u.name: 4 * sum(p.numel() for n in u.nets for p in method.nets[n].parameters()) for u in method.updates()}
    mean = sum(sizes[u.name] * len({a % u.every for a in u.at}) / u.every for u in method.updates())
    batch = run.train.batch_size
    return {'recipe': recipe, 'batch': batch, 'mb_an_iteration': round(mean / 1e6, 1), 'mb_at_most': round(max(sizes.values()) / 1e6, 1),
            'mb_a_picture_of_a_process': round(mean / batch / 1e6, 2)}


def write_set(folder: Path, pictures: int, size: int, distinct: int) -> None:
    """Pictures and their list of labels."""
    rng, inner = np.random.default_rng(0), folder / 'img_align_celeba'
    inner.mkdir(parents=True)
    for i in range(pictures):
        path = inner / f'{i:07d}.jpg'
        if i < distinct:
            smooth = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
            smooth.save(path, quality=90)
        else:
            os.link(inner / f'{i % distinct:07d}.jpg', path)
    with open(folder / 'list_attr_celeba.txt', 'w', encoding='utf-8') as file:
        file.write(f'{pictures}\n{" ".join(ATTRIBUTES)}\n')
        labels = np.where(rng.random((pictures, len(ATTRIBUTES))) < 0.5, '1', '-1')
        file.writelines(f'{i:07d}.jpg {" ".join(row)}\n' for i, row in enumerate(labels))


def open_it(folder: str, size: int) -> dict[str, float]:
    """Opens the set as a training does, in a process of its own; draws batches as one of 64 processes."""
    from retouch.training import make_fabric, make_trainer

    changes = {'data.source': folder, 'data.size': str(size), 'data.crop': 'none', 'data.attributes': 'none', 'method.blocks': '1'}
    changes |= {'train.threads': '1', 'train.batch_size': '16'}
    run = override(load_run('stargan.paper'), {**changes, 'method.width_g': '4', 'method.width_d': '4'})
    before, wall, cpu = resident_peak() or 0, time.perf_counter(), time.process_time()
    _, loader, _ = make_trainer(run, make_fabric(run), False)
    found = {'seconds': time.perf_counter() - wall, 'process_seconds': time.process_time() - cpu,
             'megabytes': ((resident_peak() or 0) - before) / 1e6}
    loader.rank, loader.world = 63, PROCESSES
    start = time.process_time()
    for i in range(20):
        loader.batch(i, 1000)
    return {k: round(v, 2) for k, v in (found | {'ms_a_batch_of_64x16': (time.process_time() - start) / 20 * 1e3}).items()}


def stages(folder: Path, size: int) -> dict[str, float]:
    """Process seconds of what every start does again, whatever the network."""
    from retouch.data.sources import read_attribute_folder

    start = time.process_time()
    found = read_attribute_folder(folder, None)
    labels = time.process_time() - start
    start = time.process_time()
    _key(found.paths, {})
    lookup = time.process_time() - start
    start = time.process_time()
    Loader(16, 0, size, True, torch.device('cpu'), 0, PROCESSES).global_indices(0, 10_000_000, 'A')
    return {'labels_s': round(labels, 2), 'names_and_times_of_files_s': round(lookup, 2), 'order_of_ten_million_s':
            round(time.process_time() - start, 2)}


def measure_set(o: argparse.Namespace) -> dict[str, Any]:
    """The set opened for the first time, unless its cache is there, and again."""
    with tempfile.TemporaryDirectory() if o.folder is None else contextlib.nullcontext(o.folder) as name:
        folder, cache = Path(name) / 'set', Path(name) / 'cache'
        os.environ['RETOUCH_CACHE'] = str(cache)
        if not folder.exists():
            write_set(folder, o.pictures, o.size, min(o.distinct, o.pictures))
        bytes_each = [path.stat().st_size for path, _ in zip((folder / 'img_align_celeba').iterdir(), range(1000), strict=False)]
        row: dict[str, Any] = {'pictures': o.pictures, 'size': o.size, 'file_kilobytes': round(sum(bytes_each) / len(bytes_each) / 1e3, 1)}
        for what in ('later_start',) if [*cache.glob('*.npy')] else ('first_start', 'later_start'):
            with multiprocessing.get_context('spawn').Pool(1) as fresh:
                row[what] = fresh.apply(open_it, (str(folder), o.size))
            print(what, row[what], file=sys.stderr, flush=True)
        row['cache_megabytes'] = round(sum(path.stat().st_size for path in cache.glob('*.npy')) / 1e6)
        return {**row, **stages(folder, o.size)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=('exchange', 'set'))
    for name, default in {'pictures': 100_000, 'size': 64, 'distinct': 1000}.items():
        parser.add_argument(f'--{name}', type=int, default=default)
    parser.add_argument('--folder', help='where the set and its cache are kept, or were; default: nowhere')
    parser.add_argument('--json', type=Path, help='also writes a record here')
    o = parser.parse_args()
    rows = [exchange(recipe) for recipe in PAPERS] if o.what == 'exchange' else [measure_set(o)]
    for row in rows:
        print(*(f'{key} {value}' for key, value in row.items()), sep='  ')
    if o.json:
        record = {'command': shlex.join(['python', *sys.argv]), 'date': date.today().isoformat(), 'hardware': hardware(),
                  'cores': cores(), 'rows': rows}
        o.json.write_text(json.dumps(record, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
