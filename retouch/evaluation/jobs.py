"""Rows of a suite as commands of their own: printed for a scheduler, or run side by side here, a process a row and so many at once.

Rows meet in the folders alone: each has a run directory and a record of its own, the parser that guides some is trained by whichever comes
first, and pictures are drawn once. A command that ended may be given again, and goes on.
"""
from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread

from retouch.engine.fit import Interrupt

ROW_BYTES = 1_600_000_000        # scoring 500 faces holds 1.2 GB (docs/evaluation.md), training a small recipe less; and some room
RETOUCH = (sys.executable, '-m', 'retouch')


def row_to_command(suite: str, recipe: str, seed: int, folder: Path | None, n: int | None, threads: int | None,
                   parser: str | None) -> list[str]:
    """The words of `retouch compare --suite` for one row alone, without `retouch`; what is None is left to its default."""
    given = {'--n': n, '--threads': threads, '--parser': parser, '--out': folder}
    return ['compare', '--suite', suite, '--only', recipe, '--seeds', str(seed),
            *(str(word) for flag, value in given.items() if value is not None for word in (flag, value))]


def at_once(jobs: int, rows: int, free: int | None) -> tuple[int, str]:
    """How many rows run side by side, and a line where these are fewer than asked for.

    Args:
        jobs: asked for.
        rows: there are.
        free: bytes of memory; None: not known, so that nothing is held against it.
    """
    fits = jobs if free is None else max(free // ROW_BYTES, 1)
    if fits >= min(jobs, rows):
        return max(min(jobs, rows), 1), ''
    return fits, (f'note: --jobs {jobs}: {(free or 0) / 1e9:.1f} GB of memory are free and a row takes up to {ROW_BYTES / 1e9:.1f}, so '
                  f'that {fits} run{"s" * (fits == 1)} at once')


def run_side_by_side(commands: Mapping[str, Sequence[str]], jobs: int, threads: int = 1,
                     program: Sequence[str] = RETOUCH) -> tuple[dict[str, str], bool]:
    """Runs commands, `jobs` at once in the order given; their lines come out with the name in front.

    Ctrl-C or SIGTERM is handed on once, and all are waited for; a second Ctrl-C ends them. One that fails stops no other.

    Args:
        commands: name -> words of a `retouch` command.
        jobs: at least 1.
        threads: of each.
        program: what `retouch` is.

    Returns:
        name -> the last line of each that failed, and whether the work was interrupted.
    """
    waiting, running, failed = list(commands), dict[str, tuple[subprocess.Popen[str], Thread, list[str]]](), dict[str, str]()
    told = False
    with Interrupt() as interrupt:
        try:
            while running or (waiting and interrupt.signal is None):
                while waiting and len(running) < jobs and interrupt.signal is None:
                    name = waiting.pop(0)
                    running[name] = _start(name, [*program, *commands[name]], threads)
                if interrupt.signal is not None and not told:
                    told = True
                    for process, _, _ in running.values():
                        process.terminate()
                for name, (process, reader, lines) in [*running.items()]:
                    if process.poll() is not None:
                        reader.join()
                        del running[name]
                        if process.returncode and not told:
                            failed[name] = _why(process.returncode, lines)
                time.sleep(0.1)
        finally:
            for process, _, _ in running.values():
                process.kill()
    return failed, told or bool(waiting)                         # asked to stop between two rows: nobody was told, but some wait


def _start(name: str, words: Sequence[str], threads: int) -> tuple[subprocess.Popen[str], Thread, list[str]]:
    """A process in a group of its own, so that Ctrl-C in a terminal reaches it through us alone, and once."""
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               errors='replace', process_group=0, env={**os.environ, 'OMP_NUM_THREADS': str(threads)})
    lines: list[str] = []

    def read() -> None:
        assert process.stderr is not None
        with process.stderr as stream:
            for line in stream:
                lines[:] = [line.rstrip()]                       # the last one says why
                sys.stderr.write(f'{name}: {lines[0]}\n')        # at once: print writes the line's end apart, and rows would share lines
                sys.stderr.flush()

    reader = Thread(target=read, daemon=True)
    reader.start()
    return process, reader, lines


def _why(status: int, lines: Sequence[str]) -> str:
    if status < 0:
        hint = ', as where memory runs out: lower --jobs' if status == -signal.SIGKILL else ''
        return f'ended by {signal.Signals(-status).name}{hint}'
    return (lines[-1] if lines else f'exit status {status}').removeprefix('retouch: error: ')


def commands_to_text(commands: Mapping[str, Sequence[str]]) -> str:
    """One command a line, for an array of jobs or `parallel`."""
    return '\n'.join(shlex.join(['retouch', *words]) for words in commands.values())
