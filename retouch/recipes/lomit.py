"""LOMIT's recipes."""
from __future__ import annotations

from collections.abc import Callable

from retouch.data.configs import ExemplarData
from retouch.engine.config import TrainConfig
from retouch.methods.lomit import Config
from retouch.run import Run

BLOND_OR_BLACK = ('Blond_Hair', 'Black_Hair')
HAIR = ('Black_Hair', 'Blond_Hair', 'Brown_Hair')
# the sets of the paper's Table 1 and of its figures, each a model of its own; facial hair is a beard, goatee or moustache
SETS: dict[str, tuple[str, ...]] = {
    '': ('Facial_Hair',), '_gender': ('Male',), '_lipstick': ('Wearing_Lipstick',), '_facial_hair_gender': ('Facial_Hair', 'Male'),
    '_makeup_lipstick': ('Heavy_Makeup', 'Wearing_Lipstick'), '_hair_smile': (*HAIR, 'Smiling'),
}
UNITS = tuple(f'AU{number}' for number in (1, 2, 4, 5, 6, 9, 12, 17, 20, 25, 26, 43))


def paper() -> Run:
    """The paper's setting at 128 px for facial hair, the first set of its Table 1: 200,000 iterations, batch 8."""
    return Run(method=Config(), data=ExemplarData(source='celeba', attributes=SETS[''], size=128, crop=178),
               train=TrainConfig(iterations=200_000, batch_size=8, log_every=100, sample_every=5000, save_every=5000))


def emotionet() -> Run:
    """The paper's EmotioNet: twelve action units of its list of addresses, faces cut out beforehand, 128 px, the last 2,000 to score."""
    run = paper()
    return run.model_copy(update={'data': ExemplarData(source='emotionet', attributes=UNITS, size=128)})


def _set(names: tuple[str, ...]) -> Callable[[], Run]:
    def recipe() -> Run:
        run, any_of = paper(), HAIR if set(HAIR) & set(names) else ()
        return run.model_copy(update={'data': run.data.model_copy(update={'attributes': names, 'any_of': any_of})})
    recipe.__doc__ = f"As `lomit.paper`, for {', '.join(names)}."
    return recipe


def code() -> Run:
    """The released code and its configuration: hair colours and Smiling, only pictures with a hair colour, one style head, no R_2."""
    run = paper()
    return run.model_copy(update={
        'method': Config(share_style_branches=True, adain_std='nested', r1_detach_mask_input=False, lambda_r2=0.0),
        'data': run.data.model_copy(update={'attributes': (*HAIR, 'Smiling'), 'any_of': HAIR})})


def toyfaces() -> Run:
    """Small: drawn faces at 32 px, hair colours, Eyeglasses and Smiling, for two CPU cores; lambda_code a tenth of the paper's."""
    return Run(method=Config(width_g=12, blocks=2, hidden=64, width_d=24, lambda_code=0.1, n_critic=1, lr=8e-4, schedule='linear_last_40'),
               data=ExemplarData(attributes=(*HAIR, 'Eyeglasses', 'Smiling'), any_of=HAIR, size=32, n=8000),
               train=TrainConfig(iterations=4000, batch_size=8, ema=0.999, log_every=50, sample_every=1000, save_every=1000))


def toyfaces_hair() -> Run:
    """Small: black and blond hair alone, as many pictures as `munit.toyfaces_hair` sees; lambda_x three times the paper's."""
    run = toyfaces()
    told = {'lambda_x': 30.0, 'lambda_code': 1.0}
    return run.model_copy(update={'method': run.method.model_copy(update=told), 'train': run.train.model_copy(update={'iterations': 2000}),
                                  'data': run.data.model_copy(update={'attributes': BLOND_OR_BLACK, 'any_of': BLOND_OR_BLACK})})


def folder64() -> Run:
    """Small: pictures of your own at 64 px with CelebA's hair colours and Smiling."""
    run = toyfaces()
    return run.model_copy(update={'data': ExemplarData(source='pictures', attributes=(*HAIR, 'Smiling'), any_of=HAIR, size=64)})


ROWS: dict[str, Callable[[], Run]] = {'paper': paper, 'code': code, 'emotionet': emotionet, 'toyfaces': toyfaces,
                                      'toyfaces_hair': toyfaces_hair, 'folder64': folder64}
ROWS |= {f'paper{end}': _set(names) for end, names in SETS.items() if end}
