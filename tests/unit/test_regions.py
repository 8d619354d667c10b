"""PSNR outside the parts of a face that an edit names: by hand, on painted pictures and with a parser that reads the paint."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from retouch import toyfaces
from retouch.data.batches import DataSpec
from retouch.data.parsing import TWELVE
from retouch.engine.update import AttributeRequest, Translation
from retouch.evaluation.card import Card
from retouch.evaluation.comparison import cards_to_comparison as compare
from retouch.evaluation.judge import Judge
from retouch.evaluation.protocols import evaluate
from retouch.evaluation.regions import PARTS
from retouch.metrics.measure import about
from tests.unit.test_card import Fake, FakeModel, Reader, classifier

SIZE, ASKED = 32, ('Black_Hair', 'Pale_Skin', 'Young')
HAIR, SKIN, OTHERS = 220, 150, 50                    # red levels
ERRORS = (4, 8, 0, 4, 6)                             # levels that the answer adds to each picture outside the hair


class PaintReader:
    """A parser that reads classes off the red channel."""

    id = 'parser'

    def __init__(self, size: int = SIZE, id: str = 'parser') -> None:
        self.id, self.data, self.nets = id, DataSpec(size=size, attributes=TWELVE), nn.ModuleDict()

    def read(self, image: Tensor) -> Tensor:
        red = (image[:, 0] + 1) * 127.5
        hair, skin, others = (TWELVE.index(name) for name in ('hair', 'skin', 'others'))
        classes = torch.where(red > 200, hair, torch.where(red > 100, skin, others))
        return nn.functional.one_hot(classes, 12).movedim(-1, 1).mul(20.0).log_softmax(1)


def pictures() -> np.ndarray:
    """Upper half hair, lower half skin and others; the fourth is hair but for less than 1 %. Green tells them apart."""
    images = np.full((5, SIZE, SIZE, 3), OTHERS, np.uint8)
    images[:, :16, :, 0] = HAIR
    images[:, 16:, :16, 0] = SKIN
    images[3, :, :, 0] = HAIR
    images[3, 31, :10, 0] = SKIN                     # 10 of 1,024 pixels
    images[..., 1] = 10 * np.arange(5)[:, None, None]
    return images


def answer(request: AttributeRequest) -> Translation:
    """Adds 30 levels to hair and a picture's own error elsewhere; paints hair over the others of the fifth picture."""
    levels = ((request.image + 1) * 127.5).round()
    which = (levels[:, 1, 0, 0] / 10).round().long()
    hair = levels[:, :1] > 200
    made = levels + torch.where(hair, 30.0, torch.tensor(ERRORS)[which].float()[:, None, None, None])
    made[which == 4, 0, 16:, 16:] = HAIR
    return Translation(made / 127.5 - 1)


def score(parser: Any, names: tuple[str, ...] = ASKED, **options: Any) -> Card:
    images, labels = pictures(), np.zeros((5, len(names)), np.float32)
    method, judge = Fake(answer, DataSpec(size=SIZE, attributes=names)), Judge(classifier(Reader(len(names)), names), names)      # type: ignore[arg-type]
    return evaluate(method, protocol='folder', images=images, labels=labels, judge=judge, parser=parser, **options)


def test_by_hand() -> None:
    card = score(FakeModel(PaintReader()), batch_size=2)
    images = pictures().astype(float)
    made = ((answer(AttributeRequest(torch.from_numpy(pictures()).permute(0, 3, 1, 2) / 127.5 - 1, Tensor(), Tensor())).image + 1) * 127.5)
    squared = (made.permute(0, 2, 3, 1).numpy().round() - images) ** 2
    expected: dict[str, dict[str, float]] = {name: {} for name in ('pooled', 'parser', 'union', 'zero_fill')}
    for attribute, level in (('Black_Hair', HAIR), ('Pale_Skin', SKIN)):
        sums, counts, values = 0.0, 0, {name: [] for name in ('parser', 'union', 'zero_fill')}
        for n in range(5):
            keep = images[n, :, :, 0] != level
            both = keep & ~((n == 4) & (attribute == 'Black_Hair') & (np.indices((SIZE, SIZE)).min(0) >= 16))
            if keep.mean() < 0.01:
                continue
            sums, counts = sums + squared[n][keep].sum(), counts + 3 * keep.sum()
            for name, where, values_in_all in (('parser', keep, 3 * keep.sum()), ('union', both, 3 * both.sum()),
                                               ('zero_fill', keep, 3 * SIZE ** 2)):
                if squared[n][where].sum():
                    values[name].append(10 * np.log10(255 ** 2 * values_in_all / squared[n][where].sum()))
        expected['pooled'][attribute] = 10 * np.log10(255 ** 2 * counts / sums)
        for name, found in values.items():
            expected[name][attribute] = np.mean(found)
    for name, key in (('pooled', 'psnr_outside[parser]'), *((r, f'psnr_outside_per_image[parser{"" if r == "parser" else f",{r}"}]')
                                                            for r in ('parser', 'union', 'zero_fill'))):
        measure = card.measures[key]
        assert measure.per_attribute == {**{k: pytest.approx(v, abs=1e-6) for k, v in expected[name].items()}, 'Young': None}, key
        if name != 'pooled':
            assert measure.value == pytest.approx(np.mean(list(expected[name].values())), abs=1e-6), 'the mean of the attributes'
        assert card.references['copy'][key].value is None and measure.unit == 'dB' and about(key).text and 'features' not in about(key).text
    # two of them without a formula: unedited hair of one error a picture, half of the frame kept, the error-free and the hairy one left out
    kept = [20 * np.log10(255 / e) for e in (4, 8)]
    union = expected['union']['Black_Hair']
    assert union == pytest.approx(np.mean([*kept, 20 * np.log10(255 / 6)]))
    assert expected['zero_fill']['Black_Hair'] == pytest.approx(expected['parser']['Black_Hair'] + 10 * np.log10(2))
    assert card.extractors['parser'] == 'ab' * 32 and card.measures['edit_accuracy'].value is not None


def test_a_parser_adds_measures_and_changes_none() -> None:
    plain, parsed = score(None), score(FakeModel(PaintReader()))
    assert {k: v for k, v in parsed.measures.items() if 'parser' not in k} == plain.measures and 'parser' not in plain.extractors
    other = FakeModel(PaintReader())
    other.weights_sha256 = 'cd' * 32
    with pytest.raises(ValueError, match='extractor parser'):
        compare({'one': parsed, 'other': score(other)})


def test_what_does_not_fit_is_refused() -> None:
    assert set(PARTS) >= {'Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Pale_Skin'}
    assert {part for parts in PARTS.values() for part in parts} <= set(TWELVE)
    for parser, names, message in ((PaintReader(48), ASKED, 'parses 48 px, the pictures are 32 px'),
                                   (PaintReader(id='stargan'), ASKED, 'expected a parser'),
                                   (PaintReader(), ('Young', 'Male'), 'does not apply to edits of Young, Male: expected at least one')):
        with pytest.raises(ValueError, match=message):
            score(FakeModel(parser), names)
    with pytest.raises(ValueError, match='a parser with protocol domains: expected toyfaces or folder'):
        evaluate(Fake(answer, DataSpec(size=SIZE)), protocol='domains', parser=FakeModel(PaintReader()))      # type: ignore[arg-type]


def test_on_drawn_faces_it_stands_beside_the_true_region() -> None:
    names = ('Blond_Hair', 'Eyeglasses')
    reader = Judge(classifier(Reader(15), toyfaces.ATTRIBUTES), toyfaces.ATTRIBUTES)                       # type: ignore[arg-type]
    greyer = Fake(lambda request: Translation(request.image - request.image.sign() * 20 / 255), DataSpec(size=SIZE, attributes=names))
    plain, parsed = (evaluate(greyer, n=6, judge=reader, parser=parser) for parser in (None, FakeModel(PaintReader())))      # type: ignore[arg-type]
    added = parsed.measures.keys() - plain.measures.keys()
    assert len(added) == 4 and all('[parser' in name for name in added)
    assert {name: parsed.measures[name] for name in plain.measures} == plain.measures
    found = parsed.measures['psnr_outside[parser]'].per_attribute or {}
    assert found['Eyeglasses'] is None and found['Blond_Hair'] == pytest.approx(20 * np.log10(255 / 10), abs=0.01), 'ten levels everywhere'


def test_the_parts_that_edits_name() -> None:
    """The CAM paper: hair of a change of its colour; "skin, nose, neck" of pale skin, and neither ears nor lips."""
    assert PARTS == {'Black_Hair': ('hair',), 'Blond_Hair': ('hair',), 'Brown_Hair': ('hair',), 'Gray_Hair': ('hair',),
                     'Pale_Skin': ('skin', 'nose', 'neck')}
    assert TWELVE == ('skin', 'eyebrows', 'eyes', 'eyeglasses', 'ears', 'earrings', 'nose', 'mouth', 'lips', 'neck', 'hair', 'others')
