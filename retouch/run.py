"""A Run: everything that decides a training, as data. Recipes return it, run.json records it, `retouch train run.json` replays it."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SerializeAsAny, ValidationError, field_validator

from retouch.config import Config
from retouch.data.configs import DataConfig
from retouch.engine.config import TrainConfig
from retouch.errors import one_line
from retouch.methods.registry import find_method

HAPPENED = ('recipe', 'processes', 'history', 'init')             # fields of a Run that no option names
# what a resumed run may change; a set or a parser may lie elsewhere, its pictures or weights are compared
FREE = {'train': ('log_every', 'sample_every', 'save_every', 'keep_every', 'threads', 'channels_last', 'compile'),
        'method': ('lr', 'parser'), 'data': ('source',)}
# fields that say where and by how many a run is computed, not what: a replay takes their last value from its start
PLACES = ('source', 'parser', 'batch_size', 'processes')


class Change(Config):
    """One field that a resumed run changed."""

    iteration: int
    """Iterations that were done under the old value: the new one holds in 0-based iteration `iteration` and after."""
    field: str
    """Dotted: method.lr."""
    was: Any
    now: Any

    @property
    def is_place(self) -> bool:
        return self.field.rpartition('.')[2] in PLACES

    @property
    def line(self) -> str:
        """What a user is told."""
        grown = f'; the schedule is now that of {self.now} iterations' if self.field == 'train.iterations' else ''
        return f'from iteration {self.iteration} on: {self.field} {self.now} (before: {self.was}){grown}'


class Init(Config):
    """Where the weights came from that a run began with."""

    path: str
    """A run or model directory, as given."""
    optimiser: bool = False
    """Whether the state of its optimisers was taken too."""
    sha256: str | None = None
    """Of the file that was read; None: not read yet."""


class Run(Config):
    """Method, data, training and seed; of a run that was resumed with changes, their last values, and the changes."""

    method: SerializeAsAny[Config]
    """The method's own configuration; its `id` names the method."""
    data: DataConfig
    train: TrainConfig
    seed: int = 0
    recipe: str = ''
    """The recipe this run started from; for the record."""
    processes: int | None = None
    """How many processes train, each with a batch of its own; None: not known yet."""
    history: tuple[Change, ...] = ()
    """What changed, in order, and from which iteration on."""
    init: Init | None = None
    """None: the weights are drawn from the seed."""

    @field_validator('method', mode='before')
    @classmethod
    def _typed_method(cls, value: Any) -> Any:
        if isinstance(value, dict):
            if not isinstance(value.get('id'), str):
                raise ValueError(f"method has id {value.get('id')!r:.40}: expected the id of a method, e.g. 'stargan'")
            return find_method(value['id']).Config.model_validate(value)
        return value

    @property
    def method_id(self) -> str:
        return self.method.id                                    # type: ignore[attr-defined]

    def at(self, iteration: int) -> Run:
        """The run as it is in a 0-based iteration: changes that come later are taken back, but for where it is computed."""
        record = self.model_dump(mode='json')
        for change in reversed(self.history):
            if change.iteration > iteration and not change.is_place:
                *sections, leaf = change.field.split('.')
                node: Any = record
                for section in sections:
                    node = node.get(section) if isinstance(node, dict) else None
                if not isinstance(node, dict) or leaf not in node:
                    raise ValueError(f'the history of the run has a field {change.field!r:.60}: expected one of its own, such as method.lr')
                node[leaf] = change.was
        return record_to_run(record)

    def turns(self, iteration: int) -> list[int]:
        """The iterations after `iteration` from which something else holds, in order."""
        return sorted({change.iteration for change in self.history if change.iteration > iteration and not change.is_place})

    def changed(self, wanted: Run, iteration: int) -> Run:
        """This run, gone on with as `wanted`: what differs joins the history, in place of what was to come for that field."""
        last, now, then = (leaves(run.model_dump(mode='json')) for run in (self, self.at(iteration), wanted))
        fields = [name for name in then if name.split('.')[0] not in ('recipe', 'history', 'init') and last.get(name) != then[name]]
        kept = [change for change in self.history if change.field not in fields or change.iteration <= iteration]
        new = [Change(iteration=iteration, field=name, was=now.get(name), now=then[name]) for name in fields if now.get(name) != then[name]]
        return wanted.model_copy(update={'recipe': self.recipe, 'history': (*kept, *new), 'init': self.init})


def record_to_run(record: dict[str, Any]) -> Run:
    """The Run of a record. Raises ValueError naming its fields as the options do."""
    try:
        return Run.model_validate(record)
    except ValidationError as error:
        raise ValueError(one_line(error, record)) from error


def with_defaults(record: dict[str, Any]) -> dict[str, Any]:
    """A recorded run with the defaults of the fields that came after it was written; as it is where it is no Run of today."""
    try:
        return Run.model_validate(record).model_dump(mode='json')
    except ValidationError:
        return record


def started(run: Run, processes: int) -> Run:
    """A run as it is recorded when it starts on so many processes. ValueError where a replay would have another batch."""
    total, each = (run.processes or processes) * run.train.batch_size, run.train.batch_size
    if total != processes * each:
        raise ValueError(f'this run was trained with {total} pictures an iteration, {_count(run.processes or 1)} with {each} each; here '
                         f'{"is" if processes == 1 else "are"} {_count(processes)}: {_same_total(total, processes)}')
    return run.model_copy(update={'processes': processes, 'history': tuple(change for change in run.history if not change.is_place)})


def resumed(record: dict[str, Any], wanted: Run, processes: int, saved_by: int | None, iteration: int, folder: Path) -> tuple[Run, Run]:
    """A run that goes on, as it was and as it is from an iteration on.

    Args:
        record: what its run.json holds.
        wanted: how it shall go on.
        processes: how many there are now.
        saved_by: how many there were when its state was saved, for a record that does not say so.
        iteration: of its state.
        folder: its directory, for messages.

    Raises:
        ValueError: a field differs that a resumed run may not change, fewer iterations, or another number of pictures an iteration.
    """
    raw = with_defaults(record['run'])
    init = raw.get('init')
    if wanted.init is not None and init is None:
        raise ValueError(f'{folder} has begun, and not with the weights of another run: leave out --init, or choose another --out')
    now = {**wanted.model_dump(mode='json'), 'init': init}
    if wanted.init is not None and (wanted.init.path, wanted.init.optimiser) != (init['path'], init['optimiser']):
        now['init'] = {**init, 'path': wanted.init.path, 'optimiser': wanted.init.optimiser}
    processes_before = raw.get('processes') or saved_by or 1
    free = dict(FREE) if 'pictures' in record else {**FREE, 'data': ()}
    free['train'] += ('iterations',) + (('batch_size',) if processes != processes_before else ())
    found = first_difference({**raw, 'history': ()}, now, free)
    if found is not None:
        name, was, says = found
        raise ValueError(f'{folder} was started with {name}={was}, this run says {says}: resume with the same value, as `retouch train '
                         f'{folder} --resume auto` does, or choose another --out')
    before = record_to_run(raw).model_copy(update={'processes': processes_before})
    each, length = before.train.batch_size, before.train.iterations
    if wanted.train.iterations < length:
        raise ValueError(f'{folder} was started with train.iterations={length}, this run says {wanted.train.iterations}: it may grow, not '
                         f'shrink; resume with {length} or more, stop earlier with --stop-after, or choose another --out')
    total = processes_before * each
    if total != processes * wanted.train.batch_size:
        raise ValueError(f'{folder} trains on {total} pictures an iteration, {_count(processes_before)} with {each} each, and not on '
                         f'{_count(processes)} with {wanted.train.batch_size}: {_same_total(total, processes)}')
    return before, before.changed(wanted.model_copy(update={'processes': processes}), iteration)


def _count(processes: int) -> str:
    return '1 process' if processes == 1 else f'{processes} processes'


def _same_total(total: int, processes: int) -> str:
    """How to train on so many pictures an iteration with so many processes."""
    if total % processes == 0:
        return f'set --train.batch-size {total // processes}'
    return f'start {", ".join(str(n) for n in range(1, total + 1) if total % n == 0)} processes'


def first_difference(a: dict[str, Any], b: dict[str, Any], free: Mapping[str, tuple[str, ...]]) -> tuple[str, Any, Any] | None:
    """The first field, dotted, in which two dumped runs differ, or one that changed while `a` was trained, with both values.

    None if all that is not `free` (section -> last parts of names) is the same.
    """
    changes = [(c['field'], c['now']) for c in a.get('history', ())]
    a, b = leaves(a), leaves(b)
    for name in sorted({*a, *b}, key=lambda name: (name != 'method.id', not name.endswith('.id'), name)):
        if not _is_free(name, free) and a.get(name) != b.get(name):
            return name, a.get(name), b.get(name)
    return next(((name, now, b.get(name)) for name, now in changes if not _is_free(name, free)), None)


def _is_free(name: str, free: Mapping[str, tuple[str, ...]]) -> bool:
    section, leaf = name.split('.')[0], name.split('.')[-1]
    return section in ('recipe', 'processes', 'history') or leaf in free.get(section, ())


def leaves(record: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """Nested sections as one table: {'train': {'iterations': 1}} -> {'train.iterations': 1}."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        flat |= leaves(value, f'{prefix}{name}.') if isinstance(value, dict) else {f'{prefix}{name}': value}
    return flat
