"""The command of its own: from any folder, with words instead of options, and without a checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT, Workspace, wait_until

SCRIPT = "import sys\nprint(sys.argv[1:])\nopen(sys.argv[2].partition('=')[2] + '/seen', 'w').close()\n"


def overnight(work: Workspace, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """The command as `python -m runner`, in the folder of the workspace."""
    done = subprocess.run(
        [sys.executable, "-m", "runner", *words],
        cwd=work.folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def trained(work: Workspace) -> Workspace:
    work.write("train.py", SCRIPT)
    work.write("config/a.py", "lr = 1\n")
    work.write("config/b.py", "lr = 2\n")
    overnight(work, "run", "config/*.py", "--train_script", "train.py")
    return work


def test_a_batch_by_words(trained: Workspace) -> None:
    assert sorted(path.parent.name for path in trained.batch.glob("*/seen")) == ["a", "b"]
    assert "2 completed" in overnight(trained, "list").stdout
    states = json.loads(overnight(trained, "status", "--json").stdout)["jobs"]
    assert {name: job["status"] for name, job in states.items()} == {"a": "completed", "b": "completed"}
    assert "config/a.py" in overnight(trained, "tail", trained.batch.name, "a").stdout
    assert "a" in overnight(trained, "table", str(trained.batch)).stdout
    overnight(trained, "attach")
    overnight(trained, "stop")
    overnight(trained, "rerun", trained.batch.name, "a")
    assert (trained.batch / "a" / "attempt_1" / "seen").exists()


def test_what_was_left_is_resumed_by_its_word(work: Workspace) -> None:
    work.write("train.py", SCRIPT)
    work.write("config/a.py", "")
    work.write("config/b.py", "")
    output = overnight(work, "run", "config/a.py", "config/b.py", "--train-script", "train.py", "--limit", "1").stdout
    assert "python -m runner resume" in output  # the command in the report works as it is
    overnight(work, "resume", work.batch.name)
    assert (work.batch / "b" / "seen").exists()
    assert "2 completed" in overnight(work, "list").stdout


def test_a_sweep_and_a_tree_by_their_words(work: Workspace) -> None:
    work.write("train.py", SCRIPT)
    work.write("config/VECTOR/a.yaml", "lr: 1\n")
    work.write("s.yaml", "name: s\nmode: training\nbase_config: config/VECTOR/a.yaml\nsweep: {lr: [1, 2]}\n")
    assert "2 jobs would run" in overnight(work, "sweep", "s.yaml", "--train_script", "train.py", "--dry-run").stdout
    overnight(work, "tree", "config", "--train_script", "train.py", "--output-root", "out")
    assert (work.folder / "out" / "VECTOR" / "a" / "seen").exists()


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("stauts",), "did you mean 'status'?"),
        (("frobnicate",), "no such command"),
        (("run",), "name the input first"),
        (("sweep", "--limit", "2"), "name the input first"),
        (("run", "nothing/*.py", "--train_script", "gone.py"), "gone.py"),
        (("status", "gone"), "gone"),
        (("status", "--frobnicate"), "--frobnicate"),
    ],
)
def test_an_error_is_sentences_with_exit_code_two(work: Workspace, words: tuple[str, ...], cause: str) -> None:
    done = overnight(work, *words, code=2)
    assert cause in done.stderr and "Traceback" not in done.stderr and done.stdout == ""
    assert all(line.startswith("python -m runner: ") for line in done.stderr.splitlines())


def test_help_and_version(work: Workspace) -> None:
    from runner import __version__

    assert overnight(work, "--version").stdout == f"overnight {__version__}\n"
    assert "usage: python -m runner COMMAND ..." in overnight(work, "--help").stdout
    help_ = work.run("--help", code=0).stdout
    for group in ("inputs", "config overrides", "execution", "output", "resume", "sweeps", "trees"):
        assert f"\n{group}:\n" in help_
    assert "--batch-size VALUE" in help_ and "--batch_size," not in help_  # one spelling of each option
    assert "usage:" in overnight(work, "status", "--help").stdout
    resume, run = overnight(work, "resume", "--help").stdout, overnight(work, "run", "--help").stdout
    assert resume.startswith("usage: python -m runner resume [BATCH]")
    assert "--extend" in resume and "--configs" not in resume
    assert run.startswith("usage: python -m runner run CONFIG...")
    assert "--configs" in run and "--extend" not in run


def test_both_spellings_of_an_option_are_accepted(work: Workspace) -> None:
    work.write("train.py", SCRIPT)
    work.write("a.py", "")
    for dry_run, script in (("--dry-run", "--train-script"), ("--dry_run", "--train_script")):
        assert "1 job would run" in overnight(work, "run", "a.py", script, "train.py", dry_run).stdout


def test_the_shell_completes_commands_options_and_batches(trained: Workspace) -> None:
    def completed(line: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-m", "runner"],
            cwd=trained.folder,
            env={
                **os.environ,
                "PYTHONPATH": str(PROJECT),
                "_ARGCOMPLETE": "1",
                "_ARGCOMPLETE_STDOUT_FILENAME": "answer",
                "_ARGCOMPLETE_IFS": "\n",
                "COMP_LINE": line,
                "COMP_POINT": str(len(line)),
            },
            check=False,
        )
        assert done.returncode == 0
        return set((trained.folder / "answer").read_text().split("\n"))

    assert {"status ", "stop "} <= completed("overnight st") or {"status", "stop"} <= completed("overnight st")
    assert any(word.startswith("--json") for word in completed("overnight status --j"))
    assert any(word.startswith(trained.batch.name) for word in completed("overnight status e"))


@pytest.mark.parametrize("program", ["run_experiments.py list", "train_run.py --help", "configurator.py --help",
                                     "sample.py --help", "scripts/run_experiment.py list"])  # fmt: skip
def test_the_entry_points_work_with_a_safe_path(work: Workspace, program: str) -> None:
    """PYTHONSAFEPATH leaves the folder of the script out of the path of modules."""
    name, *words = program.split()
    done = subprocess.run(
        [sys.executable, str(PROJECT / name), *words],
        cwd=work.folder, env={**os.environ, "PYTHONSAFEPATH": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_batch_with_a_safe_path(work: Workspace) -> None:
    work.write("train.py", SCRIPT)
    work.write("a.py", "import math\nlr = math.sqrt(4)\n")
    work.run("--configs", "a.py", "--train_script", "train.py", code=0, env={"PYTHONSAFEPATH": "1"})
    assert work.summary["completed"] == 1


@pytest.mark.parametrize("words", [("status",), ("list",), ("--configs", "a.py"), ("table",), ("stop",), ("resume",)])
def test_in_a_folder_that_was_deleted_is_one_sentence(work: Workspace, words: tuple[str, ...]) -> None:
    gone = work / "gone"
    gone.mkdir()
    deleted = f'cd "{gone}" && rmdir "{gone}" && exec "$@"'
    for program in ([sys.executable, str(PROJECT / "run_experiments.py")], [sys.executable, "-m", "runner"]):
        gone.mkdir(exist_ok=True)
        done = subprocess.run(
            ["bash", "-c", deleted, "bash", *program, *words],
            env={**os.environ, "PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert "the current folder does not exist any more" in done.stderr


@pytest.fixture
def shared() -> Iterator[Workspace]:
    """A folder that every user of the machine can read; those of pytest are private."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        workspace = Workspace(Path(folder))
        yield workspace
        for process in workspace.started:
            process.terminate()
            process.communicate(timeout=60)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_a_batch_of_another_user_is_one_sentence(shared: Workspace) -> None:
    work = shared
    work.write("job.py", "import time\nwhile True: time.sleep(0.05)\n")
    work.write("a.py", "x = 1\n")
    work.start("--configs", "a.py", "--train_script", "job.py")
    wait_until((work / "experiments/latest/a/supervisor.json").exists, "it runs")
    program = (
        "import os, sys; from runner.cli.main import main; from runner.cli import batch, inspect; "
        "import runner.cli.commands.stop, runner.cli.commands.list, runner.planners.sweep, runner.cli.commands.rerun; "
        "os.setgid(65534); os.setuid(65534); sys.exit(main(sys.argv[1:]))"
    )

    def as_nobody(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, *words],
            cwd=work.folder, env={**os.environ, "PYTHONPATH": str(PROJECT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    for words in (("stop",), ("stop", "--now")):
        done = as_nobody(*words)
        assert done.returncode == 2 and "runs as another user" in done.stderr and "Traceback" not in done.stderr
    (work.batch / "plan.json").chmod(0o600)
    for words in (("status",), ("stop",), ("resume",), ("rerun", "a")):
        done = as_nobody(*words)
        assert done.returncode == 2 and "belongs to another user" in done.stderr and "Traceback" not in done.stderr
    done = as_nobody("list")
    assert done.returncode == 0 and "unreadable" in done.stdout


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("ls",), "did you mean 'list'?"),
        (("logs",), "did you mean 'tail'?"),
        (("a.py",), "to run configs, give"),
        (("c/*.yaml",), "to run configs, give"),
        (("–configs", "a.py"), "begins with a dash that is not a hyphen; write --configs"),
        (("run", "a.py", "—dry-run"), "write --dry-run"),
    ],
)
def test_what_was_meant_by_other_words(work: Workspace, words: tuple[str, ...], answer: str) -> None:
    done = overnight(work, *words, code=2)
    assert answer in done.stderr and done.stderr.count("\n") == 1


def test_words_that_are_understood_as_well(trained: Workspace) -> None:
    assert overnight(trained, "help").stdout == overnight(trained, "--help").stdout
    assert overnight(trained, "help", "status").stdout == overnight(trained, "status", "--help").stdout
    for option in (("--base_out_dir", "experiments"), ("--base-out-dir=experiments",)):
        assert "2 completed" in overnight(trained, *option, "status").stdout
    for option in (("--config", "config/a.py"), ("--config=config/a.py",)):
        out = overnight(trained, *option, "--train_script", "train.py", "--dry-run").stdout
        assert "1 job would run" in out
    out = overnight(trained, "run", "config/a.py", "--train_script", "train.py", "--config", "x", "--dry-run", code=2)
    assert "did you mean --configs?" in out.stderr  # the configs are named already


def test_the_beginning_of_a_name_is_enough(trained: Workspace) -> None:
    overnight(trained, "run", "config/a.py", "--train_script", "train.py", "--name", "night")
    overnight(trained, "run", "config/a.py", "--train_script", "train.py", "--name", "nine")
    for words in (("status", "nig"), ("tail", "nig", "a"), ("attach", "nig"), ("stop", "nig"), ("rerun", "nig", "a"),
                  ("resume", "nig"), ("table", "nig"), ("table", "exper")):  # fmt: skip
        overnight(trained, *words)
    for words in (("status", "ni"), ("table", "ni"), ("resume", "ni")):
        err = overnight(trained, *words, code=2).stderr
        assert "several batches begin like this: " in err and "nine_" in err and "night_" in err
    assert "night_" in overnight(trained, "status", "nigth", code=2).stderr


def test_the_latest_batch_is_the_default(trained: Workspace) -> None:
    assert overnight(trained, "table").stdout == overnight(trained, "table", "latest").stdout
    overnight(trained, "rerun", "b")
    assert (trained.batch / "b" / "attempt_1").exists()
