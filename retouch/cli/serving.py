"""`retouch app`."""
from __future__ import annotations

import os

from retouch.cli.options import AppOptions


def serve_app(options: AppOptions) -> int:
    """Serves until a signal ends it."""
    if options.port is not None and not 0 <= options.port <= 65535:
        raise ValueError(f'--port {options.port}: expected 0 to 65535')
    # Before torch is loaded: threads that spin while they wait for each other take the processor from the server and from their neighbours.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    from retouch.app.server import serve

    serve(options.models, options.host, options.port, options.device, show=not options.no_open)
    return 0
