"""Tests that ask for what only Linux has are marked so: macOS is one of the systems that CI runs them on."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import PROJECT

#: What is not there on macOS.
LINUX_ALONE = re.compile(
    r"/proc/|/proc\b.*iterdir|/dev/full|/sys/fs/cgroup|memfd_create|\bsetsid (sh|sleep|\$)|\bprctl\(|sched_setaffinity"
    r"|RLIMIT_AS\b"
)


def definitions(tree: ast.Module) -> dict[str, ast.stmt]:
    """The functions, classes and values of a file, by name."""
    found: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found.update({target.id: node for target in node.targets if isinstance(target, ast.Name)})
    return found


def uses(node: ast.AST) -> set[str]:
    """The names in a definition; the parameters of a test are its fixtures."""
    names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    return names | {inner.arg for inner in ast.walk(node) if isinstance(inner, ast.arg)}


def on_linux_alone(path: Path) -> Iterator[str]:
    """The tests of a file that ask for it, themselves or by what they use, and have no mark."""
    text = path.read_text()
    if not LINUX_ALONE.search(text) or re.search(r"^pytestmark = .*(mark\.linux|platform)", text, re.MULTILINE):
        return
    known = definitions(ast.parse(text))
    asking = {name for name, node in known.items() if LINUX_ALONE.search(ast.get_source_segment(text, node) or "")}
    while more := {name for name, node in known.items() if name not in asking and uses(node) & asking}:
        asking |= more
    for name in sorted(asking):
        node = known[name]
        if name.startswith("test_") and isinstance(node, ast.FunctionDef):
            marks = " ".join(ast.unparse(mark) for mark in node.decorator_list)
            if "mark.linux" not in marks and "sys.platform" not in marks:
                yield f"{path.relative_to(PROJECT)}:{node.lineno} {name}"


def test_a_test_that_needs_linux_is_marked() -> None:
    paths = [path for path in (PROJECT / "tests").rglob("test_*.py") if path != Path(__file__)]
    assert len(paths) > 200 and [line for path in paths for line in on_linux_alone(path)] == []
