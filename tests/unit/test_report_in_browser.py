"""Both reports in a real browser, at the width of a phone and of a desk: nothing sticks out, every picture is drawn and large enough."""
from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from retouch.evaluation.card import Card, CardData, Checkpoint, LeakageMatrix, PaperColumn
from retouch.evaluation.comparison import cards_to_comparison as compare
from retouch.metrics.measure import Measure
from retouch.report.comparison import write_comparison
from retouch.report.gallery import GalleryRow
from retouch.report.run import write_report

BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'))), None)
PHONE, DESK = 390, 1200
ATTRIBUTES = ('Bangs', 'Black_Hair', 'Mouth_Slightly_Open', 'Wearing_Lipstick')
# what a reader would see: how far the page reaches beyond its frame, and each picture's own and shown width
MEASURE = """onload = () => { document.body.textContent = 'measured ' + JSON.stringify([...document.querySelectorAll('iframe')].map(f => {
  const page = f.contentDocument, root = page.documentElement, body = f.contentWindow.getComputedStyle(page.body)
  return {width: root.clientWidth, reaches: root.scrollWidth, ink: body.color, paper: body.backgroundColor,
          tallest: Math.max(...[...page.querySelectorAll('th[scope=row]')].map(h => h.getBoundingClientRect().height)),
          pictures: [...page.images].map(i => [i.naturalWidth, Math.round(i.getBoundingClientRect().width)])}
})) }"""


def card(i: int) -> Card:
    names = ('edit_accuracy', 'leakage', 'psnr_outside_per_image', 'psnr_truth', 'kid_fused[inception-v3-compat]', 'mask_iou')
    halves = dict.fromkeys(ATTRIBUTES, 0.5)
    measures = {name: Measure(value=123.456 + i, low=123.4 + i, high=123.5 + i, per_attribute=halves) for name in names}
    return Card(protocol='toyfaces', n=10, seed=0, hardware='a computer ' * 9, versions={'retouch': '0'}, measures=measures,
                checkpoint=Checkpoint(rule='last EMA', name='method.recipe', sha256='ab' * 32, iteration=7),
                data=CardData(source='/a/long/path/' + 'of_pictures' * 12, hash='0123456789ab', size=16, attributes=ATTRIBUTES),
                command='retouch evaluate /a/long/path/' + 'x' * 90, references=dict.fromkeys(('copy', 'truth', 'untrained'), measures),
                paper='cam', differs=('pictures: drawn faces; the paper has others',) * 2,
                paper_columns=(PaperColumn(name='FID (proxy)', measure='kid_fused[inception-v3-compat]', note='mean over edits'),
                               PaperColumn(name='preferred by raters', note='asked of people, with `retouch evaluate --study`')),
                leakage_matrix=LeakageMatrix(edited=ATTRIBUTES, judged=ATTRIBUTES * 4, values=((0.3,) * 16,) * 4))


def rows(masked: bool) -> list[GalleryRow]:
    names = ('input', 'exemplar', *(('mask',) if masked else ()), 'edit', 'truth', 'difference')
    return [GalleryRow(f'face {i}: Mouth_Slightly_Open=1', {name: np.full((16, 16, 3), 9, np.uint8) for name in names}) for i in (1, 2)]


@pytest.mark.skipif(BROWSER is None, reason='no Chromium or Chrome: this test needs one')
def test_nothing_sticks_out_and_every_picture_is_drawn(tmp_path: Path) -> None:
    log = tmp_path / 'log.jsonl'
    log.write_text(''.join(json.dumps({'iteration': i, 'generator.adversarial_loss_of_the_mask': i}) + '\n' for i in range(9)))
    write_report(tmp_path / 'run.html', card(0), rows(True), log, 'a_very_long_name_of_a_run' * 4)
    few, many = ({f'runs/attentiongan.toyfaces_without_something-s{i}': card(i) for i in range(count)} for count in (2, 7))
    for path, cards in (('few.html', few), ('many.html', many)):
        write_comparison(tmp_path / path, cards, compare(cards), {name: rows(i % 2 == 0) for i, name in enumerate(cards)},
                         dict.fromkeys(cards, log))
    pages = {(path, width): (tmp_path / path).read_text(encoding='utf-8') for path in ('run.html', 'few.html', 'many.html')
             for width in (PHONE, DESK)}
    # frames, since a window of a browser is never as narrow as a phone
    frames = ''.join(f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{html.escape(text)}"></iframe>'
                     for (_, width), text in pages.items())
    measured = tmp_path / 'measured.html'
    measured.write_text(f'<!doctype html><meta charset="utf-8"><body>{frames}<script>{MEASURE}</script>', encoding='utf-8')
    options = ('--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--force-dark-mode', '--dump-dom',
               f'--user-data-dir={tmp_path}/profile')
    done = subprocess.run([str(BROWSER), *options, measured.as_uri()], capture_output=True, text=True, timeout=300, check=False)
    found = re.search('measured (.*)</body>', done.stdout)
    assert found, (done.returncode, done.stderr[-2000:])
    for (path, width), seen in zip(pages, json.loads(html.unescape(found[1])), strict=True):
        assert seen['width'] == width and seen['reaches'] <= width, (path, seen)
        assert seen['tallest'] < 150, (path, seen)                                # a name in a column too narrow stands letter by letter
        assert all(own == 16 and shown >= 70 for own, shown in seen['pictures']), (path, seen)
        assert len(seen['pictures']) == pages[path, width].count('<img '), path
        assert min(levels(seen['ink'])) > 200 and max(levels(seen['paper'])) < 60, (path, seen)       # light on dark, as was asked


def levels(colour: str) -> list[int]:
    """rgb(1, 2, 3) -> [1, 2, 3]."""
    return [int(level) for level in re.findall(r'\d+', colour)[:3]]
