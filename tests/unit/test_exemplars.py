"""Protocol `exemplars`: the pairs and their truth, every measure by hand, exemplars in `domains`, and the figures."""
from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from retouch import toyfaces
from retouch.data.batches import DataSpec
from retouch.engine.update import DomainRequest, ExemplarRequest, Translation
from retouch.evaluation.card import Card
from retouch.evaluation.comparison import cards_to_comparison as compare
from retouch.evaluation.exemplars import PROXY, answer_of, evaluate_exemplars, score_transfers
from retouch.evaluation.judge import load_judge
from retouch.evaluation.ledger import Ledger
from retouch.evaluation.tasks import domain_folder_tasks, domain_tasks
from retouch.evaluation.transfers import (
    HAIR,
    ROW,
    Pairs,
    Transfers,
    folder_pairs,
    held_out_transfers,
    transfer_labels,
    transferred,
    transfers_of,
)
from retouch.methods.cyclegan import CycleGAN
from retouch.methods.lomit import LOMIT
from retouch.methods.munit import MUNIT
from retouch.metrics.bootstrap import tally_to_value
from retouch.metrics.distances import logits_to_inception
from retouch.report.figures import codes_to_rows, groups_of, points_to_panel, removals_to_rows
from retouch.report.gallery import pairs_to_rows, tasks_to_rows
from retouch.toyfaces.night import NIGHT

NAMES = ('Black_Hair', 'Blond_Hair', 'Eyeglasses')
HAIRS = ('Black_Hair', 'Blond_Hair', 'Brown_Hair')


@pytest.fixture(scope='module', autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('RETOUCH_CACHE', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture(scope='module')
def pairs(cache: None) -> Transfers:
    return held_out_transfers(NAMES, 12, 16, any_of=HAIRS)


def row(**labels: int) -> np.ndarray:
    return np.array([labels.get(name, int(name in ('No_Beard', 'Young'))) for name in toyfaces.ATTRIBUTES], np.uint8)


# ---- pairs

def test_labels_are_transferred_by_the_rule() -> None:
    def made(mine: dict[str, int], other: dict[str, int], names: tuple[str, ...]) -> list[int]:
        return transfer_labels(row(**mine), row(**other), names).tolist()

    assert made({'Black_Hair': 1}, {'Blond_Hair': 1, 'Eyeglasses': 1, 'Male': 1}, NAMES) == row(Blond_Hair=1, Eyeglasses=1).tolist()
    assert made({'Brown_Hair': 1}, {'Blond_Hair': 1}, ('Blond_Hair',)) == row(Blond_Hair=1).tolist(), 'a colour replaces another one'
    assert made({'Blond_Hair': 1}, {'Brown_Hair': 1}, ('Blond_Hair',)) == row().tolist(), 'of a colour that is not known, none remains'
    assert made({'Blond_Hair': 1, 'Smiling': 1}, {'Blond_Hair': 1}, ('Blond_Hair',)) == row(Blond_Hair=1, Smiling=1).tolist()
    assert made({'Bangs': 1}, {'Bald': 1}, ('Bald',)) == row(Bald=1).tolist()


def test_pairs_are_drawn_with_their_truth(pairs: Transfers) -> None:
    assert len(pairs.inputs) == 12 and (pairs.shown != pairs.wanted).any(1).all(), 'each pair has something to transfer'
    columns = [toyfaces.ATTRIBUTES.index(name) for name in NAMES]
    for i, (a, b) in enumerate(pairs.faces.tolist()):
        assert a != b and a >= 1_000_000 <= b
        (face, labels), (other, shown) = toyfaces.face(a), toyfaces.face(b)
        for known in (labels, shown):
            assert known[[toyfaces.ATTRIBUTES.index(name) for name in HAIRS]].any() and not known[toyfaces.ATTRIBUTES.index('Bald')]
        assert np.array_equal(pairs.shown[i], labels[columns]) and np.array_equal(pairs.wanted[i], shown[columns])
        target = transfer_labels(labels, shown, NAMES)
        assert np.array_equal(pairs.inputs[i], toyfaces.render(face, labels, 16)[0])
        assert np.array_equal(pairs.exemplars[i], toyfaces.render(other, shown, 16)[0])
        truth, region = toyfaces.counterfactual(face, labels, target, 16)
        assert np.array_equal(pairs.truths[i], truth) and np.array_equal(pairs.regions[i], region)
        back = toyfaces.counterfactual(other, shown, transfer_labels(shown, labels, NAMES), 16)[1]
        assert np.array_equal(pairs.exemplar_regions[i], back)
        assert not (pairs.hair[i] & (toyfaces.render(face, target, 16)[1] != HAIR)).any(), 'hair of the true result'
        assert not (pairs.exemplar_hair[i] & (toyfaces.render(other, shown, 16)[1] != HAIR)).any()
    assert pairs.faces[:, 0].tolist() == sorted(pairs.faces[:, 0].tolist())


def test_hair_is_that_on_the_head() -> None:
    pairs = held_out_transfers(NAMES, 40, 32)
    bearded = 0
    for i, (_, b) in enumerate(pairs.faces.tolist()):
        face, labels = toyfaces.face(b)
        parse = toyfaces.render(face, labels, 32)[1] == HAIR
        chin = parse[20:, 12:20].any() and not labels[toyfaces.ATTRIBUTES.index('No_Beard')]
        bearded += chin
        assert pairs.exemplar_hair[i].any() and not (chin and pairs.exemplar_hair[i][20:, 12:20].all())
        if chin:
            assert pairs.exemplar_hair[i].sum() < parse.sum()
    assert bearded >= 3


def test_pairs_repeat_and_come_from_the_cache(pairs: Transfers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('retouch.evaluation.transfers.draw_targets', None)
    again = held_out_transfers(NAMES, 12, 16, any_of=HAIRS)
    for name in Transfers.__dataclass_fields__:
        assert np.array_equal(getattr(pairs, name), getattr(again, name)), name
    with pytest.raises(TypeError):                               # other pairs are drawn
        held_out_transfers(NAMES, 12, 16, seed=1, any_of=HAIRS)


def test_a_two_domain_system_of_hair_gets_the_pairs_of_an_exemplar_system() -> None:
    spec = DataSpec(size=16, attributes=('Blond_Hair', 'Black_Hair'))
    lomit = SimpleNamespace(method=LOMIT(LOMIT.tiny().config, spec), info={'data': {'any_of': spec.attributes}})
    munit = SimpleNamespace(method=MUNIT.tiny(), info={'data': {'attribute': 'Black_Hair/Blond_Hair'}})
    ours, theirs = (transfers_of(model, 6) for model in (lomit, munit))
    assert ours.names == theirs.names == spec.attributes and np.array_equal(ours.faces, theirs.faces)
    assert np.array_equal(ours.truths, theirs.truths) and ours.hair.any()
    assert (ours.shown != ours.wanted).all(), 'one of each pair is blond, the other black-haired'


def test_bald_faces_are_left_out_where_hair_shall_change() -> None:
    bald = toyfaces.ATTRIBUTES.index('Bald')

    def shows_bald(names: tuple[str, ...]) -> bool:
        return any(toyfaces.face(k)[1][bald] for k in held_out_transfers(names, 40, 16).faces.flatten().tolist())

    assert not shows_bald(('Bangs',)) and shows_bald(('Eyeglasses',)) and shows_bald(('Bald', 'Bangs'))
    without = held_out_transfers(('Eyeglasses',), 40, 16)
    assert not without.hair.any() and not without.exemplar_hair.any(), 'no hair colour is transferred'


def test_what_a_system_transfers() -> None:
    assert transferred(LOMIT.tiny()) == NAMES and transferred(MUNIT.tiny()) == ('Eyeglasses',)
    assert transferred(SimpleNamespace(method=MUNIT.tiny(), info={'data': {'attribute': 'Smiling'}})) == ('Smiling',)
    for model, words in ((CycleGAN.tiny(), 'cyclegan takes no exemplar'),
                         (SimpleNamespace(method=MUNIT.tiny(), info={'data': {'attribute': NIGHT}}), "unknown attribute 'Night'")):
        with pytest.raises(ValueError, match=words):
            transferred(model)
    with pytest.raises(ValueError, match='n=1: expected at least 2'):
        held_out_transfers(NAMES, 1, 16)


# ---- measures

class Reader:
    """A judge of four attributes that reads what it is told, whatever it is shown."""

    names = (*NAMES, 'Smiling')

    def __init__(self, read: Tensor) -> None:
        self.read, self.at = read.bool(), 0

    def column(self, name: str) -> int:
        return self.names.index(name)

    def look(self, image: Tensor) -> tuple[Tensor, Tensor]:
        rows = self.read[self.at:self.at + len(image)]
        self.at += len(image)
        return rows, torch.arange(self.at - len(image), self.at)[:, None].float()

    def logits(self, features: Tensor) -> Tensor:
        return 4 * self.read.float()[features[:, 0].long()] - 2


def by_hand(n: int = 3, size: int = 8) -> Transfers:
    """Grey pictures of 127; the true result is 177 in the left half, which is the region; exemplars are 77, their region the upper half."""
    grey = np.full((n, size, size, 3), 127, np.uint8)
    left, upper = np.zeros((n, size, size), bool), np.zeros((n, size, size), bool)
    left[:, :, :size // 2] = upper[:, :size // 2] = True
    truths = np.where(left[..., None], np.uint8(177), grey)
    shown = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 0]], bool)
    wanted = np.array([[0, 1, 0], [0, 0, 0], [1, 0, 1]], bool)
    hair = left.copy()
    hair[1] = False                                              # the second face shows no hair
    return Transfers(NAMES, np.zeros((n, 2), int), grey, grey - 50, shown, wanted, truths, left, upper, hair, upper)


def scored(answer: Any, read: list[list[int]], expected: list[list[int]] | None = None, batch_size: int = 2) -> dict[str, Any]:
    tallies, _, _ = score_transfers(by_hand(), answer, Reader(torch.tensor(read)), torch.tensor(expected or read).bool(),     # type: ignore
                                 batch_size=batch_size)
    return tallies


def test_an_attribute_counts_where_the_pair_differs_in_it() -> None:
    tallies = scored(lambda x, e, part: Translation(x), [[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0]])
    tally = tallies['edit_accuracy']
    assert tally.count.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]          # Black, Blond of the first; Eyeglasses of both others
    assert tally.total.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 1]]          # Blond did not arrive
    assert tally_to_value(tally) == pytest.approx((1 + 0 + 1) / 3)


def test_leakage_is_of_everything_that_was_not_asked() -> None:
    read = [[1, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    tallies = scored(lambda x, e, part: Translation(x), read, expected=[[0, 0, 0, 0]] * 3)
    # not asked of the first: Eyeglasses, Smiling; of the others: Black, Blond, Smiling
    assert tallies['leakage'].count.tolist() == [[2, 3, 3]] and tallies['leakage'].total.tolist() == [[1, 0, 1]]
    assert tally_to_value(tallies['leakage']) == pytest.approx(2 / 8)


def test_masks_and_pictures_by_hand() -> None:
    def answer(x: Tensor, e: Tensor, part: slice) -> Translation:
        made = x.clone()
        made[..., :4] += 40 / 127.5                              # 167 in the left half, ten short of the truth
        made[:, :, 0, 7] += 10 / 127.5                           # and one pixel of the right half spoiled
        mask, other = torch.zeros(len(x), 1, 8, 8), torch.zeros(len(x), 1, 8, 8)
        mask[..., :4] = 1
        other[:, :, :2] = 1
        return Translation(made, mask, {'exemplar_mask': other})

    found = {name: tally_to_value(tally) for name, tally in scored(answer, [[0] * 4] * 3).items()}
    assert found['psnr_inside'] == pytest.approx(20 * math.log10(255 / 10), abs=1e-6)
    assert found['psnr_outside'] == pytest.approx(10 * math.log10(255 ** 2 / (100 / 32)), abs=1e-6)
    assert (found['mask_iou'], found['mask_area'], found['mask_iou_exemplar'], found['mask_area_exemplar']) == (1, 0.5, 0.5, 0.25)
    assert found['style_distance'] == pytest.approx(math.sqrt(3) * (167 - 77)), 'of the two pairs that show hair'
    without = scored(lambda x, e, part: Translation(x), [[0] * 4] * 3)
    assert not any('mask' in name or 'pointing' in name for name in without)
    assert tally_to_value(without['style_distance']) == pytest.approx(math.sqrt(3) * 50) and without['style_distance'].count.sum() == 2


def test_photographs_are_compared_with_themselves() -> None:
    grey = np.full((2, 8, 8, 3), 127, np.uint8)
    pairs = Pairs(NAMES, np.zeros((2, 2), int), grey, grey, np.array([[1, 0, 0], [0, 0, 1]], bool), np.array([[0, 1, 0], [0, 0, 0]], bool))

    def answer(x: Tensor, e: Tensor, part: slice) -> Translation:
        made, mask = x.clone(), torch.zeros(len(x), 1, 8, 8)
        made[..., :4] += 40 / 127.5
        mask[..., :2] = 1
        return Translation(made, mask, {'exemplar_mask': mask / 2})

    read = torch.tensor([[0, 1, 1, 0], [0, 0, 1, 0]])
    tallies, _, _ = score_transfers(pairs, answer, Reader(read), torch.tensor([[1, 0, 1, 0], [0, 0, 1, 1]]).bool())     # type: ignore
    found = {name: tally_to_value(tally) for name, tally in tallies.items()}
    assert found['psnr_whole'] == pytest.approx(10 * math.log10(255 ** 2 / (40 ** 2 / 2)), abs=1e-6)
    assert (found['untouched'], found['mask_area'], found['mask_area_exemplar']) == (0.5, 0.25, 0.125)
    assert found['untouched_outside_mask'] == pytest.approx(4 / 6)
    assert found['edit_accuracy'] == pytest.approx((1 + 1 + 0) / 3), 'the glasses stayed'
    assert found['leakage'] == pytest.approx(1 / 5) and not {'mask_iou', 'psnr_outside', 'style_distance'} & set(found)


def test_pictures_of_ones_own_get_an_exemplar_that_differs() -> None:
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 0]])
    images = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    pairs = folder_pairs(('A', 'B'), images, labels, seed=1)
    assert (pairs.shown != pairs.wanted).any(1).all() and not isinstance(pairs, Transfers)
    assert (np.asarray(pairs.exemplars)[:, 0, 0, 0] == pairs.faces[:, 1]).all()
    assert (pairs.wanted == labels[pairs.faces[:, 1]].astype(bool)).all()
    with pytest.raises(ValueError, match='2 held-out pictures are alike in A, B: raise --n or use a larger set'):
        folder_pairs(('A', 'B'), images[:2], labels[:2])


def test_an_answer_that_is_not_finite_is_refused() -> None:
    bad = torch.full((2, 1, 8, 8), math.nan)
    for answer in (lambda x, e, part: Translation(x * math.nan),
                   lambda x, e, part: Translation(x, bad[:len(x)], {'exemplar_mask': bad[:len(x)]})):
        with pytest.raises(FloatingPointError, match='not finite'):
            scored(answer, [[0] * 4] * 3)


def test_inception_score_by_hand() -> None:
    def scores(p: list[list[float]]) -> list[float | None]:
        found = logits_to_inception(torch.tensor(p, dtype=torch.float64).clamp(1e-12, 1 - 1e-12).logit())
        return [found[f'{name}[{PROXY}]'].value for name in ('inception_score', 'inception_kl', 'inception_kl_std')]

    half = [[0.0], [1.0]] * 500                                  # split by split nearly as many of both
    assert scores(half) == pytest.approx([2, math.log(2), 0], abs=0.02), 'two certain classes'
    assert scores([[0.5]] * 20) == pytest.approx([1, 0, 0], abs=1e-6), 'nobody knows'
    assert scores([[1, 0]] * 20) == pytest.approx([1, 0, 0], abs=1e-6), 'always the same'
    assert scores([[a, b] for a in (0, 1) for b in (0, 1)] * 500) == pytest.approx([4, math.log(4), 0], abs=0.04), 'four combinations'
    kl = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert scores([[0.9], [0.1]] * 500) == pytest.approx([math.exp(kl), kl, 0], abs=0.02)
    unsure = [[1.0], [0.0], [0.5], [0.5]] * 250                  # ln 2 of two in four, 0 of the others
    assert scores(unsure)[2] == pytest.approx(math.log(2) / 2)


def test_inception_score_is_torch_fidelitys() -> None:
    from torch_fidelity.metric_isc import isc_features_to_metric

    logits = torch.randn(50, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    p = logits.sigmoid()
    joint = torch.stack([(1 - p[:, 0]) * (1 - p[:, 1]), p[:, 0] * (1 - p[:, 1]), (1 - p[:, 0]) * p[:, 1], p[:, 0] * p[:, 1]], 1)
    expected = isc_features_to_metric(joint.log(), splits=10, shuffle=True, rng_seed=0)['inception_score_mean']
    assert logits_to_inception(logits)[f'inception_score[{PROXY}]'].value == pytest.approx(expected, rel=1e-9)
    assert all(math.isfinite(m.value) for m in logits_to_inception(1000 * logits).values())             # type: ignore[arg-type]
    many = torch.cat([logits, torch.zeros(50, 13, dtype=torch.float64)], 1)            # what nobody knows adds nothing
    assert logits_to_inception(many)[f'inception_score[{PROXY}]'].value == pytest.approx(expected, rel=1e-9)
    assert logits_to_inception(torch.zeros(50, 16)) == {}                              # more combinations than there is room for


def test_other_labels_of_the_same_pairs_start_anew(tmp_path: Path) -> None:
    torch.manual_seed(0)
    method, images = LOMIT.tiny().eval(), np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    labels = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 0, 0]], np.float32)
    kept = [Ledger(tmp_path), Ledger(tmp_path), Ledger(tmp_path)]
    for given, one in zip((labels, labels, 1 - labels), kept, strict=True):            # the same exemplars and counts in all
        evaluate_exemplars(method, folder_pairs(NAMES, images, given), judge=load_judge(), source='pictures', ledger=one)
    assert [one.found > 0 for one in kept] == [False, True, False]


def test_a_two_domain_system_brings_each_face_to_its_exemplars_domain() -> None:
    asked: list[DomainRequest] = []

    class Two:
        id, kind, takes_exemplar, data = 'two', 'domains', True, DataSpec(size=16, domains=('A', 'B'))

        def translate(self, request: DomainRequest) -> Translation:
            asked.append(request)
            assert request.exemplar is not None
            return Translation(request.exemplar * 0.5)

    pairs = held_out_transfers(('Eyeglasses',), 6, 16)
    x, e = (torch.rand(6, 3, 16, 16) for _ in range(2))
    out = answer_of(Two(), pairs)(x, e, slice(0, 6))
    assert torch.equal(out.image, e * 0.5) and out.mask is None
    wanted = torch.from_numpy(pairs.wanted[:, 0])
    assert {r.to: len(r.image) for r in asked} == {'A': int((~wanted).sum()), 'B': int(wanted.sum())}


def test_card_of_lomit_and_its_references() -> None:
    torch.manual_seed(0)
    method, untrained = LOMIT.tiny().eval(), LOMIT.tiny().eval()
    steps: list[tuple[int, int, str]] = []
    card = evaluate_exemplars(method, transfers_of(method, 8), untrained=untrained, progress=lambda *step: steps.append(step))
    assert (card.protocol, card.n, card.data.attributes, card.data.size) == ('exemplars', 8, NAMES, 16)
    assert set(card.references) == {'copy', 'truth', 'untrained'} and steps[-1] == (8, 8, 'scoring untrained')
    assert (8, 8, 'scoring pairs') in steps
    for measures in (card.measures, *card.references.values()):
        assert measures.keys() == card.measures.keys() and set(measures['edit_accuracy'].per_attribute or {}) == set(NAMES)
        assert set(measures['mask_iou_exemplar'].per_attribute or {}) == {ROW}
    truth, copy = card.references['truth'], card.references['copy']
    assert truth['mask_iou'].value == truth['mask_iou_exemplar'].value == truth['pointing_game_exemplar'].value == 1
    assert truth['mask_area'].value == pytest.approx(card.data.region_area[ROW], abs=1e-4)             # type: ignore[index]
    assert truth['mask_area_exemplar'].value == pytest.approx(card.data.region_area['exemplar'], abs=1e-4)         # type: ignore[index]
    assert copy['mask_area'].value == copy['mask_area_exemplar'].value == 0
    assert truth['leakage'].value == 0 and truth['mse_truth'].value == 0 and copy['psnr_outside'].value is None
    assert truth['edit_accuracy'].value > 0.6 > 0.4 > copy['edit_accuracy'].value                      # type: ignore[operator]
    assert truth['style_distance'].value < copy['style_distance'].value                                # type: ignore[operator]
    names = ('inception_score', 'inception_score_split_std', 'inception_kl', 'inception_kl_split_std', 'inception_kl_std')
    assert {f'{name}[{PROXY}]' for name in names} < set(card.measures)
    assert card.extractors == {PROXY: card.judge.sha256}                                               # type: ignore[union-attr]
    table = compare({'mine': card, 'again': evaluate_exemplars(method, transfers_of(method, 8))})
    assert list(table.rows) == ['mine', 'again', 'copy', 'truth'] and table.rows['mine'] == table.rows['again']


def test_a_stopped_evaluation_goes_on_to_the_same_card(pairs: Transfers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[int] = []

    def run(after: int, out: Path | None) -> tuple[Card, Ledger]:
        method, untrained, kept = LOMIT.tiny().eval(), LOMIT.tiny().eval(), Ledger(out)
        inner = LOMIT.translate

        def translate(self: LOMIT, request: Any) -> Translation:
            if len(log) == after:
                raise KeyboardInterrupt
            log.append(len(request.image))
            return inner(self, request)

        with monkeypatch.context() as patch:
            patch.setattr(LOMIT, 'translate', translate)
            for one, seed in ((method, 0), (untrained, 1)):
                torch.manual_seed(seed)
                for p in one.nets.parameters():
                    p.data.normal_(0, 0.1)
            return evaluate_exemplars(method, pairs, batch_size=4, untrained=untrained, ledger=kept), kept

    expected, _ = run(10 ** 6, None)
    whole = len(log)
    for stop in (1, whole // 2, whole - 1):                      # in its first row, at the end of that, in the last
        with pytest.raises(KeyboardInterrupt):
            run(whole + stop, tmp_path)
        assert len(log) == whole + stop
    card, kept = run(10 ** 6, tmp_path)
    assert card == expected and len(log) == 2 * whole and kept.found > 0
    assert {'edit_accuracy', 'mask_iou_exemplar', 'leakage'} <= set(kept.tallies)


def test_card_of_a_two_domain_system() -> None:
    munit, lomit = MUNIT.tiny().eval(), LOMIT.tiny().eval()
    card = evaluate_exemplars(munit, transfers_of(munit, 8))
    assert card.data.attributes == ('Eyeglasses',) and 'mask_iou' not in card.measures and 'style_distance' not in card.measures
    with pytest.raises(ValueError, match='cards compare only under one protocol'):
        compare({'munit': card, 'lomit': evaluate_exemplars(lomit, transfers_of(lomit, 8))})


# ---- exemplars in the protocols of two domains

@pytest.mark.parametrize('attribute', ['Eyeglasses', NIGHT])
def test_domain_tasks_give_exemplars_of_the_target_domain(attribute: str) -> None:
    inputs, tasks = domain_tasks(MUNIT.tiny(), toyfaces.ATTRIBUTES, 16, 0, attribute=attribute)
    seen = 0
    for task, there, to in zip(tasks, reversed(tasks), ('B', 'A'), strict=True):
        request = task.request(torch.zeros(3, 3, 16, 16), slice(0, 3))
        assert request.to == to and request.exemplar.shape == (3, 3, 16, 16)
        pictures = ((request.exemplar + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        for picture in pictures:
            where = np.flatnonzero((inputs == picture).all((1, 2, 3)))
            assert len(where) == 1 and where[0] in there.rows, 'a picture of the domain it shall arrive in'
            seen += 1
        again = task.request(torch.zeros(1, 3, 16, 16), slice(1, 2))
        assert torch.equal(again.exemplar[0], request.exemplar[1])
    assert seen == 6
    _, plain = domain_tasks(CycleGAN.tiny(), toyfaces.ATTRIBUTES, 16, 0, attribute=attribute)
    assert all(task.request(torch.zeros(1, 3, 16, 16), slice(0, 1)).exemplar is None for task in plain)


def test_the_gallery_shows_the_exemplar() -> None:
    inputs, tasks = domain_tasks(MUNIT.tiny(), toyfaces.ATTRIBUTES, 6, 0)
    row = next(row for row in tasks_to_rows(MUNIT.tiny().eval(), inputs, tasks) if row.title.endswith('=1'))
    assert list(row.panels) == ['input', 'exemplar', 'edit', 'truth', 'difference']
    assert any(np.array_equal(row.panels['exemplar'], inputs[i]) for i in tasks[1].rows)


def test_folders_of_two_domains_give_exemplars_too() -> None:
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 16, 16, 3), np.uint8)
    labels = np.eye(2, dtype=np.float32)[[0, 0, 0, 1, 1, 0]]
    _, tasks = domain_folder_tasks(MUNIT.tiny(), images, labels, None)
    for task, there in zip(tasks, ({3, 4}, {0, 1, 2, 5}), strict=True):
        given = task.request(torch.zeros(len(task.rows), 3, 16, 16), slice(0, len(task.rows))).exemplar
        assert set(((given[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()) <= there


# ---- figures

def test_pairs_show_both_masks(pairs: Transfers) -> None:
    rows = pairs_to_rows(LOMIT.tiny().eval(), pairs, 3)
    assert [row.title for row in rows] == ['pair 1', 'pair 2', 'pair 3']
    assert list(rows[0].panels) == ['input', 'exemplar', 'mask', 'exemplar mask', 'edit', 'truth', 'difference']
    glasses = held_out_transfers(('Eyeglasses',), 2, 16)
    assert list(pairs_to_rows(MUNIT.tiny().eval(), glasses, 1)[0].panels) == ['input', 'exemplar', 'edit', 'truth', 'difference']


def test_one_attribute_of_several_by_mask_removal(pairs: Transfers) -> None:
    assert groups_of(('Smiling', *NAMES)) == {'hair': ('Black_Hair', 'Blond_Hair'), 'Smiling': ('Smiling',), 'Eyeglasses': ('Eyeglasses',)}

    class Open(LOMIT):
        """Masks of 1, so that only removal closes them."""

        def segment(self, content: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
            return torch.ones(len(content), 1, 4, 4), torch.ones(len(content), 1, 16, 16)

    tiny = LOMIT.tiny()
    method = Open(tiny.config, tiny.data).eval()
    requests: list[ExemplarRequest] = []
    translate = method.translate
    method.translate = lambda request: requests.append(request) or translate(request)                  # type: ignore[method-assign]
    rows = removals_to_rows(method, pairs, n=2)
    assert len(rows) == 2
    for figure in rows:
        assert list(figure.panels) == ['input', 'exemplar', 'mask', 'exemplar mask', 'all', 'mask, hair', 'only hair', 'mask, Eyeglasses',
                                       'only Eyeglasses']
        i = int(figure.title.split(':')[0].removeprefix('pair ')) - 1
        assert ((pairs.shown[i] != pairs.wanted[i])[:2]).any() and (pairs.shown[i] != pairs.wanted[i])[2]
        a, b = pairs.faces[i].tolist()
        (face, labels), (other, shown) = toyfaces.face(a), toyfaces.face(b)
        whole, hair, glasses = requests[:3]
        del requests[:3]
        assert whole.mask is None and whole.exemplar_mask is None
        for request, removed in ((hair, ('Eyeglasses',)), (glasses, NAMES[:2])):
            assert request.mask is not None and request.exemplar_mask is not None
            mine = toyfaces.counterfactual(face, labels, transfer_labels(labels, shown, removed), 16)[1]
            theirs = toyfaces.counterfactual(other, shown, transfer_labels(shown, labels, removed), 16)[1]
            assert np.array_equal(request.mask[0, 0].numpy(), ~mine) and np.array_equal(request.exemplar_mask[0, 0].numpy(), ~theirs)


def test_codes_are_mapped_and_coloured(pairs: Transfers, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[dict[str, Any], np.ndarray]] = []

    class TSNE:
        def __init__(self, **options: Any) -> None:
            self.options = options

        def fit_transform(self, codes: np.ndarray) -> np.ndarray:
            seen.append((self.options, codes))
            return np.stack([np.arange(len(codes)), np.zeros(len(codes))], 1)

    module = ModuleType('sklearn.manifold')
    module.TSNE = TSNE                                                                                 # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, 'sklearn', ModuleType('sklearn'))
    monkeypatch.setitem(sys.modules, 'sklearn.manifold', module)
    method = LOMIT.tiny().eval()
    rows = codes_to_rows(method, pairs, seed=5, batch_size=5)
    assert [row.title for row in rows] == ['t-SNE of codes by hair', 't-SNE of codes by Eyeglasses']
    assert all(list(row.panels) == ['content', 'foreground', 'background'] for row in rows)
    assert [codes.shape for _, codes in seen] == [(12, 16), (12, 2), (12, 2)] and all(o['random_state'] == 5 for o, _ in seen)
    assert all(0 < o['perplexity'] < 12 for o, _ in seen)
    monkeypatch.setitem(sys.modules, 'sklearn.manifold', None)
    with pytest.raises(ModuleNotFoundError):
        codes_to_rows(method, pairs)


def test_codes_are_mapped_by_scikit_learn(pairs: Transfers) -> None:
    pytest.importorskip('sklearn')
    rows, again = (codes_to_rows(LOMIT.tiny().eval(), pairs) for _ in range(2))
    assert len(rows) == 2 and len(again) == 2


def test_points_are_fitted_to_the_panel() -> None:
    panel = points_to_panel(np.array([[0.0, 0.0], [10.0, 5.0]]), np.array([[255, 0, 0], [0, 0, 255]]))
    assert panel.shape == (320, 320, 3) and (panel[12, 12] == (255, 0, 0)).all() and (panel[308, 308] == (0, 0, 255)).all()
    assert (panel == 255).all(2).mean() > 0.97
    assert points_to_panel(np.zeros((3, 2)), np.zeros((3, 3), int)).shape == (320, 320, 3), 'points in one place'


def test_the_judge_gives_the_logits_of_what_it_reads() -> None:
    from retouch.evaluation.judge import load_judge

    judge = load_judge()
    read, features = judge.look(torch.rand(3, 3, 64, 64) * 2 - 1)
    assert torch.equal(judge.logits(features) > 0, read)
