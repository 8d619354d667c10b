"""Toyfaces: a face is a pure function of identity and labels, and an edit changes only what it names."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from retouch import toyfaces
from retouch.toyfaces import CLASSES, PALETTE, counterfactual, draw_set, face, render
from retouch.toyfaces.identity import ATTRIBUTES, HAIR_COLOURS

SAMPLE = 40


def flipped(attributes: np.ndarray, name: str) -> dict[str, int]:
    """The one change of an edit, as a mapping for `counterfactual`."""
    return {name: 1 - int(attributes[ATTRIBUTES.index(name)])}


def edit(index: int, name: str, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    identity, attributes = face(index)
    x, _ = render(identity, attributes, size)
    y, _ = counterfactual(identity, attributes, flipped(attributes, name), size)
    return x, y


@pytest.fixture(scope='module')
def regions() -> dict[str, np.ndarray]:
    """Areas of true edit regions as shares of the frame, by attribute; each face of the sample is edited in five of the 15."""
    areas: dict[str, list[float]] = {name: [] for name in ATTRIBUTES}
    for index in range(SAMPLE):
        identity, attributes = face(index)
        x, _ = render(identity, attributes, 64)
        for name in ATTRIBUTES[index % 3 :: 3]:
            labels = attributes.copy()
            labels[ATTRIBUTES.index(name)] ^= 1
            if name in HAIR_COLOURS and flipped(attributes, name)[name]:
                labels[[ATTRIBUTES.index(rival) for rival in HAIR_COLOURS if rival != name]] = 0
            y, _ = render(identity, labels, 64)
            areas[name].append(float((np.abs(x.astype(int) - y).max(2) > toyfaces.REGION_THRESHOLD).mean()))
    return {name: np.array(values) for name, values in areas.items()}


def test_the_vocabulary_is_fixed() -> None:
    assert len(ATTRIBUTES) == 15 and list(ATTRIBUTES) == sorted(ATTRIBUTES)
    assert CLASSES == ('skin', 'eyebrows', 'eyes', 'eyeglasses', 'ears', 'earrings', 'nose', 'mouth', 'lips', 'neck', 'hair', 'others')
    colours = np.array(PALETTE)
    distance = np.linalg.norm(colours[:, None] - colours[None], axis=2) + 1000 * np.eye(12)
    assert distance.min() > 45


@pytest.mark.parametrize('size', [16, 48, 64, 128])
def test_same_arguments_same_bytes(size: int) -> None:
    identity, attributes = face(5)
    image, parse = render(identity, attributes, size)
    again, parse_again = render(*face(5), size)
    assert image.shape == (size, size, 3) and image.dtype == np.uint8
    assert parse.shape == (size, size) and parse.dtype == np.uint8
    assert image.tobytes() == again.tobytes() and parse.tobytes() == parse_again.tobytes()


def test_sizes_show_the_same_face() -> None:
    identity, attributes = face(2)
    large = render(identity, attributes, 128)[0].reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(large - render(identity, attributes, 64)[0]).mean() < 6


def test_faces_and_sets_differ() -> None:
    assert face(0)[0] != face(1)[0]
    assert face(0, seed=0)[0] != face(0, seed=1)[0]


def test_any_number_of_workers_draws_the_same_bytes() -> None:
    steps: list[int] = []
    alone = draw_set(range(70), 16, seed=3, workers=1)
    shared = draw_set(range(70), 16, seed=3, workers=2, progress=steps.append)
    assert [part.shape for part in alone] == [(70, 16, 16, 3), (70, 16, 16), (70, 15)]
    assert all(first.tobytes() == second.tobytes() for first, second in zip(alone, shared, strict=True))
    assert steps == [32, 64, 70]
    identity, attributes = face(69, seed=3)
    assert np.array_equal(alone[0][69], render(identity, attributes, 16)[0]) and np.array_equal(alone[2][69], attributes)


def test_a_script_without_a_main_guard_may_draw(tmp_path: Path) -> None:
    script = tmp_path / 'script.py'
    script.write_text('from retouch.toyfaces import draw_set\nprint(draw_set(range(300), 16, workers=2)[0].shape, __file__)\n')
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, f'(300, 16, 16, 3) {script}\n', '')


def test_nothing_to_draw_is_an_empty_set() -> None:
    images, parses, labels = draw_set([], 32)
    assert images.shape == (0, 32, 32, 3) and parses.shape == (0, 32, 32) and labels.shape == (0, 15)


@pytest.mark.parametrize(
    ('name', 'zone'),
    [
        # rows and columns of the 64 px frame which the edit must leave alone, byte for byte
        ('Eyeglasses', np.s_[43:]),
        ('Eyeglasses', np.s_[:, :4]),
        ('Bangs', np.s_[34:]),
        ('Bushy_Eyebrows', np.s_[36:]),
        ('Mouth_Slightly_Open', np.s_[:36]),
        ('Smiling', np.s_[:36]),
        ('Wearing_Lipstick', np.s_[:36]),
        ('Mustache', np.s_[:34]),
        ('No_Beard', np.s_[:24]),
    ],
)
def test_an_edit_leaves_the_rest_byte_equal(name: str, zone: tuple) -> None:
    for index in range(6):
        x, y = edit(index, name)
        assert np.array_equal(x[zone], y[zone]), f'{name} of face {index}'


def test_only_hair_neck_and_jaw_may_touch_the_background() -> None:
    for name in set(ATTRIBUTES) - {'Bald', 'Male', 'No_Beard', *HAIR_COLOURS, 'Pale_Skin', 'Eyeglasses', 'Young'}:
        for index in range(4):
            identity, attributes = face(index)
            parse = render(identity, attributes, 64)[1]
            x, y = edit(index, name)
            outside = parse == CLASSES.index('others')
            # a background pixel beside the hair holds some hair: antialiasing
            for axis in (0, 1):
                outside = outside & np.roll(outside, 1, axis) & np.roll(outside, -1, axis)
            assert outside.mean() > 0.1
            assert np.array_equal(x[outside], y[outside]), f'{name} of face {index}'


def test_the_edit_region_is_neither_a_speck_nor_the_frame(regions: dict[str, np.ndarray]) -> None:
    assert len(regions) == 15
    for name, areas in regions.items():
        assert len(areas) >= SAMPLE // 3
        assert 0.005 < areas.mean() < 0.35, f'{name}: {areas.mean():.4f}'
    for name in ('Bangs', 'Eyeglasses', 'Mouth_Slightly_Open'):
        assert 0.02 < regions[name].mean() < 0.12, f'{name}: {regions[name].mean():.4f}'


def test_counterfactual_is_the_drawing_with_other_labels() -> None:
    identity, attributes = face(1)
    target = attributes.copy()
    target[ATTRIBUTES.index('Eyeglasses')] ^= 1
    y_true, region = counterfactual(identity, attributes, target, 64)
    x = render(identity, attributes, 64)[0].astype(int)
    assert np.array_equal(y_true, render(identity, target, 64)[0])
    assert region.dtype == bool and np.array_equal(region, np.abs(x - y_true).max(2) > 12.75)
    by_name, _ = counterfactual(identity, attributes, flipped(attributes, 'Eyeglasses'), 64)
    assert np.array_equal(by_name, y_true)


def test_naming_a_hair_colour_clears_the_others() -> None:
    identity, attributes = next(face(index) for index in range(50) if face(index)[1][ATTRIBUTES.index('Black_Hair')])
    target = attributes.copy()
    target[ATTRIBUTES.index('Black_Hair')], target[ATTRIBUTES.index('Blond_Hair')] = 0, 1
    assert np.array_equal(counterfactual(identity, attributes, {'Blond_Hair': 1}, 32)[0], render(identity, target, 32)[0])


def test_names_left_out_are_a_young_shaven_face() -> None:
    identity, _ = face(0)
    vector = np.array([name in ('Male', 'No_Beard', 'Young') for name in ATTRIBUTES])
    assert np.array_equal(render(identity, {'Male': 1}, 32)[0], render(identity, vector, 32)[0])


def test_labels_are_plausible() -> None:
    labels = np.stack([toyfaces.sample_attributes(seed) for seed in range(3000)])
    column = {name: labels[:, number].astype(bool) for number, name in enumerate(ATTRIBUTES)}
    share = labels.mean(0)
    assert labels.dtype == np.uint8 and set(np.unique(labels)) == {0, 1}
    assert (share > 0.08).all() and (share < 0.92).all(), dict(zip(ATTRIBUTES, share, strict=True))
    colours = np.sum([column[name] for name in HAIR_COLOURS], axis=0)
    assert colours.max() == 1
    assert not (column['Bald'] & (column['Bangs'] | (colours > 0))).any()
    assert column['Male'][column['Bald']].mean() > 0.7
    assert column['Male'][~column['No_Beard']].mean() > 0.8
    assert column['Male'][column['Wearing_Lipstick']].mean() < 0.25


def test_amounts_inside_the_labels_keep_a_gap() -> None:
    identities = [toyfaces.sample_identity(seed) for seed in range(500)]
    assert max(one.mouth_open_off for one in identities) + 0.3 < min(one.mouth_open_on for one in identities)
    assert max(one.smile_off for one in identities) + 0.3 < min(one.smile_on for one in identities)
    assert max(one.brow_thin for one in identities) * 2 < min(one.brow_bushy for one in identities)


def test_the_parse_uses_all_twelve_classes() -> None:
    seen = np.unique(np.stack([render(*face(index), 64)[1] for index in range(SAMPLE)]))
    assert seen.tolist() == list(range(12))


def test_the_parse_agrees_with_the_picture() -> None:
    for index in range(4):
        identity, _ = face(index)
        _, region = counterfactual(identity, {}, {'Eyeglasses': 1}, 64)
        glasses = render(identity, {'Eyeglasses': 1}, 64)[1] == CLASSES.index('eyeglasses')
        # a weak tint on a lens may stay under the threshold; a frame never does
        assert region[glasses].mean() > 0.6
        assert (render(identity, {'Bald': 1}, 64)[1] == CLASSES.index('hair')).mean() < 0.03


@pytest.mark.parametrize(
    ('attributes', 'size', 'message'),
    [
        ({'Eyeglass': 1}, 64, "'Eyeglasses'"),
        ({'Smiling': 2}, 64, '0 or 1'),
        (np.zeros(13, np.uint8), 64, r'expected \(15,\)'),
        (np.zeros(15, np.uint8), 15, '16..1024'),
        (np.zeros(15, np.uint8), 1025, '16..1024'),
    ],
)
def test_wrong_arguments_are_named(attributes: np.ndarray | dict[str, int], size: int, message: str) -> None:
    identity, _ = face(0)
    with pytest.raises(ValueError, match=message):
        render(identity, attributes, size)


def test_a_wrong_size_is_named_before_work_starts() -> None:
    with pytest.raises(ValueError, match='16..1024'):
        draw_set(range(100), 8)


def test_the_hash_is_twelve_hex_digits() -> None:
    assert toyfaces.drawing_hash() == toyfaces.drawing_hash()
    assert len(toyfaces.drawing_hash()) == 12 and int(toyfaces.drawing_hash(), 16) >= 0
