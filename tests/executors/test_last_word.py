"""A job is done with the last word of its supervisor: the next one does not wait until that process has ended."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from runner.core.options import RunOptions
from runner.core.result import Result
from runner.core.state import Finished, Record
from runner.executors.guard import Guard
from runner.executors.patience import Patience
from runner.executors.spawner import Child, nothing, with_pipes
from runner.executors.supervised import Room, Supervised
from runner.supervisor.messages import Ended
from tests.engine.fakes import job


class Supervisor(Child):
    """One that the test speaks for, and that stays as long as the test says."""

    def __init__(self, says: int, control: int, events: int) -> None:
        super().__init__(os.getpid(), control, events)
        self.says, self.stays, self.forgotten = says, True, False

    def gone(self, within: float = 0.0) -> bool:
        return not self.stays

    def exit_code(self) -> int | None:
        return None

    def kill(self) -> None:
        self.stays = False

    def forget(self) -> None:
        self.forgotten = True


class Starter:
    started: Supervisor

    def start(
        self, name: str, words: Sequence[str], files: Sequence[int] = (), meanwhile: Callable[[], None] = nothing
    ) -> Child:
        def made(inherited: Sequence[int], control: int, events: int) -> Supervisor:
            return Supervisor(os.dup(inherited[1]), control, events)

        meanwhile()
        self.started = with_pipes(made, files)
        return self.started

    def remark(self) -> str:
        return ""


class Guarded:
    """Takes the part of the guard."""

    def __init__(self) -> None:
        self.watched: list[str] = []

    def watch(self, supervisor: Sequence[str], mark: str, folder: Path) -> None:
        self.watched.append(mark)

    def forget(self, mark: str) -> None:
        self.watched.remove(mark)


@pytest.fixture
def lock() -> Iterator[int]:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def handle(folder: Path, starter: Starter, guard: Guarded, *files: int) -> Supervised:
    provenance: dict[str, Any] = {}
    return Supervised(job("a", folder), RunOptions(), lambda job: provenance, Patience(lambda: False),
                      cast("Guard", guard), starter, Room(descriptors=files))  # fmt: skip


def last_word(one: Supervised, unwritten: str | None = None) -> bytes:
    result = Result({"status": "completed", "nonce": one.attempt.nonce, "attempt": 1})
    return Ended(result, unwritten).to_line()


def test_a_job_is_done_with_the_last_word_and_its_supervisor_is_forgotten_once_it_is_gone(tmp_path: Path) -> None:
    starter, guard = Starter(), Guarded()
    one = handle(tmp_path, starter, guard)
    os.write(starter.started.says, last_word(one))
    one.read_events()
    assert one.done()
    record = one.record()
    assert isinstance(record, Record) and isinstance(record.state, Finished)
    assert not one.left() and len(guard.watched) == 1 and not starter.started.forgotten
    starter.started.stays = False
    assert one.left() and not guard.watched and starter.started.forgotten
    os.close(starter.started.says)


@pytest.mark.parametrize("case", ["holds a lock", "could not write", "of another"])
def test_the_end_of_the_process_is_waited_for(tmp_path: Path, lock: int, case: str) -> None:
    starter = Starter()
    one = handle(tmp_path, starter, Guarded(), *([lock] if case == "holds a lock" else []))
    word = last_word(one, "disk full" if case == "could not write" else None)
    os.write(starter.started.says, word.replace(one.attempt.nonce.encode(), b"x") if case == "of another" else word)
    one.read_events()
    assert not one.done()
    os.close(starter.started.says)
    starter.started.stays = False
    one.read_events()
    assert one.done()
