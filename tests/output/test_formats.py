"""Lines of output -> positions and metrics: the corpus, and what no line may do."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.output.registry import FORMATS
from tests.output.corpus import BY_HAND, NOT_UNDERSTOOD, UNDERSTOOD
from tests.output.understood import Program


@pytest.mark.parametrize("program", UNDERSTOOD)
def test_lines_of_a_program_are_understood(program: str) -> None:
    text, expected = UNDERSTOOD[program]
    assert repr(Program().prints(text + "\n").known) == repr(expected)


@pytest.mark.parametrize(("text", "expected"), BY_HAND)
def test_lines_of_a_loop_by_hand_are_understood(text: str, expected: dict[str, Any]) -> None:
    assert repr(Program().prints(text + "\n").known) == repr(expected)


@pytest.mark.parametrize("text", NOT_UNDERSTOOD)
def test_other_lines_say_nothing(text: str) -> None:
    assert Program().prints(text + "\n").known == {}


@pytest.mark.parametrize("program", UNDERSTOOD)
def test_colours_and_carriage_returns_change_nothing(program: str) -> None:
    text, expected = UNDERSTOOD[program]
    lines = [f"\x1b[1m{line}\x1b[0m" for line in text.split("\n")]
    assert repr(Program().prints("\r\n".join(lines) + "\r\n").known) == repr(expected)


def test_every_state_of_a_bar_is_read() -> None:
    states = [f"\r {n}%|#   | {n}/100 [00:01<00:09, 9.9it/s, loss={abs(n - 40) + 1}.5]" for n in range(1, 101)]
    program = Program().prints("".join(states) + "\n")
    assert program.known == {"iter": 100, "max_iters": 100, "train/loss": 61.5}
    assert program.measurements.best() == {"train/loss": {"value": 1.5, "iter": 40, "better": "min"}}


def test_a_bar_of_keras_that_is_drawn_with_backspaces_is_read() -> None:
    bar = "%d/3 [====>...] - ETA: 1s - loss: %d.5000"
    text = "Epoch 1/2\n" + ("\b" * 40).join(bar % (n, 9 - n) for n in (1, 2, 3)) + "\n"
    assert Program().prints(text).known == {"iter": 3, "max_iters": 6, "epoch": 1, "train/loss": 6.5}


def test_the_bar_of_an_evaluation_does_not_move_the_training() -> None:
    program = Program()
    program.prints(" 10%|#   | 100/1000 [00:12<00:24,  8.13it/s]\n{'loss': 2.5, 'epoch': 0.1}\n")
    program.prints(" 50%|##  | 25/50 [00:01<00:01, 25.0it/s]\n{'eval_loss': 2.25, 'epoch': 0.1}\n")
    assert program.known == {"iter": 100, "max_iters": 1000, "epoch": 0.1, "train/loss": 2.5, "val/loss": 2.25}


def test_a_step_that_begins_anew_in_each_epoch_is_added_up() -> None:
    program = Program()
    for epoch in (0, 1, 2):
        for step in (10, 20):
            program.prints(f"epoch {epoch} step {step} loss 2.5\n")
    assert program.position.iteration == 60


def test_a_step_that_goes_on_over_epochs_is_kept() -> None:
    program = Program()
    for epoch, step in ((1, 10), (1, 20), (2, 30), (2, 40)):
        program.prints(f"epoch {epoch}, step {step}, loss: 2.5\n")
    assert program.position.iteration == 40


def test_an_epoch_line_after_steps_does_not_move_back() -> None:
    program = Program().prints("Epoch [2/3], Step [100/100], Loss: 0.5\nEpoch 2: val_loss=0.25\n")
    assert program.known == {"iter": 200, "max_iters": 300, "epoch": 2, "train/loss": 0.5, "val/loss": 0.25}


@given(st.text(max_size=300) | st.from_regex(r"(epoch|step|iter|loss|[a-z ]{1,6}|[0-9.:/=\[\](){}%|-]{1,5}){1,30}"))
def test_no_line_makes_a_format_fail(text: str) -> None:
    assert Program().prints(text).lines.errors == []


@pytest.mark.parametrize(
    "piece", ["loss ", "1,", "{'a': ", "epoch ", "9", "a.b/", "val_", "|", "[", "9/", "loss: 1 ", "━", "%|"]
)
def test_a_long_line_is_read_in_no_time(piece: str) -> None:
    program = Program()
    program.prints("x loss: 1\n")  # compiles the patterns
    began = time.process_time()
    program.prints(piece * (16_000 // len(piece)) + " loss\n")
    assert time.process_time() - began < 1.0


def test_every_built_in_format_can_be_loaded() -> None:
    assert all(callable(FORMATS.get(name)) for name in FORMATS.local_names())
