"""The variables by which programs see GPUs, of NVIDIA and of AMD."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runner.gpus import devices, rocm, visible
from runner.gpus.devices import CUDA, ROCM, Snapshot
from runner.gpus.looker import Looker
from tests.gpus.machine import GIB, gpu, uuid


def snapshot(kind: str, number: int = 4) -> Snapshot:
    return devices.read(json.dumps({"kind": kind, "gpus": [gpu(index) for index in range(number)]}), 0.0)


def test_a_program_gets_its_gpus_alone() -> None:
    gpus = [snapshot(CUDA).gpus[2], snapshot(CUDA).gpus[0]]
    both = f"{uuid(2)},{uuid(0)}"
    assert visible.environment(gpus, CUDA, "uuid") == {
        "CUDA_VISIBLE_DEVICES": both, "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }  # fmt: skip
    assert visible.environment(gpus, CUDA, "index")["CUDA_VISIBLE_DEVICES"] == "2,0"
    assert visible.environment(gpus, ROCM, "uuid") == {"ROCR_VISIBLE_DEVICES": both, "HIP_VISIBLE_DEVICES": "0,1"}


@pytest.mark.parametrize(
    ("kind", "environ", "allowed", "said"),
    [
        (CUDA, {}, [0, 1, 2, 3], None),
        (CUDA, {"CUDA_VISIBLE_DEVICES": "2,0"}, [2, 0], "CUDA_VISIBLE_DEVICES=2,0"),
        (CUDA, {"ROCR_VISIBLE_DEVICES": "2"}, [0, 1, 2, 3], None),
        (ROCM, {"ROCR_VISIBLE_DEVICES": "3,1"}, [3, 1], "ROCR_VISIBLE_DEVICES=3,1"),
        (ROCM, {"HIP_VISIBLE_DEVICES": "2"}, [2], "HIP_VISIBLE_DEVICES=2"),
        (ROCM, {"ROCR_VISIBLE_DEVICES": "3,1", "HIP_VISIBLE_DEVICES": "1"}, [1],
         "ROCR_VISIBLE_DEVICES=3,1 HIP_VISIBLE_DEVICES=1"),
        (ROCM, {"ROCR_VISIBLE_DEVICES": "3", "HIP_VISIBLE_DEVICES": "1"}, [],
         "ROCR_VISIBLE_DEVICES=3 HIP_VISIBLE_DEVICES=1"),
    ],
)  # fmt: skip
def test_the_caller_sets_the_outer_limit(
    kind: str, environ: Mapping[str, str], allowed: list[int], said: str | None
) -> None:
    gpus, words = visible.limit(snapshot(kind), environ)
    assert [one.index for one in gpus] == allowed and words == said


def machine(root: Path, **gpus: dict[str, Any]) -> Path:
    """What AMD's driver shows below /sys, of a CPU and these GPUs."""
    nodes = root / rocm.TOPOLOGY
    for number, (name, facts) in enumerate({"cpu": {}, **gpus}.items()):
        node = nodes / str(number)
        node.mkdir(parents=True)
        if not facts:
            (node / "properties").write_text("cpu_cores_count 64\nsimd_count 0\n")
            continue
        lines = ["simd_count 416", f"location_id {facts['bus'] << 8}", "domain 0", f"unique_id {facts['unique']}"]
        (node / "properties").write_text("\n".join(lines))
        (node / "name").write_text(f"{name}\n")
        (node / "gpu_id").write_text(f"{number}00\n")
        device = root / rocm.DEVICES / f"0000:{facts['bus']:02x}:00.0"
        device.mkdir(parents=True)
        (device / "mem_info_vram_total").write_text(f"{64 * GIB}\n")
        (device / "mem_info_vram_used").write_text(f"{facts['used']}\n")
        for pid in facts.get("pids", ()):
            folder = root / rocm.PROCESSES / str(pid)
            folder.mkdir(parents=True)
            (folder / f"vram_{number}00").write_text(f"{GIB}\n")
    return root


def look(root: Path) -> Snapshot:
    return Looker({"RUNNER_GPU_PROBE": f"{sys.executable} -I -S {rocm.__file__} {root}"}).look()


def test_the_files_of_amds_driver_are_read(tmp_path: Path) -> None:
    root = machine(
        tmp_path, gfx90a={"bus": 0xC1, "unique": 255, "used": 5, "pids": [7]}, gfx942={"bus": 2, "unique": 1, "used": 0}
    )
    found = look(root)
    assert found.error is None and found.kind == ROCM
    assert [(one.uuid, one.index, one.name, one.pci) for one in found.gpus] == [
        ("GPU-00000000000000ff", 0, "gfx90a", "0000:c1:00.0"),
        ("GPU-0000000000000001", 1, "gfx942", "0000:02:00.0"),
    ]
    assert found.gpus[0].memory_used == 5 and [one.pid for one in found.gpus[0].processes] == [7]
    assert found.gpus[1].memory_total == 64 * GIB and not found.gpus[1].processes


def test_a_gpu_whose_files_are_not_as_expected_hides_no_other(tmp_path: Path) -> None:
    root = machine(tmp_path, a={"bus": 1, "unique": 1, "used": 0}, b={"bus": 2, "unique": 2, "used": 0})
    (root / rocm.DEVICES / "0000:01:00.0/mem_info_vram_used").unlink()
    found = look(root)
    assert "not as expected" in (found.gpus[0].error or "") and found.gpus[1].error is None


def test_a_machine_without_them_says_so(tmp_path: Path) -> None:
    assert look(tmp_path).error == "no AMD GPU is listed by the driver (amdkfd)"
