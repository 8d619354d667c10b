"""`retouch edit`."""
from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retouch.cli.options import EditOptions
from retouch.errors import one_line, unknown
from retouch.files import check_out

if TYPE_CHECKING:
    from retouch.editor import Editor


def edit(options: EditOptions) -> int:
    if not options.images:
        raise ValueError('missing IMAGE: name at least one picture, before --set')
    edits, source = _pairs('--set', options.set), _pairs('--source', options.source)
    if edits and options.to:
        raise ValueError('--set and --to exclude each other: --set is for models of attributes, --to for models of domains')
    check_out(options.out)
    pictures = [Path(p) for p in options.images]
    given = [p for p in (options.exemplar, options.mask, options.exemplar_mask) if p is not None]
    for picture in given:
        _check_is_file(picture)
    if not any(picture.is_file() for picture in pictures):
        _edit_each(pictures, _check_is_file)
    if options.exemplar_mask and not options.exemplar:
        raise ValueError('--exemplar-mask is the mask of an exemplar: add --exemplar')
    from retouch.editor import Editor, output_paths  # torch: a picture that is not there is said before

    inputs, written = {p.resolve() for p in (*pictures, *given)}, dict[str, Path]()
    for picture in pictures:
        for path in output_paths(options.out, picture.stem):
            if path.resolve() in inputs:
                raise ValueError(f'{path} is an input picture and is never overwritten: choose another --out folder')
            key = str(path).casefold()                           # many file systems do not tell A.png from a.png
            if key in written:
                raise ValueError(f'{written[key]} and {picture} would both be written to {path}: edit them into different --out folders')
            written[key] = picture
    editor = Editor.load(options.model, options.device, options.reader)
    for terms in dict.fromkeys(one.terms for one in (editor.model, editor.reader) if one is not None):
        if terms is not None:
            print(f'  note: {terms}', file=sys.stderr)
    _check_exemplar(options, editor, '--set' if edits else '--source' if source else '--to' if options.to else None)
    if (edits or source) and editor.method.kind != 'attributes':
        raise ValueError(f'{"--set" if edits else "--source"} does not apply to {options.model}: {editor.method.id} has no attributes, it '
                         f'translates between {" and ".join(editor.data.domains)}; use --to {editor.data.domains[-1]}')
    for name in (*edits, *source):
        if name not in editor.data.attributes:
            raise unknown('attribute', name, editor.data.attributes)
    _box(options.box)
    _edit_each(pictures, lambda picture: _edit_one(picture, options, editor, edits, source))
    return 0


def _edit_each(pictures: Sequence[Path], edit_one: Callable[[Path], None]) -> None:
    """One picture that cannot be edited does not keep the others from it. In the end an ExceptionGroup, or the mistake of all."""
    failures = dict[Path, Exception]()
    for picture in pictures:
        try:
            _check_is_file(picture)
            edit_one(picture)
        except BrokenPipeError:                                  # nobody reads what is printed
            raise
        except (ValueError, OSError, FloatingPointError) as error:
            failures[picture] = error
    lines = {picture: one_line(error) for picture, error in failures.items()}
    if len(failures) == len(pictures) and len({*lines.values()}) == 1:
        raise failures[pictures[0]]
    if failures:
        raise ExceptionGroup(f'{len(failures)} of {len(pictures)} pictures were not edited', [
            error if str(picture) in lines[picture] else ValueError(f'{picture}: {lines[picture]}') for picture, error in failures.items()])


def _edit_one(picture: Path, options: EditOptions, editor: Editor, edits: dict[str, int], source: dict[str, int]) -> None:
    """Edits a picture, saves what comes of it and says so."""
    shared: dict[str, Any] = {'box': _box(options.box), 'mask': options.mask, 'strength': options.strength}
    if editor.method.kind == 'exemplars':
        edit = editor.edit(picture, exemplar=options.exemplar, exemplar_mask=options.exemplar_mask, **shared)
        did = f'in the style of {options.exemplar}'
    elif options.to is not None or (editor.method.kind != 'attributes' and not edits):
        edit = editor.translate(picture, options.to, exemplar=options.exemplar, **shared)
        did = f'to {edit.record["to"]}' + (f' in the style of {options.exemplar}' if options.exemplar else '')
    else:
        wanted: dict[str, Any] = dict(edits)
        edit = editor.edit(picture, source=source, **shared, **wanted)
        present = [name for name, p in edit.source.items() if p > 0.5] or ['nothing']
        asked = ' '.join(f'{name}={value} (was {edit.source[name]:.2f})' for name, value in edits.items())
        did = f'read {" ".join(present)}; set {asked}'
    paths = edit.save(options.out, picture.stem, note=not options.no_note)
    print(f'{picture}: {did}; untouched {edit.untouched:.1%}; {" ".join(map(str, paths))}', flush=True)
    for note in edit.notes:
        print(f'  note: {note}', file=sys.stderr)


def _check_is_file(picture: Path) -> None:
    if not picture.is_file():
        raise ValueError(f'{picture} is {"a folder" if picture.is_dir() else "not there"}: expected a picture')


def _check_exemplar(options: EditOptions, editor: Editor, flag: str | None) -> None:
    """ValueError where a model gets an exemplar that it does not take, or lacks the one it takes; `flag` asks for another kind of edit."""
    method, what = editor.method, f'does not apply to {options.model}'
    if options.exemplar and not getattr(method, 'takes_exemplar', False):
        instead = f'--set {method.data.attributes[0]}=1' if method.kind == 'attributes' else f'--to {method.data.domains[-1]}'
        raise ValueError(f'--exemplar {what}: {method.id} takes none; use {instead}')
    if options.exemplar_mask and method.kind != 'exemplars':
        raise ValueError(f'--exemplar-mask {what}: {method.id} has no masks and reads the whole exemplar')
    if method.kind == 'exemplars' and flag:
        raise ValueError(f'{flag} {what}: {method.id} takes the look of an exemplar; use --exemplar')
    if method.kind == 'exemplars' and not options.exemplar:
        raise ValueError(f'{options.model} takes the look of an exemplar ({method.id}): add --exemplar IMAGE')


def _box(text: str | None) -> tuple[int, int, int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r'(\d+),(\d+),(\d+),(\d+)', text.replace(' ', ''))
    if not match:
        raise ValueError(f'--box {text}: expected X,Y,WIDTH,HEIGHT in pixels, e.g. 10,20,128,128')
    x, y, w, h = map(int, match.groups())
    return x, y, w, h


def _pairs(flag: str, tokens: Sequence[str]) -> dict[str, int]:
    """('A=1', 'B=0') -> {'A': 1, 'B': 0}."""
    pairs: dict[str, int] = {}
    for token in tokens:
        name, equals, value = token.partition('=')
        if not equals or not name:
            raise ValueError(f'{flag} {token}: expected NAME=0 or NAME=1 (pictures come before {flag})')
        if value not in ('0', '1'):
            raise ValueError(f'{flag} {token}: expected {name}=0 or {name}=1')
        if pairs.setdefault(name, int(value)) != int(value):
            raise ValueError(f'{flag} sets {name} to both 0 and 1: keep one of them')
    return pairs
