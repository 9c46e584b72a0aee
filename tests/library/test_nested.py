"""Experiments within experiments: locks know function and config, and nothing waits for itself."""

from __future__ import annotations

import pytest

from tests.conftest import Workspace
from tests.library_script import computed, folder, run

pytestmark = pytest.mark.slow

WAYS = pytest.mark.parametrize("words", [(), ("--isolate",)], ids=["in-process", "isolated"])

#: `evaluate` runs `train` with an equal config; INNER is the name of that config.
NESTED = """\
import runner

@runner.experiment
def train(config):
    with open("runs", "a") as file: file.write("train\\n")
    return config.lr

@runner.experiment
def evaluate(config):
    with open("runs", "a") as file: file.write("evaluate\\n")
    return train.run(configs=lambda: [{"name": "INNER", "lr": config.lr}])[0] + 1

if __name__ == "__main__":
    evaluate.run(configs=lambda: [{"name": "e", "lr": 0.5}], report=lambda configs, results: print(results))
"""


@WAYS
def test_an_experiment_within_another_one_may_have_an_equal_config(work: Workspace, words: tuple[str, ...]) -> None:
    work.write("main.py", NESTED.replace("INNER", "t"))
    assert run(work, *words).stdout == "[1.5]\n" == run(work, *words).stdout
    assert computed(work) == ["evaluate", "train"]
    assert folder(work, "e").is_dir() and folder(work, "t").is_dir()


@WAYS
def test_a_folder_in_which_another_function_is_at_work_is_left_alone(work: Workspace, words: tuple[str, ...]) -> None:
    work.write("main.py", NESTED.replace("INNER", "e"))
    done = run(work, *words, code=1)
    assert computed(work) == ["evaluate"]
    assert "is in use by another function with an equal config; give each its own output_dir" in done.stderr
    assert not list((work / "out").rglob("attempt_1"))


@WAYS
def test_an_experiment_that_calls_itself_with_an_equal_config_is_an_error(
    work: Workspace, words: tuple[str, ...]
) -> None:
    body = NESTED.replace("return train.run", "return evaluate.run").replace("INNER", "e")
    work.write("main.py", body)
    done = run(work, *words, code=1)
    assert computed(work) == ["evaluate"]
    assert "Incomplete: no result: e (main.evaluate calls itself" in done.stderr
    assert "change a key, or give run(output_dir=…)" in done.stderr


def test_the_words_of_the_command_line_are_those_of_the_outer_experiment(work: Workspace) -> None:
    work.write("main.py", NESTED.replace("INNER", "t"))
    assert run(work, "--only", "e").stdout == "[1.5]\n"
    assert computed(work) == ["evaluate", "train"]


def test_two_threads_compute_each_config_once(work: Workspace) -> None:
    """The second waits for the first: it is this process that has the lock, but another thread."""
    work.write(
        "main.py",
        """\
import threading, time
from pathlib import Path
import runner

@runner.experiment
def slow(config):
    with open("runs", "a") as file: file.write("slow\\n")
    Path("began").touch()
    while not Path("go").exists(): time.sleep(0.01)
    return 7

class Watch:
    def write(self, text):
        if "waiting for" in text: Path("go").touch()
    def flush(self): pass

if __name__ == "__main__":
    import sys
    sys.stderr = Watch()
    results = []
    def one(): results.append(slow.run(configs=lambda: [{"name": "a"}], args=[]))
    threads = [threading.Thread(target=one) for _ in range(2)]
    threads[0].start()
    while not Path("began").exists(): time.sleep(0.01)
    threads[1].start()
    for thread in threads: thread.join()
    print(results)
""",
    )
    assert run(work).stdout == "[[7], [7]]\n" and computed(work) == ["slow"]
