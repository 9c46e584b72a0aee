"""train_run.py as its users meet it: real processes on a small text, from the first line to the last checkpoint."""

import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest
import torch

from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text import characters
from pipelines.diffusion.train import run
from pipelines.shared import checkpoints, wandb_logger
from tests.conftest import PROJECT, signalled_at

pytestmark = pytest.mark.slow

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "that", "rain", "fell", "over", "every", "hill", "near"]
STAGES = [
    {"type": "random", "max_masked_ratio": 0.3, "val_loss_stale_count": 1},
    {"type": "sticky", "target_masked_ratio": 0.5, "p1_probability": 0.2, "p2_probability": 0.4,
     "val_loss_stale_count": 1},
    {"type": "sticky", "target_masked_ratio": 0.8, "p1_probability": 0.1, "p2_probability": 0.9,
     "val_loss_stale_count": 1},
]  # fmt: skip
TINY = {
    "unmasking_stages": STAGES, "eval_interval": 20, "eval_iters": 2, "log_interval": 5, "batch_size": 8,
    "block_size": 32, "n_layer": 1, "n_head": 2, "n_embd": 32, "learning_rate": 1e-2, "warmup_iters": 5,
    "max_iters": 60, "decay_lr": False, "dropout": 0.1, "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "text"
    rng = random.Random(0)
    lines = [" ".join(rng.choices(WORDS, k=8)) for _ in range(600)]
    characters.prepare_once(folder, lambda: ("\n".join(lines), {"name": "test"}))
    return folder


@pytest.fixture(autouse=True)
def no_wandb_server(monkeypatch, tmp_path):
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)


def config(folder: Path, text: Path, **changes) -> Path:
    """A config file as a user writes it."""
    values = {**TINY, "dataset": str(text), "out_dir": str(folder / "out"), **changes}
    path = folder / "tiny.py"
    path.write_text("".join(f"{key} = {value!r}\n" for key, value in values.items()))
    return path


def command(path: Path, *options: str) -> list[str]:
    return [sys.executable, str(PROJECT / "train_run.py"), str(path), *options]


def finish(path: Path, *options: str, **kwargs) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(path, *options), capture_output=True, text=True, timeout=120, cwd=path.parent, check=False, **kwargs
    )


def rows_of(out_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (out_dir / "metrics.jsonl").read_text().splitlines()]


def train_here(text: Path, out_dir: Path, **changes) -> int:
    """The same training without a new process, for what does not depend on one."""
    return run(DiffusionSettings(**{**TINY, "dataset": str(text), "out_dir": str(out_dir), **changes}))


# A complete training.


@pytest.fixture(scope="module")
def finished(text, tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("finished")
    return folder / "out", finish(
        config(folder, text, max_iters=400, eval_interval=40, min_improvement=0.1, n_layer=2, learning_rate=5e-3)
    )


def test_a_training_learns_and_reports_it(finished, text):
    out_dir, done = finished
    assert done.returncode == 0, done.stderr
    steps = re.findall(r"^step (\d+): train loss ([\d.]+), val loss ([\d.]+), lr [\d.e+-]+$", done.stdout, re.M)
    assert [int(step[0]) for step in steps] == list(range(40, 401, 40))
    entropy = json.loads((text / "meta.json").read_text())["val_unigram_entropy"]
    assert float(steps[-1][2]) < 0.85 * entropy
    assert re.search(r"^iter 400: loss [\d.]+, time [\d.]+ms, mfu [\d.]+%$", done.stdout, re.M)
    assert f"saving checkpoint to {out_dir / 'ckpt_unmasking_400.pt'}\n" in done.stdout
    for part in ("device: cpu", "dtype: float32", "parameters", "unigram entropy", "peak for mfu", "stage 1/3: random"):
        assert part in done.stdout


def test_metrics_have_a_row_per_log_step_and_per_evaluation(finished):
    out_dir, _ = finished
    rows = rows_of(out_dir)
    logged = [row for row in rows if "train/loss" in row]
    evaluated = [row for row in rows if "val/loss" in row]
    assert [row["iter"] for row in logged] == [1, *range(5, 401, 5)]
    assert [row["iter"] for row in evaluated] == list(range(40, 401, 40))
    assert {"lr", "mfu", "ms_per_iter", "max_iters", "stage", "time"} <= logged[-1].keys()
    last = evaluated[-1]
    bins = [last[f"val/ratio_{i / 10:.1f}_{(i + 1) / 10:.1f}_loss"] for i in range(10)]
    assert last["val/loss"] == pytest.approx(sum(bins) / 10)
    assert last["val/bpc"] == pytest.approx(last["val/loss"] / math.log(2))
    assert all(f"val/stage_{i}_{kind}" in last for i in (1, 2, 3) for kind in ("loss", "accuracy"))


def test_checkpoints_load_safely_and_the_last_and_best_are_kept(finished):
    out_dir, _ = finished
    kept = checkpoints.existing(out_dir, "unmasking")
    content = torch.load(kept[400], weights_only=True)
    assert content["schema"] == 1 and content["iteration"] == 400
    best = content["state"]["best_iteration"]
    assert best in kept and 2 <= len(kept) <= 3
    losses = {row["iter"]: row["val/loss"] for row in rows_of(out_dir) if row.get("val/loss")}
    assert losses[best] == min(losses.values())
    assert not list(out_dir.glob("*.tmp"))


def test_resuming_a_finished_training_is_reported(finished):
    out_dir, _ = finished
    done = finish(out_dir.parent / "tiny.py", "--init_from=resume")
    assert done.returncode == 0
    assert "already at max_iters (400)" in done.stdout


# Resuming.


@pytest.mark.parametrize(
    ("training_type", "cut", "changes"),
    [
        ("unmasking", 40, {}),  # at an evaluation
        ("unmasking", 33, {"gradient_accumulation_steps": 2}),  # between two
        ("elbo", 33, {"decay_lr": True, "lr_decay_iters": 60}),
    ],
)
def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(text, tmp_path, training_type, cut, changes):
    changes = {"training_type": training_type, "min_improvement": 0.5, **changes}
    assert train_here(text, tmp_path / "whole", **changes) == 0
    assert train_here(text, tmp_path / "parts", **{**changes, "max_iters": cut}) == 0
    torch.rand(7)  # whatever else used the random numbers in between
    assert train_here(text, tmp_path / "parts", init_from="resume", **changes) == 0
    whole, parts = (
        torch.load(tmp_path / name / f"ckpt_{training_type}_60.pt", weights_only=True) for name in ("whole", "parts")
    )
    assert whole["state"]["progress"] == parts["state"]["progress"]
    for key, tensor in whole["model"].items():
        assert torch.equal(tensor, parts["model"][key]), key
    for index, moments in whole["optimizer"]["state"].items():
        assert all(torch.equal(moments[k], parts["optimizer"]["state"][index][k]) for k in moments)
    assert torch.equal(whole["random"]["cpu"], parts["random"]["cpu"])


def test_resuming_passes_over_a_damaged_checkpoint_and_refuses_another_network(text, tmp_path, capsys):
    assert train_here(text, tmp_path, max_iters=20, always_save_checkpoint=True) == 0
    (tmp_path / "ckpt_unmasking_25.pt").write_bytes(b"half a file")
    assert train_here(text, tmp_path, max_iters=22, init_from="resume") == 0
    assert "ckpt_unmasking_20.pt at iteration 20" in capsys.readouterr().out
    (tmp_path / "ckpt_unmasking_25.pt").unlink()
    with pytest.raises(Exception, match="n_layer 1 there, 2 here"):
        train_here(text, tmp_path, n_layer=2, init_from="resume")


def test_a_new_training_in_an_old_folder_archives_the_old_one(text, tmp_path):
    assert train_here(text, tmp_path, max_iters=20) == 0
    (tmp_path / "ckpt_unmasking_99.pt.tmp").write_bytes(b"left by a crash")
    assert train_here(text, tmp_path, max_iters=10) == 0
    assert list(checkpoints.existing(tmp_path, "unmasking")) == [10]
    assert list(checkpoints.existing(tmp_path / "earlier_1", "unmasking")) == [20]
    assert not list(tmp_path.glob("*.tmp"))
    assert max(row["iter"] for row in rows_of(tmp_path)) == 10


# Signals.


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_leaves(text, tmp_path, signum, code):
    path = config(tmp_path, text, max_iters=1_000_000, eval_interval=1_000_000)
    # SIGINT ignored, as in a background job of a shell: the training must listen all the same.
    child = subprocess.Popen(
        command(path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    rest, errors = signalled_at(child, "iter 10:", signum)
    assert child.returncode == code, errors
    (iteration, saved), *others = checkpoints.existing(tmp_path / "out", "unmasking").items()
    assert not others and iteration >= 10
    assert f"saving checkpoint to {saved}" in rest and f"after {iteration} iterations" in rest
    assert errors == ""


# Errors and failures.


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--init_from=resume", "--init_from=scratch starts from scratch"),
        pytest.param(
            "--device=cuda", "use --device=", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="GPU")
        ),
        ("--block_size=100000", "lower block_size"),
    ],
)
def test_an_error_is_one_sentence_and_exit_code_2(text, tmp_path, option, message):
    done = finish(config(tmp_path, text), option)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and message in done.stderr and len(done.stderr.splitlines()) == 1
    record = json.loads((tmp_path / "out" / "error.json").read_text())
    assert record["type"] == "InputError" and record["traceback"] is None


def test_a_loss_that_is_not_finite_stops_the_training_and_saves_nothing_bad(text, tmp_path):
    done = finish(config(tmp_path, text, grad_clip=0.0, weight_decay=0.0), "--learning_rate=1e30")
    assert done.returncode == 1
    assert "the gradient was not finite in the last 10 steps" in done.stderr
    assert "Traceback" not in done.stderr and "There is no checkpoint yet" in done.stderr
    record = json.loads((tmp_path / "out" / "error.json").read_text())
    assert record["schema"] == 1 and record["type"] == "Diverged" and "Traceback" in record["traceback"]
    assert record["last_iteration"] >= 1
    for path in checkpoints.existing(tmp_path / "out", "unmasking").values():
        assert all(t.isfinite().all() for t in torch.load(path, weights_only=True)["model"].values())


def test_a_full_disk_is_a_warning_on_the_way_and_an_error_at_the_end(text, tmp_path):
    import resource

    def no_large_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    done = finish(config(tmp_path, text, max_iters=40), preexec_fn=no_large_files)
    assert done.stderr.count("the training continues") == 1
    assert "iter 40:" in done.stdout and done.returncode == 1
    assert "cannot save" in done.stderr and "File too large" in done.stderr and "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob("ckpt_*"))


# Evaluation and curriculum.


def evaluations(out_dir: Path) -> list[dict]:
    return [row for row in rows_of(out_dir) if "val/loss" in row]


def test_evaluation_depends_on_nothing_but_the_model(text, tmp_path):
    """One checkpoint, evaluated under other batch sizes, seeds and curricula, gives the same result."""
    assert train_here(text, tmp_path, max_iters=20) == 0
    same = {"init_from": "resume", "eval_only": True}
    train_here(text, tmp_path, **same)
    train_here(text, tmp_path, **same, batch_size=3, seed=5, use_paragraph_boundaries=True)
    train_here(text, tmp_path, **same, unmasking_stages=[STAGES[2], STAGES[0]])
    trained, again, other_batches, other_stages = evaluations(tmp_path)[-4:]
    values = {key: value for key, value in again.items() if key.startswith("val/")}
    assert values == {key: trained[key] for key in values}
    assert values == {key: other_batches[key] for key in values}
    assert other_stages["val/loss"] == again["val/loss"]
    assert other_stages["val/stage_1_loss"] == again["val/stage_3_loss"]
    assert other_stages["val/stage_2_accuracy"] == again["val/stage_1_accuracy"]
    assert list(checkpoints.existing(tmp_path, "unmasking")) == [20]


def test_stages_advance_when_stale_and_the_last_one_stays(text, tmp_path, capsys):
    # No evaluation can improve by 100 nats, so after the first each one is stale. There is none before the first step.
    assert train_here(text, tmp_path, eval_interval=10, min_improvement=100.0) == 0
    output = capsys.readouterr().out
    assert re.findall(r"^stage (\d)/3: (\w+)", output, re.M) == [("1", "random"), ("2", "sticky"), ("3", "sticky")]
    assert [row["stage"] for row in evaluations(tmp_path)] == [1, 1, 2, 2, 3, 3]


def test_warm_up_works_without_decay(text, tmp_path):
    assert train_here(text, tmp_path, max_iters=20, warmup_iters=9, log_interval=1) == 0
    rates = [row["lr"] for row in rows_of(tmp_path) if "train/loss" in row]
    assert rates[0] == pytest.approx(1e-3) and rates[4] == pytest.approx(5e-3)
    assert set(rates[9:]) == {1e-2}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_learns_and_resumes(text, tmp_path, dtype):
    assert train_here(text, tmp_path, dtype=dtype, max_iters=50) == 0
    assert train_here(text, tmp_path, dtype=dtype, max_iters=100, init_from="resume") == 0
    losses = [row["val/loss"] for row in evaluations(tmp_path)]
    assert losses[-1] < math.log(json.loads((text / "meta.json").read_text())["vocab_size"]) - 0.3


# What must not make a training fail.


@pytest.mark.slow
def test_wandb_works_offline_without_a_key_or_a_question(text, tmp_path):
    began = time.monotonic()
    done = finish(config(tmp_path, text, max_iters=20), "--wandb_log=true", stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 60
    assert list((tmp_path / "out" / "wandb").glob("offline-run-*/run-*.wandb"))


def test_a_broken_wandb_is_one_warning(text, tmp_path):
    (tmp_path / "wandb.py").write_text("raise ImportError('no wandb today')\n")
    done = finish(
        config(tmp_path, text, max_iters=10), "--wandb_log=true", env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "warning: wandb cannot be imported (no wandb today); logging to metrics.jsonl only (fix: pip install wandb)"
    ]


def test_a_wandb_that_hangs_is_left_behind(text, tmp_path, monkeypatch, capsys):
    hanging = types.ModuleType("wandb")
    hanging.Settings = lambda **_: types.SimpleNamespace(base_url="http://localhost")
    hanging.init = lambda **_: threading.Event().wait()
    monkeypatch.setitem(sys.modules, "wandb", hanging)
    monkeypatch.setattr(wandb_logger, "FINISH_SECONDS", 0.5)
    assert train_here(text, tmp_path, max_iters=10, wandb_log=True) == 0
    assert "abandoned" in capsys.readouterr().err
    assert rows_of(tmp_path)[-1]["iter"] == 10


def test_rows_that_wandb_cannot_follow_are_dropped_not_waited_for(text, tmp_path, monkeypatch, capsys):
    hanging = types.ModuleType("wandb")
    hanging.Settings = lambda **_: types.SimpleNamespace(base_url="http://localhost")
    hanging.init = lambda **_: threading.Event().wait()
    monkeypatch.setitem(sys.modules, "wandb", hanging)
    monkeypatch.setattr(wandb_logger, "FINISH_SECONDS", 0.1)
    monkeypatch.setattr(wandb_logger, "QUEUE_SIZE", 2)
    assert train_here(text, tmp_path, max_iters=20, wandb_log=True) == 0
    assert re.search(r"could not keep up: [1-9]\d* rows", capsys.readouterr().err)


@pytest.mark.slow
def test_compile_without_a_compiler_warns_once_and_continues(text, tmp_path):
    nowhere = {**os.environ, "PATH": str(tmp_path), "CXX": "/nonexistent/c++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = finish(config(tmp_path, text, max_iters=10), "--compile=true", env=nowhere)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("torch.compile does not work here") == 1
    assert "iter 10:" in done.stdout
