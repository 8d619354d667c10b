"""What each command does once its arguments are understood. Every function prints its result and returns the exit status.

Imports stand inside the functions: torch takes seconds, and `retouch --help` needs none of it.
"""
from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retouch.errors import one_line, unknown

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

    from retouch.cli import CheckOptions, CompareOptions, EditOptions, EvaluateOptions, ListOptions, StudyOptions, TrainOptions
    from retouch.data.sets import ParsingSet
    from retouch.editor import Editor
    from retouch.metrics.bootstrap import Tally
    from retouch.metrics.card import Card, Comparison
    from retouch.metrics.judge import Judge
    from retouch.metrics.ledger import Ledger
    from retouch.model import Model
    from retouch.report import GalleryRow
    from retouch.run import Run


# ---- train

def train(options: TrainOptions, changes: dict[str, str]) -> int:
    from retouch.run import load_run, override

    given = {'data.source': options.data, 'seed': options.seed}
    run = override(load_run(options.recipe), {**changes, **{k: str(v) for k, v in given.items() if v is not None}})
    out = options.out
    if out is None and options.resume:                           # `train RUN --resume auto` continues that very run
        recipe = Path(options.recipe)
        folder = recipe if recipe.is_dir() else recipe.parent
        out = folder if (folder / 'run.json').is_file() and folder != Path() else None

    from retouch.train import dry_run, train

    first = os.environ.get('RANK', '0') == '0'                   # torchrun starts one process per device; one of them speaks
    if options.dry_run:
        measured = dry_run(run)
        if first:
            print('\n'.join(f'{k:<26}{v:,.1f}' for k, v in measured.items()))
        return 0
    folder, outcome = train(run, out, options.resume, options.stop_after)
    if first:
        print(f'{outcome}: {folder}')
        again = f'retouch train {folder / "run.json"} --out {folder} --resume auto'
        print('\n'.join(f'  {line}' for line in ([] if outcome == 'finished' else [again]) + _next_commands(run, folder)))
    return 130 if outcome == 'interrupted' else 0


def _next_commands(run: Run, folder: Path) -> list[str]:
    if run.data.kind == 'exemplars':
        return [f'retouch evaluate {folder}', f'retouch edit {folder} PICTURE.png --exemplar OTHER.png --out edits']
    lines = [f'retouch evaluate {folder}']
    if run.data.kind == 'attributes' and run.method_id != 'classifier':
        from retouch.data.toyfaces import ATTRIBUTES

        names = run.data.attributes or (ATTRIBUTES if run.data.source == 'toyfaces' else ('ATTRIBUTE',))
        lines.append(f'retouch edit {folder} PICTURE.png --set {names[0]}=1 --out edits')
    elif run.data.kind in ('domains', 'pairs'):
        to = 'A' if getattr(run.data, 'direction', 'a_to_b') == 'b_to_a' else 'B'
        lines.append(f'retouch edit {folder} PICTURE.png --to {to} --out edits')
    return lines


# ---- edit

def edit(options: EditOptions) -> int:
    if not options.images:
        raise ValueError('missing IMAGE: name at least one picture, before --set')
    edits, source = _pairs('--set', options.set), _pairs('--source', options.source)
    if edits and options.to:
        raise ValueError('--set and --to exclude each other: --set is for models of attributes, --to for models of domains')
    pictures = [Path(p) for p in options.images]
    given = [p for p in (options.exemplar, options.mask, options.exemplar_mask) if p is not None]
    for picture in (*pictures, *given):
        if not picture.is_file():
            raise ValueError(f'{picture} is {"a folder" if picture.is_dir() else "not there"}: expected a picture')
    if options.exemplar_mask and not options.exemplar:
        raise ValueError('--exemplar-mask is the mask of an exemplar: add --exemplar')

    from retouch.editor import Editor, output_paths

    inputs, written = {p.resolve() for p in (*pictures, *given)}, dict[str, Path]()
    for picture in pictures:
        for path in output_paths(options.out, picture.stem):
            if path.resolve() in inputs:
                raise ValueError(f'{path} is an input picture and is never overwritten: choose another --out folder')
            key = str(path).casefold()                           # many file systems do not tell A.png from a.png
            if key in written:
                raise ValueError(f'{written[key]} and {picture} would both be written to {path}: edit them into different --out folders')
            written[key] = picture
    editor = Editor.load(options.model, options.device)
    _check_exemplar(options, editor, '--set' if edits else '--source' if source else '--to' if options.to else None)
    if (edits or source) and editor.method.kind != 'attributes':
        raise ValueError(f'{"--set" if edits else "--source"} does not apply to {options.model}: {editor.method.id} has no attributes, it '
                         f'translates between {" and ".join(editor.data.domains)}; use --to {editor.data.domains[-1]}')
    for name in (*edits, *source):
        if name not in editor.data.attributes:
            raise unknown('attribute', name, editor.data.attributes)
    shared: dict[str, Any] = {'box': _box(options.box), 'mask': options.mask, 'strength': options.strength}
    for picture in pictures:
        if editor.method.kind == 'exemplars':
            edit = editor.edit(picture, exemplar=options.exemplar, exemplar_mask=options.exemplar_mask, **shared)
            did = f'in the style of {options.exemplar}'
        elif options.to is not None or (editor.method.kind != 'attributes' and not edits):
            edit = editor.translate(picture, options.to, exemplar=options.exemplar, **shared)
            did = f'to {edit.record["to"]}' + (f' in the style of {options.exemplar}' if options.exemplar else '')
        else:
            wanted: dict[str, Any] = dict(edits)
            edit = editor.edit(picture, source=source, **shared, **wanted)
            present = [name for name, p in edit.source.items() if p > 0.5] or ['nothing']
            asked = ' '.join(f'{name}={value} (was {edit.source[name]:.2f})' for name, value in edits.items())
            did = f'read {" ".join(present)}; set {asked}'
        paths = edit.save(options.out, picture.stem, note=not options.no_note)
        print(f'{picture}: {did}; untouched {edit.untouched:.1%}; {" ".join(map(str, paths))}', flush=True)
        for note in edit.notes:
            print(f'  note: {note}', file=sys.stderr)
    return 0


def _check_exemplar(options: EditOptions, editor: Editor, flag: str | None) -> None:
    """ValueError where a model gets an exemplar that it does not take, or lacks the one it takes; `flag` asks for another kind of edit."""
    method, what = editor.method, f'does not apply to {options.model}'
    if options.exemplar and not getattr(method, 'takes_exemplar', False):
        instead = f'--set {method.data.attributes[0]}=1' if method.kind == 'attributes' else f'--to {method.data.domains[-1]}'
        raise ValueError(f'--exemplar {what}: {method.id} takes none; use {instead}')
    if options.exemplar_mask and method.kind != 'exemplars':
        raise ValueError(f'--exemplar-mask {what}: {method.id} has no masks and reads the whole exemplar')
    if method.kind == 'exemplars' and flag:
        raise ValueError(f'{flag} {what}: {method.id} takes the look of an exemplar; use --exemplar')
    if method.kind == 'exemplars' and not options.exemplar:
        raise ValueError(f'{options.model} takes the look of an exemplar ({method.id}): add --exemplar IMAGE')


def _box(text: str | None) -> tuple[int, int, int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r'(\d+),(\d+),(\d+),(\d+)', text.replace(' ', ''))
    if not match:
        raise ValueError(f'--box {text}: expected X,Y,WIDTH,HEIGHT in pixels, e.g. 10,20,128,128')
    x, y, w, h = map(int, match.groups())
    return x, y, w, h


def _pairs(flag: str, tokens: Sequence[str]) -> dict[str, int]:
    """('A=1', 'B=0') -> {'A': 1, 'B': 0}."""
    pairs: dict[str, int] = {}
    for token in tokens:
        name, equals, value = token.partition('=')
        if not equals or not name:
            raise ValueError(f'{flag} {token}: expected NAME=0 or NAME=1 (pictures come before {flag})')
        if value not in ('0', '1'):
            raise ValueError(f'{flag} {token}: expected {name}=0 or {name}=1')
        if pairs.setdefault(name, int(value)) != int(value):
            raise ValueError(f'{flag} sets {name} to both 0 and 1: keep one of them')
    return pairs


# ---- evaluate, compare

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
        _console().print(theirs, 'differs from the paper:', *(f'  {line}' for line in card.differs), '', sep='\n', markup=False)
    table = Table('measure', *columns, 'meaning', box=None, pad_edge=False)
    for name, measure in card.measures.items():
        label = f'{name} ({measure.unit})' if measure.unit else name
        table.add_row(label, *(measure_to_text(row.get(name)) for row in columns.values()), about(name).text)
    _console().print(f'{options.model}: protocol {card.protocol}, n={card.n}, seed={card.seed}', table, sep='\n', markup=False)
    if files:
        print('written:', *files[:2], *([f'{len(files) - 2} figures in {out}/figures'] if files[2:] else []))
    else:
        print('not written: add --out DIR')
    return 0


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
            _console().print(table, '', markup=False)
    if comparison.differences:
        print('[…]: 95 % interval; of a difference on the same pictures, drawn in pairs; * where it leaves out 0')
    if files:
        print('written:', *files)
    return 0


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
    _console().print(shown, suite.notes(table), sep='\n', markup=False)
    return 0


def _write_comparison(out: Path, cards: dict[str, Card], tallies: dict[str, dict[str, Tally]], comparison: Comparison) -> list[Path]:
    """report.html, with the same edits of all models, and comparison.json."""
    from retouch.comparison_report import write_comparison
    from retouch.editor import find_device
    from retouch.model import load_model, write_atomically

    device, pictures, note = find_device('auto'), None, ''
    galleries: dict[str, list[GalleryRow]] = {}
    with _progress() as progress:
        for i, (name, card) in enumerate(cards.items()):
            model = load_model(name, device)
            try:
                pictures = pictures or _pictures_of(model, card, progress)
            except (ValueError, OSError) as error:
                note = f'The pictures that were scored cannot be shown: {one_line(error)}'
                print(f'note: {note}', file=sys.stderr)
                break
            galleries[name] = _gallery(model, card.protocol, card.n, card.seed, pictures)
            progress(i + 1, len(cards), 'editing pictures')
    files = [out / 'comparison.json', out / 'report.html']
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(files[0], (comparison.model_dump_json(indent=2) + '\n').encode())
    write_comparison(files[1], cards, comparison, {} if note else galleries, {name: _log_of(name) for name in cards}, note, tallies)
    return files


def _pictures_of(model: Model, card: Card, progress: Callable[[int, int, str], None]) -> tuple[np.ndarray, np.ndarray] | None:
    """The pictures of a card with their labels or partners; None of those that are drawn face by face. ValueError where they changed."""
    from retouch.data.night import NIGHT, night_hash
    from retouch.data.toyfaces import drawing_hash
    from retouch.metrics.exemplars import folder_pairs, transfers_of
    from retouch.metrics.provenance import pairs_to_hash, pictures_to_hash

    protocol, source, n, pictures = card.protocol, card.data.source, card.n, None
    trained = model.info.get('data', {})
    if protocol in ('folder', 'exemplars_folder'):
        pictures = _held_out(model, source, trained, n, card.seed, progress)
        if protocol == 'folder':
            digest = pictures_to_hash(*pictures)
        else:
            pairs = folder_pairs(model.data.attributes, *pictures, seed=card.seed)
            digest = pairs_to_hash(pairs.inputs, pairs.exemplars)
    elif protocol == 'domains_folder':                           # n may have been more than there are of one domain
        pictures = _held_out_domains(model, source, 2 * max((card.data.count or {'': n}).values()), progress)
        digest = pictures_to_hash(*pictures)
    elif protocol == 'pairs':
        is_parsed = source == 'toyfaces' and trained.get('edit') is None         # their drawing code is hashed, and no more are shown
        pictures = _held_out_pairs(model, source, 4 if is_parsed else n, card.seed, progress)
        digest = drawing_hash() if is_parsed else pairs_to_hash(*pictures)
    elif protocol == 'exemplars':
        drawn = transfers_of(model, n, card.seed, progress)
        digest = pairs_to_hash(drawn.inputs, drawn.exemplars)
    else:
        digest = night_hash() if protocol == 'domains' and trained.get('attribute') == NIGHT else drawing_hash()
    if digest != card.data.hash and protocol not in ('classifier', 'parser'):
        raise ValueError(f'{source} is {digest} now, {card.data.hash} in the card; evaluate again')
    return pictures


def _log_of(name: str) -> Path:
    """Where the log of a model's training would lie."""
    from retouch.model import find_model_dir

    folder = find_model_dir(name)
    return (folder.parent if folder.name == 'model' else folder) / 'log.jsonl'


def _check_out(out: Path | None) -> None:
    """ValueError where a folder for results is a file: better said before the work than after it."""
    if out is not None and out.exists() and not out.is_dir():
        raise ValueError(f'--out {out} is a file: expected a folder, which is made if it is missing')


def _card_of(name: str) -> tuple[Card, dict[str, Tally]]:
    """The card beside a model, with its tallies if there are any; a model that has none is evaluated with the defaults."""
    from retouch.cli import EvaluateOptions
    from retouch.metrics.card import Card
    from retouch.metrics.ledger import Ledger
    from retouch.metrics.tallies import read_tallies
    from retouch.model import CONFIG, find_model_dir

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


def score(options: EvaluateOptions, with_gallery: bool = False, ledger: Ledger | None = None) -> tuple[Card, list[GalleryRow]]:
    """The card of a model by the protocol that fits its data or that a paper has, and pictures for its report."""
    from retouch.editor import find_device
    from retouch.metrics import papers
    from retouch.model import load_model

    device = find_device(options.device)
    model = load_model(options.model, device)
    name = options.protocol or ''
    if name not in papers.PAPERS:
        if options.proxy:
            raise ValueError(f'--proxy needs the protocol of a paper: expected --protocol {" or ".join(papers.PAPERS)}')
        return _score_model(model, options, with_gallery, ledger)
    asked, family = _as_paper(model, name, options), papers.family_of(name, model.method)
    card, gallery = _score_model(model, asked, with_gallery, ledger, streets=name == 'asgit')
    card = papers.as_paper(card, name, 'pairs' if card.protocol == 'pairs' else family, options.proxy)
    return card.model_copy(update={'command': _command(dataclasses.replace(options, n=asked.n), name)}), gallery


def _as_paper(model: Model, name: str, options: EvaluateOptions) -> EvaluateOptions:
    """The options that give a paper's numbers of a model; ValueError where something is missing for them, before anything is read."""
    from retouch.metrics import papers
    from retouch.metrics.features import JUDGE, PUBLISHED, find_weights

    paper, method = papers.PAPERS[name], model.method
    family, source = papers.family_of(name, method), _source(model, options)
    drawn, needed = source == 'toyfaces', paper.features.get(family, ())
    protocol = papers.protocol_of(name, method, source)
    if protocol == 'pairs' or family == 'pairs':
        needed = ()
    if options.proxy and not needed:
        raise ValueError(f'--proxy does not apply to --protocol {name} of a {method.id}: its numbers need no published weights')
    if paper.parser and not options.parser and not (options.proxy and drawn):
        instead = '; on drawn faces --proxy takes the true region in its place' if drawn else ''
        raise ValueError(f'--protocol {name} needs --parser MODEL, which finds the parts of a face that its PSNR leaves out{instead}')
    if name == 'asgit' and family == 'pairs' and drawn and (edit := model.info.get('data', {}).get('edit')) is not None:
        raise ValueError(f'--protocol {name} reads parses: pairs of a face and its edit, {edit}, have none; expected --protocol pairs')
    if name == 'asgit' and family == 'pairs' and drawn and method.data.domains[-1] == 'B' and not options.judge:
        raise ValueError(f'--protocol {name} of pictures made from parses needs --judge MODEL, the parser that reads them; train one with '
                         f'`retouch train parser.toyfaces48 --data.size {method.data.size}`')
    added = (JUDGE,) if options.proxy else needed
    for extractor in (*added, *options.features):
        if extractor in PUBLISHED:                               # others are refused where they are opened
            find_weights(extractor, options.weights, options.download)
    n = options.n if options.n is not None or drawn else paper.n
    return dataclasses.replace(options, protocol=protocol, features=tuple(dict.fromkeys((*added, *options.features))), n=n, proxy=False)


def _source(model: Model, options: EvaluateOptions) -> str:
    return options.data or model.info.get('data', {}).get('source', 'toyfaces')


def _command(options: EvaluateOptions, protocol: str) -> str:
    """How to repeat an evaluation."""
    given = {'--data': options.data, '--protocol': protocol, '--judge': options.judge, '--parser': options.parser,
             '--n': str(500 if options.n is None else options.n), '--seed': str(options.seed), '--size': str(options.size or ''),
             '--weights': str(options.weights or '')}
    command = shlex.join(['retouch', 'evaluate', options.model])
    command += ''.join(f' {flag} {shlex.quote(value)}' for flag, value in given.items() if value)
    return command + (f' --features {shlex.join(options.features)}' if options.features else '') + (' --proxy' if options.proxy else '')


def _score_model(model: Model, options: EvaluateOptions, with_gallery: bool, ledger: Ledger | None,
                 streets: bool = False) -> tuple[Card, list[GalleryRow]]:
    """The card of a model by the protocol that fits its data. streets: of pairs of a folder, which are Cityscapes'."""
    from retouch.metrics import protocols
    from retouch.metrics.judge import model_to_judge, proved
    from retouch.metrics.papers import PAPERS
    from retouch.model import load_model

    n, device = 500 if options.n is None else options.n, model.device
    if n < 2:
        raise ValueError(f'--n {n}: expected at least 2 pictures')
    trained, source = model.info.get('data', {}), _source(model, options)
    protocol = _protocol(model.method.id, model.method.kind, source)
    takes_exemplar, reads = getattr(model.method, 'takes_exemplar', False), protocol in ('classifier', 'parser')
    if source == 'toyfaces' and ((options.protocol == 'exemplars' and takes_exemplar) or (options.protocol == 'eyeglasses' and not reads)):
        protocol = options.protocol                              # of other kinds of systems too, if asked for
    if options.protocol == 'pairs' and source != 'toyfaces' and model.method.kind == 'domains':
        protocol = 'pairs'                                       # likewise, of pictures that have partners
    if options.protocol is not None:
        names = [*protocols.PROTOCOLS, 'classifier', 'parser', *PAPERS]
        if options.protocol not in names:
            raise unknown('protocol', options.protocol, names)
        if options.protocol != protocol:
            raise ValueError(f'--protocol {options.protocol} does not fit a {model.method.id} on {source}: expected {protocol}')
    if options.size is not None and (protocol != 'classifier' or options.size < 8):
        raise ValueError(f'--size {options.size}: expected at least 8, and a classifier; other systems are scored at their own size')
    if protocol in ('classifier', 'parser'):
        for flag, value in {'--judge': options.judge, **_features(options)}.items():
            if value:
                truth = 'labels' if protocol == 'classifier' else 'masks'
                raise ValueError(f'{flag} does not apply to a {protocol}: its readings are scored against the {truth}')
    if options.parser and protocol not in ('toyfaces', 'folder'):
        raise ValueError(f'--parser does not apply to {protocol}: it reads parts of faces whose attributes are edited')
    if not options.features and (options.weights or options.download):
        raise ValueError(f'{"--weights" if options.weights else "--download"} needs --features: no other measure has published weights')
    shared: dict[str, Any] = {'seed': options.seed, 'device': device, 'command': _command(options, protocol), 'ledger': ledger}
    added: dict[str, Any] = {'features': options.features, 'weights': options.weights, 'download': options.download}
    if protocol == 'pairs':
        return _score_pairs(model, source, n, options, {**shared, **added}, with_gallery, streets)
    judge = None
    if options.judge:                                            # one of photographs rarely reaches 0.99: its accuracy stands in the card
        drawn = protocol in (*protocols.DRAWN, 'exemplars')
        judge = model_to_judge(load_model(options.judge, device), device)
        judge = proved(judge, options.judge, drawn=True) if drawn else proved(judge, options.judge, minimum=0, drawn=False)
    parser = load_model(options.parser, device) if options.parser else None
    if protocol in protocols.EXEMPLARS:
        own = source if protocol == 'exemplars_folder' else None
        return _score_exemplars(model, own, n, judge, options, {**shared, **added}, with_gallery)
    with _progress() as progress:
        if protocol in protocols.DRAWN:
            card = protocols.evaluate(model, protocol=protocol, n=n, judge=judge, progress=progress, parser=parser,
                                      untrained=_untrained(model), **added, **shared)
            return card, _gallery(model, protocol, n, options.seed) if with_gallery else []
        if protocol == 'parser':
            from retouch.metrics.parsing import parser_card

            parses = _held_out_parses(model, source, trained, n, options.seed, progress)
            return parser_card(model, parses, source=source, progress=progress, **shared), []
        if protocol == 'domains_folder':
            images, labels = _held_out_domains(model, source, n, progress)
        else:
            images, labels = _held_out(model, source, trained, n, options.seed, progress, options.size)
        if protocol == 'classifier':
            return protocols.classifier_card(model, images, labels, source=source, progress=progress, **shared), []
        card = protocols.evaluate(model, protocol=protocol, judge=judge, images=images, labels=labels, source=source,
                                  progress=progress, parser=parser, **added, **shared)
        return card, _gallery(model, protocol, n, options.seed, (images, labels)) if with_gallery else []


def _gallery(model: Model, protocol: str, n: int, seed: int, pictures: tuple[np.ndarray, np.ndarray] | None = None) -> list[GalleryRow]:
    """The first pictures of a protocol in every edit; `pictures` are what it scores where it draws none, with their labels or partners."""
    from retouch.figures import pairs_to_rows
    from retouch.metrics.exemplars import folder_pairs, transfers_of
    from retouch.metrics.pairs import pair_task
    from retouch.metrics.protocols import DRAWN
    from retouch.metrics.tasks import domain_folder_tasks, folder_tasks
    from retouch.report import eyeglasses_rows, gallery_rows, tasks_to_rows

    if protocol == 'eyeglasses':
        return eyeglasses_rows(model, n, seed)
    if protocol in DRAWN:
        return gallery_rows(model, seed=seed)
    if protocol == 'exemplars':
        return pairs_to_rows(model.method, transfers_of(model, n, seed))
    if pictures is None:
        return []
    if protocol == 'exemplars_folder':
        return pairs_to_rows(model.method, folder_pairs(model.data.attributes, *pictures, seed=seed))
    images, known = (some[:4] for some in pictures)
    if protocol == 'pairs':
        return tasks_to_rows(model.method, images, [pair_task(model.method, known)], what='pair')
    make = domain_folder_tasks if protocol == 'domains_folder' else folder_tasks
    return tasks_to_rows(model.method, *make(model.method, images, known, None), what='picture')


def _features(options: EvaluateOptions) -> dict[str, Any]:
    return {'--features': options.features, '--weights': options.weights, '--download': options.download}


def _score_pairs(model: Model, source: str, n: int, options: EvaluateOptions, shared: dict[str, Any],
                 with_gallery: bool, streets: bool) -> tuple[Card, list[GalleryRow]]:
    """The card of a model against true partners, and pictures for its report."""
    from retouch.metrics.pairs import CITYSCAPES, evaluate_pairs
    from retouch.model import load_model

    reader = load_model(options.judge, shared['device']) if options.judge else None
    with _progress() as progress:
        a, b = _held_out_pairs(model, source, n, options.seed, progress)
        card = evaluate_pairs(model, a, b, source=source, reader=reader, progress=progress, untrained=_untrained(model),
                              palette=CITYSCAPES if streets and source != 'toyfaces' else None, **shared)
    return card, _gallery(model, 'pairs', n, options.seed, (a, b)) if with_gallery else []


def _score_exemplars(model: Model, folder: str | None, n: int, judge: Judge | None, options: EvaluateOptions, shared: dict[str, Any],
                     with_gallery: bool) -> tuple[Card, list[GalleryRow]]:
    """The card of a system that takes an exemplar, and pictures for its report; with --figures also what masks and codes do."""
    from retouch.figures import codes_to_rows, pairs_to_rows, removals_to_rows
    from retouch.metrics.exemplars import Transfers, evaluate_exemplars, folder_pairs, transfers_of

    method = model.method
    with _progress() as progress:
        if folder is None:
            pairs = transfers_of(model, n, options.seed, progress)
        else:
            pairs = folder_pairs(model.data.attributes, *_held_out(model, folder, model.info.get('data', {}), n, options.seed, progress),
                                 seed=options.seed)
        card = evaluate_exemplars(model, pairs, judge=judge, source=folder or 'toyfaces', progress=progress,
                                  untrained=None if folder else _untrained(model), **shared)
    if not with_gallery:
        return card, []
    rows = pairs_to_rows(method, pairs)
    if options.figures and method.kind == 'exemplars':
        rows += removals_to_rows(method, pairs, options.seed) if isinstance(pairs, Transfers) else []
        try:
            rows += codes_to_rows(method, pairs, options.seed)
        except ModuleNotFoundError:
            print("note: no t-SNE of codes, which needs scikit-learn: pip install 'retouch[figures]'", file=sys.stderr)
    return card, rows


def _untrained(model: Model) -> Any:
    """The same method before its first step, for the row that shows what training gave."""
    import torch

    torch.manual_seed(model.info.get('seed', 0))
    untrained = type(model.method)(model.method.config, model.data)
    learned = {net for update in untrained.updates() for net in update.nets}
    for net in set(model.method.nets) - learned:                 # a frozen parser, which was there before
        untrained.nets[net].load_state_dict(model.method.nets[net].state_dict())
    return untrained


def _protocol(method: str, kind: str, source: str) -> str:
    """The protocol that scores a method on a source of data."""
    if method in ('classifier', 'parser'):
        return method
    if kind == 'pairs':
        return 'pairs'
    drawn, folder = {'attributes': ('toyfaces', 'folder'), 'domains': ('domains', 'domains_folder'),
                     'exemplars': ('exemplars', 'exemplars_folder')}[kind]
    return drawn if source == 'toyfaces' else folder


def _held_out(model: Model, source: str, trained: dict[str, Any], n: int, seed: int,
              progress: Callable[[int, int, str], None], size: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [N,S,S,3] that training never saw, with the model's labels [N,K]."""
    names, size = model.data.attributes, size or model.data.size
    if source == 'toyfaces':
        from retouch.data.toyfaces import ATTRIBUTES
        from retouch.metrics.truth import held_out_faces

        images, labels = held_out_faces(n, size, seed, lambda done, total: progress(done, total, 'drawing faces'))
        return images, labels[:, [ATTRIBUTES.index(name) for name in names]]
    from retouch.data.sets import AttributeData, ExemplarData, open_attributes

    known = {k: v for k, v in trained.items() if k in ('crop', 'holdout', 'any_of')}
    data = ExemplarData if model.method.kind == 'exemplars' else AttributeData
    config = data(source=source, attributes=names, size=size, **known)
    opened = open_attributes(config, 'test', lambda done, total: progress(done, total, 'reading pictures'))
    if not len(opened.images):
        raise ValueError(f'{source} has no held-out pictures: expected at least 2; use a larger set')
    return opened.images[:n], opened.labels[:n]


def _held_out_parses(model: Model, source: str, trained: dict[str, Any], n: int, seed: int,
                     progress: Callable[[int, int, str], None]) -> ParsingSet:
    """At most n pictures that training never saw, with their true parses."""
    from retouch.data.sets import ParsingData, open_parsing

    known = {'holdout': n, 'seed': seed} if source == 'toyfaces' else {k: trained[k] for k in ('ids', 'classes', 'holdout') if k in trained}
    config = ParsingData(source=source, size=model.data.size, **known)
    opened = open_parsing(config, 'test', lambda done, total: progress(done, total, 'reading pictures'))
    return dataclasses.replace(opened, images=opened.images[:n], segmentations=opened.segmentations[:n])


def _held_out_domains(model: Model, source: str, n: int, progress: Callable[[int, int, str], None]) -> tuple[np.ndarray, np.ndarray]:
    """Test pictures of two domains uint8 [N,S,S,3], A and B in turn as far as both reach, and [N,2]: is of A, is of B."""
    import numpy as np

    from retouch.data.sets import DomainData, open_domains

    config = DomainData(source=source, size=model.data.size, load_size=None)
    opened = open_domains(config, 'test', lambda done, total: progress(done, total, 'reading pictures'))
    half = n // 2
    both = sorted([(i, 0) for i in range(min(half, len(opened.a)))] + [(i, 1) for i in range(min(half, len(opened.b)))])
    images = np.stack([(opened.a, opened.b)[of][i] for i, of in both])
    return images, np.eye(2, dtype=np.float32)[[of for _, of in both]]


def _held_out_pairs(model: Model, source: str, n: int, seed: int,
                    progress: Callable[[int, int, str], None]) -> tuple[np.ndarray, np.ndarray]:
    """Test pairs uint8 [N,S,S,3] each: what is given, and the model's domain that is wanted."""
    from retouch.data.sets import PairData, open_pairs
    from retouch.metrics.pairs import held_out_pairs

    size, wanted = model.data.size, model.data.domains[-1]
    edit = model.info.get('data', {}).get('edit') if source == 'toyfaces' else None
    if source == 'toyfaces' and edit is None:
        return held_out_pairs(n, size, seed, wanted)
    direction: Any = 'b_to_a' if wanted == 'A' else 'a_to_b'
    config = PairData(source=source, edit=edit, direction=direction, size=size, load_size=None, seed=seed)
    opened = open_pairs(config, 'test', lambda done, total: progress(done, total, 'reading pictures'))
    return opened.a[:n], opened.b[:n]


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


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int, str], None]]:
    """(done, total, what) -> a bar on stderr with an ETA; silent where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn('ETA'),
               TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        tasks: dict[str, Any] = {}

        def show(done: int, total: int, what: str) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        yield show


def _console() -> Console:
    """Of the terminal's width; wide where the output goes to a file."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 220, highlight=False)


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
    protocol = _protocol(model.method.id, model.method.kind, source)
    method = against.method if getattr(against.method, 'takes_exemplar', False) else model.method    # a system that takes none ignores it
    with _progress() as progress:
        if protocol == 'toyfaces':
            inputs, tasks = toyfaces_tasks(method, ATTRIBUTES, n, options.seed, None, options.edits, progress)
        elif protocol == 'domains':
            inputs, tasks = domain_tasks(method, ATTRIBUTES, n, options.seed, attribute=trained.get('attribute'), progress=progress)
        elif protocol == 'folder':
            inputs, tasks = folder_tasks(method, *_held_out(model, source, trained, n, options.seed, progress), None)
        else:
            inputs, tasks = domain_folder_tasks(method, *_held_out_domains(model, source, n, progress), None)
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
    _console().print(f'raters: {len(answers)}, votes: {len(votes)}; share of votes [95 % interval]', table, sep='\n', markup=False)
    print(f'the left side was chosen in {left:.3f} of all votes, whichever system stood there')
    return 0


# ---- data check

def check(options: CheckOptions) -> int:
    from retouch.data.check import check_folder, contact_sheet, render

    with _progress() as progress:
        report = check_folder(options.folder, progress=lambda done, total: progress(done, total, 'reading pictures'))
    if options.sheet:
        contact_sheet(options.folder, options.sheet)
    print(report.model_dump_json(indent=2) if options.json else render(report))
    return 0 if report.ok else 1                                 # so that `retouch data check DIR && retouch train …` stops here


# ---- list

def show(options: ListOptions) -> int:
    from retouch.methods import METHODS
    from retouch.recipes import RECIPES

    listing: dict[str, Any] = {
        'methods': {name: {'kind': cls.kind, 'summary': _first_line(cls), 'paper': _paper(cls)} for name, cls in METHODS.items()},
        'recipes': {name: {'method': make().method_id, 'parameters': _parameters(make()), 'summary': _first_line(make)}
                    for name, make in RECIPES.items()},
        'data': _layouts(),
    }
    if options.json:
        print(json.dumps(listing, indent=2))
        return 0
    from rich.table import Table

    for title, columns in (('methods', ('kind', 'summary')), ('recipes', ('parameters', 'summary'))):
        table = Table(title, *columns, box=None, pad_edge=False)
        for name, row in listing[title].items():
            counts = ' '.join(f'{net} {count / 1e6:.2f}M' for net, count in (row.get('parameters') or {}).items())
            table.add_row(name, *(counts or 'set by the data' if c == 'parameters' else row[c] for c in columns))
        _console().print(table, '')
    print('data layouts:', ', '.join(listing['data']))
    return 0


def _first_line(thing: Any) -> str:
    return (thing.__doc__ or '').strip().partition('\n')[0]


def _paper(method: Any) -> str:
    """The `Paper:` entry of a method file's header, on one line."""
    header = sys.modules[method.__module__].__doc__ or ''
    found = re.search(r'^Paper:\s*(.*?)(?=^\S|^\s*$)', header, re.MULTILINE | re.DOTALL)
    return ' '.join(found.group(1).split()) if found else ''


def _parameters(run: Run) -> dict[str, int] | None:
    """Parameters per network, counted without allocating them; None where the data decide how many classes there are."""
    import torch

    from retouch.data.batches import DataSpec
    from retouch.data.toyfaces import ATTRIBUTES
    from retouch.methods import find_method

    if run.data.kind in ('attributes', 'exemplars'):
        names = run.data.attributes or (ATTRIBUTES if run.data.source == 'toyfaces' else ())
        if not names:
            return None
        spec = DataSpec(size=run.data.size, attributes=tuple(names))
    elif run.data.kind == 'parsing':
        spec = DataSpec(size=run.data.size, attributes=run.data.names)
    else:
        spec = DataSpec(size=run.data.size, domains=('A', 'B'))
    with torch.device('meta'):
        nets = find_method(run.method_id)(run.method, spec).nets
    return {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}


def _layouts() -> list[str]:
    from retouch.data import sources

    return ['toyfaces', *sources.LAYOUTS]
