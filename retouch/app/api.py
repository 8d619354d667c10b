"""/api/v1: pictures, masks and edits by random id. No route takes a path or an address."""
from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from retouch.app.encode import to_png, to_preview
from retouch.app.jobs import ENDED, Job
from retouch.app.limits import FORMATS
from retouch.app.schemas import EditAnswer, EditRequest, Id, ImageAnswer, MaskAnswer, Name, Reading, problems
from retouch.app.service import Service
from retouch.app.uploads import Mask, Source, bytes_to_mask, bytes_to_source
from retouch.app.workers import Busy
from retouch.editor.canvas import frame_of
from retouch.errors import one_line
from retouch.version import __version__

HEARTBEAT = 10.0         # seconds between two signs of life on a quiet stream of events
RAW = {'requestBody': {'required': True, 'content': {'application/octet-stream': {'schema': {'type': 'string', 'format': 'binary'}}}}}
PNG: dict[int | str, dict[str, Any]] = {200: {'content': {'image/png': {'schema': {'type': 'string', 'format': 'binary'}}}}}
Side = Annotated[int, Query(ge=16, le=8192)]
BoxText = Annotated[str | None, Query(pattern=r'^\d{1,6},\d{1,6},\d{1,6},\d{1,6}$', description='x,y,width,height')]
ImageId = Annotated[Id, Path()]
EditId = Annotated[Id, Path()]


def routes(service: Service) -> APIRouter:
    """All of them, for one server."""
    api = APIRouter(prefix='/api/v1')

    @api.get('/info', responses=problems())
    async def info() -> dict[str, Any]:
        """The models, what each of them takes, and the limits."""
        limits = service.limits
        return {'version': __version__, 'models': [model.describe() for model in service.models.values()], 'formats': FORMATS,
                'limits': {'body_bytes': limits.body_bytes, 'pixels': limits.pixels, 'side_px': limits.side_px, 'frames': limits.frames,
                           'queued': limits.queued, 'kept_bytes': limits.kept_bytes, 'kept_seconds': limits.kept_seconds}}

    @api.post('/images', status_code=201, openapi_extra=RAW, responses=problems(408, 413))
    async def add_image(request: Request) -> ImageAnswer:
        """Keeps a picture; the body is its file."""
        source = await service.code(bytes_to_source, await request.body(), service.limits)
        return image_answer(service.keep(source, source.bytes), source)

    @api.get('/images/{image}', response_class=Response, responses=PNG | problems(404))
    async def get_image(image: ImageId) -> Response:
        """The picture as edits begin with it: upright, 8 bits, RGB or RGBA, its colour profile kept."""
        return png(await service.code(to_png, service.find(image, Source).image))

    @api.get('/images/{image}/preview', response_class=Response, responses=PNG | problems(404))
    async def get_image_preview(image: ImageId, side: Side = 2048) -> Response:
        """The picture to look at, its longer side at most `side` pixels: PNG, JPEG or, with alpha, WebP."""
        return preview(*await service.code(to_preview, service.find(image, Source).image, side))

    @api.delete('/images/{image}', status_code=204, responses=problems(404))
    async def delete_image(image: ImageId) -> None:
        """Frees the picture, its masks and what came of it."""
        service.find(image, Source)
        for job in [item.thing for item in list(service.store.items.values()) if item.owner == image and isinstance(item.thing, Job)]:
            job.cancel()
        service.store.delete(image)

    @api.post('/images/{image}/masks', status_code=201, openapi_extra=RAW, responses=problems(404, 408, 413))
    async def add_mask(image: ImageId, request: Request) -> MaskAnswer:
        """Keeps a painted mask of the picture's size; the body is its file, white where changes are allowed."""
        source = service.find(image, Source)
        values, notes = await service.code(bytes_to_mask, await request.body(), source.image.size, service.limits)
        return MaskAnswer(id=service.keep(Mask(values, image), values.nbytes, image), share=float((values > 0).mean()), notes=notes)

    @api.get('/images/{image}/mask', response_class=Response, responses=PNG | problems(404, 429))
    async def suggest_mask(image: ImageId, model: Name, set: Annotated[list[str] | None, Query(max_length=100)] = None,
                           to: Name | None = None, exemplar: Annotated[Id | None, Query()] = None, region: Name | None = None,
                           box: BoxText = None) -> Response:
        """The mask that a model would draw for an edit (`set=NAME=VALUE`, repeated; `to`; `exemplar`), or where a parser sees a region."""
        served, source = service.model(model), service.find(image, Source)
        if (region is not None) != served.parses:
            raise HTTPException(422, f'{served.name} names regions: say which' if served.parses else f'{served.name} knows no regions')
        if region is not None:
            values = await service.ask(served, lambda: served.region(source.image, region))
        else:
            job = Job(*service.options(asked(model, image, set or [], to, exemplar, box)))
            values = (await service.ask(served, lambda: job.asked(served.loaded()))).mask
        return png(await service.code(to_png, values))

    @api.get('/images/{image}/reading', responses=problems(404, 429))
    async def read_image(image: ImageId, model: Name, box: BoxText = None) -> Reading:
        """What a model reads of the picture's attributes, and the part of it (left, top, width, height) that the model sees."""
        served, source = service.model(model), service.find(image, Source)
        (width, height), around = source.image.size, to_box(box)
        try:
            frame = frame_of(width, height, around, served.data.frame)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        read = await service.ask(served, lambda: served.loaded().read(source.image, around)) if served.edits else {}
        return Reading(attributes=read, frame=frame)

    @api.post('/edits', status_code=202, responses=problems(404, 413, 429))
    async def add_edit(edit: EditRequest) -> EditAnswer:
        """Queues an edit; GET it, or follow its events."""
        job = Job(*service.options(edit))
        job.id, job.weigh = service.keep(job, 0, edit.image), service.store.weigh
        try:
            job.queue()
        except Busy:
            service.store.delete(job.id)
            raise service.busy() from None
        return job.answer()

    @api.get('/edits/{edit}', responses=problems(404))
    async def get_edit(edit: EditId) -> EditAnswer:
        """How the edit stands, and once it is done, what came of it."""
        return service.find(edit, Job).answer()

    @api.get('/edits/{edit}/events', response_class=StreamingResponse,
             responses={200: {'content': {'text/event-stream': {}}}, **problems(404)})
    async def follow_edit(edit: EditId) -> StreamingResponse:
        """The same, as server-sent events: one for every change, until the edit has ended."""
        job: Job = service.find(edit, Job)

        async def events() -> AsyncIterator[str]:
            async for changed in job.follow(HEARTBEAT):
                yield f'data: {job.answer().model_dump_json()}\n\n' if changed else ': still there\n\n'

        return StreamingResponse(events(), media_type='text/event-stream')

    @api.delete('/edits/{edit}', status_code=204, responses=problems(404))
    async def delete_edit(edit: EditId) -> None:
        """Cancels an edit that waits or runs; frees one that has ended."""
        job: Job = service.find(edit, Job)
        if job.state in ENDED:
            service.store.delete(edit)
        else:
            job.cancel()

    @api.get('/edits/{edit}/result.png', response_class=Response, responses=PNG | problems(404, 409))
    async def get_result(edit: EditId, note: bool = True) -> Response:
        """The edited picture at its own size, with the note that it was edited with AI, or without it."""
        done = finished(edit)
        return png(await service.code(lambda: done.encode(note=note)))

    @api.get('/edits/{edit}/mask.png', response_class=Response, responses=PNG | problems(404, 409))
    async def get_mask(edit: EditId) -> Response:
        """Where the edit was allowed to change something: 0 = untouched to the byte."""
        return png(await service.code(to_png, finished(edit).mask))

    @api.get('/edits/{edit}/heat.png', response_class=Response, responses=PNG | problems(404, 409))
    async def get_heat(edit: EditId) -> Response:
        """A heat map of the change; black where there is none."""
        return png(await service.code(to_png, finished(edit).difference))

    @api.get('/edits/{edit}/exemplar-mask.png', response_class=Response, responses=PNG | problems(404, 409))
    async def get_exemplar_mask(edit: EditId) -> Response:
        """Where the exemplar's style was read, where the model has such a mask."""
        found = finished(edit).exemplar_mask
        if found is None:
            raise HTTPException(404, 'this edit read no exemplar through a mask')
        return png(await service.code(to_png, found))

    @api.get('/edits/{edit}/preview', response_class=Response, responses=PNG | problems(404, 409))
    async def get_edit_preview(edit: EditId, of: Literal['result', 'heat'] = 'result', side: Side = 2048,
                               exact: bool = False) -> Response:
        """The result or its heat map to look at, as a picture's preview; `exact`: at its own size, as a PNG that is quickly written."""
        done = finished(edit)
        if exact:
            return png(await service.code(to_png, done.image if of == 'result' else done.difference))
        return preview(*await service.code(lambda: to_preview(done.image if of == 'result' else done.difference, side)))

    @api.post('/edits/{edit}/image', status_code=201, responses=problems(404, 409, 413))
    async def keep_result(edit: EditId) -> ImageAnswer:
        """Makes the result a picture of its own, for the next edit."""
        source = Source(finished(edit).image, ())
        return image_answer(service.keep(source, source.bytes), source)

    def finished(edit: str) -> Any:
        job: Job = service.find(edit, Job)
        if job.edit is None or job.state != 'done':
            raise HTTPException(409, f'the edit is {job.state}: there is no result' + ('' if job.state in ENDED else ' yet'))
        return job.edit

    return api


def image_answer(key: str, source: Source) -> ImageAnswer:
    width, height = source.image.size
    return ImageAnswer(id=key, width=width, height=height, alpha=source.image.mode == 'RGBA', notes=[*source.notes])


def to_box(text: str | None) -> tuple[int, int, int, int] | None:
    if text is None:
        return None
    x, y, width, height = map(int, text.split(','))
    return x, y, width, height


def asked(model: str, image: str, pairs: list[str], to: str | None, exemplar: str | None, box: str | None) -> EditRequest:
    """What a query asks, as a body would. 422 where it is none."""
    values: dict[str, float] = {}
    for pair in pairs:
        name, equals, value = pair.partition('=')
        try:
            values[name] = float(value)
        except ValueError:
            raise HTTPException(422, f'set={pair[:80]}: expected NAME=VALUE, the value from 0 to 1') from None
    try:
        return EditRequest(model=model, image=image, set=values, to=to, exemplar=exemplar, box=to_box(box))
    except ValidationError as error:
        raise HTTPException(422, one_line(error)) from None


def png(body: bytes) -> Response:
    return Response(body, media_type='image/png')


def preview(body: bytes, media_type: str) -> Response:
    return Response(body, media_type=media_type)

