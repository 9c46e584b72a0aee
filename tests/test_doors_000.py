"""The doors of a tree of configs, as processes: what runs, what is left, how it goes on, what is said."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import configurator
from runner import ConfigError
from runner.plans.programs import THIN
from tests.conftest import PROJECT, Workspace, read, wait_until
from tests.trees import ALL, aggregate, done, files, prepare

#: What the document says a run leaves, as far as the script of these tests writes it, and what the runner adds.
DOCUMENTED = {
    "raw/features/scores.npy", "raw/records.jsonl", "metrics/metrics.json", "metrics/success_counts.json",
    "metadata.json",
}  # fmt: skip
ADDED = {
    "stdout.log", "stderr.log", "combined.log", "config_used.yaml", "experiment_metadata.json",
    "experiment_result.json",
}  # fmt: skip
OF_THE_ROOT = {
    "_aggregate/aggregate_success_counts.csv", "_aggregate/aggregate_success_counts.json", "plan.json",
    "master_log.txt", "experiment_summary.json", ".lock",
}  # fmt: skip


@pytest.fixture
def tree(work: Workspace) -> Workspace:
    return prepare(work, IMAGE__a="seed: 1", IMAGE__deep__b="seed: 2", **{"my-set__c": "seed: 3"})


def door(work: Workspace, name: str, *words: object, code: int | None = None) -> subprocess.CompletedProcess[str]:
    """A program of runners/, run to its end."""
    command = [sys.executable, f"runners/{name}.py", *map(str, words)]
    process = subprocess.run(command, cwd=work.folder, capture_output=True, text=True, timeout=120, check=False)
    assert code in (None, process.returncode), f"exit code {process.returncode}\n{process.stdout}\n{process.stderr}"
    return process


SCRIPT = ("--train_script", "job.py")


# What is run, and what it leaves


def test_run_all_leaves_the_documented_tree_file_by_file(tree: Workspace) -> None:
    out = door(tree, "run_all", *SCRIPT, code=0).stdout
    runs = ["IMAGE/a", "IMAGE/deep/b", "my-set/c"]
    expected = OF_THE_ROOT | {f"{run}/{name}" for run in runs for name in DOCUMENTED | ADDED}
    assert files(tree / "outputs") == expected
    assert (tree / "outputs/IMAGE/a/images").is_dir()
    assert done(tree) == [f"outputs/{run}" for run in runs]
    assert "3 jobs in " in out and "3 completed" in out


def test_the_aggregate_has_a_row_for_each_run_and_totals(tree: Workspace) -> None:
    door(tree, "run_all", *SCRIPT, code=0)
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


def test_the_main_door_does_the_same(tree: Workspace) -> None:
    tree.run(*ALL, "--output-root", "elsewhere/outs", code=0)
    assert (tree / "elsewhere/outs/IMAGE/deep/b/metadata.json").exists() and not (tree / "outputs").exists()


def test_a_subdirectory_has_a_door_of_its_own(tree: Workspace) -> None:
    door(tree, "run_IMAGE", *SCRIPT, code=0)
    assert done(tree) == ["outputs/IMAGE/a", "outputs/IMAGE/deep/b"]
    err = door(tree, "run_TABULAR", *SCRIPT, code=2).stderr
    assert "config has no subdirectory 'TABULAR'; there are IMAGE, my-set" in err


def test_the_doors_explain_themselves(tree: Workspace) -> None:
    for name in ("run_all", "run_IMAGE", "run_TABULAR", "run_VECTOR"):
        out = door(tree, name, "--help", code=0).stdout
        for option in ("--config-root", "--output-root", "--extensions", "--ignore", "--device", "--dry-run",
                       "--max-workers", "--export-features", "--verbose"):  # fmt: skip
            assert option in out


def test_a_dry_run_names_every_folder_and_writes_nothing(tree: Workspace) -> None:
    before = files(tree.folder)
    out = door(tree, "run_all", *SCRIPT, "--dry-run", "--max-workers", 4, code=0).stdout
    assert [line.split()[1] for line in out.splitlines() if line.strip().startswith("folder")] == [
        "outputs/IMAGE/a", "outputs/IMAGE/deep/b", "outputs/my-set/c",
    ]  # fmt: skip
    assert "3 jobs would run, 4 at a time" in out
    assert files(tree.folder) == before and not (tree / "outputs").exists()


def test_options_of_the_document_are_understood(tree: Workspace) -> None:
    tree.write("config/IMAGE/my_template.yaml", "seed: 9\n")
    words = ("--ignore", "*template*", "--ignore", "*deep*", "--extensions", "yaml", "--device", "cpu")
    out = door(tree, "run_all", *SCRIPT, *words, "--export-features", "npy+csv", "--verbose", code=0).stdout
    assert done(tree) == ["outputs/IMAGE/a", "outputs/my-set/c"]
    assert "IMAGE/a | scores written" in out
    command = read(tree / "outputs/IMAGE/a/experiment_result.json")["command"]
    assert {"--device=cpu", "--export_features=npy+csv"} <= set(command)


def test_x_yaml_and_x_json_have_folders_of_their_own(tree: Workspace) -> None:
    tree.write("config/IMAGE/a.json", '{"seed": 7}')
    out = door(tree, "run_IMAGE", *SCRIPT, code=0).stdout
    assert "config/IMAGE/a.json goes to IMAGE/a-json" in out
    used = {name: read(tree / f"outputs/IMAGE/{name}/experiment_metadata.json")["config"] for name in ("a", "a-json")}
    assert used == {"a": {"seed": 1}, "a-json": {"seed": 7}}


@pytest.mark.slow
def test_one_worker_and_four_give_identical_arrays(tree: Workspace) -> None:
    for number in range(5):
        tree.write(f"config/VECTOR/v{number}.yaml", f"seed: {number}\n")
    for workers in (1, 4):
        door(tree, "run_all", *SCRIPT, "--max-workers", workers, "--output-root", f"out{workers}", code=0)
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
    assert "its record is begun anew" in out and len(done(tree)) == 3


def test_four_workers_run_at_a_time(work: Workspace) -> None:
    prepare(work, **{f"IMAGE__w{number}": "wait: go" for number in range(4)})
    process = work.start(*ALL, "--max-workers", 4)
    wait_until(lambda: len(list(work.folder.glob("outputs/IMAGE/*/begun"))) == 4, "all four run at the same time")
    (work / "go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0


# Failures


def test_a_run_that_fails_in_the_middle_keeps_its_artefacts_and_its_row(tree: Workspace) -> None:
    tree.write("config/IMAGE/a.yaml", "fail: true\n")
    out = door(tree, "run_all", *SCRIPT, code=1).stdout
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


def test_counts_that_nothing_tells_are_null_with_a_note(tree: Workspace) -> None:
    tree.write("job.py", "")
    door(tree, "run_IMAGE", *SCRIPT, code=0)
    row = aggregate(tree)["runs"][0]
    assert row["adversarial_success"] is row["ood_total"] is None and "success_counts.json" in row["notes"]


def test_mistakes_are_said_before_anything_starts(tree: Workspace) -> None:
    tree.write("config/IMAGE/a.yaml", "seed: 1\nseed: 2\n")
    tree.write("config/my-set/c.yaml", "x: [\n")
    err = door(tree, "run_all", *SCRIPT, code=2).stderr
    assert "config/IMAGE/a.yaml:2: 'seed' stands a second time" in err and "config/my-set/c.yaml:2" in err
    assert "2 mistakes; nothing was started" in err and not (tree / "outputs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--config-root", "nowhere"), "--config_root nowhere: no such folder; name the folder of the configs"),
        (("--config-root", "empty"), "there is no config (yaml, yml, json) in its subdirectories"),
        (("--config-root", "config", "--ignore", "*"), "that no --ignore excludes (1 pattern)"),
        (("--config-root", "config", "--configs", "x.yaml"), "--configs does not go with --config_root; give one"),
        (("--config-root", "config", "--base_out_dir", "x"), "--output_root says where its outputs lie"),
        (("--config-root", "config", "--max-workers", "0"), "--max_workers: '0' is no whole number above 0"),
        (("--config-root", "config", "--resume"), "the same command goes on by itself"),
        (("--configs", "config/IMAGE/a.yaml", "--ignore", "x"), "--ignore goes with --config_root"),
        (("--config-root", "config", "--output-root", "job.py"), "--output_root"),
        (("--config-root", "config", "--output-root", "config"), "is the folder of the configs; name another one"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(tree: Workspace, words: tuple[str, ...], said: str) -> None:
    (tree / "empty").mkdir()
    err = tree.run(*words, *SCRIPT, code=2).stderr
    assert said in err and len(err.splitlines()) == 1
    assert not (tree / "outputs").exists()


# Again


def test_the_same_command_runs_only_what_has_no_result(tree: Workspace) -> None:
    tree.write("config/IMAGE/a.yaml", "fail: true\n")
    door(tree, "run_all", *SCRIPT, code=1)
    door(tree, "run_all", *SCRIPT, code=1)
    assert done(tree).count("outputs/IMAGE/a") == 2 and len(done(tree)) == 4
    assert (tree / "outputs/IMAGE/a/attempt_1/raw/records.jsonl").exists()


def test_a_dry_run_says_what_stands_already(tree: Workspace) -> None:
    door(tree, "run_IMAGE", *SCRIPT, code=0)
    out = door(tree, "run_all", *SCRIPT, "--dry-run", code=0).stdout
    assert "2 of them completed earlier and would not run again" in out and out.count("stands") == 2


def test_a_changed_config_runs_anew_and_mixes_nothing(tree: Workspace) -> None:
    door(tree, "run_IMAGE", *SCRIPT, code=0)
    old = (tree / "outputs/IMAGE/a/raw/features/scores.npy").read_bytes()
    (tree / "outputs/IMAGE/a/notes-of-mine.txt").write_text("mine")
    tree.write("config/IMAGE/a.yaml", "seed: 8\n")
    door(tree, "run_IMAGE", *SCRIPT, code=0)
    assert done(tree).count("outputs/IMAGE/a") == 2 and done(tree).count("outputs/IMAGE/deep/b") == 1
    folder = tree / "outputs/IMAGE/a"
    assert (folder / "attempt_1/raw/features/scores.npy").read_bytes() == old
    assert (folder / "raw/features/scores.npy").read_bytes() != old
    assert {name for name in files(folder) if not name.startswith("attempt_1/")} == DOCUMENTED | ADDED
    assert (folder / "attempt_1/notes-of-mine.txt").read_text() == "mine"


def test_what_another_program_left_in_a_folder_is_put_aside(tree: Workspace) -> None:
    tree.write("outputs/IMAGE/a/metrics/success_counts.json", "old")
    door(tree, "run_IMAGE", *SCRIPT, code=0)
    assert (tree / "outputs/IMAGE/a/attempt_1/metrics/success_counts.json").read_text() == "old"
    assert aggregate(tree)["runs"][0]["adversarial_success"] == 12


def test_rerun_runs_everything_again(tree: Workspace) -> None:
    for words in ((), ("--rerun",)):
        door(tree, "run_IMAGE", *SCRIPT, *words, code=0)
    assert len(done(tree)) == 4
    assert read(tree / "outputs/IMAGE/a/experiment_result.json")["attempt"] == 2


def test_one_subdirectory_leaves_the_record_of_the_others_alone(tree: Workspace) -> None:
    tree.write("config/my-set/c.yaml", "fail: true\n")
    door(tree, "run_all", *SCRIPT, code=1)
    door(tree, "run_IMAGE", *SCRIPT, code=0)  # the exit code is about what was asked for
    assert [row["run"] for row in aggregate(tree)["runs"]] == ["IMAGE/a", "IMAGE/deep/b", "my-set/c"]
    assert aggregate(tree)["totals"]["by_status"] == {"completed": 2, "failed": 1}
    (tree / "config/my-set/c.yaml").unlink()
    door(tree, "run_IMAGE", *SCRIPT, code=0)
    assert aggregate(tree)["totals"]["runs"] == 2 and (tree / "outputs/my-set/c").exists()


def test_commands_about_a_batch_work_on_an_output_root(tree: Workspace) -> None:
    tree.write("config/IMAGE/a.yaml", "fail: true\n")
    door(tree, "run_all", *SCRIPT, code=1)
    found = json.loads(tree.run("status", "outputs", "--json", code=0).stdout)
    assert {name: job["status"] for name, job in found["jobs"].items()} == {
        "IMAGE/a": "failed", "IMAGE/deep/b": "completed", "my-set/c": "completed",
    }  # fmt: skip
    assert "outputs" in tree.run("list", "--base_out_dir", ".", code=0).stdout
    tree.run("--resume", "outputs", code=1)
    tree.run("rerun", "outputs", "my-set/c", code=0)
    assert done(tree).count("outputs/IMAGE/a") == 2 and done(tree).count("outputs/my-set/c") == 2


def test_two_at_once_on_one_output_root_are_kept_apart(work: Workspace) -> None:
    prepare(work, IMAGE__a="wait: go")
    process = work.start(*ALL)
    wait_until((work / "outputs/IMAGE/a/begun").exists, "the first runs")
    second = door(work, "run_IMAGE", *SCRIPT, code=75)
    assert "outputs: another runner has it in hand: pid" in second.stderr and len(second.stderr.splitlines()) == 1
    (work / "go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0 and len(done(work)) == 1


def test_ctrl_c_stops_what_runs_and_the_same_command_goes_on(work: Workspace) -> None:
    prepare(work, IMAGE__a="wait: go", IMAGE__b="seed: 1")
    process = work.start(*ALL, "--grace", "1,1,1")
    wait_until((work / "outputs/IMAGE/a/begun").exists, "the first runs")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert [row["status"] for row in aggregate(work)["runs"]] == ["interrupted", "pending"]
    (work / "go").touch()
    work.run(*ALL, code=0)
    assert [row["status"] for row in aggregate(work)["runs"]] == ["completed", "completed"]


def test_a_runner_that_was_killed_is_followed_by_the_same_command(work: Workspace) -> None:
    prepare(work, IMAGE__a="wait: go", IMAGE__b="seed: 1")
    process = work.start(*ALL, "--grace", "1,1,1")
    wait_until((work / "outputs/IMAGE/a/begun").exists, "the first runs")
    process.kill()
    process.communicate()
    (work / "go").touch()
    work.run(*ALL, code=0)
    assert aggregate(work)["totals"]["by_status"] == {"completed": 2}


def test_the_background(work: Workspace) -> None:
    prepare(work, IMAGE__a="wait: go")
    out = work.run(*ALL, "--detach", code=0).stdout
    assert "stop outputs" in out
    wait_until((work / "outputs/IMAGE/a/begun").exists, "it runs")
    assert "running" in work.run("status", "outputs", code=0).stdout
    (work / "go").touch()
    wait_until(lambda: "done;" in work.run("status", "outputs", code=0).stdout, "it is done")


# A program of the user's own for a subdirectory


FOREIGN = """\
import json, pathlib, sys
open('invoked', 'w').write(json.dumps(sys.argv))
root = sys.argv[sys.argv.index('--output-root') + 1]
folder = pathlib.Path(root, 'my-set', 'c', 'metrics'); folder.mkdir(parents=True, exist_ok=True)
(folder / 'success_counts.json').write_text(json.dumps({'adversarial_success': 1, 'adversarial_total': 2}))
(folder.parent / 'metadata.json').write_text(json.dumps({'status': 'completed', 'duration_seconds': 2.5}))
print('a program of my own')
"""


@pytest.fixture
def own(tree: Workspace) -> Workspace:
    """A workspace whose runners/ is a folder of its own."""
    (tree / "runners").unlink()
    for name in ("run_all.py", "run_IMAGE.py", "runner_lib.py"):
        tree.write(f"runners/{name}", "")
        (tree / "runners" / name).unlink()
        (tree / "runners" / name).symlink_to(PROJECT / "runners" / name)
    return tree


def test_a_program_of_the_users_is_invoked_with_the_documented_flags(own: Workspace) -> None:
    own.write("runners/run_my-set.py", FOREIGN)
    words = ("--max-workers", 2, "--ignore", "*x*", "--device", "cpu", "--export-features", "npy", "--verbose")
    out = door(own, "run_all", *SCRIPT, *words, code=0).stdout
    assert "my-set is run by runners/run_my-set.py" in out
    assert json.loads((own / "invoked").read_text()) == [
        "runners/run_my-set.py", "--config-root", "config", "--output-root", "outputs", "--max-workers", "2",
        "--ignore", "*x*", "--verbose", "--device", "cpu", "--export-features", "npy",
    ]  # fmt: skip
    assert sorted(done(own)) == ["outputs/IMAGE/a", "outputs/IMAGE/deep/b"]
    rows = {row["run"]: row for row in aggregate(own)["runs"]}
    assert (rows["my-set/c"]["adversarial_success"], rows["my-set/c"]["status"]) == (1, "completed")
    assert "a program of my own" in next(own.folder.glob("outputs/_runners/2*/run_my-set/stdout.log")).read_text()


def test_a_program_that_fails_makes_the_exit_code_1(own: Workspace) -> None:
    own.write("runners/run_my_set.py", "raise SystemExit('no')")
    assert "run_my-set: failed" in door(own, "run_all", *SCRIPT, code=1).stdout
    assert {row["run"]: row["status"] for row in aggregate(own)["runs"]}["my-set/c"] == "unknown"


def test_a_dry_run_invokes_no_program(own: Workspace) -> None:
    own.write("runners/run_my-set.py", FOREIGN)
    out = door(own, "run_all", *SCRIPT, "--dry-run", code=0).stdout
    assert "my-set is run by runners/run_my-set.py" in out and not (own / "invoked").exists()


@pytest.mark.slow
def test_a_program_made_of_ours_runs_in_the_same_root(own: Workspace) -> None:
    shutil.rmtree(own / "config/IMAGE")
    own.write("config/my-set/c.yaml", "pipeline: classify\nepochs: 1\nwidth: 16\n")
    text = THIN.replace("str(Path(__file__).resolve().parent.parent)", repr(str(PROJECT)))
    own.write("runners/run_my-set.py", text.replace("(__file__)", "(__file__, seed=40)"))
    door(own, "run_all", code=0)
    assert read(own / "outputs/my-set/c/experiment_metadata.json")["config"]["seed"] == 40
    assert [(row["run"], row["status"]) for row in aggregate(own)["runs"]] == [("my-set/c", "completed")]
    door(own, "run_all", code=0)
    assert read(own / "outputs/my-set/c/experiment_result.json")["attempt"] == 1


# The real pipeline


real = pytest.mark.skipif("robustness" not in configurator.PIPELINES, reason="there is no pipeline for these configs")
HAS_GPU = Path("/dev/nvidiactl").exists()
COMMANDS = [
    "run_all.py --max-workers 1", 'run_all.py --ignore "*template*" --max-workers 4', "run_IMAGE.py --dry-run",
    "run_TABULAR.py --export-features npy+csv", "run_all.py --device cuda",
]  # fmt: skip


@real
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_document_plans_what_it_says(command: str) -> None:
    line = f"{shlex.quote(sys.executable)} runners/{command} --dry-run"
    found = subprocess.run(["bash", "-c", line], cwd=PROJECT, capture_output=True, text=True, check=False)
    if "cuda" in command and not HAS_GPU:
        assert found.returncode == 2 and "--device cpu" in found.stderr
        return
    assert found.returncode == 0, found.stderr
    folders = [row.split()[1] for row in found.stdout.splitlines() if row.strip().startswith("folder")]
    wanted = [command[4:-3]] if (command := command.split()[0]) != "run_all.py" else ["IMAGE", "TABULAR", "VECTOR"]
    assert folders and {Path(folder).parts[1] for folder in folders} == set(wanted)


@real
@pytest.mark.slow
def test_a_real_run_leaves_every_documented_file(work: Workspace) -> None:
    for name in ("runners", "config"):
        (work / name).symlink_to(PROJECT / name)
    words = ("--epochs", 1, "--ignore", "*blobs*", "--ignore", "*held_out*", "--export-features", "npy+csv")
    door(work, "run_VECTOR", *words, code=0)
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
        "said = runner_lib.run_pipeline_from_config(config_path='config/mlp/mlp_digits.yaml', "
        f"output_dir={str(tmp_path / 'x')!r}, epochs=1, width=16)\n"
        "assert said['status'] == 'completed'\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program]
    made = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "x/metrics.jsonl").exists()


def test_a_call_with_a_mistake_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from runners import runner_lib

    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text("pipeline: classify\nwidht: 3\n")
    with pytest.raises(ConfigError, match=r"x.yaml:2: unknown key 'widht'; did you mean 'width'\?"):
        runner_lib.run_pipeline_from_config(config_path="x.yaml", output_dir="out")
