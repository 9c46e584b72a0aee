"""Complete runs of robustness: the files that they leave, their numbers, how they fail, stop and resume."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.robustness import artifacts, evaluation, ood, train
from pipelines.robustness.counts import Share, derive
from pipelines.robustness.settings import RobustnessSettings
from pipelines.shared.errors import InputError
from src.api import ExperimentConfig, run_pipeline
from tests.conftest import PROJECT, read, signalled_at

pytestmark = pytest.mark.slow

DETECTORS = {"msp", "energy", "mahalanobis", "knn"}
TINY: dict[str, Any] = {
    "dataset_name": "VECTOR", "dataset": "blobs", "vector": {"examples": 400, "noise": 0.3}, "epochs": 8, "lr": 1e-2,
    "width": 32, "device": "cpu", "attack": {"eps": 0.4, "steps": 5}, "ood": {"enabled": True},
}  # fmt: skip


def settings_of(out_dir: Path, **changes: Any) -> RobustnessSettings:
    return RobustnessSettings(**{**TINY, "out_dir": str(out_dir), **changes})


def start(*words: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROJECT / "train_run.py"), *map(str, words)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def config(folder: Path, **changes: Any) -> Path:
    path = folder / "a.json"
    path.write_text(json.dumps({**TINY, **changes}))
    return path


def records(out_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out_dir / "raw/records.jsonl").read_text().splitlines()]


def arrays(out_dir: Path) -> dict[str, np.ndarray]:
    return {path.name: np.load(path) for path in (out_dir / "raw/features").glob("*.npy")}


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the time of a small run goes into its pictures."""
    monkeypatch.setattr(train.plots, "draw", lambda *_: [])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run through train_run.py, from a file."""
    folder = tmp_path_factory.mktemp("finished")
    child = start(config(folder), f"--out_dir={folder / 'out'}", "--export_features=npy+csv")
    out, errors = child.communicate(timeout=100)
    assert child.returncode == 0, errors
    assert (folder / "out/logs/run.log").read_text() == out and errors == ""
    return folder / "out"


def test_a_run_leaves_the_documented_files(finished: Path) -> None:
    found = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    features = {f"raw/features/{split}__{key}.{suffix}" for split in ("val_clean", "test_clean", "test_adv", "test_ood")
                for key in DETECTORS for suffix in ("npy", "csv")}  # fmt: skip
    documented = {
        "raw/eval_adv.npz", "raw/eval_ood.npz", "raw/records.jsonl", "metrics/metrics.json",
        "metrics/success_counts.json", "metrics/success_counts.csv", "logs/run.log", "logs/summary.log",
        "metadata.json", "images/decision_map.png", "images/roc.png", "images/scores.png",
    }  # fmt: skip
    ours = {"metrics.jsonl", "job.json", "ckpt_robustness_32.pt"}
    assert found == documented | features | ours
    for path in (finished / "images").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000


def test_the_counts_are_the_sums_over_the_records(finished: Path) -> None:
    rows, counts = records(finished), read(finished / "metrics/success_counts.json")
    assert len({row["sample_id"] for row in rows}) == len(rows)
    for kind in ("adversarial", "ood"):
        own = [row[f"{kind}_success"] for row in rows if row[f"is_{kind}"]]
        assert (sum(own), len(own)) == (counts[f"{kind}_success"], counts[f"{kind}_total"])
        assert 0 < sum(own) < len(own) and counts[f"{kind}_denominator"]
        low, high = counts[f"{kind}_interval_95"]
        assert low < counts[f"{kind}_rate"] == sum(own) / len(own) < high
        assert all(row[f"{kind}_success"] is None for row in rows if not row[f"is_{kind}"])
    summary = "adversarial_success={adversarial_success}/{adversarial_total}, ood_success={ood_success}/{ood_total}\n"
    assert (finished / "logs/summary.log").read_text() == summary.format(**counts)
    (line,) = csv.DictReader((finished / "metrics/success_counts.csv").open())
    assert {key: int(line[key]) for key in counts if key.endswith(("_success", "_total"))} == {
        key: value for key, value in counts.items() if key.endswith(("_success", "_total"))
    }
    (finished / "metrics/success_counts.json").rename(finished / "aside")
    try:
        found = derive(finished)
    finally:
        (finished / "aside").rename(finished / "metrics/success_counts.json")
    assert found.adversarial == Share(counts["adversarial_success"], counts["adversarial_total"])
    assert found.ood == Share(counts["ood_success"], counts["ood_total"]) and found.notes == ""


@pytest.mark.usefixtures("no_pictures")
def test_a_targeted_attack_counts_where_the_target_is_reached(tmp_path: Path) -> None:
    """Blobs at the corners of a triangle; class 0 is held out, so that the network calls class 2 its class 1."""
    changes = {"vector": {"examples": 600, "noise": 0.3, "classes": 4}, "ood": {"held_out_class": 0}}
    attack = {"eps": 2.0, "steps": 5, "target": 2, "scale": [1.0, 0.0]}
    assert train.run(settings_of(tmp_path, attack=attack, **changes)) == 0
    rows = {row["sample_id"]: row for row in records(tmp_path)}
    attacked = [row for row in rows.values() if row["is_adversarial"]]
    assert attacked and all(row["label"] != 1 for row in attacked)
    assert all(row["adversarial_success"] == (row["prediction"] == 1) for row in attacked)
    assert {row["adversarial_success"] for row in attacked} == {True, False}
    found = read(tmp_path / "metrics/metrics.json")["attack"]
    right = [row for row in attacked if row["prediction"] == row["label"]]
    clean = [row for row in rows.values() if row["kind"] == "clean" and row["label"] != 1]
    assert found["target"] == 2 and "other classes than the target" in found["success_denominator"]
    assert (found["robust_accuracy"]["count"], found["robust_accuracy"]["of"]) == (len(right), len(clean))


def test_an_attack_counts_where_the_clean_row_was_right(finished: Path) -> None:
    rows = {row["sample_id"]: row for row in records(finished)}
    clean = {name: row for name, row in rows.items() if not row["is_adversarial"] and not row["is_ood"]}
    right = {name for name, row in clean.items() if row["prediction"] == row["label"]}
    assert {name.removesuffix("-adv") for name, row in rows.items() if row["is_adversarial"]} == right
    for name in right:
        attacked = rows[f"{name}-adv"]
        assert attacked["adversarial_success"] == (attacked["prediction"] != clean[name]["label"])
    metrics = read(finished / "metrics/metrics.json")
    assert metrics["test_accuracy"] | {"interval_95": 0, "rate": 0} == {
        "count": len(right), "of": len(clean), "interval_95": 0, "rate": 0
    }  # fmt: skip
    lost = metrics["attack"]["success"]["count"]
    assert metrics["attack"]["robust_accuracy"]["count"] == len(right) - lost
    assert metrics["attack"]["largest_linf"] == pytest.approx(0.4, abs=1e-6)


def test_the_evaluations_hold_labels_and_raw_scores(finished: Path) -> None:
    scores, metrics = arrays(finished), read(finished / "metrics/metrics.json")
    adv, odd = np.load(finished / "raw/eval_adv.npz"), np.load(finished / "raw/eval_ood.npz")
    mask = np.array([row["adversarial_success"] for row in records(finished) if row["is_adversarial"]])
    for key in DETECTORS:
        clean, threshold = scores[f"test_clean__{key}.npy"], np.percentile(scores[f"val_clean__{key}.npy"], 95)
        for found, others in ((adv, scores[f"test_adv__{key}.npy"][mask]), (odd, scores[f"test_ood__{key}.npy"])):
            assert np.array_equal(found[f"scores__{key}"], np.concatenate((clean, others)))
            assert found[f"threshold__{key}"] == threshold == metrics["thresholds"][key]
            assert found["labels"].tolist() == [0] * len(clean) + [1] * len(others)
            assert len(set(found["sample_id"])) == len(found["labels"])
    decides = scores["test_ood__mahalanobis.npy"] >= metrics["thresholds"]["mahalanobis"]
    assert decides.sum() == metrics["ood_detection"]["all"]["mahalanobis"]["detected"]["count"]
    by_kind = read(finished / "metrics/success_counts.json")["ood_by_kind"]
    kinds = odd["kind"][odd["labels"] == 1]
    assert {kind: row["count"] for kind, row in by_kind.items()} == {
        kind: decides[kinds == kind].sum() for kind in ("feature_shuffle", "gaussian_noise", "uniform_wide")
    }


def test_the_metadata_contain_what_was_really_used(finished: Path) -> None:
    found = read(finished / "metadata.json")
    assert found["status"] == "completed" and found["error"] is None and 0 < found["duration_seconds"] < 100
    assert found["config_path"] == str(finished.parent / "a.json") and found["timestamp"] < found["ended"]
    assert found["dataset"]["name"] == "blobs" and found["dataset"]["source"]["examples"] == 400
    assert sum(found["dataset"][f"{part}_examples"] for part in ("train", "validation", "test")) == 400
    assert found["versions"]["torch"] == torch.__version__ and found["settings"]["attack"]["eps"] == 0.4
    here = subprocess.run(["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (found["git"] or {}).get("commit") == (here.stdout.strip() or None)
    loaded = arrays(finished)
    assert len(found["features"]) == len(loaded) == 16
    for entry in found["features"]:
        values = loaded[Path(entry["file"]).name]
        about = list(values.shape), str(values.dtype), values.size
        assert (entry["shape"], entry["dtype"], entry["count"]) == about
        name, *column = (finished / entry["csv"]).read_text().split()
        assert name == entry["csv"].partition("__")[2].removesuffix(".csv")
        assert np.array_equal(np.array(column, float), values)
    assert found["success_counts"]["adversarial"]["of"] > 0


@pytest.mark.slow
def test_side_by_side_with_other_numbers_of_threads_the_arrays_are_the_same(finished: Path) -> None:
    folders = [finished.parent / f"again_{number}" for number in range(2)]
    children = [
        start(finished.parent / "a.json", f"--out_dir={folder}", OMP_NUM_THREADS=str(1 + number))
        for number, folder in enumerate(folders)
    ]
    assert [child.wait(100) for child in children] == [0, 0]
    before = arrays(finished)
    for folder in folders:
        assert (folder / "raw/records.jsonl").read_bytes() == (finished / "raw/records.jsonl").read_bytes()
        assert all(values.tobytes() == before[name].tobytes() for name, values in arrays(folder).items())


def test_the_pipeline_in_memory_is_the_same_and_writes_nothing(
    finished: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    result = run_pipeline(ExperimentConfig.from_dict(TINY))
    counts = read(finished / "metrics/success_counts.json")
    mask = result.attack_test.meta["adv_mask"]
    assert (mask.sum(), len(mask)) == (counts["adversarial_success"], counts["adversarial_total"])
    assert result.attack_test.meta["success_rate"] == counts["adversarial_rate"]
    assert np.array_equal(result.eval_ood.scores["knn"], np.load(finished / "raw/eval_ood.npz")["scores__knn"])
    assert not list(tmp_path.iterdir()) and capsys.readouterr().out == "" and torch.get_num_threads() == threads


@pytest.mark.parametrize("changes", [
    {"dataset_name": "IMAGE", "dataset": "digits", "epochs": 3, "attack": {"name": "fgsm", "examples": 40},
     "train_examples": 300, "ood": {"enabled": True, "held_out_class": 3}, "export_features": "npy+parquet"},
    {"dataset_name": "TABULAR", "dataset": "wine", "attack": {"norm": "l2", "eps": 1.0, "random_start": False},
     "ood": {"enabled": False}, "eval_only_successful_attacks": False},
], ids=["images", "table"])  # fmt: skip
def test_other_data_other_attacks(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert train.run(settings_of(tmp_path, **changes)) == 0
    counts, rows = read(tmp_path / "metrics/success_counts.json"), records(tmp_path)
    drawn = {path.stem for path in (tmp_path / "images").iterdir()}
    if changes["dataset_name"] == "IMAGE":
        from pyarrow import parquet

        assert drawn == {"scores", "roc", "examples", "ood_examples"}
        assert counts["adversarial_total"] <= 40 < len([row for row in rows if row["kind"] == "clean"])
        assert set(counts["ood_by_kind"]) == {
            "gaussian_noise",
            "uniform_wide",
            "patch_shuffle",
            "blur",
            "held_out_class",
        }
        table = parquet.read_table(tmp_path / "raw/features/test_ood__knn.parquet")
        assert np.array_equal(table["knn"].to_numpy(), np.load(tmp_path / "raw/features/test_ood__knn.npy"))
    else:
        assert drawn == {"scores", "roc", "examples"} and not (tmp_path / "raw/eval_ood.npz").exists()
        assert counts["ood_success"] is None and counts["ood_total"] is None and counts["ood_by_kind"] is None
        assert counts["notes"] == "ood was not run: ood.enabled is false"
        assert (tmp_path / "logs/summary.log").read_text().endswith(", ood_success=unknown\n")
        labels = np.load(tmp_path / "raw/eval_adv.npz")["labels"]
        assert labels.sum() == counts["adversarial_total"] > counts["adversarial_success"]  # on all attacks
        assert read(tmp_path / "metrics/metrics.json")["attack"]["largest_l2"] <= 1 + 1e-5


def test_no_eps_no_success(tmp_path: Path) -> None:
    assert train.run(settings_of(tmp_path, attack={"eps": 0.0}, ood={"enabled": False})) == 0
    counts, metrics = read(tmp_path / "metrics/success_counts.json"), read(tmp_path / "metrics/metrics.json")
    assert counts["adversarial_success"] == 0 and counts["adversarial_total"] > 50
    assert metrics["attack"]["largest_linf"] == 0 and metrics["adversarial_detection"]["knn"]["auroc"] is None
    assert not (tmp_path / "images/roc.png").exists()


def test_without_a_correct_row_none_is_attacked_and_that_is_reported(tmp_path: Path) -> None:
    # A network that learned nothing, and the first test row, which it misclassifies.
    assert train.run(settings_of(tmp_path, epochs=1, lr=1e-9, attack={"examples": 1})) == 0
    counts = read(tmp_path / "metrics/success_counts.json")
    assert counts["adversarial_success"] is None and counts["adversarial_total"] is None
    assert counts["notes"] == "no row was attacked, since the network classified none of them correctly"
    assert (tmp_path / "logs/summary.log").read_text().startswith("adversarial_success=unknown, ood_success=")
    assert read(tmp_path / "metrics/metrics.json")["attack"]["robust_accuracy"]["of"] == 1


def test_parquet_that_cannot_be_written_fails_nothing(tmp_path: Path, no_pictures, monkeypatch, capsys) -> None:
    def missing(*_: object) -> bytes:
        raise ImportError("no module named pyarrow")

    monkeypatch.setattr(artifacts, "as_parquet", missing)
    assert train.run(settings_of(tmp_path, export_features="npy+parquet", epochs=1)) == 0
    entries = read(tmp_path / "metadata.json")["features"]
    assert len(entries) == 16 and all(entry["parquet"] is None for entry in entries)
    assert capsys.readouterr().err.count("warning: no parquet beside the .npy files") == 1


# Failing, stopping, going on.


def test_a_failure_half_way_keeps_what_was_found(tmp_path: Path, no_pictures, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no more noise")

    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/success_counts.json").write_text('{"ood_success": 1, "ood_total": 1}')  # of an earlier run
    monkeypatch.setattr(ood, "make", broken)
    with pytest.raises(RuntimeError):
        train.run(settings_of(tmp_path))
    found, counts = read(tmp_path / "metadata.json"), read(tmp_path / "metrics/success_counts.json")
    assert found["status"] == "failed" and found["error"] == "RuntimeError: no more noise" and found["duration_seconds"]
    assert counts["adversarial_total"] > 50 and counts["ood_success"] is None
    assert counts["notes"] == "the run did not reach ood"
    assert found["success_counts"]["ood"] is None and found["success_counts"]["adversarial"]["of"] > 50
    assert (tmp_path / "raw/eval_adv.npz").exists() and not (tmp_path / "raw/eval_ood.npz").exists()
    assert "no more noise" in (tmp_path / "logs/error.txt").read_text().splitlines()[-1]
    assert "Traceback" in (tmp_path / "logs/run.log").read_text() and len(found["features"]) == 12
    assert read(tmp_path / "error.json")["message"] == "no more noise" and not (tmp_path / "job.json").exists()
    monkeypatch.undo()
    assert train.run(settings_of(tmp_path, epochs=1)) == 0  # again, in the same place
    assert not (tmp_path / "logs/error.txt").exists() and not (tmp_path / "error.json").exists()
    assert read(tmp_path / "metadata.json")["status"] == "completed"


def test_an_error_is_one_sentence_everywhere(tmp_path: Path) -> None:
    child = start(
        config(tmp_path, dataset_name="TABULAR", dataset="breast_cancer", ood={"held_out_class": 1}),
        f"--out_dir={tmp_path / 'out'}",
    )
    _, errors = child.communicate(timeout=60)
    sentence = "ood.held_out_class: 2 classes are too few to hold one out; remove the key or change the dataset"
    assert child.returncode == 2 and errors == f"error: {sentence}\n"
    assert (tmp_path / "out/logs/error.txt").read_text() == f"error: {sentence}\n"
    found = read(tmp_path / "out/metadata.json")
    assert found["status"] == "failed" and found["error"] == f"InputError: {sentence}"
    counts = read(tmp_path / "out/metrics/success_counts.json")
    assert counts["adversarial_success"] is None and "the run did not reach its attack" in counts["notes"]


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(ArithmeticError, match="Lower lr"):
        train.run(settings_of(tmp_path, optimizer="sgd", lr=1e30))
    assert (
        read(tmp_path / "metadata.json")["status"] == "failed" and read(tmp_path / "error.json")["last_iteration"] > 0
    )


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_training_saves_what_there_is(tmp_path: Path, signum, code) -> None:
    long = config(tmp_path, epochs=2000, lr=1e-3)
    child = start(long, f"--out_dir={tmp_path / 'out'}")
    rest, errors = signalled_at(child, "iter 100:", signum)
    assert child.returncode == code, errors
    found, counts = read(tmp_path / "out/metadata.json"), read(tmp_path / "out/metrics/success_counts.json")
    assert found["status"] == "interrupted" and found["error"] is None and "stopped by a signal" in rest
    assert counts["adversarial_success"] is None and not (tmp_path / "out/logs/error.txt").exists()
    assert list((tmp_path / "out").glob("ckpt_robustness_*.pt")) and not (tmp_path / "out/job.json").exists()


def test_a_stopped_training_resumes_bit_for_bit(finished: Path, tmp_path: Path, no_pictures, monkeypatch) -> None:
    before = train.StopRequest.__call__
    asked = iter(range(10**6))
    with monkeypatch.context() as patch:
        patch.setattr(train.StopRequest, "__call__", lambda self: before(self) or next(asked) > 20)
        patch.setattr(train.StopRequest, "exit_code", 130)
        assert train.run(settings_of(tmp_path)) == 130
    (path,) = tmp_path.glob("ckpt_robustness_*.pt")
    assert torch.load(path, weights_only=True)["iteration"] == 21
    assert train.run(settings_of(tmp_path, init_from="resume")) == 0
    assert (tmp_path / "raw/records.jsonl").read_bytes() == (finished / "raw/records.jsonl").read_bytes()
    with pytest.raises(InputError, match="seed 0 there, 1 here"):
        train.run(settings_of(tmp_path, init_from="resume", seed=1))


def test_a_stop_during_the_attack_keeps_the_clean_part(tmp_path: Path, monkeypatch) -> None:
    def stopped(*_: object) -> None:
        raise evaluation.Stopped

    monkeypatch.setattr(evaluation, "adversarial", stopped)
    monkeypatch.setattr(train.StopRequest, "exit_code", 130)
    assert train.run(settings_of(tmp_path)) == 130
    assert read(tmp_path / "metadata.json")["status"] == "interrupted"
    counts = read(tmp_path / "metrics/success_counts.json")
    assert counts["adversarial_success"] is None and "did not reach its attack" in counts["notes"]
    assert {row["kind"] for row in records(tmp_path)} == {"clean"}
    assert {name.partition("__")[0] for name in arrays(tmp_path)} == {"val_clean", "test_clean"}


def test_files_of_others_stay(tmp_path: Path, no_pictures) -> None:
    for name in ("images/mine.txt", "raw/notes.md", "stdout.log", "logs/other.log"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    assert train.run(settings_of(tmp_path, epochs=1)) == 0
    assert (tmp_path / "images/mine.txt").exists() and (tmp_path / "raw/notes.md").exists()
    assert (tmp_path / "stdout.log").exists() and (tmp_path / "logs/other.log").exists()
