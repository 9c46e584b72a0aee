"""Channel: the terminal in which the batch was started rings, and shows a notification if it can (OSC 9).

Both travel over SSH. The runner itself writes them: two writers would mix their bytes on one terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import TextIO

from runner.core.text import plain
from runner.notify.message import Message
from runner.notify.registry import NotSent

_BELL, _ESCAPE = "\a", "\x1b"
_TERMS = ("xterm-kitty", "xterm-ghostty", "wezterm", "foot")  # values of TERM, which goes over SSH
_PROGRAMS = ("iTerm.app", "iTerm2", "WezTerm", "ghostty", "kitty")  # of TERM_PROGRAM and LC_TERMINAL


class Bell:
    REQUIRED = ()
    OPTIONAL = ("osc",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._osc = values.get("osc", "auto")

    def problems(self) -> Iterator[tuple[str, str]]:
        if self._osc not in ("auto", "true", "false"):
            yield "osc", "is none of auto, true and false"

    def send(self, message: Message, seconds: float) -> None:
        self.ring(message.title, sys.stdout)

    def ring(self, text: str, stream: TextIO) -> None:
        """Raises NotSent if it is not a terminal: no such sign belongs into a log."""
        if not stream.isatty() or os.environ.get("TERM") in (None, "", "dumb"):
            raise NotSent("this is not a terminal")
        stream.write((self.notification(text) if self._shows() else "") + _BELL)
        stream.flush()

    def notification(self, text: str) -> str:
        """The text as OSC 9; in tmux, wrapped so that it reaches the terminal around it."""
        sequence = f"{_ESCAPE}]9;{plain(text)}{_BELL}"
        if os.environ.get("TMUX"):
            return f"{_ESCAPE}Ptmux;{sequence.replace(_ESCAPE, _ESCAPE * 2)}{_ESCAPE}\\"
        return sequence

    def _shows(self) -> bool:
        if self._osc != "auto":
            return self._osc == "true"
        term = os.environ.get("TERM", "")
        named = {os.environ.get("TERM_PROGRAM"), os.environ.get("LC_TERMINAL")}
        return term in _TERMS or bool(named & set(_PROGRAMS)) or "KITTY_WINDOW_ID" in os.environ
