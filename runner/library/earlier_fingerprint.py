"""The code fingerprint of version 0.1.0. Only results that it has written are compared by it; nothing here changes."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from runner.disk.reading import read_bytes
from runner.library.imported_files import imported, own, package

_CONSTANTS = (int, float, complex, str, bytes, bool, type(None))


def fingerprint(function: Callable[..., Any]) -> str:
    """Sixteen hexadecimal digits. Packages that were installed and the standard library do not count."""
    survey = _Survey()
    survey.add(inspect.unwrap(function))
    parts = sorted([*(f"{name}\0{text}" for name, text in survey.found.items()), *survey.modules.values()])
    return hashlib.sha256("\1".join(parts).encode(errors="surrogatepass")).hexdigest()[:16]


class _Survey:
    """What was found so far: name -> text. Functions and classes of the function's own file count one by one, so that
    another report beside it changes nothing; other files of the project count as a whole."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.modules: dict[Path, str] = {}  # the text has the dotted name: a project may be moved

    def add(self, thing: Any) -> None:
        """A function or a class, and everything of the project that it names."""
        name = thing.__qualname__
        if name in self.found:
            return
        tree = _tree(thing)
        if tree is None:  # from a prompt, or made by exec: it does not have a text
            code = getattr(thing, "__code__", None)
            self.found[name] = _bytecode(code) if code else ""
            return
        self.found[name] = ast.dump(tree)
        scope = getattr(thing, "__globals__", None) or vars(sys.modules.get(thing.__module__, ModuleType("")))
        file = _file(thing)
        for used in sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}):
            if used in scope:
                self._name(used, scope[used], file)
        for used, cell in _closure(thing):
            self._name(f"{name}.{used}", cell, file)
        for path in imported(tree, scope.get("__package__") or "", file):
            self._module(path)

    def _name(self, name: str, value: Any, file: Path | None) -> None:
        """A global that is used: a constant by its value, code of this file by its text, other files as a whole."""
        value = inspect.unwrap(value) if callable(value) and not isinstance(value, type) else value
        if isinstance(value, ModuleType):
            self._module(own(getattr(value, "__file__", None)))
        elif isinstance(value, FunctionType | type):
            home = _file(value)
            if home is not None and home == file:
                self.add(value)
            else:
                self._module(home)
        elif isinstance(value, _CONSTANTS) or (
            isinstance(value, tuple | frozenset) and all(isinstance(item, _CONSTANTS) for item in value)
        ):
            self.found[f"{name} ="] = repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)

    def _module(self, path: Path | None) -> None:
        """A file of the project, and those that it imports, wherever the import is."""
        if path is None or path in self.modules:
            return
        try:
            tree = ast.parse(read_bytes(path, links=True))
        except (OSError, SyntaxError, ValueError):
            return
        outer = package(path)
        self.modules[path] = f"{outer}.{path.stem}\0{ast.dump(tree)}"
        for other in imported(tree, outer, path):
            self._module(other)


def _tree(thing: Any) -> ast.AST | None:
    """The definition without its decorators."""
    try:
        text = textwrap.dedent(inspect.getsource(thing))
        tree = ast.parse(text)
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            node.decorator_list = []
    return tree


def _bytecode(code: CodeType) -> str:
    inner = [_bytecode(it) if isinstance(it, CodeType) else repr(it) for it in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {inner}"


def _closure(thing: Any) -> Iterator[tuple[str, Any]]:
    code, cells = getattr(thing, "__code__", None), getattr(thing, "__closure__", None) or ()
    for name, cell in zip(code.co_freevars if code else (), cells, strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not filled yet
            continue


def _file(thing: Any) -> Path | None:
    try:
        return own(inspect.getsourcefile(thing))
    except (TypeError, OSError):
        return None
