"""A batch of many jobs on Slurm: what it costs the controller, the file system and the login node.

    python bench/slurm_scale.py [--jobs 10000] [--max_submit 10000] [--places 2000] [--poll 1.0] [--lasts 4.0]

The controller is the false one of tests/slurm, with `places` jobs at a time. It starts no processes: where a task
would start and end it writes what slurm_task.py writes. The runner that submits and watches is the real one. Its
`--poll` seconds between two questions stand for 30 s, and all minutes that are printed are such minutes.

Required: one sbatch for each 1,000 jobs, the last one at most 60 s after the first, or with a smaller --max_submit one
for each question; at most two questions (squeue) a minute for the whole batch; nothing else while all goes well; the
process that watches takes at most 250 MB, as the engine of a local batch of this size does. Every job completes.

With strace it also counts the calls that one task, slurm_task.py as a process, makes below the folder of its batch,
those that the runner makes for each job, submitted with --detach or watched, and those for each second of a job that
prints.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from overhead import environment_info, scratch
from scale import peak_memory, shell_configs

from runner.core import clock
from runner.core.job import Attempt
from runner.disk import atomic, attempts, layout, results, supervisor_file
from runner.disk.place import Place
from runner.disk.supervisor_file import SupervisorRecord
from runner.slurm import claims, submissions
from runner.slurm.claims import Claim
from tests.slurm.false_slurm import Controller, Task

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = str(ROOT / "run_experiments.py")
ARRAY = 1000  # tasks of an array, of a cluster that was not configured otherwise
POLL = 30.0  # seconds between two questions, of a runner that was not told otherwise
SUBMITTING_BAR, CALLS_BAR, MEMORY_BAR = 60.0, 2.0, 250.0  # seconds, squeue a minute, MB
TRACED = 100  # jobs of a batch whose runner is traced
PRINTS, LINES = 10, 20  # seconds that a job prints, and lines in each of them
#: Calls that change something on a file server; the others look.
CHANGES = ("mkdir", "rename", "link", "unlink", "rmdir", "symlink", "write", "pwrite", "fsync", "fdatasync", "utime")
LOOKS = ("open", "stat", "lstat", "newfstatat", "statx", "access", "faccessat", "readlink", "getdents", "read", "pread")


class Started(NamedTuple):
    """A job on a node that does not exist."""

    until: float
    task: Task
    attempt: Attempt
    claim: Claim


class Simulation(Controller):
    """A controller whose jobs do nothing for `lasts` seconds. `first` and `last` are the times of calls of sbatch."""

    def __init__(self, folder: Path, places: int, lasts: float) -> None:
        super().__init__(folder)
        self.places, self.lasts = places, lasts
        self.largest_array = ARRAY + 1  # as Slurm counts: the highest index, and one
        self.first = self.last = 0.0
        self.ended = 0
        self._known: dict[str, list[submissions.Task]] = {}

    def _run(self) -> None:
        waiting: deque[Task] = deque()
        running: deque[Started] = deque()
        seen = 0
        while not self._over:
            with self._lock:
                waiting.extend(self.tasks[seen:])
                seen = len(self.tasks)
                self._step(waiting, running)
            time.sleep(0.01)

    def _step(self, waiting: deque[Task], running: deque[Started]) -> None:
        """End and start some jobs; a few, so that who asks is answered meanwhile."""
        for _ in range(50):
            if running and running[0].until < time.monotonic():
                self._finish(running.popleft())
            elif waiting and len(running) < self.places and waiting[0].state == "PENDING":
                running.append(self._begin(waiting.popleft()))
            else:
                break

    def _begin(self, task: Task) -> Started:
        """What slurm_task.py has written when its job runs."""
        root, planned = self._planned(task)
        task.state, task.node = "RUNNING", f"n{task.index}"
        claim = claims.take(root, planned.job.name, Claim(task.id, task.node, planned.comment), None)
        attempt = attempts.begin(planned.job, planned.about, {})
        process = ["1000", "1", "0"]
        supervisor_file.write(
            Place.of_job(planned.job),
            SupervisorRecord(process, process, "m", 1, attempt.argv, True, clock.now(), task.node),
        )
        assert claim is not None
        return Started(time.monotonic() + self.lasts, task, attempt, claim)

    def _finish(self, one: Started) -> None:
        """What it has written when its job has completed."""
        root, planned = self._planned(one.task)
        result = results.entries(one.attempt).updated(
            status="completed", start_time=clock.now(), end_time=clock.now(), duration_seconds=self.lasts,
            return_code=0, signal=None, error=None, final_checkpoint=None, final_metrics={"loss": 1.0},
            best_metrics={}, warnings=[], run_dir=None, nonce=one.attempt.nonce,
            slurm={"job": one.task.id, "comment": planned.comment, "node": one.task.node, "requeued": False},
        )  # fmt: skip
        place = Place.of_job(planned.job)
        atomic.write_json(place / layout.RESULT, result.to_json(), durable=False)
        supervisor_file.remove(place)
        claims.end(root, planned.job.name, one.claim)
        one.task.state, one.task.ended = "COMPLETED", time.monotonic()
        self.ended += 1

    def _planned(self, task: Task) -> tuple[Path, submissions.Task]:
        script = Path(task.script)
        root = script.parent.parent
        if task.script not in self._known:
            self._known[task.script] = submissions.read_tasks(root, int(script.stem.partition("_")[2]))
        return root, self._known[task.script][task.index]

    def _sbatch(self, request: dict[str, Any]) -> tuple[int, str, str]:
        self.last = time.monotonic()
        self.first = self.first or self.last
        return super()._sbatch(request)


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    with tempfile.TemporaryDirectory(prefix="b", dir=given.dir) as name:
        folder = Path(name)
        print(f"{given.jobs} jobs, {given.places} at a time, {environment_info(given.dir)}")
        held = watched(folder / "batch", given)
        if can_trace():
            counted(folder, given)
        else:
            print("\nstrace cannot be used here: file operations are not counted")
    print(f"\n{'held' if held else 'missed'}")
    return 0 if held else 1


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000, metavar="N", help="default 10000")
    parser.add_argument("--max_submit", type=int, default=10_000, metavar="N", help="in the queue (default 10000)")
    parser.add_argument("--places", type=int, default=2000, metavar="N", help="jobs that run at once (default 2000)")
    parser.add_argument("--poll", type=float, default=1.0, metavar="S", help="stands for 30 s (default 1.0)")
    parser.add_argument("--lasts", type=float, default=4.0, metavar="S", help="of a job (default 4.0)")
    parser.add_argument("--dir", default=scratch(), help="where the files go, and are deleted (default %(default)s)")
    return parser.parse_args(argv)


def words(*more: str) -> list[str]:
    command = ["--configs", "c/*.sh", "--command", "/bin/true {config}", "--executor", "slurm", "--quiet"]
    return [sys.executable, PROGRAM, *command, "--slurm_snapshot", "off", *more]


def environ(controller: Controller, poll: float) -> dict[str, str]:
    return {**os.environ, "PATH": controller.path, "RUNNER_SLURM_POLL": str(poll)}


@contextlib.contextmanager
def simulated(places: int, lasts: float) -> Iterator[Simulation]:
    """A controller; the name of its socket has at most 107 characters, so it is not below --dir."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as name:
        found = Simulation(Path(name, "s"), places, lasts)
        with found:
            yield found


def watched(folder: Path, given: argparse.Namespace) -> bool:
    """A whole batch with the runner that watches it; whether the bars are held."""
    shell_configs(folder, given.jobs, "exit 0")
    with simulated(given.places, given.lasts) as slurm:
        began = time.monotonic()
        command = words("--slurm_max_submit", str(given.max_submit))
        env = environ(slurm, given.poll)
        memory = cpu = 0.0
        with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL) as viewer:
            while viewer.poll() is None:
                memory, cpu = max(memory, peak_memory(viewer.pid)), max(cpu, cpu_seconds(viewer.pid))
                time.sleep(0.1)
        lasted = time.monotonic() - slurm.first
    print(f"\nplanned in {slurm.first - began:.1f} s; from the first sbatch to the end {lasted:.1f} s", end="; ")
    print(f"at most {given.max_submit} jobs in the queue")
    held = judged(slurm, given, lasted * POLL / 60 / given.poll)
    held = line("MB of the process that watches, at the peak", memory, MEMORY_BAR, ".0f") and held
    print(f"  its CPU seconds{cpu:>40.1f}   {cpu * 1000 / given.jobs:.1f} ms for each job, planned and watched")
    return held and viewer.returncode == 0 and slurm.ended == given.jobs


def judged(slurm: Simulation, given: argparse.Namespace, minutes: float) -> bool:
    """Print what the controller was asked, from the first sbatch to the end; whether the bars are held."""
    calls = slurm.calls
    questions, submissions_made, total = calls["squeue"], calls["sbatch"], sum(calls.values())
    held = []
    if given.max_submit >= given.jobs:
        held.append(line("calls of sbatch", submissions_made, -(-given.jobs // ARRAY), "d"))
        held.append(line("seconds from the first to the last", slurm.last - slurm.first, SUBMITTING_BAR, ".1f"))
    else:
        held.append(line("calls of sbatch", submissions_made, questions + 1, "d"))
    # The first question comes at once, and the end may come just after one.
    held.append(line(f"calls of squeue in {minutes:.1f} minutes", questions, minutes * CALLS_BAR + 2, ".0f"))
    held.append(line("other calls", total - questions - submissions_made, 1, "d"))
    print(f"  all calls in a minute{total / minutes:>34.1f}   {slurm.ended} of {given.jobs} jobs completed")
    return all(held)


def line(what: str, value: float, bar: float, form: str) -> bool:
    """Print a line; whether the value is within the bar."""
    verdict = "held" if value <= bar else "MISSED"
    print(f"  {what:<46}{value:>9{form}}   at most {bar:{form}}: {verdict}", flush=True)
    return value <= bar


def cpu_seconds(pid: int) -> float:
    """The CPU seconds of a process and of the children that it waited for; 0 when it is ending."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / float(os.sysconf("SC_CLK_TCK"))


def can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-qq", "true"], capture_output=True, check=False).returncode == 0


def counted(folder: Path, given: argparse.Namespace) -> None:
    """Count the calls on the files of a batch."""
    jobs = min(TRACED, given.jobs)
    print(f"\n{f'calls for each job, below the folder of a batch of {jobs}':<48}{'changes':>9}{'looks':>9}")
    for name, more in (("submitted with --detach", ("--detach",)), ("submitted and watched", ())):
        place = folder / name.replace(" ", "_")
        shell_configs(place, jobs, "exit 0")
        with simulated(0 if more else jobs, given.lasts) as slurm:
            run = [*traced(place), *words(*more)]
            subprocess.run(run, cwd=place, env=environ(slurm, given.poll), stdout=subprocess.DEVNULL, check=True)
        shown(f"the runner, {name}", place, [place / "experiments"], jobs)
        if more:
            one_task(place)
    printing(folder / "prints", given)


def printing(folder: Path, given: argparse.Namespace) -> None:
    """The task of a job that prints, by the second: what its logs cost the file server, were each call sent to it."""
    shell_configs(folder, 1, f"for i in $(seq {PRINTS * LINES}); do echo line $i; sleep {1 / LINES}; done")
    with simulated(0, given.lasts) as slurm:
        command = ["/bin/sh {config}" if word == "/bin/true {config}" else word for word in words("--detach")]
        env = environ(slurm, given.poll)
        subprocess.run(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, check=True)
    run_task(folder, "0")
    shown(f"a job that prints {LINES} lines a second, by the second", folder, [folder / "experiments"], PRINTS)


def run_task(folder: Path, index: str) -> None:
    """A task of a submission, traced, as a process on this machine."""
    root = (folder / "experiments" / "latest").resolve()
    env = {**os.environ, "SLURM_ARRAY_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": index, "SLURMD_NODENAME": "n1"}
    task = [sys.executable, "-I", str(ROOT / "runner/executors/slurm_task.py"), str(root), "1", index]
    with (folder / "log").open("wb") as log:
        subprocess.run([*traced(folder), *task], env=env, stdout=log, stderr=log, check=True)


def one_task(folder: Path) -> None:
    """Two tasks of a submission, the first of which has compiled the modules."""
    for index in ("0", "1"):
        run_task(folder, index)
    shown("the task of a job", folder, [folder / "experiments"], 1)
    installed = [ROOT, Path(sys.prefix), Path(sys.base_prefix)]
    shown("the same, where the runner and Python are", folder, installed, 1)


def traced(folder: Path) -> list[str]:
    calls = "trace=%file,%desc"
    return ["strace", "-f", "-y", "-qq", "-s", "256", "-e", calls, "-e", "signal=none", "-o", str(folder / "trace")]


def shown(what: str, folder: Path, below: Sequence[Path], jobs: int) -> None:
    found = operations((folder / "trace").read_text(errors="replace"), below)
    changes = sum(number for name, number in found.items() if name.startswith(CHANGES))
    looks = sum(number for name, number in found.items() if name.startswith(LOOKS))
    print(f"  {what:<46}{changes / jobs:>9.1f}{looks / jobs:>9.1f}", flush=True)


def operations(text: str, below: Sequence[Path]) -> Counter[str]:
    """Calls by their name, with a path or a descriptor below one of these folders."""
    found: Counter[str] = Counter()
    marks = [f"{mark}{path}" for path in below for mark in '"<']
    for row in text.splitlines():
        call = re.match(r"\d+ +(\w+)\(", row)
        if call and any(mark in row for mark in marks):
            found[call[1]] += 1
    return found


if __name__ == "__main__":
    sys.exit(main())
