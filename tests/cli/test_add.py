"""`add`: more jobs for a batch, which may be running."""

from __future__ import annotations

import pytest

from tests.cli.test_requests import JOB, TEMPLATE, finish, order, started, states, status, three
from tests.conftest import Workspace, kill

pytestmark = pytest.mark.slow

__all__ = ["three"]  # a fixture


def test_jobs_are_added_to_a_running_batch(three: Workspace) -> None:
    process = started(three, "--lr", "0.1")
    three.write("more/d.sh", JOB)
    three.write("more/a.sh", JOB)
    done = three.run("add", three.batch.name, "more/*.sh", "--size=5", code=0)
    assert "added a-2, d" in done.stdout
    assert states(three) == {"a": "running", "b": "pending", "c": "pending", "a-2": "pending", "d": "pending"}
    three.write("more/d.sh", "exit 1")  # what was planned is what runs
    out = finish(three, process, 0)
    assert order(three) == ["a", "b", "c", "a-2", "d"] and "5 jobs" in out
    words = (three / "args_d").read_text().split()
    assert words[-2:] == ["--lr=0.1", "--size=5"] and set(states(three).values()) == {"completed"}
    assert three.summary["total_experiments"] == 5 and three.summary["results"]["d"]["status"] == "completed"


def test_a_failure_of_an_added_job_is_in_the_exit_code(three: Workspace) -> None:
    process = started(three)
    three.write("more/d.sh", "exit 3")
    three.run("add", three.batch.name, "more/d.sh", "--first", code=0)
    finish(three, process, 1)
    assert states(three)["d"] == "failed" and order(three) == ["a", "b", "c"]


def test_jobs_that_were_added_survive_a_crash_right_after(three: Workspace) -> None:
    process = started(three)
    three.write("more/d.sh", JOB)
    three.run("add", three.batch.name, "more/d.sh", "--first", code=0)
    kill(process)
    (three / "go").touch()
    three.run("--resume", code=0)
    assert set(states(three).values()) == {"completed"} and order(three)[-3:] == ["d", "b", "c"]


def test_jobs_are_added_to_a_batch_that_does_not_run(three: Workspace) -> None:
    finish(three, started(three), 0)
    three.write("more/d.sh", JOB)
    done = three.run("add", "more/d.sh", code=0)
    assert "which is not running; start:" in done.stdout and "--resume" in done.stdout
    assert states(three)["d"] == "pending" and status(three)["state"] == "stopped"
    three.run("--resume", code=0)
    assert order(three) == ["a", "b", "c", "d"] and three.result("d")["status"] == "completed"


def test_a_config_is_added_from_another_folder(three: Workspace) -> None:
    three.write("job.sh", 'cat "$1" > "$2/seen"; test -e job.sh')
    three.write("c/x.yaml", "lr: 1\n")
    three.run("--configs", "c/x.yaml", "--command", "sh job.sh {config} {out_dir}", code=0)
    three.write("elsewhere/y.yaml", "lr: 2\n")
    elsewhere = Workspace(three / "elsewhere")
    done = elsewhere.run("add", "--base_out_dir", three / "experiments", "y.yaml", code=0)
    assert "added y" in done.stdout
    three.run("--resume", code=0)
    assert (three.batch / "y" / "seen").read_text() == "lr: 2\n"


def test_an_addition_can_be_looked_at_first(three: Workspace) -> None:
    finish(three, started(three), 0)
    plan = (three.batch / "plan.json").read_bytes()
    done = three.run("add", "c/a.sh", "--dry-run", code=0)
    assert "1. a-2" in done.stdout and (three.batch / "plan.json").read_bytes() == plan


def test_the_overrides_of_what_is_added_are_checked_as_those_of_a_batch(work: Workspace) -> None:
    work.write("train.py", "learning_rate = 1e-3\nexec(open('configurator.py').read())\n")
    work.write("configurator.py", "")
    work.write("c/a.py", "learning_rate = 1e-2\n")
    work.run("--configs", "c/a.py", "--train_script", "train.py", code=0)
    done = work.run("add", "c/a.py", "--learning_rat=1", code=2)
    assert "--learning_rat: unknown key; did you mean --learning_rate?" in done.stderr
    work.run("add", "c/a.py", "--learning_rate=1", code=0)
    work.run("--resume", code=0)
    assert work.result("a-2")["command"][-1] == "--learning_rate=1.0"


def test_a_sweep_gets_its_runs_from_its_spec_alone(work: Workspace) -> None:
    work.write("train.py", "lr = 1.0\nexec(open('configurator.py').read())\n")
    work.write("configurator.py", "")
    work.write("base.py", "lr = 0.5\n")
    work.write("s.yaml", "name: s\nmode: training\nbase_config: base.py\nsweep:\n  lr: [1.0, 2.0]\n")
    work.run("--exp", "s.yaml", "--train_script", "train.py", code=0)
    assert "is an experiment of a spec" in work.run("add", "base.py", code=2).stderr


def test_a_mistyped_job_or_config_is_not_called_a_batch_alone(three: Workspace) -> None:
    three.run("--configs", "c/*.sh", *TEMPLATE, "--limit", "1", "--timeout", "1", code=1)
    for command in ("skip", "rerun", "stop"):
        err = three.run(command, "aa", code=2).stderr
        assert "no such job in the latest one" in err and "there are a, b, c" in err
    assert "c/nofile.sh: no such file" in three.run("add", "c/nofile.sh", code=2).stderr
