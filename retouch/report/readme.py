"""What `retouch push` sends: a model directory's files without this machine's paths, and a README made of its config and card."""
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from retouch.errors import one_line
from retouch.evaluation.card import Card
from retouch.files import read_json
from retouch.metrics.measure import MEASURES
from retouch.model import CONFIG, WEIGHTS, WRITTEN, load_model

DRAWN = 'none of real people: faces drawn by this package'
LICENCES = {'MIT': 'mit', 'BSD-2-Clause': 'bsd-2-clause', 'CC BY-NC-SA 4.0': 'cc-by-nc-sa-4.0'}      # as the Hub spells them
USE = ('For research on editing pictures, and for edits of pictures whose people have agreed to them. Say that a picture is edited where '
       'you show it; Retouch writes a note into every one. Not for deceiving anybody, not for pictures of people without their consent, '
       'not for deciding anything about a person: what a model reads in a face is what its training set called it. It has the biases of '
       'its training data, and does worse on pictures unlike them.')
SHOWN = ('edit_accuracy', 'arrived', 'leakage', 'psnr_outside', 'psnr_inside', 'psnr_truth', 'psnr_whole', 'ssim_outside', 'untouched',
         'mask_iou', 'mask_area', 'accuracy')


def model_files(folder: Path, repository: str, licence: str | None = None, data_terms: str | None = None) -> dict[str, bytes | Path]:
    """Name -> content of what goes to the Hub.

    Args:
        folder: a model directory, which is loaded once, so that nothing damaged is sent.
        repository: USER/MODEL, for the lines that show how to use it.
        licence: of the weights, as the Hub spells it; None: what an import recorded.
        data_terms: of the training data; None: what an import recorded, and for drawn faces that there are none.

    Raises:
        ValueError: no model or a damaged one, a card of other weights, or no licence to name.
    """
    model = load_model(folder)
    config = read_json(folder / CONFIG, WRITTEN)
    origin, begun = model.info.get('origin') or {}, model.info.get('begun_with') or {}
    if licence is None and (licence := LICENCES.get(origin.get('licence', ''))) is None:
        reason = (f'{origin["source"]} states none, and its weights are its authors\': with their permission' if origin else
                  'nobody else can choose it')
        raise ValueError(f'{folder} names no licence for its weights: {reason} add --licence ID, e.g. cc-by-4.0')
    if not re.fullmatch(r'[\w.-]{2,60}', licence):
        raise ValueError(f'--licence {licence}: expected an identifier such as cc-by-4.0 or apache-2.0')
    data = config['info'].get('data') or {}
    if data.get('source'):                                       # a folder of this machine says where its user keeps things
        data['source'] = _last(data['source'])
    files: dict[str, bytes | Path] = {CONFIG: (json.dumps(config, indent=2) + '\n').encode(), WEIGHTS: folder / WEIGHTS}
    card = _card_beside(folder, model.weights_sha256)
    if card is not None:
        place = card.data.model_copy(update={'source': _last(card.data.source)})
        card = card.model_copy(update={'data': place, 'command': '' if '/' in card.command else card.command})
        files['card.json'] = card.encode()
    if data_terms is None:
        drawn = data.get('source', 'toyfaces') == 'toyfaces' and not origin and not begun
        data_terms = DRAWN if drawn else model.terms or 'not stated by who pushed it: ask before you rely on it'
    files['README.md'] = _readme(repository, licence, data_terms, config, card).encode()
    return files


def _last(source: str) -> str:
    """'/home/me/CelebA' -> 'CelebA'; of two folders both."""
    return ','.join(Path(part.strip()).name for part in source.split(','))


def _card_beside(folder: Path, sha256: str) -> Card | None:
    places = [folder / 'card.json', *([folder.parent / 'card.json'] if folder.name == 'model' else [])]      # of a run directory
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return None
    try:
        card = Card.read(path)
    except ValueError as error:
        raise ValueError(one_line(error)) from None
    if card.checkpoint.sha256 not in (None, sha256):
        raise ValueError(f'{path} is the card of other weights than {sha256[:12]}…: evaluate the model again')
    return card


def _readme(repository: str, licence: str, data_terms: str, config: dict[str, Any], card: Card | None) -> str:
    """Markdown below the metadata that the Hub reads; JSON is YAML, so that no name can break out of it."""
    method, data, info = config['method'], config['data'], config['info']
    origin, attributes, domains = info.get('origin') or {}, data.get('attributes') or [], data.get('domains') or []
    front = {'license': licence, 'library_name': 'retouch', 'pipeline_tag': 'image-to-image', 'tags': ['image-to-image', 'retouch', method]}
    if card is not None:
        shown = [{'type': name, 'value': card.measures[name].value} for name in SHOWN if name in card.measures]
        front['model-index'] = [{'name': repository, 'results': [{'task': {'type': 'image-to-image'}, 'metrics': shown, 'dataset': {
            'name': card.data.source, 'type': card.data.source}}]}]
    asked = f'edit(picture, {attributes[0]}=1)' if attributes else f'translate(picture, to={domains[-1]!r})' if domains else 'edit(picture)'
    if not _translates(config):
        asked = 'model.method.read(x)'
    lines = ['---', *(f'{key}: {json.dumps(value)}' for key, value in front.items()), '---', '', f'# {repository}', '',
             f'A `{method}` at {data["size"]} px for Retouch, which edits pictures of any size and leaves the rest alone.', '',
             '```python', 'from retouch import Editor', '', f"editor = Editor.load('hf://{repository}')      # pip install 'retouch[hub]'",
             f'result = editor.{asked}', '```', '']
    lines += ['## Data and terms', '', f'* Training data, terms: {data_terms}.', f'* Licence of these weights: {licence}.']
    if origin:
        files = ', '.join(f'`{f["name"]}` (sha256 {f["sha256"]})' for f in origin.get('files', []))
        lines.append(f'* Imported, not trained with Retouch: {origin["source"]}, licence {origin["licence"]}; {files}.')
    else:
        lines.append(f'* Trained by recipe {info.get("recipe")}, {info.get("iteration")} iterations, seed {info.get("seed")}, on '
                     f'{(info.get("data") or {}).get("source", "toyfaces")}.')
        if begun := info.get('begun_with'):
            lines.append(f'* It began with weights of {begun["source"]}, licence {begun["licence"]}.')
    lines += [f'* Attributes: {", ".join(attributes)}.'] if attributes else [f'* Domains: {" and ".join(domains)}.'] if domains else []
    return '\n'.join([*lines, '', '## Measured', '', *_measured(card), '', '## For what, and not for what', '', USE, ''])


def _translates(config: dict[str, Any]) -> bool:
    return config['method'] not in ('classifier', 'parser')


def _measured(card: Card | None) -> list[str]:
    if card is None:
        return ['Nothing: no card came with it. `retouch evaluate` makes one.']
    rows = [(name, card.measures[name]) for name in SHOWN if name in card.measures]
    table = [f'| {name} | {_number(m.value)} | {_number(m.low)} to {_number(m.high)} | {MEASURES[name].text if name in MEASURES else ""} |'
             for name, m in rows]
    return [f'Protocol `{card.protocol}` on {card.data.source} ({card.data.split}), n = {card.n}, seed {card.seed}, {card.hardware}; the '
            'whole card is `card.json`.', '', '| measure | value | 95 % interval | of |', '|---|---|---|---|', *table]


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.4g}'
