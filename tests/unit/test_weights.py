"""Published weights: every source from files rebuilt of names and shapes; files that are none; what a directory says of its origin."""
from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from retouch.cli.main import main
from retouch.data.frame import Frame
from retouch.editor import Editor
from retouch.editor.canvas import Canvas
from retouch.engine.update import AttributeRequest, DomainRequest
from retouch.evaluation.held_out import held_out, held_out_of_domains, part_of
from retouch.evaluation.tasks import domain_folder_tasks
from retouch.export import export_model
from retouch.methods.classifier import AttributeClassifier
from retouch.methods.classifier import Config as ClassifierConfig
from retouch.methods.registry import find_method
from retouch.model import load_model, save_model
from retouch.weights.importing import import_weights
from retouch.weights.mapping import Part, arrange
from retouch.weights.plan import Asked, Plan
from retouch.weights.reading import Checkpoint, read_checkpoint, tensors_of
from retouch.weights.sources import SOURCES
from tests.published import FIXTURE, fill, holds_of, picture, published, state_of, write_files

ATTRIBUTES = {'stargan': 5, 'aggan_multi': 8, 'attgan': 13, 'stgan': 10}
SILENT: Any = lambda done, total, what: None                    # noqa: E731


def imported(source: str, folder: Path, asked: Asked | None = None, **changed: Any) -> Path:
    """A model directory of the small form."""
    size = published(source)['size']
    import_weights(source, write_files(source, folder, **changed), folder / 'model', asked or Asked(size=size))
    return folder / 'model'


def answer(method: Any, name: str, x: Tensor) -> Tensor:
    """What a network is asked under the name that the fixture gives the authors' answer."""
    if name == 'labels':
        return method.read(x)
    what, _, to = name.partition(' ')
    if method.kind == 'attributes':
        k = ATTRIBUTES[method.id]
        a = torch.zeros(1, k)
        a[0, slice(2, 3) if method.config.id == 'aggan_multi' else slice(None, None, 2)] = 1
        b = torch.zeros(1, k) if method.id == 'aggan_multi' else a.clone()
        b[0, 1] = 1 - a[0, 1]
        out = method.translate(AttributeRequest(x, a, b))
    else:
        out = method.translate(DomainRequest(x, to, x.flip(2).contiguous() if what == 'exemplar' else None))
    return out.mask if what == 'mask' else out.image


def test_the_fixture_has_every_source() -> None:
    assert set(json.loads(FIXTURE.read_text())) == set(SOURCES) and len(SOURCES) == 12


@pytest.mark.parametrize('source', SOURCES)
def test_imported_weights_answer_as_the_authors_modules_did(source: str, tmp_path: Path) -> None:
    """The numbers come from the authors' own code with the same weights, in the state of its test; one source in two in the old format."""
    known = published(source)
    folder = imported(source, tmp_path, legacy=len(source) % 2 == 0)
    model = load_model(folder)
    seen = 0
    for name, expected in known['output'].items():
        with torch.no_grad():
            found = answer(model.method, name, picture(known['size'])).flatten()
        found = found[torch.linspace(0, len(found) - 1, len(expected)).long()]
        atol = 1e-5 if name == 'labels' else 2e-3                # waves make more of rounding than drawn weights do
        assert torch.allclose(found, torch.tensor(expected), rtol=0, atol=atol), (name, found.tolist(), expected)
        seen += len(expected)
    assert seen >= 8
    config = json.loads((folder / 'config.json').read_text())
    files = {f['name']: f['sha256'] for f in config['info']['origin']['files']}
    assert list(files) == known['files'] and all(len(digest) == 64 for digest in files.values())


@pytest.mark.parametrize('source', SOURCES)
def test_published_names_and_shapes_fit(source: str) -> None:
    """At the published size, where a tensor is one zero seen many times: nothing is allocated."""
    known = published(source)
    plan = plan_of(source, Asked(attributes=tuple(f'a{k}' for k in range(ATTRIBUTES.get(source, 0))), size=known['published_size']))
    with torch.device('meta'):
        method = find_method(source)(plan.config, plan.data)
    assert plan.data.size == known['published_size']
    for net, part in plan.parts.items():
        arranged = arrange(part, method.nets[net].state_dict())
        assert sum(v.numel() for v in arranged.values()) == sum(v.numel() for v in method.nets[net].state_dict().values()) > 50_000
    assert set(plan.parts) == set(method.inference_nets) - ({'D'} if source == 'attgan' else set())


def plan_of(source: str, asked: Asked | None = None, **changed: dict[str, tuple[int, ...]]) -> Plan:
    """What the published shapes say, some of them `changed`; net -> name -> shape."""
    known, zero = published(source), torch.zeros(())
    states = {net: {name: zero.expand(changed.get(net, {}).get(name, shape)) for name, shape in zip(*state_of(entry, 1), strict=True)}
              for net, entry in known['networks'].items()}
    files = [Checkpoint(Path(name), '', holds) for name, holds in zip(known['files'], holds_of(source, states), strict=True)]
    return SOURCES[source].plan(files, asked or Asked(attributes=tuple(f'a{k}' for k in range(ATTRIBUTES.get(source, 0)))))


def test_shapes_say_what_the_network_is() -> None:
    config = plan_of('attgan').config
    assert (config.width_g, config.layers, config.shortcut, config.inject, config.thres_int, config.test_int) == (64, 5, 1, 1, 0.5, 1.0)
    config = plan_of('attgan', G={'dec_layers.1.layers.0.weight': (1024 + 512, 512, 4, 4)}).config
    assert (config.shortcut, config.inject) == (1, 0)
    config = plan_of('attgan', G={'dec_layers.1.layers.0.weight': (1024 + 13, 512, 4, 4)}).config
    assert (config.shortcut, config.inject) == (0, 1)
    config = plan_of('stgan').config
    assert (config.layers, config.shortcut, config.test_int, config.width_d, config.label_rule) == (5, 3, 1.0, 64, 'stargan')
    stars = plan_of('stargan', D={'conv2.weight': (5, 2048, 4, 4)})
    assert (stars.data.size, stars.config.blocks, stars.config.width_d, stars.config.labels) == (256, 6, 64, 'multi')
    assert plan_of('stargan', Asked()).data.attributes == ('Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Male', 'Young')
    assert plan_of('stgan', Asked()).data.attributes[::9] == ('Bangs', 'Young') and plan_of('aggan_multi', Asked()).trained_on == 'RaFD'
    pairs = plan_of('asgit').config, plan_of('asgit', G_A={'model.1.weight': (64, 4, 7, 7)}).config
    assert [(c.fusion, c.transfer, c.inference_attention, c.inference_constant) for c in pairs] == [
        ('rhp', 'identity', 'constant', 0.5), ('alpha', 'identity', 'ones', 0.5)]
    config = plan_of('pix2pix').config
    assert (config.norm, config.dropout, config.test_dropout) == ('batch', True, True) and plan_of('pix2pix').data.size == 256
    config = plan_of('aggan').config
    assert (config.norm, config.upsample, config.blocks, config.use_attention_discriminator) == ('batch', 'pixelshuffle', 6, False)
    assert (plan_of('attentiongan').config.contents, plan_of('munit').config.style_dim, plan_of('drit').config.blocks) == (9, 8, 3)
    squashed = Frame(stretch=True, resample='bicubic')
    assert {s: plan_of(s).data.frame for s in ('cyclegan', 'attentiongan', 'aggan', 'asgit', 'pix2pix', 'munit')} == {
        'munit': Frame(), **dict.fromkeys(('cyclegan', 'attentiongan', 'aggan', 'asgit', 'pix2pix'), squashed)}
    assert plan_of('drit').data.frame == Frame(stretch=True, resample='bicubic', share=0.84375)


def test_the_order_of_a_file_does_not_matter(tmp_path: Path) -> None:
    names, shapes = state_of(published('cyclegan')['networks']['G_A'], 2)
    state = fill(names, shapes)
    as_text = {key: state[key] for key in sorted(state)}                     # 'model.10…' before 'model.2…'
    assert list(as_text) != names
    by_order = [Part(Path('x'), s, ('model', 'conv_block')) for s in (state, as_text)]
    expected = find_method('cyclegan')(*_small_cyclegan()).nets['G'].state_dict()
    for a, b in zip(*(arrange(part, expected).values() for part in by_order), strict=True):
        assert torch.equal(a, b)


def _small_cyclegan() -> Any:
    from retouch.data.batches import DataSpec
    from retouch.methods.cyclegan import Config

    return Config(width_g=8, blocks=9, width_d=1, pool=0), DataSpec(size=64, domains=('A', 'B'))


def test_wrappers_are_taken_off_and_running_averages_kept_where_they_count() -> None:
    state = {'module._orig_mod.a.weight': torch.ones(2), 'module.a.running_mean': torch.ones(2)}
    assert list(tensors_of(state, 'x')) == ['a.weight', 'a.running_mean']
    net = nn.Sequential(nn.BatchNorm2d(2))
    theirs = {'n.0.bias': torch.full((2,), 3.0), 'n.0.weight': torch.full((2, 1, 1), 2.0), 'n.0.running_var': torch.full((2,), 5.0),
              'n.0.running_mean': torch.full((2,), 4.0), 'n.0.num_batches_tracked': torch.tensor(7)}
    kept = arrange(Part(Path('x'), theirs, ('n',), running=True), net.state_dict())
    assert {key: value.flatten()[0].item() for key, value in kept.items()} == {
        '0.num_batches_tracked': 0, '0.weight': 2, '0.bias': 3, '0.running_mean': 4, '0.running_var': 5}
    without = nn.Sequential(nn.BatchNorm2d(2, track_running_stats=False))
    assert set(arrange(Part(Path('x'), theirs, ('n',)), without.state_dict())) == {'0.weight', '0.bias'}


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def bad_file(kind: str, folder: Path) -> Path:
    path, good = folder / 'weights.pth', folder / 'good.pth'
    if kind in ('cut', 'cut legacy', 'bomb'):
        torch.save({'a': torch.zeros(4000)}, good, _use_new_zipfile_serialization=kind != 'cut legacy')
    if kind.startswith('cut'):
        path.write_bytes(good.read_bytes()[:-3000])
    elif kind == 'bomb':
        with zipfile.ZipFile(good) as old, zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as new:
            for entry in old.infolist():
                new.writestr(entry.filename, old.read(entry.filename) if not entry.filename.endswith('data/0') else b'\0' * 5_000_000)
    elif kind == 'code':
        torch.save({'main.0.weight': Evil(folder / 'run')}, path)
    elif kind == 'code legacy':
        torch.save({'main.0.weight': Evil(folder / 'run')}, path, _use_new_zipfile_serialization=False)
    elif kind == 'plain pickle':
        path.write_bytes(pickle.dumps(Evil(folder / 'run')))
    elif kind == 'module':
        torch.save(nn.Linear(2, 2), path)
    elif kind == 'script':
        torch.jit.script(nn.Linear(2, 2)).save(path)
    elif kind == 'archive':
        with zipfile.ZipFile(path, 'w') as archive:
            archive.writestr('200000-G.ckpt', b'x')
    elif kind == 'page':
        path.write_text('<!DOCTYPE html><title>Sign in</title>')
    elif kind == 'gzip':
        path.write_bytes(b'\x1f\x8b\x08\0' + bytes(60))
    elif kind == 'empty':
        path.write_bytes(b'')
    elif kind == 'pointer':
        path.write_text('version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 5\n')
    elif kind == 'safetensors':
        save_file({'main.0.weight': torch.zeros(2)}, path)
    elif kind == 'text':
        path.write_text('version 3 of nothing'[8:])
    elif kind == 'folder':
        path.mkdir()
    elif kind == 'a list':
        torch.save([torch.zeros(2)], path)
    elif kind == 'other keys':
        torch.save({'unet.weight': torch.zeros(2), 'vae.weight': torch.zeros(2)}, path)
    elif kind == 'other program':
        torch.save({'model': {'a': torch.zeros(2)}, 'epoch': 3}, path)
    elif kind == 'sparse':
        torch.save({'main.0.weight': torch.eye(3).to_sparse()}, path)
    elif kind == 'numbers':
        torch.save({'main.0.weight': 3.0, 'b': torch.zeros(1)}, path)
    return path


@pytest.mark.filterwarnings('ignore:`torch.jit')
@pytest.mark.parametrize(('kind', 'says'), [
    ('cut', 'it was cut'), ('cut legacy', 'cannot be read'), ('bomb', 'would unpack to 5 MB'), ('code', 'mkdir, which is code'),
    ('code legacy', 'mkdir, which is code'), ('plain pickle', 'weights.pth'), ('script', 'TorchScript'),
    ('module', 'names torch.nn.modules.linear.Linear, which is code'),
    ('archive', '200000-G.ckpt: unpack it first'), ('page', 'a web page'), ('gzip', 'gzip archive'), ('empty', 'is empty'),
    ('pointer', 'git lfs pull'), ('safetensors', 'a safetensors file'), ('text', 'cannot be read (UnpicklingError'),
    ('folder', 'is a folder'), ('gone', 'is not there'), ('a list', 'holds list'), ('other keys', 'no tensor main.0.weight'),
    ('other program', 'holds model, epoch'), ('sparse', 'expected plain numbers'), ('numbers', 'holds main.0.weight, b')])
def test_a_file_that_is_none_is_one_line_and_runs_nothing(kind: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = bad_file(kind, tmp_path)
    assert main(['import', 'stargan', str(path), '--out', str(tmp_path / 'model')]) == 2
    printed = capsys.readouterr()
    assert printed.err.count('\n') == 1 and says in printed.err and len(printed.err) < 600, printed.err
    assert not (tmp_path / 'run').exists() and not (tmp_path / 'model').exists() and not printed.out


def test_a_lying_file_gets_no_memory(tmp_path: Path) -> None:
    """Shapes of a tenth of a petabyte, of nothing, of another network; half precision is no lie."""
    path = tmp_path / 'G.ckpt'
    for first, says in ((torch.zeros(1).expand(10 ** 7, 10 ** 7), 'takes 9999997 labels'), (torch.zeros(()), 'expected a kernel'),
                        (torch.zeros(0, 4, 7, 7), 'makes 0 channels'), (torch.zeros(3, 4, 7, 7), 'has 1 tensors, expected 16'),
                        (torch.zeros(3, 4, 7, 1).expand(3, 4, 7, 7), 'for which the file stores 336 bytes')):
        torch.save({'main.0.weight': first}, path)
        with pytest.raises(ValueError, match=says):
            import_weights('stargan', [path], tmp_path / 'model', Asked(attributes=('a',)))
    state = nets('cyclegan')['G_A']
    torch.save({**state, 'model.1.weight': torch.zeros(20_000, 3, 7, 7)}, path)        # its network would have 100 GB
    with pytest.raises(ValueError, match='another number of attributes'):
        import_weights('cyclegan', [path], tmp_path / 'model')
    torch.save({key: value.half() for key, value in state.items()}, path)
    import_weights('cyclegan', [path], tmp_path / 'model', Asked(size=64))
    stored = load_model(tmp_path / 'model').method.nets['G'].state_dict()
    assert torch.equal(next(iter(stored.values())), state['model.1.weight'].half().float())


def nets(source: str) -> dict[str, dict[str, Tensor]]:
    return {net: fill(*state_of(entry, 2)) for net, entry in published(source)['networks'].items()}


def without(state: dict[str, Tensor], *parts: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not any(part in key for part in parts)}


@pytest.mark.parametrize(('source', 'asked', 'changed', 'says'), [
    ('stargan', Asked(attributes=('Smiling',)), {}, 'takes 5 labels, 1 are named'),
    ('stargan', Asked(attributes=('a', 'a', 'b', 'c', 'd')), {}, 'each name once'),
    ('stargan', Asked(size=64), {}, 'is for 128 px; leave --size out'),
    ('stargan', Asked(), {'G': nets('aggan_multi')['G']}, 'makes 4 channels, expected 3: aggan_multi is the source'),
    ('aggan_multi', Asked(), {'D': nets('stargan')['D']}, 'reads 5 labels'),
    ('stargan', Asked(), {'G': nets('stargan')['D']}, '0 generators and 2 discriminators'),
    ('stargan', Asked(), {'G': nets('cyclegan')['G_A']}, 'no tensor main.0.weight'),
    ('stargan', Asked(), {'G': without(nets('stargan')['G'], 'main.9.main.3')}, '51 tensors, expected 52: main.9.main.4.weight is'),
    ('stargan', Asked(), {'G': {**nets('stargan')['G'], 'main.3.weight': torch.zeros(16, 8, 3, 3)}}, 'another kernel'),
    ('stargan', Asked(), {'G': {**nets('stargan')['G'], 'main.1.bias': torch.full((8,), float('nan'))}}, 'is not finite'),
    ('stargan', Asked(), {'G': {**nets('stargan')['G'], 'extra.weight': torch.zeros(8)}}, "'extra.weight'"),
    ('cyclegan', Asked(), {'G_A': {k.replace('block.5', 'block.6'): v for k, v in nets('cyclegan')['G_A'].items()}}, '--no_dropout'),
    ('cyclegan', Asked(), {'G_A': without(nets('cyclegan')['G_A'], 'model.1.bias')}, 'batch norm'),
    ('cyclegan', Asked(domains=('A', 'A')), {}, 'expected two names'),
    ('cyclegan', Asked(size=30), {}, 'expected a multiple of 4; set --size'),
    ('drit', Asked(), {'gen': {'mlpA.0.weight': torch.zeros(1)}}, '--concat 0'),
    ('munit', Asked(), {'b': {'enc.model.0.conv.weight': torch.zeros(1)}}, 'nothing is called'),
    ('attgan', Asked(attributes=('a', 'b')), {}, 'takes 13 labels, 2 are named'),
    ('stgan', Asked(), {'G': without(nets('stgan')['G'], 'decoder.4.3')}, 'expected'),
    ('asgit_pairs', Asked(), {'G': nets('pix2pix')['G']}, 'batch norm')])
def test_weights_that_do_not_fit_say_why(source: str, asked: Asked, changed: dict[str, Any], says: str, tmp_path: Path) -> None:
    files = write_files(source, tmp_path, **changed)
    with pytest.raises(ValueError) as caught:
        import_weights(source, files, tmp_path / 'model', asked)
    assert says in str(caught.value) and '\n' not in str(caught.value) and not (tmp_path / 'model').exists(), caught.value


def test_other_mistakes_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    g, d = map(str, write_files('stargan', tmp_path))
    out = str(tmp_path / 'model')
    for words, says in ((['starga', g], "did you mean 'stargan'"), (['stargan', g, d, g], '3 files'), (['pix2pix', g, d], '2 files'),
                        (['stargan', g, '--domains', 'A,B'], '--domains does not apply'),
                        (['cyclegan', g, '--attributes', 'A'], 'does not apply'),
                        (['stargan', g, '--setting', g], '--setting does not apply'),
                        (['stargan', g, '--size', '0'], '--size 0: expected'),
                        (['attgan', g, '--exclusive'], '--exclusive does not apply to attgan'),
                        (['stargan', g, '--exclusiv'], '--exclusive')):
        assert main(['import', *words, '--out', out]) == 2
        assert says in (err := capsys.readouterr().err) and err.count('\n') == 1, err
    assert main(['import', 'stargan', g, d, '--out', out]) == 0
    assert main(['import', 'stargan', g, d, '--out', out]) == 2 and 'already holds a model' in capsys.readouterr().err
    (tmp_path / 'run').mkdir()
    (tmp_path / 'model').rename(tmp_path / 'run' / 'model')      # of a run directory, model/ would be found in place of what was imported
    assert main(['import', 'stargan', g, d, '--out', str(tmp_path / 'run')]) == 2 and 'already holds a model' in capsys.readouterr().err
    for source in ('pix2pix', 'asgit_pairs'):
        files = map(str, write_files(source, tmp_path))
        assert main(['import', source, *files, '--size', '128', '--out', out]) == 2
        assert 'are for 256 px; leave --size out' in capsys.readouterr().err
    (tmp_path / 'setting.txt').write_text('{"attrs": 3}')
    torch.save({'G': nets('attgan')['G']}, tmp_path / 'w.pth')
    assert main(['import', 'attgan', str(tmp_path / 'w.pth'), '--out', out + '2']) == 2
    assert 'setting.txt cannot be read' in capsys.readouterr().err


def test_a_directory_records_where_its_weights_come_from(tmp_path: Path) -> None:
    model = load_model(imported('aggan_multi', tmp_path / 'a'))
    origin = model.info['origin']
    assert origin['source'].startswith('Ha0Tang/AttentionGAN') and origin['licence'] == 'CC BY-NC-SA 4.0' and origin['trained_on'] == 'RaFD'
    assert model.terms == (f'not for commercial use: weights of {origin["source"]}, CC BY-NC-SA 4.0; trained on RaFD: strictly scientific '
                           'use, none other')
    assert model.method.config.labels == 'single' and model.data.attributes[0] == 'angry' and model.data.frame == Frame()
    own = tmp_path / 'own'
    import_weights('stargan', write_files('stargan', tmp_path / 'b'), own, trained_on='my own pictures')
    spelt = import_weights('stargan', write_files('stargan', tmp_path / 'b'), tmp_path / 'spelt', trained_on='celeba')
    assert spelt['trained_on'] == 'CelebA' and spelt['non_commercial'] and spelt['data_terms'] == 'non-commercial research only'
    assert load_model(own).terms is None and load_model(own).data.frame == Frame(crop=178, crop_of=(178, 218))
    import_weights('stargan', write_files('stargan', tmp_path / 'b'), tmp_path / 'celeba')
    celeba = load_model(tmp_path / 'celeba')
    assert [part_of(f'/data/{name}', celeba) for name in ('CelebA', 'mine')] == ['test', 'whole']
    assert part_of('/data/CelebA', model) == 'whole'
    assert celeba.terms == ('not for commercial use: weights of yunjey/stargan, MIT; trained on CelebA: '
                                                     'non-commercial research only')


def face(path: Path, width: int = 178, height: int = 218) -> Path:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(path)
    return path


def record_of(path: Path) -> dict[str, Any]:
    """The note inside a picture."""
    with Image.open(path) as image:
        found: dict[str, Any] = json.loads(image.info['retouch'])
        return found


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def test_an_edit_says_the_terms_once_and_writes_them_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = imported('stargan', tmp_path)
    pictures = [str(face(tmp_path / f'{name}.png')) for name in 'ab']
    assert main(['edit', str(folder), *pictures, '--set', 'Young=0', '--out', str(tmp_path / 'out')]) == 0
    assert capsys.readouterr().err.count('not for commercial use') == 1
    record = record_of(tmp_path / 'out' / 'b.png')
    assert record['terms'].endswith('CelebA: non-commercial research only') and 'yunjey/stargan' in record['terms']


def reader_of(folder: Path, names: tuple[str, ...], logits: list[float]) -> Path:
    """A classifier of 32 px that reads the same of every picture."""
    from retouch.data.batches import DataSpec

    method = AttributeClassifier(ClassifierConfig(width=2, hidden=4), DataSpec(size=32, attributes=names, frame=Frame()))
    with torch.no_grad():
        method.nets['C'].head.weight.zero_()
        method.nets['C'].head.bias.copy_(torch.tensor(logits))
    save_model(folder, method, {f'C.{k}': v for k, v in method.nets['C'].state_dict().items()}, {})
    return folder


def test_a_model_without_a_reader_takes_another_or_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, picture_path = imported('attgan', tmp_path), str(face(tmp_path / 'a.png'))
    names = load_model(folder).data.attributes
    assert not load_model(folder).reads and set(load_model(folder).method.nets) == {'G'}
    edit = ['edit', str(folder), picture_path, '--set', 'Male=1', '--out', str(tmp_path / 'out')]
    assert main(edit) == 2
    err = capsys.readouterr().err
    assert '--reader MODEL' in err and '--source Bald=0' in err and err.splitlines()[-1].startswith('retouch: error: ')
    assert main([*edit, '--source', *(f'{name}=0' for name in names)]) == 0
    stated = pixels_of(tmp_path / 'out' / 'a.png')
    reader = reader_of(tmp_path / 'reader', names[::-1], [-2.0] * len(names))          # the same columns in another order
    assert main([*edit, '--reader', str(reader)]) == 0
    assert np.array_equal(pixels_of(tmp_path / 'out' / 'a.png'), stated)
    assert record_of(tmp_path / 'out' / 'a.png')['reader_sha256'] == load_model(reader).weights_sha256
    some = reader_of(tmp_path / 'some', names[:-1], [-2.0] * (len(names) - 1))
    capsys.readouterr()
    assert main([*edit, '--reader', str(some)]) == 2 and 'a classifier that knows Young with' in capsys.readouterr().err
    assert main([*edit, '--reader', str(some), '--source', 'Young=0']) == 0
    capsys.readouterr()
    assert main([*edit, '--reader', str(folder)]) == 2 and 'reads no attributes' in capsys.readouterr().err


def test_a_reader_sees_its_own_part_of_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, path = imported('attgan', tmp_path), face(tmp_path / 'a.png')
    names = load_model(folder).data.attributes
    editor = Editor.load(folder, 'cpu', reader_of(tmp_path / 'reader', names, [2.0, *[-2.0] * 12]))
    shown: list[Tensor] = []
    assert editor.reader is not None
    read = editor.reader.method.read
    monkeypatch.setattr(editor.reader.method, 'read', lambda x: shown.append(x) or read(x))
    edit = editor.edit(path, Male=1)
    expected = Frame().show(pixels_of(path), (0, 20, 178, 178), 32, 32)
    assert np.array_equal(((shown[0][0] + 1) * 127.5).round().numpy().transpose(1, 2, 0), expected)
    assert edit.source['Bald'] == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-3) and edit.target['Bald'] == 1


@pytest.mark.parametrize(('source', 'crop'), [('attgan', 170), ('stargan', 178)])
def test_the_crop_of_training_reaches_editor_and_evaluation(source: str, crop: int, tmp_path: Path) -> None:
    model = load_model(imported(source, tmp_path / 'm'))
    (tmp_path / 'set').mkdir()
    names = ','.join(model.data.attributes)
    paths = [face(tmp_path / 'set' / f'{i}.png') for i in range(10)]
    (tmp_path / 'set' / 'labels.csv').write_text(f'file,{names}\n' + ''.join(f'{p.name}{",1" * (names.count(",") + 1)}\n' for p in paths))
    left, top = round((178 - crop) / 2), round((218 - crop) / 2)                       # torchvision's CenterCrop
    whole = Image.fromarray(pixels_of(paths[9])).crop((left, top, left + crop, top + crop)).resize((128, 128), Image.Resampling.BILINEAR)
    seen = Canvas.open(paths[9], None, None, model.data.frame).model_input(128)
    assert np.array_equal(((seen[0] + 1) * 127.5).round().transpose(1, 2, 0), np.asarray(whole))
    images, _ = held_out(model, str(tmp_path / 'set'), {}, None, 0, SILENT, part='whole')
    assert np.array_equal(images[9], np.asarray(whole))
    for i, path in enumerate(paths):                             # twice as large: the crop grows with the set
        face(path, 356, 436)
        if i == 9:
            images, _ = held_out(model, str(tmp_path / 'set'), {}, None, 0, SILENT, part='whole')
    assert model.data.frame.fitted(356, 436) == Frame(crop=2 * crop, crop_of=(356, 436))
    assert model.data.frame.fitted(512, 512) == Frame()


def test_drit_sees_the_middle_of_the_squashed_picture(tmp_path: Path) -> None:
    model = load_model(imported('drit', tmp_path / 'm'))
    rule = model.data.frame
    assert rule.window(256, 256) == (20, 20, 216, 216) and rule.window(512, 256) == (40, 20, 432, 216)
    with pytest.raises(ValueError, match='share'):
        Frame(share=0.5)
    for part in ('testA', 'testB'):
        (tmp_path / 'set' / part).mkdir(parents=True)
        face(tmp_path / 'set' / part / 'a.png', 256, 256)
    images, _ = held_out_of_domains(model, str(tmp_path / 'set'), None, SILENT, 'whole')
    pixels = pixels_of(tmp_path / 'set' / 'testA' / 'a.png')
    expected = np.asarray(Image.fromarray(pixels[20:236, 20:236]).resize((64, 64), Image.Resampling.BICUBIC))
    assert np.array_equal(images[0], expected)
    edit = Editor(model).translate(tmp_path / 'set' / 'testA' / 'a.png', 'B')
    assert not edit.mask[:20].any() and edit.mask[20:236, 20:236].all()


def test_what_was_imported_is_exported_with_what_it_lacks(tmp_path: Path) -> None:
    """One direction of two, a generator that cannot read labels, and terms, arrive in the file that needs no torch."""
    import_weights('cyclegan', write_files('cyclegan', tmp_path / 'a')[:1], tmp_path / 'a' / 'model', Asked(size=64))
    export_model(tmp_path / 'a' / 'model', tmp_path / 'a' / 'm.onnx', n=2)
    one_way = Editor.load(tmp_path / 'a' / 'm.onnx')
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype(np.uint8)
    assert np.asarray(one_way.translate(picture, 'B').image).shape == (48, 48, 3)
    with pytest.raises(ValueError, match='makes B of A, not A of B'):
        one_way.translate(picture, 'A')
    model = tmp_path / 'b' / 'model'
    import_weights('stargan', write_files('stargan', tmp_path / 'b')[:1], model, Asked(size=published('stargan')['size']))
    export_model(model, tmp_path / 'b' / 'm.onnx', n=2)
    blind = Editor.load(tmp_path / 'b' / 'm.onnx')
    name, *others = blind.data.attributes
    with pytest.raises(ValueError, match='cannot read what a picture shows'):
        blind.edit(picture, **{name: 1})
    edit = blind.edit(picture, source=dict.fromkeys((name, *others), 0), **{name: 1})
    assert edit.record['terms'] == load_model(model).terms and edit.record['terms'].startswith('not for commercial use')


def test_one_direction_is_one_line_for_the_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write_files('cyclegan', tmp_path)[0]
    path = str(face(tmp_path / 'a.png', 80, 60))
    assert main(['import', 'cyclegan', str(first), '--domains', 'horse,zebra', '--size', '64', '--out', str(tmp_path / 'm')]) == 0
    assert 'ask who published them' in capsys.readouterr().out
    for to, code in (('zebra', 0), ('horse', 2)):
        assert main(['edit', str(tmp_path / 'm'), path, '--to', to, '--out', str(tmp_path / 'out')]) == code
    err = capsys.readouterr().err.splitlines()[-1]
    assert 'this model makes zebra of horse alone' in err and 'KeyError' not in err
    model = load_model(tmp_path / 'm')
    images = np.zeros((4, 64, 64, 3), np.uint8)
    _, tasks = domain_folder_tasks(model.method, images, np.eye(2, dtype=np.float32)[[0, 0, 1, 1]], None)
    assert [task.name for task in tasks] == ['to=zebra']
    assert main(['evaluate', str(tmp_path / 'm')]) == 2 and 'brings no pictures' in capsys.readouterr().err


@pytest.mark.parametrize('source', ['attentiongan', 'aggan', 'asgit'])
def test_one_direction_of_every_such_system(source: str, tmp_path: Path) -> None:
    import_weights(source, write_files(source, tmp_path)[:1], tmp_path / 'm', Asked(size=64))
    with pytest.raises(ValueError, match='makes B of A alone'):
        load_model(tmp_path / 'm').method.translate(DomainRequest(picture(64), 'A'))


def test_two_files_are_told_by_their_names(tmp_path: Path) -> None:
    a, b = write_files('cyclegan', tmp_path)
    for name, files in (('1', [a, b]), ('2', [b, a])):
        import_weights('cyclegan', files, tmp_path / name, Asked(size=64))
    assert load_model(tmp_path / '1').weights_sha256 == load_model(tmp_path / '2').weights_sha256


def test_reading_gives_the_digest_of_the_file(tmp_path: Path) -> None:
    import hashlib

    buffer = io.BytesIO()
    torch.save({'a': torch.arange(3.0)}, buffer)
    (tmp_path / 'a.pth').write_bytes(buffer.getvalue())
    read = read_checkpoint(tmp_path / 'a.pth')
    assert read.sha256 == hashlib.sha256(buffer.getvalue()).hexdigest() and torch.equal(read.holds['a'], torch.arange(3.0))
