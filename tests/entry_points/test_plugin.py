"""A package of somebody else is installed beside the runner: each of its entries works, and no line of ours changes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tests.conftest import PROJECT, Workspace, wait_until

pytestmark = pytest.mark.slow

JOB = "# takes: lr depth\nimport sys\nprint('ran with', sys.argv[3:])\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where pip has installed the plugin; nothing else is in it."""
    source, target = tmp_path_factory.mktemp("plugin"), tmp_path_factory.mktemp("site")
    shutil.copytree(PROJECT / "tests" / "plugin", source, dirs_exist_ok=True)
    options = ["-q", "--no-deps", "--disable-pip-version-check", "--target", str(target)]
    try:
        options += ["--no-build-isolation"] if int(version("setuptools").partition(".")[0]) >= 77 else []
    except PackageNotFoundError:
        pass
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True, timeout=150)
    return target


@pytest.fixture
def work(work: Workspace) -> Workspace:
    work.write("train.py", JOB)
    work.write("c/a.py", "lr = 1\n")
    work.write("c/b.py", "lr = 2\n")
    (work / "licences").mkdir()
    return work


def environment(work: Workspace, installed: Path) -> dict[str, str]:
    places = {"LICENCES": "licences", "EVENTS": "events.txt"}
    return {**os.environ, "PYTHONPATH": f"{installed}:{PROJECT}", **places}


def overnight(work: Workspace, installed: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runner", *words]
    done = subprocess.run(
        command, cwd=work.folder, env=environment(work, installed), capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


RUN = ("run", "c/a.py", "c/b.py", "--train_script", "train.py")


def test_an_observer_receives_every_event(work: Workspace, installed: Path) -> None:
    overnight(work, installed, *RUN, "--observer", "events")
    lines = (work / "events.txt").read_text().splitlines()
    assert lines[0] == "BatchStarted" and lines[-1] == "BatchEnded"
    assert [line for line in lines if line.startswith("JobEnded")] == ["JobEnded a completed", "JobEnded b completed"]


def test_an_observer_that_raises_is_reported_once_and_the_batch_goes_on(work: Workspace, installed: Path) -> None:
    done = overnight(work, installed, *RUN, "--observer", "broken")
    assert "2 completed" in done.stdout
    assert (done.stdout + done.stderr).count("an error of the plugin") == 1
    assert (work.batch / "master_log.txt").read_text().count("an error of the plugin") == 1


def test_an_executor_waits_with_a_reason_and_starts_when_there_is_room(work: Workspace, installed: Path) -> None:
    command = [sys.executable, "-m", "runner", *RUN, "--executor", "licensed", "--observer", "events"]
    given = environment(work, installed)
    process = subprocess.Popen(command, cwd=work.folder, env=given, stdout=subprocess.PIPE, text=True)
    events = work / "events.txt"
    reason = "JobWaiting no licence is free in licences"
    wait_until(lambda: events.exists() and reason in events.read_text(), "the job waits")
    assert "no licence is free" in (work.batch / "master_log.txt").read_text()
    work.write("licences/one.licence", "")
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 0 and "no licence is free" in out and "2 completed" in out
    assert [path.name for path in (work / "licences").iterdir()] == ["one.licence"]
    assert json.loads((work.batch / "plan.json").read_text())["options"]["executor"] == "licensed"


def test_a_command_is_found_by_its_name(work: Workspace, installed: Path) -> None:
    overnight(work, installed, *RUN)
    assert overnight(work, installed, "count", str(work.batch)).stdout == f"{work.batch}: 2 jobs\n"
    assert "nowhere: is not a folder" in overnight(work, installed, "count", "nowhere", code=2).stderr
    assert "how many jobs a batch has" in overnight(work, installed, "count", "--help").stdout
    assert "did you mean 'count'?" in overnight(work, installed, "cuont", code=2).stderr


def test_a_script_adapter_checks_overrides_before_the_start(work: Workspace, installed: Path) -> None:
    done = overnight(work, installed, *RUN, "--dept", "3", code=2)
    assert "--dept" in done.stderr and "did you mean --depth?" in done.stderr and not (work / "experiments").exists()
    overnight(work, installed, *RUN, "--depth", "3")
    assert "ran with ['--depth=3']" in (work.batch / "a" / "stdout.log").read_text()


def test_a_line_format_reads_what_no_other_does(work: Workspace, installed: Path) -> None:
    lines = "print('columns: t energy')\nfor t in (1, 2): print('=', t, -3.25 - t)\nprint('step 3: loss 2.5')\n"
    work.write("train.py", JOB + lines)
    overnight(work, installed, *RUN)
    result = work.result("a")
    assert result["final_metrics"] == {"iter": 3, "energy": -5.25, "train/loss": 2.5}
    (warning,) = result["warnings"]
    assert "the line format example_plugin.no_such_module:read cannot be used: ModuleNotFoundError" in warning


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("--executor", "licensd"), "unknown executor 'licensd'; did you mean 'licensed'?"),
        (("--observer", "event"), "unknown observer 'event'; did you mean 'events'?"),
    ],
)
def test_an_unknown_name_starts_nothing(work: Workspace, installed: Path, words: tuple[str, ...], cause: str) -> None:
    assert cause in overnight(work, installed, *RUN, *words, code=2).stderr
    assert not (work / "experiments").exists()


def test_a_batch_of_a_plugin_that_is_gone_is_listed_and_refused(work: Workspace, installed: Path) -> None:
    work.write("licences/one.licence", "")
    overnight(work, installed, *RUN, "--executor", "licensed", "--limit", "1", code=0)
    alone = {**os.environ, "PYTHONPATH": str(PROJECT)}

    def without(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "runner", *words]
        return subprocess.run(command, cwd=work.folder, env=alone, capture_output=True, text=True, check=False)

    listed = without("list").stdout
    assert "1 completed" in listed and "1 pending" in listed
    refused = without("resume")
    assert refused.returncode == 2 and "unknown executor 'licensed'" in refused.stderr
    assert without("resume", "--executor", "local").returncode == 0
    assert "2 completed" in without("list").stdout


def test_a_notification_channel_gets_the_messages_of_a_batch(
    work: Workspace, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERNIGHT_PAGER_FILE", "no/such/folder/pages")
    done = overnight(work, installed, *RUN, "--notify", "pager", code=2)
    assert "--notify pager: file is in a folder that does not exist" in done.stderr
    monkeypatch.setenv("OVERNIGHT_PAGER_FILE", str(work / "pages"))
    overnight(work, installed, *RUN, "--notify", "pager")
    assert (work / "pages").read_text().endswith(": all completed\n")
