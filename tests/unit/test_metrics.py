"""Measures: hand-computed values, and every score falls when the picture is damaged."""
from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch_fidelity
from torch import Tensor, nn
from torch.utils.data import Dataset
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torchmetrics.functional import classification, image

from retouch import toyfaces
from retouch.editor.difference import _STOPS, COLOURS, FULL, difference_map
from retouch.evaluation.scoring import against_input
from retouch.evaluation.tasks import true_edits
from retouch.metrics import accuracy, fidelity, masks, psnr, ssim
from retouch.metrics.bootstrap import Tally, mean_over_attributes, pooled, pooled_psnr, tally_to_interval, tally_to_value, tally_to_values
from retouch.metrics.distances import directions_to_distances, edits_to_distances
from retouch.metrics.measure import Measure, measure_to_text, notes_of
from retouch.metrics.parses import parses_to_tallies
from retouch.toyfaces.edits import pictures_to_regions
from retouch.toyfaces.stored import held_out_faces


def region_of(n: int, size: int, rows: slice, columns: slice) -> Tensor:
    region = torch.zeros(n, 1, size, size, dtype=torch.bool)
    region[:, :, rows, columns] = True
    return region


# ---- squared error and PSNR

def test_to_bytes_clamps_then_rounds() -> None:
    image = torch.tensor([-2.0, -1.0, 0.0, 0.00393, 1.0, 7.0]).view(1, 1, 1, 6).expand(1, 3, 1, 6)
    assert psnr.to_bytes(image)[0, 0, 0].tolist() == [0, 0, 128, 128, 255, 255]   # round half to even: 127.5 -> 128


def test_squared_error_is_split_by_the_region() -> None:
    output = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    reference = output.clone()
    reference[0, 0, 0, 0], reference[0, 2, 1, 1] = 10, 5
    error = psnr.squared_error_inside_outside(output, reference, region_of(1, 2, slice(0, 1), slice(0, 1)))
    assert [float(v) for v in error] == [100.0, 3.0, 25.0, 9.0]


def test_pooled_psnr_and_mean_of_images_differ_as_computed_by_hand() -> None:
    total, count = torch.tensor([100.0, 10000.0, 0.0]), torch.tensor([100.0, 100.0, 100.0])
    assert psnr.squared_error_to_psnr(total, count) == pytest.approx(10 * math.log10(255 ** 2 / (10100 / 300)))
    each, finite = psnr.squared_error_to_psnr_per_image(total, count)
    assert finite.tolist() == [True, True, False]
    assert each[:2].tolist() == pytest.approx([10 * math.log10(255 ** 2), 10 * math.log10(255 ** 2 / 100)])


def test_no_error_and_nothing_to_compare_are_none() -> None:
    assert psnr.squared_error_to_psnr(torch.zeros(2), torch.ones(2)) is None
    assert psnr.squared_error_to_psnr(torch.zeros(2), torch.zeros(2)) is None


def test_an_error_below_half_a_level_does_not_count() -> None:
    x = torch.full((1, 3, 4, 4), 0.5 / 127.5)                  # exactly level 128
    error = psnr.squared_error_inside_outside(x, x + 0.4 / 127.5, region_of(1, 4, slice(0, 2), slice(0, 2)))
    assert float(error.inside + error.outside) == 0


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r'expected \[N,3,H,W\]'):
        psnr.squared_error_inside_outside(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 2, 2, dtype=torch.bool))


def test_sums_are_on_the_cpu_before_they_become_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    # MPS has no float64, and no test machine has MPS: every tensor that becomes float64 must come straight from `cpu()`
    cpu, double, seen = Tensor.cpu, Tensor.double, list[bool]()

    def marked(self: Tensor) -> Tensor:
        moved = cpu(self).clone()
        moved.was_moved = True                                 # type: ignore[attr-defined]
        return moved

    def checked(self: Tensor) -> Tensor:
        seen.append(getattr(self, 'was_moved', False))
        return double(self)

    monkeypatch.setattr(Tensor, 'cpu', marked)
    monkeypatch.setattr(Tensor, 'double', checked)
    x = torch.zeros(1, 3, 4, 4)
    against_input(x, x, torch.zeros(1, 1, 4, 4))
    assert len(seen) == 4 and all(seen)


def test_scores_equal_torchmetrics_on_the_same_pictures() -> None:
    generator = torch.Generator().manual_seed(5)
    x, y = (torch.randint(0, 256, (3, 3, 40, 40), generator=generator, dtype=torch.uint8) for _ in range(2))
    nowhere = region_of(3, 40, slice(0, 0), slice(0, 0))
    error = psnr.squared_error_inside_outside(x, y, nowhere)
    theirs = image.peak_signal_noise_ratio(x.float(), y.float(), data_range=255.0)
    assert psnr.squared_error_to_psnr(error.outside, error.outside_count) == pytest.approx(float(theirs), rel=1e-6)
    a, b = (some.float() / 127.5 - 1 for some in (x, y))
    similar = image.structural_similarity_index_measure(a, b, data_range=2.0, reduction='none')
    assert torch.allclose(ssim.images_to_ssim_outside(a, b, nowhere)[0], similar, atol=1e-6)
    wide, other = a[:, :, :24], b[:, :, :24]
    _, full = image.structural_similarity_index_measure(wide, other, data_range=2.0, reduction='none', return_full_image=True)
    assert torch.allclose(ssim.images_to_ssim(wide, other), full, atol=1e-5) and full.shape == (3, 3, 24, 40)
    mask, region = (torch.rand(3, 1, 40, 40, generator=generator) for _ in range(2))
    ours, _ = masks.mask_to_iou(mask, region > 0.7)
    for n in range(3):
        assert float(ours[n]) == pytest.approx(float(classification.binary_jaccard_index(mask[n], region[n] > 0.7)), rel=1e-6)
    found, truth = (torch.randint(0, 4, (3, 40, 40), generator=generator) for _ in range(2))
    scores = {name: tally_to_value(tally) for name, tally in
              parses_to_tallies(found.numpy().astype(np.uint8), truth.numpy().astype(np.uint8), 4).items()}
    assert scores == pytest.approx({
        'fcn_pixel_accuracy': float(classification.multiclass_accuracy(found, truth, 4, average='micro')),
        'fcn_class_accuracy': float(classification.multiclass_accuracy(found, truth, 4, average='macro')),
        'fcn_iou': float(classification.multiclass_jaccard_index(found, truth, 4))}, rel=1e-6)


# ---- SSIM

def test_ssim_outside_ignores_damage_far_inside_and_falls_with_damage_outside(ramp) -> None:
    x = ramp(2, 3, 48, 48)
    region = region_of(2, 48, slice(0, 24), slice(0, 48))
    damaged = x.clone()
    damaged[:, :, :12] = 0                                     # farther from the border than the window reaches
    value, defined = ssim.images_to_ssim_outside(damaged, x, region)
    assert value.tolist() == pytest.approx([1.0, 1.0], abs=1e-4) and defined.all()
    noise = torch.randn(x.shape)
    levels = [float(ssim.images_to_ssim_outside((x + s * noise).clamp(-1, 1), x, region)[0].mean()) for s in (0.0, 0.05, 0.2, 0.6)]
    assert levels == sorted(levels, reverse=True) and levels[0] > 0.999 > levels[1]


def test_ssim_with_nothing_outside_is_undefined() -> None:
    x = torch.rand(1, 3, 16, 16)
    assert not ssim.images_to_ssim_outside(x, x, torch.ones(1, 1, 16, 16, dtype=torch.bool))[1].any()


# ---- masks

def test_iou_area_and_pointing_by_hand() -> None:
    region = region_of(1, 4, slice(0, 2), slice(0, 4))         # 8 pixels
    mask = torch.zeros(1, 1, 4, 4)
    mask[:, :, 1:3] = 0.8                                      # 8 pixels, 4 of them inside
    assert float(masks.mask_to_iou(mask, region)[0]) == pytest.approx(4 / 12)
    assert float(masks.mask_to_area(mask)) == pytest.approx(0.4)
    assert float(masks.mask_to_pointing(mask, region)[0]) == pytest.approx(0.5)    # half of the maxima are inside
    mask[0, 0, 0, 3] = 0.9
    assert float(masks.mask_to_pointing(mask, region)[0]) == 1
    mask[0, 0, 3, 3] = 1.0
    assert float(masks.mask_to_pointing(mask, region)[0]) == 0


def test_half_is_not_above_half_and_an_empty_region_is_left_out() -> None:
    region = region_of(2, 4, slice(0, 2), slice(0, 4))
    region[1] = False
    iou, defined = masks.mask_to_iou(torch.full((2, 1, 4, 4), 0.5), region)
    assert iou[0] == 0 and defined.tolist() == [True, False]


def test_iou_falls_as_the_mask_moves_away() -> None:
    region = region_of(1, 16, slice(4, 12), slice(2, 8))
    moved = [float(masks.mask_to_iou(region_of(1, 16, slice(4, 12), slice(2 + s, 8 + s)).float(), region)[0]) for s in (0, 1, 3, 6)]
    assert moved == sorted(moved, reverse=True) and moved[0] == 1 and moved[-1] == 0


# ---- readings

def test_accuracy_and_leakage_by_hand() -> None:
    read = torch.tensor([[1, 0, 1], [0, 0, 1]]).bool()
    expected = torch.tensor([[1, 1, 1], [1, 0, 0]]).bool()
    assert accuracy.readings_to_edit_accuracy(read, expected, (0,)).tolist() == [1, 0]
    changes = accuracy.readings_to_changes(read, expected)
    assert accuracy.changes_to_leakage(changes, (0,)).tolist() == [0.5, 0.5]          # the edited attribute itself does not leak
    assert accuracy.changes_to_leakage_row(changes).tolist() == [0.5, 0.5, 0.5]


def test_a_judge_of_one_attribute_sees_no_leakage() -> None:
    assert accuracy.changes_to_leakage(torch.ones(3, 1), (0,)).tolist() == [0, 0, 0]


# ---- difference

def test_difference_map_is_black_only_where_equal_and_brighter_with_more() -> None:
    a = np.full((1, 4, 3), 100, np.uint8)
    b = a.copy()
    b[0, 1, 2], b[0, 2], b[0, 3] = 101, 140, 250
    heat = difference_map(a, b).astype(int).sum(2)[0]
    assert heat[0] == 0 < heat[1] < heat[2] < heat[3]
    with pytest.raises(ValueError, match='equal sizes'):
        difference_map(a, b[:, :2])


def test_the_colours_are_the_formula_and_rows_come_in_blocks() -> None:
    assert COLOURS[[0, 1, 48, 96, 255]].tolist() == [[0, 0, 0], [23, 3, 36], [227, 112, 35], [255, 255, 255], [255, 255, 255]]
    a = np.random.default_rng(0).integers(0, 256, (600, 7, 3), dtype=np.uint8)
    b = a.copy()
    b[::2] = np.random.default_rng(1).integers(0, 256, (300, 7, 3), dtype=np.uint8)
    difference = np.abs(a.astype(int) - b).max(axis=2)
    level = np.where(difference > 0, 0.06 + 0.94 * np.minimum(difference / FULL, 1.0), 0.0)
    where = np.linspace(0, 1, len(_STOPS))
    expected = np.stack([np.interp(level, where, _STOPS[:, c]) for c in range(3)], axis=2).round().astype(np.uint8)
    assert np.array_equal(difference_map(a, b), expected)


# ---- bootstrap

def test_reductions_by_hand() -> None:
    total, count = np.array([[1.0, 1.0], [0.0, 4.0]]), np.array([[1.0, 3.0], [0.0, 4.0]])
    assert tally_to_value(Tally(total, count, pooled)) == pytest.approx(6 / 8)
    assert tally_to_value(Tally(total, count, mean_over_attributes)) == pytest.approx((2 / 4 + 1) / 2)
    assert tally_to_values(Tally(total, count, pooled)) == pytest.approx([0.5, 1.0])
    assert tally_to_value(Tally(total, count, pooled_psnr)) == pytest.approx(10 * math.log10(255 ** 2 / 0.75))


def test_infinite_and_undefined_are_none_without_a_warning() -> None:
    zero, one = np.zeros((2, 5)), np.ones((2, 5))
    assert tally_to_value(Tally(zero, one, pooled_psnr)) is None
    assert tally_to_interval(Tally(zero, one, pooled_psnr)) == (None, None)
    assert tally_to_interval(Tally(zero, zero, mean_over_attributes)) == (None, None)


def test_the_interval_contains_the_value_narrows_with_n_and_repeats() -> None:
    widths = []
    for n in (20, 500):
        total = (np.random.default_rng(0).random((3, n)) < 0.7).astype(float)
        tally = Tally(total, np.ones_like(total), mean_over_attributes)
        low, high = tally_to_interval(tally, seed=1)
        assert low is not None and high is not None and low < tally_to_value(tally) < high      # type: ignore[operator]
        assert (low, high) == tally_to_interval(tally, seed=1)
        widths.append(high - low)
    assert widths[1] < widths[0] / 3
    normal = 1.96 * math.sqrt(0.7 * 0.3 / 1500)                # three independent attributes of 500
    assert widths[1] / 2 == pytest.approx(normal, rel=0.2)


def test_faces_are_resampled_whole() -> None:
    # three attributes that always fail together carry the information of one
    one = (np.random.default_rng(0).random((1, 200)) < 0.7).astype(float)
    alone, thrice = (tally_to_interval(Tally(t, np.ones_like(t), mean_over_attributes)) for t in (one, one.repeat(3, axis=0)))
    assert thrice == pytest.approx(alone)


# ---- fidelity

class SmallExtractor(FeatureExtractorBase):
    """Eight fixed numbers of a picture."""

    def __init__(self, name: str, features_list: list[str], **kwargs: Any) -> None:
        super().__init__(name, features_list)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return ('features',)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return 'features'

    @staticmethod
    def can_be_compiled() -> bool:
        return False

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (small_features(images),)


def small_features(images: Tensor) -> Tensor:
    return nn.functional.adaptive_avg_pool2d(images.float() / 255, (2, 2)).flatten(1)[:, :8]


class Pictures(Dataset):
    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


@pytest.fixture(scope='module')
def two_sets() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    real = torch.randint(0, 256, (60, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return real, (torch.randint(0, 256, (80, 3, 8, 8), generator=generator) // 2).to(torch.uint8)


@pytest.fixture(scope='module')
def extractor() -> str:
    name = 'retouch-test-small'
    if name not in fidelity.FEATURE_EXTRACTORS_REGISTRY:
        torch_fidelity.register_feature_extractor(name, SmallExtractor)
    return name


def test_equals_torch_fidelity_on_the_same_pictures(two_sets: tuple[Tensor, Tensor], extractor: str) -> None:
    real, fake = two_sets
    theirs = torch_fidelity.calculate_metrics(
        input1=Pictures(fake), input2=Pictures(real), feature_extractor=extractor, fid=True, kid=True, isc=True, prc=True,
        kid_subset_size=60, rng_seed=0, cuda=False, cache=False, verbose=False, save_cpu_ram=True)
    ours = fidelity.features_to_fidelity(small_features(real), small_features(fake), fidelity.SETS)
    assert ours['fid'] == theirs['frechet_inception_distance'] and ours['kid'] == theirs['kernel_inception_distance_mean']
    assert ours['kid_subset_std'] == theirs['kernel_inception_distance_std']
    assert (ours['precision'], ours['recall']) == (theirs['precision'], theirs['recall'])
    score = fidelity.logits_to_inception_score(small_features(fake))
    assert (score['inception_score'], score['inception_score_split_std']) == (theirs['inception_score_mean'], theirs['inception_score_std'])


def test_inception_score_by_hand_on_both_scales() -> None:
    certain = torch.tensor([[100.0, 0.0], [0.0, 100.0]]).repeat(50, 1)
    one_split = fidelity.logits_to_inception_score(certain[:1])                        # of one picture: no spread, no diversity
    assert one_split == dict(zip(fidelity.INCEPTION_SCORES, (1, 0, 0, 0), strict=True))
    # every reading certain: KL is the entropy of the class shares, whatever the split
    order = np.random.RandomState(0).permutation(100)
    shares = [(order[i:i + 10] % 2).mean() for i in range(0, 100, 10)]
    kl = [-sum(p * math.log(p) for p in (share, 1 - share) if p) for share in shares]
    found = fidelity.logits_to_inception_score(certain)
    assert found['inception_kl'] == pytest.approx(np.mean(kl)) and found['inception_kl_split_std'] == pytest.approx(np.std(kl))
    assert found['inception_score'] == pytest.approx(np.exp(kl).mean())
    assert found['inception_score_split_std'] == pytest.approx(np.exp(kl).std())


def test_precision_and_recall_by_hand() -> None:
    # on a line: the third neighbour of 0 1 2 3 is 3 2 2 3 away, so the real set reaches from -3 to 6; of the edits only 2 and 5 lie there
    real, fake = (torch.tensor([[float(v)] for v in some]) for some in ((0, 1, 2, 3), (2, 5, 50, 60)))
    found = fidelity.features_to_fidelity(real, fake, ('precision', 'recall'))
    # the edits reach 58, 55, 48, 58 far: every real picture lies among them
    assert found == {'precision': 0.5, 'recall': 1.0}
    with pytest.raises(ValueError, match='at least 4'):
        fidelity.features_to_fidelity(real[:3], fake, ('precision',))


def test_fid_by_hand_on_two_point_clouds() -> None:
    # unit variance in one dimension, means 0 and 3: the squared distance of the means
    real = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]).repeat(50, 1)
    assert fidelity.features_to_fidelity(real, real + torch.tensor([3.0, 0.0]), ('fid',))['fid'] == pytest.approx(9.0, abs=1e-4)


def test_a_set_is_at_no_distance_from_itself_and_damage_moves_it_away(two_sets: tuple[Tensor, Tensor]) -> None:
    real = small_features(two_sets[0])
    same = fidelity.features_to_fidelity(real, real)
    assert same['fid'] == pytest.approx(0, abs=1e-4) and abs(same['kid']) < 0.05
    away = [fidelity.features_to_fidelity(real, real * (1 - s), ('fid',))['fid'] for s in (0.0, 0.1, 0.3, 0.6)]
    assert away == sorted(away)


def test_distances_of_two_directions_by_hand() -> None:
    """A stand-in for KID, the squared distance of the means: of domains at 0 and 3, edits at 1 (to 3) and at 0 (to 0)."""
    def compare(real: Tensor, fake: Tensor, measures: tuple[str, ...]) -> dict[str, float]:
        return {name: float((real.mean() - fake.mean()) ** 2) for name in measures}

    real = torch.tensor([[0.0], [3.0], [0.0], [3.0]])
    rows, fakes, names = [np.array([0, 2]), np.array([1, 3])], [torch.full((2, 1), 1.0), torch.zeros(2, 1)], ('to=B', 'to=A')
    found = directions_to_distances(real, fakes, names, rows, rows[::-1], compare, ('fid', 'kid'))
    assert found['kid'].per_attribute == {'to=B': 4.0, 'to=A': 0.0} == found['fid'].per_attribute and found['kid'].value == 2
    assert found['kid_fused'].per_attribute == {'to=B': (4 + 1) / 2, 'to=A': (0 + 9) / 2} and found['kid_fused'].value == 3.5
    assert found['kid_pooled'].per_attribute == {'to=B': 0.25, 'to=A': 2.25} and found['kid_pooled'].value == 1.25     # of a set at 1.5
    alone = directions_to_distances(real[:3], fakes, names, [rows[0], rows[1][:1]], [rows[1][:1], rows[0]], compare, ('fid', 'kid'))
    assert all(measure.value is None for measure in alone.values()) and len(alone) == 4
    unfused = directions_to_distances(real, fakes, names, rows, rows[::-1], compare, ('fid',))
    assert set(unfused) == {'fid'}, 'nothing fused without the kernel distance'
    together = edits_to_distances(real, fakes, names, compare, ('fid', 'kid'), ('kid',))
    assert together['kid'].value == 1 and together['kid'].per_attribute == {'to=B': 0.25, 'to=A': 2.25}
    assert together['fid'].per_attribute is None
    alone = edits_to_distances(real, fakes, names, compare, ('fid',), tasks=True)
    assert alone['fid'].value == together['fid'].value and alone['fid_per_task'].per_attribute == {'to=B': 0.25, 'to=A': 2.25}
    assert alone['fid_per_task'].value == 1.25 and alone['fid_per_task_std'].value == 1                    # half the difference of the two


def few(n: int, width: int, per: int = 1) -> dict[str, dict[str, Measure]]:
    """All distances of n pictures of `width` features and their edits: of attributes, and of two domains of `n / 2` pictures."""
    features = torch.randn(n, width, generator=torch.Generator().manual_seed(0))
    rows, names, half = [np.arange(n // 2), np.arange(n // 2, n)], ('A', 'B'), n // 2
    fakes = [features[:half] + 0.1, features[half:] + 0.1]
    each = ('fid', 'kid', 'precision') if half > 3 else ('fid', 'kid')
    return {'edits': edits_to_distances(features, fakes, names, fidelity.features_to_fidelity, each, ('kid',), True, width * per),
            'directions': directions_to_distances(features, fakes, names, rows, rows[::-1], fidelity.features_to_fidelity, each,
                                                  fidelity.features_to_kid_subsets, width * per)}


def test_a_distance_of_fewer_pictures_than_features_is_no_value() -> None:
    found = few(10, 11)
    assert {name: (m.value, m.note) for name, m in found['edits'].items() if name != 'precision'} == {
        **dict.fromkeys(('fid', 'kid'), (None, 'needs n >= 11')),
        **dict.fromkeys(('fid_per_task', 'fid_per_task_std'), (None, 'needs n >= 11 of each edit'))}
    assert found['edits']['kid'].per_attribute == {'A': None, 'B': None}
    assert {(m.value, m.note) for name, m in found['directions'].items() if name != 'precision'} == {(None, 'needs n >= 11 in each domain')}
    assert set(found['directions']) == {'fid', 'kid', 'precision', 'kid_fused', 'kid_pooled', 'kid_fused_subset_std',
                                        'kid_pooled_subset_std'}
    for measures in found.values():                              # what counts neighbours needs no covariance
        assert measures['precision'].value == 1 and measures['precision'].note == ''
    assert measure_to_text(found['edits']['fid']) == 'needs n >= 11' and notes_of(found['edits']) == []


def test_a_distance_of_few_pictures_is_a_value_with_a_warning() -> None:
    found = few(20, 10)
    assert found['edits']['fid'].value is not None and found['edits']['fid'].note == 'of 20 pictures: uncertain below 2,048'
    assert found['directions']['fid'].value is not None
    assert found['directions']['kid_fused'].note == 'of 10 pictures in each domain: uncertain below 2,048'
    assert notes_of(found['edits']) == ['fid, kid: of 20 pictures: uncertain below 2,048',
                                        'fid_per_task, fid_per_task_std: of 10 pictures of each edit: uncertain below 2,048']
    assert few(20, 10, per=0)['edits']['fid'] == found['edits']['fid'] and few(10, 11, per=0)['edits']['fid'].value is not None
    assert few(4096, 2)['directions']['fid'].note == '' and few(4096, 2)['edits']['fid'].note == ''


def test_the_pooled_set_is_the_other_reading_of_fused(two_sets: tuple[Tensor, Tensor]) -> None:
    """KID to source and target together is `kid_fused` less a quarter of KID(source, target): exact without subsets, as for one mean."""
    def mmd(x: Tensor, y: Tensor) -> float:
        def kernel(a: Tensor, b: Tensor) -> Tensor:
            return (a @ b.T / a.shape[1] + 1) ** 3
        return float(kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean())

    source, target = (small_features(images)[:60].double() for images in two_sets)
    fake = (source + target.flip(0)) / 2
    fused = (mmd(fake, source) + mmd(fake, target)) / 2
    assert mmd(fake, torch.cat([source, target])) == pytest.approx(fused - mmd(source, target) / 4)


def test_the_kernel_distance_of_a_subset_by_hand_and_both_fused_ones(two_sets: tuple[Tensor, Tensor]) -> None:
    real, fake = (small_features(images).double() for images in two_sets)
    each = fidelity.features_to_kid_subsets(real, fake, seed=3)
    rng, n = np.random.RandomState(3 + 1), min(fidelity.KID_SUBSET_SIZE, len(real), len(fake))
    x, y = (some[rng.choice(len(some), n, replace=False)] for some in (fake, real))

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    within = sum(float(k.sum() - k.diagonal().sum()) for k in (kernel(x, x), kernel(y, y))) / (n * (n - 1))
    assert len(each) == fidelity.KID_SUBSETS and each[1] == pytest.approx(within - 2 * float(kernel(x, y).mean()), rel=1e-6)
    found = fidelity.features_to_fidelity(real, fake, ('kid', 'kid_subset_std'))
    assert set(found) == {'kid', 'kid_subset_std'} and found['kid_subset_std'] == pytest.approx(each.std(), rel=0.3)

    def compare(real: Tensor, fake: Tensor, measures: tuple[str, ...]) -> dict[str, float]:
        return fidelity.features_to_fidelity(real, fake, measures)

    both = torch.cat([real, fake])
    rows = [np.arange(len(real)), len(real) + np.arange(len(fake))]
    edits = [(real[:30] + fake[:30]) / 2, (real[30:] + fake[30:60]) / 2]
    measured = directions_to_distances(both, edits, ('to=B', 'to=A'), rows, rows[::-1], compare, ('kid', 'kid_subset_std'),
                                       fidelity.features_to_kid_subsets)
    fused, pooled, apart = measured['kid_fused'].value, measured['kid_pooled'].value, compare(real, fake, ('kid',))['kid']
    assert fused is not None and pooled is not None and pooled == pytest.approx(fused - apart / 4, abs=0.05 * apart)
    spread = measured['kid_fused_subset_std'].per_attribute or {}
    there, here = (fidelity.features_to_kid_subsets(some, edits[0]) for some in (fake, real))
    assert spread['to=B'] == pytest.approx(((there + here) / 2).std()) and (measured['kid_pooled_subset_std'].value or 0) > 0


def test_more_than_half_of_the_way_to_the_truth() -> None:
    x, y = torch.zeros(4, 3, 2, 2), torch.full((4, 3, 2, 2), 0.5)
    output = torch.stack([x[0], x[0] + 0.24, x[0] + 0.27, x[0] + 0.77])
    assert psnr.images_to_arrived(output, y, x).tolist() == [0, 0, 1, 0] and psnr.images_to_arrived(y, y, x).tolist() == [1] * 4
    assert psnr.images_to_arrived(x, x, x).tolist() == [0] * 4                         # nothing was to change


def test_one_picture_has_no_distribution() -> None:
    with pytest.raises(ValueError, match='at least 2'):
        fidelity.features_to_fidelity(torch.rand(1, 4), torch.rand(5, 4))


# ---- truths

def test_regions_of_many_pictures_are_found_in_chunks() -> None:
    x, y = np.random.default_rng(0).integers(0, 256, (2, 130, 4, 4, 3), dtype=np.uint8)
    x[:, 0, 0], y[:, 0, 0], x[:, 0, 1], y[:, 0, 1] = 100, 112, 113, 100                # 12 and 13 levels, both directions
    found = pictures_to_regions(x, y)
    assert found.shape == (130, 4, 4) and np.array_equal(found, np.abs(x.astype(int) - y).max(3) > 12.75)
    assert not found[:, 0, 0].any() and found[:, 0, 1].all()


def test_true_edits_are_the_counterfactuals_of_the_drawing_code() -> None:
    images, labels = held_out_faces(4, 32)
    truths = true_edits(('Blond_Hair', 'Eyeglasses'), images, labels)
    blond = labels[:, toyfaces.ATTRIBUTES.index('Blond_Hair')] == 1
    assert truths['Blond_Hair'].rows.tolist() == np.flatnonzero(~blond).tolist()       # always on; a face that is blond is skipped
    assert len(truths['Eyeglasses'].rows) == 4                                         # flips
    for truth in truths.values():
        for m, row in enumerate(truth.rows):
            identity, attributes = toyfaces.face(1_000_000 + int(row))
            image, region = toyfaces.counterfactual(identity, attributes, truth.targets[m], 32)
            assert np.array_equal(image, truth.images[m]) and np.array_equal(region, truth.regions[m])
    again = true_edits(('Eyeglasses',), images, labels)['Eyeglasses']                  # from the cache
    assert np.array_equal(again.images, truths['Eyeglasses'].images) and np.array_equal(again.regions, truths['Eyeglasses'].regions)


def test_true_edits_name_the_nearest_attribute() -> None:
    images, labels = held_out_faces(2, 16)
    with pytest.raises(ValueError, match="did you mean 'Eyeglasses'"):
        true_edits(('eyeglass',), images, labels)
