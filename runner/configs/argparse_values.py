"""What the reader of argparse scripts follows from name to name: parsers, and the script's functions and classes."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from runner.configs.argparse_arguments import UNKNOWN, Argument

MAX_DEPTH = 25


@dataclass(eq=False, slots=True)
class Parser:
    """What is known of one ArgumentParser. `strict` has an entry for each call of parse_args: True if the call passes
    words to it."""

    complete: bool = True
    abbreviates: bool = True
    resolves: bool = False
    prefixes: str = "-"
    file_prefix: str = ""
    default: Any = None  # argument_default; UNKNOWN where there is one
    found: list[Argument] = field(default_factory=list)
    strict: list[bool] = field(default_factory=list)
    lenient: bool = False

    def add(self, new: Argument) -> None:
        """An option that exists already is replaced, or becomes unknown: it depends on an `if`."""
        taken = {option for one in self.found if one.options for option in one.options} & set(new.options)
        clash = bool(taken) or any(not one.options and not new.options and one.dest == new.dest for one in self.found)
        if clash and new in self.found:
            return
        if clash and not self.resolves:
            new = Argument(new.dest, new.options, None, default=UNKNOWN, action="unknown")
        kept = [one for one in self.found if not (clash and (taken & set(one.options) or one.dest == new.dest))]
        self.found = [*kept, new]


@dataclass(frozen=True, eq=False, slots=True)
class Group:
    """What add_argument_group returns; `exclusive` is its number if it is a mutually exclusive one."""

    parser: Parser
    exclusive: int = 0


@dataclass(frozen=True, slots=True)
class External:
    """A name of another module, or a builtin: `torch.float32`, `int`."""

    name: str


@dataclass(eq=False, slots=True)
class Scope:
    names: dict[str, Any]
    outer: Scope | None = None
    returned: list[Any] = field(default_factory=list)

    def find(self, name: str) -> Any:
        return self.owner(name).names.get(name, External(name))

    def owner(self, name: str) -> Scope:
        """The innermost scope that has the name, or the outermost one."""
        scope = self
        while name not in scope.names and scope.outer is not None:
            scope = scope.outer
        return scope


@dataclass(frozen=True, eq=False, slots=True)
class Class:
    node: ast.ClassDef
    scope: Scope
    bases: tuple[Any, ...]

    def methods(self) -> list[Function]:
        functions = (item for item in self.node.body if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)))
        return [Function(item, self.scope) for item in functions]

    def method(self, name: str, depth: int = 0) -> Function | None:
        for function in self.methods():
            if function.node.name == name:
                return function
        local = [base for base in self.bases if isinstance(base, Class)] if depth < MAX_DEPTH else []
        return next((found for base in local if (found := base.method(name, depth + 1))), None)


@dataclass(frozen=True, eq=False, slots=True)
class Function:
    node: ast.FunctionDef | ast.AsyncFunctionDef
    scope: Scope


@dataclass(frozen=True, eq=False, slots=True)
class Instance:
    kind: Class
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Method:
    """`name` of a parser or a group, or a function of the script with what comes before its arguments."""

    owner: Any
    name: str = ""
    function: Function | None = None


SYMBOLS = (Parser, Group, External, Class, Function, Instance, Method)


def is_symbol(value: Any) -> bool:
    """Whether it is not a constant of the script, or contains something that is not."""
    return value is UNKNOWN or isinstance(value, SYMBOLS) or (isinstance(value, tuple) and any(map(is_symbol, value)))


def holds_parser(value: Any) -> bool:
    return isinstance(value, (Parser, Group, Instance)) or (isinstance(value, tuple) and any(map(holds_parser, value)))


def identity(value: Any) -> Any:
    """Equal for values between which a function cannot distinguish."""
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return type(value), value


def alike(before: Any, after: Any) -> bool:
    """Whether it makes no difference which of two values a name has."""
    if isinstance(before, Group) and isinstance(after, Group):
        return before.parser is after.parser
    return before is after or (not is_symbol(before) and not is_symbol(after) and identity(before) == identity(after))


def receiver(function: Function, owner: Any) -> list[Any]:
    """What a method gets before its arguments."""
    decorators = {node.id for node in function.node.decorator_list if isinstance(node, ast.Name)}
    if "staticmethod" in decorators:
        return []
    if "classmethod" in decorators:
        return [owner.kind if isinstance(owner, Instance) else owner]
    return [owner] if isinstance(owner, Instance) else []


def imported(statement: ast.Import | ast.ImportFrom) -> dict[str, External]:
    """The names that an import binds."""
    if isinstance(statement, ast.Import):
        pairs = [(alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
                 for alias in statement.names]  # fmt: skip
        return {name: External(module) for name, module in pairs}
    module = "." * statement.level + (statement.module or "")
    if module == "argparse" and statement.names[0].name == "*":
        names = ("ArgumentParser", "BooleanOptionalAction", "SUPPRESS", "REMAINDER")
        return {name: External(f"argparse.{name}") for name in names}
    return {alias.asname or alias.name: External(f"{module}.{alias.name}") for alias in statement.names}


def stored(node: ast.AST) -> set[str]:
    """The names that are assigned somewhere in it."""
    found = {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load)}
    return found | {part.arg for part in ast.walk(node) if isinstance(part, ast.arg)}
