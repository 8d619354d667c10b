"""Edits of `retouch app` on their way: the queue, cancelling, events, the end of the server, and what is kept how long."""
from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip('fastapi', reason="fastapi is not installed: pip install 'retouch[app]'")
pytest.importorskip('httpx', reason='httpx is not installed: it asks the server')

from retouch.app.limits import Limits
from retouch.app.store import Store, TooMuch
from tests.serving import Slow, added, face, finished, save_tiny, serving

API = '/api/v1'


@pytest.fixture(scope='module')
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('models')
    save_tiny(folder, 'cyclegan')
    return folder


@pytest.fixture
def slow(models: Path) -> Iterator[Any]:
    with serving([str(models / 'cyclegan')], Limits(queued=2)) as client:
        editor = Slow()
        client.app.state.service.models['cyclegan'].editor = editor    # type: ignore[attr-defined]
        yield SimpleNamespace(client=client, editor=editor, image=added(client, face()))
        editor.go.set()


def test_the_queue_is_bounded_and_edits_are_cancelled(slow: Any) -> None:
    client, asked = slow.client, {'model': 'cyclegan', 'image': slow.image}
    first = client.post(f'{API}/edits', json=asked).json()['id']
    assert slow.editor.begun.acquire(timeout=20)
    second, third = (client.post(f'{API}/edits', json=asked).json() for _ in range(2))
    assert (second['state'], second['ahead'], third['ahead']) == ('queued', 1, 2)
    full = client.post(f'{API}/edits', json=asked)
    assert full.status_code == 429 and full.headers['retry-after'] and 'wait for this model' in full.json()['error']
    assert client.get(f'{API}/images/{slow.image}/mask', params={'model': 'cyclegan'}).status_code == 429
    kept = len(client.app.state.service.store.items)
    assert client.delete(f'{API}/edits/{second["id"]}').status_code == 204        # one that waits: at once
    assert client.get(f'{API}/edits/{second["id"]}').json()['state'] == 'cancelled'
    instead = client.post(f'{API}/edits', json=asked)                             # its place is free
    assert instead.status_code == 202 and instead.json()['ahead'] == 2 and client.post(f'{API}/edits', json=asked).status_code == 429
    client.delete(f'{API}/edits/{instead.json()["id"]}')
    client.delete(f'{API}/edits/{instead.json()["id"]}')
    assert client.delete(f'{API}/edits/{first}').status_code == 204               # one that runs: after its step
    assert client.get(f'{API}/edits/{first}').json()['state'] == 'running'
    slow.editor.go.set()
    assert finished(client, first)['state'] == 'cancelled' and finished(client, third['id'])['state'] == 'done'
    assert client.get(f'{API}/edits/{first}/result.png').status_code == 409
    assert client.delete(f'{API}/edits/{first}').status_code == 204               # and what has ended is freed
    assert client.get(f'{API}/edits/{first}').status_code == 404 and len(client.app.state.service.store.items) == kept - 1


def test_events_tell_every_step(slow: Any) -> None:
    edit = slow.client.post(f'{API}/edits', json={'model': 'cyclegan', 'image': slow.image}).json()['id']
    seen = []
    with slow.client.stream('GET', f'{API}/edits/{edit}/events') as stream:
        assert stream.headers['content-type'].startswith('text/event-stream')
        for line in stream.iter_lines():
            if line.startswith('data: '):
                seen.append(json.loads(line[6:]))
                slow.editor.go.set()
    assert seen[-1]['state'] == 'done' and seen[-1]['outside_unchanged'] and seen[0]['state'] in ('queued', 'running')
    assert set(seen[-1]['seconds']) == {'waiting', 'loading', 'editing', 'checking'}


def test_a_server_that_ends_ends_its_edits(models: Path) -> None:
    with serving([str(models / 'cyclegan')]) as client:
        editor = Slow()
        served = client.app.state.service.models['cyclegan']         # type: ignore[attr-defined]
        served.editor, image = editor, added(client, face())
        for _ in range(2):
            client.post(f'{API}/edits', json={'model': 'cyclegan', 'image': image})
        assert editor.begun.acquire(timeout=20)
        threading.Timer(0.5, editor.go.set).start()
    assert not served.worker.thread.is_alive() and not served.line
    assert not client.app.state.service.store.items                  # type: ignore[attr-defined]


def test_the_store_frees_the_least_recently_used_and_what_is_old() -> None:
    now = [0.0]
    store = Store(Limits(kept_bytes=100, kept_seconds=10), lambda: now[0])
    a, b = store.put('a', 40), store.put('b', 40)
    owned = store.put('mask of a', 10, a)
    store.get(a, str)                                            # b is now the one that was not used for longest
    c = store.put('c', 50)
    assert store.bytes == 100 and [k in store.items for k in (a, b, owned, c)] == [True, False, True, True]
    with pytest.raises(TooMuch):
        store.put('d', 101)
    assert store.bytes == 100
    now[0] = 9.0
    store.get(owned, str)                                        # keeps its owner too
    now[0] = 15.0
    store.purge()
    assert set(store.items) == {a, owned}
    store.delete(a)
    assert not store.items and store.bytes == 0
    with pytest.raises(KeyError):
        store.get(a, str)
    with pytest.raises(KeyError):
        store.get(store.put(1, 1), str)                          # of another kind


def test_what_makes_room_goes_with_all_that_belongs_to_it_and_never_the_owner() -> None:
    store = Store(Limits(kept_bytes=100))
    a = store.put('a', 30)
    store.put('mask of a', 10, a)
    b = store.put('b', 60)
    c = store.put('c', 90)                                       # a takes its mask along, and b must go too
    assert set(store.items) == {c} and store.bytes == 90
    store.delete(c)
    a, b = store.put('a', 50), store.put('b', 40)
    edit = store.put('edit of a', 0, a)
    store.get(b, str)
    store.weigh(edit, 50)                                        # a was not used for longest, and the edit would go with it
    assert set(store.items) == {a, edit} and store.bytes == 100
    with pytest.raises(TooMuch):
        store.weigh(edit, 51)
    assert set(store.items) == {a, edit} and store.bytes == 50
