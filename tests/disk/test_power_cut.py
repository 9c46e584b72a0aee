"""A loss of power on a real file system: what was reported as completed is on the disk, and no record is torn."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.disk import supervisor_file
from runner.processes import process_tree
from tests.conftest import Workspace, read, wait_until
from tests.faults import carrying

pytestmark = pytest.mark.slow

SHUTDOWN, WITHOUT_LOG_FLUSH = 0x8004587D, 2  # an ioctl of ext4 and xfs: nothing reaches the disk from then on
SIZE = 400 << 20  # bytes of a sparse file: a batch does not begin with less than 256 MiB
MARK = "TEST_OF_A_POWER_CUT"
#: They describe processes, which a loss of power ends, and are not synced (docs/file-formats.md).
MAY_BE_TORN = ("supervisor.json", ".request.json", ".taken.json", ".answer.json")


class Disk:
    """A file system in a file, mounted at `folder`."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.folder = folder
        self._image = image
        folder.mkdir()

    def mount(self) -> bool:
        command = ["mount", "-o", "loop", str(self._image), str(self.folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def cut(self) -> None:
        """From now on every write fails, and what was not synced is gone."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", WITHOUT_LOG_FLUSH))
        os.close(descriptor)

    def unmount(self) -> bool:
        return subprocess.run(["umount", str(self.folder)], capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Disk]:
    kind = str(request.param)
    program = shutil.which(f"mkfs.{kind}", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None or shutil.which("mount") is None:
        pytest.skip(f"there is no mkfs.{kind} here")
    image = tmp_path / "image"
    os.truncate(os.open(image, os.O_WRONLY | os.O_CREAT), SIZE)
    subprocess.run([program, "-q", "-f" if kind == "xfs" else "-F", str(image)], check=True)
    found = Disk(image, tmp_path / "disk")
    if not found.mount():
        pytest.skip("mounting a file system takes root and a loop device")
    yield found
    process_tree.send(carrying(MARK), signal.SIGKILL)  # some end with the first
    wait_until(lambda: found.unmount() or not found.folder.is_mount(), "the disk is unmounted")


def none_is_left() -> bool:
    """Kill what runs; some end by themselves meanwhile, without their disk."""
    process_tree.send(carrying(MARK), signal.SIGKILL)
    return not carrying(MARK)


@pytest.mark.parametrize("acknowledged", [1, 3, 5])
@pytest.mark.parametrize("disk", ["ext4", "xfs"], indirect=True)
def test_what_was_reported_survives_a_loss_of_power(work: Workspace, disk: Disk, acknowledged: int) -> None:
    for name in "abcdef":
        work.write(f"c/{name}.sh", f"echo {name} >> runs; sleep 0.1; exit 0\n")
    base = ("--base_out_dir", str(disk.folder))
    arguments = ("--configs", "c/*.sh", "--command", "sh {config}", "--max_workers", "2")
    batch = work.start(*arguments, *base, env={MARK: MARK})
    reported = []
    assert batch.stdout is not None
    for line in batch.stdout:
        if ": completed" in line:
            reported.append(line.partition("] ")[2].partition(":")[0])
            if len(reported) == acknowledged:
                break
    assert len(reported) == acknowledged
    disk.cut()
    wait_until(none_is_left, "all are killed")
    batch.communicate()
    wait_until(disk.unmount, "nothing holds the disk")
    assert disk.mount()
    (root,) = (path.parent for path in disk.folder.glob("*/plan.json") if not path.parent.is_symlink())
    results = {name: (root / name / "experiment_result.json").read_bytes() for name in reported}
    assert {json.loads(content)["status"] for content in results.values()} == {"completed"}
    for path in root.rglob("*.json"):
        assert path.name.endswith(MAY_BE_TORN) or read(path)["schema"] == 1
    work.run("--resume", str(root), *base, code=0)
    assert {name: (root / name / "experiment_result.json").read_bytes() for name in reported} == results
    runs = (work / "runs").read_text().split()
    assert all(runs.count(name) == 1 for name in reported)
    assert {read(root / name / "experiment_result.json")["status"] for name in "abcdef"} == {"completed"}


@pytest.mark.parametrize("left", [b"", b'{"schema": 1, "hos', b"\0" * 300])
def test_a_record_of_processes_that_is_torn_is_none(work: Workspace, left: bytes) -> None:
    """It is not synced: after a loss of power there are no processes that it could describe."""
    work.write("c/a.sh", "exit $(ls $1/attempt_1 > /dev/null 2>&1 && echo 0 || echo 3)\n")
    work.run("--configs", "c/a.sh", "--command", "sh {config} {out_dir}", code=1)
    (work.batch / "a" / "experiment_result.json").unlink()
    (work.batch / "a" / "supervisor.json").write_bytes(left)
    assert supervisor_file.read(work.batch / "a") is None
    assert "unreadable: supervisor.json: is " in work.run("status", code=0).stdout
    work.run("--resume", code=0)
    assert work.result("a")["attempt"] == 2 and not (work.batch / "a" / "supervisor.json").exists()
