"""Scores of parses: pixel accuracy, class accuracy and IoU; and the card of a parser."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from retouch.data import toyfaces
from retouch.data.batches import IGNORED
from retouch.data.sets import HELD_OUT, ParsingSet
from retouch.metrics.bootstrap import Tally, mean_over_attributes, pooled
from retouch.metrics.card import Card, CardData, tally_to_measure
from retouch.metrics.ledger import Ledger
from retouch.metrics.provenance import checkpoint, pairs_to_hash, versions
from retouch.metrics.scoring import in_batches, pictures_to_tensor
from retouch.metrics.tasks import Progress, counting
from retouch.model import Model
from retouch.train import hardware


def model_to_parser(model: Model, size: int, names: tuple[str, ...] | None = None) -> Model:
    """The same model, if it parses pictures of `size` px into the classes `names` (None: any list).

    Raises:
        ValueError: no parser, a parser of another size or of other classes.
    """
    if model.method.id != 'parser':
        raise ValueError(f'{model.path} is a {model.method.id}: expected a parser; train one with `retouch train parser.toyfaces48`')
    if model.data.size != size:
        raise ValueError(f'{model.path} parses {model.data.size} px, the pictures are {size} px: expected a parser of that size; train one '
                         f'with `retouch train parser.toyfaces48 --data.size {size}` (drawn faces) or parser.celebamask (photographs)')
    if names is not None and model.data.attributes != tuple(names):
        raise ValueError(f'{model.path} names the classes {", ".join(model.data.attributes)}: expected {", ".join(names)} in that order; '
                         'use a parser of the same list')
    return model


@torch.no_grad()
def images_to_parses(model: Model, images: np.ndarray, batch_size: int = 64,
                     advance: Callable[[int], None] | None = None) -> np.ndarray:
    """uint8 [N,S,S,3] -> classes uint8 [N,S,S]. The first of equal logits wins. `advance` is told how many pictures were parsed."""
    net = model.method.nets['parser'].eval()

    def compute(part: slice) -> dict[str, np.ndarray]:
        logits = net(pictures_to_tensor(images[part], model.device))
        if not bool(logits.isfinite().all()):
            raise FloatingPointError(f'the parse of {model.path} is not finite: the model is damaged or its training diverged')
        return {'parse': logits.argmax(1).to(torch.uint8).cpu().numpy()}

    return in_batches(len(images), batch_size, compute, advance=advance)['parse']


def parses_to_tallies(found: np.ndarray, truth: np.ndarray, classes: int) -> dict[str, Tally]:
    """Counts of every class and picture, pooled over pictures before they are divided, as FCN's scores are.

    Args:
        found: classes uint8 [N,S,S].
        truth: the same of the truth; IGNORED pixels do not count.
        classes: C. A class that neither shows (IoU) or the truth does not show (accuracy) is left out of the mean over classes.

    Returns:
        'fcn_pixel_accuracy', 'fcn_class_accuracy' and 'fcn_iou', [C,N] each.
    """
    known = truth != IGNORED
    both, here, there = (np.zeros((classes, len(found))) for _ in range(3))
    for k in range(classes):
        mine, true = (found == k) & known, truth == k
        both[k], here[k], there[k] = ((x.reshape(len(found), -1).sum(1)) for x in (mine & true, mine, true))
    return {'fcn_pixel_accuracy': Tally(both, there, pooled), 'fcn_class_accuracy': Tally(both, there, mean_over_attributes),
            'fcn_iou': Tally(both, here + there - both, mean_over_attributes)}


def parser_card(model: Model, opened: ParsingSet, *, source: str = 'toyfaces', seed: int = 0, batch_size: int = 64, command: str = '',
                device: torch.device | str = 'cpu', ledger: Ledger | None = None, progress: Progress | None = None) -> Card:
    """Scores a parser on held-out pictures.

    Args:
        model: a parser.
        opened: held-out pictures with their parses, of the parser's size and classes.
        source: 'toyfaces' or a folder, for the card.
        seed: of the bootstrap.
        batch_size: pictures at once.
        command: how to repeat this.
        device: where it works.
        ledger: gets the sums behind the intervals.
        progress: called with (done, total, what is being done).

    Raises:
        ValueError: no parser, or pictures of another size or list of classes.
    """
    names, images, segmentations = opened.spec.attributes, opened.images, opened.segmentations
    model_to_parser(model, opened.spec.size, names).method.nets.to(device)
    parsed = images_to_parses(model, images, batch_size, counting(progress, len(images), 'parsing pictures'))
    tallies = parses_to_tallies(parsed, segmentations, len(names))
    if ledger is not None:
        ledger.tallies = tallies
    drawn = source == 'toyfaces'
    data = CardData(source=source, hash=toyfaces.drawing_hash() if drawn else pairs_to_hash(images, segmentations), size=images.shape[1],
                    attributes=names, first_index=HELD_OUT if drawn else None)
    return Card(protocol='parser', data=data, n=len(images), seed=seed, checkpoint=checkpoint(model), hardware=hardware(device),
                versions=versions(), command=command,
                measures={name: tally_to_measure(name, tally, names, seed) for name, tally in tallies.items()})
