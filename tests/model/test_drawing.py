"""What is drawn for one character: the temperature, the likeliest, the nucleus."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model.drawing import Draw, gumbel, likeliest, nucleus
from model.drawing import uniform as uniform_numbers


def one_each(logits: Tensor, **options: float) -> Tensor:  # (N, V) -> (N,)
    draw = Draw([torch.Generator().manual_seed(1)], **options)
    return draw(logits, torch.ones(len(logits), 1, dtype=torch.bool))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_gumbel_noise_draws_from_the_softmax_at_a_temperature(temperature):
    logits = torch.randn(65, generator=torch.Generator().manual_seed(3))
    n = 100_000
    drawn = one_each(logits.expand(n, -1), temperature=temperature)
    expected = (logits.double() / temperature).softmax(-1)
    shares = torch.bincount(drawn, minlength=65) / n
    statistic = float((n * (shares - expected) ** 2 / expected).sum())
    assert statistic < 115  # 64 degrees of freedom: above that once in ten thousand times
    surprise = -expected.log()
    entropy = (expected * surprise).sum()
    error = (expected * (surprise - entropy) ** 2).sum().sqrt() / n**0.5
    assert abs(surprise[drawn].mean() - entropy) < 4 * error


def test_the_noise_is_finer_than_float32():
    """A float32 uniform number is a multiple of 2^-24, and the largest noise that it can make is 16.6."""
    noise = gumbel(uniform_numbers([1000], torch.Generator().manual_seed(0)))
    assert noise.dtype == torch.float64
    numbers = (-(-noise).exp()).exp() * 2**24
    assert ((numbers - numbers.round()).abs() > 1e-3).float().mean() > 0.9


def test_temperature_zero_is_the_likeliest_and_near_it_nothing_overflows():
    logits = torch.tensor([[3.0, 1.0, 2.9], [-1e30, -5.0, -4.0]])
    assert one_each(logits, temperature=0).tolist() == [0, 2]
    assert one_each(logits, temperature=1e-300).tolist() == [0, 2]


def test_top_k_keeps_the_likeliest_and_of_equals_the_first():
    scores = torch.tensor([[0.15, 0.5, 0.05, 0.3], [0.25, 0.25, 0.25, 0.25]]).log()
    assert likeliest(scores, 2).isfinite().tolist() == [[False, True, False, True], [True, True, False, False]]
    drawn = one_each(scores[:1].expand(20_000, -1), top_k=2)
    assert set(drawn.tolist()) == {1, 3}
    assert (drawn == 1).float().mean() == pytest.approx(0.625, abs=0.015)
    assert set(one_each(scores[:1].expand(500, -1), top_k=99).tolist()) == {0, 1, 2, 3}


def test_top_p_rules_out_what_the_likelier_ones_make_superfluous():
    scores = torch.tensor([[0.15, 0.5, 0.05, 0.3]]).log()
    for top_p, left in ((0.1, [1]), (0.5, [1]), (0.51, [1, 3]), (0.8001, [0, 1, 3]), (0.99, [0, 1, 2, 3])):
        assert nucleus(scores, top_p)[0].isfinite().nonzero().flatten().tolist() == left
    drawn = one_each(scores.expand(20_000, -1), top_p=0.7)
    assert set(drawn.tolist()) == {1, 3}
    assert (drawn == 1).float().mean() == pytest.approx(0.625, abs=0.015)
