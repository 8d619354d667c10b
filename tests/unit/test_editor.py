"""The editor's promises: same size, zero mask means the same byte, nothing of the file is lost."""
from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import retouch
from retouch.data.batches import DataSpec
from retouch.data.frame import Frame
from retouch.editor.canvas import frame_of
from retouch.editor.editor import Editor
from retouch.engine.update import AttributeRequest, DomainRequest, Translation
from retouch.guidance.gradcam import explain_edit
from retouch.hardware import find_device
from retouch.methods.aggan_multi import AGGANMulti
from retouch.methods.cam import CAM
from retouch.methods.stargan import StarGAN
from retouch.model import Model

SIZE = 16
NAMES = ('Black_Hair', 'Blond_Hair', 'Eyeglasses')


class Brighten:
    """Adds `amount` inside a mask that covers the left half, fading from 1 to 0; without a mask, everywhere."""

    id, kind = 'brighten', 'attributes'

    def __init__(self, masked: bool = True, amount: float = 0.5, floor: float = 0.0, **config: Any) -> None:
        self.config, self.data = SimpleNamespace(**config), DataSpec(size=SIZE, attributes=NAMES)
        self.nets = nn.ModuleDict({'G': nn.Linear(1, 1)})
        self.masked, self.amount, self.requests = masked, amount, list[Any]()
        column = (1 - torch.arange(SIZE) / (SIZE / 2)).clamp(min=0) + floor
        self.column = column.clamp(max=1).expand(1, 1, SIZE, SIZE)

    def read(self, image: Tensor) -> Tensor:
        return torch.tensor([[0.9, 0.2, 0.3]]).expand(len(image), -1)

    def translate(self, request: Any) -> Translation:
        self.requests.append(request)
        x = request.image
        if not self.masked:
            return Translation((x + self.amount).clamp(-1, 1))
        mask = self.column.expand(len(x), -1, -1, -1)
        return Translation(mask * (x + self.amount).clamp(-1, 1) + (1 - mask) * x, mask)


class Domains(Brighten):
    id, kind = 'domains', 'domains'

    def __init__(self) -> None:
        super().__init__(masked=False)
        self.data = DataSpec(size=SIZE, domains=('A', 'B'))


def editor(method: Any = None) -> Editor:
    return Editor(Model(method or Brighten(), Path('runs/mine/model'), 'f00d'))


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize(('height', 'width'), [(37, 61), (61, 37), (16, 16), (5, 40), (128, 129), (1, 1)])
def test_same_size_and_zero_mask_means_the_same_byte(height: int, width: int) -> None:
    pixels = noise(height, width)
    edit = editor().edit(pixels, Eyeglasses=1)
    out = np.asarray(edit.image)
    assert edit.image.mode == 'RGB' and out.shape == pixels.shape
    assert edit.mask.shape == (height, width) and edit.mask.dtype == np.uint8
    assert edit.difference.shape == pixels.shape and edit.difference.dtype == np.uint8
    closed = edit.mask == 0
    assert np.array_equal(out[closed], pixels[closed])
    assert edit.untouched == pytest.approx((out == pixels).all(2).mean())
    if min(height, width) > 1:
        assert closed.any() and not np.array_equal(out, pixels)


def test_at_the_models_size_the_edit_is_the_models_output() -> None:
    for method in (Brighten(), Brighten(masked=False)):
        pixels = noise(SIZE, SIZE)
        out = np.asarray(editor(method).edit(pixels, mask_floor=0, Eyeglasses=1).image).astype(int)
        expected = (method.translate(method.requests[-1]).image[0].permute(1, 2, 0).numpy() + 1) * 127.5
        assert np.abs(out - expected).max() <= 0.5 + 1e-3


def test_mask_floor_closes_what_is_under_it() -> None:
    pixels = noise(SIZE, SIZE)
    haze = editor(Brighten(floor=0.015)).edit(pixels, Eyeglasses=1)                    # 0.015 everywhere: under the floor of 0.02
    assert np.array_equal(np.asarray(haze.image)[:, SIZE // 2:], pixels[:, SIZE // 2:]) and not haze.mask[:, SIZE // 2:].any()
    open_ = editor(Brighten(floor=0.015)).edit(pixels, mask_floor=0, Eyeglasses=1)
    assert open_.mask[:, SIZE // 2:].all()
    with pytest.raises(ValueError, match='mask_floor'):
        editor().edit(pixels, mask_floor=1.5, Eyeglasses=1)


def test_a_system_without_a_mask_says_so_and_stays_in_its_frame() -> None:
    pixels = noise(20, 50)
    edit = editor(Brighten(masked=False)).edit(pixels, Eyeglasses=1)
    assert any('no edit mask' in note for note in edit.notes)
    assert (edit.mask[:, 15:35] == 255).all() and edit.mask.sum() == 255 * 20 * 20
    assert np.array_equal(np.asarray(edit.image)[edit.mask == 0], pixels[edit.mask == 0])
    assert not any('no edit mask' in note for note in editor().edit(pixels, Eyeglasses=1).notes)


def test_frame_of_lays_the_square_around_the_box() -> None:
    assert frame_of(61, 37) == (12, 0, 37, 37) and frame_of(180, 121) == (30, 0, 121, 121)      # 29.5, half to even as in training
    assert frame_of(100, 50, (0, 0, 10, 4)) == (0, 0, 10, 10)
    assert frame_of(100, 50, (90, 40, 10, 6)) == (90, 38, 10, 10)
    assert frame_of(100, 50, (40, 20, 20, 20)) == (40, 20, 20, 20)
    assert frame_of(100, 50, (10, 0, 80, 50)) == (25, 0, 50, 50)
    assert frame_of(100, 50, (10, 0, 80, 50), Frame(stretch=True)) == (10, 0, 80, 50)
    for bad in ((0, 0, 0, 5), (-1, 0, 5, 5), (96, 0, 5, 5), (0, 46, 5, 5)):
        with pytest.raises(ValueError, match='box'):
            frame_of(100, 50, bad)


def test_only_the_box_changes() -> None:
    pixels = noise(60, 80)
    edit = editor(Brighten(masked=False)).edit(pixels, box=(50, 10, 20, 20), Eyeglasses=1)
    assert edit.mask[10:30, 50:70].all() and edit.mask.sum() == 255 * 400
    assert edit.untouched >= 1 - 400 / 4800


def test_alpha_and_icc_are_kept(tmp_path: Path) -> None:
    pixels = noise(37, 61, 4)
    image = Image.fromarray(pixels)
    image.info['icc_profile'] = b'a profile'
    edit = editor().edit(image, Eyeglasses=1)
    assert edit.image.mode == 'RGBA' and np.array_equal(np.asarray(edit.image)[..., 3], pixels[..., 3])
    with Image.open(edit.save(tmp_path, 'a')[0]) as saved:
        assert saved.info['icc_profile'] == b'a profile' and saved.mode == 'RGBA'


def test_what_hides_under_a_cut_out_neither_shows_nor_changes() -> None:
    """White, black, noise or the original under alpha 0: one edit of what is seen, and the hidden bytes as they were."""
    original, alpha = noise(40, 40), np.full((40, 40), 255, np.uint8)
    alpha[:, 25:], alpha[:, 20:25] = 0, 128
    edits = []
    for hidden in (np.full_like(original, 255), np.zeros_like(original), noise(40, 40)[::-1], original):
        pixels = np.where(alpha[..., None] > 0, original, hidden)
        edit = editor(Brighten(masked=False, amount=0.2)).edit(Image.fromarray(np.dstack([pixels, alpha])), Eyeglasses=1)
        found = np.asarray(edit.image)
        assert np.array_equal(found[..., 3], alpha) and np.array_equal(found[alpha == 0][:, :3], pixels[alpha == 0])
        assert not edit.mask[alpha == 0].any() and edit.mask[alpha > 0].all()
        edits.append(found[alpha > 0])
    assert all(np.array_equal(edits[0], other) for other in edits[1:]) and not np.array_equal(edits[0][:, :3], original[alpha > 0])


def test_a_profile_that_does_not_fit_is_left_out_and_said() -> None:
    for mode, kept in (('RGB', True), ('P', True), ('L', False), ('CMYK', False)):
        image = Image.fromarray(noise(20, 20)).convert(mode)
        image.info['icc_profile'] = b'a profile'
        edit = editor().edit(image, Eyeglasses=1)
        assert ('icc_profile' in edit.image.info) == kept
        assert any('ICC profile' in note and 'left out' in note for note in edit.notes) != kept


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6                                                                   # shown turned by 90 degrees
    Image.fromarray(noise(20, 30)).save(tmp_path / 'a.png', exif=exif)
    turned = np.rot90(noise(20, 30), -1)
    with Image.open(tmp_path / 'a.png') as opened:
        for picture in (tmp_path / 'a.png', opened):
            edit = editor().edit(picture, Eyeglasses=1)
            assert edit.image.size == (20, 30)
            assert np.array_equal(np.asarray(edit.image)[edit.mask == 0], turned[edit.mask == 0])


@pytest.mark.parametrize('mode', ['L', 'LA', 'P', '1', 'CMYK', 'I;16', 'RGBA'])
def test_every_mode_comes_out_as_rgb_or_rgba(mode: str) -> None:
    if mode == 'I;16':
        image = Image.fromarray((np.arange(30 * 20, dtype=np.uint16) * 100).reshape(20, 30))
    else:
        image = Image.fromarray(noise(20, 30)).convert(mode)
    edit = editor().edit(image, Eyeglasses=1)
    assert edit.image.size == (30, 20) and edit.image.mode == ('RGBA' if 'A' in mode else 'RGB')
    expected = {'RGBA': [], 'I;16': ['the 16-bit picture was brought to 8 bits', 'the I;16 picture was brought to RGB']}
    brought = [note for note in edit.notes if 'brought to' in note]
    assert brought == expected.get(mode, [f'the {mode} picture was brought to {edit.image.mode}'])


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    image = Image.fromarray(np.full((20, 30), 32896, np.uint16))
    assert np.asarray(editor().edit(image, Eyeglasses=1).image)[0, -1].tolist() == [128, 128, 128]


def test_a_painted_mask_confines_every_system() -> None:
    pixels = noise(37, 61)
    painted = np.zeros((37, 61), np.uint8)
    painted[5:20, 14:40] = 255
    for method in (Brighten(), Brighten(masked=False)):
        free, edit = editor(method).edit(pixels, Eyeglasses=1), editor(method).edit(pixels, mask=painted, Eyeglasses=1)
        assert not edit.mask[painted == 0].any()
        assert np.array_equal(np.asarray(edit.image)[painted == 0], pixels[painted == 0])
        assert np.array_equal(np.asarray(edit.image)[painted == 255], np.asarray(free.image)[painted == 255])
        for same in (painted / 255.0, painted > 0, Image.fromarray(painted), painted[..., None]):
            assert np.array_equal(np.asarray(editor(method).edit(pixels, mask=same, Eyeglasses=1).image), np.asarray(edit.image))
    half = np.asarray(editor(Brighten(masked=False)).edit(np.full((8, 8, 3), 100, np.uint8), mask=np.full((8, 8), 0.5), Eyeglasses=1).image)
    assert (half == 100 + 32).all()                                                    # 0.5 * 0.5 * 127.5


def test_a_painted_picture_is_always_of_bytes() -> None:
    pixels = noise(20, 20)
    dark = np.full((20, 20), 2, np.uint8)                      # 2 of 255, under the floor
    assert not editor(Brighten(masked=False)).edit(pixels, mask=Image.fromarray(dark), Eyeglasses=1).mask.any()
    assert (editor(Brighten(masked=False)).edit(pixels, mask=dark // 2, Eyeglasses=1).mask == 255).all()              # an array: 1 of 1


def test_transparent_colours_of_a_painted_palette_stay_closed() -> None:
    indices = np.zeros((20, 20), np.uint8)
    indices[:, 10:] = 1
    painted = Image.fromarray(indices).convert('P')
    painted.putpalette([255, 255, 255, 255, 255, 255])
    painted.putdata(indices.flatten().tolist())
    painted.info['transparency'] = 0
    mask = editor(Brighten(masked=False)).edit(noise(20, 20), mask=painted, Eyeglasses=1).mask
    assert not mask[:, :10].any() and (mask[:, 10:] == 255).all()


def test_a_mask_of_another_size_fits_only_by_aspect() -> None:
    pixels = noise(40, 60)
    painted = np.zeros((20, 30), np.float32)
    painted[:, 15:] = 1
    edit = editor(Brighten(masked=False)).edit(pixels, mask=painted, Eyeglasses=1)
    assert any('brought to 60 x 40' in note for note in edit.notes) and not edit.mask[:, :28].any() and (edit.mask[:, 32:50] == 255).all()
    for bad in (np.zeros((30, 20)), np.zeros((40, 60, 3)), np.full((40, 60), -1.0), np.full((40, 60), 300.0), np.full((40, 60), np.nan)):
        with pytest.raises(ValueError, match='mask') as caught:
            editor().edit(pixels, mask=bad, Eyeglasses=1)
        assert '\n' not in str(caught.value)


def test_attributes_not_named_keep_what_is_read() -> None:
    method = Brighten()
    edit = editor(method).edit(noise(20, 20), Eyeglasses=1)
    assert method.requests[-1].source.tolist() == [[1, 0, 0]] and method.requests[-1].target.tolist() == [[1, 0, 1]]
    assert edit.source == pytest.approx({'Black_Hair': 0.9, 'Blond_Hair': 0.2, 'Eyeglasses': 0.3}) and edit.target == {
        'Black_Hair': 1, 'Blond_Hair': 0, 'Eyeglasses': 1}
    edit = editor(method).edit(noise(20, 20), source={'Black_Hair': 0}, Eyeglasses=1)
    assert method.requests[-1].source.tolist() == [[0, 0, 0]] and edit.source['Black_Hair'] == 0


def test_a_part_of_an_attribute_is_asked_and_recorded() -> None:
    method = Brighten()
    edit = editor(method).edit(noise(SIZE, SIZE), Eyeglasses=0.25)
    assert method.requests[-1].target.tolist() == [[1, 0, 0.25]] and edit.record['set'] == {'Eyeglasses': 0.25}
    assert edit.target == {'Black_Hair': 1, 'Blond_Hair': 0, 'Eyeglasses': 0.25} and isinstance(edit.target['Black_Hair'], int)


def test_what_a_model_reads_is_told_without_an_edit() -> None:
    assert editor().read(noise(20, 50)) == {'Black_Hair': 0.9, 'Blond_Hair': 0.2, 'Eyeglasses': 0.3}
    assert editor(Domains()).read(noise(20, 50)) == {}
    with pytest.raises(ValueError, match='does not fit'):
        editor().read(noise(20, 50), (40, 0, 20, 20))


def test_the_label_rule_is_applied_and_reported() -> None:
    edit = editor(Brighten(label_rule='stargan')).edit(noise(20, 20), Blond_Hair=1)
    assert edit.target == {'Black_Hair': 0, 'Blond_Hair': 1, 'Eyeglasses': 0}
    assert 'Black_Hair=0 because Blond_Hair=1 (rule stargan)' in edit.notes
    assert any('reads as 1 already' in note for note in editor().edit(noise(20, 20), Black_Hair=1).notes)


def test_exclusive_classes_take_one_class() -> None:
    method = Brighten(labels='single')
    editor(method).edit(noise(20, 20), Eyeglasses=1)
    assert method.requests[-1].source.tolist() == [[1, 0, 0]] and method.requests[-1].target.tolist() == [[0, 0, 1]]
    with pytest.raises(ValueError, match='exactly one'):
        editor(method).edit(noise(20, 20), Eyeglasses=0)


def test_strength_scales_the_change() -> None:
    grey = np.full((SIZE, SIZE, 3), 100, np.uint8)
    for strength, expected in ((0.0, 100), (0.5, 132), (1.0, 164), (2.0, 228)):
        assert (np.asarray(editor(Brighten(masked=False)).edit(grey, strength=strength, Eyeglasses=1).image) == expected).all()
    for bad in (-1, 2.5, float('nan')):
        with pytest.raises(ValueError, match='strength'):
            editor().edit(grey, strength=bad, Eyeglasses=1)


def test_domains() -> None:
    method = Domains()
    edit = editor(method).translate(noise(20, 30), to='A')
    assert isinstance(method.requests[-1], DomainRequest) and method.requests[-1].to == 'A' and edit.source == {}
    assert editor(method).translate(noise(20, 30)).record['to'] == 'B'
    with pytest.raises(ValueError, match='unknown domain'):
        editor(method).translate(noise(20, 30), to='C')
    with pytest.raises(ValueError, match='translate'):
        editor(method).edit(noise(20, 30), Eyeglasses=1)
    with pytest.raises(ValueError, match='edit'):
        editor().translate(noise(20, 30), to='B')


def test_a_pair_is_another_picture_without_the_fine_detail_of_its_input() -> None:
    method = Domains()
    method.kind = 'pairs'
    method.translate = lambda request: Translation(torch.full_like(request.image, 0.2))                    # type: ignore[method-assign]
    edit = editor(method).translate(noise(40, 50))
    assert (np.asarray(edit.image)[:, 5:45] == 153).all() and (np.asarray(edit.image)[:, :5] == noise(40, 50)[:, :5]).all()
    half = np.asarray(editor(method).translate(np.full((40, 40, 3), 27, np.uint8), strength=0.5).image)
    assert (half == 90).all()
    painted = np.zeros((40, 50), np.uint8)
    painted[:, 20:] = 255
    kept = np.asarray(editor(method).translate(noise(40, 50), mask=painted).image)
    assert (kept[:, :20] == noise(40, 50)[:, :20]).all() and (kept[:, 20:45] == 153).all()
    small = noise(SIZE, SIZE)
    method.translate = lambda request: Translation((request.image * 0.5 + 0.1).clamp(-1, 1))           # type: ignore[method-assign]
    as_pair = np.asarray(editor(method).translate(small).image)
    method.kind = 'domains'
    assert np.array_equal(as_pair, np.asarray(editor(method).translate(small).image))   # at the model's size the two agree


def test_bad_requests_are_one_line() -> None:
    pixels = noise(20, 20)
    for words, call in {
        "did you mean 'Eyeglasses'": lambda: editor().edit(pixels, Eyeglases=1),
        "did you mean 'Blond_Hair'": lambda: editor().edit(pixels, source={'Blond_Hai': 1}, Eyeglasses=1),
        'expected 0 or 1': lambda: editor().edit(pixels, Eyeglasses=2),
        'source Eyeglasses=3': lambda: editor().edit(pixels, source={'Eyeglasses': 3}, Eyeglasses=1),
        'nothing to change': lambda: editor().edit(pixels),
        'takes no exemplar': lambda: editor().edit(pixels, exemplar=pixels),
        'expected uint8': lambda: editor().edit(pixels.astype(np.float32), Eyeglasses=1),
        'picture is a list': lambda: editor().edit([1], Eyeglasses=1),                 # type: ignore[arg-type]
        'unknown device': lambda: find_device('cudo'),
    }.items():
        with pytest.raises(ValueError, match=words) as caught:
            call()
        assert '\n' not in str(caught.value)
    reader = SimpleNamespace(id='classifier')
    with pytest.raises(ValueError, match='cannot edit'):
        Editor(Model(reader, Path('judge'), ''))                                       # type: ignore[arg-type]


def test_output_that_is_not_finite_is_refused() -> None:
    with pytest.raises(FloatingPointError, match='not finite'):
        editor(Brighten(amount=float('nan'))).edit(noise(20, 20), Eyeglasses=1)


def test_a_picture_over_the_limit_is_refused_by_its_header(tmp_path: Path) -> None:
    from retouch.data.images import read_image

    (tmp_path / 'huge.pgm').write_bytes(b'P5 40000 40000 255\n')                       # a header, no pixels
    with pytest.raises((ValueError, OSError), match='megapixel') as caught:
        read_image(tmp_path / 'huge.pgm')
    assert '\n' not in str(caught.value)
    with pytest.raises((ValueError, OSError), match='megapixel'):
        editor().edit(tmp_path / 'huge.pgm', Eyeglasses=1)


def test_save_writes_three_lossless_files_and_the_note(tmp_path: Path) -> None:
    edit = editor().edit(noise(37, 61), Eyeglasses=1)
    paths = edit.save(tmp_path / 'out', 'face')
    assert list(paths) == [tmp_path / 'out' / name for name in ('face.png', 'face.mask.png', 'face.diff.png')]
    for path, expected in zip(paths, (edit.image, edit.mask, edit.difference), strict=True):
        with Image.open(path) as saved:
            assert np.array_equal(np.asarray(saved), np.asarray(expected))
    with Image.open(paths[0]) as saved:
        assert saved.text['Software'] == f'Retouch {retouch.__version__}'              # type: ignore[attr-defined]
        assert 'Edited with AI' in saved.text['Comment']                               # type: ignore[attr-defined]
        record = json.loads(saved.text['retouch'])                                     # type: ignore[attr-defined]
    assert record['set'] == {'Eyeglasses': 1} and record['model'] == 'mine' and record['edited_with_ai'] is True
    with Image.open(edit.save(tmp_path / 'bare', 'face', note=False)[0]) as saved:
        assert saved.text == {}                                                        # type: ignore[attr-defined]


@pytest.mark.parametrize('make', [StarGAN.tiny, partial(CAM.tiny, 'attgan')], ids=['stargan', 'cam'])
def test_a_system_without_a_mask_shows_where_it_sees_its_edit(make: Callable[[], Any], tmp_path: Path) -> None:
    method, pixels = make().eval(), noise(37, 61)
    whole = editor(method).edit(pixels, Eyeglasses=1, source={'Eyeglasses': 0})
    shown = whole.gradcam
    assert shown is not None and shown.dtype == np.uint8 and shown.shape == (37, 61)
    assert shown[:, 12:49].any() and not shown[:, :12].any() and not shown[:, 49:].any()                          # the frame, nothing else
    assert (whole.mask[:, 12:49] == 255).all(), 'it confines nothing'
    assert any('Grad-CAM' in note and 'explains and confines nothing' in note for note in whole.notes)
    paths = whole.save(tmp_path / 'out', 'face')
    assert [p.name for p in paths] == ['face.png', 'face.mask.png', 'face.diff.png', 'face.gradcam.png']
    assert sorted(paths) == sorted((tmp_path / 'out').iterdir())
    with Image.open(paths[3]) as saved:
        assert saved.mode == 'L' and np.array_equal(np.asarray(saved), shown)
    square = noise(SIZE, SIZE)
    edit = editor(method).edit(square, Eyeglasses=1, source={name: 0 for name in NAMES})
    x = torch.from_numpy(square.transpose(2, 0, 1).copy())[None] / 127.5 - 1
    request = AttributeRequest(x, torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 1.0]]))
    expected = explain_edit(method, request, method.translate(request).image)
    assert expected is not None and np.abs(edit.gradcam - 255 * expected[0, 0].numpy()).max() <= 0.51


def test_other_systems_have_no_grad_cam(tmp_path: Path) -> None:
    for edit in (editor(AGGANMulti.tiny().eval()).edit(noise(20, 20), Eyeglasses=1), editor().edit(noise(20, 20), Eyeglasses=1),
                 editor(Brighten(masked=False)).edit(noise(20, 20), Eyeglasses=1), editor(Domains()).translate(noise(20, 20), to='A')):
        assert edit.gradcam is None and not any('Grad-CAM' in note for note in edit.notes)
        assert len(edit.save(tmp_path, 'a')) == 3 and len(list(tmp_path.iterdir())) == 3


def test_the_grad_cams_of_edits_one_after_another_unite() -> None:
    torch.manual_seed(0)
    method, pixels = StarGAN.tiny().eval(), noise(SIZE, SIZE)
    source = {name: 0 for name in NAMES}

    def shown(targets: str, **attributes: int) -> np.ndarray:
        model = Model(method, Path('m'), '0' * 64, {'data': {'targets': targets}})
        gradcam = Editor(model).edit(pixels, source=source, **attributes).gradcam
        assert gradcam is not None
        return gradcam

    first, both = shown('single', Blond_Hair=1), shown('single', Blond_Hair=1, Eyeglasses=1)
    assert (both >= first).all() and (both > first).any() and not np.array_equal(both, shown('permute', Blond_Hair=1, Eyeglasses=1))


def test_the_input_file_is_never_overwritten(tmp_path: Path) -> None:
    Image.fromarray(noise(20, 20)).save(tmp_path / 'a.png')
    before = (tmp_path / 'a.png').read_bytes()
    edit = editor().edit(tmp_path / 'a.png', Eyeglasses=1)
    with pytest.raises(ValueError, match='never overwritten'):
        edit.save(tmp_path, 'a')
    assert (tmp_path / 'a.png').read_bytes() == before
    with pytest.raises(ValueError, match='without folders'):
        edit.save(tmp_path, '../a')
    assert len(edit.save(tmp_path, 'b')) == 3


def test_find_device() -> None:
    for bad in ('cpu:7', 'cpu:x', 'cpu:', 'cuda:999', 'mps:3'):
        with pytest.raises(ValueError, match='not available') as caught:
            find_device(bad)
        assert '\n' not in str(caught.value)
    assert find_device('cpu:0') == torch.device('cpu:0')
    assert find_device('cpu') == torch.device('cpu') and find_device('auto').type in ('cpu', 'cuda', 'mps')
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match='not available'):
            find_device('cuda')


def test_the_request_is_the_picture_in_the_contract_range() -> None:
    method = Brighten()
    editor(method).edit(noise(37, 61), Eyeglasses=1)
    request = method.requests[-1]
    assert isinstance(request, AttributeRequest) and request.image.shape == (1, 3, SIZE, SIZE) and request.image.abs().max() <= 1


def test_a_model_trained_on_single_edits_is_asked_one_after_another() -> None:
    class Recording:
        id, kind, asked = 'recording', 'attributes', []
        data = DataSpec(size=16, attributes=('A', 'B', 'C'))
        config = None
        nets = torch.nn.ModuleDict({'G': torch.nn.Conv2d(1, 1, 1)})

        def read(self, image: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(image), 3)

        def translate(self, request: AttributeRequest) -> Translation:
            self.asked.append((request.source[0].tolist(), request.target[0].tolist()))
            return Translation(request.image, torch.full_like(request.image[:, :1], 0.5))

    for targets, expected in (('single', [([0, 0, 0], [1, 0, 0]), ([1, 0, 0], [1, 1, 0])]), ('permute', [([0, 0, 0], [1, 1, 0])])):
        method = Recording()
        method.asked = []
        edit = Editor(Model(method, Path('m'), '0' * 64, {'data': {'targets': targets}})).edit(np.zeros((16, 16, 3), np.uint8), A=1, B=1)
        assert method.asked == expected and edit.target == {'A': 1, 'B': 1, 'C': 0}
        assert abs(int(edit.mask[8, 8]) - 255 * (0.75 if targets == 'single' else 0.5)) <= 1      # masks unite
