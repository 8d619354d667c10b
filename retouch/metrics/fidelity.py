"""FID, KID, precision, recall and Inception score: torch-fidelity's arithmetic, on features that were computed before.

FID means Inception features. The extractor stands in the name in the card: `fid[inception-v3-compat]`, `fid[toyfaces_classifier]`.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch_fidelity
from torch import Tensor
from torch.utils.data import Dataset
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

KID_SUBSETS, KID_SUBSET_SIZE = 100, 100      # unbiased at any subset size; small subsets let small test sets be scored
NEIGHBOURS, SPLITS = 3, 10                   # of precision and recall, as in their paper; of the Inception score
READY = 'retouch-ready-features'
SETS = ('fid', 'kid', 'kid_subset_std', 'precision', 'recall')
INCEPTION_SCORES = ('inception_score', 'inception_score_split_std', 'inception_kl', 'inception_kl_split_std')
_KEYS = {'fid': 'frechet_inception_distance', 'kid': 'kernel_inception_distance_mean', 'kid_subset_std': 'kernel_inception_distance_std',
         'precision': 'precision', 'recall': 'recall'}


class OneLayer(FeatureExtractorBase):
    """What torch-fidelity asks of an extractor that gives one tensor, called `layer`."""

    layer: ClassVar[str]

    @classmethod
    def get_provided_features_list(cls) -> tuple[str, ...]:
        return (cls.layer,)

    @classmethod
    def get_default_feature_layer_for_metric(cls, metric: str) -> str:
        return cls.layer

    @staticmethod
    def can_be_compiled() -> bool:
        return True


class ReadyFeatures(OneLayer):
    """Hands on features that were computed before: an extractor looks at a picture once, and no picture is kept."""

    layer = 'features'

    def __init__(self, name: str, features_list: list[str], **kwargs: Any) -> None:
        super().__init__(name, features_list)

    @staticmethod
    def can_be_compiled() -> bool:
        return False

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        return (features,)


if READY not in FEATURE_EXTRACTORS_REGISTRY:
    torch_fidelity.register_feature_extractor(READY, ReadyFeatures)


class _Rows(Dataset):
    """The rows of a tensor as a data set."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Tensor:
        return self.rows[index]


def features_to_fidelity(real: Tensor, fake: Tensor, measures: tuple[str, ...] = ('fid', 'kid'), *, seed: int = 0) -> dict[str, float]:
    """torch-fidelity's answer for the features of two sets.

    Args:
        real: [N,F].
        fake: [M,F].
        measures: any of fid, kid, kid_subset_std, precision, recall.
        seed: of the KID subsets.

    Returns:
        measure -> value. KID is the mean over 100 subsets of at most 100, kid_subset_std their standard deviation, precision and recall are
        of 3 neighbours.

    Raises:
        ValueError: fewer than two rows in a set, or not more than neighbours.
    """
    neighbours = not {'precision', 'recall'}.isdisjoint(measures)
    if min(len(real), len(fake)) < (least := NEIGHBOURS + 1 if neighbours else 2):
        raise ValueError(f'{len(real)} real and {len(fake)} generated pictures: expected at least {least} of each; raise --n')
    # torch-fidelity ignores a misspelt option, so all of them are spelt here and nowhere else
    found = torch_fidelity.calculate_metrics(
        input1=_Rows(fake.float().cpu()), input2=_Rows(real.float().cpu()), feature_extractor=READY,
        fid='fid' in measures, kid=not {'kid', 'kid_subset_std'}.isdisjoint(measures), prc=neighbours, prc_neighborhood=NEIGHBOURS,
        kid_subsets=KID_SUBSETS, kid_subset_size=min(KID_SUBSET_SIZE, len(real), len(fake)), rng_seed=seed,
        batch_size=1024, cuda=False, save_cpu_ram=True, cache=False, verbose=False)
    return {name: float(found[_KEYS[name]]) for name in measures}


def features_to_kid_subsets(real: Tensor, fake: Tensor, *, seed: int = 0) -> np.ndarray:
    """torch-fidelity's KID of each of 100 draws of at most 100 pictures of either set: [100].

    A draw of the first set given as `fake` depends on nothing but its size and the seed: two calls with the same edits compare the same
    ones with two real sets.

    Args:
        real: [N,F].
        fake: [M,F].
        seed: of the draws.
    """
    size = min(KID_SUBSET_SIZE, len(real), len(fake))
    return np.array([kid_features_to_metric(fake, real, kid_subsets=1, kid_subset_size=size, rng_seed=seed + i, verbose=False)[_KEYS['kid']]
                     for i in range(KID_SUBSETS)])


def logits_to_inception_score(logits: Tensor, *, seed: int = 0) -> dict[str, float]:
    """The Inception score on both scales, over ten splits in torch-fidelity's order.

    Args:
        logits: [N,C].
        seed: of the order.

    Returns:
        `inception_score` and `inception_kl`, mean over the splits of exp(KL) and of KL = mean over pictures of KL(p(y given x), mean p(y))
        in nats; `..._split_std`, the standard deviations over the splits.
    """
    parts = [logits[rows] for rows in splits_of(len(logits), seed)]
    return splits_to_scores([isc_features_to_metric(part, splits=1, shuffle=False)['inception_score_mean'] for part in parts])


def splits_of(n: int, seed: int) -> list[np.ndarray]:
    """Which of n pictures are in each of ten splits (of fewer than ten, one each), in torch-fidelity's order."""
    order, splits = np.random.RandomState(seed).permutation(n), min(SPLITS, n)
    return [order[i * n // splits:(i + 1) * n // splits] for i in range(splits)]


def splits_to_scores(scores: Sequence[float]) -> dict[str, float]:
    """exp(KL) of each split -> what `logits_to_inception_score` says."""
    each = np.array(scores)
    values = (each.mean(), each.std(), np.log(each).mean(), np.log(each).std())
    return {name: float(value) for name, value in zip(INCEPTION_SCORES, values, strict=True)}
