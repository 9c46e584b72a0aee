"""Read a file of /proc or /sys in three system calls. Standard library only; every supervisor imports it."""

from __future__ import annotations

import os

BLOCK = 1 << 13


def read(path: str) -> bytes:
    """All of it. Raises OSError. `open` makes three objects for it, and asks twice what it is."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = b""
        while block := os.read(descriptor, BLOCK):
            content += block
        return content
    finally:
        os.close(descriptor)
