"""`retouch export`."""
from __future__ import annotations

import json

from retouch.cli.options import ExportOptions
from retouch.export.export import export_model


def export(options: ExportOptions) -> int:
    made = export_model(options.model, options.out, options.format, options.half)
    sizes = {str(path): path.stat().st_size for path in made.paths}
    if options.json:
        print(json.dumps({'files': sizes, 'parity': made.sidecar.parity}, indent=2))
        return 0
    parity = made.sidecar.parity
    differences = ', '.join(f'{name} {error:.1e}' for name, error in parity['largest_difference'].items())
    print(f'{made.sidecar.model} ({made.sidecar.method}): largest difference from torch on {parity["pictures"]} {parity["of"]}: '
          f'{differences} (at most {parity["gate"]:.1e})')
    for path, size in sizes.items():
        print(f'{path}: {size / 1e6:.2f} MB')
    return 0
