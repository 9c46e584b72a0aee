"""Own one job: start it, read its output, stop it when told to or when the engine is gone, record how it ended.

A program of its own, started as `python -I -S runner/supervisor/__main__.py`. Standard input is the control pipe: its
first line is the request as JSON, later lines are `stop` or `kill`, and its end means that the engine is gone. Standard
output carries events, a JSON object a line. The result is written before the program ends. Knows nothing of batches.
"""

from __future__ import annotations

import os
import sys

# Last on the path: no file of ours may hide the standard library.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import json
import signal
import time

from runner.core import clock
from runner.core.stopwatch import Stopwatch
from runner.disk import atomic, layout
from runner.disk.reading import final_checkpoint
from runner.processes import process_id, process_tree
from runner.processes.signals import Signals
from runner.supervisor import outcome
from runner.supervisor.spawn import PR_SET_CHILD_SUBREAPER, pipe, prctl, spawn
from runner.supervisor.streams import Streams
from runner.supervisor.watch import Leash, Watch

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
    times = Stopwatch()
    out, err = pipe(), pipe()
    streams = Streams(out[0], err[0], (paths.stdout, paths.stderr, paths.combined), order["log_timestamps"])
    try:
        pid = spawn(order["argv"], order["env"], order["cwd"], out[1], err[1])
    except OSError as error:
        why = f"cannot start {order['argv'][0]!r}: {error.strerror or error}"
        return record(order, times, {"status": "error", "return_code": None, "signal": None}, why, streams)
    os.close(out[1])
    os.close(err[1])
    sign(order, pid, times)
    say({"event": "started", "pid": pid, "time": times.start})
    streams.start()
    watch = Watch(pid, order, streams)
    status = watch.until_exit(leash, signals)
    end = outcome.ending(status, watch.because)
    times.stop()
    if not (streams.join(0.05) and alone()):
        # The exit is recorded before anything else is waited for.
        record(order, times, end, outcome.cause(end, order), streams, final=False)
        clear_up(streams)
    streams.finish(0.2)
    sentence = outcome.cause(end, order)
    if watch.unkillable:
        sentence = f"{sentence}; processes {watch.unkillable} could not be killed"
    return record(order, times, end, sentence, streams)


def sign(order: dict[str, Any], pid: int, times: Stopwatch) -> None:
    """Say in the job's folder which processes run it, so that a later engine finds them, and them alone."""
    signature = {
        "schema": 1,
        "supervisor": process_id.own(),
        "job": process_id.of(pid) or [str(pid), "", ""],
        "mark": order["env"].get(process_tree.MARK),
        "attempt": order["result"]["attempt"],
        "argv": order["result"]["command"],
        "keep_running": order["keep_running"],
        "started_at": times.start,
    }
    try:
        atomic.write_json(layout.JobPaths(order["out_dir"]).supervisor, signature, durable=False)
    except OSError:  # a full disk: the job runs all the same, it only cannot be adopted
        pass


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
                process_tree.kill_below(os.getpid())
            else:
                process_tree.send(process_tree.descendants(os.getpid()), signal.SIGTERM)
                told = True
        time.sleep(0.02 if not told else 0.2)
    process_tree.kill_below(os.getpid())


def alone() -> bool:
    """True when no process below us is left. Orphans come to us (subreaper), so our own children are all there are."""
    process_tree.reap(None)
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


def record(
    order: dict[str, Any],
    times: Stopwatch,
    end: dict[str, Any],
    sentence: str | None,
    streams: Streams,
    *,
    final: bool = True,
) -> int:
    """Write the result (and the traceback, if the job left one), then tell the engine."""
    paths = layout.JobPaths(order["out_dir"])
    times.stop()
    details = ""
    if end["status"] not in ("completed", "error"):
        words, details = outcome.explain(paths, clock.WIDTH if order["log_timestamps"] == "all" else 0)
        if words.startswith("KeyboardInterrupt") and end["status"] != "failed":
            words = details = ""  # that is what our own SIGINT made it say
        if words and end["status"] != "interrupted":
            sentence = (
                f"{sentence}; its last words: {words}"
                if end["status"] in ("timeout", "stalled")
                else f"{sentence}: {words}"
            )
    entries = {
        **order["result"],
        **end,
        **times.read(),
        "error": sentence,
        "final_checkpoint": final_checkpoint(paths.folder),
        "final_metrics": outcome.final_metrics(paths.metrics),
        "run_dir": outcome.run_dir(paths),
    }
    if streams.errors:
        entries["log_errors"] = streams.errors
    unwritten = persist(paths, entries, details)
    if final and not unwritten and os.path.exists(paths.supervisor):
        os.unlink(paths.supervisor)
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
            if isinstance(error, FileNotFoundError):  # somebody deleted the folder; the end shall be known all the same
                os.makedirs(paths.folder, exist_ok=True)
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
