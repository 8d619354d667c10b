"""How far exported files are from torch: the same requests to both."""
from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from retouch.editor.resample import resize_to
from retouch.engine.update import AttributeRequest, DomainRequest, ExemplarRequest
from retouch.exported import Exported, Runner, Sidecar, load_exported, read_noise, sidecar_path
from retouch.model import Model
from retouch.toyfaces.faces import face, render
from retouch.toyfaces.identity import ATTRIBUTES

BATCHES = (1, 3)         # a batch that was fixed by mistake fits one of them at most; the rest go 8 at a time


def pictures_for(model: Model, n: int) -> tuple[np.ndarray, str]:
    """float32 [n,3,S,S] in [-1,1], and what they are: drawn faces for a model of faces' attributes or of drawn faces, else random ones.

    Random ones are blots of colour, every second one with a black rim.
    """
    spec, info = model.data, model.info.get('data', {})
    if set(spec.attributes) & set(ATTRIBUTES) or info.get('source') == 'toyfaces':
        pixels = np.stack([render(*face(i, seed=0), max(16, spec.size))[0] for i in range(n)])
        return pixels.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1, 'drawn faces'
    blots = np.random.default_rng(0).uniform(-1, 1, (n, 3, 8, 8)).astype(np.float32)
    pictures = resize_to(blots, (spec.size, spec.size), 'bicubic').clip(-1, 1)
    rim = max(1, spec.size // 8)
    inside = np.zeros((spec.size, spec.size), bool)
    inside[rim:-rim, rim:-rim] = True
    pictures[1::2] = np.where(inside, pictures[1::2], -1)
    return pictures, 'random pictures'


def compare(model: Model, sidecar: Sidecar, payloads: dict[str, bytes], pictures: np.ndarray) -> dict[str, float]:
    """Largest difference of every output from torch's, over all pictures: one alone, then 3, then 8 at a time.

    Every second batch has noise of its own, or painted masks, where the system takes such.
    """
    with tempfile.TemporaryDirectory() as folder:
        for file, payload in payloads.items():
            (Path(folder) / file).write_bytes(payload)
        exported = (load_onnx if sidecar.format == 'onnx' else load_pt2)(Path(folder), sidecar)
        g, errors = np.random.default_rng(0), dict[str, float]()

        def note(name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
            difference = float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else float('inf')
            errors[name] = max(errors.get(name, 0.0), difference if difference == difference else float('inf'))

        for i, part in enumerate(batches(len(pictures))):
            x = pictures[part]
            for request in requests_for(model, x, g, extra=i % 2 == 1):
                ours, theirs = exported.translate(request), model.translate(request)
                made = np.asarray(theirs.image)
                note('output', np.asarray(ours.image), made)
                note('change', np.asarray(ours.extras['change']), made - x)
                if theirs.mask is not None:
                    note('mask', np.asarray(ours.mask), np.asarray(theirs.mask))
                if 'exemplar_mask' in ours.extras:
                    note('exemplar_mask', np.asarray(ours.extras['exemplar_mask']), np.asarray(theirs.extras['exemplar_mask']))
            if 'reader' in sidecar.parts:
                note('labels', exported.read(x), model.read(x))
    return errors


def batches(n: int) -> Iterator[slice]:
    """All pictures: the first alone, three, the rest 8 at a time."""
    start = 0
    for size in (*BATCHES, *[8] * n):
        if start < n:
            yield slice(start, min(start + size, n))
            start += size


def requests_for(model: Model, x: np.ndarray, g: np.random.Generator, extra: bool) -> Iterator[Any]:
    """What is asked of pictures [N,3,S,S]: random labels, every domain, another look; with `extra` noise or painted masks too."""
    method: Any = model.method
    n, spec = len(x), model.data
    noise = None
    if extra and hasattr(method, 'fixed_noise'):
        noise = {name: (g.random if name.startswith('dropout') else g.standard_normal)((n, *values.shape[1:]), np.float32)
                 for name, values in method.fixed_noise().items()} or None
    if method.kind == 'attributes':
        a, b = (g.integers(2, size=(n, len(spec.attributes))).astype(np.float32) for _ in range(2))
        yield AttributeRequest(x, a, b, noise)                                         # type: ignore[arg-type]
    elif method.kind == 'exemplars':
        painted = (g.random((2, n, 1, spec.size, spec.size)) < 0.5).astype(np.float32) if extra else (None, None)
        yield ExemplarRequest(x, np.roll(x, 1, 2), *painted)                           # type: ignore[arg-type]
    else:
        for to in spec.domains[method.kind == 'pairs' or spec.one_way:]:
            yield DomainRequest(x, to, noise=noise)                                    # type: ignore[arg-type]
            if hasattr(method, 'style_of'):
                yield DomainRequest(x, to, np.roll(x, 1, 2))                           # type: ignore[arg-type]


def load_onnx(folder: Path, sidecar: Sidecar) -> Exported:
    """The files of a folder as the editor opens them."""
    path = folder / sidecar.parts['translator']
    sidecar_path(path).write_text(sidecar.model_dump_json())
    return load_exported(path)


def load_pt2(folder: Path, sidecar: Sidecar) -> Exported:
    """The same of pt2 files, by torch."""
    outputs = {'translator': sidecar.outputs, 'reader': ('labels',), 'style': ('style',)}

    def runner(part: str, file: str) -> Runner:
        program = torch.export.load(folder / file).module()

        def run(feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            with torch.no_grad():
                return [y.numpy() for y in program(*(torch.tensor(feed[name]) for name in sidecar.inputs_of(part)))]
        return Runner(sidecar.inputs_of(part), outputs[part], run)
    parts = {part: runner(part, file) for part, file in sidecar.parts.items() if part != 'noise'}
    return Exported(folder / sidecar.parts['translator'], sidecar, parts, read_noise(folder, sidecar))
