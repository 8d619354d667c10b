"""The sums behind a card, picture by picture: `tallies.npz` beside card.json, from which two models can be compared in pairs."""
from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from retouch.evaluation.card import Card
from retouch.files import write_atomically
from retouch.metrics.bootstrap import Tally, mean_over_attributes, pooled, pooled_psnr

FILE = 'tallies.npz'
REDUCE = {reduce.__name__: reduce for reduce in (pooled, mean_over_attributes, pooled_psnr)}
Arrays = dict[str, np.ndarray]


def tallies_to_arrays(tallies: Mapping[str, Tally]) -> Arrays:
    """Tallies as arrays with names, for a .npz file."""
    found: Arrays = {}
    for name, tally in tallies.items():
        found |= {f'total:{name}': tally.total, f'count:{name}': tally.count, f'reduce:{name}': np.array(tally.reduce.__name__)}
    return found


def arrays_to_tallies(arrays: Mapping[str, np.ndarray]) -> dict[str, Tally]:
    """The tallies among arrays, in their order. Raises KeyError for one without all of its parts."""
    names = [key.partition(':')[2] for key in arrays if key.startswith('total:')]
    return {name: Tally(arrays[f'total:{name}'], arrays[f'count:{name}'], REDUCE[str(arrays[f'reduce:{name}'])]) for name in names}


def write_tallies(folder: Path, card: Card, tallies: Mapping[str, Tally]) -> None:
    """Writes `tallies.npz`, compressed; call it before the card is written, so that a card never stands beside another's tallies."""
    payload = io.BytesIO()
    np.savez_compressed(payload, card=np.array(hashlib.sha256(card.encode()).hexdigest()),
                        **tallies_to_arrays(tallies))            # type: ignore[arg-type]
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / FILE, payload.getvalue())


def read_tallies(folder: Path) -> dict[str, Tally]:
    """The tallies beside a card.json; empty where there are none, or those of another card."""
    try:
        digest = hashlib.sha256((folder / 'card.json').read_bytes()).hexdigest()
        with np.load(io.BytesIO((folder / FILE).read_bytes())) as stored:    # of a damaged file, np.load would leave the path open
            return arrays_to_tallies(stored) if str(stored['card']) == digest else {}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):    # older, or damaged: the cards compare without them
        return {}
