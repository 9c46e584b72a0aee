"""Kill the runner at random moments, resume until done, and count the faults.

Batches of short jobs are run by run_experiments.py. Some fail on purpose, some print much, leave grandchildren in
sessions of their own, save when interrupted, ignore every polite signal, or continue from their checkpoints. SIGKILL
meets the engine at moments drawn from a seed: at any time, while it plans, within milliseconds of a job's begin or end,
or of a file's being made. Then it is resumed, and killed again, until the batch is done. What is counted is seen from
outside: the files, a journal that the jobs keep themselves, and /proc.

What is not promised is not counted: a job that ended with 0 but whose exit was not yet recorded is run again.
Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from soak import soak
from witness import FAULTS, RUN, Witness, processes

SUPERVISOR = "supervisor/__main__.py"  # in the command line of every supervisor
RUNNER = Path(__file__).resolve().parent.parent / "run_experiments.py"
JOB = Path(__file__).with_name("torture_job.py")
KINDS = ("plain", "fails", "noisy", "saves", "trains", "stubborn", "leaves")
GRACE = "0.3,0.3,3"
POLL = 0.001  # seconds between two looks for the moment to kill
LOOK = 0.02  # seconds between two looks at the records
DEADLINE = 60.0  # seconds that any one run may take: twenty times what it needs
GONE_AFTER = 10.0  # seconds until nothing of a killed batch may live: the stop escalation, and the time to record
STRAYS_AFTER = 5.0  # seconds after its end in which the last process of a batch must be gone
CALM_RUNS = 3  # resumes without a kill after which a batch must be done
MOST_KILLS = 25  # in one batch


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    folder = Path(tempfile.mkdtemp(prefix="torture-", dir=given.dir))
    try:
        found = soak(given.soak, folder) if given.soak else torture(given, folder)
    except BaseException:
        print(f"cut short; the folders are in {folder}", file=sys.stderr)
        raise
    if found:
        print(f"the folders are in {folder}")
    else:
        shutil.rmtree(folder)
    return found


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit code: 0 if nothing went wrong, 1 otherwise; then the folders are kept.",
    )
    scratch = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
    parser.add_argument("--kills", type=int, default=500, metavar="N", help="how often (default 500)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the victims (default 0)")
    parser.add_argument("--jobs", type=int, default=len(KINDS), metavar="N", help="in a batch (default %(default)s)")
    parser.add_argument("--double", action="store_true", help="the supervisor too, or alone")
    parser.add_argument("--triple", action="store_true", help="the job too, or alone")
    parser.add_argument(
        "--freeze", action="store_true", help="supervisors stop for a while, as on a machine that swaps"
    )
    parser.add_argument("--keep_running", action="store_true", help="jobs outlive their engine, and are adopted")
    parser.add_argument("--soak", type=int, metavar="N", help="instead: one batch of N jobs, and what its engine holds")
    parser.add_argument("--dir", default=scratch, help="where the files go, and are deleted (default %(default)s)")
    given = parser.parse_args(argv)
    if min(given.kills, given.jobs, given.soak or 1) < 1:
        parser.error("--kills, --jobs and --soak are at least 1")
    return given


def torture(given: argparse.Namespace, folder: Path) -> int:
    """Batch after batch until so many kills are done; prints the counts, returns 1 if any fault was found."""
    began = time.monotonic()
    total: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    length = Batch(given, folder / "undisturbed", 0.0).undisturbed()
    while total["kills"] < given.kills:
        batch = Batch(given, folder / f"batch_{total['batches']:04d}", length)
        batch.torment(random.Random(f"{given.seed} {total['batches']}"), given.kills - total["kills"])
        total.update(batch.counts)
        total["batches"] += 1
        for kind, sentences in batch.witness.faults.items():
            faults[kind] += len(sentences)
            for sentence in sentences:
                print(f"{batch.folder.name}: {kind}: {sentence}", flush=True)
        if not batch.witness.faults:
            shutil.rmtree(batch.folder)
        seconds = time.monotonic() - began
        print(f"{total['kills']} kills, {total['batches']} batches, {seconds:.0f} s", file=sys.stderr, flush=True)
    report(given, total, faults, time.monotonic() - began, length)
    return 1 if faults.total() else 0


def report(given: argparse.Namespace, total: Counter[str], faults: Counter[str], seconds: float, length: float) -> None:
    what = "engine" + ", supervisor" * (given.double or given.triple) + ", job" * given.triple
    mode = " --keep_running" if given.keep_running else ""
    print(f"\nSIGKILL to the {what}{mode}; seed {given.seed}, {given.jobs} jobs a batch, {length:.1f} s if undisturbed")
    moments = ", ".join(
        f"{number} {name.removeprefix('at ')}" for name, number in sorted(total.items()) if "at " in name
    )
    print(f"{'kills':<14}{total['kills']:>6}  {moments}")
    for name in ("batches", "attempts", "adopted", *(["frozen"] if given.freeze else [])):
        print(f"{name:<14}{total[name]:>6}")
    for kind, meaning in FAULTS.items():
        print(f"{kind:<14}{faults[kind]:>6}  {meaning}")
    print(f"in {seconds:.0f} s, load {os.getloadavg()[0]:.1f}")


class Batch:
    """One batch in a folder of its own, the runs that carry it on, and the witness that watches."""

    def __init__(self, given: argparse.Namespace, folder: Path, length: float) -> None:
        self.folder = folder
        self.witness = Witness(folder)
        self.counts: Counter[str] = Counter()
        self._given = given
        self._length = length
        self._run = uuid.uuid4().hex
        self._expected = {name: "failed" if name.startswith("fails") else "completed" for name in names(given.jobs)}
        self._next_look = 0.0
        self._frozen: dict[int, float] = {}  # pid of a supervisor -> when it may continue
        configs = folder / "c"
        configs.mkdir(parents=True)
        for name in self._expected:
            (configs / f"{name}.py").write_text("")

    def undisturbed(self) -> float:
        """Run it once without a kill; returns its seconds. Nothing may be wrong with it."""
        began = time.monotonic()
        engine = self._start()
        self._wait(engine, lambda: False)
        seconds = time.monotonic() - began
        self._conclude()
        if self.witness.faults:
            raise SystemExit(f"wrong without any kill: {dict(self.witness.faults)}")
        shutil.rmtree(self.folder)
        return seconds

    def torment(self, rng: random.Random, kills: int) -> None:
        """Kill and resume at random until it is done, or was killed often enough; then let it end in peace."""
        calm = 0
        while calm < CALM_RUNS and not self.witness.faults.get("never ended"):
            engine = self._start()
            if self.counts["kills"] >= min(kills, MOST_KILLS):
                calm += 1
                self._wait(engine, lambda: False)
            else:
                self._kill_at_random(engine, rng)
            if engine.poll() is not None and engine.returncode >= 0 and self._done():
                break
        self._conclude()

    def _start(self) -> subprocess.Popen[bytes]:
        """A run: of the existing batch, or of a new one."""
        command = [sys.executable, str(RUNNER)]
        if self.witness.batch is None:
            template = f"{sys.executable} -I -S {JOB} {{config}} {{out_dir}}"
            command += ["--configs", "c/*.py", "--command", template, "--resume_args", "{checkpoint}"]
            command += ["--grace", GRACE, "--quiet", *(["--keep_running"] if self._given.keep_running else [])]
        else:
            command += ["--resume", "--quiet"]
        environment = {**os.environ, RUN: self._run, "TORTURE_JOURNAL": str(self.witness.journal)}
        with (self.folder / "runs.log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _wait(self, engine: subprocess.Popen[bytes], reached: Callable[[], bool]) -> bool:
        """Watch until the moment is reached; False if the run ended before."""
        deadline = time.monotonic() + DEADLINE
        while not reached():
            if engine.poll() is not None:
                self._check_exit(engine.returncode)
                return False
            now = time.monotonic()
            self._thaw(now)
            if now >= self._next_look:
                self.witness.look()
                self._next_look = time.monotonic() + LOOK
            if now > deadline:
                self.witness.accuse("never ended", f"pid {engine.pid} did not end within {DEADLINE:.0f} s")
                self._kill_all()
                engine.wait()
                return False
            time.sleep(POLL)
        return True

    def _check_exit(self, code: int) -> None:
        crashed = b"Traceback" in (self.folder / "runs.log").read_bytes()
        planned = self.witness.batch is not None
        if crashed or code not in (0, 1) or not planned:
            self.witness.accuse("crashed", f"exit code {code}{', with a traceback in runs.log' * crashed}")

    def _kill_at_random(self, engine: subprocess.Popen[bytes], rng: random.Random) -> None:
        """Wait for a moment, kill, and continue; the engine may outlive a kill of its supervisor."""
        while True:
            word, reached = self._moment(rng)
            if not self._wait(engine, reached):
                return
            victims = self._victims(rng)
            if self._given.freeze and rng.random() < 0.5:
                self._freeze(rng)
            for victim in victims:
                self._kill(engine, victim)
            self.counts["kills"] += 1
            self.counts[f"at {word}"] += 1
            if "engine" in victims:
                break
        engine.wait()
        self.witness.look()
        self._pause(rng)
        self.witness.look()

    def _moment(self, rng: random.Random) -> tuple[str, Callable[[], bool]]:
        """When to kill: a name of the moment, and a function that is true once it has come."""
        now = time.monotonic()
        left = self._length * (1 - len(self.witness.completed) / len(self._expected)) + 0.3
        at = now + rng.uniform(0, 0.8 * left)
        early = now + rng.uniform(0, 0.3)
        job_edge, file_edge = rng.randint(1, 4), rng.randint(1, 20)
        delay, instant = rng.expovariate(1 / 0.02), rng.expovariate(1 / 0.003)
        match rng.choices(("any time", "planning", "a job's edge", "a file's edge"), (3, 2, 3, 4))[0]:
            case "any time":
                return "any time", lambda: time.monotonic() >= at
            case "planning":
                return "planning", lambda: time.monotonic() >= early
            case "a job's edge":
                return "a job's edge", After(self._journal_size, job_edge, delay)
        return "a file's edge", After(self._folder_times, file_edge, instant)

    def _journal_size(self) -> int:
        try:
            return self.witness.journal.stat().st_size
        except FileNotFoundError:
            return 0

    def _folder_times(self) -> tuple[int, ...]:
        """Changes whenever a file of the batch or of a job is made, renamed or removed."""
        try:
            folders = [self.folder / "experiments", *(self.folder / "experiments").glob("experiment_*")]
            folders += [folders[-1] / name for name in self._expected]
            return tuple(folder.stat().st_mtime_ns for folder in folders if folder.exists())
        except FileNotFoundError:
            return ()

    def _victims(self, rng: random.Random) -> Sequence[str]:
        if self._given.triple:
            return rng.choice(
                [("engine",), ("supervisor",), ("job",), ("engine", "supervisor", "job"), ("job", "engine")]
            )
        if self._given.double:
            return rng.choice([("engine",), ("supervisor",), ("engine", "supervisor"), ("supervisor", "engine")])
        return ("engine",)

    def _kill(self, engine: subprocess.Popen[bytes], victim: str) -> None:
        if victim == "engine":
            engine.kill()
            return
        for pid, command in processes(self._run, SUPERVISOR if victim == "supervisor" else JOB.name).items():
            if RUNNER.name not in command:  # whose own command line names the job's script
                send(pid)

    def _freeze(self, rng: random.Random) -> None:
        for pid in processes(self._run, SUPERVISOR):
            send(pid, signal.SIGSTOP)
            self._frozen[pid] = time.monotonic() + rng.uniform(0, 1.5)
            self.counts["frozen"] += 1

    def _thaw(self, now: float) -> None:
        for pid in [pid for pid, moment in self._frozen.items() if moment <= now]:
            del self._frozen[pid]
            send(pid, signal.SIGCONT)

    def _pause(self, rng: random.Random) -> None:
        """Before the resume: mostly none. Now and then so long that each supervisor must have stopped its job."""
        supervised = not (self._given.double or self._given.triple or self._given.keep_running or self._frozen)
        if not supervised or rng.random() > 0.06:
            time.sleep(rng.choice((0, 0, 0, rng.uniform(0, 0.5))))
        elif left := self._outlasting(GONE_AFTER):
            self.witness.accuse("strays", f"{GONE_AFTER:.0f} s after the engine was killed: {left}")

    def _done(self) -> bool:
        return all((self.witness.result(name) or {}).get("status") == status for name, status in self._expected.items())

    def _conclude(self) -> None:
        self._thaw(math.inf)
        if left := self._outlasting(STRAYS_AFTER):
            self.witness.accuse("strays", f"{STRAYS_AFTER:.0f} s after the end of the batch: {left}")
            self._kill_all()
        if self.witness.batch is not None and not self.witness.faults.get("never ended"):
            self.witness.check(self._expected)
        self.counts["attempts"] = sum(event["event"] == "begin" for event in self.witness.events())
        log = (self.folder / "experiments/latest/master_log.txt").read_text() if self.witness.batch else ""
        self.counts["adopted"] = log.count("runs already, pid")

    def _outlasting(self, seconds: float) -> dict[int, str]:
        """The processes of this batch that still live after so many seconds; returns at once when there are none."""
        deadline = time.monotonic() + seconds
        while (left := processes(self._run)) and time.monotonic() < deadline:
            self.witness.look()
            time.sleep(LOOK)
        return left

    def _kill_all(self) -> None:
        while left := processes(self._run):
            for pid in left:
                send(pid)
            time.sleep(LOOK)


class After:
    """True some time after something has changed for the n-th time."""

    def __init__(self, look: Callable[[], object], changes: int, delay: float) -> None:
        self._look = look
        self._last = look()
        self._missing = changes
        self._delay = delay
        self._at: float | None = None

    def __call__(self) -> bool:
        if self._at is None:
            found = self._look()
            if found != self._last:
                self._last = found
                self._missing -= 1
            if self._missing <= 0:
                self._at = time.monotonic() + self._delay
        return self._at is not None and time.monotonic() >= self._at


def names(jobs: int) -> list[str]:
    """`plain_0`, `fails_1`, … in the sequence in which they run."""
    return [f"{KINDS[number % len(KINDS)]}_{number}" for number in range(jobs)]


def send(pid: int, number: int = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:  # it ended by itself
        pass


if __name__ == "__main__":
    sys.exit(main())
