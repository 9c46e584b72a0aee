"""A look at the GPUs is a child with a time limit: whatever the driver does to it, the runner goes on."""

from __future__ import annotations

import os
import select
import sys
import time
from pathlib import Path

import pytest

from runner.gpus import looker
from runner.gpus.looker import Looker
from tests.gpus.machine import Machine, uuid


def look(command: str) -> str | None:
    return Looker({**os.environ, "RUNNER_GPU_PROBE": command}).look().error


def test_a_look_finds_the_gpus(tmp_path: Path) -> None:
    found = Looker({**os.environ, **Machine(tmp_path).environ}).look()
    assert [gpu.uuid for gpu in found.gpus] == [uuid(0), uuid(1), uuid(2)] and found.error is None
    assert found.driver == "550.1" and found.gpus[0].memory_total == 80 << 30


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sh -c 'kill -SEGV $$'", "died by signal 11"), ("sh -c 'exit 3'", "exit code 3"),
        ("echo hello", "printed no list"), ("/no/such/program", "cannot be started"),
        ("""sh -c 'printf "{\\"gpus\\": ["'""", "printed no list"),
    ],
)  # fmt: skip
def test_a_look_that_fails_is_a_sentence(command: str, said: str) -> None:
    assert said in (look(command) or "")


def test_a_driver_that_hangs_is_left_alone_after_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looker, "LIMIT", 0.3)
    began = time.monotonic()
    assert "did not answer within 0.3 s" in (look("sleep 60") or "")
    assert time.monotonic() - began < 20


def test_a_look_does_not_wait(tmp_path: Path) -> None:
    """`begin` and `take` return at once; the descriptor says when there is something."""
    one = Looker({**os.environ, **Machine(tmp_path).environ})
    assert one.fileno() == -1 and one.take() is None
    assert one.begin() is None and one.begin() is None  # one at a time
    assert one.fileno() >= 0
    found = None
    while found is None:
        poll = select.poll()
        poll.register(one.fileno(), select.POLLIN)
        poll.poll(10_000)
        found = one.take()
    assert len(found.gpus) == 3 and one.fileno() == -1


def test_the_program_for_the_driver_runs_without_one(tmp_path: Path) -> None:
    """On a machine with a driver it lists GPUs, elsewhere it says that there is none."""
    found = Looker({"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(tmp_path)}).look()
    assert found.gpus or "NVIDIA driver" in (found.error or "") or "nvml" in (found.error or ""), found


@pytest.mark.parametrize("number", [0, 1])
def test_an_answer_is_read_to_its_end(tmp_path: Path, number: int) -> None:
    """One that is longer than a pipe holds."""
    script = tmp_path / "long.py"
    script.write_text(f"import json; print(json.dumps({{'gpus': [], 'more': 'x' * {number * 300_000}}}))")
    assert look(f"{sys.executable} -I -S {script}") is None
