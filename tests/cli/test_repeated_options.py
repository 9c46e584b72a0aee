"""An option that is given twice adds up, or is an error: no value that was given is lost."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from runner.cli.arguments import parse
from runner.cli.options import parser
from runner.cli.parser import GIVEN, command_parser
from runner.core.errors import UserError
from tests.conftest import PROJECT, Workspace

#: Two files with rules for why a job failed.
RULES = (PROJECT / "runner/supervisor/causes.toml", PROJECT / "runner/supervisor/../supervisor/causes.toml")
#: An option that takes several values -> two of them.
LISTS = {
    "configs": ("c/a.py", "c/b.py"), "observers": ("x", "y"), "notify": ("x", "y"), "warm_imports": ("x", "y"),
    "exclude": ("x*", "y*"), "subdir": ("x", "y"),
    "extensions": ("yaml", "json"), "retry_on": ("failed", "signal"),
    "not_secret": ("a_key", "b_key"), "extend": ("a=1", "b=2"),
    "search": ("pruner=asha", "confirm=3"), "gpu_ignore_user": ("anna", "ben"), "gpu_ignore_pid": (1, 2),
    "slurm_setup": ("module load a", "module load b"), "slurm_extra": ("x=1", "y=2"), "slurm_export": ("A", "B"),
    "checkpoints": ("*.a", "*.b"), "metric_patterns": ("a=(?P<a>.*)", "b=(?P<b>.*)"),
}  # fmt: skip
VALUES = {"grace": ("1,2,3", "4,5,6"), "log_timestamps": ("all", "none"), "slurm_snapshot": ("on", "off"),
          "slurm_summary": ("on", "off"),
          "only": ("failed", "pending"),
          "mode": ("training", "simulation"), "on_nan": ("stop", "continue"), "oom_keys": ("a,b", "c,d"),
          "gpu_memory": ("1GiB", "2GiB"), "gpu_ids": ("uuid", "index"), "causes": RULES}  # fmt: skip
SHOWN = {"gpu_memory": (1024, 2048)}  # MiB
ACTIONS = [action for action in parser()._actions if action.option_strings and action.nargs != 0]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.dest)
def test_every_option_that_takes_a_value(action: argparse.Action) -> None:
    first, second = (LISTS | VALUES).get(action.dest, ("1", "2"))
    option, other = action.option_strings[0], action.option_strings[-1]
    words = [option, str(first), f"{other}={second}", *([] if action.dest == "configs" else ["--configs", "c/a.py"])]
    if action.dest in LISTS:
        found = getattr(parser().parse_known_args(words)[0], action.dest)
        assert found == [first, second] or found == f"{first},{second}"
        return
    try:
        errors = parse(words).errors
    except UserError as error:
        errors = error.problems
    (found,) = (error for error in errors if "given 2 times" in error)
    first, second = SHOWN.get(action.dest, (first, second))
    assert found.startswith(f"--{action.dest}: ") and f"as {first} and {second}" in found


@pytest.mark.parametrize("words", [("--lr", "1", "--lr=2"), ("--n-layer", "1", "--n_layer", "2"),
                                   ("--batch-size=1", "--batch_size=2")])  # fmt: skip
def test_a_key_that_is_given_twice_in_either_spelling(words: tuple[str, ...]) -> None:
    (error,) = parse(["--configs", "c/a.py", *words]).errors
    assert "is given 2 times, as 1 and 2; give it once" in error


def test_a_flag_may_be_repeated_since_nothing_is_lost() -> None:
    arguments = parse(["--configs", "c/a.py", "--dry-run", "--dry_run", "--verbose", "--verbose"])
    assert arguments.given.dry_run and arguments.errors == [] and not hasattr(arguments.given, GIVEN)


def test_an_option_of_a_command_too() -> None:
    given = command_parser("x", "")
    given.add_argument("--base_out_dir")
    given.add_argument("batch", nargs="?")
    assert given.parse_args(["--base_out_dir", "a", "b"]).batch == "b"
    with pytest.raises(UserError, match="--base_out_dir: is given 2 times, as a and b; give it once"):
        given.parse_args(["--base_out_dir", "a", "--base_out_dir=b"])


@pytest.mark.parametrize("text", ["-1e-3", "-1", "-.5", "-inf", "-1e3,2"])
def test_a_negative_value_is_not_an_option(text: str) -> None:
    assert parse(["--configs", "c/a.py", "--learning_rate", text, "--shift", text]).overrides == {
        "learning_rate": text, "shift": text,
    }  # fmt: skip


def test_a_config_is_not_taken_for_the_value_of_a_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c").mkdir()
    (tmp_path / "c/a.py").write_text("")
    (error,) = parse(["--amp", "c/a.py", "--configs", "c/b.py"]).errors
    assert error.startswith("--amp: is c/a.py its value, or a config") and "--amp=c/a.py" in error
    assert parse(["--amp=c/a.py", "--configs", "c/b.py"]).overrides == {"amp": "c/a.py"}
    assert parse(["--data", "c/a.py", "--configs", "d/b.py"]).overrides == {"data": "c/a.py"}


def test_all_configs_that_are_named_are_run(work: Workspace) -> None:
    work.write("t.py", "")
    for name in "abc":
        work.write(f"c/{name}.yaml", "x: 1\n")
    done = work.run("run", "c/a.yaml", "--configs", "c/b.yaml", "--train_script", "t.py", "--configs=c/c.yaml", code=0)
    assert sorted(work.summary["results"]) == ["a", "b", "c"], done.stdout
    done = work.run("--configs", "c/a.yaml", "--train_script", "t.py", "--timeout", "5", "--timeout", "7", code=2)
    assert "--timeout: is given 2 times, as 5 and 7; give it once" in done.stderr


def test_a_program_in_runners_has_defaults_that_the_command_line_replaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runners import runner_lib

    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    found: list[list[str]] = []
    monkeypatch.setattr(runner_lib.runpy, "run_path", lambda *_, **__: found.append(runner_lib.sys.argv[1:]))
    given = ["--config_root", "other", "--dataset-name=x", "--subdir", "y"]
    monkeypatch.setattr(runner_lib.sys, "argv", ["run_IMAGE.py", *given])
    runner_lib.run_subdirectory(str(PROJECT / "runners/run_IMAGE.py"), dataset_name="VECTOR", lr=1)
    assert found == [["--subdir=IMAGE", "--lr=1", *given]]
