"""Edits a picture through the API of `retouch app`, with nothing but Python:

    RETOUCH_APP_TOKEN=… python examples/app_client.py http://127.0.0.1:8420 toyfaces face.png edited.png Blond_Hair=1
"""
import json
import os
import sys
import urllib.request
from pathlib import Path


def ask(path: str, body: bytes | None = None) -> bytes:
    headers = {'Authorization': f'Bearer {os.environ["RETOUCH_APP_TOKEN"]}', 'Content-Type': 'application/json'}
    try:
        with urllib.request.urlopen(urllib.request.Request(f'{address}/api/v1{path}', body, headers)) as answer:
            return answer.read()
    except urllib.request.HTTPError as error:
        sys.exit(json.loads(error.read())['error'])


address, model, source, target, *pairs = sys.argv[1:]
image = json.loads(ask('/images', Path(source).read_bytes()))
wanted = {name: float(value) for name, _, value in (pair.partition('=') for pair in pairs)}
edit = json.loads(ask('/edits', json.dumps({'model': model, 'image': image['id'], 'set': wanted}).encode()))
*_, last = (line for line in ask(f'/edits/{edit["id"]}/events').splitlines() if line.startswith(b'data: '))   # ends when the edit does
edit = json.loads(last.removeprefix(b'data: '))
if edit['state'] != 'done':
    sys.exit(f'{source}: {edit["error"]}')
Path(target).write_bytes(ask(f'/edits/{edit["id"]}/result.png'))
print(f'{target}: mask {edit["mask_share"]:.0%}, outside unchanged: {edit["outside_unchanged"]}')
