"""plan.json: a plan that is read back is the plan that was written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.plan_kind import PlanKind
from runner.disk import plan_file
from runner.planners import recorded, sweep


def planned(root: Path) -> Plan:
    config = root.parent / "easy.py"
    config.write_text("lr = 0.1\n")
    job = Job(
        name="easy",
        argv=("python", "train.py", "easy.py", f"--out_dir={root / 'easy'}", "--lr=0.2"),
        out_dir=root / "easy",
        config={"lr": 0.2, "layers": [1, 2], "name": None},
        overrides={"lr": "0.2"},
        changes={"lr": (0.1, 0.2)},
        source=config,
        source_argument="easy.py",
        script=root.parent / "train.py",
        snapshot="config_used.py",
        env={"PYTHONUNBUFFERED": "1"},
        cwd=root.parent,
        rerun=("python", "run_experiments.py", "--configs", "easy.py"),
        resume_args=("--init_from=resume",),
        disk_bytes=1000,
    )
    options = RunOptions(timeout=60.0, retries=2, max_workers=3)
    origin = {"experiment": "lr", "flags": {"show": "True"}}
    created_at = "2026-11-26T00:00:00.000+00:00"
    return Plan("lr", root, (job,), sweep.KIND, created_at, {"lr": "0.2"}, ("a note",), options, origin)


def test_a_plan_that_is_read_back_is_equal(tmp_path: Path) -> None:
    plan = planned(tmp_path / "batch")
    plan.root.mkdir()
    plan_file.write(plan)
    found = recorded.plan(plan.root)
    assert found == plan
    assert found.jobs[0].fingerprint == plan.jobs[0].fingerprint
    assert found.jobs[0].files == {"config_used.py": b"lr = 0.1\n"}


def test_a_plan_of_an_unknown_kind_can_be_read(tmp_path: Path) -> None:
    plan = replace(planned(tmp_path / "batch"), kind=PlanKind("of_a_plugin"))
    plan.root.mkdir()
    plan_file.write(plan)
    assert recorded.plan(plan.root).kind == PlanKind("of_a_plugin")


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (lambda record: {**record, "schema": 99}, "another version"),
        (lambda record: {key: record[key] for key in record if key != "jobs"}, "cannot be read"),
        (lambda record: [], "cannot be read"),
    ],
)
def test_a_record_that_cannot_be_used_is_one_sentence(tmp_path: Path, damage, cause: str) -> None:
    plan = planned(tmp_path / "batch")
    plan.root.mkdir()
    (plan.root / "plan.json").write_text(json.dumps(damage(plan_file.to_json(plan))))
    with pytest.raises(UserError, match=cause) as caught:
        recorded.plan(plan.root)
    assert len(caught.value.problems) == 1


def test_a_folder_without_a_plan_is_not_a_batch(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a batch"):
        recorded.plan(tmp_path)


def test_the_secrets_of_a_command_are_missed_when_it_is_read_back_also_in_a_plan_of_0_1_0(tmp_path: Path) -> None:
    plan = planned(tmp_path / "batch")
    words = ("python", "t.py", "--hf_token", "hush", "--glob=data/***/x")
    plan = replace(plan, jobs=(replace(plan.jobs[0], argv=words, rerun=("run", "--hf_token=hush", "--x")),))
    plan.root.mkdir()
    plan_file.write(plan)
    record = json.loads((plan.root / "plan.json").read_text())
    assert record["jobs"][0]["unrecorded"] == ["hf_token"] and "hush" not in json.dumps(record)
    found = recorded.plan(plan.root).jobs[0]
    assert (found.unrecorded, found.rerun) == (("hf_token",), ("run", "--hf_token=YOUR_TOKEN", "--x"))
    assert found.fingerprint == plan.jobs[0].fingerprint
    del record["jobs"][0]["unrecorded"]
    record["jobs"][0]["rerun"] = ["run", "--hf_token=***", "--x"]
    (plan.root / "plan.json").write_text(json.dumps(record))
    earlier = recorded.plan(plan.root).jobs[0]
    assert (earlier.unrecorded, earlier.rerun) == (found.unrecorded, found.rerun)


def test_a_job_keeps_the_fingerprint_of_its_record(tmp_path: Path) -> None:
    plan = planned(tmp_path / "batch")
    plan.root.mkdir()
    record = plan_file.to_json(plan)
    record["jobs"][0]["fingerprint"] = "0123456789abcdef"
    (plan.root / "plan.json").write_text(json.dumps(record))
    assert recorded.plan(plan.root).jobs[0].fingerprint == "0123456789abcdef"


def test_a_plan_has_the_number_of_its_format(tmp_path: Path) -> None:
    """It is a part of the format: batches of earlier versions have it too."""
    assert plan_file.to_json(planned(tmp_path / "batch"))["schema"] == 1
