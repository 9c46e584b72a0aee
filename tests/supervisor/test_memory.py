"""Whom the kernel kills when memory runs out: a job, and never the engine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import Workspace, read, wait_until

SCORE = "/proc/self/oom_score_adj"
GREEDY = "import time; held = bytearray(b'x' * (10 << 20)); time.sleep(60)"


def score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


@pytest.mark.linux
@pytest.mark.parametrize(
    ("inherited", "job", "scores"),
    [
        (0, f"cat {SCORE}", "300"),
        (700, f"cat {SCORE}", "700"),
        (0, f"echo 20 > {SCORE}; cat {SCORE}", "20"),
        (0, f"sh -c 'cat {SCORE}'", "300"),
    ],
    ids=["a job", "an inherited higher one", "its own choice", "its children"],
)
def test_a_job_is_killed_before_its_runner(work: Workspace, inherited: int, job: str, scores: str) -> None:
    work.write("c/a.sh", f"{job} > score\nmv score ready\nwhile test ! -e go; do sleep 0.02; done")
    process = work.start(
        "--configs", "c/a.sh", "--command", "sh {config}", preexec_fn=lambda: Path(SCORE).write_text(str(inherited))
    )
    wait_until((work / "ready").exists, "the job runs")
    assert (work / "ready").read_text().strip() == scores
    assert score(process.pid) == score(int(read(work.batch / "a/supervisor.json")["supervisor"][0])) == inherited
    (work / "go").touch()
    process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.slow
def test_the_engine_survives_a_job_of_many_processes_that_eat_all_memory(work: Workspace, small_group: Path) -> None:
    # Each of them is smaller than the engine: by their sizes alone it would be the first to be killed.
    counter = next(path for name in ("memory.events", "memory.oom_control") if (path := small_group / name).exists())
    work.write("greedy.py", GREEDY)
    script = "for n in 1 2 3 4 5 6 7 8; do python3 -S greedy.py & done\n"
    until = f"until grep -q 'oom_kill [1-9]' {counter}; do sleep 0.05; done"
    work.write("c/a.sh", f"{script}{until}; kill $(jobs -p); exit 3")
    group = os.open(small_group / "cgroup.procs", os.O_WRONLY)
    process = work.start(
        "--configs", "c/a.sh", "--command", "sh {config}", pass_fds=(group,), preexec_fn=lambda: os.write(group, b"0")
    )
    os.close(group)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert work.result("a")["status"] in ("failed", "killed")
