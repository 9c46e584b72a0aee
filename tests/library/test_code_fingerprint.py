"""The code fingerprint: which changes make a result stale, and what is done with one that is."""

from __future__ import annotations

import pytest

from tests.conftest import PROJECT, Workspace
from tests.library_script import computed, folder, meta, run

MAIN = """\
import math
import runner
import helper
from package.deep import shape
from helper import scale

RATE = 2

def twice(x):
    return RATE * x

class Net:
    def depth(self): return 3

@runner.experiment
def experiment(config):
    import late
    with open("runs", "a") as file: file.write(config.name + "\\n")
    return twice(scale(config.x)) + Net().depth() + late.VALUE + shape(1)

def configs():
    return [{"name": "a", "x": 1}]

def report(configs, results):
    print(results)

if __name__ == "__main__":
    experiment.run(configs, report)
"""
HELPER = "import below\ndef scale(x):\n    return x * below.FACTOR\n"


@pytest.fixture
def project(work: Workspace) -> Workspace:
    work.write("main.py", MAIN)
    work.write("helper.py", HELPER)
    work.write("below.py", "FACTOR = 1\n")
    work.write("late.py", "VALUE = 0\n")
    work.write("unused.py", "X = 1\n")
    work.write("package/__init__.py", "")
    work.write("package/deep.py", "from .near import side\ndef shape(x): return side(x)\n")
    work.write("package/near.py", "def side(x): return x\n")
    run(work)
    return work


#: what is changed, in which file, from what to what
CHANGES = {
    "the function": ("main.py", "+ Net()", "- Net()"),
    "a function that it calls": ("main.py", "RATE * x", "x * RATE"),
    "a constant": ("main.py", "RATE = 2", "RATE = 3"),
    "a class that it uses": ("main.py", "return 3", "return 4"),
    "a module that it imports": ("helper.py", "x * below", "x + below"),
    "a module below that": ("below.py", "= 1", "= 2"),
    "a module imported when it runs": ("late.py", "= 0", "= 1"),
    "a module of a package": ("package/deep.py", "side(x)", "side(x) + 0"),
    "one imported from beside it": ("package/near.py", "return x", "return -x"),
}
HARMLESS = {
    "a comment": ("main.py", "RATE = 2", "RATE = 2  # a comment"),
    "the layout": ("helper.py", "return x * below", "return  x  *  below"),
    "the report": ("main.py", "print(results)", "print(*results)"),
    "the configs' function": ("main.py", '"x": 1}]', '"x": 1}] + []'),
    "a module that nobody imports": ("unused.py", "1", "2"),
    "a decorator": ("main.py", "@runner.experiment", "@runner.experiment()"),
}


def change(work: Workspace, file: str, old: str, new: str) -> None:
    text = (work / file).read_text()
    assert old in text
    work.write(file, text.replace(old, new))


@pytest.mark.parametrize("what", CHANGES)
def test_changed_code_is_used_and_reported_as_stale(project: Workspace, what: str) -> None:
    change(project, *CHANGES[what])
    done = run(project)
    assert "Stale: the code has changed since a was computed" in done.stderr and done.stdout == "[6]\n"
    assert computed(project) == ["a"]


@pytest.mark.parametrize("what", HARMLESS)
def test_what_cannot_change_a_result_makes_nothing_stale(project: Workspace, what: str) -> None:
    change(project, *HARMLESS[what])
    assert "Stale" not in run(project).stderr and computed(project) == ["a"]


def test_what_is_done_with_a_stale_result_can_be_chosen(project: Workspace) -> None:
    change(project, *CHANGES["a constant"])
    assert "Stale" in run(project, "--report").stderr
    assert "Stale" not in run(project, "--code", "ignore").stderr and computed(project) == ["a"]
    assert "the code has changed" in run(project, "--code", "rerun", "--dry-run").stdout
    assert run(project, "--code", "rerun").stdout == "[7]\n" and computed(project) == ["a", "a"]
    assert "Stale" not in run(project).stderr and computed(project) == ["a", "a"]


def test_another_version_is_computed_again_whatever_the_code(project: Workspace) -> None:
    change(project, "main.py", "@runner.experiment", "@runner.experiment(version=2)")
    assert "version None became 2" in run(project, "--dry-run").stdout
    assert "a (not computed)" in run(project, "--report", code=1).stderr
    run(project, "--code", "ignore")
    assert computed(project) == ["a", "a"] and meta(folder(project, "a"))["version"] == "2"
    run(project)
    assert computed(project) == ["a", "a"]


def test_a_project_that_was_moved_keeps_its_results(project: Workspace) -> None:
    moved = project.folder / "elsewhere"
    moved.mkdir()
    for path in list(project.folder.iterdir()):
        if path != moved:
            path.rename(moved / path.name)
    inside = Workspace(moved)
    assert "Stale" not in run(inside).stderr and computed(inside) == ["a"]


def test_installed_packages_do_not_count(work: Workspace) -> None:
    work.write("site-packages/lib.py", "X = 1\n")
    main = MAIN.replace("import helper\n", "import lib\n").replace("from helper import scale\n", "scale = abs\n")
    main = main.replace("from package.deep import shape", "shape = abs").replace("    import late\n", "")
    work.write("main.py", main.replace("late.VALUE", "lib.X"))
    run(work, PYTHONPATH=f"{work / 'site-packages'}:{PROJECT}")
    work.write("site-packages/lib.py", "X = 2\n")
    done = run(work, PYTHONPATH=f"{work / 'site-packages'}:{PROJECT}")
    assert "Stale" not in done.stderr and computed(work) == ["a"]


def test_code_without_a_text_counts_too() -> None:
    from runner.library.code_fingerprint import fingerprint

    made = []
    for body in ("x + 1", "x + 2", "x + 1"):
        scope: dict[str, object] = {}
        exec(f"def f(x): return {body}", scope)
        made.append(fingerprint(scope["f"]))  # type: ignore[arg-type]
    assert made[0] == made[2] != made[1]


def test_what_a_closure_holds_counts() -> None:
    from runner.library.code_fingerprint import fingerprint

    def scaled(factor: int) -> object:
        def function(x: int) -> int:
            return x * factor

        return function

    assert fingerprint(scaled(1)) == fingerprint(scaled(1)) != fingerprint(scaled(2))  # type: ignore[arg-type]
