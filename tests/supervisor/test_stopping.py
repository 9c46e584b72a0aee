"""How a job is waited for and stopped: steps, control pipe and limits, with a clock and a process of the test."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.core.causes import DIVERGED
from runner.output.divergence import Divergence
from runner.processes import process_tree
from runner.supervisor import control_pipe, escalation, watch, witness
from runner.supervisor.control_pipe import GONE, ControlPipe
from runner.supervisor.escalation import StopEscalation
from runner.supervisor.messages import Started, read_event
from tests.faults import request

# How a job is stopped


class Tree:
    """Notes the signals that would be sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *members: int) -> None:
        self.sent: list[object] = []
        processes = [process_tree.Process(pid, 1, group, 7) for pid, group in ((one, one) for one in members)]
        monkeypatch.setattr(process_tree, "session", lambda pid: processes)
        monkeypatch.setattr(process_tree, "send_group", lambda group, number: self.sent.append((group, number)))
        monkeypatch.setattr(process_tree, "send", lambda pids, number: self.sent.append((tuple(pids), number)))
        monkeypatch.setattr(process_tree, "kill_below", lambda pid: self.sent.append(("below", pid)))
        monkeypatch.setattr(escalation, "interrupt", lambda pid: self.sent.append(("interrupt", pid)))


def test_a_job_is_interrupted_terminated_and_killed_each_after_its_grace(
    monkeypatch: pytest.MonkeyPatch, now: list[float]
) -> None:
    tree = Tree(monkeypatch, 7, 8)
    stop = StopEscalation(7, [10.0, 5.0, 2.0])
    stop.tick()
    assert not stop.begun and tree.sent == [] and stop.next_at is None
    stop.escalate(escalation.INTERRUPT)
    stop.escalate(escalation.INTERRUPT)
    assert stop.begun and tree.sent == [("interrupt", 7)] and stop.next_at == 110.0
    now[0] = 109.9
    stop.tick()
    assert len(tree.sent) == 1
    now[0] = 110.0
    stop.tick()
    assert set(tree.sent[1:3]) == {(7, signal.SIGTERM), (8, signal.SIGTERM)}
    assert set(tree.sent[3:]) == {(7, signal.SIGCONT), (8, signal.SIGCONT)} and stop.next_at == 115.0
    tree.sent.clear()
    now[0] = 115.0
    stop.tick()
    killed = [((7,), signal.SIGKILL), ("below", os.getpid())]
    assert tree.sent == killed and stop.next_at == pytest.approx(115.05)
    now[0] = 116.0
    stop.tick()
    assert tree.sent == killed * 2 and not stop.exhausted
    now[0] = 117.0
    stop.tick()
    assert not stop.exhausted
    now[0] = 117.1
    stop.tick()
    assert stop.exhausted and tree.sent == killed * 3
    at_once = StopEscalation(7, [10.0, 5.0, 2.0])
    at_once.escalate(escalation.KILL)
    at_once.escalate(escalation.TERMINATE)
    assert tree.sent == killed * 4 and at_once.begun


# Control


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ControlPipe, int]]:
    """A control pipe, and the end of it that the engine has."""
    read, write = os.pipe()
    real = os.read
    monkeypatch.setattr(
        control_pipe.os, "read", lambda descriptor, size: real(read if descriptor == 0 else descriptor, size)
    )
    yield ControlPipe(), write
    os.close(read)


def test_commands_are_lines_behind_the_request(control: tuple[ControlPipe, int], tmp_path: Path) -> None:
    pipe, engine = control
    asked = request(tmp_path / "a", "true")
    os.write(engine, asked.to_line() + b"stop\nki")
    found = pipe.read_request()
    assert found is not None and found.argv == ["true"] and pipe.early_commands() == [b"stop"] and pipe.open
    os.write(engine, b"ll\nstop\n")
    assert pipe.commands() == [b"kill", b"stop"]
    os.close(engine)
    assert pipe.commands() == [GONE] and not pipe.open


def test_an_engine_that_ended_before_its_request_asks_for_nothing(control: tuple[ControlPipe, int]) -> None:
    pipe, engine = control
    os.write(engine, b'{"half": ')
    os.close(engine)
    assert pipe.read_request() is None


def test_an_event_is_lost_when_the_engine_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    real = os.write
    monkeypatch.setattr(
        os, "write", lambda descriptor, content: real(write if descriptor == 1 else descriptor, content)
    )
    control_pipe.notify(Started(7, "now"))
    found = read_event(os.read(read, 1000))
    assert isinstance(found, Started) and found.pid == 7
    os.close(read)
    control_pipe.notify(Started(7, "now"))  # SIGPIPE is ignored in Python
    os.close(write)


# Silence and limits


class Quiet:
    last_output = 100.0
    pipes: tuple[int, ...] = ()


def test_a_job_is_silent_once_neither_output_nor_metrics_came_for_the_limit(tmp_path: Path, now: list[float]) -> None:
    metrics, said = tmp_path / "metrics.jsonl", Quiet()
    metrics.write_text("of an earlier attempt")
    silence = watch.Silence(8.0, said, str(metrics))  # type: ignore[arg-type]
    assert silence.next_look == 101.0 and not silence.lasts()
    now[0] = 107.9
    assert not silence.lasts() and silence.next_look == 108.0
    metrics.write_text("1")
    now[0] = 108.0
    assert not silence.lasts() and silence.next_look == 109.0
    now[0] = 115.9
    assert not silence.lasts() and silence.next_look == 116.0
    metrics.unlink()  # which is a change as well
    now[0] = 116.0
    assert not silence.lasts()
    said.last_output = 120.0
    now[0] = 127.9
    assert not silence.lasts()
    now[0] = 127.95
    assert not silence.lasts() and silence.next_look == 128.0
    now[0] = 128.0
    assert silence.lasts()


class Job:
    """A process that exits when it is told, and what its supervisor waits for."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> None:
        self.sent: list[str] = []
        self.read, self.write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.write)
            code = os.read(self.read, 1)
            os._exit(code[0] if code else 99)
        os.close(self.read)
        monkeypatch.setattr(escalation, "interrupt", lambda pid: self.note("interrupt"))
        monkeypatch.setattr(process_tree, "session", lambda pid: [])
        monkeypatch.setattr(process_tree, "send_group", lambda group, number: self.note("terminate"))
        monkeypatch.setattr(process_tree, "kill_below", lambda pid: self.note("kill"))
        monkeypatch.setattr(process_tree, "send", lambda pids, number: None)
        monkeypatch.setattr(process_tree, "reap", lambda but: None)
        self.stop_with: dict[str, int] = {}
        asked = request(folder / "a", "t", **more)
        self.divergence = Divergence(1)
        self.streams = Quiet()
        self.is_read = False
        self.watch = watch.Watch(self.pid, asked, self.streams, self.divergence)  # type: ignore[arg-type]

    def note(self, what: str) -> None:
        if what not in self.sent:
            self.sent.append(what)
        if what in self.stop_with:
            self.exit(self.stop_with.pop(what))

    def exit(self, code: int) -> None:
        os.write(self.write, bytes([code]))

    def until_exit(self, monkeypatch: pytest.MonkeyPatch, control: Any = None) -> int | None:
        nothing, engine = os.pipe()
        self.engine = engine
        real = select.poll

        class Poll:
            def __init__(self) -> None:
                self._poll = real()

            def register(self, descriptor: int, events: int) -> None:
                self._poll.register(nothing if descriptor == 0 else descriptor, events)

            def unregister(self, descriptor: int) -> None:
                self._poll.unregister(nothing if descriptor == 0 else descriptor)

            def poll(self, patience: float) -> list[tuple[int, int]]:
                return [(0 if one == nothing else one, event) for one, event in self._poll.poll(min(patience, 50))]

        monkeypatch.setattr(watch.select, "poll", Poll)
        return self.watch.until_exit(control or Commands(), NoSignals(), self.be_read)  # type: ignore[arg-type]

    def be_read(self) -> None:
        self.is_read = True


class Commands:
    """A control pipe with these commands from the start."""

    def __init__(self, *commands: bytes) -> None:
        self._commands = list(commands)
        self.open = True

    def early_commands(self) -> list[bytes]:
        return self._commands


class NoSignals:
    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def fileno(self) -> int:
        return self._read


@pytest.mark.parametrize(
    ("commands", "keep_running", "stop_with", "because", "sent"),
    [
        ([], False, {}, None, []), ([b"stop"], False, {"interrupt": 3}, "interrupted", ["interrupt"]),
        ([b"kill"], False, {"kill": 3}, "interrupted", ["kill"]),
        ([GONE], False, {"interrupt": 3}, "interrupted", ["interrupt"]), ([GONE], True, {}, None, []),
        ([b"stop", b"kill"], False, {"kill": 3}, "interrupted", ["interrupt", "kill"]),
        ([b"stop"], False, {"terminate": 3}, "interrupted", ["interrupt", "terminate"]),
    ],
)  # fmt: skip
def test_a_job_is_waited_for_and_stopped_when_the_engine_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands: list[bytes], keep_running: bool, stop_with: dict[str,
    int],
    because: str | None, sent: list[str],
) -> None:  # fmt: skip
    one = Job(tmp_path, monkeypatch)
    one.watch._keep_running = keep_running
    one.stop_with = dict(stop_with)
    if not stop_with:
        one.exit(3)
    status = one.until_exit(monkeypatch, Commands(*commands))
    assert (
        status == 3 << 8 and one.watch.because == because and one.sent[: len(sent)] == sent and one.watch.stuck is None
    )
    assert bool(one.sent) == bool(sent)


@pytest.mark.parametrize(
    ("said", "held", "early", "is_read"),
    [(b"", False, [], False), (b"x", False, [], True), (b"", True, [], True), (b"", False, [b"stop"], True)],
)
def test_threads_read_the_output_unless_a_job_ends_at_once_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes, held: bool, early: list[bytes], is_read: bool
) -> None:
    one = Job(tmp_path, monkeypatch)
    read, write = os.pipe()
    one.streams.pipes = (read,)
    os.write(write, said)
    if not held:
        os.close(write)
    one.exit(3)
    assert one.until_exit(monkeypatch, Commands(*early)) == 3 << 8
    assert one.is_read == is_read


def test_threads_read_the_output_of_a_job_that_does_not_end_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Job(tmp_path, monkeypatch)
    monkeypatch.setattr(one, "be_read", lambda: one.exit(3))
    read, write = os.pipe()
    one.streams.pipes = (read,)
    os.close(write)
    assert one.until_exit(monkeypatch) == 3 << 8


def test_a_time_limit_and_a_divergence_stop_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(witness, "write", lambda folder, why: written.append(why))
    one = Job(tmp_path, monkeypatch, timeout=0.01)
    one.stop_with = {"interrupt": 4}
    assert one.until_exit(monkeypatch) == 4 << 8 and one.watch.because == "timeout" and written == ["timeout"]
    other = Job(tmp_path, monkeypatch)
    other.stop_with = {"interrupt": 5}
    other.divergence.since = time.monotonic() - watch.LEAVES_ITSELF
    assert other.until_exit(monkeypatch) == 5 << 8 and other.watch.because == DIVERGED and written == ["timeout"]
    third = Job(tmp_path, monkeypatch, stall_timeout=0.01)
    third.stop_with = {"interrupt": 6}
    assert third.until_exit(monkeypatch) == 6 << 8 and third.watch.because == "stalled" and written[1:] == ["stalled"]


def test_a_job_that_diverged_may_leave_by_itself_for_two_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: list[float]
) -> None:
    one = Job(tmp_path, monkeypatch, timeout=50.0, stall_timeout=80.0)
    monkeypatch.setattr(witness, "write", lambda folder, why: None)
    one.divergence.since = 100.0
    for moment, because in ((101.9, None), (102.0, DIVERGED), (150.0, DIVERGED)):
        now[0] = moment
        one.watch._check_limits()
        assert one.watch.because == because
    other = Job(tmp_path, monkeypatch, timeout=50.0)
    now[0] = 199.9
    other.watch._check_limits()
    assert other.watch.because is None
    now[0] = 200.0
    other.watch._check_limits()
    assert other.watch.because == "timeout" and other.watch._limit is None and other.sent == ["interrupt"]
    for job in (one, other):
        job.exit(0)
        os.waitpid(job.pid, 0)


def test_nothing_is_due_before_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: list[float]) -> None:
    one = Job(tmp_path, monkeypatch, timeout=5.0, stall_timeout=16.0)
    looking = one.watch
    assert looking._patience() == pytest.approx(2000.0) and one.watch._limit == 105.0
    now[0] = 101.5
    assert looking._patience() == pytest.approx(501.0)
    now[0] = 109.0
    assert looking._patience() == pytest.approx(1.0)
    plain = Job(tmp_path, monkeypatch)
    assert plain.watch._patience() == 2000.0 and not plain.watch._session_has_left() and not plain.watch._is_held()
    plain.watch._exited_at = 105.0
    assert plain.watch._patience() == 100.0 and plain.watch._session_has_left()
    now[0] = 110.0
    assert not plain.watch._is_held()
    now[0] = 110.1
    assert plain.watch._is_held()
    plain.watch._escalation.escalate(escalation.INTERRUPT)
    monkeypatch.setattr(process_tree, "session", lambda pid: [1])
    assert not plain.watch._session_has_left()
    for job in (one, plain):
        job.exit(0)
        os.waitpid(job.pid, 0)
