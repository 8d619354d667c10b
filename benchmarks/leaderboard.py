"""Writes every table that stands between markers in README.md, docs/*.md and docs/methods/*.md, from the committed JSONs of
benchmarks/results and from what `retouch.papers` holds of the papers.

    python benchmarks/leaderboard.py

A block begins with `<!-- table NAME -->` and ends with `<!-- end -->`; what is between them is replaced, all else stays. NAME is a suite
(`toyfaces`, or `toyfaces short`), a family, a table of benchmarks/rows.py, a paper's table (`cam.table1`), or that beside our rows on
drawn faces (`aggan.table2 small`). `retouch compare --suite toyfaces --out
benchmarks/results/leaderboard` and benchmarks/rows.py measure the rows; a test fails while a page is out of date.
"""
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from rows import TABLES, table

from retouch.evaluation.card import Card
from retouch.evaluation.suite import COLUMNS, notes, read_record, records_to_table
from retouch.papers.registry import TABLES as PAPERS
from retouch.papers.reproduce import value_of
from retouch.papers.table import ASKED, JUDGE, Cell, Table, cell_to_text, published_to_markdown
from retouch.recipes.suite import SUITES
from retouch.toyfaces.faces import drawing_hash

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'leaderboard'
DOCS = HERE.parent / 'docs'
PAGES = (HERE.parent / 'README.md', *sorted(DOCS.glob('*.md')), *sorted((DOCS / 'methods').glob('*.md')))
BLOCK = re.compile(r'^<!-- table ([\w. ]+) -->\n.*?^<!-- end -->$', re.MULTILINE | re.DOTALL)
ROWS = HERE / 'results' / 'rows'
PUBLISHED = ('cam.table1', 'cam.table2', 'cam.table3', *(f'asgit.table{i}' for i in range(1, 6)), *(f'aggan.table{i}' for i in range(1, 4)),
             'lomit.table1', 'lomit.figure7', 'lomit.questions', 'secgan.table1', 'secgan.figure3')
SMALL = ('aggan.table2', 'asgit.table1')         # of which every row was run on drawn faces, as they are drawn today
SHORT = ('edit_accuracy', 'psnr_outside', 'psnr_truth', 'mask_iou', 'seconds')


def tables() -> dict[str, Callable[[], str]]:
    """What may stand in a block: name -> its Markdown."""
    def suite(name: str, *keys: str) -> str:
        made = records_to_table(SUITES[name], {key: COLUMNS[key] for key in keys or COLUMNS}, RESULTS)
        return '\n\n'.join(filter(None, [made.markdown(), notes(made)]))

    def family(name: str) -> str:
        return table(name).markdown()
    return {**{name: partial(suite, name) for name in SUITES}, **{f'{name} short': partial(suite, name, *SHORT) for name in SUITES},
            **{name: partial(family, name) for name in TABLES},
            **{name: partial(published_to_markdown, PAPERS[name]) for name in PUBLISHED},
            **{f'{name} small': partial(small_to_markdown, PAPERS[name]) for name in SMALL}}


def small_to_markdown(table: Table, folder: Path = ROWS) -> str:
    """A paper's table beside our rows of the small tier on drawn faces, of the seeds that every row has and that are comparable."""
    part = table.parts[0]
    columns = [column for column in part.columns if column.measure != ASKED]
    records = {row.id: {record['seed']: record for path in sorted(folder.glob(f'{row.small}-s*.json'))
                        if (record := read_record(path))['card']['data']['hash'] == drawing_hash()} for row in table.rows if row.small}
    seeds = sorted(set.intersection(*(set(found) for found in records.values())))       # a mean beside a single seed is no comparison
    names = [(column, 'paper', 'drawn faces, proxy' if column.proxy else 'drawn faces') for column in columns]
    header = ' | '.join(f'{column.name}, {who}' for column, *both in names for who in both)
    lines = [f'| {table.what}, {part.title} | {header} |', '|---' * (1 + 2 * len(columns)) + '|']
    for row in table.rows:
        cards = [Card.model_validate(records[row.id][seed]['card']) for seed in seeds]
        printed, shown = dict(zip(part.columns, table.printed(row, part), strict=True)), list[str]()
        for column in columns:
            measure = column.proxy.replace(JUDGE, 'toyfaces_classifier') if column.proxy else column.measure
            values = [value_of(column, card.measures.get(measure)) for card in cards]
            known = [value * column.factor for value in values if value is not None]
            ours = cell_to_text(Cell(sum(known) / len(known)), replace(column, digits=min(column.digits, 2))) if known else 'not run'
            shown += [cell_to_text(printed[column], column), ours]
        lines.append(f'| {row.name} | {" | ".join(shown)} |')
    first = records[table.rows[0].id][seeds[0]]
    return '\n'.join([*lines, '', 'Drawn faces at 32 px, with and without Eyeglasses in place of both domains; seed '
                      f'{", ".join(map(str, seeds))}, n={first["card"]["n"]}, {first["hardware"]}; '
                      f'`retouch reproduce {table.id} --data toyfaces --scale small`. No printed number compares '
                      'with them: what may be compared is the order of the rows.'])


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
