"""What the routes share: models, what is kept, and the ways from one to the other."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.exceptions import HTTPException

from retouch.app.jobs import Job
from retouch.app.limits import Limits
from retouch.app.models import Served
from retouch.app.schemas import EditRequest
from retouch.app.store import Store, TooMuch
from retouch.app.uploads import Mask, Source
from retouch.app.workers import Busy
from retouch.errors import unknown

CODERS = 2               # files decoded or encoded at once, for the memory of large pictures


class Service:
    """Of one server."""

    def __init__(self, models: dict[str, Served], limits: Limits) -> None:
        self.models, self.limits, self.store = models, limits, Store(limits)
        self.coders: CapacityLimiter | None = None

    async def code(self, task: Callable[..., Any], *arguments: Any) -> Any:
        """Decodes or encodes on a thread; 422 for what a user gave wrong."""
        if self.coders is None:                                  # belongs to a running loop
            self.coders = CapacityLimiter(CODERS)
        try:
            return await to_thread.run_sync(task, *arguments, limiter=self.coders)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None

    def keep(self, thing: Any, size: int, owner: str | None = None) -> str:
        try:
            return self.store.put(thing, size, owner)
        except TooMuch:
            raise HTTPException(413, f'more than the {self.limits.kept_bytes >> 20} MiB that are kept in all') from None

    def find(self, key: str, kind: type[Any]) -> Any:
        """A thing that is kept; 404 where there is none of that kind."""
        names: dict[type[Any], str] = {Source: 'picture', Mask: 'mask', Job: 'edit'}
        try:
            return self.store.get(key, kind)
        except KeyError:
            raise HTTPException(404, f'no such {names[kind]}: it was never there, was deleted, or was not used for long') from None

    def model(self, name: str) -> Served:
        if name not in self.models:
            raise HTTPException(422, str(unknown('model', name, self.models)))
        return self.models[name]

    async def ask(self, served: Served, task: Callable[[], Any]) -> Any:
        """Has a model do something small while the client waits."""
        try:
            future = served.submit(task)
        except Busy:
            raise self.busy() from None
        try:
            return await asyncio.wrap_future(future)             # a client that leaves cancels what waits
        except (ValueError, FloatingPointError) as error:
            raise HTTPException(422, str(error)) from None

    def busy(self) -> HTTPException:
        return HTTPException(429, f'{self.limits.queued} edits wait for this model already: try again soon', {'Retry-After': '2'})

    def options(self, request: EditRequest) -> tuple[Served, Source, dict[str, Any]]:
        """What is asked of the editor; 404 and 422 for what cannot be asked."""
        served, source = self.model(request.model), self.find(request.image, Source)
        if served.parses:
            raise HTTPException(422, f'{served.name} names regions of a picture and edits none: choose another model')
        options: dict[str, Any] = {'set': request.set, 'strength': request.strength, 'box': request.box}
        if request.mask is not None:
            options['mask'] = self.mask_of(request.mask, request.image, 'picture')
        if request.exemplar_mask is not None and request.exemplar is None:
            raise HTTPException(422, 'exemplar_mask without exemplar: it is the mask of one')
        if request.exemplar is not None:
            if not served.takes_exemplar:
                raise HTTPException(422, f'{served.name} takes no exemplar: leave it out')
            options['exemplar'] = self.find(request.exemplar, Source).image
        if served.kind == 'attributes':
            self.refuse(served, to=request.to)
            if not request.set:
                raise HTTPException(422, f'nothing to change: set at least one attribute, e.g. {served.data.attributes[0]}')
            options['source'] = request.source
            for name in (*request.set, *request.source):
                if name not in served.data.attributes:
                    raise HTTPException(422, str(unknown('attribute', name, served.data.attributes)))
        elif served.kind == 'exemplars':
            self.refuse(served, to=request.to, set=request.set, source=request.source)
            if request.exemplar_mask is not None:
                options['exemplar_mask'] = self.mask_of(request.exemplar_mask, str(request.exemplar), 'exemplar')
        else:
            self.refuse(served, set=request.set, source=request.source, exemplar_mask=request.exemplar_mask)
            options['to'] = request.to
        return served, source, options

    def mask_of(self, key: str, image: str, what: str) -> Mask:
        mask: Mask = self.find(key, Mask)
        if mask.image != image:
            raise HTTPException(422, f'the mask was painted for another {what}: send one for this')
        return mask

    def refuse(self, served: Served, **given: Any) -> None:
        for name, value in given.items():
            if value:
                raise HTTPException(422, f'{name} does not apply to {served.name}, a model of {served.kind}: leave it out')

    def stop(self) -> None:
        """Ends every model's thread; what they work on may still take a while."""
        for served in self.models.values():
            for job in tuple(served.line):
                job.cancel()
        for served in self.models.values():
            served.worker.stop(10)
        self.store.clear()
