"""How often LOMIT's foreground codes die, by seed and by who drew the first weights: ours, or the authors' own rule.

    python benchmarks/lomit_codes.py [--authors DIR] [--iterations 600] [--seeds 0 1 2 3 4] [--rate 1e-4] [--print]

Small: drawn faces at 32 px with Eyeglasses as the only attribute, the widths of `lomit.eyeglasses`, batch 8, the weights of the published
loss (`lambda_code` 1, `lambda_x` 10) and its rate; the generator learns in every iteration, so that a short training has many of its steps.
DIR is a checkout of wgcho/Highway-Adaptive-Instance-Normalization @ 82bb58c, whose `weights_init` fills our networks in their order.
Codes count as dead where the last fifty iterations' `G.code_spread` is below 1e-3. Writes results/lomit_codes.json, one row a training.
"""
from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import retouch.methods.lomit as lomit
from retouch.engine.logs import read_jsonl
from retouch.files import write_atomically
from retouch.recipes.registry import load_run, override
from retouch.training import train_run

RESULTS = Path(__file__).parent / 'results' / 'lomit_codes.json'
DEAD = 1e-3


def rule_of_authors(folder: Path) -> Callable[[str], Callable[[Any], None]]:
    """Their `weights_init`: a name -> what fills one module."""
    source = folder / 'utils' / 'util.py'
    text = source.read_text(encoding='utf-8')
    begins = text.index('def weights_init')
    room: dict[str, Any] = {'init': torch.nn.init, 'math': math}
    exec(compile(text[begins:text.index('\ndef ', begins)], str(source), 'exec'), room)
    return room['weights_init']


def fill_as_authors(rule: Callable[[str], Callable[[Any], None]]) -> None:
    """From here on LOMIT's networks begin as the authors' code would: kaiming for the generator's, gaussian for D."""
    lomit.init_generator = lambda net: net.apply(rule('kaiming'))         # type: ignore[assignment]
    lomit.init_discriminator = lambda net: net.apply(rule('gaussian'))    # type: ignore[assignment]


def run_one(seed: int, iterations: int, rate: float) -> dict[str, Any]:
    """Trains one seed and tells what its codes did."""
    run = override(load_run('lomit.eyeglasses'), {
        'method.lambda_code': 1.0, 'method.lr': rate, 'method.schedule': 'halved_in_second_half', 'train.iterations': iterations,
        'train.log_every': 50, 'train.sample_every': iterations, 'train.save_every': iterations, 'train.threads': 1})
    with tempfile.TemporaryDirectory() as out:
        train_run(run.model_copy(update={'seed': seed}), Path(out) / 'run', None, show=False)
        rows = read_jsonl(Path(out) / 'run' / 'log.jsonl')
    spread = [row['G.code_spread'] for row in rows]
    dead = [row['iteration'] for row in rows if row['G.code_spread'] < DEAD]
    return {'seed': seed, 'iterations': iterations, 'rate': rate, 'spread': [float(f'{s:.3g}') for s in spread], 'dead': spread[-1] < DEAD,
            'first_dead_at': dead[0] if dead else None, 'class_loss_of_D_at_the_end': round(rows[-1]['D.cls'], 3)}


def main() -> None:
    """Runs what is missing, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--authors', type=Path)
    parser.add_argument('--iterations', type=int, default=600)
    parser.add_argument('--seeds', type=int, nargs='*', default=[0, 1, 2, 3, 4])
    parser.add_argument('--rate', type=float, default=1e-4)
    parser.add_argument('--print', action='store_true')
    options = parser.parse_args()
    rows = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
    if not options.print:
        if options.authors:
            fill_as_authors(rule_of_authors(options.authors))
        whose = 'theirs' if options.authors else 'ours'
        for seed in options.seeds:
            key = {'first_weights': whose, 'seed': seed, 'rate': options.rate, 'iterations': options.iterations}
            if not any(all(row[k] == v for k, v in key.items()) for row in rows):
                rows.append({'first_weights': whose, **run_one(seed, options.iterations, options.rate)})
                write_atomically(RESULTS, (json.dumps(rows, indent=1) + '\n').encode())
    for row in rows:
        print(f'{row["first_weights"]:7} rate {row["rate"]:g}  seed {row["seed"]}  {"dead" if row["dead"] else "alive"}  '
              f'spread {row["spread"]}  D.cls {row["class_loss_of_D_at_the_end"]}')


if __name__ == '__main__':
    main()
