"""`doctor` says what a report of an error needs, and no secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner import __version__
from runner.cli import checkup
from tests.conftest import Workspace


def test_it_names_versions_limits_and_the_folder_without_secrets(work: Workspace) -> None:
    given = {"OVERNIGHT_SLACK_URL": "https://hooks.example/very-secret", "HOME": str(work.folder)}
    given["RUNNER_GPU_PROBE"] = "no-such-program"
    done = work.run("doctor", env=given, code=0)
    for word in (__version__, "python", "pydantic", "open files", "file system", "no-such-program"):
        assert word in done.stdout
    assert "slack" in done.stdout and "very-secret" not in done.stdout and "not made yet; checked: " in done.stdout
    assert list(work.folder.iterdir()) == []
    found = json.loads(work.run("doctor", "--json", env=given, code=0).stdout)
    assert found["Programs"]["overnight"].startswith(__version__)
    assert found["Folder of the batches"]["lock"] == found["Folder of the batches"]["write and rename"] == "works"


def test_what_would_disturb_a_batch_is_marked(work: Workspace) -> None:
    work.write("notify.toml", "[ntfy]\ntopic = 'x'\n").chmod(0o644)
    done = work.run("doctor", env={"OVERNIGHT_NOTIFY_FILE": str(work / "notify.toml")}, code=1)
    (marked,) = [line for line in done.stdout.splitlines() if line.startswith("  ! ")]
    assert "others can read it" in marked


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(checkup.atomic, "write_bytes", refuse)
    found = {one.name: one for one in checkup.checked(tmp_path)["Folder of the batches"]}
    assert found["write and rename"].bad and "Read-only" in found["write and rename"].value and not found["lock"].bad
