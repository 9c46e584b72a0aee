"""Small rules of the commands: rerun has the options of a resume, --only with nothing to do, `tail -5`."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from runner.cli.main import main
from runner.disk.lock import holder
from runner.planners.command import errors
from runner.planners.exclusion import Exclusion
from runner.reports.status import JobStatus
from tests.conftest import Workspace, read, wait_until
from tests.sweeps import SCRIPT, prepare

RUN = ("--configs", "c/*.sh", "--command", "sh {config}")


@pytest.fixture
def ended(work: Workspace) -> Workspace:
    """A batch of three jobs that have ended: a and c completed, b failed."""
    for name, text in (("a", "exit 0"), ("b", "test -e go"), ("c", "exit 0")):
        work.write(f"c/{name}.sh", f"echo {name} >> runs\n{text}\n")
    work.run(*RUN, code=1)
    return work


def ran(work: Workspace) -> str:
    return "".join((work / "runs").read_text().split())


def test_a_dry_run_of_a_rerun_starts_and_writes_nothing(ended: Workspace) -> None:
    before = (ended.batch / "plan.json").read_bytes()
    out = ended.run("rerun", "a", "--dry-run", code=0).stdout
    assert "1 job would run" in out and "c/a.sh" in out and "Nothing was written" in out
    assert ran(ended) == "abc" and (ended.batch / "plan.json").read_bytes() == before


def test_a_rerun_takes_a_number_of_workers_and_can_be_quiet(ended: Workspace) -> None:
    out = ended.run("rerun", "a", "c", "--max-workers", 2, "--quiet", code=0).stdout
    assert "started" not in out and sorted(ran(ended)) == list("aabcc")
    assert read(ended.batch / "plan.json")["options"]["max_workers"] == 2


def test_a_rerun_goes_into_the_background(ended: Workspace) -> None:
    out = ended.run("rerun", "a", "--detach", code=0).stdout
    assert "runs in the background" in out
    wait_until(lambda: holder(str(ended.batch / ".lock")) is None and len(ran(ended)) == 4, "it has ended")
    assert ran(ended) == "abca"


NOTHING = [("resume", "--only", "pending"), ("resume", "--only", "lost"), ("rerun", "--only", "lost")]


@pytest.mark.parametrize("words", NOTHING)
def test_only_with_nothing_to_do_says_so(ended: Workspace, words: tuple[str, ...]) -> None:
    done = ended.run(*words, code=0)
    assert f"no job to run is {words[-1]}" in done.stdout and len(done.stdout.splitlines()) == 1
    assert ran(ended) == "abc"


def test_only_lost_runs_the_jobs_whose_processes_are_gone(work: Workspace) -> None:
    work.write("c/a.sh", "echo a >> runs; test -e go || sleep 60\n")
    work.write("c/b.sh", "echo b >> runs\n")
    process = work.start(*RUN)
    record = work / "experiments/latest/a/supervisor.json"
    wait_until(lambda: record.exists() and json.loads(record.read_text()).get("job"), "it runs")
    supervisor = read(record)["supervisor"]
    process.kill()
    os.kill(int(supervisor[0]), signal.SIGKILL)
    process.communicate()
    wait_until(lambda: "lost" in work.run("status", code=0).stdout, "it is lost")
    (work / "go").touch()
    work.run("resume", "--only", "lost", code=0)
    assert ran(work) == "aa"


@pytest.mark.parametrize("words", [["-2"], ["-n", "2"], ["-n2"]])
def test_a_number_with_a_dash_is_a_number_of_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    work = Workspace(tmp_path)
    work.write("c/a.sh", "seq 5")
    work.run(*RUN, "--log_timestamps", "none", code=0)
    monkeypatch.chdir(tmp_path)
    assert main(["tail", "a", *words, "--no-follow", "--stream", "stdout"]) == 0
    assert capsys.readouterr().out == "4\n5\n"


def test_a_cause_stands_behind_a_colon() -> None:
    failed = JobStatus("failed", ended=True, seconds=0.671, error="exit code 1")
    assert failed.line("a").split("a ", 1)[1].strip() == "failed in 671 ms: exit code 1"
    stopped = JobStatus("interrupted", ended=True, seconds=2.0, attempt=2, error="interrupted (ended by SIGINT)")
    assert stopped.line("a").endswith("interrupted in 2.0 s (attempt 2) (ended by SIGINT)")


@pytest.mark.parametrize("template", ["{python} no.py {config}", "python -u no.py {config}", "bash no.sh {config}"])
def test_a_script_of_a_command_that_is_not_there_is_an_error_before_the_start(tmp_path: Path, template: str) -> None:
    (found,) = errors(template, "--command", tmp_path, python=False)
    assert "no such file; check the path" in found and found.startswith("--command: 'no.")


@pytest.mark.parametrize(
    "template",
    ["{python} yes.py {config}", "python -m pkg {config}", "python -W error yes.py {config}", "bash -c 'x {config}'",
     "{python} {config}", "bash -lc 'no.sh {config}'", "python -c 'pass' {config}", "sh -e yes.py {config}"],
)  # fmt: skip
def test_a_command_whose_script_is_there_or_not_known_is_none(tmp_path: Path, template: str) -> None:
    (tmp_path / "yes.py").touch()
    assert list(errors(template, "--command", tmp_path, python=False)) == []


def test_a_pattern_leaves_out_the_stem_of_a_file(tmp_path: Path) -> None:
    out = Exclusion(["bad", "x_*y"], tmp_path)
    names = ["c/bad.py", "c/bad.yaml", "x_1_y.py", "c/good.py", "c/bad_too.py"]
    assert [name for name in names if tmp_path / name in out] == names[:3]


def test_a_sweep_in_the_background_names_the_command_that_was_given(work: Workspace) -> None:
    sweep = prepare(work)
    out = sweep.run("--exp", "specs/s.yaml", *SCRIPT, "--limit", 1, "--detach", code=0).stdout
    stop = next(line for line in out.splitlines() if line.startswith("stop it:"))
    assert "run_experiments.py stop" in stop and "run_background" not in stop
    wait_until(lambda: holder(str(sweep.batch / ".lock")) is None, "it has ended")
