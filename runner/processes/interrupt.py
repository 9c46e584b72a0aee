"""SIGINT to a whole session, as a terminal sends it to its foreground, but so that each process gets it once.

`timeout`, `conda run` and other launchers pass SIGINT on to what they started, which gets it from us as well. A second
one would break off what a training saves after the first. So all of a group but its leader are suspended meanwhile:
what is sent to a suspended process twice is pending, and counts once. They continue from the top down, a launcher
before its child. In other process groups, which `timeout` and `set -m` make, only the leaders get SIGINT from us.

The innermost group comes first: a launcher that leaves orphans the groups of its children, and the kernel sends SIGHUP
to an orphaned group in which a process is suspended.
"""

from __future__ import annotations

import signal
import time

from runner.processes import process_tree

PASS_ON = 0.05  # seconds that a launcher has to pass SIGINT on before its child continues
LEVELS = 4  # of launchers below the leader at most; what is below them continues together


def interrupt(leader: int) -> None:
    """Send SIGINT to the session of this process; those who were suspended before continue."""
    members = process_tree.session(leader)
    parents = {one.pid: one.parent for one in members}
    groups = {one.group: one.pid for one in members}  # with a member
    for group in sorted(groups, key=lambda group: (group != leader, _depth(groups[group], parents)), reverse=True):
        whole = group == leader or group not in parents  # of the others: one whose leader has left
        _interrupt_group(group, {one.pid: one.parent for one in members if one.group == group}, whole=whole)


def _interrupt_group(leader: int, parents: dict[int, int], *, whole: bool) -> None:
    """Send SIGINT to the whole group of this leader, or to the leader alone, and let all of the group continue.

    `parents` are the processes of the group, each with its parent. Where the leader has left, those at the top are as
    many leaders: they are not suspended, as a shell with job control would take its job for a stopped one, and go on.
    """
    tops = [leader] if leader in parents else [pid for pid, parent in parents.items() if parent not in parents]
    levels = _levels(tops, parents)
    for pids in levels:
        process_tree.send(pids, signal.SIGSTOP)
    if whole:
        process_tree.send_group(leader, signal.SIGINT)
    else:
        process_tree.send(tops, signal.SIGINT)
    process_tree.send(tops, signal.SIGCONT)
    for pids in levels:
        time.sleep(PASS_ON)
        process_tree.send(pids, signal.SIGCONT)
    process_tree.send_group(leader, signal.SIGCONT)


def _levels(tops: list[int], parents: dict[int, int]) -> list[list[int]]:
    """The others of a group by their distance from those at its top."""
    found: dict[int, list[int]] = {}
    for pid in parents.keys() - set(tops):
        depth, parent = 0, parents[pid]
        while parent in parents and parent not in tops and depth < LEVELS:
            depth, parent = depth + 1, parents[parent]
        found.setdefault(depth, []).append(pid)
    return [found[depth] for depth in sorted(found)]


def _depth(pid: int, parents: dict[int, int]) -> int:
    """The number of its ancestors in the session."""
    depth = 0
    while (pid := parents.get(pid, 0)) in parents:
        depth += 1
    return depth
