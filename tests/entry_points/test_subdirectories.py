"""What a subdirectory of configs means holds for every way in which a config is read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines import config_tree
from pipelines.project_script import ProjectScript
from runner.configs.evaluator import Evaluator
from runner.planners import jobs
from src.api import ExperimentConfig
from tests.conftest import PROJECT, Workspace, read

pytestmark = pytest.mark.slow

PLAIN = "epochs: 1\nlayers: 1\nwidth: 8\nattack: {steps: 1, examples: 5}\n"
VECTOR = {"pipeline": "robustness", "dataset_name": "VECTOR", "dataset": "rings", "model_name": "MLP"}


def chosen(config: dict[str, object]) -> dict[str, object]:
    return {key: config[key] for key in VECTOR}


@pytest.fixture
def plain(work: Workspace) -> Workspace:
    work.write("config/VECTOR/plain.yaml", PLAIN)
    return work


def planned(work: Workspace, *words: str) -> dict[str, object]:
    (job,) = json.loads(work.run(*words, "--dry-run", "--json", code=0).stdout)["jobs"]
    return chosen(job["config"])


def test_every_entry_point_reads_the_same_settings(plain: Workspace) -> None:
    file = plain / "config/VECTOR/plain.yaml"
    assert chosen(ExperimentConfig.from_yaml(file).model_dump()) == VECTOR
    shown = subprocess.run(
        [sys.executable, PROJECT / "configurator.py", "plain.yaml"],
        cwd=file.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert chosen(json.loads(shown.stdout)) == VECTOR
    assert planned(plain, "--config-root", "config") == VECTOR
    assert planned(plain, "--configs", "config/VECTOR/plain.yaml") == VECTOR
    plain.write("spec.yaml", "name: s\nmode: training\nbase_config: config/VECTOR/plain.yaml\nsweep: {lr: [0.1]}\n")
    assert planned(plain, "--exp", "spec.yaml") == VECTOR


def test_the_documented_call_reads_them_too(plain: Workspace) -> None:
    program = (
        "from runners import runner_lib\n"
        "runner_lib.run_pipeline_from_config(config_path='config/VECTOR/plain.yaml', output_dir='out')\n"
    )
    path = f"import sys; sys.path.insert(0, {str(PROJECT)!r})\n"
    subprocess.run([sys.executable, "-c", path + program], cwd=plain.folder, check=True)
    assert chosen(read(plain / "out/metadata.json")["settings"]) == VECTOR


def test_what_is_given_comes_before_what_the_place_means(plain: Workspace) -> None:
    plain.write("config/VECTOR/plain.yaml", PLAIN + "dataset_name: TABULAR\n")
    assert planned(plain, "--configs", "config/VECTOR/plain.yaml")["dataset"] == "breast_cancer"
    words = ("--configs", "config/VECTOR/plain.yaml", "--dataset_name=IMAGE", "--model_name=CNN")
    assert planned(plain, *words) == VECTOR | {"dataset_name": "IMAGE", "dataset": "digits", "model_name": "CNN"}
    plain.write("config/VECTOR/other.yaml", "pipeline: classify\n")
    (job,) = json.loads(plain.run("--configs", "config/VECTOR/other.yaml", "--dry-run", "--json", code=0).stdout)[
        "jobs"
    ]
    assert job["config"]["pipeline"] == "classify"


def test_a_job_has_all_settings_in_a_file_if_the_place_of_its_config_means_some(plain: Workspace) -> None:
    """It gets this file if its config is edited while it waits: the exact copy is in another place."""

    def placed(name: str) -> dict[str, bytes]:
        config = ProjectScript().read(plain / name, Evaluator())
        return jobs.copies("config_used.yaml", config, ProjectScript().check(config, {}))

    files = placed("config/VECTOR/plain.yaml")
    assert chosen(yaml.safe_load(files["config_resolved.yaml"])) == VECTOR
    plain.write("elsewhere.yaml", PLAIN + "pipeline: robustness\n")
    assert set(placed("elsewhere.yaml")) == {"config_used.yaml"}


@pytest.mark.parametrize(
    ("path", "subdirectory"),
    [
        ("/p/config/VECTOR/deep/x.yaml", "VECTOR"),
        ("/p/config/my-set/x.yaml", "my-set"),
        ("/IMAGE/p/config/my-set/x.yaml", "my-set"),
        ("/p/config/x.yaml", None),
        ("/p/trees/TABULAR/deep/x.yaml", "TABULAR"),
        ("/p/trees/x.yaml", None),
    ],
)
def test_the_subdirectory_of_a_path(path: str, subdirectory: str | None) -> None:
    assert config_tree.subdirectory(Path(path)) == subdirectory


def test_values_without_a_file_have_no_place(plain: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(plain / "config/VECTOR")
    assert ExperimentConfig.from_dict({}).dataset_name == "IMAGE"
