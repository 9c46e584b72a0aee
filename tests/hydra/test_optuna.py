"""Optuna's sweeper on top of the launcher: objectives, failed trials, resume."""

from __future__ import annotations

import math

import pytest
from omegaconf import OmegaConf

from tests.conftest import Workspace, read
from tests.hydra.programs import APP, app, ran, sweep

__all__ = ["app"]  # a fixture
pytest.importorskip("hydra")
pytest.importorskip("optuna")
SQUARE = "return (cfg.seed - 2) ** 2"


def returning(expression: str) -> str:
    return APP.replace("return Answer(cfg.seed * 10)", expression)


def settings(*given: str) -> list[str]:
    """The words for four trials, two at a time, which are the same each time."""
    usual = ["sampler.seed=1", "n_trials=4", "n_jobs=2", *given]
    return ["hydra/sweeper=optuna", *(f"hydra.sweeper.{setting}" for setting in usual), "hydra.launcher.workers=2"]


@pytest.mark.slow
def test_optuna_sweeps_on_top_of_it(app: Workspace) -> None:
    app.write("app.py", returning(SQUARE))
    sweep(app, *settings("direction=minimize"), "seed=choice(0,1,2,5)")
    tried = [int(line.split()[1]) for line in ran(app)]
    best = (app / "sweep/optimization_results.yaml").read_text()
    assert len(tried) == 4 and f"best_value: {float(min((seed - 2) ** 2 for seed in tried))}" in best
    assert read(app / "sweep/experiment_summary.json")["completed"] == 4  # of two batches
    assert [job["name"] for job in read(app / "sweep/plan.json")["jobs"]] == ["0", "1", "2", "3"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("directions", "returned", "cause"),
    [
        ("minimize", "float('nan')", "not a number: nan"),
        ("[minimize,maximize]", "[1.0, float('nan')]", "not a number: [1.0, nan]"),
        ("[minimize,maximize]", "[1.0]", "not 2 objectives: [1.0]"),
    ],
)
def test_an_objective_that_cannot_be_stored_is_a_failed_trial(
    app: Workspace, directions: str, returned: str, cause: str
) -> None:
    fine = "1.0" if directions == "minimize" else "[1.0, 2.0]"
    app.write("app.py", returning(f"return {returned} if cfg.seed > 3 else {fine}"))
    out, err = sweep(app, *settings(f"direction={directions}"), "seed=range(1,8)")
    tried = [int(line.split()[1]) for line in ran(app)]
    failed = sum(seed > 3 for seed in tried)
    assert len(tried) == 4 and 0 < failed < 4 and out.count("Failed experiment: ") == failed
    assert cause in out and "Traceback" not in err
    assert (app / "sweep/optimization_results.yaml").exists()
    assert read(app / "sweep/experiment_summary.json")["completed"] == 4


@pytest.mark.slow
def test_a_sweep_of_optuna_is_resumed(app: Workspace) -> None:
    """The same sampler with the same seed asks for the same trials, as long as it gets the same answers."""
    words = (*settings("direction=minimize"), "seed=choice(0,1,2,5)")
    app.write(
        "app.py",
        returning(SQUARE).replace("match cfg.do:", "if job.num == 3: os.kill(os.getpid(), 9)\n    match cfg.do:"),
    )
    sweep(app, *words, code=1)
    assert len(ran(app)) == 4
    app.write("app.py", returning(SQUARE))
    sweep(app, *words, "hydra.launcher.resume=true")
    assert [line.split()[0] for line in ran(app)[4:]] == ["3"]
    assert read(app / "sweep/experiment_summary.json")["completed"] == 4
    _, err = sweep(
        app, *settings("direction=minimize", "sampler.seed=2"), words[-1], "hydra.launcher.resume=true", code=1
    )
    assert "the sweep in sweep was another one" in err and "sampler.seed" in err and "Traceback" not in err


def test_other_sweepers_get_what_was_returned() -> None:
    from hydra_plugins.runner_launcher import _objective

    sweeper = OmegaConf.create({"_target_": "mine.Sweeper", "direction": "minimize"})
    assert math.isnan(_objective.for_sweeper(sweeper, float("nan")))
    optuna = OmegaConf.create({"_target_": "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"})
    assert _objective.for_sweeper(optuna, "text") == "text" and _objective.for_sweeper(optuna, 1) == 1
