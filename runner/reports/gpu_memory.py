"""What the records of jobs say of the memory of GPUs: the peak of each kind of job, and what packing brought."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from runner.core.gpu_labels import label
from runner.core.result import Result
from runner.core.state import Finished, Record
from runner.core.text import count
from runner.disk import gpu_use, layout, record_file

KIND = "gpu_memory_kind"  # of a result: what jobs have in common that need the same memory
MEASURED = ("pid", "device")  # how a peak was found; otherwise it was declared
MEBIBYTE = 1 << 20
BATCHES = 200  # of a base folder that are read, the latest first
DEEPEST = 4  # folders between a batch and an attempt of a job


@dataclass(frozen=True, slots=True)
class Measured:
    """The most memory that a job of a kind used on a GPU, in bytes, and the job's folder."""

    peak: int
    where: str


def measured(base: str) -> dict[str, Measured]:
    """Kind -> what the batches in this folder measured."""
    found: dict[str, Measured] = {}
    for batch in _latest(base):
        for folder in _job_folders(batch, DEEPEST):
            result = record_file.look(layout.JobPaths(folder).result, Result)
            if isinstance(result, Result) and (entry := _peak(result)) is not None:
                kind, peak = entry
                if kind not in found or peak > found[kind].peak:
                    found[kind] = Measured(peak, folder)
    return found


def gains(records: Iterable[Record]) -> list[dict[str, Any]]:
    """For each GPU that jobs shared, what that brought: `gpu`, `uuid`, `jobs`, `times_one_alone`."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        if not isinstance(record.state, Finished):
            continue
        entries = record.state.result.to_json()
        packing, gpus = entries.get(gpu_use.PACKING), entries.get("gpus")
        if not isinstance(packing, dict) or not isinstance(gpus, list) or len(gpus) != 1:
            continue
        (gpu,) = gpus
        times = packing[gpu_use.TIMES]
        before = found.get(gpu["uuid"])
        if before is None or times > before[gpu_use.TIMES]:
            found[gpu["uuid"]] = {"gpu": label(gpu), "uuid": gpu["uuid"], **packing}
    return sorted(found.values(), key=lambda entry: str(entry["gpu"]))


def gain_lines(records: Sequence[Record]) -> list[str]:
    """`Packing: 3 jobs on GPU 0: 2.1 times one alone`"""
    return [
        f"Packing: {count(entry[gpu_use.JOBS], 'job')} on GPU {entry['gpu']}: "
        f"{entry[gpu_use.TIMES]:.1f} times one alone"
        for entry in gains(records)
    ]


def _peak(result: Result) -> tuple[str, int] | None:
    """The kind of a job and its peak in bytes, if that was measured."""
    entries = result.to_json()
    kind, peak, source = (entries.get(name) for name in (KIND, gpu_use.PEAK, gpu_use.SOURCE))
    if source not in MEASURED or not isinstance(kind, str) or not isinstance(peak, int) or peak <= 0:
        return None
    return kind, peak * MEBIBYTE


def _latest(base: str) -> list[str]:
    """The batches in a folder."""
    try:
        with os.scandir(base) as entries:
            found = [(entry.stat().st_mtime, entry.path) for entry in entries if _is_folder(entry)]
    except OSError:
        return []
    return [path for _, path in sorted(found, reverse=True)[:BATCHES]]


def _job_folders(folder: str, levels: int) -> Iterator[str]:
    """This folder and those below that hold the result of a job."""
    try:
        with os.scandir(folder) as entries:
            listed = list(entries)
    except OSError:
        return
    if any(entry.name == layout.RESULT for entry in listed):
        yield folder
    if levels:
        for entry in listed:
            if _is_folder(entry):
                yield from _job_folders(entry.path, levels - 1)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith((".", "_")) and entry.is_dir(follow_symlinks=False)
