"""Did the edit arrive, and what else changed: readings of an independent judge."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def readings_to_edit_accuracy(read: Tensor, wanted: Tensor, columns: Sequence[int]) -> Tensor:
    """Whether the judge reads every edited attribute as wanted: float [N] of 0/1. read, wanted [N,J] bool or 0/1; columns: the edited."""
    some = list(columns)
    return (read[:, some].bool() == wanted[:, some].bool()).all(1).double()


def readings_to_changes(read: Tensor, expected: Tensor) -> Tensor:
    """Which attributes read otherwise than expected: float [N,J] of 0/1. Expected is the judge's reading of the true result."""
    return (read.bool() != expected.bool()).double()


def changes_to_leakage(changes: Tensor, columns: Sequence[int]) -> Tensor:
    """Share of the attributes nobody asked about that changed, per image [N]. changes [N,J]; columns: the edited ones."""
    others = torch.ones(changes.shape[1], dtype=torch.bool, device=changes.device)
    others[list(columns)] = False
    return changes[:, others].mean(1) if bool(others.any()) else changes.new_zeros(len(changes))


def changes_to_leakage_row(changes: Tensor) -> Tensor:
    """One row of the leakage matrix [J]: how often each judged attribute changed. changes [N,J] of one edit; mean over N."""
    return changes.mean(0)
