"""The examples of failed jobs in tests/causes/examples, and what is recorded of each. `python -m tests.causes.corpus`
prints the confusion table that docs/failures.md shows.

All of it is written for the tests, in the manner of the programs. After `=====` what an example is about, then its last
output on stderr, with `@@` for the head of a traceback; after `--- stdout` that on stdout. The last line has the cause,
whether it is sure, how the program ended (`exit=`, else 1; `signal=`; `after=` seconds), and a part of the line that is
the evidence.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from runner.core.causes import CAUSES
from runner.disk import layout
from runner.supervisor.explanation import Explanation, explain
from runner.supervisor.out_of_memory import KillCounters
from runner.supervisor.outcome import Ending
from tests.faults import request

FOLDER = Path(__file__).parent / "examples"
TRACE = """\
Traceback (most recent call last):
  File "/proj/train.py", line 90, in <module>
    main()
  File "/proj/train.py", line 71, in main
    loss = model(x, y)
           ^^^^^^^^^^^
"""
STAMP = "2026-11-26 02:00:01.123 "


class Example(NamedTuple):
    """`cause` is `none` for a job that completed."""

    about: str
    stderr: str
    stdout: str
    cause: str
    sure: bool
    exit: int
    signal: str | None
    seconds: float
    evidence: str


def examples() -> Iterator[Example]:
    for path in sorted(FOLDER.glob("*.txt")):
        for text in path.read_bytes().decode().split("\n===== ")[1:]:
            about, _, text = text.partition("\n")
            output, _, expected = text.rstrip("\n").rpartition("--- ")
            stderr, _, stdout = output.replace("@@\n", TRACE).partition("--- stdout\n")
            words, _, evidence = expected.partition("|")
            cause, *more = words.split()
            given = dict(word.split("=") for word in more if "=" in word)
            yield Example(
                f"{path.stem}: {about}", stderr, stdout, cause, "sure" in more, int(given.get("exit", 1)),
                given.get("signal"), float(given.get("after", 300)), evidence.strip(),
            )  # fmt: skip


def recorded(example: Example, folder: Path) -> Explanation:
    """What the supervisor says of a job that printed the example and ended so."""
    asked = request(folder, "python", "train.py")
    for name, text in ((layout.STDERR, example.stderr), (layout.STDOUT, example.stdout)):
        lines = text.split("\n")[:-1]
        (folder / name).write_bytes("".join(f"{STAMP}{line}\n" for line in lines).encode())
    if example.exit == 0:
        return Explanation("")
    end = Ending("killed", None, example.signal) if example.signal else Ending("failed", example.exit, None)
    return explain(end, asked, KillCounters(), example.seconds)


def table(found: Iterable[tuple[Example, Explanation]]) -> list[str]:
    """A row for each cause that is right: how often which one was recorded; `?` for what is not sure."""
    pairs = Counter(
        (one.cause + ("" if one.sure or one.cause in ("none", "unknown") else "?"),
         (got.cause or "none") + ("" if got.sure or got.cause in ("", "unknown") else "?"))
        for one, got in found
    )  # fmt: skip
    names = [name for cause in (*CAUSES, "none") for name in (cause, f"{cause}?")]
    names = [name for name in names if any(name in pair for pair in pairs)]
    lines = ["| written as | examples | recorded as |", "|---|---|---|"]
    for name in names:
        row = {got: number for (right, got), number in sorted(pairs.items()) if right == name}
        if row:
            told = ", ".join(f"{number} `{got}`" for got, number in row.items())
            lines.append(f"| `{name}` | {sum(row.values())} | {told} |")
    return lines


def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        found = [(one, recorded(one, Path(root) / str(number))) for number, one in enumerate(examples())]
    print("\n".join(table(found)))
    sure = [(one, got) for one, got in found if got.sure]
    wrong = [one.about for one, got in sure if one.cause != got.cause]
    print(f"\n{len(found)} examples, {len(sure)} recorded as sure, {len(wrong)} of them wrong {wrong or ''}".rstrip())


if __name__ == "__main__":
    main()
