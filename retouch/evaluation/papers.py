"""The five papers' evaluations: which measures stand for the numbers of their tables, under the papers' names, and what differs.

A table and how to read it. Every number is measured elsewhere, and stands in a card once: a column only points at it.
"""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from retouch.data.layouts import recognise
from retouch.evaluation.card import Card, PaperColumn
from retouch.metrics.measure import Measure, measure_to_text, number
from retouch.toyfaces import THIRTEEN

Family = Literal['attributes', 'domains', 'pairs', 'exemplars']
EACH = '*'                # every row that a measure has, an edit or a direction, and not its mean
JUDGE = '{judge}'         # the name under which the card's classifier stands in its measures
COLOURS = ('Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Pale_Skin')
STUDY = 'asked of people, with `retouch evaluate --study`'
REAL = 'asked of people, with `retouch evaluate --study real`: real or made, one picture at a time'


class Column(NamedTuple):
    """A number as a paper prints it."""

    name: str
    measure: str = ''                   # of a card; empty: not measured, `note` says why
    std: str = ''                       # the measure that follows ±
    factor: float = 1.0
    of: tuple[str, ...] = ()            # its rows that are printed one by one, and then their mean; EACH: all, without a mean
    proxy: str = ''                     # the measure that stands in for it with --proxy
    proxy_std: str = ''
    note: str = ''
    several: bool = False               # only of a measure that has several rows


class Paper(NamedTuple):
    """An evaluation: what each kind of system is measured by, with what, and how that is not what the paper did."""

    data: str
    n: int | None                                   # pictures; None: the paper does not say
    sizes: tuple[int, ...]
    columns: dict[Family, tuple[Column, ...]]
    differs: dict[Family, tuple[str, ...]]
    features: dict[Family, tuple[str, ...]] = {}
    parser: bool = False                            # of attribute models: PSNR outside parts of a face
    attributes: tuple[str, ...] = ()
    classifier: str = ''


INCEPTION, TORCHVISION, SWAV = 'inception-v3-compat', 'inception-v3-torchvision', 'swav-resnet50'
AMT = Column('AMT %', note=REAL)
TRUTH = (Column('PSNR', 'psnr_truth_per_image', note='mean over pictures, of 8-bit levels'), Column('MSE', 'mse_truth'),
         Column('PSNR of that MSE (not in the paper)', 'psnr_truth'))
# each direction by itself, with which a system of one direction compares, and both
DIRECTED = tuple(one for column in TRUTH for one in (column._replace(of=(EACH,)), column._replace(name=f'{column.name}, both directions',
                                                                                                  several=True)))
AGGAN_DIFFERS = ('PSNR: of every picture, then the mean, the only way in which PSNR and MSE of the paper fit together; pictures without '
                 'any error are left out',)

PAPERS: dict[str, Paper] = {
    # Kim, Khan, Choo. Not just Compete, but Collaborate. ICCV 2021
    'cam': Paper(
        data='2,000 photographs of CelebA', n=2000, sizes=(128,), attributes=THIRTEEN, parser=True, features={'attributes': (INCEPTION,)},
        columns={'attributes': (
            Column('FID', f'fid_per_task[{INCEPTION}]', f'fid_per_task_std[{INCEPTION}]', proxy=f'fid_per_task[{JUDGE}]',
                   proxy_std=f'fid_per_task_std[{JUDGE}]', note='mean and standard deviation over edits'),
            Column('PSNR', 'psnr_outside_per_image[parser]', of=COLOURS, proxy='psnr_outside_per_image'),
            Column('editing accuracy (not in the paper)', 'edit_accuracy', note='without it a copy of the input wins both'),
            Column('preferred by raters', note=STUDY))},
        differs={'attributes': (
            'FID: the paper does not say which build of Inception; here the one of torch-fidelity, from TensorFlow in 2015',
            'FID: of photographs all are translated in every edit, a hair colour that is there is switched off; of drawn faces hair '
            'colours are switched on and never off, and the pictures in which nothing changes are left out',
            'PSNR: the paper does not say by whose parse it leaves out, nor what it divides by: here that of the input, and the pixels '
            'that are left; other readings are further down in the card',
            'edits: the paper does not say how strong; here as the method edits')}),
    # Lin et al. Attention-Based Spatial Guidance for Image-to-Image Translation. WACV 2021
    'asgit': Paper(
        data='photographs: apples and oranges, horses and zebras, day and night, summer and winter, Cityscapes', n=None, sizes=(128, 256),
        features={'domains': (INCEPTION,)},
        columns={
            'domains': (
                Column('KID x100', f'kid[{INCEPTION}]', f'kid_subset_std[{INCEPTION}]', 100, (EACH,), f'kid[{JUDGE}]',
                       f'kid_subset_std[{JUDGE}]'),
                Column('fused KID x100, mean of both', f'kid_fused[{INCEPTION}]', f'kid_fused_subset_std[{INCEPTION}]', 100, (EACH,),
                       f'kid_fused[{JUDGE}]', f'kid_fused_subset_std[{JUDGE}]', 'first reading'),
                Column('fused KID x100, both sets pooled', f'kid_pooled[{INCEPTION}]', f'kid_pooled_subset_std[{INCEPTION}]', 100, (EACH,),
                       f'kid_pooled[{JUDGE}]', f'kid_pooled_subset_std[{JUDGE}]', 'second reading')),
            'pairs': (Column('per-pixel accuracy', 'fcn_pixel_accuracy'), Column('per-class accuracy', 'fcn_class_accuracy'),
                      Column('class IoU', 'fcn_iou'))},
        differs={
            'domains': ('KID: the paper states no number and size of subsets, nor what follows its ±; here 100 of at most 100 pictures, '
                        'and the standard deviation over them',
                        'fused KID: the paper has no formula; both readings stand here'),
            'pairs': ('parses are read by the nearest colour of their palette; labels of no class do not count',
                      'label maps are resized by nearest neighbour',
                      'photographs made from labels are read by the FCN-8s of pix2pix in the paper; here by a parser of yours, --judge')}),
    # Tang, Xu, Sebe, Yan. Attention-Guided Generative Adversarial Networks for Unsupervised Image-to-Image Translation. IJCNN 2019
    'aggan': Paper(
        data='photographs of AR Face, BU-3DFE and CelebA', n=None, sizes=(256,),
        columns={'domains': (AMT, *DIRECTED), 'pairs': (AMT, *DIRECTED), 'attributes': (AMT, *TRUTH)},
        differs={'domains': AGGAN_DIFFERS, 'pairs': AGGAN_DIFFERS, 'attributes': AGGAN_DIFFERS}),
    # Local Image-to-Image Translation via Pixel-wise Highway Adaptive Instance Normalization. Submitted to ICLR 2019
    'lomit': Paper(
        data='2,000 photographs of CelebA', n=2000, sizes=(128,), classifier='an Inception-v3 fine-tuned on CelebA, not described further',
        columns={'exemplars': (
            Column('IS mean', f'inception_kl[{JUDGE}]', note='before exp: printed ones are below 1, which exp(KL) never is'),
            Column('IS std', f'inception_kl_std[{JUDGE}]', note='over pictures'),
            Column('IS std, other reading', f'inception_kl_split_std[{JUDGE}]', note='over ten splits'),
            Column('CA %', 'edit_accuracy', factor=100, note='mean over attributes'),
            Column('CA %, all attributes right at once', 'joint_accuracy', factor=100,
                   note="the paper's cells of two attributes look joint"),
            Column('IS as usual (not in the paper)', f'inception_score[{JUDGE}]', f'inception_score_split_std[{JUDGE}]', note='exp(KL)'),
            Column('realism, style, background', note=STUDY))},
        differs={'exemplars': (
            'IS: of all combinations of the transferred attributes, taken for independent; the paper does not say of which classes',
            'CA: over the pairs that differ in an attribute, mean over attributes, and of all at once over all pairs; the paper does not '
            'say how it averages')}),
    # Sun et al. SeCGAN: Parallel Conditional Generative Adversarial Networks for Face Editing via Semantic Consistency
    'secgan': Paper(
        data='19,962 photographs of CelebA (HQ: 1,500; RaFD: 504)', n=19_962, sizes=(128, 256), attributes=THIRTEEN,
        features={'attributes': (SWAV, TORCHVISION)},
        classifier='not named; probably the one of recipe classifier.paper, trained at that size',
        columns={'attributes': (
            Column('editing accuracy %', 'edit_accuracy', factor=100, note='mean over edits'),
            Column('ssFID', f'fid_per_task[{SWAV}]', proxy=f'fid_per_task[{JUDGE}]', note='mean over edits'),
            Column('IS', f'inception_score[{TORCHVISION}]', proxy=f'inception_score[{JUDGE}]', note='ten splits'),
            Column("IS by TensorFlow's Inception (not in the paper)", f'inception_score[{INCEPTION}]',
                   note=f'with --features {INCEPTION}'))},
        differs={'attributes': (
            'IS: the paper does not name its Inception; the one of torchvision is a guess from earlier code of an author, which also reads '
            'JPEG files, in another order',
            'edits: of photographs every attribute flips, hair colours too; of drawn faces those are switched on and never off')}),
}


def measures_of(name: str, asked: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Extractor -> the measures by which a paper's columns come about; those that are asked for besides are not among them.

    So SeCGAN's 247,000 edits have no precision and recall, which would take 40 GB and hours.
    """
    found: dict[str, set[str]] = {}
    for columns in PAPERS[name].columns.values():
        for measure in (m for column in columns for m in (column.measure, column.std) if m.endswith(']')):
            base, _, by = measure.rstrip(']').partition('[')
            needed = ({'fid'} if base.startswith('fid') else {'kid', 'kid_subset_std'} if base.startswith('kid') else
                      {base, f'{base}_split_std'})
            found.setdefault(by, set()).update(needed)
    wanted = {by for some in PAPERS[name].features.values() for by in some}
    return {by: tuple(sorted(measures)) for by, measures in found.items() if by in wanted}


# ---- choosing

def family_of(name: str, method: Any) -> Family:
    """How a paper measures a method. ValueError for one that it has no numbers of."""
    kind: Family = 'exemplars' if name == 'lomit' and getattr(method, 'takes_exemplar', False) else method.kind
    if kind not in PAPERS[name].columns or method.id in ('classifier', 'parser'):
        raise ValueError(f'--protocol {name} does not fit a {method.id}: that paper measures systems trained on '
                         f'{" or ".join(PAPERS[name].columns)}')
    return kind


def protocol_of(name: str, method: Any, source: str) -> str | None:
    """The protocol whose measures a paper needs of a method on a source of data; None: the one that it has anyway.

    Raises:
        ValueError: a method that the paper has no numbers of, or pictures without the partners that its numbers need.
    """
    family = family_of(name, method)
    if family == 'exemplars' and method.kind == 'domains':
        return 'exemplars' if source == 'toyfaces' else 'exemplars_folder'
    if name == 'aggan' and family == 'attributes' and source != 'toyfaces':
        raise ValueError(f'{source} has labels and no partners: --protocol aggan compares with true results; expected --data toyfaces')
    if family != 'domains' or source == 'toyfaces':
        return None
    layout = recognise(source) if Path(source).is_dir() else 'pairs_ab' if name == 'aggan' else 'domains'     # DIR, or A,B
    if layout in ('pairs', 'pairs_ab'):
        return 'pairs'
    if name == 'aggan':
        raise ValueError(f'{source} is laid out as {layout}: --protocol aggan compares with true partners; expected pairs, one folder of '
                         'side-by-side pictures or two folders A,B of equal names')
    return None


# ---- a card under a paper's names

def as_paper(card: Card, name: str, family: Family, proxy: bool = False) -> Card:
    """The same card with a paper's columns and what differs from the paper."""
    paper, by = PAPERS[name], next((by for by in card.extractors if by.endswith('classifier')), '')
    columns: list[PaperColumn] = []
    for column in paper.columns[family]:
        stands_in = proxy and column.proxy != '' and column.measure not in card.measures
        measure, std = (column.proxy, column.proxy_std) if stands_in else (column.measure, column.std)
        measure, std = measure.replace(JUDGE, by), std.replace(JUDGE, by)
        ways = [name for name in card.measures if name.startswith(f'{measure}[to=')]
        if measure and ways:                                     # a measure of each direction
            columns += [PaperColumn(name=f'{column.name} {way[len(measure) + 1:-1]}', measure=way, factor=column.factor, note=column.note)
                        for way in ways]
            continue
        found = card.measures.get(measure)
        if column.several and (found is None or len(found.per_attribute or {}) < 2):
            continue
        rows = tuple((found.per_attribute or {}) if found else ()) if EACH in column.of else column.of
        shown = PaperColumn(name=f'{column.name} (proxy)' if stands_in else column.name, measure=measure or None, std=std or None,
                            factor=column.factor, note=column.note)
        columns += [shown.model_copy(update={'name': f'{shown.name} {row}', 'rows': (row,)}) for row in rows]
        if EACH not in column.of or not rows:
            columns.append(shown.model_copy(update={'name': f'{shown.name}, their mean' if rows else shown.name, 'rows': rows}))
    return card.model_copy(update={'paper': name, 'paper_columns': tuple(columns), 'differs': differences(card, name, family, proxy)})


def differences(card: Card, name: str, family: Family, proxy: bool = False) -> tuple[str, ...]:
    """What keeps a card's numbers from being comparable with those that a paper prints, a sentence each."""
    paper, data = PAPERS[name], card.data
    found = [f'pictures: {"drawn faces" if data.source == "toyfaces" else data.source}; the paper has {paper.data}']
    if card.n != paper.n:
        found.append(f'n: {card.n}; the paper {f"has {paper.n}" if paper.n else "does not say"}')
    if data.size not in paper.sizes:
        found.append(f'size: {data.size} px; the paper has {" and ".join(map(str, paper.sizes))} px')
    if paper.attributes and set(data.attributes) != set(paper.attributes):
        lacks, has = ([k for k in one if k not in other] for one, other in ((paper.attributes, data.attributes),
                                                                            (data.attributes, paper.attributes)))
        found.append('edits: ' + '; '.join(f'{what} {", ".join(some)}' for what, some in (('without', lacks), ('also', has)) if some))
    if card.judge is not None and family in ('attributes', 'exemplars') and name != 'aggan':
        proof = '' if card.judge.mean_accuracy is None else f', right in {card.judge.mean_accuracy:.4f} of labels'
        found.append(f'classifier: {card.judge.sha256[:12]}{proof}; of the paper: {paper.classifier or "none"}')
    if proxy:
        regions = ('', '') if 'parser' in card.extractors or not paper.parser else (', and true regions,', ' and a parser')
        found.append(f'proxies: features and readings of the classifier that judges{regions[0]} stand in for published networks'
                     f'{regions[1]}; no published number compares with theirs')
    return (*found, *paper.differs[family])


def column_to_text(column: PaperColumn, measures: Mapping[str, Measure]) -> str:
    """`value ± std` of one row of a card, or a dash; of several rows of a measure the plain mean of those that there are."""
    def value(name: str | None) -> float | None:
        found = measures.get(name or '')
        if found is None or not column.rows:
            return found.value if found else None
        values = [v for v in ((found.per_attribute or {}).get(row) for row in column.rows) if v is not None]
        return sum(values) / len(values) if values else None

    mean, std = value(column.measure), value(column.std)
    if mean is None:
        return measure_to_text(measures.get(column.measure or '')) if not column.rows else '–'
    return number(mean * column.factor) + ('' if std is None else f' ± {number(std * column.factor)}')
