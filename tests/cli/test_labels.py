"""Notes and tags of batches: one small file of the user's, which list and status show and nothing else changes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import RUN_EXPERIMENTS, Workspace, read
from tests.interrupted_batch import COMMAND

pytestmark = pytest.mark.slow


@pytest.fixture
def two(work: Workspace) -> Workspace:
    """Two batches, `first` and `second`."""
    work.write("a.sh", "echo hello; test -e good")
    for name in ("first", "second"):
        work.run("--configs", "a.sh", *COMMAND, "--name", name, code=1)
    return work


def test_list_and_status_show_the_note_and_the_tags(two: Workspace) -> None:
    two.run("note", "first", "the", "baseline,  longer", code=0)
    assert two.run("tag", "first", "paper", "lr=0.1", "paper", code=0).stdout.rstrip().endswith(": paper, lr=0.1")
    line = next(line for line in two.run("list", code=0).stdout.splitlines() if line.startswith("first"))
    assert line.endswith("[paper, lr=0.1] the baseline, longer")
    shown = two.run("status", "first", code=0).stdout
    assert "note: the baseline, longer\n" in shown and "tags: paper, lr=0.1\n" in shown
    found = {batch["name"][:5]: batch for batch in json.loads(two.run("list", "--json", code=0).stdout)}
    assert (found["first"]["note"], found["first"]["tags"]) == ("the baseline, longer", ["paper", "lr=0.1"])
    assert (found["secon"]["note"], found["secon"]["tags"]) == (None, [])
    assert two.run("note", "first", code=0).stdout == "the baseline, longer\n"
    assert "paper, lr=0.1" in two.run("tag", "first", code=0).stdout


def test_list_shows_the_batches_with_a_tag_alone(two: Workspace) -> None:
    two.run("tag", "first", "paper", code=0)
    two.run("tag", "second", "other", code=0)
    assert [line.split("_")[0] for line in two.run("list", "--tag", "paper").stdout.splitlines()] == ["first"]
    assert [batch["tags"] for batch in json.loads(two.run("list", "--tag", "paper", "--json").stdout)] == [["paper"]]
    assert "tags are: other, paper" in two.run("list", "--tag", "papre", code=0).stdout


def test_a_label_does_not_change_which_batch_is_the_latest(two: Workspace) -> None:
    order = [line.split()[0] for line in two.run("list").stdout.splitlines()]
    two.run("note", "first", "x", code=0)
    assert [line.split()[0] for line in two.run("list").stdout.splitlines()] == order
    (two / "experiments/latest").unlink()
    assert two.run("status", code=0).stdout.startswith("second")


def test_neither_a_resume_nor_a_rerun_loses_labels(two: Workspace) -> None:
    two.run("note", "latest", "mine", code=0)
    two.run("tag", "latest", "paper", code=0)
    before = (two.batch / "labels.json").read_bytes()
    (two / "good").touch()
    two.run("--resume", code=0)
    two.run("rerun", "a", code=0)
    (two.batch / "experiment_summary.json").unlink()
    two.run("rerun", "a", code=0)
    assert (two.batch / "experiment_summary.json").exists()
    assert (two.batch / "labels.json").read_bytes() == before
    assert read(two.batch / "labels.json") == {"schema": 1, "note": "mine", "tags": ["paper"]}


def test_labels_are_removed_one_by_one(two: Workspace) -> None:
    two.run("tag", "latest", "a", "b", "c", code=0)
    two.run("tag", "latest", "c", "a", "--remove", code=0)
    two.run("note", "latest", "x", code=0)
    two.run("note", "latest", "--remove", code=0)
    assert read(two.batch / "labels.json") == {"schema": 1, "note": None, "tags": ["b"]}
    assert "has no note" in two.run("note", "latest", code=0).stdout


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("tag", "latest", "two words"), "is not a tag"),
        (("tag", "latest", "a,b", "-"), "is not a tag"),
        (("tag", "latest", "x" * 51), "is not a tag"),
        (("tag", "latest", "gone", "--remove"), "gone: no such tag"),
        (("tag", "latest", "--remove"), "name the tags to remove"),
        (("tag", "nothing", "x"), "no such batch"),
        (("tag", "experiments", "x"), "is not a batch"),
        (("note", "latest", ""), "the note is empty"),
        (("note", "latest", "x", "--remove"), "give one of them"),
        (("note", "experiments", "x"), "is not a batch"),
    ],
)
def test_an_error_changes_no_label(two: Workspace, words: tuple[str, ...], cause: str) -> None:
    done = two.run(*words, code=2)
    assert cause in done.stderr and "Traceback" not in done.stderr
    assert not list(two.folder.rglob("labels.json"))


def test_labels_of_another_version_are_not_overwritten(two: Workspace) -> None:
    path = two.batch / "labels.json"
    for content in ('{"schema": 2, "note": "x"}', "{torn", "[]"):
        path.write_text(content)
        assert "labels.json: cannot be read" in two.run("tag", "latest", "paper", code=2).stderr
        assert path.read_text() == content
        assert "second" in two.run("list", code=0).stdout and "second" in two.run("status", code=0).stdout


def test_a_note_cannot_falsify_the_screen(two: Workspace) -> None:
    two.run("note", "latest", "a\nb\x1b[2Jc", code=0)
    assert len(two.run("list", code=0).stdout.splitlines()) == 2
    assert "a bc" in two.run("list", code=0).stdout


def test_two_commands_at_a_time_lose_no_tag(two: Workspace) -> None:
    names = [f"t{number}" for number in range(4)]
    command = [sys.executable, str(RUN_EXPERIMENTS), "tag", "latest"]
    processes = [subprocess.Popen([*command, name], cwd=two.folder, stdout=subprocess.DEVNULL) for name in names]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert sorted(read(two.batch / "labels.json")["tags"]) == names
