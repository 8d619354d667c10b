"""The server: routes, page and guard put together, bound to an address, until a signal ends it."""
from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import signal
import socket
import webbrowser
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse

from retouch.app.api import routes
from retouch.app.guard import LOOPBACK, Access, Guard
from retouch.app.limits import Limits
from retouch.app.models import Served, open_models
from retouch.app.service import Service
from retouch.errors import LONGEST
from retouch.version import __version__

STATIC = Path(__file__).parent / 'static'
TOKEN = 'RETOUCH_APP_TOKEN'      # of the environment: a token of the user's own, for clients that must know it beforehand
PORT = 8420
PURGE = 30.0                     # seconds


def create_app(models: dict[str, Served], access: Access, limits: Limits | None = None) -> FastAPI:
    """The ASGI application of a server."""
    limits = limits or Limits()
    service = Service(models, limits)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async def purge() -> None:
            while True:
                await asyncio.sleep(PURGE)
                service.store.purge()

        task = asyncio.create_task(purge())
        yield
        task.cancel()
        service.stop()

    app = FastAPI(title='Retouch', version=__version__, docs_url=None, redoc_url=None, openapi_url='/api/v1/openapi.json',
                  lifespan=lifespan)
    app.state.service = service
    app.add_middleware(Guard, access=access, limits=limits)
    app.include_router(routes(service))
    app.mount('/static', StaticFiles(directory=STATIC), name='static')

    @app.get('/healthz')
    async def healthz() -> dict[str, str]:
        """Whether the server is there; open to all."""
        return {'status': 'ok'}

    @app.get('/', include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / 'index.html', headers={'Cache-Control': 'no-cache'})

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, error.detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        # The value itself is left out: it may be no JSON, as NaN is none.
        return problem(422, '; '.join(f'{".".join(map(str, e["loc"][1:]))}: {e["msg"]}'.removeprefix(': ') for e in error.errors()))

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> JSONResponse:
        return problem(500, f'{type(error).__name__}: a fault of retouch')

    return app


def problem(status: int, text: str, headers: Any = None) -> JSONResponse:
    """An error as every route answers it: one line that any client can read."""
    line = ' '.join(text.encode('utf-8', 'replace').decode().split())
    return JSONResponse({'error': line if len(line) <= LONGEST else line[:LONGEST] + '…'}, status, headers)


def serve(names: Sequence[str], host: str | None, port: int | None, device: str, show: bool, limits: Limits | None = None) -> None:
    """Prints the address, opens it where `show`, and serves until SIGINT or SIGTERM.

    Args:
        names: of models, as `open_models` takes them.
        host: to listen on; None: 127.0.0.1, this machine alone.
        port: 0 for any that is free; None for 8420 or, where that is taken, any.
        device: of the models.
        show: open the page in the user's browser.
        limits: None for those of `Limits`.

    Raises:
        ValueError: no such model, or an address that cannot be bound.
    """
    limits = limits or Limits()
    token = os.environ.get(TOKEN) or secrets.token_urlsafe(32)
    if not re.fullmatch(r'[A-Za-z0-9._~-]{16,}', token):        # it goes into an address and into a cookie as it is
        raise ValueError(f'{TOKEN} has {len(token)} characters: expected at least 16, of A-Z a-z 0-9 . _ ~ - alone; leave it unset for a '
                         'random one')
    models = open_models(names, device, limits.queued)
    listening = bind(host or '127.0.0.1', port)
    access = Access(token, host or '127.0.0.1', listening.getsockname()[1])
    shown = f'[{access.host}]' if ':' in access.host else access.host
    url = f'http://{shown}:{access.port}/?token={access.token}'
    if access.host not in LOOPBACK:
        print(f'Listening on {access.host}: whoever reaches this machine on port {access.port} and has the token below can send pictures '
              'and see results. Nothing is encrypted on the way; where others share the network, put a proxy with TLS before it.',
              flush=True)
    print(url, flush=True)
    if show:
        webbrowser.open(url)
    config = uvicorn.Config(create_app(models, access, limits), log_level='warning', access_log=False, server_header=False,
                            date_header=False, timeout_graceful_shutdown=2, h11_max_incomplete_event_size=32 << 10, lifespan='on')
    for number in (signal.SIGTERM, signal.SIGINT):               # uvicorn raises them again when it has ended well
        signal.signal(number, lambda *_: None)
    with contextlib.closing(listening):
        uvicorn.Server(config).run(sockets=[listening])


def bind(host: str, port: int | None) -> socket.socket:
    """A socket that listens. ValueError where the address is no address of this machine, or is taken."""
    for wanted in (PORT, 0) if port is None else (port,):
        try:
            return socket.create_server((host, wanted), family=socket.AF_INET6 if ':' in host else socket.AF_INET, backlog=128)
        except (OSError, OverflowError) as error:
            if wanted != PORT or port is not None:
                raise ValueError(f'{host}:{wanted} cannot be listened on ({error}): choose another --port, or an address of this '
                                 'machine as --host') from error
    raise AssertionError
