"""Folders of pictures that belong together: matched by name, sizes compared, decoded a batch at a time."""
from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from retouch.data.images import KINDS, read_image, shown_size, to_seen
from retouch.data.layouts import existing_folder, images_under
from retouch.editor.pictures import named, open_picture, picture_to_values

BESIDE = ('.mask', '.diff', '.gradcam', '.exemplar-mask')        # what `retouch edit` writes beside an edited picture NAME.png


class FolderPictures:
    """Pictures of a folder as rows of an array; those that are asked for are decoded, and none is kept."""

    def __init__(self, paths: Sequence[Path], read: Callable[[Path], np.ndarray]) -> None:
        """read: file -> [H,W,...]. Rows that are asked for together must be of one size."""
        self.paths, self.read = paths, read

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, which: slice | np.ndarray) -> np.ndarray:
        """The rows of a slice, or int64 [b] -> [b,H,W,...]."""
        rows = range(len(self.paths))[which] if isinstance(which, slice) else which
        return np.stack([self.read(self.paths[i]) for i in rows])


def read_seen(path: Path) -> np.ndarray:
    """A file as it is scored: upright, in sRGB, transparency over white; uint8 [H,W,3]. ValueError where it cannot be read."""
    with named(path):
        return to_seen(read_image(path))


def read_values(path: Path) -> np.ndarray:
    """A mask's file, white = 1 -> float32 [H,W] in [0,1]. ValueError for a colourful picture."""
    with named(path):
        return picture_to_values(open_picture(path), []).astype(np.float32) / 255


def read_region(path: Path) -> np.ndarray:
    """A region's file, white inside -> bool [H,W]."""
    return read_values(path) > 0.5


def names_in(folder: Path) -> dict[str, Path]:
    """Pictures at or under a folder: path below it without suffix -> file, in the order of names.

    Raises:
        ValueError: no such folder, one without pictures, two files of one name.
    """
    found = dict[str, Path]()
    for paths in images_under(existing_folder(folder)).values():
        for path in paths:
            name = path.relative_to(folder).with_suffix('').as_posix()
            if name in found:
                raise ValueError(f'{found[name]} and {path} have one name: expected one picture of each name, whatever its suffix; move '
                                 'one away')
            found[name] = path
    if not found:
        raise ValueError(f'{folder} holds no pictures: expected {KINDS}')
    return dict(sorted(found.items()))


def partners(names: Sequence[str], folder: Path, of: Path, ending: str = '') -> tuple[list[Path], list[str]]:
    """The pictures of a folder that have the given names, and names there that nothing asked for.

    Args:
        names: what to look for, as of `names_in`.
        folder: where.
        of: the folder that the names are from, for the message.
        ending: a name that ends so comes before the name itself: `.mask` for what `retouch edit` writes.

    Raises:
        ValueError: names without a partner; says which names are near.
    """
    there = names_in(folder)
    found = {name: there.get(name + ending) or there.get(name) for name in names}
    missing = [name for name, path in found.items() if path is None]
    unused = [name for name in there if name not in found and not _is_beside(name, there, found)]
    if missing:
        near = difflib.get_close_matches(missing[0], unused, n=1, cutoff=0.5) or [name for name in unused if name.startswith(missing[0])]
        hint = f', did you mean {there[near[0]].relative_to(folder)}?' if near else ''
        raise ValueError(f'{len(missing)} of {len(names)} pictures of {of} have none of their name in {folder}, first {missing[0]}{hint}: '
                         'expected equal names, whatever the suffix; rename them, or leave those that have no partner out of both folders')
    return [path for path in found.values() if path is not None], unused


def _is_beside(name: str, there: Mapping[str, Path], found: Mapping[str, Path | None]) -> bool:
    return any(name.endswith(ending) and (name.removesuffix(ending) in there or name.removesuffix(ending) in found) for ending in BESIDE)


def check_sizes(paths: Sequence[Path], others: Sequence[Path], what: str) -> list[tuple[int, int]]:
    """(width, height) of every pair. ValueError where the two of a pair differ; `what` says what the others are."""
    sizes = []
    for path, other in zip(paths, others, strict=True):
        size, found = shown_size(path), shown_size(other)
        if size != found:
            raise ValueError(f'{other} is {found[0]} x {found[1]} px, {path} is {size[0]} x {size[1]} px: expected {what} of the size of '
                             'the picture before; let the tool work at that size, or bring both to one size by one program and say so '
                             'beside the numbers')
        sizes.append(size)
    return sizes


def folders_to_hash(sets: Mapping[str, FolderPictures], advance: Callable[[int], None] | None = None) -> str:
    """12 hex digits over the pixels of several sets, in their order."""
    digest = hashlib.sha256()
    for name, pictures in sets.items():
        for i in range(len(pictures)):
            (pixels,) = pictures[i:i + 1]
            digest.update(f'{name} {pixels.shape} {pixels.dtype}'.encode())
            digest.update(np.ascontiguousarray(pixels).data)
            if advance is not None:
                advance(1)
    return digest.hexdigest()[:12]
