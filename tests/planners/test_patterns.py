"""Patterns of configs, and the names that jobs get from them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runner.planners.names import distinct
from runner.planners.patterns import natural
from tests.conftest import PROJECT, RUN_EXPERIMENTS, Workspace


def test_quoted_patterns_are_expanded_in_natural_order(echo: Workspace) -> None:
    for number in (1, 2, 10):
        echo.write(f"d/run{number}.py", "")
    echo.write("d/deep/er/run3.py", "")
    echo.run("--configs", "d/run*.py", "--train_script", "echo.py", code=0)
    assert list(echo.summary["results"]) == ["run1", "run2", "run10"]
    echo.run("--configs", "c/a.py", "d/**/run*.py", "--train_script", "echo.py", code=0)
    assert list(echo.summary["results"]) == ["a", "run3", "run1", "run2", "run10"]


def test_the_same_file_twice_runs_once(echo: Workspace) -> None:
    (echo / "link.py").symlink_to(echo / "c/a.py")
    echo.run("--configs", "c/a.py", "c/*.py", "./c/a.py", "link.py", "--train_script", "echo.py", code=0)
    assert list(echo.summary["results"]) == ["a"]


def test_unquoted_patterns_come_expanded_by_the_shell(echo: Workspace) -> None:
    echo.write("c/b.py", "")
    command = f"{sys.executable} {RUN_EXPERIMENTS} --configs c/*.py --train_script echo.py"
    subprocess.run(command, shell=True, cwd=echo.folder, check=True, capture_output=True)
    assert list(echo.summary["results"]) == ["a", "b"]


def test_a_name_with_brackets_is_a_name_if_it_exists(echo: Workspace) -> None:
    echo.write("c/x[1].py", "")
    echo.run("--configs", "c/x[1].py", "--train_script", "echo.py", code=0)
    assert list(echo.summary["results"]) == ["x[1]"]


def test_a_pattern_that_matches_nothing_shows_the_nearest_names(echo: Workspace) -> None:
    done = echo.run("--configs", "c/aa.py", "k/*.py", "--train_script", "echo.py", code=2)
    assert "c/aa.py: no file has this name; nearest: c/a.py" in done.stderr
    assert "k/*.py: no file matches; nearest:" in done.stderr
    assert not (echo / "experiments").exists()


def test_a_folder_is_not_a_config_and_the_pattern_is_shown(echo: Workspace) -> None:
    assert '"c/*.py"' in echo.run("--configs", "c", "--train_script", "echo.py", code=2).stderr


def test_the_projects_scripts_among_the_matches_are_named_and_left_out(echo: Workspace) -> None:
    done = subprocess.run(
        [sys.executable, str(RUN_EXPERIMENTS), "--configs", "*.py", "--dry-run"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "configurator.py, overnight_plugins.py, run_experiments.py, sample.py" in done.stderr
    assert "config/" in done.stderr
    scripts = ("c/a.py", PROJECT / "train_run.py", "echo.py")
    done = echo.run("--configs", *scripts, "--train_script", "echo.py", "--dry-run", code=0)
    assert "own scripts" in done.stdout.splitlines()[0] and "1 job would run" in done.stdout


def test_a_bare_name_is_found_among_the_projects_configs(work: Workspace) -> None:
    done = work.run("--configs", "easy_first.py", "moderate_first.py", "--batch_size", 16, "--dry-run", code=0)
    assert "config/shkspr_char_diff/easy_first.py" in done.stdout and "moderate_first" in done.stdout


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/x.py", "b/x.py"], ["a-x", "b-x"]),
        (["a/x.py", "a/y.py"], ["x", "y"]),
        (["p/a/x.py", "q/a/x.py", "b/x.py"], ["p-a-x", "q-a-x", "q-b-x"]),
        (["r/a/x.py", "r/a/x.yaml"], ["x-py", "x-yaml"]),
        (["plan.json.py", "x.py"], ["plan.json-2", "x"]),
        (["-rf.py", "..py", "a\nb.py"], ["_rf", "_", "a_b"]),
    ],
)
def test_names_are_distinct_readable_and_safe(paths: list[str], names: list[str]) -> None:
    if paths[0].startswith("p/"):
        paths = ["/p/a/x.py", "/q/a/x.py", "/q/b/x.py"]
    found = distinct([Path("/" + path.lstrip("/")) for path in paths], {"plan.json"})
    assert found == names or paths[0].startswith("r/")
    assert len({name.casefold() for name in found}) == len(paths)


def test_a_very_long_name_becomes_a_folder_that_can_be_made(echo: Workspace) -> None:
    echo.write(f"c/{'ü' * 120}.py", "")
    echo.write(f"c/{'ü' * 119}v.py", "")
    echo.run("--configs", "c/ü*.py", "--train_script", "echo.py", code=0)
    assert echo.summary["completed"] == 2


def test_natural_order() -> None:
    assert sorted(["b10", "b2", "a", "b1"], key=natural) == ["a", "b1", "b2", "b10"]
