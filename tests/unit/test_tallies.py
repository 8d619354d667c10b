"""Differences of two models on the same pictures: a paired bootstrap by hand, narrower than an unpaired one, right as often as it says."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retouch.evaluation.card import Card
from retouch.evaluation.comparison import Comparison
from retouch.evaluation.comparison import cards_to_comparison as compare
from retouch.evaluation.tallies import REDUCE, arrays_to_tallies, read_tallies, tallies_to_arrays, write_tallies
from retouch.metrics.bootstrap import Tally, mean_over_attributes, pooled, pooled_psnr, tallies_to_difference, tally_to_interval
from retouch.metrics.measure import Measure, difference_to_text


def tallies(seed: int, n: int = 200, gain: float = 0.1) -> tuple[Tally, Tally]:
    """Two models that find the same pictures hard, [2,n]; the second is better by `gain`."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(0, 1, (2, n))
    one = np.ones((2, n))
    return Tally(hard + rng.normal(0, 0.2, (2, n)), one), Tally(hard + gain + rng.normal(0, 0.2, (2, n)), one)


def card(**changes: object) -> Card:
    return Card.model_validate({
        'protocol': 'toyfaces', 'n': 200, 'seed': 3, 'hardware': 'a machine', 'versions': {}, 'checkpoint': {'rule': 'last'},
        'data': {'source': 'toyfaces', 'hash': 'ab', 'size': 16, 'attributes': ['Bald', 'Male']},
        'measures': {'leakage': {'value': 0.5}, 'psnr_truth': {'value': 20.0}, 'fid': {'value': 3.0}},
        'references': {'copy': {'leakage': {'value': 0.0}}}, **changes})


@pytest.mark.parametrize('reduce', REDUCE.values())
def test_the_paired_interval_by_hand(reduce: object) -> None:
    rng = np.random.default_rng(0)
    first, second = (Tally(rng.random((3, 30)), rng.integers(0, 3, (3, 30)).astype(float), reduce) for _ in range(2))      # type: ignore[arg-type]

    def value(tally: Tally, who: np.ndarray) -> float:
        total, count = tally.total[:, who].sum(1), tally.count[:, who].sum(1)
        if reduce is mean_over_attributes:
            return float(np.mean(total / count))
        return float(total.sum() / count.sum()) if reduce is pooled else float(10 * np.log10(255 ** 2 / (total.sum() / count.sum())))

    draws = np.random.default_rng(5).multinomial(30, np.full(30, 1 / 30), size=200)
    people = [np.repeat(np.arange(30), draw) for draw in draws]
    differences = sorted(value(second, who) - value(first, who) for who in people)
    everyone = np.arange(30)
    expected = value(second, everyone) - value(first, everyone), differences[round(0.025 * 199)], differences[round(0.975 * 199)]
    assert tallies_to_difference(first, second, seed=5, resamples=200) == pytest.approx(expected, rel=1e-9)
    assert {pooled, mean_over_attributes, pooled_psnr} == set(REDUCE.values())


def test_what_two_models_share_cancels() -> None:
    first, second = tallies(0)
    value, low, high = tallies_to_difference(first, second, seed=1)
    assert value is not None and low is not None and high is not None and 0 < low < value < high
    widths = []
    for tally in (first, second):
        a, b = tally_to_interval(tally, seed=1)
        widths.append(b - a)      # type: ignore[operator]
    unpaired = np.hypot(*widths)
    assert high - low < unpaired / 3, 'two unpaired intervals overlap widely'
    assert tallies_to_difference(first, first) == (0, 0, 0)
    back = tallies_to_difference(second, first, seed=1)
    assert back == pytest.approx((-value, -high, -low), abs=2e-3)


def test_the_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    held = [low < 0.1 < high for _, low, high in (tallies_to_difference(*tallies(seed, n=100)) for seed in range(300))]    # type: ignore[operator]
    assert 0.92 <= np.mean(held) <= 0.98


def test_infinite_and_unlike_sums() -> None:
    zero, one = np.zeros((2, 5)), np.ones((2, 5))
    silent, some = Tally(zero, one, pooled_psnr), Tally(one, one, pooled_psnr)
    assert tallies_to_difference(silent, silent) == (None,) * 3 == tallies_to_difference(silent, some)
    with pytest.raises(ValueError, match=r'\(2, 5\) and \(1, 5\)'):
        tallies_to_difference(some, Tally(one[:1], one[:1]))


def test_tallies_survive_a_file_tied_to_a_card(tmp_path: Path) -> None:
    first, second = tallies(0)
    sums = {'leakage': first, 'psnr_outside_per_image[parser,union]': Tally(second.total, second.count, mean_over_attributes)}
    write_tallies(tmp_path, card(), sums)
    assert read_tallies(tmp_path) == {}                          # the card is not written yet
    card().write(tmp_path / 'card.json')
    found = read_tallies(tmp_path)
    assert list(found) == list(sums) and all(np.array_equal(found[name].total, sums[name].total) and found[name].reduce is sums[name].reduce
                                             for name in sums)
    with pytest.raises(KeyError):
        arrays_to_tallies({key: value for key, value in tallies_to_arrays(sums).items() if not key.startswith('reduce:')})
    card(n=201).write(tmp_path / 'card.json')
    assert read_tallies(tmp_path) == {} == read_tallies(tmp_path / 'nowhere')


def test_compare_adds_differences_where_both_have_sums() -> None:
    first, second = tallies(0)
    sums = {'a': {'leakage': first, 'psnr_truth': first}, 'b': {'leakage': second}, 'c': {}}
    table = compare(dict.fromkeys('abc', card()), sums)
    assert table.differences.keys() == {'b'} and table.differences['b'].keys() == {'leakage'}
    found = table.differences['b']['leakage']
    assert (found.value, found.low, found.high) == tallies_to_difference(first, second, seed=3) and found.unit == 'share'
    header, rows = table.difference_cells()
    assert header[1:] == ['leakage'] and [row[0] for row in rows] == ['b'] and rows[0][1].startswith('+') and rows[0][1].endswith(' *')
    assert len(table.to_markdown().splitlines()) == 6 + 1 + 3
    assert Comparison.model_validate_json(table.model_dump_json()) == table
    plain = compare(dict.fromkeys('ab', card()))
    assert plain.differences == {} == compare(dict.fromkeys('ab', card()), {'b': sums['b']}).differences
    assert len(plain.to_markdown().splitlines()) == 5


def test_a_difference_as_text() -> None:
    assert difference_to_text(Measure(value=-0.2, low=-0.3, high=-0.1)) == '-0.2 [-0.3, -0.1] *'
    assert difference_to_text(Measure(value=0.2, low=-0.3, high=0.5)) == '+0.2 [-0.3, 0.5]'
    assert difference_to_text(None) == '–' == difference_to_text(Measure(value=None))
