"""Scores of parses: pixel accuracy, class accuracy and IoU."""
from __future__ import annotations

import numpy as np

from retouch.metrics.bootstrap import Tally, mean_over_attributes, pooled


def parses_to_tallies(found: np.ndarray, truth: np.ndarray, classes: int, ignored: int = 255) -> dict[str, Tally]:
    """Counts of every class and picture, pooled over pictures before they are divided, as FCN's scores are.

    Args:
        found: classes uint8 [N,S,S].
        truth: the same of the truth.
        classes: C. A class that neither shows (IoU) or the truth does not show (accuracy) is left out of the mean over classes.
        ignored: pixels of this class in the truth do not count.

    Returns:
        'fcn_pixel_accuracy', 'fcn_class_accuracy' and 'fcn_iou', [C,N] each.
    """
    known = truth != ignored
    both, here, there = (np.zeros((classes, len(found))) for _ in range(3))
    for k in range(classes):
        mine, true = (found == k) & known, truth == k
        both[k], here[k], there[k] = ((x.reshape(len(found), -1).sum(1)) for x in (mine & true, mine, true))
    return {'fcn_pixel_accuracy': Tally(both, there, pooled), 'fcn_class_accuracy': Tally(both, there, mean_over_attributes),
            'fcn_iou': Tally(both, here + there - both, mean_over_attributes)}
