"""The commands of the experiment system's document, as it shows them: planned with its names, run on the digits."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT, Workspace, alive, read, wait_until

pytestmark = pytest.mark.slow

SPECS = sorted(path.name for path in (PROJECT / "experiments" / "specs").glob("*.yaml"))
DOCUMENTED = {
    "lr_sweep_mnist_mlp.yaml", "lambda_ace_sweep_greedy.yaml", "sched_sim_mnist_mlp.yaml", "mixed_configs.yaml",
}  # fmt: skip
EASY = "name: a\nmode: MODE\nbase_config: config/quickstart/easy.py\nsweep: {learning_rate: [1, 2]}\n"
GREEDY = "name: a\nmode: training\nbase_config: configs/greedy/greedy_digits.yaml\nsweep:\n  "
QUICK = "--epochs 2 --device cpu"


@pytest.fixture
def project(work: Workspace) -> Iterator[Workspace]:
    for name in ("config", "configs", "data", "scripts", "run_experiments.py", "train_run.py", "bg_experiment.sh"):
        (work / name).symlink_to(PROJECT / name)
    (work / "experiments").mkdir()
    (work / "experiments" / "specs").symlink_to(PROJECT / "experiments" / "specs")
    yield work


def line(work: Workspace, text: str) -> subprocess.CompletedProcess[str]:
    """A command line as the document types it, with this Python as python3."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    words = shlex.split(text)
    return subprocess.run(
        words, cwd=work.folder, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )


def runs(work: Workspace) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(work.batch / "experiment.json")["runs"]
    return found


@pytest.mark.parametrize("spec", SPECS)
def test_every_spec_plans(project: Workspace, spec: str) -> None:
    done = line(project, f"python3 scripts/run_experiment.py --exp experiments/specs/{spec} --dry-run")
    assert done.returncode == 0, done.stderr
    count = {"lr_sweep_mnist_mlp.yaml": 10, "lambda_ace_sweep_greedy.yaml": 4, "sched_sim_mnist_mlp.yaml": 4}
    assert done.stdout.startswith(f"{count[spec]} jobs") if spec in count else "would run" in done.stdout


def test_the_specs_of_the_document_are_there() -> None:
    assert set(SPECS) >= DOCUMENTED


@pytest.mark.slow
def test_foreground_then_resume_with_a_limit_then_the_rest(project: Workspace) -> None:
    begin = "python3 scripts/run_experiment.py --exp experiments/specs/lr_sweep_digits_mlp.yaml"
    done = line(project, f"{begin} --limit 1 {QUICK}")
    assert done.returncode == 0, done.stdout + done.stderr
    done = line(project, f"{begin} --resume --limit 3")
    assert done.returncode == 0, done.stdout + done.stderr
    found = runs(project)
    assert [run["status"] for run in found] == ["completed"] * 4 + ["pending"] * 2
    for number, run in enumerate(found[:4]):
        config = yaml.safe_load(Path(run["config_path"]).read_text())
        assert (config["lr"], config["epochs"], config["mode"]) == ([3e-4, 1e-3, 3e-3, 1e-2][number], 2, "simulation")
        assert run["run_dir"].startswith("runs/digits/mlp/")
        folder = project / run["run_dir"]
        assert folder.resolve() == project.batch / run["name"]
        assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_background_with_flags_of_a_simulation(project: Workspace) -> None:
    done = line(
        project, "./bg_experiment.sh experiments/specs/lr_sweep_digits_mlp.yaml simulation --limit 1 --no_confusion "
        f"--show {QUICK}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert project.batch.name in line(project, "python3 scripts/run_background.py --list").stdout
    log = project / "background_runs" / project.batch.name / "nohup.log"
    wait_until(lambda: "1 completed" in log.read_text(), "the run has ended", 120)
    written = {path.name for path in (project.batch / "run_000").glob("*.png")}
    assert "curves.png" in written and "confusion.png" not in written
    assert "display" in (project.batch / "run_000" / "stdout.log").read_text()
    pid = read(log.parent / "run.json")["pid"]
    wait_until(lambda: not alive(pid), "its process has gone")


@pytest.mark.slow
def test_a_grid_of_lists_trains_the_greedy_model(project: Workspace) -> None:
    spec = "experiments/specs/lambda_ace_sweep_greedy_digits.yaml"
    done = line(project, f"python3 scripts/run_experiment.py --exp {spec} {QUICK}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [run["status"] for run in runs(project)] == ["completed"] * 4
    lambdas = [yaml.safe_load(Path(run["config_path"]).read_text())["lambda_ace"] for run in runs(project)]
    assert lambdas == [[0.001] * 3] * 2 + [[0.01] * 3] * 2


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("lambda_ace: [[0.1]]", "lambda_ace has 1 value and must have 3 for the greedy model"),
        ("lambda_ase: [[0.1]]", "unknown key 'lambda_ase'; did you mean 'lambda_ace'?"),
        ("lr: [0.1, fast]", "lr must be a number, not 'fast'"),
        ("dataset: [digits, mnits]", "mnits"),
        ("lambda_ace: [[a, 1, 1]]", "lambda_ace[0] must be a number, not 'a'"),
        ("layers: [3]", "lambda_ace has 3 values and must have 2 for the greedy model"),
        ("mode: [training, simulation]", "mode is not a setting of a run"),
        ("out_dir: [a, b]", "out_dir is not a setting of a run"),
        ("learning_rate: [1]", "unknown key 'learning_rate'; did you mean 'lr'?"),
        ("seed: [18446744073709551616]", "seed must be less than 9223372036854775808"),
    ],
)
def test_a_key_unknown_to_the_pipeline_is_reported_with_its_line(project: Workspace, sweep: str, message: str) -> None:
    project.write("s.yaml", f"{GREEDY}{sweep}\n")
    done = line(project, "python3 scripts/run_experiment.py --exp s.yaml")
    assert done.returncode == 2 and done.stdout == ""
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("run_experiments.py: s.yaml:5: ") and message in sentence
    assert not list((project / "experiments").glob("a_*"))


def test_settings_that_no_run_reads_are_noted(project: Workspace) -> None:
    base = "name: a\nmode: training\nbase_config: configs/mlp/mlp_digits.yaml\nsweep: {lambda_ace: [[1], [2]]}\n"
    project.write("s.yaml", base)
    done = line(project, "python3 scripts/run_experiment.py --exp s.yaml --dry-run --limit 2")
    assert "lambda_ace is varied, but is not read by run_000, run_001" in done.stdout


def test_data_that_cannot_be_prepared_is_reported_before_anything_starts(project: Workspace, tmp_path: Path) -> None:
    folder = PROJECT / "data" / "mnist"
    if (folder / "meta.json").exists() or list(folder.glob("raw/*")):
        pytest.skip("MNIST is at hand")
    spec = "experiments/specs/lr_sweep_mnist_mlp.yaml"
    environment = {**os.environ, "https_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    command = [sys.executable, "scripts/run_experiment.py", "--exp", spec]
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2 and "dataset mnist: could not download" in done.stderr
    assert "train on dataset: digits, which needs no download" in done.stderr
    assert not list((project / "experiments").glob("lr_*"))


def test_yes_and_on_mean_true_where_a_setting_is_true_or_false(project: Workspace) -> None:
    base = "name: a\nmode: simulation\nbase_config: configs/mlp/mlp_digits.yaml\nsweep: {no_confusion: [yes, off]}\n"
    project.write("s.yaml", base)
    done = line(project, "python3 scripts/run_experiment.py --exp s.yaml --dry-run")
    assert [row.split() for row in done.stdout.splitlines() if row.startswith("run_")] == [
        ["run_000", "True"], ["run_001", "False"],
    ]  # fmt: skip


def test_a_pipeline_without_plots_refuses_a_simulation(project: Workspace) -> None:
    project.write("s.yaml", EASY.replace("MODE", "simulation"))
    done = line(project, "python3 scripts/run_experiment.py --exp s.yaml")
    assert done.returncode == 2 and "only trains; write mode: training" in done.stderr
    done = line(project, "python3 scripts/run_experiment.py --exp s.yaml --mode training --dry-run")
    assert done.returncode == 0 and "mode is training, from the command line" in done.stderr + done.stdout


def test_a_sweep_over_the_diffusion_trainer_plans(project: Workspace) -> None:
    project.write("s.yaml", EASY.replace("MODE", "training"))
    done = line(project, "python3 scripts/run_experiment.py --exp s.yaml --dry-run --json")
    assert done.returncode == 0, done.stderr
    assert '"unmasking_stages"' in done.stdout and '"learning_rate": 2.0' in done.stdout
