"""Systems and ingredients at equal processor seconds: every row trains for so long at a constant rate, is stopped, and is scored.

    python benchmarks/equal_seconds.py TABLE [--seconds S] [--seeds 0 1 2] [--only ROW …] [--data FOLDER] [--judge RUN]
        [--parser RUN] [--n 150] [--print]
    python benchmarks/equal_seconds.py precision --iterations 1500 --seeds 0 1 2

Tables: `ingredients` (what each part of `local` is for, drawn faces), `critic` (its critic under systems that have another, drawn faces),
`faces` (systems, drawn faces), `leaves` (systems, class folders `healthy` and `rust` under FOLDER/train and FOLDER/test, read by the
classifier RUN), `precision` (float32 against bf16; with `--iterations` every row trains for so many, as its recipe would, and its seconds
go into its record). Seconds are of the process in training, all its threads, so that other work on the machine costs no row its turn;
pictures are stored before they begin. One JSON a row and seed under results/equal_seconds/, written once and reused. `--print` only
prints the table of what there is, in Markdown.
"""
from __future__ import annotations

import argparse
import functools
import json
import signal
import statistics
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from labelled import WEIGHTS, labelled

from retouch.data.sets import open_set
from retouch.evaluation.evaluate import Request, evaluate
from retouch.files import write_atomically
from retouch.model import CONFIG
from retouch.recipes.registry import load_run
from retouch.run import Run
from retouch.training import runs_folder, train_run

RESULTS = Path(__file__).parent / 'results' / 'equal_seconds'
NEVER = 10 ** 6                  # iterations nobody reaches: rates that fall towards the end of a training stay as they are
ALL: dict[str, Any] = {'train.iterations': NEVER, 'train.threads': 1, 'train.sample_every': NEVER, 'train.save_every': NEVER,
                       'train.ema': 0.99}
Row = tuple[str, dict[str, Any]]                                 # recipe, settings changed
PHOTOGRAPHS = {'data.size': 128, 'train.precision': 'bf16-mixed'}
CLASSES = {**PHOTOGRAPHS, 'method.labels': 'single', 'data.targets': 'other', 'data.balance': True}
DOMAINS = {**PHOTOGRAPHS, 'data.load_size': 144, 'data.attribute': 'healthy/rust'}
LOCAL: dict[str, dict[str, Any]] = {
    'all of it': {},
    'scores without labels': {'method.projection': False, 'method.lambda_wrong': 0},
    'no wrong pairs': {'method.lambda_wrong': 0},
    'the last scale alone': {'method.scales': 'last'},
    'local scales alone': {'method.scales': 'local'},
    'Wasserstein penalty': {'method.penalty': 'wgan', 'method.gamma': 20, 'method.lambda_wrong': 0},
    'no class head': {'method.lambda_cls': 0},
    'no mask prior': {'method.lambda_binary': 0},
    'sharp masks in half of the rows': {'method.sharp': 0.5},
    'no skips': {'method.skips': False},
    'transposed convolutions': {'method.upsample': 'deconv'},
    'told the target, not the difference': {'method.condition': 'target'},
}
FACES = {'data.size': 64, 'data.n': 6000, 'train.precision': 'bf16-mixed'}
LABELLED = ' with the critic of local'                            # how the name of a row ends whose system `labelled` makes


def critics() -> dict[str, Row]:
    """AGGAN-multi, CAM and SeCGAN, each as it is and with `labelled`'s critic and that critic's weights and rate."""
    rows: dict[str, Row] = {}
    for name, recipe in (('aggan_multi', 'aggan_multi.toyfaces'), ('cam (StarGAN)', 'cam.stargan_toyfaces'),
                         ('secgan (StarGAN)', 'secgan.stargan_toyfaces')):
        room = 'method' if name == 'aggan_multi' else 'method.backbone'
        rows |= {name: (recipe, FACES), name + LABELLED: (recipe, {**FACES, **{f'{room}.{field}': v for field, v in WEIGHTS.items()}})}
    return rows


TABLES: dict[str, dict[str, Row]] = {
    'critic': critics(),
    'ingredients': {name: ('local.toyfaces64', changes) for name, changes in LOCAL.items()},
    'faces': {'local': ('local.demo', FACES), 'local, with skips': ('local.toyfaces64', FACES),
              **{name: (f'{name}.toyfaces', FACES) for name in ('aggan_multi', 'stargan', 'attgan', 'stgan')},
              'cam (StarGAN)': ('cam.stargan_toyfaces', FACES), 'cam (AttGAN)': ('cam.attgan_toyfaces', FACES),
              'secgan (StarGAN)': ('secgan.stargan_toyfaces', FACES)},
    'leaves': {'local': ('local.leaves', {'method.head_start': 100}),              # its share of so short a training
               'aggan_multi': ('aggan_multi.folder64', CLASSES), 'stargan': ('stargan.folder64', CLASSES),
               'cam (StarGAN)': ('cam.stargan_toyfaces', {**{name.replace('labels', 'backbone.labels'): v for name, v in CLASSES.items()},
                                                          'method.backbone.blocks': 3, 'data.attributes': ()}),
               **{name: (f'{name}.folder64', {**DOMAINS, **changes}) for name, changes in (
                   ('attentiongan', {}), ('aggan', {'method.lambda_tv': 4e-6}), ('cyclegan', {}))}},
    'precision': {f'{recipe}, {name}': (recipe, {'train.precision': precision}) for recipe in ('stargan.toyfaces', 'cyclegan.toyfaces')
                  for name, precision in (('float32', '32-true'), ('bf16', 'bf16-mixed'))},
}
MEASURES = {'edit_accuracy': ('accuracy', 3), 'psnr_outside': ('outside, dB', 2), 'psnr_truth': ('to the truth, dB', 2),
            'mask_iou': ('mask IoU', 3), 'mask_area': ('mask area', 3), 'leakage': ('leakage', 4), 'untouched': ('pixels untouched', 3)}


def changed(run: Run, changes: dict[str, Any]) -> Run:
    """A run with settings changed, by dotted name."""
    dumped = run.model_dump()
    for name, value in changes.items():
        *rooms, field = name.split('.')
        functools.reduce(dict.__getitem__, rooms, dumped)[field] = value
    return Run.model_validate(dumped)


def path_of(table: str, row: str, seed: int) -> Path:
    """Where a row's record lies."""
    return RESULTS / f'{table}-{"-".join(row.replace(",", "").replace("(", "").replace(")", "").split())}-s{seed}.json'


def iteration_of(out: Path) -> int:
    """How many iterations the model in a run directory has learned for."""
    return json.loads((out / 'model' / CONFIG).read_text())['info']['iteration']


def measure(table: str, row: str, seed: int, seconds: float, iterations: int | None, n: int, data: str | None, judge: str | None,
            parser: str | None) -> None:
    """Trains a row for so many seconds of the processor, or so many iterations, scores it and writes its record."""
    recipe, changes = TABLES[table][row]
    settings = {**ALL, **changes, **({'data.source': data} if data else {}), **({'train.iterations': iterations} if iterations else {}),
                **({'method.parser': parser} if 'secgan' in recipe else {})}
    run = changed(load_run(recipe), settings).model_copy(update={'seed': seed})
    open_set(run.data)
    out = runs_folder() / 'equal_seconds' / path_of(table, row, seed).stem
    taken = out / 'seconds.json'                                 # written where a training came to its end, and to no other
    with labelled() if row.endswith(LABELLED) else nullcontext():
        if not taken.is_file():
            rung = list[int]()
            if not iterations:
                signal.signal(signal.SIGPROF, lambda number, _: (rung.append(number), signal.raise_signal(signal.SIGINT)))
                signal.setitimer(signal.ITIMER_PROF, seconds)
            began = time.process_time()
            train_run(run, out, None)
            spent = round(time.process_time() - began, 1)
            if not rung and iteration_of(out) != iterations:
                raise SystemExit(f'{row}: stopped before its end; remove {out} and start again')
            write_atomically(taken, json.dumps(spent).encode())
        card = evaluate(Request(out, n=n, judge=judge)).card
    told = {k: v for k, v in settings.items() if k not in ('data.source', 'method.parser')}      # no folders of a machine
    record = {'table': table, 'row': row, 'recipe': recipe, 'changes': told,
              'seed': seed, 'seconds': json.loads(taken.read_text()), 'images_seen': iteration_of(out) * run.train.batch_size,
              'n': card.n, 'protocol': card.protocol, 'hardware': card.hardware,
              'measures': {name: card.measures[name].model_dump(mode='json') for name in MEASURES if name in card.measures}}
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_atomically(path_of(table, row, seed), (json.dumps(record, indent=1) + '\n').encode())


def markdown(table: str) -> str:
    """The table of the records there are: means over seeds, with their range where there are several."""
    found = {row: [json.loads(p.read_text()) for p in sorted(RESULTS.glob(path_of(table, row, 0).stem[:-1] + '*.json'))]
             for row in TABLES[table]}
    shown = [name for name in MEASURES if any(name in r['measures'] for records in found.values() for r in records)]
    heads = ['', 'seeds', 'pictures seen', 'seconds', *(MEASURES[name][0] for name in shown)]
    lines = ['| ' + ' | '.join(heads) + ' |', '|' + '---|' * len(heads)]
    for row, records in found.items():
        cells = [str(len(records)), f'{statistics.mean(r["images_seen"] for r in records):,.0f}' if records else '']
        cells.append(f'{statistics.mean(r["seconds"] for r in records):.0f}' if records else '')
        for name in shown:
            values, digits = [r['measures'][name]['value'] for r in records if name in r['measures']], MEASURES[name][1]
            values = [v for v in values if v is not None]
            spread = f' ({min(values):.{digits}f} to {max(values):.{digits}f})' if len(values) > 1 else ''
            cells.append(f'{statistics.mean(values):.{digits}f}{spread}' if values else '–')
        lines.append(f'| {row} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def main() -> None:
    """Runs what is missing, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('table', choices=TABLES)
    parser.add_argument('--seconds', type=float, default=120)
    parser.add_argument('--iterations', type=int)
    parser.add_argument('--seeds', type=int, nargs='*', default=[0])
    parser.add_argument('--only', nargs='*', default=[])
    parser.add_argument('--data')
    parser.add_argument('--judge')
    parser.add_argument('--parser', help='a face parser of 64 px, for SeCGAN')
    parser.add_argument('--n', type=int, default=150)
    parser.add_argument('--print', action='store_true')
    options = parser.parse_args()
    rows = [row for row in TABLES[options.table] if not options.only or row in options.only]
    if not options.print and not options.parser and any('secgan' in TABLES[options.table][row][0] for row in rows):
        parser.error('SeCGAN needs a face parser: give --parser RUN, or leave its rows out by --only')
    for seed in options.seeds if not options.print else ():
        for row in rows:
            if not path_of(options.table, row, seed).is_file():
                measure(options.table, row, seed, options.seconds, options.iterations, options.n, options.data, options.judge,
                        options.parser)
    print(markdown(options.table))


if __name__ == '__main__':
    main()
