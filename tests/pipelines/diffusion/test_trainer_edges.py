"""The trainer at its edges: texts and trainings that are too short, damaged files, devices that are not waited for."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from pipelines.diffusion.evaluation.full_validation import evaluate_full
from pipelines.diffusion.evaluation.masked_loss import evaluate, masked_windows
from pipelines.diffusion.masked_prediction import MaskedPrediction
from pipelines.diffusion.text.corpus import Corpus
from pipelines.diffusion.train_state import BatchLoss, build
from pipelines.shared import checkpoints
from tests.conftest import PROJECT
from tests.pipelines.diffusion.test_trainer import CPU, settings, small_network
from tests.pipelines.diffusion.test_training import (
    config,
    finish,
    no_wandb_server,
    rows_of,
    text,
    train_here,
)

__all__ = ["no_wandb_server", "text"]  # fixtures


@pytest.mark.parametrize("training_type", ["elbo", "unmasking"])
def test_a_validation_text_shorter_than_a_window_is_refused_before_the_first_step(tmp_path, training_type):
    """A tenth of 3000 characters is 300: too few, though there is enough to learn from."""
    short = tmp_path / "short.txt"
    short.write_text("so it goes on.\n" * 200)
    done = finish(config(tmp_path, short, training_type=training_type, block_size=400))
    assert done.returncode == 2 and "the text has 300 tokens, fewer than block_size (400)" in done.stderr
    assert "iter 1:" not in done.stdout


def test_a_damaged_checkpoint_never_replaces_a_good_one(tmp_path):
    """A training was resumed at 5, since 99 could not be read, and has now written 6, which is not the best."""
    for iteration in (4, 5, 6, 99):
        checkpoints.path_of(tmp_path, "elbo", iteration).touch()
    checkpoints.prune(tmp_path, "elbo", 1, best=5, written=6)
    assert list(checkpoints.existing(tmp_path, "elbo")) == [5, 6, 99]


def test_a_signal_in_the_final_evaluation_is_not_passed_over_in_silence(text, tmp_path, monkeypatch, capsys):
    def signalled(self: MaskedPrediction, *arguments: object) -> None:
        return None

    monkeypatch.setattr(MaskedPrediction, "evaluate_full", signalled)
    assert train_here(text, tmp_path, max_iters=5) == 0
    assert "a signal ended the final evaluation early; --init_from=resume --eval_only=true" in capsys.readouterr().out


@pytest.mark.parametrize(("steps", "message"), [(5, "no trace of 5 steps"), (12, "the trace of 2 steps is")])
def test_a_training_too_short_for_a_complete_trace_reports_it(text, tmp_path, capsys, steps, message):
    assert train_here(text, tmp_path, max_iters=steps, profile=True, final_evaluation=False) == 0
    assert message in capsys.readouterr().out
    assert (tmp_path / "profile.json").exists() == (steps > 10)


def test_muon_has_a_way_back_from_its_first_step(text):
    """With half precision the first gradients overflow as a rule."""
    model_state = build(settings(text, optimizer="muon"), 10, CPU, torch.float32)
    muon, ids = model_state.optimizer.muon, torch.randint(10, (2, 32))
    network = BatchLoss(model_state.model, CPU, torch.float32)
    torch.nn.init.normal_(model_state.model.head.weight)  # or nothing would reach the blocks
    matrices = muon.param_groups[0]["params"]
    before = [p.clone() for p in matrices]
    for factor, skipped in ((math.inf, 1.0), (1.0, 0.0)):
        (network(ids, None, ids.flatten(), torch.ones(64) / 64) * factor).backward()
        muon.step_unless(torch.tensor(skipped))
        moved = [not torch.equal(p, old) for p, old in zip(matrices, before, strict=True)]
        assert any(moved) != bool(skipped)
        assert all(p.isfinite().all() and muon.state[p]["momentum_buffer"].isfinite().all() for p in matrices)
        model_state.model.zero_grad()


@pytest.mark.parametrize("most", [0, 2**30])
def test_windows_come_to_the_device_whatever_it_is(monkeypatch, most):
    """'meta' imitates a device that is neither a processor nor NVIDIA's."""
    monkeypatch.setattr("pipelines.diffusion.text.corpus.MAX_DEVICE_BYTES", most)
    windows = Corpus(np.arange(50, dtype=np.uint16), 50, torch.device("meta")).windows(np.array([3, 48]), 4)
    assert windows.device.type == "meta" and windows.shape == (2, 4)


def test_a_window_that_is_left_over_is_evaluated_too(monkeypatch):
    """Three windows, two at a time."""
    model, tokens = small_network(3, 8), np.arange(24) % 3

    def losses() -> torch.Tensor:
        return evaluate_full(model, tokens, 8, mask_id=3, device=CPU, dtype=torch.float32).losses

    at_once = losses()
    monkeypatch.setattr("pipelines.diffusion.evaluation.pieces.MOST_TOKENS", 16)
    assert torch.allclose(losses(), at_once, atol=1e-6)


def test_one_window_has_no_standard_error():
    model, tokens = small_network(3, 8), np.arange(8) % 3
    whole = evaluate_full(model, tokens, 8, mask_id=3, device=CPU, dtype=torch.float32)
    assert math.isnan(whole.standard_error)
    tokens = np.arange(800) % 3
    errors = []
    for each in (1, 4):
        asked = masked_windows(tokens, each, 8, [], CPU)
        errors.append(evaluate(model, asked, asked, mask_id=3, dtype=torch.float32).standard_error)
    assert math.isnan(errors[0]) and errors[1] > 0


def test_a_number_that_is_not_there_is_null_in_the_metrics(text, tmp_path):
    assert train_here(text, tmp_path, max_iters=5, eval_iters=1, final_evaluation=False) == 0
    (row,) = (row for row in rows_of(tmp_path) if "val/loss" in row)
    assert row["val/loss_stderr"] is None and row["val/loss"] > 0


FLAGS = """
import torch
from pipelines.shared.distributed import join_world
with join_world("cpu") as world:
    found = [world.any(False), world.any(world.rank == 1), world.any(True)]
    network = world.wrap(torch.nn.Linear(2, 2), torch.device("cpu"))
    if world.is_rank_zero:
        print(found, network.broadcast_buffers)
"""


@pytest.mark.slow
def test_a_signal_to_any_process_reaches_all(tmp_path):
    program = tmp_path / "flags.py"
    program.write_text(FLAGS)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--rdzv_backend=c10d",
         "--rdzv_endpoint=localhost:0", str(program)],
        capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "[False, True, True] False" in done.stdout
