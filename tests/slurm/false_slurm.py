"""A false Slurm: sbatch, squeue, scontrol, scancel and sacct as programs on PATH, and the controller that they ask.

It runs real processes and has the faults that a real one cannot be made to have. What it does was measured on a real
one, 22.05: the tests run against both. As a program: `python false_slurm.py client SOCKET NAME ARGUMENTS`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAMS = ("sbatch", "squeue", "scontrol", "scancel", "sacct", "srun")
TURN = 0.02  # seconds between two looks of the controller
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY")


@dataclass
class Task:
    """One task of an array, or a job without one."""

    number: int
    array: int
    index: int
    name: str
    comment: str
    script: str
    options: dict[str, str]
    env: dict[str, str]
    cwd: str
    state: str = "PENDING"
    reason: str = "None"
    node: str = ""
    code: int = 0
    signal: int = 0
    restarts: int = 0
    eligible: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    then: str = ""  # the state when its processes are gone, instead of that of the exit code
    kill_at: float = 0.0
    warned: bool = False
    process: Any = None
    excluded: set[str] = field(default_factory=set)

    @property
    def id(self) -> str:
        return f"{self.array}_{self.index}" if "array" in self.options else str(self.number)


class Controller:
    """The controller, in a thread of the test. `faults` are named by what goes wrong; `calls` counts what was asked."""

    def __init__(self, folder: Path, nodes: Sequence[str] = ("n1", "n2"), slots: int = 4) -> None:
        self.folder = folder
        self.faults: dict[str, Any] = {}
        self.calls: Counter[str] = Counter()
        self.texts: list[str] = []  # every call, as one line
        self.tasks: list[Task] = []
        self.kill_wait = 1.0
        self.requeue_delay = 0.5
        self.keeps = 1e9  # seconds for which an ended task is known
        self.minute = 60.0  # seconds that a minute of a time limit lasts
        self.largest_array = 1001
        self._up = dict.fromkeys(nodes, True)
        self.slots = slots
        self._next = 1
        self._lock = threading.RLock()
        self._over = False
        self._socket = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Controller:
        programs = self.folder / "bin"
        programs.mkdir(parents=True)
        path = str(self.folder / "socket")
        for name in PROGRAMS:
            words = f"exec {sys.executable} -I -S {__file__} client {path} {name}"
            (programs / name).write_text(f'#!/bin/sh\n{words} "$@"\n')
            (programs / name).chmod(0o755)
        self._socket.bind(path)
        self._socket.listen(64)
        self._threads = [threading.Thread(target=self._serve), threading.Thread(target=self._run)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as last:
            last.connect(str(self.folder / "socket"))
        for thread in self._threads:
            thread.join()
        self._socket.close()
        for task in self.tasks:
            self._kill(task, signal.SIGKILL)

    @property
    def path(self) -> str:
        return f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"

    # What a test does to the cluster.

    def task(self, task_id: str) -> Task:
        return next(task for task in self.tasks if task.id == task_id)

    def preempt(self, task_id: str, grace: float = 30.0) -> None:
        """Take the node of a task: SIGTERM to all its processes, and after the grace SIGKILL."""
        with self._lock:
            task = self.task(task_id)
            task.then, task.kill_at = "REQUEUE", time.monotonic() + grace
            self._say(task, " DUE TO PREEMPTION")
            self._kill(task, signal.SIGTERM)

    def lose(self, node: str, *, requeue: bool = True) -> None:
        """A node is gone with all that ran there."""
        with self._lock:
            self._up[node] = False
            for task in self.tasks:
                if task.node == node and task.state == "RUNNING":
                    task.then = "REQUEUE" if requeue else "NODE_FAIL"
                    self._kill(task, signal.SIGKILL)

    def restore(self, node: str) -> None:
        self._up[node] = True

    # The controller itself.

    def _run(self) -> None:
        while not self._over:
            with self._lock:
                now = time.monotonic()
                for task in self.tasks:
                    self._turn(task, now)
            time.sleep(TURN)

    def _turn(self, task: Task, now: float) -> None:
        if task.state == "PENDING":
            task.reason = "BeginTime" if task.eligible > now else self._held(task)
            if task.reason == "None":
                self._start(task, now)
        elif task.state in ("RUNNING", "COMPLETING"):
            if (code := self.poll(task)) is not None:
                self._kill(task, signal.SIGKILL)
                self._end(task, code, now)
            elif task.kill_at and now > task.kill_at:
                self._kill(task, signal.SIGKILL)
            else:
                self._limit(task, now)

    def _held(self, task: Task) -> str:
        if "hold" in self.faults:
            return str(self.faults["hold"])
        before = task.options.get("dependency", "").split(":")[1:]
        if any(str(other.array) in before and other.state not in ENDED for other in self.tasks):
            return "Dependency"
        limit = re.search(r"%(\d+)", task.options.get("array", ""))
        same = [other for other in self.tasks if other.array == task.array and other.state == "RUNNING"]
        if limit and len(same) >= int(limit[1]):
            return "JobArrayTaskLimit"
        return "None" if self._free(task) else "Resources"

    def _free(self, task: Task) -> str | None:
        left_out = {*task.excluded, *task.options.get("exclude", "").split(",")}
        for node, up in self._up.items():
            busy = sum(other.node == node and other.state in ("RUNNING", "COMPLETING") for other in self.tasks)
            if up and node not in left_out and busy < self.slots:
                return node
        return None

    def _start(self, task: Task, now: float) -> None:
        task.node = self._free(task) or ""
        task.state, task.started, task.then, task.kill_at, task.warned = "RUNNING", now, "", 0.0, False
        self.launch(task)

    def launch(self, task: Task) -> None:
        """Run the script of a task, as slurmstepd does."""
        env = {
            **task.env, "SLURM_JOB_ID": str(task.number), "SLURM_ARRAY_JOB_ID": str(task.array),
            "SLURM_ARRAY_TASK_ID": str(task.index), "SLURMD_NODENAME": task.node, "SLURM_JOB_NODELIST": task.node,
            "SLURM_JOB_PARTITION": task.options.get("partition", "low"), "SLURM_RESTART_COUNT": str(task.restarts),
        }  # fmt: skip
        with self._log(task).open("ab") as file:
            task.process = subprocess.Popen(
                ["/bin/bash", task.script], cwd=task.options.get("chdir", task.cwd), env=env, stdout=file, stderr=file,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def poll(self, task: Task) -> int | None:
        """The exit code of the script, once it has ended."""
        code: int | None = task.process.poll()
        return code

    def _limit(self, task: Task, now: float) -> None:
        text = task.options.get("time", "")
        if not text.isdecimal():
            return
        limit = int(text) * self.minute
        sent = re.fullmatch(r"B:(\w+)@(\d+)", task.options.get("signal", ""))
        if sent and not task.warned and now > task.started + limit - int(sent[2]) * self.minute / 60:
            task.warned = True
            os.kill(task.process.pid, signal.Signals[f"SIG{sent[1]}"])
        if now > task.started + limit and not task.then:
            task.then, task.kill_at = "TIMEOUT", now + self.kill_wait
            self._say(task, " DUE TO TIME LIMIT")
            self._kill(task, signal.SIGTERM)

    def _end(self, task: Task, code: int, now: float) -> None:
        task.code, task.signal = max(code, 0), max(-code, 0)
        then, task.then, task.node, node = task.then, "", "", task.node
        if then == "REQUEUE" and code == 0 and not task.kill_at:
            then = ""  # it ended by itself
        if then == "REQUEUE":
            task.state, task.restarts, task.eligible = "PENDING", task.restarts + 1, now + self.requeue_delay
            return
        task.state, task.ended, task.node = then or ("FAILED" if code else "COMPLETED"), now, node

    def _say(self, task: Task, why: str) -> None:
        """What slurmstepd writes into the output of a task that it ends."""
        with self._log(task).open("a") as log:
            log.write(f"slurmstepd: error: *** JOB {task.number} ON {task.node} CANCELLED AT {_now()}{why} ***\n")

    def _log(self, task: Task) -> Path:
        output = task.options.get("output", "slurm-%A_%a.out")
        names = {"%A": task.array, "%a": task.index, "%j": task.number}
        return Path(task.cwd, re.sub("%[Aaj]", lambda found: str(names[found[0]]), output))

    def _kill(self, task: Task, number: int) -> None:
        if task.process is None or task.state not in ("RUNNING", "COMPLETING"):
            return
        for pid in _tree(task.process.pid):
            with contextlib.suppress(OSError):
                os.kill(pid, number)

    def _serve(self) -> None:
        while not self._over:
            connection, _ = self._socket.accept()
            with contextlib.suppress(OSError), connection, connection.makefile("rwb") as file:
                self._answer(file)  # the program that asks may be killed at any time

    def _answer(self, file: Any) -> None:
        request = json.loads(file.readline() or b"null")
        if request is None:
            return
        with self._lock:
            self.calls[request["name"]] += 1
            self.texts.append(f"{request['name']} {' '.join(request['words'])}")
            answer = getattr(self, f"_{request['name']}")(request)
        file.write(json.dumps(answer).encode() + b"\n")

    def _sbatch(self, request: dict[str, Any]) -> tuple[int, str, str]:
        if refusals := self.faults.get("refuse"):
            return 1, "", f"sbatch: error: Batch job submission failed: {refusals.pop()}\n"
        words = request["words"]
        options = _options([*_of_script(Path(words[-1])), *words[:-1]])
        first, last = map(int, options.get("array", "0-0").partition("%")[0].split("-"))
        if last >= self.largest_array:
            return 1, "", "sbatch: error: Batch job submission failed: Invalid job array specification\n"
        array = self._next
        for index in range(first, last + 1):
            self.tasks.append(
                Task(self._next, array, index, options.get("job-name", ""), options.get("comment", ""), words[-1],
                     options, request["env"], request["cwd"])
            )  # fmt: skip
            self._next += 1
        if self.faults.get("lost_answers"):
            self.faults["lost_answers"] -= 1
            text = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n"
            return 1, "", text
        return 0, f"{array}\n", ""

    def _squeue(self, request: dict[str, Any]) -> tuple[int, str, str]:
        if self.faults.get("down"):
            return 1, "", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"
        options = _options(request["words"])
        found = [task for task in self.tasks if task.state not in ENDED]
        if "name" in options:
            found = [task for task in found if task.name == options["name"]]
        if "jobs" in options:
            known = [task for task in self.tasks if options["jobs"] in (task.id, str(task.array))]
            if not [task for task in known if task.state not in ENDED or self._is_known(task)]:
                return 1, "", "slurm_load_jobs error: Invalid job id specified\n"
            found = [task for task in found if task in known]
        compressed = "array" not in options or bool(self.faults.get("compressed"))
        return 0, "".join(self._lines(found, compressed=compressed)), ""

    def _lines(self, found: Sequence[Task], *, compressed: bool) -> Iterator[str]:
        waiting: dict[tuple[int, str], list[Task]] = {}
        for task in found:
            if compressed and task.state == "PENDING":
                waiting.setdefault((task.array, task.reason), []).append(task)
            else:
                where = task.node if task.state != "PENDING" else f"({task.reason})"
                yield f"{task.id}|{task.state}|{task.comment}|{task.reason}|{where}\n"
        for (array, reason), tasks in waiting.items():
            indices = ",".join(str(task.index) for task in tasks)
            yield f"{array}_[{indices}]|PENDING|{tasks[0].comment}|{reason}|({reason})\n"

    def _scancel(self, request: dict[str, Any]) -> tuple[int, str, str]:
        options = _options(request["words"])
        for word in request["words"]:
            for task in self._named(word) if not word.startswith("-") else ():
                if "signal" in options:
                    if task.state == "RUNNING":
                        os.kill(task.process.pid, signal.Signals[f"SIG{options['signal']}"])
                elif task.state == "PENDING":
                    task.state, task.ended = "CANCELLED", time.monotonic()
                elif task.state in ("RUNNING", "COMPLETING"):
                    task.state, task.then, task.kill_at = "COMPLETING", "CANCELLED", time.monotonic() + self.kill_wait
                    self._say(task, "")
                    self._kill(task, signal.SIGTERM)
        return 0, "", ""

    def _named(self, word: str) -> list[Task]:
        array, _, rest = word.partition("_")
        found = [task for task in self.tasks if str(task.array) == array]
        if not rest:
            return found
        numbers: set[int] = set()
        for span in rest.strip("[]").split(","):
            first, _, last = span.partition("-")
            numbers |= set(range(int(first), int(last or first) + 1))
        return [task for task in found if task.index in numbers]

    def _scontrol(self, request: dict[str, Any]) -> tuple[int, str, str]:
        words = request["words"]
        match words[:2]:
            case ["show", "config"]:
                return 0, f"MaxArraySize            = {self.largest_array}\nJobRequeue              = 1\n", ""
            case ["show", "hostnames"]:
                return 0, "\n".join(words[2].split(",")) + "\n", ""
            case ["show", "job"]:
                found = [task for task in self._named(words[2]) if task.state not in ENDED or self._is_known(task)]
                if not found:
                    return 1, "", "slurm_load_jobs error: Invalid job id specified\n"
                return 0, "\n\n".join(map(_described, found)), ""
            case ["requeue", name]:
                return self._requeue(self._named(name))
            case ["update", name]:
                values = dict(word.split("=", 1) for word in words[1:])
                for task in self._named(values["JobId"]):
                    task.excluded |= set(values.get("ExcNodeList", "").split(",")) - {""}
                    task.eligible = 0.0 if "StartTime" in values else task.eligible
                return 0, "", ""
        return 1, "", f"scontrol: unknown: {words}\n"

    def _requeue(self, tasks: Sequence[Task]) -> tuple[int, str, str]:
        if self.faults.get("no_requeue"):
            return 1, "", "slurm_requeue error: Requested operation is presently disabled\n"
        for task in tasks:
            if task.state != "RUNNING":
                return 1, "", "slurm_requeue error: Job is pending execution\n"
            task.state, task.then, task.kill_at = "COMPLETING", "REQUEUE", time.monotonic() + 0.1
        return 0, "", ""

    def _sacct(self, request: dict[str, Any]) -> tuple[int, str, str]:
        if not self.faults.get("accounting"):
            return 1, "", "Slurm accounting storage is disabled\n"
        found = self._named(_options(request["words"])["jobs"])
        return 0, "".join(f"{task.id}|{task.state}|{task.code}:{task.signal}|{task.node}\n" for task in found), ""

    def _srun(self, request: dict[str, Any]) -> tuple[int, str, str]:
        return 0, "", ""

    def _is_known(self, task: Task) -> bool:
        return time.monotonic() < task.ended + self.keeps


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S")


def _described(task: Task) -> str:
    return (
        f"JobId={task.number} ArrayJobId={task.array} ArrayTaskId={task.index} JobName={task.name}\n"
        f"   JobState={task.state} Reason={task.reason} Dependency=(null)\n"
        f"   Requeue=1 Restarts={task.restarts} BatchFlag=1 Reboot=0 ExitCode={task.code}:{task.signal}\n"
        f"   NodeList={task.node or '(null)'}\n   Comment={task.comment}\n"
    )


def _options(words: Sequence[str]) -> dict[str, str]:
    pairs = (word.removeprefix("--").partition("=") for word in words if word.startswith("--"))
    return {name: value for name, _, value in pairs}


def _of_script(path: Path) -> list[str]:
    return [line.removeprefix("#SBATCH ").strip('"') for line in path.read_text().splitlines() if "#SBATCH " in line]


def _tree(pid: int) -> list[int]:
    """A process and all below it, in whatever session: what Slurm tracks."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            children.setdefault(int((entry / "stat").read_text().rpartition(")")[2].split()[1]), []).append(
                int(entry.name)
            )
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        left += children.get(found[-1], [])
    return found


def _client(path: str, name: str, words: list[str]) -> int:
    """What each of the programs does: ask the controller."""
    if name == "srun":
        command = [word for word in words if not word.startswith("--")]
        os.execvp(command[0], command)
    request = {"name": name, "words": words, "env": dict(os.environ), "cwd": str(Path.cwd())}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        with connection.makefile("rwb") as file:
            file.write(json.dumps(request).encode() + b"\n")
            file.flush()
            code, out, error = json.loads(file.readline())
    sys.stdout.write(out)
    sys.stderr.write(error)
    return int(code)


if __name__ == "__main__":
    sys.exit(_client(sys.argv[2], sys.argv[3], sys.argv[4:]))
