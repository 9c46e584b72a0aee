"""The names that the statements of a module bind and read, from their syntax alone."""

from __future__ import annotations

import ast
from collections.abc import Iterable

ALL = "*"  # `from x import *`: any name
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def bound(statement: ast.AST) -> set[str]:
    """The names that a statement of a module may bind there, ALL among them. Those inside functions are others."""
    found: set[str] = set()
    todo = [statement]
    while todo:
        node = todo.pop()
        if isinstance(node, _SCOPES):
            found |= {node.name, *_globals(node)}
            continue
        if isinstance(node, (ast.Lambda, *_COMPREHENSIONS)):
            walrus = [inner.target.id for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr)]
            found.update(walrus)
            continue
        found.update(_own(node))
        todo.extend(ast.iter_child_nodes(node))
    return found


def _own(node: ast.AST) -> list[str]:
    """The names that this node binds, without those inside it."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            return [name]
        case ast.Import(names=aliases):
            return [alias.asname or alias.name.partition(".")[0] for alias in aliases]
        case ast.ImportFrom(names=aliases):
            return [alias.asname or alias.name for alias in aliases]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return [name]
        case ast.MatchMapping(rest=str(name)):
            return [name]
    return []


def _globals(node: ast.AST) -> set[str]:
    """The names that functions inside it may bind in the module."""
    return {name for inner in ast.walk(node) if isinstance(inner, ast.Global) for name in inner.names}


def read(node: ast.AST) -> frozenset[str]:
    """The names that are read anywhere inside it."""
    return frozenset(it.id for it in ast.walk(node) if isinstance(it, ast.Name) and isinstance(it.ctx, ast.Load))


def imported(statements: Iterable[ast.stmt]) -> dict[str, str]:
    """Name -> the import among these statements that binds it."""
    found: dict[str, str] = {}
    for statement in statements:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            found |= dict.fromkeys(bound(statement) - {ALL}, ast.unparse(statement))
    return found


def modules(tree: ast.Module) -> tuple[str, ...]:
    """The packages that the top of a module imports."""
    found: dict[str, None] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            found |= dict.fromkeys(alias.name.partition(".")[0] for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and not statement.level and statement.module:
            found[statement.module.partition(".")[0]] = None
    return tuple(found)
