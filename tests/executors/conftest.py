"""What several tests of executors need of the machine."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOTS = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))  # version 1, version 2


@pytest.fixture
def process_group() -> Iterator[Path]:
    """A cgroup whose number of processes can be limited."""
    for root in ROOTS:
        group = root / f"test-{uuid.uuid4().hex[:8]}"
        try:
            group.mkdir()
        except OSError:
            continue
        if os.access(group / "pids.max", os.W_OK):
            yield group
            group.rmdir()
            return
        group.rmdir()
    pytest.skip("no cgroup can be made here")
