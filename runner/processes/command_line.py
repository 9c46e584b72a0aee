"""Replace what others see of this process: its command (`ps`), and a variable it was started with. Linux only.

Standard library only; the program that forks supervisors imports it.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

from runner.processes import kernel_file

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Sequence

COMMAND, ENVIRONMENT = 45, 47  # fields after the name of the program: arg_start and env_start, see proc(5)


def replace(words: Sequence[str], *, cut: bool = False) -> None:
    """Show these words, in the memory that the kernel filled with the command. Raises OSError without room for them.

    A word of spaces at the end of a command makes room. `cut`: show what has room.
    """
    text = b"".join(os.fsencode(word) + b"\0" for word in words)
    begin, end = of_command()
    if cut:
        text = text[: end - begin - 1]
    if not 0 < len(text) <= end - begin:
        raise OSError(f"a command of {len(text)} bytes has no room in {end - begin}")
    ctypes.memmove(begin, text.ljust(end - begin, b"\0"), end - begin)


def set_variable(name: str, value: str) -> None:
    """Show another value of a variable in /proc/PID/environ; os.environ stays. Raises OSError without room for it.

    The value that this process was started with makes room.
    """
    begin, end = _bounds(ENVIRONMENT)
    text, entry, new = b"\0" + ctypes.string_at(begin, end - begin), os.fsencode(f"\0{name}="), os.fsencode(value)
    at = text.find(entry)
    start = at + len(entry) - 1  # of the value, from `begin`
    room = text.find(b"\0", start + 1) - start - 1
    if at < 0 or len(new) > room:
        raise OSError(f"{name} has no room for {len(new)} bytes")
    ctypes.memmove(begin + start, new.ljust(room, b"\0"), room)


@cache
def of_command() -> tuple[int, int]:
    """Where the command of this process is in its memory: it stays there, in a fork too."""
    return _bounds(COMMAND)


def _bounds(field: int) -> tuple[int, int]:
    """Where the command, or the environment, is in the memory of this process."""
    fields = kernel_file.read("/proc/self/stat").rpartition(b")")[2].split()
    return int(fields[field]), int(fields[field + 1])
