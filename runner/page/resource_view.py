"""What a job uses of the machine: totals and findings in words, and its curves over the wall clock, as its loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.core.job import Job
from runner.disk import resources as resource_file
from runner.disk import results
from runner.page import axes
from runner.page.curves import View, curve, extent
from runner.reports import resources
from runner.reports.tracks import Tracks

#: Heading -> the key of a row, and what it is divided by.
CURVES = {
    "Processor, cores": ("cpu_percent", 100),
    "Memory, GiB (shared pages count for each process)": ("rss", 1 << 30),
    "Processes": ("processes", 1),
    "GPU, % of the time": ("utilization", 1),
    "Memory on GPUs, GiB": ("memory", 1 << 30),
}


def of(job: Job, view: View) -> dict[str, Any]:
    """Of the latest attempt. Only what is known is there. `wall`: whether positions are times, else seconds of work."""
    record = results.read_record(job)
    rows = list(resource_file.read(job.out_dir))
    times = [axes.seconds(row.get("time")) for row in rows]
    wall = None not in times
    read = Tracks()
    for row, time in zip(rows, times, strict=True):
        read.add(_placed(row, time if wall else row.get("elapsed")))
    found, view = read.of, view.of("")
    low, high = extent(list(found.values()), view.window)
    return {
        "totals": resources.words(resources.totals(record)),
        "findings": resources.findings(record),
        "wall": wall,
        "range": [low, high],
        "curves": [{"name": name, **curve(found[name], view, low, high)} for name in CURVES if name in found],
    }


def _placed(row: Mapping[str, Any], place: object) -> dict[str, Any]:
    """A row as one of metrics.jsonl, at this position."""
    gpus = row.get("gpus")
    entries = [one for one in gpus if isinstance(one, dict)] if isinstance(gpus, list) else []
    known = {**row, **{key: _sum(entries, key) for key in ("utilization", "memory")}}
    if entries and known["utilization"] is not None:
        known["utilization"] /= len(entries)
    values = {name: known[key] / unit for name, (key, unit) in CURVES.items() if known.get(key) is not None}
    return {"epoch": place, **values}


def _sum(entries: list[dict[str, Any]], key: str) -> float | None:
    values = [one[key] for one in entries if resource_file.is_finite(one.get(key))]
    return float(sum(values)) if values else None
