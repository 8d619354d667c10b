"""Recipes: functions that return a Run. One module per method file, one function per row of a table; names are `<id>.<row>`."""
from __future__ import annotations

from collections.abc import Callable

from retouch.recipes import (
    aggan,
    aggan_multi,
    asgit,
    attentiongan,
    attgan,
    cam,
    classifier,
    cyclegan,
    drit,
    lomit,
    munit,
    parser,
    pix2pix,
    secgan,
    stargan,
    stgan,
    suite,
)
from retouch.run import Run

MODULES = (stargan, attgan, stgan, aggan, aggan_multi, cyclegan, attentiongan, pix2pix, asgit, munit, drit, lomit, cam, secgan, classifier,
           parser)
TABLES = {**{module.__name__.rpartition('.')[2]: module.ROWS for module in MODULES}, 'asgit_pairs': asgit.PAIRS}
RECIPES: dict[str, Callable[[], Run]] = {f'{method}.{row}': recipe for method, rows in TABLES.items() for row, recipe in rows.items()}
RECIPES |= suite.ROWS
