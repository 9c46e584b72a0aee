"""Full disks, deleted folders, strange names and planted files: the batch ends, and its records are true."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Workspace, read, wait_until
from tests.faults import ended, request, supervised

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Mounts a disk of 1 MB, where that is allowed; all that was mounted below the test's folder is unmounted."""
    probe = tmp_path / "probe"
    probe.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none"]
    if shutil.which("mount") is None or subprocess.run([*mount, probe], check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")

    def mounted(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([*mount, folder], check=True)
        return folder

    yield mounted
    for line in reversed(Path("/proc/mounts").read_text().splitlines()):
        place = line.split()[1].encode().decode("unicode_escape")
        if Path(place).is_relative_to(tmp_path):
            subprocess.run(["umount", "-l", place], check=False)


@pytest.mark.linux
def test_a_log_on_a_full_disk_is_reported_as_incomplete_and_the_job_continues(
    tmp_path: Path, disk: Callable[[Path], Path]
) -> None:
    small = disk(tmp_path / "small")
    # Room for the result comes back when the job is done and its pipe is empty, but for a block that is being written.
    (small / "ballast").write_bytes(bytes(700 << 10))
    work = (
        "import fcntl, os, struct, termios, time\n"
        "for _ in range(3000): os.write(1, b'0123456789' * 99 + b'0123456789')\n"
        "while struct.unpack('i', fcntl.ioctl(1, termios.FIONREAD, bytes(4)))[0]: time.sleep(0.01)\n"
        f"open({str(tmp_path / 'finished')!r}, 'w').close(); os.unlink('ballast')\n"
    )
    ended(supervised(request(small / "a", sys.executable, "-c", work)))
    found = read(small / "a" / "experiment_result.json")
    assert found["status"] == "completed" and (tmp_path / "finished").exists()
    assert [error.partition(":")[0] for error in found["log_errors"]] == ["stdout.log", "combined.log"]
    assert all("No space left on device" in error and "bytes lost" in error for error in found["log_errors"])


@pytest.mark.linux
def test_a_result_on_a_full_disk_is_tried_again_until_there_is_room(
    tmp_path: Path, disk: Callable[[Path], Path]
) -> None:
    small = disk(tmp_path / "small")
    work = f"cat /dev/zero > ballast; touch {tmp_path}/full; exit 0"
    process = supervised(request(small / "a", "sh", "-c", work))
    wait_until((tmp_path / "full").exists, "the disk is full and the job ends")
    wait_until(lambda: (tmp_path / "full").stat().st_mtime + 0.3 < time.time(), "it was tried in vain")
    assert process.poll() is None and not (small / "a" / "experiment_result.json").exists()
    (small / "ballast").unlink()
    assert ended(process).unwritten is None
    assert read(small / "a" / "experiment_result.json")["status"] == "completed"
    assert not list((small / "a").glob(".*.tmp"))


@pytest.mark.linux
@pytest.mark.slow
def test_a_result_on_a_full_disk_is_reported_and_no_job_gets_a_false_status(
    work: Workspace, disk: Callable[[Path], Path]
) -> None:
    work.write("c/a.sh", 'mkdir "$2/../b"; mount -t tmpfs -o size=1m none "$2/../b"')
    work.write("c/b.sh", 'cat /dev/zero > "$2/ballast" 2> /dev/null; exit 0')
    work.write("c/c.sh", "exit 5")
    done = work.run("--configs", "c/*.sh", "--command", "sh {config} --out {out_dir}", code=1)
    results = work.summary["results"]
    assert [results[name]["status"] for name in "abc"] == ["completed", "error", "failed"]
    assert "could not be written" in results["b"]["error"] and "No space left" in results["b"]["error"]
    assert "could not be written" in done.stdout and results["c"]["return_code"] == 5
    assert not (work.batch / "b" / "experiment_result.json").exists()


@pytest.mark.linux
def test_a_read_only_folder_of_one_job_is_an_error_of_that_job(work: Workspace, disk: Callable[[Path], Path]) -> None:
    planted = 'mkdir "$2/../b"; mount -t tmpfs -o size=1m none "$2/../b"; mount -o remount,ro "$2/../b"'
    work.write("c/a.sh", planted)
    work.write("c/b.sh", "touch ran")
    work.write("c/c.sh", "exit 0")
    work.run("--configs", "c/*.sh", "--command", "sh {config} --out {out_dir}", code=1)
    assert [work.summary["results"][name]["status"] for name in "abc"] == ["completed", "error", "completed"]
    assert "Read-only" in work.summary["results"]["b"]["error"] and not (work / "ran").exists()


@pytest.mark.linux
def test_a_read_only_batch_is_refused_in_one_sentence(work: Workspace, disk: Callable[[Path], Path]) -> None:
    work.write("c/a.sh", "exit 1")
    work.run("--configs", "c/a.sh", "--command", "sh {config}", code=1)
    batch = work.batch
    subprocess.run(["mount", "--bind", batch, batch], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", batch], check=True)
    done = work.run("--resume", code=2)
    assert len(done.stderr.splitlines()) == 1 and "Read-only file system" in done.stderr
    assert work.result("a")["attempt"] == 1
    assert work.run("status", code=0).stdout.startswith(batch.name)  # looking does not need to write


def test_the_end_of_a_job_is_recorded_although_its_folder_was_deleted(work: Workspace) -> None:
    work.write("c/a.sh", 'rm -rf "$2"; exit 0')
    work.write("c/b.sh", 'rm -rf "$2"; exit 5')
    work.write("c/c.sh", "exit 0")
    done = work.run("--configs", "c/*.sh", "--command", "sh {config} --out {out_dir}", code=1)
    assert [work.summary["results"][name]["status"] for name in "abc"] == ["completed", "failed", "completed"]
    assert [work.result(name)["return_code"] for name in "abc"] == [0, 5, 0]
    assert done.stderr == ""


def test_a_batch_deleted_mid_run_ends_without_a_traceback_and_with_the_truth(work: Workspace) -> None:
    work.write("c/a.sh", 'rm -rf "$2/.."; exit 0')
    work.write("c/b.sh", "exit 5")
    done = work.run("--configs", "c/*.sh", "--command", "sh {config} --out {out_dir}", code=1)
    assert done.stderr == "" and "1 failed" in done.stdout and "1 completed" in done.stdout
    assert (work.result("a")["status"], work.result("b")["return_code"]) == ("completed", 5)


STRANGE = {
    "255 bytes": "x" * 252 + ".sh",
    "255 bytes of ending": "x." + "y" * 253,
    "newline": "a\nb.sh",
    "dots": "...sh",
    "leading dash": "-rf.sh",
    "unicode": "Übung→模型🙂.sh",
    "no unicode": os.fsdecode(b"caf\xe9.sh"),
    "quotes and blanks": ' it\'s "$HOME" .sh',
    "a name of the runner": "plan.json.sh",
    "a folder of the runner": "attempt_1.sh",
    "newline in its ending": "q.s\nh",
}


@pytest.mark.parametrize("kind", STRANGE)
def test_strange_names_run_and_resume_like_any_other(work: Workspace, kind: str) -> None:
    # In the folder where the runner is started, so that the command contains nothing but the name itself.
    (work / STRANGE[kind]).write_text("echo run >> runs; test $(wc -l < runs) -gt 1\n")
    arguments = ("--configs", f"./{STRANGE[kind]}", "--command", "sh {config} {out_dir}")
    assert "Traceback" not in work.run(*arguments, code=1).stderr
    (name,) = work.summary["results"]
    assert "/" not in name and "\n" not in name and not name.startswith(("-", ".")) and len(os.fsencode(name)) <= 255
    assert work.summary["results"][name]["status"] == "failed"
    work.run("--resume", code=0)
    assert work.result(name)["status"] == "completed" and work.result(name)["attempt"] == 2
    assert json.loads(work.run("status", "--json", code=0).stdout)["jobs"][name]["status"] == "completed"
    assert work.run("status", code=0).stdout.count("completed") >= 1
    assert (work / "runs").read_text() == "run\nrun\n"


def test_links_planted_in_a_folder_are_not_followed(work: Workspace) -> None:
    precious = work.write("precious", "do not touch")
    (work / "elsewhere").mkdir()
    names = ["stdout.log", "stderr.log", "combined.log", "experiment_result.json", "experiment_metadata.json",
             "supervisor.json", "config_used.sh", "error_details.txt"]  # fmt: skip
    links = "; ".join(f'ln -s "$PWD/precious" "$2/../b/{name}"' for name in names)
    work.write("c/a.sh", f'mkdir "$2/../b"; {links}; ln -s "$PWD/precious" "$2/../.experiment_summary.json.1.tmp"')
    work.write("c/b.sh", "echo hello; exit 4")
    work.run("--configs", "c/*.sh", "--command", "sh {config} --out {out_dir}", code=1)
    assert precious.read_text() == "do not touch"
    assert work.result("b")["return_code"] == 4 and not (work.batch / "b/experiment_result.json").is_symlink()
    # And at the next attempt: the folder of the old one is planted.
    aside = work.batch / "b" / f"attempt_{work.result('b')['attempt']}"  # records that are links were archived as one
    aside.symlink_to(work / "elsewhere", target_is_directory=True)
    work.run("--resume", code=1)
    assert precious.read_text() == "do not touch" and list((work / "elsewhere").iterdir()) == []


@pytest.mark.linux
@pytest.mark.parametrize("name", ["metrics.jsonl", "error.json"])
@pytest.mark.parametrize("planted", ["mkfifo {}", "ln -s /dev/zero {}", "mkdir {}"], ids=["pipe", "endless", "folder"])
def test_a_pipe_in_the_place_of_a_file_does_not_block_the_batch(work: Workspace, name: str, planted: str) -> None:
    work.write("c/a.sh", planted.format(f'"$2/{name}"') + "; sleep 0.4; exit 3")
    work.write("c/b.sh", "exit 0")
    process = work.start("--configs", "c/*.sh", "--command", "sh {config} --out {out_dir}",
                         preexec_fn=_limit_memory)  # fmt: skip
    wait_until(lambda: process.poll() is not None, "the batch ends")
    assert [work.summary["results"][job]["status"] for job in "ab"] == ["failed", "completed"]


def _limit_memory() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
