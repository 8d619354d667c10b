"""Paired systems: nearest colours, scores by hand, reference rows, readers."""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from retouch import toyfaces
from retouch.data.batches import DataSpec, Moment
from retouch.engine.update import DomainRequest, Translation
from retouch.evaluation.card import Card
from retouch.evaluation.ledger import Ledger
from retouch.evaluation.pairs import evaluate_pairs, held_out_pairs, pair_task, pictures_to_classes
from retouch.evaluation.scoring import pictures_to_tensor
from retouch.metrics.measure import about
from retouch.report.gallery import tasks_to_rows
from tests.unit.test_card import FakeModel

SIZE = 32
PALETTE = np.array(toyfaces.PALETTE, np.uint8)


@dataclass
class Paired:
    """A paired method whose answer is given."""

    answer: Any
    data: DataSpec
    kind: str = 'pairs'
    id: str = 'paired'
    nets: nn.ModuleDict = field(default_factory=nn.ModuleDict)

    def translate(self, request: DomainRequest) -> Translation:
        return Translation(self.answer(request.image))


class Colours(nn.Module):
    """Reads a picture whose colours are the palette's: a parser that never errs on parses."""

    def forward(self, x: Tensor) -> Tensor:
        classes = pictures_to_classes(((x + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
        return nn.functional.one_hot(torch.from_numpy(classes).long(), 12).permute(0, 3, 1, 2).float()


def reader(size: int = SIZE, names: tuple[str, ...] = toyfaces.CLASSES) -> Any:
    method = Paired(None, DataSpec(size=size, attributes=names), id='parser', nets=nn.ModuleDict({'parser': Colours()}))
    model = FakeModel(method)
    model.device = torch.device('cpu')                                                 # type: ignore[attr-defined]
    return model


def method(answer: Any, wanted: str = 'A', size: int = SIZE) -> Paired:
    return Paired(answer, DataSpec(size=size, domains=('B', 'A') if wanted == 'A' else ('A', 'B')))


def test_the_nearest_colour_by_hand() -> None:
    palette = ((0, 0, 0), (100, 0, 0), (0, 0, 40))
    images = np.array([[[(0, 0, 0), (51, 0, 0), (49, 0, 0), (0, 0, 20), (0, 0, 21), (255, 255, 255)]]], np.uint8)
    assert pictures_to_classes(images, palette).tolist() == [[[0, 1, 0, 0, 2, 1]]]      # of equally near ones the first
    _, parses, _ = toyfaces.draw_set(range(3), SIZE, workers=1)
    assert np.array_equal(pictures_to_classes(PALETTE[parses]), parses)


def test_scores_by_hand() -> None:
    """Two pictures of 32 x 32: the upper half skin, the lower hair; the answer paints a quarter of the hair as nose."""
    true = np.zeros((2, SIZE, SIZE), np.uint8)
    true[:, 16:] = toyfaces.CLASSES.index('hair')
    made = true.copy()
    made[:, 24:, :16] = toyfaces.CLASSES.index('nose')
    given = np.zeros((2, SIZE, SIZE, 3), np.uint8)
    card = evaluate_pairs(method(lambda x: pictures_to_tensor(PALETTE[made])), given, PALETTE[true])
    assert card.protocol == 'pairs' and card.data.attributes == ('to=A',) and card.n == 2 and card.data.hash == toyfaces.drawing_hash()
    assert card.measures['fcn_pixel_accuracy'].value == pytest.approx(7 / 8)
    assert card.measures['fcn_class_accuracy'].value == pytest.approx((1 + 3 / 4) / 2)
    iou = card.measures['fcn_iou'].per_attribute or {}
    assert iou['skin'] == 1 and iou['hair'] == pytest.approx(3 / 4) and iou['nose'] == 0 and iou['lips'] is None
    colours = PALETTE.astype(float)
    wrong = ((colours[toyfaces.CLASSES.index('hair')] - colours[toyfaces.CLASSES.index('nose')]) ** 2).mean() / 8
    assert card.measures['mse_truth'].value == pytest.approx(wrong)
    assert card.measures['psnr_truth'].value == pytest.approx(10 * np.log10(255 ** 2 / wrong))
    assert 0 < card.measures['ssim_truth'].value < 1                                   # type: ignore[operator]
    truth = card.references['truth']
    assert truth['fcn_iou'].value == 1 == truth['fcn_pixel_accuracy'].value and truth['psnr_truth'].value is None
    assert truth['ssim_truth'].value == pytest.approx(1, abs=1e-4) and set(card.references) == {'copy', 'truth'}


def test_what_is_given_and_what_is_wanted() -> None:
    pictures, parses, _ = toyfaces.draw_set(range(1_000_000, 1_000_003), SIZE, workers=1)
    given, wanted = held_out_pairs(3, SIZE, 0, 'A')
    assert np.array_equal(given, pictures) and np.array_equal(wanted, PALETTE[parses])
    given, wanted = held_out_pairs(3, SIZE, 0, 'B')
    assert np.array_equal(given, PALETTE[parses]) and np.array_equal(wanted, pictures)
    inputs = given[:2]
    rows = tasks_to_rows(method(lambda x: x, 'B'), inputs, [pair_task(method(lambda x: x, 'B'), wanted[:2])], 'pair')
    assert [row.title for row in rows] == ['pair 1: to=B', 'pair 2: to=B']
    assert all(list(row.panels) == ['input', 'edit', 'truth', 'error'] for row in rows)


def test_pictures_are_read_by_a_reader_and_only_they() -> None:
    given, wanted = held_out_pairs(4, SIZE, 0, 'B')
    bare = evaluate_pairs(method(lambda x: x, 'B'), given, wanted)
    assert not any(name.startswith('fcn') for name in bare.measures) and bare.judge is None
    # the reader reads parses: the parse that was given, handed on, has every class right; a true picture has not
    card = evaluate_pairs(method(lambda x: x, 'B'), given, wanted, reader=reader(), untrained=method(lambda x: -x, 'B'))
    assert card.measures['fcn_iou'].value == 1 and card.references['truth']['fcn_iou'].value < 1       # type: ignore[operator]
    assert card.judge is not None and card.judge.sha256 == reader().weights_sha256 and 'untrained' in card.references
    for message, call in {
        '--judge does not apply: parses are read by the nearest colour':
            lambda: evaluate_pairs(method(lambda x: x), wanted, given, reader=reader()),
        '--judge does not apply: the classes of maps are unknown':
            lambda: evaluate_pairs(method(lambda x: x, 'B'), given, wanted, reader=reader(), source='maps'),
        'expected a parser': lambda: evaluate_pairs(method(lambda x: x, 'B'), given, wanted, reader=FakeModel(method(None))),       # type: ignore[arg-type]
        'expected a parser of that size': lambda: evaluate_pairs(method(lambda x: x, 'B'), given, wanted, reader=reader(64)),
        'names the classes skin': lambda: evaluate_pairs(method(lambda x: x, 'B'), given, wanted, reader=reader(names=('skin',))),
        'are no pairs': lambda: evaluate_pairs(method(lambda x: x, 'B'), given, wanted[:3]),
        'maps has 1 held-out pair: expected at least 2':
            lambda: evaluate_pairs(method(lambda x: x, 'B'), given[:1], wanted[:1], source='maps'),
        'expected a paired model': lambda: evaluate_pairs(Paired(None, DataSpec(size=SIZE), kind='domains'), given, wanted),
    }.items():
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert '\n' not in str(caught.value)
    with pytest.raises(FloatingPointError, match='not finite'):
        evaluate_pairs(method(lambda x: x * float('nan'), 'B'), given, wanted)


def test_pairs_of_a_folder_have_no_classes() -> None:
    given, wanted = held_out_pairs(4, SIZE, 0, 'A')
    card = evaluate_pairs(method(lambda x: x), given, wanted, source='maps')
    assert card.data.source == 'maps' and card.data.first_index is None and len(card.data.hash) == 12
    assert set(card.measures) == {'psnr_truth', 'psnr_truth_per_image', 'mse_truth', 'ssim_truth'}
    other = evaluate_pairs(method(lambda x: x), given, np.roll(wanted, 1, 0), source='maps')
    assert other.data.hash != card.data.hash


def scored(strength: float, batch_size: int = 64) -> Card:
    given, wanted = held_out_pairs(6, SIZE, 0, 'A')
    truth = pictures_to_tensor(wanted)
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    at = [0]

    def answer(x: Tensor) -> Tensor:
        start = at[0]
        at[0] = (start + len(x)) % 6
        return (truth + strength * noise)[start:start + len(x)].clamp(-1, 1)
    return evaluate_pairs(method(answer), given, wanted, batch_size=batch_size)


def test_scores_fall_with_damage_and_do_not_depend_on_the_batch() -> None:
    cards = [scored(s) for s in (0.05, 0.4, 1.0)]
    for name in ('psnr_truth', 'psnr_truth_per_image', 'ssim_truth', 'fcn_pixel_accuracy', 'fcn_class_accuracy', 'fcn_iou'):
        values = [card.measures[name].value for card in cards]
        assert values == sorted(values, reverse=True) and values[0] > values[2], name   # type: ignore[type-var, operator]
    assert scored(0.4, batch_size=4).measures == cards[1].measures


def test_a_stopped_evaluation_goes_on_to_the_same_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('RETOUCH_CACHE', str(tmp_path / 'cache'))
    given, wanted = held_out_pairs(5, SIZE, 0, 'A')
    log: list[int] = []

    def run(after: int, out: Path | None) -> tuple[Card, Ledger]:
        def answer(x: Tensor) -> Tensor:
            if len(log) == after:
                raise KeyboardInterrupt
            log.append(len(x))
            return x * 0.5
        kept = Ledger(out)
        return evaluate_pairs(method(answer), given, wanted, batch_size=2, untrained=method(answer), ledger=kept), kept

    expected, _ = run(100, None)
    assert sum(log) == 10                                        # the model and what it was before training
    for stop in (1, 3, 5):                                       # in its first row, at the end of that, in the last
        before = len(log)
        with pytest.raises(KeyboardInterrupt):
            run(6 + stop, tmp_path / 'run')
        assert len(log) == 6 + stop > before
    card, kept = run(100, tmp_path / 'run')
    assert card == expected and len(log) == 12 and kept.found > 0
    assert {'psnr_truth', 'fcn_iou'} <= set(kept.tallies)


def test_progress_reaches_its_total() -> None:
    told: list[tuple[int, int, str]] = []
    given, wanted = held_out_pairs(5, SIZE, 0, 'A')
    evaluate_pairs(method(lambda x: x), given, wanted, batch_size=2, progress=lambda *words: told.append(words))
    assert told[:3] == [(2, 5, 'scoring pairs'), (4, 5, 'scoring pairs'), (5, 5, 'scoring pairs')]
    assert {what for *_, what in told} <= {'scoring pairs', 'scoring copy', 'scoring truth'} and all(total == 5 for _, total, _ in told)


class Drawing(Paired):
    """Shifts a grey picture by what is drawn; dropout's noise has no part in it."""

    def fixed_noise(self) -> dict[str, Tensor]:
        return {'z': torch.full((1, 1), 0.25), 'dropout_1': torch.zeros(1, 1)}

    def translate(self, request: DomainRequest) -> Translation:
        noise = self.fixed_noise() if request.noise is None else request.noise
        assert noise['dropout_1'].shape == (1, 1), 'as fixed_noise has it'
        return Translation((request.image + 0.1 * noise['z'][..., None, None]).clamp(-1, 1))


def test_diversity_by_hand() -> None:
    grey = np.full((3, SIZE, SIZE, 3), 128, np.uint8)
    drawing = Drawing(None, DataSpec(size=SIZE, domains=('A', 'B')))
    card = evaluate_pairs(drawing, grey, grey, source='maps', batch_size=2)
    one, two = (Moment(count=3, total=3).normal(f'z_{k}', 1)[:, 0].numpy() for k in (1, 2))
    levels = [np.round((128 / 127.5 - 1 + 0.1 * z + 1) * 127.5) for z in (one, two)]
    assert card.measures['diversity'].value == pytest.approx(np.abs(levels[0] - levels[1]).mean(), abs=1e-4)
    assert card.measures['diversity'].value > 1 and 'diversity' not in card.references['copy']        # type: ignore[operator]
    assert card.measures['mse_truth'].value == pytest.approx(3.0 ** 2), '0.025 of the fixed draw are 3.19 levels'
    plain = evaluate_pairs(method(lambda x: x, 'B'), grey, grey, source='maps')
    assert 'diversity' not in plain.measures


def test_every_step_of_an_answer_has_its_own_distance() -> None:
    class Steps(Paired):
        def translate(self, request: DomainRequest) -> Translation:
            x = request.image
            return Translation(x, extras={'step_1': x + 20 / 127.5, 'step_2': x + 2 / 127.5, 'attention': x[:, :1]})

    grey = np.full((2, SIZE, SIZE, 3), 100, np.uint8)
    card = evaluate_pairs(Steps(None, DataSpec(size=SIZE, domains=('A', 'B'))), grey, grey, source='maps')
    found = {name: m.value for name, m in card.measures.items() if '[step' in name}
    assert found == {'psnr_truth[step 1]': pytest.approx(20 * np.log10(255 / 20)),
                     'psnr_truth[step 2]': pytest.approx(20 * np.log10(255 / 2))}
    assert about('psnr_truth[step 2]').unit == 'dB' and about('psnr_truth[step 2]').text.endswith('the answer of step 2')
