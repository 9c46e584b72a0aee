"""Jobs and results as a batch of thousands keeps them: what is read of them is what was put in, types included."""

from __future__ import annotations

import copy
import pickle
import sys
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.core.config import Config
from runner.core.job import Job
from runner.core.packed import from_row, in_a_row, packed, unpacked
from runner.core.result import Result

VALUES: list[Any] = [
    {}, {"a": 1}, {"b": 2.5, "a": True, "c": None}, {"a": [1, (2, "x"), {"b": {"c": b"\0"}}], "b": "\udce9é"},
    {"nan": float("inf"), "large": 10**40, "zero": -0.0}, {"a": {1: "key that is not a text"}},
]  # fmt: skip


@pytest.mark.parametrize("values", VALUES, ids=repr)
@pytest.mark.parametrize(("keep", "read"), [(packed, unpacked), (in_a_row, from_row)])
def test_the_values_of_a_mapping_are_the_same_again(values: Any, keep: Any, read: Any) -> None:
    found = read(keep(values))
    assert repr(found) == repr(values) and found == values and list(found) == list(values)
    assert type(keep(values)) is tuple


@pytest.mark.parametrize(
    "values", [{"a": array("d", [1.0])}, {"a": [Path("x")]}, {"a": {"b": Config(c=1)}}, Config(a=1), {"a": {1, 2}}]
)
def test_what_is_not_plain_is_kept_as_it_is(values: Any) -> None:
    assert packed(values) is values and unpacked(values) is values


def full_job(number: int) -> Job:
    folder = Path("/experiments/night") / f"job_{number}"
    return Job(
        f"job_{number}", ("python", "train.py", f"c/{number}.py"), folder,
        config={"lr": 0.5 * number, "layers": [1, 2], "model": {"name": "small"}}, overrides={"lr": "0.5"},
        changes={"lr": (0.1, 0.5)}, source=Path(f"c/{number}.py"), script=Path("train.py"), snapshot="config_used.py",
        copy_words={2: "copy"}, bases={Path("base.yaml"): b"a: 1"}, files={"config_used.py": b"lr = 0.5"},
        env={"PYTHONUNBUFFERED": "1", "WANDB_DIR": str(folder)}, cwd=Path("/work"), rerun=("again",),
    )  # fmt: skip


def test_a_job_has_what_it_was_made_of() -> None:
    one = full_job(1)
    assert one.out_dir == Path("/experiments/night/job_1") and type(one.out_dir) is type(Path())
    assert (one.source, one.script, one.cwd) == (Path("c/1.py"), Path("train.py"), Path("/work"))
    assert one.config == {"lr": 0.5, "layers": [1, 2], "model": {"name": "small"}} and one.changes == {"lr": (0.1, 0.5)}
    assert one.copy_words == {2: "copy"} and one.bases == {Path("base.yaml"): b"a: 1"}
    assert one.files == {"config_used.py": b"lr = 0.5"} and one.env["WANDB_DIR"] == "/experiments/night/job_1"
    for other in (full_job(1), replace(one), copy.copy(one), pickle.loads(pickle.dumps(one))):
        assert other == one and other.fingerprint == one.fingerprint
    assert full_job(2) != one and Job("a", (), Path("a")).source is None


def test_a_job_does_not_change_with_what_was_read_of_it_or_what_it_was_made_of() -> None:
    config: dict[str, Any] = {"layers": [1]}
    job = Job("a", (), Path("a"), config=config)
    config["layers"].append(2)
    job.config["layers"].append(3)
    assert job.config == {"layers": [1]}


def test_what_jobs_have_in_common_is_kept_once() -> None:
    jobs = [full_job(number) for number in range(2)]
    kept = [vars(Job)["config"]._slot.__get__(job) for job in jobs]
    assert kept[0][0] is kept[1][0] and sys.getsizeof(kept[0][1]) < 120


def test_a_result_that_is_kept_is_the_same_result() -> None:
    result = Result({"status": "failed", "error": None, "warnings": ["a"], "log_files": {"stdout": "a/stdout.log"}})
    kept = result.kept()
    assert kept == result and kept.to_json() == result.to_json() and kept.warnings == ("a",)
    assert kept.updated(status="error") == result.updated(status="error") and repr(kept) == repr(result)
