"""What Retouch keeps when it is killed, when the disk is full or cannot be written, and when two of it run at once.

    python benchmarks/endurance.py FOLDER [--kills 1000] [--only kills disk read-only truncated together clock]

`kills`: pictures are decoded, a tiny run is trained, scored, and stands as a row of a suite; every command is killed (SIGKILL) again and
again, half of the times at a moment drawn from its whole length, half in the middle of a save: before, within or after the writing, syncing
and renaming of a state, a model, a cache, a card, a piece of a card, a row, run.json or the log. After every kill what is on disk is whole,
and the same command goes on; in the end everything is bit for bit what it is without kills. What was done is kept in FOLDER: the script can
be stopped, and the same command goes on. One process imports Retouch and forks for every leg, so that a kill costs a fraction of a second.

`disk` fills a disk at every page that a training writes, `read-only` mounts the run directory so (both need the right to mount),
`truncated` cuts a state at every 4 KiB, `together` starts two processes on one run directory and on one cache, `clock` sets the clock back.
"""
from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from retouch import toyfaces
from retouch.cli.main import main as retouch
from retouch.data.cache import cached_images
from retouch.engine.config import TrainConfig
from retouch.engine.state import load_state
from retouch.model import find_model_dir, load_model
from retouch.recipes.registry import RECIPES
from retouch.recipes.suite import SUITES
from retouch.toyfaces.faces import drawing_hash

ROW, SEED = 'stargan.eyeglasses', 0
ITERATIONS, SAVE_EVERY, MOST_KILLS = 24, 2, 20                   # kills of one command before it may end undisturbed
# what a kill is aimed at: part of the name of a file that is written
TARGETS = {'state': 'last.pt', 'model': 'model/', 'cache': 'cache/', 'card': 'card.json', 'sums': 'tallies.npz', 'report': 'report.html',
           'piece of a card': 'unfinished/', 'row of a suite': f'{ROW}-s{SEED}.json', 'run.json': 'run.json', 'log': 'log.jsonl'}
AIMS = {'decode': ('cache',), 'train': (*['state'] * 5, *['model'] * 5, *['log'] * 2, 'run.json', 'cache'),
        'evaluate': ('card', 'sums', 'report', 'piece of a card', 'cache'), 'suite': ('row of a suite',)}
MOMENTS = ('within', 'before the sync', 'after the sync', 'before the rename', 'after the rename')
Aim = tuple[str, str, int]                                       # target, moment, which time


# ---- the work

def tiny_row() -> Any:
    """The row with a network of a few thousand weights, on faces of 32 px."""
    run = FULL()
    method = run.method.model_copy(update={'width_g': 4, 'width_d': 4, 'blocks': 1})
    train = TrainConfig(iterations=ITERATIONS, batch_size=2, ema=0.9, save_every=SAVE_EVERY, sample_every=4, log_every=1, threads=1)
    return run.model_copy(update={'method': method, 'data': run.data.model_copy(update={'n': 24}), 'train': train})


FULL = RECIPES[ROW]


def decode(home: Path) -> int:
    cached_images(sorted((home / 'pictures').iterdir()), 32, workers=1)
    return 0


def jobs(home: Path) -> dict[str, Callable[[], int]]:
    """The commands of a round, by name; what they write lies under `home`."""
    run = str(home / 'runs' / f'{ROW}-s{SEED}')
    return {'decode': lambda: decode(home),
            'train': lambda: retouch(['train', ROW, '--out', run, '--resume', 'auto']),
            'evaluate': lambda: retouch(['evaluate', run, '--protocol', 'eyeglasses', '--n', '6']),
            'suite': lambda: retouch(['compare', '--suite', 'tiny', '--n', '6', '--threads', '1'])}


def start_round(home: Path) -> None:
    """An empty place with pictures."""
    shutil.rmtree(home, ignore_errors=True)
    (home / 'pictures').mkdir(parents=True)
    for i, image in enumerate(toyfaces.draw_set(range(12), 48, workers=1)[0]):
        Image.fromarray(image).save(home / 'pictures' / f'{i}.png')
    os.environ.update(RETOUCH_CACHE=str(home / 'cache'), RETOUCH_RUNS=str(home / 'runs'))


def fingerprint(home: Path) -> dict[str, str]:
    """Digests of all that a round leaves, without times and places."""
    run = home / 'runs' / f'{ROW}-s{SEED}'
    state = load_state(run / 'state')
    assert state is not None
    found = {'weights and moments': _state(state),
             'model': _digest((run / 'model' / 'model.safetensors').read_bytes()), 'log': _digest(repr(_log(run))),
             'samples': _digest(repr([(p.name, _digest(p.read_bytes())) for p in sorted((run / 'samples').iterdir())]))}
    for name, path in {'card': run / 'card.json', 'row': home / 'runs' / 'leaderboard' / f'{ROW}-s{SEED}.json'}.items():
        card = json.loads(path.read_text())
        card = card.get('card', card)
        found[name] = _digest(repr((card['measures'], card['references'], card['checkpoint']['sha256'])))
    for pattern in ('images-*.npy', 'toyfaces-*.npy'):
        found[pattern] = _digest(repr(sorted(_digest(p.read_bytes()) for p in (home / 'cache').glob(pattern))))
    left = [p.name for p in run.rglob('*') if p.name.endswith(('.tmp', '.next.json')) or p.name == 'unfinished']
    found['left behind'] = repr(sorted(name for name in left if not name.startswith(('.card', '.tallies', '.report'))))      # for a day
    return found


def _state(state: dict[str, Any]) -> str:
    """All of it but the global random numbers, which no method draws from and nobody seeds."""
    return _digest(repr(_values({k: state[k] for k in ('iteration', 'trainable', 'ema', 'optimisers', 'ledger')})))


def _values(part: Any) -> Any:
    if isinstance(part, dict):
        return [(k, _values(v)) for k, v in part.items()]
    return _digest(part.contiguous().numpy().tobytes()) if torch.is_tensor(part) else part


def _log(run: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in json.loads(line).items() if k != 'time'} for line in (run / 'log.jsonl').read_text().splitlines()]


def _digest(of: bytes | str) -> str:
    return hashlib.sha256(of if isinstance(of, bytes) else of.encode()).hexdigest()[:16]


def check_whole(home: Path, seen: dict[str, int]) -> None:
    """What must hold after every kill: a state and a model that were there are there, whole, and no older than they were."""
    run = home / 'runs' / f'{ROW}-s{SEED}'
    state = load_state(run / 'state')                            # ValueError where it is not whole
    iteration = -1 if state is None else state['iteration']
    assert iteration >= seen.get('state', -1), f'the state fell from {seen["state"]} to {iteration}'
    seen['state'] = iteration
    if (run / 'model').is_dir() and any((run / 'model').glob('model.safetensors')) or 'model' in seen:
        of_model = load_model(find_model_dir(run)).info['iteration'] if (run / 'model' / 'config.json').exists() or 'model' in seen else -1
        assert of_model >= seen.get('model', -1)
        if of_model >= 0:
            seen['model'] = of_model
    for name in (run / 'run.json', run / 'card.json', home / 'runs' / 'leaderboard' / f'{ROW}-s{SEED}.json'):
        if name.exists():
            json.loads(name.read_text())


# ---- legs

def fork(work: Callable[[], int], out: Path, prepare: Callable[[], None] = lambda: None) -> int:
    """A child that does the work with its output in a file, and ends with its status. Returns its process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    if child := os.fork():
        return child
    try:
        file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        prepare()
        status = work()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        status = 99
    os._exit(status)


def status_of(child: int) -> int:
    """Waits. The exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def aimed(aim: Aim, told: int) -> None:
    """Makes this process die at the moment it is aimed at: by its own hand, or, within a write, by whoever reads `told`."""
    target, moment, left = TARGETS[aim[0]], aim[1], [aim[2]]
    sync, rename, opened = os.fsync, os.replace, open

    def hit(path: object, now: str) -> None:
        if now == moment and target in str(path):
            left[0] -= 1
            if left[0] == 0:
                if now == 'within':
                    os.write(told, b'!')
                else:
                    os.kill(os.getpid(), signal.SIGKILL)

    def fsync(number: int) -> None:
        path = os.readlink(f'/proc/self/fd/{number}')
        hit(path, 'before the sync')
        sync(number)
        hit(path, 'after the sync')

    def replace(a: Any, b: Any) -> None:
        hit(b, 'before the rename')
        rename(a, b)
        hit(b, 'after the rename')

    def open_and_tell(path: Any, mode: str = 'r', *more: Any, **options: Any) -> Any:
        file = opened(path, mode, *more, **options)
        if set(mode) & set('wax'):
            hit(path, 'within')
        return file

    import builtins
    import io

    os.fsync, os.replace = fsync, replace                        # type: ignore[assignment]
    builtins.open = io.open = open_and_tell                      # type: ignore[assignment]


def leg(work: Callable[[], int], out: Path, after: float | None, aim: Aim | None) -> int:
    """One command, killed `after` seconds, or as it is aimed; its status, -9 where it was killed."""
    mine, its = os.pipe()

    def prepare() -> None:
        os.close(mine)
        if aim is not None:
            aimed(aim, its)

    child = fork(work, out, prepare)
    os.close(its)
    if after is not None:
        select.select([mine], [], [], after)                     # ends early where the child does
        os.kill(child, signal.SIGKILL)
    elif aim is not None and aim[1] == 'within' and os.read(mine, 1):
        time.sleep(random.uniform(0, 0.004))
        os.kill(child, signal.SIGKILL)
    os.close(mine)
    return status_of(child)


def draw_aim(name: str) -> Aim:
    target = random.choice(AIMS[name])
    which = random.randint(1, 4) if target in ('state', 'model', 'log') else 1
    return target, random.choice(MOMENTS[:1] if target == 'log' else MOMENTS), which


def kill_many(folder: Path, kills: int) -> list[str]:
    """Rounds until so many kills were made. Returns lines for a page."""
    home, notes = folder / 'work', folder / 'kills.jsonl'
    start_round(home)
    lengths = {}
    for name, work in jobs(home).items():                        # the undisturbed round
        began = time.monotonic()
        status = leg(work, folder / 'said.txt', None, None)
        lengths[name] = time.monotonic() - began
        assert status == 0, (name, (folder / 'said.txt').read_text())
    expected = fingerprint(home)
    done = [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []
    rounds = max((row['round'] for row in done), default=0)
    while len(done) < kills:
        rounds += 1
        random.seed(rounds)
        start_round(home)
        seen: dict[str, int] = {}
        made: list[dict[str, Any]] = []
        for name, work in jobs(home).items():
            for attempt in range(10 ** 6):
                aim = draw_aim(name) if random.random() < 0.6 else None      # some aims find nothing to hit
                after = random.uniform(0, lengths[name]) if aim is None else None
                if attempt >= MOST_KILLS:
                    aim = after = None
                status = leg(work, folder / 'said.txt', after, aim)
                assert status in (0, -9), (rounds, name, aim, status, (folder / 'said.txt').read_text()[-2000:])
                check_whole(home, seen)
                if status == 0:
                    break
                made.append({'round': rounds, 'command': name, 'at': 'any moment' if aim is None else f'{aim[0]}, {aim[1]}'})
        found = fingerprint(home)
        different = {key: (value, found[key]) for key, value in expected.items() if value != found[key]}
        assert not different, (rounds, different)
        with open(notes, 'a') as file:
            file.write(''.join(json.dumps(row) + '\n' for row in made))
        done += made
        print(f'{len(done)} kills in {rounds} rounds', flush=True)
    aims = Counter(row['at'].partition(',')[0] for row in done)
    return [f'{len(done)} kills in {rounds} rounds: {", ".join(f"{count} {name}" for name, count in aims.most_common())}; '
            'every round ended bit for bit as the undisturbed one']


# ---- disks, clocks, company

@contextlib.contextmanager
def disk(place: Path, size: str) -> Iterator[None]:
    """A small file system in memory."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(['umount', '-l', str(place)], check=True)


def one_line(said: str, status: int) -> None:
    """A refusal is status 2 and one line without a traceback, after lines that say where the run is."""
    errors = [line for line in said.splitlines() if 'error' in line.lower()]
    assert status == 2 and len(errors) == 1 and errors[0].startswith('retouch: error: ') and 'Traceback' not in said, (status, said)


def reference(folder: Path) -> tuple[Path, dict[str, str]]:
    """An undisturbed round."""
    home = folder / 'work'
    start_round(home)
    for work in jobs(home).values():
        assert leg(work, folder / 'said.txt', None, None) == 0, (folder / 'said.txt').read_text()
    return home, fingerprint(home)


def fill_disk(folder: Path) -> list[str]:
    """A training on a disk that is full after so many pages, for every number of pages; then with room it goes on."""
    home, expected = reference(folder)
    run, tried, refused = home / 'runs' / f'{ROW}-s{SEED}', 0, 0
    pages = 4 + sum(-(-p.stat().st_size // 4096) + 1 for p in run.rglob('*') if p.suffix != '.html') * 2
    for free in range(1, pages):
        shutil.rmtree(home / 'runs')
        with disk(home / 'runs', f'{4 * free}k'):
            status = leg(jobs(home)['train'], folder / 'said.txt', None, None)
            said = (folder / 'said.txt').read_text()
            if status != 0:
                one_line(said, status)
                refused += 1
            load_state(run / 'state')
            subprocess.run(['mount', '-o', 'remount,size=64m', str(home / 'runs')], check=True)
            assert leg(jobs(home)['train'], folder / 'said.txt', None, None) == 0, (free, said, (folder / 'said.txt').read_text())
            state = load_state(run / 'state')
            assert state is not None
            assert (_state(state), _digest(repr(_log(run)))) == (expected['weights and moments'], expected['log']), free
        tried += 1
        if status == 0 and free > 20:
            break
    return [f'{tried} sizes of a disk, 4 KiB apart: {refused} trainings stopped with one line, all went on to the same weights and log']


def read_only(folder: Path) -> list[str]:
    """Commands on a run directory that cannot be written."""
    home, _ = reference(folder)
    kept = folder / 'kept'
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(home / 'runs', kept)
    with disk(home / 'runs', '64m'):
        shutil.copytree(kept, home / 'runs', dirs_exist_ok=True)
        subprocess.run(['mount', '-o', 'remount,ro', str(home / 'runs')], check=True)
        run = str(home / 'runs' / f'{ROW}-s{SEED}')
        commands = {'train': ['train', run, '--resume', 'auto', '--train.iterations', '30'], 'new': ['train', ROW, '--out', run + '/new'],
                    'evaluate': ['evaluate', run, '--protocol', 'eyeglasses', '--n', '6']}
        for words in commands.values():
            status = leg(lambda words=words: retouch(words), folder / 'said.txt', None, None)
            one_line((folder / 'said.txt').read_text(), status)
        picture = str(next((home / 'pictures').iterdir()))
        words = ['edit', run, picture, '--set', 'Eyeglasses=1', '--out', str(home / 'edits')]
        assert leg(lambda: retouch(words), folder / 'said.txt', None, None) == 0, (folder / 'said.txt').read_text()
    return [f'a run directory mounted read-only: {", ".join(commands)} refused in one line; edit works']


def truncate(folder: Path) -> list[str]:
    """A state cut at every 4 KiB is refused in one line, and never taken."""
    home, _ = reference(folder)
    path = home / 'runs' / f'{ROW}-s{SEED}' / 'state' / 'last.pt'
    whole = path.read_bytes()
    cuts = [*range(0, len(whole), 4096), len(whole) - 1]
    for cut in cuts:
        path.write_bytes(whole[:cut])
        status = leg(jobs(home)['train'], folder / 'said.txt', None, None)
        said = (folder / 'said.txt').read_text()
        one_line(said, status)
        assert 'last.pt cannot be read' in said and path.read_bytes() == whole[:cut], (cut, said)
    return [f'{len(cuts)} cuts of a state of {len(whole):,} bytes: each refused in one line']


def together(folder: Path, times: int = 20) -> list[str]:
    """Two processes start at once."""
    home, expected = reference(folder)
    outcomes: Counter[str] = Counter()
    for _ in range(times):
        start_round(home)
        for name in ('decode', 'train'):
            children = [fork(jobs(home)[name], folder / f'said{i}.txt') for i in (0, 1)]
            statuses = [status_of(child) for child in children]
            assert 0 in statuses, [(folder / f'said{i}.txt').read_text() for i in (0, 1)]
            for i, status in enumerate(statuses):
                if status:
                    one_line((folder / f'said{i}.txt').read_text(), status)
            outcomes[f'{name}: {"both" if statuses == [0, 0] else "one, the other refused in one line"}'] += 1
        for name in ('evaluate', 'suite'):
            assert leg(jobs(home)[name], folder / 'said.txt', None, None) == 0, (folder / 'said.txt').read_text()
        found = fingerprint(home)
        assert found == expected, {k: (v, found[k]) for k, v in expected.items() if v != found[k]}
    counted = '; '.join(f'{what} ({count})' for what, count in outcomes.items())
    return [f'two processes at once, {times} times: {counted}; results as of one']


def set_clock_back(folder: Path) -> list[str]:
    """time.time falls by an hour at every call."""
    home, expected = reference(folder)
    start_round(home)
    now = [time.time()]

    def falling() -> float:
        now[0] -= 3600
        return now[0]

    def backwards() -> None:
        time.time = falling

    for work in jobs(home).values():
        child = fork(work, folder / 'said.txt', backwards)
        assert status_of(child) == 0, (folder / 'said.txt').read_text()
    found = fingerprint(home)
    assert found == expected, {k: (v, found[k]) for k, v in expected.items() if v != found[k]}
    return ['the clock falls by an hour at every look: everything as without']


def import_all(folder: Path) -> None:
    """Imports what the commands import on their way, so that no leg has to: a child goes through a round and says what it was."""
    home = folder / 'work'

    def say() -> int:
        statuses = [work() for work in jobs(home).values()]
        (folder / 'modules.txt').write_text('\n'.join(sys.modules))
        return max(statuses)

    start_round(home)
    assert status_of(fork(say, folder / 'said.txt')) == 0, (folder / 'said.txt').read_text()
    for name in (folder / 'modules.txt').read_text().split():
        with contextlib.suppress(Exception):
            importlib.import_module(name)


CAMPAIGNS: dict[str, Callable[..., list[str]]] = {'kills': kill_many, 'disk': fill_disk, 'read-only': read_only, 'truncated': truncate,
                                                  'together': together, 'clock': set_clock_back}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('--kills', type=int, default=1000)
    parser.add_argument('--only', nargs='*', choices=list(CAMPAIGNS), default=list(CAMPAIGNS))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)                                     # threads do not survive a fork
    RECIPES[ROW], SUITES['tiny'] = tiny_row, {ROW: (SEED,)}
    drawing_hash()
    import_all(options.folder.resolve())
    for name in options.only:
        began = time.monotonic()
        lines = CAMPAIGNS[name](options.folder.resolve(), *([options.kills] if name == 'kills' else []))
        for line in lines:
            print(f'{name}: {line} ({time.monotonic() - began:.0f} s)', flush=True)


if __name__ == '__main__':
    main()
