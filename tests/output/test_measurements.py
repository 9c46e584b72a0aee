"""Rows of metrics -> last and best values, and warnings of losses that are not finite."""

from __future__ import annotations

import json
import math

import pytest

from runner.output import names, rows
from runner.output.lines import Splitter
from runner.output.measurements import Measurements
from runner.output.pattern import Pattern
from tests.output.understood import Program

NAN, INF = float("nan"), float("inf")


def measured(*values: float, name: str = "train/loss", step: int = 10) -> Measurements:
    found = Measurements()
    for number, value in enumerate(values, 1):
        found.add({name: value}, number * step, None)
    return found


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ((3.0, 2.0), None),
        ((3.0, 2.0, 1.0, NAN, NAN), "loss is NaN since iteration 40"),
        ((NAN,), "loss is NaN since iteration 10"),
        ((3.0, NAN, 2.0), "loss was NaN at iteration 20"),
        ((3.0, 2.0, 1.0, NAN, NAN, NAN, 1.0), "loss was NaN at iteration 40 to 60"),
        ((NAN, 1.0, NAN, 1.0, NAN, 1.0), "loss was NaN at iteration 10, and 2 more times until iteration 50"),
        ((NAN, 1.0, NAN), "loss is NaN since iteration 30"),
        ((1.0, INF), "loss is infinite since iteration 20"),
    ],
)
def test_a_warning_says_since_when_a_loss_is_not_finite(values: tuple[float, ...], sentence: str | None) -> None:
    assert measured(*values).warnings().get("train/loss") == sentence


def test_a_warning_without_an_iteration_names_the_epoch_or_nothing() -> None:
    found = Measurements()
    found.add({"val/loss": NAN}, None, 2.5)
    found.add({"eval_nll": NAN}, None, None)
    assert list(found.warnings().values()) == ["val loss is NaN since epoch 2.5", "eval_nll is NaN"]


@pytest.mark.parametrize(
    "name", ["lr", "grad_norm", "accuracy", "best_val_loss", "loss_scale", "time", "min_loss", "loss_limit"]
)
def test_only_a_loss_that_is_not_finite_is_a_warning(name: str) -> None:
    assert measured(NAN, name=name).warnings() == {}


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("train/loss", "min"), ("val/loss", "min"), ("eval_loss", "min"), ("ppl", "min"), ("wer", "min"),
        ("error_rate", "min"), ("rmse", "min"), ("val_mse", "min"), ("binary_logloss", "min"), ("loss_cls", "min"),
        ("acc", "max"), ("val/Acc@1", "max"), ("eval_accuracy", "max"), ("f1", "max"), ("eval_f1", "max"),
        ("roc_auc", "max"), ("bleu", "max"), ("coco/bbox_mAP", "max"), ("mAP50-95", "max"), ("score", "max"),
        ("rouge1", "max"), ("reward", "max"), ("valAccuracy", "max"),
        ("lr", None), ("learning_rate", None), ("step", None), ("train_runtime", None), ("grad_norm", None),
        ("eval_samples_per_second", None), ("loss_scale", None), ("mfu", None), ("best_val_loss", None), ("x", None),
    ],
)  # fmt: skip
def test_the_name_says_what_is_better(name: str, direction: str | None) -> None:
    assert names.better(name) == direction


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("loss", "train/loss"), ("Loss", "train/loss"), ("train_loss", "train/loss"), ("training loss", "train/loss"),
        ("Loss/train", "train/loss"), ("train/loss", "train/loss"), ("val_loss", "val/loss"), ("eval_loss", "val/loss"),
        ("eval/loss", "val/loss"), ("validation loss", "val/loss"), ("valid_loss", "val/loss"),
        ("loss_val", "val/loss"),
        ("Loss/validation", "val/loss"), ("test_loss", "test_loss"), ("val_acc", "val_acc"), ("F1 score", "F1_score"),
        ("box_loss", "box_loss"),
    ],
)  # fmt: skip
def test_names_of_losses_are_the_same_for_all_programs(said: str, name: str) -> None:
    assert names.canonical(said) == name


def test_the_best_value_keeps_its_iteration_and_ignores_what_is_not_finite() -> None:
    found = measured(3.0, 1.0, NAN, 2.0, name="val/loss")
    assert found.best() == {"val/loss": {"value": 1.0, "iter": 20, "better": "min"}}
    assert found.last == {"val/loss": 2.0}
    assert measured(0.5, 0.9, 0.7, name="acc").best() == {"acc": {"value": 0.9, "iter": 20, "better": "max"}}
    assert measured(0.5, name="lr").best() == {}


def test_a_row_of_an_earlier_iteration_does_not_replace_the_last_value() -> None:
    found = measured(3.0, 2.0)
    found.add({"train/loss": 0.5}, 10, None)
    assert found.last == {"train/loss": 2.0} and found.best()["train/loss"]["value"] == 0.5


def test_a_program_that_invents_names_does_not_fill_the_memory() -> None:
    found = Measurements()
    for number in range(10_000):
        found.add({f"loss_{number}_of_x": 1.0}, number, None)
    assert len(found.last) == len(found.best()) == 500


@pytest.mark.parametrize(
    ("row", "lost"),
    [
        ('{"iter": 1, "train/loss": NaN}', ["train/loss"]),
        ('{"iter": 1, "train/loss": null}', ["train/loss"]),
        ('{"iter": 1, "train/loss": null, "val/loss": null, "lr": 0.1}', ["train/loss", "val/loss"]),
        ('{"iter": 1, "train/loss": 2.5, "val/loss": null}', []),  # it was not measured in this row
        ('{"iter": 1, "accuracy": null}', []),
        ('{"iter": 1, "train/loss": Infinity}', ["train/loss"]),
        ('{"iter": 1, "train/loss": null, "val/loss": null, "nonfinite": {"val/loss": "-inf"}}', ["val/loss"]),
        ('{"iter": 1, "accuracy": null, "nonfinite": {"accuracy": "nan"}}', ["accuracy"]),
        ('{"iter": 1, "train/loss": null, "nonfinite": 3}', ["train/loss"]),  # a metric of that name
    ],
)
def test_null_in_a_row_of_losses_is_nan(row: str, lost: list[str]) -> None:
    parsed = rows.parse(row)
    assert parsed is not None
    assert [name for name, value in rows.numbers(parsed).items() if not math.isfinite(value)] == lost


def test_a_row_is_valid_json() -> None:
    line = rows.to_line({"iter": 3, "train/loss": NAN, "val/loss": 2.5})
    row = json.loads(line, parse_constant=pytest.fail)
    assert row == {"iter": 3, "train/loss": None, "val/loss": 2.5, "nonfinite": {"train/loss": "nan"}}


@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf, 2.5])
def test_a_row_keeps_which_value_it_was(value: float) -> None:
    row = rows.parse(rows.to_line({"iter": 3, "train/loss": value}))
    assert row is not None and repr(rows.measured(row)) == repr({"train/loss": value})
    assert rows.finite({"iter": 3, "loss": 2}) == {"iter": 3, "loss": 2}


def test_a_pattern_is_asked_before_the_formats() -> None:
    program = Program([r"^#(?P<step>\d+)/(?P<total>\d+) ~(?P<val_loss>\S+) q=(?P<quality>\S+)"])
    program.prints("#5/9 ~2.25 q=50%\nstep 6: loss 1.5\n#7/9 ~nan q=?\n")
    assert repr(program.known) == repr({"iter": 7, "max_iters": 9, "val/loss": NAN, "quality": 50.0, "train/loss": 1.5})


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("(a", "is not a regular expression"),
        ("loss=5", "does not name a metric"),
        (r"(?P<max_iters>\d)", "does not name"),
    ],
)
def test_a_pattern_that_says_nothing_is_refused(text: str, cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        Pattern(text)


def test_lines_are_whole_however_they_are_cut() -> None:
    text = b"iter 1: loss 2.5\niter 2: loss 1.5\r\n"
    for cut in range(len(text)):
        splitter = Splitter(every=False)
        lines = [*splitter.feed(text[:cut]), *splitter.feed(text[cut:]), *splitter.finish()]
        assert [line.rstrip(b"\r") for line, _ in lines] == [b"iter 1: loss 2.5", b"iter 2: loss 1.5"]


def test_the_rest_of_a_line_is_not_read_after_a_gap() -> None:
    splitter = Splitter(every=False)
    lines = [*splitter.feed(b"iter 1: loss 2.5\niter 2: lo")]
    splitter.skip()
    lines += [*splitter.feed(b"oss 3.5, "), *splitter.feed(b"loss 4.5\niter 9: loss 1.5\n")]
    assert [line for line, _ in lines] == [b"iter 1: loss 2.5", b"iter 9: loss 1.5"]


def test_a_bar_that_stands_still_is_read() -> None:
    splitter = Splitter(every=False)
    assert [*splitter.feed(b"\r 5%|# | 5/100 [00:01<00:09, 9.9it/s, loss=1.5]")] == []
    assert [*splitter.idle()] == []
    assert [line.strip() for line, _ in splitter.idle()] == [b"5%|# | 5/100 [00:01<00:09, 9.9it/s, loss=1.5]"]
    assert [*splitter.idle()] == []


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    splitter = Splitter(every=True)
    for _ in range(100):
        assert [*splitter.feed(b"loss" * 10_000)] == []
    assert sum(len(line) for line, _ in splitter.finish()) <= 1 << 14
