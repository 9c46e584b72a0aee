"""Who really holds a lock, as the kernel tells, whatever its file says (Linux). Signals nobody, writes nothing."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.processes import process_id


def is_holder(record: Mapping[str, Any], path: str) -> bool:
    """True unless it is sure that the process of the record does not have the lock file open."""
    identity: list[str] = record.get("identity") or []
    if not process_id.is_record(identity):
        return False
    if process_id.in_other_namespace(identity, record.get("pid_namespace")):
        return True  # its number means nothing here
    if identity[0] != str(record.get("pid")) or not process_id.alive(identity):
        return False
    return _has_open(identity[0], path) is not False


def described(path: str) -> str:
    """The process that holds the lock, for a message: `process 4711 of eve (cat)`."""
    pid = next((pid for pid in _holders(path) if pid > 0), None)
    if pid is None:
        return "a process that cannot be seen from here"
    command = process_id.command(pid) or ["?"]
    return f"process {pid} of {_user(pid)} ({Path(command[0]).name})"


def _has_open(pid: str, path: str) -> bool | None:
    """Whether the process has this very file open; None if that cannot be known."""
    try:
        wanted = Path(path).stat()
        opened = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return None
    return any(_is_same(link, wanted) for link in opened)


def _is_same(link: Path, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(link.stat(), wanted)
    except OSError:  # closed meanwhile
        return False


def _holders(path: str) -> list[int]:
    """The processes that took a lock on the file, as /proc/locks shows them."""
    try:
        inode = str(Path(path).stat().st_ino)
        rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return []
    return [int(row[4]) for row in rows if row[1] == "FLOCK" and row[5].rpartition(":")[2] == inode]


def _user(pid: int) -> str:
    try:
        number = Path(f"/proc/{pid}").stat().st_uid
        return pwd.getpwuid(number).pw_name
    except OSError:
        return "?"
    except KeyError:  # a number without a name
        return f"uid {number}"
