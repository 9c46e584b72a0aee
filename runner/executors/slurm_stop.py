"""Stop jobs that are in Slurm's queue or on a node, and say how they wait there; no runner is needed for it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from runner.slurm import commands, script, states, submissions
from runner.slurm.states import Listed

POLL = 1.0  # seconds between two looks at the queue, at first; then it grows
LONGEST = 10.0


def ids(root: Path, listing: Mapping[str, Listed], names: Collection[str] | None = None) -> dict[str, list[str]]:
    """The jobs of Slurm's that are for each job of the batch, of those in the queue; `names`: of these jobs only."""
    found: dict[str, list[str]] = {}
    by_comment: dict[str, str] = {line.comment: line.slurm_id.partition("_")[0] for line in listing.values()}
    for submission in submissions.read_all(root):
        array = submission.slurm_id or by_comment.get(submission.comment, "")
        if not array or submission.pilots:
            continue
        for index, name in enumerate(submission.names):
            if f"{array}_{index}" in listing and (names is None or name in names):
                found.setdefault(name, []).append(f"{array}_{index}")
    return found


def queue(root: Path) -> dict[str, Listed] | None:
    """What Slurm has of the batch; None if it does not answer."""
    lines = commands.queue(script.job_name(root.name))
    return None if lines is None else {line.slurm_id: line for line in lines}


def stop(root: Path, names: Collection[str] | None, how: str) -> list[str] | None:
    """Ask Slurm to stop all jobs, or these; `how` is stop, kill or drain. Returns their ids, None without an answer."""
    listing = queue(root)
    if listing is None:
        return None
    found = [one for several in ids(root, listing, names).values() for one in several]
    pilots = [] if names is not None else [one for one in listing if one not in found]
    waiting = [one for one in (*found, *pilots) if listing[one].waits]
    running = [one for one in found if not listing[one].waits]
    if how == "kill":
        commands.cancel([*found, *pilots])
    else:
        commands.cancel(waiting)
        if how == "stop":
            commands.cancel(running, "--batch", "--signal=USR2")
            commands.cancel([one for one in pilots if one not in waiting], "--batch", "--signal=INT")
    return waiting if how == "drain" else [*found, *pilots]


def gone(root: Path, slurm_ids: Sequence[str], patience: float) -> list[str]:
    """Wait until none of these is in the queue; those that are left after `patience` seconds."""
    deadline, pause = time.monotonic() + patience, POLL
    left = list(slurm_ids)
    while left:
        listing = queue(root)
        left = left if listing is None else [one for one in left if one in listing]
        if not left or time.monotonic() > deadline:
            break
        time.sleep(pause)
        pause = min(2 * pause, LONGEST)
    return left


def notes(root: Path) -> dict[str, str]:
    """What Slurm says of each job of the batch that it has: `12_3: waits in the queue: …`. One question."""
    listing = queue(root)
    if not listing:
        return {}
    found = {}
    for name, several in ids(root, listing).items():
        line = listing[several[-1]]
        words = states.waits(line) if line.waits else f"{line.state.lower()} on {line.nodes}"
        found[name] = f"Slurm {line.slurm_id}: {words}"
    return found
