"""One run, from settings to the last file: train, look at clean rows, attack, look at rows from elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from pipelines import checkpoints, machine
from pipelines.failure import noted
from pipelines.robustness import artifacts, counts, data, layout, learner, measures, pictures, study
from pipelines.robustness.learner import State
from pipelines.robustness.logbook import Logbook
from pipelines.robustness.settings import RobustnessSettings
from pipelines.robustness.study import Result, Stopped
from pipelines.stopping import StopRequest
from pipelines.tracking import METRICS, Tracker, say
from runner.disk import atomic

JOB = "job.json"  # what a job that has succeeded reports to whoever started it


def run(settings: RobustnessSettings) -> int:
    """Return the exit code: 0 done, 130 or 143 after a signal; what was done until then is written.

    Leaves error.json and logs/error.txt in out_dir when an exception passes through.
    """
    out_dir, state = Path(settings.out_dir), State()
    with noted(out_dir, lambda: state.iteration), StopRequest() as stop, threads(settings.threads):
        (out_dir / JOB).unlink(missing_ok=True)
        with Logbook(out_dir, settings) as logbook:
            try:
                study_one(settings, out_dir, state, stop, logbook)
                logbook.status = "completed"
            except Stopped:
                logbook.status = "interrupted"
                say("stopped by a signal; --init_from=resume goes on from the checkpoint")
            finally:
                conclude(out_dir, settings, logbook)
        if logbook.status == "interrupted":
            return stop.exit_code
        atomic.write_json(out_dir / JOB, {"schema": 1, "run_dir": settings.out_dir})
        return 0


def study_one(settings: RobustnessSettings, out_dir: Path, state: State, stop: StopRequest, logbook: Logbook) -> None:
    # The machine, the rows, the network.
    device = machine.choose_device(settings.device)
    say(f"device: {machine.describe(device)}, writing to {out_dir}")
    rows = data.load(settings)
    network = learner.build(settings, rows, device)
    logbook.about |= {
        "dataset": rows.about,
        "device": machine.describe(device),
        "model": {"name": settings.model_name, "parameters": network.parameter_count()},
    }
    logbook.write()
    say(f"dataset: {settings.dataset} ({settings.dataset_name}), {len(rows.train):,} rows to learn,"
        f" {len(rows.val):,} to validate, {len(rows.test):,} to test")  # fmt: skip
    say(f"model: {settings.model_name}, {network.parameter_count():,} parameters")

    # Where it begins, and its training.
    checkpoints.clear_unfinished(out_dir)
    if settings.init_from == "scratch" and (folder := checkpoints.set_aside(out_dir, [METRICS])):
        say(f"moved the checkpoints of an earlier training to {folder}")
    steps = -(-len(rows.train) // settings.batch_size)
    with Tracker(settings, out_dir, steps * settings.epochs) as tracker:
        learner.train(network, settings, rows, device, state, stop, tracker)
        if stop():
            raise Stopped
        train_accuracy = learner.accuracy(learner.outputs(network, rows.train.x, device), rows.train.y)
        training = {"iterations": state.iteration, "train_accuracy": train_accuracy}

        # What is done to it. Each stage is written before the next one begins.
        features = artifacts.Features(out_dir, settings.export_features)
        for result in study.stages(network, rows, settings, device, stop, say):
            say(told(result, settings))
            features.write(result)
            artifacts.write_evaluations(out_dir, result)
            artifacts.write_records(out_dir, result, settings)
            numbers = measures.summarised(result, settings, training)
            atomic.write_json(out_dir / layout.METRICS_JSON, numbers)
            found = measures.counts(result, settings)
            artifacts.write_counts(out_dir, measures.counted(found, settings, result), found.summary())
            logbook.about["features"] = list(features.written.values())
            logbook.write()
            if stop():
                raise Stopped
        tracker.log(state.iteration, {"test/accuracy": float(result.right.mean())} | shares(found))
    drawn = pictures.draw(result, settings, study.planes(network, result, settings, device), out_dir)
    logbook.about["images"] = [str(path.relative_to(out_dir)) for path in drawn]
    say(f"done: {found.summary()}")


def compute(settings: RobustnessSettings) -> Result:
    """The last result of a run, without a folder: nothing is told, and nothing is written."""
    with threads(settings.threads):
        device = machine.choose_device(settings.device)
        rows = data.load(settings)
        network = learner.build(settings, rows, device)
        learner.train(network, settings, rows, device, State(), never, None)
        *_, result = study.stages(network, rows, settings, device, never, lambda line: None)
        return result


def never() -> bool:
    return False


def conclude(out_dir: Path, settings: RobustnessSettings, logbook: Logbook) -> None:
    """Whatever has happened: the counts that can be had of what was written."""
    found = counts.derive(out_dir)
    if not (out_dir / counts.SUCCESS_COUNTS).exists():
        found = measures.counts(None, settings)
        with contextlib.suppress(OSError):
            artifacts.write_counts(out_dir, measures.counted(found, settings, None), found.summary())
    logbook.about["success_counts"] = {
        "adversarial": measures.described(found.adversarial),
        "ood": measures.described(found.ood),
        "notes": found.notes,
    }


def told(result: Result, settings: RobustnessSettings) -> str:
    """A line about the stage that has just ended."""
    name = settings.detector.name
    match result.stage:
        case "clean":
            limit = result.thresholds[name]
            return f"clean: test accuracy {result.right.mean():.4f}, {name} threshold {limit:.4g}"
        case "attack":
            attack = measures.described(measures.share(result.attack_test.meta["adv_mask"]))
            if attack is None:
                return "attack: no test row is classified rightly, so none was attacked"
            return f"attack: {settings.attack.name} succeeds on {attack['count']} of {attack['of']} rows"
    found = measures.detection(result.eval_ood, result.thresholds)[name]
    return f"ood: {name} detects {found['detected']['count']} of {found['detected']['of']}, AUROC {found['auroc']:.4f}"


def shares(found: counts.Counts) -> dict[str, float]:
    """The rates as metrics.jsonl and the runner's table show them."""
    parts = {"adversarial_success_rate": found.adversarial, "ood_success_rate": found.ood}
    return {name: share.rate for name, share in parts.items() if share is not None}


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads for torch and for the linear algebra of numpy: a sum over more of them is another sum."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)
