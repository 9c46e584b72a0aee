"""The CPUs that may be used: affinity and quotas, of both versions of control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.processes import cpus


def groups(folder: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """A tree of control groups, and the file that says which of them are ours."""
    for name, text in files.items():
        path = folder / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "own").write_text(own)
    return folder / "groups", folder / "own"


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {}, 64.0),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64.0),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "800000 100000\n"}, 2.0),
        ("0::/host/path/that/is/not/here\n", {"cpu.max": "400000 100000\n"}, 4.0),
        ("4:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "300000\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 3.0),
        ("4:cpu:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 64.0),
        ("5:cpuset:/a\n", {"cpuset/a/cpu.max": "100000 100000\n"}, 64.0),
        ("0::/\n", {"cpu.max": "nonsense\n"}, 64.0),
    ],
)
def test_a_quota_limits_the_cpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, files: dict[str, str], expected: float
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    assert cpus.usable(*groups(tmp_path, own, files)) == expected


def test_the_affinity_counts_and_not_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert cpus.usable(*groups(tmp_path, "", {})) == 2.0


def test_a_system_without_control_groups_has_its_cpus(tmp_path: Path) -> None:
    assert cpus.usable(tmp_path / "none", tmp_path / "nothing") >= 1.0
