"""DistanceGAN's recipes: distances, with a cycle, and within one picture; on CycleGAN nets and on DiscoGAN nets."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retouch.data.configs import DomainData
from retouch.engine.config import TrainConfig
from retouch.methods.distancegan import Config
from retouch.recipes import cyclegan, discogan
from retouch.run import Run

SELF = ('the distance is between the halves of a picture', {'distance': 'self'})
FORMS: dict[str, tuple[str, dict[str, Any]]] = {'cycle': ('with a cycle', {'lambda_cyc': 10.0}), 'self': SELF}
DISCO_FORMS: dict[str, tuple[str, dict[str, Any]]] = {'cycle': ('with a cycle', {'lambda_cyc': 1.0}), 'self': SELF}


def paper() -> Run:
    """The authors' setting on CycleGAN nets: 286 -> 256 px, batch 2, 200 epochs of 1,334 pictures (horse2zebra)."""
    return Run(method=Config(), data=DomainData(source='horse2zebra'),
               train=TrainConfig(epochs=200, iterations=133_400, batch_size=2, log_every=100, sample_every=5000, save_every=5000))


def paper_disco() -> Run:
    """The authors' setting on DiscoGAN nets: CelebA, black hair and blond hair, 64 px, batch 64; length of `discogan.paper`."""
    base = discogan.paper()
    return base.model_copy(update={'method': Config(nets='discogan', weight_decay=1e-5, schedule='constant'),
                                   'data': base.data.model_copy(update={'attribute': 'Black_Hair/Blond_Hair'})})


def aggan_table() -> Run:
    """For Tables I and III of AGGAN: 256 px, 200 epochs, counted for 1,000 pictures a domain, batch 2, the least that has a distance."""
    run = discogan.aggan_table()
    return run.model_copy(update={'method': Config(), 'train': run.train.model_copy(update={'iterations': 100_000, 'batch_size': 2})})


def toyfaces() -> Run:
    """Small: drawn faces at 32 px without and with Eyeglasses, networks, data and length of `cyclegan.toyfaces`."""
    base = cyclegan.toyfaces()
    m: Any = base.method
    return base.model_copy(update={'method': Config(width_g=m.width_g, blocks=m.blocks, width_d=m.width_d, lr=m.lr, schedule=m.schedule)})


def toyfaces_disco() -> Run:
    """Small: as `distancegan.toyfaces` on DiscoGAN nets: networks, data and length of `discogan.toyfaces`."""
    base = discogan.toyfaces()
    m: Any = base.method
    return base.model_copy(update={'method': Config(nets='discogan', width_g=m.width_g, width_d=m.width_d, curriculum=m.curriculum, lr=m.lr,
                                                    weight_decay=m.weight_decay, schedule=m.schedule)})


def _row(base: Callable[[], Run], doc: str, batch_size: int | None, **changes: Any) -> Callable[[], Run]:
    def recipe() -> Run:
        run = base()
        method = Config(**{**run.method.model_dump(), **changes})
        train = run.train if batch_size is None else run.train.model_copy(update={'iterations': 200_000, 'batch_size': batch_size})
        return run.model_copy(update={'method': method, 'train': train})
    recipe.__doc__ = doc
    return recipe


ROWS: dict[str, Callable[[], Run]] = {'paper': paper, 'paper_disco': paper_disco, 'aggan_table': aggan_table, 'toyfaces': toyfaces,
                                      'toyfaces_disco': toyfaces_disco}
for _base in tuple(ROWS.values()):
    _name = _base.__name__
    for _form, (_what, _changes) in (DISCO_FORMS if _name.endswith('disco') else FORMS).items():
        _alone = _name == 'aggan_table' and _form == 'self'
        _doc = f'{"Small: as" if _name.startswith("toyfaces") else "As"} `distancegan.{_name}`, but {_what}{", batch 1" * _alone}.'
        ROWS[f'{_name}_{_form}'] = _row(_base, _doc, 1 if _alone else None, **_changes)
