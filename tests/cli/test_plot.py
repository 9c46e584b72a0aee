"""`plot`, and the small curves in `table` and `status`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from runner.cli.main import main
from tests.conftest import Workspace

ROW = "echo '{\"iter\": '$i', \"val/loss\": '$LOSS'.'$((9 - i))'}' >> $OUT/metrics.jsonl"
JOB = f"i=0; while [ $i -le 8 ]; do {ROW}; i=$((i + 1)); done"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    work = Workspace(tmp_path_factory.mktemp("plot"))
    for name, loss in (("a", 1), ("b", 2)):
        work.write(f"c/{name}.sh", f"LOSS={loss}\n{JOB}\n")
    work.run("--configs", "c/*.sh", "--command", "env OUT={out_dir} sh {config}", code=0)
    return work


@pytest.fixture
def here(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(work.folder)
    return work


@pytest.mark.parametrize(("name", "begin"), [("x.png", b"\x89PNG"), ("x.svg", b"<?xml"), ("x.pdf", b"%PDF")])
def test_a_picture_of_each_kind(here: Workspace, name: str, begin: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["plot", "--metric", "val/loss", "-o", name]) == 0
    assert (here / name).read_bytes().startswith(begin)
    assert f"{name}: val/loss of 2 jobs" in capsys.readouterr().out


def test_groups_have_a_line_each_with_their_number_of_jobs(here: Workspace, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for number in range(8):
        folder = tmp_path / "out" / f"r{number}"
        folder.mkdir(parents=True)
        config = {"lr": number % 2, "seed": number}
        (folder / "metadata.json").write_text(json.dumps({"status": "completed", "config": config}))
        rows = [{"iter": step, "val/loss": step + number, "$\\x$": step} for step in range(5 + number)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["plot", str(tmp_path / "out"), "--over", "seed", "-o", "groups.svg"]) == 0
    text = (here / "groups.svg").read_text()
    assert text.count("<!-- lr=0 (n=4) -->") == 1 == text.count("<!-- lr=1 (n=4) -->") and "FillBetween" in text
    assert main(["plot", str(tmp_path / "out"), "--over", "width", "-o", "groups.svg"]) == 2
    assert main(["plot", str(tmp_path / "out"), "--metric", "$\\x$", "-o", "no_formula.svg"]) == 0


@pytest.mark.parametrize(("words", "error"), [
    (["--metric", "val/los"], "did you mean 'val/loss'"), (["-o", "x.bmp"], "name one of .png"),
    (["-o", "missing/x.png"], "cannot be written"), (["missing"], "missing"),
])  # fmt: skip
def test_errors_are_one_sentence(
    here: Workspace, words: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    assert main(["plot", *words]) == 2
    assert error in capsys.readouterr().err


def test_without_matplotlib_it_says_what_to_install(
    here: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["plot"]) == 2
    assert "pip install 'overnight[plot]'" in capsys.readouterr().err


def test_table_shows_small_curves(here: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "--curves"]) == 0
    text = capsys.readouterr().out
    assert "curve of val/loss" in text.splitlines()[0] and text.count("█ ▇ ▆") == 2
    assert main(["table"]) == 0
    assert "curve" not in capsys.readouterr().out


def test_status_shows_small_curves(here: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--curves"]) == 0
    assert capsys.readouterr().out.count("█ ▇ ▆") == 2
    assert main(["status"]) == 0
    assert "█" not in capsys.readouterr().out


def test_a_terminal_of_ascii_gets_ascii(here: Workspace) -> None:
    done = here.run("table", "--curves", env={"PYTHONIOENCODING": "ascii"}, code=0)
    assert "# * +" in done.stdout and done.stdout.isascii()


def test_curves_are_not_part_of_csv_and_json(here: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "--curves", "--json"]) == 0
    assert not any("curve" in key for row in json.loads(capsys.readouterr().out) for key in row)
    assert Path("experiments").is_dir()
