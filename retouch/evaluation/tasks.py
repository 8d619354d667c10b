"""Which pictures are edited how, for every protocol that judges edits: a set of pictures, and tasks that ask something of some of them."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retouch import toyfaces
from retouch.data.labels import HAIR_COLOURS, LabelRule
from retouch.data.sets import two_hair_colours
from retouch.data.splits import sides_of
from retouch.engine.update import AttributeRequest, DomainRequest, ExemplarRequest
from retouch.errors import unknown
from retouch.evaluation.asked import read_edit, targets_of
from retouch.evaluation.judge import Judge
from retouch.evaluation.scoring import Task, pictures_to_tensor
from retouch.files import Rows
from retouch.toyfaces.edits import NEEDS_HAIR, Truth, draw_truths, nights
from retouch.toyfaces.night import NIGHT
from retouch.toyfaces.stored import held_out_faces

RULE: LabelRule = 'attgan_tf'
GLASSES = 'Eyeglasses'                          # what the one edit that every system can do puts on
Progress = Callable[[int, int, str], None]      # (done, total, what)
Request = Callable[[Tensor, slice], Any]        # as of a Task


def toyfaces_tasks(method: Any, judged: Sequence[str], n: int, seed: int, size: int | None = None, attributes: Sequence[str] | None = None,
                   progress: Progress | None = None) -> tuple[np.ndarray, list[Task]]:
    """Every edit of an attribute model on held-out faces: inputs uint8 [n,S,S,3] and one Task an attribute, or an edit as `edits` reads it.

    The label rule works on all 15 attributes; the model is told those it knows. Where it knows one class a picture, only faces that show
    exactly one of its classes, before and after, are edited.
    """
    known = tuple(method.data.attributes)
    if not known:
        raise ValueError('this model has no attributes: expected an attribute model for protocol toyfaces; use --protocol domains')
    chosen = tuple(attributes or known)
    edits = [read_edit(text, known) for text in chosen]
    inputs, labels = held_out_faces(n, size or method.data.size, seed, _drawing(progress, 'drawing faces'))
    truths = true_edits(chosen, inputs, labels, seed, RULE, _drawing(progress))
    columns = [toyfaces.ATTRIBUTES.index(name) for name in known]
    tasks = []
    for edit in edits:
        truth = truths[edit.name]
        some = np.arange(len(truth.rows))
        if getattr(getattr(method, 'config', None), 'labels', 'multi') == 'single':
            some = np.flatnonzero((labels[truth.rows][:, columns].sum(1) == 1) & (truth.targets[:, columns].sum(1) == 1))
        rows, targets = truth.rows[some], truth.targets[some]
        request = _labelled(*(torch.from_numpy(table[:, columns]).float() for table in (labels[rows], targets)))
        edited = tuple(_column(judged, name) for name in edit.names)
        tasks.append(Task(edit.name, edited, rows, _for_judge(targets, judged), request,
                          Rows(truth.images, some), Rows(truth.regions, some)))
    return inputs, tasks


def true_edits(names: Sequence[str], images: np.ndarray, labels: np.ndarray, seed: int = 0, rule: LabelRule = RULE,
               progress: Callable[[int, int], None] | None = None) -> dict[str, Truth]:
    """Edits every held-out face in every named attribute, each by itself: hair colours are switched on, others flip.

    Bald faces are left out of hair colours and Bangs: nothing would show, or the rule would have to grow hair.

    Args:
        names: attributes to edit, or edits as `edits.read_edit` reads them.
        images: uint8 [n,S,S,3] from `held_out_faces`.
        labels: uint8 [n,15] likewise; the rule works on all 15.
        seed: which drawn set.
        rule: label rule.
        progress: called with (pictures drawn, pictures to draw).

    Raises:
        ValueError: an attribute that toyfaces does not draw.
    """
    targets = {}
    for name in names:
        edit = read_edit(name, toyfaces.ATTRIBUTES)
        target, applies = targets_of(edit, torch.from_numpy(labels).float(), toyfaces.ATTRIBUTES, rule)
        if set(edit.names) & set(NEEDS_HAIR):
            applies &= torch.from_numpy(labels[:, toyfaces.ATTRIBUTES.index('Bald')] == 0)
        targets[name] = target.numpy().astype(np.uint8), applies.numpy()
    return draw_truths(targets, images, seed, progress)


def _labelled(before: Tensor, after: Tensor) -> Request:
    """Asks for labels [M,K] in place of those that the pictures have."""
    return lambda x, part: AttributeRequest(x, before[part].to(x.device), after[part].to(x.device))


def domain_tasks(method: Any, judged: Sequence[str], n: int, seed: int, size: int | None = None, attribute: str | None = None,
                 progress: Progress | None = None) -> tuple[np.ndarray, list[Task]]:
    """Both directions of a two-domain model on held-out faces: faces without the attribute go to B, faces with it to A.

    Of two hair colours, faces with the first go to B, faces with the second to A. Of Night, every other face is shown at night; the judge
    cannot read faces by night, so that no column of its is asked for.
    """
    _two_domains(method)
    attribute = attribute or GLASSES
    inputs, labels = held_out_faces(n, size or method.data.size, seed, _drawing(progress, 'drawing faces'))
    if attribute == NIGHT:
        inputs, truths = nights(inputs, seed)
        return inputs, [Task(f'{NIGHT}={value}', None, truth.rows, None,
                             _to(method, value, inputs, truths[1 - value].rows, truth.rows, seed), Rows(truth.images), Rows(truth.regions))
                        for value, truth in truths.items()]
    if attribute in HAIR_COLOURS:
        raise ValueError(f'domain attribute {attribute}: hair colours have no single opposite; choose two, such as Black_Hair/Blond_Hair')
    colours = two_hair_colours(attribute)
    names = colours[::-1] if colours else (attribute, attribute)                       # what is asked for in B, in A
    truths, tasks = true_edits(tuple(dict.fromkeys(names)), inputs, labels, seed, RULE, _drawing(progress)), []
    for value, name, other in ((1, *names), (0, *names[::-1]))[:1 if method.data.one_way else 2]:
        truth, column = truths[name], toyfaces.ATTRIBUTES.index(name)
        shown = 1 if colours else value                          # a hair colour is put on, in either direction
        comes_from = labels[truth.rows, toyfaces.ATTRIBUTES.index(other)] == (1 if colours else 1 - value)
        some = np.flatnonzero(comes_from)
        request = _to(method, value, inputs, np.flatnonzero(labels[:, column] == shown), truth.rows[some], seed)
        tasks.append(_drawn_task(truth, some, name, shown, judged, request))
    return inputs, tasks


def _drawn_task(truth: Truth, some: np.ndarray, attribute: str, value: int, judged: Sequence[str], request: Request) -> Task:
    """The edits `some`, int64 [m], of those that are true."""
    return Task(f'{attribute}={value}', (_column(judged, attribute),), truth.rows[some], _for_judge(truth.targets[some], judged), request,
                Rows(truth.images, some), Rows(truth.regions, some))


def eyeglasses_tasks(model: Any, judged: Sequence[str], n: int, seed: int,
                     progress: Progress | None = None) -> tuple[np.ndarray, list[Task]]:
    """The one edit that a system of any kind can be asked for: held-out faces without Eyeglasses shall wear them. A single Task.

    A system is asked in its own terms: by labels, by domain, by an exemplar that wears them and otherwise agrees with the face in what the
    system transfers, or by the picture alone.

    Raises:
        ValueError: a system that never learned to put them on.
    """
    method, trained = getattr(model, 'method', model), getattr(model, 'info', {}).get('data', {})
    known = tuple(method.data.attributes)
    learned = {'attributes': GLASSES in known, 'exemplars': GLASSES in known,
               'domains': trained.get('source') == 'toyfaces' and trained.get('attribute') == GLASSES,
               'pairs': trained.get('edit') == GLASSES and trained.get('direction') == 'a_to_b'}
    if not learned.get(method.kind):
        raise ValueError(f'this {method.id} cannot be asked for {GLASSES}: expected a system of {method.kind} that was trained to put them '
                         'on for --protocol eyeglasses; `retouch list` shows recipes named toyfaces and eyeglasses')
    inputs, labels = held_out_faces(n, method.data.size, seed, _drawing(progress, 'drawing faces'))
    has = labels[:, toyfaces.ATTRIBUTES.index(GLASSES)]
    truth = true_edits((GLASSES,), inputs, labels, seed, RULE, _drawing(progress))[GLASSES]
    some, wears = np.flatnonzero(has[truth.rows] == 0), np.flatnonzero(has == 1)
    rows, targets = truth.rows[some], truth.targets[some]
    columns = [toyfaces.ATTRIBUTES.index(name) for name in known]
    if method.kind == 'attributes':
        request = _labelled(*(torch.from_numpy(table[:, columns]).float() for table in (labels[rows], targets)))
    elif method.kind == 'domains':
        request = _to(method, 1, inputs, wears, rows, seed)
    elif method.kind == 'pairs':
        request = _to(method, -1, inputs, wears, rows)
    else:
        rng, agrees = np.random.default_rng(seed), [wears[(labels[wears][:, columns] == row[columns]).all(1)] for row in targets]
        if not all(map(len, agrees)):
            raise ValueError(f'{n} held-out faces: none with {GLASSES} agrees with some face in {", ".join(known)}; raise --n')
        given = Rows(inputs, np.array([rng.choice(few) for few in agrees]))

        def request(x: Tensor, part: slice) -> ExemplarRequest:
            return ExemplarRequest(x, pictures_to_tensor(given[part], x.device))
    return inputs, [_drawn_task(truth, some, GLASSES, 1, judged, request)]


def _two_domains(method: Any) -> tuple[str, ...]:
    domains = tuple(method.data.domains)
    if len(domains) != 2:
        raise ValueError(f'this model has {len(domains)} domains: expected two; attribute models use --protocol toyfaces')
    return domains


def _to(method: Any, value: int, images: np.ndarray, there: np.ndarray, rows: np.ndarray, seed: int = 0) -> Request:
    """Asks for domain `value`; a system that takes an exemplar gets one for each of `rows`, drawn from the pictures `there`."""
    domain = method.data.domains[value]
    if not getattr(method, 'takes_exemplar', False) or not len(there):
        return lambda x, part: DomainRequest(x, domain)
    given = Rows(images, np.random.default_rng(seed).choice(there, len(rows)))
    return lambda x, part: DomainRequest(x, domain, pictures_to_tensor(given[part], x.device))


def folder_tasks(method: Any, images: np.ndarray | None, labels: np.ndarray | None, judge: Judge | None, chosen: Sequence[str] = (),
                 flips: bool = False) -> tuple[np.ndarray, list[Task]]:
    """Every edit of an attribute model on labelled pictures without true results. Without a judge, nothing is expected of one.

    Args:
        method: of attributes.
        images: uint8 [N,S,S,3].
        labels: [N,K] in {0,1}.
        judge: reads the answers.
        chosen: edits as `edits.read_edit` reads them; empty: every attribute by itself.
        flips: see `edits.targets_of`.
    """
    known = tuple(method.data.attributes)
    if images is None or labels is None or len(images) != len(labels) or labels.shape[1:] != (len(known),):
        shapes = None if images is None else images.shape, None if labels is None else labels.shape
        raise ValueError(f'protocol folder got images {shapes[0]} and labels {shapes[1]}: expected [N,S,S,3] and [N,{len(known)}]')
    table = torch.from_numpy(np.asarray(labels)).float()
    exclusive = getattr(getattr(method, 'config', None), 'labels', 'multi') == 'single'
    tasks = []
    for edit in (read_edit(text, known) for text in chosen or known):
        if exclusive:
            if len(edit.asks) > 1 or edit.asks[0][1] == 0:
                raise ValueError(f'edit {edit.name} of classes that exclude each other: expected one of {", ".join(known)}')
            k = known.index(edit.names[0])
            target = torch.zeros_like(table)
            target[:, k] = 1
            applies = table[:, k] == 0
        else:
            target, applies = targets_of(edit, table, known, RULE, flips)
        rows = torch.nonzero(applies).flatten()
        wanted = None
        if judge is not None:
            wanted = torch.zeros(len(rows), len(judge.names), dtype=torch.bool)
            for column, other in enumerate(known):
                wanted[:, judge.column(other)] = target[rows, column] > 0.5
        columns = None if judge is None else tuple(judge.column(name) for name in edit.names)
        tasks.append(Task(edit.name, columns, rows.numpy(), wanted,
                          _labelled(table[rows], target[rows])))
    return images, tasks


def domain_folder_tasks(method: Any, images: np.ndarray | None, labels: np.ndarray | None,
                        judge: Judge | None, attribute: str = '') -> tuple[np.ndarray, list[Task]]:
    """Both directions of a two-domain model on pictures of its two domains, without true results. labels [N,2]: is A, is B.

    Without a judge, nothing is expected of one. It reads the domains, or the attribute that tells them apart (`DomainData.attribute`).
    """
    domains = _two_domains(method)
    if images is None or labels is None or labels.shape != (len(images), 2):
        shapes = None if images is None else images.shape, None if labels is None else labels.shape
        raise ValueError(f'protocol domains_folder got images {shapes[0]} and labels {shapes[1]}: expected [N,S,S,3] and [N,2]')
    shown: list[dict[str, int]] = [{name: 1} for name in domains]
    if judge is not None and attribute and not set(domains) <= set(judge.names):
        shown = list(sides_of(attribute)[0])
    columns = [None if judge is None else tuple(judge.column(name) for name in told) for told in shown]
    tasks = []
    for value in (1, 0):
        if value == 0 and method.data.one_way:
            continue
        rows = np.flatnonzero(labels[:, value] < 0.5)
        wanted = None
        if judge is not None:
            wanted = torch.zeros(len(rows), len(judge.names), dtype=torch.bool)
            wanted[:, list(columns[value] or ())] = torch.tensor([bool(told) for told in shown[value].values()])
        request = _to(method, value, images, np.flatnonzero(labels[:, value] > 0.5), rows)
        tasks.append(Task(f'to={domains[value]}', columns[value], rows, wanted, request))
    return images, tasks


def asked_of(task: Task, request: Any, m: int, attributes: Sequence[str]) -> str:
    """What the m-th picture of a request is asked to become: Eyeglasses=1; Male=0, Young=1; to=B."""
    if not isinstance(request, AttributeRequest):
        return task.name
    names = [part.partition('=')[0] for part in task.name.split('+')]
    return ', '.join(f'{name}={int(request.target[m, attributes.index(name)])}' for name in names)


def check_tasks(tasks: Sequence[Task], n: int) -> None:
    """ValueError where a task has no picture."""
    empty = [task.name for task in tasks if not len(task.rows)]
    if empty or not tasks:
        raise ValueError(f'no picture to edit{f" for {empty[0]}" if empty else ""} among {n}: raise --n or use a larger set')


def counting(progress: Progress | None, total: int, what: str) -> Callable[[int], None] | None:
    """Adds up counts of finished pictures and tells `progress` (done, total, what); None where nobody asks."""
    if progress is None:
        return None
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total, what)
    return advance


def _column(judged: Sequence[str], name: str) -> int:
    if name not in judged:
        raise unknown('attribute for this judge', name, judged)
    return list(judged).index(name)


def _for_judge(targets: np.ndarray, judged: Sequence[str]) -> Tensor:
    """uint8 [M,15] in toyfaces' order -> bool [M,J] in the judge's order."""
    return torch.from_numpy(targets[:, [_column(toyfaces.ATTRIBUTES, name) for name in judged]] > 0)


def _drawing(progress: Progress | None, what: str = 'drawing true results') -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(done, total, what)
