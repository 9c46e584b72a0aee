"""A sweep spec through the real command line: what runs, what is recorded, how it is resumed."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT, Workspace, read, wait_until
from tests.sweeps import SCRIPT, SPEC, done, prepare

pytestmark = pytest.mark.slow

RUNS = ["run_000", "run_001", "run_002", "run_003"]


@pytest.fixture
def sweep(work: Workspace) -> Workspace:
    return prepare(work)


def experiment(work: Workspace) -> dict[str, Any]:
    return read(work.batch / "experiment.json")


def statuses(work: Workspace) -> list[str]:
    return [run["status"] for run in experiment(work)["runs"]]


def config(work: Workspace, number: int) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((work.batch / "configs" / f"run_{number:03d}.yaml").read_text())
    return found


def test_the_grid_runs_in_order_and_leaves_the_documented_files(sweep: Workspace) -> None:
    sweep.run("--exp", "specs/s.yaml", *SCRIPT, code=0)
    assert re.fullmatch(r"lr_sweep_\d{8}_\d{6}", sweep.batch.name)
    assert done(sweep) == RUNS
    assert [(config(sweep, n)["lr"], config(sweep, n)["kind"]) for n in range(4)] == [
        (0.001, "plain"), (0.001, "on"), (0.1, "plain"), (0.1, "on"),
    ]  # fmt: skip
    found = experiment(sweep)
    assert (found["name"], found["mode"], found["spec"]) == ("lr_sweep", "training", "specs/s.yaml")
    for number, run in enumerate(found["runs"]):
        assert run["name"] == RUNS[number] and run["status"] == run["outcome"] == "completed"
        assert run["started_at"] < run["completed_at"] and run["return_code"] == 0
        assert run["config_path"] == str(sweep.batch / "configs" / f"{run['name']}.yaml")
        assert run["run_dir"] == f"runs/here/{run['name']}"
    assert (sweep.batch / "spec.yaml").read_text() == SPEC


def test_the_written_config_is_the_exact_input(sweep: Workspace) -> None:
    sweep.run("--exp", "specs/s.yaml", *SCRIPT, code=0)
    expected = {"lr": 0.001, "layers": [1, 2], "flag": "off", "seed": 3, "kind": "plain"}
    assert config(sweep, 0) == expected
    written = (sweep.batch / "configs" / "run_000.yaml").read_bytes()
    assert (sweep.batch / "run_000" / "config_used.yaml").read_bytes() == written
    stdout = (sweep.batch / "run_000" / "stdout.log").read_text()
    assert all(line in stdout for line in written.decode().splitlines())
    assert sweep.result("run_000")["command"][2:] == [
        f"{sweep.batch}/configs/run_000.yaml", f"--out_dir={sweep.batch}/run_000",
    ]  # fmt: skip


def test_overrides_of_the_command_line_reach_every_run(sweep: Workspace) -> None:
    sweep.run("--exp", "specs/s.yaml", *SCRIPT, "--layers", "[4]", "--limit", 1, code=0)
    assert "--layers=[4]" in sweep.result("run_000")["command"]
    assert sweep.summary["global_overrides"] == {"layers": "[4]"}


def test_a_list_of_configs_is_a_run_each(sweep: Workspace) -> None:
    sweep.write("configs/other.yaml", "lr: 7\n")
    sweep.write("specs/s.yaml", "name: mixed\nmode: training\nconfigs: [configs/base.yaml, configs/other.yaml]\n"
                                "fixed_overrides: {kind: x}\nrepeat: [5, 6]\n")  # fmt: skip
    sweep.run("--exp", "specs/s.yaml", *SCRIPT, code=0)
    found = [(config(sweep, number)["lr"], config(sweep, number)["seed"]) for number in range(4)]
    assert found == [(0.5, 5), (0.5, 6), (7, 5), (7, 6)]
    assert {config(sweep, number)["kind"] for number in range(4)} == {"x"}
    written = (sweep.batch / "configs" / "run_002.yaml").read_text()
    assert written.startswith("# from configs/other.yaml\n")


def test_duplicates_run_with_a_warning(sweep: Workspace) -> None:
    sweep.write("specs/s.yaml", SPEC.replace('[plain, "on"]', "[plain, plain]"))
    out = sweep.run("--exp", "specs/s.yaml", *SCRIPT, code=0).stdout
    assert "2 runs with settings that another one has already: run_001 repeats run_000, run_003 repeats run_002" in out
    assert done(sweep) == RUNS


def test_a_dry_run_is_a_table_of_what_differs_and_writes_nothing(sweep: Workspace) -> None:
    out = sweep.run("--exp", "specs/s.yaml", *SCRIPT, "--dry-run", code=0).stdout
    table = [line.split() for line in out.splitlines() if line.startswith("run")]
    assert table == [
        ["run", "lr", "kind"], ["run_000", "0.001", "plain"], ["run_001", "0.001", "on"],
        ["run_002", "0.1", "plain"], ["run_003", "0.1", "on"],
    ]  # fmt: skip
    assert not (sweep / "experiments").exists()


def test_a_run_that_fails_does_not_stop_the_sweep(sweep: Workspace) -> None:
    sweep.write("specs/s.yaml", SPEC.replace('kind: [plain, "on"]', "wrong: [true, false]"))
    out = sweep.run("--exp", "specs/s.yaml", *SCRIPT, code=1).stdout
    assert done(sweep) == RUNS and statuses(sweep) == ["failed", "completed"] * 2
    first = experiment(sweep)["runs"][0]
    assert (first["return_code"], first["run_dir"], first["outcome"]) == (3, None, "failed")
    again = next(line for line in out.splitlines() if "again" in line)
    assert f"run_experiments.py rerun experiments/{sweep.batch.name} run_000" in again


# Going on


def test_repeated_calls_with_a_limit_progress_to_the_end(sweep: Workspace) -> None:
    limited = ("--exp", "specs/s.yaml", "--limit", 3)
    sweep.run(*limited, *SCRIPT, code=0)
    assert done(sweep) == RUNS[:3] and statuses(sweep) == ["completed"] * 3 + ["pending"]
    batch = sweep.batch
    for _ in range(2):  # the second finds nothing left
        sweep.run(*limited, "--resume", code=0)
        assert done(sweep) == RUNS and sweep.batch == batch
    assert statuses(sweep) == ["completed"] * 4


def test_a_run_that_fails_every_time_does_not_hold_up_the_others(sweep: Workspace) -> None:
    sweep.write("specs/s.yaml", SPEC.replace('kind: [plain, "on"]', "wrong: [true, false]"))
    limited = ("--exp", "specs/s.yaml", "--limit", 1)
    sweep.run(*limited, *SCRIPT, code=1)
    sweep.run(*limited, "--resume", code=0)  # another one, which completes
    sweep.run(*limited, "--resume", code=1)
    sweep.run(*limited, "--resume", code=0)
    assert done(sweep) == RUNS
    sweep.run(*limited, "--resume", code=1)
    assert done(sweep) == [*RUNS, "run_000"]


def test_a_dry_run_with_a_limit_shows_what_that_leaves(sweep: Workspace) -> None:
    out = sweep.run("--exp", "specs/s.yaml", *SCRIPT, "--limit", 2, "--dry-run", code=0).stdout
    assert "2 jobs would run" in out and "run_001" in out and "run_002" not in out


def test_settings_of_the_beginning_stay_when_another_is_given_later(sweep: Workspace) -> None:
    sweep.run("--exp", "specs/s.yaml", *SCRIPT, "--layers", "[4]", "--flag", "x", "--limit", 1, code=0)
    err = sweep.run("--exp", "specs/s.yaml", "--resume", "--flag", "y", code=2).stderr
    assert 'run_000: flag "x" -> "y"' in err and "layers" not in err


def test_a_command_of_the_beginning_stays(sweep: Workspace) -> None:
    command = ("--command", f"{sys.executable} job.py {{config}} --out_dir={{out_dir}}")
    sweep.run("--exp", "specs/s.yaml", *command, "--limit", 1, code=0)
    sweep.run("--exp", "specs/s.yaml", "--resume", code=0)
    assert done(sweep) == RUNS


def test_a_secret_of_the_beginning_must_be_given_again(sweep: Workspace) -> None:
    sweep.run("--exp", "specs/s.yaml", *SCRIPT, "--api_key", "abc", "--limit", 1, code=0)
    err = sweep.run("--exp", "specs/s.yaml", "--resume", "--accept_changes", code=2).stderr
    assert err == "run_experiments.py: --api_key: it was a secret and was not written down; give it again\n"


def test_the_experiment_of_another_spec_is_not_gone_on_with(sweep: Workspace) -> None:
    sweep.run("--exp", "specs/s.yaml", *SCRIPT, "--limit", 1, code=0)
    sweep.write("specs/other.yaml", SPEC.replace("lr_sweep", "other"))
    err = sweep.run("--exp", "specs/other.yaml", "--resume", sweep.batch.name, "--accept_changes", code=2).stderr
    assert "is not an experiment of 'other'; name one of its own, or none" in err


def test_runs_keep_their_results_when_a_candidate_is_put_before_them(sweep: Workspace) -> None:
    sweep.run("--exp", "specs/s.yaml", *SCRIPT, code=0)
    sweep.write("specs/s.yaml", SPEC.replace("[1e-3, 0.1]", "[1e-4, 1e-3, 0.1]"))
    err = sweep.run("--exp", "specs/s.yaml", "--resume", code=2).stderr
    assert "run_004: is new" in err and "->" not in err
    sweep.run("--exp", "specs/s.yaml", "--resume", "--accept_changes", code=0)
    assert done(sweep) == [*RUNS, "run_004", "run_005"]
    assert [run["name"] for run in experiment(sweep)["runs"]] == ["run_004", "run_005", *RUNS]
    assert statuses(sweep) == ["completed"] * 6 and config(sweep, 4)["lr"] == 1e-4


def test_a_base_config_is_found_from_another_folder(sweep: Workspace) -> None:
    (sweep / "elsewhere").mkdir()
    sweep.write("specs/near.yaml", "lr: 9\n")
    sweep.write("specs/s.yaml", SPEC.replace("configs/base.yaml", "near.yaml"))
    out = sweep.run("--exp", "specs/s.yaml", *SCRIPT, "--dry-run", code=0).stdout
    assert "run_003" in out
    project = SPEC.replace("configs/base.yaml", "configs/mlp/mlp_digits.yaml")
    sweep.write("specs/s.yaml", project.replace('kind: [plain, "on"]', "scheduler: [cosine, constant]"))
    assert "run_003" in sweep.run("--exp", "specs/s.yaml", "--dry-run", code=0).stdout


def test_resume_without_an_earlier_experiment_begins_one(sweep: Workspace) -> None:
    out = sweep.run("--exp", "specs/s.yaml", *SCRIPT, "--resume", "--limit", 1, code=0).stdout
    assert "there is no experiment of specs/s.yaml yet; this is the first" in out
    assert done(sweep) == RUNS[:1]


def test_resume_takes_the_latest_of_the_name_or_the_one_that_is_named(sweep: Workspace) -> None:
    sweep.run("--exp", "specs/s.yaml", *SCRIPT, "--limit", 1, code=0)
    first = sweep.batch
    sweep.run("--exp", "specs/s.yaml", *SCRIPT, "--limit", 1, code=0)
    second = sweep.batch
    sweep.write("specs/other.yaml", SPEC.replace("lr_sweep", "lr_sweep_2"))
    sweep.run("--exp", "specs/other.yaml", *SCRIPT, "--limit", 1, code=0)
    sweep.run("--exp", "specs/s.yaml", "--resume", "--limit", 1, code=0)
    sweep.run("--exp", "specs/s.yaml", "--resume", first.name, "--limit", 2, code=0)
    completed = {path: read(path / "experiment_summary.json")["completed"] for path in (first, second)}
    assert completed == {first: 3, second: 2}


def test_a_failed_run_is_run_again_and_keeps_its_first_attempt(sweep: Workspace) -> None:
    sweep.write("specs/s.yaml", SPEC.replace('kind: [plain, "on"]', "wrong: [true, false]"))
    sweep.run("--exp", "specs/s.yaml", *SCRIPT, code=1)
    sweep.write("job.py", "import sys\n")
    sweep.run("--exp", "specs/s.yaml", "--resume", code=0)
    assert statuses(sweep) == ["completed"] * 4
    assert [run["attempt"] for run in experiment(sweep)["runs"]] == [2, 1, 2, 1]
    assert (sweep.batch / "run_000" / "attempt_1" / "stdout.log").exists()


@pytest.mark.parametrize("what", ["the spec", "the base config", "a written config"])
def test_what_changed_since_is_refused_with_the_difference_until_that_is_accepted(sweep: Workspace, what: str) -> None:
    sweep.run("--exp", "specs/s.yaml", *SCRIPT, "--limit", 2, code=0)
    if what == "the spec":
        sweep.write("specs/s.yaml", SPEC.replace("[1e-3, 0.1]", "[1e-3, 0.2, 0.3]"))
        expected = ["run_002: lr 0.1 -> 0.2", "run_003: lr 0.1 -> 0.2", "run_004: is new", "run_005: is new"]
    elif what == "the base config":
        sweep.write("configs/base.yaml", "lr: 0.5\nlayers: [3]\nflag: off\n")
        expected = [f"{name}: layers [1, 2] -> [3]" for name in RUNS]
    else:
        path = sweep.batch / "configs" / "run_003.yaml"
        path.write_text(path.read_text().replace("seed: 3", "seed: 4"))
        expected = [f"experiments/{sweep.batch.name}/configs/run_003.yaml: seed 3 -> 4"]
    before = (sweep.batch / "plan.json").read_bytes()
    err = sweep.run("--exp", "specs/s.yaml", "--resume", code=2).stderr
    *lines, last = err.splitlines()
    assert [line.removeprefix("run_experiments.py: ") for line in lines] == expected
    assert last.endswith("use --accept_changes to continue")
    assert (sweep.batch / "plan.json").read_bytes() == before and done(sweep) == RUNS[:2]
    sweep.run("--exp", "specs/s.yaml", "--resume", "--accept_changes", code=0)
    again = {"the spec": ["run_002", "run_003", "run_004", "run_005"], "the base config": RUNS}
    assert done(sweep) == [*RUNS[:2], *again.get(what, RUNS[2:])]
    assert set(statuses(sweep)) == {"completed"}


def test_a_sweep_is_a_batch_like_any_other(sweep: Workspace) -> None:
    sweep.run("--exp", "specs/s.yaml", *SCRIPT, "--limit", 1, code=0)
    assert json.loads(sweep.run("status", "--json", code=0).stdout)["jobs"]["run_001"] == {"status": "pending"}
    sweep.run("--resume", code=0)
    assert done(sweep) == RUNS and statuses(sweep) == ["completed"] * 4


def test_a_sweep_whose_runner_was_killed_can_be_resumed(sweep: Workspace) -> None:
    waiting = "import os, time\nopen('done', 'a').write('x')\nwhile not os.path.exists('go'): time.sleep(0.02)\n"
    sweep.write("job.py", waiting)
    process = sweep.start("--exp", "specs/s.yaml", *SCRIPT, "--grace", "0.3,0.3,5")
    wait_until((sweep / "done").exists, "the first run runs")
    wait_until(lambda: statuses(sweep)[0] == "running", "the record says so")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (sweep / "go").touch()
    sweep.run("--exp", "specs/s.yaml", "--resume", code=0)
    assert statuses(sweep) == ["completed"] * 4


def test_the_command_of_the_sweeps_document_is_the_main_command(sweep: Workspace) -> None:
    import subprocess

    program = PROJECT / "scripts" / "run_experiment.py"
    command = [sys.executable, program, "--exp", "specs/s.yaml", *SCRIPT, "--limit", "1"]
    subprocess.run(command, cwd=sweep.folder, check=True, capture_output=True)
    subprocess.run([*command[:4], "--resume", "--limit", "3"], cwd=sweep.folder, check=True, capture_output=True)
    assert done(sweep) == RUNS and os.access(program, os.X_OK)


def test_the_schema_for_editors_is_that_of_the_code() -> None:
    from runner.planners.sweep_spec import schema

    assert (PROJECT / "docs" / "experiment-spec.schema.json").read_text() == schema()


def test_every_spec_of_the_project_names_the_schema() -> None:
    specs = sorted((PROJECT / "experiments" / "specs").glob("*.yaml"))
    assert specs
    for spec in specs:
        first = spec.read_text().splitlines()[0]
        assert first.startswith("# yaml-language-server: $schema=")
        assert (spec.parent / first.partition("=")[2]).resolve() == Path(PROJECT / "docs/experiment-spec.schema.json")


NESTED = """\
name: nested
base_config: configs/nested.yaml
fixed_overrides: {net.weight_decay: 0.2}
sweep:
  net.depth: [1, 3]
  net.act.name: [relu, gelu]
  flat.key: [5]
exclude: [{net.depth: 3, net.act.name: gelu}]
"""


def test_a_dotted_key_sets_one_key_of_a_section(work: Workspace) -> None:
    prepare(work, NESTED)
    out = work.run("--exp", "specs/s.yaml", *SCRIPT, "--dry-run", code=0).stdout
    assert re.search(r"run +net\.depth +net\.act\.name\n", out) and re.search(r"run_001 +1 +gelu", out)
    work.run("--exp", "specs/s.yaml", *SCRIPT, code=0)
    found = [config(work, number) for number in range(3)]
    assert [(run["net"]["depth"], run["net"]["act"]) for run in found] == [
        (1, {"name": "relu"}), (1, {"name": "gelu"}), (3, {"name": "relu"}),
    ]  # fmt: skip
    assert all(run["net"]["weight-decay"] == 0.2 and (run["lr"], run["flat.key"]) == (0.5, 5) for run in found)


def test_a_plain_key_replaces_a_whole_section(work: Workspace) -> None:
    prepare(work, NESTED.partition("fixed")[0] + "sweep: {net: [{depth: 9}]}\n")
    work.run("--exp", "specs/s.yaml", *SCRIPT, code=0)
    assert config(work, 0)["net"] == {"depth": 9}


def test_a_section_that_only_the_script_knows_can_be_set_by_dotted_keys(work: Workspace) -> None:
    prepare(work, "name: a\nmode: training\nbase_config: config/VECTOR/x.yaml\nsweep:\n  attack.eps: [0.1, 0.2]\n")
    work.write("config/VECTOR/x.yaml", "epochs: 1\nattack:\n")
    found = json.loads(work.run("--exp", "specs/s.yaml", "--dry-run", "--json", code=0).stdout)
    assert [(job["config"]["attack"]["eps"], job["config"]["attack"]["name"]) for job in found["jobs"]] == [
        (0.1, "pgd"), (0.2, "pgd"),
    ]  # fmt: skip
    text = (work / "specs/s.yaml").read_text()
    work.write("specs/s.yaml", text.replace("attack.eps", "attack.epz"))
    err = work.run("--exp", "specs/s.yaml", code=2).stderr
    assert "specs/s.yaml:5: attack.epz: unknown key" in err
