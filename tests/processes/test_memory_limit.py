"""The memory that may be used: that of the machine, and limits of both versions of control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.processes import memory_limit
from tests.processes.test_cpus import groups

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {}, MACHINE),
        ("0::/a\n", {"a/memory.max": "max\n"}, MACHINE),
        ("0::/a/b\n", {"a/memory.max": "5000000\n", "a/b/memory.max": "8000000\n"}, 5_000_000),
        ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": "7000000\n"}, 7_000_000),
        ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": f"{2**63 - 4096}\n"}, MACHINE),
        ("5:cpuset:/a\n", {"cpuset/a/memory.max": "5000000\n"}, MACHINE),
        ("0::/\n", {"memory.max": "nonsense\n"}, MACHINE),
    ],
)
def test_a_control_group_limits_the_memory(tmp_path: Path, own: str, files: dict[str, str], expected: int) -> None:
    assert memory_limit.limit(*groups(tmp_path, own, files)) == expected
