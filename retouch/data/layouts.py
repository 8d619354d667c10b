"""How a folder is laid out: what it holds, and which of the known layouts that is."""
from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from retouch.data.images import IMAGE_SUFFIXES, shown_size

LAYOUTS = {
    'celeba': 'img_align_celeba/ + list_attr_celeba.txt',
    'celeba_hq': 'CelebA-HQ-img/ + CelebAMask-HQ-attribute-anno.txt',
    'table': 'pictures + one .csv, .tsv or .jsonl of file names and 0/1 or -1/1 columns',
    'classes': 'two or more folders of pictures, one per class (or train/<class>/ and test/<class>/)',
    'rafd': 'RaFD as it is handed out: Rafd090_01_…_angry_frontal.jpg and so on',
    'parsing': 'images/ + masks/ with equal names, no labels',
    'domains': 'trainA/ trainB/ [testA/ testB/]',
    'pairs': 'train/ [val/] test/ of side-by-side files, width = 2 x height, A left and B right',
    'pairs_ab': 'A/ and B/ with equal names',
}
# Where the pictures and the labels may lie, the usual place first: CelebA is handed out as Img/ and Anno/.
CELEBA_PLACES = {
    'celeba': (('img_align_celeba', 'Img/img_align_celeba', 'img_align_celeba/img_align_celeba'),
               ('list_attr_celeba.txt', 'Anno/list_attr_celeba.txt')),
    'celeba_hq': (('CelebA-HQ-img',), ('CelebAMask-HQ-attribute-anno.txt',)),
}
PARTS = 'CelebAMask-HQ-mask-anno'           # 0/ … 14/ of NNNNN_part.png, a mask for every part of a face
TABLE_SUFFIXES = ('.csv', '.tsv', '.jsonl')


# angle of the camera, person, expression and gaze of a picture of the Radboud Faces Database
RAFD_NAME = re.compile(r'Rafd(?P<angle>\d+)_(?P<person>\d+)_\w+_(?P<expression>[a-z]+)_(?P<gaze>[a-z]+)', re.IGNORECASE)

# CelebA is also handed round as four tables; only list_attr_celeba.csv holds labels.
NOT_LABELS = {'list_bbox_celeba', 'list_eval_partition', 'list_landmarks_align_celeba', 'list_landmarks_celeba'}


# Names with a meaning of their own are no classes.
RESERVED = {'img_align_celeba', 'celeba-hq-img', 'images', 'masks', 'a', 'b', 'train', 'val', 'valid', 'test',
            'traina', 'trainb', 'testa', 'testb', 'vala', 'valb'}
PARTS_OF_SETS = {'train', 'val', 'test', 'images', 'masks'}
# What systems and disks put beside pictures: neither classes nor pictures, whatever is in them.
SYSTEM = {'@eadir', '$recycle.bin', '__macosx', 'lost+found', 'system volume information', '#recycle', '#snapshot', 'thumbs.db',
          'desktop.ini'}


# ---- what a folder holds

def images_in(folder: Path) -> tuple[Path, ...]:
    """The pictures directly in a folder, by name; none where there is no such folder. Hidden files are no pictures."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.name.lower().endswith(IMAGE_SUFFIXES) and not e.name.startswith('.') and e.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(folder / name for name in sorted(names))


def is_set_aside(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or a system's own."""
    return name.startswith('.') or name.lower() in SYSTEM


def folders_in(folder: Path) -> list[Path]:
    """The folders directly in a folder, by name, without hidden ones and those of a system."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if not is_set_aside(p.name) and p.is_dir())


class Folder(NamedTuple):
    """What one folder holds, by name."""

    path: Path
    files: list[str]
    folders: list[str]
    aside: list[str]                        # hidden, or a system's own; folders end in a slash
    broken: list[str]                       # links to nothing, and what is neither file nor folder
    closed: bool                            # this user may not look into it


def walk(root: Path) -> Iterator[Folder]:
    """Every folder at or under `root`, each once: links to folders are followed after all others, and never to what holds `root`."""
    whole = Path(os.path.realpath(root))
    seen, queue, links = set[str](), [root], list[Path]()
    while queue or links:
        here = queue.pop() if queue else links.pop(0)
        real = os.path.realpath(here)
        if real in seen or (here != root and whole.is_relative_to(real)):
            continue
        seen.add(real)
        found, inner = Folder(here, [], [], [], [], closed=False), list[Path]()
        try:
            with os.scandir(here) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except PermissionError:
            yield found._replace(closed=True)
            continue
        for entry in entries:
            if is_set_aside(entry.name):
                found.aside.append(entry.name + '/' * entry.is_dir())
            elif entry.is_dir():
                found.folders.append(entry.name)
                (links if entry.is_symlink() else inner).append(here / entry.name)
            else:
                (found.files if entry.is_file() else found.broken).append(entry.name)
        queue += reversed(inner)
        yield found


def images_under(folder: Path) -> dict[Path, tuple[Path, ...]]:
    """Every folder at or under `folder` with pictures of its own -> those pictures."""
    found = {here.path: tuple(here.path / name for name in here.files if name.lower().endswith(IMAGE_SUFFIXES)) for here in walk(folder)}
    return {path: found[path] for path in sorted(found) if found[path]}


def existing_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder as a Path; ValueError where it does not exist or is a file."""
    folder = Path(folder).expanduser()
    if not folder.exists():
        raise ValueError(f'no folder {str(folder)!r}: expected an existing folder of pictures; check the path')
    if not folder.is_dir():
        raise ValueError(f'{folder} is a file: expected a folder of pictures; give the folder it lies in')
    return folder


def tables_in(root: Path) -> list[Path]:
    """Label tables directly in a folder."""
    return sorted(p for p in root.iterdir()
                  if p.suffix.lower() in TABLE_SUFFIXES and not p.name.startswith('.') and p.stem not in NOT_LABELS and p.is_file())


def class_folders(root: Path) -> list[Path]:
    """The folders directly in `root` that can be classes: with pictures, and with a name that means nothing else."""
    letters = {'a', 'b'} if root.name in ('train', 'test') else set()    # beside other letters; alone they look like two domains
    return [p for p in folders_in(root) if p.name.lower() not in RESERVED - letters and images_in(p)]


def celeba_places(root: Path, layout: str) -> tuple[Path, Path]:
    """Where CelebA's or CelebA-HQ's pictures and labels lie in `root`; the usual places where there are none."""
    folders, labels = ([root / place for place in places] for places in CELEBA_PLACES[layout])
    return (next((p for p in folders if images_in(p)), folders[0]), next((p for p in labels if p.is_file()), labels[0]))


_PART_NAME = re.compile(r'(?P<part>train|test)[\s_.-]*(?P<side>[ab])|(?P<first>[ab])[\s_.-]*(?P<then>train|test)', re.IGNORECASE)


def domain_near_misses(root: Path) -> dict[str, str]:
    """Folders of pictures that are nearly named as two domains are -> the right name: {'train_A': 'trainA', 'B/test': 'testB'}."""
    near = {}
    for folder in folders_in(root):
        inner = folders_in(folder)
        # train/ of many letters holds classes
        two = folder.name.lower() in ('a', 'b') or {p.name.lower() for p in inner} <= {'a', 'b'}
        for place in (folder, *(inner if two else ())):
            name = place.relative_to(root).as_posix()
            if (match := _PART_NAME.fullmatch(name.replace('/', '_'))) and images_in(place):
                part, side = match['part'] or match['then'], match['side'] or match['first']
                near[name] = f'{part.lower()}{side.upper()}'
    return {name: wanted for name, wanted in near.items() if name != wanted}


# ---- recognising a layout

def recognise(root: str | os.PathLike[str]) -> str:
    """The layout of a folder, a key of LAYOUTS.

    Raises:
        ValueError: no such folder, no known layout (the nearest ones are named with what they miss), or more than one.
    """
    root = existing_folder(root)
    found: list[str] = []                   # layouts that are whole
    missing: dict[str, str] = {}            # layouts that are begun, and what they miss
    _look_for_label_files(root, found, missing)
    has_labels = bool(found or missing)
    if not has_labels:
        _refuse_near_domains(root)
    _look_for_domains(root, found, missing)
    _look_for_pairs(root, found, missing)
    if not has_labels:                      # with a label file, folders of pictures are only folders of pictures
        images, masks = images_in(root / 'images'), images_in(root / 'masks')
        if images and masks:
            found.append('parsing')
        elif images_in(root / 'CelebA-HQ-img') and (root / PARTS).is_dir():
            found.append('parsing')
        elif images or masks:
            missing['parsing'] = f'no pictures in {"masks" if images else "images"}/'
        _look_for_classes(root, found, missing)
        if (alone := images_in(root)) and all(RAFD_NAME.fullmatch(path.stem) for path in alone):
            found.append('rafd')
    if len(found) > 1:
        raise ValueError(f'{root} is ambiguous: it fits {" and ".join(f"{name} ({LAYOUTS[name]})" for name in found)}; '
                         'keep one of them in this folder')
    if not found:
        raise ValueError(_no_layout(root, missing))
    return found[0]


def _look_for_label_files(root: Path, found: list[str], missing: dict[str, str]) -> None:
    files = []
    for name, (folders, label_files) in CELEBA_PLACES.items():
        folder, labels = celeba_places(root, name)
        has_images, has_labels = bool(images_in(folder)), labels.is_file()
        if has_labels:
            files.append(labels)
        if has_images and has_labels:
            found.append(name)
        elif has_labels:
            missing[name] = f'no pictures in {" or ".join(f"{place}/" for place in folders[:2])}'
        elif has_images and not tables_in(root) and not (root / PARTS).is_dir():
            missing[name] = f'no {" or ".join(label_files)}'
    tables = tables_in(root)
    files += tables
    if len(files) > 1:
        raise ValueError(f'{root} is ambiguous: label files {", ".join(p.name for p in files)}; expected one; move the others elsewhere')
    if tables:
        if images_under(root):
            found.append('table')
        else:
            missing['table'] = f'no pictures beside {tables[0].name}'


def _refuse_near_domains(root: Path) -> None:
    """ValueError where folders are two domains but for their names: read as they are they would be classes, or nothing."""
    near = domain_near_misses(root)
    there = {*near.values(), *(name for name in ('trainA', 'trainB') if (root / name).is_dir())}
    if near and {'trainA', 'trainB'} <= there:
        renamed = ', '.join(f'{name} to {wanted}' for name, wanted in near.items())
        raise ValueError(f'{root} looks like two domains ({LAYOUTS["domains"]}): rename {renamed}')


def _look_for_domains(root: Path, found: list[str], missing: dict[str, str]) -> None:
    folders = [name for name in ('trainA', 'trainB', 'testA', 'testB') if (root / name).is_dir()]
    if 'trainA' in folders and 'trainB' in folders:
        found.append('domains')
    elif folders:
        absent = [name for name in ('trainA', 'trainB') if name not in folders]
        missing['domains'] = f'no {" and no ".join(f"{name}/" for name in absent)}'


def _look_for_pairs(root: Path, found: list[str], missing: dict[str, str]) -> None:
    if side_by_side := images_in(root / 'train'):
        try:
            for path in side_by_side[:4]:
                check_side_by_side(path, shown_size(path))
            found.append('pairs')
        except ValueError as error:
            missing['pairs'] = str(error)
    elif not folders_in(root / 'train') and (images_in(root / 'test') or images_in(root / 'val')):
        missing['pairs'] = 'no pictures in train/'
    has_a, has_b = bool(images_in(root / 'A')), bool(images_in(root / 'B'))
    if has_a and has_b:
        found.append('pairs_ab')
    elif has_a or has_b:
        missing['pairs_ab'] = f'no pictures in {"B" if has_a else "A"}/'


def _look_for_classes(root: Path, found: list[str], missing: dict[str, str]) -> None:
    split = class_folders(root / 'train')
    classes = split or class_folders(root)
    if len(classes) > 1:
        found.append('classes')
    elif classes:
        missing['classes'] = f'only one folder with pictures, {classes[0].relative_to(root)}/: expected at least 2'
    if split and class_folders(root):
        names = ', '.join(f'{p.name}/' for p in class_folders(root)[:3])
        raise ValueError(f'{root} is ambiguous: class folders in train/ and beside it ({names}); keep one of them')


def check_side_by_side(path: Path, size: tuple[int, int]) -> None:
    """ValueError where a picture of size (width, height) px cannot be two square halves."""
    if size[0] != 2 * size[1]:
        raise ValueError(f'{path}: {size[0]} x {size[1]} px: expected width = 2 x height, A left and B right')


def _no_layout(root: Path, missing: dict[str, str]) -> str:
    if missing:
        begun = '; '.join(f'nearest is {name} ({LAYOUTS[name]}): {what}' for name, what in missing.items())
        above = any(all(p.exists() for p in celeba_places(root.resolve().parent, name)) for name in CELEBA_PLACES)
        return f'{root} is no known layout: {begun}' + (f'; did you mean {str(root.resolve().parent)!r}?' if above else '')
    known = '; '.join(f'{name}: {what}' for name, what in LAYOUTS.items())
    if cased := {p.name: p.name.lower() for p in folders_in(root) if p.name != p.name.lower() and p.name.lower() in PARTS_OF_SETS}:
        return f'{root} is no known layout: names count as they are written; rename {", ".join(f"{a}/ to {b}/" for a, b in cased.items())}'
    if n := len(images_in(root)):
        return f'{root} holds {n} pictures and no labels: expected a table beside them (labels.csv), a folder per class, or one of: {known}'
    inner = [p.name for p in folders_in(root)
             if (p / 'trainA').is_dir() or any(celeba_places(p, name)[1].is_file() for name in CELEBA_PLACES)]
    hint = f'; did you mean {str(root / inner[0])!r}?' if inner else ''
    return f'{root} is no known layout and holds no pictures where one would have them{hint}: expected one of: {known}'
