"""The worked example of docs/library.md, changed as the table below it says."""

from __future__ import annotations

import re

import pytest

from tests.conftest import PROJECT, Workspace
from tests.library_script import run

pytestmark = pytest.mark.slow

TOTALS = "[6.0, 12.0] [0. 0. 0.] [4, 4]\n"


@pytest.fixture
def example(work: Workspace) -> str:
    text = (PROJECT / "docs" / "library.md").read_text()
    found = re.search(r"<!-- example: changes.py -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found is not None and f"prints `{TOTALS.strip()}`" in text
    work.write("main.py", found[1])
    return found[1]


def test_what_does_not_count_computes_nothing(work: Workspace, example: str) -> None:
    assert run(work).stdout == TOTALS
    work.write("main.py", example.replace('"num_workers": 4', '"num_workers": 8').replace("# changes", "# does change"))
    done = run(work)
    assert done.stdout == TOTALS and "2 from the cache" in done.stderr and "Stale" not in done.stderr


def test_a_global_value_that_changed_makes_results_stale(work: Workspace, example: str) -> None:
    run(work)
    work.write("main.py", example.replace('"factor": 2.0', '"factor": 3.0'))
    done = run(work)
    assert done.stdout == TOTALS and "Stale: the code has changed since seed 1, seed 2 were computed" in done.stderr
    assert run(work, "--code", "rerun").stdout == "[9.0, 18.0] [0. 0. 0.] [4, 4]\n"


def test_results_of_a_renamed_function_are_adopted(work: Workspace, example: str) -> None:
    run(work)
    changed = example.replace("config.start +=", "assert config.net.width\n    config.start +=")
    work.write("main.py", changed.replace("def train(", "def fit(").replace("train.", "fit."))
    done = run(work, "--adopt", "train")
    assert done.stdout == TOTALS and "Adopted from train: " in done.stderr and "2 from the cache" in done.stderr


def test_two_files_of_one_name_share_nothing(work: Workspace, example: str) -> None:
    run(work)
    work.write("other/main.py", example.replace('"factor": 2.0', '"factor": 3.0'))
    done = run(work, program="other/main.py", code=1)
    assert "holds a result of main.train" in done.stderr and "give each its own output_dir" in done.stderr


def test_an_experiment_that_runs_itself_fails_instead_of_waiting(work: Workspace, example: str) -> None:
    work.write("main.py", example.replace("    config.start +=", "    train.run([])\n    config.start +=", 1))
    done = run(work, code=1)
    assert "train calls itself with an equal config, and would wait for itself; change a key" in done.stderr


def test_an_isolated_config_gets_the_options_of_python(work: Workspace, example: str) -> None:
    work.write("main.py", example.replace('"total": SCALE', '"total": __debug__ + SCALE'))
    assert run(work, "main.py", "--isolate", program="-O").stdout == TOTALS
