"""What a Linux process can ask of the kernel for itself. Elsewhere nothing happens."""

from __future__ import annotations

import ctypes
import sys

#: The signal when the parent dies; orphans of all descendants become children of this process.
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
_LIBC = ctypes.CDLL(None)


def prctl(option: int, value: int) -> None:
    """Linux only; elsewhere only process groups and control pipes are used."""
    if sys.platform.startswith("linux"):
        _LIBC.prctl(option, value, 0, 0, 0)
