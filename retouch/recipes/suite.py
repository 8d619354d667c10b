"""The common task: put Eyeglasses on drawn faces of 32 px. Every method's small recipe on one set of faces and one budget, and the suites.

Two-domain recipes named `toyfaces` are on this task already, so that they stand here as they are. All others are `<id>.…eyeglasses`: the
small recipe of the method with networks, losses, batch and schedule unchanged, and the data of the task in the form that it learns from.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retouch.recipes import (
    aggan_multi,
    asgit,
    attgan,
    bicyclegan,
    cam,
    drit,
    fal,
    ganimation,
    icgan,
    local,
    lomit,
    pix2pix,
    secgan,
    stargan,
    stgan,
)
from retouch.run import Run

READINGS = ('contrastgan', 'diat', 'fal')        # methods that no public code settles; tables mark their rows
BUDGET = 32_000                                  # pictures that training sees
TASK: dict[str, dict[str, Any]] = {              # kind of data -> what it is set to
    'attributes': {'attributes': ('Eyeglasses',)},
    'exemplars': {'attributes': ('Eyeglasses',), 'any_of': ()},
    'domains': {'attribute': 'Eyeglasses'},
    'pairs': {'edit': 'Eyeglasses'},
}
BASES: dict[str, Callable[[], Run]] = {
    'stargan.eyeglasses': stargan.toyfaces,
    'attgan.eyeglasses': attgan.toyfaces,
    'stgan.eyeglasses': stgan.toyfaces,
    **{f'cam.{name}_eyeglasses': cam.ROWS[f'{name}_toyfaces'] for name in cam.SMALL},
    **{f'secgan.{name}_eyeglasses': secgan.ROWS[f'{name}_toyfaces'] for name in ('stargan', 'attgan')},
    'aggan_multi.eyeglasses': aggan_multi.toyfaces,
    'local.eyeglasses': local.toyfaces64,
    'ganimation.eyeglasses': ganimation.toyfaces,
    'icgan.eyeglasses': icgan.toyfaces,
    'drit.eyeglasses': drit.toyfaces,
    'lomit.eyeglasses': lomit.toyfaces,
    'pix2pix.eyeglasses': pix2pix.toyfaces,
    'bicyclegan.eyeglasses': bicyclegan.toyfaces,
    'fal.eyeglasses': fal.toyfaces,
    'asgit_pairs.eyeglasses': asgit.pairs_toyfaces,
}
# suite -> recipe -> seeds: three for a row of each of the five systems and for StarGAN and CycleGAN, one elsewhere
SUITES: dict[str, dict[str, tuple[int, ...]]] = {'toyfaces': {
    'stargan.eyeglasses': (0, 1, 2), 'cam.stargan_eyeglasses': (0, 1, 2), 'secgan.stargan_eyeglasses': (0, 1, 2),
    'attgan.eyeglasses': (0,), 'cam.attgan_eyeglasses': (0,), 'secgan.attgan_eyeglasses': (0,),
    'stgan.eyeglasses': (0,), 'cam.stgan_eyeglasses': (0,), 'aggan_multi.eyeglasses': (0,), 'local.eyeglasses': (0,),
    'cyclegan.toyfaces': (0, 1, 2), 'asgit.toyfaces': (0, 1, 2), 'aggan.toyfaces': (0, 1, 2), 'attentiongan.toyfaces': (0,),
    'mejjati_attn.toyfaces': (0,), 'cut.toyfaces': (0,), 'cut.fastcut_toyfaces': (0,), 'discogan.toyfaces': (0,),
    'distancegan.toyfaces': (0,), 'distancegan.toyfaces_cycle': (0,), 'distancegan.toyfaces_self': (0,),
    'dualgan.toyfaces': (0,), 'unit.toyfaces': (0,), 'contrastgan.toyfaces': (0,), 'diat.toyfaces': (0,),
    'icgan.eyeglasses': (0,), 'ganimation.eyeglasses': (0,), 'munit.toyfaces': (0,), 'drit.eyeglasses': (0,), 'lomit.eyeglasses': (0, 1, 2),
    'pix2pix.eyeglasses': (0,), 'bicyclegan.eyeglasses': (0,), 'fal.eyeglasses': (0,), 'asgit_pairs.eyeglasses': (0,),
}}


def images_seen(run: Run) -> int:
    """Pictures that a training loads; of domains, pairs and exemplars every sample has two."""
    return run.train.iterations * run.train.batch_size * (2 if run.data.kind in ('domains', 'pairs', 'exemplars') else 1)


def on_task(base: Run) -> Run:
    """A small recipe on the common task and budget."""
    data = base.data.model_copy(update={**TASK[base.data.kind], 'size': 32, 'n': 4000})
    iterations = BUDGET * base.train.iterations // images_seen(base)
    return base.model_copy(update={'data': data, 'train': base.train.model_copy(update={'iterations': iterations})})


def _row(name: str, base: Callable[[], Run]) -> Callable[[], Run]:
    def recipe() -> Run:
        return on_task(base())
    alike = 'local.toyfaces64' if base is local.toyfaces64 else name.replace('eyeglasses', 'toyfaces')
    recipe.__doc__ = f'Small: as `{alike}`, on the common task: 32 px, Eyeglasses, {BUDGET:,} pictures seen.'
    return recipe


ROWS: dict[str, Callable[[], Run]] = {name: _row(name, base) for name, base in BASES.items()}
