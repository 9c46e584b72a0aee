"""The words for why a job failed. Standard library only, for every supervisor; what shows each is in supervisor/.

A user's file of rules may have more words: whoever decides by a cause names those that it means, and leaves the others.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Mapping

GPU_OOM = "gpu_oom"  # the job needs more memory than its GPU has
GPU_OOM_FOREIGN = "gpu_oom_foreign"  # other processes had the memory of the GPU
HOST_OOM = "host_oom"  # the memory of the machine, or of the job's cgroup, ran out
SHM = "shm"  # shared memory, /dev/shm, ran out
DIVERGED = "diverged"  # the loss is not finite
IMPORT = "import"  # a module, a library or a program is missing
DEVICE = "device"  # a GPU, its driver or a kernel on it failed
DISK = "disk"  # a disk or a quota is full
CONFIG = "config"  # the program refused its settings
COMMAND_LINE = "command_line"  # the program refused its arguments
CODE = "code"  # another exception
UNKNOWN = "unknown"

#: Ends that Slurm caused; nothing in the output shows them.
PREEMPTED = "preempted"  # Slurm took the node for another job
TIME_LIMIT = "time_limit"  # the time limit of Slurm's job was over
NO_PROGRESS = "no_progress"  # it was cut short again and again, and was no further each time

#: In the order in which they are shown.
CAUSES = (
    GPU_OOM, GPU_OOM_FOREIGN, HOST_OOM, SHM, DIVERGED, IMPORT, DEVICE, DISK, CONFIG, COMMAND_LINE, CODE, UNKNOWN,
)  # fmt: skip
#: Those that the same job meets again, whatever happens meanwhile.
NEVER_RETRIED = frozenset({DIVERGED, IMPORT, CONFIG, COMMAND_LINE, NO_PROGRESS})


def shown(record: Mapping[str, object]) -> str:
    """The cause in a record of a result as a cell: `gpu_oom`, `gpu_oom?` if it is not sure; empty without one."""
    cause = record.get("cause")
    if not isinstance(cause, str):
        return ""
    return cause if record.get("cause_sure") is not False or cause == UNKNOWN else f"{cause}?"
