"""How the page stands at every width, in light and dark, for keyboards and for those who cannot see it."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('fastapi', reason="fastapi is not installed: pip install 'retouch[app]'")
pytest.importorskip('httpx', reason='httpx is not installed: it asks the server')

from tests.serving import face, png


def edited(page: Any) -> None:
    page.open(png(face(300, 200)))
    page.js('(app.set(({set}) => { set.Blond_Hair = 1 }), app.commit())')
    page.apply()


def boxes(page: Any, elements: str, wrong: str) -> list[Any]:
    """What is seen of some elements, and of whose box `r` something is wrong."""
    return page.js(f"""[...document.querySelectorAll('{elements}')].filter((e) => e.checkVisibility() && !e.closest('.thumbs'))
        .map((e) => [e.outerHTML.slice(0, 80), e.getBoundingClientRect().toJSON()]).filter(([, r]) => {wrong})""")


@pytest.mark.parametrize('width', [390, 768, 1280])
def test_nothing_scrolls_sideways(tab: Any, width: int) -> None:
    page = tab(width, 844, has_touch=width < 1000, is_mobile=width < 1000)
    for step in (lambda: None, lambda: edited(page)):
        step()
        assert page.js('[document.documentElement.scrollWidth, innerWidth]') == [width, width]
        out = boxes(page, 'button, select, input:not([type=file]), h1, h2', 'r.left < 0 || r.right > innerWidth + 0.5')
        assert not out
    if width == 390:
        page.page.locator('#panel .scroll').evaluate('(e) => e.scrollTo(0, 9999)')
        stage, apply = (page.page.locator(one).bounding_box() for one in ('#stage', '#panel .primary'))
        assert stage['y'] < 60 and stage['height'] > 200 and apply['y'] + apply['height'] <= 844      # both stay in sight
        small = boxes(page, '#rail button, #views button, #strip button, #panel .button, #panel .primary, #bar button',
                      'r.height < 43.5 || r.width < 43.5')
        assert not small


@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', [390, 1280])
def test_no_serious_finding_of_axe(tab: Any, scheme: str, width: int) -> None:
    axe = pytest.importorskip('axe_playwright_python', reason='axe-core is not installed: pip install axe-playwright-python')
    page = tab(width, 844, color_scheme=scheme, bypass_csp=True, reduced_motion='reduce')
    page.add_script_tag(path=Path(axe.__file__).parent / 'axe.min.js')
    for step in (lambda: None, lambda: edited(page), lambda: page.js('app.help.showModal()')):
        step()
        found = page.page.evaluate("() => axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']})")
        serious = [(one['id'], one['help'], [node['html'][:120] for node in one['nodes']]) for one in found['violations']
                   if one['impact'] in ('serious', 'critical')]
        assert not serious
        assert len(found['passes']) > 10


def test_light_and_dark_follow_the_system(tab: Any) -> None:
    levels = [np.asarray(tab(color_scheme=scheme).shot()).mean() for scheme in ('light', 'dark')]
    assert levels[0] > 180 and levels[1] < 60


def test_an_edit_with_the_keyboard_alone(tab: Any) -> None:
    page = tab()
    page.open(png(face(64, 48)))
    canvas = page.page.locator('#stage canvas')
    page.page.locator('body').press('Tab')
    for _ in range(12):
        if canvas.evaluate('(e) => e === document.activeElement'):
            break
        page.keyboard.press('Tab')
    assert canvas.evaluate('(e) => e === document.activeElement')
    page.keyboard.press('b')
    for key in ('[', '[', 'Enter', 'ArrowRight', 'ArrowRight', 'Shift+Enter'):
        page.keyboard.press(key)
    mask = page.mask()
    assert page.js('app.tool') == 'brush' and mask.any() and not mask.all()
    page.keyboard.press('i')
    assert (page.mask() == 255 - mask).all()
    page.keyboard.press('x')
    assert page.mask() is None
    for _ in range(20):
        page.keyboard.press('Tab')
        if page.js("document.activeElement.type === 'range'"):
            break
    page.keyboard.press('End')
    page.keyboard.press('Control+Enter')
    page.until('app.picture.results.length === 1 && !app.busy')
    page.keyboard.press('b')                                     # no key of one letter outside the stage
    assert page.js("document.activeElement.type === 'range'")
    canvas.focus()
    for key, expected in (('w', 'split'), ('h', 'heat'), ('r', 'result')):
        page.keyboard.press(key)
        assert page.js('app.show') == expected
    page.keyboard.press('?')
    assert page.js("document.querySelector('dialog').open")
    page.keyboard.press('Escape')
    page.keyboard.press('v')
    assert page.js('app.tool') == 'move' and not page.js("document.querySelector('dialog').open")
    page.keyboard.press('t')
    assert page.js('app.tint') is True


def test_the_tint_has_an_outline_in_every_colour(tab: Any) -> None:
    page = tab()
    page.open(png(np.full((100, 100, 3), 128, np.uint8)))
    page.js('app.paint((m) => { for (let y = 30; y < 70; y++) m.values.fill(255, y * 100 + 30, y * 100 + 70) })')
    for colour, tint in (('#ff3db5', (255, 61, 181)), ('#00b8ff', (0, 184, 255))):
        page.check(f'.swatches input[value="{colour}"]')
        shot = page.shot().astype(int)
        x, y = (round(v) for v in page.at(50, 50))
        box = page.js('app.stage.canvas.getBoundingClientRect().toJSON()')
        middle = shot[y - round(box['top']), x - round(box['left'])]
        assert np.abs(middle - [0.58 * 128 + 0.42 * c for c in tint]).max() <= 3
        row = shot[y - round(box['top'])]
        assert (row == 0).all(1).any() or (row == 255).all(1).any()


def test_what_is_transparent_lies_on_a_checkerboard(tab: Any) -> None:
    page = tab()
    page.open(png(np.zeros((100, 100, 4), np.uint8)))
    page.wait_for_timeout(300)
    x, y = page.at(50, 50)
    box = page.js('app.stage.canvas.getBoundingClientRect().toJSON()')
    part = page.shot()[round(y - box['top']) - 20:, round(x - box['left']) - 20:][:40, :40]
    assert {tuple(colour) for colour in part.reshape(-1, 3).tolist()} == {(255, 255, 255), (213, 213, 213)}


def test_without_the_token_there_is_no_page(browser: Any, client: Any) -> None:
    context = browser.new_context()
    page = context.new_page()
    answer = page.goto(f'{client.base_url}/?token=wrong')
    assert answer.status == 401 and 'open the address that' in page.text_content('body')
    context.close()
