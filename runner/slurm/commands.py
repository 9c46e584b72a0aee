"""Slurm's programs: sbatch, squeue, scontrol, sacct, scancel. Each call has a time limit; none raises."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from runner.slurm.environment import without_slurm
from runner.slurm.states import FORMAT, Listed, TaskState, ended_in, listed, states_in

PATIENCE = 20.0  # seconds until a controller that does not answer counts as not available
SUBMITTING = 60.0  # the same of sbatch, which may have submitted all the same
AT_ONCE = 500  # job ids in one command line


class Answer(NamedTuple):
    """What a program printed. `code` is None if it did not end in time, or could not be started."""

    code: int | None
    out: str
    error: str

    @property
    def why(self) -> str:
        """Its error in one line."""
        lines = [line.strip() for line in self.error.splitlines() if line.strip()]
        return re.sub(r"^\w+: (?:error: )?", "", lines[-1]) if lines else f"exit code {self.code}"


def call(
    words: Sequence[str], patience: float, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Answer:
    """Run one program to its end, in an environment without an outer job's variables."""
    environ = without_slurm(os.environ) if env is None else env
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            timeout=patience,
            check=False,
            stdin=subprocess.DEVNULL,
            env=environ,
            cwd=cwd,
            start_new_session=True,  # Ctrl+C in the terminal must not end a sbatch that may have submitted
        )
    except subprocess.TimeoutExpired:
        return Answer(None, "", f"{words[0]} did not answer within {patience:g} s")
    except OSError as error:
        return Answer(None, "", f"{words[0]} cannot be run ({error.strerror})")
    return Answer(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def submit(script: Path, words: Sequence[str], env: Mapping[str, str], patience: float = SUBMITTING) -> Answer:
    """Submit a script; the answer's `out` is then the id. Without a code it is not known whether it was submitted."""
    answer = call(["sbatch", "--parsable", *words, str(script)], patience, env, script.parent)
    found = submitted_id(answer.out)
    if answer.code == 0 and not found:
        return Answer(None, "", "sbatch printed no job id")
    return answer._replace(out=found)


def submitted_id(text: str) -> str:
    """The id that sbatch printed, as 12 or 12;CLUSTER, after the lines of a cluster's own; empty without one."""
    found = re.findall(r"^(\d+)(?:;.*)?$", text, re.MULTILINE)
    return found[-1] if found else ""


def queue(name: str) -> list[Listed] | None:
    """Every job of ours with this name that waits or runs, by one call; None if Slurm did not answer."""
    answer = call(["squeue", "--me", f"--name={name}", "--noheader", "--array", f"--format={FORMAT}"], PATIENCE)
    return listed(answer.out) if answer.code == 0 else None


def exists(slurm_id: str) -> bool | None:
    """Whether a job waits or runs; None if Slurm did not answer."""
    answer = call(["squeue", f"--jobs={slurm_id}", "--noheader", "--array", f"--format={FORMAT}"], PATIENCE)
    if answer.code == 0:
        return bool(listed(answer.out))
    return False if "Invalid job id" in answer.error else None


def shown(array: str) -> dict[str, TaskState] | None:
    """What the controller still knows of a job or of every task of an array; None if it did not answer."""
    answer = call(["scontrol", "show", "job", array], PATIENCE)
    if answer.code == 0:
        return states_in(answer.out)
    return {} if "Invalid job id" in answer.error else None


def accounted(array: str) -> dict[str, TaskState]:
    """What the accounting has of an array; empty without an accounting, or if it does not answer."""
    columns = "--format=JobID,State,ExitCode,NodeList"
    answer = call(["sacct", "-X", "-P", "-n", f"--jobs={array}", columns], PATIENCE)
    return ended_in(answer.out) if answer.code == 0 else {}


def requeue(slurm_id: str) -> Answer:
    """Put this job into the queue again, which ends it."""
    return call(["scontrol", "requeue", slurm_id], PATIENCE)


def exclude(slurm_id: str, nodes: Sequence[str]) -> Answer:
    """Keep a job off nodes, from its next start on."""
    return call(["scontrol", "update", f"JobId={slurm_id}", f"ExcNodeList={','.join(nodes)}"], PATIENCE)


def cancel(ids: Iterable[str], *words: str) -> Answer:
    """Cancel jobs, or send them the signal of `words`. Those that ended meanwhile do not matter."""
    names, answer = compressed(ids), Answer(0, "", "")
    for first in range(0, len(names), AT_ONCE):
        answer = call(["scancel", "--quiet", *words, *names[first : first + AT_ONCE]], PATIENCE)
    return answer


def setting(name: str) -> str | None:
    """A value of the cluster's configuration; None if it is not known."""
    answer = call(["scontrol", "show", "config"], PATIENCE)
    found = re.search(rf"^{name}\s*=\s*(.*\S)", answer.out, re.MULTILINE)
    return found[1] if found else None


def compressed(ids: Iterable[str]) -> list[str]:
    """Ids of tasks as one word for each array: 12_[0-2,7]. A request of 1,000 tasks is one call of the controller."""
    arrays: dict[str, set[int]] = {}
    words = []
    for one in ids:
        array, _, task = one.partition("_")
        if task.isdecimal():
            arrays.setdefault(array, set()).add(int(task))
        else:
            words.append(one)
    return words + [f"{array}_[{_ranges(sorted(tasks))}]" for array, tasks in arrays.items()]


def _ranges(numbers: Sequence[int]) -> str:
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
