"""The Python door does what the commands do, says what they say, and prints and exits nothing."""
from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import retouch
from retouch import compare, evaluate, load_run, train
from retouch.cli.main import main
from retouch.engine.state import load_state
from retouch.errors import missing_extra
from retouch.evaluation.evaluate import Request, Scored
from retouch.evaluation.ledger import Ledger
from retouch.evaluation.tallies import read_tallies
from retouch.metrics.features import load_lpips
from retouch.model import load_model

SMALL = {'data.n': 24, 'data.size': 16, 'method.width_g': 4, 'method.width_d': 4, 'method.blocks': 1, 'train.batch_size': 2,
         'train.iterations': 4, 'train.log_every': 1}
OPTIONS = [word for name, value in SMALL.items() for word in (f'--{name.replace("_", "-")}', str(value))]


@pytest.fixture(scope='module')
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One run by the command and one by the door."""
    a, b = (tmp_path_factory.mktemp('runs') / name for name in 'ab')
    assert main(['train', 'aggan_multi.demo', '--out', str(a), '--seed', '1', *OPTIONS]) == 0
    assert train('aggan_multi.demo', out=b, seed=1, **SMALL) == b
    return a, b


def weights(run: Path) -> bytes:
    return (run / 'model' / 'model.safetensors').read_bytes()


def test_the_door_is_open_whatever_was_imported_before() -> None:
    for before in ('', 'import retouch.training, retouch.evaluation.evaluate, retouch.evaluation.comparison, retouch.editor.editor\n'):
        code = f'{before}from retouch import Editor, train, evaluate, compare, load_run\nassert all(map(callable, (train, evaluate)))'
        subprocess.run([sys.executable, '-c', code], check=True)
    code = 'import sys, retouch; assert not {"torch", "pydantic", "numpy"} & set(sys.modules); assert retouch.__version__'
    subprocess.run([sys.executable, '-c', code], check=True)
    with pytest.raises(AttributeError, match='nothing'):
        retouch.nothing                                          # noqa: B018


def test_training_as_the_command_does(runs: tuple[Path, Path]) -> None:
    a, b = runs
    assert weights(a) == weights(b)
    records = [json.loads((run / 'run.json').read_text()) for run in runs]
    assert records[0]['run'] == records[1]['run'] and records[1]['command'] == "retouch.train('aggan_multi.demo', …)"


def test_nothing_is_printed_and_the_callers_random_numbers_stay(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    train('aggan_multi.demo', out=tmp_path / 'run', **SMALL)
    evaluate(tmp_path / 'run', n=2)
    assert capfd.readouterr() == ('', '')
    train(tmp_path / 'run', resume='auto', progress=True)
    assert 'resumed at iteration 4' in capfd.readouterr().err
    assert torch.equal(torch.get_rng_state(), before[0]) and (np.random.get_state()[1].tolist(), random.getstate()) == before[1:]


def test_every_log_line_is_told_and_an_exception_saves(tmp_path: Path, runs: tuple[Path, Path]) -> None:
    told: list[tuple[int, set[str]]] = []

    def stop_at_two(iteration: int, row: dict[str, float]) -> None:
        told.append((iteration, set(row)))
        if iteration == 2:
            raise RuntimeError('enough')

    out = tmp_path / 'run'
    with pytest.raises(RuntimeError, match='enough'):
        train('aggan_multi.demo', out=out, on_log=stop_at_two, seed=1, **SMALL)
    assert [i for i, _ in told] == [1, 2] and 'G.rec' in told[0][1] | told[1][1] and load_state(out / 'state')['iteration'] == 2
    assert len((out / 'time.jsonl').read_text().splitlines()) == 1                     # the leg took its time all the same
    train(out, resume='auto', on_log=lambda iteration, row: told.append((iteration, set(row))))
    assert [i for i, _ in told] == [1, 2, 3, 4] and weights(out) == weights(runs[0])


def test_an_exception_of_the_callback_is_its_own(tmp_path: Path) -> None:
    def fail(iteration: int, row: dict[str, float]) -> None:
        raise ModuleNotFoundError("No module named 'sklearn'", name='sklearn')

    with pytest.raises(ModuleNotFoundError, match='sklearn'):
        train('aggan_multi.demo', out=tmp_path / 'run', on_log=fail, **SMALL)


def test_interrupted_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('retouch.training.fit', lambda *arguments: 'interrupted')
    with pytest.raises(KeyboardInterrupt):
        train('aggan_multi.demo', out=tmp_path / 'run', **SMALL)


def test_another_thread_may_call(tmp_path: Path, runs: tuple[Path, Path]) -> None:
    done: list[object] = []

    def work() -> None:
        done.append(train('aggan_multi.demo', out=tmp_path / 'run', seed=1, **SMALL))
        done.append(evaluate(tmp_path / 'run', n=2).n)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(120)
    assert done == [tmp_path / 'run', 2] and weights(tmp_path / 'run') == weights(runs[0])


def test_changes_are_values_or_text(runs: tuple[Path, Path]) -> None:
    from retouch.api import resolve

    run, out = resolve('aggan_multi.demo', {'data.attributes': ('Bangs', 'Smiling'), 'train.ema': None, 'seed': 3, 'method.lr': '1e-5'})
    assert run.data.attributes == ('Bangs', 'Smiling') and run.train.ema is None and run.seed == 3 and out is None
    assert resolve('aggan_multi.demo', {'data.attributes': 'Bangs,Smiling', 'train.ema': 'none'})[0].data.attributes == ('Bangs', 'Smiling')
    assert resolve(runs[0], {}, resume='auto')[1] == runs[0] and resolve(runs[0], {})[1] is None
    assert load_run(runs[0]) == load_run(runs[1]) == resolve(load_run(runs[0]), {})[0]


def test_scores_and_comparisons_as_the_commands_print_them(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    a, b = runs
    cards = [evaluate(run, n=4, out=run) for run in runs]
    assert main(['evaluate', str(a), '--n', '4', '--json']) == 0
    assert json.loads(capsys.readouterr().out) == cards[0].model_dump(mode='json')
    assert evaluate(load_model(a), n=4).measures == cards[0].measures and read_tallies(a)
    comparison = compare([a, str(b)])
    assert list(comparison.rows)[:2] == [str(a), str(b)] and comparison.differences[str(b)]['psnr_outside'].value == 0
    assert comparison.to_markdown().startswith('| model | edit_accuracy |')
    assert main(['compare', str(a), str(b), '--json']) == 0
    assert json.loads(capsys.readouterr().out) == comparison.model_dump(mode='json')


def test_every_argument_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[Request]()

    def score(request: Request, ledger: object, progress: object) -> Scored:
        asked.append(request)
        return Scored(None, None, None)                          # type: ignore[arg-type]

    monkeypatch.setattr('retouch.evaluation.evaluate.evaluate', score)
    given = {'protocol': 'cam', 'n': 7, 'seed': 3, 'judge': 'j', 'parser': 'p', 'weights': 'w', 'download': True, 'proxy': True, 'size': 9,
             'device': 'cpu'}
    evaluate('m', data=Path('d'), features=['judge'], **given)
    assert asked == [Request('m', data='d', features=('judge',), **given)]
    evaluate('m', data=(Path('a'), 'b'))
    assert asked[1] == Request('m', data='a,b')


def test_a_model_without_a_card_is_evaluated(runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = shutil.copytree(runs[0] / 'model', tmp_path / 'alone')
    card = evaluate(runs[1], n=4)
    seen = list[object]()

    def score(request: Request, ledger: Ledger, progress: object) -> Scored:
        seen.append(request.model)
        return Scored(card, None, None)                          # type: ignore[arg-type]

    monkeypatch.setattr('retouch.evaluation.evaluate.evaluate', score)
    assert list(compare([alone]).rows)[0] == str(alone) and seen == [alone]


@pytest.mark.parametrize('call', [
    lambda: train(5), lambda: train(None), lambda: train('aggan_multi.demo', out=5), lambda: train('aggan_multi.demo', stop_after='2'),
    lambda: train('aggan_multi.demo', stop_after=-3), lambda: train('aggan_multi.demo', on_log='abc'), lambda: load_run(4),
    lambda: train('aggan_multi.demo', recipe='foo'), lambda: train('aggan_multi.demo', data=('a', 'b', 'c')),
    lambda: train('aggan_multi.demo', seed='a'), lambda: train('aggan_multi.demo', resume=True), lambda: evaluate(None),
    lambda: evaluate(3),
    lambda: evaluate('toyfaces', n='4'), lambda: evaluate('toyfaces', n=4.0), lambda: evaluate('toyfaces', seed=None),
    lambda: evaluate('toyfaces', features='judge'), lambda: evaluate('toyfaces', features=None), lambda: evaluate('toyfaces', protocol=3),
    lambda: evaluate('toyfaces', judge=4), lambda: evaluate('toyfaces', out=__file__), lambda: evaluate('toyfaces', out=f'{__file__}/x'),
    lambda: compare('toyfaces'), lambda: compare(None), lambda: compare([5]), lambda: compare([]),
    lambda: compare(['toyfaces'], device='tpu'), lambda: evaluate('toyfaces', device='tpu'),
])
def test_wrong_kinds_of_arguments_are_one_line(call: object) -> None:
    with pytest.raises(ValueError) as error:
        call()                                                   # type: ignore[operator]
    assert str(error.value).count('\n') == 0 and re.search('expected|should be', str(error.value))


def test_a_run_file_of_something_else_is_one_line(tmp_path: Path) -> None:
    for content in (b'5', b'{"run": 5}', b'\xff\xfe', b'{'):
        (path := tmp_path / 'run.json').write_bytes(content)
        with pytest.raises(ValueError, match='run.json .*: expected the run.json that a training wrote'):
            load_run(path)


@pytest.mark.parametrize(('call', 'words'), [
    (lambda: train('aggan_multi.dmeo'), ['train', 'aggan_multi.dmeo']),
    (lambda: train('aggan_multi.demo', **{'train.iterationz': 1}), ['train', 'aggan_multi.demo', '--train.iterationz', '1']),
    (lambda: train('aggan_multi.demo', data='nowhere'), ['train', 'aggan_multi.demo', '--data', 'nowhere']),
    (lambda: train('stargan.toyfaces', **{'method.lr': 'fast'}), ['train', 'stargan.toyfaces', '--method.lr', 'fast']),
    (lambda: evaluate('toyfcaes'), ['evaluate', 'toyfcaes']),
    (lambda: evaluate('toyfaces', n=1), ['evaluate', 'toyfaces', '--n', '1']),
    (lambda: evaluate('toyfaces', protocol='pairs'), ['evaluate', 'toyfaces', '--protocol', 'pairs']),
    (lambda: evaluate('toyfaces', judge='toyfaces'), ['evaluate', 'toyfaces', '--judge', 'toyfaces']),
    (lambda: compare(['toyfaces', 'nowhere']), ['compare', 'toyfaces', 'nowhere']),
])
def test_mistakes_are_the_commands_own(call: object, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError) as error:
        call()                                                   # type: ignore[operator]
    assert main(words) == 2
    assert capsys.readouterr().err == f'retouch: error: {" ".join(str(error.value).split())}\n'


@pytest.mark.parametrize(('package', 'extra', 'words'), [
    ('lightning_fabric', 'train', ['train', 'aggan_multi.demo', '--dry-run']),
    ('torch_fidelity', 'evaluate', ['compare', 'toyfaces']), ('torchvision', 'evaluate', ['evaluate', 'toyfaces'])])
def test_a_missing_extra_is_named(package: str, extra: str, words: list[str]) -> None:
    script = (f'import sys\nsys.modules[{package!r}] = None\nfrom retouch.cli.main import main\nfrom retouch import {words[0]}\n'
              f'status = main(sys.argv[1:])\ntry:\n    {words[0]}({"[" if words[0] == "compare" else ""}{words[1]!r}'
              f'{"]" if words[0] == "compare" else ""})\nexcept ValueError as error:\n    print(error)\nsys.exit(status)')
    done = subprocess.run([sys.executable, '-c', script, *words], capture_output=True, text=True, timeout=120)
    line = f"{package.replace('_', '-')} is not installed: pip install 'retouch[{extra}]'\n"
    assert (done.returncode, done.stderr, done.stdout) == (2, f'retouch: error: {line}', line), done


def test_lpips_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'torchmetrics.functional.image.lpips', None)
    with pytest.raises(ModuleNotFoundError) as error:
        load_lpips(Path('alexnet.pth'))
    assert missing_extra(error.value) == "torchmetrics is not installed: pip install 'retouch[evaluate]'"


def test_listing_and_editing_need_no_extra(tmp_path: Path) -> None:
    script = ('import sys\nfor name in ("lightning_fabric", "torchmetrics", "torch_fidelity", "torchvision", "sklearn", "fastapi", '
              '"uvicorn"):\n    sys.modules[name] = None\nfrom retouch.cli.main import main\nsys.exit(main(sys.argv[1:]))')
    picture = str(Path(__file__).parents[2] / 'docs' / 'images' / 'face.png')
    for words in (['list'], ['edit', 'toyfaces', picture, '--set', 'Blond_Hair=1', '--out', str(tmp_path)], ['--help']):
        done = subprocess.run([sys.executable, '-c', script, *words], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / 'face.png').is_file()
