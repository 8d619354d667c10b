"""Trains a Run into a run directory: builds the method and its data, hands both to the engine, records what was done."""
from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from retouch.data.configs import DataConfig, DomainData, PairData
from retouch.data.parsing import IDS
from retouch.data.sets import AttributeSet, TwoSets, make_loader, open_set, set_to_hash
from retouch.data.splits import domain_files, files_of, pair_files
from retouch.engine.fit import fit, measure
from retouch.engine.initial import take_optimisers, take_weights
from retouch.engine.lightning import Fabric
from retouch.engine.logs import Meter, read_jsonl
from retouch.engine.state import load_state
from retouch.engine.trainer import Trainer
from retouch.errors import one_line
from retouch.files import alone_in, read_json, write_atomically
from retouch.hardware import hardware
from retouch.methods.registry import find_method
from retouch.model import load_model, model_to_parser, read_origin, read_start, save_model
from retouch.run import Run, resumed, started
from retouch.version import __version__

COMPILER = 'inductor'
Outcome = Literal['finished', 'stopped', 'interrupted']


def runs_folder() -> Path:
    """RETOUCH_RUNS, or runs/ below the current directory."""
    return Path(os.environ.get('RETOUCH_RUNS') or 'runs')


def default_out(run: Run) -> Path:
    """<recipe> in the folder of runs."""
    return runs_folder() / (run.recipe or run.method_id)


def build(run: Run, opened: AttributeSet | Any) -> Any:
    """The method of a run, initialised from its seed, on the CPU."""
    labels = getattr(run.method, 'labels', None)
    where = 'method.backbone.labels' if hasattr(run.method, 'backbone') else 'method.labels'
    if labels == 'multi' and getattr(opened, 'exclusive', False):
        raise ValueError(f"{where}='multi' on a set with one class a picture (class folders): set --{where} single "
                         '--data.targets permute')
    if labels == 'single' and isinstance(opened, AttributeSet) and not bool((opened.labels.sum(1) == 1).all()):
        raise ValueError(f"{where}='single' on a set whose pictures have none or several attributes: use class folders, drawn faces with "
                         f'--data.one-of true, or a system that learns from several at once, with --{where} multi')
    targets = getattr(run.data, 'targets', '')
    if labels == 'single' and targets == 'single' and run.method_id != 'classifier':
        raise ValueError(f"data.targets='single' with {where}='single': one flipped class is no class; set --data.targets permute")
    if labels != 'single' and (targets in ('other', 'pair') or getattr(run.data, 'balance', False)):
        raise ValueError(f'data.targets={targets!r} and data.balance are for one class a picture: set --{where} single, or --data.targets '
                         'permute --data.balance false')
    torch.manual_seed(run.seed)
    method = find_method(run.method_id)(run.method, opened.spec)
    if getattr(run.method, 'uses_parser', False):
        method.nets['P'].load_state_dict(_read_parser(run).nets['parser'].state_dict())
    return method


def _read_parser(run: Run) -> Any:
    """The parser that guides a system. ValueError where there is none, or one of another size, list of classes or width."""
    c, size = run.method, run.data.size
    if not c.parser:
        recipe = 'parser.toyfaces48' if run.data.source == 'toyfaces' else 'parser.celebamask --data CelebAMask-HQ'
        raise ValueError(f'method.parser is not set: expected a face parser of {size} px; train one with `retouch train {recipe} '
                         f'--data.size {size} --out runs/parser` and pass --method.parser runs/parser')
    parser = model_to_parser(load_model(c.parser), size).method
    names, width = parser.data.attributes, parser.config.width
    if names != IDS[c.parser_classes]:
        listed = next((ids for ids, known in IDS.items() if known == names), None)
        fix = f'set --method.parser-classes {listed}' if listed else f'use a parser of one of the lists {", ".join(IDS)}'
        raise ValueError(f'{c.parser} names {len(names)} classes, {", ".join(names[:3])}, …: expected those of '
                         f'parser_classes={c.parser_classes}; {fix}')
    if width != c.parser_width:
        raise ValueError(f'{c.parser} has width {width}: expected parser_width={c.parser_width}; set --method.parser-width {width}')
    return parser


def make_trainer(run: Run, fabric: Fabric, show: bool) -> tuple[Trainer, Any, str]:
    """Trainer and loader of a run, and the hash of its training set."""
    method_class = find_method(run.method_id)
    if method_class.kind != run.data.kind:
        raise ValueError(f'{run.method_id} trains on {method_class.kind}, the data section says {run.data.kind}: use a recipe of that kind')
    if getattr(run.method, 'uses_parser', False):
        _read_parser(run)                                        # what does not fit is said before a large set is decoded
    opened = open_set(run.data, 'train', _progress('preparing pictures') if show else None)
    trainable = build(run, opened)
    if run.train.channels_last:
        trainable.to(memory_format=torch.channels_last)
    if run.train.compile:
        compile_nets(trainable)
    trainer = Trainer(trainable, fabric, run.train.iterations, run.train.ema)
    rule = getattr(run.method, 'label_rule', 'attgan_tf')
    loader = make_loader(opened, run.data, run.train.batch_size, run.seed, fabric.device, fabric.global_rank, fabric.world_size, rule)
    return trainer, loader, set_to_hash(opened)


def compile_nets(trainable: Any) -> None:
    """Compiles the networks that a method names in `compiles`, in place, once for every shape they meet. ValueError where it names none."""
    names = getattr(trainable, 'compiles', ())
    if not names:
        raise ValueError(f'train.compile of {trainable.id}: its networks are called in parts or differentiated twice; leave '
                         '--train.compile false')
    for name in names:
        trainable.nets[name].compile(backend=COMPILER, dynamic=False)


def make_fabric(run: Run) -> Fabric:
    """Devices from the environment: one process, or those that torchrun started (gloo or nccl)."""
    world = int(os.environ.get('WORLD_SIZE', '1'))
    if world > 1:
        local, nodes = int(os.environ.get('LOCAL_WORLD_SIZE', world)), int(os.environ.get('GROUP_WORLD_SIZE', '1'))
        fabric = Fabric(accelerator='auto', devices=local, num_nodes=nodes, strategy='ddp', precision=run.train.precision)
    else:
        fabric = Fabric(accelerator='auto', devices=1, precision=run.train.precision)
    fabric.launch()
    return fabric


def in_iterations(run: Run) -> Run:
    """A run whose length in epochs is in iterations: as many whole batches as the set, or the larger of two domains, has in that time.

    So count Ha0Tang/AttentionGAN @ 45da496 and junyanz/pytorch-CycleGAN-and-pix2pix (the larger domain) and elvisyjlin/AttGAN-PyTorch
    @ be2d6c6 (no batch that is not full).
    """
    epochs = run.train.epochs
    if epochs is None:
        return run
    batch = run.train.batch_size * int(os.environ.get('WORLD_SIZE', '1'))
    iterations = epochs * max(1, pictures_of(run.data) // batch)
    return run.model_copy(update={'train': run.train.model_copy(update={'iterations': iterations, 'epochs': None})})


def pictures_of(config: DataConfig) -> int:
    """How many pictures an epoch has: those of the training part, of two domains the larger one's, of pairs one each."""
    if config.source == 'toyfaces':
        opened = open_set(config)
        return max(len(opened.a), len(opened.b)) if isinstance(opened, TwoSets) else len(opened.images)
    if isinstance(config, DomainData):
        return max(map(len, domain_files(config, 'train')))
    return len(pair_files(config, 'train')) if isinstance(config, PairData) else len(files_of(config))


def train_run(run: Run, out: Path | None = None, resume: str | None = None, stop_after: int | None = None,
              show: bool = True, on_log: Callable[[int, dict[str, float]], None] | None = None,
              command: str | None = None) -> tuple[Path, Outcome]:
    """Trains a run.

    Args:
        run: what to do.
        out: run directory; None: `default_out`.
        resume: 'auto' continues from a saved state if there is one; None refuses a directory that has one.
        stop_after: save and stop after this iteration, as Ctrl-C would.
        show: live progress on stderr.
        on_log: as of `engine.fit.fit`.
        command: who asked, for the record; None: the command line.

    Returns:
        the run directory and how the training ended.

    Raises:
        ValueError: bad data or configuration; FloatingPointError: not finite; OSError: disk full. The last good state is always kept.
    """
    if stop_after is not None and stop_after < 0:
        raise ValueError(f'--stop-after {stop_after}: expected at least 0')
    with _threads(run.train.threads):
        run, command = in_iterations(run), command or shlex.join(['retouch', *sys.argv[1:]])
        return _train(run, out or default_out(run), resume, stop_after, show, on_log, command)


def _train(run: Run, out: Path, resume: str | None, stop_after: int | None, show: bool,
           on_log: Callable[[int, dict[str, float]], None] | None, command: str) -> tuple[Path, Outcome]:
    fabric = make_fabric(run)
    with contextlib.ExitStack() as stack:                        # a new directory is made once it is sure that the run can begin
        if fabric.global_rank == 0 and out.is_dir():
            stack.enter_context(alone_in(out))
        return _train_alone(run, out, resume, stop_after, show, on_log, command, fabric, stack)


def _train_alone(run: Run, out: Path, resume: str | None, stop_after: int | None, show: bool,
                 on_log: Callable[[int, dict[str, float]], None] | None, command: str, fabric: Fabric,
                 stack: contextlib.ExitStack) -> tuple[Path, Outcome]:
    existed = out.is_dir()
    main = fabric.global_rank == 0
    state = load_state(out / 'state')
    _check_same_folder(out, state, fabric)
    if state is None and (out / 'model').exists():
        raise ValueError(f'{out} holds a model without the state it was trained from: choose another --out, so that it is not overwritten')
    if state is not None and resume != 'auto':
        raise ValueError(f'{out} already holds a run at iteration {state["iteration"]}: continue it with --resume auto, '
                         'or choose another --out')
    if state is None:
        run = started(run, fabric.world_size)
        trainer, loader, pictures = make_trainer(run.at(0), fabric, show and main)
        run, told = begin(run, trainer)
        if hasattr(trainer.trainable, 'look_at'):
            trainer.trainable.look_at(loader.first)
        record = _record(run, trainer, pictures, command)
        if run.init is not None and (origin := read_origin(run.init.path)) is not None:
            record['begun_with'] = origin                        # its terms hold for what is made of it
        if main and not existed:
            out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(alone_in(out))
            if (out / 'state').exists():                         # another process was quicker, and has ended
                raise ValueError(f'{out} already holds a run: continue it with --resume auto, or choose another --out')
    else:
        record = _read_record(out / 'run.json')
        before, run = resumed(record, run, fabric.world_size, state.get('world_size'), state['iteration'], out)
        trainer, loader, pictures = make_trainer(run.at(state['iteration']), fabric, show and main)
        if record.get('pictures', pictures) != pictures:
            raise ValueError(f'{run.data.source} is not the set that {out} was started with (its pictures, their number or order '
                             'changed): put the set back, say where it lies with --data, or choose another --out')
        try:
            trainer.load_state_dict(state)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f'{out / "state"} does not fit this run ({str(error).splitlines()[0]}): the configuration must be the one '
                             'it was started with; choose another --out to start anew') from error
        told = [f'resumed at iteration {trainer.iteration}', *(change.line for change in run.history if change not in before.history)]
        if before.processes != fabric.world_size and trainer.keeps_its_own():
            told.append(f'note: every process of {run.method_id} keeps pools, maps or batch statistics of its own: with another number '
                        'of them it goes on, but not digit for digit')
        record = {**record, 'run': run.model_dump(mode='json')}
    if main and (state is None or run != before):
        write_atomically(out / 'run.json', (json.dumps(record, indent=2) + '\n').encode(), alone=True)
    if show and main:
        print(''.join(f'{line}\n' for line in told), end='', file=sys.stderr)

    def export(folder: Path, weights: dict[str, Tensor], iteration: int) -> None:
        info = {'recipe': run.recipe, 'iteration': iteration, 'iterations': run.at(iteration).train.iterations, 'seed': run.seed,
                'ema': run.train.ema, 'batch_size': run.train.batch_size, 'data': run.data.model_dump(mode='json')}
        if 'begun_with' in record:
            info['begun_with'] = record['begun_with']
        note_time()                                              # before a model says that the training has ended
        save_model(folder, trainer.trainable, weights, info)

    def note_time() -> None:
        spent = {'until_iteration': trainer.iteration, 'seconds': round(time.monotonic() - began, 1), 'hardware': hardware(fabric.device)}
        write_atomically(out / 'time.jsonl', ''.join(f'{json.dumps(leg)}\n' for leg in (*legs, spent)).encode(), alone=True)

    legs, began = read_jsonl(out / 'time.jsonl'), time.monotonic()
    outcome: Outcome = 'stopped'
    try:
        for turn in [*run.turns(trainer.iteration), None]:       # a replay follows what was changed in the run it repeats
            now = run.at(trainer.iteration)
            stops = [n for n in (turn, stop_after) if n is not None]
            with _threads(now.train.threads):
                outcome = fit(trainer, loader, now.train, out, export, min(stops, default=None), show, on_log)
            if trainer.iteration != turn or outcome == 'interrupted':
                break
            if turn == stop_after:
                outcome = 'stopped'                              # it may have been the end, before the run grew
                break
            kept = trainer.state_dict()
            trainer, loader, _ = make_trainer(run.at(turn), fabric, False)
            trainer.load_state_dict(kept)
            if show and main:
                print(*(change.line for change in run.history if change.iteration == turn), sep='\n', file=sys.stderr)
    finally:                                                     # a leg that ends in an error took its time, too
        if main:
            with contextlib.suppress(OSError):                   # which is told already
                note_time()
    return out, outcome


def _check_same_folder(out: Path, state: dict[str, Any] | None, fabric: Fabric) -> None:
    """ValueError in every process where the machines do not share the run directory: they would go on from different states, or wait."""
    if fabric.world_size == 1:
        return
    found = torch.tensor(-1 if state is None else state['iteration'], device=fabric.device)
    seen: list[int] = fabric.all_gather(found).tolist()          # type: ignore[union-attr]
    if len({*seen}) > 1:
        listed = ', '.join(f'process {rank} {"no state" if i < 0 else f"iteration {i}"}' for rank, i in enumerate(seen))
        raise ValueError(f'{out} is not one folder for all processes ({listed}): expected --out on a disk that the machines share')


def begin(run: Run, trainer: Trainer) -> tuple[Run, list[str]]:
    """Puts the weights, and if wanted the optimisers, of the run or model that `run.init` names into a fresh trainer.

    Returns:
        the run with the digest of what was read, and lines that say what was taken and what did not fit; none without `run.init`.

    Raises:
        ValueError: nothing there, other weights than the repeated run began with, nothing fits, or a model without optimisers.
    """
    if run.init is None:
        return run, []
    path, known = run.init.path, run.init.sha256
    weights, optimisers, digest = read_start(path)
    if known not in (None, digest):
        raise ValueError(f'{path} has sha256 {digest[:12]}…, this run began with {str(known)[:12]}…: put that state or model back, or say '
                         'what to begin with: --init RUN')
    if run.init.optimiser and optimisers is None:
        raise ValueError(f'{path} holds no optimisers: expected a run directory with its state/; leave out --init-optimiser')
    try:
        told = [take_weights(trainer, weights, leave=('P',) if getattr(run.method, 'uses_parser', False) else ())]
        if run.init.optimiser:
            told.append(take_optimisers(trainer, optimisers or {}))
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f'--init {path} cannot be begun with ({one_line(error)}): expected a run of the same method and widths') from error
    return run.model_copy(update={'init': run.init.model_copy(update={'sha256': digest})}), [f'from {path}: {line}' for line in told]


def dry_run(run: Run, show: bool = True) -> dict[str, float]:
    """Two rounds of iterations, nothing written: memory, images/s, ETA (see `engine.fit.measure`).

    Of a run that compiles also what the plain run does, how long compiling takes, and after how many iterations it has paid for itself
    (0: never, it is no faster).
    """
    run = in_iterations(run)
    with _threads(run.train.threads):
        fabric = make_fabric(run)

        def measured(compiled: bool) -> dict[str, float]:
            now = run.at(0)
            now = now.model_copy(update={'train': now.train.model_copy(update={'compile': compiled})})
            trainer, loader, _ = make_trainer(now, fabric, show and fabric.global_rank == 0)
            begin(run, trainer)
            began = time.perf_counter()
            found = measure(trainer, loader, now.train)
            return {**found, 'seconds': time.perf_counter() - began, 'iterations': trainer.iteration}

        plain = measured(False)
        done = measured(True) if run.at(0).train.compile else plain
        seconds, iterations = done.pop('seconds'), done.pop('iterations')
        if done is plain:
            return done
        each, before = (found['eta_s'] / run.train.iterations for found in (done, plain))
        compiling = seconds - iterations * each
        return {**done, 'plain_images_per_s': plain['images_per_s'], 'compiling_s': compiling,
                'pays_after_iterations': compiling / (before - each) if before > each else 0.0}


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """So many CPU threads, then as many as before; None: as many as there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _record(run: Run, trainer: Trainer, pictures: str, command: str) -> dict[str, Any]:
    packages = ('torch', 'lightning-fabric', 'pydantic', 'numpy', 'pillow')
    try:
        asked = ['git', '-C', str(Path(__file__).parent), 'rev-parse', '--short', 'HEAD']
        commit = subprocess.run(asked, capture_output=True, text=True, timeout=5)
        git = commit.stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        git = None
    parameters = {n: sum(p.numel() for p in net.parameters()) for n, net in trainer.trainable.nets.items()}
    return {'run': run.model_dump(mode='json'), 'parameters': parameters, 'data': trainer.trainable.data.model_dump(mode='json'),
            'pictures': pictures,
            'versions': {'retouch': __version__, 'python': platform.python_version(), **{p: version(p) for p in packages}},
            'git': git, 'hardware': hardware(trainer.fabric.device), 'command': command}


def _read_record(path: Path) -> dict[str, Any]:
    """run.json beside a saved state."""
    if not path.is_file():
        raise ValueError(f'{path} is missing beside a saved state: expected the run.json that this training wrote, for nothing else says '
                         'what was trained; put it back, or choose another --out')
    record = read_json(path, 'the run.json that this training wrote')
    if not isinstance(record.get('run'), dict):
        raise ValueError(f"{path} has no field 'run': expected the run.json that this training wrote")
    return record


def _progress(what: str) -> Any:
    meters: list[Meter] = []

    def show(done: int, total: int) -> None:
        if not meters:
            meters.append(Meter(total, 0, 1, True, what))
        meters[0].advance(done)
        if done >= total:
            meters[0].close()

    return show
