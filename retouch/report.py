"""report.html: what a run did and how well, in one file that opens offline."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retouch import page
from retouch.data import toyfaces
from retouch.data.transforms import to_uint8
from retouch.guidance.gradcam import explain_edit
from retouch.metrics.card import Card, number
from retouch.metrics.difference import difference_map
from retouch.metrics.papers import column_to_text
from retouch.metrics.scoring import Task, pictures_to_tensor
from retouch.metrics.tasks import asked_of, domain_tasks, eyeglasses_tasks, toyfaces_tasks
from retouch.page import escape


@dataclass(frozen=True)
class GalleryRow:
    """One edit: a title and its pictures, uint8 [H,W,3] or [H,W], in the order in which they are shown."""

    title: str
    panels: dict[str, np.ndarray]


def gallery_rows(model: Any, attributes: Sequence[str] | None = None, n_faces: int = 4, size: int | None = None, seed: int = 0,
                 attribute: str | None = None) -> list[GalleryRow]:
    """Edits of the first held-out drawn faces.

    Args:
        model: a Model or a method; attribute or two-domain.
        attributes: which edits; None: all the model knows.
        n_faces: how many faces.
        size: side in pixels; None: the model's.
        seed: which drawn set.
        attribute: what domain B has (two-domain models).

    Returns:
        one row for every face and edit that changes it, ordered by face: input, mask (if the system has one), edit, truth, difference
        (of edit and input).
    """
    method = getattr(model, 'method', model)
    if method.data.domains:
        attribute = attribute or getattr(model, 'info', {}).get('data', {}).get('attribute')
        inputs, tasks = domain_tasks(method, toyfaces.ATTRIBUTES, n_faces, seed, size, attribute)
    else:
        inputs, tasks = toyfaces_tasks(method, toyfaces.ATTRIBUTES, n_faces, seed, size, attributes)
    return tasks_to_rows(method, inputs, tasks)


def eyeglasses_rows(model: Any, n: int, seed: int = 0, n_faces: int = 8) -> list[GalleryRow]:
    """As `gallery_rows`, of protocol eyeglasses and for a model of any kind: the first faces without them of those that a card is of."""
    inputs, (task,) = eyeglasses_tasks(model, toyfaces.ATTRIBUTES, n, seed)
    return tasks_to_rows(model.method, inputs, [replace(task, rows=task.rows[:n_faces])])


def tasks_to_rows(method: Any, inputs: np.ndarray, tasks: Sequence[Task], what: str = 'face') -> list[GalleryRow]:
    """Rows for the tasks of a protocol, ordered by picture. inputs uint8 [n,S,S,3]; a task without true results shows none.

    The last panel shows where the edit differs from the input; of a pair, whose input is another picture, from the truth.
    """
    device = next((p.device for p in method.nets.parameters()), torch.device('cpu'))
    rows: list[tuple[int, GalleryRow]] = []
    for task in tasks:
        if not len(task.rows):
            continue
        request = task.request(pictures_to_tensor(inputs[task.rows], device), slice(0, len(task.rows)))
        with torch.no_grad():
            out = method.translate(request)
        shown = explain_edit(method, request, out.image) if out.mask is None else None
        edits = to_uint8(out.image).cpu().numpy()
        exemplar = getattr(request, 'exemplar', None)
        for m, row in enumerate(task.rows.tolist()):
            panels = {'input': inputs[row]}
            if exemplar is not None:
                panels['exemplar'] = to_uint8(exemplar[m:m + 1])[0].cpu().numpy()
            if out.mask is not None:
                panels['mask'] = mask_to_bytes(out.mask[m, 0])
            elif shown is not None:
                panels['Grad-CAM'] = mask_to_bytes(shown[m, 0])
            panels['edit'] = edits[m]
            if task.truth is not None:
                panels['truth'] = task.truth[m]
            if task.truth is not None and task.region is None:
                panels['error'] = difference_map(edits[m], task.truth[m])
            else:
                panels['difference'] = difference_map(edits[m], inputs[row])
            rows.append((row, GalleryRow(f'{what} {row + 1}: {asked_of(task, request, m, method.data.attributes)}', panels)))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


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


def mask_to_bytes(mask: Tensor) -> np.ndarray:
    """A mask [H,W] in [0,1] -> uint8 [H,W], to be shown."""
    return (mask.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


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
