"""A model as `retouch export` wrote it: ONNX graphs and, beside them, what must be known of them. Runs in onnxruntime; knows no torch.

`m.onnx` is the translator, `m.json` says everything else; where the system has such parts, `m.reader.onnx` reads attributes, `m.style.onnx`
reads an exemplar's style, and `m.noise.npz` holds what the model is given where nobody draws anything else.
"""
from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from retouch.config import Config
from retouch.data.labels import LabelRule
from retouch.data.spec import DataSpec
from retouch.engine.update import AttributeRequest, DomainRequest, ExemplarRequest, Translation
from retouch.errors import one_line
from retouch.files import read_json

Condition = Literal['difference', 'target', 'source and target', 'domain', 'exemplar', 'none']
TOLD: dict[str, tuple[str, ...]] = {                            # condition -> inputs after `image`
    'difference': ('difference',), 'target': ('target',), 'source and target': ('source', 'target'), 'domain': ('domain',),
    'exemplar': ('exemplar', 'painted', 'exemplar_painted'), 'none': ()}
OF_KIND: dict[str, tuple[Condition, ...]] = {
    'attributes': ('difference', 'target', 'source and target'), 'domains': ('domain', 'none'), 'pairs': ('none',),
    'exemplars': ('exemplar',)}
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
    parts: dict[str, str]
    """'translator', 'reader', 'style', 'noise' -> name of the file."""
    sha256: dict[str, str]
    """Name of a file -> SHA-256."""
    model: str
    """What was exported,"""
    weights_sha256: str
    """and of its weights."""
    terms: str | None = None
    """What imported weights may not be used for."""
    weights: Literal['float32', 'float16']
    """As stored; everything is computed in float32."""
    parity: dict[str, Any] = Field(default_factory=dict)
    """How far the files are from torch, on which pictures, and how far they might be."""

    @model_validator(mode='after')
    def _agrees(self) -> Sidecar:
        """What the editor relies on, so that a file somebody altered is refused before a picture is opened."""
        if self.data.size < 1 or (self.kind == 'attributes' and not self.data.attributes) or (
                self.kind in ('domains', 'pairs') and len(self.data.domains) != 2):
            names = ', '.join((*self.data.attributes, *self.data.domains)) or 'nothing'
            raise ValueError(f'{self.kind} of {self.data.size} px named {names}')
        inputs = ('image', *TOLD[self.condition], *(one.name for one in self.noise))
        if self.condition not in OF_KIND[self.kind] or self.inputs != inputs or self.outputs[:3] != ('output', 'mask', 'change'):
            raise ValueError(f'{self.kind} told {self.condition}, of {", ".join(self.inputs)}, for {", ".join(self.outputs)}')
        return self

    def shapes(self) -> dict[str, list[int]]:
        """What inputs of the parts have beside their batch."""
        size, labels = self.data.size, dict.fromkeys(('difference', 'target', 'source'), [len(self.data.attributes)])
        return {**dict.fromkeys(('image', 'exemplar'), [3, size, size]), **dict.fromkeys(('painted', 'exemplar_painted'), [1, size, size]),
                **labels, **{one.name: list(one.shape) for one in self.noise}}

    def inputs_of(self, part: str) -> tuple[str, ...]:
        """What a part takes, in order."""
        return {'translator': self.inputs, 'reader': ('image',)}.get(part, ('exemplar', 'domain'))


class Runner(NamedTuple):
    """A graph that can be run: arrays by name in, arrays in the order of `outputs` out."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    run: Callable[[dict[str, np.ndarray]], list[np.ndarray]]


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

    def __init__(self, path: Path, sidecar: Sidecar, runners: dict[str, Runner], noise: dict[str, np.ndarray],
                 on_cpu: bool = True) -> None:
        self.path, self.sidecar, self.data, self.weights_sha256 = path, sidecar, sidecar.data, sidecar.weights_sha256
        self.name, self.terms, self.reads, self.on_cpu = sidecar.model, sidecar.terms, 'reader' in runners, on_cpu
        self.method = Described(sidecar.method, sidecar.kind, sidecar.data, sidecar, sidecar.takes_exemplar, sidecar.bound_level)
        self.info: dict[str, Any] = {'data': {'targets': sidecar.targets}}
        self.runners, self.noise = runners, noise
        wanted = {'translator', *(['style'] if sidecar.kind == 'domains' and sidecar.takes_exemplar else [])}
        if missing := wanted - runners.keys():
            raise ValueError(f'{sidecar_path(path)} names no {" and no ".join(sorted(missing))}: expected {WRITTEN}')
        for part, runner in runners.items():
            if runner.inputs != sidecar.inputs_of(part) or (part == 'translator' and runner.outputs != sidecar.outputs):
                raise ValueError(f'{path.parent / sidecar.parts[part]} takes {", ".join(runner.inputs)}: expected '
                                 f'{", ".join(sidecar.inputs_of(part))}, as {sidecar_path(path).name} says')

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
        image, mask = found.pop('output'), found.pop('mask')
        return Translation(image, mask if self.sidecar.masked else None, found)            # type: ignore[arg-type]

    def explain(self, request: AttributeRequest, edited: np.ndarray) -> None:
        """A Grad-CAM needs gradients, which a graph for inference has not."""

    def _run(self, part: str, feed: dict[str, Any]) -> dict[str, np.ndarray]:
        runner = self.runners[part]
        arrays = {name: np.asarray(value, np.int64 if name == 'domain' else np.float32, order='C') for name, value in feed.items()}
        return dict(zip(runner.outputs, runner.run(arrays), strict=True))


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
    runners = {part: _session(path.parent / name, _read(path.parent, name, sidecar), device, sidecar)
               for part, name in sidecar.parts.items() if part != 'noise'}
    return Exported(path, sidecar, runners, read_noise(path.parent, sidecar), device in ('auto', 'cpu'))


def _read(folder: Path, name: str, sidecar: Sidecar) -> bytes:
    expected = sidecar.sha256.get(name)
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


def _session(path: Path, payload: bytes, device: str, sidecar: Sidecar) -> Runner:
    """From bytes, so that a graph can name no other file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4                               # what goes wrong is raised, and said once
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')           # threads without work sleep
    cuda = device.partition(':')[0] == 'cuda'
    if device not in ('auto', 'cpu') and not cuda:
        raise ValueError(f'device {device!r}: expected auto, cpu or cuda for an exported model')
    if cuda and 'CUDAExecutionProvider' not in onnxruntime.get_available_providers():
        raise ValueError(f'device {device!r} is not available here: expected auto or cpu; onnxruntime-gpu has CUDA')
    try:
        session = onnxruntime.InferenceSession(payload, options, [*(['CUDAExecutionProvider'] if cuda else []), 'CPUExecutionProvider'])
    except Exception as error:                                   # onnxruntime has a class for every fault, with no base of their own
        raise ValueError(f'{path} cannot be run ({one_line(error)}): expected {WRITTEN}') from error
    shapes = sidecar.shapes()
    for one in session.get_inputs():                             # other names are refused by whoever knows the part
        if one.name in shapes and list(one.shape[1:]) != (shape := shapes[one.name]):
            raise ValueError(f'{path} takes {one.name} of {list(one.shape[1:])} beside the batch, its .json says {shape}: expected '
                             f'{WRITTEN}')
    return Runner(tuple(i.name for i in session.get_inputs()), tuple(o.name for o in session.get_outputs()),
                  lambda feed: session.run(None, feed))


def read_noise(folder: Path, sidecar: Sidecar) -> dict[str, np.ndarray]:
    """What stands for chance, by name, [1,...] each; nothing where the system takes none."""
    if not sidecar.noise:
        return {}
    path = folder / sidecar.parts.get('noise', '')
    payload = _read(folder, path.name, sidecar)
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as file:
            noise = {one.name: file[one.name] for one in sidecar.noise}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f'{path} cannot be read ({one_line(error)}): expected {WRITTEN}') from error
    for one in sidecar.noise:
        if noise[one.name].shape != (1, *one.shape):
            raise ValueError(f'{path} has {one.name} of shape {noise[one.name].shape}: expected {(1, *one.shape)}')
    return noise
