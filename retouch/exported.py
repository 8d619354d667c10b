"""A model as `retouch export` wrote it: ONNX graphs and, beside them, what must be known of them. Runs in onnxruntime; knows no torch.

`m.onnx` is the translator, `m.json` says everything else; where the system has such parts, `m.reader.onnx` reads attributes, `m.style.onnx`
reads an exemplar's style, and `m.noise.npz` holds what the model is given where nobody draws anything else.
"""
from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
from pydantic import Field

from retouch.config import Config
from retouch.data.labels import LabelRule
from retouch.data.spec import DataSpec
from retouch.engine.update import AttributeRequest, DomainRequest, ExemplarRequest, Translation
from retouch.errors import one_line
from retouch.files import read_json

Condition = Literal['difference', 'target', 'source and target', 'domain', 'exemplar', 'none']
UNPAINTED = -1.0         # of a painted mask's pixels: nothing was painted, the model's own mask holds
WRITTEN = 'the files that `retouch export` wrote together; export the model again or copy all of them'


class NoiseInput(Config):
    """An input that stands for chance: the caller draws it, or takes what `m.noise.npz` holds under the name, [1,...]."""

    name: str
    shape: tuple[int, ...]
    """Without the batch."""
    draw: Literal['normal', 'uniform']
    """N(0,1) or U(0,1)."""


class Sidecar(Config):
    """What `m.json` says: all that the editor must know, and a program of yours."""

    retouch: str
    """Version that wrote it."""
    format: Literal['onnx', 'pt2']
    method: str
    kind: Literal['attributes', 'domains', 'pairs', 'exemplars']
    data: DataSpec
    """Side of the pictures, names of attributes or domains, and which part of a picture the model sees."""
    value_range: tuple[float, float] = (-1.0, 1.0)
    """Of pictures, inputs and outputs: 8-bit level v is v / 127.5 - 1."""
    condition: Condition
    inputs: tuple[str, ...]
    """Of the translator, in order."""
    outputs: tuple[str, ...]
    noise: tuple[NoiseInput, ...] = ()
    masked: bool
    """Whether the system draws an edit mask; otherwise `mask` is 1 everywhere."""
    bound_level: float | None = None
    """8-bit level that the brightest of a pixel's colours must exceed for it to change; None: any may."""
    labels: Literal['multi', 'single'] = 'multi'
    """'single': classes that exclude each other."""
    label_rule: LabelRule = 'attgan_tf'
    """Which labels follow from an edit."""
    targets: str | None = None
    """'single': trained on one edit at a time; several are made one after another."""
    takes_exemplar: bool = False
    parts: dict[Literal['translator', 'reader', 'style', 'noise'], str]
    """Names of the files."""
    sha256: dict[str, str]
    """Name of a file -> SHA-256."""
    model: str
    """What was exported,"""
    weights_sha256: str
    """and of its weights."""
    weights: Literal['float32', 'float16']
    """As stored; everything is computed in float32."""
    parity: dict[str, Any] = Field(default_factory=dict)
    """How far the files are from torch, on which pictures, and how far they might be."""


@dataclass(frozen=True)
class Described:
    """What the editor asks of a method beside its answers."""

    id: str
    kind: str
    data: DataSpec
    config: Sidecar              # `labels` and `label_rule`, as a method's config has them
    takes_exemplar: bool
    bound_level: float | None


class Exported:
    """Stands where a `Model` stands: the same questions, in arrays."""

    translates = True

    def __init__(self, path: Path, sidecar: Sidecar, payloads: dict[str, bytes], device: str) -> None:
        self.path, self.sidecar, self.data, self.weights_sha256 = path, sidecar, sidecar.data, sidecar.weights_sha256
        self.method = Described(sidecar.method, sidecar.kind, sidecar.data, sidecar, sidecar.takes_exemplar, sidecar.bound_level)
        self.info: dict[str, Any] = {'data': {'targets': sidecar.targets}}
        self.sessions = {part: _session(path.parent / sidecar.parts[part], payload, device) for part, payload in payloads.items() if part != 'noise'}
        self.noise = _noise(path.parent / sidecar.parts['noise'], payloads['noise'], sidecar) if sidecar.noise else {}
        names = tuple(i.name for i in self.sessions['translator'].get_inputs())
        if names != sidecar.inputs or not {'output', 'mask'} <= {o.name for o in self.sessions['translator'].get_outputs()}:
            raise ValueError(f'{path} takes {", ".join(names)}: expected {", ".join(sidecar.inputs)}, as {sidecar_path(path)} says')

    def read(self, x: np.ndarray) -> np.ndarray:
        """Attribute probabilities [N,K] of pictures [N,3,S,S] in [-1,1]."""
        return self._run('reader', {'image': x})['labels']

    def translate(self, request: AttributeRequest | DomainRequest | ExemplarRequest) -> Translation:
        """Answers a request of arrays with arrays."""
        x = np.asarray(request.image)
        feed: dict[str, Any] = {'image': x}
        if isinstance(request, AttributeRequest):
            a, b = np.asarray(request.source), np.asarray(request.target)
            feed |= {'difference': {'difference': b - a}, 'target': {'target': b}}.get(self.sidecar.condition, {'source': a, 'target': b})
        elif isinstance(request, ExemplarRequest):
            none = np.full_like(x[:, :1], UNPAINTED)
            feed |= {'exemplar': request.exemplar, 'painted': none if request.mask is None else request.mask,
                     'exemplar_painted': none if request.exemplar_mask is None else request.exemplar_mask}
        elif self.sidecar.condition == 'domain':
            feed['domain'] = np.array(self.data.domains.index(request.to), np.int64)
        elif request.to != self.data.domains[1]:
            source, target = self.data.domains
            raise ValueError(f'this model makes {target} of {source}, not {source} of {target}')
        noise: dict[str, Any] = dict(getattr(request, 'noise', None) or self.noise)
        if isinstance(request, DomainRequest) and request.exemplar is not None:
            noise['style'] = self._run('style', {'exemplar': request.exemplar, 'domain': feed['domain']})['style']
        feed |= {name: np.broadcast_to(values, (len(x), *np.shape(values)[1:])) for name, values in noise.items()}
        found = self._run('translator', feed)
        extras = {'exemplar_mask': found['exemplar_mask']} if 'exemplar_mask' in found else {}
        return Translation(found['output'], found['mask'] if self.sidecar.masked else None, extras)   # type: ignore[arg-type]

    def explain(self, request: AttributeRequest, edited: np.ndarray) -> None:
        """A Grad-CAM needs gradients, which a graph for inference has not."""

    def _run(self, part: str, feed: dict[str, Any]) -> dict[str, np.ndarray]:
        session = self.sessions[part]
        arrays = {name: np.ascontiguousarray(value, np.int64 if name == 'domain' else np.float32) for name, value in feed.items()}
        return dict(zip([o.name for o in session.get_outputs()], session.run(None, arrays), strict=True))


def sidecar_path(path: Path) -> Path:
    """m.onnx -> m.json."""
    return path.with_suffix('.json')


def load_exported(path: str | Path, device: str = 'auto') -> Exported:
    """Opens an exported model for editing.

    Args:
        path: the translator, `m.onnx`; the other files lie beside it.
        device: 'auto' and 'cpu' are the CPU; 'cuda' where onnxruntime was installed with it.

    Raises:
        ValueError: a file is missing, damaged, of another program or of another export; a device this machine lacks.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f'{path} is {"a folder" if path.is_dir() else "not there"}: expected a file of `retouch export`')
    beside = sidecar_path(path)
    if not beside.is_file():
        raise ValueError(f'{beside} is not there: expected it beside {path.name}; `retouch export` writes both, and what another program '
                         'exported cannot be edited with')
    try:
        sidecar = Sidecar.model_validate(read_json(beside, WRITTEN))
    except ValueError as error:
        raise ValueError(error if str(error).startswith(str(beside)) else
                         f'{beside} describes no exported model ({one_line(error)}): expected {WRITTEN}') from error
    if sidecar.format != 'onnx':
        raise ValueError(f'{path} is for torch.export.load: expected an ONNX file to edit with; export the model with --format onnx')
    if sidecar.parts.get('translator') != path.name:
        raise ValueError(f'{beside} describes {sidecar.parts.get("translator")}, not {path.name}: expected {WRITTEN}')
    payloads = {part: _read(path.parent, name, sidecar.sha256.get(name)) for part, name in sidecar.parts.items()}
    wanted = {'translator', *(['reader'] if sidecar.kind == 'attributes' else []), *(['noise'] if sidecar.noise else [])}
    if missing := wanted - payloads.keys():
        raise ValueError(f'{beside} names no {" and no ".join(sorted(missing))}: expected {WRITTEN}')
    return Exported(path, sidecar, payloads, device)      # type: ignore[arg-type]


def _read(folder: Path, name: str, expected: str | None) -> bytes:
    if Path(name).name != name:
        raise ValueError(f'{name!r} is no file name: expected {WRITTEN}')
    try:
        payload = (folder / name).read_bytes()
    except OSError as error:
        raise ValueError(f'{folder / name} cannot be read ({error.strerror}): expected {WRITTEN}') from error
    if (found := hashlib.sha256(payload).hexdigest()) != expected:
        raise ValueError(f'{folder / name} has sha256 {found[:12]}…, its .json '
                         f'says {str(expected)[:12]}…: it is damaged or of another export; expected {WRITTEN}')
    return payload


def _session(path: Path, payload: bytes, device: str) -> onnxruntime.InferenceSession:
    """From bytes, so that a graph can name no other file."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4                               # what goes wrong is raised, and said once
    cuda = device.partition(':')[0] == 'cuda'
    if device not in ('auto', 'cpu') and not cuda:
        raise ValueError(f'device {device!r}: expected auto, cpu or cuda for an exported model')
    if cuda and 'CUDAExecutionProvider' not in onnxruntime.get_available_providers():
        raise ValueError(f'device {device!r} is not available here: expected auto or cpu; onnxruntime-gpu has CUDA')
    try:
        return onnxruntime.InferenceSession(payload, options, providers=[*(['CUDAExecutionProvider'] if cuda else []), 'CPUExecutionProvider'])
    except Exception as error:                                   # onnxruntime has a class for every fault, with no base of their own
        raise ValueError(f'{path} cannot be run ({one_line(error)}): expected {WRITTEN}') from error


def _noise(path: Path, payload: bytes, sidecar: Sidecar) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as file:
            noise = {one.name: file[one.name] for one in sidecar.noise}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f'{path} cannot be read ({one_line(error)}): expected {WRITTEN}') from error
    for one in sidecar.noise:
        if noise[one.name].shape != (1, *one.shape):
            raise ValueError(f'{path} has {one.name} of shape {noise[one.name].shape}: expected {(1, *one.shape)}')
    return noise
