"""From a model to files that other programs run: ONNX, or torch.export's pt2. What differs from torch is not written.

    one method, one question -> Graph -> torch.export with a dynamic batch -> ONNX or pt2 -> compared with torch -> written
"""
from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from retouch.errors import one_line
from retouch.export.formats import to_onnx, to_pt2
from retouch.export.parity import compare, pictures_for
from retouch.export.questions import condition_of, is_masked, questions_of
from retouch.exported import NoiseInput, Sidecar, sidecar_path
from retouch.files import check_out, read_json, write_atomically
from retouch.model import load_model
from retouch.version import __version__

Format = Literal['onnx', 'pt2']
GATE = 1e-4              # of values in [-1,1], masks and probabilities: further from torch, and nothing is written
HALF_GATE = 2 / 255      # the same for float16 weights: one 8-bit level
PICTURES = 100


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
        ValueError: no model, one that only reads pictures, a name without the format's suffix or beside a .json that is no sidecar, files
            further from torch than GATE (with `half`: HALF_GATE); nothing is written then.
        OSError: the folder cannot be written.
    """
    if out.suffix != f'.{form}':
        raise ValueError(f'--out {out}: expected a file name that ends in .{form}')
    check_out(out.parent)
    if sidecar_path(out).exists():
        try:
            Sidecar.model_validate(read_json(sidecar_path(out), 'the sidecar of an export'))
        except ValueError:
            raise ValueError(f'{sidecar_path(out)} is no sidecar of an export and is not overwritten: choose another --out') from None
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
        noise=tuple(NoiseInput(name=k, shape=v.shape[1:], draw='uniform' if 'dropout' in k else 'normal') for k, v in noise.items()),
        masked=is_masked(method), bound_level=getattr(method, 'bound_level', None), takes_exemplar=getattr(method, 'takes_exemplar', False),
        labels=getattr(method.config, 'labels', None) or 'multi', label_rule=getattr(method.config, 'label_rule', 'attgan_tf'),
        targets=model.info.get('data', {}).get('targets'), parts=parts,
        sha256={file: hashlib.sha256(payload).hexdigest() for file, payload in payloads.items()},
        model=model.name, weights_sha256=model.weights_sha256, terms=model.terms, weights='float16' if half else 'float32')
    pictures, drawn = pictures_for(model, n)
    errors = compare(model, sidecar, payloads, pictures)
    gate = HALF_GATE if half else GATE
    worst = max(errors, key=lambda k: errors[k])
    if not errors[worst] <= gate:
        raise ValueError(f'{worst} of the exported {method.id} is up to {errors[worst]:.2g} away from torch on {n} {drawn}: expected at '
                         f'most {gate:.2g}; nothing was written{"; leave out --half" if half else ""}')
    sidecar = sidecar.model_copy(update={'parity': {'pictures': n, 'of': drawn, 'gate': gate, 'largest_difference': errors}})
    out.parent.mkdir(parents=True, exist_ok=True)
    payloads[sidecar_path(out).name] = (sidecar.model_dump_json(indent=2) + '\n').encode()
    for file, payload in payloads.items():                       # the description last: until then the old one refuses new files
        write_atomically(out.parent / file, payload)
    return Export(sidecar, [out.parent / file for file in payloads], errors)


def _npz(noise: dict[str, Tensor]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: values.numpy() for name, values in noise.items()})
    return buffer.getvalue()
