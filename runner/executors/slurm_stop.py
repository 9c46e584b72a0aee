"""Stop jobs that are in Slurm's queue or on a node, and say how they wait there; no runner is needed for it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from runner.executors.slurm_handle import Followed
from runner.slurm import claims, commands, script, states, stops, submissions
from runner.slurm.states import Listed
from runner.slurm.submissions import Submission

POLL = 1.0  # seconds between two looks at the queue, at first; then it grows
LONGEST = 10.0
OF = ": "  # between Slurm's id of a pilot and the name of the job that it runs: no id has it


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
    """Ask Slurm to stop all jobs, or these; `how` is stop, prune, kill or drain.

    Returns what was asked: ids of Slurm's, and jobs that a pilot runs. None if Slurm does not answer.
    """
    listing = queue(root)
    if listing is None:
        return None
    found = [one for several in ids(root, listing, names).values() for one in several]
    pilots, in_pilots = [], []
    for submission in submissions.read_all(root):
        own = [line.slurm_id for line in listing.values() if line.comment == submission.comment]
        if not submission.pilots or not own:
            continue
        if names is None:
            stops.request(root, submission.comment, None, how)
            pilots += own
        else:
            in_pilots += _stop_in_pilots(root, submission, names, how)
    waiting = [one for one in (*found, *pilots) if listing[one].waits]
    running = [one for one in found if not listing[one].waits]
    if how == stops.KILL:
        commands.cancel([*found, *pilots])
    else:
        commands.cancel(waiting)
        running_pilots = [one for one in pilots if one not in waiting]
        if how == stops.DRAIN:
            commands.cancel(running_pilots, "--batch", "--signal=USR1")
        else:
            commands.cancel(running, "--batch", "--signal=USR2")
            commands.cancel(running_pilots, "--batch", "--signal=INT")
    return [*found, *pilots, *in_pilots]


def _stop_in_pilots(root: Path, submission: Submission, names: Collection[str], how: str) -> list[str]:
    """Ask the pilots of a submission to stop these jobs; those that they run, or would run, and their pilots."""
    asked = []
    for name in submission.names:
        if name not in names:
            continue
        stops.request(root, submission.comment, name, how)
        claim = claims.latest(root, name)
        if claim is None or not claim.ended or claim.comment != submission.comment:
            asked.append(f"{submission.slurm_id if claim is None or claim.ended else claim.slurm_id}{OF}{name}")
    return asked


def let_save(root: Path, handles: Iterable[Followed], how: str) -> None:
    """Let tasks of arrays save and leave; the signal is the same for those that are pruned, which a file says."""
    running = list(handles)
    if how == stops.PRUNE:
        for handle in running:
            stops.request(root, handle.comment, handle.job.name, how)
    commands.cancel([handle.slurm_id for handle in running], "--batch", "--signal=USR2")


def gone(root: Path, slurm_ids: Sequence[str], patience: float) -> list[str]:
    """Wait until none of these is in the queue, or run by a pilot; those that are left after `patience` seconds."""
    deadline, pause = time.monotonic() + patience, POLL
    left = list(slurm_ids)
    while left:
        listing = queue(root)
        left = left if listing is None else [one for one in left if _is_there(root, one, listing)]
        if not left or time.monotonic() > deadline:
            break
        time.sleep(pause)
        pause = min(2 * pause, LONGEST)
    return left


def _is_there(root: Path, one: str, listing: Mapping[str, Listed]) -> bool:
    pilot, of, name = one.partition(OF)
    if not of:
        return one in listing
    claim = claims.latest(root, name)
    return claim is not None and not claim.ended and claim.slurm_id == pilot and pilot in listing


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
