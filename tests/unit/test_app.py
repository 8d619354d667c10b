"""The API of `retouch app`: what goes in comes out as the editor alone would make it, and what was not to change has not."""
from __future__ import annotations

import gc
import json
import os
import runpy
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip('fastapi', reason="fastapi is not installed: pip install 'retouch[app]'")
pytest.importorskip('httpx', reason='httpx is not installed: it asks the server')

from retouch import Editor
from retouch.app.jobs import Job, outside_unchanged
from retouch.app.models import open_models
from tests.serving import TOKEN, added, face, finished, opened, png, save_tiny, serving
from tests.unit.test_colour import PROFILES, profile_of

API = '/api/v1'


@pytest.fixture(scope='module')
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('models')
    for method in ('aggan_multi', 'lomit', 'cyclegan', 'munit', 'parser'):
        save_tiny(folder, method)
    return folder


@pytest.fixture(scope='module')
def client(models: Path) -> Iterator[Any]:
    with serving([str(models)]) as found:
        yield found


def left_half(width: int, height: int) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[:, :(width + 1) // 2] = 255
    return mask


def test_info_says_what_each_model_takes(client: Any) -> None:
    info = client.get(f'{API}/info').json()
    about = {model['name']: model for model in info['models']}
    assert list(about) == ['aggan_multi', 'cyclegan', 'lomit', 'munit', 'parser']
    assert about['aggan_multi']['attributes'] and not about['aggan_multi']['exemplar']
    assert about['cyclegan']['domains'] == ['A', 'B'] and not about['cyclegan']['attributes']
    assert about['lomit']['exemplar'] and about['lomit']['exemplar_mask'] and not about['lomit']['attributes']
    assert about['munit']['exemplar'] and not about['munit']['exemplar_mask']
    assert 'hair' in about['parser']['regions'] and info['limits']['queued'] == 8


PICTURES: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
    'opaque': (face(), 'PNG', {}),
    'jpeg': (face(), 'JPEG', {'quality': 90}),
    'webp': (face(), 'WEBP', {'lossless': True}),
    'tiff': (face(), 'TIFF', {}),
    'alpha': (Image.merge('RGBA', (*face().split(), face().split()[0])), 'PNG', {}),
    'icc': (face(), 'PNG', {'icc_profile': profile_of(*PROFILES['Display P3'])}),
    'palette': (face().quantize(16), 'PNG', {}),
    'grey': (face().convert('L'), 'PNG', {}),
    'odd': (face(37, 53), 'PNG', {}),
    'one pixel': (face(1, 1), 'PNG', {}),
    **{f'exif {turn}': (face(), 'JPEG', {'quality': 95, 'exif': (lambda e, t=turn: (e.__setitem__(0x112, t), e)[1])(Image.Exif())})
       for turn in range(1, 9)},
}


@pytest.mark.parametrize('name', PICTURES)
def test_outside_the_mask_every_byte_stays(name: str, client: Any, models: Path, tmp_path: Path) -> None:
    image, kind, options = PICTURES[name]
    body = png(image, kind, **options)
    answer = client.post(f'{API}/images', content=body).json()
    source = opened(client.get(f'{API}/images/{answer["id"]}').content)
    assert source.size == (answer['width'], answer['height']) and answer['alpha'] == (name == 'alpha')
    if name in ('exif 5', 'exif 6', 'exif 7', 'exif 8'):
        assert source.size == image.size[::-1]
    mask = left_half(*source.size)
    painted = client.post(f'{API}/images/{answer["id"]}/masks', content=png(mask)).json()
    assert painted['share'] == pytest.approx((mask > 0).mean())
    asked = {'model': 'aggan_multi', 'image': answer['id'], 'mask': painted['id'], 'set': {'Blond_Hair': 1}}
    edit = finished(client, client.post(f'{API}/edits', json=asked).json()['id'])
    assert edit['state'] == 'done' and edit['outside_unchanged'] is True, edit
    result = opened(client.get(f'{API}/edits/{edit["id"]}/result.png').content)
    found = np.asarray(opened(client.get(f'{API}/edits/{edit["id"]}/mask.png').content))
    assert result.size == source.size and result.mode == source.mode
    assert not found[mask == 0].any() and edit['mask_share'] == pytest.approx((found > 0).mean())
    before, after = np.asarray(source), np.asarray(result)
    assert np.array_equal(before[found == 0], after[found == 0])
    if name != 'one pixel':
        assert (before != after).any()
    assert result.info.get('icc_profile') == source.info.get('icc_profile') == options.get('icc_profile')
    path = tmp_path / f'a.{kind.lower()}'
    path.write_bytes(body)                                       # the same as of the editor alone, from the file
    alone = Editor.load(models / 'aggan_multi', 'cpu').edit(path, mask=mask, Blond_Hair=1)
    assert np.array_equal(after, np.asarray(alone.image)) and np.array_equal(found, alone.mask)


def test_the_models_own_mask_taken_whole_changes_nothing(client: Any) -> None:
    image = added(client, face())
    query = {'model': 'aggan_multi', 'set': ['Blond_Hair=1', 'Eyeglasses=0.5']}
    suggested = np.asarray(opened(client.get(f'{API}/images/{image}/mask', params=query).content))
    asked = {'model': 'aggan_multi', 'image': image, 'set': {'Blond_Hair': 1, 'Eyeglasses': 0.5}}
    own = client.post(f'{API}/edits', json=asked).json()['id']
    whole = client.post(f'{API}/images/{image}/masks', content=png(((suggested > 0) * 255).astype(np.uint8))).json()['id']
    painted = client.post(f'{API}/edits', json={**asked, 'mask': whole}).json()['id']
    answers = [finished(client, edit) for edit in (own, painted)]
    results = [client.get(f'{API}/edits/{edit}/result.png?note=false').content for edit in (own, painted)]
    assert results[0] == results[1] and answers[0]['target']['Eyeglasses'] == 0.5
    assert np.array_equal(np.asarray(opened(client.get(f'{API}/edits/{own}/mask.png').content)), suggested)


def test_a_result_has_its_note_its_heat_map_and_previews(client: Any) -> None:
    image = added(client, face(600, 500))
    edit = client.post(f'{API}/edits', json={'model': 'cyclegan', 'image': image, 'to': 'A', 'strength': 0.5}).json()['id']
    assert finished(client, edit)['notes']
    with_note, without = (opened(client.get(f'{API}/edits/{edit}/result.png', params={'note': note}).content) for note in (True, False))
    assert json.loads(with_note.info['retouch'])['to'] == 'A' and json.loads(with_note.info['retouch'])['strength'] == 0.5
    assert 'retouch' not in without.info and 'Comment' not in without.info
    assert np.array_equal(np.asarray(with_note), np.asarray(without))
    heat = opened(client.get(f'{API}/edits/{edit}/heat.png').content)
    assert heat.size == (600, 500) and np.asarray(heat).any()
    small = client.get(f'{API}/edits/{edit}/preview?side=300')
    assert small.headers['content-type'] == 'image/png' and opened(small.content).size == (300, 250)
    large = client.get(f'{API}/images/{image}/preview')
    assert large.headers['content-type'] == 'image/jpeg' and opened(large.content).size == (600, 500)
    exact = opened(client.get(f'{API}/edits/{edit}/preview?exact=true').content)
    assert np.array_equal(np.asarray(exact), np.asarray(without))


def test_a_result_becomes_a_picture(client: Any) -> None:
    image = added(client, face())
    edit = client.post(f'{API}/edits', json={'model': 'cyclegan', 'image': image}).json()['id']
    finished(client, edit)
    kept = client.post(f'{API}/edits/{edit}/image').json()
    body = client.get(f'{API}/images/{kept["id"]}').content
    assert np.array_equal(np.asarray(opened(body)), np.asarray(opened(client.get(f'{API}/edits/{edit}/result.png').content)))
    assert client.delete(f'{API}/images/{image}').status_code == 204
    assert client.get(f'{API}/edits/{edit}').status_code == 404 and client.get(f'{API}/images/{kept["id"]}').status_code == 200


def test_exemplars_and_their_masks(client: Any) -> None:
    image, other = added(client, face()), added(client, face(40, 40))
    mask = client.post(f'{API}/images/{other}/masks', content=png(left_half(40, 40))).json()['id']
    asked = {'model': 'lomit', 'image': image, 'exemplar': other, 'exemplar_mask': mask}
    edit = finished(client, client.post(f'{API}/edits', json=asked).json()['id'])
    assert edit['state'] == 'done' and edit['exemplar_mask'], edit
    read = np.asarray(opened(client.get(f'{API}/edits/{edit["id"]}/exemplar-mask.png').content))
    assert read.shape == (40, 40) and read[:, :18].min() > 250 and read[:, 22:].max() < 5
    assert client.post(f'{API}/edits', json={**asked, 'exemplar_mask': None, 'mask': mask}).status_code == 422     # of another picture
    assert finished(client, client.post(f'{API}/edits', json={'model': 'munit', 'image': image, 'to': 'B', 'exemplar': other}).json()['id']
                    )['state'] == 'done'


def test_readings_and_regions(client: Any) -> None:
    image = added(client, face())
    reading = client.get(f'{API}/images/{image}/reading', params={'model': 'aggan_multi'}).json()
    assert set(reading['attributes']) == {'Black_Hair', 'Blond_Hair', 'Eyeglasses'} and reading['frame'] == [8, 0, 48, 48]
    boxed = client.get(f'{API}/images/{image}/reading', params={'model': 'aggan_multi', 'box': '0,8,20,10'}).json()
    assert boxed['frame'] == [0, 3, 20, 20]
    for box, status in (('60,0,20,20', 422), ('1,2,3', 422), ('a,b,c,d', 422)):
        assert client.get(f'{API}/images/{image}/reading', params={'model': 'aggan_multi', 'box': box}).status_code == status
    regions = next(model['regions'] for model in client.get(f'{API}/info').json()['models'] if model['name'] == 'parser')
    masks = [np.asarray(opened(client.get(f'{API}/images/{image}/mask', params={'model': 'parser', 'region': region}).content))
             for region in regions]
    total = np.stack(masks).astype(int).sum(0)
    assert not total[:, :8].any() and np.abs(total[:, 8:56] - 255).max() <= 6        # every pixel of the frame is of one class


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    'unknown model': ({'model': 'x'}, "unknown model 'x'"),
    'a parser': ({'model': 'parser'}, 'names regions'),
    'unknown attribute': ({'set': {'Blond': 1}}, "did you mean 'Blond_Hair'"),
    'nothing': ({'set': {}}, 'nothing to change'),
    'to of attributes': ({'to': 'B'}, 'to does not apply'),
    'set of domains': ({'model': 'cyclegan'}, 'set does not apply'),
    'exemplar': ({'exemplar': 'IMAGE'}, 'takes no exemplar'),
    'exemplar mask alone': ({'exemplar_mask': 'IMAGE'}, 'exemplar_mask without exemplar'),
    'unknown field': ({'path': '/etc/passwd'}, 'path: Extra inputs are not permitted'),
    'strength': ({'strength': 3}, 'strength: Input should be less than or equal to 2'),
    'value': ({'set': {'Blond_Hair': 2}}, 'set.Blond_Hair'),
    'box': ({'box': [0, 0, 1]}, 'box'),
    'no id': ({'image': '../../etc/passwd'}, 'image: String should match'),
}


@pytest.mark.parametrize('what', WRONG)
def test_what_is_asked_wrong_is_one_line(what: str, client: Any) -> None:
    change, said = WRONG[what]
    image = added(client, face(20, 20))
    asked = {'model': 'aggan_multi', 'image': image, 'set': {'Blond_Hair': 1}, **change}
    asked = {key: image if value == 'IMAGE' else value for key, value in asked.items()}
    answer = client.post(f'{API}/edits', json=asked)
    assert answer.status_code == 422 and said in answer.json()['error'] and '\n' not in answer.json()['error'], answer.text


def test_a_failure_of_the_editor_is_said(client: Any) -> None:
    edit = client.post(f'{API}/edits', json={'model': 'aggan_multi', 'image': added(client, face()), 'set': {'Blond_Hair': 1},
                                             'box': [60, 0, 20, 20]}).json()['id']
    answer = finished(client, edit)
    assert answer['state'] == 'failed' and 'does not fit' in answer['error']
    assert client.get(f'{API}/edits/{edit}/result.png').status_code == 409


def test_what_changed_outside_the_mask_is_seen() -> None:
    before = Image.merge('RGBA', (*face(600, 520).split(), Image.new('L', (600, 520), 9)))
    after, mask = np.array(before), np.zeros((520, 600), np.uint8)
    assert outside_unchanged(before, Image.fromarray(after), mask)
    after[519, 599, 3] += 1                                      # alpha, in the last pixel
    assert not outside_unchanged(before, Image.fromarray(after), mask)
    mask[519, 599] = 1
    assert outside_unchanged(before, Image.fromarray(after), mask)
    assert not outside_unchanged(before, Image.fromarray(after[..., :3]), mask)


def test_models_are_found_and_named(models: Path, tmp_path: Path) -> None:
    (tmp_path / 'mine' / 'model').parent.mkdir()
    save_tiny(tmp_path / 'x', 'cyclegan').rename(tmp_path / 'mine' / 'model')
    assert list(open_models([], 'cpu', 1)) == ['toyfaces', 'leaves']
    assert list(open_models([str(tmp_path / 'mine'), str(models / 'cyclegan'), str(models / 'cyclegan')], 'cpu', 1)) == [
        'mine', 'cyclegan', 'cyclegan#2']
    for names, said in ((['nowhere'], 'unknown model'), ([str(models / 'parser')], 'nothing in .* edits'),
                        ([str(tmp_path / 'x')], 'holds no model')):
        with pytest.raises(ValueError, match=said):
            open_models(names, 'cpu', 1)


def test_what_was_deleted_is_freed(client: Any) -> None:
    store = client.app.state.service.store
    before = store.bytes
    image = added(client, face(200, 100))
    client.post(f'{API}/images/{image}/masks', content=png(left_half(200, 100)))
    edit = finished(client, client.post(f'{API}/edits', json={'model': 'cyclegan', 'image': image}).json()['id'])
    assert store.bytes - before == 200 * 100 * (3 + 1 + 3 + 1 + 3) and edit['state'] == 'done'
    result = weakref.ref(store.get(edit['id'], Job).edit)
    gc.disable()                                                 # at once: a large picture must not wait for the collector
    try:
        client.delete(f'{API}/images/{image}')
        time.sleep(0.05)
        assert store.bytes == before and result() is None
    finally:
        gc.enable()


def test_the_client_of_the_examples_edits(client: Any, repository: Path, tmp_path: Path) -> None:
    lines = (repository / 'examples' / 'app_client.py').read_text().splitlines()
    assert len(lines) <= 31
    face().save(tmp_path / 'a.png')
    command = [sys.executable, repository / 'examples' / 'app_client.py', str(client.base_url), 'aggan_multi', tmp_path / 'a.png',
               tmp_path / 'b.png', 'Blond_Hair=1']
    done = subprocess.run(command, env={**os.environ, 'RETOUCH_APP_TOKEN': TOKEN}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stdout.endswith('outside unchanged: True\n'), done.stderr
    assert opened((tmp_path / 'b.png').read_bytes()).size == (64, 48)
    (tmp_path / 'a.png').write_bytes(b'hello')
    done = subprocess.run(command, env={**os.environ, 'RETOUCH_APP_TOKEN': TOKEN}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and done.stderr == 'not a picture: expected PNG, JPEG, WebP, AVIF or TIFF\n'


def test_the_node_of_the_examples_edits(models: Path, repository: Path) -> None:
    path = repository / 'examples' / 'comfyui' / 'retouch_node.py'
    assert len(path.read_text().splitlines()) < 60
    node = runpy.run_path(str(path))['NODE_CLASS_MAPPINGS']['RetouchEdit']
    assert set(node.INPUT_TYPES()['required']) == {'image', 'model', 'attributes', 'strength'}
    pixels, mask = torch.from_numpy(np.array(face())).float()[None] / 255, torch.zeros(1, 48, 64)
    mask[:, :, :20] = 1
    images, found = node().edit(pixels, str(models / 'aggan_multi'), 'Blond_Hair=1 Eyeglasses=1', 1.0, mask)
    assert images.shape == pixels.shape and not found[:, :, 20:].any() and torch.equal(images[:, :, 20:], pixels[:, :, 20:])
    assert not torch.equal(images, pixels)


def test_the_page_on_the_api_names_every_route(client: Any, repository: Path) -> None:
    text = (repository / 'docs' / 'api.md').read_text()
    paths = client.get(f'{API}/openapi.json').json()['paths']
    missing = [f'{method} {path}' for path, methods in paths.items() for method in methods
               if f'`{method.upper()} {path.removeprefix(API)}' not in text]
    assert len(paths) >= 17 and not missing
