"""Which files of a folder are learned from and which are scored: the rule of every set, by file; nothing is decoded here."""
from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from retouch.data.configs import AttributeData, DataConfig, DomainData, ExemplarData, PairData, ParsingData
from retouch.data.layouts import class_folders, recognise
from retouch.data.sources import (
    AttributeFolder,
    DomainFolder,
    PairItem,
    domains_to_classes,
    read_attribute_folder,
    read_domain_folder,
    read_pair_folder,
    read_parsing_folder,
)
from retouch.errors import UnknownName, unknown

Split = Literal['train', 'test', 'whole']     # whole: the test part where a set has one on disk, else all of it
T = TypeVar('T')
LABELLED = ('celeba', 'celeba_hq', 'table', 'classes', 'rafd')
_PERSON = re.compile(r'Rafd\d+_(\d+)_', re.IGNORECASE)


class Labelled(NamedTuple):
    """One part of a folder of labelled pictures."""

    folder: AttributeFolder
    rows: np.ndarray                          # int64, of the folder's pictures

    @property
    def paths(self) -> list[Path]:
        return [self.folder.paths[i] for i in self.rows]

    def labels(self, names: Sequence[str]) -> np.ndarray:
        """uint8 [n,K] of the named attributes."""
        return self.folder.labels[self.rows][:, [self.folder.names.index(name) for name in names]]


def files_of(config: DataConfig, split: Split = 'train') -> tuple[Path, ...]:
    """Every file of one part of the folder that a configuration names, in the set's order; of drawn faces none."""
    if config.source == 'toyfaces':
        return ()
    if isinstance(config, ParsingData):
        folder = read_parsing_folder(config.source)
        return folder.paths[parsing_part(config, len(folder.paths), split)]
    if isinstance(config, DomainData):
        return tuple(path for paths in domain_files(config, split) for path in paths)
    if isinstance(config, PairData):
        return tuple(path for item in pair_files(config, split) for path in (item.a, item.b) if path is not None)
    return tuple(attribute_files(config, split).paths)


# ---- labelled pictures

def attribute_files(config: AttributeData | ExemplarData, split: Split) -> Labelled:
    """One part of a folder of labelled pictures. Raises ValueError for anything that does not fit."""
    any_of = config.any_of if isinstance(config, ExemplarData) else ()
    root, b = _test_alone(*folders_of(config.source)) if split == 'whole' else folders_of(config.source)
    wanted = tuple(dict.fromkeys((*config.attributes, *any_of))) if config.attributes else None
    share = getattr(config, 'test_share', None)
    try:
        if b is not None or (share and recognise(root) == 'domains'):
            folder = domains_to_classes(_shared_out(read_domain_folder(root, b, split == 'whole'), config, split), wanted)
            share = None                                         # either domain has been shared out already
        else:
            folder = read_attribute_folder(root, wanted)
        keep = shows(folder.labels, folder.names, any_of)
    except UnknownName as error:
        raise _choose_others(error, config) from None
    keep &= _part(folder, config, split, share)
    rows = np.flatnonzero(keep)
    if (limit := getattr(config, 'limit', None)) is not None:
        has = folder.labels[rows, folder.names.index(config.attributes[0])] == 1
        rows = np.sort(np.concatenate([drawn_rows(rows[~has], limit, config.seed), drawn_rows(rows[has], limit, config.seed)]))
    return Labelled(folder, rows)


def _part(folder: AttributeFolder, config: Any, split: Split, share: float | None = None) -> np.ndarray:
    """[N] bool: which pictures are of a part, by people, at random, or the last ones."""
    n, keep = len(folder.paths), np.zeros(len(folder.paths), bool)
    if (people := getattr(config, 'people', 0)) and split != 'whole' and any(_PERSON.match(path.name) for path in folder.paths):
        held_out = _of_last_people(folder.paths, people)
        return held_out if split == 'test' else ~held_out
    if share and split != 'whole':
        held_out = _drawn_share(n, share, config.seed)
        return held_out if split == 'test' else ~held_out
    n_test = folder.n_test or (n if split == 'whole' else min(config.holdout, n // 5))
    between = 0 if folder.n_test or split == 'whole' or not config.holdout else round(config.validation * n_test / config.holdout)
    keep[slice(0, n - n_test - between) if split == 'train' else slice(n - n_test, None)] = True
    return keep


def _of_last_people(paths: Sequence[Path], people: int) -> np.ndarray:
    """[N] bool: whether a picture is of one of the last `people`, by the second number of RaFD's file names."""
    numbers = []
    for path in paths:
        if (match := _PERSON.match(path.name)) is None:
            raise ValueError(f'{path.name} does not say who it shows: expected names as RaFD has them, Rafd090_01_…; '
                             'set --data.people 0')
        numbers.append(int(match[1]))
    known = sorted(set(numbers))
    if people >= len(known):
        raise ValueError(f'people={people} of {len(known)}: expected some to learn from; lower --data.people')
    return np.isin(numbers, known[-people:])


def drawn_rows(rows: np.ndarray, n: int, seed: int) -> np.ndarray:
    """n of some rows at random, or all where there are not more, in their order."""
    return np.sort(np.random.default_rng(seed).permutation(rows)[:n])


def _drawn_share(n: int, share: float, seed: int) -> np.ndarray:
    """[n] bool: a share of n drawn at random."""
    return np.isin(np.arange(n), drawn_rows(np.arange(n), round(share * n), seed))


def shows(labels: np.ndarray, names: tuple[str, ...], any_of: tuple[str, ...]) -> np.ndarray:
    """[N] whether a row of labels [N,K] has at least one of the attributes `any_of`; True where that is empty."""
    for name in any_of:
        if name not in names:
            raise unknown('attribute', name, names)
    return labels[:, [names.index(name) for name in any_of]].any(1) if any_of else np.ones(len(labels), bool)


def _choose_others(error: ValueError, config: AttributeData | ExemplarData) -> ValueError:
    """The same error, with the options that name a set's own labels in place of a recipe's."""
    if isinstance(config, ExemplarData) and config.any_of:
        asked = f'--data.any-of ({", ".join(config.any_of)}; none for all pictures)'
        return ValueError(f'{error}; set --data.attributes ({", ".join(config.attributes) or "all"}) and {asked} to labels of this set')
    return ValueError(f'{error}; set --data.attributes to labels of this set')


# ---- two domains

def domain_files(config: DomainData, split: Split) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The files of one part of domains A and B. Raises ValueError for anything that does not fit."""
    root, b = _test_alone(*folders_of(config.source)) if split == 'whole' else folders_of(config.source)
    if b is None and root.is_dir() and recognise(root) in LABELLED:
        return _labelled_domains(config, root, split)
    folder = _shared_out(read_domain_folder(root, b, split == 'whole'), config, split)
    paths = (folder.train_a, folder.train_b) if split == 'train' else (folder.test_a, folder.test_b)
    for name, part in zip('AB', paths, strict=True):
        if not part:
            what = 'train' if split == 'train' else 'test'
            raise ValueError(f'{config.source} has no {what} pictures of domain {name}: expected {what}{name}/ with pictures, or '
                             'two folders of at least 5 each')
    return paths


def _shared_out(folder: DomainFolder, config: Any, split: Split) -> DomainFolder:
    """The same pictures, with a random share of each domain as its test part, if the configuration says so."""
    if config.test_share is None or split == 'whole':
        return folder
    train_a, test_a = _drawn_parts(folder.train_a + folder.test_a, config.test_share, config.seed)
    train_b, test_b = _drawn_parts(folder.train_b + folder.test_b, config.test_share, config.seed)
    return DomainFolder(folder.layout, folder.root, train_a, train_b, test_a, test_b)


def _drawn_parts(items: tuple[T, ...], test_share: float, seed: int) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """What is left for training, and a share of all drawn at random, each in the order in which they are."""
    test = _drawn_share(len(items), test_share, seed)
    return tuple(items[i] for i in np.flatnonzero(~test)), tuple(items[i] for i in np.flatnonzero(test))


def sides_of(attribute: str) -> tuple[tuple[dict[str, int], dict[str, int]], tuple[str, str]]:
    """What a domain's pictures show, and what each is called: 'Smiling' -> ({Smiling: 0}, {Smiling: 1}), ('Smiling=0', 'Smiling=1')."""
    if '/' in attribute:
        a, _, b = attribute.partition('/')
        return ({a: 1, b: 0}, {a: 0, b: 1}), (f'{a}=1', f'{b}=1')
    names = attribute.split('+')
    return (dict.fromkeys(names, 0), dict.fromkeys(names, 1)), (f'{attribute}=0', f'{attribute}=1')


def _labelled_domains(config: DomainData, root: Path, split: Split) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    shown, _ = sides_of(config.attribute)
    try:
        folder = read_attribute_folder(root, tuple(shown[0]))
    except UnknownName as error:
        raise ValueError(f'{error}; set --data.attribute to a label of this set') from None
    part = _part(folder, config, split, config.test_share)
    found = []
    for name, wanted in zip('AB', shown, strict=True):
        rows = np.flatnonzero(part & (folder.labels == list(wanted.values())).all(1))
        if not len(rows):
            told = ', '.join(f'{attribute}={value}' for attribute, value in wanted.items())
            raise ValueError(f'{config.source} has no {"train" if split == "train" else "test"} pictures of domain {name}, {told}: '
                             'choose another --data.attribute')
        if config.limit is not None:
            rows = drawn_rows(rows, config.limit, config.seed)
        found.append(tuple(folder.paths[i] for i in rows))
    return found[0], found[1]


# ---- pairs and parses

def pair_files(config: PairData, split: Split) -> tuple[PairItem, ...]:
    """One part of a folder of pairs, whichever way they are used. Raises ValueError for anything that does not fit."""
    folder = read_pair_folder(*folders_of(config.source), split == 'whole')
    items = folder.train if split == 'train' else folder.test
    if config.test_share is not None and split != 'whole':
        every = tuple(dict.fromkeys(folder.train + folder.val + folder.test))
        items = _drawn_parts(every, config.test_share, config.seed)[split == 'test']
    if not items:
        what = 'train' if split == 'train' else 'test'
        raise ValueError(f'{config.source} has no {what} pairs: expected a {what}/ folder of side-by-side pictures, or two folders of at '
                         'least 5 each')
    return items


def parsing_part(config: ParsingData, n: int, split: Split) -> slice:
    """Which of n pictures with parses are of a part."""
    first = n - min(config.holdout, -(-n // 10))
    return {'train': slice(0, first), 'test': slice(first, None), 'whole': slice(None)}[split]


# ---- places

def folders_of(source: str) -> tuple[Path, Path | None]:
    """'DIR' or 'A,B'; a folder whose name holds a comma is a folder."""
    a, _, b = source.partition(',')
    return (Path(source), None) if not b or Path(source).is_dir() else (Path(a.strip()), Path(b.strip()))


def _test_alone(root: Path, b: Path | None) -> tuple[Path, Path | None]:
    """The test part of a set that has no other, which is all that is needed to score; else the set itself."""
    if b is None and not (root / 'trainA').is_dir() and (root / 'testA').is_dir() and (root / 'testB').is_dir():
        return root / 'testA', root / 'testB'
    alone = b is None and not (root / 'train').is_dir() and not class_folders(root) and class_folders(root / 'test')
    return (root / 'test', None) if alone else (root, b)
