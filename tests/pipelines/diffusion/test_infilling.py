"""The infilling benchmark against a joint distribution that is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pipelines.diffusion.evaluation.infilling import gap_of, infilling
from tests.model.test_sampling import LENGTH, MASK, SIZE, TEXTS, Oracle, joint

__all__ = ["joint"]  # a fixture


def conditional_nats(joint: Tensor, rows: Tensor, where: Tensor) -> float:
    """-ln p of the gap given the rest, by enumeration: the mean over rows."""
    total = 0.0
    for row in rows:
        same = ((row == TEXTS) | where[0]).all(1)
        total -= math.log(joint[(row == TEXTS).all(1)].item() / joint[same].sum().item())
    return total / len(rows)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_along_any_order_the_likelihood_of_a_gap_is_that_of_the_enumeration(joint, length):
    """An exact model has the same likelihood along all orders, so the bound is tight for it."""
    found = infilling(Oracle(joint), TEXTS, length, mask_id=MASK, left_only=False)
    assert found.nll * length == pytest.approx(conditional_nats(joint, TEXTS, gap_of(TEXTS, length)), rel=1e-4)
    assert found.gaps == len(TEXTS) and found.length == length


def test_a_model_of_the_left_side_is_read_from_left_to_right(joint):
    seen = []

    def left(ids: Tensor) -> Tensor:
        seen.append(ids.clone())
        return torch.zeros(*ids.shape, SIZE)

    found = infilling(left, TEXTS[:5], 2, mask_id=MASK, left_only=True)
    assert found.nll == pytest.approx(math.log(SIZE))
    assert (
        (seen[0][:, 1:3] == MASK).all() and torch.equal(seen[1][:, 1], TEXTS[:5, 1]) and (seen[1][:, 2] == MASK).all()
    )


def test_exact_matches_are_counted_by_gap_and_tokens_one_by_one():
    rows = torch.tensor([[0, 1, 1, 0], [0, 1, 2, 0], [0, 2, 2, 0], [0, 2, 1, 0]])

    def always_one(ids: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(torch.ones_like(ids), SIZE).float()

    found = infilling(always_one, rows, 2, mask_id=MASK, left_only=False)
    assert found.exact == 0.25 and found.right == 0.5
    assert found.exact_stderr == pytest.approx(math.sqrt(0.25 * 0.75 / 4))
    assert rows.shape[1] == LENGTH
