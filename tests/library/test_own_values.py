"""Each call of the function has values of its own: what it changes in its config changes nothing else."""

from __future__ import annotations

import pytest

from tests.conftest import Workspace
from tests.library_script import computed, run

pytestmark = pytest.mark.slow

WAYS = pytest.mark.parametrize("words", [(), ("--isolate",)], ids=["in-process", "isolated"])
SCRIPT = """\
import threading
from dataclasses import dataclass, field
from pathlib import Path
import numpy as np
import runner

@dataclass
class Net:
    w: list = field(default_factory=list)

@dataclass
class Settings:
    name: str
    k: int
    x: object
    def __post_init__(self): self.seen = []

@dataclass
class Locked:
    w: list
    def __post_init__(self): self.lock = threading.Lock()

X = SHARED

@runner.experiment
def experiment(config):
    with open("runs", "a") as file: file.write(config.name + "\\n")
    BODY

def configs():
    CONFIGS

if __name__ == "__main__":
    experiment.run(configs, lambda configs, results: print(results, [REPORTED for config in configs]))
"""
TWO = "return [{'name': 'a', 'k': 1, 'x': X}, {'name': 'b', 'k': 2, 'x': X}]"


def write(work: Workspace, shared: str, body: str, configs: str = TWO, reported: str = "config.k") -> None:
    text = SCRIPT.replace("SHARED", shared).replace("BODY", body.replace("\n", "\n    "))
    work.write("main.py", text.replace("CONFIGS", configs).replace("REPORTED", reported))


@pytest.mark.parametrize(
    ("shared", "body", "results"),
    [
        ("np.zeros(3)", "config.x += 1\nreturn float(config.x.sum())", "[3.0, 3.0]"),
        ("(np.zeros(3),)", "config.x[0][:] += 1\nreturn float(config.x[0].sum())", "[3.0, 3.0]"),
        ("Net([0])", "config.x.w.append(1)\nreturn len(config.x.w)", "[2, 2]"),
        ("{'net': Net([0])}", "config.x['net'].w.append(1)\nreturn len(config.x['net'].w)", "[2, 2]"),
    ],
    ids=["array", "array in a tuple", "dataclass", "dataclass in a dict"],
)
@WAYS
def test_a_value_of_two_configs_is_changed_in_neither(
    work: Workspace, words: tuple[str, ...], shared: str, body: str, results: str
) -> None:
    write(work, shared, body, reported="config.x")
    original = run(work, "--report", code=1)
    assert original.stdout == ""
    first, second = run(work, *words).stdout, run(work).stdout
    assert first == second and first.startswith(results)
    assert "1." not in first.partition("] ")[2] and "1]" not in first.partition("] ")[2]  # the report has the originals
    assert computed(work) == ["a", "b"]


@WAYS
def test_the_fields_of_a_dataclass_are_as_they_were_for_the_report(work: Workspace, words: tuple[str, ...]) -> None:
    body = "config.x.append('seen')\nconfig.seen.append(1)\nreturn len(config.x) + len(config.seen)"
    configs = "return [Settings('a', 1, X), Settings('b', 2, X)]"
    write(work, "[]", body, configs, "(config.x, config.seen)")
    assert run(work, *words).stdout == "[2, 2] [([], []), ([], [])]\n" == run(work).stdout


def test_one_array_under_two_keys_is_two_arrays(work: Workspace) -> None:
    """A config with two equal arrays has the same hash."""
    configs = "return [{'name': 'a', 'x': X, 'y': X}]"
    write(work, "np.zeros(3)", "config.x += 1\nreturn float(config.y.sum())", configs, "0")
    assert run(work).stdout == "[0.0] [0]\n"


@WAYS
def test_a_changed_value_that_cannot_be_copied_is_an_error(work: Workspace, words: tuple[str, ...]) -> None:
    write(work, "Locked([0])", "if config.k == 1: config.x.w.append(1)\nreturn len(config.x.w)")
    done = run(work, *words, code=1)
    assert "a: failed:" in done.stderr and "the function has changed config.x, which cannot be copied" in done.stderr
    assert ("No result: b (ChangedValue: the config is not what it was" in done.stderr) == (not words)
    assert run(work, "--only", "b").stdout == "[1] [2]\n"


def test_a_value_that_cannot_be_copied_and_is_not_changed_works(work: Workspace) -> None:
    write(work, "Locked([0])", "return len(config.x.w)")
    assert run(work).stdout == "[1, 1] [1, 2]\n"


def test_a_generator_may_use_one_dict_again(work: Workspace) -> None:
    configs = "config = {'name': 'a', 'layers': []}\n    for k in (1, 2):\n        config['k'] = k\n"
    configs += "        config['layers'].append(k)\n        yield config"
    write(work, "0", "return [config.k, config.layers]", configs, "config.layers")
    assert run(work).stdout == "[[1, [1]], [2, [1, 2]]] [[1], [1, 2]]\n" == run(work).stdout


def test_a_value_that_the_program_changes_behind_a_config_is_an_error(work: Workspace) -> None:
    write(work, "np.zeros(3)", "X[:] += 1\nreturn float(config.x.sum())")
    done = run(work, code=1)
    assert "[1/2] a: completed" in done.stderr and "No result: b (ChangedValue: the config is not" in done.stderr
    assert run(work, code=0).stdout == "[0.0, 0.0] [1, 2]\n"
