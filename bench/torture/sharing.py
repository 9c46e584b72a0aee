"""Two batches share false GPUs, of two users where root allows that, and are killed at random moments.

The jobs keep a journal of who claims which GPU. Counted are claims of a GPU that another living job had claimed, and
locks that are still held when nothing runs any more. SIGKILL meets an engine, the supervisors or the jobs of a batch,
or all processes of both at once; then each batch is resumed until it is done, and a new one is begun in its place.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torture.processes import RUN, processes, send

JOB = Path(__file__).with_name("gpu_job.py")
VICTIMS = {"engine": 4, "supervisors": 2, "jobs": 2, "batch": 1, "everything": 1}
WORDS = {"engine": "run_experiments.py", "supervisors": "supervisor/__main__.py", "jobs": JOB.name, "batch": ""}
NOBODY = 65534
KINDS = ("one", "two", "one", "leaves")  # jobs of one GPU, of two, and one that leaves a process behind
ENDS = 120.0  # seconds in which two batches must be done when nothing disturbs them
LONGEST = 6.0  # seconds between two kills
GONE = 20.0  # seconds in which nothing of them may live after that
LATER = 75  # the exit code where nothing could be started


PYTHONS = (sys.executable, "/usr/bin/python3")  # the first may lie in a folder that the other user cannot enter
STARTS = """
import os, subprocess, sys, rich, yaml
os.listdir(sys.argv[1])
subprocess.run([sys.executable, "-c", ""], check=True)
"""


class Side:
    """One of the two users, with one batch after another. `python` is an interpreter that this user can start."""

    def __init__(
        self, folder: Path, runner: Path, environment: dict[str, str], user: int | None, python: str
    ) -> None:  # fmt: skip
        self.run = uuid.uuid4().hex
        self.batches = 0
        self.faults: list[str] = []
        self._folder, self._runner, self._user, self._python = folder, runner, user, python
        self._environment = {**environment, RUN: self.run, "HOME": str(folder)}
        self._engine: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        if user is not None:
            os.chown(folder, user, user)

    def start(self) -> None:
        """Begin a batch, or resume the one that is not done."""
        if self._engine is not None and self._engine.poll() is None:
            return
        self._check_end()
        batch = self._folder / f"batch_{self.batches:04d}"
        if self.done():
            self.batches += 1
            batch = self._folder / f"batch_{self.batches:04d}"
        words = ["--resume", "--quiet"] if list(batch.glob("experiments/*/plan.json")) else self._first(batch)
        before = [] if self._user is None else as_user(self._user)
        with (self._folder / "runs.log").open("ab") as log:
            self._engine = subprocess.Popen(
                [*before, self._python, "-B", str(self._runner), *words], cwd=batch, env=self._environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self, victim: str) -> None:
        for pid in processes(self.run, WORDS[victim]):
            send(pid)

    def done(self) -> bool:
        """Whether each job of the present batch has completed."""
        batch = self._folder / f"batch_{self.batches:04d}"
        found = [_status(path) for path in batch.glob("experiments/latest/*/experiment_result.json")]
        return found == ["completed"] * len(KINDS)

    def end(self) -> None:
        """Let the present batch end in peace."""
        deadline = time.monotonic() + ENDS
        while not self.done():
            self.start()
            if time.monotonic() > deadline:
                self.faults.append(f"{self._folder.name}: its batch is not done after {ENDS:.0f} s")
                self.kill("batch")
                return
            time.sleep(0.05)
        if self._engine is not None:
            self._engine.wait()
        self._check_end()

    def _first(self, batch: Path) -> Sequence[str]:
        """The arguments that begin a batch."""
        shutil.rmtree(batch, ignore_errors=True)  # of one that was killed before its plan
        (batch / "c").mkdir(parents=True)
        for number, kind in enumerate(KINDS):
            (batch / f"c/{number:02d}_{kind}.py").write_text(f"gpus_per_job = {1 + (kind == 'two')}\n")
        if self._user is not None:
            for path in (batch, batch / "c"):
                os.chown(path, self._user, self._user)
        template = f"{self._python} -I -S {JOB} {{config}} {{out_dir}}"
        return ["--configs", "c/*.py", "--command", template, "--gpus", "all", "--gpu_settle", "0", "--quiet",
                "--grace", "0.3,0.3,3"]  # fmt: skip

    def _check_end(self) -> None:
        code = None if self._engine is None else self._engine.poll()
        crashed = b"Traceback" in (self._folder / "runs.log").read_bytes() if self._engine is not None else False
        if crashed or code not in (None, 0, 1, LATER, -9):
            self.faults.append(f"{self._folder.name}: exit code {code}{', with a traceback in runs.log' * crashed}")
        self._engine = None


def as_user(user: int) -> list[str]:
    """The words before a command that another user is to run."""
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]


def python_of(user: int, environment: dict[str, str], folder: Path) -> str | None:
    """An interpreter with which this user can run the runner in a folder; None: none, or we may not change users."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return None
    for python in PYTHONS:
        command = [*as_user(user), python, "-c", STARTS, str(folder)]
        if subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0:
            return python
    return None


def _status(path: Path) -> str:
    try:
        return str(json.loads(path.read_bytes()).get("status"))
    except (OSError, ValueError):
        return ""


class Sharing:
    """Two sides, one machine of false GPUs, and what was seen of them."""

    def __init__(self, folder: Path, runner: Path, gpus: int) -> None:
        self.counts: Counter[str] = Counter()
        self.journal = folder / "journal.jsonl"
        self._folder = folder
        folder.chmod(0o755)
        self.journal.touch()
        self.journal.chmod(0o666)
        state = folder / "gpus.json"
        state.write_text(json.dumps({"driver": "false", "gpus": [_gpu(index) for index in range(gpus)]}))
        locks = folder / "locks"
        locks.mkdir()
        locks.chmod(0o1777)
        shared = {
            **{name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"},
            "RUNNER_GPU_PROBE": f"cat {state}", "TORTURE_JOURNAL": str(self.journal),
            "RUNNER_GPU_LOCKS": str(locks), "PYTHONPATH": sysconfig.get_path("purelib"),
        }  # fmt: skip
        other = python_of(NOBODY, shared, folder)
        self.two_users = other is not None
        self._sides = []
        for number, user in enumerate((None, NOBODY if self.two_users else None)):
            python = sys.executable if user is None else other or sys.executable
            self._sides.append(Side(folder / f"user_{number}", runner, shared, user, python))

    def torment(self, kills: int, seed: int) -> None:
        """Kill at random until it was often enough, let both end, and look at what is left."""
        rng = random.Random(f"gpus {seed}")
        while self.counts["kills"] < kills:
            for side in self._sides:
                side.start()
            self._wait(rng)
            victim = rng.choices([*VICTIMS], [*VICTIMS.values()])[0]
            victims = self._sides if victim == "everything" else [rng.choice(self._sides)]
            for side in victims:
                side.kill("batch" if victim == "everything" else victim)
            self.counts["kills"] += 1
            self.counts[f"at {victim}"] += 1
            if self.counts["kills"] % 50 == 0:
                print(f"{self.counts['kills']} kills", file=sys.stderr, flush=True)
        for side in self._sides:
            side.end()
        self._look()

    def _wait(self, rng: random.Random) -> None:
        """Until the moment to kill: mostly soon after a few jobs have claimed their GPUs, else at any time."""
        now = time.monotonic()
        if rng.random() < 0.3:
            time.sleep(rng.uniform(0.05, 1.5))
            return
        before, more, delay = self._claims(), rng.randint(1, 4), rng.expovariate(1 / 0.1)
        while self._claims() < before + more and time.monotonic() < now + LONGEST:
            time.sleep(0.01)
            for side in self._sides:
                side.start()
        time.sleep(delay)

    def _claims(self) -> int:
        return self.journal.read_bytes().count(b'"claim"')

    def _look(self) -> None:
        events = [json.loads(line) for line in self.journal.read_text().splitlines()]
        self.counts["jobs"] = sum(event["event"] == "claim" for event in events)
        self.counts["users"] = len({event["user"] for event in events})
        self.counts["overlaps"] = sum(event["event"] == "overlap" for event in events)
        self.counts["batches"] = sum(side.batches + 1 for side in self._sides)
        deadline = time.monotonic() + GONE
        while any(processes(side.run) for side in self._sides) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.counts["processes left"] = sum(len(processes(side.run)) for side in self._sides)
        self.counts["leases left"] = sum(map(_is_held, self._folder.glob("locks/*")))
        self.counts["other faults"] = sum(len(side.faults) for side in self._sides)
        for side in self._sides:
            print("".join(f"{fault}\n" for fault in side.faults), end="", flush=True)
            side.kill("batch")


def _gpu(index: int) -> dict[str, Any]:
    return {"index": index, "uuid": f"GPU-{index}0000000-0000-0000-0000-000000000000", "name": "False GPU",
            "memory_total": 80 << 30, "memory_used": 0, "mode": "default", "processes": []}  # fmt: skip


def _is_held(path: Path) -> bool:
    with path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


BAD = ("overlaps", "leases left", "processes left", "other faults")


def run(folder: Path, runner: Path, gpus: int, kills: int, seed: int) -> int:
    """Prints the counts; returns 1 if anything went wrong."""
    began = time.monotonic()
    sharing = Sharing(folder, runner, gpus)
    sharing.torment(kills, seed)
    counts = sharing.counts
    users = "two users" if sharing.two_users else "one user"
    print(f"\nSIGKILL to two batches of {users} that share {gpus} false GPUs; seed {seed}")
    moments = ", ".join(f"{counts[f'at {victim}']} {victim}" for victim in VICTIMS)
    print(f"{'kills':<16}{counts['kills']:>6}  {moments}")
    for name in ("batches", "jobs", *BAD):
        print(f"{name:<16}{counts[name]:>6}")
    print(f"in {time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f}")
    return 1 if any(counts[name] for name in BAD) else 0
