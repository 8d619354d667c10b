"""The metric card: what was measured, on what, by whom, and how surely. `card.json`; `retouch evaluate --json` prints it."""
from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationError

from retouch.config import Config
from retouch.errors import one_line
from retouch.metrics import bootstrap
from retouch.metrics.bootstrap import Tally
from retouch.model import write_atomically


class About(NamedTuple):
    """How to read a measure."""

    unit: str
    better: Literal['higher', 'lower', 'neither']
    text: str


MEASURES: dict[str, About] = {
    'edit_accuracy': About('share', 'higher', 'edits that the judge reads as asked; mean over attributes'),
    'arrived': About('share', 'higher', 'edits that are less than half as far (root mean square) from the true result as the input is; '
                                        'mean over directions'),
    'leakage': About('share', 'lower', 'attributes nobody asked about that read otherwise than in the true result; mean over attributes'),
    'psnr_outside': About('dB', 'higher', 'output against input outside the true region; squared error pooled over all pictures'),
    'psnr_outside_per_image': About('dB', 'higher', 'the same for every picture, then the mean (pictures without any error left out)'),
    'psnr_inside': About('dB', 'higher', 'output against the true result inside the true region; pooled'),
    'psnr_inside_per_image': About('dB', 'higher', 'the same for every picture, then the mean'),
    'psnr_truth': About('dB', 'higher', 'output against the true result, whole frame; pooled'),
    'psnr_truth_per_image': About('dB', 'higher', 'the same for every picture, then the mean'),
    'mse_truth': About('squared 8-bit levels', 'lower', 'output against the true result, whole frame; pooled'),
    'psnr_whole': About('dB', 'neither', 'output against input, whole frame; pooled: how much was changed, not how well'),
    'ssim_outside': About('', 'higher', 'structural similarity of output and input, averaged outside the true region'),
    'mask_iou': About('', 'higher', 'mask > 0.5 against the true region, pictures with a region'),
    'mask_area': About('share', 'neither', 'mean mask value: the share of the frame that may change'),
    'pointing_game': About('share', 'higher', 'masks whose maximum lies in the true region'),
    'mask_iou_exemplar': About('', 'higher', "the exemplar's mask > 0.5 against its own true region"),
    'mask_area_exemplar': About('share', 'neither', "mean value of the exemplar's mask: the share of it that gives its style"),
    'pointing_game_exemplar': About('share', 'higher', "exemplar's masks whose maximum lies in its true region"),
    'style_distance': About('8-bit levels', 'lower', 'mean colour of the hair on the head, output against exemplar: distance in RGB'),
    'untouched': About('share', 'higher', 'pixels that are byte-identical to the input'),
    'untouched_outside_mask': About('share', 'higher', 'pixels with mask <= 0.5 that are byte-identical to the input'),
    'fid': About('', 'lower', 'Frechet distance between held-out pictures (of two domains: the target) and the edits of all attributes'),
    'fid_per_task': About('', 'lower', 'Frechet distance between held-out pictures and the edits of one attribute; mean over attributes'),
    'fid_per_task_std': About('', 'neither', 'standard deviation of that distance over attributes'),
    'kid': About('', 'lower', 'kernel distance (unbiased) between held-out pictures (of two domains: the target) and the edits of all '
                              'attributes'),
    'kid_fused': About('', 'lower', 'mean of the kernel distances of the edits to the target and to the source domain'),
    'kid_pooled': About('', 'lower', 'kernel distance of the edits to target and source pooled half and half: the other reading of fused'),
    'kid_subset_std': About('', 'neither', 'standard deviation of the kernel distance over its subsets'),
    'kid_fused_subset_std': About('', 'neither', 'standard deviation over subsets of the mean of both kernel distances'),
    'kid_pooled_subset_std': About('', 'neither', 'standard deviation over subsets of the kernel distance to both sets pooled'),
    'inception_score': About('', 'higher', 'Inception score of the edits'),
    'inception_score_split_std': About('', 'neither', 'standard deviation of the Inception score over ten splits'),
    'inception_kl_split_std': About('nats', 'neither', 'standard deviation of its logarithm over ten splits'),
    'lpips_outside': About('', 'lower', 'perceptual distance (LPIPS) of output and input, with the input inside the true region'),
    'lpips_truth': About('', 'lower', 'perceptual distance (LPIPS) of output and true result'),
    'lpips_whole': About('', 'neither', 'perceptual distance (LPIPS) of output and input: how much was changed, not how well'),
    'inception_kl': About('nats', 'higher', 'logarithm of the Inception score: mean divergence of an edit from the mean reading'),
    'inception_kl_std': About('nats', 'neither', 'standard deviation of that divergence over the edits'),
    'precision': About('share', 'higher', 'edits that lie among held-out pictures'),
    'recall': About('share', 'higher', 'held-out pictures that lie among edits'),
    'ssim_truth': About('', 'higher', 'structural similarity of output and true result, whole frame'),
    'fcn_pixel_accuracy': About('share', 'higher', 'pixels whose class in the output is the true one; pooled'),
    'fcn_class_accuracy': About('share', 'higher', 'the same of every class that occurs, then the mean'),
    'fcn_iou': About('share', 'higher', 'pixels of a class in both output and truth, of those in either; mean over classes that occur'),
    'accuracy': About('share', 'higher', 'labels that the classifier reads right; mean over attributes'),
    'psnr_outside[parser]': About('dB', 'higher', 'output against input outside the parts of the face that the edit names, by a parse of '
                                                  'the input; pooled'),
    'psnr_outside_per_image[parser]': About('dB', 'higher', 'the same for every picture, then the mean; mean over attributes'),
    'psnr_outside_per_image[parser,union]': About('dB', 'higher', 'the same, outside those parts in the parses of input and output'),
    'psnr_outside_per_image[parser,zero_fill]': About('dB', 'higher', 'the same by a parse of the input, the error divided by the whole '
                                                                      'frame'),
}


def about(name: str) -> About:
    """How to read a measure; a proxy `fid[extractor]` reads as `fid`, with the extractor named, `mask_iou[gradcam]` as `mask_iou`."""
    if name in MEASURES:
        return MEASURES[name]
    base, _, source = name.partition('[')
    found = MEASURES.get(base, About('', 'neither', ''))
    if source == 'gradcam]':
        return found._replace(text=f"{found.text}; of the discriminator's Grad-CAM, which explains and confines nothing")
    return found._replace(text=f'{found.text}; features of {source[:-1]}') if source else found


class Measure(Config):
    """A value and its 95 % bootstrap interval; null where it is infinite, undefined or not estimated."""

    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ''
    per_attribute: dict[str, float | None] | None = None


class CardData(Config):
    """What was scored on."""

    source: str
    """'toyfaces' or a folder."""
    split: str = 'held-out'
    """Pictures that training never saw."""
    hash: str
    """Of the drawing code, or of a folder's pictures and labels."""
    size: int
    """Side in pixels at which pictures were compared."""
    attributes: tuple[str, ...]
    """Edited attributes, or read ones for a classifier."""
    rule: str | None = None
    """Label rule that turned an edit into a target."""
    first_index: int | None = None
    """Index of the first drawn face."""
    region_area: dict[str, float] | None = None
    """Mean share of the frame that the true edit changes, by attribute."""
    count: dict[str, int] | None = None
    """Pictures edited, by attribute."""


class Checkpoint(Config):
    """Which weights were scored: always the last ones, never the best on the test."""

    rule: str
    name: str | None = None
    sha256: str | None = None
    iteration: int | None = None


class LeakageMatrix(Config):
    """How often an attribute's reading differs from that of the true result; the edited one's own entry is its error."""

    edited: tuple[str, ...]
    judged: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    """[edited, judged]"""


class JudgeFacts(Config):
    """The classifier whose readings stand in the card."""

    sha256: str
    mean_accuracy: float | None = None
    per_attribute: dict[str, float | None] | None = None
    n: int | None = None


class PaperColumn(Config):
    """A number as a paper prints it: where it stands among a card's measures."""

    name: str
    measure: str | None = None
    """Null: not measured."""
    rows: tuple[str, ...] = ()
    """The rows of the measure that it is the mean of; none: its value."""
    std: str | None = None
    """The measure that follows ±."""
    factor: float = 1.0
    note: str = ''


class Card(Config):
    """One evaluation."""

    protocol: str
    data: CardData
    n: int
    """Identities (drawn faces) or pictures."""
    seed: int
    checkpoint: Checkpoint
    hardware: str
    versions: dict[str, str]
    command: str = ''
    measures: dict[str, Measure]
    references: dict[str, dict[str, Measure]] = {}
    """The same measures of 'copy' (output = input), 'truth' (output = true result) and, if given, 'untrained'."""
    leakage_matrix: LeakageMatrix | None = None
    judge: JudgeFacts | None = None
    extractors: dict[str, str] = {}
    """Feature extractor -> sha256 of its weights."""
    paper: str | None = None
    """Whose numbers were asked for."""
    paper_columns: tuple[PaperColumn, ...] = ()
    """Those numbers, in the paper's order."""
    differs: tuple[str, ...] = ()
    """What keeps them from being comparable with the paper's."""

    def write(self, path: str | Path) -> None:
        """Writes card.json atomically."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Path(path), self.encode())

    def encode(self) -> bytes:
        """The bytes of card.json."""
        return (json.dumps(self.model_dump(mode='json'), indent=2, allow_nan=False) + '\n').encode()

    @classmethod
    def read(cls, path: str | Path) -> Card:
        """Reads card.json. Raises ValueError if it is missing or not a card."""
        try:
            return cls.model_validate_json(Path(path).read_bytes())
        except OSError as error:
            raise ValueError(f'{path} cannot be read ({error.strerror}): expected a metric card; `retouch evaluate` writes one') from error
        except ValidationError as error:
            raise ValueError(f'{path} is no metric card ({one_line(error)}); write it again with `retouch evaluate`') from error


def tally_to_measure(name: str, tally: Tally, attributes: tuple[str, ...], seed: int = 0) -> Measure:
    """Value, interval and value per attribute of one measure. `name` decides the unit."""
    low, high = bootstrap.tally_to_interval(tally, seed)
    per_attribute = dict(zip(attributes, bootstrap.tally_to_values(tally), strict=True))
    return Measure(value=bootstrap.tally_to_value(tally), low=low, high=high, unit=about(name).unit, per_attribute=per_attribute)


class Comparison(Config):
    """Models beside each other, with the reference rows of the first card."""

    measures: tuple[str, ...]
    rows: dict[str, dict[str, Measure]]
    differences: dict[str, dict[str, Measure]] = {}
    """Model -> measure -> its value less the first model's, with the interval of that difference on the same pictures (paired bootstrap);
    of measures whose sums are known for both and which both have."""

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows as text: name, then `value [low, high]` for every measure."""
        return (['model', *self.measures],
                [[name, *(measure_to_text(row.get(m)) for m in self.measures)] for name, row in self.rows.items()])

    def difference_cells(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows as text: name, then `difference [low, high]` for every measure that has one, with * where that leaves out 0."""
        names = [m for m in self.measures if any(m in found for found in self.differences.values())]
        return (['less the first model', *names],
                [[name, *(difference_to_text(found.get(m)) for m in names)] for name, found in self.differences.items()])

    def markdown(self) -> str:
        """The table as GitHub markdown; a second one of the differences, if there are any."""
        tables = [self.cells(), *([self.difference_cells()] if self.differences else [])]
        return '\n'.join(''.join(f'| {" | ".join(line)} |\n' for line in (header, ['---'] + ['---:'] * (len(header) - 1), *rows))
                         for header, rows in tables)


def number(value: float | None) -> str:
    """A number at three or four digits."""
    if value is None:
        return '–'
    return f'{value:.3g}' if abs(value) < 1 else f'{value:.2f}' if abs(value) < 1000 else f'{value:.0f}'


def measure_to_text(measure: Measure | None) -> str:
    """`value [low, high]`, or a dash."""
    if measure is None or measure.value is None:
        return '–'
    interval = '' if measure.low is None and measure.high is None else f' [{number(measure.low)}, {number(measure.high)}]'
    return number(measure.value) + interval


def difference_to_text(measure: Measure | None) -> str:
    """`+value [low, high]`, with * where the interval leaves out 0; or a dash."""
    if measure is None or measure.value is None:
        return '–'
    sure = (measure.low is not None and measure.low > 0) or (measure.high is not None and measure.high < 0)
    return f'{"+" if measure.value > 0 else ""}{measure_to_text(measure)}{" *" if sure else ""}'


def compare(cards: Mapping[str, Card], tallies: Mapping[str, Mapping[str, Tally]] | None = None) -> Comparison:
    """One table from cards of one protocol.

    Args:
        cards: name -> card, in the order of the rows.
        tallies: name -> measure -> the sums behind it, of those cards where they are known (see `tallies.read_tallies`).

    Returns:
        the values, and for every measure whose sums are known for both the difference to the first model.

    Raises:
        ValueError: no card, or cards that differ in protocol, data, split, n, seed, judge, attributes or a shared extractor, with both.
    """
    if not cards:
        raise ValueError('no card to compare: expected at least one evaluated model; run `retouch evaluate` first')
    first_name, first = next(iter(cards.items()))

    def facts(card: Card) -> dict[str, object]:
        # a folder may be spelt in many ways: the hash of its pictures decides
        source = card.data.source if card.data.source == 'toyfaces' else 'a folder'
        return {'protocol': card.protocol, 'data source': source, 'split': card.data.split, 'data hash': card.data.hash,
                'picture size': card.data.size,
                'label rule': card.data.rule, 'attributes': list(card.data.attributes), 'n': card.n, 'seed': card.seed,
                'judge': card.judge.sha256 if card.judge else None}

    expected = facts(first)
    extractors: dict[str, tuple[str, str]] = {}                  # extractor -> its hash and the first card that used it
    for name, card in cards.items():
        for what, value in facts(card).items():
            if value != expected[what]:
                raise ValueError(f'{name} has {what} {value}, {first_name} has {expected[what]}: cards compare only under one protocol; '
                                 'evaluate both the same way')
        for extractor, digest in card.extractors.items():
            known, user = extractors.setdefault(extractor, (digest, name))
            if digest != known:
                raise ValueError(f'{name} has extractor {extractor} {digest[:12]}, {user} has {known[:12]}: cards compare only under one '
                                 'protocol; evaluate both the same way')
    rows = {name: card.measures for name, card in cards.items()}
    for name in ('copy', 'truth'):
        if name in first.references:
            rows[f'{name} (reference)' if name in cards else name] = first.references[name]
    names = dict.fromkeys(measure for row in rows.values() for measure in row)
    sums = dict(tallies or {})
    base, differences = sums.get(first_name, {}), dict[str, dict[str, Measure]]()
    for name in list(cards)[1:]:
        found = {measure: bootstrap.tallies_to_difference(base[measure], sums[name][measure], first.seed)
                 for measure in base if measure in sums.get(name, {})}
        measured = {measure: Measure(value=value, low=low, high=high, unit=about(measure).unit)
                    for measure, (value, low, high) in found.items() if value is not None}
        if measured:
            differences[name] = measured
    return Comparison(measures=tuple(names), rows=rows, differences=differences)
