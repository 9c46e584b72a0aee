"""Configs of other people's programs, and values that change: what is planned, recorded, run and resumed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import yaml

from runner.cli import planning
from runner.cli.arguments import parse
from runner.configs.config_file import DIGEST
from runner.core import checkout
from runner.core.canonical import tagged, untagged
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.disk import attempts, layout, plan_file
from runner.planners import changes, recorded, tree
from tests.configs.test_training_script import CONFIGURATOR
from tests.conftest import Workspace, read

checkout.load_plugins()

NANO = """
import os
out_dir = 'out'
learning_rate = 1e-3
batch_size = 12
wandb_run_name = 'gpt2'
exec(open('configurator.py').read())
print(learning_rate, batch_size, wandb_run_name)
raise SystemExit(0 if os.path.exists('mended') else 1)
"""
FINETUNE = "import time\nwandb_run_name = 'ft-' + str(time.time())\nbatch_size = 3\n"
DRAWN = "import random\nlearning_rate = round(10 ** random.uniform(-4, -2), 12)\ndevice = 'cpu'\n"
RUNS = "s.yaml", "name: s\nmode: training\nbase_config: c/a.py\n"


@pytest.fixture
def here(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(work.folder)
    work.write("nano.py", NANO)
    work.write("configurator.py", CONFIGURATOR)
    return work


def plan(*words: str, before: Plan | None = None) -> Plan:
    return planning.plan(parse(words), before)


def written(planned: Plan) -> Plan:
    """The plan as it is read back."""
    planned.root.mkdir(parents=True)
    plan_file.write(planned)
    return recorded.plan(planned.root)


# Values that are others each time


def test_nanogpts_own_finetune_config_is_resumed(here: Workspace) -> None:
    here.write("c/ft.py", FINETUNE)
    done = here.run("--configs", "c/ft.py", "--train_script", "nano.py", code=1)
    assert done.stdout.count("wandb_run_name is another value at each evaluation") == 1
    metadata = read(here.batch / "ft/experiment_metadata.json")
    assert metadata["volatile"] == ["wandb_run_name"] and metadata["config"]["batch_size"] == 3
    assert "wandb_run_name" not in metadata["config"]
    here.write("mended", "")
    here.run("--resume", code=0)
    assert here.result("ft")["attempt"] == 2
    here.run("--resume", code=0)
    assert here.result("ft")["attempt"] == 2


def test_an_override_of_such_a_value_counts(here: Workspace) -> None:
    here.write("c/ft.py", FINETUNE)
    planned = plan("--configs", "c/ft.py", "--train_script", "nano.py", "--wandb_run_name", "mine")
    assert planned.jobs[0].config["wandb_run_name"] == "mine" and not planned.jobs[0].volatile
    assert not any("another value" in notice for notice in planned.notices)


def test_another_change_is_still_found(here: Workspace) -> None:
    here.write("c/ft.py", FINETUNE)
    before = written(plan("--configs", "c/ft.py", "--train_script", "nano.py"))
    here.write("c/ft.py", FINETUNE.replace("= 3", "= 4"))
    with pytest.raises(UserError, match="batch_size 3 -> 4") as raised:
        changes.reread(before, {"ft"}, accept=False)
    assert "wandb_run_name" not in str(raised.value)
    here.write("c/ft.py", "wandb_run_name = 'fixed'\nbatch_size = 3\n")
    with pytest.raises(UserError, match='wandb_run_name null -> "fixed"'):
        changes.reread(before, {"ft"}, accept=False)


def resolved(job: Job) -> dict[str, Any]:
    """The settings in the file that the job's command names."""
    words = attempts.command(job, None)
    assert str(job.out_dir / layout.RESOLVED) in words and str(job.source_argument) not in words
    found: dict[str, Any] = yaml.safe_load(job.files[layout.RESOLVED])
    return found


def test_our_trainer_gets_the_values_that_were_recorded(here: Workspace) -> None:
    here.write("c/r.py", DRAWN)
    planned = plan("--configs", "c/r.py")
    job = planned.jobs[0]
    assert job.volatile == ("learning_rate",) and resolved(job)["learning_rate"] == job.config["learning_rate"]
    assert any("learning_rate is another value" in notice for notice in planned.notices)
    before = written(planned)
    again = changes.reread(before, {"r"}, accept=False)
    assert again.jobs[0].config == job.config and resolved(again.jobs[0]) == resolved(job)
    assert again.jobs[0].fingerprint == job.fingerprint


def test_our_trainer_gets_the_values_of_whatever_was_executed(here: Workspace) -> None:
    here.write("c/m.py", "import math\nlearning_rate = math.sqrt(4) / 1000\ndevice = 'cpu'\n")
    here.write("c/plain.py", "learning_rate = 1e-3\ndevice = 'cpu'\n")
    here.write("c/derived.yaml", "base: m.py\nbatch_size: 3\n")
    executed, plain, derived = plan("--configs", "c/m.py", "c/plain.py", "c/derived.yaml").jobs
    assert resolved(executed)["learning_rate"] == resolved(derived)["learning_rate"] == 0.002
    assert str(plain.source_argument) in attempts.command(plain, None) and not plain.runs_resolved


@pytest.mark.slow
def test_what_was_recorded_is_what_our_trainer_runs(here: Workspace) -> None:
    settings = {
        "training_type": "unmasking", "dataset": "pydoc_char", "eval_interval": 5, "eval_iters": 1, "batch_size": 4,
        "block_size": 32, "n_layer": 1, "n_head": 2, "n_embd": 32, "device": "cpu", "log_interval": 1,
        "unmasking_stages": [{"type": "random", "max_masked_ratio": 0.3, "val_loss_stale_count": 1}],
    }  # fmt: skip
    text = "".join(f"{key} = {value!r}\n" for key, value in settings.items())
    here.write("c/r.py", f"import random\n{text}max_iters = random.choice(range(5, 60))\n")
    here.run("--configs", "c/r.py", code=0, env={"OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"})
    recorded_iters = read(here.batch / "r/experiment_metadata.json")["config"]["max_iters"]
    rows = [json.loads(line) for line in (here.batch / "r/metrics.jsonl").read_text().splitlines()]
    assert {row["max_iters"] for row in rows if "max_iters" in row} == {recorded_iters}


def test_a_tree_that_is_planned_again_keeps_the_recorded_values(here: Workspace) -> None:
    here.write("config/set/r.py", DRAWN)
    words = ("--config-root", "config", "--subdir", "set", "--extensions", "py")
    before = written(plan(*words))
    now = tree.joined(plan(*words), before)
    assert now.jobs[0].config == before.jobs[0].config
    assert resolved(now.jobs[0])["learning_rate"] == before.jobs[0].config["learning_rate"]


def test_a_sweep_over_such_a_base_is_resumed_with_the_same_values(here: Workspace) -> None:
    here.write("c/a.py", "import random\nlearning_rate = random.random()\nwandb_run_name = 'x'\n")
    spec = here.write("s.yaml", f"{RUNS[1]}sweep: {{batch_size: [1, 2]}}\n")
    words = ("--exp", "s.yaml", "--train_script", "nano.py")
    before = written(plan(*words))
    rates = {job.config["learning_rate"] for job in before.jobs}
    assert len(rates) == 1 and all(job.volatile == ("learning_rate",) for job in before.jobs)
    assert changes.replanned(before, plan(*words, before=before), accept=False) is before
    spec.write_text(f"{RUNS[1]}sweep: {{batch_size: [1, 2, 3]}}\n")
    now = changes.replanned(before, plan(*words, before=before), accept=True)
    assert [(job.name, job.config["batch_size"]) for job in now.jobs] == [
        ("run_000", 1),
        ("run_001", 2),
        ("run_002", 3),
    ]
    assert [job.config for job in now.jobs[:2]] == [job.config for job in before.jobs]
    assert [job.fingerprint for job in now.jobs[:2]] == [job.fingerprint for job in before.jobs]
    text = now.files["configs/run_000.py"].decode()
    assert f"learning_rate = {rates.pop()!r}" in text


# Opaque configs

SCRIPT = """\
import argparse
lr = 0.1
parser = argparse.ArgumentParser()
parser.add_argument("--out", required=True)
open("executed", "a").write("x")
if __name__ == "__main__":
    print(lr, parser.parse_args())
"""


def test_each_config_may_be_a_training_script(here: Workspace) -> None:
    here.write("exp/one.py", SCRIPT)
    here.write("exp/two.py", SCRIPT.replace("0.1", "0.2"))
    command = ("--configs", "exp/*.py", "--command", "{python} {config} --out {out_dir}")
    shown = here.run(*command, "--dry-run", code=0).stdout
    assert "exp/one.py, exp/two.py: not read completely" in shown and not (here / "executed").exists()
    here.run(*command, code=0)
    assert (here / "executed").read_text() == "xx"  # by the jobs
    assert read(here.batch / "one/experiment_metadata.json")["config"].keys() == {"lr", DIGEST}
    here.run("--resume", code=0)
    assert (here / "executed").read_text() == "xx"


@pytest.mark.parametrize(
    ("name", "text"), [("c/a.py", SCRIPT), ("c/a.yaml", "lr: 1\n---\nlr: 2\n"), ("c/a.toml", "lr = 1\n")]
)
def test_a_change_of_what_is_not_known_is_found(here: Workspace, name: str, text: str) -> None:
    here.write(name, text)
    before = written(plan("--configs", name, "--command", "true {config}"))
    assert changes.reread(before, {"a"}, accept=False).jobs == before.jobs
    here.write(name, text + "\n# more\n")
    with pytest.raises(UserError, match=f"{name}: its content has changed"):
        changes.reread(before, {"a"}, accept=False)
    now = changes.reread(before, {"a"}, accept=True)
    assert now.jobs[0].config[DIGEST] != before.jobs[0].config[DIGEST]


def test_a_batch_of_a_version_that_executed_its_configs_is_resumed(here: Workspace) -> None:
    here.write("c/a.py", "import math\nlr = 0.1\nroot = math.sqrt(4)\n")
    planned = plan("--configs", "c/a.py", "--command", "true {config}")
    then = replace(planned.jobs[0], config={"lr": 0.1, "root": 2.0})
    before = written(replace(planned, jobs=(then,)))
    then.out_dir.mkdir()
    (then.out_dir / "config_used.py").write_bytes(then.files["config_used.py"])
    assert changes.reread(before, {"a"}, accept=False).jobs == before.jobs


@pytest.mark.parametrize(
    "script", ["import argparse\np = argparse.ArgumentParser()\np.parse_known_args()\n", "print(1)\n"]
)
def test_the_config_of_an_argparse_or_unknown_script_is_not_executed(here: Workspace, script: str) -> None:
    here.write("train.py", script)
    here.write("c/a.py", "lr = 0.1\nopen('executed', 'w')\n")
    here.write("c/b.toml", "lr = 0.1\n")
    planned = plan("--configs", "c/a.py", "c/b.toml", "--train_script", "train.py", "--lr", "1")
    assert not (here / "executed").exists() and planned.jobs[0].changes == {"lr": (0.1, 1)}


def test_the_base_of_a_sweep_is_not_executed_for_a_command(here: Workspace) -> None:
    here.write("c/a.py", "lr = 0.1\nopen('executed', 'w')\n")
    here.write("s.yaml", f"{RUNS[1]}sweep: {{lr: [1, 2]}}\n")
    with pytest.raises(UserError, match=r"s\.yaml:3: c/a\.py: a sweep needs all of its values"):
        plan("--exp", "s.yaml", "--command", "true {config}")
    assert not (here / "executed").exists()


# How long an evaluation may take


@pytest.mark.parametrize("text", ["0", "-1", "inf", "soon"])
def test_the_time_limit_is_a_number_of_seconds(here: Workspace, text: str) -> None:
    assert any(
        error.startswith("--config_timeout: ") for error in parse(["--configs", "x", f"--config_timeout={text}"]).errors
    )


def test_the_time_limit_reaches_every_evaluation(here: Workspace) -> None:
    here.write("c/a.py", "import time\ntime.sleep(float(open('pause').read()))\n")
    here.write("pause", "60")
    words = ("--configs", "c/a.py", "--train_script", "nano.py", "--config-timeout", "1")
    with pytest.raises(UserError, match=r"c/a\.py: did not finish within 1 s; .*--config_timeout"):
        plan(*words)
    here.write("pause", "0")
    before = written(plan(*words))
    here.write("pause", "60")
    with pytest.raises(UserError, match="did not finish within 1 s"):
        changes.reread(before, {"a"}, accept=False)


# Numbers that JSON does not have


def test_a_job_with_a_number_that_is_not_finite_stays_completed(here: Workspace) -> None:
    here.write("c/n.yaml", "clip: .inf\nlow: [1, -.inf, {x: .nan}]\n")
    here.run("--configs", "c/n.yaml", "--command", "true {config}", code=0)
    for name in ("plan.json", "n/experiment_metadata.json", "n/experiment_result.json"):
        json.loads((here.batch / name).read_text(), parse_constant=pytest.fail)  # no reader of JSON must know inf
    assert "1 completed" in here.run("status", code=0).stdout
    here.run("--resume", code=0)
    assert here.result("n")["attempt"] == 1
    here.run("rerun", here.batch.name, "n", code=0)
    (row,) = json.loads(here.run("table", here.batch, "--json", code=0).stdout)
    assert row["name"] == "n"


def test_a_plan_that_has_null_for_such_a_number_is_resumed(here: Workspace) -> None:
    here.write("c/n.yaml", "clip: .inf\n")
    planned = plan("--configs", "c/n.yaml", "--command", "true {config}")
    path = planned.root / layout.PLAN
    written(planned)
    record = read(path)
    record["jobs"][0]["config"] = {"clip": None}  # as version 0.1.0 wrote it
    path.write_text(json.dumps(record))
    before = recorded.plan(planned.root)
    assert before.jobs[0].fingerprint == planned.jobs[0].fingerprint
    assert changes.reread(before, {"n"}, accept=False).jobs[0].config == {"clip": float("inf")}


@pytest.mark.parametrize(
    "value",
    [float("inf"), float("-inf"), [float("inf")], {"a": {"b": [float("nan"), 1]}}, {"$float": "inf"},
     {"$dict": [["a", 1]]}, {"$float": float("inf")}, {"$float": 1, "x": float("inf")}, {"$dict": {"$dict": None}}],
)  # fmt: skip
def test_json_values_survive_a_record(value: Any) -> None:
    text = json.dumps(tagged(value), allow_nan=False)
    assert repr(untagged(json.loads(text))) == repr(value)


# Keys of a sweep

PLACES = [
    ("sweep: {seed: [0, 1]}", "s.yaml:4: unknown key 'seed'; nano.py does not define it"),
    ("sweep: {batchsize: [0, 1]}", "s.yaml:4: unknown key 'batchsize'; did you mean 'batch_size'?"),
    (
        "zip: {learning_rat: [0.1], batch_size: [1]}",
        "s.yaml:4: unknown key 'learning_rat'; did you mean 'learning_rate'?",
    ),
    ("fixed_overrides: {colour: 1}", "s.yaml:4: unknown key 'colour'; nano.py does not define it"),
    (
        "sweep: {batch_size: [1]}\ninclude:\n- {batch_size: 2}\n- {shade: 3}",
        "s.yaml:7: unknown key 'shade'; nano.py does",
    ),
    ("repeat: 3", "s.yaml:4: unknown key 'seed'; nano.py does not define it"),
    ("sweep: {own: [1, 2]}", "s.yaml:4: unknown key 'own'; nano.py does not define it"),
]


@pytest.mark.parametrize(("lines", "sentence"), PLACES)
def test_a_sweep_key_that_a_nanogpt_script_does_not_have_is_an_error(
    here: Workspace, lines: str, sentence: str
) -> None:
    here.write("c/a.py", "own = 3\n")
    here.write("s.yaml", f"{RUNS[1]}{lines}\n")
    with pytest.raises(UserError) as raised:
        plan("--exp", "s.yaml", "--train_script", "nano.py")
    assert [problem for problem in raised.value.problems if problem.startswith(sentence)], raised.value.problems
    assert len(raised.value.problems) == 1


ARGPARSE = """\
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("config")
parser.add_argument("--out_dir")
parser.add_argument("--lr", type=float)
parser.parse_args()
"""


def test_a_sweep_key_that_neither_an_argparse_script_nor_its_config_has_is_an_error(here: Workspace) -> None:
    here.write("train.py", ARGPARSE)
    here.write("c/a.py", "depth = 3\n")
    here.write("s.yaml", f"{RUNS[1]}sweep: {{lr: [0.1], depth: [1], detph: [1]}}\n")
    with pytest.raises(UserError) as raised:
        plan("--exp", "s.yaml", "--train_script", "train.py")
    assert raised.value.problems == ("s.yaml:4: unknown key 'detph'; did you mean 'depth'?",)
    here.write("train.py", ARGPARSE.replace("parse_args", "parse_known_args"))
    assert len(plan("--exp", "s.yaml", "--train_script", "train.py").jobs) == 1
