"""Train one masked-diffusion model, or a corrector, from settings to the last checkpoint: one loop, top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines import checkpoints, machine
from pipelines.diffusion.data import Dataset, open_dataset
from pipelines.diffusion.learner import Learner, State, build, pack, unpack
from pipelines.diffusion.objectives import Evaluated, objective_of
from pipelines.diffusion.schedule import advance, learning_rate
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.failure import Diverged, noted, require_finite
from pipelines.stopping import StopRequest
from pipelines.tracking import METRICS, Tracker, say

MEND = "Lower learning_rate, lengthen warmup_iters, or set grad_clip"


def run(settings: DiffusionSettings) -> int:
    """Train, and return the exit code: 0 done, 130 or 143 after a signal, once the checkpoint is written.

    Leaves error.json in out_dir when an exception passes through.
    """
    out_dir, state = Path(settings.out_dir), State()
    with noted(out_dir, lambda: state.iteration), StopRequest() as stop:
        return train(settings, state, stop)


def train(settings: DiffusionSettings, state: State, stop: StopRequest) -> int:
    out_dir = Path(settings.out_dir)
    stages = settings.unmasking_stages if settings.training_type == "unmasking" else []
    micro_steps = settings.gradient_accumulation_steps

    # The machine, the text, the network.
    device = machine.choose_device(settings.device)
    dtype = machine.choose_dtype(settings.dtype, device)
    text = open_dataset(settings.dataset, settings.tokenizer, settings.bpe_vocab_size)
    objective = objective_of(settings, text, device, dtype)
    torch.set_float32_matmul_precision("high")  # TF32 on GPUs that have it; changes nothing on a CPU
    learner = build(settings, text.vocab_size, device, dtype)
    model, optimizer, scaler = learner.model, learner.optimizer, learner.scaler
    peak = machine.peak_flops(device, dtype)
    tokens_per_iter = micro_steps * settings.batch_size * settings.block_size
    flops_per_iter = model.flops_per_token() * tokens_per_iter
    say(f"device: {machine.describe(device)}, dtype: {machine.dtype_name(dtype)}")
    say(f"dataset: {text.name}, {len(text.train):,} {text.vocabulary.title} to learn, {len(text.val):,} to validate on")
    say(objective.introduction())
    say(f"model: {model.parameter_count():,} parameters, {tokens_per_iter:,} tokens per iteration")
    say(f"peak for mfu: {peak.flops / 1e12:.3g} TFLOP/s ({peak.source})")

    # Where it begins.
    checkpoints.clear_unfinished(out_dir)
    if settings.init_from == "resume":
        path, content = checkpoints.load_newest(out_dir, settings.training_type)
        state.__dict__.update(unpack(content, learner, settings, text).__dict__)
        say(f"resuming from {path} at iteration {state.iteration}")
        if state.iteration >= settings.max_iters and not settings.eval_only:
            say(f"nothing to do: already at max_iters ({settings.max_iters})")
            return 0
    elif not settings.eval_only and (folder := checkpoints.set_aside(out_dir, [METRICS])):
        say(f"moved the checkpoints of an earlier training to {folder}")

    def loss_of(network: Callable[[Tensor], Tensor], inputs: Tensor, targets: Any) -> Tensor:  # (B, T) -> ()
        with machine.autocast(device, dtype):
            logits = network(inputs)
        return objective.loss(logits, targets) / micro_steps

    network = model
    if settings.compile and not settings.eval_only:
        network = machine.compiled(model, lambda fast: loss_of(fast, *objective.draw(0, 0)).backward())
    if stages:
        announce_stage(settings, state)

    with Tracker(settings, out_dir, settings.max_iters) as tracker:
        model.train()
        loss_sum, summed = torch.zeros((), device=device), 0
        began, timed = time.perf_counter(), 0
        while True:
            # Look: at every interval and at the end.
            due = state.iteration % settings.eval_interval == 0
            done = state.iteration >= settings.max_iters or settings.eval_only
            improved = False
            if (due or done) and (state.evaluated != state.iteration or settings.eval_only):
                result = objective.evaluate(model, stop)
                if result is None:  # a signal came
                    break
                report(result, settings, state, tracker)
                # At the end, off the grid, no stage moves: where a run was cut must not change its course.
                improved = judge(result, settings, state, count=due and not settings.eval_only)
                if state.iteration and not done and (improved or settings.always_save_checkpoint):
                    save(learner, state, settings, text, best=improved, must=False)
                began, timed = time.perf_counter(), 0
            if done or stop():
                break

            # Learn: one step, of several micro-batches where gradients are accumulated.
            rate = learning_rate(state.iteration, settings)
            for group in optimizer.param_groups:
                group["lr"] = rate
            for micro in range(micro_steps):
                inputs, targets = objective.draw(state.iteration * micro_steps + micro, state.progress.stage)
                loss = loss_of(network, inputs, targets)
                scaler.scale(loss).backward()
                loss_sum += loss.detach()
            scaler.unscale_(optimizer)
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.grad_clip or math.inf)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            state.iteration, summed, timed = state.iteration + 1, summed + 1, timed + 1

            # Tell. Reading the loss waits for a GPU, so it is read only now; on a CPU it costs nothing to look.
            tell = state.iteration % settings.log_interval == 0 or state.iteration in (1, settings.max_iters)
            if tell or device.type == "cpu":
                require_finite(loss_sum.item(), state.iteration, MEND)
            if tell:
                seconds = (time.perf_counter() - began) / timed
                mfu = flops_per_iter / seconds / peak.flops
                mean_loss = loss_sum.item() / summed
                say(f"iter {state.iteration}: loss {mean_loss:.4f}, time {seconds * 1e3:.2f}ms, mfu {mfu * 100:.2f}%")
                row = {"train/loss": mean_loss, "lr": rate, "mfu": mfu, "ms_per_iter": seconds * 1e3,
                       "tokens_per_second": tokens_per_iter / seconds, "grad_norm": norm.item()}  # fmt: skip
                tracker.log(state.iteration, row | stage_row(settings, state))
                loss_sum.zero_()
                summed = 0
                began, timed = time.perf_counter(), 0

        # Leave.
        if settings.eval_only:
            return stop.exit_code if stop() else 0
        require_finite(loss_sum.item(), state.iteration, MEND)
        save(learner, state, settings, text, best=improved, must=True)
        if stop() and not done:
            say(f"stopped by a signal after {state.iteration} iterations; --init_from=resume goes on from here")
            return stop.exit_code
        say(f"done: {state.iteration} iterations, best val loss {state.best_val_loss:.4f}")
        return 0


def report(result: Evaluated, settings: DiffusionSettings, state: State, tracker: Tracker) -> None:
    rate = learning_rate(min(state.iteration, settings.max_iters - 1), settings)
    say(f"step {state.iteration}: train loss {result.train_loss:.4f}, val loss {result.val_loss:.4f}, lr {rate:.3e}")
    say(f"  {result.summary()}")
    tracker.log(state.iteration, result.row() | {"lr": rate} | stage_row(settings, state))


def judge(result: Evaluated, settings: DiffusionSettings, state: State, *, count: bool) -> bool:
    """Take an evaluation into the state; whether it is the best so far. Only those that `count` move the curriculum."""
    if not math.isfinite(result.val_loss):
        raise Diverged(
            f"the validation loss is {result.val_loss} after {state.iteration} iterations;"
            " the checkpoints before it stand"
        )
    state.evaluated = state.iteration
    improved = result.val_loss < state.best_val_loss
    state.best_val_loss = min(state.best_val_loss, result.val_loss)
    if count and result.stage_losses:
        before = state.progress.stage
        state.progress = advance(
            state.progress, result.stage_losses, settings.unmasking_stages, settings.min_improvement
        )
        if state.progress.stage != before:
            announce_stage(settings, state)
    return improved


def announce_stage(settings: DiffusionSettings, state: State) -> None:
    stage = state.progress.stage
    say(f"stage {stage + 1}/{len(settings.unmasking_stages)}: {settings.unmasking_stages[stage]}")


def stage_row(settings: DiffusionSettings, state: State) -> dict[str, int]:
    return {"stage": state.progress.stage + 1} if settings.training_type == "unmasking" else {}


def save(learner: Learner, state: State, settings: DiffusionSettings, text: Dataset, *, best: bool, must: bool) -> None:
    """Write a checkpoint, and remove those that it replaces; `best`: it holds the best weights so far."""
    out_dir = Path(settings.out_dir)
    path = checkpoints.path_of(out_dir, settings.training_type, state.iteration)
    best_before = state.best_iteration
    if best:
        state.best_iteration = state.iteration
    if checkpoints.save_or_warn(path, pack(learner, state, settings, text), must=must):
        checkpoints.keep(out_dir, settings.training_type, settings.keep_last, state.best_iteration)
    else:
        state.best_iteration = best_before
