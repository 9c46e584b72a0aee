"""Links that a job plants where the runner will write: nothing outside changes, and it is an error of one job."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT, Workspace, read
from tests.disk.planting import OF_A_JOB

pytestmark = pytest.mark.slow

COMMAND = ("--command", "sh {config} {out_dir}")


@pytest.fixture
def outside(work: Workspace) -> Path:
    """A folder with everything that a job's folder has, and what a crash may leave in one."""
    folder = work / "outside"
    for place in (folder, folder / "attempt_1", folder / "deep"):
        place.mkdir()
        for name in (*OF_A_JOB, ".x.tmp", "1-1-1.request.json"):
            (place / name).write_text('{"attempt": 1, "precious": true}\n')
    return folder


def untouched(outside: Path) -> bool:
    """Whether everything in the folder is as it was made, and nothing came."""
    files = [path for path in outside.rglob("*") if path.is_file()]
    return len(files) == 3 * (len(OF_A_JOB) + 2) and all("precious" in path.read_text() for path in files)


def test_a_link_at_the_next_jobs_folder_is_an_error_of_that_job(work: Workspace, outside: Path) -> None:
    work.write("c/a.sh", f'ln -s {outside} "$1/../b"')
    work.write("c/b.sh", "touch ran; exit 0")
    work.write("c/c.sh", "exit 0")
    done = work.run("--configs", "c/*.sh", *COMMAND, "--retries", "1", "--retry_delay", "0.1", code=1)
    results = work.summary["results"]
    assert [results[name]["status"] for name in "abc"] == ["completed", "error", "completed"]
    assert results["b"]["error"] == f"cannot be started: is a link ({work.batch / 'b'})"
    assert untouched(outside) and not (work / "ran").exists() and done.stderr == ""
    for command in ("status", "list", "table", "du", "stop"):
        work.run(command, *([work.batch.name] if command in ("status", "table", "du") else []))
    work.run("--resume", code=1)
    assert untouched(outside)
    (work.batch / "b").unlink()
    work.run("--resume", code=0)
    assert work.result("b")["status"] == "completed" and untouched(outside)


def test_a_jobs_own_folder_that_it_replaces_by_a_link_is_an_error(work: Workspace, outside: Path) -> None:
    work.write("c/a.sh", f'rm -r "$1"; ln -s {outside} "$1"; echo {{}} > metrics.jsonl; exit 0')
    work.write("c/b.sh", "exit 0")
    work.run("--configs", "c/*.sh", *COMMAND, code=1)
    results = work.summary["results"]
    assert [results[name]["status"] for name in "ab"] == ["error", "completed"]
    assert "is a link" in results["a"]["error"] and untouched(outside)
    work.run("rerun", work.batch.name, "a")
    assert untouched(outside)


TREE_JOB = """\
import os, pathlib, sys
settings = dict(line.split(': ') for line in pathlib.Path(sys.argv[1]).read_text().splitlines())
if 'at' in settings:
    path = pathlib.Path('outputs', settings['at'])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(settings['to'])
"""


@pytest.mark.parametrize("at", ["B", "B/deep", "B/deep/x"])
def test_a_link_at_a_folder_above_a_job_is_an_error_of_that_job(work: Workspace, outside: Path, at: str) -> None:
    work.write("job.py", TREE_JOB)
    work.write("config/A/a.yaml", f"at: {at}\nto: {outside}\n")
    work.write("config/B/deep/x.yaml", "seed: 1\n")
    work.write("config/C/c.yaml", "seed: 1\n")
    work.run("--config-root", "config", "--train_script", "job.py", code=1)
    results = read(work / "outputs" / "experiment_summary.json")["results"]
    assert {name: result["status"] for name, result in results.items()} == {
        "A/a": "completed", "B/deep/x": "error", "C/c": "completed",
    }  # fmt: skip
    assert results["B/deep/x"]["error"] == f"cannot be started: is a link ({work.folder.resolve() / 'outputs' / at})"
    assert untouched(outside)
    work.run("--config-root", "config", "--train_script", "job.py", code=1)
    assert untouched(outside)


@pytest.mark.parametrize("name", ["requests", "master_log.txt", "experiment_summary.json", "ended.json", "labels.json"])
def test_links_in_the_folder_of_a_batch_are_not_followed(work: Workspace, outside: Path, name: str) -> None:
    target = outside if name == "requests" else outside / "job.json"
    work.write("c/a.sh", f'rm -rf "$1/../{name}"; ln -s {target} "$1/../{name}"; exit 3')
    work.write("c/b.sh", "exit 0")
    work.run("--configs", "c/*.sh", *COMMAND, code=1)
    assert untouched(outside)
    work.run("note", work.batch.name, "seen")
    said = work.run("--resume", code=1).stderr
    assert (f"{name}: is a link and not a regular file; nothing is logged" in said) == (name == "master_log.txt")
    assert not said or name == "master_log.txt"
    assert untouched(outside) and work.result("b")["status"] == "completed"


def test_checkpoints_are_not_removed_through_a_link(work: Workspace, outside: Path) -> None:
    work.write("c/a.sh", 'for n in 1 2 3; do echo x > "$1/ckpt_$n.pt"; done; mkdir "$1/sub"; exit 0')
    work.run("--configs", "c/*.sh", *COMMAND, code=0)
    shutil.rmtree(work.batch / "a" / "sub")
    (work.batch / "a" / "sub").symlink_to(outside)
    work.run("clean", work.batch.name, "--keep", "0", "--yes", code=0)
    assert untouched(outside)


_CHANGES = re.compile(
    r"(?:mkdir|rename|unlink|rmdir|symlink|link|creat|truncate)\(\"(?P<path>[^\"]*)\""
    r"|(?:mkdirat|renameat2?|unlinkat|symlinkat|linkat)\((?:\"[^\"]*\", )?"
    r"(?P<at>AT_FDCWD|\d+)<[^>]*>, \"(?P<name>[^\"]*)\""
    r"|open(?:at)?\((?P<from>AT_FDCWD|\d+)<[^>]*>, \"(?P<file>[^\"]*)\", [^)]*O_(?:WRONLY|RDWR|CREAT)"
)


def changed_by_path(trace: str, root: Path) -> list[str]:
    """The lines in which something below the root was changed by a path, of which each folder may be a link."""
    found = []
    for line in trace.splitlines():
        if (match := _CHANGES.search(line)) is None or str(root) not in line:
            continue
        name = match["path"] or match["name"] or match["file"] or ""
        if name.startswith(f"{root}/") or ((match["at"] or match["from"]) not in (None, "AT_FDCWD") and "/" in name):
            found.append(line)
    return found


def traced(work: Workspace, *words: str) -> str:
    calls = "openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,symlink,symlinkat"
    strace = ["strace", "-f", "-y", "-qq", "-s", "4096", "-e", f"trace={calls},link,linkat,truncate", "-o", "trace"]
    command = [*strace, sys.executable, str(PROJECT / "run_experiments.py"), *words]
    done = subprocess.run(command, cwd=work.folder, capture_output=True, text=True, timeout=150, check=False)
    if not (work / "trace").exists() or "ptrace" in done.stderr:
        pytest.skip("strace cannot be used here")
    return (work / "trace").read_text()


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.timeout(600)
def test_every_change_below_a_batch_is_relative_to_an_open_folder(work: Workspace) -> None:
    for name in "ab":
        work.write(f"c/{name}.sh", "echo x; test $(ls -d $1/attempt_* 2> /dev/null | wc -l) -gt 1\n")
    traces = [traced(work, "--configs", "c/*.sh", *COMMAND, "--retries", "1", "--retry_delay", "0.1")]
    batch = work.batch.name
    commands = "--resume", f"note {batch} seen", f"clean {batch} --keep 0 --yes", f"rerun {batch} a", f"status {batch}"
    traces += [traced(work, *command.split()) for command in commands]
    root = work.folder.resolve() / "experiments" / batch
    made = "".join(traces)
    for what in ("experiment_result.json", "attempt_1", "stdout.log", "plan.json", "labels.json", ".lock"):
        assert what in made
    assert changed_by_path(made, root) == []
    traces.append(traced(work, "rm", batch, "--yes"))
    assert not root.exists() and changed_by_path(traces[-1], root) == []


@pytest.mark.parametrize(("line", "by_path"), [
    ('1 mkdir("/r/b/x", 0777) = 0', True),
    ('1 rename("/r/b/a/.x.tmp", "/r/b/a/x") = 0', True),
    ('1 openat(AT_FDCWD</r>, "/r/b/a/x.log", O_WRONLY|O_CREAT, 0666) = 3</r/b/a/x.log>', True),
    ('1 openat(4</r/b>, "a/x.log", O_WRONLY|O_CREAT, 0666) = 3</r/b/a/x.log>', True),
    ('1 openat(4</r/b/a>, "x.log", O_WRONLY|O_CREAT, 0666) = 3</r/b/a/x.log>', False),
    ('1 openat(AT_FDCWD</r>, "/r/b/a/x.log", O_RDONLY|O_CLOEXEC) = 3</r/b/a/x.log>', False),
    ('1 renameat(4</r/b/a>, "x", 4</r/b/a>, "y") = 0', False),
    ('1 unlinkat(4</r/b>, "a/x", 0) = 0', True),
    ('1 mkdir("/r/b", 0777) = 0', False),
])  # fmt: skip
def test_a_change_by_its_path_is_noticed(line: str, by_path: bool) -> None:
    assert bool(changed_by_path(line, Path("/r/b"))) == by_path
