"""Write a figure as a PNG file. Draws nothing itself, and needs no display."""

from __future__ import annotations

import os
from pathlib import Path

from matplotlib.figure import Figure


def save(drawn: Figure, path: Path) -> Path:
    """Write the file completely or not at all: a run that is stopped while it draws leaves no partial file."""
    part = path.with_name(f".{path.stem}.{os.getpid()}.tmp.png")
    try:
        drawn.savefig(part, dpi=100)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
