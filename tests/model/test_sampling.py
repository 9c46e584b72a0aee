"""The samplers against a joint distribution that is known: what they draw, in which order, what they leave alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from model import sampling
from model.drawing import Draw

SIZE, LENGTH = 3, 4
MASK = SIZE
TEXTS = torch.tensor(list(product(range(SIZE), repeat=LENGTH)))  # (81, 4): all there are
DRAWS = 30_000
# Of 80 degrees of freedom, a chi-square statistic is above this once in ten thousand times.
LIMIT = 133.0


@pytest.fixture(scope="module")
def joint() -> Tensor:  # (81,)
    """Far from independent: neighbours prefer to be equal, on top of weights of chance."""
    weights = torch.rand(len(TEXTS), generator=torch.Generator().manual_seed(5), dtype=torch.float64) + 0.2
    weights *= 3.0 ** (TEXTS[:, 1:] == TEXTS[:, :-1]).sum(1)
    return weights / weights.sum()


class Oracle:
    """The exact conditional distribution of each position given those that can be seen, by enumeration."""

    def __init__(self, joint: Tensor) -> None:
        self.joint, self.calls, self.rows = joint, 0, 0
        self.answers = torch.nn.functional.one_hot(TEXTS, SIZE).double()  # (81, T, V)

    def __call__(self, ids: Tensor) -> Tensor:  # (B, T) -> (B, T, V)
        self.calls, self.rows = self.calls + 1, self.rows + len(ids)
        fits = ((ids[:, None] == TEXTS) | (ids[:, None] == MASK)).all(-1)  # (B, 81)
        return torch.einsum("bn,ntv->btv", fits * self.joint, self.answers).log()


def drawing(seed: int = 1, **options: float) -> Draw:
    return Draw([torch.Generator().manual_seed(seed)], **options)


def hidden(*rows: list[int]) -> Tensor:
    return torch.tensor(rows)


def finish(sampler: Callable[..., sampling.Decoding], predict: sampling.Predict, ids: Tensor, **options) -> Tensor:
    *_, last = sampler(predict, ids, ids == MASK, **options)
    return last


def chi_square(drawn: Tensor, expected: Tensor) -> float:  # (N, T), (81,) -> statistic
    numbers = (drawn * SIZE ** torch.arange(LENGTH - 1, -1, -1)).sum(1)
    observed = torch.bincount(numbers, minlength=len(TEXTS))
    expected_counts = expected * len(drawn)
    return float(((observed - expected_counts) ** 2 / expected_counts).sum())


# What is drawn.


@pytest.mark.parametrize(
    ("sampler", "steps"),
    [
        (sampling.first_hitting, LENGTH),
        (sampling.ancestral, 400),
        (partial(sampling.remasking, eta=0.01), 400),
        (partial(sampling.remasking, schedule="rescale", eta=0.01), 400),
        (partial(sampling.remasking, eta=0.0), 400),
    ],
)
def test_a_sampler_draws_from_the_exact_joint_distribution(joint, sampler, steps):
    start = torch.full((DRAWS, LENGTH), MASK)
    drawn = finish(sampler, Oracle(joint), start, mask_id=MASK, draw=drawing(), steps=steps)
    assert chi_square(drawn, joint) < LIMIT


FROM = torch.tensor([[0, MASK, 2, 1]])  # one position is masked, three are visible


@pytest.mark.parametrize("schedule", ["cap", "rescale"])
def test_one_step_of_remasking_by_confidence_has_the_probabilities_of_its_outcomes(joint, schedule):
    """The first of four steps, all its outcomes enumerated: ReMDM-conf, Wang et al. 2025, section 4.1."""
    total, eta, rows = 4, 0.6, 40_000
    ids, where = FROM.expand(rows, -1), torch.ones(rows, LENGTH, dtype=torch.bool)
    steps = sampling.remasking(
        Oracle(joint), ids, where, mask_id=MASK, draw=drawing(2), steps=total, schedule=schedule, eta=eta,
        remask="confidence",
    )  # fmt: skip
    after = next(steps)
    # alpha_t 0, alpha_s 1/4: sigma is eta for both schedules, a third of it for each visible position.
    sigma, p_unmask = eta / 3, 0.25
    answer = Oracle(joint)(FROM)[0, 1].exp()
    answer = answer / answer.sum()
    for visible in itertools.product((True, False), repeat=3):
        kept = torch.tensor([visible[0], visible[1], visible[2]])
        chance = torch.where(kept, 1 - sigma, sigma).prod()
        same = ((after[:, [0, 2, 3]] != MASK) == kept).all(1)
        for drawn, share in [(MASK, 1 - p_unmask), *((token, p_unmask * answer[token]) for token in range(SIZE))]:
            found = (same & (after[:, 1] == drawn)).double().mean().item()
            expected = float(chance * share)
            assert abs(found - expected) < 5 * (expected / rows) ** 0.5 + 1e-4


def test_remasking_by_confidence_prefers_what_was_unlikely(joint):
    """Two positions are drawn at probabilities 0.9 and 0.1: exp(0.8) = 2.2 times as often the second is masked."""
    likely, unlikely = torch.tensor([0.9, 0.1, 0.0]).log(), torch.tensor([0.1, 0.9, 0.0]).log()
    rows = 30_000

    class First(Draw):
        """Always the first character."""

        def __call__(self, logits: Tensor, at: Tensor) -> Tensor:
            return torch.zeros(len(logits), dtype=torch.long)

    logits = torch.stack((likely, unlikely)).expand(rows, -1, -1)
    start = torch.full((rows, 2), MASK)
    steps = sampling.remasking(
        lambda ids: logits[: len(ids)], start, start == MASK, mask_id=MASK,
        draw=First([torch.Generator().manual_seed(1)]), steps=3, schedule="rescale", eta=1.0, remask="confidence",
    )  # fmt: skip
    first, again = next(steps), next(steps)
    both = (first != MASK).all(1)
    masked = (again[both] == MASK).double().mean(0)
    # alpha_t 1/3, alpha_s 2/3: sigma is (1 - 2/3) / (1/3) = 1, divided in proportion to exp(-0.9) and exp(-0.1).
    weights = torch.tensor([-0.9, -0.1]).softmax(0)
    assert masked.tolist() == pytest.approx(weights.tolist(), abs=0.03)


def test_without_remasking_confidence_makes_no_difference(joint):
    start = torch.full((500, LENGTH), MASK)
    sampler = partial(sampling.remasking, eta=0.0, mask_id=MASK, steps=20)
    by_chance, by_confidence = (
        finish(sampler, Oracle(joint), start, draw=drawing(), remask=remask) for remask in ("chance", "confidence")
    )
    assert torch.equal(by_chance, by_confidence)


def test_that_test_can_tell_characters_drawn_together_from_the_joint(joint):
    for sampler in (sampling.first_hitting, sampling.ancestral, sampling.confidence):
        start = torch.full((DRAWS, LENGTH), MASK)
        drawn = finish(sampler, Oracle(joint), start, mask_id=MASK, draw=drawing(), steps=1)
        assert chi_square(drawn, joint) > 10 * LIMIT


@pytest.mark.parametrize("sampler", [sampling.first_hitting, sampling.remasking, sampling.ancestral])
def test_what_is_given_is_kept_and_conditioned_on(joint, sampler):
    start = torch.tensor([[MASK, 2, MASK, 0]]).expand(DRAWS, -1)
    steps = LENGTH if sampler is sampling.first_hitting else 300
    drawn = finish(sampler, Oracle(joint), start, mask_id=MASK, draw=drawing(), steps=steps)
    assert (drawn[:, 1] == 2).all() and (drawn[:, 3] == 0).all()
    conditional = joint * (TEXTS[:, 1] == 2) * (TEXTS[:, 3] == 0)
    possible = conditional > 0
    numbers = (drawn * SIZE ** torch.arange(LENGTH - 1, -1, -1)).sum(1)
    shares = torch.bincount(numbers, minlength=len(TEXTS)) / DRAWS
    # Nine outcomes: the standard deviation of a fraction is below 0.003.
    assert (shares - conditional / conditional.sum()).abs().max() < 0.012
    assert shares[~possible].sum() == 0


def test_left_to_right_blocks_of_one_are_exact_as_well(joint):
    sampler = sampling.in_blocks(partial(sampling.confidence, mask_id=MASK, draw=drawing(), steps=1), 1)
    drawn = finish(sampler, Oracle(joint), torch.full((DRAWS, LENGTH), MASK))
    assert chi_square(drawn, joint) < LIMIT


# How the network is called.


@pytest.mark.parametrize("steps, calls", [(LENGTH, LENGTH), (100, LENGTH), (2, 2), (3, 3), (1, 1)])
def test_first_hitting_asks_once_for_each_transition_and_the_length_at_most(joint, steps, calls):
    oracle = Oracle(joint)
    seen = list(
        sampling.first_hitting(
            oracle, start := torch.full((7, LENGTH), MASK), start == MASK, mask_id=MASK, draw=drawing(), steps=steps
        )
    )
    assert oracle.calls == len(seen) == calls
    appeared = [(ids != MASK).sum(1).tolist() for ids in seen]
    assert all(len(set(counts)) == 1 for counts in appeared) and appeared[-1] == [LENGTH] * 7


def test_ancestral_asks_only_about_rows_in_which_something_appears(joint):
    oracle = Oracle(joint)
    start = torch.full((5, LENGTH), MASK)
    list(sampling.ancestral(oracle, start, start == MASK, mask_id=MASK, draw=drawing(), steps=1000))
    assert oracle.calls <= oracle.rows <= 5 * LENGTH


def test_steps_that_were_given_away_do_not_change_and_end_without_a_mask(joint):
    start = torch.full((3, LENGTH), MASK)
    steps = sampling.remasking(Oracle(joint), start, start == MASK, mask_id=MASK, draw=drawing(), steps=50, eta=0.5)
    seen, copies = [], []
    for ids in steps:
        seen.append(ids)
        copies.append(ids.clone())
    assert all(map(torch.equal, seen, copies))
    assert (start == MASK).all() and not (seen[-1] == MASK).any()
    assert any(((before != MASK) & (after == MASK)).any() for before, after in pairwise(seen))


# Orders.

PROBABILITIES = torch.tensor([[0.52, 0.29, 0.19], [0.46, 0.43, 0.11], [0.49, 0.01, 0.5], [0.4, 0.3, 0.3]])
#: The order in which positions should appear, by each measure: worked out by hand from the rows above.
BY = {"probability": [0, 2, 1, 3], "margin": [0, 3, 1, 2], "entropy": [2, 1, 0, 3]}


@pytest.mark.parametrize("order", list(BY))
def test_confidence_takes_the_surest_position_first(order):
    start = torch.full((2, LENGTH), MASK)
    options = {"mask_id": MASK, "draw": drawing(temperature=0), "steps": LENGTH, "order": order}
    answer = PROBABILITIES.log()
    steps = sampling.confidence(lambda ids: answer.expand(len(ids), -1, -1), start, start == MASK, **options)
    before, appeared = start, []
    for ids in steps:
        assert (ids[0] == ids[1]).all()
        appeared += (ids != before)[0].nonzero().flatten().tolist()
        before = ids
    assert appeared == BY[order]
    assert before[0].tolist() == [0, 0, 2, 0]


def test_confidence_keeps_as_many_in_each_step_and_the_rest_first():
    start = torch.full((1, 7), MASK)
    steps = sampling.confidence(
        lambda ids: torch.rand(*ids.shape, SIZE), start, start == MASK, mask_id=MASK, draw=drawing(), steps=3
    )
    assert [int((ids != MASK).sum()) for ids in steps] == [3, 5, 7]


def uniform(ids: Tensor) -> Tensor:
    return torch.zeros(*ids.shape, SIZE)


@pytest.mark.parametrize("inner", [sampling.ancestral, sampling.first_hitting, sampling.confidence, sampling.remasking])
def test_a_block_begins_when_the_one_to_its_left_is_finished(inner):
    start = torch.tensor([[1, 1] + [MASK] * 4 + [2] + [MASK] * 3])
    sampler = sampling.in_blocks(partial(inner, mask_id=MASK, draw=drawing(), steps=5), 3)
    blocks = [slice(2, 5), slice(5, 8), slice(8, 10)]  # counted from the first masked position
    last = start
    for last in sampler(uniform, start, start == MASK):
        left = [int((last[:, block] == MASK).sum()) for block in blocks]
        assert sum(0 < count < full for count, full in zip(left, (3, 2, 2), strict=True)) <= 1
        assert left == sorted(left) or left[0] == 0
        if left[0]:
            assert left[1:] == [2, 2]
        if left[1]:
            assert left[2] == 2
        assert last[0, [0, 1, 6]].tolist() == [1, 1, 2]
    assert not (last == MASK).any()


def test_windows_show_the_network_no_more_than_their_size_and_keep_given_tokens():
    widths, contexts = [], []

    def predict(ids: Tensor) -> Tensor:
        widths.append(ids.shape[1])
        contexts.append(int((ids[0] != MASK).cumprod(0).sum()))
        return uniform(ids)

    start = torch.full((2, 21), MASK)
    start[:, 12] = 1
    inner = partial(sampling.first_hitting, mask_id=MASK, draw=drawing(), steps=100)
    steps = list(sampling.in_windows(inner, 8, mask_id=MASK)(predict, start, start == MASK))
    assert set(widths) == {8} and all(ids.shape == start.shape for ids in steps)
    assert not (steps[-1] == MASK).any() and (steps[-1][:, 12] == 1).all()
    assert len(steps) == 20  # one position each, and none twice
    assert min(contexts[8:]) >= 4  # from the second window on, half of it is there already


# Correction.

TRUTH = torch.tensor([[0, 1, 2, 0, 1, 2, 0, 1]])


def knows(ids: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(TRUTH, SIZE).float().log().expand(len(ids), -1, -1)


def careless(predict: sampling.Predict, ids: Tensor, where: Tensor) -> sampling.Decoding:
    """Correct except at positions 2 and 5, where it errs whenever it fills the complete text."""
    text = TRUTH.clone()
    if where.sum() > 3:
        text[0, 2], text[0, 5] = 0, 1
    yield torch.where(where, text, ids)


def test_a_perfect_error_detection_model_fixes_errors_and_keeps_given_tokens():
    start = torch.full_like(TRUTH, MASK)
    start[0, 0] = 2  # given, and an error: it is kept
    calls = []

    def wrong(ids: Tensor) -> Tensor:
        calls.append(ids)
        return (ids != TRUTH).float()

    sampler = sampling.corrected(careless, wrong, mask_id=MASK, rounds=5)
    steps = list(sampler(knows, start, start == MASK))
    assert (steps[0] != TRUTH)[0].nonzero().flatten().tolist() == [0, 2, 5]
    assert steps[1][0].tolist() == [2, 1, MASK, 0, 1, MASK, 0, 1]
    assert steps[-1][0].tolist() == [2, *TRUTH[0, 1:].tolist()]
    assert len(calls) == 2  # once to find, once to find nothing


def test_correction_rounds_are_limited_if_errors_are_always_found():
    calls = []

    def wrong(ids: Tensor) -> Tensor:
        calls.append(ids)
        return torch.ones(ids.shape)

    start = torch.full((2, 6), MASK)
    inner = partial(sampling.first_hitting, mask_id=MASK, draw=drawing(), steps=2)
    *_, last = sampling.corrected(inner, wrong, mask_id=MASK, rounds=3)(uniform, start, start == MASK)
    assert len(calls) == 3 and not (last == MASK).any()


# Rows.


@pytest.mark.parametrize("corrects", [False, True])
@pytest.mark.parametrize("sampler", [
    partial(sampling.first_hitting, steps=3), partial(sampling.ancestral, steps=6),
    partial(sampling.confidence, steps=2), partial(sampling.remasking, steps=7, eta=0.3),
    partial(sampling.first_hitting, steps=torch.tensor([[1], [2], [4], [3], [2]])),
])  # fmt: skip
def test_a_row_does_not_depend_on_the_other_rows(joint, sampler, corrects):
    """With a generator for each: five rows together, in which different positions are masked, or one by one."""
    start = torch.randint(SIZE, (5, LENGTH), generator=torch.Generator().manual_seed(4))
    start[torch.rand(5, LENGTH, generator=torch.Generator().manual_seed(1)) < 0.7] = MASK
    steps = sampler.keywords["steps"]

    def wrong(ids: Tensor) -> Tensor:
        return (ids == 1).double()

    def drawn(rows: slice) -> Tensor:
        generators = [torch.Generator().manual_seed(seed) for seed in range(*rows.indices(5))]
        own = steps[rows] if isinstance(steps, Tensor) else steps
        inner = partial(sampler, mask_id=MASK, draw=Draw(generators, 1.0, 1.0), steps=own)
        blocks = sampling.in_blocks(inner, 2)
        whole = sampling.corrected(blocks, wrong, mask_id=MASK, rounds=3) if corrects else blocks
        return finish(whole, Oracle(joint), start[rows])

    apart = torch.cat([drawn(slice(row, row + 1)) for row in range(5)])
    assert torch.equal(drawn(slice(0, 5)), apart) and not (apart == MASK).any()


def test_rows_with_a_generator_each_are_drawn_from_the_joint_distribution_too(joint):
    generators = [torch.Generator().manual_seed(seed) for seed in range(2000)]
    start = torch.full((2000, LENGTH), MASK)
    drawn = finish(sampling.first_hitting, Oracle(joint), start, mask_id=MASK, draw=Draw(generators), steps=LENGTH)
    assert chi_square(drawn, joint) < LIMIT
