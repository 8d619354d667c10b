"""What the small recipes cost in another checkout of this project and in this one, by turns.

    python benchmarks/checkouts.py OTHER [--recipes stargan.eyeglasses …] [--share 0.05] [--rounds 3] [--json FILE]

OTHER is a folder with another commit (`git worktree add OTHER COMMIT`); both are run by this Python, `retouch train RECIPE --stop-after`
a share of the recipe's iterations, one thread. Seconds are what `time.jsonl` counts, so without start and drawing; a whole training's are
these over its share. Ratios are of a round, other over this, so that other work on the machine meets both.
"""
from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from retouch.hardware import hardware
from retouch.recipes.registry import load_run

HERE = Path(__file__).resolve().parents[1]
RECIPES = ('stargan.eyeglasses', 'cyclegan.toyfaces', 'lomit.eyeglasses', 'parser.toyfaces32')


def seconds_of(checkout: Path, recipe: str, iterations: int) -> float:
    """Seconds of so many iterations of a recipe in a checkout."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / 'run'
        done = subprocess.run([sys.executable, '-m', 'retouch', 'train', recipe, '--out', str(run), '--seed', '0', '--train.threads', '1',
                               '--stop-after', str(iterations)], cwd=checkout, env={**os.environ, 'PYTHONPATH': str(checkout)},
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f'{checkout}: {recipe} ended with {done.returncode}: {done.stderr.strip()[-300:]}')
        return float(json.loads((run / 'time.jsonl').read_text().splitlines()[-1])['seconds'])


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('other', type=Path)
    parser.add_argument('--recipes', nargs='+', default=RECIPES)
    parser.add_argument('--share', type=float, default=0.05)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--json', type=Path)
    o = parser.parse_args()
    sides = {'other': o.other.resolve(), 'this': HERE}
    commits = {name: subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], cwd=path, capture_output=True, text=True,
                                    check=True).stdout.strip() for name, path in sides.items()}
    rows = []
    for recipe in o.recipes:
        train = load_run(recipe).train
        iterations = max(1, round(o.share * train.iterations))
        taken = {'other': list[float](), 'this': list[float]()}
        for turn in range(o.rounds):
            for name in list(sides)[::1 if turn % 2 == 0 else -1]:
                taken[name].append(seconds_of(sides[name], recipe, iterations))
        ratios = [a / b for a, b in zip(taken['other'], taken['this'], strict=True)]
        whole = {name: statistics.median(values) * train.iterations / iterations for name, values in taken.items()}
        rows.append({'recipe': recipe, 'iterations': iterations, 'of': train.iterations, 'seconds': taken, 'whole': whole,
                     'ratios': ratios})
        print(f'{recipe}: {whole["other"]:.0f} s before, {whole["this"]:.0f} s now, ratio {statistics.median(ratios):.2f} '
              f'({min(ratios):.2f} to {max(ratios):.2f})', flush=True)
    if o.json:
        command = f'python benchmarks/checkouts.py OTHER --recipes {" ".join(o.recipes)} --share {o.share:g} --rounds {o.rounds}'
        record = {'command': command, 'commits': commits, 'hardware': hardware('cpu'), 'rows': rows}
        o.json.write_text(json.dumps(record, indent=1) + '\n')


if __name__ == '__main__':
    main()
