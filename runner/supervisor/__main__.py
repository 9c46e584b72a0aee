"""Own one job: start it, read its output, stop it on request or when the engine is gone, record how it ended.

A program of its own, started as `python -I -S runner/supervisor/__main__.py`. Standard input is the control pipe: its
first line is the request as JSON, later lines are `stop`, `prune` or `kill`, and its end means that the engine is gone.
Standard output carries events, a JSON object a line. The result is written before the program ends. Knows nothing of
batches.
"""

from __future__ import annotations

import os
import sys

# Last on the path: no file of ours may hide the standard library.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import resource
import signal
import time

from runner.core.resource_totals import seen
from runner.core.result import NONCE, Result
from runner.core.stopwatch import Stopwatch
from runner.disk import atomic, gpu_use, layout, resources, supervisor_file
from runner.disk.checkpoints import latest_checkpoint
from runner.disk.place import Place
from runner.disk.supervisor_file import SupervisorRecord
from runner.output.divergence import Divergence
from runner.processes import process_id, process_tree, shortage
from runner.processes.plain_signals import IGNORED, SIGPIPE, handle
from runner.processes.prctl import PR_SET_CHILD_SUBREAPER, prctl
from runner.processes.signals import Signals, unblock
from runner.processes.thread import Thread
from runner.supervisor import outcome
from runner.supervisor.control_pipe import ControlPipe, notify
from runner.supervisor.messages import Ended, Refused, Request, Started
from runner.supervisor.out_of_memory import KillCounters
from runner.supervisor.outcome import Ending
from runner.supervisor.output_reader import OutputReader, size
from runner.supervisor.spawn import JobProcess
from runner.supervisor.streams import Streams
from runner.supervisor.watch import Watch

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from typing import Any

DRAIN = 2.0  # seconds that processes left behind by a job may hold its pipes, and live
THREAD_RETRIES = 30.0  # seconds in which a thread that cannot be started is tried again
RECORD_RETRIES = 3.0  # seconds in which a result that cannot be written is tried again


def main() -> int:
    unblock()
    handle(SIGPIPE, IGNORED)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    with Signals() as signals:
        control = ControlPipe()
        kills = KillCounters()  # before the request, as all this: the engine has other things to do until it sends that
        job = waiting_job()
        request = control.read_request()
        return 0 if request is None else supervise(request, control, signals, kills, job)


def waiting_job() -> JobProcess | None:
    """None where there is no room for it now: the engine will be told when it asks for a job."""
    try:
        return JobProcess()
    except OSError:
        return None


def supervise(
    request: Request, control: ControlPipe, signals: Signals, kills: KillCounters, job: JobProcess | None = None
) -> int:
    """Run the job of the request to its end. Returns this program's exit code: 0 if the end is recorded."""
    folder = request.place
    times = Stopwatch()
    try:
        job = job or JobProcess()
    except OSError as error:
        return refuse(error, f"cannot start {request.argv[0]!r}: {error.strerror or error}")
    sys.path += request.path
    out_log, err_log, both = (folder / name for name in layout.LOGS)
    paths = out_log, err_log, both
    streams = Streams(job.stdout, job.stderr, paths, request.log_timestamps, request.max_log_mb)
    earlier = size(folder / layout.METRICS)
    job.become(request.argv, request.env, request.cwd, warm=request.warm)
    # What follows is done while the job begins, on another core.
    write_pid_records(request, job.pid, times)
    divergence = Divergence(request.nan_patience)
    output = OutputReader(folder, request.formats, request.metric_patterns, divergence, earlier)
    try:
        job.check()
    except OSError as error:
        why = f"cannot start {request.argv[0]!r}: {error.strerror or error}"
        if error.errno in shortage.PASSING:
            return refuse(error, why)
        return finish(request, result_of(request, times, Ending("error"), why, streams, output), "")
    notify(Started(job.pid, times.start))
    watch = Watch(job.pid, request, streams, output.divergence)
    status = watch.until_exit(control, signals, read=lambda: start(*streams.readers(output.feed), output))
    end = outcome.ending(status, watch.because)
    times.stop()
    sentence = outcome.cause(end, request, watch.stuck)
    if not (streams.join(0.05) and alone()):
        # The exit is recorded before anything else is waited for.
        persist(folder, *explained(request, times, end, sentence, streams, kills, output))
        clean_up(streams)
    streams.finish(0.2)
    return finish(request, *explained(request, times, end, sentence, streams, kills, output))


def start(*threads: Thread) -> None:
    """Start our threads. The job, which runs already, waits in a full pipe where there is no room for them now."""
    deadline = time.monotonic() + THREAD_RETRIES
    for thread in threads:
        while True:
            try:
                thread.start()
                break
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


def refuse(error: OSError, why: str) -> int:
    """Leave the job to the engine, which starts it later: the system has no room for it now."""
    notify(Refused(error.errno or 0, why))
    return 0


def write_pid_records(request: Request, pid: int, times: Stopwatch) -> None:
    """Write into the job's folder which processes run it."""
    record = SupervisorRecord(
        supervisor=process_id.own(),
        job=process_id.of_child(pid),
        mark=request.env.get(process_tree.MARK),
        attempt=request.result.attempt,
        argv=request.result.command,
        keep_running=request.keep_running,
        started_at=times.start,
        pid_namespace=process_id.namespace(),
    )
    supervisor_file.write(request.place, record)
    supervisor_file.hold(request.out_dir)


def clean_up(streams: Streams) -> None:
    """Give the processes that the job left behind half of DRAIN to end and to close its pipes; then end them."""
    began = time.monotonic()
    terminated = False
    while time.monotonic() < began + DRAIN:
        empty = alone()
        if empty and streams.done:
            return
        if time.monotonic() > began + DRAIN / 2:
            if terminated:
                process_tree.kill_below(os.getpid())
            else:
                process_tree.send(process_tree.descendants(os.getpid()), signal.SIGTERM)
                terminated = True
        time.sleep(0.02 if not terminated else 0.2)
    process_tree.kill_below(os.getpid())


def alone() -> bool:
    """True if no process below us is left. Orphans come to us (subreaper), so we have only our own children."""
    process_tree.reap(None)
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


def explained(
    request: Request,
    times: Stopwatch,
    end: Ending,
    sentence: str | None,
    streams: Streams,
    kills: KillCounters,
    output: OutputReader,
) -> tuple[Result, str]:
    """The result with the job's own explanation of its end, and the job's traceback."""
    result = result_of(request, times, end, sentence, streams, output)
    if end.status in ("completed", "pruned"):
        return result, ""
    try:
        from runner.supervisor import explanation  # of a job that did not complete: others do not wait for its import

        if end.diverged:
            return explanation.diverged(request, result, output.divergence), ""
        return explanation.explained(end, request, kills, result)
    except Exception as error:  # the runner was updated meanwhile, or the output is odd: the end is recorded
        return result.updated(
            error=f"{sentence or end.status}; its output cannot be explained ({type(error).__name__})"
        ), ""


def result_of(
    request: Request, times: Stopwatch, end: Ending, sentence: str | None, streams: Streams, output: OutputReader
) -> Result:
    """The result as far as it is known now."""
    paths = layout.JobPaths(request.out_dir)
    times.stop()
    measured = output.measured()
    result = request.result.updated(
        status=end.status,
        return_code=end.return_code,
        signal=end.signal,
        **times.read(),
        error=sentence,
        final_checkpoint=latest_checkpoint(paths.folder, request.checkpoints),
        final_metrics=measured.final,
        best_metrics=measured.best,
        warnings=[*measured.warnings, *streams.warnings],
        run_dir=outcome.run_dir(paths),
    )
    more: dict[str, Any] = {NONCE: request.nonce} if request.nonce else {}
    if end.command_signal:
        more["command_signal"] = end.command_signal
    if streams.errors:
        more["log_errors"] = streams.errors
    if measured.skipped:
        more["unread_bytes"] = measured.skipped
    if "gpus" in request.result.to_json():
        more |= gpu_use.read(paths.folder, result.attempt)
    if end.return_code is not None or end.signal is not None:
        more["resources"] = used() | sampled(paths)
    return result.updated(**more)


def used() -> dict[str, float | int]:
    """What the processes of the job used that have ended, by the kernel's own count. `max_rss` in bytes: of the largest
    one alone."""
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    return {"cpu_seconds": round(found.ru_utime + found.ru_stime, 2), "max_rss": found.ru_maxrss * unit}


def sampled(paths: layout.JobPaths) -> dict[str, float | int | str]:
    """The totals of what the runner saw while the job ran; empty for a job of less than a second."""
    return seen(list(resources.read(paths.folder)))


def finish(request: Request, result: Result, details: str) -> int:
    """Write the result, remove our own record, and notify the engine. Returns this program's exit code."""
    unwritten = persist(request.place, result, details)
    if not unwritten:
        supervisor_file.remove(request.place)
    notify(Ended(result, unwritten))
    return 1 if unwritten else 0


def persist(folder: Place, result: Result, details: str) -> str | None:
    """Write the record, again and again for a while if the disk is full; returns why it could not be written."""
    deadline = time.monotonic() + RECORD_RETRIES
    while True:
        try:
            atomic.write_json(folder / layout.RESULT, result.to_json())
            if details:
                atomic.write_bytes(folder / layout.ERROR_DETAILS, details.encode(errors="replace"))
            return None
        except OSError as error:
            if time.monotonic() > deadline:
                return f"{folder / layout.RESULT}: {error.strerror or error}"
            if isinstance(error, FileNotFoundError):  # the folder was deleted; the end is recorded all the same
                folder.make()
            time.sleep(0.25)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a reader thread may hang in a pipe that another process holds
