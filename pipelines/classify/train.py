"""Train one classifier, from settings to the last figure, in one loop."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.classify import artifacts, display, simulation
from pipelines.classify.comparison import EVALUATION
from pipelines.classify.evaluation import EvaluationResult, Split, evaluate, layers_of
from pipelines.classify.settings import KEEP_LAST, ClassifySettings
from pipelines.classify.train_state import KIND, ModelState, TrainState, build, pack, unpack
from pipelines.shared import checkpoints, devices
from pipelines.shared.errors import record_failure, require_finite
from pipelines.shared.images import Images, open_images
from pipelines.shared.interrupts import StopRequest
from pipelines.shared.metrics import METRICS, Tracker, print_line
from pipelines.shared.optimization import learning_rate, order, set_rate
from runner.disk import atomic

HINT = "Lower lr, or bring lambda_ace nearer to 0"


def run(settings: ClassifySettings) -> int:
    """Train, and return the exit code: 0 done, 130 or 143 after a signal, once the checkpoint is written.

    Leaves error.json in out_dir when an exception passes through.
    """
    out_dir, state = artifacts.choose_folder(settings), TrainState()
    with record_failure(out_dir, lambda: state.iteration), StopRequest() as stop:
        (out_dir / artifacts.JOB).unlink(missing_ok=True)
        return train(settings, out_dir, state, stop)


def train(settings: ClassifySettings, out_dir: Path, state: TrainState, stop: StopRequest) -> int:
    # The machine, the images, the network.
    device = devices.choose_device(settings.device)
    data = open_images(settings.dataset)
    train_split = split(data.train_images, data.train_labels, data.maximum, device)
    if settings.train_examples:
        train_split = train_split.first(settings.train_examples)
    val_split = split(data.test_images, data.test_labels, data.maximum, device)
    train_sample = train_split.first(len(val_split.y))  # as many images for the training loss
    examples = len(train_split.y)
    steps = -(-examples // settings.batch_size)  # of an epoch; the last one has the remainder
    max_iters = steps * settings.epochs
    torch.set_float32_matmul_precision("high")  # TF32 on GPUs that have it; changes nothing on a CPU
    model_state = build(settings, data, device)
    model = model_state.model
    print_line(f"device: {devices.describe(device)}, writing to {out_dir}")
    print_line(
        f"dataset: {data.name} ({data.source.get('name')}), {examples:,} to train on,"
        f" {len(val_split.y):,} to validate on"
    )
    print_line(
        f"model: {settings.model}, {settings.layers} hidden layers of {settings.width},"
        f" {model.parameter_count():,} parameters, {steps} iterations per epoch"
    )

    # The start: from scratch or from a checkpoint.
    checkpoints.remove_unfinished(out_dir)
    if settings.init_from == "resume":
        path, found = checkpoints.load_latest(
            out_dir, KIND, lambda content: unpack(content, model_state, settings, data)
        )
        state.__dict__.update(vars(found))
        print_line(f"resuming from {path} at iteration {state.iteration}")
    elif folder := checkpoints.archive(out_dir, [METRICS, EVALUATION, *simulation.existing_figures(out_dir)]):
        print_line(f"moved the checkpoints of an earlier training to {folder}")
    saved_iteration = state.iteration  # the iteration of the latest checkpoint

    with Tracker(settings, out_dir, max_iters) as tracker:
        losses, steps_since_log = torch.zeros(len(model.parts()), device=device), 0
        began = time.perf_counter()
        while True:
            # Evaluate: before the first step and after each epoch.
            done = state.iteration >= max_iters
            if state.iteration % steps == 0 and state.evaluated != state.iteration:
                train_loss = evaluate(model, train_sample).loss
                result = evaluate(model, val_split)
                rate = learning_rate(min(state.iteration, max_iters - 1), max_iters, settings)
                print_line(
                    f"step {state.iteration}: train loss {train_loss:.4f}, val loss {result.loss:.4f}, lr {rate:.3e}"
                )
                print_line(f"  val accuracy {accuracy_text(result)}")
                row = {"epoch": state.iteration // steps, "train/eval_loss": train_loss, "lr": rate}
                tracker.log(state.iteration, row | result.row())
                state.evaluated = state.iteration
                if (
                    state.iteration > saved_iteration
                    and not done
                    and save(model_state, state, settings, data, out_dir, required=False)
                ):
                    saved_iteration = state.iteration
                began, steps_since_log = time.perf_counter(), 0
                losses.zero_()
            if done or stop():
                break

            # One step, of every part with its own optimizer.
            epoch, step = divmod(state.iteration, steps)
            batch = slice(step * settings.batch_size, (step + 1) * settings.batch_size)
            rows = torch.from_numpy(order(settings.seed, epoch, examples)[batch]).to(device)
            rate = learning_rate(state.iteration, max_iters, settings)
            set_rate(model_state.optimizers, rate)
            found = model.losses(train_split.x[rows], train_split.y[rows])
            for loss, optimizer in zip(found, model_state.optimizers, strict=True):
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
            losses += torch.stack([loss.detach() for loss in found])
            state.iteration, steps_since_log = state.iteration + 1, steps_since_log + 1

            # Log. Reading the losses waits for a GPU, so they are read only now and at the end of an epoch.
            log_due = state.iteration % settings.log_interval == 0 or state.iteration in (1, max_iters)
            if log_due or state.iteration % steps == 0:
                require_finite(losses.sum().item(), state.iteration, HINT)
            if log_due:
                means = (losses / steps_since_log).tolist()
                milliseconds = (time.perf_counter() - began) / steps_since_log * 1e3
                print_line(f"iter {state.iteration}: loss {means[-1]:.4f}, time {milliseconds:.2f}ms, lr {rate:.3e}")
                row = {"epoch": state.iteration / steps, "train/loss": means[-1], "lr": rate,
                       "ms_per_iter": milliseconds} | layer_losses(means)  # fmt: skip
                tracker.log(state.iteration, row)
                began, steps_since_log = time.perf_counter(), 0
                losses.zero_()

        # The end.
        require_finite(losses.sum().item(), state.iteration, HINT)
        if state.iteration > saved_iteration or not checkpoints.path_of(out_dir, KIND, state.iteration).exists():
            save(model_state, state, settings, data, out_dir, required=True)
        if stop() and not done:
            print_line(
                f"stopped by a signal after {state.iteration} iterations; --init_from=resume continues from here"
            )
            return stop.exit_code

    # The results.
    result = evaluate(model, val_split)
    record = {
        "schema": 1,
        "iteration": state.iteration,
        "dataset": data.describe(examples),
        "model": settings.model,
        "settings": settings.model_dump(mode="json"),
        "parameters": model.parameter_count(),
        "accuracy": result.accuracy,
        "loss": result.loss,
        "confusion": result.confusion,
        **layers_of(model, result, train_split, val_split),
    }
    atomic.write_json(out_dir / EVALUATION, record)
    figures = simulation.draw(record, settings, out_dir) if settings.mode == "simulation" else []
    run_dir = artifacts.link_into_runs(out_dir, settings)
    artifacts.write_job(out_dir, run_dir)
    print_line(f"done: {state.iteration} iterations, val accuracy {result.accuracy:.4f}, run_dir {run_dir}")
    if figures and settings.show and (reason := display.show(figures, stop)):
        print_line(f"show: {reason}; the figures are in {out_dir}")
    return 0


def split(images: np.ndarray, labels: np.ndarray, maximum: int, device: torch.device) -> Split:
    """Images flattened and scaled to 0 to 1."""
    x = torch.from_numpy(images).to(device).flatten(1).float() / maximum
    return Split(x, torch.from_numpy(labels).to(device).long())


def accuracy_text(result: EvaluationResult) -> str:
    layers = " ".join(f"{accuracy:.4f}" for accuracy in result.accuracies)
    return f"{result.accuracy:.4f}" + (f"; by layer {layers}" if len(result.accuracies) > 1 else "")


def layer_losses(means: list[float]) -> dict[str, Any]:
    """What each layer of a greedy network minimises, its R term included."""
    return {f"train/loss_layer_{i}": mean for i, mean in enumerate(means, 1)} if len(means) > 1 else {}


def save(
    model_state: ModelState,
    state: TrainState,
    settings: ClassifySettings,
    data: Images,
    out_dir: Path,
    *,
    required: bool,
) -> bool:
    """Write a checkpoint, and remove those that it replaces; whether it was written."""
    path = checkpoints.path_of(out_dir, KIND, state.iteration)
    if written := checkpoints.save_or_warn(path, pack(model_state, state, settings, data), required=required):
        checkpoints.prune(out_dir, KIND, KEEP_LAST, best=None, written=state.iteration)
    return written
