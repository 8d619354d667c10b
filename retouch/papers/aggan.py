"""AGGAN (Tang, Xu, Sebe, Yan. Attention-Guided Generative Adversarial Networks. IJCNN 2019, arXiv:1903.12296): Tables I-III, Figure 5."""
from __future__ import annotations

from typing import Any

from retouch.papers.table import ASKED, Column, Part, Row, Table

AMT = Column('AMT', ASKED, asks='real', unit='%', digits=1, notes=(1,))
PSNR = Column('PSNR', 'psnr_truth_per_image', unit='dB', row='to=B', digits=4, notes=(2,))
MSE = Column('MSE', 'mse_truth', 'lower', row='to=B', digits=1)
PAIRS: dict[str, Any] = {'split': 'the last fifth of the pairs by name, at most 200, is scored', 'direction': 'neutral to smile'}
WHOLE: dict[str, Any] = {'data.load_size': None}                # the paper rescales, and cuts nothing
AR = Part('ar', 'AR Face', (AMT, PSNR, MSE), 'ar_face', changes={'domains': WHOLE, 'pairs': WHOLE}, notes=(3, 4), **PAIRS)
BU = Part('bu', 'BU-3DFE', (AMT, PSNR, MSE), 'bu3dfe', changes={'domains': WHOLE, 'pairs': WHOLE}, notes=(3, 4), **PAIRS)
SMILING: dict[str, Any] = {'data.limit': 1000, 'data.seed': 0, 'data.holdout': 19_962, 'data.validation': 637}    # as `aggan.celeba`
CELEBA = Part('celeba', 'CelebA', (AMT,), 'celeba', '1,000 neutral and 1,000 smiling faces learned from, as many scored, drawn by seed 0',
              {'domains': {**WHOLE, **SMILING, 'data.attribute': 'Smiling', 'train.epochs': 80},
               'attributes': {**SMILING, 'data.attributes': ('Smiling',), 'method.labels': 'multi'}}, 2000, 2000,
              direction='neutral to smile', notes=(5,))
NOTES = (
    'AMT: fifty raters, real or fake one picture at a time; they cannot be had again. `retouch evaluate --study real` asks people of '
    'yours, but of systems of pairs.',
    'PSNR: of every picture, then the mean, the only way in which PSNR and MSE of the paper fit together; pictures without any error are '
    'left out.',
    'The set needs a licence: put its neutral and smiling pictures into A/ and B/ with equal names.',
    'Which pairs the paper learns from and which it scores could not be read; here the last fifth by name, so that people stay apart as '
    'far as names begin with the person.',
    'Which 1,000 pictures of either kind: not stated; here drawn by seed 0, recorded in run.json.',
    '"All baselines are trained with batch size 1" and 200 epochs of 256 px: so here, but for StarGAN, whose targets are other rows of the '
    'batch: 16 pictures, 200,000 iterations, as in its own paper.',
    'The released code has no discriminator that sees a mask: it is the row Full - AD of Table II (`aggan.code`).',
    'A batch of 1 is none for this system: distances are between two pictures, a step trains two classes, or the halves of a batch have '
    'different parts; here 2.',
    'The paper prints 3.9 dB on AR Face, the distance of an answer that has nothing to do with the picture: nothing in the method leads '
    'there. A training that failed, most likely, and no target.',
    'A reading, not a reproduction: the code is not public, and most weights and sizes are not printed. The paper gives it masks of faces '
    'from OpenFace, here a parser does.',
    'Built for 64 px: its discriminator has one score there; at 256 px it has 13 x 13, compared with as many targets.',
    'Its classes exclude one another, and CelebA has no class of neutral faces: not run there.',
)
FULL: dict[str, Any] = {'data.size': 256}


def _here(row: str, name: str, recipe: str, small: str, ar: str, bu: str, celeba: str, *, notes: tuple[int, ...] = (),
          not_on: tuple[str, ...] = (), **changes: Any) -> Row:
    return Row(row, name, recipe, {**FULL, **changes}, small, printed={'ar': ar, 'bu': bu, 'celeba': celeba}, not_on=not_on,
               notes=(6, *notes))


TABLE1 = Table(
    'aggan.table1', 'Neutral to smile: AMT, PSNR and MSE', 'Table I',
    (_here('cyclegan', 'CycleGAN', 'cyclegan.paper', 'cyclegan.toyfaces', '10.2 14.8142 2538.4', '25.4 21.1369 602.1', '34.6'),
     _here('dualgan', 'DualGAN', 'dualgan.aggan_table', 'dualgan.toyfaces', '1.3 14.7458 2545.7', '4.1 21.0617 595.1', '3.2'),
     _here('discogan', 'DiscoGAN', 'discogan.aggan_table', 'discogan.toyfaces', '.1 13.1547 3321.9', '.2 15.4010 2018.7', '1.2',
           notes=(11,)),
     _here('combogan', 'ComboGAN', 'combogan.aggan_table', 'combogan.toyfaces', '1.5 14.7465 2550.6', '28.7 20.7377 664.4', '9.6',
           notes=(8, 12), not_on=('celeba',)),
     _here('distancegan', 'DistanceGAN', 'distancegan.aggan_table', 'distancegan.toyfaces', '.3 11.4983 4918.5', '8.9 13.9514 3426.6',
           '1.9', notes=(8,)),
     _here('distancegan+cycle', 'DistanceGAN + cycle', 'distancegan.aggan_table_cycle', 'distancegan.toyfaces_cycle',
           '.1 3.8632 27516.2', '.1 10.8042 6066.7', '1.3', notes=(8, 9)),
     _here('self-distance', 'Self distance', 'distancegan.aggan_table_self', 'distancegan.toyfaces_self', '.1 3.8674 26775.4',
           '.1 6.6458 14184.2', '1.2', notes=(9,)),
     _here('stargan', 'StarGAN', 'stargan.rafd', 'stargan.toyfaces', '1.6 13.5757 3360.2', '5.3 20.8275 634.4', '14.8',
           **{'data.people': 0}),
     _here('contrastgan', 'ContrastGAN', 'contrastgan.aggan_table', 'contrastgan.toyfaces', '8.3 14.8495 2511.1', '26.2 21.1205 607.8',
           '25.1', notes=(10,)),
     _here('pix2pix', 'pix2pix', 'pix2pix.paper', 'pix2pix.toyfaces', '2.6 14.6118 2601.3', '3.8 21.2864 580.6', '-',
           **{'data.direction': 'a_to_b'}),
     _here('encoder-decoder', 'Encoder-decoder', 'pix2pix.encoder_decoder', 'pix2pix.toyfaces_encoder_decoder', '.1 12.6660 3755.4',
           '.2 16.5609 1576.7', '-', **{'data.direction': 'a_to_b'}),
     _here('bicyclegan', 'BicycleGAN', 'bicyclegan.aggan_table', 'bicyclegan.eyeglasses', '1.5 14.7914 2541.8', '3.2 19.1703 1045.4', '-',
           notes=(8,), **{'data.direction': 'a_to_b'}),
     Row('aggan', 'AGGAN', 'aggan.paper', small='aggan.toyfaces', printed={'ar': '12.8 14.9187 2508.6', 'bu': '32.9 21.3247 574.5',
                                                                          'celeba': '38.9'}, on={'celeba': 'aggan.celeba'}, notes=(7,))),
    (AR, BU, CELEBA), NOTES)

NO_AD: dict[str, Any] = {'method.use_attention_discriminator': False}
TABLE2 = Table(
    'aggan.table2', 'What each part of the system is worth, AR Face', 'Table II',
    tuple(Row(row, name, 'aggan.paper', changes, f'aggan.toyfaces{end}', printed={'ar': printed}, notes=(7,) if row == 'full-ad' else ())
          for row, name, end, changes, printed in (
              ('full', 'Full', '', {}, '12.8 14.9187 2508.6'),
              ('full-ad', 'Full - AD', '_no_ad', NO_AD, '10.2 14.6352 2569.2'),
              ('full-ad-ag', 'Full - AD - AG', '_no_ad_ag', {**NO_AD, 'method.attention': False, 'method.lambda_tv': 0.0},
               '3.2 14.4646 2636.7'),
              ('full-ad-pl', 'Full - AD - PL', '_no_ad_pl', {**NO_AD, 'method.lambda_pix': 0.0}, '8.9 14.5128 2619.8'),
              ('full-ad-al', 'Full - AD - AL', '_no_ad_al', {**NO_AD, 'method.lambda_tv': 0.0}, '6.3 14.6129 2652.6'),
              ('full-ad-pl-al', 'Full - AD - PL - AL', '_no_ad_pl_al', {**NO_AD, 'method.lambda_pix': 0.0, 'method.lambda_tv': 0.0},
               '5.2 14.3287 2787.3'))),
    (AR,), NOTES)

COUNT = Column('parameters', 'parameters', 'neither', unit='M', factor=1e-6, digits=1)
MIXED = 'Each row counts what its system needs for one pair, one direction or one domain of m, as its name says, discriminators with it.'


def _counted(row: str, name: str, printed: str, recipe: str, changes: dict[str, Any] | None = None, notes: tuple[int, ...] = (),
             one_of: int = 1) -> Row:
    return Row(row, name, recipe, changes or {}, printed={'rafd': printed}, one_of=one_of, notes=notes)


EIGHT = ('angry', 'contemptuous', 'disgusted', 'fearful', 'happy', 'neutral', 'sad', 'surprised')
TABLE3 = Table(
    'aggan.table3', 'Parameters, in millions', 'Table III',
    (_counted('pix2pix', 'pix2pix, m(m-1)', '57.2', 'pix2pix.paper'),
     _counted('encoder-decoder', 'Encoder-decoder, m(m-1)', '41.9', 'pix2pix.encoder_decoder', notes=(3,)),
     _counted('bicyclegan', 'BicycleGAN, m(m-1)', '64.3', 'bicyclegan.paper'),
     _counted('cyclegan', 'CycleGAN, m(m-1)/2', '52.6', 'cyclegan.paper', notes=(2,)),
     _counted('dualgan', 'DualGAN, m(m-1)/2', '178.7', 'dualgan.ce_2017', notes=(4,)),
     _counted('discogan', 'DiscoGAN, m(m-1)/2', '16.6', 'discogan.paper'),
     _counted('distancegan', 'DistanceGAN, m(m-1)/2', '52.6', 'distancegan.paper', notes=(2,)),
     _counted('distancegan+cycle', 'DistanceGAN + cycle, m(m-1)/2', '52.6', 'distancegan.paper_cycle', notes=(2,)),
     _counted('self-distance', 'Self distance, m(m-1)/2', '52.6', 'distancegan.paper_self', notes=(2,)),
     _counted('combogan', 'ComboGAN, m', '14.4', 'combogan.paper', {'data.attributes': EIGHT}, (5,), 8),
     _counted('stargan', 'StarGAN, 1', '53.2', 'stargan.rafd', {'data.attributes': EIGHT, 'data.size': 128}),
     _counted('contrastgan', 'ContrastGAN, 1', '52.6', 'contrastgan.aggan_table', notes=(2, 6)),
     _counted('aggan', 'AGGAN, 1', '52.6', 'aggan_multi.paper', {'data.attributes': EIGHT, 'data.size': 128}, notes=(2,))),
    (Part('rafd', 'RaFD', (COUNT,), 'rafd', 'nothing is trained: networks for eight expressions are built and counted'),),
    (MIXED,
     '52.6 fits no form of this system that is known here: a pair of CycleGAN has 28.29, AGGAN with eight expressions 53.23. It is one '
     'residual generator of six blocks with a StarGAN discriminator without class head, 52,558,787, and may have been inherited from '
     "StarGAN's own table.",
     'With a bias on every convolution, as the Lua code has them and zeroes them at every step, it is 41.85.',
     'The form of August 2017 to March 2020, kernels of 5 throughout; that of today has 69.15.',
     'One domain of the release of December 2017; that of today has 25.60.',
     'A reading, not a reproduction: one generator, a discriminator for each of two domains, and a parser of 1.29 million in place of '
     'OpenFace.'),
    kind='counts')

FIGURE5 = Table(
    'aggan.figure5', 'Neutral faces of RaFD as each system makes them happy', 'Figure 5',
    (Row('diat', 'DIAT', 'diat.celeba', small='diat.toyfaces', also=('rafd',), notes=(2,)),
     Row('cyclegan', 'CycleGAN', 'cyclegan.paper', small='cyclegan.toyfaces', also=('rafd',)),
     Row('icgan', 'IcGAN', 'icgan.paper', small='icgan.toyfaces', also=('rafd',)),
     Row('stargan', 'StarGAN', 'stargan.rafd', small='stargan.toyfaces', also=('rafd',)),
     Row('ganimation', 'GANimation', 'ganimation.rafd', small='ganimation.toyfaces', also=('rafd',), notes=(3,)),
     Row('aggan', 'AGGAN', 'aggan_multi.paper', small='aggan_multi.folder64', also=('rafd',))),
    (Part('rafd', 'RaFD', (Column('taken for real', ASKED, asks='real', unit='%', digits=1, notes=(1,)),), 'rafd',
          'the last seven people by number are scored',
          {'domains': {'data.attribute': 'neutral/happy', 'data.load_size': None, 'data.crop': None},
           'attributes': {'data.people': 7, 'data.attributes': (), 'data.crop': None}}, 4320, 504,
          direction='neutral to happy'),),
    ('A figure: pictures, no numbers; `retouch evaluate --study real` asks people of yours.',
     'A reading, not a reproduction: of a system without public code, in its later version with a mask, without features of faces.',
     'The paper does not say which conditions it gave; here the class of the expression, 0 or 1.'),
    kind='study')

TABLES = (TABLE1, TABLE2, TABLE3, FIGURE5)
