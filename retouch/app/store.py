"""What the server keeps for a while: by random id, freed on delete, when it was not used for long, and the least recently used first."""
from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from retouch.app.limits import Limits


class TooMuch(Exception):
    """One thing is larger than all that may be kept."""


@dataclass
class Item:
    """A thing that is kept, the thing that it belongs to, and what it weighs."""

    thing: Any
    bytes: int
    owner: str | None
    used: float


class Store:
    """Things by id. Threads share it."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits, self.clock = limits, clock
        self.items: OrderedDict[str, Item] = OrderedDict()       # the least recently used first
        self.lock = threading.RLock()

    @property
    def bytes(self) -> int:
        """What all of it weighs."""
        with self.lock:
            return sum(item.bytes for item in self.items.values())

    def put(self, thing: Any, size: int, owner: str | None = None) -> str:
        """Keeps a thing of `size` bytes, which goes when its owner goes -> its id. TooMuch where it can never fit."""
        key = secrets.token_urlsafe(16)
        with self.lock:
            self.items[key] = Item(thing, 0, owner, self.clock())
            try:
                self.weigh(key, size)
            except TooMuch:
                self.delete(key)
                raise
        return key

    def weigh(self, key: str, size: int) -> None:
        """A thing weighs so many bytes from now on; others make room."""
        if size > self.limits.kept_bytes:
            raise TooMuch
        with self.lock:
            if key not in self.items:                            # deleted meanwhile
                return
            self.items[key].bytes = size
            self.touch(key)
            self.purge()
            spared = key, self.items[key].owner                  # whoever frees the owner frees the thing
            for other in [k for k, item in self.items.items() if k not in spared and item.bytes]:
                if self.bytes <= self.limits.kept_bytes:
                    break
                if other in self.items:
                    self.delete(other)
            if self.bytes > self.limits.kept_bytes:
                self.items[key].bytes = 0
                raise TooMuch

    def touch(self, key: str) -> None:
        with self.lock:
            self.items[key].used = self.clock()
            self.items.move_to_end(key)

    def get(self, key: str, kind: type) -> Any:
        """The thing of that kind, KeyError where there is none; using it keeps what it belongs to, too."""
        with self.lock:
            self.purge()
            item = self.items[key]
            if not isinstance(item.thing, kind):
                raise KeyError(key)
            if item.owner is not None and item.owner in self.items:
                self.touch(item.owner)
            self.touch(key)
            return item.thing

    def delete(self, key: str) -> None:
        """Frees a thing and what belongs to it; KeyError where there is none."""
        with self.lock:
            del self.items[key]
            for other in [k for k, item in self.items.items() if item.owner == key]:
                self.items.pop(other, None)

    def purge(self) -> None:
        """Frees what was not used for long."""
        with self.lock:
            oldest = self.clock() - self.limits.kept_seconds
            for key in [k for k, item in self.items.items() if item.used < oldest]:
                self.items.pop(key, None)

    def clear(self) -> None:
        with self.lock:
            self.items.clear()
