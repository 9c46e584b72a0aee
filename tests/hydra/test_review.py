"""What is noticed before jobs start: values that are missing, and jobs that do the same work."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.core.job import Job
from tests.conftest import Workspace
from tests.hydra.programs import APP, CONFIG, app, ran, sweep

pytestmark = pytest.mark.slow

__all__ = ["app"]  # a fixture
pytest.importorskip("hydra")


def test_missing_values_are_found_before_any_job_starts(app: Workspace) -> None:
    app.write("conf/config.yaml", CONFIG + "lr: ???\nopt: {name: '???', betas: [1, '???']}\n")
    _, err = sweep(app, "seed=1,2", "lr=1,???", code=1)
    assert "lr has no value (???) in job 1, 3; give it one" in err
    assert "opt.name has no value (???) in every job" in err and "opt.betas.1 has no value" in err
    assert "Traceback" not in err and not (app / "runs").exists() and not (app / "sweep/plan.json").exists()
    sweep(app, "seed=1,2", "lr=1", "opt.name=x", "opt.betas=[1,2]")
    assert ran(app) == ["0 1", "1 2"]


def test_a_program_may_fill_missing_values_itself(app: Workspace) -> None:
    app.write("conf/config.yaml", CONFIG + "late: ???\n")
    app.write("app.py", APP.replace("match cfg.do:", "cfg.late = 1\n    match cfg.do:"))
    sweep(app, "seed=1,2", "hydra.launcher.allow_missing=true")
    assert ran(app) == ["0 1", "1 2"]


def test_jobs_with_one_config_run_and_are_named(app: Workspace) -> None:
    out, _ = sweep(app, "seed=1,2,1")
    assert "1 job with a config that another one has already: job 2 repeats job 0" in out
    assert ran(app) == ["0 1", "1 2", "2 1"]


def test_a_config_that_refers_to_its_job_is_no_duplicate(tmp_path: Path) -> None:
    from hydra_plugins.runner_launcher import _review

    def jobs(config: dict[str, object]) -> dict[int, Job]:
        return {number: Job(str(number), ("x",), tmp_path / str(number), config) for number in range(2)}

    assert _review.duplicates(jobs({"name": "run_${hydra:job.num}"})) == []
    assert _review.duplicates(jobs({"name": "run"})) == ["job 1 repeats job 0"]
