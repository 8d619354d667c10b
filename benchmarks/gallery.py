"""The leaderboard in pictures: the same held-out faces edited by every row, and where each edit differs from its input.

    python benchmarks/gallery.py [--runs DIR] [--out docs/images/leaderboard.png]

Runs are those of `retouch compare --suite toyfaces` (`<recipe>-s<seed>`), of a row the first seed that is there. A run whose weights are
not those of the committed record is refused; rows without a run are left out and named.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from leaderboard import RESULTS
from PIL import Image, ImageDraw, ImageFont

from retouch.editor.difference import difference_map
from retouch.evaluation.suite import read_record, record_path
from retouch.model import load_model
from retouch.recipes.suite import SUITES
from retouch.report.gallery import GalleryRow, eyeglasses_rows
from retouch.training import runs_folder

ZOOM, FACES, LABEL, GAP = 2, 6, 210, 12
INK, PAPER = (30, 30, 30), (255, 255, 255)


def edits_of(recipe: str, seed: int, run: Path) -> list[GalleryRow]:
    """The first faces of the task as a run edits them. ValueError for a run without a record or with other weights."""
    path = record_path(RESULTS, recipe, seed)
    if not path.is_file():
        raise ValueError(f'{run} has no record {path.name} in {path.parent}: score it first')
    card, model = read_record(path)['card'], load_model(run)
    if model.weights_sha256 != card['checkpoint']['sha256']:
        raise ValueError(f'{run} has weights {model.weights_sha256[:12]}…, the record of {recipe} {card["checkpoint"]["sha256"][:12]}…: '
                         'expected the run that was scored; train it again as the record says')
    return eyeglasses_rows(model, card['n'], card['seed'], FACES)


def sheet(rows: dict[str, list[GalleryRow]]) -> Image.Image:
    """A line a row: its name, the edits, and their differences from the inputs; above them inputs and true results."""
    faces = next(iter(rows.values()))
    inputs, truths = ([face.panels[name] for face in faces] for name in ('input', 'truth'))
    lines = {'input': [inputs], 'truth': [truths, [difference_map(y, x) for y, x in zip(truths, inputs, strict=True)]]}
    lines |= {name: [[face.panels[panel] for face in row] for panel in ('edit', 'difference')] for name, row in rows.items()}
    side, font = inputs[0].shape[0] * ZOOM, ImageFont.load_default(15)
    picture = Image.new('RGB', (LABEL + 2 * FACES * side + GAP, len(lines) * side), PAPER)
    draw = ImageDraw.Draw(picture)
    for i, (name, blocks) in enumerate(lines.items()):
        draw.text((6, i * side + side // 2), name, INK, font, anchor='lm')
        for j, block in enumerate(blocks):
            strip = Image.fromarray(np.concatenate(block, 1))
            picture.paste(strip.resize((strip.width * ZOOM, strip.height * ZOOM), Image.Resampling.NEAREST),
                          (LABEL + j * (FACES * side + GAP), i * side))
    return picture


def main() -> None:
    """Writes the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--runs', type=Path, default=runs_folder())
    parser.add_argument('--out', type=Path, default=Path(__file__).parents[1] / 'docs/images/leaderboard.png')
    options = parser.parse_args()
    rows: dict[str, list[GalleryRow]] = {}
    for recipe, seeds in SUITES['toyfaces'].items():
        runs = {seed: run for seed in seeds if ((run := options.runs / f'{recipe}-s{seed}') / 'model').is_dir()}
        if runs:
            seed, run = min(runs.items())
            rows[recipe + f' ({seed})' * bool(seed)] = edits_of(recipe, seed, run)
        else:
            print(f'{recipe}: no run in {options.runs}')
    if not rows:
        raise ValueError(f'{options.runs}: no run of the suite; expected those of `retouch compare --suite toyfaces`')
    sheet(rows).save(options.out, optimize=True)
    print(f'written: {options.out}')


if __name__ == '__main__':
    main()
