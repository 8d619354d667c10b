"""Toyfaces: faces drawn by our own code, so that every edit has a truth.

A face is a pure function `render(identity, attributes)`. The identity holds every latent which the 15 labels do not decide (pose, tones,
styles, the *amounts* of a smile or of an opened mouth, the background ...); the labels choose among those latents. Drawing the same
identity with another label vector therefore gives the exact counterfactual of an edit, the exact region it may touch, and, drawn from the
same polygons, the exact parse of the picture. Nothing is downloaded, and no random number is drawn while a face is painted: textures come
from generators seeded by the identity, whose number of draws never depends on a label.

The set with a seed is an endless list: `face(index, seed)` is its index-th entry, independent of all others. Shapes live in fractions of
the frame (see `toyfaces_draw`), so every size shows the same face.

Conventions: facial hair is class `hair`, a lens is `eyeglasses` except where the eye is seen through it, and `mouth` is the inner mouth
with the teeth. Bald hides fringe and hair colour on top, so the sampler sets neither there. Two hair colours set at once are averaged.
"""

import contextlib
import difflib
import functools
import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np

from retouch.data import toyfaces_draw

VERSION: str = '1'

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
HAIR_COLOURS: tuple[str, ...] = ('Black_Hair', 'Blond_Hair', 'Brown_Hair')
CLASSES: tuple[str, ...] = toyfaces_draw.CLASSES
PALETTE: tuple[tuple[int, int, int], ...] = (
    (244, 190, 150),
    (120, 72, 24),
    (40, 110, 255),
    (30, 30, 40),
    (255, 128, 64),
    (255, 225, 0),
    (0, 170, 120),
    (110, 0, 40),
    (230, 20, 60),
    (170, 140, 220),
    (90, 40, 150),
    (190, 205, 210),
)

REGION_THRESHOLD = 12.75  # 0.1 in [-1,1] units, on the 8-bit scale
_FEW = 64  # below this many faces, starting processes costs more than drawing


@dataclass(frozen=True, slots=True)
class Identity:
    """Every latent of one face that the attributes do not decide.

    Lengths are fractions of the frame, angles are radians, and `_kind` fields are indices into the styles of `toyfaces_draw`. Pairs
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
        neutral_hair_kind=pick(len(toyfaces_draw.NEUTRAL_HAIR)),
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
        glasses_colour=pick(len(toyfaces_draw.GLASSES_COLOURS)),
        glasses_tint=pick(len(toyfaces_draw.GLASSES_TINTS)),
        glasses_size=real(0.95, 1.08),
        glasses_stroke=real(0.024, 0.03),
        eye_width=real(0.05, 0.06),
        eye_height=real(0.026, 0.036),
        eye_tilt=real(-0.12, 0.18),
        eye_spacing=real(0.098, 0.108),
        eye_colour=pick(len(toyfaces_draw.EYE_COLOURS)),
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
        lipstick_colour=pick(len(toyfaces_draw.LIPSTICKS)),
        light_x=real(-1, 1),
        light_strength=real(0.3, 1),
        background_kind=pick(toyfaces_draw.BACKGROUND_KINDS),
        background_seed=pick(2**31),
        clothes_kind=pick(4),
        clothes_seed=pick(2**31),
        earring_kind=int(rng.choice(4, p=(0.55, 0.15, 0.15, 0.15))),
        earring_colour=pick(len(toyfaces_draw.EARRING_COLOURS)),
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


def face(index: int, seed: int = 0) -> tuple[Identity, np.ndarray]:
    """The index-th face of the set with that seed: its identity and its labels (uint8 [15])."""
    identity_seed, attributes_seed = np.random.default_rng((seed, index)).integers(2**62, size=2)
    return sample_identity(int(identity_seed)), sample_attributes(int(attributes_seed))


def render(identity: Identity, attributes: np.ndarray | Mapping[str, int], size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Draw one face.

    Args:
        identity: the latents, from `sample_identity` or `face`.
        attributes: 15 values of 0/1 in the order of `ATTRIBUTES`, or a mapping from all or some of the names to 0/1; names left out are 0,
            except No_Beard and Young, which are 1.
        size: side of the square picture in pixels, 16 to 1024.

    Returns:
        The picture, uint8 [size,size,3], and its parse, uint8 [size,size] of indices into `CLASSES`.

    Raises:
        ValueError: for an unknown attribute name, a vector of another length, a value that is not 0/1, or a size out of range.
    """
    if not 16 <= size <= 1024:
        raise ValueError(f'size is {size}; it must lie in 16..1024')
    return toyfaces_draw.paint(identity, _named(attributes), int(size))


def counterfactual(
    identity: Identity, attributes: np.ndarray | Mapping[str, int], target: np.ndarray | Mapping[str, int], size: int = 128
) -> tuple[np.ndarray, np.ndarray]:
    """The true result of an edit, and where it differs from the input.

    Args:
        identity: the latents of the face.
        attributes: labels of the input picture, as for `render`.
        target: labels of the edited picture: all 15 as an array, or as a mapping only those that change (a hair colour set to 1 clears
            the other two, unless they are named too).
        size: side in pixels, 16 to 1024.

    Returns:
        `y_true`, uint8 [size,size,3], and the region, bool [size,size]: where max over RGB of |x - y_true| exceeds 0.1 in [-1,1] units,
        which is 12.75 on the 8-bit scale.

    Raises:
        ValueError: as `render`.
    """
    source = _named(attributes)
    if isinstance(target, Mapping):
        changes = _checked(target)
        rivals = HAIR_COLOURS if any(changes.get(name) for name in HAIR_COLOURS) else ()
        target = source | dict.fromkeys(rivals, 0) | changes
    x, _ = render(identity, source, size)
    y_true, _ = render(identity, target, size)
    difference = np.abs(x.astype(np.int16) - y_true.astype(np.int16)).max(axis=2)
    return y_true, difference > REGION_THRESHOLD


def draw_set(
    indices: Sequence[int],
    size: int,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    edit: Mapping[str, int] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw many faces of one set; the bytes do not depend on the number of workers.

    Args:
        indices: which faces of the set.
        size: side in pixels, 16 to 1024.
        seed: which set.
        workers: number of processes; None takes one per core. Fewer than 64 faces are drawn in this process.
        progress: called with the number of faces done so far, after each piece of work.
        edit: labels that every face gets in place of its own, as names and 0/1; None: each face as it is.

    Returns:
        images uint8 [N,size,size,3], segmentations uint8 [N,size,size], labels uint8 [N,15], edited.

    Raises:
        ValueError: as `render`.
    """
    if not 16 <= size <= 1024:
        raise ValueError(f'size is {size}; it must lie in 16..1024')
    indices = [int(index) for index in indices]
    images = np.empty((len(indices), size, size, 3), np.uint8)
    segmentations = np.empty((len(indices), size, size), np.uint8)
    labels = np.empty((len(indices), len(ATTRIBUTES)), np.uint8)
    starts = range(0, len(indices), 32)
    jobs = [(indices[start : start + 32], size, seed, _checked(edit or {})) for start in starts]
    workers = min(workers or os.cpu_count() or 1, max(len(jobs), 1))

    def store(chunks: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
        for start, (chunk_images, chunk_segmentations, chunk_labels) in zip(starts, chunks, strict=True):
            stop = start + len(chunk_labels)
            images[start:stop], segmentations[start:stop], labels[start:stop] = chunk_images, chunk_segmentations, chunk_labels
            if progress is not None:
                progress(stop)

    if workers == 1 or len(indices) < _FEW:
        store(map(_draw_chunk, jobs))
    else:
        with drawing_pool(workers) as pool:
            store(pool.map(_draw_chunk, jobs))
    return images, segmentations, labels


@contextlib.contextmanager
def drawing_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes to draw in. They do not import the caller's script, so one without `if __name__ == '__main__'` may draw too."""
    main = sys.modules['__main__']
    script = main.__dict__.pop('__file__', None) if getattr(main, '__spec__', None) is None else None
    try:
        # spawn, not fork: the caller may hold torch threads or a CUDA context
        with ProcessPoolExecutor(workers, mp_context=get_context('spawn')) as pool:
            yield pool
    finally:
        if script is not None:
            main.__file__ = script


@functools.cache
def drawing_hash() -> str:
    """The drawings' fingerprint: 12 hex digits over VERSION and eight probe faces. A comment does not change it, a pixel does."""
    digest = hashlib.sha256(VERSION.encode())
    for index in range(8):
        for picture in render(*face(index), 48):
            digest.update(picture.tobytes())
    return digest.hexdigest()[:12]


def _draw_chunk(job: tuple[list[int], int, int, dict[str, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    indices, size, seed, edit = job
    faces = [face(index, seed) for index in indices]
    for name, value in edit.items():
        for _, attributes in faces:
            attributes[ATTRIBUTES.index(name)] = value
    drawn = [render(identity, attributes, size) for identity, attributes in faces]
    return (
        np.stack([image for image, _ in drawn]),
        np.stack([segmentation for _, segmentation in drawn]),
        np.stack([attributes for _, attributes in faces]),
    )


def _checked(attributes: Mapping[str, int]) -> dict[str, int]:
    for name, value in attributes.items():
        if name not in ATTRIBUTES:
            nearest = difflib.get_close_matches(str(name), ATTRIBUTES, n=1, cutoff=0)[0]
            raise ValueError(f'unknown attribute {name!r}; did you mean {nearest!r}?')
        if value not in (0, 1):
            raise ValueError(f'attribute {name} is {value!r}; it must be 0 or 1')
    return {name: int(value) for name, value in attributes.items()}


def _named(attributes: np.ndarray | Mapping[str, int]) -> dict[str, int]:
    """Labels as a full mapping from all 15 names to 0/1."""
    if isinstance(attributes, Mapping):
        return {name: int(name in ('No_Beard', 'Young')) for name in ATTRIBUTES} | _checked(attributes)
    values = np.asarray(attributes)
    if values.shape != (len(ATTRIBUTES),):
        raise ValueError(f'attributes have shape {values.shape}; expected ({len(ATTRIBUTES)},), in the order of ATTRIBUTES')
    return _checked(dict(zip(ATTRIBUTES, values.tolist(), strict=True)))
