"""Train one masked-diffusion or error-detection model, from settings to the last checkpoint, in one loop."""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pipelines.diffusion.evaluation.pieces import divided_among
from pipelines.diffusion.meter import Meter
from pipelines.diffusion.objectives import Evaluated
from pipelines.diffusion.schedule import Progress, advance, learning_rate
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.start import Training, begin, introduce, network_of, position_of, prepare, stage_of
from pipelines.diffusion.text.dataset import Dataset
from pipelines.diffusion.train_state import ModelState, TrainState, Updater, averaged_weights, loss_of, pack
from pipelines.shared import checkpoints, distributed
from pipelines.shared.distributed import World
from pipelines.shared.errors import Diverged, record_failure
from pipelines.shared.interrupts import StopRequest
from pipelines.shared.metrics import Log, NullTracker, Tracker, print_line

if TYPE_CHECKING:
    from pipelines.shared.profiling import Profile

HINT = "Lower learning_rate, lengthen warmup_iters, or set grad_clip"
INTERRUPTED = "a signal ended the final evaluation early; --init_from=resume --eval_only=true repeats it"
MAX_SKIPPED = 10  # consecutive steps with a gradient that is not finite: a single one may be bad luck


def run(settings: DiffusionSettings) -> int:
    """Train, and return the exit code: 0 done, 130 or 143 after a signal, once the checkpoint is written.

    Leaves error.json in out_dir when an exception passes through.
    """
    out_dir, state = Path(settings.out_dir), TrainState()
    with (
        StopRequest() as stop,
        distributed.join_world(settings.device) as world,
        record_failure(out_dir, lambda: state.iteration) if world.is_rank_zero else nullcontext(),
    ):
        return train(settings, state, stop, world)


def train(settings: DiffusionSettings, state: TrainState, stop: StopRequest, world: World) -> int:
    training = prepare(settings, state, world, print_line if world.is_rank_zero else lambda line: None)
    introduce(training)
    if not begin(training):
        return 0
    network = network_of(training)
    if training.has_stages:
        training.log(announcement(settings, state))
    tracked = Tracker(settings, training.out_dir, settings.max_iters) if world.is_rank_zero else NullTracker()
    with tracked as tracker:
        loop = Loop(training, network, stop, tracker)
        loop.run()
        return loop.finish()


class Loop:
    """Evaluations and steps in turn, until the training is done or a signal comes."""

    def __init__(
        self, training: Training, network: nn.Module, stop: StopRequest, tracker: Tracker | NullTracker
    ) -> None:
        self._training, self._network, self._stop, self._tracker = training, network, stop, tracker
        self._settings, self._state, self._world = training.settings, training.state, training.world
        self._model_state, self._log = training.model_state, training.log
        self._updater = Updater(self._model_state, self._settings)
        self._improved = self._done = False
        self._profile = profile_of(training)
        self._meter = Meter(
            training.device, training.dtype, self._world, self._log, tokens_per_iter=training.tokens_per_iter,
            flops_per_token=self._model_state.model.flops_per_token(), skipped=self._state.skipped,
        )  # fmt: skip

    def run(self) -> None:
        self._model_state.model.train()
        while True:
            self._done = self._training.position >= self._settings.max_iters or self._settings.eval_only
            self._improved = False
            if self._is_evaluated_now() and not self._evaluate():
                break
            if self._done or self._world.any(self._stop()):
                break
            rate, norm = self._step()
            self._log_step(rate, norm)
        if self._profile:
            self._profile.finish()

    def _is_at_interval(self) -> bool:
        return self._state.iteration % self._settings.eval_interval == 0

    def _is_evaluated_now(self) -> bool:
        """At every interval and at the end."""
        state = self._state
        due = state.iteration and (self._is_at_interval() or self._done) and state.evaluated != state.iteration
        return bool(self._settings.eval_only or due)

    def _evaluate(self) -> bool:
        """False when a signal came."""
        settings, state, world = self._settings, self._state, self._world
        with averaged_weights(self._model_state) as averaged_model, divided_among(world):
            result = self._training.objective.evaluate(averaged_model, self._stop)
        if result is None:
            return False
        report(result, settings, state, self._tracker, self._log)
        # One at the end, between two intervals, moves no stage: max_iters must not change the curriculum.
        stage = state.progress.stage
        moves = self._is_at_interval() and not settings.eval_only
        self._improved = update_state(result, settings, state, moves_stage=moves)
        if state.progress.stage != stage:
            self._log(announcement(settings, state))
        state.skipped = self._meter.skipped
        if not self._done and (self._improved or settings.always_save_checkpoint) and world.is_rank_zero:
            self._save(required=False)
        self._meter.restart()
        return True

    def _step(self) -> tuple[float, Tensor]:
        """One step, with gradients accumulated over the micro-batches: its rate, and the norm of the gradient."""
        settings, state, world, training = self._settings, self._state, self._world, self._training
        began = perf_counter()
        if training.has_stages and settings.stage_schedule == "fixed":
            stage = stage_of(settings, state)
            if stage != state.progress.stage:
                state.progress = Progress(stage)
                self._log(announcement(settings, state))
        rate = learning_rate(state.iteration, settings, training.position)
        loss = torch.zeros((), device=training.device)
        for micro_batch in training.micro_batches:
            batch = training.objective.draw(state.iteration, micro_batch, state.progress.stage)
            with world.no_sync(self._network, last=micro_batch == training.micro_batches[-1]):
                part = loss_of(self._network, batch) * (world.size / settings.gradient_accumulation_steps)
                self._model_state.scaler.scale(part).backward()
            loss += part.detach()
        norm, skipped = self._updater.step(rate, state.iteration)
        state.iteration += 1
        self._meter.count(loss, skipped)
        state.seconds += perf_counter() - began
        if settings.max_minutes:
            state.seconds = world.broadcast(state.seconds)  # the processes must agree on rates and on the end
        if self._profile:
            self._profile.step()
        return rate, norm

    def _log_step(self, rate: float, norm: Tensor) -> None:
        """Reading a number waits for a GPU, so numbers are read only when they are due; on a CPU reading is free."""
        settings, state, training, meter = self._settings, self._state, self._training, self._meter
        due = state.iteration % settings.log_interval == 0 or state.iteration in (1, settings.max_iters)
        if (due or training.device.type == "cpu") and meter.consecutive_skips >= MAX_SKIPPED:
            raise Diverged(
                f"the gradient was not finite in the last {meter.consecutive_skips} steps, up to iteration"
                f" {state.iteration}. {HINT}"
            )
        if not due:
            return
        # The first step also allocates and tunes, so its time says nothing about speed.
        row, line = meter.row(warm=state.iteration > 1)
        self._log(f"iter {state.iteration}: {line}")
        epoch = state.iteration * training.tokens_per_iter / len(training.text.train)
        row |= planned_row(settings, state) | {"lr": rate, "grad_norm": norm.item(), "epoch": epoch}
        self._tracker.log(state.iteration, row | stage_row(settings, state))

    def _save(self, *, required: bool) -> None:
        save(
            self._model_state, self._state, self._settings, self._training.text, best=self._improved, required=required
        )

    def finish(self) -> int:
        """The last checkpoint and the final evaluation; returns the exit code."""
        settings, state, stop, world, log = self._settings, self._state, self._stop, self._world, self._log
        # All ranks agree on the end: a signal may not have reached all of them yet.
        stopped = world.any(stop())
        state.skipped = self._meter.skipped
        if world.is_rank_zero and not settings.eval_only:
            self._save(required=True)
        if stopped and not self._done:
            log(f"stopped by a signal after {state.iteration} iterations; --init_from=resume continues from here")
            return stop.exit_code
        if settings.final_evaluation:
            with averaged_weights(self._model_state) as averaged_model, divided_among(world):
                final = self._training.objective.evaluate_full(averaged_model, stop, log)
            log(f"final: {final.summary()}" if final else INTERRUPTED)
            if final:
                self._tracker.log(state.iteration, final.row())
        if settings.eval_only:
            return stop.exit_code if stop() else 0
        log(f"done: {state.iteration} iterations, best val loss {state.best_val_loss:.4f}")
        return 0


def profile_of(training: Training) -> Profile | None:
    if not training.settings.profile or not training.world.is_rank_zero:
        return None
    from pipelines.shared.profiling import Profile

    return Profile(training.out_dir, training.log)


def report(
    result: Evaluated, settings: DiffusionSettings, state: TrainState, tracker: Tracker | NullTracker, log: Log
) -> None:
    rate = learning_rate(min(state.iteration, settings.max_iters - 1), settings, position_of(settings, state))
    log(f"step {state.iteration}: train loss {result.train_loss:.4f}, val loss {result.val_loss:.4f}, lr {rate:.3e}")
    log(f"  {result.summary()}")
    row = result.row() | planned_row(settings, state) | {"lr": rate} | stage_row(settings, state)
    tracker.log(state.iteration, row)


def update_state(result: Evaluated, settings: DiffusionSettings, state: TrainState, *, moves_stage: bool) -> bool:
    """Update the state with an evaluation; whether it is the best so far. `moves_stage`: the curriculum counts it."""
    if not math.isfinite(result.val_loss):
        raise Diverged(f"the validation loss is {result.val_loss} after {state.iteration} iterations. {HINT}")
    state.evaluated = state.iteration
    improved = result.val_loss < state.best_val_loss
    state.best_val_loss = min(state.best_val_loss, result.val_loss)
    if moves_stage and result.stage_losses and settings.stage_schedule == "stale":
        state.progress = advance(
            state.progress, result.stage_losses, settings.unmasking_stages, settings.min_improvement
        )
    return improved


def planned_row(settings: DiffusionSettings, state: TrainState) -> dict[str, int]:
    """How many steps there will be, where that follows from the time: an estimate, which readers show progress by."""
    if not settings.max_minutes or not state.iteration:
        return {}
    total = round(state.iteration * settings.max_iters / position_of(settings, state))
    return {"max_iters": max(state.iteration, total)}


def announcement(settings: DiffusionSettings, state: TrainState) -> str:
    stage = state.progress.stage
    return f"stage {stage + 1}/{len(settings.unmasking_stages)}: {settings.unmasking_stages[stage]}"


def stage_row(settings: DiffusionSettings, state: TrainState) -> dict[str, int]:
    return {"stage": state.progress.stage + 1} if settings.training_type == "unmasking" else {}


def save(
    model_state: ModelState,
    state: TrainState,
    settings: DiffusionSettings,
    text: Dataset,
    *,
    best: bool,
    required: bool,
) -> None:
    """Write a checkpoint, and remove those that it replaces; `best`: it has the best weights so far."""
    out_dir = Path(settings.out_dir)
    path = checkpoints.path_of(out_dir, settings.training_type, state.iteration)
    best_before = state.best_iteration
    if best:
        state.best_iteration = state.iteration
    if checkpoints.save_or_warn(path, pack(model_state, state, settings, text), required=required):
        kind = settings.training_type
        checkpoints.prune(out_dir, kind, settings.keep_last, state.best_iteration, written=state.iteration)
    else:
        state.best_iteration = best_before
