"""`--max_log_mb`: a job that prints too much keeps the beginning and the end of its logs, whatever happens."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from runner.disk import supervisor_file
from runner.disk.log_text import placed_lines
from tests.cli.measured_batch import COMMAND
from tests.conftest import Workspace, wait_until

pytestmark = pytest.mark.slow

LIMIT = ("--max_log_mb", "1")
#: Prints three MB, and says what it was told to at its end.
PRINTS = "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo part $i; head -c 99990 /dev/zero | tr '\\0' 'x'; echo; done\n"


def part(work: Workspace) -> Path:
    """A part of the log, once there is one."""
    found: Path = wait_until(lambda: next(work.folder.glob("experiments/*/a/stdout.log.part_*"), None), "a part")
    return found


def test_the_beginning_and_the_end_are_one_file_in_the_end(work: Workspace) -> None:
    work.write("a.sh", PRINTS + "echo last")
    work.run("--configs", "a.sh", *COMMAND, *LIMIT, code=0)
    for name in ("stdout.log", "combined.log"):
        text = (work.batch / "a" / name).read_text()
        assert "part 1\n" in text and "part 15\n" not in text and text.endswith("last\n")
        assert text.count(" bytes of this log were left out ---\n") == 1 and len(text) < 1_100_000
    logs = sorted(path.name for path in (work.batch / "a").glob("*.log*"))
    assert logs == ["combined.log", "stderr.log", "stdout.log"]
    assert [warning.split()[0] for warning in work.result("a")["warnings"]] == ["stdout.log", "combined.log"]
    assert json.loads((work.batch / "plan.json").read_text())["options"]["max_log_mb"] == 1


def test_the_cause_of_a_failure_is_found_at_the_end(work: Workspace) -> None:
    work.write("a.sh", PRINTS + PRINTS.replace("echo part", ">&2 echo part") + "echo 'ValueError: no rows' >&2; exit 3")
    work.run("--configs", "a.sh", *COMMAND, *LIMIT, code=1)
    assert "ValueError: no rows" in work.result("a")["error"]


def test_the_logs_of_a_supervisor_that_was_killed_can_be_read_and_are_archived(work: Workspace) -> None:
    work.write("a.sh", "if [ -e go ]; then exit 0; fi\n" + PRINTS + "echo 'the end'; while :; do sleep 0.1; done")
    process = work.start("--configs", "a.sh", *COMMAND, *LIMIT, "--grace", "1,0.3,5")
    folder = part(work).parent
    wait_until(lambda: b"the end" in b"".join(placed_lines(str(folder / "combined.log"))[0]), "the end")
    found = supervisor_file.read(folder)
    assert found is not None
    os.kill(found.supervisor_pid, signal.SIGKILL)
    process.communicate(timeout=60)
    tail = work.run("tail", "latest", "a", "--no_follow", "-n", "3", code=0).stdout
    assert tail.endswith("[stdout] the end\n")
    assert "part 1\n" in (folder / "stdout.log").read_text() and list(folder.glob("stdout.log.part_*"))
    (work / "go").touch()
    work.run("--resume", code=0)
    assert not list(folder.glob("*.log.part_*")) and list((folder / "attempt_1").glob("stdout.log.part_*"))


def test_a_job_that_is_adopted_keeps_its_limit(work: Workspace) -> None:
    work.write("a.sh", PRINTS + "while ! [ -e go ]; do sleep 0.1; done; " + PRINTS + "echo last")
    process = work.start("--configs", "a.sh", *COMMAND, *LIMIT, "--keep_running")
    part(work)
    process.kill()
    process.communicate()
    (work / "go").touch()
    work.run("--resume", code=0)
    text = (work.batch / "a/stdout.log").read_text()
    assert text.endswith("last\n") and "part 1\n" in text and re.search(r"\d+ bytes of this log were left out", text)
    assert not list((work.batch / "a").glob("*.part_*"))


def test_a_limit_that_is_not_a_number_is_one_sentence(work: Workspace) -> None:
    work.write("a.sh", "true")
    done = work.run("--configs", "a.sh", *COMMAND, "--max_log_mb", "0", code=2)
    assert "max" in done.stderr and "log" in done.stderr and not Path(work / "experiments").exists()
