"""What the server takes and keeps at most."""
from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20
FORMATS = ('PNG', 'JPEG', 'WEBP', 'AVIF', 'TIFF')    # as Pillow names them; an upload of any other is not even tried


@dataclass(frozen=True)
class Limits:
    """Of one server. All of them are said by GET /api/v1/info."""

    body_bytes: int = 64 * MIB           # of a picture's or a mask's file
    json_bytes: int = 64 << 10           # of any other body
    body_seconds: float = 60.0           # for a body to arrive
    pixels: int = 80_000_000             # of a picture; Pillow's own warning of bombs begins at 89 million
    side_px: int = 65_535                # of a picture; one of 1 x 80 million took 6 GiB and half a minute to decode
    frames: int = 64                     # of which the first is edited; a file of more is refused
    queued: int = 8                      # edits that wait for one model, beside the one it works on
    kept_bytes: int = 1024 * MIB         # pictures, masks and results, the least recently used leave first
    kept_seconds: float = 3600.0         # since they were last used
