"""A method file keeps the promises of its header: every numbered equation is on a line, every deviation is documented."""
from __future__ import annotations

import ast
import inspect
import io
import re
import tokenize
from pathlib import Path

import pytest

from retouch.methods.aggan_multi import AGGANMulti
from retouch.methods.stargan import StarGAN

METHODS = Path(__file__).resolve().parents[2] / 'retouch' / 'methods'
FILES = sorted(p for p in METHODS.glob('*.py') if p.name not in ('__init__.py', 'registry.py'))
# An equation is promised where its number opens a line or, after a gap of two spaces or more, the second column.
PROMISED = re.compile(r'(?:^|\s{2,})\((\d+)\)(?=\s)', re.MULTILINE)
KEPT = re.compile(r'\((\d+)\)')
DEVIATION = re.compile(r'\[D(\d+)\]')


def promised(source: str) -> set[int]:
    return {int(n) for n in PROMISED.findall(ast.get_docstring(ast.parse(source)) or '')}


def kept(source: str) -> set[int]:
    """Numbers in comments that follow code on their line and end in one or several `(n)`."""
    numbers: set[int] = set()
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and lines[token.start[0] - 1][:token.start[1]].strip():
            ending = re.search(r'((?:\(\d+\)[\s,]*)+)$', token.string)
            numbers |= {int(n) for n in KEPT.findall(ending.group(1))} if ending else set()
    return numbers


def deviations(source: str) -> set[int]:
    return {int(n) for n in DEVIATION.findall(ast.get_docstring(ast.parse(source)) or '')}


def test_every_method_file_is_seen(repository: Path) -> None:
    from retouch.methods.registry import METHODS as registered

    assert len(FILES) >= 7
    files = {Path(inspect.getfile(cls)).stem for cls in registered.values()}                 # asgit.py holds its paired form too
    assert {p.stem for p in FILES} == files and files <= set(registered), 'every file is named after a registered id'
    assert {p.stem for p in (repository / 'docs' / 'methods').glob('*.md')} == files, 'one page per file'


@pytest.mark.parametrize('path', FILES, ids=lambda p: p.stem)
def test_equations_are_on_their_lines(path: Path) -> None:
    source = path.read_text(encoding='utf-8')
    header, code = promised(source), kept(source)
    assert header, f'{path.name}: the header promises no equation'
    assert header == set(range(1, max(header) + 1)), f'{path.name}: equations {sorted(header)} are not numbered 1, 2, 3 …'
    assert header == code, f'{path.name}: only in the header {sorted(header - code)}, only in the code {sorted(code - header)}'


@pytest.mark.parametrize('path', FILES, ids=lambda p: p.stem)
def test_deviations_are_documented(path: Path, repository: Path) -> None:
    header = deviations(path.read_text(encoding='utf-8'))
    assert header, f'{path.name}: the header lists no deviation [D1]'
    assert header == set(range(1, max(header) + 1)), f'{path.name}: deviations {sorted(header)} are not numbered without gaps'
    page = (repository / 'docs' / 'methods' / f'{path.stem}.md').read_text(encoding='utf-8')
    assert header == {int(n) for n in DEVIATION.findall(page)}, f'docs/methods/{path.stem}.md does not list the deviations of {path.name}'


def test_the_reader_can_fail() -> None:
    source = ('"""T\n\n  (1) a = b      (2) c = d\n  total (1) + lam (2), [D1] x\n"""\n'
              'x = 1  # (1)\n# alone (2)\ny = f(2)  # why (3), not at the end\n')
    assert (promised(source), kept(source), deviations(source)) == ({1, 2}, {1}, {1})


def test_deliberate_copies_have_not_drifted() -> None:
    """What aggan_multi.py copies from stargan.py stays equal, but for the two lines where its fake comes with a mask."""
    ours, theirs = (inspect.getsource(cls.discriminator_step) for cls in (AGGANMulti, StarGAN))
    assert ours.replace('made, mask = self', 'made = self').replace('edit=made, mask=mask', 'edit=made') == theirs
    copied = ('penalty', 'read', 'updates')
    for name in copied:
        assert inspect.getsource(getattr(AGGANMulti, name)) == inspect.getsource(getattr(StarGAN, name)), name
    assert len(copied) == 3
