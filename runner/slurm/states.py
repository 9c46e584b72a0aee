"""The states of Slurm's jobs: what its programs print -> values, and what they mean for a job of ours. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

FORMAT = "%i|%T|%k|%r|%R"  # id, state, comment, reason, nodes
#: Slurm's words for the states in which a job has not started, or not again.
WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"})
#: States in which Slurm still has a job.
LIVE = (WAITING - {"REQUEUED"}) | {
    "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING",
}  # fmt: skip
#: Slurm's reasons for which a job waits -> what the user reads.
REASONS = {
    "Priority": "others have a higher priority",
    "Resources": "no node has enough free",
    "Dependency": "it depends on another job",
    "BeginTime": "it was queued again, and may start two minutes later",
    "JobArrayTaskLimit": "as many tasks of the array run as --slurm_array_parallelism allows",
    "PartitionTimeLimit": "its time limit is longer than that of the partition: it never starts",
    "PartitionNodeLimit": "it asks for more nodes than the partition has: it never starts",
    "PartitionDown": "the partition is down",
    "ReqNodeNotAvail": "nodes that it asks for are not available",
    "JobHeldUser": "it is held; scontrol release starts it",
    "JobHeldAdmin": "an administrator holds it",
    "BadConstraints": "no node can ever meet its request",
    "launch failed requeued held": "its start failed, and Slurm holds it; scontrol release starts it",
    "Licenses": "a licence is not free",
    "Reservation": "its reservation starts later",
}


class Listed(NamedTuple):
    """A line of squeue: a job that waits or runs."""

    slurm_id: str
    state: str
    comment: str
    reason: str
    nodes: str

    @property
    def waits(self) -> bool:
        return self.state in WAITING


class TaskState(NamedTuple):
    """What Slurm says of a job that may have ended. `code` and `signal` are those of the batch script."""

    state: str
    code: int
    signal: int
    node: str


def listed(text: str) -> list[Listed]:
    """The lines of squeue; what is not one is left out."""
    found = []
    for line in text.splitlines():
        parts = line.split("|", 4)
        if len(parts) == 5 and re.fullmatch(r"\d+(?:_\d+|_\[.*\])?", parts[0]):
            found.append(Listed(*parts))
    return [task for one in found for task in _expanded(one)]


def _expanded(one: Listed) -> list[Listed]:
    """Each task of a line for several, as an older squeue prints it: 12_[0-2,7%4]."""
    array, bracket, tasks = one.slurm_id.partition("_[")
    if not bracket:
        return [one]
    return [one._replace(slurm_id=f"{array}_{number}") for number in _numbers(tasks.rstrip("]"))]


def _numbers(tasks: str) -> list[int]:
    """The indices in 0-2,7,10-20:5%4; what cannot be read is left out, as the ... at the end of a long list."""
    numbers: list[int] = []
    for span in tasks.partition("%")[0].split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?(?::([1-9]\d*))?", span)
        if found is not None:
            numbers += range(int(found[1]), int(found[2] or found[1]) + 1, int(found[3] or 1))
    return numbers


def states_in(text: str) -> dict[str, TaskState]:
    """The states in the output of scontrol show job, by the id of the task."""
    found: dict[str, TaskState] = {}
    for block in re.split(r"\n\s*\n", text):
        values = dict(re.findall(r"(\w+)=(\S*)", block))
        if "JobState" not in values:
            continue
        array, task = values.get("ArrayJobId"), values.get("ArrayTaskId", "")
        ids = [f"{array}_{number}" for number in _numbers(task)] if array else []
        nodes = values.get("NodeList", "")
        state = _state(values["JobState"], values.get("ExitCode", ""), "" if nodes == "(null)" else nodes)
        found |= dict.fromkeys(ids or [values.get("JobId", "")], state)
    return found


def ended_in(text: str) -> dict[str, TaskState]:
    """The ends in the output of sacct. It may say for ever that a job runs which the controller has forgotten."""
    rows = (line.split("|") for line in text.splitlines())
    ended = (row for row in rows if len(row) >= 4 and row[1].strip() and row[1].split()[0] not in LIVE)
    return {row[0]: _state(row[1].split()[0], row[2], row[3]) for row in ended if row[0][:1].isdecimal()}


def _state(state: str, code: str, nodes: str) -> TaskState:
    exit_code, _, signal = code.partition(":")
    return TaskState(state, _number(exit_code), _number(signal), nodes)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def waits(listed: Listed) -> str:
    """Why it waits, for the user: `waits in the queue: others have a higher priority`."""
    reason = listed.reason
    words = REASONS.get(reason)
    if words is None and reason.startswith(("QOS", "Assoc", "MaxJobs", "MaxSubmit")):
        words = f"a limit of your account ({reason})"
    if words is None and reason.startswith("ReqNodeNotAvail"):
        words = REASONS["ReqNodeNotAvail"]
    return f"waits in the queue: {words or reason}" if reason not in ("", "None") else "waits in the queue"


def sentence(state: TaskState | None, slurm_id: str, log: str) -> str:
    """Why a job that left no result has ended, as far as Slurm knows."""
    if state is None:
        return f"job {slurm_id} is gone, Slurm does not know it any more, and it left no result; see {log}"
    where = f" on {state.node}" if state.node else ""
    match state.state:
        case "NODE_FAIL":
            return f"the node {state.node or '(not known)'} failed (Slurm's job {slurm_id})"
        case "OUT_OF_MEMORY":
            return f"Slurm ended job {slurm_id}{where}: more memory was used than --slurm_mem gives; ask for more"
        case "TIMEOUT":
            return f"Slurm ended job {slurm_id}{where} at its time limit before its end was recorded"
        case "CANCELLED":
            return f"job {slurm_id} was cancelled{where}"
        case "PREEMPTED":
            return f"job {slurm_id} was preempted{where} before its end was recorded"
    return f"Slurm's job {slurm_id} ended as {state.state}{where} with exit code {state.code}; see {log}"
