"""Model directories: what is saved comes back without flags; anything that does not fit is refused in one line."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from retouch.engine.state import save_state
from retouch.errors import one_line
from retouch.evaluation.tallies import read_tallies
from retouch.files import write_atomically
from retouch.methods.registry import METHODS
from retouch.metrics.bootstrap import tally_to_value
from retouch.model import CONFIG, SHIPPED, WEIGHTS, load_model, read_start, save_model
from retouch.recipes.registry import load_run
from tests.batches import random_request


def saved(folder: Path, name: str = 'aggan_multi', dtype: torch.dtype | None = None) -> object:
    torch.manual_seed(0)
    method = METHODS[name].tiny()
    weights = {f'{n}.{k}': v for n in method.inference_nets for k, v in method.nets[n].state_dict().items()}
    save_model(folder, method, weights, {'seed': 0}, dtype)
    return method


@pytest.mark.parametrize('name', METHODS)
def test_round_trip(name: str, tmp_path: Path) -> None:
    method = saved(tmp_path / 'model', name)
    model = load_model(tmp_path)                                 # a run directory: model/ below it
    assert type(model.method) is type(method) and model.method.config == method.config
    assert model.data == method.data.model_copy(update={'samples': ()}), 'a model does not know how large its training set was'
    assert set(model.method.nets) == set(method.inference_nets)
    assert not any(p.requires_grad for p in model.method.nets.parameters())
    for net in method.inference_nets:
        for k, v in method.nets[net].state_dict().items():
            assert torch.equal(v, model.method.nets[net].state_dict()[k])
    assert json.loads((tmp_path / 'model' / CONFIG).read_text())['sha256'] == model.weights_sha256


def test_half_precision_storage(tmp_path: Path) -> None:
    method = saved(tmp_path, dtype=torch.float16)
    model = load_model(tmp_path)
    assert all(p.dtype == torch.float32 for p in model.method.nets.parameters())
    request = random_request('attributes', method.data)
    torch.testing.assert_close(model.method.translate(request).image, method.translate(request).image, rtol=0, atol=0.02)


def test_truncated_weights(tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r'model\.safetensors cannot be read .*: expected a whole safetensors file'):
        load_model(tmp_path)


def test_wrong_shape_names_the_tensor_and_both_shapes(tmp_path: Path) -> None:
    saved(tmp_path)
    weights = safetensors.torch.load_file(tmp_path / WEIGHTS)
    weights['G.main.0.weight'] = torch.zeros(4, 5, 7, 7)
    safetensors.torch.save_file(weights, tmp_path / WEIGHTS)
    with pytest.raises(ValueError, match=r'tensor G\.main\.0\.weight is \(4, 5, 7, 7\), expected \(4, 6, 7, 7\)'):
        load_model(tmp_path)
    del weights['G.main.0.weight']
    safetensors.torch.save_file(weights, tmp_path / WEIGHTS)
    with pytest.raises(ValueError, match=r'tensor G\.main\.0\.weight is nothing, expected'):
        load_model(tmp_path)


@pytest.mark.parametrize(('change', 'message'), [
    ({'method': 'aggan_multy'}, "unknown method 'aggan_multy': did you mean 'aggan_multi'"),
    ({'config': {'id': 'aggan_multi', 'lamda_cls': 1}}, "did you mean 'lambda_cls'"),
    ({'data': {'size': 'big'}}, 'size'),
])
def test_altered_config(change: dict, message: str, tmp_path: Path) -> None:
    saved(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path)
    (tmp_path / CONFIG).write_text('{"method": ')
    with pytest.raises(ValueError, match=r'config\.json cannot be read'):
        load_model(tmp_path)


@pytest.mark.parametrize('change', [
    {'method': 1.5}, {'method': None}, {'config': 'x'}, {'config': None}, {'config': {'id': 'aggan_multi', 'width_g': 10 ** 30}},
    {'data': []}, {'nets': 3}, {'nets': [['G']]}, {'nets': [{'x': 1}]}, {'nets': ['../G']}, {'nets': ['x' * 5000]},
    {'sha256': None}, {'sha256': 7}, {'info': None}, {'info': [1]}, {'info': {'data': None}},
], ids=str)
def test_a_config_that_describes_no_model_is_named_in_one_line(change: dict, tmp_path: Path) -> None:
    saved(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match=r'config\.json describes no model \(.*\): expected the file that training wrote; copy') as caught:
        load_model(tmp_path)
    assert len(one_line(caught.value)) < 900


@pytest.mark.parametrize('payload', [b'', b'null', b'[1]', b'"x"', b'{"a": "\xff"}', b'[' * 100_000, b'{"a":' * 50_000, b'1' * 10_000,
                                     '{"method": 1}'.encode('utf-16')], ids=lambda payload: repr(payload[:12]))
def test_a_config_that_is_no_object_is_one_line(payload: bytes, tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / CONFIG).write_bytes(payload)
    with pytest.raises(ValueError, match=r'config\.json cannot be read \(.*\): expected the file that training wrote'):
        load_model(tmp_path)
    (tmp_path / 'run.json').write_bytes(payload)
    with pytest.raises(ValueError, match=r'run\.json cannot be read \(.*\): expected the run\.json that a training wrote'):
        load_run(tmp_path)


def test_a_run_begins_only_with_weights_that_are_whole(tmp_path: Path) -> None:
    saved(tmp_path)
    weights, optimisers, digest = read_start(tmp_path)
    assert optimisers is None and digest == load_model(tmp_path).weights_sha256 and all(name[:2] in ('G.', 'D.') for name in weights)
    changed = bytearray((tmp_path / WEIGHTS).read_bytes())
    changed[-5] ^= 1
    (tmp_path / WEIGHTS).write_bytes(changed)
    with pytest.raises(ValueError, match='has sha256 .*expected the two files of one training'):
        read_start(tmp_path)
    for state in ({'iteration': 1}, {'iteration': 1, 'trainable': None}, {'iteration': 1, 'trainable': {}}):
        save_state(tmp_path / 'state', state)
        with pytest.raises(ValueError, match=r'last\.pt is no state of a training'):
            read_start(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='holds no model'):
        load_model(tmp_path)
    with pytest.raises(ValueError, match="unknown model 'toyface': did you mean 'toyfaces'"):
        load_model('toyface')


def test_full_disk_keeps_the_previous_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'x'
    write_atomically(path, b'old')

    def full(descriptor: int) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(OSError, match='No space left on device.*the previous file is untouched'):
        write_atomically(path, b'new')
    assert path.read_bytes() == b'old' and [p.name for p in tmp_path.iterdir()] == ['x']


def test_shipped_models_are_small_and_documented() -> None:
    limits = {'toyfaces': 4 * 2 ** 20, 'leaves': 4 * 2 ** 20, 'judge': 2 ** 20}
    assert set(SHIPPED) == set(limits)
    for name, folder in SHIPPED.items():
        assert {p.name for p in folder.iterdir()} >= {CONFIG, WEIGHTS, 'card.json', 'README.md'}
        assert (folder / WEIGHTS).stat().st_size <= limits[name]
        assert load_model(name).data.size in (64, 128)
    card = json.loads((SHIPPED['judge'] / 'card.json').read_text())
    assert card['measures']['accuracy']['value'] >= 0.99


def test_shipped_editor_reaches_its_promise() -> None:
    """The committed card of the shipped editor, measured on held-out drawn faces."""
    card = json.loads((SHIPPED['toyfaces'] / 'card.json').read_text())
    m = card['measures']
    assert card['checkpoint']['sha256'] == load_model('toyfaces').weights_sha256
    assert m['edit_accuracy']['value'] >= 0.98 and min(m['edit_accuracy']['per_attribute'].values()) >= 0.89
    assert m['psnr_outside']['value'] >= 33 and m['psnr_truth']['value'] >= 27 and m['mask_iou']['value'] >= 0.59
    tallies = read_tallies(SHIPPED['toyfaces'])                  # beside it, so that other models are compared with it in pairs
    assert {'edit_accuracy', 'psnr_outside', 'mask_iou'} <= set(tallies)
    for name, tally in tallies.items():
        assert tally_to_value(tally) == pytest.approx(m[name]['value'], rel=1e-12)
