"""Data sets in the layouts in which they are handed out, of a few small synthetic pictures."""
from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from retouch.evaluation.pairs import CITYSCAPES

NAMES = ('Bald', 'Bangs', 'Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Bushy_Eyebrows', 'Eyeglasses', 'Goatee', 'Heavy_Makeup', 'Male',
         'Mouth_Slightly_Open', 'Mustache', 'No_Beard', 'Pale_Skin', 'Smiling', 'Wearing_Lipstick', 'Young')
EXPRESSIONS = ('angry', 'contemptuous', 'disgusted', 'fearful', 'happy', 'neutral', 'sad', 'surprised')
CELEBA_N, HQ_N, PEOPLE, DOMAIN_N, PAIRS_N, UNITS_N = 60, 30, 9, 20, 20, 30


def noise(seed: int, width: int, height: int) -> Image.Image:
    """A smooth picture of its own."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((width, height), Image.Resampling.BILINEAR)


def labels(n: int) -> np.ndarray:
    """[n,17] in {-1,1}, every attribute both ways; every picture shows one hair colour at most."""
    found = np.where(np.random.default_rng(0).random((n, len(NAMES))) < 0.5, 1, -1)
    colours = [NAMES.index(f'{colour}_Hair') for colour in ('Black', 'Blond', 'Brown')]
    found[:, colours] = -1
    for i in range(n):
        if i % 4 < 3:
            found[i, colours[i % 4]] = 1
    return found


def write_celeba(folder: Path, n: int = CELEBA_N) -> None:
    """img_align_celeba/ and list_attr_celeba.txt, 178 x 218 px."""
    (folder / 'img_align_celeba').mkdir(parents=True)
    rows = [str(n), ' '.join(NAMES)]
    for i, row in enumerate(labels(n), 1):
        noise(i, 178, 218).save(folder / 'img_align_celeba' / f'{i:06d}.jpg')
        rows.append(f'{i:06d}.jpg ' + ' '.join(map(str, row)))
    (folder / 'list_attr_celeba.txt').write_text('\n'.join(rows) + '\n')


def write_celebamask_hq(folder: Path, n: int = HQ_N) -> None:
    """CelebA-HQ-img/, its labels, and CelebAMask-HQ-mask-anno/ with a mask for each part."""
    (folder / 'CelebA-HQ-img').mkdir(parents=True)
    (folder / 'CelebAMask-HQ-mask-anno' / '0').mkdir(parents=True)
    rows = [str(n), ' '.join(NAMES)]
    for i, row in enumerate(labels(n)):
        noise(1000 + i, 72, 72).save(folder / 'CelebA-HQ-img' / f'{i}.jpg')
        rows.append(f'{i}.jpg ' + ' '.join(map(str, row)))
        for part, (left, top, right, bottom) in {'skin': (12, 20, 60, 64), 'hair': (8, 4, 64, 20), 'nose': (32, 36, 40, 46)}.items():
            mask = np.zeros((72, 72), np.uint8)
            mask[top:bottom, left:right] = 255
            Image.fromarray(mask).save(folder / 'CelebAMask-HQ-mask-anno' / '0' / f'{i:05d}_{part}.png')
    (folder / 'CelebAMask-HQ-attribute-anno.txt').write_text('\n'.join(rows) + '\n')


def write_rafd(folder: Path, people: int = PEOPLE) -> None:
    """Rafd090_01_Caucasian_female_angry_frontal.jpg and so on, every expression of every person."""
    folder.mkdir(parents=True)
    for person in range(1, people + 1):
        for k, expression in enumerate(EXPRESSIONS):
            noise(10 * person + k, 681, 1024).save(folder / f'Rafd090_{person:02d}_Caucasian_female_{expression}_frontal.jpg')


def write_domains(folder: Path, n: int = DOMAIN_N) -> None:
    """trainA trainB testA testB, of n pictures of either domain a fifth in test."""
    for k, side in enumerate('AB'):
        for part, numbers in (('train', range(n - n // 5)), ('test', range(n - n // 5, n))):
            (folder / f'{part}{side}').mkdir(parents=True)
            for i in numbers:
                noise(100 * k + i, 40, 40).save(folder / f'{part}{side}' / f'{i:03d}.jpg')


def write_two_folders(folder: Path, names: tuple[str, str], n: int = DOMAIN_N) -> None:
    """Two folders of pictures, such as day/ and night/."""
    for k, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            noise(500 + 100 * k + i, 40, 40).save(folder / name / f'{name}_{i:03d}.jpg')


def street(seed: int, size: int = 64) -> Image.Image:
    """Labels in Cityscapes' colours: sky, road, and a car somewhere."""
    found = np.zeros((size, size, 3), np.uint8)
    found[:size // 2], found[size // 2:] = CITYSCAPES.colours[10], CITYSCAPES.colours[0]
    found[size // 2:size // 2 + 8, 4 + seed % 40:12 + seed % 40] = CITYSCAPES.colours[13]
    return Image.fromarray(found)


def write_cityscapes(folder: Path, n: int = PAIRS_N, size: int = 64) -> None:
    """train/ and val/ of side-by-side PNG files, photograph left, labels right."""
    for part, numbers in (('train', range(1, n - 3)), ('val', range(1, 5))):
        (folder / part).mkdir(parents=True)
        for i in numbers:
            both = Image.new('RGB', (2 * size, size))
            both.paste(noise(i, size, size), (0, 0))
            both.paste(street(i, size), (size, 0))
            both.save(folder / part / f'{i}.png')


def write_facades(folder: Path, n: int = 10, size: int = 64) -> None:
    """train/, val/ and test/ of side-by-side JPEG files."""
    for part, count in (('train', n), ('val', 2), ('test', 4)):
        (folder / part).mkdir(parents=True)
        for i in range(count):
            noise(i, 2 * size, size).save(folder / part / f'{i + 1}.jpg')


def write_two_faces(folder: Path, stem: str, n: int = PAIRS_N) -> None:
    """A/ neutral and B/ smiling, of equal names: the second picture is 51 levels brighter, but where it is white."""
    for side, brighter in (('A', 0), ('B', 51)):
        (folder / side).mkdir(parents=True)
        for i in range(n):
            pixels = np.asarray(noise(900 + i, 64, 64)).astype(int) // 2 + brighter
            Image.fromarray(pixels.astype(np.uint8)).save(folder / side / stem.format(i))


def write_emotionet(folder: Path, n: int = UNITS_N) -> None:
    """Pictures and a list of addresses with the action units of LOMIT's figure, 0, 1 or 999."""
    units = (1, 2, 4, 5, 6, 9, 12, 17, 20, 25, 26, 43)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = ['URL,' + ','.join(f'AU {unit}' for unit in units)]
    for i in range(n):
        noise(2000 + i, 48, 48).save(folder / f'N_{i:07d}.jpg')
        values = [str(v) for v in rng.integers(0, 2, len(units))]
        rows.append(f'http://example.org/faces/N_{i:07d}.jpg,' + ','.join(['999', *values[1:]] if i == 0 else values))
    (folder / 'list.csv').write_text('\n'.join(rows) + '\n')


def write_all(root: Path) -> Path:
    """Every set of the five papers below one folder, by the names that `papers.sets.SETS` has."""
    write_celeba(root / 'celeba')
    write_celebamask_hq(root / 'CelebAMask-HQ')
    write_rafd(root / 'rafd')
    for name in ('apple2orange', 'horse2zebra', 'summer2winter_yosemite'):
        write_domains(root / name)
    write_two_folders(root, ('day', 'night'))
    write_cityscapes(root / 'cityscapes')
    write_two_faces(root / 'ar_face', 'M-{:03d}.png')
    write_two_faces(root / 'bu3dfe', 'F{:04d}.png')
    write_emotionet(root / 'emotionet')
    return root
