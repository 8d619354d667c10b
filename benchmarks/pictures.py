"""The pictures of shipped editors in README and docs, made anew by one command each.

    python benchmarks/pictures.py faces [--model toyfaces] [--out docs/images]
    python benchmarks/pictures.py leaves [--model leaves] [--out docs/images]

Faces and leaves of the gallery are the first held-out ones by index that lack the attribute asked for; nobody chose them. The strip on top
of the README is named by index, below. Faces are drawn at 256 px (those of the README at 192), leaves are the photographs of examples/.
"""
from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from retouch import toyfaces
from retouch.data.labels import HAIR_COLOURS
from retouch.editor import Editor
from retouch.toyfaces.stored import HELD_OUT

HERO = ((2, 'Blond_Hair'), (3, 'Eyeglasses'), (11, 'Black_Hair'), (9, 'Brown_Hair'))     # held-out index, what is asked of it
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
SUM = ('Blond_Hair', 'Eyeglasses', 'Mouth_Slightly_Open')
EXAMPLES = Path(__file__).parents[1] / 'examples' / 'leaves'
LABEL, INK, PAPER = 22, (30, 30, 30), (255, 255, 255)
Tile = np.ndarray                                                # uint8 [H,W,3]


def face(index: int, size: int) -> tuple[toyfaces.Identity, np.ndarray, Tile]:
    """The index-th held-out face: identity, labels, picture."""
    identity, labels = toyfaces.face(HELD_OUT + index)
    return identity, labels, toyfaces.render(identity, labels, size)[0]


def without(attribute: str, count: int) -> list[int]:
    """The first held-out faces that lack an attribute and can have it: nobody bald is asked for hair."""
    found: list[int] = []
    index = 0
    while len(found) < count:
        labels = dict(zip(toyfaces.ATTRIBUTES, toyfaces.face(HELD_OUT + index)[1], strict=True))
        if not labels[attribute] and not (labels['Bald'] and attribute in (*HAIR_COLOURS, 'Bangs')):
            found.append(index)
        index += 1
    return found


def grey(mask: np.ndarray) -> Tile:
    """A mask [H,W] as a picture."""
    return np.repeat(mask[..., None], 3, 2)


def titled(columns: Iterable[str], rows: list[list[Tile]]) -> Image.Image:
    """Rows of tiles of one size under their columns' titles."""
    sheet = np.concatenate([np.concatenate(row, 1) for row in rows])
    side = rows[0][0].shape[1]
    picture = Image.new('RGB', (sheet.shape[1], LABEL + sheet.shape[0]), PAPER)
    picture.paste(Image.fromarray(sheet), (0, LABEL))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    for i, title in enumerate(columns):
        draw.text((i * side + side // 2, LABEL // 2), title, INK, font, anchor='mm')
    return picture


def faces(editor: Editor, out: Path) -> None:
    """toyfaces.png, gallery-<attribute>.jpg, strength.jpg and sum.jpg."""
    size = 192
    tiles = []
    for index, attribute in HERO:
        x = face(index, size)[2]
        edit = editor.edit(x, **{attribute: 1})
        tiles.append([x, grey(edit.mask), np.asarray(edit.image)])
    half = len(tiles) // 2
    sheet = np.concatenate([np.concatenate([tile for group in tiles[i::half] for tile in group], 1) for i in range(half)])
    Image.fromarray(sheet).save(out / 'toyfaces.png', optimize=True)

    size = 256
    for attribute in editor.method.data.attributes:
        rows = []
        for index in without(attribute, 6):
            identity, labels, x = face(index, size)
            edit = editor.edit(x, **{attribute: 1})
            rows.append([x, grey(edit.mask), np.asarray(edit.image), toyfaces.counterfactual(identity, labels, {attribute: 1}, size)[0]])
        six = [a + b for a, b in zip(rows[:3], rows[3:], strict=True)]
        titled(('input', 'mask', 'edit', 'truth') * 2, six).save(out / f'gallery-{attribute}.jpg', quality=88)

    rows = [[np.asarray(editor.edit(face(without(name, 1)[0], size)[2], strength=s, **{name: 1}).image) for s in STRENGTHS]
            for name in ('Blond_Hair', 'Eyeglasses', 'Smiling') if name in editor.method.data.attributes]
    titled([f'strength {s:g}' for s in STRENGTHS], rows).save(out / 'strength.jpg', quality=88)

    rows = []
    for index in (i for i in without(SUM[0], 60) if not any(face(i, 16)[1][toyfaces.ATTRIBUTES.index(a)] for a in SUM)):
        identity, labels, x = face(index, size)
        alone = [np.asarray(editor.edit(x, **{name: 1}).image) for name in SUM]
        both = dict.fromkeys(SUM, 1)
        rows.append([x, *alone, np.asarray(editor.edit(x, **both).image), toyfaces.counterfactual(identity, labels, both, size)[0]])
        if len(rows) == 3:
            break
    titled(('input', *SUM, 'all three at once', 'truth of all'), rows).save(out / 'sum.jpg', quality=88)


def leaves(editor: Editor, out: Path) -> None:
    """leaves.png and gallery-leaves.jpg, of the photographs in examples/leaves, which say in their names what they show."""
    files = sorted(EXAMPLES.glob('*.jpg'))
    every, rows = editor.method.data.attributes, []
    for file in files:
        tiles = [np.asarray(Image.open(file).convert('RGB'))]
        for name in every:
            edit = editor.edit(file, **{name: 1})
            tiles += [grey(edit.mask), np.asarray(edit.image)]
        rows.append(tiles)
    columns = ('photograph', *(title for name in every for title in ('mask', name)))
    titled(columns, rows).save(out / 'gallery-leaves.jpg', quality=88)
    ill = [1 + 2 * i for i, name in enumerate(every) if name != 'healthy']
    strips = [np.concatenate([row[0], *(tile for i in ill for tile in row[i:i + 2])], 1)
              for row, file in zip(rows, files, strict=True) if 'healthy' in file.stem]
    Image.fromarray(np.concatenate(strips[:2])).save(out / 'leaves.png', optimize=True)


def main() -> None:
    """Writes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('which', choices=('faces', 'leaves'))
    parser.add_argument('--model')
    parser.add_argument('--out', type=Path, default=Path(__file__).parents[1] / 'docs' / 'images')
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    editor = Editor.load(options.model or {'faces': 'toyfaces', 'leaves': 'leaves'}[options.which])
    {'faces': faces, 'leaves': leaves}[options.which](editor, options.out)


if __name__ == '__main__':
    main()
