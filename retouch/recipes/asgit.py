"""ASGIT's recipes: the paper's and the released code's settings, and {PHA, TAM} x {RHP, Alpha} on drawn faces, unpaired and paired."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retouch.data.configs import DomainData, PairData
from retouch.engine.config import TrainConfig
from retouch.methods.asgit import Config, PairsConfig
from retouch.recipes import cyclegan, pix2pix
from retouch.run import Run

CODE: dict[str, Any] = {'pha_layer': 3, 'mask_norm': 'batch', 'align_attention': False, 'bypass_ones': False, 'normalise_tam': True}
SHARE = 0.2                                      # "randomly split the dataset into two parts, 80% for training": of every set


def paper() -> Run:
    """The paper's setting: PHA and RHP, 286 -> 256 px, batch 1, no flips; 200 epochs of 1,179 pictures, a random 80 % of horse2zebra."""
    return Run(method=Config(), data=DomainData(source='horse2zebra', flip=False, test_share=SHARE),
               train=TrainConfig(epochs=200, iterations=235_800, batch_size=1, log_every=100, sample_every=5000, save_every=5000))


def code() -> Run:
    """The released `attn_cycle_gan`: no transfer block, the 3rd convolution, maps that stay where they are, 1.5 x at test time; the set's
    own split, 200 epochs of 1,334 pictures."""
    run = paper()
    return run.model_copy(update={'method': Config(**CODE, transfer='identity', inference_attention='constant'),
                                  'data': run.data.model_copy(update={'test_share': None}),
                                  'train': run.train.model_copy(update={'iterations': 266_800})})


def pairs_paper() -> Run:
    """The paper's supervised setting: 143 -> 128 px, batch 1, no flips, label to photograph; 200 epochs of 2,780 pairs, 80 % of
    Cityscapes at random."""
    return Run(method=PairsConfig(), data=PairData(source='cityscapes', direction='b_to_a', size=128, load_size=143, flip=False,
                                                   test_share=SHARE),
               train=TrainConfig(epochs=200, iterations=556_000, batch_size=1, log_every=100, sample_every=5000, save_every=5000))


def pairs_code() -> Run:
    """The released `pix2pix_attn` at its 256 px: cross-entropy, the 3rd convolution, maps that stay where they are; the set's own split."""
    run = pairs_paper()
    return run.model_copy(update={'method': PairsConfig(**CODE, gan_mode='bce'),
                                  'data': run.data.model_copy(update={'size': 256, 'load_size': 286, 'test_share': None}),
                                  'train': run.train.model_copy(update={'iterations': 595_000})})


def small(base: Run) -> Run:
    """PHA and RHP on one of CycleGAN's small recipes."""
    m: Any = base.method
    return base.model_copy(update={'method': Config(width_g=m.width_g, blocks=m.blocks, width_d=m.width_d, width_t=16,
                                                    lambda_cyc=m.lambda_cyc, lr=m.lr, schedule='linear_last_40')})


def toyfaces() -> Run:
    """Small: PHA and RHP on drawn faces at 32 px without and with Eyeglasses; data, weights and length of `cyclegan.toyfaces`."""
    return small(cyclegan.toyfaces())


def folder64() -> Run:
    """Small: PHA and RHP on two folders of your own at 64 px; data, widths, rate and length of `cyclegan.folder64`."""
    return small(cyclegan.folder64())


def pairs_small(base: Run) -> Run:
    """PHA and RHP on one of pix2pix's small recipes."""
    m: Any = base.method
    return base.model_copy(update={'method': PairsConfig(width_g=m.width_g, width_d=m.width_d, width_t=16, lr=m.lr,
                                                         schedule='linear_last_40')})


def pairs_toyfaces() -> Run:
    """Small: PHA and RHP on drawn faces from their parse at 64 px; data, widths, rate and length of `pix2pix.toyfaces`."""
    return pairs_small(pix2pix.toyfaces())


def pairs_folder64() -> Run:
    """Small: PHA and RHP on pairs of your own at 64 px; data, widths, rate and length of `pix2pix.folder64`."""
    return pairs_small(pix2pix.folder64())


def pairs_toyfaces_back() -> Run:
    """Small: as `asgit_pairs.toyfaces` the other way, the parse from the face."""
    run = pairs_toyfaces()
    return run.model_copy(update={'data': run.data.model_copy(update={'direction': 'b_to_a'})})


def _row(base: Callable[[], Run], doc: str, **changes: Any) -> Callable[[], Run]:
    def recipe() -> Run:
        run = base()
        return run.model_copy(update={'method': type(run.method).model_validate({**run.method.model_dump(), **changes})})
    recipe.__doc__ = doc
    return recipe


_MEASURED: dict[str, dict[str, Any]] = {'tam': {'normalise_tam': True}}       # the small rows were trained with it
ROWS: dict[str, Callable[[], Run]] = {'paper': paper, 'code': code, 'toyfaces': toyfaces, 'folder64': folder64}
for _attention, _fusion, _what in (('pha', 'alpha', 'PHA and Alpha'), ('tam', 'rhp', 'TAM and RHP'), ('tam', 'alpha', 'TAM and Alpha')):
    ROWS[f'paper_{_attention}_{_fusion}'] = _row(paper, f'As `asgit.paper`, with {_what}.', attention=_attention, fusion=_fusion)
for _attention, _fusion, _what in (('pha', 'alpha', 'PHA and Alpha'), ('tam', 'rhp', 'TAM and RHP'), ('tam', 'alpha', 'TAM and Alpha')):
    ROWS[f'toyfaces_{_attention}_{_fusion}'] = _row(toyfaces, f'Small: as `asgit.toyfaces`, with {_what}.',
                                                    attention=_attention, fusion=_fusion, **_MEASURED.get(_attention, {}))
PAIRS: dict[str, Callable[[], Run]] = {'paper': pairs_paper, 'code': pairs_code, 'toyfaces': pairs_toyfaces,
                                       'toyfaces_back': pairs_toyfaces_back, 'folder64': pairs_folder64}
for _name in ('toyfaces', 'toyfaces_back'):
    PAIRS[f'{_name}_tam'] = _row(PAIRS[_name], f'Small: as `asgit_pairs.{_name}`, with TAM.', attention='tam', normalise_tam=True)
PAIRS['paper_tam'] = _row(pairs_paper, 'As `asgit_pairs.paper`, with TAM.', attention='tam')
