"""A false and a real Slurm behind one interface, and a job that does what a test lets it do."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.conftest import Workspace, wait_until
from tests.slurm.false_slurm import Controller, _tree

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
PATIENCE = 120.0  # seconds for what a loaded machine with daemons may take

#: Trains to `steps`, but never beyond the number in the file `allowed`; saves when it is asked to leave, and every
#: `save_every` steps. On the node `bad_node` it fails with what it `says`, once the file
#: that it `awaits` is there.
JOB = """\
import json, os, pathlib, signal, subprocess, sys, time
values = {}
exec(pathlib.Path(sys.argv[1]).read_text(), values)
out = pathlib.Path(next(word for word in sys.argv if word.startswith("--out_dir="))[10:])
stop, saved, here = [], out / "ckpt.pt", pathlib.Path(values["here"])
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: stop.append(1))
at = int(saved.read_text()) if "--load" in sys.argv else 0
with open(here / "starts", "a") as file:
    file.write(f"{values['name']} from {at}\\n")
print("from", at, "on", os.environ.get("SLURMD_NODENAME"), flush=True)
if os.environ.get("SLURMD_NODENAME") == values.get("bad_node"):
    while values.get("awaits") and not (out.parent / values["awaits"]).exists():
        time.sleep(0.02)
    sys.exit(values["says"])
if values.get("child"):
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    (here / "child").write_text(str(child.pid))
with open(out / "metrics.jsonl", "a") as metrics:
    while at < values.get("steps", 3) and not stop:
        if at >= int((here / "allowed").read_text() or 0):
            time.sleep(0.02)
            continue
        at += 1
        print(json.dumps({"iter": at, "loss": 1 / at}), file=metrics, flush=True)
        if at % values.get("save_every", 1000) == 0:
            saved.write_text(str(at))
if stop:
    if values.get("saves", True):
        saved.write_text(str(at))
    sys.exit(0)
print("done", flush=True)
sys.exit(values.get("code", 0))
"""
OPTIONS = ("--train_script", "job.py", "--executor", "slurm", "--resume_args=--load", "--slurm_partition", "low")


class Cluster(ABC):
    """What a test needs of a cluster. `env` are the variables that make the runner use it."""

    env: dict[str, str]

    @abstractmethod
    def preempt(self, task: str) -> None:
        """Take its node from a task."""

    @abstractmethod
    def lose(self, node: str) -> None:
        """A node is gone with all that ran there."""

    @abstractmethod
    def restore(self, node: str) -> None:
        """It is back."""

    def shorten_minutes(self, seconds: float) -> None:  # noqa: B027 - a real one cannot
        """Let a minute of a time limit last so long, where that can be."""

    @abstractmethod
    def forget(self, array: str) -> None:
        """Wait until the jobs of an array, which have ended, are not known any more."""

    def call(self, *words: str) -> str:
        return subprocess.run(
            words, env={**os.environ, **self.env}, capture_output=True, text=True, check=False, timeout=60
        ).stdout

    def states(self) -> dict[str, str]:
        """The state of every task that waits or runs, but for what waits for others to end."""
        text = self.call("squeue", "--me", "--noheader", "--array", "--format=%i|%T|%k|%r|%R")
        rows = [line.split("|") for line in text.splitlines()]
        return {row[0]: row[1] for row in rows if len(row) > 1 and row[3] != "Dependency"}

    def node_of(self, task: str) -> str:
        text = self.call("squeue", "--me", "--noheader", "--array", "--format=%i|%T|%k|%r|%R")
        return next(line.split("|")[4] for line in text.splitlines() if line.startswith(f"{task}|"))

    def start_again(self, task: str) -> None:
        """Do not wait for the two minutes after a requeue."""
        wait_until(lambda: self.states().get(task) == "PENDING", f"{task} is queued again", PATIENCE)

        def started() -> bool:
            self.call("scontrol", "update", f"JobId={task}", "StartTime=now")
            return self.states().get(task) != "PENDING"

        wait_until(started, f"{task} starts again", PATIENCE)


class FalseCluster(Cluster):
    """Owns the controller of a false Slurm."""

    def __init__(self, folder: Path) -> None:
        self.controller = Controller(folder)
        self.env = {"PATH": self.controller.path, "RUNNER_SLURM_POLL": "0.2"}

    def shorten_minutes(self, seconds: float) -> None:
        self.controller.minute = seconds

    def forget(self, array: str) -> None:
        self.controller.keeps = 0.0

    def preempt(self, task: str) -> None:
        self.controller.preempt(task)

    def lose(self, node: str) -> None:
        self.controller.lose(node)

    def restore(self, node: str) -> None:
        self.controller.restore(node)


CONFIG = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
MinJobAge=10
KillWait=5
SlurmdTimeout=30
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{nodes}
PartitionName=low Nodes=n1,n2 Default=YES MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE GraceTime=5
PartitionName=high Nodes=n1,n2 MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=2000"


class RealCluster(Cluster):
    """Owns a controller and two nodes on the loopback interface, without systemd, munge and accounting."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._config = folder / "slurm.conf"
        self.env = {"SLURM_CONF": str(self._config), "RUNNER_SLURM_POLL": "1"}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @staticmethod
    def missing() -> str | None:
        """Why there is no real one here."""
        absent = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
        if absent:
            return f"{', '.join(absent)} cannot be found: apt-get install slurmctld slurmd slurm-client munge"
        return None if os.geteuid() == 0 else "its nodes need to be root"

    def start(self) -> str | None:
        """Why its daemons do not come up on this machine; None once they have."""
        ports = _free_ports(3)
        host = os.uname().nodename
        nodes = [NODE.format(name=f"n{number}", host=host, port=ports[number]) for number in (1, 2)]
        (self._folder / "state").mkdir(parents=True)
        self._config.write_text(CONFIG.format(port=ports[0], folder=self._folder, nodes="\n".join(nodes)))
        self._start("slurmctld", "-D")
        for name in ("n1", "n2"):
            self._start("slurmd", "-D", "-N", name, as_name=name)
        try:
            wait_until(self._is_up, "Slurm is up", PATIENCE)
        except AssertionError:
            self._end_all()
            logs = [path.read_text(errors="replace").splitlines()[-3:] for path in sorted(self._folder.glob("*.out"))]
            return " | ".join(line for lines in logs for line in lines) or "no answer"
        return None

    def end(self) -> None:
        self.clear()
        self._end_all()

    def _end_all(self) -> None:
        for name in [*self._daemons]:
            self._end(name)

    def _start(self, program: str, *words: str, as_name: str = "") -> None:
        path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
        with (self._folder / f"{as_name or program}.out").open("wb") as log:
            self._daemons[as_name or program] = subprocess.Popen(
                [str(path), *words], env={**os.environ, **self.env}, stdout=log, stderr=log, start_new_session=True
            )

    def _is_up(self) -> bool:
        return self.call("sinfo", "--noheader", "--Node", "--format=%T").split() == ["idle"] * 4

    def _end(self, name: str) -> None:
        daemon = self._daemons.pop(name)
        for pid in _tree(daemon.pid):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        daemon.wait()

    def clear(self) -> None:
        """End all jobs, and bring back all nodes."""
        self.call("scancel", "--user=root")
        for name in ("n1", "n2"):
            if name not in self._daemons:
                self.restore(name)
        wait_until(lambda: not self.states(), "the queue is empty", PATIENCE)
        wait_until(self._is_up, "all nodes are idle", PATIENCE)

    def forget(self, array: str) -> None:
        wait_until(lambda: not self.call("scontrol", "show", "job", array), "the array is forgotten", PATIENCE)

    def preempt(self, task: str) -> None:
        """Another job with a higher priority wants both nodes, for a moment."""
        script = self._folder / "urgent.sh"
        script.write_text("#!/bin/bash\nsleep 1\n")
        words = (
            "--partition=high",
            "--nodes=2",
            "--exclusive",
            "--job-name=urgent",
            f"--output={self._folder}/urgent.out",
        )
        self.call("sbatch", *words, str(script))
        wait_until(lambda: self.states().get(task) == "PENDING", f"{task} is preempted", PATIENCE)
        wait_until(lambda: list(self.states()) == [task], "the other job has ended", PATIENCE)

    def lose(self, node: str) -> None:
        self._end(node)
        for process in self._of_node(node):
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        self.call("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")

    def _of_node(self, node: str) -> list[int]:
        """The processes of jobs on a node of this cluster, which know both; before them the processes of Slurm that
        started them, and would tell the controller that they have ended."""
        known = {f"SLURMD_NODENAME={node}".encode(), f"SLURM_CONF={self._config}".encode()}
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if known <= {*(entry / "environ").read_bytes().split(b"\0")}:
                    found.append(int(entry.name))
        return [*_started_by(found), *found]

    def restore(self, node: str) -> None:
        self._start("slurmd", "-D", "-N", node, as_name=node)
        deadline = time.monotonic() + PATIENCE
        while "idle" not in self.call("sinfo", "--noheader", f"--nodes={node}", "--format=%T"):
            self.call("scontrol", "update", f"NodeName={node}", "State=RESUME")
            assert time.monotonic() < deadline, f"{node} does not come back"
            time.sleep(0.5)


def _started_by(processes: Sequence[int]) -> set[int]:
    """Those of Slurm that started one of these."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            parent = psutil.Process(process).parent()
            if parent is not None and parent.name().startswith("slurmstepd"):
                found.add(parent.pid)
    return found


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Batch:
    """A workspace with jobs for a cluster."""

    def __init__(self, work: Workspace, cluster: Cluster) -> None:
        self.work = work
        self.cluster = cluster
        work.write("job.py", JOB)
        self.allow(1000)

    def allow(self, steps: int) -> None:
        """Let the jobs train up to this step."""
        path = self.work / "allowed.new"
        path.write_text(str(steps))
        path.replace(self.work / "allowed")

    def config(self, name: str, **values: Any) -> None:
        settings = {"here": str(self.work.folder), "name": name, **values}
        self.work.write(f"c/{name}.py", "".join(f"{key} = {value!r}\n" for key, value in settings.items()))

    def words(self, *more: str) -> tuple[str, ...]:
        return ("--configs", "c/*.py", *OPTIONS, *more)

    def run(self, *words: str, code: int | None = None) -> str:
        done = self.work.run(*words, code=code, env=self.cluster.env)
        return done.stdout + done.stderr

    def call(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run any program as in the shell of a user of the cluster."""
        return subprocess.run(
            words, cwd=self.work.folder, env={**os.environ, **self.cluster.env}, capture_output=True, text=True,
            check=False, timeout=PATIENCE,
        )  # fmt: skip

    def start(self, *words: str) -> subprocess.Popen[str]:
        return self.work.start(*words, env=self.cluster.env, stderr=subprocess.STDOUT)

    @property
    def starts(self) -> list[str]:
        path = self.work / "starts"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for_starts(self, number: int) -> None:
        wait_until(lambda: len(self.starts) >= number, f"{number} starts of jobs", PATIENCE)

    def wait_for_result(self, name: str, status: str) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            with contextlib.suppress(OSError, ValueError):
                result = self.work.result(name)
                known = status != "interrupted" or "cause" in result  # the supervisor writes it first, then the task
                return result if result["status"] == status and known else None
            return None

        result: dict[str, Any] = wait_until(found, f"{name} is {status}", PATIENCE)
        return result
