"""Protocols: which pictures are edited how, and scored against what. Each ends in a metric card.

toyfaces        attribute models on held-out drawn faces, with true results
native          attribute models on held-out drawn faces of 512 px, through the Editor, with true results (`native.py`)
domains         two-domain models on held-out drawn faces, with true results, both directions: B has an attribute, or it is night
eyeglasses      any model that can put Eyeglasses on, on held-out drawn faces without them, with true results
folder          attribute models on pictures of one's own, judged by a classifier trained on the same split; no true results
domains_folder  two-domain models on pictures of one's own, likewise, judged by a classifier of the two domains
pairs           paired models, against the true partner (`pairs.py`)
exemplars       models that take an exemplar, on pairs of held-out drawn faces, with true results (`exemplars.py`)
exemplars_folder  the same on pictures of one's own, judged by a classifier trained on the same split; no true results
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retouch import toyfaces
from retouch.editor.editor import Editor
from retouch.engine.update import Translation
from retouch.errors import unknown
from retouch.evaluation.card import Card, CardData, LeakageMatrix
from retouch.evaluation.judge import Judge, load_judge, model_to_judge
from retouch.evaluation.ledger import Ledger, Row
from retouch.evaluation.looks import look_at_all, lpips_to_measures
from retouch.evaluation.native import NATIVE_PX, editor_to_answer, native_measures, truth_to_answer
from retouch.evaluation.provenance import checkpoint, pictures_to_hash, remembered, versions
from retouch.evaluation.regions import parser_to_measures
from retouch.evaluation.scoring import Answer, Found, More, Task, pictures_to_tensor, score
from retouch.evaluation.tallies import Arrays
from retouch.evaluation.tasks import (
    RULE,
    Progress,
    check_tasks,
    counting,
    domain_folder_tasks,
    domain_tasks,
    eyeglasses_tasks,
    folder_tasks,
    toyfaces_tasks,
)
from retouch.files import Rows
from retouch.guidance.gradcam import explain_edit
from retouch.hardware import hardware
from retouch.metrics import fidelity
from retouch.metrics.bootstrap import Tally, mean_over_attributes
from retouch.metrics.distances import Compare, Subsets, directions_to_distances, edits_to_distances, logits_to_inception
from retouch.metrics.features import JUDGE, open_features
from retouch.metrics.measure import Measure, tally_to_measure
from retouch.model import Model
from retouch.toyfaces.night import NIGHT, night_hash
from retouch.toyfaces.stored import HELD_OUT

DRAWN, FOLDERS, EXEMPLARS = ('toyfaces', 'native', 'domains', 'eyeglasses'), ('folder', 'domains_folder'), ('exemplars', 'exemplars_folder')
NATIVE_BATCH = 8         # pictures of 512 px at once
IN_CACHE = 2 ** 17       # pixels at once on a CPU: more do not stay in its caches
PROTOCOLS: tuple[str, ...] = (*DRAWN, *FOLDERS, 'pairs', *EXEMPLARS)


def evaluate(model: Any, *, protocol: str = 'toyfaces', n: int = 500, seed: int = 0, judge: Judge | Model | None = None,
             device: torch.device | str = 'cpu', batch_size: int = 64, progress: Progress | None = None, command: str = '',
             features: Sequence[str] = (), untrained: Any = None, images: np.ndarray | None = None, labels: np.ndarray | None = None,
             source: str | None = None, attribute: str | None = None, weights: str | Path | None = None, download: bool = False,
             parser: Model | None = None, ledger: Ledger | None = None, any_n: bool = False, edits: Sequence[str] = (), flips: bool = False,
             only: Mapping[str, tuple[str, ...]] | None = None) -> Card:
    """Scores a model.

    Args:
        model: a Model, or a method with weights in it.
        protocol: 'toyfaces', 'native', 'domains', 'eyeglasses', 'folder' or 'domains_folder'.
        n: held-out drawn faces (all but folders).
        seed: which drawn set, and of the bootstrap.
        judge: a Judge or a classifier Model; None: the shipped judge, and of folders none, if features are asked for.
        device: where the model, the judge and the comparisons run.
        batch_size: pictures at once.
        progress: called with (done, total, what is being done).
        command: how to repeat this, written to the card.
        features: which extractors' measures to add, of `features.NAMES`: 'judge' (its precision, recall, Frechet distance of each
            attribute and, where labels are edited, Inception score, beside those that are there anyway), 'inception-v3-compat',
            'inception-v3-torchvision', 'dinov2-vitb14', 'swav-resnet50', 'lpips-alexnet'.
        untrained: a method of the same kind before training, for a third reference row.
        images: uint8 [N,S,S,3] held-out pictures (folders).
        labels: [N,K] in {0,1}, the model's attributes, or [N,2]: is of the first domain, is of the second (folders).
        source: what to write as the data's source (folders); None: the model's.
        attribute: what domain B has (domains); None: the model's, else Eyeglasses.
        weights: folder of the extractors' files, or the file of one; None: RETOUCH_WEIGHTS, else torch's hub cache.
        download: fetch files that are missing and have a published digest.
        parser: a face parser of the pictures' size, for PSNR outside the parts that an edit names (toyfaces, folder).
        ledger: keeps what was computed, so that an evaluation that is stopped can go on, and gets the sums behind the intervals.
        any_n: give Frechet and kernel distances of fewer pictures than features too, as papers do.
        edits: what is asked, as `edits.read_edit` reads it (toyfaces, folder); empty: every attribute by itself.
        flips: whether a hair colour that is there is switched off, so that every picture is asked for every edit (folder).
        only: extractor -> which of its measures are taken; all of one that is not there.

    Returns:
        the card, with reference rows.

    Raises:
        ValueError: an unknown protocol or extractor, weights that are missing or others, a model of another kind, a judge that is too weak
            or does not read an attribute, a parser that does not fit.
    """
    if protocol not in DRAWN + FOLDERS:
        raise unknown('protocol', protocol, DRAWN + FOLDERS)
    if parser is not None and protocol not in ('toyfaces', 'folder'):
        raise ValueError(f'a parser with protocol {protocol}: expected toyfaces or folder, whose edits name parts of a face')
    looking, lpips, digests = open_features(features, weights, download, device)
    method = getattr(model, 'method', model)
    method.nets.to(device)
    looking = [replace(e, measures=tuple(m for m in e.measures if m in (only or {}).get(e.name, e.measures))) for e in looking]
    if edits and protocol not in ('toyfaces', 'folder'):
        raise ValueError(f'edits {", ".join(edits)} with protocol {protocol}: expected toyfaces or folder')
    attribute = attribute or getattr(model, 'info', {}).get('data', {}).get('attribute')
    if not isinstance(judge, Judge):
        if judge is None and protocol in FOLDERS and (JUDGE in features or not looking):
            raise ValueError(f'protocol {protocol} has no judge of its own: expected a classifier trained on the same pictures; train one '
                             'with `retouch train classifier.…` and pass it as judge, or name --features, whose distances need none')
        if judge is not None or protocol not in FOLDERS:
            judge = load_judge(device=device) if judge is None else model_to_judge(judge, device)

    if protocol in FOLDERS:
        pictures, tasks = (folder_tasks(method, images, labels, judge, edits, flips) if protocol == 'folder' else
                           domain_folder_tasks(method, images, labels, judge, attribute or ''))
        assert images is not None and labels is not None
        check_tasks(tasks, len(pictures))
        n, names = len(pictures), tuple(task.name for task in tasks)
        stored = getattr(model, 'info', {}).get('data', {}).get('source', 'pictures')
        data = CardData(source=source or stored, hash=pictures_to_hash(images, labels), size=pictures.shape[1], attributes=names,
                        rule=None if protocol != 'folder' else f'{RULE}, hair colours flip' if flips else RULE,
                        count={task.name: len(task.rows) for task in tasks})
        reads = protocol == 'folder'
    else:
        if n < 2:
            raise ValueError(f'n={n}: expected at least 2 held-out faces')
        assert isinstance(judge, Judge)
        if protocol in ('toyfaces', 'native'):
            size = NATIVE_PX if protocol == 'native' else None
            pictures, tasks = toyfaces_tasks(method, judge.names, n, seed, size, edits or None, progress)
        elif protocol == 'eyeglasses':
            pictures, tasks = eyeglasses_tasks(model, judge.names, n, seed, progress)
        else:
            pictures, tasks = domain_tasks(method, judge.names, n, seed, attribute=attribute, progress=progress)
        check_tasks(tasks, n)
        names, dark = tuple(task.name for task in tasks), protocol == 'domains' and attribute == NIGHT
        data = CardData(source='toyfaces', hash=night_hash() if dark else toyfaces.drawing_hash(), size=pictures.shape[1], attributes=names,
                        rule=None if dark else RULE, first_index=HELD_OUT,
                        region_area={task.name: round(float(task.region.mean()), 5) for task in tasks if task.region is not None},
                        count={task.name: len(task.rows) for task in tasks})
        reads = not dark                                         # it reads nearly four labels in ten wrong at night

    proxy = 'classifier' if protocol in FOLDERS else 'toyfaces_classifier'
    extractors = {**({proxy: judge.sha256} if judge else {}), **digests}
    if parser is not None:
        extractors['parser'] = parser.weights_sha256
    key = {'data': data.model_dump(mode='json'), 'n': n, 'seed': seed, 'judge': judge and judge.sha256, 'protocol': protocol,
           'features': sorted(set(features)), 'extractors': extractors, **({'any_n': True} if any_n else {}),
           **({'only': dict(only)} if only else {})}
    if torch.device(device).type == 'cpu':
        batch_size = min(batch_size, max(NATIVE_BATCH, IN_CACHE // method.data.size ** 2))
    if protocol == 'native':
        key['through'], batch_size = method.data.size, min(batch_size, NATIVE_BATCH)
    ledger = ledger or Ledger()
    ledger.open(key, method, untrained, batch_size, device)

    inputs, looks = Rows(pictures), {e.name: e.look for e in looking}
    real = look_at_all(judge, inputs, looks, batch_size, ledger.within('held-out'), counting(progress, n, 'looking at held-out pictures'))
    expected: list[Tensor] | None = None                          # what leakage is measured against
    if reads and protocol == 'folder' and judge is not None:
        assert labels is not None
        expected = _expected_without_truth(tasks, real['read'], labels, method.data.attributes, judge)
    elif reads and protocol in DRAWN:
        step = counting(progress, sum(len(task.rows) for task in tasks), 'reading true results')
        expected = [look_at_all(judge, task.truth, {}, batch_size, ledger.within(f'wanted-{k}'), step)['read']
                    for k, task in enumerate(tasks) if task.truth is not None]

    further: list[More] = []
    if parser is not None:
        further.append(parser_to_measures(parser, inputs.shape[1], tasks, device))
    if lpips is not None:
        further.append(lpips_to_measures(lpips))
    if protocol == 'native':
        further.append(native_measures)

    def more(task: Task, image: Tensor, x: Tensor, part: slice) -> Found:
        return {name: value for measure in further for name, value in measure(task, image, x, part).items()}

    sources = [task.rows for task in tasks]
    targets = sources[::-1] if len(sources) > 1 else [np.setdiff1d(np.arange(n), sources[0])]        # one direction: all the others

    def distances(real: Tensor, fakes: list[Tensor], compare: Compare, subsets: Subsets, which: tuple[str, ...], by: str,
                  alone: bool, width: int) -> dict[str, Measure]:
        fewest = 0 if any_n else width
        if protocol in ('domains', 'domains_folder', 'eyeglasses'):
            found = directions_to_distances(real, fakes, names, sources, targets, compare, which, subsets if alone else None, fewest)
        else:
            found = edits_to_distances(real, fakes, names, compare, which, ('kid',), alone, fewest)
        return {f'{name}[{by}]': measure for name, measure in found.items()}

    def measure_row(name: str, answer: Answer) -> Row:
        what = 'edits' if name == 'model' else name
        step = counting(progress, sum(len(task.rows) for task in tasks), f'scoring {what}')
        scores = score(tasks, inputs, answer, judge, expected, device=device, batch_size=batch_size, looks=looks, advance=step, more=more,
                       piece=ledger.within(name))
        measures = {name: tally_to_measure(name, tally, names, seed) for name, tally in scores.tallies.items()}
        compared = counting(progress, len(looking) + 1, f'measuring distances of {what}') or (lambda count: None)
        compared(0)
        by_judge, subsets = partial(fidelity.features_to_fidelity, seed=seed), partial(fidelity.features_to_kid_subsets, seed=seed)
        asked = JUDGE in features
        which = fidelity.SETS if asked else ('fid', 'kid')
        if judge is not None:
            measures |= distances(real['features'], scores.features, by_judge, subsets, which, proxy, asked, real['features'].shape[1])
        if judge is not None and asked and protocol in ('toyfaces', 'folder') and not judge.exclusive:
            edited = judge.logits(torch.cat(scores.features))[:, [judge.column(name) for name in names]]
            measures |= logits_to_inception(edited, seed, proxy)
        compared(1)
        for e in looking:
            by, subsets = partial(e.compare, seed=seed), partial(e.kid_subsets, seed=seed)
            measures |= distances(real[e.name], scores.seen[e.name], by, subsets, e.measures, e.name, True,
                                  real[e.name].shape[1] - e.logits)
            compared(1)
        return measures, scores.tallies, {'leakage': np.array(scores.leakage)}

    def row(name: str, answer: Answer) -> tuple[dict[str, Measure], Arrays]:
        return ledger.row(name, lambda: measure_row(name, answer))

    measures, found = row('model', editor_to_answer(Editor(model)) if protocol == 'native' else _answer(method))
    answers: dict[str, Answer] = {'copy': _copy} | ({'truth': _truth} if protocol in DRAWN else {})
    if protocol == 'native':
        answers['through'] = truth_to_answer(method.data.size)
    references = remembered(key, lambda: {name: row(name, answer)[0] for name, answer in answers.items()})
    if untrained is not None:
        untrained.nets.to(device)
        references['untrained'] = row('untrained', _answer(untrained))[0]
    matrix = None
    if expected and judge is not None:
        matrix = LeakageMatrix(edited=names, judged=judge.names, values=tuple(map(tuple, found['leakage'].tolist())))
    return Card(protocol=protocol, data=data, n=n, seed=seed, checkpoint=checkpoint(model), hardware=hardware(device), versions=versions(),
                command=command, measures=measures, references=references, judge=judge.facts if judge else None, extractors=extractors,
                leakage_matrix=matrix)


def _answer(method: Any) -> Answer:
    """The method's answers; where it has no edit mask, with the Grad-CAM that explains them."""
    def answer(task: Task, x: Tensor, part: slice) -> Translation:
        request = task.request(x, part)
        out = method.translate(request)
        shown = explain_edit(method, request, out.image) if out.mask is None and task.region is not None else None
        return out if shown is None else replace(out, extras={**out.extras, 'gradcam': shown})
    return answer


def classifier_card(model: Model, images: np.ndarray, labels: np.ndarray, *, source: str = 'toyfaces', seed: int = 0, batch_size: int = 64,
                    command: str = '', device: torch.device | str = 'cpu', ledger: Ledger | None = None,
                    progress: Progress | None = None) -> Card:
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
        ledger: gets the sums behind the interval.
        progress: called with (done, total, what is being done).
    """
    judge = _without_card(model, device)
    names = judge.names
    if not len(images):
        raise ValueError(f'{source} has no held-out pictures: expected at least 2; use a larger set')
    if labels.shape != (len(images), len(names)):
        raise ValueError(f'labels {labels.shape} do not fit {len(images)} pictures and {len(names)} attributes: expected one row a picture')
    read = look_at_all(judge, Rows(images), {}, batch_size, advance=counting(progress, len(images), 'classifying pictures'))['read']
    right = (read.numpy() == (np.asarray(labels) > 0.5)).astype(np.float64).T                      # [J,N]
    tally = Tally(right, np.ones_like(right), mean_over_attributes)
    if ledger is not None:
        ledger.tallies = {'accuracy': tally}
    drawn = source == 'toyfaces'
    data = CardData(source=source, hash=toyfaces.drawing_hash() if drawn else pictures_to_hash(images, labels), size=images.shape[1],
                    attributes=names, first_index=HELD_OUT if drawn else None)
    return Card(protocol='classifier', data=data, n=len(images), seed=seed, checkpoint=checkpoint(model), hardware=hardware(device),
                versions=versions(), command=command, measures={'accuracy': tally_to_measure('accuracy', tally, names, seed)})


def _copy(task: Task, x: Tensor, part: slice) -> Translation:
    return Translation(x, x.new_zeros(len(x), 1, *x.shape[2:]))


def _truth(task: Task, x: Tensor, part: slice) -> Translation:
    assert task.truth is not None and task.region is not None
    region = torch.from_numpy(task.region[part]).unsqueeze(1).float()
    return Translation(pictures_to_tensor(task.truth[part], x.device), region.to(x.device))


def _expected_without_truth(tasks: list[Task], read: Tensor, labels: np.ndarray, known: Sequence[str], judge: Judge) -> list[Tensor]:
    """What the judge reads in the input (bool [n,J]), except where the edit asks for another label than the picture has."""
    before = read.clone()
    for k, name in enumerate(known):
        before[:, judge.column(name)] = torch.from_numpy(np.asarray(labels)[:, k] > 0.5)
    knows = torch.tensor([name in known for name in judge.names])
    expected = []
    for task in tasks:
        assert task.wanted is not None
        asked = (task.wanted != before[task.rows]) & knows
        expected.append(torch.where(asked, task.wanted, read[task.rows]))
    return expected


def _without_card(model: Model, device: torch.device | str) -> Judge:
    model.method.nets.to(device).eval()
    return Judge(model, tuple(model.data.attributes))
