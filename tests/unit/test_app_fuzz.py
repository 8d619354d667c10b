"""Requests drawn from the server's own schema: none may be a fault of ours. RETOUCH_FUZZ=10000 asks as many; the suite asks few."""
from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('fastapi', reason="fastapi is not installed: pip install 'retouch[app]'")
pytest.importorskip('schemathesis', reason='schemathesis is not installed: it draws the requests')

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from retouch.app.limits import Limits
from tests.serving import added, face, finished, png, save_tiny, serving

REQUESTS = int(os.environ.get('RETOUCH_FUZZ', 40))
FILES = [png(face(9, 7)), png(face(9, 7), 'JPEG'), png(face(9, 7), 'WEBP'), png(face(9, 7), 'TIFF'), png(face(9, 7).convert('L')), b'']


def test_no_request_is_a_fault_of_ours(tmp_path: Path) -> None:
    names = [str(save_tiny(tmp_path, method)) for method in ('aggan_multi', 'lomit', 'munit', 'parser')]
    statuses = Counter[int]()
    with serving(names, Limits(kept_bytes=3_000_000, queued=4)) as client:
        schema = schemathesis.openapi.from_dict(client.get('/api/v1/openapi.json').json())
        operations = [found.ok() for found in schema.get_all_operations()]
        assert len(operations) >= 19
        image = edit = ''

        def renew() -> None:
            nonlocal image, edit
            image = added(client, face(20, 16))
            edit = client.post('/api/v1/edits', json={'model': 'aggan_multi', 'image': image, 'set': {'Blond_Hair': 1}}).json()['id']
            finished(client, edit)

        def shown(value: Any, draw: Any) -> Any:
            """Half of the time an id that is there, or a model's name, takes the place of what was drawn."""
            if isinstance(value, dict):
                return {key: _known(key, shown(inner, draw), draw) for key, inner in value.items()}
            return value

        def _known(key: str, value: Any, draw: Any) -> Any:
            there = {'image': image, 'exemplar': image, 'edit': edit, 'model': ['aggan_multi', 'lomit', 'munit', 'parser']}.get(key)
            if there is None or draw(st.booleans()):
                return value
            return draw(st.sampled_from(there)) if isinstance(there, list) else there

        @seed(0)
        @settings(max_examples=REQUESTS, deadline=None, phases=(Phase.generate,), database=None, suppress_health_check=list(HealthCheck))
        @given(st.data())
        def ask(data: Any) -> None:
            operation = data.draw(st.sampled_from(operations))
            case = data.draw(operation.as_strategy())
            path = case.path
            for name, value in shown(case.path_parameters or {}, data.draw).items():
                path = path.replace(f'{{{name}}}', str(value).replace('/', '%2F').replace('?', '%3F').replace('#', '%23'))
            body: Any = case.body
            options: dict[str, Any] = {}
            if 'octet-stream' in str(case.media_type):
                body = data.draw(st.sampled_from(FILES))
                cut = data.draw(st.lists(st.tuples(st.integers(0, max(len(body) - 1, 0)), st.integers(0, 255)), max_size=4)) if body else []
                changed = bytearray(body)
                for at, byte in cut:
                    changed[at] = byte
                options['content'] = bytes(changed)
            elif isinstance(body, dict | list | str | int | float | bool):
                options['json'] = shown(body, data.draw)
            query = {key: value for key, value in shown(case.query or {}, data.draw).items() if value is not None}
            try:
                answer = client.request(case.method, path, params=query, **options)
            except (UnicodeError, ValueError):                   # no client can send it
                return
            statuses[answer.status_code] += 1
            assert answer.status_code < 500, (case.method, path, query, options, answer.text)
            if answer.status_code == 204 or not sum(statuses.values()) % 20 and client.get(f'/api/v1/edits/{edit}').status_code != 200:
                renew()

        renew()
        random.seed(0)
        ask()
    print(dict(statuses))
    assert sum(statuses.values()) > 0.9 * REQUESTS and len(statuses) >= 4, statuses
