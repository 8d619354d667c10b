"""How a toy face is painted: polygons for shapes, blurred masks for soft light.

Head shapes are written in *head units*: fractions of the frame, origin between the eyes, y down, before the pose (shift, scale, roll).
Every hard shape is filled at a multiple of the wanted size in two layers at once, the picture and the parse; the picture is then
averaged down, the parse is sampled at the pixel centres. Soft light is painted at 64 px whatever the size, and enlarged. No function here
may draw a random number whose position in its stream depends on an attribute: textures are seeded by the identity.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from retouch.data.toyfaces import Identity

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

_JAW_RIM = ((0.99, 0.08), (0.93, 0.2), (0.6, 0.3), (0.0, 0.345))  # x in face half-widths
_BALD_RIM = ((1.02, 0.04), (0.96, 0.035), (0.93, -0.03), (0.86, -0.07), (0.84, -0.115), (0.9, -0.135), (1.0, -0.09))
_SOFT = 64  # side of the soft-light layers, px
_BACKGROUND = 96  # side of the background before it is enlarged, px


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


def smooth(points: np.ndarray | Sequence[tuple[float, float]], closed: bool = False, steps: int = 6) -> np.ndarray:
    """A Catmull-Rom curve [M,2] through the points."""
    anchors = np.asarray(points, float)
    padded = np.concatenate((anchors[-1:], anchors, anchors[:2]) if closed else (anchors[:1], anchors, anchors[-1:]))
    before, start, stop, after = padded[:-3, None], padded[1:-2, None], padded[2:-1, None], padded[3:, None]
    t = (np.arange(steps) / steps)[None, :, None]
    linear, square, cube = stop - before, 2 * before - 5 * start + 4 * stop - after, 3 * start - before - 3 * stop + after
    curve = (start + 0.5 * (linear * t + square * t**2 + cube * t**3)).reshape(-1, 2)
    return curve if closed else np.concatenate((curve, anchors[-1:]))


def ellipse(x: float, y: float, radius_x: float, radius_y: float, power: float = 2.0, count: int = 28) -> np.ndarray:
    """A superellipse [count,2]; power 2 is an ellipse, larger is squarer."""
    angle = np.arange(count) * (2 * np.pi / count)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack(
        (
            x + radius_x * np.sign(cosine) * np.abs(cosine) ** (2 / power),
            y + radius_y * np.sign(sine) * np.abs(sine) ** (2 / power),
        ),
        axis=1,
    )


def strokes(curves: np.ndarray, width: float, taper: float = 1.0) -> np.ndarray:
    """The outlines [K,2M,2] of K lines [K,M,2] of one width; taper 1 narrows a line to a point at both ends, 0 not at all."""
    tangent = np.empty_like(curves)
    tangent[:, 1:-1] = curves[:, 2:] - curves[:, :-2]
    tangent[:, 0], tangent[:, -1] = curves[:, 1] - curves[:, 0], curves[:, -1] - curves[:, -2]
    length = np.sqrt((tangent**2).sum(-1, keepdims=True))
    profile = 0.5 * width * (1 - taper * np.abs(np.arange(curves.shape[1]) * (2 / (curves.shape[1] - 1)) - 1) ** 3)
    offset = tangent[..., ::-1] * (-1, 1) / np.maximum(length, 1e-9) * profile[:, None]
    return np.concatenate((curves + offset, (curves - offset)[:, ::-1]), axis=1)


def stroke(points: np.ndarray, width: float, taper: float = 1.0) -> np.ndarray:
    """The outline [2M,2] of one line [M,2], as `strokes`."""
    return strokes(points[None], width, taper)[0]


def arc(x0: float, y0: float, x1: float, y1: float, bend: float, count: int = 9) -> np.ndarray:
    """A parabola [count,2] between two points; bend is how far its middle sinks below (y down) their mean."""
    t = np.arange(count) * (2 / (count - 1)) - 1
    return np.stack(((x0 + x1) / 2 + (x1 - x0) / 2 * t, (y0 + y1) / 2 + (y1 - y0) / 2 * t + bend * (1 - t**2)), axis=1)


def mirrored(points: np.ndarray) -> np.ndarray:
    """The same shape on the other side of the face."""
    return points * (-1, 1)


class Painter:
    """A picture and its parse, painted together at `side` px."""

    def __init__(self, background: Image.Image, size: int) -> None:
        self.size = size
        self.multiple = 4 if size < 40 else 3 if size < 64 else 2
        self.side = size * self.multiple
        self.image = background.resize((self.side, self.side), Image.Resampling.BICUBIC)
        self.parse = Image.new('L', (self.side, self.side), OTHERS)
        self.image_draw, self.parse_draw = ImageDraw.Draw(self.image), ImageDraw.Draw(self.parse)

    def pixels(self, frame: np.ndarray) -> list[float]:
        return np.rint(frame * self.side - 0.5).ravel().tolist()

    def fill(self, frame: np.ndarray, colour: Colour, label: int | None = None) -> None:
        """Fill a polygon (fractions of the frame) with a colour, and in the parse with a class."""
        corners = self.pixels(frame)
        self.image_draw.polygon(corners, fill=colour)
        if label is not None:
            self.parse_draw.polygon(corners, fill=label)

    def mask(self, shapes: Sequence[np.ndarray] | np.ndarray, levels: Sequence[int] | None = None) -> Image.Image:
        """A hard mask of several polygons, 255 inside, or painted one over another at the levels given."""
        layer = Image.new('L', (self.side, self.side), 0)
        draw = ImageDraw.Draw(layer)
        for number, frame in enumerate(shapes):
            draw.polygon(self.pixels(frame), fill=levels[number] if levels else 255)
        return layer

    def soft(self, shapes: Sequence[tuple[np.ndarray, float]], blur: float) -> Image.Image:
        """A mask of blurred polygons, each (points, opacity 0..1); blur is a fraction of the frame."""
        layer = Image.new('L', (_SOFT, _SOFT), 0)
        draw = ImageDraw.Draw(layer)
        for frame, opacity in shapes:
            draw.polygon(np.rint(frame * _SOFT - 0.5).ravel().tolist(), fill=round(255 * opacity))
        blurred = layer.filter(ImageFilter.GaussianBlur(blur * _SOFT))
        return blurred.resize((self.side, self.side), Image.Resampling.BILINEAR)

    def blend(self, colour: Colour, mask: Image.Image, clip: Image.Image | None = None, label: int | None = None) -> None:
        """Paint a colour through a mask, confined to clip; a class is written wherever the mask exceeds one half."""
        mask = mask if clip is None else ImageChops.multiply(mask, clip)
        self.image.paste(colour, mask=mask)
        if label is not None:
            self.parse.paste(label, mask=mask.point(_OVER_HALF))

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Picture uint8 [size,size,3] and parse uint8 [size,size]."""
        centre = self.multiple // 2
        return np.asarray(self.image.reduce(self.multiple)), np.asarray(self.parse)[centre :: self.multiple, centre :: self.multiple].copy()


_OVER_HALF = [0] * 128 + [255] * 128


class Head:
    """What several parts of a face need: pose, tones and the outline."""

    def __init__(self, identity: 'Identity', labels: Mapping[str, int]) -> None:
        self.identity, self.labels = identity, labels
        cosine, sine = np.cos(identity.roll), np.sin(identity.roll)
        self.rotation = identity.scale * np.array(((cosine, sine), (-sine, cosine)))
        self.origin = np.array((0.5 + identity.shift_x, 0.525 + identity.shift_y))
        self.features = np.array((identity.yaw * 0.016, 0.0))
        own = mix(SKIN_DARK, SKIN_LIGHT, identity.skin_tone)
        own = (own[0], own[1] + round(4 * identity.skin_warmth), own[2] - round(8 * identity.skin_warmth))
        warm = round(4 * identity.skin_warmth)
        self.own_skin: Colour = own
        self.skin: Colour = (PALE[0], PALE[1] + warm // 2, PALE[2] - warm) if labels['Pale_Skin'] else own
        self.skin_shadow = mix(scaled(self.skin, 0.7), (140, 44, 40), 0.2)
        self.skin_light = mix(self.skin, (255, 240, 216), 0.8)
        self.line = scaled(self.skin, 0.5)
        self.hair, self.neutral = self._hair_colours()
        self.outline = self._outline()

    def _hair_colours(self) -> tuple[Colour, Colour]:
        shade = 1 + 0.08 * self.identity.hair_shade
        named = [LABELLED_HAIR[name] for name in LABELLED_HAIR if self.labels[name]]
        neutral = scaled(NEUTRAL_HAIR[self.identity.neutral_hair_kind], shade)
        if not named:
            return neutral, neutral
        return scaled(np.mean(named, axis=0), shade), neutral

    def facial_hair(self) -> Colour:
        """Hair colour, darkened until it stands out from the identity's own skin (pale skin only adds contrast)."""
        colour, dark = scaled(self.hair, 0.82), (34, 18, 12)
        excess = luminance(colour) - luminance(self.own_skin) + 58
        return mix(colour, dark, max(0.0, excess) / (luminance(colour) - luminance(dark))) if excess > 0 else colour

    def _outline(self) -> np.ndarray:
        """The skull and jaw, closed, clockwise from the right temple."""
        identity = self.identity
        width, chin = identity.face_width, identity.chin_y
        jaw = width * (identity.jaw_male if self.labels['Male'] else identity.jaw_female)
        point = width * identity.chin_width * (1.3 if self.labels['Male'] else 1.0)
        right = [(width, -0.03), (width * 0.985, 0.07), (jaw, 0.2), ((jaw + point) / 2, chin - 0.052), (point, chin - 0.014)]
        lower = smooth([*right, (0, chin), *[(-x, y) for x, y in right[::-1]]])
        angle = np.linspace(np.pi, 2 * np.pi, 24)
        skull = np.stack((width * np.cos(angle), -0.03 + 0.305 * np.sin(angle)), axis=1)
        return np.concatenate((lower, skull[1:-1]))

    def place(self, points: np.ndarray) -> np.ndarray:
        """Head units to fractions of the frame."""
        return points @ self.rotation + self.origin

    def face(self, points: np.ndarray) -> np.ndarray:
        """The same for features, which yaw shifts sideways."""
        return (points + self.features) @ self.rotation + self.origin


def paint(identity: 'Identity', labels: Mapping[str, int], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a face: picture uint8 [size,size,3] and parse uint8 [size,size]; labels maps all 15 names to 0/1."""
    head = Head(identity, labels)
    painter = Painter(background(identity), size)
    back_hair(painter, head)
    body(painter, head)
    ears(painter, head)
    skin_mask = skin(painter, head)
    if not labels['Young']:
        wrinkles(painter, head, skin_mask)
    eyes(painter, head)
    nose(painter, head, skin_mask)
    if not labels['No_Beard']:
        beard(painter, head)
    if labels['Mustache']:
        moustache(painter, head)
    mouth(painter, head, skin_mask)
    eyebrows(painter, head)
    if labels['Bald']:
        bald_head(painter, head, skin_mask)
    else:
        front_hair(painter, head, skin_mask)
    if labels['Eyeglasses']:
        eyeglasses(painter, head)
    return painter.result()


def background(identity: 'Identity') -> Image.Image:
    """A cluttered, slightly defocused backdrop, RGB at 96 px."""
    rng = np.random.default_rng(identity.background_seed)
    side = _BACKGROUND
    # a third of the tones borrow the colours of hair and skin, so that colour alone does not tell a face
    tempting = np.array(((100, 58, 30), (232, 190, 92), (146, 94, 66), (220, 162, 122), (142, 144, 152), (206, 84, 34)))
    colours = rng.integers(40, 235, (8, 3))
    colours = np.where((rng.random(8) < 0.35)[:, None], tempting[rng.integers(len(tempting), size=8)], colours)
    tones = [mix(colour, [luminance(colour)] * 3, 0.25) for colour in colours]
    ramp = np.linspace(0, 1, side)[:, None, None]
    base = np.asarray(tones[0]) * (1 - ramp) + np.asarray(mix(tones[0], tones[1], 0.6)) * ramp
    image = Image.fromarray(np.broadcast_to(np.rint(base), (side, side, 3)).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    numbers = rng.random((60, 5))
    if identity.background_kind == 1:  # stripes
        width, slant = side * (0.06 + 0.1 * numbers[0, 0]), side * (numbers[0, 1] - 0.5)
        for number in range(0, 24, 2):
            left = (number - 6) * width
            right = left + width
            draw.polygon([(left, 0), (right, 0), (right + slant, side), (left + slant, side)], fill=tones[2 + number // 2 % 2])
    elif identity.background_kind == 2:  # blobs
        for x, y, radius, tone, _ in numbers[:16] * (side, side, side * 0.2, 8, 1):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tones[int(tone)])
    elif identity.background_kind == 3:  # a bookshelf
        for shelf in range(4):
            left, floor = 0.0, side * (0.26 + 0.26 * shelf)
            for width, height, tone, _, _ in numbers[shelf * 15 : shelf * 15 + 15]:
                right = left + side * (0.04 + 0.06 * width)
                draw.rectangle((left, floor - side * (0.14 + 0.09 * height), right - 1, floor), fill=tones[int(tone * 8)])
                left = right
            draw.rectangle((0, floor, side, floor + side * 0.025), fill=scaled(tones[7], 0.5))
    elif identity.background_kind == 4:  # foliage
        for x, y, radius, tone, light in numbers[:56] * (side, side, side * 0.06, 1, 1):
            leaf = mix((30, 84, 44), (150, 190, 70), tone)
            radius += side * 0.035
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=scaled(leaf, 0.6 + 0.6 * light))
    elif identity.background_kind == 5:  # a city
        for number, (width, height, tone, _, _) in enumerate(numbers[:14]):
            left, top = side * (number / 13 - 0.06), side * (0.9 - 0.75 * height)
            draw.rectangle((left, top, left + side * (0.07 + 0.08 * width), side), fill=scaled(tones[2 + int(tone * 3)], 0.7))
        for x, y, _, _, _ in numbers[14:50]:
            draw.rectangle((x * side, (0.35 + 0.65 * y) * side, x * side + 2, (0.35 + 0.65 * y) * side + 3), fill=(250, 220, 140))
    elif identity.background_kind == 6:  # a room: pictures on a wall, a lamp
        for x, y, width, height, tone in numbers[:5]:
            left, top = x * side * 0.9 - 4, y * side * 0.7
            frame = (left, top, left + side * (0.12 + 0.16 * width), top + side * (0.12 + 0.16 * height))
            draw.rectangle(frame, fill=tones[2 + int(tone * 6)], outline=scaled(tones[0], 0.45), width=2)
        draw.rectangle((0, side * 0.82, side, side), fill=scaled(tones[1], 0.6))
    else:  # two soft lights
        for x, y, radius, tone, _ in numbers[:3] * (side, side, side * 0.3, 8, 1):
            draw.ellipse((x - radius - 14, y - radius - 14, x + radius + 14, y + radius + 14), fill=mix(tones[0], tones[int(tone)], 0.6))
    blur = (4.0 if identity.background_kind == 0 else 0.6) + 1.2 * numbers[-1, 0]
    return image.filter(ImageFilter.GaussianBlur(float(blur)))


def body(painter: Painter, head: Head) -> None:
    """Neck, shoulders and clothes; they follow the shift of the head but not its roll."""
    identity, male = head.identity, head.labels['Male']
    rng = np.random.default_rng(identity.clothes_seed)
    tones = [mix(colour, [luminance(colour)] * 3, 0.2) for colour in rng.integers(30, 225, (3, 3))]
    x, y = head.origin + head.rotation[1] * 0.2 * (1, 0)
    y += (identity.scale - 1) * 0.3
    width = 0.132 if male else 0.088
    neck = smooth([(x - width, y), (x - width, y + 0.33), (x - width - 0.05, y + 0.41), (x, y + 0.6)])
    neck = np.concatenate((neck, (neck * (-1, 1) + (2 * x, 0))[::-1]))
    painter.fill(neck, scaled(head.skin, 0.93), NECK)
    neck_mask = painter.mask([neck])
    chin = head.place(head.outline + (0, 0.03))
    painter.blend(head.skin_shadow, painter.soft([(chin, 0.75)], 0.014), neck_mask)
    shoulder = 0.40
    edge = [(x, y + 0.42), (x - 0.1, y + 0.395), (x - width - 0.03, y + 0.355), (x - 0.2, y + 0.385), (x - 0.33, y + shoulder + 0.02)]
    half = np.concatenate((smooth(edge), [(x - 0.46, y + 0.62), (x, y + 0.62)]))
    cloth = np.concatenate((half, (half * (-1, 1) + (2 * x, 0))[::-1]))
    painter.fill(cloth, tones[0], OTHERS)
    clip = painter.mask([cloth])
    if identity.clothes_kind == 1:  # hoops
        hoops = [stroke(arc(x - 0.5, y + row, x + 0.5, y + row, -0.03), 0.018, 0) for row in (0.42, 0.46)]
        painter.blend(tones[1], painter.mask(hoops), clip)
    elif identity.clothes_kind == 2:  # shirt collar
        flap = np.array(((x - width - 0.03, y + 0.35), (x - 0.015, y + 0.43), (x - 0.09, y + 0.47), (x - width - 0.06, y + 0.39)))
        for side in (flap, flap * (-1, 1) + (2 * x, 0)):
            painter.fill(side, mix(tones[0], (255, 255, 255), 0.55), OTHERS)
    elif identity.clothes_kind == 3:  # a ribbed collar
        rib = stroke(smooth(edge[:3]), 0.03, 0)
        painter.blend(tones[1], painter.mask([rib, rib * (-1, 1) + (2 * x, 0)]), clip)
    painter.blend(scaled(tones[0], 0.4), painter.soft([(chin + (0, 0.03), 0.5)], 0.02), clip)


def ears(painter: Painter, head: Head) -> None:
    """Both ears and, below them, earrings."""
    identity = head.identity
    width = identity.face_width
    for side in (-1, 1):
        rim = np.array(((-0.02, -0.05), (0.022, -0.052), (0.03, 0.0), (0.012, 0.06), (-0.02, 0.07)))
        outer = head.place(smooth((rim + (width, 0)) * (side, 1), closed=True))
        painter.fill(outer, scaled(head.skin, 0.95), EARS)
        shell = np.array(((0.004, -0.03), (0.018, -0.02), (0.012, 0.025)))
        inner = head.place(stroke(smooth((shell + (width, 0)) * (side, 1)), 0.008))
        painter.fill(inner, head.skin_shadow)
        x = side * (width + 0.008)
        colour = EARRING_COLOURS[identity.earring_colour]
        if identity.earring_kind == 1:
            painter.fill(head.place(ellipse(x, 0.073, 0.0135, 0.0135)), colour, EARRINGS)
        elif identity.earring_kind == 2:
            painter.fill(head.place(stroke(ellipse(x, 0.093, 0.02, 0.028), 0.009, 0)), colour, EARRINGS)
        elif identity.earring_kind == 3:
            painter.fill(head.place(np.array(((x, 0.06), (x + 0.015, 0.105), (x, 0.125), (x - 0.015, 0.105)))), colour, EARRINGS)


def skin(painter: Painter, head: Head) -> Image.Image:
    """The face without features, modelled by light; returns its mask."""
    identity = head.identity
    outline = head.place(head.outline)
    painter.fill(outline, head.skin, SKIN)
    clip = painter.mask([outline])
    side = 1 if identity.light_x >= 0 else -1
    away, width = -side, identity.face_width
    strength = 0.35 + 0.65 * identity.light_strength * (0.4 + 0.6 * abs(identity.light_x))
    far = np.array(((width * 0.72, -0.4), (width * 0.6, 0.1), (0.1, 0.4), (0.4, 0.4), (0.4, -0.4))) * (away, 1)
    shade = [(head.place(far), 0.42 * strength)]
    painter.blend(head.skin_shadow, painter.soft(shade, 0.05), clip)
    lights = [
        (head.face(ellipse(side * 0.07, -0.15, 0.11, 0.06)), 0.30 * strength),
        (head.face(ellipse(side * 0.12, 0.08, 0.05, 0.035)), 0.34 * strength),
        (head.face(ellipse(side * 0.01, 0.29, 0.04, 0.02)), 0.24 * strength),
    ]
    painter.blend(head.skin_light, painter.soft(lights, 0.03), clip)
    rosy = mix(head.skin, (225, 70, 70), 0.55)
    blush = [(head.face(ellipse(x, 0.105, 0.045, 0.032)), 0.5 * identity.blush) for x in (-0.135, 0.135)]
    painter.blend(rosy, painter.soft(blush, 0.025), clip)
    sockets = [(head.face(ellipse(x, -0.015, 0.07, 0.045)), 0.34) for x in (-identity.eye_spacing, identity.eye_spacing)]
    painter.blend(head.skin_shadow, painter.soft(sockets, 0.02), clip)
    if head.labels['Male']:
        # a heavier jaw in shade: no stubble, only modelling
        rim = smooth(np.array([(x, y) for x, y in _JAW_RIM] + [(-x, y) for x, y in _JAW_RIM[-2::-1]]) * (width, 1))
        painter.blend(mix(head.skin_shadow, (70, 70, 90), 0.25), painter.soft([(head.place(stroke(rim, 0.08, 0.4)), 0.62)], 0.018), clip)
    return clip


def wrinkles(painter: Painter, head: Head, clip: Image.Image) -> None:
    """Age: forehead lines, crow's feet, bags under the eyes and the folds beside nose and mouth."""
    identity = head.identity
    jitter = np.random.default_rng(identity.wrinkle_seed).uniform(-1, 1, 12) * 0.006
    colour = mix(head.skin, scaled(head.skin, 0.42), identity.wrinkle_strength)
    spacing = identity.eye_spacing
    bags = [(head.face(ellipse(x, 0.052, 0.05, 0.016)), 0.6) for x in (-spacing, spacing)]
    hollows = [(head.face(stroke(arc(x * 0.075, 0.085, x * 0.135, 0.2, 0.01), 0.03)), 0.45) for x in (-1, 1)]
    painter.blend(mix(head.skin_shadow, (90, 40, 60), 0.25), painter.soft(bags + hollows, 0.012), clip)
    lines = [arc(-0.11 + jitter[0], -0.205, 0.11 + jitter[1], -0.205, -0.008)]
    lines += [arc(-0.125 + jitter[2], -0.178, 0.125 + jitter[3], -0.178, -0.008)]
    lines += [arc(-0.095 + jitter[4], -0.152, 0.095 + jitter[5], -0.152, -0.008)]
    for side in (-1, 1):
        lines += [arc(side * (spacing - 0.05), 0.054, side * (spacing + 0.05), 0.05, 0.026)]
        lines += [arc(side * (spacing + 0.068), y * 0.4, side * (spacing + 0.1), y + jitter[6], 0.004) for y in (-0.025, 0.006, 0.036)]
        lines += [smooth([(side * 0.056, 0.085), (side * 0.1, 0.125), (side * 0.135, 0.185 + jitter[7]), (side * 0.138, 0.225)])]
    widths = [0.011, 0.012, 0.011] + [0.012, 0.009, 0.009, 0.009, 0.015] * 2
    for points, width in zip(lines, widths, strict=True):
        painter.fill(head.face(stroke(points, width)), colour)


def eyes(painter: Painter, head: Head) -> None:
    """Eyeballs, irises and lids; a woman's upper lid carries lashes."""
    identity = head.identity
    width, height = identity.eye_width, identity.eye_height
    iris = EYE_COLOURS[identity.eye_colour]
    t = np.linspace(-1, 1, 15)
    for side in (-1, 1):
        centre = np.array((side * identity.eye_spacing, 0.0))
        x = t * width
        slope = -side * identity.eye_tilt * x
        upper, lower = slope - height * (1 - t**2) ** 0.8, slope + 0.72 * height * (1 - t**2)
        top, bottom = np.stack((x, upper), 1) + centre, np.stack((x, lower), 1) + centre
        painter.fill(head.face(np.concatenate((top, bottom[::-1]))), (246, 245, 242), EYES)

        gaze = identity.gaze * 0.007 + identity.yaw * 0.004
        for radius, colour in ((height * 0.86, scaled(iris, 0.55)), (height * 0.74, iris), (height * 0.4, (14, 12, 14))):
            disc = ellipse(gaze, -0.003, radius, radius, count=24)
            disc[:, 1] = np.clip(disc[:, 1], np.interp(disc[:, 0], x, upper), np.interp(disc[:, 0], x, lower))
            painter.fill(head.face(disc + centre), colour)
        painter.fill(head.face(ellipse(gaze + 0.008, -0.011, 0.0055, 0.0055, count=10) + centre), (255, 255, 255))

        lid = (30, 20, 20)
        painter.fill(head.face(stroke(top, 0.009 if head.labels['Male'] else 0.015, 0.6)), lid)
        crease = np.stack((x * 0.95, upper * 1.0 - 0.013), 1) + centre
        painter.fill(head.face(stroke(crease, 0.006)), head.line)
        if not head.labels['Male']:
            outer = centre + (side * width, -identity.eye_tilt * width)
            wing = np.array(((-side * 0.012, -0.012), (side * 0.024, -0.026), (side * 0.004, 0.006)))
            painter.fill(head.face(wing + outer), lid)


def nose(painter: Painter, head: Head, clip: Image.Image) -> None:
    """A nose of one shade lower than the face, lit from one side."""
    identity = head.identity
    width, tip = identity.nose_width, identity.nose_y
    shift = identity.yaw * 0.01
    half = [(0.013, -0.015), (0.014 + 0.1 * width, 0.045), (width * 0.94, tip - 0.03), (width, tip - 0.012), (width * 0.62, tip + 0.002)]
    left = [(shift * max(0.0, (y + 0.02) * 8) - x, y) for x, y in half]
    right = [(shift * max(0.0, (y + 0.02) * 8) + x, y) for x, y in half]
    points = smooth([*left, (shift, tip + 0.009), *right[::-1]])
    frame = head.face(points)
    mask = painter.mask([frame])
    painter.blend(mix(head.skin, head.skin_shadow, 0.36), mask, clip, NOSE)
    side = 1 if identity.light_x >= 0 else -1
    below = tip + 0.02
    flank = [(0, -0.04), (shift - side * 0.004, tip - 0.02), (shift, below), (-side * 0.09, below), (-side * 0.05, -0.04)]
    dark = head.face(np.array(flank))
    painter.blend(head.skin_shadow, painter.soft([(dark, 0.8)], 0.008), mask)
    painter.blend(head.skin_light, painter.soft([(head.face(ellipse(shift + side * 0.008, tip - 0.028, 0.014, 0.014)), 0.5)], 0.011), mask)
    for nostril in (-1, 1):
        hole = ellipse(shift + nostril * width * 0.5, tip - 0.002, width * 0.22, 0.0065, count=12)
        painter.fill(head.face(hole), scaled(head.skin_shadow, 0.6))


def mouth(painter: Painter, head: Head, clip: Image.Image) -> None:
    """Lips, the opening between them with teeth and tongue, and what a smile does to the cheeks."""
    identity, labels = head.identity, head.labels
    smile = identity.smile_on if labels['Smiling'] else identity.smile_off
    opening = 0.09 * (identity.mouth_open_on if labels['Mouth_Slightly_Open'] else identity.mouth_open_off)
    width = identity.mouth_width * (1 + 0.14 * smile)
    x, y = identity.yaw * 0.004, 0.183
    corner, middle = y - 0.046 * smile, y + 0.005 * smile
    t = np.linspace(-1, 1, 21)
    bow = (1 - t**2).clip(0)
    thick = identity.lip_thickness
    upper = corner + (middle - corner) * bow
    lower = upper + opening * bow**0.8
    top = upper - thick * (0.92 * bow**0.7 - 0.3 * np.exp(-((t / 0.16) ** 2)))
    bottom = lower + thick * 1.12 * bow**0.75

    def between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        across = x + t * width
        return head.face(np.concatenate((np.stack((across, first), 1), np.stack((across, second), 1)[::-1])))

    natural = mix(head.skin, (176, 74, 74), 0.34)
    lips = LIPSTICKS[identity.lipstick_colour] if labels['Wearing_Lipstick'] else natural
    under = head.face(ellipse(x, bottom[10] + 0.012, width * 0.5, 0.009))
    if labels['No_Beard']:
        painter.blend(head.skin_shadow, painter.soft([(under, 0.55)], 0.007), clip)
    if smile > 0.3:
        for side in (-1, 1):
            crease = smooth([(x + side * (width + out), corner + down) for out, down in ((0.014, -0.034), (0.026, -0.006), (0.014, 0.022))])
            painter.fill(head.face(stroke(crease, 0.011)), head.skin_shadow)
    painter.fill(between(top, bottom), lips, LIPS)
    painter.fill(between(top, upper), scaled(lips, 0.86))
    gloss = between(lower + (bottom - lower) * 0.3, lower + (bottom - lower) * 0.62)
    painter.blend(mix(lips, (255, 255, 255), 0.5), painter.mask([gloss]).point(lambda level: level // 3))

    dark = (66, 14, 22)
    painter.fill(between(upper - 0.002, np.maximum(lower, upper + 0.003)), dark, MOUTH)
    if opening > 0.02:
        teeth = np.minimum(upper + 0.026, upper + (lower - upper) * 0.42)
        tongue = np.maximum(lower - 0.024, lower - (lower - upper) * 0.3)
        painter.fill(between(upper, teeth), (248, 246, 240))
        inner = np.abs(t) < 0.66
        tongue = np.where(inner, tongue + 0.012 * (t / 0.66) ** 2, lower).clip(max=lower)
        painter.fill(between(tongue, lower), (196, 74, 84))


def eyebrows(painter: Painter, head: Head) -> None:
    """Brows: a narrow or a bushy band, in the identity's own dark tone whatever the hair."""
    identity = head.identity
    thickness = identity.brow_bushy if head.labels['Bushy_Eyebrows'] else identity.brow_thin * (1.3 if head.labels['Male'] else 1.0)
    colour = mix(scaled(head.own_skin, 0.3), (30, 24, 22), 0.5)
    t = np.linspace(0, 1, 9)
    for side in (-1, 1):
        x = identity.eye_spacing - 0.07 + 0.142 * t
        y = identity.brow_y + 0.006 - identity.brow_arch * np.sin(np.pi * t**1.3) - identity.brow_angle * 0.06 * (t - 0.5)
        profile = thickness * (0.8 + 0.6 * t - 1.1 * t**2.5).clip(0.14) * np.minimum(1, 0.7 + 4 * t)
        band = np.concatenate((np.stack((x, y - profile * 0.55), 1), np.stack((x, y + profile * 0.45), 1)[::-1]))
        painter.fill(head.face(band * (side, 1)), colour, EYEBROWS)


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
        rim = smooth([(edge * width * x, y) for x, y in _BALD_RIM])
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


def eyeglasses(painter: Painter, head: Head) -> None:
    """Thick frames, tinted lenses, a glint; an eye behind a lens stays an eye in the parse."""
    identity = head.identity
    colour, tint = GLASSES_COLOURS[identity.glasses_colour], GLASSES_TINTS[identity.glasses_tint]
    size, thick = identity.glasses_size, identity.glasses_stroke
    radius_x, radius_y, power = ((0.074, 0.068, 2.0), (0.08, 0.058, 4.0), (0.08, 0.06, 2.6), (0.08, 0.066, 2.6))[identity.glasses_kind]
    rims, lenses, glints = [], [], []
    for side in (-1, 1):
        shape = ellipse(0, 0, radius_x * size, radius_y * size, power, count=36)
        if identity.glasses_kind == 2:  # cat eye
            shape[:, 1] -= 0.25 * side * shape[:, 0] * (shape[:, 1] < 0)
        elif identity.glasses_kind == 3:  # aviator
            shape[:, 1] += 0.18 * -side * shape[:, 0] * (shape[:, 1] > 0)
        centre = np.array((side * identity.eye_spacing, 0.006))
        length = np.hypot(*shape.T)[:, None]
        rims.append(head.face(shape * (1 + thick / 2 / length) + centre))
        lenses.append(head.face(shape * (1 - thick / 2 / length) + centre))
        glints.append(head.face(np.array(((-0.045, -0.002), (-0.015, -0.038), (-0.002, -0.038), (-0.035, 0.012))) + centre))
    inner, outer = identity.eye_spacing - radius_x * size, identity.eye_spacing + radius_x * size
    arms = [head.face(stroke(arc(-inner - 0.006, -0.004, inner + 0.006, -0.004, -0.012), thick * 0.8, 0))]
    for side in (-1, 1):
        ear = (side * identity.face_width, -0.022) - head.features
        arms.append(head.face(stroke(np.array(((side * (outer - 0.004), -0.012), ear)), thick * 0.8, 0)))
    not_eyes = painter.parse.point([0 if label == EYES else 255 for label in range(256)])
    lens = painter.mask(lenses)
    painter.image.paste(tint, mask=lens.point(lambda level: level * 30 // 100))
    painter.parse.paste(EYEGLASSES, mask=ImageChops.multiply(lens, not_eyes))
    painter.blend((255, 255, 255), painter.mask(glints, [110, 110]), lens)
    painter.blend(colour, painter.mask([*arms, *rims, *lenses], [255] * 5 + [0] * 2), None, EYEGLASSES)
