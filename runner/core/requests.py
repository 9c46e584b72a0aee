"""What a user requests of a batch while it runs, and the answer. Values only; nothing here decides."""

from __future__ import annotations

from dataclasses import dataclass

from runner.core.job import Job


@dataclass(frozen=True, slots=True)
class StopJobs:
    """Stop these running jobs as a stop request does, or `kill` them; the batch continues."""

    names: tuple[str, ...]
    kill: bool = False


@dataclass(frozen=True, slots=True)
class SkipJobs:
    """Do not start these pending jobs."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MoveJobs:
    """Start these pending jobs before all other pending ones, or after them."""

    names: tuple[str, ...]
    first: bool


@dataclass(frozen=True, slots=True)
class AddJobs:
    """Run these jobs as well, before all pending ones or after them."""

    jobs: tuple[Job, ...]
    first: bool


Request = StopJobs | SkipJobs | MoveJobs | AddJobs


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request that waits for its answer; `ticket` tells it from others."""

    ticket: str
    request: Request


@dataclass(frozen=True, slots=True)
class Answer:
    """Sentences on what was done; if `refused`, on why nothing was."""

    lines: tuple[str, ...]
    refused: bool = False
