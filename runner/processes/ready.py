"""Wait for one descriptor. The function select() refuses those from 1024 on."""

import select
from typing import Protocol


class HasDescriptor(Protocol):
    """A pipe, a socket or a file."""

    def fileno(self) -> int: ...


def ready(descriptor: int | HasDescriptor, seconds: float, event: int = select.POLLIN) -> bool:
    """True as soon as it can be read (with `POLLOUT`: written) or is closed; False after `seconds`."""
    poll = select.poll()
    poll.register(descriptor, event)
    return bool(poll.poll(seconds * 1000))
