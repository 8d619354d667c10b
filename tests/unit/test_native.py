"""Protocol native: through the Editor, at a large size, with measures of its own."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from retouch import toyfaces
from retouch.evaluation import native, protocols
from retouch.evaluation.evaluate import Request, evaluate
from retouch.evaluation.scoring import Task
from retouch.methods.aggan_multi import AGGANMulti
from retouch.methods.stargan import StarGAN
from retouch.model import save_model


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn at 64 px, so that it takes no minutes."""
    monkeypatch.setattr(protocols, 'NATIVE_PX', 64)


def model_dir(folder: Path, cls: type) -> Path:
    method = cls.tiny()
    data = method.data.model_copy(update={'attributes': ('Black_Hair', 'Eyeglasses')})
    method = cls(method.config, data)
    weights = {f'{n}.{k}': v for n in cls.inference_nets for k, v in method.nets[n].state_dict().items()}
    save_model(folder, method, weights, {'data': {'source': 'toyfaces'}})
    return folder


def test_edges_and_what_is_left_by_hand() -> None:
    """A region of 32 x 32 px in 96 x 96, whose true change is 100 levels of red."""
    x, truth = np.zeros((1, 96, 96, 3), np.uint8), np.zeros((1, 96, 96, 3), np.uint8)
    truth[:, 32:64, 32:64, 0] = 100
    task = Task('Eyeglasses', (0,), np.arange(1), None, lambda x, part: None, truth, truth[..., 0] > 0)

    def measured(edit: np.ndarray) -> dict[str, float]:
        pictures = [torch.from_numpy(some).permute(0, 3, 1, 2).float() / 127.5 - 1 for some in (edit, x)]
        found = native.native_measures(task, *pictures, slice(0, 1))
        return {name: float(total[0]) / float(count[0]) for name, (total, count) in found.items() if count is not None}

    band = 48 ** 2 - 16 ** 2                                                           # 8 px either side of the edge
    assert measured(truth) == {'psnr_boundary': 0, 'leftovers': 0}
    copied = measured(x)
    assert copied['leftovers'] == 1 and copied['psnr_boundary'] == pytest.approx(100 ** 2 * (32 ** 2 - 16 ** 2) / (3 * band))
    half = truth.copy()
    half[:, 32:48, 32:64, 0] = 24                                # less than a quarter of the change in half of it
    half[:, 0:4] = 255                                           # far from the edge: not in the band, not in the region
    found = measured(half)
    assert found['leftovers'] == 0.5 and found['psnr_boundary'] == pytest.approx(76 ** 2 * (16 * 32 - 8 * 16) / (3 * band))


def test_a_card_at_the_size_people_look_at(tmp_path: Path, small: None) -> None:
    folder = model_dir(tmp_path, AGGANMulti)
    card = evaluate(Request(folder, protocol='native', n=12)).card
    assert (card.protocol, card.data.size, card.n) == ('native', 64, 12) and card.command.endswith('--protocol native --n 12 --seed 0')
    assert set(card.references) == {'copy', 'truth', 'through'} and {'psnr_boundary', 'leftovers', 'mask_iou'} <= set(card.measures)
    copy, truth, through = (card.references[name] for name in ('copy', 'truth', 'through'))
    assert copy['leftovers'].value == 1 and truth['leftovers'].value == 0 and truth['psnr_truth'].value is None
    assert copy['psnr_truth'].value < through['psnr_truth'].value                      # 16 px bring something, and not all
    assert 0 < through['leftovers'].value < 0.6 and 0 < through['mask_iou'].value < 1


def test_the_editor_makes_the_answers(tmp_path: Path, small: None) -> None:
    """What is scored is what `Editor.edit` returns, which reads the picture itself; without an edit mask there is none to score."""
    from retouch.editor.editor import Editor
    from retouch.evaluation.scoring import pictures_to_tensor
    from retouch.evaluation.tasks import toyfaces_tasks

    for cls, has_mask in ((AGGANMulti, True), (StarGAN, False)):
        editor = Editor.load(model_dir(tmp_path / cls.__name__, cls), 'cpu')
        inputs, tasks = toyfaces_tasks(editor.method, toyfaces.ATTRIBUTES, 6, 0, 64)
        task = tasks[1]
        x = pictures_to_tensor(inputs[task.rows[:2]])
        found = native.editor_to_answer(editor)(task, x, slice(0, 2))
        value = int(task.request(x, slice(0, 2)).target[1, 1])
        alone = editor.edit(np.array(inputs[task.rows[1]]), Eyeglasses=value)
        assert torch.equal(found.image[1:], pictures_to_tensor(np.asarray(alone.image)[None])) and (found.mask is not None) == has_mask
        if found.mask is not None:
            assert torch.equal(found.mask[1, 0], torch.from_numpy(alone.mask).float() / 255)


def test_models_of_domains_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='does not fit a cyclegan'):
        from retouch.methods.cyclegan import CycleGAN

        method = CycleGAN.tiny()
        weights = {f'{n}.{k}': v for n in method.inference_nets for k, v in method.nets[n].state_dict().items()}
        save_model(tmp_path, method, weights, {'data': {'source': 'toyfaces'}})
        evaluate(Request(tmp_path, protocol='native', n=4))


def test_the_truth_through_its_own_size_is_the_truth() -> None:
    images, _, _ = toyfaces.draw_set(range(2), 48, workers=1)
    edited, _, _ = toyfaces.draw_set(range(2), 48, workers=1, edit={'Eyeglasses': 1})
    region = np.abs(images.astype(int) - edited).max(3) > toyfaces.REGION_THRESHOLD
    task = Task('Eyeglasses', (0,), np.arange(2), None, lambda x, part: None, edited, region)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    found = native.truth_to_answer(48)(task, x, slice(0, 2))
    outside = replace(task).region == 0
    assert found.mask is not None and torch.equal(found.mask[:, 0] > 0.5, torch.from_numpy(region))
    back = ((found.image + 1) * 127.5).round().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(back[outside], images[outside]) and np.array_equal(back[region], edited[region])
