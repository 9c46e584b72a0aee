"""Replace the words of this process's command, as others see it: `ps`, and `process_id.command`. Linux only.

Standard library only; the program that forks supervisors imports it.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Sequence


def replace(words: Sequence[str]) -> None:
    """Show these words, in the memory that the kernel filled with the command. Raises OSError without room for them.

    A word of spaces at the end of a command makes room.
    """
    text = b"".join(os.fsencode(word) + b"\0" for word in words)
    begin, end = _bounds()
    if not 0 < len(text) <= end - begin:
        raise OSError(f"a command of {len(text)} bytes has no room in {end - begin}")
    ctypes.memmove(begin, text.ljust(end - begin, b"\0"), end - begin)


def _bounds() -> tuple[int, int]:
    """Where the command is in the memory of this process."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return int(fields[45]), int(fields[46])  # arg_start and arg_end, see proc(5)
