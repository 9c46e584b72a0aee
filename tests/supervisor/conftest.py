"""What several tests of supervisors need of the machine."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.supervisor import out_of_memory
from tests.conftest import wait_until


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the monotonic clock; a sleep moves it."""
    at = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: at[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: at.__setitem__(0, at[0] + seconds))
    return at


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A cgroup of version 1 or 2 with 64 MiB."""
    for path in out_of_memory.cgroup_files():
        parent = Path(path).parent
        group = parent / f"test-{uuid.uuid4().hex[:8]}"
        limit = group / ("memory.limit_in_bytes" if path.endswith("oom_control") else "memory.max")
        try:
            group.mkdir()
            limit.write_text(str(64 << 20))
        except OSError:
            continue
        yield group
        group.rmdir()
        return
    pytest.skip("no cgroup can be made here")


@pytest.fixture
def freezer() -> Iterator[Path]:
    """A cgroup whose processes can be frozen so that no signal reaches them: version 1 only."""
    group = Path("/sys/fs/cgroup/freezer") / f"test-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("there is no freezer of version 1 here")
    yield group
    (group / "freezer.state").write_text("THAWED")
    wait_until(lambda: not (group / "cgroup.procs").read_text(), "nothing is left in the group")
    group.rmdir()
