"""`retouch evaluate --study` and `retouch study`."""
from __future__ import annotations

import dataclasses
import json
from typing import Any

from rich.table import Table

from retouch.cli.options import EvaluateOptions, StudyOptions
from retouch.errors import unknown
from retouch.evaluation.evaluate import fitting_protocol
from retouch.evaluation.exemplars import ByExemplar, transfer_task
from retouch.evaluation.held_out import Part, held_out, held_out_of_domains, held_out_transfers_of, part_of
from retouch.evaluation.scoring import Task
from retouch.evaluation.tasks import domain_folder_tasks, domain_tasks, folder_tasks, toyfaces_tasks
from retouch.evaluation.transfers import transferred, transfers_of
from retouch.files import Pictures
from retouch.hardware import find_device
from retouch.model import Model, load_model
from retouch.report.study import KEY, PAGE, Kind, Reference, Side, Study, answers_to_shares, choose_trials, read_answers, write_study
from retouch.terminal import console, progress_bar
from retouch.toyfaces.identity import ATTRIBUTES

REFERENCES: dict[str, tuple[str, Reference]] = {'truth': ('the true result', 'truth'), 'copy': ('the input', 'copy'),
                                                'real': ('real pictures', 'real')}


def write_study_of(options: EvaluateOptions, other: str) -> int:
    """`retouch evaluate MODEL --study OTHER`."""
    for flag in ('judge', 'parser', 'protocol', 'proxy', 'size', 'features', 'weights', 'download', 'figures', 'json'):
        if getattr(options, flag):
            raise ValueError(f'--{flag} does not apply to --study: raters judge, and nothing is scored')
    if options.out is None:
        raise ValueError('--study needs a folder for its page: add --out DIR')
    n, device = 40 if options.n is None else options.n, find_device(options.device)
    if n < 2:
        raise ValueError(f'--n {n}: expected at least 2 pictures')
    model = load_model(options.model, device)
    against = None if other in REFERENCES else load_model(other, device)
    for name, one in ((options.model, model), (other, against)):
        if one is not None and (one.method.kind not in ('attributes', 'domains', 'exemplars') or one.method.id == 'classifier'):
            raise ValueError(f'{name} is a {one.method.id}: expected two models of the same attributes or domains for --study')
    by_exemplar = model.method.kind == 'exemplars' or (against is not None and against.method.kind == 'exemplars')
    if options.question in ('style', 'background') and not by_exemplar:
        raise ValueError(f'--question {options.question} is asked of systems that take an exemplar: expected edit or realism')
    if other == 'real' and options.question != 'edit':
        raise ValueError(f'--question {options.question} does not apply to --study real, which asks whether a picture is real')
    source = _same_task(options, other, model, against, by_exemplar)
    part = part_of(source, model, against)
    exemplars: Pictures | None = None
    with progress_bar() as progress:
        if by_exemplar:
            of = model if model.method.kind == 'exemplars' or against is None else against
            pairs = (transfers_of(of, n, options.seed, progress) if source == 'toyfaces' else
                     held_out_transfers_of(of, source, of.info.get('data', {}), n, options.seed, progress, part))
            inputs, exemplars, tasks = pairs.inputs, pairs.exemplars, [transfer_task(pairs)]
            model, against = _asked_by_exemplar(model), None if against is None else _asked_by_exemplar(against)
        else:
            method = against.method if against is not None and getattr(against.method, 'takes_exemplar', False) else model.method
            inputs, tasks = _tasks(options, model, method, source, n, part, progress)
    names = [task.name for task in tasks]
    for name in options.edits:
        if name not in names:
            raise unknown('edit', name, names)
    chosen = choose_trials([task for task in tasks if task.name in (options.edits or names)], len(inputs))
    kind: Kind = 'realism' if other == 'real' else 'choice'
    beside: tuple[str, Model | Reference] = REFERENCES[other] if against is None else (other, against)
    systems: dict[Side, tuple[str, Model | Reference]] = {'a': (options.model, model), 'b': beside}
    write_study(options.out, systems, inputs, chosen, source, options.seed, kind, options.question, exemplars)
    print(f'{len(chosen)} comparisons of {options.model} and {beside[0]}' if kind == 'choice' else
          f'{len(chosen)} pictures, every other one real, the others by {options.model}')
    print(f'written: {options.out / PAGE} (for raters) {options.out / KEY} (which is which)\n  retouch study {options.out}')
    return 0


def _same_task(options: EvaluateOptions, other: str, model: Model, against: Model | None, by_exemplar: bool) -> str:
    """The pictures that both are asked of. ValueError where they cannot be asked the same."""
    def facts(one: Model) -> dict[str, Any]:
        info = one.info.get('data', {})
        known = {'crop': info.get('crop'), 'pictures': options.data or info.get('source', 'toyfaces')}
        if by_exemplar:
            attribute = info.get('attribute', '')
            names = one.data.attributes if one.method.kind == 'exemplars' else tuple(attribute.replace('/', '+').split('+'))
            return {'size': one.data.size, 'what is transferred': sorted(names if info.get('source') else transferred(one)), **known}
        return {**one.data.model_dump(), 'attribute of B': info.get('attribute'), **known}

    mine = facts(model)
    for what, value in (facts(against) if against is not None else {}).items():
        if mine[what] != value:
            hint = '; name the pictures with --data' if what == 'pictures' else ''
            raise ValueError(f'{options.model} and {other} differ in {what}, {mine[what]} and {value}: '
                             f'expected two models that can be asked the same{hint}')
    if against is not None and model.weights_sha256 == against.weights_sha256:
        raise ValueError(f'{options.model} and {other} are the same weights: expected two models')
    return str(mine['pictures'])


def _asked_by_exemplar(model: Model) -> Model:
    if model.method.kind == 'exemplars':
        return model
    if not getattr(model.method, 'takes_exemplar', False):
        raise ValueError(f'{model.path} is a {model.method.id}, which takes no exemplar: expected one that does')
    return dataclasses.replace(model, method=ByExemplar(model.method))      # type: ignore[arg-type]


def _tasks(options: EvaluateOptions, model: Model, method: Any, source: str, n: int, part: Part,
           progress: Any) -> tuple[Pictures, list[Task]]:
    """What is asked of systems of attributes or domains. A system that takes no exemplar ignores it."""
    trained = model.info.get('data', {})
    protocol = fitting_protocol(model.method.id, model.method.kind, source)
    if protocol == 'toyfaces':
        return toyfaces_tasks(method, ATTRIBUTES, n, options.seed, None, options.edits, progress)
    if protocol == 'domains':
        return domain_tasks(method, ATTRIBUTES, n, options.seed, attribute=trained.get('attribute'), progress=progress)
    if protocol == 'folder':
        pictures = held_out(model, source, trained, n, options.seed, progress, part=part)
        return folder_tasks(method, *pictures, None, options.edits)
    return domain_folder_tasks(method, *held_out_of_domains(model, source, n, progress, part), None)


def study(options: StudyOptions) -> int:
    """`retouch study`."""
    asked = Study.read(options.folder)
    paths = options.answers or sorted(options.folder.glob('answers*.json'))
    if not paths:
        raise ValueError(f'{options.folder} holds no answers*.json: put the files that raters downloaded there, or name them')
    answers = read_answers(asked, paths)
    shares = answers_to_shares(asked, answers)
    votes = [vote for given in answers for vote in given.answers]
    if not votes:
        raise ValueError(f'{" ".join(map(str, paths))}: nobody chose anything yet')
    left = sum(vote.chosen == vote.left for vote in votes) / len(votes)
    realism = asked.kind == 'realism'
    if options.json:
        print(json.dumps({'systems': asked.systems, 'question': asked.question, 'raters': len(answers),
                          **({} if realism else {'left': left}),
                          'shares': {name: share.model_dump() for name, share in shares.items()}}, indent=2))
        return 0
    if realism:
        shown = Table('pictures', 'votes', 'taken for real', box=None, pad_edge=False)
        for name, share in shares.items():
            shown.add_row(name, str(share.votes), f'{share.a:.3f} [{share.low:.3f}, {share.high:.3f}]')
        console().print(f'raters: {len(answers)}, votes: {len(votes)}; share taken for real [95 % interval]', shown, sep='\n', markup=False)
        return 0
    table = Table('edit', 'votes', *asked.systems.values(), box=None, pad_edge=False)
    for name, share in shares.items():
        both = (share.a, share.low, share.high), (1 - share.a, 1 - share.high, 1 - share.low)
        table.add_row(name, str(share.votes), *(f'{a:.3f} [{low:.3f}, {high:.3f}]' for a, low, high in both))
    console().print(f'raters: {len(answers)}, votes: {len(votes)}; share of votes [95 % interval]', table, sep='\n', markup=False)
    print(f'the left side was chosen in {left:.3f} of all votes, whichever system stood there')
    return 0
