"""`retouch compare --suite`: its recipes, and the whole path on tiny ones: train, stop, go on, score, reuse, refuse, print."""
from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from retouch.cli.main import main
from retouch.engine.config import TrainConfig
from retouch.evaluation import suite
from retouch.methods.registry import METHODS
from retouch.recipes.registry import RECIPES, TABLES
from retouch.recipes.registry import load_run as load_any
from retouch.recipes.suite import BASES, BUDGET, READINGS, SUITES, images_seen, on_task
from retouch.run import Run
from tests.batches import TINY

ROWS = ('stargan.eyeglasses', 'munit.toyfaces', 'lomit.eyeglasses', 'pix2pix.eyeglasses')            # one of every kind
COMMAND = ['compare', '--suite', 'toyfaces', '--n', '10']


# ---- recipes

def test_every_row_is_its_small_recipe_on_one_task_and_one_budget() -> None:
    rows = SUITES['toyfaces']
    for name in rows:
        run = RECIPES[name]()
        assert images_seen(run) == BUDGET and (run.data.size, run.data.n, run.data.source) == (32, 4000, 'toyfaces'), name
        base = RECIPES['local.toyfaces64' if name == 'local.eyeglasses' else name.replace('eyeglasses', 'toyfaces')]()
        shape = {'iterations': base.train.iterations}
        assert run.method == base.method and run.train.model_copy(update=shape) == base.train
        known = {'attributes': 'attributes', 'exemplars': 'attributes', 'domains': 'attribute', 'pairs': 'edit'}[run.data.kind]
        assert getattr(run.data, known) in ('Eyeglasses', ('Eyeglasses',)) and not getattr(run.data, 'any_of', ())
        assert on_task(run) == run and (name in BASES) == (run != base)                # who is on the task already stays as it is
    own = {'classifier', 'parser'}                                                       # no translators
    own |= {'combogan'}                                                                  # of exclusive classes: not on this task
    assert {RECIPES[name]().method_id for name in rows} == set(METHODS) - own and len(rows) == 34
    others = {f'{method}.{row}' for method, recipes in TABLES.items() for row in recipes}
    assert set(BASES) == set(RECIPES) - others and set(BASES) <= set(rows)
    headline = {'cam.stargan_eyeglasses', 'asgit.toyfaces', 'aggan.toyfaces', 'lomit.eyeglasses', 'secgan.stargan_eyeglasses'}
    assert {name for name, seeds in rows.items() if seeds == (0, 1, 2)} == headline | {'stargan.eyeglasses', 'cyclegan.toyfaces'}


def test_readings_are_marked(repository: Path) -> None:
    heads = {name: sys.modules[cls.__module__].__doc__ or '' for name, cls in METHODS.items()}
    assert {name for name, head in heads.items() if head.startswith('A reading, not a reproduction.')} == set(READINGS)
    rows = suite.records_to_table(SUITES['toyfaces'], suite.COLUMNS, repository / 'nowhere').cells()
    assert {row[0] for row in rows if '†' in row[0]} == {'`contrastgan.toyfaces` †', '`diat.toyfaces` †', '`fal.eyeglasses` †'}


def test_every_row_comes_once_before_any_comes_again() -> None:
    chosen = suite.choose('toyfaces')
    assert len(chosen) == 34 + 2 * 7 and [seed for _, seed in chosen] == [0] * 34 + [1] * 7 + [2] * 7
    assert [recipe for recipe, _ in chosen[:34]] == list(SUITES['toyfaces'])
    assert suite.choose('toyfaces', ('aggan.toyfaces', 'munit.toyfaces'), (0, 2)) == [
        ('aggan.toyfaces', 0), ('munit.toyfaces', 0), ('aggan.toyfaces', 2)]


# ---- the whole path

def tiny(name: str) -> Run:
    """A recipe with the networks of its method's tiny form, which sees sixteen pictures."""
    run = load_any(name)
    small = {'method': TINY[run.method_id]().config, 'data': run.data.model_copy(update={'n': 24, 'size': 32}),
             'train': TrainConfig(iterations=1, batch_size=2, ema=0.9)}
    run = run.model_copy(update=small)
    return run.model_copy(update={'train': run.train.model_copy(update={'iterations': 16 // images_seen(run)})})


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the results, where rows are tiny."""
    monkeypatch.setenv('RETOUCH_RUNS', str(tmp_path / 'runs'))
    monkeypatch.setattr(suite, 'load_run', lambda name: tiny(str(name)) if str(name) in RECIPES else load_any(name))
    return tmp_path / 'runs' / 'leaderboard'


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Runs a command that must fail; returns its last line."""
    capsys.readouterr()
    assert main([*COMMAND, *arguments]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith('retouch: error: ')
    return line


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_rows_are_trained_once_go_on_where_they_stopped_and_are_reused(results: Path, capsys: pytest.CaptureFixture[str],
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    only = ['--only', *ROWS, '--seeds', '0']
    train, begun = suite.train_run, list[str]()

    def stopped(run: Run, out: Path, resume: str) -> tuple[Path, str]:
        begun.append(run.recipe)
        return train(run, out, resume) if run.recipe == ROWS[0] else (train(run, out, resume, stop_after=2)[0], 'interrupted')

    monkeypatch.setattr(suite, 'train_run', stopped)                                       # Ctrl-C in the second row
    assert main([*COMMAND, *only, '--threads', '1']) == 130 and begun == list(ROWS[:2])
    said = capsys.readouterr().out.splitlines()
    assert said == [f'interrupted, nothing is lost: {results}',
                    f'  retouch compare --suite toyfaces --only {" ".join(ROWS)} --seeds 0 --n 10 --threads 1']
    first = contents(results)
    assert list(first) == [f'{ROWS[0]}-s0.json']

    monkeypatch.setattr(suite, 'train_run', train)
    assert main([*COMMAND, *only, '--threads', '1']) == 0
    said = capsys.readouterr()
    assert '1 of 3: munit.toyfaces, seed 0' in said.err and 'resumed at iteration 2' in said.err
    lines = {line.split()[0]: line for line in said.out.splitlines() if line.strip()}
    assert '1 of 3' in lines['stargan.eyeglasses'] and '1 of 1' in lines['munit.toyfaces'] and 'not run' in lines['aggan.toyfaces']
    assert {'copy', 'truth'} <= set(lines) and '10 held out' in said.out
    after = contents(results)
    assert len(after) == 4 and after.items() >= first.items()
    for name in ROWS:
        record = json.loads(after[f'{name}-s0.json'])
        assert (record['recipe'], record['seed'], record['images_seen'], record['threads']) == (name, 0, 16, 1)
        assert record['commands'] == [f'retouch train {name} --seed 0', 'retouch evaluate RUN --protocol eyeglasses --n 10']
        assert record['card']['command'] == f'{record["commands"][1]} --seed 0' and record['card']['checkpoint']['name'] == name
        assert record['seconds'] > 0 < record['parameters'] and str(results.parent) not in json.dumps(record)

    # a row is the run that `retouch train` makes, whatever was trained before it in this process
    alone = results.parent.parent / 'alone'
    train(tiny('munit.toyfaces'), alone, show=False)
    weights = Path('model', 'model.safetensors')
    assert (alone / weights).read_bytes() == (results.parent / 'munit.toyfaces-s0' / weights).read_bytes()

    # a finished run is only scored, to the same record, and read alone; a record is reused
    run = results.parent / 'munit.toyfaces-s0'
    shutil.rmtree(run / 'state')
    (results / 'munit.toyfaces-s0.json').unlink()
    before = contents(run)
    monkeypatch.setattr(suite, 'train_run', lambda *options: pytest.fail('trained again'))
    assert main([*COMMAND, *only, '--threads', '1']) == 0
    assert contents(results) == after and contents(run) == before and '1 of 1: scoring munit.toyfaces' in capsys.readouterr().err

    # what there is can be printed without running anything
    elsewhere = results.parent.parent / 'elsewhere'
    shutil.copytree(results, elsewhere)
    assert main(['compare', '--suite', 'toyfaces', '--print', '--json', '--out', str(elsewhere)]) == 0
    rows = {row['name']: row for row in json.loads(capsys.readouterr().out)['rows']}
    value = json.loads(after['lomit.eyeglasses-s0.json'])['card']['measures']['psnr_truth']['value']
    assert rows['lomit.eyeglasses']['values']['psnr_truth'] == [value] and rows['lomit.eyeglasses']['seeds'] == [0]
    assert rows['truth']['values']['edit_accuracy'] != [None] and not rows['aggan.toyfaces']['seeds'] and len(rows) == 34 + 2

    # nothing that differs comes into one table, and no run of another recipe is taken up
    assert 'stargan.eyeglasses-s0.json has n 10, this suite has 9' in refused(capsys, *only, '--n', '9')
    assert "unknown model 'nowhere'" in refused(capsys, *only, '--parser', 'nowhere')
    for changes, words in (({'images_seen': 17}, 'saw 17 pictures'), ({'judge': 'other'}, 'has judge other')):
        record = json.loads(after['munit.toyfaces-s0.json'])
        record |= {'images_seen': changes.get('images_seen', 16)}
        record['card']['judge']['sha256'] = changes.get('judge', record['card']['judge']['sha256'])
        (elsewhere / 'munit.toyfaces-s0.json').write_text(json.dumps(record))
        assert words in (line := refused(capsys, '--print', '--out', str(elsewhere))) and line.endswith('and measure its row anew')
    (elsewhere / 'munit.toyfaces-s0.json').write_text('{}')
    assert 'munit.toyfaces-s0.json cannot be read (KeyError)' in refused(capsys, '--print', '--out', str(elsewhere))
    (results / 'munit.toyfaces-s0.json').unlink()
    path = run / 'run.json'
    for old, new, words in (('"lr": 0.0001', '"lr": 0.5', 'was trained with method.lr=0.5, munit.toyfaces has 0.0001'),
                            ('"pictures": "', '"pictures": "x', 'was trained on other pictures')):
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
        assert words in (line := refused(capsys, *only)) and line.endswith('or set RETOUCH_RUNS to another folder')
        path.write_text(text)
    text = after['stargan.eyeglasses-s0.json'].decode()
    (results / 'stargan.eyeglasses-s0.json').write_text(text.replace('"n_critic": 2', '"n_critic": 3'))
    assert 'has method.n_critic 3, this suite has 2' in refused(capsys, *only)


def test_the_parser_is_trained_first_and_once(results: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    only = ['--only', 'secgan.stargan_eyeglasses', '--seeds']
    assert main([*COMMAND, *only, '0']) == 0
    said, guide = capsys.readouterr(), results.parent / 'parser.toyfaces32-s0'
    assert said.err.index('the parser that guides SeCGAN and ContrastGAN') < said.err.index('1 of 1: secgan.stargan_eyeglasses')
    assert 'A frozen parser guides SeCGAN, 16 pictures and' in ' '.join(said.out.split())
    before = contents(guide)
    assert main([*COMMAND, *only, '1']) == 0 and contents(guide) == before
    shutil.copytree(guide / 'model', tmp_path / 'other')
    assert main([*COMMAND, *only, '2', '--parser', str(tmp_path / 'other')]) == 0
    records: list[dict[str, Any]] = [json.loads((results / f'secgan.stargan_eyeglasses-s{seed}.json').read_text()) for seed in (0, 1, 2)]
    sha256 = json.loads((guide / 'model' / 'config.json').read_text())['sha256']
    assert records[0]['parser'] == records[1]['parser'] and records[0]['parser'] | {'seconds': 0} == {
        'recipe': 'parser.toyfaces32', 'sha256': sha256, 'images_seen': 16, 'seconds': 0}
    assert records[2]['parser'] == {'recipe': None, 'sha256': sha256}
    for record in records:
        assert record['run']['method']['parser'] == 'PARSER' and record['commands'][0].endswith('--method.parser PARSER')
        assert str(tmp_path) not in json.dumps(record) and record['images_seen'] == 16
