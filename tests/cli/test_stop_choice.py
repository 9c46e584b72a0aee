"""`stop` without a name: the batch that runs; of several, the one that is chosen on the terminal."""

from __future__ import annotations

import json
import sys

from tests.conftest import RUN_EXPERIMENTS, Workspace, wait_until
from tests.terminals import Terminal

COMMAND = ("--command", "sh {config}", "--grace", "1,0.3,5", "--detach")


def states(work: Workspace) -> dict[str, str]:
    return {one["name"]: one["state"] for one in json.loads(work.run("list", "--json", code=0).stdout)}


def start(work: Workspace, name: str) -> str:
    """The name of a batch that runs in the background."""
    work.write("c/a.sh", "sleep 60\n")
    work.run("--configs", "c/a.sh", *COMMAND, "--name", name, code=0)
    return wait_until(lambda: next((it for it, how in states(work).items() if (name, how) == (it[:1], "running")), ""),
                      "it runs")  # fmt: skip


def test_the_one_that_runs_is_meant_also_if_another_one_is_later(work: Workspace) -> None:
    first = start(work, "x")
    work.write("c/b.sh", "true\n")
    work.run("--configs", "c/b.sh", "--command", "sh {config}", "--name", "y", code=0)
    assert first in work.run("stop", code=0).stdout
    assert states(work)[first] == "stopped"


def test_of_several_one_is_chosen_on_the_terminal(work: Workspace) -> None:
    first, second = start(work, "x"), start(work, "z")
    terminal = Terminal(work.folder, [sys.executable, str(RUN_EXPERIMENTS), "stop"])
    terminal.expect("stop which one", "the question")
    terminal.type("\n")
    terminal.expect("nothing was stopped", "no answer")
    assert terminal.process.wait(20) == 2 and set(states(work).values()) == {"running"}
    terminal = Terminal(work.folder, [sys.executable, str(RUN_EXPERIMENTS), "stop"])
    asked = terminal.expect("stop which one", "the question")
    number = next(line.split()[0] for line in asked.splitlines() if first in line)
    terminal.type(f"{number}\n")
    terminal.expect("interrupted", "its end")
    assert terminal.process.wait(20) == 0
    assert states(work) == {first: "stopped", second: "running"}
    work.run("stop", code=0)
