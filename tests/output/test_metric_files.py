"""Files in which other programs keep their metrics -> rows."""

from __future__ import annotations

import importlib
import json
import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from runner.output import metric_files
from runner.output.measurements import Measurements


def found(*folders: Path) -> Measurements:
    measured = Measurements()
    for values, iteration, epoch in metric_files.rows(map(str, folders)):
        measured.add(values, iteration, epoch)
    return measured


def test_the_history_of_a_trainer(tmp_path: Path) -> None:
    history: list[dict[str, Any]] = [
        {"epoch": 0.5, "grad_norm": 1.5, "learning_rate": 1e-4, "loss": 2.5, "step": 50},
        {"epoch": 0.5, "eval_accuracy": 0.75, "eval_loss": 1.5, "eval_runtime": 3.5, "step": 50},
        {"epoch": 1.0, "loss": 2.0, "step": 100},
        {"epoch": 1.0, "eval_accuracy": 0.5, "eval_loss": 1.75, "eval_runtime": 3.5, "step": 100},
        {"epoch": 1.0, "step": 100, "total_flos": 1e12, "train_loss": 2.25, "train_runtime": 60.0},
    ]
    for step, rows in ((50, 2), (100, 5)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "trainer_state.json").write_text(json.dumps({"log_history": history[:rows]}))
    measured = found(tmp_path)
    last = {name: measured.last[name] for name in ("train/loss", "val/loss", "eval_accuracy", "train_loss")}
    assert last == {"train/loss": 2.0, "val/loss": 1.75, "eval_accuracy": 0.5, "train_loss": 2.25}
    assert measured.best()["val/loss"] == {"value": 1.5, "iter": 50, "better": "min"}
    assert measured.best()["eval_accuracy"] == {"value": 0.75, "iter": 50, "better": "max"}


def test_the_table_of_lightning(tmp_path: Path) -> None:
    folder = tmp_path / "lightning_logs/version_0"
    folder.mkdir(parents=True)
    text = "epoch,step,train_loss,val_acc,val_loss\n0,49,2.5,,\n0,49,,0.5,1.5\n1,99,2.0,,\n1,99,,0.75,nan\n"
    (folder / "metrics.csv").write_text(text)
    measured = found(tmp_path)
    assert measured.last["train/loss"] == 2.0 and measured.last["val_acc"] == 0.75
    assert measured.best()["val/loss"] == {"value": 1.5, "iter": 49, "better": "min"}
    assert measured.warnings() == {"val/loss": "val loss is NaN since iteration 99"}


def test_another_table_of_that_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("name,loss\na,2.5\n")
    assert not found(tmp_path)


def test_the_summary_of_wandb(tmp_path: Path) -> None:
    folder = tmp_path / "wandb/offline-run-20260101_000000-abc/files"
    folder.mkdir(parents=True)
    summary = {"_step": 99, "_runtime": 12.5, "_wandb": {"runtime": 12}, "val_loss": 1.5, "acc": 0.5, "loss": "NaN"}
    (folder / "wandb-summary.json").write_text(json.dumps(summary))
    measured = found(tmp_path)
    assert repr(measured.last) == repr({"val/loss": 1.5, "acc": 0.5, "train/loss": float("nan")})
    assert measured.warnings() == {"train/loss": "loss is NaN since iteration 99"}


def field(number: int, kind: int, content: bytes) -> bytes:
    return bytes([number << 3 | kind]) + (bytes([len(content)]) if kind == 2 else b"") + content


def scalar(step: int, tag: str, value: bytes) -> bytes:
    """One record with a scalar; `value` is its field in a Value."""
    summary = field(1, 2, field(1, 2, tag.encode()) + value)
    event = field(1, 1, struct.pack("<d", 0.0)) + field(2, 0, bytes([step])) + field(5, 2, summary)
    return struct.pack("<Q", len(event)) + b"----" + event + b"----"


def test_scalars_of_tensorboard(tmp_path: Path) -> None:
    as_float = [field(2, 5, struct.pack("<f", value)) for value in (2.5, 1.5, 2.0)]
    tensor = field(8, 2, field(1, 0, b"\x01") + field(4, 2, struct.pack("<f", 0.75)))
    packed = field(8, 2, field(1, 0, b"\x01") + field(5, 2, struct.pack("<f", 0.5)))
    records = [scalar(step, "Loss/val", value) for step, value in enumerate(as_float, 10)]
    records += [scalar(20, "accuracy", tensor), scalar(30, "accuracy", packed)]
    (tmp_path / "events.out.tfevents.1.host").write_bytes(b"".join(records) + records[0][:20])  # the last one is torn
    measured = found(tmp_path)
    assert measured.last == {"val/loss": 2.0, "accuracy": 0.5}
    assert measured.best()["val/loss"] == {"value": 1.5, "iter": 11, "better": "min"}


def test_scalars_that_tensorboard_wrote(tmp_path: Path) -> None:
    try:
        writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter(str(tmp_path / "runs"))
    except ImportError:
        pytest.skip("tensorboard is not installed")
    for step, loss in ((100, 2.5), (70_000, 1.5)):
        writer.add_scalar("Loss/train", loss, step)
        writer.add_scalars("both", {"a": loss, "b": 1.0}, step)
        writer.add_histogram("weights", importlib.import_module("torch").tensor([0.5, loss]), step)
    writer.close()
    measured = found(tmp_path)
    assert measured.last["train/loss"] == 1.5
    assert measured.best()["train/loss"] == {"value": 1.5, "iter": 70_000, "better": "min"}


NAMES = ("trainer_state.json", "metrics.csv", "wandb-summary.json", "events.out.tfevents.1")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 100_000, b"\xff" * 5000, b"step,loss\n1,x,3\n\x00,\n", b'{"log_history": [3, {"loss": []}]}'],
)
def test_a_file_that_is_torn_or_odd_has_no_rows(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert found(tmp_path).best() == {}


@pytest.mark.parametrize("name", NAMES)
def test_a_pipe_in_place_of_a_file_does_not_block(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert not found(tmp_path)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_40_gb_is_not_read_to_its_end(tmp_path: Path, name: str) -> None:
    begin = b"step,loss\n" if name == "metrics.csv" else b""
    (tmp_path / name).write_bytes(begin)
    os.truncate(tmp_path / name, 40 << 30)
    tracemalloc.start()
    assert not found(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


def test_links_and_earlier_attempts_are_not_followed(tmp_path: Path) -> None:
    other, own = tmp_path / "other", tmp_path / "own"
    (own / "attempt_1").mkdir(parents=True)
    other.mkdir()
    for folder in (other, own / "attempt_1"):
        (folder / "wandb-summary.json").write_text('{"loss": 2.5}')
    (own / "link").symlink_to(other)
    assert not found(own) and found(other)


def test_a_folder_with_very_many_files_is_searched_in_part(tmp_path: Path) -> None:
    for number in range(metric_files.MOST_ENTRIES):
        (tmp_path / f"{number}.txt").touch()
    assert list(metric_files.rows([str(tmp_path)])) == []
