"""What is recorded of examples of failed jobs: a cause, whether it is sure, and the line that shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.core.causes import CAUSES
from runner.disk import layout
from tests.causes.corpus import STAMP, Example, examples, recorded, table
from tests.conftest import PROJECT

EXAMPLES = list(examples())


@pytest.mark.parametrize("example", EXAMPLES, ids=[one.about for one in EXAMPLES])
def test_the_cause_is_recorded_with_its_evidence(example: Example, tmp_path: Path) -> None:
    found = recorded(example, tmp_path / "a")
    assert (found.cause or "none", found.sure) == (example.cause, example.sure), found.evidence
    if example.evidence:
        assert found.evidence is not None and example.evidence in found.evidence["line"]
        log = tmp_path / "a" / found.evidence["file"]
        there = log.read_bytes()[found.evidence["offset"] :].decode()
        assert there.startswith(STAMP) and example.evidence in there.partition("\n")[0]


def test_the_corpus_is_large_and_has_every_cause_and_near_misses() -> None:
    assert len(EXAMPLES) >= 120 and len({one.about for one in EXAMPLES}) == len(EXAMPLES)
    assert {one.cause for one in EXAMPLES} == {*CAUSES, "none"} - {"command_line"}  # that one needs a command line
    assert sum("near miss" in one.about for one in EXAMPLES) >= 25


def test_the_document_shows_the_table_of_the_corpus(tmp_path: Path) -> None:
    found = [(one, recorded(one, tmp_path / str(number))) for number, one in enumerate(EXAMPLES)]
    text = (PROJECT / "docs" / "failures.md").read_text()
    assert "\n".join(table(found)) in text and f"{len(EXAMPLES)} examples" in text


def test_evidence_lies_where_it_is_said_in_a_log_that_is_longer_than_what_is_read(tmp_path: Path) -> None:
    one = next(one for one in EXAMPLES if one.cause == "gpu_oom" and one.sure)
    long = one._replace(
        stderr="".join(f"iter {number}: loss 2.5 of a long line\n" for number in range(20_000)) + one.stderr
    )
    found = recorded(long, tmp_path / "a")
    assert found.evidence is not None
    assert one.evidence in (tmp_path / "a" / layout.STDERR).read_bytes()[found.evidence["offset"] :][:200].decode()
