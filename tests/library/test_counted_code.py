"""What counts as the code of a function: definitions, decorators, values, imported files, cells of a notebook."""

from __future__ import annotations

import importlib.util
import linecache
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from runner.library.code_fingerprint import fingerprint
from tests.conftest import Workspace
from tests.library_script import computed, run

pytestmark = pytest.mark.slow

HELPERS = """\
import functools
TABLE = {"lr": 0.1}
class Net:
    def __init__(self, width): self.width = width
model = Net(3)
def times(n):
    def decorate(function):
        @functools.wraps(function)
        def inner(*args): return n * function(*args)
        return inner
    return decorate
def scale(x): return x
double = times(2)(scale)
"""
MAIN = """\
import datetime, enum, functools, importlib, pathlib, re
from dataclasses import dataclass
import numpy as np
import runner
HEAD

@runner.experiment
def experiment(config):
    return BODY
"""
TIMES = "def times(n):\n    def inner(x): return n * x\n    return inner\n"
WRAP = "def times(n):\n    def decorate(function):\n        def inner(x): return n * function(x)\n"
WRAP += "        return inner\n    return decorate\n"
WRAPS = WRAP.replace("        def inner", "        @functools.wraps(function)\n        def inner")

#: name -> the code above the function, what it returns, and what is changed from what to what
COUNTED = {
    "the second lambda": ("f = lambda x: x + 1\ng = lambda x: x * 2\n", "g(f(config.x))", "x * 2", "x * 9"),
    "the second of a line": ("f, g = lambda x: x + 1, lambda x: x * 2\n", "g(f(config.x))", "x * 2", "x * 9"),
    "a lambda in a call": (
        "f = functools.partial(\n    lambda a, x: x + a,\n    1)\n",
        "f(config.x)", "x + a", "x - a",
    ),
    "the second closure": (TIMES + "two, three = times(2), times(3)\n", "two(three(1))", "times(3)", "times(30)"),
    "a decorator's argument": (WRAP + "@times(2)\ndef f(x): return x\n", "f(1)", "times(2)", "times(7)"),
    "a decorator's argument, wrapped": (WRAPS + "@times(2)\ndef f(x): return x\n", "f(1)", "times(2)", "times(7)"),
    "a decorator's body": (WRAPS + "@times(2)\ndef f(x): return x\n", "f(1)", "n * function(x)", "n + function(x)"),
    "a decorator that was called": (WRAPS + "def g(x): return x\nf = times(2)(g)\n", "f(1)", "times(2)", "times(7)"),
    "a class's decorator": (
        "def register(n):\n    def mark(cls):\n        cls.n = n\n        return cls\n    return mark\n"
        "@register(2)\nclass Net: pass\n", "Net.n", "register(2)", "register(7)",
    ),
    "a base class": (
        "class Base:\n    def f(self): return 1\nclass Net(Base): pass\n",
        "Net().f()", "return 1", "return 2",
    ),
    "a default": ("RATE = 1\ndef f(x=RATE): return x\nRATE = 0\n", "f()", "RATE = 1", "RATE = 5"),
    "a list": ("SIZES = [1, 2, 3]\n", "SIZES[0]", "2, 3", "2, 4"),
    "a dict": ("TABLE = {'lr': .1}\n", "TABLE['lr']", ".1", ".2"),
    "a set": ("NAMES = {'a', 'b'}\n", "len(NAMES)", "'b'", "'c'"),
    "a nested container": ("TABLE = {'a': [(1, {'b': 2})]}\n", "TABLE['a']", "'b': 2", "'b': 3"),
    "a dict of functions": ("def gelu(x): return x\nACT = {'g': gelu}\n", "ACT['g'](1)", "return x", "return -x"),
    "a dict of built-in functions": ("ACT = {'g': abs}\n", "ACT['g'](1)", "abs", "max"),
    "a registry": (
        "ACT = {}\ndef register(f):\n    ACT[f.__name__] = f\n    return f\n@register\ndef gelu(x): return x\n",
        "ACT['gelu'](1)", "return x", "return -x",
    ),
    "a partial": ("def base(a, x): return a * x\nf = functools.partial(base, 2)\n", "f(1)", "base, 2", "base, 3"),
    "a cached function": ("@functools.lru_cache\ndef f(x): return x\n", "f(1)", "return x", "return -x"),
    "an instance": ("class Net:\n    def __init__(self, w): self.w = w\nnet = Net(3)\n", "net.w", "Net(3)", "Net(4)"),
    "an instance's class": ("class Net:\n    def f(self): return 1\nnet = Net()\n", "net.f()", "return 1", "return 2"),
    "an instance with slots": (
        "class Net:\n    __slots__ = ('w',)\n    def __init__(self, w): self.w = w\nnet = Net(3)\n",
        "net.w", "Net(3)", "Net(4)",
    ),
    "a dataclass": ("@dataclass(frozen=True)\nclass Net:\n    w: int\nnet = Net(3)\n", "net.w", "Net(3)", "Net(4)"),
    "a method": ("class Net:\n    def f(self): return 1\nf = Net().f\n", "f()", "return 1", "return 2"),
    "a member": (
        "class Kind(enum.Enum):\n    A = 1\n    B = 2\nkind = Kind.A\n",
        "kind.name", "kind = Kind.A", "kind = Kind.B",
    ),
    "an array": ("X = np.zeros(3)\n", "X.sum()", "zeros", "ones"),
    "a ufunc": ("f = np.exp\n", "f(1)", "np.exp", "np.tanh"),
    "a path": ("D = pathlib.Path('a')\n", "D.name", "'a'", "'b'"),
    "a pattern": ("P = re.compile('a')\n", "P.match('a')", "'a'", "'b'"),
    "a date": ("D = datetime.date(2026, 1, 1)\n", "D.year", "2026", "2027"),
    "an object of a class": ("class Net:\n    table = {'a': 1}\n", "Net.table['a']", "'a': 1", "'a': 2"),
}  # fmt: skip
#: name -> the import, what the function returns, and what is changed in helpers.py
IMPORTED = {
    "a table": ("from helpers import TABLE\n", "TABLE['lr']", "0.1", "0.2"),
    "a table with another name": ("from helpers import TABLE as T\n", "T['lr']", "0.1", "0.2"),
    "everything": ("from helpers import *\n", "TABLE['lr']", "0.1", "0.2"),
    "an instance": ("from helpers import model\n", "model.width", "Net(3)", "Net(4)"),
    "a decorated function": ("from helpers import double\n", "double(1)", "times(2)", "times(7)"),
    "a module by its name": ("helpers = importlib.import_module('helpers')\n", "helpers.scale(1)", "0.1", "0.2"),
    "a module in the function": ("", "importlib.import_module('helpers').scale(1)", "0.1", "0.2"),
    "a decorator": ("from helpers import times\n@times(2)\ndef f(x): return x\n", "f(1)", "n * func", "n + func"),
}
HARMLESS = {
    "a docstring": ("def f(x):\n    'Old.'\n    return x\n", "f(1)", "'Old.'", "'''New, of\n    two lines.'''"),
    "a class's docstring": ("class Net:\n    'Old.'\n    w = 1\n", "Net.w", "'Old.'", "'New.'"),
    "a comment": ("def f(x):  # old\n    return x\n", "f(1)", "# old", "# new"),
    "the function's version": ("", "1", "@runner.experiment", "@runner.experiment(version=2)"),
    "what nobody uses": ("X = {'a': 1}\ndef f(): return 1\n", "1", "'a': 1", "'a': 2"),
    "a name that is one of its own": ("x = [1]\ndef f(x): return x\n", "f(1)", "x = [1]", "x = [2]"),
    "a random generator": ("rng = np.random.default_rng(1)\n", "rng.random()", "rng(1)", "rng(1) if True else 0"),
}


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], str]]:
    monkeypatch.syspath_prepend(tmp_path)

    def fingerprint_of(main: str, helpers: str) -> str:
        for name, text in (("main.py", main), ("helpers.py", helpers)):
            (tmp_path / name).write_text(text)
        for name in ("main", "helpers"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return fingerprint(imported(tmp_path / "main.py").experiment.function)

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield fingerprint_of
    for name in ("main", "helpers"):
        sys.modules.pop(name, None)


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("main", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules["main"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts(head: str, body: str, old: str, new: str) -> tuple[str, str]:
    main = MAIN.replace("HEAD", head).replace("BODY", body)
    assert old in main
    return main, main.replace(old, new, 1)


@pytest.mark.parametrize("what", COUNTED)
def test_a_change_of_what_the_function_uses_counts(load: Callable[[str, str], str], what: str) -> None:
    before, after = texts(*COUNTED[what])
    assert load(before, HELPERS) == load(before, HELPERS) != load(after, HELPERS)


@pytest.mark.parametrize("what", IMPORTED)
def test_a_file_counts_as_a_whole_if_anything_was_imported_from_it(load: Callable[[str, str], str], what: str) -> None:
    head, body, old, new = IMPORTED[what]
    main = MAIN.replace("HEAD", head).replace("BODY", body)
    assert old in HELPERS
    assert load(main, HELPERS) == load(main, HELPERS) != load(main, HELPERS.replace(old, new, 1))


@pytest.mark.parametrize("what", HARMLESS)
def test_what_changes_no_result_does_not_count(load: Callable[[str, str], str], what: str) -> None:
    before, after = texts(*HARMLESS[what])
    assert load(before, HELPERS) == load(after, HELPERS)


def test_a_docstring_of_an_imported_file_does_not_count(load: Callable[[str, str], str]) -> None:
    main = MAIN.replace("HEAD", "from helpers import TABLE").replace("BODY", "TABLE")
    assert load(main, f'"""Old."""\n{HELPERS}') == load(main, f'"""New."""\n{HELPERS}')


@pytest.mark.parametrize(("old", "new"), [("times(2)", "times(7)"), ("n * function", "n + function")])
@pytest.mark.parametrize("wrap", [WRAP, WRAPS], ids=["plain", "wraps"])
def test_a_decorator_of_the_function_itself_counts(
    load: Callable[[str, str], str], wrap: str, old: str, new: str
) -> None:
    main = MAIN.replace("HEAD", wrap).replace("BODY", "1").replace("def exp", "@times(2)\ndef exp")
    assert load(main, HELPERS) == load(main, HELPERS) != load(main.replace(old, new, 1), HELPERS)


#: As a notebook runs its cells: each has a name that is not a file, and linecache has its text.
NOTEBOOK = """\
import linecache, sys

scope = {"__name__": "__main__"}
sys.modules["__main__"].__dict__.pop("__file__", None)
sys.modules["__main__"].__dict__.update(scope)
for number, text in enumerate(CELLS):
    name = f"/tmp/ipykernel_1/{number}.py"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    exec(compile(text, name, "exec"), sys.modules["__main__"].__dict__)
"""
EXPERIMENT = """\
import runner
@runner.experiment
def experiment(config):
    with open("runs", "a") as file: file.write(config.name + "\\n")
    return h(config.x)
"""
RUN = "print(experiment.run(configs=lambda: [{'name': 'a', 'x': 1}], args=ARGS))\n"


def notebook(work: Workspace, *cells: str) -> str:
    work.write("kernel.py", NOTEBOOK.replace("CELLS", repr(list(cells))))
    return run(work, program="kernel.py").stdout


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("def h(x): return x + 1\n", "def h(x): return x + 100\n"),
        ("K = 1\ndef h(x): return x + K\n", "K = 100\ndef h(x): return x + K\n"),
        ("class H:\n    k = 1\n    def f(self, x): return x + self.k\nh = H().f\n",
         "class H:\n    k = 100\n    def f(self, x): return x + self.k\nh = H().f\n"),
        ("class H:\n    k = 1\ndef h(x): return x + H.k\n", "class H:\n    k = 100\ndef h(x): return x + H.k\n"),
    ],
    ids=["function", "constant", "class", "class without methods"],
)  # fmt: skip
def test_what_another_cell_defines_counts(work: Workspace, first: str, second: str) -> None:
    again, plain = RUN.replace("ARGS", "['--code', 'rerun']"), RUN.replace("ARGS", "[]")
    assert notebook(work, first, EXPERIMENT, plain, second, again, again) == "[2]\n[101]\n[101]\n"
    assert computed(work) == ["a", "a"]
    assert notebook(work, second, EXPERIMENT, again, first, again) == "[101]\n[2]\n"  # another kernel
    assert computed(work) == ["a", "a", "a"]


def test_a_file_from_which_a_cell_imported_counts(work: Workspace) -> None:
    cells = ("from helpers import TABLE\n", EXPERIMENT.replace("h(config.x)", "TABLE['lr']"))
    again = RUN.replace("ARGS", "['--code', 'rerun']")
    work.write("helpers.py", "TABLE = {'lr': 1}\n")
    assert notebook(work, *cells, again) == "[1]\n"
    work.write("helpers.py", "TABLE = {'lr': 2}\n")
    assert notebook(work, *cells, again, again) == "[2]\n[2]\n" and computed(work) == ["a", "a"]


@pytest.mark.parametrize("words", [(), ("--isolate",)], ids=["in-process", "isolated"])
def test_what_functions_fill_while_they_run_is_no_changed_code(work: Workspace, words: tuple[str, ...]) -> None:
    """CACHE is empty when the script starts, and full when the second experiment, or the second run, comes."""
    work.write(
        "main.py",
        "import runner\nCACHE = {}\n"
        "def data(key):\n    return CACHE.setdefault(key, [key])\n"
        "@runner.experiment\ndef train(config): return data(config.x)\n"
        "@runner.experiment\ndef judge(config): return len(CACHE)\n"
        "if __name__ == '__main__':\n"
        "    for _ in range(2):\n"
        "        train.run(lambda: [{'name': 'a', 'x': 1}], print)\n"
        "        judge.run(lambda: [{'name': 'b', 'x': 2}], print)\n",
    )
    assert "Stale" not in run(work, *words).stderr
    assert "Stale" not in run(work).stderr


def test_a_table_that_the_user_changes_is_changed_code() -> None:
    source = "TABLE = {'lr': 1}\ndef function(config): return TABLE['lr']\n"
    linecache.cache["<cell>"] = (len(source), None, source.splitlines(keepends=True), "<cell>")
    scope: dict[str, object] = {"__name__": "cells"}
    exec(compile(source, "<cell>", "exec"), scope)
    function = scope["function"]
    assert callable(function)
    before = fingerprint(function)
    scope["TABLE"]["lr"] = 2  # type: ignore[index]
    assert fingerprint(function) != before
