"""Thousands of short configs: what is done for each does not grow with their number."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from runner.library.decorator import experiment
from tests.conftest import Workspace
from tests.library_script import computed, folder, meta, run, script


def test_the_output_folder_is_not_listed_for_each_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    real = os.scandir

    def counted(path: Any = ".") -> Any:
        listed.append(str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", counted)
    made = experiment(lambda config: config.x)
    for words in ([], ["--rerun"]):
        configs = [{"name": f"c{number}", "x": number} for number in range(30)]
        for lock in (tmp_path / "out" / ".runner" / "locks").glob("*"):
            os.utime(lock, (1, 1))  # they were used long ago
        made.run(configs=lambda configs=configs: configs, output_dir=tmp_path / "out", args=words)  # type: ignore[misc]
    assert listed.count(str(tmp_path / "out")) <= 2


def test_an_equal_config_that_another_process_computed_meanwhile_is_copied(work: Workspace) -> None:
    """The output folder was listed before: the lock of the config shows that somebody was there."""
    body = "if config.name == 'first': os.system(f'{sys.executable} main.py --only other')\nreturn config.x"
    script(work, body, "[{'name': 'first', 'x': 1}, {'name': 'other', 'x': 2}, {'name': 'equal', 'x': 2}]")
    run(work, "--only", "first", "equal")
    assert computed(work) == ["first", "other"]
    assert meta(folder(work, "equal"))["copied_from"] == str(folder(work, "other"))
