"""Which pictures `retouch edit` means, and what their results are called."""
from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from retouch.data.images import IMAGE_SUFFIXES, KINDS
from retouch.data.layouts import images_in, images_under

PATTERN = r'[*?\[]'


@dataclass(frozen=True)
class Named:
    """A picture, and what its results are called below --out, without suffix: a/b/name."""

    path: Path
    name: Path


@dataclass(frozen=True)
class Found:
    """What the words of a command name."""

    pictures: list[Named]
    many: bool                              # a folder or a pattern was among them
    notes: list[str]


def find_pictures(words: Sequence[str], out: Path, recursive: bool) -> Found:
    """Pictures by name: files as they are, of folders all that lie in them, of patterns all that they match.

    Sub-folders of a folder, and those below the part of a pattern that has no * or ?, are those of the results. What lies in --out is no
    input. Two pictures of one folder that differ in their suffix alone keep it in their names: face_jpg, face_png.

    Raises:
        ValueError: a folder without pictures, a pattern that matches none.
    """
    pictures, many, notes = list[Named](), False, list[str]()
    for word in words:
        path = Path(word)
        if path.is_dir():
            many = True
            found = _without(out, path, [p for some in images_under(path).values() for p in some] if recursive else images_in(path))
            if not found:
                deeper = '' if recursive or not images_under(path) else '; --recursive looks into its folders'
                raise ValueError(f'{path} holds no pictures: expected {KINDS}{deeper}')
            pictures += _apart([Named(p, p.relative_to(path).with_suffix('')) for p in found], notes)
        elif not path.exists() and re.search(PATTERN, word):
            many = True
            parts = Path(word).parts
            base = Path(*parts[:next(i for i, part in enumerate(parts) if re.search(PATTERN, part))])
            matched = [Path(p) for p in sorted(glob.glob(word, recursive=True)) if p.lower().endswith(IMAGE_SUFFIXES)]
            found = _without(out, base, [p for p in matched if p.is_file()])
            if not found:
                raise ValueError(f'{word} matches no picture: expected {KINDS}')
            pictures += _apart([Named(p, p.relative_to(base).with_suffix('')) for p in found], notes)
        else:
            pictures.append(Named(path, Path(path.stem)))
    return Found(pictures, many, notes)


def _without(out: Path, root: Path, found: Sequence[Path]) -> Sequence[Path]:
    """Results of an earlier command are no pictures to edit, where --out lies in the folder itself."""
    inside = Path(os.path.realpath(out))
    if inside == Path(os.path.realpath(root)):
        return found                                             # refused later: it would overwrite them
    return [p for p in found if not Path(os.path.realpath(p.parent)).is_relative_to(inside)] if \
        inside.is_relative_to(os.path.realpath(root)) else found


def _apart(pictures: Sequence[Named], notes: list[str]) -> list[Named]:
    """The suffix goes into the names of those that would have the same."""
    alike = dict[str, list[Named]]()
    for picture in pictures:
        alike.setdefault(str(picture.name).casefold(), []).append(picture)
    kept = list[Named]()
    for picture in pictures:
        same = alike[str(picture.name).casefold()]
        suffixes = {p.path.suffix.casefold() for p in same}
        if len(same) == 1 or len(suffixes) < len(same):          # A.png beside a.png is refused later, with both names
            kept.append(picture)
            continue
        kept.append(replace(picture, name=picture.name.with_name(f'{picture.path.stem}_{picture.path.suffix[1:]}')))
        notes.append(f'{picture.path} shares its name with {next(p.path.name for p in same if p != picture)}: it becomes {kept[-1].name}')
    return kept
