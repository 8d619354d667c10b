"""The frame rule: an edit shows a model the pixels that training would, and brings them back to where they were."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from retouch.data.batches import DRAWN, DataSpec
from retouch.data.cache import decode
from retouch.data.configs import AttributeData, DomainData, PairData, ParsingData
from retouch.data.frame import Frame
from retouch.data.sets import open_set
from retouch.editor.canvas import Canvas
from retouch.editor.editor import Editor
from retouch.engine.update import Translation
from retouch.evaluation.held_out import held_out
from retouch.methods.registry import METHODS
from retouch.model import CONFIG, Model, load_model, save_model
from tests.unit.test_editor import Brighten, Domains, editor, noise


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 [height,width,3]: what a photograph is like at low resolution."""
    coarse = torch.rand(1, 3, 6, 7, generator=torch.Generator().manual_seed(seed))
    large = F.interpolate(coarse, size=(height, width), mode='bicubic', align_corners=False)[0]
    return (large.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def seen(canvas: Canvas, size: int) -> np.ndarray:
    """uint8 [size,size,3] that the model is given."""
    return ((canvas.model_input(size)[0].transpose(1, 2, 0) + 1) * 127.5).round().astype(np.uint8)


def db(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(max(np.square(a.astype(float) - b).mean(), 1e-9) / 255 ** 2))


def write_set(root: Path, n: int, height: int, width: int) -> list[Path]:
    """A table of pictures with an attribute."""
    root.mkdir(parents=True)
    paths = [root / f'{i:02d}.png' for i in range(n)]
    for i, path in enumerate(paths):
        Image.fromarray(smooth(height, width, i)).save(path)
    (root / 'labels.csv').write_text('file,A,B\n' + ''.join(f'{p.name},{i % 2},{i // 2 % 2}\n' for i, p in enumerate(paths)))
    return paths


RULES = {'square': Frame(), 'bicubic': DRAWN, 'squash': Frame(stretch=True, resample='bicubic'), 'crop': Frame(crop=60, crop_of=(180, 121)),
         'black': Frame(ground='black')}


@pytest.mark.parametrize('name', RULES)
@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'L', 'P', 'CMYK', 'I;16'])
def test_an_edit_shows_the_pixels_that_training_shows(name: str, mode: str, tmp_path: Path) -> None:
    """Every file and every rule, byte for byte; 180 x 121 px, so that the centre is at half a pixel."""
    rule, path = RULES[name], tmp_path / ('a.jpg' if mode == 'CMYK' else 'a.png')
    if mode == 'I;16':
        Image.fromarray(noise(121, 180, 1)[..., 0].astype(np.uint16) * 250).save(path)
    else:
        Image.fromarray(noise(121, 180, 4 if mode == 'RGBA' else 3)).convert(mode).save(path)
    for size in (32, 64, 200):
        assert np.array_equal(seen(Canvas.open(path, None, None, rule), size), decode(path, size, size, rule))


def test_each_set_says_how_its_pictures_are_seen(tmp_path: Path) -> None:
    write_set(tmp_path / 'table', 10, 120, 120)
    for name in ('trainA', 'trainB'):
        write_set(tmp_path / 'two' / name, 3, 120, 180)
        (tmp_path / 'two' / name / 'labels.csv').unlink()
    for name in ('A', 'B'):
        write_set(tmp_path / 'pairs' / name, 5, 120, 180)
        (tmp_path / 'pairs' / name / 'labels.csv').unlink()
    (tmp_path / 'parses').mkdir()
    for name, pixels in (('images', smooth(20, 20)), ('masks', np.zeros((20, 20), np.uint8))):
        (tmp_path / 'parses' / name).mkdir()
        for i in range(3):
            Image.fromarray(pixels).save(tmp_path / 'parses' / name / f'{i}.png')
    squashed = Frame(stretch=True, resample='bicubic')
    for data, expected in (
        (AttributeData(source=str(tmp_path / 'table'), size=16), Frame()),
        (AttributeData(source=str(tmp_path / 'table'), size=16, ground='black'), Frame(ground='black')),
        (AttributeData(source=str(tmp_path / 'table'), size=16, crop=60), Frame(crop=60, crop_of=(120, 120))),
        (AttributeData(source=str(tmp_path / 'two'), size=16), squashed),                 # two domains as two classes
        (DomainData(source=str(tmp_path / 'two'), size=16, load_size=None), squashed),
        (PairData(source=str(tmp_path / 'pairs'), size=16, load_size=None), squashed),
        (PairData(source=str(tmp_path / 'pairs'), size=16, load_size=None, direction='b_to_a'), squashed),
        (ParsingData(source=str(tmp_path / 'parses'), size=16, ids='twelve'), Frame()),
        (AttributeData(size=16, n=2), DRAWN), (DomainData(size=16, load_size=None, n=8), DRAWN), (PairData(size=16, n=2), DRAWN),
    ):
        spec = open_set(data).spec
        assert spec.frame == expected, data
        assert DataSpec.model_validate(json.loads(spec.model_dump_json())).frame == expected


def test_a_squashed_picture_is_translated_whole() -> None:
    """Domains of 180 x 120 px train squashed: the edit is what training shows, unsquashed, and no third is left out."""
    pixels = smooth(120, 180)

    def negative(request: Any) -> Translation:
        return Translation(-request.image)

    method = Domains()
    method.translate = negative                                                        # type: ignore[method-assign]
    shown = {}
    for name, rule in (('squash', Frame(stretch=True, resample='bicubic')), ('square', Frame())):
        method.data = DataSpec(size=64, domains=('A', 'B'), frame=rule)
        edit = editor(method).translate(pixels, to='B')
        shown[name] = db(np.asarray(edit.image), 255 - pixels)
        assert edit.image.size == (180, 120) and edit.record['frame'] == ([0, 0, 180, 120] if name == 'squash' else [30, 0, 120, 120])
        assert any('180 x 120 px squashed' in note for note in edit.notes) == (name == 'squash')
        assert (edit.mask == 255).mean() == pytest.approx(1 if name == 'squash' else 2 / 3)
    assert shown['squash'] > 45 > 20 > shown['square']


@pytest.mark.parametrize(('height', 'width'), [(120, 180), (181, 97), (20, 300), (300, 11), (64, 200), (40, 30)])
@pytest.mark.parametrize('another', [False, True])
def test_what_comes_back_of_a_flat_frame_is_where_it_was(height: int, width: int, another: bool) -> None:
    """The left part in a mask becomes brighter by a fifth of the range, whatever the squash; the rest keeps its bytes."""
    rule, pixels = Frame(stretch=True, resample='bicubic'), (smooth(height, width) // 2 + 40)
    canvas = Canvas.open(pixels, None, None, rule)
    x = canvas.model_input(64)
    mask = np.zeros((1, 1, 64, 64), np.float32)
    mask[..., :32] = 1
    edited, mask8 = canvas.compose(x, Translation(x + 0.4 * mask, mask), 1.0, 0.02, another=another)
    assert edited.shape == pixels.shape and mask8.shape == (height, width)
    reach = -(-4 * width // 64) + 1                              # four pixels of the model's from the mask's edge
    left, right = width // 2 - reach, width // 2 + reach
    assert (mask8[:, :left] > 250).all() and not mask8[:, right:].any()
    assert np.array_equal(edited[:, right:], pixels[:, right:])
    moved = edited[:, :left].astype(int) - pixels[:, :left]
    tolerance = 60 if another else 2                             # another picture is the model's own, with the detail it can show
    assert np.abs(moved - 51).max() <= tolerance and np.median(moved) == pytest.approx(51, abs=1)
    same, _ = canvas.compose(x, Translation(x, mask), 1.0, 0.02)
    assert np.array_equal(same, pixels)


def test_an_affine_change_of_a_flat_frame_is_exact() -> None:
    """Colours in a map of their own, y = x + A x + b, come back as that map at 300 x 90 px from 32 x 32."""
    pixels = smooth(90, 300) // 2 + 60
    a, b = np.array(((0.2, -0.1, 0.0), (0.0, 0.2, 0.1), (-0.2, 0.0, 0.1)), np.float32), np.array((0.05, -0.1, 0.1), np.float32)
    canvas = Canvas.open(pixels, None, None, Frame(stretch=True))
    x = canvas.model_input(32)
    change = np.einsum('ck,nkhw->nchw', a, (x + 1) / 2) + b[:, None, None]
    edited, _ = canvas.compose(x, Translation(x + 2 * change), 1.0, 0.02)
    expected = pixels + pixels @ a.T + 255 * b
    assert np.abs(edited - expected).mean() < 1.5 and np.abs(edited - expected).max() < 8


def test_a_side_that_is_smaller_than_the_models_sees_the_mean_of_its_rows() -> None:
    """Stripes on every fourth of 64 rows are a fourth as strong in each of 16."""
    pixels = np.full((16, 200, 3), 100, np.uint8)
    canvas = Canvas.open(pixels, None, None, Frame(stretch=True))
    x, stripes = canvas.model_input(64), np.zeros((1, 3, 64, 64), np.float32)
    stripes[:, :, ::4] = 0.8
    edited, _ = canvas.compose(x, Translation(x + stripes), 1.0, 0.02)
    assert np.abs(edited[2:-2].astype(int) - 100 - 25.5).max() <= 1


def test_a_crop_follows_the_set(tmp_path: Path) -> None:
    """The central 60 px of 120 px: of a picture of that size, of another size of its shape, of another shape."""
    rule = Frame(crop=60, crop_of=(120, 120))
    same, double, wide = smooth(120, 120), smooth(240, 240), smooth(120, 200)
    assert Canvas.open(same, None, None, rule).frame == (30, 30, 60, 60)
    assert Canvas.open(double, None, None, rule).frame == (60, 60, 120, 120)
    canvas = Canvas.open(wide, None, None, rule)
    assert canvas.frame == (40, 0, 120, 120)
    note = [note for note in canvas.notes if 'central 60 x 60 px of pictures of 120 x 120 px' in note]
    assert len(note) == 1 and 'one of 200 x 120 px has another shape' in note[0] and '--box' in note[0]
    assert not any('--box' in note for picture in (same, double) for note in Canvas.open(picture, None, None, rule).notes)
    boxed = Canvas.open(wide, (10, 20, 60, 60), None, rule)
    assert boxed.frame == (10, 20, 60, 60) and not any('--box' in note for note in boxed.notes)
    Image.fromarray(same).save(path := tmp_path / 'a.png')
    trained = decode(path, 32, 32, rule)
    assert db(seen(Canvas.open(path, None, None, rule), 32), trained) > 90 > 20 > db(seen(Canvas.open(path, None, None), 32), trained)
    tall = Frame(crop=178, crop_of=(178, 218))                   # CelebA
    assert Canvas.open(noise(218, 178), None, None, tall).frame == (0, 20, 178, 178)
    assert Canvas.open(noise(436, 356), None, None, tall).frame == (0, 40, 356, 356)


def test_the_usual_size_of_a_set_is_what_most_pictures_have(tmp_path: Path) -> None:
    paths = write_set(tmp_path / 'set', 10, 40, 30)
    Image.fromarray(smooth(50, 50)).save(paths[0])
    exif = Image.Exif()
    exif[0x0112] = 6                                             # shown 30 x 40
    Image.fromarray(smooth(30, 40)).save(paths[1], exif=exif)
    data = AttributeData(source=str(tmp_path / 'set'), size=16, crop=20, holdout=0)
    assert open_set(data).spec.frame == Frame(crop=20, crop_of=(30, 40))


@pytest.mark.parametrize('frame', [None, Frame(), Frame(stretch=True, resample='bicubic'), Frame(crop=60, crop_of=(120, 130))])
def test_a_model_directory_says_how_pictures_are_seen(frame: Frame | None, tmp_path: Path) -> None:
    """One from before the field means the largest square, as it did."""
    torch.manual_seed(0)
    method = METHODS['cyclegan'].tiny()
    method.data = method.data.model_copy(update={'frame': frame or DRAWN})
    weights = {f'{n}.{k}': v for n in method.inference_nets for k, v in method.nets[n].state_dict().items()}
    save_model(tmp_path, method, weights, {})
    if frame is None:
        config = json.loads((tmp_path / CONFIG).read_text())
        del config['data']['frame']
        (tmp_path / CONFIG).write_text(json.dumps(config))
    assert load_model(tmp_path).data.frame == (frame or DRAWN)
    left, top, w, h = Editor.load(tmp_path, 'cpu').translate(smooth(130, 120)).record['frame']
    assert (left, top, w, h) == {None: (0, 5, 120, 120), Frame(): (0, 5, 120, 120)}.get(
        frame, (0, 0, 120, 130) if frame and frame.stretch else (30, 35, 60, 60))


def test_an_exemplar_is_seen_by_the_same_rule() -> None:
    from tests.unit.test_editor_exemplar import Transfer

    method = Transfer()
    method.data = DataSpec(size=16, attributes=('A', 'B'), frame=Frame(crop=20, crop_of=(40, 40)))
    edit = editor(method).edit(noise(40, 40), exemplar=noise(60, 40))
    asked, other = method.requests[-1], noise(60, 40)[10:50]
    expected = np.asarray(Image.fromarray(other).resize((16, 16), Image.Resampling.BILINEAR))
    assert np.array_equal(((asked.exemplar[0].permute(1, 2, 0).numpy() + 1) * 127.5).round(), expected)
    said = [note for note in edit.notes if note.startswith('exemplar:')]
    assert said[0] == 'exemplar: the 40 x 40 px square at x=0, y=10 is used' and 'another shape' in said[1] and '--box' not in said[1]


def test_cut_outs_over_black_bound_the_mask_in_training_and_editing(tmp_path: Path) -> None:
    """Of four cut-outs that look alike, hiding white, black, noise and the original, one picture is trained on and one edit made."""
    from retouch.methods.local import Config, Local

    original, alpha = smooth(32, 32) // 2 + 60, np.full((32, 32), 255, np.uint8)
    alpha[:, 18:20], alpha[:, 20:] = 8, 0                        # hardly there, and so black
    hidden = (np.full_like(original, 255), np.zeros_like(original), noise(32, 32), original)
    (tmp_path / 'set').mkdir()
    rows = []
    for i, under in enumerate(hidden * 3):
        pixels = np.where(alpha[..., None] > 0, original, under)
        Image.fromarray(np.dstack([pixels, alpha])).save(tmp_path / 'set' / f'{i:02d}.png')
        rows.append(f'{i:02d}.png,{i % 2},{i // 2 % 2}\n')
    (tmp_path / 'set' / 'labels.csv').write_text('file,A,B\n' + ''.join(rows))
    opened = open_set(AttributeData(source=str(tmp_path / 'set'), size=16, ground='black', holdout=2))
    images, spec = opened.images, opened.spec                    # type: ignore[union-attr]
    assert all(np.array_equal(images[0], other) for other in images) and not images[0][:, 11:].any() and images[0][:, :9].min() > 50
    torch.manual_seed(0)
    method = Local(Config(width_g=4, width_d=4, blocks=1, bound='black'), spec).eval()
    x = torch.from_numpy(images[:1].transpose(0, 3, 1, 2).copy()) / 127.5 - 1
    bound = method.bound(x)
    assert isinstance(bound, torch.Tensor) and bound[..., :9].all() and not bound[..., 11:].any()
    model, edits = Model(method, Path('m'), '0' * 64, {'data': {'ground': 'black'}}), []
    for i in range(4):
        edit = Editor(model).edit(tmp_path / 'set' / f'{i:02d}.png', A=1, B=1, mask_floor=0)
        out = np.asarray(edit.image)
        assert edit.mask[:, :16].any() and not edit.mask[:, 18:].any() and np.array_equal(out[..., 3], alpha)
        assert np.array_equal(out[:, 20:, :3], np.where(alpha[..., None] > 0, original, hidden[i])[:, 20:])
        edits.append(out[:, :20])
    assert all(np.array_equal(edits[0], other) for other in edits[1:])
    scored, _ = held_out(model, str(tmp_path / 'set'), {'ground': 'black', 'holdout': 2}, 2, 0, lambda *_: None)
    assert np.array_equal(scored[0], images[0])                  # scoring sees what training and editing see


def test_a_box_outside_and_two_rules_at_once_are_one_line() -> None:
    for words, call in {'box 0,0,50,20 does not fit': lambda: Canvas.open(noise(20, 40), (0, 0, 50, 20), None, Frame(stretch=True)),
                        'stretch with crop=5': lambda: Frame(stretch=True, crop=5)}.items():
        with pytest.raises(ValueError, match=words):
            call()
    method = Brighten()
    editor(method).edit(noise(20, 20), Eyeglasses=1)
    assert method.data.frame == DRAWN
