"""`make demo`, the first thing that a new user does: it says what it installs, and a training shows itself at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT, wait_until

WITHIN = 15.0  # seconds from the start to the first line of the first training


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A folder with the Makefile, and a Python that prints its arguments instead of running them."""
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(PROJECT / name, tmp_path)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "python $*"\n')
    python.chmod(0o755)
    return tmp_path


def make_demo(folder: Path) -> list[str]:
    command = ["make", "--no-print-directory", "demo"]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # make check runs this
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, env=outside)
    return done.stdout.splitlines()


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_the_demo_says_what_it_installs_before_it_does(fresh: Path) -> None:
    lines = make_demo(fresh)
    (install,) = [place for place, line in enumerate(lines) if line.startswith("python -m pip install")]
    (run,) = [
        place
        for place, line in enumerate(lines)
        if line == "python run_experiments.py --configs config/quickstart/*.py --report"
    ]
    before, between = " ".join(lines[:install]), " ".join(lines[install + 1 : run])
    assert "torch" in before and "GB to download" in before and "minutes" in before
    assert "Three trainings" in between
    again = make_demo(fresh)  # what is installed is not announced
    assert not any("Installing" in line or "pip" in line for line in again) and "Three trainings" in again[0]


@pytest.fixture
def loaded() -> Iterator[None]:
    """Twice as many busy processes as cores."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    yield
    for process in busy:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.usefixtures("loaded")
def test_the_first_line_of_a_training_comes_soon_on_a_loaded_machine(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}  # as a user has it
    command = [sys.executable, "run_experiments.py", "--configs", "config/quickstart/*.py"]
    begin = time.monotonic()
    batch = subprocess.Popen(
        [*command, "--base_out_dir", str(tmp_path)], cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL
    )
    try:
        log = tmp_path / "latest/easy/stdout.log"
        wait_until(lambda: log.exists() and "iter 1: loss" in log.read_text(), "the first line", WITHIN)
        assert time.monotonic() - begin < WITHIN
    finally:
        batch.terminate()
        batch.wait(60)
