"""Held-out pictures: what a model is scored on, by the kind of its data."""
from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from retouch.data.configs import AttributeData, DataConfig, DomainData, ExemplarData, PairData, ParsingData
from retouch.data.sets import SQUASHED, ParsingSet, open_attributes, open_domains, open_pairs, open_parsing
from retouch.data.splits import files_of, folders_of, sides_of
from retouch.evaluation.card import Card
from retouch.evaluation.pairs import held_out_pairs
from retouch.evaluation.protocols import EXEMPLARS
from retouch.evaluation.provenance import pairs_to_hash, pictures_to_hash
from retouch.evaluation.tasks import Progress
from retouch.evaluation.transfers import Pairs, folder_pairs, transfers_of
from retouch.model import Model
from retouch.toyfaces import ATTRIBUTES, drawing_hash
from retouch.toyfaces.night import NIGHT, night_hash
from retouch.toyfaces.stored import held_out_faces

Part = Literal['test', 'whole']
WHOLE: Literal['whole'] = 'whole'   # as a card's split: all there is to score of a set that nothing was trained on


def part_of(source: str, *models: Model | None) -> Part:
    """Which part of a folder is scored: what is held out, or, where none of the models was trained on it, all there is to score."""
    return 'test' if any(model is not None and _was_trained_on(model, source) for model in models) else WHOLE


def part_named(split: str) -> Part:
    """The part that a card's split was taken from."""
    return WHOLE if split == WHOLE else 'test'


# what of a training's data decides which pictures of a folder are scored, and how they are shown
SPLIT = ('holdout', 'validation', 'people', 'test_share', 'limit', 'seed', 'any_of', 'crop', 'ground', 'attribute')


def of_training(kind: type[Any], trained: dict[str, Any]) -> dict[str, Any]:
    """The fields of a model's own data that a configuration of this kind shares, for one of its sets."""
    return {name: trained[name] for name in SPLIT if name in trained and name in kind.model_fields}


def _was_trained_on(model: Model, source: str) -> bool:
    trained = model.info.get('data', {}).get('source') or (model.info.get('origin') or {}).get('trained_on') or 'toyfaces'
    if trained == 'toyfaces' or source == 'toyfaces':
        return False
    at_random = bool(model.info.get('data', {}).get('test_share'))
    theirs = [known for known in folders_of(trained) if known]
    found = [given for given in folders_of(source) for known in theirs if given and _overlap(given, known, at_random)]
    if found and at_random and {*folders_of(source)} != {*folders_of(trained)} and all(path.exists() for path in theirs):
        raise ValueError(f'{source} holds pictures of {trained}, of which training drew its own at random, those called test too: expected '
                         f'--data {trained}, of which the others are scored')
    return bool(found)


def _overlap(given: Path, known: Path, at_random: bool = False) -> bool:
    """Whether a folder may hold pictures of one that was trained on. Sets move: one that is gone is known by its name.

    at_random: whether training drew its pictures from all parts of the set.
    """
    given = given.expanduser().resolve()
    if not known.expanduser().exists():
        return given.name == known.name
    known = known.expanduser().resolve()
    if given.is_relative_to(known):                              # what is called test in a set is never trained on
        inner = given.relative_to(known).parts
        return at_random or not inner or not inner[0].lower().startswith(('test', 'val'))
    return known.is_relative_to(given)


def held_out(model: Model, source: str, trained: dict[str, Any], n: int | None, seed: int, progress: Progress, size: int | None = None,
             part: Part = 'test', last: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [N,S,S,3] that training never saw, with the model's labels [N,K]; n of them, or all of a folder's `part`.

    last: of a folder the last n and not the first, so that systems of different splits are scored on the same, as in a paper's table.
    """
    names, size = model.data.attributes, size or model.data.size
    if source == 'toyfaces':
        assert n is not None
        images, labels = held_out_faces(n, size, seed, lambda done, total: progress(done, total, 'drawing faces'))
        return images, labels[:, [ATTRIBUTES.index(name) for name in names]]
    config = labelled_config(model, source, trained, size)
    own = model.data.frame if 'origin' in model.info else None       # of weights that were trained elsewhere the model alone knows it
    opened = open_attributes(config, part, lambda done, total: progress(done, total, 'reading pictures'), own)
    if len(opened.images) < 2:
        raise ValueError(f'{source} has {len(opened.images) or "no"} held-out pictures: expected at least 2; use a larger set')
    some = slice(-n, None) if last and n is not None else slice(n)
    return opened.images[some], opened.labels[some]


def labelled_config(model: Model, source: str, trained: dict[str, Any], size: int | None = None) -> AttributeData | ExemplarData:
    """The set of labelled pictures that a model is scored on, split as in its training."""
    data = ExemplarData if model.method.kind == 'exemplars' else AttributeData
    return data(source=source, attributes=model.data.attributes, size=size or model.data.size, **of_training(data, trained))


def domain_config(model: Model, source: str) -> DomainData:
    """The set of two domains that a model is scored on, split as in its training."""
    return DomainData(source=source, size=model.data.size, load_size=None, **of_training(DomainData, model.info.get('data', {})))


def check_judge_is_new(judge: Model, name: str, scored: Sequence[Path], source: str) -> None:
    """ValueError where a judge learned from some of the pictures that it would judge, by the set and split that its record has.

    A set that is no longer where the judge was trained is looked for at `source`, if that has its name.
    """
    trained = judge.info.get('data') or {}
    if trained.get('source', 'toyfaces') == 'toyfaces' or not scored:
        return
    if not all(path.exists() for path in folders_of(trained['source']) if path):
        if Path(trained['source']).name != Path(source).name:
            return
        trained = {**trained, 'source': source}
    config: DataConfig = TypeAdapter(DataConfig).validate_python({'kind': 'attributes', **trained})
    learned = set(_places(files_of(config, 'train')))
    both = [path for path, place in zip(scored, _places(scored), strict=True) if place in learned]
    if both:
        told = ('holdout', 'validation', 'people', 'test_share')
        split = ' '.join(f'--data.{flag.replace("_", "-")} {trained[flag]}' for flag in told if trained.get(flag))
        raise ValueError(f'judge {name} learned from {len(both)} of the {len(scored)} pictures that it would judge, first '
                         f'{both[0].name}: it was trained with {split or "a split of its own"}; expected the split of the '
                         'model, so train a judge with that')


def _places(paths: Sequence[Path]) -> list[str]:
    """Where files really lie; folders are looked up once."""
    real: dict[str, str] = {}
    split = [os.path.split(path) for path in paths]
    for folder, _ in split:
        if folder not in real:
            real[folder] = os.path.realpath(folder)
    return [f'{real[folder]}/{name}' for folder, name in split]


def held_out_parses(model: Model, source: str, trained: dict[str, Any], n: int | None, seed: int, progress: Progress,
                    part: Part = 'test') -> ParsingSet:
    """At most n pictures that training never saw, or all of a folder's `part`, with their true parses."""
    known = {'holdout': n, 'seed': seed} if source == 'toyfaces' else {k: trained[k] for k in ('ids', 'classes', 'holdout') if k in trained}
    config = ParsingData(source=source, size=model.data.size, **known)
    opened = open_parsing(config, part, lambda done, total: progress(done, total, 'reading pictures'))
    return dataclasses.replace(opened, images=opened.images[:n], segmentations=opened.segmentations[:n])


def held_out_of_domains(model: Model, source: str, n: int | None, progress: Progress,
                        part: Part = 'test') -> tuple[np.ndarray, np.ndarray]:
    """Test pictures of two domains uint8 [N,S,S,3], A and B in turn as far as both reach, and [N,2]: is of A, is of B; None: all."""
    own = model.data.frame if 'origin' in model.info else None
    opened = open_domains(domain_config(model, source), part, lambda done, total: progress(done, total, 'reading pictures'), own)
    half = max(len(opened.a), len(opened.b)) if n is None else n // 2
    both = sorted([(i, 0) for i in range(min(half, len(opened.a)))] + [(i, 1) for i in range(min(half, len(opened.b)))])
    images = np.stack([(opened.a, opened.b)[of][i] for i, of in both])
    return images, np.eye(2, dtype=np.float32)[[of for _, of in both]]


def held_out_partners(model: Model, source: str, n: int | None, seed: int, progress: Progress,
                      part: Part = 'test') -> tuple[np.ndarray, np.ndarray]:
    """Test pairs uint8 [N,S,S,3] each, at most n: what is given, and the model's domain that is wanted."""
    size, wanted = model.data.size, model.data.domains[-1]
    edit = model.info.get('data', {}).get('edit') if source == 'toyfaces' else None
    if source == 'toyfaces' and edit is None:
        assert n is not None
        return held_out_pairs(n, size, seed, wanted)
    direction: Any = 'b_to_a' if wanted == 'A' else 'a_to_b'
    known = {'seed': seed} if source == 'toyfaces' else of_training(PairData, model.info.get('data', {}))
    config = PairData(source=source, edit=edit, direction=direction, size=size, load_size=None, **known)
    opened = open_pairs(config, part, lambda done, total: progress(done, total, 'reading pictures'))
    return opened.a[:n], opened.b[:n]


def exact_partners(model: Model, source: str, n: int | None, progress: Progress, part: Part = 'test') -> tuple[np.ndarray, np.ndarray]:
    """The pairs of a folder as `held_out_partners` has them, resized by nearest neighbour: of label maps, whose colours are names."""
    direction: Any = 'b_to_a' if model.data.domains[-1] == 'A' else 'a_to_b'
    known = of_training(PairData, model.info.get('data', {}))
    config = PairData(source=source, direction=direction, size=model.data.size, load_size=None, **known)
    nearest = SQUASHED.model_copy(update={'resample': 'nearest'})
    opened = open_pairs(config, part, lambda done, total: progress(done, total, 'reading label maps'), nearest)
    return opened.a[:n], opened.b[:n]


def transfer_config(model: Model, source: str, trained: dict[str, Any]) -> ExemplarData:
    """The labelled pictures on which a system that takes an exemplar is scored; of one of two domains by what tells those apart."""
    if model.method.kind == 'exemplars':
        config = labelled_config(model, source, trained)
        assert isinstance(config, ExemplarData)
        return config
    shown, _ = sides_of(trained['attribute'])
    return ExemplarData(source=source, attributes=tuple(shown[1])[::-1 if '/' in trained['attribute'] else 1], size=model.data.size,
                        **of_training(ExemplarData, trained))


def held_out_transfers_of(model: Model, source: str, trained: dict[str, Any], n: int | None, seed: int, progress: Progress,
                          part: Part = 'test', last: bool = False) -> Pairs:
    """Pairs of held-out labelled pictures, each with another one as exemplar; of a system of two domains, one of the other domain."""
    config = transfer_config(model, source, trained)
    opened = open_attributes(config, part, lambda done, total: progress(done, total, 'reading pictures'))
    images, labels = opened.images, opened.labels
    if model.method.kind == 'domains':
        sides = [[told[name] for name in config.attributes] for told in sides_of(trained['attribute'])[0]]
        of_either = np.flatnonzero(np.any([(labels == side).all(1) for side in sides], 0))
        if len(of_either) < len(images):
            images, labels = images[of_either], labels[of_either]
    if len(images) < 2:
        raise ValueError(f'{source} has {len(images) or "no"} held-out pictures: expected at least 2; use a larger set')
    some = slice(-n, None) if last and n is not None else slice(n)
    return folder_pairs(config.attributes, images[some], labels[some], seed=seed)


def pictures_of(model: Model, card: Card, progress: Progress) -> tuple[np.ndarray, np.ndarray] | Pairs | None:
    """The pictures of a card with their labels or partners; None of those that are drawn one by one. ValueError where they changed."""
    pictures: tuple[np.ndarray, np.ndarray] | Pairs | None = None
    protocol, source, n = card.protocol, card.data.source, card.n
    trained, part, last = model.info.get('data', {}), part_named(card.data.split), card.paper is not None
    if protocol == 'folder':
        pictures = held_out(model, source, trained, n, card.seed, progress, part=part, last=last)
        digest = pictures_to_hash(*pictures)
    elif protocol in EXEMPLARS:
        pairs = (transfers_of(model, n, card.seed, progress) if protocol == 'exemplars' else
                 held_out_transfers_of(model, source, trained, n, card.seed, progress, part, last))
        pictures, digest = pairs, pairs_to_hash(pairs.inputs, pairs.exemplars)
    elif protocol == 'domains_folder':                           # n may have been more than there are of one domain
        pictures = held_out_of_domains(model, source, 2 * max((card.data.count or {'': n}).values()), progress, part)
        digest = pictures_to_hash(*pictures)
    elif protocol == 'pairs':
        is_parsed = source == 'toyfaces' and trained.get('edit') is None         # their drawing code is hashed, and no more are shown
        pictures = held_out_partners(model, source, 4 if is_parsed else n, card.seed, progress, part)
        digest = drawing_hash() if is_parsed else pairs_to_hash(*pictures)
    else:
        digest = night_hash() if protocol == 'domains' and trained.get('attribute') == NIGHT else drawing_hash()
    if digest != card.data.hash and protocol not in ('classifier', 'parser'):
        raise ValueError(f'{source} is {digest} now, {card.data.hash} in the card; evaluate again')
    return pictures
