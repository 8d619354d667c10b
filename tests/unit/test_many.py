"""Many pictures at a time: in their order, as each alone, and no more of them in memory than there must be."""
from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from retouch.data.batches import DataSpec
from retouch.editor import many
from retouch.editor.edit import Edit
from retouch.editor.many import in_step, pixels_of
from retouch.engine.update import Translation
from retouch.methods.aggan_multi import AGGANMulti
from retouch.methods.cam import CAM
from retouch.methods.cyclegan import CycleGAN
from retouch.methods.local import Local
from retouch.methods.lomit import LOMIT
from retouch.methods.munit import MUNIT
from retouch.methods.pix2pix import Pix2Pix
from retouch.methods.stargan import StarGAN
from tests.unit.test_editor import Brighten, editor, noise


def faces(n: int = 5) -> list[np.ndarray]:
    """Pictures of several sizes."""
    return [np.random.default_rng(i).integers(0, 256, (24 + 7 * i, 40, 3), np.uint8) for i in range(n)]


def same(a: Edit, b: Edit) -> bool:
    arrays = [(np.asarray(a.image), np.asarray(b.image)), (a.mask, b.mask), (a.difference, b.difference), (a.gradcam, b.gradcam),
              (a.exemplar_mask, b.exemplar_mask)]
    return all((x is None) == (y is None) and (x is None or np.array_equal(x, y)) for x, y in arrays) and \
        (a.untouched, a.source, a.target, a.notes, a.record) == (b.untouched, b.source, b.target, b.notes, b.record)


ATTRIBUTES = [AGGANMulti, StarGAN, Local, partial(CAM.tiny, 'attgan')]


@pytest.mark.parametrize('make', ATTRIBUTES, ids=['aggan_multi', 'stargan', 'local', 'cam'])
def test_edits_are_those_of_each_picture_alone(make: Any) -> None:
    method = (make.tiny if hasattr(make, 'tiny') else make)().eval()
    edits, pictures = editor(method), faces()
    for options in ({'Eyeglasses': 1}, {'Blond_Hair': 1, 'source': {'Blond_Hair': 0}, 'mask': (2, 2, 20, 20), 'strength': 0.5}):
        together = list(edits.edit_many(pictures, **options))
        assert len(together) == 5
        for picture, (given, edit) in zip(pictures, together, strict=True):
            assert given is picture and same(edit, edits.edit(picture, **options))     # type: ignore[arg-type]


@pytest.mark.parametrize('make', ATTRIBUTES, ids=['aggan_multi', 'stargan', 'local', 'cam'])
def test_batches_move_no_more_than_last_bits(make: Any) -> None:
    """Kernels of another batch size add in another order: single values may be rounded the other way."""
    edits, pictures = editor((make.tiny if hasattr(make, 'tiny') else make)().eval()), faces()
    together = [edit for _, edit in edits.edit_many(pictures, batch_size=3, Eyeglasses=1)]
    for picture, edit in zip(pictures, together, strict=True):
        alone = edits.edit(picture, Eyeglasses=1)
        assert (np.asarray(edit.image) != np.asarray(alone.image)).mean() < 0.01
        assert (edit.source, edit.target, edit.notes) == (alone.source, alone.target, alone.notes)
        assert (np.asarray(edit.image) == picture)[edit.mask == 0].all()


@pytest.mark.parametrize('make', [CycleGAN, Pix2Pix, MUNIT], ids=['cyclegan', 'pix2pix', 'munit'])
def test_translations_are_those_of_each_picture_alone(make: Any) -> None:
    edits, pictures, exemplar = editor(make.tiny().eval()), faces(), noise(64, 64)
    for more in ({}, *([{'exemplar': exemplar}] if make is MUNIT else [])):
        together = [edit for _, edit in edits.edit_many(pictures, **more)]
        alone = [edits.translate(picture, **more) for picture in pictures]
        assert len(together) == 5 and all(same(a, b) for a, b in zip(together, alone, strict=True))


@pytest.mark.parametrize('painted', [False, True])
def test_transfers_are_those_of_each_picture_alone(painted: bool) -> None:
    edits, pictures, exemplar = editor(LOMIT.tiny().eval()), faces(), noise(64, 64)
    more: dict[str, Any] = {'mask': (1, 1, 20, 20), 'exemplar_mask': (0, 0, 30, 30)} if painted else {}
    together = [edit for _, edit in edits.edit_many(pictures, exemplar=exemplar, **more)]
    assert len(together) == 5 and together[0].exemplar_mask is not None
    assert all(same(edit, edits.edit(picture, exemplar=exemplar, **more)) for picture, edit in zip(pictures, together, strict=True))


def test_one_bad_picture_costs_itself_alone(tmp_path: Path) -> None:
    class Odd(Brighten):
        def translate(self, request: Any) -> Translation:
            out = super().translate(request)
            out.image[request.image.mean((1, 2, 3)) < -0.9] = torch.nan                # a black picture
            return out

    (tmp_path / 'bad.png').write_bytes(b'no picture')
    pictures: list[Any] = [noise(20, 20), tmp_path / 'bad.png', np.zeros((20, 20, 3), np.uint8), np.zeros(3, np.uint8), noise(30, 20)]
    found = [result for _, result in editor(Odd()).edit_many(pictures, Eyeglasses=1, batch_size=8)]
    assert [type(result) for result in found] == [Edit, ValueError, FloatingPointError, ValueError, Edit]
    assert 'bad.png' in str(found[1]) and 'not finite' in str(found[2])


def test_what_is_wrong_with_all_is_said_before_any_is_opened() -> None:
    def never() -> Iterator[Any]:
        raise AssertionError('opened')
        yield

    for options in ({'Eyeglasses': 1}, {'source': {'Eyeglasses': 0}}, {'exemplar_mask': noise(20, 20)}):
        with pytest.raises(ValueError, match='leave out'):
            editor(CycleGAN.tiny().eval()).edit_many(never(), to='B', **options)                               # type: ignore[arg-type]
    for options in ({}, {'Eyeglases': 1}, {'Eyeglasses': 1, 'exemplar': noise(20, 20)}, {'to': 'B'}, {'Eyeglasses': 1, 'batch_size': 0}):
        with pytest.raises(ValueError):
            editor().edit_many(never(), **options)                                     # type: ignore[arg-type]


def test_then_works_on_other_threads_and_its_result_takes_the_edits_place() -> None:
    threads = set()

    def then(item: tuple[Any, int], edit: Edit) -> int:
        threads.add(threading.current_thread().name)
        if item[1] == 2:
            raise OSError('full')
        return item[1] * 10

    found = [result for _, result in editor().edit_many(((picture, i) for i, picture in enumerate(faces())), then=then, Eyeglasses=1)]
    assert found[:2] + found[3:] == [0, 10, 30, 40] and isinstance(found[2], OSError)
    assert threads and all(name.startswith('retouch-edit') for name in threads)


def test_memory_holds_three_batches_however_many_pictures() -> None:
    taken, finished, most, answered = 0, 0, 0, list[int]()

    def pictures() -> Iterator[int]:
        nonlocal taken, most
        for i in range(60):
            taken += 1
            most = max(most, taken - finished)
            yield i

    def answer(opened: Sequence[int]) -> list[int]:
        answered.append(len(opened))
        return [2 * x for x in opened]

    for i, (picture, result) in enumerate(in_step(pictures(), lambda p: p + 1, answer, lambda p, c, a: (p, c, a), 4)):
        assert picture == i and result == (i, i + 1, 2 * i + 2)
        finished += 1
    assert finished == 60 and answered == [4] * 15
    assert most <= 3 * 4 + 1                                     # and the one that begins the next batch


def test_large_pictures_make_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, 'BATCH_PX', 1000)
    batches = list(many._batched([noise(10, 30), noise(10, 30), noise(10, 50), noise(50, 50), noise(5, 5)], 8))
    assert [len(batch) for batch in batches] == [2, 1, 1, 1]
    Image.fromarray(noise(3, 5)).save(tmp_path / 'a.png')
    assert [pixels_of(some) for some in (tmp_path / 'a.png', str(tmp_path / 'a.png'), Image.new('L', (4, 2)), tmp_path / 'b.png', 7)] == [
        15, 15, 8, 0, 0]


def test_who_stops_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    edits = editor().edit_many(faces(20), Eyeglasses=1, batch_size=2)
    next(edits)
    edits.close()
    assert threading.active_count() == before


def test_a_model_of_single_edits_is_asked_in_turn_for_every_picture() -> None:
    method = Local(Local.Config(width_g=4, width_d=4, blocks=1, upsample='resize'), DataSpec(size=16, attributes=(
        'Black_Hair', 'Blond_Hair', 'Eyeglasses'))).eval()
    edits = editor(method)
    edits.model.info['data'] = {'targets': 'single'}
    pictures, asked = faces(), {'Eyeglasses': 1, 'Blond_Hair': 1}
    together = [edit for _, edit in edits.edit_many(pictures, **asked)]                # type: ignore[arg-type]
    assert all(same(edit, edits.edit(picture, **asked)) for picture, edit in zip(pictures, together, strict=True))
