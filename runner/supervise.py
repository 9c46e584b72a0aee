"""Own one job: start it, read its output, stop it when told to or when the engine is gone, record how it ended.

A program of its own, started as `python -I -S supervise.py`. Standard input is the leash: its first line is the order
as JSON, later lines are `stop` or `kill`, and its end means that the engine is gone. Standard output carries events, a
JSON object a line. The result is written before the program ends. Knows nothing of batches.
"""

from __future__ import annotations

import os
import sys

sys.path.append(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
)  # last: no file of ours may hide the standard library

import json
import select
import signal
import time

from runner import atomic, clock, layout, result, tree
from runner.ladder import Ladder
from runner.signals import Signals
from runner.spawn import PR_SET_CHILD_SUBREAPER, exit_descriptor, pipe, prctl, spawn
from runner.streams import Streams

TYPE_CHECKING = False  # what typing.TYPE_CHECKING says, without the cost of its import
if TYPE_CHECKING:
    from typing import Any

DRAIN = 2.0  # seconds that processes left behind by a job may hold its pipes, and live
RECORD_RETRIES = 3.0  # seconds in which a result that cannot be written is tried again


def main() -> int:
    order, rest = read_order()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    with Signals() as signals:
        return supervise(order, Leash(rest), signals)


def read_order() -> tuple[dict[str, Any], bytes]:
    """The first line of the leash, and what came behind it."""
    text = b""
    while b"\n" not in text:
        block = os.read(0, 1 << 16)
        if not block:
            sys.exit(0)  # the engine left before it gave us something to do
        text += block
    line, _, rest = text.partition(b"\n")
    return json.loads(line), rest


def supervise(order: dict[str, Any], leash: Leash, signals: Signals) -> int:
    """Run the job of `order` to its end. Returns this program's exit code: 0 if the end is recorded."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    paths = layout.JobPaths(order["out_dir"])
    times = Times()
    out, err = pipe(), pipe()
    streams = Streams(out[0], err[0], (paths.stdout, paths.stderr, paths.combined), order["log_timestamps"])
    try:
        pid = spawn(order["argv"], order["env"], order["cwd"], out[1], err[1])
    except OSError as error:
        why = f"cannot start {order['argv'][0]!r}: {error.strerror or error}"
        return record(order, times, {"status": "error", "return_code": None, "signal": None}, why, streams)
    os.close(out[1])
    os.close(err[1])
    say({"event": "started", "pid": pid, "time": times.wall})
    streams.start()
    watch = Watch(pid, Ladder(pid, order["grace"]), order["timeout"])
    status = watch.until_exit(leash, signals)
    end = result.ending(status, watch.because)
    times.stop()
    if not (streams.join(0.05) and alone()):
        # The exit is recorded before anything else is waited for.
        record(order, times, end, result.cause(end, order["timeout"]), streams, final=False)
        clear_up(streams)
    streams.finish(0.2)
    sentence = result.cause(end, order["timeout"])
    if watch.unkillable:
        sentence = f"{sentence}; processes {watch.unkillable} could not be killed"
    return record(order, times, end, sentence, streams)


class Times:
    """When the job began and ended, and for how long it ran."""

    def __init__(self) -> None:
        self.wall = clock.now()
        self._began = time.monotonic()
        self.seconds = 0.0
        self.ended = ""

    def stop(self) -> None:
        self.ended = clock.now()
        self.seconds = round(time.monotonic() - self._began, 3)


class Leash:
    """Standard input: commands of the engine, and its end."""

    def __init__(self, rest: bytes) -> None:
        self._text = rest
        self.held = True

    def commands(self) -> list[str]:
        """What came since the last call; `gone` if the engine let go of the leash."""
        block = os.read(0, 4096)
        if not block:
            self.held = False
            return ["gone"]
        *lines, self._text = (self._text + block).split(b"\n")
        return [line.decode() for line in lines]


class Watch:
    """Wait for the job's exit, its time limit, the engine and signals, whichever comes first."""

    def __init__(self, pid: int, ladder: Ladder, timeout: float | None) -> None:
        self._pid = pid
        self._ladder = ladder
        self._limit = time.monotonic() + timeout if timeout else None
        self.because: str | None = None  # why the job was stopped: interrupted or timeout
        self.unkillable: list[int] = []

    def until_exit(self, leash: Leash, signals: Signals) -> int:
        """The wait status of the job. Its exit is noticed at once, by its pidfd or by a thread that waits."""
        exited = exit_descriptor(self._pid)
        poll = select.poll()
        for descriptor in (exited, 0, signals.fileno()):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(self._patience())}
            if exited in ready:
                return os.waitpid(self._pid, 0)[1]
            if 0 in ready:
                self._obey(leash.commands())
                if not leash.held:
                    poll.unregister(0)
            if signals.fileno() in ready:
                signals.drain()
                self._stop("interrupted", 0)
            if self._limit and time.monotonic() >= self._limit:
                self._stop("timeout", 0)
                self._limit = None
            self._ladder.tick()
            reap(self._pid)
            if self._ladder.exhausted:
                self.unkillable = [self._pid, *tree.descendants(os.getpid())]
                return signal.SIGKILL  # as a wait status: died by SIGKILL, as far as we could bring it

    def _obey(self, commands: list[str]) -> None:
        for command in commands:
            self._stop("interrupted", 2 if command == "kill" else 0)

    def _stop(self, because: str, level: int) -> None:
        self.because = self.because or because
        self._ladder.climb(level)

    def _patience(self) -> float | None:
        """Milliseconds until something is due."""
        due = [moment for moment in (self._limit, self._ladder.next_at) if moment is not None]
        return max(min(due) - time.monotonic(), 0) * 1000 + 1 if due else None


def clear_up(streams: Streams) -> None:
    """Give what the job left behind half of DRAIN to leave by itself; then end it: its pipes and its processes."""
    began = time.monotonic()
    told = False
    while time.monotonic() < began + DRAIN:
        empty = alone()
        if empty and streams.done:
            return
        if time.monotonic() > began + DRAIN / 2:
            if told:
                tree.kill_below(os.getpid())
            else:
                tree.send(tree.descendants(os.getpid()), signal.SIGTERM)
                told = True
        time.sleep(0.02 if not told else 0.2)
    tree.kill_below(os.getpid())


def alone() -> bool:
    """True when no process below us is left. Orphans come to us (subreaper), so our own children are all there are."""
    reap(None)
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


def reap(but: int | None) -> None:
    """Take the exit status of adopted orphans, so that no zombie stays; never that of `but`."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in (0, but):
            return
        os.waitpid(found.si_pid, os.WNOHANG)


def record(
    order: dict[str, Any],
    times: Times,
    end: dict[str, Any],
    sentence: str | None,
    streams: Streams,
    *,
    final: bool = True,
) -> int:
    """Write the result (and the traceback, if the job left one), then tell the engine."""
    paths = layout.JobPaths(order["out_dir"])
    if not times.ended:
        times.stop()
    details = ""
    if end["status"] not in ("completed", "error"):
        words, details = result.explain(paths, clock.WIDTH if order["log_timestamps"] == "all" else 0)
        if words and end["status"] != "interrupted":
            sentence = f"{sentence}; its last words: {words}" if end["status"] == "timeout" else f"{sentence}: {words}"
    entries = {
        **order["result"],
        **end,
        "start_time": times.wall,
        "end_time": times.ended,
        "duration_seconds": times.seconds,
        "error": sentence,
        "final_checkpoint": result.final_checkpoint(paths.folder),
        "final_metrics": result.final_metrics(paths.metrics),
    }
    if streams.errors:
        entries["log_errors"] = streams.errors
    unwritten = persist(paths, entries, details)
    if final:
        say({"event": "finished", "result": entries, "unwritten": unwritten})
    return 1 if unwritten else 0


def persist(paths: layout.JobPaths, entries: dict[str, Any], details: str) -> str | None:
    """Write the record, again and again for a while if the disk is full; returns why it could not be written."""
    deadline = time.monotonic() + RECORD_RETRIES
    while True:
        try:
            atomic.write_json(paths.result, entries)
            if details:
                atomic.write_bytes(paths.error_details, details.encode(errors="replace"))
            return None
        except OSError as error:
            if time.monotonic() > deadline:
                return f"{paths.result}: {error.strerror or error}"
            time.sleep(0.25)


def say(event: dict[str, Any]) -> None:
    """Tell the engine, if it is still there."""
    try:
        atomic.write_all(1, json.dumps(event, default=str).encode() + b"\n")
    except OSError:
        pass


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a reader thread may hang in a pipe that somebody else holds
