"""Published weights into a model directory: read, put in order, counted, run once, and described with their licence and terms."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from retouch.engine.update import AttributeRequest, DomainRequest
from retouch.errors import one_line, unknown
from retouch.methods.registry import find_method
from retouch.model import CONFIG, save_model
from retouch.weights.mapping import Part, arrange
from retouch.weights.plan import Asked
from retouch.weights.reading import read_checkpoint
from retouch.weights.sources import SOURCES, TERMS


def import_weights(source: str, files: Sequence[str | Path], out: str | Path, asked: Asked | None = None,
                   trained_on: str | None = None) -> dict[str, Any]:
    """Writes a model directory of weights in the form in which their authors save them.

    Args:
        source: a key of `SOURCES`.
        files: as the authors name them; local.
        out: the model directory, made if missing; one that holds a model is refused.
        asked: what the files do not say.
        trained_on: the training set; None: what the authors published theirs on, where there is one.

    Returns:
        what the directory's config.json says under `origin`.

    Raises:
        ValueError: an unknown source, a file that cannot be read or does not fit, or weights whose output is not finite.
        OSError: the directory cannot be written.
    """
    if source not in SOURCES:
        raise unknown('source', source, SOURCES)
    known, out = SOURCES[source], Path(out)
    if not 1 <= len(files) <= known.most:
        raise ValueError(f'{len(files)} files: expected {known.files} of {known.repository}')
    if any((folder / CONFIG).exists() for folder in (out, out / 'model')):                   # of a run directory it would never be found
        raise ValueError(f'{out} already holds a model: choose another --out')
    if asked is not None and asked.size is not None and asked.size < 1:
        raise ValueError(f'--size {asked.size}: expected a number of pixels')
    checkpoints = [read_checkpoint(path) for path in files]
    try:
        plan = known.plan(checkpoints, asked or Asked())
    except ValidationError as error:                             # shapes of no network
        raise ValueError(f'{", ".join(map(str, files))}: {one_line(error)}') from None
    for part in plan.parts.values():
        _check_own(part)
    with torch.device('meta'):                                   # nothing is allocated for a file that does not fit
        shapes = _build(source, plan.config, plan.data)
        expected = {net: shapes.nets[net].state_dict() for net in plan.parts}
    arranged = {net: arrange(part, expected[net]) for net, part in plan.parts.items()}
    method, weights = _build(source, plan.config, plan.data), {}
    for net, tensors in arranged.items():
        method.nets[net].load_state_dict(tensors)
        weights |= {f'{net}.{key}': value for key, value in method.nets[net].state_dict().items()}
    _run_once(method, tuple(plan.parts), f'{", ".join(map(str, files))}')
    said = trained_on or plan.trained_on
    data = {name.lower(): name for name in TERMS}.get(said.lower(), said)    # its terms hold however it is spelt
    origin = {'source': known.repository, 'code_read_at': known.commit, 'licence': known.licence, 'trained_on': data or None,
              'data_terms': TERMS.get(data), 'non_commercial': known.non_commercial or data in TERMS,
              'files': [{'name': c.path.name, 'sha256': c.sha256} for c in checkpoints]}
    save_model(out, method, weights, {'origin': origin}, nets=tuple(plan.parts))
    return origin


def _build(source: str, config: Any, data: Any) -> Any:
    try:
        return find_method(source)(config, data)
    except ValueError as error:                                  # a size that the network cannot have
        raise ValueError(f'{one_line(error).partition("; set --data")[0]}; set --size') from None


def _check_own(part: Part) -> None:
    """ValueError where a tensor is larger than what the file stores for it: one number seen many times."""
    for key, tensor in part.tensors.items():
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ValueError(f'{part.path}: {key} is {tuple(tensor.shape)}, for which the file stores '
                             f'{tensor.untyped_storage().nbytes():,} bytes: expected every number of a tensor')


@torch.no_grad()
def _run_once(method: Any, nets: tuple[str, ...], files: str) -> None:
    """Everything that the weights can be asked, of one picture. ValueError where an answer is not finite."""
    method.nets.requires_grad_(False).eval()
    size, data = method.data.size, method.data
    x = torch.sin(torch.arange(3 * size * size) * 0.37).reshape(1, 3, size, size)
    if method.kind == 'attributes':
        zero = torch.zeros(1, len(data.attributes))
        answers = [method.translate(AttributeRequest(x, zero, 1 - zero)).image, *([method.read(x)] if 'D' in nets else [])]
    else:
        made = data.domains[1:] if method.kind == 'pairs' or data.one_way else data.domains
        answers = [method.translate(DomainRequest(x, domain)).image for domain in made]
    if not all(bool(answer.isfinite().all()) for answer in answers):
        raise ValueError(f'{files}: what the network makes of a picture is not finite; the file is damaged, or its training diverged')
