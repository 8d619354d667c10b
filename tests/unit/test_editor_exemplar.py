"""The editor with an exemplar: both masks come back, either can be painted, and what does not fit is one line."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from retouch.data.batches import DataSpec
from retouch.editor.editor import Editor
from retouch.engine.update import DomainRequest, ExemplarRequest, Translation
from retouch.methods.drit import DRIT
from retouch.methods.lomit import LOMIT
from retouch.methods.munit import MUNIT
from retouch.model import Model

SIZE = 16


class Transfer:
    """Redraws the whole frame a little darker, and adds inside its mask what the exemplar has on average inside its own."""

    id, kind, takes_exemplar = 'transfer', 'exemplars', True

    def __init__(self, value: float = -0.1) -> None:
        self.data, self.nets, self.value = DataSpec(size=SIZE, attributes=('A', 'B')), nn.ModuleDict({'G': nn.Linear(1, 1)}), value
        self.requests = list[Any]()

    def translate(self, request: ExemplarRequest) -> Translation:
        self.requests.append(request)
        left = torch.zeros(1, 1, SIZE, SIZE)
        left[..., :SIZE // 2] = 1
        mask = left if request.mask is None else request.mask
        other = left.mT if request.exemplar_mask is None else request.exemplar_mask
        style: Tensor = (request.exemplar * other).sum((2, 3), keepdim=True) / other.sum().clamp(min=1e-6)
        return Translation((request.image + self.value + mask * style).clamp(-1, 1), mask, {'exemplar_mask': other})


def editor(method: Any = None) -> Editor:
    return Editor(Model(method or Transfer(), Path('runs/mine/model'), 'f00d'))


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).integers(60, 180, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(('height', 'width'), [(37, 61), (16, 16), (128, 129)])
def test_both_masks_come_back_at_their_pictures_size_and_zero_keeps_its_byte(height: int, width: int) -> None:
    pixels, other = noise(height, width), noise(40, 30)
    edit = editor().edit(pixels, exemplar=other)
    out = np.asarray(edit.image)
    assert out.shape == pixels.shape and edit.mask.shape == (height, width)
    assert edit.exemplar_mask is not None and edit.exemplar_mask.shape == (40, 30) and edit.exemplar_mask.dtype == np.uint8
    assert (edit.exemplar_mask[:5] == 0).all() and (edit.exemplar_mask[5:18] > 250).all() and (edit.exemplar_mask[23:] == 0).all()
    closed = edit.mask == 0
    assert 0 < closed.sum() < closed.size and np.array_equal(out[closed], pixels[closed]) and not np.array_equal(out, pixels)
    assert any(note == 'exemplar: the 30 x 30 px square at x=0, y=5 is used' for note in edit.notes)
    assert edit.record['exemplar'] == 'a picture' and edit.source == edit.target == {}


def test_at_the_models_size_the_edit_is_the_models_output_where_the_mask_is_open() -> None:
    method, pixels = Transfer(), noise(SIZE, SIZE)
    out = np.asarray(editor(method).edit(pixels, exemplar=noise(SIZE, SIZE)).image).astype(int)
    made = (method.translate(method.requests[0]).image[0].permute(1, 2, 0).numpy() + 1) * 127.5
    assert np.abs(out - made)[:, :SIZE // 2].max() <= 0.5 + 1e-3 and np.array_equal(out[:, SIZE // 2:], pixels[:, SIZE // 2:])


def test_a_painted_mask_is_asked_of_the_model_and_holds_at_the_pictures_own_resolution() -> None:
    method, pixels, painted = Transfer(), noise(64, 64), np.zeros((64, 64), np.uint8)
    painted[3:30, 41:] = 255
    edit = editor(method).edit(pixels, exemplar=noise(20, 20), mask=painted)
    asked = method.requests[-1]
    assert asked.mask.shape == (1, 1, SIZE, SIZE) and asked.exemplar_mask is None
    assert asked.mask.mean().item() == pytest.approx(27 * 23 / 64 ** 2, abs=1e-3)
    assert np.array_equal(edit.mask, painted), 'not what the model made of it at its own size'
    out = np.asarray(edit.image)
    assert np.array_equal(out[painted == 0], pixels[painted == 0]) and (out[painted > 0] != pixels[painted > 0]).any(1).all()


def test_every_form_of_a_mask_says_the_same(tmp_path: Path) -> None:
    pixels, values = noise(40, 40), np.zeros((40, 40), np.uint8)
    values[10:30, 5:20] = 255
    Image.fromarray(values).save(tmp_path / 'mask.png')
    forms = [values, values / 255.0, (values > 0).astype(np.float32), tmp_path / 'mask.png', str(tmp_path / 'mask.png'), (5, 10, 20, 30)]
    edits = [editor().edit(pixels, exemplar=pixels, mask=form, exemplar_mask=form) for form in forms]
    for edit in edits:
        assert np.array_equal(edit.mask, values) and np.array_equal(edit.exemplar_mask, values)
        assert np.array_equal(np.asarray(edit.image), np.asarray(edits[0].image))


def test_styles_are_read_again_from_a_painted_mask_of_the_exemplar() -> None:
    other = np.full((32, 32, 3), 20, np.uint8)
    other[16:] = 235
    method, pixels = Transfer(0.0), np.full((32, 32, 3), 128, np.uint8)
    dark, light = (np.asarray(editor(method).edit(pixels, exemplar=other, exemplar_mask=box).image)[8, 4] for box in
                   ((0, 0, 32, 16), (0, 16, 32, 32)))
    assert (dark < 40).all() and (light > 215).all()


def test_a_mask_of_another_size_fits_only_by_aspect() -> None:
    pixels, other = noise(40, 60), noise(50, 50)
    edit = editor().edit(pixels, exemplar=other, mask=np.ones((20, 30)), exemplar_mask=np.ones((25, 25)))
    assert (edit.mask[:, 10:50] == 255).all()
    assert edit.notes[1:] == ['the mask of 30 x 20 px was brought to 60 x 40 px',
                              'exemplar: the mask of 25 x 25 px was brought to 50 x 50 px']


def test_what_does_not_fit_is_one_line() -> None:
    pixels, other, e = noise(40, 60), noise(50, 50), editor()
    domains = type('Domains', (), {'id': 'domains', 'kind': 'domains', 'data': DataSpec(size=SIZE, domains=('A', 'B')), 'translate': None})
    for words, call in {
        'mask is 40 x 40 px, the picture 60 x 40 px': lambda: e.edit(pixels, exemplar=other, mask=np.ones((40, 40))),
        'exemplar: mask is 40 x 50 px, the picture 50 x 50 px': lambda: e.edit(pixels, exemplar=other, exemplar_mask=np.ones((50, 40))),
        'values from 0 to 300': lambda: e.edit(pixels, exemplar=other, mask=np.linspace(0, 300, 2400).reshape(40, 60)),
        'values from -1 to 1': lambda: e.edit(pixels, exemplar=other, exemplar_mask=np.linspace(-1, 1, 2500).reshape(50, 50)),
        'mask .5, 10, 70, 30.: expected a rectangle .*inside the picture of 60 x 40': lambda: e.edit(pixels, exemplar=other,
                                                                                                   mask=(5, 10, 70, 30)),
        'expected a rectangle .left, top, right, bottom.': lambda: e.edit(pixels, exemplar=other, exemplar_mask=(20, 10, 5, 30)),
        'exemplar is 40 x 15 px: expected at least 16 x 16 px': lambda: e.edit(pixels, exemplar=noise(15, 40)),
        'takes the look of an exemplar: name one': lambda: e.edit(pixels),
        'no attributes: leave out A': lambda: e.edit(pixels, exemplar=other, A=1),
        'no attributes: leave out B': lambda: e.edit(pixels, exemplar=other, source={'B': 1}),
        'has no domains': lambda: e.translate(pixels, 'B', exemplar=other),
        'takes no exemplar: leave it out': lambda: editor(domains()).translate(pixels, exemplar=other),
    }.items():
        with pytest.raises(ValueError, match=words) as caught:
            call()
        assert '\n' not in str(caught.value)
    with pytest.raises(FloatingPointError, match='not finite'):
        editor(Transfer(float('nan'))).edit(pixels, exemplar=other)


def test_saving_writes_the_exemplars_mask_and_names_it_and_overwrites_nothing_that_was_read(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ('face.png', 'other.png', 'face.mask.png')}
    for path in files.values():
        Image.fromarray(noise(30, 30)).convert('L' if 'mask' in path.name else 'RGB').save(path)
    edit = editor().edit(files['face.png'], exemplar=files['other.png'], mask=files['face.mask.png'])
    paths = edit.save(tmp_path / 'out', 'face')
    assert [p.name for p in paths] == ['face.png', 'face.mask.png', 'face.diff.png', 'face.exemplar-mask.png']
    with Image.open(paths[3]) as saved:
        assert np.array_equal(np.asarray(saved), edit.exemplar_mask)
    with Image.open(paths[0]) as saved:
        text = saved.text                                                              # type: ignore[attr-defined]
    assert text['Comment'] == 'Edited with AI: model mine, in the style of other.png'
    assert json.loads(text['retouch'])['exemplar'] == 'other.png'
    for name in ('face', 'other'):                               # face.mask.png was read too
        with pytest.raises(ValueError, match='never overwritten'):
            edit.save(tmp_path, name)
    assert [p.name for p in editor().edit(noise(20, 20), exemplar=noise(20, 20)).save(tmp_path / 'two', 'x')][3:] == ['x.exemplar-mask.png']


def test_lomit_itself() -> None:
    torch.manual_seed(0)
    method = LOMIT.tiny().eval()
    pixels, other = noise(40, 40), noise(24, 24)
    plain = editor(method).edit(pixels, exemplar=other)
    assert plain.exemplar_mask is not None and plain.exemplar_mask.shape == (24, 24) and plain.mask.any()
    cut = plain.exemplar_mask.copy()
    cut[:, :12] = 0
    edited = editor(method).edit(pixels, exemplar=other, exemplar_mask=cut)
    assert np.array_equal(edited.exemplar_mask, cut) and np.array_equal(edited.mask, plain.mask)
    assert not np.array_equal(np.asarray(edited.image), np.asarray(plain.image)), 'the style comes from another part'
    nothing = editor(method).edit(pixels, exemplar=other, mask=np.zeros((40, 40)))
    assert np.array_equal(np.asarray(nothing.image), pixels) and 'the mask is 0 everywhere: nothing was changed' in nothing.notes


@pytest.mark.parametrize('make', [MUNIT, DRIT], ids=['munit', 'drit'])
def test_two_domain_systems_take_one_too(make: Any) -> None:
    torch.manual_seed(0)
    method = make.tiny().eval()
    asked, answer = list[DomainRequest](), method.translate
    method.translate = lambda request: asked.append(request) or answer(request)
    pixels, other = noise(20, 20), noise(30, 18)
    edit = editor(method).translate(pixels, 'A', exemplar=other)
    assert asked[-1].exemplar is not None and asked[-1].exemplar.shape == asked[-1].image.shape and asked[-1].to == 'A'
    assert edit.exemplar_mask is None and edit.record['exemplar'] == 'a picture' and edit.record['to'] == 'A'
    drawn = editor(method).translate(pixels, 'A')
    assert asked[-1].exemplar is None and not np.array_equal(np.asarray(drawn.image), np.asarray(edit.image))
