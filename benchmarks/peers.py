"""Training steps of the authors' published code and of ours, by turns in one process.

    python benchmarks/peers.py --peers DIR [--systems stargan lomit …] [--set small|published|both] [--threads 1 2]
                               [--precision 32 bf16-mixed] [--rounds 5] [--no-memory] [--out benchmarks/results/peers]
    python benchmarks/peers.py --print                           # the tables of docs/performance.md, from what was measured
    python benchmarks/peers.py --list                            # the checkouts that DIR must hold, as git commands

A cycle is one rhythm of discriminator and generator steps as published, of equal networks (equal numbers of parameters are asked for), on
the same random pictures; nothing is loaded, logged or saved. Theirs, ours, and ours in reduced precision take turns round by round, the
first round not counted, so that other work on the machine meets all; a ratio is theirs over ours within a round: over 1 is faster than
theirs. Of the ratios the median and the least and largest are kept, of process time and of time on the wall. Peak memory is what the
resident set of a fresh process grew by in two cycles. `authors.py` says how their code is called.
"""
from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import authors
import torch
from lightning_fabric import Fabric
from torch import Tensor

from retouch.data.batches import AttributeBatch, DataSpec, DomainBatch, ExemplarBatch, Moment, PairBatch
from retouch.engine.trainer import Trainer
from retouch.hardware import hardware, resident_peak
from retouch.methods import aggan, aggan_multi, asgit, attentiongan, attgan, cyclegan, drit, lomit, munit, pix2pix, stargan, stgan

RESULTS = Path(__file__).parent / 'results' / 'peers'
ATTRIBUTES = tuple(f'attribute_{i}' for i in range(13))
CODE_OF_LOMIT = {'share_style_branches': True, 'adain_std': 'nested', 'r1_detach_mask_input': False, 'lambda_r2': 0.0}
# class, what makes it the released code's system; pictures' side, width and batch of the small and of the published width
SYSTEMS: dict[str, tuple[Any, dict[str, Any], tuple[int, int, int], tuple[int, int, int]]] = {
    'stargan': (stargan.StarGAN, {}, (64, 16, 8), (128, 64, 2)),
    'aggan_multi': (aggan_multi.AGGANMulti, {}, (64, 16, 8), (128, 64, 2)),
    'attgan': (attgan.AttGAN, {}, (64, 16, 8), (128, 64, 4)),
    'stgan': (stgan.STGAN, {}, (64, 16, 8), (128, 64, 4)),
    'cyclegan': (cyclegan.CycleGAN, {}, (64, 16, 4), (128, 64, 1)),
    'aggan': (aggan.AGGAN, {'upsample': 'pixelshuffle', 'use_attention_discriminator': False}, (96, 16, 2), (128, 64, 1)),
    'attentiongan': (attentiongan.AttentionGAN, {}, (64, 16, 4), (128, 64, 1)),
    'asgit': (asgit.ASGIT, {'transfer': 'identity', 'pha_layer': 3}, (64, 16, 4), (128, 64, 1)),
    'pix2pix': (pix2pix.Pix2Pix, {}, (128, 16, 1), (256, 64, 1)),
    'munit': (munit.MUNIT, {}, (128, 16, 1), (128, 64, 1)),
    'drit': (drit.DRIT, {}, (216, 16, 2), (216, 64, 2)),
    'lomit': (lomit.LOMIT, CODE_OF_LOMIT, (64, 16, 4), (128, 64, 1))}
SETS = ('small', 'published')


def shape_of(name: str, which: str) -> argparse.Namespace:
    """Side, width and batch of a system's row."""
    return argparse.Namespace(**dict(zip(('size', 'width', 'batch'), SYSTEMS[name][2 + SETS.index(which)], strict=True)))


def pictures_of(o: argparse.Namespace) -> tuple[Tensor, Tensor, Tensor]:
    """Two batches of noise in [-1,1], [N,3,H,W], and labels [N,K] of the first."""
    torch.manual_seed(1)
    x, y = torch.rand(2, o.batch, 3, o.size, o.size).mul(2).sub(1)
    return x, y, torch.rand(o.batch, len(ATTRIBUTES)).lt(0.5).float()


def our_cycle(name: str, o: argparse.Namespace, x: Tensor, y: Tensor, labels: Tensor, precision: Any) -> authors.Cycle:
    """One cycle of our system, through the engine, and all networks."""
    system, changes, *_ = SYSTEMS[name]
    index, whole = torch.arange(o.batch), torch.tensor([0.0, 0.0, 1.0, 0.0]).expand(o.batch, 4)
    spec: dict[str, Any] = {'domains': ('A', 'B'), 'samples': (1000, 1000)}
    if system.kind in ('attributes', 'exemplars'):
        spec = {'attributes': ATTRIBUTES}
    widths = {'width_a': o.width} if name == 'drit' else {}
    torch.manual_seed(0)
    method = system(system.Config(width_g=o.width, width_d=o.width, **widths, **changes), DataSpec(size=o.size, **spec))
    trainer = Trainer(method, Fabric(accelerator='cpu', devices=1, precision=precision), iterations=1_000_000)
    period = max(u.every for u in trainer.updates)

    def cycle() -> None:
        for _ in range(period):
            moment = Moment(iteration=trainer.iteration, iterations=1_000_000, count=o.batch, total=o.batch)
            batch: Any = {'attributes': lambda m: AttributeBatch(x, labels, labels.flip(0), index, m),
                          'exemplars': lambda m: ExemplarBatch(x, labels, y, labels.flip(0), index, index.flip(0), m),
                          'pairs': lambda m: PairBatch(x, y, index, whole, m),
                          'domains': lambda m: DomainBatch(x, y, index, index, whole, whole, m)}[system.kind](moment)
            trainer.train_iteration(batch)
        trainer.ledger.means()
    return cycle, list(method.nets.values())


def side_of(name: str, which: str, side: str, peers: Path) -> authors.Cycle:
    """A cycle of 'theirs', or of ours in a precision."""
    o = shape_of(name, which)
    if side == 'theirs':
        return authors.cycle_of(name, peers, o, *pictures_of(o))
    return our_cycle(name, o, *pictures_of(o), {'32': '32-true'}.get(side, side))


def peak_of(name: str, which: str, side: str, peers: Path, threads: int) -> float:
    """MB that the resident set of this process, a fresh one, grows by in two cycles."""
    torch.set_num_threads(threads)
    before = resident_peak() or 0
    cycle, _ = side_of(name, which, side, peers)
    cycle()
    cycle()
    return ((resident_peak() or 0) - before) / 1e6


def turns(cycles: dict[str, Callable[[], None]], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of every round by clock and side; the first round is not counted, every second one goes backwards."""
    seconds: dict[str, dict[str, list[float]]] = {clock: {side: [] for side in cycles} for clock in ('process', 'wall')}
    for i in range(rounds + 1):
        for side in (list(cycles) if i % 2 else list(cycles)[::-1]):
            wall, process = time.perf_counter(), time.process_time()
            cycles[side]()
            if i:
                seconds['process'][side].append(time.process_time() - process)
                seconds['wall'][side].append(time.perf_counter() - wall)
    return seconds


def summary(seconds: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Of every side: median seconds by clock, and theirs over it within a round as [median, least, largest]."""
    found: dict[str, Any] = {}
    for side in seconds['process']:
        found[side] = {f'{clock}_s': round(statistics.median(of[side]), 4) for clock, of in seconds.items()}
        for clock, of in seconds.items() if side != 'theirs' else ():
            ratios = [t / s for t, s in zip(of['theirs'], of[side], strict=True)]
            found[side][f'{clock}_ratio'] = [round(f(ratios), 3) for f in (statistics.median, min, max)]
    return found


def measure(name: str, which: str, threads: int, o: argparse.Namespace) -> dict[str, Any]:
    """One row."""
    torch.set_num_threads(threads)
    sides = ['theirs', *o.precision]
    peaks: dict[str, float] = {}
    for side in sides if o.memory else ():
        with multiprocessing.get_context('forkserver').Pool(1) as fresh:
            peaks[side] = round(fresh.apply(peak_of, (name, which, side, o.peers, threads)))
    made = {side: side_of(name, which, side, o.peers) for side in sides}
    counts = {side: authors.parameters(nets) for side, (_, nets) in made.items()}
    if len(set(counts.values())) > 1:
        raise SystemExit(f'{name} {which}: parameters {counts}: expected the same on all sides')
    found = summary(turns({side: cycle for side, (cycle, _) in made.items()}, o.rounds))
    for side, peak in peaks.items():
        found[side]['peak_mb'] = peak
    return {'system': name, 'set': which, **vars(shape_of(name, which)), 'threads': threads, 'rounds': o.rounds,
            'parameters': counts['theirs'], 'commits': commits(o.peers, name), 'hardware': hardware(),
            'date': date.today().isoformat(), 'sides': found}


def commits(peers: Path, name: str) -> dict[str, str]:
    """The checkouts there are, with what git says of them."""
    found = {}
    for folder, (repository, _) in authors.REPOSITORIES.items():
        if (peers / folder).is_dir():
            answer = subprocess.run(['git', '-C', str(peers / folder), 'rev-parse', '--short=7', 'HEAD'], capture_output=True, text=True)
            found[repository] = answer.stdout.strip() or 'unknown'
    return {r: c for r, c in found.items() if any(r == authors.REPOSITORIES[f][0] for f in authors.NEEDS[name])}


def table(rows: list[dict[str, Any]], which: str, threads: int) -> str:
    """One set at a number of threads as Markdown."""
    clock = 'process' if threads == 1 else 'wall'
    lines = ['| system | px, width, batch | theirs, s a cycle | ours, s | ratio | bf16, s | ratio | peak MB, theirs | ours | bf16 |',
             '|---|---|---|---|---|---|---|---|---|---|']
    by_name = {r['system']: r for r in rows if r['set'] == which and r['threads'] == threads}
    for name in (n for n in SYSTEMS if n in by_name):
        r, sides = by_name[name], by_name[name]['sides']
        cells = [f'`{name}`', f'{r["size"]}, {r["width"]}, {r["batch"]}', f'{sides["theirs"][f"{clock}_s"]:.3f}']
        for side in ('32', 'bf16-mixed'):
            s = sides.get(side)
            cells += [f'{s[f"{clock}_s"]:.3f}', '**{:.2f}** ({:.2f} to {:.2f})'.format(*s[f'{clock}_ratio'])] if s else ['', '']
        cells += [f'{sides[side]["peak_mb"]:,.0f}' if 'peak_mb' in sides.get(side, {}) else '' for side in ('theirs', '32', 'bf16-mixed')]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--peers', type=Path)
    parser.add_argument('--systems', nargs='+', choices=tuple(SYSTEMS), default=tuple(SYSTEMS))
    parser.add_argument('--set', choices=(*SETS, 'both'), default='small')
    parser.add_argument('--threads', type=int, nargs='+', default=[1])
    parser.add_argument('--precision', nargs='+', choices=('32', 'bf16-mixed'), default=['32', 'bf16-mixed'])
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--no-memory', dest='memory', action='store_false')
    parser.add_argument('--out', type=Path, default=RESULTS)
    parser.add_argument('--print', dest='show', action='store_true')
    parser.add_argument('--list', action='store_true')
    o = parser.parse_args()
    if o.list:
        for folder, (repository, commit) in authors.REPOSITORIES.items():
            print(f'git clone https://github.com/{repository} DIR/{folder} && git -C DIR/{folder} checkout {commit}')
        return
    if not o.show:
        if o.peers is None:
            parser.error('--peers DIR: expected the folder of the checkouts that --list names')
        o.peers = o.peers.resolve()
        o.out.mkdir(parents=True, exist_ok=True)
        for threads in o.threads:
            for which in SETS if o.set == 'both' else (o.set,):
                for name in o.systems:
                    began = time.perf_counter()
                    row = measure(name, which, threads, o)
                    (o.out / f'{name}-{which}-{threads}.json').write_text(json.dumps(row, indent=2) + '\n')
                    ratios = {side: s.get('process_ratio') for side, s in row['sides'].items() if side != 'theirs'}
                    print(name, which, threads, ratios, f'{time.perf_counter() - began:.0f} s', file=sys.stderr, flush=True)
    rows = [json.loads(path.read_text()) for path in sorted(o.out.glob('*.json'))]
    for threads in sorted({r['threads'] for r in rows}):
        for which in (w for w in SETS if any(r['set'] == w and r['threads'] == threads for r in rows)):
            print(f'\n{which}, {threads} thread{"s" * (threads > 1)}\n\n{table(rows, which, threads)}')


if __name__ == '__main__':
    main()
