"""What an evaluation has done so far, kept beside its card until that is written: one that was stopped goes on where it was."""
from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from retouch.evaluation.card import Card
from retouch.evaluation.provenance import json_to_rows, rows_to_json, versions
from retouch.evaluation.scoring import Piece
from retouch.evaluation.tallies import Arrays, arrays_to_tallies, tallies_to_arrays, write_tallies
from retouch.files import whole_file
from retouch.hardware import hardware
from retouch.metrics.bootstrap import Tally
from retouch.metrics.measure import Measure

FOLDER = 'unfinished'
Row = tuple[dict[str, Measure], dict[str, Tally], Arrays]        # measures, the sums behind their intervals, whatever else is kept


class Ledger:
    """Pieces of an evaluation, and the sums behind its card.

    A piece is a named set of arrays. Where there is a folder for the card, each is a file in it as soon as it is computed, and the next
    evaluation with the same key reads it instead of computing it again. Without a folder nothing is kept.
    """

    def __init__(self, out: Path | None = None) -> None:
        """out: the folder of the card."""
        self.out = out
        self.folder: Path | None = None
        self.found = 0                                           # pieces that an earlier evaluation had left
        self.tallies: dict[str, Tally] = {}

    def open(self, key: Mapping[str, Any], method: Any, untrained: Any, batch_size: int, device: torch.device | str) -> None:
        """Names the evaluation by all that decides its numbers: `key` and the rest, and the versions of this code and its libraries."""
        if self.out is not None:
            found = {**key, 'batch': batch_size, 'hardware': hardware(device), 'model': method_to_hash(method),
                     'untrained': None if untrained is None else method_to_hash(untrained)}
            digest = hashlib.sha256(json.dumps([found, versions(), _code()], sort_keys=True, default=str).encode())
            self.folder = self.out / FOLDER / digest.hexdigest()[:16]

    def piece(self, name: str, compute: Callable[[], Arrays]) -> Arrays:
        """What `compute` gives, or gave in an earlier evaluation with this key: bit for bit the same."""
        if self.folder is None:
            return compute()
        path = self.folder / f'{name}.npz'
        try:
            with np.load(io.BytesIO(path.read_bytes())) as stored:       # of a damaged file, np.load would leave the path open
                found = dict(stored)
            self.found += 1
            return found
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):    # not there, or damaged
            made = compute()
        with contextlib.suppress(OSError):                       # no room: this piece is computed again
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as file:
                np.savez(file, **made)                           # type: ignore[arg-type]
        return made

    def row(self, name: str, measure: Callable[[], Row]) -> tuple[dict[str, Measure], Arrays]:
        """A row of the card: a piece whose parts are forgotten once it is whole. The sums of the first, the model's, go with the card.

        Returns:
            its measures, and all that `measure` gave as arrays.
        """
        def compute() -> Arrays:
            measures, tallies, more = measure()
            return {'measures': np.array(rows_to_json({name: measures})), **tallies_to_arrays(tallies), **more}

        found = self.piece(name, compute)
        for path in self.folder.glob(f'{name}-*.npz') if self.folder is not None else ():
            path.unlink(missing_ok=True)
        self.tallies = self.tallies or arrays_to_tallies(found)
        return json_to_rows(str(found['measures']))[name], found

    def within(self, name: str) -> Piece:
        """`piece` for the parts of a larger one: their names go on after `name` with a dash."""
        return lambda part, compute: self.piece(f'{name}-{part}', compute)

    @property
    def kept(self) -> Path | None:
        """The folder, if there is anything in it to go on with."""
        return self.folder if self.folder is not None and self.folder.is_dir() else None

    def close(self, card: Card) -> None:
        """Writes the card with its tallies, and removes all pieces: also those of other keys, whose card this one replaces."""
        assert self.out is not None
        write_tallies(self.out, card, self.tallies)
        card.write(self.out / 'card.json')
        shutil.rmtree(self.out / FOLDER, ignore_errors=True)


def method_to_hash(method: Any) -> str:
    """64 hex digits over a method's configuration and all names, shapes and values of its networks."""
    facts = [type(method).__name__, getattr(method, 'config', None), method.data]
    digest = hashlib.sha256(repr(facts).encode())
    for name, tensor in method.nets.state_dict().items():
        digest.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


@functools.cache
def _code() -> str:
    """Changes with any line of this package."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob('*.py')):
        digest.update(path.read_bytes())
    return digest.hexdigest()
