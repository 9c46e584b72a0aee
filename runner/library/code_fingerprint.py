"""The code that a function runs, as one fingerprint: its own source, what it names, the project's modules it imports.

Comments, docstrings and layout do not count. Nothing is imported and nothing is run: modules are found and parsed as
text. Functions and classes of the function's own file, and of a notebook's cells, count one by one, so that another
report beside them changes nothing; other files of the project count as a whole. Of global values the content counts.
"""

from __future__ import annotations

import ast
import copy
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from runner.disk.reading import read_bytes
from runner.library import imported_files, source_text
from runner.library.global_values import Describer
from runner.library.imported_files import own
from runner.library.source_text import Sources


def fingerprint(function: Callable[..., Any]) -> str:
    """Sixteen hexadecimal digits. Packages that were installed and the standard library do not count."""
    survey = _Survey(function)
    parts = [*survey.parts, *sorted(f"{name}\0{text}" for name, text in survey.contents.items())]
    parts += sorted(survey.modules.values())
    return hashlib.sha256("\1".join(parts).encode(errors="surrogatepass")).hexdigest()[:16]


class _Survey:
    """What was found: definitions in the order in which they are met, contents of values by name, modules by path."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.parts: list[str] = []
        self.contents: dict[str, str] = {}
        self.modules: dict[Path, str] = {}  # the text has the dotted name: a project may be moved
        self._sources = Sources()
        self._describer = Describer(self.code)
        self._numbers: dict[int, int] = {}  # id of what was met -> its number; one name may be that of several
        self._alive: list[Any] = []  # so that no id is used again
        self._cells = source_text.cells()
        wrappers = _unwrapped(function)
        files = [_file(it) for it in wrappers]
        self._own = {*self._cells, *(it for it in files if it and (own(it) or not Path(it).exists())), *files[-1:]}
        for it in wrappers:
            self.code(it)

    def code(self, thing: Any) -> str:
        """A function, class or module that was met: counted by itself, with its file, or not at all. Returns a name."""
        if isinstance(thing, ModuleType):
            self._module(own(getattr(thing, "__file__", None)))
            return thing.__name__
        file = _file(thing)
        if id(thing) not in self._numbers:
            self._numbers[id(thing)] = len(self._numbers)
            self._alive.append(thing)
            if file in self._own:
                self._define(thing, file)
            elif own(file) is not None:
                self._module(own(file))
                self._hold(thing)
            elif hasattr(thing, "__wrapped__"):
                self._content(f"{self._numbers[id(thing)]}.wrapped", thing.__wrapped__)
        module = "" if file in self._own else thing.__module__
        return f"{module}.{thing.__qualname__}#{self._numbers[id(thing)]}"

    def _hold(self, thing: Any) -> None:
        for what, value in _held(thing):
            self._content(f"{self._numbers[id(thing)]}.{what}", value)

    def _define(self, thing: Any, file: str | None) -> None:
        scope = source_text.scope_of(thing)
        nodes = [_without_ours(node, scope) for node in self._sources.of(thing)]
        texts = [source_text.text_of(node) for node in nodes]
        code = getattr(thing, "__code__", None)
        if nodes:
            names = source_text.names_used(nodes, texts)
        else:
            texts = [source_text.bytecode(code)] if code else []
            names = source_text.names_in_code(code) if code else set()
        self.parts.append("\0".join([f"{self._numbers[id(thing)]} {thing.__qualname__}", *texts]))
        package = scope.get("__package__") or ""
        bound = self._bound(file, package)
        place = "cell" if file in self._cells or file is None else Path(file).stem
        for name in sorted(names - set(code.co_freevars if code else ())):
            self._name(name, scope, bound, place)
        self._modules(bound.get("*", ()))
        self._hold(thing)
        for node in nodes:
            self._modules(imported_files.imported(node, package, own(file)))
            self._modules(imported_files.imported_by_call(node, own(file)))

    def _bound(self, file: str | None, package: str) -> dict[str, set[Path]]:
        """What the import statements of a file bind, or those of all cells."""
        found: dict[str, set[Path]] = {}
        for one in self._cells if file in self._cells else [file] if file else []:
            tree = self._sources.tree(one)
            for name, paths in imported_files.bound(tree, package, own(one)).items() if tree else ():
                found.setdefault(name, set()).update(paths)
        return found

    def _name(self, name: str, scope: dict[str, Any], bound: dict[str, set[Path]], place: str) -> None:
        """A global name that is used: one that was imported stands for its file, any other for its value."""
        self._modules(bound.get(name, ()))
        if name not in scope:
            return
        value = scope[name]
        if name not in bound or (isinstance(value, FunctionType | type) and _file(value) in self._own):
            self._content(f"{place}.{name}", value)

    def _content(self, label: str, value: Any) -> None:
        if label not in self.contents:
            self.contents[label] = ""  # it may contain itself
            self.contents[label] = self._describer.text(value)

    def _modules(self, paths: Iterable[Path]) -> None:
        for path in paths:
            self._module(path)

    def _module(self, path: Path | None) -> None:
        """A file of the project, and those that it imports, wherever the import is."""
        if path is None or path in self.modules:
            return
        package = imported_files.package(path)
        text, others = _read(path, package, *_stamp(path))
        if text is not None:
            self.modules[path] = f"{package}.{path.stem}\0{text}"
            self._modules(others)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


@functools.lru_cache(1000)
def _read(path: Path, package: str, changed: int, size: int) -> tuple[str | None, tuple[Path, ...]]:
    """The text of a file, and the files that it imports. The stamps are those of the file: it is read again if it
    changes."""
    try:
        tree = source_text.parsed(read_bytes(path, links=True))
    except OSError:
        return None, ()
    if tree is None:
        return None, ()
    by_call = imported_files.imported_by_call(tree, path)
    return source_text.text_of(tree), tuple(dict.fromkeys([*imported_files.imported(tree, package, path), *by_call]))


def _unwrapped(function: Callable[..., Any]) -> list[Any]:
    """A function and those that decorators have put around it, the outermost first."""
    found = [function] if isinstance(function, FunctionType | type) else []
    pending = [function]
    while pending:
        one = pending.pop()
        inner = [getattr(one, "__wrapped__", None), *(value for _, value in _closure(one))]
        new = [it for it in inner if isinstance(it, FunctionType) and it not in found]
        found += new
        pending += new
    return found


def _file(thing: Any) -> str | None:
    code = getattr(thing, "__code__", None)
    file = code.co_filename if code else next(iter(source_text.class_files(thing)), None)
    return _whole(file) if file else None


@functools.lru_cache(1000)
def _whole(file: str) -> str:
    return str(Path(file).resolve()) if Path(file).exists() else file


def _held(thing: Any) -> Iterator[tuple[str, Any]]:
    """What a function or class holds beside its text: closures, defaults, bases, values of the class."""
    if not isinstance(thing, type):
        yield from _closure(thing)
        yield "defaults", (thing.__defaults__, thing.__kwdefaults__)
        if hasattr(thing, "__wrapped__"):
            yield "wrapped", thing.__wrapped__
        return
    yield "bases", thing.__bases__
    for name, value in sorted(vars(thing).items()):
        inner = getattr(value, "__func__", getattr(value, "fget", value))
        if isinstance(inner, FunctionType):
            yield from ((f"{name}.{cell}", held) for cell, held in _closure(inner))
        elif isinstance(value, list | dict | set) and not name.startswith("__"):
            yield name, value


def _closure(thing: Any) -> Iterator[tuple[str, Any]]:
    code, held = getattr(thing, "__code__", None), getattr(thing, "__closure__", None) or ()
    for name, cell in zip(code.co_freevars if code else (), held, strict=False):
        try:
            if name != "__class__":
                yield name, cell.cell_contents
        except ValueError:  # not filled yet
            continue


def _without_ours(node: ast.AST, scope: dict[str, Any]) -> ast.AST:
    """The definition without decorators of this library: `@runner.experiment(version=2)`, `@train.report`."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node
    found = copy.copy(node)  # another function may have been made by the same definition
    found.decorator_list = [it for it in node.decorator_list if not _is_ours(it, scope)]
    return found


def _is_ours(decorator: ast.expr, scope: dict[str, Any]) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    names: list[str] = []
    while isinstance(target, ast.Attribute):
        names.append(target.attr)
        target = target.value
    value = scope.get(target.id) if isinstance(target, ast.Name) else None
    if isinstance(value, ModuleType) and names:
        value = getattr(value, names[-1], None) if value.__name__.partition(".")[0] == "runner" else None
    home = value if isinstance(value, FunctionType | type) else type(value)
    return home.__module__.partition(".")[0] == "runner"
