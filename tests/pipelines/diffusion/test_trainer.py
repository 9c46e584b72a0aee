"""What the trainer promises beyond learning: right numbers, several processes, skipped steps, old checkpoints."""

import itertools
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from model.diffusion import masked_cross_entropy
from model.masks import apply_mask, random_masking, random_masks, sample_masks
from model.transformer import Shape, Transformer
from pipelines.diffusion.evaluation.full_validation import evaluate_full, masks_of_pass
from pipelines.diffusion.masked_prediction import MaskedPrediction
from pipelines.diffusion.meter import Meter
from pipelines.diffusion.optimizers import block_matrices
from pipelines.diffusion.schedule import stage_at
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.stages import RandomStage
from pipelines.diffusion.text.open import open_dataset
from pipelines.diffusion.train_state import BatchLoss, averaged_weights, build, loss_of
from pipelines.shared.distributed import World
from pipelines.shared.errors import InputError
from tests.conftest import PROJECT
from tests.pipelines.diffusion.test_training import (
    TINY,
    command,
    config,
    finish,
    no_wandb_server,
    rows_of,
    text,
    train_here,
)

__all__ = ["no_wandb_server", "text"]  # fixtures
CPU = torch.device("cpu")


def small_network(vocabulary: int, length: int) -> Transformer:
    """One in which everything is connected: a fresh one guesses uniformly."""
    torch.manual_seed(0)
    model = Transformer(Shape(vocabulary + 1, vocabulary, length, n_layer=1, n_head=2, n_embd=16)).eval()
    for parameter in model.parameters():
        if parameter.dim() >= 2:
            torch.nn.init.normal_(parameter, std=0.4)
    return model


def settings(text: Path, **changes) -> DiffusionSettings:
    return DiffusionSettings(**{**TINY, "dataset": str(text), **changes})


def exact_elbo(model: Transformer, row: torch.Tensor) -> float:
    """Every mask of every size: the mean over sizes of the mean over masks of the mean cross-entropy under the mask."""
    length = len(row)
    by_size = []
    for size in range(1, length + 1):
        masks = torch.zeros(math.comb(length, size), length, dtype=torch.bool)
        for i, chosen in enumerate(itertools.combinations(range(length), size)):
            masks[i, list(chosen)] = True
        ids = row.expand(len(masks), length)
        with torch.no_grad():
            losses = masked_cross_entropy(model(apply_mask(ids, masks, 3)), ids, masks)
        by_size.append(losses.sum(1).mean().item() / size)
    return sum(by_size) / length


# Right.


def test_the_estimator_is_the_sum_over_all_masks(text):
    """Vocabulary 3, length 4: what the training draws and weighs has the expectation that enumeration gives."""
    model = small_network(3, 4)
    row = torch.tensor([0, 2, 1, 1])
    exact = exact_elbo(model, row)
    large = settings(text, training_type="elbo", block_size=4, batch_size=4000)
    batch = MaskedPrediction(large, open_dataset(str(text)), CPU, torch.float32).draw(0, 0, 0)
    hidden = torch.zeros(4000 * 4).scatter_(0, batch.at, (batch.weights > 0).float()).bool().view(4000, 4)
    weights = torch.zeros(4000 * 4).scatter_(0, batch.at, batch.weights).view(4000, 4)
    ids = row.expand(4000, 4)
    with torch.no_grad():
        losses = masked_cross_entropy(model(apply_mask(ids, hidden, 3)), ids, hidden)
    per_row = (losses * weights).sum(1) * 4000
    error = per_row.std().item() / math.sqrt(4000)
    assert abs(per_row.mean().item() - exact) < 4 * error
    assert error < 0.02 * exact


def test_exact_counts_and_coins_agree():
    """A count that is uniform, or a coin of a uniform bias for each position: both are the linear schedule."""
    model, row, rows = small_network(3, 8), torch.tensor([0, 2, 1, 1, 0, 0, 2, 1]), 20000
    generator = torch.Generator().manual_seed(1)
    ids = row.expand(rows, 8)
    ratio = torch.rand(rows, generator=generator)
    counted = random_masks((ratio * 8).ceil().long().clamp(1, 8), 8, generator)
    coins = torch.rand(rows, 8, generator=generator) < ratio[:, None]
    with torch.no_grad():
        by_count = masked_cross_entropy(model(apply_mask(ids, counted, 3)), ids, counted).sum(1) / counted.sum(1)
        by_coin = masked_cross_entropy(model(apply_mask(ids, coins, 3)), ids, coins).sum(1) / ratio / 8
    error = math.sqrt(by_count.var() / rows + by_coin.var() / rows)
    assert abs(by_count.mean() - by_coin.mean()) < 4 * error


def test_a_largest_weight_holds_in_training_only(text):
    limited = settings(text, training_type="elbo", max_loss_weight=2.0)
    batch = MaskedPrediction(limited, open_dataset(str(text)), CPU, torch.float32).draw(0, 0, 0)
    unlimited = settings(text, training_type="elbo")
    free = MaskedPrediction(unlimited, open_dataset(str(text)), CPU, torch.float32).draw(0, 0, 0)
    largest = 2.0 / (limited.batch_size * limited.block_size)
    assert batch.weights.max().item() == pytest.approx(largest) and free.weights.max().item() > 2 * largest
    assert torch.equal(batch.inputs, free.inputs)


def test_the_weights_of_a_batch_add_up_to_one(text):
    for kind in ("elbo", "unmasking"):
        objective = MaskedPrediction(settings(text, training_type=kind), open_dataset(str(text)), CPU, torch.float32)
        batch = objective.draw(3, 0, 0)
        assert batch.weights.sum().item() == pytest.approx(1.0, abs=1e-5)
        assert (batch.inputs.flatten()[batch.at][batch.weights > 0] == open_dataset(str(text)).mask_id).all()
        assert (batch.inputs.flatten()[batch.at][batch.weights == 0] != open_dataset(str(text)).mask_id).all()


def test_logits_at_positions_are_those_of_all(text):
    model = small_network(5, 12)
    ids = torch.randint(6, (3, 12))
    at = torch.tensor([0, 5, 13, 35])
    assert torch.allclose(model(ids, at), model(ids).flatten(0, 1)[at], atol=1e-6)


def test_the_full_validation_reads_all_of_the_text_and_its_error_is_that_of_the_masks(text):
    data = open_dataset(str(text))
    model = small_network(data.vocab_size, 32)
    common = {"mask_id": data.mask_id, "device": CPU, "dtype": torch.float32}
    whole = evaluate_full(model, data.val, 32, **common)
    assert whole.losses.shape == (len(data.val) // 32, 10) and (whole.losses > 0).all()
    # Other masks on the same windows: the spread of the mean agrees with the standard error.
    others = []
    for offset in range(1, 13):
        shifted = np.roll(data.val, 0)
        losses = []
        generator = torch.Generator().manual_seed(offset)
        ids = torch.from_numpy(shifted[: len(shifted) // 32 * 32].astype(np.int64)).view(-1, 32)
        for group in range(10):
            ratio = (group + torch.rand(len(ids), generator=generator)) / 10
            masks = sample_masks(random_masking(ratio, 32), 32, generator)
            with torch.no_grad():
                loss = masked_cross_entropy(model(apply_mask(ids, masks, data.mask_id)), ids, masks)
            losses.append(loss.sum(1) / masks.sum(1))
        others.append(torch.stack(losses).mean().item())
    spread = float(np.std(others, ddof=1))
    assert 0.4 * spread < whole.standard_error < 2.5 * spread
    assert abs(whole.loss - np.mean(others)) < 4 * whole.standard_error


def test_each_window_meets_each_bin_once():
    block = np.arange(23)
    met = torch.stack([masks_of_pass(block, turn, 40)[0] for turn in range(10)])
    assert torch.equal(met.sort(0).values, torch.arange(10)[:, None].expand(10, 23))
    bins, masks = masks_of_pass(block, 3, 40)
    ratio = masks.sum(1) / 40
    assert ((ratio > bins / 10) & (ratio <= (bins + 1) / 10 + 1e-6)).all()


def test_the_final_evaluation_is_printed_and_recorded(text, tmp_path, capsys):
    assert train_here(text, tmp_path, max_iters=20, training_type="elbo") == 0
    output = capsys.readouterr().out
    assert "final: val loss" in output and "tokens, 10 mask ratios each)" in output
    final = rows_of(tmp_path)[-1]
    assert final["final/loss_stderr"] < 0.05 and final["final/bpc"] == pytest.approx(final["final/loss"] / math.log(2))


# Curriculum.


def test_fixed_stages_divide_the_training_among_them():
    stages = [RandomStage(type="random", max_masked_ratio=0.5, share=share) for share in (1, 2, 1)]
    assert [stage_at(i, stages, 8) for i in range(8)] == [0, 0, 1, 1, 1, 1, 2, 2]
    assert stage_at(100, stages, 8) == 2


def test_a_fixed_curriculum_ends(text, tmp_path, capsys):
    assert train_here(text, tmp_path, max_iters=30, stage_schedule="fixed", eval_interval=100) == 0
    rows = [row["stage"] for row in rows_of(tmp_path) if "train/loss" in row]
    assert rows == [1, 1, 1, 2, 2, 3, 3]  # after 1, 5, 10, 15, … iterations
    assert "stage 3/3" in capsys.readouterr().out


# Optimizers.


@pytest.mark.parametrize("changes", [{"optimizer": "muon"}, {"ema_decay": 0.9}, {"conv_width": 5, "mlp": "swiglu"}])
def test_other_recipes_learn_and_resume_bit_for_bit(text, tmp_path, changes):
    changes = {"training_type": "elbo", "muon_learning_rate": 0.02, **changes}
    assert train_here(text, tmp_path / "whole", max_iters=60, **changes) == 0
    assert train_here(text, tmp_path / "parts", max_iters=33, **changes) == 0
    assert train_here(text, tmp_path / "parts", max_iters=60, init_from="resume", **changes) == 0
    whole, parts = (torch.load(tmp_path / name / "ckpt_elbo_60.pt", weights_only=True) for name in ("whole", "parts"))
    assert all(torch.equal(whole["model"][key], parts["model"][key]) for key in whole["model"])
    if "ema" in whole:
        assert all(torch.equal(whole["ema"][key], parts["ema"][key]) for key in whole["ema"])
        assert not torch.equal(whole["ema"]["head.weight"], whole["model"]["head.weight"])
    losses = [row["val/loss"] for row in rows_of(tmp_path / "whole") if "val/loss" in row]
    assert losses[-1] < 2.75 < math.log(19)


def test_muon_takes_the_matrices_of_the_blocks_alone(text):
    model_state = build(settings(text, optimizer="muon", conv_width=3), 10, CPU, torch.float32)
    muons = model_state.optimizer.muon.param_groups[0]["params"]
    assert len(muons) == 4 and {id(p) for p in muons} == {id(p) for p in block_matrices(model_state.model)}
    others = sum(len(group["params"]) for group in model_state.optimizer.adamw.param_groups)
    assert len(muons) + others == len(list(model_state.model.parameters()))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_step_without_a_finite_gradient_moves_nothing_and_is_counted(text, optimizer):
    model_state = build(settings(text, optimizer=optimizer), 10, CPU, torch.float32)
    network = BatchLoss(model_state.model, CPU, torch.float32)
    ids = torch.randint(10, (2, 32))
    weights = torch.ones(64) / 64

    def gradient(factor: float) -> None:
        (network(ids, None, ids.flatten(), weights) * factor).backward()

    gradient(1.0)
    assert model_state.optimizer.step(model_state.scaler)[1] == 0
    before = [p.clone() for p in model_state.model.parameters()]
    gradient(math.inf)
    norm, skipped = model_state.optimizer.step(model_state.scaler)
    assert skipped == 1 and not norm.isfinite()
    assert all(torch.equal(p, old) for p, old in zip(model_state.model.parameters(), before, strict=True))
    gradient(1.0)
    assert model_state.optimizer.step(model_state.scaler)[1] == 0
    assert any(not torch.equal(p, old) for p, old in zip(model_state.model.parameters(), before, strict=True))


def test_the_averaged_weights_are_evaluated_and_the_own_weights_restored(text):
    model_state = build(settings(text, ema_decay=0.5), 10, CPU, torch.float32)
    with torch.no_grad():
        for p in model_state.model.parameters():
            p.add_(1.0)
    own = [p.clone() for p in model_state.model.parameters()]
    with averaged_weights(model_state) as judged:
        assert torch.allclose(judged.head.weight, own[-1] - 1.0)
    assert all(torch.equal(p, old) for p, old in zip(model_state.model.parameters(), own, strict=True))


def test_another_optimizer_on_resume_is_one_sentence(text, tmp_path, capsys):
    assert train_here(text, tmp_path, max_iters=20, training_type="elbo") == 0
    path = config(tmp_path, text, training_type="elbo", out_dir=str(tmp_path))
    done = finish(path, "--init_from=resume", "--optimizer=muon")
    assert done.returncode == 2 and "use --optimizer=adamw, or --init_from=scratch" in done.stderr


# Checkpoints.


def test_a_checkpoint_of_the_first_schema_still_loads(text, tmp_path, capsys):
    """As written before there were byte pairs, other norms, Muon and skipped steps."""
    assert train_here(text, tmp_path, max_iters=20, training_type="elbo") == 0
    path = tmp_path / "ckpt_elbo_20.pt"
    content = torch.load(path, weights_only=True)
    content["characters"] = content.pop("vocabulary")["characters"]
    for key in ("norm", "mlp", "qk_norm", "conv_width"):
        del content["shape"][key]
    del content["state"]["skipped"]
    for key in ("optimizer", "tokenizer", "norm", "ema_decay", "stage_schedule"):
        del content["settings"][key]
    torch.save(content, path)
    assert train_here(text, tmp_path, max_iters=40, training_type="elbo", init_from="resume") == 0
    assert "resuming from" in capsys.readouterr().out and (tmp_path / "ckpt_elbo_40.pt").is_file()


def test_a_killed_training_resumes_exactly(text, tmp_path):
    changes = {"training_type": "elbo", "eval_interval": 10, "max_iters": 60, "always_save_checkpoint": True}
    assert train_here(text, tmp_path / "whole", **changes) == 0
    child = subprocess.Popen(
        command(config(tmp_path, text, **changes, out_dir=str(tmp_path / "killed"))), stdout=subprocess.PIPE, text=True
    )
    for line in child.stdout:
        if "ckpt_elbo_30.pt" in line:
            break
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert train_here(text, tmp_path / "killed", init_from="resume", **changes) == 0
    whole, killed = (torch.load(tmp_path / n / "ckpt_elbo_60.pt", weights_only=True) for n in ("whole", "killed"))
    assert all(torch.equal(whole["model"][key], killed["model"][key]) for key in whole["model"])


# Several processes.


def torchrun(count: int, path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={count}", "--master_port=0",
         "--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0", str(PROJECT / "train_run.py"), str(path), *options],
        capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"gradient_accumulation_steps": 2}, {}])
def test_two_processes_train_what_one_trains(text, tmp_path, changes):
    """Micro-steps shared out give the same bits; rows shared out the same sums in another order."""
    changes = {"training_type": "elbo", "dropout": 0.0, "max_iters": 30, **changes}
    assert train_here(text, tmp_path / "one", **changes) == 0
    done = torchrun(2, config(tmp_path, text, **changes, out_dir=str(tmp_path / "two")))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done: 30 iterations") == 1 and ", 2 processes" in done.stdout
    one, two = (torch.load(tmp_path / name / "ckpt_elbo_30.pt", weights_only=True) for name in ("one", "two"))
    assert one["model"].keys() == two["model"].keys()
    for key, tensor in one["model"].items():
        if "gradient_accumulation_steps" in changes:
            assert torch.equal(tensor, two["model"][key]), key
        else:
            assert torch.allclose(tensor, two["model"][key], atol=2e-3), key
    for name in ("train/loss", "val/loss", "final/loss"):
        logged = [[row[name] for row in rows_of(tmp_path / n) if name in row] for n in ("one", "two")]
        assert logged[0] and logged[0] == pytest.approx(logged[1], abs=2e-3)
        assert logged[0] == logged[1] or name == "train/loss" or "gradient_accumulation_steps" not in changes


def test_an_uneven_split_over_processes_is_an_error():
    with pytest.raises(InputError, match=r"neither gradient_accumulation_steps \(1\) nor batch_size \(3\) evenly"):
        World(1, 1, 2).partition(1, 3)


# Watchable.


def test_the_meter_leaves_skipped_steps_out_of_the_mean_and_counts_them_for_good(text):
    output: list[str] = []
    meter = Meter(CPU, torch.float32, World(), output.append, tokens_per_iter=8, flops_per_token=1.0, skipped=3)
    for loss, skipped in ((2.0, 0.0), (math.nan, 1.0), (4.0, 0.0)):
        meter.count(torch.tensor(loss), torch.tensor(skipped))
    assert meter.skipped == 4 and meter.consecutive_skips == 0
    row, line = meter.row(warm=False)
    assert row["train/loss"] == pytest.approx(3.0) and row["skipped_steps"] == 4 and "4 steps skipped" in line
    assert "mfu" not in row and output == []
    meter.count(torch.tensor(math.inf), torch.tensor(1.0))
    assert meter.consecutive_skips == 1 and meter.skipped == 5  # also between two rows: what a checkpoint asks for
    row, line = meter.row(warm=True)
    assert math.isnan(row["train/loss"]) and row["skipped_steps"] == 5 and row["mfu"] > 0
    assert len(output) == 1 and output[0].startswith("peak for mfu")


def test_metrics_contain_speed_and_progress(text, tmp_path):
    assert train_here(text, tmp_path, max_iters=20) == 0
    row = [row for row in rows_of(tmp_path) if "train/loss" in row][-1]
    assert row["ms_per_iter_p95"] >= row["ms_per_iter_p50"] > 0
    assert row["tokens_per_second"] == pytest.approx(8 * 32 / row["ms_per_iter"] * 1e3)
    learned = json.loads((text / "meta.json").read_text())["train_tokens"]
    assert row["epoch"] == pytest.approx(20 * 8 * 32 / learned)
    assert row["skipped_steps"] == 0 and 0.05 < row["memory_gib"] < 50 and row["grad_norm"] > 0


@pytest.mark.slow
def test_a_profile_is_a_trace_of_a_few_steps(text, tmp_path):
    done = finish(config(tmp_path, text), "--profile")
    assert done.returncode == 0, done.stderr
    trace = json.loads((tmp_path / "out" / "profile.json").read_text())
    assert any("addmm" in event.get("name", "") or "mm" in event.get("name", "") for event in trace["traceEvents"])


@pytest.mark.slow
def test_tensorboard_gets_the_numbers(text, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train_here(text, tmp_path, max_iters=20, tensorboard_log=True) == 0
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 5, 10, 15, 20]


def test_without_tensorboard_the_training_continues(text, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert train_here(text, tmp_path, max_iters=5, tensorboard_log=True) == 0
    assert "pip install tensorboard" in capsys.readouterr().err


def test_the_batches_of_a_micro_batch_index_do_not_depend_on_who_draws_them(text):
    split = settings(text, gradient_accumulation_steps=2)
    data = open_dataset(str(text))
    one, other = (MaskedPrediction(split, data, CPU, torch.float32) for _ in range(2))
    straight = [one.draw(iteration, micro_batch, 0).inputs for iteration in range(20) for micro_batch in (0, 1)]
    crooked = [other.draw(iteration, 1, 0).inputs for iteration in reversed(range(20))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(straight[1::2], crooked, strict=True))
    assert not torch.equal(straight[0], straight[1])
    assert loss_of(BatchLoss(small_network(data.vocab_size, 32), CPU, torch.float32), one.draw(0, 0, 0)).isfinite()
