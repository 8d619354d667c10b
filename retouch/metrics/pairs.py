"""Protocol `pairs`: paired systems, scored against the true partner of what they were given.

On drawn faces the pairs are a parse in the colours of `toyfaces.PALETTE` (domain A) and its picture (domain B), so that every answer can
also be read class by class: an answer that is a parse by the nearest colour of the palette, one that is a picture by a parser.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retouch.data import toyfaces
from retouch.data.sets import HELD_OUT, drawn
from retouch.engine.update import DomainRequest, Translation
from retouch.metrics import psnr, ssim
from retouch.metrics.bootstrap import Tally, pooled, pooled_psnr
from retouch.metrics.card import Card, CardData, JudgeFacts, Measure, tally_to_measure
from retouch.metrics.ledger import Ledger
from retouch.metrics.parsing import images_to_parses, model_to_parser, parses_to_tallies
from retouch.metrics.provenance import checkpoint, pairs_to_hash, remembered, versions
from retouch.metrics.scoring import Task, pictures_to_tensor
from retouch.metrics.tasks import Progress, counting
from retouch.model import Model
from retouch.train import hardware

PARSE = 'A'                                     # the drawn faces' domain of parses; B are the pictures
SUMS = {'psnr_truth': pooled_psnr, 'psnr_truth_per_image': pooled, 'mse_truth': pooled, 'ssim_truth': pooled}
Read = Callable[[np.ndarray], np.ndarray]       # uint8 [N,S,S,3] -> classes uint8 [N,S,S]


def held_out_pairs(n: int, size: int, seed: int, wanted: str) -> tuple[np.ndarray, np.ndarray]:
    """The first n held-out drawn faces as pairs, uint8 [n,S,S,3] each: what is given, and what is wanted (of domain `wanted`)."""
    pictures, parses, _ = drawn(range(HELD_OUT, HELD_OUT + n), size, seed)
    colours = np.array(toyfaces.PALETTE, np.uint8)[parses]
    return (pictures, colours) if wanted == PARSE else (colours, pictures)


def pictures_to_classes(images: np.ndarray, palette: Sequence[Sequence[int]] = toyfaces.PALETTE) -> np.ndarray:
    """The class whose colour is nearest, by squared distance in RGB; of equally near ones the first.

    Args:
        images: uint8 [N,H,W,3].
        palette: C colours of three 8-bit levels.

    Returns:
        uint8 [N,H,W] in 0..C-1.
    """
    x = images.astype(np.int32)
    nearest = np.full(images.shape[:3], 3 * 256 ** 2, np.int32)
    classes = np.zeros(images.shape[:3], np.uint8)
    for c, colour in enumerate(palette):
        distance = np.square(x - np.array(colour, np.int32)).sum(3)
        classes[distance < nearest] = c
        nearest = np.minimum(nearest, distance)
    return classes


def pair_task(method: Any, wanted: np.ndarray) -> Task:
    """All pairs as one task, named by the domain that is wanted."""
    to = method.data.domains[-1]
    return Task(f'to={to}', None, np.arange(len(wanted)), None, lambda x, part: DomainRequest(x, to), wanted)


def evaluate_pairs(model: Any, given: np.ndarray, wanted: np.ndarray, *, source: str = 'toyfaces', reader: Model | None = None,
                   seed: int = 0, device: torch.device | str = 'cpu', batch_size: int = 64, progress: Progress | None = None,
                   command: str = '', untrained: Any = None, ledger: Ledger | None = None) -> Card:
    """Scores a paired model.

    Args:
        model: a Model, or a method with weights in it.
        given: uint8 [n,S,S,3] held-out pictures.
        wanted: uint8 [n,S,S,3] their true partners.
        source: 'toyfaces', whose classes are known, or a folder.
        reader: a parser Model that reads pictures made from drawn parses; None: those have no FCN scores.
        seed: which drawn set, and of the bootstrap.
        device: where the model, the reader and the comparisons run.
        batch_size: pictures at once.
        progress: called with (done, total, what is being done).
        command: how to repeat this, written to the card.
        untrained: the same method before training, for a third reference row.
        ledger: gets the sums behind the intervals.

    Returns:
        the card, with the reference rows `copy` (what was given) and `truth` (the true partner).

    Raises:
        ValueError: a model of another kind, sets that are no pairs, a reader for answers that need none.
        FloatingPointError: an answer that is not finite.
    """
    method = getattr(model, 'method', model)
    method.nets.to(device)
    if method.kind != 'pairs':
        raise ValueError(f'{method.id} trains on {method.kind}: expected a paired model for protocol pairs')
    if given.shape != wanted.shape:
        raise ValueError(f'{given.shape} given and {wanted.shape} wanted are no pairs: expected [N,S,S,3] of equal shape')
    if len(given) < 2:
        raise ValueError(f'{source} has {len(given)} held-out pair: expected at least 2; use a larger set')
    to_parse, is_drawn = method.data.domains[-1] == PARSE, source == 'toyfaces'
    if reader is not None and (to_parse or not is_drawn):
        raise ValueError('--judge does not apply: ' + ('parses are read by the nearest colour' if is_drawn else 'the classes of '
                         f'{source} are unknown') + '; a parser reads pictures made from drawn parses')
    read: Read | None = pictures_to_classes if to_parse and is_drawn else None
    if reader is not None:
        model_to_parser(reader, given.shape[1], toyfaces.CLASSES).method.nets.to(device)
        read = partial(images_to_parses, reader, batch_size=batch_size)
    task, n, parses = pair_task(method, wanted), len(given), wanted if to_parse else given
    true = None
    if read is not None:
        true = np.concatenate([pictures_to_classes(parses[i:i + batch_size]) for i in range(0, n, batch_size)])
    data = CardData(source=source, hash=toyfaces.drawing_hash() if is_drawn else pairs_to_hash(given, wanted), size=given.shape[1],
                    attributes=(task.name,), first_index=HELD_OUT if is_drawn else None, count={task.name: n})

    def row(answer: Callable[[Tensor, slice], Translation], step: Callable[[int], None] | None = None) -> dict[str, Measure]:
        tallies, read_as = score_pairs(given, wanted, answer, read, device=device, batch_size=batch_size, advance=step)
        measures = {name: tally_to_measure(name, tally, (task.name,), seed) for name, tally in tallies.items()}
        if read_as is not None and true is not None:
            scores = parses_to_tallies(read_as, true, len(toyfaces.CLASSES))
            measures |= {name: tally_to_measure(name, tally, toyfaces.CLASSES, seed) for name, tally in scores.items()}
            tallies |= scores
        if ledger is not None and not ledger.tallies:            # the first row is the model's
            ledger.tallies = tallies
        return measures

    measures = row(lambda x, part: method.translate(task.request(x, part)), counting(progress, n, 'scoring pairs'))
    judge = None if reader is None else JudgeFacts(sha256=reader.weights_sha256)
    key = {'data': data.model_dump(mode='json'), 'n': n, 'seed': seed, 'judge': judge and judge.sha256, 'protocol': 'pairs'}
    references = remembered(key, lambda: {'copy': row(lambda x, part: Translation(x), counting(progress, n, 'scoring copy')),
                                          'truth': row(lambda x, part: Translation(pictures_to_tensor(wanted[part], device)),
                                                       counting(progress, n, 'scoring truth'))})
    if untrained is not None:
        untrained.nets.to(device)
        references['untrained'] = row(lambda x, part: untrained.translate(task.request(x, part)),
                                      counting(progress, n, 'scoring untrained'))
    return Card(protocol='pairs', data=data, n=n, seed=seed, checkpoint=checkpoint(model), hardware=hardware(device), versions=versions(),
                command=command, measures=measures, references=references, judge=judge)


def score_pairs(given: np.ndarray, wanted: np.ndarray, answer: Callable[[Tensor, slice], Translation], read: Read | None, *,
                device: torch.device | str = 'cpu', batch_size: int = 64,
                advance: Callable[[int], None] | None = None) -> tuple[dict[str, Tally], np.ndarray | None]:
    """One pass over pairs: answer, compare with the truth, read classes; keep sums and classes only.

    Args:
        given: uint8 [n,S,S,3].
        wanted: uint8 [n,S,S,3].
        answer: (x [b,3,S,S], which of the n) -> Translation.
        read: how answers are read class by class; None: they are not.
        device: where answers are computed and compared.
        batch_size: pictures at once.
        advance: called with the number of pictures scored since the last call.

    Returns:
        sums of the comparisons [1,n], and the classes uint8 [n,S,S] that were read.
    """
    n = len(given)
    total, count = ({name: np.zeros((1, n)) for name in SUMS} for _ in range(2))
    classes = None if read is None else np.empty(given.shape[:3], np.uint8)
    for start in range(0, n, batch_size):
        part = slice(start, min(start + batch_size, n))
        x, y = (pictures_to_tensor(images[part], device) for images in (given, wanted))
        nowhere = torch.zeros(len(x), 1, *x.shape[2:], dtype=torch.bool, device=x.device)
        with torch.no_grad():
            out = answer(x, part).image
            if not bool(out.isfinite().all()):
                raise FloatingPointError('an answer is not finite: the model is damaged or its training diverged')
            made = psnr.to_bytes(out)                            # what a saved picture holds is what every measure sees
            error = psnr.squared_error_inside_outside(made, psnr.to_bytes(y), nowhere)
            similar, _ = ssim.images_to_ssim_outside(made.float() / 127.5 - 1, y, nowhere)
        if read is not None and classes is not None:
            classes[part] = read(made.permute(0, 2, 3, 1).cpu().numpy())
        each, finite = psnr.squared_error_to_psnr_per_image(error.outside, error.outside_count)
        one = torch.ones(len(x))
        for name, value, weight in (('psnr_truth', error.outside, error.outside_count), ('mse_truth', error.outside, error.outside_count),
                                    ('psnr_truth_per_image', each, finite), ('ssim_truth', similar, one)):
            total[name][0, part], count[name][0, part] = value.cpu().double().numpy(), weight.cpu().double().numpy()
        if advance is not None:
            advance(len(x))
    return {name: Tally(total[name], count[name], reduce) for name, reduce in SUMS.items()}, classes
