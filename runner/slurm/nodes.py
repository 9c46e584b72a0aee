"""Nodes on which jobs failed because of the node: they are left out of what is submitted later."""

from __future__ import annotations

from pathlib import Path

from runner.core import clock
from runner.core.causes import DEVICE, IMPORT
from runner.core.fields import Fields
from runner.core.result import Result
from runner.core.state import COMPLETED, FAILED
from runner.disk import atomic, record_file
from runner.disk.place import Place
from runner.slurm import submissions

MOST = 5  # nodes that are left out: more mean that something else is wrong
FOLDER, WORKED = "nodes", ".worked"


def _place(root: Path) -> Place:
    return submissions.folder(root) / FOLDER


def _names(root: Path) -> list[str]:
    try:
        return sorted(_place(root).names_in())
    except OSError:
        return []


def bad(root: Path) -> dict[str, str]:
    """The nodes that are left out, each with the reason."""
    found = {}
    for name in _names(root):
        if name.startswith(".") or name.endswith(WORKED):
            continue
        reason = record_file.look(str(_place(root) / name), lambda record: Fields(record).text("reason"))
        found[name] = reason if isinstance(reason, str) else "is not known"
    return dict(list(found.items())[:MOST])


def note(root: Path, node: str, reason: str) -> bool:
    """Leave out a node from now on; False if it was left out before, or too many are. Raises OSError."""
    if not node or "/" in node or len(bad(root)) >= MOST:
        return False
    _place(root).make()
    return atomic.create(_place(root) / node, atomic.json_bytes({"reason": reason, "since": clock.now()}))


def after(root: Path, node: str, result: Result) -> str | None:
    """Why a job that ended so on this node has to run on another one; None if that is not so. Raises OSError.

    A module that is missing here, but not where other jobs of the batch completed, is missing on this node only.
    """
    if not node or "/" in node:
        return None
    names = _names(root)
    if result.status == COMPLETED:
        if node + WORKED not in names:
            _place(root).make()
            atomic.create(_place(root) / (node + WORKED), b"")
        return None
    elsewhere = any(name.endswith(WORKED) and name != node + WORKED for name in names)
    device = result.cause == DEVICE and result.cause_sure
    absent = result.cause == IMPORT and elsewhere and node + WORKED not in names
    if result.status != FAILED or not (device or absent):
        return None
    reason = result.error or result.cause or ""
    return reason if note(root, node, reason) or _was_left_out_since(root, node, result.start_time) else None


def _was_left_out_since(root: Path, node: str, began: str | None) -> bool:
    """Whether a job that began then was started before its node was left out because of another one."""
    since = record_file.look(str(_place(root) / node), lambda record: Fields(record).text("since"))
    return began is not None and isinstance(since, str) and began < since  # both in UTC, and of the same width
