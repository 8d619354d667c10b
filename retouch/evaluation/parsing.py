"""Scores of parses: pixel accuracy, class accuracy and IoU; and the card of a parser."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from retouch import toyfaces
from retouch.data.sets import ParsingSet
from retouch.evaluation.card import Card, CardData
from retouch.evaluation.ledger import Ledger
from retouch.evaluation.provenance import checkpoint, pairs_to_hash, versions
from retouch.evaluation.scoring import in_batches, pictures_to_tensor
from retouch.evaluation.tasks import Progress, counting
from retouch.hardware import hardware
from retouch.metrics.measure import tally_to_measure
from retouch.metrics.parses import parses_to_tallies
from retouch.model import Model, model_to_parser
from retouch.toyfaces.stored import HELD_OUT


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
