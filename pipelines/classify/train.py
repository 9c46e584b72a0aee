"""Train one classifier, from settings to the last figure: one loop, read from top to bottom."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.classify import artifacts, display, simulation
from pipelines.classify.comparison import EVALUATION
from pipelines.classify.evaluation import Judgement, Split, judge, layers_of
from pipelines.classify.settings import KEEP_LAST, ClassifySettings
from pipelines.classify.train_state import KIND, Learner, State, build, pack, unpack
from pipelines.shared import checkpoints, devices
from pipelines.shared.errors import record_failure, require_finite
from pipelines.shared.images import Images, open_images
from pipelines.shared.interrupts import StopRequest
from pipelines.shared.metrics import METRICS, Tracker, print_line
from pipelines.shared.optimization import learning_rate, order, set_rate
from runner import atomic

HINT = "Lower lr, or bring lambda_ace nearer to 0"


def run(settings: ClassifySettings) -> int:
    """Train, and return the exit code: 0 done, 130 or 143 after a signal, once the checkpoint is written.

    Leaves error.json in out_dir when an exception passes through.
    """
    out_dir, state = artifacts.choose(settings), State()
    with record_failure(out_dir, lambda: state.iteration), StopRequest() as stop:
        (out_dir / artifacts.JOB).unlink(missing_ok=True)
        return train(settings, out_dir, state, stop)


def train(settings: ClassifySettings, out_dir: Path, state: State, stop: StopRequest) -> int:
    # The machine, the images, the network.
    device = devices.choose_device(settings.device)
    data = open_images(settings.dataset)
    learned = split(data.train_images, data.train_labels, data.maximum, device)
    if settings.train_examples:
        learned = learned.first(settings.train_examples)
    held_back = split(data.test_images, data.test_labels, data.maximum, device)
    asked = learned.first(len(held_back.y))  # the training loss is that of as many images
    examples = len(learned.y)
    steps = -(-examples // settings.batch_size)  # of an epoch; the last one takes what is left
    max_iters = steps * settings.epochs
    torch.set_float32_matmul_precision("high")  # TF32 on GPUs that have it; changes nothing on a CPU
    learner = build(settings, data, device)
    model = learner.model
    print_line(f"device: {devices.describe(device)}, writing to {out_dir}")
    print_line(
        f"dataset: {data.name} ({data.source.get('name')}), {examples:,} to learn, {len(held_back.y):,} held back"
    )
    print_line(f"model: {settings.model}, {settings.layers} hidden layers of {settings.width}, {model.parameter_count():,}"
        f" parameters, {steps} iterations an epoch")  # fmt: skip

    # Where it begins.
    checkpoints.remove_unfinished(out_dir)
    if settings.init_from == "resume":
        path, content = checkpoints.load_latest(out_dir, KIND)
        state.__dict__.update(unpack(content, learner, settings, data).__dict__)
        print_line(f"resuming from {path} at iteration {state.iteration}")
    elif folder := checkpoints.archive(out_dir, [METRICS, EVALUATION, *simulation.drawn(out_dir)]):
        print_line(f"moved the checkpoints of an earlier training to {folder}")
    saved = state.iteration  # the iteration of the newest checkpoint

    with Tracker(settings, out_dir, max_iters) as tracker:
        losses, summed = torch.zeros(len(model.parts()), device=device), 0
        began = time.perf_counter()
        while True:
            # Look: before the first step and after each epoch.
            done = state.iteration >= max_iters
            if state.iteration % steps == 0 and state.evaluated != state.iteration:
                train_loss = judge(model, asked).loss
                judgement = judge(model, held_back)
                rate = learning_rate(min(state.iteration, max_iters - 1), max_iters, settings)
                print_line(
                    f"step {state.iteration}: train loss {train_loss:.4f}, val loss {judgement.loss:.4f}, lr {rate:.3e}"
                )
                print_line(f"  val accuracy {shares(judgement)}")
                row = {"epoch": state.iteration // steps, "train/eval_loss": train_loss, "lr": rate}
                tracker.log(state.iteration, row | judgement.row())
                state.evaluated = state.iteration
                if (
                    state.iteration > saved
                    and not done
                    and save(learner, state, settings, data, out_dir, required=False)
                ):
                    saved = state.iteration
                began, summed = time.perf_counter(), 0
                losses.zero_()
            if done or stop():
                break

            # Learn: one step, of every part with its own optimizer.
            epoch, step = divmod(state.iteration, steps)
            batch = slice(step * settings.batch_size, (step + 1) * settings.batch_size)
            rows = torch.from_numpy(order(settings.seed, epoch, examples)[batch]).to(device)
            rate = learning_rate(state.iteration, max_iters, settings)
            set_rate(learner.optimizers, rate)
            found = model.losses(learned.x[rows], learned.y[rows])
            for loss, optimizer in zip(found, learner.optimizers, strict=True):
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
            losses += torch.stack([loss.detach() for loss in found])
            state.iteration, summed = state.iteration + 1, summed + 1

            # Tell. Reading the losses waits for a GPU, so they are read only now and at the end of an epoch.
            tell = state.iteration % settings.log_interval == 0 or state.iteration in (1, max_iters)
            if tell or state.iteration % steps == 0:
                require_finite(losses.sum().item(), state.iteration, HINT)
            if tell:
                means = (losses / summed).tolist()
                milliseconds = (time.perf_counter() - began) / summed * 1e3
                print_line(f"iter {state.iteration}: loss {means[-1]:.4f}, time {milliseconds:.2f}ms, lr {rate:.3e}")
                row = {"epoch": state.iteration / steps, "train/loss": means[-1], "lr": rate,
                       "ms_per_iter": milliseconds} | objectives(means)  # fmt: skip
                tracker.log(state.iteration, row)
                began, summed = time.perf_counter(), 0
                losses.zero_()

        # Leave.
        require_finite(losses.sum().item(), state.iteration, HINT)
        if state.iteration > saved or not checkpoints.path_of(out_dir, KIND, state.iteration).exists():
            save(learner, state, settings, data, out_dir, required=True)
        if stop() and not done:
            print_line(f"stopped by a signal after {state.iteration} iterations; --init_from=resume goes on from here")
            return stop.exit_code

    # What came of it.
    judgement = judge(model, held_back)
    record = {
        "schema": 1,
        "iteration": state.iteration,
        "dataset": data.describe(examples),
        "model": settings.model,
        "settings": settings.model_dump(mode="json"),
        "parameters": model.parameter_count(),
        "accuracy": judgement.accuracy,
        "loss": judgement.loss,
        "confusion": judgement.confusion,
        **layers_of(model, judgement, learned, held_back),
    }
    atomic.write_json(out_dir / EVALUATION, record)
    pictures = simulation.draw(record, settings, out_dir) if settings.mode == "simulation" else []
    run_dir = artifacts.placed(out_dir, settings)
    artifacts.report(out_dir, run_dir)
    print_line(f"done: {state.iteration} iterations, val accuracy {judgement.accuracy:.4f}, run_dir {run_dir}")
    if pictures and settings.show and (why_not := display.show(pictures, stop)):
        print_line(f"show: {why_not}; the figures are in {out_dir}")
    return 0


def split(images: np.ndarray, labels: np.ndarray, maximum: int, device: torch.device) -> Split:
    """Images flattened and scaled to 0 to 1."""
    x = torch.from_numpy(images).to(device).flatten(1).float() / maximum
    return Split(x, torch.from_numpy(labels).to(device).long())


def shares(judgement: Judgement) -> str:
    layers = " ".join(f"{accuracy:.4f}" for accuracy in judgement.accuracies)
    return f"{judgement.accuracy:.4f}" + (f"; by layer {layers}" if len(judgement.accuracies) > 1 else "")


def objectives(means: list[float]) -> dict[str, Any]:
    """What each layer of a greedy network minimises, its share of R included."""
    return {f"train/loss_layer_{i}": mean for i, mean in enumerate(means, 1)} if len(means) > 1 else {}


def save(
    learner: Learner, state: State, settings: ClassifySettings, data: Images, out_dir: Path, *, required: bool
) -> bool:
    """Write a checkpoint, and remove those that it replaces; whether it is written."""
    path = checkpoints.path_of(out_dir, KIND, state.iteration)
    if written := checkpoints.save_or_warn(path, pack(learner, state, settings, data), required=required):
        checkpoints.prune(out_dir, KIND, KEEP_LAST, best=None, written=state.iteration)
    return written
