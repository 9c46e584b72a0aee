"""The program of docs/hydra.md and the commands below it."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.conftest import PROJECT, Workspace, read
from tests.hydra.programs import run

pytestmark = pytest.mark.slow

pytest.importorskip("hydra")
pytest.importorskip("optuna")


@pytest.fixture
def commands(work: Workspace) -> list[list[str]]:
    """The words of each command after `python`; the program is written."""
    text = (PROJECT / "docs" / "hydra.md").read_text()
    program = re.search(r"<!-- example: app.py -->\n```python\n(.*?)```", text, re.DOTALL)
    below = re.search(r"<!-- commands: app.py -->\n```bash\n(.*?)```", text, re.DOTALL)
    assert program is not None and below is not None
    work.write("app.py", program[1])
    return [shlex.split(line)[1:] for line in below[1].replace("\\\n", "").splitlines()]


def test_each_job_gets_the_word_of_the_program(work: Workspace, commands: list[list[str]]) -> None:
    run(work, *commands[0])
    for number in range(2):
        argv = read(work / f"given/{number}/experiment_metadata.json")["command"]
        assert argv[argv.index("--scale") + 1] == "2"
    assert read(work / "given/experiment_summary.json")["completed"] == 2


def test_a_missing_value_is_found_before_the_first_job(work: Workspace, commands: list[list[str]]) -> None:
    _, err = run(work, *commands[1], code=1)
    assert "lr has no value (???) in every job" in err
    assert not (work / "missing/0/experiment_result.json").exists() and "Traceback" not in err


def test_an_objective_that_is_nan_is_a_failed_trial(work: Workspace, commands: list[list[str]]) -> None:
    out, err = run(work, *commands[2])
    assert (work / "trials/optimization_results.yaml").exists() and "Traceback" not in err
    assert read(work / "trials/experiment_summary.json")["completed"] == 3
    assert out.count("Failed experiment: ") in (1, 2)
