"""CAM-consistency (Kim, Khan, Choo. Not just Compete, but Collaborate. ICCV 2021): Tables 1 to 3 and the ablation figure."""
from __future__ import annotations

from typing import Any

from retouch.papers.table import ASKED, JUDGE, Column, Part, Row, Table

INCEPTION = 'inception-v3-compat'
FID = Column('FID', f'fid_per_task[{INCEPTION}]', 'lower', std=f'fid_per_task_std[{INCEPTION}]', proxy=f'fid_per_task[{JUDGE}]',
             proxy_std=f'fid_per_task_std[{JUDGE}]', notes=(1, 2))
COLOURS = {'Black': 'Black_Hair', 'Blond': 'Blond_Hair', 'Brown': 'Brown_Hair', 'Pale': 'Pale_Skin'}
OUTSIDE, ANYWHERE = 'psnr_outside_per_image[parser]', 'psnr_outside_per_image'
PSNR = (*(Column(name, OUTSIDE, unit='dB', row=row, proxy=ANYWHERE) for name, row in COLOURS.items()),
        Column('Average', OUTSIDE, unit='dB', mean_of=tuple(COLOURS.values()), proxy=ANYWHERE))
ACCURACY = Column('accuracy (not printed)', 'edit_accuracy', unit='%', factor=100, digits=1, notes=(3,))
SPLIT: dict[str, Any] = {
    'set': 'celeba', 'split': 'the last 2,000 of list_attr_celeba.txt are scored; StarGAN and STGAN learn from all others, AttGAN from its '
    'own 182,000', 'test': 2000, 'n': 2000,
    'direction': 'each attribute by itself, set where it is absent and taken away where it is there',
    'judge': 'classifier.paper'}
SHARED = (
    "FID: the paper does not name its build of Inception; here torch-fidelity's, from TensorFlow in 2015.",
    'FID: of 2,000 pictures, fewer than the 2,048 features: compare only equal n. The ± is over the 13 edits, not over trainings.',
    'Accuracy is not in the paper. A copy of the input wins FID and PSNR; without the accuracy beside them they say nothing.',
    'Split: the paper has "2,000 test" and no rule. The released StarGAN holds out 1,999 at random, STGAN-pytorch the last 2,000, AttGAN '
    'its own 19,962; here all three are scored on the last 2,000, so that one table has one test.',
    'The authors published no code: what their text leaves open is a switch of `cam` (docs/methods/cam.md).',
    'Strength of an edit: not stated; here as each backbone edits at test time.',
)


def _rows(printed: dict[str, str], notes: tuple[int, ...] = (4, 5, 6)) -> tuple[Row, ...]:
    """The three backbones, each alone and with the loss; `cam.<backbone>_paper_baseline` is the backbone, bit for bit."""
    rows = []
    for backbone, name in (('stargan', 'StarGAN'), ('attgan', 'AttGAN'), ('stgan', 'STGAN')):
        for end, row, title in (('_baseline', backbone, name), ('', f'{backbone}+cam', f'{name} + CAM')):
            rows.append(Row(row, title, f'cam.{backbone}_paper{end}', small=f'cam.{backbone}_toyfaces{end}',
                            printed={'celeba': printed[row]}, notes=notes))
    return tuple(rows)


TABLE1 = Table(
    'cam.table1', 'FID of edits on CelebA, 128 px', 'Table 1',
    _rows({'stargan': '21.14±6.77 -', 'stargan+cam': '17.98±3.24 -', 'attgan': '14.27±6.29 -', 'attgan+cam': '13.27±4.04 -',
           'stgan': '11.61±4.68 -', 'stgan+cam': '10.49±3.66 -'}),
    (Part('celeba', 'CelebA', (FID, ACCURACY), **SPLIT),), SHARED, parser=True)

TABLE2 = Table(
    'cam.table2', 'PSNR outside the edited part on CelebA, 128 px', 'Table 2',
    _rows({'stargan': '24.29 21.78 25.06 21.86 23.25 -', 'stargan+cam': '25.46 25.30 26.94 24.96 25.66 -',
           'attgan': '28.03 25.65 29.89 25.47 27.26 -', 'attgan+cam': '28.77 26.37 31.05 27.70 28.47 -',
           'stgan': '26.80 23.56 28.03 26.21 26.15 -', 'stgan+cam': '28.84 25.31 29.70 29.22 28.27 -'}, notes=(4, 5, 6, 7)),
    (Part('celeba', 'CelebA', (*PSNR, ACCURACY), **SPLIT),),
    (*SHARED, 'PSNR: without hair for the hair colours, without skin, nose and neck ("e.g.") for pale skin. The paper does not say by '
     'whose parse it leaves out, nor what it divides by: here that of the input by a parser of ours, and the pixels that are left.'),
    parser=True)

STUDY = {'Brown hair': 'Brown_Hair', 'Blond hair': 'Blond_Hair', 'Pale skin': 'Pale_Skin', 'Gender': 'Male',
         'Blond and pale': 'Blond_Hair+Pale_Skin', 'Gender and age': 'Male+Young'}
TABLE3 = Table(
    'cam.table3', 'How often raters preferred AttGAN with CAM to AttGAN', 'Table 3',
    (Row('attgan+cam', 'AttGAN + CAM', 'cam.attgan_paper', small='cam.attgan_toyfaces', printed={'celeba': '65.0 68.3 83.3 55.0 61.8 58.2'},
         notes=(4, 5, 6)),
     Row('attgan', 'AttGAN', 'cam.attgan_paper_baseline', small='cam.attgan_toyfaces_baseline',
         printed={'celeba': '35.0 31.7 16.7 45.0 38.2 41.8'}, notes=(8,))),
    (Part('celeba', 'CelebA', tuple(Column(name, ASKED, unit='%', row=row, digits=1, notes=(7,)) for name, row in STUDY.items()),
          **SPLIT),),
    (*SHARED, 'Raters cannot be had again: `retouch evaluate --study` writes the page, `retouch study` counts the answers.',
     'Printed is the share of AttGAN + CAM; this row is what is left of 100.'),
    kind='study')

ABLATION = Table(
    'cam.ablation', 'The loss in the generator alone, in the discriminator alone, in both', 'Ablation figure',
    tuple(Row(f'{backbone}{end.replace("_", "-")}', f'{name}, {what}', f'cam.{backbone}_paper{end}', small=f'cam.{backbone}_toyfaces{end}',
              also=('celeba',), notes=(4, 5, 6))
          for backbone, name in (('stargan', 'StarGAN'), ('attgan', 'AttGAN'), ('stgan', 'STGAN'))
          for end, what in (('_baseline', 'alone'), ('_generator', 'generator only'), ('_discriminator', 'discriminator only'),
                            ('', 'both'))),
    (Part('celeba', 'CelebA', (FID, *PSNR, ACCURACY), **SPLIT),),
    (*SHARED, 'The figure shows pictures and prints no numbers; the columns are those of Tables 1 and 2. On which backbone it was made '
     'could not be read: all three are here.'),
    parser=True)

TABLES = (TABLE1, TABLE2, TABLE3, ABLATION)
