"""Channel: a notification of the desktop of this machine, by notify-send or, on macOS, by osascript."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping

from runner.notify.message import Message
from runner.notify.program import ran

_SCRIPT = ("on run argv", "display notification (item 2 of argv) with title (item 1 of argv)", "end run")


class Desktop:
    REQUIRED = ()
    OPTIONAL = ()

    def __init__(self, values: Mapping[str, str]) -> None:
        self._program = "osascript" if sys.platform == "darwin" else "notify-send"

    def problems(self) -> Iterator[tuple[str, str]]:
        screens = ("DISPLAY", "WAYLAND_DISPLAY")
        if sys.platform != "darwin" and not any(os.environ.get(name) for name in screens):
            yield "", "this machine has no desktop to show it on; use ntfy, mail or bell"
        elif shutil.which(self._program) is None:
            yield "", f"needs the program {self._program}; install it, or use another channel"

    def send(self, message: Message, seconds: float) -> None:
        if self._program == "osascript":
            words = [word for line in _SCRIPT for word in ("-e", line)]
            ran(["osascript", *words, message.title, message.text], seconds)
        else:
            urgency = "critical" if message.urgent else "normal"
            words = ["notify-send", f"--urgency={urgency}", "--app-name=overnight"]
            ran([*words, "--", message.title, message.text], seconds)
