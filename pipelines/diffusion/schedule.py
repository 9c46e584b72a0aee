"""What changes while a training runs: the learning rate and the curriculum stage. Pure functions of their arguments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.masks import Masking
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.stages import RandomStage, StickyStage


def position(iteration: int, seconds: float, settings: DiffusionSettings) -> float:
    """Where a training is that has done `iteration` steps in `seconds`, in iterations of max_iters.

    That is the iteration itself, unless the part of max_minutes that has passed is larger.
    """
    if not settings.max_minutes:
        return iteration
    return max(iteration, seconds / (60 * settings.max_minutes) * settings.max_iters)


def learning_rate(iteration: int, settings: DiffusionSettings, position: float | None = None) -> float:
    """Of the step that leads from `iteration` to the next: linear warm-up, then constant or a decay to min_lr.

    `position`, if it is not the iteration, is where the decay is.
    """
    if iteration < settings.warmup_iters:
        return settings.learning_rate * (iteration + 1) / (settings.warmup_iters + 1)
    if not settings.decay_lr:
        return settings.learning_rate
    place = iteration if position is None else position
    if place >= settings.decay_end:
        return settings.min_lr
    fraction = max(0.0, (place - settings.warmup_iters) / (settings.decay_end - settings.warmup_iters))
    return settings.min_lr + _left(settings.decay, fraction) * (settings.learning_rate - settings.min_lr)


def _left(decay: str, fraction: float) -> float:
    """The part of the way down to min_lr that is left after a fraction of the iterations between warm-up and end."""
    if decay == "linear":
        return 1 - fraction
    if decay == "wsd":
        return min(1.0, 2 * (1 - fraction))
    return 0.5 * (1 + math.cos(math.pi * fraction))


def remarks(settings: DiffusionSettings) -> list[str]:
    """What the schedules do that their user may not expect, a sentence each."""
    found, steps = [], settings.max_iters
    if settings.max_minutes:
        return []  # how many steps there will be is not known
    last = f"{learning_rate(steps - 1, settings):.3e}"
    if settings.warmup_iters >= steps:
        found.append(
            f"the warm-up ({settings.warmup_iters} iterations) is not over at the end of the training ({steps}), where"
            f" the learning rate is {last}"
        )
    elif settings.decay_lr and settings.decay_end < steps:
        nothing = "" if settings.min_lr else ", so nothing is learned"
        found.append(
            f"lr_decay_iters ({settings.decay_end}) is below max_iters ({steps}): the learning rate of the last"
            f" {steps - settings.decay_end} iterations is min_lr, {settings.min_lr:g}{nothing}"
        )
    elif settings.decay_lr and settings.decay_end > steps:
        found.append(
            f"lr_decay_iters ({settings.decay_end}) is above max_iters ({steps}): the learning rate is still {last} at"
            " the end"
        )
    stages = settings.unmasking_stages
    if settings.training_type == "unmasking" and settings.stage_schedule == "stale" and len(stages) > 1:
        # The first evaluation of a stage is always its best so far.
        needed = sum(1 + stage.val_loss_stale_count for stage in stages[:-1])
        if needed > (there := steps // settings.eval_interval):
            found.append(
                f"the last of the {len(stages)} stages begins after {needed} evaluations at the earliest, and there are"
                f" {there}: lower eval_interval, or set stage_schedule to 'fixed'"
            )
    return found


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of the curriculum. Stages 0..stage are trained; `stage` is evaluated."""

    stage: int = 0
    best_loss: float = math.inf  # of this stage's validation, since it began
    stale: int = 0  # evaluations since then


def advance(
    progress: Progress, stage_losses: Sequence[float], stages: Sequence[RandomStage | StickyStage], least: float = 0.0
) -> Progress:
    """The progress after an evaluation: the next stage once this one is stale; the last one stays.

    An evaluation is an improvement when it is better than the stage's best by more than `least`.
    """
    loss = stage_losses[progress.stage]
    if loss < progress.best_loss - least:
        return replace(progress, best_loss=loss, stale=0)
    stale = progress.stale + 1
    if stale >= stages[progress.stage].val_loss_stale_count and progress.stage + 1 < len(stages):
        return Progress(stage=progress.stage + 1)
    return replace(progress, stale=stale)


@dataclass(frozen=True, slots=True)
class StageTable:
    """The stages as columns, so that a batch of many stages is masked at once."""

    ratio: Tensor  # (S,) the largest or the target ratio
    drawn: Tensor  # (S,) bool, whether each row draws its ratio from [0, ratio]
    p1: Tensor  # (S,)
    p2: Tensor  # (S,)


def stage_table(stages: Sequence[RandomStage | StickyStage], device: torch.device | str) -> StageTable:
    rows = [
        (s.max_masked_ratio, True, 0.0, 0.0)
        if isinstance(s, RandomStage)
        else (s.target_masked_ratio, False, s.p1_probability, s.p2_probability)
        for s in stages
    ]
    ratio, drawn, p1, p2 = zip(*rows, strict=True)
    return StageTable(
        torch.tensor(ratio, device=device),
        torch.tensor(drawn, device=device),
        torch.tensor(p1, device=device),
        torch.tensor(p2, device=device),
    )


def rows_of_stages(rows: int, reached: int, batch: int) -> list[int]:
    """The stage of each row of batch number `batch`, distributed evenly over the stages 0..reached.

    It continues where the batch before ended: with fewer rows than stages it is even over time.
    """
    return [(batch * rows + row) % (reached + 1) for row in range(rows)]


def stage_masking(table: StageTable, stage: Tensor, uniform: Tensor, length: int) -> Masking:
    """How to mask rows of the given stages (B,), with one number in (0, 1] each for the stages that draw (B,)."""
    fraction = torch.where(table.drawn[stage], uniform * table.ratio[stage], table.ratio[stage])
    # A drawn ratio is rounded upwards (uniform counts), a fixed one to the nearest count.
    count = torch.where(table.drawn[stage], (fraction * length).ceil(), (fraction * length).round())
    return Masking(count.long().clamp(1, length), table.p1[stage], table.p2[stage])


def max_masked(reached: Sequence[RandomStage | StickyStage], rows: int, length: int) -> int:
    """The largest number of masked positions in one batch, distributed over the stages that were reached."""
    most = [math.ceil((s.max_masked_ratio if isinstance(s, RandomStage) else s.target_masked_ratio) * length)
            for s in reached]  # fmt: skip
    # Batch number n begins with stage n * rows, so the first as many batches have all that there are.
    batches = (rows_of_stages(rows, len(reached) - 1, batch) for batch in range(len(reached)))
    return max(sum(most[stage] for stage in batch) for batch in batches)


def stage_at(position: float, stages: Sequence[RandomStage | StickyStage], max_iters: int) -> int:
    """The stage at a position when each gets its `share` of max_iters, which may be less than one iteration."""
    total, passed = sum(stage.share for stage in stages), 0.0
    for number, stage in enumerate(stages[:-1]):
        passed += stage.share
        if position < passed / total * max_iters:
            return number
    return len(stages) - 1
