"""LOMIT (Local Image-to-Image Translation via Pixel-wise Highway Adaptive Instance Normalization, 2018): Table 1 and figures."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retouch.papers.table import ASKED, JUDGE, Column, Part, Row, Table

IS = Column('IS mean', f'inception_kl[{JUDGE}]', 'neither', digits=4, notes=(1,))
STD = Column('IS std', f'inception_kl_std[{JUDGE}]', 'neither', digits=2, notes=(1,))
CA = Column('CA', 'edit_accuracy', unit='%', factor=100, digits=1, notes=(2,))
BOTH = Column('CA, both at once', 'joint_accuracy', unit='%', factor=100, digits=1, notes=(2,))
# part -> title, attributes of LOMIT's model, the domains of two-domain systems
ATTRIBUTES: dict[str, tuple[str, tuple[str, ...], str]] = {
    'facial_hair': ('Facial hair', ('Facial_Hair',), 'Facial_Hair'),
    'gender': ('Gender', ('Male',), 'Male'),
    'lipstick': ('Lipstick', ('Wearing_Lipstick',), 'Wearing_Lipstick'),
    'facial_hair_gender': ('Facial hair and gender', ('Facial_Hair', 'Male'), 'Facial_Hair+Male'),
    'makeup_lipstick': ('Make-up and lipstick', ('Heavy_Makeup', 'Wearing_Lipstick'), 'Heavy_Makeup+Wearing_Lipstick'),
}
SPLIT = 'the last 2,000 of list_attr_celeba.txt are scored'
NOTES = (
    'IS: printed ones are below 1, which exp(KL) never is; here the KL itself and its deviation over pictures, of all combinations of the '
    'transferred attributes. Of which classes and over what the paper takes it, it does not say.',
    'CA: by a classifier of ours, trained on the same pictures but the scored ones; the paper has an Inception-v3 fine-tuned on CelebA, '
    'not described further. Over the pairs that differ in an attribute, mean over attributes; beside it all at once over all pairs, since '
    'the printed cells of two attributes look joint.',
    'Split: the paper has 2,000 at random, its code the first 1,999 rows; here the last 2,000.',
    'A model for each set of attributes, as the paper has it. Facial hair is a beard, a goatee or a moustache.',
    "MUNIT and DRIT in their authors' settings at 128 px, on the two domains that lack and have what is named; the same crop of 178 px "
    'for all three.',
    'lambda_2 of R_2 is 0.01 in the text and 0 in the released configuration; `lomit.code` is the code (docs/methods/lomit.md).',
)


def _part(key: str, columns: tuple[Column, ...], notes: tuple[int, ...] = (3, 4)) -> Part:
    title, names, domains = ATTRIBUTES[key]
    changes: dict[str, Mapping[str, Any]] = {
        '': {'data.holdout': 2000, 'data.size': 128, 'data.crop': 178},
        'exemplars': {'data.attributes': names, 'data.any_of': ()},
        'domains': {'data.attribute': domains, 'data.load_size': None}}
    if CA in columns and len(names) > 1:                          # the printed cells of two attributes look joint
        columns = (*columns, BOTH)
    return Part(key, title, columns, 'celeba', SPLIT, changes, test=2000, n=2000, direction='from a picture to the look of another one',
                judge='classifier.paper', notes=notes)


def _rows(drit: Mapping[str, str], munit: Mapping[str, str], lomit: Mapping[str, str]) -> tuple[Row, ...]:
    return (Row('drit', 'DRIT', 'drit.celeba', small='drit.toyfaces_hair', printed=drit, notes=(5,)),
            Row('munit', 'MUNIT', 'munit.celeba', small='munit.toyfaces_hair', printed=munit, notes=(5,)),
            Row('lomit', 'LOMIT', 'lomit.paper', small='lomit.toyfaces_hair', printed=lomit, notes=(6,)))


def _printed(*found: str) -> dict[str, str]:
    return {key: text + ' -' * (len(ATTRIBUTES[key][1]) > 1) for key, text in zip(ATTRIBUTES, found, strict=True)}


TABLE1 = Table(
    'lomit.table1', 'Inception score and accuracy of a classifier', 'Table 1',
    _rows(_printed('.3295 .24 23.8', '.2703 .21 21.1', '.2685 .20 19.9', '.3805 .24 14.3', '.2853 .21 16.1'),
          _printed('.2808 .25 60.0', '.1368 .19 53.0', '.1751 .20 57.1', '.1972 .25 34.9', '.2472 .24 27.3'),
          _printed('.3105 .27 71.4', '.2348 .22 83.9', '.2528 .20 73.7', '.2069 .23 68.1', '.2834 .22 72.8')),
    tuple(_part(key, (IS, STD, CA)) for key in ATTRIBUTES), NOTES)

ONE = 'makeup_lipstick'
PEOPLE = (*NOTES, 'Raters cannot be had again: `retouch evaluate --study` writes the page, `retouch study` counts the answers. On which '
          'attributes the paper asked could not be read.')


def _asked(names: dict[str, str], notes: tuple[int, ...] = (7,)) -> tuple[Column, ...]:
    return tuple(Column(name, ASKED, asks=asks, unit='%', digits=1, notes=notes) for name, asks in names.items())


FIGURE7 = Table('lomit.figure7', 'How often a translation was taken for the real picture', 'Figure 7',
                _rows({ONE: '12.3'}, {ONE: '11.5'}, {ONE: '25.6'}), (_part(ONE, _asked({'realism': 'copy --question realism'})),), PEOPLE,
                kind='study')
QUESTIONS = Table(
    'lomit.questions', 'Whose style is nearer (Q1), whose background is kept better (Q2)', 'Questions 1 and 2',
    (Row('lomit', 'LOMIT', 'lomit.paper', small='lomit.toyfaces_hair', printed={ONE: '67.7 66.3 95.7 96.7'}, notes=(6,)),
     Row('other', 'the other system', 'munit.celeba', small='munit.toyfaces_hair', printed={ONE: '32.3 33.7 4.3 3.2'}, notes=(5, 8))),
    (_part(ONE, _asked({'Q1, first row': 'other --question style', 'Q1, second row': 'other --question style',
                        'Q2, first row': 'other --question background', 'Q2, second row': 'other --question background'}, (7, 8))),),
    (*PEOPLE, "Which row is DRIT's and which MUNIT's cannot be read from the text; the last adds up to 99.9."), kind='study')


def _pictures(id: str, what: str, title: str, key: str, note: str) -> Table:
    return Table(f'lomit.{id}', title, what, (Row('lomit', 'LOMIT', 'lomit.paper', small='lomit.toyfaces', also=(key,), notes=(6,)),),
                 (_part(key, (CA,)),), (*NOTES, note), kind='pictures')


FIGURE4 = _pictures('figure4', 'Figure 4', 'One attribute of several, by taking the others out of both masks', 'facial_hair_gender',
                    'A figure: pictures, no numbers. The masks are painted by true regions where there are some (drawn faces).')
FIGURE6 = _pictures('figure6', 'Figure 6', 'Where content and style codes lie', ONE,
                    'A figure: points, no numbers; which pooling of the content is not stated.')
UNITS = tuple(f'AU{number}' for number in (1, 2, 4, 5, 6, 9, 12, 17, 20, 25, 26, 43))
EMOTIONET = Table(
    'lomit.emotionet', 'Action units of EmotioNet', 'Action units',
    (Row('lomit', 'LOMIT', 'lomit.paper', small='lomit.toyfaces', also=('emotionet',), notes=(6,)),),
    (Part('emotionet', 'EmotioNet', (CA,), 'emotionet', 'the last 2,000 of the list are scored, 200,000 learned from',
          {'': {'data.holdout': 2000, 'data.size': 128, 'data.crop': None, 'data.attributes': UNITS}, 'exemplars': {'data.any_of': ()}},
          200_000, 2000, 2000, 'from a picture to the look of another one', 'classifier.paper'),),
    (*NOTES, 'A figure: pictures, no numbers. The paper cuts faces with face_recognition before it trains; here pictures are taken as they '
     'are. Its loader was not released.'), kind='pictures')

TABLES = (TABLE1, FIGURE4, FIGURE6, FIGURE7, QUESTIONS, EMOTIONET)
