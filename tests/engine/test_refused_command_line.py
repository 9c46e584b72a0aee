"""A program that refuses its command line ends the batch: the other jobs would fail the same way. Real processes."""

from __future__ import annotations

import pytest

from tests.conftest import Workspace

#: A parser that cannot be read off the script's text, so that the refusal comes from the program.
SCRIPT = """\
import importlib
parser = importlib.import_module("arg" + "parse").ArgumentParser()
parser.add_argument("config")
parser.add_argument("--output_dir")
parser.add_argument("--lr", type=float)
print(parser.parse_args())
"""
OTHERS = "all other jobs have the same command line, which its program refused"


@pytest.fixture
def three(work: Workspace) -> Workspace:
    work.write("t.py", SCRIPT)
    for name in "abc":
        work.write(f"c/{name}.py", "x = 1\n")
    return work


def statuses(work: Workspace) -> list[str]:
    return [result["status"] for result in work.summary["results"].values()]


def test_a_batch_whose_program_does_not_take_out_dir_stops_after_the_first_job(three: Workspace) -> None:
    done = three.run("--configs", "c/*.py", "--train_script", "t.py", "--retries", "3", code=1)
    assert statuses(three) == ["failed", "pending", "pending"] and three.result("a")["attempt"] == 1
    command = '--command "python t.py {config} --output_dir {out_dir} {overrides}"'
    assert three.result("a")["error"] == f"exit code 2: t.py does not take --out_dir; start it with {command}"
    assert three.result("a")["cause"] == "command_line" and three.result("a")["return_code"] == 2
    assert "usage:" not in done.stdout and "[-h]" not in done.stdout
    for text in (done.stdout, three.master_log()):
        assert f"No further job is started: {OTHERS}." in text and f"not started: b, c ({OTHERS})" in text


def test_the_command_that_the_error_offers_works(three: Workspace) -> None:
    three.run("--configs", "c/*.py", "--train_script", "t.py", "--lr", "0.5", code=1)
    error = three.result("a")["error"]
    template = error.partition('--command "')[2].rstrip('"').replace("python ", "python3 ")
    three.run("--configs", "c/*.py", "--command", template, "--lr", "0.5", code=0)
    assert statuses(three) == ["completed"] * 3


@pytest.mark.parametrize("extra", [["--depth", "3"], ["--lr", "fast"]])
def test_an_override_that_is_refused_stops_the_batch_too(three: Workspace, extra: list[str]) -> None:
    template = "python3 t.py {config} --output_dir {out_dir} {overrides}"
    three.run("--configs", "c/*.py", "--command", template, *extra, code=1)
    assert statuses(three) == ["failed", "pending", "pending"]
    said = "t.py does not take " + ("" if extra[0] == "--depth" else "this value of ") + extra[0]
    assert said in three.result("a")["error"]


def test_jobs_that_run_already_are_waited_for(three: Workspace) -> None:
    done = three.run("--configs", "c/*.py", "--train_script", "t.py", "--max_workers", "2", code=1)
    assert statuses(three) == ["failed", "failed", "pending"]
    assert done.stdout.count("No further job is started") == 1


def test_one_script_per_experiment_is_one_program_per_job(work: Workspace) -> None:
    work.write("c/a.sh", 'echo "a.sh: error: unrecognized arguments: $*" >&2; exit 2')
    work.write("c/b.sh", "exit 0")
    work.run("--configs", "c/*.sh", "--command", "sh {config} --out_dir={out_dir}", code=1)
    assert statuses(work) == ["failed", "completed"] and work.result("a")["cause"] == "command_line"


def test_a_single_job_says_nothing_about_others(three: Workspace) -> None:
    done = three.run("--configs", "c/a.py", "--train_script", "t.py", code=1)
    assert "No further job" not in done.stdout and "does not take --out_dir" in done.stdout


def test_the_batch_goes_on_with_the_script_that_was_changed(three: Workspace) -> None:
    three.run("--configs", "c/*.py", "--train_script", "t.py", code=1)
    three.write("t.py", SCRIPT.replace("--output_dir", "--out_dir"))
    three.run("--resume", code=0)
    assert statuses(three) == ["completed"] * 3


def test_a_command_that_a_container_lost_is_tried_again_as_killed(work: Workspace) -> None:
    work.write("c/a.sh", "echo x >> tries; test $(wc -l < tries) -ge 2 || exit 137")
    options = ("--retries", "1", "--retry_delay", "0.05", "--retry_on", "signal")
    work.run("--configs", "c/a.sh", "--command", "sh {config}", *options, code=0)
    assert work.result("a")["attempt"] == 2
