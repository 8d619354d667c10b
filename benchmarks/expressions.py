"""How well a system does what is asked by degrees: drawn faces along a ramp of every expression, beside the true pictures.

    python benchmarks/expressions.py MODEL [--n 100] [--out benchmarks/results/expressions/NAME.json]

MODEL is a run of `ganimation.toyfaces_expressions` or of another attribute system on the same data. Every held-out face is asked for 0,
1/4, 1/2, 3/4 and 1 of one expression, the others as they truly are. What an edit shows is read off without a network: of 21 true pictures
of the same face along the ramp, the amount of the one that is nearest to it (squared error over the region in which the ends of the ramp
differ by more than 0.1 of [-1,1]). Faces whose ramp has no such region are left out of that expression; the others are counted. Beside it
stands `copy`, the input as it is.
"""
from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from retouch.engine.update import AttributeRequest
from retouch.evaluation.scoring import pictures_to_tensor
from retouch.metrics.psnr import mse_to_psnr
from retouch.model import load_model
from retouch.toyfaces.expressions import EXPRESSIONS, expressive_face, render_expressions
from retouch.toyfaces.faces import REGION_THRESHOLD
from retouch.toyfaces.stored import HELD_OUT

ASKED = np.linspace(0, 1, 5)
SEEN = np.linspace(0, 1, 21)


def ramp_of(index: int, column: int, size: int, seed: int = 0) -> np.ndarray:
    """The true pictures of one face along the ramp of one expression: uint8 [21,S,S,3]."""
    identity, labels, amounts = expressive_face(index, seed)
    rows = np.repeat(amounts[None], len(SEEN), 0)
    rows[:, column] = SEEN
    return np.stack([render_expressions(identity, labels, row, size) for row in rows])


def scores(shown: np.ndarray, ramps: np.ndarray) -> dict[str, float]:
    """What edits show against what was asked.

    Args:
        shown: uint8 [M,5,S,S,3], edits of M faces asked for `ASKED`.
        ramps: uint8 [M,21,S,S,3], the true pictures of the same faces.

    Returns:
        correlation of amounts shown and asked over all edits (0 where they are all alike), mean absolute error of the amount, PSNR in dB
        to the true picture of the amount that was asked, of all pixels together, and how many faces were counted.
    """
    region = np.abs(ramps[:, 0].astype(np.int16) - ramps[:, -1]).max(-1) > REGION_THRESHOLD                 # [M,S,S]
    some = region.any((1, 2))
    amounts, errors = [], []
    for edits, ramp, where in zip(shown[some], ramps[some], region[some], strict=True):
        inside = ((edits[:, None, where].astype(np.float64) - ramp[None, :, where]) ** 2).mean((2, 3))     # [5,21]
        amounts.append(SEEN[inside.argmin(1)])
        truth = ramp[np.searchsorted(SEEN, ASKED - 1e-9)]
        errors.append(((edits.astype(np.float64) - truth) ** 2).mean())
    found, asked = np.array(amounts), np.broadcast_to(ASKED, (len(amounts), len(ASKED)))
    alike = found.std() == 0
    return {'correlation': 0.0 if alike else float(np.corrcoef(found.ravel(), asked.ravel())[0, 1]),
            'error': float(np.abs(found - asked).mean()), 'psnr_truth': float(mse_to_psnr(np.asarray(np.mean(errors)))),
            'faces': int(some.sum())}


def measure(model_path: Path, n: int) -> dict[str, dict[str, dict[str, float]]]:
    """Expression -> 'model' and 'copy' -> scores, on the first n held-out faces; the mask's area beside the model's, where it has one."""
    model = load_model(model_path, torch.device('cpu'))
    names, size = model.data.attributes, model.data.size
    if not model.data.amounts:
        raise SystemExit(f'{model_path} knows {", ".join(names)}: expected a model of expressions, as ganimation.toyfaces_expressions is')
    faces = [expressive_face(HELD_OUT + i) for i in range(n)]
    images = np.stack([render_expressions(*face, size) for face in faces])
    columns = [EXPRESSIONS.index(name) for name in names]
    own = torch.from_numpy(np.stack([amounts[columns] for _, _, amounts in faces]))
    table: dict[str, dict[str, dict[str, float]]] = {}
    for k, (name, column) in enumerate(zip(names, columns, strict=True)):
        shown, areas = [], []
        for amount in ASKED:
            target = own.clone()
            target[:, k] = float(amount)
            with torch.no_grad():
                made = model.method.translate(AttributeRequest(pictures_to_tensor(images), own, target))
            shown.append(((made.image + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy())
            if made.mask is not None:
                areas.append(float(made.mask.mean()))
        ramps = np.stack([ramp_of(HELD_OUT + i, column, size) for i in range(n)])
        table[name] = {'model': scores(np.stack(shown, 1), ramps), 'copy': scores(np.repeat(images[:, None], len(ASKED), 1), ramps)}
        if areas:
            table[name]['model']['mask_area'] = float(np.mean(areas))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('model', type=Path)
    parser.add_argument('--n', type=int, default=100)
    parser.add_argument('--out', type=Path)
    options = parser.parse_args()
    table = measure(options.model, options.n)
    print('| expression | row | correlation | error | PSNR to the truth, dB | mask area | faces |\n|---|---|---|---|---|---|---|')
    for name, rows in table.items():
        for row, found in rows.items():
            numbers = (f'{found["correlation"]:.3f}', f'{found["error"]:.3f}', f'{found["psnr_truth"]:.2f}',
                       f'{found["mask_area"]:.3f}' if 'mask_area' in found else '–', found['faces'])
            print('|', name, '|', row, '|', *(f'{number} |' for number in numbers))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        command = f'python benchmarks/expressions.py RUN --n {options.n}'
        record = {'command': command, 'n': options.n, 'torch': torch.__version__.split('+')[0]}
        options.out.write_text(json.dumps({**record, 'table': table}, indent=2) + '\n')


if __name__ == '__main__':
    main()
