"""Trains and scores the rows of a table, one after another; one JSON a row and seed, written once and reused.

    python benchmarks/rows.py TABLE [--seeds 0,1,2] [--only RECIPE …] [--n 500] [--threads 2] [--judge RUN] [--parser RUN] [--print]

Runs go to RETOUCH_RUNS (or runs/) and continue where they were stopped; cards go to benchmarks/results/rows/<recipe>-s<seed>.json. A row
whose JSON is there is never trained again: delete the file to measure it anew. `--print` only prints the table of what there is, with
the rows that have not been run, in Markdown. `--judge` names the parser that reads the pictures of table `parse_to_picture`,
`--parser` the one that guides SeCGAN's rows.
"""
from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from retouch.data import toyfaces
from retouch.engine.update import AttributeRequest
from retouch.metrics.psnr import squared_error_inside_outside, squared_error_to_psnr
from retouch.metrics.scoring import pictures_to_tensor
from retouch.metrics.truth import held_out_faces
from retouch.model import load_model

RESULTS = Path(__file__).parent / 'results' / 'rows'
ABLATION = ('', '_generator', '_discriminator', '_literal')
# table -> recipe -> seeds: three for the baseline and the full system, one elsewhere
TABLES: dict[str, dict[str, tuple[int, ...]]] = {
    'cam_stargan': {'stargan.toyfaces': (0, 1, 2), **{f'cam.stargan_toyfaces{row}': (0, 1, 2) if not row else (0,) for row in ABLATION}},
    'cam_attgan': {'attgan.toyfaces': (0, 1), **{f'cam.attgan_toyfaces{row}': (0,) if row else (0, 1) for row in ABLATION}},
    'cam_stgan': {'stgan.toyfaces': (0,), **{f'cam.stgan_toyfaces{row}': (0,) for row in ABLATION}},
}
TABLES |= {
    'eyeglasses': {'cyclegan.toyfaces': (0, 1, 2), 'aggan.toyfaces': (0, 1, 2),
                   **{f'aggan.toyfaces_{row}': (0,) for row in ('no_ad', 'no_ad_ag', 'no_ad_pl', 'no_ad_al', 'no_ad_pl_al')},
                   'asgit.toyfaces': (0, 1, 2), **{f'asgit.toyfaces_{row}': (0,) for row in ('pha_alpha', 'tam_rhp', 'tam_alpha')},
                   'attentiongan.toyfaces': (0,)},
    'parse_to_picture': {name: (0,) for name in ('pix2pix.toyfaces_gan', 'pix2pix.toyfaces_cgan', 'pix2pix.toyfaces',
                                                 'asgit_pairs.toyfaces', 'asgit_pairs.toyfaces_tam')},
    'picture_to_parse': {name: (0,) for name in ('pix2pix.toyfaces_back_gan', 'pix2pix.toyfaces_back_cgan', 'pix2pix.toyfaces_back',
                                                 'asgit_pairs.toyfaces_back', 'asgit_pairs.toyfaces_back_tam')},
}
TABLES |= {
    'secgan_stargan': {'stargan.toyfaces': (0, 1, 2), 'secgan.stargan_toyfaces': (0, 1, 2),
                       **{f'secgan.stargan_toyfaces_{row}': (0,) for row in ('concat', 'sc0', 'sc1e-3', 'sc1e-1')}},
    'secgan_attgan': {'secgan.attgan_toyfaces_sc0': (0,), 'secgan.attgan_toyfaces': (0,)},     # attgan.toyfaces is told the target
}
TABLES |= {'exemplars': {'lomit.toyfaces_hair': (0, 1, 2), 'munit.toyfaces_hair': (0,), 'drit.toyfaces_hair': (0,)},
           'exemplars_of_five': {'lomit.toyfaces': (0,)}}
EDITS = {'edit_accuracy': ('edit accuracy', 3), 'psnr_outside': ('PSNR outside, dB', 2), 'psnr_truth': ('PSNR to the truth, dB', 2),
           'leakage': ('leakage', 3), 'mask_iou[gradcam]': ('Grad-CAM IoU', 3), 'fid[toyfaces_classifier]': ('Frechet, proxy', 0)}
DOMAINS = {'edit_accuracy': ('edit accuracy', 3), 'psnr_truth_per_image': ('PSNR to the truth a picture, dB', 2), 'mse_truth': ('MSE', 1),
           'psnr_outside': ('PSNR outside, dB', 2), 'mask_iou': ('mask IoU', 3), 'mask_area': ('mask area', 3),
           'kid[toyfaces_classifier]': ('kernel distance to the target, proxy', 0), 'kid_fused[toyfaces_classifier]': ('fused', 0)}
PAIRS = {'fcn_pixel_accuracy': ('pixel accuracy', 3), 'fcn_class_accuracy': ('class accuracy', 3), 'fcn_iou': ('class IoU', 3),
         'psnr_truth': ('PSNR to the truth, dB', 2), 'ssim_truth': ('SSIM', 3)}
EXEMPLARS = {'edit_accuracy': ('edit accuracy', 3), 'psnr_outside': ('PSNR outside, dB', 2), 'psnr_truth': ('PSNR to the truth, dB', 2),
             'style_distance': ('hair colour, 8-bit levels', 1), 'mask_iou': ('mask IoU', 3), 'mask_iou_exemplar': ("exemplar's", 3),
             'mask_area': ('mask area', 3), 'mask_area_exemplar': ("exemplar's", 3),
             'inception_score[toyfaces_classifier]': ('Inception, proxy', 2), 'inception_kl[toyfaces_classifier]': ('its logarithm', 3)}
# of all other tables: EDITS
COLUMNS = {'eyeglasses': DOMAINS, 'parse_to_picture': PAIRS, 'picture_to_parse': PAIRS, 'exemplars': EXEMPLARS,
           'exemplars_of_five': EXEMPLARS}


def row(recipe: str, seed: int, n: int, threads: int, judge: str | None = None, parser: str | None = None,
        protocol: str | None = None) -> None:
    """Trains (or continues) a row and writes its JSON."""
    out = Path(os.environ.get('RETOUCH_RUNS') or 'runs') / f'{recipe}-s{seed}'
    retouch = [sys.executable, '-m', 'retouch']
    guided = ['--method.parser', parser] if parser and recipe.startswith('secgan.') else []
    command = ['train', recipe, '--seed', str(seed), '--out', str(out), '--resume', 'auto', '--train.threads', str(threads), *guided]
    subprocess.run([*retouch, *command], check=True)
    asked = ['--n', str(n), *(('--protocol', protocol) if protocol else ())]
    scoring = ['evaluate', str(out), *asked, *(('--judge', judge) if judge else ())]
    card = subprocess.run([*retouch, *scoring, '--json'], check=True, stdout=subprocess.PIPE, text=True).stdout
    for place, name in ((out, 'RUN'), (judge, 'JUDGE'), (parser, 'PARSER')):
        card = card.replace(str(place), name)
    times = [json.loads(line) for line in (out / 'time.jsonl').read_text().splitlines()]
    run = json.loads((out / 'run.json').read_text())
    train = run['run']['train']
    commands = [f'retouch train {recipe} --seed {seed}' + ' --method.parser PARSER' * bool(guided),
                f'retouch evaluate RUN {" ".join(asked)}' + ' --judge JUDGE' * bool(judge)]
    record = {'recipe': recipe, 'seed': seed, 'commands': commands,
              'git': run['git'], 'hardware': times[-1]['hardware'], 'threads': threads,
              'seconds': round(sum(t['seconds'] for t in times), 1), 'images': train['iterations'] * train['batch_size'],
              'psnr_unedited': unedited(out, n), 'card': json.loads(card)}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f'{recipe}-s{seed}.json').write_text(json.dumps(record, indent=1) + '\n')


def unedited(run: Path, n: int) -> float | None:
    """Pooled PSNR in dB of held-out faces that are asked to stay as they are: whether a system without a mask has learned to copy.

    None where every byte is kept, and for systems that cannot be asked: they have no attributes.
    """
    model = load_model(run)
    if model.method.kind != 'attributes':
        return None
    images, labels = held_out_faces(n, model.data.size)
    known = torch.from_numpy(labels[:, [toyfaces.ATTRIBUTES.index(name) for name in model.data.attributes]]).float()
    x = pictures_to_tensor(images)
    with torch.no_grad():
        y = torch.cat([model.method.translate(AttributeRequest(a, b, b)).image for a, b in zip(x.split(64), known.split(64), strict=True)])
    error = squared_error_inside_outside(y, x, torch.ones(n, 1, *x.shape[2:], dtype=torch.bool))
    value = squared_error_to_psnr(error.inside, error.inside_count)
    return None if value is None else round(value, 2)


def table(name: str) -> str:
    """Markdown: the mean over seeds and, for several, the lowest and highest. SystemExit where records cannot stand in one table."""
    recipes, columns = TABLES[name], COLUMNS.get(name, EDITS)
    asked = columns is EDITS                                     # attribute systems can be asked to leave a face as it is
    head = ['recipe', 'seeds', *(title for title, _ in columns.values()), *(['PSNR unedited, dB'] if asked else []), 'seconds']
    lines = ['| ' + ' | '.join(head) + ' |', '|---' * len(head) + '|']
    references: dict[str, Any] = {}
    first: dict[str, Any] = {}
    for recipe, seeds in recipes.items():
        files = [RESULTS / f'{recipe}-s{seed}.json' for seed in seeds]
        records = [json.loads(path.read_text()) for path in files if path.is_file()]
        if not records:
            lines.append(f'| `{recipe}` | not run |' + ' |' * (len(head) - 2))
            continue
        for r in records:
            first = first or r
            _refuse_unlike(first, r)
        cells = [_cell([r['card']['measures'].get(key, {}).get('value') for r in records], digits) for key, (_, digits) in columns.items()]
        cells += [_cell([r['psnr_unedited'] for r in records], 2)] if asked else []
        seconds = round(statistics.mean(r['seconds'] for r in records))
        lines.append(f'| `{recipe}` | {len(records)} of {len(seeds)} | ' + ' | '.join(cells) + f' | {seconds} |')
        references = records[0]['card']['references']
    for reference, measures in references.items():
        if reference == 'untrained':                                  # each row has its own
            continue
        cells = [_cell([measures.get(key, {}).get('value')], digits) for key, (_, digits) in columns.items()]
        lines.append(f'| {reference} | | ' + ' | '.join(cells) + ' | |' + ' |' * asked)
    return '\n'.join(lines)


def _refuse_unlike(a: dict[str, Any], b: dict[str, Any]) -> None:
    """SystemExit where two records were not scored on the same faces by the same judge."""
    facts = [{'n': r['card']['n'], 'judge': (r['card']['judge'] or {}).get('sha256'), 'data': r['card']['data']['hash']} for r in (a, b)]
    for name, ours in facts[0].items():
        theirs = facts[1][name]
        if ours != theirs:
            raise SystemExit(f"{b['recipe']}-s{b['seed']} has {name} {theirs}, {a['recipe']}-s{a['seed']} has {ours}: "
                             'one table needs one; delete the file that is out of date and measure it anew')


def _cell(values: list[float | None], digits: int) -> str:
    known = [v for v in values if v is not None]
    if not known:
        return '–'
    mean = f'{statistics.mean(known):.{digits}f}'
    return mean if len(known) == 1 else f'{mean} ({min(known):.{digits}f} to {max(known):.{digits}f})'


def main() -> None:
    """Runs what is missing, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('table', choices=TABLES)
    parser.add_argument('--seeds', default='')
    parser.add_argument('--only', nargs='*', default=[])
    parser.add_argument('--n', type=int, default=500)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--judge')
    parser.add_argument('--parser')
    parser.add_argument('--print', action='store_true')
    options = parser.parse_args()
    recipes = TABLES[options.table]
    chosen = {int(s) for s in options.seeds.split(',') if s}
    for recipe, seeds in recipes.items() if not options.print else ():
        for seed in seeds:
            wanted = (not chosen or seed in chosen) and (not options.only or recipe in options.only)
            if wanted and not (RESULTS / f'{recipe}-s{seed}.json').is_file():
                row(recipe, seed, options.n, options.threads, options.judge, options.parser,
                    'exemplars' if options.table == 'exemplars' else None)
    print(table(options.table))


if __name__ == '__main__':
    main()
