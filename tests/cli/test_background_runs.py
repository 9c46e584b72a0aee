"""Sweeps in the background: they outlive terminal and session, the list is true, a stop ends all processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.disk.lock import holder
from tests.conftest import PROJECT, Workspace, alive, read, runs, wait_until
from tests.sweeps import SCRIPT, prepare

pytestmark = pytest.mark.slow

MANAGER = PROJECT / "scripts" / "run_background.py"
LAUNCHER = PROJECT / "bg_experiment.sh"
#: Reports that it runs, with a child in a session of its own, and waits for the file `go`.
WAITING = """\
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)
with open('runs', 'a') as file: file.write(f'{os.getpid()} {child.pid}\\n')
while not os.path.exists('go'): time.sleep(0.02)
print('went'); child.kill(); child.wait()
if os.path.exists('fail'): sys.exit(1)
"""
SHORT = ("--grace", "0.5,0.3,5", *SCRIPT)


@pytest.fixture
def sweep(work: Workspace) -> Iterator[Workspace]:
    prepare(work)
    work.write("job.py", WAITING)
    yield work
    for run in manager(work, "--list", "--json", parsed=True):
        if found := holder(f"{run['experiment_dir']}/.lock"):
            os.kill(int(found["pid"]), signal.SIGTERM)
            wait_until(lambda pid=int(found["pid"]): not alive(pid), "what a test left has ended")


def manager(work: Workspace, *arguments: str, parsed: bool = False, code: int = 0) -> Any:
    command = [sys.executable, MANAGER, *arguments]
    done = subprocess.run(command, cwd=work.folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if parsed else done.stdout + done.stderr


def listed(work: Workspace) -> list[str]:
    return [run["state"] for run in manager(work, "--list", "--json", parsed=True)]


def started(work: Workspace) -> Path:
    """The folder of a run in the background, once its first job runs."""
    manager(work, "--experiment", "specs/s.yaml", *SHORT)
    wait_until(lambda: len(runs(work)) == 2, "the first job runs")
    return work / "background_runs" / work.batch.name


@pytest.mark.linux
def test_a_run_has_a_folder_with_its_log_and_who_runs_it(sweep: Workspace) -> None:
    output = manager(sweep, "--experiment", "specs/s.yaml", *SHORT)
    wait_until(lambda: runs(sweep), "the first job runs")
    name = sweep.batch.name
    assert f"tail -f background_runs/{name}/nohup.log" in output
    record = read(sweep / "background_runs" / name / "run.json")
    assert record["experiment_dir"] == str(sweep.batch) and record["spec"] == "specs/s.yaml"
    assert alive(record["pid"]) and os.getsid(record["pid"]) == record["pid"]
    stat = Path(f"/proc/{record['pid']}/stat").read_text().rpartition(")")[2].split()
    assert record["process_start_time"] == stat[19]
    (sweep / "go").touch()
    log = sweep / "background_runs" / name / "nohup.log"
    wait_until(lambda: "4 jobs in" in log.read_text().splitlines()[-2], "the log tells the end")
    wait_until(lambda: listed(sweep) == ["done"], "its process has gone")


def test_the_launcher_runs_a_spec_in_a_mode(sweep: Workspace) -> None:
    (sweep / "go").touch()
    done = subprocess.run(
        [LAUNCHER, "specs/s.yaml", "simulation", *SCRIPT], cwd=sweep.folder, capture_output=True, text=True, check=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert "runs in the background" in done.stdout
    wait_until(lambda: listed(sweep) == ["done"], "it has ended")
    assert read(sweep.batch / "experiment.json")["mode"] == "simulation"


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_the_launcher_without_a_spec_prints_its_usage(arguments: list[str]) -> None:
    done = subprocess.run([LAUNCHER, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "usage:" in done.stderr


def test_errors_are_reported_before_anything_goes_into_the_background(sweep: Workspace) -> None:
    sweep.write("specs/s.yaml", "name: a\n")
    assert "specs/s.yaml" in manager(sweep, "--experiment", "specs/s.yaml", code=2)
    assert not (sweep / "background_runs").exists()


def test_a_stop_ends_the_whole_tree(sweep: Workspace) -> None:
    folder = started(sweep)
    processes = [*runs(sweep), read(folder / "run.json")["pid"]]
    manager(sweep, "--stop", str(folder))
    assert not any(alive(pid) for pid in processes)
    assert sweep.result("run_000")["status"] == "interrupted" and listed(sweep) == ["stopped"]


def test_a_run_can_be_stopped_by_its_name_alone(sweep: Workspace) -> None:
    manager(sweep, "--stop", started(sweep).name, "--now")
    assert listed(sweep) == ["stopped"]


def test_the_list_shows_nothing_dead_as_running(sweep: Workspace) -> None:
    folder = started(sweep)
    assert listed(sweep) == ["running"]
    os.kill(read(folder / "run.json")["pid"], signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in runs(sweep)), "the supervisor has ended its job")
    wait_until(lambda: listed(sweep) == ["dead"], "the list says so")
    (sweep / "go").touch()
    sweep.run("--exp", "specs/s.yaml", "--resume", code=0)
    assert listed(sweep) == ["done"]


def test_a_run_with_failures_is_called_failed(sweep: Workspace) -> None:
    (sweep / "fail").touch()
    (sweep / "go").touch()
    started(sweep)
    wait_until(lambda: listed(sweep) == ["failed"], "every job has failed")


def test_it_runs_on_when_its_session_hangs_up_and_where_sigint_is_ignored(sweep: Workspace) -> None:
    command = f"{sys.executable} {MANAGER} --experiment specs/s.yaml {' '.join(SHORT)}"
    script = f"trap '' INT HUP; {command} <&- & wait; kill -HUP 0"
    subprocess.run(["sh", "-c", script], cwd=sweep.folder, start_new_session=True, check=False, capture_output=True)
    wait_until(lambda: len(runs(sweep)) == 2, "the first job runs")
    assert listed(sweep) == ["running"]
    os.kill(read(sweep / "background_runs" / sweep.batch.name / "run.json")["pid"], signal.SIGINT)
    wait_until(lambda: listed(sweep) == ["stopped"], "SIGINT is heeded")


def test_a_run_that_cannot_leave_its_terminal_is_not_shown_as_running(sweep: Workspace) -> None:
    (sweep / "go").touch()
    sweep.run("--exp", "specs/s.yaml", *SCRIPT, "--limit", 1, code=0)
    (sweep.batch / "runner.log").mkdir()
    done = sweep.run("--exp", "specs/s.yaml", "--resume", "--detach", code=1)
    assert "could not go into the background; nothing was started" in done.stderr
    assert "runs in the background" not in done.stdout


def test_where_no_folder_can_be_kept_the_log_of_the_experiment_is_named(sweep: Workspace) -> None:
    sweep.write("background_runs", "a file")
    output = manager(sweep, "--experiment", "specs/s.yaml", *SHORT)
    wait_until(lambda: runs(sweep), "the first job runs")
    assert f"tail -f experiments/{sweep.batch.name}/master_log.txt" in output
    assert f"--stop experiments/{sweep.batch.name}" in output
    (sweep / "background_runs").unlink()
    manager(sweep, "--stop", f"experiments/{sweep.batch.name}")


def test_the_list_shows_who_runs_a_run_now(sweep: Workspace) -> None:
    folder = started(sweep)
    first = read(folder / "run.json")["pid"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: listed(sweep) == ["dead"], "it is dead")
    assert manager(sweep, "--list", "--json", parsed=True)[0]["pid"] is None
    second = sweep.start("--exp", "specs/s.yaml", "--resume", "--grace", "0.5,0.3,5")
    wait_until(lambda: listed(sweep) == ["running"], "it is gone on with")
    assert manager(sweep, "--list", "--json", parsed=True)[0]["pid"] == second.pid
    second.terminate()
    second.communicate()


def test_a_torn_record_hides_no_other_run_and_a_closed_pipe_is_no_traceback(sweep: Workspace) -> None:
    (sweep / "go").touch()
    started(sweep)
    wait_until(lambda: listed(sweep) == ["done"], "it has ended")
    sweep.write("background_runs/torn/run.json", "{")
    assert listed(sweep) == ["done"]
    assert "no such run" in manager(sweep, "--stop", "torn", code=2)
    command = f"{sys.executable} {MANAGER} --list | true"
    done = subprocess.run(["bash", "-c", command], cwd=sweep.folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--experiment", "s.yaml", "--now"], "--now was not expected here"),
        (["--stop", ""], "'': no such run"),
        (["--stop", "nothing"], "'nothing': no such run; there are none in "),
        (["--list", "--fast"], "--fast was not expected here"),
    ],
)
def test_an_unknown_word_is_one_sentence(work: Workspace, arguments: list[str], message: str) -> None:
    assert message in manager(work, *arguments, code=2)


def test_without_any_run_that_is_reported(work: Workspace) -> None:
    assert "there is no run yet" in manager(work, "--list")
