"""Whose result it is: functions of one name in two files or notebooks, renamed ones, keys that do not count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT, Workspace
from tests.library_script import computed, folder, meta, run, script

pytestmark = pytest.mark.slow

EXPERIMENT = """\
import runner
@runner.experiment
def exp(config):
    'What it does.'
    with open("runs", "a") as file: file.write("RESULT\\n")
    return "RESULT"
"""
ONE = "lambda: [{'name': 'n', 'x': 1}]"
MAIN = EXPERIMENT + f"if __name__ == '__main__':\n    exp.run({ONE}, print, OUT)\n"
FOREIGN = "holds a result of main.exp in a/main.py, not of main.exp in b/main.py; give each its own output_dir"


@pytest.mark.parametrize("out", ["'out'", "SHARED"], ids=["in the project", "elsewhere"])
def test_two_scripts_of_one_name_do_not_share_results(work: Workspace, tmp_path_factory: Any, out: str) -> None:
    shared = repr(str(tmp_path_factory.mktemp("shared") / "out"))
    for name in "ab":
        work.write(f"{name}/main.py", MAIN.replace("RESULT", name).replace("OUT", out.replace("SHARED", shared)))
    assert run(work, program="a/main.py").stdout.endswith("['a']\n")
    done = run(work, program="b/main.py", code=1)
    assert "a/main.py, not of main.exp in " in done.stderr and computed(work) == ["a"]
    if out == "'out'":
        assert FOREIGN in done.stderr
    assert run(work, program="a/main.py").stdout.endswith("['a']\n") and computed(work) == ["a"]


def test_a_script_is_the_same_as_a_module_and_as_an_import(work: Workspace) -> None:
    work.write("pkg/__init__.py", "")
    path = work.write("pkg/main.py", MAIN.replace("OUT", "'out'"))
    ways = ("pkg/main.py",), ("-m", "pkg.main"), ("-c", f"import pkg.main as m; m.exp.run({ONE})")
    for number, words in enumerate(ways):
        path.write_text(path.read_text() + f"    # {number}\n")
        done = run(work, *words[1:], program=words[0])
        assert "from the cache" in done.stderr or number == 0
        path.write_text(path.read_text().replace("'RESULT'", "'RESULT' + ''"))  # it is stale, and still its own
    assert computed(work) == ["RESULT"]


NOTEBOOK = """\
import linecache, sys
sys.modules["__main__"].__dict__.pop("__file__", None)
text, name = CELL, "/tmp/ipykernel_1/1.py"
linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
exec(compile(text, name, "exec"), sys.modules["__main__"].__dict__)
"""


def test_two_notebooks_in_one_folder_do_not_share_results(work: Workspace) -> None:
    for name in "ab":
        cell = EXPERIMENT.replace("RESULT", name) + f"try: print(exp.run({ONE}))\nexcept Exception as e: print(e)\n"
        work.write(f"kernel_{name}.py", NOTEBOOK.replace("CELL", repr(cell)))
    path = str(work / "NAME.ipynb")
    assert run(work, program="kernel_a.py", JPY_SESSION_NAME=path.replace("NAME", "a")).stdout == "['a']\n"
    out = run(work, program="kernel_b.py", JPY_SESSION_NAME=path.replace("NAME", "b")).stdout
    assert "exp in a.ipynb, not of" in out and "exp in b.ipynb" in out and computed(work) == ["a"]
    assert run(work, program="kernel_a.py", JPY_SESSION_NAME=path.replace("NAME", "a")).stdout == "['a']\n"


def earlier(path: Path) -> None:
    """Make a record what version 0.1.0 would have written: its fingerprint is that of the released function."""
    record = json.loads((path / "meta.json").read_text())
    record.pop("file")
    record.pop("adopted_from", None)
    (path / "meta.json").write_text(json.dumps({**record, "schema": 1, "code": "0" * 16}))


def test_results_of_the_first_version_are_claimed_while_their_code_is_unchanged(work: Workspace) -> None:
    from tests.released import restore

    restore(PROJECT / "tests" / "data" / "0.1.0" / "library", work.folder)
    (work / "repaired").touch()
    before = meta(folder(work, "complete"))
    assert (before["schema"], before.get("file")) == (1, None)
    run(work)
    for name in ("complete", "equal", "isolated", "waiting"):
        now = meta(folder(work, name))
        assert (now["schema"], now["file"], now["function"]) == (2, "main.py", "main.experiment")
    now = meta(folder(work, "complete"))
    assert {**before, **{key: now[key] for key in ("schema", "file", "code")}} == now
    assert (work / "starts").read_text().split() == ["broken", "sleeper", "waiting"]
    text = (work / "main.py").read_text()
    work.write("main.py", text.replace("experiment(config: Config) -> dict[str, float]:", "experiment(config: Config) "
                                       "-> dict[str, float]:\n    'A docstring.'"))  # fmt: skip
    assert "Stale" not in run(work).stderr
    work.write("main.py", text.replace("2 * config.lr", "3 * config.lr"))
    assert "Stale" in run(work).stderr
    work.write("other/main.py", text.replace("2 * config.lr", "4 * config.lr"))
    assert "not of main.experiment in other/main.py" in run(work, program="other/main.py", code=1).stderr


def test_results_of_the_first_version_whose_code_has_changed_stay_stale_and_unclaimed(work: Workspace) -> None:
    script(work, "return config.x", "[{'name': 'a', 'x': 1}]")
    run(work)
    earlier(folder(work, "a"))
    before = (folder(work, "a") / "meta.json").read_text()
    for _ in range(2):
        done = run(work)
        assert done.stdout == "['a'] [1]\n" and "Stale" in done.stderr and computed(work) == ["a"]
    assert (folder(work, "a") / "meta.json").read_text() == before


def test_results_of_a_renamed_function_are_adopted(work: Workspace) -> None:
    configs = "[{'name': 'a', 'x': 1}, {'x': 2}, {'name': 'c', 'x': 3}]"  # the second is called as the function
    path = script(work, "return config.x", configs)
    run(work)
    text = path.read_text().replace("experiment", "train").replace("runner.train", "runner.experiment")
    work.write("main.py", text.replace("return config.x", "return config.x + 0").replace("'x': 3", "'x': 4"))
    assert "a (" in run(work, code=1).stderr
    (work / "out").joinpath(folder(work, "train").name).rename(work / "thrown")
    work.write("runs", "")
    done = run(work, "--adopt", "experiment")
    assert "Adopted from experiment: a-" in done.stderr and done.stdout == "['a', 'train', 'c'] [1, 2, 4]\n"
    assert computed(work) == [] and "Stale" not in done.stderr
    record = meta(folder(work, "a"))
    assert record["function"] == "main.train" and record["adopted_from"]["function"] == "main.experiment"
    assert record["adopted_from"]["file"] == "main.py" and record["adopted_from"]["code"] != record["code"]
    assert meta(folder(work, "train"))["copied_from"] == str(folder(work, "experiment"))
    assert "3 from the cache" in run(work).stderr and "Adopted" not in run(work, "--adopt", "experiment").stderr


def test_results_of_a_renamed_and_changed_file_are_adopted(work: Workspace) -> None:
    path = script(work, "return config.x", "[{'name': 'a', 'x': 1}]")
    run(work)
    work.write("train.py", path.read_text().replace("return config.x", "return config.x + 0"))
    assert "--adopt main.experiment if it was renamed" in run(work, program="train.py", code=1).stderr
    for words in (("--adopt", "main.py:experiment"), ()):
        assert run(work, *words, program="train.py").stdout == "['a'] [1]\n" and computed(work) == ["a"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--adopt", "none"], "--adopt none: has no result for these configs; there are results of main.experiment"),
        (["--adopt", "x", "--rerun"], "--adopt changes records of results; use it without"),
    ],
)
def test_nothing_is_computed_where_there_is_nothing_to_adopt(work: Workspace, words: list[str], message: str) -> None:
    path = script(work, "return config.x", "[{'name': 'a', 'x': 1}]")
    run(work)
    work.write("main.py", path.read_text().replace("'x': 1}]", "'x': 1}, {'name': 'b', 'x': 2}]"))
    done = run(work, *words, code=2)
    assert message in done.stderr and computed(work) == ["a"]


@pytest.mark.parametrize("kind", ["dict", "dataclass"])
def test_keys_that_are_ignored_do_not_count(work: Workspace, kind: str) -> None:
    work.write(
        "main.py",
        "import sys\nfrom dataclasses import dataclass\nimport runner\n"
        "@dataclass\nclass Data:\n    path: str\n    workers: int\n"
        "@dataclass\nclass Settings:\n    name: str\n    data: Data\n    log: object\n"
        "@runner.experiment(ignore=['log', 'data.workers'])\ndef f(config):\n"
        "    open('runs', 'a').write(config.name + '\\n')\n"
        "    return config.data.workers, config.log is sys.stdout\n"
        "workers, path = int(sys.argv.pop()), sys.argv.pop()\n"
        + ("configs = [Settings('a', Data(path, workers), sys.stdout)]\n" if kind == "dataclass" else
           "configs = [{'name': 'a', 'data': {'path': path, 'workers': workers}, 'log': sys.stdout}]\n")
        + "f.run(lambda: configs, lambda configs, results: print(results, configs[0].data.workers))\n",
    )  # fmt: skip
    assert run(work, "p", "2").stdout == "[(2, True)] 2\n"
    assert run(work, "p", "4").stdout == "[(2, True)] 4\n" and computed(work) == ["a"]
    assert "workers" not in json.dumps(meta(folder(work, "a"))["config"])
    assert run(work, "q", "4").stdout == "[(4, True)] 4\n" and computed(work) == ["a", "a"]
