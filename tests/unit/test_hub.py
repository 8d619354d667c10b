"""The Hub, played by a loopback server: what is sent, what comes back, and that nobody is contacted who was not asked."""
from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retouch.cli.main import main
from retouch.editor import Editor
from retouch.hub import fetch_model, is_on_hub, name_of
from retouch.model import SHIPPED, find_model_dir, load_model
from retouch.report.readme import model_files
from retouch.weights.importing import import_weights
from tests.published import write_files

huggingface_hub = pytest.importorskip('huggingface_hub')
COMMIT = 'c0ffee' + '0' * 34
TOKEN = 'hf_averysecrettokenofthistest'


class Hub(ThreadingHTTPServer):
    """One repository, `me/model`."""

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), Answers)
        self.files: dict[str, bytes] = {}
        self.seen: list[str] = []
        self.created: dict[str, Any] = {}
        self.denied = False

    @property
    def url(self) -> str:
        return f'http://127.0.0.1:{self.server_port}'


class Answers(BaseHTTPRequestHandler):
    """As much of the Hub's API as huggingface_hub asks for."""

    server: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def reply(self, status: int, body: Any = b'', **headers: str) -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {'Content-Length': str(len(payload)), **headers}.items():
            self.send_header(name.replace('_', '-'), value)
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(payload)

    def do_GET(self) -> None:                                    # noqa: N802
        hub, path = self.server, self.path.partition('?')[0]
        hub.seen.append(f'{self.command} {path}')
        if path.startswith('/api/models/me/model') and ('/revision/' in path or path.endswith('me/model')):
            if path.endswith('/revision/gone'):
                return self.reply(404, {'error': 'no'}, X_Error_Code='RevisionNotFound')
            siblings = [{'rfilename': name} for name in hub.files]
            return self.reply(200, {'id': 'me/model', 'sha': COMMIT, 'siblings': siblings, 'private': False, 'tags': [], 'downloads': 0})
        if path.startswith('/api/models/me/model/tree/'):
            return self.reply(200, [{'type': 'file', 'path': name, 'size': len(content), 'oid': hashlib.sha1(content).hexdigest()}
                                    for name, content in hub.files.items()])
        if '/resolve/' in path:
            content = hub.files[path.rpartition('/')[2]]
            etag = hashlib.sha256(content).hexdigest()
            return self.reply(200, content, ETag=f'"{etag}"', X_Repo_Commit=COMMIT, Accept_Ranges='bytes')
        return self.reply(404, {'error': 'no such'}, X_Error_Code='RepoNotFound')

    do_HEAD = do_GET                                             # noqa: N815

    def do_POST(self) -> None:                                   # noqa: N802
        hub, body = self.server, self.rfile.read(int(self.headers.get('Content-Length', 0)))
        hub.seen.append(f'POST {self.path}')
        if hub.denied:
            return self.reply(403, {'error': f'no right for {self.headers.get("Authorization")}'})
        if self.path == '/api/repos/create':
            hub.created = json.loads(body)
            return self.reply(200, {'url': f'{hub.url}/me/model', 'name': 'me/model', 'id': 'me/model'})
        if self.path == '/api/validate-yaml':
            return self.reply(200, {'errors': [], 'warnings': []})
        if '/preupload/' in self.path:
            asked = json.loads(body)['files']
            return self.reply(200, {'files': [{'path': f['path'], 'uploadMode': 'regular', 'shouldIgnore': False} for f in asked]})
        for line in body.decode().splitlines():
            entry = json.loads(line)
            if entry['key'] == 'file':
                hub.files[entry['value']['path']] = base64.b64decode(entry['value']['content'])
        return self.reply(200, {'commitUrl': f'{hub.url}/me/model/commit/{COMMIT}', 'commitOid': COMMIT, 'pullRequestUrl': None})


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The server, and a library that knows no other; a cache folder of its own."""
    from huggingface_hub import constants

    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(constants, 'ENDPOINT', server.url)
    monkeypatch.setattr(constants, 'HUGGINGFACE_CO_URL_TEMPLATE', server.url + '/{repo_id}/resolve/{revision}/{filename}')
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'hub-cache'))
    monkeypatch.setenv('HF_TOKEN', TOKEN)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An imported StarGAN."""
    import_weights('stargan', write_files('stargan', tmp_path / 'files'), tmp_path / 'star')
    return tmp_path / 'star'


def test_a_model_goes_there_and_comes_back(hub: Hub, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['push', str(model), 'me/model', '--private']) == 0
    printed = capsys.readouterr()
    assert COMMIT in printed.out and 'hf://me/model' in printed.out and TOKEN not in printed.out + printed.err
    assert hub.created['name'] == 'model' and (hub.created.get('private') or hub.created.get('visibility') == 'private')
    assert set(hub.files) == {'config.json', 'model.safetensors', 'README.md'}
    readme = hub.files['README.md'].decode()
    for part in ('license: "mit"', 'CelebA: non-commercial research only', 'yunjey/stargan', 'Not for deceiving', "Editor.load('hf://me/model')"):
        assert part in readme, part
    hub.files['evil.py'] = b'import os'
    editor = Editor.load('hf://me/model@main', 'cpu')
    picture = np.zeros((64, 64, 3), np.uint8)
    edit = editor.edit(picture, Young=1)
    assert edit.record['model'] == f'me/model@{COMMIT[:12]}' and edit.record['terms'].startswith('not for commercial use')
    assert editor.model.weights_sha256 == load_model(model).weights_sha256 and not (editor.model.path / 'evil.py').exists()
    asked = len(hub.seen)
    assert main(['edit', 'hf://me/model', str(tmp_path / 'no.png'), '--set', 'Young=1', '--out', str(tmp_path / 'o')]) == 2
    assert len(hub.seen) == asked                                # a mistake is said before anybody is contacted


def test_a_card_goes_along_without_this_machines_paths(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / 'model'
    shutil.copytree(SHIPPED['toyfaces'], folder)
    config = json.loads((folder / 'config.json').read_text())
    config['info']['data']['source'] = '/home/me/Secret Name/CelebA,/home/me/other'
    (folder / 'config.json').write_text(json.dumps(config))
    files = model_files(folder, 'me/model', 'cc-by-4.0', 'my own pictures, with consent')
    sent = {name: content if isinstance(content, bytes) else b'' for name, content in files.items()}
    assert not any(b'/home/me' in content or b'Secret' in content for content in sent.values())
    assert json.loads(sent['config.json'])['info']['data']['source'] == 'CelebA,other'
    readme = sent['README.md'].decode()
    card = json.loads((folder / 'card.json').read_text())
    assert f'| edit_accuracy | {card["measures"]["edit_accuracy"]["value"]:.4g} |' in readme and 'my own pictures, with consent' in readme
    assert f'n = {card["n"]}' in readme and 'model-index' in readme
    plain = model_files(SHIPPED['toyfaces'], 'me/model', 'apache-2.0')['README.md']
    assert b'none of real people' in plain if isinstance(plain, bytes) else False
    assert not hub.seen


def test_nothing_is_sent_without_a_licence(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['push', 'toyfaces', 'me/model']) == 2 and 'names no licence' in capsys.readouterr().err
    import_weights('drit', write_files('drit', tmp_path / 'files'), tmp_path / 'drit')
    assert main(['push', str(tmp_path / 'drit'), 'me/model']) == 2 and 'states none' in capsys.readouterr().err
    assert main(['push', 'toyfaces', 'me/model', '--licence', 'a b"\n']) == 2 and 'expected an identifier' in capsys.readouterr().err
    assert main(['push', 'toyfaces', 'me', '--licence', 'mit']) == 2 and 'expected USER/MODEL' in capsys.readouterr().err
    assert main(['push', 'toyfaces', 'me/model', '--licence', 'mit', '--dry-run']) == 0 and '# me/model' in capsys.readouterr().out
    assert not hub.seen


def test_what_goes_wrong_is_one_line_without_the_token(hub: Hub, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, says in (('hf://me/model@gone', 'has no such revision'), ('hf://me/none', 'is not there'), ('hf://me', 'expected hf://USER/MODEL'),
                       ('hf://me/model/x', 'expected hf://USER/MODEL'), ('hf://me/model', 'holds no model of Retouch')):
        with pytest.raises(ValueError, match=says) as caught:
            find_model_dir(name)
        assert TOKEN not in str(caught.value) and '\n' not in str(caught.value)
    hub.denied = True
    assert main(['push', str(model), 'me/model']) == 2
    err = capsys.readouterr().err
    assert 'not for this login' in err and TOKEN not in err and err.count('\n') == 1


def test_without_a_connection_the_cache_serves(hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    assert main(['push', str(model), 'me/model']) == 0
    folder = fetch_model('hf://me/model')
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    asked = len(hub.seen)
    assert fetch_model('hf://me/model') == folder and len(hub.seen) == asked
    with pytest.raises(ValueError, match='cannot be reached'):
        fetch_model('hf://me/another')


def test_the_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    monkeypatch.delitem(sys.modules, 'huggingface_hub.constants', raising=False)
    with pytest.raises(ValueError, match=r"huggingface-hub is not installed: pip install 'retouch\[hub\]'"):
        Editor.load('hf://me/model')
    assert main(['push', 'toyfaces', 'me/model', '--licence', 'mit']) == 2
    assert capsys.readouterr().err.count("pip install 'retouch[hub]'") == 1


def test_names() -> None:
    assert is_on_hub('hf://me/model') and is_on_hub(Path('hf://me/model')) and not is_on_hub('runs/hf') and not is_on_hub(Path('me/model'))
    assert name_of(Path('/c/models--me--model/snapshots/0123456789abcdef')) == 'me/model@0123456789ab'
    assert name_of(Path('/runs/mine/model')) is None


@pytest.mark.parametrize('name', ['me', 'me/model/x', 'me/model@main', 'hf://me'])
def test_a_dry_run_refuses_the_name_that_a_push_would(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['push', 'toyfaces', name, '--licence', 'mit', '--dry-run']) == 2
    printed = capsys.readouterr()
    assert printed.err == f'retouch: error: {name}: expected USER/MODEL\n' and not printed.out
