"""Train one masked-diffusion model, or a corrector, from settings to the last checkpoint: one loop, top to bottom."""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path

import torch

from pipelines.diffusion.meter import Meter
from pipelines.diffusion.objectives import Evaluated, objective_of
from pipelines.diffusion.schedule import Progress, advance, learning_rate, stage_at
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text.dataset import Dataset
from pipelines.diffusion.text.open import open_dataset
from pipelines.diffusion.train_state import Cost, Learner, State, averaged, build, cost_of, follow, pack, unpack
from pipelines.shared import checkpoints, devices, distributed
from pipelines.shared.distributed import Processes
from pipelines.shared.errors import Diverged, noted
from pipelines.shared.interrupts import StopRequest
from pipelines.shared.metrics import METRICS, Quiet, Tell, Tracker, say

MEND = "Lower learning_rate, lengthen warmup_iters, or set grad_clip"
CUT_SHORT = "a signal cut the final evaluation short; --init_from=resume --eval_only=true makes up for it"
MOST_SKIPPED = 10  # steps in a row whose gradient is no number: one may be bad luck, so many are the end


def run(settings: DiffusionSettings) -> int:
    """Train, and return the exit code: 0 done, 130 or 143 after a signal, once the checkpoint is written.

    Leaves error.json in out_dir when an exception passes through.
    """
    out_dir, state = Path(settings.out_dir), State()
    with (
        StopRequest() as stop,
        distributed.joined(settings.device) as all_of_us,
        noted(out_dir, lambda: state.iteration) if all_of_us.first else nullcontext(),
    ):
        return train(settings, state, stop, all_of_us)


def train(settings: DiffusionSettings, state: State, stop: StopRequest, all_of_us: Processes) -> int:
    out_dir = Path(settings.out_dir)
    stages = settings.unmasking_stages if settings.training_type == "unmasking" else []
    tell = say if all_of_us.first else lambda line: None

    # The machine, the text, the network.
    device = devices.choose_device(all_of_us.device(settings.device))
    dtype = devices.choose_dtype(settings.dtype, device)
    text = open_dataset(settings.dataset, settings.tokenizer, settings.bpe_vocab_size)
    lanes, share = all_of_us.part(settings.gradient_accumulation_steps, settings.batch_size)
    objective = objective_of(settings, text, device, dtype, share)
    torch.set_float32_matmul_precision("high")  # TF32 on GPUs that have it; changes nothing on a CPU
    learner = build(settings, text.vocab_size, device, dtype)
    model, optimizer, scaler = learner.model, learner.optimizer, learner.scaler
    tokens_per_iter = settings.gradient_accumulation_steps * settings.batch_size * settings.block_size
    tell(f"device: {devices.describe(device)}, dtype: {devices.dtype_name(dtype)}" + all_of_us.describe())
    unit = text.vocabulary.title
    tell(f"dataset: {text.name}, {len(text.train):,} {unit} to learn, {len(text.val):,} to validate on")
    tell(objective.introduction())
    tell(f"model: {model.parameter_count():,} parameters, {tokens_per_iter:,} tokens per iteration")

    # Where it begins.
    if all_of_us.first:
        checkpoints.clear_unfinished(out_dir)
    if settings.init_from == "resume":
        path, content = checkpoints.load_newest(out_dir, settings.training_type)
        state.__dict__.update(vars(unpack(content, learner, settings, text)))
        tell(f"resuming from {path} at iteration {state.iteration}")
        if state.iteration >= settings.max_iters and not settings.eval_only:
            tell(f"nothing to do: already at max_iters ({settings.max_iters})")
            return 0
    elif not settings.eval_only and all_of_us.first and (folder := checkpoints.set_aside(out_dir, [METRICS])):
        tell(f"moved the checkpoints of an earlier training to {folder}")
    all_of_us.spread_chance(settings.seed + state.iteration)

    cost = Cost(model, device, dtype)
    if devices.compiles(settings.compile, device) and not settings.eval_only:
        example = objective.draw(0, 0, 0)
        cost = devices.compiled(cost, lambda fast: cost_of(fast, example).backward(), graphs=settings.cuda_graphs)
    network = all_of_us.wrap(cost, device)
    if stages:
        tell(announcement(settings, state))

    with Tracker(settings, out_dir, settings.max_iters) if all_of_us.first else Quiet() as tracker:
        model.train()
        profile = None
        if settings.profile and all_of_us.first:
            from pipelines.shared.profiling import Profile

            profile = Profile(out_dir, tell)
        meter = Meter(
            device, dtype, all_of_us, tell, tokens_per_iter=tokens_per_iter,
            flops_per_token=model.flops_per_token(), skipped=state.skipped,
        )  # fmt: skip
        while True:
            # Look: at every interval and at the end.
            due = state.iteration % settings.eval_interval == 0
            done = state.iteration >= settings.max_iters or settings.eval_only
            improved = False
            if settings.eval_only or (state.iteration and (due or done) and state.evaluated != state.iteration):
                result = None
                if all_of_us.first:
                    with averaged(learner) as judged:
                        result = objective.evaluate(judged, stop)
                result = all_of_us.shared(result)
                if result is None:  # a signal came
                    break
                report(result, settings, state, tracker, tell)
                # At the end, off the grid, no stage moves: where a run was cut must not change its course.
                stage = state.progress.stage
                improved = judge(result, settings, state, count=due and not settings.eval_only)
                if state.progress.stage != stage:
                    tell(announcement(settings, state))
                state.skipped = meter.skipped
                if not done and (improved or settings.always_save_checkpoint) and all_of_us.first:
                    save(learner, state, settings, text, best=improved, must=False)
                meter.restart()
            if done or all_of_us.any(stop()):
                break

            # Learn: one step, of several micro-batches where gradients are accumulated.
            if stages and settings.stage_schedule == "fixed":
                stage = stage_at(state.iteration, stages, settings.max_iters)
                if stage != state.progress.stage:
                    state.progress = Progress(stage)
                    tell(announcement(settings, state))
            rate = learning_rate(state.iteration, settings)
            optimizer.set_rate(rate)
            loss = torch.zeros((), device=device)
            for lane in lanes:
                batch = objective.draw(state.iteration, lane, state.progress.stage)
                with all_of_us.quiet(network, last=lane == lanes[-1]):
                    part = cost_of(network, batch) * (all_of_us.count / settings.gradient_accumulation_steps)
                    scaler.scale(part).backward()
                loss += part.detach()
            norm, skipped = optimizer.step(scaler)
            follow(learner.average, model, settings.ema_decay, state.iteration)
            state.iteration += 1
            meter.count(loss, skipped)
            if profile:
                profile.step()

            # Tell. Reading a number waits for a GPU, so they are read only now; on a CPU it costs nothing to look.
            telling = state.iteration % settings.log_interval == 0 or state.iteration in (1, settings.max_iters)
            if (telling or device.type == "cpu") and meter.in_a_row >= MOST_SKIPPED:
                raise Diverged(
                    f"the gradient was not finite in the last {meter.in_a_row} steps, up to iteration"
                    f" {state.iteration}; the checkpoints before them stand. {MEND}"
                )
            if telling:
                # The first step also allocates and tunes: no measure of speed.
                row, line = meter.row(warm=state.iteration > 1)
                tell(f"iter {state.iteration}: {line}")
                row |= {"lr": rate, "grad_norm": norm.item(),
                        "epoch": state.iteration * tokens_per_iter / len(text.train)}  # fmt: skip
                tracker.log(state.iteration, row | stage_row(settings, state))

        if profile:
            profile.finish()

        # Leave. The first process decides: the others may not have heard of a signal yet.
        stopped = all_of_us.any(stop())
        state.skipped = meter.skipped
        if all_of_us.first and not settings.eval_only:
            save(learner, state, settings, text, best=improved, must=True)
        if stopped and not done:
            tell(f"stopped by a signal after {state.iteration} iterations; --init_from=resume goes on from here")
            return stop.exit_code
        if settings.final_evaluation and all_of_us.first:
            with averaged(learner) as judged:
                final = objective.evaluate_whole(judged, stop, tell)
            tell(f"final: {final.summary()}" if final else CUT_SHORT)
            if final:
                tracker.log(state.iteration, final.row())
        if settings.eval_only:
            return stop.exit_code if stop() else 0
        tell(f"done: {state.iteration} iterations, best val loss {state.best_val_loss:.4f}")
        return 0


def report(result: Evaluated, settings: DiffusionSettings, state: State, tracker: Tracker | Quiet, tell: Tell) -> None:
    rate = learning_rate(min(state.iteration, settings.max_iters - 1), settings)
    tell(f"step {state.iteration}: train loss {result.train_loss:.4f}, val loss {result.val_loss:.4f}, lr {rate:.3e}")
    tell(f"  {result.summary()}")
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
    if count and result.stage_losses and settings.stage_schedule == "stale":
        state.progress = advance(
            state.progress, result.stage_losses, settings.unmasking_stages, settings.min_improvement
        )
    return improved


def announcement(settings: DiffusionSettings, state: State) -> str:
    stage = state.progress.stage
    return f"stage {stage + 1}/{len(settings.unmasking_stages)}: {settings.unmasking_stages[stage]}"


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
        kind = settings.training_type
        checkpoints.keep(out_dir, kind, settings.keep_last, state.best_iteration, written=state.iteration)
    else:
        state.best_iteration = best_before
