"""gpu_use.json in a job's folder: what the engine sees of the use of its GPUs while it runs. Standard library only.

The engine looks at the GPUs, for all jobs at once; the supervisor writes the result, also when no engine is there. So
the one leaves here what the other takes over.
"""

from __future__ import annotations

from runner.core.fields import LARGEST_WHOLE, is_number
from runner.core.result import GPU_JOBS_AT_ONCE
from runner.disk import atomic, layout
from runner.disk.reading import read_json

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runner.disk.place import Place

#: The entries of a result.
PEAK, SOURCE, AT_ONCE, PACKING = "gpu_memory_peak_mb", "gpu_memory_source", GPU_JOBS_AT_ONCE, "gpu_packing"
ATTEMPT, JOBS, TIMES = "attempt", "jobs", "times_one_alone"


def write(folder: Place, attempt: int, entries: Mapping[str, Any]) -> None:
    """Replace what is known of an attempt. Raises OSError."""
    atomic.write_json(folder / layout.GPU_USE, {ATTEMPT: attempt, **entries}, durable=False)


def read(folder: str, attempt: int) -> dict[str, Any]:
    """The entries for the result of this attempt; none where there is no file that can be read."""
    record = read_json(layout.JobPaths(folder)[layout.GPU_USE])
    if record.get(ATTEMPT) != attempt:
        return {}
    found = {name: record[name] for name in (PEAK, AT_ONCE) if _is_size(record.get(name))}
    if isinstance(record.get(SOURCE), str):
        found[SOURCE] = record[SOURCE]
    packing = record.get(PACKING)
    if isinstance(packing, dict) and _is_size(packing.get(JOBS)) and _is_size(packing.get(TIMES)):
        found[PACKING] = {JOBS: packing[JOBS], TIMES: packing[TIMES]}
    return found


def _is_size(value: Any) -> bool:
    return is_number(value) and 0 <= value < LARGEST_WHOLE
