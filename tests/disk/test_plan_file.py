"""plan.json: a plan that is read back is the plan that was written."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.plan_kind import PlanKind
from runner.disk import plan_file
from runner.disk.moved import Move
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


@pytest.mark.parametrize(
    ("place", "value", "why"),
    [
        (("jobs",), [], "jobs is a list, not a list of jobs"), (("jobs",), 3, "jobs is 3, not a list"),
        (("options", "checkpoints"), ["../x"], "options.checkpoints is a list, not a list of patterns"),
        (("options", "metric_patterns"), ["("], "options.metric_patterns is a list, not a list of regular expressions"),
        (("options", "metric_patterns"), ["a", "a{99999999999}"], "not a list of regular expressions"),
        (("origin", "mode"), 3, "origin.mode is 3, not a text"), (("origin", "spec"), [], "origin.spec is a list"),
        (("origin", "config_root"), 3, "origin.config_root is 3"),
        (("origin", "working_dir"), 3, "origin.working_dir is 3"),
        (("origin", "arguments"), [1], "origin.arguments is a list, not a list of texts"),
        (("origin", "flags"), {"a": 1}, "origin.flags is an object, not an object of texts"),
        (("origin", "others"), [{"name": 1}], "origin.others[0].name is 1"),
        (("origin", "others"), [{"name": "a"}], "origin.others[0].config_path is missing"),
        (("jobs", 0, "name"), "../x", 'jobs[0].name is "../x", not the name of a folder'),
        (("jobs", 0, "name"), "/x", "not the name of a folder"),
        (("jobs", 0, "name"), "a//b", "not the name of a folder"),
        (("jobs", 0, "config_words"), {"x": "a"}, "jobs[0].config_words is an object, not an object whose keys"),
        (("jobs", 0, "config_words"), {"²": "a"}, "not an object whose keys are numbers"),
        (("jobs", 0, "config_words"), {"1" * 10: "a"}, "not an object whose keys are numbers"),
        (("jobs", 0, "disk_bytes"), -1, "jobs[0].disk_bytes is -1, not a whole number from 0 on"),
        (("jobs", 0, "command"), None, "jobs[0].command is missing"), (("created_at",), None, "created_at is missing"),
        (("jobs", 0, "fingerprint"), None, "jobs[0].fingerprint is missing"),
        (("schema",), 2, "another version (schema 2)"),
    ],
)  # fmt: skip
def test_an_odd_entry_of_a_plan_is_named(tmp_path: Path, place: tuple[str | int, ...], value: object, why: str) -> None:
    plan = planned(tmp_path / "batch")
    plan.root.mkdir()
    record: Any = plan_file.to_json(plan)
    inner = record
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    (plan.root / "plan.json").write_text(json.dumps(record))
    with pytest.raises(UserError) as refused:
        recorded.plan(plan.root)
    assert why in str(refused.value) and str(refused.value).startswith(f"{plan.root}/plan.json: ")


def test_a_plan_of_an_earlier_version_lacks_entries_and_a_copied_config_is_read(tmp_path: Path) -> None:
    plan = planned(tmp_path / "batch")
    source = plan.jobs[0].source
    plan = replace(
        plan, jobs=(replace(plan.jobs[0], copy_words={0: "py", 999999999 % 2: "x"}),), files={"in/spec.yaml": b"s"}
    )
    plan_file.write(plan)
    assert (plan.root / "in/spec.yaml").read_bytes() == b"s"
    assert source is not None and recorded.plan(plan.root).jobs[0].copy_words == {0: "py", 1: "x"}
    assert plan_file.read(plan.root, PlanKind, contents=False).jobs[0].files == {}
    source.unlink()
    assert recorded.plan(plan.root).jobs[0].files == {}
    (plan.root / "easy").mkdir()
    (plan.root / "easy/config_used.py").write_bytes(b"copy")
    (plan.root / "easy/config_resolved.yaml").write_bytes(b"whole")
    assert recorded.plan(plan.root).jobs[0].files == {"config_used.py": b"copy", "config_resolved.yaml": b"whole"}
    record = json.loads((plan.root / "plan.json").read_text())
    for key in ("changed_from", "config_words", "disk_bytes", "planned_as", "volatile", "runs_resolved"):
        del record["jobs"][0][key]
    del record["origin"], record["working_dir"], record["notices"]
    (plan.root / "plan.json").write_text(json.dumps(record))
    found = recorded.plan(plan.root)
    assert (found.origin, found.cwd, found.notices) == ({}, plan.jobs[0].cwd, ()) and found.jobs[0].disk_bytes == 0
    assert (
        found.jobs[0].changes == {"lr": (None, 0.2)}
        and found.jobs[0].volatile == ()
        and not found.jobs[0].runs_resolved
    )
    before = (plan.root / "plan.json").stat().st_mtime_ns
    os.utime(plan.root / "plan.json", ns=(1, 1))
    plan_file.touch(plan.root)
    assert (plan.root / "plan.json").stat().st_mtime_ns >= before and plan_file.exists(plan.root)
    assert not plan_file.exists(tmp_path)
    (plan.root / "plan.json").chmod(0)
    if os.getuid():
        with pytest.raises(UserError, match="belongs to another user"):
            recorded.plan(plan.root)


def test_a_batch_that_was_moved_runs_what_is_beside_it_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for name in ("train.py", "c/easy.py", "other.txt"):
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).touch()
    one = Job(
        "easy",
        ("python", str(old / "train.py"), "c/easy.py", f"--out_dir={old}/experiments/b/easy", "experiments/b/easy",
        str(old / "other.txt"),
         str(old / "gone"), "experiments/b/easy_2"),
        old / "experiments/b/easy", source=old / "c/easy.py", source_argument="c/easy.py", script=old / "train.py",
        snapshot="config_used.py", cwd=old, env={"A": f"{old}/experiments/x", "B": "/y", "C": "z"},
    )  # fmt: skip
    move = Move(old / "experiments/b", new / "experiments/b")
    found = move.job(one, "f")
    assert (found.out_dir, found.cwd, found.source) == (new / "experiments/b/easy", new, new / "c/easy.py")
    assert (found.script, found.source_argument, found.planned_as) == (new / "train.py", "c/easy.py", "f")
    assert found.env == {"A": f"{new}/experiments/x", "B": "/y", "C": "z"} and found.fingerprint == "f"
    assert found.argv[1:] == (
        "train.py" if found.argv[1] == "train.py" else str(new / "train.py"), "c/easy.py",
        f"--out_dir={new}/experiments/b/easy",
        "experiments/b/easy", str(new / "other.txt"), str(old / "gone"), "experiments/b/easy_2",
    )  # fmt: skip
    (new / "c/easy.py").unlink()
    assert move.job(one, "f").source == old / "c/easy.py"
    copy = new / "experiments/b/easy/config_used.py"
    copy.parent.mkdir(parents=True)
    copy.touch()
    assert move.job(one, "f").source == copy
    copy.with_name("config_resolved.yaml").touch()
    assert move.job(one, "f").source == copy.with_name("config_resolved.yaml")
    assert move.job(replace(one, snapshot=None), "f").source == old / "c/easy.py"
    assert move.job(replace(one, source=None), "f").source_argument is None
    monkeypatch.chdir(tmp_path)
    gone = Move(tmp_path / "gone/b", tmp_path / "here/b")
    assert gone.folder(tmp_path / "gone/work") == tmp_path and gone.path(Path("/x/y")) == Path("/x/y")
    assert gone.path(tmp_path / "gone/b/c") == tmp_path / "here/b/c"
    program = move.job(replace(one, argv=("no-such-python", "train.py")), "f").argv[0]
    assert program == sys.executable and move.job(replace(one, argv=("sh", "x")), "f").argv[0] == "sh"
    assert move.job(replace(one, argv=("no-such", "x"), script=None), "f").argv[0] == "no-such"
