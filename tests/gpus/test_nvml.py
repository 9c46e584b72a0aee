"""The look at NVIDIA's driver, with a false driver library in the place of the real one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from runner.gpus import looker
from runner.gpus.devices import GpuProcess, Snapshot
from runner.gpus.looker import Looker
from tests.gpus.machine import GIB, uuid

CC = shutil.which("cc")
pytestmark = pytest.mark.skipif(CC is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("driver")
    source, target = Path(__file__).with_name("nvml.c"), folder / "libnvidia-ml.so.1"
    subprocess.run([str(CC), "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(target), str(source)], check=True)
    return folder


def look(library: Path, how: str | None = None, **more: str) -> Snapshot:
    return Looker({"LD_LIBRARY_PATH": str(library), **({} if how is None else {"FALSE_NVML": how}), **more}).look()


def test_what_the_driver_says_is_read(library: Path) -> None:
    found = look(library)
    assert found.error is None and found.driver == "550.54"
    assert [(gpu.uuid, gpu.index, gpu.name, gpu.pci) for gpu in found.gpus] == [
        (uuid(n), n, "False H100", f"00000000:0{n}:00.0") for n in range(3)
    ]
    assert [(gpu.memory_total, gpu.memory_used) for gpu in found.gpus] == [(80 * GIB, n * GIB) for n in range(3)]
    assert found.gpus[1].processes == (GpuProcess(4711, 5 * GIB), GpuProcess(4712, None))
    assert found.gpus[0].processes == ()
    activity = {"utilization": 41, "power_mw": 350_000, "temperature": 61, "energy_mj": 1 << 40, "throttle": 4,
                "clock_mhz": 1980}  # fmt: skip
    assert [gpu.activity for gpu in found.gpus] == [activity] * 3
    assert [gpu.activity for gpu in look(library, "3:use:1").gpus] == [activity, {}, activity]


@pytest.mark.parametrize(
    ("how", "said"),
    [("9:init:-1", "Driver Not Loaded (NVML error 9); load its kernel module"),
     ("18:init:-1", "version mismatch (NVML error 18); the driver was updated while it is loaded; restart"),
     ("999:count:-1", "NVML error 999); restart the container"), ("segfault", "died by signal 11")],
)  # fmt: skip
def test_a_driver_that_fails_is_one_sentence(library: Path, how: str, said: str) -> None:
    found = look(library, how)
    assert said in (found.error or "") and not found.gpus


def test_a_driver_that_hangs_is_given_up(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looker, "LIMIT", 1.0)
    assert "did not answer within 1 s" in (look(library, "hang").error or "")


@pytest.mark.parametrize("function", ["handle", "uuid", "memory", "processes"])
def test_one_gpu_that_is_lost_hides_no_other(library: Path, function: str) -> None:
    found = look(library, f"15:{function}:1")
    assert [gpu.error is None for gpu in found.gpus] == [True, False, True]
    assert "error 15" in (found.gpus[1].error or "")


@pytest.mark.parametrize("function", ["mode", "mig", "processes"])
def test_what_an_old_driver_does_not_know_is_left_out(library: Path, function: str) -> None:
    found = look(library, f"3:{function}:-1")
    assert [gpu.error for gpu in found.gpus] == [None] * 3


def test_the_instances_of_a_divided_gpu_are_gpus_of_their_own(library: Path) -> None:
    found = look(library, FALSE_MIG="1")
    assert [gpu.label for gpu in found.gpus] == ["0", "1", "2", "2:0", "2:2"]
    assert [gpu.is_divided for gpu in found.gpus] == [False, False, True, False, False]
    assert found.gpus[4].uuid == "MIG-20000000-0000-0000-0000-000000000000" and found.gpus[4].memory_total == 80 * GIB
