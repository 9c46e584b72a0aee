"""What one look at the GPUs found, as values. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.core.gpu_labels import label

MEBIBYTE = 1 << 20
DIVIDED = "is divided into MIG instances"
PROHIBITED, EXCLUSIVE = "prohibited", ("exclusive_process", "exclusive_thread")
CUDA, ROCM = "cuda", "rocm"
ACTIVITY = ("utilization", "power_mw", "temperature", "clock_mhz", "energy_mj", "throttle")  # see gpus/nvml.py


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that computes on a GPU. `memory` in bytes; None: the driver does not know it."""

    pid: int
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU at one moment, or one MIG instance. Memory in bytes; `error`: why it cannot be used.

    `index` counts along the PCI bus; `part` is the number of the instance on that GPU.
    """

    uuid: str
    index: int
    name: str = ""
    pci: str = ""
    memory_total: int = 0
    memory_used: int = 0
    mode: str = "default"
    processes: tuple[GpuProcess, ...] = ()
    error: str | None = None
    part: int | None = None
    activity: Mapping[str, int] = field(default_factory=dict)  # of ACTIVITY, what the driver knows

    @property
    def label(self) -> str:
        """`2`; of an instance `2:0`, as NVIDIA's tools write it."""
        return label({"index": self.index, "part": self.part})

    @property
    def is_divided(self) -> bool:
        """Whether its instances stand for it."""
        return self.error == DIVIDED

    def to_json(self, driver: str) -> dict[str, Any]:
        """What the record of an attempt says of it."""
        more = {"pci": self.pci, "memory_total_mb": self.memory_total // MEBIBYTE, "driver": driver}
        return self.named() | more

    def named(self) -> dict[str, Any]:
        """What tells it from others in a record."""
        part = {} if self.part is None else {"part": self.part}
        return {"uuid": self.uuid, "index": self.index, **part, "name": self.name}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All GPUs at `taken_at` (monotonic seconds, when the look began). `error`: nothing is known of any.

    `kind` is the platform that runs programs on them: CUDA or ROCm.
    """

    gpus: tuple[Gpu, ...] = ()
    driver: str = ""
    taken_at: float = 0.0
    error: str | None = None
    kind: str = CUDA

    def gpu(self, uuid: str) -> Gpu | None:
        return next((gpu for gpu in self.gpus if gpu.uuid == uuid), None)


def read(text: str, taken_at: float) -> Snapshot:
    """The snapshot that a look printed; of what is not one, with an `error`."""
    try:
        record = json.loads(text)
        if error := record.get("error"):
            return Snapshot(taken_at=taken_at, error=str(error))
        gpus = tuple(_gpu(entry) for entry in _list(record.get("gpus")))
        kind = ROCM if record.get("kind") == ROCM else CUDA
        return Snapshot(gpus, str(record.get("driver", "")), taken_at, kind=kind)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return Snapshot(taken_at=taken_at, error=f"the look at the GPUs printed no list of GPUs: {text[:80]!r}")


def _gpu(entry: Mapping[str, Any]) -> Gpu:
    """Raises KeyError, TypeError or ValueError for an entry that is not one of a GPU."""
    index = int(entry["index"])
    if error := _obstacle(entry):
        return Gpu(str(entry.get("uuid", "")), index, error=error)
    return Gpu(
        uuid=str(entry["uuid"]),
        index=index,
        name=str(entry.get("name", "")),
        pci=str(entry.get("pci", "")),
        memory_total=int(entry["memory_total"]),
        memory_used=int(entry["memory_used"]),
        mode=str(entry.get("mode", "default")),
        processes=tuple(_process(one) for one in _list(entry.get("processes"))),
        part=None if entry.get("part") is None else int(entry["part"]),
        activity={key: value for key in ACTIVITY if isinstance(value := entry.get(key), int)},
    )


def _obstacle(entry: Mapping[str, Any]) -> str | None:
    """Why no job can use this GPU."""
    if entry.get("error"):
        return str(entry["error"])
    if entry.get("mig"):
        return DIVIDED
    return "its compute mode prohibits every process" if entry.get("mode") == PROHIBITED else None


def _process(entry: Mapping[str, Any]) -> GpuProcess:
    memory = entry.get("memory")
    return GpuProcess(int(entry["pid"]), None if memory is None else int(memory))


def _list(value: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise TypeError("is not a list")
    return value
