"""`retouch data check`."""
from __future__ import annotations

from retouch.cli.options import CheckOptions
from retouch.data.check import check_folder, render
from retouch.data.sheet import contact_sheet
from retouch.terminal import progress_bar


def check(options: CheckOptions) -> int:
    with progress_bar() as progress:
        report = check_folder(options.folder, progress=lambda done, total: progress(done, total, 'reading pictures'))
    if options.sheet:
        contact_sheet(options.folder, options.sheet)
    print(report.model_dump_json(indent=2) if options.json else render(report))
    return 0 if report.ok else 1                                 # so that `retouch data check DIR && retouch train …` stops here
