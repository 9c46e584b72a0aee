"""Memory that a training frees stays with its process, for the next step. Knows nothing of torch.

Every step needs the same memory as the one before it. By default glibc gives large pieces back to the kernel as soon
as they are free, and the kernel clears each page of the next ones: 5,000 page faults a step took a seventh of the time
of a small network (docs/performance.md). Other C libraries have no such settings.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

# Of glibc's malloc.h, with the names of mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
#: Bytes up to which a piece of memory is kept, and bytes that are kept together. Larger pieces go back when they are
#: free, such as a text of a gigabyte, which is read only once.
LARGEST, TOGETHER = 256 << 20, 1 << 30
LARGEST_BEFORE = 32 << 20  # the most that glibc allows before version 2.35


def keep_freed(environ: Mapping[str, str]) -> bool:
    """Keep what is freed from now on, unless the user has set the allocator; returns whether that was done."""
    if any(name.startswith("MALLOC_") for name in environ) or "glibc.malloc" in environ.get("GLIBC_TUNABLES", ""):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or not any(mallopt(M_MMAP_THRESHOLD, size) for size in (LARGEST, LARGEST_BEFORE)):
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, TOGETHER))
