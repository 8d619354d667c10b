"""What a card says of its making: weights, versions and pictures; and reference rows that are computed once."""
from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from retouch.evaluation.card import Checkpoint
from retouch.files import Pictures, Rows, cache_root, write_atomically
from retouch.metrics.measure import Measure
from retouch.version import __version__

Table = dict[str, dict[str, Measure]]      # row -> measure -> value


def pictures_to_hash(images: Pictures, labels: np.ndarray) -> str:
    """12 hex digits over the bytes of a set of pictures with labels."""
    digest = hashlib.sha256(str((images.shape, labels.shape)).encode())
    _update(digest, images)
    digest.update(np.ascontiguousarray(labels > 0.5).astype(np.uint8).data)
    return digest.hexdigest()[:12]


def pairs_to_hash(given: Pictures, wanted: Pictures) -> str:
    """12 hex digits over the bytes of a set of pairs, uint8 [N,S,S,3] each."""
    digest = hashlib.sha256(str((given.shape, wanted.shape)).encode())
    for images in (given, wanted):
        _update(digest, images)
    return digest.hexdigest()[:12]


def _update(digest: Any, images: Pictures) -> None:
    for part in Rows(images).batches():
        digest.update(part.data)


def versions() -> dict[str, str]:
    """What computed the numbers."""
    packages = ('torch', 'torchvision', 'numpy', 'pillow', 'torchmetrics', 'torch-fidelity')
    return {'retouch': __version__, 'python': platform.python_version(), **{name: version(name) for name in packages}}


def remembered(key: dict[str, Any], compute: Callable[[], Table]) -> Table:
    """Reference rows do not depend on the model: computed once for a benchmark, a judge and a version of this code."""
    rooms = Path(__file__).parent, Path(__file__).parents[1] / 'metrics', Path(__file__).parents[1] / 'editor'
    code = b''.join(path.read_bytes() for room in rooms for path in sorted(room.glob('*.py')))
    digest = hashlib.sha256(json.dumps([key, versions()], sort_keys=True).encode() + code).hexdigest()[:16]
    path = cache_root() / f'references-{digest}.json'
    try:
        return json_to_rows(path.read_text())
    except (OSError, ValueError):                                # not there, or a damaged cache file
        rows = compute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, rows_to_json(rows).encode())
    except OSError:
        pass                                                     # no room for a cache: compute again next time
    return rows


def rows_to_json(rows: Table) -> str:
    """Rows of measures as text, without loss."""
    return json.dumps({row: {name: measure.model_dump() for name, measure in measures.items()} for row, measures in rows.items()})


def json_to_rows(text: str) -> Table:
    """What `rows_to_json` wrote. Raises ValueError for anything else."""
    stored = json.loads(text)
    return {row: {name: Measure.model_validate(measure) for name, measure in measures.items()} for row, measures in stored.items()}


def checkpoint(model: Any) -> Checkpoint:
    """Which weights a card is of."""
    info = getattr(model, 'info', {})
    rule = f'last EMA (decay {info["ema"]})' if info.get('ema') else 'last'
    return Checkpoint(rule=rule, name=info.get('recipe'), sha256=getattr(model, 'weights_sha256', None), iteration=info.get('iteration'))
