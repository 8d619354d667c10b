"""From a model to files that other programs run: ONNX, or torch.export's pt2. What differs from torch is not written.

    pictures, condition, noise -> Graph (one method, one question) -> torch.export with a dynamic batch -> ONNX or pt2 -> compared -> written

A graph is what `translate`, `read` or `style_of` compute, traced; nothing is written a second time for exporting.
"""
from __future__ import annotations

import hashlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from retouch.editor.resample import resize_to
from retouch.engine.update import AttributeRequest, DomainRequest, ExemplarRequest, Translation
from retouch.errors import one_line
from retouch.exported import UNPAINTED, Condition, Exported, NoiseInput, Runner, Sidecar, load_exported, read_noise, sidecar_path
from retouch.files import write_atomically
from retouch.model import Model, load_model
from retouch.toyfaces.faces import face, render
from retouch.toyfaces.identity import ATTRIBUTES
from retouch.version import __version__

Format = Literal['onnx', 'pt2']
GATE = 1e-4              # of values in [-1,1], masks and probabilities: further from torch, and nothing is written
HALF_GATE = 2 / 255      # the same for float16 weights: one 8-bit level
PICTURES = 100
BATCHES = (1, 3)         # a batch that was fixed by mistake fits one of them at most; the rest go 8 at a time
OPSET = 20


class Graph(nn.Module):
    """One question to a method as tensors in, tensors out."""

    def __init__(self, method: nn.Module, answer: Callable[..., tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.method, self.answer = method, answer

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self.answer(*inputs)


@dataclass(frozen=True)
class Question:
    """What becomes one file."""

    part: Literal['translator', 'reader', 'style']
    graph: Graph
    inputs: dict[str, Tensor]                                # an example of each, N = 2; `domain` has no batch
    outputs: tuple[str, ...]


@dataclass
class Export:
    """What was written, and how far it is from torch."""

    sidecar: Sidecar
    paths: list[Path] = field(default_factory=list)
    errors: dict[str, float] = field(default_factory=dict)   # output -> largest difference over the pictures


def export_model(name: str | Path, out: Path, form: Format = 'onnx', half: bool = False, n: int = PICTURES) -> Export:
    """Exports a model and compares what was written with torch.

    Args:
        name: run directory, model directory or shipped name.
        out: the translator's file, m.onnx or m.pt2; m.json and, where the system has them, reader, style and noise lie beside it.
        form: what is written.
        half: store weights as float16; they are computed with in float32.
        n: pictures that torch and the files are compared on: drawn faces for what edits faces, random ones for others.

    Raises:
        ValueError: no model, one that only reads pictures, a name without the format's suffix, or files further from torch than GATE (with
            `half`: HALF_GATE); nothing is written then.
        OSError: the folder cannot be written.
    """
    if out.suffix != f'.{form}':
        raise ValueError(f'--out {out}: expected a file name that ends in .{form}')
    model = load_model(name)
    method: Any = model.method
    if not model.translates:
        raise ValueError(f'{model.path} is a {method.id}, which reads pictures and cannot edit them: choose another model')
    noise: dict[str, Tensor] = method.fixed_noise() if hasattr(method, 'fixed_noise') else {}
    condition = condition_of(method)
    questions = questions_of(method, condition, noise)
    parts: dict[str, str] = {q.part: f'{out.stem}{"" if q.part == "translator" else f".{q.part}"}.{form}' for q in questions}
    try:
        payloads = {parts[q.part]: (to_onnx if form == 'onnx' else to_pt2)(q, half) for q in questions}
    except ModuleNotFoundError:
        raise
    except Exception as error:                                   # torch's exporters raise what they meet
        raise ValueError(f'{method.id} cannot be traced ({one_line(error)}): expected a method that takes any number of pictures and draws '
                         'nothing at random but by `fixed_noise`') from error
    if noise:
        parts['noise'] = f'{out.stem}.noise.npz'
        payloads[parts['noise']] = _npz(noise)
    sidecar = Sidecar(
        retouch=__version__, format=form, method=method.id, kind=method.kind, data=method.data, condition=condition,
        inputs=tuple(questions[0].inputs), outputs=questions[0].outputs,
        noise=tuple(NoiseInput(name=k, shape=tuple(v.shape[1:]), draw='uniform' if k.startswith('dropout') else 'normal')
                    for k, v in noise.items()),
        masked=_is_masked(method), bound_level=getattr(method, 'bound_level', None), labels=getattr(method.config, 'labels', None) or 'multi',
        label_rule=getattr(method.config, 'label_rule', 'attgan_tf'), targets=model.info.get('data', {}).get('targets'),
        takes_exemplar=getattr(method, 'takes_exemplar', False), parts=parts,
        sha256={file: hashlib.sha256(payload).hexdigest() for file, payload in payloads.items()},
        model=_name_of(model), weights_sha256=model.weights_sha256, weights='float16' if half else 'float32')
    pictures, drawn = pictures_for(model, n)
    errors = compare(model, sidecar, payloads, pictures)
    gate = HALF_GATE if half else GATE
    worst = max(errors, key=lambda k: errors[k])
    if not errors[worst] <= gate:
        raise ValueError(f'{worst} of the exported {method.id} is up to {errors[worst]:.2g} away from torch on {n} {drawn}: expected at most '
                         f'{gate:.2g}; nothing was written{"; leave out --half" if half else ""}')
    sidecar = sidecar.model_copy(update={'parity': {'pictures': n, 'of': drawn, 'gate': gate, 'largest_difference': errors}})
    out.parent.mkdir(parents=True, exist_ok=True)
    payloads[sidecar_path(out).name] = (sidecar.model_dump_json(indent=2) + '\n').encode()
    for file, payload in payloads.items():                       # the description last: until it is there, the old one refuses the new files
        write_atomically(out.parent / file, payload)
    return Export(sidecar, [out.parent / file for file in payloads], errors)


def _name_of(model: Model) -> str:
    return model.path.parent.name if model.path.name == 'model' else model.path.name


def _npz(noise: dict[str, Tensor]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: values.numpy() for name, values in noise.items()})
    return buffer.getvalue()


# ---- what is asked

def condition_of(method: Any) -> Condition:
    """What a translator must be told: of labels as little as gives the same answers."""
    if method.kind != 'attributes':
        return {'domains': 'domain', 'pairs': 'none', 'exemplars': 'exemplar'}[method.kind]       # type: ignore[return-value]
    g, spec = torch.Generator().manual_seed(0), method.data
    x, a = torch.rand(4, 3, spec.size, spec.size, generator=g) * 2 - 1, torch.eye(len(spec.attributes))[:4].repeat(4, 1)[:4]
    b = 1 - a
    with torch.no_grad():
        told = method.translate(AttributeRequest(x, a, b)).image
        for condition, (source, target) in {'difference': (torch.zeros_like(a), b - a), 'target': (b, b)}.items():
            if torch.equal(told, method.translate(AttributeRequest(x, source, target)).image):
                return condition                                                       # type: ignore[return-value]
    return 'source and target'


def _is_masked(method: Any) -> bool:
    """Whether the system draws an edit mask: asked of a grey picture."""
    spec = method.data
    x, labels = torch.zeros(1, 3, spec.size, spec.size), torch.zeros(1, len(spec.attributes))
    request = (AttributeRequest(x, labels, labels) if method.kind == 'attributes' else ExemplarRequest(x, x) if method.kind == 'exemplars'
               else DomainRequest(x, spec.domains[1]))
    with torch.no_grad():
        return method.translate(request).mask is not None


def questions_of(method: Any, condition: Condition, noise: dict[str, Tensor]) -> list[Question]:
    """The translator first; a reader of labels and a reader of styles where the method has them."""
    spec, n = method.data, 2
    x = torch.zeros(n, 3, spec.size, spec.size)
    labels, domain = torch.zeros(n, len(spec.attributes)), torch.tensor(1)
    drawn = {name: values.expand(n, *values.shape[1:]).contiguous() for name, values in noise.items()}

    def shown(image: Tensor, made: Translation) -> tuple[Tensor, ...]:
        mask = torch.ones_like(image[:, :1]) if made.mask is None else made.mask
        return made.image, mask, made.image - image

    def given(values: Sequence[Tensor]) -> dict[str, Tensor] | None:
        return dict(zip(drawn, values, strict=True)) or None

    def one_of(domain: Tensor, answer: Callable[..., tuple[Tensor, ...]], *operands: Tensor) -> tuple[Tensor, ...]:
        """`answer(to, ...)` for the domain that is asked for, 0 or 1: one branch is computed."""
        def branch(to: str) -> Callable[..., tuple[Tensor, ...]]:
            return lambda *values: tuple(y.clone() for y in answer(to, *values))
        return torch.cond(domain > 0, branch(spec.domains[1]), branch(spec.domains[0]), operands)

    def difference(image: Tensor, difference: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        return shown(image, method.translate(AttributeRequest(image, torch.zeros_like(difference), difference, given(values))))

    def target(image: Tensor, target: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        return shown(image, method.translate(AttributeRequest(image, target, target, given(values))))

    def both(image: Tensor, source: Tensor, target: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        return shown(image, method.translate(AttributeRequest(image, source, target, given(values))))

    def to_domain(image: Tensor, domain: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        return one_of(domain, lambda to, x, *v: shown(x, method.translate(DomainRequest(x, to, noise=given(v)))), image, *values)

    def pair(image: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        return shown(image, method.translate(DomainRequest(image, spec.domains[1], noise=given(values))))

    def transfer(image: Tensor, exemplar: Tensor, painted: Tensor, exemplar_painted: Tensor) -> tuple[Tensor, ...]:
        made = method.transfer(image, exemplar, painted, exemplar_painted)
        return *shown(image, made), made.extras['exemplar_mask']

    painted = torch.full_like(x[:, :1], UNPAINTED)
    answer, told = {
        'difference': (difference, {'difference': labels}), 'target': (target, {'target': labels}),
        'source and target': (both, {'source': labels, 'target': labels.clone()}), 'domain': (to_domain, {'domain': domain}),
        'none': (pair, {}), 'exemplar': (transfer, {'exemplar': x.clone(), 'painted': painted, 'exemplar_painted': painted.clone()})}[condition]
    outputs = ('output', 'mask', 'change', *(['exemplar_mask'] if condition == 'exemplar' else []))
    questions = [Question('translator', Graph(method, answer), {'image': x, **told, **drawn}, outputs)]
    if method.kind == 'attributes' and hasattr(method, 'read'):
        questions.append(Question('reader', Graph(method, lambda image: (method.read(image),)), {'image': x}, ('labels',)))
    if hasattr(method, 'style_of'):
        def style(exemplar: Tensor, domain: Tensor) -> tuple[Tensor, ...]:
            return one_of(domain, lambda to, e: (method.style_of(e, to),), exemplar)

        questions.append(Question('style', Graph(method, style), {'exemplar': x, 'domain': domain}, ('style',)))
    return questions


# ---- into files

def trace(question: Question, half: bool) -> torch.export.ExportedProgram:
    """The graph of a question for any number of pictures."""
    n = torch.export.Dim('n', min=1)
    shapes = tuple({0: n} if x.ndim else None for x in question.inputs.values())
    with torch.no_grad(), _quiet():
        program = torch.export.export(question.graph.eval(), tuple(question.inputs.values()), dynamic_shapes={'inputs': shapes}, strict=False)
    return halved(program) if half else program


def halved(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The same with weights of two dimensions and more stored as float16, each brought to float32 where it is used."""
    graph = program.graph
    names = program.graph_signature.inputs_to_parameters
    first = next(node for node in graph.nodes if node.op != 'placeholder')
    for node in [n for n in graph.nodes if n.name in names]:
        weight = program.state_dict[names[node.name]]
        if weight.ndim < 2:
            continue
        program.state_dict[names[node.name]] = nn.Parameter(weight.detach().half(), requires_grad=False)
        with graph.inserting_before(first):
            full = graph.call_function(torch.ops.aten._to_copy.default, (node,), {'dtype': torch.float32})
        full.meta = dict(node.meta)
        node.replace_all_uses_with(full, delete_user_cb=lambda user, full=full: user is not full)
        node.meta['val'] = node.meta['val'].half()
    program.graph_module.recompile()
    return program


def to_pt2(question: Question, half: bool) -> bytes:
    """What `torch.export.load` reads."""
    buffer = io.BytesIO()
    torch.export.save(trace(question, half), buffer)
    return buffer.getvalue()


def to_onnx(question: Question, half: bool) -> bytes:
    """An ONNX model whose every batch is `n`."""
    from onnxscript import opset20 as op

    def group_norm(x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn_enabled: bool = True) -> Any:
        """Centred before it is normalised: onnxruntime's own mean of a map is a plain float32 sum, 30 times as far off as torch's."""
        grouped = op.Reshape(x, op.Constant(value_ints=[0, groups, -1]))                                  # [N,G,C/G h w]
        centred = op.Sub(grouped, op.ReduceMean(grouped, op.Constant(value_ints=[2]), keepdims=1))
        one, zero = (op.Constant(value_floats=[value] * groups) for value in (1.0, 0.0))
        out = op.Reshape(op.InstanceNormalization(centred, one, zero, epsilon=eps), op.Shape(x))
        for combine, values in ((op.Mul, weight), (op.Add, bias)):
            if values is not None:
                out = combine(out, op.Unsqueeze(values, op.Constant(value_ints=[1, 2])))
        return out

    with _quiet():
        program = torch.onnx.export(trace(question, half), dynamo=True, verbose=False, external_data=False, opset_version=OPSET,
                                    input_names=list(question.inputs), output_names=list(question.outputs),
                                    custom_translation_table={torch.ops.aten.group_norm.default: group_norm})
    assert program is not None
    model = program.model_proto
    model.producer_name, model.producer_version = 'retouch', __version__
    return model.SerializeToString()


@contextmanager
def _quiet() -> Iterator[None]:
    """torch's exporter reports and warns of its own workings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)


# ---- compared with torch

def pictures_for(model: Model, n: int) -> tuple[np.ndarray, str]:
    """float32 [n,3,S,S] in [-1,1], and what they are: drawn faces for a model of faces' attributes or of drawn faces, random ones for others.

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
    """What is asked of pictures [N,3,S,S]: random labels, every domain, the next picture's look; with `extra` noise or painted masks too."""
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
        for to in spec.domains if method.kind == 'domains' else spec.domains[1:]:
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
