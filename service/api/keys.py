"""Who may call, and how much: API keys and their limits.

request ─> open to all? ─> whose key? (401) ─> at once (429) ─> in a minute (429) ─> view
                                                  └──── given back when the answer is sent ────┘

Without keys in the settings nothing of this is installed, and no request takes longer for it.
"""

from __future__ import annotations

from pathlib import Path

from flask import Flask, Response, after_this_request, g, request
from structlog.contextvars import bind_contextvars

from service.api.limits import Rate
from service.api.problems import RateLimited, TooManyConcurrent, Unauthorized
from service.engine.slots import Holder, Slots
from service.keys import Key, of_header
from service.settings import Settings

#: Endpoints that need no key. The page asks for one, for a browser has no other way to send it.
OPEN_TO_ALL = frozenset({"ops.healthz", "ops.readyz", "docs.page", "docs.file"})


def install(app: Flask, settings: Settings) -> None:
    """Ask every request for a key, if there are any."""
    keys = settings.known_keys()
    if keys:
        guard = Guard(keys, settings.runtime_dir)
        app.extensions["everycore.guard"] = guard
        app.before_request(guard.enter)


def owner() -> str:
    """Return the name of the key that the request came with; empty where nobody needs one."""
    name: str = g.get("everycore_key", "")
    return name


class Guard:
    """Lets requests in that have a key, as many as the key may."""

    def __init__(self, keys: tuple[Key, ...], directory: Path) -> None:
        """Count in files below ``directory``."""
        self._keys = keys
        self._rate = Rate(directory / "limits.db")
        self._slots = {
            key.name: Slots(directory / "keys" / key.name, key.concurrency)
            for key in keys
            if key.concurrency is not None
        }

    def enter(self) -> None:
        """Let the request in, or raise ``Unauthorized``, ``TooManyConcurrent`` or ``RateLimited``."""
        if request.endpoint in OPEN_TO_ALL:
            return
        key = self._authenticate()
        # Every line of this request carries the name, and no line ever the key.
        bind_contextvars(key=key.name)
        g.everycore_key = key.name
        slot = self._take_slot(key)
        try:
            self._count(key)
        except BaseException:
            _close(slot)
            raise
        if slot is not None:
            _keep_until_sent(slot)

    def _authenticate(self) -> Key:
        header = request.headers.get("Authorization")
        if header is None:
            raise Unauthorized("this needs a key, as Authorization: Bearer", given=False)
        if (key := of_header(self._keys, header)) is None:
            raise Unauthorized("the Authorization header holds no key that is known here", given=True)
        return key

    def _take_slot(self, key: Key) -> Holder | None:
        slots = self._slots.get(key.name)
        if slots is None:
            return None
        if (slot := slots.try_take()) is None:
            raise TooManyConcurrent(key.name, slots.count)
        return slot

    def _count(self, key: Key) -> None:
        if key.per_minute is not None and (wait := self._rate.take(key.name, key.per_minute)):
            raise RateLimited(key.name, key.per_minute, wait)

    def close(self) -> None:
        """Close the files."""
        self._rate.close()
        self._slots.clear()  # their files are closed with the last place that is taken


def _close(slot: Holder | None) -> None:
    if slot is not None:
        slot.close()


def _keep_until_sent(slot: Holder) -> None:
    @after_this_request
    def give_back(response: Response) -> Response:
        # A streamed answer is still computed after its view has returned.
        response.call_on_close(slot.close)
        return response
