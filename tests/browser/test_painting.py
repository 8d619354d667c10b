"""Where strokes land, what undo brings back, and what is sent of a mask."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip('fastapi', reason="fastapi is not installed: pip install 'retouch[app]'")
pytest.importorskip('httpx', reason='httpx is not installed: it asks the server')

from retouch.app.service import Mask
from tests.serving import face, png


def brush(page: Any, size: int = 1) -> None:
    page.js(f"(app.choose('brush'), app.resize({size}))")


def pixels(mask: np.ndarray) -> list[tuple[int, int]]:
    """(x, y) of what is painted."""
    return [(int(x), int(y)) for y, x in np.argwhere(mask)]


@pytest.mark.parametrize(('ratio', 'size'), [(1, (64, 48)), (2, (64, 48)), (1, (1600, 1200)), (2, (1001, 777))])
def test_a_stroke_lands_on_the_right_pixel(tab: Any, ratio: int, size: tuple[int, int]) -> None:
    page = tab(device_scale_factor=ratio)
    page.open(png(face(*size)))
    brush(page)
    width, height = size
    for at_4x in (False, True):
        if at_4x:
            page.js('app.zoomTo(4)')
        for x, y in ((width // 2, height // 2), (width // 2 + 11, height // 2 - 7)):
            page.js('app.clear()')
            page.mouse.click(*page.at(x + 0.5, y + 0.5))
            assert pixels(page.mask()) == [(x, y)], (at_4x, page.js('app.doc.view'))
    page.set_viewport_size({'width': 900, 'height': 700})
    page.wait_for_timeout(200)
    page.js('app.clear()')
    page.mouse.click(*page.at(width // 2 + 0.5, height // 2 + 0.5))
    assert pixels(page.mask()) == [(width // 2, height // 2)]


def test_the_window_fits_the_picture_until_the_first_zoom(tab: Any) -> None:
    page = tab()
    page.open(png(face(1600, 1200)))
    before = page.js('app.doc.view.scale')
    page.set_viewport_size({'width': 1000, 'height': 600})
    page.wait_for_timeout(200)
    assert (fitted := page.js('app.doc.view.scale')) < before
    page.mouse.move(*page.at(800, 600))
    page.mouse.wheel(0, -400)
    page.until(f'app.doc.view.scale > {fitted}')
    zoomed = page.js('app.doc.view.scale')
    page.set_viewport_size({'width': 1280, 'height': 800})
    page.wait_for_timeout(200)
    assert page.js('app.doc.view.scale') == zoomed
    page.page.locator('#stage canvas').focus()
    page.keyboard.press('0')
    assert page.js('app.doc.view.touched') is False and page.js('app.doc.view.scale') != zoomed


def test_lines_erasing_and_the_brush_in_between(tab: Any) -> None:
    page = tab()
    page.open(png(face(64, 48)))
    brush(page, 4)
    page.mouse.click(*page.at(10.5, 10.5))
    page.keyboard.down('Shift')
    page.mouse.click(*page.at(40.5, 10.5))
    page.keyboard.up('Shift')
    mask = page.mask()
    assert (mask[10, 10:41] == 255).all() and not mask[20].any() and not mask[:, 45:].any()
    page.mouse.move(*page.at(20.5, 5))
    page.mouse.down(button='right')
    page.mouse.move(*page.at(20.5, 20), steps=4)
    page.mouse.up(button='right')
    assert page.mask()[10, 20] == 0 and page.mask()[10, 15] == 255
    # in how many pieces a stroke arrives does not matter
    page.js('app.clear()')
    page.mouse.move(*page.at(5, 30))
    page.mouse.down()
    page.mouse.move(*page.at(55, 40), steps=25)
    page.mouse.up()
    pieces = page.mask()
    page.js('app.clear()')
    page.js('(() => { const s = app.strokeBegin({x: 5, y: 30}, false); app.strokeGo(s, {x: 55, y: 40}); app.strokeEnd(s) })()')
    assert np.abs(pieces.astype(int) - page.mask()).max() <= 2


def test_undo_and_redo_bring_back_every_byte_and_every_setting(tab: Any) -> None:
    page = tab()
    page.open(png(face(640, 480)))
    brush(page, 40)
    rng, states = np.random.default_rng(0), list[tuple[Any, Any]]()

    def state() -> tuple[Any, Any]:
        mask = page.mask()
        return None if mask is None else mask.tobytes(), page.js('JSON.stringify(app.picture.settings)')

    states.append(state())
    for i in range(26):
        if i % 6 == 5:
            page.js(f'(app.set(({{set}}) => {{ set.Blond_Hair = {i} / 100 }}), app.commit())')
        elif i % 9 == 4:
            page.js(['app.paint((m) => m.grow(5))', 'app.paint((m) => m.feather(9))', 'app.paint((m) => m.invert())'][i % 3])
        else:
            x0, y0, x1, y1 = (float(v) for v in rng.uniform(0, 480, 4))
            page.js(f'(() => {{ const s = app.strokeBegin({{x: {x0}, y: {y0}}}, {"true" if i % 4 == 3 else "false"}); '
                    f'app.strokeGo(s, {{x: {x1}, y: {y1}}}); app.strokeEnd(s) }})()')
        states.append(state())
    assert len(set(states)) == 27
    for expected in reversed(states[:-1]):
        page.keyboard.press('Control+z')
        assert state() == expected
    assert page.mask() is None and page.is_disabled('#rail [aria-label=Undo]')
    for expected in states[1:]:
        page.keyboard.press('Control+Shift+z')
        assert state() == expected


def test_grow_shrink_and_feather_by_hand(tab: Any) -> None:
    page = tab()
    page.open(png(face(40, 30)))
    page.js('app.paint((m) => { m.values[15 * 40 + 20] = 255 })')
    page.js('app.paint((m) => m.grow(3))')
    y, x = np.mgrid[:30, :40]
    away = np.hypot(x - 20, y - 15)
    assert np.array_equal(page.mask(), np.where(away <= 3, 255, 0))
    page.js('app.paint((m) => m.grow(-1))')
    outside = np.stack([np.hypot(x - i, y - j) for j, i in np.argwhere(away > 3)]).min(0)
    assert np.array_equal(page.mask(), np.where(outside > 1, 255, 0))
    page.js('app.paint((m) => m.invert())')
    page.js('app.paint((m) => m.feather(4))')
    hole = np.stack([np.hypot(x - i, y - j) for j, i in np.argwhere(outside > 1)]).min(0)
    assert np.abs(page.mask().astype(int) - np.round(255 * np.minimum(1, hole / 5))).max() <= 1 and not page.mask()[15, 20]


def test_what_is_sent_is_what_was_painted(tab: Any) -> None:
    page = tab()
    page.open(png(face(201, 133)))
    page.js('(app.set(({set}) => { set.Blond_Hair = 1 }), app.commit())')
    page.click('text=Take the model’s mask')
    page.until('app.doc.mask')
    whole = page.mask()
    assert set(np.unique(whole)) <= {0, 255} and whole.any()
    brush(page, 30)
    page.mouse.move(*page.at(50, 50))
    page.mouse.down(button='right')
    page.mouse.move(*page.at(120, 70), steps=3)
    page.mouse.up(button='right')
    mask, sent = page.mask(), list[str]()
    assert (mask < whole).any()
    page.on('request', lambda request: request.url.endswith('/masks') and sent.append(request.url))
    page.apply()
    kept = page.client.app.state.service.store.get(page.js('app.doc.sent.id'), Mask)
    assert len(sent) == 1 and np.array_equal(kept.values, mask)
    page.apply()
    assert len(sent) == 1                                        # an equal mask is not sent again
    result = page.js('app.picture.shown.answer')
    assert result['outside_unchanged'] and result['mask_share'] <= (mask > 0).mean()


def test_painting_begins_with_what_is_seen(tab: Any) -> None:
    page = tab()
    page.open(png(face(64, 48)))
    page.js("app.choose('eraser')")
    page.mouse.click(*page.at(5.5, 5.5))
    assert page.mask()[40, 60] == 255 and page.mask()[5, 5] == 0      # an eraser takes from all
    page.js('app.clear()')
    page.js('(app.set(({set}) => { set.Blond_Hair = 1 }), app.commit())')
    page.apply()
    page.click('#views >> text=Mask')
    page.until('app.picture.shown.mask')
    brush(page, 2)
    page.mouse.click(*page.at(2.5, 2.5))
    own = np.array(page.js('Array.from(app.picture.shown.mask)')).reshape(48, 64)
    assert page.mask()[2, 2] == 255 and np.array_equal(page.mask()[6:], np.where(own > 0, 255, 0)[6:])


def test_a_finger_paints_and_two_pinch(tab: Any) -> None:
    page = tab(390, 844, has_touch=True, is_mobile=True, device_scale_factor=2)
    page.open(png(face(300, 300)))
    brush(page, 20)
    touch = page.context.new_cdp_session(page.page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        fingers = [{'x': x, 'y': y, 'id': i} for i, (x, y) in enumerate(points)]
        touch.send('Input.dispatchTouchEvent', {'type': kind, 'touchPoints': fingers})

    send('touchStart', page.at(60, 60))
    send('touchMove', page.at(140, 60))
    send('touchEnd')
    assert page.mask()[60, 100] == 255 and page.mask()[120, 100] == 0
    before, scale = page.mask(), page.js('app.doc.view.scale')
    a, b = page.at(140, 150), page.at(160, 150)
    send('touchStart', a)
    send('touchStart', a, b)
    send('touchMove', (a[0] - 60, a[1]), (b[0] + 60, b[1]))
    send('touchEnd')
    assert page.js('app.doc.view.scale') > 2 * scale
    assert np.array_equal(page.mask(), before)                   # the first finger's dab is taken back
