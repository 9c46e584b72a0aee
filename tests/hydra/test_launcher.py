"""hydra/launcher=runner under an application that is not ours: a config group, a job that fails, one with children."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.conftest import PROJECT, Workspace, alive, read, wait_until
from tests.hydra.programs import APP, SWEEP, app, ran, start, status, sweep

pytestmark = pytest.mark.slow

__all__ = ["app"]  # a fixture
pytest.importorskip("hydra")


def test_each_job_has_a_process_and_both_streams_with_timestamps(app: Workspace) -> None:
    out, _ = sweep(app, "model=small,base", "seed=1,2", "hydra.launcher.workers=2")
    assert sorted(ran(app)) == ["0 1", "1 2", "2 1", "3 2"]
    assert len({line.split()[0] for line in (app / "runs").read_text().splitlines()}) == 4
    assert "Launching 4 jobs, 2 at once, in sweep" in out and "#2 : model=base seed=1" in out
    text = (app / "sweep/3/stdout.log").read_text()
    assert text[:4].isdigit() and text[24:].startswith("[")
    assert "[__main__][INFO] - model base, seed 2, doubled 4" in text
    assert (app / "sweep/3/stderr.log").read_text()[24:] == "to the other stream\n"
    assert (app / "sweep/3/.hydra/overrides.yaml").read_text() == "- model=base\n- seed=2\n"
    assert (app / "sweep/3/app.log").exists() and (app / "sweep/multirun.yaml").exists()
    config = read(app / "sweep/3/experiment_metadata.json")["config"]
    assert config["model"] == {"name": "base"} and config["doubled"] == "${double:${seed}}"


def test_a_failure_is_shown_at_once_and_stops_nothing(app: Workspace) -> None:
    out, err = sweep(app, "seed=1,2,3", "do=unlucky", code=1)
    lines = out.splitlines()
    failed = next(number for number, line in enumerate(lines) if "#1: failed" in line)
    assert "ValueError: seed 2 is unlucky" in lines[failed] and "sweep/1" in lines[failed]
    assert any("#2 : seed=3" in line for line in lines[failed:])
    assert [status(app, job) for job in range(3)] == ["completed", "failed", "completed"]
    assert "ValueError: seed 2 is unlucky" in err  # as Hydra reports it at the end, with the job's overrides
    assert "['seed=2', 'do=unlucky']" in err
    details = (app / "sweep/1/error_details.txt").read_text()
    assert "in main" in details and "run_job" not in details


def test_fail_fast_leaves_the_rest_pending(app: Workspace) -> None:
    out, _ = sweep(app, "seed=1,2,3", "do=raise", "hydra.launcher.fail_fast=true", code=1)
    assert ran(app) == ["0 1"]
    assert "3 jobs of 3 did not complete" in out
    summary = read(app / "sweep/experiment_summary.json")
    assert (summary["failed"], summary["pending"]) == (1, 2)


def test_a_timeout_ends_the_job_with_its_children(app: Workspace) -> None:
    _, err = sweep(app, "do=sleep", "hydra.launcher.timeout=8", "hydra.launcher.grace=[1,1,5]", code=1)
    assert status(app, 0) == "timeout" and "job 0: timeout: stopped after 8 s" in err
    child = int((app / "sweep/0/stdout.log").read_text().split()[-1])
    wait_until(lambda: not alive(child), "the child is gone")
    assert "Traceback" not in err


def test_children_that_a_job_leaves_behind_are_ended(app: Workspace) -> None:
    sweep(app, "do=children", "hydra.job.chdir=true")
    assert status(app, 0) == "completed"
    child = int((app / "sweep/0/children").read_text())
    wait_until(lambda: not alive(child), "the child is gone")


def test_retries(app: Workspace) -> None:
    words = ("hydra.launcher.retries=2", "hydra.launcher.retry_delay=0.1")
    sweep(app, "do=flaky", *words)
    result = read(app / "sweep/0/experiment_result.json")
    assert (result["status"], result["attempt"]) == ("completed", 2)
    assert read(app / "sweep/0/attempt_1/experiment_result.json")["status"] == "failed"


@pytest.mark.slow
def test_resume_runs_what_is_not_completed_and_reads_the_rest_back(app: Workspace) -> None:
    sweep(app, "seed=1,2,3", "do=unlucky", code=1)
    resume = "hydra.launcher.resume=true"
    mended = APP.replace('case "unlucky" if cfg.seed == 2:', 'case "unlucky" if cfg.seed == 20:')
    app.write("app.py", mended)
    out, _ = sweep(app, "seed=1,2,3", "do=unlucky", resume)
    assert ran(app) == ["0 1", "1 2", "2 3", "1 2"]
    assert "#0: completed earlier" in out
    _, err = sweep(app, "seed=1,4,3", "do=unlucky", resume, code=1)
    assert "job 1: seed 2 -> 4\n" in err and "another hydra.sweep.dir" in err and "Traceback" not in err
    assert len(ran(app)) == 4
    (app / "sweep/2/return_value.pkl").write_bytes(b"torn")
    sweep(app, "seed=1,2,3", "do=unlucky", resume)
    assert ran(app)[4:] == ["2 3"]


@pytest.mark.slow
def test_without_resume_the_jobs_run_from_scratch_and_nothing_is_lost(app: Workspace) -> None:
    sweep(app, "seed=1,2")
    out, _ = sweep(app, "seed=1,3")
    assert ran(app) == ["0 1", "1 2", "0 1", "1 3"]
    assert "sweep holds a sweep already" in out
    assert (app / "sweep/1/attempt_1/.hydra/overrides.yaml").read_text() == "- seed=2\n"


@pytest.mark.slow
def test_ctrl_c_stops_the_sweep_and_it_can_be_gone_on_with(app: Workspace) -> None:
    process = start(app, *SWEEP, "seed=1,2,3", "do=sleep", "hydra.launcher.workers=2")
    wait_until(lambda: len(list(app.folder.glob("sweep/*/stdout.log"))) == 2, "two jobs run")
    logs = [app / f"sweep/{job}/stdout.log" for job in range(2)]
    wait_until(lambda: all("sleeping" in log.read_text() for log in logs), "both sleep")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert "hydra.sweep.dir=sweep hydra.launcher.resume=true" in out
    for log in logs:
        child = int(log.read_text().split()[-1])
        wait_until(lambda child=child: not alive(child), "no child is left")
    assert [status(app, 0), status(app, 1)] == ["interrupted", "interrupted"]
    app.write("app.py", APP.replace("time.sleep(300)\n        case", "pass\n        case"))
    app.run("--resume", "sweep", code=0)  # the other entry point can resume it too
    assert [status(app, job) for job in range(3)] == ["completed"] * 3
    assert "sweep: done; 3 completed" in app.run("status", "sweep", code=0).stdout


@pytest.mark.slow
def test_a_sweep_that_was_killed_is_gone_on_with(app: Workspace) -> None:
    process = start(app, *SWEEP, "seed=1,2", "do=sleep")
    wait_until((app / "sweep/0/stdout.log").exists, "a job runs")
    wait_until(lambda: "sleeping" in (app / "sweep/0/stdout.log").read_text(), "it sleeps")
    process.kill()
    process.communicate()
    app.write("app.py", APP.replace("time.sleep(300)\n        case", "pass\n        case"))
    sweep(app, "seed=1,2", "do=sleep", "hydra.launcher.resume=true")
    assert [status(app, job) for job in range(2)] == ["completed"] * 2


def test_odd_ends(app: Workspace) -> None:
    out, err = sweep(app, "do=kill,leave,lambda", "hydra.launcher.workers=3", code=1)
    assert [status(app, job) for job in range(3)] == ["killed", "completed", "completed"]
    assert "job 0: killed: killed by SIGKILL" in err
    assert "#2: the function that it returned cannot be pickled" in out


def test_secrets_do_not_reach_the_records_and_declared_names_do(app: Workspace) -> None:
    declared = "hydra.launcher.not_secret=[api_key]"
    sweep(app, "seed=1,2", "+wandb_api_key=hush1", "++model.hf_token=hush2", "+api_key=shown", declared)
    records = [*(app / "sweep").glob("*.json"), *(app / "sweep").glob("[01]/*.json"), app / "sweep/master_log.txt"]
    assert len(records) >= 6 and not any("hush" in path.read_text() for path in records)
    metadata = read(app / "sweep/0/experiment_metadata.json")
    assert metadata["overrides"]["+wandb_api_key"] == "***" and metadata["config"]["model"]["hf_token"] == "***"
    assert metadata["config"]["api_key"] == "shown"
    again = read(app / "sweep/plan.json")["jobs"][0]["rerun"]
    assert "+wandb_api_key=YOUR_KEY" in again and "++model.hf_token=YOUR_TOKEN" in again and "+api_key=shown" in again


def test_what_the_jobs_returned_reaches_the_sweeper(app: Workspace) -> None:
    app.write("hydra_plugins/listener.py", LISTENER)  # beside ours: all plugins are in that package
    sweep(app, "seed=1,2", "do=unlucky", "hydra/sweeper=listener")
    assert (app / "heard").read_text().splitlines() == [
        "COMPLETED ['seed=1', 'do=unlucky'] 1 sweep/0 app 10",
        "FAILED ['seed=2', 'do=unlucky'] 2 sweep/1 app ValueError('seed 2 is unlucky')",
    ]


LISTENER = """\
from pathlib import Path
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper


class Listener(Sweeper):
    def setup(self, *, hydra_context, task_function, config):
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments):
        found = [self.launcher.launch([[f"seed={seed}", "do=unlucky"]], seed - 1)[0] for seed in (1, 2)]
        Path("heard").write_text("".join(map(self.line, found)))

    def line(self, one):
        folder = Path(one.hydra_cfg.hydra.runtime.output_dir).relative_to(Path.cwd())
        try:
            value = one.return_value.value
        except Exception as error:
            value = repr(error)
        return f"{one.status.name} {one.overrides} {one.cfg.seed} {folder} {one.task_name} {value}\\n"


ConfigStore.instance().store(group="hydra/sweeper", name="listener", node={"_target_": f"{__name__}.Listener"})
"""


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("timeout", -1.0, "hydra.launcher.timeout=-1.0: is not a number of seconds above 0"),
        ("grace", [1.0, 2.0], "hydra.launcher.grace=[1.0, 2.0]: is not three numbers of seconds, such as [10,5,10]"),
        ("retry_on", ["never"], "hydra.launcher.retry_on=['never']: must name causes of failed, signal, timeout"),
        ("checkpoints", ["/etc/*"], "hydra.launcher.checkpoints: '/etc/*' is not a pattern below a job's folder"),
        ("metric_patterns", ["("], "hydra.launcher.metric_patterns: "),
        ("log_timestamps", "some", "hydra.launcher.log_timestamps=some: is none of all, combined, none"),
    ],
)
def test_options_that_cannot_be_meant(name: str, value: object, sentence: str) -> None:
    from hydra_plugins.runner_launcher import _errors, _options, launcher

    with pytest.raises(_errors.LaunchError) as error:
        _options.checked({**vars(launcher.RunnerConf()), name: value})
    assert str(error.value).startswith(sentence)


def test_errors_are_sentences(app: Workspace) -> None:
    _, err = sweep(app, "hydra.launcher.workers=0", "hydra.launcher.retries=-1", code=1)
    assert "hydra.launcher.workers=0: is too small; 1 is the least\n" in err
    assert "hydra.launcher.retries=-1: is too small; 0 is the least\n" in err
    assert "Traceback" not in err and not (app / "runs").exists() and not (app / "sweep").exists()


def test_the_options_are_the_runners(app: Workspace) -> None:
    from hydra_plugins.runner_launcher._options import checked
    from hydra_plugins.runner_launcher.launcher import RunnerConf
    from runner.core.options import NAMES, RunOptions

    ours = RunnerConf()
    # workers is max_workers; Hydra evaluates its configs, its overrides set a batch size, a sweeper has many ends
    others = {"max_workers", "executor", "observers", "notify", "report", "config_timeout", "oom_retry", "oom_keys"}
    others |= {name for name in NAMES if name.startswith("slurm_")}  # Hydra has a launcher for Slurm
    assert set(NAMES) - others <= set(vars(ours))
    # A sweeper wants a value for each of its jobs, so failures that are alike do not end its sweep by themselves.
    assert checked({**vars(ours), "workers": 3}).run == RunOptions(max_workers=3, max_same_failures=0)


def test_importing_the_runner_does_not_import_hydra() -> None:
    program = "import runner, runner.cli.main, runner.library.decorator, sys; sys.exit('hydra' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True)
