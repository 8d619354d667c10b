"""The command line: what it prints, what it writes, and one line with status 2 for every mistake."""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import retouch
from retouch.cli.main import COMMANDS, main
from retouch.methods.aggan_multi import AGGANMulti
from retouch.methods.classifier import AttributeClassifier
from retouch.methods.cyclegan import CycleGAN
from retouch.methods.registry import METHODS
from retouch.model import save_model
from tests.folders import write_labelled_faces


def model_dir(folder: Path, method: type = AGGANMulti, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    trainable = method.tiny()
    weights = {f'{n}.{k}': v for n in trainable.inference_nets for k, v in trainable.nets[n].state_dict().items()}
    save_model(folder, trainable, weights, {})
    return folder


@pytest.fixture(scope='session')
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained attribute model (Black_Hair, Blond_Hair, Eyeglasses) of 16 px."""
    return model_dir(tmp_path_factory.mktemp('model'))


@pytest.fixture(scope='session')
def domain_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_dir(tmp_path_factory.mktemp('domains'), CycleGAN)


@pytest.fixture(scope='session')
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained classifier, which has proved nothing."""
    return model_dir(tmp_path_factory.mktemp('classifier'), AttributeClassifier)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 61, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'face.png')
    return tmp_path / 'face.png'


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Runs a command that must fail; returns its one line."""
    assert main([str(a) for a in arguments]) == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith('retouch: error: '), captured.err
    assert captured.out == ''
    return lines[0].removeprefix('retouch: error: ')


MISTAKES: list[tuple[str, str]] = [
    ('trian x', "did you mean 'train'"),
    ('--versoin', "did you mean '--version'"),
    ('data chek x', 'retouch data check DIR'),
    ('data check', 'missing DIR'),
    ('data check /nowhere/at/all', '/nowhere/at/all'),
    ('train', 'missing RECIPE'),
    ('train stargan.toyface', "did you mean 'stargan.toyfaces'"),
    ('train nowhere/run.json', 'does not exist'),
    ('train stargan.toyfaces --dry-rnu', "did you mean '--dry-run'"),
    ('train stargan.toyfaces --resume yes', '--resume yes: expected auto'),
    ('train stargan.toyfaces --resume', '--resume is missing its value'),
    ('train stargan.toyfaces --stop-after soon', '--stop-after soon: expected a whole number'),
    ('train stargan.toyfaces --seed 1.5', '--seed 1.5: expected a whole number'),
    ('train stargan.toyfaces extra', "unexpected argument 'extra'"),
    ('train stargan.toyfaces --train.iteration 3', "did you mean '--train.iterations'"),
    ('train stargan.toyfaces --method.lambda-clss 3', "did you mean '--method.lambda-cls'"),
    ('train stargan.toyfaces --train.iterations many', 'train.iterations'),
    ('train stargan.toyfaces --train.iterations', '--train.iterations is missing its value'),
    ('train stargan.toyfaces --train.iterations --dry-run', '--train.iterations is missing its value'),
    ('train stargan.toyfaces --iterations 5', "did you mean '--train.iterations'"),
    ('train --batch-size=4 stargan.toyfaces', "did you mean '--train.batch-size'"),
    ('train --lambda-cls 4 stargan.toyfaces', "did you mean '--method.lambda-cls'"),
    ('train stargan.toyfaces --method.penalty=sideways', 'method.penalty'),
    ('train cam.stargan_toyfaces --method.backbone.lambda-reg 3', "did you mean '--method.backbone.lambda-rec'"),
    ('train cam.stargan_toyfaces --method.backbon.lambda-rec 3', "did you mean '--method.backbone.lambda-rec'"),
    ('train cam.stargan_toyfaces --method.lambda-rec 3', "did you mean '--method.lambda-cam'"),
    ('train cam.stargan_toyfaces --method.backbone attgan', '--method.backbone attgan: the recipe chooses the backbone: '
     'expected a recipe cam.attgan_…, which'),
    ('train cam.stargan_toyfaces --method.backbone.id stgan', 'expected a recipe cam.stgan_…, which'),
    ('train cam.attgan_paper --method.backbone 3', 'expected a recipe cam.stargan_… or cam.attgan_… or cam.stgan_…, which'),
    ('train stargan.toyfaces --method.backbone attgan', "unknown option '--method.backbone'"),
    ('train cam.stargan_toyfaces --method.backbone.lambda-rec much', 'method.backbone.lambda_rec: Input should be'),
    ('train cam.stargan_toyfaces --data.n many', 'data.n: Input should be'),
    ('train cam.stargan_toyfaces --method.combine sum', 'method.combine'),
    ('train cam.stargan_toyfaces --method.layer conv9 --data.n 4 --data.size 48',
     "unknown layer 'conv9': expected one of conv1 (24x24), conv2 (12x12), conv3 (6x6), conv4 (3x3), or 'last'"),
    ('train cam.stargan_toyfaces --method.backward reconstruction --method.backbone.reconstruct cycle --data.n 4',
     "backward='reconstruction' with backbone stargan"),
    ('edit', 'missing MODEL and --out'),
    ('edit MODEL PICTURE --set Eyeglasses=1', 'missing --out'),
    ('edit MODEL --out out --set Eyeglasses=1', 'missing IMAGE'),
    ('edit MODEL PICTURE --out out', 'name at least one attribute'),
    ('edit MODEL PICTURE --out out --set', 'name at least one attribute'),
    ('edit MODEL PICTURE --out out --set Eyeglases=1', "did you mean 'Eyeglasses'"),
    ('edit MODEL PICTURE --out out --set strength=1', "unknown attribute 'strength'"),
    ('edit MODEL PICTURE --out out --set Eyeglasses=1 --source Blond=0', "did you mean 'Blond_Hair'"),
    ('edit MODEL PICTURE --out out --set Eyeglasses=2', 'expected Eyeglasses=0 or Eyeglasses=1'),
    ('edit MODEL PICTURE --out out --set Eyeglasses=half', 'or a number between them'),
    ('edit MODEL PICTURE --out out --set Eyeglasses=0.5 Eyeglasses=1', 'both 0.5 and 1'),
    ('edit MODEL PICTURE --out out --set Black_Hair=0.6 Blond_Hair=0.6', 'exclude each other'),
    ('edit MODEL PICTURE --out out --set Eyeglasses=1 --source Blond_Hair=0.5', 'source Blond_Hair=0.5: expected 0 or 1'),
    ('edit MODEL PICTURE --out out --set Eyeglasses', 'expected NAME=0 or NAME=1'),
    ('edit MODEL PICTURE --out out --set Eyeglasses=1 Eyeglasses=0', 'both 1 and 0'),
    ('edit MODEL PICTURE --out out --set Black_Hair=1 Blond_Hair=1', 'exclude each other'),
    ('edit MODEL PICTURE --out out --set Eyeglasses=1 --to B', 'exclude each other'),
    ('edit MODEL PICTURE --out out --to B', 'edits attributes'),
    ('edit DOMAINS PICTURE --out out --to C', "unknown domain 'C'"),
    ('edit DOMAINS PICTURE --out out --set Eyeglasses=1', 'has no attributes'),
    ('edit DOMAINS PICTURE --out out --set strength=1', 'has no attributes'),
    ('edit DOMAINS PICTURE --out out --source Eyeglasses=1', '--source does not apply'),
    ('edit MODEL PICTURE --out out --set Eyeglasses=1 --device cpu:9', 'not available here'),
    ('edit MODEL PICTURE --out out --set Eyeglasses=1 --box 1,2,3', '--box 1,2,3: expected X,Y,WIDTH,HEIGHT'),
    ('edit MODEL PICTURE --out out --set Eyeglasses=1 --box 50,0,30,30', 'does not fit'),
    ('edit MODEL PICTURE --out out --set Eyeglasses=1 --strength much', '--strength much: expected a number'),
    ('edit MODEL PICTURE --out out --set Eyeglasses=1 --strength 7', 'strength=7.0'),
    ('edit MODEL PICTURE --out out --set Eyeglasses=1 --device tpu', "unknown device 'tpu'"),
    ('edit MODEL PICTURE --out out --set Eyeglasses=1 --mask nowhere.png', 'nowhere.png'),
    ('edit MODEL PICTURE --out out --set Eyeglasses=1 --no-nte', "did you mean '--no-note'"),
    ('edit MODEL PICTURE --out out --exemplar other.png', 'other.png is not there'),
    ('edit MODEL PICTURE --out out --exemplar PICTURE', 'aggan_multi takes none; use --set Black_Hair=1'),
    ('edit DOMAINS PICTURE --out out --exemplar PICTURE', 'cyclegan takes none; use --to B'),
    ('edit MODEL PICTURE --out out --set Eyeglasses=1 --exemplar-mask PICTURE', 'add --exemplar'),
    ('edit MODEL nowhere.png --out out --set Eyeglasses=1', 'nowhere.png is not there'),
    ('edit MODEL FOLDER --out FOLDER --set Eyeglasses=1', 'never overwritten'),
    ('edit MODEL MODEL --out out --set Eyeglasses=1', 'holds no pictures'),
    ('edit MODEL nowhere/*.png --out out --set Eyeglasses=1', 'matches no picture'),
    ('edit MODEL PICTURE --out out --set Eyeglasses=1 --quality 80', 'a png is lossless'),
    ('edit MODEL PICTURE --out out --set Eyeglasses=1 --format jpg --quality 0', 'expected 1 to 100'),
    ('edit MODEL PICTURE --out out --set Eyeglasses=1 --format tiff', 'expected png or jpg or webp'),
    ('edit MODEL PICTURE --out out --set Eyeglasses=1 --batch-size 0', 'expected at least 1'),
    ('edit MODEL MODEL/config.json --out out --set Eyeglasses=1', 'config.json'),
    ('edit MODEL PICTURE --out FOLDER --set Eyeglasses=1', 'never overwritten'),
    ('edit MODEL PICTURE PICTURE --out out --set Eyeglasses=1', 'would both be written'),
    ('edit nomodel PICTURE --out out --set Eyeglasses=1', "unknown model 'nomodel'"),
    ('edit FOLDER PICTURE --out out --set Eyeglasses=1', 'holds no model'),
    ('evaluate', 'missing MODEL'),
    ('evaluate nomodel', "unknown model 'nomodel'"),
    ('evaluate MODEL --n 1', 'at least 2'),
    ('evaluate MODEL --n some', '--n some: expected a whole number'),
    ('evaluate MODEL --protocol toyface', "did you mean 'toyfaces'"),
    ('evaluate MODEL --protocol domains', 'does not fit'),
    ('evaluate MODEL --judge JUDGE', 'has no card.json with its accuracy'),
    ('evaluate JUDGE --judge JUDGE', '--judge does not apply to a classifier'),
    ('evaluate JUDGE --features judge', '--features does not apply to a classifier'),
    ('evaluate MODEL --features swav', "did you mean 'swav-resnet50'"),
    ('evaluate DOMAINS --parser JUDGE', '--parser does not apply to domains: it reads parts of faces whose attributes are edited'),
    ('evaluate MODEL --weights nowhere', '--weights needs --features'),
    ('evaluate MODEL --download', '--download needs --features'),
    ('evaluate MODEL --features inception-v3-compat --weights nowhere', 'nowhere/weights-inception-2015-12-05-6726825d.pth is missing: '
     'inception-v3-compat needs weights-inception-2015-12-05-6726825d.pth from https://github.com/toshas/torch-fidelity/releases'),
    ('evaluate JUDGE --download', '--download does not apply to a classifier'),
    ('evaluate MODEL --size 32', '--size 32: expected at least 8, and a classifier'),
    ('evaluate JUDGE --size 4', '--size 4: expected at least 8'),
    ('evaluate MODEL --study', '--study is missing its value'),
    ('evaluate MODEL --study MODEL', '--study needs a folder for its page: add --out DIR'),
    ('evaluate MODEL --study MODEL --out out', 'are the same weights'),
    ('evaluate MODEL --study nomodel --out out', "unknown model 'nomodel'"),
    ('evaluate MODEL --study DOMAINS --out out', "differ in attributes, ('Black_Hair', 'Blond_Hair', 'Eyeglasses') and ()"),
    ('evaluate MODEL --study JUDGE --out out', 'is a classifier: expected two models of the same attributes or domains'),
    ('evaluate MODEL --study MODEL --out out --n 1', '--n 1: expected at least 2'),
    ('evaluate MODEL --study MODEL --out out --judge JUDGE', '--judge does not apply to --study'),
    ('evaluate MODEL --study MODEL --out out --proxy', '--proxy does not apply to --study'),
    ('evaluate MODEL --edits Eyeglass', "did you mean 'Eyeglasses'"),
    ('evaluate DOMAINS --edits Eyeglasses', '--edits Eyeglasses does not apply to protocol domains'),
    ('evaluate MODEL --study copy --question style --out out', '--question style is asked of systems that take an exemplar'),
    ('evaluate MODEL --study real --question realism --out out', 'does not apply to --study real'),
    ('study', 'missing DIR'),
    ('study FOLDER', 'holds no study'),
    ('evaluate MODEL --figures', 'add --out'),
    ('compare', 'missing MODEL'),
    ('compare nomodel', "unknown model 'nomodel'"),
    ('compare MODEL --suite toyfaces', 'a suite has its own rows'), ('compare --suite toyface', "did you mean 'toyfaces'"),
    ('compare --suite toyfaces --only stargan.eyeglass', "did you mean 'stargan.eyeglasses'"),
    ('compare --suite toyfaces --only attgan.eyeglasses --seeds 1', 'no row of suite toyfaces has such a seed; expected some of [0]'),
    ('compare --suite toyfaces --n 1', '--n 1: expected at least 2'), ('compare MODEL --only stargan.eyeglasses', '--only needs --suite'),
    ('list --jsn', "did you mean '--json'"),
]


@pytest.mark.parametrize(('command', 'expected'), MISTAKES, ids=[command for command, _ in MISTAKES])
def test_a_mistake_is_one_line(command: str, expected: str, capsys: pytest.CaptureFixture[str], model: Path, domain_model: Path,
                               classifier: Path, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(picture.parent)
    for word, path in {'MODEL': model, 'DOMAINS': domain_model, 'JUDGE': classifier, 'PICTURE': picture, 'FOLDER': picture.parent}.items():
        command = command.replace(word, str(path))
    assert expected in refused(capsys, *command.split())
    assert not (picture.parent / 'out').exists()


def test_mistakes_are_one_line_in_every_locale() -> None:
    for encoding in ('utf-8', 'ascii'):
        done = subprocess.run([sys.executable, '-m', 'retouch', 'edit'], capture_output=True, text=True, check=False,
                              env={**os.environ, 'PYTHONIOENCODING': encoding})
        assert (done.returncode, done.stdout) == (2, '')
        assert done.stderr == 'retouch: error: missing MODEL and --out: `retouch edit --help` shows what is expected\n'


def test_help_is_shown_in_every_locale() -> None:
    for arguments in (['--help'], ['edit', '--help']):
        done = subprocess.run([sys.executable, '-m', 'retouch', *arguments], capture_output=True, text=True, check=False,
                              env={**os.environ, 'PYTHONIOENCODING': 'ascii'})
        assert (done.returncode, done.stderr) == (0, '') and 'usage: retouch' in done.stdout and '?' in done.stdout


def test_every_command_has_help_and_every_option_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--help']) == 0
    overview = capsys.readouterr().out
    assert len(COMMANDS) == 13
    for name, options in COMMANDS.items():
        assert name in overview and (options.__doc__ or '').splitlines()[0] in overview
        assert main([*name.split(), '--help']) == 0
        captured = capsys.readouterr()
        assert captured.err == '' and f'usage: retouch {name}' in captured.out
        for field in options.__dataclass_fields__.values():                            # type: ignore[attr-defined]
            if 'Positional' not in str(field.type):
                assert '--' + field.name.replace('_', '-') in captured.out


@pytest.mark.parametrize(('recipe', 'section'), [('stargan.toyfaces', 'method'), ('cam.stgan_toyfaces', 'method.backbone')])
def test_help_of_a_recipe_lists_every_field(recipe: str, section: str, capsys: pytest.CaptureFixture[str]) -> None:
    from retouch.recipes.registry import field_names, load_run

    changed = 'lambda-cls' if section == 'method' else 'lambda-cls-g'
    assert main(['train', recipe, f'--{section}.{changed}', '3.25', '--help']) == 0
    shown = capsys.readouterr().out
    names = [name for name in field_names(load_run(recipe)) if name != 'seed']
    assert len(names) > 20 and f'{section}.lambda_rec' in names
    for name in names:
        assert f'--{name.replace("_", "-")} ' in shown, name
    assert '--stop-after' in shown and '3.25' in shown
    assert main(['train', '--seed', '3', '--data=faces', 'stargan.toyfaces', '--help']) == 0
    assert 'Every field of stargan.toyfaces' in capsys.readouterr().out


def test_help_and_version_need_no_torch() -> None:
    code = 'import sys; from retouch.cli.main import main; status = main(sys.argv[1:]); assert "torch" not in sys.modules; sys.exit(status)'
    for arguments in (['--help'], ['--version'], ['train', '--help'], ['edit', '--help'], ['trian']):
        done = subprocess.run([sys.executable, '-c', code, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == (2 if arguments == ['trian'] else 0) and 'Traceback' not in done.stderr, done.stderr
    assert done.stdout == ''


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, '-m', 'retouch', '--version'], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f'retouch {retouch.__version__}\n', '')


def test_debug_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['compare', 'nomodel', '--debug']) == 2
    error = capsys.readouterr().err
    assert 'Traceback' in error and error.splitlines()[-1].startswith("retouch: error: unknown model 'nomodel'")


def test_faults_of_the_machine_are_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: BaseException) -> None:
        def handler(options: object) -> int:
            raise error

        monkeypatch.setattr('retouch.cli.main.handler_of', lambda command: handler)

    for error, words in ((torch.OutOfMemoryError('CUDA out of memory.\nTried'), '--train.batch-size'),
                         (MemoryError(), '--train.batch-size'),
                         (FloatingPointError('loss is\nnot finite'), 'loss is not finite'),
                         (FileNotFoundError(2, 'No such file', 'x.png'), 'x.png: No such file')):
        fail(error)
        assert words in refused(capsys, 'list')
    fail(KeyboardInterrupt())
    assert main(['list']) == 130 and capsys.readouterr().err == 'retouch: interrupted\n'
    fail(KeyError('oh'))
    assert main(['list']) == 1 and 'fault of retouch' in capsys.readouterr().err


def test_edit_writes_three_files_a_picture(capsys: pytest.CaptureFixture[str], model: Path, picture: Path, tmp_path: Path) -> None:
    Image.new('RGBA', (20, 30), (10, 20, 30, 40)).save(tmp_path / 'other.png')
    arguments = ['edit', model, picture, tmp_path / 'other.png', '--set', 'Eyeglasses=1', '--set', 'Blond_Hair=1',
                 '--source', 'Black_Hair=1', '--out', tmp_path / 'out']
    assert main([str(a) for a in arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all('Eyeglasses=1' in line and 'Blond_Hair=1' in line and 'untouched' in line for line in lines)
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == sorted(
        f'{name}{suffix}' for name in ('face', 'other') for suffix in ('.png', '.mask.png', '.diff.png'))
    with Image.open(tmp_path / 'out' / 'other.png') as out, Image.open(tmp_path / 'out' / 'other.mask.png') as mask:
        assert out.size == mask.size == (20, 30) and out.mode == 'RGBA' and mask.mode == 'L'
        assert json.loads(out.text['retouch'])['set'] == {'Eyeglasses': 1, 'Blond_Hair': 1}  # type: ignore[attr-defined]
    part = [str(a).replace('Eyeglasses=1', 'Eyeglasses=0.5') for a in arguments]
    assert main(part) == 0 and 'set Eyeglasses=0.5 (was ' in capsys.readouterr().out
    assert main([str(a) for a in arguments] + ['--no-note', '--box', '2,2,9,9', '--strength', '0.5']) == 0
    with Image.open(tmp_path / 'out' / 'other.png') as out:
        assert out.text == {}                                                          # type: ignore[attr-defined]


def test_a_bad_picture_does_not_keep_the_others_from_being_edited(capsys: pytest.CaptureFixture[str], model: Path, picture: Path,
                                                                  tmp_path: Path) -> None:
    (tmp_path / 'bad.png').write_bytes(picture.read_bytes()[:600])
    Image.new('RGB', (20, 30), 'red').save(tmp_path / 'other.png')
    names = ['face.png', 'bad.png', 'nowhere.png', 'other.png']
    edit = ['edit', str(model), *(str(tmp_path / name) for name in names), '--set', 'Eyeglasses=1', '--out']
    assert main([*edit, str(tmp_path / 'out')]) == 2
    said = capsys.readouterr()
    failures = [line for line in said.err.splitlines() if not line.startswith('  note: ')]
    assert [line.partition(': ')[0] for line in said.out.splitlines()] == [str(tmp_path / name) for name in ('face.png', 'other.png')]
    assert len(failures) == 2 and failures == said.err.splitlines()[-2:]                 # at the end
    assert failures[0].startswith(f'retouch: error: {tmp_path}/bad.png: ') and 'truncated' in failures[0]
    assert failures[1] == f'retouch: error: {tmp_path}/nowhere.png is not there: expected a picture'
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == sorted(
        f'{name}{suffix}' for name in ('face', 'other') for suffix in ('.png', '.mask.png', '.diff.png'))
    alone = ['edit', str(model), str(picture), '--set', 'Eyeglasses=1', '--out', str(tmp_path / 'alone')]
    assert main(alone) == 0                                                              # beside a bad one, the same bytes
    for path in (tmp_path / 'alone').iterdir():
        assert path.read_bytes() == (tmp_path / 'out' / path.name).read_bytes()
    # what is wrong with the command, and not with a picture, is said once
    capsys.readouterr()
    both = ['edit', str(model), str(picture), str(tmp_path / 'other.png'), '--set', 'Eyeglasses=1', '--out', str(tmp_path / 'none')]
    assert main([*both, '--strength', '7']) == 2
    assert capsys.readouterr().err == 'retouch: error: strength=7.0: expected a number from 0 to 2; 1 is the model as trained\n'
    assert main([*both, '--debug', '--box', '50,0,5,5']) == 2                            # inside one of them only
    said = capsys.readouterr()
    assert 'Traceback' in said.err and said.err.splitlines()[-1].startswith(f'retouch: error: {tmp_path}/other.png: ')
    assert str(picture) in said.out


def test_edit_of_a_domain_model(capsys: pytest.CaptureFixture[str], domain_model: Path, picture: Path, tmp_path: Path) -> None:
    mask = np.zeros((37, 61), np.uint8)
    mask[:20] = 255
    Image.fromarray(mask).save(tmp_path / 'mask.png')
    arguments = ['edit', domain_model, picture, '--to', 'A', '--mask', tmp_path / 'mask.png', '--out', tmp_path / 'out']
    assert main([str(a) for a in arguments]) == 0
    assert 'to A' in capsys.readouterr().out
    with Image.open(tmp_path / 'out' / 'face.png') as out, Image.open(picture) as before:
        assert np.array_equal(np.asarray(out)[20:], np.asarray(before)[20:])


def test_list_names_every_method_and_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    from retouch.recipes.registry import RECIPES

    assert main(['list', '--json']) == 0
    listing = json.loads(capsys.readouterr().out)
    assert set(listing) == {'methods', 'recipes', 'data'} and 'toyfaces' in listing['data']
    assert set(listing['methods']) == set(METHODS) and set(listing['recipes']) == set(RECIPES) and len(RECIPES) > 5
    for method in listing['methods'].values():
        assert method['kind'] in ('attributes', 'domains', 'pairs', 'parsing', 'exemplars')
        assert method['summary'] and len(method['paper']) > 40
    for name, recipe in listing['recipes'].items():
        assert recipe['method'] == name.partition('.')[0] and recipe['summary']
        assert recipe['parameters'] is None or all(count > 0 for count in recipe['parameters'].values())
    assert listing['recipes']['stargan.toyfaces']['parameters'].keys() == {'G', 'D'}
    assert main(['list']) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in RECIPES)


TINY = ['train', 'stargan.toyfaces', '--data.size', '16', '--data.n=8', '--train.batch_size=2', '--method.width-g', '4',
        '--method.width-d', '4', '--method.blocks', '1']


def test_train_edit_and_the_same_run_again(capsys: pytest.CaptureFixture[str], picture: Path, tmp_path: Path) -> None:
    run = tmp_path / 'run'
    words = [*TINY, '--train.iterations', '4', '--seed', '3', '--out', str(run)]
    assert main([*words, '--stop-after', '2']) == 0
    assert f'stopped: {run}' in (shown := capsys.readouterr().out) and '--resume auto' in shown
    record = json.loads((run / 'run.json').read_text())['run']
    assert record['seed'] == 3 and record['data']['size'] == 16 and record['train']['iterations'] == 4 and record['method']['width_g'] == 4
    assert main(words) == 2
    assert 'already holds a run' in capsys.readouterr().err
    assert main(['train', str(run), '--resume', 'auto']) == 0
    assert f'finished: {run}' in capsys.readouterr().out
    assert main(['edit', str(run), str(picture), '--set', 'Eyeglasses=1', '--out', str(tmp_path / 'out')]) == 0
    assert (tmp_path / 'out' / 'face.diff.png').is_file()


def test_data_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ('smiling', 'sad'):
        (tmp_path / 'faces' / name).mkdir(parents=True)
        for k in range(2):
            Image.new('RGB', (20, 20)).save(tmp_path / 'faces' / name / f'{k}.png')
    assert main(['data', 'check', str(tmp_path / 'faces'), '--json', '--sheet', str(tmp_path / 'sheet.png')]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report['layout'] == 'classes' and report['ok'] and (tmp_path / 'sheet.png').is_file()
    (tmp_path / 'faces' / 'sad' / '1.png').write_bytes(b'not a picture')
    assert main(['data', 'check', str(tmp_path / 'faces')]) == 1
    assert '1.png' in capsys.readouterr().out


def test_dry_run_writes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*TINY, '--dry-run']) == 0
    assert 'images_per_s' in capsys.readouterr().out and not list(tmp_path.iterdir())


def test_evaluate_writes_card_and_report(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    judge, run = model_dir(tmp_path / 'judge', AttributeClassifier), tmp_path / 'run'
    judge_card(judge, accuracy=0.995)
    model_dir(run / 'model')
    (run / 'log.jsonl').write_text(''.join(json.dumps({'iteration': i, 'D.adv': 1.0}) + '\n' for i in range(3)))
    arguments = ['evaluate', str(run), '--n', '6', '--judge', str(judge)]
    assert main([*arguments, '--json', '--figures']) == 0
    written = json.loads(capsys.readouterr().out)
    assert written == json.loads((run / 'card.json').read_text()) and written['protocol'] == 'toyfaces' and written['n'] == 6
    assert {'copy', 'truth'} <= set(written['references']) and 'mask_iou' in written['measures'] and '--n 6' in written['command']
    assert 'Eyeglasses' in (run / 'report.html').read_text() and list((run / 'figures').glob('*Eyeglasses*.png'))
    assert main(arguments) == 0
    assert 'edit_accuracy' in (shown := capsys.readouterr().out) and 'report.html' in shown
    assert main(['compare', str(run), '--json']) == 0
    assert json.loads(capsys.readouterr().out)['rows'][str(run)] == written['measures']
    before = (judge / 'card.json').read_bytes()
    assert main(['evaluate', str(judge), '--n', '6']) == 0
    shown = capsys.readouterr().out
    assert 'accuracy' in shown and shown.splitlines()[-1] == 'not written: add --out DIR' and (judge / 'card.json').read_bytes() == before
    assert main(['evaluate', str(run / 'model'), '--n', '6', '--judge', str(judge), '--out', str(tmp_path / 'elsewhere')]) == 0
    assert 'D.adv' in (tmp_path / 'elsewhere' / 'report.html').read_text()             # the log beside the model directory
    assert 'not written' not in capsys.readouterr().out

    for changes, words in (({'accuracy': 0.9}, 'reaches 0.9000 mean accuracy'), ({'sha256': 'cd'}, 'evaluate the judge again'),
                           ({'hash': 'old'}, 'was evaluated on toyfaces old'), ({'source': 'faces'}, 'was evaluated on faces'),
                           ({'protocol': 'toyfaces'}, 'has no card.json with its accuracy')):
        judge_card(judge, **{'accuracy': 0.995, **changes})
        assert words in refused(capsys, *arguments)


def test_a_judge_of_a_folder_needs_its_card_but_not_the_minimum(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_labelled_faces(tmp_path / 'faces', 30, ('Black_Hair', 'Blond_Hair', 'Eyeglasses'))
    judge, model = model_dir(tmp_path / 'judge', AttributeClassifier), model_dir(tmp_path / 'model')
    arguments = ['evaluate', str(model), '--data', str(tmp_path / 'faces'), '--judge', str(judge), '--json', '--out', str(model)]
    assert 'has no card.json with its accuracy' in refused(capsys, *arguments)
    judge_card(judge, accuracy=0.8, source='faces', hash='ab')
    assert main(arguments) == 0
    card = json.loads(capsys.readouterr().out)
    assert card['protocol'] == 'folder' and card['judge']['mean_accuracy'] == 0.8 and list(card['extractors']) == ['classifier']
    titles = re.findall('<figcaption>(.*?)</figcaption>', (model / 'report.html').read_text())
    assert 'picture 1: Eyeglasses=' in ' '.join(titles)

    compared = ['compare', str(model), '--out', str(tmp_path / 'compared')]
    assert main(compared) == 0 and 'note' not in capsys.readouterr().err
    assert re.findall('<figcaption>(.*?)</figcaption>', (tmp_path / 'compared' / 'report.html').read_text()) == titles
    for image in sorted((tmp_path / 'faces').glob('*.png')):
        Image.new('RGB', (16, 16)).save(image)
    assert main(compared) == 0 and 'in the card; evaluate again' in (line := capsys.readouterr().err) and len(line.splitlines()) == 1
    page = (tmp_path / 'compared' / 'report.html').read_text()
    assert '<img' not in page and 'in the card; evaluate again' in page and 'edit_<wbr>accuracy' in page


def test_the_command_in_the_card_repeats_the_evaluation(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from retouch.evaluation import evaluate as evaluation
    from retouch.evaluation import protocols

    commanded: list[str] = []
    monkeypatch.setattr(protocols, 'evaluate', lambda model, **options: commanded.append(options['command']))
    for options in ({}, {'features': ('judge', 'swav-resnet50')}, {'features': ('judge',), 'weights': Path('my files'), 'download': True}):
        evaluation.evaluate(evaluation.Request(str(model), **options))                        # type: ignore[arg-type]
    assert '--features' not in commanded[0] and commanded[1].endswith('--features judge swav-resnet50')
    assert commanded[2].endswith("--weights 'my files' --features judge")


def test_a_set_without_held_out_pictures_is_refused(classifier: Path, monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    from types import SimpleNamespace

    from retouch.evaluation import held_out

    empty = SimpleNamespace(images=np.zeros((0, 16, 16, 3), np.uint8), labels=np.zeros((0, 3)))
    monkeypatch.setattr(held_out, 'open_attributes', lambda *arguments: empty)
    assert 'faces has no held-out pictures' in refused(capsys, 'evaluate', classifier, '--data', 'faces')


def test_names_of_pictures_and_figures(capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path) -> None:
    from retouch.cli.evaluating import _figures
    from retouch.report.gallery import GalleryRow

    panel = {'input': np.zeros((4, 4, 3), np.uint8)}
    paths = _figures([GalleryRow('face 1: Glücklich=1', panel), GalleryRow('face 1: 笑顔=1', panel)], tmp_path / 'figures')
    assert [p.name for p in paths] == ['face-1-Glücklich=1.png', 'face-1-笑顔=1.png'] and all(p.is_file() for p in paths)
    for name in ('one/Face.png', 'two/face.png'):
        (tmp_path / name).parent.mkdir()
        Image.new('RGB', (8, 8)).save(tmp_path / name)
    arguments = ['edit', model, tmp_path / 'one/Face.png', tmp_path / 'two/face.png', '--out', tmp_path / 'out', '--set', 'Eyeglasses=1']
    assert 'would both be written' in refused(capsys, *arguments)


def judge_card(judge: Path, accuracy: float, **changes: str) -> None:
    from retouch import toyfaces

    sha256 = json.loads((judge / 'config.json').read_text())['sha256']
    data = {'source': 'toyfaces', 'hash': toyfaces.drawing_hash(), 'size': 16, 'attributes': ['Eyeglasses']}
    card(judge / 'card.json', protocol=changes.get('protocol', 'classifier'), references={},
         data={**data, **{k: v for k, v in changes.items() if k in data}},
         checkpoint={'rule': 'last', 'sha256': changes.get('sha256', sha256)}, measures={'accuracy': {'value': accuracy}})


@pytest.mark.parametrize(('method', 'edits', 'asked'), [
    (AGGANMulti, ['Eyeglasses', 'Blond_Hair'], {'Eyeglasses=0', 'Eyeglasses=1', 'Blond_Hair=1'}),
    (CycleGAN, [], {'Eyeglasses=0', 'Eyeglasses=1'})])
def test_a_study_from_the_page_to_the_shares(method: type, edits: list[str], asked: set[str], capsys: pytest.CaptureFixture[str],
                                             tmp_path: Path) -> None:
    one, two = (str(model_dir(tmp_path / str(seed), method, seed)) for seed in (0, 1))
    out = tmp_path / 'study'
    arguments = ['evaluate', one, '--study', two, '--n', '12', '--seed', '1', '--out', str(out)]
    assert 'expected one of: ' in refused(capsys, *arguments, '--edits', 'Eyeglass')
    assert main([*arguments, *(['--edits', *edits] if edits else [])]) == 0
    shown = capsys.readouterr().out
    assert f'comparisons of {one} and {two}' in shown and f'retouch study {out}' in shown
    key = json.loads((out / 'study.json').read_text())
    assert {trial['asked'] for trial in key['trials']} == asked and key['systems'] == {'a': one, 'b': two} and key['source'] == 'toyfaces'
    assert key['id'] in (out / 'study.html').read_text() and one not in (out / 'study.html').read_text()

    assert 'holds no answers*.json' in refused(capsys, 'study', out)
    votes = [{'trial': i, 'left': 'b', 'chosen': 'b' if i else 'a', 'seconds': 2.0, 'flicker': True} for i in range(len(key['trials']))]
    (out / 'answers-1.json').write_text(json.dumps({'study': key['id'], 'seed': 1, 'answers': []}))
    assert 'nobody chose anything yet' in refused(capsys, 'study', out)
    (out / 'answers-2.json').write_text(json.dumps({'study': key['id'], 'seed': 2, 'answers': votes}))
    assert main(['study', str(out), '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    n = len(votes)
    assert (told['raters'], told['left']) == (2, pytest.approx(1 - 1 / n)) and told['shares']['all edits']['a'] == pytest.approx(1 / n)
    assert set(told['shares']) == {trial['edit'] for trial in key['trials']} | {'all edits'}
    assert main(['study', str(out), str(out / 'answers-2.json')]) == 0
    shown = capsys.readouterr().out
    assert f'raters: 1, votes: {n}' in shown and f'{1 / n:.3f} [' in shown and f'{1 - 1 / n:.3f} [' in shown and two in shown
    assert 'same rater' in refused(capsys, 'study', out, out / 'answers-2.json', out / 'answers-2.json')
    assert 'nowhere.json' in refused(capsys, 'study', out, 'nowhere.json')


def card(path: Path, **changes: object) -> None:
    from retouch.evaluation.card import Card

    values = {'protocol': 'toyfaces', 'n': 4, 'seed': 0, 'hardware': 'a machine', 'versions': {}, 'checkpoint': {'rule': 'last'},
              'data': {'source': 'toyfaces', 'hash': 'ab', 'size': 16, 'attributes': ['Eyeglasses']},
              'measures': {'edit_accuracy': {'value': 0.5}},
              'references': {'copy': {'edit_accuracy': {'value': 0.0}}, 'truth': {'edit_accuracy': {'value': 1.0}}}, **changes}
    Card.model_validate(values).write(path)


def test_compare_prints_one_table_and_refuses_other_protocols(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name, changes in {'one': {}, 'two': {}, 'other': {'n': 5}}.items():
        sha256 = json.loads((model_dir(tmp_path / name / 'model') / 'config.json').read_text())['sha256']
        card(tmp_path / name / 'card.json', checkpoint={'rule': 'last', 'sha256': sha256}, **changes)
    one, two, other = (str(tmp_path / name) for name in ('one', 'two', 'other'))
    assert main(['compare', one, two, '--json']) == 0
    assert set(json.loads(capsys.readouterr().out)['rows']) == {one, two, 'copy', 'truth'}
    assert main(['compare', one, two]) == 0
    assert 'edit_accuracy' in (shown := capsys.readouterr().out) and 'truth' in shown
    assert 'cards compare only' in refused(capsys, 'compare', one, other)
    card(tmp_path / 'two' / 'card.json', checkpoint={'rule': 'last', 'sha256': 'cd'})
    assert 'is the card of other weights than' in (line := refused(capsys, 'compare', one, two))
    assert f'`retouch evaluate {two}` again' in line


def test_a_distance_of_few_faces_is_told_in_table_card_and_report(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'card'
    assert main(['evaluate', str(model), '--n', '6', '--out', str(out)]) == 0
    table = capsys.readouterr().out
    row = next(line for line in table.splitlines() if line.startswith('fid[toyfaces_classifier]'))
    assert row.count('needs n >= 64') == 4                       # the model, copy, truth and untrained
    card = json.loads((out / 'card.json').read_text())
    for measures in (card['measures'], *card['references'].values()):
        assert measures['kid[toyfaces_classifier]'] == {'value': None, 'low': None, 'high': None, 'unit': '', 'note': 'needs n >= 64',
                                                        'per_attribute': dict.fromkeys(card['data']['attributes'])}
    assert 'needs n &gt;= 64' in (out / 'report.html').read_text()
    assert main(['compare', str(out)]) == 0 and 'needs n >= 64' in capsys.readouterr().out
    # a paper's numbers are compared with what was printed at that n
    assert main(['evaluate', str(model), '--n', '6', '--protocol', 'cam', '--proxy', '--out', str(out)]) == 0
    assert 'fid_per_task[toyfaces_classifier]' in (shown := capsys.readouterr().out) and 'of 6 pictures: uncertain below 2,048' in shown
    card = json.loads((out / 'card.json').read_text())
    assert card['measures']['fid[toyfaces_classifier]']['value'] > 0 and 'of 6 pictures' in (out / 'report.html').read_text()


def test_a_card_without_notes_is_read_compared_and_shown(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = json.loads((repository / 'retouch' / 'assets' / 'toyfaces' / 'card.json').read_text())
    for measures in (card['measures'], *card['references'].values()):
        for measure in measures.values():
            del measure['note']
    stored = tmp_path / 'card.json'
    stored.write_text(json.dumps(card))
    for name in 'ab':
        (tmp_path / name).mkdir()
        shutil.copy(stored, tmp_path / name)
    assert main(['compare', str(tmp_path / 'a'), str(tmp_path / 'b'), '--out', str(tmp_path / 'both')]) == 0
    shown = capsys.readouterr().out
    value = json.loads(stored.read_text())['measures']['fid[toyfaces_classifier]']['value']
    assert f'{value:.2f}' in shown and 'needs n' not in shown and 'note: fid' not in shown
    assert f'{value:.2f}' in (tmp_path / 'both' / 'report.html').read_text()
