"""Seconds from a click on Apply to the result that is seen, where they go, and the server's memory after many edits.

    python benchmarks/app.py [--rounds 7] [--edits 500]

A server of `retouch app` with the shipped editor of drawn faces, and the system's Chromium, on this machine. Each round edits a picture of
every size once, so that what else runs on the machine falls on all of them; the first round warms up and is left out. Beside `whole`, what
the server says of its steps (waiting, loading, editing, checking), `page` the rest: sending the mask, fetching, decoding and drawing the
preview; `server_cpu` are the processor's seconds, which other programs' work moves little.
"""
from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from retouch import toyfaces
from retouch.hardware import hardware

TOKEN = 'benchmark-of-the-app'
SIZES = {'256 x 256': (256, 256), '1600 x 1200': (1600, 1200), '4000 x 3000': (4000, 3000)}
FLAGS = ('--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync')
START = """import os, sys
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
from retouch.app.limits import Limits
from retouch.app.server import serve
serve(['toyfaces'], None, 0, 'cpu', show=False, limits=Limits(kept_bytes=int(sys.argv[1]) << 20))"""


def start(kept_mib: int) -> tuple[subprocess.Popen[str], str]:
    """A server and its address."""
    environment = {**os.environ, 'RETOUCH_APP_TOKEN': TOKEN}
    process = subprocess.Popen([sys.executable, '-c', START, str(kept_mib)], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def face(size: tuple[int, int]) -> bytes:
    identity, attributes = toyfaces.face(1_000_012)
    image = Image.fromarray(np.asarray(toyfaces.render(identity, attributes, 512)[0])).resize((max(size),) * 2)
    buffer = io.BytesIO()
    image.crop((0, 0, *size)).save(buffer, 'JPEG', quality=92)
    return buffer.getvalue()


def clicks(url: str, pid: int, rounds: int) -> dict[str, Any]:
    """Medians over the rounds, in seconds."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in SIZES}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path='/usr/bin/chromium', args=FLAGS)
        page = browser.new_page(viewport={'width': 1280, 'height': 800})
        page.goto(url)
        page.wait_for_selector('body[data-ready]')
        files = [{'name': f'{name}.jpg', 'mimeType': 'image/jpeg', 'buffer': face(size)} for name, size in SIZES.items()]
        page.set_input_files('#picker', files)
        poll(page, f'app.docs.length === {len(SIZES)}')
        for i in range(rounds + 1):
            for at, name in enumerate(SIZES):
                page.evaluate(f'() => retouch.go({at})')
                poll(page, 'app.picture.reading && app.stage.canvas.dataset.shown')
                wanted = {'Blond_Hair': 1 - i / 100, 'Eyeglasses': 1}
                page.evaluate('(set) => { retouch.set((s) => { s.set = set }); retouch.commit() }', wanted)
                seen = page.evaluate('document.body.dataset.applied')
                cpu = processor_s(pid)
                page.click('#panel .apply .primary')
                poll(page, f'(document.body.dataset.applied || null) !== {json.dumps(seen)}', 20)
                whole = float(page.evaluate('document.body.dataset.applied').split()[1])
                server = page.evaluate('retouch.picture.shown.answer.seconds')
                if i:
                    found[name].append({'whole': whole, **server, 'page': whole - sum(server.values()),
                                        'server_cpu': processor_s(pid) - cpu})
        browser.close()
    return {name: {key: round(statistics.median(row[key] for row in rows), 3) for key in rows[0]} for name, rows in found.items()}


def poll(page: Any, expression: str, ms: int = 50) -> None:
    while not page.evaluate(f'() => {{ const app = window.retouch; return !!({expression}) }}'):
        page.wait_for_timeout(ms)


def processor_s(pid: int) -> float:
    """Seconds that all threads of a process have computed."""
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def memory(url: str, pid: int, edits: int) -> list[int]:
    """MiB that the server holds after every fifth of the edits, of one picture of 640 x 480, nothing deleted."""
    address, held = url.partition('/?')[0], []
    with httpx.Client(base_url=f'{address}/api/v1', headers={'Authorization': f'Bearer {TOKEN}'}, timeout=120) as client:
        image = client.post('/images', content=face((640, 480))).json()['id']
        for i in range(edits):
            edit = client.post('/edits', json={'model': 'toyfaces', 'image': image, 'set': {'Blond_Hair': 1 - i % 7 / 10}}).json()['id']
            client.get(f'/edits/{edit}/events')
            client.get(f'/edits/{edit}/preview')
            if (i + 1) % (edits // 5) == 0:
                line = next(line for line in Path(f'/proc/{pid}/status').read_text().splitlines() if line.startswith('VmRSS'))
                held.append(int(line.split()[1]) // 1024)
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--edits', type=int, default=500)
    options = parser.parse_args()
    print(json.dumps({'hardware': hardware(), 'rounds': options.rounds, 'load': os.getloadavg()}))
    process, url = start(1024)
    try:
        for name, row in (clicks(url, process.pid, options.rounds) if options.rounds else {}).items():
            print(json.dumps({'size': name, **row}), flush=True)
    finally:
        process.terminate()
        process.wait()
    process, url = start(128)
    try:
        print(json.dumps({'edits': options.edits, 'kept_mib': 128, 'rss_mib': memory(url, process.pid, options.edits)}))
    finally:
        process.terminate()
        process.wait()


if __name__ == '__main__':
    main()
