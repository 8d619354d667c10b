"""The judge: a classifier that no scored system has seen, and that must prove itself before it may judge."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from retouch import toyfaces
from retouch.errors import unknown
from retouch.evaluation.card import Card, JudgeFacts
from retouch.model import Model, load_model

MINIMUM = 0.99


@dataclass(frozen=True)
class Judge:
    """A classifier at rest."""

    model: Any                       # a Model whose method has nets['C'] with `features` and `head`
    names: tuple[str, ...]           # the J attributes it reads
    card: Card | None = None

    @property
    def sha256(self) -> str:
        return self.model.weights_sha256

    @property
    def facts(self) -> JudgeFacts:
        accuracy = self.card.measures.get('accuracy') if self.card else None
        return JudgeFacts(sha256=self.sha256, mean_accuracy=accuracy.value if accuracy else None,
                          per_attribute=accuracy.per_attribute if accuracy else None, n=self.card.n if self.card else None)

    @property
    def exclusive(self) -> bool:
        """Whether a picture has exactly one of the labels."""
        return getattr(getattr(self.model.method, 'config', None), 'labels', 'multi') == 'single'

    def column(self, name: str) -> int:
        """Column of an attribute; ValueError if the judge does not read it."""
        if name not in self.names:
            raise unknown('attribute for this judge', name, self.names)
        return self.names.index(name)

    @torch.no_grad()
    def look(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Reads pictures.

        Args:
            image: [N,3,H,W] in [-1,1], resized (bilinear, antialiased) to the judge's size.

        Returns:
            readings [N,J] bool and penultimate features [N,F] float32, both on the CPU.
        """
        net = self.model.method.nets['C']
        size = self.model.data.size
        device = next((p.device for p in net.parameters()), torch.device('cpu'))
        image = image.to(device, torch.float32)
        if image.shape[2:] != (size, size):
            image = F.interpolate(image, size=(size, size), mode='bilinear', antialias=True, align_corners=False)
        features = net.features(image)
        logits = net.head(features)
        if self.exclusive:
            read = F.one_hot(logits.argmax(1), logits.shape[1]).bool()
        else:
            read = logits > 0
        return read.cpu(), features.float().cpu()

    @torch.no_grad()
    def logits(self, features: Tensor) -> Tensor:
        """Features [N,F] that `look` gave -> the logit of every attribute, [N,J] on the CPU."""
        net = self.model.method.nets['C']
        device = next((p.device for p in net.parameters()), torch.device('cpu'))
        return net.head(features.to(device)).float().cpu()


def model_to_judge(model: Model, device: torch.device | str = 'cpu') -> Judge:
    """A classifier as judge, with the card beside its weights if there is one; no accuracy is asked of it."""
    if 'C' not in model.method.nets:
        raise ValueError(f'{model.path} is no classifier: expected a model of method classifier as judge')
    model.method.nets.to(device).eval()
    path = next((p for p in (model.path / 'card.json', model.path.parent / 'card.json') if p.is_file()), None)
    card = Card.read(path) if path else None
    if card is not None and card.checkpoint.sha256 not in (None, model.weights_sha256):
        raise ValueError(f'{path} is the card of weights {str(card.checkpoint.sha256)[:12]}…, the judge has {model.weights_sha256[:12]}…: '
                         'evaluate the judge again')
    return Judge(model, tuple(model.data.attributes), card)


def proved(judge: Judge, name: str, minimum: float = MINIMUM, drawn: bool = True) -> Judge:
    """The same judge, if its card lets it judge.

    Args:
        judge: with the card that stands beside its weights.
        name: what the user calls it, for the error.
        minimum: mean accuracy on held-out true pictures that the card must show.
        drawn: whether it is to judge drawn faces; its card must then be of today's drawing code.

    Raises:
        ValueError: no card, one of another protocol, of other weights or of other pictures, or an accuracy below `minimum`.
    """
    card, accuracy = judge.card, judge.facts.mean_accuracy
    if card is None or card.protocol != 'classifier' or accuracy is None:
        raise ValueError(f'judge {name} has no card.json with its accuracy on held-out pictures: run `retouch evaluate {name}` first')
    if card.checkpoint.sha256 != judge.sha256:
        raise ValueError(f'judge {name} has the card of other weights than {judge.sha256[:12]}…: evaluate the judge again')
    if drawn and (card.data.source, card.data.hash) != ('toyfaces', toyfaces.drawing_hash()):
        raise ValueError(f'judge {name} was evaluated on {card.data.source} {card.data.hash}: expected toyfaces {toyfaces.drawing_hash()}; '
                         f'run `retouch evaluate {name} --data toyfaces` first')
    if accuracy < minimum:
        raise ValueError(f'judge {name} reaches {accuracy:.4f} mean accuracy: expected at least {minimum} before it may judge; '
                         'train it longer')
    return judge


def load_judge(name: str = 'judge', device: torch.device | str = 'cpu', minimum: float = MINIMUM) -> Judge:
    """The shipped judge, or another classifier that has proved itself on held-out faces.

    Args:
        name: shipped name, run directory or model directory of a classifier with a card.json.
        device: where it works.
        minimum: mean accuracy on held-out true pictures that its card must show.

    Raises:
        ValueError: it has not proved itself, see `proved`.
    """
    return proved(model_to_judge(load_model(name), device), name, minimum)
