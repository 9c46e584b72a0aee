"""Masks: exact counts, and for sticky ones the statistics of the rounds as they are written down."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.masks import Masking, crowding, random_masking, random_masks, sample_masks, spreading, stratified
from pipelines.diffusion.schedule import max_masked, rows_of_stages, stage_masking, stage_table
from pipelines.diffusion.stages import RandomStage, StickyStage


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sticky(target: float, p1: float, p2: float) -> StickyStage:
    return StickyStage(
        type="sticky", target_masked_ratio=target, p1_probability=p1, p2_probability=p2, val_loss_stale_count=1
    )


def literal_rounds(count: int, p1: float, p2: float, length: int, rng: random.Random) -> list[bool]:
    """One row by the book: a loop over rounds and positions."""
    row = [False] * length
    while sum(row) < count:
        before = list(row)
        chances = []
        for i in range(length):
            beside = (i > 0 and before[i - 1]) or (i + 1 < length and before[i + 1])
            chances.append(0.0 if before[i] else p2 if beside else p1)
            row[i] = before[i] or rng.random() < chances[i]
        if not any(chances):
            free = [i for i in range(length) if not row[i]]
            for i in rng.sample(free, count - sum(row)):
                row[i] = True
    for i in rng.sample([i for i in range(length) if row[i]], sum(row) - count):
        row[i] = False
    return row


def runs(rows: torch.Tensor) -> torch.Tensor:  # (B, T) bool -> (B,) number of runs of masked positions
    return rows[:, 0].float() + (rows[:, 1:] & ~rows[:, :-1]).sum(1)


def isolated(rows: torch.Tensor) -> torch.Tensor:  # (B, T) bool -> (B,) masked positions between two unmasked ones
    return (rows[:, 1:-1] & ~rows[:, :-2] & ~rows[:, 2:]).sum(1).float()


@pytest.mark.parametrize(
    ("target", "p1", "p2"),
    [(0.4, 0.15, 0.3), (0.2, 0.3, 0.0), (0.6, 0.3, 0.1), (0.55, 0.1, 0.6), (0.8, 0.1, 0.9), (0.9, 0.1, 0.9)],
)
def test_sticky_masks_have_the_statistics_of_the_literal_rounds(target, p1, p2):
    rows, length = 1500, 48
    masking = stage_masking(
        stage_table([sticky(target, p1, p2)], "cpu"), torch.zeros(rows, dtype=torch.long), torch.ones(rows), length
    )
    ours = sample_masks(masking, length, generator())
    rng = random.Random(0)
    book = torch.tensor([literal_rounds(round(target * length), p1, p2, length, rng) for _ in range(rows)])
    assert (ours.sum(1) == round(target * length)).all() and (book.sum(1) == round(target * length)).all()
    for statistic in (runs, isolated):
        a, b = statistic(ours), statistic(book)
        error = ((a.var() + b.var()) / rows).sqrt() + 1e-3
        assert abs(a.mean() - b.mean()) < 4.5 * error, statistic.__name__
    # Position by position: the edges have one neighbour only.
    share_error = (2 * target * (1 - target) / rows) ** 0.5
    assert (ours.float().mean(0) - book.float().mean(0)).abs().max() < 5 * share_error


def literal_arrivals(always: list[int], alone: list[int]) -> list[int]:
    """The round in which each position masks: in that of `always`, or in that of `alone` if no neighbour has before."""
    arrivals = [0] * len(always)
    for number in range(1, max(always) + 1):
        before = [0 < arrival < number for arrival in arrivals]
        for i in range(len(always)):
            beside = any(before[max(i - 1, 0) : i] + before[i + 1 : i + 2])
            if not arrivals[i] and (number == always[i] or (number == alone[i] and not beside)):
                arrivals[i] = number
    return arrivals


@pytest.mark.parametrize("longest", [3, 4, 5, 9, 16])
def test_masks_that_repel_are_exact_along_a_run_of_neighbours_that_mask_one_after_another(longest):
    """Such a run needs a pass for each of its positions: it becomes rarer with its length, as 1 / longest!."""
    alone, always = list(range(1, longest + 1)), [longest + 9] * longest
    for rounds in (alone, alone[::-1]):
        ours = crowding(torch.tensor([always]), torch.tensor([rounds]))[0].tolist()
        assert ours == literal_arrivals(always, rounds)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=16))
def test_masks_that_repel_arrive_when_the_rounds_say(rounds):
    always, alone = map(list, zip(*rounds, strict=True))
    assert crowding(torch.tensor([always]), torch.tensor([alone]))[0].tolist() == literal_arrivals(always, alone)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=16))
def test_masks_that_attract_arrive_by_the_shortest_way(rounds):
    alone, spread = map(list, zip(*rounds, strict=True))
    ways = [
        min(alone[j] + sum(spread[i:j] if i < j else spread[j + 1 : i + 1]) for j in range(len(alone)))
        for i in range(len(alone))
    ]
    assert spreading(torch.tensor([alone]), torch.tensor([spread]))[0].tolist() == ways


def test_a_high_p2_makes_longer_runs_than_a_low_one():
    stages = stage_table([sticky(0.5, 0.05, 0.9), sticky(0.5, 0.3, 0.05)], "cpu")
    which = torch.tensor([0, 1]).repeat(200)
    masks = sample_masks(stage_masking(stages, which, torch.ones(400), 100), 100, generator())
    assert runs(masks[which == 0]).mean() < 0.6 * runs(masks[which == 1]).mean()


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    p1=st.floats(0, 1),
    p2=st.floats(0, 1),
    seed=st.integers(0, 2**31),
)
def test_every_row_has_exactly_its_count(counts, p1, p2, seed):
    count = torch.tensor(counts)
    masking = Masking(count, torch.full(count.shape, p1), torch.full(count.shape, p2))
    assert sample_masks(masking, 40, generator(seed)).sum(1).tolist() == counts


def test_rounds_that_jam_below_the_target_are_filled_up_at_random():
    """With p2 = 0 no more than about half can ever be masked by the rounds."""
    masking = Masking(torch.full((64,), 90), torch.full((64,), 0.3), torch.zeros(64))
    assert (sample_masks(masking, 100, generator()).sum(1) == 90).all()


def test_random_masks_are_uniform_over_positions():
    masks = sample_masks(random_masking(torch.full((4000,), 0.25), 20), 20, generator())
    assert (masks.sum(1) == 5).all()
    assert (masks.float().mean(0) - 0.25).abs().max() < 5 * (0.25 * 0.75 / 4000) ** 0.5


def test_a_random_stage_draws_counts_uniformly_up_to_its_ratio():
    stage = RandomStage(type="random", max_masked_ratio=0.2, val_loss_stale_count=1)
    uniform = stratified(1, 5000, generator()).flatten()
    masking = stage_masking(stage_table([stage], "cpu"), torch.zeros(5000, dtype=torch.long), uniform, 50)
    counts = torch.bincount(masking.count)
    assert counts[0] == 0 and len(counts) == 11  # 1..10 of 50
    assert (counts[1:] / 5000 - 0.1).abs().max() < 0.01


def test_stratified_numbers_fall_one_into_each_stratum():
    for seed in range(20):
        numbers = stratified(1, 16, generator(seed))[0]
        assert (numbers > 0).all() and (numbers <= 1).all()
        assert sorted((numbers * 16).ceil().long().tolist()) == list(range(1, 17))


@pytest.mark.parametrize(("rows", "stages"), [(16, 3), (4, 11), (12, 12), (1, 5)])
def test_rows_are_dealt_out_evenly_over_the_stages_reached(rows, stages):
    first = rows_of_stages(rows, stages - 1, batch=0)
    per_stage = [first.count(stage) for stage in range(stages)]
    assert max(per_stage) - min(per_stage) <= 1
    over_time = [stage for batch in range(stages) for stage in rows_of_stages(rows, stages - 1, batch)]
    assert {over_time.count(stage) for stage in range(stages)} == {rows}


def test_the_stages_of_one_batch_keep_their_own_ratios():
    stages = [sticky(0.9, 0.1, 0.9), sticky(0.2, 0.3, 0.0)]
    dealt = torch.tensor(rows_of_stages(8, 1, 0))
    masking = stage_masking(stage_table(stages, "cpu"), dealt, torch.ones(8), 100)
    assert masking.count.tolist() == [90, 20] * 4


@pytest.mark.parametrize("reached", [1, 2, 3])
@pytest.mark.parametrize("rows", [4, 7])
def test_no_batch_masks_more_than_its_maximum(rows, reached):
    stages = [
        sticky(0.9, 0.1, 0.9),
        RandomStage(type="random", max_masked_ratio=0.33, val_loss_stale_count=1),
        sticky(0.21, 0.3, 0.0),
    ][:reached]
    table = stage_table(stages, "cpu")
    for number in range(12):
        dealt = torch.tensor(rows_of_stages(rows, reached - 1, number))
        uniform = stratified(1, rows, generator(number)).flatten()
        assert stage_masking(table, dealt, uniform, 50).count.sum() <= max_masked(stages, rows, 50)


def test_masks_cost_no_round_trip_to_the_device():
    """Meta tensors have shapes and no values: whatever asks for one raises."""
    count = torch.ones(4, dtype=torch.long, device="meta")
    masking = Masking(count, torch.ones(4, device="meta"), torch.ones(4, device="meta"))
    assert sample_masks(masking, 16, None).shape == (4, 16)
    assert random_masks(count, 16, None).shape == (4, 16)
