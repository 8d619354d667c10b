"""The server of `retouch app` against what a page of somebody else, a file made to hurt or a slow client would do to it."""
from __future__ import annotations

import io
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('fastapi', reason="fastapi is not installed: pip install 'retouch[app]'")
pytest.importorskip('httpx', reason='httpx is not installed: it asks the server')

import httpx

from retouch.app.guard import Access
from retouch.app.limits import FORMATS, Limits
from retouch.app.server import bind
from retouch.cli.main import main
from tests.serving import TOKEN, added, face, finished, opened, png, save_tiny, serving

API = '/api/v1'
LIMITS = Limits(body_bytes=300_000, json_bytes=2000, body_seconds=0.6, pixels=100_000, side_px=3000, frames=3, kept_bytes=900_000)


@pytest.fixture(scope='module')
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp('models'), 'cyclegan')


@pytest.fixture(scope='module')
def client(models: Path) -> Iterator[Any]:
    with serving([str(models)], LIMITS) as found:
        yield found


def bare(client: Any, **headers: str | bytes) -> httpx.Client:
    """Another client of the same server, without its token."""
    return httpx.Client(base_url=client.base_url, headers=headers, timeout=20)


def test_every_route_but_one_wants_the_token(client: Any) -> None:
    paths = client.get(f'{API}/openapi.json').json()['paths']
    assert len(paths) >= 17 and not [path for path in paths if path != '/healthz' and not path.startswith(API)]
    some = 'A' * 22
    for headers in ({}, {'Authorization': 'Bearer wrong'}, {'Authorization': f'Basic {TOKEN}'}, {'Cookie': f'retouch-1={TOKEN}'},
                    {'Authorization': f'Bearer {TOKEN}x'}, {'Authorization': b'Bearer \xc3\xa4'}):
        with bare(client, **headers) as stranger:
            every = paths if not headers else {path: paths[path] for path in ('/healthz', f'{API}/info', f'{API}/edits')}
            for path, methods in every.items():
                for method in methods:
                    answer = stranger.request(method, path.format(image=some, edit=some))
                    assert answer.status_code == (200 if path == '/healthz' else 401), (method, path)
            for path in ('/', '/static/main.js', '/static/../server.py', f'{API}/nothing', f'/?token={TOKEN[:-1]}',
                         f'/static/?token={TOKEN}'):
                answer = stranger.get(path)
                assert answer.status_code == 401 and TOKEN not in answer.text, path


def test_the_address_with_the_token_becomes_a_cookie(client: Any) -> None:
    with bare(client) as browser:
        answer = browser.get(f'/?token={TOKEN}')
        cookie = answer.headers['set-cookie']
        assert answer.status_code == 303 and answer.headers['location'] == '/'
        assert cookie.startswith(f'retouch-{client.access.port}=')
        assert all(part in cookie for part in ('HttpOnly', 'SameSite=strict', 'Path=/'))
        page = browser.get('/')
        assert page.status_code == 200 and TOKEN not in page.text and browser.get(f'{API}/info').status_code == 200
        scripts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(scripts) >= 4 and all(browser.get(path).status_code == 200 for path in scripts)


def test_foreign_hosts_and_origins_are_refused(client: Any) -> None:
    port = client.access.port
    for host in ('evil.example', f'evil.example:{port}', f'127.0.0.1.evil.example:{port}', f'127.0.0.1:{port + 1}', '192.168.0.9', '',
                 '[::2]', f'127.0.0.1:{port}.evil.example', '127.0.0.1:', '127.0.0.1:999999', '[::1', f'me@127.0.0.1:{port}'):
        for path in ('/healthz', f'{API}/info', f'/?token={TOKEN}'):
            assert client.get(path, headers={'Host': host}).status_code == 400, host
    for host in (f'localhost:{port}', f'127.0.0.1:{port}', f'[::1]:{port}'):
        assert client.get(f'{API}/info', headers={'Host': host}).status_code == 200, host
    for origin in ('https://evil.example', 'null', f'http://localhost:{port + 1}', f'http://127.0.0.1.evil.example:{port}'):
        answer = client.post(f'{API}/images', content=png(face()), headers={'Origin': origin})
        assert answer.status_code == 403 and 'access-control-allow-origin' not in answer.headers, origin
        assert client.options(f'{API}/edits', headers={'Origin': origin, 'Access-Control-Request-Method': 'POST'}).status_code == 403
    assert client.post(f'{API}/images', content=png(face()), headers={'Origin': f'http://127.0.0.1:{port}'}).status_code == 201


def test_other_addresses_are_reached_by_number_or_name_given() -> None:
    everywhere, named = Access(TOKEN, '0.0.0.0', 80), Access(TOKEN, 'studio.lan', 80)
    assert everywhere.is_ours('192.168.0.9:80') and everywhere.is_ours('[fe80::1]:80') and everywhere.is_ours('localhost:80')
    assert not everywhere.is_ours('evil.example:80') and not everywhere.is_ours('192.168.0.9:81')
    assert named.is_ours('Studio.LAN:80') and not named.is_ours('evil.example') and not Access(TOKEN).is_ours('192.168.0.9')


def test_every_answer_forbids_what_a_page_must_not_do(client: Any) -> None:
    image = added(client, face())
    answers = [client.get(path) for path in ('/', '/healthz', '/static/main.js', f'{API}/info', f'{API}/images/{image}', f'{API}/nothing')]
    with bare(client) as stranger:
        answers.append(stranger.get('/'))
    answers += [client.get('/', headers={'Host': 'evil.example'}), client.post(f'{API}/edits', content='{')]
    for answer in answers:
        policy = answer.headers['content-security-policy']
        assert policy.startswith("default-src 'none'") and "frame-ancestors 'none'" in policy
        assert 'unsafe' not in policy and '*' not in policy
        assert answer.headers['x-content-type-options'] == 'nosniff' and answer.headers['referrer-policy'] == 'no-referrer'
        assert 'access-control-allow-origin' not in answer.headers and answer.headers['x-frame-options'] == 'DENY'
    assert client.get(f'{API}/images/{image}').headers['cache-control'] == 'no-store'


def test_bodies_are_bounded_whether_they_say_their_length_or_not(client: Any) -> None:
    def chunks(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield b'x' * 10_000

    image = added(client, face())
    for path in (f'{API}/images', f'{API}/images/{image}/masks'):
        assert client.post(path, content=b'x' * 300_001).status_code == 413
        assert client.post(path, content=chunks(31)).status_code == 413
        assert client.post(path, content=chunks(30)).status_code == 422          # no picture, but not too large
    assert client.post(f'{API}/edits', content=b'{' + b' ' * 2000).status_code == 413
    assert client.post(f'{API}/edits', content=chunks(1)).status_code == 413
    head = f'POST {API}/images HTTP/1.1', 'Transfer-Encoding: chunked', 'Connection: close'
    answer = raw(client, *head, body=b'7a120\r\n' + b'x' * 500_000 + b'\r\n0\r\n\r\n')     # what is too much is read: the answer arrives
    assert answer.startswith(b'HTTP/1.1 413') and b'the body is too large' in answer
    for length in ('-1', '9' * 400, 'x'):
        assert raw(client, f'POST {API}/images HTTP/1.1', f'Content-Length: {length}').split()[1] in (b'400', b'413')


def raw(client: Any, line: str, *headers: str, body: bytes = b'') -> bytes:
    """What the server answers to bytes that no client would send."""
    with socket.create_connection(('127.0.0.1', client.access.port), timeout=10) as connection:
        lines = [line, f'Host: 127.0.0.1:{client.access.port}', f'Authorization: Bearer {TOKEN}', *headers]
        connection.sendall('\r\n'.join([*lines, '', '']).encode() + body)
        return b''.join(iter(lambda: connection.recv(65536), b'')) if 'Connection: close' in headers else connection.recv(65536)


def test_a_body_that_does_not_arrive_is_not_waited_for(client: Any) -> None:
    answer = raw(client, f'POST {API}/images HTTP/1.1', 'Content-Length: 1000', body=b'abc')
    assert answer.startswith(b'HTTP/1.1 408'), answer


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))


def png_of(width: int, height: int, *more: bytes) -> bytes:
    """A file that says it has so many pixels, and holds none."""
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)) + b''.join(more) + chunk(
        b'IDAT', zlib.compress(b'\0' * 1000)) + chunk(b'IEND', b'')


def many(kind: str, count: int) -> bytes:
    buffer = io.BytesIO()
    frames = [Image.new('RGB', (8, 8), (60 * i, 0, 0)) for i in range(count)]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def damaged() -> bytes:
    body = png(face())
    return body[:len(body) // 2]


def tiff_in_a_tile_of(side: int) -> bytes:
    """A small picture that says it lies in one large tile, which a reader unpacks whole."""
    data = zlib.compress(b'\0' * side * side)
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 134, 325: len(data)}
    return struct.pack('<2sHIH', b'II', 42, 8, len(tags)) + b''.join(
        struct.pack('<HHII', tag, 4, 1, value) for tag, value in tags.items()) + bytes(4) + data


REFUSED: dict[str, tuple[bytes, str]] = {
    'nothing': (b'', 'the body is empty'),
    'no picture': (b'hello', 'not a picture'),
    'html': (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 'not a picture'),
    'gif': (png(face(), 'GIF'), 'not a picture'),
    'bmp': (png(face(), 'BMP'), 'not a picture'),
    'ppm': (png(face(), 'PPM'), 'not a picture'),
    'too many pixels': (png(Image.new('L', (401, 250))), 'at most 0 megapixels'),
    'a bomb': (png_of(60_000, 60_000), 'too many pixels'),
    'a larger bomb': (png_of(2 ** 31 - 1, 2 ** 31 - 1), ''),
    'a tile of many pixels': (tiff_in_a_tile_of(400), 'tiles of more than 0 megapixels'),
    'a long side': (png(Image.new('L', (1, 3001))), 'at most 3000 px a side'),
    'no pixels': (png_of(0, 10), ''),
    'a bomb of text': (png_of(8, 8, chunk(b'zTXt', b'k\0\0' + zlib.compress(b'a' * 80_000_000))), ''),
    'half a file': (damaged(), 'damaged picture'),
    'many pages': (many('TIFF', 4), 'more than 3 frames'),
    'many frames': (many('WEBP', 4), 'more than 3 frames'),
    'floats': (png(Image.fromarray(np.full((8, 8), 0.5, np.float32)), 'TIFF'), 'mode F'),
}


@pytest.mark.parametrize('what', REFUSED)
def test_what_is_no_good_picture_is_one_line(what: str, client: Any) -> None:
    body, said = REFUSED[what]
    for path in (f'{API}/images', f'{API}/images/{added(client, face(20, 20))}/masks'):
        if what == 'floats' and path.endswith('masks'):
            continue
        answer = client.post(path, content=body)
        assert answer.status_code == 422 and said in answer.json()['error'] and '\n' not in answer.json()['error'], answer.text


def test_the_first_of_few_frames_is_taken_and_said(client: Any) -> None:
    assert len(FORMATS) == 5
    for kind in ('TIFF', 'WEBP', 'PNG'):
        answer = client.post(f'{API}/images', content=many(kind, 3))
        assert answer.status_code == 201 and 'has 3 frames' in answer.json()['notes'][0], answer.text
    camera = client.post(f'{API}/images', content=many('MPO', 2))     # a photograph with its small copy
    assert camera.status_code == 201 and camera.json()['notes'] == []


def test_names_of_clients_are_no_paths(client: Any) -> None:
    for image in ('..%2f..%2fetc%2fpasswd', '%2e%2e', 'x' * 22 + '%00', 'x' * 23, 'é' * 22):
        assert client.get(f'{API}/images/{image}').status_code in (404, 422)
    for path in ('/static/../server.py', '/static/%2e%2e/server.py', '/static/..%2fserver.py', '/static//etc/passwd'):
        assert client.get(path).status_code == 404, path
    names = {'Content-Disposition': 'attachment; filename="../../x.png"', 'X-File-Name': '/etc/x'}
    answer = client.post(f'{API}/images', content=png(face()), headers=names)
    assert answer.status_code == 201 and re.fullmatch(r'[A-Za-z0-9_-]{22}', answer.json()['id'])


def test_no_number_that_is_none_and_no_field_that_is_unknown(client: Any) -> None:
    image = added(client, face(20, 20))
    for text in ('{"model":"cyclegan","image":"%s","strength":NaN}', '{"model":"cyclegan","image":"%s","strength":Infinity}',
                 '{"model":"cyclegan","image":"%s","strength":1e999}', '{"model":"cyclegan","image":"%s","url":"http://x"}',
                 '{"model":"\\ud800","image":"%s"}', '{"model":"cyclegan","image":"%s","box":[1,2,3,9999999999999999999999]}',
                 '[]', 'null', '{', '\xff'):
        body = text % image if '%s' in text else text
        answer = client.post(f'{API}/edits', content=body.encode('latin-1'), headers={'Content-Type': 'application/json'})
        assert answer.status_code in (400, 422) and answer.json()['error'], (text, answer.text)
    for query in ('side=nan', 'side=1e9', 'side=99999'):
        assert client.get(f'{API}/images/{image}/preview?{query}').status_code == 422


def test_what_is_kept_is_bounded_by_bytes(client: Any) -> None:
    first = added(client, face(300, 300))                        # 270,000 bytes of 900,000
    for _ in range(3):
        added(client, face(300, 300))
    assert client.get(f'{API}/images/{first}').status_code == 404 and client.app.state.service.store.bytes <= 900_000


def test_logs_hold_no_token_and_no_names_and_a_signal_ends_cleanly(models: Path, tmp_path: Path) -> None:
    command = [sys.executable, '-m', 'retouch', 'app', str(models), '--no-open', '--port', '0', '--device', 'cpu']
    log = tmp_path / 'log'
    with log.open('wb') as errors:
        environment = {**os.environ, 'RETOUCH_APP_TOKEN': TOKEN}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        found = re.fullmatch(rf'http://127\.0\.0\.1:(\d+)/\?token={TOKEN}', url)
        assert found, url
        with httpx.Client(base_url=f'http://127.0.0.1:{found[1]}', timeout=30) as client:
            client.get(f'/?token={TOKEN}')
            client.get(f'/secret-name.png?token={TOKEN}')
            client.post(f'{API}/images', content=b'x', headers={'X-File-Name': 'secret-name.png'})
            image = added(client, png(face()))
            edit = client.post(f'{API}/edits', json={'model': 'cyclegan', 'image': image}).json()['id']
            assert finished(client, edit)['state'] == 'done'
            with client.stream('GET', f'{API}/edits/{edit}/events') as stream:
                assert stream.read()
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0 and rest == ''
    assert TOKEN not in log.read_text() and 'secret-name' not in log.read_text() and image not in log.read_text(), log.read_text()


def test_it_listens_on_this_machine_alone_unless_told_otherwise(models: Path, monkeypatch: pytest.MonkeyPatch,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    ran = list[tuple[str, int]]()
    monkeypatch.setattr('uvicorn.Server.run', lambda self, sockets: ran.append(sockets[0].getsockname()))
    opened_pages = list[str]()
    monkeypatch.setattr('webbrowser.open', opened_pages.append)
    monkeypatch.setattr('signal.signal', lambda *_: None)
    assert main(['app', str(models), '--port', '0']) == 0
    out = capsys.readouterr().out
    assert ran[0][0] == '127.0.0.1' and out.splitlines() == opened_pages and 'encrypted' not in out
    assert main(['app', str(models), '--port', '0', '--no-open', '--host', '0.0.0.0']) == 0
    out = capsys.readouterr().out
    assert ran[1][0] == '0.0.0.0' and 'Nothing is encrypted' in out and re.search(r'\?token=[\w-]{43}\n', out) and len(opened_pages) == 1
    for arguments, said in ((['--port', '99999'], 'expected 0 to 65535'), (['--host', '203.0.113.7'], 'cannot be listened on')):
        assert main(['app', str(models), '--no-open', *arguments]) == 2 and said in capsys.readouterr().err
    for token in ('short', 'sixteen characters & more', 'sechzehn-Zeichen-ä'):      # an address and a cookie would not hold the others
        monkeypatch.setenv('RETOUCH_APP_TOKEN', token)
        assert main(['app', str(models), '--no-open', '--port', '0']) == 2 and 'at least 16, of A-Z' in capsys.readouterr().err
    taken = bind('127.0.0.1', 0)
    assert main(['app', str(models), '--no-open', '--port', str(taken.getsockname()[1])]) == 2
    taken.close()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for package in ('fastapi', 'uvicorn'):
        with monkeypatch.context() as patch:
            patch.delitem(sys.modules, 'retouch.app.server')
            patch.setitem(sys.modules, package, None)
            assert main(['app', '--no-open']) == 2
        assert capsys.readouterr().err == f"retouch: error: {package} is not installed: pip install 'retouch[app]'\n"


def test_masks_of_another_shape_are_refused_and_of_another_size_are_brought(client: Any) -> None:
    image = added(client, face(40, 20))
    small = client.post(f'{API}/images/{image}/masks', content=png(np.full((10, 20), 255, np.uint8))).json()
    assert small['share'] == 1 and 'was brought to 40 x 20 px' in small['notes'][0]
    assert client.post(f'{API}/images/{image}/masks', content=png(np.zeros((20, 20), np.uint8))).status_code == 422
    dark = client.post(f'{API}/images/{image}/masks', content=png(np.full((20, 40), 3, np.uint8))).json()['id']
    edit = finished(client, client.post(f'{API}/edits', json={'model': 'cyclegan', 'image': image, 'mask': dark}).json()['id'])
    assert edit['state'] == 'done' and edit['mask_share'] == 0          # 3 of 255 lies below the floor: never taken for white
    assert opened(client.get(f'{API}/edits/{edit["id"]}/mask.png').content).size == (40, 20)
