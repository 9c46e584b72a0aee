"""Deliver messages: each channel in a thread of its own, with a limit for each try and for all of them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

from runner.notify.message import Message
from runner.notify.registry import PATIENCE, NotSent
from runner.notify.settings import Named

TRIES = 3
FIRST_PAUSE = 1.0  # seconds before the second try, then doubled
LONGEST_PAUSE = 3600.0  # that a receiver can ask for while the batch runs
LAST_WITHIN = 60.0  # the longest pause once the batch has ended
AFTER_THE_END = 120.0  # seconds in which all has to be delivered once the batch has ended

#: channel, message, and why it was not sent, or None
Report = Callable[[Named, Message, str | None], None]


class Outbox:
    """Messages on their way. `report` is called in the thread of the channel, once for each message and channel."""

    def __init__(self, channels: Sequence[Named], report: Report, patience: float = PATIENCE) -> None:
        self.channels = tuple(channels)
        self._report = report
        self._patience = patience
        self._ending = threading.Event()
        self._deadline = float("inf")  # of time.monotonic()
        self._queues: list[queue.SimpleQueue[Message | None]] = [queue.SimpleQueue() for _ in channels]
        self._threads = [
            threading.Thread(target=self._work, args=(channel, messages), daemon=True)
            for channel, messages in zip(channels, self._queues, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, message: Message, to: Sequence[Named] | None = None) -> None:
        """Send a message on every channel, or on some."""
        for channel, messages in zip(self.channels, self._queues, strict=True):
            if to is None or channel in to:
                messages.put(message)

    def close(self, seconds: float = AFTER_THE_END) -> bool:
        """Wait until all is delivered, for so long at most; whether it is."""
        self._deadline = time.monotonic() + seconds
        self._ending.set()
        for messages in self._queues:
            messages.put(None)
        for thread in self._threads:
            thread.join(max(self._deadline - time.monotonic(), 0.0) + 1)
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self, channel: Named, messages: queue.SimpleQueue[Message | None]) -> None:
        while (message := messages.get()) is not None:
            why = self._deliver(channel, message)
            self._report(channel, message, why and channel.hidden(why))

    def _deliver(self, channel: Named, message: Message) -> str | None:
        """Why it could not be delivered; None if it was."""
        for number in range(1, TRIES + 1):
            left = min(self._patience, self._deadline - time.monotonic())
            if left <= 0:
                return "there was no time left"
            failure = _tried(channel, message, left)
            if failure is None:
                return None
            if not failure.again or number == TRIES:
                return failure.why
            pause = FIRST_PAUSE * 2 ** (number - 1) if failure.after is None else failure.after
            if not self._pause(min(pause, LONGEST_PAUSE)):
                return f"{failure.why}, and asks to wait for {pause:.0f} s"
        return None

    def _pause(self, seconds: float) -> bool:
        """Wait, which an ending batch makes shorter; False if too little time is left for it."""
        until = time.monotonic() + seconds
        if self._ending.wait(seconds) and (rest := until - time.monotonic()) > 0:
            if rest > LAST_WITHIN or until >= self._deadline:
                return False
            time.sleep(rest)
        return True


def _tried(channel: Named, message: Message, seconds: float) -> NotSent | None:
    """One try; None if it was delivered. What is still waiting after `seconds` is left alone."""
    answer: queue.SimpleQueue[NotSent | None] = queue.SimpleQueue()

    def send() -> None:
        try:
            channel.channel.send(message, seconds)
            answer.put(None)
        except NotSent as error:
            answer.put(error)
        except Exception as error:  # whatever somebody else's channel raises
            answer.put(NotSent(f"{type(error).__name__}: {error}"))

    threading.Thread(target=send, daemon=True).start()
    try:
        return answer.get(timeout=seconds + 0.5)  # its own limit comes first, and says more
    except queue.Empty:
        return NotSent(f"it took longer than {seconds:.0f} s", again=True)
