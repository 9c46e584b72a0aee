"""Jobs and results as a batch of thousands keeps them: what is read of them is what was put in, types included."""

from __future__ import annotations

import copy
import pickle
import sys
from array import array
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.core import packed as module
from runner.core.config import Config
from runner.core.job import Job
from runner.core.packed import from_row, in_a_row, packed, squeezed, unpacked, unsqueezed
from runner.core.result import Result

VALUES: list[Any] = [
    {}, {"a": 1}, {"b": 2.5, "a": True, "c": None}, {"a": [1, (2, "x"), {"b": {"c": b"\0"}}], "b": "\udce9é"},
    {"nan": float("inf"), "large": 10**40, "zero": -0.0}, {"a": {1: "key that is not a text"}},
]  # fmt: skip


@pytest.mark.parametrize("values", VALUES, ids=repr)
@pytest.mark.parametrize(("keep", "read"), [(packed, unpacked), (squeezed, unsqueezed), (in_a_row, from_row)])
def test_the_values_of_a_mapping_are_the_same_again(values: Any, keep: Any, read: Any) -> None:
    found = read(keep(values))
    assert repr(found) == repr(values) and found == values and list(found) == list(values)
    assert type(keep(values)) in (tuple, bytes)


@pytest.mark.parametrize(
    "values", [{"a": array("d", [1.0])}, {"a": [Path("x")]}, {"a": {"b": Config(c=1)}}, Config(a=1), {"a": {1, 2}}]
)
def test_what_is_not_plain_is_kept_as_it_is(values: Any) -> None:
    assert packed(values) is values and unpacked(values) is values
    assert squeezed(values) is values and unsqueezed(values) is values


def test_more_kinds_of_mappings_than_have_a_number_are_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KINDS", 0)
    values = {"a key that no other mapping has": 1, "and one more": [1, "x"]}
    assert unpacked(packed(values)) == values and unsqueezed(squeezed(values)) == values


def test_threads_that_keep_mappings_of_new_kinds_at_the_same_time_do_not_confuse_them() -> None:
    def keep(number: int) -> bool:
        mappings = [{f"key {kind}": number, f"other {kind}": kind} for kind in range(100)]
        return [unsqueezed(kept) for kept in map(squeezed, mappings)] == mappings

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(keep, range(32)))


def test_of_long_texts_that_mappings_have_in_common_little_is_kept() -> None:
    folders = [f"/experiments/night/with/a/long/name/job_{number:05}" for number in range(20)]
    kept = [squeezed({"stdout": f"{it}/stdout.log", "stderr": f"{it}/stderr.log", "folder": it}) for it in folders]
    assert all(type(one) is bytes and len(one) < 40 for one in kept[1:])


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
    recorded = one.with_fingerprint("recorded")
    assert recorded == one and recorded.fingerprint == "recorded" != one.fingerprint
    assert recorded.files == one.files and recorded.copy_words == one.copy_words  # which are not compared
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
    assert kept[0][0] == kept[1][0] and sys.getsizeof(kept[0]) < 120


def test_a_result_that_is_kept_is_the_same_result() -> None:
    result = Result({"status": "failed", "error": None, "warnings": ["a"], "log_files": {"stdout": "a/stdout.log"}})
    kept = result.kept()
    assert kept == result and kept.to_json() == result.to_json() and kept.warnings == ("a",)
    assert kept.updated(status="error") == result.updated(status="error") and repr(kept) == repr(result)
    assert pickle.loads(pickle.dumps(kept)) == result and copy.deepcopy(kept) == result
