"""The program that changes the code: it knows every module and test by its name, and makes the changes that count."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

sys.path.insert(0, str(PROJECT / "bench"))

from mutation import targets
from mutation.targets import TESTS, modules, package_of


def test_what_is_named_exists() -> None:
    assert [start for start in TESTS if not list(PROJECT.glob(f"{start}*"))] == []
    named = {name for tests in TESTS.values() for some in tests for name in some}
    assert [name for name in named if not (PROJECT / name).exists()] == []


def test_every_module_of_the_core_has_tests() -> None:
    found = set(modules())
    assert {"runner/disk/atomic.py", "runner/engine/queue.py", "runner/planners/select.py", "model/masks.py"} <= found
    assert all(any(targets.tests_of(module)) for module in found)
    assert {package_of(module) for module in found} == {
        "runner/core", "runner/disk", "runner/supervisor", "runner/engine", "runner/planners/select.py",
        "pure modules of the training",
    }  # fmt: skip


IDLE = """\
@lru_cache(5)
def write(path: str, other: int = 3 * left, *, links: int = 7) -> list[int]:
    return [one for one, _ in zip(path, other, strict=True)]
def read(*, links: bool) -> None: ...
"""
SOURCE = '''\
def write(path: str | None, left: int = 3) -> int | None:
    """Words."""
    while left > 1 and path:
        os.fsync(left)
        left -= 1
    return left
'''


def changes(source: str) -> set[str]:
    mutate = pytest.importorskip("mutation.mutate", reason="cosmic-ray is not installed")
    return {mutate.mutant(place, source).after for place in mutate.places("m.py", source)}


def test_calls_are_left_out_and_operators_numbers_and_conditions_changed() -> None:
    found = changes(SOURCE)
    assert {"pass", "while left >= 1 and path:", "while left > 1 or path:", "while left > 2 and path:"} <= found


def test_annotations_and_docstrings_are_left_alone() -> None:
    assert {line for line in changes(SOURCE) if "def" in line} == {
        "def write(path: str | None, left: int = 4) -> int | None:",
        "def write(path: str | None, left: int = 2) -> int | None:",
    }  # fmt: skip


def test_sizes_of_caches_marks_of_named_arguments_and_strict_zips_are_left_alone() -> None:
    assert changes(IDLE) == {
        f"def write(path: str, other: int = {default}, *, links: int = {links}) -> list[int]:"
        for default, links in (("3 / left", 7), ("4 * left", 7), ("2 * left", 7), ("3 * left", 8), ("3 * left", 6))
    }


def test_a_list_of_changes_that_make_no_difference_has_a_reason_for_each() -> None:
    lines = Path(PROJECT / "bench/mutation/equivalent.txt").read_text().splitlines()
    rows = [line.split(" | ") for line in lines if line and not line.startswith("#")]
    assert all(len(row) == 4 and all(row) and row[0] in set(modules()) for row in rows)
