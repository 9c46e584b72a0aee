"""Which jobs are to be stopped, or pruned: files in slurm/stops/, for what no signal of Slurm's can say.

A pilot runs many jobs of a batch, and Slurm knows the pilot only. A task of an array gets the same signal for a job
that is stopped and for one that is pruned. Each request is for one submission: a job that is submitted again is not
meant.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

from runner.core import clock
from runner.core.fields import Fields
from runner.disk import atomic, record_file
from runner.disk.place import Place
from runner.slurm import claims, submissions

STOPS = "stops"
SCHEMA = 1
STOP, KILL, PRUNE, DRAIN = "stop", "kill", "prune", "drain"
EVERY = "%all"  # instead of the name of a job: the whole submission. No key of a job is like it


class Stop(NamedTuple):
    """A request: `how` is stop, kill, prune or drain; `since` tells it from a later one."""

    how: str
    since: str


def request(root: Path, comment: str, name: str | None, how: str) -> None:
    """Stop this job of a submission, or all of them. Raises OSError."""
    place = _folder(root)
    place.make()
    record = {"schema": SCHEMA, "comment": comment, "how": how, "since": clock.now()}
    atomic.write_json(place / _key(name), record, durable=False)


def requested(root: Path, comment: str, name: str | None) -> Stop | None:
    """The request to stop this job of a submission, or all of them; None if there is none."""
    found = _read(root, _key(name))
    return Stop(found["how"], found["since"]) if found.get("comment") == comment else None


def keys(root: Path) -> frozenset[str]:
    """The keys of all jobs for which there is a request, also of earlier submissions: one look at a folder."""
    try:
        return frozenset(_folder(root).names_in())
    except OSError:
        return frozenset()


def withdraw(root: Path) -> None:
    """A user starts the batch again: what was stopped may run. What is to be pruned stays so."""
    for key in keys(root):
        if _read(root, key).get("how") != PRUNE:
            with contextlib.suppress(OSError):
                (_folder(root) / key).remove()


def _read(root: Path, key: str) -> dict[str, str]:
    """Empty without a request, or for what is not one."""
    found = record_file.look(str(_folder(root) / key), _fields)
    return found if isinstance(found, dict) else {}


def _fields(record: dict[str, Any]) -> dict[str, str]:
    """Raises ValueError for what is not a request."""
    return {name: Fields(record).text(name) for name in ("comment", "how", "since")}


def _folder(root: Path) -> Place:
    return submissions.folder(root) / STOPS


def _key(name: str | None) -> str:
    return EVERY if name is None else claims.key(name)
