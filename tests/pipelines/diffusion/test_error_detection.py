"""What error detection is evaluated on, and its measures: against scikit-learn, and by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics as oracle
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from model.corruption import KINDS
from pipelines.diffusion.evaluation import error_detection
from pipelines.diffusion.evaluation.error_detection import detect
from pipelines.diffusion.evaluation.masked_loss import BINS
from tests.pipelines.diffusion.small_correction import correction, write_text


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    return write_text(tmp_path_factory.mktemp("data") / "text")


# How well scores separate errors from correct characters.


@examples(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=60))
def test_the_measures_are_those_of_scikit_learn_ties_and_all(pairs):
    scores, wrong = (torch.tensor(column) for column in zip(*pairs, strict=True))
    found = detect(scores / 2, wrong)
    called = scores > 0
    assert found.base_rate == pytest.approx(wrong.float().mean().item())
    assert found.accuracy == pytest.approx(oracle.accuracy_score(wrong, called))
    assert found.precision == pytest.approx(oracle.precision_score(wrong, called, zero_division=0))
    if not wrong.any():
        assert math.isnan(found.auroc) and math.isnan(found.average_precision) and math.isnan(found.recall)
        return
    assert found.recall == pytest.approx(oracle.recall_score(wrong, called))
    assert found.f1 == pytest.approx(oracle.f1_score(wrong, called))
    assert found.average_precision == pytest.approx(oracle.average_precision_score(wrong, scores))
    if wrong.all():
        assert math.isnan(found.auroc)
    else:
        assert found.auroc == pytest.approx(oracle.roc_auc_score(wrong, scores), abs=1e-12)


def test_half_a_million_scores_lose_nothing():
    draw = torch.Generator().manual_seed(0)
    wrong = torch.rand(500_000, generator=draw) < 0.1
    scores = torch.randn(500_000, generator=draw) + wrong
    found = detect(scores, wrong)
    assert found.auroc == pytest.approx(oracle.roc_auc_score(wrong, scores), abs=1e-9)
    assert found.average_precision == pytest.approx(oracle.average_precision_score(wrong, scores), abs=1e-9)


# The evaluation.


def test_every_config_with_the_same_largest_ratio_gets_the_same_evaluation(text):
    windows = correction(text).windows[0]
    other = correction(
        text, seed=5, batch_size=2, training_type="remasking",
        corruption_type="random", corruption_replacement="uniform", corruption_weights=[1.0, 0.0, 0.0],
        corruption_p1_probability=0.5, corruption_p2_probability=0.0,
    ).windows[0]  # fmt: skip
    assert torch.equal(windows.ids, other.ids) and torch.equal(windows.corrupted, other.corrupted)
    assert not torch.equal(windows.corrupted, correction(text, max_corruption_ratio=0.2).windows[0].corrupted)


def test_the_evaluation_has_every_kind_in_ten_bins_of_the_ratio(text):
    windows = correction(text, block_size=200, eval_iters=4, max_corruption_ratio=0.4).windows[0]
    fraction = windows.wrong.double().mean(-1).view(len(KINDS), BINS, 4)
    for i in range(BINS):
        assert (fraction[:2, i] > 0.04 * i).all() and (fraction[:2, i] <= 0.04 * (i + 1) + 1 / 200).all()
        assert (fraction[2, i] <= fraction[0, i]).all()  # fragments agree here and there
    assert fraction[2].mean() > 0.5 * fraction[0].mean()
    assert windows.base_rate == pytest.approx(fraction.mean().item())


class Knowing(torch.nn.Module):
    """Knows the planted errors of each window; `noise` blurs them."""

    def __init__(self, windows: error_detection.PlantedErrors, noise: float, calls: list[int]) -> None:
        super().__init__()
        self.known = {tuple(row): wrong for row, wrong in zip(windows.corrupted.tolist(), windows.wrong, strict=True)}
        self.noise, self.calls = noise, calls

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.calls.append(len(ids))
        wrong = torch.stack([self.known.get(tuple(row), torch.zeros(len(row))).float() for row in ids.tolist()])
        blur = torch.sin(ids * 12.9898 + torch.arange(ids.shape[1]) * 78.233)  # a fixed noise
        odds = 20 * (wrong - 0.5) + self.noise * blur
        return torch.stack((torch.zeros_like(odds), odds), -1)


def test_a_model_that_knows_the_errors_finds_them_all(text):
    one = correction(text)
    result = one.evaluate(Knowing(one.windows[0], 0, []))
    row = result.row()
    assert row["val/auroc"] == row["val/average_precision"] == row["val/f1"] == row["val/accuracy"] == 1.0
    by_hand = math.log1p(math.exp(-10))
    assert result.val_loss == pytest.approx(by_hand, rel=1e-2)


def test_the_numbers_are_those_worked_out_by_hand(text, monkeypatch):
    one = correction(text)
    calls: list[int] = []
    model = Knowing(one.windows[0], 30, calls).train()
    row = one.evaluate(model).row()
    assert model.training
    assert len(calls) == 2
    wrong = one.windows[0].wrong.numpy()
    odds = model(one.windows[0].corrupted)[..., 1].double().numpy()
    losses = np.log1p(np.exp(-np.where(wrong, odds, -odds))).mean(1).reshape(len(KINDS) * BINS, 3)
    assert row["val/loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert row["val/loss_stderr"] == pytest.approx(math.sqrt((losses.var(1, ddof=1) / 3).sum()) / 30, rel=1e-4)
    parts = {"": slice(90), "random_": slice(30), "sticky_": slice(30, 60), "fragment_": slice(60, 90)}
    for name, rows in parts.items():
        assert row[f"val/{name}auroc"] == pytest.approx(oracle.roc_auc_score(wrong[rows].ravel(), odds[rows].ravel()))
        assert row[f"val/{name}f1"] == pytest.approx(oracle.f1_score(wrong[rows].ravel(), odds[rows].ravel() > 0))
        assert row[f"val/{name}base_rate"] == pytest.approx(wrong[rows].mean())
    assert row["val/sticky_loss"] == pytest.approx(losses[10:20].mean(), rel=1e-5)
    third = (np.arange(90) // 3) % BINS == 2
    assert row["val/ratio_0.1_0.15_auroc"] == pytest.approx(
        oracle.roc_auc_score(wrong[third].ravel(), odds[third].ravel())
    )
    # Bounded memory: in pieces the answers are the same.
    monkeypatch.setattr(error_detection, "rows_at_once", lambda length, classes: 7)
    calls.clear()
    assert one.evaluate(model).row() == pytest.approx(row)
    assert max(calls) == 7 and sum(calls) == 90 + 30


def test_an_evaluation_stops_in_the_middle(text, monkeypatch):
    monkeypatch.setattr(error_detection, "rows_at_once", lambda length, classes: 5)
    one = correction(text)
    calls: list[int] = []
    model = Knowing(one.windows[0], 0, calls).train()
    assert one.evaluate(model, lambda: len(calls) >= 3) is None
    assert len(calls) == 3 and model.training
