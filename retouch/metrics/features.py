"""Feature extractors with published weights: which file, where it is looked for, what the networks see, and which measures they give.

Every network is a library's: Inception of torch-fidelity, the vision transformer and ResNet-50 of torchvision, LPIPS of torchmetrics.
"""
from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import torch_fidelity
from torch import Tensor, nn
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY
from torchvision.models import inception_v3, resnet50
from torchvision.models.vision_transformer import VisionTransformer
from torchvision.transforms.v2.functional import normalize, resize

from retouch.errors import unknown
from retouch.metrics import fidelity

WEIGHTS_ENV = 'RETOUCH_WEIGHTS'
JUDGE, LPIPS = 'judge', 'lpips-alexnet'
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)         # of ImageNet
LPIPS_MIN_PX = 31                                                 # AlexNet leaves nothing of a smaller picture


class Published(NamedTuple):
    """A file of weights."""

    file: str
    url: str
    sha256: str
    """First digits or all of them, as published; empty where nobody does."""
    layers: tuple[str, ...] = ()
    """Features, and logits if there are classes; or logits alone."""


PUBLISHED = {
    # the digits are part of the name, a constant of torch-fidelity
    'inception-v3-compat': Published(
        'weights-inception-2015-12-05-6726825d.pth',
        'https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth', '6726825d',
        ('2048', 'logits_unbiased')),
    # SeCGAN's Inception score is of torchvision's network; the digits are part of the name, a constant of torchvision
    'inception-v3-torchvision': Published(
        'inception_v3_google-0cc3c7bd.pth', 'https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth', '0cc3c7bd',
        ('logits',)),
    # its publisher states no digest (dinov2/hub/backbones.py loads it unchecked); two repositories that have nothing to do with each other
    # state this one: seruva19/ayase, src/ayase/modules/id_sim.py, and tahamsi/deltasub, tests/integration/test_m2_dinov2.py
    'dinov2-vitb14': Published(
        'dinov2_vitb14_pretrain.pth', 'https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth',
        '0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73', ('dinov2',)),
    'swav-resnet50': Published(
        'swav_800ep_pretrain.pth.tar', 'https://dl.fbaipublicfiles.com/deepcluster/swav_800ep_pretrain.pth.tar', '', ('2048',)),
    # the digits are part of the name, a constant of torchvision; LPIPS's own five layers come with torchmetrics
    LPIPS: Published('alexnet-owt-7be5be79.pth', 'https://download.pytorch.org/models/alexnet-owt-7be5be79.pth', '7be5be79'),
}
NAMES = (JUDGE, *PUBLISHED)


def find_weights(name: str, path: str | Path | None = None, download: bool = False) -> Path:
    """The file of an extractor's weights, checked by its digest.

    Args:
        name: one of PUBLISHED.
        path: the file, or a folder that holds it; else the folder RETOUCH_WEIGHTS, else that of torch's hub.
        download: fetch it there if it is missing; only files whose digest is published.

    Raises:
        ValueError: the file is missing, cannot be fetched, or is another one.
    """
    file, url, sha256, _ = PUBLISHED[name]
    chosen = Path(path or os.environ.get(WEIGHTS_ENV) or Path(torch.hub.get_dir()) / 'checkpoints').expanduser()
    chosen = chosen if chosen.is_file() else chosen / file
    if not chosen.is_file() and download and sha256:
        try:
            chosen.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(chosen), hash_prefix=sha256, progress=False)
        except RuntimeError as error:                            # it removes what it fetched
            raise ValueError(f'{url}: another file came ({" ".join(str(error).split())}): download it again') from error
        except OSError as error:
            raise ValueError(f'{url} cannot be fetched to {chosen} ({error}): fetch it elsewhere and put it there') from error
    if not chosen.is_file():
        how = ', or pass --download' if sha256 else '; --download does not fetch it, since no digest of it is published'
        raise ValueError(f'{chosen} is missing: {name} needs {file} from {url}; put it there, or in a folder that --weights or '
                         f'{WEIGHTS_ENV} names{how}')
    found = file_to_sha256(chosen)
    if not found.startswith(sha256):
        raise ValueError(f'{chosen} has sha256 {found[:8]}…: expected {sha256[:8]}…, the file {file} of {url}; fetch it again')
    return chosen


def file_to_sha256(path: Path) -> str:
    """64 hex digits."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


@dataclass(frozen=True)
class Extractor:
    """A network at rest that turns pictures into features, a batch at a time."""

    name: str
    sha256: str
    look: Callable[[Tensor], Tensor]
    """uint8 [N,3,H,W] -> float32 [N,F] on the CPU: features, and then logits if there are classes."""
    measures: tuple[str, ...]
    logits: int = 0
    """How many of the F are logits."""

    def compare(self, real: Tensor, fake: Tensor, measures: tuple[str, ...], seed: int = 0) -> dict[str, float]:
        """Measures of two sets that `look` has seen, [N,F] and [M,F]; by the arithmetic of torch-fidelity."""
        width = real.shape[1] - self.logits
        of_sets = tuple(name for name in measures if name in fidelity.SETS)
        found = fidelity.features_to_fidelity(real[:, :width], fake[:, :width], of_sets, seed=seed) if of_sets else {}
        if len(of_sets) < len(measures):
            found |= fidelity.logits_to_inception_score(fake[:, width:], seed=seed)
        return {name: found[name] for name in measures}

    def kid_subsets(self, real: Tensor, fake: Tensor, seed: int = 0) -> np.ndarray:
        """The kernel distance of each subset of two sets that `look` has seen."""
        width = real.shape[1] - self.logits
        return fidelity.features_to_kid_subsets(real[:, :width], fake[:, :width], seed=seed)


def load_extractor(name: str, path: Path, device: torch.device | str = 'cpu') -> Extractor:
    """An extractor with the weights in a file that `find_weights` has checked.

    Raises:
        ValueError: an unknown extractor, or a file with other weights in it.
    """
    if name not in PUBLISHED or not PUBLISHED[name].layers:
        raise unknown('feature extractor', name, [name for name, published in PUBLISHED.items() if published.layers])
    layers = list(PUBLISHED[name].layers)
    try:
        net = FEATURE_EXTRACTORS_REGISTRY[name](name, layers, feature_extractor_weights_path=str(path)).to(device)
    except (RuntimeError, KeyError, ValueError, AttributeError, pickle.UnpicklingError) as error:
        raise ValueError(f'{path} holds no weights for {name} ({str(error).splitlines()[0]}): expected {PUBLISHED[name].file}') from error

    @torch.no_grad()
    def look(image: Tensor) -> Tensor:
        return torch.cat(net(image.to(device)), 1).float().cpu()

    logits = net.fc.out_features if layers[-1].startswith('logits') else 0
    measures = (fidelity.SETS if len(layers) > 1 or not logits else ()) + (fidelity.INCEPTION_SCORES if logits else ())
    return Extractor(name, file_to_sha256(path), look, measures, logits)


class Opened(NamedTuple):
    """What a card's features need."""

    extractors: list[Extractor]
    lpips: nn.Module | None
    digests: dict[str, str]
    """Name -> sha256 of its weights."""


def open_features(names: Sequence[str], weights: str | Path | None = None, download: bool = False,
                  device: torch.device | str = 'cpu') -> Opened:
    """Finds all files, then loads them. ValueError as of `find_weights`, or for an unknown name; JUDGE needs no file and opens nothing."""
    for name in names:
        if name not in NAMES:
            raise unknown('feature extractor', name, NAMES)
    files = {name: find_weights(name, weights, download) for name in dict.fromkeys(names) if name != JUDGE}
    return Opened([load_extractor(name, file, device) for name, file in files.items() if name != LPIPS],
                  load_lpips(files[LPIPS], device) if LPIPS in files else None,
                  {name: file_to_sha256(file) for name, file in files.items()})


class _Inception(fidelity.OneLayer):
    """Logits of torchvision's Inception as scripts for the Inception score take them: pictures in [-1,1], bilinear at 299 px."""

    layer = 'logits'

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str = '', **kwargs: Any) -> None:
        super().__init__(name, features_list)
        self.model = inception_v3(weights=None, transform_input=False, aux_logits=True, init_weights=False)
        self.model.load_state_dict(torch.load(feature_extractor_weights_path, map_location='cpu', weights_only=True))
        self.fc = self.model.fc
        self.requires_grad_(False).eval()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        image = F.interpolate(image.float() / 127.5 - 1, size=(299, 299), mode='bilinear', align_corners=False)
        return (self.model(image),)


class _Swav(fidelity.OneLayer):
    """Pooled features of SwAV's ResNet-50, for ssFID: pictures at 224 px, bilinear and antialiased as Pillow does it."""

    layer = '2048'

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str = '', **kwargs: Any) -> None:
        super().__init__(name, features_list)
        self.model = resnet50(weights=None)
        self.model.fc = nn.Identity()
        state = torch.load(feature_extractor_weights_path, map_location='cpu', weights_only=True)
        state = {key.removeprefix('module.'): value for key, value in state.items()}
        self.model.load_state_dict({key: value for key, value in state.items() if not key.startswith(('projection_head', 'prototypes'))})
        self.requires_grad_(False).eval()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        image = resize(image, [224, 224], antialias=True).float() / 255
        return (self.model(normalize(image, list(MEAN), list(STD))),)


class _Dino(FeatureExtractorDinoV2):
    """torch-fidelity's DINOv2, which cannot read a file: the same pictures go into torchvision's transformer."""

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str = '', **kwargs: Any) -> None:
        FeatureExtractorBase.__init__(self, name, features_list)
        self.feature_extractor_internal_dtype = torch.float32
        self.model = VisionTransformer(224, 14, 12, 12, 768, 3072)
        self.model.heads = nn.Identity()                         # type: ignore[assignment]
        self.model.load_state_dict(dino_to_torchvision(torch.load(feature_extractor_weights_path, map_location='cpu', weights_only=True)))
        self.requires_grad_(False).eval()


def dino_to_torchvision(state: dict[str, Tensor], patches: int = 16) -> dict[str, Tensor]:
    """Weights of a DINOv2 transformer -> those of torchvision's VisionTransformer that answers alike.

    What DINOv2 scales a branch with, torchvision has no place for: it goes into the branch's last layer, gamma * (W h + b). Places are
    interpolated as DINOv2 does it (bicubic, with an offset of 0.1) to `patches` a side.
    """
    parts = {'norm1': 'ln_1', 'attn.qkv': 'self_attention.in_proj', 'attn.proj': 'self_attention.out_proj', 'norm2': 'ln_2',
             'mlp.fc1': 'mlp.0', 'mlp.fc2': 'mlp.3'}
    scales = {'attn.proj': 'ls1', 'mlp.fc2': 'ls2'}
    places = state['pos_embed']                                  # [1,1+P*P,C]
    side = int((places.shape[1] - 1) ** 0.5)
    grid = places[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    if side != patches:
        grid = F.interpolate(grid, scale_factor=(patches + 0.1) / side, mode='bicubic')
    found = {'class_token': state['cls_token'], 'encoder.pos_embedding': torch.cat([places[:, :1], grid.flatten(2).transpose(1, 2)], 1),
             'conv_proj.weight': state['patch_embed.proj.weight'], 'conv_proj.bias': state['patch_embed.proj.bias'],
             'encoder.ln.weight': state['norm.weight'], 'encoder.ln.bias': state['norm.bias']}
    for key, value in state.items():
        if key.startswith('blocks.') and '.ls' not in key:
            block, (part, kind) = key.split('.')[1], key.split('.', 2)[2].rsplit('.', 1)
            if part in scales:
                gamma = state[f'blocks.{block}.{scales[part]}.gamma']
                value = gamma[:, None] * value if kind == 'weight' else gamma * value
            joint = '_' if part == 'attn.qkv' else '.'           # in_proj_weight, but out_proj.weight
            found[f'encoder.layers.encoder_layer_{block}.{parts[part]}{joint}{kind}'] = value
    return found


for _name, _kind in {'inception-v3-torchvision': _Inception, 'swav-resnet50': _Swav, 'dinov2-vitb14': _Dino}.items():
    if _name not in FEATURE_EXTRACTORS_REGISTRY:
        torch_fidelity.register_feature_extractor(_name, _kind)


def load_lpips(path: Path, device: torch.device | str = 'cpu') -> nn.Module:
    """LPIPS 0.1 on AlexNet: pictures [N,3,H,W] in [-1,1], at least 31 px, twice -> [N,1,1,1]."""
    from torchmetrics.functional.image.lpips import _LPIPS  # the public class would fetch AlexNet by itself

    net = _LPIPS(net='alex', pnet_rand=True)
    state = torch.load(path, map_location='cpu', weights_only=True)
    # its parts are AlexNet's layers under their numbers, in five slices: slice2.3.weight is features.3.weight
    net.net.load_state_dict({key: state[f'features.{key.partition(".")[2]}'] for key in net.net.state_dict()})
    return net.requires_grad_(False).eval().to(device)


def images_to_lpips(net: nn.Module, image: Tensor, other: Tensor) -> Tensor:
    """LPIPS [N] of two sets of pictures [N,3,H,W] in [-1,1]. ValueError below 31 px."""
    if min(image.shape[2:]) < LPIPS_MIN_PX:
        raise ValueError(f'{LPIPS} of pictures of {min(image.shape[2:])} px: expected at least {LPIPS_MIN_PX}')
    return net(image, other).flatten()
