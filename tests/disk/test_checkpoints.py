"""Which file or folder of a job is its latest checkpoint, whatever program wrote it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from runner.disk.checkpoints import is_pattern, latest_checkpoint


def make(folder: Path, *names: str) -> None:
    """Files, each written a second after the one before; `x/` is an empty folder, `x=` an empty file."""
    for age, name in enumerate(names):
        path = folder / name.rstrip("=")
        if name.endswith("/"):
            path.mkdir(parents=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if name.endswith("=") else "weights")
        os.utime(path, (1_000_000 + age, 1_000_000 + age))


#: the files of a job in the order of their writing, and its checkpoint
FOLDERS = [
    (["ckpt_a_1.pt", "ckpt_a_2.pt"], "ckpt_a_2.pt"),
    (["ckpt.pt", "checkpoints/last.ckpt", "model.pth"], "ckpt.pt"),  # nanoGPT reads this one, and no other
    (["old.pt", "new.pt"], "new.pt"),
    (["model.pt", "checkpoints/last.ckpt"], "checkpoints/last.ckpt"),
    (["last.ckpt"], "last.ckpt"),
    (["weights.pth"], "weights.pth"),
    (["model.safetensors"], "model.safetensors"),
    (["data.bin", "pytorch_model.bin"], None),
    (["checkpoints/epoch=1.ckpt", "checkpoints/epoch=2.ckpt"], "checkpoints/epoch=2.ckpt"),
    (["checkpoints/run/step_7.pt"], None),
    (["lightning_logs/version_0/checkpoints/a.ckpt", "lightning_logs/version_1/checkpoints/b.ckpt"],
     "lightning_logs/version_1/checkpoints/b.ckpt"),
    (["project/r1/checkpoints/last.ckpt"], "project/r1/checkpoints/last.ckpt"),
    (["runs/exp/weights/best.pt"], "runs/exp/weights/best.pt"),
    # folders
    (["checkpoint-5/trainer_state.json", "checkpoint-10/trainer_state.json"], "checkpoint-10"),
    (["checkpoint-5/trainer_state.json", "checkpoint-10/model.safetensors"], "checkpoint-5"),  # cut while it was saved
    (["checkpoint-10/"], None),
    (["checkpoint-10/trainer_state.json="], None),
    (["tmp-checkpoint-10/trainer_state.json"], None),
    (["checkpoints/checkpoint_0/random_states_0.pkl"], "checkpoints/checkpoint_0"),
    (["last.ckpt/meta.pt"], "last.ckpt"),  # sharded
    (["last.ckpt/"], None),
    # what is not complete, or is not the job's
    (["a.ckpt", "b.ckpt="], "a.ckpt"),
    (["a.ckpt", "b.ckpt.tmp", ".b.ckpt", "b.tmp.ckpt", "tmp_c.pt", "d.part.pt"], "a.ckpt"),
    (["attempt_1/last.ckpt", "attempt_1/checkpoints/last.ckpt"], None),
    (["wandb/checkpoints/last.ckpt", ".cache/checkpoints/last.ckpt"], None),
    (["experiment_result.json", "stdout.log"], None),
    ([], None),
]  # fmt: skip


@pytest.mark.parametrize(("names", "found"), FOLDERS)
def test_the_latest_complete_checkpoint_is_found(tmp_path: Path, names: list[str], found: str | None) -> None:
    make(tmp_path, *names)
    assert latest_checkpoint(str(tmp_path)) == (None if found is None else str(tmp_path / found))


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["**/*.model"], "deep/er/b.model"),
        (["*.model"], "a.model"),
        (["deep/*.model"], None),
        (["deep/*/b.model"], "deep/er/b.model"),
        (["deep/**/*.model"], "deep/er/b.model"),
        (["*.weights", "*.model"], "c.weights"),
        (["state-?"], "state-3"),
        (["state-[12]"], "state-1"),
        (["state-[!3]"], "state-1"),
        (["state-*/"], "state-3"),
        (["empty/"], None),
        (["**"], "last.ckpt"),
        (["nothing*"], None),
        (["ckpt*.pt"], "ckpt.pt"),
    ],
)
def test_patterns_replace_the_usual_places(tmp_path: Path, patterns: list[str], found: str | None) -> None:
    make(tmp_path, "ckpt.pt", "state-1/x", "state-3/x", "a.model", "c.weights", "empty/", "deep/er/b.model")
    make(tmp_path, *["x"] * 20, "last.ckpt")
    assert latest_checkpoint(str(tmp_path), patterns) == (None if found is None else str(tmp_path / found))


def test_of_files_of_one_moment_the_highest_number_counts(tmp_path: Path) -> None:
    make(tmp_path, "step_9.ckpt", "step_20.ckpt", "step_100.ckpt")
    for path in tmp_path.iterdir():
        os.utime(path, (1, 1))
    assert latest_checkpoint(str(tmp_path)) == str(tmp_path / "step_100.ckpt")


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    inside, outside = tmp_path / "job", tmp_path / "other"
    make(outside, "x.ckpt", "checkpoints/y.ckpt", "checkpoint-5/trainer_state.json")
    make(inside, "a.ckpt")
    (inside / "z.ckpt").symlink_to(outside / "x.ckpt")
    (inside / "checkpoints").symlink_to(outside / "checkpoints")
    (inside / "checkpoint-9").symlink_to(outside / "checkpoint-5")
    (inside / "gone.ckpt").symlink_to(outside / "gone.ckpt")
    (inside / "loop").symlink_to(inside)
    assert latest_checkpoint(str(inside)) == str(inside / "a.ckpt")
    assert latest_checkpoint(str(inside), ["**/*.ckpt"]) == str(inside / "a.ckpt")
    (inside / "last.ckpt").symlink_to("a.ckpt")  # as Lightning's save_last="link" makes it
    os.utime(inside / "last.ckpt", follow_symlinks=False)
    assert latest_checkpoint(str(inside), ["last.ckpt"]) == str(inside / "last.ckpt")


def test_a_pipe_of_that_name_is_not_a_checkpoint(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "last.ckpt")
    assert latest_checkpoint(str(tmp_path)) is None
    assert latest_checkpoint(str(tmp_path / "gone")) is None


@pytest.mark.parametrize("text", ["", "/", "/abs/*.pt", "../*.pt", "a/../b", "[z-a].pt"])
def test_what_is_no_pattern_below_a_folder(text: str) -> None:
    assert not is_pattern(text)


@pytest.mark.parametrize("text", ["**/*.ckpt", "a", "checkpoint-*/", "x[1].pt", "[", "a{b}.pt", "..a/b"])
def test_what_is_a_pattern(text: str) -> None:
    assert is_pattern(text)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["", "samples/"])
def test_a_folder_with_a_hundred_thousand_files_takes_no_seconds(tmp_path: Path, place: str) -> None:
    (tmp_path / "samples").mkdir()
    for number in range(100_000):
        (tmp_path / f"{place}sample_{number}.png").touch()
    make(tmp_path, "checkpoints/last.ckpt")
    began = time.process_time()
    assert latest_checkpoint(str(tmp_path)) == str(tmp_path / "checkpoints" / "last.ckpt")
    assert time.process_time() - began < 2
