"""What a job used of the machine: totals over the rows of resources.jsonl, and findings in words with numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import linear_regression, mean
from typing import Any, NamedTuple

from runner.core.fields import is_number
from runner.core.resource_totals import POWER, SHARED, by_gpu, seen
from runner.core.result import Result
from runner.core.state import Finished, Record
from runner.core.text import duration, size
from runner.disk import resources, results

Rows = Sequence[Mapping[str, Any]]

ENOUGH = 12  # rows: a finding needs a minute
IDLE, BUSY = 20.0, 90.0  # per cent: a GPU that waits, and a core that does not
WAITING = 0.3  # part of the time from which a waiting GPU is told
LONG = 600.0  # seconds over which a value has to change: a short job only fills its memory
GROWTH = 0.05  # part of the memory that a job may use, an hour, from which growing memory is told
SOON, LEAST_FILLED = 86400.0, 1 << 28  # a disk that fills is told: seconds until it is full, and bytes that it lost
HOT = 0x8 | 0x20 | 0x40 | 0x80  # NVML's reasons for a lower clock: hardware slowdown, thermal, power brake


def totals(record: Record) -> dict[str, float | int | str]:
    """What the result says, and what was seen while the job ran; only what is known. Bytes, seconds, joules.

    `max_memory` is the most that all processes used together: `memory_how` says whether shared pages count once (pss)
    or once for each process (rss), which is an upper bound.
    """
    counted = _counted(record.state.result if isinstance(record.state, Finished) else None)
    return counted | seen(list(resources.read(record.job.out_dir)))


def of_folder(folder: Path) -> dict[str, float | int | str]:
    """The same of a job by its folder."""
    return _counted(results.look(str(folder))) | seen(list(resources.read(folder)))


def _counted(result: object) -> dict[str, float | int | str]:
    """What the kernel counted, as the result has it."""
    entry = result.to_json().get("resources") if isinstance(result, Result) else None
    known = entry.items() if isinstance(entry, dict) else ()
    return {str(key): value for key, value in known if resources.is_finite(value) or isinstance(value, str)}


def words(found: Mapping[str, float | int | str]) -> str:
    """The totals in a line: `12.3 s of processor time, 1.2 GiB, GPUs 41 % busy`."""
    parts = []
    numbers = {key: value for key, value in found.items() if not isinstance(value, str)}
    memory = numbers.get("max_memory", numbers.get("max_rss"))
    if (seconds := numbers.get("cpu_seconds")) is not None:
        parts.append(f"{duration(seconds)} of processor time")
    if memory is not None:
        bound = "" if found.get("memory_how") == "pss" else "at most " if "max_memory" in found else "at least "
        parts.append(f"{bound}{size(memory)}")
    if (busy := numbers.get("gpu_utilization_percent")) is not None:
        parts.append(f"GPUs {busy:.0f} % busy")
    if (gpu := numbers.get("max_gpu_memory_bytes")) is not None:
        parts.append(f"{size(gpu)} of a GPU")
    if (joules := numbers.get("energy_joules")) is not None:
        words = {SHARED: ", with others", POWER: " (estimated from their power)"}
        parts.append(f"{joules / 3.6e6:.2f} kWh by GPUs{words.get(str(found.get('energy_how')), '')}")
    if (joules := numbers.get("cpu_energy_joules")) is not None:
        parts.append(f"{joules / 3.6e6:.2f} kWh by all processors of the machine")
    return ", ".join(parts)


def findings(record: Record) -> list[str]:
    """Sentences on one job, the most useful first; none where nothing stands out."""
    rows = list(resources.read(record.job.out_dir))
    if len(rows) < ENOUGH:
        return []
    given = record.state.result.gpus if isinstance(record.state, Finished) else ()
    return [*_waits(rows), *_unused(rows, given), *_grows(rows), *_fills(rows), *_swaps(rows), *_is_hot(rows)]


def _waits(rows: Rows) -> Iterable[str]:
    """A GPU that waits while the processor is busy is waiting for data."""
    known = [row for row in rows if _utilizations(row) and "cpu_percent" in row]
    if len(known) < ENOUGH:
        return
    idle = [row for row in known if mean(_utilizations(row)) < IDLE]
    part = len(idle) / len(known)
    if part >= WAITING:
        cpu = mean(row["cpu_percent"] for row in idle)
        reason = f"while its processes kept {cpu / 100:.1f} cores busy: " + (
            "the GPU waits for data" if cpu >= BUSY else "both wait, for a disk, a network or a lock"
        )
        yield f"its GPUs were idle {part:.0%} of the time, {reason}"


def _utilizations(row: Mapping[str, Any]) -> list[float]:
    gpus = row.get("gpus")
    entries = [entry for entry in gpus if isinstance(entry, dict)] if isinstance(gpus, list) else []
    return [entry["utilization"] for entry in entries if is_number(entry.get("utilization"))]


def _unused(rows: Rows, given: Sequence[str]) -> Iterable[str]:
    used = len(by_gpu(rows))
    if used and len(given) > used:
        yield f"it was given {len(given)} GPUs and used {used}"


def _grows(rows: Rows) -> Iterable[str]:
    limit = next((row["memory_limit"] for row in reversed(rows) if "memory_limit" in row), None)
    how = "pss" if sum("pss" in row for row in rows) >= ENOUGH else "rss"
    course = _course(rows, how)
    if limit is None or course is None or course.slope * 3600 < GROWTH * limit:
        return
    hourly, left = course.slope * 3600, max(limit - course.last, 0) / course.slope
    yield f"its memory grows by {size(hourly)} an hour; the limit of {size(limit)} would be reached in {duration(left)}"


def _fills(rows: Rows) -> Iterable[str]:
    course = _course(rows, "disk_free")
    if course is None or course.slope >= 0 or course.changed > -LEAST_FILLED:
        return
    left = course.last / -course.slope
    if left < SOON:
        hourly = f"{size(course.last)} free and loses {size(-course.slope * 3600)} an hour"
        yield f"the disk with its folder has {hourly}; it would be full in {duration(left)}"


class Course(NamedTuple):
    """A line through values over time: its slope a second, by how much it rose, and the last value."""

    slope: float
    changed: float
    last: float


def _course(rows: Rows, key: str) -> Course | None:
    """That of the second half of the time, as programs allocate at their start; None for values that do not change
    steadily: that rise and fall, or step once."""
    points = [(row["elapsed"], row[key]) for row in rows if key in row and "elapsed" in row]
    points = points[len(points) // 2 :]
    if len(points) < ENOUGH // 2 or points[-1][0] - points[0][0] < LONG:
        return None
    slope, start = linear_regression([x for x, _ in points], [y for _, y in points])
    changed = slope * (points[-1][0] - points[0][0])
    spread = max(abs(y - (start + slope * x)) for x, y in points)
    quarters = [mean(y for _, y in points[len(points) * n // 4 : len(points) * (n + 1) // 4]) for n in range(4)]
    slowest = min((after - before) * slope for before, after in pairwise(quarters))
    steady = abs(changed) >= 2 * spread and slowest >= changed * slope / 10
    return Course(slope, changed, points[-1][1]) if slope and steady else None


def _swaps(rows: Rows) -> Iterable[str]:
    most = max((row["swap"] for row in rows if "swap" in row), default=0)
    if most > 1 << 28:
        yield f"up to {size(most)} of its memory were on disk (swap), which makes it slow"


def _is_hot(rows: Rows) -> Iterable[str]:
    for entries in by_gpu(rows).values():
        known = [entry for entry in entries if isinstance(entry.get("throttle"), int)]
        hot = [entry for entry in known if entry["throttle"] & HOT]
        if len(known) >= ENOUGH and len(hot) >= len(known) / 10:
            index = known[0].get("index")
            yield f"GPU {index} lowered its clock for heat or power {len(hot) / len(known):.0%} of the time"
