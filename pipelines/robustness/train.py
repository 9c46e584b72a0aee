"""One run, from settings to the last file: train, evaluate clean rows, attack, evaluate ood rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from pipelines.robustness import artifacts, classifier, counts, data, evaluation, layout, plots, statistics
from pipelines.robustness.classifier import TrainState
from pipelines.robustness.evaluation import Result, Stopped
from pipelines.robustness.run_log import RunLog
from pipelines.robustness.settings import RobustnessSettings
from pipelines.shared import checkpoints, devices
from pipelines.shared.errors import record_failure
from pipelines.shared.interrupts import StopRequest
from pipelines.shared.metrics import METRICS, Tracker, print_line
from runner.disk import atomic

JOB = "job.json"  # what a successful job reports to its starter


def run(settings: RobustnessSettings) -> int:
    """Return the exit code: 0 done, 130 or 143 after a signal; the results until then are written.

    Leaves error.json and logs/error.txt in out_dir when an exception passes through.
    """
    out_dir, state = Path(settings.out_dir), TrainState()
    with record_failure(out_dir, lambda: state.iteration), StopRequest() as stop, threads(settings.threads):
        (out_dir / JOB).unlink(missing_ok=True)
        with RunLog(out_dir, settings) as run_log:
            try:
                run_stages(settings, out_dir, state, stop, run_log)
                run_log.status = "completed"
            except Stopped:
                run_log.status = "interrupted"
                print_line("stopped by a signal; --init_from=resume continues from the checkpoint")
            finally:
                conclude(out_dir, settings, run_log)
        if run_log.status == "interrupted":
            return stop.exit_code
        atomic.write_json(out_dir / JOB, {"schema": 1, "run_dir": settings.out_dir})
        return 0


def run_stages(
    settings: RobustnessSettings, out_dir: Path, state: TrainState, stop: StopRequest, run_log: RunLog
) -> None:
    # The machine, the rows, the network.
    device = devices.choose_device(settings.device)
    print_line(f"device: {devices.describe(device)}, writing to {out_dir}")
    rows = data.load(settings)
    network = classifier.build(settings, rows, device)
    run_log.extra |= {
        "dataset": rows.about,
        "device": devices.describe(device),
        "model": {"name": settings.model_name, "parameters": network.parameter_count()},
    }
    run_log.write()
    print_line(f"dataset: {settings.dataset} ({settings.dataset_name}), {len(rows.train):,} rows to train on,"
        f" {len(rows.val):,} to validate, {len(rows.test):,} to test")  # fmt: skip
    print_line(f"model: {settings.model_name}, {network.parameter_count():,} parameters")

    # The training, from scratch or from a checkpoint.
    checkpoints.remove_unfinished(out_dir)
    if settings.init_from == "scratch" and (folder := checkpoints.archive(out_dir, [METRICS])):
        print_line(f"moved the checkpoints of an earlier training to {folder}")
    steps = -(-len(rows.train) // settings.batch_size)
    with Tracker(settings, out_dir, steps * settings.epochs) as tracker:
        classifier.train(network, settings, rows, device, state, stop, tracker)
        if stop():
            raise Stopped
        train_accuracy = classifier.accuracy(classifier.outputs(network, rows.train.x, device), rows.train.y)
        training = {"iterations": state.iteration, "train_accuracy": train_accuracy}

        # The evaluation. Each stage is written before the next one begins.
        features = artifacts.Features(out_dir, settings.export_features)
        for result in evaluation.stages(network, rows, settings, device, stop, print_line):
            print_line(stage_line(result, settings))
            features.write(result)
            artifacts.write_evaluations(out_dir, result)
            artifacts.write_records(out_dir, result, settings)
            metrics = statistics.metrics_record(result, settings, training)
            atomic.write_json(out_dir / layout.METRICS_JSON, metrics)
            found = statistics.success_counts(result, settings)
            artifacts.write_counts(out_dir, statistics.counts_record(found, settings, result), found.summary())
            run_log.extra["features"] = list(features.written.values())
            run_log.write()
            if stop():
                raise Stopped
        tracker.log(state.iteration, {"test/accuracy": float(result.right.mean())} | success_rates(found))
    figures = plots.draw(result, settings, evaluation.planes(network, result, settings, device), out_dir)
    run_log.extra["images"] = [str(path.relative_to(out_dir)) for path in figures]
    print_line(f"done: {found.summary()}")


def compute(settings: RobustnessSettings) -> Result:
    """The last result of a run, without a folder: nothing is printed or written."""
    with threads(settings.threads):
        device = devices.choose_device(settings.device)
        rows = data.load(settings)
        network = classifier.build(settings, rows, device)
        classifier.train(network, settings, rows, device, TrainState(), never, None)
        *_, result = evaluation.stages(network, rows, settings, device, never, lambda line: None)
        return result


def never() -> bool:
    return False


def conclude(out_dir: Path, settings: RobustnessSettings, run_log: RunLog) -> None:
    """In any case: the counts, as far as the written files give them."""
    found = counts.derive(out_dir)
    if not (out_dir / counts.SUCCESS_COUNTS).exists():
        found = statistics.success_counts(None, settings)
        with contextlib.suppress(OSError):
            artifacts.write_counts(out_dir, statistics.counts_record(found, settings, None), found.summary())
    run_log.extra["success_counts"] = {
        "adversarial": statistics.fraction_record(found.adversarial),
        "ood": statistics.fraction_record(found.ood),
        "notes": found.notes,
    }


def stage_line(result: Result, settings: RobustnessSettings) -> str:
    """A line about the stage that has just ended."""
    name = settings.detector.name
    match result.stage:
        case "clean":
            limit = result.thresholds[name]
            return f"clean: test accuracy {result.right.mean():.4f}, {name} threshold {limit:.4g}"
        case "attack":
            attack = statistics.fraction_record(statistics.success_fraction(result.attack_test.meta["adv_mask"]))
            if attack is None:
                return "attack: no row that could be attacked is classified correctly, so none was"
            return f"attack: {settings.attack.name} succeeds on {attack['count']} of {attack['of']} rows"
    found = statistics.detection(result.eval_ood, result.thresholds)[name]
    return f"ood: {name} detects {found['detected']['count']} of {found['detected']['of']}, AUROC {found['auroc']:.4f}"


def success_rates(found: counts.Counts) -> dict[str, float]:
    """The rates as metrics.jsonl and the runner's table show them."""
    parts = {"adversarial_success_rate": found.adversarial, "ood_success_rate": found.ood}
    return {name: fraction.rate for name, fraction in parts.items() if fraction is not None}


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Set the number of threads of torch and numpy: sums depend on it in the last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)
