"""The pure functions of the diffusion training at each limit: schedule, curriculum, validation loss, masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from model.masks import Masking, apply_mask, arrival_rounds, random_masking, ranked, stratified, waiting_rounds
from pipelines.diffusion import schedule
from pipelines.diffusion.evaluation import masked_loss, pieces
from pipelines.diffusion.evaluation.masked_loss import GroupResults, MaskedLoss, MaskedWindows
from pipelines.diffusion.schedule import Progress, advance, learning_rate, position, stage_at
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.stages import RandomStage, StickyStage

CPU = torch.device("cpu")


def settings(**changes: object) -> DiffusionSettings:
    given = {"learning_rate": 1.0, "min_lr": 0.1, "warmup_iters": 4, "lr_decay_iters": 14, "max_iters": 14, **changes}
    return DiffusionSettings(**given)


def random_stage(stale: int = 2, **more: object) -> RandomStage:
    return RandomStage(**{"type": "random", "max_masked_ratio": 0.5, "val_loss_stale_count": stale, **more})


def sticky(**more: object) -> StickyStage:
    given = {"type": "sticky", "target_masked_ratio": 0.5, "p1_probability": 0.1, "p2_probability": 0.5}
    return StickyStage(**{**given, **more})


# Learning rate and curriculum


@pytest.mark.parametrize(
    ("iteration", "changes", "rate"),
    [
        (0, {}, 0.2), (3, {}, 0.8), (4, {}, 1.0), (9, {}, 0.55), (14, {}, 0.1), (20, {}, 0.1),
        (9, {"decay_lr": False}, 1.0),
        (6, {}, 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 0.2))), (6, {"decay": "linear"}, 0.1 + 0.9 * 0.8),
        (9, {"decay": "wsd"}, 1.0), (11, {"decay": "wsd"}, 0.1 + 0.9 * 0.6), (5, {"decay": "wsd"}, 1.0),
    ],
)  # fmt: skip
def test_the_learning_rate_at_a_step(iteration: int, changes: dict[str, object], rate: float) -> None:
    assert learning_rate(iteration, settings(**changes)) == pytest.approx(rate)


def test_the_decay_may_be_at_another_position_than_the_iteration() -> None:
    assert learning_rate(5, settings(), 9.0) == pytest.approx(0.55) and learning_rate(5, settings(), 0.0) == 1.0
    assert learning_rate(5, settings(), 14.0) == 0.1 and learning_rate(2, settings(), 14.0) == pytest.approx(0.6)
    assert position(5, 60.0, settings()) == 5
    timed = settings(max_minutes=2.0)
    assert position(5, 60.0, timed) == 7.0 and position(8, 60.0, timed) == 8


def test_what_a_schedule_does_unexpectedly_is_remarked() -> None:
    assert schedule.remarks(settings()) == [] and schedule.remarks(settings(max_minutes=1.0, warmup_iters=14)) == []
    (long,) = schedule.remarks(settings(warmup_iters=14, lr_decay_iters=30))
    assert long.startswith("the warm-up (14 iterations) is not over") and long.endswith("9.333e-01")
    (below,) = schedule.remarks(settings(lr_decay_iters=10))
    assert below == (
        "lr_decay_iters (10) is below max_iters (14): the learning rate of the last 4 iterations is min_lr, 0.1"
    )
    assert schedule.remarks(settings(lr_decay_iters=10, min_lr=0.0))[0].endswith("min_lr, 0, so nothing is learned")
    (above,) = schedule.remarks(settings(lr_decay_iters=24))
    assert above.startswith("lr_decay_iters (24) is above max_iters (14): the learning rate is still ")
    assert schedule.remarks(settings(lr_decay_iters=24, decay_lr=False)) == []
    stages = {"training_type": "unmasking", "stage_schedule": "stale", "max_iters": 100, "lr_decay_iters": 100}
    two = [random_stage(2).model_dump(), random_stage(2).model_dump()]
    (rare,) = schedule.remarks(settings(**stages, unmasking_stages=two, eval_interval=50))
    assert rare.startswith("the last of the 2 stages begins after 3 evaluations at the earliest, and there are 2: ")
    assert schedule.remarks(settings(**stages, unmasking_stages=two, eval_interval=33)) == []
    assert schedule.remarks(settings(**stages, unmasking_stages=two[:1], eval_interval=50)) == []


def test_a_stage_ends_once_it_is_stale_and_the_last_one_stays() -> None:
    stages = [random_stage(2), random_stage(1)]
    one = advance(Progress(), [3.0, 9.0], stages)
    assert one == Progress(0, 3.0, 0)
    assert advance(one, [2.95, 9.0], stages, least=0.1) == Progress(0, 3.0, 1)
    assert advance(one, [2.85, 9.0], stages, least=0.1) == Progress(0, 2.85, 0)
    assert advance(one, [3.0, 9.0], stages) == Progress(0, 3.0, 1)
    assert advance(Progress(0, 3.0, 1), [3.0, 9.0], stages) == Progress(1)
    assert advance(Progress(1, 1.0, 0), [0.0, 1.0], stages) == Progress(1, 1.0, 1)
    assert advance(Progress(1, 1.0, 5), [0.0, 0.5], stages) == Progress(1, 0.5, 0)


def test_stages_get_their_shares_of_the_iterations() -> None:
    stages = [random_stage(share=1), random_stage(share=3), random_stage(share=1)]
    assert [stage_at(at, stages, 10) for at in (0, 1.9, 2, 7.9, 8, 10, 99)] == [0, 0, 1, 1, 2, 2, 2]
    assert schedule.rows_of_stages(4, 2, 0) == [0, 1, 2, 0] and schedule.rows_of_stages(4, 2, 1) == [1, 2, 0, 1]
    mixed = [random_stage(max_masked_ratio=0.3), sticky(target_masked_ratio=0.21)]
    assert schedule.max_masked(mixed, 3, 10) == 9 and schedule.max_masked(mixed[:1], 2, 10) == 6
    table = schedule.stage_table(mixed, "cpu")
    assert table.drawn.tolist() == [True, False] and table.p1.tolist() == pytest.approx([0.0, 0.1])
    masking = schedule.stage_masking(table, torch.tensor([0, 0, 1, 1]), torch.tensor([1.0, 0.01, 1.0, 0.01]), 10)
    assert masking.count.tolist() == [3, 1, 2, 2] and masking.p2.tolist() == pytest.approx([0.0, 0.0, 0.5, 0.5])


def test_stages_are_shown_and_refused() -> None:
    assert str(random_stage()) == "random, up to 0.5 masked" and random_stage().share == 1.0
    assert str(sticky()) == "sticky, 0.5 masked, p1 0.1, p2 0.5" and sticky().val_loss_stale_count == 10
    assert RandomStage(type="random", max_masked_ratio=1).val_loss_stale_count == 10
    for make in (lambda: sticky(p1_probability=0.0), lambda: sticky(p2_probability=1.1), lambda: sticky(other=1),
                 lambda: random_stage(max_masked_ratio=0), lambda: random_stage(max_masked_ratio=1.01),
                 lambda: random_stage(0),
                 lambda: random_stage(other=1), lambda: random_stage(share=0)):  # fmt: skip
        with pytest.raises(ValueError, match="validation error"):
            make()
    assert (
        sticky(p2_probability=0).p2_probability == 0 and sticky(p2_probability=1, p1_probability=1).p1_probability == 1
    )
    with pytest.raises(ValueError, match="frozen"):
        sticky().share = 2.0
    with pytest.raises(ValueError, match="frozen"):
        random_stage().share = 2.0


# The validation loss


def test_the_validation_loss_is_the_mean_over_the_bins_and_named_by_them() -> None:
    losses = [float(number) for number in range(10)]
    found = MaskedLoss(
        GroupResults([*losses, 7.0, 8.0], [0.1 * one for one in (*losses, 7.0, 8.0)], [1.0] * 12), 2.5, 2.0
    )
    assert found.val_loss == 4.5 and found.bits_per_character == pytest.approx(4.5 / math.log(2) / 2)
    assert found.standard_error == pytest.approx(math.sqrt(10) / 10) and found.stage_losses == [7.0, 8.0]
    row = found.row()
    assert row["val/loss"] == 4.5 and row["train/eval_loss"] == 2.5 and row["val/accuracy"] == pytest.approx(0.45)
    assert (row["val/ratio_0.0_0.1_loss"], row["val/ratio_0.9_1.0_loss"]) == (0.0, 9.0)
    assert row["val/ratio_0.3_0.4_accuracy"] == pytest.approx(0.3) and row["val/loss_stderr"] == found.standard_error
    assert (row["val/stage_1_loss"], row["val/stage_2_loss"]) == (7.0, 8.0) and row[
        "val/bpc"
    ] == found.bits_per_character
    assert row["val/stage_2_accuracy"] == pytest.approx(0.8) and len(row) == 5 + 20 + 4
    assert found.summary().startswith("val 3.246 bits per character; loss by mask ratio 0 to 1: 0.00 1.00")
    assert found.summary().endswith(" 9.00")


def test_windows_and_masks_of_the_validation_are_the_same_in_every_run() -> None:
    tokens = np.arange(100)
    made = masked_loss.masked_windows(tokens, 3, 4, [random_stage(), sticky()], CPU)
    assert made.ids.shape == made.masks.shape == (36, 4) and made.each == 3
    spread = np.linspace(0, 96, 30).astype(int)
    assert made.ids[:, 0].tolist() == [*(spread[group + 10 * row] for group in range(10) for row in range(3)), *[
        spread[5 + 10 * row] for _ in range(2) for row in range(3)
    ]]  # fmt: skip
    assert made.masks[:30].sum(1).tolist() == [
        math.ceil((group + (row + 0.5) / 3) / 10 * 4 - 1e-6) for group in range(10) for row in range(3)
    ]
    assert torch.equal(made.masks[33:], masked_loss.masks_of_stage(sticky(), 3, 4))
    assert torch.equal(masked_loss.masks_of_bin(2, 5, 64), masked_loss.masks_of_bin(2, 5, 64))
    assert not torch.equal(masked_loss.masks_of_bin(2, 5, 64), masked_loss.masks_of_bin(3, 5, 64))
    assert masked_loss.middles(4).tolist() == [0.125, 0.375, 0.625, 0.875]


def test_memory_is_bounded_whatever_is_evaluated() -> None:
    assert pieces.rows_at_once(64, 65) == 256 and pieces.rows_at_once(2**15, 65) == 1
    assert pieces.rows_at_once(64, 2**15) == 16 and pieces.rows_at_once(64, 2**26) == 1
    single, pair = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0, 3.0], [2.0, 2.0]])
    assert masked_loss.variance_of_means(single).isnan().all() and masked_loss.variance_of_means(single).shape == (2,)
    assert masked_loss.variance_of_means(pair).tolist() == [1.0, 0.0]


class Guess(torch.nn.Module):
    """Predicts character 1 with probability 0.9 of 3, everywhere."""

    seen: list[torch.Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.modes = [], []

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.seen.append(ids)
        self.modes.append((self.training, torch.is_grad_enabled()))
        return torch.tensor([0.05, 0.9, 0.05]).log().expand(*ids.shape, 3)


def test_only_masked_positions_count_and_the_mode_of_the_model_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = Guess(), torch.tensor([[1, 1, 0, 1], [0, 0, 1, 0]])
    masks = torch.tensor([[1, 0, 1, 0], [0, 0, 1, 0]], dtype=torch.bool)
    losses, right = masked_loss.losses_and_accuracies(model, ids, masks, 2, torch.float32)
    assert losses.tolist() == pytest.approx([-(math.log(0.9) + math.log(0.05)) / 2, -math.log(0.9)])
    assert right.tolist() == [0.5, 1.0] and model.seen[0].tolist() == [[2, 1, 2, 1], [0, 0, 2, 0]]
    padding = torch.tensor([0, 1, 0, 0], dtype=torch.bool)
    masked_loss.losses_and_accuracies(model, ids, masks, 2, torch.float32, padding)
    assert model.seen[1].tolist() == [[2, 2, 2, 1], [0, 2, 2, 0]]
    model.modes.clear()
    windows_ = MaskedWindows(ids.repeat(10, 1), masks.repeat(10, 1), 2)
    monkeypatch.setattr(pieces, "MOST_TOKENS", 12)
    found = masked_loss.evaluate(model, windows_, windows_, mask_id=2, dtype=torch.float32, characters_per_token=3.0)
    assert found is not None and found.characters_per_token == 3.0
    assert found.val_loss == pytest.approx(losses.mean().item()) == found.train_loss
    assert found.val.accuracies == [0.75] * 10 and len(found.val.variances) == 10
    assert model.training and set(model.modes) == {(False, False)} and len(model.modes) == 2 * 7
    model.eval()
    masked_loss.evaluate(model, windows_, windows_, mask_id=2, dtype=torch.float32)
    assert not model.training
    calls = iter([False] * 7 + [True])
    stopped = masked_loss.evaluate(model, windows_, windows_, mask_id=2, dtype=torch.float32, stop=lambda: next(calls))
    assert stopped is None
    assert masked_loss.evaluate(model, windows_, windows_, mask_id=2, dtype=torch.float32, stop=lambda: True) is None


# Masks


def test_masks_are_ranked_counted_and_waited_for() -> None:
    dice = torch.Generator().manual_seed(0)
    first = torch.tensor([[True, False, False, True], [False, True, False, False]])
    made = ranked(first, torch.tensor([3, 1]), dice)
    assert (
        made.sum(1).tolist() == [3, 1] and made[0, 0] and made[0, 3] and made[1].tolist() == [False, True, False, False]
    )
    counts = random_masking(torch.tensor([0.0, 0.01, 0.5, 0.51, 1.0, 2.0]), 10).count
    assert counts.tolist() == [1, 1, 5, 6, 10, 10] and random_masking(torch.tensor([0.5]), 10).p1.tolist() == [0.0]
    assert apply_mask(torch.tensor([[5, 6]]), torch.tensor([[True, False]]), 9).tolist() == [[9, 6]]
    spread = stratified(2, 4, dice)
    assert spread.shape == (2, 4) and (spread > 0).all() and (spread <= 1).all()
    rounds = waiting_rounds(torch.tensor([[0.0], [1.0], [0.5]]), (3, 2000), dice)
    assert (rounds[0] == 2**30).all() and (rounds[1] == 1).all() and rounds[2].min() == 1
    assert abs(rounds[2].double().mean() - 2.0) < 0.15
    masking = Masking(torch.tensor([1, 1]), torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0]))
    arrivals = arrival_rounds(masking, 3, dice)
    assert (arrivals[0] >= 2**30).all() and (arrivals[1] == 1).all()
