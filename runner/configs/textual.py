"""Read from the text of a Python file which values its plain assignments certainly leave. Executes nothing."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from typing import Any

from runner.configs.bindings import ALL, bound, read
from runner.configs.static import BUILTINS, NotStatic, Static, TooLarge

#: By these a statement may bind any name.
_DYNAMIC = {"exec", "globals"}


def values(tree: ast.Module, names: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], bool]:
    """The values of names that nothing else in the file can have changed, and whether all of it was understood.

    `names` are set before.
    """
    reader = Static(names)
    known: set[str] = set()
    whole = True
    for statement in tree.body:
        targets = bound(statement)
        try:
            reader.run(statement)
            known |= targets
        except (NotStatic, TooLarge):
            whole = False
            if ALL in targets or targets & BUILTINS.keys() or _is_dynamic(statement):
                return {}, whole
            _forget(reader, targets, read(statement))
    _forget(reader, _bound_by_functions(tree), _read_by_functions(tree))
    return {name: value for name, value in reader.names.items() if name in known}, whole


def _is_dynamic(statement: ast.stmt) -> bool:
    """Whether it may bind any name."""
    if _DYNAMIC & read(statement):
        return True
    calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call) and not node.args]
    return any(isinstance(call.func, ast.Name) and call.func.id in ("locals", "vars") for call in calls)


def _forget(reader: Static, bound_names: Collection[str], read_names: Collection[str]) -> None:
    """What code that is not followed may have changed: what it binds, and every list or dict if it reads one."""
    for name in bound_names:
        reader.names.pop(name, None)
    if not all(_is_immutable(reader.names.get(name)) for name in read_names):
        reader.names = {name: value for name, value in reader.names.items() if _is_immutable(value)}


def _bound_by_functions(tree: ast.Module) -> set[str]:
    """The names that functions bind in the module."""
    return {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}


def _read_by_functions(tree: ast.Module) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    return {name for node in ast.walk(tree) if isinstance(node, functions) for name in read(node)}


def _is_immutable(value: Any) -> bool:
    return all(map(_is_immutable, value)) if isinstance(value, tuple) else not isinstance(value, (list, dict))
