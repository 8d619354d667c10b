"""Exported models: the same answers for any number of pictures, the same edits without torch, and one line for what is no such file."""
from __future__ import annotations

import hashlib
import inspect
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

from retouch import Editor
from retouch.cli.main import main
from retouch.data.batches import DataSpec
from retouch.engine.update import AttributeRequest, DomainRequest
from retouch.export import export_model, formats
from retouch.export.export import GATE
from retouch.export.questions import condition_of
from retouch.exported import load_exported
from retouch.methods.asgit import ASGITPairs
from retouch.methods.classifier import AttributeClassifier
from retouch.methods.icgan import IcGAN
from retouch.methods.local import Local
from retouch.methods.munit import MUNIT
from retouch.methods.pix2pix import Pix2Pix
from retouch.model import load_model, save_model
from tests.batches import TINY, random_request

TRANSLATORS = [name for name in TINY if name not in ('classifier', 'parser')]


def saved(folder: Path, method: Any) -> Path:
    """A model directory of an untrained system."""
    weights = {f'{net}.{key}': value for net in method.inference_nets for key, value in method.nets[net].state_dict().items()}
    save_model(folder, method, weights, {'data': {'targets': 'single'}})
    return folder


@pytest.fixture(scope='module')
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model directory `model` of a system with noise, mask and reader, and its `m.onnx`."""
    folder = tmp_path_factory.mktemp('local')
    torch.manual_seed(0)
    made = export_model(saved(folder / 'model', Local.tiny()), folder / 'm.onnx', n=8)
    assert made.errors.keys() == {'output', 'change', 'mask', 'labels'} and max(made.errors.values()) < GATE
    return folder


@pytest.fixture
def picture() -> np.ndarray:
    """uint8 [61,47,3], a disc on black: `bound` counts."""
    y, x = np.mgrid[:61, :47]
    disc = ((y - 30) ** 2 + (x - 23) ** 2 < 20 ** 2)[..., None]
    return np.where(disc, np.stack([90 + y, 200 - x, 60 + x], 2), 0).astype(np.uint8)


def copied(local: Path, folder: Path) -> Path:
    for path in local.glob('m.*'):
        shutil.copy(path, folder)
    return folder / 'm.onnx'


def test_the_sidecar_says_what_a_program_must_know(local: Path) -> None:
    said = json.loads((local / 'm.json').read_text())
    assert (said['method'], said['kind'], said['condition'], said['format']) == ('local', 'attributes', 'difference', 'onnx')
    assert said['inputs'] == ['image', 'difference', 'noise'] and said['outputs'] == ['output', 'mask', 'change']
    assert said['noise'] == [{'name': 'noise', 'shape': [1, 2, 2], 'draw': 'normal'}]
    assert said['data']['size'] == 16 and said['data']['attributes'] == ['Black_Hair', 'Blond_Hair', 'Eyeglasses']
    assert said['data']['frame']['resample'] == 'bicubic' and said['value_range'] == [-1, 1] and said['bound_level'] == 16
    assert (said['labels'], said['label_rule'], said['targets'], said['masked']) == ('multi', 'attgan_tf', 'single', True)
    assert said['parts'] == {'translator': 'm.onnx', 'reader': 'm.reader.onnx', 'noise': 'm.noise.npz'}
    assert said['parity']['pictures'] == 8 and said['parity']['gate'] == 1e-4 and set(said['sha256']) == set(said['parts'].values())


@pytest.mark.parametrize('n', [1, 3])
def test_any_number_of_pictures(local: Path, n: int) -> None:
    """onnxruntime alone, as a program of a user's: names and shapes as the sidecar has them, noise of its own for every picture."""
    session = onnxruntime.InferenceSession(local / 'm.onnx')
    assert [(i.name, i.shape[1:]) for i in session.get_inputs()] == [('image', [3, 16, 16]), ('difference', [3]), ('noise', [1, 2, 2])]
    request: AttributeRequest = random_request('attributes', Local.tiny().data, n)
    noise = torch.randn(n, 1, 2, 2)
    feed = {'image': request.image, 'difference': request.target - request.source, 'noise': noise}
    output, mask, change = session.run(None, {name: value.numpy() for name, value in feed.items()})
    model = load_model(local / 'model')
    with torch.no_grad():
        expected = model.method.translate(replace(request, noise={'noise': noise}))
        labels = model.method.read(request.image)                                      # type: ignore[attr-defined]
    assert output.shape == (n, 3, 16, 16) and mask.shape == (n, 1, 16, 16)
    assert np.abs(output - expected.image.numpy()).max() < 1e-5 and np.abs(mask - expected.mask.numpy()).max() < 1e-5
    assert np.abs(change - (expected.image - request.image).numpy()).max() < 1e-5
    read, = onnxruntime.InferenceSession(local / 'm.reader.onnx').run(None, {'image': request.image.numpy()})
    assert np.abs(read - labels.numpy()).max() < 1e-5


def test_an_edit_is_that_of_torch(local: Path, picture: np.ndarray) -> None:
    """Within one level inside the mask, to the byte outside, with the same notes; two attributes are made one after another."""
    ours, theirs = Editor.load(local / 'm.onnx'), Editor.load(local / 'model')
    asked: dict[str, Any] = {'Eyeglasses': 1, 'Blond_Hair': 1, 'source': {'Eyeglasses': 0, 'Blond_Hair': 0}, 'mask': (0, 0, 40, 61)}
    edit, expected = ours.edit(picture, **asked), theirs.edit(picture, **asked)
    a, b = np.asarray(edit.image).astype(int), np.asarray(expected.image).astype(int)
    assert np.abs(a - b).max() <= 1 and np.abs(edit.mask.astype(int) - expected.mask).max() <= 1
    assert (edit.mask == 0).mean() > 0.2 and np.array_equal(a[edit.mask == 0], picture[edit.mask == 0]) and (a != picture).any()
    assert edit.notes == expected.notes and edit.target == expected.target and edit.source == pytest.approx(expected.source, abs=2e-4)
    assert edit.record['weights_sha256'] == expected.record['weights_sha256'] and edit.record['model'] == expected.record['model']


def test_editing_imports_no_torch(local: Path, picture: np.ndarray, tmp_path: Path) -> None:
    """A process that has no torch edits as this one does, on the command line and in Python; for a model directory it asks for torch."""
    Image.fromarray(picture).save(tmp_path / 'a.png')
    code = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'torch':
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, NoTorch())
import retouch
from retouch.cli.main import main
folder, tmp = sys.argv[1:]
assert retouch.Editor.load(f'{folder}/m.onnx').edit(f'{tmp}/a.png', Eyeglasses=1).image.size == (47, 61)
assert main(['edit', f'{folder}/m.onnx', f'{tmp}/a.png', '--set', 'Eyeglasses=1', '--out', f'{tmp}/out']) == 0
assert main(['edit', f'{folder}/m.onnx', f'{tmp}/a.png', '--to', 'B', '--out', f'{tmp}/out']) == 2
assert main(['edit', f'{folder}/model', f'{tmp}/a.png', '--set', 'Eyeglasses=1', '--out', f'{tmp}/b']) == 2
assert not [name for name in sys.modules if name.partition('.')[0] == 'torch']
"""
    run = subprocess.run([sys.executable, '-c', code, local, tmp_path], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert run.returncode == 0, run.stderr
    assert 'torch is not installed' in run.stderr.splitlines()[-1]
    here = Editor.load(local / 'm.onnx').edit(tmp_path / 'a.png', Eyeglasses=1)
    assert np.array_equal(np.asarray(Image.open(tmp_path / 'out' / 'a.png')), np.asarray(here.image))


def test_bad_files_are_one_line(local: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / 'a.png')

    def said(model: Path) -> str:
        assert main(['edit', str(model), str(tmp_path / 'a.png'), '--set', 'Eyeglasses=1', '--out', str(tmp_path / 'out')]) == 2
        line = capsys.readouterr().err
        assert line.startswith('retouch: error: ') and line.count('\n') == 1, line
        return line

    def fresh(name: str) -> Path:
        (folder := tmp_path / name).mkdir()
        return copied(local, folder)

    assert 'is not there' in said(tmp_path / 'none.onnx')
    (alone := fresh('alone')).with_suffix('.json').unlink()
    assert 'm.json is not there: expected it beside m.onnx' in said(alone)
    (cut := fresh('cut')).write_bytes(cut.read_bytes()[:5000])
    assert 'm.onnx has sha256' in said(cut) and 'damaged or of another export' in said(cut)
    for part in ('m.reader.onnx', 'm.noise.npz'):
        (gone := fresh(f'gone-{part}')).with_name(part).unlink()
        assert f'{part} cannot be read' in said(gone)
    for name, change, line in (
            ('garbage', lambda said: 'nonsense', 'cannot be read'), ('empty', lambda said: {}, 'describes no exported model'),
            ('unknown', lambda said: {**said, 'more': 1}, 'unknown field'), ('path', lambda said: {
                **said, 'parts': {**said['parts'], 'reader': '../m.reader.onnx'}}, 'is no file name'),
            ('less', lambda said: {**said, 'parts': {k: v for k, v in said['parts'].items() if k != 'reader'}}, 'cannot read what a'),
            ('other', lambda said: {**said, 'condition': 'target', 'inputs': ['image', 'target', 'noise']},
             'takes image, difference, noise: expected image, t'),
            ('told', lambda said: {**said, 'inputs': ['image', 'target', 'noise']}, 'attributes told difference, of image, target'),
            ('kind', lambda said: {**said, 'kind': 'domains'}, 'domains of'),
            ('size', lambda said: {**said, 'data': {**said['data'], 'size': said['data']['size'] * 2}}, 'm.onnx takes image of [3, '),
            ('names', lambda said: {**said, 'data': {**said['data'], 'attributes': ['Male']}}, 'takes difference of [')):
        path = fresh(name)
        made = change(json.loads(path.with_suffix('.json').read_text()))
        path.with_suffix('.json').write_text(made if isinstance(made, str) else json.dumps(made))
        assert line in said(path), name
    # another tool's graph under a sidecar that vouches for it, and a file that is no graph
    foreign = fresh('foreign')
    node, value = onnx.helper.make_node('Identity', ['x'], ['y']), [onnx.helper.make_tensor_value_info(n, 1, [1]) for n in 'xy']
    graph = onnx.helper.make_model(onnx.helper.make_graph([node], 'g', value[:1], value[1:]), ir_version=10,
                                   opset_imports=[onnx.helper.make_opsetid('', 20)])
    for payload, line in ((graph.SerializeToString(), 'takes x: expected image, difference, noise'), (b'no graph', 'cannot be run')):
        foreign.write_bytes(payload)
        beside = json.loads(foreign.with_suffix('.json').read_text())
        beside['sha256']['m.onnx'] = hashlib.sha256(payload).hexdigest()
        foreign.with_suffix('.json').write_text(json.dumps(beside))
        assert line in said(foreign)
    with pytest.raises(ValueError, match="device 'mps': expected auto, cpu or cuda"):
        Editor.load(local / 'm.onnx', 'mps')
    with pytest.raises(ValueError, match='is for torch.export.load'):
        Editor.load(tmp_path / 'm.pt2')


def test_nothing_is_written_that_differs_from_torch(local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph of other weights than the model's, as an exporter's fault would make one, is refused and named."""
    trace = formats.trace

    def faulty(question: Any, half: bool) -> Any:
        program = trace(question, half)
        key = [key for key, weight in program.state_dict.items() if weight.ndim == 4][-1]
        program.state_dict[key] = torch.nn.Parameter(1.01 * program.state_dict[key], requires_grad=False)
        return program

    monkeypatch.setattr(formats, 'trace', faulty)
    with pytest.raises(ValueError, match=r'(output|change|mask|labels) of the exported local is up to .* away from torch on 8 drawn faces'):
        export_model(local / 'model', tmp_path / 'm.pt2', 'pt2', n=8)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_said(local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r'm.onnx: expected a file name that ends in .pt2'):
        export_model(local / 'model', tmp_path / 'm.onnx', 'pt2')
    with pytest.raises(ValueError, match='reads pictures and cannot edit them'):
        export_model(saved(tmp_path / 'reader', AttributeClassifier.tiny()), tmp_path / 'm.onnx')
    with pytest.raises(ValueError, match=r'config.json is no sidecar of an export and is not overwritten'):
        export_model(local / 'model', tmp_path / 'reader' / 'config.onnx')
    monkeypatch.setattr(Local, 'bound', lambda self, x: torch.cat([x[i:i + 1, :1] * 0 + 1 for i in range(len(x))]))   # one by one
    with pytest.raises(ValueError, match='local cannot be traced .* expected a method that takes any number of pictures'):
        export_model(local / 'model', tmp_path / 'm.pt2', 'pt2', n=4)


def test_half_and_pt2(local: Path, tmp_path: Path) -> None:
    """Half the weights' bytes, their own gate, and a program that torch loads by itself and gives any number of pictures."""
    whole = export_model(local / 'model', tmp_path / 'whole.pt2', 'pt2', n=4)
    half = export_model(local / 'model', tmp_path / 'half.pt2', 'pt2', half=True, n=4)
    assert half.sidecar.weights == 'float16' and half.sidecar.parity['gate'] == pytest.approx(2 / 255)
    assert max(whole.errors.values()) < 1e-6 < max(half.errors.values()) < 2 / 255
    program = torch.export.load(tmp_path / 'half.pt2')
    assert {w.dtype for w in program.state_dict.values() if w.ndim > 1} == {torch.float16}
    for n in (1, 3):
        output, mask, change = program.module()(torch.zeros(n, 3, 16, 16), torch.ones(n, 3), torch.zeros(n, 1, 2, 2))
        assert output.shape == change.shape == (n, 3, 16, 16) and mask.shape == (n, 1, 16, 16) and output.dtype == torch.float32


def test_norms_and_dropout_of_pix2pix(tmp_path: Path) -> None:
    """Statistics of every picture alone, and the dropout's draws an input, the same for all pictures unless they are given."""
    torch.manual_seed(0)
    made = export_model(saved(tmp_path / 'model', Pix2Pix.tiny()), tmp_path / 'm.onnx', n=8)
    assert made.sidecar.condition == 'none' and not made.sidecar.masked and made.errors['output'] < GATE
    assert all(noise.name.startswith('dropout_') and noise.draw == 'uniform' for noise in made.sidecar.noise)
    pixels = np.random.default_rng(0).integers(256, size=(70, 50, 3), dtype=np.uint8)
    ours, theirs = (np.asarray(Editor.load(path).translate(pixels).image).astype(int) for path in (tmp_path / 'm.onnx', tmp_path / 'model'))
    assert np.abs(ours - theirs).max() <= 1
    with pytest.raises(ValueError, match='this model makes B of A, not A of B'):
        Editor.load(tmp_path / 'm.onnx').translate(pixels, to='A')


def test_noise_from_outside_takes_the_place_of_the_fixed_draw() -> None:
    """The same style for every picture, or each its own; pix2pix and asgit_pairs draw alike."""
    torch.manual_seed(0)
    method, x = MUNIT.tiny().eval(), torch.rand(2, 3, MUNIT.tiny().data.size, MUNIT.tiny().data.size) * 2 - 1
    fixed, to = method.fixed_noise()['style'], method.data.domains[1]
    with torch.no_grad():
        plain = method.translate(DomainRequest(x, to)).image
        assert torch.equal(method.translate(DomainRequest(x, to, noise={'style': fixed.expand(2, -1)})).image, plain)
        mixed = method.translate(DomainRequest(x, to, noise={'style': torch.cat([fixed, -fixed])})).image
    torch.testing.assert_close(mixed[0], plain[0], rtol=0, atol=1e-6)
    assert (mixed[1] - plain[1]).abs().max() > 1e-3
    assert inspect.getsource(Pix2Pix.fixed_noise) == inspect.getsource(ASGITPairs.fixed_noise)


@pytest.mark.parametrize(('name', 'condition'), {'stargan': 'target', 'attgan': 'source and target', 'stgan': 'difference',
                                                 'cyclegan': 'domain', 'pix2pix': 'none', 'lomit': 'exemplar'}.items())
def test_a_translator_is_told_as_little_as_it_needs(name: str, condition: str) -> None:
    assert condition_of(TINY[name]().eval()) == condition


def test_what_pictures_seem_to_show_is_not_taken_for_what_was_asked() -> None:
    """With all labels flipped one way an encoder that says no to everything answers as a system that is told the target alone."""
    method = IcGAN(IcGAN.tiny().config, DataSpec(size=16, attributes=('Eyeglasses',))).eval()
    nn.init.constant_(method.nets['E_y'].main[-1].bias, -9.0)
    assert condition_of(method) == 'source and target'


@pytest.mark.slow
@pytest.mark.parametrize('form', ['onnx', 'pt2'])
@pytest.mark.parametrize('name', TRANSLATORS)
def test_every_translator(name: str, form: Any, tmp_path: Path) -> None:
    """Batches of 1, 3 and 8 agree with torch, for every domain, with noise, exemplars and painted masks given and not."""
    assert len(TRANSLATORS) == 40
    torch.manual_seed(0)
    made = export_model(saved(tmp_path / 'model', TINY[name]()), tmp_path / f'm.{form}', form, n=12)
    assert {'output', 'change'} <= made.errors.keys() and max(made.errors.values()) <= GATE
    assert ('labels' in made.errors) == (made.sidecar.kind == 'attributes')
    if form == 'onnx':
        assert load_exported(tmp_path / 'm.onnx').method.id == name.partition('.')[0]
