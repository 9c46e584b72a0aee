"""When the rows of a job count as a training that has diverged."""

from __future__ import annotations

import pytest

from runner.output import rows
from runner.output.divergence import Divergence

NAN, INF = float("nan"), float("inf")


def after(*lines: str, patience: int = 3) -> Divergence:
    """What is known after these rows of metrics.jsonl."""
    found, at = Divergence(patience, clock=lambda: 7.0), 0
    for line in lines:
        row = rows.parse(line)
        assert row is not None
        found.take(rows.measured(row), line.encode(), "metrics.jsonl", at)
        at += len(line) + 1
    return found


@pytest.mark.parametrize("name", ["loss", "train/loss", "train_loss", "val_loss", "val/loss", "eval/loss", "Loss"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_a_loss_that_is_not_finite_in_three_rows_has_diverged(name: str, value: str) -> None:
    row = f'{{"{name}": {value}}}'
    assert after(row, row).since is None
    assert after(row, row, row).since == 7.0
    assert after(row, patience=1).since == 7.0 and after(*[row] * 9, patience=0).since is None


@pytest.mark.parametrize(
    "row",
    [
        '{"grad_norm": NaN}',
        '{"perplexity": Infinity}',
        '{"best/val_loss": Infinity}',
        '{"loss_scale": Infinity}',
        '{"kl_loss_weight": NaN}',
        '{"accuracy": NaN}',
        '{"train/loss": 2.5, "val/loss": NaN}',  # the training works
        '{"loss": null}',  # perhaps it was not measured
        '{"loss": null, "nonfinite": {"accuracy": "nan"}}',
        '{"loss": "nan"}',
    ],
)
def test_what_is_no_sign_of_a_divergence(row: str) -> None:
    assert after(*[row] * 9).since is None


def test_a_finite_loss_begins_the_count_again_and_a_row_without_one_does_not() -> None:
    bad, good, other = '{"loss": NaN}', '{"loss": 2.5}', '{"lr": 0.1}'
    assert after(bad, bad, good, bad, bad).since is None
    assert after(bad, other, bad, other, bad).since == 7.0
    assert after(bad, bad, bad, good).since is None  # it recovered


def test_the_evidence_is_the_row_by_which_it_is_known() -> None:
    lines = [f'{{"iter": {n}, "train/loss": null, "nonfinite": {{"train/loss": "nan"}}}}' for n in range(4)]
    found = after(*lines)
    assert found.evidence == {"line": lines[2], "file": "metrics.jsonl", "offset": 2 * (len(lines[0]) + 1)}
    assert found.sentence() == "loss is NaN in 3 rows of metrics.jsonl, one after another"
