"""notices.json: what was reported of a batch, so that a run that continues it neither repeats nor forgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runner.core import clock
from runner.disk import atomic, reading
from runner.disk.layout import BatchPaths
from runner.notify.message import Message

SCHEMA = 1
KEPT = 200  # notices


@dataclass(frozen=True, slots=True)
class Ledger:
    """`run` is the start of the last run that had notifications; `reported` are the keys of events."""

    run: str | None = None
    reported: tuple[str, ...] = ()
    notices: tuple[dict[str, Any], ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "run": self.run, "reported": list(self.reported), "notices": list(self.notices)}

    def with_notice(self, channel: str | None, message: Message, error: str | None) -> Ledger:
        """The ledger with one try to report. `channel` None: it was left to the terminal."""
        notice = {"time": clock.now(), "channel": channel, "title": message.title, "error": error}
        reported = self.reported if error else tuple(dict.fromkeys((*self.reported, *message.keys)))
        return replace(self, reported=reported, notices=(*self.notices, notice)[-KEPT:])


def read(root: Path) -> Ledger:
    """The ledger of a batch; an empty one if there is none, or none that can be read."""
    record = reading.read_json(BatchPaths(root).notices, reading.LARGEST_OF_BATCH)
    run, reported, notices = record.get("run"), record.get("reported"), record.get("notices")
    return Ledger(
        run if isinstance(run, str) else None,
        tuple(map(str, reported)) if isinstance(reported, Sequence) else (),
        tuple(one for one in notices if isinstance(one, dict)) if isinstance(notices, list) else (),
    )


def write(root: Path, ledger: Ledger) -> None:
    """Raises OSError."""
    atomic.write_json(BatchPaths(root).notices, ledger.to_json())
