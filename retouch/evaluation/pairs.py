"""Protocol `pairs`: paired systems, and two-domain systems in both directions, scored against the true partner of what they were given.

On drawn faces the pairs are a parse in the colours of `toyfaces.PALETTE` (domain A) and its picture (domain B), so that every answer can
also be read class by class: an answer that is a parse by the nearest colour of the palette, one that is a picture by a parser. Pairs of a
face and its edit (`PairData.edit`) have no parse to be read, as pairs of a folder.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from retouch import toyfaces
from retouch.data.batches import IGNORED, Moment
from retouch.data.parsing import STREETS
from retouch.engine.update import DomainRequest, Translation
from retouch.evaluation.card import Card, CardData, JudgeFacts
from retouch.evaluation.ledger import Ledger, Row
from retouch.evaluation.looks import pictures_to_features
from retouch.evaluation.parsing import images_to_parses
from retouch.evaluation.provenance import checkpoint, pairs_to_hash, remembered, versions
from retouch.evaluation.scoring import Piece, Task, in_batches, pictures_to_tensor
from retouch.evaluation.tallies import Arrays
from retouch.evaluation.tasks import Progress, counting
from retouch.hardware import hardware
from retouch.metrics import psnr, ssim
from retouch.metrics.bootstrap import Tally, pooled, pooled_psnr
from retouch.metrics.distances import edits_to_distances
from retouch.metrics.features import JUDGE, LPIPS, images_to_lpips, open_features
from retouch.metrics.measure import Measure, tally_to_measure
from retouch.metrics.parses import parses_to_tallies
from retouch.model import Model, model_to_parser
from retouch.toyfaces.stored import HELD_OUT, drawn

PARSE = 'A'                                     # the drawn faces' domain of parses; B are the pictures
SUMS = {'psnr_truth': pooled_psnr, 'psnr_truth_per_image': pooled, 'mse_truth': pooled, 'ssim_truth': pooled}
Read = Callable[[np.ndarray], np.ndarray]       # uint8 [N,S,S,3] -> classes uint8 [N,S,S]


class Palette(NamedTuple):
    """The colours in which parses are painted."""

    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    """Of the classes; what follows them is of no class, and pixels whose truth is that do not count."""

    def read(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N,H,W,3] -> the class of the nearest colour, uint8 [N,H,W]; IGNORED where that is of no class."""
        found = pictures_to_classes(images, self.colours)
        return np.where(found < len(self.classes), found, IGNORED).astype(np.uint8)

    def paints(self, images: np.ndarray) -> bool:
        """Whether nine pixels in ten of uint8 [N,H,W,3] are within 16 levels of one of the colours: of a parse, even as JPEG or resized."""
        nearest = np.array(self.colours, np.int16)[pictures_to_classes(images, self.colours)]
        return bool((np.abs(images - nearest).max(3) <= 16).mean() >= 0.9)


DRAWN = Palette(toyfaces.CLASSES, toyfaces.PALETTE)
# Cityscapes' nineteen classes of evaluation, and its labels that are none of them
CITYSCAPES = Palette(
    STREETS,
    ((128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153), (250, 170, 30), (220, 220, 0),
     (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100),
     (0, 0, 230), (119, 11, 32),
     (0, 0, 0), (111, 74, 0), (81, 0, 81), (250, 170, 160), (230, 150, 140), (180, 165, 180), (150, 100, 100), (150, 120, 90), (0, 0, 90),
     (0, 0, 110)))


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


def pair_task(method: Any, wanted: np.ndarray, to: str = '') -> Task:
    """All pairs as one task, named by the domain that is wanted: `to`, or the method's last."""
    to = to or method.data.domains[-1]
    return Task(f'to={to}', None, np.arange(len(wanted)), None, lambda x, part: DomainRequest(x, to), wanted)


def evaluate_pairs(model: Any, given: np.ndarray, wanted: np.ndarray, *, source: str = 'toyfaces', reader: Model | None = None,
                   seed: int = 0, device: torch.device | str = 'cpu', batch_size: int = 64, progress: Progress | None = None,
                   command: str = '', untrained: Any = None, features: Sequence[str] = (), weights: str | Path | None = None,
                   download: bool = False, palette: Palette | None = None, exact: tuple[np.ndarray, np.ndarray] | None = None,
                   ledger: Ledger | None = None, any_n: bool = False) -> Card:
    """Scores a model against true partners.

    Args:
        model: a Model, or a method with weights in it; paired, or of two domains, which is asked for both.
        given: uint8 [n,S,S,3] held-out pictures.
        wanted: uint8 [n,S,S,3] their true partners, of the model's last domain.
        source: 'toyfaces', whose classes are known unless the model learned pairs of a face and its edit, or a folder.
        reader: a parser Model that reads pictures made from parses, of the classes that those have; None: they have no FCN scores.
        seed: which drawn set, and of the bootstrap.
        device: where the model, the reader and the comparisons run.
        batch_size: pictures at once.
        progress: called with (done, total, what is being done).
        command: how to repeat this, written to the card.
        untrained: the same method before training, for a third reference row.
        features: which extractors' distances between answers and partners to add, of `features.NAMES` without 'judge'.
        weights: folder of the extractors' files, or the file of one; None: RETOUCH_WEIGHTS, else torch's hub cache.
        download: fetch files that are missing and have a published digest.
        palette: the colours of a folder's parses; None: the classes of a folder are unknown.
        exact: both once more, as truth: label maps resized by nearest neighbour; None: as they are.
        ledger: gets the sums behind the intervals.
        any_n: as of `protocols.evaluate`.

    Returns:
        the card, with the reference rows `copy` (what was given) and `truth` (the true partner).

    Raises:
        ValueError: a model of another kind, sets that are no pairs, a reader for answers that need none, extractors without weights, a
            palette in which nothing that is wanted is painted.
        FloatingPointError: an answer that is not finite.
    """
    method = getattr(model, 'method', model)
    method.nets.to(device)
    n, is_drawn = len(given), source == 'toyfaces'
    if method.kind != 'pairs' and (method.kind != 'domains' or is_drawn):
        raise ValueError(f'{method.id} trains on {method.kind}: expected a paired model for protocol pairs')
    if given.shape != wanted.shape:
        raise ValueError(f'{given.shape} given and {wanted.shape} wanted are no pairs: expected [N,S,S,3] of equal shape')
    if len(given) < 2:
        raise ValueError(f'{source} has {len(given)} held-out pair: expected at least 2; use a larger set')
    if JUDGE in features:
        raise ValueError('--features judge does not apply to pairs: no judge reads them; expected another extractor')
    here, there = exact or (given, wanted)
    if palette is not None and source != 'toyfaces':             # a photograph is the truth as networks see it
        here, there = (true if palette.paints(true[:16]) else seen for true, seen in ((here, given), (there, wanted)))
    sides = [(method.data.domains[-1], given, there)] + ([(method.data.domains[0], wanted, here)] if method.kind == 'domains' else [])
    tasks = [pair_task(method, there, to) for to, _, there in sides]
    names = tuple(task.name for task in tasks)

    # which answers are read class by class, and how
    edit = getattr(model, 'info', {}).get('data', {}).get('edit') if is_drawn else None
    is_parsed = is_drawn and edit is None
    palette = DRAWN if is_parsed else palette
    painted = [palette is not None and (to == PARSE if is_parsed else palette.paints(there[:16])) for to, _, there in sides]
    if reader is not None and (palette is None or all(painted)):
        raise ValueError('--judge does not apply: ' + ('parses are read by the nearest colour' if is_parsed else 'the classes of '
                         f'{edit or source} are unknown') + '; a parser reads pictures made from drawn parses')
    if palette is not None and not is_parsed and not any(painted) and reader is None:
        raise ValueError(f'{source} wants no parses in the colours of {", ".join(palette.classes[:3])} and so on: a photograph made from '
                         'labels is read by the FCN-8s of pix2pix, which Retouch does not have; give --judge MODEL, a parser that you '
                         'trained on your label maps with `retouch train parser.streets`, or score the way from photographs to labels')
    reads: list[Read | None] = [palette.read if palette is not None and some else None for some in painted]
    if reader is not None:
        assert palette is not None
        model_to_parser(reader, given.shape[1], palette.classes).method.nets.to(device)
        reads = [read or partial(images_to_parses, reader, batch_size=batch_size) for read in reads]
    painted_as = [(there, here), (here, there)]                  # of each direction: what is wanted, and what it is made from
    truths = [None if read is None or palette is None else _in_parts(palette.read, true if some else source_of, batch_size)
              for read, some, (true, source_of) in zip(reads, painted, painted_as, strict=False)]

    looking, lpips, digests = open_features(features, weights, download, device)
    data = CardData(source=source, hash=toyfaces.drawing_hash() if is_parsed else pairs_to_hash(given, wanted), size=given.shape[1],
                    attributes=names, first_index=HELD_OUT if is_drawn else None, count=dict.fromkeys(names, n))

    judge = None if reader is None else JudgeFacts(sha256=reader.weights_sha256)
    key = {'data': data.model_dump(mode='json'), 'n': n, 'seed': seed, 'judge': judge and judge.sha256, 'protocol': 'pairs',
           'classes': [len(palette.classes) if palette and read else 0 for read in reads], 'extractors': digests,
           **({'any_n': True} if any_n else {})}
    ledger = ledger or Ledger()
    ledger.open(key, method, untrained, batch_size, device)
    real = {e.name: [pictures_to_features(e, there, batch_size, ledger.within(f'wanted-{k}-{e.name}'))
                     for k, (_, _, there) in enumerate(sides)] for e in looking}

    def measure_row(row: str, answers: Sequence[PairAnswer]) -> Row:
        step = counting(progress, n * len(sides), f'scoring {"pairs" if row == "model" else row}')
        scored = [score_pairs(here, there, answer, read, device=device, batch_size=batch_size, advance=step, lpips=lpips,
                              looks={e.name: e.look for e in looking}, piece=ledger.within(f'{row}-{k}'))
                  for k, ((_, here, there), answer, read) in enumerate(zip(sides, answers, reads, strict=True))]
        measures, tallies = dict[str, Measure](), dict[str, Tally]()
        for name in scored[0].tallies:
            parts = [some.tallies[name] for some in scored]
            both = Tally(np.concatenate([p.total for p in parts]), np.concatenate([p.count for p in parts]), parts[0].reduce)
            tallies[name], measures[name] = both, tally_to_measure(name, both, names, seed)
        for some, true, direction in zip(scored, truths, names, strict=True):
            if some.classes is not None and true is not None and palette is not None:
                scores = parses_to_tallies(some.classes, true, len(palette.classes))
                if sum(found is not None for found in truths) > 1:
                    scores = {f'{name}[{direction}]': tally for name, tally in scores.items()}
                measures |= {name: tally_to_measure(name, tally, palette.classes, seed) for name, tally in scores.items()}
                tallies |= scores
        for e in looking:
            each = [edits_to_distances(partners, [some.seen[e.name]], (name,), partial(e.compare, seed=seed), e.measures,
                                       fewest=0 if any_n else partners.shape[1] - e.logits)
                    for partners, some, name in zip(real[e.name], scored, names, strict=True)]
            for name in each[0]:
                values = [found[name].value for found in each]
                mean = None if None in values else float(np.mean([v for v in values if v is not None]))
                measures[f'{name}[{e.name}]'] = Measure(value=mean, per_attribute=dict(zip(names, values, strict=True)),
                                                        unit=each[0][name].unit, note=each[0][name].note)
        return measures, tallies, {}

    def row(name: str, answers: Sequence[PairAnswer]) -> dict[str, Measure]:
        return ledger.row(name, lambda: measure_row(name, answers))[0]

    def answers_of(system: Any) -> list[PairAnswer]:
        ask = drawing_again(system, n)
        return [lambda x, part, task=task: ask(task.request(x, part), part) for task in tasks]             # type: ignore[misc]

    measures = row('model', answers_of(method))
    true: list[PairAnswer] = [lambda x, part, there=there: Translation(pictures_to_tensor(there[part], device))      # type: ignore[misc]
                              for _, _, there in sides]
    references = remembered(key, lambda: {'copy': row('copy', [lambda x, part: Translation(x)] * len(sides)), 'truth': row('truth', true)})
    if untrained is not None:
        untrained.nets.to(device)
        references['untrained'] = row('untrained', answers_of(untrained))
    return Card(protocol='pairs', data=data, n=n, seed=seed, checkpoint=checkpoint(model), hardware=hardware(device), versions=versions(),
                command=command, measures=measures, references=references, judge=judge, extractors=digests)


def drawing_again(system: Any, n: int) -> Callable[[DomainRequest, slice], Translation]:
    """(request, which of the n) -> the answer; of a system that draws what it makes, extras 'draw_1' and 'draw_2' are others, by two more
    draws for every picture. What drops values stays as it is."""
    fixed: dict[str, Tensor] = system.fixed_noise() if hasattr(system, 'fixed_noise') else {}
    drawn = {name: values for name, values in fixed.items() if not name.startswith('dropout_')}
    moment = Moment(count=n, total=n)

    def answer(request: DomainRequest, part: slice) -> Translation:
        made = system.translate(request)
        if not drawn:
            return made
        noise = [{name: moment.normal(f'{name}_{k}', *values.shape[1:])[part] for name, values in drawn.items()} for k in (1, 2)]
        others = {f'draw_{k}': system.translate(replace(request, noise={**fixed, **told})).image for k, told in enumerate(noise, 1)}
        return replace(made, extras={**made.extras, **others})

    return answer


def _in_parts(read: Read, images: np.ndarray, batch_size: int) -> np.ndarray:
    return np.concatenate([read(images[i:i + batch_size]) for i in range(0, len(images), batch_size)])


PairAnswer = Callable[[Tensor, slice], Translation]      # (x [b,3,S,S], which of the n)


class PairScores(NamedTuple):
    """What a pass over pairs leaves behind."""

    tallies: dict[str, Tally]            # [1,n] each
    classes: np.ndarray | None           # uint8 [n,S,S], as the answers were read
    seen: dict[str, Tensor]              # extractor -> [n,F]


def score_pairs(given: np.ndarray, wanted: np.ndarray, answer: PairAnswer, read: Read | None, *,
                device: torch.device | str = 'cpu', batch_size: int = 64,
                advance: Callable[[int], None] | None = None, lpips: nn.Module | None = None,
                looks: Mapping[str, Callable[[Tensor], Tensor]] | None = None, piece: Piece | None = None) -> PairScores:
    """One pass over pairs: answer, compare with the truth, read classes; keep sums and classes only.

    Args:
        given: uint8 [n,S,S,3].
        wanted: uint8 [n,S,S,3].
        answer: (x [b,3,S,S], which of the n) -> Translation.
        read: how answers are read class by class; None: they are not.
        device: where answers are computed and compared.
        batch_size: pictures at once.
        advance: called with the number of pictures scored since the last call.
        lpips: adds its distance of answer and partner.
        looks: extractor -> features [b,F] on the CPU of answers as uint8 [b,3,S,S].
        piece: as of `scoring.score`.
    """
    found = in_batches(len(given), batch_size, lambda part: _score_batch(given[part], wanted[part], lambda x: answer(x, part), read, device,
                                                                         lpips, looks or {}), piece, advance)
    tallies = {name: Tally(found[f'total:{name}'][None], found[f'count:{name}'][None], SUMS.get(name.partition('[')[0], pooled))
               for name in (key.partition(':')[2] for key in found if key.startswith('total:'))}
    return PairScores(tallies, found.get('classes'), {name: torch.from_numpy(found[f'seen:{name}']) for name in looks or {}})


@torch.no_grad()
def _score_batch(given: np.ndarray, wanted: np.ndarray, answer: Callable[[Tensor], Translation], read: Read | None,
                 device: torch.device | str, lpips: nn.Module | None, looks: Mapping[str, Callable[[Tensor], Tensor]]) -> Arrays:
    """Some of the pairs: 'total:M' and 'count:M' [b] of every measure M, 'classes' [b,S,S] if read, 'seen:E' [b,F] of extractors E."""
    x, y = (pictures_to_tensor(images, device) for images in (given, wanted))
    answered = answer(x)
    out = answered.image
    if not bool(out.isfinite().all()):
        raise FloatingPointError('an answer is not finite: the model is damaged or its training diverged')
    made = psnr.to_bytes(out)                                    # what a saved picture holds is what every measure sees
    nowhere = torch.zeros(len(x), 1, *x.shape[2:], dtype=torch.bool, device=x.device)
    error = psnr.squared_error_inside_outside(made, psnr.to_bytes(y), nowhere)
    each, finite = psnr.squared_error_to_psnr_per_image(error.outside, error.outside_count)
    similar, _ = ssim.images_to_ssim_outside(made.float() / 127.5 - 1, y, nowhere)
    one = torch.ones(len(x))
    found = {'psnr_truth': (error.outside, error.outside_count), 'psnr_truth_per_image': (each, finite),
             'mse_truth': (error.outside, error.outside_count), 'ssim_truth': (similar, one)}
    if lpips is not None:
        found[f'lpips_truth[{LPIPS}]'] = images_to_lpips(lpips, made.float() / 127.5 - 1, y), one
    for name, image in answered.extras.items():                  # of a system that answers several times over, every step by itself
        if name.startswith('step_'):
            found[f'psnr_truth[{name.replace("_", " ")}]'] = (
                psnr.squared_error_inside_outside(psnr.to_bytes(image), psnr.to_bytes(y), nowhere).outside, error.outside_count)
    if 'draw_1' in answered.extras:
        some, other = (psnr.to_bytes(answered.extras[f'draw_{k}']).float() for k in (1, 2))
        found['diversity'] = (some - other).abs().mean((1, 2, 3)), one
        if lpips is not None:
            found[f'lpips_diversity[{LPIPS}]'] = images_to_lpips(lpips, some / 127.5 - 1, other / 127.5 - 1), one
    result = {f'seen:{name}': look(made).numpy() for name, look in looks.items()}
    for name, (value, weight) in found.items():
        result |= {f'total:{name}': value.cpu().double().numpy(), f'count:{name}': weight.cpu().double().numpy()}
    if read is not None:
        result['classes'] = read(made.permute(0, 2, 3, 1).cpu().numpy())
    return result
