"""Recipes: functions that return a Run. One module per method, one function per row of a table; names are `<id>.<row>`."""
from __future__ import annotations

from collections.abc import Callable

from retouch.recipes import aggan_multi, attgan, cam, classifier, cyclegan, stargan, stgan
from retouch.run import Run

RECIPES: dict[str, Callable[[], Run]] = {
    f'{module.__name__.rsplit(".", 1)[1]}.{row}': recipe
    for module in (stargan, attgan, stgan, aggan_multi, cyclegan, cam, classifier) for row, recipe in module.ROWS.items()
}
