"""`retouch evaluate`."""
from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich.table import Table

from retouch.cli.options import EvaluateOptions
from retouch.cli.studying import write_study_of
from retouch.evaluation.asked import asked_in
from retouch.evaluation.card import Card
from retouch.evaluation.evaluate import Request, Scored
from retouch.evaluation.evaluate import evaluate as score
from retouch.evaluation.held_out import WHOLE
from retouch.evaluation.ledger import Ledger
from retouch.evaluation.papers import column_to_text
from retouch.evaluation.transfers import Pairs
from retouch.files import check_out
from retouch.metrics.measure import about, measure_to_text, notes_of
from retouch.model import CONFIG, Model, find_model_dir, load_model
from retouch.report.figures import codes_to_rows, removals_to_rows
from retouch.report.gallery import GalleryRow, gallery_of, kept_to_rows
from retouch.report.run import write_report
from retouch.terminal import console, progress_bar


def evaluate(options: EvaluateOptions) -> int:
    """`retouch evaluate`."""
    if options.study:
        return write_study_of(options, options.study)
    run = Path(options.model)
    out = options.out or (run if (run / 'model' / CONFIG).is_file() else None)
    if options.figures and out is None:
        raise ValueError(f'--figures needs a folder: {options.model} is no run directory, add --out DIR')
    check_out(out)
    request = Request(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Request)})
    ledger = Ledger(out)
    try:
        with progress_bar() as progress:
            scored = score(request, ledger, progress)
    except KeyboardInterrupt:
        if ledger.kept is not None:
            print(f'stopped: what was computed is kept in {ledger.kept}; the same command continues', file=sys.stderr)
        raise
    if ledger.found:
        print(f'note: {ledger.found} pieces of an evaluation that was stopped were not computed again', file=sys.stderr)
    card, files = scored.card, list[Path]()
    if card.data.split == WHOLE:
        print(f'note: n={card.n}: the test part of {card.data.source} or, if it has none, all of it; neither model nor judge was '
              'trained on it', file=sys.stderr)
    if out is not None:
        gallery = _gallery(scored, options.figures, options.parser)
        files = [out / 'card.json', out / 'report.html']
        ledger.close(card)
        write_report(files[1], card, gallery, log_of(options.model), title=run.resolve().name if run.is_dir() else options.model)
        files += _figures(gallery, out / 'figures') if options.figures else []
    if options.json:
        print(json.dumps(card.model_dump(mode='json'), indent=2))
        return 0
    columns = {'model': card.measures, **card.references}
    if card.paper:
        theirs = Table(card.paper, *columns, 'measure', 'note', box=None, pad_edge=False)
        for column in card.paper_columns:
            theirs.add_row(column.name, *(column_to_text(column, row) for row in columns.values()), column.measure or 'not measured',
                           column.note)
        console().print(theirs, 'differs from the paper:', *(f'  {line}' for line in card.differs), '', sep='\n', markup=False)
    print_card(card, options.model)
    if files:
        print('written:', *files[:2], *([f'{len(files) - 2} figures in {out}/figures'] if files[2:] else []))
    else:
        print('not written: add --out DIR')
    return 0


def print_card(card: Card, name: str) -> None:
    """The table of a card."""
    columns = {'model': card.measures, **card.references}
    table = Table('measure', *columns, 'meaning', box=None, pad_edge=False)
    for measured, measure in card.measures.items():
        label = f'{measured} ({measure.unit})' if measure.unit else measured
        table.add_row(label, *(measure_to_text(row.get(measured)) for row in columns.values()), about(measured).text)
    console().print(f'{name}: protocol {card.protocol}, n={card.n}, seed={card.seed}', table, sep='\n', markup=False)
    for line in notes_of(card.measures):
        console().print(f'note: {line}', markup=False)


def _gallery(scored: Scored, figures: bool, parser: str | None = None) -> list[GalleryRow]:
    """What a report shows; with --figures also what the masks and codes of a system do that takes an exemplar."""
    card, method, pairs = scored.card, scored.model.method, scored.pictures
    def show(model: Model) -> list[GalleryRow]:
        return gallery_of(model, card.protocol, card.n, card.seed, pairs, *asked_in(card))

    rows = show(scored.model)
    kept = sorted((scored.model.path.parent / 'kept').glob('*/')) if figures else []
    rows += kept_to_rows(kept, show)
    if figures and method.kind == 'exemplars' and isinstance(pairs, Pairs):
        rows += removals_to_rows(method, pairs, card.seed, parser=load_model(parser, scored.model.device) if parser else None)
        try:
            rows += codes_to_rows(method, pairs, card.seed)
        except ModuleNotFoundError:
            print("note: no t-SNE of codes, which needs scikit-learn: pip install 'retouch[figures]'", file=sys.stderr)
    return rows


def _figures(gallery: Sequence[GalleryRow], folder: Path) -> list[Path]:
    """Every row of the gallery as one PNG, its panels side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for row in gallery:
        panels = [p if p.ndim == 3 else np.repeat(p[..., None], 3, 2) for p in row.panels.values()]
        name = re.sub(r'[^\w=]+', '-', row.title)
        paths.append(folder / f'{name}.png')
        Image.fromarray(np.hstack(panels)).save(paths[-1])
    return paths


def log_of(name: str) -> Path:
    """Where the log of a model's training would lie."""
    folder = find_model_dir(name)
    return (folder.parent if folder.name == 'model' else folder) / 'log.jsonl'
