"""Seconds and memory of training steps: the CAM-consistency loss and SeCGAN's semantic branch on their backbones, unpaired systems
guided by attention, systems that take an exemplar, StarGAN's gradient penalty, instance norm; and SeCGAN's edits beside its backbones'.

    python benchmarks/step.py [--case cam|secgan|domains|exemplars|penalty|norm|all] [--size 64] [--width 16] [--batch 16] [--rounds 7]
                              [--device cuda] [--threads 2] [--json FILE]

Random batches, no data loading; published options apart from the width. What is compared takes turns in one process (A B A B …, the first
round not counted): seconds are medians over rounds, ratios medians of the ratio within a round, so that other work on the machine meets
both. A cycle is n_critic D steps and one G step (AttGAN: the G step has a batch of its own; not in SeCGAN's rows, whose baseline has
SeCGAN's rhythm); seconds are of an iteration, the mean over a cycle. Pictures are counted by the first of two that an iteration takes.
Peak memory is of a fresh process each: on a CPU what its resident set grew by since its imports, on a GPU
`torch.cuda.max_memory_allocated`.
The defaults are sized for two quiet CPU cores, where five rounds take 100 s.
"""
from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from retouch.data.batches import AttributeBatch, DataSpec, DomainBatch, ExemplarBatch, Moment
from retouch.engine.trainer import Trainer
from retouch.engine.update import AttributeRequest
from retouch.hardware import hardware
from retouch.methods import aggan, asgit, cam, cyclegan, drit, lomit, munit, secgan
from retouch.networks.stargan import Generator

APPLY_TO = ('none', 'both', 'generator', 'discriminator')                              # the first is what the others are compared with
ATTRIBUTES = tuple(f'attribute_{i}' for i in range(13))
DOMAINS = {'cyclegan': (cyclegan.CycleGAN, {}), 'aggan': (aggan.AGGAN, {}),           # published forms; ratios are to the first
           **{f'asgit {a} {f}': (asgit.ASGIT, {'attention': a, 'fusion': f}) for a in ('pha', 'tam') for f in ('rhp', 'alpha')}}
SECGAN: dict[str, dict[str, Any]] = {'baseline': {'lambda_sc': 0.0}, 'secgan': {}, 'sequential': {'order': 'sequential'},
                                     'concat': {'form': 'concat'}}                     # ratios are to the first
EXEMPLARS: dict[str, tuple[Any, dict[str, Any]]] = {                                   # published rhythms; ratios are to the first
    'lomit': (lomit.LOMIT, {}), 'lomit, R1 of all rows': (lomit.LOMIT, {'r1_rows': None}),
    'lomit without R1': (lomit.LOMIT, {'lambda_r1': 0}), 'munit': (munit.MUNIT, {}), 'drit': (drit.DRIT, {})}
SAMPLES = 1000                                                                         # pictures a domain, for systems with a store
PASSES = {'D': 'no convolution pass: one backward from the class logits to the map, kept differentiable, and its own backward',
          'G': "one D pass of x and x' together up to the map, and what lies behind the map forth and back for y, x and x'; attgan, stgan: "
               'one more pass of G (y brought back)'}                                  # tests/unit/test_cam.py::test_passes counts them
Runner = Callable[[], dict[str, float]]                                                # does its work once, seconds by part


def backbone_of(name: str, o: argparse.Namespace, **changes: Any) -> dict[str, Any]:
    """Options of a backbone; as many layers as the size allows."""
    layers = {} if name == 'stargan' else {'layers': min(5, o.size.bit_length() - 2)}
    return {'id': name, 'width_g': o.width, 'width_d': o.width, **layers, **changes}


def trainer_of(backbone: str, apply_to: str, o: argparse.Namespace, **changes: Any) -> Trainer:
    """A backbone with the CAM-consistency loss where `apply_to` says; the same weights for the same networks."""
    options = {'backbone': backbone_of(backbone, o, **changes), 'apply_to': apply_to}
    torch.manual_seed(0)
    method: Any = cam.CAM(cam.Config.model_validate(options), DataSpec(size=o.size, attributes=ATTRIBUTES))
    return Trainer(method, Fabric(accelerator=o.device, devices=1), iterations=1_000_000)


def secgan_trainer(backbone: str, row: str, o: argparse.Namespace, **changes: Any) -> Trainer:
    """A row of SECGAN on a backbone that is told d, with a parser that has learned nothing."""
    told = {**secgan.TOLD[backbone], **changes}
    torch.manual_seed(0)
    method: Any = secgan.SeCGAN(secgan.Config.model_validate({'backbone': backbone_of(backbone, o, **told), **SECGAN[row]}),
                                DataSpec(size=o.size, attributes=ATTRIBUTES))
    return Trainer(method, Fabric(accelerator=o.device, devices=1), iterations=1_000_000)


def domain_trainer(row: str, o: argparse.Namespace) -> Trainer:
    """An unpaired system of DOMAINS; blocks and depths follow the size."""
    system, changes = DOMAINS[row]
    torch.manual_seed(0)
    method: Any = system(system.Config(width_g=o.width, width_d=o.width, **changes),
                         DataSpec(size=o.size, domains=('A', 'B'), samples=(SAMPLES, SAMPLES)))
    return Trainer(method, Fabric(accelerator=o.device, devices=1), iterations=1_000_000)


def exemplar_trainer(row: str, o: argparse.Namespace) -> Trainer:
    """A system of EXEMPLARS: LOMIT of labelled pictures, the others of two domains."""
    system, changes = EXEMPLARS[row]
    torch.manual_seed(0)
    spec = {'attributes': ATTRIBUTES} if system is lomit.LOMIT else {'domains': ('A', 'B')}
    method: Any = system(system.Config(width_g=o.width, width_d=o.width, **changes), DataSpec(size=o.size, **spec))
    return Trainer(method, Fabric(accelerator=o.device, devices=1), iterations=1_000_000)


def exemplar_batch(row: str, o: argparse.Namespace) -> ExemplarBatch | DomainBatch:
    """What a system of EXEMPLARS is trained on."""
    if EXEMPLARS[row][0] is not lomit.LOMIT:
        return domain_batch(o)
    one = random_batch(o)
    return ExemplarBatch(one.image, one.labels, one.image.flip(0), one.labels.flip(0), one.index, one.index.flip(0), one.moment)


def domain_batch(o: argparse.Namespace) -> DomainBatch:
    """Noise in [-1,1] of two domains, uncut."""
    torch.manual_seed(1)
    x, y = torch.rand(2, o.batch, 3, o.size, o.size).mul(2).sub(1).to(o.device)
    index, whole = torch.arange(o.batch), torch.tensor([0.0, 0.0, 1.0, 0.0]).expand(o.batch, 4).to(o.device)
    return DomainBatch(x, y, index, index, whole, whole, Moment(count=o.batch, total=o.batch))


def store_bytes(trainer: Trainer) -> int:
    """What a training picture's map costs; 0 where a system keeps none."""
    stores = getattr(trainer.trainable, 'stores', {})
    return max((s.maps[0].nbytes for s in stores.values()), default=0)


def random_batch(o: argparse.Namespace) -> AttributeBatch:
    """Noise in [-1,1] with random labels and targets."""
    torch.manual_seed(1)
    labels, target = torch.rand(2, o.batch, len(ATTRIBUTES)).lt(0.5).float().to(o.device)
    image = torch.rand(o.batch, 3, o.size, o.size).mul(2).sub(1).to(o.device)
    return AttributeBatch(image, labels, target, torch.arange(o.batch), Moment(count=o.batch, total=o.batch))


def clock(o: argparse.Namespace) -> float:
    """Now, with the device's work done."""
    if o.device == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter()


def cycle_runner(trainer: Trainer, batch: AttributeBatch | DomainBatch | ExemplarBatch, o: argparse.Namespace, only: str = '') -> Runner:
    """Runs one cycle of Updates, or a single one of them by its name; seconds of an iteration, and per step of every Update."""
    trainer.updates = tuple(u for u in trainer.updates if only in ('', u.name))
    laps: list[tuple[str, float]] = []
    for name, optimiser in trainer.optimisers.items():
        optimiser.register_step_post_hook(lambda *_, name=name: laps.append((name, clock(o))))

    def run() -> dict[str, float]:
        laps[:] = [('', clock(o))]
        cycle = max(u.every for u in trainer.updates)
        for _ in range(cycle):
            trainer.train_iteration(batch)
        steps = [(name, end - start) for (_, start), (name, end) in zip(laps, laps[1:], strict=False)]
        every = {u.name: statistics.median(s for n, s in steps if n == u.name) for u in trainer.updates}
        return {'all': (clock(o) - laps[0][1]) / cycle, **every}
    return run


def edit_runner(trainer: Trainer, batch: AttributeBatch, o: argparse.Namespace) -> Runner:
    """Edits a batch, as a trained model does."""
    method: Any = trainer.trainable
    request = AttributeRequest(batch.image, batch.labels, batch.target)

    def run() -> dict[str, float]:
        method.eval()
        start = clock(o)
        with torch.no_grad():
            method.translate(request)
        return {'all': clock(o) - start}
    return run


def norm_runner(norm: str, batch: AttributeBatch, o: argparse.Namespace) -> Runner:
    """StarGAN's generator forth and back, with its own norms or with torch's instance norm in their place."""
    torch.manual_seed(0)
    net = Generator(len(ATTRIBUTES), o.width).to(o.device)
    for name, part in list(net.named_modules()):
        if norm == 'InstanceNorm2d' and isinstance(part, nn.GroupNorm):
            net.set_submodule(name, nn.InstanceNorm2d(part.num_channels, affine=True).to(o.device))

    def run() -> dict[str, float]:
        start = clock(o)
        net(batch.image, batch.target).square().mean().backward()
        return {'all': clock(o) - start}
    return run


def peak_megabytes(name: str, row: str, o: argparse.Namespace) -> float:
    """Of the first and last iteration of a cycle, twice: the optimisers' moments are there when they run again. For a fresh process."""
    torch.set_num_threads(o.threads)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    batch: Any
    if name == 'domains':
        trainer, batch = domain_trainer(row, o), domain_batch(o)
    elif name == 'exemplars':
        trainer, batch = exemplar_trainer(row, o), exemplar_batch(row, o)
    else:
        case, backbone = name.split()
        trainer, batch = (trainer_of if case == 'cam' else secgan_trainer)(backbone, row, o), random_batch(o)
    for iteration in (0, max(u.every for u in trainer.updates) - 1) * 2:
        trainer.iteration = iteration
        trainer.train_iteration(batch)
    if o.device == 'cuda':
        return torch.cuda.max_memory_allocated() / 1e6
    unit = 1 if sys.platform == 'darwin' else 1024                                     # bytes there, KiB elsewhere
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit / 1e6


def compare(case: str, runners: dict[str, Runner], o: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a runner; ratios to the first."""
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in runners}
    for i in range(o.rounds + 1):
        print(f'{case}: round {i} of {o.rounds}', file=sys.stderr)
        for name, run in runners.items():
            seconds = run()
            rounds[name] += [seconds] if i else []
    base, rows = rounds[next(iter(runners))], []
    for name, runs in rounds.items():
        row: dict[str, Any] = {'case': case, 'row': name, 's_per_1000_images': statistics.median(r['all'] for r in runs) / o.batch * 1000}
        for part in runs[0]:
            if part in base[0]:                                                        # the first has no D_seg
                row[f'ratio_{part}'] = statistics.median(r[part] / b[part] for r, b in zip(runs, base, strict=True))
            row |= {} if part == 'all' else {f'{part}_step_s': statistics.median(r[part] for r in runs)}
        rows.append({k: v if isinstance(v, str) else round(v, 4) for k, v in row.items()})
    return rows


def measure(o: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of the chosen cases. Peaks come first: on Linux a child starts from the peak of what forks it."""
    rows: list[dict[str, Any]] = []
    peaks: dict[tuple[str, str], float] = {}
    wanted = [(f'cam {b}', a) for b in cam.BACKBONES for a in APPLY_TO if o.case in ('cam', 'all')]
    wanted += [(f'secgan {b}', row) for b in ('stargan', 'attgan') for row in SECGAN if o.case in ('secgan', 'all')]
    wanted += [('domains', row) for row in DOMAINS if o.case in ('domains', 'all')]
    wanted += [('exemplars', row) for row in EXEMPLARS if o.case in ('exemplars', 'all')]
    for key in wanted:
        print('peak memory:', *key, file=sys.stderr)
        with multiprocessing.get_context('spawn').Pool(1) as fresh:
            peaks[key] = fresh.apply(peak_megabytes, (*key, o))
    batch = random_batch(o)
    for name in dict.fromkeys(name for name, _ in wanted if ' ' in name):
        case, backbone = name.split()
        make, of = (trainer_of, APPLY_TO) if case == 'cam' else (secgan_trainer, tuple(SECGAN))
        trainers = {row: make(backbone, row, o) for row in of}
        found = compare(name, {row: cycle_runner(t, batch, o) for row, t in trainers.items()}, o)
        rows += [{**row, 'peak_megabytes': round(peaks[name, row['row']])} for row in found]
        if case == 'secgan':
            rows += compare(f'{name} edits', {row: edit_runner(t, batch, o) for row, t in trainers.items()}, o)
    if o.case in ('domains', 'all'):
        systems, pictures = {row: domain_trainer(row, o) for row in DOMAINS}, domain_batch(o)
        found = compare('domains', {row: cycle_runner(t, pictures, o) for row, t in systems.items()}, o)
        rows += [{**row, 'peak_megabytes': round(peaks['domains', row['row']]), 'store_bytes_a_picture': store_bytes(systems[row['row']])}
                 for row in found]
    if o.case in ('exemplars', 'all'):
        turns = {row: cycle_runner(exemplar_trainer(row, o), exemplar_batch(row, o), o) for row in EXEMPLARS}
        found = compare('exemplars', turns, o)
        rows += [{**row, 'peak_megabytes': round(peaks['exemplars', row['row']])} for row in found]
    if o.case in ('penalty', 'all'):
        of = {p: trainer_of('stargan', 'none', o, penalty=p) for p in ('autograd', 'closed_form')}
        rows += compare('penalty', {p: cycle_runner(t, batch, o, only='D') for p, t in of.items()}, o)
    if o.case in ('norm', 'all'):
        rows += compare('norm', {n: norm_runner(n, batch, o) for n in ('InstanceNorm2d', 'instance_norm')}, o)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--case', choices=('cam', 'secgan', 'domains', 'exemplars', 'penalty', 'norm', 'all'), default='all')
    for name, default in {'size': 64, 'width': 16, 'batch': 16, 'rounds': 7, 'threads': torch.get_num_threads()}.items():
        parser.add_argument(f'--{name}', type=int, default=default)
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--json', help='also writes a record here')
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    rows = measure(o)
    columns = ('case', 'row', 's_per_1000_images', 'ratio_all', 'D_step_s', 'ratio_D', 'D_seg_step_s', 'G_step_s', 'ratio_G',
               'G_seg_step_s', 'peak_megabytes', 'store_bytes_a_picture')
    for line in [dict(zip(columns, columns, strict=True)), *rows]:
        print(*(f'{line.get(c, ""):>{max(13, len(c))}}' for c in columns), sep='  ')
    for update, passes in PASSES.items() if o.case in ('cam', 'all') else ():
        print(f"extra in 'both', {update} step: {passes}")
    record = {'command': shlex.join(['python', *sys.argv]), 'date': date.today().isoformat(), 'hardware': hardware(o.device),
              'torch': torch.__version__, **{k: getattr(o, k) for k in ('device', 'threads', 'size', 'width', 'batch', 'rounds')},
              'attributes': len(ATTRIBUTES), 'extra_passes': PASSES, 'rows': rows}
    if o.json:
        with open(o.json, 'w', encoding='utf-8') as file:
            file.write(json.dumps(record, indent=2) + '\n')


if __name__ == '__main__':
    main()
