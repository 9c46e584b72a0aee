"""An area at the end of a terminal that is drawn again and again, below lines that scroll by. Knows nothing of jobs.

It exists only while this process is in the foreground of its terminal: after Ctrl+Z and `bg`, or behind `&`, the screen
belongs to the shell.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from runner.core.printing import silence

LEAVE = b"\n\x1b[?25h"  # a new line below the area, and the cursor


def in_foreground(stream: TextIO) -> bool:
    """False if a shell has put this process into the background of the terminal that `stream` is."""
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except (OSError, ValueError):  # not the terminal of our session: no shell of our session writes there
        return True


class Display:
    """Owns the cursor from `open` to `close`, but for the time in the background: Ctrl+Z returns it to the shell."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._opened = False
        self._console = self._new_console()
        self._live: Live | None = None  # the area, while there is one
        self._writing = False
        self._suspended_meanwhile = False  # Ctrl+Z came while something was written
        self._catches = False

    @property
    def width(self) -> int:
        return self._console.size.width

    @property
    def height(self) -> int:
        return self._console.size.height

    def open(self) -> None:
        """Have an area from now on, whenever this process is in the foreground."""
        self._opened = True
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL:
            self._catches = True
            signal.signal(signal.SIGTSTP, self._on_suspend)

    def close(self) -> None:
        """Erase the area."""
        if self.visible():
            self.draw(Text(""))
        if (live := self._live) is not None:
            self._write(live.stop)
        self._opened, self._live = False, None
        if self._catches:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            self._catches = False

    def visible(self) -> bool:
        """True while there is an area to draw in."""
        front = self._opened and in_foreground(self._stream)
        if front and self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
            self._write(self._live.start)
        elif not front and self._live is not None:
            self._leave()
        return self._live is not None

    def draw(self, content: RenderableType) -> None:
        """Replace what is in the area, if there is one."""
        if (live := self._live) is not None:
            self._write(lambda: live.update(content, refresh=True))

    def print(self, text: Text) -> None:
        """Print a line; above the area, where there is one."""
        self.visible()
        self._write(lambda: self._console.print(text, soft_wrap=True))

    def _new_console(self) -> Console:
        return Console(file=self._stream, highlight=False)

    def _write(self, write: Callable[[], None]) -> None:
        self._writing = True
        try:
            write()
        except (OSError, ValueError):
            silence(self._stream)
        finally:
            self._writing = False
        if self._suspended_meanwhile:
            self._suspended_meanwhile = False
            self._suspend()

    def _leave(self) -> None:
        """Let the area stay as it was drawn last: what is below it belongs to another program from now on."""
        self._live, self._console = None, self._new_console()
        try:
            os.write(self._stream.fileno(), LEAVE)
        except (OSError, ValueError):
            pass

    def _on_suspend(self, number: int, frame: FrameType | None) -> None:
        if self._writing:
            self._suspended_meanwhile = True
        else:
            self._suspend()

    def _suspend(self) -> None:
        """Do what SIGTSTP does without us, once the terminal is as it was."""
        if self._live is not None:
            self._leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # returns when we are continued
        signal.signal(signal.SIGTSTP, self._on_suspend)
