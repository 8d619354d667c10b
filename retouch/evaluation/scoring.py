"""One pass over edits: translate, compare, let the judge read, keep sums and features only."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retouch.engine.update import Translation
from retouch.evaluation.judge import Judge
from retouch.files import Pictures
from retouch.guidance.mask import check_mask
from retouch.metrics import accuracy, masks, psnr, ssim
from retouch.metrics.bootstrap import Tally, mean_over_attributes, pooled, pooled_psnr

REDUCE = {'edit_accuracy': mean_over_attributes, 'arrived': mean_over_attributes, 'leakage': mean_over_attributes,
          'psnr_outside': pooled_psnr, 'psnr_inside': pooled_psnr, 'psnr_truth': pooled_psnr, 'psnr_whole': pooled_psnr,
          'psnr_boundary': pooled_psnr, 'psnr_changed': pooled_psnr, 'psnr_outside[parser]': pooled_psnr,
          **{f'psnr_outside_per_image[{reading}]': mean_over_attributes for reading in ('parser', 'parser,union', 'parser,zero_fill')}}
WITH_TRUTH = ('edit_accuracy', 'leakage', 'psnr_outside', 'psnr_outside_per_image', 'psnr_inside', 'psnr_inside_per_image', 'psnr_truth',
              'psnr_truth_per_image', 'mse_truth', 'ssim_outside', 'mask_iou', 'mask_area', 'pointing_game')
WITHOUT_TRUTH = ('edit_accuracy', 'leakage', 'psnr_whole', 'untouched', 'untouched_outside_mask', 'mask_area')


@dataclass(frozen=True)
class Task:
    """One kind of edit, asked of M of the n pictures."""

    name: str                                        # row of the card: an attribute or a direction
    columns: tuple[int, ...] | None                  # the edited attributes among the judge's; None: the true result is the measure
    rows: np.ndarray                                 # int64 [M] which pictures
    wanted: Tensor | None                            # bool [M,J] labels after the edit, in the judge's columns
    request: Callable[[Tensor, slice], Any]          # (x [b,3,S,S], which of the M) -> what the method translates
    truth: Pictures | None = None                    # uint8 [M,S,S,3]
    region: Pictures | None = None                   # bool [M,S,S]


@dataclass
class Scores:
    """What a pass leaves behind."""

    tallies: dict[str, Tally]
    leakage: list[list[float]]                       # [K,J]; empty where nothing is expected of the judge
    features: list[Tensor] = field(default_factory=list)   # K times [M,F], the judge's
    seen: dict[str, list[Tensor]] = field(default_factory=dict)   # extractor -> K times [M,F'], its own


Answer = Callable[[Task, Tensor, slice], Translation]
Found = dict[str, tuple[Tensor, Tensor | None]]      # measure -> (numerators [b], weights [b] or None for 1)
More = Callable[[Task, Tensor, Tensor, slice], Found]            # (task, answer [b,3,S,S], input [b,3,S,S], which of the task's M)
Piece = Callable[[str, Callable[[], dict[str, np.ndarray]]], dict[str, np.ndarray]]    # (name, compute) -> its arrays, perhaps from before


def pictures_to_tensor(images: Pictures, device: torch.device | str = 'cpu') -> Tensor:
    """uint8 [N,S,S,3] -> float32 [N,3,S,S] in [-1,1]."""
    return torch.from_numpy(np.array(images, order='C')).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def in_batches(n: int, batch_size: int, compute: Callable[[slice], dict[str, np.ndarray]], piece: Piece | None = None,
               advance: Callable[[int], None] | None = None) -> dict[str, np.ndarray]:
    """What `compute` gives of n pictures, a batch at a time, its arrays joined along their first axis.

    Args:
        n: pictures, at least one.
        batch_size: pictures at once.
        compute: which of the n -> arrays [b,...], of the same names for every batch.
        piece: (name, compute) -> what `compute` gives, or gave before (see `ledger.Ledger.piece`); None: it is always computed.
        advance: called with the number of pictures since the last call.
    """
    parts: list[dict[str, np.ndarray]] = []
    for start in range(0, n, batch_size):
        part = slice(start, min(start + batch_size, n))
        parts.append(compute(part) if piece is None else piece(str(start), partial(compute, part)))
        if advance is not None:
            advance(part.stop - start)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def score(tasks: list[Task], inputs: Pictures, answer: Answer, judge: Judge | None, expected: list[Tensor] | None, *,
          device: torch.device | str = 'cpu', batch_size: int = 64, looks: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
          advance: Callable[[int], None] | None = None, more: More | None = None, piece: Piece | None = None) -> Scores:
    """Scores the answers to all tasks.

    Args:
        tasks: the K kinds of edits.
        inputs: uint8 [n,S,S,3].
        answer: what is scored: (task, x [b,3,S,S], which of the task's M) -> Translation.
        judge: reads the answers; None: nobody does.
        expected: per task, bool [M,J]: how the judge should read a perfect answer; None: leakage is not measured.
        device: where answers are computed and compared.
        batch_size: pictures at once.
        looks: extractor -> features [b,F'] on the CPU of answers as uint8 [b,3,S,S]; the answers themselves are not kept.
        advance: called with the number of pictures scored since the last call.
        more: further measures of an answer as a saved picture holds it (see `regions.parser_to_measures`).
        piece: (name, compute) -> what `compute` gives, or gave before (see `ledger.Ledger.piece`); None: it is always computed.

    Raises:
        FloatingPointError: an answer that is not finite.
    """
    n, names = len(inputs), WITHOUT_TRUTH if any(task.truth is None for task in tasks) else WITH_TRUTH
    if judge is None:
        names = tuple(name for name in names if name not in ('edit_accuracy', 'leakage'))
    elif all(task.columns is None for task in tasks):               # the true result is the measure, and not what a judge reads
        names = tuple('arrived' if name == 'edit_accuracy' else name for name in names)
    total, count = ({name: np.zeros((len(tasks), n)) for name in names if expected or name != 'leakage'} for _ in range(2))
    looks = looks or {}
    scores = Scores({}, [], seen={name: [] for name in looks})
    for k, task in enumerate(tasks):
        parts: list[dict[str, np.ndarray]] = []
        for start in range(0, len(task.rows), batch_size):
            part = slice(start, min(start + batch_size, len(task.rows)))
            compute = partial(_score_batch, task, part, inputs, answer, judge, expected[k] if expected else None, device, looks, more)
            found = compute() if piece is None else piece(f'{k}-{start}', compute)
            rows = task.rows[part]
            for key in [key for key in found if key.startswith('total:')]:
                name = key.partition(':')[2]
                if name not in total:                            # an explanation, which only some systems have; further measures
                    total[name], count[name] = np.zeros((len(tasks), n)), np.zeros((len(tasks), n))
                total[name][k, rows], count[name][k, rows] = found[key], found[f'count:{name}']
            parts.append({key: value for key, value in found.items() if not key.startswith(('total:', 'count:'))})
            if advance is not None:
                advance(len(rows))
        if not parts:
            raise ValueError(f'no picture to edit for {task.name}: expected at least one that lacks it; raise --n')
        joined = {key: torch.from_numpy(np.concatenate([part[key] for part in parts])) for key in parts[0]}
        if judge is not None:
            scores.features.append(joined['features'])
        if 'changes' in joined:
            scores.leakage.append(accuracy.changes_to_leakage_row(joined['changes']).tolist())
        for name in looks:
            scores.seen[name].append(joined[f'seen:{name}'])
    scores.tallies = {name: Tally(total[name], count[name], REDUCE.get(name, pooled)) for name in total}
    return scores


@torch.no_grad()
def _score_batch(task: Task, part: slice, inputs: Pictures, answer: Answer, judge: Judge | None, expected: Tensor | None,
                 device: torch.device | str, looks: Mapping[str, Callable[[Tensor], Tensor]], more: More | None) -> dict[str, np.ndarray]:
    """One batch of a task: 'total:M' and 'count:M' [b] of every measure M, 'features' [b,F], 'changes' [b,J], 'seen:E' of extractors E."""
    x = pictures_to_tensor(inputs[task.rows[part]], device)
    out = answer(task, x, part)
    for values in (out.image, out.mask):
        if values is not None and not bool(values.isfinite().all()):
            raise FloatingPointError(f'the answer to {task.name} is not finite: the model is damaged or its training diverged')
    image = psnr.to_bytes(out.image).float() / 127.5 - 1         # what a saved picture holds is what every measure sees
    mask = None if out.mask is None else check_mask(out.mask, x)
    result, found = dict[str, np.ndarray](), Found()
    if judge is not None:
        read, seen = judge.look(image)
        result['features'] = seen.numpy()
    if judge is not None and task.columns is not None:
        assert task.wanted is not None
        found['edit_accuracy'] = accuracy.readings_to_edit_accuracy(read, task.wanted[part], task.columns), None
        if expected is not None:
            changes = accuracy.readings_to_changes(read, expected[part])
            found['leakage'] = accuracy.changes_to_leakage(changes, task.columns), None
            result['changes'] = changes.numpy()
    if task.truth is None or task.region is None:
        found |= against_input(image, x, mask)
    else:
        truth = pictures_to_tensor(task.truth[part], device)
        region = torch.from_numpy(task.region[part]).unsqueeze(1).to(device)
        found |= against_truth(image, x, truth, region)
        if task.columns is None:
            found['arrived'] = psnr.images_to_arrived(image, truth, x), None
        for source, shown in (('', mask), ('[gradcam]', out.extras.get('gradcam'))):
            if shown is not None:
                found |= {f'{name}{source}': value for name, value in against_region(check_mask(shown, x), region).items()}
    found |= more(task, image, x, part) if more else {}
    for name, (value, weight) in found.items():
        result[f'total:{name}'] = value.cpu().double().numpy()
        result[f'count:{name}'] = np.ones(len(x)) if weight is None else weight.cpu().double().numpy()
    return result | {f'seen:{name}': look(psnr.to_bytes(image)).numpy() for name, look in looks.items()}


def against_region(mask: Tensor, region: Tensor) -> Found:
    """mask_iou, pointing_game and mask_area of masks [b,1,S,S] against true regions bool [b,1,S,S]."""
    iou, has_region = masks.mask_to_iou(mask, region)
    hit, _ = masks.mask_to_pointing(mask, region)
    return {'mask_iou': (iou * has_region, has_region), 'pointing_game': (hit * has_region, has_region),
            'mask_area': (masks.mask_to_area(mask), None)}


def against_truth(image: Tensor, x: Tensor, truth: Tensor, region: Tensor) -> Found:
    """The psnr_* measures, mse_truth and ssim_outside of answers [b,3,S,S] to inputs x, with true results and regions bool [b,1,S,S]."""
    shown, before, wanted = (psnr.to_bytes(picture) for picture in (image, x, truth))
    kept = psnr.squared_error_inside_outside(shown, before, region)
    made = psnr.squared_error_inside_outside(shown, wanted, region)
    whole, values = made.inside + made.outside, made.inside_count + made.outside_count
    similar, has_outside = ssim.images_to_ssim_outside(image, x, region)
    found: Found = {'ssim_outside': (torch.where(has_outside, similar, 0.0), has_outside), 'mse_truth': (whole, values)}
    for name, error, number in (('psnr_outside', kept.outside, kept.outside_count), ('psnr_inside', made.inside, made.inside_count),
                                ('psnr_truth', whole, values)):
        found[name] = (error, number)
        found[f'{name}_per_image'] = psnr.squared_error_to_psnr_per_image(error, number)
    return found


def against_input(image: Tensor, x: Tensor, mask: Tensor | None) -> Found:
    """psnr_whole, untouched and, with a mask [b,1,S,S], mask_area and untouched_outside_mask of answers [b,3,S,S] to inputs x."""
    nowhere = torch.zeros(len(x), 1, *x.shape[2:], dtype=torch.bool, device=x.device)
    error = psnr.squared_error_inside_outside(image, x, nowhere)
    same = (psnr.to_bytes(image) == psnr.to_bytes(x)).all(1, keepdim=True)             # [b,1,S,S]
    found: Found = {'psnr_whole': (error.outside, error.outside_count),
                    'untouched': (same.flatten(1).sum(1).cpu().double() / same[0].numel(), None)}
    if mask is not None:
        outside = mask <= masks.THRESHOLD
        found |= {'mask_area': (masks.mask_to_area(mask), None),
                  'untouched_outside_mask': ((same & outside).flatten(1).sum(1), outside.flatten(1).sum(1))}
    return found
