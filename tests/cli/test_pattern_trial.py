"""Patterns of the user that would search one line without end are refused before anything starts."""

from __future__ import annotations

import pytest

from runner.cli.pattern_trial import endless_on
from runner.output.pattern import LONGEST, Pattern
from tests.conftest import Workspace

USUAL = [
    r"step (?P<step>\d+) err=(?P<val_loss>\S+)",
    r".*loss=(?P<loss>\S+).*acc=(?P<acc>\S+)",
    r"\[(?P<step>\d+)/(?P<total>\d+)\].*?loss: (?P<loss>[-+.\deE]+)",
    r"(?i)((\S+)=(\S+)\s+)*end (?:of )?(?P<epoch>\d{1,4})|(?P<loss>[^,;]+)$",
]


@pytest.mark.parametrize("pattern", USUAL)
def test_what_people_write_is_accepted(pattern: str) -> None:
    Pattern(pattern)
    assert endless_on(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "line"), [(r"(?P<loss>(a+)+$)", "aaaaa"), (r"step (\d+\s*)+loss (?P<loss>\S+)", "step 00000")]
)
def test_a_pattern_that_searches_without_end_is_found(pattern: str, line: str) -> None:
    assert (endless_on(pattern) or "").startswith(line)


def test_it_is_an_error_before_anything_starts(work: Workspace) -> None:
    work.write("c/a.sh", "touch ran")
    pattern = "(?P<loss>(a+)+$)"
    done = work.run("--configs", "c/*.sh", "--command", "sh {config}", "--metric_pattern", pattern, code=2)
    assert f"--metric_pattern: {pattern!r} may search without end" in done.stderr
    assert not (work / "ran").exists() and not (work / "experiments").exists()


def test_a_long_line_is_not_searched() -> None:
    pattern = Pattern(r"loss (?P<loss>\d+)")
    assert pattern("loss 1".rjust(LONGEST)) is not None and pattern("loss 1".rjust(LONGEST + 1)) is None
