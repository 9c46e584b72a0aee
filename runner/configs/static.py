"""Compute the plain assignments of a Python config from its syntax tree, within bounds. Executes nothing."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from runner.configs.evaluate import MAX_BITS, MAX_SIZE

MAX_STEPS = 100_000


class NotStatic(Exception):
    """More than plain assignments and simple expressions: a child must evaluate it."""


class TooLarge(Exception):
    """Evaluating this would fill the memory or never end."""


_BINARY: dict[type[ast.operator], tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    ast.Add: (operator.add, operator.iadd),
    ast.Sub: (operator.sub, operator.isub),
    ast.Mult: (operator.mul, operator.imul),
    ast.Div: (operator.truediv, operator.itruediv),
    ast.FloorDiv: (operator.floordiv, operator.ifloordiv),
    ast.Mod: (operator.mod, operator.imod),
    ast.Pow: (operator.pow, operator.ipow),
    ast.LShift: (operator.lshift, operator.ilshift),
    ast.RShift: (operator.rshift, operator.irshift),
    ast.BitAnd: (operator.and_, operator.iand),
    ast.BitOr: (operator.or_, operator.ior),
    ast.BitXor: (operator.xor, operator.ixor),
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}


def _singleton(value: Any) -> Any:
    """Whether two equal numbers or texts are one object depends on Python and cannot be predicted here."""
    if value is None or isinstance(value, bool):
        return value
    raise NotStatic


_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: lambda left, right: left is _singleton(right),
    ast.IsNot: lambda left, right: left is not _singleton(right),
    ast.In: lambda item, container: item in container,
    ast.NotIn: lambda item, container: item not in container,
}
BUILTINS: dict[str, Callable[..., Any]] = {
    builtin.__name__: builtin
    for builtin in (abs, bool, dict, float, int, len, list, max, min, range, round, sorted, str, sum, tuple)
}


class Static:
    """Runs statement after statement; `names` holds what was set before and what they assigned. A failure of any kind
    is NotStatic: the child then finds the same error and reports it in Python's words."""

    def __init__(self, names: Mapping[str, Any] | None = None) -> None:
        self.names: dict[str, Any] = dict(names or {})
        self._steps = 0

    def run(self, statement: ast.stmt) -> None:
        try:
            self._statement(statement)
        except (NotStatic, TooLarge):
            raise
        except Exception as error:
            raise NotStatic from error

    def value(self, node: ast.expr) -> Any:
        """The value of an expression; raises NotStatic or TooLarge."""
        try:
            return self._value(node)
        except (NotStatic, TooLarge):
            raise
        except Exception as error:
            raise NotStatic from error

    def _statement(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign(targets=targets, value=value):
                result = self._value(value)
                for target in targets:
                    self._assign(target, result)
            case ast.AnnAssign(target=ast.Name() as target, value=value):
                if value is not None:
                    self._assign(target, self._value(value))
            case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                self.names[name] = self._binary(op, self._name(name), self._value(value), in_place=True)
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                pass
            case _:
                raise NotStatic

    def _assign(self, target: ast.expr, value: Any) -> None:
        match target:
            case ast.Name(id=name):
                self.names[name] = value
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part, item in zip(parts, list(value), strict=True):
                    self._assign(part, item)
            case _:
                raise NotStatic

    def _value(self, node: ast.expr) -> Any:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise NotStatic
        match node:
            case ast.Constant(value=value):
                return _sized(value)
            case ast.Name(id=name):
                return self._name(name)
            case ast.List(elts=items):
                return _sized([self._value(item) for item in items])
            case ast.Tuple(elts=items):
                return _sized(tuple([self._value(item) for item in items]))
            case ast.Dict(keys=keys, values=values):
                return _sized(self._dict(keys, values))
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(op, self._value(left), self._value(right))
            case ast.UnaryOp(op=unary, operand=operand):
                return _UNARY[type(unary)](self._value(operand))
            case ast.BoolOp(op=connective, values=values):
                return self._either(isinstance(connective, ast.Or), values)
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compare(left, ops, others)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self._value(body if self._value(test) else orelse)
            case ast.Subscript(value=whole, slice=index):
                return self._value(whole)[self._index(index)]
            case ast.JoinedStr(values=parts):
                return _sized("".join(self._text(part) for part in parts))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
                return _sized(self._call(name, args, keywords))
            case ast.ListComp(elt=item, generators=generators):
                return _sized(self._comprehension(item, generators))
        raise NotStatic

    def _name(self, name: str) -> Any:
        if name not in self.names:
            raise NotStatic
        return self.names[name]

    def _dict(self, keys: Iterable[ast.expr | None], values: Iterable[ast.expr]) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key, value in zip(keys, values, strict=True):
            if key is None:  # {**base}
                result.update(self._value(value))
            else:
                result[self._value(key)] = self._value(value)
        return result

    def _binary(self, op: ast.operator, left: Any, right: Any, *, in_place: bool = False) -> Any:
        if _growth(op, left, right):
            raise TooLarge
        if isinstance(op, ast.Mod) and isinstance(left, (str, bytes)):
            raise NotStatic  # '%999999999d': of any size
        return _sized(_BINARY[type(op)][in_place](left, right))

    def _either(self, stop_at: bool, nodes: Iterable[ast.expr]) -> Any:
        value: Any = None
        for node in nodes:
            value = self._value(node)
            if bool(value) is stop_at:
                break
        return value

    def _compare(self, left: ast.expr, ops: Iterable[ast.cmpop], others: Iterable[ast.expr]) -> Any:
        value: Any = True
        first = self._value(left)
        for op, other in zip(ops, others, strict=True):
            second = self._value(other)
            value = _COMPARE[type(op)](first, second)
            if not value:
                break
            first = second
        return value

    def _index(self, index: ast.expr) -> Any:
        if isinstance(index, ast.Slice):
            ends = (index.lower, index.upper, index.step)
            return slice(*[None if end is None else self._value(end) for end in ends])
        return self._value(index)

    def _text(self, part: ast.expr) -> str:
        if not isinstance(part, ast.FormattedValue):
            return str(self._value(part))
        value = self._value(part.value)
        shape = "" if part.format_spec is None else self._value(part.format_spec)
        if re.search(r"\d{4}", shape):
            raise TooLarge  # f"{x:999999999}"
        match part.conversion:
            case 114:
                value = repr(value)
            case 115:
                value = str(value)
            case 97:
                value = ascii(value)
        return format(value, shape)

    def _call(self, name: str, nodes: Iterable[ast.expr], keywords: Iterable[ast.keyword]) -> Any:
        if name in self.names or name not in BUILTINS:
            raise NotStatic
        args = [self._value(node) for node in nodes]
        named = {keyword.arg: self._value(keyword.value) for keyword in keywords}
        if None in named or (named and name != "dict"):
            raise NotStatic
        if name == "round" and len(args) > 1 and not (isinstance(args[1], int) and abs(args[1]) < 100):
            raise NotStatic  # round(5, -10**9) computes 10**10**9
        if name == "sum" and not all(isinstance(item, (int, float)) for item in args[0]):
            raise NotStatic  # summing lists is quadratic
        return BUILTINS[name](*args, **{str(key): value for key, value in named.items()})

    def _comprehension(self, item: ast.expr, generators: list[ast.comprehension]) -> list[Any]:
        outside = dict(self.names)
        try:
            return [self._value(item) for _ in self._rounds(generators)]
        finally:
            self.names = outside

    def _rounds(self, generators: list[ast.comprehension]) -> Iterator[None]:
        if not generators:
            yield
            return
        first, rest = generators[0], generators[1:]
        if first.is_async:
            raise NotStatic
        for value in self._value(first.iter):
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise NotStatic
            self._assign(first.target, value)
            if all(self._value(test) for test in first.ifs):
                yield from self._rounds(rest)


def _growth(op: ast.operator, left: Any, right: Any) -> bool:
    """Whether the result of the operation would be huge; to be called before it is done."""
    match op, left, right:
        case ast.Pow(), int(), int():
            return right > 0 and abs(left) > 1 and left.bit_length() * right > 2 * MAX_BITS
        case ast.LShift(), int(), int():
            return right > MAX_BITS
        case ast.Mult(), str() | bytes() | list() | tuple(), int():
            return len(left) * right > MAX_SIZE
        case ast.Mult(), int(), str() | bytes() | list() | tuple():
            return len(right) * left > MAX_SIZE
    return False


def _sized(value: Any) -> Any:
    """The value itself, when all of it is within bounds. A list that is contained several times counts each time."""
    budget, todo = MAX_SIZE, [value]
    while todo:
        match todo.pop():
            case bool() | float() | None:
                budget -= 1
            case int() as number:
                budget -= 1
                if number.bit_length() > MAX_BITS:
                    raise TooLarge
            case str() | bytes() | range() as text:
                budget -= 1 + len(text)
            case list() | tuple() as items:
                budget -= 1 + len(items)
                if budget >= 0:
                    todo.extend(items)
            case dict() as mapping:
                budget -= 1 + len(mapping)
                if budget >= 0:
                    todo.extend(mapping)
                    todo.extend(mapping.values())
        if budget < 0:
            raise TooLarge
    return value
