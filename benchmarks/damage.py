"""What measures answer to: true edits of drawn faces, their regions and parses, damaged more and more.

    python benchmarks/damage.py [--n 150] [--out docs/images]

Two sheets: damage.png, the distances of features to true edits of other faces; damage-scores.png, what compares a picture with its own
truth, reads it, or compares masks and parses.
"""
from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from retouch import toyfaces
from retouch.evaluation.judge import Judge, load_judge
from retouch.evaluation.scoring import REDUCE, Found, against_region, against_truth, pictures_to_tensor
from retouch.evaluation.tasks import true_edits
from retouch.metrics import accuracy, psnr
from retouch.metrics.bootstrap import Tally, pooled, tally_to_value
from retouch.metrics.fidelity import features_to_fidelity
from retouch.metrics.parses import parses_to_tallies
from retouch.toyfaces.stored import HELD_OUT, drawn, held_out_faces

SIZE, EDIT, ZOOM = 64, 'Blond_Hair', 2
STRENGTHS: dict[str, tuple[float, ...]] = {
    'blur, sigma in px': (0, 0.5, 1, 2, 4), 'noise, sigma in 8-bit levels': (0, 8, 16, 32, 64),
    'red added, 8-bit levels': (0, 12, 25, 50, 100), 'edit in a wrong place, px aside': (0, 2, 4, 8, 16)}
MASKS: dict[str, tuple[float, ...]] = {'mask in a wrong place, px aside': (0, 2, 4, 8, 16), 'mask too large, px around': (0, 1, 2, 4, 8)}
PARSES: dict[str, tuple[float, ...]] = {
    'parse in a wrong place, px aside': (0, 1, 2, 4, 8), 'pixels of any class, share': (0, 0.1, 0.2, 0.4, 0.8)}
# a proxy's distances are not called FID and KID in a picture
DISTANCES = {'fid': 'Frechet', 'kid': 'kernel', 'precision': 'precision', 'recall': 'recall'}
SCORES = {'psnr_outside': 'PSNR outside', 'ssim_outside': 'SSIM outside', 'psnr_truth': 'PSNR truth', 'edit_accuracy': 'accuracy',
          'leakage': 'leakage', 'mask_iou': 'IoU', 'pointing_game': 'pointing', 'mask_area': 'area', 'fcn_pixel_accuracy': 'pixel acc.',
          'fcn_class_accuracy': 'class acc.', 'fcn_iou': 'class IoU'}
Values, Pictures = dict[str, list[dict[str, float]]], dict[str, list[np.ndarray]]


def damage(kind: str, strength: float, inputs: Tensor, truths: Tensor, regions: Tensor) -> Tensor:
    """Damaged true results.

    Args:
        kind: one of STRENGTHS.
        strength: in its unit; 0 leaves them as they are.
        inputs: [N,3,S,S] in [-1,1], what was edited.
        truths: [N,3,S,S] in [-1,1].
        regions: bool [N,1,S,S], where they differ.
    """
    if kind.startswith('blur'):
        return gaussian_blur(truths, [33, 33], [strength, strength]) if strength else truths
    if kind.startswith('noise'):
        noise = torch.randn(truths.shape, generator=torch.Generator().manual_seed(0))
        return (truths + noise * strength / 127.5).clamp(-1, 1)
    if kind.startswith('red'):
        return (truths + torch.tensor([strength / 127.5, 0, 0])[:, None, None]).clamp(-1, 1)
    moved, where = (torch.roll(some, int(strength), 3) for some in (truths, regions))
    return torch.where(where, moved, inputs)


def damages_to_values(n: int, judge: Judge | None = None) -> tuple[Values, Pictures]:
    """Distances of n held-out faces' damaged edits to the true edits of n others, by the judge's features; and a picture of each strength.

    Returns:
        kind -> measures of every strength, and kind -> uint8 [S,S,3] of every strength.
    """
    judge = judge or load_judge()
    images, labels = held_out_faces(2 * n, SIZE)
    truth = true_edits((EDIT,), images, labels)[EDIT]
    first = truth.rows < n                                       # the others are what they are compared with
    real = judge.look(pictures_to_tensor(truth.images[~first]))[1]
    inputs, truths = pictures_to_tensor(images[truth.rows[first]]), pictures_to_tensor(truth.images[first])
    regions = torch.from_numpy(truth.regions[first]).unsqueeze(1)
    shown = int(regions.flatten(1).sum(1).argmax())
    values: Values = {}
    pictures: Pictures = {}
    for kind, strengths in STRENGTHS.items():
        values[kind], pictures[kind] = [], []
        for strength in strengths:
            fake = damage(kind, strength, inputs, truths, regions)
            values[kind].append(features_to_fidelity(real, judge.look(fake)[1], tuple(DISTANCES)))
            pictures[kind].append(_bytes(fake[shown]))
    return values, pictures


def damages_to_scores(n: int, judge: Judge | None = None) -> tuple[Values, Pictures]:
    """Scores of n held-out faces' damaged edits, regions and parses against the true ones, as `damages_to_values` returns distances."""
    judge = judge or load_judge()
    images, labels = held_out_faces(n, SIZE)
    truth = true_edits((EDIT,), images, labels)[EDIT]
    inputs, truths = pictures_to_tensor(images[truth.rows]), pictures_to_tensor(truth.images)
    regions = torch.from_numpy(np.array(truth.regions)).unsqueeze(1)
    column, shown = judge.column(EDIT), int(regions.flatten(1).sum(1).argmax())
    wanted = torch.from_numpy(truth.targets[:, [toyfaces.ATTRIBUTES.index(name) for name in judge.names]] > 0)
    expected = judge.look(truths)[0]
    parses = drawn(range(HELD_OUT, HELD_OUT + n), SIZE, 0)[1]
    values: Values = {kind: [] for kind in (*STRENGTHS, *MASKS, *PARSES)}
    pictures: Pictures = {kind: [] for kind in values}
    for kind, strengths in STRENGTHS.items():
        for strength in strengths:
            fake = psnr.to_bytes(damage(kind, strength, inputs, truths, regions)).float() / 127.5 - 1
            read = judge.look(fake)[0]
            changes = accuracy.readings_to_changes(read, expected)
            found = against_truth(fake, inputs, truths, regions)
            found |= {'edit_accuracy': (accuracy.readings_to_edit_accuracy(read, wanted, (column,)), None),
                      'leakage': (accuracy.changes_to_leakage(changes, (column,)), None)}
            values[kind].append(_values(found))
            pictures[kind].append(_bytes(fake[shown]))
    for kind, strengths in MASKS.items():
        for strength in strengths:
            mask = torch.roll(regions, int(strength), 3) if 'aside' in kind else _grown(regions, int(strength))
            values[kind].append(_values(against_region(mask.float(), regions)))
            pictures[kind].append(_bytes(torch.where(mask[shown], truths[shown], truths[shown] * 0.3 - 0.7)))
    rng = np.random.default_rng(0)
    for kind, strengths in PARSES.items():
        for strength in strengths:
            if 'aside' in kind:
                made = np.roll(parses, int(strength), 2)
            else:
                made = np.where(rng.random(parses.shape) < strength, rng.integers(0, len(toyfaces.CLASSES), parses.shape), parses)
            tallies = parses_to_tallies(made.astype(np.uint8), parses, len(toyfaces.CLASSES))
            values[kind].append({name: tally_to_value(tally) or 0.0 for name, tally in tallies.items()})
            pictures[kind].append(np.array(toyfaces.PALETTE, np.uint8)[made[truth.rows[shown]]])
    return values, pictures


def _values(found: Found) -> dict[str, float]:
    """Per-picture sums -> the measures of SCORES, by the card's own arithmetic; infinite where there is no error."""
    values = {}
    for name, (total, count) in found.items():
        if name in SCORES:
            weight = torch.ones(len(total)) if count is None else count
            value = tally_to_value(Tally(total.double().numpy()[None], weight.double().numpy()[None], REDUCE.get(name, pooled)))
            values[name] = float('inf') if value is None else value
    return values


def _grown(regions: Tensor, px: int) -> Tensor:
    return torch.nn.functional.max_pool2d(regions.float(), 2 * px + 1, 1, px) > 0


def _bytes(image: Tensor) -> np.ndarray:
    return ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()


def draw(values: Values, pictures: Pictures, names: dict[str, str], kinds: dict[str, tuple[float, ...]]) -> Image.Image:
    """A row of pictures for each kind of damage, with what was measured over all of them below each."""
    side, line, gap, font = SIZE * ZOOM, 16, 14, ImageFont.load_default(13)
    heights = [side + (len(values[kind][0]) + 2) * line + gap for kind in kinds]
    columns = max(map(len, kinds.values()))
    sheet = Image.new('RGB', (columns * (side + gap) + gap, sum(heights) + gap), 'white')
    pen = ImageDraw.Draw(sheet)
    for row, (kind, strengths) in enumerate(kinds.items()):
        top = gap + sum(heights[:row])
        pen.text((gap, top - 4), kind, 'black', font)
        for column, strength in enumerate(strengths):
            left = gap + column * (side + gap)
            sheet.paste(Image.fromarray(pictures[kind][column]).resize((side, side), Image.Resampling.NEAREST), (left, top + line))
            for i, text in enumerate([f'{strength:g}', *_texts(values[kind][column], names)]):
                pen.text((left, top + line + side + i * line), text, 'black', font)
    return sheet


def _texts(measured: dict[str, float], names: dict[str, str]) -> Iterable[str]:
    for name, value in measured.items():
        if name in ('fid', 'kid'):
            text = f'{value:,.0f}'
        elif name.startswith('psnr'):
            text = f'{value:.1f}' if np.isfinite(value) else 'no error'
        else:
            text = f'{value:.3f}' if name == 'leakage' and value < 0.01 else f'{value:.2f}'
        yield f'{names[name]} {text}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--n', type=int, default=150)
    parser.add_argument('--out', type=Path, default=Path('docs/images'))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for file, (values, pictures), names in (('damage', damages_to_values(options.n), DISTANCES),
                                            ('damage-scores', damages_to_scores(options.n), SCORES)):
        kinds = {kind: some for kind, some in {**STRENGTHS, **MASKS, **PARSES}.items() if kind in values}
        for kind, measured in values.items():
            for strength, found in zip(kinds[kind], measured, strict=True):
                print(f'{kind:34s} {strength:6g}', *(f'{name} {value:12.3f}' for name, value in found.items()))
        draw(values, pictures, names, kinds).quantize(256).save(options.out / f'{file}.png', optimize=True)


if __name__ == '__main__':
    main()
