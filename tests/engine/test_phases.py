"""What a job does while it does not train, as its files say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.core.job import Job
from runner.engine.phases import COMPILING, EVALUATING, STARTING, said
from runner.engine.progress import Follower


class Files:
    """The files of a running job, which its follower reads."""

    def __init__(self, folder: Path, **config: object) -> None:
        self.folder = folder
        self.follower = Follower(Job("a", ("true",), folder, config=config))

    def after(self, *, output: str = "", rows: str = "", metrics: str = "") -> str:
        """The phase once the job has written this."""
        for name, text in (("combined.log", output), ("parsed_metrics.jsonl", rows), ("metrics.jsonl", metrics)):
            if text:
                with (self.folder / name).open("a") as file:
                    file.write(text + "\n")
        self.follower.advance()
        return self.follower.progress.phase


def test_a_training_starts_compiles_trains_and_evaluates(tmp_path: Path) -> None:
    files = Files(tmp_path, max_iters=10)
    assert files.after(output="[stdout] loading the data") == STARTING
    assert files.after(output="[stdout] compiling the model... (takes a ~minute)") == COMPILING
    assert files.after() == COMPILING
    assert files.after(output="[stdout] iter 1: loss 2.5", rows='{"iter": 1, "train/loss": 2.5}') == ""
    assert files.after(output="[stdout] ***** Running Evaluation *****") == EVALUATING
    assert files.after(output="[stdout] iter 2: loss 2.4", rows='{"iter": 2, "train/loss": 2.4}') == ""
    assert files.after(rows='{"iter": 10, "train/loss": 2.3}') == EVALUATING
    assert files.follower.progress.at_end


def test_a_program_of_which_no_iterations_are_known_just_runs(tmp_path: Path) -> None:
    assert Files(tmp_path).after(output="[stdout] hello") == ""


def test_a_job_that_is_set_to_compile_does_so_until_its_first_iteration(tmp_path: Path) -> None:
    files = Files(tmp_path, max_iters=10, compile=True)
    assert files.after(output="[stdout] number of parameters: 10.65M") == COMPILING
    assert files.after(metrics='{"iter": 0, "val/loss": 4.2}') == COMPILING
    assert files.after(metrics='{"iter": 1, "train/loss": 4.1}') == ""


def test_the_last_epoch_that_has_just_begun_is_not_its_end(tmp_path: Path) -> None:
    files = Files(tmp_path)
    assert files.after(rows='{"iter": 10, "max_iters": 10, "epoch": 10}') == ""
    assert files.after(rows='{"iter": 10, "max_iters": 10, "epoch": 10, "val/loss": 0.5}') == EVALUATING


@pytest.mark.parametrize(
    ("line", "phase"),
    [
        ("compiling the model... (takes a ~minute)", COMPILING),
        ("Compiling CUDA kernels", COMPILING),
        ("Evaluating: 45%|####      | 9/20 [00:01<00:01]", EVALUATING),
        ("running the final evaluation", EVALUATING),
        ("evaluation done in 3 s", ""),
        ("compilation took 41 s", ""),
        ("warning: torch.compile does not work here (no C++ compiler); continuing without it", ""),
        ("compiled with gcc 12", ""),
        ("eval_interval = 250", ""),
        ("step 250: train loss 2.1, val loss 2.2", ""),
    ],
)
def test_what_a_line_says(line: str, phase: str) -> None:
    assert said([line], "") == phase


def test_the_latest_line_counts() -> None:
    assert said(["Evaluating", "iter 7: loss 2.5"], "") == ""
    assert said(["iter 7: loss 2.5", "Evaluating"], COMPILING) == EVALUATING
    assert said(["a line of something else"], COMPILING) == COMPILING
