"""`retouch edit`."""
from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from retouch.cli.edit_table import FILE, Row, Table, read_rows
from retouch.cli.options import EditOptions
from retouch.cli.pictures import Found, Named, find_pictures
from retouch.errors import one_line, unknown
from retouch.files import check_out
from retouch.terminal import progress_bar

if TYPE_CHECKING:
    from retouch.editor import Edit, Editor

MOST_NOTES = 10          # of a folder that are printed; all of them are in its table


def edit(options: EditOptions) -> int:
    if not options.images:
        raise ValueError('missing IMAGE: name at least one picture, before --set')
    edits, source = _pairs('--set', options.set), _pairs('--source', options.source)
    if edits and options.to:
        raise ValueError('--set and --to exclude each other: --set is for models of attributes, --to for models of domains')
    check_out(options.out)
    _check_format(options)
    found = find_pictures(options.images, options.out, options.recursive)
    given = [p for p in (options.exemplar, options.mask, options.exemplar_mask) if p is not None]
    for picture in given:
        _check_is_file(picture)
    missing = dict[Path, Exception]()
    for picture in [named.path for named in found.pictures if not named.path.is_file()]:
        missing[picture] = ValueError(f'{picture} is {"a folder" if picture.is_dir() else "not there"}: expected a picture')
    if len(missing) == len({named.path for named in found.pictures}):
        _raise(missing, len(found.pictures))
    if options.exemplar_mask and not options.exemplar:
        raise ValueError('--exemplar-mask is the mask of an exemplar: add --exemplar')
    from retouch.editor import Editor, output_paths  # torch: a picture that is not there is said before

    inputs, written = {p.resolve() for p in (*(named.path for named in found.pictures), *given)}, dict[str, Path]()
    for named in found.pictures:
        for path in output_paths(options.out / named.name.parent, named.name.name, options.format):
            if path.resolve() in inputs:
                raise ValueError(f'{path} is an input picture and is never overwritten: choose another --out folder')
            key = str(path).casefold()                           # many file systems do not tell A.png from a.png
            if key in written:
                raise ValueError(f'{written[key]} and {named.path} would both be written to {path}: edit them into different --out folders')
            written[key] = named.path
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
    command = Command(options, editor, edits, source, found, missing)
    return command.run()


class Command:
    """One `retouch edit`, checked: every picture edited, saved and told."""

    def __init__(self, options: EditOptions, editor: Editor, edits: dict[str, float], source: dict[str, float], found: Found,
                 missing: dict[Path, Exception]) -> None:
        self.options, self.editor, self.edits, self.many = options, editor, edits, found.many
        self.failures, self.total, self.order = missing, len(found.pictures), [named.path for named in found.pictures]
        self.pictures = [named for named in found.pictures if named.path not in missing]
        self.notes, self.untold = Counter(found.notes), dict[Named, Told]()              # saved, and not in the table yet
        self.asked = ' '.join([f'weights={editor.model.weights_sha256[:12]}', *(f'{k}={v}' for k, v in edits.items()), *(
            f'{flag}={value}' for flag, value in (
                ('to', options.to), ('reader', options.reader), ('source', ','.join(options.source)), ('box', options.box),
                ('mask', options.mask), ('exemplar', options.exemplar), ('exemplar-mask', options.exemplar_mask),
                ('strength', options.strength), ('quality', options.format != 'png' and (options.quality or 95))) if value)])
        wanted: dict[str, Any] = {'box': _box(options.box), 'mask': options.mask, 'strength': options.strength, **edits,
                                  'exemplar': options.exemplar, 'to': options.to, 'batch_size': options.batch_size}
        if editor.method.kind == 'exemplars':
            wanted['exemplar_mask'] = options.exemplar_mask
        elif editor.method.kind == 'attributes':
            wanted['source'] = source
        self.wanted = wanted

    def run(self) -> int:
        """Exit status 0, or an ExceptionGroup of what went wrong with single pictures."""
        before = read_rows(self.options.out / FILE) if self.options.resume else None
        there = [] if before is None else [named for named in self.pictures if self._is_there(named, before)]
        table = Table(self.options.out, before) if self.many else None
        known = set(there)
        left, done, failed = [named for named in self.pictures if named not in known], 0, 0
        if table is not None:
            for path, error in self.failures.items():            # that are not there
                table.add(Row(str(path), error=one_line(error)))
        started = time.monotonic()
        try:
            with progress_bar() as progress:
                told = progress if self.many else _silent
                told(0, len(left), 'editing pictures')
                with closing(self.editor.edit_many(((named.path, named) for named in left), then=self._save, **self.wanted)) as edited:
                    for (_, named), result in edited:
                        if isinstance(result, OSError):          # of the disk: the next one would fare no better
                            raise result
                        if isinstance(result, Exception):
                            failed, self.failures[named.path] = failed + 1, result
                            result = Told(Row(str(named.path), error=one_line(result)), '', [])
                        else:
                            done += 1
                            self.untold.pop(named)
                        self._tell(result, table)
                        told(done + failed, len(left), 'editing pictures')
        except (KeyboardInterrupt, OSError):
            done += len(self.untold)                             # by other threads, until they were stopped
            if self.many:
                print(f'stopped: {done} pictures are edited, {len(left) - done - failed} are left; the same command with --resume goes on',
                      file=sys.stderr)
            raise
        finally:
            if table is not None:
                for saved in self.untold.values():
                    table.add(saved.row)
                table.close([str(self._result(named)) for named in self.pictures])
        if self.many:
            already = f'; {len(there)} were there already' if there else ''
            print(f'{done} pictures edited in {time.monotonic() - started:.0f} s{already}; {table.path if table else ""}', flush=True)
            for note, count in self.notes.most_common(MOST_NOTES):
                print(f'  note: {note}' + (f' ({count} pictures)' if count > 1 else ''), file=sys.stderr)
            if len(self.notes) > MOST_NOTES:
                print(f'  and {len(self.notes) - MOST_NOTES} other notes, see {self.options.out / FILE}', file=sys.stderr)
        elif there:
            print(f'{len(there)} pictures were there already', flush=True)
        if self.failures:
            _raise({path: self.failures[path] for path in self.order if path in self.failures}, self.total)
        return 0

    def _save(self, item: tuple[Path, Named], edit: Edit) -> Told:
        """On another thread, while the network sees what comes next."""
        from retouch.editor import RE_ENCODED

        options, named = self.options, item[1]
        try:
            paths = edit.save(options.out / named.name.parent, named.name.name, note=not options.no_note, format=options.format,
                              quality=options.quality or 95, alone=options.no_mask)
        except ValueError as error:
            raise error if str(named.path) in str(error) else ValueError(f'{named.path}: {error}') from None
        if 'to' in edit.record:
            did = f'to {edit.record["to"]}'
        elif not self.edits:
            did = ''
        else:
            present = [name for name, p in edit.source.items() if p > 0.5] or ['nothing']
            asked = ' '.join(f'{name}={value:g} (was {edit.source[name]:.2f})' for name, value in self.edits.items())
            did = f'read {" ".join(present)}; set {asked}'
        did += f'{" " * bool(did)}in the style of {options.exemplar}' if options.exemplar else ''
        notes = [*edit.notes, *([f'{options.format}: outside the mask {RE_ENCODED}'] if options.format != 'png' else [])]
        row = Row(str(named.path), str(self._result(named)), self.asked, ' '.join(f'{name}={p:.4f}' for name, p in edit.source.items()),
                  f'{edit.untouched:.6f}', '; '.join(notes))
        told = Told(row, f'{named.path}: {did}; untouched {edit.untouched:.1%}; {" ".join(map(str, paths))}', notes)
        self.untold[named] = told
        return told

    def _tell(self, told: Told, table: Table | None) -> None:
        if table is not None:
            table.add(told.row)
            self.notes.update(told.notes)
            return
        if told.line:
            print(told.line, flush=True)
        for note in told.notes:
            print(f'  note: {note}', file=sys.stderr)

    def _result(self, named: Named) -> Path:
        return named.name.with_name(f'{named.name.name}.{self.options.format}')

    def _is_there(self, named: Named, rows: dict[str, Row]) -> bool:
        """Whether a picture's results are whole and younger than itself. ValueError where they were made otherwise."""
        result = self.options.out / self._result(named)
        beside = [] if self.options.no_mask else [result.with_name(f'{named.name.name}.{kind}.png') for kind in ('mask', 'diff')]
        if not all(path.is_file() for path in (result, *beside)) or result.stat().st_mtime < named.path.stat().st_mtime:
            return False
        if self.many and not rows:                               # nobody knows what was asked when they were made
            return False
        row = rows.get(str(self._result(named)))
        if row is not None and row.asked != self.asked:
            raise ValueError(f'{result} was made with {row.asked}, asked is {self.asked}: choose another --out, or leave out --resume to '
                             'edit all of them again')
        return True


class Told(NamedTuple):
    """What is said of a picture."""

    row: Row
    line: str
    notes: list[str]


def _silent(done: int, total: int, what: str) -> None:
    pass


def _raise(failures: dict[Path, Exception], total: int) -> NoReturn:
    """An ExceptionGroup of what went wrong with single pictures, or the mistake of all."""
    lines = {picture: one_line(error) for picture, error in failures.items()}
    if len(failures) == total and len({*lines.values()}) == 1:
        raise next(iter(failures.values()))
    raise ExceptionGroup(f'{len(failures)} of {total} pictures were not edited', [
        error if str(picture) in lines[picture] else ValueError(f'{picture}: {lines[picture]}') for picture, error in failures.items()])


def _check_format(options: EditOptions) -> None:
    if options.quality is not None and options.format == 'png':
        raise ValueError(f'--quality {options.quality} needs --format jpg or webp: a png is lossless')
    if options.quality is not None and not 1 <= options.quality <= 100:
        raise ValueError(f'--quality {options.quality}: expected 1 to 100; 95 is the default')
    if options.batch_size is not None and options.batch_size < 1:
        raise ValueError(f'--batch-size {options.batch_size}: expected at least 1')


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


def _pairs(flag: str, tokens: Sequence[str]) -> dict[str, float]:
    """('A=1', 'B=0', 'C=0.5') -> {'A': 1, 'B': 0, 'C': 0.5}."""
    pairs: dict[str, float] = {}
    for token in tokens:
        name, equals, text = token.partition('=')
        if not equals or not name:
            raise ValueError(f'{flag} {token}: expected NAME=0 or NAME=1 (pictures come before {flag})')
        if not re.fullmatch(r'0|1|[01]?\.\d+', text) or not 0 <= (value := float(text)) <= 1:
            raise ValueError(f'{flag} {token}: expected {name}=0 or {name}=1, or a number between them')
        if pairs.setdefault(name, int(value) if value in (0, 1) else value) != value:      # whole numbers stay so in notes and tables
            raise ValueError(f'{flag} sets {name} to both {pairs[name]} and {text}: keep one of them')
    return pairs
