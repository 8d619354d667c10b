"""How far edits are from real pictures: all together, or the two directions of a two-domain system each by itself; how varied they are."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from retouch.metrics.bootstrap import finite_or_none
from retouch.metrics.fidelity import splits_of, splits_to_scores
from retouch.metrics.measure import Measure, about

STABLE = 2048                                                                   # pictures from which on a distance between sets is stable
JOINT = 15                                                                      # attributes whose combinations are classes
Subsets = Callable[[Tensor, Tensor], np.ndarray]                                # (real, fake) -> KID of each subset
Compare = Callable[[Tensor, Tensor, tuple[str, ...]], dict[str, float]]         # (real, fake, measures) -> measure -> value


def enough(n: int, fewest: int, of: str = '') -> tuple[bool, str]:
    """Whether a Frechet or kernel distance of n pictures says anything, and what is to be said of it.

    Args:
        n: pictures in the smaller set.
        fewest: below so many it is noise: the number of features; 0: any number will do.
        of: what n counts, where that is not all pictures.
    """
    if n < max(fewest, 2):
        return False, f'needs n >= {max(fewest, 2):,}{of}'
    return True, '' if n >= STABLE else f'of {n:,} pictures{of}: uncertain below {STABLE:,}'


def edits_to_distances(real: Tensor, fakes: Sequence[Tensor], names: Sequence[str], compare: Compare, measures: tuple[str, ...],
                       each: tuple[str, ...] = (), tasks: bool = False, fewest: int = 0) -> dict[str, Measure]:
    """Distances of all edits together to all held-out pictures.

    Args:
        real: [n,...] features or pictures, as `compare` takes them.
        fakes: K times [M_k,...], the edits of each kind.
        names: the K kinds.
        compare: measures two sets.
        measures: which.
        each: which of `measures` also by kind. Not the Frechet distance: of fewer pictures than feature dimensions it is mostly bias.
        tasks: where it is among `measures`, add the Frechet distance of each kind by itself all the same, as the CAM paper does:
            `fid_per_task`, its mean over the kinds, and `fid_per_task_std`, its (population) standard deviation over them.
        fewest: pictures below which no Frechet or kernel distance is given, as of `enough`.

    Returns:
        each measure; null with a note for what too few pictures say nothing of.
    """
    n = min(len(real), sum(map(len, fakes)))
    told, note = enough(n, fewest) if fewest else (True, enough(n, 0)[1])
    given = tuple(name for name in measures if told or not _is_distance(name))
    values = compare(real, torch.cat(list(fakes)), given) if given else {}
    found = {name: _measure(name, values.get(name, float('nan')), note) for name in measures}

    def by_kind(measure: str) -> dict[str, float | None]:
        return {name: finite_or_none(compare(real, some, (measure,))[measure])
                if enough(min(len(real), len(some)), fewest if _is_distance(measure) else 0)[0] else None
                for name, some in zip(names, fakes, strict=True)}

    for measure in set(each).intersection(measures):
        found[measure] = found[measure].model_copy(update={'per_attribute': by_kind(measure)})
    if tasks and 'fid' in measures:
        of_tasks, smallest = by_kind('fid'), min([len(real), *map(len, fakes)])
        values_of = np.array([value for value in of_tasks.values() if value is not None])
        mean, std = (values_of.mean(), values_of.std()) if len(values_of) else (np.nan, np.nan)
        note = enough(smallest, fewest, ' of each edit')[1]
        found['fid_per_task'] = _measure('fid_per_task', mean, note).model_copy(update={'per_attribute': of_tasks})
        found['fid_per_task_std'] = _measure('fid_per_task_std', std, note)
    return found


def directions_to_distances(real: Tensor, fakes: Sequence[Tensor], names: Sequence[str], sources: Sequence[np.ndarray],
                            targets: Sequence[np.ndarray], compare: Compare, measures: tuple[str, ...],
                            subsets: Subsets | None = None, fewest: int = 0) -> dict[str, Measure]:
    """Distances of the edits of one or both directions to held-out pictures of the domain they should arrive in.

    `kid_fused` is (KID(edits, target) + KID(edits, source)) / 2, `kid_pooled` KID(edits, as many of the target as of the source): the two
    readings of a published name. A copy and a perfect edit score about the same in both, so that they say nothing without `kid` beside.

    Args:
        real: [n,...] features or pictures of both domains.
        fakes: K times [M,...], the edits of each direction.
        names: the K directions.
        sources: K times [M], which of the n were edited.
        targets: K times [M'], which of the n show what the edits should become.
        compare: measures two sets.
        measures: which to the target; with 'kid' among them both fused ones are added.
        subsets: the kernel distance of each subset, for the spread of both fused ones, `kid_fused_subset_std` and `kid_pooled_subset_std`.
        fewest: pictures below which no Frechet or kernel distance is given, as of `enough`.

    Returns:
        each measure and the fused ones: the value of each direction and their mean; null with a note where a domain has fewer than two
        pictures, or too few.
    """
    fused = ('kid_fused', 'kid_pooled') if 'kid' in measures else ()
    spread = tuple(f'{name}_subset_std' for name in fused if subsets)
    found: dict[str, list[float | None]] = {name: [] for name in (*measures, *fused, *spread)}
    for fake, source, target in zip(fakes, sources, targets, strict=True):
        values: dict[str, float] = {}
        if (n := min(len(source), len(target))) > 1:
            here, there = real[torch.from_numpy(source)], real[torch.from_numpy(target)]
            half = min(len(here), len(there))
            both = torch.cat([there[:half], here[:half]])
            told = enough(n, fewest)[0]
            given = tuple(name for name in measures if told or not _is_distance(name))
            values = compare(there, fake, given) if given else {}
            if fused and told:
                values['kid_fused'] = (values['kid'] + compare(here, fake, ('kid',))['kid']) / 2
                values['kid_pooled'] = compare(both, fake, ('kid',))['kid']
            if fused and subsets and told:
                values['kid_fused_subset_std'] = float(((subsets(there, fake) + subsets(here, fake)) / 2).std())
                values['kid_pooled_subset_std'] = compare(both, fake, ('kid_subset_std',))['kid_subset_std']
        for name, of_directions in found.items():
            of_directions.append(finite_or_none(values.get(name, float('nan'))))
    smallest = min(min(len(source), len(target)) for source, target in zip(sources, targets, strict=True))
    note = enough(smallest, fewest, ' in each domain')[1]
    return {name: _measure(name, float(np.mean([float('nan') if v is None else v for v in values])), note).model_copy(
        update={'per_attribute': dict(zip(names, values, strict=True))}) for name, values in found.items()}


def logits_to_inception(logits: Tensor, seed: int = 0, proxy: str = 'toyfaces_classifier') -> dict[str, Measure]:
    """The Inception score, whose classes are all combinations of K attributes that a classifier reads independently.

    Args:
        logits: [n,K] of each attribute in each picture.
        seed: of the order in which splits are taken.
        proxy: what to call the classifier.

    Returns:
        what `logits_to_inception_score` says of the 2^K classes, and `inception_kl_std`, the standard deviation over pictures of
        KL(p(y | x) || mean over x of p(y | x)) in nats; their names with the extractor's. Nothing if K is above `JOINT`.
    """
    n, k = logits.shape
    if k > JOINT:
        return {}
    logits = logits.double().clamp(-20, 20)                      # a sure reading is one of 2e-9, so that no combination underflows
    p = torch.stack([torch.sigmoid(-logits), torch.sigmoid(logits)], 2)                # [n,K,2]

    def joint(some: Tensor) -> Tensor:
        """[b,K,2] -> probabilities of all combinations [b,2^K]."""
        found = some.new_ones(len(some), 1)
        for off, on in (each.split(1, 1) for each in some.unbind(1)):
            found = torch.cat([found * off, found * on], 1)
        return found

    def divergences(some: Tensor) -> Tensor:
        """KL of each picture to the mean of them all [b], a few at once: there may be many combinations."""
        parts = some.split(max(1, 2 ** 17 >> k))
        mean = sum(joint(part).sum(0) for part in parts) / len(some)
        log_mean = mean.log()
        return (some * some.log()).sum((1, 2)) - torch.cat([joint(part) @ log_mean for part in parts])

    scores = [float(divergences(p[rows]).mean().exp()) for rows in splits_of(n, seed)]
    values = {**splits_to_scores(scores), 'inception_kl_std': float(divergences(p).std(correction=0))}
    return {f'{name}[{proxy}]': Measure(value=value, unit=about(name).unit) for name, value in values.items()}


def _is_distance(name: str) -> bool:
    return name.startswith(('fid', 'kid'))


def _measure(name: str, value: float, note: str = '') -> Measure:
    return Measure(value=finite_or_none(value), unit=about(name).unit, note=note if _is_distance(name) else '')
