"""`retouch evaluate`, `compare` and `study`: what is scored is printed and written. Every command returns the exit status.

Imports stand inside the functions: torch takes seconds, and `retouch --help` needs none of it.
"""
from __future__ import annotations

import dataclasses
import json
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retouch.errors import one_line, unknown
from retouch.evaluation import fitting_protocol, gallery_of, held_out, held_out_of_domains, held_out_partners, score
from retouch.terminal import console, progress_bar

if TYPE_CHECKING:
    import numpy as np

    from retouch.cli import CompareOptions, EvaluateOptions, StudyOptions
    from retouch.metrics.bootstrap import Tally
    from retouch.metrics.card import Card, Comparison
    from retouch.model import Model
    from retouch.report import GalleryRow


# ---- evaluate

def evaluate(options: EvaluateOptions) -> int:
    """`retouch evaluate`."""
    if options.study:
        return _write_study(options, options.study)
    if options.edits:
        raise ValueError(f'--edits {" ".join(options.edits)} needs --study: a card is of all edits')
    from rich.table import Table

    from retouch.metrics.card import about, measure_to_text
    from retouch.metrics.ledger import Ledger
    from retouch.model import CONFIG

    run = Path(options.model)
    out = options.out or (run if (run / 'model' / CONFIG).is_file() else None)
    if options.figures and out is None:
        raise ValueError(f'--figures needs a folder: {options.model} is no run directory, add --out DIR')
    _check_out(out)
    ledger = Ledger(out)
    try:
        card, gallery = score(options, with_gallery=out is not None, ledger=ledger)
    except KeyboardInterrupt:
        if ledger.kept is not None:
            print(f'stopped: what was computed is kept in {ledger.kept}; the same command continues', file=sys.stderr)
        raise
    if ledger.found:
        print(f'note: {ledger.found} pieces of an evaluation that was stopped were not computed again', file=sys.stderr)
    files: list[Path] = []
    if out is not None:
        from retouch.report import write_report

        files = [out / 'card.json', out / 'report.html']
        ledger.close(card)
        write_report(files[1], card, gallery, _log_of(options.model), title=run.resolve().name if run.is_dir() else options.model)
        files += _figures(gallery, out / 'figures') if options.figures else []
    if options.json:
        print(json.dumps(card.model_dump(mode='json'), indent=2))
        return 0
    columns = {'model': card.measures, **card.references}
    if card.paper:
        from retouch.metrics.papers import column_to_text

        theirs = Table(card.paper, *columns, 'measure', 'note', box=None, pad_edge=False)
        for column in card.paper_columns:
            theirs.add_row(column.name, *(column_to_text(column, row) for row in columns.values()), column.measure or 'not measured',
                           column.note)
        console().print(theirs, 'differs from the paper:', *(f'  {line}' for line in card.differs), '', sep='\n', markup=False)
    table = Table('measure', *columns, 'meaning', box=None, pad_edge=False)
    for name, measure in card.measures.items():
        label = f'{name} ({measure.unit})' if measure.unit else name
        table.add_row(label, *(measure_to_text(row.get(name)) for row in columns.values()), about(name).text)
    console().print(f'{options.model}: protocol {card.protocol}, n={card.n}, seed={card.seed}', table, sep='\n', markup=False)
    if files:
        print('written:', *files[:2], *([f'{len(files) - 2} figures in {out}/figures'] if files[2:] else []))
    else:
        print('not written: add --out DIR')
    return 0


def _figures(gallery: Sequence[GalleryRow], folder: Path) -> list[Path]:
    """Every row of the gallery as one PNG, its panels side by side."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for row in gallery:
        panels = [p if p.ndim == 3 else np.repeat(p[..., None], 3, 2) for p in row.panels.values()]
        name = re.sub(r'[^\w=]+', '-', row.title)
        paths.append(folder / f'{name}.png')
        Image.fromarray(np.hstack(panels)).save(paths[-1])
    return paths


def _check_out(out: Path | None) -> None:
    """ValueError where a folder for results is a file: better said before the work than after it."""
    if out is not None and out.exists() and not out.is_dir():
        raise ValueError(f'--out {out} is a file: expected a folder, which is made if it is missing')


def _log_of(name: str) -> Path:
    """Where the log of a model's training would lie."""
    from retouch.model import find_model_dir

    folder = find_model_dir(name)
    return (folder.parent if folder.name == 'model' else folder) / 'log.jsonl'


# ---- compare

def compare(options: CompareOptions) -> int:
    """`retouch compare`."""
    from rich.table import Table

    from retouch.metrics.card import compare as cards_to_comparison

    _check_out(options.out)
    if options.suite is not None:
        return _compare_suite(options, options.suite)
    for flag in ('only', 'seeds', 'n', 'threads', 'parser', 'print'):
        if getattr(options, flag) not in (None, (), False):
            raise ValueError(f'--{flag} needs --suite: models are compared by the cards they have')
    if not options.models:
        raise ValueError('missing MODEL: name at least one model, or --suite toyfaces')
    found = {name: _card_of(name) for name in options.models}
    cards, tallies = {name: card for name, (card, _) in found.items()}, {name: sums for name, (_, sums) in found.items()}
    comparison = cards_to_comparison(cards, tallies)
    files = _write_comparison(options.out, cards, tallies, comparison) if options.out is not None else []
    if options.json:
        print(json.dumps(comparison.model_dump(mode='json'), indent=2))
        return 0
    for title, (header, rows) in (('measure', comparison.cells()), (f'less {options.models[0]}', comparison.difference_cells())):
        if rows:
            names, *columns = zip(header, *rows, strict=True)    # models across: measures are many, models few
            table = Table(title, *names[1:], box=None, pad_edge=False)
            for column in columns:
                table.add_row(*column)
            console().print(table, '', markup=False)
    if comparison.differences:
        print('[…]: 95 % interval; of a difference on the same pictures, drawn in pairs; * where it leaves out 0')
    if files:
        print('written:', *files)
    return 0


def _is_card(name: str) -> bool:
    """Whether it is the folder of an `evaluate --out`: a card without its model."""
    from retouch.model import CONFIG, SHIPPED

    folder = Path(name)
    if name in SHIPPED or not (folder / 'card.json').is_file():
        return False
    return not any((place / CONFIG).is_file() for place in (folder, folder / 'model'))


def _card_of(name: str) -> tuple[Card, dict[str, Tally]]:
    """A card, or that beside a model, with its tallies if there are any; a model that has none is evaluated with the defaults."""
    from retouch.cli import EvaluateOptions
    from retouch.metrics.card import Card
    from retouch.metrics.ledger import Ledger
    from retouch.metrics.tallies import read_tallies
    from retouch.model import CONFIG, find_model_dir

    if _is_card(name):
        return Card.read(Path(name) / 'card.json'), read_tallies(Path(name))
    folder = find_model_dir(name)
    for place in (folder, folder.parent) if folder.name == 'model' else (folder,):
        if (place / 'card.json').is_file():
            card = Card.read(place / 'card.json')
            if card.checkpoint.sha256 != json.loads((folder / CONFIG).read_bytes()).get('sha256'):
                raise ValueError(f'{place / "card.json"} is the card of other weights than {folder}: run `retouch evaluate {name}` again')
            return card, read_tallies(place)
    print(f'{name} has no card.json: evaluating it', file=sys.stderr)
    ledger = Ledger()
    return score(EvaluateOptions(name), ledger=ledger)[0], ledger.tallies


def _write_comparison(out: Path, cards: dict[str, Card], tallies: dict[str, dict[str, Tally]], comparison: Comparison) -> list[Path]:
    """report.html, with the same edits of all models, and comparison.json."""
    from retouch.comparison_report import write_comparison
    from retouch.model import write_atomically

    galleries, note = _galleries(cards)
    if note:
        print(f'note: {note}', file=sys.stderr)
    files = [out / 'comparison.json', out / 'report.html']
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(files[0], (comparison.model_dump_json(indent=2) + '\n').encode())
    logs = {name: _log_of(name) for name in cards if not _is_card(name)}
    write_comparison(files[1], cards, comparison, galleries, logs, note, tallies)
    return files


def _galleries(cards: dict[str, Card]) -> tuple[dict[str, list[GalleryRow]], str]:
    """The same edits of all models, and ''; or none, and why not."""
    from retouch.editor import find_device
    from retouch.model import load_model

    alone = next((name for name in cards if _is_card(name)), None)
    if alone is not None:
        return {}, f'{alone} is a card without its model: no edits are shown'
    device, pictures = find_device('auto'), None
    galleries: dict[str, list[GalleryRow]] = {}
    with progress_bar() as progress:
        for i, (name, card) in enumerate(cards.items()):
            model = load_model(name, device)
            try:
                pictures = pictures or _pictures_of(model, card, progress)
            except (ValueError, OSError) as error:
                return {}, f'The pictures that were scored cannot be shown: {one_line(error)}'
            galleries[name] = gallery_of(model, card.protocol, card.n, card.seed, pictures)
            progress(i + 1, len(cards), 'editing pictures')
    return galleries, ''


def _pictures_of(model: Model, card: Card, progress: Callable[[int, int, str], None]) -> tuple[np.ndarray, np.ndarray] | None:
    """The pictures of a card with their labels or partners; None of those that are drawn face by face. ValueError where they changed."""
    from retouch.data.night import NIGHT, night_hash
    from retouch.data.toyfaces import drawing_hash
    from retouch.metrics.exemplars import folder_pairs, transfers_of
    from retouch.metrics.provenance import pairs_to_hash, pictures_to_hash

    protocol, source, n, pictures = card.protocol, card.data.source, card.n, None
    trained = model.info.get('data', {})
    if protocol in ('folder', 'exemplars_folder'):
        pictures = held_out(model, source, trained, n, card.seed, progress)
        if protocol == 'folder':
            digest = pictures_to_hash(*pictures)
        else:
            pairs = folder_pairs(model.data.attributes, *pictures, seed=card.seed)
            digest = pairs_to_hash(pairs.inputs, pairs.exemplars)
    elif protocol == 'domains_folder':                           # n may have been more than there are of one domain
        pictures = held_out_of_domains(model, source, 2 * max((card.data.count or {'': n}).values()), progress)
        digest = pictures_to_hash(*pictures)
    elif protocol == 'pairs':
        is_parsed = source == 'toyfaces' and trained.get('edit') is None         # their drawing code is hashed, and no more are shown
        pictures = held_out_partners(model, source, 4 if is_parsed else n, card.seed, progress)
        digest = drawing_hash() if is_parsed else pairs_to_hash(*pictures)
    elif protocol == 'exemplars':
        drawn = transfers_of(model, n, card.seed, progress)
        digest = pairs_to_hash(drawn.inputs, drawn.exemplars)
    else:
        digest = night_hash() if protocol == 'domains' and trained.get('attribute') == NIGHT else drawing_hash()
    if digest != card.data.hash and protocol not in ('classifier', 'parser'):
        raise ValueError(f'{source} is {digest} now, {card.data.hash} in the card; evaluate again')
    return pictures


def _compare_suite(options: CompareOptions, name: str) -> int:
    """`retouch compare --suite`."""
    from rich.table import Column, Table

    from retouch import suite
    from retouch.cli import EvaluateOptions

    if options.models:
        raise ValueError(f'{" ".join(options.models)} with --suite: a suite has its own rows; leave out one of the two')
    n = 500 if options.n is None else options.n
    for flag, value, fewest in (('n', n, 2), ('threads', options.threads or 1, 1)):
        if value < fewest:
            raise ValueError(f'--{flag} {value}: expected at least {fewest}')
    rows, folder = suite.choose(name, options.only, options.seeds), options.out or suite.runs_folder() / 'leaderboard'
    if not options.print:
        def card_of(run: Path) -> Card:
            return score(EvaluateOptions(str(run), protocol=suite.PROTOCOL, n=n))[0]
        try:
            suite.run_suite(rows, folder, card_of, n, options.threads, options.parser)
        except KeyboardInterrupt:
            given = {'--only': options.only, '--seeds': options.seeds, **{f'--{flag}': () if value is None else (value,) for flag, value in
                     (('out', options.out), ('n', options.n), ('threads', options.threads), ('parser', options.parser))}}
            words = [str(word) for flag, values in given.items() if values for word in (flag, *values)]
            print(f'interrupted, nothing is lost: {folder}\n  {shlex.join(["retouch", "compare", "--suite", name, *words])}')
            return 130
    table = suite.records_to_table(suite.SUITES[name], suite.COLUMNS, folder)
    if options.json:
        print(json.dumps({'suite': name, 'rows': [dataclasses.asdict(row) for row in table.rows]}, indent=2))
        return 0
    header, *lines = table.cells()
    shown = Table(Column(header[0], no_wrap=True), *header[1:], box=None, pad_edge=False)
    for first, *others in lines:
        shown.add_row(first.strip('`'), *others)
    console().print(shown, suite.notes(table), sep='\n', markup=False)
    return 0


# ---- study

def _write_study(options: EvaluateOptions, other: str) -> int:
    """`retouch evaluate MODEL --study OTHER`."""
    for flag in ('judge', 'parser', 'protocol', 'proxy', 'size', 'features', 'weights', 'download', 'figures', 'json'):
        if getattr(options, flag):
            raise ValueError(f'--{flag} does not apply to --study: raters judge, and nothing is scored')
    if options.out is None:
        raise ValueError('--study needs a folder for its page: add --out DIR')
    from retouch.data.toyfaces import ATTRIBUTES
    from retouch.editor import find_device
    from retouch.metrics.tasks import domain_folder_tasks, domain_tasks, folder_tasks, toyfaces_tasks
    from retouch.model import load_model
    from retouch.study import KEY, PAGE, choose_trials, write_study

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
    protocol = fitting_protocol(model.method.id, model.method.kind, source)
    method = against.method if getattr(against.method, 'takes_exemplar', False) else model.method    # a system that takes none ignores it
    with progress_bar() as progress:
        if protocol == 'toyfaces':
            inputs, tasks = toyfaces_tasks(method, ATTRIBUTES, n, options.seed, None, options.edits, progress)
        elif protocol == 'domains':
            inputs, tasks = domain_tasks(method, ATTRIBUTES, n, options.seed, attribute=trained.get('attribute'), progress=progress)
        elif protocol == 'folder':
            inputs, tasks = folder_tasks(method, *held_out(model, source, trained, n, options.seed, progress), None)
        else:
            inputs, tasks = domain_folder_tasks(method, *held_out_of_domains(model, source, n, progress), None)
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
    from rich.table import Table

    from retouch.study import Study, answers_to_shares, read_answers

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
