"""Files first: log.jsonl, sample grids, progress on the terminal, and the collapse monitor."""
from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from retouch.files import write_atomically


def append_jsonl(path: Path, row: dict[str, float]) -> None:
    """Appends one row."""
    with open(path, 'a') as file:
        file.write(json.dumps({k: float(f'{v:.6g}') if isinstance(v, float) and k != 'time' else v for k, v in row.items()}) + '\n')


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, none where it is missing; a line that a killed process left half-written is no row."""
    rows = []
    for line in path.read_text(errors='replace').splitlines() if path.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


def cut_jsonl(path: Path, iteration: int) -> None:
    """Drops rows after `iteration`: a resumed run writes them again. A half-written last line is dropped too."""
    if not path.exists():
        return
    rows = [row for row in read_jsonl(path) if isinstance(row, dict) and row.get('iteration', iteration + 1) <= iteration]
    write_atomically(path, ''.join(f'{json.dumps(row)}\n' for row in rows).encode(), alone=True)


def save_grid(path: Path, columns: dict[str, Tensor], rows: int = 8) -> None:
    """Writes columns side by side, one sample a row. Images [N,3,H,W] in [-1,1], masks [N,1,H,W] in [0,1]."""
    strips = []
    for column in columns.values():
        column = column[:rows].detach().float().cpu()
        unit = column.expand(-1, 3, -1, -1) if column.shape[1] == 1 else (column + 1) / 2
        strips.append(torch.cat(list(unit.clamp(0, 1)), dim=1))              # [3, rows*H, W]
    grid = (torch.cat(strips, dim=2).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grid).save(path)


class Meter:
    """Live progress: a bar with images/s and ETA on a terminal, a line now and then elsewhere. Silent unless `show`."""

    def __init__(self, total: int, start: int, images_per_iteration: int, show: bool, what: str = 'training') -> None:
        self.total, self.start, self.images, self.show = total, start, images_per_iteration, show
        self.began = self.last_line = time.monotonic()
        self.bar: Progress | None = None
        if show and sys.stderr.isatty():
            self.bar = Progress(TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TextColumn('{task.fields[speed]}'),
                                TimeElapsedColumn(), TextColumn('ETA'), TimeRemainingColumn(), TextColumn('{task.fields[note]}'),
                                console=Console(stderr=True))
            self.bar.start()
            self.task = self.bar.add_task(what, total=total, completed=start, speed='', note='')

    def advance(self, iteration: int, note: str = '') -> None:
        """`iteration` iterations are done; `note` is a short summary of the losses (kept when empty)."""
        if not self.show:
            return
        elapsed = max(time.monotonic() - self.began, 1e-9)
        speed = (iteration - self.start) * self.images / elapsed
        if self.bar is not None:
            fields = {'speed': f'{speed:.0f} images/s'} | ({'note': note} if note else {})
            self.bar.update(self.task, completed=iteration, **fields)        # type: ignore[arg-type]
        elif note and (time.monotonic() - self.last_line > 15 or iteration == self.total):
            self.last_line = time.monotonic()
            eta = (self.total - iteration) * elapsed / max(iteration - self.start, 1)
            print(f'{iteration}/{self.total}  {speed:.0f} images/s  ETA {eta:.0f} s  {note}', file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """A line above the bar."""
        if self.show:
            print(line, file=sys.stderr, flush=True) if self.bar is None else self.bar.console.print(line)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()


class CollapseMonitor:
    """Warns once per kind of collapse that lasts for three log intervals: a mask near 0 or 1 or constant over the picture, or codes of
    exemplars that are all alike."""

    def __init__(self, patience: int = 3) -> None:
        self.patience, self.warned = patience, set[str]()
        self.streaks = dict.fromkeys(('empty', 'full', 'flat', 'alike'), 0)

    def look(self, row: dict[str, float]) -> list[str]:
        """row holds '<update>.mask_area' and '<update>.mask_spread' if there is a mask, '<update>.code_spread' if there are codes.

        Returns new warnings.
        """
        area, spread, codes = (next((v for k, v in row.items() if k.endswith(f'.{name}')), None)
                               for name in ('mask_area', 'mask_spread', 'code_spread'))
        found = {'alike': codes is not None and codes < 1e-3}
        if area is not None and spread is not None:
            found |= {'empty': area < 0.002, 'full': area > 0.98, 'flat': spread < 0.002 and 0.002 <= area <= 0.98}
        said = []
        for kind, now in found.items():
            self.streaks[kind] = self.streaks[kind] + 1 if now else 0
            if self.streaks[kind] == self.patience and kind not in self.warned:
                self.warned.add(kind)
                if kind == 'alike':
                    said.append(f'warning: codes of all exemplars are alike (mean difference {codes:.1e}), so that none is looked at; '
                                'lower lambda_code')
                else:
                    said.append(f'warning: the mask has collapsed ({kind}: mean area {area:.4f}, spread {spread:.4f}); lower the weight of '
                                'its area (lambda_area; of lomit lambda_r3) if it is empty, raise it if it is full')
        return said
