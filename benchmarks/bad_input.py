"""What Retouch says to files that are not what they should be: a corpus of damaged, lying and hostile ones through every command.

    python benchmarks/bad_input.py FOLDER [--only options run.json model …] [--show]

Every case is a file, or a few words of a command line, and the commands that meet it. Each command runs in a process forked for it, within
4 GiB and five minutes, and either does its work (status 0) or refuses: status 2, no traceback, and on the last lines `retouch: error: …`,
one line with a value, what was expected and what to do. A case that must be refused and is not counts as taken in silence. `--show` prints
what was said.
"""
from __future__ import annotations

import argparse
import copy
import io
import json
import os
import re
import resource
import shutil
import signal
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from endurance import fork, status_of
from PIL import Image, PngImagePlugin

from retouch import toyfaces
from retouch.cli.main import main as retouch
from retouch.methods.aggan_multi import AGGANMulti
from retouch.model import save_model
from retouch.recipes.registry import field_names, load_run

SMALL = ['--data.n', '12', '--data.size', '16', '--method.width-g', '4', '--method.width-d', '4', '--method.blocks', '1',
         '--train.batch-size', '2', '--train.iterations', '2', '--train.threads', '1']
BRIEF = [*SMALL[2:], '--stop-after', '0']
MEMORY, SECONDS = 4 * 2 ** 30, 300       # a run without `n` draws 4,000 faces
FIX = re.compile('expected|should be|required|set |choose|use |lower|raise|add |name |free|make |missing|again|leave out|save it|correct|'
                 'restore|replace')
Wants = Literal['refused', 'works', 'either']


@dataclass(frozen=True)
class Case:
    """Something wrong, and the commands that meet it."""

    name: str
    commands: tuple[list[str], ...]
    wants: Wants = 'refused'


@dataclass(frozen=True)
class Good:
    """What is right, to be damaged: a picture, a mask, a labelled folder, a run directory and a model directory."""

    picture: Path
    mask: Path
    faces: Path
    run: Path
    model: Path


def make_good(folder: Path) -> Good:
    good = Good(*(folder / name for name in ('face.png', 'mask.png', 'faces', 'run', 'model')))
    images, _, labels = toyfaces.draw_set(range(12), 48, workers=1)
    good.faces.mkdir(parents=True)
    rows = ['file,Bangs,Eyeglasses']
    for i, image in enumerate(images):
        Image.fromarray(image).save(good.faces / f'{i:02d}.png')
        rows.append(f'{i:02d}.png,' + ','.join(str(labels[i, toyfaces.ATTRIBUTES.index(name)]) for name in ('Bangs', 'Eyeglasses')))
    (good.faces / 'labels.csv').write_text('\n'.join(rows) + '\n')
    shutil.copy(good.faces / '00.png', good.picture)
    Image.fromarray(np.tri(48, dtype=np.uint8) * 255).save(good.mask)
    method = AGGANMulti.tiny()
    weights = {f'{n}.{k}': v for n in method.inference_nets for k, v in method.nets[n].state_dict().items()}
    save_model(good.model, method, weights, {'data': {'source': 'toyfaces'}})
    assert retouch(['train', 'aggan_multi.demo', *SMALL, '--out', str(good.run)]) == 0
    return good


# ---- values that are not what they should be

NESTED: Any = None
for _ in range(200):
    NESTED = [NESTED]
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 10 ** 30, float('nan'), float('inf'), '', 'x', '../../../etc/passwd', 'a\nb', '\0', 'é😀', 'x' * 5000,
    [], ['x', 1], {}, {'x': 1}, NESTED)
GONE = object()


def leaves(record: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    for key, value in record.items() if isinstance(record, dict) else enumerate(record[:1]) if isinstance(record, list) else ():
        yield from leaves(value, (*path, key))


def altered(record: Any, each: int) -> Iterator[tuple[str, Any]]:
    """Every part of a record removed, and replaced by `each` of the VALUES, in turn."""
    turn = 0
    for path in leaves(record):
        for k in range(each + 1):
            value = GONE if k == 0 else VALUES[(turn := turn + 1) % len(VALUES)]
            made = copy.deepcopy(record)
            node = made
            for key in path[:-1]:
                node = node[key]
            if value is GONE:
                del node[path[-1]]
            else:
                node[path[-1]] = value
            yield f'{".".join(map(str, path))} {"removed" if value is GONE else "= " + repr(value)[:24]}', made


def not_json() -> Iterator[tuple[str, bytes]]:
    """Files that are no record at all."""
    yield from {'empty': b'', 'half': b'{"run": {', 'text': b'hello', 'null': b'null', 'a list': b'[1, 2]', 'a number': b'7',
                'not UTF-8': b'{"run": "\xff\xfe"}', 'UTF-16': '{"run": {}}'.encode('utf-16'), 'NUL bytes': bytes(4096),
                'nested 100,000 deep': b'[' * 100_000, 'nested objects': b'{"run":' * 50_000, 'a number of 10,000 digits': b'1' * 10_000,
                'a key twice': b'{"run": {}, "run": 3}', 'a megabyte of text': b'"' + b'x' * 2 ** 20 + b'"',
                'a million zeros': b'{"run": [' + b'0,' * 10 ** 6 + b'0]}'}.items()


# ---- groups of cases

def options(good: Good, folder: Path) -> Iterator[Case]:
    """Fields of a run on the command line."""
    words = ['-1', '0', '1.5', 'nan', 'inf', '1e400', '9' * 30, '', 'x', 'none', 'true', '[1', 'a,b', '../x', '😀', 'a\nb']
    for i, field in enumerate(field_names(load_run('aggan_multi.demo'))):
        for k in range(3):
            word = words[(3 * i + k) % len(words)]
            yield Case(f'--{field} {word!r}', (['train', 'aggan_multi.demo', *SMALL, f'--{field}={word}', '--dry-run'],), 'either')
    out = str(folder / 'out')
    for word in ('', '.', '/', '\0', 'x' * 300, '/dev/null', '/proc/x', str(good.picture)):
        yield Case(f'--out {word[:20]!r}', (_edit(good, '--out', word),), 'either')
        yield Case(f'--init {word[:20]!r}', (['train', 'aggan_multi.demo', *SMALL, '--out', out, '--init', word],))
        yield Case(f'MODEL {word[:20]!r}', (['edit', word, str(good.picture), '--set', 'Eyeglasses=1', '--out', out], ['evaluate', word],
                                            ['compare', word], ['train', word]))
        yield Case(f'DIR {word[:20]!r}', (['data', 'check', word], ['train', 'stargan.folder64', '--data', word, '--out', out]))
    for name, word in {'box': '0,0,0,0', 'mask': 'nowhere.png', 'strength': 'nan', 'source': 'Eyeglasses=2', 'device': 'cuda:99'}.items():
        yield Case(f'--{name} {word}', (_edit(good, f'--{name}', word),))
    for name, word in {'n': '-3', 'size': '0', 'seed': 'x', 'protocol': 'x', 'judge': 'x', 'features': 'x', 'device': 'x'}.items():
        yield Case(f'evaluate --{name} {word}', (['evaluate', str(good.model), f'--{name}', word],))


def runs(good: Good, folder: Path) -> Iterator[Case]:
    """run.json, replayed, and resumed beside its state."""
    record = json.loads((good.run / 'run.json').read_text())
    record['run']['history'] = [{'iteration': 1, 'field': 'method.lr', 'was': 1e-3, 'now': record['run']['method']['lr']}]
    record['run']['init'] = {'path': str(good.model), 'optimiser': False, 'sha256': None}
    del record['versions'], record['data']
    payloads = [(name, json.dumps(made).encode(), 'either') for name, made in altered(record, 2)]
    for i, (name, payload, wants) in enumerate([*payloads, *((name, payload, 'refused') for name, payload in not_json())]):
        run = folder / str(i)
        shutil.copytree(good.run, run)
        (run / 'run.json').write_bytes(payload)
        yield Case(f'run.json: {name}', (['train', str(run / 'run.json'), '--out', str(folder / f'{i}-again'), '--stop-after', '0'],
                                         ['train', 'aggan_multi.demo', *SMALL, '--out', str(run), '--resume', 'auto']), wants)


def states(good: Good, folder: Path) -> Iterator[Case]:
    """last.pt: other things than a state, and states that lie."""
    whole = torch.load(good.run / 'state' / 'last.pt', weights_only=True)
    wrong: dict[str, Any] = {'a list': [1, 2], 'a number': 3, 'an empty dict': {}, 'a tensor': torch.zeros(3), 'code': re.compile}
    for key in whole:
        wrong |= {f'{key} removed': {k: v for k, v in whole.items() if k != key}, f'{key} = None': {**whole, key: None},
                  f"{key} = 'x'": {**whole, key: 'x'}}
    wrong |= {'iteration -1': {**whole, 'iteration': -1}, 'iteration nan': {**whole, 'iteration': float('nan')},
              'another shape': {**whole, 'trainable': {k: v[..., :1] for k, v in whole['trainable'].items()}}}
    for i, (name, state) in enumerate(wrong.items()):
        run = folder / str(i)
        shutil.copytree(good.run, run)
        torch.save(state, run / 'state' / 'last.pt')
        lenient = name.startswith(('ema', 'rng', 'ledger', 'world_size'))
        go_on = ['train', str(run), '--resume', 'auto', '--train.iterations', '3']
        yield Case(f'state: {name}', (go_on,), 'either' if lenient else 'refused')
        begin = ['train', 'aggan_multi.demo', *SMALL, '--out', str(folder / f'{i}-new'), '--stop-after', '0', '--init', str(run)]
        yield Case(f'state to begin with: {name}', ([*begin, '--init-optimiser'],), 'either')
    for name, payload in {'empty': b'', 'zeros': bytes(5000), 'a zip of nothing': _zip({}), 'text': b'hello'}.items():
        run = folder / name
        shutil.copytree(good.run, run)
        (run / 'state' / 'last.pt').write_bytes(payload)
        yield Case(f'state: {name}', (['train', str(run), '--resume', 'auto', '--train.iterations', '3'],))


def models(good: Good, folder: Path) -> Iterator[Case]:
    """config.json and model.safetensors."""
    def commands(model: Path) -> tuple[list[str], ...]:
        return (['edit', str(model), str(good.picture), '--set', 'Eyeglasses=1', '--out', str(model / 'edits')],
                ['evaluate', str(model), '--n', '4', '--out', str(model / 'card')], ['compare', str(model)])

    config = json.loads((good.model / 'config.json').read_text())
    payloads = [(name, json.dumps(made).encode(), 'either') for name, made in altered(config, 3)]
    for i, (name, payload, wants) in enumerate([*payloads, *((name, payload, 'refused') for name, payload in not_json())]):
        model = folder / str(i)
        shutil.copytree(good.model, model)
        (model / 'config.json').write_bytes(payload)
        yield Case(f'config.json: {name}', commands(model)[:2] if wants == 'refused' else commands(model)[:1], wants)
    for name, payload in weights((good.model / 'model.safetensors').read_bytes()):
        model = folder / re.sub(r'\W+', '-', name)
        shutil.copytree(good.model, model)
        (model / 'model.safetensors').write_bytes(payload)
        begin = ['train', 'aggan_multi.demo', *SMALL, '--out', str(model / 'new'), '--init', str(model)]
        yield Case(f'weights: {name}', (*commands(model), begin))
    for name, make in {'config.json is a folder': lambda m: (os.remove(m / 'config.json'), (m / 'config.json').mkdir()),
                       'weights are a folder': lambda m: (os.remove(m / 'model.safetensors'), (m / 'model.safetensors').mkdir()),
                       'no weights': lambda m: os.remove(m / 'model.safetensors'),
                       'weights link to themselves': lambda m: (os.remove(m / 'model.safetensors'),
                                                                os.symlink('model.safetensors', m / 'model.safetensors')),
                       'no config': lambda m: os.remove(m / 'config.json')}.items():
        model = folder / re.sub(r'\W+', '-', name)
        shutil.copytree(good.model, model)
        make(model)
        yield Case(f'model: {name}', commands(model))


def weights(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """safetensors files whose headers lie."""
    length = struct.unpack('<Q', whole[:8])[0]
    header, data = json.loads(whole[8:8 + length]), whole[8 + length:]
    first = next(name for name in header if name != '__metadata__')

    def packed(header: Any, data: bytes = data) -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack('<Q', len(text)) + text + data

    yield from {'empty': b'', 'seven bytes': whole[:7], 'half': whole[:len(whole) // 2], 'no data': whole[:8 + length], 'zeros': bytes(999),
                'header of 2^63 bytes': struct.pack('<Q', 2 ** 63) + whole[8:], 'header of 2^64-1 bytes': b'\xff' * 8 + whole[8:],
                'header is text': packed(b'hello'), 'header is a list': packed([1]), 'header nested deep': packed(b'[' * 100_000),
                'no tensors': packed({}), 'a byte more': whole + b'\0', 'zip': _zip({'a': b'x'}),
                'pickle': b'\x80\x04\x95' + bytes(50)}.items()
    for name, change in {'offsets beyond the end': {'data_offsets': [0, 2 ** 40]}, 'offsets backwards': {'data_offsets': [8, 0]},
                         'negative offsets': {'data_offsets': [-8, 0]}, 'shape too large': {'shape': [2 ** 40, 2 ** 40]},
                         'negative shape': {'shape': [-1, 2]}, 'unknown type': {'dtype': 'F7'}, 'type is a number': {'dtype': 3},
                         'shape is text': {'shape': 'x'}}.items():
        yield name, packed({**header, first: {**header[first], **change}})
    hostile = {('../../../tmp/x' if k == first else k): v for k, v in header.items()}
    yield 'a hostile name', packed(hostile)
    changed = bytearray(whole)
    changed[-5] ^= 1
    yield 'a bit flipped', bytes(changed)


def cards(good: Good, folder: Path) -> Iterator[Case]:
    """card.json and tallies.npz of a run directory, compared."""
    run = folder / 'run'
    shutil.copytree(good.run, run)
    assert retouch(['evaluate', str(run), '--n', '4']) == 0
    card = json.loads((run / 'card.json').read_text())
    card['measures'] = dict(list(card['measures'].items())[:1])
    card['references'] = {}
    card['versions'] = {}
    payloads = [(name, json.dumps(made).encode(), 'either') for name, made in altered(card, 1)]
    for i, (name, payload, wants) in enumerate([*payloads, *((name, payload, 'refused') for name, payload in not_json())]):
        other = folder / str(i)
        shutil.copytree(run, other)
        (other / 'card.json').write_bytes(payload)
        yield Case(f'card.json: {name}', (['compare', str(other)],), wants)
    for name, payload in {'empty': b'', 'text': b'x', 'zip of nothing': _zip({}),
                          'an array that lies': _zip({'card.npy': b'\x93NUMPY' + b'x' * 99}),
                          'pickled': _zip({'card.npy': _npy(np.array([{}], dtype=object))})}.items():
        other = folder / f'tallies-{name}'
        shutil.copytree(run, other)
        (other / 'tallies.npz').write_bytes(payload)
        yield Case(f'tallies.npz: {name}', (['compare', str(other), str(run)],), 'works')


def labels(good: Good, folder: Path) -> Iterator[Case]:
    """Label files in any form."""
    rows = (good.faces / 'labels.csv').read_text().splitlines()
    def table(*changed: str, at: int = 1) -> str:
        """The rows with some of them replaced."""
        return '\n'.join([*rows[:at], *changed, *rows[at + len(changed):]])

    texts: dict[str, str | bytes] = {
        'empty': b'', 'header only': rows[0], 'no header': '\n'.join(rows[1:]), 'not UTF-8': b'file,a\n00.png,\xff',
        'NUL bytes': bytes(500), 'UTF-16': table().encode('utf-16'), 'a picture': good.picture.read_bytes(), 'spaces': '   \n  \n',
        'CR alone': '\r'.join(rows[:3]),
        'a line too short': table('00.png,1'), 'a line too long': table('00.png,1,0,1'), 'value 2': table('00.png,2,0'),
        'value yes': '\n'.join(row.replace(',1', ',yes') for row in rows), 'value empty': table('00.png,,1'),
        'value nan': table('00.png,nan,1'),
        '0 and -1 together': table('00.png,-1,0'), 'a file twice': '\n'.join([*rows, rows[1]]),
        'a file that is not there': '\n'.join([*rows, 'nowhere.png,1,0']), 'an absolute path': table('/etc/passwd,1,0'),
        'a path upwards': table('../face.png,1,0'), 'a column twice': table('file,Bangs,Bangs', at=0),
        'no label columns': '\n'.join(row.split(',')[0] for row in rows), 'a quote that never ends': table('"00.png,1,0'),
        'a field of a megabyte': table('x' * 2 ** 20 + ',1,0'), 'a name with a NUL': table('0\x000.png,1,0'),
        'a hundred thousand columns': 'file,' + ','.join(f'c{i}' for i in range(10 ** 5)) + '\n00.png' + ',1' * 10 ** 5,
    }
    label = '{"file": "00.png", "a": %s}'
    objects = {
        'too deep': '[' * 10 ** 5, 'a list': '[1]', 'half': '{"file": "00.png", ',
        'other fields': f'{label % 1}\n{{"file": "01.png", "b": 1}}',
        'no file': '{"a": 1}', 'a file that is a number': '{"file": 3, "a": 1}', 'a list for a label': label % [1], 'null': 'null',
        'empty': '', 'an object for a label': label % '{"b": 1}', 'a number of 10,000 digits': label % ('1' * 10 ** 4),
        'NaN': label % 'NaN'}
    celeba = {'a lying count': '99\nBangs\n00.png 1', 'no count': 'Bangs\n00.png 1', 'a huge count': '9' * 5000 + '\nBangs\n00.png 1',
              'value 7': '1\nBangs\n00.png 7', 'names missing': '1\n\n00.png 1', 'only a count': '12', 'text': 'hello'}
    either = ('no header', 'value yes', '0 and -1 together', 'a file twice', 'a path upwards', 'CR alone', 'a hundred thousand columns',
              'a lying count', 'a huge count')
    for kind, name, found in (('labels.csv', 'csv', texts), ('labels.jsonl', 'jsonl', objects), ('list_attr_celeba.txt', 'celeba', celeba)):
        for i, (what, text) in enumerate(found.items()):
            place = folder / f'{name}{i}'
            shutil.copytree(good.faces, place)
            (place / 'labels.csv').unlink()
            if name == 'celeba':
                (place / 'img_align_celeba').mkdir()
                for path in place.glob('*.png'):
                    path.rename(place / 'img_align_celeba' / path.name)
            (place / kind).write_bytes(text.encode() if isinstance(text, str) else text)
            train = ['train', 'stargan.folder64', '--data', str(place), *BRIEF, '--out', f'{place}-run']
            yield Case(f'{kind}: {what}', (['data', 'check', str(place)], train), 'either' if what in either else 'refused')


def masks(good: Good, folder: Path) -> Iterator[Case]:
    """Painted masks of the wrong size, kind or no kind at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, payload in damaged(good.mask.read_bytes()):
        path = folder / f'{re.sub(r"[^a-z0-9]+", "-", name)}.png'
        path.write_bytes(payload)
        yield Case(f'mask: {name}', (_edit(good, '--mask', path),))
    for name, size in {'another aspect': (48, 20), 'one pixel': (1, 1), 'one row': (500, 1)}.items():
        path = folder / f'{name}.png'
        Image.new('L', size, 255).save(path)
        yield Case(f'mask: {name}', (_edit(good, '--mask', path),), 'either' if name == 'one pixel' else 'refused')
    for mode in ('1', 'L', 'P', 'LA', 'RGB', 'RGBA', 'CMYK', 'YCbCr', 'LAB', 'HSV', 'I', 'F', 'I;16'):
        path = folder / f'mode-{mode.replace(";", "")}.tif'
        Image.new(mode, (48, 48)).save(path, 'TIFF') if mode != 'HSV' else Image.new('HSV', (48, 48)).convert('RGB').save(path, 'TIFF')
        yield Case(f'mask: mode {mode}', (_edit(good, '--mask', path),), 'either')


def pictures(good: Good, folder: Path) -> Iterator[Case]:
    """Every container, mode and damage, edited, checked and trained on."""
    folder.mkdir(parents=True, exist_ok=True)
    made: list[tuple[str, str, bytes, Wants]] = []
    image = Image.open(good.picture).convert('RGB')
    kinds = {'png': 'PNG', 'jpg': 'JPEG', 'bmp': 'BMP', 'gif': 'GIF', 'tif': 'TIFF', 'webp': 'WEBP', 'avif': 'AVIF', 'jp2': 'JPEG2000',
             'ppm': 'PPM', 'tga': 'TGA', 'ico': 'ICO', 'pdf': 'PDF', 'eps': 'EPS', 'dds': 'DDS', 'sgi': 'SGI', 'pcx': 'PCX'}
    for suffix, kind in kinds.items():
        try:
            buffer = io.BytesIO()
            image.save(buffer, kind)
        except (KeyError, OSError, ValueError):
            continue                                             # this Pillow cannot write it
        made.append((f'container {kind}', suffix, buffer.getvalue(), 'either'))
        made += [(f'{kind}, {name}', suffix, payload, 'either') for name, payload in damaged(buffer.getvalue())]
    for mode in ('1', 'L', 'P', 'LA', 'PA', 'RGBA', 'CMYK', 'YCbCr', 'LAB', 'HSV', 'I', 'F', 'I;16', 'I;16B', 'RGBX', 'RGBa', 'La'):
        for suffix, kind in {'png': 'PNG', 'tif': 'TIFF'}.items():
            try:
                buffer = io.BytesIO()
                Image.new(mode, (48, 48)).save(buffer, kind)
            except (KeyError, OSError, ValueError):
                continue
            made.append((f'mode {mode} in {kind}', suffix, buffer.getvalue(), 'either'))
    for i, (name, suffix, payload, wants) in enumerate(made):
        place = folder / str(i)
        (place / 'one').mkdir(parents=True)
        (place / 'two').mkdir()
        for k, path in enumerate(sorted(good.faces.glob('*.png'))):
            shutil.copy(path, place / ('one', 'two')[k % 2])
        bad = place / 'one' / f'bad.{suffix}'
        bad.write_bytes(payload)
        train = ['train', 'stargan.rafd', '--data', str(place), '--data.crop', 'none', *BRIEF, '--out', f'{place}-run']
        edit = ['edit', str(good.model), str(bad), str(good.picture), '--set', 'Eyeglasses=1', '--out', str(place) + '-edits']
        yield Case(f'picture: {name}', (edit, ['data', 'check', str(place)], train), wants)


def damaged(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """A file cut, emptied, disturbed and prolonged; a PNG also with a header that lies."""
    yield from {'empty': b'', 'one byte': whole[:1], 'its header': whole[:24], 'half': whole[:len(whole) // 2], 'text': b'not a picture',
                'zeros': bytes(300), 'HTML': b'<!doctype html><html>404</html>'}.items()
    if whole[:4] == b'\x89PNG':
        for name, (w, h) in {'0 x 0 px': (0, 0), '2^31-1 px wide': (2 ** 31 - 1, 1), '60,000 x 60,000 px': (60_000, 60_000)}.items():
            header = struct.pack('>II', w, h) + whole[24:29]
            yield f'PNG of {name}', whole[:16] + header + struct.pack('>I', zlib.crc32(b'IHDR' + header)) + whole[33:]
        bomb = PngImagePlugin.PngInfo()
        bomb.add_text('x', 'y' * (80 * 2 ** 20), zip=True)
        buffer = io.BytesIO()
        Image.new('L', (8, 8)).save(buffer, 'PNG', pnginfo=bomb)
        yield 'PNG with 80 MB of text in 80 kB', buffer.getvalue()


def _edit(good: Good, *more: object) -> list[str]:
    out = [] if '--out' in more else ['--out', str(good.picture.parent / 'edits')]
    return ['edit', str(good.model), str(good.picture), '--set', 'Eyeglasses=1', *out, *map(str, more)]


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        for name, payload in files.items():
            archive.writestr(name, payload)
    return buffer.getvalue()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


# ---- what is said to them

def run(words: list[str], said: Path) -> int:
    """A command in a process of its own, within limits: its status, negative for a signal."""
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.alarm(SECONDS)

    return status_of(fork(lambda: retouch(words), said, limit))


def fault(wants: Wants, status: int, said: str) -> str | None:
    """What is wrong with an answer; None: nothing."""
    lines = said.splitlines()
    errors = [line for line in lines if line.startswith('retouch: error: ')]
    if 'Traceback' in said:
        return 'a traceback'
    if status == 1 and lines and lines[-1].startswith('next: '):
        return None                                              # `data check`, whose report lists what is wrong
    if status not in (0, 2):
        return f'status {status}'
    if status == 0:
        return 'taken in silence' if wants == 'refused' else 'an error line with status 0' if errors else None
    if wants == 'works':
        return 'refused'
    if not errors or lines[-len(errors):] != errors:
        return f'{len(errors)} error lines, not the last ones'
    for line in errors:
        if len(line) > 1000:
            return f'a line of {len(line)} characters'
        if not FIX.search(line):
            return 'neither an expectation nor a fix'
    return None


GROUPS: dict[str, Callable[[Good, Path], Iterator[Case]]] = {
    'options': options, 'run.json': runs, 'state': states, 'model': models, 'card': cards, 'labels': labels, 'masks': masks,
    'pictures': pictures}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('--only', nargs='*', choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument('--show', action='store_true')
    chosen = parser.parse_args()
    torch.set_num_threads(1)                                     # threads do not survive a fork
    folder = chosen.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.chdir(folder)
    os.environ.update(RETOUCH_CACHE=str(folder / 'cache'), RETOUCH_RUNS=str(folder / 'runs'))
    good = make_good(folder / 'good')
    warm = (['data', 'check', str(good.faces)], _edit(good), ['evaluate', str(good.model), '--n', '4'], ['compare', 'toyfaces'])
    for words in warm:
        assert retouch(words) == 0                               # what is right is taken, and all that is needed is imported
    print('---', flush=True)
    total = faults = refused = 0
    for group in chosen.only:
        began, count, wrong = time.monotonic(), 0, 0
        for case in GROUPS[group](good, folder / group.replace('.', '-')):
            count += 1
            for words in case.commands:
                status = run(words, folder / 'said.txt')
                said = (folder / 'said.txt').read_text(errors='replace')
                refused += status == 2
                found = fault(case.wants, status, said)
                if found is not None or chosen.show:
                    last = said.splitlines()[-1][:300] if said.strip() else ''
                    print(f'{"FAULT: " + found if found else "ok"} | {case.name} | {" ".join(words)[:60]} | {last}', flush=True)
                wrong += found is not None
        print(f'{group}: {count} cases, {wrong} faults ({time.monotonic() - began:.0f} s)', flush=True)
        total, faults = total + count, faults + wrong
    print(f'{total} cases, {refused} refusals, {faults} faults')


if __name__ == '__main__':
    main()
