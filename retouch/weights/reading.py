"""Opening a file of weights that somebody else wrote: tensors and plain values only, and nothing in it is ever executed."""
from __future__ import annotations

import hashlib
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from retouch.errors import one_line

EXPECTED = 'expected what torch.save wrote'
# First bytes of what people have in place of it.
OTHERS = {b'\x1f\x8b': 'a gzip archive: unpack it first, `tar -xzf FILE`', b'7z': 'a 7z archive: unpack it first',
          b'<': 'a web page, not the file: download it again, from a browser', b'\x89HDF': 'an HDF5 file, as Keras writes',
          b'version ': 'a pointer of Git LFS, not the file: fetch it, `git lfs pull`', b'\x0a': 'perhaps an ONNX or TensorFlow file'}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A file that was read: what it holds is not looked at yet."""

    path: Path
    sha256: str
    holds: Any

    def part(self, *keys: str) -> Any:
        """What lies under the first of these keys that there is; all of it where it holds tensors itself. ValueError: neither."""
        if not isinstance(self.holds, Mapping):
            raise ValueError(f'{self.path} holds {type(self.holds).__name__}: expected a dictionary of tensors')
        for key in keys:
            if key in self.holds:
                return self.holds[key]
        if self.holds and all(isinstance(value, Tensor) for value in self.holds.values()):
            return self.holds
        raise ValueError(f'{self.path} holds {_shown(self.holds)}: expected tensors{" under " + " or ".join(keys) if keys else ""}; is it '
                         'the file of another program?')


def _shown(holds: Mapping[Any, Any]) -> str:
    names = [key[:40] if isinstance(key, str) else type(key).__name__ for key in list(holds)[:4]]
    return f'{", ".join(names)}{", …" if len(holds) > 4 else ""}' if names else 'nothing'


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Reads a file of either of torch's formats, on the CPU, through its reader of weights alone.

    Raises:
        ValueError: no such file; one that is cut, packed, or of another program; a zip that would unpack to more than itself; a pickle
            that names code, which is not run.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f'{path} is {"a folder" if path.is_dir() else "not there"}: expected a file of weights')
    with open(path, 'rb') as file:
        digest, start = hashlib.file_digest(file, 'sha256').hexdigest(), b''
        file.seek(0)
        start, after = file.read(8), file.read(1)
    for magic, what in OTHERS.items():
        if start.startswith(magic):
            raise ValueError(f'{path} is {what}; {EXPECTED}')
    if not start:
        raise ValueError(f'{path} is empty: {EXPECTED}; copy or download it again')
    if after == b'{':                                            # of the length that comes before it
        raise ValueError(f'{path} is a safetensors file: {EXPECTED}, as the authors of the sources do')
    zipped = start.startswith(b'PK')
    if zipped:
        _check_zip(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')                      # of what is refused here, such as sparse tensors
            return Checkpoint(path, digest, torch.load(path, map_location='cpu', weights_only=True, mmap=zipped))
    except Exception as error:                                   # whatever a broken or hostile file brings about
        raise ValueError(f'{path} {_why(error)}') from None


def _why(error: Exception) -> str:
    """What is wrong with a file that torch's reader refused."""
    said = str(error)
    if named := re.search(r'GLOBAL ([\w.]+)', said) or re.search(r'Unsupported class[: ]+([\w.]+)', said):
        return (f'names {named[1]}, which is code and no tensor: nothing was run; {EXPECTED} of a state_dict, '
                'so load it where you trust it and save its state_dict alone')
    return f'cannot be read ({type(error).__name__}: {one_line(error)[:160]}): {EXPECTED}, whole; copy or download it again'


def _check_zip(path: Path) -> None:
    """torch stores its records as they are: an entry that is packed, or larger than the file, was not written by it."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ValueError(f'{path} is a zip without its end ({one_line(error)}): it was cut; copy or download it again') from None
    names = [entry.filename for entry in entries]
    if not any(name.endswith('data.pkl') for name in names):
        raise ValueError(f'{path} is an archive of {", ".join(names[:3]) or "nothing"}: unpack it first, and name a file in it')
    if any('/code/' in name for name in names):
        raise ValueError(f'{path} is a TorchScript program: nothing was run; expected the state_dict of the network')
    packed, size = sum(entry.file_size for entry in entries), path.stat().st_size
    if packed > size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError(f'{path} would unpack to {packed / 1e6:,.0f} MB from {size / 1e6:,.1f} MB: nothing was unpacked; torch.save packs '
                         'nothing, and this file was not written by it')


def tensors_of(state: Any, where: str) -> dict[str, Tensor]:
    """A state_dict: name -> tensor, without DataParallel's `module.` and torch.compile's `_orig_mod.`. ValueError for anything else."""
    if not isinstance(state, Mapping) or not state:
        raise ValueError(f'{where} holds {type(state).__name__}: expected a dictionary of tensors')
    tensors: dict[str, Tensor] = {}
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            name = key[:60] if isinstance(key, str) else type(key).__name__
            raise ValueError(f'{where}: {name!r} is {type(value).__name__}: expected names of tensors, a state_dict')
        if value.layout != torch.strided or value.is_quantized or value.is_complex() or value.device.type != 'cpu':
            raise ValueError(f'{where}: {key} is {value.dtype} {value.layout} on {value.device}: expected plain numbers')
        tensors[re.sub(r'^(?:module\.|_orig_mod\.)+', '', key)] = value
    return tensors
