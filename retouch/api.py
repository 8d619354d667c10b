"""The Python door: `from retouch import Editor, train, evaluate, compare, load_run`.

What is wrong with an argument is a ValueError whose message is the one that the command prints. Nothing is printed unless `progress` asks
for it, nothing exits, the caller's random numbers (torch, numpy, Python) stay what they were. Any thread may call; as torch has one stream
of random numbers for all of them, a call waits until that of another thread is done.
"""
from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retouch.engine.state import rng_state, set_rng_state
from retouch.errors import missing_extra
from retouch.files import check_out
from retouch.hardware import find_device
from retouch.recipes.registry import load_run, override
from retouch.run import Init, Run
from retouch.terminal import progress_bar

if TYPE_CHECKING:
    from retouch.evaluation.card import Card
    from retouch.evaluation.comparison import Comparison
    from retouch.evaluation.evaluate import Named

__all__ = ['compare', 'evaluate', 'load_run', 'resolve', 'train']
Data = str | Path | Sequence[str | Path]
_ONE = threading.RLock()         # a callback of the same thread may call again


def train(recipe_or_run: str | Path | Run, data: Data | None = None, out: str | Path | None = None, resume: str | None = None,
          on_log: Callable[[int, dict[str, float]], None] | None = None, *, stop_after: int | None = None, progress: bool = False,
          init: str | Path | None = None, init_optimiser: bool = False, **changes: Any) -> Path:
    """Trains a system, or replays or continues a run.

        train('aggan_multi.demo', data='faces/', **{'train.iterations': 100})

    Args:
        recipe_or_run: a recipe's name, a run.json, a run directory, or a Run.
        data: folder of pictures, two folders, or toyfaces; short for the change data.source.
        out: run directory; None: runs/RECIPE, below RETOUCH_RUNS if that is set.
        resume: 'auto' continues from the run directory's saved state, if there is one; None refuses a directory that has one.
        on_log: called with (iteration, row) at every log line; what it raises stops the run, with its state saved.
        stop_after: save and stop after this iteration.
        progress: a bar on stderr.
        init: begin with the weights of this run directory, model directory or shipped model, as far as they fit.
        init_optimiser: take the state of its optimisers too.
        **changes: fields of the run by their dotted names, as `retouch train RECIPE --help` lists them.

    Returns:
        the run directory.

    Raises:
        ValueError: bad data or configuration; FloatingPointError: not finite; OSError: disk full.
        KeyboardInterrupt: Ctrl-C. The last good state is always kept.
    """
    if resume not in (None, 'auto'):
        raise ValueError(f'--resume {resume}: expected auto')
    if on_log is not None and not callable(on_log):
        raise ValueError(f'on_log={on_log!r}: expected a function of iteration and row')
    _check('stop_after', stop_after, int)
    _check('out', out, str, Path)
    _check('init', init, str, Path)
    with _extras():
        from retouch.training import train_run
    with _alone():
        changes |= {} if data is None else {'data.source': _source(data)}
        run, folder = resolve(recipe_or_run, changes, out, resume, init, init_optimiser)
        folder, outcome = train_run(run, folder, resume, stop_after, progress, on_log, f'retouch.train({run.recipe or run.method_id!r}, …)')
    if outcome == 'interrupted':
        raise KeyboardInterrupt
    return folder


def evaluate(model: Named, data: Data | None = None, protocol: str | None = None, n: int | None = None, *, seed: int = 0,
             judge: Named | None = None, parser: Named | None = None, features: Sequence[str] = (), weights: str | Path | None = None,
             download: bool = False, proxy: bool = False, size: int | None = None, device: str = 'auto', out: str | Path | None = None,
             progress: bool = False, edits: Sequence[str] = ()) -> Card:
    """Scores a model: `retouch evaluate`, whose options have the same names.

    Args:
        model: a run directory, a model directory, a shipped model, or a loaded Model.
        data: folder of pictures, two folders, or toyfaces, in place of the model's own data.
        protocol: what is measured and how; None: the one that fits the model's data.
        n: held-out pictures; None: the protocol's, and of a folder all there are.
        seed: which held-out pictures, and of the bootstrap.
        judge: the classifier that decides whether an edit worked; None: the shipped one, where it can judge.
        parser: a face parser, which adds PSNR outside the parts of a face that an edit names.
        features: networks whose measures are added, of `retouch.metrics.features.NAMES`.
        weights: folder of their files; None: RETOUCH_WEIGHTS, else torch's cache.
        download: fetch those that are missing and have a published digest.
        proxy: with a paper's protocol: features of the judge stand in for published weights.
        size: classifiers: side of the pictures before they are brought to the model's.
        device: auto, cpu, cuda or mps.
        out: folder for card.json and tallies.npz, from which `compare` takes paired differences; None: nothing is written.
        progress: a bar on stderr.
        edits: what is asked of a system of attributes: 'Eyeglasses', 'Male=1', 'Blond_Hair+Pale_Skin'; empty: each alone.

    Raises:
        ValueError: a model, protocol, data or weights that do not exist or do not go together.
    """
    with _extras():
        from retouch.evaluation.evaluate import Request
        from retouch.evaluation.evaluate import evaluate as score
        from retouch.evaluation.ledger import Ledger
    if isinstance(features, str) or not isinstance(features, Sequence):
        raise ValueError(f'features={features!r}: expected a list of names')
    for name, value in (('n', n), ('size', size)):
        _check(name, value, int)
    _check('protocol', protocol, str)
    _check('out', out, str, Path)
    if not isinstance(seed, int):
        raise ValueError(f'seed={seed!r}: expected a whole number')
    folder = None if out is None else Path(out)
    check_out(folder)
    with _alone(), _bar(progress) as told:
        request = Request(model, None if data is None else _source(data), protocol, n, seed, size, judge, parser, proxy, tuple(features),
                          weights, download, device, tuple(edits))
        ledger = Ledger(folder)
        card = score(request, ledger, told).card
        if folder is not None:
            ledger.close(card)
    return card


def compare(models: Sequence[str | Path], *, device: str = 'auto', progress: bool = False) -> Comparison:
    """Several models' cards in one table, with the differences to the first one on the same pictures.

    Args:
        models: run directories, model directories, shipped models or folders that `evaluate` wrote; one without a card is evaluated.
        device: of those that are evaluated.
        progress: a bar on stderr.

    Returns:
        the Comparison: `rows`, `differences` (paired, where the sums behind both cards are known), `to_markdown()`.

    Raises:
        ValueError: no such model, or cards of different protocols.
    """
    with _extras():
        from retouch.evaluation.comparison import cards_to_comparison, find_card
        from retouch.evaluation.evaluate import Request
        from retouch.evaluation.evaluate import evaluate as score
        from retouch.evaluation.ledger import Ledger
    if isinstance(models, str | Path) or not isinstance(models, Sequence) or not all(isinstance(name, str | Path) for name in models):
        raise ValueError(f'models={models!r}: expected a list of run directories, model directories or shipped models')
    find_device(device)
    with _alone(), _bar(progress) as told:
        cards, tallies = {}, {}
        for name in models:
            found = find_card(name)
            if found is None:
                ledger = Ledger()
                found = score(Request(name, device=device), ledger, told).card, ledger.tallies
            cards[str(name)], tallies[str(name)] = found
        return cards_to_comparison(cards, tallies)


def resolve(recipe_or_run: str | Path | Run, changes: Mapping[str, Any], out: str | Path | None = None,
            resume: str | None = None, init: str | Path | None = None, init_optimiser: bool = False) -> tuple[Run, Path | None]:
    """A run with its changes, and its directory if that is known: a run that is resumed by its own name goes on where it lies."""
    run = override(recipe_or_run if isinstance(recipe_or_run, Run) else load_run(recipe_or_run), changes)
    if init is not None:
        run = run.model_copy(update={'init': Init(path=str(init), optimiser=init_optimiser)})
    elif init_optimiser:
        raise ValueError('--init-optimiser: expected --init beside it, which names the run')
    if out is not None or not resume or isinstance(recipe_or_run, Run):
        return run, None if out is None else Path(out)
    named = Path(recipe_or_run)
    folder = named if named.is_dir() else named.parent
    return run, folder if (folder / 'run.json').is_file() and folder != Path() else None


def _check(name: str, value: object, *kinds: type) -> None:
    """ValueError for a value that is neither None nor of these kinds."""
    if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
        raise ValueError(f'{name}={value!r}: expected {"a whole number" if kinds == (int,) else "text" if kinds == (str,) else "a path"}')


def _source(data: Data) -> str:
    """A folder, or two as A,B."""
    if not isinstance(data, str | Path) and not (isinstance(data, Sequence) and len(data) == 2):
        raise ValueError(f'data={data!r}: expected a folder, two folders or toyfaces')
    return str(data) if isinstance(data, str | Path) else ','.join(map(str, data))


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One call at a time, and random numbers go on for the caller as if there had been none."""
    with _ONE:
        before = rng_state()
        try:
            yield
        finally:
            set_rng_state(before)


@contextlib.contextmanager
def _extras() -> Iterator[None]:
    """A missing extra is a ValueError that names it."""
    try:
        yield
    except ModuleNotFoundError as error:
        line = missing_extra(error)
        if line is None:
            raise
        raise ValueError(line) from error


@contextlib.contextmanager
def _bar(show: bool) -> Iterator[Callable[[int, int, str], None] | None]:
    with progress_bar() if show else contextlib.nullcontext() as told:
        yield told
