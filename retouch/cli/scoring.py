"""`retouch score`."""
from __future__ import annotations

import dataclasses
import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from retouch.cli.evaluating import print_card
from retouch.cli.options import ScoreOptions
from retouch.editor.difference import difference_map
from retouch.evaluation.edits import Given, match_folders, score_edits
from retouch.evaluation.judge import model_to_judge, proved
from retouch.evaluation.ledger import Ledger
from retouch.files import check_out
from retouch.hardware import find_device
from retouch.model import load_model
from retouch.report.gallery import SHOWN_PX, GalleryRow
from retouch.report.run import write_report
from retouch.terminal import progress_bar

SHOWN = 6                # pictures of a report


def score(options: ScoreOptions) -> int:
    """`retouch score`."""
    edit = _edit(options)
    check_out(options.out)
    if not options.features and (options.weights or options.download):
        raise ValueError(f'{"--weights" if options.weights else "--download"} needs --features: no other measure has published weights')
    if options.real is not None and options.judge is None and not options.features:
        raise ValueError('--real needs --judge or --features: distances between sets are of features, and some network has to see them')
    given = match_folders(options.before, options.after, masks=options.masks, regions=options.regions, truth=options.truth,
                          real=options.real, n=options.n)
    for note in given.notes:
        print(f'note: {note}', file=sys.stderr)
    device, judge = find_device(options.device), None
    if options.judge is not None:                                # what it is worth on such pictures stands in the card
        judge = proved(model_to_judge(load_model(options.judge, device), device), options.judge, minimum=0, drawn=False)
    tool = options.tool or str(options.after)
    with progress_bar() as progress:
        card, tallies = score_edits(given, edit=edit, judge=judge, features=options.features, weights=options.weights,
                                    download=options.download, seed=options.seed, device=device, source=str(options.before), tool=tool,
                                    command=_command(options), progress=progress)
    files = list[Path]()
    if options.out is not None:
        files, ledger = [options.out / 'card.json', options.out / 'report.html'], Ledger(options.out)
        ledger.tallies = tallies
        ledger.close(card)
        write_report(files[1], card, given_to_rows(given), title=tool)
    if options.json:
        print(json.dumps(card.model_dump(mode='json'), indent=2))
        return 0
    print_card(card, tool)
    print('written:' if files else 'not written: add --out DIR', *files)
    return 0


def _edit(options: ScoreOptions) -> tuple[str, int] | None:
    """What was asked; ValueError for more than one thing, and for a judge or an edit alone."""
    if bool(options.set) != (options.judge is not None):
        raise ValueError('--set says what was asked, --judge whether it arrived: give both or neither: --judge judge --set Blond_Hair=1')
    if not options.set:
        return None
    match = re.fullmatch(r'([^=]+)=([01])', options.set[0])
    if len(options.set) > 1 or not match:
        raise ValueError(f'--set {" ".join(options.set)}: expected one attribute, NAME=0 or NAME=1; a card is of one edit, score others by '
                         'themselves')
    return match.group(1), int(match.group(2))


def _command(options: ScoreOptions) -> str:
    """How to repeat this."""
    words = ['retouch', 'score']
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value in (None, (), False) or field.name in ('out', 'json', 'device'):
            continue
        words += [f'--{field.name}'] if value is True else [f'--{field.name}', *map(str, value if isinstance(value, tuple) else (value,))]
    return shlex.join(words)


def given_to_rows(given: Given) -> list[GalleryRow]:
    """The first pictures as a report shows them: before, region, mask, after, truth, where the edit changed something."""
    rows = []
    for i, name in enumerate(given.names[:SHOWN]):
        panels = dict[str, np.ndarray]()
        for what, pictures in (('input', given.before), ('region', given.regions), ('mask', given.masks), ('edit', given.after),
                               ('truth', given.truth)):
            if pictures is not None:
                (pixels,) = pictures[i:i + 1]
                panels[what] = pixels if pixels.dtype == np.uint8 else (pixels.astype(np.float32) * 255).round().astype(np.uint8)
        panels['difference'] = difference_map(panels['input'], panels['edit'])
        rows.append(GalleryRow(name, {what: _shown(pixels) for what, pixels in panels.items()}))
    return rows


def _shown(pixels: np.ndarray) -> np.ndarray:
    """No larger than a page has room for."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((SHOWN_PX, SHOWN_PX))
    return np.asarray(picture)
