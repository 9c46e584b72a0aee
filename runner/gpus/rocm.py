"""Print what the driver of AMD says of the GPUs, as one JSON object like that of nvml.py. Run as a program of its own.

It reads the files of the driver (amdkfd, amdgpu) below /sys. Another root can be given as the argument.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TOPOLOGY = "sys/class/kfd/kfd/topology/nodes"
PROCESSES = "sys/class/kfd/kfd/proc"
DEVICES = "sys/bus/pci/devices"
VERSION = "sys/module/amdgpu/version"


def look(root: Path) -> dict[str, Any]:
    """All GPUs in the order in which ROCm counts them, or `error`."""
    nodes = [path for path in (root / TOPOLOGY).glob("*") if path.name.isdecimal()]
    properties = [(node, _properties(node / "properties")) for node in sorted(nodes, key=lambda path: int(path.name))]
    gpus = [one for one in properties if int(one[1].get("simd_count", "0")) > 0]  # the others are CPUs
    if not gpus:
        return {"error": "no AMD GPU is listed by the driver (amdkfd)"}
    version = root / VERSION
    driver = version.read_text().strip() if version.exists() else ""
    return {"kind": "rocm", "driver": driver, "gpus": [_gpu(root, n, *one) for n, one in enumerate(gpus)]}


def _gpu(root: Path, index: int, node: Path, properties: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {"index": index}
    try:
        found["uuid"] = f"GPU-{int(properties['unique_id']):016x}"
        found["name"] = (node / "name").read_text().strip()
        found["pci"] = pci = _pci(properties)
        for key, name in (("memory_total", "mem_info_vram_total"), ("memory_used", "mem_info_vram_used")):
            found[key] = int((root / DEVICES / pci / name).read_text())
        found["processes"] = _processes(root, (node / "gpu_id").read_text().strip())
    except (OSError, KeyError, ValueError) as error:
        found["error"] = f"the driver's files are not as expected ({error})"
    return found


def _properties(path: Path) -> dict[str, str]:
    """Lines of a name and a value."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0]: words[1] for words in lines if len(words) == 2}


def _pci(properties: dict[str, str]) -> str:
    place = int(properties["location_id"])
    return f"{int(properties.get('domain', '0')):04x}:{place >> 8:02x}:{place >> 3 & 31:02x}.{place & 7}"


def _processes(root: Path, gpu_id: str) -> list[dict[str, Any]]:
    """Who has memory on the GPU. A process that ends meanwhile is left out."""
    found = []
    for folder in (root / PROCESSES).glob("*"):
        try:
            memory = int((folder / f"vram_{gpu_id}").read_text())
            pid = int(folder.name)
        except (OSError, ValueError):
            continue
        if memory:
            found.append({"pid": pid, "memory": memory})
    return found


if __name__ == "__main__":
    try:
        answer = look(Path(sys.argv[1] if len(sys.argv) > 1 else "/"))
    except (OSError, ValueError) as problem:
        answer = {"error": f"the files of AMD's driver cannot be read: {problem}"}
    json.dump(answer, sys.stdout)
