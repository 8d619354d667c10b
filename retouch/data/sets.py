"""From a data configuration to pictures in memory: the drawn faces, or a folder through the cache; training or held-out part."""
from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from retouch import toyfaces
from retouch.data.batches import DataSpec
from retouch.data.cache import cached_images
from retouch.data.configs import AttributeData, DataConfig, DomainData, ExemplarData, PairData, ParsingData
from retouch.data.frame import Frame, Ground
from retouch.data.images import shown_size
from retouch.data.labels import HAIR_COLOURS, LabelRule
from retouch.data.loader import AttributeLoader, DomainLoader, ExemplarLoader, PairLoader, ParsingLoader
from retouch.data.parsing import ALL_IDS, cached_masks, check_ids
from retouch.data.sources import check_same_frame, read_parsing_folder
from retouch.data.splits import Split, attribute_files, domain_files, pair_files, parsing_part, shows
from retouch.errors import unknown
from retouch.toyfaces.expressions import EXPRESSIONS, drawn_expressions
from retouch.toyfaces.night import NIGHT, night
from retouch.toyfaces.stored import HELD_OUT, drawn

Progress = Callable[[int, int], None]     # (done, total)
SQUASHED = Frame(stretch=True, resample='bicubic')       # as the CycleGAN family shows its pictures
SIZES_READ = 64          # of so many pictures, evenly spaced, the usual size is taken


@dataclass(frozen=True)
class AttributeSet:
    """Images uint8 [N,H,W,3] and labels float32 [N,K] in {0,1}, or of drawn faces' expressions in [0,1]."""

    images: np.ndarray
    labels: np.ndarray
    spec: DataSpec
    exclusive: bool = False      # one class a picture


@dataclass(frozen=True)
class TwoSets:
    """Two uint8 image sets [N,H,W,3]: unpaired domains, or aligned pairs of equal length."""

    a: np.ndarray
    b: np.ndarray
    spec: DataSpec


@dataclass(frozen=True)
class ParsingSet:
    """Images uint8 [N,S,S,3] and their parses uint8 [N,S,S], positions in spec.attributes."""

    images: np.ndarray
    segmentations: np.ndarray
    spec: DataSpec


def open_attributes(config: AttributeData | ExemplarData, split: Split = 'train', progress: Progress | None = None,
                    frame: Frame | None = None) -> AttributeSet:
    """Reads one part of an attribute set, as `frame`, a model's own rule, shows files; None: the set's. ValueError where that cannot be."""
    own = frame
    any_of = config.any_of if isinstance(config, ExemplarData) else ()
    window, ground = (config.window, config.ground) if isinstance(config, AttributeData) else (None, 'white')
    if config.source == 'toyfaces':
        names = config.attributes or toyfaces.ATTRIBUTES
        start, n = (0, config.n) if split == 'train' else (HELD_OUT, min(config.holdout, 1000))
        if set(names) <= set(EXPRESSIONS):
            images, amounts = drawn_expressions(range(start, start + n), config.size, config.seed)
            return AttributeSet(images, amounts[:, [EXPRESSIONS.index(name) for name in names]],
                                DataSpec(size=config.size, window=window, attributes=tuple(names), amounts=True))
        for name in names:
            if name not in toyfaces.ATTRIBUTES:
                raise unknown('attribute', name, toyfaces.ATTRIBUTES)
        images, _, labels = drawn(range(start, start + n), config.size, config.seed, progress)
        columns = [toyfaces.ATTRIBUTES.index(name) for name in names]
        one_of = isinstance(config, AttributeData) and config.one_of
        rows = np.flatnonzero(labels[:, columns].sum(1) == 1 if one_of else shows(labels, toyfaces.ATTRIBUTES, any_of))
        spec = DataSpec(size=config.size, window=window, attributes=tuple(names))
        return AttributeSet(images if len(rows) == n else images[rows], labels[rows][:, columns].astype(np.float32), spec, one_of)
    part = attribute_files(config, split)
    if own is not None and part.paths:
        frame = own.fitted(*usual_size(part.paths))
    elif part.folder.layout == 'domains' and config.crop is None:                  # as two-domain systems see these pictures
        frame = SQUASHED.model_copy(update={'ground': ground})
    else:
        frame = _frame(part.paths, config.crop, ground)
    images = cached_images(part.paths, config.size, frame, progress=progress)
    names = config.attributes or part.folder.names
    spec = DataSpec(size=config.size, window=window, frame=frame, attributes=names)
    return AttributeSet(images, part.labels(names).astype(np.float32), spec, part.folder.exclusive)


def _frame(paths: Sequence[Path], crop: int | None, ground: Ground = 'white') -> Frame:
    """The central square, of so many pixels or the largest. ValueError where it would show little of the pictures."""
    if crop is None or not len(paths):
        return Frame(crop=crop, ground=ground)
    usual = usual_size(paths)
    if 2 * crop < min(usual):
        share = crop ** 2 / (usual[0] * usual[1])
        raise ValueError(f'crop={crop} of pictures of {usual[0]} x {usual[1]} px shows {share:.0%} of them: expected '
                         f'at least {-(-min(usual) // 2)}; set --data.crop none for the whole square of {min(usual)} px')
    return Frame(crop=crop, ground=ground, crop_of=usual)


def usual_size(paths: Sequence[Path]) -> tuple[int, int]:
    """(width, height) in pixels of most of these pictures, of which some are looked at. ValueError for unreadable files."""
    some = np.linspace(0, len(paths) - 1, min(len(paths), SIZES_READ)).astype(int)
    return Counter(shown_size(paths[i]) for i in some).most_common(1)[0][0]


def two_sets(size: int, a: np.ndarray, b: np.ndarray, domains: tuple[str, str] = ('A', 'B'), frame: Frame | None = None) -> TwoSets:
    """Two image sets with what a model must know of them; `frame` of those that come from files."""
    of_files = {} if frame is None else {'frame': frame}
    return TwoSets(a, b, DataSpec(size=size, domains=domains, samples=(len(a), len(b)), **of_files))


def two_hair_colours(attribute: str) -> tuple[str, str] | None:
    """'Black_Hair/Blond_Hair' -> the hair colours of domains A and B; None for a name without a slash. ValueError for anything else."""
    if '/' not in attribute:
        return None
    a, _, b = attribute.partition('/')
    for name in (a, b):
        if name not in HAIR_COLOURS:
            raise unknown('hair colour', name, HAIR_COLOURS)
    if a == b:
        raise ValueError(f'domain attribute {attribute}: expected two different hair colours, such as Black_Hair/Blond_Hair')
    return a, b


def open_domains(config: DomainData, split: Split = 'train', progress: Progress | None = None, frame: Frame | None = None) -> TwoSets:
    """Reads one part of a two-domain set. Test pictures come at `size`, training pictures at `load_size`; `frame` as above."""
    side = config.load_size if config.load_size and split == 'train' else config.size
    if config.source == 'toyfaces':
        colours = two_hair_colours(config.attribute)
        if not colours and config.attribute not in (*toyfaces.ATTRIBUTES, NIGHT):
            raise unknown('attribute', config.attribute, (*toyfaces.ATTRIBUTES, NIGHT))
        start, n = (0, config.n) if split == 'train' else (HELD_OUT, 1000)
        images, _, labels = drawn(range(start, start + n), side, config.seed, progress)
        if config.attribute == NIGHT:
            return two_sets(config.size, images[::2], night(images[1::2]))
        if colours:
            a, b = (labels[:, toyfaces.ATTRIBUTES.index(colour)] == 1 for colour in colours)
        else:
            b = labels[:, toyfaces.ATTRIBUTES.index(config.attribute)] == 1
            a = ~b
        return two_sets(config.size, images[a], images[b])
    paths_a, paths_b = domain_files(config, split)
    if frame is None:
        frame = SQUASHED if config.crop is None else _frame(paths_a + paths_b, config.crop)
    images_a, images_b = (cached_images(p, side, frame, progress=progress) for p in (paths_a, paths_b))
    return two_sets(config.size, images_a, images_b, frame=frame)


def open_pairs(config: PairData, split: Split = 'train', progress: Progress | None = None, frame: Frame = SQUASHED) -> TwoSets:
    """Reads one part of a paired set; `a` is what is given, `b` what is wanted. frame: how files are resized."""
    if config.direction == 'b_to_a':
        forward = open_pairs(config.model_copy(update={'direction': 'a_to_b'}), split, progress, frame)
        return two_sets(config.size, forward.b, forward.a, forward.spec.domains[::-1], forward.spec.frame)
    side = config.load_size if config.load_size and split == 'train' else config.size
    if config.source == 'toyfaces':
        start, n = (0, config.n) if split == 'train' else (HELD_OUT, 1000)
        images, segmentations, labels = drawn(range(start, start + n), side, config.seed, progress)
        if config.edit is None:
            return two_sets(config.size, np.array(toyfaces.PALETTE, np.uint8)[segmentations], images)
        if config.edit not in toyfaces.ATTRIBUTES:
            raise unknown('attribute', config.edit, toyfaces.ATTRIBUTES)
        if config.edit in (*HAIR_COLOURS, 'Bangs'):
            raise ValueError(f'edit={config.edit}: a bald head cannot show it; choose another one, such as --data.edit Eyeglasses')
        lack = np.flatnonzero(labels[:, toyfaces.ATTRIBUTES.index(config.edit)] == 0)
        edited, _, _ = drawn((start + lack).tolist(), side, config.seed, progress, {config.edit: 1})
        return two_sets(config.size, images[lack], edited)
    if config.edit is not None:
        raise ValueError(f'edit={config.edit} with {config.source}: only drawn faces can be edited; set --data.edit none')
    items = pair_files(config, split)
    check_same_frame(items)
    left, right = ('whole', 'whole') if items[0].b else ('left', 'right')
    images_a = cached_images([i.a for i in items], side, frame, side=left, progress=progress)
    images_b = cached_images([i.b or i.a for i in items], side, frame, side=right, progress=progress)
    return two_sets(config.size, images_a, images_b, frame=SQUASHED)


def open_parsing(config: ParsingData, split: Split = 'train', progress: Progress | None = None) -> ParsingSet:
    """Reads one part of a set of pictures and parses."""
    spec = DataSpec(size=config.size, attributes=config.names)
    if config.source == 'toyfaces':
        start, n = (0, config.n) if split == 'train' else (HELD_OUT, config.holdout)
        images, segmentations, _ = drawn(range(start, start + n), config.size, config.seed, progress)
        return ParsingSet(images, segmentations, spec)
    folder = read_parsing_folder(config.source)
    part = parsing_part(config, len(folder.paths), split)
    if not folder.paths[part]:
        raise ValueError(f'{config.source} has no {split} pictures: expected at least 2, of which the last tenth is held out')
    assert folder.masks is not None
    in_parts = isinstance(folder.masks[0], tuple)                # parts have names, whatever is said of ids
    ids = 'celebamask' if in_parts else config.ids
    segmentations = cached_masks(folder.masks[part], folder.paths[part], config.size, ALL_IDS[ids], config.names, progress)
    if config.ids not in ('twelve', 'cityscapes') and not in_parts:
        check_ids(segmentations, config.names, config.ids)
    images = cached_images(folder.paths[part], config.size, progress=progress)
    return ParsingSet(images, segmentations, spec.model_copy(update={'frame': Frame()}))


def open_set(config: DataConfig, split: Split = 'train', progress: Progress | None = None) -> AttributeSet | TwoSets | ParsingSet:
    """Opens the set a configuration names."""
    if isinstance(config, ParsingData):
        return open_parsing(config, split, progress)
    if isinstance(config, AttributeData | ExemplarData):
        return open_attributes(config, split, progress)
    return open_domains(config, split, progress) if isinstance(config, DomainData) else open_pairs(config, split, progress)


def _parts_of(opened: AttributeSet | TwoSets | ParsingSet) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(opened, TwoSets):
        return opened.a, opened.b
    return opened.images, opened.labels if isinstance(opened, AttributeSet) else opened.segmentations


def set_to_hash(opened: AttributeSet | TwoSets | ParsingSet) -> str:
    """What a resumed run compares: sizes, order, labels and up to 4,096 evenly spaced pictures of each part."""
    digest = hashlib.blake2b(digest_size=8)
    for part in _parts_of(opened):
        digest.update(repr((part.shape, part.dtype)).encode())
        some = np.linspace(0, len(part) - 1, min(len(part), 4096)).astype(int) if part.ndim > 2 else np.arange(len(part))
        for start in range(0, len(some), 64):                    # all of a large set at once would be a second copy in memory
            digest.update(np.ascontiguousarray(part[some[start:start + 64]]))
    return digest.hexdigest()


def make_loader(opened: AttributeSet | TwoSets | ParsingSet, config: DataConfig, batch_size: int, seed: int, device: torch.device,
                rank: int = 0, world: int = 1,
                rule: LabelRule = 'attgan_tf') -> AttributeLoader | DomainLoader | ExemplarLoader | PairLoader | ParsingLoader:
    """The loader for an opened set."""
    shared: dict[str, Any] = {'batch_size': batch_size, 'seed': seed, 'size': config.size, 'flip': config.flip, 'device': device,
                              'rank': rank, 'world': world}
    for images in _parts_of(opened):
        if not len(images):
            raise ValueError('a part of the set holds no picture: expected at least one; raise --data.n, or choose another '
                             '--data.attribute or --data.any-of')
    if isinstance(opened, AttributeSet):
        if isinstance(config, ExemplarData):
            return ExemplarLoader(opened.images, opened.labels, **shared)
        assert isinstance(config, AttributeData)
        shared['size'] = config.window or config.size
        if config.targets == 'permute' and batch_size * world == 1:
            raise ValueError('targets=permute with a batch of 1: each picture would be asked for the labels it has, the identity; set '
                             '--data.targets other (class folders) or single, or raise --train.batch-size')
        if config.targets == 'pair' and (batch_size % 2 or int(opened.labels.any(0).sum()) < 2):
            raise ValueError(f'targets=pair with a batch of {batch_size} and {int(opened.labels.any(0).sum())} classes: half of a batch is '
                             'of one class and half of another; expected an even --train.batch-size and at least two classes')
        names = opened.spec.attributes
        for name in config.asked:
            if name not in names:
                raise unknown('attribute in asked', name, names)
        return AttributeLoader(opened.images, opened.labels, names, config.targets, rule, config.balance, config.asked, **shared)
    if isinstance(opened, ParsingSet):
        assert isinstance(config, ParsingData)
        return ParsingLoader(opened.images, opened.segmentations, opened.spec.attributes, config.scale, config.shift, **shared)
    return (DomainLoader if isinstance(config, DomainData) else PairLoader)(opened.a, opened.b, **shared)
