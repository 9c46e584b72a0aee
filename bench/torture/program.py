"""Kill the runner at random moments, resume until done, and count the faults.

Batches of short jobs are run by run_experiments.py. Some fail on purpose, some print much, leave grandchildren in
sessions of their own that ignore what is polite, save when interrupted, ignore every polite signal, or continue from
their checkpoints. SIGKILL meets the engine at moments drawn from a seed: at any time, while it plans, within
milliseconds of a job's begin or end, or of a file's being made. Now and then a second runner is started on the batch.
Then it is resumed, and killed again, until the batch is done. What is counted is seen from outside: the files, a
journal that the jobs keep themselves, /proc, and with strace the order of system calls.

What is not promised is not counted: a job that ended with 0 but whose exit was not yet recorded is run again.
Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from torture import durability, sharing
from torture.batch import KINDS, Batch
from torture.soak import soak
from torture.witness import FAULTS

RUNNER = Path(__file__).resolve().parents[2] / "run_experiments.py"


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    folder = Path(tempfile.mkdtemp(prefix="torture-", dir=given.dir))
    try:
        found = run(given, folder)
    except BaseException:
        print(f"cut short; the folders are in {folder}", file=sys.stderr)
        raise
    if found:
        print(f"the folders are in {folder}")
    else:
        shutil.rmtree(folder)
    return found


def run(given: argparse.Namespace, folder: Path) -> int:
    if given.self_test is not None:
        from torture.self_test import self_test  # a program of its own

        return self_test(folder, given.self_test, given.seed)
    if given.soak:
        return soak(given.soak, folder)
    if given.gpus:
        return sharing.run(folder, RUNNER, given.gpus, given.kills, given.seed)
    return Torture(given, folder, RUNNER).run()


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="torture.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit code: 0 if nothing went wrong, 1 otherwise; then the folders are kept.",
    )
    scratch = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
    parser.add_argument("--kills", type=int, default=500, metavar="N", help="how often (default 500)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the victims (default 0)")
    parser.add_argument("--jobs", type=int, default=len(KINDS), metavar="N", help="in a batch (default %(default)s)")
    parser.add_argument("--double", action="store_true", help="the supervisor too, or alone; now and then the guard")
    parser.add_argument(
        "--kill_spawner", action="store_true", help="the process that forks supervisors too, or alone"
    )
    parser.add_argument("--triple", action="store_true", help="the job too, or alone")
    parser.add_argument(
        "--freeze", action="store_true", help="supervisors stop for a while, as on a machine that swaps"
    )
    parser.add_argument("--keep_running", action="store_true", help="jobs outlive their engine, and are adopted")
    parser.add_argument("--warm", action="store_true", help="jobs are forks of a process with their imports")
    parser.add_argument("--gpus", type=int, metavar="N", help="instead: two batches of two users share N false GPUs")
    parser.add_argument("--soak", type=int, metavar="N", help="instead: one batch of N jobs, and what its engine holds")
    parser.add_argument(
        "--self-test", nargs="*", metavar="DEFECT", help="instead: does it accuse copies of the runner that are broken"
    )
    parser.add_argument("--dir", default=scratch, help="where the files go, and are deleted (default %(default)s)")
    given = parser.parse_args(argv)
    if min(given.kills, given.jobs, given.soak or 1) < 1 or (given.gpus is not None and given.gpus < 2):
        parser.error("--kills, --jobs and --soak are at least 1, --gpus is at least 2")
    return given


class Torture:
    """Batch after batch of one runner, until it was killed often enough."""

    def __init__(self, given: argparse.Namespace, folder: Path, runner: Path) -> None:
        self.total: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._given, self._folder, self._runner = given, folder, runner
        self._began = time.monotonic()

    def run(self, until: Collection[str] = (), length: float = 0.0) -> int:
        """Prints the counts; returns 1 if any fault was found. Ends early once one of the kinds in `until` was.

        `length` was measured with another runner on this machine: then only what `until` needs is looked at before.
        """
        if durability.available() and (not length or "not durable" in until):
            self._trace()
        length = length or self.undisturbed()
        while self.total["kills"] < self._given.kills and not self.faults.keys() & until:
            batch = self._batch(f"batch_{self.total['batches']:04d}", length)
            rng = random.Random(f"{self._given.seed} {self.total['batches']}")
            batch.torment(rng, self._given.kills - self.total["kills"])
            self.total["batches"] += 1
            self._count(batch)
            seconds = time.monotonic() - self._began
            done = f"{self.total['kills']} kills, {self.total['batches']} batches, {seconds:.0f} s"
            print(done, file=sys.stderr, flush=True)
        if self._given.warm and not self.total["warm"]:
            self.faults["none warm"] += 1
        if self._given.keep_running and not self.total["adopted"]:
            self.faults["none adopted"] += 1
        self._report(length)
        return 1 if self.faults.total() else 0

    def _batch(self, name: str, length: float = 0.0) -> Batch:
        given = self._given
        return Batch(
            self._folder / name, self._runner, given.jobs, length, first=self.total["batches"],
            double=given.double, triple=given.triple, freeze=given.freeze, keep_running=given.keep_running,
            kill_spawner=given.kill_spawner, warm=given.warm,
        )  # fmt: skip

    def undisturbed(self) -> float:
        """The seconds of a batch without a kill, in which nothing may be wrong either."""
        batch = self._batch("undisturbed")
        length = batch.undisturbed()
        self._count(batch)
        return length

    def _trace(self) -> None:
        batch = self._batch("traced")
        batch.traced()
        self._count(batch)

    def _count(self, batch: Batch) -> None:
        self.total.update(batch.counts)
        for kind, sentences in batch.witness.faults.items():
            self.faults[kind] += len(sentences)
            for sentence in sentences:
                print(f"{batch.folder.name}: {kind}: {sentence}", flush=True)
        if not batch.witness.faults:
            batch.remove()

    def _report(self, length: float) -> None:
        given, total = self._given, self.total
        what = "engine" + ", supervisor" * (given.double or given.triple) + ", job" * given.triple
        what += ", spawner" * given.kill_spawner
        mode = " --keep_running" * given.keep_running + " --warm" * given.warm
        print(f"\nSIGKILL to the {what}{mode}; seed {given.seed}, {given.jobs} jobs a batch", end="")
        print(f", {length:.1f} s if undisturbed" if length else "")
        moments = ", ".join(
            f"{number} {name.removeprefix('at ')}" for name, number in sorted(total.items()) if "at " in name
        )
        print(f"{'kills':<14}{total['kills']:>6}  {moments}")
        named = ["frozen"] * given.freeze + ["spawners killed"] * given.kill_spawner + ["warm"] * given.warm
        for name in ("batches", "attempts", "rivals", "adopted", *named):
            print(f"{name:<15}{total[name]:>5}")
        for kind, meaning in FAULTS.items():
            unknown = kind == "not durable" and not durability.available()
            print(f"{kind:<14}{'?' if unknown else self.faults[kind]:>6}  {meaning}{' (needs strace)' * unknown}")
        print(f"in {time.monotonic() - self._began:.0f} s, load {os.getloadavg()[0]:.1f}")
