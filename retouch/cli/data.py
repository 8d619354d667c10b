"""`retouch data check`."""
from __future__ import annotations

from retouch.cli.options import CheckOptions
from retouch.data.check import Report, check_folder
from retouch.data.sheet import contact_sheet
from retouch.terminal import progress_bar

NAMED = 3        # of the files that are not used for one reason


def check(options: CheckOptions) -> int:
    """`retouch data check`."""
    with progress_bar() as progress:
        report = check_folder(options.folder, progress=lambda done, total: progress(done, total, 'reading pictures'))
    if options.sheet:
        contact_sheet(options.folder, options.sheet)
    print(report.model_dump_json(indent=2) if options.json else render(report))
    return 0 if report.ok else 1                                 # so that `retouch data check DIR && retouch train …` stops here


def render(report: Report) -> str:
    """The report as plain text for a terminal, at most 20 lines of any kind of finding."""
    lines = [f'{report.folder}: {report.layout} ({report.description})']
    counts = ', '.join(f'{name} {n:,}' for name, n in list(report.counts.items())[:20])
    lines.append(f'pictures    {counts}' + (', …' if len(report.counts) > 20 else ''))
    sizes = ', '.join(f'{size}{"" if size == "other" else " px"}: {n:,}' for size, n in report.sizes.items())
    lines.append(f'sizes       {sizes or "none read"}')
    lines.append(f'read        {report.decoded:,}, of which {len(report.unreadable):,} cannot be used')
    if report.convention != 'none':
        lines.append(f'labels      {report.convention}' + (' (one class per folder)' if report.convention == 'folders' else ' throughout'))
        width = max((len(name) for name in report.balance), default=0)
        lines += [f'  {name:<{width}}  {share:7.2%}' for name, share in report.balance.items()]
        lines.append(f'unlabelled  {len(report.unlabelled):,} pictures without a label row' + (', not used' if report.unlabelled else ''))
    if report.masks:
        masks = report.masks
        what = f': {", ".join(map(str, masks.ids))}' if masks.ids else ''
        if masks.white is not None:
            what = f': {masks.white:.1%} white; white = may change'
        lines.append(f'masks       {masks.n:,}, {masks.kind}{what} ({masks.read:,} read)')
    findings = {'unreadable': report.unreadable, 'unlabelled': report.unlabelled, 'error': report.errors, 'warning': report.warnings}
    for title, found in findings.items():
        lines += [f'{title}: {line}' for line in found[:20]]
        if len(found) > 20:
            lines.append(f'{title}: … and {len(found) - 20:,} more; --json lists all of them')
    for unused in report.unused:
        more = f' and {unused.n - NAMED:,} more' if unused.n > NAMED else ''
        lines.append(f'not used: {unused.n:,}, {unused.reason}: {", ".join(unused.files[:NAMED])}{more}')
    left = len(report.unlabelled) + sum(unused.n for unused in report.unused)
    without = f', without {left:,} {"file or folder that is" if left == 1 else "files and folders that are"} not used' if left else ''
    lines += [f'ok{without}' if report.ok else 'not ok', f'next: {report.next}']
    return '\n'.join(lines)
