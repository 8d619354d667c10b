"""The page of a comparison: the same edits side by side, marks that intervals bear out, one colour a model, and nothing from elsewhere."""
from __future__ import annotations

import base64
import html
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retouch.evaluation.card import Card, CardData, Checkpoint, JudgeFacts, LeakageMatrix
from retouch.evaluation.comparison import cards_to_comparison as compare
from retouch.metrics.bootstrap import Tally, pooled
from retouch.metrics.measure import Measure, tally_to_measure
from retouch.report.comparison import best_of, short_names, write_comparison
from retouch.report.gallery import GalleryRow

NASTY = '"><script>alert(1)</script>'
NAMES = ('runs/one', f'runs/{NASTY}', 'runs/three')


class Reader(HTMLParser):
    """Every opened tag must close; pictures are kept with their alternative texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.pictures: list[tuple[str, np.ndarray]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        if tag == 'img':
            found = dict(attrs)
            with Image.open(io.BytesIO(base64.b64decode(found['src'].removeprefix('data:image/png;base64,')))) as picture:
                self.pictures.append((found['alt'], np.asarray(picture)))
        if tag not in {'meta', 'img', 'wbr', 'br'}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def card(i: int, masked: bool = True, **changes: object) -> Card:
    """The i-th model's: 10 dB better outside and 0.001 in accuracy than the one before."""
    shares, db = {'Bald': 0.9, 'Young': 0.5}, 30 + 10 * i
    measures = {'edit_accuracy': Measure(value=0.9 + i / 1000, low=0.88, high=0.94, unit='share', per_attribute=shares),
                'psnr_outside': Measure(value=db, low=db - 1, high=db + 1, unit='dB', per_attribute={'Bald': db}),
                'fid[toyfaces_classifier]': Measure(value=4.2 - i)}
    if masked:
        measures['mask_iou'] = Measure(value=0.5, low=0.4, high=0.6, per_attribute={'Bald': 0.5})
    values = {'protocol': 'toyfaces', 'n': 10, 'seed': 3, 'checkpoint': Checkpoint(rule='last', sha256=f'{i}' * 64, iteration=100 + i),
              'data': CardData(source='toyfaces', hash='0123456789ab', size=8, attributes=('Bald', 'Young')), 'hardware': 'a computer',
              'versions': {'retouch': f'0.{i}'}, 'command': f'retouch evaluate {i}', 'measures': measures,
              'references': {'copy': {'psnr_outside': Measure(value=None, unit='dB')}, 'truth': {'edit_accuracy': Measure(value=1.0)}},
              'leakage_matrix': LeakageMatrix(edited=('Bald',), judged=('Bald', 'Male'), values=((0.1, 0.01 * i),)),
              'judge': JudgeFacts(sha256='cd' * 32, mean_accuracy=0.995, n=1000)}
    return Card.model_validate({**values, **changes})


def edits(i: int, masked: bool = True, exemplar: int | None = None) -> list[GalleryRow]:
    """Two edits; every picture of the i-th model has a grey of its own."""
    rows = []
    for face in (0, 1):
        grey = {'input': face, 'truth': 10 + face, 'edit': 20 + 10 * i + face, 'difference': 100 + 10 * i + face}
        grey |= {'mask': 200 + 10 * i + face} if masked else {}
        grey |= {'exemplar': exemplar} if exemplar is not None else {}
        panels = {k: np.full((8, 8) if k == 'mask' else (8, 8, 3), v, np.uint8) for k, v in grey.items()}
        rows.append(GalleryRow(f'face {face + 1}: {NASTY}', panels))
    return rows


def write(out: Path, galleries: list | None = None, cards: list[Card] | None = None, **more: object) -> str:
    cards = cards or [card(0), card(1, masked=False), card(2)]
    found = dict(zip(NAMES, cards, strict=True))
    shown = dict(zip(NAMES, galleries, strict=True)) if galleries else None
    write_comparison(out / 'report.html', found, compare(found), shown, **more)      # type: ignore[arg-type]
    return (out / 'report.html').read_text(encoding='utf-8')


@pytest.fixture
def page(tmp_path: Path) -> str:
    logs = {}
    for i, name in enumerate(NAMES[:2]):
        logs[name] = tmp_path / f'{i}.jsonl'
        rows = [{'iteration': j, 'G.loss': i + j, ('G.mask', 'D.heads')[i]: j} for j in range(5)]
        logs[name].write_text(''.join(json.dumps(row) + '\n' for row in rows))
    return write(tmp_path, [edits(0), edits(1, masked=False), edits(2)], logs={**logs, NAMES[2]: tmp_path / 'missing.jsonl'})


def test_the_page_is_whole_escaped_and_alone(page: str) -> None:
    reader = Reader(page)
    assert not {'script', 'link', 'iframe', 'a'} & set(reader.tags) and '&lt;script&gt;' in page
    assert not re.findall(r'(?:src|href)="(?!data:)|https?:|url\(|@import', page) and 'width=device-width' in page
    assert all(alt.split(',')[0] and NASTY in alt for alt, _ in reader.pictures)


def test_every_model_shows_the_same_edits(page: str) -> None:
    shown = {alt: int(pixels.flat[0]) for alt, pixels in Reader(page).pictures}
    expected = {}
    for face in (0, 1):
        expected |= {f'{name}, face {face + 1}: {NASTY}': grey + face for name, grey in (('input', 0), ('truth', 10))}
        for i, label in enumerate(short_names(NAMES)):
            of = f'{label}, face {face + 1}: {NASTY}'
            expected |= {f'edit, {of}': 20 + 10 * i + face, f'difference, {of}': 100 + 10 * i + face}
            expected |= {f'mask, {of}': 200 + 10 * i + face} if i != 1 else {}
    assert shown == expected and len(Reader(page).pictures) == len(expected)
    assert page.count('no mask') == 2 and page.count('<figcaption>') == 2


def test_an_edit_that_only_some_have_is_left_out(tmp_path: Path) -> None:
    text = write(tmp_path, [edits(0), edits(1)[:1], edits(2)])
    assert text.count('<figcaption>') == 1 and 'face 2' not in text


@pytest.mark.parametrize(('given', 'alone', 'said'), [((7, 7, 7), 1, 0), ((None, 7, 7), 1, 0), ((None, 7, 8), 2, 1)])
def test_an_exemplar_stands_with_the_input_where_all_got_the_same(given: tuple, alone: int, said: int, tmp_path: Path) -> None:
    text = write(tmp_path, [edits(i, exemplar=grey)[:1] for i, grey in enumerate(given)])
    exemplars = [int(pixels.flat[0]) for alt, pixels in Reader(text).pictures if alt.startswith('exemplar')]
    assert sorted(exemplars) == [grey for grey in given if grey is not None][-alone:] and text.count('>no exemplar<') == said


def test_marked_is_the_best_beyond_its_interval(page: str) -> None:
    table = page[page.index('<table class="card">'):page.index('</table>')].replace('<wbr>', '')
    head = [re.sub('<.*?>', '', cell) for cell in re.findall('<th(?: [^>]*)?>(.*?)</th>', table[:table.index('</thead>')])]
    assert len(head) == 6 and head[1] == 'one' and head[3:] == ['three', 'copy', 'truth'] and 'script' in head[2]
    marked = {}
    for row in re.findall('<tr>(<th scope="row">.*?)</tr>', table):
        cells = re.findall('<td[^>]*>(.*?)</td>', row)
        marked[re.sub('<.*?>', ' ', row).split()[0]] = [i for i, cell in enumerate(cells) if '<mark' in cell]
    assert marked == {'edit_accuracy': [], 'psnr_outside': [2], 'fid[toyfaces_classifier]': [], 'mask_iou': []}


def m(value: float | None, low: float | None = None, high: float | None = None, unit: str = '') -> Measure:
    return Measure(value=value, low=low, high=high, unit=unit)


@pytest.mark.parametrize(('name', 'measures', 'best'), [
    ('ssim_outside', [m(0.9, 0.88, 0.92), m(0.8, 0.78, 0.82)], 0),
    ('ssim_outside', [m(0.9, 0.88, 0.92), m(0.87, 0.85, 0.88)], None),         # they touch
    ('leakage', [m(0.9, 0.88, 0.92), m(0.8, 0.78, 0.82)], 1),
    ('leakage', [m(0.9, 0.88, 0.92), m(0.8, 0.78, 0.82), m(0.81, 0.79, 0.83)], None),
    ('mask_area', [m(0.9, 0.88, 0.92), m(0.8, 0.78, 0.82)], None),             # neither more nor less is better
    ('fid[judge]', [m(4.0), m(5.0, 4.5, 5.5)], None),                          # one has no interval
    ('mask_iou', [m(0.9, 0.8, 1.0), None], None),
    ('mask_iou', [m(0.9, 0.8, 1.0), None, m(0.1, 0.0, 0.2), m(None)], 0),
    ('psnr_outside', [m(None, unit='dB'), m(40.0, 39.0, None, 'dB')], None),   # that reaches to infinity
    ('psnr_outside', [m(None, unit='dB'), m(40.0, 39.0, 41.0, 'dB')], 0),
    ('psnr_outside', [m(None, unit='dB'), m(None, unit='dB')], None),
    ('psnr_outside_per_image', [m(None, unit='dB'), m(40.0, 39.0, 41.0, 'dB')], None),      # undefined
])
def test_best_of(name: str, measures: list[Measure | None], best: int | None) -> None:
    columns = {str(i): {} if measure is None else {name: measure} for i, measure in enumerate(measures)}
    assert best_of(name, columns) == (None if best is None else str(best))


def test_the_best_of_models_on_the_same_pictures_is_told_by_their_differences() -> None:
    hard = np.linspace(0, 1, 50)[None]                                         # the same pictures are hard for all
    sums = {name: {measure: Tally(hard + more, np.ones((1, 50)), pooled) for measure in ('ssim_outside', 'leakage')}
            for name, more in (('a', 0.0), ('b', 0.01 + 0.001 * hard), ('c', -0.01 * hard))}
    columns = {name: {measure: tally_to_measure(measure, tally, ('x',)) for measure, tally in some.items()} for name, some in sums.items()}
    assert best_of('ssim_outside', columns) is None                            # their own intervals overlap by far
    assert best_of('ssim_outside', columns, sums) == 'b' and best_of('leakage', columns, sums) == 'c'
    assert best_of('ssim_outside', columns, {name: sums[name] for name in ('a', 'b')}) is None
    noisy = {**sums, 'c': {'ssim_outside': Tally(hard[:, ::-1] + 0.009, np.ones((1, 50)), pooled)}}
    assert best_of('ssim_outside', {**columns, 'c': columns['a']}, noisy) is None            # of b less c no sign is sure


def test_marks_follow_the_tallies(tmp_path: Path) -> None:
    sums = {name: {'edit_accuracy': Tally(np.full((1, 9), 0.5 + 0.1 * i), np.ones((1, 9)), pooled)} for i, name in enumerate(NAMES)}
    row = re.findall('<tr>(<th scope="row">.*?)</tr>', write(tmp_path, tallies=sums).replace('<wbr>', ''))[0]
    marked = ['<mark' in cell for cell in re.findall('<td[^>]*>(.*?)</td>', row)]
    assert 'edit_accuracy' in row and marked == [False, False, True, False, False]           # by intervals alone none is: see above


def test_differences_to_the_first_model_have_a_table(tmp_path: Path) -> None:
    cards = dict(zip(NAMES, [card(0), card(1), card(2)], strict=True))
    sums = {name: {'edit_accuracy': Tally(np.full((1, 9), value), np.ones((1, 9)), pooled)}
            for name, value in zip(NAMES, (0.5, 0.75, 0.5), strict=True)}
    write_comparison(tmp_path / 'report.html', cards, compare(cards, sums))
    text = (tmp_path / 'report.html').read_text(encoding='utf-8').replace('<wbr>', '')
    first, *others = short_names(NAMES)
    part = text[text.index(f'<h2>Less {first}'):]
    assert re.findall('<th scope="col">(.*?)</th>', part)[:2] == [html.escape(name) for name in others]
    assert re.findall('<td>(.*?)</td>', part)[:2] == ['+0.25<small>[0.25, 0.25] *</small>', '0<small>[0, 0]</small>']
    assert '<h2>Less' not in write(tmp_path)                       # nothing is known of pairs without tallies


def test_bars_are_grouped_and_keep_their_places(page: str) -> None:
    charts = page[page.index('By attribute'):page.index('What else changed')]
    groups = re.findall('<div class="bar">(.*?)</div>', charts)
    assert len(groups) == 4 and all(re.findall('<b class="(m.)"', group) == ['m0', 'm1', 'm2'] for group in groups)
    widths = [re.findall(r'width:([\d.]+)%', group) for group in groups]
    assert widths == [['90.0'] * 3, ['50.0'] * 3, ['50.0', '0.0', '50.0'], ['60.0', '80.0', '100.0']]
    assert '<span>–</span>' in groups[2] and len(re.findall('swatch', charts)) == 3


def test_one_matrix_a_model(page: str) -> None:
    found = page[page.index('What else changed'):page.index('Training')]
    assert found.count('<table class="heat">') == 3 and re.findall(r'Bald changes Male: ([\d.]+) %', found) == ['0.0', '1.0', '2.0']


def test_curves_of_one_name_share_a_chart(page: str) -> None:
    found = page[page.index('<h2>Training'):page.index('How this was measured')]
    together, alone = found.split('<details>')
    assert together.count('<svg') == 1 and re.findall('polyline class="(m.)"', together) == ['m0', 'm1']
    ends = [path.split()[-1] for path in re.findall('points="(.*?)"', together)]
    assert ends == ['320.0,24.4', '320.0,4.0']                    # 4 and 5 of 0 to 5
    assert alone.count('<svg') == 2 and 'Series of one system alone (2)' in alone


def test_what_differs_stands_with_its_model(page: str) -> None:
    found = page[page.index('How this was measured'):].replace('<wbr>', '')
    shared, *own = found.split('<h3>')
    for text in ('toyfaces 0123456789ab, held-out, 8 px', 'n=10, seed=3', 'cdcdcdcdcdcd', 'a computer'):
        assert text in shared and not any(text in part for part in own)
    for i, part in enumerate(own):
        assert all(text in part for text in (str(i) * 12, f'retouch 0.{i}', f'retouch evaluate {i}', f'iteration {100 + i}'))
    assert len(own) == 3 and 'runs/one' in own[0] and 'Responsible use' in page


def test_cards_alone_make_a_page_that_says_what_is_missing(tmp_path: Path) -> None:
    cards = [card(i, leakage_matrix=None, judge=None, references={}) for i in range(3)]
    text = write(tmp_path / 'new', None, cards, note=f'gone: {NASTY}')
    reader = Reader(text)
    assert not {'img', 'svg', 'script'} & set(reader.tags) and 'gone: &quot;' in text and 'class="heat"' not in text


def test_more_models_than_colours_are_told_apart(tmp_path: Path) -> None:
    names = [f'm{i}' for i in range(10)]
    cards = dict.fromkeys(names, card(0))
    write_comparison(tmp_path / 'report.html', cards, compare(cards))
    group = re.findall('<div class="bar">(.*?)</div>', (tmp_path / 'report.html').read_text(encoding='utf-8'))[0]
    classes = re.findall('<b class="(.*?)"', group)
    assert len(classes) == len(set(classes)) == 10 and classes[8:] == ['m0 again', 'm1 again']


@pytest.mark.parametrize(('names', 'short'), [
    (['toyfaces', '/runs/second'], ['toyfaces', 'second']), (['a/x', 'b/x'], ['a/x', 'b/x']), (['r/a/x', 'r/b/x'], ['a/x', 'b/x']),
    (['runs/a/model', 'runs/b/model'], ['a/model', 'b/model']), (['runs/a/model'], ['a/model']), (['toyfaces'], ['toyfaces']),
    (['x', './x'], ['x', './x']), (['.', '..'], ['.', '..']), (['runs/copy', 'runs/x'], ['runs/copy', 'runs/x'])])
def test_short_names(names: list[str], short: list[str]) -> None:
    assert short_names(names) == short
