"""Seconds and memory of one edit, by torch and by onnxruntime, each in the environment it needs; and how far the two pictures are apart.

    python benchmarks/exported.py toyfaces m.onnx face.png Eyeglasses=1 --lean /path/to/venv/bin/python

Processes alternate, so that a busy machine is busy for both. `whole` is a process from its start to the edit, `warm` the mean of ten more
edits of the same picture, both of processor time over all threads; `clock` are seconds that pass. Medians over the rounds.
"""
from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

CHILD = """
import json, sys, time
from retouch import Editor
model, picture, out, name, value, start = sys.argv[1:]
editor = Editor.load(model, 'cpu')
first = editor.edit(picture, **{name: int(value)})
whole, whole_clock, clock = time.process_time(), time.time() - float(start), time.perf_counter()
for _ in range(10):
    editor.edit(picture, **{name: int(value)})
warm, warm_clock = (time.process_time() - whole) / 10, (time.perf_counter() - clock) / 10
first.save(out, 'edit')
import resource
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
json.dump({'whole_s': whole, 'whole_clock_s': whole_clock, 'warm_s': warm, 'warm_clock_s': warm_clock, 'peak_mb': peak,
           'torch': 'torch' in sys.modules}, sys.stdout)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model')
    parser.add_argument('exported', type=Path)
    parser.add_argument('picture', type=Path)
    parser.add_argument('edit', help='NAME=0 or NAME=1')
    parser.add_argument('--lean', default=sys.executable, help='the interpreter that edits with the exported model')
    parser.add_argument('--rounds', type=int, default=5)
    options = parser.parse_args()
    name, _, value = options.edit.partition('=')
    found: dict[str, list[dict[str, float]]] = {'torch': [], 'onnxruntime': []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            for way, python, model in (('torch', sys.executable, options.model),
                                       ('onnxruntime', options.lean, options.exported.absolute())):
                words = [str(model), str(options.picture.absolute()), f'{folder}/{way}', name, value, str(time.time())]
                run = subprocess.run([python, '-c', CHILD, *words], check=True, capture_output=True, text=True)
                found[way].append(json.loads(run.stdout))
        edits = {way: np.asarray(Image.open(f'{folder}/{way}/edit.png')).astype(int) for way in found}
        masks = {way: np.asarray(Image.open(f'{folder}/{way}/edit.mask.png')) for way in found}
    before = np.asarray(Image.open(options.picture).convert('RGB')).astype(int)
    for way, rounds in found.items():
        print(f'{way:<12}', ', '.join(f'{key} {statistics.median(r[key] for r in rounds):.3g}' for key in rounds[0]))
    apart = np.abs(edits['torch'] - edits['onnxruntime'])
    outside = masks['onnxruntime'] == 0
    print(f'levels apart: {apart.max()}, in {(apart.max(2) > 0).mean():.3%} of the pixels; where the mask byte is 0 ({outside.mean():.1%}) '
          f'{int((edits["onnxruntime"] != before)[outside].sum())} bytes differ from the input')


if __name__ == '__main__':
    main()
