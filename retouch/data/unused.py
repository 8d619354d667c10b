"""What in a folder of pictures will not be used, and why: whatever a set's reader passes over is counted and named."""
from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from retouch.data.images import IMAGE_SUFFIXES, KINDS
from retouch.data.layouts import PARTS_OF_SETS, Folder, walk

CONVERT = 'save them as jpg or png'
# Kinds of pictures that people have and Pillow alone does not read.
OTHER_KINDS = {
    **dict.fromkeys(('.heic', '.heif', '.hif'), f'HEIC pictures, which Pillow reads with a plugin only: {CONVERT}'),
    **dict.fromkeys(('.avif', '.webp', '.jp2', '.j2k'), f'pictures of a kind that this build of Pillow cannot decode: {CONVERT}'),
    **dict.fromkeys(('.cr2', '.cr3', '.nef', '.arw', '.dng', '.orf', '.rw2', '.raf', '.pef', '.srw', '.raw'),
                    'raw pictures of a camera: develop them to jpg or png'),
    **dict.fromkeys(('.jxl', '.eps', '.svg', '.pdf', '.psb', '.exr', '.hdr', '.xcf', '.ico', '.fits'),
                    f'pictures of a kind that no set is read from: {CONVERT}'),
    **dict.fromkeys(('.mp4', '.mov', '.avi', '.mkv', '.webm', '.mpg', '.mpeg'), 'videos: save their frames as pictures'),
    **dict.fromkeys(('.zip', '.tar', '.gz', '.7z', '.rar', '.tgz'), 'archives: unpack them'),
}


class Unused(BaseModel):
    """Files and folders that are not used for one reason."""

    model_config = ConfigDict(extra='forbid')

    reason: str
    n: int
    files: list[str]                        # relative to the set's folder; folders end in a slash


def find_unused(root: Path, layout: str, used: Collection[Path]) -> list[Unused]:
    """Everything at or under `root` that is not among `used`, by reason, the most frequent first.

    Args:
        root: the folder of a set.
        layout: a key of LAYOUTS.
        used: pictures, masks and label files that the set's reader takes, or names otherwise.
    """
    known = {str(path) for path in used}
    found: dict[str, list[str]] = {}

    def tell(reason: str, here: Folder, name: str) -> None:
        found.setdefault(reason, []).append((here.path / name).relative_to(root).as_posix() + '/' * name.endswith('/'))

    for here in walk(root):
        for name in here.aside:
            tell("hidden, or a system's own", here, name)
        for name in here.broken:
            tell('links to nothing, or no files', here, name)
        for name in here.files:
            if str(here.path / name) not in known:
                tell(_reason(here.path.relative_to(root).parts, name, layout), here, name)
        if here.closed:
            tell('folders that this user may not look into', here, './')
        elif here.path != root and not (here.files or here.folders or here.aside or here.broken):
            tell('empty folders', here, './')
    return [Unused(reason=reason, n=len(files), files=files) for reason, files in sorted(found.items(), key=lambda item: -len(item[1]))]


def _reason(folders: tuple[str, ...], name: str, layout: str) -> str:
    suffix = Path(name).suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        return OTHER_KINDS.get(suffix, f'no pictures ({KINDS}) and no label file of the set')
    first = folders[0].lower() if folders else ''
    if first.startswith('val'):
        return f'{folders[0]}/ is neither trained on nor scored: move its pictures to train or test'
    if first == 'masks':
        return 'masks of no picture'
    depth = 2 if first in PARTS_OF_SETS else 1
    if layout == 'classes' and len(folders) > depth:
        return 'in a folder inside a class: move them up into the class'
    return f'pictures where layout {layout} has none'
