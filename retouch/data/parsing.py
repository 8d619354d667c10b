"""Face parses: lists of classes, how nineteen become twelve, masks on disk, and one geometry for a picture and its parse."""
from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from retouch import toyfaces
from retouch.data.batches import IGNORED
from retouch.data.cache import cores
from retouch.data.images import opened, read_image, shown_size
from retouch.data.sources import Mask
from retouch.errors import unknown
from retouch.files import cache_root, whole_file

# SeCGAN's twelve, in the order of its list and of the drawn faces; each with the classes of CelebAMask-HQ that it holds.
GROUPS: dict[str, tuple[str, ...]] = {
    'skin': ('skin',), 'eyebrows': ('l_brow', 'r_brow'), 'eyes': ('l_eye', 'r_eye'), 'eyeglasses': ('eye_g',), 'ears': ('l_ear', 'r_ear'),
    'earrings': ('ear_r',), 'nose': ('nose',), 'mouth': ('mouth',), 'lips': ('u_lip', 'l_lip'), 'neck': ('neck',), 'hair': ('hair',),
    'others': ('background', 'neck_l', 'cloth', 'hat'),
}
TWELVE = tuple(GROUPS)
GROUP_OF = {fine: group for group, members in GROUPS.items() for fine in members} | {group: group for group in GROUPS}
# Cityscapes' nineteen, the train ids of mcordts/cityscapesScripts' labels.py
STREETS = ('road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign', 'vegetation', 'terrain', 'sky',
           'person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle')
Ids = Literal['twelve', 'celebamask', 'face_parsing']
# What the numbers in a mask mean. Two orders of the nineteen are in use, and a set does not say which.
IDS: dict[str, tuple[str, ...]] = {
    'twelve': TWELVE,
    # the README of CelebAMask-HQ
    'celebamask': ('background', 'skin', 'nose', 'eye_g', 'l_eye', 'r_eye', 'l_brow', 'r_brow', 'l_ear', 'r_ear', 'mouth', 'u_lip', 'l_lip',
                   'hair', 'hat', 'ear_r', 'neck_l', 'neck', 'cloth'),
    # zllrunning/face-parsing.PyTorch @ d2e684c
    'face_parsing': ('background', 'skin', 'l_brow', 'r_brow', 'l_eye', 'r_eye', 'eye_g', 'l_ear', 'r_ear', 'ear_r', 'nose', 'mouth',
                     'u_lip', 'l_lip', 'neck', 'neck_l', 'cloth', 'hair', 'hat'),
}
assert TWELVE == toyfaces.CLASSES
ALL_IDS = {**IDS, 'cityscapes': STREETS}


# ---- classes

def groups_of(names: Sequence[str]) -> list[int]:
    """The position in TWELVE of every class. ValueError for a class of neither list."""
    for name in names:
        if name not in GROUP_OF:
            raise unknown('class of a face parse', name, GROUP_OF)
    return [TWELVE.index(GROUP_OF[name]) for name in names]


def logits_to_twelve(logits: Tensor, names: Sequence[str]) -> Tensor:
    """Log-probabilities of SeCGAN's twelve classes; the probabilities of a group's members are summed, which an argmax first would not do.

    Args:
        logits: [N,C,H,W] of a parser of the classes `names`.
        names: C class names, of the twelve or of CelebAMask-HQ's nineteen in any order.

    Returns:
        [N,12,H,W], differentiable; the exponentials sum to 1 in every pixel.
    """
    logs, groups = logits.log_softmax(1), groups_of(names)
    if groups == list(range(len(TWELVE))):                       # the twelve as they are
        return logs
    members = [[k for k, group in enumerate(groups) if group == g] for g in range(len(TWELVE))]
    if not all(members):
        absent = next(name for name, found in zip(TWELVE, members, strict=True) if not found)
        raise ValueError(f'no class of {absent!r} among {", ".join(names)}: expected all of a list, the twelve or the nineteen')
    return torch.stack([torch.stack([logs[:, k] for k in found]).logsumexp(0) for found in members], 1)


def colours_of(names: Sequence[str]) -> Tensor:
    """A colour [C,3] in [-1,1] for every class: its group's of the drawn faces' palette; grey for a class of neither list."""
    palette = [toyfaces.PALETTE[TWELVE.index(GROUP_OF[name])] if name in GROUP_OF else (128, 128, 128) for name in names]
    return torch.tensor((np.array(palette, np.float32) / np.float32(127.5) - 1).tolist()).reshape(-1, 3)


def mirrored_classes(names: Sequence[str]) -> list[int]:
    """Which class each one becomes in a mirror: l_brow and r_brow change places, where a list has both."""
    twin = {name: ('r' if name[0] == 'l' else 'l') + name[1:] for name in names if name[:2] in ('l_', 'r_')}
    return [names.index(twin[name]) if twin.get(name) in names else k for k, name in enumerate(names)]


# ---- masks on disk

def files_of(mask: Mask) -> tuple[Path, ...]:
    """The files of a mask: itself, or its parts."""
    return mask if isinstance(mask, tuple) else (mask,)


def cached_masks(masks: Sequence[Mask], pictures: Sequence[Path], size: int, names: Sequence[str], classes: Sequence[str],
                 progress: Callable[[int, int], None] | None = None) -> np.ndarray:
    """Parses at the working size, uint8 [N,S,S]: the largest central square as of the pictures, nearest neighbour; kept in the cache.

    Args:
        masks: the files, one channel of ids (a palette's index counts, not its colour); or of each the files of a face's parts, which are
            merged.
        pictures: their pictures, of the masks' size or exactly twice it, as CelebAMask-HQ's are.
        size: side in pixels.
        names: what the ids on disk mean.
        classes: the list wanted: TWELVE, or `names` in any order.
        progress: called with (done, total).

    Raises:
        ValueError: an unreadable or coloured mask, an id that is no class, a mask of another size than its picture.
    """
    digest = hashlib.sha256(json.dumps([size, list(names), list(classes)]).encode())
    folders: dict[str, str] = {}
    for path in (*(file for mask in masks for file in files_of(mask)), *pictures):
        folder, file_name = os.path.split(path)
        if folder not in folders:                                # a set of parts has a dozen files for every picture
            folders[folder] = os.path.realpath(folder)
        status = os.stat(path)
        digest.update(f'\n{folders[folder]}/{file_name}\0{status.st_size}\0{status.st_mtime_ns}'.encode('utf-8', 'surrogateescape'))
    stored = cache_root() / f'masks-{digest.hexdigest()[:32]}.npy'
    with contextlib.suppress(OSError, ValueError, EOFError):     # not there, or a damaged cache file
        return np.load(stored, mmap_mode='r')
    table = np.full(256, IGNORED, np.uint8)
    table[:len(names)] = groups_of(names) if tuple(classes) == TWELVE else [list(classes).index(name) for name in names]
    out = np.empty((len(masks), size, size), np.uint8)
    with ThreadPoolExecutor(cores()) as pool:
        read = functools.partial(read_mask, size=size, classes=len(names), unknown=tuple(names) == STREETS)
        for done, mask in enumerate(pool.map(read, masks, pictures)):
            out[done] = table[mask]
            if progress:
                progress(done + 1, len(masks))
    with contextlib.suppress(OSError):                           # no room for a cache: read them again next time
        stored.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(stored) as file:
            np.save(file, out)
    return out


def read_mask(path: Mask, picture: Path, size: int, classes: int, unknown: bool = False) -> np.ndarray:
    """One mask, uint8 [size,size] of ids below `classes`, or of IGNORED where `unknown` allows that. ValueError (see `cached_masks`)."""
    if isinstance(path, tuple):
        return parts_to_ids(path, picture, size)
    mask = read_image(path)
    _check_size(path, mask.size, shown_size(picture))
    if mask.mode not in ('P', 'L'):
        raise ValueError(f'{path}: a mask of mode {mask.mode}: expected one channel of class ids (mode P or L), 0 to {classes - 1}')
    ids = np.asarray(mask)
    if np.max(ids, where=ids != IGNORED if unknown else True, initial=0) >= classes:
        raise ValueError(f'{path}: class id {ids.max()}: expected 0 to {classes - 1}; correct the mask, or say what its ids mean with '
                         f'--data.ids ({", ".join(ALL_IDS)})')
    return np.asarray(_square(Image.fromarray(ids), size))


def parts_to_ids(parts: Sequence[Path], picture: Path, size: int) -> np.ndarray:
    """The masks of one face's parts, NNNNN_part.png, as one: uint8 [size,size] of CelebAMask-HQ's ids, 0 where no part is.

    A part covers those before it in the list of classes, as in the set's own g_mask.py (switchablenorms/CelebAMask-HQ, face_parsing):
    wherever its first channel is not 0.

    Raises:
        ValueError: a part of no class, an unreadable one, or one of another size than its picture allows.
    """
    names, out, whole = IDS['celebamask'], np.zeros((size, size), np.uint8), shown_size(picture)
    ids = {}
    for part in parts:
        name = part.stem.partition('_')[2]
        if name not in names[1:]:
            raise unknown(f'part of a face in {part}:', name, names[1:])
        ids[names.index(name)] = part
    for k in sorted(ids):
        with opened(ids[k]) as mask:
            _check_size(ids[k], mask.size, whole)
            small = _square(mask, size)                          # first of all: a set has a third of a million parts
        shown = small if small.mode in ('L', '1') else small.convert('RGB').getchannel('B')      # blue is what OpenCV reads first
        out[np.asarray(shown) != 0] = k
    return out


def _check_size(path: Path, size: tuple[int, int], picture: tuple[int, int]) -> None:
    (w, h), (pw, ph) = size, picture
    if (pw, ph) not in ((w, h), (2 * w, 2 * h)):
        raise ValueError(f"{path}: {w} x {h} px, its picture {pw} x {ph} px: expected the picture's size or half of it; make the mask "
                         'again from the picture')


def _square(mask: Image.Image, size: int) -> Image.Image:
    """The largest central square at size x size px, nearest neighbour."""
    w, h = mask.size
    side = min(w, h)
    left, top = round((w - side) / 2), round((h - side) / 2)
    cut = mask if w == h else mask.crop((left, top, left + side, top + side))
    return cut.resize((size, size), Image.Resampling.NEAREST)


def check_ids(parses: np.ndarray, names: Sequence[str], ids: str) -> None:
    """ValueError where masks of nineteen classes were read in the other order: hair covers more of any set than neck and lips together.

    Args:
        parses: uint8 [N,S,S] in the classes `names`.
        names: class names, of the twelve or the nineteen.
        ids: how they were read.
    """
    some = parses[np.linspace(0, len(parses) - 1, min(len(parses), 200)).astype(int)]
    counts = np.bincount(np.array(groups_of(names))[some.ravel()], minlength=len(TWELVE))
    hair, neck, lips = (counts[TWELVE.index(name)] / some.size for name in ('hair', 'neck', 'lips'))
    if hair < neck + lips:
        other = 'celebamask' if ids == 'face_parsing' else 'face_parsing'
        raise ValueError(f'read as ids={ids} these masks are {hair:.1%} hair, {neck:.1%} neck and {lips:.1%} lips: expected more hair; '
                         f'they are numbered otherwise, set --data.ids {other}')


# ---- one geometry for both

def warp(images: Tensor, parses: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Shows pictures and their parses at another scale and place; beyond the frame the picture is mirrored and the parse is IGNORED.

    Args:
        images: [N,3,H,W].
        parses: int64 [N,H,W].
        scale: [N]; 0.8 shows the whole frame at 0.8 of its size, 1.25 the inner 0.8 of it.
        shift: [N,2] by how much the content moves right and down, in fractions of the frame.
    """
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / scale
    theta[:, :, 2] = -2 * shift / scale[:, None]
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    shown = F.grid_sample(images, grid, 'bilinear', 'reflection', align_corners=False)
    classes = F.grid_sample(parses[:, None].float(), grid, 'nearest', 'border', align_corners=False)[:, 0].round().long()
    return shown, classes.masked_fill((grid.abs() > 1).any(-1), IGNORED)
