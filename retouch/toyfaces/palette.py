"""Classes of a parse, and the colours and styles that a face is drawn with."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Colour = tuple[int, int, int]
Numbers = Sequence[float] | np.ndarray

CLASSES: tuple[str, ...] = (
    'skin',
    'eyebrows',
    'eyes',
    'eyeglasses',
    'ears',
    'earrings',
    'nose',
    'mouth',
    'lips',
    'neck',
    'hair',
    'others',
)
SKIN, EYEBROWS, EYES, EYEGLASSES, EARS, EARRINGS, NOSE, MOUTH, LIPS, NECK, HAIR, OTHERS = range(len(CLASSES))

LABELLED_HAIR: dict[str, Colour] = {'Black_Hair': (27, 25, 31), 'Blond_Hair': (232, 190, 92), 'Brown_Hair': (100, 58, 30)}
NEUTRAL_HAIR: tuple[Colour, ...] = (
    (142, 144, 152),
    (198, 198, 204),
    (206, 84, 34),
    (150, 30, 40),
    (58, 112, 196),
    (58, 150, 104),
    (226, 112, 168),
    (132, 84, 184),
)
GREYED: Colour = (214, 214, 218)
PALE: Colour = (255, 229, 214)
SKIN_DARK, SKIN_LIGHT = np.array((132, 84, 60)), np.array((226, 168, 128))
LIPSTICKS: tuple[Colour, ...] = ((204, 14, 38), (150, 14, 92), (236, 30, 122), (176, 10, 16))
GLASSES_COLOURS: tuple[Colour, ...] = ((22, 22, 26), (20, 34, 92), (96, 12, 24), (8, 66, 58), (54, 30, 18))
GLASSES_TINTS: tuple[Colour, ...] = ((150, 200, 235), (190, 225, 190), (120, 130, 150), (225, 190, 150))
EYE_COLOURS: tuple[Colour, ...] = ((84, 50, 28), (46, 30, 22), (58, 110, 170), (60, 124, 84), (110, 124, 140))
EARRING_COLOURS: tuple[Colour, ...] = ((244, 200, 60), (232, 236, 244), (40, 170, 190), (214, 40, 70))
BACKGROUND_KINDS = 7


def mix(first: Numbers, second: Numbers, share: float) -> Colour:
    """The colour `share` of the way from first to second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def scaled(colour: Numbers, factor: float) -> Colour:
    """The colour times a factor, clipped to 0..255."""
    red, green, blue = (max(0, min(255, round(value * factor))) for value in colour)
    return red, green, blue


def luminance(colour: Numbers) -> float:
    """Perceived brightness, 0..255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
