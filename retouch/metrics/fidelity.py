"""FID, KID, Inception score, precision and recall: torch-fidelity's arithmetic, on features of Inception or of the judge.

FID means Inception features. Any other extractor is a proxy, and its name stands in the card: `fid[toyfaces_classifier]`.
"""
from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import torch
import torch_fidelity
from torch import Tensor
from torch.utils.data import Dataset
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

INCEPTION_FILE = 'weights-inception-2015-12-05-6726825d.pth'
INCEPTION_URL = f'https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}'
INCEPTION_SHA256 = '6726825d'        # first digits, as in the file name
INCEPTION_ENV = 'RETOUCH_INCEPTION_WEIGHTS'
KID_SUBSETS, KID_SUBSET_SIZE = 100, 100      # unbiased at any subset size; small subsets let small test sets be scored
READY = 'retouch-ready-features'
_KEYS = {'fid': 'frechet_inception_distance', 'kid': 'kernel_inception_distance_mean', 'inception_score': 'inception_score_mean',
         'precision': 'precision', 'recall': 'recall'}
INCEPTION = tuple(_KEYS)


class ReadyFeatures(FeatureExtractorBase):
    """Hands on features that were computed before: the judge looks at a picture once, for labels and for features."""

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


def inputs_to_fidelity(real: Tensor, fake: Tensor, extractor: str, measures: tuple[str, ...] = ('fid', 'kid'), *, seed: int = 0,
                       batch_size: int = 64, device: torch.device | str = 'cpu', weights: Path | None = None) -> dict[str, float]:
    """torch-fidelity's answer for two sets.

    Args:
        real: [N,...] what the extractor takes, mostly uint8 [N,3,H,W].
        fake: [M,...] likewise.
        extractor: a name registered with torch-fidelity.
        measures: any of fid, kid, inception_score, precision, recall.
        seed: of the KID subsets and the Inception score's splits.
        batch_size: rows that the extractor sees at once.
        device: 'cpu' or a CUDA device, where the extractor works.
        weights: the extractor's file, if it takes one.

    Returns:
        measure -> value. KID is the mean over 100 subsets of at most 100.

    Raises:
        ValueError: fewer than two rows in a set, or an extractor that is not registered.
    """
    if min(len(real), len(fake)) < 2:
        raise ValueError(f'{len(real)} real and {len(fake)} generated pictures: expected at least 2 of each; raise --n')
    # torch-fidelity ignores a misspelt option, so all of them are spelt here and nowhere else
    found = torch_fidelity.calculate_metrics(
        input1=_Rows(fake), input2=_Rows(real), feature_extractor=extractor,
        feature_extractor_weights_path=None if weights is None else str(weights),
        fid='fid' in measures, kid='kid' in measures, isc='inception_score' in measures,
        prc=not {'precision', 'recall'}.isdisjoint(measures),
        kid_subsets=KID_SUBSETS, kid_subset_size=min(KID_SUBSET_SIZE, len(real), len(fake)), isc_splits=min(10, len(fake)), rng_seed=seed,
        batch_size=batch_size, cuda=torch.device(device).type == 'cuda', save_cpu_ram=True, cache=False, verbose=False)
    return {name: float(found[_KEYS[name]]) for name in measures}


def features_to_fidelity(real: Tensor, fake: Tensor, measures: tuple[str, ...] = ('fid', 'kid'), *, seed: int = 0) -> dict[str, float]:
    """FID and KID of features [N,F] and [M,F] that were computed before; as `inputs_to_fidelity`."""
    return inputs_to_fidelity(real.float().cpu(), fake.float().cpu(), READY, measures, seed=seed, batch_size=1024)


def find_inception_weights(path: str | Path | None = None, download: bool = False) -> Path:
    """The Inception file of the FID of the literature, checked by its hash (torch-fidelity unpickles it).

    Args:
        path: where it is; else the environment variable RETOUCH_INCEPTION_WEIGHTS, else torch's hub cache.
        download: fetch it into the hub cache if it is nowhere (91 MB).

    Raises:
        ValueError: the file is missing, or is not that file.
    """
    cached = Path(torch.hub.get_dir()) / 'checkpoints' / INCEPTION_FILE
    chosen = Path(path or os.environ.get(INCEPTION_ENV) or cached)
    if chosen.is_dir():
        chosen = chosen / INCEPTION_FILE
    if not chosen.is_file() and chosen == cached and download:
        cached.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(INCEPTION_URL, str(cached), hash_prefix=INCEPTION_SHA256, progress=False)
        except RuntimeError as error:                            # it removes what it fetched
            raise ValueError(f'{INCEPTION_URL}: another file came ({" ".join(str(error).split())}): download it again') from error
    if not chosen.is_file():
        raise ValueError(f'{chosen} is missing: FID, KID and the Inception score need {INCEPTION_FILE} from {INCEPTION_URL}; put it there, '
                         f'or name it in {INCEPTION_ENV}, or pass --download')
    digest = hashlib.sha256(chosen.read_bytes()).hexdigest()
    if not digest.startswith(INCEPTION_SHA256):
        raise ValueError(f'{chosen} has sha256 {digest[:8]}…: expected {INCEPTION_SHA256}…, the file {INCEPTION_FILE}; download it again')
    return chosen


def images_to_inception(real: Tensor, fake: Tensor, measures: tuple[str, ...] = INCEPTION, *, weights: Path, seed: int = 0,
                        batch_size: int = 64, device: torch.device | str = 'cpu') -> dict[str, float]:
    """FID, KID, Inception score, precision and recall with TensorFlow's Inception of 2015. real, fake uint8 [N,3,H,W]."""
    return inputs_to_fidelity(real, fake, 'inception-v3-compat', measures, seed=seed, batch_size=batch_size, device=device, weights=weights)
