"""Scripts with argparse: what is not read from their text, and that reading always ends."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.configs import argparse_reader
from runner.configs.argparse_arguments import Arguments, render
from runner.core.errors import UserError
from tests.configs.test_argparse_script import arguments, problems, read

OTHERS = [
    "import os\nprint(os.sys.argv)  # no argparse\n",
    "from transformers import HfArgumentParser\n# like argparse\n"
    "parser = HfArgumentParser(int)\nparser.parse_args_into_dataclasses()\n",
    "from jsonargparse import ArgumentParser\nparser = ArgumentParser()\n"
    "parser.add_argument('--lr')\nparser.parse_args()\n",
    "import simple_parsing as argparse\nparser = argparse.ArgumentParser()\nparser.parse_args()\n",
    "import argparse, click\n@click.command()\n@click.option('--lr')\ndef main(lr): pass\nmain()\n",
    "import argparse\na = argparse.ArgumentParser()\nb = argparse.ArgumentParser()\na.add_argument('--lr')\n",
]


@pytest.mark.parametrize("text", OTHERS)
def test_a_script_without_argparse_is_not_read(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) is None


def test_only_python_is_read(tmp_path: Path) -> None:
    text = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr')\np.parse_args()\n"
    assert read(tmp_path, text, "train.sh") is None
    assert read(tmp_path, text, "train") is None
    assert read(tmp_path, "#!/usr/bin/env python3\n" + text, "train") is not None
    with pytest.raises(UserError, match=r"train\.py:2: invalid syntax"):
        read(tmp_path, "import argparse\nx = = 1\n")


CHANGED = [
    "names.append('b')", "names += ['b']", "names[0] = 'b'", "def f():\n    global names\n    names = ['b']\nf()",
    "if names:\n    names = ['b']", "for names in (['a'], ['b']):\n    pass", "with open('x') as names:\n    pass",
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGED)
def test_choices_that_the_script_changes_are_not_checked(tmp_path: Path, change: str) -> None:
    text = (
        f"import argparse\nnames = ['a']\n{change}\np = argparse.ArgumentParser()\n"
        "p.add_argument('--name', choices=names)\np.parse_args()\n"
    )
    assert render(arguments(tmp_path, text), {"name": "b"}).line == ("--name=b",)
    assert problems(arguments(tmp_path, text.replace(change, "")), name="b") == ["--name must be 'a', not 'b'"]


UNCERTAIN = [
    "def make():\n    if os.sep:\n        return p\n    return q\nmake().add_argument('--x')\n",
    "one = p if os.sep else q\none.add_argument('--x')\n",
    "both = [p, q]\nboth[0].add_argument('--x')\n",
    "table = {}\ntable['p'] = p\ntable['p'].add_argument('--x')\n",
    "for one in (p, q):\n    one.add_argument('--x')\n",
    "os.parser = p\nos.parser.add_argument('--x')\n",
    "add = lambda *words: p.add_argument(*words)\nadd('--x')\n",
    "add = p.add_argument\nos.call(add, '--x')\n",
]


@pytest.mark.parametrize("text", UNCERTAIN)
def test_a_parser_that_may_get_more_arguments_is_not_complete(tmp_path: Path, text: str) -> None:
    start = "import argparse, os\np = argparse.ArgumentParser()\nq = argparse.ArgumentParser()\n"
    assert not arguments(tmp_path, f"{start}{text}p.parse_args()\n").complete


def test_words_of_its_own_are_not_the_command_line(tmp_path: Path) -> None:
    text = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr')\np.parse_args([])\n"
    found = arguments(tmp_path, text)
    assert not found.complete


def test_nothing_is_executed(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    text = f"import argparse\nopen({str(marker)!r}, 'w')\np = argparse.ArgumentParser()\np.parse_args()\n"
    assert arguments(tmp_path, text).complete
    assert not marker.exists()


TANGLED = {
    "calls without end": "def f(n):\n    g(n)\n    f(n + 1)\ndef g(n):\n    f(n)\n    f(n * 2)\nf(1)\n",
    "calls that double": "".join(f"def f{i}(x):\n    f{i + 1}(x + 1)\n    f{i + 1}(x + 2)\n" for i in range(30))
    + "f0(0)\n",
    "a huge value": "x = [0] * 10 ** 8\ny = 10 ** 10 ** 10\nz = [[i] * 1000 for i in range(10 ** 6)]\n",
    "depth": "x = " + "(" * 80 + "a" + ".b)" * 80 + "\n",
    "length": "x = f(a, b, [c, d], {'e': g})\n" * 10_000,
    "classes that are their own base": "class A(A): pass\nclass B(A):\n    pass\nA = B\nclass A(A): pass\nA().x(1)\n",
}


@pytest.mark.parametrize("shape", TANGLED)
def test_reading_ends_soon_whatever_the_text_is(tmp_path: Path, shape: str) -> None:
    began = time.process_time()
    parser = "p = argparse.ArgumentParser()\np.add_argument('--lr', type=float)\n"
    read(tmp_path, f"import argparse\n{parser}{TANGLED[shape]}p.parse_args()\n")
    assert time.process_time() - began < 5


PIECES = st.sampled_from(
    [
        "parser = argparse.ArgumentParser()", "parser.add_argument('--a', type=int, choices=[1, x])", "x = parser",
        "def f(x=parser, *y, **z):", "class C(x):", "for x in parser:", "if x:", "else:", "return parser, x", "x.y = x",
        "with parser as x:", "args = parser.parse_args(x)", "x, *y = x", "x += 1", "del x", "match x:", "case [x]:",
        "parser.add_argument(*x, **y)", "x(parser, *x, **x)", "try:", "except x:", "global parser", "C().f(x)", "f(x)",
        "parser.set_defaults(**x)", "x = [parser for x in y]", "x = lambda parser: parser", "import argparse as x",
        "from argparse import *", "g = x.add_mutually_exclusive_group()", "g.add_argument('a', '--b')", "x = {1: [x]}",
        "parser.add_argument('-a', nargs=x, default=[x], action='count', const={})", "while x:", "f = f(f)", "x = C",
        "parser = argparse.ArgumentParser(parents=x, prefix_chars=1, **x)", "parser.add_argument(dest='')", "lambda: x",
        "parser.add_argument('a', type=bool, choices=[[1], {}], default='1')", "raise x", "break", "await x", "y = -1",
    ]
)  # fmt: skip
LINES = st.lists(st.tuples(st.integers(0, 3), PIECES).map(lambda line: "    " * line[0] + line[1]), max_size=14)


def script_of(lines: list[str]) -> str:
    """A script with those of the lines that Python takes; a `pass` closes each block."""
    begin = "import argparse\nparser = argparse.ArgumentParser()\nx = ['a']\n"
    text = begin
    for line in lines:
        depth = (len(line) - len(line.lstrip())) // 4
        more = f"{text}{line}\n" + ("    " * (depth + 1) + "pass\n" if line.endswith(":") else "")
        try:
            compile(more, "any.py", "exec", dont_inherit=True)
        except SyntaxError:
            continue
        text = more
    return text + "args = parser.parse_args()\n"


@settings(deadline=None, max_examples=300)
@given(LINES)
def test_any_script_is_read_without_an_exception(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    script = tmp_path_factory.getbasetemp() / "any.py"
    script.write_text(script_of(lines))
    found = argparse_reader.read(script)
    try:
        rendered = render(found or Arguments(()), {"a": "1", "b": "2", "x": "3"})
    except UserError as error:
        assert all(problem.startswith(("--", "the script ")) for problem in error.problems)
    else:
        assert rendered.words.keys() == {"a", "b", "x"}
