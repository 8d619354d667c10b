"""One thread a model, with a bounded queue before it: a model never works on two pictures at once."""
from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Busy(Exception):
    """The queue is full."""


class Worker:
    """Carries out what is put before it, one after another."""

    def __init__(self, name: str, queued: int) -> None:
        self.tasks: queue.Queue[tuple[Callable[[], Any], Future[Any]] | None] = queue.Queue(queued)
        self.thread = threading.Thread(target=self._work, name=f'retouch {name}', daemon=True)
        self.thread.start()

    def submit(self, task: Callable[[], Any]) -> Future[Any]:
        """Queues a task -> what it will return or raise; a future that is cancelled before its turn never runs. Busy where all is full."""
        future: Future[Any] = Future()
        with self.tasks.mutex:                                   # one that was given up takes nobody's place
            waiting = [one for one in self.tasks.queue if one is None or not one[1].cancelled()]
            self.tasks.queue.clear()
            self.tasks.queue.extend(waiting)
        try:
            self.tasks.put_nowait((task, future))
        except queue.Full:
            raise Busy from None
        return future

    def stop(self, seconds: float) -> None:
        """Nothing that waits is begun any more; what runs may take `seconds` to end."""
        while True:
            try:
                waiting = self.tasks.get_nowait()
            except queue.Empty:
                break
            if waiting is not None:
                waiting[1].cancel()
        self.tasks.put(None)
        self.thread.join(seconds)

    def _work(self) -> None:
        while (waiting := self.tasks.get()) is not None:
            task, future = waiting
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(task())
                except BaseException as error:
                    future.set_exception(error)
            del task, future, waiting                            # a result must not live until the next task comes
