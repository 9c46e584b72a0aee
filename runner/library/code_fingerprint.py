"""The code that a function runs, as one fingerprint: its own source, what it names, the project's modules it imports.

Comments and layout do not count. Nothing is imported and nothing is run: modules are found and parsed as text, so that
the fingerprint is the same before and after the function has run.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import sysconfig
import textwrap
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

OWN_PACKAGE = Path(__file__).resolve().parents[1]
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
        for path in _imported(tree, scope.get("__package__") or "", file):
            self._module(path)

    def _name(self, name: str, value: Any, file: Path | None) -> None:
        """A global that is used: a constant by its value, code of this file by its text, other files as a whole."""
        value = inspect.unwrap(value) if callable(value) and not isinstance(value, type) else value
        if isinstance(value, ModuleType):
            self._module(_own(getattr(value, "__file__", None)))
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
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError):
            return
        package = _package(path)
        self.modules[path] = f"{package}.{path.stem}\0{ast.dump(tree)}"
        for other in _imported(tree, package, path):
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
        return _own(inspect.getsourcefile(thing))
    except (TypeError, OSError):
        return None


def _imported(tree: ast.AST, package: str, file: Path | None) -> Iterator[Path]:
    """The project's files that are imported somewhere in `tree`."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                outer = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*outer, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            yield from _located(name, file)


def _located(name: str, file: Path | None) -> Iterator[Path]:
    """The files of a module and of the packages around it. Step by step: find_spec would import them."""
    places: list[str] | None = None
    pieces = name.split(".")
    for depth in range(len(pieces)):
        dotted = ".".join(pieces[: depth + 1])
        spec = _spec(dotted, places if depth else [*([str(file.parent)] if file else []), *sys.path])
        if spec is None:
            return
        path = _own(spec.origin)
        if path is not None:
            yield path
        places = list(spec.submodule_search_locations or [])
        if path is None and _foreign(spec):
            return


def _spec(dotted: str, places: list[str] | None) -> ModuleSpec | None:
    try:
        found = PathFinder.find_spec(dotted, places)
    except (ImportError, ValueError, AttributeError):
        found = None
    loaded = sys.modules.get(dotted)
    return found or (loaded.__spec__ if loaded is not None else None)


def _foreign(spec: ModuleSpec) -> bool:
    return spec.origin is not None and _own(spec.origin) is None


def _package(path: Path) -> str:
    """The dotted name of the package that a file lies in."""
    names: list[str] = []
    folder = path.parent
    while (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    return ".".join(names)


def _own(origin: str | None) -> Path | None:
    """The file, if it is Python source of the project: not installed, not of the standard library, not this library."""
    if not origin or not origin.endswith(".py"):
        return None
    path = Path(origin).resolve()
    if {"site-packages", "dist-packages"} & set(path.parts) or path.is_relative_to(OWN_PACKAGE):
        return None
    return None if any(path.is_relative_to(place) for place in _STANDARD) else path


_STANDARD = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")]
