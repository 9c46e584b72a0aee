"""Which of Slurm's jobs runs which of ours: files in slurm/claims/ that only one process can make, also over NFS.

Each start of a job is a claim with the next number: NAME.1, NAME.2, … So a task that was submitted twice, or requeued
after its node was lost, never runs a job that another one has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from runner.core import clock
from runner.core.fields import Fields
from runner.disk import atomic, record_file
from runner.slurm import submissions

CLAIMS = "claims"
LONGEST_NAME = 150
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """One start of a job. `requeues` and `idle` count the starts before it since a user started the job: all, and the
    last ones without progress. `position` and `checkpoint` say how far the job was at this start.
    """

    slurm_id: str
    node: str
    comment: str  # of the submission
    requeues: int = 0
    idle: int = 0
    position: int | None = None
    checkpoint: str | None = None
    ended: bool = False
    number: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "slurm_id": self.slurm_id,
            "node": self.node,
            "comment": self.comment,
            "requeues": self.requeues,
            "idle": self.idle,
            "position": self.position,
            "checkpoint": self.checkpoint,
            "ended": self.ended,
            "since": clock.now(),
        }

    @classmethod
    def from_json(cls, number: int, record: dict[str, Any]) -> Claim:
        """Raises ValueError for what is not a claim."""
        fields = Fields(record)
        return cls(
            fields.text("slurm_id"), fields.text("node"), fields.text("comment"),
            fields.whole("requeues", 0, least=0), fields.whole("idle", 0, least=0),
            fields.whole("position", None), fields.text("checkpoint", None), fields.flag("ended", False), number,
        )  # fmt: skip


def claimed(root: Path) -> set[str]:
    """The keys of all jobs that were ever claimed: one look at a folder."""
    try:
        return {name.rpartition(".")[0] for name in (submissions.folder(root) / CLAIMS).names_in()}
    except OSError:
        return set()


def latest(root: Path, name: str) -> Claim | None:
    """The claim that counts; None if the job was never started."""
    found: Claim | None = None
    number = 1
    while (claim := _read(root, name, number)) is not None:
        found, number = claim, number + 1
    return found


def _read(root: Path, name: str, number: int) -> Claim | None:
    path = str(submissions.folder(root) / CLAIMS / f"{key(name)}.{number}")
    found = record_file.look(path, lambda record: Claim.from_json(number, record))
    if found is None or isinstance(found, Claim):
        return found
    return Claim("", "", "", number=number, ended=True)  # it cannot be read: the next one counts


def take(root: Path, name: str, own: Claim, before: Claim | None) -> Claim | None:
    """Claim a job after the claim `before`; None if another process was faster. Raises OSError."""
    claim = replace(own, number=1 if before is None else before.number + 1)
    place = submissions.folder(root) / CLAIMS
    place.make()
    made = atomic.create(place / f"{key(name)}.{claim.number}", atomic.json_bytes(claim.to_json()))
    return claim if made else None


def is_free(claim: Claim | None, slurm_id: str, exists: Callable[[str], bool | None]) -> bool | None:
    """Whether a job with this latest claim may be started by `slurm_id`. None: Slurm did not answer.

    A claim of our own is that of an earlier start, which Slurm ended before it started us again.
    """
    if claim is None or claim.ended or claim.slurm_id == slurm_id:
        return True
    other = exists(claim.slurm_id)
    return None if other is None else not other


def end(root: Path, name: str, claim: Claim) -> None:
    """The job has ended: whoever comes next need not ask Slurm for this claim. Raises OSError."""
    place = submissions.folder(root) / CLAIMS / f"{key(name)}.{claim.number}"
    atomic.write_json(place, replace(claim, ended=True).to_json(), durable=False)


def key(name: str) -> str:
    """A name of a file for that of a job, which may have slashes."""
    text = quote(name, safe="")
    return text if len(text) <= LONGEST_NAME else f"{text[:100]}.{hashlib.sha256(name.encode()).hexdigest()[:32]}"
