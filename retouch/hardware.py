"""The machine: which device computes, and what to call it in a record."""
from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from retouch.errors import unknown

try:
    import resource
except ImportError:                                              # Windows
    resource = None                                              # type: ignore[assignment]


def find_device(device: str | torch.device) -> torch.device:
    """'auto' -> CUDA, MPS or CPU; a device this machine lacks is a ValueError."""
    available: dict[str, Callable[[], bool]] = {
        'cuda': torch.cuda.is_available, 'mps': torch.backends.mps.is_available, 'cpu': lambda: True}
    if device == 'auto':
        return torch.device(next(kind for kind, there in available.items() if there()))
    kind, _, number = str(device).partition(':')
    if kind not in available:
        raise unknown('device', str(device), ['auto', *available])
    if not available[kind]():
        raise ValueError(f'device {str(device)!r} is not available here: expected auto or cpu')
    count = torch.cuda.device_count() if kind == 'cuda' else 1
    if ':' in str(device) and not (number.isdecimal() and int(number) < count):
        raise ValueError(f'device {str(device)!r} is not available here: expected {kind} or {kind}:0 to {kind}:{count - 1}' if count > 1
                         else f'device {str(device)!r} is not available here: expected {kind} or {kind}:0')
    return torch.device(device)


def hardware(device: torch.device | str = 'cpu') -> str:
    """One line: processor, cores, accelerator, torch."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
        name = next(line.split(':', 1)[1].strip() for line in lines if line.startswith('model name'))
    except (OSError, StopIteration):
        pass
    accelerator = f', {torch.cuda.get_device_name()}' if torch.device(device).type == 'cuda' else ''
    return f'{name}, {os.cpu_count()} cores{accelerator}, torch {torch.__version__}'


def resident_peak() -> int | None:
    """The most memory that this process ever held, in bytes; None on a system that does not count it (Windows)."""
    if resource is None:
        return None
    unit = 1 if sys.platform == 'darwin' else 1024               # ru_maxrss: bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_memory() -> int | None:
    """Bytes that processes may still take: of the machine, or of what this container may hold if that is less; None if unknown."""
    try:
        lines = Path('/proc/meminfo').read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith('MemAvailable'))
    except (OSError, StopIteration):                             # not Linux
        return None
    with contextlib.suppress(OSError, ValueError):               # no limit is the word max
        limit, used = (int(Path(f'/sys/fs/cgroup/memory.{name}').read_text()) for name in ('max', 'current'))
        free = min(free, max(limit - used, 0))
    return free
