"""What it costs to note the resources of 8 jobs with 200 processes: at most 0.2 % of a core.

    python bench/resources.py [--jobs 8] [--processes 25] [--seconds 90]

The jobs are real trees of sleeping processes with a megabyte each; the sampler is the runner's. Its share is
the processor time of this process in its calls, over the time that passed after the first minute of the jobs, when
it writes every look; that minute is told apart.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runner.core.job import Job
from runner.core.state import Record, Running
from runner.engine.events import JobStarted, Tick
from runner.observers import resources
from runner.observers.resources import Resources

BAR = 0.002
TREE = """
import os, sys, time
kept = bytearray(1 << 20)
for _ in range(int(sys.argv[1]) - 1):
    if os.fork() == 0:
        break
print("ready", flush=True)
sys.stdin.read()
"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--processes", type=int, default=25, help="of each job")
    parser.add_argument("--seconds", type=float, default=90.0, help="after the first minute")
    given = parser.parse_args(argv)
    print(f"{given.jobs} jobs of {given.processes} processes, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    trees = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            sampler = Resources()
            for number in range(given.jobs):
                trees.append(tree(given.processes))
                sampler(started(Path(folder) / str(number), trees[-1].pid))
                sampler.watched[-1].supervisor = trees[-1].pid  # its place; ours is above all of them
            first = share(sampler, min(resources.FREQUENT, given.seconds))
            for job in sampler.watched:
                job.began -= resources.FREQUENT
            later = share(sampler, given.seconds)
            rows = sum(len(path.read_text().splitlines()) for path in Path(folder).glob("*/resources.jsonl"))
        finally:
            for one in trees:
                one.kill()
                one.communicate()
    print(f"{rows} rows; first minute {first:.3%} of a core; later {later:.3%} of a core; the bar is {BAR:.1%}:"
          f" {'held' if later <= BAR else 'missed'}")  # fmt: skip
    return 0 if later <= BAR else 1


def tree(processes: int) -> subprocess.Popen[bytes]:
    """A job: its first process has forked the others."""
    one = subprocess.Popen([sys.executable, "-c", TREE, str(processes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert one.stdout is not None
    one.stdout.readline()
    return one


def started(folder: Path, pid: int) -> JobStarted:
    folder.mkdir()
    job = Job(name=folder.name, config=folder / "a.py", out_dir=folder, argv=())
    return JobStarted(Record(job, Running("2026-01-01T00:00:00.000+00:00", pid), 1))


def share(sampler: Resources, seconds: float) -> float:
    """Processor time in the sampler's calls, as a part of the time that passed."""
    spent, begun = 0.0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        time.sleep(0.25)
        before = time.thread_time()
        sampler(Tick())
        spent += time.thread_time() - before
    return spent / (time.perf_counter() - begun)


if __name__ == "__main__":
    sys.exit(main())
