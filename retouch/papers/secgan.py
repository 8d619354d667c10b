"""SeCGAN (Sun et al. Parallel Conditional GANs for Face Editing via Semantic Consistency): Table 1, Figures 3 and 4."""
from __future__ import annotations

from retouch.papers.table import JUDGE, Column, Part, Row, Table
from retouch.toyfaces import THIRTEEN

SWAV, TORCHVISION = 'swav-resnet50', 'inception-v3-torchvision'
ACCURACY = Column('accuracy', 'edit_accuracy', unit='%', factor=100, notes=(1,))
COLUMNS = (ACCURACY, Column('ssFID', f'fid_per_task[{SWAV}]', 'lower', proxy=f'fid_per_task[{JUDGE}]', notes=(2,)),
           Column('IS', f'inception_score[{TORCHVISION}]', proxy=f'inception_score[{JUDGE}]', notes=(3,)))
EDITS = 'each attribute by itself'
NOTES = (
    'Accuracy: the classifier is not named; here `classifier.paper`, trained at that size on what the systems learn from, as earlier code '
    'of an author has it. Of the edited attribute alone, mean over edits.',
    'ssFID: of the edits that change a picture.',
    "IS: the paper does not name its Inception; torchvision's is a guess from earlier code of an author, which also reads JPEG files, in "
    'another order.',
    "Which 7 of RaFD's 67 people are scored: not stated; here the last by their number. The head crop of 600 px: not stated where.",
    "The parser is one of ours with twelve classes (`parser.celebamask`), at the pictures' size; CelebAMask-HQ, on which it is trained, "
    'overlaps the scored pictures of CelebA-HQ and of CelebA.',
    'One run a cell, no error bars: gains of two to four points need several seeds. The text says that Concat does not outperform the '
    'baseline, which its StarGAN rows do.',
    '[D9] and the other readings of the text: docs/methods/secgan.md.',
)


def _celeba(columns: tuple[Column, ...]) -> Part:
    return Part('celeba', 'CelebA 128', columns, 'celeba', '182,000 learned from, 637 left out, the last 19,962 scored, in file order',
                {}, 182_000, 19_962, 19_962, EDITS, 'classifier.paper')


def _hq(size: int) -> Part:
    return Part(f'hq{size}', f'CelebA-HQ {size}', COLUMNS, 'celeba_hq',
                '28,000 learned from, 500 left out, the last 1,500 scored, by index', {},
                28_000, 1500, 1500, EDITS, 'classifier.paper')


RAFD = Part('rafd', 'RaFD 128', COLUMNS, 'rafd', '60 people learned from, the last 7 scored',
            {}, 4320, 504, 504, 'each expression', 'classifier.paper', notes=(4,))


def _row(row: str, name: str, recipe: str, **printed: str) -> Row:
    on = {part: f'secgan.{recipe.replace("paper", part)}' for part in printed if part != 'celeba'}
    return Row(row, name, f'secgan.{recipe}', small=f'secgan.{recipe.replace("paper", "toyfaces")}', printed=printed, on=on, notes=(5, 7))


TABLE1 = Table(
    'secgan.table1', 'Accuracy, ssFID and Inception score', 'Table 1',
    (_row('stargan', 'StarGAN', 'stargan_paper_sc0', celeba='78.72 1.58 3.08', hq128='72.75 3.22 2.74', hq256='58.16 4.97 3.11',
          rafd='86.09 .92 1.42'),
     _row('stargan+concat', 'StarGAN + Concat', 'stargan_paper_concat', celeba='80.50 1.47 3.04'),
     _row('stargan+secgan', 'SeCGAN on StarGAN', 'stargan_paper', celeba='82.79 1.61 3.07', hq128='75.78 3.51 2.80',
          hq256='60.17 4.91 3.12', rafd='91.62 .94 1.41'),
     _row('attgan', 'AttGAN', 'attgan_paper_sc0', celeba='82.85 1.22 2.94'),
     _row('attgan+concat', 'AttGAN + Concat', 'attgan_paper_concat', celeba='79.74 1.20 3.06'),
     _row('attgan+secgan', 'SeCGAN on AttGAN', 'attgan_paper', celeba='84.81 1.27 3.05')),
    (_celeba(COLUMNS), _hq(128), _hq(256), RAFD), NOTES, parser=True)

FIGURE3 = Table(
    'secgan.figure3', 'Accuracy against the weight of consistency, StarGAN on CelebA', 'Figure 3',
    tuple(Row(f'sc{weight}', f'lambda_sc {weight}', f'secgan.stargan_paper{end}', small=f'secgan.stargan_toyfaces{end}',
              printed={'celeba': printed}, also=() if end == '' else ('celeba',), notes=(5, 8))
          for weight, end, printed in (('0', '_sc0', '-'), ('0.001', '_sc1e-3', '-'), ('0.01', '', '82.79'), ('0.1', '_sc1e-1', '-'))),
    (_celeba((ACCURACY,)),),
    (*NOTES, 'A curve: printed is the best, at 0.01; larger weights are worse. Table 1 has 78.72 for the baseline. The other '
     'weights are ours.'),
    parser=True)

FIGURE4 = Table(
    'secgan.figure4', 'Accuracy of each attribute', 'Figure 4',
    tuple(Row(row, name, f'secgan.{recipe}', small=f'secgan.{recipe.replace("paper", "toyfaces")}', also=('celeba',), notes=(5, 8))
          for row, name, recipe in (('stargan', 'StarGAN', 'stargan_paper_sc0'), ('stargan+secgan', 'SeCGAN on StarGAN', 'stargan_paper'),
                                    ('attgan', 'AttGAN', 'attgan_paper_sc0'), ('attgan+secgan', 'SeCGAN on AttGAN', 'attgan_paper'))),
    (_celeba(tuple(Column(name, 'edit_accuracy', unit='%', row=name, factor=100, notes=(1,)) for name in THIRTEEN)),),
    (*NOTES, 'A chart of bars without numbers.'), parser=True)

TABLES = (TABLE1, FIGURE3, FIGURE4)
