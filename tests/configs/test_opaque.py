"""Configs that only their program reads: nothing in them is executed, and nothing is refused but a missing file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.configs import opaque
from runner.configs.config_file import DIGEST, ConfigFile, digest
from runner.core.errors import UserError
from tests.conftest import PROJECT


def read(folder: Path, text: str | bytes, name: str = "x.py") -> ConfigFile:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return opaque.read(path)


SCRIPT = """\
import argparse
lr, name = 0.1, 'base'
betas = [0.9, 0.99]
depth = 2 * 3
width = int(input())
other = width + depth
def main():
    depth = 9
    open('ran', 'w')
for step in range(3): name = 'loop'
if __name__ == "__main__":
    main()
"""


def test_a_program_is_read_as_far_as_its_text_is_certain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = read(tmp_path, SCRIPT)
    assert config.values == {"lr": 0.1, "betas": [0.9, 0.99], "depth": 6, DIGEST: digest(SCRIPT.encode())}
    assert config.partial and config.lines["lr"] == 2 and not config.evaluated
    assert not (tmp_path / "ran").exists()


CERTAIN: list[tuple[str, dict[str, Any]]] = [
    ("a = 1\nprint(a)", {"a": 1}),
    ("a = 1\nexec('a = 2')", {}),
    ("a = 1\nglobals()['a'] = 2", {}),
    ("a = 1\nlocals().update(a=2)", {}),
    ("a = 1\nprint(vars(a))", {"a": 1}),
    ("a = 1\nfrom base import *", {}),
    ("from base import *\na = 1", {}),
    ("a = 1\nfrom base import a", {}),
    ("a = 1\nimport a.b as b", {"a": 1}),
    ("a = 1\nimport a.b", {}),
    ("def set_a():\n    global a\n    a = 2\na = 1\nset_a()", {}),
    ("def max(x, y): return 0\na = max(1, 2)", {}),
    ("a = [1]\na.append(2)", {}),
    ("a = [1]\nb = a\nb.append(2)\nc = 3", {"c": 3}),
    ("def f(): a.append(2)\na = [1]\nb = 1\nf()", {"b": 1}),
    ("a = (1, [2])\nprint(a[1].append(3))", {}),
    ("a = 1\nfor a in range(3): pass", {}),
    ("a = b = 1\nwith open(__file__) as a: pass", {"b": 1}),
    ("a = b = 1\ntry: pass\nexcept Exception as a: pass", {"b": 1}),
    ("a = 1\nmatch a:\n    case a: pass", {}),
    ("a = 1\nprint([a := 2])", {}),
    ("a = 1\nprint([a := n for n in range(3)])", {}),
    ("a = 1\nprint([n for a in range(3)])", {"a": 1}),
    ("a = 1\ndel a", {}),
    ("a = 1\nif a: a = 2", {}),
    ("a: int = 1\nclass C: a = 2", {"a": 1}),
    ("a = 1\nb = a + unknown\na = b", {}),
    ("a = {1, 2}\nb = b'x'\nc = 2", {"c": 2}),
    ("x = 10 ** 10 ** 10\na = 1", {"a": 1}),
]


@pytest.mark.parametrize(("text", "values"), CERTAIN)
def test_a_value_that_anything_else_may_have_changed_is_left_out(
    tmp_path: Path, text: str, values: dict[str, Any]
) -> None:
    found = dict(read(tmp_path, text).values)
    assert found.pop(DIGEST) and found == values


def test_plain_assignments_are_known_completely(tmp_path: Path) -> None:
    config = read(tmp_path, "lr = 1e-3\nbetas = (0.9, 0.99)\n")
    assert (config.values, config.partial) == ({"lr": 1e-3, "betas": [0.9, 0.99]}, None)


REFUSED_ELSEWHERE: list[tuple[str, str | bytes, dict[str, Any], str]] = [
    ("a.yaml", "a: 1\nb: !include x.yaml\n", {"a": 1}, "line 2: "),
    ("a.yaml", "a: 1\nb: {c: !!python/tuple [1]}\nd: [x]\n", {"a": 1, "d": ["x"]}, "line 2: "),
    ("a.yaml", "a: 1\n---\nb: 2\n", {}, "line 2: "),
    ("a.yaml", "- 1\n- 2\n", {}, "line 1: "),
    ("a.yaml", "just text\n", {}, "line 1: "),
    ("a.yaml", "1: x\nb: 2\n", {"1": "x", "b": 2}, "line 1: the key 1 is not text"),
    ("a.yaml", "a: 1\nb: 2\na: 3\n", {"b": 2}, "line 3: 'a' is there twice (first on line 1)"),
    ("a.yaml", "a: {x: 1, x: 2}\nb: 2\n", {"b": 2}, "line 1: "),
    ("a.yaml", "b: &b {x: 1}\n<<: *b\nc: !t 1\n", {}, "line 3: "),
    ("a.yaml", "? [1, 2]\n: x\nb: 2\n", {}, "line 1: "),
    ("a.yml", "lr: {{ lr }}\n", {}, "line 1: "),
    ("a.json", '{"a": 1, // one\n "b": 2}', {}, "line 1: "),
    ("a.json", "[1, 2]", {}, "line 1: "),
    ("a.json", '{"a": 1, "a": 2}', {}, "line 1: "),
    ("a.json", '{"a": 1,}', {}, "line 1: "),
    ("a.py", "a = 1\nmatch = = 2\n", {}, "line 2: invalid syntax"),
    ("a.py", "print 'python 2'\n", {}, "line 1: invalid syntax"),
    ("a.py", b"a = '\xff'\n", {}, "line 1: is not UTF-8"),
    ("a.yaml", b"a: \xff\n", {}, "line 1: is not UTF-8"),
    ("a.json", b"\0\0", {}, "line 1: contains a NUL byte"),
    ("a.py", "import datetime\nstart = datetime.date(2020, 1, 1)\nlr = 0.1\n", {"lr": 0.1}, "more than plain"),
    ("a.py", "from .base import lr\nepochs = 3\n", {"epochs": 3}, "more than plain"),
    ("a.py", "import os\nname = os.environ['WANDB_NAME']\nepochs = 3\n", {"epochs": 3}, "more than plain"),
    ("a.py", "tags = b'x'\nepochs = 3\n", {"epochs": 3}, "line 1: tags is of type bytes"),
]


@pytest.mark.parametrize(("name", "text", "values", "why"), REFUSED_ELSEWHERE)
def test_what_only_the_runner_cannot_read_is_represented_by_its_digest(
    tmp_path: Path, name: str, text: str | bytes, values: dict[str, Any], why: str
) -> None:
    config = read(tmp_path, text, name)
    source = text if isinstance(text, bytes) else text.encode()
    assert config.values == {**values, DIGEST: digest(source)} and config.source == source
    assert config.partial is not None and config.partial.startswith(why) and ";" not in config.partial


def test_a_format_that_is_not_known_has_its_digest_without_a_reason(tmp_path: Path) -> None:
    config = read(tmp_path, "a = 1", "x.toml")
    assert config.values == {DIGEST: digest(b"a = 1")} and config.partial is None


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing\.py: no such file"):
        opaque.read(tmp_path / "missing.py")
    with pytest.raises(UserError, match="is a directory"):
        opaque.read(tmp_path)


def test_settings_keep_their_order_in_every_process() -> None:
    """Names in a set have another order in each process of Python: columns and records would change from run to run."""
    program = "from runner.configs.textual import values; import ast; print(*values(ast.parse(%r))[0])"
    text = "width = 1\nlr = 0.1\nslow = True\nimport math\nname = 'a'\ndepth = 2"
    orders = [
        subprocess.run(
            [sys.executable, "-c", program % text], cwd=PROJECT, env={**os.environ, "PYTHONHASHSEED": str(seed)},
            stdout=subprocess.PIPE, text=True, check=True,
        ).stdout.split()
        for seed in range(1, 4)
    ]  # fmt: skip
    assert orders == [["width", "lr", "slow", "name", "depth"]] * 3
