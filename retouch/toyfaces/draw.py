"""How a toy face is painted: polygons for shapes, blurred masks for soft light.

Head shapes are written in *head units*: fractions of the frame, origin between the eyes, y down, before the pose (shift, scale, roll).
Every hard shape is filled at a multiple of the wanted size in two layers at once, the picture and the parse; the picture is then
averaged down, the parse is sampled at the pixel centres. Soft light is painted at 64 px whatever the size, and enlarged. No function here
may draw a random number whose position in its stream depends on an attribute: textures are seeded by the identity.
"""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from retouch.toyfaces.hair import back_hair, bald_head, beard, front_hair, moustache
from retouch.toyfaces.head import JAW_RIM, Head
from retouch.toyfaces.identity import Identity
from retouch.toyfaces.palette import (
    EARRING_COLOURS,
    EARRINGS,
    EARS,
    EYE_COLOURS,
    EYEBROWS,
    EYEGLASSES,
    EYES,
    GLASSES_COLOURS,
    GLASSES_TINTS,
    LIPS,
    LIPSTICKS,
    MOUTH,
    NECK,
    NOSE,
    OTHERS,
    SKIN,
    luminance,
    mix,
    scaled,
)
from retouch.toyfaces.shapes import Painter, arc, ellipse, smooth, stroke

BACKGROUND = 96  # side of the background before it is enlarged, px


def paint(identity: Identity, labels: Mapping[str, int], size: int) -> tuple[np.ndarray, np.ndarray]:
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


def background(identity: Identity) -> Image.Image:
    """A cluttered, slightly defocused backdrop, RGB at 96 px."""
    rng = np.random.default_rng(identity.background_seed)
    side = BACKGROUND
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
        rim = smooth(np.array([(x, y) for x, y in JAW_RIM] + [(-x, y) for x, y in JAW_RIM[-2::-1]]) * (width, 1))
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
