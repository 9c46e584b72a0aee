"""Train one masked-diffusion or error-detection model, from settings to the last checkpoint, in one loop."""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from pipelines.diffusion.meter import Meter
from pipelines.diffusion.objectives import Evaluated, objective_of
from pipelines.diffusion.sampling.load import TrainedModel, load_model, require_model
from pipelines.diffusion.schedule import Progress, advance, learning_rate, position, remarks, stage_at
from pipelines.diffusion.settings import DiffusionSettings, is_corrector
from pipelines.diffusion.text.dataset import Dataset
from pipelines.diffusion.text.open import open_dataset, open_in
from pipelines.diffusion.text.vocabulary import Vocabulary, of_checkpoint
from pipelines.diffusion.train_state import (
    BatchLoss,
    ModelState,
    TrainState,
    Updater,
    averaged_weights,
    build,
    loss_of,
    pack,
    start_from,
    unpack,
)
from pipelines.shared import checkpoints, devices, distributed
from pipelines.shared.distributed import World
from pipelines.shared.errors import Diverged, record_failure
from pipelines.shared.interrupts import StopRequest
from pipelines.shared.metrics import METRICS, Log, NullTracker, Tracker, print_line

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
    out_dir = Path(settings.out_dir)
    stages = settings.unmasking_stages if settings.training_type == "unmasking" else []
    log = print_line if world.is_rank_zero else lambda line: None

    # The machine, the text, the network.
    device = devices.choose_device(world.device(settings.device))
    dtype = devices.choose_dtype(settings.dtype, device)
    base = trained_base(settings, device)
    text = open_text(settings, base)
    micro_batches, rows_of_rank = world.partition(settings.gradient_accumulation_steps, settings.batch_size)
    objective = objective_of(settings, text, device, dtype, rows_of_rank)
    torch.set_float32_matmul_precision("high")  # TF32 on GPUs that have it; changes nothing on a CPU
    model_state = build(settings, text.vocab_size, device, dtype)
    model, scaler, updater = model_state.model, model_state.scaler, Updater(model_state, settings)
    tokens_per_iter = settings.gradient_accumulation_steps * settings.batch_size * settings.block_size
    log(f"device: {devices.describe(device)}, dtype: {devices.dtype_name(dtype)}" + world.describe())
    unit = text.vocabulary.title
    log(f"dataset: {text.name}, {len(text.train):,} {unit} to train on, {len(text.val):,} to validate on")
    log(objective.introduction())
    log(f"model: {model.parameter_count():,} parameters, {tokens_per_iter:,} tokens per iteration")
    for remark in [] if settings.eval_only else remarks(settings):
        log(f"note: {remark}")

    # The start: from scratch or from a checkpoint.
    if world.is_rank_zero:
        checkpoints.remove_unfinished(out_dir)
    if settings.init_from == "resume":
        path, found = checkpoints.load_latest(
            out_dir, settings.training_type, lambda content: unpack(content, model_state, settings, text)
        )
        state.__dict__.update(vars(found))
        log(f"resuming from {path} at iteration {state.iteration}")
        if position_of(settings, state) >= settings.max_iters and not settings.eval_only:
            spent = f" or max_minutes ({settings.max_minutes:g})" if settings.max_minutes else ""
            log(f"nothing to do: already at max_iters ({settings.max_iters}){spent}")
            return 0
    elif not settings.eval_only and world.is_rank_zero and (folder := checkpoints.archive(out_dir, [METRICS])):
        log(f"moved the checkpoints of an earlier training to {folder}")
    if base:
        start_from(base, model_state)
        state.base = str(base.path)
        log(f"starting from the weights of {base.path}{f' ({base.why})' if base.why else ''}")
    world.seed_dropout(settings.seed + state.iteration)

    loss_module = BatchLoss(model, device, dtype)
    if devices.compiles(settings.compile, device) and not settings.eval_only:
        log("compiling the model; it can take minutes until the first iteration")
        example = objective.draw(0, 0, stage_of(settings, state))
        loss_module = devices.compiled(
            loss_module, lambda fast: loss_of(fast, example).backward(), graphs=settings.cuda_graphs
        )
    network = world.wrap(loss_module, device)
    if stages:
        log(announcement(settings, state))

    with Tracker(settings, out_dir, settings.max_iters) if world.is_rank_zero else NullTracker() as tracker:
        model.train()
        profile = None
        if settings.profile and world.is_rank_zero:
            from pipelines.shared.profiling import Profile

            profile = Profile(out_dir, log)
        meter = Meter(
            device, dtype, world, log, tokens_per_iter=tokens_per_iter,
            flops_per_token=model.flops_per_token(), skipped=state.skipped,
        )  # fmt: skip
        while True:
            # Evaluate: at every interval and at the end.
            due = state.iteration % settings.eval_interval == 0
            done = position_of(settings, state) >= settings.max_iters or settings.eval_only
            improved = False
            if settings.eval_only or (state.iteration and (due or done) and state.evaluated != state.iteration):
                result = None
                if world.is_rank_zero:
                    with averaged_weights(model_state) as averaged_model:
                        result = objective.evaluate(averaged_model, stop)
                result = world.broadcast(result)
                if result is None:  # a signal came
                    break
                report(result, settings, state, tracker, log)
                # One at the end, between two intervals, moves no stage: max_iters must not change the curriculum.
                stage = state.progress.stage
                improved = update_state(result, settings, state, moves_stage=due and not settings.eval_only)
                if state.progress.stage != stage:
                    log(announcement(settings, state))
                state.skipped = meter.skipped
                if not done and (improved or settings.always_save_checkpoint) and world.is_rank_zero:
                    save(model_state, state, settings, text, best=improved, required=False)
                meter.restart()
            if done or world.any(stop()):
                break

            # One step, with gradients accumulated over the micro-batches.
            began = perf_counter()
            if stages and settings.stage_schedule == "fixed":
                stage = stage_of(settings, state)
                if stage != state.progress.stage:
                    state.progress = Progress(stage)
                    log(announcement(settings, state))
            rate = learning_rate(state.iteration, settings, position_of(settings, state))
            loss = torch.zeros((), device=device)
            for micro_batch in micro_batches:
                batch = objective.draw(state.iteration, micro_batch, state.progress.stage)
                with world.no_sync(network, last=micro_batch == micro_batches[-1]):
                    part = loss_of(network, batch) * (world.size / settings.gradient_accumulation_steps)
                    scaler.scale(part).backward()
                loss += part.detach()
            norm, skipped = updater.step(rate, state.iteration)
            state.iteration += 1
            meter.count(loss, skipped)
            state.seconds += perf_counter() - began
            if settings.max_minutes:
                state.seconds = world.broadcast(state.seconds)  # the processes must agree on rates and on the end
            if profile:
                profile.step()

            # Log. Reading a number waits for a GPU, so numbers are read only now; on a CPU reading is free.
            logging_due = state.iteration % settings.log_interval == 0 or state.iteration in (1, settings.max_iters)
            if (logging_due or device.type == "cpu") and meter.consecutive_skips >= MAX_SKIPPED:
                raise Diverged(
                    f"the gradient was not finite in the last {meter.consecutive_skips} steps, up to iteration"
                    f" {state.iteration}. {HINT}"
                )
            if logging_due:
                # The first step also allocates and tunes, so its time says nothing about speed.
                row, line = meter.row(warm=state.iteration > 1)
                log(f"iter {state.iteration}: {line}")
                row |= planned_row(settings, state) | {"lr": rate, "grad_norm": norm.item(),
                        "epoch": state.iteration * tokens_per_iter / len(text.train)}  # fmt: skip
                tracker.log(state.iteration, row | stage_row(settings, state))

        if profile:
            profile.finish()

        # The end. All ranks agree on it: a signal may not have reached all of them yet.
        stopped = world.any(stop())
        state.skipped = meter.skipped
        if world.is_rank_zero and not settings.eval_only:
            save(model_state, state, settings, text, best=improved, required=True)
        if stopped and not done:
            log(f"stopped by a signal after {state.iteration} iterations; --init_from=resume continues from here")
            return stop.exit_code
        if settings.final_evaluation and world.is_rank_zero:
            with averaged_weights(model_state) as averaged_model:
                final = objective.evaluate_full(averaged_model, stop, log)
            log(f"final: {final.summary()}" if final else INTERRUPTED)
            if final:
                tracker.log(state.iteration, final.row())
        if settings.eval_only:
            return stop.exit_code if stop() else 0
        log(f"done: {state.iteration} iterations, best val loss {state.best_val_loss:.4f}")
        return 0


def trained_base(settings: DiffusionSettings, device: torch.device) -> TrainedModel | None:
    """The model whose weights the training starts from; None unless init_from is a path."""
    if settings.base is None:
        return None
    require_model(settings.base, corrector=is_corrector(settings))
    return load_model(settings.base, device, corrector=is_corrector(settings))


def open_text(settings: DiffusionSettings, base: TrainedModel | None) -> Dataset:
    """The text, in the tokens of the model that the training starts or started from, if there is one."""
    request = settings.dataset, settings.tokenizer, settings.bpe_vocab_size
    found = base.vocabulary if base else None
    if settings.init_from == "resume":
        found = checkpoints.peek(Path(settings.out_dir), settings.training_type, vocabulary_of_base)
    return open_in(found, *request) if found else open_dataset(*request)


def vocabulary_of_base(content: dict[str, Any]) -> Vocabulary | None:
    """The vocabulary of a checkpoint whose training started from another model; None of any other."""
    return of_checkpoint(content) if content["state"].get("base") else None


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


def stage_of(settings: DiffusionSettings, state: TrainState) -> int:
    """The stage of the next step, counted from 0; 0 without a curriculum."""
    if settings.training_type == "unmasking" and settings.stage_schedule == "fixed":
        return stage_at(position_of(settings, state), settings.unmasking_stages, settings.max_iters)
    return state.progress.stage


def position_of(settings: DiffusionSettings, state: TrainState) -> float:
    return position(state.iteration, state.seconds, settings)


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
