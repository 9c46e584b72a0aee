"""SIGINT to a whole session, as a terminal sends it to its foreground, but so that each process gets it once.

`timeout`, `conda run` and other launchers pass SIGINT on to what they started, which gets it from us as well. A second
one would break off what a training saves after the first. So all of a group but its leader are suspended meanwhile:
what is sent to a suspended process twice is pending, and counts once. They continue from the top down, a launcher
before its child. In other process groups, which `timeout` and `set -m` make, only the leaders get SIGINT from us.
"""

from __future__ import annotations

import signal
import time

from runner.processes import process_tree

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.processes.process_tree import Process

PASS_ON = 0.05  # seconds that a launcher has to pass SIGINT on before its child continues
LEVELS = 4  # of launchers below the leader at most; what is below them continues together


def interrupt(leader: int) -> None:
    """Send SIGINT to the session of this process; those who were suspended before continue."""
    members = process_tree.session(leader)
    _interrupt_group(leader, members, whole=True)
    for group in {one.group for one in members} - {leader}:
        _interrupt_group(group, members, whole=group not in {one.pid for one in members})  # whole: its leader has left


def _interrupt_group(leader: int, members: Sequence[Process], *, whole: bool) -> None:
    """Send SIGINT to the whole group of this leader, or to the leader alone, and let all of the group continue."""
    levels = _levels(leader, {one.pid: one.parent for one in members if one.group == leader})
    for pids in levels:
        process_tree.send(pids, signal.SIGSTOP)
    if whole:
        process_tree.send_group(leader, signal.SIGINT)
    else:
        process_tree.send([leader], signal.SIGINT)
    process_tree.send([leader], signal.SIGCONT)
    for pids in levels:
        time.sleep(PASS_ON)
        process_tree.send(pids, signal.SIGCONT)
    process_tree.send_group(leader, signal.SIGCONT)


def _levels(leader: int, parents: dict[int, int]) -> list[list[int]]:
    """The others of the leader's group by their distance from it; `parents` are those of the group."""
    found: dict[int, list[int]] = {}
    for pid in parents.keys() - {leader}:
        depth, parent = 0, parents[pid]
        while parent in parents and parent != leader and depth < LEVELS:
            depth, parent = depth + 1, parents[parent]
        found.setdefault(depth, []).append(pid)
    return [found[depth] for depth in sorted(found)]
