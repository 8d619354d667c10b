"""Imports point one way, with no circle between files; a method file needs its networks and the engine's contract, and nothing else."""
from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

# From the top down: a room may import those below it, and its own files. Rooms of one line know nothing of each other, but for the ground.
HOUSE: tuple[tuple[str, ...], ...] = (
    ('demo', '__main__'),
    ('cli',),
    ('report', 'api', 'papers', 'app'),
    ('evaluation', 'export'),
    ('editor', 'training', 'recipes', 'weights'),
    ('run', 'model', 'exported'),
    ('methods',),
    ('engine',),
    ('data',),
    ('toyfaces',),
    ('metrics', 'guidance', 'networks', 'losses'),
    ('hardware', 'terminal', 'config', 'files', 'errors', 'hub', 'version'),
)
MOST_FLOORS = 11
# Narrower still: a name allows the module and everything under it.
ALLOWED: dict[str, set[str]] = {
    'methods': {'methods', 'networks', 'guidance', 'losses', 'engine.update', 'engine.schedules', 'engine.pool', 'data.batches',
                'data.labels', 'data.parsing', 'config', 'errors'},
    'networks': {'networks.layers'},
    'guidance': {'guidance', 'config'},
    'losses': set(),
    'toyfaces': {'toyfaces', 'files'},
    'metrics': {'metrics', 'config', 'errors'},
}
# The registry may name every method; a method file may import another one only if it is built on that system.
BUILT_ON = {'methods/registry.py': {'methods'}, 'methods/cam.py': {'methods.stargan', 'methods.attgan', 'methods.stgan'},
            'methods/distancegan.py': {'methods.cyclegan', 'methods.discogan'}, 'methods/asgit.py': {'methods.cyclegan'},
            'methods/secgan.py': {'methods.stargan', 'methods.attgan', 'methods.stgan'}}
# What functions import: torch takes seconds and is not loaded for help and mistakes, or an extra may be missing.
TORCH, EXTRA, SELDOM = 'saves loading torch', 'an extra may be missing', 'takes a second, for one measure'
LATE: dict[tuple[str, str], str] = {
    ('__init__.py', 'retouch.api'): TORCH, ('__init__.py', 'retouch.editor'): TORCH,
    ('cli/main.py', 'retouch.cli.training'): TORCH, ('cli/main.py', 'retouch.cli.editing'): TORCH,
    ('cli/main.py', 'retouch.cli.evaluating'): TORCH, ('cli/main.py', 'retouch.cli.comparing'): TORCH,
    ('cli/main.py', 'retouch.cli.scoring'): TORCH, ('cli/main.py', 'retouch.cli.studying'): TORCH,
    ('cli/main.py', 'retouch.cli.data'): TORCH, ('cli/main.py', 'retouch.cli.reproducing'): TORCH,
    ('cli/main.py', 'retouch.cli.listing'): TORCH, ('cli/main.py', 'retouch.cli.importing'): TORCH,
    ('engine/update.py', 'torch'): TORCH,
    ('hub.py', 'huggingface_hub'): EXTRA, ('hub.py', 'huggingface_hub.utils'): EXTRA, ('cli/editing.py', 'retouch.editor'): TORCH,
    ('cli/main.py', 'retouch.cli.serving'): TORCH, ('cli/serving.py', 'retouch.app.server'): EXTRA,
    ('cli/training.py', 'retouch.api'): TORCH, ('cli/training.py', 'retouch.training'): TORCH,
    ('cli/training.py', 'retouch.recipes.registry'): TORCH, ('data/mask_check.py', 'retouch.data.parsing'): TORCH,
    ('api.py', 'retouch.training'): EXTRA, ('api.py', 'retouch.evaluation.evaluate'): EXTRA,
    ('api.py', 'retouch.evaluation.ledger'): EXTRA, ('api.py', 'retouch.evaluation.comparison'): EXTRA,
    ('report/figures.py', 'sklearn.manifold'): EXTRA, ('cli/main.py', 'retouch.cli.exporting'): TORCH,
    ('editor/editor.py', 'retouch.hardware'): TORCH, ('editor/editor.py', 'retouch.model'): TORCH,
    ('editor/editor.py', 'retouch.exported'): EXTRA, ('exported.py', 'onnxruntime'): EXTRA, ('export/formats.py', 'onnxscript'): EXTRA,
    ('metrics/features.py', 'torchmetrics.functional.image.lpips'): SELDOM,
}


ROOT = '__init__'


class Arrow(NamedTuple):
    """A file imports a module of ours: 'networks.layers' for retouch.networks.layers."""

    path: Path
    name: str
    late: bool


def files_of(root: Path) -> list[Path]:
    return sorted((root / 'retouch').rglob('*.py'))


def here(path: Path) -> str:
    """'methods/cam.py'."""
    return path.as_posix().rpartition('/retouch/')[2]


def room_of(name: str) -> str:
    return name.partition('/' if '/' in name else '.')[0].removesuffix('.py')


def imports_of(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module that a file imports anywhere in it, also under TYPE_CHECKING, and whether a function does it."""
    def walk(node: ast.AST, late: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, late) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f'{path}:{child.lineno}: relative import; write the whole name, so that the direction can be read'
                yield from ((f'{child.module}.{alias.name}', late) for alias in child.names)
            yield from walk(child, late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    yield from walk(ast.parse(path.read_text(encoding='utf-8')), False)


def imported_modules(path: Path) -> Iterator[tuple[str, bool]]:
    """The modules that a file names, 'retouch.api' of `from retouch.api import resolve`, and whether a function does it."""
    found = dict[str, set[bool]]()
    tree = ast.parse(path.read_text(encoding='utf-8'))
    functions = {id(child) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                 for child in ast.walk(node)}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f'retouch.{alias.name}' for alias in node.names] if node.module == 'retouch' else [str(node.module)]
        for name in names:
            found.setdefault(name, set()).add(id(node) in functions)
    return ((name, late) for name, places in found.items() for late in places)


def modules_of(root: Path) -> dict[str, Path]:
    """'networks.layers' -> its file; 'networks' -> the folder's __init__.py."""
    return {here(path).removesuffix('.py').removesuffix('/__init__').replace('/', '.'): path for path in files_of(root)}


def arrows_of(root: Path) -> list[Arrow]:
    """All imports among our own files. `from retouch.engine.update import Step` and `from retouch.engine import update` name one module."""
    modules, arrows = modules_of(root), set[Arrow]()
    for path in files_of(root):
        for name, late in imports_of(path):
            if name.partition('.')[0] != 'retouch':
                continue
            name = name.removeprefix('retouch').removeprefix('.')
            while name and name not in modules:
                name = name.rpartition('.')[0]
            name = name or ROOT                                  # `from retouch import train` asks the package itself
            if modules[name] != path:
                arrows.add(Arrow(path, name, late))
    return sorted(arrows)


def is_under(name: str, rooms: set[str]) -> bool:
    return any(name == room or name.startswith(f'{room}.') for room in rooms)


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """Names that lead back to the first, or nothing."""
    done, path = set[str](), list[str]()

    def visit(name: str) -> list[str]:
        if name in path:
            return [*path[path.index(name):], name]
        if name in done:
            return []
        path.append(name)
        for other in sorted(graph.get(name, ())):
            if found := visit(other):
                return found
        done.add(path.pop())
        return []

    return next((found for name in sorted(graph) if (found := visit(name))), [])


def test_imports_point_down(repository: Path) -> None:
    floor = {room: i for i, rooms in enumerate(HOUSE) for room in rooms}
    seen = {room_of(here(path)) for path in files_of(repository)} - {ROOT}
    assert seen == set(floor), f'rooms without a place in HOUSE, or places without a room: {seen ^ set(floor)}'
    wrong = []
    for path, name, _ in arrows_of(repository):
        room, other = room_of(here(path)), room_of(name)
        if room in (ROOT, other):
            continue
        if other == ROOT:
            wrong.append(f'{here(path)} imports from retouch itself, which stands above everything')
            continue
        ground = floor[room] == floor[other] == len(HOUSE) - 1
        if floor[other] <= floor[room] and not ground:
            wrong.append(f'{here(path)} imports retouch.{name}, which is {"beside" if floor[other] == floor[room] else "above"} it')
    assert not wrong, '; '.join(wrong)


@pytest.mark.parametrize('room', sorted(ALLOWED))
def test_a_piece_can_be_lifted_out(room: str, repository: Path) -> None:
    wrong, count = [], 0
    for path, name, _ in arrows_of(repository):
        if room_of(here(path)) != room:
            continue
        count += 1
        allowed = is_under(name, ALLOWED[room])
        if room == 'methods' and is_under(name, {'methods'}) and not is_under(name, BUILT_ON.get(here(path), set())):
            allowed = False
        if not allowed:
            wrong.append(f'{here(path)} imports retouch.{name}')
    assert not wrong, f'{room} may not: ' + '; '.join(wrong)
    assert count or not ALLOWED[room] or room == 'guidance', f'{room}: no import was seen'


def test_there_is_no_circle_and_the_house_is_low(repository: Path) -> None:
    modules, arrows = modules_of(repository), arrows_of(repository)
    graph: dict[str, set[str]] = {name: set() for name in modules}
    rooms: dict[str, set[str]] = {}
    for path, name, _ in arrows:
        own = here(path).removesuffix('.py').removesuffix('/__init__').replace('/', '.')
        graph[own].add(name)
        if own != ROOT and room_of(own) != room_of(name):
            rooms.setdefault(room_of(own), set()).add(room_of(name))
    assert (circle := circle_in(graph)) == [], ' -> '.join(circle)

    def height(room: str) -> int:
        return 1 + max((height(other) for other in rooms.get(room, ())), default=0)

    floors = max(map(height, rooms))
    print(f'{len(modules)} files, {len(arrows)} arrows, {floors} floors')
    assert len(modules) > 120 and len(arrows) > 500, (len(modules), len(arrows))
    assert floors <= MOST_FLOORS, sorted(((height(room), room) for room in rooms), reverse=True)[:4]


def test_functions_import_only_where_it_saves_something(repository: Path) -> None:
    late = {(here(path), module) for path in files_of(repository) for module, late in imported_modules(path) if late}
    assert late == set(LATE), late ^ set(LATE)
    hidden = [here(path) for path in files_of(repository) if re.search(r'import_module\(|__import__\(', path.read_text(encoding='utf-8'))]
    assert not hidden, f'imports that no reader sees: {hidden}'


def test_drawing_needs_no_torch(repository: Path) -> None:
    rooms = [path for path in files_of(repository) if room_of(here(path)) in ('toyfaces', 'files')]
    assert len(rooms) > 8
    assert not [(here(path), name) for path in rooms for name, _ in imports_of(path) if name.partition('.')[0] == 'torch']


def reached_from(root: Path, *names: str) -> set[str]:
    """Our modules that are loaded with those named: what a function or TYPE_CHECKING imports is not."""
    modules = modules_of(root)
    seen, waiting = set[str](), [*names]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for module in loaded_by(modules[name]):
            module = module.removeprefix('retouch').removeprefix('.')
            while module and module not in modules:
                module = module.rpartition('.')[0]
            waiting += [module] if module else []
    return seen


def loaded_by(path: Path) -> list[str]:
    """What a file imports when it is loaded, 'retouch.files.whole_file' of `from retouch.files import whole_file`."""
    found = list[str]()
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f'{node.module}.{alias.name}' for alias in node.names]
    return found


def test_editing_an_exported_model_needs_no_torch(repository: Path) -> None:
    modules = modules_of(repository)
    reached = reached_from(repository, 'editor', 'exported', 'cli.main', 'cli.editing')
    assert {'editor.canvas', 'editor.affine', 'data.labels', 'data.spec', 'engine.update'} <= reached and len(reached) > 18
    wrong = [(name, module) for name in sorted(reached) for module in loaded_by(modules[name]) if module.partition('.')[0] == 'torch']
    assert not wrong, wrong


def test_the_reader_sees_every_form_of_import(tmp_path: Path) -> None:
    (tmp_path / 'retouch' / 'engine').mkdir(parents=True)
    for name in ('__init__', 'cli', 'losses', 'engine/__init__', 'engine/update'):
        (tmp_path / 'retouch' / f'{name}.py').touch()
    path = tmp_path / 'retouch' / 'example.py'
    path.write_text('import torch\nimport retouch.cli\nfrom retouch.engine import update\nfrom retouch import losses, train\n'
                    'def f():\n    from retouch.engine.update import Step\n')
    assert [(name, late) for _, name, late in arrows_of(tmp_path)] == [('__init__', False), ('cli', False), ('engine.update', False),
                                                                       ('engine.update', True), ('losses', False)]
    assert ('retouch.engine.update', True) in imported_modules(path) and ('retouch.losses', False) in imported_modules(path)
    assert circle_in({'a': {'b'}, 'b': {'c'}, 'c': {'a'}}) == ['a', 'b', 'c', 'a'] and circle_in({'a': {'b', 'c'}, 'b': {'c'}}) == []
