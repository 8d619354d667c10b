"""pix2pix's recipes: the authors' setting, the rows of ASGIT's Table 5 and the encoder-decoder, and the same on drawn faces, both ways."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retouch.data.configs import PairData
from retouch.engine.config import TrainConfig
from retouch.methods.pix2pix import Config
from retouch.run import Run

ABLATION: dict[str, tuple[str, dict[str, Any]]] = {              # row -> what it says of itself, what it changes
    'cgan': ('no distance to the wanted picture, only the discriminator of the pair', {'lambda_l1': 0.0}),
    'gan': ('as `cgan`, and the discriminator does not see the picture given', {'lambda_l1': 0.0, 'conditional': False}),
    'encoder_decoder': ('nothing is handed across the bottleneck', {'skips': False}),
}


def paper() -> Run:
    """The authors' setting on facades, label to photograph: 286 -> 256 px, batch 1, 200 epochs of 400 pairs."""
    return Run(method=Config(), data=PairData(source='facades', direction='b_to_a'),
               train=TrainConfig(epochs=200, iterations=80_000, batch_size=1, log_every=100, sample_every=2000, save_every=2000))


def asgit() -> Run:
    """The baseline of ASGIT's Table 5: data and length of `asgit_pairs.paper`, its networks, instance norm, least squares."""
    return Run(method=Config(norm='instance', gan_mode='lsgan'),
               data=PairData(source='cityscapes', direction='b_to_a', size=128, load_size=143, flip=False, test_share=0.2),
               train=TrainConfig(epochs=200, iterations=556_000, batch_size=1, log_every=100, sample_every=5000, save_every=5000))


def toyfaces() -> Run:
    """Small: drawn faces from their parse at 64 px, six levels as published for this size, for two CPU cores."""
    return Run(method=Config(norm='instance', width_g=32, width_d=16, lr=4e-4, schedule='linear_last_40'),
               data=PairData(size=64, load_size=None, n=4000),
               train=TrainConfig(iterations=1000, batch_size=8, ema=0.999, log_every=50, sample_every=500, save_every=500))


def toyfaces_back() -> Run:
    """Small: as `pix2pix.toyfaces` the other way, the parse from the face."""
    run = toyfaces()
    return run.model_copy(update={'data': run.data.model_copy(update={'direction': 'b_to_a'})})


def folder64() -> Run:
    """Small: pairs of your own at 64 px, the right picture from the left one; `--data.direction b_to_a` for the other way."""
    run = toyfaces()
    return run.model_copy(update={'data': PairData(source='pairs', size=64, load_size=72)})


def _row(base: Callable[[], Run], doc: str, **changes: Any) -> Callable[[], Run]:
    def recipe() -> Run:
        run = base()
        return run.model_copy(update={'method': Config(**{**run.method.model_dump(), **changes})})
    recipe.__doc__ = doc
    return recipe


ROWS: dict[str, Callable[[], Run]] = {'paper': paper, 'asgit': asgit, 'toyfaces': toyfaces, 'toyfaces_back': toyfaces_back,
                                      'folder64': folder64}
for _name, (_what, _changes) in ABLATION.items():
    ROWS[_name] = _row(paper, f'As `pix2pix.paper`, but {_what}.', **_changes)
    if _name != 'encoder_decoder':
        ROWS[f'asgit_{_name}'] = _row(asgit, f'As `pix2pix.asgit`, but {_what}.', **_changes)
    ROWS[f'toyfaces_{_name}'] = _row(toyfaces, f'Small: as `pix2pix.toyfaces`, but {_what}.', **_changes)
    ROWS[f'toyfaces_back_{_name}'] = _row(toyfaces_back, f'Small: as `pix2pix.toyfaces_back`, but {_what}.', **_changes)
