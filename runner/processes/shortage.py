"""What the system has no room for now, and will have later: open files, processes, memory.

Standard library only; every supervisor imports it.
"""

from __future__ import annotations

import errno
import os
import resource

#: Errors of a start that pass when other processes end, or close their files.
PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM})
SPARE = 16  # files that the engine opens for a moment: pipes of a start, records, a question to git


def files_for(jobs: int, per_job: int) -> int:
    """How many jobs have room for their open files; the soft limit is raised for them where the hard one allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = _open_files() + SPARE
    needed = used + jobs * per_job
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return jobs if soft == resource.RLIM_INFINITY else max(min(jobs, (soft - used) // per_job), 1)


def hard_limit() -> int:
    """The highest number of open files that this process can have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def _open_files() -> int:
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:  # a container without it
        return SPARE
