"""A batch whose second job waits, for tests that cut it short."""

from __future__ import annotations

import subprocess

from tests.conftest import Workspace, runs, wait_until

GRACE = ("--grace", "1,0.3,5")
COMMAND = ("--command", "sh {config} --out {out_dir}")
#: Reports that it runs and waits for the file `go`; SIGINT makes it save and exit.
WAITING = """\
echo $$ >> runs
trap 'echo saved; exit 0' INT
while test ! -e go; do sleep 0.02; done
"""


def statuses(work: Workspace) -> list[str]:
    return [entry["status"] for entry in work.summary["results"].values()]


def three_jobs(work: Workspace) -> Workspace:
    """a completes, b waits, c completes."""
    work.write("c/a.sh", "echo a >> done")
    work.write("c/b.sh", WAITING)
    work.write("c/c.sh", "echo c >> done")
    return work


def started(work: Workspace, *options: str, mark: str = "") -> subprocess.Popen[str]:
    """The batch, once its second job runs. `mark` is in the environment of all of its processes."""
    grace = () if "--grace" in options else GRACE
    process = work.start("--configs", "c/*.sh", *COMMAND, *grace, *options, env={"RUNNER_TEST": mark})
    wait_until(lambda: runs(work), "the second job runs")
    wait_until((work / "experiments/latest/b/supervisor.json").exists, "its processes are recorded")
    return process
