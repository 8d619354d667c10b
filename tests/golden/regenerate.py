"""Writes tests/golden/<name in tests.batches.TINY>.json from the code as it is: only with a reason, which the changelog then gives.

reference.json is not written here: its values come from the authors' code, which is not part of this package.
"""
from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

import torch

from tests.batches import TINY
from tests.golden.cases import iterations_of, tiny

FOLDER = Path(__file__).parent
COMMAND = 'python -m tests.golden.regenerate'


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    for name in names or list(TINY):
        origin = {'command': f'{COMMAND} {name}', 'date': datetime.date.today().isoformat(), 'torch': torch.__version__.split('+')[0],
                  'what': f'tiny() form, {iterations_of(TINY[name]())} iterations on tests.batches.random_batch, '
                          'weights by tests.golden.cases.fill_all'}
        (FOLDER / f'{name}.json').write_text(json.dumps({'origin': origin, 'values': tiny(name)}, indent=2) + '\n')
        print(FOLDER / f'{name}.json')


if __name__ == '__main__':
    main(sys.argv[1:])
