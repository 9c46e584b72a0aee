"""Config files as a researcher writes them, and the errors that are made in them."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.configs.config_file import ConfigFile, read
from runner.configs.evaluator import Evaluator
from runner.configs.static import NotStatic, Static
from runner.core.errors import UserError, nearest
from tests.conftest import PROJECT


def written(folder: Path, text: str | bytes, name: str = "x.py") -> ConfigFile:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path)


def refused(folder: Path, text: str | bytes, name: str = "x.py") -> str:
    """The sentences about the file, without the folder."""
    with pytest.raises(UserError) as raised:
        written(folder, text, name)
    assert raised.value.problems == tuple(str(raised.value).splitlines())
    return str(raised.value).replace(f"{folder}{os.sep}", "")


def is_static(text: str) -> bool:
    import ast

    reader = Static()
    try:
        for statement in ast.parse(text).body:
            reader.run(statement)
    except NotStatic:
        return False
    return True


# Python: what is read off the text

STATIC = [
    ("constants", "a = 1\nb = 1e-3\nc = 'x'\nd = None\ne = True", {"a": 1, "b": 1e-3, "c": "x", "d": None, "e": True}),
    ("arithmetic", "a = 5 * 8\nb = a // 3\nc = -a + 2 ** 4\nd = 1 << 3", {"a": 40, "b": 13, "c": -24, "d": 8}),
    ("names", "a = 3\nb = [a, a]", {"a": 3, "b": [3, 3]}),
    ("tuples become lists", "a = (1, (2, 3))\nb = range(3)", {"a": [1, [2, 3]], "b": [0, 1, 2]}),
    ("unpacking", "a, (b, c) = 1, [2, 3]\nd = e = 4", {"a": 1, "b": 2, "c": 3, "d": 4, "e": 4}),
    ("f-strings", "n = 3\na = f'run_{n:03d}-{n!r}'", {"n": 3, "a": "run_003-3"}),
    ("choices", "a = 4\nb = 'big' if 2 < a <= 9 and not a == 5 else 'small'", {"a": 4, "b": "big"}),
    ("subscripts", "a = [1, 2, 3]\nb = a[-1]\nc = a[1:]\nd = {'k': 5}['k']",
     {"a": [1, 2, 3], "b": 3, "c": [2, 3], "d": 5}),
    ("builtins", "a = len('abc')\nb = max(1, 2)\nc = dict(x=int('3'))\nd = round(2.567, 1)",
     {"a": 3, "b": 2, "c": {"x": 3}, "d": 2.6}),
    ("assignments in place", "a = [1]\nb = a\na += [2]", {"a": [1, 2], "b": [1, 2]}),
    ("annotations", "a: int = 1\nb: float", {"a": 1}),
    ("comprehensions", "a = [i * j for i in range(3) if i for j in (1, 2)]", {"a": [1, 2, 2, 4]}),
    ("merged dicts", "a = {'x': 1}\nb = {**a, 'y': 2}", {"a": {"x": 1}, "b": {"x": 1, "y": 2}}),
    ("underscores", "_n = 3\na = _n", {"a": 3}),
    ("docstrings", "'''A config.'''\npass\na = 1", {"a": 1}),
    ("nothing", "", {}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "values"), [row[1:] for row in STATIC], ids=[row[0] for row in STATIC])
def test_simple_python_is_read_off_the_text(tmp_path: Path, text: str, values: dict[str, Any]) -> None:
    assert is_static(text)
    assert written(tmp_path, text).values == values


def test_a_config_knows_its_exact_bytes_and_its_lines(tmp_path: Path) -> None:
    source = b"\xef\xbb\xbf# \xc3\xa9\r\na = 1\r\nb = 2\r\na = 3\r\n"
    config = written(tmp_path, source)
    assert (config.source, config.lines, config.values) == (source, {"a": 4, "b": 3}, {"a": 3, "b": 2})
    assert config.place("a") == f"{config.path}:4"
    assert config.place("from_elsewhere") == str(config.path)


NAMES = st.sampled_from(["a", "b", "c"])
LITERALS = st.one_of(
    st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6), st.booleans(), st.none(), st.text("ab'\"{}%\\ é", max_size=5)
)  # fmt: skip
VALUES = st.recursive(
    LITERALS,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.sampled_from("xy"), inner),
)  # fmt: skip
OPERATORS = st.sampled_from("+ - * / // % ** << >> & | ^ == < in is and or".split())  # noqa: SIM905, reads better
CALLS = st.sampled_from(["len", "str", "bool", "list", "float", "-", "not "])
EXPRESSIONS = st.recursive(
    st.one_of(VALUES.map(repr), NAMES),
    lambda inner: st.one_of(
        st.tuples(inner, OPERATORS, inner).map(lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"),
        st.tuples(inner, inner, inner).map(lambda parts: f"({parts[0]} if {parts[1]} else {parts[2]})"),
        st.tuples(CALLS, inner).map("({0[0]}({0[1]}))".format),
        st.tuples(inner, inner).map(lambda parts: f"[{parts[0]}, {parts[1]}][{parts[1]}]"),
    ),
    max_leaves=6,
)  # fmt: skip
CONFIGS = st.lists(st.tuples(NAMES, st.sampled_from(["=", "+=", "*="]), EXPRESSIONS), max_size=6)


@settings(deadline=None, max_examples=300)
@given(CONFIGS)
def test_what_is_read_statically_is_what_python_would_compute(lines: list[tuple[str, str, str]]) -> None:
    """Statement by statement: each one that is understood leaves the same values as executing it."""
    import ast
    import warnings

    reader = Static()
    names: dict[str, Any] = {}
    for line in lines:
        text = " ".join(line)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            statement = ast.parse(text).body[0]
            try:
                reader.run(statement)
            except Exception:  # left to the child, or too large to execute here
                return
            exec(compile(text, "config", "exec"), names)
        assert repr(reader.names) == repr({name: value for name, value in names.items() if name != "__builtins__"})


@pytest.mark.parametrize(
    "expression",
    [
        "10**10**10", "'a' * 10**12", "[0] * 10**9", "1 << 10**9", "10**9 * 'ab'", "f'{1:>999999999}'",
        "list(range(10**9))", "[[[1] * 1000] * 1000] * 1000",
    ],
)  # fmt: skip
def test_a_value_that_would_eat_the_memory_is_refused_at_once(tmp_path: Path, expression: str) -> None:
    began = time.process_time()
    assert refused(tmp_path, f"a = 1\nb = {expression}\n").startswith("x.py:2: the value is too large for a config;")
    assert time.process_time() - began < 2


def test_doubling_line_by_line_is_bounded_too(tmp_path: Path) -> None:
    text = "a = [1]\n" + "a = [a, a]\n" * 60
    assert "too large for a config" in refused(tmp_path, text)


# Python: what a child evaluates


def test_what_else_a_config_does_is_evaluated_in_a_child(tmp_path: Path) -> None:
    config = written(
        tmp_path,
        "import math, os\nfrom pathlib import Path\nfrom math import sqrt\n"
        "def double(x): return 2 * x\nclass C: pass\n"
        "n = double(4)\nfolder = Path('a') / 'b'\n"
        "for i in range(3): pass\n_private = sqrt(4)\npid = os.getpid()\nt = (1, (2,))\n",
    )
    pid = config.values.pop("pid")
    assert pid != os.getpid()
    assert config.values == {"n": 8, "folder": "a/b", "i": 2, "t": [1, [2]]}
    assert config.lines["n"] == 6


def test_a_config_may_execute_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.py").write_text("batch_size = 4\nlr = 1e-3\n")
    config = written(tmp_path, "exec(open('base.py').read())\nlr = 2e-3\n")
    assert config.values == {"batch_size": 4, "lr": 2e-3}
    assert config.lines == {"lr": 2}


def test_a_config_may_import_what_lies_in_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shared.py").write_text("width = 64\n")
    assert written(tmp_path, "from shared import width\nn_embd = 2 * width\n").values == {"width": 64, "n_embd": 128}
    assert not (tmp_path / "__pycache__").exists()


def test_what_a_config_prints_does_not_disturb(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = written(tmp_path, "import sys\nprint('{')\nsys.stderr.write('noise')\nread = sys.stdin.read()\na = 1\n")
    assert config.values == {"read": "", "a": 1}
    assert capfd.readouterr() == ("", "")


@pytest.mark.linux
def test_a_config_that_never_ends_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    path = tmp_path / "x.py"
    path.write_text(
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pid_file)!r}, 'w').write(str(child.pid))\nwhile True: pass\n"
    )
    with pytest.raises(UserError, match=r"x\.py: did not finish within 1 s; "):
        read(path, Evaluator(1))
    assert _is_gone(int(pid_file.read_text()))


def _is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":  # dead; whoever inherited it has not looked yet
            return True
        time.sleep(0.01)
    return False


UNFIT = ", which a config cannot hold; write a number, text, list or dict, or begin its name with an underscore"
ERRORS = [
    ("a name", "a = 1\nb = foo\n",
     "x.py:2: NameError: name 'foo' is not defined; define it above, or put quotes around it if it is text"),
    ("a module", "import nonexistent_xyz\n",
     "x.py:1: ModuleNotFoundError: No module named 'nonexistent_xyz'; install it, or do without the import"),
    ("arithmetic", "a = 1\n\nb = a / 0", "x.py:3: ZeroDivisionError: division by zero; correct this line"),
    ("inside a function", "def f():\n    return {}['k']\n\na = f()\n", "x.py:2: KeyError: 'k'; correct this line"),
    ("exit", "import sys\nsys.exit(3)", "x.py:2: SystemExit: 3; a config must not exit"),
    ("death", "import os\nos.kill(os.getpid(), 9)",
     "x.py: RuntimeError: its evaluation died (SIGKILL); correct this line"),
    ("syntax", "a = 1\nb = = 2\n", "x.py:2: invalid syntax in 'b = = 2'; correct this line"),
    ("indentation", "a = 1\n  b = 2\n", "x.py:2: invalid syntax: unexpected indent in 'b = 2'; correct this line"),
    ("return", "a = 1\nreturn\n", "x.py:2: invalid syntax: 'return' outside function in 'return'; correct this line"),
    ("a set", "a = {1}", "x.py:1: a is of type set" + UNFIT),
    ("bytes", "\na = b'x'", "x.py:2: a is of type bytes" + UNFIT),
    ("an object", "import random\nr = random.Random(0)", "x.py:2: r is of type Random" + UNFIT),
    ("a huge list", "a = []\nfor i in range(2 * 10**6): a.append(i)",
     "x.py:1: a is too large for a config; make it smaller, or compute it where it is used"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_an_error_in_a_python_config_is_one_sentence_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    assert refused(tmp_path, text) == expected


# YAML


YAML = [
    ("1e-3", 1e-3), ("1E5", 1e5), (".5", 0.5), ("2.", 2.0), ("-1.5e+3", -1500.0), (".inf", math.inf),
    ("1", 1), ("-7", -7), ("1_000", 1000), ("0x1f", 31), ("0", 0),
    ("010", "010"), ("12:30:45", "12:30:45"), ("190:20:30", "190:20:30"), ("2024-01-01", "2024-01-01"),
    ("true", True), ("FALSE", False), ("tRuE", True), ("on", "on"), ("off", "off"), ("yes", "yes"), ("no", "no"),
    ("y", "y"),
    ("null", None), ("~", None), ("", None), ("none", "none"), ("'1'", "1"), ("[1, 1e1, no]", [1, 10.0, "no"]),
    ("!!str 12", "12"), ("!!float 1", 1.0), ("{1: 2}", {"1": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), YAML, ids=[row[0] or "empty" for row in YAML])
def test_yaml_is_read_as_people_mean_it(tmp_path: Path, text: str, value: Any) -> None:
    read_value = written(tmp_path, f"key: {text}\n", "x.yaml").values["key"]
    assert (type(read_value), read_value) == (type(value), value)


def test_yaml_knows_its_lines_and_its_anchors(tmp_path: Path) -> None:
    config = written(tmp_path, "# first\nbase: &b {x: 1, y: 2}\n\nmore: {<<: *b, x: 3}\non: 1\n", "x.yml")
    assert config.values == {"base": {"x": 1, "y": 2}, "more": {"x": 3, "y": 2}, "on": 1}
    below = {"base.x": 2, "base.y": 2, "more.x": 4}
    assert config.lines == {"base": 2, "more": 4, "on": 5} | below


YAML_ERRORS = [
    ("a: 1\nb: 2\na: 3\n", "x.yaml:3: 'a' is there twice (first on line 1); remove one"),
    ("a:\n  - {k: 1, k: 1}\n", "x.yaml:2: 'k' is there twice (first on line 2); remove one"),
    ("a: {1: x, true: z}\n", "x.yaml:1: true is the same key as 1 on line 1; rename one"),
    ("a:\n  1: x\n  1.0: z\n", "x.yaml:3: 1.0 is the same key as 1 on line 2; rename one"),
    ("a:\n  1: x\n  '1': z\n", "x.yaml:3: 1 is the same key as 1 on line 2; rename one"),
    (
        "a: &a {x: 1}\nb: &b {x: 2}\nc:\n  <<: *a\n  <<: *b\n",
        "x.yaml:5: '<<' is there twice (first on line 4); write one with a list, as in '<<: [*a, *b]'",
    ),
    ("- 1\n", "x.yaml:1: must be a mapping; write lines such as 'batch_size: 8'"),
    ("a: 1\n\tb: 2\n", "x.yaml:2: invalid YAML: found character '\\t' that cannot start any token; indent with spaces"),
    ("1: a\n", "x.yaml:1: the key 1 is not text; put quotes around it"),
    ("a: 1\n---\nb: 2\n", "x.yaml:2: invalid YAML: but found another document; correct this line"),
    ("a: &a [*a]\n", "x.yaml:1: a is nested too deeply for a config; make it flatter"),
    ("a: !!int x\n", "x.yaml:1: 'x' is not a whole number; correct the value or its tag"),
]


@pytest.mark.parametrize(("text", "expected"), YAML_ERRORS)
def test_an_error_in_yaml_is_one_sentence_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    assert refused(tmp_path, text, "x.yaml") == expected


def test_yaml_constructs_no_python_objects(tmp_path: Path) -> None:
    assert refused(tmp_path, "a: !!python/object/apply:os.getpid []\n", "x.yaml").startswith("x.yaml:1: invalid YAML: ")


def test_a_bomb_of_aliases_is_refused(tmp_path: Path) -> None:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "too large for a config" in refused(tmp_path, "\n".join(["a0: &a0 [x]", *levels]), "x.yaml")


# JSON


def test_json_knows_its_lines(tmp_path: Path) -> None:
    config = written(tmp_path, '{"a": {"b": [1, 2.5, null]},\n\n "c": "}",\n "d": -Infinity}\n', "x.json")
    assert config.values == {"a": {"b": [1, 2.5, None]}, "c": "}", "d": -math.inf}
    assert config.lines == {"a": 1, "c": 3, "d": 4}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=100)
@given(values=st.dictionaries(st.text(max_size=6), JSON_VALUES, max_size=4), indent=st.sampled_from([None, 0, 2]))
def test_any_json_object_is_read_as_json_reads_it(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any], indent: int | None
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(values, indent=indent))
    assert read(path).values == values


JSON_ERRORS = [
    ('{"a": 1,\n "a": 2}', "x.json:2: 'a' is there twice (first on line 1); remove one"),
    ('{"a": 1,\n "b": {"k": 1, "k": 2}}', "x.json:2: b contains 'k' twice; remove one"),
    ('{"a": 1,\n "b": }', "x.json:2: invalid JSON: Expecting value; correct this line"),
    ("[1]", "x.json:1: must be an object with keys; write {...} around it"),
]


@pytest.mark.parametrize(("text", "expected"), JSON_ERRORS)
def test_an_error_in_json_is_one_sentence_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    assert refused(tmp_path, text, "x.json") == expected


# Any file


@pytest.mark.parametrize("name", ["x.py", "x.yaml", "x.json"])
def test_an_empty_file_sets_nothing(tmp_path: Path, name: str) -> None:
    assert written(tmp_path, " \n", name).values == {}


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, b"a = 1\nb = '\xff'\n") == "x.py:2: is not UTF-8; save it as UTF-8"
    assert refused(tmp_path, b"a = 1\n\0") == "x.py:2: contains a NUL byte; is this a text file?"
    expected = "x.toml: unknown kind of config '.toml'; name it .py, .yaml, .yml, .json"
    assert refused(tmp_path, b"a = 1", "x.toml") == expected


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(UserError, match=r"missing\.py: no such file; check the name"):
        read(tmp_path / "missing.py")
    with pytest.raises(UserError, match=r"folder\.py: is a directory; name a file in it"):
        read(tmp_path / "folder.py")


@pytest.mark.parametrize("name", ["deep.py", "deep.json", "deep.yaml"])
def test_absurd_nesting_is_a_sentence_not_a_crash(tmp_path: Path, name: str) -> None:
    value = "[" * 50_000 + "]" * 50_000
    text = {"deep.py": f"a = {value}", "deep.json": f'{{"a": {value}}}', "deep.yaml": f"a: {value}"}[name]
    assert len(refused(tmp_path, text, name).splitlines()) == 1


def test_the_nearest_word() -> None:
    known = ["batch_size", "block_size", "learning_rate", "n_head", "n_embd"]
    assert [nearest(word, known) for word in ("batchsize", "Batch-Size", "lerning_rate", "nhead", "colour")] == [
        "batch_size", "batch_size", "learning_rate", "n_head", None,
    ]  # fmt: skip


def test_importing_the_reader_loads_nothing_heavy() -> None:
    heavy = "yaml torch numpy pydantic subprocess tempfile"
    program = f"import sys, runner.configs.config_file; print([m for m in '{heavy}'.split() if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", program], cwd=PROJECT, text=True) == "[]\n"
