"""Whether a job failed because of its GPU, by its last error. Pure.

A broken GPU fails whatever runs there. Other errors of a GPU can come from the program itself: an index out of bounds
ends with an assertion on the device.
"""

from __future__ import annotations

import re
from enum import Enum

from runner.core.causes import DEVICE
from runner.core.result import Result

#: Numbers of Xid errors after which NVIDIA's catalog asks for a reset or a replacement.
FATAL_XIDS = frozenset({48, 62, 64, 74, 79, 95, 119, 120, 140, 143})
_XID = re.compile(r"\bXid\b.*?: (\d+)\b")
_BROKEN = re.compile(
    r"GPU is lost|fallen off the bus|uncorrectable (?:\w+ )?ECC|CUDA_ERROR_ECC_UNCORRECTABLE|cudaErrorECCUncorrectable",
    re.IGNORECASE,
)
_DEVICE = re.compile(
    r"device-side assert|illegal memory access|unspecified launch failure|busy or unavailable|"
    r"cudaError(?:Assert|IllegalAddress|LaunchFailure|DevicesUnavailable)|misaligned address|hardware stack error",
    re.IGNORECASE,
)
#: What is wrong with the machine or the installation, and the same on every GPU.
_EVERYWHERE = re.compile(
    r"no kernel image|not compatible with the current|no CUDA-capable device is|no NVIDIA driver|version mismatch|"
    r"driver version is insufficient|No (?:CUDA|HIP) GPUs are available|initialize NVML|couldn.t communicate",
    re.IGNORECASE,
)


class Fault(Enum):
    """How sure it is that the GPU is to blame."""

    BROKEN = "broken"
    SUSPECTED = "suspected"


def of(result: Result) -> tuple[Fault, str] | None:
    """What a failed job says of its GPU, and the line that shows it; None: nothing."""
    line = str(result.cause_evidence.get("line") or result.error or "")
    words = f"{line}\n{result.error or ''}"
    numbers = {int(number) for number in _XID.findall(words)}
    if _BROKEN.search(words) or numbers & FATAL_XIDS:
        return Fault.BROKEN, line
    is_suspected = (result.cause == DEVICE and not _EVERYWHERE.search(words)) or _DEVICE.search(words)
    return (Fault.SUSPECTED, line) if is_suspected else None
