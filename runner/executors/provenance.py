"""What is worth knowing later about the machine and the code that ran, gathered once per batch."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "numpy", "pydantic", "pyyaml", "rich", "psutil", "wandb", "tiktoken")
PATIENCE = 5.0  # seconds for a program that is asked


def gather(folder: Path) -> dict[str, Any]:
    """Python, packages, git state of `folder`, host and GPUs; None where something cannot be known."""
    return {
        "python": platform.python_version(),
        "python_executable": sys.executable,
        "packages": {name: _version(name) for name in PACKAGES},
        "git": git(folder),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "memory_bytes": _memory(),
        "gpus": gpus(),
    }


def _memory() -> int | None:
    try:
        import psutil
    except ImportError:  # not worth a batch
        return None
    return int(psutil.virtual_memory().total)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def git(folder: Path) -> dict[str, Any] | None:
    """Commit, branch, and whether tracked files were changed; None outside a checkout."""
    commit = _ask(["git", "-C", str(folder), "rev-parse", "HEAD"])
    if not commit:
        return None
    return {
        "commit": commit,
        "branch": _ask(["git", "-C", str(folder), "rev-parse", "--abbrev-ref", "HEAD"]),
        "dirty": bool(_ask(["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no"])),
    }


def gpus() -> list[str]:
    """The names of the NVIDIA GPUs, in the order of their index."""
    if shutil.which("nvidia-smi") is None:
        return []
    names = _ask(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    return names.splitlines() if names else []


def _ask(command: list[str]) -> str | None:
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
