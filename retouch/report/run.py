"""report.html: what a run did and how well, in one file that opens offline."""
from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from retouch.evaluation.card import Card
from retouch.evaluation.papers import column_to_text
from retouch.metrics.measure import number
from retouch.report import page
from retouch.report.gallery import GalleryRow
from retouch.report.page import escape


def write_report(out: Path, card: Card, gallery: Sequence[GalleryRow] = (), log: Path | None = None, title: str = 'Retouch') -> None:
    """Writes the report.

    Args:
        out: the HTML file.
        card: the metric card.
        gallery: edits to show.
        log: log.jsonl of the training, for the loss curves; None or missing: none are drawn.
        title: heading, mostly the run's name.

    Raises:
        OSError: not writable.
    """
    columns = {'this model': card.measures, **card.references}
    parts = [f'<h1>{page.breakable(title)}</h1>', _summary(card), _paper(card), _gallery(gallery),
             '<h2>Metric card</h2><p>Value and 95 % bootstrap interval. <i>copy</i> returns its input, <i>truth</i> the true result. '
             'Read every score beside these two rows; a model that does nothing scores as copy. A dash is undefined or not measured.</p>',
             page.table(columns, references=tuple(card.references)), page.bars({'this model': card.measures}),
             page.matrices({'this model': card.leakage_matrix}), page.curves({'this model': log}),
             '<h2>How this was measured</h2>', page.fact_list(page.card_to_facts(card)), page.responsible_use()]
    page.write_page(Path(out), title, parts)


def _summary(card: Card) -> str:
    shown = []
    for name, text in (('edit_accuracy', 'edits read as asked'), ('arrived', 'edits that arrive'), ('leakage', 'other attributes changed'),
                       ('psnr_outside', 'outside the region'),
                       ('psnr_truth', 'against the truth'), ('fcn_iou', 'class IoU'), ('mask_iou', 'mask on the true region'),
                       ('psnr_whole', 'against the input'),
                       ('accuracy', 'labels read right')):
        measure = card.measures.get(name)
        if measure is not None and (measure.value is not None or page.infinite(name, measure)):
            if measure.value is None:
                value = page.INFINITE
            else:
                value = f'{100 * measure.value:.1f} %' if measure.unit == 'share' else f'{number(measure.value)} {measure.unit}'
            shown.append(f'<div class="tile"><b>{escape(value)}</b><span>{escape(text)}</span></div>')
    return f'<div class="tiles">{"".join(shown)}</div>'


def _paper(card: Card) -> str:
    if card.paper is None:
        return ''
    columns = {'this model': card.measures, **card.references}
    head = ''.join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = ''.join(f'<tr><th scope="row"><span>{escape(column.name)}</span><small>{page.breakable(column.measure or "not measured")}'
                   f'{f"; {escape(column.note)}" if column.note else ""}</small></th>'
                   + ''.join(f'<td>{escape(column_to_text(column, measures))}</td>' for measures in columns.values()) + '</tr>'
                   for column in card.paper_columns)
    differs = ''.join(f'<li>{escape(line)}</li>' for line in card.differs)
    return (f'<h2>The numbers of {escape(card.paper)}</h2><div class="wide"><table class="card paper"><thead><tr><th></th>{head}</tr>'
            f'</thead><tbody>{body}</tbody></table></div><p>What differs from the paper:</p><ul>{differs}</ul>')


def _gallery(gallery: Sequence[GalleryRow]) -> str:
    if not gallery:
        return ''
    figures = []
    for row in gallery:
        cells = ''.join(page.panel(pixels, name, row.title) for name, pixels in row.panels.items())
        wide, narrow = min(len(row.panels), 7), min(math.ceil(len(row.panels) / 2), 4)
        figures.append(f'<figure><figcaption>{escape(row.title)}</figcaption>'
                       f'<div class="panels" style="--wide:{wide};--narrow:{narrow}">{cells}</div></figure>')
    return ('<h2>Edits</h2><p>Held-out pictures. Mask: white may change. Difference: edit against input, error: against the truth, black '
            'where equal.</p>'
            f'<div class="gallery">{"".join(figures)}</div>')
