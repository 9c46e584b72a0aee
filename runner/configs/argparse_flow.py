"""Follow the statements of a script as Python would, including those that may or may not be run. Runs nothing."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from runner.configs.argparse_arguments import UNKNOWN
from runner.configs.argparse_values import (
    Class,
    External,
    Function,
    Group,
    Instance,
    Parser,
    Scope,
    alike,
    imported,
    is_symbol,
    stored,
)

MAX_STEPS = 200_000


class TooMuch(Exception):
    """The text is too long or too complex to be followed."""


class Flow(ABC):
    """Statements only: a subclass evaluates expressions, and handles a parser that cannot be followed any more."""

    def __init__(self) -> None:
        self._steps = 0
        self._maybe = 0  # within how many conditions

    @abstractmethod
    def _value(self, node: ast.expr, scope: Scope) -> Any:
        """What an expression is, as far as its text shows it."""

    @abstractmethod
    def _parts(self, node: ast.AST, scope: Scope) -> None:
        """Follow the expressions below a node whose own value does not matter."""

    @abstractmethod
    def _escape(self, value: Any) -> None:
        """A value that may be a parser is passed to code that cannot be followed."""

    def _step(self, number: int = 1) -> None:
        self._steps += number
        if self._steps > MAX_STEPS:
            raise TooMuch

    def _block(self, body: Iterable[ast.stmt], scope: Scope) -> bool:
        """Whether what follows is reached."""
        body = list(body)
        for statement in body:
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                scope.names.setdefault(statement.name, Function(statement, scope))
        return all(self._statement(statement, scope) for statement in body)

    def _statement(self, statement: ast.stmt, scope: Scope) -> bool:
        self._step()
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                scope.names[name] = Function(statement, scope)
            case ast.ClassDef(name=name, bases=bases):
                scope.names[name] = Class(statement, scope, tuple(self._value(base, scope) for base in bases))
            case ast.Import() | ast.ImportFrom():
                scope.names |= imported(statement)
            case ast.Assign(targets=targets, value=value):
                result = self._value(value, scope)
                for target in targets:
                    self._assign(target, result, scope)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(target, self._value(value, scope), scope)
            case ast.Expr(value=value):
                self._value(value, scope)
            case ast.Return(value=value):
                scope.returned.append(None if value is None else self._value(value, scope))
                return False
            case ast.If(test=test, body=body, orelse=orelse):
                return self._if(test, body, orelse, scope)
            case ast.For() | ast.AsyncFor() | ast.While():
                self._loop(statement, scope)
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                for item in items:
                    self._escape(self._value(item.context_expr, scope))
                    if item.optional_vars is not None:
                        self._forget(item.optional_vars, scope)
                return self._block(body, scope)
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=final):
                reached = self._block([*body, *orelse], scope)
                for handler in handlers:
                    self._branch(handler.body, scope)
                return self._block(final, scope) and reached
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                for name in names:
                    self._global(name, scope)
            case ast.Raise() | ast.Continue() | ast.Break():
                return False
            case _:
                self._parts(statement, scope)
                self._forget(statement, scope)
        return True

    def _if(self, test: ast.expr, body: list[ast.stmt], orelse: list[ast.stmt], scope: Scope) -> bool:
        truth = self._truth(test, scope)
        if truth is not None:
            return self._block(body if truth else orelse, scope)
        self._escape(self._value(test, scope))
        first, second = self._branch(body, scope), self._branch(orelse, scope)
        return first or second

    def _branch(self, body: list[ast.stmt], scope: Scope) -> bool:
        """Statements that may or may not be run: a name keeps its value only if it is the same both ways."""
        before = dict(scope.names)
        self._maybe += 1
        reached = self._block(body, scope)
        self._maybe -= 1
        if not reached:
            scope.names = before
            return False
        for name, value in scope.names.items():
            if name in before and not alike(before[name], value):
                self._escape((before[name], value))
                scope.names[name] = UNKNOWN
        return True

    def _truth(self, test: ast.expr, scope: Scope) -> bool | None:
        """Of a test, where the text shows it. The script is one that is started."""
        if isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__":
            match test.ops, test.comparators:
                case [ast.Eq()], [ast.Constant(value=name)]:
                    return bool(name == "__main__")
        value = self._value(test, scope) if isinstance(test, (ast.Name, ast.Attribute)) else UNKNOWN
        if value in (External("TYPE_CHECKING"), External("typing.TYPE_CHECKING")):
            return False
        return test.value if isinstance(test, ast.Constant) and isinstance(test.value, bool) else None

    def _loop(self, loop: ast.For | ast.AsyncFor | ast.While, scope: Scope) -> None:
        """Its body once, with nothing known that changes in it."""
        self._escape(self._value(loop.test if isinstance(loop, ast.While) else loop.iter, scope))
        self._forget(loop, scope, parsers=False)
        if isinstance(loop, (ast.For, ast.AsyncFor)):
            self._forget(loop.target, scope)
        self._branch(loop.body, scope)
        self._branch(loop.orelse, scope)
        self._forget(loop, scope, parsers=False)

    def _assign(self, target: ast.expr, value: Any, scope: Scope) -> None:
        match target:
            case ast.Name(id=name):
                scope.names[name] = value
            case ast.Attribute(value=owner, attr=attribute):
                holder = self._value(owner, scope)
                if isinstance(holder, Instance):
                    holder.attributes[attribute] = value
                else:
                    self._escape(value)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                values = value if isinstance(value, (tuple, list)) and len(value) == len(parts) else None
                if values is None:
                    self._escape(value)
                for part, item in zip(parts, values or [UNKNOWN] * len(parts), strict=True):
                    self._assign(part, item, scope)
            case _:  # `table["key"] = value`
                self._escape(value)
                self._forget(target, scope)
                for node in ast.walk(target):
                    self._change(node, scope)

    def _change(self, node: ast.AST, scope: Scope) -> None:
        """A list or a dict of this name has changed since it was assigned."""
        if isinstance(node, ast.Name) and isinstance(scope.find(node.id), (list, dict)):
            scope.owner(node.id).names[node.id] = UNKNOWN

    def _global(self, name: str, scope: Scope) -> None:
        """`global NAME`: a constant of that name may change whenever the function is called."""
        value = scope.find(name)
        if not is_symbol(value):
            value = scope.owner(name).names[name] = UNKNOWN
        scope.names[name] = value

    def _forget(self, node: ast.AST, scope: Scope, *, parsers: bool = True) -> None:
        for name in stored(node):
            if parsers or not isinstance(scope.names.get(name), (Parser, Group)):
                self._escape(scope.names.get(name))
                scope.names[name] = UNKNOWN
