"""Random batches of 16 at 128 px: decoding JPEG files one by one against the cache.

    python benchmarks/data_loading.py [--n 1000] [--batches 200] [--out benchmarks/results/data_loading.json]
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor

from retouch.data.cache import cached_images, cores
from retouch.data.frame import Frame
from retouch.data.transforms import to_float

BATCH, SIZE, CROP, BLOCK = 16, 128, 178, 20


def write_jpegs(folder: Path, n: int) -> list[Path]:
    """n smooth random colour pictures of 178 x 218 px with a little noise, saved as JPEG of the quality and weight of CelebA's."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(n):
        smooth = Image.fromarray(rng.integers(0, 256, (14, 11, 3), dtype=np.uint8)).resize((178, 218), Image.Resampling.BICUBIC)
        pixels = np.asarray(smooth) + rng.normal(0, 2, (218, 178, 3))
        paths.append(folder / f'{i:06d}.jpg')
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=85)
    return paths


def from_files(paths: list[Path], index: np.ndarray) -> Tensor:
    """What a loader without a cache does, in plain Pillow: decode, crop and resize each picture, stack, normalise."""
    pictures = []
    for i in index:
        with Image.open(paths[i]) as picture:
            cut = picture.convert('RGB').crop((0, 20, CROP, 20 + CROP))
            pictures.append(np.asarray(cut.resize((SIZE, SIZE), Image.Resampling.BILINEAR)))
    return to_float(torch.from_numpy(np.stack(pictures)))


def from_cache(images: np.ndarray, index: np.ndarray) -> Tensor:
    """One gather from the memory map, then the same normalisation."""
    return to_float(torch.from_numpy(images[index]))


def seconds(read: Callable[[np.ndarray], Tensor], index: np.ndarray) -> float:
    """How long one batch takes."""
    start = time.perf_counter()
    read(index)
    return time.perf_counter() - start


def take_turns(paths: list[Path], images: np.ndarray, draws: list[np.ndarray], block: int) -> tuple[float, float]:
    """Median seconds per batch from files and from the cache, which take turns every `block` batches."""
    files, cache = [], []
    for first in range(0, len(draws), block):
        files += [seconds(lambda index: from_files(paths, index), index) for index in draws[first:first + block]]
        cache += [seconds(lambda index: from_cache(images, index), index) for index in draws[first:first + block]]
    return statistics.median(files), statistics.median(cache)


def cpu_model() -> str:
    """The processor's name where the system tells it."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return named[0] if named else platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--n', type=int, default=1000, help='pictures')
    parser.add_argument('--batches', type=int, default=200, help='timed batches of each kind')
    parser.add_argument('--out', type=Path, default=Path('benchmarks/results/data_loading.json'))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    draws = [rng.integers(0, options.n, BATCH) for _ in range(options.batches)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_jpegs(folder, options.n)
        kilobytes = sum(p.stat().st_size for p in paths) / options.n / 1e3
        start = time.perf_counter()
        images = cached_images(paths, SIZE, Frame(crop=CROP), root=folder / 'cache')
        build = time.perf_counter() - start
        start = time.perf_counter()
        cached_images(paths, SIZE, Frame(crop=CROP), root=folder / 'cache')
        reopen = time.perf_counter() - start
        assert torch.equal(from_files(paths, draws[0]), from_cache(images, draws[0]))
        # The two take turns, so that other work on the machine meets both: in blocks, where each runs as it would by itself, and batch by
        # batch, where each decoding has just emptied the processor's caches of what the other needs.
        files, cache = take_turns(paths, images, draws, BLOCK)
        files_alternating, cache_alternating = take_turns(paths, images, draws, 1)
    result = {
        'command': shlex.join(['python', *sys.argv]),
        'pictures': options.n, 'batch_size': BATCH, 'batches': options.batches, 'size_px': SIZE, 'crop_px': CROP,
        'jpeg_kilobytes_mean': round(kilobytes, 2),
        'files_ms_per_batch': round(files * 1e3, 3), 'files_images_per_s': round(BATCH / files),
        'cache_ms_per_batch': round(cache * 1e3, 3), 'cache_images_per_s': round(BATCH / cache),
        'ratio': round(files / cache, 1), 'ratio_alternating_every_batch': round(files_alternating / cache_alternating, 1),
        'cache_build_s': round(build, 3), 'cache_build_images_per_s': round(options.n / build), 'cache_reopen_s': round(reopen, 4),
        'note': f'medians; one thread; files in the page cache; turns of {BLOCK} batches; the first build of the cache is not in the ratio',
        'hardware': {'cpu': cpu_model(), 'cores': cores(), 'system': f'{platform.system()} {platform.machine()}'},
        'versions': {'python': platform.python_version(), 'torch': torch.__version__, 'pillow': PIL.__version__, 'numpy': np.__version__},
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    temporary = options.out.with_name(f'.{options.out.name}.{os.getpid()}')
    temporary.write_text(json.dumps(result, indent=2) + '\n', encoding='utf-8')
    os.replace(temporary, options.out)
    print(json.dumps(result, indent=2))
    print(f'cache {cache * 1e3:.2f} ms, files {files * 1e3:.2f} ms a batch: {files / cache:.1f} times as fast')


if __name__ == '__main__':
    main()
