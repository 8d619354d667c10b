"""One edit on its way: queued, running, done; carried out on its model's thread, and given up between two steps once it is cancelled."""
from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from PIL import Image

from retouch.app.models import Served
from retouch.app.schemas import EditAnswer, State
from retouch.app.store import TooMuch
from retouch.app.uploads import Mask, Source
from retouch.editor import Edit
from retouch.errors import one_line

ENDED = ('done', 'failed', 'cancelled')
ROWS = 64                # compared at once, for the memory of large pictures


class Cancelled(Exception):
    """Nobody wants the result any more."""


class Job:
    """What is asked, how it stands and, in the end, an Edit. The thread of the model writes, all others read."""

    def __init__(self, served: Served, source: Source, options: dict[str, Any]) -> None:
        self.served, self.source, self.options = served, source, options
        self.id = ''
        self.state: State = 'queued'
        self.step = 'waiting'
        self.error: str | None = None
        self.edit: Edit | None = None
        self.unchanged: bool | None = None
        self.share: float | None = None
        self.seconds: dict[str, float] = {}
        self.began = time.perf_counter()
        self.future: Future[Any] | None = None
        self.weigh: Callable[[str, int], None] = lambda key, size: None     # told what the result weighs
        self.wanted = True
        self.lock = threading.Lock()
        self.listeners = list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()

    @property
    def bytes(self) -> int:
        """What the result weighs."""
        if self.edit is None:
            return 0
        extra = sum(part.nbytes for part in (self.edit.gradcam, self.edit.exemplar_mask) if part is not None)
        pixels = self.edit.image.width * self.edit.image.height
        return pixels * len(self.edit.image.getbands()) + self.edit.mask.nbytes + self.edit.difference.nbytes + extra

    def queue(self) -> None:
        """Puts the edit before its model. workers.Busy where too many wait."""
        future = self.future = self.served.submit(self.carry_out)
        self.served.line.append(self)
        future.add_done_callback(self._leave)

    def _leave(self, future: Future[Any]) -> None:
        if self in self.served.line:
            self.served.line.remove(self)
        if future.cancelled():
            self._end('cancelled', None)
        self.future = None                                       # it holds this method: a circle, freed late

    def carry_out(self) -> None:
        """On the model's thread."""
        try:
            self._enter('running', 'loading')
            editor = self.served.loaded()
            self._enter('running', 'editing')
            edit = self.asked(editor)
            self._enter('running', 'checking')
            unchanged, share = outside_unchanged(self.source.image, edit.image, edit.mask), np.count_nonzero(edit.mask) / edit.mask.size
            with self.lock:
                if not self.wanted:
                    raise Cancelled
                self.edit, self.unchanged, self.share = edit, unchanged, share
            self.weigh(self.id, self.bytes)
            self._enter('done', 'done')
        except Cancelled:
            self._end('cancelled', None)
        except (ValueError, OSError, FloatingPointError) as error:
            self._end('failed', one_line(error))
        except TooMuch:
            self.edit = None
            self._end('failed', 'the result is larger than all that is kept: make the picture smaller')
        except MemoryError:
            self._end('failed', 'out of memory: make the picture smaller')
        except BaseException as error:
            self._end('failed', f'{type(error).__name__}: a fault of retouch')
            logging.getLogger('retouch.app').exception('an edit failed')
        finally:
            self.options = {}                                    # masks are large

    def asked(self, editor: Any) -> Edit:
        """What the editor makes of it."""
        options: dict[str, Any] = {
            name: value.as_shares() if isinstance(value, Mask) else value for name, value in self.options.items()}
        image = self.source.image
        attributes = options.pop('set')
        if self.served.kind in ('domains', 'pairs'):
            return editor.translate(image, **options)
        return editor.edit(image, **options, **attributes)

    def cancel(self) -> None:
        """Gives the edit up: at once if it waits, between two steps if it runs."""
        with self.lock:
            self.wanted = False
        future = self.future
        if future is not None:
            future.cancel()

    def _enter(self, state: State, step: str) -> None:
        now = time.perf_counter()
        self.seconds[self.step] = round(now - self.began, 4)
        self.began = now
        if not self.wanted and state != 'done':
            raise Cancelled
        self.state, self.step = state, step
        self.notify()

    def _end(self, state: State, error: str | None) -> None:
        self.state, self.step, self.error = state, state, error
        self.notify()

    def notify(self) -> None:
        """Wakes whoever follows this edit."""
        for loop, event in tuple(self.listeners):
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:                                 # its loop is closed
                pass

    async def follow(self, heartbeat: float) -> AsyncIterator[bool]:
        """True whenever something changed, until the edit has ended; False after each `heartbeat` seconds without a change."""
        listener = asyncio.get_running_loop(), asyncio.Event()
        self.listeners.append(listener)
        try:
            while True:
                ended = self.state in ENDED
                yield True
                if ended:
                    return
                while True:
                    try:
                        await asyncio.wait_for(listener[1].wait(), heartbeat)
                    except TimeoutError:
                        yield False
                        continue
                    listener[1].clear()
                    break
        finally:
            self.listeners.remove(listener)

    def answer(self) -> EditAnswer:
        """How it stands, for a client."""
        answer = EditAnswer(id=self.id, state=self.state, step=self.step, ahead=self._ahead(), model=self.served.name, error=self.error,
                            seconds=dict(self.seconds))
        edit = self.edit
        if self.state != 'done' or edit is None:
            return answer
        return answer.model_copy(update={
            'width': edit.image.width, 'height': edit.image.height, 'mask_share': self.share, 'untouched': edit.untouched,
            'outside_unchanged': self.unchanged, 'notes': [*self.source.notes, *edit.notes], 'source': edit.source, 'target': edit.target,
            'exemplar_mask': edit.exemplar_mask is not None})

    def _ahead(self) -> int:
        line = tuple(self.served.line)
        return line.index(self) if self.state == 'queued' and self in line else 0


def outside_unchanged(before: Image.Image, after: Image.Image, mask: np.ndarray) -> bool:
    """Whether every pixel is the same in every byte, alpha too, where the mask uint8 [H,W] is 0."""
    if before.size != after.size or before.mode != after.mode:
        return False
    a, b = np.asarray(before), np.asarray(after)
    for top in range(0, len(a), ROWS):
        rows = slice(top, top + ROWS)
        differs = a[rows] != b[rows]
        # .any(2) takes eight times as long
        changed = np.logical_or.reduce([differs[..., channel] for channel in range(differs.shape[2])])
        if (changed & (mask[rows] == 0)).any():
            return False
    return True
