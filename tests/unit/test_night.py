"""Night: a function of the picture, both ways known; its domains, its tasks and its scores."""
from __future__ import annotations

import numpy as np
import pytest
import torch

from retouch import toyfaces
from retouch.data.batches import DataSpec
from retouch.data.configs import DomainData
from retouch.data.sets import open_domains
from retouch.engine.update import DomainRequest, Translation
from retouch.evaluation.card import Card
from retouch.evaluation.judge import Judge
from retouch.evaluation.protocols import evaluate
from retouch.evaluation.scoring import pictures_to_tensor
from retouch.evaluation.tasks import domain_tasks
from retouch.toyfaces.night import BOTTOM, COLOUR, GREY, TINT, night, night_hash
from retouch.toyfaces.stored import HELD_OUT, drawn
from tests.unit.test_card import SIZE, Fake, Reader, classifier


def test_night_by_hand_and_without_loss() -> None:
    image = np.zeros((1, 3, 1, 3), np.uint8)
    image[0, :, 0] = (200, 100, 50)
    grey = 0.299 * 200 + 0.587 * 100 + 0.114 * 50                                      # 124.2
    first = [(200 + grey) / 2 * 0.42, (100 + grey) / 2 * 0.50, (50 + grey) / 2 * 0.74]
    assert night(image)[0, 0, 0].tolist() == [round(v) for v in first] == [68, 56, 64]
    assert night(image)[0, 1, 0].tolist() == [round(v * 0.75) for v in first] and night(image)[0, 2, 0].tolist() == [34, 28, 32]
    images, _, labels = drawn(range(HELD_OUT, HELD_OUT + 70), 32, 0)
    dark = night(images)
    assert dark.dtype == np.uint8 and np.array_equal(night(images[65:66])[0], dark[65])                 # a function of one picture
    mixed = COLOUR * np.eye(3) + (1 - COLOUR) * np.tile(GREY, (3, 1))
    back = dark / np.linspace(1, BOTTOM, 32)[:, None, None] / TINT @ np.linalg.inv(mixed).T
    assert np.abs(back - images).max() < 10 and ((back - images) ** 2).mean() < 4       # only rounding is lost: over 42 dB
    region = (np.maximum(images, dark) - np.minimum(images, dark)).max(3) > toyfaces.REGION_THRESHOLD
    assert 0.995 < region.mean() < 1


def test_the_drawing_stays_what_it_was() -> None:
    before = toyfaces.drawing_hash()
    toyfaces.drawing_hash.cache_clear()
    assert toyfaces.drawing_hash() == before != night_hash() and len(night_hash()) == 12
    assert 'Night' not in toyfaces.ATTRIBUTES


@pytest.mark.parametrize('split', ['train', 'test'])
def test_domains_of_day_and_night_share_no_face(split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('retouch.data.sets.drawn', lambda indices, *rest: drawn(indices[:5], *rest))    # the test part is a thousand faces
    opened = open_domains(DomainData(attribute='Night', size=16, load_size=None), split)               # type: ignore[arg-type]
    start = 0 if split == 'train' else HELD_OUT
    images, _, _ = drawn(range(start, start + 5), 16, 0)
    assert np.array_equal(opened.a, images[::2]) and np.array_equal(opened.b, night(images[1::2]))
    assert opened.spec.samples == (3, 2)
    with pytest.raises(ValueError, match="unknown attribute 'Nigth': did you mean 'Night'"):
        open_domains(DomainData(attribute='Nigth', size=16, load_size=None), split)     # type: ignore[arg-type]


def judge() -> Judge:
    return Judge(classifier(Reader(15), toyfaces.ATTRIBUTES), toyfaces.ATTRIBUTES)      # type: ignore[arg-type]


def scored(answer: object, n: int = 12) -> Card:
    method = Fake(answer, DataSpec(size=SIZE, domains=('A', 'B')))                      # type: ignore[arg-type]
    return evaluate(method, protocol='domains', n=n, judge=judge(), attribute='Night', any_n=True)


def test_both_ways_have_a_truth() -> None:
    method = Fake(lambda request: Translation(request.image), DataSpec(size=SIZE, domains=('day', 'dark')))
    inputs, (there, back) = domain_tasks(method, toyfaces.ATTRIBUTES, 7, 0, attribute='Night')
    images, _, _ = drawn(range(HELD_OUT, HELD_OUT + 7), SIZE, 0)
    assert there.name == 'Night=1' and there.rows.tolist() == [0, 2, 4, 6] and back.rows.tolist() == [1, 3, 5]
    assert np.array_equal(inputs[there.rows], images[there.rows]) and np.array_equal(inputs[back.rows], night(images)[back.rows])
    assert np.array_equal(there.truth, night(images)[there.rows]) and np.array_equal(back.truth, images[back.rows])    # type: ignore[arg-type]
    assert there.request(torch.zeros(1), slice(0, 1)).to == 'dark' and back.request(torch.zeros(1), slice(0, 1)).to == 'day'
    assert there.region is not None and there.region.mean() > 0.99


def test_scores_of_night() -> None:
    """A model that knows the way there exactly, and does nothing on the way back."""
    def answer(request: DomainRequest) -> Translation:
        if request.to == 'A':
            return Translation(request.image)
        pictures = ((request.image + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        return Translation(pictures_to_tensor(night(pictures)))

    card = scored(answer)
    assert card.data.hash == night_hash() and card.data.rule is None and card.data.attributes == ('Night=1', 'Night=0')
    assert card.data.count == {'Night=1': 6, 'Night=0': 6} and min((card.data.region_area or {}).values()) > 0.99
    assert card.measures['arrived'].per_attribute == {'Night=1': 1.0, 'Night=0': 0.0} and card.measures['arrived'].value == 0.5
    assert 'edit_accuracy' not in card.measures                                         # no judge reads whether it is night
    assert (card.measures['psnr_truth'].per_attribute or {})['Night=1'] is None         # infinite
    assert (card.measures['psnr_truth'].per_attribute or {})['Night=0'] == pytest.approx(10, abs=2)
    assert 'leakage' not in card.measures and card.leakage_matrix is None                # the judge cannot read by night
    copy, truth = card.references['copy'], card.references['truth']
    assert copy['arrived'].value == 0 and truth['arrived'].value == 1 and truth['mse_truth'].value == 0
    assert {'fid[toyfaces_classifier]', 'kid[toyfaces_classifier]', 'kid_fused[toyfaces_classifier]'} <= set(card.measures)
    assert truth['kid[toyfaces_classifier]'].value < copy['kid[toyfaces_classifier]'].value      # type: ignore[operator]
    eyeglasses = evaluate(Fake(answer, DataSpec(size=SIZE, domains=('A', 'B'))), protocol='domains', n=12, judge=judge())
    assert eyeglasses.data.hash == toyfaces.drawing_hash() and eyeglasses.data.rule == 'attgan_tf'
    assert {'edit_accuracy', 'leakage'} <= set(eyeglasses.measures) and 'arrived' not in eyeglasses.measures
