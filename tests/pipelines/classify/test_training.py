"""Trainings of classify: what they learn, write and report, how they stop and resume. Small networks on the digits."""

import itertools
import json
import math
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.classify import artifacts
from pipelines.classify.settings import ClassifySettings
from pipelines.classify.train import run, train
from pipelines.classify.train_state import KIND, TrainState
from pipelines.shared import checkpoints
from pipelines.shared.errors import InputError
from pipelines.shared.optimization import order
from tests.conftest import PROJECT, signalled_at

TINY = {
    "layers": 3, "width": 16, "train_examples": 90, "batch_size": 20, "epochs": 3, "lr": 1e-2, "log_interval": 1,
    "device": "cpu",
}  # fmt: skip
STEPS = 5  # of an epoch: four batches of 20 and one of 10


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Trainings put runs/ where they are started."""
    monkeypatch.chdir(tmp_path)


def settings_of(out_dir: Path | str | None, **changes) -> ClassifySettings:
    return ClassifySettings(**{**TINY, "out_dir": out_dir and str(out_dir), **changes})


def train_here(out_dir: Path | str | None, **changes) -> int:
    return run(settings_of(out_dir, **changes))


def rows_of(out_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (out_dir / "metrics.jsonl").read_text().splitlines()]


def evaluation(out_dir: Path) -> dict:
    return json.loads((out_dir / "evaluation.json").read_text())


def latest(out_dir: Path) -> dict:
    return torch.load(list(checkpoints.existing(out_dir, KIND).values())[-1], weights_only=True)


def same(one: dict, other: dict) -> None:
    """The weights and all that the optimizers remember, bit for bit."""
    assert one["iteration"] == other["iteration"]
    for key, tensor in one["model"].items():
        assert torch.equal(tensor, other["model"][key]), key
    for mine, yours in zip(one["optimizers"], other["optimizers"], strict=True):
        assert mine["param_groups"] == yours["param_groups"] and mine["state"].keys() == yours["state"].keys()
        for index, moments in mine["state"].items():
            for name, value in moments.items():
                assert torch.equal(torch.as_tensor(value), torch.as_tensor(yours["state"][index][name]))


def start(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROJECT / "train_run.py"), *map(str, words)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


# Complete trainings.


@pytest.mark.parametrize(("model", "least"), [("mlp", 0.95), ("greedy", 0.92)])
def test_the_digits_are_learned(model, least, tmp_path):
    child = start(PROJECT / f"configs/{model}/{model}_digits.yaml", "--epochs=12", "--lr=3e-3", "--device=cpu",
                  f"--out_dir={tmp_path / 'batch' / 'job'}")  # fmt: skip
    out, errors = child.communicate(timeout=100)
    assert child.returncode == 0, errors
    record = evaluation(tmp_path / "batch" / "job")
    assert record["accuracy"] > least and record["loss"] < 0.5
    assert record["dataset"]["train_examples"] == 1437 and record["dataset"]["test_examples"] == 360
    steps = re.findall(r"^step (\d+): train loss ([\d.]+), val loss ([\d.]+), lr [\d.e+-]+$", out, re.M)
    assert [int(step[0]) for step in steps] == list(range(0, 277, 23))
    assert float(steps[-1][2]) == pytest.approx(record["loss"], abs=1e-4)
    assert re.search(r"^iter 276: loss [\d.]+, time [\d.]+ms, ", out, re.M)
    assert f"saving checkpoint to {tmp_path}/batch/job/ckpt_classify_276.pt\n" in out


@pytest.mark.parametrize("model", ["mlp", "greedy"])
def test_what_a_training_leaves(model, tmp_path):
    out = tmp_path / "out"
    assert train_here(out, model=model, train_examples=None, epochs=3) == 0
    assert {path.name for path in out.iterdir()} == {
        "metrics.jsonl", "evaluation.json", "job.json", "ckpt_classify_144.pt", "ckpt_classify_216.pt"
    }  # fmt: skip
    record = evaluation(out)
    assert record["schema"] == 1 and record["model"] == model and record["settings"]["width"] == 16
    assert record["dataset"]["name"] == "digits" and len(record["dataset"]["sha256"]) == 64
    confusion = np.array(record["confusion"])
    assert confusion.sum() == 360 and confusion.trace() / 360 == pytest.approx(record["accuracy"])
    labels = np.load(PROJECT / "data/digits/test_labels.npy")
    assert confusion.sum(1).tolist() == np.bincount(labels).tolist()
    layers = record["layers"]
    assert [layer["layer"] for layer in layers] == [1, 2, 3]
    assert all(0.5 < layer["probe_accuracy"] <= 1 and 1 <= layer["participation_ratio"] <= 16 for layer in layers)
    assert all(record["cka"][i][i] == pytest.approx(1) for i in range(3))
    last = rows_of(out)[-1]
    assert last["val/loss"] == pytest.approx(record["loss"]) and last["val/accuracy"] == record["accuracy"]
    if model == "greedy":
        assert [layer["accuracy"] for layer in layers] == [last[f"val/accuracy_layer_{i}"] for i in (1, 2, 3)]
        assert layers[-1]["accuracy"] == record["accuracy"]
        assert all(0 < layer["js_to_next"] < math.log(2) for layer in layers[:-1])
    else:
        assert "accuracy" not in layers[0] and "val/accuracy_layer_1" not in last


def test_metrics_have_a_row_per_log_step_and_per_epoch(tmp_path):
    assert train_here(tmp_path, log_interval=4, model="greedy") == 0
    rows = rows_of(tmp_path)
    assert [row["iter"] for row in rows if "train/loss" in row] == [1, 4, 8, 12, 15]
    evaluated = [row for row in rows if "val/loss" in row]
    assert [(row["iter"], row["epoch"]) for row in evaluated] == [(0, 0), (5, 1), (10, 2), (15, 3)]
    assert all(row["max_iters"] == 15 for row in rows)


@pytest.mark.parametrize("model", ["mlp", "greedy"])
@pytest.mark.parametrize("scheduler", ["cosine", "constant"])
def test_the_recorded_rates_are_those_of_the_schedule(model, scheduler, tmp_path):
    assert train_here(tmp_path, scheduler=scheduler, model=model) == 0
    rates = [row["lr"] for row in rows_of(tmp_path) if "train/loss" in row]
    cosine = [1e-2 * (1 + math.cos(math.pi * step / 15)) / 2 for step in range(15)]
    expected = cosine if scheduler == "cosine" else [1e-2] * 15
    assert rates == pytest.approx(expected)
    for optimizer in latest(tmp_path)["optimizers"]:
        assert optimizer["param_groups"][0]["lr"] == pytest.approx(expected[-1])


def test_greedy_has_an_optimizer_for_each_layer_and_the_mlp_one(tmp_path):
    for model, count in (("greedy", 3), ("mlp", 1)):
        assert train_here(tmp_path / model, model=model, epochs=1) == 0
        assert len(latest(tmp_path / model)["optimizers"]) == count


def test_an_epoch_sees_every_image_once_and_each_in_another_order():
    first, second = order(0, 0, 90), order(0, 1, 90)
    assert sorted(first) == sorted(second) == list(range(90))
    assert (first != second).any() and (order(1, 0, 90) != first).any()


def test_variants_train_alike_without_lambda_and_differ_with_it(tmp_path):
    variants = ("ce_i_next", "ce_next_i", "js", "sym_kl")
    for weight, equal in ((0.0, True), (0.3, False)):
        found = []
        for variant in variants:
            folder = tmp_path / f"{variant}_{weight}"
            assert train_here(folder, model="greedy", ace_variant=variant, lambda_ace=[weight] * 2, epochs=1) == 0
            found.append(latest(folder)["model"]["hidden.0.weight"])
        for one, other in itertools.combinations(found, 2):
            assert torch.equal(one, other) is equal


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_other_optimizers_learn_too(optimizer, tmp_path):
    lr = {"adam": 1e-2, "sgd": 0.1}[optimizer]
    assert train_here(tmp_path, optimizer=optimizer, lr=lr, epochs=15, similarity="l2", tau=1.0) == 0
    rows = [row["val/loss"] for row in rows_of(tmp_path) if "val/loss" in row]
    assert rows[-1] < 0.7 * rows[0]


# Stopping and resuming.


class StopAfter:
    """A stop request that comes after so many steps."""

    exit_code = 130

    def __init__(self, steps: int) -> None:
        self.left = steps + 1

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.mark.parametrize("model", ["mlp", "greedy"])
@pytest.mark.parametrize("cut", [1, 7, 10])  # 10 is the end of an epoch
def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(model, cut, tmp_path):
    assert train_here(tmp_path / "whole", model=model) == 0
    parts = tmp_path / "parts"
    parts.mkdir()
    assert train(settings_of(parts, model=model), parts, TrainState(), StopAfter(cut)) == 130
    assert latest(parts)["iteration"] == cut and not (parts / "job.json").exists()
    assert train_here(parts, model=model, init_from="resume") == 0
    same(latest(tmp_path / "whole"), latest(parts))
    assert evaluation(parts)["accuracy"] == evaluation(tmp_path / "whole")["accuracy"]
    evaluated = [row["iter"] for row in rows_of(parts) if "val/loss" in row]
    assert evaluated == [0, 5, 10, 15]  # none twice


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_the_training_resumes_exactly(signum, code, tmp_path):
    words = [f"--{key}={value}" for key, value in {**TINY, "epochs": 400, "model": "greedy"}.items()]
    child = start(PROJECT / "config/greedy/greedy_digits.yaml", *words, "--lambda_ace=[0.1,0.1]", "--out_dir=parts")
    rest, errors = signalled_at(child, "iter 12:", signum)
    assert child.returncode == code, errors
    cut = latest(tmp_path / "parts")["iteration"]
    assert 12 <= cut < 2000 and f"stopped by a signal after {cut} iterations" in rest and errors == ""
    # Not to the end: the next 30 steps decide, of a training that was never stopped and of the resumed one.
    settings = settings_of(None, epochs=400, model="greedy", lambda_ace=[0.1, 0.1], weight_decay=0.01)
    (tmp_path / "whole").mkdir()
    assert train(settings, tmp_path / "whole", TrainState(), StopAfter(cut + 30)) == 130
    resumed = settings.model_copy(update={"init_from": "resume"})
    assert train(resumed, tmp_path / "parts", TrainState(), StopAfter(30)) == 130
    same(latest(tmp_path / "whole"), latest(tmp_path / "parts"))


def test_resuming_a_finished_training_writes_its_results_again(tmp_path, capsys):
    assert train_here(tmp_path) == 0
    (tmp_path / "evaluation.json").unlink()
    assert train_here(tmp_path, init_from="resume") == 0
    assert evaluation(tmp_path)["iteration"] == 15 and (tmp_path / "job.json").exists()
    assert capsys.readouterr().out.count("iter 15:") == 1


def test_a_checkpoint_of_another_network_is_an_error(tmp_path):
    assert train_here(tmp_path, epochs=1) == 0
    with pytest.raises(InputError, match=r"tau 0\.1 there, 0\.2 here"):
        train_here(tmp_path, tau=0.2, init_from="resume")
    record = json.loads((tmp_path / "error.json").read_text())
    assert record["type"] == "InputError" and not (tmp_path / "job.json").exists()


def test_a_new_training_in_an_old_folder_archives_the_old_one(tmp_path):
    assert train_here(tmp_path) == 0
    assert train_here(tmp_path, epochs=1) == 0
    assert list(checkpoints.existing(tmp_path, KIND)) == [5]
    assert evaluation(tmp_path / "earlier_1")["iteration"] == 15
    assert max(row["iter"] for row in rows_of(tmp_path)) == 5


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path):
    with pytest.raises(ArithmeticError, match=r"Lower lr|not finite"):
        train_here(tmp_path, lr=1e30, similarity="l2", optimizer="sgd")
    record = json.loads((tmp_path / "error.json").read_text())
    assert record["type"] in ("Diverged", "ArithmeticError") and record["last_iteration"] >= 1
    assert not (tmp_path / "job.json").exists() and not (tmp_path / "evaluation.json").exists()


# Where a run lies.


def job(out_dir: Path) -> dict:
    return json.loads((out_dir / "job.json").read_text())


def test_a_job_of_a_batch_has_a_link_under_runs_and_reports_it(tmp_path):
    out = tmp_path / "experiments" / "sweep_1" / "run_000"
    for _ in range(2):  # an older link is replaced
        assert train_here("experiments/sweep_1/run_000", epochs=1) == 0
        assert job(out) == {"schema": 1, "run_dir": "runs/digits/mlp/sweep_1/run_000"}
        link = tmp_path / "runs/digits/mlp/sweep_1/run_000"
        assert str(link.readlink()) == "../../../../experiments/sweep_1/run_000"
        assert link.resolve() == out and (link / "evaluation.json").exists()


def test_where_no_link_can_be_the_run_lies_in_its_own_folder(tmp_path):
    (tmp_path / "runs").write_text("a file")
    assert train_here("batch/job", epochs=1) == 0
    assert job(tmp_path / "batch/job")["run_dir"] == "batch/job"


def test_a_folder_that_is_no_link_stays(tmp_path):
    mine = tmp_path / "runs/digits/mlp/batch/job"
    mine.mkdir(parents=True)
    (mine / "notes.txt").write_text("mine")
    assert train_here("batch/job", epochs=1) == 0
    assert (mine / "notes.txt").exists() and job(tmp_path / "batch/job")["run_dir"] == "batch/job"
    assert [path.name for path in mine.parent.iterdir()] == ["job"]


def test_a_run_by_hand_lies_under_runs_and_can_be_resumed(tmp_path):
    assert train_here(None, epochs=1, scheduler="constant") == 0
    (folder,) = (tmp_path / "runs/digits/mlp").iterdir()
    assert re.fullmatch(r"\d{8}_\d{6}", folder.name) and not folder.is_symlink()
    assert job(folder)["run_dir"] == f"runs/digits/mlp/{folder.name}"
    assert train_here(None, epochs=2, scheduler="constant", init_from="resume") == 0
    assert list((tmp_path / "runs/digits/mlp").iterdir()) == [folder] and latest(folder)["iteration"] == 10


def test_resuming_by_hand_without_a_run_is_an_error():
    with pytest.raises(InputError, match="finds no run in runs/digits/greedy"):
        train_here(None, model="greedy", init_from="resume")


def test_two_runs_of_one_second_have_a_folder_each(tmp_path):
    assert artifacts.create_folder(tmp_path, "20261120_214455").name == "20261120_214455"
    assert artifacts.create_folder(tmp_path, "20261120_214455").name == "20261120_214455_2"
