"""Wait for what comes first: the job's exit, a limit, the engine, its end, a signal. Decides when to stop the job."""

from __future__ import annotations

import os
import select
import time

from runner.core.causes import DIVERGED
from runner.disk import layout
from runner.output.divergence import Divergence
from runner.processes import process_tree, stuck
from runner.processes.signals import Signals
from runner.supervisor import witness
from runner.supervisor.control_pipe import GONE, ControlPipe
from runner.supervisor.escalation import INTERRUPT, KILL, StopEscalation
from runner.supervisor.messages import KILL as KILL_COMMAND
from runner.supervisor.messages import PRUNE, Request
from runner.supervisor.spawn import exit_descriptor
from runner.supervisor.streams import Streams

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_POLL = 2000.0  # milliseconds; zombies that the job's tree left behind are reaped this often
SHORT = 200.0  # milliseconds after which the output of a job that says nothing is waited for by threads
SESSION_POLL = 100.0  # milliseconds between two looks at a session whose leader has left
HELD = 5.0  # seconds in which a debugger may let go of a job that has ended
LEAVES_ITSELF = 2.0  # seconds in which a job whose training has diverged may end on its own
LOOKS = 8  # at the metrics in the time that a job may be silent, so that it is stopped at most an eighth too late


class Watch:
    """Wait for the job's exit, its time limit, the engine and signals, whichever comes first."""

    def __init__(self, pid: int, request: Request, streams: Streams, divergence: Divergence) -> None:
        self._pid = pid
        self._streams = streams
        self._escalation = StopEscalation(pid, request.grace)
        self._limit = time.monotonic() + request.timeout if request.timeout else None
        stall = request.stall_timeout
        self._silence = Silence(stall, streams, layout.JobPaths(request.out_dir).metrics) if stall else None
        self._divergence = divergence
        self._keep_running = request.keep_running
        self._folder = request.place
        self._exited_at: float | None = None
        self.because: str | None = None  # why the job was stopped: interrupted, timeout, stalled or diverged
        self.stuck: str | None = None  # what could not be killed, or why the exit is not known

    def until_exit(self, control: ControlPipe, signals: Signals, read: Callable[[], None]) -> int | None:
        """The wait status of the job. Its exit is noticed at once, by its pidfd or by a thread that waits.

        `read` starts the threads that read its output. It is not called for a job that ends at once without a word.

        None if it cannot be known: the job could not be killed, or a debugger holds what is left of it.

        A job that was asked to stop may be a shell or a launcher that leaves before what it started: then the rest of
        its session has the time that is left to it.
        """
        exited = exit_descriptor(self._pid)
        self._obey(control.early_commands())
        if not self._ends_in_silence(exited, signals):
            read()
        poll = select.poll()
        for descriptor in (exited, 0, signals.fileno()):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(self._patience())}
            if exited in ready:
                self._exited_at = time.monotonic()
                poll.unregister(exited)
                if not self._escalation.begun and (status := self._wait_status()) is not None:
                    return status
            if 0 in ready:
                self._obey(control.commands())
                if not control.open:
                    poll.unregister(0)
            if signals.fileno() in ready:
                signals.drain()
                self._stop("interrupted", INTERRUPT if len(signals.received) == 1 else KILL)
            self._check_limits()
            self._escalation.tick()
            process_tree.reap(self._pid)
            if self._session_has_left() and (status := self._wait_status()) is not None:
                return status
            if self._escalation.exhausted or self._is_held():
                left = sorted(set(process_tree.descendants(os.getpid())))
                status = self._wait_status()
                if left and self._escalation.exhausted:
                    self.stuck = stuck.unkillable(left)
                elif status is None:
                    self.stuck = stuck.held(self._pid)
                return status

    def _ends_in_silence(self, exited: int, signals: Signals) -> bool:
        """True once the job has ended and both its pipes are at their end, if that is the first that happens."""
        poll = select.poll()
        for descriptor in (exited, *self._streams.pipes, 0, signals.fileno()):
            poll.register(descriptor, select.POLLIN)
        awaited = {exited, *self._streams.pipes}
        while awaited:
            events = [] if self._escalation.begun else poll.poll(min(self._patience(), SHORT))
            for descriptor, event in events:
                if descriptor not in awaited or (event & select.POLLIN and descriptor != exited):
                    return False
                awaited.remove(descriptor)
                poll.unregister(descriptor)
            if not events or (awaited and exited not in awaited):
                return False
        return True

    def _session_has_left(self) -> bool:
        """True once the job has ended and, after a stop request, what it started in its session too."""
        if self._exited_at is None:
            return False
        return not self._escalation.begun or not process_tree.session(self._pid)

    def _is_held(self) -> bool:
        """True if the job ended a while ago, and nobody of it is left, but we are not told how it ended."""
        return self._session_has_left() and time.monotonic() > (self._exited_at or 0.0) + HELD

    def _wait_status(self) -> int | None:
        """The wait status of the job, once the kernel gives it to us."""
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        return status if pid else None

    def _check_limits(self) -> None:
        if self._limit and time.monotonic() >= self._limit:
            self._stop_for_limit("timeout")
            self._limit = None
        if self._silence and self._silence.lasts():
            self._stop_for_limit("stalled")
            self._silence = None
        since = self._divergence.since  # its thread may take it back meanwhile
        if since is not None and not self._escalation.begun and time.monotonic() >= since + LEAVES_ITSELF:
            self._stop(DIVERGED, INTERRUPT)

    def _stop_for_limit(self, because: str) -> None:
        """Stop the job after writing down what it does, unless it is being stopped already."""
        if not self._escalation.begun:
            witness.write(self._folder, because)
        self._stop(because, INTERRUPT)

    def _obey(self, commands: list[bytes]) -> None:
        for command in commands:
            if command == GONE and self._keep_running:
                continue
            because = "pruned" if command == PRUNE else "interrupted"
            self._stop(because, KILL if command == KILL_COMMAND else INTERRUPT)

    def _stop(self, because: str, level: int) -> None:
        self.because = self.because or because
        self._escalation.escalate(level)

    def _patience(self) -> float:
        """Milliseconds until something is due."""
        silence = self._silence.next_look if self._silence else None
        due = [moment for moment in (self._limit, silence, self._escalation.next_at) if moment is not None]
        longest = LONGEST_POLL if self._exited_at is None else SESSION_POLL
        return min(max(min(due) - time.monotonic(), 0) * 1000 + 1, longest) if due else longest


class Silence:
    """How long a job has printed nothing and measured nothing."""

    def __init__(self, limit: float, streams: Streams, metrics: str) -> None:
        self._limit = limit
        self._streams = streams
        self._metrics = metrics
        self._size = self._measured()  # not 0: an earlier attempt may have left its metrics
        self._grown = time.monotonic()
        self.next_look = self._grown + limit / LOOKS

    def lasts(self) -> bool:
        """True once the job was silent for the whole limit."""
        now = time.monotonic()
        if now < self.next_look:
            return False
        size = self._measured()
        if size != self._size:
            self._size, self._grown = size, now
        end = max(self._streams.last_output, self._grown) + self._limit
        self.next_look = min(end, now + self._limit / LOOKS)
        return now >= end

    def _measured(self) -> int:
        try:
            return os.path.getsize(self._metrics)
        except OSError:
            return -1
