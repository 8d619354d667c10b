"""report.html of `retouch compare`: several systems side by side, on the same pictures and under one protocol."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np

from retouch.evaluation.card import Card
from retouch.evaluation.comparison import Comparison
from retouch.metrics.bootstrap import Tally, tallies_to_difference
from retouch.metrics.measure import Measure, about
from retouch.report import page
from retouch.report.gallery import GalleryRow
from retouch.report.page import breakable, escape

GIVEN = ('input', 'truth', 'exemplar')          # shown once, where it is the same for every system
MADE = (('edit',), ('exemplar',), ('mask', 'Grad-CAM'), ('exemplar mask',), ('difference', 'error'))     # a line of pictures each
LEAST_PX, MOST_PX = 104, 200                    # side of a picture on a wide screen
SAID = {'mask': 'Mask: white may change.', 'Grad-CAM': 'Grad-CAM: where the discriminator looked for the attribute; it confines nothing.',
        'exemplar': 'Systems that take no exemplar ignore it.', 'difference': 'Difference: edit against input, black where equal.',
        'error': 'Error: edit against the truth, black where equal.'}


def write_comparison(out: Path, cards: Mapping[str, Card], comparison: Comparison,
                     galleries: Mapping[str, Sequence[GalleryRow]] | None = None, logs: Mapping[str, Path] | None = None,
                     note: str = '', tallies: Mapping[str, Mapping[str, Tally]] | None = None) -> None:
    """Writes the page.

    Args:
        out: the HTML file.
        cards: model -> card, at least one.
        comparison: of these cards.
        galleries: model -> edits, of every model; those of one title are shown together, others left out. None or empty: none are shown.
        logs: model -> log.jsonl of its training; a missing file has no curves.
        note: why there are no edits, said in their place.
        tallies: model -> measure -> the sums behind it, of models where they are known.

    Raises:
        OSError: not writable.
    """
    labels = dict(zip(cards, short_names(list(cards)), strict=True))
    models = {label: comparison.rows[name] for name, label in labels.items()}
    if any(comparison.rows[name] != card.measures for name, card in cards.items()):
        tallies = None                                           # of one direction of several: they are of all
    references = {name: row for name, row in comparison.rows.items() if name not in cards}
    sums, seed = {label: (tallies or {}).get(name, {}) for name, label in labels.items()}, next(iter(cards.values())).seed
    best = {measure: label for measure in comparison.measures if (label := best_of(measure, models, sums, seed))}
    found = [{row.title: row for row in galleries[name]} for name in cards] if galleries else [{}]
    rows = [[edits[title] for edits in found] for title in found[0] if all(title in edits for edits in found)]
    facts = {label: page.card_to_facts(cards[name]) for name, label in labels.items()}
    shared = {k: v for k, v in next(iter(facts.values())).items() if all(other.get(k) == v for other in facts.values())}
    parts = [
        '<h1>Comparison</h1>', page.legend(list(models)),
        _paper_table(comparison, labels),
        '<h2>Measures</h2><p>Value and 95 % bootstrap interval. <i>copy</i> returns its input, <i>truth</i> the true result: read every '
        'score beside these two; a model that does nothing scores as copy. <mark>Marked</mark>: the best of the models, where the '
        'interval of its difference to each other one, on the same pictures, leaves out 0; of a model without tallies, where the two '
        'intervals do not overlap. A dash is undefined or not measured.</p>',
        page.table({**models, **references}, best, tuple(references)),
        _differences({labels[name]: found for name, found in comparison.differences.items()}, next(iter(models))),
        _gallery(rows, list(models)) or (f'<h2>Edits</h2><p>{escape(note)}</p>' if note else ''),
        page.bars(models), page.matrices({label: cards[name].leakage_matrix for name, label in labels.items()}),
        page.curves({label: (logs or {}).get(name) for name, label in labels.items()}),
        '<h2>How this was measured</h2>', page.fact_list(shared),
        *(_own_facts(i, label, {'Model': name, **{k: v for k, v in facts[label].items() if k not in shared}})
          for i, (name, label) in enumerate(labels.items())),
        page.responsible_use(),
    ]
    page.write_page(Path(out), f'Comparison of {", ".join(models)}', parts)


def _differences(columns: Mapping[str, Mapping[str, Measure]], first: str) -> str:
    if not columns:
        return ''
    return (f"<h2>Less {breakable(first)}</h2><p>Each model's value less that of {breakable(first)}, and the 95 % interval of the "
            'difference on the same pictures, drawn in pairs; * where it leaves out 0.</p>' + page.table(columns, signed=True))


def _paper_table(comparison: Comparison, labels: Mapping[str, str]) -> str:
    """The numbers of a paper under its names, models down."""
    header, rows = comparison.paper_cells()
    if not rows:
        return ''
    head = ''.join(f'<th scope="col">{escape(name)}</th>' for name in header[1:])
    body = ''.join(f'<tr><th scope="row">{breakable(labels[name])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
                   for name, *cells in rows)
    table = f'<table class="card"><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<h2>As in the paper</h2><div class="wide">{table}</div>'


def _own_facts(i: int, label: str, facts: Mapping[str, str]) -> str:
    return f'<h3>{page.swatch(i)}{breakable(label)}</h3>{page.fact_list(facts)}'


def short_names(names: Sequence[str]) -> list[str]:
    """The last parts of paths, as many as tell them apart, also from reference rows: runs/a/model and runs/b/model are a/model, b/model."""
    parts = [Path(name).parts or (name,) for name in names]
    for count in range(1, max(map(len, parts))):
        short = ['/'.join(some[-count:]) for some in parts]
        if len(set(short)) == len(names) and not {'model', 'copy', 'truth'} & set(short):
            return short
    return list(names)


def best_of(name: str, columns: Mapping[str, Mapping[str, Measure]], tallies: Mapping[str, Mapping[str, Tally]] | None = None,
            seed: int = 0) -> str | None:
    """The column that is better than all others by more than chance.

    Where the sums of both are known, the interval of their paired difference leaves out 0; else their own intervals do not overlap.

    Args:
        name: a measure.
        columns: heading -> measures by name; those that lack it are left out.
        tallies: heading -> measure -> the sums behind it, where they are known.
        seed: of the resampling.

    Returns:
        the heading; None where no direction is better, fewer than two columns have the measure or one of them has no interval.
    """
    better, bounds = about(name).better, dict[str, tuple[float, float, float]]()
    for heading, measures in columns.items():
        measure = measures.get(name)
        if page.infinite(name, measure):
            bounds[heading] = math.inf, math.inf, math.inf
        elif measure is not None and measure.value is not None:
            if measure.low is None and measure.high is None:
                return None
            bounds[heading] = (-math.inf if measure.low is None else measure.low, measure.value,
                               math.inf if measure.high is None else measure.high)
    if better == 'neither' or len(bounds) < 2:
        return None
    if better == 'lower':
        bounds = {heading: (-high, -value, -low) for heading, (low, value, high) in bounds.items()}
    first = max(bounds, key=lambda heading: bounds[heading][1])

    def is_beaten(other: str) -> bool:
        sums, best_sums = ((tallies or {}).get(heading, {}).get(name) for heading in (other, first))
        if sums is not None and best_sums is not None:
            _, low, high = tallies_to_difference(sums, best_sums, seed)
            least, sign = (low, 1) if better == 'higher' else (high, -1)
            if least is not None:                                # an infinite difference has no bounds
                return sign * least > 0
        return bounds[other][2] < bounds[first][0]

    return first if all(is_beaten(heading) for heading in bounds if heading != first) else None


def _gallery(rows: Sequence[Sequence[GalleryRow]], labels: Sequence[str]) -> str:
    """One figure an edit: what was given in the first column, and what each system made of it in its own."""
    if not rows:
        return ''
    columns, side = len(labels) + 1, max(edit.panels['input'].shape[1] for edits in rows for edit in edits)
    least = columns * (min(max(side, LEAST_PX), MOST_PX) + 4) + 20
    figures = ''.join(f'<figure><figcaption>{escape(edits[0].title)}</figcaption><div class="wide"><div class="sides">'
                      f'{_cells(edits, labels)}</div></div></figure>' for edits in rows)
    shown = {name for edits in rows for edit in edits for name in edit.panels}
    text = ' '.join(['The same held-out pictures and edits for all.', *(line for name, line in SAID.items() if name in shown)])
    return f'<h2>Edits</h2><p>{text}</p><div class="gallery" style="--columns:{columns};--least:{least}px">{figures}</div>'


def _cells(edits: Sequence[GalleryRow], labels: Sequence[str]) -> str:
    """Line by line: a picture that was given, then one of every system; a line that only some systems have says so for the others."""
    title, given = edits[0].title, dict[str, np.ndarray]()
    for name in GIVEN:
        found = [edit.panels[name] for edit in edits if name in edit.panels]
        if found and all(np.array_equal(found[0], other) for other in found):
            given[name] = found[0]
    own = [{name: pixels for name, pixels in edit.panels.items() if name not in given} for edit in edits]
    lines = [names for names in MADE if any(name in panels for panels in own for name in names)]
    cells = ['<div class="given"></div>', *(f'<b class="{page.colour(i)}">{breakable(label)}</b>' for i, label in enumerate(labels))]
    for shown, names in zip_longest(given.items(), lines):
        cells.append(f'<div class="given">{page.panel(shown[1], shown[0], title) if shown else ""}</div>')
        for panels, label in zip(own, labels, strict=True):
            made = next((name for name in names or () if name in panels), None)
            if made is not None:
                cells.append(page.panel(panels[made], made, f'{label}, {title}'))
            else:
                cells.append(f'<div class="none">no {names[0]}</div>' if names else '<div></div>')
    return ''.join(cells)
