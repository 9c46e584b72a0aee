"""The cause of a program's end, found in its last output: a corpus of what programs print when they fail."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from runner.supervisor import error_cause
from tests.conftest import PROJECT

CORPUS = PROJECT / "tests" / "data" / "error_causes.txt"
TRACE = """\
Traceback (most recent call last):
  File "train.py", line 90, in <module>
    main()
"""
RANKS = """\
[rank1]: Traceback (most recent call last):
[rank0]: Traceback (most recent call last):
[rank1]:   File "t.py", line 3, in <module>
[rank0]:   File "t.py", line 5, in <module>
[rank1]: ValueError: shard 1 is empty
[rank0]:     dist.barrier()
[rank0]: torch.distributed.DistBackendError: NCCL communicator was aborted on rank 0
"""


def corpus() -> Iterator[tuple[str, str, str, str]]:
    """What each example is about, stderr, stdout and the cause."""
    for example in CORPUS.read_text().split("===== ")[1:]:
        about, _, text = example.partition("\n")
        output, _, cause = text.partition("--- cause\n")
        stderr, _, stdout = output.partition("--- stdout\n")
        yield about, stderr, stdout, cause.rstrip("\n")


EXAMPLES = list(corpus())


@pytest.mark.parametrize(("stderr", "stdout", "cause"), [it[1:] for it in EXAMPLES], ids=[it[0] for it in EXAMPLES])
def test_the_cause_is_found(stderr: str, stdout: str, cause: str) -> None:
    found = error_cause.find(stderr.split("\n"), stdout.split("\n")).text
    assert found == cause or (cause.endswith("…") and found.startswith(cause[:-1]))


def test_the_corpus_is_large_and_its_causes_differ() -> None:
    assert len(EXAMPLES) >= 60 and len({example[0] for example in EXAMPLES}) == len(EXAMPLES)
    assert sum(not example[3] for example in EXAMPLES) >= 8  # where nothing is a cause


def test_a_traceback_is_kept_from_its_first_exception_on() -> None:
    chained = "KeyError: 1\n\nDuring handling of the above exception, another exception occurred:\n\n"
    found = error_cause.find(("starting\n" + TRACE + chained + TRACE + "ValueError: 2\n").split("\n"), [])
    assert found.traceback.startswith("Traceback") and found.traceback.endswith("ValueError: 2\n")
    assert "KeyError: 1" in found.traceback and "starting" not in found.traceback


def test_a_traceback_of_a_rank_is_kept_without_its_prefixes_and_without_the_other_ranks() -> None:
    details = error_cause.find(RANKS.split("\n"), []).traceback
    assert details.endswith("ValueError: shard 1 is empty\n") and "[rank" not in details and "barrier" not in details


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        (["\x1b[31mTraceback (most recent call last):\x1b[0m", '  File "t.py"', "\x1b[1mValueError\x1b[0m: red"],
         "ValueError: red"),
        (["\x1b[1;31mFATAL\x1b[0m: no data", "\x1b[32mINFO\x1b[0m bye"], "FATAL: no data"),
    ],
)  # fmt: skip
def test_colours_are_no_part_of_a_cause(lines: list[str], cause: str) -> None:
    assert error_cause.find(lines, []).text == cause


def test_what_stdout_shows_later_makes_a_traceback_a_logged_one() -> None:
    stderr = (TRACE + "ZeroDivisionError: x\n").split("\n")
    assert error_cause.find(stderr, ["step 9 loss 0.2"]).text == "ZeroDivisionError: x"
    assert error_cause.find(stderr, ["step 9 loss 0.2"], went_on=True).text == ""
    assert error_cause.find(stderr, ["step 9 loss 0.2", "FATAL: disk"], went_on=True).text == "FATAL: disk"


LINES = ["", "word", "ValueError: x", "  File x", "iter 5: loss 0.3"]
LINES += ["x" * 200_000, "7" * 200_000, "7 " * 100_000, "a_b " * 50_000, "[" * 200_000]


@pytest.mark.parametrize("line", LINES)
def test_strange_output_is_read_quickly(line: str) -> None:
    lines = [line] * max(1, (1 << 18) // (len(line) + 1))
    began = time.process_time()
    error_cause.find(lines, lines)
    assert time.process_time() - began < 3


def test_the_last_output_of_a_stopped_program_is_not_the_tracebacks_of_its_processes() -> None:
    interrupted = ["Traceback (most recent call last):", '  File "t.py", line 9, in <module>', "    time.sleep(300)"]
    stderr = ["loading the corpus", *interrupted, "KeyboardInterrupt", *interrupted[:2], "KeyboardInterrupt"]
    assert error_cause.last_output(stderr, []) == "loading the corpus"
    assert error_cause.last_output(stderr[1:], ["epoch 3"]) == "epoch 3"
