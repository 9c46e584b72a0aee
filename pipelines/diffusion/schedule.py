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


def learning_rate(iteration: int, settings: DiffusionSettings) -> float:
    """Of the step that leads from `iteration` to the next: linear warm-up, then constant or a cosine to min_lr."""
    if iteration < settings.warmup_iters:
        return settings.learning_rate * (iteration + 1) / (settings.warmup_iters + 1)
    if not settings.decay_lr:
        return settings.learning_rate
    if iteration >= settings.lr_decay_iters:
        return settings.min_lr
    fraction = (iteration - settings.warmup_iters) / (settings.lr_decay_iters - settings.warmup_iters)
    return settings.min_lr + 0.5 * (1 + math.cos(math.pi * fraction)) * (settings.learning_rate - settings.min_lr)


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
    rows_of_each = -(-rows // len(reached))
    ratios = [s.max_masked_ratio if isinstance(s, RandomStage) else s.target_masked_ratio for s in reached]
    return sum(rows_of_each * math.ceil(ratio * length) for ratio in ratios)


def stage_at(iteration: int, stages: Sequence[RandomStage | StickyStage], max_iters: int) -> int:
    """The stage of an iteration when each gets its `share` of max_iters, which may be less than one iteration."""
    total, passed = sum(stage.share for stage in stages), 0.0
    for number, stage in enumerate(stages[:-1]):
        passed += stage.share
        if iteration < passed / total * max_iters:
            return number
    return len(stages) - 1
