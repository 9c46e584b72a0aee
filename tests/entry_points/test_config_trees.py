"""The entry points of a tree of configs, as processes: what runs, what is left, what is printed."""

from __future__ import annotations

import csv
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from runner import UserError
from tests.conftest import PROJECT, Workspace, read, wait_until
from tests.trees import ADDED, ALL, DOCUMENTED, OF_THE_ROOT, SCRIPT, aggregate, done, files, prepare, run_program, tree

__all__ = ["tree"]  # a fixture


# What is run, and what it leaves


def test_run_all_leaves_the_documented_tree_file_by_file(tree: Workspace) -> None:
    out = run_program(tree, "run_all", *SCRIPT, code=0).stdout
    runs = ["IMAGE/a", "IMAGE/deep/b", "my-set/c"]
    expected = OF_THE_ROOT | {f"{run}/{name}" for run in runs for name in DOCUMENTED | ADDED}
    assert files(tree / "outputs") == expected
    assert (tree / "outputs/IMAGE/a/images").is_dir()
    assert done(tree) == [f"outputs/{run}" for run in runs]
    assert "3 jobs in " in out and "3 completed" in out


def test_the_aggregate_has_a_row_for_each_run_and_totals(tree: Workspace) -> None:
    run_program(tree, "run_all", *SCRIPT, code=0)
    found = aggregate(tree)
    assert found["totals"]["runs"] == found["totals"]["completed"] == 3
    assert (found["totals"]["adversarial_success"], found["totals"]["adversarial_total"]) == (36, 150)
    assert (found["totals"]["ood_success"], found["totals"]["ood_total"]) == (99, 120)
    with (tree / "outputs/_aggregate/aggregate_success_counts.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert (
        [row["run"] for row in rows] == [row["run"] for row in found["runs"]] == ["IMAGE/a", "IMAGE/deep/b", "my-set/c"]
    )
    assert [rows[0][key] for key in ("status", "adversarial_success", "adversarial_total", "ood_rate", "subdir")] == [
        "completed", "12", "50", "0.825", "IMAGE",
    ]  # fmt: skip


def test_the_main_command_does_the_same(tree: Workspace) -> None:
    tree.run(*ALL, "--output-root", "elsewhere/outs", code=0)
    assert (tree / "elsewhere/outs/IMAGE/deep/b/metadata.json").exists() and not (tree / "outputs").exists()


def test_a_subdirectory_has_an_entry_point_of_its_own(tree: Workspace) -> None:
    run_program(tree, "run_IMAGE", *SCRIPT, code=0)
    assert done(tree) == ["outputs/IMAGE/a", "outputs/IMAGE/deep/b"]
    err = run_program(tree, "run_TABULAR", *SCRIPT, code=2).stderr
    assert "config has no subdirectory 'TABULAR'; there are IMAGE, my-set" in err


def test_the_entry_points_have_help(tree: Workspace) -> None:
    for name in ("run_all", "run_IMAGE", "run_TABULAR", "run_VECTOR"):
        out = run_program(tree, name, "--help", code=0).stdout
        for option in ("--config-root", "--output-root", "--extensions", "--ignore", "--device", "--dry-run",
                       "--max-workers", "--export-features", "--verbose"):  # fmt: skip
            assert option in out


def test_a_dry_run_names_every_folder_and_writes_nothing(tree: Workspace) -> None:
    before = files(tree.folder)
    out = run_program(tree, "run_all", *SCRIPT, "--dry-run", "--max-workers", 4, code=0).stdout
    assert [line.split()[1] for line in out.splitlines() if line.strip().startswith("folder")] == [
        "outputs/IMAGE/a", "outputs/IMAGE/deep/b", "outputs/my-set/c",
    ]  # fmt: skip
    assert "3 jobs would run, 4 at a time" in out
    assert files(tree.folder) == before and not (tree / "outputs").exists()


def test_options_of_the_document_are_understood(tree: Workspace) -> None:
    tree.write("config/IMAGE/my_template.yaml", "seed: 9\n")
    words = ("--ignore", "*template*", "--ignore", "*deep*", "--extensions", "yaml", "--device", "cpu")
    out = run_program(tree, "run_all", *SCRIPT, *words, "--export-features", "npy+csv", "--verbose", code=0).stdout
    assert done(tree) == ["outputs/IMAGE/a", "outputs/my-set/c"]
    assert "IMAGE/a | scores written" in out
    command = read(tree / "outputs/IMAGE/a/experiment_result.json")["command"]
    assert {"--device=cpu", "--export-features=npy+csv"} <= set(command)


def test_x_yaml_and_x_json_have_folders_of_their_own(tree: Workspace) -> None:
    tree.write("config/IMAGE/a.json", '{"seed": 7}')
    out = run_program(tree, "run_IMAGE", *SCRIPT, code=0).stdout
    assert "config/IMAGE/a.json goes to IMAGE/a-json" in out
    used = {name: read(tree / f"outputs/IMAGE/{name}/experiment_metadata.json")["config"] for name in ("a", "a-json")}
    assert used == {"a": {"seed": 1}, "a-json": {"seed": 7}}


@pytest.mark.slow
def test_one_worker_and_four_give_identical_arrays(tree: Workspace) -> None:
    for number in range(5):
        tree.write(f"config/VECTOR/v{number}.yaml", f"seed: {number}\n")
    for workers in (1, 4):
        run_program(tree, "run_all", *SCRIPT, "--max-workers", workers, "--output-root", f"out{workers}", code=0)
    arrays = {path.relative_to(tree / "out1"): np.load(path) for path in (tree / "out1").rglob("*.npy")}
    assert len(arrays) == 8
    for path, array in arrays.items():
        assert array.tobytes() == np.load(tree / "out4" / path).tobytes()


def test_outputs_beside_the_configs_are_not_taken_for_configs(tree: Workspace) -> None:
    for _ in range(2):
        tree.run(*ALL, "--output-root", "config/outs", code=0)
    assert len(done(tree)) == 3


def test_an_output_root_that_is_a_link_can_be_resumed(tree: Workspace) -> None:
    (tree / "disk").mkdir()
    (tree / "outputs").symlink_to("disk")
    tree.write("config/IMAGE/a.yaml", "fail: true\n")
    tree.run(*ALL, code=1)
    tree.run("--resume", "outputs", code=1)
    assert done(tree).count("disk/IMAGE/a") == 2


def test_an_output_root_that_was_moved_keeps_its_results(tree: Workspace) -> None:
    tree.run(*ALL, code=0)
    (tree / "outputs").rename(tree / "moved")
    out = tree.run(*ALL, "--output-root", "moved", code=0).stdout
    assert "a new record is started" in out and len(done(tree)) == 3


def test_a_config_in_capitals_is_read_like_any_other(tree: Workspace) -> None:
    tree.write("config/VECTOR/_BASE.YAML", "epochs: 1\n")
    tree.write("config/VECTOR/X.YAML", "base: _BASE.YAML\nwandb_log: off\n")
    tree.write("config/VECTOR/y.JSON", '{"epochs": 1e0}')
    out = tree.run("--config-root", "config", "--subdir", "VECTOR", "--dry-run", "--json", code=0).stdout
    found = {job["name"]: job["config"] for job in json.loads(out)["jobs"]}
    assert {name: config["epochs"] for name, config in found.items()} == {"VECTOR/X": 1, "VECTOR/y": 1}
    assert found["VECTOR/X"]["wandb_log"] is False


def test_configs_that_are_passed_over_are_named(tree: Workspace) -> None:
    tree.write("config/loose.yaml", "seed: 1\n")
    tree.write("elsewhere/x.yaml", "seed: 1\n")
    (tree / "config/IMAGE/link").symlink_to(tree / "elsewhere")
    (tree / "empty").mkdir()
    (tree / "config/IMAGE/without").symlink_to(tree / "empty")
    out = tree.run(*ALL, "--dry-run", code=0).stdout
    assert "loose.yaml: directly in config, and not run; move it to config/<subdir>/" in out
    assert "config/IMAGE/link: is a link to a folder, and its configs are not run" in out
    assert "without" not in out and "x.yaml" not in out
    assert "loose" not in tree.run(*ALL, "--subdir", "IMAGE", "--dry-run", code=0).stdout


def test_four_workers_run_at_a_time(work: Workspace) -> None:
    prepare(work, **{f"IMAGE__w{number}": "wait: go" for number in range(4)})
    process = work.start(*ALL, "--max-workers", 4)
    wait_until(lambda: len(list(work.folder.glob("outputs/IMAGE/*/started"))) == 4, "all four run at the same time")
    (work / "go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0


# Failures


def test_a_run_that_fails_in_the_middle_keeps_its_artefacts_and_its_row(tree: Workspace) -> None:
    tree.write("config/IMAGE/a.yaml", "fail: true\n")
    out = run_program(tree, "run_all", *SCRIPT, code=1).stdout
    folder = tree / "outputs/IMAGE/a"
    assert {"raw/records.jsonl", "raw/features/scores.npy", "logs/error.txt"} <= files(folder)
    row = aggregate(tree)["runs"][0]
    assert (row["run"], row["status"], row["adversarial_success"], row["adversarial_total"]) == (
        "IMAGE/a",
        "failed",
        3,
        5,
    )
    assert (row["ood_success"], row["ood_total"]) == (1, 2) and "broken on purpose" in row["error"]
    assert aggregate(tree)["totals"]["by_status"] == {"failed": 1, "completed": 2}
    assert "2 completed, 1 failed" in out
    assert len(done(tree)) == 3


def test_unknown_counts_are_null_with_a_note(tree: Workspace) -> None:
    tree.write("job.py", "")
    run_program(tree, "run_IMAGE", *SCRIPT, code=0)
    row = aggregate(tree)["runs"][0]
    assert row["adversarial_success"] is row["ood_total"] is None and "success_counts.json" in row["notes"]


def test_errors_are_reported_before_anything_starts(tree: Workspace) -> None:
    tree.write("config/IMAGE/a.yaml", "seed: 1\napi_key: sk-1234567890abcdef1234\n")
    tree.write("config/my-set/c.yaml", "x: 1\n\npassword: hunter22\n")
    err = run_program(tree, "run_all", *SCRIPT, code=2).stderr
    assert "config/IMAGE/a.yaml:2: 'api_key' looks like a secret" in err and "config/my-set/c.yaml:3: 'password'" in err
    assert "2 errors; nothing was started" in err and not (tree / "outputs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--config-root", "nowhere"), "--config_root nowhere: no such folder; name the folder of the configs"),
        (("--config-root", "empty"), "there is no config (yaml, yml, json) in its subdirectories"),
        (("--config-root", "config", "--ignore", "*"), "that no --ignore excludes (1 pattern)"),
        (("--config-root", "config", "--configs", "x.yaml"), "--configs does not go with --config_root; give one"),
        (("--config-root", "config", "--base_out_dir", "x"), "use --output_root for"),
        (("--config-root", "config", "--max-workers", "0"), "--max_workers: '0' is not a whole number above 0"),
        (("--config-root", "config", "--resume"), "is continued by the same command"),
        (("--configs", "config/IMAGE/a.yaml", "--subdir", "x"), "--subdir goes with --config_root"),
        (("--config-root", "config", "--output-root", "job.py"), "--output_root"),
        (("--config-root", "config", "--output-root", "config"), "is the folder of the configs; name another one"),
    ],
)
def test_an_error_on_the_command_line_is_one_sentence(tree: Workspace, words: tuple[str, ...], message: str) -> None:
    (tree / "empty").mkdir()
    err = tree.run(*words, *SCRIPT, code=2).stderr
    assert message in err and len(err.splitlines()) == 1
    assert not (tree / "outputs").exists()


# The real pipeline


HAS_GPU = Path("/dev/nvidiactl").exists()
COMMANDS = [
    "run_all.py --max-workers 1", 'run_all.py --ignore "*template*" --max-workers 4', "run_IMAGE.py --dry-run",
    "run_TABULAR.py --export-features npy+csv", "run_all.py --device cuda",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_document_can_be_planned(command: str) -> None:
    line = f"{shlex.quote(sys.executable)} runners/{command} --dry-run"
    found = subprocess.run(["bash", "-c", line], cwd=PROJECT, capture_output=True, text=True, check=False)
    if "cuda" in command and not HAS_GPU:
        assert found.returncode == 2 and "--device cpu" in found.stderr
        return
    assert found.returncode == 0, found.stderr
    folders = [row.split()[1] for row in found.stdout.splitlines() if row.strip().startswith("folder")]
    groups = [command[4:-3]] if (command := command.split()[0]) != "run_all.py" else ["IMAGE", "TABULAR", "VECTOR"]
    assert folders and {Path(folder).parts[1] for folder in folders} == set(groups)


@pytest.mark.slow
def test_a_real_run_leaves_every_documented_file(work: Workspace) -> None:
    for name in ("runners", "config"):
        (work / name).symlink_to(PROJECT / name)
    words = ("--epochs", 1, "--ignore", "*blobs*", "--ignore", "*held_out*", "--export-features", "npy+csv")
    run_program(work, "run_VECTOR", *words, code=0)
    found = files(work / "outputs/VECTOR/rings_pgd")
    assert found >= ADDED | {"config_resolved.yaml", "metadata.json", "metrics/metrics.json"} | {
        "raw/eval_adv.npz", "raw/eval_ood.npz", "raw/records.jsonl", "metrics/success_counts.json",
        "metrics/success_counts.csv", "logs/run.log", "logs/summary.log",
    }  # fmt: skip
    assert {name.partition("/")[0] for name in found if "/" in name} == {"images", "raw", "metrics", "logs"}
    arrays = {name for name in found if name.startswith("raw/features/") and name.endswith(".npy")}
    assert arrays and {name.replace(".npy", ".csv") for name in arrays} <= found and "logs/error.txt" not in found
    row = aggregate(work)["runs"][0]
    counted = read(work / "outputs/VECTOR/rings_pgd/metrics/success_counts.json")
    assert row["adversarial_total"] == counted["adversarial_total"] > 0 and row["ood_success"] == counted["ood_success"]


# Called


def test_one_config_can_be_run_by_a_call(tmp_path: Path) -> None:
    program = (
        "from runners import runner_lib\n"
        "output = runner_lib.run_pipeline_from_config(config_path='config/mlp/mlp_digits.yaml', "
        f"output_dir={str(tmp_path / 'x')!r}, epochs=1, width=16)\n"
        "assert output['status'] == 'completed'\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program]
    made = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "x/metrics.jsonl").exists()


def test_a_call_with_an_error_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from runners import runner_lib

    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text("pipeline: classify\nwidht: 3\n")
    with pytest.raises(UserError, match=r"x.yaml:2: unknown key 'widht'; did you mean 'width'\?"):
        runner_lib.run_pipeline_from_config(config_path="x.yaml", output_dir="out")
