"""Writes every table that stands between markers in README.md and docs/*.md, from the committed JSONs of benchmarks/results.

    python benchmarks/leaderboard.py

A block begins with `<!-- table NAME -->` and ends with `<!-- end -->`; what is between them is replaced, all else stays. NAME is a suite
(`toyfaces`, or `toyfaces short`) or a family, a table of benchmarks/rows.py. `retouch compare --suite toyfaces --out
benchmarks/results/leaderboard` and benchmarks/rows.py measure the rows; a test fails while a page is out of date.
"""
from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rows import TABLES, table

from retouch.evaluation.suite import COLUMNS, notes, records_to_table
from retouch.recipes.suite import SUITES

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'leaderboard'
PAGES = (HERE.parent / 'README.md', *sorted((HERE.parent / 'docs').glob('*.md')))
BLOCK = re.compile(r'^<!-- table ([\w ]+) -->\n.*?^<!-- end -->$', re.MULTILINE | re.DOTALL)
SHORT = ('edit_accuracy', 'psnr_outside', 'psnr_truth', 'mask_iou', 'seconds')


def tables() -> dict[str, Callable[[], str]]:
    """What may stand in a block: name -> its Markdown."""
    def suite(name: str, *keys: str) -> str:
        made = records_to_table(SUITES[name], {key: COLUMNS[key] for key in keys or COLUMNS}, RESULTS)
        return '\n\n'.join(filter(None, [made.markdown(), notes(made)]))

    def family(name: str) -> str:
        return table(name).markdown()
    return {**{name: partial(suite, name) for name in SUITES}, **{f'{name} short': partial(suite, name, *SHORT) for name in SUITES},
            **{name: partial(family, name) for name in TABLES}}


def renewed(text: str, known: dict[str, Callable[[], str]]) -> str:
    """A page with its blocks made anew. KeyError for a block of an unknown name."""
    return BLOCK.sub(lambda block: f'<!-- table {block[1]} -->\n{known[block[1]]()}\n<!-- end -->', text)


def main() -> None:
    """Rewrites the pages that are out of date."""
    known = tables()
    for page in PAGES:
        before = page.read_text(encoding='utf-8')
        after = renewed(before, known)
        if after != before:
            page.write_text(after, encoding='utf-8')
            print(f'written: {page}')


if __name__ == '__main__':
    main()
