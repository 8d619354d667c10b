"""Protocols of systems that give a picture the look of another one: `exemplars` on drawn faces, `exemplars_folder` on your own pictures.

The true result of a pair of drawn faces is the face with the exemplar's labels in the attributes that the system transfers. The face's
true region is where that differs from the face, the exemplar's where the exemplar would change with the labels of the face. What goes
beyond labels is measured as one colour, that of the hair on the head. Photographs have labels and none of this.
"""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retouch.data.labels import HAIR_COLOURS
from retouch.engine.update import DomainRequest, ExemplarRequest, Translation
from retouch.evaluation.card import Card, CardData
from retouch.evaluation.judge import Judge, load_judge, model_to_judge
from retouch.evaluation.ledger import Ledger, Row
from retouch.evaluation.looks import look_at_all
from retouch.evaluation.provenance import checkpoint, pairs_to_hash, remembered, versions
from retouch.evaluation.scoring import (
    REDUCE,
    Found,
    Piece,
    Task,
    against_input,
    against_region,
    against_truth,
    in_batches,
    pictures_to_tensor,
)
from retouch.evaluation.tallies import Arrays
from retouch.evaluation.tasks import RULE, Progress, counting
from retouch.evaluation.transfers import ROW, Pairs, Transfers
from retouch.guidance.mask import check_mask
from retouch.hardware import hardware
from retouch.metrics import accuracy, psnr
from retouch.metrics.bootstrap import Tally, pooled
from retouch.metrics.distances import Compare, edits_to_distances, logits_to_inception
from retouch.metrics.features import JUDGE, LPIPS, images_to_lpips, open_features
from retouch.metrics.fidelity import SETS, features_to_fidelity
from retouch.metrics.masks import mask_to_area
from retouch.metrics.measure import Measure, tally_to_measure
from retouch.model import Model
from retouch.toyfaces.stored import HELD_OUT

PROXY = 'toyfaces_classifier'
Answer = Callable[[Tensor, Tensor, slice], Translation]      # (x [b,3,S,S], their exemplars [b,3,S,S], which of the n)


def evaluate_exemplars(model: Any, pairs: Pairs, *, seed: int = 0, judge: Judge | Model | None = None, device: torch.device | str = 'cpu',
                       batch_size: int = 64, progress: Progress | None = None, command: str = '', untrained: Any = None,
                       source: str = 'toyfaces', features: Sequence[str] = (), weights: str | Path | None = None,
                       download: bool = False, ledger: Ledger | None = None, any_n: bool = False) -> Card:
    """Scores a system that takes an exemplar, on pairs of drawn faces or of one's own pictures.

    Args:
        model: a Model, or a method with weights in it; trained on exemplars, or on two domains of which one has an attribute.
        pairs: held-out drawn faces (`transfers_of` the model) or pictures of one's own (`folder_pairs`).
        seed: with which the pairs were made; of the bootstrap.
        judge: a Judge or a classifier Model; None: the shipped judge (drawn faces).
        device: where the model, the judge and the comparisons run.
        batch_size: pairs at once.
        progress: called with (done, total, what is being done).
        command: how to repeat this, written to the card.
        untrained: the same method before training, for a third reference row.
        source: what to write as the data's source (one's own pictures).
        features: which extractors' distances between answers and the pictures as they were to add, of `features.NAMES`.
        weights: folder of the extractors' files, or the file of one; None: RETOUCH_WEIGHTS, else torch's hub cache.
        download: fetch files that are missing and have a published digest.
        ledger: keeps what was computed, so that an evaluation that is stopped can go on, and gets the sums behind the intervals.
        any_n: as of `protocols.evaluate`.

    Returns:
        the card, with the reference rows `copy` (the input, masks of 0) and, of drawn faces, `truth` (the true result, true regions for
        masks).

    Raises:
        ValueError: a judge that is missing or does not read an attribute, or extractors without weights.
        FloatingPointError: an answer that is not finite.
    """
    method = getattr(model, 'method', model)
    looking, lpips, digests = open_features(features, weights, download, device)
    method.nets.to(device)
    if not isinstance(judge, Judge):
        if judge is None and not isinstance(pairs, Transfers):
            raise ValueError('protocol exemplars_folder has no judge of its own: expected a classifier trained on the same pictures; train '
                             'one with `retouch train classifier.…` and pass it as judge')
        judge = load_judge(device=device) if judge is None else model_to_judge(judge, device)
    drawn: dict[str, Any] = {}
    if isinstance(pairs, Transfers):
        drawn = {'rule': RULE, 'first_index': HELD_OUT, 'region_area': {ROW: round(float(pairs.regions.mean()), 5),
                                                                        'exemplar': round(float(pairs.exemplar_regions.mean()), 5)}}
    n, names, truths = len(pairs.inputs), pairs.names, getattr(pairs, 'truths', None)
    protocol, proxy = ('exemplars', PROXY) if drawn else ('exemplars_folder', 'classifier')
    data = CardData(source=source, hash=pairs_to_hash(pairs.inputs, pairs.exemplars), size=method.data.size, attributes=names,
                    count=dict(zip(names, (pairs.shown != pairs.wanted).sum(0).tolist(), strict=True)), **drawn)

    extractors = {proxy: judge.sha256, **digests}
    key = {'data': data.model_dump(mode='json'), 'n': n, 'seed': seed, 'judge': judge.sha256, 'protocol': protocol,
           'features': sorted(set(features)), 'extractors': extractors, **({'any_n': True} if any_n else {}),
           'labels': hashlib.sha256(pairs.shown.tobytes() + pairs.wanted.tobytes()).hexdigest()}
    ledger = ledger or Ledger()
    ledger.open(key, method, untrained, batch_size, device)

    # how the judge reads what is expected, and the faces as they were in the eyes of all extractors
    looks = {e.name: e.look for e in looking}
    real = look_at_all(judge, pairs.inputs, looks, batch_size, ledger.within('held-out')) if truths is None or features else {}
    expected = real['read'] if truths is None else look_at_all(judge, truths, {}, batch_size, ledger.within('wanted'))['read']
    compared: dict[str, tuple[Compare, tuple[str, ...], int]] = {
        e.name: (partial(e.compare, seed=seed), e.measures, e.logits) for e in looking}
    if JUDGE in features:
        real[JUDGE], compared[JUDGE] = real['features'], (partial(features_to_fidelity, seed=seed), SETS, 0)

    def measure_row(name: str, answer: Answer) -> Row:
        step = counting(progress, n, f'scoring {"pairs" if name == "model" else name}')
        tallies, logits, seen = score_transfers(pairs, answer, judge, expected, device=device, batch_size=batch_size, advance=step,
                                                looks=looks, lpips=lpips, piece=ledger.within(name))
        measures = {name: tally_to_measure(name, tally, names if name == 'edit_accuracy' else (ROW,), seed)
                    for name, tally in tallies.items()}
        for by, (compare, which, rest) in compared.items():
            fewest = 0 if any_n else real[by].shape[1] - rest
            found = edits_to_distances(real[by], [seen[by]], (ROW,), compare, which, fewest=fewest)
            measures |= {f'{name}[{proxy if by == JUDGE else by}]': measure for name, measure in found.items()}
        return measures | logits_to_inception(logits, seed, proxy), tallies, {}

    def row(name: str, answer: Answer) -> dict[str, Measure]:
        return ledger.row(name, lambda: measure_row(name, answer))[0]

    measures = row('model', answer_of(method, pairs))
    answers: dict[str, Answer] = {'copy': _copy} | ({'truth': _truth(pairs)} if isinstance(pairs, Transfers) else {})
    references = remembered(key, lambda: {name: row(name, answer) for name, answer in answers.items()})
    if untrained is not None:
        untrained.nets.to(device)
        references['untrained'] = row('untrained', answer_of(untrained, pairs))
    return Card(protocol=protocol, data=data, n=n, seed=seed, checkpoint=checkpoint(model), hardware=hardware(device),
                versions=versions(), command=command, measures=measures, references=references, judge=judge.facts,
                extractors=extractors)


def answer_of(method: Any, pairs: Pairs) -> Answer:
    """What a method makes of pairs; one of two domains brings each face to the domain of its exemplar."""
    if method.kind == 'exemplars':
        return lambda x, e, part: method.translate(ExemplarRequest(x, e))

    def by_direction(x: Tensor, e: Tensor, part: slice) -> Translation:
        image, wanted = torch.empty_like(x), torch.from_numpy(pairs.wanted[part, 0]).to(x.device)
        for to, some in zip(method.data.domains, (~wanted, wanted), strict=True):
            if bool(some.any()):
                image[some] = method.translate(DomainRequest(x[some], to, e[some])).image
        return Translation(image)
    return by_direction


@dataclass(frozen=True)
class TransferRequest(ExemplarRequest):
    """What a system that takes an exemplar is asked, with the side of its domains on which the exemplar is."""

    to_b: bool = True


class ByExemplar:
    """A system of two domains, asked as one of exemplars is: it brings a picture to the domain of its exemplar."""

    def __init__(self, method: Any) -> None:
        self.inner, self.nets, self.data = method, method.nets, method.data

    def translate(self, request: TransferRequest) -> Translation:
        """Brings the pictures [N,3,H,W] to the side of the exemplars."""
        return self.inner.translate(DomainRequest(request.image, self.data.domains[int(request.to_b)], request.exemplar))


def transfer_task(pairs: Pairs) -> Task:
    """All pairs as one task, for `TransferRequest`s of one pair each."""
    def request(x: Tensor, part: slice) -> TransferRequest:
        return TransferRequest(x, pictures_to_tensor(pairs.exemplars[part], x.device), to_b=bool(pairs.wanted[part.start, 0]))
    return Task('as the example', None, np.arange(len(pairs.inputs)), None, request, getattr(pairs, 'truths', None))


def _copy(x: Tensor, e: Tensor, part: slice) -> Translation:
    nothing = x.new_zeros(len(x), 1, *x.shape[2:])
    return Translation(x, nothing, {'exemplar_mask': nothing})


def _truth(pairs: Transfers) -> Answer:
    def answer(x: Tensor, e: Tensor, part: slice) -> Translation:
        region, other = (torch.from_numpy(some[part]).unsqueeze(1).float().to(x.device) for some in (pairs.regions, pairs.exemplar_regions))
        return Translation(pictures_to_tensor(pairs.truths[part], x.device), region, {'exemplar_mask': other})
    return answer


def score_transfers(pairs: Pairs, answer: Answer, judge: Judge, expected: Tensor, *, device: torch.device | str = 'cpu',
                    batch_size: int = 64, advance: Callable[[int], None] | None = None,
                    looks: Mapping[str, Callable[[Tensor], Tensor]] | None = None, lpips: Any = None,
                    piece: Piece | None = None) -> tuple[dict[str, Tally], Tensor, dict[str, Tensor]]:
    """One pass over pairs: answer, compare, let the judge read; keep sums and readings only.

    Args:
        pairs: the n pairs.
        answer: what is scored.
        judge: reads the answers.
        expected: bool [n,J], how the judge reads the true results, or where none are known the inputs.
        device: where answers are computed and compared.
        batch_size: pairs at once.
        advance: called with the number of pairs scored since the last call.
        looks: extractor -> features [b,F] on the CPU of answers as uint8 [b,3,S,S].
        lpips: adds its distance of answer and true result, or input where none is known.
        piece: as of `scoring.score`.

    Returns:
        'edit_accuracy' [K,n], of every attribute over the pairs that differ in it; all else [1,n]; logits [n,K] of the K attributes in
        the answers; and what each extractor and, as JUDGE, the judge saw in them, [n,F] each.
    """
    found = in_batches(len(pairs.inputs), batch_size,
                       lambda part: _score_batch(pairs, part, answer, judge, expected[part], device, looks or {}, lpips), piece, advance)
    reduce = {**REDUCE, 'leakage': pooled}
    tallies = {name: Tally(found[f'total:{name}'].T, found[f'count:{name}'].T, reduce.get(name, pooled))
               for name in (key.partition(':')[2] for key in found if key.startswith('total:'))}
    seen = {key.partition(':')[2]: torch.from_numpy(value) for key, value in found.items() if key.startswith('seen:')}
    return tallies, torch.from_numpy(found['logits']), seen


@torch.no_grad()
def _score_batch(pairs: Pairs, part: slice, answer: Answer, judge: Judge, expected: Tensor, device: torch.device | str,
                 looks: Mapping[str, Callable[[Tensor], Tensor]], lpips: Any) -> Arrays:
    """Some of the pairs: 'total:M' and 'count:M' [b,K] or [b,1] of every measure M, 'logits' [b,K], 'seen:E' [b,F] of extractors E."""
    x, e = (pictures_to_tensor(images[part], device) for images in (pairs.inputs, pairs.exemplars))
    out = answer(x, e, part)
    other = out.extras.get('exemplar_mask')
    if not all(bool(values.isfinite().all()) for values in (out.image, out.mask, other) if values is not None):
        raise FloatingPointError('an answer is not finite: the model is damaged or its training diverged')
    image = psnr.to_bytes(out.image).float() / 127.5 - 1         # what a saved picture holds is what every measure sees
    masks = {'': None if out.mask is None else check_mask(out.mask, x), '_exemplar': None if other is None else check_mask(other, e)}
    if isinstance(pairs, Transfers):
        found = _against_transfer(pairs, part, image, x, e, masks)
    else:
        found = against_input(image, x, masks[''])
        if (shown := masks['_exemplar']) is not None:
            found['mask_area_exemplar'] = mask_to_area(shown), None
    if lpips is not None:
        to = pictures_to_tensor(pairs.truths[part], device) if isinstance(pairs, Transfers) else x
        found[f'lpips_{"truth" if isinstance(pairs, Transfers) else "whole"}[{LPIPS}]'] = images_to_lpips(lpips, image, to), None

    columns, differs = [judge.column(name) for name in pairs.names], torch.from_numpy(pairs.shown[part] != pairs.wanted[part])     # [b,K]
    read, seen = judge.look(image)
    right = (read[:, columns] == torch.from_numpy(pairs.wanted[part])) & differs
    asked = torch.zeros_like(expected)
    asked[:, columns] = differs
    changes = accuracy.readings_to_changes(read, expected)
    at_once = (read[:, columns] == torch.from_numpy(pairs.wanted[part])).all(1).double()
    found = {'edit_accuracy': (right, differs), 'joint_accuracy': (at_once, None), **found,
             'leakage': ((changes * ~asked).sum(1), (~asked).sum(1))}
    result = {'logits': judge.logits(seen)[:, columns].numpy(), f'seen:{JUDGE}': seen.numpy()}
    for name, (value, weight) in found.items():
        value, weight = (some.cpu().double().reshape(len(x), -1) for some in (value, torch.ones(len(x)) if weight is None else weight))
        result |= {f'total:{name}': value.numpy(), f'count:{name}': weight.numpy()}
    return result | {f'seen:{name}': look(psnr.to_bytes(image)).numpy() for name, look in looks.items()}


def _against_transfer(pairs: Transfers, part: slice, image: Tensor, x: Tensor, e: Tensor, masks: dict[str, Tensor | None]) -> Found:
    """Everything that is measured against the true result of some pairs: answers [b,3,S,S], masks [b,1,S,S] of inputs and exemplars."""
    regions = {end: torch.from_numpy(some[part]).unsqueeze(1).to(x.device)
               for end, some in (('', pairs.regions), ('_exemplar', pairs.exemplar_regions))}
    found = against_truth(image, x, pictures_to_tensor(pairs.truths[part], x.device), regions[''])
    for end, mask in masks.items():
        if mask is not None:
            found |= {f'{name}{end}': value for name, value in against_region(mask, regions[end]).items()}
    if any(name in HAIR_COLOURS for name in pairs.names):
        found['style_distance'] = _style_distance(image, e, pairs.hair[part], pairs.exemplar_hair[part])
    return found


def _style_distance(image: Tensor, exemplar: Tensor, hair: np.ndarray, exemplar_hair: np.ndarray) -> tuple[Tensor, Tensor]:
    """Distance in 8-bit levels [b] of the mean colours of two regions bool [b,S,S], and whether both have any pixel [b]."""
    means, there = [], []
    for picture, where in ((image, hair), (exemplar, exemplar_hair)):
        region = torch.from_numpy(where).unsqueeze(1).to(picture.device)
        pixels = region.flatten(1).sum(1)
        means.append((psnr.to_bytes(picture).float() * region).flatten(2).sum(2) / pixels.clamp(min=1)[:, None])       # [b,3]
        there.append(pixels > 0)
    both = there[0] & there[1]
    return torch.linalg.vector_norm(means[0] - means[1], dim=1) * both, both
