"""The time as records and log lines show it. Durations come from time.monotonic, never from here."""

import time


def now() -> str:
    """ISO 8601 in UTC with milliseconds: `2026-11-20T21:44:55.123+00:00`."""
    return iso(seconds())


def seconds() -> float:
    """Seconds since the epoch, for the age of what is recorded."""
    return time.time()


def iso(seconds: float) -> str:
    """`seconds` since the epoch as ISO 8601 in UTC."""
    whole = int(seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((seconds - whole) * 1000):03d}+00:00"


WIDTH = 24  # bytes of a Stamp


class Stamp:
    """Local time of fixed width, `2026-11-20T21:44:55.123 ` (24 bytes), cheap enough for every block of a log."""

    def __init__(self) -> None:
        self._second = -1
        self._text = b""

    def __call__(self, seconds: float | None = None) -> bytes:
        seconds = time.time() if seconds is None else seconds
        whole = int(seconds)
        if whole != self._second:
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(whole)).encode()
            self._second = whole
        return self._text + b".%03d " % int((seconds - whole) * 1000)
