"""What the tests of `retouch app` share: model directories with untrained weights, a server on a loopback port, pictures of many kinds."""
from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
import uvicorn
from PIL import Image

from retouch.app.guard import Access
from retouch.app.limits import Limits
from retouch.app.models import open_models
from retouch.app.server import bind, create_app
from retouch.editor.edit import Edit
from retouch.methods.registry import find_method
from retouch.model import save_model

TOKEN = 'a-token-that-only-these-tests-know'


def save_tiny(folder: Path, method: str) -> Path:
    """A model directory of a method's smallest form, with the weights of seed 0."""
    torch.manual_seed(0)
    trainable = find_method(method).tiny()
    weights = {f'{net}.{key}': value for net in trainable.inference_nets for key, value in trainable.nets[net].state_dict().items()}
    save_model(folder / method, trainable, weights, {})
    return folder / method


@contextmanager
def serving(names: list[str], limits: Limits | None = None) -> Iterator[httpx.Client]:
    """A client of a server that lives as long as the block; `client.app` is the application."""
    limits = limits or Limits()
    listening = bind('127.0.0.1', 0)
    access = Access(TOKEN, '127.0.0.1', listening.getsockname()[1])
    app = create_app(open_models(names, 'cpu', limits.queued), access, limits)
    server = uvicorn.Server(uvicorn.Config(app, log_level='warning', access_log=False, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={'sockets': [listening]}, daemon=True)
    thread.start()
    with httpx.Client(base_url=f'http://127.0.0.1:{access.port}', headers={'Authorization': f'Bearer {TOKEN}'}, timeout=60) as client:
        client.app, client.access = app, access                  # type: ignore[attr-defined]
        while not server.started:
            time.sleep(0.01)
        try:
            yield client
        finally:
            server.should_exit = True
            thread.join(30)
            listening.close()


def png(image: Image.Image | np.ndarray, kind: str = 'PNG', **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def opened(body: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(body))
    image.load()
    return image


def face(width: int = 64, height: int = 48) -> Image.Image:
    """A smooth picture with some noise: what any model may change."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 40, (height, width, 3))
    return Image.fromarray((np.stack([x * 200 / width, y * 200 / height, (x + y) * 200 / (width + height)], 2) + noise).astype(np.uint8))


def finished(client: httpx.Client, edit: str) -> dict[str, Any]:
    """Waits for an edit."""
    for _ in range(3000):
        answer = client.get(f'/api/v1/edits/{edit}').json()
        if answer['state'] not in ('queued', 'running'):
            return answer
        time.sleep(0.02)
    raise AssertionError(answer)


def added(client: httpx.Client, image: Image.Image | bytes) -> str:
    answer = client.post('/api/v1/images', content=image if isinstance(image, bytes) else png(image))
    assert answer.status_code == 201, answer.text
    return str(answer.json()['id'])


class Slow:
    """An editor that waits for a sign."""

    def __init__(self) -> None:
        self.go, self.begun = threading.Event(), threading.Semaphore(0)

    def read(self, image: Image.Image, box: Any = None) -> dict[str, float]:
        return {}

    def translate(self, image: Image.Image, **options: Any) -> Edit:
        self.begun.release()
        assert self.go.wait(60)
        size = image.size[::-1]
        return Edit(image, np.zeros(size, np.uint8), np.zeros((*size, 3), np.uint8), None, 1.0, {}, {}, [])
