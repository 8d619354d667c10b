"""Folders of pictures for tests, written as a user would have them."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from retouch import toyfaces


def write_labelled_faces(folder: Path, n: int, names: Sequence[str], size: int = 16) -> Path:
    """The first n drawn faces as PNG files of `size` px with labels.csv, whose columns are `names`. Returns the folder."""
    images, _, labels = toyfaces.draw_set(range(n), size, workers=1)
    folder.mkdir()
    rows = ['file,' + ','.join(names)]
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        Image.fromarray(image).save(folder / f'{i:02d}.png')
        rows.append(f'{i:02d}.png,' + ','.join(str(label[toyfaces.ATTRIBUTES.index(name)]) for name in names))
    (folder / 'labels.csv').write_text('\n'.join(rows) + '\n')
    return folder
