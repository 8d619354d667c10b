"""Hair on the head and in the face: behind it, before it, fringe, bald heads, beard and moustache."""
from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops

from retouch.toyfaces.head import BALD_RIM, Head
from retouch.toyfaces.palette import GREYED, HAIR, Colour, mix, scaled
from retouch.toyfaces.shapes import Painter, arc, ellipse, mirrored, smooth, stroke, strokes


def _temples(head: Head) -> list[np.ndarray]:
    """Stripes of the hair beside the forehead, which age turns grey."""
    width = head.identity.face_width
    stripes = []
    for side in (-1, 1):
        for inner, outer, low in ((0.80, 0.98, 0.02), (0.98, 1.1, 0.05), (1.1, 1.24, 0.08)):
            top = smooth([(side * width * inner * 0.82, -0.27), (side * width * inner, -0.16), (side * width * outer, low)])
            stripes.append(head.place(stroke(top, 0.009, 0.9)))
    return stripes


def _strands(
    painter: Painter, head: Head, clip: Image.Image, starts: np.ndarray, ends: np.ndarray, bend: np.ndarray, colour: Colour
) -> None:
    """Light and dark strands of hair over a mask; starts, ends [K,2], bend [K,2] in head units."""
    t = np.linspace(0, 1, 8)[None, :, None]
    curves = starts[:, None] * (1 - t) + ends[:, None] * t + bend[:, None] * (4 * t * (1 - t))
    half = len(curves) // 2
    for group, tone, width in ((curves[:half], scaled(colour, 0.66), 0.011), (curves[half:], mix(colour, (255, 240, 220), 0.3), 0.009)):
        painter.blend(tone, painter.mask(head.place(strokes(group, width)), [150] * len(group)), clip)


def _outer_hair(head: Head, rng: np.random.Generator) -> np.ndarray:
    """The outer contour of the hair on top, from the left ear over the crown to the right ear."""
    identity = head.identity
    bumps = rng.random(4)
    angle = np.linspace(np.pi * 1.0, np.pi * 2.0, 49)
    turn = np.linspace(0, 1, 49)
    depth, count = ((0.0, 1), (0.016, 4), (0.02, 12), (0.026, 10))[identity.hair_kind]
    if identity.hair_kind == 3:  # tousled: spikes
        wave = depth * np.abs(((turn * count + bumps[0]) % 1) * 2 - 1)
    else:
        wave = depth * np.abs(np.sin(np.pi * (turn * count + bumps[0]))) ** (2 if identity.hair_kind == 1 else 0.7)
    lift = identity.hair_volume + wave * np.sin(np.pi * turn) ** 0.5
    lean = 0.02 * identity.hair_part * np.sin(2 * np.pi * turn)
    x = np.cos(angle) * (identity.face_width + 0.012 + lift * 0.55)
    return np.stack((x, -0.03 + np.sin(angle) * (0.305 + lift) + lean), axis=1)


def back_hair(painter: Painter, head: Head) -> None:
    """Hair behind head and neck: long for a woman, none for a bald head."""
    identity, labels = head.identity, head.labels
    if labels['Bald']:
        return
    length = identity.hair_short if labels['Male'] else identity.hair_long
    rng = np.random.default_rng(identity.hair_seed)
    contour = _outer_hair(head, rng)
    phase = rng.random(3)
    flare = identity.hair_flare * (0.2 if labels['Male'] else 1.0)
    reach = contour[-1, 0]
    down = np.linspace(0, 1, 12)
    wobble = 0.0 if identity.hair_kind == 0 else 0.012 * np.sin(2 * np.pi * (down * 2.5 * max(length, 0.1) / 0.3 + phase[0]))
    side = np.stack((reach + flare * down**0.7 + wobble * (length > 0.1), -0.03 + (length + 0.03) * down), axis=1)
    tip = [(reach + flare - 0.05, length + 0.035), (0.07, length + 0.02)]
    half = np.concatenate((side, tip))
    shape = np.concatenate((contour, half, mirrored(half)[::-1]))
    frame = head.place(shape)
    shadow = scaled(head.hair, 0.74)
    painter.fill(frame, shadow, HAIR)
    clip = painter.mask([frame])
    x = np.linspace(-1, 1, 14)
    order = rng.permutation(14)
    starts = np.stack((x * 0.22, np.full(14, -0.1)), 1)[order]
    ends = np.stack((x * (reach + flare), np.full(14, length + 0.02)), 1)[order]
    _strands(painter, head, clip, starts, ends, np.stack((x * 0.05, 0 * x), 1)[order], shadow)


def front_hair(painter: Painter, head: Head, skin_mask: Image.Image) -> None:
    """The hair on top, the locks before the ears, and the fringe."""
    identity, labels = head.identity, head.labels
    rng = np.random.default_rng(identity.hair_seed)
    contour = _outer_hair(head, rng)
    texture = rng.uniform(-1, 1, (3, 24))
    width, line = identity.face_width, identity.hairline
    part = identity.hair_part * 0.09
    burn = 0.06 if labels['Male'] else 0.0
    half = [(width * 0.995, burn), (width * 0.93, burn - 0.005), (width * 0.9, -0.08), (width * 0.83, -0.15), (width * 0.62, -0.208)]
    peak = [(part + 0.06, line - 0.004), (part, line - 0.014), (part - 0.06, line - 0.004)]
    hairline = smooth([*half, *peak, *[(-x, y) for x, y in half[::-1]]])
    cap = np.concatenate((contour, [(contour[-1, 0], 0.0), (width, burn)], hairline, [(-width, burn), (contour[0, 0], 0.0)]))
    pieces = [head.place(cap)]
    if not labels['Male'] and identity.hair_covers_ears:
        reach, flare, length = contour[-1, 0], identity.hair_flare, min(identity.hair_long, 0.34)
        inside = [(width * 0.86, -0.15), (width * 0.93, -0.02), (width * 0.97, 0.08), (width * 0.93, 0.18)]
        end = [(reach + flare * 0.3, length), (reach + flare * 0.8, length * 0.7), (reach + 0.01, 0.05), (reach, -0.06)]
        lock = smooth([*inside, *end], closed=True)
        pieces += [head.place(lock), head.place(mirrored(lock))]
    mask = painter.mask(pieces)
    overhang = head.place(np.concatenate((hairline + (0, 0.016), [(-width, -0.35), (width, -0.35)])))
    painter.blend(head.skin_shadow, painter.soft([(overhang, 0.65)], 0.01), skin_mask)
    painter.blend(head.hair, mask, None, HAIR)
    side = 1 if identity.light_x >= 0 else -1
    sheen = np.array(((0.02, -0.325), (0.1, -0.315), (0.18, -0.25), (0.16, -0.235), (0.08, -0.285), (0.02, -0.295))) * (side, 1)
    painter.blend(mix(head.hair, (255, 246, 230), 0.6), painter.soft([(head.place(smooth(sheen, closed=True)), 0.42)], 0.014), mask)
    angle = np.linspace(1.08, 1.92, 24) * np.pi
    order = rng.permutation(24)
    ends = np.stack((np.cos(angle) * (width + 0.02), np.sin(angle) * 0.2 - 0.03), 1)[order]
    starts = np.stack((part + 0.06 * np.cos(angle) + 0.01 * texture[0], -0.31 + 0.02 * texture[1]), 1)[order]
    bend = np.stack((np.cos(angle) * 0.06, np.full(24, -0.035)), 1)[order]
    _strands(painter, head, mask, starts, ends, bend, head.hair)
    if not labels['Young']:
        greying = [(head.place(ellipse(x, -0.1, 0.055, 0.13)), 0.85) for x in (-width * 1.06, width * 1.06)]
        painter.blend(GREYED, painter.soft(greying, 0.016), mask)
        painter.blend(scaled(head.hair, 0.8), painter.mask(_temples(head), [150] * 6), mask)
    if labels['Bangs']:
        fringe(painter, head, ImageChops.subtract(skin_mask, mask), texture[2])


def fringe(painter: Painter, head: Head, forehead: Image.Image, texture: np.ndarray) -> None:
    """Bangs: hair from the crown over the forehead, ending just above the brows."""
    identity = head.identity
    width = identity.face_width * 0.9
    t = np.linspace(-1, 1, 25)
    low = identity.fringe_y
    side = 1 if identity.hair_part >= 0 else -1
    jag = np.abs((np.arange(25) % 4) - 2) / 2
    edge = (
        low + 0 * t,
        low - 0.016 * jag,
        low - 0.03 * ((1 + side * t) / 2) ** 1.5 + 0.004 * jag,
        low - 0.034 * np.exp(-((t / 0.22) ** 2)) + 0.006 * np.abs(t),
    )[identity.fringe_kind]
    edge = edge + 0.003 * texture.mean() + 0.014 * np.abs(t) ** 4
    bottom = np.stack((t * width, edge), 1)
    crown = smooth([(width * 0.93, -0.19), (width * 0.72, -0.255), (0, -0.285), (-width * 0.72, -0.255), (-width * 0.93, -0.19)])
    frame = head.place(np.concatenate((bottom, crown)))
    painter.blend(head.skin_shadow, painter.soft([(frame + (0, 0.014), 0.7)], 0.008), forehead)
    mask = painter.mask([frame])
    painter.blend(head.hair, mask, None, HAIR)
    x = np.linspace(-0.95, 0.95, 24)
    order = np.argsort(texture)
    starts = np.stack((x * width * 0.7, np.full(24, -0.29)), 1)[order]
    ends = np.stack((x * width, np.full(24, low + 0.005)), 1)[order]
    bend = np.stack((x * 0.03, np.full(24, 0.0)), 1)[order]
    _strands(painter, head, mask, starts, ends, bend, head.hair)
    band = [(head.place(stroke(arc(-width * 0.8, -0.215, width * 0.8, -0.215, -0.03), 0.02)), 0.4)]
    painter.blend(mix(head.hair, (255, 246, 230), 0.6), painter.soft(band, 0.012), mask)


def bald_head(painter: Painter, head: Head, clip: Image.Image) -> None:
    """A glossy scalp with a thin rim of cropped hair above the ears."""
    identity = head.identity
    width = identity.face_width
    side = 1 if identity.light_x >= 0 else -1
    painter.blend((255, 252, 246), painter.soft([(head.place(ellipse(side * 0.07, -0.245, 0.075, 0.026)), 0.8)], 0.024), clip)
    tone = mix(head.facial_hair(), (38, 34, 34), 0.4) if head.labels['Young'] else GREYED
    for edge in (-1, 1):
        rim = smooth([(edge * width * x, y) for x, y in BALD_RIM])
        painter.blend(tone, painter.mask([head.place(rim)], [165]), None, HAIR)


def beard(painter: Painter, head: Head) -> None:
    """A beard on cheeks and chin; it leaves the upper lip to the moustache."""
    identity = head.identity
    colour, width = head.facial_hair(), identity.face_width
    outline = head.outline[: len(head.outline) - 22]
    jaw = outline[outline[:, 1] > 0.03]
    grow = ((jaw[:, 1] - 0.03) / 0.3).clip(0)[:, None]
    drop = identity.beard_length * (1.0, 1.0, 0.5)[identity.beard_kind]
    jag = 0.004 * (np.arange(len(jaw)) % 2)[:, None] * (identity.beard_kind == 1)
    lower = jaw * (1 + 0.03 * grow) + grow**2 * (0, drop) + jag * (0, 1)
    cheek = (0.125, 0.14, 0.165)[identity.beard_kind]
    reach = identity.mouth_width * 1.3
    left = [(-width * 0.9, 0.05), (-width * 0.78, cheek), (-reach - 0.01, cheek + 0.025), (-reach * 0.9, 0.205), (-reach * 0.5, 0.212)]
    inner = smooth([*left, (0, 0.212), *[(-x, y) for x, y in left[::-1]]])
    frame = head.place(np.concatenate((lower, inner)))
    painter.fill(frame, colour, HAIR)
    clip = painter.mask([frame])
    x = np.linspace(-1, 1, 20)
    order = np.argsort(np.sin(np.arange(20) * 12.9898))
    starts = np.stack((x * width * 0.95, 0.2 - 0.1 * np.abs(x)), 1)[order]
    ends = np.stack((x * width * 0.8, 0.4 - 0.13 * x**2), 1)[order]
    _strands(painter, head, clip, starts, ends, np.zeros((20, 2)), colour)
    if not head.labels['Young']:
        greying = [(head.place(ellipse(0, 0.325, 0.105, 0.06)), 0.66)]
        painter.blend(GREYED, painter.soft(greying, 0.02), clip)


def moustache(painter: Painter, head: Head) -> None:
    """A moustache between nose and upper lip."""
    identity = head.identity
    colour = head.facial_hair()
    tip = identity.nose_y + 0.006
    reach, droop = ((0.1, 0.02), (0.122, -0.012), (0.108, 0.03))[identity.moustache_kind]
    above, below = [(0.0, 0.006), (0.03, 0.0), (0.07, 0.012)], [(0.07, 0.052), (0.03, 0.054), (0.0, 0.046)]
    right = smooth(np.array([*above, (reach, 0.034 + droop), *below]) + (0, tip))
    frame = head.face(np.concatenate((right, mirrored(right)[::-1])) + (identity.yaw * 0.006, 0))
    painter.fill(frame, colour, HAIR)
    clip = painter.mask([frame])
    x = np.linspace(-1, 1, 10)
    starts, ends = np.stack((x * 0.03, np.full(10, tip)), 1), np.stack((x * 0.12, np.full(10, tip + 0.05)), 1)
    _strands(painter, head, clip, starts[::3], ends[::3], np.zeros((4, 2)), colour)
