"""A model directory: config.json and model.safetensors, self-describing, loaded without flags and without pickle."""
from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from retouch.data.batches import DataSpec
from retouch.engine.state import STATE, load_state
from retouch.engine.update import Method, Translation
from retouch.errors import one_line, unknown
from retouch.files import put_in_place, read_json, write_atomically
from retouch.guidance.gradcam import explain_edit
from retouch.hub import fetch_model, is_on_hub, name_of
from retouch.methods.registry import find_method
from retouch.version import __version__

WEIGHTS, CONFIG, NEXT = 'model.safetensors', 'config.json', '.config.next.json'
WRITTEN = 'the file that training wrote; copy the model directory again'
ASSETS = Path(__file__).parent / 'assets'
SHIPPED = {name: ASSETS / name for name in ('toyfaces', 'leaves', 'judge')}


@dataclass(frozen=True)
class Model:
    """A trained system ready to use: weights at rest, no gradient, and what config.json says of it."""

    method: Method
    path: Path
    weights_sha256: str
    info: dict[str, Any] = field(default_factory=dict)   # run name, recipe, iteration, seed, ema, data source, versions

    @property
    def data(self) -> DataSpec:
        return self.method.data

    @property
    def name(self) -> str:
        """What a record calls it."""
        return name_of(self.path) or (self.path.parent.name if self.path.name == 'model' else self.path.name)

    @property
    def terms(self) -> str | None:
        """Of imported weights, and of those that began with them: what they may not be used for; None where nothing is known."""
        return origin_to_terms(self.info.get('origin') or self.info.get('begun_with') or {})

    @property
    def reads(self) -> bool:
        """Whether it can say which attributes a picture shows."""
        return can_read(self.method)

    @property
    def on_cpu(self) -> bool:
        return self.device.type == 'cpu'

    @property
    def device(self) -> torch.device:
        return next(self.method.nets.parameters()).device

    # ---- asked in NumPy arrays, as an exported model is

    @property
    def translates(self) -> bool:
        """Whether it edits pictures; a classifier or a parser only reads them."""
        return hasattr(self.method, 'translate')

    def read(self, x: np.ndarray) -> np.ndarray:
        """Attribute probabilities [N,K] of pictures [N,3,S,S] in [-1,1]."""
        with torch.inference_mode():
            return self.method.read(self._tensor(x)).float().cpu().numpy()               # type: ignore[attr-defined]

    def translate(self, request: Any) -> Translation:
        """Answers a request of arrays with arrays."""
        with torch.inference_mode():
            found = self.method.translate(self._tensors(request))
        image, mask, extras = _array(found.image), None if found.mask is None else _array(found.mask), found.extras
        return Translation(image, mask, {name: _array(extra) for name, extra in extras.items()})          # type: ignore[arg-type]

    def explain(self, request: Any, edited: np.ndarray) -> np.ndarray | None:
        """Where the class head sees what was answered to a request: [N,1,S,S] in [0,1]; None where there is none. See `explain_edit`."""
        with torch.no_grad():                                    # not inference_mode: a Grad-CAM is a gradient
            shown = explain_edit(self.method, self._tensors(request), self._tensor(edited))
        return None if shown is None else _array(shown)

    def _tensors(self, request: Any) -> Any:
        given = {f.name: getattr(request, f.name) for f in fields(request)}
        found: dict[str, Any] = {name: self._tensor(value) for name, value in given.items() if isinstance(value, np.ndarray)}
        if given.get('noise') is not None:
            found['noise'] = {name: self._tensor(value) for name, value in given['noise'].items()}
        return replace(request, **found)

    def _tensor(self, x: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(x)).to(self.device)


def _array(x: Tensor) -> np.ndarray:
    return x.detach().float().cpu().numpy()


def can_read(method: Any) -> bool:
    """Whether a method has all that reads attributes: imported generators came without the network that does."""
    return hasattr(method, 'read') and set(getattr(method, 'inference_nets', ())) <= set(method.nets)


def origin_to_terms(origin: dict[str, Any]) -> str | None:
    """One sentence on the terms of imported weights; None where neither licence nor training set is known to exclude commercial use."""
    if not origin.get('non_commercial'):
        return None
    data, terms = origin.get('trained_on'), origin.get('data_terms')
    parts = [f'weights of {origin.get("source")}, {origin.get("licence")}', *([f'trained on {data}: {terms}'] if terms else [])]
    return f'not for commercial use: {"; ".join(parts)}'


def save_model(folder: Path, trainable: Any, weights: dict[str, Tensor], info: dict[str, Any], dtype: torch.dtype | None = None,
               nets: tuple[str, ...] | None = None) -> None:
    """Writes a model directory.

    Args:
        folder: made if missing.
        trainable: names the method id, its config and its data.
        weights: '<net>.<key>' -> tensor, for the nets in `trainable.inference_nets`.
        info: JSON-able facts about the run.
        dtype: stored floating type; None keeps float32. float16 halves a shipped file, loading returns float32.
        nets: which nets it holds; None: `trainable.inference_nets`.

    Raises:
        OSError: the disk is full or not writable; a previous model in `folder` is left as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stored = {k: (v.to(dtype) if dtype and v.is_floating_point() else v).detach().cpu().contiguous() for k, v in weights.items()}
    payload = safetensors.torch.save(stored, metadata={'format': 'pt'})
    config = {
        'retouch': __version__, 'method': trainable.id, 'config': trainable.config.model_dump(mode='json'),
        'data': trainable.data.model_dump(mode='json'), 'nets': list(nets or trainable.inference_nets),
        'sha256': hashlib.sha256(payload).hexdigest(), 'info': info,
    }
    # the two change together: a cut between the renames leaves weights whose description lies beside them (see `_finish_save`)
    write_atomically(folder / NEXT, (json.dumps(config, indent=2) + '\n').encode(), alone=True)
    write_atomically(folder / WEIGHTS, payload, alone=True)
    put_in_place(folder / NEXT, folder / CONFIG)


def find_model_dir(name: str | Path) -> Path:
    """The model directory meant by a run directory, a model directory, a shipped model's name or hf://USER/MODEL. Raises ValueError."""
    path = fetch_model(name) if is_on_hub(name) else Path(name)
    for candidate in (path / 'model', path):
        _finish_save(candidate)
        if (candidate / CONFIG).is_file():
            return candidate
    if str(name) in SHIPPED:
        return SHIPPED[str(name)]
    if path.suffix in ('.onnx', '.pt2'):
        raise ValueError(f'{path} is an exported model, which `retouch edit` alone takes, as its MODEL: expected the model directory '
                         'that it was exported from')
    if path.exists():
        raise ValueError(f'{path} holds no model: expected {CONFIG} and {WEIGHTS} in it or in its model/ folder')
    raise unknown('model', str(name), [*SHIPPED, 'a run directory', 'a model directory'])


def _finish_save(folder: Path) -> None:
    """After a cut between the two renames of a save, the weights are new and their description waits beside them: it takes its place."""
    if (folder / NEXT).is_file() and (folder / WEIGHTS).is_file():
        with contextlib.suppress(OSError, ValueError):
            if read_json(folder / NEXT, WRITTEN).get('sha256') == hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest():
                put_in_place(folder / NEXT, folder / CONFIG)


def read_start(name: str | Path) -> tuple[dict[str, Tensor], dict[str, Any] | None, str]:
    """What a new run may begin with: of a run directory its saved state, of any other model its weights.

    Returns:
        '<net>.<key>' -> tensor; the states of its optimisers, None of a model; the SHA-256 of the file that was read.

    Raises:
        ValueError: nothing there, or it cannot be read.
    """
    path = Path(name) / 'state'
    state = load_state(path)
    if state is None:
        folder = find_model_dir(name)
        weights, digest = read_weights(folder)
        _check_digest(folder, digest, read_json(folder / CONFIG, WRITTEN).get('sha256'))
        return weights, None, digest
    try:
        weights = {key.partition('nets.')[2]: value for key, value in state['trainable'].items() if 'nets.' in key}
        optimisers = state['optimisers']
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f'{path / STATE} is no state of a training ({type(error).__name__}: {error}): expected a run directory') from error
    with open(path / STATE, 'rb') as file:
        return weights, optimisers, hashlib.file_digest(file, 'sha256').hexdigest()


def read_origin(name: str | Path) -> dict[str, Any] | None:
    """Whose weights a run or model is made of, where they were imported, or where it began with such: what the import recorded.

    Raises:
        ValueError: a description that cannot be read.
    """
    record = Path(name) / 'run.json'
    if record.is_file():                                         # of a run there may be a state and no model yet
        return read_json(record, WRITTEN).get('begun_with')
    info = read_json(find_model_dir(name) / CONFIG, WRITTEN).get('info') or {}
    return info.get('origin') or info.get('begun_with')


def read_weights(folder: Path) -> tuple[dict[str, Tensor], str]:
    """'<net>.<key>' -> tensor of a model directory, and the SHA-256 of the file. ValueError where it cannot be read."""
    try:
        payload = (folder / WEIGHTS).read_bytes()
        weights = {k: v.float() if v.is_floating_point() else v for k, v in safetensors.torch.load(payload).items()}
    except (OSError, safetensors.SafetensorError) as error:
        raise ValueError(f'{folder / WEIGHTS} cannot be read ({one_line(error)}): expected a whole safetensors file; '
                         'copy the model directory again') from error
    return weights, hashlib.sha256(payload).hexdigest()


def _check_digest(folder: Path, digest: str, expected: Any) -> None:
    """ValueError where the weights are not those that config.json describes."""
    if digest != expected:
        raise ValueError(f'{folder / WEIGHTS} has sha256 {digest[:12]}…, {CONFIG} says {str(expected)[:12]}…: expected the two files '
                         'of one training; copy the model directory again')


def load_model(name: str | Path, device: torch.device | str = 'cpu') -> Model:
    """Loads a model for use.

    Args:
        name: run directory, model directory or shipped name.
        device: where its weights go.

    Raises:
        ValueError: nothing there, a truncated or altered file, or tensors that do not fit the named method.
    """
    folder = find_model_dir(name)
    config = read_json(folder / CONFIG, WRITTEN)
    try:
        cls = find_method(config['method'])
        method = cls(cls.Config.model_validate(config['config']), DataSpec.model_validate(config['data']))
        nets, sha256, info = config['nets'], config['sha256'], config['info']
        if not isinstance(nets, list) or not set(nets) <= set(method.nets):
            raise ValueError(f'nets {nets}')
        if not isinstance(sha256, str) or not isinstance(info, dict) or not isinstance(info.get('data', {}), dict):
            raise ValueError(f'sha256 {sha256!r:.20}, info {info!r:.60}')
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        said = f'{type(error).__name__}: ' if isinstance(error, KeyError) else ''
        raise ValueError(f'{folder / CONFIG} describes no model ({said}{one_line(error)}): expected {WRITTEN}') from error
    weights, digest = read_weights(folder)
    expected = {f'{n}.{k}': v for n in nets for k, v in method.nets[n].state_dict().items()}
    for key in sorted(expected.keys() | weights.keys()):
        if key not in weights or key not in expected or weights[key].shape != expected[key].shape:
            found, want = (tuple(d[key].shape) if key in d else 'nothing' for d in (weights, expected))
            raise ValueError(f'{folder / WEIGHTS} does not fit {config["method"]}: tensor {key} is {found}, expected {want}; '
                             f'{CONFIG} and {WEIGHTS} must come from one training')
    _check_digest(folder, digest, sha256)
    for net in nets:
        method.nets[net].load_state_dict({k.removeprefix(f'{net}.'): v for k, v in weights.items() if k.startswith(f'{net}.')})
    for net in set(method.nets) - set(nets):
        del method.nets[net]
    method.nets.requires_grad_(False).eval().to(device)
    return Model(method, folder, digest, info)


def model_to_parser(model: Model, size: int, names: tuple[str, ...] | None = None) -> Model:
    """The same model, if it parses pictures of `size` px into the classes `names` (None: any list).

    Raises:
        ValueError: no parser, a parser of another size or of other classes.
    """
    if model.method.id != 'parser':
        raise ValueError(f'{model.path} is a {model.method.id}: expected a parser; train one with `retouch train parser.toyfaces48`')
    if model.data.size != size:
        raise ValueError(f'{model.path} parses {model.data.size} px, the pictures are {size} px: expected a parser of that size; train one '
                         f'with `retouch train parser.toyfaces48 --data.size {size}` (drawn faces) or parser.celebamask (photographs)')
    if names is not None and model.data.attributes != tuple(names):
        raise ValueError(f'{model.path} names the classes {", ".join(model.data.attributes)}: expected {", ".join(names)} in that order; '
                         'use a parser of the same list')
    return model
