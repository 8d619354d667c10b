"""All tables and figures by name."""
from __future__ import annotations

from retouch.errors import unknown
from retouch.papers import aggan, asgit, cam, lomit, secgan
from retouch.papers.table import Table

TABLES: dict[str, Table] = {table.id: table for module in (cam, asgit, aggan, lomit, secgan) for table in module.TABLES}


def find_table(name: str) -> Table:
    """A table by name. Raises ValueError naming the nearest."""
    if name not in TABLES:
        raise unknown('table', name, TABLES)
    return TABLES[name]
