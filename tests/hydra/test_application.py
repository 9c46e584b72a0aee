"""train.py as document 001 has it: its commands, its folders, its way to repeat a run, its snippet word for word."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from runner import load_results
from tests.conftest import PROJECT, Workspace

pytest.importorskip("hydra")

#: A small sampling, so that a run takes seconds; everything else is as documented.
QUICK = ("sampler.names=[mala]", "sampler.chains=2", "sampler.mala.warmup=20", "sampler.mala.draws=30", "plots=false")

#: The document's aggregation, word for word.
SNIPPET = """\
# Example aggregation script snippet (Python/Pandas)
import pandas as pd
from pathlib import Path
from omegaconf import OmegaConf

def aggregate_results(sweep_dir):
    sweep_path = Path(sweep_dir)
    results = []

    for job_dir in sweep_path.iterdir():
        if job_dir.is_dir() and job_dir.name.isdigit():
            metrics_file = job_dir / 'metrics_summary.csv'
            # We load the config saved by llc/artifacts.py
            config_file = job_dir / 'config.yaml'

            if metrics_file.exists() and config_file.exists():
                # Load metrics (CSV is indexed by sampler name)
                metrics = pd.read_csv(metrics_file, index_col=0)
                metrics_flat = metrics.to_dict('index')

                # Load config using OmegaConf
                config = OmegaConf.load(config_file)

                # Extract key parameters (customize as needed)
                record = {
                    'job_id': job_dir.name,
                    'n_data': config.data.n_data,
                    'target_params': config.model.target_params,
                    'seed': config.seed,
                }

                # Add LLC means and ESS for each sampler
                for sampler, data in metrics_flat.items():
                    record[f'{sampler}_llc_mean'] = data.get('llc_mean')
                    record[f'{sampler}_ess'] = data.get('ess')

                results.append(record)

    if not results:
        return pd.DataFrame()

    df = pd.DataFrame(results).sort_values(by='job_id').reset_index(drop=True)
    return df
"""


def train(work: Workspace, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, str(PROJECT / "train.py"), *words],
        cwd=work.folder, env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True, capture_output=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def the_one(folder: Path, pattern: str = "*/*") -> Path:
    (found,) = folder.glob(pattern)
    return found


def measured(run: Path) -> list[dict[str, str]]:
    """metrics_summary.csv without what a clock has measured."""
    with (run / "metrics_summary.csv").open() as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A folder in which one run was made, where the document's customized path leads, and one sweep."""
    work = Workspace(tmp_path_factory.mktemp("ran"))
    path = "hydra.run.dir=outputs/${experiment_name}/${now:%Y-%m-%d_%H-%M-%S}"
    train(work, "model=small", "seed=7", "+experiment_name=baseline_test", path, *QUICK)
    train(work, "-m", "model=small", "seed=1,2", *QUICK)
    return work


@pytest.mark.slow
def test_a_run_has_the_documented_files(ran: Workspace) -> None:
    run = the_one(ran / "outputs")
    assert re.fullmatch(r"outputs/baseline_test/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", str(run.relative_to(ran.folder)))
    assert {"config.yaml", "metrics_summary.csv", ".hydra", "train.log"} <= {path.name for path in run.iterdir()}
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["data"]["n_data"], config["model"]["target_params"], config["seed"]) == (100, 50, 7)
    assert config["sampler"]["mala"]["draws"] == 30 and config["sampler"]["names"] == ["mala"]
    assert config["experiment_name"] == "baseline_test"
    assert "n_data 100, target_params 50, seed 7" in (run / "train.log").read_text()


@pytest.mark.slow
def test_a_sweep_has_the_documented_files(ran: Workspace) -> None:
    sweep = the_one(ran / "multirun")
    assert {path.name for path in sweep.iterdir()} == {"0", "1", "multirun.yaml", ".hydra"}
    assert yaml.safe_load((sweep / ".hydra/overrides.yaml").read_text())[:2] == ["model=small", "seed=1,2"]
    assert yaml.safe_load((sweep / "1/config.yaml").read_text())["seed"] == 2


@pytest.mark.slow
def test_the_documents_aggregation_works_unchanged(ran: Workspace) -> None:
    pytest.importorskip("pandas")
    scope: dict[str, Callable[[Path], object]] = {}
    exec(SNIPPET, scope)
    table = scope["aggregate_results"](the_one(ran / "multirun"))
    rows = json.loads(table.to_json(orient="records"))  # type: ignore[attr-defined]
    assert [(row["job_id"], row["n_data"], row["target_params"], row["seed"]) for row in rows] == [
        ("0", 100, 50, 1),
        ("1", 100, 50, 2),
    ]
    assert all(isinstance(row["mala_llc_mean"], float) and row["mala_ess"] > 0 for row in rows)


@pytest.mark.slow
def test_the_table_of_a_sweep_has_the_rows_of_the_documents_aggregation(ran: Workspace, work: Workspace) -> None:
    pytest.importorskip("pandas")
    sweep = work / "sweep"
    jobs = ("-m", "model=small", "seed=1,-1,2", f"hydra.sweep.dir={sweep}")
    train(work, *jobs, *QUICK, "model.adam_steps=20", code=1)
    scope: dict[str, Callable[[Path], object]] = {}
    exec(SNIPPET, scope)
    expected = json.loads(scope["aggregate_results"](sweep).to_json(orient="records", double_precision=15))  # type: ignore[attr-defined]
    rows = {row["name"]: row for row in load_results(sweep)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "0": "completed", "1": "incomplete", "2": "completed",
    }  # fmt: skip
    keys = {"n_data": "data.n_data", "target_params": "model.target_params"}
    for row in expected:
        found = rows[row.pop("job_id")]
        assert {key: found[keys.get(key, key)] for key in row} == pytest.approx(row)


@pytest.mark.slow
def test_an_optuna_sweep_is_a_sweep_too(work: Workspace) -> None:
    pytest.importorskip("optuna")
    trials = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=1", "hydra.sweeper.n_jobs=1", "seed=choice(1,2)")
    train(work, "-m", *trials, "hydra.sweep.dir=sweep", *QUICK, code=1)  # it returns no number
    assert [row["name"] for row in load_results(work / "sweep")] == ["0"]
    assert "belongs to a sweep" in train(work, "--config-dir", "sweep/.hydra", code=2).stderr


@pytest.mark.slow
def test_a_run_is_repeated_from_its_record(ran: Workspace, work: Workspace) -> None:
    first = the_one(ran / "outputs")
    train(work, "--config-dir", f"{first}/.hydra/")
    second = the_one(work / "outputs")
    assert re.fullmatch(r"outputs/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d", str(second.relative_to(work.folder)))
    assert (second / "config.yaml").read_bytes() == (first / "config.yaml").read_bytes()
    assert measured(second) == measured(first)


@pytest.mark.slow
def test_a_job_of_a_sweep_is_repeated_with_changes(ran: Workspace, work: Workspace) -> None:
    record = the_one(ran / "multirun") / "1/.hydra"
    config = yaml.safe_load(train(work, "--config-dir", str(record), "data.noise=0.2", "--cfg", "job").stdout)
    assert (config["seed"], config["data"]["noise"], config["sampler"]["mala"]["draws"]) == (2, 0.2, 30)


@pytest.mark.slow
def test_a_sweep_under_the_runner(work: Workspace) -> None:
    train(work, "-m", "hydra/launcher=runner", "seed=-1,1", *QUICK, code=1)
    sweep = the_one(work / "multirun")
    summary = json.loads((sweep / "experiment_summary.json").read_text())
    assert (summary["completed"], summary["failed"]) == (1, 1)
    assert "seed must be greater than or equal to 0, not -1" in summary["results"]["0"]["error"]
    assert (sweep / "1/metrics_summary.csv").exists() and (sweep / ".hydra/config.yaml").exists()


def test_the_record_of_a_sweep_is_no_record_of_a_run(work: Workspace) -> None:
    for name, text in {"config.yaml": "seed: 1", "hydra.yaml": "", "overrides.yaml": "- model=small,base"}.items():
        work.write(f"sweep/.hydra/{name}", text)
    work.write("sweep/multirun.yaml", "")
    output = train(work, "--config-dir", "sweep/.hydra", code=2).stderr
    assert "to repeat it use python train.py -m model=small,base, or name the .hydra of one of its jobs" in output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("seed=-1",), "train.py: seed must be greater than or equal to 0, not -1\n"),
        (("model.kind=lienar",), "train.py: model.kind must be one of 'mlp', 'linear', not 'lienar'"),
    ],
)
def test_an_error_is_one_sentence(work: Workspace, words: tuple[str, ...], sentence: str) -> None:
    assert train(work, *words, code=2).stderr.startswith(sentence)


def test_what_hydra_refuses_is_reported_by_hydra(work: Workspace) -> None:
    assert "Could not override 'sead'" in train(work, "sead=1", code=1).stderr
    assert "Could not find 'model/big'" in train(work, "model=big", code=1).stderr
    assert not (work / "outputs").exists()


def test_the_models_are_as_large_as_documented(work: Workspace) -> None:
    for model, size in {"small": (100, 50), "base": (20000, 10000)}.items():
        config = yaml.safe_load(train(work, f"model={model}", "--cfg", "job", "--resolve").stdout)
        assert (config["data"]["n_data"], config["model"]["target_params"]) == size
    assert list(work.folder.iterdir()) == []


def test_runs_of_one_second_get_folders_of_their_own(work: Workspace) -> None:
    """With the folder's name held, as a complete second cannot be."""
    held = "hydra.run.dir=outputs/${now:held}"
    command = [sys.executable, str(PROJECT / "train.py"), held, "seed=-1"]
    started = [subprocess.Popen(command, cwd=work.folder, stderr=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(100) for process in started] == [2, 2, 2]
    assert sorted(path.name for path in (work / "outputs").iterdir()) == ["held", "held_1", "held_2"]
    assert all((path / ".hydra/config.yaml").exists() for path in (work / "outputs").iterdir())


@pytest.mark.parametrize("size", ["small", "base"])
def test_the_groups_give_the_same_values_as_the_complete_configs(size: str) -> None:
    whole = yaml.safe_load((PROJECT / f"config/llc/llc_{size}.yaml").read_text())
    for group in ("data", "model", "sampler"):
        assert yaml.safe_load((PROJECT / f"config/llc/{group}/{size}.yaml").read_text()) == whole[group], group
