"""Whatever is in records, names and words: no command lets it control the terminal, or forge a line."""

from __future__ import annotations

import fcntl
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.cli.main import main
from runner.core import clock
from runner.core.job import Job, Plan
from runner.core.printing import LogPrinter, harmless
from runner.core.text import CONTROLS
from runner.disk import atomic, plan_file
from runner.planners.files import KIND

EVIL = "x\x1b]52;c;aGk=\x07\x9b2J\u202e\x1b[31my\x90q\x9c\x1b]0;t\x1b\\\nFORGED \u2028\x85\x7f"
JOB = "x\x1b[31m\u202ey"  # a name of a file cannot hold all of it


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


COMMANDS = [
    ["status", "batch"], ["status", "batch", "--json"], ["list"], ["list", "--json"], ["list", "--tag", EVIL],
    ["table", "experiments/batch"], ["table", "experiments/batch", "--json"],
    ["table", "experiments/batch", "--csv", "-"], ["compare", "experiments/batch"], ["compare", EVIL],
    ["diff", "a", JOB], ["diff", EVIL, "a"],
    ["compare", "experiments/batch", "--json"], ["compare", "experiments/batch", "--metric", EVIL, "--over", EVIL],
    ["table", "experiments/batch", "--sort", EVIL], ["table", "experiments/batch", "--columns", EVIL], ["table", EVIL],
    ["table", "experiments/batch", "--columns", "*"], ["table", "experiments/batch", "--over", EVIL],
    ["tail", "batch", EVIL, "--no-follow"], ["tail", EVIL], ["attach", EVIL], ["status", EVIL], ["note", "batch"],
    ["note", EVIL], ["tag", "batch"], ["tag", "batch", EVIL], ["tag", "batch", "--remove", EVIL], ["wait", EVIL],
    ["stop", EVIL], ["stop", "batch", EVIL], ["stop", "batch"], ["rerun", "batch", EVIL],
    ["rerun", "batch", "--only", "failed", "--set", f"{EVIL}=1"], ["rerun", "batch", "--set", EVIL, "--only", "failed"],
    ["resume", EVIL], ["resume", "batch"], ["resume", "batch", EVIL], ["rm", EVIL], ["rm", "batch"], ["du"],
    ["clean", "batch"], ["clean", EVIL], ["skip", "batch", EVIL], ["move", "batch", EVIL, "--first"],
    ["add", "batch", EVIL],
    [EVIL], [f"--{EVIL}"], ["run", EVIL], ["run", f"{EVIL}.py"], ["run", "c.py", f"--{EVIL}=1"],
    ["sweep", EVIL], ["tree", EVIL],
    ["run", "c.py", "--train_script", EVIL], ["run", "c.py", "--command", f"{EVIL} {{config}}"],
    ["status", f"--{EVIL}"],
]  # fmt: skip


@pytest.fixture
def forged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A batch whose records say the worst, which somebody else holds."""
    root = tmp_path / "experiments" / "batch"
    jobs = tuple(Job(name, ("sh", "-c", EVIL), root / name, cwd=tmp_path, config={EVIL: EVIL}) for name in ("a", JOB))
    root.mkdir(parents=True)
    plan_file.write(Plan("batch", root, jobs, KIND, clock.now(), notices=(EVIL,)))
    for job in jobs:
        job.out_dir.mkdir()
        about = {"status": EVIL if job.name == "a" else "failed", "error": EVIL, "warnings": [EVIL], "attempt": 1}
        times = {"start_time": EVIL, "end_time": clock.now(), "duration_seconds": 1.0, "fingerprint": job.fingerprint}
        result = {**about, **times, "final_metrics": {EVIL: 1, "val/loss": 2.0}, "command": [EVIL]}
        result["best_metrics"] = {EVIL: {"value": 1, "iter": 2, "better": "min"}}
        atomic.write_json(job.out_dir / "experiment_result.json", result)
        atomic.write_json(job.out_dir / "experiment_metadata.json", {"config": {EVIL: EVIL}, "command": [EVIL]})
        (job.out_dir / "combined.log").write_text(EVIL)
    atomic.write_json(root / "labels.json", {"schema": 1, "note": EVIL, "tags": [EVIL]})
    shutil.copytree(root, tmp_path / "experiments" / JOB)
    (tmp_path / "c.py").write_text("x = 1\n")
    monkeypatch.chdir(tmp_path)
    yield root


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words).encode("ascii", "replace").decode()[:40])
@pytest.mark.parametrize("held", [False, True])
def test_no_command_lets_a_record_or_a_word_control_the_terminal(
    forged: Path, capsys: pytest.CaptureFixture[str], words: list[str], held: bool
) -> None:
    if held and words[0] in ("wait", "attach", "tail"):
        pytest.skip("waits for the holder")
    with (forged / ".lock").open("w") as lock:
        if held:
            fcntl.flock(lock, fcntl.LOCK_EX)
            json.dump({"pid": 1, "host": EVIL, "since": EVIL, "identity": None}, lock)
            lock.flush()
        main(words)
    out, err = capsys.readouterr()
    assert out or err
    for text in (out, err):
        signs = set(CONTROLS.findall(text)) - {"\n"}
        assert not signs, (words, signs, text)
        if "--csv" not in words:  # a cell may have lines, in quotes
            assert not any(line.startswith("FORGED") for line in text.splitlines()), text


def test_a_log_is_printed_to_a_terminal_with_its_colors_and_nothing_else_that_controls_it() -> None:
    text = "\x1b[1;31mred\x1b[0m\tx\r\x1b]52;c;aGk=\x07\x1b[2J\x9b3J\x1bc\x1b]0;title\x1b\\\u202eend\n"
    assert harmless(text) == "\x1b[1;31mred\x1b[0m\tx\rend\n"
    for cut in range(len(text)):  # it arrives in pieces
        terminal = Terminal()
        printer = LogPrinter(terminal)
        printer.write(text[:cut])
        printer.write(text[cut:])
        assert terminal.getvalue() == harmless(text), cut


def test_a_log_goes_into_a_file_as_it_is(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as file:
        LogPrinter(file).write(EVIL)
    assert (tmp_path / "x").read_bytes() == EVIL.encode()


def test_an_escape_that_never_ends_does_not_hold_the_log_back() -> None:
    terminal = Terminal()
    printer = LogPrinter(terminal)
    printer.write("a\x1b]52;" + "x" * 5000)
    printer.write("b\n")
    assert terminal.getvalue().endswith("xb\n") and "\x1b" not in terminal.getvalue()


def test_what_the_runner_prints_of_a_batch_is_safe_on_standard_error_too(
    forged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (forged / "plan.json").unlink()
    (forged / "plan.json").write_text(json.dumps({"schema": EVIL, "experiment_dir": EVIL}))
    assert main(["status", "batch"]) == 2
    assert not set(CONTROLS.findall(capsys.readouterr().err)) - {"\n"}
