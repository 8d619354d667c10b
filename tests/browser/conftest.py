"""The page of `retouch app` in the system's Chromium: `make test-browser`. Nothing is installed; what is missing is said."""
from __future__ import annotations

import base64
import io
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'))), None)
FLAGS = ('--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync', '--hide-scrollbars')
MISSING = {'playwright': 'playwright is not installed: pip install playwright (it needs no browser of its own)',
           'fastapi': "fastapi is not installed: pip install 'retouch[app]'", 'httpx': 'httpx is not installed: pip install httpx'}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them are slow: a browser takes seconds to start."""
    for item in items:
        if Path(__file__).parent in Path(str(item.path)).parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope='session')
def browser() -> Iterator[Any]:
    for package, reason in MISSING.items():
        pytest.importorskip(package, reason=reason)
    if CHROMIUM is None:
        pytest.skip('no Chromium or Chrome: install the package chromium (apt-get install chromium)')
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope='session')
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.serving import save_tiny

    folder = tmp_path_factory.mktemp('models')
    for method in ('aggan_multi', 'cyclegan', 'lomit', 'parser'):
        save_tiny(folder, method)
    return folder


@pytest.fixture(scope='session')
def client(browser: Any, models: Path) -> Iterator[Any]:
    from tests.serving import serving

    with serving([str(models)]) as found:
        yield found


class Page:
    """A tab with the page of `retouch app`, and what tests do on it. Its policy forbids evaluated strings, so waiting is polling."""

    def __init__(self, context: Any, client: Any, name: str | None = None) -> None:
        self.page, self.client = context.new_page(), client
        self.problems, self.requests = list[str](), list[str]()
        self.page.on('console', lambda message: message.type in ('error', 'warning') and self.problems.append(message.text))
        self.page.on('pageerror', lambda error: self.problems.append(str(error)))
        self.page.on('request', lambda request: self.requests.append(request.url))
        self.page.goto(f'{client.base_url}/?token={client.access.token}')
        self.page.wait_for_selector('body[data-ready]')

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)

    def js(self, expression: str, argument: Any = None) -> Any:
        return self.page.evaluate(f'(argument) => {{ const app = window.retouch; return ({expression}) }}', argument)

    def until(self, expression: str, seconds: float = 60) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if (value := self.js(expression)):
                return value
            self.page.wait_for_timeout(30)
        raise AssertionError(f'never: {expression}; status: {self.status()}')

    def status(self) -> str:
        return str(self.page.text_content('#status .text'))

    def open(self, body: bytes, name: str = 'picture.png') -> None:
        count = self.js('app.docs.length')
        self.page.set_input_files('#picker', [{'name': name, 'mimeType': 'image/png', 'buffer': body}])
        self.until(f'app.docs.length === {count + 1}')
        if not count:
            self.until('app.picture.reading')
            self.until("app.stage.canvas.dataset.shown === 'original'")

    def choose(self, model: str) -> None:
        self.page.select_option('#panel select', model)
        self.until('app.picture.reading')

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the picture lies in the window."""
        return tuple(self.js("""(({left, top}, {x, y, scale}) => [left + x + scale * argument[0], top + y + scale * argument[1]])(
            app.stage.canvas.getBoundingClientRect(), app.doc.view)""", [x, y]))

    def mask(self) -> np.ndarray | None:
        """uint8 [H,W]; None where nothing is painted."""
        text = 'btoa(Array.from(app.doc.mask.values, (v) => String.fromCharCode(v)).join(""))'
        found = self.js(f'app.doc.mask && [app.doc.height, app.doc.width, {text}]')
        return None if found is None else np.frombuffer(base64.b64decode(found[2]), np.uint8).reshape(found[:2])

    def apply(self) -> None:
        count = self.js('app.picture.results.length')
        self.page.click('#panel .apply .primary')
        self.until(f'app.picture.results.length === {count + 1} && !app.busy', 120)

    def shot(self) -> np.ndarray:
        """What is seen of the stage, uint8 [H,W,3]."""
        self.js('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))')
        return np.asarray(Image.open(io.BytesIO(self.page.locator('#stage').screenshot())).convert('RGB'))


@pytest.fixture
def tab(browser: Any, client: Any) -> Iterator[Callable[..., Page]]:
    """tab(width, height, client, **options of the context) -> a Page; all are closed in the end, and none may have complained."""
    contexts, pages = list[Any](), list[Page]()

    def make(width: int = 1280, height: int = 800, server: Any = None, complaints: bool = False, **options: Any) -> Page:
        contexts.append(browser.new_context(viewport={'width': width, 'height': height}, **options))
        page = Page(contexts[-1], server or client)
        if not complaints:
            pages.append(page)
        return page

    yield make
    problems = [problem for page in pages for problem in page.problems]
    for context in contexts:
        context.close()
    assert not problems
