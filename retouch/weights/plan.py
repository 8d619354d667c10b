"""What a source makes of files: which of our networks they are, and which of their tensors go where."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retouch.data.batches import DataSpec
from retouch.weights.mapping import Part
from retouch.weights.reading import Checkpoint, tensors_of

NO_D = 1                         # width of a discriminator that no file brings and that is thrown away


@dataclass(frozen=True)
class Asked:
    """What a user says of a file that the file does not say."""

    attributes: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    size: int | None = None
    exclusive: bool = False
    setting: Path | None = None


@dataclass(frozen=True)
class Plan:
    """A network of ours, and the part of a file for each of its pieces."""

    config: Any
    data: DataSpec
    parts: dict[str, Part]
    trained_on: str = ''


def part_of(file: Checkpoint, names: tuple[str, ...], *keys: str, running: bool = False) -> Part:
    """The network that lies under the first of these keys that there is, or that the file is."""
    return Part(file.path, tensors_of(file.part(*keys), str(file.path)), names, running)


def maker_and_judge(files: Sequence[Checkpoint], of_judge: str, g: tuple[str, ...], d: tuple[str, ...], *keys: str,
                    running: bool = False) -> tuple[Part, Part | None]:
    """The generator and, where it was given, its discriminator, which alone has a tensor `of_judge`."""
    parts = [part_of(file, g, *keys, running=running) for file in files]
    judges = [Part(part.path, part.tensors, d) for part in parts if of_judge in part.tensors]
    makers = [part for part in parts if of_judge not in part.tensors]
    if len(makers) != 1 or len(judges) > 1:
        raise ValueError(f'{", ".join(str(file.path) for file in files)}: {len(makers)} generators and {len(judges)} discriminators; '
                         'expected a generator and, if there is one, the discriminator of its training')
    return makers[0], judges[0] if judges else None


def size_of(asked: Asked, usual: int, judge: Part | None = None, known: int = 0) -> int:
    """The side of the pictures: `known` where a discriminator's class head says it. ValueError where something else was asked for."""
    if judge is not None and asked.size not in (None, known):
        raise ValueError(f'--size {asked.size}: the class head of {judge.path} is for {known} px; leave --size out')
    return known or asked.size or usual


def size_of_pair(size: int, asked: Asked, path: Path) -> int:
    """The side that a U-Net has by its levels. ValueError where something else was asked for."""
    if asked.size not in (None, size):
        raise ValueError(f'--size {asked.size}: the levels of {path} are for {size} px; leave --size out')
    return size


def labels_of(count: int, asked: tuple[str, ...], usual: dict[int, tuple[str, ...]], where: str) -> tuple[str, ...]:
    """The attributes' names. ValueError where they are not known, or are not as many as the network takes."""
    names = asked or usual.get(count, ())
    if len(set(names)) != len(names):
        raise ValueError(f'--attributes {",".join(names)}: expected each name once')
    if len(names) != count:
        said = f'{len(names)} are named' if names else 'it does not say which'
        raise ValueError(f'{where} takes {count} labels, {said}: name them in the order of its training, --attributes A,B,…')
    return names


def domains_of(asked: Asked) -> tuple[str, str]:
    """Names of the two domains."""
    domains = asked.domains or ('A', 'B')
    if len(set(domains)) != 2 or len(domains) != 2:
        raise ValueError(f'--domains {",".join(domains)}: expected two names, first that of the pictures given')
    return domains[0], domains[1]
