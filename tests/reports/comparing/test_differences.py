"""What two jobs differ in, and where their curves part."""

from __future__ import annotations

from typing import Any

from runner.reports.comparing.curves import Parting, curves, partings
from runner.reports.comparing.differences import JobRecord, differences
from runner.reports.comparing.differences_text import lines

NAN = float("nan")
GIT = {"commit": "a" * 40, "branch": "main", "dirty": False}


def job(name: str, config: dict[str, Any], loss: float, provenance: dict[str, Any], values: list[float]) -> JobRecord:
    row = {"name": name, "status": "completed", **config, "val/loss": loss, "seconds": 1.0, "out_dir": f"/b/{name}"}
    about = {"experiment_dir": f"/b/{name}", **provenance} if provenance else {}
    return JobRecord(row, about, curves({"iter": 10 * step, "val/loss": value} for step, value in enumerate(values)))


def test_curves_part_at_the_first_step_with_another_value() -> None:
    one = {"a": {0: 1.0, 10: 2.0, 20: 3.0}, "b": {0: NAN, 10: 1.0}, "c": {5: 1.0}, "only": {0: 1.0}}
    other = {"a": {0: 1.0, 20: 3.5, 30: 1.0}, "b": {0: NAN, 10: 1.0}, "c": {0: 1.0}}
    assert partings(one, other) == [Parting("a", 2, 1, 20, 3.0, 3.5), Parting("b", 2, 2)]
    (found,) = partings({"a": {0: 1.0}}, {"a": {0: NAN}})
    assert found.step == 0


def test_a_repeated_step_counts_as_it_was_the_last_time() -> None:
    rows = [{"iter": 1, "val/loss": 5.0}, {"iter": 2, "val/loss": 4.0}, {"iter": 1, "val/loss": 3.0}]
    assert curves(rows) == {"val/loss": {1: 3.0, 2: 4.0}}
    assert curves([{"val/loss": 1.0}, {"step": 3, "val/loss": None}]).keys() == {"val/loss"}


def test_settings_code_environment_and_results_are_compared() -> None:
    about = {
        "git": GIT,
        "host": "h",
        "packages": {"torch": "2.8"},
        "environment": {"RUNNER_JOB_ID": "1", "D": "/b/a/x"},
    }
    other = {**about, "packages": {"torch": "2.9"}, "environment": {"RUNNER_JOB_ID": "2", "D": "/b/b/x"}}
    found = differences(
        job("a", {"lr": 0.1, "same": 1}, 2.0, about, [3, 2.5, 2]),
        job("b", {"lr": 0.2, "same": 1, "new": [1]}, 2.5, other, [3, 2.5, 2.4]),
        frozenset({"val/loss"}),
    )
    assert [(it.key, it.one, it.other) for it in found.settings] == [("lr", 0.1, 0.2), ("new", None, [1])]
    assert [it.key for it in found.environment] == ["packages.torch"] and found.code == ()
    assert [it.key for it in found.results] == ["val/loss"]
    assert (found.compared, found.commit, found.dirty) == (3, "a" * 40, False)
    text = "\n".join(lines(found, ["a", "b"], 80))
    assert "Settings: 2 of 3 differ" in text and "the same commit aaaaaaaaaaaa\n" in text
    assert "val/loss: parts at step 20: 2 and 2.4; equal at 2 earlier common steps" in text


def test_another_commit_and_code_that_was_not_committed_are_said() -> None:
    def text(first: dict[str, Any], second: dict[str, Any]) -> str:
        found = differences(job("a", {}, 1.0, first, []), job("b", {}, 1.0, second, []), frozenset({"val/loss"}))
        return "\n".join(lines(found, ["a", "b"], 80))

    assert "not the same commit" in text({"git": GIT}, {"git": {**GIT, "commit": "b" * 40}})
    assert "had changes that were not" in text({"git": GIT}, {"git": {**GIT, "dirty": True}})
    assert "not recorded of both jobs" in text({"git": GIT}, {})
    assert "Environment: equal" in text({"git": GIT}, {"git": GIT})


def test_values_that_differ_late_are_shown_with_all_digits() -> None:
    found = differences(job("a", {}, 1.0, {}, [1.0]), job("b", {}, 1.0, {}, [1.0 + 1e-12]), frozenset({"val/loss"}))
    assert "1.0 and 1.000000000001" in "\n".join(lines(found, ["a", "b"], 80))
