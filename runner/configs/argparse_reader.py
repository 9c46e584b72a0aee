"""Find the arguments of an argparse script in its text. Follows the calls between its functions; runs nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

from runner.configs import pythonfile
from runner.configs.argparse_arguments import UNKNOWN, Arguments
from runner.configs.argparse_flow import Flow, TooMuch
from runner.configs.argparse_keywords import argument, with_defaults
from runner.configs.argparse_values import (
    MAX_DEPTH,
    Class,
    External,
    Function,
    Group,
    Instance,
    Method,
    Parser,
    Scope,
    alike,
    holds_parser,
    identity,
    is_symbol,
    receiver,
)  # fmt: skip
from runner.configs.config_file import read_text
from runner.configs.static import NotStatic, Static, TooLarge

PARSERS = {"argparse.ArgumentParser"}
#: Functions that do not change a parser.
HARMLESS = {"print", "isinstance", "type", "id", "vars", "repr", "str", "argcomplete.autocomplete", "len"}
BUILTINS = {"list", "tuple", "sorted", "range", "dict", "int", "float", "str", "min", "max", "len", "sum", "round"}
NO_ARGUMENTS = {"print_help", "print_usage", "format_help", "format_usage", "error", "exit", "get_default", "register",
                "prog", "description", "epilog", "usage", "formatter_class", "__class__"}  # fmt: skip
PARSES = {"parse_args": True, "parse_intermixed_args": True,
          "parse_known_args": False, "parse_known_intermixed_args": False}  # fmt: skip


class _Parsed(Exception):
    """The command line has been parsed: what the script does after that does not matter."""


def read(script: Path) -> Arguments | None:
    """None where no ArgumentParser is found, or where reading fails. Raises UserError for what is not Python."""
    if script.suffix not in (".py", ""):
        return None
    text = read_text(script)
    if "argparse" not in text or (script.suffix == "" and "python" not in text.partition("\n")[0]):
        return None
    return _read(script, text)


@lru_cache(maxsize=16)  # it is needed for each config of a batch
def _read(script: Path, text: str) -> Arguments | None:
    reader = _Reader()
    try:
        reader.module(pythonfile.parse(script, text))
    except _Parsed:
        pass
    except (TooMuch, RecursionError):
        return None
    return _joined(reader.parsers)


def _joined(parsers: list[Parser]) -> Arguments | None:
    """The arguments of the command line, from the parsers that read it."""
    strict = [parser for parser in parsers if parser.strict]
    lenient = [parser for parser in parsers if parser.lenient and not parser.strict]
    if not strict and not lenient:
        return _arguments(parsers, complete=False) if len(parsers) == 1 else None
    alone = len(strict) == 1 and not all(strict[0].strict)  # it sees every word, so what it does not know is refused
    used = strict if alone else [*strict, *lenient]
    return _arguments(used, complete=len(strict) < 2 and all(one.complete for one in used), lenient=not strict)


def _arguments(parsers: list[Parser], *, complete: bool, lenient: bool = False) -> Arguments:
    merged = Parser()
    for parser in parsers:
        for found in parser.found:
            merged.add(found)
    abbreviates = all(parser.abbreviates for parser in parsers)
    prefix = "".join(parser.file_prefix for parser in parsers)
    return Arguments(tuple(merged.found), complete, lenient, abbreviates, prefix)


class _Reader(Flow):
    """Goes through the script as Python would, with the values that matter here: parsers, functions and constants."""

    def __init__(self) -> None:
        super().__init__()
        self.parsers: list[Parser] = []
        self._static = Static()  # one for all that may be much work: it counts
        self._depth = 0
        self._groups = count(1)
        self._called: dict[Any, Any] = {}
        self._entered: set[ast.AST] = set()

    def module(self, tree: ast.Module) -> None:
        scope = Scope({})
        self._block(tree.body, scope)
        if any(parser.strict or parser.lenient for parser in self.parsers):
            return
        for value in list(scope.names.values()):  # nothing here calls them: another module or a launcher does
            owner = Instance(value) if isinstance(value, Class) else None
            for function in value.methods() if isinstance(value, Class) else [value]:
                if isinstance(function, Function) and function.node not in self._entered:
                    self._invoke(function, receiver(function, owner), [], {})

    # Expressions

    def _value(self, node: ast.expr, scope: Scope) -> Any:
        self._step()
        match node:
            case ast.Name(id=name):
                return scope.find(name)
            case ast.Attribute(value=owner, attr=attribute):
                return self._attribute(self._value(owner, scope), attribute)
            case ast.Call():
                return self._call(node, scope)
            case ast.Tuple(elts=parts) if not any(isinstance(part, ast.Starred) for part in parts):
                return tuple(self._value(part, scope) for part in parts)
            case ast.NamedExpr(target=target, value=value):
                scope.names[target.id] = result = self._value(value, scope)
                return result
            case ast.Await(value=value):
                return self._value(value, scope)
            case ast.Constant(value=value):
                return value
        value = self._constant(node, scope)
        if value is UNKNOWN:
            if isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
                self._forget(node, scope)
            self._parts(node, scope)
        return value

    def _parts(self, node: ast.AST, scope: Scope) -> None:
        """The parts of an expression or statement that is not followed: a parser in it may get any arguments."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._escape(self._value(child, scope))
            elif isinstance(child, ast.stmt):
                self._branch([child], scope)
            elif not isinstance(child, (ast.expr_context, ast.operator, ast.arguments)):
                self._parts(child, scope)

    def _constant(self, node: ast.expr, scope: Scope) -> Any:
        parts = list(ast.walk(node))
        self._step(len(parts))
        names = {part.id: scope.find(part.id) for part in parts if isinstance(part, ast.Name)}
        heavy = any(isinstance(part, (ast.Call, ast.ListComp, ast.BinOp)) for part in parts)
        static = self._static if heavy else Static()
        static.names = {name: value for name, value in names.items() if not is_symbol(value)}
        try:
            return static.value(node)
        except (NotStatic, TooLarge):
            return UNKNOWN

    def _attribute(self, owner: Any, name: str) -> Any:
        match owner:
            case External(name=module):
                return External(f"{module}.{name}")
            case Parser() | Group():
                return Method(owner, name)
            case Instance(kind=kind, attributes=attributes):
                if name in attributes:
                    return attributes[name]
                function = kind.method(name)
                return UNKNOWN if function is None else Method(owner, name, function)
            case Class():
                function = owner.method(name)
                return UNKNOWN if function is None else Method(owner, name, function)
        return UNKNOWN

    def _call(self, call: ast.Call, scope: Scope) -> Any:
        called = self._value(call.func, scope)
        match called:
            case External(name=name) if name in PARSERS:
                return self._parser(call, scope)
            case Method(owner=Parser() | Group(), name=name, function=None):
                return self._method(called.owner, name, call, scope)
        if isinstance(call.func, ast.Attribute):
            self._change(call.func.value, scope)  # names.append("x")
        args = [self._value(arg, scope) for arg in call.args]
        keywords = {keyword.arg or "**": self._value(keyword.value, scope) for keyword in call.keywords}
        match called:
            case Function():
                return self._invoke(called, [], args, keywords)
            case Method(owner=owner, function=Function() as function):
                return self._invoke(function, receiver(function, owner), args, keywords)
            case Class():
                return self._made(called, args, keywords)
        if not (isinstance(called, External) and called.name in HARMLESS):
            self._escape((*args, *keywords.values()))
        self._launched((*args, *keywords.values()))
        return self._constant(call, scope) if isinstance(called, External) and called.name in BUILTINS else UNKNOWN

    def _launched(self, values: Iterable[Any]) -> None:
        """`spawn(main)`: a function of the script that something else will call."""
        for value in values:
            if isinstance(value, Function) and value.node not in self._entered:
                self._invoke(value, [], [], {})

    def _made(self, kind: Class, args: list[Any], keywords: dict[str, Any]) -> Any:
        if any(isinstance(base, External) and base.name in PARSERS for base in kind.bases):
            parser = Parser(complete=False)  # whatever the class changes about it
            self.parsers.append(parser)
            return parser
        instance = Instance(kind)
        if (function := kind.method("__init__")) is not None:
            self._invoke(function, [instance], args, keywords)
        else:
            self._escape((*args, *keywords.values()))
        return instance

    def _invoke(self, function: Function, first: list[Any], args: list[Any], keywords: Mapping[str, Any]) -> Any:
        """Go through a function of the script; the same call twice is one."""
        key = (function.node, *map(identity, [*first, *args]), *((name, identity(it)) for name, it in keywords.items()))
        if key in self._called:
            return self._called[key]
        if self._depth >= MAX_DEPTH:
            self._escape((*first, *args, *keywords.values()))
            return UNKNOWN
        self._called[key] = UNKNOWN  # what a recursive call gets
        self._entered.add(function.node)
        scope = Scope(self._parameters(function, [*first, *args], keywords), function.scope)
        self._depth += 1
        self._block(function.node.body, scope)
        self._depth -= 1
        self._called[key] = value = self._returned(scope.returned or [None])
        self._stop_if_parsed()
        return value

    def _returned(self, values: list[Any]) -> Any:
        """The one value that a function returns, or the one that holds a parser."""
        known = [value for value in values if holds_parser(value)] or values
        if all(alike(known[0], value) for value in known):
            return known[0]
        self._escape(tuple(known))
        return UNKNOWN

    def _parameters(self, function: Function, args: list[Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
        parameters = function.node.args
        places = [*parameters.posonlyargs, *parameters.args]
        names: dict[str, Any] = {one.arg: UNKNOWN for one in (*places, *parameters.kwonlyargs)}
        late = [*zip(reversed(places), reversed(parameters.defaults), strict=False),
                *zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True)]  # fmt: skip
        names |= {one.arg: self._value(default, function.scope) for one, default in late if default is not None}
        names |= {extra.arg: UNKNOWN for extra in (parameters.vararg, parameters.kwarg) if extra is not None}
        names |= {one.arg: value for one, value in zip(places, args, strict=False)}
        names |= {name: value for name, value in keywords.items() if name in names}
        self._escape((*args[len(places) :], *(value for name, value in keywords.items() if name not in names)))
        return names

    # Parsers

    def _parser(self, call: ast.Call, scope: Scope) -> Parser:
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        parser = Parser(complete=None not in keywords)
        for name, value in ((name, self._value(node, scope)) for name, node in keywords.items() if name != "parents"):
            match name, value:
                case "allow_abbrev", False:
                    parser.abbreviates = False
                case "conflict_handler", "resolve":
                    parser.resolves = True
                case "prefix_chars", str():
                    parser.prefixes = value
                case "fromfile_prefix_chars", str():
                    parser.file_prefix = value
                case (("prefix_chars" | "fromfile_prefix_chars"), _) if value is not None:
                    parser.complete = False
                case "argument_default", _ if value is not None:
                    parser.default = UNKNOWN
        self._inherit(parser, keywords.get("parents"), scope)
        self.parsers.append(parser)
        return parser

    def _inherit(self, parser: Parser, parents: ast.expr | None, scope: Scope) -> None:
        if parents is None:
            return
        nodes = parents.elts if isinstance(parents, (ast.List, ast.Tuple)) else [parents]
        for parent in (self._value(node, scope) for node in nodes):
            if isinstance(parent, Parser):
                parser.found += parent.found
                parser.complete &= parent.complete
            else:
                parser.complete = False

    def _method(self, owner: Parser | Group, name: str, call: ast.Call, scope: Scope) -> Any:
        parser = owner if isinstance(owner, Parser) else owner.parser
        if name == "add_argument":
            self._add(owner, parser, call, scope)
        elif name == "add_argument_group":
            return Group(parser, owner.exclusive if isinstance(owner, Group) else 0)
        elif name == "add_mutually_exclusive_group":
            return Group(parser, next(self._groups))
        elif name == "set_defaults":
            parser.found = with_defaults(parser.found, self._keywords(call, scope))
        elif name in PARSES:
            return self._parsed(parser, PARSES[name], call, scope)
        elif name not in NO_ARGUMENTS:
            parser.complete = False  # add_subparsers, _add_action, a method of a subclass
        return UNKNOWN

    def _add(self, owner: Parser | Group, parser: Parser, call: ast.Call, scope: Scope) -> None:
        names = [UNKNOWN if isinstance(arg, ast.Starred) else self._value(arg, scope) for arg in call.args]
        keywords = self._keywords(call, scope)
        new = argument(names, keywords, parser.prefixes, parser.default)
        if new is None:
            parser.complete = False
            return
        exclusive = owner.exclusive if isinstance(owner, Group) else 0
        parser.add(replace(new, exclusive=exclusive, required=new.required and not self._maybe))

    def _keywords(self, call: ast.Call, scope: Scope) -> dict[str, Any]:
        """By name; under `**` where there are more that are not known."""
        keywords: dict[str, Any] = {}
        for keyword in call.keywords:
            value = self._value(keyword.value, scope)
            if keyword.arg is not None:
                keywords[keyword.arg] = value
            elif isinstance(value, dict):
                keywords |= value
            else:
                keywords["**"] = UNKNOWN
        return keywords

    def _parsed(self, parser: Parser, strict: bool, call: ast.Call, scope: Scope) -> Any:
        words = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "args")][:1]
        value = self._value(words[0], scope) if words else None
        if isinstance(value, (list, tuple, str)):
            return UNKNOWN if strict else (UNKNOWN, UNKNOWN)  # words of its own, not those of the command line
        if not strict:
            parser.lenient = True
            return UNKNOWN, UNKNOWN
        parser.strict.append(value is not None)
        self._stop_if_parsed()
        return UNKNOWN

    def _stop_if_parsed(self) -> None:
        if not self._maybe and any(parser.strict for parser in self.parsers):
            raise _Parsed

    def _escape(self, value: Any) -> None:
        """The parser is passed to code that may add any arguments to it."""
        match value:
            case Parser():
                value.complete = False
            case Group():
                value.parser.complete = False
            case Method(owner=Parser() | Group() as owner, name=name) if name not in NO_ARGUMENTS:
                self._escape(owner)
            case tuple() | list():
                for item in value:
                    self._escape(item)
            case Instance(attributes=attributes):
                for item in attributes.values():
                    if isinstance(item, (Parser, Group)):
                        self._escape(item)
