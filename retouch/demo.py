"""`make demo`: the whole way in one go, by the same commands a user types: draw, train, edit, evaluate, report."""
from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path

from PIL import Image

from retouch.cli import main as cli
from retouch.toyfaces.faces import face, render
from retouch.toyfaces.stored import HELD_OUT

RECIPE, FACES = 'local.demo', (2, 5, 8, 13)


def main() -> int:
    """Writes runs/demo (or RETOUCH_RUNS/demo); a second call continues what is there. Returns the exit status."""
    began, out = time.monotonic(), Path(os.environ.get('RETOUCH_RUNS', 'runs')) / 'demo'
    pictures = []
    for index in FACES:
        pictures.append(out / 'faces' / f'face{index}.png')
        pictures[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(render(*face(HELD_OUT + index), 256)[0]).save(pictures[-1])
    for arguments in (['train', RECIPE, '--out', str(out), '--resume', 'auto'],
                      ['edit', str(out), *map(str, pictures), '--set', 'Blond_Hair=1', 'Eyeglasses=1', '--out', str(out / 'edits')],
                      ['evaluate', str(out), '--figures']):
        print(f'$ retouch {shlex.join(arguments)}', flush=True)
        status = cli.main(arguments)
        if status:
            return status
    print(f'\ndone in {time.monotonic() - began:.0f} s; look at {out / "report.html"}, {out / "edits"} and {out / "card.json"}, then try\n'
          '  source .venv/bin/activate\n'
          f'  retouch edit {out} YOUR_PICTURE.png --set Bangs=1 --out edited\n'
          f'  retouch edit toyfaces {pictures[0]} --set Brown_Hair=1 Mouth_Slightly_Open=1 --out edited   # the shipped model\n'
          '  retouch edit leaves examples/leaves/01-healthy.jpg --set rust=1 --out edited                   # and the one of leaves\n'
          '  retouch list')
    return 0


if __name__ == '__main__':
    sys.exit(main())
