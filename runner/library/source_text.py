"""The definitions of functions and classes as syntax trees, in files and in the cells of a notebook. Runs nothing."""

from __future__ import annotations

import ast
import linecache
import symtable
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any


class Sources:
    """What was read for one fingerprint: name of a file or cell -> its tree."""

    def __init__(self) -> None:
        self._trees: dict[str, ast.Module | None] = {}

    def tree(self, file: str) -> ast.Module | None:
        """Without docstrings. None if there is no text, or none that can be parsed."""
        if file not in self._trees:
            linecache.checkcache(file)
            self._trees[file] = parsed("".join(linecache.getlines(file)))
        return self._trees[file]

    def of(self, thing: Any) -> list[ast.AST]:
        """The definition of a function or class; several where the place leaves a doubt, none if there is no text."""
        if isinstance(thing, type):
            return self._of_class(thing)
        code = thing.__code__
        tree = self.tree(code.co_filename)
        return (
            [] if tree is None else [it for it in ast.walk(tree) if _begins(it) == (code.co_name, code.co_firstlineno)]
        )

    def _of_class(self, kind: type) -> list[ast.AST]:
        for file in class_files(kind):
            tree = self.tree(file)
            found = [] if tree is None else [it for name, it in _classes(tree, "") if name == kind.__qualname__]
            lines = {code.co_firstlineno for code in _codes(kind) if code.co_filename == file}
            exact = [it for it in found if any(it.lineno <= line <= (it.end_lineno or 0) for line in lines)]
            if found:
                return list(exact or found[-1:])
        return []


def cells() -> list[str]:
    """The names of texts that are no files: cells of a notebook, lines of a prompt; the latest first."""
    names = [name for name, entry in linecache.cache.items() if len(entry) == 4 and entry[1] is None]
    return [name for name in reversed(names) if not Path(name).exists()]


def class_files(kind: type) -> Iterator[str]:
    """Where the definition of a class may be."""
    module = sys.modules.get(kind.__module__)
    if module is not None and getattr(module, "__file__", None):
        yield str(module.__file__)
    yield from dict.fromkeys(code.co_filename for code in _codes(kind))
    if kind.__module__ == "__main__" and not getattr(module, "__file__", None):
        yield from cells()


def _codes(kind: type) -> Iterator[CodeType]:
    for value in vars(kind).values():
        inner = getattr(value, "__func__", getattr(value, "fget", value))
        if isinstance(inner, FunctionType):
            yield inner.__code__


def _begins(node: ast.AST) -> tuple[str, int] | None:
    if isinstance(node, ast.Lambda):
        return "<lambda>", node.lineno
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name, min([node.lineno, *(it.lineno for it in node.decorator_list)])
    return None


def _classes(node: ast.AST, above: str) -> Iterator[tuple[str, ast.ClassDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield f"{above}{child.name}", child
            yield from _classes(child, f"{above}{child.name}.")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _classes(child, f"{above}{child.name}.<locals>.")
        else:
            yield from _classes(child, above)


def parsed(text: str | bytes) -> ast.Module | None:
    """The tree of a text, without docstrings and other texts that nothing uses; None if it cannot be parsed."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not tree.body:
        return None
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [it for it in body if not _is_text(it)]
            node.body = kept or ([ast.Pass()] if body else [])  # type: ignore[attr-defined]
    return tree


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def names_used(nodes: Iterable[ast.AST], texts: Iterable[str]) -> set[str]:
    """The global names that definitions use, in their decorators and defaults too."""
    found: set[str] = set()
    for node, text in zip(nodes, texts, strict=True):
        try:
            found |= set(_global_names(symtable.symtable(text, "definition", "exec"), top=True))
        except SyntaxError:  # a `nonlocal` of the function around it
            found |= {it.id for it in ast.walk(node) if isinstance(it, ast.Name)}
    return found


def _global_names(table: symtable.SymbolTable, *, top: bool) -> Iterator[str]:
    for symbol in table.get_symbols():
        if symbol.is_referenced() if top else symbol.is_global():
            yield symbol.get_name()
    for inner in table.get_children():
        yield from _global_names(inner, top=False)


def text_of(node: ast.AST) -> str:
    """The text of a tree, in a layout of its own."""
    try:
        return ast.unparse(node)
    except (ValueError, RecursionError):  # some f-strings cannot be written as text again
        return ast.dump(node)


def bytecode(code: CodeType) -> str:
    """What stands for the text of code that does not have one: from a prompt, or made by exec."""
    inner = [bytecode(it) if isinstance(it, CodeType) else repr(it) for it in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {inner}"


def names_in_code(code: CodeType) -> set[str]:
    """Every name in such code; names of attributes are among them."""
    inner = (names_in_code(it) for it in code.co_consts if isinstance(it, CodeType))
    return set(code.co_names).union(*inner)


def scope_of(thing: Any) -> dict[str, Any]:
    """The global names that a function or class sees."""
    found = getattr(thing, "__globals__", None)
    return found if found is not None else vars(sys.modules.get(thing.__module__) or ModuleType(""))
