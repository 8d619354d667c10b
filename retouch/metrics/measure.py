"""A measure: its value and interval, how it is read, and how it is written."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from retouch.config import Config
from retouch.metrics import bootstrap
from retouch.metrics.bootstrap import Tally


class About(NamedTuple):
    """How to read a measure."""

    unit: str
    better: Literal['higher', 'lower', 'neither']
    text: str


MEASURES: dict[str, About] = {
    'edit_accuracy': About('share', 'higher', 'edits that the judge reads as asked; mean over attributes'),
    'joint_accuracy': About('share', 'higher', 'outputs in which the judge reads every transferred attribute as in the exemplar at once'),
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
    'psnr_boundary': About('dB', 'higher', "output against the true result within 8 px of the true region's edge; pooled"),
    'leftovers': About('share', 'lower', 'pixels of the true region that moved by less than a quarter of the true change; pooled'),
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
    'untouched_outside': About('share', 'higher', 'pixels outside the region that are byte-identical to the input; pooled'),
    'changed': About('share', 'neither', 'pixels that moved by more than 8 levels in some channel: how much was changed, not how well'),
    'changed_outside': About('share', 'lower', 'pixels outside the region that moved by more than 8 levels in some channel; pooled'),
    'psnr_changed': About('dB', 'neither', 'output against input inside the region; pooled: how much was changed there, not how well'),
    'ssim_whole': About('', 'neither', 'structural similarity of output and input, whole frame: how much was changed, not how well'),
    'ssim_changed': About('', 'neither', 'structural similarity of output and input inside the region: how much was changed there'),
    'ssim_inside': About('', 'higher', 'structural similarity of output and true result inside the true region'),
    'lpips_changed': About('', 'neither', 'perceptual distance (LPIPS) of output and input, with the input outside the region'),
    'lpips_inside': About('', 'lower', 'perceptual distance (LPIPS) of output and true result, with the true result outside the region'),
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
    'diversity': About('8-bit levels', 'neither', 'mean distance of two answers to one picture by two draws: how many answers there are, '
                                                  'not how good'),
    'lpips_diversity': About('', 'neither', 'perceptual distance (LPIPS) of two answers to one picture by two draws'),
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
    if source.startswith('step '):
        return found._replace(text=f'{found.text}; the answer of {source[:-1]}')
    return found._replace(text=f'{found.text}; features of {source[:-1]}') if source else found


class Measure(Config):
    """A value and its 95 % bootstrap interval; null where it is infinite, undefined or not estimated. `note` says why, or what to think of
    the value."""

    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ''
    per_attribute: dict[str, float | None] | None = None
    note: str = ''


def tally_to_measure(name: str, tally: Tally, attributes: tuple[str, ...], seed: int = 0) -> Measure:
    """Value, interval and value per attribute of one measure. `name` decides the unit."""
    low, high = bootstrap.tally_to_interval(tally, seed)
    per_attribute = dict(zip(attributes, bootstrap.tally_to_values(tally), strict=True))
    return Measure(value=bootstrap.tally_to_value(tally), low=low, high=high, unit=about(name).unit, per_attribute=per_attribute)


def number(value: float | None) -> str:
    """A number at three or four digits."""
    if value is None:
        return '–'
    return f'{value:.3g}' if abs(value) < 1 else f'{value:.2f}' if abs(value) < 1000 else f'{value:.0f}'


def measure_to_text(measure: Measure | None) -> str:
    """`value [low, high]`, or why there is none, or a dash."""
    if measure is None or measure.value is None:
        return measure.note if measure is not None and measure.note else '–'
    interval = '' if measure.low is None and measure.high is None else f' [{number(measure.low)}, {number(measure.high)}]'
    return number(measure.value) + interval


def notes_of(measures: Mapping[str, Measure]) -> list[str]:
    """`names: note` for the values of which something is to be said, a line for each note."""
    named: dict[str, list[str]] = {}
    for name, measure in measures.items():
        if measure.note and measure.value is not None:
            named.setdefault(measure.note, []).append(name)
    return [f'{", ".join(names)}: {note}' for note, names in named.items()]


def difference_to_text(measure: Measure | None) -> str:
    """`+value [low, high]`, with * where the interval leaves out 0; or a dash."""
    if measure is None or measure.value is None:
        return '–'
    sure = (measure.low is not None and measure.low > 0) or (measure.high is not None and measure.high < 0)
    return f'{"+" if measure.value > 0 else ""}{measure_to_text(measure)}{" *" if sure else ""}'
