"""Events for browsers that listen: one sequence, of which the last ones are kept. Knows nothing of batches.

A browser names its topics. While anybody listens to a topic, it is looked at; what a look finds is one event for all.
Nothing is kept for a single browser: one that is slow, or was away, reads on in the ring, or is told that it missed
something.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from starlette.concurrency import run_in_threadpool

from runner.core.errors import UserError

MOST_EVENTS = 10_000
MOST_BYTES = 8_000_000
MOST_STREAMS = 24
MOST_TOPICS = 64  # of one stream
PING = 2.0  # seconds
AGAIN = 2.0  # seconds until a topic is looked at again that could not be
RETRY = b"retry: 1000\n\n"


class Watch(Protocol):
    """Looks at one topic every `every` seconds, in a thread."""

    @property
    def every(self) -> float: ...

    def look(self) -> Mapping[str, Any] | None: ...


class _Event(NamedTuple):
    number: int
    topic: str
    text: bytes


class _Missing:
    """For a topic that is not there, as that of a batch that was removed while a tab shows it."""

    every = AGAIN

    def __init__(self, error: str) -> None:
        self._error = error

    def look(self) -> Mapping[str, Any] | None:
        raise UserError(self._error)


class Hub:
    """Belongs to one event loop. `watch` makes what looks at a topic; it raises UserError for what is not one."""

    def __init__(self, watch: Callable[[str], Watch]) -> None:
        self._watch = watch
        self._start = secrets.token_hex(4)
        self._number = 0
        self._ring: deque[_Event] = deque()
        self._bytes = 0
        self._dropped = 0  # the number of the last event that is not kept any more
        self._topics: dict[str, tuple[asyncio.Task[None], int]] = {}  # with the number of its listeners
        self._listeners: set[asyncio.Event] = set()
        self._closed = False

    @property
    def is_full(self) -> bool:
        return len(self._listeners) >= MOST_STREAMS

    def prepared(self, topics: Sequence[str]) -> dict[str, Watch]:
        """What looks at these topics. Raises UserError if none of them is there. For a thread: it may read."""
        found: dict[str, Watch] = {}
        errors: list[UserError] = []
        for topic in dict.fromkeys(topics[:MOST_TOPICS]):
            try:
                found[topic] = self._watch(topic)
            except UserError as error:
                found[topic] = _Missing(str(error))
                errors.append(error)
        if errors and len(errors) == len(found):
            raise errors[0]
        return found

    async def stream(self, watches: Mapping[str, Watch], last: str) -> AsyncIterator[bytes]:
        """The events of these topics, after the one with the id `last` if it is known."""
        woken = asyncio.Event()
        self._listeners.add(woken)
        for topic, watch in watches.items():
            self._begin(topic, watch)
        try:
            at, missed = self._place(last)
            yield RETRY + (self._named("resync", b"{}") if missed else b"")
            while not self._closed:
                if at < self._dropped:
                    at = self._number
                    yield self._named("resync", b"{}")
                found = [one for one in self._ring if one.number > at]
                at = self._number
                if text := b"".join(one.text for one in found if one.topic in watches):
                    yield text
                    continue  # what came while it was sent
                try:
                    await asyncio.wait_for(woken.wait(), PING)
                except TimeoutError:
                    yield b"event: ping\ndata:\n\n"
                woken.clear()
        finally:
            self._listeners.discard(woken)
            for topic in watches:
                self._end(topic)

    def _place(self, last: str) -> tuple[int, bool]:
        """After which event a browser goes on, and whether it missed something."""
        start, _, number = last.partition(":")
        if not last:
            return self._number, False
        if start != self._start or not number.isdecimal() or not self._dropped <= int(number) <= self._number:
            return self._number, True
        return int(number), False

    def _named(self, name: str, data: bytes) -> bytes:
        return f"id: {self._start}:{self._number}\nevent: {name}\ndata: ".encode() + data + b"\n\n"

    def _begin(self, topic: str, watch: Watch) -> None:
        known = self._topics.get(topic)
        if known is None:
            self._topics[topic] = (asyncio.ensure_future(self._look(topic, watch)), 1)
        else:
            self._topics[topic] = (known[0], known[1] + 1)

    def _end(self, topic: str) -> None:
        task, listeners = self._topics[topic]
        if listeners > 1:
            self._topics[topic] = (task, listeners - 1)
        else:
            del self._topics[topic]
            task.cancel()

    async def _look(self, topic: str, watch: Watch) -> None:
        said = ""  # the error that was published last
        while True:
            try:
                found, error = await run_in_threadpool(watch.look), ""
            except Exception as failure:
                found, error = None, str(failure) or type(failure).__name__
            if error and error != said:
                found = {"error": error}
            said = error
            if found is not None:
                self._publish(topic, found)
            await asyncio.sleep(max(watch.every, AGAIN) if error else watch.every)

    def _publish(self, topic: str, found: Mapping[str, Any]) -> None:
        self._number += 1
        data = json.dumps({"topic": topic, **found}, separators=(",", ":")).encode()
        event = _Event(self._number, topic, self._named(topic.partition(":")[0], data))
        self._ring.append(event)
        self._bytes += len(event.text)
        while len(self._ring) > MOST_EVENTS or self._bytes > MOST_BYTES:
            old = self._ring.popleft()
            self._bytes -= len(old.text)
            self._dropped = old.number
        for listener in self._listeners:
            listener.set()

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        for listener in self._listeners:
            listener.set()
