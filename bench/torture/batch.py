"""One batch in a folder of its own, the runs that carry it on, and the witness that watches."""

from __future__ import annotations

import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from runner.disk.layout import SUMMARY, SUPERVISOR
from torture import durability
from torture.moments import LIVING, WEIGHTS, moment
from torture.processes import RUN, Process, descends, processes, send
from torture.witness import Witness

SUPERVISORS = "supervisor/__main__.py"  # in the command line of every supervisor
JOB = Path(__file__).with_name("job.py")
GUARDS = "supervisor/guard.py"  # in that of the guard of an engine
# In those of what forks supervisors for an engine, and of what it has forked ahead.
SPAWNERS = ("supervisor/spawner.py", "supervisor/warm.py")
JOBS = "torture/job.py"  # in the command line of every job
KINDS = ("plain", "fails", "noisy", "saves", "trains", "stubborn", "leaves")
GRACE = "0.3,0.3,3"
POLL = 0.001  # seconds between two looks for the moment to kill
LOOK = 0.02  # seconds between two looks at the records
DEADLINE = 60.0  # seconds that any one run may take: twenty times what it needs
GONE_AFTER = 10.0  # seconds until nothing of a killed batch may live: the stop escalation, and the time to record
STRAYS_AFTER = 5.0  # seconds after its end in which the last process of a batch must be gone
ORPHANS_AFTER = 2.0  # seconds after its supervisor's death in which a job must be gone, though nobody resumes
RIVAL_ENDS = 20.0  # seconds in which a second runner must have noticed that another one has the batch
CALM_RUNS = 3  # resumes without a kill after which a batch must be done
MOST_KILLS = 25  # in one batch
LOCKED = 75  # the exit code of a runner whose batch is run by another one


class Batch:
    """Started, killed and resumed in `folder` by the program `runner`, until it is done."""

    def __init__(
        self, folder: Path, runner: Path, jobs: int, length: float, *, first: int = 0,
        double: bool = False, triple: bool = False, freeze: bool = False, keep_running: bool = False,
        kill_spawner: bool = False, warm: bool = False,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.witness = Witness(folder)
        self.counts: Counter[str] = Counter()
        self._runner, self._length = runner, length
        self._double, self._triple, self._freezes, self._keeps = double, triple, freeze, keep_running
        self._kills_spawner, self._warm = kill_spawner, warm
        self._run = uuid.uuid4().hex
        self._expected = {name: "failed" if name.endswith("fails") else "completed" for name in names(jobs, first)}
        self._next_look = 0.0
        self._cut_short = False  # a second runner that had got the batch was killed
        self._frozen: dict[int, float] = {}  # pid of a supervisor -> when it may continue
        self._hold = folder / "hold"  # while it exists, no job ends
        self._held: tuple[int, int] = (0, 0)  # how many adoptions and events there were when it was made
        configs = folder / "c"
        configs.mkdir(parents=True)
        for name in self._expected:
            (configs / f"{name}.py").write_text("")

    def undisturbed(self) -> float:
        """Run it once without a kill; returns its seconds. Nothing may be wrong with it."""
        began = time.monotonic()
        self._wait(self._start(), lambda: False)
        length = time.monotonic() - began
        self._conclude()
        return length

    def traced(self) -> None:
        """Run it once without a kill, and look at the order in which it writes, syncs and renames (needs strace)."""
        trace = self.folder / "trace"
        self._wait(self._start(durability.traced(trace)), lambda: False)
        self._conclude()
        for sentence in durability.faults(trace, self.folder / "experiments"):
            self.witness.accuse("not durable", sentence)

    def torment(self, rng: random.Random, kills: int) -> None:
        """Kill and resume at random until it is done, or was killed often enough; then let it end in peace."""
        calm = 0
        while calm < CALM_RUNS and not self.witness.faults.get("never ended"):
            engine, self._cut_short = self._start(), False
            if self.counts["kills"] >= min(kills, MOST_KILLS):
                calm += 1
                self._wait(engine, lambda: False)
            else:
                self._kill_at_random(engine, rng)
            if engine.poll() is not None and engine.returncode >= 0 and self._done() and not self._cut_short:
                break
        self._conclude()

    def _start(self, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """A run: of the existing batch, or of a new one."""
        command = [*before, sys.executable, str(self._runner)]
        if self.witness.batch is None:
            template = f"{sys.executable} {'' if self._warm else '-I -S '}{JOB} {{config}} {{out_dir}}"
            command += ["--configs", "c/*.py", "--command", template, "--resume_args", "{checkpoint}"]
            command += ["--grace", GRACE, "--quiet", *["--keep_running"] * self._keeps]
            command += ["--warm", "--warm_imports", "math"] * self._warm
        else:
            command += ["--resume", "--quiet"]
        environment = {
            **os.environ, RUN: self._run, "TORTURE_JOURNAL": str(self.witness.journal),
            "TORTURE_HOLD": str(self._hold),
        }  # fmt: skip
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
            self._look(now)
            self._release()
            if now > deadline:
                self.witness.accuse("never ended", f"pid {engine.pid} did not end within {DEADLINE:.0f} s")
                self._kill_all()
                engine.wait()
                return False
            time.sleep(POLL)
        return True

    def _look(self, now: float) -> None:
        if now >= self._next_look:
            self.witness.look()
            self._next_look = time.monotonic() + LOOK

    def _check_exit(self, code: int, allowed: Sequence[int] = (0, 1)) -> None:
        crashed = b"Traceback" in (self.folder / "runs.log").read_bytes()
        planned = self.witness.batch is not None
        if crashed or code not in allowed or not planned:
            self.witness.accuse("crashed", f"exit code {code}{', with a traceback in runs.log' * crashed}")

    def _kill_at_random(self, engine: subprocess.Popen[bytes], rng: random.Random) -> None:
        """Wait for a moment, kill, and continue; the engine may outlive a kill of its supervisor."""
        while True:
            weights = LIVING if self._keeps else WEIGHTS
            word, reached = moment(rng, self.witness, list(self._expected), self._length, weights)
            if not self._wait(engine, reached):
                return
            if rng.random() < 0.3 and not self._outlives_a_rival(engine):
                return
            victims = self._victims(rng)
            if self._freezes and rng.random() < 0.5:
                self._freeze(rng)
            supervised = self._supervised() if "supervisor" in victims else []
            if "engine" in victims:
                self._hold.touch()  # what outlives this kill must not end by itself before it is seen
            for victim in victims:
                self._kill(engine, victim)
            self.counts["kills"] += 1
            self.counts[f"at {word}"] += 1
            if "engine" in victims:
                break
        engine.wait()
        self.witness.look()
        self._check_orphans(supervised)
        if self._keeps:
            self._note_living()
        else:
            self._hold.unlink()
        if engine.returncode < 0:  # otherwise it had ended before the kill, and perhaps nobody resumes
            self._plant_partly_written(engine.pid)
        self._pause(rng)
        self.witness.look()

    def _outlives_a_rival(self, engine: subprocess.Popen[bytes]) -> bool:
        """Start a second runner on the batch: it must leave at once. False if the first one has ended meanwhile."""
        if not self._runs_jobs(engine):  # it may not have the lock yet, or not any more
            return True
        rival = self._start()
        self.counts["rivals"] += 1
        deadline = time.monotonic() + RIVAL_ENDS
        while rival.poll() is None and engine.poll() is None:
            self._thaw(time.monotonic())
            self._look(time.monotonic())
            late = time.monotonic() > deadline
            if late or (self._runs_jobs(rival) and self._runs_jobs(engine)):
                what = f"did not end within {RIVAL_ENDS:.0f} s" if late else "runs jobs of it"
                self.witness.accuse("two runners", f"pid {rival.pid} {what}, while pid {engine.pid} runs the batch")
                break
            time.sleep(POLL)
        if rival.poll() is None:
            rival.kill()
            rival.wait()
            self._cut_short = engine.poll() is not None  # then the second one had the batch, and is to be followed
        elif rival.returncode != LOCKED and engine.poll() is None:
            self.witness.accuse("two runners", f"a second one ended with {rival.returncode} while the first one ran")
        if engine.poll() is None:
            return True
        self._check_exit(engine.returncode)
        return False

    def _runs_jobs(self, engine: subprocess.Popen[bytes]) -> bool:
        return any(descends(pid, engine.pid) for pid in processes(self._run, SUPERVISORS))

    def _victims(self, rng: random.Random) -> Sequence[str]:
        victims = self._usual_victims(rng)
        if not self._kills_spawner:
            return victims
        return rng.choice([("spawner",), ("spawner", *victims), (*victims, "spawner"), victims])

    def _usual_victims(self, rng: random.Random) -> Sequence[str]:
        if self._triple:
            return rng.choice(
                [("engine",), ("supervisor",), ("job",), ("engine", "supervisor", "job"), ("job", "engine")]
            )
        if self._double:
            both = [("engine", "supervisor"), ("supervisor", "engine"), ("guard", "engine", "supervisor")]
            return rng.choice([("engine",), ("supervisor",), *both])
        return ("engine",)

    def _kill(self, engine: subprocess.Popen[bytes], victim: str) -> None:
        if victim == "engine":
            engine.kill()
            return
        if victim in ("guard", "spawner"):
            words = (GUARDS,) if victim == "guard" else SPAWNERS
            found = [pid for word in words for pid in processes(self._run, word)]
            for pid in found:
                send(pid)
            self.counts[f"{victim}s killed"] += bool(found)
            return
        self.witness.forget_living()
        for pid in self._jobs() if victim == "job" else processes(self._run, SUPERVISORS):
            send(pid)

    def _jobs(self) -> dict[int, Process]:
        """The jobs that live. The command line of an engine names their script too."""
        return {pid: one for pid, one in processes(self._run, JOBS).items() if str(self._runner) not in one.command}

    def _supervised(self) -> list[Process]:
        """The jobs whose parent is a supervisor now."""
        supervisors = processes(self._run, SUPERVISORS)
        return [job for job in self._jobs().values() if job.parent in supervisors]

    def _check_orphans(self, jobs: list[Process]) -> None:
        """Their supervisors and the engine were killed: the kernel must have killed them, before any resume."""
        deadline = time.monotonic() + ORPHANS_AFTER
        while left := [job for job in jobs if job.alive]:
            if time.monotonic() > deadline:
                for job in left:
                    self.witness.accuse("orphans", f"pid {job.pid} outlived its supervisor: {job.command}")
                return
            time.sleep(LOOK)

    def _note_living(self) -> None:
        """Jobs that live on without an engine, under supervisors that live: none of them may be begun again."""
        living = self._supervised()
        self.witness.note_living({job.pid: job.start for job in living})
        self._held = self._progress()
        if not living:
            self._hold.unlink(missing_ok=True)

    def _release(self) -> None:
        """Let jobs end that were held while there was no engine, once the next one has adopted one, or begun one."""
        if self._hold.exists() and self._progress() != self._held:
            self._hold.unlink()

    def _progress(self) -> tuple[int, int]:
        begins = sum(event["event"] == "begin" for event in self.witness.events())
        return self._adopted(), begins

    def _adopted(self) -> int:
        log = self.folder / "experiments/latest/master_log.txt"
        return log.read_text().count("runs already") if log.exists() else 0

    def _plant_partly_written(self, pid: int) -> None:
        """What a kill between the opening and the renaming of a record leaves; few kills meet that moment."""
        batch = self.witness.batch
        if batch is None or not (batch / SUMMARY).exists():
            return
        (batch / f".{SUMMARY}.{pid}.tmp").write_text('{"total')
        for name in self._expected:
            if not (batch / name / SUPERVISOR).exists() and self.witness.result(name) is None:
                (batch / name).mkdir(exist_ok=True)
                (batch / name / f".experiment_metadata.json.{pid}.tmp").write_text('{"config')
                return

    def _freeze(self, rng: random.Random) -> None:
        for pid in processes(self._run, SUPERVISORS):
            send(pid, signal.SIGSTOP)
            self._frozen[pid] = time.monotonic() + rng.uniform(0, 1.5)
            self.counts["frozen"] += 1

    def _thaw(self, now: float) -> None:
        for pid in [pid for pid, until in self._frozen.items() if until <= now]:
            del self._frozen[pid]
            send(pid, signal.SIGCONT)

    def _pause(self, rng: random.Random) -> None:
        """Before the resume: mostly none. Now and then so long that each supervisor must have stopped its job."""
        supervised = not (self._double or self._triple or self._keeps or self._frozen)
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
        self.counts["adopted"] = self._adopted()
        results = map(self.witness.result, self._expected)
        self.counts["warm"] = sum(result is not None and result.get("start") == "warm" for result in results)

    def _outlasting(self, seconds: float) -> list[str]:
        """The processes of this batch that still live after so many seconds; returns at once when there are none."""
        deadline = time.monotonic() + seconds
        while (left := processes(self._run)) and time.monotonic() < deadline:
            self.witness.look()
            time.sleep(LOOK)
        return [f"{one.pid} {one.command}" for one in left.values()]

    def _kill_all(self) -> None:
        while left := processes(self._run):
            for pid in left:
                send(pid)
            time.sleep(LOOK)

    def remove(self) -> None:
        shutil.rmtree(self.folder)


def names(jobs: int, first: int) -> list[str]:
    """`00_plain`, `01_fails`, … in the sequence in which they run, from one of the kinds on.

    Most kills meet the first jobs of a batch, so each batch begins with another kind.
    """
    return [f"{number:02d}_{KINDS[(first + number) % len(KINDS)]}" for number in range(jobs)]
