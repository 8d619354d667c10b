"""Cards of a plain image program beside the shipped editor's: black-, brown- and other-haired drawn faces made blond, with true regions.

    python benchmarks/score_faces.py --n 400 --out benchmarks/results/score

Of the first n held-out faces those with hair that is not blond are edited, those that are blond are the real pictures. Written below a
folder (`--folder`, temporary by default): before/ truth/ regions/ real/, and after, by

    photo_filter   Pillow, no mask: every pixel of the picture warmer and lighter, as a photo program's filter
    recolour       Pillow, with the true region at hand: lightness kept, colour of blond hair, feathered by 2 px
    toyfaces       `retouch edit` of the shipped editor, which is told what to do and not where

All are scored by the same `retouch score`, which is printed.
"""
from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from retouch import toyfaces
from retouch.evaluation.tasks import true_edits
from retouch.toyfaces.stored import held_out_faces

ATTRIBUTE, SIZE = 'Blond_Hair', 128
BLOND = ((60, 40, 10), (225, 185, 95), (255, 240, 190))          # of shadow, middle and light


def draw(folder: Path, n: int) -> int:
    """before/, truth/, regions/ and real/; returns how many faces are edited."""
    images, labels = held_out_faces(n, SIZE, 0, None)
    truth = true_edits((ATTRIBUTE,), images, labels)[ATTRIBUTE]
    pictures = {'before': images[truth.rows], 'truth': truth.images[:], 'regions': truth.regions[:].astype(np.uint8) * 255,
                'real': images[labels[:, toyfaces.ATTRIBUTES.index(ATTRIBUTE)] == 1]}
    for name, some in pictures.items():
        (folder / name).mkdir(parents=True)
        for i, pixels in enumerate(some):
            Image.fromarray(pixels).save(folder / name / f'{i:05d}.png')
    return len(truth.rows)


def photo_filter(picture: Image.Image, region: Image.Image) -> Image.Image:
    """Lighter, more colourful, warmer; everywhere."""
    warm = Image.blend(picture, Image.new('RGB', picture.size, BLOND[1]), 0.25)
    return ImageEnhance.Color(ImageEnhance.Brightness(warm).enhance(1.15)).enhance(1.2)


def recolour(picture: Image.Image, region: Image.Image) -> Image.Image:
    """The greys of the region in the colours of blond hair."""
    grey = ImageOps.autocontrast(ImageOps.grayscale(picture), cutoff=2, mask=region)
    blond = ImageOps.colorize(grey, *BLOND[::2], mid=BLOND[1])
    return Image.composite(blond, picture, region.filter(ImageFilter.GaussianBlur(2)))


def run(*words: object) -> None:
    command = ['retouch', *map(str, words)]
    print('$', ' '.join(command), flush=True)
    subprocess.run([sys.executable, '-m', *command], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--n', type=int, default=400)
    parser.add_argument('--folder', type=Path)
    parser.add_argument('--out', type=Path, default=Path('benchmarks/results/score'))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        print(draw(folder, options.n), 'faces are edited')
        for tool in (photo_filter, recolour):
            (folder / tool.__name__).mkdir()
            for path in sorted((folder / 'before').iterdir()):
                with Image.open(path) as picture, Image.open(folder / 'regions' / path.name) as region:
                    tool(picture, region).save(folder / tool.__name__ / path.name)
        run('edit', 'toyfaces', folder / 'before', '--set', f'{ATTRIBUTE}=1', '--out', folder / 'toyfaces', '--device', 'cpu')
        cards = [options.out / tool for tool in ('photo_filter', 'recolour', 'toyfaces')]
        for card in cards:
            masks = {'recolour': ('--masks', folder / 'regions'), 'toyfaces': ('--masks', folder / 'toyfaces')}.get(card.name, ())
            run('score', '--before', folder / 'before', '--after', folder / card.name, *masks, '--regions', folder / 'regions', '--truth',
                folder / 'truth', '--real', folder / 'real', '--judge', 'judge', '--set', f'{ATTRIBUTE}=1', '--tool', card.name,
                '--device', 'cpu', '--out', card)
        run('compare', *cards)


if __name__ == '__main__':
    main()
