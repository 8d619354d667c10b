"""report.html: what a run did and how well, in one file that opens offline."""
from __future__ import annotations

import base64
import html
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from retouch.data import toyfaces
from retouch.data.transforms import to_uint8
from retouch.guidance.gradcam import explain_edit
from retouch.metrics.card import Card, LeakageMatrix, Measure, about, measure_to_text, number
from retouch.metrics.difference import difference_map
from retouch.metrics.papers import column_to_text
from retouch.metrics.scoring import Task, pictures_to_tensor
from retouch.metrics.tasks import domain_tasks, toyfaces_tasks
from retouch.model import write_atomically

PANELS = ('input', 'mask', 'edit', 'truth', 'difference')
RESPONSIBLE_USE = ('Edit pictures of people only with their consent, and say that a published picture was edited. Attributes such as Male, '
                   'Young or Pale_Skin are labels of a data set, not facts about a person; do not use this model to judge, identify or '
                   'impersonate anyone.')
INFINITE = '– (infinite)'
POINTS = 240     # of a loss curve; more cannot be seen


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
            title = task.name
            if '=' not in title and task.wanted is not None and task.column is not None:
                title += f'={int(task.wanted[m, task.column])}'
            rows.append((row, GalleryRow(f'{what} {row + 1}: {title}', panels)))
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
    parts = [f'<h1>{_e(title)}</h1>', _summary(card), _paper(card), _gallery(gallery), _table(card), _bars(card)]
    if card.leakage_matrix is not None:
        parts.append(_heat(card.leakage_matrix))
    parts += [_curves(log) if log is not None else '', _footnote(card)]
    page = ('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<title>{_e(title)}</title><style>{_CSS}</style></head>\n<body><main>\n' + '\n'.join(part for part in parts if part)
            + '\n</main></body></html>\n')
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(Path(out), page.encode('utf-8'))


def _e(text: object) -> str:
    return html.escape(str(text), quote=True)


def _breakable(name: str) -> str:
    return _e(name).replace('_', '_<wbr>')


def mask_to_bytes(mask: Tensor) -> np.ndarray:
    """A mask [H,W] in [0,1] -> uint8 [H,W], to be shown."""
    return (mask.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def pixels_to_url(pixels: np.ndarray) -> str:
    """uint8 [H,W,3] or [H,W] -> the picture as a lossless data: URL."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, 'PNG', optimize=True)
    return f'data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}'


def _picture(pixels: np.ndarray, text: str) -> str:
    height, width = pixels.shape[:2]
    return f'<img alt="{_e(text)}" width="{width}" height="{height}" src="{pixels_to_url(pixels)}">'


def _summary(card: Card) -> str:
    shown = []
    for name, text in (('edit_accuracy', 'edits read as asked'), ('arrived', 'edits that arrive'), ('leakage', 'other attributes changed'),
                       ('psnr_outside', 'outside the region'),
                       ('psnr_truth', 'against the truth'), ('fcn_iou', 'class IoU'), ('mask_iou', 'mask on the true region'),
                       ('psnr_whole', 'against the input'),
                       ('accuracy', 'labels read right')):
        measure = card.measures.get(name)
        if measure is not None and (measure.value is not None or _infinite(name, measure)):
            if measure.value is None:
                value = INFINITE
            else:
                value = f'{100 * measure.value:.1f} %' if measure.unit == 'share' else f'{number(measure.value)} {measure.unit}'
            shown.append(f'<div class="tile"><b>{_e(value)}</b><span>{_e(text)}</span></div>')
    return f'<div class="tiles">{"".join(shown)}</div>'


def _paper(card: Card) -> str:
    if card.paper is None:
        return ''
    rows = {'this model': card.measures, **card.references}
    head = ''.join(f'<th>{_e(name)}</th>' for name in rows)
    body = ''.join(f'<tr><th scope="row"><span>{_e(column.name)}</span><small>{_breakable(column.measure or "not measured")}'
                   f'{f"; {_e(column.note)}" if column.note else ""}</small></th>'
                   + ''.join(f'<td>{_e(column_to_text(column, measures))}</td>' for measures in rows.values()) + '</tr>'
                   for column in card.paper_columns)
    differs = ''.join(f'<li>{_e(line)}</li>' for line in card.differs)
    return (f'<h2>The numbers of {_e(card.paper)}</h2><div class="wide"><table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody>'
            f'</table></div><p>What differs from the paper:</p><ul>{differs}</ul>')


def _gallery(gallery: Sequence[GalleryRow]) -> str:
    if not gallery:
        return ''
    figures = []
    for row in gallery:
        cells = ''.join(f'<div>{_picture(pixels, f"{name}, {row.title}")}<small>{_e(name)}</small></div>'
                        for name, pixels in row.panels.items())
        figures.append(f'<figure><figcaption>{_e(row.title)}</figcaption>'
                       f'<div class="panels" style="grid-template-columns:repeat({len(row.panels)},1fr)">{cells}</div></figure>')
    return ('<h2>Edits</h2><p>Held-out pictures. Mask: white may change. Difference: edit against input, error: against the truth, black '
            'where equal.</p>'
            f'<div class="gallery">{"".join(figures)}</div>')


def _table(card: Card) -> str:
    columns = {'this model': card.measures, **card.references}
    names = dict.fromkeys(name for measures in columns.values() for name in measures)
    head = ''.join(f'<th>{_e(name)}</th>' for name in columns)
    body = []
    for name in names:
        found = about(name)
        arrow = {'higher': ' ↑', 'lower': ' ↓', 'neither': ''}[found.better]
        cells = ''.join(f'<td>{_value(name, measures.get(name))}</td>' for measures in columns.values())
        body.append(f'<tr><th scope="row"><span>{_breakable(name)}{arrow}</span><small>{_e(found.text)}'
                    f'{f" ({_e(found.unit)})" if found.unit else ""}</small></th>{cells}</tr>')
    return ('<h2>Metric card</h2><p>Value and 95 % bootstrap interval. <i>copy</i> returns its input, <i>truth</i> the true result. '
            'Read every score beside these two rows; a model that does nothing scores as copy. A dash is undefined or not measured.</p>'
            f'<div class="wide"><table><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>')


def _infinite(name: str, measure: Measure | None) -> bool:
    """Whether null stands for a pooled PSNR without any error."""
    return measure is not None and measure.value is None and measure.unit == 'dB' and not name.endswith('_per_image')


def _value(name: str, measure: Measure | None) -> str:
    if _infinite(name, measure):
        return INFINITE
    value, _, interval = measure_to_text(measure).partition(' ')
    return f'{_e(value)}<small>{_e(interval)}</small>' if interval else _e(value)


def _bars(card: Card) -> str:
    charts = []
    for name in ('edit_accuracy', 'arrived', 'accuracy', 'fcn_iou', 'mask_iou', 'psnr_outside', 'psnr_truth'):
        measure = card.measures.get(name)
        values = {k: v for k, v in ((measure.per_attribute if measure else None) or {}).items() if v is not None}
        if not values:
            continue
        full = 1.0 if about(name).unit == 'share' or name in ('mask_iou', 'fcn_iou') else max(max(values.values()), 1e-9)
        rows = ''.join(f'<div class="bar"><span>{_e(k)}</span><i><b style="width:{100 * min(max(v / full, 0), 1):.1f}%"></b></i>'
                       f'<span>{_e(number(v))}</span></div>' for k, v in values.items())
        charts.append(f'<div><h3>{_e(name)}{f" ({_e(about(name).unit)})" if about(name).unit else ""}</h3>{rows}</div>')
    return f'<h2>By attribute or class</h2><div class="charts">{"".join(charts)}</div>' if charts else ''


def _heat(matrix: LeakageMatrix) -> str:
    head = ''.join(f'<th class="up"><span>{_e(name)}</span></th>' for name in matrix.judged)
    body = []
    for edited, values in zip(matrix.edited, matrix.values, strict=True):
        cells = []
        for judged, value in zip(matrix.judged, values, strict=True):
            own = judged == edited.partition('=')[0]
            share = 0.0 if value is None else value
            cells.append(f'<td class="{"own" if own else ""}" style="--v:{min(share * 2, 1):.2f}" '
                         f'title="{_e(edited)} changes {_e(judged)}: {100 * share:.1f} %">{100 * share:.0f}</td>')
        body.append(f'<tr><th scope="row">{_e(edited)}</th>{"".join(cells)}</tr>')
    return ('<h2>What else changed</h2><p>Rows: the edit asked for. Columns: how often (%) the judge reads an attribute otherwise than it '
            'should. Outlined: the asked attribute itself, an edit that did not arrive.</p>'
            f'<div class="wide"><table class="heat"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>')


def read_log(log: Path) -> dict[str, list[tuple[float, float]]]:
    """log.jsonl -> series name -> (iteration, value) pairs; unreadable lines and non-finite values are left out."""
    series: dict[str, list[tuple[float, float]]] = {}
    if not log.is_file():
        return series
    for line in log.read_text(encoding='utf-8', errors='replace').splitlines():
        try:
            row = json.loads(line)
            at = float(row['iteration'])
        except (ValueError, KeyError, TypeError):
            continue
        for name, value in row.items():
            if '.' in name and isinstance(value, int | float) and math.isfinite(value):
                series.setdefault(name, []).append((at, float(value)))
    return series


def _curves(log: Path) -> str:
    charts = ''.join(f'<div><h3>{_e(name)}</h3>{_curve(points)}</div>' for name, points in read_log(log).items() if len(points) > 1)
    return f'<h2>Training</h2><div class="charts">{charts}</div>' if charts else ''


def _curve(points: list[tuple[float, float]], width: int = 320, height: int = 110) -> str:
    # means of equal stretches: a curve of thousands of points is noise and weight
    stretch = max(1, math.ceil(len(points) / POINTS))
    pieces = [points[i:i + stretch] for i in range(0, len(points), stretch)]
    xs = [sum(x for x, _ in piece) / len(piece) for piece in pieces]
    ys = [sum(y for _, y in piece) / len(piece) for piece in pieces]
    low, high, left, right = min(ys), max(ys), min(xs), max(xs)
    path = ' '.join(f'{(x - left) / (right - left or 1) * width:.1f},{height - 4 - (y - low) / (high - low or 1) * (height - 8):.1f}'
                    for x, y in zip(xs, ys, strict=True))
    return (f'<svg viewBox="0 0 {width} {height}" role="img" preserveAspectRatio="none"><polyline points="{path}"/></svg>'
            f'<div class="axis"><span>{number(low)} … {number(high)}</span>'
            f'<span>last {number(points[-1][1])}, iteration {points[-1][0]:.0f}</span></div>')


def _footnote(card: Card) -> str:
    data, point = card.data, card.checkpoint
    weights = (point.name, point.rule, point.iteration is not None and f'iteration {point.iteration}', point.sha256 and point.sha256[:12])
    judge = ''
    if card.judge is not None:
        proof = 'no card with its own accuracy: its readings are not proved'
        if card.judge.mean_accuracy is not None:
            proof = f'mean accuracy {number(card.judge.mean_accuracy)} on {card.judge.n} pictures'
        judge = f'{card.judge.sha256[:12]}, {proof}'
    facts = {'Protocol': card.protocol, 'Data': f'{data.source} {data.hash}, {data.size} px', 'Pictures': f'n={card.n}, seed={card.seed}',
             'Label rule': data.rule, 'Weights': ', '.join(str(fact) for fact in weights if fact), 'Judge': judge,
             'True region': data.region_area and ', '.join(f'{k} {100 * v:.1f} %' for k, v in data.region_area.items()),
             'Hardware': card.hardware, 'Versions': ', '.join(f'{k} {v}' for k, v in card.versions.items()), 'Command': card.command}
    rows = ''.join(f'<dt>{_e(k)}</dt><dd>{f"<code>{_e(v)}</code>" if k == "Command" else _e(v)}</dd>' for k, v in facts.items() if v)
    return f'<h2>How this was measured</h2><dl>{rows}</dl><p class="use"><b>Responsible use.</b> {_e(RESPONSIBLE_USE)}</p>'


_CSS = """
:root{color-scheme:light dark;--ink:light-dark(#1c1c1f,#ececee);--soft:light-dark(#63636b,#a3a3ad);--line:light-dark(#e2e2e7,#38383f);
--card:light-dark(#f6f6f8,#222226);--page:light-dark(#fff,#17171a);--mark:light-dark(#4656c8,#93a0ff)}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1120px;margin:0 auto;padding:20px 16px 48px}h1{font-size:1.7rem;margin:.2em 0 .6em;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2em 0 .4em}h3{font-size:.85rem;margin:0 0 .4em;font-weight:600}
p{margin:.2em 0 .8em;color:var(--soft);max-width:75ch}
small{display:block;color:var(--soft);font-size:.75rem;font-weight:400}
.tiles{display:flex;flex-wrap:wrap;gap:10px}.tile{background:var(--card);border-radius:10px;padding:10px 16px;flex:1 1 140px}
.tile b{display:block;font-size:1.35rem}.tile span{color:var(--soft);font-size:.8rem}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,500px),1fr));gap:14px}
figure{margin:0;background:var(--card);border-radius:10px;padding:10px}figcaption{font-size:.85rem;font-weight:600;margin-bottom:6px}
.panels{display:grid;gap:4px}.panels div{min-width:0;text-align:center}
.panels img{width:100%;height:auto;display:block;image-rendering:pixelated;border-radius:4px}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:6px 10px;border-bottom:1px solid var(--line);text-align:right;vertical-align:top;white-space:nowrap}
th[scope=row]{text-align:left;white-space:normal;min-width:9.5em;font-weight:600;overflow-wrap:anywhere}
.heat{width:auto;font-size:.8rem}.heat th,.heat td{padding:3px 6px;border:0}.heat td{text-align:center;min-width:2.3em;
background:color-mix(in srgb,#d4432f calc(var(--v)*100%),var(--card))}
.heat .own{outline:2px solid var(--mark);outline-offset:-2px}
.up{height:9.5em;vertical-align:bottom}.up span{writing-mode:vertical-rl;transform:rotate(180deg);font-weight:400}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr));gap:22px}.charts>div{min-width:0}
.bar{display:grid;grid-template-columns:11.5em 1fr 3.8em;gap:8px;align-items:center;font-size:.8rem;font-variant-numeric:tabular-nums}

.bar span{overflow:hidden;text-overflow:ellipsis}.bar span:last-child{text-align:right}
.bar i{background:var(--card);height:12px;border-radius:3px}
.bar b{display:block;height:100%;background:var(--mark);border-radius:3px}
svg{width:100%;height:110px;background:var(--card);border-radius:6px}
polyline{fill:none;stroke:var(--mark);stroke-width:1.5;vector-effect:non-scaling-stroke}
.axis{display:flex;justify-content:space-between;color:var(--soft);font-size:.75rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 16px;font-size:.85rem;margin:0 0 1.5em}dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}.use{border-left:3px solid var(--mark);padding-left:12px}
@media(max-width:560px){th,td{padding:5px 6px;font-size:.82rem}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:8px}
.gallery{gap:10px}}
"""
