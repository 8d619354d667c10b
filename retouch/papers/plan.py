"""From a table, a folder and a scale to runs: what each row is trained on, what is scored, what it costs, and what is missing."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from retouch.data.batches import DataSpec
from retouch.data.configs import AttributeData, ParsingData
from retouch.data.sets import AttributeSet, ParsingSet, TwoSets, make_loader
from retouch.data.sources import PairItem
from retouch.data.splits import domain_files, files_of
from retouch.engine.config import TrainConfig
from retouch.engine.fit import measure
from retouch.engine.trainer import Trainer
from retouch.errors import one_line, unknown
from retouch.evaluation.papers import PAPERS
from retouch.methods.registry import find_method
from retouch.metrics.features import PUBLISHED, find_weights
from retouch.papers.sets import SETS, find_set, first_and_last, is_paired, names_of, prepare_pairs, split_of_pairs
from retouch.papers.table import ASKED, Part, Row, Table
from retouch.recipes.registry import load_run, override
from retouch.run import Run
from retouch.toyfaces import ATTRIBUTES
from retouch.training import build, make_fabric

Scale = Literal['full', 'small', 'tiny']
SMALL_PX = 64                    # of a folder's pictures on the CPU tier
TINY = TrainConfig(iterations=2, batch_size=4, log_every=1)
DRAWN_N = {'full': 500, 'small': 500, 'tiny': 16}        # held-out drawn faces that are scored
KEPT = ('crop', 'ground', 'holdout', 'validation', 'people', 'test_share', 'limit', 'seed')      # of a row's data, for its judge


@dataclass(frozen=True)
class Piece:
    """A row on one part: a training and what is scored of it."""

    row: Row
    part: Part
    run: Run                     # in iterations once `settled`
    scored: str                  # where the scored pictures lie
    place: str                   # the set as it lies on disk


@dataclass(frozen=True)
class Plan:
    """Everything that a table needs."""

    table: Table
    scale: Scale
    data: str
    pieces: tuple[Piece, ...]
    left_out: tuple[tuple[str, str], ...]        # row or part -> why it is not run
    judges: dict[str, Run] = field(default_factory=dict)         # part -> the training of its classifier
    parsers: dict[int, Run] = field(default_factory=dict)        # side in pixels -> the training of a face parser
    readers: dict[int, Run] = field(default_factory=dict)        # side in pixels -> the training of a parser of streets
    missing: tuple[str, ...] = ()                                # files of weights that are not there, and where they go

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every training once, judges and parsers first."""
        return tuple({key_of(run): run for run in (*self.judges.values(), *self.parsers.values(), *self.readers.values(),
                                                 *(p.run for p in self.pieces))}.values())


def make_plan(table: Table, data: str, scale: Scale = 'full', rows: Sequence[str] = (), out: Path = Path('runs/reproduce'),
              judge: str | None = None, parser: str | None = None, masks: str | None = None, weights: str | Path | None = None,
              dry: bool = True) -> Plan:
    """What would be done; nothing is decoded. With `dry` nothing is written either: halves of pairs are not cut.

    Raises:
        ValueError: an unknown row, a folder that holds no set of the table, a recipe that does not fit it.
    """
    for name in rows:
        if name not in {row.id for row in table.rows}:
            raise unknown(f'row of {table.id}', name, [row.id for row in table.rows])
    left_out = [(row.name, row.lacks) for row in table.rows if not row.recipe and (not rows or row.id in rows)]
    chosen = [row for row in table.rows if row.recipe and (not rows or row.id in rows)]
    if table.kind == 'counts':
        built = tuple(Piece(row, part, override(load_run(row.recipe), row.changes), '', '') for part in table.parts for row in chosen)
        return Plan(table, scale, data, built, tuple(left_out))
    places, parts = dict[str, str](), table.parts
    for part in parts:
        place = find_set(part.set, data, len({other.set for other in parts}) == 1)
        if place is None:
            left_out.append((part.title, f'{SETS[part.set].title} is not in {data}: expected {" or ".join(SETS[part.set].folders)}'))
        else:
            places[part.id] = place
    if not places:
        raise ValueError(f'{data} holds no set of {table.id}: expected a folder with some of '
                         f'{", ".join(dict.fromkeys(SETS[p.set].folders[0] for p in parts))}')
    if data == 'toyfaces':
        left_out += [(part.title, 'drawn faces are one set: only the first part is run') for part in parts[1:]]
        parts = parts[:1]
    pieces = [_piece(row, part, places[part.id], scale, out, dry) for part in parts if part.id in places for row in chosen
              if part.id in row.parts]
    judged = {piece.part.id for piece in pieces} if table.kind != 'study' and not judge and data != 'toyfaces' else ()
    judges = {part.id: run for part in parts if part.judge and part.id in judged
              if (run := _judge_of(table, part, places[part.id], scale, out, dry)) is not None}
    scored_by = PAPERS[table.paper].parser and table.kind == 'scores'
    needs_parser = [piece for piece in pieces if getattr(piece.run.method, 'uses_parser', False) or (scored_by and data != 'toyfaces')]
    parsers = {} if parser else {size: _parser_of(size, masks, scale) for size in sorted({piece.run.data.size for piece in needs_parser})
                                 if masks or data == 'toyfaces'}
    readers = {} if judge else {size: _reader_of(size, out, scale) for size in
                                sorted({piece.run.data.size for piece in pieces if piece.part.reader and data != 'toyfaces'})}
    missing = missing_weights(table, weights)
    if needs_parser and not parser and not parsers:
        missing = (*missing, "a face parser of the pictures' size: --parser MODEL, or --masks CelebAMask-HQ, from which one is trained")
    return Plan(table, scale, data, tuple(pieces), tuple(left_out), judges, parsers, readers, missing)


def _piece(row: Row, part: Part, place: str, scale: Scale, out: Path, dry: bool) -> Piece:
    kind = load_run(recipe_of(row, part)).data.kind
    source = scored = place
    if is_paired(part.set, place):
        whole = SETS[part.set].share is None and all((Path(place) / side).is_dir() for side in 'AB')
        if whole:                                                # the last fifth of A/ and B/ by name, whichever way they are read
            source = place if kind == 'pairs' else f'{place}/A,{place}/B'
        elif not dry:
            made = prepare_pairs(part.set, place, out / 'data' / part.set)
            source, scored = str(made / 'pairs' if kind == 'pairs' else made), str(made / 'pairs')
    return Piece(row, part, run_of(row, part, source, scale), scored, place)


def run_of(row: Row, part: Part, source: str, scale: Scale, seed: int = 0) -> Run:
    """The training of a row on a part at a scale."""
    recipe = load_run(recipe_of(row, part))
    if source == 'toyfaces':
        run = override(load_run(row.small), row.small_changes)
    else:
        changes = {**row.changes, **part.changes.get('', {}), **part.changes.get(recipe.data.kind, {}), 'data.source': source}
        if SETS[part.set].share is not None:                     # the folder was split when it was prepared
            changes['data.test_share'] = 'none'
        full = run = override(recipe, changes)
        if scale != 'full':
            run = _on_folder(override(load_run(row.small), row.small_changes), full, scale)
    if scale == 'tiny':
        small = {'n': 48} if hasattr(run.data, 'n') else {}
        run = run.model_copy(update={'train': TINY, 'data': run.data.model_copy(update=small)})
    return run.model_copy(update={'seed': seed})


def recipe_of(row: Row, part: Part) -> str:
    """The recipe of a row on a part, at full scale."""
    return row.on.get(part.id, row.recipe)


def _on_folder(small: Run, full: Run, scale: Scale) -> Run:
    """The small tier's method and length on the pictures, labels and split of the full setting."""
    size = small.data.size if scale == 'tiny' else max(SMALL_PX, small.data.size)
    data: dict[str, Any] = {'size': size}
    if getattr(full.data, 'load_size', None) is not None:
        data['load_size'] = size * 9 // 8                        # as 286 to 256
    if hasattr(full.data, 'targets') and _labels(full.method) != 'single':
        data['targets'] = small.data.targets                     # type: ignore[union-attr]
    record = small.method.model_dump(mode='json')
    for config in (record, record.get('backbone', {})):
        if 'layers' in config:
            config['layers'] = 3 if size < SMALL_PX else 4       # the last map stays 4x4
        if 'labels' in config:
            config['labels'] = _labels(full.method)
    return small.model_copy(update={'method': type(small.method).model_validate(record), 'data': full.data.model_copy(update=data)})


def _labels(method: Any) -> str | None:
    return getattr(getattr(method, 'backbone', method), 'labels', None)


def _judge_of(table: Table, part: Part, place: str, scale: Scale, out: Path, dry: bool) -> Run | None:
    """The classifier of a part: it learns from what the rows learn from, at their size. Of two domains it tells A from B."""
    pieces = [_piece(row, part, place, scale, out, dry) for row in table.rows if row.recipe and part.id in row.parts]
    kinds = ('attributes', 'exemplars', 'domains', 'pairs')      # a row that knows classes as such tells what they are
    runs = sorted((piece.run for piece in pieces), key=lambda run: (kinds.index(run.data.kind), _labels(run.method) != 'single'))
    if runs[0].data.kind == 'pairs':
        return None
    data = runs[0].data
    fields = {name: getattr(data, name) for name in KEPT if name in AttributeData.model_fields and hasattr(data, name)}
    alone = data.kind == 'domains' or _labels(runs[0].method) == 'single'
    recipe = load_run(part.judge if scale == 'full' else 'classifier.folder64')
    method = type(recipe.method).model_validate({**recipe.method.model_dump(mode='json'), 'labels': 'single' if alone else 'multi'})
    told = {**fields, 'source': data.source, 'attributes': getattr(data, 'attributes', ()), 'size': data.size, 'flip': recipe.data.flip}
    run = recipe.model_copy(update={'method': method, 'data': AttributeData.model_validate(told)})
    return run.model_copy(update={'train': TINY}) if scale == 'tiny' else run


def _parser_of(size: int, masks: str | None, scale: Scale) -> Run:
    told = {'data.size': size, **({'data.source': masks} if masks else {})}
    run = override(load_run('parser.celebamask' if masks else 'parser.toyfaces48'), told)
    return run.model_copy(update={'train': TINY, 'data': run.data.model_copy(update={'n': 48})}) if scale == 'tiny' else run


def _reader_of(size: int, out: Path, scale: Scale) -> Run:
    run = override(load_run('parser.streets'), {'data.size': size, 'data.source': str(out / 'data' / 'cityscapes' / 'streets')})
    return run.model_copy(update={'train': TINY}) if scale == 'tiny' else run


def key_of(run: Run) -> str:
    """What a run directory is called: its recipe, and digits of all that decides the training."""
    record = run.model_dump(mode='json')
    record['method'].pop('parser', None)
    return f'{run.recipe}-{hashlib.blake2b(json.dumps(record, sort_keys=True).encode(), digest_size=4).hexdigest()}'


# ---- what it needs

def features_of(table: Table, kind: str) -> tuple[str, ...]:
    """The networks with published weights that score a kind of system in a table."""
    if table.kind != 'scores' or any('pairs' in SETS[part.set].layouts for part in table.parts):
        return ()
    found: Mapping[str, tuple[str, ...]] = PAPERS[table.paper].features          # type: ignore[assignment]
    return found.get(kind, found.get('domains', ()) if kind == 'attributes' else ())     # StarGAN stands in tables of two domains


def published_runs(table: Table) -> tuple[Run, ...]:
    """Every training of a table at full scale, its classifiers too, counted for the sets of the papers; no file is looked at."""
    if table.kind == 'counts':
        return ()
    runs = [run_of(row, part, part.set, 'full') for row in table.rows if row.recipe for part in table.parts if part.id in row.parts]
    runs += [run for part in table.parts if part.judge and table.kind != 'study'
             if (run := _judge_of(table, part, part.set, 'full', Path(), True)) is not None]
    return tuple({key_of(run): run for run in runs}.values())


def weights_of(table: Table) -> tuple[str, ...]:
    """The networks with published weights that a table needs."""
    kinds = dict.fromkeys(load_run(row.recipe).data.kind for row in table.rows if row.recipe)
    return tuple(dict.fromkeys(name for kind in kinds for name in features_of(table, kind) if name in PUBLISHED))


def missing_weights(table: Table, weights: str | Path | None) -> tuple[str, ...]:
    """A line for every file of published weights that a table needs and that is not there: its name, where it goes, where it comes from."""
    found = []
    for name in weights_of(table):
        try:
            find_weights(name, weights)
        except ValueError as error:
            found.append(one_line(error))
    return tuple(found)


def files_of_piece(piece: Piece) -> dict[str, str]:
    """'train A', 'train B', 'test A' … -> first and last name and how many; drawn faces by their numbers."""
    data: Any = piece.run.data
    if data.source == 'toyfaces':
        return {'train': f'drawn faces 0 … {data.n - 1:,} ({data.n:,})', 'test': f'drawn faces from 1,000,000 on ({DRAWN_N["small"]})'}
    if is_paired(piece.part.set, piece.place):
        train, test = split_of_pairs(piece.part.set, piece.place)
        return {'train pairs': _pairs(train), 'test pairs': _pairs(test)}
    found = {}
    for split in ('train', 'test'):
        if data.kind == 'domains':
            found |= {f'{split} {side}': first_and_last(paths) for side, paths in zip('AB', domain_files(data, split), strict=True)}
        else:
            paths = files_of(data, split)
            some = paths[-piece.part.n:] if split == 'test' and piece.part.n else paths
            found[split] = first_and_last(some)
    return found


def _pairs(items: Sequence[PairItem]) -> str:
    return f'{names_of(items[0])} … {names_of(items[-1])} ({len(items):,})' if items else 'none'


# ---- what it costs

def synthetic(run: Run, n: int) -> AttributeSet | TwoSets | ParsingSet:
    """A set of noise of a run's kind and size: a step costs the same on it."""
    data: Any = run.data
    rng = np.random.default_rng(0)
    side = getattr(data, 'load_size', None) or data.size
    images = rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    if data.kind in ('domains', 'pairs'):
        return TwoSets(images, images[::-1].copy(), DataSpec(size=data.size, domains=('A', 'B'), samples=(n, n)))
    if isinstance(data, ParsingData):
        classes = rng.integers(0, len(data.names), images.shape[:3]).astype(np.uint8)
        return ParsingSet(images, classes, DataSpec(size=data.size, attributes=data.names))
    names = data.attributes or (ATTRIBUTES if data.source == 'toyfaces' else tuple('abcdefgh'))
    labels = np.eye(len(names), dtype=np.float32)[np.arange(n) % len(names)]
    return AttributeSet(images, labels, DataSpec(size=data.size, attributes=tuple(names)), _labels(run.method) == 'single')


def measured(run: Run) -> dict[str, float]:
    """Seconds an iteration and peak memory of a run, from two measured rounds of its steps on noise.

    On a CPU a batch of at most 2 is measured and its seconds multiplied, for there they grow with the batch.
    """
    fabric = make_fabric(run)
    batch = run.train.batch_size if fabric.device.type == 'cuda' else min(run.train.batch_size, 2)
    small = run.model_copy(update={'train': run.train.model_copy(update={'batch_size': batch, 'epochs': None})})
    opened = synthetic(small, max(8, batch))
    trainer = Trainer(_without_parser(small, opened), fabric, small.train.iterations, small.train.ema)
    loader = make_loader(opened, small.data, batch, 0, fabric.device, fabric.global_rank, fabric.world_size,
                         getattr(small.method, 'label_rule', 'attgan_tf'))
    found = measure(trainer, loader, small.train)
    seconds = found['seconds_per_1000_images'] / 1000 * run.train.batch_size
    return {'seconds': seconds, 'batch': batch, 'memory_mib': found.get('peak_memory_mib', 0.0)}


def _without_parser(run: Run, opened: Any) -> Any:
    """The method of a run; of one that a parser guides, with a parser that has learned nothing: a step costs the same."""
    if not getattr(run.method, 'uses_parser', False):
        return build(run, opened)
    torch.manual_seed(run.seed)
    return find_method(run.method_id)(run.method, opened.spec)


def asked_of_people(part: Part) -> bool:
    """Whether no column of a part can be measured."""
    return all(column.measure == ASKED for column in part.columns)
