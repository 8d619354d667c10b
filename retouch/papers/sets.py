"""The data sets of the papers: what each is called on disk, and what recipes of each kind of data read of it."""
from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from retouch.data.configs import PairData
from retouch.data.layouts import recognise
from retouch.data.sources import PairItem
from retouch.data.splits import pair_files
from retouch.evaluation.pairs import CITYSCAPES
from retouch.files import write_atomically


class Set(NamedTuple):
    """A data set as it is handed out."""

    title: str
    folders: tuple[str, ...]         # what it is called in a folder of several sets; 'day,night' are two folders
    layouts: tuple[str, ...]         # keys of data.layouts.LAYOUTS
    holds: str                       # in words
    share: float | None = None       # of pairs: drawn at random for the test, seed 0; None: as the folder has them


DOMAINS = 'trainA/ trainB/ testA/ testB/'
SETS: dict[str, Set] = {
    'celeba': Set('CelebA', ('celeba', 'CelebA'), ('celeba',), 'img_align_celeba/ and list_attr_celeba.txt, 202,599 pictures'),
    'celeba_hq': Set('CelebA-HQ', ('CelebAMask-HQ', 'celeba_hq', 'celebahq'), ('celeba_hq',),
                     'CelebA-HQ-img/ and CelebAMask-HQ-attribute-anno.txt, 30,000 pictures'),
    'rafd': Set('RaFD', ('rafd', 'RaFD'), ('rafd', 'classes'), 'Rafd090_01_…_angry_frontal.jpg and so on; a licence is needed'),
    'apple2orange': Set('apple2orange', ('apple2orange',), ('domains',), DOMAINS),
    'horse2zebra': Set('horse2zebra', ('horse2zebra',), ('domains',), DOMAINS),
    'day2night': Set('day2night', ('day2night', 'day,night'), ('domains',), f'{DOMAINS} or day/ and night/; 7,870 and 8,592 crops of BDD'),
    'summer2winter_yosemite': Set('summer2winter', ('summer2winter_yosemite', 'summer2winter'), ('domains',), DOMAINS),
    'cityscapes': Set('Cityscapes', ('cityscapes',), ('pairs', 'pairs_ab'),
                      'train/ and val/ of side-by-side pictures, photograph left, colours of the labels right, 3,475 pairs', 0.2),
    'ar_face': Set('AR Face', ('ar_face', 'AR'), ('pairs_ab', 'pairs'), 'A/ neutral and B/ smiling with equal names; a licence is needed'),
    'bu3dfe': Set('BU-3DFE', ('bu3dfe', 'BU-3DFE'), ('pairs_ab', 'pairs'),
                  'A/ neutral and B/ smiling with equal names; a licence is needed'),
    'emotionet': Set('EmotioNet', ('emotionet', 'EmotioNet'), ('table',), 'pictures and a list of addresses with columns AU 1 and so on'),
}


def find_set(name: str, data: str, alone: bool) -> str | None:
    """Where a set lies, as `data.source` names it; None where it is not there.

    Args:
        name: a key of SETS.
        data: the folder of the set or of several sets, two folders A,B, or toyfaces.
        alone: the table has no other set, so that a folder of its layout is it, whatever it is called.
    """
    if data == 'toyfaces' or (',' in data and not Path(data).is_dir()):
        return data
    root = Path(data).expanduser()
    if not root.is_dir():
        raise ValueError(f'no folder {data!r}: expected --data with {SETS[name].title} ({SETS[name].holds}); check the path')
    for folder in SETS[name].folders:
        inner = [root / part for part in folder.split(',')]
        if all(path.is_dir() for path in inner):
            return ','.join(map(str, inner))
    named = root.resolve().name.lower() in (folder.lower() for folder in SETS[name].folders)
    if not named and not alone:
        return None
    layout = recognise(root)
    if layout not in SETS[name].layouts:
        raise ValueError(f'{data} is laid out as {layout}: expected {SETS[name].title} ({SETS[name].holds})')
    return str(root)


# ---- pairs, of which two-domain systems take the halves

def is_paired(name: str, place: str) -> bool:
    """Whether a set on disk is of pairs."""
    return place != 'toyfaces' and 'pairs' in SETS[name].layouts


def split_of_pairs(name: str, place: str) -> tuple[tuple[PairItem, ...], tuple[PairItem, ...]]:
    """Pairs that are learned from, pairs that are scored."""
    config = PairData(source=place, test_share=SETS[name].share, seed=0)
    return pair_files(config, 'train'), pair_files(config, 'test')


def prepare_pairs(name: str, place: str, out: Path) -> Path:
    """Writes a set of pairs as it is split: `out`/pairs/{train,test} side by side, and its halves as `out`/{train,test}{A,B}.

    Pictures that are side by side already are linked, halves are PNG. Of Cityscapes there is also `out`/streets, the photographs and label
    maps that are learned from as images/ and masks/, for the parser that reads photographs made from labels. A folder that is whole is
    left as it is.

    Raises:
        ValueError: two files of a pair that are not square and of one size: they cannot stand side by side.
    """
    parts = dict(zip(('train', 'test'), split_of_pairs(name, place), strict=True))
    made = {'source': place, 'share': SETS[name].share, 'seed': 0,
            **{part: [names_of(item) for item in items] for part, items in parts.items()}}
    if (out / 'made.json').is_file() and json.loads((out / 'made.json').read_text()) == made:
        return out
    for part, items in parts.items():
        for folder in (out / 'pairs' / part, out / f'{part}A', out / f'{part}B', *(out / 'streets' / kind for kind in ('images', 'masks'))):
            folder.mkdir(parents=True, exist_ok=True)
        for item in items:
            labels = _write_pair(item, out, part)
            if name == 'cityscapes' and part == 'train':
                _write_street(labels, out)
    write_atomically(out / 'made.json', (json.dumps(made, indent=1) + '\n').encode())
    return out


def names_of(item: PairItem) -> str:
    """A pair by name: its folder too, since train/1.jpg and val/1.jpg are two pictures."""
    return f'{item.a.parent.name}/{item.a.name}'


def _write_street(labels: Path, out: Path) -> None:
    """A label map of train ids, 255 where there is none, and its photograph."""
    with Image.open(labels) as opened:
        classes = CITYSCAPES.read(np.asarray(opened.convert('RGB'))[None])[0]
    Image.fromarray(classes).save(out / 'streets' / 'masks' / labels.name)
    photograph = out / 'streets' / 'images' / labels.name
    if not photograph.exists():
        os.symlink((out / 'trainA' / labels.name).resolve(), photograph)


def _write_pair(item: PairItem, out: Path, part: str) -> Path:
    """Writes both forms of a pair, and says where its right half lies."""
    stem = names_of(item).replace('/', '_').rpartition('.')[0]
    with Image.open(item.a) as opened:
        a = opened.convert('RGB')
    if item.b is None:
        left, right = (a.crop((x, 0, x + a.width // 2, a.height)) for x in (0, a.width // 2))
        target = out / 'pairs' / part / f'{stem}{item.a.suffix}'
        if not target.exists():
            os.symlink(item.a.resolve(), target)
    else:
        with Image.open(item.b) as opened:
            left, right = a, opened.convert('RGB')
        if not a.width == a.height == right.width == right.height:
            raise ValueError(f'{item.a} is {a.width} x {a.height} px, {item.b} {right.width} x {right.height}: expected squares of one '
                             'size; resize them')
        both = Image.new('RGB', (2 * a.width, a.height))
        both.paste(left, (0, 0))
        both.paste(right, (a.width, 0))
        both.save(out / 'pairs' / part / f'{stem}.png')
    for side, half in (('A', left), ('B', right)):
        half.save(out / f'{part}{side}' / f'{stem}.png')
    return out / f'{part}B' / f'{stem}.png'


def first_and_last(paths: Sequence[Path]) -> str:
    """'000001.jpg … 200599.jpg (200,599)'."""
    return f'{paths[0].name} … {paths[-1].name} ({len(paths):,})' if paths else 'none'
