"""Whole edits: opened, asked, applied, downloaded; cancelled, refused, and when the server ends."""
from __future__ import annotations

import io
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

pytest.importorskip('fastapi', reason="fastapi is not installed: pip install 'retouch[app]'")
pytest.importorskip('httpx', reason='httpx is not installed: it asks the server')


from retouch.app.limits import Limits
from tests.serving import Slow, face, opened, png, serving
from tests.unit.test_colour import PROFILES, profile_of

DROP = """((kind) => {
  const files = new DataTransfer()
  files.items.add(new File([Uint8Array.from(argument)], 'given.png', {type: 'image/png'}))
  const target = document.querySelector('#stage canvas')
  target.dispatchEvent(kind === 'drop' ? new DragEvent('drop', {dataTransfer: files, bubbles: true, cancelable: true})
                                       : new ClipboardEvent('paste', {clipboardData: files, bubbles: true, cancelable: true}))
})"""


def with_gamma(body: bytes) -> bytes:
    """The same PNG with a gAMA chunk, which a canvas would apply."""
    data = struct.pack('>I', 100_000)
    gama = struct.pack('>I', 4) + b'gAMA' + data + struct.pack('>I', zlib.crc32(b'gAMA' + data))
    return body[:33] + gama + body[33:]


def turned(way: int) -> bytes:
    exif = Image.Exif()
    exif[0x112] = way
    return png(face(60, 40), 'JPEG', quality=95, exif=exif)


PICTURES = {
    'opaque': png(face()), 'alpha': png(Image.merge('RGBA', (*face().split(), face().split()[0]))), 'gamma': with_gamma(png(face())),
    'icc': png(face(), icc_profile=profile_of(*PROFILES['Display P3'])),
    'palette': png(face().quantize(16)), 'grey': png(face().convert('L')),
    'odd': png(face(37, 53)), 'one pixel': png(face(1, 1)), **{f'exif {way}': turned(way) for way in range(1, 9)},
}


def downloaded(page: Any, what: str = 'Picture') -> bytes:
    page.click('#strip >> text=Download')
    with page.expect_download() as download:
        page.click(f'.menu a >> text="{what}"')
    return Path(download.value.path()).read_bytes()


@pytest.mark.parametrize('name', [*PICTURES, '12 megapixels'])
def test_what_is_downloaded_is_native_and_unchanged_outside_the_mask(tab: Any, name: str) -> None:
    body = png(face(4000, 3000), 'JPEG', quality=90) if name == '12 megapixels' else PICTURES[name]
    page = tab()
    page.open(body, f'{name}.png')
    width, height = page.js('[app.picture.width, app.picture.height]')
    page.js('app.paint((m) => { for (let y = 0; y < m.height; y++) m.values.fill(255, y * m.width, (y + 0.5) * m.width) })')
    page.js('(app.set(({set}) => { set.Eyeglasses = 1 }), app.commit())')
    page.apply()
    result = opened(downloaded(page))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(body))).convert(result.mode)
    assert result.size == (width, height) == expected.size and result.info.get('retouch')
    right = slice((width + 1) // 2, None)
    before, after = np.asarray(expected), np.asarray(result)
    assert np.array_equal(before[:, right], after[:, right])
    mask = np.asarray(opened(downloaded(page, 'Mask')))
    assert mask.shape == (height, width) and np.array_equal(before[mask == 0], after[mask == 0]) and not mask[:, right].any()
    assert 'outside unchanged: yes' in page.status() and f'{width} × {height}' in page.status()
    assert 'retouch' not in opened(downloaded(page, 'Picture without the note')).info


def test_a_first_load_asks_nobody_else(tab: Any) -> None:
    page = tab()
    assert len(page.requests) > 15 and all(url.startswith(str(page.client.base_url)) for url in page.requests)
    assert page.title() == 'Retouch' and 'token' not in page.url and page.is_visible('#empty')


def test_pictures_are_opened_by_picker_drop_and_paste(tab: Any) -> None:
    page = tab()
    page.open(png(face()))
    for i, kind in enumerate(('drop', 'paste')):
        page.js(f"{DROP}('{kind}')", list(png(face(20 + i, 10))))
        page.until(f'app.docs.length === {i + 2}')
    assert page.js('app.docs.map((d) => d.width)') == [64, 20, 21] and page.text_content('.position') == '3 of 3'
    page.set_input_files('#picker', [{'name': 'no.png', 'mimeType': 'image/png', 'buffer': b'hello'},
                                     {'name': 'yes.png', 'mimeType': 'image/png', 'buffer': png(face(30, 10))}])
    page.until('app.docs.length === 4')
    page.until("document.querySelector('#status .problem')")
    assert page.status().startswith('no.png cannot be opened: not a picture')
    page.problems.clear()                                        # the browser logs an answer of 422
    page.page.locator('#stage canvas').focus()
    page.keyboard.press('PageUp')
    assert page.js('app.index') == 2
    page.click('[aria-label="Close this picture"]')
    assert page.js('app.docs.map((d) => d.width)') == [64, 20, 30]


def test_a_result_is_stale_once_something_was_moved(tab: Any) -> None:
    page = tab()
    page.open(png(face()))
    assert page.is_disabled('#panel .primary')
    slider = page.page.locator('#panel input[type=range]').first
    slider.focus()
    slider.press('End')
    page.apply()
    assert page.is_hidden('#chip') and page.text_content('#panel .primary') == 'Apply again'
    slider.press('ArrowLeft')
    assert page.is_visible('#chip') and page.text_content('#panel .primary') == 'Apply'
    page.keyboard.press('Control+z')
    page.until("document.querySelector('#chip').hidden")
    page.apply()
    page.click('.thumb >> nth=1')
    page.click('text=Compare')
    assert page.js('app.picture.before === app.picture.results[0] && app.show === "split"')
    page.click('text=Edit further')
    page.until('app.docs.length === 2')
    assert page.js('app.index') == 1 and not page.js('app.picture.results.length')


def test_wipe_and_hold_show_before_and_after(tab: Any) -> None:
    page = tab()
    page.open(png(face(300, 300)))
    page.js('(app.set(({set}) => { set.Blond_Hair = 1; set.Eyeglasses = 1 }), app.commit())')
    canvas = page.page.locator('#stage canvas')
    canvas.focus()
    page.keyboard.press('v')                                     # a ring shows from the first key on
    before = page.shot()
    page.keyboard.press('Control+Enter')
    page.until("app.picture.results.length === 1 && !app.busy && app.stage.canvas.dataset.shown === 'result'")
    page.wait_for_timeout(500)
    after = page.shot()
    assert (before != after).any()
    page.keyboard.down('\\')
    assert np.array_equal(page.shot(), before)
    page.keyboard.up('\\')
    assert np.array_equal(page.shot(), after)
    page.keyboard.down('\\')                                     # a key whose end never came, as of a window that was left
    page.js("window.dispatchEvent(new Event('blur'))")
    assert page.js('app.holding') is False
    page.keyboard.up('\\')
    canvas.focus()
    page.keyboard.press('w')
    page.wait_for_timeout(300)
    split, (x, _) = page.shot(), page.at(150, 0)
    border = round(x - page.js('app.stage.canvas.getBoundingClientRect().left'))
    left, right = slice(border - 30), slice(border + 30, None)
    assert np.array_equal(split[:, left], before[:, left]) and np.array_equal(split[:, right], after[:, right])
    handle = page.page.locator('.wipe').bounding_box()
    page.mouse.move(handle['x'] + 22, handle['y'] + 200)
    page.mouse.down()
    page.mouse.move(*page.at(75, 100), steps=3)
    page.mouse.up()
    assert page.js('app.wipeAt') == pytest.approx(0.25, abs=0.01)
    page.page.locator('.wipe').press('ArrowRight')
    assert page.js('app.wipeAt') == pytest.approx(0.27, abs=0.01)
    page.click('#views >> text=Change')
    page.until("app.stage.canvas.dataset.shown === 'heat'")


@pytest.fixture
def slow(browser: Any, models: Path) -> Iterator[tuple[Any, Slow]]:
    with serving([str(models / 'cyclegan')], Limits(queued=1)) as client:
        editor = Slow()
        client.app.state.service.models['cyclegan'].editor = editor    # type: ignore[attr-defined]
        yield client, editor
        editor.go.set()


def test_progress_cancel_and_a_full_queue(tab: Any, slow: tuple[Any, Slow]) -> None:
    client, editor = slow
    page = tab(server=client, complaints=True)
    page.open(png(face()))
    page.click('#panel .primary')
    assert editor.begun.acquire(timeout=20)
    page.until("document.querySelector('.progress span').textContent === 'Editing'")
    asked = {'model': 'cyclegan', 'image': page.js('app.picture.id')}
    assert client.post('/api/v1/edits', json=asked).status_code == 202
    page.click('#panel .apply >> text=Cancel')
    editor.go.set()
    page.until('!app.busy')
    assert page.status() == 'Cancelled' and not page.js('app.picture.results.length')
    editor.go.clear()
    client.post('/api/v1/edits', json=asked)
    assert editor.begun.acquire(timeout=20)
    for _ in range(2):
        client.post('/api/v1/edits', json=asked)
    page.click('#panel .primary')
    page.until("document.querySelector('#status .problem')")
    assert 'wait for this model already' in page.status() and not page.js('app.busy')
    editor.go.set()
    page.until("!document.querySelector('#panel .primary').disabled")


def test_a_server_that_ends_leaves_the_page_usable(tab: Any, models: Path) -> None:
    with serving([str(models / 'cyclegan')]) as client:
        editor = Slow()
        client.app.state.service.models['cyclegan'].editor = editor    # type: ignore[attr-defined]
        page = tab(server=client, complaints=True)
        page.open(png(face()))
        page.click('#panel .primary')
        assert editor.begun.acquire(timeout=20)
        threading.Timer(3, editor.go.set).start()                # while it works, the server is told to end
    page.until("document.querySelector('#status .problem')")
    assert page.status().startswith('The server does not answer') and not page.js('app.busy')
    page.js("(app.choose('brush'), app.resize(10))")
    page.mouse.click(*page.at(30, 20))
    assert page.mask()[20, 30] == 255
    page.keyboard.press('Control+z')
    assert page.mask() is None


def test_an_exemplar_and_where_its_style_is_read(tab: Any) -> None:
    page = tab()
    page.open(png(face()))
    page.choose('lomit')
    assert page.is_disabled('#panel .primary')
    page.set_input_files('#exemplar-picker', [{'name': 'look.png', 'mimeType': 'image/png', 'buffer': png(face(40, 40))}])
    page.until('app.picture.exemplar')
    page.click('text=Paint where its style is read')
    assert page.js('[app.doc.width, app.doc.height]') == [40, 40]
    page.js("(app.choose('brush'), app.resize(12))")
    page.mouse.click(*page.at(20, 20))
    page.click('text=Back to the picture')
    assert page.js('[app.doc.width, app.doc.mask]') == [64, None]
    with page.expect_request(lambda request: request.url.endswith('/edits')) as request:
        page.apply()
    assert request.value.post_data_json['exemplar_mask'] and page.js('app.picture.shown.answer.exemplar_mask')


def test_the_part_that_the_model_sees_is_drawn(tab: Any) -> None:
    page = tab()
    page.open(png(face(200, 80)))
    assert page.js('app.picture.reading.frame') == [60, 0, 80, 80]
    page.click('text=Draw another part')
    page.mouse.move(*page.at(10, 20))
    page.mouse.down()
    page.mouse.move(*page.at(50, 60), steps=3)
    page.mouse.up()
    page.until('app.picture.reading?.frame[0] === 10')
    assert page.js('[app.picture.settings.box, app.picture.reading.frame, app.tool]') == [[10, 20, 40, 40], [10, 20, 40, 40], 'move']
    page.js('(app.set(({set}) => { set.Blond_Hair = 1 }), app.commit())')
    page.apply()
    mask = np.asarray(opened(downloaded(page, 'Mask')))
    assert mask[20:60, 10:50].any() and mask.astype(int).sum() == mask[20:60, 10:50].astype(int).sum()
    for _ in range(2):
        page.keyboard.press('Control+z')
    assert page.js('app.picture.settings.box') is None


def test_domains_regions_and_models(tab: Any) -> None:
    page = tab()
    page.open(png(face()))
    page.click('#panel >> text=Add')
    page.until('app.doc.mask')
    page.choose('cyclegan')
    page.click('.choice >> text=A')
    with page.expect_request(lambda request: request.url.endswith('/edits')) as request:
        page.apply()
    assert request.value.post_data_json['to'] == 'A' and request.value.post_data_json['mask']


def test_a_reload_keeps_the_pictures_and_two_tabs_are_apart(tab: Any) -> None:
    first, second = tab(), tab()
    first.open(png(face()), 'mine.png')
    second.open(png(face(20, 20)))
    first.page.reload()
    first.page.wait_for_selector('body[data-ready]')
    first.until('app.docs.length === 1')
    assert first.js('app.picture.name') == 'mine.png' and second.js('app.docs.length') == 1
    for page in (first, second):
        page.js('(app.set(({set}) => { set.Blond_Hair = 1 }), app.commit())')
    first.page.click('#panel .primary')
    second.apply()
    first.until('app.picture.results.length === 1')
    assert second.js('app.picture.results.length') == 1
