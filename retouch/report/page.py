"""Pieces of a page that opens offline: pictures, tables, bars, matrices and curves, of one system or of several side by side."""
from __future__ import annotations

import base64
import html
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from retouch.evaluation.card import Card, LeakageMatrix
from retouch.files import write_atomically
from retouch.metrics.measure import Measure, about, difference_to_text, measure_to_text, number

RESPONSIBLE_USE = ('Edit pictures of people only with their consent, and say that a published picture was edited. Attributes such as Male, '
                   'Young or Pale_Skin are labels of a data set, not facts about a person; do not use this model to judge, identify or '
                   'impersonate anyone.')
INFINITE = '– (infinite)'
POINTS = 240     # of a loss curve; more cannot be seen
COLOURS = 8      # of systems in bars and curves; further ones have them again, striped and dashed
Measures = Mapping[str, Measure]


def write_page(out: Path, title: str, parts: Sequence[str]) -> None:
    """Writes the parts that are not empty as one HTML file. Raises OSError."""
    text = ('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<title>{escape(title)}</title><style>{_CSS}</style></head>\n<body><main>\n' + '\n'.join(part for part in parts if part)
            + '\n</main></body></html>\n')
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, text.encode('utf-8'))


def escape(text: object) -> str:
    """Text for HTML, in quotes too."""
    return html.escape(str(text), quote=True)


def breakable(name: str) -> str:
    """An escaped name that may be broken into lines where its words end."""
    return re.sub(r'([_./\[])', r'\1<wbr>', escape(name))


def pixels_to_url(pixels: np.ndarray) -> str:
    """uint8 [H,W,3] or [H,W] -> the picture as a lossless data: URL."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, 'PNG', compress_level=4)
    return f'data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}'


def panel(pixels: np.ndarray, name: str, of: str) -> str:
    """A picture above its name; `of` what it is, for those who cannot see it."""
    height, width = pixels.shape[:2]
    return (f'<div><img alt="{escape(name)}, {escape(of)}" width="{width}" height="{height}" src="{pixels_to_url(pixels)}">'
            f'<small>{escape(name)}</small></div>')


def infinite(name: str, measure: Measure | None) -> bool:
    """Whether null stands for a pooled PSNR without any error."""
    return measure is not None and measure.value is None and measure.unit == 'dB' and not name.endswith('_per_image')


def table(columns: Mapping[str, Measures], best: Mapping[str, str] | None = None, references: Sequence[str] = (),
          signed: bool = False) -> str:
    """Measures down, columns across.

    Args:
        columns: heading -> measures by name.
        best: measure -> the heading whose value is marked.
        references: headings of columns that are set off.
        signed: the values are differences, and what the measures mean was said before.
    """
    head = ''.join(f'<th scope="col"{_set_off(heading in references)}>{breakable(heading)}</th>' for heading in columns)
    body, meanings = [], []
    for name in dict.fromkeys(name for measures in columns.values() for name in measures):
        found = about(name)
        arrow = {'higher': '\u00a0↑', 'lower': '\u00a0↓', 'neither': ''}[found.better]
        told = dict.fromkeys(m[name].note for m in columns.values() if name in m and m[name].note and m[name].value is not None)
        meaning = escape('; '.join([f'{found.text} ({found.unit})' if found.unit else found.text, *told]))
        marked = (best or {}).get(name)
        cells = ''.join(f'<td{_set_off(heading in references)}>{_value(name, measures.get(name), heading == marked, signed)}</td>'
                        for heading, measures in columns.items())
        body.append(f'<tr><th scope="row"><span>{breakable(name)}{arrow}</span><small>{meaning}</small></th>{cells}</tr>')
        meanings.append(f'<dt>{breakable(name)}</dt><dd>{meaning}</dd>')
    whole = f'<div class="wide"><table class="card"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    if signed:
        return whole
    # a phone has no room for what measures mean beside their values
    return (f'{whole}<details class="meanings"><summary>What the measures mean</summary><dl>{"".join(meanings)}</dl></details>')


def _set_off(whether: bool) -> str:
    return ' class="reference"' if whether else ''


def _value(name: str, measure: Measure | None, best: bool, signed: bool) -> str:
    if signed:
        value, _, interval = difference_to_text(measure).partition(' ')
    elif measure is not None and measure.value is None:
        value, interval = INFINITE if infinite(name, measure) else measure_to_text(measure), ''
    else:
        value, _, interval = measure_to_text(measure).partition(' ')
    value = f'<mark title="best">{escape(value)}</mark>' if best else escape(value)
    return f'{value}<small>{escape(interval)}</small>' if interval else value


def legend(labels: Sequence[str]) -> str:
    """Which colour stands for which system; nothing of one alone."""
    if len(labels) < 2:
        return ''
    return f'<ul class="legend">{"".join(f"<li>{swatch(i)}{breakable(label)}</li>" for i, label in enumerate(labels))}</ul>'


def swatch(i: int) -> str:
    """The colour of the i-th system."""
    return f'<i class="swatch {colour(i)}"></i>'


def colour(i: int) -> str:
    """Its class in the style sheet."""
    return f'm{i % COLOURS}' + (' again' if i // COLOURS % 2 else '')


def bars(columns: Mapping[str, Measures]) -> str:
    """Charts of the measures that have a value for every attribute or class: one group for each of them, in it one bar a column."""
    charts = []
    for name in ('edit_accuracy', 'arrived', 'accuracy', 'fcn_iou', 'mask_iou', 'psnr_outside', 'psnr_truth'):
        found = [(measures[name].per_attribute or {}) if name in measures else {} for measures in columns.values()]
        finite = [value for values in found for value in values.values() if value is not None]
        if not finite:
            continue
        full = 1.0 if about(name).unit == 'share' or name in ('mask_iou', 'fcn_iou') else max(*finite, 1e-9)
        groups = [_group(k, [values.get(k) for values in found], list(columns), full)
                  for k in dict.fromkeys(k for values in found for k, value in values.items() if value is not None)]
        unit = f' ({escape(about(name).unit)})' if about(name).unit else ''
        charts.append(f'<div><h3>{escape(name)}{unit}</h3>{"".join(groups)}</div>')
    return f'<h2>By attribute or class</h2>{legend(list(columns))}<div class="charts">{"".join(charts)}</div>' if charts else ''


def _group(attribute: str, values: Sequence[float | None], labels: Sequence[str], full: float) -> str:
    """The bars of one attribute; a system that has no value keeps its place."""
    rows = []
    for i, (label, value) in enumerate(zip(labels, values, strict=True)):
        width = 100 * min(max((value or 0) / full, 0), 1)
        rows.append(f'<i title="{escape(label)}"><b class="{colour(i)}" style="width:{width:.1f}%"></b></i>'
                    f'<span>{escape(number(value))}</span>')
    return f'<div class="bar"><span style="grid-row:span {len(rows)}">{breakable(attribute)}</span>{"".join(rows)}</div>'


def matrices(found: Mapping[str, LeakageMatrix | None]) -> str:
    """Leakage matrices, each under its heading if there are several."""
    drawn = [(label, _heat(matrix)) for label, matrix in found.items() if matrix is not None]
    if not drawn:
        return ''
    shown = ''.join(f'<div>{f"<h3>{breakable(label)}</h3>" if len(found) > 1 else ""}{heat}</div>' for label, heat in drawn)
    return ('<h2>What else changed</h2><p>Rows: the edit asked for. Columns: how often (%) the judge reads an attribute otherwise than it '
            'should. Outlined: the asked attribute itself, an edit that did not arrive.</p>'
            f'<div class="heats">{shown}</div>')


def _heat(matrix: LeakageMatrix) -> str:
    head = ''.join(f'<th scope="col" class="up"><span>{escape(name)}</span></th>' for name in matrix.judged)
    body = []
    for edited, values in zip(matrix.edited, matrix.values, strict=True):
        cells = []
        for judged, value in zip(matrix.judged, values, strict=True):
            own = judged == edited.partition('=')[0]
            share = 0.0 if value is None else value
            cells.append(f'<td class="{"own" if own else ""}" style="--v:{min(share * 2, 1):.2f}" '
                         f'title="{escape(edited)} changes {escape(judged)}: {100 * share:.1f} %">{100 * share:.0f}</td>')
        body.append(f'<tr><th scope="row">{escape(edited)}</th>{"".join(cells)}</tr>')
    return f'<div class="wide"><table class="heat"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


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


def curves(logs: Mapping[str, Path | None]) -> str:
    """Loss curves by series, those of one name in one chart; series of one system alone, where others have logs too, are folded away."""
    found = {i: series for i, log in enumerate(logs.values()) if log is not None and (series := read_log(log))}
    names = dict.fromkeys(name for series in found.values() for name in series)
    drawn = {name: {i: series[name] for i, series in found.items() if len(series.get(name, ())) > 1} for name in names}
    charts: dict[bool, list[str]] = {True: [], False: []}
    for name, lines in drawn.items():
        if lines:
            charts[len(lines) > 1 or len(found) == 1].append(f'<div><h3>{escape(name)}</h3>{_curve(name, lines, len(logs) > 1)}</div>')
    together, alone = (f'<div class="charts">{"".join(some)}</div>' if some else '' for some in charts.values())
    if alone:
        alone = f'<details><summary>Series of one system alone ({len(charts[False])})</summary>{alone}</details>'
    return f'<h2>Training</h2>{legend(list(logs))}{together}{alone}' if together or alone else ''


def _curve(name: str, lines: Mapping[int, Sequence[tuple[float, float]]], several: bool, width: int = 320, height: int = 110) -> str:
    smooth = {i: _means(points) for i, points in lines.items()}
    xs, ys = zip(*(point for points in smooth.values() for point in points), strict=True)
    low, high, left, right = min(ys), max(ys), min(xs), max(xs)
    paths, last = [], []
    for i, points in smooth.items():
        path = ' '.join(f'{(x - left) / (right - left or 1) * width:.1f},{height - 4 - (y - low) / (high - low or 1) * (height - 8):.1f}'
                        for x, y in points)
        paths.append(f'<polyline class="{colour(i)}" points="{path}"/>')
        at, value = lines[i][-1]
        last.append(f'{swatch(i) if several else ""}last {number(value)}, iteration {at:.0f}')
    return (f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(name)} over iterations" preserveAspectRatio="none">'
            f'{"".join(paths)}</svg><div class="axis"><span>{number(low)} … {number(high)}</span>'
            f'<span>{"<br>".join(last)}</span></div>')


def _means(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of equal stretches: a curve of thousands of points is noise and weight."""
    stretch = max(1, math.ceil(len(points) / POINTS))
    pieces = [points[i:i + stretch] for i in range(0, len(points), stretch)]
    return [(sum(x for x, _ in piece) / len(piece), sum(y for _, y in piece) / len(piece)) for piece in pieces]


def card_to_facts(card: Card) -> dict[str, str]:
    """How a card was measured: name -> text, only of what there is."""
    data, point = card.data, card.checkpoint
    weights = (point.name, point.rule, point.iteration is not None and f'iteration {point.iteration}', point.sha256 and point.sha256[:12])
    judge = ''
    if card.judge is not None:
        proof = 'no card with its own accuracy: its readings are not proved'
        if card.judge.mean_accuracy is not None:
            proof = f'mean accuracy {number(card.judge.mean_accuracy)} on {card.judge.n} pictures'
        judge = f'{card.judge.sha256[:12]}, {proof}'
    size = f'{data.size} px' if data.size else 'each at its own size'
    facts = {'Protocol': card.protocol, 'Data': f'{data.source} {data.hash}, {data.split}, {size}',
             'Pictures': f'n={card.n}, seed={card.seed}', 'Label rule': data.rule,
             'Weights': ', '.join(str(fact) for fact in weights if fact), 'Judge': judge,
             'Extractors': ', '.join(f'{name} {digest[:12]}' for name, digest in card.extractors.items()),
             'True region': data.region_area and ', '.join(f'{k} {100 * v:.1f} %' for k, v in data.region_area.items()),
             'Hardware': card.hardware, 'Versions': ', '.join(f'{k} {v}' for k, v in card.versions.items()), 'Command': card.command}
    return {name: text for name, text in facts.items() if text}


def fact_list(facts: Mapping[str, str]) -> str:
    """Names and texts below each other."""
    rows = ''.join(f'<dt>{escape(k)}</dt><dd>{f"<code>{escape(v)}</code>" if k == "Command" else escape(v)}</dd>' for k, v in facts.items())
    return f'<dl>{rows}</dl>'


def responsible_use() -> str:
    """What nobody should do with a model."""
    return f'<p class="use"><b>Responsible use.</b> {escape(RESPONSIBLE_USE)}</p>'


_CSS = """
:root{color-scheme:light dark;--ink:light-dark(#1c1c1f,#ececee);--soft:light-dark(#63636b,#a3a3ad);--line:light-dark(#e2e2e7,#38383f);
--card:light-dark(#f6f6f8,#222226);--page:light-dark(#fff,#17171a);--accent:light-dark(#4656c8,#93a0ff)}
.m0{--c:var(--accent)}.m1{--c:light-dark(#d9622b,#ff9d66)}.m2{--c:light-dark(#1b8a6b,#4fd1a5)}.m3{--c:light-dark(#b0308a,#f07cc8)}
.m4{--c:light-dark(#8a6d00,#e3c34a)}.m5{--c:light-dark(#1f83b5,#62c2f0)}.m6{--c:light-dark(#7a4a2b,#c99a78)}.m7{--c:light-dark(#5f6670,#b5bcc8)}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1120px;margin:0 auto;padding:20px 16px 48px}h1{font-size:1.7rem;margin:.2em 0 .6em;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2em 0 .4em}h3{font-size:.85rem;margin:0 0 .4em;font-weight:600;overflow-wrap:anywhere}
p{margin:.2em 0 .8em;color:var(--soft);max-width:75ch}
small{display:block;color:var(--soft);font-size:.75rem;font-weight:400}
mark{background:color-mix(in srgb,var(--accent) 22%,transparent);color:inherit;border-radius:4px;padding:1px 5px;font-weight:600}
.tiles{display:flex;flex-wrap:wrap;gap:10px}.tile{background:var(--card);border-radius:10px;padding:10px 16px;flex:1 1 140px}
.tile b{display:block;font-size:1.35rem}.tile span{color:var(--soft);font-size:.8rem}
.legend{display:flex;flex-wrap:wrap;gap:2px 18px;list-style:none;margin:.2em 0 .8em;padding:0;font-size:.85rem;overflow-wrap:anywhere}
.swatch{display:inline-block;width:.8em;height:.8em;border-radius:3px;margin-right:.45em;background:var(--c)}
.swatch.again,.bar b.again{background:repeating-linear-gradient(45deg,var(--c) 0 3px,var(--card) 3px 5px)}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,var(--least,500px)),1fr));gap:14px}
figure{margin:0;min-width:0;background:var(--card);border-radius:10px;padding:10px}
figcaption{font-size:.85rem;font-weight:600;margin-bottom:6px}
.panels,.sides{display:grid;gap:4px}.panels div,.sides>*{min-width:0;text-align:center}
.panels{grid-template-columns:repeat(var(--wide),1fr)}.sides{grid-template-columns:repeat(var(--columns),minmax(76px,1fr))}
.sides b{font-size:.75rem;line-height:1.25;overflow-wrap:anywhere;border-top:4px solid var(--c);padding-top:2px}
.given{position:sticky;left:0;background:var(--card)}.none{align-self:center;color:var(--soft);font-size:.75rem}
figure img{width:100%;height:auto;display:block;image-rendering:pixelated;border-radius:4px}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}.card{width:100%}
th,td{padding:6px 10px;border-bottom:1px solid var(--line);text-align:right;vertical-align:top;white-space:nowrap}
thead th{vertical-align:bottom}.card thead th{white-space:normal;overflow-wrap:break-word}.reference{color:var(--soft)}
th[scope=row]{text-align:left;white-space:normal;font-weight:600;overflow-wrap:anywhere}
.card th:first-child,.heat th:first-child{position:sticky;left:0;background:var(--page)}.card th:first-child{min-width:18em}
.heats{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,520px),1fr));gap:22px}.heats>div{min-width:0}
.heat{font-size:.8rem}.heat th,.heat td{padding:3px;border:0}.heat td{text-align:center;min-width:1.95em;
background:color-mix(in srgb,#d4432f calc(var(--v)*100%),var(--card))}
.heat th:first-child{padding-right:8px;white-space:nowrap}
.heat .own{outline:2px solid var(--accent);outline-offset:-2px}
.up{height:9.5em;vertical-align:bottom}.up span{writing-mode:vertical-rl;transform:rotate(180deg);font-weight:400}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr));gap:22px}.charts>div{min-width:0}
.bar{display:grid;grid-template-columns:11.5em 1fr 3.8em;gap:2px 8px;align-items:center;font-size:.8rem;font-variant-numeric:tabular-nums}
.bar:has(i~i){margin-bottom:8px;line-height:1.2}.bar span:first-child{overflow-wrap:anywhere;align-self:start}
.bar i+span{text-align:right;white-space:nowrap}
.bar i{background:var(--card);height:12px;border-radius:3px}
.bar b{display:block;height:100%;background:var(--c);border-radius:3px}
svg{width:100%;height:110px;background:var(--card);border-radius:6px}
polyline{fill:none;stroke:var(--c);stroke-width:1.5;vector-effect:non-scaling-stroke}polyline.again{stroke-dasharray:5 3}
.axis{display:flex;justify-content:space-between;gap:12px;color:var(--soft);font-size:.75rem}
details{margin-top:1em}summary{cursor:pointer;margin-bottom:.8em}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 16px;font-size:.85rem;margin:0 0 1.5em}dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}.meanings{display:none}.use{border-left:3px solid var(--accent);padding-left:12px}
@media(max-width:560px){th,td{padding:5px 6px;font-size:.82rem}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:8px}
.gallery{gap:10px}.panels{grid-template-columns:repeat(var(--narrow),1fr)}.sides b{font-size:.68rem}
.bar{grid-template-columns:9.5em 1fr 3.8em}
.card th:first-child{min-width:9em;max-width:9em}
.card:not(.paper) th small{display:none}.card td{white-space:normal}.meanings{display:block}}
"""
