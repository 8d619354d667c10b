"""Protocol `edits`: pictures before and after, whoever edited them, and whatever is known beside: masks, regions, true results.

The measures are those of the other protocols where they have the same name; what each needs:

before and after alone   untouched, changed, psnr_whole, ssim_whole, lpips_whole
masks of the tool        mask_area, untouched_outside_mask
regions                  untouched_outside, changed_outside, psnr_outside, ssim_outside, lpips_outside, psnr_changed, ssim_changed,
                         lpips_changed; with masks mask_iou, pointing_game
true results             psnr_truth, mse_truth, arrived; with regions psnr_inside, ssim_inside, lpips_inside
a judge and the edit     edit_accuracy, leakage and, with real pictures, Frechet and kernel distances of its features
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from retouch.data.labels import apply_edits
from retouch.engine.update import Translation
from retouch.evaluation.card import Card, CardData, Checkpoint, LeakageMatrix
from retouch.evaluation.folders import (
    FolderPictures,
    check_sizes,
    folders_to_hash,
    names_in,
    partners,
    read_region,
    read_seen,
    read_values,
)
from retouch.evaluation.judge import Judge
from retouch.evaluation.looks import look_at_all
from retouch.evaluation.provenance import versions
from retouch.evaluation.scoring import Found, More, Task, against_region, against_truth, pictures_to_tensor, score
from retouch.evaluation.tasks import RULE, Progress, counting
from retouch.hardware import hardware
from retouch.metrics import fidelity, psnr, ssim
from retouch.metrics.bootstrap import Tally
from retouch.metrics.distances import edits_to_distances
from retouch.metrics.features import JUDGE, LPIPS, images_to_lpips, open_features
from retouch.metrics.measure import Measure, tally_to_measure
from retouch.toyfaces.edits import pictures_to_regions

LEAST_PX = 11            # SSIM's window
MOVED = 8                # levels in some channel: what encoding a picture anew does not do to most pixels
LOSSY = ('.jpg', '.jpeg', '.webp', '.avif', '.jp2')


@dataclass(frozen=True)
class Given:
    """The folders, matched."""

    names: tuple[str, ...]
    before: FolderPictures               # uint8 [n,H,W,3] each; all of one size only if `size` says so
    after: FolderPictures
    masks: FolderPictures | None         # float32 [n,H,W] in [0,1]
    regions: FolderPictures | None       # bool [n,H,W]
    truth: FolderPictures | None
    real: FolderPictures | None          # of any number and size
    sizes: tuple[tuple[int, int], ...]   # width and height of each
    notes: tuple[str, ...]

    @property
    def one_size(self) -> bool:
        return len(set(self.sizes)) == 1


@dataclass(frozen=True)
class FramedJudge(Judge):
    """A judge of pictures of any shape: of each it sees what its training would have cut from it."""

    def look(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """As of `Judge`, of whole pictures [N,3,H,W]."""
        left, top, w, h = self.model.data.frame.nearest(image.shape[3], image.shape[2])[0]
        return super().look(image[..., top:top + h, left:left + w])


class _Nobody:
    """Reads nothing, where there is no judge."""

    names, exclusive = (), False

    def look(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(len(image), 0, dtype=torch.bool), torch.zeros(len(image), 0)


def match_folders(before: Path, after: Path, *, masks: Path | None = None, regions: Path | None = None, truth: Path | None = None,
                  real: Path | None = None, n: int | None = None) -> Given:
    """Finds what belongs together by name, whatever the suffixes, and compares sizes.

    Args:
        before: the pictures that were edited.
        after: the edits; what `retouch edit` writes beside them is no edit.
        masks: where a tool says that it edited, white = 1: NAME.mask or NAME.
        regions: where an edit may show, white inside.
        truth: true results.
        real: real pictures that the edits should look like; of any names, number and size.
        n: the first so many by name; None: all.

    Raises:
        ValueError: a folder without pictures, a name without a partner, pictures of one name and two sizes, fewer than two pictures.
    """
    if n is not None and n < 2:
        raise ValueError(f'--n {n}: expected at least 2 pictures')
    there, notes = names_in(before), list[str]()
    names = list(there)[:n]
    if len(names) < 2:
        raise ValueError(f'{before} holds {len(names)} picture: expected at least 2, since every measure has an interval')
    paths = [there[name] for name in names]

    def matched(folder: Path | None, what: str, read: Callable[[Path], np.ndarray], ending: str = '') -> FolderPictures | None:
        if folder is None:
            return None
        found, unused = partners(names, folder, before, ending)
        if unused and n is None:
            notes.append(f'{len(unused)} pictures of {folder} have none of their name in {before} and are left out: {unused[0]}'
                         + (', …' if len(unused) > 1 else ''))
        check_sizes(paths, found, what)
        return FolderPictures(found, read)

    edits = matched(after, 'an edit', read_seen)
    assert edits is not None
    sizes = check_sizes(paths, paths, '')
    if (least := min(min(size) for size in sizes)) < LEAST_PX:
        raise ValueError(f'{before} holds a picture of {least} px: expected at least {LEAST_PX} px a side')
    lossy = sum(path.suffix.lower() in LOSSY for path in edits.paths)
    if lossy:
        notes.append(f'{lossy} of {len(names)} edits are files of a kind that mostly is lossy: encoding alone changes pixels, which '
                     f'`untouched` counts and `changed` (by more than {MOVED} levels) mostly does not')
    if truth is not None and regions is None:
        notes.append('no --regions: a region is where the true result differs from the picture before by more than 0.1 in [-1,1]')
    if truth is not None and truth.resolve() in (before.resolve(), after.resolve()):
        notes.append(f'{truth} is given as true results too')
    return Given(tuple(names), FolderPictures(paths, read_seen), edits, matched(masks, 'a mask', read_values, '.mask'),
                 matched(regions, 'a region', read_region), matched(truth, 'a true result', read_seen),
                 None if real is None else FolderPictures(list(names_in(real).values()), read_seen), tuple(sizes), tuple(notes))


def score_edits(given: Given, *, edit: tuple[str, int] | None = None, judge: Judge | None = None, features: Sequence[str] = (),
                weights: str | Path | None = None, download: bool = False, seed: int = 0, device: torch.device | str = 'cpu',
                batch_size: int = 64, source: str = '', tool: str = '', command: str = '',
                progress: Progress | None = None) -> tuple[Card, dict[str, Tally]]:
    """The card of edits that lie in folders, with reference rows: `copy` (the picture before) and, if known, `truth`.

    Args:
        given: from `match_folders`.
        edit: what was asked, (attribute, 0 or 1), with a judge.
        judge: a classifier that reads that attribute.
        features: extractors whose measures to add, of `metrics.features.NAMES`.
        weights: folder of their files; None: RETOUCH_WEIGHTS, else torch's hub cache.
        download: fetch files that are missing and have a published digest.
        seed: of the intervals.
        device: where pictures are compared and read.
        batch_size: pictures at once, where all are of one size; otherwise one.
        source: what the card calls the pictures.
        tool: what it calls whoever edited them.
        command: how to repeat this.
        progress: called with (done, total, what is being done).

    Returns:
        the card, and the sums behind its intervals.

    Raises:
        ValueError: an attribute that the judge does not read, an unknown extractor, a file that cannot be read.
    """
    looking, lpips, digests = open_features(features, weights, download, device)
    n, batch_size = len(given.names), batch_size if given.one_size else 1
    task_name = 'edit' if edit is None else f'{edit[0]}={edit[1]}'
    reader: Any = _Nobody() if judge is None else FramedJudge(judge.model, judge.names, judge.card)
    columns = None if edit is None or judge is None else (judge.column(edit[0]),)
    looks = {e.name: e.look for e in looking}
    wanted = expected = None
    if judge is not None and edit is not None:
        step = counting(progress, n, 'reading pictures before')
        read = look_at_all(reader, given.before, {}, batch_size, advance=step)['read']            # type: ignore[arg-type]
        if judge.exclusive:
            wanted = torch.zeros_like(read)
            wanted[:, columns] = bool(edit[1])
        else:
            wanted = apply_edits(read.float(), {edit[0]: edit[1]}, judge.names, RULE)[0] > 0.5
        expected = wanted
        if given.truth is not None:
            step = counting(progress, n, 'reading true results')
            expected = look_at_all(reader, given.truth, {}, batch_size, advance=step)['read']     # type: ignore[arg-type]
    task = Task(task_name, columns, np.arange(n), wanted, lambda x, part: None)
    proxy = 'toyfaces_classifier' if judge is not None and judge.card is not None and judge.card.data.source == 'toyfaces' else 'classifier'
    real = None
    if given.real is not None and (judge is not None or looks):
        step = counting(progress, len(given.real), 'looking at real pictures')
        real = look_at_all(reader, given.real, looks, 1, advance=step)                            # type: ignore[arg-type]

    def measure_row(name: str, pictures: FolderPictures, masks: FolderPictures | None) -> tuple[dict[str, Measure], dict[str, Tally], Any]:
        def answer(task: Task, x: Tensor, part: slice) -> Translation:
            mask = None if masks is None else torch.from_numpy(masks[part].astype(np.float32))[:, None].to(x.device)
            if name == 'copy':
                return Translation(x, torch.zeros_like(x[:, :1]))
            return Translation(pictures_to_tensor(pictures[part], x.device), mask)

        step = counting(progress, n, f'scoring {name}')
        found = score([task], given.before, answer, reader, None if expected is None else [expected], device=device,   # type: ignore[arg-type]
                      batch_size=batch_size, looks=looks, advance=step, more=_measures(given, masks, lpips, name == 'copy'))
        tallies = {key: tally for key, tally in found.tallies.items() if tally.count.any()}
        measures = {key: tally_to_measure(key, tally, (task_name,), seed) for key, tally in tallies.items()}
        if real is not None:
            sets = [(proxy, real['features'], found.features, partial(fidelity.features_to_fidelity, seed=seed),
                     fidelity.SETS if JUDGE in features else ('fid', 'kid'), real['features'].shape[1])] if judge is not None else []
            sets += [(e.name, real[e.name], found.seen[e.name], partial(e.compare, seed=seed), e.measures, real[e.name].shape[1] - e.logits)
                     for e in looking]
            for by, theirs, ours, compare, which, fewest in sets:
                distances = edits_to_distances(theirs, ours, (task_name,), compare, which, fewest=fewest)
                measures |= {f'{key}[{by}]': measure for key, measure in distances.items()}
        return measures, tallies, found.leakage

    compared = {'before': given.before, **{key: some for key, some in (('regions', given.regions), ('truth', given.truth),
                                                                       ('real', given.real)) if some is not None}}
    digest = folders_to_hash(compared, counting(progress, sum(map(len, compared.values())), 'reading pictures'))
    measures, tallies, leakage = measure_row('edits', given.after, given.masks)
    references = {'copy': measure_row('copy', given.before, None)[0]}
    if given.truth is not None:
        references['truth'] = measure_row('truth', given.truth, _regions_of(given))[0]
    areas = None if (regions := _regions_of(given)) is None else float(np.mean([regions[i:i + 1].mean() for i in range(n)]))
    width, height = given.sizes[0]
    data = CardData(source=source or str(given.before.paths[0].parent), split='as given', hash=digest,
                    size=width if given.one_size and width == height else None, attributes=(task_name,),
                    rule=RULE if edit is not None else None, count={task_name: n},
                    region_area=None if areas is None else {task_name: round(areas, 5)})
    matrix = LeakageMatrix(edited=(task_name,), judged=judge.names, values=tuple(map(tuple, leakage))) \
        if judge is not None and expected is not None else None
    card = Card(protocol='edits', data=data, n=n, seed=seed, checkpoint=Checkpoint(rule='edits as they lie in a folder', name=tool or None),
                hardware=hardware(device), versions=versions(), command=command, measures=measures, references=references,
                judge=None if judge is None else judge.facts, leakage_matrix=matrix,
                extractors={**({proxy: judge.sha256} if judge is not None else {}), **digests})
    return card, tallies


class _Derived(FolderPictures):
    """Regions where true results differ from the pictures before."""

    def __init__(self, before: FolderPictures, truth: FolderPictures) -> None:
        super().__init__(before.paths, before.read)
        self.before, self.truth = before, truth

    def __getitem__(self, which: slice | np.ndarray) -> np.ndarray:
        return pictures_to_regions(self.before[which], self.truth[which])


def _regions_of(given: Given) -> FolderPictures | None:
    if given.regions is not None or given.truth is None:
        return given.regions
    return _Derived(given.before, given.truth)


def _measures(given: Given, masks: FolderPictures | None, lpips: nn.Module | None, is_copy: bool) -> More:
    """What `score` adds to its measures of answer and input."""
    regions = _regions_of(given)

    def of(net: nn.Module, name: str, image: Tensor, other: Tensor) -> Found:
        return {f'{name}[{LPIPS}]': (images_to_lpips(net, image, other), None)}

    def more(task: Task, image: Tensor, x: Tensor, part: slice) -> Found:
        nowhere = torch.zeros_like(x[:, :1], dtype=torch.bool)
        moved = (psnr.to_bytes(image).int() - psnr.to_bytes(x).int()).abs().amax(1, keepdim=True)              # [b,1,H,W]
        found: Found = {'changed': _share(moved > MOVED, ~nowhere), 'ssim_whole': ssim.images_to_ssim_outside(image, x, nowhere)}
        if lpips is not None:
            found |= of(lpips, 'lpips_whole', image, x)
        truth = None if given.truth is None else pictures_to_tensor(given.truth[part], x.device)
        if truth is not None:
            found['arrived'] = psnr.images_to_arrived(image, truth, x), None
        if regions is None:
            return found
        region = torch.from_numpy(regions[part]).unsqueeze(1).to(x.device)
        found |= {'untouched_outside': _share(moved == 0, ~region), 'changed_outside': _share(moved > MOVED, ~region)}
        # against itself where no truth is known: what is said of the inside is left out
        compared = against_truth(image, x, x if truth is None else truth, region)
        kept = compared if truth is not None else ('psnr_outside', 'psnr_outside_per_image', 'ssim_outside')
        found |= {name: compared[name] for name in kept}
        error = psnr.squared_error_inside_outside(image, x, region)
        found |= {'psnr_changed': (error.inside, error.inside_count), 'ssim_changed': _ssim_inside(image, x, region)}
        if truth is not None:
            found['ssim_inside'] = _ssim_inside(image, truth, region)
        if lpips is not None:
            found |= of(lpips, 'lpips_outside', torch.where(region, x, image), x)
            found |= of(lpips, 'lpips_changed', torch.where(region, image, x), x)
            found |= {} if truth is None else of(lpips, 'lpips_inside', torch.where(region, image, truth), truth)
        if is_copy:
            found |= against_region(torch.zeros_like(x[:, :1]), region)
        elif masks is not None:
            found |= against_region(torch.from_numpy(masks[part].astype(np.float32))[:, None].to(x.device), region)
        return found
    return more


def _share(chosen: Tensor, of: Tensor) -> tuple[Tensor, Tensor]:
    """How many pixels are chosen among others, and how many those are; bool [b,1,H,W] each."""
    return (chosen & of).flatten(1).sum(1), of.flatten(1).sum(1)


def _ssim_inside(image: Tensor, other: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    similar, there = ssim.images_to_ssim_outside(image, other, ~region)
    return torch.where(there, similar, 0.0), there
