"""Rows of a suite as commands: printed one a line, or run side by side, where a failure stops no other and Ctrl-C stops all."""
from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from retouch.cli import comparing
from retouch.cli.arguments import parse
from retouch.cli.main import main
from retouch.cli.options import CompareOptions
from retouch.evaluation import jobs
from retouch.evaluation.jobs import ROW_BYTES, at_once, run_side_by_side
from tests.cli.test_suite import COMMAND, results  # noqa: F401

# What stands in for `retouch`: notes its beginning and its end, and behaves as its first word says.
STAND_IN = """
import os, signal, sys, time
what, journal = sys.argv[1:3]
def note(word):
    with open(journal, 'a') as file:
        file.write(f'{word} {what}\\n')
def stop(number, frame):
    note('saved')
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
note('begin')
print('working on', what, os.environ['OMP_NUM_THREADS'], file=sys.stderr)
if what == 'killed':
    os.kill(os.getpid(), signal.SIGKILL)
if what.startswith('long'):
    time.sleep(60)
time.sleep(0.2)
note('end')
if what == 'wrong':
    print('retouch: error: no such set', file=sys.stderr)
    sys.exit(2)
"""
PROGRAM = (sys.executable, '-c', STAND_IN)


def test_memory_lowers_the_number_at_once() -> None:
    assert at_once(4, 10, None) == (4, '') and at_once(4, 3, None) == (3, '') and at_once(4, 0, None) == (1, '')
    assert at_once(3, 10, 3 * ROW_BYTES) == (3, '') and at_once(64, 2, 3 * ROW_BYTES) == (2, '')
    jobs, line = at_once(8, 10, 3 * ROW_BYTES + 1)
    assert jobs == 3 and line.startswith('note: --jobs 8: 4.8 GB of memory are free') and line.endswith('so that 3 run at once')
    assert at_once(2, 10, 5) == (1, 'note: --jobs 2: 0.0 GB of memory are free and a row takes up to 1.6, so that 1 runs at once')


def test_a_row_that_fails_stops_no_other_and_says_why(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    journal, names = tmp_path / 'journal', ['one', 'wrong', 'killed', 'two', 'three']
    failed, interrupted = run_side_by_side({f'row {name}': [name, str(journal)] for name in names}, 2, 3, PROGRAM)
    assert failed == {'row wrong': 'no such set', 'row killed': 'ended by SIGKILL, as where memory runs out: lower --jobs'}
    assert not interrupted
    lines = [line.split() for line in journal.read_text().splitlines()]
    assert {name for word, name in lines if word == 'begin'} == {*names} and [n for w, n in lines if w == 'begin'][-1] == 'three'
    at_work = [0]
    for word, name in lines:
        at_work += [at_work[-1] + {'begin': 1, 'end': -1}[word]] if name != 'killed' else []         # which leaves no end
    assert max(at_work) <= 2 and at_work[-1] == 0
    said = capfd.readouterr().err.splitlines()
    assert 'row one: working on one 3' in said and 'row wrong: retouch: error: no such set' in said and len(said) == 6


def test_a_line_is_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that rows that speak at the same time never share one."""
    written: list[str] = []
    monkeypatch.setattr(sys, 'stderr', SimpleNamespace(write=written.append, flush=lambda: None))
    run_side_by_side({f'row {name}': [name, str(tmp_path / 'journal')] for name in ('one', 'wrong')}, 2, 3, PROGRAM)
    assert sorted(written) == ['row one: working on one 3\n', 'row wrong: retouch: error: no such set\n', 'row wrong: working on wrong 3\n']


def test_ctrl_c_stops_all_once_and_begins_no_other(tmp_path: Path) -> None:
    journal = tmp_path / 'journal'

    def press() -> None:
        while not journal.exists() or journal.read_text().count('begin long') < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    rows = {name: [name, str(journal)] for name in ('long-1', 'long-2', 'never')}
    assert run_side_by_side(rows, 2, 1, PROGRAM) == ({}, True)
    assert sorted(journal.read_text().split('\n')) == ['', 'begin long-1', 'begin long-2', 'saved long-1', 'saved long-2']


def test_ctrl_c_between_two_rows_is_an_interruption_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first has ended when it comes, so that nobody can be told; the second is not begun, and that must not pass for done."""
    begun: list[str] = []
    ended = SimpleNamespace(poll=lambda: 0, returncode=0)
    monkeypatch.setattr(jobs, '_start', lambda name, *_: (begun.append(name), (ended, SimpleNamespace(join=lambda: None), []))[1])
    monkeypatch.setattr(jobs.time, 'sleep', lambda seconds: os.kill(os.getpid(), signal.SIGINT))
    assert run_side_by_side({'one': [], 'two': []}, 1) == ({}, True) and begun == ['one']
    begun.clear()
    assert run_side_by_side({'one': []}, 1) == ({}, False) and begun == ['one'], 'all is done'


def test_the_command_names_what_failed_and_goes_on(results: Path, capsys: pytest.CaptureFixture[str],      # noqa: F811
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    only, asked = ['--only', 'stargan.eyeglasses', 'munit.toyfaces', '--seeds', '0'], list[tuple]()
    outcome: list[tuple[dict[str, str], bool]] = [({'munit.toyfaces-s0': 'no such set'}, False), ({}, True)]

    def stand_in(commands: dict[str, list[str]], jobs: int, threads: int) -> tuple[dict[str, str], bool]:
        asked.append((commands, jobs, threads))
        return outcome.pop(0)

    monkeypatch.setattr(comparing, 'run_side_by_side', stand_in)
    monkeypatch.setattr(comparing, 'free_memory', lambda: None)
    monkeypatch.setattr(comparing, 'cores', lambda: 6)
    assert main([*COMMAND, *only, '--jobs', '2']) == 2
    said = capsys.readouterr()
    assert said.err == 'retouch: error: munit.toyfaces-s0: no such set\n' and 'stargan.eyeglasses' in said.out
    one = 'compare --suite toyfaces --only {0} --seeds 0 --n 10 --threads 3'
    wanted = {f'{name}-s0': one.format(name).split() for name in ('stargan.eyeglasses', 'munit.toyfaces')}
    assert asked == [(wanted, 2, 3)]
    assert main([*COMMAND, *only, '--jobs', '2']) == 130
    again = capsys.readouterr().out.splitlines()
    assert again == [f'interrupted, nothing is lost: {results}',
                     f'  retouch compare --suite toyfaces {" ".join(only)} --n 10 --jobs 2']
    for words, expected in ((['--jobs', '0'], '--jobs 0: expected at least 1'),):
        assert main([*COMMAND, *words]) == 2 and expected in capsys.readouterr().err
    for flag in (['--jobs', '2'], ['--print-commands']):
        assert main(['compare', 'toyfaces', *flag]) == 2 and re.search(f'{flag[0]} needs --suite', capsys.readouterr().err)


def test_printed_commands_need_nothing_of_each_other(results: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:  # noqa: F811
    """Given one by one, in any order, they fill the table that the whole suite would."""
    folder, only = tmp_path / 'my results', ('stargan.eyeglasses', 'pix2pix.eyeglasses')
    words = [*COMMAND, '--only', *only, '--seeds', '0', '--threads', '1', '--out', str(folder)]
    assert main([*words, '--print-commands']) == 0 and not folder.exists()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(line.startswith('retouch compare --suite toyfaces --only ') for line in lines)
    for line, recipe in reversed([*zip(lines, only, strict=True)]):
        given = shlex.split(line)[1:]
        assert parse('compare', CompareOptions, given[1:]) == CompareOptions(suite='toyfaces', only=(recipe,), seeds=(0,), n=10, threads=1,
                                                                             out=folder)
        assert main(given) == 0
    assert sorted(path.name for path in folder.iterdir()) == ['pix2pix.eyeglasses-s0.json', 'stargan.eyeglasses-s0.json']
    capsys.readouterr()
    assert main([*words, '--jobs', '2', '--json']) == 0          # all is done: nothing is started
    rows = {row['name']: row['seeds'] for row in json.loads(capsys.readouterr().out)['rows']}
    assert rows['stargan.eyeglasses'] == rows['pix2pix.eyeglasses'] == [0] and rows['munit.toyfaces'] == []
