"""The benches run, and print what they promise to print. What they measure decides nothing here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

PROGRAMS = {
    "overhead.py": (["--jobs", "4", "--round", "2"], ["bare loop", "this runner", "the bar is 40 ms"]),
    "cache.py": (
        ["--configs", "9", "--megabytes", "1", "--rounds", "1"],
        ["this runner", "joblib.Memory", "the bar is 1"],
    ),
    "streaming.py": (["--gigabytes", "0.01", "--rounds", "1"], ["cat > file", "naive runner", "the bar is 8"]),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_bench_prints_its_table_and_its_bars(tmp_path: Path, program: str) -> None:
    options, expected = PROGRAMS[program]
    command = [sys.executable, str(PROJECT / "bench" / program), *options, "--dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, 1) and done.stderr == ""  # 1: a bar is missed, on a machine that is busy
    assert [words for words in expected if words not in done.stdout] == []
    assert not list(tmp_path.iterdir())
