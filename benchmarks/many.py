"""Many pictures in one command: memory over time, pictures a second against one process a picture, and whether the bytes are the same.

    python benchmarks/many.py --n 1000 --size 256 --alone 20 --rounds 3 --out benchmarks/results/many.json

Draws n faces, edits them by `retouch edit DIR` in another process whose resident memory is read from /proc every half second (Linux), then
edits `--alone` of them once more by one process each, and all of them by `Editor.edit` and `save`, one at a time, whose files must have the
same bytes. Rounds alternate; seconds are of the wall and of the processor.
"""
from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from retouch import toyfaces
from retouch.editor import Editor
from retouch.hardware import hardware

FIRST = 2_000_000        # no face that training or a judge has seen


def draw(folder: Path, n: int, size: int) -> None:
    """Faces FIRST … as frame_00000.png …"""
    folder.mkdir(parents=True)
    for start in range(0, n, 100):
        images, _, _ = toyfaces.draw_set(range(FIRST + start, FIRST + min(start + 100, n)), size, workers=1)
        for i, image in enumerate(images, start):
            Image.fromarray(image).save(folder / f'frame_{i:05d}.png')


def run(arguments: list[str], every_s: float = 0.5) -> dict[str, Any]:
    """One `retouch` command: seconds of the wall and of the processor, and its resident memory in MB over time."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen([sys.executable, '-m', 'retouch', *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen, ended = list[tuple[float, float]](), threading.Event()

    def watch() -> None:
        while not ended.wait(every_s):
            try:
                pages = int(Path(f'/proc/{process.pid}/statm').read_text().split()[1])
            except (OSError, IndexError):
                return
            seen.append((round(time.monotonic() - started, 1), round(pages * os.sysconf('SC_PAGE_SIZE') / 1e6, 1)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    ended.set()
    watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code:
        raise SystemExit(f'retouch {" ".join(arguments)} ended with {code}')
    return {'wall_s': round(time.monotonic() - started, 2), 'memory': seen,
            'processor_s': round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--n', type=int, default=1000)
    parser.add_argument('--size', type=int, default=256)
    parser.add_argument('--model', default='toyfaces')
    parser.add_argument('--set', default='Blond_Hair=1')
    parser.add_argument('--alone', type=int, default=20, help='pictures that are edited by a process each, in every round')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--out', type=Path, default=Path('benchmarks/results/many.json'))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        draw(place / 'in', options.n, options.size)
        pictures, edit = sorted((place / 'in').iterdir()), ['--set', options.set, '--device', 'cpu', '--out']
        rounds = []
        for i in range(options.rounds):
            together = run(['edit', options.model, str(place / 'in'), *edit, str(place / f'out{i}')])
            alone = [run(['edit', options.model, str(picture), *edit, str(place / f'alone{i}')]) for picture in pictures[:options.alone]]
            rounds.append({'together': together, 'alone': {key: round(sum(one[key] for one in alone), 2)
                                                           for key in ('wall_s', 'processor_s')}})
            print(json.dumps({'round': i, 'together': {k: v for k, v in together.items() if k != 'memory'}, 'alone': rounds[-1]['alone']}))
            options.out.write_text(json.dumps(summary(options, rounds), indent=1) + '\n')
        editor, name, value = Editor.load(options.model, 'cpu'), *options.set.split('=')
        different = 0
        for picture in pictures:
            for path in editor.edit(picture, **{name: int(value)}).save(place / 'one', picture.stem):
                different += path.read_bytes() != (place / 'out0' / path.name).read_bytes()
        found = summary(options, rounds) | {'files': 3 * options.n, 'files_that_differ_from_one_at_a_time': different}
    options.out.write_text(json.dumps(found, indent=1) + '\n')
    print(json.dumps({key: value for key, value in found.items() if key != 'rounds'}, indent=1))


def summary(options: argparse.Namespace, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """What all rounds say: pictures a second, memory at its highest and in the mean of each quarter after the first tenth."""
    memory = np.array([megabytes for _, megabytes in rounds[0]['together']['memory']])
    quarters = [round(float(part.mean()), 1) for part in np.array_split(memory[len(memory) // 10:], 4)]
    per_s = {key: {'together': round(options.n * len(rounds) / sum(r['together'][f'{key}_s'] for r in rounds), 3),
                   'alone': round(options.alone * len(rounds) / sum(r['alone'][f'{key}_s'] for r in rounds), 3)}
             for key in ('wall', 'processor')}
    return {'command': ' '.join(['python', *sys.argv]), 'hardware': hardware('cpu'), 'threads': os.environ.get('OMP_NUM_THREADS'),
            'n': options.n, 'size_px': options.size, 'pictures_per_second': per_s,
            'memory_mb': {'peak': float(memory.max()), 'by_quarter': quarters}, 'rounds': rounds}


if __name__ == '__main__':
    main()
