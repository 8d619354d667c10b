"""Imports point one way: methods -> networks, guidance, losses, engine.update; the engine knows no method."""
from __future__ import annotations

import ast
from pathlib import Path

import pytest

# room -> what its files may import of ours: a name allows the module and everything under it; `retouch` alone is the version
ALLOWED: dict[str, set[str]] = {
    'methods': {'methods', 'networks', 'guidance', 'losses', 'engine.update', 'engine.schedules', 'data.batches', 'data.labels',
                'data.parsing', 'config', 'errors'},
    'networks': {'networks.layers'},
    'guidance': {'guidance', 'config'},
    'losses': set(),
}
FORBIDDEN: dict[str, set[str]] = {
    'engine': {'methods', 'networks', 'recipes', 'cli', 'editor', 'metrics'},
    'data': {'engine', 'methods', 'networks'},
}
FEWEST = {'methods': 5, 'networks': 2, 'guidance': 1, 'losses': 1, 'engine': 2, 'data': 3}
# The registry in methods/__init__.py may name every method; a method file may import another one only if it is built on that system.
BUILT_ON = {'methods/__init__.py': {'methods'}, 'methods/cam.py': {'methods.stargan', 'methods.attgan', 'methods.stgan'},
            'methods/aggan.py': {'methods.cyclegan'}, 'methods/attentiongan.py': {'methods.cyclegan'},
            'methods/asgit.py': {'methods.cyclegan'}, 'methods/secgan.py': {'methods.stargan', 'methods.attgan'}}


def files_of(root: Path, room: str) -> list[Path]:
    folder = root / 'retouch' / room
    return sorted(folder.rglob('*.py')) if folder.is_dir() else [folder.with_suffix('.py')]


def imports_of(path: Path) -> list[str]:
    """Our own modules that a file imports anywhere in it, also under TYPE_CHECKING: 'networks.layers' for retouch.networks.layers."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}:{node.lineno}: relative import; write the whole name, so that the direction can be read'
            # `from retouch.engine import update` names the module retouch.engine.update
            deeper = node.module in ('retouch', *(f'retouch.{room}' for room in FEWEST))
            found += [f'{node.module}.{alias.name}' if deeper else str(node.module) for alias in node.names]
    return [name.removeprefix('retouch.') for name in found if name.startswith('retouch.')]


def is_under(name: str, rooms: set[str]) -> bool:
    return any(name == room or name.startswith(f'{room}.') for room in rooms)


@pytest.mark.parametrize('room', sorted(FEWEST))
def test_imports_point_one_way(room: str, repository: Path) -> None:
    files = files_of(repository, room)
    assert len(files) >= FEWEST[room], f'{room}: saw {len(files)} files, expected at least {FEWEST[room]}'
    wrong = []
    for path in files:
        here = path.relative_to(repository / 'retouch').as_posix()
        for name in imports_of(path):
            allowed = is_under(name, ALLOWED[room]) if room in ALLOWED else not is_under(name, FORBIDDEN[room])
            if room == 'methods' and is_under(name, {'methods'}) and not is_under(name, BUILT_ON.get(here, set())):
                allowed = False
            if not allowed:
                wrong.append(f'{here} imports retouch.{name}')
    assert not wrong, f'{room} may not: ' + '; '.join(wrong)


def test_the_reader_sees_every_form_of_import(tmp_path: Path) -> None:
    path = tmp_path / 'example.py'
    path.write_text('import torch\nimport retouch.cli\nfrom retouch.engine import update\nfrom retouch import losses\n'
                    'def f():\n    from retouch.methods.stargan import StarGAN\n')
    assert sorted(imports_of(path)) == ['cli', 'engine.update', 'losses', 'methods.stargan']
