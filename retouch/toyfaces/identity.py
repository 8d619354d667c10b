"""What makes one drawn face: the latents that its attributes do not decide, and labels as portraits have them."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retouch.toyfaces.palette import BACKGROUND_KINDS, EARRING_COLOURS, EYE_COLOURS, GLASSES_COLOURS, GLASSES_TINTS, LIPSTICKS, NEUTRAL_HAIR

ATTRIBUTES: tuple[str, ...] = (
    'Bald',
    'Bangs',
    'Black_Hair',
    'Blond_Hair',
    'Brown_Hair',
    'Bushy_Eyebrows',
    'Eyeglasses',
    'Male',
    'Mouth_Slightly_Open',
    'Mustache',
    'No_Beard',
    'Pale_Skin',
    'Smiling',
    'Wearing_Lipstick',
    'Young',
)
THIRTEEN = tuple(name for name in ATTRIBUTES if name not in ('Smiling', 'Wearing_Lipstick'))     # those that the papers edit
HAIR_COLOURS: tuple[str, ...] = ('Black_Hair', 'Blond_Hair', 'Brown_Hair')


@dataclass(frozen=True, slots=True)
class Identity:
    """Every latent of one face that the attributes do not decide.

    Lengths are fractions of the frame, angles are radians, and `_kind` fields are indices into the styles of `palette`. Pairs
    ending in `_off` and `_on` are the two amounts between which a label chooses; they never overlap over the whole set.
    """

    shift_x: float
    shift_y: float
    scale: float
    roll: float
    yaw: float
    face_width: float
    jaw_female: float
    jaw_male: float
    chin_width: float
    chin_y: float
    skin_tone: float
    skin_warmth: float
    blush: float
    neutral_hair_kind: int
    hair_shade: float
    hair_kind: int
    hair_volume: float
    hair_short: float
    hair_long: float
    hair_flare: float
    hair_part: float
    hair_covers_ears: bool
    hair_seed: int
    hairline: float
    fringe_kind: int
    fringe_y: float
    glasses_kind: int
    glasses_colour: int
    glasses_tint: int
    glasses_size: float
    glasses_stroke: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    eye_spacing: float
    eye_colour: int
    gaze: float
    nose_width: float
    nose_y: float
    mouth_width: float
    lip_thickness: float
    mouth_open_off: float
    mouth_open_on: float
    smile_off: float
    smile_on: float
    brow_y: float
    brow_angle: float
    brow_arch: float
    brow_thin: float
    brow_bushy: float
    beard_kind: int
    beard_length: float
    moustache_kind: int
    wrinkle_strength: float
    wrinkle_seed: int
    lipstick_colour: int
    light_x: float
    light_strength: float
    background_kind: int
    background_seed: int
    clothes_kind: int
    clothes_seed: int
    earring_kind: int
    earring_colour: int


def sample_identity(seed: int) -> Identity:
    """Draw the latents of one face.

    Args:
        seed: any non-negative integer; the same seed gives the same identity.
    """
    rng = np.random.default_rng(seed)

    def real(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def pick(count: int) -> int:
        return int(rng.integers(count))

    return Identity(
        shift_x=real(-0.03, 0.03),
        shift_y=real(-0.02, 0.02),
        scale=real(1.0, 1.1),
        roll=real(-0.11, 0.11),
        yaw=real(-1, 1),
        face_width=real(0.212, 0.236),
        jaw_female=real(0.66, 0.74),
        jaw_male=real(0.85, 0.91),
        chin_width=real(0.28, 0.40),
        chin_y=real(0.325, 0.345),
        skin_tone=real(0, 1),
        skin_warmth=real(-1, 1),
        blush=real(0.1, 1),
        neutral_hair_kind=pick(len(NEUTRAL_HAIR)),
        hair_shade=real(-1, 1),
        hair_kind=pick(4),
        hair_volume=real(0.028, 0.062),
        hair_short=real(0.0, 0.06),
        hair_long=real(0.2, 0.5),
        hair_flare=real(0.03, 0.075),
        hair_part=real(-1, 1),
        hair_covers_ears=bool(rng.random() < 0.4),
        hair_seed=pick(2**31),
        hairline=real(-0.25, -0.232),
        fringe_kind=pick(4),
        fringe_y=real(-0.162, -0.148),
        glasses_kind=pick(4),
        glasses_colour=pick(len(GLASSES_COLOURS)),
        glasses_tint=pick(len(GLASSES_TINTS)),
        glasses_size=real(0.95, 1.08),
        glasses_stroke=real(0.024, 0.03),
        eye_width=real(0.05, 0.06),
        eye_height=real(0.026, 0.036),
        eye_tilt=real(-0.12, 0.18),
        eye_spacing=real(0.098, 0.108),
        eye_colour=pick(len(EYE_COLOURS)),
        gaze=real(-1, 1),
        nose_width=real(0.034, 0.048),
        nose_y=real(0.098, 0.11),
        mouth_width=real(0.088, 0.108),
        lip_thickness=real(0.024, 0.031),
        mouth_open_off=real(0, 0.12),
        mouth_open_on=real(0.55, 1),
        smile_off=real(-0.25, 0.08),
        smile_on=real(0.6, 1),
        brow_y=real(-0.116, -0.108),
        brow_angle=real(-0.16, 0.16),
        brow_arch=real(0.004, 0.018),
        brow_thin=real(0.011, 0.014),
        brow_bushy=real(0.036, 0.042),
        beard_kind=pick(3),
        beard_length=real(0.005, 0.045),
        moustache_kind=pick(3),
        wrinkle_strength=real(0.85, 1),
        wrinkle_seed=pick(2**31),
        lipstick_colour=pick(len(LIPSTICKS)),
        light_x=real(-1, 1),
        light_strength=real(0.3, 1),
        background_kind=pick(BACKGROUND_KINDS),
        background_seed=pick(2**31),
        clothes_kind=pick(4),
        clothes_seed=pick(2**31),
        earring_kind=int(rng.choice(4, p=(0.55, 0.15, 0.15, 0.15))),
        earring_colour=pick(len(EARRING_COLOURS)),
    )


def sample_attributes(seed: int) -> np.ndarray:
    """Draw one plausible label vector, correlated as in portraits (a beard is mostly a man's, lipstick mostly a woman's).

    Args:
        seed: any non-negative integer; the same seed gives the same labels.

    Returns:
        uint8 [15] of 0/1 in the order of `ATTRIBUTES`, with at most one hair colour, and neither hair colour nor Bangs for a bald head.
    """
    chance = np.random.default_rng(seed).random(len(ATTRIBUTES))
    male = chance[0] < 0.48
    bald = chance[1] < (0.19 if male else 0.035)
    colour = None if bald or chance[2] < 0.12 else HAIR_COLOURS[int(chance[3] * 3)]
    chosen = {
        'Bald': bald,
        'Bangs': not bald and chance[4] < 0.45,
        'Bushy_Eyebrows': chance[5] < (0.4 if male else 0.22),
        'Eyeglasses': chance[6] < 0.35,
        'Male': male,
        'Mouth_Slightly_Open': chance[7] < 0.45,
        'Mustache': chance[8] < (0.4 if male else 0.03),
        'No_Beard': chance[9] > (0.42 if male else 0.03),
        'Pale_Skin': chance[10] < 0.27,
        'Smiling': chance[11] < 0.46,
        'Wearing_Lipstick': chance[12] < (0.07 if male else 0.62),
        'Young': chance[13] < 0.7,
    }
    return np.array([name == colour or chosen.get(name, False) for name in ATTRIBUTES], dtype=np.uint8)
