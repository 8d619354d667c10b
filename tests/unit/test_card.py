"""Protocols with fake systems and a fake judge; cards: round trip, refusal."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from retouch import toyfaces
from retouch.data.batches import DataSpec
from retouch.engine.update import AttributeRequest, DomainRequest, Translation
from retouch.evaluation import protocols
from retouch.evaluation.card import Card
from retouch.evaluation.comparison import cards_to_comparison as compare
from retouch.evaluation.judge import Judge, load_judge, model_to_judge, proved
from retouch.evaluation.protocols import classifier_card, evaluate
from retouch.evaluation.scoring import WITH_TRUTH, pictures_to_tensor
from retouch.evaluation.tasks import domain_tasks, toyfaces_tasks
from retouch.files import cache_root
from retouch.guidance.gradcam import explain_edit
from retouch.methods.local import Local
from retouch.metrics import features, fidelity
from retouch.metrics.features import Extractor
from retouch.metrics.measure import Measure, about, measure_to_text
from retouch.networks.stargan import Discriminator
from retouch.toyfaces.stored import held_out_faces

SIZE, ASKED = 32, ('Blond_Hair', 'Eyeglasses')


class Reader(nn.Module):
    """A fixed linear reading of coarse colours: no accuracy, but it answers to changes."""

    def __init__(self, names: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.head = nn.Linear(48, names)
        with torch.no_grad():
            self.head.weight.copy_(torch.randn(names, 48, generator=generator))
            self.head.bias.zero_()

    def features(self, x: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(x, (4, 4)).flatten(1)


@dataclass
class Fake:
    """A method whose answer is given."""

    answer: Callable[[Any], Translation]
    data: DataSpec
    nets: nn.ModuleDict = field(default_factory=nn.ModuleDict)

    def translate(self, request: Any) -> Translation:
        return self.answer(request)


@dataclass
class FakeModel:
    method: Any
    path: Path = Path('fake')
    weights_sha256: str = 'ab' * 32
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> DataSpec:
        return self.method.data


def classifier(net: nn.Module, names: tuple[str, ...], path: Path = Path('fake')) -> FakeModel:
    return FakeModel(Fake(lambda request: None, DataSpec(size=SIZE, attributes=names), nn.ModuleDict({'C': net})), path)    # type: ignore[arg-type, return-value]


@pytest.fixture(scope='module')
def judge() -> Judge:
    return Judge(classifier(Reader(15), toyfaces.ATTRIBUTES), toyfaces.ATTRIBUTES)


def noisy(strength: float) -> Callable[[AttributeRequest], Translation]:
    def answer(request: AttributeRequest) -> Translation:
        noise = torch.randn(request.image.shape, generator=torch.Generator().manual_seed(1))
        mask = torch.zeros(len(request.image), 1, SIZE, SIZE)
        mask[:, :, 8:20] = 1
        return Translation((request.image + strength * noise).clamp(-1, 1), mask)
    return answer


def run(judge: Judge, answer: Callable[[Any], Translation], n: int = 12, **options: Any) -> Card:
    return evaluate(Fake(answer, DataSpec(size=SIZE, attributes=ASKED)), n=n, judge=judge, **options)


@pytest.fixture(scope='module')
def card(judge: Judge) -> Card:
    return run(judge, noisy(0.1), command='retouch evaluate runs/x')


# ---- the toyfaces protocol

def test_the_card_holds_every_measure_per_attribute_with_intervals_around_the_value(card: Card) -> None:
    assert set(card.measures) == {*WITH_TRUTH, 'fid[toyfaces_classifier]', 'kid[toyfaces_classifier]'}
    seen = 0
    for name in WITH_TRUTH:
        measure = card.measures[name]
        assert measure.value is not None and measure.low is not None and measure.high is not None, name
        assert measure.low <= measure.value <= measure.high, name
        assert set(measure.per_attribute or {}) == set(ASKED)
        assert measure.unit == about(name).unit and about(name).text
        seen += 1
    assert seen == len(WITH_TRUTH) == 13
    assert card.data.hash == toyfaces.drawing_hash() and card.n == 12 and card.data.count['Eyeglasses'] == 12      # type: ignore[index]
    assert set(card.data.region_area or {}) == set(ASKED) and all(0.005 <= v <= 0.35 for v in (card.data.region_area or {}).values())
    assert card.leakage_matrix is not None and np.shape(card.leakage_matrix.values) == (2, 15)


def test_reference_rows_are_what_they_promise(card: Card) -> None:
    copy, truth = card.references['copy'], card.references['truth']
    assert copy['psnr_outside'].value is None and copy['ssim_outside'].value == pytest.approx(1, abs=1e-5)     # infinite is null
    assert copy['mask_iou'].value == 0 == copy['mask_area'].value
    assert truth['psnr_truth'].value is None is truth['psnr_inside'].value and truth['mse_truth'].value == 0
    assert truth['mask_iou'].value == 1 == truth['pointing_game'].value and truth['leakage'].value == 0
    area = card.data.region_area or {}
    assert truth['mask_area'].per_attribute == pytest.approx(area, abs=1e-5)
    assert abs(copy['fid[toyfaces_classifier]'].value or 0) < 0.5


def test_numbers_of_a_known_answer(judge: Judge) -> None:
    # 10 levels towards grey everywhere: nothing is clipped, every squared error is 100
    def greyer(request: AttributeRequest) -> Translation:
        return Translation(request.image - request.image.sign() * 20 / 255)

    found = run(judge, greyer, n=4)
    assert found.measures['psnr_outside'].value == pytest.approx(10 * np.log10(255 ** 2 / 100), abs=1e-9)
    assert found.measures['mask_iou'].value is None and found.measures['mask_area'].per_attribute == dict.fromkeys(ASKED)   # no mask


def test_a_method_without_a_mask_is_scored_by_its_grad_cam(judge: Judge, card: Card) -> None:
    explained = {f'{name}[gradcam]' for name in ('mask_iou', 'mask_area', 'pointing_game')}
    nets = nn.ModuleDict({'D': Discriminator(len(ASKED), SIZE, 4)})
    spec = DataSpec(size=SIZE, attributes=ASKED)
    bare = Fake(lambda request: Translation(request.image * 0.9), spec, nets)
    found = evaluate(bare, n=6, judge=judge, untrained=bare)
    assert explained <= set(found.measures) and found.measures['mask_iou'].value is None
    for name in explained:
        measure = found.measures[name]
        assert measure.value is not None and 0 <= measure.value <= 1 and set(measure.per_attribute or {}) == set(ASKED)
        assert 'explains and confines nothing' in about(name).text and about(name).unit == about(name.partition('[')[0]).unit
        assert name in found.references['untrained'] and name not in found.references['copy'] and name not in found.references['truth']
    masked = evaluate(Fake(noisy(0.1), spec, nets), n=6, judge=judge)
    for other in (masked, card, run(judge, lambda r: Translation(r.image), n=6)):      # a mask of its own, twice; no discriminator
        assert not any('[gradcam]' in name for name in other.measures)
    assert explained <= set(compare({'bare': found, 'masked': masked}).measures)


def test_the_score_of_a_grad_cam_is_that_of_the_explanation(judge: Judge) -> None:
    method = Fake(lambda request: Translation(-request.image), DataSpec(size=SIZE, attributes=ASKED),
                  nn.ModuleDict({'D': Discriminator(len(ASKED), SIZE, 4)}))
    found = evaluate(method, n=6, judge=judge)
    inputs, tasks = toyfaces_tasks(method, judge.names, 6, 0)
    for task in tasks:
        request = task.request(pictures_to_tensor(inputs[task.rows]), slice(0, len(task.rows)))
        mask = explain_edit(method, request, -request.image)
        assert mask is not None
        areas = found.measures['mask_area[gradcam]'].per_attribute or {}
        assert areas[task.name] == pytest.approx(float(mask.mean()), rel=1e-4)


def test_a_critic_without_the_maps_that_grad_cam_reads_explains_nothing() -> None:
    method = Local.tiny()
    x, a = torch.zeros(1, 3, 16, 16), torch.tensor([[1.0, 0, 0]])
    assert explain_edit(method, AttributeRequest(x, a, 1 - a), x) is None


def test_every_measure_sees_the_rounded_picture(judge: Judge) -> None:
    # less than half a level away: the saved picture is the input
    found = run(judge, lambda request: Translation(request.image + 0.4 / 127.5), n=4)
    copy = found.references['copy']
    assert found.measures['ssim_outside'] == copy['ssim_outside'] and found.measures['mse_truth'] == copy['mse_truth']
    assert found.measures['leakage'] == copy['leakage']


@pytest.mark.parametrize('part', ['image', 'mask'])
def test_an_answer_that_is_not_finite_is_refused_with_its_attribute(judge: Judge, part: str) -> None:
    def answer(request: AttributeRequest) -> Translation:
        mask = torch.full((len(request.image), 1, SIZE, SIZE), float('nan') if part == 'mask' else 1.0)
        return Translation(request.image * float('inf') if part == 'image' else request.image, mask)

    with pytest.raises(FloatingPointError, match='answer to Blond_Hair is not finite') as caught:
        run(judge, answer, n=4)
    assert '\n' not in str(caught.value)


def test_a_distance_that_is_not_finite_is_null(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols.fidelity, 'features_to_fidelity', lambda *a, **k: {'fid': float('nan'), 'kid': float('inf')})
    found = run(judge, noisy(0.1), n=5)
    assert found.measures['fid[toyfaces_classifier]'].value is None is found.measures['kid[toyfaces_classifier]'].value
    assert found.measures['kid[toyfaces_classifier]'].per_attribute == dict.fromkeys(ASKED)


def test_an_edit_that_no_picture_lacks_is_refused(judge: Judge) -> None:
    labels = np.ones((3, 2), np.float32)
    method = Fake(noisy(0.1), DataSpec(size=SIZE, attributes=('Blond_Hair', 'Young')))
    with pytest.raises(ValueError, match='no picture to edit for Blond_Hair among 3: raise --n or use a larger set'):
        evaluate(method, protocol='folder', images=lamps(labels), labels=labels, judge=judge)
    with pytest.raises(ValueError, match='no picture to edit among 3'):
        evaluate(Fake(noisy(0.1), DataSpec(size=SIZE)), protocol='folder', images=lamps(labels), labels=labels[:, :0], judge=judge)
    with pytest.raises(ValueError, match='no held-out pictures'):
        classifier_card(classifier(LampReader(), LAMPS), lamps(labels)[:0], labels[:0], source='lamps')      # type: ignore[arg-type]


def test_scores_fall_with_damage(judge: Judge) -> None:
    cards = [run(judge, noisy(s), n=8, any_n=True) for s in (0.02, 0.1, 0.4)]
    for name in ('psnr_outside', 'psnr_truth', 'ssim_outside', 'psnr_outside_per_image'):
        values = [c.measures[name].value for c in cards]
        assert values == sorted(values, reverse=True), name      # type: ignore[type-var]
    for name in ('mse_truth', 'leakage', 'fid[toyfaces_classifier]'):
        values = [c.measures[name].value for c in cards]
        assert values == sorted(values), name      # type: ignore[type-var]


def test_the_model_is_told_its_own_attributes_only(judge: Judge) -> None:
    asked: list[AttributeRequest] = []

    def answer(request: AttributeRequest) -> Translation:
        asked.append(request)
        return Translation(request.image)

    run(judge, answer, n=6)
    blond, glasses = asked
    assert blond.source.shape[1] == 2 and (blond.source[:, 0] == 0).all() and (blond.target[:, 0] == 1).all()
    assert (glasses.target[:, 1] == 1 - glasses.source[:, 1]).all() and (glasses.target[:, 0] == glasses.source[:, 0]).all()


def test_the_same_evaluation_gives_the_same_card_at_any_batch_size(judge: Judge, card: Card) -> None:
    again = run(judge, noisy(0.1), command='retouch evaluate runs/x')
    assert again == card
    whole, parts = (run(judge, lambda r: Translation(r.image * 0.9), n=6, batch_size=b) for b in (64, 2))
    for name, measure in whole.measures.items():
        if measure.value is None:
            assert parts.measures[name].value is None, name
        else:
            assert parts.measures[name].value == pytest.approx(measure.value, rel=1e-4), name


def test_progress_reaches_its_total_and_an_untrained_row_stands_beside(judge: Judge) -> None:
    told: list[tuple[int, int, str]] = []
    untrained = Fake(noisy(0.8), DataSpec(size=SIZE, attributes=ASKED))
    found = run(judge, noisy(0.1), n=5, progress=lambda done, total, what: told.append((done, total, what)), untrained=untrained)
    last = {what: (done, total) for done, total, what in told}
    assert all(done == total for done, total in last.values())
    assert {'looking at held-out pictures': 5, 'reading true results': 8, 'scoring edits': 8, 'scoring untrained': 8}.items() <= \
        {what: total for what, (_, total) in last.items()}.items() and 'measuring distances of edits' in last
    assert found.references['untrained']['psnr_truth'].value < found.measures['psnr_truth'].value      # type: ignore[operator]


@pytest.mark.parametrize(('options', 'message'), [
    ({'protocol': 'toyface'}, "did you mean 'toyfaces'"), ({'features': ('swav-resnet5',)}, "did you mean 'swav-resnet50'"),
    ({'n': 1}, 'at least 2'), ({'protocol': 'domains'}, '0 domains'), ({'protocol': 'folder'}, 'images None')])
def test_what_cannot_be_evaluated_is_refused_with_the_way_out(judge: Judge, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(judge, noisy(0.1), **options)


def test_folder_needs_a_judge() -> None:
    with pytest.raises(ValueError, match='has no judge of its own'):
        evaluate(Fake(noisy(0), DataSpec(size=SIZE, attributes=ASKED)), protocol='folder')


# ---- the domains protocol

def test_both_directions_are_asked_and_scored(judge: Judge) -> None:
    asked: list[str] = []

    def answer(request: DomainRequest) -> Translation:
        asked.append(request.to)
        return Translation(request.image * 0.95)

    method = Fake(answer, DataSpec(size=SIZE, domains=('A', 'B')))
    found = evaluate(method, protocol='domains', n=12, judge=judge)
    assert set(asked) == {'A', 'B'} and found.data.attributes == ('Eyeglasses=1', 'Eyeglasses=0')
    assert set(found.measures['edit_accuracy'].per_attribute or {}) == {'Eyeglasses=1', 'Eyeglasses=0'}
    _, tasks = domain_tasks(method, toyfaces.ATTRIBUTES, 12, 0)
    assert sum(len(task.rows) for task in tasks) == 12
    assert {'fid[toyfaces_classifier]', 'kid[toyfaces_classifier]', 'kid_fused[toyfaces_classifier]'} <= set(found.measures)
    with pytest.raises(ValueError, match='hair colours have no single opposite'):
        evaluate(method, protocol='domains', n=12, judge=judge, attribute='Blond_Hair')


def test_two_hair_colours_are_two_domains(judge: Judge) -> None:
    method = Fake(lambda request: Translation(request.image), DataSpec(size=SIZE, domains=('A', 'B')))
    inputs, tasks = domain_tasks(method, toyfaces.ATTRIBUTES, 40, 0, attribute='Black_Hair/Blond_Hair')
    shown = held_out_faces(40, SIZE)[1]
    black, blond, bald = (shown[:, toyfaces.ATTRIBUTES.index(name)] == 1 for name in ('Black_Hair', 'Blond_Hair', 'Bald'))
    assert [task.name for task in tasks] == ['Blond_Hair=1', 'Black_Hair=1'] and len(inputs) == 40
    for task, source, to in zip(tasks, (black, blond), ('B', 'A'), strict=True):
        assert task.rows.tolist() == np.flatnonzero(source & ~bald).tolist() and len(task.rows)
        assert task.request(torch.zeros(1, 3, SIZE, SIZE), slice(0, 1)).to == to
        wanted = task.wanted
        assert wanted is not None and wanted[:, task.columns].all() and not wanted[:, toyfaces.ATTRIBUTES.index('Bald')].any()
    one, other = (task.wanted[:, toyfaces.ATTRIBUTES.index(task.name[:-2])] for task in tasks)           # type: ignore[index]
    assert one.all() and other.all() and not tasks[0].wanted[:, toyfaces.ATTRIBUTES.index('Black_Hair')].any()  # type: ignore[index]
    card = evaluate(method, protocol='domains', n=40, judge=judge, attribute='Black_Hair/Blond_Hair')
    assert card.data.attributes == ('Blond_Hair=1', 'Black_Hair=1')


@pytest.fixture
def inception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Coarse colours in place of Inception, their first three for classes; how many pictures they were taken of at once."""
    (tmp_path / 'weights').write_bytes(b'weights')
    sizes: list[int] = []

    def look(image: Tensor) -> Tensor:
        assert image.dtype == torch.uint8 and image.shape[1:] == (3, SIZE, SIZE)
        sizes.append(len(image))
        colours = nn.functional.adaptive_avg_pool2d(image.float() / 255, (2, 2)).flatten(1)
        return torch.cat([colours, colours[:, :3]], 1)

    every = (*fidelity.SETS, *fidelity.INCEPTION_SCORES)
    monkeypatch.setattr(features, 'find_weights', lambda *options: tmp_path / 'weights')
    monkeypatch.setattr(features, 'load_extractor', lambda name, *options: Extractor(name, 'ab', look, every, logits=3))
    monkeypatch.setattr(features, 'load_lpips', lambda *options: lambda image, x: (image - x).abs().mean((1, 2, 3), keepdim=True))
    return sizes


def test_features_measure_each_direction_by_its_target(judge: Judge, inception: list[int]) -> None:
    method = Fake(lambda request: Translation(request.image * 0.9), DataSpec(size=SIZE, domains=('A', 'B')))
    found = evaluate(method, protocol='domains', n=9, judge=judge, attribute='Night', batch_size=4, features=('inception-v3-compat',),
                     any_n=True)
    names = {name for name in found.measures if name.endswith('[inception-v3-compat]')}
    fused = {'kid_fused', 'kid_pooled', 'kid_fused_subset_std', 'kid_pooled_subset_std'}
    assert {name.partition('[')[0] for name in names} == {*fidelity.SETS, *fidelity.INCEPTION_SCORES, *fused} and len(names) == 13
    assert found.measures.keys() - names == evaluate(method, protocol='domains', n=9, judge=judge, attribute='Night').measures.keys()
    fid = found.measures['fid[inception-v3-compat]']
    values = fid.per_attribute or {}
    assert set(values) == {'Night=1', 'Night=0'} and fid.value == pytest.approx(np.mean([*values.values()]))     # type: ignore[arg-type]
    assert found.extractors['inception-v3-compat'] == hashlib.sha256(b'weights').hexdigest() and max(inception) <= 4


def test_features_are_added_and_change_nothing_else(judge: Judge, inception: list[int]) -> None:
    card = run(judge, noisy(0.1), any_n=True)
    found = run(judge, noisy(0.1), features=('inception-v3-compat', 'lpips-alexnet', 'judge'), any_n=True)
    assert {name: found.measures[name] for name in card.measures} == card.measures
    assert {name: found.references['copy'][name] for name in card.references['copy']} == card.references['copy']
    added = set(found.measures) - set(card.measures)
    every = {*fidelity.SETS, *fidelity.INCEPTION_SCORES, 'fid_per_task', 'fid_per_task_std'}
    assert {name for name in added if 'inception-v3' in name} == {f'{name}[inception-v3-compat]' for name in every}
    by_judge = {'kid_subset_std', 'precision', 'recall', 'fid_per_task', 'fid_per_task_std', *fidelity.INCEPTION_SCORES, 'inception_kl_std'}
    assert added >= {f'{name}[toyfaces_classifier]' for name in by_judge}
    assert len(added) == len(every) + len(by_judge) + 1 and all(about(name).text for name in added)
    alone, std = (found.measures[f'{name}[inception-v3-compat]'] for name in ('fid_per_task', 'fid_per_task_std'))
    values = [value for value in (alone.per_attribute or {}).values() if value is not None]
    assert len(values) == len(ASKED) and (alone.value, std.value) == pytest.approx((np.mean(values), np.std(values)))
    outside = {row: measures['lpips_outside[lpips-alexnet]'].value for row, measures in found.references.items()}
    assert outside['copy'] == 0 and (outside['truth'] or 0) < 0.01 < (found.measures['lpips_outside[lpips-alexnet]'].value or 0)


# ---- the folder protocol, on two lamps: attribute = a bright corner

LAMPS = ('Left', 'Right')


class LampReader(nn.Module):
    """Reads the brightness of the two upper corners exactly."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Identity()

    def features(self, x: Tensor) -> Tensor:
        return torch.stack([x[:, :, :4, :4].mean((1, 2, 3)), x[:, :, :4, -4:].mean((1, 2, 3))], 1)


def lamps(labels: np.ndarray) -> np.ndarray:
    images = np.full((len(labels), SIZE, SIZE, 3), 60, np.uint8)
    images[:, :8, :8] = np.where(labels[:, 0], 220, 30)[:, None, None, None]
    images[:, :8, -8:] = np.where(labels[:, 1], 220, 30)[:, None, None, None]
    return images


def test_folder_scores_by_hand() -> None:
    labels = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32)
    images = lamps(labels)

    def sloppy(request: AttributeRequest) -> Translation:
        # does what is asked, and switches Right on whenever Left is asked for
        target = request.target.clone()
        target[(request.target != request.source)[:, 0], 1] = 1
        image = torch.from_numpy(lamps(target.numpy())).permute(0, 3, 1, 2).float() / 127.5 - 1
        mask = torch.zeros(len(image), 1, SIZE, SIZE)
        mask[:, :, :8, :8] = 1
        return Translation(image, mask)

    found = evaluate(Fake(sloppy, DataSpec(size=SIZE, attributes=LAMPS)), protocol='folder', images=images, labels=labels,
                     judge=classifier(LampReader(), LAMPS), source='lamps')      # type: ignore[arg-type]
    assert found.measures['edit_accuracy'].per_attribute == {'Left': 1.0, 'Right': 1.0}
    assert found.measures['leakage'].per_attribute == {'Left': 0.5, 'Right': 0.0}
    assert found.leakage_matrix is not None and found.leakage_matrix.values == ((0.0, 0.5), (0.0, 0.0))
    corner = 64 / SIZE ** 2
    assert (found.measures['untouched'].per_attribute or {})['Right'] == pytest.approx(1 - corner)
    assert (found.measures['untouched'].per_attribute or {})['Left'] == pytest.approx(1 - 1.5 * corner)
    assert (found.measures['psnr_whole'].per_attribute or {})['Right'] == pytest.approx(10 * np.log10(255 ** 2 / (190 ** 2 * corner)))
    assert set(found.references) == {'copy'} and found.references['copy']['untouched'].value == 1
    assert found.references['copy']['edit_accuracy'].value == 0 and found.data.source == 'lamps'


# ---- two domains of one's own, on two lamps: A is the left one, B the right one

def two_lamps(n: int) -> tuple[np.ndarray, np.ndarray]:
    """n pictures of A and n of B in turn, no two alike, and [2n,2]: is of A, is of B."""
    labels = np.eye(2, dtype=np.float32)[np.arange(2 * n) % 2]
    images = lamps(labels)
    images[:, 16:] += np.arange(2 * n, dtype=np.uint8)[:, None, None, None]
    return images, labels


def test_domains_of_a_folder_by_hand() -> None:
    images, labels = two_lamps(6)

    def only_there(request: DomainRequest) -> Translation:
        # to B: both lamps change places; to A: nothing
        image = request.image.clone()
        if request.to == 'B':
            image[:, :, :8] = image[:, :, :8].flip(-1)
        mask = torch.zeros(len(image), 1, SIZE, SIZE)
        mask[:, :, :8] = 1
        return Translation(image, mask)

    judge = classifier(LampReader(), ('A', 'B'))
    judge.method.config = SimpleNamespace(labels='single')
    method = Fake(only_there, DataSpec(size=SIZE, domains=('A', 'B')))
    found = evaluate(method, protocol='domains_folder', images=images, labels=labels, judge=judge, source='lamps')      # type: ignore[arg-type]
    assert found.data.attributes == ('to=B', 'to=A') and found.data.count == {'to=B': 6, 'to=A': 6} and found.data.rule is None
    assert found.measures['edit_accuracy'].per_attribute == {'to=B': 1.0, 'to=A': 0.0}
    corners = 2 * 64 / SIZE ** 2
    assert found.measures['untouched'].per_attribute == {'to=B': pytest.approx(1 - corners), 'to=A': 1.0}
    assert found.measures['untouched_outside_mask'].value == 1 and found.measures['mask_area'].value == pytest.approx(0.25)
    assert (found.measures['psnr_whole'].per_attribute or {})['to=B'] == pytest.approx(10 * np.log10(255 ** 2 / (190 ** 2 * corners)))
    names = {'edit_accuracy', 'psnr_whole', 'untouched', 'untouched_outside_mask', 'mask_area'}
    assert set(found.measures) == names | {f'{name}[classifier]' for name in ('fid', 'kid', 'kid_fused', 'kid_pooled')}
    assert found.leakage_matrix is None and set(found.references) == {'copy'}
    # to B has arrived among the pictures of B, to A has stayed where it was
    kid, fused = (found.measures[f'{name}[classifier]'].per_attribute or {} for name in ('kid', 'kid_fused'))
    assert kid['to=B'] == pytest.approx(0, abs=0.2)      # type: ignore[operator]
    assert kid['to=A'] > 1 and fused['to=A'] == pytest.approx(kid['to=A'] / 2, abs=0.2)      # type: ignore[operator]
    for message, changes in {'has no judge of its own': {'judge': None}, r'expected \[N,S,S,3\] and \[N,2\]': {'labels': labels[:, :1]},
                             "unknown attribute for this judge 'A'": {'judge': classifier(LampReader(), LAMPS)}}.items():
        options = {'images': images, 'labels': labels, 'judge': judge, **changes}
        with pytest.raises(ValueError, match=message):
            evaluate(method, protocol='domains_folder', **options)


# ---- judges

def test_a_classifier_proves_itself_by_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32)
    model = classifier(LampReader(), LAMPS, tmp_path)
    monkeypatch.setattr('retouch.evaluation.judge.load_model', lambda name: model)
    with pytest.raises(ValueError, match=r'no card\.json'):
        load_judge('lamps')
    wrong = labels.copy()
    wrong[0, 0] = 1
    card = classifier_card(model, lamps(labels), wrong)      # type: ignore[arg-type]
    assert card.measures['accuracy'].value == 7 / 8 and card.measures['accuracy'].per_attribute == {'Left': 0.75, 'Right': 1.0}
    card.write(tmp_path / 'card.json')
    with pytest.raises(ValueError, match=r'judge lamps reaches 0\.8750 mean accuracy: expected at least 0\.99'):
        load_judge('lamps')
    classifier_card(model, lamps(labels), labels, source='lamps').write(tmp_path / 'card.json')      # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r'was evaluated on lamps .*expected toyfaces'):
        load_judge('lamps')
    assert proved(model_to_judge(model), 'lamps', drawn=False).facts.mean_accuracy == 1      # type: ignore[arg-type]
    card = classifier_card(model, lamps(labels), labels)      # type: ignore[arg-type]
    for changes, message in (({'protocol': 'toyfaces'}, r'no card\.json'),
                             ({'data': card.data.model_copy(update={'hash': 'old'})}, 'toyfaces old'),
                             ({'checkpoint': card.checkpoint.model_copy(update={'sha256': None})}, 'the card of other weights')):
        card.model_copy(update=changes).write(tmp_path / 'card.json')
        with pytest.raises(ValueError, match=message):
            load_judge('lamps')
    card.write(tmp_path / 'card.json')
    facts = load_judge('lamps').facts
    assert facts.mean_accuracy == 1 and facts.n == 4 and facts.per_attribute == {'Left': 1.0, 'Right': 1.0}
    model.weights_sha256 = 'cd' * 32
    with pytest.raises(ValueError, match='evaluate the judge again'):
        load_judge('lamps')


def test_the_judge_sees_pictures_at_its_own_size(judge: Judge) -> None:
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    assert judge.look(x)[1].shape == (2, 48)
    with pytest.raises(ValueError, match="did you mean 'Smiling'"):
        judge.column('Smilin')


# ---- cards

def test_card_round_trip(card: Card, tmp_path: Path) -> None:
    card.write(tmp_path / 'sub' / 'card.json')
    assert Card.read(tmp_path / 'sub' / 'card.json') == card
    text = (tmp_path / 'sub' / 'card.json').read_text()
    assert 'NaN' not in text and 'Infinity' not in text and json.loads(text)['references']['copy']['psnr_outside']['value'] is None


def test_a_bad_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='retouch evaluate'):
        Card.read(tmp_path / 'card.json')
    (tmp_path / 'card.json').write_text('{"protocol": 3}')
    with pytest.raises(ValueError, match='is no metric card') as caught:
        Card.read(tmp_path / 'card.json')
    assert '\n' not in str(caught.value)


def test_compare_puts_models_over_the_reference_rows(card: Card) -> None:
    table = compare({'a': card, 'b': card})
    assert list(table.rows) == ['a', 'b', 'copy', 'truth'] and 'psnr_truth' in table.measures
    lines = table.to_markdown().splitlines()
    assert len(lines) == 6 and all(line.count('|') == len(table.measures) + 2 for line in lines)


@pytest.mark.parametrize(('change', 'what'), [
    ({'protocol': 'folder'}, 'protocol folder'), ({'n': 7}, 'n 7'), ({'seed': 5}, 'seed 5'),
    ({'data': {'hash': 'other'}}, 'data hash other'), ({'data': {'split': 'all'}}, 'split all'),
    ({'data': {'size': 64}}, 'picture size 64'),
    ({'data': {'attributes': ('Bald',)}}, 'attributes .*Bald'), ({'judge': {'sha256': 'zz'}}, 'judge zz')])
def test_cards_of_different_protocols_refuse_comparison(card: Card, change: dict[str, Any], what: str) -> None:
    values = {k: getattr(card, k).model_copy(update=v) if isinstance(v, dict) else v for k, v in change.items()}
    other = card.model_copy(update=values)
    with pytest.raises(ValueError, match=f'b has {what}.*a has'):
        compare({'a': card, 'b': other})


def test_extractors_are_named_by_hash_and_must_agree(judge: Judge, card: Card) -> None:
    assert card.extractors == {'toyfaces_classifier': judge.sha256} and card.data.split == 'held-out'
    other = card.model_copy(update={'extractors': {'toyfaces_classifier': judge.sha256, 'inception': 'aa'}})
    assert compare({'a': card, 'b': other})
    with pytest.raises(ValueError, match='c has extractor inception bb, b has aa'):
        compare({'a': card, 'b': other, 'c': card.model_copy(update={'extractors': {'inception': 'bb'}})})


def test_folders_are_compared_by_their_pictures(card: Card) -> None:
    one, two = (card.model_copy(update={'data': card.data.model_copy(update={'source': name})}) for name in ('faces', './faces/'))
    assert compare({'a': one, 'b': two})
    with pytest.raises(ValueError, match='data source a folder'):
        compare({'a': card, 'b': one})


def test_models_named_as_the_reference_rows_keep_their_own(card: Card) -> None:
    table = compare({'copy': card})
    assert list(table.rows) == ['copy', 'copy (reference)', 'truth'] and table.rows['copy'] == card.measures


def test_no_card_no_table() -> None:
    with pytest.raises(ValueError, match='no card'):
        compare({})


def test_a_measure_as_text() -> None:
    assert measure_to_text(Measure(value=None)) == '–' == measure_to_text(None)
    assert measure_to_text(Measure(value=0.98761, low=0.97, high=0.99)) == '0.988 [0.97, 0.99]'
    assert measure_to_text(Measure(value=31.234)) == '31.23'


def test_references_are_remembered_and_a_damaged_memory_is_replaced(judge: Judge, card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in cache_root().glob('references-*.json'):
        path.write_text('{"copy": 3')
    assert run(judge, noisy(0.1)).references == card.references
    monkeypatch.setattr(protocols, '_copy', None)               # would fail if it were computed again
    assert run(judge, noisy(0.1)).references == card.references
