"""Wrong characters: exact counts, the law of the replacements, complete pieces of text, and what finding them costs."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from model.corruption import (
    FRAGMENT,
    RANDOM,
    STICKY,
    correction_losses,
    correction_targets,
    corrupt,
    corruption,
    draw_kinds,
    fragments,
    other_characters,
    wrong_log_odds,
)
from model.masks import sample_masks, stratified
from model.transformer import Shape, Transformer

VOCABULARY = 7
ALIKE = torch.ones(VOCABULARY, dtype=torch.int64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def text(rows: int, length: int, vocabulary: int = VOCABULARY) -> torch.Tensor:
    return torch.randint(vocabulary, (rows, length), generator=generator(99))


def runs(rows: torch.Tensor) -> torch.Tensor:  # (B, T) bool -> (B,) number of runs
    return rows[:, 0].float() + (rows[:, 1:] & ~rows[:, :-1]).sum(1)


def within(observed: torch.Tensor, expected: float, errors: float = 4.5) -> bool:
    """Whether the mean of independent numbers is `expected`, up to so many standard errors."""
    return abs(observed.mean() - expected) < errors * observed.std() / len(observed) ** 0.5 + 1e-9


# Where.


@settings(max_examples=60, deadline=None)
@given(
    ratios=st.lists(st.floats(0.001, 1), min_size=1, max_size=8),
    kind=st.sampled_from([RANDOM, STICKY]),
    p1=st.floats(0.001, 1),
    p2=st.floats(0, 1),
    frequencies=st.lists(st.integers(0, 5), min_size=VOCABULARY, max_size=VOCABULARY),
    seed=st.integers(0, 2**31),
)
def test_exactly_as_many_characters_are_wrong_as_were_chosen(ratios, kind, p1, p2, frequencies, seed):
    frequencies[0], frequencies[3] = 1, 2  # two characters at least must occur
    ids = text(len(ratios), 40)
    plan = corruption(torch.full((len(ratios),), kind), torch.tensor(ratios), 40, p1, p2)
    corrupted = corrupt(ids, plan, torch.tensor(frequencies), generator(seed), text(len(ratios), 80))
    wrong = (corrupted != ids).sum(1)
    assert wrong.tolist() == plan.positions.count.tolist()
    assert wrong.tolist() == (torch.tensor(ratios) * 40).ceil().tolist()
    assert all(frequencies[id] for id in corrupted[corrupted != ids].tolist())


def test_stratified_ratios_give_uniform_counts_up_to_the_largest():
    rows, length, most = 4000, 50, 0.4
    ratio = stratified(1, rows, generator())[0] * most
    count = corruption(torch.zeros(rows, dtype=torch.long), ratio, length, 0.1, 0.1).positions.count
    counts = torch.bincount(count)
    assert len(counts) == 21 and counts[0] == 0
    assert (counts[1:] - rows / 20).abs().max() <= 1  # one row in each stratum


def test_random_positions_are_scattered_and_sticky_ones_run_together():
    rows, length, ratio = 2000, 60, 0.3
    kind = torch.tensor([RANDOM, STICKY]).repeat(rows // 2)
    plan = corruption(kind, torch.full((rows,), ratio), length, 0.02, 0.9)
    ids = text(rows, length)
    wrong = corrupt(ids, plan, ALIKE, generator(), text(rows, 2 * length)) != ids
    # k of T positions chosen uniformly lie in k (T - k + 1) / T runs on average.
    assert within(runs(wrong[kind == RANDOM]), 18 * (60 - 18 + 1) / 60)
    assert runs(wrong[kind == STICKY]).mean() < 0.5 * runs(wrong[kind == RANDOM]).mean()
    assert (wrong[kind == RANDOM].float().mean(0) - ratio).abs().max() < 5 * (ratio * (1 - ratio) / (rows / 2)) ** 0.5


@pytest.mark.parametrize("kind", [RANDOM, STICKY])
def test_the_positions_are_those_of_the_masks(kind):
    ids = text(64, 48)
    plan = corruption(torch.full((64,), kind), stratified(1, 64, generator(1))[0], 48, 0.1, 0.6)
    wrong = corrupt(ids, plan, ALIKE, generator(2), ids) != ids
    assert torch.equal(wrong, sample_masks(plan.positions, 48, generator(2)))


# What.


@pytest.mark.parametrize("frequencies", [[1, 2, 3, 4], [5, 0, 1, 1000], [1, 1, 1, 1]])
def test_a_replacement_has_the_frequencies_without_the_character_itself(frequencies):
    draws = 40_000
    counts = torch.tensor(frequencies)
    for own in range(4):
        drawn = other_characters(torch.full((1, draws), own), counts, generator(own))
        law = counts.double().index_fill(0, torch.tensor(own), 0) / (counts.sum() - counts[own])
        observed = torch.bincount(drawn.flatten(), minlength=4) / draws
        assert observed[law == 0].sum() == 0
        assert ((observed - law).abs() <= 4.5 * (law * (1 - law) / draws).sqrt()).all()


def test_frequencies_of_a_large_text_are_counted_exactly():
    """One character in 2^40 others: nothing is lost to floating point."""
    counts = torch.tensor([2**40, 1, 1])
    assert other_characters(torch.zeros(1, 2000, dtype=torch.long), counts, generator()).unique().tolist() == [1, 2]


@settings(max_examples=60, deadline=None)
@given(length=st.integers(1, 30), extra=st.integers(0, 30), share=st.floats(0, 1), seed=st.integers(0, 2**31))
def test_every_run_becomes_a_piece_of_the_text_elsewhere(length, extra, share, seed):
    draw = generator(seed)
    chosen = torch.rand(5, length, generator=draw) < share
    elsewhere = (
        torch.arange(length + extra) + 1000 * torch.arange(5)[:, None]
    )  # each place and row can be distinguished
    moved = fragments(chosen, elsewhere, draw)
    for row in range(5):
        place = moved[row] - 1000 * row  # where each character was taken
        assert (place >= 0).all() and (place < length + extra).all()
        joined = chosen[row, 1:] & chosen[row, :-1]
        assert (place.diff()[joined] == 1).all()


def test_a_fragment_begins_anywhere_and_each_run_has_its_own():
    chosen = torch.tensor([True, True, False, True, True]).repeat(6000, 1)
    place = fragments(chosen, torch.arange(8).repeat(6000, 1), generator())
    for begin in (0, 3):
        fractions = torch.bincount(place[:, begin], minlength=7) / 6000  # runs of 2 in 8 characters begin at 0..6
        assert len(fractions) == 7 and (fractions - 1 / 7).abs().max() < 5 * (1 / 7 * 6 / 7 / 6000) ** 0.5
    both = torch.bincount(place[:, 0] * 7 + place[:, 3], minlength=49) / 6000
    assert (both - 1 / 49).abs().max() < 5 * (1 / 49 / 6000) ** 0.5


def test_what_agrees_with_the_text_is_not_wrong():
    ids = torch.ones(20, 30, dtype=torch.long)
    elsewhere = torch.ones(20, 60, dtype=torch.long)
    plan = corruption(torch.full((20,), FRAGMENT), torch.full((20,), 0.5), 30, 0.1, 0.9)
    assert torch.equal(corrupt(ids, plan, ALIKE, generator(), elsewhere), ids)
    elsewhere[:, ::2] = 2
    wrong = corrupt(ids, plan, ALIKE, generator(), elsewhere) != ids
    assert (wrong.sum(1) < 15).all() and wrong.sum() > 0.3 * 20 * 15


def test_the_rows_of_one_batch_keep_their_own_kind():
    """Fragments from a text of another alphabet show which rows they went to."""
    kind = torch.tensor([RANDOM, STICKY, FRAGMENT]).repeat(50)
    ids, elsewhere = text(150, 40), text(150, 80) + 100
    plan = corruption(kind, stratified(1, 150, generator())[0], 40, 0.05, 0.9)
    corrupted = corrupt(ids, plan, ALIKE, generator(), elsewhere)
    assert ((corrupted >= 100).any(1) == (kind == FRAGMENT)).all()
    assert ((corrupted != ids).sum(1) == plan.positions.count).all()


def test_kinds_are_drawn_in_proportion_to_their_weights():
    drawn = draw_kinds(torch.tensor([1.0, 0.0, 3.0]), 20_000, generator())
    assert (drawn != STICKY).all()
    assert within((drawn == FRAGMENT).double(), 0.75)
    for only in range(3):
        weights = torch.zeros(3).index_fill(0, torch.tensor(only), 0.1)
        assert (draw_kinds(weights, 2000, generator()) == only).all()


def test_no_value_is_copied_from_the_device():
    """Tensors without values: whatever needed one would raise."""
    with FakeTensorMode() as mode:
        ids = mode.from_tensor(text(4, 20))
        with pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
            ids[ids > 2].sum().item()  # so this is what it would be
        kind = draw_kinds(torch.ones(3), 4, generator())
        plan = corruption(kind, stratified(1, 4, generator())[0], 20, 0.1, 0.5)
        drawn = other_characters(ids, mode.from_tensor(ALIKE), generator())
        moved = fragments(ids > 2, torch.cat((ids, ids), 1), generator())
        targets = correction_targets(ids, torch.where(plan.kind[:, None] == FRAGMENT, moved, drawn), VOCABULARY + 1)
        assert correction_losses(torch.empty(4, 20, VOCABULARY + 1), targets).shape == (4, 20)


# What finding them costs.


@pytest.mark.parametrize("classes", [2, VOCABULARY + 1])
def test_a_fresh_network_guesses_uniformly(classes):
    shape = Shape(tokens_in=VOCABULARY + 1, tokens_out=classes, block_size=16, n_layer=1, n_head=2, n_embd=16)
    ids, corrupted = text(3, 16), (text(3, 16) + 1) % VOCABULARY
    logits = Transformer(shape)(corrupted)
    losses = correction_losses(logits, correction_targets(ids, corrupted, classes))
    assert losses.mean().item() == pytest.approx(math.log(classes), abs=1e-6)


def test_the_last_class_means_wrong():
    ids, corrupted = torch.tensor([[0, 1, 6]]), torch.tensor([[0, 2, 6]])
    assert correction_targets(ids, corrupted, VOCABULARY + 1).tolist() == [[0, VOCABULARY, 6]]
    assert correction_targets(ids, corrupted, 2).tolist() == [[0, 1, 0]]


def test_the_prior_is_what_is_known_without_the_text():
    prior = (math.log(0.8), math.log(0.2))
    shape = Shape(VOCABULARY + 1, 2, block_size=16, n_layer=1, n_head=2, n_embd=16, prior=prior)
    model = Transformer(shape)
    nothing_seen = model(text(1, 10))
    assert torch.allclose(nothing_seen.softmax(-1)[..., 1], torch.tensor(0.2))
    targets = torch.tensor([[1, 1] + [0] * 8])
    entropy = -(0.2 * math.log(0.2) + 0.8 * math.log(0.8))
    assert correction_losses(nothing_seen, targets).mean().item() == pytest.approx(entropy, abs=1e-6)


def test_losses_and_odds_are_those_of_the_probabilities():
    logits = torch.randn(2, 5, 4, generator=generator())
    targets = torch.randint(4, (2, 5), generator=generator())
    probability = logits.double().softmax(-1)
    by_hand = -probability.gather(-1, targets[..., None])[..., 0].log()
    assert torch.allclose(correction_losses(logits, targets).double(), by_hand, atol=1e-6)
    wrong = probability[..., -1]
    assert torch.allclose(wrong_log_odds(logits).double(), (wrong / (1 - wrong)).log(), atol=1e-5)
    sure = wrong_log_odds(torch.tensor([[[0.0, 100.0], [0.0, 101.0]]]))
    assert sure[0, 0] < sure[0, 1]  # both probabilities are 1.0 in float32
