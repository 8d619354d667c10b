"""The report: one escaped, self-contained page with the pictures, tables and curves it promises."""
from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from retouch.data.batches import DataSpec
from retouch.engine.update import Translation
from retouch.evaluation.card import Card, CardData, Checkpoint, JudgeFacts, LeakageMatrix
from retouch.metrics.measure import Measure
from retouch.report.gallery import GalleryRow, gallery_rows
from retouch.report.page import RESPONSIBLE_USE, read_log
from retouch.report.run import write_report

NASTY = '<script>alert("x")</script>'


class Fake:
    """A method with a mask."""

    nets = nn.ModuleDict()

    def __init__(self, masked: bool, **data: tuple[str, ...]) -> None:
        self.masked, self.data = masked, DataSpec(size=16, **data)

    def translate(self, request) -> Translation:
        mask = torch.zeros(len(request.image), 1, 16, 16)
        mask[:, :, 4:8] = 1
        return Translation(request.image * (1 - 0.5 * mask), mask if self.masked else None)


class Reader(HTMLParser):
    """Collects tags; every opened tag must close."""

    VOID = {'meta', 'img', 'polyline', 'wbr'}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs) -> None:
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def card() -> Card:
    measures = {'edit_accuracy': Measure(value=0.91, low=0.88, high=0.94, unit='share', per_attribute={'Bald': 0.9, 'Young': None}),
                'psnr_outside': Measure(value=31.4, low=31.0, high=31.9, unit='dB', per_attribute={'Bald': 31.4, 'Young': 30.1}),
                'fid[toyfaces_classifier]': Measure(value=4.2)}
    copy, truth, untrained = ({'edit_accuracy': Measure(value=value, unit='share')} for value in (0.031, 0.978, 0.054))
    copy['psnr_outside'] = Measure(value=None, unit='dB')
    return Card(protocol='toyfaces', n=10, seed=0, checkpoint=Checkpoint(rule='last EMA', name=NASTY, sha256='ab' * 32, iteration=7),
                data=CardData(source='toyfaces', hash='0123456789ab', size=16, attributes=('Bald', 'Young'),
                              region_area={'Bald': 0.1, 'Young': 0.2}),
                hardware='a computer', versions={'retouch': '0'}, command=f'retouch evaluate {NASTY}', measures=measures,
                references={'copy': copy, 'truth': truth, 'untrained': untrained},
                leakage_matrix=LeakageMatrix(edited=('Bald', 'Young'), judged=('Bald', 'Young', 'Male'),
                                              values=((0.1, 0.2, 0.0), (0.0, 0.05, None))),
                judge=JudgeFacts(sha256='cd' * 32, mean_accuracy=0.995, n=1000))


@pytest.fixture
def page(card: Card, tmp_path: Path) -> str:
    log = tmp_path / 'log.jsonl'
    rows = [{'iteration': i, 'D.adv': 1 / (i + 1), 'G.rec': i * 0.1, 'seconds': 3} for i in range(600)]
    log.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    pictures = {'input': np.zeros((16, 16, 3), np.uint8), 'mask': np.full((16, 16), 255, np.uint8),
                'edit': np.full((16, 16, 3), 7, np.uint8)}
    write_report(tmp_path / 'report.html', card, [GalleryRow(f'face 1 {NASTY}', pictures)], log, title=f'run {NASTY}')
    return (tmp_path / 'report.html').read_text(encoding='utf-8')


def test_text_is_escaped_and_every_tag_closes(page: str) -> None:
    assert '<script' not in page and '&lt;script&gt;' in page
    reader = Reader()
    reader.feed(page)
    assert reader.open == [] and reader.seen.count('img') == 3 and reader.seen.count('svg') == 2


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    assert not re.findall(r'(?:src|href)="(?!data:)', page) and 'url(' not in page and '@import' not in page
    assert 'width=device-width' in page


def test_pictures_come_back_byte_by_byte(page: str) -> None:
    found = [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in re.findall(r'data:image/png;base64,([^"]+)', page)]
    assert len(found) == 3 and (found[0] == 0).all() and (found[1] == 255).all() and (found[2] == 7).all()


def test_the_card_is_told_in_full(page: str) -> None:
    for text in ('0.91', '[0.88, 0.94]', 'copy', 'truth', 'untrained', 'fid[toyfaces_classifier]', 'a computer', '0123456789ab', 'last EMA',
                 'cdcdcdcdcdcd', 'Young 20.0 %', 'Young changes Male', 'D.adv', 'G.rec', RESPONSIBLE_USE[:40]):
        assert text in page.replace('<wbr>', ''), text
    assert '>seconds<' not in page                             # only losses are drawn


def test_values_stand_under_their_columns(page: str) -> None:
    table = page[page.index('Metric card'):]
    head = re.findall(r'<th(?: [^>]*)?>(.*?)</th>', table[:table.index('</thead>')])
    rows = {re.sub('<.*?>', '', row).split()[0]: [re.sub('<.*?>', ' ', cell).split() for cell in re.findall('<td[^>]*>(.*?)</td>', row)]
            for row in re.findall('<tr>(<th scope="row">.*?)</tr>', table[:table.index('</table>')])}
    assert head == ['', 'this model', 'copy', 'truth', 'untrained'] and len(rows) == 3
    assert rows['edit_accuracy'] == [['0.91', '[0.88,', '0.94]'], ['0.031'], ['0.978'], ['0.054']]
    assert rows['psnr_outside'] == [['31.40', '[31.00,', '31.90]'], ['–', '(infinite)'], ['–'], ['–']]


def test_night_has_a_tile_and_bars_of_its_own(card: Card, tmp_path: Path) -> None:
    measures = {'arrived': Measure(value=0.5, unit='share', per_attribute={'Night=1': 1.0, 'Night=0': 0.0})}
    write_report(tmp_path / 'report.html', card.model_copy(update={'measures': measures, 'references': {}, 'leakage_matrix': None}))
    text = (tmp_path / 'report.html').read_text(encoding='utf-8')
    assert '<b>50.0 %</b><span>edits that arrive</span>' in text and '<h3>arrived (share)</h3>' in text and 'read as asked' not in text


def test_an_infinite_score_of_the_model_does_not_vanish(card: Card, tmp_path: Path) -> None:
    measures = {'psnr_outside': Measure(value=None, unit='dB'), 'psnr_outside_per_image': Measure(value=None, unit='dB'),
                'mask_iou': Measure(value=None)}
    write_report(tmp_path / 'report.html', card.model_copy(update={'measures': measures, 'references': {}}))
    text = (tmp_path / 'report.html').read_text(encoding='utf-8')
    assert text.count('– (infinite)') == 2 and '<b>– (infinite)</b><span>outside the region</span>' in text
    assert len(re.findall('<td[^>]*>–</td>', text)) == 2


def test_a_judge_without_accuracy_is_said(card: Card, page: str, tmp_path: Path) -> None:
    assert card.judge is not None and 'mean accuracy 0.995 on 1000 pictures' in page and 'a model that does nothing scores as copy' in page
    write_report(tmp_path / 'bare.html', card.model_copy(update={'judge': JudgeFacts(sha256='cd' * 32)}))
    text = (tmp_path / 'bare.html').read_text(encoding='utf-8')
    assert 'no card with its own accuracy' in text and 'None' not in text


def test_a_report_without_log_gallery_or_matrix(card: Card, tmp_path: Path) -> None:
    bare = card.model_copy(update={'leakage_matrix': None, 'references': {}, 'judge': None})
    write_report(tmp_path / 'sub' / 'report.html', bare, log=tmp_path / 'missing.jsonl')
    text = (tmp_path / 'sub' / 'report.html').read_text(encoding='utf-8')
    assert '<svg' not in text and '<img' not in text and 'Metric card' in text


def test_a_torn_log_line_and_a_nan_are_left_out(tmp_path: Path) -> None:
    log = tmp_path / 'log.jsonl'
    log.write_text('{"iteration": 1, "D.adv": 2.0}\n{"iteration": 2, "D.adv": NaN}\nnot json\n{"D.adv": 1}\n{"iteration": 3, "D.a')
    assert read_log(log) == {'D.adv': [(1.0, 2.0)]}


def test_gallery_of_an_attribute_model() -> None:
    rows = gallery_rows(Fake(True, attributes=('Eyeglasses', 'Young')), n_faces=2)
    assert len(rows) == 4 and rows[0].title.startswith('face 1: Eyeglasses=') and rows[2].title.startswith('face 2: ')
    for row in rows:
        assert list(row.panels) == ['input', 'mask', 'edit', 'truth', 'difference']
        assert all(pixels.dtype == np.uint8 and pixels.shape[:2] == (16, 16) for pixels in row.panels.values())
        changed = (row.panels['edit'] != row.panels['input']).any(2)
        assert not changed[row.panels['mask'] == 0].any()
        assert ((row.panels['difference'].max(2) > 0) == changed).all()
    assert len(gallery_rows(Fake(True, attributes=('Eyeglasses', 'Young')), ['Young'], n_faces=1)) == 1
    with pytest.raises(ValueError, match="did you mean 'Young'"):
        gallery_rows(Fake(True, attributes=('Eyeglasses', 'Young')), ['Yung'], n_faces=1)


def test_gallery_of_two_domains_without_a_mask() -> None:
    rows = gallery_rows(Fake(False, domains=('A', 'B')), n_faces=3)
    assert len(rows) == 3 and all('Eyeglasses=' in row.title for row in rows)
    assert all(list(row.panels) == ['input', 'edit', 'truth', 'difference'] for row in rows)
