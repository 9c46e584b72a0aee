"""Records that are torn, forged or odd: no command ends in a traceback, and no other batch suffers from them."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from runner.cli.main import main
from runner.disk import supervisor_file
from runner.disk.supervisor_file import SupervisorRecord
from runner.processes import process_id
from tests.conftest import Workspace

METRICS = '{"iter": 1, "train/loss": 2.0, "val/loss": 3.0}\n{"iter": 2, "train/loss": 1.0, "val/loss": 2.5}\n'
GONE = ["4194303", "1", "an earlier boot"]  # no process has this number, start and boot
FILES = (
    "plan.json", "plan.json", "plan.json", "experiment_summary.json", "labels.json", "ended.json", ".lock",
    "requests/done.json", "requests/1-1-0.request.json", "a/experiment_result.json", "a/experiment_result.json",
    "a/experiment_metadata.json", "a/metrics.jsonl", "b/experiment_result.json", "b/supervisor.json",
    "c/supervisor.json", "c/supervisor.json", "c/experiment_metadata.json",
)  # fmt: skip


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**30, 10**400, float("nan"), float("inf"), "", "x", "\x1b]52;c;x\x07", "\ud800",
    "a\0b", "/", "../..", "9" * 30, "é" * 300, [], [[]], {}, {"a": []}, [None], ["x", 1], nested(90), nested(125),
    nested(500), {"$dict": [1]}, {"$dict": [[[], 1]]}, {"$float": []}, "0001-01-01T00:00:00+00:00",
    "9999-12-31T23:59:59-23:00", "2026-01-01", ["[z-a"], ["(a"],
)  # fmt: skip
WHOLE = (
    b"", b"\0", b"null", b"[]", b"5", b'"x"', b"{}", b"\xff\xfe", b"[" * 985 + b"]" * 985, b"[" * 100_000,
    b'{"a":' + b"[" * 986 + b"]" * 986 + b"}", b'{"status":"completed"}', b'{"schema":2}', b'{"schema":1}',
)  # fmt: skip


def mutated(content: bytes, draw: random.Random) -> bytes:
    """One change to a record: of an entry, of the whole, or of its bytes."""
    kind = draw.random()
    if kind < 0.1:
        return draw.choice(WHOLE)
    if kind < 0.2:
        at = draw.randrange(len(content) + 1)
        return draw.choice((content[:at], content[:at] + bytes([draw.randrange(256)]) + content[at + 1 :]))
    try:
        record = json.loads(content)
    except ValueError:
        return content + json.dumps({"val/loss": draw.choice(ODD)}).encode() + b"\n"
    places = list(_places(record))
    container, key = draw.choice(places)
    if isinstance(container, dict) and draw.random() < 0.15:
        del container[key]
    else:
        container[key] = draw.choice(ODD)
    return json.dumps(record).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each entry of a record, at any level."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(entries):
        yield value, key
        yield from _places(inner)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound batch, and one whose records are changed: a completed, b failed, c was lost with its runner."""
    work = Workspace(tmp_path_factory.mktemp("odd"))
    work.write("c/a.sh", f"cat > $1/metrics.jsonl <<'END'\n{METRICS}END\n")
    work.write("c/b.sh", "exit 3")
    work.write("c/c.sh", "exit 0")
    arguments = ("--configs", "c/*.sh", "--command", "sh {config} {out_dir}")
    work.run("--name", "sound", *arguments, code=1)
    work.run("--name", "odd", *arguments, code=1)
    root = work.batch
    for words in (["note", "odd", "a note"], ["tag", "odd", "one"]):
        work.run(*words, code=0)
    (root / "c/experiment_result.json").unlink()
    for name in "bc":
        record = SupervisorRecord(GONE, GONE, "no process has this mark", 1, ("sh", "c.sh"), False, "2026-11-20T10:00Z")
        supervisor_file.write(root / name, record)
    (root / "requests").mkdir(exist_ok=True)
    (root / "requests/done.json").write_text('{"schema": 1, "jobs": {"c": "skipped by request"}}')
    request = {"schema": 1, "request": "stop", "sender": GONE, "jobs": ["c"], "kill": False}
    (root / "requests/1-1-0.request.json").write_text(json.dumps(request))
    who = {"pid": 4194303, "host": process_id.host(), "since": "2026-11-20T10:00Z", "identity": GONE}
    (root / ".lock").write_text(json.dumps(who))
    return work / "experiments"


COMMANDS = (
    ("status", "BATCH"), ("status", "BATCH", "--json"), ("table", "BATCH"), ("table", "BATCH", "--sort", "val/loss"),
    ("table", "BATCH", "--json"), ("table", "BATCH", "--csv", "-"), ("compare", "BATCH"),
    ("compare", "BATCH", "--json"), ("tail", "BATCH", "--no_follow"), ("wait", "BATCH"),
    ("stop", "BATCH"), ("stop", "BATCH", "c"), ("--resume", "BATCH", "--dry_run"),
)  # fmt: skip


class Waiting(Exception):
    """A command began to wait for a process, as it should for a job that may run on another host."""


@pytest.fixture
def batch(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The batch with odd records; it is as it was after the test."""

    def sleep(seconds: float) -> NoReturn:
        raise Waiting

    root = (base / "latest").resolve()
    shutil.copytree(root, tmp_path / "kept", symlinks=True)
    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.chdir(base.parent)
    yield root
    restore(root, tmp_path / "kept")


def restore(root: Path, kept: Path) -> None:
    shutil.rmtree(root)
    shutil.copytree(kept, root, symlinks=True)


def call(*words: str) -> int | None:
    """The exit code of a command, in this process; None if it waits. Whatever else it raises fails the test."""
    try:
        return main(words)
    except Waiting:
        return None


def look(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command that reads a batch, and a resume up to the start of its jobs."""
    for words in COMMANDS:
        code = call(*(root.name if word == "BATCH" else word for word in words))
        assert code in (0, 1, 2, 75, None), words
    capsys.readouterr()
    assert call("list") == 0 and call("list", "--json") == 0
    assert "sound" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seed", "number"), [(0, 20), *(pytest.param(seed, 200, marks=pytest.mark.slow) for seed in range(1, 11))]
)
def test_no_odd_record_ends_a_command_in_a_traceback(
    batch: Path, capsys: pytest.CaptureFixture[str], seed: int, number: int
) -> None:
    draw = random.Random(seed)
    for _ in range(number):
        path = batch / draw.choice(FILES)
        before = path.read_bytes()
        path.write_bytes(mutated(before, draw))
        look(batch, capsys)
        path.write_bytes(before)
