"""`compare` on folders of results, and the example of docs/comparison.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from runner import load_results
from runner.cli.main import main
from runner.core.text import width_of
from tests.conftest import PROJECT, Workspace
from tests.terminals import on_a_terminal

STATUS = {0.01: "completed", 0.1: "completed", 1.0: "failed"}
DOCUMENT = PROJECT / "docs/comparison.md"


def write_runs(folder: Path, runs: Iterable[tuple[Mapping[str, Any], float, str]]) -> None:
    """Folders as programs without a runner leave them."""
    for number, (config, accuracy, status) in enumerate(runs):
        run = folder / f"r{number}"
        (run / "metrics").mkdir(parents=True)
        (run / "metadata.json").write_text(json.dumps({"status": status, "config": config}))
        (run / "metrics/metrics.json").write_text(json.dumps({"val/accuracy": accuracy, "speed": number}))


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six settings of two widths and three rates with two seeds each; the largest rate failed."""
    cells = [(lr, width, seed) for lr in (0.01, 0.1, 1.0) for width in (8, 16) for seed in (0, 1)]
    write_runs(
        tmp_path / "out",
        (
            (
                {"lr": lr, "width": width, "seed": seed, "data": "d"},
                lr + seed / 100,
                STATUS[lr],
            )
            for lr, width, seed in cells
        ),
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path / "out"


def test_the_value_of_a_curve_is_the_last_the_best_or_that_of_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ends = ([0.6, 0.9, 0.5], [0.9, 0.1, 0.8], [0.7, float("nan"), 0.99])
    write_runs(tmp_path / "out", [({"lr": lr}, end[-1], "completed") for lr, end in zip((1, 2, 3), ends, strict=True)])
    for number, end in enumerate(ends):
        rows = [{"iter": step, "val/accuracy": value} for step, value in enumerate([0.2] * 27 + end)]
        (tmp_path / f"out/r{number}/metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {}
    for which in ("last", "tail"):
        assert main(["compare", "out", "--of", which, "--json"]) == 0
        groups = json.loads(capsys.readouterr().out)["groups"]
        values[which] = {group["settings"]["lr"]: group["mean"] and round(group["mean"], 6) for group in groups}
    assert values["last"] == {1: 0.5, 2: 0.8, 3: 0.99}
    assert values["tail"] == {1: round(2 / 3, 6), 2: 0.6, 3: None}  # three of thirty values
    assert main(["compare", "out", "--of", "best"]) == 2
    assert "--metric: there is no metric 'best/val/accuracy'" in capsys.readouterr().err


def test_groups_and_failures_are_shown(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "out"]) == 0
    text = capsys.readouterr().out
    assert "12 jobs, 6 groups without seed, by val/accuracy: the highest is best" in text
    assert "Same in all jobs: data=d" in text and "8 completed jobs are too few" in text
    assert "Too few jobs to tell" in text and "lr=1.0: 4 of 4 failed" in text and "2 of 2 failed" in text
    assert all(width_of(line) <= 80 for line in text.splitlines())


def test_json_has_the_numbers_of_the_library(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "out", "--json", "--metric", "speed", "--goal", "max", "--over", "seed,width"]) == 0
    printed = json.loads(capsys.readouterr().out)
    groups = load_results(results).groups("speed", "max", ["seed", "width"])
    assert printed["groups"] == [group.to_json() for group in groups] and len(groups) == 3
    assert (printed["metric"], printed["goal"], printed["over"]) == ("speed", "max", ["seed", "width"])
    assert printed["groups"][0]["settings"] == {"lr": 0.1} and printed["groups"][0]["values"] == [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--metric", "val/acuracy"], "--metric: there is no metric 'val/acuracy'; did you mean 'val/accuracy'?"),
        (["--metric", "speed"], "--goal: it is not known whether a low or a high speed is better; say min or max"),
        (["--metric", "nope", "--of", "tail"], "--of tail: no job has a curve of 'nope'"),
        (["--over", "sed"], "--over: there is no column 'sed'; did you mean 'seed'?"),
        (["--over", "speed"], "--over: speed is not a setting"),
        (["--goal", "up"], "--goal"),
    ],
)
def test_errors_are_one_sentence(
    results: Path, capsys: pytest.CaptureFixture[str], words: list[str], error: str
) -> None:
    assert main(["compare", "out", *words]) == 2
    assert error in capsys.readouterr().err


def test_long_names_and_many_settings_fit_into_eighty_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def config(number: int) -> dict[str, Any]:
        keys = {f"optimizer.a_setting_with_a_long_name_{key}": number % (key + 2) * 1e-7 for key in range(12)}
        return {**keys, "seed": number, "notes": f"what was tried in the run of number {number}, and why" * 2}

    write_runs(tmp_path / "out", ((config(number), number / 50, "completed") for number in range(40)))
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "out"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if width_of(line) > 80] == []
    assert any(line.startswith("left out: ") for line in lines)


def test_a_narrow_terminal_gets_narrow_lines(results: Path, work: Workspace) -> None:
    lines = on_a_terminal(work, "compare", str(results), columns=50).splitlines()
    assert lines and all(width_of(line) <= 50 for line in lines)


def steady(text: str) -> list[list[str]]:
    """The words of each line but those that have times."""
    return [line.split() for line in text.splitlines() if line[:3] not in ("A: ", "B: ") and "seconds" not in line]


@pytest.mark.slow
def test_the_example_of_the_document_is_what_is_printed(tmp_path: Path) -> None:
    text = DOCUMENT.read_text()
    blocks = re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
    program, *_ = [block for kind, block in blocks if kind == "python"]
    base, spec = [block for kind, block in blocks if kind == "yaml"]
    commands = next(block for kind, block in blocks if kind == "bash").splitlines()
    shown, differences = [block for kind, block in blocks if kind == "text"]
    for name, content in (("toy.py", program), ("base.yaml", base), ("toy.sweep.yaml", spec)):
        (tmp_path / name).write_text(content)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}

    def printed(command: str) -> str:
        words = [sys.executable, "-m", "runner", *command.split()[1:]]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    *_, compared = [printed(command) for command in commands]
    assert compared == shown
    assert steady(printed("overnight diff run_000 run_006")) == steady(differences)
    best, *others = load_results(tmp_path / "experiments/latest").groups(metric="val/loss")
    assert best.settings == {"lr": 0.01, "width": 64} and len(others) == 7
