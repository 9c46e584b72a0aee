"""A machine with GPUs, for tests: a program in the place of the look at the driver prints what a file says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

GIB = 1 << 30
PRINTS = "import os, pathlib, sys; sys.stdout.write(pathlib.Path(os.environ['GPU_STATE']).read_text())"


def uuid(index: int) -> str:
    return f"GPU-{index}a2b3c4d-0000-0000-0000-00000000000{index}"


def gpu(index: int, *pids: int, used: int = 0, **more: Any) -> dict[str, Any]:
    """A GPU of 80 GiB as the look prints it; `pids` compute on it."""
    processes = [{"pid": pid, "memory": 18 * GIB} for pid in pids]
    return {
        "index": index, "uuid": uuid(index), "name": "Fake A100", "pci": f"0000:0{index}:00.0",
        "memory_total": 80 * GIB, "memory_used": used, "mode": "default", "mig": False, "processes": processes, **more,
    }  # fmt: skip


def instance(index: int, part: int, *pids: int, **more: Any) -> dict[str, Any]:
    """A MIG instance of a GPU that is shown with `mig=True`."""
    found = gpu(index, *pids, part=part, name="Fake A100 MIG 3g.40gb", memory_total=40 * GIB, **more)
    return {**found, "uuid": f"MIG-{index}{part}000000-0000-0000-0000-000000000000"}


@contextmanager
def other_process() -> Iterator[int]:
    """A process that no lease explains, once it has the name of its program."""
    code = "print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


class Machine:
    """Its GPUs, and the environment in which the runner finds them."""

    def __init__(self, folder: Path, number: int = 3) -> None:
        self.state = folder / "gpus.json"
        self.locks = folder / "locks"
        self.environ = {
            "GPU_STATE": str(self.state),
            "RUNNER_GPU_PROBE": f"{sys.executable} -I -S -c \"{PRINTS}\"",
            "RUNNER_GPU_LOCKS": str(self.locks),
        }
        self.show(*(gpu(index) for index in range(number)))

    def show(self, *gpus: dict[str, Any], **more: Any) -> None:
        """What the next look finds."""
        unfinished = self.state.with_suffix(".tmp")
        unfinished.write_text(json.dumps({"driver": "550.1", "gpus": gpus, **more}))
        unfinished.replace(self.state)
