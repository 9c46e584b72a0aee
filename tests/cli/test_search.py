"""A search through the real command line: what is suggested, what is recorded, how it is resumed after a kill."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from runner.search.space import COMPLETE, Search, Trial, name
from runner.search.suggest import suggest
from tests.conftest import PROJECT, Workspace, read

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

JOB = """\
import json, math, pathlib, sys, yaml
values = yaml.safe_load(open(sys.argv[1]))
out = next(word[10:] for word in sys.argv if word.startswith('--out_dir='))
if values['n'] == 99: sys.exit(3)
loss = (math.log10(values['lr']) + 3) ** 2 + values['n']
pathlib.Path(out, 'metrics.jsonl').write_text(json.dumps({'iter': 1, 'val_loss': loss}) + '\\n')
"""
SPEC: dict[str, Any] = {
    "name": "find",
    "base_config": "base.yaml",
    "train_script": "job.py",
    "search": {
        "lr": {"log": [1e-5, 1e-1]}, "n": {"int": [2, 12, 2]}, "metric": "val_loss", "trials": 12,
    },
}  # fmt: skip


@pytest.fixture
def search(work: Workspace) -> Workspace:
    work.write("job.py", JOB)
    work.write("base.yaml", "lr: 0.1\nn: 2\nother: {deep: [1, two]}\n")
    return spec(work)


def spec(work: Workspace, **changes: object) -> Workspace:
    entry = {**SPEC, "search": {**SPEC["search"], **changes}}
    work.write("s.yaml", yaml.safe_dump({key: value for key, value in entry.items() if value is not None}))
    return work


def loss(params: Mapping[str, Any]) -> float:
    return float((math.log10(params["lr"]) + 3) ** 2 + params["n"])


def suggested(work: Workspace) -> list[dict[str, Any]]:
    """The settings of the trials, as the plan has them."""
    jobs = read(work.batch / "plan.json")["jobs"]
    return [{key: job["config"][key] for key in ("lr", "n")} for job in jobs]


def expected(entry: Search, values: Mapping[str, float]) -> list[dict[str, Any]]:
    """What an undisturbed search with one worker suggests, whose trials reach these values."""
    known: list[Trial] = []
    for number in range(len(values)):
        params = suggest(entry, number, known)
        known.append(Trial(number, params, COMPLETE, values[name(number)]))
    return [dict(trial.params) for trial in known]


#: The same loss as a program that starts in a millisecond.
AWK = """awk -F': ' '/^lr/ { x = log($2) / log(10) + 3 } /^n/ { n = $2 }
END { printf "{\\"iter\\": 1, \\"val_loss\\": %.17g}\\n", x * x + n }' "$1" > "$2/metrics.jsonl"
"""


def test_a_search_that_is_killed_twenty_times_suggests_what_an_undisturbed_one_does(search: Workspace) -> None:
    search.write("job.sh", AWK)
    entry = {**SPEC, "command": "sh job.sh {config} {out_dir}", "search": {**SPEC["search"], "trials": 22}}
    entry["search"]["sampler"] = "tpe"
    search.write("s.yaml", yaml.safe_dump({key: value for key, value in entry.items() if key != "train_script"}))
    command = [sys.executable, "-m", "tests.cli.killed_search", "20"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    ran = subprocess.run(
        command, cwd=search.folder, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert ran.returncode == 0 and ran.stdout.endswith("killed 20\n"), ran.stdout + ran.stderr

    found = read(search.batch / "search.json")
    values = {one["name"]: one["value"] for one in found["ordered"]}
    assert (found["evaluated"], found["failed"]) == (22, 0) and list(values.values()) == sorted(values.values())
    plan = Search.from_json(read(search.batch / "plan.json")["origin"]["search"])
    assert suggested(search) == expected(plan, values)
    assert (search.batch / "best").resolve() == search.batch / found["best"]["name"]
    assert f"best is {found['best']['name']}, whose lowest val_loss was" in ran.stdout
    for number, params in enumerate(suggested(search)):
        assert values[name(number)] == pytest.approx(loss(params))
        assert replayed(read(search.batch / name(number) / "trial.json")) == params
        written = yaml.safe_load((search.batch / name(number) / "config_used.yaml").read_text())
        assert written == {**params, "other": {"deep": [1, "two"]}}


def replayed(record: Mapping[str, Any]) -> dict[str, Any]:
    """The suggestion of a trial.json, from what it says that was known."""
    known = [Trial(one["number"], one["params"], one["state"], one["value"]) for one in record["known"]]
    return suggest(Search.from_json(record["search"]), record["number"], known)


def test_with_more_workers_each_suggestion_can_be_repeated_and_a_resume_may_ask_for_more(search: Workspace) -> None:
    spec(search, trials=9, seed=5, sampler="tpe")
    search.run("--exp", "s.yaml", "--max_workers", 3, "--limit", 3, code=0)
    assert len(suggested(search)) == 3
    search.run("--resume", "--trials", 4, code=0)
    assert len(suggested(search)) == 4
    spec(search, trials=5, seed=5, sampler="tpe", lr={"log": [1e-4, 1e-3]})
    search.run("--exp", "s.yaml", "--resume", code=0)
    assert len(suggested(search)) == 5 and 1e-4 <= suggested(search)[4]["lr"] <= 1e-3
    for number in range(5):
        assert replayed(read(search.batch / name(number) / "trial.json")) == suggested(search)[number]
    spec(search, goal="max")
    refused = search.run("--exp", "s.yaml", "--resume", code=2)
    assert "search.goal was min when it began, and is max" in refused.stderr


def test_a_failed_trial_does_not_end_the_search_and_counts_as_failed(search: Workspace) -> None:
    spec(search, n={"choice": [2, 99]}, sampler="grid", lr={"choice": [0.1, 0.01]}, trials=9)
    search.run("--exp", "s.yaml", code=1)
    failed = search.batch / "configs/trial_0001.yaml"
    before = failed.read_text()
    failed.write_text(before.replace("99", "98"))
    edited = search.run("--resume", "--trials", 5, code=2).stderr
    assert "n 99 -> 98" in edited and "--accept_changes" in edited
    found = read(search.batch / "search.json")
    assert (found["evaluated"], found["failed"], found["trials"]) == (4, 2, 4)
    assert [one["value"] for one in found["ordered"]] == [3.0, 6.0, None, None]


def test_a_metric_that_no_trial_reports_ends_the_search_with_its_name(search: Workspace) -> None:
    spec(search, metric="accuracy")
    ended = search.run("--exp", "s.yaml", code=1)
    assert "trial_0000: does not report the metric 'accuracy'; it has val_loss; correct search.metric" in ended.stderr
    assert len(suggested(search)) == 1


def test_settings_of_a_search_are_checked_before_the_start(search: Workspace) -> None:
    spec(search, lr={"log": [0, 1]}, goal="least", enqueue=[{"m": 1}], trials=0)
    lines = search.run("--exp", "s.yaml", code=2).stderr
    for part in ("search.lr: the limits of log must be above 0", "search.goal: must be one of min, max",
                 "search.trials: must be a whole number from 1"):  # fmt: skip
        assert part in lines
    spec(search, enqueue=[{"m": 1}, {"n": 3}], sampler="grid")
    lines = search.run("--exp", "s.yaml", code=2).stderr
    for part in ("'m' is not searched", "3 is not in the range of n", "search.lr: a grid needs single values"):
        assert part in lines
    assert json.loads(search.run("--exp", spec_path(search), "--dry-run", "--json", code=0).stdout)["jobs"]


def spec_path(work: Workspace) -> str:
    spec(work)
    return "s.yaml"


def test_a_search_of_a_foreign_command_gets_a_config_and_a_folder_of_its_own_for_each_trial(search: Workspace) -> None:
    search.write("other.py", JOB.replace("--out_dir=", "--target=").replace("word[10:]", "word[9:]"))
    changed = {"train_script": None, "command": f"{sys.executable} other.py {{config}} --target={{out_dir}}"}
    entry = {**SPEC, **changed, "search": {**SPEC["search"], "trials": 2}}
    search.write("s.yaml", yaml.safe_dump({key: value for key, value in entry.items() if value is not None}))
    search.run("--exp", "s.yaml", code=0)
    found = read(search.batch / "search.json")["ordered"]
    assert {one["name"]: one["value"] for one in found} == {
        name(number): pytest.approx(loss(params)) for number, params in enumerate(suggested(search))
    }


def test_after_its_time_no_further_trial_is_started(search: Workspace) -> None:
    spec(search, time="0.001s")
    search.run("--exp", "s.yaml", code=0)
    assert len(suggested(search)) == 1


def test_the_best_trials_run_again_with_other_seeds_and_both_numbers_are_told(search: Workspace) -> None:
    search.write("job.py", JOB.replace("+ values['n']\n", "+ values['n'] + values.get('seed', 0) / 100\n"))
    spec(search, trials=3)
    flags = ("--search_confirm", 2, "--search", "confirm_seeds=2", "--max_workers", 2)
    refused = search.run("--exp", "s.yaml", *flags, code=2).stderr
    assert "s.yaml: search.confirm: trials are confirmed with other seeds, and the config has none; add seed" in refused
    search.write("base.yaml", "lr: 0.1\nn: 2\nother: {deep: [1, two]}\nseed: 0\n")
    ended = search.run("--exp", "s.yaml", *flags, "--search", "seed=3", code=0).stdout
    found = read(search.batch / "search.json")
    best = [one["name"] for one in found["ordered"][:2]]
    assert (found["evaluated"], len(found["ordered"]), found["seed"]) == (3, 3, 3)
    assert [one["name"] for one in found["confirmed"]] == best
    for one in found["confirmed"]:
        name_, value = one["name"], one["value"]
        assert one["again"] == {f"{name_}_seed_{seed}": pytest.approx(value + seed / 100) for seed in (1, 2)}
        assert one["mean"] == pytest.approx(value + 0.015) and one["std"] > 0
        both = f"val_loss {value:.6g} in the search, {one['mean']:.6g} ± {one['std']:.6g} in 2 runs"
        assert f"{name_}: {both} with other seeds" in ended
    search.run("--resume", code=0)
    assert len(read(search.batch / "plan.json")["jobs"]) == 7
    search.run("--exp", "s.yaml", "--resume", "--trials", 4, code=0)  # what was given beside the spec is kept
    names = [job["name"] for job in read(search.batch / "plan.json")["jobs"]]
    assert "trial_0003" in names and read(search.batch / "search.json")["seed"] == 3


ARGPARSE = """\
import argparse, json, math, pathlib
parser = argparse.ArgumentParser()
parser.add_argument('--lr', type=float, default=0.1)
parser.add_argument('--n', type=int, default=2, choices=range(2, 13))
parser.add_argument('--out_dir', required=True)
given = parser.parse_args()
line = json.dumps({'iter': 1, 'val_loss': (math.log10(given.lr) + 3) ** 2 + given.n})
pathlib.Path(given.out_dir, 'metrics.jsonl').write_text(line + '\\n')
"""
NANOGPT = """\
import json, math, pathlib
lr = 0.1
n = 2
out_dir = 'out'
exec(open('configurator.py').read())
line = json.dumps({'iter': 1, 'val_loss': (math.log10(lr) + 3) ** 2 + n})
pathlib.Path(out_dir, 'metrics.jsonl').write_text(line + '\\n')
"""
#: What nanoGPT's does, in short.
CONFIGURATOR = """\
import sys
for word in sys.argv[1:]:
    if not word.startswith('--'): exec(open(word).read())
    else: globals()[word[2:].partition('=')[0]] = word.partition('=')[2]
"""


@pytest.mark.parametrize(("script", "base"), [(ARGPARSE, "lr: 0.1\n"), (NANOGPT, "lr = 0.1\n")])
def test_a_search_of_a_script_checks_its_keys_and_values_and_each_trial_gets_its_own(
    work: Workspace, script: str, base: str
) -> None:
    config = "base.yaml" if ":" in base else "base.py"
    work.write(config, base)
    work.write("train.py", script)
    work.write("configurator.py", CONFIGURATOR)
    about = {**SPEC, "base_config": config, "train_script": "train.py"}
    wrong = {"lr": {"log": [1e-5, 0.1]}, "m": {"int": [1, 3]}, "metric": "val_loss"}
    work.write("s.yaml", yaml.safe_dump({**about, "search": wrong}))
    refused = work.run("--exp", "s.yaml", code=2).stderr
    assert "'m'" in refused and "s.yaml:" in refused
    work.write("s.yaml", yaml.safe_dump({**about, "search": {**SPEC["search"], "trials": 2}}))
    work.run("--exp", "s.yaml", code=0)
    found = read(work.batch / "search.json")["ordered"]
    assert len(found) == 2
    assert all(one["value"] == pytest.approx(loss(one["params"])) for one in found)
    sweep = {key: value for key, value in about.items() if key != "search"}
    work.write("s.yaml", yaml.safe_dump({**sweep, "sweep": {"m": [1, 2]}}))
    assert "'m'" in work.run("--exp", "s.yaml", code=2).stderr
