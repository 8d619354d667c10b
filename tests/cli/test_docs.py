"""The commands and snippets of README and docs run as written, trainings and evaluations cut short, in the order of each page."""
from __future__ import annotations

import functools
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted((ROOT / 'docs').rglob('*.md'))]
FACES = 40

# Commands and snippets that must have been found in all pages together: a broken reader would find none and pass.
FEWEST_COMMANDS, FEWEST_SNIPPETS = 20, 4


def blocks_of(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language, as written."""
    return re.findall(rf'^```{language}\n(.*?)^```$', page.read_text(encoding='utf-8'), re.MULTILINE | re.DOTALL)


def commands_of(page: Path) -> list[list[str]]:
    """The `retouch …` lines of the bash blocks, comments and continued lines resolved, without the program's name."""
    lines = '\n'.join(blocks_of(page, 'bash')).replace('\\\n', ' ').splitlines()
    return [words[1:] for words in (shlex.split(line, comments=True) for line in lines) if words[:1] == ['retouch']]


def cut_short(arguments: list[str]) -> list[str]:
    """The same command on a diet: small sets and batches, two iterations (four where a run is resumed), four pictures to score, eight
    for a study, which needs one of every hair."""
    if arguments[0] == 'train':
        small = ['--data.n', '48', '--train.batch-size', '4']
        stop = [] if '--dry-run' in arguments else ['--stop-after', '4' if '--resume' in arguments else '2']
        return [*arguments, *small, *stop]
    if arguments[0] == 'evaluate':
        return [*arguments, '--n', '2' if 'native' in arguments else '8' if '--study' in arguments else '4']
    return arguments


@pytest.fixture(scope='module')
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages presume: face.png and other.png, drawn faces in CelebA's layout in `faces/`, by day and by night under `scenes/`."""
    from retouch import toyfaces
    from retouch.methods.local import Local
    from retouch.model import SHIPPED, load_model, save_model
    from retouch.toyfaces.night import night

    folder = tmp_path_factory.mktemp('docs')
    # A run directory of that name comes before the shipped model: as one of 128 px, but of 32 px, so that scoring it takes a second.
    shipped = load_model(SHIPPED['toyfaces'])
    small = Local(shipped.method.config.model_copy(update={'levels': 2}), shipped.method.data.model_copy(update={'size': 32}))
    weights = {f'{net}.{key}': value for net in small.inference_nets for key, value in small.nets[net].state_dict().items()}
    save_model(folder / 'toyfaces' / 'model', small, weights, shipped.info)
    shutil.copytree(ROOT / 'examples', folder / 'examples')
    images, _, labels = toyfaces.draw_set(range(FACES), 64, workers=1)
    pictures = folder / 'faces' / 'img_align_celeba'
    pictures.mkdir(parents=True)
    rows = [str(FACES), ' '.join(toyfaces.ATTRIBUTES)]
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        Image.fromarray(image).save(pictures / f'{i:06d}.png')
        rows.append(f'{i:06d}.png ' + ' '.join('1' if value else '-1' for value in label))
    (folder / 'faces' / 'list_attr_celeba.txt').write_text('\n'.join(rows) + '\n')
    halves = {'trainA': images[:12], 'trainB': night(images[12:24]), 'testA': images[24:32], 'testB': night(images[32:])}
    for part, scenes in halves.items():
        (folder / 'scenes' / part).mkdir(parents=True)
        for i, image in enumerate(scenes):
            Image.fromarray(image).save(folder / 'scenes' / part / f'{i}.png')
    for name, index in (('face', 1_000_003), ('other', 1_000_007)):
        identity, attributes = toyfaces.face(index)
        Image.fromarray(np.asarray(toyfaces.render(identity, attributes, 160)[0])).save(folder / f'{name}.png')
    return folder


@pytest.fixture(scope='module')
def done() -> set[str]:
    """Commands that ran already: pages share a workspace, and a command that two pages show runs once."""
    return set()


def test_every_page_is_read() -> None:
    assert len(PAGES) >= 11
    commands, snippets = sum(len(commands_of(page)) for page in PAGES), sum(len(blocks_of(page, 'python')) for page in PAGES)
    assert commands >= FEWEST_COMMANDS and snippets >= FEWEST_SNIPPETS, (commands, snippets)


@pytest.mark.parametrize('page', PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r'\]\(([^)#\s]+)[^)]*\)', page.read_text(encoding='utf-8')):
        if '://' not in target:
            assert (page.parent / target).exists(), f'{page.name} links to {target}'


@pytest.mark.parametrize('page', [p for p in PAGES if commands_of(p)], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_run(page: Path, workspace: Path, done: set[str], monkeypatch: pytest.MonkeyPatch,
                      capsys: pytest.CaptureFixture[str]) -> None:
    from retouch.cli.main import main

    monkeypatch.chdir(workspace)
    commands = commands_of(page)
    ran = 0
    for arguments in commands:
        ran += 1
        if shlex.join(arguments) in done:
            continue
        short = cut_short(arguments)
        try:
            code = main(short)
        except SystemExit as exit:
            code = exit.code
        printed = capsys.readouterr()
        assert code in (None, 0), f'{page.name}: retouch {shlex.join(short)} ended with {code}: {printed.out[-2000:]}{printed.err[-2000:]}'
        done.add(shlex.join(arguments))
    assert ran == len(commands) > 0
    for state in workspace.glob('runs/*/state'):                 # of all pages together nearly 2 GB
        if state.parent.relative_to(workspace).as_posix() not in resumed():
            shutil.rmtree(state)


@functools.cache
def resumed() -> set[str]:
    """The words of the commands that resume something, the runs they resume among them."""
    return {word for page in PAGES for arguments in commands_of(page) if '--resume' in arguments for word in arguments}


@pytest.mark.parametrize('page', [p for p in PAGES if blocks_of(p, 'python')], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_snippets_run(page: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(workspace)
    for number, source in enumerate(blocks_of(page, 'python'), 1):
        exec(compile(source, f'{page.name}, snippet {number}', 'exec'), {'__name__': '__main__'})


def test_make_targets_exist() -> None:
    """A `make` command of a page names a target of the Makefile."""
    makefile = (ROOT / 'Makefile').read_text(encoding='utf-8')
    named = {t for page in PAGES for block in blocks_of(page, 'bash') for t in re.findall(r'^make ([a-z]+)', block, re.MULTILINE)}
    assert named >= {'install', 'demo', 'check', 'test'}
    for target in named:
        assert re.search(rf'^{target}:', makefile, re.MULTILINE), f'make {target} is not in the Makefile'


def test_the_picture_of_the_readme_is_small() -> None:
    """Pictures in the repository are drawn faces of a modest size."""
    pictures = sorted((ROOT / 'docs' / 'images').glob('*'))
    assert {'toyfaces.png', 'face.png'} <= {p.name for p in pictures}
    for path in pictures:
        assert path.stat().st_size < 1_000_000, f'{path.name} has {path.stat().st_size} bytes: expected less than 1 MB'


def test_the_reader_can_fail(tmp_path: Path) -> None:
    page = tmp_path / 'page.md'
    page.write_text('```bash\nmake x\nretouch edit a \\\n  --set A=1   # why\n```\n```\nretouch not this\n```\n```python\nx = 1\n```\n')
    assert commands_of(page) == [['edit', 'a', '--set', 'A=1']] and blocks_of(page, 'python') == ['x = 1\n']
