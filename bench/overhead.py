"""The cost of a job: milliseconds that the runner adds to a child that does nothing.

Promised: at most 40 ms per job more than a bare loop of `subprocess.run`, and at most the time of GNU parallel, with
everything that a real batch has: a supervisor per job, three logs, metadata and result written durably (fsync of the
file and of its folder), master log, summary and screen lines. Measured: the contestants below take turns, 20 jobs each
at a time, in one run, so that a slow minute meets all of them; the figures are medians over the rounds. The engine's
rounds contain the cost of opening and closing a batch of 20 jobs; what is gathered once per batch (versions, git
commit) stays outside.

  bare loop          subprocess.run(command), output thrown away
  naive runner       two threads, a line at a time, three logs flushed after every line, a result without fsync
  GNU parallel       -j1, a log of the jobs and a folder of results; where it is installed
  this runner        engine.run with Local, Journal and Lines, as run_experiments.py starts it
  python -I -S       an interpreter that does nothing
  supervisor alone   runner/supervisor/__main__.py without a request: what a start of it as a program costs

Files lie on a tmpfs where there is one: a disk that has just deleted much is several times slower and hides the runner.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from naive import naive

from runner.core import clock
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.plan_kind import PlanKind
from runner.core.state import ERROR
from runner.disk import results
from runner.engine import loop
from runner.executors.local import Local
from runner.executors.provenance import Provenance
from runner.executors.spawner import PROGRAMS
from runner.observers.journal import Journal
from runner.observers.plain import Lines
from runner.processes.signals import Signals

BAR = 40.0  # milliseconds per job more than the bare loop
PARALLEL_BAR = 1.0  # times GNU parallel's milliseconds per job
BARE, NAIVE, PARALLEL, OURS = "bare loop", "naive runner", "GNU parallel", "this runner"
INTERPRETER, ALONE = "python -I -S", "supervisor alone"

Contestant = Callable[[Path, int], None]  # an empty folder of its own, and how many jobs to run


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    rounds = max(given.jobs // given.round, 1)
    with tempfile.TemporaryDirectory(prefix="bench-overhead-", dir=given.dir) as folder:
        racers = contestants(given.command, given.parallel, Provenance())
        times, cpu = take_turns(racers, Path(folder), rounds, given.round)
    medians = {name: statistics.median(found) for name, found in times.items()}
    print(
        f"{rounds} rounds of {given.round} jobs, command {shlex.join(given.command)}, {environment_info(given.dir)}\n"
    )
    print(table(medians, times, cpu))
    print("\n" + breakdown(medians))
    more = medians[OURS] - medians[BARE]
    held = more <= BAR
    print(f"\n{more:.1f} ms per job more than the bare loop; the bar is {BAR:.0f} ms: {'held' if held else 'MISSED'}")
    if PARALLEL in medians:
        times_parallel = medians[OURS] / medians[PARALLEL]
        verdict = "held" if times_parallel <= PARALLEL_BAR else "MISSED"
        print(f"{times_parallel:.2f} times GNU parallel; the bar is {PARALLEL_BAR:g}: {verdict}")
        held = held and times_parallel <= PARALLEL_BAR
    return 0 if held else 1


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit code: 0 if the bar is held, 1 if it is missed.",
    )
    parser.add_argument("--jobs", type=int, default=200, metavar="N", help="jobs per contestant (default 200)")
    parser.add_argument("--round", type=int, default=20, metavar="N", help="jobs per turn (default 20)")
    parser.add_argument(
        "--command", type=shlex.split, default="/bin/true", help="the child, quoted (default /bin/true)"
    )
    parser.add_argument(
        "--parallel", metavar="PROGRAM", default=shutil.which("parallel"), help="GNU parallel (default: that of PATH)"
    )
    parser.add_argument("--dir", default=scratch(), help="where the files go, and are deleted (default %(default)s)")
    given = parser.parse_args(argv)
    if min(given.jobs, given.round) < 1:
        parser.error("--jobs and --round are at least 1")
    if not given.command or shutil.which(given.command[0]) is None:
        parser.error("--command names no program that can be started")
    if not os.access(given.dir, os.W_OK):
        parser.error(f"--dir {given.dir}: no folder that can be written to")
    return given


def scratch() -> str:
    """A tmpfs where there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()


def environment_info(folder: str) -> str:
    """The machine, which the figures depend on besides the code."""
    python = ".".join(map(str, sys.version_info[:3]))
    return f"files in {folder}, Python {python}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def contestants(command: Sequence[str], program: str | None, provenance: Provenance) -> dict[str, Contestant]:
    python = [sys.executable, "-I", "-S"]
    return {
        BARE: lambda folder, jobs: bare(command, jobs),
        NAIVE: lambda folder, jobs: naive_batch(command, folder, jobs),
        **({PARALLEL: lambda folder, jobs: parallel(program, command, folder, jobs)} if is_gnu(program) else {}),
        OURS: lambda folder, jobs: ours(command, folder, jobs, provenance),
        INTERPRETER: lambda folder, jobs: bare([*python, "-c", "pass"], jobs),
        ALONE: lambda folder, jobs: bare([*python, str(PROGRAMS["supervisor"])], jobs),
    }


def take_turns(
    racers: Mapping[str, Contestant], folder: Path, rounds: int, jobs: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Milliseconds per job of every round, and those of CPU time of all processes that were started and have ended.

    A round before the first warms the caches and is not counted.
    """
    times: dict[str, list[float]] = {name: [] for name in racers}
    cpu: dict[str, list[float]] = {name: [] for name in racers}
    for number in range(rounds + 1):
        for place, (name, run) in enumerate(racers.items()):
            own = folder / f"{number}-{place}"
            own.mkdir()
            began, used = time.perf_counter(), cpu_seconds()
            run(own, jobs)
            if number:
                times[name].append((time.perf_counter() - began) / jobs * 1000)
                cpu[name].append((cpu_seconds() - used) / jobs * 1000)
    return times, cpu


def cpu_seconds() -> float:
    """CPU time of this process and of all below it that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def bare(command: Sequence[str], jobs: int) -> None:
    nothing = subprocess.DEVNULL
    for _ in range(jobs):
        subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, check=False)


def is_gnu(program: str | None) -> bool:
    """Whether a program is GNU parallel: moreutils has another one of that name."""
    if program is None:
        return False
    done = subprocess.run([program, "--version"], capture_output=True, stdin=subprocess.DEVNULL, check=False)
    return done.stdout.startswith(b"GNU parallel")


def parallel(program: str | None, command: Sequence[str], folder: Path, jobs: int) -> None:
    """The same command for each of so many arguments, which its shell takes for a comment."""
    records = ["--joblog", str(folder / "jobs.log"), "--results", str(folder / "results")]
    subprocess.run(
        [str(program), "-j1", "--will-cite", *records, f"{shlex.join(command)} # {{}}"],
        input="".join(f"{number}\n" for number in range(jobs)).encode(), stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip


def ours(command: Sequence[str], folder: Path, jobs: int, provenance: Provenance) -> None:
    """A batch through the engine, with the observers that run_experiments.py gives it."""
    root = folder / "batch"
    names = [f"job_{number:04d}" for number in range(jobs)]
    planned = tuple(Job(name, tuple(command), root / name) for name in names)
    plan = Plan("batch", root, planned, PlanKind("bench"), clock.now())
    with Signals() as signals, Path(os.devnull).open("w") as nowhere:
        results.open_batch(root)
        records = loop.run(plan, Local(RunOptions(), provenance), [Journal(), Lines(nowhere)], signals)
    wrong = [record for record in records if record.status in (ERROR, "pending")]
    if wrong:
        sys.exit(f"{len(wrong)} jobs did not run; the first: {wrong[0].state}")


def naive_batch(command: Sequence[str], folder: Path, jobs: int) -> None:
    for number in range(jobs):
        naive(command, folder / f"job_{number:04d}")


def table(
    medians: Mapping[str, float], times: Mapping[str, Sequence[float]], cpu: Mapping[str, Sequence[float]]
) -> str:
    rows = [f"{'':<18}{'ms per job':>11}{'fastest':>9}{'slowest':>9}{'CPU ms':>8}{'more than bare':>16}{'ratio':>8}"]
    for name, middle in medians.items():
        row = f"{name:<18}{middle:>11.1f}{min(times[name]):>9.1f}{max(times[name]):>9.1f}"
        row += f"{statistics.median(cpu[name]):>8.1f}"
        if name in (BARE, NAIVE, PARALLEL, OURS):  # the others do not run the command
            row += f"{middle - medians[BARE]:>16.1f}{middle / medians[BARE]:>7.1f}x"
        rows.append(row)
    return "\n".join(rows)


def breakdown(medians: Mapping[str, float]) -> str:
    """Where this runner's milliseconds go, by subtraction."""
    parts = [
        ("the child itself", medians[BARE]),
        ("the rest: folder, logs, records, forks, events", medians[OURS] - medians[BARE]),
        ("what a supervisor that is started as a program would add", medians[ALONE]),
    ]
    return "\n".join(f"{words:<58}{value:>6.1f} ms" for words, value in parts)


if __name__ == "__main__":
    sys.exit(main())
