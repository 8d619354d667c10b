"""Which models the server has, what each of them takes, and the thread that owns it."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from retouch.app.workers import Worker
from retouch.data.batches import DataSpec
from retouch.editor import Editor
from retouch.editor.canvas import Canvas
from retouch.errors import unknown
from retouch.files import read_json
from retouch.hardware import find_device
from retouch.methods.registry import find_method
from retouch.model import CONFIG, SHIPPED, WRITTEN, Model, find_model_dir, load_model


class Served:
    """One model directory; its weights are read when they are first needed, on the model's own thread, as all that is asked of it."""

    def __init__(self, name: str, folder: Path, device: str, queued: int) -> None:
        config = read_json(folder / CONFIG, WRITTEN)
        try:
            method, data = find_method(config['method']), DataSpec.model_validate(config['data'])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f'{folder / CONFIG} describes no model: expected {WRITTEN}') from error
        self.name, self.folder, self.device, self.data = name, folder, device, data
        self.method_id, self.kind = str(method.id), str(method.kind)
        self.edits = hasattr(method, 'translate')
        self.one_hot = config.get('config', {}).get('labels') == 'single'
        self.takes_exemplar = bool(getattr(method, 'takes_exemplar', False))
        self.worker, self.line = Worker(name, queued), list[Any]()       # edits that wait or run, the first first
        self.editor: Editor | None = None
        self.parser: Model | None = None

    @property
    def parses(self) -> bool:
        return self.kind == 'parsing'

    def submit(self, task: Callable[[], Any]) -> Future[Any]:
        """Has the model's thread carry out a task. workers.Busy where too many wait."""
        return self.worker.submit(task)

    def loaded(self) -> Editor:
        """The editor; only on the model's thread."""
        if self.editor is None:
            self.editor = Editor.load(self.folder, self.device)
        return self.editor

    def region(self, image: Image.Image, name: str) -> np.ndarray:
        """Where a parser sees a class: uint8 [H,W], 255 there; only on the model's thread. ValueError for a class it does not know."""
        if name not in self.data.attributes:
            raise unknown('region', name, self.data.attributes)
        if self.parser is None:
            self.parser = load_model(self.folder, find_device(self.device))
        canvas = Canvas.open(image, None, None, self.data.frame)
        seen = torch.from_numpy(canvas.model_input(self.data.size)).to(self.parser.device)
        with torch.inference_mode():
            classes = self.parser.method.nets['parser'](seen).argmax(1, keepdim=True)
        return canvas.enlarge((classes == self.data.attributes.index(name)).float().cpu().numpy())

    def describe(self) -> dict[str, Any]:
        """What a client must know to ask it."""
        return {'name': self.name, 'method': self.method_id, 'kind': self.kind, 'size': self.data.size, 'exclusive': self.one_hot,
                'attributes': [] if self.parses or self.kind == 'exemplars' else self.data.attributes,
                'domains': self.data.domains, 'exemplar': self.takes_exemplar, 'exemplar_mask': self.kind == 'exemplars',
                'regions': self.data.attributes if self.parses else []}


def open_models(names: Sequence[str], device: str, queued: int) -> dict[str, Served]:
    """Model directories, run directories, shipped names, or folders of such -> models by name; without any, the shipped editors.

    Raises:
        ValueError: a name that holds no model, or nothing among them that edits.
    """
    found: list[tuple[str, Path]] = []
    for name in names or [name for name in SHIPPED if name != 'judge']:
        path = Path(name)
        try:
            found.append((_short(path, find_model_dir(name)), find_model_dir(name)))
        except ValueError:
            children = sorted(path.iterdir()) if path.is_dir() else []
            inside = [(child.name, find_model_dir(child)) for child in children if _holds_model(child)]
            if not inside:
                raise
            found += inside
    models: dict[str, Served] = {}
    for short, folder in found:
        count = sum(known.partition('#')[0] == short for known in models)
        served = Served(f'{short}#{count + 1}' if count else short, folder, device, queued)
        if served.edits or served.parses:
            models[served.name] = served
    if not any(model.edits for model in models.values()):
        raise ValueError(f'nothing in {", ".join(names)} edits pictures: expected a model of a method that translates, e.g. toyfaces')
    return models


def _holds_model(path: Path) -> bool:
    return any((folder / CONFIG).is_file() for folder in (path / 'model', path))


def _short(given: Path, folder: Path) -> str:
    """A name to show: of the run, or of the directory."""
    folder = folder.resolve()
    return folder.parent.name if folder.name == 'model' else folder.name or given.name
