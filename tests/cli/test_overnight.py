"""The command of its own: from any folder, with words instead of options, and without a checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import PROJECT, Workspace

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
    help_ = overnight(work, "--help").stdout
    for group in ("inputs", "config overrides", "execution", "output", "resume", "sweeps", "trees"):
        assert f"\n{group}:\n" in help_
    assert "--batch-size VALUE" in help_ and "--batch_size," not in help_  # one spelling of each option
    assert "usage:" in overnight(work, "status", "--help").stdout
    assert overnight(work, "run", "--help").stdout == help_


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
