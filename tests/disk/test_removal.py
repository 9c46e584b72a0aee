"""Batches and checkpoints are removed, and what is left says so."""

from __future__ import annotations

import os
from pathlib import Path

from runner.core.result import Result
from runner.disk import removal, results
from tests.engine.fakes import job


def test_a_batch_is_removed_and_latest_points_to_another_one(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "a").mkdir(parents=True)
        (tmp_path / name / "plan.json").touch()
        (tmp_path / name / ".lock").touch()
    results.point_latest_to(tmp_path / "one")
    removal.repair_latest(tmp_path, tmp_path / "two")
    assert (tmp_path / "latest").readlink() == Path("one")
    removal.remove_batch(tmp_path / "one")
    removal.repair_latest(tmp_path, tmp_path / "two")
    assert not (tmp_path / "one").exists() and (tmp_path / "latest").readlink() == Path("two")
    removal.remove_batch(tmp_path / "two")
    removal.repair_latest(tmp_path, None)
    removal.repair_latest(tmp_path, None)
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_are_removed_and_the_result_says_so(tmp_path: Path) -> None:
    one = job("a", tmp_path)
    (one.out_dir / "attempt_1").mkdir(parents=True)
    paths = [one.out_dir / name for name in ("ckpt_1.pt", "ckpt_2.pt", "attempt_1/ckpt_2.pt")]
    for number, path in enumerate(paths, 1):
        path.write_text("x" * number)
        os.utime(path, (number, number))
    every = removal.removable(tmp_path, one, (), keep_latest=False)
    assert set(every.paths) == set(map(str, paths)) and every.size == 6
    old = removal.removable(tmp_path, one, (), keep_latest=True)
    assert set(old.paths) == {str(paths[0]), str(paths[2])} and old.size == 4
    removal.remove_checkpoints(old)
    assert [path.exists() for path in paths] == [False, True, False]
    done = Result({"status": "completed", "final_checkpoint": str(paths[1])})
    results.write_result(one, done)
    rest = removal.removable(tmp_path, one, (), keep_latest=False)
    removal.remove_checkpoints(removal.Removable(one, (), 0))
    assert results.read_result(one) == done
    removal.remove_checkpoints(rest)
    assert not paths[1].exists() and removal.REMOVED in (results.read_result(one) or done).to_json()
    (tmp_path / "b").symlink_to("a")
    assert removal.removable(tmp_path, job("b", tmp_path), (), keep_latest=False).paths == ()
