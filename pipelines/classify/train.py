"""Train one classifier, from settings to the last figure, in one loop."""

from __future__ import annotations

import time
from dataclasses import dataclass
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
    torch.set_float32_matmul_precision("high")  # TF32 on GPUs that have it; changes nothing on a CPU
    training = prepare(settings, out_dir, state)
    begin(training)
    with Tracker(settings, out_dir, training.max_iters) as tracker:
        loop = Loop(training, stop, tracker)
        loop.run()
        loop.finish()
    if stop() and state.iteration < training.max_iters:
        print_line(f"stopped by a signal after {state.iteration} iterations; --init_from=resume continues from here")
        return stop.exit_code
    conclude(training, stop)
    return 0


@dataclass(slots=True)
class Training:
    """What one training has from its beginning to its end."""

    settings: ClassifySettings
    out_dir: Path
    state: TrainState
    device: torch.device
    data: Images
    train: Split
    val: Split
    model_state: ModelState

    @property
    def examples(self) -> int:
        return len(self.train.y)

    @property
    def steps(self) -> int:
        """Of an epoch; the last one has the remainder."""
        return -(-self.examples // self.settings.batch_size)

    @property
    def max_iters(self) -> int:
        return self.steps * self.settings.epochs


def prepare(settings: ClassifySettings, out_dir: Path, state: TrainState) -> Training:
    """The machine, the images, the network."""
    device = devices.choose_device(settings.device)
    data = open_images(settings.dataset)
    train_split = split(data.train_images, data.train_labels, data.maximum, device)
    if settings.train_examples:
        train_split = train_split.first(settings.train_examples)
    val_split = split(data.test_images, data.test_labels, data.maximum, device)
    model_state = build(settings, data, device)
    training = Training(settings, out_dir, state, device, data, train_split, val_split, model_state)
    print_line(f"device: {devices.describe(device)}, writing to {out_dir}")
    print_line(
        f"dataset: {data.name} ({data.source.get('name')}), {training.examples:,} to train on,"
        f" {len(val_split.y):,} to validate on"
    )
    print_line(
        f"model: {settings.model}, {settings.layers} hidden layers of {settings.width},"
        f" {model_state.model.parameter_count():,} parameters, {training.steps} iterations per epoch"
    )
    return training


def begin(training: Training) -> None:
    """From scratch or from a checkpoint."""
    settings, out_dir, state = training.settings, training.out_dir, training.state
    checkpoints.remove_unfinished(out_dir)
    if settings.init_from == "resume":
        path, found = checkpoints.load_latest(
            out_dir, KIND, lambda content: unpack(content, training.model_state, settings, training.data)
        )
        state.__dict__.update(vars(found))
        print_line(f"resuming from {path} at iteration {state.iteration}")
    elif folder := checkpoints.archive(out_dir, [METRICS, EVALUATION, *simulation.existing_figures(out_dir)]):
        print_line(f"moved the checkpoints of an earlier training to {folder}")


class Loop:
    """Evaluations and steps in turn, until the training is done or a signal comes."""

    def __init__(self, training: Training, stop: StopRequest, tracker: Tracker) -> None:
        self._training, self._stop, self._tracker = training, stop, tracker
        self._state, self._model = training.state, training.model_state.model
        self._train_sample = training.train.first(len(training.val.y))  # as many images for the training loss
        self._saved = self._state.iteration  # the iteration of the latest checkpoint
        self._losses = torch.zeros(len(self._model.parts()), device=training.device)
        self._restart()

    def run(self) -> None:
        while True:
            done = self._state.iteration >= self._training.max_iters
            if self._state.iteration % self._training.steps == 0 and self._state.evaluated != self._state.iteration:
                self._evaluate()
                if self._state.iteration > self._saved and not done and self._save(required=False):
                    self._saved = self._state.iteration
                self._restart()
            if done or self._stop():
                return
            rate = self._step()
            self._log(rate)

    def finish(self) -> None:
        """The last checkpoint."""
        self._require_finite()
        there = checkpoints.path_of(self._training.out_dir, KIND, self._state.iteration).exists()
        if self._state.iteration > self._saved or not there:
            self._save(required=True)

    def _restart(self) -> None:
        """Time and losses are those since the last log line or evaluation."""
        self._began, self._steps_since_log = time.perf_counter(), 0
        self._losses.zero_()

    def _evaluate(self) -> None:
        """Before the first step and after each epoch."""
        settings, iteration, most = self._training.settings, self._state.iteration, self._training.max_iters
        train_loss = evaluate(self._model, self._train_sample).loss
        result = evaluate(self._model, self._training.val)
        rate = learning_rate(min(iteration, most - 1), most, settings)
        print_line(f"step {iteration}: train loss {train_loss:.4f}, val loss {result.loss:.4f}, lr {rate:.3e}")
        print_line(f"  val accuracy {accuracy_text(result)}")
        row = {"epoch": iteration // self._training.steps, "train/eval_loss": train_loss, "lr": rate}
        self._tracker.log(iteration, row | result.row())
        self._state.evaluated = iteration

    def _step(self) -> float:
        """One step, of every part with its own optimizer. Returns its learning rate."""
        training, settings = self._training, self._training.settings
        epoch, step = divmod(self._state.iteration, training.steps)
        batch = slice(step * settings.batch_size, (step + 1) * settings.batch_size)
        rows = torch.from_numpy(order(settings.seed, epoch, training.examples)[batch]).to(training.device)
        rate = learning_rate(self._state.iteration, training.max_iters, settings)
        set_rate(training.model_state.optimizers, rate)
        found = self._model.losses(training.train.x[rows], training.train.y[rows])
        for loss, optimizer in zip(found, training.model_state.optimizers, strict=True):
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        self._losses += torch.stack([loss.detach() for loss in found])
        self._state.iteration, self._steps_since_log = self._state.iteration + 1, self._steps_since_log + 1
        return rate

    def _log(self, rate: float) -> None:
        """Reading the losses waits for a GPU, so they are read only when a line is due and at the end of an epoch."""
        iteration, training = self._state.iteration, self._training
        is_due = iteration % training.settings.log_interval == 0 or iteration in (1, training.max_iters)
        if is_due or iteration % training.steps == 0:
            self._require_finite()
        if not is_due:
            return
        means = (self._losses / self._steps_since_log).tolist()
        milliseconds = (time.perf_counter() - self._began) / self._steps_since_log * 1e3
        print_line(f"iter {iteration}: loss {means[-1]:.4f}, time {milliseconds:.2f}ms, lr {rate:.3e}")
        row = {"epoch": iteration / training.steps, "train/loss": means[-1], "lr": rate, "ms_per_iter": milliseconds}
        self._tracker.log(iteration, row | layer_losses(means))
        self._restart()

    def _require_finite(self) -> None:
        require_finite(self._losses.sum().item(), self._state.iteration, HINT)

    def _save(self, *, required: bool) -> bool:
        """Write a checkpoint, and remove those that it replaces; whether it was written."""
        training, iteration = self._training, self._state.iteration
        content = pack(training.model_state, self._state, training.settings, training.data)
        path = checkpoints.path_of(training.out_dir, KIND, iteration)
        if written := checkpoints.save_or_warn(path, content, required=required):
            checkpoints.prune(training.out_dir, KIND, KEEP_LAST, best=None, written=iteration)
        return written


def conclude(training: Training, stop: StopRequest) -> None:
    """The results, and what is drawn of them."""
    settings, out_dir, model = training.settings, training.out_dir, training.model_state.model
    result = evaluate(model, training.val)
    record = {
        "schema": 1,
        "iteration": training.state.iteration,
        "dataset": training.data.describe(training.examples),
        "model": settings.model,
        "settings": settings.model_dump(mode="json"),
        "parameters": model.parameter_count(),
        "accuracy": result.accuracy,
        "loss": result.loss,
        "confusion": result.confusion,
        **layers_of(model, result, training.train, training.val),
    }
    atomic.write_json(out_dir / EVALUATION, record)
    figures = simulation.draw(record, settings, out_dir) if settings.mode == "simulation" else []
    run_dir = artifacts.link_into_runs(out_dir, settings)
    artifacts.write_job(out_dir, run_dir)
    print_line(f"done: {training.state.iteration} iterations, val accuracy {result.accuracy:.4f}, run_dir {run_dir}")
    if figures and settings.show and (reason := display.show(figures, stop)):
        print_line(f"show: {reason}; the figures are in {out_dir}")


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
