"""Who may ask what: host, origin, token, the size and pace of a body; and what every answer forbids a browser."""
from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import secrets
import time
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retouch.app.limits import Limits

POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
          "form-action 'none'; frame-ancestors 'none'")
HEADERS = {'Content-Security-Policy': POLICY, 'X-Content-Type-Options': 'nosniff', 'Referrer-Policy': 'no-referrer',
           'X-Frame-Options': 'DENY', 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Resource-Policy': 'same-origin',
           'Permissions-Policy': 'camera=(), microphone=(), geolocation=()'}
HOST = re.compile(r'([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+])(?::(\d{1,5}))?')
LOOPBACK = ('127.0.0.1', 'localhost', '::1')
NO_TOKEN = 'open the address that `retouch app` printed, or send its token: Authorization: Bearer TOKEN'


@dataclass(frozen=True)
class Access:
    """Where the server listens, and the secret that opens it."""

    token: str
    host: str = '127.0.0.1'
    port: int = 0

    @property
    def cookie(self) -> str:
        """Its name; a browser sends cookies to every port of a host, so that two servers must not share one."""
        return f'retouch-{self.port}'

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names this server. A name that somebody else has resolve to this machine does not."""
        match = HOST.fullmatch(host)
        if match is None:
            return False
        name, port = match[1].strip('[]').lower(), match[2]
        if port is not None and self.port and int(port) != self.port:
            return False
        if name in LOOPBACK or name == self.host.lower():
            return True
        if self.host in LOOPBACK:
            return False
        try:                                                     # bound to other addresses, it is reached by its numbers
            return bool(ipaddress.ip_address(name))
        except ValueError:
            return False


class Guard:
    """ASGI middleware before everything else."""

    def __init__(self, app: ASGIApp, access: Access, limits: Limits) -> None:
        self.app, self.access, self.limits = app, access, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] == 'lifespan':
            await self.app(scope, receive, send)
            return
        if scope['type'] != 'http':                              # no websockets here
            await send({'type': 'websocket.close', 'code': 1008})
            return

        async def guarded(message: Message) -> None:
            if message['type'] == 'http.response.start':
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault('Cache-Control', 'no-store')
            await send(message)

        answer = self.refusal(scope)
        if answer is not None:
            await answer(scope, receive, guarded)
            return
        await self.app(scope, self.measured(scope, receive), guarded)

    def refusal(self, scope: Scope) -> Response | None:
        """What is answered at once; None lets the request through."""
        headers = Headers(scope=scope)
        host = headers.get('host', '')
        if not self.access.is_ours(host):
            return _problem(400, 'the Host header names another server')
        origin = headers.get('origin')
        if origin is not None and origin not in (f'http://{host}', f'https://{host}'):
            return _problem(403, 'the request comes from a page of another origin')
        path = scope['path']
        if path == '/healthz':
            return None
        if path == '/' and scope['method'] == 'GET':
            given = parse_qs(scope['query_string'].decode('latin-1')).get('token', [''])[0]
            if self.opens(given):                                # into a cookie, and out of the address
                answer = RedirectResponse('/', 303)
                answer.set_cookie(self.access.cookie, self.access.token, httponly=True, samesite='strict', path='/')
                return answer
        if not self.knows(headers):
            if path == '/':
                return PlainTextResponse(f'This page needs its token: {NO_TOKEN}\n', 401)
            return _problem(401, NO_TOKEN)
        length = headers.get('content-length', '0')
        if not length.isdecimal() or int(length[:20]) > self.most(path):
            return _problem(413, f'the body is too large: expected at most {self.most(path)} bytes')
        return None

    def opens(self, token: str) -> bool:
        return secrets.compare_digest(token.encode('utf-8', 'replace'), self.access.token.encode())

    def knows(self, headers: Headers) -> bool:
        """Whether the token is in the request: Bearer or cookie."""
        scheme, _, token = headers.get('authorization', '').partition(' ')
        if scheme.lower() == 'bearer' and self.opens(token.strip()):
            return True
        return any(self.opens(cookie_parser(line).get(self.access.cookie, '')) for line in headers.getlist('cookie'))

    def most(self, path: str) -> int:
        """Bytes that the body of a request may have."""
        upload = path == '/api/v1/images' or path.startswith('/api/v1/images/') and path.endswith('/masks')
        return self.limits.body_bytes if upload else self.limits.json_bytes

    def measured(self, scope: Scope, receive: Receive) -> Receive:
        """Messages, counted and timed while a body arrives: 413 for one that is too long and says no length, 408 for a slow one."""
        most, seen, more = self.most(scope['path']), 0, True
        until = time.monotonic() + self.limits.body_seconds

        async def rest() -> None:                                # read and dropped, or a client that still sends sees no answer
            nonlocal seen, more
            with contextlib.suppress(TimeoutError):
                while more and seen <= 2 * most:
                    message = await asyncio.wait_for(receive(), max(until - time.monotonic(), 0.001))
                    seen += len(message.get('body', b''))
                    more = message.get('more_body', False)

        async def counted() -> Message:
            nonlocal seen, more
            if not more:                                         # only a disconnect is waited for
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(until - time.monotonic(), 0.001))
            except TimeoutError:
                more = False
                raise HTTPException(408, 'the body did not arrive in time', {'Connection': 'close'}) from None
            if message['type'] == 'http.request':
                seen += len(message.get('body', b''))
                more = message.get('more_body', False)
                if seen > most:
                    await rest()
                    more = False
                    raise HTTPException(413, f'the body is too large: expected at most {most} bytes', {'Connection': 'close'})
            return message

        return counted


def _problem(status: int, text: str) -> JSONResponse:
    return JSONResponse({'error': text}, status)
