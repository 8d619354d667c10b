"""`retouch evaluate --study` and `retouch study`."""
from __future__ import annotations

import json

from rich.table import Table

from retouch.cli.options import EvaluateOptions, StudyOptions
from retouch.errors import unknown
from retouch.evaluation.evaluate import fitting_protocol
from retouch.evaluation.held_out import held_out, held_out_of_domains, part_of
from retouch.evaluation.tasks import domain_folder_tasks, domain_tasks, folder_tasks, toyfaces_tasks
from retouch.hardware import find_device
from retouch.model import load_model
from retouch.report.study import KEY, PAGE, Study, answers_to_shares, choose_trials, read_answers, write_study
from retouch.terminal import console, progress_bar
from retouch.toyfaces.identity import ATTRIBUTES


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
    model, against = load_model(options.model, device), load_model(other, device)
    for name, one in ((options.model, model), (other, against)):
        if one.method.kind not in ('attributes', 'domains') or one.method.id == 'classifier':
            raise ValueError(f'{name} is a {one.method.id}: expected two models of the same attributes or domains for --study')
    trained, trained_other = (one.info.get('data', {}) for one in (model, against))
    facts = [{**one.data.model_dump(), 'attribute of B': info.get('attribute'), 'crop': info.get('crop'),
              'pictures': options.data or info.get('source', 'toyfaces')} for one, info in ((model, trained), (against, trained_other))]
    for what, value in facts[0].items():
        if value != facts[1][what]:
            hint = '; name the pictures with --data' if what == 'pictures' else ''
            raise ValueError(f'{options.model} and {other} differ in {what}, {value} and {facts[1][what]}: '
                             f'expected two models that can be asked the same{hint}')
    if model.weights_sha256 == against.weights_sha256:
        raise ValueError(f'{options.model} and {other} are the same weights: expected two models')
    source = facts[0]['pictures']
    part = part_of(source, model, against)
    protocol = fitting_protocol(model.method.id, model.method.kind, source)
    method = against.method if getattr(against.method, 'takes_exemplar', False) else model.method    # a system that takes none ignores it
    with progress_bar() as progress:
        if protocol == 'toyfaces':
            inputs, tasks = toyfaces_tasks(method, ATTRIBUTES, n, options.seed, None, options.edits, progress)
        elif protocol == 'domains':
            inputs, tasks = domain_tasks(method, ATTRIBUTES, n, options.seed, attribute=trained.get('attribute'), progress=progress)
        elif protocol == 'folder':
            inputs, tasks = folder_tasks(method, *held_out(model, source, trained, n, options.seed, progress, part=part), None)
        else:
            inputs, tasks = domain_folder_tasks(method, *held_out_of_domains(model, source, n, progress, part), None)
    names = [task.name for task in tasks]
    for name in options.edits:
        if name not in names:
            raise unknown('edit', name, names)
    chosen = choose_trials([task for task in tasks if task.name in (options.edits or names)], len(inputs))
    write_study(options.out, {'a': (options.model, model), 'b': (other, against)}, inputs, chosen, source, options.seed)
    print(f'{len(chosen)} comparisons of {options.model} and {other}')
    print(f'written: {options.out / PAGE} (for raters) {options.out / KEY} (which is which)\n  retouch study {options.out}')
    return 0


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
    if options.json:
        print(json.dumps({'systems': asked.systems, 'raters': len(answers), 'left': left,
                          'shares': {name: share.model_dump() for name, share in shares.items()}}, indent=2))
        return 0
    table = Table('edit', 'votes', *asked.systems.values(), box=None, pad_edge=False)
    for name, share in shares.items():
        both = (share.a, share.low, share.high), (1 - share.a, 1 - share.high, 1 - share.low)
        table.add_row(name, str(share.votes), *(f'{a:.3f} [{low:.3f}, {high:.3f}]' for a, low, high in both))
    console().print(f'raters: {len(answers)}, votes: {len(votes)}; share of votes [95 % interval]', table, sep='\n', markup=False)
    print(f'the left side was chosen in {left:.3f} of all votes, whichever system stood there')
    return 0
