"""What a Linux process can ask of the kernel for itself. Elsewhere nothing happens."""

from __future__ import annotations

import ctypes
import sys

#: The signal when the parent dies; orphans of all descendants become children of this process.
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
#: Found here once: to look for it in each supervisor and in each job takes 0.2 ms.
_PRCTL = ctypes.CDLL(None).prctl if sys.platform.startswith("linux") else None


def prctl(option: int, value: int) -> None:
    """Linux only; elsewhere only process groups and control pipes are used."""
    if _PRCTL is not None:
        _PRCTL(option, value, 0, 0, 0)
