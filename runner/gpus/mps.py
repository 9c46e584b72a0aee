"""Whether NVIDIA's MPS runs on this machine: a fatal fault of one of its clients reaches the others on that GPU.

It is recorded, and never started or stopped from here.
"""

from __future__ import annotations

from pathlib import Path

_NAME = "nvidia-cuda-mps"  # of its daemon and of its server: the kernel keeps 15 characters


def is_mps(pid: int) -> bool:
    """Whether a process belongs to MPS. Its server holds memory for the jobs that are its clients."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").startswith(_NAME)
    except OSError:
        return False


def runs() -> bool:
    """Whether any process of MPS can be seen."""
    try:
        return any(is_mps(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    except OSError:
        return False
