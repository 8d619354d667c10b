"""Trains and scores the rows of a family's table, one after another; one JSON a row and seed, written once and reused.

    python benchmarks/rows.py TABLE [--seeds 0,1,2] [--only RECIPE …] [--n 500] [--threads 2] [--judge RUN] [--parser RUN] [--print]

Runs go to RETOUCH_RUNS (or runs/) and continue where they were stopped; cards go to benchmarks/results/rows/<recipe>-s<seed>.json. A row
whose JSON is there is never trained again: delete the file to measure it anew. `--print` only prints the table of what there is, with
the rows that have not been run, in Markdown. `--judge` names the parser that reads the pictures of table `parse_to_picture`,
`--parser` the one that guides SeCGAN's rows.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import torch

from retouch import toyfaces
from retouch.engine.update import AttributeRequest
from retouch.evaluation.evaluate import Request, evaluate
from retouch.evaluation.scoring import pictures_to_tensor
from retouch.evaluation.suite import Table, finish, load_row, record_path, records_to_table, row_to_record, write_record
from retouch.metrics.psnr import squared_error_inside_outside, squared_error_to_psnr
from retouch.model import load_model
from retouch.toyfaces.stored import held_out_faces
from retouch.training import runs_folder

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
                       **{f'secgan.stargan_toyfaces_{row}': (0,) for row in ('concat', 'sc1e-3', 'sc1e-1')}},    # sc0 is the first row
    'secgan_attgan': {'secgan.attgan_toyfaces_sc0': (0,), 'secgan.attgan_toyfaces': (0,)},     # attgan.toyfaces is told the target
}
TABLES |= {'exemplars': {'lomit.toyfaces_hair': (0, 1, 2), 'munit.toyfaces_hair': (0,), 'drit.toyfaces_hair': (0,)},
           'exemplars_of_five': {'lomit.toyfaces': (0,)}}
EDITS = {'edit_accuracy': ('edit accuracy', 3), 'psnr_outside': ('PSNR outside, dB', 2), 'psnr_truth': ('PSNR to the truth, dB', 2),
           'leakage': ('leakage', 3), 'mask_iou[gradcam]': ('Grad-CAM IoU', 3), 'fid[toyfaces_classifier]': ('Frechet, proxy', 0),
           'psnr_unedited': ('PSNR unedited, dB', 2)}     # attribute systems can be asked to leave a face as it is
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
    out, run = runs_folder() / f'{recipe}-s{seed}', load_row(recipe, seed, threads, parser)
    finish(run, out)
    card = evaluate(Request(out, n=n, judge=judge, protocol=protocol)).card
    if judge:
        card = card.model_copy(update={'command': card.command.replace(judge, 'JUDGE')})
    commands = [f'retouch train {recipe} --seed {seed}' + ' --method.parser PARSER' * bool(getattr(run.method, 'parser', '')),
                f'retouch evaluate RUN --n {n}' + (f' --protocol {protocol}' if protocol else '') + ' --judge JUDGE' * bool(judge)]
    write_record(RESULTS, {**row_to_record(run, out, card, commands), 'psnr_unedited': unedited(out, n)})


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


def table(name: str) -> Table:
    """A family's table. ValueError where records cannot stand in one."""
    return records_to_table(TABLES[name], {**COLUMNS.get(name, EDITS), 'seconds': ('seconds', 0)}, RESULTS)


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
            if wanted and not record_path(RESULTS, recipe, seed).is_file():
                row(recipe, seed, options.n, options.threads, options.judge, options.parser,
                    'exemplars' if options.table == 'exemplars' else None)
    try:
        print(table(options.table).markdown())
    except ValueError as error:
        raise SystemExit(str(error)) from error


if __name__ == '__main__':
    main()
