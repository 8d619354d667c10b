"""The page of a reproduced table: published, ours, difference, and the numbered footnotes."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from retouch.report import page
from retouch.report.page import escape


def write_reproduced(out: Path, title: str, said: str, header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str],
                     pictures: Sequence[str] = ()) -> None:
    """Writes the page.

    Args:
        out: the HTML file.
        title: of the table.
        said: where it is from, at which scale and on what.
        header: names of columns; the first three name a row.
        rows: as text.
        notes: footnote 1, 2 …
        pictures: files beside the page that are shown below it.

    Raises:
        OSError: not writable.
    """
    head = ''.join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = ''.join(f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in others)}</tr>'
                   for first, *others in rows)
    table = f'<div class="wide"><table class="card paper"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    listed = ''.join(f'<li>{escape(note)}</li>' for note in notes)
    shown = ''.join(f'<figure><img alt="{escape(path)}" src="{escape(path)}"></figure>' for path in pictures)
    page.write_page(Path(out), title, [f'<h1>{escape(title)}</h1>', f'<p>{escape(said)}</p>', table,
                                       f'<h2>What differs</h2><ol>{listed}</ol>' if notes else '', shown, page.responsible_use()])
