"""The benchmark scripts at their smallest: a table of records as they are written, and the cases of a step."""
from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image

from retouch.data.batches import DataSpec
from retouch.engine.trainer import Trainer
from retouch.methods.stargan import StarGAN
from retouch.model import WEIGHTS, load_model, read_start, save_model
from retouch.recipes.suite import SUITES
from tests.batches import random_batch


def script(repository: Path, name: str) -> ModuleType:
    if (folder := str(repository / 'benchmarks')) not in sys.path:                   # scripts use one another
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(f'benchmarks_{name}', repository / 'benchmarks' / f'{name}.py')
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)          # dataclasses look there
    spec.loader.exec_module(module)
    return module


def record(recipe: str, seed: int, accuracy: float, **changes: Any) -> dict[str, Any]:
    """What `rows.py` writes of a row, as far as the table reads it."""
    measures = {'edit_accuracy': {'value': accuracy}, 'fid[toyfaces_classifier]': {'value': 40.0}}
    references = {name: {'edit_accuracy': {'value': value}} for name, value in {'copy': 0.0, 'truth': 1.0, 'untrained': 0.25}.items()}
    data = {'source': 'toyfaces', 'hash': 'faces', 'size': 32, 'attributes': ['Bangs']}
    card = {'protocol': 'toyfaces', 'n': 500, 'seed': 0, 'judge': {'sha256': 'one'}, 'data': data, 'measures': measures,
            'references': references, 'checkpoint': {'rule': 'last'}, 'hardware': 'a machine', 'versions': {}, **changes}
    return {'recipe': recipe, 'seed': seed, 'seconds': 1061.4, 'psnr_unedited': 30.0, 'card': card}


def test_rows_prints_what_there_is(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                   capsys: pytest.CaptureFixture[str]) -> None:
    rows = script(repository, 'rows')
    monkeypatch.setattr(rows, 'RESULTS', tmp_path)
    monkeypatch.setattr(sys, 'argv', ['rows.py', 'cam_stargan', '--print'])

    def write(*records: dict[str, Any]) -> None:
        for r in records:
            (tmp_path / f'{r["recipe"]}-s{r["seed"]}.json').write_text(json.dumps(r))

    write(record('stargan.toyfaces', 0, 0.5), record('stargan.toyfaces', 2, 0.75))
    rows.main()
    lines = capsys.readouterr().out.splitlines()
    cells = ['`stargan.toyfaces`', '2 of 3', '0.625 (0.500 to 0.750)', *'––––', '40 (40 to 40)', '30.00 (30.00 to 30.00)', '1,061']
    assert lines[2] == f'| {" | ".join(cells)} |'
    assert [line.split('|')[1].strip() for line in lines[-2:]] == ['copy', 'truth'] and 'untrained' not in '\n'.join(lines)
    assert lines[-2] == f'| {" | ".join(["copy", "", "0.000", *"–––––", "", ""])} |'
    assert sum('not run' in line for line in lines) == 4 and len({line.count('|') for line in lines}) == 1
    others = {'source': 'toyfaces', 'hash': 'others', 'size': 32, 'attributes': ['Bangs']}
    for changes, expected in [({'n': 200}, 'n 200, stargan.toyfaces-s0 has 500'), ({'judge': {'sha256': 'two'}}, 'judge two'),
                              ({'data': others}, 'data hash others')]:
        write(record('cam.stargan_toyfaces', 1, 0.5, **changes))
        with pytest.raises(SystemExit, match=f'^cam.stargan_toyfaces-s1 has {expected}.*measure its row anew$'):
            rows.main()
    write(record('cam.stargan_toyfaces', 1, 0.5))
    rows.main()
    assert '| `cam.stargan_toyfaces` | 1 of 3 | 0.500 |' in capsys.readouterr().out


def test_a_row_is_trained_scored_and_written(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from retouch.evaluation import suite
    from retouch.methods.stargan import StarGAN
    from retouch.recipes.registry import load_run

    rows = script(repository, 'rows')
    run = load_run('stargan.toyfaces')
    data = run.data.model_copy(update={'n': 12, 'attributes': ('Eyeglasses',)})
    run = run.model_copy(update={'method': StarGAN.tiny().config, 'data': data,
                                 'train': run.train.model_copy(update={'iterations': 2, 'batch_size': 2})})
    monkeypatch.setattr(suite, 'load_run', lambda name: run)
    monkeypatch.setattr(rows, 'RESULTS', tmp_path / 'results')
    monkeypatch.setenv('RETOUCH_RUNS', str(tmp_path / 'runs'))
    monkeypatch.setattr(sys, 'argv', ['rows.py', 'cam_stargan', '--only', 'stargan.toyfaces', '--seeds', '1', '--n', '4'])
    rows.main()
    (path,) = (tmp_path / 'results').iterdir()
    written = json.loads(path.read_text())
    assert path.name == 'stargan.toyfaces-s1.json' and written['seed'] == 1 and written['card']['protocol'] == 'toyfaces'
    assert written['commands'] == ['retouch train stargan.toyfaces --seed 1', 'retouch evaluate RUN --n 4']
    assert (written['images_seen'], written['threads']) == (4, 2) and written['psnr_unedited'] > 0
    assert str(tmp_path) not in path.read_text()


# ---- pages

@pytest.fixture
def leaderboard(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return script(repository, 'leaderboard')


def test_the_tables_of_all_pages_are_up_to_date(leaderboard: ModuleType) -> None:
    known, seen = leaderboard.tables(), list[str]()
    for page in leaderboard.PAGES:
        text = page.read_text(encoding='utf-8')
        assert leaderboard.renewed(text, known) == text, f'{page.name} is out of date: run python benchmarks/leaderboard.py'
        blocks = leaderboard.BLOCK.findall(text)
        assert len(blocks) == text.count('<!-- table ') == text.count('<!-- end -->')
        seen += blocks
    assert set(seen) == set(known) and len(seen) == 30                                 # every table there is, once


def test_the_sheet_shows_the_runs_that_were_scored(leaderboard: ModuleType, repository: Path, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from retouch.data.batches import DataSpec
    from retouch.editor.difference import difference_map
    from retouch.methods.stargan import StarGAN
    from retouch.model import save_model
    from retouch.report.gallery import eyeglasses_rows

    monkeypatch.setitem(sys.modules, 'leaderboard', leaderboard)
    gallery, run, out = script(repository, 'gallery'), tmp_path / 'stargan.eyeglasses-s1', tmp_path / 'sheet.png'
    monkeypatch.setattr(gallery, 'RESULTS', tmp_path)
    monkeypatch.setattr(sys, 'argv', ['gallery.py', '--runs', str(tmp_path), '--out', str(out)])
    method = StarGAN(StarGAN.tiny().config, DataSpec(size=32, attributes=('Eyeglasses',)))
    save_model(run / 'model', method, method.nets.state_dict(), {'recipe': 'stargan.eyeglasses'})
    model = gallery.load_model(run)
    path, scored = tmp_path / 'stargan.eyeglasses-s1.json', {'n': 12, 'seed': 0, 'data': {}, 'checkpoint': {'sha256': model.weights_sha256}}
    path.write_text(json.dumps({'recipe': 'stargan.eyeglasses', 'seed': 1, 'card': scored}))
    path.rename(tmp_path / 'elsewhere')
    with pytest.raises(ValueError, match='stargan.eyeglasses-s1 has no record stargan.eyeglasses-s1.json in .*: score it first'):
        gallery.main()
    (tmp_path / 'elsewhere').rename(path)
    gallery.main()
    assert capsys.readouterr().out.count(': no run in ') == len(SUITES['toyfaces']) - 1
    picture, faces = np.asarray(Image.open(out).convert('RGB')), eyeglasses_rows(model, 12, 0, gallery.FACES)
    side, left = 32 * gallery.ZOOM, gallery.LABEL
    assert picture.shape == (3 * side, left + 2 * gallery.FACES * side + gallery.GAP, 3)
    for line, panel in enumerate(('input', 'truth', 'edit')):
        shown = picture[line * side:(line + 1) * side:gallery.ZOOM, left:left + gallery.FACES * side:gallery.ZOOM]
        assert (shown == np.concatenate([face.panels[panel] for face in faces], 1)).all(), panel
    last = picture[side::gallery.ZOOM, -side::gallery.ZOOM]
    assert (last[:32] == difference_map(faces[-1].panels['truth'], faces[-1].panels['input'])).all()
    assert (last[32:] == faces[-1].panels['difference']).all() and (picture[:side, -side:] == 255).all()
    labels = [picture[line * side:(line + 1) * side, :left] for line in range(3)]
    assert [(label < 128).any() for label in labels] == [True] * 3 and (labels[0] != labels[2]).any()
    path.write_text(path.read_text().replace(model.weights_sha256, '0' * 64))
    with pytest.raises(ValueError, match=f'has weights {model.weights_sha256[:12]}…, the record of stargan.eyeglasses 000000000000…'):
        gallery.main()
    monkeypatch.setattr(sys, 'argv', ['gallery.py', '--runs', str(tmp_path / 'nowhere'), '--out', str(out)])
    with pytest.raises(ValueError, match='nowhere: no run of the suite'):
        gallery.main()


def test_what_stands_between_markers_is_replaced_and_nothing_else(leaderboard: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    page, other = tmp_path / 'page.md', tmp_path / 'other.md'
    page.write_text('before\n<!-- table toyfaces -->\n| 1 |\nold\n<!-- end -->\nby hand\n'
                    '<!-- table toyfaces short -->\n<!-- end -->\nafter\n')
    other.write_text('<!-- table -->\nno name\n<!-- end -->\n')
    monkeypatch.setattr(leaderboard, 'PAGES', (page, other))
    monkeypatch.setattr(leaderboard, 'RESULTS', tmp_path / 'nothing')
    leaderboard.main()
    text = page.read_text()
    assert text.startswith('before\n<!-- table toyfaces -->\n| recipe | seeds |') and 'old' not in text
    assert '<!-- end -->\nby hand\n<!-- table toyfaces short -->\n| recipe' in text and text.endswith('|\n<!-- end -->\nafter\n')
    assert text.count('| not run |') == 2 * len(SUITES['toyfaces']) and capsys.readouterr().out == f'written: {page}\n'
    leaderboard.main()
    assert page.read_text() == text and capsys.readouterr().out == ''                  # a second time there is nothing to do
    (tmp_path / 'page.md').write_text('<!-- table nosuch -->\n<!-- end -->\n')
    with pytest.raises(KeyError, match='nosuch'):
        leaderboard.main()


def test_committed_results_are_of_the_recipes_of_today(leaderboard: ModuleType) -> None:
    from retouch.evaluation import suite

    rows, seen = suite.choose('toyfaces'), 0
    for recipe, seed in rows:
        path = suite.record_path(leaderboard.RESULTS, recipe, seed)
        if path.is_file():
            suite.check_record(path, suite.load_row(recipe, seed), 500)
            seen += 1
    assert seen == len(list(leaderboard.RESULTS.iterdir())) >= 10


def test_every_table_names_recipes(repository: Path) -> None:
    from retouch.recipes.registry import RECIPES

    tables = script(repository, 'rows').TABLES
    assert {name: len(recipes) for name, recipes in tables.items()} == {'cam_stargan': 5, 'cam_attgan': 5, 'cam_stgan': 5, 'eyeglasses': 12,
                                                                         'parse_to_picture': 5, 'picture_to_parse': 5,
                                                                         'exemplars': 3, 'exemplars_of_five': 1,
                                                                         'secgan_stargan': 5, 'secgan_attgan': 2}
    assert {recipe for recipes in tables.values() for recipe in recipes} <= set(RECIPES)


def test_a_table_of_domain_systems_has_their_columns(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    rows = script(repository, 'rows')
    monkeypatch.setattr(rows, 'RESULTS', tmp_path)
    monkeypatch.setattr(sys, 'argv', ['rows.py', 'eyeglasses', '--print'])
    (tmp_path / 'aggan.toyfaces-s1.json').write_text(json.dumps({**record('aggan.toyfaces', 1, 0.9), 'psnr_unedited': None}))
    rows.main()
    lines = capsys.readouterr().out.splitlines()
    assert 'mask IoU' in lines[0] and 'unedited' not in lines[0] and '| `aggan.toyfaces` | 1 of 3 | 0.900 |' in lines[3]
    assert len(lines) == 16 and len({line.count('|') for line in lines}) == 1


def test_a_system_that_takes_an_exemplar_cannot_be_asked_to_leave_a_face_alone(repository: Path, tmp_path: Path) -> None:
    from retouch.methods.lomit import LOMIT
    from retouch.model import save_model

    tiny = LOMIT.tiny()
    save_model(tmp_path, tiny, {f'{n}.{k}': v for n in tiny.inference_nets for k, v in tiny.nets[n].state_dict().items()}, {})
    assert script(repository, 'rows').unedited(tmp_path, 2) is None


def test_every_case_of_step_runs(repository: Path) -> None:
    step = script(repository, 'step')
    o = argparse.Namespace(size=16, width=4, batch=2, rounds=1, threads=1, device='cpu')
    batch, cam = step.random_batch(o), step.cam
    runners = {f'{b} {a}': step.cycle_runner(step.trainer_of(b, a, o, n_critic=1), batch, o) for b in cam.BACKBONES for a in step.APPLY_TO}
    for penalty in ('autograd', 'closed_form'):
        runners[penalty] = step.cycle_runner(step.trainer_of('stargan', 'none', o, penalty=penalty), batch, o, only='D')
    runners |= {norm: step.norm_runner(norm, batch, o) for norm in ('InstanceNorm2d', 'instance_norm')}
    pictures = step.domain_batch(o)
    systems = {row: step.domain_trainer(row, o) for row in step.DOMAINS}
    runners |= {row: step.cycle_runner(trainer, pictures, o) for row, trainer in systems.items()}
    o32 = argparse.Namespace(**{**vars(o), 'size': 32})          # a parser's least size
    trainers = {f'{b} {row}': step.secgan_trainer(b, row, o32, n_critic=1) for b in ('stargan', 'attgan') for row in step.SECGAN}
    runners |= {name: step.cycle_runner(trainer, step.random_batch(o32), o32) for name, trainer in trainers.items()}
    edits = {f'{name} edits': step.edit_runner(trainer, step.random_batch(o32), o32) for name, trainer in trainers.items()}
    assert all(run().keys() == {'all'} for run in edits.values()) and len(edits) == 8
    runners |= {row: step.cycle_runner(step.exemplar_trainer(row, o), step.exemplar_batch(row, o), o) for row in step.EXEMPLARS}
    assert len(runners) == 35 and step.store_bytes(systems['cyclegan']) == 0 and step.store_bytes(systems['asgit tam rhp']) == 4 * 4 * 4
    for name, run in runners.items():
        seconds = run()
        assert set(seconds) >= ({'all', 'D'} if 'norm' not in name.lower() else {'all'}) and all(math.isfinite(s) for s in seconds.values())
    rows = step.compare('secgan', {row: runners[f'stargan {row}'] for row in step.SECGAN}, o)
    assert 'ratio_D_seg' not in rows[1] and rows[1]['D_seg_step_s'] > 0 and rows[1]['ratio_all'] > 0 and 'D_seg_step_s' not in rows[0]
    rows = step.compare('norm', {name: run for name, run in runners.items() if 'norm' in name.lower()}, o)
    assert [row['row'] for row in rows] == ['InstanceNorm2d', 'instance_norm'] and rows[0]['ratio_all'] == 1


def test_the_bare_loop_learns_what_the_engine_does_and_makes_no_fake_twice(repository: Path) -> None:
    """Otherwise it would be slower than it need be, and what the engine adds too small."""
    overhead, trainers, passes = script(repository, 'overhead'), list[Trainer](), [0, 0]
    batch = random_batch('attributes', StarGAN.tiny().data)
    for i in range(2):
        torch.manual_seed(0)
        trainers.append(Trainer(StarGAN.tiny(), Fabric(accelerator='cpu', devices=1), 1000))

        def count(*_: Any, i: int = i) -> None:
            passes[i] += 1
        trainers[i].trainable.nets['G'].register_forward_hook(count)
    engine, bare = trainers
    for _ in range(4):
        engine.train_iteration(batch)
    overhead.bare_loop(bare, batch, 4)
    assert passes == [6, 6], 'of two iterations in a cycle one has D alone, the other one fake and its way back'
    for p, q in zip(engine.module.parameters(), bare.module.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-5)
        assert not q.requires_grad


SOLVER = '''"""A stand-in for a checkout: the least that has the shape of yunjey/stargan's."""
from retouch.networks.stargan import Discriminator, Generator
from model import CALLED


class Solver:
    def __init__(self, celeba_loader, rafd_loader, config):
        self.loader, self.config = celeba_loader, config
        self.G = Generator(config.c_dim, config.g_conv_dim, config.g_repeat_num)
        self.D = Discriminator(config.c_dim, config.image_size, config.d_conv_dim, config.d_repeat_num)

    def train(self):
        CALLED.append(self.config.num_iters)
        return [net(*args) for net, args in ((self.D, self.loader[0][:1]), (self.G, self.loader[0]))]
'''


def test_theirs_and_ours_by_turns(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                  capsys: pytest.CaptureFixture[str]) -> None:
    peers = script(repository, 'peers')
    (tmp_path / 'peers' / 'stargan').mkdir(parents=True)
    (tmp_path / 'peers' / 'stargan' / 'solver.py').write_text(SOLVER)
    (tmp_path / 'peers' / 'stargan' / 'model.py').write_text('CALLED = []\n')
    known, shape = peers.SYSTEMS['stargan'], (16, 4, 2)
    monkeypatch.setitem(peers.SYSTEMS, 'stargan', (known[0], known[1], shape, shape))
    out = ['--out', str(tmp_path / 'out')]

    def run(*words: str) -> str:
        monkeypatch.setattr(sys, 'argv', ['peers.py', *words])
        peers.main()
        return capsys.readouterr().out

    printed = run('--peers', str(tmp_path / 'peers'), '--systems', 'stargan', '--rounds', '2', '--no-memory', *out)
    row = json.loads((tmp_path / 'out' / 'stargan-small-1.json').read_text())
    assert row['rounds'] == 2 and row['threads'] == 1 and row['parameters'] == peers.authors.parameters(
        list(StarGAN(StarGAN.Config(width_g=4, width_d=4), DataSpec(size=16, attributes=peers.ATTRIBUTES)).nets.values()))
    assert set(row['sides']) == {'theirs', '32', 'bf16-mixed'} and 'process_ratio' not in row['sides']['theirs']
    for side in ('32', 'bf16-mixed'):
        middle, least, largest = row['sides'][side]['process_ratio']
        assert 0 < least <= middle <= largest < 1, 'a stand-in that only looks is faster'
    assert run('--print', *out) == printed and '| `stargan` | 16, 4, 2 |' in printed
    assert not {'solver', 'model', 'tensorboardX'} & sys.modules.keys(), 'nothing of a checkout stays'
    listed = run('--list').splitlines()
    assert len(listed) == 8 and 'git clone https://github.com/yunjey/stargan DIR/stargan && git -C DIR/stargan checkout 94dd002' in listed
    monkeypatch.setitem(peers.SYSTEMS, 'stargan', (known[0], {'blocks': 2}, shape, shape))
    with pytest.raises(SystemExit, match='stargan small: parameters .*expected the same'):
        run('--peers', str(tmp_path / 'peers'), '--systems', 'stargan', '--no-memory', *out)


def test_ratios_of_turns_by_hand(repository: Path) -> None:
    peers = script(repository, 'peers')
    found = peers.summary({'process': {'theirs': [1.0, 2.0, 4.0], '32': [1.0, 1.0, 1.0]},
                           'wall': {'theirs': [3.0, 3.0, 3.0], '32': [1.0, 2.0, 6.0]}})
    assert found['theirs'] == {'process_s': 2.0, 'wall_s': 3.0}
    assert found['32'] == {'process_s': 1.0, 'wall_s': 2.0, 'process_ratio': [2.0, 1.0, 4.0], 'wall_ratio': [1.5, 0.5, 3.0]}
    seen: list[str] = []
    seconds = peers.turns({side: lambda side=side: seen.append(side) for side in ('theirs', '32')}, 2)
    assert seen == ['32', 'theirs', 'theirs', '32', '32', 'theirs'] and [len(v) for v in seconds['wall'].values()] == [2, 2]


def test_the_page_shows_what_was_measured(repository: Path) -> None:
    peers = script(repository, 'peers')
    rows = [json.loads(path.read_text()) for path in peers.RESULTS.glob('*.json')]
    page, seen = (repository / 'docs' / 'performance.md').read_text(encoding='utf-8'), {(r['set'], r['threads']) for r in rows}
    assert ('small', 1) in seen
    for which, threads in seen:
        assert peers.table(rows, which, threads) in page, f'{which}, {threads}: put what benchmarks/peers.py --print prints on the page'


def test_every_system_of_the_comparison_is_the_released_code(repository: Path) -> None:
    """Its parameters, at the widths and sizes that docs/parity.md counts."""
    peers = script(repository, 'peers')
    assert set(peers.SYSTEMS) == set(peers.authors.SYSTEMS) == set(peers.authors.NEEDS) and len(peers.SYSTEMS) == 12
    counts = {'cyclegan': (256, 2 * 11_378_179 + 2 * 2_764_737), 'aggan': (256, 2 * 7_931_332 + 2 * 6_953_793), 'lomit': (128, None),
              'pix2pix': (256, 54_413_955 + 2_768_705), 'munit': (256, 2 * 15_026_187 + 2 * 8_271_171)}
    for name, (size, count) in counts.items():
        system, changes, *_ = peers.SYSTEMS[name]
        data = {'attributes': peers.ATTRIBUTES[:4]} if name == 'lomit' else {'domains': ('A', 'B')}
        with torch.device('meta'):
            nets = system(system.Config(**changes), DataSpec(size=size, **data)).nets
        assert peers.authors.parameters(list(nets.values())) == (count or 18_120_588 + 44_753_861), name


def test_unedited_faces_are_compared_as_bytes(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = script(repository, 'rows')
    images, labels = np.full((3, 16, 16, 3), 100, np.uint8), np.zeros((3, len(rows.toyfaces.ATTRIBUTES)), np.uint8)
    monkeypatch.setattr(rows, 'held_out_faces', lambda n, size: (images, labels))
    for added, expected in ((0.0, None), (1 / 127.5, 48.13)):    # nothing, and one level everywhere: 20 log10(255)
        method = SimpleNamespace(translate=lambda request, added=added: SimpleNamespace(image=request.image + added), kind='attributes')
        model = SimpleNamespace(method=method, data=SimpleNamespace(size=16, attributes=('Bangs', 'Eyeglasses')))
        monkeypatch.setattr(rows, 'load_model', lambda run, model=model: model)
        assert rows.unedited(Path('run'), 3) == expected


def test_what_bad_input_calls_a_fault(repository: Path) -> None:
    fault = script(repository, 'bad_input').fault
    good = 'note: of the cache\nretouch: error: --n -3: expected at least 2\n'
    assert fault('refused', 2, good) is None and fault('either', 0, 'done\n') is None
    assert fault('refused', 1, 'error: a.png\nnext: repair the errors above\n') is None                # `data check`
    for wants, status, said, words in (
            ('refused', 0, 'done\n', 'taken in silence'), ('works', 2, good, 'refused'), ('either', 2, 'Traceback\n' + good, 'a traceback'),
            ('either', 1, 'retouch: error: KeyError (a fault of retouch)\n', 'status 1'), ('either', -9, '', 'status -9'),
            ('either', 2, good + 'more\n', '1 error lines, not the last ones'), ('either', 2, '', '0 error lines'),
            ('either', 2, 'retouch: error: no\n', 'neither an expectation nor a fix'),
            ('either', 2, f'retouch: error: expected {"x" * 2000}\n', 'a line of 2025 characters')):
        assert str(fault(wants, status, said)).startswith(words), (wants, status, said)


def test_safetensors_that_lie_are_refused(repository: Path, tmp_path: Path) -> None:
    bad_input, method = script(repository, 'bad_input'), StarGAN.tiny()
    save_model(tmp_path, method, {f'{n}.{k}': v for n in method.inference_nets for k, v in method.nets[n].state_dict().items()}, {})
    cases = list(bad_input.weights((tmp_path / WEIGHTS).read_bytes()))
    assert len(cases) == 24
    for name, payload in cases:
        (tmp_path / WEIGHTS).write_bytes(payload)
        for read in (load_model, read_start):
            with pytest.raises(ValueError, match=f'{WEIGHTS} .*expected'):
                read(tmp_path)
                pytest.fail(name)


@pytest.mark.slow
def test_kills_lose_nothing(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(repository / 'benchmarks' / 'endurance.py'), str(tmp_path), '--kills', '20', '--only', 'kills', 'clock']
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'every round ended bit for bit as the undisturbed one' in done.stdout


def test_a_class_that_is_not_shipped_changes_no_other(repository: Path) -> None:
    """Scores, readings and edits of the classes that stay, before and after one between them is taken out of the weights."""
    from retouch.data.batches import DataSpec
    from retouch.engine.update import AttributeRequest
    from retouch.methods.local import Config, Local

    torch.manual_seed(0)
    whole = Local(Config(labels='single', width_g=4, width_d=4, blocks=1, upsample='resize', skips=True, noise=1),
                  DataSpec(size=16, attributes=('A', 'B', 'C')))
    weights = {f'{n}.{k}': v for n in whole.inference_nets for k, v in whole.nets[n].state_dict().items()}
    left, _ = script(repository, 'ship').without(whole, weights, 'B')
    x, a, b = torch.rand(2, 3, 16, 16) * 2 - 1, torch.tensor([[1., 0, 0]] * 2), torch.tensor([[0., 0, 1]] * 2)
    assert left.data.attributes == ('A', 'C')
    with torch.no_grad():
        for before, after in zip(whole.nets['D'].scores(whole.nets['D'].features(x), a),
                                 left.nets['D'].scores(left.nets['D'].features(x), a[:, [0, 2]]), strict=True):
            torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6)
        logits = [method.nets['D'].logits(method.nets['D'].features(x)) for method in (whole, left)]
        torch.testing.assert_close(logits[1], logits[0][:, [0, 2]])
        edits = [method.translate(AttributeRequest(x, p, q)).image for method, p, q in ((whole, a, b), (left, a[:, [0, 2]], b[:, [0, 2]]))]
    torch.testing.assert_close(edits[1], edits[0], rtol=1e-5, atol=1e-6)
    assert float((edits[0] - x).abs().max()) > 0.01


def test_a_shipped_editor_can_be_read_for_by_another_runs_critic(repository: Path) -> None:
    """Edits are the run's, readings the reader's; one that sees colours otherwise is refused."""
    from retouch.engine.update import AttributeRequest
    from retouch.methods.local import Config, Local

    def local(**changes: Any) -> Local:
        return Local(Config(width_g=4, blocks=1, **changes), DataSpec(size=16, attributes=('A', 'B')))

    torch.manual_seed(0)
    run, reader = local(width_d=8, scales='fine', attended=0.5), local(width_d=4)
    weights = {f'{n}.{k}': v for n in run.inference_nets for k, v in run.nets[n].state_dict().items()}
    ship = script(repository, 'ship')
    both, found = ship.with_reader(run, weights, reader)
    x, a, b = torch.rand(2, 3, 16, 16) * 2 - 1, torch.tensor([[1., 0]] * 2), torch.tensor([[0., 1]] * 2)
    assert both.config.width_d == 4 and both.config.attended == 0.5 and set(found) == {f'{n}.{k}' for n, net in both.nets.items()
                                                                                       for k in net.state_dict()}
    with torch.no_grad():
        assert torch.equal(both.translate(AttributeRequest(x, a, b)).image, run.translate(AttributeRequest(x, a, b)).image)
        assert torch.equal(both.read(x), reader.read(x)) and not torch.equal(both.read(x), run.read(x))
    with pytest.raises(ValueError, match='expected data, labels, colours and bound of the run'):
        ship.with_reader(run, weights, local(width_d=4, colours='relative'))


def test_a_shipped_editor_edits_by_settings_of_its_own(repository: Path) -> None:
    """The weights stay; a setting that the method has not is refused."""
    from retouch.methods.local import Config, Local

    torch.manual_seed(0)
    run = Local(Config(width_g=4, width_d=4, blocks=1, lambda_rec=5), DataSpec(size=16, attributes=('A', 'B')))
    weights = {f'{n}.{k}': v for n in run.inference_nets for k, v in run.nets[n].state_dict().items()}
    ship = script(repository, 'ship')
    other = ship.with_settings(run, weights, ['mirrored=true', 'visible=0.08'])
    assert other.config == run.config.model_copy(update={'mirrored': True, 'visible': 0.08}) and not run.config.mirrored
    for key, value in run.nets.state_dict().items():
        assert torch.equal(other.nets.state_dict()[key], value), key
    with pytest.raises(ValueError, match='miroured'):
        ship.with_settings(run, weights, ['miroured=true'])


def test_a_row_that_was_stopped_leaves_no_record(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand before its seconds are over, or before its last iteration: neither is scored, nor taken for done by the next call."""
    bench = script(repository, 'equal_seconds')
    monkeypatch.setattr(bench, 'RESULTS', tmp_path / 'results')
    monkeypatch.setattr(bench, 'runs_folder', lambda: tmp_path / 'runs')
    monkeypatch.setattr(bench, 'open_set', lambda data: None)
    monkeypatch.setattr(bench, 'evaluate', lambda request: pytest.fail('scored'))
    monkeypatch.setattr(bench.signal, 'setitimer', lambda *_: None)                    # the seconds are never over
    monkeypatch.setattr(bench.signal, 'signal', lambda *_: None)

    def stopped_by_hand(run: Any, out: Path, _: None) -> None:
        (out / 'model').mkdir(parents=True, exist_ok=True)
        (out / 'model' / 'config.json').write_text('{"info": {"iteration": 3}}')

    monkeypatch.setattr(bench, 'train_run', stopped_by_hand)
    for iterations in (None, 5):
        with pytest.raises(SystemExit, match='local: stopped before its end; remove .* and start again'):
            bench.measure('faces', 'local', 0, 240, iterations, 150, None, None, None)
    assert not (tmp_path / 'results').exists() and not list(tmp_path.rglob('seconds.json'))


def test_other_systems_with_the_critic_of_local_have_its_losses(repository: Path) -> None:
    """On the same edit, by the same weights, AGGAN-multi's two losses in `labelled` are those of `local`; R1 is due and not."""
    from retouch.methods.aggan_multi import Config as Theirs
    from retouch.methods.local import Config, Local

    data = DataSpec(size=16, attributes=('Black_Hair', 'Blond_Hair', 'Eyeglasses'))
    torch.manual_seed(0)
    ours = Local(Config(width_d=4, width_g=4, blocks=1, lambda_cls=2, lambda_rec=5, lambda_area=0.1, lambda_binary=0.2), data)
    other = script(repository, 'labelled').LabelledAGGANMulti(
        Theirs(width_d=4, width_g=4, blocks=1, lambda_adv=1, lambda_cls=2, lambda_rec=5, lambda_area=0.1, lambda_binary=0.2), data)
    other.nets['D'].load_state_dict(ours.nets['D'].state_dict())
    for iteration in (0, 1):
        batch = random_batch('attributes', data, iteration=iteration)
        made = other.generate(batch.image, batch.labels, batch.target)
        ours.generate = lambda *_, made=made: made                                     # type: ignore[method-assign]
        other.generate = lambda *_, made=made: made                                    # type: ignore[method-assign]
        for mine, theirs in ((ours.critic_step, other.discriminator_step), (ours.generator_step, other.generator_step)):
            torch.testing.assert_close(theirs(batch, {}).loss, mine(batch, {}).loss)
        del other.generate


def test_cam_and_secgan_stand_with_the_critic_of_local(repository: Path) -> None:
    """Both train on it, CAM looks at its maps, SeCGAN's semantic branch keeps its own critic; outside all is as it was."""
    from retouch.methods.cam import CAM
    from retouch.methods.secgan import SeCGAN
    from retouch.networks.stargan import Discriminator

    labelled = script(repository, 'labelled')
    with labelled.labelled():
        methods = CAM.tiny(), SeCGAN.tiny()
    for method in methods:
        assert isinstance(method.nets['D'], labelled.LabelledCritic)
        trainer = Trainer(method, Fabric(accelerator='cpu', devices=1), iterations=10)
        before = {k: v.clone() for k, v in method.nets['D'].state_dict().items()}
        trainer.train_iteration(random_batch('attributes', method.data))
        after = method.nets['D'].state_dict()
        assert all(not torch.equal(before[k], after[k]) for k in before)
    assert type(methods[1].nets['D_seg']) is Discriminator and type(CAM.tiny().nets['D']) is Discriminator
