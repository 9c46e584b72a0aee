"""Write what a command made to a file that the user named."""

from __future__ import annotations

from pathlib import Path

from runner.disk import atomic


def save(path: Path, content: bytes) -> None:
    """A file is replaced atomically; a pipe or a device, such as /dev/stdout, is written to and never replaced."""
    if path.exists() and not path.is_file():
        path.write_bytes(content)
    else:
        atomic.write_bytes(path.resolve(), content)
