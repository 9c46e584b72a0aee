"""The two pipes between a supervisor and its engine: standard input for commands, standard output for events."""

from __future__ import annotations

import os

from runner.disk.atomic import write_all
from runner.supervisor.messages import Event, Request

GONE = b"gone"  # what ControlPipe returns when the engine has closed its end


class ControlPipe:
    """Standard input: a request, then commands of the engine. Its end means that the engine is gone."""

    def __init__(self) -> None:
        self._text = b""
        self.open = True

    def read_request(self) -> Request | None:
        """The first line; None if the engine ended before it sent one."""
        while b"\n" not in self._text:
            block = os.read(0, 1 << 16)
            if not block:
                return None
            self._text += block
        line, _, self._text = self._text.partition(b"\n")
        return Request.from_line(line)

    def early_commands(self) -> list[bytes]:
        """What came together with the request: no poll will report it."""
        *commands, self._text = self._text.split(b"\n")
        return commands

    def commands(self) -> list[bytes]:
        """What came since the last call; GONE if the engine closed the pipe. Call when it is readable."""
        block = os.read(0, 4096)
        if not block:
            self.open = False
            return [GONE]
        *commands, self._text = (self._text + block).split(b"\n")
        return commands


def notify(event: Event) -> None:
    """Send an event to the engine, if it is still there."""
    try:
        write_all(1, event.to_line())
    except OSError:
        pass
