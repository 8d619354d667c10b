"""What the distances of features answer to: true edits of drawn faces, damaged more and more, against true edits of other faces.

    python benchmarks/damage.py [--n 150] [--out docs/images/damage.png]
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from retouch.metrics.fidelity import SETS, features_to_fidelity
from retouch.metrics.judge import Judge, load_judge
from retouch.metrics.scoring import pictures_to_tensor
from retouch.metrics.truth import held_out_faces, true_edits

SIZE, EDIT, ZOOM = 64, 'Blond_Hair', 2
STRENGTHS: dict[str, tuple[float, ...]] = {
    'blur, sigma in px': (0, 0.5, 1, 2, 4), 'noise, sigma in 8-bit levels': (0, 8, 16, 32, 64),
    'red added, 8-bit levels': (0, 12, 25, 50, 100), 'edit in a wrong place, px aside': (0, 2, 4, 8, 16)}
PROXIES = {'fid': 'Frechet', 'kid': 'kernel'}                      # a proxy's distances are not called FID and KID in a picture


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
        drawn = torch.randn(truths.shape, generator=torch.Generator().manual_seed(0))
        return (truths + drawn * strength / 127.5).clamp(-1, 1)
    if kind.startswith('red'):
        return (truths + torch.tensor([strength / 127.5, 0, 0])[:, None, None]).clamp(-1, 1)
    moved, where = (torch.roll(some, int(strength), 3) for some in (truths, regions))
    return torch.where(where, moved, inputs)


def damages_to_values(n: int, judge: Judge | None = None) -> tuple[dict[str, list[dict[str, float]]], dict[str, list[np.ndarray]]]:
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
    values: dict[str, list[dict[str, float]]] = {}
    pictures: dict[str, list[np.ndarray]] = {}
    for kind, strengths in STRENGTHS.items():
        values[kind], pictures[kind] = [], []
        for strength in strengths:
            fake = damage(kind, strength, inputs, truths, regions)
            values[kind].append(features_to_fidelity(real, judge.look(fake)[1], SETS))
            pictures[kind].append(((fake[shown] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())
    return values, pictures


def draw(values: dict[str, list[dict[str, float]]], pictures: dict[str, list[np.ndarray]]) -> Image.Image:
    """A row of pictures for each kind of damage, with what was measured over all of them below each."""
    side, line, gap, font = SIZE * ZOOM, 16, 14, ImageFont.load_default(13)
    height = side + (len(SETS) + 2) * line + gap
    columns = max(map(len, STRENGTHS.values()))
    sheet = Image.new('RGB', (columns * (side + gap) + gap, len(STRENGTHS) * height + gap), 'white')
    pen = ImageDraw.Draw(sheet)
    for row, (kind, strengths) in enumerate(STRENGTHS.items()):
        top = gap + row * height
        pen.text((gap, top - 4), kind, 'black', font)
        for column, strength in enumerate(strengths):
            left = gap + column * (side + gap)
            sheet.paste(Image.fromarray(pictures[kind][column]).resize((side, side), Image.Resampling.NEAREST), (left, top + line))
            texts = [f'{strength:g}', *(f'{name} {value:.2f}' if name in ('precision', 'recall') else f'{PROXIES[name]} {value:,.0f}'
                                        for name, value in values[kind][column].items())]
            for i, text in enumerate(texts):
                pen.text((left, top + line + side + i * line), text, 'black', font)
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--n', type=int, default=150)
    parser.add_argument('--out', type=Path, default=Path('docs/images/damage.png'))
    options = parser.parse_args()
    values, pictures = damages_to_values(options.n)
    for kind, measured in values.items():
        for strength, found in zip(STRENGTHS[kind], measured, strict=True):
            print(f'{kind:32s} {strength:6g}', *(f'{name} {value:12.3f}' for name, value in found.items()))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    draw(values, pictures).quantize(256).save(options.out, optimize=True)


if __name__ == '__main__':
    main()
