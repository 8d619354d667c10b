"""Protocol eyeglasses: one edit for systems of every kind, and pairs of a face and its edit."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from retouch import toyfaces
from retouch.data.batches import DataSpec
from retouch.data.configs import PairData
from retouch.data.sets import open_pairs
from retouch.engine.update import AttributeRequest, DomainRequest, ExemplarRequest, Translation
from retouch.evaluation.comparison import cards_to_comparison as compare
from retouch.evaluation.judge import Judge
from retouch.evaluation.pairs import evaluate_pairs
from retouch.evaluation.protocols import evaluate
from retouch.evaluation.scoring import pictures_to_tensor
from retouch.evaluation.tasks import eyeglasses_tasks
from retouch.report.gallery import eyeglasses_rows
from retouch.toyfaces.stored import HELD_OUT
from tests.unit.test_card import FakeModel, Reader, classifier

SIZE, N = 32, 12
COLUMN = toyfaces.ATTRIBUTES.index('Eyeglasses')
LABELS = np.stack([toyfaces.face(i)[1] for i in range(HELD_OUT, HELD_OUT + N)])
DOMAINS = {'source': 'toyfaces', 'attribute': 'Eyeglasses'}
PAIRS = {'source': 'toyfaces', 'edit': 'Eyeglasses', 'direction': 'a_to_b'}


@dataclass
class Asked:
    """A method of some kind that darkens its input and keeps what it was asked."""

    kind: str
    data: DataSpec
    takes_exemplar: bool = False
    id: str = 'asked'
    nets: nn.ModuleDict = field(default_factory=nn.ModuleDict)
    requests: list[Any] = field(default_factory=list)

    def translate(self, request: Any) -> Translation:
        self.requests.append(request)
        return Translation(request.image * 0.9)


def model_of(kind: str, names: tuple[str, ...] = (), info: dict[str, Any] | None = None, **options: Any) -> FakeModel:
    spec = DataSpec(size=SIZE, attributes=names) if names else DataSpec(size=SIZE, domains=('A', 'B'))
    return FakeModel(Asked(kind, spec, **options), info={'data': info or {}})


@pytest.fixture(scope='module')
def judge() -> Judge:
    return Judge(classifier(Reader(15), toyfaces.ATTRIBUTES), toyfaces.ATTRIBUTES)                     # type: ignore[arg-type]


@pytest.fixture(scope='module')
def held_out() -> torch.Tensor:
    return pictures_to_tensor(toyfaces.draw_set(range(HELD_OUT, HELD_OUT + N), SIZE, workers=1)[0])


def rows_of(pictures: torch.Tensor, held_out: torch.Tensor) -> list[int]:
    """Which held-out faces these are."""
    return [next(i for i, face in enumerate(held_out) if torch.equal(face, picture)) for picture in pictures]


def test_each_kind_of_system_is_asked_in_its_own_terms(judge: Judge, held_out: torch.Tensor) -> None:
    names = ('Bangs', 'Eyeglasses')
    models = {'attributes': model_of('attributes', names), 'domains': model_of('domains', info=DOMAINS),
              'styled': model_of('domains', info=DOMAINS, takes_exemplar=True),
              'exemplars': model_of('exemplars', names, takes_exemplar=True), 'pairs': model_of('pairs', info=PAIRS)}
    cards = {name: evaluate(model, protocol='eyeglasses', n=N, judge=judge) for name, model in models.items()}
    without, wears = np.flatnonzero(LABELS[:, COLUMN] == 0), np.flatnonzero(LABELS[:, COLUMN] == 1)
    asked = {name: model.method.requests[0] for name, model in models.items()}
    assert all(rows_of(request.image, held_out) == without.tolist() for request in asked.values()) and len(asked) == 5
    labels = asked['attributes']
    assert isinstance(labels, AttributeRequest)
    assert np.array_equal(labels.source[:, 0], LABELS[without, 1]) and torch.equal(labels.source[:, 0], labels.target[:, 0])
    assert not labels.source[:, 1].any() and labels.target[:, 1].all()
    assert all(isinstance(asked[name], DomainRequest) and asked[name].to == 'B' for name in ('domains', 'styled', 'pairs'))
    assert asked['domains'].exemplar is None is asked['pairs'].exemplar
    assert set(rows_of(asked['styled'].exemplar, held_out)) <= set(wears.tolist())
    assert isinstance(asked['exemplars'], ExemplarRequest)
    given = rows_of(asked['exemplars'].exemplar, held_out)
    assert set(given) <= set(wears.tolist()) and np.array_equal(LABELS[given, 1], LABELS[without, 1])   # Bangs stay
    # one answer, one card, whatever was asked
    first = cards['attributes']
    assert first.data.attributes == ('Eyeglasses=1',) and first.data.count == {'Eyeglasses=1': len(without)}
    assert all(card.measures == first.measures and card.references == first.references for card in cards.values())
    assert {'copy', 'truth'} == set(compare(cards).rows) - set(cards) and first.protocol == 'eyeglasses'


def test_it_is_one_direction_of_protocol_domains(judge: Judge) -> None:
    model = model_of('domains', info=DOMAINS)
    both, one = (evaluate(model, protocol=protocol, n=N, judge=judge) for protocol in ('domains', 'eyeglasses'))
    seen = 0
    for name, measure in one.measures.items():
        assert measure.per_attribute is not None and set(measure.per_attribute) == {'Eyeglasses=1'}
        expected = (both.measures[name].per_attribute or {})['Eyeglasses=1']
        assert measure.per_attribute['Eyeglasses=1'] == expected and (expected is None or measure.value == pytest.approx(expected)), name
        seen += 1
    assert seen == len(both.measures) > 10


def test_who_never_learned_it_is_refused(judge: Judge) -> None:
    for model in (model_of('attributes', ('Bangs',)), model_of('exemplars', ('Bangs',)), model_of('parsing', ('Eyeglasses',)),
                  model_of('domains', info={**DOMAINS, 'source': 'x'}),
                  model_of('domains', info={**DOMAINS, 'attribute': 'Night'}), model_of('pairs', info={**PAIRS, 'edit': None}),
                  model_of('pairs', info={**PAIRS, 'direction': 'b_to_a'})):
        with pytest.raises(ValueError, match='this asked cannot be asked for Eyeglasses') as caught:
            evaluate(model, protocol='eyeglasses', n=N, judge=judge)
        assert '\n' not in str(caught.value) and not model.method.requests
    with pytest.raises(ValueError, match='none with Eyeglasses agrees with some face in Bald, Bangs, .*; raise --n'):
        eyeglasses_tasks(model_of('exemplars', toyfaces.ATTRIBUTES), toyfaces.ATTRIBUTES, N, 0)


def test_the_gallery_shows_the_first_faces_of_the_card() -> None:
    rows = eyeglasses_rows(model_of('exemplars', ('Eyeglasses',), takes_exemplar=True), N, n_faces=3)
    without = np.flatnonzero(LABELS[:, COLUMN] == 0)
    assert [row.title for row in rows] == [f'face {i + 1}: Eyeglasses=1' for i in without[:3]]
    assert all(list(row.panels) == ['input', 'exemplar', 'edit', 'truth', 'difference'] for row in rows)


# ---- pairs of a face and its edit

def test_pairs_of_an_edit_are_a_face_and_its_counterfactual() -> None:
    for config, first, split in ((PairData(edit='Eyeglasses', size=SIZE, load_size=None, n=9), 0, 'train'),
                                 (PairData(edit='Smiling', size=SIZE, load_size=None, n=9, seed=3), 0, 'train')):
        opened = open_pairs(config, split)                                             # type: ignore[arg-type]
        column = toyfaces.ATTRIBUTES.index(config.edit or '')
        faces = [face for i in range(first, first + 9) if not (face := toyfaces.face(i, config.seed))[1][column]]
        assert 0 < len(faces) < 9 and len(opened.a) == len(opened.b) == len(faces) and opened.spec.domains == ('A', 'B')
        for (identity, labels), given, wanted in zip(faces, opened.a, opened.b, strict=True):
            assert np.array_equal(given, toyfaces.render(identity, labels, SIZE)[0])
            assert np.array_equal(wanted, toyfaces.counterfactual(identity, labels, {config.edit: 1}, SIZE)[0])      # type: ignore[dict-item]
        back = open_pairs(config.model_copy(update={'direction': 'b_to_a'}))
        assert np.array_equal(back.a, opened.b) and np.array_equal(back.b, opened.a) and back.spec.domains == ('B', 'A')


@pytest.mark.parametrize(('options', 'message'), [
    ({'edit': 'Eyeglass'}, "did you mean 'Eyeglasses'"), ({'edit': 'Bangs'}, 'a bald head cannot show it'),
    ({'edit': 'Blond_Hair'}, 'a bald head cannot show it'), ({'edit': 'Eyeglasses', 'source': 'photos'}, 'only drawn faces can be edited')])
def test_edits_that_make_no_pairs(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_pairs(PairData(size=SIZE, load_size=None, n=2, **options))                 # type: ignore[arg-type]


def test_pairs_of_an_edit_are_not_read_as_parses() -> None:
    faces, _, _ = toyfaces.draw_set(range(4), SIZE, workers=1)
    learned = model_of('pairs', info={**PAIRS, 'direction': 'b_to_a'})
    learned.method.data = DataSpec(size=SIZE, domains=('B', 'A'))                       # its answers would be parses
    card, parses = evaluate_pairs(learned, faces, faces), evaluate_pairs(learned.method, faces, faces)
    assert not any(name.startswith('fcn') for name in card.measures) and any(name.startswith('fcn') for name in parses.measures)
    assert card.data.hash != parses.data.hash and card.data.first_index == HELD_OUT
    with pytest.raises(ValueError, match='the classes of Eyeglasses are unknown'):
        evaluate_pairs(learned, faces, faces, reader=learned)                          # type: ignore[arg-type]
