"""Protocols: which pictures are edited how, and scored against what. Each ends in a metric card.

toyfaces  attribute models on held-out drawn faces, with true results
domains   two-domain models (A lacks an attribute, B has it) on held-out drawn faces, with true results, both directions
folder    attribute models on pictures of one's own, judged by a classifier trained on the same split; no true results
"""
from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

import retouch
from retouch.data import toyfaces
from retouch.data.labels import HAIR_COLOURS, LabelRule, flip_targets
from retouch.data.sets import HELD_OUT, cache_root
from retouch.engine.update import AttributeRequest, DomainRequest, Translation
from retouch.errors import unknown
from retouch.guidance.gradcam import explain_edit
from retouch.metrics import fidelity
from retouch.metrics.bootstrap import Tally, finite_or_none, mean_over_attributes
from retouch.metrics.card import Card, CardData, Checkpoint, LeakageMatrix, Measure, about, tally_to_measure
from retouch.metrics.judge import Judge, load_judge, model_to_judge
from retouch.metrics.scoring import Answer, Scores, Task, pictures_to_tensor, score
from retouch.metrics.truth import held_out_faces, true_edits
from retouch.model import Model, write_atomically
from retouch.train import hardware

Protocol = Literal['toyfaces', 'domains', 'folder']
PROTOCOLS: tuple[str, ...] = ('toyfaces', 'domains', 'folder')
EXTRA: tuple[str, ...] = ('inception',)
RULE: LabelRule = 'attgan_tf'
Progress = Callable[[int, int, str], None]      # (done, total, what)


def evaluate(model: Any, *, protocol: str = 'toyfaces', n: int = 500, seed: int = 0, judge: Judge | Model | None = None,
             device: torch.device | str = 'cpu', batch_size: int = 64, progress: Progress | None = None, command: str = '',
             extra: Sequence[str] = (), untrained: Any = None, images: np.ndarray | None = None, labels: np.ndarray | None = None,
             source: str | None = None, attribute: str | None = None, inception: str | Path | None = None, download: bool = False) -> Card:
    """Scores a model.

    Args:
        model: a Model, or a method with weights in it.
        protocol: 'toyfaces', 'domains' or 'folder'.
        n: held-out drawn faces (toyfaces, domains).
        seed: which drawn set, and of the bootstrap.
        judge: a Judge or a classifier Model; None: the shipped judge (toyfaces, domains).
        device: where the model, the judge and the comparisons run.
        batch_size: pictures at once.
        progress: called with (done, total, what is being done).
        command: how to repeat this, written to the card.
        extra: 'inception' adds FID, KID, Inception score, precision and recall with Inception features.
        untrained: a method of the same kind before training, for a third reference row.
        images: uint8 [N,S,S,3] held-out pictures (folder).
        labels: [N,K] in {0,1}, the model's attributes (folder).
        source: what to write as the data's source (folder); None: the model's.
        attribute: what domain B has (domains); None: the model's, else Eyeglasses.
        inception: the Inception file; None: RETOUCH_INCEPTION_WEIGHTS, else torch's hub cache.
        download: fetch the Inception file if it is missing.

    Returns:
        the card, with reference rows.

    Raises:
        ValueError: an unknown protocol or extra, a model of another kind, a judge that is too weak or does not read an attribute.
    """
    if protocol not in PROTOCOLS:
        raise unknown('protocol', protocol, PROTOCOLS)
    for name in extra:
        if name not in EXTRA:
            raise unknown('extra measure', name, EXTRA)
    weights = fidelity.find_inception_weights(inception, download) if 'inception' in extra else None
    method = getattr(model, 'method', model)
    method.nets.to(device)
    if not isinstance(judge, Judge):
        if judge is None and protocol == 'folder':
            raise ValueError('protocol folder has no judge of its own: expected a classifier trained on the same pictures; train one with '
                             '`retouch train classifier.…` and pass it as judge')
        judge = load_judge(device=device) if judge is None else model_to_judge(judge, device)

    if protocol == 'folder':
        inputs, tasks = folder_tasks(method, images, labels, judge)
        assert images is not None and labels is not None
        _check_tasks(tasks, len(inputs))
        n, names = len(inputs), tuple(task.name for task in tasks)
        stored = getattr(model, 'info', {}).get('data', {}).get('source', 'pictures')
        data = CardData(source=source or stored, hash=pictures_to_hash(images, labels), size=inputs.shape[1], attributes=names, rule=RULE,
                        count={task.name: len(task.rows) for task in tasks})
        expected = _expected_without_truth(tasks, inputs, labels, method.data.attributes, judge, batch_size)
    else:
        if n < 2:
            raise ValueError(f'n={n}: expected at least 2 held-out faces')
        if protocol == 'toyfaces':
            inputs, tasks = toyfaces_tasks(method, judge.names, n, seed, progress=progress)
        else:
            attribute = attribute or getattr(model, 'info', {}).get('data', {}).get('attribute')
            inputs, tasks = domain_tasks(method, judge.names, n, seed, attribute=attribute, progress=progress)
        _check_tasks(tasks, n)
        names = tuple(task.name for task in tasks)
        data = CardData(source='toyfaces', hash=toyfaces.drawing_hash(), size=inputs.shape[1], attributes=names, rule=RULE,
                        first_index=HELD_OUT,
                        region_area={task.name: round(float(task.region.mean()), 5) for task in tasks if task.region is not None},
                        count={task.name: len(task.rows) for task in tasks})
        expected = [read_all(judge, task.truth, batch_size)[0] for task in tasks if task.truth is not None]

    real = read_all(judge, inputs, batch_size)[1]
    proxy = 'classifier' if protocol == 'folder' else 'toyfaces_classifier'
    extractors = {proxy: judge.sha256}
    if weights is not None:
        extractors['inception'] = hashlib.sha256(weights.read_bytes()).hexdigest()
    total, done = sum(len(task.rows) for task in tasks), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total, 'scoring edits')

    def row(answer: Answer, step: Callable[[int], None] | None = None) -> tuple[dict[str, Measure], Scores]:
        scores = score(tasks, inputs, answer, judge, expected, device=device, batch_size=batch_size,
                       keep_images=weights is not None, advance=step)
        measures = {name: tally_to_measure(name, tally, names, seed) for name, tally in scores.tallies.items()}
        measures |= _proxies(real, scores.features, names, proxy, seed)
        if weights is not None:
            pictures = torch.from_numpy(inputs.transpose(0, 3, 1, 2).copy())
            found = fidelity.images_to_inception(pictures, torch.cat(scores.images), weights, seed=seed, batch_size=batch_size,
                                                 device=device)
            measures |= {name: Measure(value=finite_or_none(value), unit=about(name).unit) for name, value in found.items()}
        return measures, scores

    measures, scores = row(_answer(method), advance)
    answers: dict[str, Answer] = {'copy': _copy} | ({'truth': _truth} if protocol != 'folder' else {})
    key = {'data': data.model_dump(mode='json'), 'n': n, 'seed': seed, 'judge': judge.sha256, 'protocol': protocol, 'extra': list(extra)}
    references = _remembered(key, lambda: {name: row(answer)[0] for name, answer in answers.items()})
    if untrained is not None:
        untrained.nets.to(device)
        references['untrained'] = row(_answer(untrained))[0]
    return Card(protocol=protocol, data=data, n=n, seed=seed, checkpoint=_checkpoint(model), hardware=hardware(device), versions=versions(),
                command=command, measures=measures, references=references, judge=judge.facts, extractors=extractors,
                leakage_matrix=LeakageMatrix(edited=names, judged=judge.names, values=tuple(map(tuple, scores.leakage))))


def _answer(method: Any) -> Answer:
    """The method's answers; where it has no edit mask, with the Grad-CAM that explains them."""
    def answer(task: Task, x: Tensor, part: slice) -> Translation:
        request = task.request(x, part)
        out = method.translate(request)
        shown = explain_edit(method, request, out.image) if out.mask is None and task.region is not None else None
        return out if shown is None else replace(out, extras={**out.extras, 'gradcam': shown})
    return answer


def toyfaces_tasks(method: Any, judged: Sequence[str], n: int, seed: int, size: int | None = None, attributes: Sequence[str] | None = None,
                   progress: Progress | None = None) -> tuple[np.ndarray, list[Task]]:
    """Every edit of an attribute model on held-out faces: inputs uint8 [n,S,S,3] and one Task an attribute.

    The label rule works on all 15 attributes; the model is told those it knows.
    """
    known = tuple(method.data.attributes)
    if not known:
        raise ValueError('this model has no attributes: expected an attribute model for protocol toyfaces; use --protocol domains')
    chosen = tuple(attributes or known)
    for name in chosen:
        if name not in known:
            raise unknown('attribute of this model', name, known)
    inputs, labels = held_out_faces(n, size or method.data.size, seed)
    truths = true_edits(chosen, inputs, labels, seed, RULE, _drawing(progress))
    columns = [toyfaces.ATTRIBUTES.index(name) for name in known]
    tasks = []
    for name in chosen:
        truth = truths[name]
        before, after = (torch.from_numpy(table[:, columns]).float() for table in (labels[truth.rows], truth.targets))

        def request(x: Tensor, part: slice, before: Tensor = before, after: Tensor = after) -> AttributeRequest:
            return AttributeRequest(x, before[part].to(x.device), after[part].to(x.device))

        tasks.append(Task(name, _column(judged, name), truth.rows, _for_judge(truth.targets, judged), request, truth.images, truth.regions))
    return inputs, tasks


def domain_tasks(method: Any, judged: Sequence[str], n: int, seed: int, size: int | None = None, attribute: str | None = None,
                 progress: Progress | None = None) -> tuple[np.ndarray, list[Task]]:
    """Both directions of a two-domain model on held-out faces: faces without the attribute go to B, faces with it to A."""
    domains = tuple(method.data.domains)
    if len(domains) != 2:
        raise ValueError(f'this model has {len(domains)} domains: expected two; attribute models use --protocol toyfaces')
    attribute = attribute or 'Eyeglasses'
    inputs, labels = held_out_faces(n, size or method.data.size, seed)
    truth = true_edits((attribute,), inputs, labels, seed, RULE, _drawing(progress))[attribute]
    if attribute in HAIR_COLOURS:
        raise ValueError(f'domain attribute {attribute}: hair colours have no single opposite; choose another one, such as Eyeglasses')
    arrives = truth.targets[:, toyfaces.ATTRIBUTES.index(attribute)]
    tasks = []
    for value, to in ((1, domains[1]), (0, domains[0])):
        some = np.flatnonzero(arrives == value)

        def request(x: Tensor, part: slice, to: str = to) -> DomainRequest:
            return DomainRequest(x, to)

        tasks.append(Task(f'{attribute}={value}', _column(judged, attribute), truth.rows[some], _for_judge(truth.targets[some], judged),
                          request, truth.images[some], truth.regions[some]))
    return inputs, tasks


def folder_tasks(method: Any, images: np.ndarray | None, labels: np.ndarray | None, judge: Judge) -> tuple[np.ndarray, list[Task]]:
    """Every edit of an attribute model on labelled pictures without true results."""
    known = tuple(method.data.attributes)
    if images is None or labels is None or len(images) != len(labels) or labels.shape[1:] != (len(known),):
        shapes = None if images is None else images.shape, None if labels is None else labels.shape
        raise ValueError(f'protocol folder got images {shapes[0]} and labels {shapes[1]}: expected [N,S,S,3] and [N,{len(known)}]')
    table = torch.from_numpy(np.asarray(labels)).float()
    exclusive = getattr(getattr(method, 'config', None), 'labels', 'multi') == 'single'
    tasks = []
    for k, name in enumerate(known):
        if exclusive:
            target = torch.zeros_like(table)
            target[:, k] = 1
            applies = table[:, k] == 0
        else:
            target, applies = flip_targets(table, name, known, RULE)
        rows = torch.nonzero(applies).flatten()

        def request(x: Tensor, part: slice, before: Tensor = table[rows], after: Tensor = target[rows]) -> AttributeRequest:
            return AttributeRequest(x, before[part].to(x.device), after[part].to(x.device))

        wanted = torch.zeros(len(rows), len(judge.names), dtype=torch.bool)
        for column, other in enumerate(known):
            wanted[:, judge.column(other)] = target[rows, column] > 0.5
        tasks.append(Task(name, judge.column(name), rows.numpy(), wanted, request))
    return images, tasks


def classifier_card(model: Model, images: np.ndarray, labels: np.ndarray, *, source: str = 'toyfaces', seed: int = 0, batch_size: int = 64,
                    command: str = '', device: torch.device | str = 'cpu') -> Card:
    """Accuracy of a classifier on held-out pictures: the card that lets it judge.

    Args:
        model: a classifier.
        images: uint8 [N,S,S,3], resized to the classifier's size.
        labels: [N,J] in {0,1}, the classifier's attributes in order.
        source: 'toyfaces' or a folder, for the card.
        seed: which drawn set, and of the bootstrap.
        batch_size: pictures at once.
        command: how to repeat this.
        device: where it works.
    """
    judge = _without_card(model, device)
    names = judge.names
    if not len(images):
        raise ValueError(f'{source} has no held-out pictures: expected at least 2; use a larger set')
    if labels.shape != (len(images), len(names)):
        raise ValueError(f'labels {labels.shape} do not fit {len(images)} pictures and {len(names)} attributes: expected one row a picture')
    read, _ = read_all(judge, images, batch_size)
    right = (read.numpy() == (np.asarray(labels) > 0.5)).astype(np.float64).T                      # [J,N]
    tally = Tally(right, np.ones_like(right), mean_over_attributes)
    drawn = source == 'toyfaces'
    data = CardData(source=source, hash=toyfaces.drawing_hash() if drawn else pictures_to_hash(images, labels), size=images.shape[1],
                    attributes=names, first_index=HELD_OUT if drawn else None)
    return Card(protocol='classifier', data=data, n=len(images), seed=seed, checkpoint=_checkpoint(model), hardware=hardware(device),
                versions=versions(), command=command, measures={'accuracy': tally_to_measure('accuracy', tally, names, seed)})


def read_all(judge: Judge, images: np.ndarray, batch_size: int = 64) -> tuple[Tensor, Tensor]:
    """The judge's readings bool [N,J] and features [N,F] of uint8 [N,S,S,3]."""
    parts = [judge.look(pictures_to_tensor(images[i:i + batch_size])) for i in range(0, len(images), batch_size)]
    return torch.cat([read for read, _ in parts]), torch.cat([features for _, features in parts])


def pictures_to_hash(images: np.ndarray, labels: np.ndarray) -> str:
    """12 hex digits over the bytes of a set."""
    digest = hashlib.sha256(str((images.shape, labels.shape)).encode())
    digest.update(np.ascontiguousarray(images).data)
    digest.update(np.ascontiguousarray(labels > 0.5).astype(np.uint8).data)
    return digest.hexdigest()[:12]


def versions() -> dict[str, str]:
    """What computed the numbers."""
    packages = ('torch', 'torchvision', 'numpy', 'pillow', 'torchmetrics', 'torch-fidelity')
    return {'retouch': retouch.__version__, 'python': platform.python_version(), **{name: version(name) for name in packages}}


def _copy(task: Task, x: Tensor, part: slice) -> Translation:
    return Translation(x, x.new_zeros(len(x), 1, *x.shape[2:]))


def _truth(task: Task, x: Tensor, part: slice) -> Translation:
    assert task.truth is not None and task.region is not None
    region = torch.from_numpy(task.region[part]).unsqueeze(1).float()
    return Translation(pictures_to_tensor(task.truth[part], x.device), region.to(x.device))


def _proxies(real: Tensor, features: list[Tensor], names: tuple[str, ...], extractor: str, seed: int) -> dict[str, Measure]:
    # per attribute only KID: a Frechet distance of fewer pictures than feature dimensions is mostly bias
    found = fidelity.features_to_fidelity(real, torch.cat(features), seed=seed)
    each = {name: finite_or_none(fidelity.features_to_fidelity(real, some, ('kid',), seed=seed)['kid']) if len(some) > 1 else None
            for name, some in zip(names, features, strict=True)}
    return {f'fid[{extractor}]': Measure(value=finite_or_none(found['fid'])),
            f'kid[{extractor}]': Measure(value=finite_or_none(found['kid']), per_attribute=each)}


def _expected_without_truth(tasks: list[Task], inputs: np.ndarray, labels: np.ndarray, known: Sequence[str], judge: Judge,
                            batch_size: int) -> list[Tensor]:
    """What the judge reads in the input, except where the edit asks for another label than the picture has."""
    read, _ = read_all(judge, inputs, batch_size)
    before = read.clone()
    for k, name in enumerate(known):
        before[:, judge.column(name)] = torch.from_numpy(np.asarray(labels)[:, k] > 0.5)
    knows = torch.tensor([name in known for name in judge.names])
    expected = []
    for task in tasks:
        asked = (task.wanted != before[task.rows]) & knows
        expected.append(torch.where(asked, task.wanted, read[task.rows]))
    return expected


def _remembered(key: dict[str, Any], compute: Callable[[], dict[str, dict[str, Measure]]]) -> dict[str, dict[str, Measure]]:
    """Reference rows do not depend on the model: computed once for a benchmark, a judge and a version of this code."""
    code = b''.join(path.read_bytes() for path in sorted(Path(__file__).parent.glob('*.py')))
    digest = hashlib.sha256(json.dumps([key, versions()], sort_keys=True).encode() + code).hexdigest()[:16]
    path = cache_root() / f'references-{digest}.json'
    try:
        stored = json.loads(path.read_bytes())
        return {row: {name: Measure.model_validate(measure) for name, measure in measures.items()} for row, measures in stored.items()}
    except (OSError, ValueError):                                # not there, or a damaged cache file
        rows = compute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({row: {name: measure.model_dump() for name, measure in measures.items()} for row, measures in rows.items()})
        write_atomically(path, text.encode())
    except OSError:
        pass                                                     # no room for a cache: compute again next time
    return rows


def _checkpoint(model: Any) -> Checkpoint:
    info = getattr(model, 'info', {})
    rule = f'last EMA (decay {info["ema"]})' if info.get('ema') else 'last'
    return Checkpoint(rule=rule, name=info.get('recipe'), sha256=getattr(model, 'weights_sha256', None), iteration=info.get('iteration'))


def _check_tasks(tasks: Sequence[Task], n: int) -> None:
    empty = [task.name for task in tasks if not len(task.rows)]
    if empty or not tasks:
        raise ValueError(f'no picture to edit{f" for {empty[0]}" if empty else ""} among {n}: raise --n or use a larger set')


def _without_card(model: Model, device: torch.device | str) -> Judge:
    model.method.nets.to(device).eval()
    return Judge(model, tuple(model.data.attributes))


def _column(judged: Sequence[str], name: str) -> int:
    if name not in judged:
        raise unknown('attribute for this judge', name, judged)
    return list(judged).index(name)


def _for_judge(targets: np.ndarray, judged: Sequence[str]) -> Tensor:
    """uint8 [M,15] in toyfaces' order -> bool [M,J] in the judge's order."""
    return torch.from_numpy(targets[:, [_column(toyfaces.ATTRIBUTES, name) for name in judged]] > 0)


def _drawing(progress: Progress | None) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(done, total, 'drawing true results')
